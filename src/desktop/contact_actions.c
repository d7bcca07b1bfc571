/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/contact_actions.h"
#include "desktop/contact_card.h"
#include "desktop/contact_model.h"
#include "desktop/words.h"
#include <glib/gi18n.h>
#include <string.h>

enum { TEXT_MAX = 256 }; /* bytes of a name, client.h */

const int bk_contact_relations[4] = { 100, 200, 300, 400 };

/* ---- edits ---- */

static void toast(GtkWidget *from, const char *text)
{
    GtkWidget *overlay = from ? gtk_widget_get_ancestor(from, ADW_TYPE_TOAST_OVERLAY) : NULL;
    if (!overlay) {
        bk_app_toast(bk_app_default(), text);
        return;
    }
    g_autofree char *escaped = g_markup_escape_text(text, -1);
    AdwToast *said = adw_toast_new(escaped);
    adw_toast_set_timeout(said, 8);
    adw_toast_overlay_add_toast(ADW_TOAST_OVERLAY(overlay), said);
}

struct edit {
    GWeakRef from;
    enum bk_client_edit_kind kind;
    char *texts[5]; /* address, name, group, to_group, text */
    int level;
    struct edit *then; /* when this one was done */
};

static struct edit *edit_new(GtkWidget *from, const struct bk_client_edit *wish)
{
    struct edit *edit = g_new0(struct edit, 1);
    g_weak_ref_init(&edit->from, from);
    edit->kind = wish->kind;
    edit->level = wish->level;
    const char *texts[5] = { wish->address, wish->name, wish->group, wish->to_group, wish->text };
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        edit->texts[i] = g_strdup(texts[i]);
    return edit;
}

static void edit_free(struct edit *edit)
{
    if (!edit)
        return;
    edit_free(edit->then);
    g_weak_ref_clear(&edit->from);
    for (size_t i = 0; i < G_N_ELEMENTS(edit->texts); i++)
        g_free(edit->texts[i]);
    g_free(edit);
}

static void start(struct edit *edit);

static void edited(GObject *source, GAsyncResult *result, void *data)
{
    struct edit *edit = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&edit->from);
    if (!bk_engine_edit_finish(BK_ENGINE(source), result, &error)) {
        if (!g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
            toast(from, error->message);
    } else if (edit->then) {
        start(g_steal_pointer(&edit->then));
    }
    edit_free(edit);
}

static void start(struct edit *edit)
{
    struct bk_client_edit wish = {
        .kind = edit->kind,
        .address = edit->texts[0],
        .name = edit->texts[1],
        .group = edit->texts[2],
        .to_group = edit->texts[3],
        .text = edit->texts[4],
        .level = edit->level,
    };
    bk_engine_edit_async(bk_app_engine(bk_app_default()), &wish, NULL, edited, edit);
}

static bool waits_for_answer(const char *address)
{
    GListModel *followers = bk_roster_followers(bk_app_roster(bk_app_default()));
    guint n = g_list_model_get_n_items(followers);
    for (guint i = 0; i < n; i++) {
        g_autoptr(BkPerson) person = g_list_model_get_item(followers, i);
        if (g_ascii_strcasecmp(bk_person_address(person), address) == 0)
            return true;
    }
    return false;
}

/* Who is added or blocked has had an answer to having added the user. */
static struct edit *with_answer(struct edit *edit)
{
    const char *address = edit->texts[0];
    if ((edit->kind == BK_CLIENT_EDIT_ADD_CONTACT || edit->kind == BK_CLIENT_EDIT_BLOCK) &&
        address && waits_for_answer(address))
        edit->then = edit_new(NULL, &(struct bk_client_edit){ .kind = BK_CLIENT_EDIT_ACKNOWLEDGE,
                                                              .address = address });
    return edit;
}

void bk_contact_edit(GtkWidget *from, const struct bk_client_edit *wish)
{
    start(with_answer(edit_new(from, wish)));
}

static bool has_group(const char *name)
{
    GListModel *groups = bk_roster_groups(bk_app_roster(bk_app_default()));
    guint n = g_list_model_get_n_items(groups);
    for (guint i = 0; i < n; i++) {
        g_autoptr(BkGroup) group = g_list_model_get_item(groups, i);
        if (strcmp(bk_group_name(group), name) == 0)
            return true;
    }
    return false;
}

/* The wish, behind the making of its group where there is none. */
static void edit_in_group(GtkWidget *from, const struct bk_client_edit *wish, const char *group)
{
    if (!group || strcmp(group, "~") == 0 || has_group(group)) {
        bk_contact_edit(from, wish);
        return;
    }
    struct edit *make = edit_new(
        from, &(struct bk_client_edit){ .kind = BK_CLIENT_EDIT_ADD_GROUP, .group = group });
    make->then = with_answer(edit_new(from, wish));
    start(make);
}

void bk_contact_add(GtkWidget *from, const char *address, const char *group)
{
    if (group && strcmp(group, "~") == 0)
        group = NULL; /* a list need not have it */
    edit_in_group(from,
                  &(struct bk_client_edit){
                      .kind = BK_CLIENT_EDIT_ADD_CONTACT, .address = address, .group = group },
                  group);
}

void bk_contact_unblock(GtkWidget *from, BkPerson *person)
{
    bk_contact_edit(from, &(struct bk_client_edit){ .kind = BK_CLIENT_EDIT_UNBLOCK,
                                                    .address = bk_person_address(person) });
}

/* ---- questions ---- */

/* What was asked and about whom; lives as long as its dialog. */
struct question {
    GWeakRef from;
    BkPerson *person;
    char *group;
    GtkWidget *entry, *choice;
    GStrv choices;
    bool required;
};

static void question_free(void *data)
{
    struct question *question = data;
    g_weak_ref_clear(&question->from);
    g_clear_object(&question->person);
    g_free(question->group);
    g_strfreev(question->choices);
    g_free(question);
}

static AdwMessageDialog *ask(GtkWidget *from, struct question *question, const char *heading,
                             const char *body, const char *answer, GCallback answered)
{
    GtkRoot *root = from ? gtk_widget_get_root(from) : NULL;
    /* Its own role is one that AT-SPI is told nothing of in GTK 4.8. */
    GtkWidget *dialog = g_object_new(
        ADW_TYPE_MESSAGE_DIALOG, "accessible-role", GTK_ACCESSIBLE_ROLE_DIALOG, "transient-for",
        GTK_IS_WINDOW(root) ? root : NULL, "heading", heading, "body", body ? body : "", NULL);
    gtk_accessible_update_property(GTK_ACCESSIBLE(dialog), GTK_ACCESSIBLE_PROPERTY_LABEL, heading,
                                   -1);
    adw_message_dialog_add_responses(ADW_MESSAGE_DIALOG(dialog), "cancel", _("_Cancel"), "do",
                                     answer, NULL);
    adw_message_dialog_set_close_response(ADW_MESSAGE_DIALOG(dialog), "cancel");
    adw_message_dialog_set_default_response(ADW_MESSAGE_DIALOG(dialog), "do");
    g_weak_ref_init(&question->from, from);
    g_object_set_data_full(G_OBJECT(dialog), "question", question, question_free);
    g_signal_connect(dialog, "response::do", answered, question);
    return ADW_MESSAGE_DIALOG(dialog);
}

static void show(AdwMessageDialog *dialog, AdwResponseAppearance appearance)
{
    adw_message_dialog_set_response_appearance(dialog, "do", appearance);
    if (appearance == ADW_RESPONSE_DESTRUCTIVE) /* Enter, pressed without reading, does no harm */
        adw_message_dialog_set_default_response(dialog, "cancel");
    gtk_window_present(GTK_WINDOW(dialog));
}

static void check_entry(GtkEditable *entry, AdwMessageDialog *dialog)
{
    struct question *question = g_object_get_data(G_OBJECT(dialog), "question");
    g_autofree char *text = g_strstrip(g_strdup(gtk_editable_get_text(entry)));
    bool good = strlen(text) <= TEXT_MAX && (*text || !question->required);
    if (question->choice) { /* the dialog that wants an address */
        g_autofree char *address = bk_contact_address_of(text);
        good = good && address;
    }
    adw_message_dialog_set_response_enabled(dialog, "do", good);
}

static void entry_activated(GtkWidget *entry, AdwMessageDialog *dialog)
{
    (void)entry;
    if (adw_message_dialog_get_response_enabled(dialog, "do")) {
        adw_message_dialog_response(dialog, "do");
        gtk_window_destroy(GTK_WINDOW(dialog));
    }
}

/* One line to type in the dialog. */
static void add_entry(AdwMessageDialog *dialog, struct question *question, const char *title,
                      const char *text)
{
    GtkWidget *list = adw_preferences_group_new();
    GtkWidget *row = adw_entry_row_new();
    adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), title);
    gtk_editable_set_text(GTK_EDITABLE(row), text);
    adw_preferences_group_add(ADW_PREFERENCES_GROUP(list), row);
    adw_message_dialog_set_extra_child(dialog, list);
    question->entry = row;
    g_signal_connect(row, "changed", G_CALLBACK(check_entry), dialog);
    g_signal_connect(row, "entry-activated", G_CALLBACK(entry_activated), dialog);
    check_entry(GTK_EDITABLE(row), dialog);
    gtk_widget_grab_focus(row);
}

static char *typed(struct question *question)
{
    return g_strstrip(g_strdup(gtk_editable_get_text(GTK_EDITABLE(question->entry))));
}

static void block_answered(AdwMessageDialog *dialog, const char *response,
                           struct question *question)
{
    (void)dialog;
    (void)response;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&question->from);
    bk_contact_edit(from,
                    &(struct bk_client_edit){ .kind = BK_CLIENT_EDIT_BLOCK,
                                              .address = bk_person_address(question->person) });
}

void bk_contact_ask_block(GtkWidget *from, BkPerson *person)
{
    struct question *question = g_new0(struct question, 1);
    question->person = g_object_ref(person);
    /* TRANSLATORS: a person's name */
    g_autofree char *heading = g_strdup_printf(_("Block %s?"), bk_person_name(person));
    AdwMessageDialog *dialog =
        ask(from, question, heading,
            _("To them you will look offline, and what they write or call does not reach you. They "
              "are not told."),
            _("_Block"), G_CALLBACK(block_answered));
    show(dialog, ADW_RESPONSE_DESTRUCTIVE);
}

static void rename_answered(AdwMessageDialog *dialog, const char *response,
                            struct question *question)
{
    (void)dialog;
    (void)response;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&question->from);
    g_autofree char *name = typed(question);
    bk_contact_edit(from, &(struct bk_client_edit){ .kind = BK_CLIENT_EDIT_RENAME_CONTACT,
                                                    .address = bk_person_address(question->person),
                                                    .name = name });
}

void bk_contact_ask_rename(GtkWidget *from, BkPerson *person)
{
    struct question *question = g_new0(struct question, 1);
    question->person = g_object_ref(person);
    AdwMessageDialog *dialog =
        ask(from, question, _("Rename Contact"),
            _("Only you see this name. Leave it empty to use the name they gave themselves."),
            _("_Rename"), G_CALLBACK(rename_answered));
    add_entry(dialog, question, _("Name"), bk_person_name(person));
    show(dialog, ADW_RESPONSE_SUGGESTED);
}

static void new_group_answered(AdwMessageDialog *dialog, const char *response,
                               struct question *question)
{
    (void)dialog;
    (void)response;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&question->from);
    g_autofree char *name = typed(question);
    if (question->person)
        bk_contact_add(from, bk_person_address(question->person), name);
    else
        bk_contact_edit(
            from, &(struct bk_client_edit){ .kind = BK_CLIENT_EDIT_ADD_GROUP, .group = name });
}

void bk_contact_ask_new_group(GtkWidget *from, BkPerson *person)
{
    struct question *question = g_new0(struct question, 1);
    question->required = true;
    if (person)
        question->person = g_object_ref(person);
    AdwMessageDialog *dialog =
        ask(from, question, _("New Group"), NULL, _("_Create"), G_CALLBACK(new_group_answered));
    add_entry(dialog, question, _("Name of the group"), "");
    show(dialog, ADW_RESPONSE_SUGGESTED);
}

static void rename_group_answered(AdwMessageDialog *dialog, const char *response,
                                  struct question *question)
{
    (void)dialog;
    (void)response;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&question->from);
    g_autofree char *name = typed(question);
    if (strcmp(name, question->group) != 0)
        bk_contact_edit(from, &(struct bk_client_edit){ .kind = BK_CLIENT_EDIT_RENAME_GROUP,
                                                        .group = question->group,
                                                        .to_group = name });
}

void bk_contact_ask_rename_group(GtkWidget *from, const char *group)
{
    struct question *question = g_new0(struct question, 1);
    question->required = true;
    question->group = g_strdup(group);
    AdwMessageDialog *dialog = ask(from, question, _("Rename Group"), NULL, _("_Rename"),
                                   G_CALLBACK(rename_group_answered));
    add_entry(dialog, question, _("Name of the group"), group);
    show(dialog, ADW_RESPONSE_SUGGESTED);
}

static void delete_group_answered(AdwMessageDialog *dialog, const char *response,
                                  struct question *question)
{
    (void)dialog;
    (void)response;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&question->from);
    bk_contact_edit(from, &(struct bk_client_edit){ .kind = BK_CLIENT_EDIT_DELETE_GROUP,
                                                    .group = question->group });
}

void bk_contact_ask_delete_group(GtkWidget *from, const char *group)
{
    struct question *question = g_new0(struct question, 1);
    question->group = g_strdup(group);
    /* TRANSLATORS: the name of a group */
    g_autofree char *heading = g_strdup_printf(_("Delete the Group “%s”?"), group);
    AdwMessageDialog *dialog =
        ask(from, question, heading,
            _("The people in it stay: who is in no other group goes to Other Contacts."),
            _("_Delete"), G_CALLBACK(delete_group_answered));
    show(dialog, ADW_RESPONSE_DESTRUCTIVE);
}

static void add_answered(AdwMessageDialog *dialog, const char *response, struct question *question)
{
    (void)dialog;
    (void)response;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&question->from);
    g_autofree char *text = typed(question);
    g_autofree char *address = bk_contact_address_of(text);
    guint chosen = adw_combo_row_get_selected(ADW_COMBO_ROW(question->choice));
    if (address)
        bk_contact_add(from, address,
                       chosen < g_strv_length(question->choices) ? question->choices[chosen]
                                                                 : NULL);
}

void bk_contact_ask_add(GtkWidget *from, const char *address)
{
    BkRoster *roster = bk_app_roster(bk_app_default());
    struct question *question = g_new0(struct question, 1);
    question->required = true;
    AdwMessageDialog *dialog =
        ask(from, question, _("Add a Contact"),
            _("Their address looks like an e-mail address. They are told that you added them."),
            _("_Add"), G_CALLBACK(add_answered));

    GtkStringList *titles = gtk_string_list_new(NULL);
    GStrvBuilder *names = g_strv_builder_new();
    GListModel *groups = bk_roster_groups(roster);
    guint n = g_list_model_get_n_items(groups);
    gtk_string_list_append(titles, _("Other Contacts"));
    g_strv_builder_add(names, "~");
    for (guint i = 0; i < n; i++) {
        g_autoptr(BkGroup) group = g_list_model_get_item(groups, i);
        if (strcmp(bk_group_name(group), "~") == 0)
            continue;
        g_autofree char *title = bk_group_title(group);
        gtk_string_list_append(titles, title);
        g_strv_builder_add(names, bk_group_name(group));
    }
    question->choices = g_strv_builder_end(names);
    g_strv_builder_unref(names);
    question->choice = adw_combo_row_new();
    adw_preferences_row_set_title(ADW_PREFERENCES_ROW(question->choice), _("Group"));
    adw_combo_row_set_model(ADW_COMBO_ROW(question->choice), G_LIST_MODEL(titles));
    g_object_unref(titles);
    gtk_widget_set_visible(question->choice, g_strv_length(question->choices) > 1);

    add_entry(dialog, question, _("Address"), address ? address : "");
    GtkWidget *list = adw_message_dialog_get_extra_child(dialog);
    adw_preferences_group_add(ADW_PREFERENCES_GROUP(list), question->choice);
    show(dialog, ADW_RESPONSE_SUGGESTED);
}

/* ---- menus ---- */

static void append(GMenu *menu, const char *label, const char *action, GVariant *target)
{
    GMenuItem *item = g_menu_item_new(label, NULL);
    g_menu_item_set_action_and_target_value(item, action, target);
    g_menu_append_item(menu, item);
    g_object_unref(item);
}

/* Names of people and groups stand in menus; their underscores are no mnemonics. */
static char *without_mnemonic(const char *text)
{
    char **parts = g_strsplit(text, "_", -1);
    char *escaped = g_strjoinv("__", parts);
    g_strfreev(parts);
    return escaped;
}

static bool is_in(BkPerson *person, const char *group)
{
    return g_strv_contains(bk_person_groups(person), group);
}

/* The groups this person is not in. */
static GMenu *groups_menu(BkPerson *person, const char *action, bool with_new)
{
    GMenu *menu = g_menu_new();
    GMenu *section = g_menu_new();
    GListModel *groups = bk_roster_groups(bk_app_roster(bk_app_default()));
    guint n = g_list_model_get_n_items(groups);
    for (guint i = 0; i < n; i++) {
        g_autoptr(BkGroup) group = g_list_model_get_item(groups, i);
        if (is_in(person, bk_group_name(group)) || strcmp(bk_group_name(group), "~") == 0)
            continue;
        g_autofree char *title = bk_group_title(group);
        g_autofree char *label = without_mnemonic(title);
        append(section, label, action, g_variant_new_string(bk_group_name(group)));
    }
    g_menu_append_section(menu, NULL, G_MENU_MODEL(section));
    g_object_unref(section);
    if (with_new) {
        section = g_menu_new();
        append(section, _("New Group…"), "person.new-group", NULL);
        g_menu_append_section(menu, NULL, G_MENU_MODEL(section));
        g_object_unref(section);
    }
    return menu;
}

static void append_submenu(GMenu *to, const char *label, GMenu *submenu)
{
    g_menu_append_submenu(to, label, G_MENU_MODEL(submenu));
    g_object_unref(submenu);
}

static void end_section(GMenu *menu, GMenu *section)
{
    if (g_menu_model_get_n_items(G_MENU_MODEL(section)))
        g_menu_append_section(menu, NULL, G_MENU_MODEL(section));
    g_object_unref(section);
}

GMenuModel *bk_contact_menu(BkPerson *person, const char *group, bool of_card)
{
    BkRoster *roster = bk_app_roster(bk_app_default());
    bool contact = bk_person_is_contact(person), lists = bk_roster_has_lists(roster);
    GMenu *menu = g_menu_new();

    GMenu *section = g_menu_new();
    append(section, _("Send a _Message"), "person.message", NULL);
    if (!of_card)
        append(section, _("_View Contact Card"), "person.card", NULL);
    end_section(menu, section);

    section = g_menu_new();
    if (contact) {
        if (lists) {
            append(section,
                   bk_person_is_favourite(person) ? _("Remove from _Favorites")
                                                  : _("Add to _Favorites"),
                   "person.favourite", NULL);
            if (group)
                append_submenu(section, _("Mo_ve to Group"),
                               groups_menu(person, "person.move", false));
            append_submenu(section, _("_Copy to Group"), groups_menu(person, "person.copy", true));
        }
        append(section, _("_Rename…"), "person.rename", NULL);
    } else {
        append(section, _("_Add to Contacts"), "person.add", NULL);
        if (lists)
            append_submenu(section, _("Add to _Group"), groups_menu(person, "person.copy", true));
    }
    end_section(menu, section);

    section = g_menu_new();
    append(section, _("Tell Me When _Available"), "person.tagged", NULL);
    if (lists) {
        GMenu *relations = g_menu_new();
        for (size_t i = 0; i < G_N_ELEMENTS(bk_contact_relations); i++)
            append(relations, bk_word_relation(bk_contact_relations[i]), "person.relation",
                   g_variant_new_int32(bk_contact_relations[i]));
        append(relations, bk_word_relation(0), "person.relation", g_variant_new_int32(0));
        append_submenu(section, _("_Privacy Relationship"), relations);
    }
    end_section(menu, section);

    section = g_menu_new();
    if (contact && group && strcmp(group, "~") != 0 && lists &&
        g_strv_length((char **)bk_person_groups(person)) > 1)
        append(section, _("Remove from This _Group"), "person.remove-from-group", NULL);
    if (contact)
        append(section, _("Remove from C_ontacts"), "person.remove", NULL);
    if (waits_for_answer(bk_person_address(person)))
        append(section, _("_Dismiss"), "person.dismiss", NULL);
    append(section, bk_person_is_blocked(person) ? _("Un_block") : _("_Block…"), "person.block",
           NULL);
    end_section(menu, section);
    return G_MENU_MODEL(menu);
}

/* About whom the actions of a menu are. */
struct about {
    GWeakRef from;
    BkPerson *person;
    char *group;
};

static void about_free(void *data, GClosure *closure)
{
    (void)closure;
    struct about *about = data;
    g_weak_ref_clear(&about->from);
    g_clear_object(&about->person);
    g_free(about->group);
    g_free(about);
}

static GSimpleAction *add_action(GSimpleActionGroup *group, const char *name, const char *type,
                                 GVariant *state, GCallback activated, GtkWidget *from,
                                 BkPerson *person, const char *of_group)
{
    g_autoptr(GVariantType) parameter = type ? g_variant_type_new(type) : NULL;
    GSimpleAction *action = state ? g_simple_action_new_stateful(name, parameter, state)
                                  : g_simple_action_new(name, parameter);
    struct about *about = g_new0(struct about, 1);
    g_weak_ref_init(&about->from, from);
    about->person = person ? g_object_ref(person) : NULL;
    about->group = g_strdup(of_group);
    g_signal_connect_data(action, "activate", activated, about, about_free, 0);
    g_action_map_add_action(G_ACTION_MAP(group), G_ACTION(action));
    g_object_unref(action);
    return action;
}

static void on_message(GSimpleAction *action, GVariant *target, struct about *about)
{
    (void)action;
    (void)target;
    bk_app_open_talk(bk_app_default(), bk_person_address(about->person));
}

static void on_card(GSimpleAction *action, GVariant *target, struct about *about)
{
    (void)action;
    (void)target;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&about->from);
    GtkRoot *root = from ? gtk_widget_get_root(from) : NULL;
    bk_contact_card_show(bk_app_default(), GTK_IS_WINDOW(root) ? GTK_WINDOW(root) : NULL,
                         about->person);
}

static void on_add(GSimpleAction *action, GVariant *target, struct about *about)
{
    (void)action;
    (void)target;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&about->from);
    bk_contact_add(from, bk_person_address(about->person), NULL);
}

static void on_favourite(GSimpleAction *action, GVariant *target, struct about *about)
{
    (void)action;
    (void)target;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&about->from);
    const char *address = bk_person_address(about->person);
    if (bk_person_is_favourite(about->person))
        bk_contact_edit(from, &(struct bk_client_edit){ .kind = BK_CLIENT_EDIT_REMOVE_CONTACT,
                                                        .address = address,
                                                        .group = BK_ROSTER_FAVOURITES });
    else
        bk_contact_add(from, address, BK_ROSTER_FAVOURITES);
}

static void on_copy(GSimpleAction *action, GVariant *target, struct about *about)
{
    (void)action;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&about->from);
    bk_contact_add(from, bk_person_address(about->person), g_variant_get_string(target, NULL));
}

static void on_move(GSimpleAction *action, GVariant *target, struct about *about)
{
    (void)action;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&about->from);
    const char *address = bk_person_address(about->person);
    const char *to = g_variant_get_string(target, NULL);
    if (strcmp(about->group, "~") == 0) /* who comes into a group is no longer among the others */
        bk_contact_add(from, address, to);
    else
        bk_contact_edit(from, &(struct bk_client_edit){ .kind = BK_CLIENT_EDIT_MOVE_CONTACT,
                                                        .address = address,
                                                        .group = about->group,
                                                        .to_group = to });
}

static void on_new_group(GSimpleAction *action, GVariant *target, struct about *about)
{
    (void)action;
    (void)target;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&about->from);
    bk_contact_ask_new_group(from, about->person);
}

static void on_rename(GSimpleAction *action, GVariant *target, struct about *about)
{
    (void)action;
    (void)target;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&about->from);
    bk_contact_ask_rename(from, about->person);
}

static void on_tagged(GSimpleAction *action, GVariant *target, struct about *about)
{
    (void)target;
    bool tagged = !bk_person_is_tagged(about->person);
    bk_roster_set_tagged(bk_app_roster(bk_app_default()), about->person, tagged);
    g_simple_action_set_state(action, g_variant_new_boolean(tagged));
}

static void on_relation(GSimpleAction *action, GVariant *target, struct about *about)
{
    g_autoptr(GtkWidget) from = g_weak_ref_get(&about->from);
    int level = g_variant_get_int32(target);
    bk_contact_edit(from, &(struct bk_client_edit){ .kind = BK_CLIENT_EDIT_RELATION,
                                                    .address = bk_person_address(about->person),
                                                    .level = level });
    (void)action; /* its state follows the person when the server has taken it */
}

static void on_remove(GSimpleAction *action, GVariant *target, struct about *about)
{
    (void)action;
    (void)target;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&about->from);
    bk_contact_edit(from, &(struct bk_client_edit){ .kind = BK_CLIENT_EDIT_REMOVE_CONTACT,
                                                    .address = bk_person_address(about->person) });
}

static void on_remove_from_group(GSimpleAction *action, GVariant *target, struct about *about)
{
    (void)action;
    (void)target;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&about->from);
    bk_contact_edit(from, &(struct bk_client_edit){ .kind = BK_CLIENT_EDIT_REMOVE_CONTACT,
                                                    .address = bk_person_address(about->person),
                                                    .group = about->group });
}

static void on_dismiss(GSimpleAction *action, GVariant *target, struct about *about)
{
    (void)action;
    (void)target;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&about->from);
    bk_contact_edit(from, &(struct bk_client_edit){ .kind = BK_CLIENT_EDIT_ACKNOWLEDGE,
                                                    .address = bk_person_address(about->person) });
}

static void on_block(GSimpleAction *action, GVariant *target, struct about *about)
{
    (void)action;
    (void)target;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&about->from);
    if (bk_person_is_blocked(about->person))
        bk_contact_unblock(from, about->person);
    else
        bk_contact_ask_block(from, about->person);
}

GActionGroup *bk_contact_menu_actions(GtkWidget *from, BkPerson *person, const char *group)
{
    static const struct {
        const char *name, *type;
        void (*activated)(GSimpleAction *action, GVariant *target, struct about *about);
    } actions[] = {
        { "message", NULL, on_message },
        { "card", NULL, on_card },
        { "add", NULL, on_add },
        { "favourite", NULL, on_favourite },
        { "copy", "s", on_copy },
        { "move", "s", on_move },
        { "new-group", NULL, on_new_group },
        { "rename", NULL, on_rename },
        { "remove", NULL, on_remove },
        { "remove-from-group", NULL, on_remove_from_group },
        { "block", NULL, on_block },
        { "dismiss", NULL, on_dismiss },
    };
    GSimpleActionGroup *set = g_simple_action_group_new();
    for (size_t i = 0; i < G_N_ELEMENTS(actions); i++)
        add_action(set, actions[i].name, actions[i].type, NULL, G_CALLBACK(actions[i].activated),
                   from, person, group);
    add_action(set, "tagged", NULL, g_variant_new_boolean(bk_person_is_tagged(person)),
               G_CALLBACK(on_tagged), from, person, group);
    add_action(set, "relation", "i", g_variant_new_int32(bk_person_relation(person)),
               G_CALLBACK(on_relation), from, person, group);
    return G_ACTION_GROUP(set);
}

static bool is_own_group(const char *group)
{
    return group && strcmp(group, "~") != 0 && strcmp(group, BK_ROSTER_FAVOURITES) != 0;
}

GMenuModel *bk_contact_group_menu(const char *group)
{
    GMenu *menu = g_menu_new(), *section = g_menu_new();
    if (is_own_group(group)) {
        append(section, _("_Rename Group…"), "group.rename", NULL);
        append(section, _("_Delete Group…"), "group.delete", NULL);
    } else if (group && strcmp(group, BK_ROSTER_FAVOURITES) == 0) {
        append(section, _("_Delete Group…"), "group.delete", NULL);
    }
    end_section(menu, section);
    section = g_menu_new();
    append(section, _("_New Group…"), "group.new", NULL);
    end_section(menu, section);
    return G_MENU_MODEL(menu);
}

static void on_group_rename(GSimpleAction *action, GVariant *target, struct about *about)
{
    (void)action;
    (void)target;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&about->from);
    bk_contact_ask_rename_group(from, about->group);
}

static void on_group_delete(GSimpleAction *action, GVariant *target, struct about *about)
{
    (void)action;
    (void)target;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&about->from);
    bk_contact_ask_delete_group(from, about->group);
}

static void on_group_new(GSimpleAction *action, GVariant *target, struct about *about)
{
    (void)action;
    (void)target;
    g_autoptr(GtkWidget) from = g_weak_ref_get(&about->from);
    bk_contact_ask_new_group(from, NULL);
}

GActionGroup *bk_contact_group_actions(GtkWidget *from, const char *group)
{
    GSimpleActionGroup *set = g_simple_action_group_new();
    add_action(set, "rename", NULL, NULL, G_CALLBACK(on_group_rename), from, NULL, group);
    add_action(set, "delete", NULL, NULL, G_CALLBACK(on_group_delete), from, NULL, group);
    add_action(set, "new", NULL, NULL, G_CALLBACK(on_group_new), from, NULL, group);
    return G_ACTION_GROUP(set);
}
