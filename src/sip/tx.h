/* SPDX-License-Identifier: Apache-2.0 */
/* sip/tx.h - the four transaction machines (RFC 3261 17, figures 5 to 8, as RFC 6026 mends them). */
#ifndef BK_SIP_TX_H
#define BK_SIP_TX_H

#include "base/clock.h"
#include "base/map.h"
#include "base/random.h"
#include "base/timers.h"
#include "sip/msg.h"

/*
 * Where bytes go: a number that the owner of the sockets gave. Over a reliable flow (TCP, TLS) nothing is
 * sent twice and the waiting states D, I, J, K last no time.
 */
struct bk_sip_flow {
    uint64_t id;
    bool reliable;
};

struct bk_sip_txs; /* the layer of one shard: all its transactions, one thread */
struct bk_sip_tx;  /* one transaction; owned by the layer, see bk_sip_tx_user */

/*
 * What the owner of a transaction hears. All are called from within bk_sip_txs_* / bk_timers_run,
 * never from within a bk_sip_tx_* call itself; each may create, answer, cancel and forget any
 * transaction, this one too. The last call a transaction makes is gone(), exactly once; after it
 * the pointer is dead. One that ends inside bk_sip_tx_respond says so at the next bk_timers_run or
 * call into the layer, and its pointer is good until then. An owner that loses interest calls
 * bk_sip_tx_forget and hears nothing more (gone neither); the machine then runs to its end alone.
 */
enum bk_sip_tx_failure {
    BK_SIP_TX_TIMEOUT,   /* timer B, F or H */
    BK_SIP_TX_TRANSPORT, /* the flow is gone */
};
struct bk_sip_tx_user {
    /* Client: 1xx, 2xx (each one of an INVITE, RFC 6026) or the first 3xx-6xx. The views die with the call. */
    void (*response)(struct bk_sip_tx *tx, void *user, const struct bk_sip_msg *msg);
    /* Client without a final answer; server INVITE whose 3xx-6xx got no ACK. */
    void (*failed)(struct bk_sip_tx *tx, void *user, enum bk_sip_tx_failure why);
    /* Server INVITE: a CANCEL came and was answered 200 by the layer; the owner answers the INVITE 487. */
    void (*cancelled)(struct bk_sip_tx *tx, void *user, const struct bk_sip_msg *cancel);
    void (*gone)(struct bk_sip_tx *tx, void *user);
    bool
        status_only; /* client: asks an answer for nothing but its status, see bk_sip_txs_asks_status */
};
/* Any of the functions may be NULL. */

struct bk_sip_txs_config {
    void (*send)(void *ctx, struct bk_sip_flow flow,
                 struct bk_view bytes); /* may not call back into the layer */
    void *ctx;
    struct bk_timers *timers;
    const struct bk_clock *clock;
    const struct bk_random *random;
    const struct bk_hash_key *hash_key;
    unsigned shard; /* stands in every branch we make, so that an answer finds its shard: < 256 */
    int t1_ms, t2_ms, t4_ms; /* 0: 500, 4000, 5000 */
    int timer_c_ms;          /* 0: 180,000 + 1,000; an INVITE that only rings is cancelled then */
    size_t max;              /* transactions at once, 0: no limit; over it create answers -ENOSPC */
};
struct bk_sip_txs *bk_sip_txs_create(const struct bk_sip_txs_config *config);
struct bk_sip_txs *bk_sip_txs_destroy(struct bk_sip_txs *txs); /* calls no one */
size_t bk_sip_txs_count(const struct bk_sip_txs *txs);
/* Events that no figure lists for the state they met: late answers, second finals. */
uint64_t bk_sip_txs_dropped(const struct bk_sip_txs *txs);

/*
 * A request that arrived. The transaction key is branch (with the magic cookie, compared without
 * case) + sent-by + method; where the branch is missing or lacks the cookie: Call-ID, CSeq
 * number, From tag, To tag (not for INVITE's ACK), request URI and sent-by (RFC 3261 17.2.3),
 * whatever the peer; the Lync dialect sends such requests. The flow is part of the key on reliable flows:
 * a stranger on another connection cannot touch somebody's transaction.
 */
enum bk_sip_txs_step {
    /* Nobody knows it: the owner makes a server transaction, or answers statelessly. Also an ACK for
     * a 2xx, and a CANCEL that matches nothing (481). */
    BK_SIP_TXS_NEW,
    /* A repeat (answered again), an ACK for a non-2xx, a CANCEL that found its INVITE. */
    BK_SIP_TXS_ABSORBED,
};
enum bk_sip_txs_step bk_sip_txs_request(struct bk_sip_txs *txs, struct bk_sip_flow flow,
                                        const struct bk_sip_msg *msg,
                                        const struct bk_sip_head *head);

/* A response that arrived; of head the branch counts. false: no transaction of ours (stray; a proxy drops it, RFC 6026 8.9). */
bool bk_sip_txs_response(struct bk_sip_txs *txs, struct bk_sip_flow flow,
                         const struct bk_sip_msg *msg, const struct bk_sip_head *head);

/*
 * Does whoever waits for the answer with this branch ask for its status alone? Then bk_sip_msg_check_found was enough of
 * a look at it. false also where nobody waits.
 */
bool bk_sip_txs_asks_status(const struct bk_sip_txs *txs, struct bk_view branch);

/* The flow broke: its client transactions fail (TRANSPORT), its server transactions end. Costs the flow's own only. */
void bk_sip_txs_flow_gone(struct bk_sip_txs *txs, uint64_t flow_id);
/* Pending transactions of one flow, for the limit of docs/limits.md, "Rates". */
size_t bk_sip_txs_flow_count(const struct bk_sip_txs *txs, uint64_t flow_id);

/*
 * -ENOMEM, -ENOSPC; -EINVAL for ACK. msg and head only for the key. The layer gives no answer of its
 * own (but 200 to CANCEL): the 100 to an INVITE is the owner's (RFC 3261 17.2.1: within 200 ms).
 */
int bk_sip_tx_server_create(struct bk_sip_txs *txs, struct bk_sip_flow flow,
                            const struct bk_sip_msg *msg, const struct bk_sip_head *head,
                            const struct bk_sip_tx_user *vtable, void *user,
                            struct bk_sip_tx **ret);
/*
 * Sends (and keeps, where repeats may have to be answered) an answer. status is that of bytes. A second final
 * answer is dropped, except 2xx to INVITE in Accepted (RFC 6026).
 */
void bk_sip_tx_respond(struct bk_sip_tx *tx, int status, struct bk_view bytes);

/*
 * Two steps, because the branch stands in the request: create, write bk_sip_tx_branch into the
 * topmost Via, start. An ACK for a non-2xx and (bk_sip_tx_cancel) a CANCEL are built by the layer
 * from the request as it was sent; those two methods make no transaction here (-EINVAL), nor
 * should a BENOTIFY, which nobody answers. Also -ENOMEM, -ENOSPC.
 */
int bk_sip_tx_client_create(struct bk_sip_txs *txs, struct bk_sip_flow flow,
                            enum bk_sip_method method, const struct bk_sip_tx_user *vtable,
                            void *user, struct bk_sip_tx **ret);
enum { BK_SIP_BRANCH_MAX = 48 };
struct bk_view bk_sip_tx_branch(const struct bk_sip_tx *tx); /* lives as long as tx */
/*
 * Sends. The bytes are copied only where a repeat, an ACK or a CANCEL may need them: on unreliable
 * flows, and of an INVITE the head. Once for each transaction.
 */
void bk_sip_tx_start(struct bk_sip_tx *tx, struct bk_view request);
/*
 * INVITE client: sends CANCEL as soon as a provisional answer allows it (RFC 3261 9.1) and runs its
 * transaction; the INVITE then ends with its final answer, or failed(TIMEOUT) after 64*T1.
 * reason_field: a whole line "Reason: ...\r\n" to add, or empty.
 */
void bk_sip_tx_cancel(struct bk_sip_tx *tx, struct bk_view reason_field);

/* A request that is forgotten unanswered stays so: its repeats are swallowed for 64*T1 (unreliable flows). */
void bk_sip_tx_forget(struct bk_sip_tx *tx);
void *bk_sip_tx_owner(const struct bk_sip_tx *tx);
struct bk_sip_flow bk_sip_tx_flow(const struct bk_sip_tx *tx);
enum bk_sip_method bk_sip_tx_method(const struct bk_sip_tx *tx);
bool bk_sip_tx_is_final(const struct bk_sip_tx *tx); /* a final answer was sent or received */

/* The shard in a branch of ours; -1: not ours. */
int bk_sip_branch_shard(struct bk_view branch);

#endif
