/* SPDX-License-Identifier: Apache-2.0 */
/* Client transactions are found by the branch alone: it says the shard, the place and a secret. */
#include "sip/tx_private.h"

#include "base/text.h"

#include <errno.h>
#include <stdlib.h>

enum { BRANCH_BYTES = 17 /* shard, index, generation, secret */ };
/* The cookie and a mark of ours, so that a glance tells our branches from others'. */
#define BRANCH_HEAD BK_SIP_TX_MAGIC "bk"
enum { BRANCH_LEN = sizeof BRANCH_HEAD - 1 + 2 * BRANCH_BYTES };
_Static_assert((int)BRANCH_LEN < (int)BK_SIP_BRANCH_MAX, "the branch fits with its NUL");

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
    struct bk_sip_tx *tx = bk_sip_tx_slot_at(txs, index, generation);
    if (!tx || (tx->kind != INVITE_CLIENT && tx->kind != CLIENT) || tx->secret != secret)
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

    bk_sip_txs_enter(txs);
    bk_sip_tx_step(tx, bk_sip_tx_answer_event(msg->status),
                   &(struct bk_sip_tx_input){ .msg = msg, .status = msg->status });
    bk_sip_txs_leave(txs);
    return true;
}

int bk_sip_tx_client_create(struct bk_sip_txs *txs, struct bk_sip_flow flow,
                            enum bk_sip_method method, const struct bk_sip_tx_user *vtable,
                            void *user, struct bk_sip_tx **ret)
{
    if (method == BK_SIP_ACK || method == BK_SIP_CANCEL)
        return -EINVAL;
    if (bk_sip_txs_is_full(txs))
        return -ENOSPC;
    struct bk_sip_tx *tx = bk_sip_tx_slot_take(txs);
    if (!tx)
        return -ENOMEM;
    if (bk_sip_tx_peer_join(tx, flow) < 0) {
        bk_sip_tx_slot_give_back(tx);
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
    bk_sip_tx_step(tx, ON_START, &(struct bk_sip_tx_input){ .bytes = request });
}

void bk_sip_tx_cancel(struct bk_sip_tx *tx, struct bk_view reason_field)
{
    if (tx->kind != INVITE_CLIENT || tx->cancelled ||
        (tx->state != CALLING && tx->state != PROCEEDING))
        return;
    tx->cancelled = true;
    if (tx->state == PROCEEDING) {
        bk_sip_tx_send_cancel(tx, reason_field);
        return;
    }
    tx->reason = reason_field.len ? malloc(reason_field.len) : NULL;
    if (!tx->reason)
        return; /* then it goes without a reason */
    memcpy(tx->reason, reason_field.at, reason_field.len);
    tx->reason_len = reason_field.len;
}
