/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/sub.h"

#include "base/cleanup.h"

enum {
    TIMER_N_MS = 64 * 500,   /* RFC 6665 4.1.2: 64*T1 for the first NOTIFY */
    RETRY_MS = 60 * 1000,    /* where a peer wants us to wait and does not say how long */
    RETRY_MAX_S = 24 * 3600, /* nor may it send us away for ever */
    EXPIRES_UNSAID_S = 3600, /* a 2xx without Expires, which RFC 6665 4.2.1.1 forbids */
    EXPIRES_MAX_S = 365 * 24 * 3600,
    REFRESH_AHEAD_MAX_S = 32, /* a whole transaction may fail and still leave us subscribed */
};

/* ---- Notifier ---- */

void bk_sip_notifier_init(struct bk_sip_notifier *n, struct bk_sip_dialog *dialog, bool active,
                          int64_t now_ms, int64_t granted_s)
{
    *n = (struct bk_sip_notifier){
        .dialog = dialog,
        .state = active ? BK_SIP_NOTIFIER_ACTIVE : BK_SIP_NOTIFIER_PENDING,
        .expires_at_ms = now_ms,
    };
    bk_sip_notifier_refresh(n, now_ms, granted_s);
}

void bk_sip_notifier_finish(struct bk_sip_notifier *n)
{
    n->dialog = bk_sip_dialog_destroy(n->dialog);
}

void bk_sip_notifier_end(struct bk_sip_notifier *n, const char *reason)
{
    if (n->state == BK_SIP_NOTIFIER_TERMINATED)
        return;
    n->state = BK_SIP_NOTIFIER_TERMINATED;
    n->reason = reason;
    n->dirty = true;
}

void bk_sip_notifier_refresh(struct bk_sip_notifier *n, int64_t now_ms, int64_t granted_s)
{
    if (n->state == BK_SIP_NOTIFIER_TERMINATED)
        return;
    if (granted_s <= 0) {
        n->expires_at_ms = now_ms;
        bk_sip_notifier_end(n, "timeout");
        return;
    }
    n->expires_at_ms = now_ms + (granted_s < EXPIRES_MAX_S ? granted_s : EXPIRES_MAX_S) * 1000;
    n->dirty = true; /* each SUBSCRIBE is followed by a NOTIFY, RFC 6665 4.2.1.2 */
}

bool bk_sip_notifier_due(const struct bk_sip_notifier *n)
{
    return n->dirty && !n->notify_in_flight;
}

void bk_sip_notifier_sent(struct bk_sip_notifier *n)
{
    n->dirty = false;
    n->notify_in_flight = true;
}

/* RFC 6665 4.2.2 ends a subscription whose NOTIFY failed, but where trying again may help. */
static bool may_be_repeated(int status)
{
    static const int passing[] = { 401, 407, 491, 500, 503, 504 };
    for (size_t i = 0; i < BK_COUNT_OF(passing); i++)
        if (passing[i] == status)
            return true;
    return false;
}

bool bk_sip_notifier_answered(struct bk_sip_notifier *n, int status)
{
    n->notify_in_flight = false;
    if (status / 100 == 2)
        return n->state != BK_SIP_NOTIFIER_TERMINATED || n->dirty;
    if (n->state != BK_SIP_NOTIFIER_TERMINATED && may_be_repeated(status))
        return true;
    /* Nobody is there to be told that it ended. */
    bk_sip_notifier_end(n, "noresource");
    n->dirty = false;
    return false;
}

void bk_sip_notifier_state_write(const struct bk_sip_notifier *n, struct bk_buf *to, int64_t now_ms)
{
    if (n->state == BK_SIP_NOTIFIER_TERMINATED) {
        bk_buf_add_lit(to, "terminated;reason=");
        bk_buf_add_str(to, n->reason ? n->reason : "noresource");
        return;
    }
    if (n->state == BK_SIP_NOTIFIER_ACTIVE)
        bk_buf_add_lit(to, "active;expires=");
    else
        bk_buf_add_lit(to, "pending;expires=");
    int64_t left_ms = n->expires_at_ms - now_ms;
    bk_buf_add_u64(to, left_ms > 0 ? (uint64_t)(left_ms + 999) / 1000 : 0);
}

/* ---- Subscriber ---- */

static int64_t wait_ms(int64_t retry_after_s)
{
    if (retry_after_s < 0)
        return RETRY_MS;
    return (retry_after_s < RETRY_MAX_S ? retry_after_s : RETRY_MAX_S) * 1000;
}

/* Nine tenths of the time, but for long ones no more than a transaction ahead of the end. */
static void set_expiry(struct bk_sip_subscriber *s, int64_t expires_s, int64_t now_ms)
{
    if (expires_s > EXPIRES_MAX_S)
        expires_s = EXPIRES_MAX_S;
    int64_t ahead_ms = expires_s * 100;
    if (ahead_ms > REFRESH_AHEAD_MAX_S * 1000)
        ahead_ms = REFRESH_AHEAD_MAX_S * 1000;
    s->expires_at_ms = now_ms + expires_s * 1000;
    s->refresh_at_ms = s->expires_at_ms - ahead_ms;
}

static enum bk_sip_subscriber_next stop_here(struct bk_sip_subscriber *s,
                                             enum bk_sip_subscriber_next next,
                                             int64_t retry_after_s, int64_t now_ms)
{
    s->state = BK_SIP_SUBSCRIBER_TERMINATED;
    s->refresh_at_ms = s->expires_at_ms = INT64_MAX;
    if (s->leaving)
        return BK_SIP_SUBSCRIBER_STOP;
    if (next == BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER)
        s->retry_at_ms = now_ms + wait_ms(retry_after_s);
    return next;
}

void bk_sip_subscriber_init(struct bk_sip_subscriber *s, int64_t now_ms)
{
    *s = (struct bk_sip_subscriber){
        .state = BK_SIP_SUBSCRIBER_NOTIFY_WAIT,
        .refresh_at_ms = INT64_MAX,
        .expires_at_ms = now_ms + TIMER_N_MS,
        .retry_at_ms = INT64_MAX,
    };
}

void bk_sip_subscriber_leave(struct bk_sip_subscriber *s, int64_t now_ms)
{
    if (s->state == BK_SIP_SUBSCRIBER_TERMINATED)
        return;
    s->leaving = true;
    s->refresh_at_ms = INT64_MAX;
    s->expires_at_ms = now_ms + TIMER_N_MS; /* for the last NOTIFY */
}

enum bk_sip_subscriber_next bk_sip_subscriber_expired(struct bk_sip_subscriber *s, int64_t now_ms)
{
    if (s->state == BK_SIP_SUBSCRIBER_TERMINATED || now_ms < s->expires_at_ms)
        return BK_SIP_SUBSCRIBER_KEEP;
    /* Timer N: nothing came for our SUBSCRIBE; at once would be a loop. Else it ran out under us. */
    enum bk_sip_subscriber_next next = s->state == BK_SIP_SUBSCRIBER_NOTIFY_WAIT
                                           ? BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER
                                           : BK_SIP_SUBSCRIBER_RESUBSCRIBE_NOW;
    return stop_here(s, next, -1, now_ms);
}

/*
 * What a refused SUBSCRIBE means. The first column is RFC 6665 4.1.2.2: these end a running
 * subscription, anything else leaves it until it expires. The second: what to do where there is
 * none (any more).
 */
struct refusal {
    int status;
    bool ends;
    enum bk_sip_subscriber_next next;
};
static const struct refusal refusals[] = {
    /* clang-format off */
    { 404, true,  BK_SIP_SUBSCRIBER_STOP },
    { 405, true,  BK_SIP_SUBSCRIBER_STOP },
    { 408, false, BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER },
    { 410, true,  BK_SIP_SUBSCRIBER_STOP },
    { 416, true,  BK_SIP_SUBSCRIBER_STOP },
    { 423, false, BK_SIP_SUBSCRIBER_RESUBSCRIBE_NOW }, /* with Min-Expires */
    { 430, false, BK_SIP_SUBSCRIBER_RESUBSCRIBE_NOW }, /* flow failed: over another, RFC 5626 */
    { 480, true,  BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER },
    { 481, true,  BK_SIP_SUBSCRIBER_RESUBSCRIBE_NOW }, /* they lost it, or never had it */
    { 482, true,  BK_SIP_SUBSCRIBER_STOP },
    { 483, true,  BK_SIP_SUBSCRIBER_STOP },
    { 484, true,  BK_SIP_SUBSCRIBER_STOP },
    { 485, true,  BK_SIP_SUBSCRIBER_STOP },
    { 486, false, BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER },
    { 489, true,  BK_SIP_SUBSCRIBER_STOP },
    { 491, false, BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER },
    { 501, true,  BK_SIP_SUBSCRIBER_STOP },
    { 600, false, BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER },
    { 604, true,  BK_SIP_SUBSCRIBER_STOP },
    /* clang-format on */
};

static struct refusal refusal_of(int status)
{
    for (size_t i = 0; i < BK_COUNT_OF(refusals); i++)
        if (refusals[i].status == status)
            return refusals[i];
    /* No answer, and 5xx: it may pass. Another 4xx or 6xx says the same tomorrow. */
    bool passes = status == 0 || status / 100 == 5;
    return (struct refusal){
        .status = status,
        .next = passes ? BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER : BK_SIP_SUBSCRIBER_STOP,
    };
}

/* A running subscription whose refresh failed: again before it ends, if there is time. */
static void refresh_again(struct bk_sip_subscriber *s, int64_t retry_after_s, int64_t now_ms)
{
    int64_t left_ms = s->expires_at_ms - now_ms;
    int64_t in_ms = retry_after_s >= 0 ? wait_ms(retry_after_s) : left_ms / 2;
    s->refresh_at_ms = in_ms < left_ms && left_ms > 1000 ? now_ms + in_ms : INT64_MAX;
}

enum bk_sip_subscriber_next bk_sip_subscriber_response(struct bk_sip_subscriber *s, int status,
                                                       int64_t expires_s, int64_t retry_after_s,
                                                       int64_t now_ms)
{
    if (s->state == BK_SIP_SUBSCRIBER_TERMINATED || status / 100 == 1)
        return BK_SIP_SUBSCRIBER_KEEP;
    if (status / 100 == 2) {
        if (s->leaving || expires_s == 0)
            return BK_SIP_SUBSCRIBER_KEEP; /* the last NOTIFY ends it */
        int64_t timer_n_ms = s->expires_at_ms;
        set_expiry(s, expires_s < 0 ? EXPIRES_UNSAID_S : expires_s, now_ms);
        if (s->state == BK_SIP_SUBSCRIBER_NOTIFY_WAIT) {
            s->answered_expires_at_ms = s->expires_at_ms;
            s->expires_at_ms = timer_n_ms; /* Timer N still runs */
        }
        return BK_SIP_SUBSCRIBER_KEEP;
    }
    struct refusal refusal = refusal_of(status);
    if (s->state == BK_SIP_SUBSCRIBER_NOTIFY_WAIT || s->leaving || refusal.ends)
        return stop_here(s, refusal.next, retry_after_s, now_ms);
    refresh_again(s, retry_after_s, now_ms);
    return BK_SIP_SUBSCRIBER_KEEP;
}

/* RFC 6665 4.1.3. */
static const struct {
    struct bk_view reason;
    enum bk_sip_subscriber_next next;
    bool heeds_retry_after;
} reasons[] = {
    /* clang-format off */
    { { BK_VIEW_OF("deactivated") }, BK_SIP_SUBSCRIBER_RESUBSCRIBE_NOW,   false },
    { { BK_VIEW_OF("probation") },   BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER, true },
    { { BK_VIEW_OF("rejected") },    BK_SIP_SUBSCRIBER_STOP,              false },
    { { BK_VIEW_OF("timeout") },     BK_SIP_SUBSCRIBER_RESUBSCRIBE_NOW,   false },
    { { BK_VIEW_OF("giveup") },      BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER, true },
    { { BK_VIEW_OF("noresource") },  BK_SIP_SUBSCRIBER_STOP,              false },
    { { BK_VIEW_OF("invariant") },   BK_SIP_SUBSCRIBER_STOP,              false },
    /* clang-format on */
};

static enum bk_sip_subscriber_next
terminated(struct bk_sip_subscriber *s, const struct bk_sip_subscription_state *st, int64_t now_ms)
{
    for (size_t i = 0; i < BK_COUNT_OF(reasons); i++)
        if (bk_view_equal_nocase(reasons[i].reason, st->reason))
            return stop_here(s, reasons[i].next,
                             reasons[i].heeds_retry_after ? st->retry_after_s : -1, now_ms);
    /* No reason, or one nobody knows: we may come back "at any time", so not at once and for ever. */
    return stop_here(s, BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER, st->retry_after_s, now_ms);
}

enum bk_sip_subscriber_next bk_sip_subscriber_notify(struct bk_sip_subscriber *s,
                                                     const struct bk_sip_subscription_state *st,
                                                     int64_t now_ms)
{
    if (s->state == BK_SIP_SUBSCRIBER_TERMINATED)
        return BK_SIP_SUBSCRIBER_KEEP;
    if (st->state == BK_SIP_SUB_TERMINATED)
        return terminated(s, st, now_ms);

    bool first = s->state == BK_SIP_SUBSCRIBER_NOTIFY_WAIT;
    if (st->state == BK_SIP_SUB_ACTIVE)
        s->state = BK_SIP_SUBSCRIBER_ACTIVE;
    else if (st->state == BK_SIP_SUB_PENDING ||
             first) /* a state nobody knows promises nothing yet */
        s->state = BK_SIP_SUBSCRIBER_PENDING;
    if (s->leaving)
        return BK_SIP_SUBSCRIBER_KEEP;
    if (st->expires_s >= 0) /* the notifier's word counts */
        set_expiry(s, st->expires_s, now_ms);
    else if (first && s->answered_expires_at_ms)
        s->expires_at_ms = s->answered_expires_at_ms;
    else if (first)
        set_expiry(s, EXPIRES_UNSAID_S, now_ms);
    return BK_SIP_SUBSCRIBER_KEEP;
}
