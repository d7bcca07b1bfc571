/* SPDX-License-Identifier: Apache-2.0 */
/* Server transactions are found by a key made of the request (RFC 3261 17.2.3). */
#include "sip/tx_private.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "sip/build.h"

#include <errno.h>
#include <stdlib.h>

enum { KEY_SCRATCH_KEPT = 4096 };

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
    bool has_cookie = bk_view_starts_with_nocase(head->via_branch, BK_VIEW(BK_SIP_TX_MAGIC));
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
    enum bk_sip_tx_event event = ON_REQUEST;
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

    bk_sip_txs_enter(txs);
    if (event == ON_CANCEL)
        answer_cancel(tx, flow, msg);
    bk_sip_tx_step(tx, event, &(struct bk_sip_tx_input){ .msg = msg });
    bk_sip_txs_leave(txs);
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

int bk_sip_tx_server_create(struct bk_sip_txs *txs, struct bk_sip_flow flow,
                            const struct bk_sip_msg *msg, const struct bk_sip_head *head,
                            const struct bk_sip_tx_user *vtable, void *user, struct bk_sip_tx **ret)
{
    if (msg->method == BK_SIP_ACK)
        return -EINVAL;
    if (bk_sip_txs_is_full(txs))
        return -ENOSPC;
    struct bk_sip_tx *tx = bk_sip_tx_slot_take(txs);
    if (!tx)
        return -ENOMEM;
    bool invite = msg->method == BK_SIP_INVITE;
    tx->kind = invite ? INVITE_SERVER : SERVER;
    tx->state = invite ? PROCEEDING : TRYING;
    tx->method = (uint8_t)msg->method;
    tx->vtable = vtable;
    tx->user = user;
    if (!key_write(txs, flow, msg, head, msg->method) || key_take(tx) < 0) {
        bk_sip_tx_slot_give_back(tx);
        return -ENOMEM;
    }
    if (bk_sip_tx_peer_join(tx, flow) < 0) {
        bk_map_remove(&txs->by_key, &tx->by_key);
        bk_sip_tx_slot_give_back(tx);
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
    bk_sip_tx_step(tx, bk_sip_tx_answer_event(status),
                   &(struct bk_sip_tx_input){ .bytes = bytes, .status = status });
}
