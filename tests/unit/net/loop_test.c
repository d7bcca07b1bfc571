/* SPDX-License-Identifier: Apache-2.0 */
/* The loop, what other threads may ask of it, and worker threads. Also run under the thread sanitizer. */
#include "unit/net/net_test.h"

#include "net/loop.h"
#include "net/work.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct bk_loop *loop_make(void)
{
    struct bk_loop *loop;
    assert_int_equal(bk_loop_create(NULL, &loop), 0);
    return loop;
}

/* ---- posts ---- */

enum { POSTERS = 4, POSTS = 5000 };

struct poster {
    struct bk_loop *loop;
    pthread_t thread;
    int posted, seen;
    bool in_order;
};

struct letter {
    struct poster *from;
    int number;
};

static int n_letters;

static void on_letter(void *arg)
{
    struct letter *letter = arg;
    if (letter->number != letter->from->seen++)
        letter->from->in_order = false;
    n_letters++;
    free(letter);
}

static void *post_letters(void *arg)
{
    struct poster *poster = arg;
    for (int i = 0; i < POSTS; i++) {
        struct letter *letter = malloc(sizeof *letter);
        if (!letter)
            abort();
        *letter = (struct letter){ poster, i };
        if (bk_loop_post(poster->loop, on_letter, letter) < 0)
            abort();
    }
    return NULL;
}

static void posts_of_many_threads_all_run_each_threads_in_order(void **state)
{
    (void)state;
    struct bk_loop *loop = loop_make();
    struct poster posters[POSTERS] = { 0 };
    n_letters = 0;
    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){ .loop = loop, .in_order = true };
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_letters, &posters[i]), 0);
    }
    /* Sleeps without limit each time: one lost wake-up and this hangs. */
    while (n_letters < POSTERS * POSTS)
        bk_loop_step(loop, -1);
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(posters[i].thread, NULL);
        assert_true(posters[i].in_order);
        assert_int_equal(posters[i].seen, POSTS);
    }
    bk_loop_destroy(loop);
}

struct ping {
    struct bk_loop *here, *there;
    int left;
};

static void on_ping(void *arg)
{
    struct ping *ping = arg;
    if (--ping->left == 0) {
        bk_loop_stop(ping->here);
        return;
    }
    struct bk_loop *next = ping->there;
    ping->there = ping->here;
    ping->here = next;
    if (bk_loop_post(next, on_ping, ping) < 0)
        abort();
}

static void *run_loop(void *arg)
{
    bk_loop_run(arg);
    return NULL;
}

static void stop_loop(void *arg)
{
    bk_loop_stop(arg);
}

static void two_sleeping_loops_wake_each_other(void **state)
{
    (void)state;
    struct bk_loop *a = loop_make(), *b = loop_make();
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_loop, b), 0);
    struct ping ping = { .here = a, .there = b, .left = 2001 }; /* odd: ends here */
    assert_int_equal(bk_loop_post(a, on_ping, &ping), 0);
    assert_int_equal(bk_loop_run(a), 0);
    assert_int_equal(ping.left, 0);
    assert_int_equal(bk_loop_post(b, stop_loop, b), 0);
    pthread_join(thread, NULL);
    bk_loop_destroy(a);
    bk_loop_destroy(b);
}

static void count_up(void *arg)
{
    ++*(int *)arg;
}

static void what_was_posted_here_runs_without_sleeping(void **state)
{
    (void)state;
    struct bk_loop *loop = loop_make();
    int n = 0;
    assert_int_equal(bk_loop_post(loop, count_up, &n), 0);
    assert_int_equal(bk_loop_post(loop, count_up, &n), 0);
    assert_int_equal(bk_loop_step(loop, -1), 0);
    assert_int_equal(n, 2);
    assert_int_equal(bk_loop_post(loop, count_up, &n), 0);
    bk_loop_destroy(loop); /* dropped, not run, nothing leaks */
    assert_int_equal(n, 2);
}

/* ---- time ---- */

struct alarm {
    struct bk_timer timer;
    const struct bk_clock *clock;
    int64_t at_ms, fired_ms;
};

static void on_alarm(struct bk_timer *timer)
{
    struct alarm *alarm = bk_container_of(timer, struct alarm, timer);
    alarm->fired_ms = bk_clock_mono_ms(alarm->clock);
}

static void deadlines_fire_by_themselves_and_never_early(void **state)
{
    (void)state;
    struct bk_loop *loop = loop_make();
    struct alarm alarms[20];
    for (int i = 0; i < 20; i++) {
        struct alarm *a = &alarms[i];
        *a = (struct alarm){ .clock = bk_loop_clock(loop) };
        bk_timer_init(&a->timer, on_alarm);
        a->at_ms = bk_clock_mono_ms(a->clock) + (19 - i) * 7; /* the latest first */
        bk_timer_arm(bk_loop_timers(loop), &a->timer, a->at_ms);
    }
    for (int left = 20; left > 0;) {
        bk_loop_step(loop, -1); /* the deadlines alone wake it */
        left = 0;
        for (int i = 0; i < 20; i++)
            left += alarms[i].fired_ms == 0;
    }
    for (int i = 0; i < 20; i++)
        assert_true(alarms[i].fired_ms >= alarms[i].at_ms);
    bk_loop_destroy(loop);
}

static void a_step_waits_no_longer_than_told(void **state)
{
    (void)state;
    struct bk_loop *loop = loop_make();
    int64_t began = bk_clock_mono_ms(&bk_clock_system);
    bk_loop_step(loop, 40);
    assert_true(bk_clock_mono_ms(&bk_clock_system) >= began + 40);
    assert_int_equal(bk_loop_step(loop, 0), 0);
    bk_loop_destroy(loop);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    ++*(int *)arg;
}

static void a_step_is_one_round_also_for_what_is_always_ready(void **state)
{
    (void)state;
    struct bk_loop *loop = loop_make();
    int n = 0, fds[2];
    assert_int_equal(pipe(fds), 0);
    struct event *event =
        event_new(bk_loop_base(loop), fds[1], EV_WRITE | EV_PERSIST, on_writable, &n);
    assert_int_equal(event_add(event, NULL), 0);
    bk_loop_step(loop, 0);
    assert_int_equal(n, 1);
    bk_loop_step(loop, -1);
    assert_int_equal(n, 2);
    event_free(event);
    close(fds[0]);
    close(fds[1]);
    bk_loop_destroy(loop);
}

static int64_t first_look, second_look;

static void look_twice(void *arg)
{
    struct bk_loop *loop = arg;
    first_look = bk_clock_mono_ms(bk_loop_clock(loop));
    int64_t until = bk_clock_mono_ms(&bk_clock_system) + 5;
    while (bk_clock_mono_ms(&bk_clock_system) < until) {
    }
    second_look = bk_clock_mono_ms(bk_loop_clock(loop));
}

static void the_clock_stands_still_within_a_wake_up_and_moves_between(void **state)
{
    (void)state;
    struct bk_loop *loop = loop_make();
    assert_int_equal(bk_loop_post(loop, look_twice, loop), 0);
    bk_loop_step(loop, 0);
    assert_int_equal(first_look, second_look);
    int64_t before = first_look;
    assert_int_equal(bk_loop_post(loop, look_twice, loop), 0);
    bk_loop_step(loop, 0);
    assert_true(first_look >= before + 5);
    bk_loop_destroy(loop);
}

static void busy_time_counts_work_and_not_sleep(void **state)
{
    (void)state;
    struct bk_loop *loop = loop_make();
    assert_int_equal(bk_loop_busy_ms(loop), 0);
    bk_loop_step(loop, 100);
    assert_in_range(bk_loop_busy_ms(loop), 0, 60);
    int64_t before = bk_loop_busy_ms(loop);
    while (bk_loop_busy_ms(loop) < before + 20) { /* this thread works: it must rise */
    }
    bk_loop_destroy(loop);
}

/* ---- hooks and signals ---- */

struct counting_hook {
    struct bk_loop_hook hook;
    int n, posts_seen;
    int *posts;
};

static void on_hook(struct bk_loop_hook *hook)
{
    struct counting_hook *h = bk_container_of(hook, struct counting_hook, hook);
    h->n++;
    h->posts_seen = *h->posts;
}

static void hooks_run_once_behind_all_that_was_ready(void **state)
{
    (void)state;
    struct bk_loop *loop = loop_make();
    int posts = 0;
    struct counting_hook h = { .hook.run = on_hook, .posts = &posts };
    bk_loop_hook_add(loop, &h.hook);
    for (int i = 0; i < 3; i++)
        assert_int_equal(bk_loop_post(loop, count_up, &posts), 0);
    bk_loop_step(loop, -1);
    assert_int_equal(h.n, 1);
    assert_int_equal(h.posts_seen, 3);
    bk_loop_hook_remove(loop, &h.hook);
    bk_loop_step(loop, 0);
    assert_int_equal(h.n, 1);
    bk_loop_destroy(loop);
}

static void a_signal_is_an_event(void **state)
{
    (void)state;
    struct bk_loop *loop = loop_make();
    int n = 0;
    assert_int_equal(bk_loop_on_signal(loop, SIGUSR2, count_up, &n), 0);
    raise(SIGUSR2);
    AWAIT(loop, n == 1);
    raise(SIGUSR2);
    AWAIT(loop, n == 2);
    bk_loop_destroy(loop);
}

/* ---- workers ---- */

struct job {
    sem_t *may_run, *runs;
    pthread_t ran_on, done_on;
    atomic_bool ran;
    int done, cancelled;
};

static void run_job(void *arg)
{
    struct job *job = arg;
    if (job->runs)
        sem_post(job->runs);
    if (job->may_run)
        sem_wait(job->may_run);
    job->ran_on = pthread_self();
    atomic_store(&job->ran, true);
}

static void job_done(void *arg, bool cancelled)
{
    struct job *job = arg;
    job->done_on = pthread_self();
    job->done++;
    job->cancelled += cancelled;
}

static void jobs_run_elsewhere_and_are_done_here(void **state)
{
    (void)state;
    enum { N = 200 };
    struct bk_loop *loop = loop_make();
    struct bk_work *work;
    assert_int_equal(bk_work_create(3, N, &work), 0);
    static struct job jobs[N];
    for (int i = 0; i < N; i++) {
        jobs[i] = (struct job){ 0 };
        assert_int_equal(bk_work_submit(work, loop, run_job, job_done, &jobs[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        AWAIT(loop, jobs[i].done);
        assert_true(atomic_load(&jobs[i].ran));
        assert_int_equal(jobs[i].cancelled, 0);
        assert_true(pthread_equal(jobs[i].done_on, pthread_self()));
        assert_false(pthread_equal(jobs[i].ran_on, pthread_self()));
    }
    assert_int_equal(bk_work_waiting(work), 0);
    bk_work_destroy(work);
    bk_loop_destroy(loop);
}

static void a_full_queue_refuses_and_calls_nothing(void **state)
{
    (void)state;
    struct bk_loop *loop = loop_make();
    struct bk_work *work;
    sem_t may_run, runs;
    sem_init(&may_run, 0, 0);
    sem_init(&runs, 0, 0);
    assert_int_equal(bk_work_create(1, 2, &work), 0);
    struct job jobs[4];
    for (int i = 0; i < 4; i++)
        jobs[i] = (struct job){ .may_run = &may_run, .runs = &runs };
    assert_int_equal(bk_work_submit(work, loop, run_job, job_done, &jobs[0]), 0);
    sem_wait(&runs); /* it runs, so it waits no more */
    assert_int_equal(bk_work_submit(work, loop, run_job, job_done, &jobs[1]), 0);
    assert_int_equal(bk_work_submit(work, loop, run_job, job_done, &jobs[2]), 0);
    assert_int_equal(bk_work_waiting(work), 2);
    assert_int_equal(bk_work_submit(work, loop, run_job, job_done, &jobs[3]), -EAGAIN);
    for (int i = 0; i < 3; i++)
        sem_post(&may_run);
    AWAIT(loop, jobs[0].done && jobs[1].done && jobs[2].done);
    assert_false(atomic_load(&jobs[3].ran));
    assert_int_equal(jobs[3].done, 0);
    bk_work_destroy(work);
    bk_loop_destroy(loop);
    sem_destroy(&may_run);
    sem_destroy(&runs);
}

static void destroying_waits_for_what_runs_and_cancels_what_waits(void **state)
{
    (void)state;
    struct bk_loop *loop = loop_make();
    struct bk_work *work;
    sem_t may_run, runs;
    sem_init(&may_run, 0, 0);
    sem_init(&runs, 0, 0);
    assert_int_equal(bk_work_create(1, 8, &work), 0);
    struct job running = { .may_run = &may_run, .runs = &runs }, waiting[3] = { 0 };
    assert_int_equal(bk_work_submit(work, loop, run_job, job_done, &running), 0);
    sem_wait(&runs);
    for (int i = 0; i < 3; i++)
        assert_int_equal(bk_work_submit(work, loop, run_job, job_done, &waiting[i]), 0);
    sem_post(&may_run);
    /* The worker may take one more before it hears of the end; whichever way, each is done once. */
    bk_work_destroy(work);
    assert_true(atomic_load(&running.ran));
    bk_loop_step(loop, 0);
    assert_int_equal(running.done, 1);
    assert_int_equal(running.cancelled, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(waiting[i].done, 1);
        assert_int_equal(waiting[i].cancelled, !atomic_load(&waiting[i].ran));
    }
    bk_loop_destroy(loop);
    sem_destroy(&may_run);
    sem_destroy(&runs);
}

static void the_number_of_workers_is_bounded(void **state)
{
    (void)state;
    struct bk_work *work;
    assert_int_equal(bk_work_create(0, 1, &work), -EINVAL);
    assert_int_equal(bk_work_create(17, 1, &work), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posts_of_many_threads_all_run_each_threads_in_order),
        cmocka_unit_test(two_sleeping_loops_wake_each_other),
        cmocka_unit_test(what_was_posted_here_runs_without_sleeping),
        cmocka_unit_test(deadlines_fire_by_themselves_and_never_early),
        cmocka_unit_test(a_step_waits_no_longer_than_told),
        cmocka_unit_test(a_step_is_one_round_also_for_what_is_always_ready),
        cmocka_unit_test(the_clock_stands_still_within_a_wake_up_and_moves_between),
        cmocka_unit_test(busy_time_counts_work_and_not_sleep),
        cmocka_unit_test(hooks_run_once_behind_all_that_was_ready),
        cmocka_unit_test(a_signal_is_an_event),
        cmocka_unit_test(jobs_run_elsewhere_and_are_done_here),
        cmocka_unit_test(a_full_queue_refuses_and_calls_nothing),
        cmocka_unit_test(destroying_waits_for_what_runs_and_cancels_what_waits),
        cmocka_unit_test(the_number_of_workers_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
