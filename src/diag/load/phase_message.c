/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MESSAGE between random pairs, as fast as answers come or so many a second; in the Lync dialect
 * inside a random one of the conversations that phase_session.c opened.
 */
#include "diag/load/engine_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * The first line of a text, always this long: who it is for and when it was sent.
 * "bl <token, 22> <time in ns, 20 digits>" and blanks up to the line feed.
 */
enum { STAMP_BYTES = 64, TOKEN_AT = 3, TIME_AT = TOKEN_AT + BK_LOAD_TOKEN_SIZE };

static void answer(struct bk_load_engine *engine, uint32_t slot, const struct bk_load_token *token,
                   const struct bk_load_msg *msg);
static void send_message(struct bk_load_engine *engine, uint32_t slot);

static const struct bk_load_kind kind = { "MESSAGE", answer, send_message };

static void write_text(struct bk_load_engine *engine, uint32_t slot)
{
    struct bk_buf *out = &engine->out;
    char stamp[STAMP_BYTES + 1], token_text[BK_LOAD_TOKEN_SIZE];
    struct bk_load_token token = { slot, engine->ops.slots[slot].generation, 'c', 0 };
    bk_load_token_write(&token, token_text);
    snprintf(stamp, sizeof stamp, "bl %s %020llu%*s\n", token_text,
             (unsigned long long)engine->ops.slots[slot].started_ns, STAMP_BYTES - TIME_AT - 21,
             "");
    bk_buf_addf(out, "Content-Type: text/plain%s\r\nContent-Length: %zu\r\n\r\n",
                engine->lync ? "; charset=UTF-8" : "", STAMP_BYTES + engine->filler_len);
    bk_buf_add(out, stamp, STAMP_BYTES);
    bk_buf_add(out, engine->filler, engine->filler_len);
}

static void send_in_session(struct bk_load_engine *engine, uint32_t slot)
{
    const struct bk_load_op *op = &engine->op[slot];
    struct bk_load_session *session = &engine->sessions[op->session];
    unsigned side = op->from == session->who[1];
    bk_load_session_write(engine, slot, op->session, side, 'm', "MESSAGE", ++session->cseq[side]);
    write_text(engine, slot);
    bk_load_send(engine, op->from);
}

static void send_message(struct bk_load_engine *engine, uint32_t slot)
{
    const struct bk_load_op *op = &engine->op[slot];
    if (engine->lync) {
        send_in_session(engine, slot);
        return;
    }
    char uri[300], tag[24];
    int len = snprintf(uri, sizeof uri, "sip:%s", engine->people->at[op->to].address);
    snprintf(tag, sizeof tag, "m%x.%x", slot, engine->ops.slots[slot].generation);
    bk_load_write_start(engine, op->from, slot, 'm', "MESSAGE",
                        (struct bk_view){ uri, (size_t)len });
    bk_load_write_party(engine, "From", op->from, tag);
    bk_load_write_party(engine, "To", op->to, "");
    bk_load_write_call_id(engine, slot);
    bk_buf_add_lit(&engine->out, "CSeq: 1 MESSAGE\r\n");
    write_text(engine, slot);
    bk_load_send(engine, op->from);
}

static void answer(struct bk_load_engine *engine, uint32_t slot, const struct bk_load_token *token,
                   const struct bk_load_msg *msg)
{
    (void)token;
    struct bk_load_op *op = &engine->op[slot];
    if (msg->status < 200)
        return;
    if (msg->status != 200)
        bk_load_failed(engine, "MESSAGE answered %u%s", msg->status,
                       op->arrivals ? ", though it arrived" : "");
    else if (op->arrivals == 0)
        bk_load_failed(engine, "MESSAGE answered 200, but it never arrived");
    else
        bk_load_done(engine, slot);
    bk_load_op_end(engine, slot);
}

/* NULL: as it was sent; otherwise what is wrong with it. *ret_sent_ns: the time in its text. */
static const char *judge(struct bk_load_engine *engine, uint32_t who, uint32_t slot,
                         const struct bk_load_msg *msg, uint64_t *ret_sent_ns)
{
    const struct bk_load_op *op = &engine->op[slot];
    if (op->kind != &kind || op->to != who)
        return "MESSAGE came to the wrong person";
    if (msg->body.len != STAMP_BYTES + engine->filler_len ||
        memcmp(msg->body.at + STAMP_BYTES, engine->filler, engine->filler_len) != 0)
        return "MESSAGE came with another text";
    struct bk_view stamp = bk_view_head(msg->body, STAMP_BYTES);
    if (!engine->lync && memcmp(stamp.at + TOKEN_AT, msg->call_id.at, BK_LOAD_TOKEN_SIZE - 1) != 0)
        return "MESSAGE came with the text of another";
    if (bk_view_to_u64((struct bk_view){ stamp.at + TIME_AT, 20 }, UINT64_MAX, ret_sent_ns) < 0)
        return "MESSAGE came with another text";
    struct bk_view from = bk_load_msg_address(msg->from);
    if (!bk_view_equal(bk_view_skip(from, 4), bk_view_of_str(engine->people->at[op->from].address)))
        return "MESSAGE came from another person than sent it";
    return NULL;
}

/* In a conversation the text alone says which message it is. */
static uint32_t op_of_text(struct bk_load_engine *engine, uint32_t who,
                           const struct bk_load_msg *msg, bool *ret_ours)
{
    struct bk_load_token token;
    unsigned side;
    struct bk_load_session *session = bk_load_session_of(engine, who, msg->call_id, &side);
    *ret_ours = session != NULL;
    if (!session || msg->body.len < STAMP_BYTES ||
        bk_load_token_read((struct bk_view){ msg->body.at + TOKEN_AT, BK_LOAD_TOKEN_SIZE - 1 },
                           &token) < 0 ||
        !bk_load_ops_is_live(&engine->ops, &token))
        return BK_LOAD_OP_NONE;
    if (engine->op[token.slot].kind == &kind && session->seen[side] >= msg->cseq)
        bk_load_failed(engine, "MESSAGE came out of its order");
    session->seen[side] = msg->cseq;
    return engine->op[token.slot].kind == &kind &&
                   &engine->sessions[engine->op[token.slot].session] == session
               ? token.slot
               : BK_LOAD_OP_NONE;
}

void bk_load_message_request(struct bk_load_engine *engine, uint32_t who,
                             const struct bk_load_msg *msg)
{
    uint64_t now = bk_load_now_ns(), sent;
    bool ours;
    uint32_t slot = engine->lync ? op_of_text(engine, who, msg, &ours)
                                 : bk_load_op_of_call_id(engine, msg->call_id, &ours);
    bk_load_respond(engine, who, msg, "200 OK", "bl", false, NULL, (struct bk_view){ 0 });
    if (!ours)
        return; /* kept by the server from an earlier run */
    if (slot == BK_LOAD_OP_NONE) {
        if (!engine->unreliable)
            bk_load_failed(engine, "MESSAGE arrived after its end");
        return;
    }
    const char *wrong = judge(engine, who, slot, msg, &sent);
    if (wrong) {
        bk_load_failed(engine, "%s", wrong);
        return;
    }
    struct bk_load_op *op = &engine->op[slot];
    if (op->arrivals++ == 0)
        bk_load_samples_add(&engine->run.arrival, now - sent);
    else if (!engine->unreliable)
        bk_load_failed(engine, "MESSAGE arrived twice");
}

static enum bk_load_start begin_in_session(struct bk_load_engine *engine, uint32_t *ret_slot)
{
    uint64_t random = bk_load_random(engine);
    uint32_t number = (uint32_t)((random >> 1) % engine->session_count);
    const struct bk_load_session *session = &engine->sessions[number];
    uint32_t from = session->who[random & 1], to = session->who[!(random & 1)];
    *ret_slot = BK_LOAD_OP_NONE;
    if (!session->acked || session->closed || engine->users[from].state != BK_LOAD_IN ||
        engine->users[to].state != BK_LOAD_IN) {
        bk_load_failed(engine, "MESSAGE: its conversation is not open");
        return BK_LOAD_STARTED;
    }
    *ret_slot = bk_load_op_begin(engine, &kind, from, to);
    if (*ret_slot == BK_LOAD_OP_NONE)
        return BK_LOAD_LATER;
    engine->op[*ret_slot].session = number;
    return BK_LOAD_STARTED;
}

static enum bk_load_start start(struct bk_load_engine *engine)
{
    uint32_t slot;
    enum bk_load_start started = engine->lync ? begin_in_session(engine, &slot)
                                              : bk_load_op_begin_pair(engine, &kind, &slot);
    if (slot == BK_LOAD_OP_NONE)
        return started;
    /* When paced, time runs from when it should have been sent: waiting for us counts, too. */
    if (engine->run.interval_ns)
        engine->ops.slots[slot].started_ns = engine->run.due_ns;
    send_message(engine, slot);
    return BK_LOAD_STARTED;
}

static int prepare_count(struct bk_load_engine *engine, uint64_t count)
{
    bk_load_choose_signed_in(engine);
    if (engine->chosen_count < 2 || (engine->lync && engine->session_count == 0))
        return -ENODATA;
    engine->run.target = count;
    int r = bk_load_samples_reserve(&engine->run.answer, count);
    return r < 0 ? r : bk_load_samples_reserve(&engine->run.arrival, count);
}

static int prepare_message(struct bk_load_engine *engine)
{
    engine->run.limit = (uint32_t)engine->options->in_flight;
    return prepare_count(engine, (uint64_t)engine->options->messages);
}

static int prepare_paced(struct bk_load_engine *engine)
{
    engine->run.limit = engine->ops.room;
    engine->run.interval_ns = UINT64_C(1000000000) / (uint64_t)engine->options->rate;
    return prepare_count(engine, (uint64_t)(engine->options->rate * engine->options->paced_s));
}

const struct bk_load_phase bk_load_phase_message = {
    "message", "MESSAGE and its 200", "messages between random pairs, --in-flight at one time",
    prepare_message, start
};
const struct bk_load_phase bk_load_phase_paced = { "paced", "MESSAGE and its 200",
                                                   "messages between random pairs, --rate a second",
                                                   prepare_paced, start };
