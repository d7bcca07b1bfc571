/* SPDX-License-Identifier: Apache-2.0 */
/* The layer: ends, and when callbacks may run; what it counts. The rest of it: tx_private.h. */
#include "sip/tx_private.h"

#include <stdlib.h>

/* ---- Ends, and when the owner hears of them ---- */

static void flush(struct bk_sip_txs *txs)
{
    while (!bk_list_empty(&txs->ended)) {
        struct bk_sip_tx *tx = bk_container_of(txs->ended.next, struct bk_sip_tx, in);
        bk_list_remove(&tx->in);
        if (tx->vtable && tx->vtable->gone)
            tx->vtable->gone(tx, tx->user);
        bk_sip_tx_slot_give_back(tx);
    }
    bk_timer_disarm(txs->config.timers, &txs->flush_timer);
}

void bk_sip_txs_enter(struct bk_sip_txs *txs)
{
    txs->depth++;
}

void bk_sip_txs_leave(struct bk_sip_txs *txs)
{
    if (txs->depth == 1)
        flush(txs);
    txs->depth--;
}

static void on_flush(struct bk_timer *timer)
{
    struct bk_sip_txs *txs = bk_container_of(timer, struct bk_sip_txs, flush_timer);
    bk_sip_txs_enter(txs);
    bk_sip_txs_leave(txs);
}

void bk_sip_tx_end(struct bk_sip_tx *tx)
{
    struct bk_sip_txs *txs = tx->txs;
    if (tx->state == GONE)
        return;
    tx->state = GONE;
    bk_timer_disarm(txs->config.timers, &tx->repeat);
    bk_timer_disarm(txs->config.timers, &tx->deadline);
    if (tx->kind == INVITE_SERVER || tx->kind == SERVER)
        bk_map_remove(&txs->by_key, &tx->by_key);
    bk_sip_tx_peer_leave(tx);
    if (tx->parent)
        tx->parent->cancel = NULL;
    if (tx->cancel)
        bk_sip_tx_end(tx->cancel); /* what it answers to a CANCEL is of no use any more */
    tx->cancel = tx->parent = NULL;

    bk_list_append(&txs->ended, &tx->in);
    if (txs->depth == 0 && !bk_timer_armed(&txs->flush_timer))
        bk_timer_arm(txs->config.timers, &txs->flush_timer, 0);
}

/* ---- The layer ---- */

void bk_sip_tx_forget(struct bk_sip_tx *tx)
{
    tx->vtable = NULL;
    bool unanswered = tx->kind == INVITE_SERVER || tx->kind == SERVER ? !tx->final : false;
    if (tx->state == CREATED || (unanswered && tx->flow.reliable))
        bk_sip_tx_end(tx);
    else if (unanswered && tx->state != GONE)
        bk_sip_tx_linger(tx); /* nobody can answer now: let it swallow what repeats come */
}

bool bk_sip_txs_is_full(const struct bk_sip_txs *txs)
{
    return txs->config.max && txs->count >= txs->config.max;
}

void bk_sip_txs_flow_gone(struct bk_sip_txs *txs, uint64_t flow_id)
{
    struct bk_sip_tx_peer *peer = bk_sip_tx_peer_find(txs, flow_id);
    if (!peer)
        return;
    bk_sip_txs_enter(txs);
    bk_sip_tx_peer_retire(txs, peer);
    peer->held = true;
    while (!bk_list_empty(&peer->txs))
        bk_sip_tx_step(bk_container_of(peer->txs.next, struct bk_sip_tx, in), ON_FLOW_GONE, NULL);
    bk_sip_tx_peer_give_back(txs, peer);
    bk_sip_txs_leave(txs);
}

size_t bk_sip_txs_flow_count(const struct bk_sip_txs *txs, uint64_t flow_id)
{
    const struct bk_sip_tx_peer *peer = bk_sip_tx_peer_find(txs, flow_id);
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

static void end_unheard(struct bk_sip_tx *tx)
{
    bk_sip_tx_end(tx);
    tx->vtable = NULL;
}

struct bk_sip_txs *bk_sip_txs_destroy(struct bk_sip_txs *txs)
{
    if (!txs)
        return NULL;
    bk_sip_tx_pool_each(txs, end_unheard);
    flush(txs);
    bk_sip_tx_pool_finish(txs);
    bk_map_finish(&txs->by_key);
    bk_map_finish(&txs->peers);
    bk_buf_finish(&txs->key);
    free(txs);
    return NULL;
}
