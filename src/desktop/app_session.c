/* SPDX-License-Identifier: Apache-2.0 */
/* Who is signed in: their conversations, and what the engine tells of them. */
#include "desktop/app_private.h"

#include "desktop/history_window.h"
#include "desktop/signin_page.h"
#include "desktop/talk_window.h"
#include "desktop/words.h"

#include <glib/gi18n.h>

enum {
    MISSED_TELL_MS = 400, /* what waited at the server comes in a row */
    MISSED_LINES = 3,     /* of it said in the window; more are opened */
    MISSED_LETTERS = 48,  /* of each of them */
    LOST_TELL_S = 20,     /* a connection away for so long is worth an alert */
};

void bk_app_update_tray(BkApp *app)
{
    if (!app->roster || !app->tray) /* the program ends */
        return;
    BkPerson *self = bk_roster_self(app->roster);
    const char *address = bk_person_address(self);
    bool session = bk_engine_has_session(app->engine);
    enum bk_pidf_shown shown = session ? bk_person_shown(self) : BK_PIDF_SHOWN_OFFLINE;
    g_autofree char *tooltip = session ? g_strdup_printf("%s: %s", address, bk_word_shown(shown))
                                       : bk_word_progress(bk_engine_state(app->engine), "", 0);
    bk_tray_set(app->tray, bk_icon_shown(shown), *tooltip ? tooltip : _("Signed out"),
                app->talks ? bk_talks_unread(app->talks) : 0);
}

/* ---- the session's conversations ---- */

static void close_talk_windows(BkApp *app)
{
    g_autoptr(GList) windows = g_list_copy(gtk_application_get_windows(GTK_APPLICATION(app)));
    for (GList *at = windows; at; at = at->next)
        if (BK_IS_TALK_WINDOW(at->data) || BK_IS_HISTORY_WINDOW(at->data))
            gtk_window_destroy(GTK_WINDOW(at->data));
}

void bk_app_end_session(BkApp *app)
{
    if (!app->talks)
        return;
    if (bk_app_keeps_nothing(app)) /* also where the server ended it */
        bk_app_forget_habits(app);
    close_talk_windows(app);
    bk_alerts_set_talks(app->alerts, NULL);
    /* What is queued is written by the history's thread, which goes on without us. */
    bk_talks_close(app->talks);
    g_clear_pointer(&app->session_address, g_free);
    g_clear_object(&app->talks);
    g_clear_object(&app->history);
    g_object_notify(G_OBJECT(app), "talks");
}

/* Unread, and it waited somewhere: not every way in says so, but it was written before. */
bool bk_app_was_missed(BkApp *app, BkTalk *talk)
{
    guint n = g_list_model_get_n_items(G_LIST_MODEL(talk));
    g_autoptr(BkLine) line = n ? g_list_model_get_item(G_LIST_MODEL(talk), n - 1) : NULL;
    return bk_talk_missed(talk) > 0 ||
           (bk_talk_unread(talk) > 0 && line && !bk_line_is_mine(line) &&
            bk_line_at_ms(line) < app->session_since_ms);
}

/* "Bob Marsh: see you at nine", or only the name where what was written is not to be shown. */
static void add_missed(BkApp *app, GString *to, BkTalk *talk)
{
    guint n = g_list_model_get_n_items(G_LIST_MODEL(talk));
    g_autoptr(BkLine) line = n ? g_list_model_get_item(G_LIST_MODEL(talk), n - 1) : NULL;
    const char *name = bk_person_name(bk_talk_person(talk));
    g_string_append_printf(to, "\n%s", name);
    if (!line || !bk_settings_bool(app->settings, BK_SETTING_ALERT_TEXT))
        return;
    g_autofree char *text = g_utf8_make_valid(bk_line_text(line), -1);
    bool fits = g_utf8_strlen(text, -1) <= MISSED_LETTERS;
    g_autofree char *some = g_utf8_substring(text, 0, fits ? -1 : MISSED_LETTERS - 1);
    g_string_append_printf(to, ": %s%s", g_strdelimit(some, "\r\n\t", ' '),
                           fits ? "" : "\342\200\246");
}

/* What came while nobody was here; alerts alone would be gone when somebody looks at the window. */
static gboolean tell_missed(gpointer p)
{
    BkApp *app = p;
    app->missed_timer = 0;
    g_autoptr(GString) text = g_string_new(_("Missed while you were away"));
    int lines = 0;
    guint n = app->talks ? g_list_model_get_n_items(G_LIST_MODEL(app->talks)) : 0;
    for (guint i = 0; i < n && lines < MISSED_LINES; i++) {
        g_autoptr(BkTalk) talk = g_list_model_get_item(G_LIST_MODEL(app->talks), i);
        if (!bk_app_was_missed(app, talk))
            continue;
        add_missed(app, text, talk);
        lines++;
    }
    app->missed_told = lines > 0; /* once a session; what comes while somebody is here has alerts */
    if (lines && app->window && gtk_widget_get_visible(GTK_WIDGET(app->window)) &&
        bk_engine_has_session(app->engine)) {
        g_autofree char *valid = g_utf8_make_valid(text->str, -1);
        bk_main_window_offer(app->window, valid, _("Open"), "app.missed");
    }
    return G_SOURCE_REMOVE;
}

static void on_missed(BkApp *app)
{
    if (app->talks && !app->missed_timer && !app->missed_told && bk_talks_unread(app->talks) > 0)
        app->missed_timer = g_timeout_add(MISSED_TELL_MS, tell_missed, app);
}

static void history_damaged(BkApp *app)
{
    bk_app_toast(app, _("What was said on this computer could not be read. It was put aside, and a "
                        "new history begins."));
}

/* Before the server knows of it: what waited there comes at once, and what an earlier run left is told even earlier. */
static void open_session(BkApp *app, const char *address)
{
    if (app->talks && strcmp(app->session_address, address) == 0)
        return;
    bk_app_end_session(app);
    app->session_address = g_strdup(address);
    app->missed_told = false;
    app->session_since_ms = g_get_real_time() / 1000;
    if (!bk_app_keeps_nothing(app) && app->profile)
        app->history = bk_history_new(app->profile, address);
    if (app->history)
        g_signal_connect_object(app->history, "damaged", G_CALLBACK(history_damaged), app,
                                G_CONNECT_SWAPPED);
    app->talks = bk_talks_new(app->engine, app->roster, app->history, app->settings);
    g_signal_connect_object(app->talks, "notify::unread", G_CALLBACK(bk_app_update_tray), app,
                            G_CONNECT_SWAPPED);
    g_signal_connect_object(app->talks, "notify::unread", G_CALLBACK(on_missed), app,
                            G_CONNECT_SWAPPED);
    bk_alerts_set_talks(app->alerts, app->talks);
    g_object_notify(G_OBJECT(app), "talks");
}

/* ---- what the engine tells ---- */

static bool is_looked_at(BkApp *app)
{
    GtkWindow *window = gtk_application_get_active_window(GTK_APPLICATION(app));
    return window && gtk_widget_get_visible(GTK_WIDGET(window)) && gtk_window_is_active(window);
}

static void alert(BkApp *app, const char *id, const char *title, const char *body)
{
    bk_alerts_say(app->alerts, id, title, body, NULL, "app.show");
}

void bk_app_update_actions(BkApp *app)
{
    enum bk_client_state state = bk_engine_state(app->engine);
    bool nobody = state == BK_CLIENT_IDLE || state == BK_CLIENT_SIGNED_OUT;
    g_simple_action_set_enabled(bk_app_action(app, "sign-in"), nobody);
    g_simple_action_set_enabled(bk_app_action(app, "sign-out"),
                                !nobody && state != BK_CLIENT_SIGNING_OUT);
    g_simple_action_set_enabled(bk_app_action(app, "status"), bk_engine_has_session(app->engine));
    g_simple_action_set_enabled(bk_app_action(app, "history"), bk_engine_has_session(app->engine));
    g_simple_action_set_enabled(bk_app_action(app, "retry-now"), state == BK_CLIENT_RECONNECTING);
    g_simple_action_set_enabled(bk_app_action(app, "delete-sign-in-info"),
                                !nobody ||
                                    g_list_model_get_n_items(G_LIST_MODEL(app->accounts)) > 0);
}

static gboolean tell_lost(gpointer p)
{
    BkApp *app = p;
    app->lost_timer = 0;
    if (!is_looked_at(app))
        bk_alerts_say(
            app->alerts, "connection", _("Beckon lost the connection"),
            _("It tries to connect again by itself. Messages you write are kept and sent then."),
            _("Try Now"), "app.retry-now");
    return G_SOURCE_REMOVE;
}

static void watch_connection(BkApp *app, enum bk_client_state state)
{
    bool away = bk_engine_has_session(app->engine) && state != BK_CLIENT_SIGNED_IN;
    if (away && !app->lost_timer)
        app->lost_timer = g_timeout_add_seconds(LOST_TELL_S, tell_lost, app);
    if (away)
        return;
    g_clear_handle_id(&app->lost_timer, g_source_remove);
    bk_alerts_withdraw(app->alerts, "connection");
}

static void signed_in(BkApp *app)
{
    bk_alerts_withdraw(app->alerts, "credential");
    bk_accounts_used(app->accounts, bk_engine_address(app->engine), !bk_app_keeps_nothing(app));
    g_autofree char *program = bk_app_program();
    int r = program ? bk_settings_apply_autostart(app->settings, program) : 0;
    if (r < 0)
        g_warning("autostart: %s", g_strerror(-r));
    if (app->talk_wanted) {
        g_autofree char *address = g_steal_pointer(&app->talk_wanted);
        bk_app_open_talk(app, address);
    }
}

static void on_state(BkEngine *engine, const struct bk_client_event *event, BkApp *app)
{
    enum bk_client_state state = event->state.state;
    (void)engine;
    if (state == BK_CLIENT_IDLE || state == BK_CLIENT_SIGNED_OUT)
        bk_app_end_session(app);
    else if (*event->state.address)
        open_session(app, event->state.address);
    if (state == BK_CLIENT_SIGNED_IN)
        signed_in(app);
    watch_connection(app, state);
    bk_app_update_actions(app);
    bk_app_update_tray(app);
    if (app->leaving == SIGNING_OUT && state == BK_CLIENT_SIGNED_OUT && !app->deleting)
        bk_app_leave_on(app);
}

/* Somebody has to look: in the window where it is open, else an alert says so. Nothing opens by itself. */
static void person_needed(BkApp *app, const char *title, const char *body)
{
    if (!is_looked_at(app) && app->leaving == STAYING)
        alert(app, "credential", title, body);
}

static void on_credential(BkEngine *engine, const struct bk_client_event *event, BkApp *app)
{
    (void)engine;
    g_autofree char *body =
        g_strdup_printf(_("Enter the password of %s to sign in."), event->credential.address);
    person_needed(app, _("Beckon needs your password"), body);
}

static void on_trust(BkEngine *engine, const struct bk_client_event *event, BkApp *app)
{
    (void)engine;
    g_autofree char *body = g_strdup_printf(
        _("The server %s belongs to another domain than your address."), event->trust.server);
    person_needed(app, _("Beckon asks whether to trust a server"), body);
}

static void on_failure(BkEngine *engine, const struct bk_client_event *event, BkApp *app)
{
    (void)engine;
    if (event->failure.next != BK_CLIENT_NEXT_STOP)
        return;
    g_autofree char *text = bk_word_failure(&event->failure);
    person_needed(app,
                  event->type == BK_CLIENT_EVENT_ENDED ? _("You were signed out")
                                                       : _("Beckon could not sign in"),
                  text);
}

static void on_notice(BkEngine *engine, const struct bk_client_event *event, BkApp *app)
{
    g_autofree char *text = bk_word_failure(&event->failure);
    if (!*text || bk_signin_page_tells(engine, &event->failure))
        return;
    if (app->window && gtk_widget_get_visible(GTK_WIDGET(app->window))) {
        bk_main_window_toast(app->window, text);
        return;
    }
    g_free(app->notice);
    app->notice = g_steal_pointer(&text);
}

/* Whose status somebody wanted to hear of, and what their groups are called, is nothing to leave behind either. */
void bk_app_forget_habits(BkApp *app)
{
    bk_roster_forget_tagged(app->roster);
    (void)bk_settings_set_string(app->settings, BK_SETTING_CONTACTS_CLOSED, "");
}

static void on_deleted(BkEngine *engine, const struct bk_client_event *event, BkApp *app)
{
    (void)engine;
    bk_accounts_forget(app->accounts, event->deleted.address);
    bk_app_forget_habits(app);
    if (app->proxies)
        bk_proxy_finder_forget(app->proxies);
    g_clear_pointer(&app->talk_wanted, g_free);
    if (app->leaving == SIGNING_OUT && app->deleting)
        bk_app_leave_on(app);
}

void bk_app_hear_engine(BkApp *app)
{
    g_signal_connect(app->engine, "event::state", G_CALLBACK(on_state), app);
    g_signal_connect(app->engine, "event::credential", G_CALLBACK(on_credential), app);
    g_signal_connect(app->engine, "event::trust", G_CALLBACK(on_trust), app);
    g_signal_connect(app->engine, "event::failure", G_CALLBACK(on_failure), app);
    g_signal_connect(app->engine, "event::ended", G_CALLBACK(on_failure), app);
    g_signal_connect(app->engine, "event::deleted", G_CALLBACK(on_deleted), app);
    g_signal_connect(app->engine, "event::notice", G_CALLBACK(on_notice), app);
}
