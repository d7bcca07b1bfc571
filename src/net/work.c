/* SPDX-License-Identifier: Apache-2.0 */
#include "net/work.h"

#include "net/loop_private.h"

#include <errno.h>
#include <stdlib.h>

enum { THREADS_MAX = 16 };

struct job {
    struct bk_list in;        /* while it waits */
    struct bk_loop_post post; /* once it ran */
    struct bk_loop *loop;
    void (*run)(void *arg);
    void (*done)(void *arg, bool cancelled);
    void *arg;
};

struct bk_work {
    pthread_mutex_t lock; /* over all that follows */
    pthread_cond_t more;
    struct bk_list waiting;
    size_t n_waiting, queue_max;
    bool ending;
    int n_threads;
    pthread_t threads[THREADS_MAX];
};

static void job_done(struct bk_loop_post *post)
{
    struct job *job = bk_container_of(post, struct job, post);
    job->done(job->arg, false);
    free(job);
}

static void job_drop(struct bk_loop_post *post)
{
    free(bk_container_of(post, struct job, post));
}

/* The next job, or NULL when the workers are to end. */
static struct job *next_job(struct bk_work *work)
{
    struct job *job = NULL;
    pthread_mutex_lock(&work->lock);
    while (!work->ending && bk_list_empty(&work->waiting))
        pthread_cond_wait(&work->more, &work->lock);
    if (!work->ending) {
        job = bk_container_of(work->waiting.next, struct job, in);
        bk_list_remove(&job->in);
        work->n_waiting--;
    }
    pthread_mutex_unlock(&work->lock);
    return job;
}

static void *work_thread(void *arg)
{
    struct bk_work *work = arg;
    for (struct job *job; (job = next_job(work));) {
        job->run(job->arg);
        bk_loop_post_node(job->loop, &job->post);
    }
    return NULL;
}

int bk_work_create(int n_threads, size_t queue_max, struct bk_work **ret)
{
    if (n_threads < 1 || n_threads > THREADS_MAX)
        return -EINVAL;
    struct bk_work *work = calloc(1, sizeof *work);
    if (!work)
        return -ENOMEM;
    pthread_mutex_init(&work->lock, NULL);
    pthread_cond_init(&work->more, NULL);
    bk_list_init(&work->waiting);
    work->queue_max = queue_max;
    for (; work->n_threads < n_threads; work->n_threads++) {
        int e = pthread_create(&work->threads[work->n_threads], NULL, work_thread, work);
        if (e) {
            bk_work_destroy(work);
            return -e;
        }
    }
    *ret = work;
    return 0;
}

struct bk_work *bk_work_destroy(struct bk_work *work)
{
    if (!work)
        return NULL;
    pthread_mutex_lock(&work->lock);
    work->ending = true;
    pthread_cond_broadcast(&work->more);
    pthread_mutex_unlock(&work->lock);
    for (int i = 0; i < work->n_threads; i++)
        pthread_join(work->threads[i], NULL);

    while (!bk_list_empty(&work->waiting)) {
        struct job *job = bk_container_of(work->waiting.next, struct job, in);
        bk_list_remove(&job->in);
        job->done(job->arg, true);
        free(job);
    }
    pthread_cond_destroy(&work->more);
    pthread_mutex_destroy(&work->lock);
    free(work);
    return NULL;
}

int bk_work_submit(struct bk_work *work, struct bk_loop *loop, void (*run)(void *arg),
                   void (*done)(void *arg, bool cancelled), void *arg)
{
    struct job *job = calloc(1, sizeof *job);
    if (!job)
        return -ENOMEM;
    *job = (struct job){ .post = { .run = job_done, .drop = job_drop },
                         .loop = loop,
                         .run = run,
                         .done = done,
                         .arg = arg };
    pthread_mutex_lock(&work->lock);
    bool room = work->n_waiting < work->queue_max;
    if (room) {
        bk_list_append(&work->waiting, &job->in);
        work->n_waiting++;
        pthread_cond_signal(&work->more);
    }
    pthread_mutex_unlock(&work->lock);
    if (!room)
        free(job);
    return room ? 0 : -EAGAIN;
}

size_t bk_work_waiting(const struct bk_work *work)
{
    struct bk_work *w = (struct bk_work *)work; /* the lock is no part of what const promises */
    pthread_mutex_lock(&w->lock);
    size_t n = w->n_waiting;
    pthread_mutex_unlock(&w->lock);
    return n;
}
