/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/activity.h"

#include "desktop/x11_idle.h"

#include <gio/gunixfdlist.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <unistd.h>

enum { LOOK_AGAIN_MS = 5000, SLEEP_WAITS_MS = 2000, MINUTE_MS = 60000 };

#define LOGIND "org.freedesktop.login1"
#define LOGIND_PATH "/org/freedesktop/login1"
#define LOGIND_MANAGER "org.freedesktop.login1.Manager"

/* Who may know about idle time or the lock, best first. */
static const struct helper_kind {
    const char *name, *path, *interface;
    enum { MONITOR = 1, SAVER = 2, LOCK = 4 } does;
} kinds[] = {
    { "org.gnome.Mutter.IdleMonitor", "/org/gnome/Mutter/IdleMonitor/Core",
      "org.gnome.Mutter.IdleMonitor", MONITOR },
    { "org.cinnamon.Muffin.IdleMonitor", "/org/cinnamon/Muffin/IdleMonitor/Core",
      "org.cinnamon.Muffin.IdleMonitor", MONITOR },
    { "org.freedesktop.ScreenSaver", "/org/freedesktop/ScreenSaver", "org.freedesktop.ScreenSaver",
      SAVER | LOCK },
    { "org.mate.ScreenSaver", "/org/mate/ScreenSaver", "org.mate.ScreenSaver", SAVER | LOCK },
    { "org.xfce.ScreenSaver", "/org/xfce/ScreenSaver", "org.xfce.ScreenSaver", SAVER | LOCK },
    { "org.gnome.ScreenSaver", "/org/gnome/ScreenSaver", "org.gnome.ScreenSaver", LOCK },
    { "org.cinnamon.ScreenSaver", "/org/cinnamon/ScreenSaver", "org.cinnamon.ScreenSaver", LOCK },
};
enum { KINDS = G_N_ELEMENTS(kinds) };

/* KDE's org.freedesktop.ScreenSaver counts milliseconds where the others count seconds. */
#define KDE_SCREEN_SAVER "org.kde.screensaver"

struct helper {
    BkActivity *activity;
    const struct helper_kind *kind;
    guint name_watch, signals;
    GCancellable *present; /* of calls to the one that is there now; NULL: nobody is */
    gboolean knows_idle, locked;
    guint idle_watches[2], active_watch; /* MONITOR: what it was asked to tell */
};

struct _BkActivity {
    GObject parent;
    BkEngine *engine;
    BkSettings *settings;
    GDBusConnection *session, *system;
    struct helper helpers[KINDS];
    struct helper *source;       /* of the idle time; NULL: the display or our own windows */
    struct bk_x11_idle *display; /* NULL: none that knows */
    guint kde_watch;
    gboolean is_kde;

    gint64 input_us; /* when the last input was, by the monotonic clock */
    guint timer;     /* looks again */
    enum bk_pidf_machine told;
    gboolean has_told, sleeping;

    guint sleep_signal, login_watch, sleep_timer;
    GCancellable *login; /* of calls to logind; NULL: it is not there */
    int delay_fd;        /* keeps the computer awake until AWAY is published; -1: none */
};
G_DEFINE_FINAL_TYPE(BkActivity, bk_activity, G_TYPE_OBJECT)

static void set_timer(BkActivity *activity);

/* ---- what it comes to ---- */

static gint64 inactive_ms(BkActivity *activity)
{
    return (gint64)bk_settings_int(activity->settings, BK_SETTING_INACTIVE_MIN) * MINUTE_MS;
}

static gint64 away_ms(BkActivity *activity)
{
    return inactive_ms(activity) +
           (gint64)bk_settings_int(activity->settings, BK_SETTING_AWAY_MIN) * MINUTE_MS;
}

static gint64 idle_ms(BkActivity *activity)
{
    return (g_get_monotonic_time() - activity->input_us) / 1000;
}

static gboolean is_locked(BkActivity *activity)
{
    for (int i = 0; i < KINDS; i++)
        if (activity->helpers[i].locked)
            return TRUE;
    return FALSE;
}

static enum bk_pidf_machine judge(BkActivity *activity)
{
    gint64 idle = idle_ms(activity);
    if (activity->sleeping || is_locked(activity) || idle >= away_ms(activity))
        return BK_PIDF_MACHINE_AWAY;
    return idle >= inactive_ms(activity) ? BK_PIDF_MACHINE_INACTIVE : BK_PIDF_MACHINE_ACTIVE;
}

static void tell(BkActivity *activity)
{
    enum bk_pidf_machine machine = judge(activity);
    if (!activity->has_told || machine != activity->told)
        (void)bk_engine_set_machine(activity->engine, machine);
    activity->told = machine;
    activity->has_told = TRUE;
    set_timer(activity);
}

static void idle_for(BkActivity *activity, gint64 ms)
{
    activity->input_us = g_get_monotonic_time() - ms * 1000;
    tell(activity);
}

/* ---- asking ---- */

static struct helper *best_source(BkActivity *activity)
{
    for (int i = 0; i < KINDS; i++)
        if (activity->helpers[i].present && activity->helpers[i].knows_idle)
            return &activity->helpers[i];
    return NULL;
}

static void watch_idle(struct helper *helper);

static void choose_source(BkActivity *activity)
{
    struct helper *best = best_source(activity);
    if (best == activity->source)
        return;
    activity->source = best;
    if (!best && activity->display)
        bk_x11_idle_ask(activity->display);
    if (best && best->kind->does & MONITOR)
        watch_idle(best);
}

static void call(struct helper *helper, const char *method, GVariant *parameters,
                 GAsyncReadyCallback done, gpointer data)
{
    g_dbus_connection_call(helper->activity->session, helper->kind->name, helper->kind->path,
                           helper->kind->interface, method, parameters, NULL,
                           G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, helper->present, done, data);
}

/* False: cancelled, and whoever asked may be gone. *ret NULL: an error. */
static gboolean finish_call(GObject *bus, GAsyncResult *result, const char *type, GVariant **ret)
{
    g_autoptr(GError) error = NULL;
    GVariant *answer = g_dbus_connection_call_finish(G_DBUS_CONNECTION(bus), result, &error);
    if (!answer && g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return FALSE;
    if (answer && !g_variant_is_of_type(answer, G_VARIANT_TYPE(type)))
        g_clear_pointer(&answer, g_variant_unref);
    *ret = answer;
    return TRUE;
}

static void on_idle_time(GObject *bus, GAsyncResult *result, gpointer data)
{
    struct helper *helper = data;
    gboolean is_monitor = (helper->kind->does & MONITOR) != 0;
    g_autoptr(GVariant) answer = NULL;
    if (!finish_call(bus, result, is_monitor ? "(t)" : "(u)", &answer))
        return;
    helper->knows_idle = answer != NULL;
    choose_source(helper->activity);
    if (!answer || helper != helper->activity->source)
        return;
    guint64 ms = 0;
    guint32 n = 0;
    if (is_monitor) {
        g_variant_get(answer, "(t)", &ms);
    } else {
        g_variant_get(answer, "(u)", &n);
        ms = helper->activity->is_kde ? n : (guint64)n * 1000;
    }
    idle_for(helper->activity, (gint64)MIN(ms, (guint64)G_MAXINT32 * 1000));
}

static void ask_idle_time(struct helper *helper)
{
    call(helper, helper->kind->does & MONITOR ? "GetIdletime" : "GetSessionIdleTime", NULL,
         on_idle_time, helper);
}

static gboolean look_again(gpointer self)
{
    BkActivity *activity = self;
    activity->timer = 0;
    bk_activity_look(activity);
    return G_SOURCE_REMOVE;
}

/* The next moment at which something may be another; monitors tell by themselves. */
static void set_timer(BkActivity *activity)
{
    g_clear_handle_id(&activity->timer, g_source_remove);
    struct helper *source = activity->source;
    if (source && source->kind->does & MONITOR)
        return;
    gint64 idle = idle_ms(activity), next;
    if (idle < inactive_ms(activity))
        next = inactive_ms(activity) - idle;
    else if (idle < away_ms(activity))
        next = away_ms(activity) - idle;
    else
        next = G_MAXINT32;
    /* Who is away is back with the first input, which nobody tells: it is looked for. */
    if ((source || activity->display) && idle >= inactive_ms(activity))
        next = LOOK_AGAIN_MS;
    if (next < G_MAXINT32)
        activity->timer = g_timeout_add((guint)MAX(next, 50), look_again, activity);
}

void bk_activity_look(BkActivity *activity)
{
    if (activity->source)
        ask_idle_time(activity->source);
    else if (activity->display)
        bk_x11_idle_ask(activity->display);
    else
        tell(activity);
}

static void on_display_idle(void *self, int64_t ms)
{
    BkActivity *activity = self;
    if (ms < 0)
        activity->display = bk_x11_idle_destroy(activity->display);
    if (ms < 0)
        tell(activity);
    else if (!activity->source)
        idle_for(activity, ms);
}

/* ---- monitors ---- */

struct watch_call {
    struct helper *helper;
    guint *to;
};

static void on_watch(GObject *bus, GAsyncResult *result, gpointer data)
{
    struct watch_call *watch = data;
    g_autoptr(GVariant) answer = NULL;
    if (finish_call(bus, result, "(u)", &answer) && answer)
        g_variant_get(answer, "(u)", watch->to);
    g_free(watch);
}

static void add_watch(struct helper *helper, const char *method, GVariant *parameters, guint *to)
{
    struct watch_call watch = { helper, to };
    call(helper, method, parameters, on_watch, g_memdup2(&watch, sizeof watch));
}

static void drop_watch(struct helper *helper, guint *watch)
{
    if (*watch)
        call(helper, "RemoveWatch", g_variant_new("(u)", *watch), NULL, NULL);
    *watch = 0;
}

static void watch_idle(struct helper *helper)
{
    BkActivity *activity = helper->activity;
    const gint64 after[] = { inactive_ms(activity), away_ms(activity) };
    for (gsize i = 0; i < G_N_ELEMENTS(after); i++) {
        drop_watch(helper, &helper->idle_watches[i]);
        add_watch(helper, "AddIdleWatch", g_variant_new("(t)", (guint64)after[i]),
                  &helper->idle_watches[i]);
    }
    drop_watch(helper, &helper->active_watch);
    add_watch(helper, "AddUserActiveWatch", NULL, &helper->active_watch);
}

static void on_monitor_fired(struct helper *helper, guint id)
{
    BkActivity *activity = helper->activity;
    if (helper != activity->source || !id)
        return;
    if (id == helper->active_watch) {
        helper->active_watch = 0; /* it fires once */
        idle_for(activity, 0);
    } else if (id == helper->idle_watches[0]) {
        idle_for(activity, inactive_ms(activity));
    } else if (id == helper->idle_watches[1]) {
        idle_for(activity, away_ms(activity));
    } else {
        return;
    }
    if (!helper->active_watch && idle_ms(activity) >= inactive_ms(activity))
        add_watch(helper, "AddUserActiveWatch", NULL, &helper->active_watch);
}

/* ---- screen savers ---- */

static void set_locked(struct helper *helper, gboolean locked)
{
    if (helper->locked == locked)
        return;
    helper->locked = locked;
    if (!locked) /* whoever unlocked it is here */
        helper->activity->input_us = g_get_monotonic_time();
    tell(helper->activity);
}

static void on_lock_state(GObject *bus, GAsyncResult *result, gpointer data)
{
    g_autoptr(GVariant) answer = NULL;
    gboolean active = FALSE;
    if (!finish_call(bus, result, "(b)", &answer) || !answer)
        return;
    g_variant_get(answer, "(b)", &active);
    set_locked(data, active);
}

static void on_signal(GDBusConnection *bus, const char *sender, const char *path,
                      const char *interface, const char *signal, GVariant *parameters,
                      gpointer data)
{
    (void)bus, (void)sender, (void)path, (void)interface;
    struct helper *helper = data;
    if (g_str_equal(signal, "WatchFired") &&
        g_variant_is_of_type(parameters, G_VARIANT_TYPE("(u)"))) {
        guint id;
        g_variant_get(parameters, "(u)", &id);
        on_monitor_fired(helper, id);
    } else if (g_str_equal(signal, "ActiveChanged") &&
               g_variant_is_of_type(parameters, G_VARIANT_TYPE("(b)"))) {
        gboolean active;
        g_variant_get(parameters, "(b)", &active);
        set_locked(helper, active);
    }
}

/* ---- who comes and goes ---- */

static void forget_helper(struct helper *helper)
{
    if (helper->present)
        g_cancellable_cancel(helper->present);
    g_clear_object(&helper->present);
    helper->knows_idle = FALSE;
    helper->idle_watches[0] = helper->idle_watches[1] = helper->active_watch = 0;
}

static void on_helper(GDBusConnection *bus, const char *name, const char *owner, gpointer data)
{
    (void)bus, (void)name, (void)owner;
    struct helper *helper = data;
    forget_helper(helper);
    helper->present = g_cancellable_new();
    if (helper->kind->does & (MONITOR | SAVER))
        ask_idle_time(helper);
    if (helper->kind->does & LOCK)
        call(helper, "GetActive", NULL, on_lock_state, helper);
}

/* A screen saver that crashed while it locked the screen leaves nobody away for ever. */
static void on_helper_gone(GDBusConnection *bus, const char *name, gpointer data)
{
    (void)bus, (void)name;
    struct helper *helper = data;
    BkActivity *activity = helper->activity;
    forget_helper(helper);
    helper->locked = FALSE;
    choose_source(activity);
    tell(activity);
}

static void on_kde(GDBusConnection *bus, const char *name, const char *owner, gpointer self)
{
    (void)bus, (void)name, (void)owner;
    BK_ACTIVITY(self)->is_kde = TRUE;
    bk_activity_look(self);
}

static void on_no_kde(GDBusConnection *bus, const char *name, gpointer self)
{
    (void)bus, (void)name;
    BK_ACTIVITY(self)->is_kde = FALSE;
}

static void watch_session(BkActivity *activity)
{
    activity->kde_watch = g_bus_watch_name_on_connection(activity->session, KDE_SCREEN_SAVER,
                                                         G_BUS_NAME_WATCHER_FLAGS_NONE, on_kde,
                                                         on_no_kde, activity, NULL);
    for (int i = 0; i < KINDS; i++) {
        struct helper *helper = &activity->helpers[i];
        helper->signals = g_dbus_connection_signal_subscribe(
            activity->session, kinds[i].name, kinds[i].interface, NULL, kinds[i].path, NULL,
            G_DBUS_SIGNAL_FLAGS_NONE, on_signal, helper, NULL);
        helper->name_watch = g_bus_watch_name_on_connection(
            activity->session, kinds[i].name, G_BUS_NAME_WATCHER_FLAGS_NONE, on_helper,
            on_helper_gone, helper, NULL);
    }
}

/* ---- suspend ---- */

static void let_sleep(BkActivity *activity)
{
    g_clear_handle_id(&activity->sleep_timer, g_source_remove);
    if (activity->delay_fd >= 0)
        (void)g_close(activity->delay_fd, NULL);
    activity->delay_fd = -1;
}

static void on_delay(GObject *bus, GAsyncResult *result, gpointer self)
{
    BkActivity *activity = self;
    g_autoptr(GError) error = NULL;
    g_autoptr(GUnixFDList) fds = NULL;
    g_autoptr(GVariant) answer = g_dbus_connection_call_with_unix_fd_list_finish(
        G_DBUS_CONNECTION(bus), &fds, result, &error);
    if (!answer || !fds || g_unix_fd_list_get_length(fds) < 1)
        return; /* not allowed: then AWAY goes out as fast as it can */
    let_sleep(activity);
    if (!activity->sleeping)
        activity->delay_fd = g_unix_fd_list_get(fds, 0, NULL);
}

static void ask_delay(BkActivity *activity)
{
    if (activity->login && activity->delay_fd < 0)
        g_dbus_connection_call_with_unix_fd_list(
            activity->system, LOGIND, LOGIND_PATH, LOGIND_MANAGER, "Inhibit",
            g_variant_new("(ssss)", "sleep", "Beckon",
                          _("Others are told that you are away before the computer sleeps"),
                          "delay"),
            G_VARIANT_TYPE("(h)"), G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, NULL, activity->login,
            on_delay, activity);
}

static gboolean sleep_late(gpointer self)
{
    BK_ACTIVITY(self)->sleep_timer = 0;
    let_sleep(self);
    return G_SOURCE_REMOVE;
}

/* The server told us our own state: it has it. */
static void on_presence(BkActivity *activity, const struct bk_client_event *event)
{
    if (activity->sleeping && event->presence.own &&
        event->presence.shown != BK_PIDF_SHOWN_AVAILABLE &&
        event->presence.shown != BK_PIDF_SHOWN_AVAILABLE_INACTIVE)
        let_sleep(activity);
}

static void on_sleep(GDBusConnection *bus, const char *sender, const char *path,
                     const char *interface, const char *signal, GVariant *parameters, gpointer self)
{
    (void)bus, (void)sender, (void)path, (void)interface, (void)signal;
    BkActivity *activity = self;
    gboolean begins;
    if (!g_variant_is_of_type(parameters, G_VARIANT_TYPE("(b)")))
        return;
    g_variant_get(parameters, "(b)", &begins);
    gboolean was_away = activity->has_told && activity->told == BK_PIDF_MACHINE_AWAY;
    activity->sleeping = begins;
    if (!begins) {
        (void)bk_engine_network_changed(activity->engine);
        ask_delay(activity);
        activity->input_us = g_get_monotonic_time(); /* somebody woke it */
    }
    tell(activity);
    if (!begins)
        bk_activity_look(activity);
    else if (was_away || bk_engine_state(activity->engine) != BK_CLIENT_SIGNED_IN)
        let_sleep(activity); /* nothing to publish */
    else if (activity->delay_fd >= 0 && !activity->sleep_timer)
        activity->sleep_timer = g_timeout_add(SLEEP_WAITS_MS, sleep_late, activity);
}

static void on_login(GDBusConnection *bus, const char *name, const char *owner, gpointer self)
{
    (void)bus, (void)name, (void)owner;
    BkActivity *activity = self;
    if (!activity->login)
        activity->login = g_cancellable_new();
    ask_delay(activity);
}

static void forget_login(BkActivity *activity)
{
    if (activity->login)
        g_cancellable_cancel(activity->login);
    g_clear_object(&activity->login);
    let_sleep(activity);
}

static void on_no_login(GDBusConnection *bus, const char *name, gpointer self)
{
    (void)bus, (void)name;
    forget_login(self);
}

static void watch_system(BkActivity *activity)
{
    activity->sleep_signal = g_dbus_connection_signal_subscribe(
        activity->system, LOGIND, LOGIND_MANAGER, "PrepareForSleep", LOGIND_PATH, NULL,
        G_DBUS_SIGNAL_FLAGS_NONE, on_sleep, activity, NULL);
    activity->login_watch =
        g_bus_watch_name_on_connection(activity->system, LOGIND, G_BUS_NAME_WATCHER_FLAGS_NONE,
                                       on_login, on_no_login, activity, NULL);
}

/* ---- the object ---- */

void bk_activity_touched(BkActivity *activity)
{
    activity->input_us = g_get_monotonic_time();
    if (activity->told != BK_PIDF_MACHINE_ACTIVE || !activity->source)
        tell(activity);
}

enum bk_pidf_machine bk_activity_machine(BkActivity *activity)
{
    return activity->told;
}

static void limits_changed(BkActivity *activity)
{
    if (activity->source && activity->source->kind->does & MONITOR)
        watch_idle(activity->source);
    bk_activity_look(activity);
}

static void dispose(GObject *object)
{
    BkActivity *activity = BK_ACTIVITY(object);
    g_clear_handle_id(&activity->timer, g_source_remove);
    activity->display = bk_x11_idle_destroy(activity->display);
    g_clear_handle_id(&activity->kde_watch, g_bus_unwatch_name);
    g_clear_handle_id(&activity->login_watch, g_bus_unwatch_name);
    for (int i = 0; i < KINDS; i++) {
        struct helper *helper = &activity->helpers[i];
        g_clear_handle_id(&helper->name_watch, g_bus_unwatch_name);
        if (helper->signals)
            g_dbus_connection_signal_unsubscribe(activity->session, helper->signals);
        helper->signals = 0;
        forget_helper(helper);
    }
    if (activity->sleep_signal)
        g_dbus_connection_signal_unsubscribe(activity->system, activity->sleep_signal);
    activity->sleep_signal = 0;
    forget_login(activity);
    if (activity->engine)
        g_signal_handlers_disconnect_by_data(activity->engine, activity);
    if (activity->settings)
        g_signal_handlers_disconnect_by_data(activity->settings, activity);
    g_clear_object(&activity->engine);
    g_clear_object(&activity->settings);
    g_clear_object(&activity->session);
    g_clear_object(&activity->system);
    G_OBJECT_CLASS(bk_activity_parent_class)->dispose(object);
}

static void bk_activity_class_init(BkActivityClass *class)
{
    G_OBJECT_CLASS(class)->dispose = dispose;
}

static void bk_activity_init(BkActivity *activity)
{
    activity->delay_fd = -1;
    activity->told = BK_PIDF_MACHINE_ACTIVE;
    activity->input_us = g_get_monotonic_time();
    for (int i = 0; i < KINDS; i++) {
        activity->helpers[i].activity = activity;
        activity->helpers[i].kind = &kinds[i];
    }
}

BkActivity *bk_activity_new(BkEngine *engine, BkSettings *settings, GDBusConnection *connection,
                            GDBusConnection *system, const char *display)
{
    BkActivity *activity = g_object_new(BK_TYPE_ACTIVITY, NULL);
    activity->engine = g_object_ref(engine);
    activity->settings = g_object_ref(settings);
    g_set_object(&activity->session, connection);
    g_set_object(&activity->system, system);
    g_signal_connect_swapped(engine, "event::presence", G_CALLBACK(on_presence), activity);
    g_autofree char *inactive =
        g_strdup_printf("changed::%s", bk_setting_key(BK_SETTING_INACTIVE_MIN));
    g_autofree char *away = g_strdup_printf("changed::%s", bk_setting_key(BK_SETTING_AWAY_MIN));
    g_signal_connect_swapped(settings, inactive, G_CALLBACK(limits_changed), activity);
    g_signal_connect_swapped(settings, away, G_CALLBACK(limits_changed), activity);
    tell(activity);
    if (display)
        activity->display = bk_x11_idle_create(display, on_display_idle, activity);
    if (activity->display)
        bk_x11_idle_ask(activity->display);
    if (activity->session)
        watch_session(activity);
    if (activity->system)
        watch_system(activity);
    return activity;
}
