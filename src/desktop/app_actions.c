/* SPDX-License-Identifier: Apache-2.0 */
/* What menus, keys, the icon, alerts and D-Bus ask for (app.h has the list). */
#include "desktop/app_private.h"

#include "desktop/configuration_window.h"
#include "desktop/history_window.h"
#include "desktop/options_window.h"
#include "desktop/proxy_dialog.h"
#include "desktop/talk_window.h"

#include <glib/gi18n.h>

GSimpleAction *bk_app_action(BkApp *app, const char *name)
{
    return G_SIMPLE_ACTION(g_action_map_lookup_action(G_ACTION_MAP(app), name));
}

/* NULL: it ends, and what was asked for is for the next start. */
static GtkWindow *shown_window(BkApp *app)
{
    bk_app_show(app);
    return app->leaving == STAYING && app->window ? GTK_WINDOW(app->window) : NULL;
}

static void act_show(GSimpleAction *a, GVariant *v, gpointer app)
{
    (void)a;
    (void)v;
    bk_app_show(app);
}

static void act_sign_in(GSimpleAction *a, GVariant *v, gpointer app)
{
    (void)a;
    (void)v;
    if (!bk_app_sign_in_saved(app))
        bk_app_show(app);
}

static void act_sign_out(GSimpleAction *a, GVariant *v, gpointer app)
{
    (void)a;
    (void)v;
    bk_app_ask_sign_out(app);
}

static void act_exit(GSimpleAction *a, GVariant *v, gpointer app)
{
    (void)a;
    (void)v;
    bk_app_ask_exit(app);
}

static void act_close(GSimpleAction *a, GVariant *v, gpointer app)
{
    (void)a;
    (void)v;
    GtkWindow *window = gtk_application_get_active_window(app);
    if (window)
        gtk_window_close(window);
}

static void act_options(GSimpleAction *a, GVariant *v, gpointer p)
{
    BkApp *app = p;
    (void)a;
    (void)v;
    GtkWindow *window = shown_window(app);
    if (!window)
        return;
    gtk_window_present(GTK_WINDOW(bk_options_window_new(app, window)));
}

static void act_proxy_login(GSimpleAction *a, GVariant *v, gpointer p)
{
    BkApp *app = p;
    (void)a;
    (void)v;
    GtkWindow *window = shown_window(app);
    if (!window)
        return;
    bk_proxy_dialog_open(window, app->engine, app->proxies);
}

static void act_configuration(GSimpleAction *a, GVariant *v, gpointer p)
{
    BkApp *app = p;
    (void)a;
    (void)v;
    GtkWindow *window = shown_window(app);
    if (!window)
        return;
    gtk_window_present(GTK_WINDOW(bk_configuration_window_new(app, window)));
}

static void act_delete(GSimpleAction *a, GVariant *v, gpointer p)
{
    BkApp *app = p;
    (void)a;
    (void)v;
    const char *address = bk_engine_address(app->engine);
    g_autoptr(BkAccount) account = g_list_model_get_item(G_LIST_MODEL(app->accounts), 0);
    if (*address || account)
        bk_app_delete_sign_in_info(app, *address ? address : bk_account_address(account));
}

static void act_about(GSimpleAction *a, GVariant *v, gpointer p)
{
    BkApp *app = p;
    (void)a;
    (void)v;
    GtkWindow *window = shown_window(app);
    if (!window)
        return;
    adw_show_about_window(window, "application-name", "Beckon", "application-icon", BK_APP_ID,
                          "version", BK_VERSION, "developer-name", _("The Beckon contributors"),
                          "comments", _("Messages and presence on your organisation's own server."),
                          "license-type", GTK_LICENSE_APACHE_2_0, NULL);
}

static void act_status(GSimpleAction *a, GVariant *v, gpointer p)
{
    BkApp *app = p;
    enum bk_pidf_manual manual = bk_pidf_manual_of(bk_view_of_str(g_variant_get_string(v, NULL)));
    if (manual != BK_PIDF_MANUAL_MISSING && bk_engine_set_status(app->engine, manual) == 0)
        g_simple_action_set_state(a, v);
}

static void act_history(GSimpleAction *a, GVariant *v, gpointer p)
{
    BkApp *app = p;
    (void)a;
    (void)v;
    GtkWindow *window = shown_window(app);
    if (!window)
        return;
    bk_history_window_show(app, window, NULL);
}

static void act_talk(GSimpleAction *a, GVariant *v, gpointer app)
{
    (void)a;
    bk_app_open_talk(app, g_variant_get_string(v, NULL));
}

/* An answer in place. Where it cannot be sent it is not lost: the conversation opens with it, behind what was being written there. */
static void act_reply(GSimpleAction *a, GVariant *v, gpointer p)
{
    BkApp *app = p;
    const char *address, *text;
    (void)a;
    g_variant_get(v, "(&s&s)", &address, &text);
    BkTalk *talk = app->talks ? bk_talks_with(app->talks, address) : NULL;
    if (!talk)
        return;
    if (*text && bk_talk_send(talk, text) == 0) {
        bk_talk_mark_read(talk);
        return;
    }
    const char *draft = bk_talk_draft(talk);
    g_autofree char *both = *draft ? g_strdup_printf("%s\n%s", draft, text) : g_strdup(text);
    if (*text)
        bk_talk_set_draft(talk, both);
    bk_app_open_talk(app, address);
}

static void act_missed(GSimpleAction *a, GVariant *v, gpointer p)
{
    BkApp *app = p;
    (void)a;
    (void)v;
    guint n = app->talks ? g_list_model_get_n_items(G_LIST_MODEL(app->talks)) : 0;
    g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < n; i++) {
        g_autoptr(BkTalk) talk = g_list_model_get_item(G_LIST_MODEL(app->talks), i);
        if (bk_app_was_missed(app, talk))
            g_ptr_array_add(addresses, g_strdup(bk_person_address(bk_talk_person(talk))));
    }
    for (guint i = 0; i < addresses->len; i++)
        bk_app_open_talk(app, addresses->pdata[i]);
}

static void act_retry(GSimpleAction *a, GVariant *v, gpointer p)
{
    BkApp *app = p;
    (void)a;
    (void)v;
    (void)bk_engine_retry_now(app->engine);
}

static void act_search(GSimpleAction *a, GVariant *v, gpointer p)
{
    BkApp *app = p;
    (void)a;
    (void)v;
    /* In a conversation one looks for what was said there. */
    GtkWindow *active = gtk_application_get_active_window(GTK_APPLICATION(app));
    if (active && BK_IS_TALK_WINDOW(active)) {
        (void)gtk_widget_activate_action(GTK_WIDGET(active), "talk.find", NULL);
        return;
    }
    if (shown_window(app))
        bk_main_window_focus_search(app->window);
}

static void act_shortcuts(GSimpleAction *a, GVariant *v, gpointer p)
{
    BkApp *app = p;
    (void)a;
    (void)v;
    GtkWindow *parent = shown_window(app);
    if (!parent)
        return;
    g_autoptr(GtkBuilder) builder =
        gtk_builder_new_from_resource("/org/beckon/Beckon/shortcuts.ui");
    GtkWindow *window = GTK_WINDOW(gtk_builder_get_object(builder, "shortcuts"));
    gtk_window_set_transient_for(window, parent);
    gtk_window_present(window);
}

static const GActionEntry action_rows[] = {
    { .name = "show", .activate = act_show },
    { .name = "sign-in", .activate = act_sign_in },
    { .name = "proxy-login", .activate = act_proxy_login },
    { .name = "sign-out", .activate = act_sign_out },
    { .name = "exit", .activate = act_exit },
    { .name = "close", .activate = act_close },
    { .name = "options", .activate = act_options },
    { .name = "configuration-information", .activate = act_configuration },
    { .name = "delete-sign-in-info", .activate = act_delete },
    { .name = "about", .activate = act_about },
    { .name = "status", .activate = act_status, .parameter_type = "s", .state = "'none'" },
    { .name = "talk", .activate = act_talk, .parameter_type = "s" },
    { .name = "history", .activate = act_history },
    { .name = "reply", .activate = act_reply, .parameter_type = "(ss)" },
    { .name = "missed", .activate = act_missed },
    { .name = "retry-now", .activate = act_retry },
    { .name = "search", .activate = act_search },
    { .name = "shortcuts", .activate = act_shortcuts },
};

static const struct {
    const char *action, *keys[3];
} accelerators[] = {
    { "app.exit", { "<Control>q" } },
    { "app.close", { "<Control>w" } },
    { "app.options", { "<Control>comma" } },
    { "app.search", { "<Control>f" } },
    { "app.shortcuts", { "<Control>question" } },
    { "app.retry-now", { "<Control>r", "F5" } },
};

void bk_app_add_actions(BkApp *app)
{
    g_action_map_add_action_entries(G_ACTION_MAP(app), action_rows, G_N_ELEMENTS(action_rows), app);
    for (gsize i = 0; i < G_N_ELEMENTS(accelerators); i++)
        gtk_application_set_accels_for_action(GTK_APPLICATION(app), accelerators[i].action,
                                              accelerators[i].keys);
}
