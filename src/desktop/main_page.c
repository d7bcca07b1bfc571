/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/main_page.h"
#include "desktop/contact_actions.h"
#include "desktop/contact_card.h"
#include "desktop/contact_model.h"
#include "desktop/contact_row.h"
#include "desktop/reconnect_bar.h"
#include "desktop/self_header.h"
#include <glib/gi18n.h>
#include <string.h>

enum {
    TYPING_MS = 300, /* the directory is asked when nothing was typed for so long */
    QUERY_MIN = 2,   /* characters: below that a directory would answer with everybody */
    REFRESH_S = 30,  /* "for 12 minutes" is said anew */
};

struct _BkMainPage {
    GtkWidget parent;
    GtkWidget *add, *options, *reconnect, *self, *search, *view, *limited, *scroller, *list, *empty,
        *find;
    BkApp *app;
    BkRoster *roster;
    BkTalks *talks;
    BkContactModel *contacts;
    GtkSingleSelection *selection;
    GSimpleActionGroup *actions;
    GtkWidget *menu; /* the one open last */
    GCancellable *searching;
    guint typing, refresh, to_top;
    int frames_to_top;
};
G_DEFINE_FINAL_TYPE(BkMainPage, bk_main_page, GTK_TYPE_WIDGET)

/* ---- which face of the list ---- */

/* The list moves when it is measured, and that is done between the first of these calls and the second. */
static gboolean scroll_to_top(GtkWidget *scroller, GdkFrameClock *clock, void *data)
{
    BkMainPage *page = data;
    (void)clock;
    if (page->frames_to_top-- > 0)
        return G_SOURCE_CONTINUE;
    page->to_top = 0;
    gtk_adjustment_set_value(gtk_scrolled_window_get_vadjustment(GTK_SCROLLED_WINDOW(scroller)), 0);
    return G_SOURCE_REMOVE;
}

/* A list view keeps the row that was at its top there; who looks at the beginning wants to go on looking at it. */
static void stay_at_top(BkMainPage *page, bool always)
{
    GtkAdjustment *at = gtk_scrolled_window_get_vadjustment(GTK_SCROLLED_WINDOW(page->scroller));
    if (page->to_top || (!always && gtk_adjustment_get_value(at) > 0))
        return; /* soon, however often people come and go until then: somebody may scroll */
    page->frames_to_top = 1;
    page->to_top = gtk_widget_add_tick_callback(page->scroller, scroll_to_top, page, NULL);
}

static void show_body(BkMainPage *page)
{
    stay_at_top(page, false);
    bool none = g_list_model_get_n_items(bk_roster_contacts(page->roster)) == 0 &&
                g_list_model_get_n_items(G_LIST_MODEL(page->contacts)) == 0;
    const char *query = gtk_editable_get_text(GTK_EDITABLE(page->search));
    bool empty = none && !*query;
    gtk_widget_set_visible(page->empty, empty);
    gtk_widget_set_visible(page->scroller, !empty);
    bool signed_in = bk_engine_state(bk_app_engine(page->app)) == BK_CLIENT_SIGNED_IN;
    gtk_widget_set_visible(page->limited,
                           !empty && signed_in && !bk_roster_has_lists(page->roster));
}

static void show_limits(BkMainPage *page)
{
    if (!bk_engine_has_session(bk_app_engine(page->app)))
        gtk_editable_set_text(GTK_EDITABLE(page->search), "");
    bool lists = bk_roster_has_lists(page->roster);
    show_body(page);
    adw_status_page_set_description(
        ADW_STATUS_PAGE(page->empty),
        lists ? _("Find somebody by name or address in the box above, and add them to your "
                  "contacts.")
              : _("Your server keeps no contact lists. Type the whole address of somebody in the "
                  "box above to write to them."));
    GAction *action = g_action_map_lookup_action(G_ACTION_MAP(page->actions), "new-group");
    g_simple_action_set_enabled(G_SIMPLE_ACTION(action), lists);
    action = g_action_map_lookup_action(G_ACTION_MAP(page->actions), "ask-add");
    g_simple_action_set_enabled(G_SIMPLE_ACTION(action), lists);
    action = g_action_map_lookup_action(G_ACTION_MAP(page->actions), "add");
    g_simple_action_set_enabled(G_SIMPLE_ACTION(action), lists);
}

static void read_settings(BkMainPage *page)
{
    BkSettings *settings = bk_app_settings(page->app);
    const char *by = bk_settings_string(settings, BK_SETTING_CONTACTS_BY);
    bool offline = bk_settings_bool(settings, BK_SETTING_SHOW_OFFLINE);
    bool by_status = strcmp(by, "status") == 0;
    bk_contact_model_set_view(page->contacts,
                              by_status ? BK_CONTACTS_BY_STATUS : BK_CONTACTS_BY_GROUP);
    bk_contact_model_set_show_offline(page->contacts, offline);
    GAction *action = g_action_map_lookup_action(G_ACTION_MAP(page->actions), "by");
    g_simple_action_set_state(G_SIMPLE_ACTION(action),
                              g_variant_new_string(by_status ? "status" : "group"));
    action = g_action_map_lookup_action(G_ACTION_MAP(page->actions), "show-offline");
    g_simple_action_set_state(G_SIMPLE_ACTION(action), g_variant_new_boolean(offline));
    show_body(page);
}

/* ---- searching ---- */

static void stop_searching(BkMainPage *page)
{
    g_clear_handle_id(&page->typing, g_source_remove);
    if (page->searching)
        g_cancellable_cancel(page->searching);
    g_clear_object(&page->searching);
}

/* What stands under the people of a search; more: the directory knows others. */
static void hint_of(BkMainPage *page, bool more, const char *error)
{
    GListModel *rows = G_LIST_MODEL(page->contacts);
    bk_contact_model_set_hint(page->contacts, NULL);
    if (error)
        bk_contact_model_set_hint(page->contacts, error);
    else if (more)
        bk_contact_model_set_hint(page->contacts,
                                  _("There are more. Type more of the name to see them."));
    else if (g_list_model_get_n_items(rows) == 0)
        bk_contact_model_set_hint(
            page->contacts, _("Nobody found. Try another spelling, or type the whole address."));
}

static void found(GObject *source, GAsyncResult *result, void *data)
{
    g_autoptr(BkMainPage) page = data;
    g_autoptr(GError) error = NULL;
    bool more = false;
    g_autoptr(GListModel) people =
        bk_roster_search_finish(BK_ROSTER(source), result, &more, &error);
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return;
    g_clear_object(&page->searching);
    bk_contact_model_set_found(page->contacts, people);
    hint_of(page, more, error ? error->message : NULL);
}

static char *query_of(BkMainPage *page)
{
    return g_strstrip(g_strdup(gtk_editable_get_text(GTK_EDITABLE(page->search))));
}

/* Nothing was typed for a moment. */
static gboolean look_further(void *data)
{
    BkMainPage *page = data;
    page->typing = 0;
    g_autofree char *text = query_of(page);
    g_autofree char *address = bk_contact_address_of(text);
    g_autoptr(BkPerson) person = address ? bk_roster_person(page->roster, address) : NULL;
    if (person == bk_roster_self(page->roster))
        g_clear_object(&person);
    bk_contact_model_set_typed(page->contacts, person);
    if (!bk_roster_has_lists(page->roster)) {
        bk_contact_model_set_hint(
            page->contacts,
            address ? NULL
                    : _("Your server has no directory to search. Type the whole address of a "
                        "person."));
    } else if (g_utf8_strlen(text, -1) >= QUERY_MIN) {
        page->searching = g_cancellable_new();
        bk_roster_search_async(page->roster, text, page->searching, found, g_object_ref(page));
    } else {
        hint_of(page, false, NULL);
    }
    return G_SOURCE_REMOVE;
}

static void query_changed(BkMainPage *page)
{
    stop_searching(page);
    stay_at_top(page, true);
    g_autofree char *text = query_of(page);
    if (*text) {
        /* Who typed "sip:" looks for the address behind it. */
        g_autofree char *address = bk_contact_address_of(text);
        bk_contact_model_set_found(page->contacts, NULL);
        bk_contact_model_set_typed(page->contacts, NULL);
        bk_contact_model_set_hint(page->contacts, bk_roster_has_lists(page->roster)
                                                      ? _("Looking in the directory…")
                                                      : NULL);
        bk_contact_model_set_query(page->contacts, address ? address : text);
        page->typing = g_timeout_add(TYPING_MS, look_further, page);
    } else {
        bk_contact_model_set_query(page->contacts, "");
    }
    show_body(page);
}

static BkContactItem *first_person(BkMainPage *page)
{
    GListModel *rows = G_LIST_MODEL(page->contacts);
    guint n = g_list_model_get_n_items(rows);
    for (guint i = 0; i < n; i++) {
        g_autoptr(BkContactItem) item = g_list_model_get_item(rows, i);
        if (bk_contact_item_kind(item) == BK_CONTACT_PERSON)
            return item; /* the list keeps it */
    }
    return NULL;
}

static void search_activated(BkMainPage *page)
{
    BkContactItem *item = first_person(page);
    g_autofree char *text = query_of(page);
    g_autofree char *address = bk_contact_address_of(text);
    if (address)
        bk_app_open_talk(page->app, address);
    else if (item && *text)
        bk_app_open_talk(page->app, bk_person_address(bk_contact_item_person(item)));
}

static void search_stopped(BkMainPage *page)
{
    gtk_editable_set_text(GTK_EDITABLE(page->search), "");
    query_changed(page);
}

/* The list's own widget around the row of that item; NULL: it is not on the screen. */
static GtkWidget *slot_of(BkMainPage *page, BkContactItem *item)
{
    for (GtkWidget *slot = gtk_widget_get_first_child(page->list); slot;
         slot = gtk_widget_get_next_sibling(slot)) {
        GtkWidget *row = gtk_widget_get_first_child(slot);
        if (row && BK_IS_CONTACT_ROW(row) && bk_contact_row_item(BK_CONTACT_ROW(row)) == item)
            return slot;
    }
    return NULL;
}

/* Down goes to the first person, whom Enter would have taken. */
static gboolean search_key(GtkEventControllerKey *keys, guint key, guint code, GdkModifierType held,
                           BkMainPage *page)
{
    (void)keys;
    (void)code;
    (void)held;
    if (key != GDK_KEY_Down && key != GDK_KEY_KP_Down)
        return FALSE;
    BkContactItem *item = first_person(page);
    GtkWidget *slot = item ? slot_of(page, item) : NULL;
    if (!slot || !gtk_widget_grab_focus(slot))
        return gtk_widget_child_focus(page->list, GTK_DIR_TAB_FORWARD);
    gtk_single_selection_set_selected(
        page->selection,
        bk_contact_model_find_person(page->contacts, bk_contact_item_person(item)));
    return TRUE;
}

void bk_main_page_focus_search(BkMainPage *page)
{
    gtk_widget_grab_focus(page->search);
}

/* ---- rows ---- */

static void row_setup(GtkListItemFactory *factory, GtkListItem *slot)
{
    (void)factory;
    gtk_list_item_set_child(slot, bk_contact_row_new());
}

static bool is_alone(BkMainPage *page)
{
    return g_list_model_get_n_items(G_LIST_MODEL(page->contacts)) == 1;
}

static void row_bind(GtkListItemFactory *factory, GtkListItem *slot, BkMainPage *page)
{
    (void)factory;
    BkContactItem *item = gtk_list_item_get_item(slot);
    bool hint = bk_contact_item_kind(item) == BK_CONTACT_HINT;
    gtk_list_item_set_activatable(slot, !hint);
    gtk_list_item_set_selectable(slot, !hint);
    BkContactRow *row = BK_CONTACT_ROW(gtk_list_item_get_child(slot));
    bk_contact_row_set_alone(row, is_alone(page));
    bk_contact_row_set_item(row, item);
}

static void row_unbind(GtkListItemFactory *factory, GtkListItem *slot)
{
    (void)factory;
    bk_contact_row_set_item(BK_CONTACT_ROW(gtk_list_item_get_child(slot)), NULL);
}

static void toggle_section(BkMainPage *page, const char *key)
{
    unsigned at = bk_contact_model_find_header(page->contacts, key);
    if (at == G_MAXUINT)
        return;
    g_autoptr(BkContactItem) header = g_list_model_get_item(G_LIST_MODEL(page->contacts), at);
    bk_contact_model_set_expanded(page->contacts, key, !bk_contact_item_is_expanded(header));
    g_autofree char *collapsed = bk_contact_model_collapsed(page->contacts);
    (void)bk_settings_set_string(bk_app_settings(page->app), BK_SETTING_CONTACTS_CLOSED, collapsed);
}

/* By Delete my sign-in info, too, after which the names of the groups are nobody's. */
static void sections_changed(BkMainPage *page)
{
    bk_contact_model_set_collapsed(
        page->contacts, bk_settings_string(bk_app_settings(page->app), BK_SETTING_CONTACTS_CLOSED));
}

static void row_activated(GtkListView *list, guint position, BkMainPage *page)
{
    (void)list;
    g_autoptr(BkContactItem) item = g_list_model_get_item(G_LIST_MODEL(page->contacts), position);
    if (!item)
        return;
    switch (bk_contact_item_kind(item)) {
    case BK_CONTACT_HEADER:
        toggle_section(page, bk_contact_item_key(item));
        break;
    case BK_CONTACT_PERSON:
        bk_app_open_talk(page->app, bk_person_address(bk_contact_item_person(item)));
        break;
    case BK_CONTACT_FOLLOWER:
        bk_contact_card_show(page->app, GTK_WINDOW(gtk_widget_get_root(GTK_WIDGET(page))),
                             bk_contact_item_person(item));
        break;
    case BK_CONTACT_HINT:
        break;
    }
}

static BkContactRow *row_around(GtkWidget *widget)
{
    if (!widget)
        return NULL;
    GtkWidget *row = gtk_widget_get_ancestor(widget, BK_TYPE_CONTACT_ROW);
    if (row)
        return BK_CONTACT_ROW(row);
    /* The list's own widget around the row. */
    GtkWidget *child = gtk_widget_get_first_child(widget);
    return child && BK_IS_CONTACT_ROW(child) ? BK_CONTACT_ROW(child) : NULL;
}

static BkContactRow *focused_row(BkMainPage *page)
{
    GtkRoot *root = gtk_widget_get_root(GTK_WIDGET(page));
    GtkWidget *focus = root ? gtk_root_get_focus(root) : NULL;
    return focus && gtk_widget_is_ancestor(focus, page->list) ? row_around(focus) : NULL;
}

/* ---- the menu of a row ---- */

static gboolean unparent_menu(void *data)
{
    gtk_widget_unparent(data);
    g_object_unref(data);
    return G_SOURCE_REMOVE;
}

static void drop_menu(BkMainPage *page)
{
    GtkWidget *menu = g_steal_pointer(&page->menu);
    if (menu)
        unparent_menu(menu);
}

static void open_menu(BkMainPage *page, BkContactRow *row, double x, double y)
{
    BkContactItem *item = bk_contact_row_item(row);
    if (!item || bk_contact_item_kind(item) == BK_CONTACT_HINT)
        return;
    BkPerson *person = bk_contact_item_person(item);
    const char *group = bk_contact_item_group(item);
    g_autoptr(GMenuModel) model = NULL;
    if (person)
        model = bk_contact_menu(person, group, false);
    else if (group && bk_roster_has_lists(page->roster))
        model = bk_contact_group_menu(group);
    else
        return;
    graphene_point_t at;
    if (!gtk_widget_compute_point(GTK_WIDGET(row), GTK_WIDGET(page),
                                  &GRAPHENE_POINT_INIT((float)x, (float)y), &at))
        return;
    drop_menu(page);
    page->menu =
        g_object_ref_sink(gtk_popover_menu_new_from_model_full(model, GTK_POPOVER_MENU_NESTED));
    GActionGroup *actions = person ? bk_contact_menu_actions(GTK_WIDGET(page), person, group)
                                   : bk_contact_group_actions(GTK_WIDGET(page), group);
    gtk_widget_insert_action_group(page->menu, person ? "person" : "group", actions);
    g_object_unref(actions);
    gtk_popover_set_has_arrow(GTK_POPOVER(page->menu), FALSE);
    gtk_widget_set_halign(page->menu, GTK_ALIGN_START);
    gtk_widget_set_parent(page->menu, GTK_WIDGET(page));
    gtk_popover_set_pointing_to(GTK_POPOVER(page->menu),
                                &(GdkRectangle){ (int)at.x, (int)at.y, 1, 1 });
    /* Back to the row, wherever the popover would leave the focus. */
    g_signal_connect_object(page->menu, "closed", G_CALLBACK(gtk_widget_grab_focus),
                            gtk_widget_get_parent(GTK_WIDGET(row)), G_CONNECT_SWAPPED);
    gtk_popover_popup(GTK_POPOVER(page->menu));
}

static void list_pressed(GtkGestureClick *click, int n, double x, double y, BkMainPage *page)
{
    (void)n;
    GtkWidget *at = gtk_widget_pick(page->list, x, y, GTK_PICK_DEFAULT);
    BkContactRow *row = row_around(at);
    graphene_point_t point;
    if (!row || !gtk_widget_compute_point(page->list, GTK_WIDGET(row),
                                          &GRAPHENE_POINT_INIT((float)x, (float)y), &point))
        return;
    gtk_gesture_set_state(GTK_GESTURE(click), GTK_EVENT_SEQUENCE_CLAIMED);
    gtk_widget_grab_focus(gtk_widget_get_parent(GTK_WIDGET(row)));
    open_menu(page, row, point.x, point.y);
}

static gboolean menu_by_key(GtkWidget *list, GVariant *arguments, void *data)
{
    (void)list;
    (void)arguments;
    BkMainPage *page = data;
    BkContactRow *row = focused_row(page);
    if (!row)
        return FALSE;
    open_menu(page, row, 48, gtk_widget_get_height(GTK_WIDGET(row)) / 2.0);
    return TRUE;
}

/* Tab goes to the buttons of a row and then out of the list, or a thousand people would stand in the way. */
static gboolean leave_list(BkMainPage *page, bool back)
{
    BkContactRow *row = focused_row(page);
    if (!row)
        return FALSE;
    GtkWidget *slot = gtk_widget_get_parent(GTK_WIDGET(row));
    if (back)
        return gtk_root_get_focus(gtk_widget_get_root(slot)) == slot &&
               gtk_widget_child_focus(page->view, GTK_DIR_TAB_BACKWARD);
    if (gtk_widget_child_focus(GTK_WIDGET(row), GTK_DIR_TAB_FORWARD))
        return TRUE;
    GtkWidget *first = gtk_widget_is_sensitive(page->add) ? page->add : page->options;
    return gtk_widget_child_focus(first, GTK_DIR_TAB_FORWARD);
}

/* Left closes a group, Right opens it; Escape ends a search. */
static gboolean list_key(GtkEventControllerKey *keys, guint key, guint code, GdkModifierType held,
                         BkMainPage *page)
{
    (void)keys;
    (void)code;
    if (key == GDK_KEY_Escape && *gtk_editable_get_text(GTK_EDITABLE(page->search))) {
        search_stopped(page);
        bk_main_page_focus_search(page);
        return TRUE;
    }
    if ((key == GDK_KEY_Tab || key == GDK_KEY_ISO_Left_Tab) && !(held & GDK_CONTROL_MASK))
        return leave_list(page, key == GDK_KEY_ISO_Left_Tab || (held & GDK_SHIFT_MASK));
    bool left = key == GDK_KEY_Left || key == GDK_KEY_KP_Left;
    bool right = key == GDK_KEY_Right || key == GDK_KEY_KP_Right;
    BkContactRow *row = left || right ? focused_row(page) : NULL;
    if (!row || !bk_contact_row_item(row) || (held & gtk_accelerator_get_default_mod_mask()))
        return FALSE;
    if (gtk_widget_get_direction(page->list) == GTK_TEXT_DIR_RTL)
        left = !left;
    BkContactItem *item = bk_contact_row_item(row);
    bool header = bk_contact_item_kind(item) == BK_CONTACT_HEADER;
    if (!header)
        return FALSE;
    if (bk_contact_item_is_expanded(item) == left)
        toggle_section(page, bk_contact_item_key(item));
    return TRUE;
}

/* Letters typed in the list look for somebody. The search entry's own capturing would also take its menu key and arrows. */
static gboolean list_typed(GtkEventControllerKey *keys, guint key, guint code, GdkModifierType held,
                           BkMainPage *page)
{
    (void)code;
    GdkModifierType mask = GDK_CONTROL_MASK | GDK_ALT_MASK | GDK_SUPER_MASK | GDK_META_MASK;
    gunichar letter = gdk_keyval_to_unicode(key);
    if ((held & mask) || !letter || !g_unichar_isgraph(letter))
        return FALSE;
    GtkEditable *text = gtk_editable_get_delegate(GTK_EDITABLE(page->search));
    gtk_text_grab_focus_without_selecting(GTK_TEXT(text));
    gtk_editable_set_position(text, -1);
    return gtk_event_controller_key_forward(keys, GTK_WIDGET(text));
}

/* ---- actions of rows and menus ---- */

static void act_add(GSimpleAction *action, GVariant *address, void *data)
{
    (void)action;
    bk_contact_add(GTK_WIDGET(data), g_variant_get_string(address, NULL), NULL);
}

static void act_block(GSimpleAction *action, GVariant *address, void *data)
{
    (void)action;
    BkMainPage *page = data;
    g_autoptr(BkPerson) person =
        bk_roster_person(page->roster, g_variant_get_string(address, NULL));
    if (person)
        bk_contact_ask_block(GTK_WIDGET(page), person);
}

static void act_dismiss(GSimpleAction *action, GVariant *address, void *data)
{
    (void)action;
    bk_contact_edit(GTK_WIDGET(data),
                    &(struct bk_client_edit){ .kind = BK_CLIENT_EDIT_ACKNOWLEDGE,
                                              .address = g_variant_get_string(address, NULL) });
}

static void act_toggle(GSimpleAction *action, GVariant *key, void *data)
{
    (void)action;
    toggle_section(data, g_variant_get_string(key, NULL));
}

static void act_ask_add(GSimpleAction *action, GVariant *none, void *data)
{
    (void)action;
    (void)none;
    BkMainPage *page = data;
    g_autofree char *address =
        bk_contact_address_of(gtk_editable_get_text(GTK_EDITABLE(page->search)));
    bk_contact_ask_add(GTK_WIDGET(page), address);
}

static void act_new_group(GSimpleAction *action, GVariant *none, void *data)
{
    (void)action;
    (void)none;
    bk_contact_ask_new_group(GTK_WIDGET(data), NULL);
}

static void act_by(GSimpleAction *action, GVariant *by, void *data)
{
    (void)action;
    BkMainPage *page = data;
    (void)bk_settings_set_string(bk_app_settings(page->app), BK_SETTING_CONTACTS_BY,
                                 g_variant_get_string(by, NULL));
    read_settings(page);
}

static void act_show_offline(GSimpleAction *action, GVariant *none, void *data)
{
    (void)action;
    (void)none;
    BkMainPage *page = data;
    BkSettings *settings = bk_app_settings(page->app);
    (void)bk_settings_set_bool(settings, BK_SETTING_SHOW_OFFLINE,
                               !bk_settings_bool(settings, BK_SETTING_SHOW_OFFLINE));
    read_settings(page);
}

/* ---- as a widget ---- */

/* Rows that stay are not bound anew when others come or go. */
static void count_changed(BkMainPage *page)
{
    bool alone = is_alone(page);
    for (GtkWidget *slot = gtk_widget_get_first_child(page->list); slot;
         slot = gtk_widget_get_next_sibling(slot)) {
        GtkWidget *row = gtk_widget_get_first_child(slot);
        if (row && BK_IS_CONTACT_ROW(row))
            bk_contact_row_set_alone(BK_CONTACT_ROW(row), alone);
    }
}

static gboolean refresh_rows(void *data)
{
    BkMainPage *page = data;
    for (GtkWidget *slot = gtk_widget_get_first_child(page->list); slot;
         slot = gtk_widget_get_next_sibling(slot)) {
        GtkWidget *row = gtk_widget_get_first_child(slot);
        if (row && BK_IS_CONTACT_ROW(row))
            bk_contact_row_refresh(BK_CONTACT_ROW(row));
    }
    return G_SOURCE_CONTINUE;
}

/* What was read or came shows behind the names. */
static void unread_changed(BkMainPage *page)
{
    (void)refresh_rows(page);
}

static void follow_talks(BkMainPage *page)
{
    BkTalks *talks = bk_app_talks(page->app);
    if (page->talks)
        g_signal_handlers_disconnect_by_data(page->talks, page);
    g_set_object(&page->talks, talks);
    if (talks)
        g_signal_connect_swapped(talks, "notify::unread", G_CALLBACK(unread_changed), page);
    unread_changed(page);
}

static void map(GtkWidget *widget)
{
    BkMainPage *page = BK_MAIN_PAGE(widget);
    GTK_WIDGET_CLASS(bk_main_page_parent_class)->map(widget);
    refresh_rows(page);
    if (!page->refresh)
        page->refresh = g_timeout_add_seconds(REFRESH_S, refresh_rows, page);
}

static void unmap(GtkWidget *widget)
{
    BkMainPage *page = BK_MAIN_PAGE(widget);
    g_clear_handle_id(&page->refresh, g_source_remove);
    GTK_WIDGET_CLASS(bk_main_page_parent_class)->unmap(widget);
}

static void dispose(GObject *object)
{
    BkMainPage *page = BK_MAIN_PAGE(object);
    stop_searching(page);
    g_clear_handle_id(&page->refresh, g_source_remove);
    if (page->to_top)
        gtk_widget_remove_tick_callback(page->scroller, page->to_top);
    page->to_top = 0;
    drop_menu(page);
    if (page->roster) {
        g_signal_handlers_disconnect_by_data(page->roster, page);
        g_signal_handlers_disconnect_by_data(bk_roster_contacts(page->roster), page);
        g_signal_handlers_disconnect_by_data(bk_app_settings(page->app), page);
        g_signal_handlers_disconnect_by_data(bk_app_engine(page->app), page);
    }
    if (page->contacts)
        g_signal_handlers_disconnect_by_data(page->contacts, page);
    if (page->talks)
        g_signal_handlers_disconnect_by_data(page->talks, page);
    g_clear_object(&page->talks);
    g_clear_object(&page->contacts);
    g_clear_object(&page->selection);
    g_clear_object(&page->roster);
    g_clear_object(&page->actions);
    GtkWidget *child;
    while ((child = gtk_widget_get_first_child(GTK_WIDGET(page))))
        gtk_widget_unparent(child);
    G_OBJECT_CLASS(bk_main_page_parent_class)->dispose(object);
}

static gboolean grab_focus(GtkWidget *widget)
{
    BkMainPage *page = BK_MAIN_PAGE(widget);
    return gtk_widget_grab_focus(gtk_widget_get_visible(page->scroller) ? page->list
                                                                        : page->search);
}

static void bk_main_page_class_init(BkMainPageClass *class)
{
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = dispose;
    widget->map = map;
    widget->unmap = unmap;
    widget->grab_focus = grab_focus;
    g_type_ensure(BK_TYPE_RECONNECT_BAR);
    g_type_ensure(BK_TYPE_SELF_HEADER);
    gtk_widget_class_set_template_from_resource(widget, "/org/beckon/Beckon/main_page.ui");
    gtk_widget_class_set_layout_manager_type(widget, GTK_TYPE_BIN_LAYOUT);
    gtk_widget_class_bind_template_child(widget, BkMainPage, add);
    gtk_widget_class_bind_template_child(widget, BkMainPage, options);
    gtk_widget_class_bind_template_child(widget, BkMainPage, reconnect);
    gtk_widget_class_bind_template_child(widget, BkMainPage, self);
    gtk_widget_class_bind_template_child(widget, BkMainPage, search);
    gtk_widget_class_bind_template_child(widget, BkMainPage, view);
    gtk_widget_class_bind_template_child(widget, BkMainPage, limited);
    gtk_widget_class_bind_template_child(widget, BkMainPage, scroller);
    gtk_widget_class_bind_template_child(widget, BkMainPage, list);
    gtk_widget_class_bind_template_child(widget, BkMainPage, empty);
    gtk_widget_class_bind_template_child(widget, BkMainPage, find);
}

static void make_actions(BkMainPage *page)
{
    static const GActionEntry entries[] = {
        { "add", act_add, "s", NULL, NULL, { 0 } },
        { "block", act_block, "s", NULL, NULL, { 0 } },
        { "dismiss", act_dismiss, "s", NULL, NULL, { 0 } },
        { "toggle", act_toggle, "s", NULL, NULL, { 0 } },
        { "ask-add", act_ask_add, NULL, NULL, NULL, { 0 } },
        { "new-group", act_new_group, NULL, NULL, NULL, { 0 } },
        { "by", act_by, "s", "'group'", NULL, { 0 } },
        { "show-offline", act_show_offline, NULL, "true", NULL, { 0 } },
    };
    page->actions = g_simple_action_group_new();
    g_action_map_add_action_entries(G_ACTION_MAP(page->actions), entries, G_N_ELEMENTS(entries),
                                    page);
    gtk_widget_insert_action_group(GTK_WIDGET(page), "contacts", G_ACTION_GROUP(page->actions));
}

static void make_list(BkMainPage *page)
{
    GtkListItemFactory *factory = gtk_signal_list_item_factory_new();
    g_signal_connect(factory, "setup", G_CALLBACK(row_setup), NULL);
    g_signal_connect(factory, "bind", G_CALLBACK(row_bind), page);
    g_signal_connect(factory, "unbind", G_CALLBACK(row_unbind), NULL);
    gtk_list_view_set_factory(GTK_LIST_VIEW(page->list), factory);
    g_object_unref(factory);
    g_signal_connect(page->list, "activate", G_CALLBACK(row_activated), page);

    GtkGesture *click = gtk_gesture_click_new();
    gtk_gesture_single_set_button(GTK_GESTURE_SINGLE(click), GDK_BUTTON_SECONDARY);
    gtk_event_controller_set_propagation_phase(GTK_EVENT_CONTROLLER(click), GTK_PHASE_CAPTURE);
    g_signal_connect(click, "pressed", G_CALLBACK(list_pressed), page);
    gtk_widget_add_controller(page->list, GTK_EVENT_CONTROLLER(click));

    GtkEventController *shortcuts = gtk_shortcut_controller_new();
    static const struct {
        guint key;
        GdkModifierType held;
    } keys[] = { { GDK_KEY_Menu, 0 }, { GDK_KEY_F10, GDK_SHIFT_MASK } };
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        gtk_shortcut_controller_add_shortcut(
            GTK_SHORTCUT_CONTROLLER(shortcuts),
            gtk_shortcut_new(gtk_keyval_trigger_new(keys[i].key, keys[i].held),
                             gtk_callback_action_new(menu_by_key, page, NULL)));
    gtk_widget_add_controller(page->list, shortcuts);

    GtkEventController *arrows = gtk_event_controller_key_new();
    gtk_event_controller_set_propagation_phase(arrows, GTK_PHASE_CAPTURE);
    g_signal_connect(arrows, "key-pressed", G_CALLBACK(list_key), page);
    gtk_widget_add_controller(page->list, arrows);

    GtkEventController *letters = gtk_event_controller_key_new();
    g_signal_connect(letters, "key-pressed", G_CALLBACK(list_typed), page);
    gtk_widget_add_controller(page->list, letters);
}

static void bk_main_page_init(BkMainPage *page)
{
    gtk_widget_init_template(GTK_WIDGET(page));
    make_actions(page);
    make_list(page);
    g_signal_connect_swapped(page->search, "changed", G_CALLBACK(query_changed), page);
    g_signal_connect_swapped(page->search, "activate", G_CALLBACK(search_activated), page);
    g_signal_connect_swapped(page->search, "stop-search", G_CALLBACK(search_stopped), page);
    GtkEventController *keys = gtk_event_controller_key_new();
    gtk_event_controller_set_propagation_phase(keys, GTK_PHASE_CAPTURE);
    g_signal_connect(keys, "key-pressed", G_CALLBACK(search_key), page);
    gtk_widget_add_controller(page->search, keys);
    g_signal_connect_swapped(page->find, "clicked", G_CALLBACK(bk_main_page_focus_search), page);
}

BkMainPage *bk_main_page_new(BkApp *app)
{
    BkMainPage *page = g_object_new(BK_TYPE_MAIN_PAGE, NULL);
    page->app = app;
    page->roster = g_object_ref(bk_app_roster(app));
    page->contacts =
        bk_contact_model_new(bk_roster_contacts(page->roster), bk_roster_groups(page->roster),
                             bk_roster_followers(page->roster));
    page->selection = gtk_single_selection_new(g_object_ref(G_LIST_MODEL(page->contacts)));
    gtk_single_selection_set_autoselect(page->selection, FALSE);
    gtk_single_selection_set_can_unselect(page->selection, TRUE);
    gtk_list_view_set_model(GTK_LIST_VIEW(page->list), GTK_SELECTION_MODEL(page->selection));

    bk_self_header_set_app(BK_SELF_HEADER(page->self), app);
    bk_reconnect_bar_set_engine(BK_RECONNECT_BAR(page->reconnect), bk_app_engine(app));
    g_signal_connect_swapped(page->contacts, "items-changed", G_CALLBACK(show_body), page);
    g_signal_connect_swapped(page->contacts, "items-changed", G_CALLBACK(count_changed), page);
    g_signal_connect_swapped(page->roster, "notify::has-lists", G_CALLBACK(show_limits), page);
    g_signal_connect_swapped(bk_app_engine(app), "notify::state", G_CALLBACK(show_limits), page);
    static const enum bk_setting settings[] = { BK_SETTING_CONTACTS_BY, BK_SETTING_SHOW_OFFLINE };
    for (size_t i = 0; i < G_N_ELEMENTS(settings); i++) {
        g_autofree char *changed = g_strconcat("changed::", bk_setting_key(settings[i]), NULL);
        g_signal_connect_swapped(bk_app_settings(app), changed, G_CALLBACK(read_settings), page);
    }
    g_autofree char *closed =
        g_strconcat("changed::", bk_setting_key(BK_SETTING_CONTACTS_CLOSED), NULL);
    g_signal_connect_swapped(bk_app_settings(app), closed, G_CALLBACK(sections_changed), page);
    g_signal_connect_object(app, "notify::talks", G_CALLBACK(follow_talks), page,
                            G_CONNECT_SWAPPED);
    read_settings(page);
    sections_changed(page);
    show_limits(page);
    follow_talks(page); /* somebody may be signed in already */
    return page;
}
