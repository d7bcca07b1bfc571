/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

static int64_t mono(void *ctx)
{
    return ((struct world *)ctx)->mono_ms;
}

static int64_t real(void *ctx)
{
    return ((struct world *)ctx)->real_ms;
}

static void done(void *ctx, int result)
{
    *(int *)ctx = result;
}

void world_commit(struct world *world, struct bk_store_batch *batch)
{
    int result = 1;
    assert_int_equal(bk_store_commit(world->store, batch, done, &result), 0);
    bk_store_pump(world->store);
    assert_int_equal(result, 0);
}

static void put_user(struct world *world, int64_t tenant, const char *address, const char *username,
                     bool enabled, bool licensed)
{
    struct bk_user user = { .tenant_id = tenant,
                            .address = bk_view_of_str(address),
                            .username = bk_view_of_str(username),
                            .display_name = bk_view_of_str(address),
                            .enabled = enabled,
                            .licensed = licensed,
                            .created_at = world->real_ms };
    WORLD_PUT(world, bk_store_put_user(batch, &user));
}

void world_make(struct world *world)
{
    struct bk_arena arena = { 0 };
    *world = (struct world){ .mono_ms = 1000000, .real_ms = (int64_t)WORLD_START_S * 1000 };
    world->clock = (struct bk_clock){ mono, real, world };
    world->random = bk_random_from_seed(&world->seeded, 1);
    struct bk_store_config config = { .clock = &world->clock };
    assert_int_equal(bk_store_open(&config, &world->store, NULL), 0);

    struct bk_tenant example = { .name = BK_VIEW("example"), .plan = BK_VIEW("standard") };
    struct bk_tenant ended = { .name = BK_VIEW("ended"),
                               .ends_at = world->real_ms - 10LL * 86400 * 1000,
                               .grace_ms = 5LL * 86400 * 1000 };
    WORLD_PUT(world, bk_store_put_tenant(batch, &example), bk_store_put_tenant(batch, &ended),
              bk_store_put_domain(batch, BK_VIEW("example.org"), BK_VIEW("example")),
              bk_store_put_domain(batch, BK_VIEW("example.net"), BK_VIEW("example")),
              bk_store_put_domain(batch, BK_VIEW("ended.example"), BK_VIEW("ended")));
    struct bk_tenant row;
    assert_int_equal(bk_store_tenant_by_name(world->store, BK_VIEW("example"), &arena, &row), 0);
    put_user(world, row.id, "ann@example.org", "", true, true);
    put_user(world, row.id, "bob@example.org", "", false, true);
    put_user(world, row.id, "cat@example.org", "", true, false);
    put_user(world, row.id, "dan@example.org", "dan.k@corp.example", true, true);
    assert_int_equal(bk_store_tenant_by_name(world->store, BK_VIEW("ended"), &arena, &row), 0);
    put_user(world, row.id, "eve@ended.example", "", true, true);
    bk_arena_finish(&arena);
    world_reload(world);
}

void world_end(struct world *world)
{
    world->directory = bk_directory_unref(world->directory);
    world->store = bk_store_close(world->store);
}

void world_reload(struct world *world)
{
    bk_directory_unref(world->directory);
    assert_int_equal(bk_directory_load(world->store, &world->directory), 0);
}

void world_user(struct world *world, const char *address, struct bk_arena *arena,
                struct bk_user *ret)
{
    assert_int_equal(bk_store_user(world->store, bk_view_of_str(address), arena, ret), 0);
}

void world_policy(struct world *world, const char *scope, const char *name, const char *key,
                  const char *value)
{
    struct bk_policy_value row = { bk_view_of_str(scope), bk_view_of_str(name), bk_view_of_str(key),
                                   bk_view_of_str(value) };
    WORLD_PUT(world, bk_store_put_policy(batch, &row));
    world_reload(world);
}

static void copy(char *to, size_t size, struct bk_view v)
{
    snprintf(to, size, "%.*s", BK_VIEW_ARGS(v));
}

static bool signin(void *ctx, const struct bk_signin *row)
{
    struct kept *k = ctx;
    if (k->rows++ == 0) {
        k->count = row->count;
        k->ok = row->ok;
        k->status = row->status;
        k->diagnostics = row->diagnostics;
        k->ended_at = row->ended_at;
        copy(k->record, sizeof k->record, row->record);
        copy(k->case_code, sizeof k->case_code, row->case_code);
        copy(k->detail, sizeof k->detail, row->detail);
        copy(k->ip, sizeof k->ip, row->ip);
        copy(k->address, sizeof k->address, row->address);
        copy(k->road, sizeof k->road, row->road);
    }
    return true;
}

void world_signins(struct world *world, const char *address, const char *case_code,
                   struct kept *ret)
{
    struct bk_arena arena = { 0 };
    *ret = (struct kept){ 0 };
    bk_store_pump(world->store);
    bk_store_signins(world->store, bk_view_of_str(address), bk_view_of_str(case_code), 10000,
                     &arena, signin, ret);
    bk_arena_finish(&arena);
}
