/* SPDX-License-Identifier: Apache-2.0 */
/* One person publishes, many watch (RFC 3856, RFC 3903, RFC 6665). */
#include "diag/load/engine_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void publish_answer(struct bk_load_engine *engine, uint32_t slot,
                           const struct bk_load_token *token, const struct bk_load_msg *msg);
static void send_publish(struct bk_load_engine *engine, uint32_t slot);
static void subscribe_answer(struct bk_load_engine *engine, uint32_t slot,
                             const struct bk_load_token *token, const struct bk_load_msg *msg);
static void subscribe_again(struct bk_load_engine *engine, uint32_t slot);

static const struct bk_load_kind publish_kind = { "PUBLISH", publish_answer, send_publish };
static const struct bk_load_kind subscribe_kind = { "SUBSCRIBE", subscribe_answer,
                                                    subscribe_again };

/* ---- watching ---- */

void bk_load_watches_drop(struct bk_load_engine *engine)
{
    for (uint32_t i = 0; i < engine->watch_count; i++) {
        engine->users[engine->watches[i].who].watch = BK_LOAD_NOBODY;
        free(engine->watches[i].target);
        free(engine->watches[i].to_tag);
        free(engine->watches[i].routes);
    }
    free(engine->watches);
    engine->watches = NULL;
    engine->watch_count = 0;
}

struct bk_load_watch *bk_load_watch_of(struct bk_load_engine *engine, uint32_t who)
{
    uint32_t index = engine->users[who].watch;
    return index == BK_LOAD_NOBODY ? NULL : &engine->watches[index];
}

static void send_subscribe(struct bk_load_engine *engine, uint32_t slot)
{
    const struct bk_load_op *op = &engine->op[slot];
    struct bk_load_watch *watch = bk_load_watch_of(engine, op->from);
    struct bk_buf *out = &engine->out;
    char uri[300], tag[16];
    snprintf(uri, sizeof uri, "sip:%s", engine->people->at[op->to].address);
    snprintf(tag, sizeof tag, "s%x", op->from);
    bk_load_write_start(engine, op->from, slot, 's', "SUBSCRIBE",
                        bk_view_of_str(watch->target ? watch->target : uri));
    bk_load_write_party(engine, "From", op->from, tag);
    bk_load_write_party(engine, "To", op->to, watch->to_tag ? watch->to_tag : "");
    bk_buf_addf(out, "Call-ID: s%x.%s\r\nCSeq: %u SUBSCRIBE\r\n", op->from, engine->run_id,
                ++watch->cseq);
    if (watch->routes && watch->routes[0])
        bk_buf_addf(out, "Route: %s\r\n", watch->routes);
    bk_load_write_contact(engine, op->from);
    bk_buf_addf(out, "Event: presence\r\nAccept: application/pidf+xml\r\nExpires: %lld\r\n",
                op->leaving ? 0 : (long long)engine->options->expires_s);
    bk_load_write_body(engine, NULL, (struct bk_view){ 0 });
    bk_load_send(engine, op->from);
}

static void subscribe_again(struct bk_load_engine *engine, uint32_t slot)
{
    bk_load_watch_of(engine, engine->op[slot].from)->cseq--;
    send_subscribe(engine, slot);
}

/* A subscription stands when it was answered and its first NOTIFY came; it ends likewise. */
static void subscribe_check(struct bk_load_engine *engine, struct bk_load_watch *watch)
{
    uint32_t slot = watch->op;
    if (slot == BK_LOAD_OP_NONE || !watch->subscribed)
        return;
    if (engine->op[slot].leaving ? !watch->ended : !watch->active)
        return;
    watch->op = BK_LOAD_OP_NONE;
    bk_load_done(engine, slot);
    bk_load_op_end(engine, slot);
}

static void subscribe_answer(struct bk_load_engine *engine, uint32_t slot,
                             const struct bk_load_token *token, const struct bk_load_msg *msg)
{
    (void)token;
    struct bk_load_watch *watch = bk_load_watch_of(engine, engine->op[slot].from);
    if (msg->status < 200)
        return;
    if (msg->status >= 300 || !watch) {
        if (watch)
            watch->op = BK_LOAD_OP_NONE;
        bk_load_op_failed_status(engine, slot, msg);
        return;
    }
    struct bk_view tag = bk_load_msg_param(msg->to, BK_VIEW("tag"));
    struct bk_view target = bk_load_msg_address(msg->contact);
    if (!watch->to_tag) {
        if (tag.len == 0 || target.len == 0) {
            bk_load_failed(engine, "SUBSCRIBE answered %u without %s", msg->status,
                           tag.len == 0 ? "a tag" : "Contact");
            watch->op = BK_LOAD_OP_NONE;
            bk_load_op_end(engine, slot);
            return;
        }
        watch->to_tag = bk_view_dup(tag);
        watch->target = bk_view_dup(target);
        watch->routes = bk_load_route_value(&msg->record_route, true);
    }
    watch->subscribed = true;
    subscribe_check(engine, watch);
}

static int prepare_subscribe(struct bk_load_engine *engine)
{
    bk_load_choose_signed_in(engine);
    bk_load_watches_drop(engine);
    if (engine->chosen_count < 2)
        return -ENODATA;
    engine->publisher = engine->chosen[0];
    uint32_t count = (uint32_t)engine->options->watchers;
    if (count > engine->chosen_count - 1)
        count = engine->chosen_count - 1;
    engine->watches = calloc(count, sizeof *engine->watches);
    if (!engine->watches)
        return -ENOMEM;
    engine->watch_count = count;
    for (uint32_t i = 0; i < count; i++) {
        engine->watches[i] =
            (struct bk_load_watch){ .who = engine->chosen[i + 1], .op = BK_LOAD_OP_NONE };
        engine->users[engine->chosen[i + 1]].watch = i;
    }
    engine->run.target = count;
    engine->run.limit = (uint32_t)engine->options->sign_ins;
    return 0;
}

static enum bk_load_start start_watch(struct bk_load_engine *engine, bool leaving)
{
    struct bk_load_watch *watch = &engine->watches[engine->run.next++];
    if (engine->users[watch->who].state != BK_LOAD_IN || (leaving && !watch->to_tag))
        return BK_LOAD_STARTED;
    uint32_t slot = bk_load_op_begin(engine, &subscribe_kind, watch->who, engine->publisher);
    if (slot == BK_LOAD_OP_NONE) {
        engine->run.next--;
        return BK_LOAD_LATER;
    }
    engine->op[slot].leaving = leaving;
    watch->op = slot;
    watch->subscribed = false;
    send_subscribe(engine, slot);
    return BK_LOAD_STARTED;
}

static enum bk_load_start start_subscribe(struct bk_load_engine *engine)
{
    return start_watch(engine, false);
}

static int prepare_unsubscribe(struct bk_load_engine *engine)
{
    if (engine->watch_count == 0)
        return -ENODATA;
    engine->run.target = engine->watch_count + 1;
    engine->run.limit = (uint32_t)engine->options->sign_ins;
    return 0;
}

/* First takes back what was published: the next run must not find it composed into its own. */
static enum bk_load_start start_unpublish(struct bk_load_engine *engine)
{
    uint32_t slot = bk_load_op_begin(engine, &publish_kind, engine->publisher, engine->publisher);
    if (slot == BK_LOAD_OP_NONE)
        return BK_LOAD_LATER;
    engine->op[slot].leaving = true;
    send_publish(engine, slot);
    return BK_LOAD_STARTED;
}

static enum bk_load_start start_unsubscribe(struct bk_load_engine *engine)
{
    if (engine->run.started > 0)
        return start_watch(engine, true);
    bool out = engine->users[engine->publisher].state != BK_LOAD_IN;
    return out || !engine->etag ? BK_LOAD_STARTED : start_unpublish(engine);
}

/* ---- publishing ---- */

/*
 * "bl RUN NUMBER" is the note of a publication. A server may write the document anew, with other
 * elements around it, but has to hand the words of the note on.
 */

static void send_publish(struct bk_load_engine *engine, uint32_t slot)
{
    const struct bk_load_op *op = &engine->op[slot];
    const char *address = engine->people->at[op->from].address;
    char uri[300], tag[16], body[900];
    snprintf(uri, sizeof uri, "sip:%s", address);
    snprintf(tag, sizeof tag, "p%x", engine->publication);
    int len =
        op->leaving
            ? 0
            : snprintf(body, sizeof body,
                       "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n"
                       "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:%s\">\r\n"
                       "<tuple id=\"bl\"><status><basic>open</basic></status>"
                       "<contact>sip:%s</contact><note>bl %s %u</note></tuple>\r\n</presence>\r\n",
                       address, address, engine->run_id, engine->publication);
    bk_load_write_start(engine, op->from, slot, 'p', "PUBLISH", bk_view_of_str(uri));
    bk_load_write_party(engine, "From", op->from, tag);
    bk_load_write_party(engine, "To", op->from, "");
    bk_load_write_call_id(engine, slot);
    bk_buf_addf(&engine->out, "CSeq: 1 PUBLISH\r\nEvent: presence\r\nExpires: %lld\r\n",
                op->leaving ? 0 : (long long)engine->options->expires_s);
    if (engine->etag)
        bk_buf_addf(&engine->out, "SIP-If-Match: %s\r\n", engine->etag);
    bk_load_write_body(engine, "application/pidf+xml", (struct bk_view){ body, (size_t)len });
    bk_load_send(engine, op->from);
}

static void publish_check(struct bk_load_engine *engine)
{
    uint32_t slot = engine->publication_op;
    if (slot == BK_LOAD_OP_NONE || !engine->op[slot].arrivals || engine->told < engine->watch_count)
        return;
    engine->publication_op = BK_LOAD_OP_NONE;
    bk_load_op_end(engine, slot);
}

static void publish_answer(struct bk_load_engine *engine, uint32_t slot,
                           const struct bk_load_token *token, const struct bk_load_msg *msg)
{
    (void)token;
    if (msg->status < 200)
        return;
    if (engine->op[slot].leaving && msg->status < 300) {
        free(BK_TAKE(engine->etag));
        bk_load_op_end(engine, slot);
        return;
    }
    if (msg->status >= 300 || msg->etag.len == 0) {
        free(BK_TAKE(engine->etag));
        engine->publication_op = BK_LOAD_OP_NONE;
        if (msg->status >= 300) {
            bk_load_op_failed_status(engine, slot, msg);
        } else {
            bk_load_failed(engine, "PUBLISH answered %u without SIP-ETag", msg->status);
            bk_load_op_end(engine, slot);
        }
        return;
    }
    free(engine->etag);
    engine->etag = bk_view_dup(msg->etag);
    engine->op[slot].arrivals = 1;
    bk_load_samples_add(&engine->run.answer, bk_load_now_ns() - engine->ops.slots[slot].started_ns);
    publish_check(engine);
}

static int prepare_notify(struct bk_load_engine *engine)
{
    if (engine->watch_count == 0 || engine->users[engine->publisher].state != BK_LOAD_IN)
        return -ENODATA;
    engine->run.target = (uint64_t)engine->options->publications;
    engine->run.limit = 1;
    int r = bk_load_samples_reserve(&engine->run.answer, engine->run.target);
    return r < 0 ? r
                 : bk_load_samples_reserve(&engine->run.arrival,
                                           engine->run.target * engine->watch_count);
}

static enum bk_load_start start_notify(struct bk_load_engine *engine)
{
    uint32_t slot = bk_load_op_begin(engine, &publish_kind, engine->publisher, engine->publisher);
    if (slot == BK_LOAD_OP_NONE)
        return BK_LOAD_LATER;
    engine->publication++;
    engine->publication_op = slot;
    engine->told = 0;
    send_publish(engine, slot);
    return BK_LOAD_STARTED;
}

/* ---- being told ---- */

/* The newest publication of this run that the document speaks of, 0 where it names none. */
uint32_t bk_load_publication_of(struct bk_load_engine *engine, struct bk_view body)
{
    char note[32];
    int len = snprintf(note, sizeof note, "bl %s ", engine->run_id);
    struct bk_view start = { note, (size_t)len };
    uint32_t newest = 0;
    for (;;) {
        size_t at = bk_view_find_view(body, start);
        if (at == body.len)
            return newest;
        body = bk_view_skip(body, at + start.len);
        uint64_t number;
        if (bk_view_to_u64(bk_view_head(body, bk_view_find(body, '<')), UINT32_MAX, &number) == 0 &&
            number > newest)
            newest = (uint32_t)number;
    }
}

static void take_document(struct bk_load_engine *engine, struct bk_load_watch *watch,
                          struct bk_view body, uint64_t now)
{
    uint32_t number = bk_load_publication_of(engine, body);
    uint32_t slot = engine->publication_op;
    if (number == 0 || slot == BK_LOAD_OP_NONE)
        return; /* the first document of a subscription */
    if (number != engine->publication || watch->seen == number) {
        if (!engine->unreliable)
            bk_load_failed(engine, "NOTIFY %s",
                           number == watch->seen ? "told the same again" : "told of old presence");
        return;
    }
    watch->seen = number;
    engine->told++;
    engine->run.result->operations++;
    bk_load_samples_add(&engine->run.arrival, now - engine->ops.slots[slot].started_ns);
    publish_check(engine);
}

void bk_load_notify_request(struct bk_load_engine *engine, uint32_t who,
                            const struct bk_load_msg *msg)
{
    uint64_t now = bk_load_now_ns();
    char call_id[40];
    snprintf(call_id, sizeof call_id, "s%x.%s", who, engine->run_id);
    struct bk_load_watch *watch = bk_load_watch_of(engine, who);
    if (!watch || !bk_view_equal(msg->call_id, bk_view_of_str(call_id))) {
        bk_load_respond(engine, who, msg, "481 Subscription Does Not Exist", "bl", false, NULL,
                        (struct bk_view){ 0 });
        bk_load_failed(engine, "NOTIFY came to somebody who does not watch");
        return;
    }
    bk_load_respond(engine, who, msg, "200 OK", "bl", true, NULL, (struct bk_view){ 0 });
    if (msg->cseq <= watch->notify_cseq && watch->notify_cseq) {
        if (!engine->unreliable)
            bk_load_failed(engine, "NOTIFY: CSeq did not grow");
        return;
    }
    watch->notify_cseq = msg->cseq;
    struct bk_view state = msg->subscription_state;
    struct bk_view word = bk_view_trim(bk_view_cut(&state, ';'));
    if (bk_view_equal_nocase(word, BK_VIEW("terminated"))) {
        if (watch->op == BK_LOAD_OP_NONE || !engine->op[watch->op].leaving)
            bk_load_failed(engine, "NOTIFY ended a subscription: %.*s", BK_VIEW_ARGS(state));
        watch->ended = true;
    } else if (bk_view_equal_nocase(word, BK_VIEW("active"))) {
        watch->active = true;
    } else {
        bk_load_failed(engine, "NOTIFY says Subscription-State %.*s", BK_VIEW_ARGS(word));
    }
    take_document(engine, watch, msg->body, now);
    subscribe_check(engine, watch);
}

const struct bk_load_phase bk_load_phase_subscribe = { "subscribe",
                                                       "SUBSCRIBE, its 200, first NOTIFY, its 200",
                                                       "--watchers people watch the first one",
                                                       prepare_subscribe, start_subscribe };
const struct bk_load_phase bk_load_phase_notify = {
    "notify", "NOTIFY and its 200, a share of the PUBLISH in it",
    "that one publishes --publications times, each told to all watchers", prepare_notify,
    start_notify
};
const struct bk_load_phase bk_load_phase_unsubscribe = {
    "unsubscribe", "SUBSCRIBE with Expires 0, its 200, last NOTIFY, its 200",
    "the watchers stop watching", prepare_unsubscribe, start_unsubscribe
};
