/* SPDX-License-Identifier: Apache-2.0 */
/* sip/tx_private.h - what the files of the transaction layer share: one transaction, its place, and who does what to it. */
#ifndef BK_SIP_TX_PRIVATE_H
#define BK_SIP_TX_PRIVATE_H

#include "base/buf.h"
#include "base/list.h"
#include "sip/fields.h"
#include "sip/tx.h"

/*
 * tx.c is the layer: ends, and when owners hear of them. tx_pool.c is the memory of transactions and of their flows.
 * tx_figures.c is the four figures and what their arrows do. tx_server.c and tx_client.c make transactions and find
 * the one that a message belongs to: by its key, and by the branch that we wrote.
 *
 * A transaction that ends leaves its flow and the table of keys at once, but its memory and its
 * gone() wait on the list of the ended until the outermost call into the layer returns (or, where
 * it ended from outside, until the next run of the timers). So no callback can pull a transaction
 * from under the code that is working on it.
 */

enum bk_sip_tx_kind {
    INVITE_CLIENT,
    CLIENT,
    INVITE_SERVER,
    SERVER,
    N_KINDS,
};

enum bk_sip_tx_state {
    UNLISTED, /* as the next state in a rule: no such arrow */
    CREATED,
    CALLING,
    TRYING,
    PROCEEDING,
    COMPLETED,
    CONFIRMED,
    ACCEPTED, /* RFC 6026 */
    GONE,
    N_STATES,
};

enum bk_sip_tx_event {
    ON_START,
    ON_REPEAT,   /* timer A, E or G */
    ON_DEADLINE, /* timer B, D, F, H, I, J, K, L or M */
    ON_RINGING,  /* timer C: answered provisionally, and then never */
    ON_1XX,      /* an answer that came; or that our owner gives */
    ON_2XX,
    ON_3XX_6XX,
    ON_REQUEST, /* the request again */
    ON_ACK,
    ON_CANCEL,
    ON_FLOW_GONE,
    N_EVENTS,
};

/* The cookie of RFC 3261: keys and branches begin with it. */
#define BK_SIP_TX_MAGIC "z9hG4bK"

enum { BK_SIP_TX_TEXT = 104 };

/* All transactions of one flow. Made with its first, freed with its last. */
struct bk_sip_tx_peer {
    struct bk_map_node by_id;
    uint64_t id;
    struct bk_list txs;
    size_t count;
    bool held; /* bk_sip_txs_flow_gone is walking over it */
    struct bk_sip_tx_peer *next_free;
};

struct bk_sip_tx {
    struct bk_sip_txs *txs;
    const struct bk_sip_tx_user *vtable; /* NULL: forgotten, or an own CANCEL */
    void *user;
    struct bk_sip_flow flow;
    struct bk_sip_tx_peer *peer; /* NULL once GONE */
    struct bk_list in;           /* peer->txs; then txs->ended */
    struct bk_timer repeat, deadline;
    int64_t repeat_at_ms;
    int interval_ms;
    uint8_t kind, state, method;
    bool final;          /* a final answer was given or heard */
    bool cancelled;      /* client: owner wants it cancelled; server: owner was told */
    bool cancel_sent;    /* client */
    bool has_cancel_tag; /* server: secret is the To tag of our answers to CANCEL */
    uint32_t index, generation;
    uint64_t secret;
    struct bk_sip_tx *cancel, *parent; /* INVITE client and the CANCEL that runs beside it */
    char *kept; /* client: the request, then the ACK; server: the last answer */
    size_t kept_len;
    char *reason; /* of a CANCEL that has to wait for a provisional answer */
    size_t reason_len;
    struct bk_map_node by_key; /* server */
    char *key;                 /* server: text, or from malloc where that is too short */
    uint32_t key_len, key_core_len;
    char text[BK_SIP_TX_TEXT]; /* client: the branch */
};

struct bk_sip_tx_slab; /* tx_pool.c */

struct bk_sip_txs {
    struct bk_sip_txs_config config;
    struct bk_sip_tx_slab **slabs;
    size_t n_slabs, slabs_cap;
    struct bk_list partial; /* slabs with a free place */
    size_t count;
    struct bk_map by_key; /* server transactions */
    struct bk_map peers;
    struct bk_sip_tx_peer *last_peer;  /* the one most asked for */
    struct bk_sip_tx_peer *free_peers; /* by next_free: most flows have one transaction at a time */
    int n_free_peers;
    struct bk_list ended;
    struct bk_timer flush_timer;
    int depth; /* of calls into the layer that may call back */
    uint64_t dropped;
    struct bk_buf key; /* of the request being looked at */
    size_t key_core_len;
};

/* What an event brings along. */
struct bk_sip_tx_input {
    const struct bk_sip_msg *msg;
    struct bk_view bytes;
    int status;
};

/* ---- tx_pool.c ---- */

/* CREATED, of no kind yet, on no flow; NULL: no memory. */
struct bk_sip_tx *bk_sip_tx_slot_take(struct bk_sip_txs *txs);
void bk_sip_tx_slot_give_back(struct bk_sip_tx *tx);
/* The one that has that place in that generation; NULL: it is gone. */
struct bk_sip_tx *bk_sip_tx_slot_at(const struct bk_sip_txs *txs, uint32_t index,
                                    uint32_t generation);
void bk_sip_tx_pool_each(struct bk_sip_txs *txs, void (*what)(struct bk_sip_tx *tx));
void bk_sip_tx_pool_finish(struct bk_sip_txs *txs);

struct bk_sip_tx_peer *bk_sip_tx_peer_find(const struct bk_sip_txs *txs, uint64_t id);
/* -ENOMEM. */
int bk_sip_tx_peer_join(struct bk_sip_tx *tx, struct bk_sip_flow flow);
void bk_sip_tx_peer_leave(struct bk_sip_tx *tx);
/* From here on a new transaction on that id gets a peer of its own. */
void bk_sip_tx_peer_retire(struct bk_sip_txs *txs, struct bk_sip_tx_peer *peer);
void bk_sip_tx_peer_give_back(struct bk_sip_txs *txs, struct bk_sip_tx_peer *peer);

/* ---- tx.c ---- */

bool bk_sip_txs_is_full(const struct bk_sip_txs *txs);
/* Around whatever may call back. */
void bk_sip_txs_enter(struct bk_sip_txs *txs);
void bk_sip_txs_leave(struct bk_sip_txs *txs);
void bk_sip_tx_end(struct bk_sip_tx *tx);

/* ---- tx_figures.c ---- */

void bk_sip_tx_step(struct bk_sip_tx *tx, enum bk_sip_tx_event event,
                    const struct bk_sip_tx_input *in);
enum bk_sip_tx_event bk_sip_tx_answer_event(int status);
/* 64*T1 from now it is over, whatever comes. */
void bk_sip_tx_linger(struct bk_sip_tx *tx);
void bk_sip_tx_send_cancel(struct bk_sip_tx *tx, struct bk_view reason_field);
void bk_sip_tx_on_repeat(struct bk_timer *timer);
void bk_sip_tx_on_deadline(struct bk_timer *timer);

#endif
