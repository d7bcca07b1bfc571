/* SPDX-License-Identifier: Apache-2.0 */
/* base/timers.h - deadlines of one thread, on whatever clock the caller reads. */
#ifndef BK_BASE_TIMERS_H
#define BK_BASE_TIMERS_H

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A hierarchical wheel: arming and disarming cost the same few instructions however many are
 * armed. Resolution 16 ms: a timer never fires early and at most one tick late.
 */
enum { BK_TIMERS_LEVELS = 6, BK_TIMERS_SLOTS = 64, BK_TIMERS_TICK_MS = 16 };

struct bk_timer {
    struct bk_list in;
    int64_t at_tick;
    void (*fire)(struct bk_timer *timer); /* find the owner with bk_container_of */
};

struct bk_timers {
    int64_t now_tick;
    struct bk_list slots[BK_TIMERS_LEVELS][BK_TIMERS_SLOTS];
    uint64_t used[BK_TIMERS_LEVELS]; /* a bit per slot that holds something */
    size_t n_armed;
};

void bk_timers_init(struct bk_timers *timers, int64_t now_ms);
/* Once before its first use. */
void bk_timer_init(struct bk_timer *timer, void (*fire)(struct bk_timer *timer));
/* Arms, or arms anew. at_ms in the past fires at the next run. */
void bk_timer_arm(struct bk_timers *timers, struct bk_timer *timer, int64_t at_ms);
/* Harmless when it is not armed. */
void bk_timer_disarm(struct bk_timers *timers, struct bk_timer *timer);
bool bk_timer_armed(const struct bk_timer *timer);

/* Fires all that are due. A fired timer is disarmed first and may be armed again or freed by its own callback. */
void bk_timers_run(struct bk_timers *timers, int64_t now_ms);
/* When the next run is worth while (not later than the next deadline), INT64_MAX when nothing is armed. */
int64_t bk_timers_next_ms(const struct bk_timers *timers);

#endif
