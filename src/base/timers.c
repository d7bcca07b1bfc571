/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slot of level L stands for 64^L ticks. A timer lies in the lowest level whose 64 slots reach
 * its deadline; when now_tick enters a slot of a higher level, the timers in it move down
 * ("cascade"). now_tick never passes a slot that holds something without emptying it, therefore
 * the slots of level L mean the 64 numbers behind now_tick >> 6 L, and a bit mask per level finds
 * the next one without walking over empty slots (Varghese and Lauck 1987, scheme 7).
 */
#include "base/timers.h"

enum { SLOT_BITS = 6, TICK_BITS = 4 };

_Static_assert(1 << SLOT_BITS == BK_TIMERS_SLOTS && 1 << TICK_BITS == BK_TIMERS_TICK_MS, "");

/* The farthest a slot of the top level can mean, 34 years; what is later waits there and moves on. */
static const int64_t reach_ticks = ((int64_t)1 << SLOT_BITS * BK_TIMERS_LEVELS) - 1;

static int64_t tick_down(int64_t ms)
{
    return ms >> TICK_BITS;
}

static int64_t tick_up(int64_t ms)
{
    return (ms >> TICK_BITS) + ((ms & (BK_TIMERS_TICK_MS - 1)) != 0);
}

static uint64_t rotr(uint64_t bits, unsigned n)
{
    n &= 63;
    return n ? bits >> n | bits << (64 - n) : bits;
}

static void place(struct bk_timers *timers, struct bk_timer *timer)
{
    int64_t delta = timer->at_tick - timers->now_tick;
    if (delta < 0)
        delta = 0;
    if (delta > reach_ticks)
        delta = reach_ticks;
    int level = 0;
    if (delta >= BK_TIMERS_SLOTS)
        level = (63 - __builtin_clzll((unsigned long long)delta)) / SLOT_BITS;
    int slot = (int)((timers->now_tick + delta) >> SLOT_BITS * level & (BK_TIMERS_SLOTS - 1));

    bk_list_append(&timers->slots[level][slot], &timer->in);
    timers->used[level] |= (uint64_t)1 << slot;
}

/* Takes the timer out of its list; where that was a slot and is empty now, its bit goes too. */
static void displace(struct bk_timers *timers, struct bk_timer *timer)
{
    struct bk_list *left = timer->in.prev == timer->in.next ? timer->in.next : NULL;
    bk_list_remove(&timer->in);
    uintptr_t at = (uintptr_t)left, slots = (uintptr_t)timers->slots;
    if (at < slots || at >= slots + sizeof timers->slots)
        return; /* others remain, or it was on the list of those about to fire */
    size_t i = (at - slots) / sizeof(struct bk_list);
    timers->used[i / BK_TIMERS_SLOTS] &= ~((uint64_t)1 << i % BK_TIMERS_SLOTS);
}

/* The first tick, not before now_tick, at which a slot that holds something begins. */
static int64_t next_tick(const struct bk_timers *timers)
{
    int64_t next = INT64_MAX;
    if (timers->used[0])
        next =
            timers->now_tick + __builtin_ctzll(rotr(timers->used[0], (unsigned)timers->now_tick));
    for (int level = 1; level < BK_TIMERS_LEVELS; level++) {
        if (!timers->used[level])
            continue;
        /* The slot now_tick is in was emptied on entering: what lies there is a round ahead. */
        int64_t behind = (timers->now_tick >> SLOT_BITS * level) + 1;
        int64_t number = behind + __builtin_ctzll(rotr(timers->used[level], (unsigned)behind));
        int64_t begins = number * ((int64_t)1 << SLOT_BITS * level);
        if (begins < next)
            next = begins;
    }
    return next;
}

static void take_slot(struct bk_timers *timers, int level, int slot, struct bk_list *to)
{
    struct bk_list *head = &timers->slots[level][slot];
    bk_list_init(to);
    if (!bk_list_empty(head)) {
        to->next = head->next;
        to->prev = head->prev;
        to->next->prev = to;
        to->prev->next = to;
        bk_list_init(head);
    }
    timers->used[level] &= ~((uint64_t)1 << slot);
}

/* Moves down what lies in the slots of higher levels that begin at now_tick. */
static void cascade(struct bk_timers *timers)
{
    for (int level = 1; level < BK_TIMERS_LEVELS; level++) {
        if (timers->now_tick & (((int64_t)1 << SLOT_BITS * level) - 1))
            return;
        int slot = (int)(timers->now_tick >> SLOT_BITS * level & (BK_TIMERS_SLOTS - 1));
        if (!(timers->used[level] >> slot & 1))
            continue;
        struct bk_list moving;
        take_slot(timers, level, slot, &moving);
        while (!bk_list_empty(&moving)) {
            struct bk_timer *timer = bk_container_of(moving.next, struct bk_timer, in);
            bk_list_remove(&timer->in);
            place(timers, timer);
        }
    }
}

void bk_timers_init(struct bk_timers *timers, int64_t now_ms)
{
    timers->now_tick = tick_down(now_ms);
    timers->n_armed = 0;
    for (int level = 0; level < BK_TIMERS_LEVELS; level++) {
        timers->used[level] = 0;
        for (int slot = 0; slot < BK_TIMERS_SLOTS; slot++)
            bk_list_init(&timers->slots[level][slot]);
    }
}

void bk_timer_init(struct bk_timer *timer, void (*fire)(struct bk_timer *timer))
{
    bk_list_init(&timer->in);
    timer->at_tick = 0;
    timer->fire = fire;
}

bool bk_timer_armed(const struct bk_timer *timer)
{
    return !bk_list_empty(&timer->in);
}

void bk_timer_arm(struct bk_timers *timers, struct bk_timer *timer, int64_t at_ms)
{
    bk_timer_disarm(timers, timer);
    timer->at_tick = tick_up(at_ms);
    place(timers, timer);
    timers->n_armed++;
}

void bk_timer_disarm(struct bk_timers *timers, struct bk_timer *timer)
{
    if (!bk_timer_armed(timer))
        return;
    displace(timers, timer);
    timers->n_armed--;
}

void bk_timers_run(struct bk_timers *timers, int64_t now_ms)
{
    int64_t until = tick_down(now_ms);
    if (until < timers->now_tick)
        until = timers->now_tick;

    /*
     * First all that are due, in the order of their ticks, then the callbacks: whatever one of
     * them arms for the past waits for the next run, so no run goes on for ever.
     */
    struct bk_list due;
    bk_list_init(&due);
    for (int64_t tick; (tick = next_tick(timers)) <= until;) {
        timers->now_tick = tick;
        cascade(timers);
        int slot = (int)(tick & (BK_TIMERS_SLOTS - 1));
        if (!(timers->used[0] >> slot & 1))
            continue;
        struct bk_list now;
        take_slot(timers, 0, slot, &now);
        now.next->prev = due.prev;
        due.prev->next = now.next;
        now.prev->next = &due;
        due.prev = now.prev;
    }
    timers->now_tick = until;

    while (!bk_list_empty(&due)) {
        struct bk_timer *timer = bk_container_of(due.next, struct bk_timer, in);
        bk_list_remove(&timer->in);
        timers->n_armed--;
        timer->fire(timer);
    }
}

int64_t bk_timers_next_ms(const struct bk_timers *timers)
{
    int64_t tick = next_tick(timers);
    return tick > INT64_MAX / BK_TIMERS_TICK_MS ? INT64_MAX : tick * BK_TIMERS_TICK_MS;
}
