/* SPDX-License-Identifier: Apache-2.0 */
/* The whole server in this process, on a disk that stops answering. */
#include "base/cleanup.h"
#include "base/text.h"
#include "net/loop.h"
#include "server/run.h"
#include "tests/contract/fault_vfs.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
/* after those it needs */
#include <cmocka.h>

static char dir[64];

static void path_of(const char *name, char ret[128])
{
    snprintf(ret, 128, "%s/%s", dir, name);
}

static void write_file(const char *name, struct bk_view text)
{
    char path[128];
    path_of(name, path);
    assert_int_equal(bk_file_replace(path, text, 0600), 0);
}

/* An organisation, its authority, the server's certificate and settings, as beckonctl init makes them. */
static void found(void)
{
    struct bk_buf key = { 0 }, cert = { 0 }, own_key = { 0 }, own_cert = { 0 }, text = { 0 };
    struct bk_view name = BK_VIEW("localhost");
    struct bk_authority *authority;
    struct bk_store *store;
    const char *why = NULL;
    char path[128];
    int64_t now = bk_clock_real_ms(&bk_clock_system);

    path_of("beckon.db", path);
    struct bk_store_config config = { .path = path };
    assert_int_equal(bk_store_open(&config, &store, &why), 0);
    assert_int_equal(bk_authority_make(BK_VIEW("example.org"), now, &key, &cert), 0);
    struct bk_store_batch *batch = bk_store_batch_create();
    struct bk_tenant tenant = { .name = BK_VIEW("main"), .plan = BK_VIEW("standard") };
    bk_store_put_tenant(batch, &tenant);
    bk_store_put_domain(batch, BK_VIEW("example.org"), BK_VIEW("main"));
    bk_store_put_secret(batch, BK_VIEW("authority.key"), bk_buf_view(&key));
    bk_store_put_secret(batch, BK_VIEW("authority.crt"), bk_buf_view(&cert));
    assert_int_equal(bk_store_commit(store, batch, NULL, NULL), 0);
    bk_store_close(store);

    assert_int_equal(bk_authority_load(bk_buf_view(&key), bk_buf_view(&cert), &authority, &why), 0);
    assert_int_equal(
        bk_authority_server_certificate(authority, &name, 1, now, 30, &own_key, &own_cert), 0);
    bk_authority_destroy(authority);
    write_file("server.key", bk_buf_view(&own_key));
    write_file("server.crt", bk_buf_view(&own_cert));
    bk_buf_addf(&text,
                "[server]\nname = localhost\nadmin-socket = %s/admin\n[listen]\ntls = 127.0.0.1:0\n"
                "[tls]\ncertificate = %s/server.crt\nkey = %s/server.key\n"
                "[store]\npath = %s/beckon.db\n",
                dir, dir, dir, dir);
    write_file("beckond.conf", bk_buf_view(&text));
    bk_buf_finish(&key);
    bk_buf_finish(&cert);
    bk_buf_finish(&own_key);
    bk_buf_finish(&own_cert);
    bk_buf_finish(&text);
}

static int admin_connect(void)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    snprintf(at.sun_path, sizeof at.sun_path, "%s/admin", dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static bool is_suspended(struct bk_store *store)
{
    struct bk_arena arena = { 0 };
    struct bk_tenant tenant;
    bool suspended = bk_store_tenant_by_name(store, BK_VIEW("main"), &arena, &tenant) == 0 &&
                     tenant.state == BK_TENANT_SUSPENDED;
    bk_arena_finish(&arena);
    return suspended;
}

static void a_stop_does_not_wait_for_a_disk_that_stalls(void **state)
{
    (void)state;
    static const char ask[] =
        "{\"op\":\"tenant.set\",\"args\":{\"name\":\"main\",\"state\":\"suspended\"}}\n";
    struct bk_settings settings;
    struct bk_loop *loop;
    struct bk_run *run;
    char path[128], *why = NULL;

    path_of("beckond.conf", path);
    assert_int_equal(bk_settings_load(path, &settings, &why), 0);
    assert_int_equal(bk_loop_create(NULL, &loop), 0);
    assert_int_equal(bk_run_start(loop, &settings, NULL, &run, &why), 0);
    for (int i = 0; i < 20; i++) /* what the start itself writes */
        bk_loop_step(loop, 10);
    int fd = admin_connect();
    fault_arm(FAULT_SYNC, FAULT_STALL, 1, true);
    assert_int_equal(write(fd, ask, sizeof ask - 1), (ssize_t)(sizeof ask - 1));
    while (!fault_seen())
        bk_loop_step(loop, 10);
    bk_run_destroy(run); /* what the writer has under way would call what is gone now */
    bk_loop_destroy(loop);
    bk_settings_finish(&settings);
    assert_true(fault_disarm());
    char answer[16];
    assert_int_equal(read(fd, answer, sizeof answer), 0); /* nothing was acknowledged */
    close(fd);

    struct bk_store *store;
    path_of("beckon.db", path);
    struct bk_store_config config = { .path = path };
    int r;
    while ((r = bk_store_open(&config, &store, NULL)) == -EBUSY)
        poll(NULL, 0, 1);
    assert_int_equal(r, 0);
    assert_true(is_suspended(store)); /* the disk came back, the write went through */
    bk_store_close(store);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/beckon-run-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    fault_vfs_install();
    found();
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = { "beckon.db",      "beckon.db-wal", "beckon.db-shm",
                                         "beckon.db.lock", "server.key",    "server.crt",
                                         "beckond.conf",   "admin" };
    char path[128];
    (void)state;
    fault_vfs_uninstall();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        path_of(names[i], path);
        unlink(path);
    }
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_stop_does_not_wait_for_a_disk_that_stalls, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
