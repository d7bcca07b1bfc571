/* SPDX-License-Identifier: Apache-2.0 */
/* server/admin.h - what an administrator can do, as one table of operations on JSON. */
#ifndef BK_SERVER_ADMIN_H
#define BK_SERVER_ADMIN_H

#include "base/log.h"
#include "base/random.h"
#include "server/directory.h"

#include <jansson.h>

struct bk_core;

/*
 * The same operations whether the server runs (then they come over its socket, and the core hears of
 * each change) or not (then beckonctl opened the store itself). A change is answered only after its commit, and
 * leaves an audit row; secrets reach an operation as hashes only.
 */
struct bk_admin_config {
    struct bk_store *store;
    const struct bk_clock *clock;
    const struct bk_random *random;
    struct bk_core *core; /* NULL: no server runs */
    /* A domain, tenant or policy changed: load the directory anew. NULL: nobody needs it. */
    void (*directory_changed)(void *ctx);
    const struct bk_directory *(*directory)(void *ctx); /* the present one */
    /* What the running server says of itself, an object; NULL: it does not run. */
    json_t *(*status)(void *ctx);
    void *ctx;
};
struct bk_admin;
int bk_admin_create(const struct bk_admin_config *config, struct bk_admin **ret);
struct bk_admin *bk_admin_destroy(struct bk_admin *admin);

/*
 * request: {"op":"user.add","args":{...}}. reply is called once, now or after the commit, and takes the
 * answer over: {"ok":true,"result":...} or {"ok":false,"error":{"code":"exists","text":"...","at":"address"}}.
 * Codes: usage, unknown, exists, missing, invalid, store, busy.
 */
void bk_admin_call(struct bk_admin *admin, const char *actor, const json_t *request,
                   void (*reply)(void *ctx, json_t *answer), void *ctx);

/* Names of operations in their order, NULL behind the last: for help and tests. */
const char *bk_admin_op_name(size_t index);

#endif
