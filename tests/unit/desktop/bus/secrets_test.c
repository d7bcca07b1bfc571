/* SPDX-License-Identifier: Apache-2.0 */
/* The guard of the saved key against gnome-keyring itself, and against a store that never answers. */
#include "bus_test.h"
#include "desktop/secrets.h"
#include "fakes/folder.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#define ANN "ann@example.org"

enum { PATIENCE_MS = 20000 };

static char *home;
static GSubprocess *keyring;
static GDBusConnection *bus;

static int set_up(void **state)
{
    (void)state;
    home = g_dir_make_tmp("bk-secrets-XXXXXX", NULL);
    assert_non_null(home);
    bus_start();
    bus = bus_connect();
    return 0;
}

static void stop_keyring(void)
{
    if (!keyring)
        return;
    g_subprocess_force_exit(keyring);
    (void)g_subprocess_wait(keyring, NULL, NULL);
    g_clear_object(&keyring);
}

static int tear_down(void **state)
{
    (void)state;
    stop_keyring();
    (void)g_dbus_connection_close_sync(bus, NULL, NULL);
    g_clear_object(&bus);
    bus_stop();
    (void)folder_remove(home);
    g_clear_pointer(&home, g_free);
    return 0;
}

static void on_name(GDBusConnection *connection, const char *name, const char *owner, gpointer data)
{
    (void)connection, (void)name, (void)owner;
    *(bool *)data = true;
}

static bool is_true(void *ctx)
{
    return *(bool *)ctx;
}

/* gnome-keyring with a private home, its login keyring opened with this password. False: not installed. */
static bool start_keyring(const char *password)
{
    static const char *const folders[] = { "HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME",
                                           "XDG_CACHE_HOME", "XDG_RUNTIME_DIR" };
    g_autofree char *program = g_find_program_in_path("gnome-keyring-daemon");
    if (!program)
        return false;
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(
        G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_SILENCE |
        G_SUBPROCESS_FLAGS_STDERR_SILENCE);
    for (gsize i = 0; i < G_N_ELEMENTS(folders); i++)
        g_subprocess_launcher_setenv(launcher, folders[i], home, TRUE);
    keyring = g_subprocess_launcher_spawn(launcher, NULL, program, "--foreground", "--unlock",
                                          "--components=secrets", NULL);
    assert_non_null(keyring);
    GOutputStream *to = g_subprocess_get_stdin_pipe(keyring);
    assert_true(g_output_stream_write_all(to, password, strlen(password), NULL, NULL, NULL));
    assert_true(g_output_stream_close(to, NULL, NULL));
    bool there = false;
    guint watch = g_bus_watch_name_on_connection(
        bus, "org.freedesktop.secrets", G_BUS_NAME_WATCHER_FLAGS_NONE, on_name, NULL, &there, NULL);
    assert_true(wait_until(is_true, &there));
    g_bus_unwatch_name(watch);
    return true;
}

static void lock_all(void)
{
    g_autoptr(GVariant) answer = bus_call(
        bus, "org.freedesktop.secrets", "/org/freedesktop/secrets",
        "org.freedesktop.Secret.Service", "Lock",
        g_variant_new_parsed("([objectpath '/org/freedesktop/secrets/collection/login'],)"));
    assert_non_null(answer);
}

static void what_was_put_is_there_again_until_it_is_dropped(void **state)
{
    (void)state;
    if (!start_keyring("door"))
        skip();
    struct bk_secrets *secrets = bk_secrets_create(home, PATIENCE_MS);
    struct bk_client_guard guard = bk_secrets_guard(secrets);
    uint8_t secret[BK_CLIENT_SECRET_SIZE], other[BK_CLIENT_SECRET_SIZE], got[BK_CLIENT_SECRET_SIZE];
    memset(secret, 0xa7, sizeof secret);
    memset(other, 0x01, sizeof other);
    assert_int_equal(guard.get(guard.ctx, ANN, got), -ENOENT);
    assert_int_equal(guard.put(guard.ctx, ANN, secret), 0);
    assert_int_equal(guard.put(guard.ctx, "bob@example.org", other), 0);
    assert_int_equal(guard.get(guard.ctx, ANN, got), 0);
    assert_memory_equal(got, secret, sizeof got);
    assert_int_equal(guard.put(guard.ctx, ANN, other), 0); /* replaces */

    stop_keyring(); /* another life of the store, and another of the program */
    assert_true(start_keyring("door"));
    assert_int_equal(guard.get(guard.ctx, ANN, got), 0);
    assert_memory_equal(got, other, sizeof got);
    secrets = bk_secrets_destroy(secrets);
    secrets = bk_secrets_create(home, PATIENCE_MS);
    guard = bk_secrets_guard(secrets);
    assert_int_equal(guard.get(guard.ctx, ANN, got), 0);

    assert_int_equal(guard.drop(guard.ctx, ANN), 1);
    assert_int_equal(guard.drop(guard.ctx, ANN), 0);
    assert_int_equal(guard.get(guard.ctx, ANN, got), -ENOENT);
    assert_int_equal(guard.get(guard.ctx, "bob@example.org", got), 0);
    bk_secrets_destroy(secrets);
}

static void another_profile_has_secrets_of_its_own(void **state)
{
    (void)state;
    if (!start_keyring("door"))
        skip();
    struct bk_secrets *one = bk_secrets_create(home, PATIENCE_MS);
    struct bk_secrets *two = bk_secrets_create("/nowhere", PATIENCE_MS);
    struct bk_client_guard a = bk_secrets_guard(one), b = bk_secrets_guard(two);
    uint8_t secret[BK_CLIENT_SECRET_SIZE] = { 1 };
    assert_int_equal(a.put(a.ctx, ANN, secret), 0);
    assert_int_equal(b.get(b.ctx, ANN, secret), -ENOENT);
    assert_int_equal(b.drop(b.ctx, ANN), 0);
    assert_int_equal(a.get(a.ctx, ANN, secret), 0);
    bk_secrets_destroy(one);
    bk_secrets_destroy(two);
}

static void a_locked_store_refuses_at_once_and_asks_nobody(void **state)
{
    (void)state;
    if (!start_keyring("door"))
        skip();
    struct bk_secrets *secrets = bk_secrets_create(home, PATIENCE_MS);
    struct bk_client_guard guard = bk_secrets_guard(secrets);
    uint8_t secret[BK_CLIENT_SECRET_SIZE] = { 1 };
    assert_int_equal(guard.put(guard.ctx, ANN, secret), 0);
    lock_all();
    assert_int_equal(guard.get(guard.ctx, ANN, secret), -EACCES);
    assert_int_equal(guard.put(guard.ctx, "bob@example.org", secret), -EACCES);
    assert_int_equal(guard.drop(guard.ctx, ANN), -EACCES);
    stop_keyring();
    assert_true(start_keyring("door"));
    assert_int_equal(guard.get(guard.ctx, ANN, secret), 0);
    bk_secrets_destroy(secrets);
}

static void without_a_store_that_is_said_at_once(void **state)
{
    (void)state;
    struct bk_secrets *secrets = bk_secrets_create(home, PATIENCE_MS);
    struct bk_client_guard guard = bk_secrets_guard(secrets);
    uint8_t secret[BK_CLIENT_SECRET_SIZE] = { 1 };
    assert_int_equal(guard.get(guard.ctx, ANN, secret), -ENOTSUP);
    assert_int_equal(guard.put(guard.ctx, ANN, secret), -ENOTSUP);
    assert_int_equal(guard.drop(guard.ctx, ANN), -ENOTSUP);
    bk_secrets_destroy(secrets);
}

/* On GDBus's thread. */
static GDBusMessage *swallow(GDBusConnection *from, GDBusMessage *message, gboolean incoming,
                             gpointer data)
{
    (void)from, (void)data;
    if (!incoming || g_dbus_message_get_message_type(message) != G_DBUS_MESSAGE_TYPE_METHOD_CALL)
        return message;
    g_object_unref(message);
    return NULL;
}

/* Somebody has the name and answers nothing. */
static void a_store_that_is_silent_costs_one_deadline_and_then_nothing(void **state)
{
    (void)state;
    g_autoptr(GVariant) owned =
        bus_call(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                 "RequestName", g_variant_new("(su)", "org.freedesktop.secrets", 4u));
    assert_non_null(owned);
    guint filter = g_dbus_connection_add_filter(bus, swallow, NULL, NULL);
    struct bk_secrets *secrets = bk_secrets_create(home, 100);
    struct bk_client_guard guard = bk_secrets_guard(secrets);
    uint8_t secret[BK_CLIENT_SECRET_SIZE] = { 1 };
    assert_int_equal(guard.get(guard.ctx, ANN, secret), -ETIMEDOUT);
    secrets = bk_secrets_destroy(secrets);

    /* Who did not answer is not asked again for a while, although it would be known at once by now. */
    secrets = bk_secrets_create(home, 100);
    guard = bk_secrets_guard(secrets);
    assert_int_equal(guard.put(guard.ctx, ANN, secret), -ETIMEDOUT);
    g_autoptr(GVariant) released =
        bus_call(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                 "ReleaseName", g_variant_new("(s)", "org.freedesktop.secrets"));
    assert_non_null(released);
    g_dbus_connection_remove_filter(bus, filter);
    assert_int_equal(guard.get(guard.ctx, ANN, secret), -ETIMEDOUT);
    bk_secrets_destroy(secrets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_put_is_there_again_until_it_is_dropped, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(another_profile_has_secrets_of_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_locked_store_refuses_at_once_and_asks_nobody, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(without_a_store_that_is_said_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_store_that_is_silent_costs_one_deadline_and_then_nothing,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
