/* SPDX-License-Identifier: Apache-2.0 */
/* client/session.h - one dialog that messages are exchanged in, as the Lync dialect does it: from INVITE to BYE (RFC 3261 13, 15). */
#ifndef BK_CLIENT_SESSION_H
#define BK_CLIENT_SESSION_H

#include "client/link.h"
#include "sip/dialog.h"

struct bk_client;
struct bk_outbox_key;

/*
 *   we invite:    INVITE with an SDP of `m=message` (ms/session.h) ->   <- 200   ACK ->          open
 *   they invite:  <- INVITE   180 ->   200 ->   (CANCEL instead: another endpoint of ours took it)   open
 *   open:         MESSAGE and INFO both ways; BYE from either side, or after idleness from ours
 *
 * A session belongs to the client and to one owner (a conversation) at once: the owner closes it or is told of its end. A
 * connection that goes takes its sessions along, without a word: the other side finds out when it uses one (481).
 */
struct bk_session;

enum bk_session_end {
    BK_SESSION_REFUSED, /* it never opened: refused, cancelled, or nobody answered */
    BK_SESSION_CLOSED,  /* BYE, or the other side knows nothing of it any more */
    BK_SESSION_IDLE,    /* nothing was said in it for long: we said BYE */
    BK_SESSION_LOST,    /* with the connection */
};

/* Never called from within a function of this header that the owner calls, but for bk_session_unknown. */
struct bk_session_ops {
    void (*open)(void *owner, struct bk_session *session);
    /* The pointer is dead afterwards. */
    void (*over)(void *owner, struct bk_session *session, enum bk_session_end why);
};

/* Invites that person. -ENOTCONN; -ENOMEM, -ENOSPC. */
int bk_session_invite(struct bk_client *c, const char *address, const struct bk_session_ops *ops,
                      void *owner, struct bk_session **ret);
/*
 * An INVITE for which bk_session_is_offer holds: rings for ring_ms, so that an endpoint with a better claim is first, then
 * takes it. It is answered, whatever comes back: 0; -EBADMSG: 400; -ENOMEM, -ENOSPC: 500.
 */
int bk_session_invited(struct bk_client *c, const struct bk_sip_msg *msg,
                       const struct bk_sip_head *head, int ring_ms,
                       const struct bk_session_ops *ops, void *owner, struct bk_session **ret);
bool bk_session_is_offer(const struct bk_sip_msg *msg);
/* The owner has done with it: BYE, CANCEL or a refusal goes out, and the owner hears nothing more. NULL is fine. */
void bk_session_close(struct bk_session *session);
/* The connection is gone: all of them, each owner is told. */
void bk_sessions_lost(struct bk_client *c);

/* The open session this request belongs to; NULL: none. */
struct bk_session *bk_session_find(struct bk_client *c, const struct bk_sip_msg *msg,
                                   const struct bk_sip_head *head);
/* The one with that Call-ID and tag of ours; NULL: there is none any more. */
struct bk_session *bk_session_of(struct bk_client *c, const char *call_id, const char *local_tag);
void *bk_session_owner(const struct bk_session *session); /* NULL: closed by it */
bool bk_session_is_open(const struct bk_session *session);
/* ACK, BYE, and INVITE, UPDATE or OPTIONS inside an open one; false: nothing was done. */
bool bk_session_request(struct bk_session *session, const struct bk_sip_msg *msg,
                        const struct bk_sip_head *head);

/* The next request inside: start line to User-Agent. The caller adds the rest. Counts as use. */
void bk_session_write(struct bk_session *session, const struct bk_ask *ask,
                      enum bk_sip_method method, struct bk_buf *to);
/* What the next request inside will be known by. -ENAMETOOLONG: the other side chose names that are not kept. */
int bk_session_key(const struct bk_session *session, struct bk_outbox_key *ret);
/* Something was said in it: idleness begins anew. */
void bk_session_used(struct bk_session *session);
/* A request inside it was answered 481 or 405: the other side forgot it. over() is called. */
void bk_session_unknown(struct bk_session *session);

#endif
