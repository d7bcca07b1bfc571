/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/history_window.h"
#include "desktop/presence_dot.h"
#include "desktop/talk_markup.h"
#include "desktop/talk_window.h"
#include "desktop/words.h"

#include <glib/gi18n.h>
#include <string.h>

struct _BkHistoryWindow {
    AdwWindow parent;
    GtkWidget *search, *only_this, *scroller, *found, *nothing;
    BkApp *app;
    BkTalk *talk;   /* NULL: all */
    unsigned asked; /* counted: an answer to an older question is dropped */
};
G_DEFINE_FINAL_TYPE(BkHistoryWindow, bk_history_window, ADW_TYPE_WINDOW)

struct question {
    BkHistoryWindow *window;
    unsigned number;
    char *words;
};

static void say_nothing(BkHistoryWindow *window, const char *title, const char *description)
{
    adw_status_page_set_title(ADW_STATUS_PAGE(window->nothing), title);
    adw_status_page_set_description(ADW_STATUS_PAGE(window->nothing), description);
    gtk_widget_set_visible(window->nothing, TRUE);
    gtk_widget_set_visible(window->scroller, FALSE);
}

static GtkWidget *make_label(const char *text, bool markup, const char *class)
{
    GtkWidget *label = gtk_label_new(NULL);
    if (markup)
        gtk_label_set_markup(GTK_LABEL(label), text);
    else
        gtk_label_set_label(GTK_LABEL(label), text);
    gtk_label_set_xalign(GTK_LABEL(label), 0);
    if (class)
        gtk_widget_add_css_class(label, class);
    return label;
}

static GtkWidget *make_row(BkHistoryWindow *window, const struct bk_history_line *line,
                           const char *words)
{
    g_autoptr(BkPerson) person = bk_roster_person(bk_app_roster(window->app), line->peer);
    const char *name = person ? bk_person_name(person) : line->peer;
    g_autofree char *day = bk_word_day(line->at_ms, g_get_real_time() / 1000);
    g_autofree char *time = bk_word_time(line->at_ms);
    g_autofree char *when = g_strdup_printf("%s, %s", day, time);
    g_autofree char *who = line->mine ? g_strdup_printf(_("You to %s"), name) : g_strdup(name);
    g_autofree char *markup = bk_talk_found_markup(line->text, words);

    GtkWidget *row = gtk_list_box_row_new();
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 12);
    GtkWidget *texts = gtk_box_new(GTK_ORIENTATION_VERTICAL, 2);
    GtkWidget *head = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 12);
    GtkWidget *avatar = bk_person_avatar_new(32);
    GtkWidget *from = make_label(who, false, "caption-heading");
    GtkWidget *at = make_label(when, false, "caption");
    GtkWidget *said = make_label(markup, true, NULL);
    gtk_widget_set_valign(avatar, GTK_ALIGN_START);
    bk_person_avatar_set_person(BK_PERSON_AVATAR(avatar), person);
    gtk_label_set_ellipsize(GTK_LABEL(from), PANGO_ELLIPSIZE_END);
    gtk_widget_set_hexpand(from, TRUE);
    gtk_widget_add_css_class(at, "dim-label");
    gtk_label_set_wrap(GTK_LABEL(said), TRUE);
    gtk_label_set_wrap_mode(GTK_LABEL(said), PANGO_WRAP_WORD_CHAR);
    gtk_label_set_lines(GTK_LABEL(said), 3);
    gtk_label_set_ellipsize(GTK_LABEL(said), PANGO_ELLIPSIZE_END);
    gtk_box_append(GTK_BOX(head), from);
    gtk_box_append(GTK_BOX(head), at);
    gtk_box_append(GTK_BOX(texts), head);
    gtk_box_append(GTK_BOX(texts), said);
    gtk_widget_set_hexpand(texts, TRUE);
    gtk_box_append(GTK_BOX(box), avatar);
    gtk_box_append(GTK_BOX(box), texts);
    gtk_widget_set_margin_top(box, 8);
    gtk_widget_set_margin_bottom(box, 8);
    gtk_widget_set_margin_start(box, 12);
    gtk_widget_set_margin_end(box, 12);
    gtk_list_box_row_set_child(GTK_LIST_BOX_ROW(row), box);

    g_autofree char *label =
        g_strdup_printf("%s, %s: %s", who, when, gtk_label_get_text(GTK_LABEL(said)));
    gtk_accessible_update_property(GTK_ACCESSIBLE(row), GTK_ACCESSIBLE_PROPERTY_LABEL, label, -1);
    g_object_set_data_full(G_OBJECT(row), "peer", g_strdup(line->peer), g_free);
    g_object_set_data_full(G_OBJECT(row), "row", g_memdup2(&line->row, sizeof line->row), g_free);
    return row;
}

static void clear(BkHistoryWindow *window)
{
    for (GtkWidget *row; (row = gtk_widget_get_first_child(window->found));)
        gtk_list_box_remove(GTK_LIST_BOX(window->found), row);
}

static void on_answer(GObject *source, GAsyncResult *result, gpointer data)
{
    struct question *q = data;
    BkHistoryWindow *window = q->window;
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) lines = bk_history_lines_finish(BK_HISTORY(source), result, &error);
    if (q->number == window->asked) {
        clear(window);
        for (unsigned i = 0; lines && i < lines->len; i++)
            gtk_list_box_append(GTK_LIST_BOX(window->found),
                                make_row(window, lines->pdata[i], q->words));
        gtk_widget_set_visible(window->nothing, FALSE);
        gtk_widget_set_visible(window->scroller, TRUE);
        g_autofree char *why = error ? g_markup_escape_text(error->message, -1) : NULL;
        if (why)
            say_nothing(window, _("This Cannot Be Read"), why);
        else if (!lines->len)
            say_nothing(window, _("Nothing Found"), _("Try fewer or other words."));
    }
    g_object_unref(window);
    g_free(q->words);
    g_free(q);
}

static void ask(BkHistoryWindow *window)
{
    const char *words = gtk_editable_get_text(GTK_EDITABLE(window->search));
    BkTalks *talks = bk_app_talks(window->app);
    BkHistory *history = talks ? bk_talks_history(talks) : NULL;
    bool only = window->talk && gtk_check_button_get_active(GTK_CHECK_BUTTON(window->only_this));
    g_autofree char *some = g_strstrip(g_strdup(words));
    window->asked++;
    if (!history) {
        say_nothing(window, _("Nothing Is Kept Here"), NULL);
        return;
    }
    if (!*some) {
        say_nothing(window, _("What Are You Looking For?"),
                    _("Type a word or a part of it, or several."));
        return;
    }
    struct question *q = g_new(struct question, 1);
    *q = (struct question){ g_object_ref(window), window->asked, g_steal_pointer(&some) };
    bk_history_search_async(history, q->words,
                            only ? bk_person_address(bk_talk_person(window->talk)) : NULL,
                            on_answer, q);
}

static void on_row(BkHistoryWindow *window, GtkListBoxRow *row)
{
    BkTalks *talks = bk_app_talks(window->app);
    const char *peer = g_object_get_data(G_OBJECT(row), "peer");
    const int64_t *number = g_object_get_data(G_OBJECT(row), "row");
    BkTalk *talk = talks ? bk_talks_with(talks, peer) : NULL;
    if (!talk)
        return;
    bk_app_open_talk(window->app, peer);
    BkTalkWindow *shown = bk_talk_window_find(window->app, talk);
    if (shown)
        bk_talk_window_show_row(shown, *number);
}

static void dispose(GObject *object)
{
    BkHistoryWindow *window = BK_HISTORY_WINDOW(object);
    window->asked++;
    g_clear_object(&window->talk);
    G_OBJECT_CLASS(bk_history_window_parent_class)->dispose(object);
}

static void bk_history_window_class_init(BkHistoryWindowClass *class)
{
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = dispose;
    gtk_widget_class_set_template_from_resource(widget, "/org/beckon/Beckon/history_window.ui");
    gtk_widget_class_bind_template_child(widget, BkHistoryWindow, search);
    gtk_widget_class_bind_template_child(widget, BkHistoryWindow, only_this);
    gtk_widget_class_bind_template_child(widget, BkHistoryWindow, scroller);
    gtk_widget_class_bind_template_child(widget, BkHistoryWindow, found);
    gtk_widget_class_bind_template_child(widget, BkHistoryWindow, nothing);
    gtk_widget_class_add_binding_action(widget, GDK_KEY_Escape, 0, "window.close", NULL);
    gtk_widget_class_add_binding_action(widget, GDK_KEY_w, GDK_CONTROL_MASK, "window.close", NULL);
}

static void bk_history_window_init(BkHistoryWindow *window)
{
    gtk_widget_init_template(GTK_WIDGET(window));
    g_signal_connect_swapped(window->search, "search-changed", G_CALLBACK(ask), window);
    g_signal_connect_swapped(window->search, "stop-search", G_CALLBACK(gtk_window_close), window);
    g_signal_connect_swapped(window->only_this, "toggled", G_CALLBACK(ask), window);
    g_signal_connect_swapped(window->found, "row-activated", G_CALLBACK(on_row), window);
}

void bk_history_window_show(BkApp *app, GtkWindow *parent, BkTalk *talk)
{
    BkHistoryWindow *window =
        g_object_new(BK_TYPE_HISTORY_WINDOW, "application", app, "transient-for", parent, NULL);
    window->app = app;
    g_set_object(&window->talk, talk);
    if (talk) {
        g_autofree char *only =
            g_strdup_printf(_("Only with %s"), bk_person_name(bk_talk_person(talk)));
        gtk_check_button_set_label(GTK_CHECK_BUTTON(window->only_this), only);
        gtk_check_button_set_active(GTK_CHECK_BUTTON(window->only_this), TRUE);
        gtk_widget_set_visible(window->only_this, TRUE);
    }
    ask(window);
    gtk_window_present(GTK_WINDOW(window));
    gtk_widget_grab_focus(window->search);
}
