/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_test.h"
#include "desktop/activity.h"
#include "engine_stub.h"

#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static const char monitor_xml[] =
    "<node><interface name='org.gnome.Mutter.IdleMonitor'>"
    "<method name='GetIdletime'><arg type='t' direction='out'/></method>"
    "<method name='AddIdleWatch'><arg type='t' direction='in'/><arg type='u' direction='out'/>"
    "</method>"
    "<method name='AddUserActiveWatch'><arg type='u' direction='out'/></method>"
    "<method name='RemoveWatch'><arg type='u' direction='in'/></method>"
    "<signal name='WatchFired'><arg type='u'/></signal></interface></node>";
static const char saver_xml[] =
    "<node><interface name='org.freedesktop.ScreenSaver'>"
    "<method name='GetSessionIdleTime'><arg type='u' direction='out'/></method>"
    "<method name='GetActive'><arg type='b' direction='out'/></method>"
    "<signal name='ActiveChanged'><arg type='b'/></signal></interface></node>";
static const char login_xml[] =
    "<node><interface name='org.freedesktop.login1.Manager'>"
    "<signal name='PrepareForSleep'><arg type='b'/></signal></interface></node>";
static const char empty_xml[] = "<node><interface name='org.kde.screensaver'/></node>";

struct fixture {
    struct engine_stub engine;
    char *file;
    BkSettings *settings;
    GDBusConnection *bus; /* the program's, session and system in one */
    BkActivity *activity;
    struct service monitor, saver, login, kde;
    guint32 watches; /* given out by the monitor */
    guint64 idle_ms;
    bool saver_knows_idle, active;
    int delay[2]; /* the pipe whose other end the program holds */
    unsigned inhibits;
};

static GVariant *monitor_answer(void *ctx, const char *method, GVariant *parameters)
{
    struct fixture *f = ctx;
    (void)parameters;
    if (g_str_equal(method, "GetIdletime"))
        return g_variant_new("(t)", f->idle_ms);
    if (g_str_has_prefix(method, "Add"))
        return g_variant_new("(u)", ++f->watches);
    return g_variant_new("()");
}

static GVariant *saver_answer(void *ctx, const char *method, GVariant *parameters)
{
    struct fixture *f = ctx;
    (void)parameters;
    if (g_str_equal(method, "GetActive"))
        return g_variant_new("(b)", f->active);
    return f->saver_knows_idle ? g_variant_new("(u)", (guint32)(f->idle_ms / 1000)) : NULL;
}

static int set_up(void **state)
{
    struct fixture *f = g_new0(struct fixture, 1);
    bus_start();
    engine_stub_make(&f->engine);
    GFile *file = g_file_new_tmp("bk-activity-XXXXXX", &(GFileIOStream *){ NULL }, NULL);
    f->file = g_file_get_path(file);
    g_object_unref(file);
    f->settings = bk_settings_new(f->file, "/nonexistent");
    f->bus = bus_connect();
    f->delay[0] = f->delay[1] = -1;
    *state = f;
    return 0;
}

static void start(struct fixture *f)
{
    f->activity = bk_activity_new(f->engine.engine, f->settings, f->bus, f->bus, NULL);
    bus_settle(f->bus);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    service_stop(&f->monitor);
    service_stop(&f->saver);
    service_stop(&f->login);
    service_stop(&f->kde);
    g_clear_object(&f->activity);
    g_clear_object(&f->settings);
    (void)g_unlink(f->file);
    g_free(f->file);
    engine_stub_free(&f->engine);
    (void)g_dbus_connection_close_sync(f->bus, NULL, NULL);
    g_object_unref(f->bus);
    for (int i = 0; i < 2; i++)
        if (f->delay[i] >= 0)
            (void)close(f->delay[i]);
    g_free(f);
    bus_stop();
    return 0;
}

static void start_monitor(struct fixture *f)
{
    f->monitor = (struct service){ .answer = monitor_answer, .ctx = f };
    service_start(&f->monitor, "org.gnome.Mutter.IdleMonitor", "/org/gnome/Mutter/IdleMonitor/Core",
                  monitor_xml);
}

static void start_saver(struct fixture *f)
{
    f->saver = (struct service){ .answer = saver_answer, .ctx = f };
    service_start(&f->saver, "org.freedesktop.ScreenSaver", "/org/freedesktop/ScreenSaver",
                  saver_xml);
}

static struct fixture *waiting_for;
static const char *expected;

static bool has_told(void *ctx)
{
    (void)ctx;
    return strlen(waiting_for->engine.told->str) >= strlen(expected);
}

/* Awaits as much as is expected, and compares. */
static void told(struct fixture *f, const char *text)
{
    waiting_for = f;
    expected = text;
    (void)wait_until(has_told, NULL);
    assert_string_equal(f->engine.told->str, text);
    g_string_truncate(f->engine.told, 0);
}

static bool is_watched(void *ctx)
{
    struct fixture *f = ctx;
    return f->watches >= 3;
}

static void fire(struct fixture *f, guint32 watch)
{
    service_emit(&f->monitor, "WatchFired", g_variant_new("(u)", watch));
}

static void an_idle_monitor_tells_when_limits_are_passed(void **state)
{
    struct fixture *f = *state;
    start_monitor(f);
    start(f);
    assert_true(wait_until(is_watched, f));
    bus_settle(f->bus);
    assert_true(service_was_called(&f->monitor, "AddIdleWatch(300000,)"));
    assert_true(service_was_called(&f->monitor, "AddIdleWatch(600000,)"));
    told(f, "machine active\n");
    fire(f, 1);
    told(f, "machine inactive\n");
    fire(f, 2);
    told(f, "machine away\n");
    fire(f, 3);
    told(f, "machine active\n");
    fire(f, 1); /* and again, with another watch for the return */
    told(f, "machine inactive\n");
    f->watches = 0;
    fire(f, 4711);
    bus_settle(f->bus);
    assert_int_equal(f->engine.told->len, 0);
}

static bool is_watched_anew(void *ctx)
{
    struct fixture *f = ctx;
    return service_was_called(&f->monitor, "AddIdleWatch(60000,)") &&
           service_was_called(&f->monitor, "AddIdleWatch(360000,)");
}

static void other_limits_count_at_once(void **state)
{
    struct fixture *f = *state;
    f->idle_ms = 2 * 60000;
    start_monitor(f);
    start(f);
    assert_true(wait_until(is_watched, f));
    bus_settle(f->bus);
    told(f, "machine active\n");
    assert_true(bk_settings_set_int(f->settings, BK_SETTING_INACTIVE_MIN, 1));
    assert_true(wait_until(is_watched_anew, f));
    told(f, "machine inactive\n");
    assert_true(service_count(&f->monitor, "RemoveWatch") >= 2);
}

static void a_monitor_that_comes_late_or_again_is_used(void **state)
{
    struct fixture *f = *state;
    start(f);
    told(f, "machine active\n");
    for (int round = 0; round < 2; round++) {
        f->idle_ms = 11 * 60000;
        f->watches = 0;
        start_monitor(f);
        assert_true(wait_until(is_watched, f));
        told(f, "machine away\n");
        fire(f, 3);
        told(f, "machine active\n");
        service_stop(&f->monitor);
        bus_settle(f->bus);
        told(f, "");
    }
}

static void a_screen_saver_is_asked_for_seconds_and_kdes_for_milliseconds(void **state)
{
    struct fixture *f = *state;
    f->saver_knows_idle = true;
    f->idle_ms = 301 * 1000;
    start_saver(f);
    start(f);
    told(f, "machine active\nmachine inactive\n");
    f->idle_ms = 601 * 1000;
    bk_activity_look(f->activity);
    told(f, "machine away\n");
    f->idle_ms = 1000;
    bk_activity_look(f->activity);
    told(f, "machine active\n");
    f->kde = (struct service){ 0 };
    service_start(&f->kde, "org.kde.screensaver", "/org/kde/screensaver", empty_xml);
    f->idle_ms = 301 * 1000 * 1000; /* the stand-in divides by 1000 */
    bus_settle(f->bus);
    bk_activity_look(f->activity);
    told(f, "machine inactive\n");
}

static void lock(struct fixture *f, bool on)
{
    f->active = on;
    service_emit(&f->saver, "ActiveChanged", g_variant_new("(b)", on));
}

static void a_locked_screen_is_away_at_once_and_back_when_unlocked(void **state)
{
    struct fixture *f = *state;
    start_saver(f); /* as GNOME's: it knows no idle time */
    start(f);
    told(f, "machine active\n");
    lock(f, true);
    told(f, "machine away\n");
    bk_activity_touched(f->activity); /* a window of ours under the lock is not a person */
    lock(f, false);
    told(f, "machine active\n");
    lock(f, true);
    told(f, "machine away\n");
    service_stop(&f->saver); /* it crashed */
    told(f, "machine active\n");
}

static void a_screen_locked_before_the_start_counts(void **state)
{
    struct fixture *f = *state;
    f->active = true;
    start_saver(f);
    start(f);
    told(f, "machine active\nmachine away\n");
}

static void without_any_helper_our_own_windows_count(void **state)
{
    struct fixture *f = *state;
    start(f);
    told(f, "machine active\n");
    bk_activity_touched(f->activity);
    bus_settle(f->bus);
    assert_int_equal(f->engine.told->len, 0);
    assert_int_equal(bk_activity_machine(f->activity), BK_PIDF_MACHINE_ACTIVE);
}

/* ---- suspend: answered by hand, because it hands out a file descriptor ---- */

static GDBusMessage *inhibit(GDBusConnection *bus, GDBusMessage *message, gboolean incoming,
                             gpointer data)
{
    struct fixture *f = data;
    if (!incoming || g_strcmp0(g_dbus_message_get_member(message), "Inhibit") != 0)
        return message;
    g_autoptr(GDBusMessage) answer = g_dbus_message_new_method_reply(message);
    g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
    if (f->delay[0] >= 0) {
        (void)close(f->delay[0]);
        (void)close(f->delay[1]);
    }
    if (pipe2(f->delay, O_CLOEXEC) < 0)
        return message;
    (void)g_unix_fd_list_append(fds, f->delay[1], NULL);
    (void)close(f->delay[1]);
    f->delay[1] = -1;
    g_dbus_message_set_body(answer, g_variant_new("(h)", 0));
    g_dbus_message_set_unix_fd_list(answer, fds);
    (void)g_dbus_connection_send_message(bus, answer, G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL, NULL);
    g_atomic_int_inc(&f->inhibits);
    g_object_unref(message);
    return NULL;
}

static bool is_inhibited(void *ctx)
{
    return g_atomic_int_get(&((struct fixture *)ctx)->inhibits) > 0;
}

/* Did the program close its end? */
static bool is_let_go(void *ctx)
{
    struct pollfd at = { .fd = ((struct fixture *)ctx)->delay[0], .events = POLLIN };
    return poll(&at, 1, 0) == 1 && at.revents & POLLHUP;
}

static void start_login(struct fixture *f)
{
    f->login = (struct service){ .ctx = f };
    service_start(&f->login, "org.freedesktop.login1", "/org/freedesktop/login1", login_xml);
    (void)g_dbus_connection_add_filter(f->login.bus, inhibit, f, NULL);
}

static void own_presence(struct fixture *f, enum bk_pidf_shown shown)
{
    struct bk_client_event event = { .type = BK_CLIENT_EVENT_PRESENCE,
                                     .presence = { .address = "ann@example.org",
                                                   .own = true,
                                                   .shown = shown,
                                                   .name = "",
                                                   .note = "" } };
    engine_stub_tell(&f->engine, &event);
}

static void sleep_waits_until_away_is_published_and_waking_asks_for_the_network(void **state)
{
    struct fixture *f = *state;
    start_login(f);
    start(f);
    engine_stub_state(&f->engine, BK_CLIENT_SIGNED_IN, "ann@example.org");
    assert_true(wait_until(is_inhibited, f));
    bus_settle(f->bus);
    assert_false(is_let_go(f));
    told(f, "machine active\n");

    service_emit(&f->login, "PrepareForSleep", g_variant_new("(b)", TRUE));
    told(f, "machine away\n");
    own_presence(f, BK_PIDF_SHOWN_AVAILABLE); /* an older one on its way */
    assert_false(is_let_go(f));
    own_presence(f, BK_PIDF_SHOWN_AWAY);
    assert_true(wait_until(is_let_go, f));

    g_atomic_int_set(&f->inhibits, 0);
    service_emit(&f->login, "PrepareForSleep", g_variant_new("(b)", FALSE));
    told(f, "network\nmachine active\n");
    assert_true(wait_until(is_inhibited, f)); /* ready for the next time */
}

static void sleep_does_not_wait_for_a_server_that_does_not_answer(void **state)
{
    struct fixture *f = *state;
    start_login(f);
    start(f);
    engine_stub_state(&f->engine, BK_CLIENT_SIGNED_IN, "ann@example.org");
    assert_true(wait_until(is_inhibited, f));
    bus_settle(f->bus);
    service_emit(&f->login, "PrepareForSleep", g_variant_new("(b)", TRUE));
    told(f, "machine active\nmachine away\n");
    assert_true(wait_until(is_let_go, f));
}

static void who_is_not_signed_in_sleeps_at_once(void **state)
{
    struct fixture *f = *state;
    start_login(f);
    start(f);
    assert_true(wait_until(is_inhibited, f));
    bus_settle(f->bus);
    service_emit(&f->login, "PrepareForSleep", g_variant_new("(b)", TRUE));
    assert_true(wait_until(is_let_go, f));
    told(f, "machine active\nmachine away\n");
}

static void no_bus_at_all_is_no_harm(void **state)
{
    struct fixture *f = *state;
    f->activity = bk_activity_new(f->engine.engine, f->settings, NULL, NULL, NULL);
    bk_activity_touched(f->activity);
    bk_activity_look(f->activity);
    told(f, "machine active\n");
}

int main(void)
{
#define ON_BUS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ON_BUS(an_idle_monitor_tells_when_limits_are_passed),
        ON_BUS(other_limits_count_at_once),
        ON_BUS(a_monitor_that_comes_late_or_again_is_used),
        ON_BUS(a_screen_saver_is_asked_for_seconds_and_kdes_for_milliseconds),
        ON_BUS(a_locked_screen_is_away_at_once_and_back_when_unlocked),
        ON_BUS(a_screen_locked_before_the_start_counts),
        ON_BUS(without_any_helper_our_own_windows_count),
        ON_BUS(sleep_waits_until_away_is_published_and_waking_asks_for_the_network),
        ON_BUS(sleep_does_not_wait_for_a_server_that_does_not_answer),
        ON_BUS(who_is_not_signed_in_sleeps_at_once),
        ON_BUS(no_bus_at_all_is_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
