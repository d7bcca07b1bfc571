/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/app.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "client/profile.h"
#include "desktop/alerts.h"
#include "desktop/configuration_window.h"
#include "desktop/fake_engine.h"
#include "desktop/history_window.h"
#include "desktop/leave.h"
#include "desktop/main_window.h"
#include "desktop/options_window.h"
#include "desktop/secrets.h"
#include "desktop/signin_page.h"
#include "desktop/talk_window.h"
#include "desktop/words.h"

#include <errno.h>
#include <gdk/x11/gdkx.h>
#include <glib-unix.h>
#include <glib/gi18n.h>
#include <signal.h>
#include <stdlib.h>

enum {
    SIGN_OUT_WAITS_MS = 2000, /* Exit: so long for the server to hear of it */
    CLOSE_WAITS_MS = 2500,    /* and so long for the engine's thread */
    MISSED_TELL_MS = 400,     /* what waited at the server comes in a row */
    MISSED_LINES = 3,         /* of it said in the window; more are opened */
    MISSED_LETTERS = 48,      /* of each of them */
    LOST_TELL_S = 20,         /* a connection away for so long is worth an alert */
};

enum exit_status { EXIT_OK = 0, EXIT_BROKEN = 1, EXIT_USAGE = 2 };

/* ---- options: beckon-cli's names ---- */

static struct {
    char *profile, *ca, *dns, *server, *fake;
    int discover_port;
    gboolean only_ca, background, debug, version;
    char **addresses;
} options;

static const GOptionEntry option_rows[] = {
    { "background", 'b', 0, G_OPTION_ARG_NONE, &options.background,
      N_("Start without a window, as at log-on"), NULL },
    { "version", 'v', 0, G_OPTION_ARG_NONE, &options.version, N_("Print the version"), NULL },
    { "profile", 'p', 0, G_OPTION_ARG_FILENAME, &options.profile,
      N_("Where keys, certificates and conversations are kept"), N_("FOLDER") },
    { "ca", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_FILENAME, &options.ca,
      "Trust the authorities in FILE (PEM) beside the system's", "FILE" },
    { "only-ca", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &options.only_ca,
      "Trust only those of --ca", NULL },
    { "dns", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING, &options.dns, "Ask these name servers",
      "ADDR:PORT,..." },
    { "server", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING, &options.server,
      "Use this server, look for none", "HOST[:PORT]" },
    { "discover-port", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_INT, &options.discover_port,
      "Port of the HTTPS discovery services, for 443", "PORT" },
    { "fake", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_FILENAME, &options.fake,
      "Play this script in place of a server", "FILE" },
    { "debug", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &options.debug,
      "What the engine does, on standard error", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.addresses, NULL,
      N_("[ADDRESS]") },
    { NULL },
};

/* ---- the object ---- */

struct _BkApp {
    AdwApplication parent;
    char *profile;
    BkSettings *settings;
    BkAccounts *accounts;
    struct bk_secrets *secrets; /* outlives the engine's client */
    struct bk_client_guard guard;
    BkEngine *engine;
    BkRoster *roster;
    BkTray *tray;
    BkAlerts *alerts;
    BkActivity *activity; /* NULL until the system's bus answered */
    GCancellable *ending;
    GtkWidget *signin_page;
    /* Made when it is first shown: assistive technologies remember of a hidden window that it is none. */
    BkMainWindow *window;

    /* Of the session, from before the server knows of it; NULL while nobody signs in. */
    BkHistory *history; /* NULL too where nothing is kept */
    BkTalks *talks;
    char *session_address;
    int64_t session_since_ms; /* real time */

    char *talk_wanted; /* an address that was asked for while nobody was signed in */
    char *notice;      /* nothing to do about it, but worth a line; shown when somebody looks */
    bool started;      /* the first command line was looked at */
    guint lost_timer, missed_timer;
    bool missed_told;

    enum { STAYING, SIGNING_OUT, CLOSING, GONE } leaving;
    GPtrArray *
        again; /* addresses to be opened at the start that was asked for meanwhile; NULL: it was not */
    bool again_hidden;
    guint leave_timer;
    int status;
};
G_DEFINE_TYPE(BkApp, bk_app, ADW_TYPE_APPLICATION)

enum { PROP_TALKS = 1 };

BkApp *bk_app_default(void)
{
    return BK_APP(g_application_get_default());
}

BkEngine *bk_app_engine(BkApp *app)
{
    return app->engine;
}

BkSettings *bk_app_settings(BkApp *app)
{
    return app->settings;
}

BkRoster *bk_app_roster(BkApp *app)
{
    return app->roster;
}

BkTray *bk_app_tray(BkApp *app)
{
    return app->tray;
}

BkAccounts *bk_app_accounts(BkApp *app)
{
    return app->accounts;
}

BkTalks *bk_app_talks(BkApp *app)
{
    return app->talks;
}

BkHistory *bk_app_history(BkApp *app)
{
    return app->history;
}

BkActivity *bk_app_activity(BkApp *app)
{
    return app->activity;
}

const char *bk_app_profile(BkApp *app)
{
    return app->profile;
}

GMenuModel *bk_app_menu(BkApp *app, const char *id)
{
    return G_MENU_MODEL(gtk_application_get_menu_by_id(GTK_APPLICATION(app), id));
}

void bk_app_toast(BkApp *app, const char *text)
{
    if (app->window)
        bk_main_window_toast(app->window, text);
}

static GSimpleAction *action(BkApp *app, const char *name)
{
    return G_SIMPLE_ACTION(g_action_map_lookup_action(G_ACTION_MAP(app), name));
}

/* ---- windows ---- */

static void begin(BkApp *app);

/* With what the panel or the alert that was pressed gave for it. */
static void present(BkApp *app, GtkWindow *window)
{
    g_autofree char *of_tray = bk_tray_take_activation_token(app->tray);
    g_autofree char *of_alert = bk_alerts_take_activation_token(app->alerts);
    if (of_tray || of_alert)
        gtk_window_set_startup_id(window, of_tray ? of_tray : of_alert);
    gtk_window_present(window);
}

/* It ends: what is asked for now is for the next start. */
static bool is_too_late(BkApp *app, const char *address, bool hidden)
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

void bk_app_show(BkApp *app)
{
    if (is_too_late(app, NULL, false))
        return;
    begin(app);
    if (!app->window) {
        app->window = bk_main_window_new(app, app->signin_page);
        g_object_add_weak_pointer(G_OBJECT(app->window), (gpointer *)&app->window);
    }
    bk_alerts_withdraw(app->alerts, "credential");
    present(app, GTK_WINDOW(app->window));
    g_autofree char *notice = g_steal_pointer(&app->notice);
    if (notice)
        bk_main_window_toast(app->window, notice);
}

static bool is_looked_at(BkApp *app)
{
    GtkWindow *window = gtk_application_get_active_window(GTK_APPLICATION(app));
    return window && gtk_widget_get_visible(GTK_WIDGET(window)) && gtk_window_is_active(window);
}

static void alert(BkApp *app, const char *id, const char *title, const char *body)
{
    bk_alerts_say(app->alerts, id, title, body, NULL, "app.show");
}

void bk_app_open_talk(BkApp *app, const char *address)
{
    if (is_too_late(app, address, false))
        return;
    if (!app->talks || !bk_engine_has_session(app->engine)) {
        g_free(app->talk_wanted);
        app->talk_wanted = g_strdup(address);
        bk_app_show(app);
        return;
    }
    BkTalk *talk = bk_talks_with(app->talks, address);
    if (!talk)
        return;
    BkTalkWindow *window = bk_talk_window_find(app, talk);
    if (!window)
        window = bk_talk_window_new(app, talk);
    present(app, GTK_WINDOW(window));
    bk_talk_window_focus_entry(window);
}

/* ---- the way to the server ---- */

static char *manual_servers(BkApp *app)
{
    if (options.server)
        return g_strdup(options.server);
    if (bk_settings_bool(app->settings, BK_SETTING_AUTOMATIC_SERVER))
        return NULL;
    return g_strjoin(" ", bk_settings_string(app->settings, BK_SETTING_INTERNAL_SERVER),
                     bk_settings_string(app->settings, BK_SETTING_EXTERNAL_SERVER), NULL);
}

static const char *ca_file(BkApp *app)
{
    const char *set = bk_settings_string(app->settings, BK_SETTING_CA_FILE);
    return options.ca ? options.ca : *set ? set : NULL;
}

bool bk_app_keeps_nothing(BkApp *app)
{
    return !bk_settings_bool(app->settings, BK_SETTING_SAVE_SIGN_IN);
}

static struct bk_log debug_log = { .level = BK_LOG_DEBUG };

static int create_client(BkApp *app, bool with_options, struct bk_client **ret, char **ret_why)
{
    g_autofree char *manual = with_options ? manual_servers(app) : g_strdup(options.server);
    struct bk_client_config config = {
        .profile_dir = app->profile,
        .name = "beckon",
        .device_kind = "desktop",
        .dns_servers = options.dns,
        .ca_file = with_options ? ca_file(app) : options.ca,
        .only_ca_file = options.only_ca,
        .manual_server = manual,
        .discovery_port = (uint16_t)options.discover_port,
        .keep_nothing = bk_app_keeps_nothing(app),
        .guard = &app->guard,
    };
    if (options.debug) {
        debug_log.to = stderr;
        config.log = &debug_log;
    }
    return bk_client_create(&config, ret, ret_why);
}

static BkEngine *create_fake(void)
{
    struct bk_fake *fake = NULL;
    g_autofree char *why = NULL;
    if (bk_fake_open(options.fake, &fake, &why) == 0)
        return bk_engine_new(&bk_fake_engine_ops, fake);
    g_printerr("beckon: %s\n", why ? why : options.fake);
    return NULL;
}

static BkEngine *create_engine(BkApp *app)
{
    if (options.fake)
        return create_fake();
    struct bk_client *client = NULL;
    char *why = NULL;
    int r = create_client(app, true, &client, &why);
    if (r < 0) { /* what the person entered once must not keep Beckon from starting */
        app->notice = g_strdup_printf(_("The connection settings cannot be used: %s"),
                                      why ? why : g_strerror(-r));
        free(why);
        why = NULL;
        r = create_client(app, false, &client, &why);
    }
    if (r < 0)
        g_printerr("beckon: %s\n", why ? why : g_strerror(-r));
    free(why);
    return r < 0 ? NULL : bk_engine_new(&bk_engine_client_ops, client);
}

int bk_app_sign_in(BkApp *app, const char *address, const char *password, const char *user,
                   char **ret_why)
{
    g_autofree char *manual = manual_servers(app);
    const struct bk_client_connection connection = {
        .manual_server = manual,
        .ca_file = ca_file(app),
        .keep_nothing = bk_app_keeps_nothing(app),
    };
    char *why = NULL;
    int r = bk_engine_set_connection(app->engine, &connection, &why);
    if (r == 0)
        r = bk_engine_sign_in(app->engine, address, password, user);
    if (r < 0 && ret_why)
        *ret_why = g_strdup(why ? why : g_strerror(-r));
    free(why);
    if (r < 0)
        return r;
    const char *word = bk_settings_string(app->settings, BK_SETTING_STATUS_AT_SIGN_IN);
    enum bk_pidf_manual manual_status = bk_pidf_manual_of(bk_view_of_str(word));
    if (manual_status != BK_PIDF_MANUAL_MISSING)
        (void)bk_engine_set_status(app->engine, manual_status);
    else
        word = bk_pidf_manual_name(BK_PIDF_MANUAL_NONE);
    g_simple_action_set_state(action(app, "status"), g_variant_new_string(word));
    return 0;
}

/* The account that signed in last, where no password is needed for it. */
static bool sign_in_saved(BkApp *app)
{
    g_autoptr(BkAccount) account = g_list_model_get_item(G_LIST_MODEL(app->accounts), 0);
    if (!account || !bk_account_is_saved(account) || bk_app_keeps_nothing(app))
        return false;
    return bk_app_sign_in(app, bk_account_address(account), NULL, NULL, NULL) == 0;
}

static void update_tray(BkApp *app)
{
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

static void end_session(BkApp *app)
{
    if (!app->talks)
        return;
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
static bool was_missed(BkApp *app, BkTalk *talk)
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
        if (!was_missed(app, talk))
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
    end_session(app);
    app->session_address = g_strdup(address);
    app->missed_told = false;
    app->session_since_ms = g_get_real_time() / 1000;
    if (!bk_app_keeps_nothing(app) && app->profile)
        app->history = bk_history_new(app->profile, address);
    if (app->history)
        g_signal_connect_object(app->history, "damaged", G_CALLBACK(history_damaged), app,
                                G_CONNECT_SWAPPED);
    app->talks = bk_talks_new(app->engine, app->roster, app->history, app->settings);
    g_signal_connect_object(app->talks, "notify::unread", G_CALLBACK(update_tray), app,
                            G_CONNECT_SWAPPED);
    g_signal_connect_object(app->talks, "notify::unread", G_CALLBACK(on_missed), app,
                            G_CONNECT_SWAPPED);
    bk_alerts_set_talks(app->alerts, app->talks);
    g_object_notify(G_OBJECT(app), "talks");
}

/* ---- what the engine tells ---- */

static void update_actions(BkApp *app)
{
    enum bk_client_state state = bk_engine_state(app->engine);
    bool nobody = state == BK_CLIENT_IDLE || state == BK_CLIENT_SIGNED_OUT;
    g_simple_action_set_enabled(action(app, "sign-in"), nobody);
    g_simple_action_set_enabled(action(app, "sign-out"), !nobody && state != BK_CLIENT_SIGNING_OUT);
    g_simple_action_set_enabled(action(app, "status"), bk_engine_has_session(app->engine));
    g_simple_action_set_enabled(action(app, "history"), bk_engine_has_session(app->engine));
    g_simple_action_set_enabled(action(app, "retry-now"), state == BK_CLIENT_RECONNECTING);
    g_simple_action_set_enabled(action(app, "delete-sign-in-info"),
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

static void leave_on(BkApp *app);

/* Where this program lies; that of a file replaced while it runs ends in a remark. */
char *bk_app_program(void)
{
    char *program = g_file_read_link("/proc/self/exe", NULL);
    if (program && g_str_has_suffix(program, " (deleted)"))
        program[strlen(program) - strlen(" (deleted)")] = 0;
    return program;
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
        end_session(app);
    else if (*event->state.address)
        open_session(app, event->state.address);
    if (state == BK_CLIENT_SIGNED_IN)
        signed_in(app);
    watch_connection(app, state);
    update_actions(app);
    update_tray(app);
    if (app->leaving == SIGNING_OUT && state == BK_CLIENT_SIGNED_OUT)
        leave_on(app);
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
    (void)engine;
    g_autofree char *text = bk_word_failure(&event->failure);
    if (!*text)
        return;
    if (app->window && gtk_widget_get_visible(GTK_WIDGET(app->window))) {
        bk_main_window_toast(app->window, text);
        return;
    }
    g_free(app->notice);
    app->notice = g_steal_pointer(&text);
}

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
    bk_leave_ask_delete(app, address, delete_info);
}

/* Whose status somebody wanted to hear of, and what their groups are called, is nothing to leave behind either. */
static void forget_habits(BkApp *app)
{
    bk_roster_forget_tagged(app->roster);
    (void)bk_settings_set_string(app->settings, BK_SETTING_CONTACTS_CLOSED, "");
}

static void on_deleted(BkEngine *engine, const struct bk_client_event *event, BkApp *app)
{
    (void)engine;
    bk_accounts_forget(app->accounts, event->deleted.address);
    forget_habits(app);
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
    forget_habits(app);
    if (bk_profile_peek(app->profile, address, &kept) < 0 ||
        (!loses_unsent && bk_profile_has_outgoing(app->profile, address)))
        return bk_engine_sign_out(app->engine);
    return bk_engine_delete_sign_in_info(app->engine, address);
}

static void gone(BkApp *app)
{
    if (app->leaving == GONE)
        return;
    end_session(app);
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
    gone(app);
}

/* The session has ended, or was waited for long enough. */
static void leave_on(BkApp *app)
{
    app->leaving = CLOSING;
    g_clear_handle_id(&app->leave_timer, g_source_remove);
    app->leave_timer = g_timeout_add(CLOSE_WAITS_MS, on_close_waited, app);
    bk_engine_close_async(app->engine, on_closed, g_object_ref(app));
}

static gboolean on_sign_out_waited(gpointer p)
{
    BkApp *app = p;
    app->leave_timer = 0;
    leave_on(app);
    return G_SOURCE_REMOVE;
}

static void hide_windows(BkApp *app)
{
    for (GList *at = gtk_application_get_windows(GTK_APPLICATION(app)); at; at = at->next)
        gtk_widget_set_visible(GTK_WIDGET(at->data), FALSE);
}

static void leave(BkApp *app, bool loses_unsent)
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
        leave_on(app);
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
    leave(app, true);
}

/* ---- actions ---- */

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
    if (!sign_in_saved(app))
        bk_app_show(app);
}

static void act_sign_out(GSimpleAction *a, GVariant *v, gpointer app)
{
    (void)a;
    (void)v;
    bk_leave_ask(app, BK_LEAVE_SIGN_OUT, sign_out);
}

static void act_exit(GSimpleAction *a, GVariant *v, gpointer app)
{
    (void)a;
    (void)v;
    bk_leave_ask(app, BK_LEAVE_EXIT, leave_as_asked);
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
    bk_app_show(app);
    gtk_window_present(GTK_WINDOW(bk_options_window_new(app, GTK_WINDOW(app->window))));
}

static void act_configuration(GSimpleAction *a, GVariant *v, gpointer p)
{
    BkApp *app = p;
    (void)a;
    (void)v;
    bk_app_show(app);
    gtk_window_present(GTK_WINDOW(bk_configuration_window_new(app, GTK_WINDOW(app->window))));
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
    bk_app_show(app);
    adw_show_about_window(GTK_WINDOW(app->window), "application-name", "Beckon", "application-icon",
                          BK_APP_ID, "version", BK_VERSION, "developer-name",
                          _("The Beckon contributors"), "comments",
                          _("Messages and presence on your organisation's own server."),
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
    bk_app_show(app);
    bk_history_window_show(app, GTK_WINDOW(app->window), NULL);
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
        if (was_missed(app, talk))
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
    bk_app_show(app);
    bk_main_window_focus_search(app->window);
}

static void act_shortcuts(GSimpleAction *a, GVariant *v, gpointer p)
{
    BkApp *app = p;
    (void)a;
    (void)v;
    bk_app_show(app);
    g_autoptr(GtkBuilder) builder =
        gtk_builder_new_from_resource("/org/beckon/Beckon/shortcuts.ui");
    GtkWindow *window = GTK_WINDOW(gtk_builder_get_object(builder, "shortcuts"));
    gtk_window_set_transient_for(window, GTK_WINDOW(app->window));
    gtk_window_present(window);
}

static const GActionEntry action_rows[] = {
    { .name = "show", .activate = act_show },
    { .name = "sign-in", .activate = act_sign_in },
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

/* ---- start ---- */

static void apply_colours(BkApp *app)
{
    const char *word = bk_settings_string(app->settings, BK_SETTING_COLOUR_SCHEME);
    adw_style_manager_set_color_scheme(adw_style_manager_get_default(),
                                       strcmp(word, "light") == 0  ? ADW_COLOR_SCHEME_FORCE_LIGHT
                                       : strcmp(word, "dark") == 0 ? ADW_COLOR_SCHEME_FORCE_DARK
                                                                   : ADW_COLOR_SCHEME_DEFAULT);
}

static void apply_start(BkApp *app)
{
    g_autofree char *program = bk_app_program();
    if (program)
        (void)bk_settings_apply_autostart(app->settings, program);
}

/* Not the one that programs of old have beside Wayland: it sees their input alone. */
static const char *x11_display(void)
{
    GdkDisplay *display = gdk_display_get_default();
    return GDK_IS_X11_DISPLAY(display) ? gdk_display_get_name(display) : NULL;
}

/* Without one nobody tells of suspend; the rest works all the same. */
static void on_system_bus(GObject *source, GAsyncResult *result, gpointer p)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GDBusConnection) system = g_bus_get_finish(result, &error);
    BkApp *app = p;
    (void)source;
    if (system)
        g_dbus_connection_set_exit_on_close(system, FALSE);
    if (!g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        app->activity = bk_activity_new(app->engine, app->settings,
                                        g_application_get_dbus_connection(G_APPLICATION(app)),
                                        system, x11_display());
}

/* Any key, click or movement in one of our windows, before it does anything. */
static gboolean on_input(GtkEventController *controller, GdkEvent *event, BkApp *app)
{
    (void)controller;
    switch (gdk_event_get_event_type(event)) {
    case GDK_KEY_PRESS:
    case GDK_BUTTON_PRESS:
    case GDK_TOUCH_BEGIN:
    case GDK_SCROLL:
    case GDK_MOTION_NOTIFY:
        if (app->activity)
            bk_activity_touched(app->activity);
        break;
    default:
        break;
    }
    return GDK_EVENT_PROPAGATE;
}

static void window_added(GtkApplication *application, GtkWindow *window)
{
    GtkEventController *controller = gtk_event_controller_legacy_new();
    gtk_event_controller_set_propagation_phase(controller, GTK_PHASE_CAPTURE);
    g_signal_connect_object(controller, "event", G_CALLBACK(on_input), application, 0);
    gtk_widget_add_controller(GTK_WIDGET(window), controller);
    GTK_APPLICATION_CLASS(bk_app_parent_class)->window_added(application, window);
}

/* Nobody can be asked. */
static gboolean on_signal(gpointer app)
{
    leave(app, false);
    return G_SOURCE_CONTINUE;
}

static void say_complaints(BkApp *app)
{
    for (const char *const *at = bk_settings_complaints(app->settings); *at; at++)
        g_printerr("beckon: %s\n", *at);
}

static void startup(GApplication *application)
{
    BkApp *app = BK_APP(application);
    G_APPLICATION_CLASS(bk_app_parent_class)->startup(application);

    app->profile = bk_profile_root(options.profile);
    app->settings = bk_settings_new(NULL, NULL);
    say_complaints(app);
    app->accounts = bk_accounts_new(app->profile);
    app->secrets = bk_secrets_create(app->profile, BK_SECRETS_DEADLINE_MS);
    app->guard = bk_secrets_guard(app->secrets);
    app->engine = create_engine(app);
    if (!app->engine) {
        app->status = EXIT_BROKEN;
        app->leaving = GONE;
        g_application_quit(application);
        return;
    }
    g_action_map_add_action_entries(G_ACTION_MAP(app), action_rows, G_N_ELEMENTS(action_rows), app);
    for (gsize i = 0; i < G_N_ELEMENTS(accelerators); i++)
        gtk_application_set_accels_for_action(GTK_APPLICATION(app), accelerators[i].action,
                                              accelerators[i].keys);
    app->roster = bk_roster_new(app->engine, app->settings);
    app->tray = bk_tray_new(application, bk_app_menu(app, "tray-menu"), "show");
    app->alerts = bk_alerts_new(application, g_application_get_dbus_connection(application),
                                app->roster, app->settings);
    gtk_window_set_default_icon_name(BK_APP_ID);

    g_signal_connect(app->engine, "event::state", G_CALLBACK(on_state), app);
    g_signal_connect(app->engine, "event::credential", G_CALLBACK(on_credential), app);
    g_signal_connect(app->engine, "event::trust", G_CALLBACK(on_trust), app);
    g_signal_connect(app->engine, "event::failure", G_CALLBACK(on_failure), app);
    g_signal_connect(app->engine, "event::ended", G_CALLBACK(on_failure), app);
    g_signal_connect(app->engine, "event::deleted", G_CALLBACK(on_deleted), app);
    g_signal_connect(app->engine, "event::notice", G_CALLBACK(on_notice), app);
    g_signal_connect_swapped(bk_roster_self(app->roster), "notify::shown", G_CALLBACK(update_tray),
                             app);
    g_signal_connect_swapped(app->settings, "changed::colour-scheme", G_CALLBACK(apply_colours),
                             app);
    g_signal_connect_swapped(app->settings, "policy-read", G_CALLBACK(say_complaints), app);
    g_signal_connect_swapped(app->settings, "changed::start-at-log-on", G_CALLBACK(apply_start),
                             app);
    g_signal_connect_swapped(app->accounts, "items-changed", G_CALLBACK(update_actions), app);
    g_unix_signal_add(SIGTERM, on_signal, app);
    g_unix_signal_add(SIGINT, on_signal, app);
    g_unix_signal_add(SIGHUP, on_signal, app);
    apply_colours(app);
    update_actions(app);
    update_tray(app);
    app->ending = g_cancellable_new();
    g_bus_get(G_BUS_TYPE_SYSTEM, app->ending, on_system_bus, app);
    g_application_hold(application); /* without a window it goes on, too */
}

/* The first time only: who signed in here last is signed in by himself. */
static void begin(BkApp *app)
{
    if (app->started)
        return;
    app->started = true;
    /* Before its window, so that it hears everything from the start. */
    app->signin_page = g_object_ref_sink(GTK_WIDGET(bk_signin_page_new(app)));
    if (bk_settings_bool(app->settings, BK_SETTING_SIGN_IN_AT_START) && !options.fake)
        (void)sign_in_saved(app);
}

static void activate(GApplication *application)
{
    BkApp *app = BK_APP(application);
    if (app->engine)
        bk_app_show(app);
}

static void open_links(GApplication *application, GFile **files, int n, const char *hint)
{
    BkApp *app = BK_APP(application);
    (void)hint;
    if (!app->engine)
        return;
    begin(app);
    for (int i = 0; i < n; i++) {
        g_autofree char *uri = g_file_get_uri(files[i]);
        g_autofree char *address = bk_address_of_link(uri);
        if (address)
            bk_app_open_talk(app, address);
    }
}

static int command_line(GApplication *application, GApplicationCommandLine *line)
{
    BkApp *app = BK_APP(application);
    GVariantDict *dict = g_application_command_line_get_options_dict(line);
    g_auto(GStrv) addresses = NULL;
    if (!app->engine)
        return app->status;
    bool first = !app->started;
    begin(app);
    (void)g_variant_dict_lookup(dict, G_OPTION_REMAINING, "^as", &addresses);
    for (size_t i = 0; addresses && addresses[i]; i++) {
        g_autofree char *address = bk_address_of_link(addresses[i]);
        if (address)
            bk_app_open_talk(app, address);
    }
    bool hidden = g_variant_dict_contains(dict, "background") &&
                  !(first && bk_settings_bool(app->settings, BK_SETTING_SHOW_IN_FOREGROUND));
    if (!addresses && !is_too_late(app, NULL, hidden) && !hidden)
        bk_app_show(app);
    return EXIT_OK;
}

/* In the process that was called, before it is known whether another one runs. */
static int handle_local_options(GApplication *application, GVariantDict *dict)
{
    (void)application;
    (void)dict;
    if (options.version) {
        g_print("beckon %s\n", BK_VERSION);
        return EXIT_OK;
    }
    if (options.discover_port < 0 || options.discover_port > 65535) {
        g_printerr("beckon: --discover-port: %d is not a number from 1 to 65535\n",
                   options.discover_port);
        return EXIT_USAGE;
    }
    for (size_t i = 0; options.addresses && options.addresses[i]; i++) {
        g_autofree char *address = bk_address_of_link(options.addresses[i]);
        if (!address) {
            g_printerr(_("beckon: %s is no address\n"), options.addresses[i]);
            return EXIT_USAGE;
        }
    }
    /* Options with a variable of ours are not in the dictionary that goes to the first instance. */
    if (options.background)
        g_variant_dict_insert(dict, "background", "b", TRUE);
    if (options.addresses)
        g_variant_dict_insert(dict, G_OPTION_REMAINING, "^as", options.addresses);
    return -1;
}

static void shutdown_app(GApplication *application)
{
    BkApp *app = BK_APP(application);
    g_clear_handle_id(&app->lost_timer, g_source_remove);
    g_clear_handle_id(&app->missed_timer, g_source_remove);
    g_clear_handle_id(&app->leave_timer, g_source_remove);
    if (app->window)
        gtk_window_destroy(GTK_WINDOW(app->window));
    g_clear_object(&app->signin_page);
    if (app->ending)
        g_cancellable_cancel(app->ending);
    g_clear_object(&app->ending);
    end_session(app);
    g_clear_object(&app->activity);
    g_clear_object(&app->alerts);
    g_clear_object(&app->tray);
    g_clear_object(&app->roster);
    g_clear_object(&app->engine);
    g_clear_object(&app->accounts);
    g_clear_object(&app->settings);
    G_APPLICATION_CLASS(bk_app_parent_class)->shutdown(application);
}

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    if (id == PROP_TALKS)
        g_value_set_object(value, BK_APP(object)->talks);
    else
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
}

static void finalize(GObject *object)
{
    BkApp *app = BK_APP(object);
    free(app->profile);
    g_free(app->talk_wanted);
    g_free(app->notice);
    if (app->again)
        g_ptr_array_unref(app->again);
    G_OBJECT_CLASS(bk_app_parent_class)->finalize(object);
}

static void bk_app_class_init(BkAppClass *class)
{
    GApplicationClass *application = G_APPLICATION_CLASS(class);
    G_OBJECT_CLASS(class)->finalize = finalize;
    G_OBJECT_CLASS(class)->get_property = get_property;
    g_object_class_install_property(
        G_OBJECT_CLASS(class), PROP_TALKS,
        g_param_spec_object("talks", NULL, NULL, BK_TYPE_TALKS,
                            G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS));
    GTK_APPLICATION_CLASS(class)->window_added = window_added;
    application->startup = startup;
    application->activate = activate;
    application->open = open_links;
    application->command_line = command_line;
    application->handle_local_options = handle_local_options;
    application->shutdown = shutdown_app;
}

static void bk_app_init(BkApp *app)
{
    g_application_add_main_option_entries(G_APPLICATION(app), option_rows);
    g_application_set_option_context_summary(
        G_APPLICATION(app), _("Messages and presence on your organisation's own server."));
}

BkApp *bk_app_new(void)
{
    return g_object_new(BK_TYPE_APP, "application-id", BK_APP_ID, "flags",
                        G_APPLICATION_HANDLES_COMMAND_LINE | G_APPLICATION_HANDLES_OPEN, NULL);
}

char **bk_app_again(BkApp *app)
{
    const struct {
        const char *name, *value;
    } texts[] = { { "--profile", options.profile },
                  { "--ca", options.ca },
                  { "--dns", options.dns },
                  { "--server", options.server },
                  { "--fake", options.fake } };
    if (!app->again)
        return NULL;
    g_autoptr(GStrvBuilder) args = g_strv_builder_new();
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        if (texts[i].value)
            g_strv_builder_add_many(args, texts[i].name, texts[i].value, NULL);
    if (options.discover_port) {
        g_autofree char *port = g_strdup_printf("--discover-port=%d", options.discover_port);
        g_strv_builder_add(args, port);
    }
    if (options.only_ca)
        g_strv_builder_add(args, "--only-ca");
    if (options.debug)
        g_strv_builder_add(args, "--debug");
    if (app->again_hidden && !app->again->len)
        g_strv_builder_add(args, "--background");
    for (guint i = 0; i < app->again->len; i++)
        g_strv_builder_add(args, app->again->pdata[i]);
    return g_strv_builder_end(args);
}

int bk_app_status(BkApp *app)
{
    return app->status;
}
