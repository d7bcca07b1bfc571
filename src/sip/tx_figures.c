/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The four figures stand below as tables: which event, in which state, leads where and does what;
 * a second table says which timers a state starts. What a figure does not list is dropped and
 * counted.
 */
#include "sip/tx_private.h"

#include "base/cleanup.h"
#include "sip/build.h"

#include <stdlib.h>

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

void bk_sip_tx_linger(struct bk_sip_tx *tx)
{
    arm_deadline(tx, LASTS_64_T1);
}

static void enter(struct bk_sip_tx *tx, enum bk_sip_tx_state next)
{
    if (next == tx->state)
        return;
    const struct stay *stay = &stays[tx->kind][next];
    if (next == GONE || (stay->none_if_reliable && tx->flow.reliable)) {
        bk_sip_tx_end(tx);
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

static void send_kept(struct bk_sip_tx *tx, const struct bk_sip_tx_input *in)
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

static void again_doubling(struct bk_sip_tx *tx, const struct bk_sip_tx_input *in)
{
    (void)in;
    send_kept_and_wait(tx, tx->interval_ms * 2);
}

static void again_up_to_t2(struct bk_sip_tx *tx, const struct bk_sip_tx_input *in)
{
    (void)in;
    int t2_ms = tx->txs->config.t2_ms;
    send_kept_and_wait(tx, tx->interval_ms * 2 < t2_ms ? tx->interval_ms * 2 : t2_ms);
}

static void again_after_t2(struct bk_sip_tx *tx, const struct bk_sip_tx_input *in)
{
    (void)in;
    send_kept_and_wait(tx, tx->txs->config.t2_ms);
}

static void tell_failure(struct bk_sip_tx *tx, enum bk_sip_tx_failure why)
{
    if (tx->vtable && tx->vtable->failed)
        tx->vtable->failed(tx, tx->user, why);
}

static void time_out(struct bk_sip_tx *tx, const struct bk_sip_tx_input *in)
{
    (void)in;
    tell_failure(tx, BK_SIP_TX_TIMEOUT);
}

static void flow_failed(struct bk_sip_tx *tx, const struct bk_sip_tx_input *in)
{
    (void)in;
    tell_failure(tx, BK_SIP_TX_TRANSPORT);
}

static void pass_up(struct bk_sip_tx *tx, const struct bk_sip_tx_input *in)
{
    if (tx->vtable && tx->vtable->response)
        tx->vtable->response(tx, tx->user, in->msg);
}

static void pass_up_final(struct bk_sip_tx *tx, const struct bk_sip_tx_input *in)
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

static void send_request(struct bk_sip_tx *tx, const struct bk_sip_tx_input *in)
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

static void acknowledge_and_pass_up(struct bk_sip_tx *tx, const struct bk_sip_tx_input *in)
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
void bk_sip_tx_send_cancel(struct bk_sip_tx *tx, struct bk_view reason_field)
{
    tx->cancel_sent = true;
    /* RFC 3261 9.1: no final answer for 64*T1 counts as cancelled. */
    arm_deadline(tx, LASTS_64_T1);

    BK_AUTO_BUF struct bk_buf cancel = { 0 };
    if (!tx->kept_len ||
        !write_follower(&cancel, kept(tx), BK_SIP_CANCEL, (struct bk_view){ 0 }, reason_field))
        return;
    struct bk_sip_tx *runs = bk_sip_tx_slot_take(tx->txs);
    if (!runs || bk_sip_tx_peer_join(runs, tx->flow) < 0) { /* then it is sent once, which may do */
        if (runs)
            bk_sip_tx_slot_give_back(runs);
        send_bytes(tx, bk_buf_view(&cancel));
        return;
    }
    runs->kind = CLIENT;
    runs->method = BK_SIP_CANCEL;
    runs->parent = tx;
    tx->cancel = runs;
    bk_sip_tx_start(runs, bk_buf_view(&cancel));
}

static void cancel_late(struct bk_sip_tx *tx, const struct bk_sip_tx_input *in)
{
    (void)in;
    tx->cancelled = true;
    bk_sip_tx_send_cancel(tx, (struct bk_view){ 0 });
}

static void hear_ringing(struct bk_sip_tx *tx, const struct bk_sip_tx_input *in)
{
    if (tx->cancelled && !tx->cancel_sent)
        bk_sip_tx_send_cancel(tx, (struct bk_view){ tx->reason, tx->reason_len });
    else if (!tx->cancel_sent && in->status > 100)
        arm_deadline(tx, LASTS_TIMER_C); /* RFC 3261 16.7, 2: but not for 100 */
    pass_up(tx, in);
}

static void answer(struct bk_sip_tx *tx, const struct bk_sip_tx_input *in)
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

static void tell_cancelled(struct bk_sip_tx *tx, const struct bk_sip_tx_input *in)
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
    void (*action)(struct bk_sip_tx *tx, const struct bk_sip_tx_input *in);
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
void bk_sip_tx_step(struct bk_sip_tx *tx, enum bk_sip_tx_event event,
                    const struct bk_sip_tx_input *in)
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

void bk_sip_tx_on_repeat(struct bk_timer *timer)
{
    struct bk_sip_tx *tx = bk_container_of(timer, struct bk_sip_tx, repeat);
    struct bk_sip_txs *txs = tx->txs;
    bk_sip_txs_enter(txs);
    bk_sip_tx_step(tx, ON_REPEAT, NULL);
    bk_sip_txs_leave(txs);
}

void bk_sip_tx_on_deadline(struct bk_timer *timer)
{
    struct bk_sip_tx *tx = bk_container_of(timer, struct bk_sip_tx, deadline);
    struct bk_sip_txs *txs = tx->txs;
    bool is_timer_c = tx->kind == INVITE_CLIENT && tx->state == PROCEEDING && !tx->cancel_sent;
    bk_sip_txs_enter(txs);
    bk_sip_tx_step(tx, is_timer_c ? ON_RINGING : ON_DEADLINE, NULL);
    bk_sip_txs_leave(txs);
}

enum bk_sip_tx_event bk_sip_tx_answer_event(int status)
{
    return status < 200 ? ON_1XX : status < 300 ? ON_2XX : ON_3XX_6XX;
}
