/* SPDX-License-Identifier: Apache-2.0 */
/* tests/contract/store_fixture.h - a store in one of its shapes, and waiting for its callbacks. */
#ifndef BK_TESTS_STORE_FIXTURE_H
#define BK_TESTS_STORE_FIXTURE_H

#include "store/store.h"

#include <pthread.h>

struct shape {
    const char *name;
    bool file, threaded;
};

struct fixture {
    const struct shape *shape;
    char dir[64], path[96];
    struct bk_store *store;
    struct bk_store_config config;
    struct bk_arena arena;
    int64_t mono_ms, real_ms; /* what the store's clock says */
    struct bk_clock clock;
};

extern const char *fixture_base; /* where the directories are made, "/tmp" */

/* Makes the directory and opens the store; fails the test where that fails. */
struct fixture *fixture_create(const struct shape *shape);
struct fixture *fixture_destroy(struct fixture *f);
void fixture_open(struct fixture *f);
/* Closes and opens again; what is in memory goes through a crash image. */
void fixture_reopen(struct fixture *f);
/* As a power cut. */
void fixture_crash(struct fixture *f);

/* Commits and waits for the callback; returns what commit or else the callback said. */
int fixture_commit(struct fixture *f, struct bk_store_batch *batch);

/* A counter that callbacks raise and a test waits for. */
struct tally {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int n, last;
};
void tally_init(struct tally *t);
void tally_done(void *tally, int result); /* as callback of bk_store_commit */
/* Pumps or waits until n callbacks came; a minute at most, then the test fails. */
void tally_wait(struct tally *t, struct fixture *f, int n);
int tally_count(struct tally *t);

#endif
