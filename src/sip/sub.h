/* SPDX-License-Identifier: Apache-2.0 */
/* sip/sub.h - the two ends of a subscription (RFC 6665), as tables of states and what follows. Pure. */
#ifndef BK_SIP_SUB_H
#define BK_SIP_SUB_H

#include "sip/dialog.h"
#include "sip/fields.h"

/*
 * Notifier (RFC 6665 4.2, figure 2): one subscription that somebody has here. The owner holds it,
 * sends what it asks for and tells it what happened; deadlines are monotonic milliseconds.
 */
enum bk_sip_notifier_state {
    BK_SIP_NOTIFIER_PENDING,
    BK_SIP_NOTIFIER_ACTIVE,
    BK_SIP_NOTIFIER_TERMINATED,
};
struct bk_sip_notifier {
    struct bk_sip_dialog *dialog; /* owned */
    enum bk_sip_notifier_state state;
    int64_t expires_at_ms;
    const char
        *reason; /* of TERMINATED: "timeout", "deactivated", "rejected", "noresource", "giveup" */
    bool
        notify_in_flight; /* one NOTIFY at a time (RFC 6665 4.2.2): a change meanwhile sets dirty */
    bool dirty;           /* something to tell once the one in flight is answered */
};
/* Takes the dialog over. granted_s as already decided by the owner. */
void bk_sip_notifier_init(struct bk_sip_notifier *n, struct bk_sip_dialog *dialog, bool active,
                          int64_t now_ms, int64_t granted_s);
void bk_sip_notifier_finish(struct bk_sip_notifier *n);
/* A refresh (granted_s > 0) or an end (0: state TERMINATED, reason "timeout"; a last NOTIFY is due). */
void bk_sip_notifier_refresh(struct bk_sip_notifier *n, int64_t now_ms, int64_t granted_s);
/* Ends it from our side; a last NOTIFY is due. Once terminated nothing brings it back. */
void bk_sip_notifier_end(struct bk_sip_notifier *n, const char *reason);
/* Shall a NOTIFY go out now? The owner writes it and says sent. After init, refresh and end it is due. */
bool bk_sip_notifier_due(const struct bk_sip_notifier *n);
void bk_sip_notifier_sent(struct bk_sip_notifier *n);
/*
 * The answer to a NOTIFY (status 0: none, timed out or flow gone). true: the subscription lives on, or
 * its last NOTIFY is still due. Refusals and timeouts end it (4.2.2), but for those that may pass
 * (401, 407, 491, 500, 503, 504): then the owner sets dirty when it wants to try again.
 */
bool bk_sip_notifier_answered(struct bk_sip_notifier *n, int status);
/* `Subscription-State: active;expires=123` value. */
void bk_sip_notifier_state_write(const struct bk_sip_notifier *n, struct bk_buf *to,
                                 int64_t now_ms);

/* Subscriber (RFC 6665 4.1): one subscription of ours. */
enum bk_sip_subscriber_state {
    BK_SIP_SUBSCRIBER_NOTIFY_WAIT, /* SUBSCRIBE sent; Timer N runs until a NOTIFY comes */
    BK_SIP_SUBSCRIBER_PENDING,
    BK_SIP_SUBSCRIBER_ACTIVE,
    BK_SIP_SUBSCRIBER_TERMINATED,
};
enum bk_sip_subscriber_next {
    BK_SIP_SUBSCRIBER_KEEP,
    BK_SIP_SUBSCRIBER_RESUBSCRIBE_NOW,   /* deactivated, timeout: with a new dialog */
    BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER, /* probation, giveup, no or an unknown reason; retry_at_ms */
    BK_SIP_SUBSCRIBER_STOP,              /* rejected, noresource, invariant; or we left */
};
struct bk_sip_subscriber {
    enum bk_sip_subscriber_state state;
    int64_t
        refresh_at_ms; /* next SUBSCRIBE is due: before expiry (RFC 6665 4.1.2.2); INT64_MAX: none */
    int64_t expires_at_ms; /* in NOTIFY_WAIT: Timer N; then bk_sip_subscriber_expired is due */
    int64_t retry_at_ms;
    int64_t answered_expires_at_ms; /* what the 2xx said before the first NOTIFY came; 0: nothing */
    bool leaving;
};
void bk_sip_subscriber_init(struct bk_sip_subscriber *s, int64_t now_ms);
/* A SUBSCRIBE with Expires 0 goes out: whatever is heard from now on, nothing is subscribed again. */
void bk_sip_subscriber_leave(struct bk_sip_subscriber *s, int64_t now_ms);
/* At expires_at_ms: no NOTIFY came in time, or no refresh succeeded. KEEP while it is too early. */
enum bk_sip_subscriber_next bk_sip_subscriber_expired(struct bk_sip_subscriber *s, int64_t now_ms);
/*
 * Final answer to SUBSCRIBE (0: none came); expires_s and retry_after_s from it, -1 where missing. A
 * challenge (401, 407) is the owner's to answer before. Where a refusal does not end a running
 * subscription (4.1.2.2), refresh_at_ms says when to try again.
 */
enum bk_sip_subscriber_next bk_sip_subscriber_response(struct bk_sip_subscriber *s, int status,
                                                       int64_t expires_s, int64_t retry_after_s,
                                                       int64_t now_ms);
enum bk_sip_subscriber_next bk_sip_subscriber_notify(struct bk_sip_subscriber *s,
                                                     const struct bk_sip_subscription_state *st,
                                                     int64_t now_ms);

#endif
