/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_test.h"
#include "desktop/alerts.h"
#include "engine_stub.h"

#include <glib/gstdio.h>
#include <string.h>

#define ANN "ann@example.org"
#define BOB "bob@example.org"

static const char server_xml[] =
    "<node><interface name='org.freedesktop.Notifications'>"
    "<method name='GetCapabilities'><arg type='as' direction='out'/></method>"
    "<method name='Notify'><arg type='s' direction='in'/><arg type='u' direction='in'/>"
    "<arg type='s' direction='in'/><arg type='s' direction='in'/><arg type='s' direction='in'/>"
    "<arg type='as' direction='in'/><arg type='a{sv}' direction='in'/>"
    "<arg type='i' direction='in'/><arg type='u' direction='out'/></method>"
    "<method name='CloseNotification'><arg type='u' direction='in'/></method>"
    "<signal name='NotificationClosed'><arg type='u'/><arg type='u'/></signal>"
    "<signal name='ActionInvoked'><arg type='u'/><arg type='s'/></signal>"
    "<signal name='NotificationReplied'><arg type='u'/><arg type='s'/></signal>"
    "<signal name='ActivationToken'><arg type='u'/><arg type='s'/></signal>"
    "</interface></node>";

struct fixture {
    struct engine_stub engine;
    char *file;
    BkSettings *settings;
    BkRoster *roster;
    BkTalks *talks;
    BkAlerts *alerts;
    GApplication *app;
    GDBusConnection *bus;
    struct service server;
    guint32 last_id;
    bool cannot_reply, cannot_mark_up;
    GString *ran; /* the actions, a line each */
};

static GVariant *server_answer(void *ctx, const char *method, GVariant *parameters)
{
    struct fixture *f = ctx;
    if (g_str_equal(method, "GetCapabilities")) {
        const char *const all[] = { "body", "actions", f->cannot_mark_up ? "x" : "body-markup",
                                    f->cannot_reply ? "x" : "inline-reply", NULL };
        return g_variant_new("(^as)", all);
    }
    if (!g_str_equal(method, "Notify"))
        return g_variant_new("()");
    guint32 replaces;
    g_variant_get_child(parameters, 1, "u", &replaces);
    return g_variant_new("(u)", replaces ? replaces : ++f->last_id);
}

static void ran(GSimpleAction *action, GVariant *parameter, gpointer ctx)
{
    struct fixture *f = ctx;
    g_autofree char *text = parameter ? g_variant_print(parameter, FALSE) : g_strdup("");
    g_string_append_printf(f->ran, "%s %s\n", g_action_get_name(G_ACTION(action)), text);
}

static void add_action(struct fixture *f, const char *name, const char *type)
{
    g_autoptr(GSimpleAction) action = g_simple_action_new(name, type ? G_VARIANT_TYPE(type) : NULL);
    g_signal_connect(action, "activate", G_CALLBACK(ran), f);
    g_action_map_add_action(G_ACTION_MAP(f->app), G_ACTION(action));
}

static void start_server(struct fixture *f)
{
    f->server = (struct service){ .answer = server_answer, .ctx = f };
    service_start(&f->server, "org.freedesktop.Notifications", "/org/freedesktop/Notifications",
                  server_xml);
}

static int set_up(void **state)
{
    struct fixture *f = g_new0(struct fixture, 1);
    bus_start();
    engine_stub_make(&f->engine);
    GFile *file = g_file_new_tmp("bk-alerts-XXXXXX", &(GFileIOStream *){ NULL }, NULL);
    f->file = g_file_get_path(file);
    g_object_unref(file);
    f->settings = bk_settings_new(f->file, "/nonexistent");
    f->roster = bk_roster_new(f->engine.engine, f->settings);
    f->talks = bk_talks_new(f->engine.engine, f->roster, NULL, f->settings);
    f->app = g_application_new("org.beckon.AlertsTest", G_APPLICATION_NON_UNIQUE);
    assert_true(g_application_register(f->app, NULL, NULL));
    f->ran = g_string_new(NULL);
    add_action(f, "talk", "s");
    add_action(f, "reply", "(ss)");
    add_action(f, "show", NULL);
    add_action(f, "retry-now", NULL);
    f->bus = bus_connect();
    start_server(f);
    f->alerts = bk_alerts_new(f->app, f->bus, f->roster, f->settings);
    bk_alerts_set_talks(f->alerts, f->talks);
    engine_stub_state(&f->engine, BK_CLIENT_SIGNED_IN, ANN);
    bus_settle(f->bus);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    g_clear_object(&f->alerts);
    bus_settle(f->bus);
    service_stop(&f->server);
    g_clear_object(&f->talks);
    g_clear_object(&f->roster);
    g_clear_object(&f->settings);
    g_clear_object(&f->app);
    (void)g_unlink(f->file);
    g_free(f->file);
    g_string_free(f->ran, TRUE);
    engine_stub_free(&f->engine);
    (void)g_dbus_connection_close_sync(f->bus, NULL, NULL);
    g_object_unref(f->bus);
    g_free(f);
    bus_stop();
    return 0;
}

static void message(struct fixture *f, const char *text)
{
    static unsigned n;
    g_autofree char *key = g_strdup_printf("key-%u", n++);
    struct bk_client_event event = {
        .type = BK_CLIENT_EVENT_MESSAGE,
        .at_ms = 1000,
        .message = { .from = BOB, .from_name = "Bob", .text = text, .key = key, .sent_ms = 1000 }
    };
    engine_stub_tell(&f->engine, &event);
}

static struct fixture *waiting_for;
static const char *method_awaited;
static unsigned count_awaited;

static bool is_called(void *ctx)
{
    (void)ctx;
    return service_count(&waiting_for->server, method_awaited) >= count_awaited;
}

static void settle(struct fixture *f)
{
    bus_settle(f->server.bus); /* what it answered is on its way */
    bus_settle(f->bus);
}

/* Awaits the n-th call of this method; returns its parameters, and that there is none more once all came to rest. */
static const char *nth(struct fixture *f, unsigned n, const char *method)
{
    waiting_for = f;
    method_awaited = method;
    count_awaited = n;
    assert_true(wait_until(is_called, NULL));
    settle(f);
    assert_int_equal(service_count(&f->server, method), n);
    return service_last(&f->server, method);
}

static void has(const char *call, const char *piece)
{
    if (!strstr(call, piece))
        fail_msg("%s is not in %s", piece, call ? call : "-");
}

static void has_not(const char *call, const char *piece)
{
    if (strstr(call, piece))
        fail_msg("%s is in %s", piece, call ? call : "-");
}

static void a_message_is_shown_with_its_text_a_sound_and_a_reply_in_place(void **state)
{
    struct fixture *f = *state;
    message(f, "Tea & <b>cake</b>?");
    const char *call = nth(f, 1, "Notify");
    has(call, "Notify('Beckon', 0, 'org.beckon.Beckon', 'Bob', "
              "'Tea &amp; &lt;b&gt;cake&lt;/b&gt;?', "
              "['default', 'Open', 'inline-reply', 'Reply'], {");
    has(call, "'sound-name': <'message-new-instant'>");
    has(call, "'category': <'im.received'>");
    has(call, "'desktop-entry': <'org.beckon.Beckon'>");
    has(call, "'urgency': <byte 0x01>");
}

static void a_server_that_can_less_gets_plain_text_and_a_reply_button(void **state)
{
    struct fixture *f = *state;
    f->cannot_reply = f->cannot_mark_up = true;
    message(f, "a < b");
    const char *call = nth(f, 1, "Notify");
    has(call, "'a < b'");
    has(call, "['default', 'Open', 'reply', 'Reply']");
    service_emit(&f->server, "ActionInvoked", g_variant_new("(us)", 1, "reply"));
    bus_settle(f->bus);
    assert_string_equal(f->ran->str, "talk '" BOB "'\n");
}

static void newer_messages_replace_and_reading_withdraws(void **state)
{
    struct fixture *f = *state;
    message(f, "one");
    (void)nth(f, 1, "Notify");
    message(f, "two");
    const char *call = nth(f, 2, "Notify");
    has(call, "'Beckon', 1, "); /* takes the place of the first */
    has(call, "'two\\n2 new messages'");
    bk_talk_mark_read(bk_talks_with(f->talks, BOB));
    assert_string_equal(nth(f, 1, "CloseNotification"), "CloseNotification(1,)");
    message(f, "three");
    call = nth(f, 3, "Notify");
    has(call, "'Beckon', 0, ");
    has(call, "'three'");
}

static bool has_shown_the_last(void *ctx)
{
    (void)ctx;
    return service_count(&waiting_for->server, "Notify") > 0 &&
           strstr(service_last(&waiting_for->server, "Notify"), "'last\\n20 new messages'");
}

static void many_at_once_are_one_and_read_before_it_was_shown_is_gone(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 20; i++)
        message(f, i < 19 ? "more" : "last");
    waiting_for = f;
    assert_true(wait_until(has_shown_the_last, NULL));
    settle(f);
    assert_int_equal(f->last_id, 1);
    unsigned shown = service_count(&f->server, "Notify");
    assert_true(shown < 20);
    message(f, "again");
    bk_talk_mark_read(bk_talks_with(f->talks, BOB)); /* while its Notify is under way */
    (void)nth(f, shown + 1, "Notify");
    assert_string_equal(nth(f, 1, "CloseNotification"), "CloseNotification(1,)");
}

static void a_reply_in_place_is_sent_and_the_message_read(void **state)
{
    struct fixture *f = *state;
    message(f, "Tea?");
    (void)nth(f, 1, "Notify");
    service_emit(&f->server, "NotificationReplied", g_variant_new("(us)", 4711, "who?"));
    service_emit(&f->server, "NotificationReplied", g_variant_new("(us)", 1, "Yes, please"));
    (void)nth(f, 1, "CloseNotification");
    assert_string_equal(f->ran->str, "reply ('" BOB "', 'Yes, please')\n");
    assert_int_equal(bk_talk_unread(bk_talks_with(f->talks, BOB)), 0);
}

static void a_click_opens_the_conversation_with_the_servers_token(void **state)
{
    struct fixture *f = *state;
    message(f, "Tea?");
    (void)nth(f, 1, "Notify");
    service_emit(&f->server, "ActivationToken", g_variant_new("(us)", 1, "token-7"));
    service_emit(&f->server, "ActionInvoked", g_variant_new("(us)", 1, "default"));
    bus_settle(f->bus);
    assert_string_equal(f->ran->str, "talk '" BOB "'\n");
    g_autofree char *token = bk_alerts_take_activation_token(f->alerts);
    assert_string_equal(token, "token-7");
}

static void the_text_can_be_hidden_and_sounds_switched_off(void **state)
{
    struct fixture *f = *state;
    bk_settings_set_bool(f->settings, BK_SETTING_ALERT_TEXT, false);
    bk_settings_set_bool(f->settings, BK_SETTING_SOUNDS, false);
    message(f, "private");
    const char *call = nth(f, 1, "Notify");
    has_not(call, "private");
    has(call, "'1 new message'");
    has(call, "'suppress-sound': <true>");
    has_not(call, "sound-name");
}

static void no_alerts_of_messages_means_none(void **state)
{
    struct fixture *f = *state;
    bk_settings_set_bool(f->settings, BK_SETTING_ALERT_MESSAGES, false);
    message(f, "hello");
    bus_settle(f->bus);
    assert_int_equal(service_count(&f->server, "Notify"), 0);
}

static void own_status(struct fixture *f, enum bk_pidf_shown shown)
{
    struct bk_client_event event = {
        .type = BK_CLIENT_EVENT_PRESENCE,
        .presence = { .address = ANN, .own = true, .shown = shown, .name = "", .note = "" }
    };
    engine_stub_tell(&f->engine, &event);
}

static void relation(struct fixture *f, int level)
{
    const struct bk_client_relation row = { BOB, level };
    struct bk_client_event event = { .type = BK_CLIENT_EVENT_RELATIONS,
                                     .relations = { .rows = &row, .n_rows = 1 } };
    engine_stub_tell(&f->engine, &event);
}

static void do_not_disturb_lets_through_whom_the_options_name(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *setting;
        int level;
        bool shown;
    } rows[] = {
        { "none", 300, false },     { "workgroup", 200, false }, { "workgroup", 400, false },
        { "workgroup", 300, true }, { "all", 200, true },
    };
    unsigned shown = 0;
    own_status(f, BK_PIDF_SHOWN_DND);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(bk_settings_set_string(f->settings, BK_SETTING_ALERT_IN_DND, rows[i].setting) ||
                    i == 0);
        relation(f, rows[i].level);
        message(f, "psst");
        shown += rows[i].shown;
        bus_settle(f->bus);
        if (shown)
            (void)nth(f, shown, "Notify");
        else
            assert_int_equal(service_count(&f->server, "Notify"), 0);
    }
    has(service_last(&f->server, "Notify"), "'suppress-sound': <true>");
    bk_settings_set_bool(f->settings, BK_SETTING_SOUNDS_IN_DND, true);
    message(f, "psst");
    has(nth(f, shown + 1, "Notify"), "'sound-name'");
    own_status(f, BK_PIDF_SHOWN_AVAILABLE);
    bk_settings_set_string(f->settings, BK_SETTING_ALERT_IN_DND, "none");
    message(f, "hello");
    (void)nth(f, shown + 2, "Notify");
}

static void who_follows_is_told_unless_nobody_wants_to_know(void **state)
{
    struct fixture *f = *state;
    const struct bk_client_follower row = { BOB, "Bob", false };
    struct bk_client_event event = { .type = BK_CLIENT_EVENT_FOLLOWERS,
                                     .followers = { .rows = &row, .n_rows = 1 } };
    engine_stub_tell(&f->engine, &event);
    has(nth(f, 1, "Notify"), "'added you to their contact list', ['default', 'Open']");
    service_emit(&f->server, "ActionInvoked", g_variant_new("(us)", 1, "default"));
    (void)nth(f, 1, "CloseNotification");
    assert_string_equal(f->ran->str, "show \n");
}

static void a_lost_connection_is_said_replaced_and_withdrawn(void **state)
{
    struct fixture *f = *state;
    own_status(f, BK_PIDF_SHOWN_DND); /* the account concerns also who is not to be disturbed */
    bk_alerts_say(f->alerts, "connection", "Connection lost", "Trying again in 8 s", "Try now",
                  "app.retry-now");
    const char *call = nth(f, 1, "Notify");
    has(call, "'Connection lost', 'Trying again in 8 s', ['default', 'Open', 'button', 'Try now']");
    has(call, "'suppress-sound': <true>");
    bk_alerts_say(f->alerts, "connection", "Connection lost", "Trying again in 16 s", "Try now",
                  "app.retry-now");
    has(nth(f, 2, "Notify"), "'Beckon', 1, ");
    bk_alerts_withdraw(f->alerts, "connection");
    bk_alerts_withdraw(f->alerts, "connection");
    assert_string_equal(nth(f, 1, "CloseNotification"), "CloseNotification(1,)");
    bk_alerts_say(f->alerts, "connection", "Connection lost", "Again", "Try now", "app.retry-now");
    (void)nth(f, 3, "Notify");
    service_emit(&f->server, "ActionInvoked", g_variant_new("(us)", 2, "button"));
    (void)nth(f, 2, "CloseNotification");
    assert_string_equal(f->ran->str, "retry-now \n");
}

static void who_closed_it_is_not_told_to_close_it(void **state)
{
    struct fixture *f = *state;
    message(f, "one");
    (void)nth(f, 1, "Notify");
    service_emit(&f->server, "NotificationClosed", g_variant_new("(uu)", 1, 2));
    bus_settle(f->bus);
    bk_talk_mark_read(bk_talks_with(f->talks, BOB));
    bus_settle(f->bus);
    assert_int_equal(service_count(&f->server, "CloseNotification"), 0);
}

static void sign_out_withdraws_what_was_said_of_people_but_not_of_the_account(void **state)
{
    struct fixture *f = *state;
    message(f, "one");
    bk_alerts_say(f->alerts, "credential", "Password needed", "", NULL, "app.show");
    (void)nth(f, 2, "Notify");
    bk_alerts_set_talks(f->alerts, NULL);
    (void)nth(f, 1, "CloseNotification");
    g_clear_object(&f->alerts);
    (void)nth(f, 2, "CloseNotification");
}

static bool is_shown_by_the_second(void *ctx)
{
    struct fixture *f = ctx;
    return service_count(&f->server, "Notify") > 0;
}

static void another_server_is_asked_what_it_can_and_knows_no_old_numbers(void **state)
{
    struct fixture *f = *state;
    message(f, "one");
    (void)nth(f, 1, "Notify");
    service_stop(&f->server);
    bus_settle(f->bus);
    f->cannot_reply = true;
    start_server(f);
    bus_settle(f->bus);
    message(f, "two");
    assert_true(wait_until(is_shown_by_the_second, f));
    const char *call = service_last(&f->server, "Notify");
    has(call, "'Beckon', 0, ");
    has(call, "'reply', 'Reply'");
}

static void without_a_server_nothing_is_kept_for_later(void **state)
{
    struct fixture *f = *state;
    service_stop(&f->server);
    bus_settle(f->bus);
    message(f, "old");
    bus_settle(f->bus);
    bus_settle(f->bus);
    start_server(f);
    message(f, "new");
    assert_true(wait_until(is_shown_by_the_second, f));
    bus_settle(f->bus);
    assert_int_equal(service_count(&f->server, "Notify"), 1);
}

int main(void)
{
#define ON_BUS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ON_BUS(a_message_is_shown_with_its_text_a_sound_and_a_reply_in_place),
        ON_BUS(a_server_that_can_less_gets_plain_text_and_a_reply_button),
        ON_BUS(newer_messages_replace_and_reading_withdraws),
        ON_BUS(many_at_once_are_one_and_read_before_it_was_shown_is_gone),
        ON_BUS(a_reply_in_place_is_sent_and_the_message_read),
        ON_BUS(a_click_opens_the_conversation_with_the_servers_token),
        ON_BUS(the_text_can_be_hidden_and_sounds_switched_off),
        ON_BUS(no_alerts_of_messages_means_none),
        ON_BUS(do_not_disturb_lets_through_whom_the_options_name),
        ON_BUS(who_follows_is_told_unless_nobody_wants_to_know),
        ON_BUS(a_lost_connection_is_said_replaced_and_withdrawn),
        ON_BUS(who_closed_it_is_not_told_to_close_it),
        ON_BUS(sign_out_withdraws_what_was_said_of_people_but_not_of_the_account),
        ON_BUS(another_server_is_asked_what_it_can_and_knows_no_old_numbers),
        ON_BUS(without_a_server_nothing_is_kept_for_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
