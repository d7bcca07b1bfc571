/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/contact_card.h"
#include "desktop/contact_actions.h"
#include "desktop/contact_model.h"
#include "desktop/presence_dot.h"
#include "desktop/words.h"
#include <glib/gi18n.h>
#include <string.h>

enum { REFRESH_S = 30 };

struct _BkContactCard {
    AdwWindow parent;
    GtkWidget *more, *avatar, *name, *status, *note, *message, *add, *details, *tagged, *relation,
        *groups, *remove, *block, *relation_group, *sees;
    BkApp *app;
    BkEngine *engine;
    BkPerson *person;
    GPtrArray *detail_rows, *group_rows; /* not owned; group_rows: check buttons with "group" */
    bool showing;                        /* what is shown changes, and no person did that */
    guint refresh;
};
G_DEFINE_FINAL_TYPE(BkContactCard, bk_contact_card, ADW_TYPE_WINDOW)

/* ---- what is known ---- */

static void copy_clicked(GtkButton *button, BkContactCard *card)
{
    (void)card;
    const char *text = g_object_get_data(G_OBJECT(button), "text");
    gdk_clipboard_set_text(gtk_widget_get_clipboard(GTK_WIDGET(button)), text);
}

static void add_detail(BkContactCard *card, const char *title, const char *text)
{
    if (!*text)
        return;
    GtkWidget *row = adw_action_row_new();
    g_autofree char *escaped = g_markup_escape_text(text, -1);
    adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), title);
    adw_action_row_set_subtitle(ADW_ACTION_ROW(row), escaped);
    gtk_widget_add_css_class(row, "property");
    GtkWidget *copy = gtk_button_new_from_icon_name("edit-copy-symbolic");
    gtk_widget_set_valign(copy, GTK_ALIGN_CENTER);
    gtk_widget_add_css_class(copy, "flat");
    /* TRANSLATORS: "Copy: Phone" */
    g_autofree char *label = g_strdup_printf(_("Copy: %s"), title);
    gtk_widget_set_tooltip_text(copy, label);
    gtk_accessible_update_property(GTK_ACCESSIBLE(copy), GTK_ACCESSIBLE_PROPERTY_LABEL, label, -1);
    g_object_set_data_full(G_OBJECT(copy), "text", g_strdup(text), g_free);
    g_signal_connect(copy, "clicked", G_CALLBACK(copy_clicked), card);
    adw_action_row_add_suffix(ADW_ACTION_ROW(row), copy);
    adw_preferences_group_add(ADW_PREFERENCES_GROUP(card->details), row);
    g_ptr_array_add(card->detail_rows, row);
}

static void show_details(BkContactCard *card)
{
    BkPerson *person = card->person;
    for (guint i = 0; i < card->detail_rows->len; i++)
        adw_preferences_group_remove(ADW_PREFERENCES_GROUP(card->details),
                                     card->detail_rows->pdata[i]);
    g_ptr_array_set_size(card->detail_rows, 0);
    add_detail(card, _("Address"), bk_person_address(person));
    if (g_ascii_strcasecmp(bk_person_email(person), bk_person_address(person)) != 0)
        add_detail(card, _("E-Mail"), bk_person_email(person));
    add_detail(card, _("Phone"), bk_person_phone(person));
    add_detail(card, C_("profession", "Title"), bk_person_title(person));
    add_detail(card, _("Office"), bk_person_office(person));
    add_detail(card, _("Company"), bk_person_company(person));
}

static void show_presence(BkContactCard *card)
{
    g_autofree char *status = bk_contact_status(card->person, g_get_real_time() / 1000);
    bool counts = !bk_person_is_blocked(card->person) &&
                  bk_person_shown(card->person) > BK_PIDF_SHOWN_UNKNOWN;
    const char *note = counts ? bk_person_note(card->person) : "";
    gtk_label_set_label(GTK_LABEL(card->status), status);
    gtk_label_set_label(GTK_LABEL(card->note), note);
    gtk_widget_set_visible(card->note, *note != '\0');
}

/* ---- groups ---- */

static void group_toggled(GtkCheckButton *check, BkContactCard *card)
{
    if (card->showing)
        return;
    const char *group = g_object_get_data(G_OBJECT(check), "group");
    if (gtk_check_button_get_active(check))
        bk_contact_add(GTK_WIDGET(card), bk_person_address(card->person), group);
    else
        bk_contact_edit(GTK_WIDGET(card),
                        &(struct bk_client_edit){ .kind = BK_CLIENT_EDIT_REMOVE_CONTACT,
                                                  .address = bk_person_address(card->person),
                                                  .group = group });
}

static void add_group(BkContactCard *card, const char *name, const char *title)
{
    GtkWidget *row = adw_action_row_new();
    g_autofree char *escaped = g_markup_escape_text(title, -1);
    adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), escaped);
    GtkWidget *check = gtk_check_button_new();
    gtk_widget_set_valign(check, GTK_ALIGN_CENTER);
    gtk_check_button_set_active(GTK_CHECK_BUTTON(check),
                                g_strv_contains(bk_person_groups(card->person), name));
    gtk_accessible_update_property(GTK_ACCESSIBLE(check), GTK_ACCESSIBLE_PROPERTY_LABEL, title, -1);
    g_object_set_data_full(G_OBJECT(check), "group", g_strdup(name), g_free);
    g_signal_connect(check, "toggled", G_CALLBACK(group_toggled), card);
    adw_action_row_add_prefix(ADW_ACTION_ROW(row), check);
    adw_action_row_set_activatable_widget(ADW_ACTION_ROW(row), check);
    adw_expander_row_add_row(ADW_EXPANDER_ROW(card->groups), row);
    g_ptr_array_add(card->group_rows, row);
}

static void show_groups(BkContactCard *card)
{
    BkRoster *roster = bk_app_roster(card->app);
    GListModel *groups = bk_roster_groups(roster);
    for (guint i = 0; i < card->group_rows->len; i++)
        adw_expander_row_remove(ADW_EXPANDER_ROW(card->groups), card->group_rows->pdata[i]);
    g_ptr_array_set_size(card->group_rows, 0);
    g_autoptr(GPtrArray) titles = g_ptr_array_new_with_free_func(g_free);
    guint n = g_list_model_get_n_items(groups);
    for (guint i = 0; i < n; i++) {
        g_autoptr(BkGroup) group = g_list_model_get_item(groups, i);
        g_autofree char *title = bk_group_title(group);
        if (g_strv_contains(bk_person_groups(card->person), bk_group_name(group)))
            g_ptr_array_add(titles, g_markup_escape_text(title, -1));
        if (strcmp(bk_group_name(group), "~") != 0)
            add_group(card, bk_group_name(group), title);
    }
    g_ptr_array_add(titles, NULL);
    g_autofree char *all = g_strjoinv(", ", (char **)titles->pdata);
    adw_expander_row_set_subtitle(ADW_EXPANDER_ROW(card->groups), all);
    gtk_widget_set_visible(card->groups, bk_roster_has_lists(roster) && card->group_rows->len > 0);
}

/* ---- privacy ---- */

static const char *sees(int level)
{
    switch (level) {
    case 100:
        return _("They see your status, title and office.");
    case 200:
        return _("They see your status, your note and your phone at work.");
    case 300:
        return _("They see your mobile phone, too, and may interrupt Do Not Disturb.");
    case 400:
        return _("They see all your phone numbers.");
    default:
        return _("They see what is usual for their organization.");
    }
}

static const int levels[] = { 0, 100, 200, 300, 400 };

static void show_relation(BkContactCard *card)
{
    int level = bk_person_relation(card->person);
    guint at = 0;
    for (guint i = 0; i < G_N_ELEMENTS(levels); i++)
        if (levels[i] == level)
            at = i;
    adw_combo_row_set_selected(ADW_COMBO_ROW(card->relation), at);
    bool blocked = bk_person_is_blocked(card->person);
    bool lists = bk_roster_has_lists(bk_app_roster(card->app));
    gtk_label_set_label(GTK_LABEL(card->sees),
                        blocked ? _("To them you look offline. They cannot reach you.")
                                : sees(levels[at]));
    gtk_widget_set_visible(card->relation_group, lists && !blocked);
    gtk_widget_set_visible(card->sees, lists || blocked);
}

static void relation_chosen(BkContactCard *card)
{
    guint at = adw_combo_row_get_selected(ADW_COMBO_ROW(card->relation));
    if (card->showing || at >= G_N_ELEMENTS(levels) ||
        levels[at] == bk_person_relation(card->person))
        return;
    gtk_label_set_label(GTK_LABEL(card->sees), sees(levels[at]));
    bk_contact_edit(GTK_WIDGET(card),
                    &(struct bk_client_edit){ .kind = BK_CLIENT_EDIT_RELATION,
                                              .address = bk_person_address(card->person),
                                              .level = levels[at] });
}

static void tagged_toggled(BkContactCard *card)
{
    bool tagged = gtk_switch_get_active(GTK_SWITCH(card->tagged));
    if (!card->showing && tagged != bk_person_is_tagged(card->person))
        bk_roster_set_tagged(bk_app_roster(card->app), card->person, tagged);
}

/* ---- together ---- */

static void show_person(BkContactCard *card)
{
    BkPerson *person = card->person;
    bool contact = bk_person_is_contact(person), blocked = bk_person_is_blocked(person);
    bool lists = bk_roster_has_lists(bk_app_roster(card->app));
    card->showing = true;
    gtk_window_set_title(GTK_WINDOW(card), bk_person_name(person));
    gtk_label_set_label(GTK_LABEL(card->name), bk_person_name(person));
    show_presence(card);
    gtk_widget_set_visible(card->add, !contact && lists);
    gtk_widget_set_visible(card->remove, contact);
    gtk_widget_set_visible(card->block, lists);
    adw_preferences_row_set_title(ADW_PREFERENCES_ROW(card->block),
                                  blocked ? _("Unblock") : _("Block…"));
    gtk_switch_set_active(GTK_SWITCH(card->tagged), bk_person_is_tagged(person));
    show_relation(card);
    show_groups(card);
    g_autoptr(GMenuModel) menu = bk_contact_menu(person, NULL, true);
    gtk_menu_button_set_menu_model(GTK_MENU_BUTTON(card->more), menu);
    GActionGroup *actions = bk_contact_menu_actions(GTK_WIDGET(card), person, NULL);
    gtk_widget_insert_action_group(GTK_WIDGET(card), "person", actions);
    g_object_unref(actions);
    card->showing = false;
}

static void person_changed(BkPerson *person, GParamSpec *what, BkContactCard *card)
{
    (void)person;
    static const char *const presence[] = { "shown", "note", "since-ms", NULL };
    static const char *const known[] = { "title", "office", "phone", "company", "email", NULL };
    if (g_strv_contains(presence, what->name))
        show_presence(card);
    else if (g_strv_contains(known, what->name))
        show_details(card);
    else
        show_person(card);
}

/* What was chosen here and refused there goes back to what counts. */
static gboolean refresh(void *data)
{
    BkContactCard *card = data;
    show_presence(card);
    return G_SOURCE_CONTINUE;
}

/* Who signs out leaves nobody's card behind. */
static void state_changed(BkContactCard *card)
{
    if (!bk_engine_has_session(card->engine))
        gtk_window_destroy(GTK_WINDOW(card));
}

static void dispose(GObject *object)
{
    BkContactCard *card = BK_CONTACT_CARD(object);
    if (card->engine)
        g_signal_handlers_disconnect_by_data(card->engine, card);
    g_clear_object(&card->engine);
    g_clear_handle_id(&card->refresh, g_source_remove);
    if (card->person)
        g_signal_handlers_disconnect_by_data(card->person, card);
    if (card->app && bk_app_roster(card->app))
        g_signal_handlers_disconnect_by_data(bk_roster_groups(bk_app_roster(card->app)), card);
    g_clear_object(&card->person);
    G_OBJECT_CLASS(bk_contact_card_parent_class)->dispose(object);
}

static void finalize(GObject *object)
{
    BkContactCard *card = BK_CONTACT_CARD(object);
    g_ptr_array_unref(card->detail_rows);
    g_ptr_array_unref(card->group_rows);
    G_OBJECT_CLASS(bk_contact_card_parent_class)->finalize(object);
}

static void bk_contact_card_class_init(BkContactCardClass *class)
{
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = dispose;
    G_OBJECT_CLASS(class)->finalize = finalize;
    g_type_ensure(BK_TYPE_PERSON_AVATAR);
    gtk_widget_class_set_template_from_resource(widget, "/org/beckon/Beckon/contact_card.ui");
    gtk_widget_class_bind_template_child(widget, BkContactCard, more);
    gtk_widget_class_bind_template_child(widget, BkContactCard, avatar);
    gtk_widget_class_bind_template_child(widget, BkContactCard, name);
    gtk_widget_class_bind_template_child(widget, BkContactCard, status);
    gtk_widget_class_bind_template_child(widget, BkContactCard, note);
    gtk_widget_class_bind_template_child(widget, BkContactCard, message);
    gtk_widget_class_bind_template_child(widget, BkContactCard, add);
    gtk_widget_class_bind_template_child(widget, BkContactCard, details);
    gtk_widget_class_bind_template_child(widget, BkContactCard, tagged);
    gtk_widget_class_bind_template_child(widget, BkContactCard, relation);
    gtk_widget_class_bind_template_child(widget, BkContactCard, groups);
    gtk_widget_class_bind_template_child(widget, BkContactCard, remove);
    gtk_widget_class_bind_template_child(widget, BkContactCard, block);
    gtk_widget_class_bind_template_child(widget, BkContactCard, relation_group);
    gtk_widget_class_bind_template_child(widget, BkContactCard, sees);
    gtk_widget_class_add_binding_action(widget, GDK_KEY_Escape, 0, "window.close", NULL);
}

static void bk_contact_card_init(BkContactCard *card)
{
    card->detail_rows = g_ptr_array_new();
    card->group_rows = g_ptr_array_new();
    gtk_widget_init_template(GTK_WIDGET(card));
    GtkStringList *words = gtk_string_list_new(NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(levels); i++)
        gtk_string_list_append(words, bk_word_relation(levels[i]));
    adw_combo_row_set_model(ADW_COMBO_ROW(card->relation), G_LIST_MODEL(words));
    g_object_unref(words);
    g_signal_connect_swapped(card->relation, "notify::selected", G_CALLBACK(relation_chosen), card);
    g_signal_connect_swapped(card->tagged, "notify::active", G_CALLBACK(tagged_toggled), card);
    card->refresh = g_timeout_add_seconds(REFRESH_S, refresh, card);
}

void bk_contact_card_show(BkApp *app, GtkWindow *parent, BkPerson *person)
{
    GList *windows = gtk_application_get_windows(GTK_APPLICATION(app));
    for (GList *at = windows; at; at = at->next)
        if (BK_IS_CONTACT_CARD(at->data) && BK_CONTACT_CARD(at->data)->person == person) {
            gtk_window_present(GTK_WINDOW(at->data));
            return;
        }
    /* The role of windows is one that AT-SPI is told nothing of in GTK 4.8. */
    BkContactCard *card = g_object_new(BK_TYPE_CONTACT_CARD, "accessible-role",
                                       GTK_ACCESSIBLE_ROLE_DIALOG, "application", app,
                                       "transient-for", parent, "destroy-with-parent", TRUE, NULL);
    card->app = app;
    card->person = g_object_ref(person);
    card->engine = g_object_ref(bk_app_engine(app));
    g_signal_connect_swapped(card->engine, "notify::state", G_CALLBACK(state_changed), card);
    card->showing = true;
    bk_person_avatar_set_person(BK_PERSON_AVATAR(card->avatar), person);
    show_details(card);
    show_person(card);
    g_signal_connect(person, "notify", G_CALLBACK(person_changed), card);
    g_signal_connect_swapped(bk_roster_groups(bk_app_roster(app)), "items-changed",
                             G_CALLBACK(show_person), card);
    gtk_window_set_focus(GTK_WINDOW(card), card->message);
    gtk_window_present(GTK_WINDOW(card));
}
