/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/configuration_window.h"

#include "client/profile.h"
#include "desktop/words.h"

#include <glib/gi18n.h>
#include <sys/utsname.h>

struct _BkConfigurationWindow {
    AdwWindow parent;
    BkApp *app;
    GtkWidget *page, *toasts;
    GPtrArray *groups; /* on the page now */
    GString *text;     /* the same for the clipboard */
};
G_DEFINE_TYPE(BkConfigurationWindow, bk_configuration_window, ADW_TYPE_WINDOW)

static GtkWidget *add_group(BkConfigurationWindow *window, const char *title)
{
    GtkWidget *group = adw_preferences_group_new();
    adw_preferences_group_set_title(ADW_PREFERENCES_GROUP(group), title);
    adw_preferences_page_add(ADW_PREFERENCES_PAGE(window->page), ADW_PREFERENCES_GROUP(group));
    g_ptr_array_add(window->groups, group);
    g_string_append_printf(window->text, "%s%s\n", window->text->len ? "\n" : "", title);
    return group;
}

static void show_row(GtkWidget *group, const char *name, const char *value, const char *origin)
{
    GtkWidget *row = adw_action_row_new();
    gtk_widget_add_css_class(row, "property");
    adw_preferences_row_set_use_markup(ADW_PREFERENCES_ROW(row), FALSE);
    adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), name);
    adw_action_row_set_subtitle(ADW_ACTION_ROW(row), value);
    adw_action_row_set_subtitle_lines(ADW_ACTION_ROW(row), 4);
    if (origin) {
        GtkWidget *label = gtk_label_new(origin);
        gtk_widget_add_css_class(label, "dim-label");
        gtk_widget_add_css_class(label, "caption");
        adw_action_row_add_suffix(ADW_ACTION_ROW(row), label);
    }
    adw_preferences_group_add(ADW_PREFERENCES_GROUP(group), row);
}

static void add_text(BkConfigurationWindow *window, const char *name, const char *value,
                     const char *origin)
{
    if (origin)
        g_string_append_printf(window->text, "%s: %s (%s)\n", name, value, origin);
    else
        g_string_append_printf(window->text, "%s: %s\n", name, value);
}

static void add_row(BkConfigurationWindow *window, GtkWidget *group, const char *name,
                    const char *value, const char *origin)
{
    show_row(group, name, value, origin);
    add_text(window, name, value, origin);
}

static char *date_text(int64_t at_ms)
{
    g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc(at_ms / 1000);
    g_autoptr(GDateTime) local = utc ? g_date_time_to_local(utc) : NULL;
    /* Translators: a date and time; the letters are those of date(1). */
    return local ? g_date_time_format(local, C_("date", "%-d %B %Y, %H:%M")) : g_strdup("");
}

static void fill_account(BkConfigurationWindow *window)
{
    BkEngine *engine = bk_app_engine(window->app);
    GtkWidget *group = add_group(window, _("Account"));
    const char *address = bk_engine_address(engine);
    g_autoptr(BkAccount) last =
        g_list_model_get_item(G_LIST_MODEL(bk_app_accounts(window->app)), 0);
    if (!*address && last)
        address = bk_account_address(last);
    enum bk_client_state state = bk_engine_state(engine);
    g_autofree char *progress = bk_word_progress(state, "", 0);
    struct bk_profile_kept kept = { 0 };
    if (*address && bk_app_profile(window->app))
        (void)bk_profile_peek(bk_app_profile(window->app), address, &kept);

    add_row(window, group, _("Sign-in address"), *address ? address : _("None"), NULL);
    if (*kept.user)
        add_row(window, group, _("User name"), kept.user, NULL);
    add_row(window, group, _("State"), *progress ? progress : _("Signed out"), NULL);
    if (*kept.server) {
        g_autofree char *server = g_strdup_printf(strchr(kept.server, ':') ? "[%s]:%u" : "%s:%u",
                                                  kept.server, kept.server_port);
        add_row(window, group, _("Server"), server, NULL);
    }
    add_row(window, group, _("Connection"), _("TLS"), NULL);
    const char *proxy = bk_engine_proxy(engine);
    if (state == BK_CLIENT_SIGNED_IN)
        add_row(window, group, _("Proxy"), *proxy ? proxy : _("None, connected directly"), NULL);
    if (*kept.services)
        add_row(window, group, _("Sign-in service"), kept.services, NULL);
    if (*kept.endpoint)
        add_row(window, group, _("This computer’s number"), kept.endpoint, NULL);
    if (kept.not_after_ms) {
        g_autofree char *until = date_text(kept.not_after_ms);
        add_row(window, group, _("Certificate valid until"), until, NULL);
    }
    add_row(window, group, _("Key"),
            !kept.saved    ? _("Not kept on this computer")
            : kept.guarded ? _("Protected by the password store of the desktop")
                           : _("In a file that only you can read"),
            NULL);
    const struct bk_client_failure *failure = bk_engine_failure(engine);
    if (failure) {
        g_autofree char *text = bk_word_failure(failure);
        g_autofree char *code =
            g_strdup_printf("%s (%s %s)", text, failure->id, failure->case_code);
        add_row(window, group, _("Last failure"), code, NULL);
    }
}

static void fill_versions(BkConfigurationWindow *window)
{
    GtkWidget *group = add_group(window, _("This Computer"));
    struct utsname system;
    g_autofree char *os = g_get_os_info(G_OS_INFO_KEY_PRETTY_NAME);
    g_autofree char *toolkit =
        g_strdup_printf("GTK %u.%u.%u, libadwaita %u.%u.%u", gtk_get_major_version(),
                        gtk_get_minor_version(), gtk_get_micro_version(), adw_get_major_version(),
                        adw_get_minor_version(), adw_get_micro_version());
    add_row(window, group, _("Version"), "Beckon " BK_VERSION, NULL);
    add_row(window, group, _("Libraries"), toolkit, NULL);
    add_row(window, group, _("System"), os ? os : uname(&system) == 0 ? system.sysname : "", NULL);
    if (bk_app_profile(window->app))
        add_row(window, group, _("Folder"), bk_app_profile(window->app), NULL);
    add_row(window, group, _("Notification area"),
            bk_tray_is_present(bk_app_tray(window->app)) ? _("There") : _("None"), NULL);
}

/* A person reads what it is called in the options; who supports them gets the words of the file (beckon-desktop.conf(5)). */
static void add_option(BkConfigurationWindow *window, GtkWidget *group, enum bk_setting which)
{
    BkSettings *settings = bk_app_settings(window->app);
    const char *value = bk_settings_string(settings, which);
    const char *origin = bk_settings_is_managed(settings, which) ? _("Set by your organisation")
                         : bk_settings_is_set(settings, which)   ? _("Set by you")
                                                                 : NULL;
    const char *shown = strcmp(value, "true") == 0    ? _("Yes")
                        : strcmp(value, "false") == 0 ? _("No")
                        : *value                      ? value
                                                      : "–";
    add_text(window, bk_setting_key(which), *value ? value : "–", origin);
    if (which != BK_SETTING_CLOSE_EXPLAINED && which != BK_SETTING_CONTACTS_CLOSED)
        show_row(group, bk_setting_title(which), shown, origin);
}

static void fill_options(BkConfigurationWindow *window)
{
    BkSettings *settings = bk_app_settings(window->app);
    GtkWidget *group = add_group(window, _("Options in Effect"));
    for (int i = 0; i < BK_SETTING_COUNT; i++)
        add_option(window, group, (enum bk_setting)i);
    const char *const *complaints = bk_settings_complaints(settings);
    if (!*complaints)
        return;
    group = add_group(window, _("Could Not Be Read"));
    for (; *complaints; complaints++)
        add_row(window, group, *complaints, "", NULL);
}

static void fill(BkConfigurationWindow *window)
{
    for (guint i = 0; i < window->groups->len; i++)
        adw_preferences_page_remove(ADW_PREFERENCES_PAGE(window->page), window->groups->pdata[i]);
    g_ptr_array_set_size(window->groups, 0);
    g_string_truncate(window->text, 0);
    fill_account(window);
    fill_versions(window);
    fill_options(window);
}

static void act_copy(GtkWidget *widget, const char *name, GVariant *target)
{
    BkConfigurationWindow *window = BK_CONFIGURATION_WINDOW(widget);
    (void)name;
    (void)target;
    gdk_clipboard_set_text(gtk_widget_get_clipboard(widget), window->text->str);
    adw_toast_overlay_add_toast(ADW_TOAST_OVERLAY(window->toasts), adw_toast_new(_("Copied")));
}

static void finalize(GObject *object)
{
    BkConfigurationWindow *window = BK_CONFIGURATION_WINDOW(object);
    g_ptr_array_unref(window->groups);
    g_string_free(window->text, TRUE);
    G_OBJECT_CLASS(bk_configuration_window_parent_class)->finalize(object);
}

static void bk_configuration_window_class_init(BkConfigurationWindowClass *class)
{
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->finalize = finalize;
    gtk_widget_class_set_template_from_resource(widget,
                                                "/org/beckon/Beckon/configuration_window.ui");
    gtk_widget_class_bind_template_child(widget, BkConfigurationWindow, page);
    gtk_widget_class_bind_template_child(widget, BkConfigurationWindow, toasts);
    gtk_widget_class_install_action(widget, "configuration.copy", NULL, act_copy);
    gtk_widget_class_add_binding_action(widget, GDK_KEY_Escape, 0, "window.close", NULL);
}

static void bk_configuration_window_init(BkConfigurationWindow *window)
{
    window->groups = g_ptr_array_new();
    window->text = g_string_new(NULL);
    gtk_widget_init_template(GTK_WIDGET(window));
}

BkConfigurationWindow *bk_configuration_window_new(BkApp *app, GtkWindow *parent)
{
    BkConfigurationWindow *window = g_object_new(BK_TYPE_CONFIGURATION_WINDOW, "application", app,
                                                 "transient-for", parent, NULL);
    window->app = app;
    fill(window);
    g_signal_connect_object(bk_app_engine(app), "event::state", G_CALLBACK(fill), window,
                            G_CONNECT_SWAPPED);
    g_signal_connect_object(bk_app_engine(app), "event::deleted", G_CALLBACK(fill), window,
                            G_CONNECT_SWAPPED);
    g_signal_connect_object(bk_app_settings(app), "changed", G_CALLBACK(fill), window,
                            G_CONNECT_SWAPPED);
    return window;
}
