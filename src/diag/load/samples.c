/* SPDX-License-Identifier: Apache-2.0 */
#include "diag/load/samples.h"

#include <errno.h>
#include <stdlib.h>

void bk_load_samples_finish(struct bk_load_samples *samples)
{
    free(samples->ns);
    *samples = (struct bk_load_samples){ 0 };
}

int bk_load_samples_reserve(struct bk_load_samples *samples, size_t count)
{
    if (count <= samples->room)
        return 0;
    uint64_t *ns = reallocarray(samples->ns, count, sizeof *ns);
    if (!ns)
        return -ENOMEM;
    samples->ns = ns;
    samples->room = count;
    return 0;
}

void bk_load_samples_add(struct bk_load_samples *samples, uint64_t ns)
{
    if (samples->count == samples->room &&
        bk_load_samples_reserve(samples, samples->room ? samples->room * 2 : 1024) < 0) {
        samples->failed = true;
        return;
    }
    samples->ns[samples->count++] = ns;
    samples->sorted = false;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

uint64_t bk_load_samples_percentile(struct bk_load_samples *samples, double percent)
{
    if (samples->count == 0)
        return 0;
    if (!samples->sorted) {
        qsort(samples->ns, samples->count, sizeof *samples->ns, compare);
        samples->sorted = true;
    }

    /* ceil(percent / 100 * count), in a form in which 99 % of 100 is 99 and not 99.000000001. */
    double exact = percent * (double)samples->count / 100.0;
    size_t rank = (size_t)exact;
    if ((double)rank < exact)
        rank++;
    if (rank < 1)
        rank = 1;
    if (rank > samples->count)
        rank = samples->count;
    return samples->ns[rank - 1];
}
