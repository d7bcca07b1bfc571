/* SPDX-License-Identifier: Apache-2.0 */
/* net/loop.h - one thread's event loop (libevent), its deadlines, and the door through which other threads reach it. */
#ifndef BK_NET_LOOP_H
#define BK_NET_LOOP_H

#include "base/clock.h"
#include "base/log.h"
#include "base/timers.h"

struct bk_loop;
struct event_base;

int bk_loop_create(const struct bk_log *log, struct bk_loop **ret);
/* Connections and listeners are gone by then; what was posted and did not run yet is dropped. */
struct bk_loop *bk_loop_destroy(struct bk_loop *loop);
int bk_loop_run(struct bk_loop *loop); /* until bk_loop_stop */
int bk_loop_step(
    struct bk_loop *loop,
    int timeout_ms); /* handles what is ready, waits at most so long (-1: for ever) for something */
void bk_loop_stop(struct bk_loop *loop); /* from its own thread */

struct bk_timers *bk_loop_timers(struct bk_loop *loop); /* run by the loop itself */
const struct bk_clock *
bk_loop_clock(struct bk_loop *loop); /* system clock, read once per wake-up: mono_ms is cheap */
struct event_base *bk_loop_base(struct bk_loop *loop);
const struct bk_log *bk_loop_log(struct bk_loop *loop);

/* From any thread: runs fn(arg) on the loop's thread, in the order posted. Wakes the loop only when it sleeps. -ENOMEM. */
int bk_loop_post(struct bk_loop *loop, void (*fn)(void *arg), void *arg);

/* Runs at the end of each wake-up, after all that was ready was handled: connections write what they gathered. */
struct bk_loop_hook {
    struct bk_list in;
    void (*run)(struct bk_loop_hook *hook);
};
void bk_loop_hook_add(struct bk_loop *loop, struct bk_loop_hook *hook);
void bk_loop_hook_remove(struct bk_loop *loop, struct bk_loop_hook *hook);

/* A signal as an event. */
int bk_loop_on_signal(struct bk_loop *loop, int signo, void (*fn)(void *arg), void *arg);

/* Busy time for the 60 % rule of docs/architecture.md: milliseconds the thread worked, since it began. */
int64_t bk_loop_busy_ms(const struct bk_loop *loop);

#endif
