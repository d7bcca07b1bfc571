/* SPDX-License-Identifier: Apache-2.0 */
/* base/arena.h - many small things that die together. */
#ifndef BK_BASE_ARENA_H
#define BK_BASE_ARENA_H

#include "base/view.h"

struct bk_arena_block;

/* {0} is an empty arena. All memory from it lives until bk_arena_clear or bk_arena_finish. */
struct bk_arena {
    struct bk_arena_block *blocks;
    size_t used; /* bytes handed out since the last clear */
};

/* Zeroed, aligned for any type. NULL: out of memory. */
void *bk_arena_alloc(struct bk_arena *arena, size_t size);
/* Copies; {NULL,0} when out of memory (or when v was empty). A NUL stands behind the copy. */
struct bk_view bk_arena_copy(struct bk_arena *arena, struct bk_view v);
/* Forgets everything, keeps one block for the next round. */
void bk_arena_clear(struct bk_arena *arena);
void bk_arena_finish(struct bk_arena *arena);

#endif
