/* SPDX-License-Identifier: Apache-2.0 */
/* base/clock.h - time comes in as an argument, so that a test of 32 seconds takes none. */
#ifndef BK_BASE_CLOCK_H
#define BK_BASE_CLOCK_H

#include <stdint.h>

/*
 * mono_ms: never steps, says nothing about the date; deadlines are made of it.
 * real_ms: milliseconds since 1970 UTC; may step; only for what people and other machines read.
 */
struct bk_clock {
    int64_t (*mono_ms)(void *ctx);
    int64_t (*real_ms)(void *ctx);
    void *ctx;
};

static inline int64_t bk_clock_mono_ms(const struct bk_clock *c)
{
    return c->mono_ms(c->ctx);
}

static inline int64_t bk_clock_real_ms(const struct bk_clock *c)
{
    return c->real_ms(c->ctx);
}

extern const struct bk_clock bk_clock_system;

#endif
