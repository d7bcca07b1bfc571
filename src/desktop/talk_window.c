/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/talk_window.h"
#include "desktop/contact_actions.h"
#include "desktop/contact_card.h"
#include "desktop/contact_model.h"
#include "desktop/history_window.h"
#include "desktop/presence_dot.h"
#include "desktop/talk_markup.h"
#include "desktop/talk_row.h"
#include "desktop/words.h"

#include <errno.h>
#include <glib/gi18n.h>
#include <string.h>

enum {
    ENTRY_LINES = 6,
    COUNT_FROM = BK_TALK_TEXT_MAX - 2000, /* bytes; from then on it is said how many are left */
    NEAR_END = 24,                        /* pixels: still counts as the end */
    NEAR_TOP = 600,                       /* pixels: older lines are read already */
    REFRESH_S = 30,                       /* "for 12 minutes" is said anew */
};

struct _BkTalkWindow {
    AdwWindow parent;
    GtkWidget *toasts, *who, *avatar, *name, *status, *scroller, *list, *nothing, *big_avatar,
        *nothing_text, *down, *down_content, *typing, *hint_box, *hint_icon, *hint, *count,
        *entry_scroller, *entry, *emoji, *emoji_button, *send;
    BkApp *app;
    BkTalk *talk;
    BkPerson *person;
    BkEngine *engine;
    BkTalks *talks;
    GSimpleActionGroup *actions;
    GtkAdjustment *scroll;
    bool at_end;     /* and stays there when lines come */
    bool filling;    /* the entry's text is the draft already */
    bool composing;  /* an input method has not finished a character */
    int64_t sought;  /* a row of the history to be shown once it is loaded; 0: none */
    BkLine *pointed; /* the line that was looked for */
    guint refresh, settle;
};
G_DEFINE_FINAL_TYPE(BkTalkWindow, bk_talk_window, ADW_TYPE_WINDOW)

static void toast(BkTalkWindow *window, const char *text)
{
    g_autofree char *escaped = g_markup_escape_text(text, -1);
    adw_toast_overlay_add_toast(ADW_TOAST_OVERLAY(window->toasts), adw_toast_new(escaped));
}

static unsigned n_lines(BkTalkWindow *window)
{
    return g_list_model_get_n_items(G_LIST_MODEL(window->talk));
}

static GSimpleAction *action(BkTalkWindow *window, const char *name)
{
    return G_SIMPLE_ACTION(g_action_map_lookup_action(G_ACTION_MAP(window->actions), name));
}

/* ---- what is seen ---- */

static void update_looked_at(BkTalkWindow *window)
{
    bool active = gtk_window_is_active(GTK_WINDOW(window));
    bk_talk_set_looked_at(window->talk, active && window->at_end && !window->sought);
}

static void show_down(BkTalkWindow *window)
{
    unsigned unread = bk_talk_unread(window->talk);
    g_autofree char *label =
        g_strdup_printf(ngettext("%u new message", "%u new messages", (gulong)unread), unread);
    adw_button_content_set_label(ADW_BUTTON_CONTENT(window->down_content),
                                 unread ? label : _("Newest messages"));
    gtk_widget_set_visible(window->down, !window->at_end && n_lines(window) > 0);
}

static void scroll_to(BkTalkWindow *window, unsigned at)
{
    (void)gtk_widget_activate_action(window->list, "list.scroll-to-item", "u", at);
}

static gboolean on_settle(gpointer data)
{
    BkTalkWindow *window = data;
    window->settle = 0;
    if (window->at_end && n_lines(window))
        scroll_to(window, n_lines(window) - 1);
    return G_SOURCE_REMOVE;
}

/* After the list has measured what changed. */
static void stay_at_end(BkTalkWindow *window)
{
    if (window->at_end && !window->settle)
        window->settle = g_idle_add_full(GDK_PRIORITY_REDRAW + 10, on_settle, window, NULL);
}

static void go_to_end(BkTalkWindow *window)
{
    window->at_end = true;
    stay_at_end(window);
    show_down(window);
    update_looked_at(window);
}

static void on_scrolled(BkTalkWindow *window)
{
    double end =
        gtk_adjustment_get_upper(window->scroll) - gtk_adjustment_get_page_size(window->scroll);
    double at = gtk_adjustment_get_value(window->scroll);
    if (at < NEAR_TOP && !window->sought)
        bk_talk_load_older(window->talk);
    bool at_end = at >= end - NEAR_END;
    if (window->settle || at_end == window->at_end) /* on the way there by itself */
        return;
    window->at_end = at_end;
    show_down(window);
    update_looked_at(window);
}

static void find_sought(BkTalkWindow *window)
{
    unsigned at = window->sought ? bk_talk_find_row(window->talk, window->sought) : G_MAXUINT;
    if (at == G_MAXUINT)
        return;
    window->sought = 0;
    g_clear_object(&window->pointed);
    window->pointed = g_list_model_get_item(G_LIST_MODEL(window->talk), at);
    window->at_end = at + 1 == n_lines(window);
    scroll_to(window, at);
    show_down(window);
    for (GtkWidget *around = gtk_widget_get_first_child(window->list); around;
         around = gtk_widget_get_next_sibling(around)) {
        GtkWidget *row = gtk_widget_get_first_child(around);
        if (row && bk_talk_row_line(BK_TALK_ROW(row)) == window->pointed)
            bk_talk_row_point_at(BK_TALK_ROW(row));
    }
}

static void on_lines_changed(BkTalkWindow *window)
{
    gtk_widget_set_visible(window->nothing, n_lines(window) == 0);
    find_sought(window);
    stay_at_end(window);
    show_down(window);
}

static void show_typing(BkTalkWindow *window)
{
    g_autofree char *text = g_strdup_printf(_("%s is typing…"), bk_person_name(window->person));
    gtk_label_set_label(GTK_LABEL(window->typing), text);
    gtk_widget_set_visible(window->typing, bk_talk_is_typing(window->talk));
}

/* ---- the other, and whether words reach them ---- */

/* One sentence at most, the most important. NULL: all is well. */
static char *hint_text(BkTalkWindow *window, const char **ret_icon)
{
    const char *name = bk_person_name(window->person);
    enum bk_client_state state = bk_engine_state(window->engine);
    *ret_icon = "dialog-information-symbolic";
    if (!bk_engine_has_session(window->engine))
        return g_strdup(_("You are signed out. What you typed is kept."));
    if (state != BK_CLIENT_SIGNED_IN) {
        *ret_icon = "network-offline-symbolic";
        return g_strdup(_("The connection is away. What you write will be sent when it is back."));
    }
    if (*bk_talks_trouble(window->talks))
        return g_strdup_printf(
            _("What is said cannot be saved on this computer at the moment (%s)."),
            bk_talks_trouble(window->talks));
    if (bk_person_is_blocked(window->person)) {
        *ret_icon = "action-unavailable-symbolic";
        return g_strdup_printf(_("You have blocked %s. What they write does not reach you."), name);
    }
    *ret_icon = bk_icon_shown(bk_person_shown(window->person));
    if (bk_person_shown(window->person) == BK_PIDF_SHOWN_OFFLINE)
        return g_strdup_printf(_("%s is offline and gets your message when they are back."), name);
    if (bk_person_shown(window->person) == BK_PIDF_SHOWN_DND ||
        bk_person_shown(window->person) == BK_PIDF_SHOWN_PRESENTING)
        return g_strdup_printf(_("%s does not want to be disturbed and may read this later."),
                               name);
    return NULL;
}

static void update_send(BkTalkWindow *window);

static void show_hint(BkTalkWindow *window)
{
    const char *icon;
    g_autofree char *text = hint_text(window, &icon);
    gtk_image_set_from_icon_name(GTK_IMAGE(window->hint_icon), icon);
    if (text && strcmp(text, gtk_label_get_label(GTK_LABEL(window->hint))) != 0)
        gtk_label_set_label(GTK_LABEL(window->hint), text);
    gtk_widget_set_visible(window->hint_box, text != NULL);
    update_send(window);
}

static void show_person(BkTalkWindow *window)
{
    const char *name = bk_person_name(window->person);
    bool contact = bk_person_is_contact(window->person);
    bool blocked = bk_person_is_blocked(window->person);
    g_autofree char *status = bk_contact_subtitle(window->person, g_get_real_time() / 1000);
    g_autofree char *label = g_strdup_printf("%s, %s", name, status);
    g_autofree char *tip = g_strdup_printf("%s\n%s", bk_person_address(window->person), status);
    g_autofree char *nothing =
        g_strdup_printf(_("What you and %s write to each other stands here."), name);
    gtk_window_set_title(GTK_WINDOW(window), name);
    gtk_label_set_label(GTK_LABEL(window->name), name);
    gtk_label_set_label(GTK_LABEL(window->status), status);
    gtk_label_set_label(GTK_LABEL(window->nothing_text), nothing);
    gtk_widget_set_tooltip_text(window->who, tip);
    gtk_accessible_update_property(GTK_ACCESSIBLE(window->who), GTK_ACCESSIBLE_PROPERTY_LABEL,
                                   label, -1);
    g_autofree char *to = g_strdup_printf(_("Message to %s"), name);
    gtk_accessible_update_property(GTK_ACCESSIBLE(window->entry), GTK_ACCESSIBLE_PROPERTY_LABEL, to,
                                   -1);
    g_simple_action_set_enabled(action(window, "add"), !contact && !blocked);
    g_simple_action_set_enabled(action(window, "block"), !blocked);
    g_simple_action_set_enabled(action(window, "unblock"), blocked);
    show_typing(window);
    show_hint(window);
}

static gboolean on_refresh(gpointer data)
{
    show_person(data);
    return G_SOURCE_CONTINUE;
}

/* ---- the entry ---- */

static char *entry_text(BkTalkWindow *window)
{
    GtkTextIter start, end;
    GtkTextBuffer *buffer = gtk_text_view_get_buffer(GTK_TEXT_VIEW(window->entry));
    gtk_text_buffer_get_bounds(buffer, &start, &end);
    return gtk_text_buffer_get_text(buffer, &start, &end, FALSE);
}

static void set_entry_text(BkTalkWindow *window, const char *text)
{
    window->filling = true;
    gtk_text_buffer_set_text(gtk_text_view_get_buffer(GTK_TEXT_VIEW(window->entry)), text, -1);
    window->filling = false;
}

static void show_count(BkTalkWindow *window, size_t len)
{
    bool over = len > BK_TALK_TEXT_MAX;
    unsigned n = (unsigned)(over ? len - BK_TALK_TEXT_MAX : BK_TALK_TEXT_MAX - len);
    g_autofree char *text =
        over ? g_strdup_printf(ngettext("Too long for one message by %u character",
                                        "Too long for one message by %u characters", (gulong)n),
                               n)
             : g_strdup_printf(
                   ngettext("Room for %u more character", "Room for %u more characters", (gulong)n),
                   n);
    gtk_label_set_label(GTK_LABEL(window->count), text);
    gtk_widget_set_visible(window->count, len >= COUNT_FROM);
    gtk_widget_remove_css_class(window->count, over ? "dim-label" : "error");
    gtk_widget_add_css_class(window->count, over ? "error" : "dim-label");
}

static void update_send(BkTalkWindow *window)
{
    g_autofree char *text = entry_text(window);
    g_strstrip(text);
    size_t len = strlen(text);
    show_count(window, len);
    g_simple_action_set_enabled(action(window, "send"), len && len <= BK_TALK_TEXT_MAX &&
                                                            bk_engine_has_session(window->engine));
}

static void on_typed(BkTalkWindow *window)
{
    g_autofree char *text = entry_text(window);
    if (!window->filling) {
        window->filling = true;
        bk_talk_set_draft(window->talk, text);
        window->filling = false;
    }
    update_send(window);
}

/* One goes on where one stopped: at the end, and that is to be seen. */
static void go_to_text_end(BkTalkWindow *window)
{
    GtkTextIter end;
    GtkTextBuffer *buffer = gtk_text_view_get_buffer(GTK_TEXT_VIEW(window->entry));
    gtk_text_buffer_get_end_iter(buffer, &end);
    gtk_text_buffer_place_cursor(buffer, &end);
    gtk_text_view_scroll_to_mark(GTK_TEXT_VIEW(window->entry), gtk_text_buffer_get_insert(buffer),
                                 0, FALSE, 0, 0);
}

/* From elsewhere: read from the disk, or a reply in an alert. */
static void on_draft(BkTalkWindow *window)
{
    if (window->filling)
        return;
    set_entry_text(window, bk_talk_draft(window->talk));
    go_to_text_end(window);
}

static void act_send(GSimpleAction *a, GVariant *v, gpointer data)
{
    BkTalkWindow *window = data;
    (void)a, (void)v;
    g_autofree char *text = entry_text(window);
    int r = bk_talk_send(window->talk, g_strstrip(text));
    if (r == 0) {
        bk_talk_set_draft(window->talk, "");
        go_to_end(window);
        return;
    }
    if (r == -EINVAL)
        return;
    toast(window, r == -ESHUTDOWN  ? _("You are signed out. What you typed is kept.")
                  : r == -EMSGSIZE ? _("This is too long for one message.")
                                   : _("There is not enough memory for this."));
}

/* From the entry one comes to the newest line first, not to the oldest. */
static gboolean focus_newest(BkTalkWindow *window)
{
    GtkWidget *newest = NULL;
    for (GtkWidget *around = gtk_widget_get_first_child(window->list); around;
         around = gtk_widget_get_next_sibling(around)) {
        GtkWidget *row = gtk_widget_get_first_child(around);
        if (row && BK_IS_TALK_ROW(row) && gtk_widget_get_mapped(around))
            newest = around;
    }
    return newest && gtk_widget_grab_focus(newest);
}

static gboolean on_key(GtkEventControllerKey *keys, guint value, guint code, GdkModifierType with,
                       BkTalkWindow *window)
{
    (void)keys, (void)code;
    if (value == GDK_KEY_ISO_Left_Tab || (value == GDK_KEY_Tab && with & GDK_SHIFT_MASK))
        return window->at_end && focus_newest(window);
    bool enter = value == GDK_KEY_Return || value == GDK_KEY_KP_Enter || value == GDK_KEY_ISO_Enter;
    if (!enter || window->composing || with & (GDK_SHIFT_MASK | GDK_ALT_MASK))
        return FALSE;
    g_action_activate(G_ACTION(action(window, "send")), NULL);
    return TRUE;
}

static void on_preedit(BkTalkWindow *window, const char *text)
{
    window->composing = *text != '\0';
}

static void on_emoji(BkTalkWindow *window, const char *text)
{
    gtk_text_buffer_insert_at_cursor(gtk_text_view_get_buffer(GTK_TEXT_VIEW(window->entry)), text,
                                     -1);
    gtk_widget_grab_focus(window->entry);
}

/* Six lines of whatever font and scale are set. */
static void limit_entry(BkTalkWindow *window)
{
    PangoContext *context = gtk_widget_get_pango_context(window->entry);
    PangoFontMetrics *metrics = pango_context_get_metrics(context, NULL, NULL);
    int height = pango_font_metrics_get_height(metrics);
    pango_font_metrics_unref(metrics);
    gtk_scrolled_window_set_max_content_height(GTK_SCROLLED_WINDOW(window->entry_scroller),
                                               ENTRY_LINES * (height + PANGO_SCALE - 1) /
                                                   PANGO_SCALE);
}

void bk_talk_window_focus_entry(BkTalkWindow *window)
{
    go_to_text_end(window);
    gtk_widget_grab_focus(window->entry);
}

/* ---- rows ---- */

static void on_link(BkTalkWindow *window, const char *uri)
{
    g_autofree char *address = bk_talk_link_address(uri);
    if (address)
        bk_app_open_talk(window->app, address);
    else
        gtk_show_uri(GTK_WINDOW(window), uri, GDK_CURRENT_TIME);
}

static void on_row_setup(GtkSignalListItemFactory *factory, GtkListItem *item, BkTalkWindow *window)
{
    (void)factory;
    GtkWidget *row = bk_talk_row_new(window->talk);
    g_signal_connect_object(row, "link", G_CALLBACK(on_link), window, G_CONNECT_SWAPPED);
    gtk_list_item_set_activatable(item, FALSE);
    gtk_list_item_set_selectable(item, FALSE);
    gtk_list_item_set_child(item, row);
}

static void on_row_bind(GtkSignalListItemFactory *factory, GtkListItem *item, BkTalkWindow *window)
{
    (void)factory;
    BkTalkRow *row = BK_TALK_ROW(gtk_list_item_get_child(item));
    BkLine *line = gtk_list_item_get_item(item);
    bk_talk_row_set_line(row, line);
    if (line != window->pointed)
        return;
    bk_talk_row_point_at(row);
    g_clear_object(&window->pointed);
}

static void on_row_unbind(GtkSignalListItemFactory *factory, GtkListItem *item)
{
    (void)factory;
    bk_talk_row_set_line(BK_TALK_ROW(gtk_list_item_get_child(item)), NULL);
}

static void make_list(BkTalkWindow *window)
{
    GtkListItemFactory *factory = gtk_signal_list_item_factory_new();
    g_signal_connect_object(factory, "setup", G_CALLBACK(on_row_setup), window, 0);
    g_signal_connect_object(factory, "bind", G_CALLBACK(on_row_bind), window, 0);
    g_signal_connect_object(factory, "unbind", G_CALLBACK(on_row_unbind), window, 0);
    gtk_list_view_set_factory(GTK_LIST_VIEW(window->list), factory);
    g_object_unref(factory);
    GtkNoSelection *model = gtk_no_selection_new(g_object_ref(G_LIST_MODEL(window->talk)));
    gtk_list_view_set_model(GTK_LIST_VIEW(window->list), GTK_SELECTION_MODEL(model));
    g_object_unref(model);
    window->scroll = gtk_scrolled_window_get_vadjustment(GTK_SCROLLED_WINDOW(window->scroller));
    g_signal_connect_object(window->scroll, "value-changed", G_CALLBACK(on_scrolled), window,
                            G_CONNECT_SWAPPED);
    g_signal_connect_object(window->scroll, "changed", G_CALLBACK(stay_at_end), window,
                            G_CONNECT_SWAPPED);
}

/* The whole line where the keyboard is on one; text marked within it is copied by the label itself. */
static gboolean copy_line(GtkWidget *widget, GVariant *args, gpointer data)
{
    BkTalkWindow *window = data;
    (void)args;
    GtkWidget *focus = gtk_root_get_focus(gtk_widget_get_root(widget));
    GtkWidget *row = focus ? gtk_widget_get_ancestor(focus, BK_TYPE_TALK_ROW) : NULL;
    if (!row)
        return FALSE;
    gdk_clipboard_set_text(gtk_widget_get_clipboard(widget),
                           bk_line_text(bk_talk_row_line(BK_TALK_ROW(row))));
    toast(window, _("Copied"));
    return TRUE;
}

/* ---- the menu ---- */

static void act_card(GSimpleAction *a, GVariant *v, gpointer data)
{
    BkTalkWindow *window = data;
    (void)a, (void)v;
    bk_contact_card_show(window->app, GTK_WINDOW(window), window->person);
}

static void act_add(GSimpleAction *a, GVariant *v, gpointer data)
{
    BkTalkWindow *window = data;
    (void)a, (void)v;
    bk_contact_add(window->list, bk_person_address(window->person), NULL);
}

static void act_block(GSimpleAction *a, GVariant *v, gpointer data)
{
    BkTalkWindow *window = data;
    (void)a, (void)v;
    bk_contact_ask_block(window->list, window->person);
}

static void act_unblock(GSimpleAction *a, GVariant *v, gpointer data)
{
    BkTalkWindow *window = data;
    (void)a, (void)v;
    bk_contact_unblock(window->list, window->person);
}

static void act_find(GSimpleAction *a, GVariant *v, gpointer data)
{
    BkTalkWindow *window = data;
    (void)a, (void)v;
    bk_history_window_show(window->app, GTK_WINDOW(window), window->talk);
}

static void on_forget(AdwMessageDialog *dialog, const char *response, BkTalkWindow *window)
{
    (void)dialog;
    if (strcmp(response, "delete") != 0)
        return;
    bk_talk_forget(window->talk);
    bk_talk_window_focus_entry(window);
}

static void act_forget(GSimpleAction *a, GVariant *v, gpointer data)
{
    BkTalkWindow *window = data;
    (void)a, (void)v;
    AdwMessageDialog *dialog = ADW_MESSAGE_DIALOG(
        adw_message_dialog_new(GTK_WINDOW(window), _("Delete What Was Said?"), NULL));
    adw_message_dialog_format_body(dialog,
                                   _("All that you and %s wrote is removed from this computer, and "
                                     "cannot be brought back. The "
                                     "other side keeps theirs."),
                                   bk_person_name(window->person));
    adw_message_dialog_add_responses(dialog, "cancel", _("_Cancel"), "delete", _("_Delete"), NULL);
    adw_message_dialog_set_response_appearance(dialog, "delete", ADW_RESPONSE_DESTRUCTIVE);
    adw_message_dialog_set_default_response(dialog, "cancel");
    adw_message_dialog_set_close_response(dialog, "cancel");
    g_signal_connect_object(dialog, "response", G_CALLBACK(on_forget), window, 0);
    gtk_window_present(GTK_WINDOW(dialog));
}

static void act_said(GSimpleAction *a, GVariant *v, gpointer data)
{
    (void)a;
    toast(data, g_variant_get_string(v, NULL));
}

/* ---- the window ---- */

BkTalk *bk_talk_window_talk(BkTalkWindow *window)
{
    return window->talk;
}

BkTalkWindow *bk_talk_window_find(BkApp *app, BkTalk *talk)
{
    for (GList *at = gtk_application_get_windows(GTK_APPLICATION(app)); at; at = at->next)
        if (BK_IS_TALK_WINDOW(at->data) && BK_TALK_WINDOW(at->data)->talk == talk)
            return at->data;
    return NULL;
}

void bk_talk_window_show_row(BkTalkWindow *window, int64_t row)
{
    window->sought = row;
    window->at_end = false;
    bk_talk_load_to(window->talk, row);
    find_sought(window);
}

static void dispose(GObject *object)
{
    BkTalkWindow *window = BK_TALK_WINDOW(object);
    g_clear_handle_id(&window->refresh, g_source_remove);
    g_clear_handle_id(&window->settle, g_source_remove);
    if (window->talk) {
        bk_talk_set_looked_at(window->talk, false);
        (void)bk_engine_close_conversation(window->engine, bk_person_address(window->person));
    }
    g_clear_object(&window->pointed);
    g_clear_object(&window->actions);
    g_clear_object(&window->person);
    g_clear_object(&window->engine);
    g_clear_object(&window->talks);
    g_clear_object(&window->talk);
    G_OBJECT_CLASS(bk_talk_window_parent_class)->dispose(object);
}

static void bk_talk_window_class_init(BkTalkWindowClass *class)
{
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = dispose;
    g_type_ensure(BK_TYPE_PERSON_AVATAR);
    gtk_widget_class_set_template_from_resource(widget, "/org/beckon/Beckon/talk_window.ui");
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, toasts);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, who);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, avatar);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, name);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, status);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, scroller);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, list);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, nothing);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, big_avatar);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, nothing_text);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, down);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, down_content);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, typing);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, hint_box);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, hint_icon);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, hint);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, count);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, entry_scroller);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, entry);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, emoji);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, emoji_button);
    gtk_widget_class_bind_template_child(widget, BkTalkWindow, send);
    gtk_widget_class_add_binding_action(widget, GDK_KEY_Escape, 0, "window.close", NULL);
    gtk_widget_class_add_binding_action(widget, GDK_KEY_w, GDK_CONTROL_MASK, "window.close", NULL);
    gtk_widget_class_add_binding_action(widget, GDK_KEY_f, GDK_CONTROL_MASK, "talk.find", NULL);
}

static void add_actions(BkTalkWindow *window)
{
    static const GActionEntry entries[] = {
        { .name = "send", .activate = act_send },
        { .name = "card", .activate = act_card },
        { .name = "add", .activate = act_add },
        { .name = "block", .activate = act_block },
        { .name = "unblock", .activate = act_unblock },
        { .name = "find", .activate = act_find },
        { .name = "forget", .activate = act_forget },
        { .name = "said", .activate = act_said, .parameter_type = "s" },
    };
    window->actions = g_simple_action_group_new();
    g_action_map_add_action_entries(G_ACTION_MAP(window->actions), entries, G_N_ELEMENTS(entries),
                                    window);
    gtk_widget_insert_action_group(GTK_WIDGET(window), "talk", G_ACTION_GROUP(window->actions));
}

static void bk_talk_window_init(BkTalkWindow *window)
{
    add_actions(window);
    gtk_widget_init_template(GTK_WIDGET(window));
    window->at_end = true;
    gtk_accessible_update_property(GTK_ACCESSIBLE(window->list), GTK_ACCESSIBLE_PROPERTY_LABEL,
                                   _("What was said"), -1);

    GtkEventController *keys = gtk_event_controller_key_new();
    gtk_event_controller_set_propagation_phase(keys, GTK_PHASE_CAPTURE);
    g_signal_connect_object(keys, "key-pressed", G_CALLBACK(on_key), window, 0);
    gtk_widget_add_controller(window->entry, keys);
    g_signal_connect_object(window->entry, "preedit-changed", G_CALLBACK(on_preedit), window,
                            G_CONNECT_SWAPPED);
    g_signal_connect_object(window->emoji, "emoji-picked", G_CALLBACK(on_emoji), window,
                            G_CONNECT_SWAPPED);
    g_signal_connect_object(gtk_text_view_get_buffer(GTK_TEXT_VIEW(window->entry)), "changed",
                            G_CALLBACK(on_typed), window, G_CONNECT_SWAPPED);
    g_signal_connect_swapped(window->down, "clicked", G_CALLBACK(go_to_end), window);

    GtkEventController *copy = gtk_shortcut_controller_new();
    gtk_shortcut_controller_add_shortcut(
        GTK_SHORTCUT_CONTROLLER(copy),
        gtk_shortcut_new(gtk_keyval_trigger_new(GDK_KEY_c, GDK_CONTROL_MASK),
                         gtk_callback_action_new(copy_line, window, NULL)));
    gtk_widget_add_controller(window->list, copy);
}

static void on_map(BkTalkWindow *window)
{
    bk_talk_window_focus_entry(window);
}

BkTalkWindow *bk_talk_window_new(BkApp *app, BkTalk *talk)
{
    BkTalkWindow *window = g_object_new(BK_TYPE_TALK_WINDOW, "application", app, NULL);
    window->app = app;
    window->talk = g_object_ref(talk);
    window->person = g_object_ref(bk_talk_person(talk));
    window->engine = g_object_ref(bk_app_engine(app));
    window->talks = g_object_ref(bk_app_talks(app));
    bk_person_avatar_set_person(BK_PERSON_AVATAR(window->avatar), window->person);
    bk_person_avatar_set_person(BK_PERSON_AVATAR(window->big_avatar), window->person);
    make_list(window);
    limit_entry(window);
    set_entry_text(window, bk_talk_draft(talk));

    g_signal_connect_object(window->person, "notify", G_CALLBACK(show_person), window,
                            G_CONNECT_SWAPPED);
    g_signal_connect_object(window->engine, "notify::state", G_CALLBACK(show_hint), window,
                            G_CONNECT_SWAPPED);
    g_signal_connect_object(window->talks, "notify::trouble", G_CALLBACK(show_hint), window,
                            G_CONNECT_SWAPPED);
    g_signal_connect_object(talk, "items-changed", G_CALLBACK(on_lines_changed), window,
                            G_CONNECT_SWAPPED | G_CONNECT_AFTER);
    g_signal_connect_object(talk, "notify::unread", G_CALLBACK(show_down), window,
                            G_CONNECT_SWAPPED);
    g_signal_connect_object(talk, "notify::typing", G_CALLBACK(show_typing), window,
                            G_CONNECT_SWAPPED);
    g_signal_connect_object(talk, "notify::draft", G_CALLBACK(on_draft), window, G_CONNECT_SWAPPED);
    g_signal_connect(window, "notify::is-active", G_CALLBACK(update_looked_at), NULL);
    window->refresh = g_timeout_add_seconds(REFRESH_S, on_refresh, window);
    show_person(window);
    on_lines_changed(window);
    /* Not before: a widget that has the focus in a window nobody sees makes GTK 4.8 hide the window from screen readers. */
    g_signal_connect_object(window, "map", G_CALLBACK(on_map), window, G_CONNECT_AFTER);
    return window;
}
