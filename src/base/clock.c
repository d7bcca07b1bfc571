/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <time.h>

static int64_t read_ms(clockid_t id)
{
    struct timespec t = { 0 };
    clock_gettime(id, &t); /* cannot fail for the two clocks below */
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t system_mono_ms(void *ctx)
{
    (void)ctx;
    return read_ms(CLOCK_MONOTONIC);
}

static int64_t system_real_ms(void *ctx)
{
    (void)ctx;
    return read_ms(CLOCK_REALTIME);
}

const struct bk_clock bk_clock_system = { system_mono_ms, system_real_ms, NULL };
