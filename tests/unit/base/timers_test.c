/* SPDX-License-Identifier: Apache-2.0 */
#include "base/timers.h"

#include "base/random.h"

#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

enum { N = 300, TICK = BK_TIMERS_TICK_MS };

/* What the wheel should do, done with a plain array. */
struct model {
    struct bk_timers timers;
    struct entry {
        struct bk_timer timer;
        struct model *model;
        bool armed;
        int64_t at_ms;
        int64_t armed_in_run;
    } entries[N];
    int64_t now_ms, run;
    size_t n_fired;
    struct bk_random_seeded seeded;
    struct bk_random random;
    bool callbacks_act;
};

static int64_t tick_of(int64_t at_ms)
{
    int64_t tick = at_ms / TICK;
    return at_ms > 0 && at_ms % TICK ? tick + 1 : tick;
}

static uint64_t below(struct model *m, uint64_t n)
{
    return bk_random_u64(&m->random) % n;
}

/* Past, now, within each level, beyond the top of the wheel, the end of time. */
static int64_t some_deadline(struct model *m)
{
    uint64_t kind = below(m, 50);
    if (kind == 0)
        return INT64_MAX - (int64_t)below(m, 100);
    if (kind == 1)
        return m->now_ms - (int64_t)below(m, 100000);
    if (kind == 2)
        return m->now_ms;
    int64_t far = (int64_t)1 << below(m, 44);
    return m->now_ms + (int64_t)below(m, (uint64_t)far * 2);
}

static void arm(struct model *m, struct entry *e, int64_t at_ms)
{
    bk_timer_arm(&m->timers, &e->timer, at_ms);
    e->armed = true;
    e->at_ms = at_ms;
    e->armed_in_run = m->run;
}

static void disarm(struct model *m, struct entry *e)
{
    bk_timer_disarm(&m->timers, &e->timer);
    e->armed = false;
}

static void on_fire(struct bk_timer *timer)
{
    struct entry *e = bk_container_of(timer, struct entry, timer);
    struct model *m = e->model;
    assert_true(e->armed);
    assert_false(bk_timer_armed(timer));
    assert_true(m->now_ms >= e->at_ms);    /* never early */
    assert_true(e->armed_in_run < m->run); /* what a callback arms waits for the next run */
    e->armed = false;
    m->n_fired++;
    if (!m->callbacks_act)
        return;
    struct entry *other = &m->entries[below(m, N)];
    switch (below(m, 4)) {
    case 0:
        arm(m, e, some_deadline(m));
        break;
    case 1:
        disarm(m, other);
        break;
    case 2:
        arm(m, other, some_deadline(m));
        break;
    default:
        break;
    }
}

static struct model *model_new(uint64_t seed, int64_t now_ms)
{
    struct model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    m->random = bk_random_from_seed(&m->seeded, seed);
    m->now_ms = now_ms;
    bk_timers_init(&m->timers, now_ms);
    for (size_t i = 0; i < N; i++) {
        m->entries[i].model = m;
        bk_timer_init(&m->entries[i].timer, on_fire);
    }
    return m;
}

static void check(struct model *m)
{
    size_t n = 0;
    int64_t earliest = INT64_MAX;
    for (size_t i = 0; i < N; i++) {
        struct entry *e = &m->entries[i];
        assert_int_equal(bk_timer_armed(&e->timer), e->armed);
        if (!e->armed)
            continue;
        n++;
        int64_t due = e->at_ms > INT64_MAX - TICK ? INT64_MAX : tick_of(e->at_ms) * TICK;
        if (due < earliest)
            earliest = due;
    }
    assert_int_equal(m->timers.n_armed, n);
    int64_t next = bk_timers_next_ms(&m->timers);
    if (n == 0)
        assert_true(next == INT64_MAX);
    else if (earliest > m->now_ms)
        assert_true(next <= earliest && next >= m->now_ms);
    else
        assert_true(next <= m->now_ms);
}

static void run(struct model *m, int64_t now_ms)
{
    m->now_ms = now_ms;
    m->run++;
    bk_timers_run(&m->timers, now_ms);
    for (size_t i = 0; i < N; i++) {
        struct entry *e = &m->entries[i];
        if (e->armed && e->armed_in_run < m->run)
            assert_true(tick_of(e->at_ms) > now_ms / TICK); /* none that was due is left */
    }
    check(m);
}

static void play(uint64_t seed, int64_t start_ms, bool callbacks_act)
{
    struct model *m = model_new(seed, start_ms);
    m->callbacks_act = callbacks_act;
    for (int step = 0; step < 3000; step++) {
        struct entry *e = &m->entries[below(m, N)];
        switch (below(m, 8)) {
        case 0:
            disarm(m, e);
            break;
        case 1:
            run(m, m->now_ms + (int64_t)below(m, 50));
            break;
        case 2:
            run(m, m->now_ms + (int64_t)below(m, (uint64_t)1 << below(m, 30)));
            break;
        case 3:
            if (below(m, 20) == 0)
                run(m, m->now_ms + (int64_t)below(m, (uint64_t)1 << below(m, 42)));
            break;
        case 4: { /* as a loop does */
            int64_t next = bk_timers_next_ms(&m->timers);
            if (next < start_ms + ((int64_t)1 << 45))
                run(m, next > m->now_ms ? next : m->now_ms);
            break;
        }
        default:
            arm(m, e, some_deadline(m));
        }
        check(m);
    }
    assert_true(m->n_fired > 100);
    free(m);
}

static void agrees_with_a_sorted_model(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        play(seed, 0, seed % 2);
        play(seed + 100, 1800000000123, seed % 2);
        /* Where the slots of the top level wrap around. */
        play(seed + 200, (((int64_t)1 << 36) - 70) * TICK, seed % 2);
    }
}

/* Fired in the order of their ticks, whatever the way they took through the wheel. */
static int64_t order_seen;
static void on_fire_in_order(struct bk_timer *timer)
{
    assert_true(timer->at_tick >= order_seen);
    order_seen = timer->at_tick;
}

static void one_large_jump_fires_all_in_the_order_of_their_deadlines(void **state)
{
    (void)state;
    struct bk_random_seeded seeded;
    struct bk_random random = bk_random_from_seed(&seeded, 7);
    static struct bk_timer timer[5000];
    struct bk_timers timers;
    bk_timers_init(&timers, 12345);
    for (size_t i = 0; i < 5000; i++) {
        bk_timer_init(&timer[i], on_fire_in_order);
        bk_timer_arm(&timers, &timer[i],
                     12345 +
                         (int64_t)(bk_random_u64(&random) >> (24 + bk_random_u64(&random) % 30)));
    }
    order_seen = 0;
    bk_timers_run(&timers, (int64_t)1 << 42);
    assert_int_equal(timers.n_armed, 0);
    assert_true(order_seen > 0);
    assert_true(bk_timers_next_ms(&timers) == INT64_MAX);
}

struct lone {
    struct bk_timer timer;
    int64_t now_ms, fired_at;
};

static void on_lone(struct bk_timer *timer)
{
    struct lone *l = bk_container_of(timer, struct lone, timer);
    l->fired_at = l->now_ms;
}

static void sleeping_until_next_is_on_time_and_wakes_rarely(void **state)
{
    (void)state;
    struct bk_random_seeded seeded;
    struct bk_random random = bk_random_from_seed(&seeded, 9);
    for (int i = 0; i < 20000; i++) {
        struct bk_timers timers;
        struct lone l = { .now_ms = (int64_t)(bk_random_u64(&random) >> 24), .fired_at = -1 };
        bk_timers_init(&timers, l.now_ms);
        bk_timer_init(&l.timer, on_lone);
        int64_t at =
            l.now_ms + (int64_t)(bk_random_u64(&random) >> (25 + bk_random_u64(&random) % 39));
        bk_timer_arm(&timers, &l.timer, at);
        int wakes = 0;
        while (l.fired_at < 0) {
            int64_t next = bk_timers_next_ms(&timers);
            assert_true(next <= at + TICK);
            l.now_ms = next > l.now_ms ? next : l.now_ms;
            bk_timers_run(&timers, l.now_ms);
            wakes++;
        }
        assert_true(l.fired_at >= at && l.fired_at < at + TICK);
        assert_in_range(wakes, 1, BK_TIMERS_LEVELS);
    }
}

static void a_timer_for_the_past_fires_at_the_next_run_even_at_the_same_time(void **state)
{
    (void)state;
    struct bk_timers timers;
    struct lone l = { .now_ms = 1000, .fired_at = -1 };
    bk_timers_init(&timers, 1000);
    bk_timer_init(&l.timer, on_lone);
    static const int64_t past[] = { 992, 500, 0, -1, INT64_MIN };
    for (size_t i = 0; i < sizeof past / sizeof *past; i++) {
        l.fired_at = -1;
        bk_timer_arm(&timers, &l.timer, past[i]);
        assert_true(bk_timers_next_ms(&timers) <= 1000);
        bk_timers_run(&timers, 1000);
        assert_int_equal(l.fired_at, 1000);
    }
}

static int periodic_fired;
static struct bk_timers periodic_timers;
static void on_periodic(struct bk_timer *timer)
{
    periodic_fired++;
    bk_timer_arm(&periodic_timers, timer, 0); /* always overdue */
}

static void a_callback_that_arms_for_the_past_does_not_hold_the_run(void **state)
{
    (void)state;
    struct bk_timer timer;
    bk_timers_init(&periodic_timers, 0);
    bk_timer_init(&timer, on_periodic);
    bk_timer_arm(&periodic_timers, &timer, 0);
    for (int i = 1; i <= 5; i++) {
        bk_timers_run(&periodic_timers, i * 1000);
        assert_int_equal(periodic_fired, i);
    }
    bk_timer_disarm(&periodic_timers, &timer);
    assert_int_equal(periodic_timers.n_armed, 0);
}

static void a_clock_that_steps_back_fires_nothing_and_loses_nothing(void **state)
{
    (void)state;
    struct bk_timers timers;
    struct lone l = { .now_ms = 5000, .fired_at = -1 };
    bk_timers_init(&timers, 5000);
    bk_timer_init(&l.timer, on_lone);
    bk_timer_arm(&timers, &l.timer, 5100);
    bk_timers_run(&timers, 10);
    bk_timers_run(&timers, 5090);
    assert_int_equal(l.fired_at, -1);
    l.now_ms = 5120;
    bk_timers_run(&timers, 5120);
    assert_int_equal(l.fired_at, 5120);
}

struct freed {
    struct bk_timer timer;
    int *count;
};

static void on_free(struct bk_timer *timer)
{
    struct freed *f = bk_container_of(timer, struct freed, timer);
    ++*f->count;
    free(f);
}

static void a_callback_may_free_its_own_timer(void **state)
{
    (void)state;
    struct bk_timers timers;
    int count = 0;
    bk_timers_init(&timers, 0);
    for (int i = 0; i < 100; i++) {
        struct freed *f = malloc(sizeof *f);
        assert_non_null(f);
        f->count = &count;
        bk_timer_init(&f->timer, on_free);
        bk_timer_arm(&timers, &f->timer, i % 10 * 100);
    }
    bk_timers_run(&timers, 2000);
    assert_int_equal(count, 100);
}

static void disarming_is_harmless_for_what_is_not_armed(void **state)
{
    (void)state;
    struct bk_timers timers;
    struct lone l = { .fired_at = -1 };
    bk_timers_init(&timers, 0);
    bk_timer_init(&l.timer, on_lone);
    bk_timer_disarm(&timers, &l.timer);
    bk_timer_arm(&timers, &l.timer, 10);
    bk_timer_arm(&timers, &l.timer, 20); /* anew, not twice */
    assert_int_equal(timers.n_armed, 1);
    bk_timer_disarm(&timers, &l.timer);
    bk_timer_disarm(&timers, &l.timer);
    assert_int_equal(timers.n_armed, 0);
    for (int level = 0; level < BK_TIMERS_LEVELS; level++)
        assert_int_equal(timers.used[level], 0);
    bk_timers_run(&timers, 100);
    assert_int_equal(l.fired_at, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_sorted_model),
        cmocka_unit_test(one_large_jump_fires_all_in_the_order_of_their_deadlines),
        cmocka_unit_test(sleeping_until_next_is_on_time_and_wakes_rarely),
        cmocka_unit_test(a_timer_for_the_past_fires_at_the_next_run_even_at_the_same_time),
        cmocka_unit_test(a_callback_that_arms_for_the_past_does_not_hold_the_run),
        cmocka_unit_test(a_clock_that_steps_back_fires_nothing_and_loses_nothing),
        cmocka_unit_test(a_callback_may_free_its_own_timer),
        cmocka_unit_test(disarming_is_harmless_for_what_is_not_armed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
