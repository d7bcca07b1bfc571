/* SPDX-License-Identifier: Apache-2.0 */
/* What the store on disk survives: failing writes and syncs, a full disk, power cuts, kill -9, damage. */
#include "base/cleanup.h"
#include "fault_vfs.h"
#include "store/store_private.h"
#include "store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
/* after those it needs */
#include <cmocka.h>

static const struct shape pumped = { "file, pumped", true, false };
static const struct shape threaded = { "file, threaded", true, true };

static struct bk_view v(const char *text)
{
    return bk_view_of_str(text);
}

/* ---- the ledger: batch i writes two messages, and whoever sees one must see the other ---- */
enum { LEDGER_MAX = 4096 };
struct ledger {
    int n;
    bool acknowledged[LEDGER_MAX];
};
struct entry {
    struct ledger *ledger;
    int i;
    int *ret_result;
};

static void acknowledge(void *entry, int result)
{
    struct entry *e = entry;
    e->ledger->acknowledged[e->i] = result == 0;
    if (e->ret_result)
        *e->ret_result = result;
    free(e);
}

static struct bk_store_batch *two_messages(int i, size_t bytes)
{
    char key[16];
    snprintf(key, sizeof key, "%d", i);
    char *body = calloc(1, bytes + 1);
    assert_non_null(body);
    memset(body, 'a' + i % 26, bytes);
    struct bk_store_batch *b = bk_store_batch_create();
    static const char *const to[] = { "left@x", "right@x" };
    for (size_t k = 0; k < 2; k++)
        bk_store_put_offline(
            b, &(struct bk_offline_message){
                   .rcpt = v(to[k]), .key = v(key), .body = { body, bytes }, .at = i });
    free(body);
    return b;
}

/* Hands over the next batch; -1 where that is refused at once. */
static int write_next(struct fixture *f, struct ledger *l, size_t bytes, int *ret_result)
{
    struct entry *e = malloc(sizeof *e);
    assert_non_null(e);
    assert_true(l->n < LEDGER_MAX);
    *e = (struct entry){ l, l->n++, ret_result };
    int r = bk_store_commit(f->store, two_messages(e->i, bytes), acknowledge, e);
    if (r < 0)
        free(e);
    return r;
}

static int write_and_pump(struct fixture *f, struct ledger *l, size_t bytes)
{
    int result = 1;
    assert_int_equal(write_next(f, l, bytes, &result), 0);
    assert_int_equal(bk_store_pump(f->store), 1);
    assert_in_range(-result, 0, 200); /* it was called back */
    return result;
}

static void verify(struct fixture *f, const struct ledger *l)
{
    for (int i = 0; i < l->n; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        int left = bk_store_message_key(f->store, v("left@x"), v(key));
        int right = bk_store_message_key(f->store, v("right@x"), v(key));
        if (left != right)
            fail_msg("batch %d is there by half: %d %d", i, left, right);
        if (left != 0 && left != -ENOENT)
            fail_msg("batch %d cannot be read: %d", i, left);
        if (l->acknowledged[i] && left != 0)
            fail_msg("batch %d was acknowledged and is lost", i);
    }
    assert_int_equal(bk_store_check(f->store, NULL), 0);
}

/* Opens under faults: an error must be one with a text, and then it opens once the disk is well. */
static void open_anyhow(struct fixture *f)
{
    const char *why = NULL;
    int r = bk_store_open(&f->config, &f->store, &why);
    if (r == 0)
        return;
    assert_non_null(why);
    assert_int_not_equal(r, -EILSEQ); /* a failing disk is not a damaged database */
    fault_disarm();
    fixture_open(f);
}

/* ---- the n-th write or sync fails ---- */
struct failing {
    unsigned ops;
    enum fault_kind kind;
    bool stays;
    int expected; /* what writers are told */
};

static void survive_from(struct failing how, size_t bytes, int batches, long stride)
{
    long n = 1, rounds = 0;
    for (bool touched = true; touched; n += 1 + (stride ? n / stride : 0), rounds++) {
        struct ledger l = { 0 };
        struct fixture *f = fixture_create(&pumped);
        assert_int_equal(write_and_pump(f, &l, bytes), 0);
        f->store = bk_store_close(f->store);

        fault_arm(how.ops, how.kind, n, how.stays);
        open_anyhow(f);
        for (int i = 0; i < batches; i++) {
            int r = write_and_pump(f, &l, bytes);
            if (r != 0)
                assert_int_equal(r, how.expected);
            assert_int_equal(bk_store_health(f->store), r);
        }
        verify(f, &l); /* reading goes on */
        touched = fault_disarm();
        /* Well again: the next one succeeds. */
        assert_int_equal(write_and_pump(f, &l, bytes), 0);
        assert_int_equal(bk_store_health(f->store), 0);
        verify(f, &l);
        /* Closing under faults loses nothing either. */
        fault_arm(how.ops, how.kind, n, how.stays);
        f->store = bk_store_close(f->store);
        touched = fault_disarm() || touched;
        fixture_open(f);
        verify(f, &l);
        fixture_destroy(f);
    }
    assert_true(rounds > 3);
}

static void any_single_failing_write_is_survived(void **state)
{
    (void)state;
    survive_from((struct failing){ FAULT_WRITE, FAULT_IO, false, -EIO }, 100, 4, 0);
}

static void writes_that_fail_for_good_are_survived_from_any_point(void **state)
{
    (void)state;
    survive_from((struct failing){ FAULT_WRITE, FAULT_IO, true, -EIO }, 100, 4, 0);
}

static void any_single_failing_sync_is_survived(void **state)
{
    (void)state;
    survive_from((struct failing){ FAULT_SYNC, FAULT_IO, false, -EIO }, 100, 6, 0);
}

static void syncs_that_fail_for_good_are_survived_from_any_point(void **state)
{
    (void)state;
    survive_from((struct failing){ FAULT_SYNC, FAULT_IO, true, -EIO }, 100, 6, 0);
}

static void a_full_disk_is_survived_from_any_point(void **state)
{
    (void)state;
    survive_from((struct failing){ FAULT_WRITE, FAULT_FULL, true, -ENOSPC }, 100, 4, 0);
}

static void a_disk_turned_read_only_is_survived_from_any_point(void **state)
{
    (void)state;
    survive_from((struct failing){ FAULT_WRITE | FAULT_SYNC, FAULT_READONLY, true, -EROFS }, 100, 4,
                 0);
}

/* With bodies so large that the log is copied into the database on the way. */
static void faults_while_the_log_is_copied_are_survived(void **state)
{
    (void)state;
    survive_from((struct failing){ FAULT_WRITE, FAULT_FULL, true, -ENOSPC }, 500000, 5, 2);
    survive_from((struct failing){ FAULT_SYNC, FAULT_IO, false, -EIO }, 500000, 5, 0);
}

/* ---- health ---- */

static void health_comes_back_without_traffic(void **state)
{
    (void)state;
    struct ledger l = { 0 };
    struct fixture *f = fixture_create(&pumped);
    assert_int_equal(bk_store_health(f->store), 0);
    fault_arm(FAULT_WRITE, FAULT_FULL, 1, true);
    assert_int_equal(write_and_pump(f, &l, 10), -ENOSPC);
    assert_int_equal(bk_store_health(f->store), -ENOSPC);
    f->mono_ms += 5000;
    assert_int_equal(bk_store_pump(f->store), 0);
    assert_int_equal(bk_store_health(f->store), -ENOSPC); /* still full */
    fault_disarm();
    assert_int_equal(bk_store_pump(f->store), 0);
    assert_int_equal(bk_store_health(f->store), -ENOSPC); /* asked a moment ago */
    f->mono_ms += 1000;
    assert_int_equal(bk_store_pump(f->store), 0);
    assert_int_equal(bk_store_health(f->store), 0);
    verify(f, &l);
    fixture_destroy(f);
}

static void health_comes_back_without_traffic_on_the_writer_thread(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(&threaded);
    fault_arm(FAULT_SYNC, FAULT_IO, 1, true);
    assert_int_equal(fixture_commit(f, two_messages(1, 10)), -EIO);
    assert_int_equal(bk_store_health(f->store), -EIO);
    fault_disarm();
    for (int i = 0; i < 6000 && bk_store_health(f->store) != 0; i++)
        poll(NULL, 0, 10);
    assert_int_equal(bk_store_health(f->store), 0);
    assert_int_equal(fixture_commit(f, two_messages(1, 10)), 0);
    fixture_destroy(f);
}

static void reads_that_fail_are_told_as_such(void **state)
{
    (void)state;
    struct ledger l = { 0 };
    struct fixture *f = fixture_create(&pumped);
    assert_int_equal(write_and_pump(f, &l, 10000), 0);
    f->store = bk_store_close(f->store);
    fixture_open(f);
    int64_t n, bytes;
    fault_arm(FAULT_READ, FAULT_IO, 1, true);
    assert_int_equal(bk_store_offline_count(f->store, v("left@x"), &n, &bytes), -EIO);
    fault_disarm();
    assert_int_equal(bk_store_offline_count(f->store, v("left@x"), &n, &bytes), 0);
    assert_int_equal(n, 1);
    fixture_destroy(f);
}

/* ---- power ---- */

static void power_cut_at_the_nth(unsigned ops, long n, uint64_t seed, bool with_failing_sync,
                                 bool *ret_touched)
{
    struct ledger l = { 0 };
    struct fixture *f = fixture_create(&pumped);
    *ret_touched = false;
    for (int cut = 0; cut < 2; cut++) {
        for (int i = 0; i < 2; i++)
            assert_int_equal(write_and_pump(f, &l, 3000), 0);
        if (with_failing_sync) { /* first a sync fails, then the power */
            fault_arm(FAULT_SYNC, FAULT_IO, 1 + cut, false);
            write_and_pump(f, &l, 3000);
            write_and_pump(f, &l, 3000);
            fault_disarm();
        }
        fault_arm(ops, FAULT_IO, n, true); /* from here on nothing reaches the disk */
        for (int i = 0; i < 3; i++)
            write_and_pump(f, &l, 3000);
        f->store = bk_store_crash(f->store, NULL);
        *ret_touched = fault_disarm() || *ret_touched;
        fault_power_cut(seed + (uint64_t)cut);
        fixture_open(f);
        verify(f, &l);
        /* Two in a row, so that recovery is recovered from as well. */
    }
    fixture_destroy(f);
}

static void a_power_cut_loses_nothing_acknowledged(void **state)
{
    (void)state;
    bool touched = true;
    for (long n = 1; touched; n++)
        for (uint64_t seed = 0; seed < 3; seed++)
            power_cut_at_the_nth(FAULT_WRITE | FAULT_SYNC, n, seed * 1000003 + (uint64_t)n, false,
                                 &touched);
}

static void a_power_cut_after_a_failed_sync_loses_nothing_acknowledged(void **state)
{
    (void)state;
    bool touched = true;
    for (long n = 1; touched; n++)
        for (uint64_t seed = 0; seed < 2; seed++)
            power_cut_at_the_nth(FAULT_WRITE | FAULT_SYNC, n, seed * 1000003 + (uint64_t)n, true,
                                 &touched);
}

static void a_new_store_cut_off_while_it_is_made_opens(void **state)
{
    (void)state;
    bool touched = true;
    for (long n = 1; touched; n++) {
        struct ledger l = { 0 };
        struct fixture *f = fixture_create(&pumped);
        f->store = bk_store_close(f->store);
        unlink(f->path);
        fault_arm(FAULT_WRITE | FAULT_SYNC, FAULT_IO, n, true);
        if (bk_store_open(&f->config, &f->store, NULL) == 0)
            f->store = bk_store_crash(f->store, NULL);
        touched = fault_disarm();
        fault_power_cut((uint64_t)n);
        fixture_open(f);
        assert_int_equal(write_and_pump(f, &l, 10), 0);
        verify(f, &l);
        fixture_destroy(f);
    }
}

/* ---- migrations ---- */

enum { MIGRATIONS_MAX = 64 };

static int next_version(void)
{
    return (int)bk_store_n_migrations + 1;
}

static const char next_migration[] =
    "CREATE TABLE later (k TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL) STRICT;"
    "INSERT INTO later SELECT key, length(value) FROM settings;"
    "ALTER TABLE settings ADD COLUMN changed_at INTEGER NOT NULL DEFAULT 0;"
    "DELETE FROM settings WHERE key = 'gone';";

static pid_t fork_child(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* it never outlives a test that failed */
    return pid;
}

/* A child opens the old store with one migration more; 0 done, 9 killed. */
static int migrate_in_child(const struct fixture *f, long die_at)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        fault_arm(FAULT_WRITE | FAULT_SYNC, FAULT_EXIT, die_at, false);
        struct bk_migration all[MIGRATIONS_MAX];
        if (bk_store_n_migrations >= MIGRATIONS_MAX)
            _exit(1);
        memcpy(all, bk_store_migrations, bk_store_n_migrations * sizeof *all);
        all[bk_store_n_migrations] = (struct bk_migration){ next_version(), next_migration };
        struct bk_store_conn *conn = NULL;
        const char *why = NULL;
        if (bk_store_conn_open(f->path, BK_CONN_WRITER, (struct bk_view){ 0 }, &conn, &why) < 0 ||
            bk_store_conn_migrate(conn, all, bk_store_n_migrations + 1, 0, &why) < 0)
            _exit(1);
        bk_store_conn_close(conn);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int ask_number(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    int n = -1;
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW)
        n = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return n;
}

static void a_migration_killed_midway_leaves_the_old_data_readable(void **state)
{
    (void)state;
    int status = 9, killed = 0;
    for (long n = 1; status == 9; n++) {
        struct fixture *f = fixture_create(&pumped);
        struct bk_store_batch *b = bk_store_batch_create();
        bk_store_put_setting(b, v("kept"), v("12345"));
        bk_store_put_setting(b, v("gone"), v("1"));
        assert_int_equal(fixture_commit(f, b), 0);
        f->store = bk_store_close(f->store);

        status = migrate_in_child(f, n);
        assert_int_not_equal(status, 1);
        killed += status == 9;
        int version = ask_number(f->path, "SELECT max(version) FROM schema_version");
        if (version < next_version()) {
            assert_int_equal(version, next_version() - 1);
            /* As if nothing had happened: today's program opens it. */
            fixture_open(f);
            struct bk_view value;
            assert_int_equal(bk_store_setting(f->store, v("kept"), &f->arena, &value), 0);
            assert_int_equal(bk_store_setting(f->store, v("gone"), &f->arena, &value), 0);
            f->store = bk_store_close(f->store);
            assert_int_equal(ask_number(f->path, "SELECT count(*) FROM sqlite_schema"
                                                 " WHERE name = 'later'"),
                             0);
            assert_int_equal(migrate_in_child(f, 0), 0); /* and it can be done again */
        }
        assert_int_equal(ask_number(f->path, "SELECT max(version) FROM schema_version"),
                         next_version());
        assert_int_equal(ask_number(f->path, "SELECT n FROM later WHERE k = 'kept'"), 5);
        assert_int_equal(ask_number(f->path, "SELECT count(*) FROM settings"), 1);
        fixture_destroy(f);
    }
    assert_true(killed > 5);
}

/* ---- what is not ours to open ---- */

static void assert_refused(struct fixture *f, int expected, const char *word)
{
    const char *why = NULL;
    struct bk_store *store = NULL;
    int r = bk_store_open(&f->config, &store, &why);
    assert_null(store);
    assert_int_equal(r, expected);
    assert_non_null(why);
    if (!strstr(why, word))
        fail_msg("\"%s\" does not say \"%s\"", why, word);
}

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    char *error = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s", error);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_newer_a_foreign_and_a_used_database_are_refused(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(&pumped);
    assert_refused(f, -EBUSY, "another process");
    f->store = bk_store_close(f->store);
    run_sql(f->path, "INSERT INTO schema_version SELECT max(version) + 1, 0 FROM schema_version");
    assert_refused(f, -EILSEQ, "newer");
    assert_int_equal(ask_number(f->path, "SELECT count(*) FROM settings"), 0); /* left alone */
    run_sql(f->path, "DELETE FROM schema_version WHERE version ="
                     " (SELECT max(version) FROM schema_version); PRAGMA application_id = 7");
    assert_refused(f, -EILSEQ, "other program");

    unlink(f->path);
    run_sql(f->path, "CREATE TABLE recipes (id)");
    assert_refused(f, -EILSEQ, "other program");
    assert_int_equal(ask_number(f->path, "SELECT count(*) FROM sqlite_schema"), 1);

    unlink(f->path);
    FILE *garbage = fopen(f->path, "w");
    assert_non_null(garbage);
    for (int i = 0; i < 5000; i++)
        fputc(i * 7 & 0xff, garbage);
    fclose(garbage);
    assert_refused(f, -EILSEQ, "damaged");
    unlink(f->path);
    f->config.path = "/nowhere/at/all";
    assert_refused(f, -ENOENT, "/nowhere");
    f->config.path = f->path;
    fixture_open(f);
    fixture_destroy(f);
}

static void another_process_is_kept_out_until_the_first_is_gone(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(&pumped);
    f->store = bk_store_close(f->store);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        struct bk_store *store;
        int r = bk_store_open(&f->config, &store, NULL);
        if (write(ready[1], &r, sizeof r) != sizeof r)
            _exit(1);
        for (;;)
            pause();
    }
    int r = -1;
    assert_int_equal(read(ready[0], &r, sizeof r), sizeof r);
    assert_int_equal(r, 0);
    assert_refused(f, -EBUSY, "another process");
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    fixture_open(f);
    close(ready[0]);
    close(ready[1]);
    fixture_destroy(f);
}

static void the_files_are_for_the_owner_alone(void **state)
{
    (void)state;
    mode_t before = umask(0);
    struct fixture *f = fixture_create(&pumped);
    struct ledger l = { 0 };
    assert_int_equal(write_and_pump(f, &l, 10), 0);
    char backup[128];
    snprintf(backup, sizeof backup, "%s.backup", f->path);
    assert_int_equal(bk_store_backup(f->store, backup), 0);
    static const char *const ends[] = { "", "-wal", "-shm", ".lock", ".backup" };
    for (size_t i = 0; i < BK_COUNT_OF(ends); i++) {
        char name[128];
        struct stat st;
        snprintf(name, sizeof name, "%s%s", f->path, ends[i]);
        assert_int_equal(stat(name, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    fixture_destroy(f);
    umask(before);
}

static void flip(const char *path, off_t at)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    unsigned char bytes[64];
    assert_int_equal(pread(fd, bytes, sizeof bytes, at), sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] ^= 0xa5;
    assert_int_equal(pwrite(fd, bytes, sizeof bytes, at), sizeof bytes);
    close(fd);
}

static void a_damaged_page_is_recognised_at_the_start(void **state)
{
    (void)state;
    /* The head of each page: of the schema, of tables, of indexes. */
    for (off_t page = 0; page < 30; page += 3) {
        struct fixture *f = fixture_create(&pumped);
        struct ledger l = { 0 };
        for (int i = 0; i < 10; i++)
            assert_int_equal(write_and_pump(f, &l, 1000), 0);
        f->store = bk_store_close(f->store);
        struct stat st;
        assert_int_equal(stat(f->path, &st), 0);
        assert_true(st.st_size >= 31 * 4096);
        flip(f->path, page * 4096 + (page == 0 ? 100 : 0));
        assert_refused(f, -EILSEQ, "restore a backup");
        unlink(f->path);
        fixture_open(f);
        fixture_destroy(f);
    }
}

static bool see_signin(void *to, const struct bk_signin *s)
{
    *(struct bk_signin *)to = *s;
    return true;
}

/* Past the size that is checked at the start, damage is told by whoever meets it. */
static void damage_in_a_large_file_is_told_where_it_is_met(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(&pumped);
    struct ledger l = { 0 };
    for (int i = 0; i < 10; i++)
        assert_int_equal(write_and_pump(f, &l, 2000000), 0);
    f->store = bk_store_close(f->store);
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    assert_true(st.st_size > 33 << 20);
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT rootpage FROM sqlite_schema WHERE name = 'signins'");
    off_t page = ask_number(f->path, sql);
    assert_true(page > 1);
    flip(f->path, (page - 1) * 4096);
    fixture_open(f);
    struct bk_signin row;
    const char *why = NULL;
    assert_int_equal(bk_store_message_key(f->store, v("left@x"), v("0")), 0);
    assert_int_equal(bk_store_signins(f->store, v(""), v(""), 1, &f->arena, see_signin, &row),
                     -EILSEQ);
    struct bk_store_batch *b = bk_store_batch_create();
    bk_store_put_signin(b, &(struct bk_signin){ .address = v("x") });
    assert_int_equal(fixture_commit(f, b), -EILSEQ);
    assert_int_equal(write_and_pump(f, &l, 10), 0); /* elsewhere work goes on */
    /* Also in the same commit, on either side of the one that met the damage. */
    struct tally t;
    tally_init(&t);
    int before = 1, after = 1;
    assert_int_equal(write_next(f, &l, 10, &before), 0);
    b = bk_store_batch_create();
    bk_store_put_signin(b, &(struct bk_signin){ .address = v("x") });
    assert_int_equal(bk_store_commit(f->store, b, tally_done, &t), 0);
    assert_int_equal(write_next(f, &l, 10, &after), 0);
    assert_int_equal(bk_store_pump(f->store), 3);
    assert_int_equal(before, 0);
    assert_int_equal(t.last, -EILSEQ);
    assert_int_equal(after, 0);
    assert_int_equal(bk_store_health(f->store), 0);
    assert_int_equal(bk_store_check(f->store, &why), -EILSEQ);
    assert_non_null(strstr(why, "damaged"));
    fixture_destroy(f);
}

static void a_torn_log_is_cut_at_the_last_whole_commit(void **state)
{
    (void)state;
    struct ledger l = { 0 };
    struct fixture *f = fixture_create(&pumped);
    char wal[128];
    snprintf(wal, sizeof wal, "%s-wal", f->path);
    struct stat before, after;
    assert_int_equal(write_and_pump(f, &l, 9000), 0);
    assert_int_equal(stat(wal, &before), 0);
    assert_int_equal(write_and_pump(f, &l, 9000), 0);
    assert_int_equal(stat(wal, &after), 0);
    assert_true(after.st_size > before.st_size);
    f->store = bk_store_crash(f->store, NULL);
    assert_int_equal(truncate(wal, after.st_size - 100), 0);
    l.acknowledged[1] =
        false; /* this loss the disk did, not we; whole or absent it must still be */
    fixture_open(f);
    verify(f, &l);
    assert_int_equal(bk_store_message_key(f->store, v("left@x"), v("1")), -ENOENT);
    fixture_destroy(f);
}

/* ---- kill -9 ---- */

static void report_ack(void *fd_and_number, int result)
{
    int *p = fd_and_number;
    if (result == 0 && write(p[0], &p[1], sizeof p[1]) != sizeof p[1])
        _exit(1);
    free(p);
}

/* Writes batches from number `from` on, as fast as they are taken, telling each acknowledgement. */
static void write_until_killed(const struct fixture *f, int from, int ledger_fd)
{
    struct bk_store *store;
    struct bk_store_config config = f->config;
    config.threaded = true;
    config.clock = NULL;
    config.pending_max = 20000;
    if (bk_store_open(&config, &store, NULL) < 0)
        _exit(1);
    for (int i = from;;) {
        int *p = malloc(2 * sizeof *p);
        if (!p)
            _exit(1);
        p[0] = ledger_fd;
        p[1] = i;
        int r = bk_store_commit(store, two_messages(i, 300), report_ack, p);
        if (r < 0)
            free(p);
        else if (++i == LEDGER_MAX)
            for (;;)
                pause();
    }
}

static void kill_at_any_moment_loses_nothing_acknowledged(void **state)
{
    (void)state;
    struct ledger l = { 0 };
    struct fixture *f = fixture_create(&pumped);
    f->store = bk_store_close(f->store);
    uint64_t random = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)random);
    int acknowledged = 0;
    for (int round = 0; round < 20; round++) {
        int ledger[2];
        assert_int_equal(pipe(ledger), 0);
        pid_t pid = fork_child();
        if (pid == 0) {
            close(ledger[0]);
            write_until_killed(f, l.n, ledger[1]);
        }
        close(ledger[1]);
        /* After so many acknowledgements (in the first rounds also before any), and then some microseconds. */
        random = random * 6364136223846793005u + 1442695040888963407u;
        int wait_for = round < 3 ? 0 : (int)(random >> 33) % 120, n;
        for (int i = 0; i < wait_for; i++) {
            assert_int_equal(read(ledger[0], &n, sizeof n), sizeof n);
            l.acknowledged[n] = true;
            acknowledged++;
        }
        for (volatile int spin = (int)(random >> 20) % 2000000; spin > 0; spin--)
            ;
        kill(pid, SIGKILL);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status)); /* not gone by itself, which would be a failed write */
        while (read(ledger[0], &n, sizeof n) == sizeof n) {
            l.acknowledged[n] = true;
            acknowledged++;
        }
        close(ledger[0]);

        fixture_open(f);
        /* Numbers handed over but never acknowledged may be there too: all or nothing up to the last. */
        int last = l.n;
        for (int i = l.n; i < LEDGER_MAX; i++) {
            char key[16];
            snprintf(key, sizeof key, "%d", i);
            if (l.acknowledged[i] || bk_store_message_key(f->store, v("left@x"), v(key)) == 0 ||
                bk_store_message_key(f->store, v("right@x"), v(key)) == 0)
                last = i + 1;
        }
        l.n = last;
        verify(f, &l);
        f->store = bk_store_close(f->store);
    }
    assert_true(acknowledged > 100);
    fixture_destroy(f);
}

static int install(void **state)
{
    (void)state;
    fault_vfs_install();
    return 0;
}

static int uninstall(void **state)
{
    (void)state;
    fault_disarm();
    fault_vfs_uninstall();
    return 0;
}

#define ON_FAULTY_DISK(test) cmocka_unit_test_setup_teardown(test, install, uninstall)

/* ---- a disk that does not answer ---- */

static void who_has_to_end_leaves_a_stalled_disk_behind(void **state)
{
    (void)state;
    struct fixture *f = fixture_create(&threaded);
    struct tally told;
    tally_init(&told);
    fault_arm(FAULT_SYNC, FAULT_STALL, 1, true);
    assert_int_equal(bk_store_commit(f->store, two_messages(1, 10), tally_done, &told), 0);
    while (!fault_seen())
        poll(NULL, 0, 1);
    struct bk_store_stats stats;
    bk_store_stats(f->store, &stats);
    assert_true(stats.busy);
    assert_int_equal(bk_store_commit(f->store, two_messages(2, 10), tally_done, &told), 0);
    bk_store_silence(f->store);
    assert_int_equal(tally_count(&told), 2);
    assert_int_equal(told.last, -ESHUTDOWN);
    assert_int_equal(bk_store_commit(f->store, two_messages(3, 10), tally_done, &told), -ESHUTDOWN);
    f->store = bk_store_leave(f->store);
    assert_true(fault_disarm());
    /* The writer goes on by itself, and closes. */
    int r;
    while ((r = bk_store_open(&f->config, &f->store, NULL)) == -EBUSY)
        poll(NULL, 0, 1);
    assert_int_equal(r, 0);
    assert_int_equal(tally_count(&told), 2);
    fixture_destroy(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_FAULTY_DISK(any_single_failing_write_is_survived),
        ON_FAULTY_DISK(writes_that_fail_for_good_are_survived_from_any_point),
        ON_FAULTY_DISK(any_single_failing_sync_is_survived),
        ON_FAULTY_DISK(syncs_that_fail_for_good_are_survived_from_any_point),
        ON_FAULTY_DISK(a_full_disk_is_survived_from_any_point),
        ON_FAULTY_DISK(a_disk_turned_read_only_is_survived_from_any_point),
        ON_FAULTY_DISK(faults_while_the_log_is_copied_are_survived),
        ON_FAULTY_DISK(health_comes_back_without_traffic),
        ON_FAULTY_DISK(health_comes_back_without_traffic_on_the_writer_thread),
        ON_FAULTY_DISK(reads_that_fail_are_told_as_such),
        ON_FAULTY_DISK(who_has_to_end_leaves_a_stalled_disk_behind),
        ON_FAULTY_DISK(a_power_cut_loses_nothing_acknowledged),
        ON_FAULTY_DISK(a_power_cut_after_a_failed_sync_loses_nothing_acknowledged),
        ON_FAULTY_DISK(a_new_store_cut_off_while_it_is_made_opens),
        ON_FAULTY_DISK(a_migration_killed_midway_leaves_the_old_data_readable),
        cmocka_unit_test(a_newer_a_foreign_and_a_used_database_are_refused),
        cmocka_unit_test(another_process_is_kept_out_until_the_first_is_gone),
        cmocka_unit_test(the_files_are_for_the_owner_alone),
        cmocka_unit_test(a_damaged_page_is_recognised_at_the_start),
        cmocka_unit_test(damage_in_a_large_file_is_told_where_it_is_met),
        cmocka_unit_test(a_torn_log_is_cut_at_the_last_whole_commit),
        cmocka_unit_test(kill_at_any_moment_loses_nothing_acknowledged),
    };
    /* The disk that fails here is the one in fault_vfs.c; below it may be memory, which spares thousands of real syncs. */
    if (access("/dev/shm", W_OK | X_OK) == 0)
        fixture_base = "/dev/shm";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
