/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/self_header.h"
#include "desktop/contact_model.h"
#include "desktop/presence_dot.h"
#include "desktop/words.h"
#include <glib/gi18n.h>
#include <string.h>

struct _BkSelfHeader {
    GtkWidget parent;
    GtkWidget *avatar, *name, *status, *status_word, *note, *note_error;
    GtkWidget *statuses, *status_list;
    BkApp *app;
    BkEngine *engine;
    BkPerson *self;
    gulong changed, action_changed, state_changed;
    char *told; /* the note others see, as far as known here */
    bool typed; /* the entry holds something else than that */
};
G_DEFINE_FINAL_TYPE(BkSelfHeader, bk_self_header, GTK_TYPE_WIDGET)

/* In the order of the menu; shown: whose sign stands before it. */
static const struct {
    enum bk_pidf_manual manual;
    enum bk_pidf_shown shown;
} choices[] = {
    { BK_PIDF_MANUAL_NONE, BK_PIDF_SHOWN_AVAILABLE },  { BK_PIDF_MANUAL_BUSY, BK_PIDF_SHOWN_BUSY },
    { BK_PIDF_MANUAL_DND, BK_PIDF_SHOWN_DND },         { BK_PIDF_MANUAL_BRB, BK_PIDF_SHOWN_BRB },
    { BK_PIDF_MANUAL_OFFWORK, BK_PIDF_SHOWN_OFFWORK }, { BK_PIDF_MANUAL_AWAY, BK_PIDF_SHOWN_AWAY },
    { BK_PIDF_MANUAL_OFFLINE, BK_PIDF_SHOWN_OFFLINE },
};

/* ---- the status ---- */

static const char *word_of_choice(enum bk_pidf_manual manual)
{
    return manual == BK_PIDF_MANUAL_NONE ? _("Available (automatic)") : bk_word_manual(manual);
}

static bool has_action(BkSelfHeader *header)
{
    return g_action_group_has_action(G_ACTION_GROUP(header->app), "status");
}

static enum bk_pidf_manual chosen(BkSelfHeader *header)
{
    g_autoptr(GVariant) state =
        has_action(header) ? g_action_group_get_action_state(G_ACTION_GROUP(header->app), "status")
                           : NULL;
    if (!state || !g_variant_is_of_type(state, G_VARIANT_TYPE_STRING))
        return BK_PIDF_MANUAL_NONE;
    return bk_pidf_manual_of(bk_view_of_str(g_variant_get_string(state, NULL)));
}

static void mark_choice(BkSelfHeader *header)
{
    enum bk_pidf_manual now = chosen(header);
    if (now == BK_PIDF_MANUAL_MISSING)
        now = BK_PIDF_MANUAL_NONE;
    for (size_t i = 0; i < G_N_ELEMENTS(choices); i++) {
        GtkListBoxRow *row =
            gtk_list_box_get_row_at_index(GTK_LIST_BOX(header->status_list), (int)i);
        GtkWidget *check = g_object_get_data(G_OBJECT(row), "check");
        bool is = choices[i].manual == now;
        gtk_widget_set_opacity(check, is ? 1 : 0);
        g_autofree char *label =
            is ? g_strdup_printf(_("%s, chosen"), word_of_choice(choices[i].manual))
               : g_strdup(word_of_choice(choices[i].manual));
        gtk_accessible_update_property(GTK_ACCESSIBLE(row), GTK_ACCESSIBLE_PROPERTY_LABEL, label,
                                       -1);
    }
}

static void choose(GtkListBox *list, GtkListBoxRow *row, BkSelfHeader *header)
{
    (void)list;
    size_t at = (size_t)gtk_list_box_row_get_index(row);
    gtk_popover_popdown(GTK_POPOVER(header->statuses));
    if (at < G_N_ELEMENTS(choices) && has_action(header))
        g_action_group_activate_action(
            G_ACTION_GROUP(header->app), "status",
            g_variant_new_string(bk_pidf_manual_name(choices[at].manual)));
}

static void statuses_shown(BkSelfHeader *header)
{
    mark_choice(header);
    enum bk_pidf_manual now = chosen(header);
    for (size_t i = 0; i < G_N_ELEMENTS(choices); i++)
        if (choices[i].manual == now)
            gtk_widget_grab_focus(GTK_WIDGET(
                gtk_list_box_get_row_at_index(GTK_LIST_BOX(header->status_list), (int)i)));
}

static void fill_statuses(BkSelfHeader *header)
{
    for (size_t i = 0; i < G_N_ELEMENTS(choices); i++) {
        GtkWidget *line = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 12);
        GtkWidget *dot = bk_presence_dot_new();
        bk_presence_dot_set(BK_PRESENCE_DOT(dot), choices[i].shown);
        GtkWidget *word = gtk_label_new(word_of_choice(choices[i].manual));
        gtk_label_set_xalign(GTK_LABEL(word), 0);
        gtk_widget_set_hexpand(word, TRUE);
        GtkWidget *check = gtk_image_new_from_icon_name("object-select-symbolic");
        gtk_box_append(GTK_BOX(line), dot);
        gtk_box_append(GTK_BOX(line), word);
        gtk_box_append(GTK_BOX(line), check);
        GtkWidget *row = gtk_list_box_row_new();
        gtk_list_box_row_set_child(GTK_LIST_BOX_ROW(row), line);
        g_object_set_data(G_OBJECT(row), "check", check);
        gtk_list_box_append(GTK_LIST_BOX(header->status_list), row);
    }
}

/* ---- the note ---- */

static void show_note_state(BkSelfHeader *header)
{
    const char *text = gtk_editable_get_text(GTK_EDITABLE(header->note));
    size_t len = strlen(text);
    bool too_long = len > BK_SELF_NOTE_MAX;
    header->typed = strcmp(text, header->told ? header->told : "") != 0;
    gtk_entry_set_icon_from_icon_name(GTK_ENTRY(header->note), GTK_ENTRY_ICON_SECONDARY,
                                      header->typed && !too_long ? "object-select-symbolic" : NULL);
    /* An entry shows the beginning of what it holds. */
    gtk_widget_set_tooltip_text(header->note, !header->typed && *text ? text : NULL);
    gtk_widget_set_visible(header->note_error, too_long);
    if (too_long) {
        g_autofree char *why = g_strdup_printf(ngettext("This note is too long by %zu character.",
                                                        "This note is too long by %zu characters.",
                                                        (gulong)(len - BK_SELF_NOTE_MAX)),
                                               len - BK_SELF_NOTE_MAX);
        gtk_label_set_label(GTK_LABEL(header->note_error), why);
        gtk_widget_add_css_class(header->note, "error");
    } else {
        gtk_widget_remove_css_class(header->note, "error");
    }
    gtk_accessible_update_state(
        GTK_ACCESSIBLE(header->note), GTK_ACCESSIBLE_STATE_INVALID,
        too_long ? GTK_ACCESSIBLE_INVALID_TRUE : GTK_ACCESSIBLE_INVALID_FALSE, -1);
}

static void set_told(BkSelfHeader *header, const char *note)
{
    bool typed = header->typed;
    g_free(header->told);
    header->told = g_strdup(note);
    if (!typed)
        gtk_editable_set_text(GTK_EDITABLE(header->note), note);
    show_note_state(header);
}

static void tell_note(BkSelfHeader *header)
{
    if (!header->typed)
        return;
    g_autofree char *text = g_strstrip(g_strdup(gtk_editable_get_text(GTK_EDITABLE(header->note))));
    int r = bk_engine_set_note(bk_app_engine(header->app), text);
    if (r < 0) {
        if (strlen(text) <= BK_SELF_NOTE_MAX)
            bk_app_toast(header->app, _("The note could not be set."));
        return;
    }
    header->typed = false;
    set_told(header, text);
    gtk_editable_set_position(GTK_EDITABLE(header->note), -1);
}

static void note_icon(GtkEntry *entry, GtkEntryIconPosition which, BkSelfHeader *header)
{
    (void)entry;
    (void)which;
    tell_note(header);
}

static gboolean note_key(GtkEventControllerKey *keys, guint key, guint code, GdkModifierType held,
                         BkSelfHeader *header)
{
    (void)keys;
    (void)code;
    (void)held;
    if (key != GDK_KEY_Escape || !header->typed)
        return FALSE;
    header->typed = false;
    gtk_editable_set_text(GTK_EDITABLE(header->note), header->told ? header->told : "");
    return TRUE;
}

/* ---- together ---- */

static void show_self(BkSelfHeader *header)
{
    BkPerson *self = header->self;
    enum bk_pidf_shown shown = bk_person_shown(self);
    const char *word = bk_word_shown(shown);
    if (bk_engine_state(header->engine) != BK_CLIENT_SIGNED_IN)
        word = _("Not Connected");
    else if (shown <= BK_PIDF_SHOWN_UNKNOWN)
        word = bk_word_shown(BK_PIDF_SHOWN_AVAILABLE); /* until the server tells it */
    else if (chosen(header) == BK_PIDF_MANUAL_OFFLINE)
        word = bk_word_manual(BK_PIDF_MANUAL_OFFLINE); /* to others: offline */
    gtk_label_set_label(GTK_LABEL(header->name), bk_person_name(self));
    gtk_widget_set_tooltip_text(header->name, bk_person_address(self));
    gtk_label_set_label(GTK_LABEL(header->status_word), word);
    /* TRANSLATORS: said by a screen reader: the user's own status, "Busy" */
    g_autofree char *label = g_strdup_printf(_("Your status: %s"), word);
    gtk_accessible_update_property(GTK_ACCESSIBLE(header->status), GTK_ACCESSIBLE_PROPERTY_LABEL,
                                   label, -1);
    if (!bk_engine_has_session(header->engine)) {
        header->typed = false; /* somebody else may sign in next */
        set_told(header, "");
    } else if (g_strcmp0(header->told, bk_person_note(self)) != 0 && shown != BK_PIDF_SHOWN_UNKNOWN)
        set_told(header, bk_person_note(self));
}

static void status_action_changed(GActionGroup *group, const char *name, GVariant *state,
                                  BkSelfHeader *header)
{
    (void)group;
    (void)name;
    (void)state;
    mark_choice(header);
    show_self(header);
}

void bk_self_header_set_app(BkSelfHeader *header, BkApp *app)
{
    g_return_if_fail(!header->app);
    header->app = app;
    header->engine = g_object_ref(bk_app_engine(app));
    header->self = g_object_ref(bk_roster_self(bk_app_roster(app)));
    header->changed =
        g_signal_connect_swapped(header->self, "notify", G_CALLBACK(show_self), header);
    header->action_changed = g_signal_connect(app, "action-state-changed::status",
                                              G_CALLBACK(status_action_changed), header);
    header->state_changed =
        g_signal_connect_swapped(header->engine, "notify::state", G_CALLBACK(show_self), header);
    bk_person_avatar_set_person(BK_PERSON_AVATAR(header->avatar), header->self);
    show_self(header);
    mark_choice(header);
}

static void dispose(GObject *object)
{
    BkSelfHeader *header = BK_SELF_HEADER(object);
    if (header->app)
        g_clear_signal_handler(&header->action_changed, header->app);
    if (header->engine)
        g_clear_signal_handler(&header->state_changed, header->engine);
    g_clear_object(&header->engine);
    if (header->self)
        g_clear_signal_handler(&header->changed, header->self);
    g_clear_object(&header->self);
    g_clear_pointer(&header->told, g_free);
    GtkWidget *child;
    while ((child = gtk_widget_get_first_child(GTK_WIDGET(header))))
        gtk_widget_unparent(child);
    G_OBJECT_CLASS(bk_self_header_parent_class)->dispose(object);
}

static void bk_self_header_class_init(BkSelfHeaderClass *class)
{
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = dispose;
    g_type_ensure(BK_TYPE_PERSON_AVATAR);
    gtk_widget_class_set_template_from_resource(widget, "/org/beckon/Beckon/self_header.ui");
    gtk_widget_class_set_layout_manager_type(widget, GTK_TYPE_BIN_LAYOUT);
    gtk_widget_class_bind_template_child(widget, BkSelfHeader, avatar);
    gtk_widget_class_bind_template_child(widget, BkSelfHeader, name);
    gtk_widget_class_bind_template_child(widget, BkSelfHeader, status);
    gtk_widget_class_bind_template_child(widget, BkSelfHeader, status_word);
    gtk_widget_class_bind_template_child(widget, BkSelfHeader, note);
    gtk_widget_class_bind_template_child(widget, BkSelfHeader, note_error);
    gtk_widget_class_bind_template_child(widget, BkSelfHeader, statuses);
    gtk_widget_class_bind_template_child(widget, BkSelfHeader, status_list);
}

static void bk_self_header_init(BkSelfHeader *header)
{
    gtk_widget_init_template(GTK_WIDGET(header));
    fill_statuses(header);
    g_signal_connect(header->status_list, "row-activated", G_CALLBACK(choose), header);
    g_signal_connect_swapped(header->statuses, "show", G_CALLBACK(statuses_shown), header);
    g_signal_connect_swapped(header->note, "changed", G_CALLBACK(show_note_state), header);
    g_signal_connect_swapped(header->note, "activate", G_CALLBACK(tell_note), header);
    g_signal_connect(header->note, "icon-press", G_CALLBACK(note_icon), header);
    GtkEventController *focus = gtk_event_controller_focus_new();
    g_signal_connect_swapped(focus, "leave", G_CALLBACK(tell_note), header);
    gtk_widget_add_controller(header->note, focus);
    GtkEventController *keys = gtk_event_controller_key_new();
    gtk_event_controller_set_propagation_phase(keys, GTK_PHASE_CAPTURE);
    g_signal_connect(keys, "key-pressed", G_CALLBACK(note_key), header);
    gtk_widget_add_controller(header->note, keys);
}
