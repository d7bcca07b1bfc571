/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/contact_row.h"
#include "desktop/app.h"
#include "desktop/presence_dot.h"
#include <glib/gi18n.h>
#include <string.h>

struct _BkContactRow {
    GtkWidget parent;
    GtkWidget *header, *arrow, *title, *count;
    GtkWidget *somebody, *avatar, *name, *tagged, *status, *answers, *add;
    GtkWidget *follower_add, *follower_block, *follower_dismiss;
    GtkWidget *unread;
    GtkWidget *hint, *hint_sign, *hint_text;
    BkContactItem *item;
    gulong item_changed, person_changed;
};
G_DEFINE_FINAL_TYPE(BkContactRow, bk_contact_row, GTK_TYPE_WIDGET)

/* The list's own widget around this one has the focus; what it is called is said there. */
static void set_label(BkContactRow *row, const char *label)
{
    GtkWidget *around = gtk_widget_get_parent(GTK_WIDGET(row));
    if (around)
        gtk_accessible_update_property(GTK_ACCESSIBLE(around), GTK_ACCESSIBLE_PROPERTY_LABEL, label,
                                       -1);
}

static void show_header(BkContactRow *row)
{
    BkContactItem *item = row->item;
    unsigned count = bk_contact_item_count(item), reachable = bk_contact_item_reachable(item);
    bool expanded = bk_contact_item_is_expanded(item);
    const char *title = bk_contact_item_title(item);
    gtk_label_set_label(GTK_LABEL(row->title), title);
    gtk_image_set_from_icon_name(GTK_IMAGE(row->arrow),
                                 expanded ? "pan-down-symbolic" : "pan-end-symbolic");
    bool of_group = bk_contact_item_group(item) != NULL;
    g_autofree char *few =
        of_group ? g_strdup_printf("%u/%u", reachable, count) : g_strdup_printf("%u", count);
    gtk_label_set_label(GTK_LABEL(row->count), few);

    g_autofree char *people = g_strdup_printf(ngettext("%u person", "%u people", count), count);
    g_autofree char *label = NULL;
    if (of_group)
        /* TRANSLATORS: title of a group, "12 people", how many of them can be reached. */
        label = g_strdup_printf(_("%s, %s, %u reachable"), title, people, reachable);
    else
        label = g_strdup_printf("%s, %s", title, people);
    set_label(row, label);
    GtkWidget *around = gtk_widget_get_parent(GTK_WIDGET(row));
    if (around)
        gtk_accessible_update_state(GTK_ACCESSIBLE(around), GTK_ACCESSIBLE_STATE_EXPANDED, expanded,
                                    -1);
}

/* How many words of theirs nobody read yet. A few conversations are looked through, for the few rows of a screen. */
static unsigned unread_of(BkPerson *person)
{
    BkTalks *talks = bk_app_talks(bk_app_default());
    guint n = talks ? g_list_model_get_n_items(G_LIST_MODEL(talks)) : 0;
    if (!n || !bk_talks_unread(talks))
        return 0;
    for (guint i = 0; i < n; i++) {
        g_autoptr(BkTalk) talk = g_list_model_get_item(G_LIST_MODEL(talks), i);
        if (bk_talk_person(talk) == person)
            return bk_talk_unread(talk);
    }
    return 0;
}

static void set_class(GtkWidget *widget, const char *name, bool on)
{
    if (on)
        gtk_widget_add_css_class(widget, name);
    else
        gtk_widget_remove_css_class(widget, name);
}

static void show_unread(BkContactRow *row, unsigned unread)
{
    g_autofree char *few = unread > 99 ? g_strdup("99+") : g_strdup_printf("%u", unread);
    gtk_label_set_label(GTK_LABEL(row->unread), few);
    gtk_widget_set_visible(row->unread, unread > 0);
    set_class(row->name, "heading", unread > 0);
}

static void show_person(BkContactRow *row)
{
    BkPerson *person = bk_contact_item_person(row->item);
    bool follower = bk_contact_item_kind(row->item) == BK_CONTACT_FOLLOWER;
    const char *key = bk_contact_item_key(row->item);
    bool address_typed = strcmp(key, "q:address") == 0 && !bk_person_is_contact(person);
    bool found = strcmp(key, "q:directory") == 0 || address_typed;
    const char *address = bk_person_address(person);
    gtk_label_set_label(GTK_LABEL(row->name), bk_person_name(person));
    g_autofree char *status = follower ? g_strdup(address)
                              : found  ? bk_contact_found_subtitle(person)
                                       : bk_contact_subtitle(person, g_get_real_time() / 1000);
    gtk_label_set_label(GTK_LABEL(row->status), status);
    g_autofree char *tip = NULL;
    const char *note = bk_person_note(person);
    if (*note)
        tip = g_strdup_printf("%s\n%s\n%s", bk_person_name(person), address, note);
    else
        tip = g_strdup_printf("%s\n%s", bk_person_name(person), address);
    gtk_widget_set_tooltip_text(row->somebody, tip);
    gtk_widget_set_visible(row->tagged, bk_person_is_tagged(person));
    gtk_widget_set_visible(row->answers, follower);
    gtk_widget_set_visible(row->add, g_str_has_prefix(key, "q:") && !bk_person_is_contact(person));
    bool gone = bk_person_shown(person) == BK_PIDF_SHOWN_OFFLINE || bk_person_is_blocked(person);
    set_class(row->somebody, "gone", gone);
    set_class(row->somebody, "stranger", follower || found);
    unsigned unread = unread_of(person);
    show_unread(row, unread);
    g_autofree char *label = bk_contact_label(person);
    g_autofree char *count =
        g_strdup_printf(ngettext("%u unread message", "%u unread messages", unread), unread);
    g_autofree char *all = g_strdup_printf("%s, %s", label, count);
    set_label(row, unread ? all : label);
}

static void set_targets(BkContactRow *row, const char *address)
{
    GtkWidget *buttons[] = { row->add, row->follower_add, row->follower_block,
                             row->follower_dismiss };
    for (size_t i = 0; i < G_N_ELEMENTS(buttons); i++)
        gtk_actionable_set_action_target(GTK_ACTIONABLE(buttons[i]), "s", address);
}

void bk_contact_row_refresh(BkContactRow *row)
{
    if (row->item && bk_contact_item_person(row->item))
        show_person(row);
}

void bk_contact_row_set_item(BkContactRow *row, BkContactItem *item)
{
    if (row->item) {
        g_clear_signal_handler(&row->item_changed, row->item);
        if (bk_contact_item_person(row->item))
            g_clear_signal_handler(&row->person_changed, bk_contact_item_person(row->item));
    }
    g_set_object(&row->item, item);
    if (!item) {
        bk_person_avatar_set_person(BK_PERSON_AVATAR(row->avatar), NULL);
        return;
    }
    BkPerson *person = bk_contact_item_person(item);
    enum bk_contact_kind kind = bk_contact_item_kind(item);
    gtk_widget_set_visible(row->header, kind == BK_CONTACT_HEADER);
    gtk_widget_set_visible(row->somebody, person != NULL);
    gtk_widget_set_visible(row->hint, kind == BK_CONTACT_HINT);
    bk_person_avatar_set_person(BK_PERSON_AVATAR(row->avatar), person);
    GtkWidget *around = gtk_widget_get_parent(GTK_WIDGET(row));
    if (around && kind != BK_CONTACT_HEADER)
        gtk_accessible_reset_state(GTK_ACCESSIBLE(around), GTK_ACCESSIBLE_STATE_EXPANDED);
    if (person) {
        set_targets(row, bk_person_address(person));
        row->person_changed =
            g_signal_connect_swapped(person, "notify", G_CALLBACK(bk_contact_row_refresh), row);
        show_person(row);
    } else if (kind == BK_CONTACT_HEADER) {
        row->item_changed = g_signal_connect_swapped(item, "changed", G_CALLBACK(show_header), row);
        show_header(row);
    } else {
        gtk_label_set_label(GTK_LABEL(row->hint_text), bk_contact_item_title(item));
        set_label(row, bk_contact_item_title(item));
    }
}

void bk_contact_row_set_alone(BkContactRow *row, bool alone)
{
    gtk_widget_set_visible(row->hint_sign, alone);
}

BkContactItem *bk_contact_row_item(BkContactRow *row)
{
    return row->item;
}

/* The list would also select and, at the second click, activate the header. */
static void header_pressed(GtkGestureClick *click, int n, double x, double y, BkContactRow *row)
{
    (void)n;
    (void)x;
    (void)y;
    gtk_gesture_set_state(GTK_GESTURE(click), GTK_EVENT_SEQUENCE_CLAIMED);
    GtkWidget *around = gtk_widget_get_parent(GTK_WIDGET(row));
    if (around)
        gtk_widget_grab_focus(around);
}

static void header_clicked(GtkGestureClick *click, int n, double x, double y, BkContactRow *row)
{
    (void)click;
    (void)n;
    (void)x;
    (void)y;
    if (row->item)
        gtk_widget_activate_action(GTK_WIDGET(row), "contacts.toggle", "s",
                                   bk_contact_item_key(row->item));
}

static void dispose(GObject *object)
{
    BkContactRow *row = BK_CONTACT_ROW(object);
    bk_contact_row_set_item(row, NULL);
    GtkWidget *child;
    while ((child = gtk_widget_get_first_child(GTK_WIDGET(row))))
        gtk_widget_unparent(child);
    G_OBJECT_CLASS(bk_contact_row_parent_class)->dispose(object);
}

static void bk_contact_row_class_init(BkContactRowClass *class)
{
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = dispose;
    g_type_ensure(BK_TYPE_PERSON_AVATAR);
    gtk_widget_class_set_template_from_resource(widget, "/org/beckon/Beckon/contact_row.ui");
    gtk_widget_class_set_layout_manager_type(widget, GTK_TYPE_BOX_LAYOUT);
    gtk_widget_class_set_css_name(widget, "contact");
    gtk_widget_class_set_accessible_role(widget, GTK_ACCESSIBLE_ROLE_GROUP);
    gtk_widget_class_bind_template_child(widget, BkContactRow, header);
    gtk_widget_class_bind_template_child(widget, BkContactRow, arrow);
    gtk_widget_class_bind_template_child(widget, BkContactRow, title);
    gtk_widget_class_bind_template_child(widget, BkContactRow, count);
    gtk_widget_class_bind_template_child(widget, BkContactRow, somebody);
    gtk_widget_class_bind_template_child(widget, BkContactRow, avatar);
    gtk_widget_class_bind_template_child(widget, BkContactRow, name);
    gtk_widget_class_bind_template_child(widget, BkContactRow, tagged);
    gtk_widget_class_bind_template_child(widget, BkContactRow, status);
    gtk_widget_class_bind_template_child(widget, BkContactRow, answers);
    gtk_widget_class_bind_template_child(widget, BkContactRow, add);
    gtk_widget_class_bind_template_child(widget, BkContactRow, follower_add);
    gtk_widget_class_bind_template_child(widget, BkContactRow, follower_block);
    gtk_widget_class_bind_template_child(widget, BkContactRow, follower_dismiss);
    gtk_widget_class_bind_template_child(widget, BkContactRow, unread);
    gtk_widget_class_bind_template_child(widget, BkContactRow, hint);
    gtk_widget_class_bind_template_child(widget, BkContactRow, hint_sign);
    gtk_widget_class_bind_template_child(widget, BkContactRow, hint_text);
}

static void bk_contact_row_init(BkContactRow *row)
{
    gtk_widget_init_template(GTK_WIDGET(row));
    gtk_orientable_set_orientation(GTK_ORIENTABLE(gtk_widget_get_layout_manager(GTK_WIDGET(row))),
                                   GTK_ORIENTATION_VERTICAL);
    GtkGesture *click = gtk_gesture_click_new();
    g_signal_connect(click, "pressed", G_CALLBACK(header_pressed), row);
    g_signal_connect(click, "released", G_CALLBACK(header_clicked), row);
    gtk_widget_add_controller(row->header, GTK_EVENT_CONTROLLER(click));
}

GtkWidget *bk_contact_row_new(void)
{
    return g_object_new(BK_TYPE_CONTACT_ROW, NULL);
}
