/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/options_window.h"

#include <glib/gi18n.h>

struct _BkOptionsWindow {
    AdwPreferencesWindow parent;
    BkApp *app;
    BkSettings *settings;
    GPtrArray *rows; /* struct row */
    GtkWidget *internal, *external, *ca, *proxy;
};
G_DEFINE_TYPE(BkOptionsWindow, bk_options_window, ADW_TYPE_PREFERENCES_WINDOW)

/* A row of the window and the option behind it. */
struct row {
    BkOptionsWindow *window;
    enum bk_setting which;
    GtkWidget *row, *control;  /* the control is the row for an entry and a choice */
    GtkWidget *clear, *choose; /* of a file: none any more; another one */
    const char *const *words;  /* of a choice: what stands in the file */
    void (*show)(struct row *row);
    char *explained;    /* its subtitle while it is not managed; NULL: none */
    GtkWidget *managed; /* of an entry: says so; NULL: it never was */
};

static void free_row(gpointer data)
{
    struct row *row = data;
    g_free(row->explained);
    g_free(row);
}

/* ---- kinds of rows ---- */

static void show_switch(struct row *row)
{
    gtk_switch_set_active(GTK_SWITCH(row->control),
                          bk_settings_bool(row->window->settings, row->which));
}

static void on_switch(struct row *row)
{
    (void)bk_settings_set_bool(row->window->settings, row->which,
                               gtk_switch_get_active(GTK_SWITCH(row->control)));
}

static void show_number(struct row *row)
{
    gtk_spin_button_set_value(GTK_SPIN_BUTTON(row->control),
                              bk_settings_int(row->window->settings, row->which));
}

static void on_number(struct row *row)
{
    (void)bk_settings_set_int(row->window->settings, row->which,
                              gtk_spin_button_get_value_as_int(GTK_SPIN_BUTTON(row->control)));
}

static void show_choice(struct row *row)
{
    const char *word = bk_settings_string(row->window->settings, row->which);
    for (guint i = 0; row->words[i]; i++)
        if (strcmp(row->words[i], word) == 0)
            adw_combo_row_set_selected(ADW_COMBO_ROW(row->control), i);
}

static void on_choice(struct row *row)
{
    guint i = adw_combo_row_get_selected(ADW_COMBO_ROW(row->control));
    if (i != GTK_INVALID_LIST_POSITION)
        (void)bk_settings_set_string(row->window->settings, row->which, row->words[i]);
}

static void show_text(struct row *row)
{
    const char *value = bk_settings_string(row->window->settings, row->which);
    if (strcmp(gtk_editable_get_text(GTK_EDITABLE(row->control)), value) != 0)
        gtk_editable_set_text(GTK_EDITABLE(row->control), value);
}

static void on_text(struct row *row)
{
    (void)bk_settings_set_string(row->window->settings, row->which,
                                 gtk_editable_get_text(GTK_EDITABLE(row->control)));
}

static struct row *new_row(BkOptionsWindow *window, GtkWidget *group, enum bk_setting which,
                           GtkWidget *widget, void (*show)(struct row *row))
{
    struct row *row = g_new0(struct row, 1);
    row->window = window;
    row->which = which;
    row->row = row->control = widget;
    row->show = show;
    adw_preferences_row_set_title(ADW_PREFERENCES_ROW(widget), bk_setting_title(which));
    adw_preferences_group_add(ADW_PREFERENCES_GROUP(group), widget);
    g_ptr_array_add(window->rows, row);
    return row;
}

static void put_control(struct row *row, GtkWidget *control)
{
    row->control = control;
    gtk_widget_set_valign(control, GTK_ALIGN_CENTER);
    gtk_accessible_update_property(GTK_ACCESSIBLE(control), GTK_ACCESSIBLE_PROPERTY_LABEL,
                                   bk_setting_title(row->which), -1);
    adw_action_row_add_suffix(ADW_ACTION_ROW(row->row), control);
    adw_action_row_set_activatable_widget(ADW_ACTION_ROW(row->row), control);
}

static void subtitle(struct row *row, const char *text)
{
    g_free(row->explained);
    row->explained = g_strdup(text);
    if (!bk_settings_is_managed(row->window->settings, row->which))
        adw_action_row_set_subtitle(ADW_ACTION_ROW(row->row), text);
}

static struct row *add_switch(BkOptionsWindow *window, GtkWidget *group, enum bk_setting which,
                              const char *explained)
{
    struct row *row = new_row(window, group, which, adw_action_row_new(), show_switch);
    put_control(row, gtk_switch_new());
    if (explained)
        subtitle(row, explained);
    show_switch(row);
    g_signal_connect_swapped(row->control, "notify::active", G_CALLBACK(on_switch), row);
    return row;
}

static void add_minutes(BkOptionsWindow *window, GtkWidget *group, enum bk_setting which)
{
    struct row *row = new_row(window, group, which, adw_action_row_new(), show_number);
    put_control(row, gtk_spin_button_new_with_range(1, 360, 1));
    subtitle(row, _("Minutes without keyboard and mouse"));
    show_number(row);
    g_signal_connect_swapped(row->control, "value-changed", G_CALLBACK(on_number), row);
}

static void add_choice(BkOptionsWindow *window, GtkWidget *group, enum bk_setting which,
                       const char *const *words, const char *const *names)
{
    struct row *row = new_row(window, group, which, adw_combo_row_new(), show_choice);
    g_autoptr(GtkStringList) list = gtk_string_list_new(names);
    row->words = words;
    adw_combo_row_set_model(ADW_COMBO_ROW(row->row), G_LIST_MODEL(list));
    show_choice(row);
    g_signal_connect_swapped(row->control, "notify::selected", G_CALLBACK(on_choice), row);
}

static GtkWidget *add_text(BkOptionsWindow *window, GtkWidget *group, enum bk_setting which)
{
    struct row *row = new_row(window, group, which, adw_entry_row_new(), show_text);
    show_text(row);
    g_signal_connect_swapped(row->control, "changed", G_CALLBACK(on_text), row);
    return row->row;
}

/* ---- a file ---- */

static void show_file(struct row *row)
{
    const char *path = bk_settings_string(row->window->settings, row->which);
    g_autofree char *escaped = g_markup_escape_text(path, -1);
    subtitle(row, *path ? escaped : _("None besides those of the system"));
    gtk_widget_set_visible(
        row->clear, *path != 0 && !bk_settings_is_managed(row->window->settings, row->which));
}

static void on_file_chosen(GtkNativeDialog *dialog, int response, gpointer p)
{
    struct row *row = p;
    g_autoptr(GFile) file = response == GTK_RESPONSE_ACCEPT
                                ? gtk_file_chooser_get_file(GTK_FILE_CHOOSER(dialog))
                                : NULL;
    g_autofree char *path = file ? g_file_get_path(file) : NULL;
    if (path)
        (void)bk_settings_set_string(row->window->settings, row->which, path);
    g_object_unref(dialog);
}

static void on_choose_file(struct row *row)
{
    GtkFileChooserNative *dialog =
        gtk_file_chooser_native_new(_("Authorities in PEM"), GTK_WINDOW(row->window),
                                    GTK_FILE_CHOOSER_ACTION_OPEN, _("Choose"), _("Cancel"));
    gtk_native_dialog_set_modal(GTK_NATIVE_DIALOG(dialog), TRUE);
    g_signal_connect(dialog, "response", G_CALLBACK(on_file_chosen), row);
    gtk_native_dialog_show(GTK_NATIVE_DIALOG(dialog));
}

static void on_clear_file(struct row *row)
{
    (void)bk_settings_set_string(row->window->settings, row->which, "");
}

static GtkWidget *add_file(BkOptionsWindow *window, GtkWidget *group, enum bk_setting which)
{
    struct row *row = new_row(window, group, which, adw_action_row_new(), show_file);
    GtkWidget *clear = row->clear = gtk_button_new_from_icon_name("edit-clear-symbolic");
    GtkWidget *choose = row->choose = gtk_button_new_with_label(_("Choose…"));
    gtk_widget_set_tooltip_text(clear, _("Trust those of the system only"));
    gtk_widget_set_valign(clear, GTK_ALIGN_CENTER);
    gtk_widget_set_valign(choose, GTK_ALIGN_CENTER);
    gtk_widget_add_css_class(clear, "flat");
    adw_action_row_add_suffix(ADW_ACTION_ROW(row->row), clear);
    adw_action_row_add_suffix(ADW_ACTION_ROW(row->row), choose);
    adw_action_row_set_subtitle_lines(ADW_ACTION_ROW(row->row), 2);
    g_signal_connect_swapped(choose, "clicked", G_CALLBACK(on_choose_file), row);
    g_signal_connect_swapped(clear, "clicked", G_CALLBACK(on_clear_file), row);
    show_file(row);
    return row->row;
}

/* ---- what the organisation fixed ---- */

/* Also while the window is open. */
static void mark_managed(struct row *row)
{
    bool managed = bk_settings_is_managed(row->window->settings, row->which);
    gtk_widget_set_sensitive(row->row, !managed);
    gtk_widget_set_sensitive(row->control, !managed); /* a screen reader asks the switch itself */
    if (managed)
        gtk_widget_add_css_class(row->row, "managed");
    else
        gtk_widget_remove_css_class(row->row, "managed");
    if (row->choose) {
        gtk_widget_set_visible(row->choose, !managed);
        gtk_widget_set_visible(row->clear,
                               !managed && *bk_settings_string(row->window->settings, row->which));
    }
    if (ADW_IS_ACTION_ROW(row->row)) {
        const char *plain = row->explained ? row->explained : "";
        adw_action_row_set_subtitle(ADW_ACTION_ROW(row->row),
                                    managed ? _("Set by your organisation") : plain);
        return;
    }
    gtk_editable_set_editable(GTK_EDITABLE(row->row), !managed);
    if (managed && !row->managed) {
        row->managed = gtk_label_new(_("Set by your organisation"));
        gtk_label_set_wrap(GTK_LABEL(row->managed), TRUE); /* the value wants the room */
        gtk_label_set_max_width_chars(GTK_LABEL(row->managed), 14);
        gtk_label_set_xalign(GTK_LABEL(row->managed), 1);
        gtk_widget_add_css_class(row->managed, "dim-label");
        gtk_widget_add_css_class(row->managed, "caption");
        adw_entry_row_add_suffix(ADW_ENTRY_ROW(row->row), row->managed);
    }
    if (row->managed)
        gtk_widget_set_visible(row->managed, managed);
}

static void show_proxy(BkOptionsWindow *window)
{
    const char *proxy = bk_engine_proxy(bk_app_engine(window->app));
    bool direct = bk_settings_bool(window->settings, BK_SETTING_CONNECT_DIRECTLY);
    g_autofree char *used =
        *proxy ? g_strdup_printf(_("Connected through %s"), proxy)
               : g_strdup(direct ? _("Not used") : _("Uses the desktop’s proxy settings"));
    adw_action_row_set_subtitle(ADW_ACTION_ROW(window->proxy), used);
}

/* With the automatic way the typed names are not used; they stay, for when it is switched off again. */
static void show_all(BkOptionsWindow *window)
{
    for (guint i = 0; i < window->rows->len; i++) {
        struct row *row = window->rows->pdata[i];
        row->show(row);
        mark_managed(row);
    }
    show_proxy(window);
    bool manual = !bk_settings_bool(window->settings, BK_SETTING_AUTOMATIC_SERVER);
    gtk_widget_set_sensitive(
        window->internal,
        manual && !bk_settings_is_managed(window->settings, BK_SETTING_INTERNAL_SERVER));
    gtk_widget_set_sensitive(
        window->external,
        manual && !bk_settings_is_managed(window->settings, BK_SETTING_EXTERNAL_SERVER));
}

/* ---- pages ---- */

static GtkWidget *add_page(BkOptionsWindow *window, const char *title, const char *icon)
{
    GtkWidget *page = adw_preferences_page_new();
    adw_preferences_page_set_title(ADW_PREFERENCES_PAGE(page), title);
    adw_preferences_page_set_icon_name(ADW_PREFERENCES_PAGE(page), icon);
    adw_preferences_window_add(ADW_PREFERENCES_WINDOW(window), ADW_PREFERENCES_PAGE(page));
    return page;
}

static GtkWidget *add_group(GtkWidget *page, const char *title, const char *description)
{
    GtkWidget *group = adw_preferences_group_new();
    if (title)
        adw_preferences_group_set_title(ADW_PREFERENCES_GROUP(group), title);
    if (description)
        adw_preferences_group_set_description(ADW_PREFERENCES_GROUP(group), description);
    adw_preferences_page_add(ADW_PREFERENCES_PAGE(page), ADW_PREFERENCES_GROUP(group));
    return group;
}

static void fill_personal(BkOptionsWindow *window)
{
    GtkWidget *page = add_page(window, _("Personal"), "avatar-default-symbolic");
    GtkWidget *group = add_group(page, _("Start"), NULL);
    (void)add_switch(window, group, BK_SETTING_START_AT_LOG_ON, NULL);
    (void)add_switch(window, group, BK_SETTING_SIGN_IN_AT_START, NULL);
    (void)add_switch(window, group, BK_SETTING_SHOW_IN_FOREGROUND,
                     _("Otherwise only its icon appears"));
    (void)add_switch(window, group, BK_SETTING_SAVE_SIGN_IN,
                     _("Keeps a personal certificate, never your password"));
    group = add_group(page, _("Conversations"), NULL);
    (void)add_switch(window, group, BK_SETTING_HISTORY,
                     _("Only on this computer, and only for you"));
    (void)add_switch(window, group, BK_SETTING_PICTURES, NULL);
    group = add_group(page, _("Status"), NULL);
    add_minutes(window, group, BK_SETTING_INACTIVE_MIN);
    add_minutes(window, group, BK_SETTING_AWAY_MIN);
}

static void fill_alerts(BkOptionsWindow *window)
{
    static const char *const words[] = { "none", "workgroup", "all", NULL };
    const char *const names[] = { _("No Alerts"), _("Alerts of My Workgroup"), _("All Alerts"),
                                  NULL };
    GtkWidget *page = add_page(window, _("Alerts"), "preferences-system-notifications-symbolic");
    GtkWidget *group = add_group(page, NULL, NULL);
    (void)add_switch(window, group, BK_SETTING_ALERT_MESSAGES, NULL);
    (void)add_switch(window, group, BK_SETTING_ALERT_TEXT,
                     _("Otherwise an alert only says who wrote"));
    (void)add_switch(window, group, BK_SETTING_ALERT_FOLLOWERS, NULL);
    (void)add_switch(window, group, BK_SETTING_SOUNDS, NULL);
    group = add_group(page, _("Do Not Disturb"), NULL);
    add_choice(window, group, BK_SETTING_ALERT_IN_DND, words, names);
    (void)add_switch(window, group, BK_SETTING_SOUNDS_IN_DND, NULL);
}

static void fill_connection(BkOptionsWindow *window)
{
    GtkWidget *page = add_page(window, _("Connection"), "network-server-symbolic");
    GtkWidget *group =
        add_group(page, _("Server"), _("Changes take effect with the next sign-in."));
    (void)add_switch(window, group, BK_SETTING_AUTOMATIC_SERVER,
                     _("From the domain of your sign-in address"));
    window->internal = add_text(window, group, BK_SETTING_INTERNAL_SERVER);
    window->external = add_text(window, group, BK_SETTING_EXTERNAL_SERVER);
    gtk_widget_set_tooltip_text(window->internal,
                                _("A name or IP address, with :port where it is not 5061"));
    gtk_widget_set_tooltip_text(window->external,
                                _("A name or IP address, with :port where it is not 5061"));
    group = add_group(page, _("Proxy"), NULL);
    window->proxy = adw_action_row_new();
    adw_preferences_row_set_title(ADW_PREFERENCES_ROW(window->proxy), _("Proxy of this network"));
    adw_preferences_row_set_use_markup(ADW_PREFERENCES_ROW(window->proxy), FALSE);
    adw_preferences_group_add(ADW_PREFERENCES_GROUP(group), window->proxy);
    (void)add_switch(window, group, BK_SETTING_CONNECT_DIRECTLY,
                     _("Counts from the next connection on"));
    group =
        add_group(page, _("Security"),
                  _("Every connection is encrypted with TLS, and the server proves who it is."));
    window->ca = add_file(window, group, BK_SETTING_CA_FILE);
}

static void fill_appearance(BkOptionsWindow *window)
{
    static const char *const schemes[] = { "system", "light", "dark", NULL };
    static const char *const views[] = { "group", "status", NULL };
    const char *const scheme_names[] = { _("Follow Desktop"), _("Light"), _("Dark"), NULL };
    const char *const view_names[] = { _("Group"), _("Status"), NULL };
    GtkWidget *page = add_page(window, _("Appearance"), "preferences-desktop-appearance-symbolic");
    GtkWidget *group = add_group(page, NULL, NULL);
    add_choice(window, group, BK_SETTING_COLOUR_SCHEME, schemes, scheme_names);
    group = add_group(page, _("Contacts"), NULL);
    add_choice(window, group, BK_SETTING_CONTACTS_BY, views, view_names);
    (void)add_switch(window, group, BK_SETTING_SHOW_OFFLINE, NULL);
}

/* ---- life ---- */

static void finalize(GObject *object)
{
    BkOptionsWindow *window = BK_OPTIONS_WINDOW(object);
    g_ptr_array_unref(window->rows);
    G_OBJECT_CLASS(bk_options_window_parent_class)->finalize(object);
}

static void bk_options_window_class_init(BkOptionsWindowClass *class)
{
    G_OBJECT_CLASS(class)->finalize = finalize;
    gtk_widget_class_add_binding_action(GTK_WIDGET_CLASS(class), GDK_KEY_Escape, 0, "window.close",
                                        NULL);
}

static void bk_options_window_init(BkOptionsWindow *window)
{
    window->rows = g_ptr_array_new_with_free_func(free_row);
}

BkOptionsWindow *bk_options_window_new(BkApp *app, GtkWindow *parent)
{
    BkOptionsWindow *window =
        g_object_new(BK_TYPE_OPTIONS_WINDOW, "application", app, "transient-for", parent, "title",
                     _("Options"), "default-width", 480, "default-height", 620, NULL);
    window->app = app;
    window->settings = bk_app_settings(app);
    fill_personal(window);
    fill_alerts(window);
    fill_connection(window);
    fill_appearance(window);
    show_all(window);
    g_signal_connect_object(window->settings, "changed", G_CALLBACK(show_all), window,
                            G_CONNECT_SWAPPED);
    g_signal_connect_object(bk_app_engine(app), "event::state", G_CALLBACK(show_proxy), window,
                            G_CONNECT_SWAPPED);
    return window;
}
