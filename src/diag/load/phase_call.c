/* SPDX-License-Identifier: Apache-2.0 */
/*
 * INVITE 180 200 ACK BYE 200 between random pairs, through the server in both directions of the
 * dialog, with what the server did to the headers judged on the way.
 */
#include "diag/load/engine_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void answer(struct bk_load_engine *engine, uint32_t slot, const struct bk_load_token *token,
                   const struct bk_load_msg *msg);
static void send_invite(struct bk_load_engine *engine, uint32_t slot);
static void resend(struct bk_load_engine *engine, uint32_t slot);

static const struct bk_load_kind kind = { "INVITE", answer, resend };

static const struct bk_view sdp = { BK_VIEW_OF(
    "v=0\r\no=- 3800000000 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n") };

void bk_load_call_finish(struct bk_load_call *call)
{
    free(call->target);
    free(call->routes);
    free(call->callee_target);
    free(call->callee_routes);
    *call = (struct bk_load_call){ 0 };
}

static void tag_of(struct bk_load_engine *engine, uint32_t slot, char side, char ret[24])
{
    snprintf(ret, 24, "%c%x.%x", side, slot, engine->ops.slots[slot].generation);
}

static void fail(struct bk_load_engine *engine, uint32_t slot, const char *why)
{
    bk_load_failed(engine, "call: %s", why);
    bk_load_op_end(engine, slot);
}

static bool has_tag(struct bk_load_engine *engine, uint32_t slot, struct bk_view field, char side)
{
    char tag[24];
    tag_of(engine, slot, side, tag);
    return bk_view_equal(bk_load_msg_param(field, BK_VIEW("tag")), bk_view_of_str(tag));
}

/* ---- the caller ---- */

static void send_invite(struct bk_load_engine *engine, uint32_t slot)
{
    const struct bk_load_op *op = &engine->op[slot];
    char uri[300], tag[24];
    snprintf(uri, sizeof uri, "sip:%s", engine->people->at[op->to].address);
    tag_of(engine, slot, 'a', tag);
    bk_load_write_start(engine, op->from, slot, 'i', "INVITE", bk_view_of_str(uri));
    bk_load_write_party(engine, "From", op->from, tag);
    bk_load_write_party(engine, "To", op->to, "");
    bk_load_write_call_id(engine, slot);
    bk_buf_add_lit(&engine->out, "CSeq: 1 INVITE\r\n");
    bk_load_write_contact(engine, op->from);
    bk_load_write_body(engine, "application/sdp", sdp);
    bk_load_send(engine, op->from);
}

/* ACK or BYE inside the dialog, from the caller or from the callee. */
static void send_within(struct bk_load_engine *engine, uint32_t slot, bool callee, char leg,
                        const char *method, unsigned cseq, const char *target, const char *routes)
{
    const struct bk_load_op *op = &engine->op[slot];
    uint32_t local = callee ? op->to : op->from, remote = callee ? op->from : op->to;
    char from_tag[24], to_tag[24];
    tag_of(engine, slot, callee ? 'b' : 'a', from_tag);
    tag_of(engine, slot, callee ? 'a' : 'b', to_tag);
    bk_load_write_start(engine, local, slot, leg, method, bk_view_of_str(target));
    if (routes[0])
        bk_buf_addf(&engine->out, "Route: %s\r\n", routes);
    bk_load_write_party(engine, "From", local, from_tag);
    bk_load_write_party(engine, "To", remote, to_tag);
    bk_load_write_call_id(engine, slot);
    bk_buf_addf(&engine->out, "CSeq: %u %s\r\n", cseq, method);
    bk_load_write_body(engine, NULL, (struct bk_view){ 0 });
    bk_load_send(engine, local);
}

static void hang_up(struct bk_load_engine *engine, uint32_t slot)
{
    struct bk_load_call *call = &engine->op[slot].call;
    call->bye_sent = true;
    if (call->callee_ends)
        send_within(engine, slot, true, 'b', "BYE", 1, call->callee_target, call->callee_routes);
    else
        send_within(engine, slot, false, 'b', "BYE", 2, call->target, call->routes);
}

static void resend(struct bk_load_engine *engine, uint32_t slot)
{
    if (engine->op[slot].call.bye_sent)
        hang_up(engine, slot);
    else if (!engine->op[slot].call.rang)
        send_invite(engine, slot);
}

static const char *judge_answer(struct bk_load_engine *engine, uint32_t slot,
                                const struct bk_load_msg *msg)
{
    const struct bk_load_op *op = &engine->op[slot];
    if (bk_load_count_values(&msg->via) != 1)
        return "an answer to INVITE carries more than our Via";
    if (!has_tag(engine, slot, msg->to, 'b') || !has_tag(engine, slot, msg->from, 'a'))
        return "an answer to INVITE has other tags";
    if (!bk_load_is_contact_of(engine, op->to, bk_load_msg_address(msg->contact)))
        return "an answer to INVITE has another Contact than the callee's";
    if (bk_load_count_values(&msg->record_route) < 1)
        return "an answer to INVITE has no Record-Route";
    if (msg->status == 200 && !bk_view_equal(msg->body, sdp))
        return "the 200 to INVITE has another body";
    return NULL;
}

static void answered(struct bk_load_engine *engine, uint32_t slot, const struct bk_load_msg *msg)
{
    struct bk_load_call *call = &engine->op[slot].call;
    const char *wrong = judge_answer(engine, slot, msg);
    if (wrong) {
        fail(engine, slot, wrong);
        return;
    }
    if (msg->status == 180) {
        call->rang = true;
        return;
    }
    if (!call->answered) {
        if (!call->rang && !engine->unreliable) {
            fail(engine, slot, "200 without the 180 before it");
            return;
        }
        call->answered = true;
        call->target = bk_view_dup(bk_load_msg_address(msg->contact));
        call->routes = bk_load_route_value(&msg->record_route, true);
        if (!call->target || !call->routes) {
            fail(engine, slot, "out of memory");
            return;
        }
        bk_load_samples_add(&engine->run.answer,
                            bk_load_now_ns() - engine->ops.slots[slot].started_ns);
    }
    send_within(engine, slot, false, 'k', "ACK", 1, call->target, call->routes);
    if (!call->callee_ends)
        hang_up(engine, slot);
}

static void finish_check(struct bk_load_engine *engine, uint32_t slot)
{
    const struct bk_load_call *call = &engine->op[slot].call;
    if (!call->bye_done || !call->ack_seen)
        return;
    engine->run.result->operations++;
    bk_load_op_end(engine, slot);
}

static void answer(struct bk_load_engine *engine, uint32_t slot, const struct bk_load_token *token,
                   const struct bk_load_msg *msg)
{
    struct bk_load_call *call = &engine->op[slot].call;
    if (token->leg == 'b') {
        if (msg->status < 200)
            return;
        if (msg->status != 200) {
            fail(engine, slot, "BYE was not answered 200");
            return;
        }
        call->bye_done = true;
        finish_check(engine, slot);
        return;
    }
    if (msg->status == 100)
        return;
    if (msg->status == 180 || msg->status == 200)
        answered(engine, slot, msg);
    else
        bk_load_op_failed_status(engine, slot, msg);
}

/* ---- the callee ---- */

static const char *judge_request(struct bk_load_engine *engine, uint32_t who, uint32_t slot,
                                 const struct bk_load_msg *msg)
{
    const struct bk_load_op *op = &engine->op[slot];
    bool invite = bk_view_equal(msg->method, BK_VIEW("INVITE"));
    bool from_caller = !(op->call.callee_ends && bk_view_equal(msg->method, BK_VIEW("BYE")));
    if (op->kind != &kind || who != (from_caller ? op->to : op->from))
        return "came to the wrong person";
    if (!bk_load_is_contact_of(engine, who, msg->uri))
        return "does not name the Contact of whom it came to";
    if (bk_load_count_values(&msg->via) < 2)
        return "lacks the Via of sender or server";
    if (msg->route.count > 0)
        return "still carries the server's Route";
    if (msg->max_forwards != 69)
        return "has a Max-Forwards that is not one less";
    if (!has_tag(engine, slot, msg->from, from_caller ? 'a' : 'b') ||
        (!invite && !has_tag(engine, slot, msg->to, from_caller ? 'b' : 'a')))
        return "has other tags";
    if (!invite)
        return NULL;
    if (bk_load_count_values(&msg->record_route) < 1)
        return "has no Record-Route";
    if (!bk_load_is_contact_of(engine, op->from, bk_load_msg_address(msg->contact)))
        return "has another Contact than the caller's";
    if (!bk_view_equal(msg->body, sdp))
        return "has another body";
    return NULL;
}

static void invited(struct bk_load_engine *engine, uint32_t who, uint32_t slot,
                    const struct bk_load_msg *msg)
{
    struct bk_load_call *call = &engine->op[slot].call;
    if (call->invite_seen) {
        if (!engine->unreliable)
            bk_load_failed(engine, "call: INVITE arrived twice");
    } else {
        call->invite_seen = true;
        call->callee_target = bk_view_dup(bk_load_msg_address(msg->contact));
        call->callee_routes = bk_load_route_value(&msg->record_route, false);
        bk_load_samples_add(&engine->run.arrival,
                            bk_load_now_ns() - engine->ops.slots[slot].started_ns);
    }
    char tag[24];
    tag_of(engine, slot, 'b', tag);
    bk_load_respond(engine, who, msg, "180 Ringing", tag, true, NULL, (struct bk_view){ 0 });
    bk_load_respond(engine, who, msg, "200 OK", tag, true, "application/sdp", sdp);
}

void bk_load_call_request(struct bk_load_engine *engine, uint32_t who,
                          const struct bk_load_msg *msg)
{
    bool ours, ack = bk_view_equal(msg->method, BK_VIEW("ACK"));
    uint32_t slot = bk_load_op_of_call_id(engine, msg->call_id, &ours);
    if (slot == BK_LOAD_OP_NONE) {
        if (!ack)
            bk_load_respond(engine, who, msg, "481 Call Does Not Exist", "bl", false, NULL,
                            (struct bk_view){ 0 });
        if (ours && !engine->unreliable)
            bk_load_failed(engine, "call: %.*s arrived after its end", BK_VIEW_ARGS(msg->method));
        return;
    }
    const char *wrong = judge_request(engine, who, slot, msg);
    if (wrong) {
        bk_load_failed(engine, "call: %.*s %s", BK_VIEW_ARGS(msg->method), wrong);
        bk_load_op_end(engine, slot);
        return;
    }
    struct bk_load_call *call = &engine->op[slot].call;
    if (bk_view_equal(msg->method, BK_VIEW("INVITE"))) {
        invited(engine, who, slot, msg);
    } else if (ack) {
        bool first = !call->ack_seen;
        call->ack_seen = true;
        if (first && call->callee_ends)
            hang_up(engine, slot);
        else
            finish_check(engine, slot);
    } else {
        bk_load_respond(engine, who, msg, "200 OK", "bl", false, NULL, (struct bk_view){ 0 });
    }
}

/* ---- the phase ---- */

static enum bk_load_start start(struct bk_load_engine *engine)
{
    uint32_t slot;
    enum bk_load_start started = bk_load_op_begin_pair(engine, &kind, &slot);
    if (slot == BK_LOAD_OP_NONE)
        return started;
    engine->op[slot].call.callee_ends = engine->run.started % 2;
    send_invite(engine, slot);
    return BK_LOAD_STARTED;
}

static int prepare(struct bk_load_engine *engine)
{
    bk_load_choose_signed_in(engine);
    if (engine->chosen_count < 2)
        return -ENODATA;
    engine->run.target = (uint64_t)engine->options->calls;
    engine->run.limit = (uint32_t)engine->options->in_flight;
    int r = bk_load_samples_reserve(&engine->run.answer, engine->run.target);
    return r < 0 ? r : bk_load_samples_reserve(&engine->run.arrival, engine->run.target);
}

const struct bk_load_phase bk_load_phase_call = {
    "call", "INVITE 180 200 ACK BYE 200", "calls between random pairs, --in-flight at one time",
    prepare, start
};
