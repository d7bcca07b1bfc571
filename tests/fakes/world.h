/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/fakes/world.h - the server core with a clock, a store, randomness and links that a test holds in its hand.
 * Nothing here waits: time moves when the test says so. Whatever goes wrong in here aborts.
 */
#ifndef BK_TESTS_WORLD_H
#define BK_TESTS_WORLD_H

#include "server/core.h"

#include <stdbool.h>

struct world_link { /* the far end of a link: what the core sent there */
    struct world_link *next;
    struct world *world;
    uint64_t id;
    bool open, paused, known;
    struct bk_buf out; /* everything sent and not yet taken */
    int64_t last_in_ms;
    bool deaf;                                                      /* sends fail */
    void (*arrived)(struct world_link *link, struct bk_view bytes); /* NULL: gather in `out` */
    void *owner;
};

struct world_work;
struct world_config {
    unsigned shards;
    bool bus_always_queues;
    uint64_t seed;
    struct bk_view image;                /* a store that survived; empty: a new one */
    int64_t mono_ms, real_ms;            /* where time begins; 0: somewhere */
    const struct bk_core_limits *limits; /* NULL: the defaults */
    const struct bk_dsk_side *dsk;       /* TLS-DSK is offered with it; NULL: it is not */
};

struct world {
    struct world_config config;
    int64_t mono_ms, real_ms;
    struct bk_clock clock;
    struct bk_random_seeded seeded;
    struct bk_random random;
    struct bk_timers timers;
    struct bk_store *store;
    struct bk_directory *directory;
    struct bk_authority *authority;
    struct bk_history *history;
    struct bk_core *core;
    struct bk_core_limits limits;
    struct world_link *links; /* that are there, the newest first */
    struct world_work *work;  /* what a worker has and did not begin with, oldest first */
    bool hold_work;           /* it does not begin until this is false and the world settles */
    bool hold_commits;        /* the store does not commit until world_commit */
    int commit_result;
};

enum { WORLD_START_S = 1795325164 }; /* 2026-11-22T05:26:04Z */

/* Domain example.org with policy cleartext-signin on. */
struct world *world_create(const struct world_config *config);
/*
 * An organisation without a server: no core, history or authority, no links; time begins at WORLD_START_S.
 * example.org (tenant "example", with example.net) has ann, bob (disabled), cat (no licence) and dan, whose user name is
 * dan.k@corp.example; ended.example, with eve, ended ten days ago with a grace of five. Nobody has a password yet.
 */
struct world *world_create_organisation(void);
/* ann (MD5) and bob (SHA-256) with their passwords; several shards have a bus that always queues. */
struct world *world_create_pair(unsigned shards);
/* Whoever is still connected closes first. NULL is fine. */
void world_destroy(struct world *world);
/* Stops at once: what was not committed is lost. The image of the store is left in *ret_image. */
void world_crash(struct world *world, struct bk_buf *ret_image);

/* ann@example.org with device password "secret"; algorithm "MD5" or "SHA-256". */
void world_user(struct world *world, const char *name, const char *algorithm);
/* Any batch, committed at once. */
void world_commit(struct world *world, struct bk_store_batch *batch);
#define WORLD_PUT(world, ...)                                                                      \
    do {                                                                                           \
        struct bk_store_batch *batch = bk_store_batch_create();                                    \
        __VA_ARGS__;                                                                               \
        world_commit((world), batch);                                                              \
    } while (0)
/* The account of that address as the store has it. */
void world_account(struct world *world, const char *address, struct bk_arena *arena,
                   struct bk_user *ret);
/* Sets a policy and reloads. */
void world_policy(struct world *world, const char *scope, const char *name, const char *key,
                  const char *value);
void world_reload(
    struct world *world); /* the directory, after a change of tenant, domain or policy */
/* Moves time, firing what is due on the way; commits and pumps. */
void world_advance(struct world *world, int64_t ms);
/* Lets everything happen that can happen now. */
void world_settle(struct world *world);

struct world_link *world_connect(struct world *world, enum bk_link_transport transport);
void world_disconnect(struct world_link *link, enum bk_link_end why);
void world_send(struct world_link *link, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The next whole message that arrived, NUL-terminated, good until the next call; NULL: none. */
const char *world_take(struct world_link *link);
/* Value of a header field in such a message, "" where missing; good until the fourth call after it. */
const char *world_field(const char *message, const char *name);
int world_status(const char *message); /* of a response; 0: a request */

struct
    world_kept { /* what is asked most about the rows of a case, or of an address, in the history */
    int rows;
    int64_t count; /* this and the rest: of the newest row */
    bool ok;
    int status;
    uint32_t diagnostics;
    char record[16], case_code[16], detail[512], ip[64], address[330], road[32];
    int64_t ended_at;
};
void world_signins(struct world *world, const char *address, const char *case_code,
                   struct world_kept *ret);

/*
 * REGISTER with Digest, from the challenge to the 200. Returns the final status. endpoint: of +sip.instance; "epid=...": a program of
 * the Lync dialect; "own=...": our own client, which takes sessions of the dialect and single messages.
 */
int world_sign_in(struct world_link *link, const char *name, const char *endpoint, int expires_s);
/* Over TLS, for ten minutes. */
struct world_link *world_signed_in(struct world *world, const char *name, const char *endpoint);
/*
 * Answers a request that arrived at link: Via, From, Call-ID, CSeq and Record-Route as they came, a tag of ours in To. more: further
 * lines, and the body after an empty one; "": neither.
 */
void world_answer(struct world_link *link, const char *request, int status, const char *more);

#endif
