/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/deleted_view.h"

#include "desktop/words.h"

#include <glib/gi18n.h>

struct _BkDeletedView {
    GtkBox parent;
    BkApp *app; /* outlives the view; set once something was deleted */
    GtkWidget *group, *list, *history, *done;
    char *address;
};
G_DEFINE_TYPE(BkDeletedView, bk_deleted_view, GTK_TYPE_BOX)

/* The engine's words (client/erase.c), for the translators. */
G_GNUC_UNUSED static const char *const deleted_words[] = {
    N_("saved password"),
    N_("never kept on this computer"),
    N_("certificate at the server"),
    N_("there was none on this computer"),
    N_("key and certificate"),
    N_("server, number of this computer, user name and trust decisions"),
    N_("marks of messages shown"),
    N_("messages not sent yet"),
    N_("address in the list"),
    N_("removed"),
    N_("was not there"),
    N_("revoked"),
    N_("was of no use any more"),
    N_("not revoked: the server could not be reached"),
    N_("not revoked: no server is known"),
    N_("not revoked: out of memory"),
};

static char *capital(const char *text)
{
    g_autofree char *first = g_utf8_strup(text, (gssize)(g_utf8_next_char(text) - text));
    return *text ? g_strconcat(first, g_utf8_next_char(text), NULL) : g_strdup("");
}

static void add_row(BkDeletedView *view, const char *what, const char *result, bool ok)
{
    GtkWidget *row = adw_action_row_new();
    GtkWidget *icon =
        gtk_image_new_from_icon_name(ok ? "emblem-ok-symbolic" : "dialog-warning-symbolic");
    g_autofree char *said = bk_word_said(result);
    g_autofree char *title = capital(_(what));
    g_autofree char *subtitle = capital(said);
    gtk_widget_add_css_class(icon, ok ? "success" : "warning");
    adw_preferences_row_set_use_markup(ADW_PREFERENCES_ROW(row), FALSE);
    adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), title);
    adw_action_row_set_subtitle(ADW_ACTION_ROW(row), subtitle);
    adw_action_row_add_prefix(ADW_ACTION_ROW(row), icon);
    gtk_list_box_append(GTK_LIST_BOX(view->list), row);
}

static void update_history(BkDeletedView *view)
{
    uint64_t bytes = bk_app_history_size(view->app, view->address);
    g_autofree char *size = g_format_size(bytes);
    /* Translators: a button; %s is a size, "1.2 MB" */
    g_autofree char *label = g_strdup_printf(_("Also Remove Conversations (%s)"), size);
    gtk_button_set_label(GTK_BUTTON(view->history), label);
    gtk_widget_set_visible(view->history, bytes > 0);
}

void bk_deleted_view_show(BkDeletedView *view, BkApp *app, const struct bk_client_event *event)
{
    g_autofree char *address = g_markup_escape_text(event->deleted.address, -1);
    GtkWidget *child;
    view->app = app;
    while ((child = gtk_widget_get_first_child(view->list)))
        gtk_list_box_remove(GTK_LIST_BOX(view->list), child);
    bool all = true;
    for (int i = 0; i < event->deleted.n_rows; i++) {
        const struct bk_client_deleted *row = &event->deleted.rows[i];
        add_row(view, row->what, row->result, row->ok);
        all = all && row->ok;
    }
    g_free(view->address);
    view->address = g_strdup(event->deleted.address);
    /* Translators: %s is an address */
    g_autofree char *what_to_do =
        g_strdup_printf(_("%s\nWhat has a warning sign was not done. Tell "
                          "your support, who can do it at the server."),
                        address);
    adw_preferences_group_set_title(ADW_PREFERENCES_GROUP(view->group),
                                    all ? _("Sign-in Info Deleted")
                                        : _("Deleted, With Exceptions"));
    adw_preferences_group_set_description(ADW_PREFERENCES_GROUP(view->group),
                                          all ? address : what_to_do);
    update_history(view);
}

static void act_history(GtkWidget *widget, const char *name, GVariant *target)
{
    BkDeletedView *view = BK_DELETED_VIEW(widget);
    (void)name;
    (void)target;
    int r = bk_app_delete_history(view->app, view->address);
    add_row(view, N_("conversations"), r < 0 ? g_strerror(-r) : N_("removed"), r >= 0);
    update_history(view);
    gtk_widget_grab_focus(view->done);
}

static gboolean grab_focus(GtkWidget *widget)
{
    return gtk_widget_grab_focus(BK_DELETED_VIEW(widget)->done);
}

static void finalize(GObject *object)
{
    g_free(BK_DELETED_VIEW(object)->address);
    G_OBJECT_CLASS(bk_deleted_view_parent_class)->finalize(object);
}

static void bk_deleted_view_class_init(BkDeletedViewClass *class)
{
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->finalize = finalize;
    widget->grab_focus = grab_focus;
    gtk_widget_class_set_template_from_resource(widget, "/org/beckon/Beckon/deleted_view.ui");
#define CHILD(name) gtk_widget_class_bind_template_child(widget, BkDeletedView, name)
    CHILD(group);
    CHILD(list);
    CHILD(history);
    CHILD(done);
#undef CHILD
    gtk_widget_class_install_action(widget, "deleted.history", NULL, act_history);
}

static void bk_deleted_view_init(BkDeletedView *view)
{
    gtk_widget_init_template(GTK_WIDGET(view));
    GtkWidget *label = gtk_button_get_child(GTK_BUTTON(view->history));
    gtk_label_set_wrap(GTK_LABEL(label), TRUE); /* it must not make the window wider */
    gtk_label_set_justify(GTK_LABEL(label), GTK_JUSTIFY_CENTER);
}
