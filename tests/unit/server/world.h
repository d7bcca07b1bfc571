/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/server/world.h - an organisation in memory, on a clock that the test moves. */
#ifndef BK_TESTS_SERVER_WORLD_H
#define BK_TESTS_SERVER_WORLD_H

#include "base/random.h"
#include "server/directory.h"
#include "store/store.h"

/*
 * example.org (tenant "example", with example.net) has ann, bob (disabled), cat (no licence) and dan, whose user name is
 * dan.k@corp.example; ended.example ended ten days ago with a grace of five. Nobody has a password yet.
 */
struct world {
    struct bk_store *store;
    struct bk_clock clock;
    int64_t mono_ms, real_ms;
    struct bk_random_seeded seeded;
    struct bk_random random;
    struct bk_directory *directory;
};

enum { WORLD_START_S = 1795325164 }; /* 2026-11-22T05:26:04Z */

void world_make(struct world *world);
void world_end(struct world *world);
/* One batch, committed at once; asserts that it went well. */
#define WORLD_PUT(world, ...)                                                                      \
    do {                                                                                           \
        struct bk_store_batch *batch = bk_store_batch_create();                                    \
        __VA_ARGS__;                                                                               \
        world_commit((world), batch);                                                              \
    } while (0)
void world_commit(struct world *world, struct bk_store_batch *batch);
void world_user(struct world *world, const char *address, struct bk_arena *arena,
                struct bk_user *ret);
void world_policy(struct world *world, const char *scope, const char *name, const char *key,
                  const char *value);
/* Puts the store's state of now into world->directory. */
void world_reload(struct world *world);

struct kept { /* what is asked most about the rows of a case, or of an address */
    int rows;
    int64_t count; /* of the newest row */
    bool ok;
    int status;
    uint32_t diagnostics;
    char record[16], case_code[16], detail[512], ip[64], address[330], road[32];
    int64_t ended_at;
};
void world_signins(struct world *world, const char *address, const char *case_code,
                   struct kept *ret);

#endif
