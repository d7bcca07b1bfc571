/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends of a subscription against RFC 6665, row by row. */
#include "sip/sub.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NOW = 5000000 };

static void check_state(const struct bk_sip_notifier *n, int64_t now_ms, const char *want)
{
    BK_AUTO_BUF struct bk_buf to = { 0 };
    bk_sip_notifier_state_write(n, &to, now_ms);
    assert_string_equal(bk_buf_cstr(&to), want);
    struct bk_sip_subscription_state st;
    assert_int_equal(bk_sip_subscription_state_parse(bk_buf_view(&to), &st), 0);
}

/* ---- Notifier ---- */

static void a_notifier_tells_its_state_and_what_is_left(void **state)
{
    (void)state;
    struct bk_sip_notifier n;
    bk_sip_notifier_init(&n, NULL, false, NOW, 600);
    assert_int_equal(n.state, BK_SIP_NOTIFIER_PENDING);
    check_state(&n, NOW, "pending;expires=600");
    n.state = BK_SIP_NOTIFIER_ACTIVE;
    check_state(&n, NOW + 1, "active;expires=600"); /* a started second counts */
    check_state(&n, NOW + 1000, "active;expires=599");
    check_state(&n, NOW + 600001, "active;expires=0");
    bk_sip_notifier_end(&n, "deactivated");
    check_state(&n, NOW, "terminated;reason=deactivated");
    bk_sip_notifier_finish(&n);
}

static void each_subscribe_and_each_end_is_followed_by_one_notify(void **state)
{
    (void)state;
    struct bk_sip_notifier n;
    bk_sip_notifier_init(&n, NULL, true, NOW, 600);
    assert_true(bk_sip_notifier_due(&n));
    bk_sip_notifier_sent(&n);
    assert_false(bk_sip_notifier_due(&n));
    n.dirty = true; /* changed twice while one is in flight: told once */
    n.dirty = true;
    assert_false(bk_sip_notifier_due(&n));
    assert_true(bk_sip_notifier_answered(&n, 200));
    assert_true(bk_sip_notifier_due(&n));
    bk_sip_notifier_sent(&n);
    assert_true(bk_sip_notifier_answered(&n, 200));
    assert_false(bk_sip_notifier_due(&n));

    bk_sip_notifier_refresh(&n, NOW + 1000, 300);
    assert_int_equal(n.expires_at_ms, NOW + 301000);
    assert_true(bk_sip_notifier_due(&n));
    bk_sip_notifier_sent(&n);
    bk_sip_notifier_refresh(&n, NOW + 2000, 0);
    check_state(&n, NOW + 2000, "terminated;reason=timeout");
    assert_true(bk_sip_notifier_answered(&n, 200)); /* of the one before; the last is due */
    assert_true(bk_sip_notifier_due(&n));
    bk_sip_notifier_sent(&n);
    assert_false(bk_sip_notifier_answered(&n, 200));
}

static void a_terminated_subscription_stays_so(void **state)
{
    (void)state;
    struct bk_sip_notifier n;
    bk_sip_notifier_init(&n, NULL, true, NOW, 600);
    bk_sip_notifier_end(&n, "rejected");
    bk_sip_notifier_refresh(&n, NOW, 600);
    bk_sip_notifier_end(&n, "giveup");
    check_state(&n, NOW, "terminated;reason=rejected");
}

static void a_fetch_is_a_subscription_that_ends_with_its_first_notify(void **state)
{
    (void)state;
    struct bk_sip_notifier n;
    bk_sip_notifier_init(&n, NULL, true, NOW, 0);
    check_state(&n, NOW, "terminated;reason=timeout");
    assert_true(bk_sip_notifier_due(&n));
    bk_sip_notifier_sent(&n);
    assert_false(bk_sip_notifier_answered(&n, 200));
}

static void a_failed_notify_ends_it_but_where_it_may_pass(void **state)
{
    (void)state;
    static const struct {
        int status;
        bool lives;
    } rows[] = {
        { 200, true },  { 202, true },  { 0, false },   { 400, false }, { 401, true },
        { 403, false }, { 404, false }, { 405, false }, { 407, true },  { 408, false },
        { 481, false }, { 489, false }, { 491, true },  { 500, true },  { 501, false },
        { 503, true },  { 504, true },  { 603, false }, { 302, false },
    };
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        struct bk_sip_notifier n;
        bk_sip_notifier_init(&n, NULL, true, NOW, 600);
        bk_sip_notifier_sent(&n);
        n.dirty = true;
        assert_int_equal(bk_sip_notifier_answered(&n, rows[i].status), rows[i].lives);
        assert_int_equal(n.state,
                         rows[i].lives ? BK_SIP_NOTIFIER_ACTIVE : BK_SIP_NOTIFIER_TERMINATED);
        assert_false(n.notify_in_flight);
        /* Nobody is told any more where nobody is. */
        assert_int_equal(bk_sip_notifier_due(&n), rows[i].lives);
    }
    struct bk_sip_notifier n;
    bk_sip_notifier_init(&n, NULL, true, NOW, 600);
    bk_sip_notifier_end(&n, "giveup");
    bk_sip_notifier_sent(&n);
    assert_false(bk_sip_notifier_answered(&n, 503)); /* it was the last one anyway */
}

static void a_grant_without_bounds_does_not_overflow(void **state)
{
    (void)state;
    struct bk_sip_notifier n;
    bk_sip_notifier_init(&n, NULL, true, NOW, INT64_MAX);
    assert_true(n.expires_at_ms > NOW);
    struct bk_sip_subscriber s;
    bk_sip_subscriber_init(&s, NOW);
    bk_sip_subscriber_response(&s, 200, INT64_MAX, -1, NOW);
    struct bk_sip_subscription_state st = { .state = BK_SIP_SUB_ACTIVE, .expires_s = INT64_MAX };
    bk_sip_subscriber_notify(&s, &st, NOW);
    assert_true(s.expires_at_ms > s.refresh_at_ms && s.refresh_at_ms > NOW);
    st = (struct bk_sip_subscription_state){ .state = BK_SIP_SUB_TERMINATED,
                                             .reason = BK_VIEW("probation"),
                                             .retry_after_s = INT64_MAX };
    assert_int_equal(bk_sip_subscriber_notify(&s, &st, NOW), BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER);
    assert_true(s.retry_at_ms > NOW && s.retry_at_ms <= NOW + 24LL * 3600 * 1000);
}

/* ---- Subscriber ---- */

static enum bk_sip_subscriber_next hear(struct bk_sip_subscriber *s, const char *value,
                                        int64_t now_ms)
{
    struct bk_sip_subscription_state st;
    assert_int_equal(bk_sip_subscription_state_parse(bk_view_of_str(value), &st), 0);
    return bk_sip_subscriber_notify(s, &st, now_ms);
}

static void subscribed(struct bk_sip_subscriber *s)
{
    bk_sip_subscriber_init(s, NOW);
    assert_int_equal(bk_sip_subscriber_response(s, 200, 600, -1, NOW), BK_SIP_SUBSCRIBER_KEEP);
    assert_int_equal(hear(s, "active;expires=600", NOW), BK_SIP_SUBSCRIBER_KEEP);
    assert_int_equal(s->state, BK_SIP_SUBSCRIBER_ACTIVE);
}

static void the_first_notify_ends_the_waiting(void **state)
{
    (void)state;
    struct bk_sip_subscriber s;
    bk_sip_subscriber_init(&s, NOW);
    assert_int_equal(s.state, BK_SIP_SUBSCRIBER_NOTIFY_WAIT);
    assert_int_equal(s.expires_at_ms, NOW + 32000); /* Timer N */
    bk_sip_subscriber_response(&s, 200, 600, -1, NOW + 100);
    assert_int_equal(s.state, BK_SIP_SUBSCRIBER_NOTIFY_WAIT);
    assert_int_equal(s.expires_at_ms, NOW + 32000);
    assert_int_equal(bk_sip_subscriber_expired(&s, NOW + 31999), BK_SIP_SUBSCRIBER_KEEP);
    assert_int_equal(hear(&s, "pending", NOW + 200), BK_SIP_SUBSCRIBER_KEEP);
    assert_int_equal(s.state, BK_SIP_SUBSCRIBER_PENDING);
    assert_int_equal(s.expires_at_ms, NOW + 600100); /* what the 200 granted */
    assert_int_equal(s.refresh_at_ms, NOW + 568100);
    assert_int_equal(hear(&s, "active;expires=60", NOW + 300), BK_SIP_SUBSCRIBER_KEEP);
    assert_int_equal(s.state, BK_SIP_SUBSCRIBER_ACTIVE);
    assert_int_equal(s.expires_at_ms, NOW + 60300); /* the notifier knows better */
    assert_int_equal(s.refresh_at_ms, NOW + 54300);
    assert_int_equal(hear(&s, "active", NOW + 400), BK_SIP_SUBSCRIBER_KEEP);
    assert_int_equal(s.expires_at_ms, NOW + 60300);
    assert_int_equal(hear(&s, "waiting", NOW + 500), BK_SIP_SUBSCRIBER_KEEP); /* never heard of */
    assert_int_equal(s.state, BK_SIP_SUBSCRIBER_ACTIVE);
}

static void a_notify_may_overtake_the_answer(void **state)
{
    (void)state;
    struct bk_sip_subscriber s;
    bk_sip_subscriber_init(&s, NOW);
    hear(&s, "active;expires=300", NOW);
    assert_int_equal(s.expires_at_ms, NOW + 300000);
    bk_sip_subscriber_response(&s, 200, 300, -1, NOW + 50);
    assert_int_equal(s.expires_at_ms, NOW + 300050);
    assert_int_equal(s.state, BK_SIP_SUBSCRIBER_ACTIVE);
}

static void without_a_notify_timer_n_ends_it(void **state)
{
    (void)state;
    struct bk_sip_subscriber s;
    bk_sip_subscriber_init(&s, NOW);
    bk_sip_subscriber_response(&s, 200, 600, -1, NOW);
    assert_int_equal(bk_sip_subscriber_expired(&s, NOW + 32000),
                     BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER);
    assert_int_equal(s.state, BK_SIP_SUBSCRIBER_TERMINATED);
    assert_true(s.retry_at_ms > NOW + 32000);
    assert_int_equal(bk_sip_subscriber_expired(&s, NOW + 99000), BK_SIP_SUBSCRIBER_KEEP);
}

static void a_subscription_nobody_could_refresh_is_made_anew(void **state)
{
    (void)state;
    struct bk_sip_subscriber s;
    subscribed(&s);
    assert_int_equal(bk_sip_subscriber_expired(&s, NOW + 599999), BK_SIP_SUBSCRIBER_KEEP);
    assert_int_equal(bk_sip_subscriber_expired(&s, NOW + 600000),
                     BK_SIP_SUBSCRIBER_RESUBSCRIBE_NOW);
}

/* RFC 6665 4.1.3 */
static void each_reason_of_an_end_has_its_consequence(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        enum bk_sip_subscriber_next next;
        int64_t retry_in_s; /* of LATER */
    } rows[] = {
        { "terminated;reason=deactivated", BK_SIP_SUBSCRIBER_RESUBSCRIBE_NOW, 0 },
        { "terminated;reason=deactivated;retry-after=9", BK_SIP_SUBSCRIBER_RESUBSCRIBE_NOW, 0 },
        { "terminated;reason=probation", BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER, 60 },
        { "terminated;reason=probation;retry-after=9", BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER, 9 },
        { "terminated;reason=rejected", BK_SIP_SUBSCRIBER_STOP, 0 },
        { "terminated;reason=rejected;retry-after=9", BK_SIP_SUBSCRIBER_STOP, 0 },
        { "terminated;reason=timeout", BK_SIP_SUBSCRIBER_RESUBSCRIBE_NOW, 0 },
        { "terminated;reason=Timeout;retry-after=9", BK_SIP_SUBSCRIBER_RESUBSCRIBE_NOW, 0 },
        { "terminated;reason=giveup", BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER, 60 },
        { "terminated;reason=giveup;retry-after=9", BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER, 9 },
        { "terminated;reason=noresource", BK_SIP_SUBSCRIBER_STOP, 0 },
        { "terminated;reason=invariant", BK_SIP_SUBSCRIBER_STOP, 0 },
        { "terminated", BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER, 60 },
        { "terminated;retry-after=9", BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER, 9 },
        { "terminated;reason=solar-flare;retry-after=9", BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER, 9 },
    };
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        struct bk_sip_subscriber s;
        subscribed(&s);
        assert_int_equal(hear(&s, rows[i].value, NOW + 1000), rows[i].next);
        assert_int_equal(s.state, BK_SIP_SUBSCRIBER_TERMINATED);
        if (rows[i].next == BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER)
            assert_int_equal(s.retry_at_ms, NOW + 1000 + rows[i].retry_in_s * 1000);
        /* It is over: nothing that comes now means anything. */
        assert_int_equal(hear(&s, "active;expires=60", NOW + 2000), BK_SIP_SUBSCRIBER_KEEP);
        assert_int_equal(s.state, BK_SIP_SUBSCRIBER_TERMINATED);

        bk_sip_subscriber_init(&s, NOW); /* as the first NOTIFY, too */
        assert_int_equal(hear(&s, rows[i].value, NOW), rows[i].next);

        subscribed(&s);
        bk_sip_subscriber_leave(&s, NOW);
        assert_int_equal(hear(&s, rows[i].value, NOW), BK_SIP_SUBSCRIBER_STOP);
    }
}

/* RFC 6665 4.1.2.2 and 4.1.2.1 */
static void each_refusal_has_its_consequence(void **state)
{
    (void)state;
    static const struct {
        int status;
        bool ends_a_running_one;
        enum bk_sip_subscriber_next first;
    } rows[] = {
        { 0, false, BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER },
        { 302, false, BK_SIP_SUBSCRIBER_STOP },
        { 400, false, BK_SIP_SUBSCRIBER_STOP },
        { 403, false, BK_SIP_SUBSCRIBER_STOP },
        { 404, true, BK_SIP_SUBSCRIBER_STOP },
        { 405, true, BK_SIP_SUBSCRIBER_STOP },
        { 408, false, BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER },
        { 410, true, BK_SIP_SUBSCRIBER_STOP },
        { 416, true, BK_SIP_SUBSCRIBER_STOP },
        { 423, false, BK_SIP_SUBSCRIBER_RESUBSCRIBE_NOW },
        { 480, true, BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER },
        { 481, true, BK_SIP_SUBSCRIBER_RESUBSCRIBE_NOW },
        { 482, true, BK_SIP_SUBSCRIBER_STOP },
        { 483, true, BK_SIP_SUBSCRIBER_STOP },
        { 484, true, BK_SIP_SUBSCRIBER_STOP },
        { 485, true, BK_SIP_SUBSCRIBER_STOP },
        { 486, false, BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER },
        { 489, true, BK_SIP_SUBSCRIBER_STOP },
        { 500, false, BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER },
        { 501, true, BK_SIP_SUBSCRIBER_STOP },
        { 503, false, BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER },
        { 603, false, BK_SIP_SUBSCRIBER_STOP },
        { 604, true, BK_SIP_SUBSCRIBER_STOP },
    };
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        struct bk_sip_subscriber s;
        bk_sip_subscriber_init(&s, NOW);
        assert_int_equal(bk_sip_subscriber_response(&s, rows[i].status, -1, 7, NOW), rows[i].first);
        assert_int_equal(s.state, BK_SIP_SUBSCRIBER_TERMINATED);
        if (rows[i].first == BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER)
            assert_int_equal(s.retry_at_ms, NOW + 7000);

        subscribed(&s);
        int64_t later = s.refresh_at_ms;
        enum bk_sip_subscriber_next next =
            bk_sip_subscriber_response(&s, rows[i].status, -1, -1, later);
        assert_int_equal(next, rows[i].ends_a_running_one ? rows[i].first : BK_SIP_SUBSCRIBER_KEEP);
        assert_int_equal(s.state == BK_SIP_SUBSCRIBER_TERMINATED, rows[i].ends_a_running_one);
        if (!rows[i].ends_a_running_one) {
            assert_int_equal(s.expires_at_ms, NOW + 600000);
            assert_int_equal(s.refresh_at_ms, later + 16000); /* half of what is left */
        }
    }
}

static void a_failed_refresh_is_tried_again_only_while_there_is_time(void **state)
{
    (void)state;
    struct bk_sip_subscriber s;
    subscribed(&s);
    int64_t now = s.refresh_at_ms;
    int tries = 0;
    while (s.refresh_at_ms != INT64_MAX) {
        now = s.refresh_at_ms;
        assert_true(now < s.expires_at_ms);
        bk_sip_subscriber_response(&s, 503, -1, -1, now);
        assert_true(++tries < 10);
    }
    assert_true(tries >= 4);
    subscribed(&s);
    bk_sip_subscriber_response(&s, 503, -1, 3600, NOW + 500000); /* not before it is over */
    assert_int_equal(s.refresh_at_ms, INT64_MAX);
    subscribed(&s);
    bk_sip_subscriber_response(&s, 503, -1, 20, NOW + 500000);
    assert_int_equal(s.refresh_at_ms, NOW + 520000);
    bk_sip_subscriber_response(&s, 200, 600, -1, NOW + 520000);
    assert_int_equal(s.expires_at_ms, NOW + 1120000);
}

static void who_leaves_stops_whatever_is_heard(void **state)
{
    (void)state;
    struct bk_sip_subscriber s;
    subscribed(&s);
    bk_sip_subscriber_leave(&s, NOW);
    assert_int_equal(s.refresh_at_ms, INT64_MAX);
    assert_int_equal(bk_sip_subscriber_response(&s, 200, 0, -1, NOW), BK_SIP_SUBSCRIBER_KEEP);
    assert_int_equal(hear(&s, "active;expires=500", NOW),
                     BK_SIP_SUBSCRIBER_KEEP); /* crossed ours */
    assert_int_equal(s.refresh_at_ms, INT64_MAX);
    assert_int_equal(bk_sip_subscriber_expired(&s, NOW + 32000), BK_SIP_SUBSCRIBER_STOP);
    subscribed(&s);
    bk_sip_subscriber_leave(&s, NOW);
    assert_int_equal(bk_sip_subscriber_response(&s, 503, -1, -1, NOW), BK_SIP_SUBSCRIBER_STOP);
    assert_int_equal(s.state, BK_SIP_SUBSCRIBER_TERMINATED);
}

static void short_subscriptions_are_refreshed_in_time_too(void **state)
{
    (void)state;
    static const int64_t lengths[] = { 1, 2, 10, 60, 300, 320, 600, 3600, 86400 };
    for (size_t i = 0; i < BK_COUNT_OF(lengths); i++) {
        struct bk_sip_subscriber s;
        bk_sip_subscriber_init(&s, NOW);
        bk_sip_subscriber_response(&s, 200, lengths[i], -1, NOW);
        hear(&s, "active", NOW);
        assert_int_equal(s.expires_at_ms, NOW + lengths[i] * 1000);
        assert_in_range(s.expires_at_ms - s.refresh_at_ms,
                        lengths[i] < 320 ? lengths[i] * 100 : 32000, 32000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_notifier_tells_its_state_and_what_is_left),
        cmocka_unit_test(each_subscribe_and_each_end_is_followed_by_one_notify),
        cmocka_unit_test(a_terminated_subscription_stays_so),
        cmocka_unit_test(a_fetch_is_a_subscription_that_ends_with_its_first_notify),
        cmocka_unit_test(a_failed_notify_ends_it_but_where_it_may_pass),
        cmocka_unit_test(a_grant_without_bounds_does_not_overflow),
        cmocka_unit_test(the_first_notify_ends_the_waiting),
        cmocka_unit_test(a_notify_may_overtake_the_answer),
        cmocka_unit_test(without_a_notify_timer_n_ends_it),
        cmocka_unit_test(a_subscription_nobody_could_refresh_is_made_anew),
        cmocka_unit_test(each_reason_of_an_end_has_its_consequence),
        cmocka_unit_test(each_refusal_has_its_consequence),
        cmocka_unit_test(a_failed_refresh_is_tried_again_only_while_there_is_time),
        cmocka_unit_test(who_leaves_stops_whatever_is_heard),
        cmocka_unit_test(short_subscriptions_are_refreshed_in_time_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
