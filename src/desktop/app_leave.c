/* SPDX-License-Identifier: Apache-2.0 */
/* Sign Out, Exit, Delete my sign-in info: what is done once the questions (leave.h) were answered. */
#include "desktop/app_private.h"

#include "client/profile.h"
#include "desktop/leave.h"

enum {
    SIGN_OUT_WAITS_MS = 2000, /* Exit: so long for the server to hear of it */
    CLOSE_WAITS_MS = 2500,    /* and so long for the engine's thread */
};

/* ---- Delete my sign-in info ---- */

uint64_t bk_app_history_size(BkApp *app, const char *address)
{
    return bk_history_size(app->profile, address);
}

int bk_app_delete_history(BkApp *app, const char *address)
{
    return bk_history_delete(app->profile, address);
}

static void delete_info(BkApp *app, const char *address)
{
    const char *now = bk_engine_address(app->engine);
    if (*now && g_ascii_strcasecmp(now, address) != 0) /* as the question said */
        (void)bk_engine_sign_out(app->engine);
    (void)bk_engine_delete_sign_in_info(app->engine, address);
}

void bk_app_delete_sign_in_info(BkApp *app, const char *address)
{
    if (app->leaving == STAYING)
        bk_leave_ask_delete(app, address, delete_info);
}

/* ---- leaving ---- */

/*
 * Signs out. What an earlier sign-in kept goes, too, where nothing is to be kept any more; but messages that it did not send yet only
 * with the person's leave.
 */
static int go_out(BkApp *app, bool loses_unsent)
{
    const char *address = bk_engine_address(app->engine);
    struct bk_profile_kept kept;
    if (!bk_app_keeps_nothing(app) || !app->profile)
        return bk_engine_sign_out(app->engine);
    bk_app_forget_habits(app);
    if (bk_profile_peek(app->profile, address, &kept) < 0 ||
        (!loses_unsent && bk_profile_has_outgoing(app->profile, address)))
        return bk_engine_sign_out(app->engine);
    /* What the server is told of it takes longer than the end of the session. */
    g_autofree char *whose = g_strdup(address);
    int r = bk_engine_delete_sign_in_info(app->engine, address);
    if (r >= 0 && app->leaving != STAYING)
        app->deleting = g_steal_pointer(&whose);
    return r;
}

static void gone(BkApp *app)
{
    if (app->leaving == GONE)
        return;
    bk_app_end_session(app);
    app->leaving = GONE;
    g_clear_handle_id(&app->leave_timer, g_source_remove);
    bk_settings_flush(app->settings);
    g_application_quit(G_APPLICATION(app));
}

static gboolean on_close_waited(gpointer p)
{
    BkApp *app = p;
    app->leave_timer = 0;
    gone(app);
    return G_SOURCE_REMOVE;
}

static void on_closed(GObject *engine, GAsyncResult *result, gpointer p)
{
    (void)engine;
    (void)result;
    g_autoptr(BkApp) app = p;
    app->secrets = bk_secrets_destroy(app->secrets); /* its client is gone */
    app->proxies = bk_proxy_finder_destroy(app->proxies);
    gone(app);
}

void bk_app_leave_on(BkApp *app)
{
    /* Also where it was not waited for: the engine removes it at its end at the latest. */
    if (app->deleting)
        bk_accounts_forget(app->accounts, app->deleting);
    g_clear_pointer(&app->deleting, g_free);
    app->leaving = CLOSING;
    g_clear_handle_id(&app->leave_timer, g_source_remove);
    app->leave_timer = g_timeout_add(CLOSE_WAITS_MS, on_close_waited, app);
    bk_engine_close_async(app->engine, on_closed, g_object_ref(app));
}

static gboolean on_sign_out_waited(gpointer p)
{
    BkApp *app = p;
    app->leave_timer = 0;
    bk_app_leave_on(app);
    return G_SOURCE_REMOVE;
}

static void hide_windows(BkApp *app)
{
    for (GList *at = gtk_application_get_windows(GTK_APPLICATION(app)); at; at = at->next)
        gtk_widget_set_visible(GTK_WIDGET(at->data), FALSE);
}

void bk_app_leave(BkApp *app, bool loses_unsent)
{
    if (app->leaving != STAYING)
        return;
    app->leaving = SIGNING_OUT;
    hide_windows(app);
    bk_settings_flush(app->settings);
    if (app->talks)
        bk_talks_flush_async(app->talks, NULL, NULL);
    enum bk_client_state state = bk_engine_state(app->engine);
    if (state == BK_CLIENT_IDLE || state == BK_CLIENT_SIGNED_OUT || go_out(app, loses_unsent) < 0) {
        bk_app_leave_on(app);
        return;
    }
    app->leave_timer = g_timeout_add(SIGN_OUT_WAITS_MS, on_sign_out_waited, app);
}

static void sign_out(BkApp *app)
{
    bk_app_show(app); /* the sign-in page, also where the window was closed */
    (void)go_out(app, true);
}

static void leave_as_asked(BkApp *app)
{
    bk_app_leave(app, true);
}

void bk_app_ask_sign_out(BkApp *app)
{
    if (app->leaving == STAYING)
        bk_leave_ask(app, BK_LEAVE_SIGN_OUT, sign_out);
}

/* Pressed once more while it ends it is no wish to start again, which showing a question would be. */
void bk_app_ask_exit(BkApp *app)
{
    if (app->leaving == STAYING)
        bk_leave_ask(app, BK_LEAVE_EXIT, leave_as_asked);
}

bool bk_app_is_too_late(BkApp *app, const char *address, bool hidden)
{
    if (app->leaving == STAYING)
        return false;
    if (!app->again) {
        app->again = g_ptr_array_new_with_free_func(g_free);
        app->again_hidden = true;
    }
    app->again_hidden &= hidden;
    if (address)
        g_ptr_array_add(app->again, g_strdup(address));
    return true;
}
