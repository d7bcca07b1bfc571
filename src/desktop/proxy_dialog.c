/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/proxy_dialog.h"

#include "base/text.h"

#include <glib/gi18n.h>

struct question {
    BkEngine *engine;
    struct bk_proxy_finder *finder; /* lives as long as the program's windows */
    char *proxy;
    char *user, *password; /* as entered: the rows are gone by the time of the response */
};

const char *bk_proxy_dialog_wanted(const struct bk_client_failure *failure)
{
    if (!failure || !failure->record || failure->record->number != 306 ||
        failure->record->sub != 'a')
        return NULL;
    for (int i = 0; i < failure->n_values; i++)
        if (strcmp(failure->values[i].name, "server") == 0)
            return failure->values[i].value;
    return NULL;
}

/* The text of that row from now on. */
static void take(char **to, GtkEditable *row)
{
    if (*to)
        bk_wipe(*to, strlen(*to));
    g_free(*to);
    *to = row ? g_strdup(gtk_editable_get_text(row)) : NULL;
}

static void free_question(gpointer p, GClosure *closure)
{
    struct question *question = p;
    (void)closure;
    take(&question->user, NULL);
    take(&question->password, NULL);
    g_object_unref(question->engine);
    g_free(question->proxy);
    g_free(question);
}

static void on_response(AdwMessageDialog *dialog, const char *response, gpointer p)
{
    struct question *question = p;
    (void)dialog;
    if (strcmp(response, "go") != 0 || !question->user)
        return;
    bk_proxy_finder_set_login(question->finder, question->proxy, question->user,
                              question->password ? question->password : "");
    (void)bk_engine_retry_now(question->engine);
}

static void user_changed(GtkEditable *row, struct question *question)
{
    GtkRoot *dialog = gtk_widget_get_root(GTK_WIDGET(row));
    take(&question->user, row);
    adw_message_dialog_set_response_enabled(ADW_MESSAGE_DIALOG(dialog), "go", *question->user);
}

static void password_changed(GtkEditable *row, struct question *question)
{
    take(&question->password, row);
}

static void name_entry(GtkWidget *entry, const char *name)
{
    g_object_set(entry, "placeholder-text", name, NULL);
    gtk_accessible_update_property(GTK_ACCESSIBLE(entry), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
}

static gboolean respond(gpointer dialog)
{
    if (gtk_widget_get_visible(dialog) &&
        adw_message_dialog_get_response_enabled(ADW_MESSAGE_DIALOG(dialog), "go")) {
        adw_message_dialog_response(ADW_MESSAGE_DIALOG(dialog), "go");
        gtk_window_destroy(GTK_WINDOW(dialog));
    }
    return G_SOURCE_REMOVE;
}

/* After the key was dealt with: the entry that has it goes with the dialog. */
static void entered(AdwMessageDialog *dialog)
{
    (void)g_idle_add_full(G_PRIORITY_DEFAULT, respond, g_object_ref(dialog), g_object_unref);
}

void bk_proxy_dialog_open(GtkWindow *parent, BkEngine *engine, struct bk_proxy_finder *finder)
{
    const char *proxy = bk_proxy_dialog_wanted(bk_engine_failure(engine));
    if (!proxy || !finder)
        return;
    struct question *question = g_new0(struct question, 1);
    question->engine = g_object_ref(engine);
    question->finder = finder;
    question->proxy = g_strdup(proxy);
    /* No AdwPasswordEntryRow: in libadwaita 1.2 one that goes with the focus in it is heard of once more. */
    GtkWidget *user = gtk_entry_new(), *password = gtk_password_entry_new();
    name_entry(user, _("User name"));
    name_entry(password, _("Password"));
    g_object_set(password, "show-peek-icon", TRUE, NULL);
    GtkWidget *rows = gtk_box_new(GTK_ORIENTATION_VERTICAL, 12);
    gtk_box_append(GTK_BOX(rows), user);
    gtk_box_append(GTK_BOX(rows), password);

    GtkWidget *dialog = adw_message_dialog_new(parent, _("Log In to the Proxy"), NULL);
    /* Translators: %s is the proxy's name, "proxy.example.org:3128" */
    adw_message_dialog_format_body(
        ADW_MESSAGE_DIALOG(dialog),
        _("The proxy %s of this network wants a user name and password of its own, which may be "
          "others than those you sign in with. They go to it without encryption, and are kept "
          "until Beckon exits and nowhere else."),
        proxy);
    adw_message_dialog_set_extra_child(ADW_MESSAGE_DIALOG(dialog), rows);
    adw_message_dialog_add_responses(ADW_MESSAGE_DIALOG(dialog), "cancel", _("Cancel"), "go",
                                     _("Connect"), NULL);
    adw_message_dialog_set_response_appearance(ADW_MESSAGE_DIALOG(dialog), "go",
                                               ADW_RESPONSE_SUGGESTED);
    adw_message_dialog_set_default_response(ADW_MESSAGE_DIALOG(dialog), "go");
    adw_message_dialog_set_close_response(ADW_MESSAGE_DIALOG(dialog), "cancel");
    adw_message_dialog_set_response_enabled(ADW_MESSAGE_DIALOG(dialog), "go", FALSE);
    g_signal_connect_swapped(user, "activate", G_CALLBACK(entered), dialog);
    g_signal_connect_swapped(password, "activate", G_CALLBACK(entered), dialog);
    g_signal_connect(user, "changed", G_CALLBACK(user_changed), question);
    g_signal_connect(password, "changed", G_CALLBACK(password_changed), question);
    g_signal_connect_data(dialog, "response", G_CALLBACK(on_response), question, free_question, 0);
    gtk_window_present(GTK_WINDOW(dialog));
    gtk_widget_grab_focus(user);
}
