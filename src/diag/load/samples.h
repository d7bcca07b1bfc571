/* SPDX-License-Identifier: Apache-2.0 */
/* diag/load/samples.h - every measured time of a phase, so that percentiles are exact. */
#ifndef BK_DIAG_LOAD_SAMPLES_H
#define BK_DIAG_LOAD_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Nanoseconds in the order they came, until somebody asks for a percentile. {0} is an empty set;
 * the memory is the struct's own and bk_load_samples_finish() frees it.
 */
struct bk_load_samples {
    uint64_t *ns;
    size_t count, room;
    bool sorted;
    bool failed; /* out of memory: the percentiles would lie, so they are not given */
};

void bk_load_samples_finish(struct bk_load_samples *samples);
/* Takes the memory for count samples now, so that none is asked for while time is measured. -ENOMEM. */
int bk_load_samples_reserve(struct bk_load_samples *samples, size_t count);
void bk_load_samples_add(struct bk_load_samples *samples, uint64_t ns);

/*
 * Nearest rank: the smallest sample that at least `percent` of all samples do not exceed, always
 * one that was measured, never a mean of two. percent is in (0, 100]; 100 is the largest sample.
 * 0 where there is none.
 */
uint64_t bk_load_samples_percentile(struct bk_load_samples *samples, double percent);

#endif
