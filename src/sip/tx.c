/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The four figures stand below as tables: which event, in which state, leads where and does what;
 * a second table says which timers a state starts. What a figure does not list is dropped and
 * counted. Everything else is the pool, the ways to find a transaction, and when callbacks may run.
 *
 * A transaction that ends leaves its flow and the table of keys at once, but its memory and its
 * gone() wait on the list of the ended until the outermost call into the layer returns (or, where
 * it ended from outside, until the next run of the timers). So no callback can pull a transaction
 * from under the code that is working on it.
 */
#include "sip/tx.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/list.h"
#include "base/text.h"
#include "sip/build.h"
#include "sip/fields.h"

#include <errno.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define POISON 1
#endif
#ifdef POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

enum kind {
    INVITE_CLIENT,
    CLIENT,
    INVITE_SERVER,
    SERVER,
    N_KINDS,
};

enum state {
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

enum event {
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

enum {
    SLAB_TXS = 64,
    KEY_INLINE = 104,
    KEY_SCRATCH_KEPT = 4096,
    FREE_PEERS = 256,
    BRANCH_BYTES = 17, /* shard, index, generation, secret */
};
/* The cookie of RFC 3261 and a mark of ours, so that a glance tells our branches from others'. */
#define MAGIC "z9hG4bK"
#define BRANCH_HEAD MAGIC "bk"
enum { BRANCH_LEN = sizeof BRANCH_HEAD - 1 + 2 * BRANCH_BYTES };
_Static_assert((int)BRANCH_LEN < (int)BK_SIP_BRANCH_MAX, "the branch fits with its NUL");

/* All transactions of one flow. Made with its first, freed with its last. */
struct peer {
    struct bk_map_node by_id;
    uint64_t id;
    struct bk_list txs;
    size_t count;
    bool held; /* bk_sip_txs_flow_gone is walking over it */
    struct peer *next_free;
};

struct bk_sip_tx {
    struct bk_sip_txs *txs;
    const struct bk_sip_tx_user *vtable; /* NULL: forgotten, or an own CANCEL */
    void *user;
    struct bk_sip_flow flow;
    struct peer *peer; /* NULL once GONE */
    struct bk_list in; /* peer->txs; then txs->ended */
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
    char text[KEY_INLINE]; /* client: the branch */
};

struct slab {
    struct bk_list partial; /* txs->partial, while a place is free */
    uint64_t used;
    uint32_t number;
    uint32_t generation[SLAB_TXS];
    struct bk_sip_tx tx[SLAB_TXS];
};
_Static_assert(SLAB_TXS == 64, "one bit of `used` for each");

struct bk_sip_txs {
    struct bk_sip_txs_config config;
    struct slab **slabs;
    size_t n_slabs, slabs_cap;
    struct bk_list partial; /* slabs with a free place */
    size_t count;
    struct bk_map by_key; /* server transactions */
    struct bk_map peers;
    struct peer *last_peer;  /* the one most asked for */
    struct peer *free_peers; /* by next_free: most flows have one transaction at a time */
    int n_free_peers;
    struct bk_list ended;
    struct bk_timer flush_timer;
    int depth; /* of calls into the layer that may call back */
    uint64_t dropped;
    struct bk_buf key; /* of the request being looked at */
    size_t key_core_len;
};

/* What an event brings along. */
struct input {
    const struct bk_sip_msg *msg;
    struct bk_view bytes;
    int status;
};

/* ---- The pool ---- */

static int slab_add(struct bk_sip_txs *txs)
{
    if (txs->n_slabs == txs->slabs_cap) {
        size_t cap = txs->slabs_cap ? txs->slabs_cap * 2 : 8;
        struct slab **slabs = realloc(txs->slabs, cap * sizeof *slabs);
        if (!slabs)
            return -ENOMEM;
        txs->slabs = slabs;
        txs->slabs_cap = cap;
    }
    struct slab *slab = malloc(sizeof *slab);
    if (!slab)
        return -ENOMEM;
    slab->used = 0;
    slab->number = (uint32_t)txs->n_slabs;
    memset(slab->generation, 0, sizeof slab->generation);
    ASAN_POISON_MEMORY_REGION(slab->tx, sizeof slab->tx);
    bk_list_append(&txs->partial, &slab->partial);
    txs->slabs[txs->n_slabs++] = slab;
    return 0;
}

static void on_repeat(struct bk_timer *timer);
static void on_deadline(struct bk_timer *timer);

static struct bk_sip_tx *slot_take(struct bk_sip_txs *txs)
{
    if (bk_list_empty(&txs->partial) && slab_add(txs) < 0)
        return NULL;
    struct slab *slab = bk_container_of(txs->partial.next, struct slab, partial);
    unsigned place = (unsigned)__builtin_ctzll(~slab->used);
    slab->used |= (uint64_t)1 << place;
    if (slab->used == UINT64_MAX)
        bk_list_remove(&slab->partial);

    struct bk_sip_tx *tx = &slab->tx[place];
    ASAN_UNPOISON_MEMORY_REGION(tx, sizeof *tx);
    memset(tx, 0, offsetof(struct bk_sip_tx, text));
    tx->txs = txs;
    tx->state = CREATED;
    tx->index = slab->number * SLAB_TXS + place;
    tx->generation = ++slab->generation[place];
    tx->key = tx->text;
    bk_list_init(&tx->in);
    bk_timer_init(&tx->repeat, on_repeat);
    bk_timer_init(&tx->deadline, on_deadline);
    txs->count++;
    return tx;
}

static void slot_give_back(struct bk_sip_tx *tx)
{
    struct bk_sip_txs *txs = tx->txs;
    struct slab *slab = txs->slabs[tx->index / SLAB_TXS];
    free(tx->kept);
    free(tx->reason);
    if (tx->key != tx->text)
        free(tx->key);
    if (slab->used == UINT64_MAX)
        bk_list_prepend(&txs->partial, &slab->partial);
    slab->used &= ~((uint64_t)1 << tx->index % SLAB_TXS);
    txs->count--;
    ASAN_POISON_MEMORY_REGION(tx, sizeof *tx);
}

/* ---- Flows ---- */

/* The ids are our own numbers, not a stranger's choice: no keyed hash is needed. */
static uint64_t peer_hash(uint64_t id)
{
    id *= 0x9e3779b97f4a7c15U;
    return id ^ id >> 32;
}

static struct peer *peer_find(const struct bk_sip_txs *txs, uint64_t id)
{
    if (txs->last_peer && txs->last_peer->id == id)
        return txs->last_peer;
    struct bk_map_node *node = bk_map_first(&txs->peers, peer_hash(id));
    for (; node; node = bk_map_next(node)) {
        struct peer *peer = bk_container_of(node, struct peer, by_id);
        if (peer->id == id)
            return peer;
    }
    return NULL;
}

static struct peer *peer_take(struct bk_sip_txs *txs)
{
    struct peer *peer = txs->free_peers;
    if (!peer)
        return malloc(sizeof *peer);
    ASAN_UNPOISON_MEMORY_REGION(peer, sizeof *peer);
    txs->free_peers = peer->next_free;
    txs->n_free_peers--;
    return peer;
}

static void peer_give_back(struct bk_sip_txs *txs, struct peer *peer)
{
    if (txs->n_free_peers == FREE_PEERS) {
        free(peer);
        return;
    }
    peer->next_free = txs->free_peers;
    txs->free_peers = peer;
    txs->n_free_peers++;
    ASAN_POISON_MEMORY_REGION(peer, sizeof *peer);
}

static int peer_join(struct bk_sip_tx *tx, struct bk_sip_flow flow)
{
    struct bk_sip_txs *txs = tx->txs;
    struct peer *peer = peer_find(txs, flow.id);
    if (!peer) {
        peer = peer_take(txs);
        if (!peer)
            return -ENOMEM;
        *peer = (struct peer){ .id = flow.id };
        bk_list_init(&peer->txs);
        if (bk_map_insert(&txs->peers, &peer->by_id, peer_hash(flow.id)) < 0) {
            peer_give_back(txs, peer);
            return -ENOMEM;
        }
    }
    txs->last_peer = peer;
    tx->flow = flow;
    tx->peer = peer;
    bk_list_append(&peer->txs, &tx->in);
    peer->count++;
    return 0;
}

/* From here on a new transaction on that id gets a peer of its own. */
static void peer_retire(struct bk_sip_txs *txs, struct peer *peer)
{
    bk_map_remove(&txs->peers, &peer->by_id);
    if (txs->last_peer == peer)
        txs->last_peer = NULL;
}

static void peer_leave(struct bk_sip_tx *tx)
{
    struct peer *peer = BK_TAKE(tx->peer);
    bk_list_remove(&tx->in);
    if (--peer->count || peer->held)
        return;
    peer_retire(tx->txs, peer);
    peer_give_back(tx->txs, peer);
}

/* ---- Ends, and when the owner hears of them ---- */

static void flush(struct bk_sip_txs *txs)
{
    while (!bk_list_empty(&txs->ended)) {
        struct bk_sip_tx *tx = bk_container_of(txs->ended.next, struct bk_sip_tx, in);
        bk_list_remove(&tx->in);
        if (tx->vtable && tx->vtable->gone)
            tx->vtable->gone(tx, tx->user);
        slot_give_back(tx);
    }
    bk_timer_disarm(txs->config.timers, &txs->flush_timer);
}

static void enter_layer(struct bk_sip_txs *txs)
{
    txs->depth++;
}

static void leave_layer(struct bk_sip_txs *txs)
{
    if (txs->depth == 1)
        flush(txs);
    txs->depth--;
}

static void on_flush(struct bk_timer *timer)
{
    struct bk_sip_txs *txs = bk_container_of(timer, struct bk_sip_txs, flush_timer);
    enter_layer(txs);
    leave_layer(txs);
}

static void end(struct bk_sip_tx *tx)
{
    struct bk_sip_txs *txs = tx->txs;
    if (tx->state == GONE)
        return;
    tx->state = GONE;
    bk_timer_disarm(txs->config.timers, &tx->repeat);
    bk_timer_disarm(txs->config.timers, &tx->deadline);
    if (tx->kind == INVITE_SERVER || tx->kind == SERVER)
        bk_map_remove(&txs->by_key, &tx->by_key);
    peer_leave(tx);
    if (tx->parent)
        tx->parent->cancel = NULL;
    if (tx->cancel)
        end(tx->cancel); /* what it answers to a CANCEL is of no use any more */
    tx->cancel = tx->parent = NULL;

    bk_list_append(&txs->ended, &tx->in);
    if (txs->depth == 0 && !bk_timer_armed(&txs->flush_timer))
        bk_timer_arm(txs->config.timers, &txs->flush_timer, 0);
}

/* ---- States and their timers ---- */

enum length {
    AS_BEFORE, /* timers run on */
    FOR_EVER,
    LASTS_T4,
    LASTS_64_T1,
    LASTS_TIMER_C,
};

struct stay {
    uint8_t lasts;
    bool repeats;          /* A, E, G: on unreliable flows, from T1 on */
    bool none_if_reliable; /* D, I, J, K: the state exists on unreliable flows only */
};

static const struct stay stays[N_KINDS][N_STATES] = {
    /* clang-format off */
    [INVITE_CLIENT] = {
        [CALLING]    = { LASTS_64_T1, .repeats = true },          /* A, B */
        [PROCEEDING] = { LASTS_TIMER_C },                         /* C */
        [COMPLETED]  = { LASTS_64_T1, .none_if_reliable = true }, /* D */
        [ACCEPTED]   = { LASTS_64_T1 },                           /* M */
    },
    [CLIENT] = {
        [TRYING]     = { LASTS_64_T1, .repeats = true },          /* E, F */
        [PROCEEDING] = { AS_BEFORE },
        [COMPLETED]  = { LASTS_T4, .none_if_reliable = true },    /* K */
    },
    [INVITE_SERVER] = {
        [PROCEEDING] = { FOR_EVER },
        [COMPLETED]  = { LASTS_64_T1, .repeats = true },          /* G, H */
        [CONFIRMED]  = { LASTS_T4, .none_if_reliable = true },    /* I */
        [ACCEPTED]   = { LASTS_64_T1 },                           /* L */
    },
    [SERVER] = {
        [TRYING]     = { FOR_EVER },
        [PROCEEDING] = { FOR_EVER },
        [COMPLETED]  = { LASTS_64_T1, .none_if_reliable = true }, /* J */
    },
    /* clang-format on */
};

static int64_t now_ms(const struct bk_sip_txs *txs)
{
    return bk_clock_mono_ms(txs->config.clock);
}

static void arm_deadline(struct bk_sip_tx *tx, enum length lasts)
{
    const struct bk_sip_txs_config *c = &tx->txs->config;
    int64_t ms = lasts == LASTS_T4      ? c->t4_ms
                 : lasts == LASTS_64_T1 ? 64 * (int64_t)c->t1_ms
                                        : c->timer_c_ms;
    bk_timer_arm(c->timers, &tx->deadline, now_ms(tx->txs) + ms);
}

static void enter(struct bk_sip_tx *tx, enum state next)
{
    if (next == tx->state)
        return;
    const struct stay *stay = &stays[tx->kind][next];
    if (next == GONE || (stay->none_if_reliable && tx->flow.reliable)) {
        end(tx);
        return;
    }
    tx->state = (uint8_t)next;
    if (stay->lasts == AS_BEFORE)
        return;
    struct bk_timers *timers = tx->txs->config.timers;
    bk_timer_disarm(timers, &tx->repeat);
    if (stay->lasts == FOR_EVER)
        bk_timer_disarm(timers, &tx->deadline);
    else
        arm_deadline(tx, stay->lasts);
    if (stay->repeats && !tx->flow.reliable) {
        tx->interval_ms = tx->txs->config.t1_ms;
        tx->repeat_at_ms = now_ms(tx->txs) + tx->interval_ms;
        bk_timer_arm(timers, &tx->repeat, tx->repeat_at_ms);
    }
}

/* ---- What the arrows do ---- */

static void send_bytes(struct bk_sip_tx *tx, struct bk_view bytes)
{
    tx->txs->config.send(tx->txs->config.ctx, tx->flow, bytes);
}

/* Without memory the transaction goes on, it only cannot say again what it said. */
static void keep(struct bk_sip_tx *tx, struct bk_view bytes)
{
    free(tx->kept);
    tx->kept = bytes.len ? malloc(bytes.len) : NULL;
    tx->kept_len = tx->kept ? bytes.len : 0;
    if (tx->kept)
        memcpy(tx->kept, bytes.at, bytes.len);
}

static struct bk_view kept(const struct bk_sip_tx *tx)
{
    return (struct bk_view){ tx->kept, tx->kept_len };
}

static void send_kept(struct bk_sip_tx *tx, const struct input *in)
{
    (void)in;
    if (tx->kept_len)
        send_bytes(tx, kept(tx));
}

/* The next repeat counts from when this one was due, so that late timers do not add up. */
static void send_kept_and_wait(struct bk_sip_tx *tx, int interval_ms)
{
    send_kept(tx, NULL);
    tx->interval_ms = interval_ms;
    tx->repeat_at_ms += interval_ms;
    int64_t now = now_ms(tx->txs);
    if (tx->repeat_at_ms <= now)
        tx->repeat_at_ms = now + interval_ms;
    bk_timer_arm(tx->txs->config.timers, &tx->repeat, tx->repeat_at_ms);
}

static void again_doubling(struct bk_sip_tx *tx, const struct input *in)
{
    (void)in;
    send_kept_and_wait(tx, tx->interval_ms * 2);
}

static void again_up_to_t2(struct bk_sip_tx *tx, const struct input *in)
{
    (void)in;
    int t2_ms = tx->txs->config.t2_ms;
    send_kept_and_wait(tx, tx->interval_ms * 2 < t2_ms ? tx->interval_ms * 2 : t2_ms);
}

static void again_after_t2(struct bk_sip_tx *tx, const struct input *in)
{
    (void)in;
    send_kept_and_wait(tx, tx->txs->config.t2_ms);
}

static void tell_failure(struct bk_sip_tx *tx, enum bk_sip_tx_failure why)
{
    if (tx->vtable && tx->vtable->failed)
        tx->vtable->failed(tx, tx->user, why);
}

static void time_out(struct bk_sip_tx *tx, const struct input *in)
{
    (void)in;
    tell_failure(tx, BK_SIP_TX_TIMEOUT);
}

static void flow_failed(struct bk_sip_tx *tx, const struct input *in)
{
    (void)in;
    tell_failure(tx, BK_SIP_TX_TRANSPORT);
}

static void pass_up(struct bk_sip_tx *tx, const struct input *in)
{
    if (tx->vtable && tx->vtable->response)
        tx->vtable->response(tx, tx->user, in->msg);
}

static void pass_up_final(struct bk_sip_tx *tx, const struct input *in)
{
    tx->final = true;
    keep(tx, (struct bk_view){ 0 });
    pass_up(tx, in);
}

/* The part of an INVITE that an ACK or a CANCEL is made from, cf. write_follower. */
static struct bk_view head_of(struct bk_view message)
{
    size_t end_of_head = bk_view_find_view(message, BK_VIEW("\r\n\r\n"));
    return end_of_head == message.len ? message : bk_view_head(message, end_of_head + 4);
}

static void send_request(struct bk_sip_tx *tx, const struct input *in)
{
    if (!tx->flow.reliable)
        keep(tx, in->bytes);
    else if (tx->kind == INVITE_CLIENT)
        keep(tx, head_of(in->bytes));
    send_bytes(tx, in->bytes);
}

/*
 * ACK for a non-2xx (RFC 3261 17.1.1.3) and CANCEL (9.1): request URI, topmost Via, Route, From,
 * Call-ID and CSeq number of the request as it was sent. to_value: the To of the answer; empty:
 * that of the request.
 */
static bool write_follower(struct bk_buf *to, struct bk_view request, enum bk_sip_method method,
                           struct bk_view to_value, struct bk_view more_lines)
{
    struct bk_sip_msg msg;
    struct bk_sip_fault fault;
    /* Where only the head was kept, the missing body is the fault that is found; the fields are there. */
    (void)bk_sip_msg_parse(&msg, request, &fault);
    if (!bk_sip_msg_answerable(&msg) || msg.uri.len == 0)
        return false;
    struct bk_view vias = bk_sip_msg_value(&msg, BK_SIP_HDR_VIA), via;
    struct bk_sip_cseq cseq;
    if (bk_sip_list_next(&vias, &via) != 1 ||
        bk_sip_cseq_parse(bk_sip_msg_value(&msg, BK_SIP_HDR_CSEQ), &cseq) < 0)
        return false;

    bk_sip_request_begin(to, bk_sip_method_name(method), msg.uri);
    bk_sip_field_add(to, BK_SIP_HDR_VIA, via);
    bk_sip_field_add(to, BK_SIP_HDR_MAX_FORWARDS, BK_VIEW("70"));
    for (const struct bk_sip_field *route = bk_sip_msg_field(&msg, BK_SIP_HDR_ROUTE); route;
         route = bk_sip_msg_field_next(&msg, route))
        bk_buf_add_view(to, route->line);
    bk_buf_add_view(to, bk_sip_msg_field(&msg, BK_SIP_HDR_FROM)->line);
    if (to_value.len)
        bk_sip_field_add(to, BK_SIP_HDR_TO, to_value);
    else
        bk_buf_add_view(to, bk_sip_msg_field(&msg, BK_SIP_HDR_TO)->line);
    bk_buf_add_view(to, bk_sip_msg_field(&msg, BK_SIP_HDR_CALL_ID)->line);
    struct bk_view name = bk_sip_method_name(method);
    bk_sip_field_addf(to, BK_SIP_HDR_CSEQ, "%u %.*s", cseq.number, BK_VIEW_ARGS(name));
    bk_buf_add_view(to, more_lines);
    bk_sip_end(to, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    return !to->failed;
}

static void acknowledge_and_pass_up(struct bk_sip_tx *tx, const struct input *in)
{
    BK_AUTO_BUF struct bk_buf ack = { 0 };
    tx->final = true;
    if (tx->kept_len &&
        write_follower(&ack, kept(tx), BK_SIP_ACK, bk_sip_msg_value(in->msg, BK_SIP_HDR_TO),
                       (struct bk_view){ 0 })) {
        keep(tx, tx->flow.reliable ? (struct bk_view){ 0 } : bk_buf_view(&ack));
        send_bytes(tx, bk_buf_view(&ack));
    } else {
        keep(tx, (struct bk_view){ 0 }); /* else the INVITE would go out where an ACK is due */
    }
    pass_up(tx, in);
}

/* The CANCEL is a transaction of its own that shares the branch and is found through its INVITE. */
static void send_cancel(struct bk_sip_tx *tx, struct bk_view reason_field)
{
    tx->cancel_sent = true;
    /* RFC 3261 9.1: no final answer for 64*T1 counts as cancelled. */
    arm_deadline(tx, LASTS_64_T1);

    BK_AUTO_BUF struct bk_buf cancel = { 0 };
    if (!tx->kept_len ||
        !write_follower(&cancel, kept(tx), BK_SIP_CANCEL, (struct bk_view){ 0 }, reason_field))
        return;
    struct bk_sip_tx *runs = slot_take(tx->txs);
    if (!runs || peer_join(runs, tx->flow) < 0) { /* then it is sent once, which may do */
        if (runs)
            slot_give_back(runs);
        send_bytes(tx, bk_buf_view(&cancel));
        return;
    }
    runs->kind = CLIENT;
    runs->method = BK_SIP_CANCEL;
    runs->parent = tx;
    tx->cancel = runs;
    bk_sip_tx_start(runs, bk_buf_view(&cancel));
}

static void cancel_late(struct bk_sip_tx *tx, const struct input *in)
{
    (void)in;
    tx->cancelled = true;
    send_cancel(tx, (struct bk_view){ 0 });
}

static void hear_ringing(struct bk_sip_tx *tx, const struct input *in)
{
    if (tx->cancelled && !tx->cancel_sent)
        send_cancel(tx, (struct bk_view){ tx->reason, tx->reason_len });
    else if (!tx->cancel_sent && in->status > 100)
        arm_deadline(tx, LASTS_TIMER_C); /* RFC 3261 16.7, 2: but not for 100 */
    pass_up(tx, in);
}

static void answer(struct bk_sip_tx *tx, const struct input *in)
{
    if (in->status >= 200)
        tx->final = true;
    /* RFC 6026: it is the core that says a 2xx to INVITE again. */
    if (!tx->flow.reliable && tx->state != ACCEPTED)
        keep(tx, in->bytes);
    else
        keep(tx, (struct bk_view){ 0 });
    send_bytes(tx, in->bytes);
}

static void tell_cancelled(struct bk_sip_tx *tx, const struct input *in)
{
    if (tx->cancelled)
        return;
    tx->cancelled = true;
    if (tx->vtable && tx->vtable->cancelled)
        tx->vtable->cancelled(tx, tx->user, in->msg);
}

/* ---- The figures ---- */

struct rule {
    uint8_t next;
    void (*action)(struct bk_sip_tx *tx, const struct input *in);
};

static const struct rule figures[N_KINDS][N_STATES][N_EVENTS] = {
    /* clang-format off */
    /* RFC 3261 figure 5, INVITE client transaction, as RFC 6026 figure 2 (8.4) mends it. */
    [INVITE_CLIENT] = {
        [CREATED] = {
            [ON_START]     = { CALLING, send_request },
            [ON_FLOW_GONE] = { GONE, flow_failed },
        },
        [CALLING] = {
            [ON_REPEAT]    = { CALLING, again_doubling },
            [ON_DEADLINE]  = { GONE, time_out },
            [ON_1XX]       = { PROCEEDING, hear_ringing },
            [ON_2XX]       = { ACCEPTED, pass_up_final },
            [ON_3XX_6XX]   = { COMPLETED, acknowledge_and_pass_up },
            [ON_FLOW_GONE] = { GONE, flow_failed },
        },
        [PROCEEDING] = {
            [ON_RINGING]   = { PROCEEDING, cancel_late },
            [ON_DEADLINE]  = { GONE, time_out }, /* of a cancelled one */
            [ON_1XX]       = { PROCEEDING, hear_ringing },
            [ON_2XX]       = { ACCEPTED, pass_up_final },
            [ON_3XX_6XX]   = { COMPLETED, acknowledge_and_pass_up },
            [ON_FLOW_GONE] = { GONE, flow_failed },
        },
        [COMPLETED] = {
            [ON_DEADLINE]  = { GONE, NULL },
            [ON_3XX_6XX]   = { COMPLETED, send_kept },
            [ON_FLOW_GONE] = { GONE, NULL },
        },
        [ACCEPTED] = {
            [ON_DEADLINE]  = { GONE, NULL },
            [ON_2XX]       = { ACCEPTED, pass_up },
            [ON_FLOW_GONE] = { GONE, NULL },
        },
    },
    /* RFC 3261 figure 6, non-INVITE client transaction. */
    [CLIENT] = {
        [CREATED] = {
            [ON_START]     = { TRYING, send_request },
            [ON_FLOW_GONE] = { GONE, flow_failed },
        },
        [TRYING] = {
            [ON_REPEAT]    = { TRYING, again_up_to_t2 },
            [ON_DEADLINE]  = { GONE, time_out },
            [ON_1XX]       = { PROCEEDING, pass_up },
            [ON_2XX]       = { COMPLETED, pass_up_final },
            [ON_3XX_6XX]   = { COMPLETED, pass_up_final },
            [ON_FLOW_GONE] = { GONE, flow_failed },
        },
        [PROCEEDING] = {
            [ON_REPEAT]    = { PROCEEDING, again_after_t2 },
            [ON_DEADLINE]  = { GONE, time_out },
            [ON_1XX]       = { PROCEEDING, pass_up },
            [ON_2XX]       = { COMPLETED, pass_up_final },
            [ON_3XX_6XX]   = { COMPLETED, pass_up_final },
            [ON_FLOW_GONE] = { GONE, flow_failed },
        },
        [COMPLETED] = {
            [ON_DEADLINE]  = { GONE, NULL },
            [ON_FLOW_GONE] = { GONE, NULL },
        },
    },
    /* RFC 3261 figure 7, INVITE server transaction, as RFC 6026 figure 1 (8.5) mends it. */
    [INVITE_SERVER] = {
        [PROCEEDING] = {
            [ON_REQUEST]   = { PROCEEDING, send_kept },
            [ON_1XX]       = { PROCEEDING, answer },
            [ON_2XX]       = { ACCEPTED, answer },
            [ON_3XX_6XX]   = { COMPLETED, answer },
            [ON_CANCEL]    = { PROCEEDING, tell_cancelled },
            [ON_DEADLINE]  = { GONE, NULL }, /* of a forgotten one */
            [ON_FLOW_GONE] = { GONE, NULL },
        },
        [COMPLETED] = {
            [ON_REQUEST]   = { COMPLETED, send_kept },
            [ON_REPEAT]    = { COMPLETED, again_up_to_t2 },
            [ON_DEADLINE]  = { GONE, time_out },
            [ON_ACK]       = { CONFIRMED, NULL },
            [ON_CANCEL]    = { COMPLETED, NULL },
            [ON_FLOW_GONE] = { GONE, flow_failed },
        },
        [CONFIRMED] = {
            [ON_REQUEST]   = { CONFIRMED, NULL },
            [ON_ACK]       = { CONFIRMED, NULL },
            [ON_CANCEL]    = { CONFIRMED, NULL },
            [ON_DEADLINE]  = { GONE, NULL },
            [ON_FLOW_GONE] = { GONE, NULL },
        },
        [ACCEPTED] = { /* an ACK goes to the core: bk_sip_txs_request */
            [ON_REQUEST]   = { ACCEPTED, NULL },
            [ON_2XX]       = { ACCEPTED, answer },
            [ON_CANCEL]    = { ACCEPTED, NULL },
            [ON_DEADLINE]  = { GONE, NULL },
            [ON_FLOW_GONE] = { GONE, NULL },
        },
    },
    /* RFC 3261 figure 8, non-INVITE server transaction. */
    [SERVER] = {
        [TRYING] = {
            [ON_REQUEST]   = { TRYING, NULL },
            [ON_1XX]       = { PROCEEDING, answer },
            [ON_2XX]       = { COMPLETED, answer },
            [ON_3XX_6XX]   = { COMPLETED, answer },
            [ON_DEADLINE]  = { GONE, NULL }, /* of a forgotten one */
            [ON_FLOW_GONE] = { GONE, NULL },
        },
        [PROCEEDING] = {
            [ON_REQUEST]   = { PROCEEDING, send_kept },
            [ON_1XX]       = { PROCEEDING, answer },
            [ON_2XX]       = { COMPLETED, answer },
            [ON_3XX_6XX]   = { COMPLETED, answer },
            [ON_DEADLINE]  = { GONE, NULL },
            [ON_FLOW_GONE] = { GONE, NULL },
        },
        [COMPLETED] = {
            [ON_REQUEST]   = { COMPLETED, send_kept },
            [ON_DEADLINE]  = { GONE, NULL },
            [ON_FLOW_GONE] = { GONE, NULL },
        },
    },
    /* clang-format on */
};

/* The action comes last and its callback last of all: the owner sees the transaction in its new state. */
static void step(struct bk_sip_tx *tx, enum event event, const struct input *in)
{
    const struct rule *rule = &figures[tx->kind][tx->state][event];
    if (rule->next == UNLISTED) {
        tx->txs->dropped++;
        return;
    }
    enter(tx, rule->next);
    if (rule->action)
        rule->action(tx, in);
}

static void on_repeat(struct bk_timer *timer)
{
    struct bk_sip_tx *tx = bk_container_of(timer, struct bk_sip_tx, repeat);
    struct bk_sip_txs *txs = tx->txs;
    enter_layer(txs);
    step(tx, ON_REPEAT, NULL);
    leave_layer(txs);
}

static void on_deadline(struct bk_timer *timer)
{
    struct bk_sip_tx *tx = bk_container_of(timer, struct bk_sip_tx, deadline);
    struct bk_sip_txs *txs = tx->txs;
    bool is_timer_c = tx->kind == INVITE_CLIENT && tx->state == PROCEEDING && !tx->cancel_sent;
    enter_layer(txs);
    step(tx, is_timer_c ? ON_RINGING : ON_DEADLINE, NULL);
    leave_layer(txs);
}

static enum event answer_event(int status)
{
    return status < 200 ? ON_1XX : status < 300 ? ON_2XX : ON_3XX_6XX;
}

/* ---- Server transactions are found by key ---- */

static char *put(char *at, struct bk_view v)
{
    if (v.len)
        memcpy(at, v.at, v.len);
    at[v.len] = '\0'; /* no value may hold one, so two keys cannot run into each other */
    return at + v.len + 1;
}

static char *put_lower(char *at, struct bk_view v)
{
    char *behind = put(at, v);
    bk_text_lower(at, v.len);
    return behind;
}

/*
 * Writes the key of that request into txs->key. as: INVITE also for the ACK and the CANCEL that
 * belong to one. The core leaves out what an ACK need not share. false: out of memory.
 */
static bool key_write(struct bk_sip_txs *txs, struct bk_sip_flow flow, const struct bk_sip_msg *msg,
                      const struct bk_sip_head *head, enum bk_sip_method as)
{
    bool has_cookie = bk_view_starts_with_nocase(head->via_branch, BK_VIEW(MAGIC));
    struct bk_view name = as == BK_SIP_OTHER_METHOD ? msg->method_name : (struct bk_view){ 0 };
    size_t need = 3 + sizeof flow.id + sizeof head->cseq + name.len + head->via_branch.len +
                  head->via_sent_by.len + 3;
    if (!has_cookie)
        need += head->call_id.len + head->from_tag.len + msg->uri.len + head->to_tag.len + 4;

    bk_buf_clear(&txs->key);
    char *start = bk_buf_reserve(&txs->key, need), *at = start;
    if (!at)
        return false;
    *at++ = (char)(flow.reliable | has_cookie << 1);
    *at++ = (char)as;
    at = put(at, name);
    if (flow.reliable) {
        memcpy(at, &flow.id, sizeof flow.id);
        at += sizeof flow.id;
    }
    at = put_lower(at, head->via_branch);
    at = put_lower(at, head->via_sent_by);
    txs->key_core_len = (size_t)(at - start);
    if (!has_cookie) {
        memcpy(at, &head->cseq, sizeof head->cseq);
        at += sizeof head->cseq;
        at = put(at, head->call_id);
        at = put(at, head->from_tag);
        at = put(at, msg->uri);
        txs->key_core_len = (size_t)(at - start);
        at = put(at, head->to_tag);
        if (as != BK_SIP_INVITE)
            txs->key_core_len = (size_t)(at - start);
    }
    txs->key.len = (size_t)(at - start);
    return true;
}

static uint64_t key_hash(const struct bk_sip_txs *txs)
{
    return bk_hash(txs->config.hash_key, bk_view_head(bk_buf_view(&txs->key), txs->key_core_len));
}

static bool key_is(const struct bk_sip_tx *tx, const struct bk_buf *key, size_t core_len,
                   bool core_only)
{
    if (tx->key_core_len != core_len || (!core_only && tx->key_len != key->len))
        return false;
    return memcmp(tx->key, key->at, core_only ? core_len : key->len) == 0;
}

static struct bk_sip_tx *server_find(struct bk_sip_txs *txs, struct bk_sip_flow flow,
                                     const struct bk_sip_msg *msg, const struct bk_sip_head *head,
                                     enum bk_sip_method as)
{
    if (txs->by_key.n_nodes == 0 || !key_write(txs, flow, msg, head, as))
        return NULL;
    struct bk_map_node *node = bk_map_first(&txs->by_key, key_hash(txs));
    for (; node; node = bk_map_next(node)) {
        struct bk_sip_tx *tx = bk_container_of(node, struct bk_sip_tx, by_key);
        if (key_is(tx, &txs->key, txs->key_core_len, msg->method == BK_SIP_ACK))
            return tx;
    }
    return NULL;
}

/* One message with names of 30 kB must not keep 30 kB for ever. */
static void key_forget(struct bk_sip_txs *txs)
{
    if (txs->key.cap > KEY_SCRATCH_KEPT)
        bk_buf_finish(&txs->key);
}

/* Every answer to the CANCELs of one INVITE carries the same To tag (RFC 3261 9.2). */
static void answer_cancel(struct bk_sip_tx *tx, struct bk_sip_flow flow,
                          const struct bk_sip_msg *cancel)
{
    struct bk_sip_txs *txs = tx->txs;
    if (!tx->has_cancel_tag)
        bk_random_fill(txs->config.random, &tx->secret, sizeof tx->secret);
    tx->has_cancel_tag = true;
    char tag[2 * sizeof tx->secret + 1];
    bk_hex_encode(&tx->secret, sizeof tx->secret, tag);

    BK_AUTO_BUF struct bk_buf ok = { 0 };
    bk_sip_response_begin(&ok, cancel, 200, (struct bk_view){ 0 }, bk_view_of_str(tag),
                          &(struct bk_sip_source){ 0 });
    bk_sip_end(&ok, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    if (!ok.failed)
        txs->config.send(txs->config.ctx, flow, bk_buf_view(&ok));
}

enum bk_sip_txs_step bk_sip_txs_request(struct bk_sip_txs *txs, struct bk_sip_flow flow,
                                        const struct bk_sip_msg *msg,
                                        const struct bk_sip_head *head)
{
    enum event event = ON_REQUEST;
    struct bk_sip_tx *tx = NULL;
    if (msg->method == BK_SIP_ACK || msg->method == BK_SIP_CANCEL) {
        event = msg->method == BK_SIP_ACK ? ON_ACK : ON_CANCEL;
        tx = server_find(txs, flow, msg, head, BK_SIP_INVITE);
    }
    if (!tx && msg->method != BK_SIP_ACK) {
        event = ON_REQUEST;
        tx = server_find(txs, flow, msg, head, msg->method);
    }
    key_forget(txs);
    /* RFC 6026 7.1: the ACK for a 2xx is the core's. */
    if (!tx || (event == ON_ACK && tx->state == ACCEPTED))
        return BK_SIP_TXS_NEW;

    enter_layer(txs);
    if (event == ON_CANCEL)
        answer_cancel(tx, flow, msg);
    step(tx, event, &(struct input){ .msg = msg });
    leave_layer(txs);
    return BK_SIP_TXS_ABSORBED;
}

static int key_take(struct bk_sip_tx *tx)
{
    struct bk_sip_txs *txs = tx->txs;
    if (txs->key.len > sizeof tx->text) {
        tx->key = malloc(txs->key.len);
        if (!tx->key) {
            tx->key = tx->text;
            return -ENOMEM;
        }
    }
    memcpy(tx->key, txs->key.at, txs->key.len);
    tx->key_len = (uint32_t)txs->key.len;
    tx->key_core_len = (uint32_t)txs->key_core_len;
    return bk_map_insert(&txs->by_key, &tx->by_key, key_hash(txs));
}

static bool is_full(const struct bk_sip_txs *txs)
{
    return txs->config.max && txs->count >= txs->config.max;
}

int bk_sip_tx_server_create(struct bk_sip_txs *txs, struct bk_sip_flow flow,
                            const struct bk_sip_msg *msg, const struct bk_sip_head *head,
                            const struct bk_sip_tx_user *vtable, void *user, struct bk_sip_tx **ret)
{
    if (msg->method == BK_SIP_ACK)
        return -EINVAL;
    if (is_full(txs))
        return -ENOSPC;
    struct bk_sip_tx *tx = slot_take(txs);
    if (!tx)
        return -ENOMEM;
    bool invite = msg->method == BK_SIP_INVITE;
    tx->kind = invite ? INVITE_SERVER : SERVER;
    tx->state = invite ? PROCEEDING : TRYING;
    tx->method = (uint8_t)msg->method;
    tx->vtable = vtable;
    tx->user = user;
    if (!key_write(txs, flow, msg, head, msg->method) || key_take(tx) < 0) {
        slot_give_back(tx);
        return -ENOMEM;
    }
    if (peer_join(tx, flow) < 0) {
        bk_map_remove(&txs->by_key, &tx->by_key);
        slot_give_back(tx);
        return -ENOMEM;
    }
    key_forget(txs);
    *ret = tx;
    return 0;
}

void bk_sip_tx_respond(struct bk_sip_tx *tx, int status, struct bk_view bytes)
{
    if (tx->kind != INVITE_SERVER && tx->kind != SERVER)
        return;
    step(tx, answer_event(status), &(struct input){ .bytes = bytes, .status = status });
}

/* ---- Client transactions are found by the branch alone ---- */

static void branch_write(struct bk_sip_tx *tx)
{
    uint8_t bytes[BRANCH_BYTES];
    bytes[0] = (uint8_t)tx->txs->config.shard;
    memcpy(bytes + 1, &tx->index, 4);
    memcpy(bytes + 5, &tx->generation, 4);
    memcpy(bytes + 9, &tx->secret, 8);
    memcpy(tx->text, BRANCH_HEAD, sizeof BRANCH_HEAD - 1);
    bk_hex_encode(bytes, sizeof bytes, tx->text + sizeof BRANCH_HEAD - 1);
}

static bool branch_read(struct bk_view branch, uint8_t ret[BRANCH_BYTES])
{
    struct bk_view head = BK_VIEW(BRANCH_HEAD);
    return branch.len == BRANCH_LEN && bk_view_starts_with_nocase(branch, head) &&
           bk_hex_decode(bk_view_skip(branch, head.len), ret, BRANCH_BYTES) == 0;
}

int bk_sip_branch_shard(struct bk_view branch)
{
    uint8_t bytes[BRANCH_BYTES];
    return branch_read(branch, bytes) ? bytes[0] : -1;
}

static struct bk_sip_tx *client_find(const struct bk_sip_txs *txs, struct bk_view branch)
{
    uint8_t bytes[BRANCH_BYTES];
    if (!branch_read(branch, bytes) || bytes[0] != txs->config.shard)
        return NULL;
    uint32_t index, generation;
    uint64_t secret;
    memcpy(&index, bytes + 1, 4);
    memcpy(&generation, bytes + 5, 4);
    memcpy(&secret, bytes + 9, 8);
    if (index / SLAB_TXS >= txs->n_slabs)
        return NULL;
    struct slab *slab = txs->slabs[index / SLAB_TXS];
    unsigned place = index % SLAB_TXS;
    if (!(slab->used >> place & 1) || slab->generation[place] != generation)
        return NULL;
    struct bk_sip_tx *tx = &slab->tx[place];
    if ((tx->kind != INVITE_CLIENT && tx->kind != CLIENT) || tx->secret != secret)
        return NULL;
    return tx->parent || tx->state == CREATED || tx->state == GONE ? NULL : tx;
}

bool bk_sip_txs_asks_status(const struct bk_sip_txs *txs, struct bk_view branch)
{
    const struct bk_sip_tx *tx = client_find(txs, branch);
    return tx && tx->kind == CLIENT && (!tx->vtable || tx->vtable->status_only);
}

bool bk_sip_txs_response(struct bk_sip_txs *txs, struct bk_sip_flow flow,
                         const struct bk_sip_msg *msg, const struct bk_sip_head *head)
{
    struct bk_sip_tx *tx = client_find(txs, head->via_branch);
    if (!tx || msg->status < 100 || msg->status > 699)
        return false;
    if (tx->flow.reliable != flow.reliable || (flow.reliable && tx->flow.id != flow.id))
        return false;
    if (tx->cancel && msg->method == BK_SIP_CANCEL)
        tx = tx->cancel;
    if (msg->method != tx->method)
        return false;

    enter_layer(txs);
    step(tx, answer_event(msg->status), &(struct input){ .msg = msg, .status = msg->status });
    leave_layer(txs);
    return true;
}

int bk_sip_tx_client_create(struct bk_sip_txs *txs, struct bk_sip_flow flow,
                            enum bk_sip_method method, const struct bk_sip_tx_user *vtable,
                            void *user, struct bk_sip_tx **ret)
{
    if (method == BK_SIP_ACK || method == BK_SIP_CANCEL)
        return -EINVAL;
    if (is_full(txs))
        return -ENOSPC;
    struct bk_sip_tx *tx = slot_take(txs);
    if (!tx)
        return -ENOMEM;
    if (peer_join(tx, flow) < 0) {
        slot_give_back(tx);
        return -ENOMEM;
    }
    tx->kind = method == BK_SIP_INVITE ? INVITE_CLIENT : CLIENT;
    tx->method = (uint8_t)method;
    tx->vtable = vtable;
    tx->user = user;
    tx->secret = bk_random_u64(txs->config.random);
    branch_write(tx);
    *ret = tx;
    return 0;
}

struct bk_view bk_sip_tx_branch(const struct bk_sip_tx *tx)
{
    if (tx->kind != INVITE_CLIENT && tx->kind != CLIENT)
        return (struct bk_view){ 0 };
    return (struct bk_view){ tx->text, BRANCH_LEN };
}

void bk_sip_tx_start(struct bk_sip_tx *tx, struct bk_view request)
{
    step(tx, ON_START, &(struct input){ .bytes = request });
}

void bk_sip_tx_cancel(struct bk_sip_tx *tx, struct bk_view reason_field)
{
    if (tx->kind != INVITE_CLIENT || tx->cancelled ||
        (tx->state != CALLING && tx->state != PROCEEDING))
        return;
    tx->cancelled = true;
    if (tx->state == PROCEEDING) {
        send_cancel(tx, reason_field);
        return;
    }
    tx->reason = reason_field.len ? malloc(reason_field.len) : NULL;
    if (!tx->reason)
        return; /* then it goes without a reason */
    memcpy(tx->reason, reason_field.at, reason_field.len);
    tx->reason_len = reason_field.len;
}

void bk_sip_tx_forget(struct bk_sip_tx *tx)
{
    tx->vtable = NULL;
    bool unanswered = tx->kind == INVITE_SERVER || tx->kind == SERVER ? !tx->final : false;
    if (tx->state == CREATED || (unanswered && tx->flow.reliable))
        end(tx);
    else if (unanswered && tx->state != GONE)
        arm_deadline(tx, LASTS_64_T1); /* nobody can answer now: let it swallow what repeats come */
}

/* ---- The layer ---- */

void bk_sip_txs_flow_gone(struct bk_sip_txs *txs, uint64_t flow_id)
{
    struct peer *peer = peer_find(txs, flow_id);
    if (!peer)
        return;
    enter_layer(txs);
    peer_retire(txs, peer);
    peer->held = true;
    while (!bk_list_empty(&peer->txs))
        step(bk_container_of(peer->txs.next, struct bk_sip_tx, in), ON_FLOW_GONE, NULL);
    peer_give_back(txs, peer);
    leave_layer(txs);
}

size_t bk_sip_txs_flow_count(const struct bk_sip_txs *txs, uint64_t flow_id)
{
    const struct peer *peer = peer_find(txs, flow_id);
    return peer ? peer->count : 0;
}

size_t bk_sip_txs_count(const struct bk_sip_txs *txs)
{
    return txs->count;
}

uint64_t bk_sip_txs_dropped(const struct bk_sip_txs *txs)
{
    return txs->dropped;
}

void *bk_sip_tx_owner(const struct bk_sip_tx *tx)
{
    return tx->user;
}

struct bk_sip_flow bk_sip_tx_flow(const struct bk_sip_tx *tx)
{
    return tx->flow;
}

enum bk_sip_method bk_sip_tx_method(const struct bk_sip_tx *tx)
{
    return tx->method;
}

bool bk_sip_tx_is_final(const struct bk_sip_tx *tx)
{
    return tx->final;
}

struct bk_sip_txs *bk_sip_txs_create(const struct bk_sip_txs_config *config)
{
    struct bk_sip_txs *txs = calloc(1, sizeof *txs);
    if (!txs)
        return NULL;
    txs->config = *config;
    struct bk_sip_txs_config *c = &txs->config;
    c->t1_ms = c->t1_ms ? c->t1_ms : 500;
    c->t2_ms = c->t2_ms ? c->t2_ms : 4000;
    c->t4_ms = c->t4_ms ? c->t4_ms : 5000;
    c->timer_c_ms = c->timer_c_ms ? c->timer_c_ms : 181000;
    c->shard &= 0xff;
    bk_list_init(&txs->partial);
    bk_list_init(&txs->ended);
    bk_timer_init(&txs->flush_timer, on_flush);
    return txs;
}

struct bk_sip_txs *bk_sip_txs_destroy(struct bk_sip_txs *txs)
{
    if (!txs)
        return NULL;
    for (size_t i = 0; i < txs->n_slabs; i++) {
        struct slab *slab = txs->slabs[i];
        for (uint64_t left = slab->used; left; left &= left - 1) {
            struct bk_sip_tx *tx = &slab->tx[__builtin_ctzll(left)];
            end(tx);
            tx->vtable = NULL;
        }
    }
    flush(txs);
    while (txs->free_peers)
        free(peer_take(txs));
    for (size_t i = 0; i < txs->n_slabs; i++)
        free(txs->slabs[i]);
    free(txs->slabs);
    bk_map_finish(&txs->by_key);
    bk_map_finish(&txs->peers);
    bk_buf_finish(&txs->key);
    free(txs);
    return NULL;
}
