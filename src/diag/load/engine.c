/* SPDX-License-Identifier: Apache-2.0 */
#include "diag/load/engine_private.h"

#include "diag/load/proc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

#define SECOND_NS UINT64_C(1000000000)

enum {
    STAMP_BYTES = 64, /* see phase_message.c */
    RESEND_FIRST_MS = 500,
    RESEND_MOST_MS = 4000,
    IDLE_TIMEOUTS_MAX = 3,
};

static const struct bk_load_phase *const phases[] = {
    &bk_load_phase_sign_in,     &bk_load_phase_reregister, &bk_load_phase_message,
    &bk_load_phase_paced,       &bk_load_phase_subscribe,  &bk_load_phase_notify,
    &bk_load_phase_unsubscribe, &bk_load_phase_call,       &bk_load_phase_kill,
    &bk_load_phase_return,      &bk_load_phase_sign_out,
};

#define PHASES (sizeof phases / sizeof *phases)

/* Those of the Lync dialect, in the place of what has the same name. */
static const struct bk_load_phase *const lync_phases[] = {
    &bk_load_phase_session,  &bk_load_phase_session_end, &bk_load_phase_batch,
    &bk_load_phase_benotify, &bk_load_phase_unbatch,
};

#define LYNC_PHASES (sizeof lync_phases / sizeof *lync_phases)

static const struct bk_load_phase *find_phase(const char *name, bool lync)
{
    for (size_t i = 0; lync && i < LYNC_PHASES; i++) {
        if (strcmp(lync_phases[i]->name, name) == 0)
            return lync_phases[i];
    }
    for (size_t i = 0; i < PHASES; i++) {
        if (strcmp(phases[i]->name, name) == 0)
            return phases[i];
    }
    return NULL;
}

bool bk_load_phase_exists(const char *name, bool lync)
{
    return find_phase(name, lync) != NULL;
}

const char *bk_load_phase_name(unsigned index)
{
    return index < PHASES ? phases[index]->name : NULL;
}

void bk_load_phases_help(struct bk_buf *to)
{
    for (size_t i = 0; i < PHASES; i++)
        bk_buf_addf(to, "  %-12s %s\n", phases[i]->name, phases[i]->help);
    bk_buf_add_lit(to, "in the Lync dialect also, or in their place:\n");
    for (size_t i = 0; i < LYNC_PHASES; i++)
        bk_buf_addf(to, "  %-12s %s\n", lync_phases[i]->name, lync_phases[i]->help);
}

uint64_t bk_load_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* splitmix64 (Steele, Lea, Flood 2014): small, and the same everywhere for the same seed. */
uint64_t bk_load_random(struct bk_load_engine *engine)
{
    uint64_t z = engine->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void bk_load_failed(struct bk_load_engine *engine, const char *format, ...)
{
    char text[BK_LOAD_REASON_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);

    struct bk_load_result *result = engine->run.result;
    if (!result)
        return;
    result->failures++;
    for (unsigned i = 0; i < result->reason_count; i++) {
        if (strcmp(result->reasons[i].text, text) == 0) {
            result->reasons[i].count++;
            return;
        }
    }
    if (result->reason_count == BK_LOAD_REASONS_MAX) {
        result->reasons[BK_LOAD_REASONS_MAX - 1].count++; /* the last stands for all others */
        return;
    }
    snprintf(result->reasons[result->reason_count].text, BK_LOAD_REASON_BYTES, "%s",
             result->reason_count == BK_LOAD_REASONS_MAX - 1 ? "other reasons" : text);
    result->reasons[result->reason_count++].count = 1;
}

void bk_load_done(struct bk_load_engine *engine, uint32_t slot)
{
    engine->run.result->operations++;
    bk_load_samples_add(&engine->run.answer, bk_load_now_ns() - engine->ops.slots[slot].started_ns);
}

uint32_t bk_load_op_begin(struct bk_load_engine *engine, const struct bk_load_kind *kind,
                          uint32_t from, uint32_t to)
{
    uint64_t now = bk_load_now_ns();
    uint32_t slot = bk_load_ops_take(&engine->ops, now, engine->timeout_ns);
    if (slot == BK_LOAD_OP_NONE)
        return slot;
    engine->op[slot] = (struct bk_load_op){
        .kind = kind,
        .from = from,
        .to = to,
        .resend_pause_ns = RESEND_FIRST_MS * UINT64_C(1000000),
        .resend_ns = UINT64_MAX,
    };
    return slot;
}

enum bk_load_start bk_load_op_begin_pair(struct bk_load_engine *engine,
                                         const struct bk_load_kind *kind, uint32_t *ret_slot)
{
    uint32_t from = (uint32_t)(bk_load_random(engine) % engine->chosen_count);
    uint32_t to = (uint32_t)(bk_load_random(engine) % (engine->chosen_count - 1));
    if (to >= from)
        to++;
    from = engine->chosen[from];
    to = engine->chosen[to];
    *ret_slot = BK_LOAD_OP_NONE;
    if (engine->users[from].state != BK_LOAD_IN || engine->users[to].state != BK_LOAD_IN) {
        bk_load_failed(engine, "%s: one of the two lost the connection", kind->method);
        return BK_LOAD_STARTED;
    }
    *ret_slot = bk_load_op_begin(engine, kind, from, to);
    return *ret_slot == BK_LOAD_OP_NONE ? BK_LOAD_LATER : BK_LOAD_STARTED;
}

void bk_load_op_end(struct bk_load_engine *engine, uint32_t slot)
{
    bk_load_call_finish(&engine->op[slot].call);
    bk_load_ops_give(&engine->ops, slot);
}

void bk_load_op_failed_status(struct bk_load_engine *engine, uint32_t slot,
                              const struct bk_load_msg *msg)
{
    bk_load_failed(engine, "%s answered %u", engine->op[slot].kind->method, msg->status);
    bk_load_op_end(engine, slot);
}

void bk_load_choose_signed_in(struct bk_load_engine *engine)
{
    engine->chosen_count = 0;
    for (uint32_t i = 0; i < engine->people->count; i++) {
        if (engine->users[i].state == BK_LOAD_IN)
            engine->chosen[engine->chosen_count++] = i;
    }
}

/* Its registration may live on at the server; the next one names it, so that it is replaced. */
void bk_load_user_lost(struct bk_load_engine *engine, uint32_t who)
{
    struct bk_load_user *user = &engine->users[who];
    if (user->state == BK_LOAD_IN) {
        engine->signed_in--;
        if (engine->lync) { /* its endpoint has a name, by which the next sign-in replaces it */
            user->state = BK_LOAD_OUT;
            return;
        }
        struct bk_buf contact = { 0 };
        bk_load_contact(engine, who, &contact);
        free(user->old_contact);
        user->old_contact = contact.failed ? NULL : strndup(contact.at, contact.len);
        bk_buf_finish(&contact);
    }
    user->state = BK_LOAD_OUT;
}

/* ---- writing ---- */

static void write_token(struct bk_load_engine *engine, uint32_t slot, char leg, uint8_t tries)
{
    struct bk_load_token token = { slot, engine->ops.slots[slot].generation, leg, tries };
    char text[BK_LOAD_TOKEN_SIZE];
    bk_load_token_write(&token, text);
    bk_buf_add(&engine->out, text, sizeof text - 1);
}

void bk_load_write_start(struct bk_load_engine *engine, uint32_t who, uint32_t slot, char leg,
                         const char *method, struct bk_view uri)
{
    struct bk_buf *out = &engine->out;
    bk_buf_clear(out);
    if (engine->unreliable)
        engine->op[slot].resend_ns = bk_load_now_ns() + engine->op[slot].resend_pause_ns;
    bk_buf_add_str(out, method);
    bk_buf_add_char(out, ' ');
    bk_buf_add_view(out, uri);
    bk_buf_add_lit(out, " SIP/2.0\r\nVia: ");
    bk_buf_add_str(out, engine->via);
    bk_buf_add_char(out, ' ');
    bk_buf_add_str(out, bk_load_io_local(engine->io, who));
    bk_buf_add_lit(out, ";branch=z9hG4bK");
    write_token(engine, slot, leg, engine->op[slot].tries);
    bk_buf_add_lit(out, ";rport\r\nMax-Forwards: 70\r\nUser-Agent: beckon-load/" BK_VERSION "\r\n");
    if (engine->options->credentials && engine->users[who].challenge && leg != 'r' && leg != 'k') {
        char text[300];
        snprintf(text, sizeof text, "%.*s", BK_VIEW_ARGS(uri));
        bk_load_write_credentials(engine, who, method, text);
    }
}

void bk_load_write_party(struct bk_load_engine *engine, const char *field, uint32_t who,
                         const char *tag)
{
    struct bk_buf *out = &engine->out;
    bk_buf_add_str(out, field);
    bk_buf_add_lit(out, ": <sip:");
    bk_buf_add_str(out, engine->people->at[who].address);
    bk_buf_add_char(out, '>');
    if (tag[0]) {
        bk_buf_add_lit(out, ";tag=");
        bk_buf_add_str(out, tag);
    }
    if (engine->lync && field[0] == 'F')
        bk_buf_addf(out, ";epid=%012x", who);
    bk_buf_add_lit(out, "\r\n");
}

void bk_load_write_call_id(struct bk_load_engine *engine, uint32_t slot)
{
    bk_buf_add_lit(&engine->out, "Call-ID: ");
    write_token(engine, slot, 'c', 0);
    bk_buf_add_char(&engine->out, '.');
    bk_buf_add_str(&engine->out, engine->run_id);
    bk_buf_add_lit(&engine->out, "\r\n");
}

void bk_load_write_body(struct bk_load_engine *engine, const char *type, struct bk_view body)
{
    struct bk_buf *out = &engine->out;
    if (body.len > 0) {
        bk_buf_add_lit(out, "Content-Type: ");
        bk_buf_add_str(out, type);
        bk_buf_add_lit(out, "\r\n");
    }
    bk_buf_add_lit(out, "Content-Length: ");
    bk_buf_add_u64(out, body.len);
    bk_buf_add_lit(out, "\r\n\r\n");
    bk_buf_add_view(out, body);
}

void bk_load_contact(struct bk_load_engine *engine, uint32_t who, struct bk_buf *to)
{
    if (engine->users[who].gruu) {
        bk_buf_add_str(to, engine->users[who].gruu);
        return;
    }
    bk_buf_add_lit(to, "sip:");
    bk_buf_add_str(to, engine->people->at[who].user);
    bk_buf_add_char(to, '@');
    bk_buf_add_str(to, bk_load_io_local(engine->io, who));
    bk_buf_add_str(to, engine->uri_transport);
}

bool bk_load_is_contact_of(struct bk_load_engine *engine, uint32_t who, struct bk_view uri)
{
    struct bk_buf contact = { 0 };
    bk_load_contact(engine, who, &contact);
    bool same = bk_view_equal(bk_buf_view(&contact), uri);
    bk_buf_finish(&contact);
    if (!same && engine->users[who].gruu) { /* what was registered is as good */
        char registered[160];
        bk_load_lync_contact(engine, who, registered, sizeof registered);
        same = bk_view_equal(bk_view_of_str(registered), uri);
    }
    return same;
}

void bk_load_write_contact(struct bk_load_engine *engine, uint32_t who)
{
    bk_buf_add_lit(&engine->out, "Contact: <");
    bk_load_contact(engine, who, &engine->out);
    bk_buf_add_lit(&engine->out, ">\r\n");
}

/* The message with its Authorization behind the first line: last of all, so that it covers all. */
static bool sign(struct bk_load_engine *engine, uint32_t who)
{
    struct bk_buf *to = &engine->signed_out;
    struct bk_view bytes = bk_buf_view(&engine->out);
    struct bk_load_msg msg;
    size_t skip, line = bk_view_find(bytes, '\n') + 1;
    if (bk_load_msg_parse(bytes, &msg, &skip) <= 0) {
        bk_load_failed(engine, "a message of our own cannot be read");
        return false;
    }
    bk_buf_clear(to);
    bk_buf_add_view(to, bk_view_head(bytes, line));
    bk_load_sa_authorize(engine->users[who].sa, &msg, &bk_random_system, to);
    bk_buf_add_view(to, bk_view_skip(bytes, line));
    if (to->failed)
        bk_load_failed(engine, "out of memory");
    return !to->failed;
}

void bk_load_send(struct bk_load_engine *engine, uint32_t who)
{
    if (engine->out.failed) {
        bk_load_failed(engine, "out of memory");
        return;
    }
    struct bk_buf *out = &engine->out;
    if (engine->users[who].sa) {
        if (!sign(engine, who))
            return;
        out = &engine->signed_out;
    }
    int r = bk_load_io_send(engine->io, who, bk_buf_view(out));
    if (r < 0)
        bk_load_failed(engine, "could not send: %s", strerror(-r));
}

static void write_fields(struct bk_buf *out, const char *name, const struct bk_load_fields *fields)
{
    for (size_t i = 0; i < fields->count; i++) {
        bk_buf_add_str(out, name);
        bk_buf_add_lit(out, ": ");
        bk_buf_add_view(out, fields->at[i]);
        bk_buf_add_lit(out, "\r\n");
    }
}

static void write_field(struct bk_buf *out, const char *name, struct bk_view value)
{
    bk_buf_add_str(out, name);
    bk_buf_add_view(out, value);
}

void bk_load_respond(struct bk_load_engine *engine, uint32_t who, const struct bk_load_msg *request,
                     const char *status, const char *tag, bool with_contact, const char *type,
                     struct bk_view body)
{
    struct bk_buf *out = &engine->out;
    bk_buf_clear(out);
    bk_buf_add_lit(out, "SIP/2.0 ");
    bk_buf_add_str(out, status);
    bk_buf_add_lit(out, "\r\n");
    write_fields(out, "Via", &request->via);
    write_fields(out, "Record-Route", &request->record_route);
    write_field(out, "From: ", request->from);
    write_field(out, "\r\nTo: ", request->to);
    if (tag[0] && !bk_load_msg_param(request->to, BK_VIEW("tag")).at) {
        bk_buf_add_lit(out, ";tag=");
        bk_buf_add_str(out, tag);
    }
    write_field(out, "\r\nCall-ID: ", request->call_id);
    write_field(out, "\r\nCSeq: ", request->cseq_value);
    bk_buf_add_lit(out, "\r\n");
    if (with_contact)
        bk_load_write_contact(engine, who);
    bk_load_write_body(engine, type, body);
    bk_load_send(engine, who);
}

/* Takes the first of several values with commas between; commas in <> and "" do not count. */
static struct bk_view cut_value(struct bk_view *rest)
{
    bool quoted = false, inside = false;
    for (size_t i = 0; i < rest->len; i++) {
        char c = rest->at[i];
        if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '<' || c == '>'))
            inside = c == '<';
        else if (!quoted && !inside && c == ',') {
            struct bk_view value = bk_view_trim(bk_view_head(*rest, i));
            *rest = bk_view_skip(*rest, i + 1);
            return value;
        }
    }
    struct bk_view value = bk_view_trim(*rest);
    *rest = (struct bk_view){ 0 };
    return value;
}

size_t bk_load_count_values(const struct bk_load_fields *fields)
{
    size_t count = 0;
    for (size_t i = 0; i < fields->count; i++) {
        for (struct bk_view rest = fields->at[i]; rest.len > 0; count++)
            cut_value(&rest);
    }
    return count;
}

char *bk_load_route_value(const struct bk_load_fields *fields, bool reverse)
{
    struct bk_view values[32];
    size_t count = 0;
    for (size_t i = 0; i < fields->count; i++) {
        for (struct bk_view rest = fields->at[i]; rest.len > 0 && count < 32;)
            values[count++] = cut_value(&rest);
    }
    struct bk_buf text = { 0 };
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            bk_buf_add_lit(&text, ", ");
        bk_buf_add_view(&text, values[reverse ? count - 1 - i : i]);
    }
    char *value = text.failed ? NULL : strndup(text.at ? text.at : "", text.len);
    bk_buf_finish(&text);
    return value;
}

/* ---- what comes in ---- */

uint32_t bk_load_op_of_call_id(struct bk_load_engine *engine, struct bk_view call_id,
                               bool *ret_ours)
{
    struct bk_load_token token;
    *ret_ours = false;
    if (call_id.len != BK_LOAD_TOKEN_SIZE - 1 + 9 || call_id.at[BK_LOAD_TOKEN_SIZE - 1] != '.' ||
        memcmp(call_id.at + BK_LOAD_TOKEN_SIZE, engine->run_id, 8) != 0 ||
        bk_load_token_read(bk_view_head(call_id, BK_LOAD_TOKEN_SIZE - 1), &token) < 0)
        return BK_LOAD_OP_NONE;
    *ret_ours = true;
    return bk_load_ops_is_live(&engine->ops, &token) ? token.slot : BK_LOAD_OP_NONE;
}

static void stray(struct bk_load_engine *engine, const struct bk_load_msg *msg)
{
    if (!engine->run.result)
        return;
    engine->run.result->answers_from_nowhere++;
    if (!engine->unreliable)
        bk_load_failed(engine, "an answer %u to %.*s that belongs to nothing", msg->status,
                       (int)(msg->method.len < 16 ? msg->method.len : 16), msg->method.at);
}

static void on_answer(struct bk_load_engine *engine, uint32_t who, const struct bk_load_msg *msg)
{
    struct bk_load_token token;
    if (!bk_view_starts_with(msg->branch, BK_VIEW("z9hG4bK")) ||
        bk_load_token_read(bk_view_skip(msg->branch, 7), &token) < 0 ||
        !bk_load_ops_is_live(&engine->ops, &token)) {
        if (msg->status >= 200)
            stray(engine, msg);
        return;
    }
    struct bk_load_op *op = &engine->op[token.slot];
    if (who != op->from && who != op->to) {
        bk_load_failed(engine, "an answer came to the wrong connection");
        return;
    }
    op->resend_ns = UINT64_MAX;
    op->kind->answer(engine, token.slot, &token, msg);
}

/* From the end of the sign-in on, all that the server sends is signed. */
static void check_signature(struct bk_load_engine *engine, uint32_t who,
                            const struct bk_load_msg *msg)
{
    struct bk_load_sa *sa = engine->users[who].sa;
    bool ends = msg->status >= 200 && msg->status < 300; /* the answer that ends the handshake */
    if (!sa || sa->step < BK_LOAD_SA_KEYS || (sa->step == BK_LOAD_SA_KEYS && !ends))
        return;
    const char *wrong = bk_load_sa_check(sa, msg);
    if (wrong && msg->status)
        bk_load_failed(engine, "the %u to %.*s %s", msg->status, BK_VIEW_ARGS(msg->method), wrong);
    else if (wrong)
        bk_load_failed(engine, "%.*s %s", BK_VIEW_ARGS(msg->method), wrong);
}

static bool takes_lync(struct bk_load_engine *engine, uint32_t who, const struct bk_load_msg *msg)
{
    if (bk_view_equal(msg->method, BK_VIEW("BENOTIFY"))) {
        bk_load_benotify_request(engine, who, msg);
        return true;
    }
    return (bk_view_equal(msg->method, BK_VIEW("INVITE")) ||
            bk_view_equal(msg->method, BK_VIEW("ACK")) ||
            bk_view_equal(msg->method, BK_VIEW("BYE"))) &&
           bk_load_session_request(engine, who, msg);
}

static void on_message(void *ctx, uint32_t who, const struct bk_load_msg *msg)
{
    struct bk_load_engine *engine = ctx;
    if (engine->lync)
        check_signature(engine, who, msg);
    if (!msg->status && engine->lync && takes_lync(engine, who, msg))
        return;
    if (msg->status)
        on_answer(engine, who, msg);
    else if (bk_view_equal(msg->method, BK_VIEW("MESSAGE")))
        bk_load_message_request(engine, who, msg);
    else if (bk_view_equal(msg->method, BK_VIEW("NOTIFY")))
        bk_load_notify_request(engine, who, msg);
    else if (bk_view_equal(msg->method, BK_VIEW("INVITE")) ||
             bk_view_equal(msg->method, BK_VIEW("ACK")) ||
             bk_view_equal(msg->method, BK_VIEW("BYE")))
        bk_load_call_request(engine, who, msg);
    else if (bk_view_equal(msg->method, BK_VIEW("OPTIONS")))
        bk_load_respond(engine, who, msg, "200 OK", "bl", false, NULL, (struct bk_view){ 0 });
    else
        bk_load_respond(engine, who, msg, "405 Method Not Allowed", "bl", false, NULL,
                        (struct bk_view){ 0 });
}

static void on_opened(void *ctx, uint32_t who)
{
    bk_load_register_opened(ctx, who);
}

static void on_closed(void *ctx, uint32_t who, const char *why)
{
    struct bk_load_engine *engine = ctx;
    struct bk_load_user *user = &engine->users[who];
    bool coming = user->state == BK_LOAD_COMING;
    bk_load_failed(engine, "%s: %s", coming ? "sign-in" : "connection lost", why);
    if (coming)
        bk_load_op_end(engine, user->op);
    bk_load_user_lost(engine, who);
}

/* ---- one phase ---- */

static void expire(struct bk_load_engine *engine)
{
    uint32_t slot;
    while ((slot = bk_load_ops_oldest(&engine->ops)) != BK_LOAD_OP_NONE &&
           engine->ops.slots[slot].deadline_ns <= engine->now_ns) {
        struct bk_load_op *op = &engine->op[slot];
        struct bk_load_user *user = &engine->users[op->from];
        bk_load_failed(engine, "%s: no final answer within %lld s%s", op->kind->method,
                       (long long)engine->options->timeout_s,
                       op->arrivals ? ", though it arrived" : "");
        if (user->state == BK_LOAD_COMING && user->op == slot) {
            bk_load_io_close(engine->io, op->from, BK_LOAD_CLOSE_FIN);
            user->state = BK_LOAD_OUT;
        }
        bk_load_op_end(engine, slot);
    }
}

/* RFC 3261 timer E, from T1 = 500 ms to T2 = 4 s. Few are on their way, so all are looked at. */
static void resend(struct bk_load_engine *engine)
{
    uint32_t slot = bk_load_ops_oldest(&engine->ops);
    while (slot != BK_LOAD_OP_NONE) {
        struct bk_load_op *op = &engine->op[slot];
        uint32_t newer = engine->ops.slots[slot].newer;
        if (op->resend_ns <= engine->now_ns && op->kind->again) {
            if (op->resend_pause_ns < RESEND_MOST_MS * UINT64_C(1000000))
                op->resend_pause_ns *= 2;
            op->resend_ns = UINT64_MAX;
            engine->run.result->resent++;
            op->kind->again(engine, slot);
        }
        slot = newer;
    }
}

/* Starts what may be started. True: there is nothing left to start. */
static bool start_some(struct bk_load_engine *engine)
{
    struct bk_load_run *run = &engine->run;
    while (run->started < run->target && engine->ops.live_count < run->limit) {
        if (run->interval_ns && run->due_ns > engine->now_ns)
            return false;
        switch (run->phase->start(engine)) {
        case BK_LOAD_STARTED:
            run->started++;
            break;
        case BK_LOAD_LATER:
            return false;
        case BK_LOAD_ALL_STARTED:
            run->target = run->started;
            return true;
        }
        run->due_ns += run->interval_ns;
    }
    return run->started >= run->target;
}

static int64_t pause_ns(const struct bk_load_engine *engine, bool all_started)
{
    uint64_t until = engine->now_ns + SECOND_NS / 4; /* a stop is noticed by then */
    uint32_t oldest = bk_load_ops_oldest(&engine->ops);
    if (oldest != BK_LOAD_OP_NONE && engine->ops.slots[oldest].deadline_ns < until)
        until = engine->ops.slots[oldest].deadline_ns;
    if (!all_started && engine->run.interval_ns && engine->run.due_ns < until &&
        engine->ops.live_count < engine->run.limit)
        until = engine->run.due_ns;
    uint64_t now = bk_load_now_ns();
    return until > now ? (int64_t)(until - now) : 0;
}

/* A server that has stopped answering would otherwise cost one time-out for every operation. */
static bool is_hopeless(struct bk_load_engine *engine)
{
    struct bk_load_run *run = &engine->run;
    if (run->progress != run->result->operations || !run->progress_ns) {
        run->progress = run->result->operations;
        run->progress_ns = engine->now_ns;
    }
    if (engine->now_ns - run->progress_ns < IDLE_TIMEOUTS_MAX * engine->timeout_ns)
        return false;
    bk_load_failed(engine, "phase given up: nothing succeeded for %lld s",
                   (long long)(IDLE_TIMEOUTS_MAX * engine->options->timeout_s));
    return true;
}

static int drive(struct bk_load_engine *engine)
{
    engine->now_ns = bk_load_now_ns();
    engine->run.due_ns = engine->now_ns;
    for (;;) {
        bool all_started = start_some(engine);
        if (all_started && engine->ops.live_count == 0)
            return 0;
        int r = bk_load_io_wait(engine->io, pause_ns(engine, all_started));
        if (r < 0 && r != -EINTR)
            return r;
        engine->now_ns = bk_load_now_ns();
        if (engine->stop || engine->now_ns >= engine->deadline_ns)
            return -ECANCELED;
        expire(engine);
        if (is_hopeless(engine))
            return 0;
        if (engine->unreliable)
            resend(engine);
    }
}

/* Lets what is still on its way come in, so that the server's account is complete. */
static void settle(struct bk_load_engine *engine)
{
    uint64_t until = bk_load_now_ns() + (uint64_t)engine->options->settle_ms * 1000000;
    for (;;) {
        uint64_t now = bk_load_now_ns();
        if (now >= until || engine->stop)
            return;
        bk_load_io_wait(engine->io, (int64_t)(until - now));
    }
}

static uint64_t own_cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static int measure(struct bk_load_engine *engine, struct bk_load_usage *ret)
{
    *ret = (struct bk_load_usage){ 0 };
    return engine->options->pid ? bk_load_proc_usage((pid_t)engine->options->pid, ret) : 0;
}

static void sum_up(struct bk_load_samples *samples, struct bk_load_times *ret)
{
    if (samples->failed)
        return;
    ret->count = samples->count;
    ret->p50_ns = bk_load_samples_percentile(samples, 50);
    ret->p90_ns = bk_load_samples_percentile(samples, 90);
    ret->p99_ns = bk_load_samples_percentile(samples, 99);
    ret->max_ns = bk_load_samples_percentile(samples, 100);
}

/* Ends what a stopped phase left behind, so that the next one starts clean. */
static void abandon(struct bk_load_engine *engine)
{
    uint32_t slot;
    while ((slot = bk_load_ops_oldest(&engine->ops)) != BK_LOAD_OP_NONE) {
        bk_load_failed(engine, "%s: stopped before its answer came", engine->op[slot].kind->method);
        bk_load_op_end(engine, slot);
    }
}

int bk_load_engine_run(struct bk_load_engine *engine, const char *name, struct bk_load_result *ret)
{
    const struct bk_load_phase *phase = find_phase(name, engine->lync);
    if (!phase)
        return -ENOENT;
    *ret = (struct bk_load_result){ .phase = phase->name,
                                    .unit = phase->unit,
                                    .has_server = engine->options->pid != 0,
                                    .signed_in_before = engine->signed_in };
    engine->run = (struct bk_load_run){ .phase = phase, .result = ret };
    struct bk_load_usage before, after;
    int r = measure(engine, &before);
    if (r < 0)
        return r;

    r = phase->prepare(engine);
    if (r == -ENODATA) {
        bk_load_failed(engine, "too few people are signed in for this%s",
                       engine->lync ? ", or no conversation is open" : "");
        engine->run.result = NULL;
        return 0;
    }
    uint64_t begun = bk_load_now_ns(), own = own_cpu_us();
    if (r == 0)
        r = drive(engine);
    ret->seconds = (double)(bk_load_now_ns() - begun) / 1e9;
    ret->own_cpu_us = own_cpu_us() - own;
    abandon(engine);
    settle(engine);
    int measured = measure(engine, &after);
    if (measured == 0) {
        ret->server_cpu_us = after.cpu_us - before.cpu_us;
        ret->pss_before_kb = before.pss_kb;
        ret->pss_after_kb = after.pss_kb;
        ret->processes = after.processes;
    }
    ret->signed_in_after = engine->signed_in;
    sum_up(&engine->run.answer, &ret->answer);
    sum_up(&engine->run.arrival, &ret->arrival);
    bk_load_samples_finish(&engine->run.answer);
    bk_load_samples_finish(&engine->run.arrival);
    engine->run.result = NULL;
    return r < 0 ? r : measured;
}

void bk_load_engine_stop(struct bk_load_engine *engine)
{
    engine->stop = 1;
}

/* ---- life ---- */

static uint32_t most_operations(const struct bk_load_options *options)
{
    int64_t most = options->in_flight;
    if (options->sign_ins > most)
        most = options->sign_ins;
    if (options->rate * options->timeout_s > most) /* all that may wait when paced */
        most = options->rate * options->timeout_s;
    return (uint32_t)(most < 1000000 ? most : 1000000) + 16;
}

int bk_load_engine_create(const struct bk_load_options *options,
                          const struct bk_load_people *people, const struct bk_load_io_config *io,
                          struct bk_load_engine **ret)
{
    static const struct bk_load_io_events events = { on_opened, on_message, on_closed };
    struct bk_load_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return -ENOMEM;
    engine->options = options;
    engine->people = people;
    engine->timeout_ns = (uint64_t)options->timeout_s * SECOND_NS;
    engine->deadline_ns = bk_load_now_ns() + (uint64_t)options->time_limit_s * SECOND_NS;
    engine->random = (uint64_t)options->seed;
    engine->publisher = BK_LOAD_NOBODY;
    engine->publication_op = BK_LOAD_OP_NONE;
    engine->via = (const char *[]){ "SIP/2.0/TLS", "SIP/2.0/TCP", "SIP/2.0/UDP" }[io->transport];
    engine->uri_transport =
        (const char *[]){ ";transport=tls", ";transport=tcp", "" }[io->transport];
    engine->unreliable = io->transport == BK_LOAD_UDP;
    engine->lync = options->dialect == BK_LOAD_LYNC;
    uint32_t run_id = 0;
    if (getrandom(&run_id, sizeof run_id, 0) != sizeof run_id)
        run_id = (uint32_t)bk_load_now_ns();
    snprintf(engine->run_id, sizeof engine->run_id, "%08x", run_id);

    uint32_t room = most_operations(options);
    engine->users = calloc(people->count, sizeof *engine->users);
    engine->chosen = calloc(people->count, sizeof *engine->chosen);
    engine->op = calloc(room, sizeof *engine->op);
    engine->filler_len = (size_t)options->body_bytes - STAMP_BYTES;
    engine->filler = malloc(engine->filler_len);
    int r = bk_load_ops_init(&engine->ops, room);
    if (r == 0 && (!engine->users || !engine->chosen || !engine->op || !engine->filler))
        r = -ENOMEM;
    if (r == 0) {
        for (size_t i = 0; i < engine->filler_len; i++)
            engine->filler[i] = "All work and no play makes a dull day.\n"[i % 39];
        for (uint32_t i = 0; i < people->count; i++)
            engine->users[i].watch = BK_LOAD_NOBODY;
        r = bk_load_io_create(io, &events, engine, &engine->io);
    }
    if (r < 0) {
        bk_load_engine_destroy(engine);
        return r;
    }
    *ret = engine;
    return 0;
}

void bk_load_engine_destroy(struct bk_load_engine *engine)
{
    if (!engine)
        return;
    bk_load_watches_drop(engine);
    bk_load_sessions_drop(engine);
    for (uint32_t i = 0; engine->users && i < engine->people->count; i++) {
        free(engine->users[i].challenge);
        free(engine->users[i].old_contact);
        free(engine->users[i].gruu);
        bk_load_sa_finish(engine->users[i].sa);
        free(engine->users[i].sa);
    }
    for (uint32_t i = 0; engine->op && i < engine->ops.room; i++)
        bk_load_call_finish(&engine->op[i].call);
    bk_load_io_destroy(engine->io);
    bk_load_ops_finish(&engine->ops);
    bk_load_samples_finish(&engine->run.answer);
    bk_load_samples_finish(&engine->run.arrival);
    bk_buf_finish(&engine->out);
    bk_buf_finish(&engine->signed_out);
    free(engine->users);
    free(engine->chosen);
    free(engine->op);
    free(engine->filler);
    free(engine->etag);
    free(engine);
}
