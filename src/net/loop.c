/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One turn of the loop: sleep, handle what is ready, fire deadlines, run what was posted, run the
 * hooks. libevent is asked for one round at a time (EVLOOP_ONCE), because it has no hook of its
 * own at the end of a round.
 */
#include "net/loop.h"

#include "net/loop_private.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct on_signal {
    struct bk_list in;
    struct bk_loop *loop;
    struct event *event;
    void (*fn)(void *arg);
    void *arg;
};

struct posted_call {
    struct bk_loop_post post;
    void (*fn)(void *arg);
    void *arg;
};

static int64_t loop_mono_ms(void *ctx)
{
    struct bk_loop *loop = ctx;
    if (!loop->mono_known) {
        loop->mono_ms = bk_clock_mono_ms(&bk_clock_system);
        loop->mono_known = true;
    }
    return loop->mono_ms;
}

static int64_t loop_real_ms(void *ctx)
{
    struct bk_loop *loop = ctx;
    if (!loop->real_known) {
        loop->real_ms = bk_clock_real_ms(&bk_clock_system);
        loop->real_known = true;
    }
    return loop->real_ms;
}

static void forget_time(struct bk_loop *loop)
{
    loop->mono_known = false;
    loop->real_known = false;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct bk_loop *loop = arg;
    bk_loop_woken(loop);
    loop->tick_at_ms = INT64_MAX; /* the step fires what is due and arms anew */
}

static void on_door(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct bk_loop *loop = arg;
    bk_loop_woken(loop);
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
}

static int open_door(struct bk_loop *loop)
{
    loop->door_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->door_fd < 0)
        return -errno;
    loop->door = event_new(loop->base, loop->door_fd, EV_READ | EV_PERSIST, on_door, loop);
    if (!loop->door || event_add(loop->door, NULL) < 0)
        return -ENOMEM;
    return 0;
}

static int open_base(struct bk_loop *loop)
{
    struct event_config *config = event_config_new();
    if (!config)
        return -ENOMEM;
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
    if (!loop->base)
        return -ENOMEM;
    loop->tick = evtimer_new(loop->base, on_tick, loop);
    return loop->tick ? open_door(loop) : -ENOMEM;
}

int bk_loop_create(const struct bk_log *log, struct bk_loop **ret)
{
    struct bk_loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return -ENOMEM;
    loop->log = log;
    loop->door_fd = -1;
    loop->tick_at_ms = INT64_MAX;
    loop->clock = (struct bk_clock){ loop_mono_ms, loop_real_ms, loop };
    bk_timers_init(&loop->timers, bk_clock_mono_ms(&loop->clock));
    bk_list_init(&loop->hooks);
    bk_list_init(&loop->last);
    bk_list_init(&loop->signals);
    bk_list_init(&loop->posts);
    pthread_mutex_init(&loop->lock, NULL);
    atomic_init(&loop->n_posts, 0);
    atomic_init(&loop->asleep, false);

    int r = open_base(loop);
    if (r < 0) {
        bk_loop_destroy(loop);
        return r;
    }
    *ret = loop;
    return 0;
}

static void take_posts(struct bk_loop *loop, struct bk_list *to)
{
    bk_list_init(to);
    pthread_mutex_lock(&loop->lock);
    if (!bk_list_empty(&loop->posts)) {
        *to = loop->posts;
        to->next->prev = to;
        to->prev->next = to;
        bk_list_init(&loop->posts);
    }
    atomic_store(&loop->n_posts, 0);
    pthread_mutex_unlock(&loop->lock);
}

struct bk_loop *bk_loop_destroy(struct bk_loop *loop)
{
    if (!loop)
        return NULL;
    bk_conn_pool_destroy(loop->conns);
    struct bk_list left;
    take_posts(loop, &left);
    while (!bk_list_empty(&left)) {
        struct bk_loop_post *post = bk_container_of(left.next, struct bk_loop_post, in);
        bk_list_remove(&post->in);
        post->drop(post);
    }
    while (!bk_list_empty(&loop->signals)) {
        struct on_signal *s = bk_container_of(loop->signals.next, struct on_signal, in);
        bk_list_remove(&s->in);
        event_free(s->event);
        free(s);
    }
    if (loop->door)
        event_free(loop->door);
    if (loop->tick)
        event_free(loop->tick);
    if (loop->base)
        event_base_free(loop->base);
    if (loop->door_fd >= 0)
        close(loop->door_fd);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
    return NULL;
}

static int64_t cpu_ms(pthread_t thread)
{
    clockid_t clock;
    struct timespec t = { 0 };
    if (pthread_getcpuclockid(thread, &clock) != 0 || clock_gettime(clock, &t) < 0)
        return 0;
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void know_thread(struct bk_loop *loop)
{
    if (loop->thread_known)
        return;
    loop->thread = pthread_self();
    loop->busy_before_ms = cpu_ms(loop->thread);
    loop->thread_known = true;
}

int64_t bk_loop_busy_ms(const struct bk_loop *loop)
{
    return loop->thread_known ? cpu_ms(loop->thread) - loop->busy_before_ms : 0;
}

/* Arms the tick for a sleep of at most wait_ms. One that is due earlier stays: it wakes us once for nothing. */
static void arm_tick(struct bk_loop *loop, int64_t now_ms, int64_t wait_ms)
{
    int64_t at_ms = now_ms + wait_ms;
    if (loop->tick_at_ms <= at_ms)
        return;
    struct timeval in = { .tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000 };
    if (evtimer_add(loop->tick, &in) == 0)
        loop->tick_at_ms = at_ms;
    else
        loop->no_sleep = true;
}

/* How long to sleep; -1: until something happens. */
static int64_t sleep_ms(struct bk_loop *loop, int timeout_ms, int64_t now_ms)
{
    if (loop->no_sleep || timeout_ms == 0)
        return 0;
    int64_t next_ms = bk_timers_next_ms(&loop->timers);
    if (next_ms == INT64_MAX)
        return timeout_ms;
    int64_t wait_ms = next_ms > now_ms ? next_ms - now_ms : 0;
    return timeout_ms < 0 || wait_ms < timeout_ms ? wait_ms : timeout_ms;
}

static int wait_and_dispatch(struct bk_loop *loop, int timeout_ms)
{
    forget_time(loop);
    int64_t now_ms = bk_clock_mono_ms(&loop->clock);
    int64_t wait_ms = sleep_ms(loop, timeout_ms, now_ms);
    loop->no_sleep = false;
    loop->awake_known = false;
    if (wait_ms != 0) {
        /* First the flag, then the look: a poster does it the other way round, so one of us sees the other. */
        atomic_store(&loop->asleep, true);
        if (atomic_load(&loop->n_posts) > 0)
            wait_ms = 0;
    }
    if (wait_ms > 0)
        arm_tick(loop, now_ms, wait_ms);
    if (loop->no_sleep)
        wait_ms = 0;
    forget_time(loop); /* who asks first after the sleep reads it */
    /* NONBLOCK alone goes round until nothing is ready, which a socket that waits for our hooks never is. */
    int r = event_base_loop(loop->base, EVLOOP_ONCE | (wait_ms == 0 ? EVLOOP_NONBLOCK : 0));
    bk_loop_woken(loop);
    return r < 0 ? -EIO : 0;
}

static void run_posts(struct bk_loop *loop)
{
    if (atomic_load_explicit(&loop->n_posts, memory_order_relaxed) == 0)
        return;
    struct bk_list now;
    take_posts(loop, &now);
    while (!bk_list_empty(&now)) {
        struct bk_loop_post *post = bk_container_of(now.next, struct bk_loop_post, in);
        bk_list_remove(&post->in);
        post->run(post);
    }
}

static void run_hooks(struct bk_list *hooks)
{
    BK_LIST_EACH(hooks, it)
    {
        struct bk_loop_hook *hook = bk_container_of(it, struct bk_loop_hook, in);
        hook->run(hook);
    }
}

int bk_loop_step(struct bk_loop *loop, int timeout_ms)
{
    know_thread(loop);
    run_hooks(&loop->last); /* what was sent since the last step */
    int r = wait_and_dispatch(loop, timeout_ms);
    bk_timers_run(&loop->timers, bk_clock_mono_ms(&loop->clock));
    run_posts(loop);
    run_hooks(&loop->hooks);
    run_hooks(&loop->last);
    return r;
}

int bk_loop_run(struct bk_loop *loop)
{
    int r = 0;
    while (!loop->stop && r == 0)
        r = bk_loop_step(loop, -1);
    loop->stop = false;
    return r;
}

void bk_loop_stop(struct bk_loop *loop)
{
    loop->stop = true;
    loop->no_sleep = true;
}

struct bk_timers *bk_loop_timers(struct bk_loop *loop)
{
    return &loop->timers;
}

const struct bk_clock *bk_loop_clock(struct bk_loop *loop)
{
    return &loop->clock;
}

struct event_base *bk_loop_base(struct bk_loop *loop)
{
    return loop->base;
}

const struct bk_log *bk_loop_log(struct bk_loop *loop)
{
    return loop->log;
}

void bk_loop_post_node(struct bk_loop *loop, struct bk_loop_post *post)
{
    pthread_mutex_lock(&loop->lock);
    bk_list_append(&loop->posts, &post->in);
    atomic_fetch_add(&loop->n_posts, 1);
    /* Under the lock, so that a loop which was just emptied and destroyed is not woken. */
    if (atomic_exchange(&loop->asleep, false)) {
        uint64_t one = 1;
        while (write(loop->door_fd, &one, sizeof one) < 0 && errno == EINTR) {
        }
    }
    pthread_mutex_unlock(&loop->lock);
}

static void drop_call(struct bk_loop_post *post)
{
    free(bk_container_of(post, struct posted_call, post));
}

static void run_call(struct bk_loop_post *post)
{
    struct posted_call *call = bk_container_of(post, struct posted_call, post);
    void (*fn)(void *arg) = call->fn;
    void *arg = call->arg;
    free(call);
    fn(arg);
}

int bk_loop_post(struct bk_loop *loop, void (*fn)(void *arg), void *arg)
{
    struct posted_call *call = calloc(1, sizeof *call);
    if (!call)
        return -ENOMEM;
    *call = (struct posted_call){ .post = { .run = run_call, .drop = drop_call },
                                  .fn = fn,
                                  .arg = arg };
    bk_loop_post_node(loop, &call->post);
    return 0;
}

void bk_loop_hook_add(struct bk_loop *loop, struct bk_loop_hook *hook)
{
    bk_list_append(&loop->hooks, &hook->in);
}

void bk_loop_hook_add_last(struct bk_loop *loop, struct bk_loop_hook *hook)
{
    bk_list_append(&loop->last, &hook->in);
}

void bk_loop_hook_remove(struct bk_loop *loop, struct bk_loop_hook *hook)
{
    (void)loop;
    bk_list_remove(&hook->in);
}

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
    (void)signo;
    (void)what;
    struct on_signal *s = arg;
    bk_loop_woken(s->loop);
    s->fn(s->arg);
}

int bk_loop_on_signal(struct bk_loop *loop, int signo, void (*fn)(void *arg), void *arg)
{
    struct on_signal *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    *s = (struct on_signal){ .loop = loop, .fn = fn, .arg = arg };
    s->event = evsignal_new(loop->base, signo, on_signal, s);
    if (!s->event || evsignal_add(s->event, NULL) < 0) {
        if (s->event)
            event_free(s->event);
        free(s);
        return -ENOMEM;
    }
    bk_list_append(&loop->signals, &s->in);
    return 0;
}
