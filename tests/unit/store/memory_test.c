/* SPDX-License-Identifier: Apache-2.0 */
/* The n-th allocation fails, ours or SQLite's, for every n until a run passes untouched. */
#include "store/store.h"

#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* after those it needs */
#include <cmocka.h>

static long left; /* allocations until the one that fails; 0: none will */
static bool happened, counting;

static bool fails_now(void)
{
    if (!counting || left == 0 || --left > 0)
        return false;
    happened = true;
    return true;
}

/* Calls from our objects come here (-Wl,--wrap). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *at, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *at, size_t size);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *at, size_t size)
{
    return fails_now() ? NULL : __real_realloc(at, size);
}

char *__wrap_strdup(const char *text)
{
    return fails_now() ? NULL : __real_strdup(text);
}

/* SQLite's come here. */
static sqlite3_mem_methods below;

static void *sqlite_malloc(int size)
{
    return fails_now() ? NULL : below.xMalloc(size);
}

static void *sqlite_realloc(void *at, int size)
{
    return fails_now() ? NULL : below.xRealloc(at, size);
}

static struct bk_view v(const char *text)
{
    return bk_view_of_str(text);
}

static void note(void *result, int r)
{
    *(int *)result = r;
}

static bool take(void *count, const struct bk_user *u)
{
    (void)u;
    ++*(int *)count;
    return true;
}

/* Everything that is not 0 must be -ENOMEM. Returns whether it was 0. */
static bool fine(int r)
{
    if (r < 0)
        assert_int_equal(r, -ENOMEM);
    return r >= 0;
}

/* One batch; whether it was acknowledged. */
static bool write_one(struct bk_store *store, const char *key, const char *value)
{
    struct bk_store_batch *b = bk_store_batch_create();
    char address[64];
    snprintf(address, sizeof address, "%s@x", key);
    if (b) {
        bk_store_put_tenant(b, &(struct bk_tenant){ .name = v(key) });
        bk_store_put_user(b, &(struct bk_user){ .tenant_id = 1,
                                                .address = v(address),
                                                .display_name = v("a display name") });
        bk_store_put_setting(b, v(key), v(value));
        bk_store_put_offline(
            b, &(struct bk_offline_message){ .rcpt = v(address), .key = v(key), .body = v(value) });
        bk_store_put_signin(b, &(struct bk_signin){ .address = v(address), .record = v("SI-202") });
    }
    int result = 1;
    if (!fine(bk_store_commit(store, b, note, &result)))
        return false;
    assert_int_equal(bk_store_pump(store), 1);
    assert_int_not_equal(result, 1); /* called back */
    return fine(result);
}

static void check_one(struct bk_store *store, const char *key, bool acknowledged)
{
    struct bk_arena arena = { 0 };
    struct bk_view value;
    char address[64];
    snprintf(address, sizeof address, "%s@x", key);
    struct bk_user user;
    int setting = bk_store_setting(store, v(key), &arena, &value);
    int row = bk_store_user(store, v(address), &arena, &user);
    int message = bk_store_message_key(store, v(address), v(key));
    assert_int_equal(setting, acknowledged ? 0 : -ENOENT);
    assert_int_equal(row, setting);
    assert_int_equal(message, setting);
    bk_arena_finish(&arena);
}

/* stride 0: every n; else the steps grow, for what is slow. */
static void survive(const char *path, bool while_opening, long stride)
{
    char image_of_large[3000];
    memset(image_of_large, 'x', sizeof image_of_large - 1);
    image_of_large[sizeof image_of_large - 1] = '\0';
    long n = 1;
    for (happened = true; happened; n += 1 + (stride ? n / stride : 0)) {
        struct bk_store_config config = { .path = path };
        struct bk_store *store = NULL;
        const char *why = NULL;
        happened = false;
        left = n;
        counting = while_opening;
        bool opened = fine(bk_store_open(&config, &store, &why));
        if (!opened) {
            assert_non_null(why);
            assert_null(store);
            assert_true(happened);
            counting = false;
            assert_int_equal(bk_store_open(&config, &store, &why), 0);
        }
        counting = true;
        bool first = write_one(store, "first", "value");
        bool second = write_one(store, "second", image_of_large);
        struct bk_arena arena = { 0 };
        int seen = 0;
        struct bk_user user;
        int r = bk_store_users(store, 0, v(""), v(""), 10, &arena, take, &seen);
        if (fine(r))
            assert_int_equal(r, first + second);
        r = bk_store_user(store, v("second@x"), &arena, &user);
        if (r != -ENOENT || second)
            fine(r);
        bk_arena_finish(&arena);
        counting = false;

        check_one(store, "first", first);
        check_one(store, "second", second);
        assert_true(write_one(store, "third", "value")); /* well again */
        assert_int_equal(bk_store_health(store), 0);

        counting = true;
        store = bk_store_close(store);
        counting = false;
        if (path) {
            assert_int_equal(bk_store_open(&config, &store, &why), 0);
            check_one(store, "first", first);
            check_one(store, "third", true);
            store = bk_store_close(store);
            unlink(path);
        }
    }
    assert_true(n > 100);
}

static void memory_that_runs_out_anywhere_is_survived_in_memory(void **state)
{
    (void)state;
    survive(NULL, false, 0);
    survive(NULL, true, 60);
}

static void memory_that_runs_out_anywhere_is_survived_on_disk(void **state)
{
    (void)state;
    char dir[] = "/tmp/bk-memory-XXXXXX", path[64], lock[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/db", dir);
    snprintf(lock, sizeof lock, "%s/db.lock", dir);
    survive(path, false, 10);
    survive(path, true, 10);
    unlink(lock);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &below);
    sqlite3_mem_methods methods = below;
    methods.xMalloc = sqlite_malloc;
    methods.xRealloc = sqlite_realloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_that_runs_out_anywhere_is_survived_in_memory),
        cmocka_unit_test(memory_that_runs_out_anywhere_is_survived_on_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
