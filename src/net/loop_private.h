/* SPDX-License-Identifier: Apache-2.0 */
/* net/loop_private.h - what the other sources of net/ may know of the loop. */
#ifndef BK_NET_LOOP_PRIVATE_H
#define BK_NET_LOOP_PRIVATE_H

#include "net/loop.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Something another thread wants run here. Lives with whoever posts it until run or drop is called. */
struct bk_loop_post {
    struct bk_list in;
    void (*run)(struct bk_loop_post *post);
    void (*drop)(struct bk_loop_post *post); /* the loop ends without having run it */
};

struct bk_loop {
    struct event_base *base;
    const struct bk_log *log;
    struct bk_timers timers;
    struct bk_clock clock;
    int64_t mono_ms, real_ms;
    bool mono_known, real_known; /* read since the last wake-up */

    struct event *tick; /* the nearest deadline, as libevent knows it */
    int64_t tick_at_ms; /* INT64_MAX: not armed */
    bool no_sleep;      /* something is left to be done at once */
    bool stop;

    struct bk_list hooks; /* of owners, in the order added */
    struct bk_list last;  /* of net/, behind them: writing what they sent */
    struct bk_list signals;

    pthread_mutex_t lock; /* over posts */
    struct bk_list posts;
    atomic_size_t n_posts;
    atomic_bool asleep; /* a poster must wake the thread */
    bool awake_known;   /* bk_loop_woken was called since the last sleep */
    int door_fd;        /* eventfd */
    struct event *door;

    pthread_t thread;
    bool thread_known;
    int64_t busy_before_ms; /* processor time of the thread before it drove this loop */

    struct bk_conn_pool *conns; /* of conn.c; made with the first connection */
};

/* Each event callback of net/ begins with it: the thread is awake, posters need not wake it. */
static inline void bk_loop_woken(struct bk_loop *loop)
{
    if (!loop->awake_known) {
        loop->awake_known = true;
        atomic_store_explicit(&loop->asleep, false, memory_order_relaxed);
    }
}

/* As bk_loop_post, without allocation. */
void bk_loop_post_node(struct bk_loop *loop, struct bk_loop_post *post);
void bk_loop_hook_add_last(struct bk_loop *loop, struct bk_loop_hook *hook);

/* conn.c */
void bk_conn_pool_destroy(struct bk_conn_pool *pool);

#endif
