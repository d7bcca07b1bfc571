/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdlib.h>

/* Under AddressSanitizer what was not handed out is poisoned, as it would be behind malloc. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define WITH_ASAN 1
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
enum { GAP = 16 };
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
enum { GAP = 0 };
#endif

enum {
    ALIGN = _Alignof(max_align_t),
    BLOCK_MIN = 2048,      /* the head included: most SIP messages stay in one */
    BLOCK_MAX = 64 * 1024, /* doubling ends here; a larger one only for a single larger thing */
};

struct bk_arena_block {
    struct bk_arena_block *next;
    size_t size, used; /* of bytes[] */
    _Alignas(max_align_t) char bytes[];
};

static void block_free(struct bk_arena_block *block)
{
    ASAN_UNPOISON_MEMORY_REGION(block->bytes, block->size);
    free(block);
}

static struct bk_arena_block *block_add(struct bk_arena *arena, size_t size)
{
    size_t whole = BLOCK_MIN;
    if (arena->blocks)
        whole = (arena->blocks->size + sizeof(struct bk_arena_block)) * 2;
    if (whole > BLOCK_MAX)
        whole = BLOCK_MAX;
    if (whole < size + sizeof(struct bk_arena_block))
        whole = size + sizeof(struct bk_arena_block);

    struct bk_arena_block *block = malloc(whole);
    if (!block)
        return NULL;
    block->size = whole - sizeof *block;
    block->used = 0;
    block->next = arena->blocks;
    arena->blocks = block;
    ASAN_POISON_MEMORY_REGION(block->bytes, block->size);
    return block;
}

void *bk_arena_alloc(struct bk_arena *arena, size_t size)
{
    if (size > SIZE_MAX / 4)
        return NULL;
    size_t step = (size + GAP + ALIGN - 1) / ALIGN * ALIGN;
    struct bk_arena_block *block = arena->blocks;
    if (!block || block->size - block->used < step)
        block = block_add(arena, step);
    if (!block)
        return NULL;
    char *at = block->bytes + block->used;
    block->used += step;
    arena->used += size;
    ASAN_UNPOISON_MEMORY_REGION(at, size);
    return memset(at, 0, size);
}

struct bk_view bk_arena_copy(struct bk_arena *arena, struct bk_view v)
{
    char *at = v.len && v.len < SIZE_MAX ? bk_arena_alloc(arena, v.len + 1) : NULL;
    if (!at)
        return (struct bk_view){ NULL, 0 };
    memcpy(at, v.at, v.len);
    return (struct bk_view){ at, v.len };
}

void bk_arena_clear(struct bk_arena *arena)
{
    struct bk_arena_block *keep = NULL, *next;
    for (struct bk_arena_block *block = arena->blocks; block; block = next) {
        next = block->next;
        bool better = !keep || block->size > keep->size;
        if (block->size + sizeof *block > BLOCK_MAX || !better) {
            block_free(block);
            continue;
        }
        if (keep)
            block_free(keep);
        keep = block;
    }
    if (keep) {
        keep->next = NULL;
        keep->used = 0;
        ASAN_POISON_MEMORY_REGION(keep->bytes, keep->size);
    }
    arena->blocks = keep;
    arena->used = 0;
}

void bk_arena_finish(struct bk_arena *arena)
{
    struct bk_arena_block *next;
    for (struct bk_arena_block *block = arena->blocks; block; block = next) {
        next = block->next;
        block_free(block);
    }
    *arena = (struct bk_arena){ 0 };
}
