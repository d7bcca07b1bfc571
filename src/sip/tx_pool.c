/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of transactions: places in slabs, and the flows they are on. */
#include "sip/tx_private.h"

#include "base/cleanup.h"

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

enum { SLAB_TXS = 64, FREE_PEERS = 256 };

struct bk_sip_tx_slab {
    struct bk_list partial; /* txs->partial, while a place is free */
    uint64_t used;
    uint32_t number;
    uint32_t generation[SLAB_TXS];
    struct bk_sip_tx tx[SLAB_TXS];
};
_Static_assert(SLAB_TXS == 64, "one bit of `used` for each");

/* ---- The pool ---- */

static int slab_add(struct bk_sip_txs *txs)
{
    if (txs->n_slabs == txs->slabs_cap) {
        size_t cap = txs->slabs_cap ? txs->slabs_cap * 2 : 8;
        struct bk_sip_tx_slab **slabs = realloc(txs->slabs, cap * sizeof *slabs);
        if (!slabs)
            return -ENOMEM;
        txs->slabs = slabs;
        txs->slabs_cap = cap;
    }
    struct bk_sip_tx_slab *slab = malloc(sizeof *slab);
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

struct bk_sip_tx *bk_sip_tx_slot_take(struct bk_sip_txs *txs)
{
    if (bk_list_empty(&txs->partial) && slab_add(txs) < 0)
        return NULL;
    struct bk_sip_tx_slab *slab =
        bk_container_of(txs->partial.next, struct bk_sip_tx_slab, partial);
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
    bk_timer_init(&tx->repeat, bk_sip_tx_on_repeat);
    bk_timer_init(&tx->deadline, bk_sip_tx_on_deadline);
    txs->count++;
    return tx;
}

void bk_sip_tx_slot_give_back(struct bk_sip_tx *tx)
{
    struct bk_sip_txs *txs = tx->txs;
    struct bk_sip_tx_slab *slab = txs->slabs[tx->index / SLAB_TXS];
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

struct bk_sip_tx *bk_sip_tx_slot_at(const struct bk_sip_txs *txs, uint32_t index,
                                    uint32_t generation)
{
    if (index / SLAB_TXS >= txs->n_slabs)
        return NULL;
    struct bk_sip_tx_slab *slab = txs->slabs[index / SLAB_TXS];
    unsigned place = index % SLAB_TXS;
    if (!(slab->used >> place & 1) || slab->generation[place] != generation)
        return NULL;
    return &slab->tx[place];
}

void bk_sip_tx_pool_each(struct bk_sip_txs *txs, void (*what)(struct bk_sip_tx *tx))
{
    for (size_t i = 0; i < txs->n_slabs; i++) {
        struct bk_sip_tx_slab *slab = txs->slabs[i];
        for (uint64_t left = slab->used; left; left &= left - 1)
            what(&slab->tx[__builtin_ctzll(left)]);
    }
}

/* ---- Flows ---- */

/* The ids are our own numbers, not a stranger's choice: no keyed hash is needed. */
static uint64_t peer_hash(uint64_t id)
{
    id *= 0x9e3779b97f4a7c15U;
    return id ^ id >> 32;
}

struct bk_sip_tx_peer *bk_sip_tx_peer_find(const struct bk_sip_txs *txs, uint64_t id)
{
    if (txs->last_peer && txs->last_peer->id == id)
        return txs->last_peer;
    struct bk_map_node *node = bk_map_first(&txs->peers, peer_hash(id));
    for (; node; node = bk_map_next(node)) {
        struct bk_sip_tx_peer *peer = bk_container_of(node, struct bk_sip_tx_peer, by_id);
        if (peer->id == id)
            return peer;
    }
    return NULL;
}

static struct bk_sip_tx_peer *peer_take(struct bk_sip_txs *txs)
{
    struct bk_sip_tx_peer *peer = txs->free_peers;
    if (!peer)
        return malloc(sizeof *peer);
    ASAN_UNPOISON_MEMORY_REGION(peer, sizeof *peer);
    txs->free_peers = peer->next_free;
    txs->n_free_peers--;
    return peer;
}

void bk_sip_tx_peer_give_back(struct bk_sip_txs *txs, struct bk_sip_tx_peer *peer)
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

int bk_sip_tx_peer_join(struct bk_sip_tx *tx, struct bk_sip_flow flow)
{
    struct bk_sip_txs *txs = tx->txs;
    struct bk_sip_tx_peer *peer = bk_sip_tx_peer_find(txs, flow.id);
    if (!peer) {
        peer = peer_take(txs);
        if (!peer)
            return -ENOMEM;
        *peer = (struct bk_sip_tx_peer){ .id = flow.id };
        bk_list_init(&peer->txs);
        if (bk_map_insert(&txs->peers, &peer->by_id, peer_hash(flow.id)) < 0) {
            bk_sip_tx_peer_give_back(txs, peer);
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

void bk_sip_tx_peer_retire(struct bk_sip_txs *txs, struct bk_sip_tx_peer *peer)
{
    bk_map_remove(&txs->peers, &peer->by_id);
    if (txs->last_peer == peer)
        txs->last_peer = NULL;
}

void bk_sip_tx_peer_leave(struct bk_sip_tx *tx)
{
    struct bk_sip_tx_peer *peer = BK_TAKE(tx->peer);
    bk_list_remove(&tx->in);
    if (--peer->count || peer->held)
        return;
    bk_sip_tx_peer_retire(tx->txs, peer);
    bk_sip_tx_peer_give_back(tx->txs, peer);
}

void bk_sip_tx_pool_finish(struct bk_sip_txs *txs)
{
    while (txs->free_peers)
        free(peer_take(txs));
    for (size_t i = 0; i < txs->n_slabs; i++)
        free(txs->slabs[i]);
    free(txs->slabs);
}
