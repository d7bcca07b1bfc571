/* SPDX-License-Identifier: Apache-2.0 */
/* The people of world_create_organisation, and what tests ask about people. */
#include "tests/fakes/world_private.h"

#include <stdio.h>

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

void world_found_organisation(struct world *world)
{
    struct bk_arena arena = { 0 };
    struct bk_tenant example = { .name = BK_VIEW("example"), .plan = BK_VIEW("standard") };
    struct bk_tenant ended = { .name = BK_VIEW("ended"),
                               .ends_at = world->real_ms - 10LL * 86400 * 1000,
                               .grace_ms = 5LL * 86400 * 1000 };
    WORLD_PUT(world, bk_store_put_tenant(batch, &example), bk_store_put_tenant(batch, &ended),
              bk_store_put_domain(batch, BK_VIEW("example.org"), BK_VIEW("example")),
              bk_store_put_domain(batch, BK_VIEW("example.net"), BK_VIEW("example")),
              bk_store_put_domain(batch, BK_VIEW("ended.example"), BK_VIEW("ended")));
    struct bk_tenant row;
    world_must(bk_store_tenant_by_name(world->store, BK_VIEW("example"), &arena, &row), "tenant");
    put_user(world, row.id, "ann@example.org", "", true, true);
    put_user(world, row.id, "bob@example.org", "", false, true);
    put_user(world, row.id, "cat@example.org", "", true, false);
    put_user(world, row.id, "dan@example.org", "dan.k@corp.example", true, true);
    world_must(bk_store_tenant_by_name(world->store, BK_VIEW("ended"), &arena, &row), "tenant");
    put_user(world, row.id, "eve@ended.example", "", true, true);
    bk_arena_finish(&arena);
}

void world_account(struct world *world, const char *address, struct bk_arena *arena,
                   struct bk_user *ret)
{
    world_must(bk_store_user(world->store, bk_view_of_str(address), arena, ret), address);
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
    struct world_kept *k = ctx;
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
                   struct world_kept *ret)
{
    struct bk_arena arena = { 0 };
    *ret = (struct world_kept){ 0 };
    bk_store_pump(world->store);
    bk_store_signins(world->store, bk_view_of_str(address), bk_view_of_str(case_code), 10000,
                     &arena, signin, ret);
    bk_arena_finish(&arena);
}
