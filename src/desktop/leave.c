/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/leave.h"

#include "client/profile.h"

#include <glib/gi18n.h>

struct question {
    BkApp *app;
    void (*go)(BkApp *app);
    void (*go_delete)(BkApp *app, const char *address);
    char *address;
};

static GtkWidget *open_question; /* the one that stands; NULL: none */

static void free_question(gpointer p, GClosure *closure)
{
    struct question *question = p;
    (void)closure;
    g_object_unref(question->app);
    g_free(question->address);
    g_free(question);
}

static void on_response(AdwMessageDialog *dialog, const char *response, gpointer p)
{
    const struct question *question = p;
    (void)dialog;
    if (strcmp(response, "go") != 0)
        return;
    if (question->go)
        question->go(question->app);
    if (question->go_delete)
        question->go_delete(question->app, question->address);
}

/* In front of the main window, which is opened for it: only who asked for something gets here. */
static void ask(struct question fill, const char *heading, const char *body, const char *go_label)
{
    if (open_question) {
        gtk_window_present(GTK_WINDOW(open_question));
        return;
    }
    struct question *question = g_new(struct question, 1);
    *question = fill;
    g_object_ref(question->app);
    question->address = g_strdup(fill.address);
    bk_app_show(fill.app);
    GtkWindow *parent = gtk_application_get_active_window(GTK_APPLICATION(fill.app));
    GtkWidget *dialog = adw_message_dialog_new(parent, heading, body);
    open_question = dialog;
    g_object_add_weak_pointer(G_OBJECT(dialog), (gpointer *)&open_question);
    adw_message_dialog_add_responses(ADW_MESSAGE_DIALOG(dialog), "cancel", _("Cancel"), "go",
                                     go_label, NULL);
    adw_message_dialog_set_response_appearance(ADW_MESSAGE_DIALOG(dialog), "go",
                                               ADW_RESPONSE_DESTRUCTIVE);
    adw_message_dialog_set_default_response(ADW_MESSAGE_DIALOG(dialog), "cancel");
    adw_message_dialog_set_close_response(ADW_MESSAGE_DIALOG(dialog), "cancel");
    g_signal_connect_data(dialog, "response", G_CALLBACK(on_response), question, free_question, 0);
    gtk_window_present(GTK_WINDOW(dialog));
}

/* Here, or left by an earlier sign-in. */
static bool has_unsent(BkApp *app, const char *address)
{
    BkTalks *talks = bk_app_talks(app);
    const char *profile = bk_app_profile(app);
    return (talks && bk_talks_has_unsent(talks)) ||
           (profile && *address && bk_profile_has_outgoing(profile, address));
}

void bk_leave_ask(BkApp *app, enum bk_leave what, void (*go)(BkApp *app))
{
    if (!has_unsent(app, bk_engine_address(bk_app_engine(app)))) {
        go(app);
        return;
    }
    ask((struct question){ .app = app, .go = go },
        what == BK_LEAVE_EXIT ? _("Exit with Unsent Messages?")
                              : _("Sign Out with Unsent Messages?"),
        bk_app_history(app) && !bk_app_keeps_nothing(app)
            ? _("Something you wrote was not sent yet. It is kept on this computer "
                "and is there again when you sign in.")
            : _("Something you wrote was not sent yet. Nothing is kept on this "
                "computer, so it will be lost."),
        what == BK_LEAVE_EXIT ? _("Exit") : _("Sign Out"));
}

void bk_leave_ask_delete(BkApp *app, const char *address,
                         void (*go)(BkApp *app, const char *address))
{
    g_autofree char *body = g_strdup_printf(
        has_unsent(app, address) ? _("You will be signed out, and the next sign-in as %s on "
                                     "this computer needs the password again. Messages "
                                     "that were not sent yet are lost.")
                                 : _("You will be signed out, and the next sign-in as %s on "
                                     "this computer needs the password again."),
        address);
    ask((struct question){ .app = app, .go_delete = go, .address = (char *)(uintptr_t)address },
        _("Delete Sign-in Info?"), body, _("Delete"));
}

/* ---- the first Close ---- */

static void on_explained(AdwMessageDialog *dialog, const char *response, gpointer p)
{
    GtkWindow *window = p;
    (void)dialog;
    (void)bk_settings_set_bool(bk_app_settings(bk_app_default()), BK_SETTING_CLOSE_EXPLAINED, true);
    if (strcmp(response, "exit") == 0)
        g_action_group_activate_action(G_ACTION_GROUP(bk_app_default()), "exit", NULL);
    else
        gtk_widget_set_visible(GTK_WIDGET(window), FALSE);
}

void bk_leave_explain_close(BkApp *app, GtkWindow *window)
{
    (void)app;
    GtkWidget *dialog =
        adw_message_dialog_new(window, _("Beckon Keeps Running"),
                               _("You can still be reached, and messages raise alerts. Start "
                                 "Beckon again to see this window. To end it, "
                                 "choose Exit in the menu."));
    adw_message_dialog_add_responses(ADW_MESSAGE_DIALOG(dialog), "exit", _("Exit"), "close",
                                     _("Close Window"), NULL);
    adw_message_dialog_set_default_response(ADW_MESSAGE_DIALOG(dialog), "close");
    adw_message_dialog_set_close_response(ADW_MESSAGE_DIALOG(dialog), "close");
    adw_message_dialog_set_response_appearance(ADW_MESSAGE_DIALOG(dialog), "close",
                                               ADW_RESPONSE_SUGGESTED);
    g_signal_connect(dialog, "response", G_CALLBACK(on_explained), window);
    gtk_window_present(GTK_WINDOW(dialog));
}
