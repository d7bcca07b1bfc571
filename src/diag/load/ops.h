/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diag/load/ops.h - the operations on their way, and how an answer finds its own.
 *
 * An operation lives in a slot. Its requests carry slot and generation in their branch, so an
 * answer needs no look-up, and an answer that comes after its operation ended (the slot has a
 * newer generation by then) is recognised as stray instead of ending somebody else's.
 */
#ifndef BK_DIAG_LOAD_OPS_H
#define BK_DIAG_LOAD_OPS_H

#include "base/view.h"

enum { BK_LOAD_TOKEN_SIZE = 23 };
#define BK_LOAD_OP_NONE UINT32_MAX /* C17 enumerators are ints */

/* Which request of an operation a branch belongs to. A second try has a branch of its own. */
struct bk_load_token {
    uint32_t slot, generation;
    char leg;      /* a letter the owner of the operation gives a meaning to */
    uint8_t tries; /* 0 to 15 */
};

struct bk_load_slot {
    uint32_t generation;
    bool live;
    uint64_t started_ns, deadline_ns;
    uint32_t older, newer; /* the line of live slots, oldest deadline first */
};

/* {0} is empty. The memory is the struct's own, bk_load_ops_finish() frees it. */
struct bk_load_ops {
    struct bk_load_slot *slots;
    uint32_t *idle;
    uint32_t room, idle_count, live_count;
    uint32_t oldest, newest;
};

int bk_load_ops_init(struct bk_load_ops *ops, uint32_t room);
void bk_load_ops_finish(struct bk_load_ops *ops);

/*
 * A free slot, or BK_LOAD_OP_NONE when all are taken. All operations alive at one time must be
 * given the same time-out: the line is kept in the order of taking.
 */
uint32_t bk_load_ops_take(struct bk_load_ops *ops, uint64_t now_ns, uint64_t timeout_ns);
void bk_load_ops_give(struct bk_load_ops *ops, uint32_t slot);
/* The live operation with the earliest deadline, or BK_LOAD_OP_NONE. */
static inline uint32_t bk_load_ops_oldest(const struct bk_load_ops *ops)
{
    return ops->oldest;
}
/* Whether the token's operation is the one that lives in its slot now. */
bool bk_load_ops_is_live(const struct bk_load_ops *ops, const struct bk_load_token *token);

/* The token as text, always BK_LOAD_TOKEN_SIZE - 1 characters and a NUL: "bl" and hexadecimal digits. */
void bk_load_token_write(const struct bk_load_token *token, char ret[BK_LOAD_TOKEN_SIZE]);
/* -EINVAL for whatever bk_load_token_write() cannot have written. */
int bk_load_token_read(struct bk_view text, struct bk_load_token *ret);

#endif
