/* SPDX-License-Identifier: Apache-2.0 */
/* A batch: steps with their values copied, to be run later by the writer. */
#include "store/store_private.h"

#include <assert.h>
#include <stdlib.h>

struct bk_store_batch *bk_store_batch_create(void)
{
    return calloc(1, sizeof(struct bk_store_batch));
}

struct bk_store_batch *bk_store_batch_destroy(struct bk_store_batch *batch)
{
    if (batch) {
        bk_arena_finish(&batch->arena);
        free(batch);
    }
    return NULL;
}

void bk_batch_step(struct bk_store_batch *batch,
                   int (*run)(struct bk_store_conn *conn, const struct bk_value *values),
                   const struct bk_value *values, size_t n)
{
    assert(n <= BK_STEP_VALUES_MAX);
    if (!batch || batch->failed)
        return;
    struct bk_step *step =
        bk_arena_alloc(&batch->arena, sizeof *step + n * sizeof(struct bk_value));
    if (!step) {
        batch->failed = true;
        return;
    }
    step->run = run;
    for (size_t i = 0; i < n; i++) {
        struct bk_view v = values[i].v;
        step->values[i] = values[i];
        if (v.len > 0) {
            step->values[i].v = bk_arena_copy(&batch->arena, v);
            batch->failed = batch->failed || !step->values[i].v.at;
        } else if (v.at) {
            step->values[i].v = BK_VIEW(""); /* empty stays apart from absent */
        }
    }
    if (batch->last)
        batch->last->next = step;
    else
        batch->first = step;
    batch->last = step;
}
