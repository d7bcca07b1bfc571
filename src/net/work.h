/* SPDX-License-Identifier: Apache-2.0 */
/* net/work.h - worker threads for what would block a loop: password hashes, signatures. */
#ifndef BK_NET_WORK_H
#define BK_NET_WORK_H

#include "net/loop.h"

struct bk_work;
/* n_threads 1..16, queue_max jobs waiting. */
int bk_work_create(int n_threads, size_t queue_max, struct bk_work **ret);
/*
 * Waits for jobs that run, drops those that wait (their done is called with cancelled = true on the caller's thread).
 * The done of jobs that ran still comes from their loop: step it once more before destroying it.
 */
struct bk_work *bk_work_destroy(struct bk_work *work);
/* run(arg) on a worker, then done(arg, cancelled) on loop's thread. -EAGAIN: queue full, nothing will be called. */
int bk_work_submit(struct bk_work *work, struct bk_loop *loop, void (*run)(void *arg),
                   void (*done)(void *arg, bool cancelled), void *arg);
size_t bk_work_waiting(const struct bk_work *work);

#endif
