/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/talk_row.h"
#include "desktop/talk_markup.h"
#include "desktop/words.h"
#include <glib/gi18n.h>

enum { POINT_MS = 2500, ASIDE = 48 };

struct _BkTalkRow {
    GtkWidget parent;
    GtkWidget *day, *unread, *unread_text, *bubble, *text, *meta, *time, *mark, *state;
    GtkWidget *failure, *why, *code, *code_text, *retry;
    BkTalk *talk;
    BkLine *line;
    gulong changed;
    guint point;
};
G_DEFINE_FINAL_TYPE(BkTalkRow, bk_talk_row, GTK_TYPE_WIDGET)

static guint link_signal;

static void set_class(GtkWidget *widget, const char *name, bool on)
{
    if (on)
        gtk_widget_add_css_class(widget, name);
    else
        gtk_widget_remove_css_class(widget, name);
}

static const char *state_word(BkLine *line)
{
    if (!bk_line_is_mine(line))
        return bk_line_is_delayed(line) ? _("written while you were away") : "";
    switch (bk_line_state(line)) {
    case BK_CLIENT_SENDING:
        return _("Sending…");
    case BK_CLIENT_STORED:
        return _("Will be delivered when they are back");
    case BK_CLIENT_FAILED:
        return _("Not sent");
    default:
        return "";
    }
}

/* All of it in one sentence, for who hears it. */
static void set_label(BkTalkRow *row, const char *time)
{
    BkLine *line = row->line;
    const char *who = bk_line_is_mine(line) ? _("You") : bk_person_name(bk_talk_person(row->talk));
    const char *word = bk_line_is_mine(line) && bk_line_state(line) == BK_CLIENT_SENT
                           ? C_("message", "Sent")
                           : state_word(line);
    g_autofree char *label = g_strdup_printf("%s, %s: %s%s%s %s", who, time, bk_line_text(line),
                                             *word ? ", " : "", word, bk_line_why(line));
    GtkWidget *around = gtk_widget_get_parent(GTK_WIDGET(row));
    g_strchomp(label);
    gtk_accessible_update_property(GTK_ACCESSIBLE(row), GTK_ACCESSIBLE_PROPERTY_LABEL, label, -1);
    if (around)
        gtk_accessible_update_property(GTK_ACCESSIBLE(around), GTK_ACCESSIBLE_PROPERTY_LABEL, label,
                                       -1);
}

static void show_failure(BkTalkRow *row)
{
    BkLine *line = row->line;
    bool failed = bk_line_is_retryable(line);
    const char *code = bk_line_case_code(line), *does = bk_line_does(line);
    gtk_widget_set_visible(row->failure, failed);
    if (!failed)
        return;
    g_autofree char *why = g_strdup_printf("%s%s%s", bk_line_why(line), *does ? " " : "", does);
    gtk_label_set_label(GTK_LABEL(row->why), why);
    gtk_widget_set_visible(row->code, *code);
    adw_button_content_set_label(ADW_BUTTON_CONTENT(row->code_text), code);
}

static void show_state(BkTalkRow *row)
{
    BkLine *line = row->line;
    bool mine = bk_line_is_mine(line), closes = bk_line_closes_group(line);
    enum bk_client_message_state state = bk_line_state(line);
    bool failed = mine && state == BK_CLIENT_FAILED;
    bool late = mine && (state == BK_CLIENT_SENDING || state == BK_CLIENT_STORED);
    g_autofree char *time = bk_word_time(bk_line_at_ms(line));
    const char *word = closes || late ? state_word(line) : "";
    gtk_label_set_label(GTK_LABEL(row->time), time);
    gtk_widget_set_visible(row->time, closes || late || failed);
    g_autofree char *aside = *word && !mine ? g_strdup_printf("\302\267 %s", word) : NULL;
    gtk_label_set_label(GTK_LABEL(row->state), aside ? aside : word);
    gtk_widget_set_visible(row->state, *word && !failed);
    gtk_image_set_from_icon_name(GTK_IMAGE(row->mark), state == BK_CLIENT_SENT
                                                           ? "object-select-symbolic"
                                                           : "document-open-recent-symbolic");
    gtk_widget_set_visible(row->mark, mine && (late || (closes && state == BK_CLIENT_SENT)));
    gtk_widget_set_visible(row->meta, closes || late || failed);
    set_class(row->bubble, "failed", failed);
    set_class(row->bubble, "sending", mine && state == BK_CLIENT_SENDING);
    show_failure(row);
    set_label(row, time);
}

static void show_place(BkTalkRow *row)
{
    BkLine *line = row->line;
    bool opens = bk_line_opens_group(line);
    g_autofree char *day = bk_word_day(bk_line_at_ms(line), g_get_real_time() / 1000);
    gtk_label_set_label(GTK_LABEL(row->day), day);
    gtk_widget_set_visible(row->day, bk_line_opens_day(line));
    gtk_widget_set_visible(row->unread, bk_line_opens_unread(line));
    gtk_label_set_label(GTK_LABEL(row->unread_text), bk_line_is_delayed(line)
                                                         ? _("Missed while you were away")
                                                         : _("New messages"));
    gtk_widget_set_margin_top(row->bubble, opens ? 8 : 2);
}

static void show_line(BkTalkRow *row)
{
    bool mine = bk_line_is_mine(row->line);
    GtkAlign side = mine ? GTK_ALIGN_END : GTK_ALIGN_START;
    g_autofree char *markup = bk_talk_markup(bk_line_text(row->line));
    gtk_label_set_markup(GTK_LABEL(row->text), markup);
    GtkWidget *const parts[] = { row->bubble, row->meta, row->failure };
    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
        gtk_widget_set_halign(parts[i], side);
        gtk_widget_set_margin_start(parts[i], (mine ? ASIDE : 0) + (i ? 4 : 0));
        gtk_widget_set_margin_end(parts[i], (mine ? 0 : ASIDE) + (i ? 4 : 0));
    }
    set_class(row->bubble, "mine", mine);
    show_place(row);
    show_state(row);
}

static void on_changed(BkTalkRow *row)
{
    show_place(row);
    show_state(row);
}

static void stop_pointing(BkTalkRow *row)
{
    g_clear_handle_id(&row->point, g_source_remove);
    gtk_widget_remove_css_class(row->bubble, "sought");
}

static gboolean on_pointed(gpointer row)
{
    ((BkTalkRow *)row)->point = 0;
    stop_pointing(row);
    return G_SOURCE_REMOVE;
}

void bk_talk_row_point_at(BkTalkRow *row)
{
    stop_pointing(row);
    gtk_widget_add_css_class(row->bubble, "sought");
    row->point = g_timeout_add(POINT_MS, on_pointed, row);
}

void bk_talk_row_set_line(BkTalkRow *row, BkLine *line)
{
    if (row->line)
        g_signal_handler_disconnect(row->line, row->changed);
    g_clear_object(&row->line);
    stop_pointing(row);
    if (!line)
        return;
    row->line = g_object_ref(line);
    row->changed = g_signal_connect_swapped(line, "notify", G_CALLBACK(on_changed), row);
    show_line(row);
}

BkLine *bk_talk_row_line(BkTalkRow *row)
{
    return row->line;
}

static void on_retry(BkTalkRow *row)
{
    g_autoptr(BkLine) line = g_object_ref(row->line);
    (void)bk_talk_retry(row->talk, line);
}

static void on_code(BkTalkRow *row)
{
    gdk_clipboard_set_text(gtk_widget_get_clipboard(GTK_WIDGET(row)), bk_line_case_code(row->line));
    (void)gtk_widget_activate_action(GTK_WIDGET(row), "talk.said", "s", _("Copied"));
}

static gboolean on_link(GtkLabel *label, const char *uri, BkTalkRow *row)
{
    (void)label;
    g_signal_emit(row, link_signal, 0, uri);
    return TRUE;
}

static void dispose(GObject *object)
{
    BkTalkRow *row = BK_TALK_ROW(object);
    if (row->bubble)
        bk_talk_row_set_line(row, NULL);
    g_clear_object(&row->talk);
    for (GtkWidget *child; (child = gtk_widget_get_first_child(GTK_WIDGET(row)));)
        gtk_widget_unparent(child);
    row->bubble = NULL;
    G_OBJECT_CLASS(bk_talk_row_parent_class)->dispose(object);
}

static void bk_talk_row_class_init(BkTalkRowClass *class)
{
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = dispose;
    gtk_widget_class_set_css_name(widget, "talkline");
    gtk_widget_class_set_layout_manager_type(widget, GTK_TYPE_BOX_LAYOUT);
    gtk_widget_class_set_template_from_resource(widget, "/org/beckon/Beckon/talk_row.ui");
    gtk_widget_class_bind_template_child(widget, BkTalkRow, day);
    gtk_widget_class_bind_template_child(widget, BkTalkRow, unread);
    gtk_widget_class_bind_template_child(widget, BkTalkRow, unread_text);
    gtk_widget_class_bind_template_child(widget, BkTalkRow, bubble);
    gtk_widget_class_bind_template_child(widget, BkTalkRow, text);
    gtk_widget_class_bind_template_child(widget, BkTalkRow, meta);
    gtk_widget_class_bind_template_child(widget, BkTalkRow, time);
    gtk_widget_class_bind_template_child(widget, BkTalkRow, mark);
    gtk_widget_class_bind_template_child(widget, BkTalkRow, state);
    gtk_widget_class_bind_template_child(widget, BkTalkRow, failure);
    gtk_widget_class_bind_template_child(widget, BkTalkRow, why);
    gtk_widget_class_bind_template_child(widget, BkTalkRow, code);
    gtk_widget_class_bind_template_child(widget, BkTalkRow, code_text);
    gtk_widget_class_bind_template_child(widget, BkTalkRow, retry);
    link_signal = g_signal_new("link", BK_TYPE_TALK_ROW, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                               G_TYPE_NONE, 1, G_TYPE_STRING);
}

static void bk_talk_row_init(BkTalkRow *row)
{
    gtk_widget_init_template(GTK_WIDGET(row));
    gtk_widget_set_focusable(GTK_WIDGET(row),
                             TRUE); /* the list's own widget never is around a label that is */
    GtkLayoutManager *layout = gtk_widget_get_layout_manager(GTK_WIDGET(row));
    gtk_orientable_set_orientation(GTK_ORIENTABLE(layout), GTK_ORIENTATION_VERTICAL);
    g_signal_connect_swapped(row->retry, "clicked", G_CALLBACK(on_retry), row);
    g_signal_connect_swapped(row->code, "clicked", G_CALLBACK(on_code), row);
    g_signal_connect(row->text, "activate-link", G_CALLBACK(on_link), row);
}

GtkWidget *bk_talk_row_new(BkTalk *talk)
{
    BkTalkRow *row = g_object_new(BK_TYPE_TALK_ROW, NULL);
    row->talk = g_object_ref(talk);
    return GTK_WIDGET(row);
}
