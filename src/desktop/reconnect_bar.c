/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/reconnect_bar.h"
#include "desktop/proxy_dialog.h"
#include "desktop/words.h"
#include <glib/gi18n.h>

struct _BkReconnectBar {
    GtkWidget parent;
    GtkWidget *revealer, *sentence, *progress, *try_now, *log_in;
    BkEngine *engine;
    gulong changed, failed;
};
G_DEFINE_FINAL_TYPE(BkReconnectBar, bk_reconnect_bar, GTK_TYPE_WIDGET)

static void set_text(GtkWidget *label, const char *text)
{
    /* Only when it is another: a screen reader says an alert each time it is set. */
    if (g_strcmp0(gtk_label_get_label(GTK_LABEL(label)), text) != 0)
        gtk_label_set_label(GTK_LABEL(label), text);
}

static void show_state(BkReconnectBar *bar)
{
    enum bk_client_state state = bk_engine_state(bar->engine);
    bool away = bk_engine_has_session(bar->engine) && state != BK_CLIENT_SIGNED_IN &&
                state != BK_CLIENT_SIGNING_OUT;
    if (away) {
        const struct bk_client_failure *failure = bk_engine_failure(bar->engine);
        g_autofree char *why = failure ? bk_word_failure(failure) : NULL;
        set_text(bar->sentence, why && *why ? why : _("The connection to your server is lost."));
        g_autofree char *progress = bk_word_progress(state, "", bk_engine_retry_in(bar->engine));
        set_text(bar->progress, progress);
        gtk_widget_set_visible(bar->progress, *progress != '\0');
        gtk_widget_set_sensitive(bar->try_now, state == BK_CLIENT_RECONNECTING);
        gtk_widget_set_visible(bar->log_in, bk_proxy_dialog_wanted(failure) != NULL);
        gtk_widget_set_visible(bar->revealer, TRUE);
    }
    gtk_revealer_set_reveal_child(GTK_REVEALER(bar->revealer), away);
}

/* Closed it leaves the tree, or a screen reader would still read it. */
static void revealed(GtkRevealer *revealer, GParamSpec *what, BkReconnectBar *bar)
{
    (void)what;
    (void)bar;
    if (!gtk_revealer_get_child_revealed(revealer) && !gtk_revealer_get_reveal_child(revealer))
        gtk_widget_set_visible(GTK_WIDGET(revealer), FALSE);
}

static void try_now(BkReconnectBar *bar)
{
    (void)bk_engine_retry_now(bar->engine);
}

void bk_reconnect_bar_set_engine(BkReconnectBar *bar, BkEngine *engine)
{
    g_return_if_fail(!bar->engine);
    bar->engine = g_object_ref(engine);
    bar->changed = g_signal_connect_swapped(engine, "notify", G_CALLBACK(show_state), bar);
    bar->failed = g_signal_connect_swapped(engine, "event::failure", G_CALLBACK(show_state), bar);
    show_state(bar);
}

static void dispose(GObject *object)
{
    BkReconnectBar *bar = BK_RECONNECT_BAR(object);
    if (bar->engine) {
        g_clear_signal_handler(&bar->changed, bar->engine);
        g_clear_signal_handler(&bar->failed, bar->engine);
    }
    g_clear_object(&bar->engine);
    GtkWidget *child;
    while ((child = gtk_widget_get_first_child(GTK_WIDGET(bar))))
        gtk_widget_unparent(child);
    G_OBJECT_CLASS(bk_reconnect_bar_parent_class)->dispose(object);
}

static void bk_reconnect_bar_class_init(BkReconnectBarClass *class)
{
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->dispose = dispose;
    gtk_widget_class_set_template_from_resource(widget, "/org/beckon/Beckon/reconnect_bar.ui");
    gtk_widget_class_set_layout_manager_type(widget, GTK_TYPE_BIN_LAYOUT);
    gtk_widget_class_bind_template_child(widget, BkReconnectBar, revealer);
    gtk_widget_class_bind_template_child(widget, BkReconnectBar, sentence);
    gtk_widget_class_bind_template_child(widget, BkReconnectBar, progress);
    gtk_widget_class_bind_template_child(widget, BkReconnectBar, try_now);
    gtk_widget_class_bind_template_child(widget, BkReconnectBar, log_in);
}

static void bk_reconnect_bar_init(BkReconnectBar *bar)
{
    gtk_widget_init_template(GTK_WIDGET(bar));
    g_signal_connect_swapped(bar->try_now, "clicked", G_CALLBACK(try_now), bar);
    g_signal_connect(bar->revealer, "notify::child-revealed", G_CALLBACK(revealed), bar);
}
