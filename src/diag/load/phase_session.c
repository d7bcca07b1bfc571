/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversations of the Lync dialect: INVITE with a message medium, 200, ACK between random pairs;
 * the messages inside are phase_message.c's; BYE. ([MS-CONVENUE])
 */
#include "diag/load/engine_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void answer(struct bk_load_engine *engine, uint32_t slot, const struct bk_load_token *token,
                   const struct bk_load_msg *msg);

static const struct bk_load_kind invite_kind = { "INVITE", answer, NULL };
static const struct bk_load_kind bye_kind = { "BYE", answer, NULL };

static void add_sdp(struct bk_buf *to, const char *local, const char *address)
{
    const char *colon = strrchr(local, ':');
    int host = colon ? (int)(colon - local) : 0;
    bk_buf_addf(to,
                "v=0\r\no=- 0 0 IN IP4 %.*s\r\ns=session\r\nc=IN IP4 %.*s\r\nt=0 0\r\n"
                "m=message 5060 sip %s%s\r\na=accept-types:text/plain text/html\r\n",
                host, local, host, local, address ? "sip:" : "null", address ? address : "");
}

void bk_load_sessions_drop(struct bk_load_engine *engine)
{
    for (uint32_t i = 0; i < engine->session_count; i++) {
        for (unsigned side = 0; side < 2; side++) {
            free(engine->sessions[i].target[side]);
            free(engine->sessions[i].routes[side]);
        }
    }
    free(engine->sessions);
    engine->sessions = NULL;
    engine->session_count = 0;
}

/* "i<index in hexadecimal>.<run>" */
struct bk_load_session *bk_load_session_of(struct bk_load_engine *engine, uint32_t who,
                                           struct bk_view call_id, unsigned *ret_side)
{
    uint32_t index = 0;
    size_t dot = bk_view_find(call_id, '.');
    if (dot < 2 || dot > 9 || call_id.at[0] != 'i' ||
        !bk_view_equal(bk_view_skip(call_id, dot + 1), bk_view_of_str(engine->run_id)))
        return NULL;
    for (size_t i = 1; i < dot; i++) {
        const char *digits = "0123456789abcdef", *digit = strchr(digits, call_id.at[i]);
        if (!digit || !*digit)
            return NULL;
        index = index << 4 | (uint32_t)(digit - digits);
    }
    if (index >= engine->session_count)
        return NULL;
    struct bk_load_session *session = &engine->sessions[index];
    *ret_side = session->who[1] == who;
    return session->who[*ret_side] == who ? session : NULL;
}

static void tag_of(uint32_t session, unsigned side, char ret[16])
{
    snprintf(ret, 16, "i%c%x", side ? 'b' : 'a', session);
}

static bool has_tag(struct bk_view field, uint32_t session, unsigned side)
{
    char tag[16];
    tag_of(session, side, tag);
    return bk_view_equal(bk_load_msg_param(field, BK_VIEW("tag")), bk_view_of_str(tag));
}

void bk_load_session_write(struct bk_load_engine *engine, uint32_t slot, uint32_t number,
                           unsigned side, char leg, const char *method, uint32_t cseq)
{
    struct bk_load_session *session = &engine->sessions[number];
    char uri[300], tag[2][16];
    bool inside = session->target[side] != NULL;
    snprintf(uri, sizeof uri, "sip:%s", engine->people->at[session->who[!side]].address);
    tag_of(number, side, tag[0]);
    tag_of(number, !side, tag[1]);
    bk_load_write_start(engine, session->who[side], slot, leg, method,
                        bk_view_of_str(inside ? session->target[side] : uri));
    if (inside && session->routes[side][0])
        bk_buf_addf(&engine->out, "Route: %s\r\n", session->routes[side]);
    bk_load_write_party(engine, "From", session->who[side], tag[0]);
    bk_load_write_party(engine, "To", session->who[!side], inside ? tag[1] : "");
    bk_buf_addf(&engine->out, "Call-ID: i%x.%s\r\nCSeq: %u %s\r\n", number, engine->run_id, cseq,
                method);
}

/* ---- who opens and closes it ---- */

static void send_invite(struct bk_load_engine *engine, uint32_t slot)
{
    const struct bk_load_op *op = &engine->op[slot];
    BK_AUTO_BUF struct bk_buf sdp = { 0 };
    add_sdp(&sdp, bk_load_io_local(engine->io, op->from), NULL);
    bk_load_session_write(engine, slot, op->session, 0, 'i', "INVITE",
                          ++engine->sessions[op->session].cseq[0]);
    bk_buf_add_lit(&engine->out, "Supported: ms-sender\r\nMs-Conversation-ID: 1\r\n");
    bk_load_write_contact(engine, op->from);
    bk_load_write_body(engine, "application/sdp", bk_buf_view(&sdp));
    bk_load_send(engine, op->from);
}

static void end(struct bk_load_engine *engine, uint32_t slot)
{
    engine->sessions[engine->op[slot].session].op = BK_LOAD_OP_NONE;
    bk_load_op_end(engine, slot);
}

/* Open: answered at the one end, acknowledged at the other. */
static void open_check(struct bk_load_engine *engine, struct bk_load_session *session)
{
    uint32_t slot = session->op;
    if (slot == BK_LOAD_OP_NONE || !session->answered || !session->acked)
        return;
    const struct bk_load_op *op = &engine->op[slot];
    if (!engine->ops.slots[slot].live || op->kind != &invite_kind ||
        &engine->sessions[op->session] != session)
        return; /* it ended by its time-out, and the slot may be another's */
    bk_load_done(engine, slot);
    end(engine, slot);
}

static const char *judge_answer(struct bk_load_engine *engine, const struct bk_load_op *op,
                                const struct bk_load_msg *msg)
{
    if (bk_load_count_values(&msg->via) != 1)
        return "carries more than our Via";
    if (!has_tag(msg->to, op->session, 1) || !has_tag(msg->from, op->session, 0))
        return "has other tags";
    if (!bk_load_is_contact_of(engine, op->to, bk_load_msg_address(msg->contact)))
        return "has another Contact than the one invited";
    if (bk_view_find_view(msg->body, BK_VIEW("m=message ")) == msg->body.len)
        return "has no message medium";
    return NULL;
}

static void opened(struct bk_load_engine *engine, uint32_t slot, const struct bk_load_msg *msg)
{
    const struct bk_load_op *op = &engine->op[slot];
    struct bk_load_session *session = &engine->sessions[op->session];
    const char *wrong = judge_answer(engine, op, msg);
    if (wrong) {
        bk_load_failed(engine, "the 200 to INVITE %s", wrong);
        end(engine, slot);
        return;
    }
    session->target[0] = bk_view_dup(bk_load_msg_address(msg->contact));
    session->routes[0] = bk_load_route_value(&msg->record_route, true);
    if (!session->target[0] || !session->routes[0]) {
        bk_load_failed(engine, "out of memory");
        end(engine, slot);
        return;
    }
    session->answered = true;
    bk_load_session_write(engine, slot, op->session, 0, 'k', "ACK", session->cseq[0]);
    bk_load_write_body(engine, NULL, (struct bk_view){ 0 });
    bk_load_send(engine, op->from);
    open_check(engine, session);
}

static void answer(struct bk_load_engine *engine, uint32_t slot, const struct bk_load_token *token,
                   const struct bk_load_msg *msg)
{
    (void)token;
    const struct bk_load_op *op = &engine->op[slot];
    struct bk_load_session *session = &engine->sessions[op->session];
    if (msg->status < 200)
        return;
    if (msg->status != 200) {
        session->op = BK_LOAD_OP_NONE;
        bk_load_op_failed_status(engine, slot, msg);
        return;
    }
    if (op->kind == &invite_kind) {
        if (!session->answered)
            opened(engine, slot, msg);
        return;
    }
    if (!session->closed)
        bk_load_failed(engine, "BYE answered 200, but it never arrived");
    else
        bk_load_done(engine, slot);
    end(engine, slot);
}

/* ---- who is invited ---- */

static void invited(struct bk_load_engine *engine, uint32_t number, const struct bk_load_msg *msg)
{
    struct bk_load_session *session = &engine->sessions[number];
    uint32_t who = session->who[1];
    if (session->target[1]) {
        bk_load_failed(engine, "INVITE arrived twice");
        return;
    }
    if (!has_tag(msg->from, number, 0) ||
        !bk_load_is_contact_of(engine, session->who[0], bk_load_msg_address(msg->contact)) ||
        bk_view_find_view(msg->body, BK_VIEW("m=message ")) == msg->body.len) {
        bk_load_failed(engine, "INVITE came with another tag, Contact or medium than was sent");
        return;
    }
    session->target[1] = bk_view_dup(bk_load_msg_address(msg->contact));
    session->routes[1] = bk_load_route_value(&msg->record_route, false);
    session->seen[1] = msg->cseq;
    if (session->op != BK_LOAD_OP_NONE && engine->ops.slots[session->op].live)
        bk_load_samples_add(&engine->run.arrival,
                            bk_load_now_ns() - engine->ops.slots[session->op].started_ns);
    char tag[16];
    BK_AUTO_BUF struct bk_buf sdp = { 0 };
    tag_of(number, 1, tag);
    add_sdp(&sdp, bk_load_io_local(engine->io, who), engine->people->at[who].address);
    bk_load_respond(engine, who, msg, "200 OK", tag, true, "application/sdp", bk_buf_view(&sdp));
}

bool bk_load_session_request(struct bk_load_engine *engine, uint32_t who,
                             const struct bk_load_msg *msg)
{
    unsigned side;
    struct bk_load_session *session = bk_load_session_of(engine, who, msg->call_id, &side);
    if (!session)
        return false;
    uint32_t number = (uint32_t)(session - engine->sessions);
    if (side == 0 || (!bk_view_equal(msg->method, BK_VIEW("INVITE")) &&
                      (!has_tag(msg->from, number, 0) || !has_tag(msg->to, number, 1)))) {
        bk_load_failed(engine, "%.*s came to the wrong end or with other tags",
                       BK_VIEW_ARGS(msg->method));
        return true;
    }
    if (bk_view_equal(msg->method, BK_VIEW("INVITE"))) {
        invited(engine, number, msg);
    } else if (bk_view_equal(msg->method, BK_VIEW("ACK"))) {
        session->acked = true;
        open_check(engine, session);
    } else {
        session->closed = true;
        bk_load_respond(engine, who, msg, "200 OK", "bl", false, NULL, (struct bk_view){ 0 });
    }
    return true;
}

/* ---- the phases ---- */

static int prepare_session(struct bk_load_engine *engine)
{
    bk_load_choose_signed_in(engine);
    bk_load_sessions_drop(engine);
    if (engine->chosen_count < 2)
        return -ENODATA;
    uint32_t count = (uint32_t)engine->options->sessions;
    engine->sessions = calloc(count, sizeof *engine->sessions);
    if (!engine->sessions)
        return -ENOMEM;
    engine->session_count = count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t from = (uint32_t)(bk_load_random(engine) % engine->chosen_count);
        uint32_t to = (uint32_t)(bk_load_random(engine) % (engine->chosen_count - 1));
        to += to >= from;
        engine->sessions[i] =
            (struct bk_load_session){ .who = { engine->chosen[from], engine->chosen[to] },
                                      .op = BK_LOAD_OP_NONE };
    }
    engine->run.target = count;
    engine->run.limit = (uint32_t)engine->options->in_flight;
    int r = bk_load_samples_reserve(&engine->run.answer, count);
    return r < 0 ? r : bk_load_samples_reserve(&engine->run.arrival, count);
}

static enum bk_load_start begin(struct bk_load_engine *engine, const struct bk_load_kind *kind,
                                uint32_t *ret_slot)
{
    uint32_t number = engine->run.next;
    struct bk_load_session *session = &engine->sessions[number];
    *ret_slot = BK_LOAD_OP_NONE;
    if (engine->users[session->who[0]].state != BK_LOAD_IN ||
        engine->users[session->who[1]].state != BK_LOAD_IN) {
        bk_load_failed(engine, "%s: one of the two lost the connection", kind->method);
        engine->run.next++;
        return BK_LOAD_STARTED;
    }
    *ret_slot = bk_load_op_begin(engine, kind, session->who[0], session->who[1]);
    if (*ret_slot == BK_LOAD_OP_NONE)
        return BK_LOAD_LATER;
    engine->op[*ret_slot].session = number;
    session->op = *ret_slot;
    engine->run.next++;
    return BK_LOAD_STARTED;
}

static enum bk_load_start start_session(struct bk_load_engine *engine)
{
    uint32_t slot;
    enum bk_load_start started = begin(engine, &invite_kind, &slot);
    if (slot != BK_LOAD_OP_NONE)
        send_invite(engine, slot);
    return started;
}

static int prepare_end(struct bk_load_engine *engine)
{
    engine->run.target = engine->session_count;
    engine->run.limit = (uint32_t)engine->options->in_flight;
    return engine->session_count ? bk_load_samples_reserve(&engine->run.answer, engine->run.target)
                                 : -ENODATA;
}

static enum bk_load_start start_end(struct bk_load_engine *engine)
{
    uint32_t slot;
    const struct bk_load_session *session = &engine->sessions[engine->run.next];
    if (!session->acked || session->closed) {
        engine->run.next++; /* never opened, and counted as that */
        return BK_LOAD_STARTED;
    }
    enum bk_load_start started = begin(engine, &bye_kind, &slot);
    if (slot == BK_LOAD_OP_NONE)
        return started;
    uint32_t number = engine->op[slot].session;
    bk_load_session_write(engine, slot, number, 0, 'b', "BYE", ++engine->sessions[number].cseq[0]);
    bk_load_write_body(engine, NULL, (struct bk_view){ 0 });
    bk_load_send(engine, engine->op[slot].from);
    return BK_LOAD_STARTED;
}

const struct bk_load_phase bk_load_phase_session = {
    "session", "INVITE 200 ACK of a conversation",
    "--sessions conversations between random pairs begin; message and paced speak in them",
    prepare_session, start_session
};
const struct bk_load_phase bk_load_phase_session_end = { "session-end",
                                                         "BYE and its 200 of a conversation",
                                                         "the conversations end", prepare_end,
                                                         start_end };
