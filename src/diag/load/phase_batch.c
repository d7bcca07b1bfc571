/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Presence of the Lync dialect: one subscription for many people, whose first notification rides
 * on the answer; a note published by category; BENOTIFYs, which nobody answers. ([MS-PRES])
 */
#include "diag/load/engine_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void publish_answer(struct bk_load_engine *engine, uint32_t slot,
                           const struct bk_load_token *token, const struct bk_load_msg *msg);
static void subscribe_answer(struct bk_load_engine *engine, uint32_t slot,
                             const struct bk_load_token *token, const struct bk_load_msg *msg);

static const struct bk_load_kind publish_kind = { "SERVICE", publish_answer, NULL };
static const struct bk_load_kind subscribe_kind = { "SUBSCRIBE", subscribe_answer, NULL };

/* Where a note goes, as pidgin-sipe publishes it: colleagues, team, friends. */
static const unsigned containers[] = { 200, 300, 400 };
enum { CONTAINERS = 3 };

/* ---- watching ---- */

/* The publisher first, then those that follow the watcher in the list, as many as there are. */
static uint32_t resources_of(const struct bk_load_engine *engine)
{
    uint32_t most = engine->people->count - 1, asked = (uint32_t)engine->options->resources;
    return asked < most ? asked : most;
}

static void write_batch(struct bk_load_engine *engine, uint32_t who, struct bk_buf *to)
{
    uint32_t count = resources_of(engine), other = who;
    bk_buf_addf(to,
                "<batchSub xmlns=\"http://schemas.microsoft.com/2006/01/sip/batch-subscribe\" "
                "uri=\"sip:%s\" name=\"\">\r\n<action name=\"subscribe\" id=\"%u\"><adhocList>\r\n",
                engine->people->at[who].address, who + 1);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t resource = engine->publisher;
        while (i > 0 && (resource == engine->publisher || resource == who))
            resource = other = (other + 1) % engine->people->count;
        bk_buf_addf(to, "<resource uri=\"sip:%s\"/>\r\n", engine->people->at[resource].address);
    }
    bk_buf_add_lit(
        to, "</adhocList>\r\n"
            "<categoryList xmlns=\"http://schemas.microsoft.com/2006/09/sip/categorylist\">\r\n"
            "<category name=\"calendarData\"/>\r\n<category name=\"contactCard\"/>\r\n"
            "<category name=\"note\"/>\r\n<category name=\"state\"/>\r\n</categoryList>\r\n"
            "</action>\r\n</batchSub>");
}

static void send_subscribe(struct bk_load_engine *engine, uint32_t slot)
{
    const struct bk_load_op *op = &engine->op[slot];
    struct bk_load_watch *watch = bk_load_watch_of(engine, op->from);
    struct bk_buf *out = &engine->out;
    BK_AUTO_BUF struct bk_buf body = { 0 };
    char uri[300], tag[16];
    snprintf(uri, sizeof uri, "sip:%s", engine->people->at[op->from].address);
    snprintf(tag, sizeof tag, "s%x", op->from);
    if (!op->leaving)
        write_batch(engine, op->from, &body);
    bk_load_write_start(engine, op->from, slot, 's', "SUBSCRIBE",
                        bk_view_of_str(watch->target ? watch->target : uri));
    if (watch->routes && watch->routes[0])
        bk_buf_addf(out, "Route: %s\r\n", watch->routes);
    bk_load_write_party(engine, "From", op->from, tag);
    bk_load_write_party(engine, "To", op->from, watch->to_tag ? watch->to_tag : "");
    bk_buf_addf(out, "Call-ID: s%x.%s\r\nCSeq: %u SUBSCRIBE\r\n", op->from, engine->run_id,
                ++watch->cseq);
    bk_load_write_contact(engine, op->from);
    bk_buf_add_lit(out, "Event: presence\r\n"
                        "Accept: application/msrtc-event-categories+xml, text/xml+msrtc.pidf, "
                        "application/pidf+xml, application/rlmi+xml, multipart/related\r\n"
                        "Supported: com.microsoft.autoextend, ms-benotify, "
                        "ms-piggyback-first-notify\r\nProxy-Require: ms-benotify\r\n");
    if (op->leaving)
        bk_buf_add_lit(out, "Expires: 0\r\n");
    else
        bk_buf_add_lit(out, "Require: adhoclist, categoryList\r\nSupported: eventlist\r\n");
    bk_load_write_body(engine, "application/msrtc-adrl-categorylist+xml", bk_buf_view(&body));
    bk_load_send(engine, op->from);
}

static size_t count_of(struct bk_view text, struct bk_view word)
{
    size_t count = 0;
    for (;; count++) {
        size_t at = bk_view_find_view(text, word);
        if (at == text.len)
            return count;
        text = bk_view_skip(text, at + word.len);
    }
}

/* The list of all, and the categories of each, in the answer itself. */
static const char *judge_first(struct bk_load_engine *engine, const struct bk_load_msg *msg)
{
    uint32_t wanted = resources_of(engine);
    if (bk_load_msg_param(msg->to, BK_VIEW("tag")).len == 0)
        return "has no tag";
    if (bk_load_msg_address(msg->contact).len == 0)
        return "has no Contact";
    if (!msg->piggyback.at || msg->body.len == 0)
        return "does not carry the first notification";
    if (count_of(msg->body, BK_VIEW("<resource ")) != wanted)
        return "does not list each resource once";
    if (count_of(msg->body, BK_VIEW("<categories ")) != wanted)
        return "does not tell of each resource once";
    return NULL;
}

static void subscribe_answer(struct bk_load_engine *engine, uint32_t slot,
                             const struct bk_load_token *token, const struct bk_load_msg *msg)
{
    (void)token;
    const struct bk_load_op *op = &engine->op[slot];
    struct bk_load_watch *watch = bk_load_watch_of(engine, op->from);
    if (msg->status < 200)
        return;
    if (msg->status >= 300 || !watch) {
        bk_load_op_failed_status(engine, slot, msg);
        return;
    }
    const char *wrong = op->leaving ? NULL : judge_first(engine, msg);
    if (wrong) {
        bk_load_failed(engine, "the %u to SUBSCRIBE %s", msg->status, wrong);
        bk_load_op_end(engine, slot);
        return;
    }
    if (!op->leaving) {
        watch->to_tag = bk_view_dup(bk_load_msg_param(msg->to, BK_VIEW("tag")));
        watch->target = bk_view_dup(bk_load_msg_address(msg->contact));
        watch->routes = bk_load_route_value(&msg->record_route, true);
        watch->subscribed = watch->active = true;
    }
    bk_load_done(engine, slot);
    bk_load_op_end(engine, slot);
}

static enum bk_load_start start_watch(struct bk_load_engine *engine, bool leaving)
{
    struct bk_load_watch *watch = &engine->watches[engine->run.next++];
    if (engine->users[watch->who].state != BK_LOAD_IN || (leaving && !watch->to_tag))
        return BK_LOAD_STARTED;
    uint32_t slot = bk_load_op_begin(engine, &subscribe_kind, watch->who, watch->who);
    if (slot == BK_LOAD_OP_NONE) {
        engine->run.next--;
        return BK_LOAD_LATER;
    }
    engine->op[slot].leaving = leaving;
    watch->ended = leaving;
    send_subscribe(engine, slot);
    return BK_LOAD_STARTED;
}

static enum bk_load_start start_batch(struct bk_load_engine *engine)
{
    return start_watch(engine, false);
}

/* ---- publishing ---- */

static void send_publish(struct bk_load_engine *engine, uint32_t slot)
{
    const struct bk_load_op *op = &engine->op[slot];
    const char *address = engine->people->at[op->from].address;
    BK_AUTO_BUF struct bk_buf body = { 0 };
    char uri[300], tag[16];
    snprintf(uri, sizeof uri, "sip:%s", address);
    snprintf(tag, sizeof tag, "p%x", engine->publication);
    bk_buf_addf(&body,
                "<publish xmlns=\"http://schemas.microsoft.com/2006/09/sip/rich-presence\">"
                "<publications uri=\"sip:%s\">\r\n",
                address);
    for (unsigned i = 0; i < CONTAINERS; i++) {
        bk_buf_addf(&body,
                    "<publication categoryName=\"note\" instance=\"0\" container=\"%u\" "
                    "version=\"%u\" expireType=\"static\"",
                    containers[i], engine->note_version);
        if (op->leaving)
            bk_buf_add_lit(&body, " expires=\"0\"/>\r\n");
        else
            bk_buf_addf(&body,
                        "><note xmlns=\"http://schemas.microsoft.com/2006/09/sip/note\">"
                        "<body type=\"personal\" uri=\"\">bl %s %u</body></note>"
                        "</publication>\r\n",
                        engine->run_id, engine->publication);
    }
    bk_buf_add_lit(&body, "</publications></publish>");
    bk_load_write_start(engine, op->from, slot, 'p', "SERVICE", bk_view_of_str(uri));
    bk_load_write_party(engine, "From", op->from, tag);
    bk_load_write_party(engine, "To", op->from, "");
    bk_load_write_call_id(engine, slot);
    bk_buf_addf(&engine->out, "CSeq: %u SERVICE\r\n", op->tries + 1u);
    bk_load_write_contact(engine, op->from);
    bk_load_write_body(engine, "application/msrtc-category-publish+xml", bk_buf_view(&body));
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

/* What an earlier run left there; a second one would mean that the server does not say what it has. */
static bool take_version(struct bk_load_engine *engine, const struct bk_load_msg *msg)
{
    static const struct bk_view mark = { BK_VIEW_OF("curVersion=\"") };
    struct bk_view rest = bk_view_skip(msg->body, bk_view_find_view(msg->body, mark));
    uint64_t version;
    if (rest.len == 0)
        return false;
    rest = bk_view_skip(rest, mark.len);
    if (bk_view_to_u64(bk_view_head(rest, bk_view_find(rest, '"')), UINT32_MAX, &version) < 0)
        return false;
    engine->note_version = (uint32_t)version;
    return true;
}

static void publish_answer(struct bk_load_engine *engine, uint32_t slot,
                           const struct bk_load_token *token, const struct bk_load_msg *msg)
{
    struct bk_load_op *op = &engine->op[slot];
    if (msg->status < 200 || token->tries != op->tries)
        return;
    if (msg->status == 409 && op->tries == 0 && take_version(engine, msg)) {
        op->tries++;
        send_publish(engine, slot);
        return;
    }
    if (msg->status >= 300) {
        engine->publication_op = BK_LOAD_OP_NONE;
        bk_load_op_failed_status(engine, slot, msg);
        return;
    }
    if (op->leaving) {
        engine->note_version = 0;
        bk_load_op_end(engine, slot);
        return;
    }
    char version[32];
    snprintf(version, sizeof version, "version=\"%u\"", ++engine->note_version);
    if (count_of(msg->body, bk_view_of_str(version)) < CONTAINERS ||
        bk_load_publication_of(engine, msg->body) != engine->publication)
        bk_load_failed(engine, "the 200 to SERVICE does not tell what is published now");
    op->arrivals = 1;
    bk_load_samples_add(&engine->run.answer, bk_load_now_ns() - engine->ops.slots[slot].started_ns);
    publish_check(engine);
}

static int prepare_benotify(struct bk_load_engine *engine)
{
    int r = bk_load_phase_notify.prepare(engine);
    if (r == 0)
        for (uint32_t i = 0; i < engine->watch_count; i++)
            engine->watches[i].seen = 0;
    return r;
}

static enum bk_load_start start_benotify(struct bk_load_engine *engine)
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

static const char *judge(struct bk_load_engine *engine, uint32_t who,
                         const struct bk_load_watch *watch, const struct bk_load_msg *msg)
{
    char call_id[40], tag[16];
    snprintf(call_id, sizeof call_id, "s%x.%s", who, engine->run_id);
    snprintf(tag, sizeof tag, "s%x", who);
    if (!watch || !watch->to_tag || !bk_view_equal(msg->call_id, bk_view_of_str(call_id)))
        return "came to somebody who does not watch";
    if (!bk_view_equal(bk_load_msg_param(msg->to, BK_VIEW("tag")), bk_view_of_str(tag)) ||
        !bk_view_equal(bk_load_msg_param(msg->from, BK_VIEW("tag")), bk_view_of_str(watch->to_tag)))
        return "has other tags than its subscription";
    if (watch->notify_cseq && msg->cseq <= watch->notify_cseq)
        return "has a CSeq that did not grow";
    if (!bk_view_equal_nocase(msg->event, BK_VIEW("presence")))
        return "names another Event";
    return NULL;
}

void bk_load_benotify_request(struct bk_load_engine *engine, uint32_t who,
                              const struct bk_load_msg *msg)
{
    uint64_t now = bk_load_now_ns();
    struct bk_load_watch *watch = bk_load_watch_of(engine, who);
    const char *wrong = judge(engine, who, watch, msg);
    if (wrong) {
        bk_load_failed(engine, "BENOTIFY %s", wrong);
        return;
    }
    watch->notify_cseq = msg->cseq;
    if (bk_view_starts_with_nocase(msg->subscription_state, BK_VIEW("terminated"))) {
        if (!watch->ended)
            bk_load_failed(engine, "BENOTIFY ended a subscription");
        return;
    }
    uint32_t number = bk_load_publication_of(engine, msg->body), slot = engine->publication_op;
    if (number == 0 || slot == BK_LOAD_OP_NONE)
        return; /* of another of those that are watched */
    char uri[330];
    snprintf(uri, sizeof uri, "uri=\"sip:%s\"", engine->people->at[engine->publisher].address);
    if (bk_view_find_view(msg->body, bk_view_of_str(uri)) == msg->body.len) {
        bk_load_failed(engine, "BENOTIFY tells it of another person");
        return;
    }
    if (number != engine->publication || watch->seen == number) {
        bk_load_failed(engine, "BENOTIFY %s",
                       number == watch->seen ? "told the same again" : "told of old presence");
        return;
    }
    watch->seen = number;
    engine->told++;
    engine->run.result->operations++;
    bk_load_samples_add(&engine->run.arrival, now - engine->ops.slots[slot].started_ns);
    publish_check(engine);
}

/* ---- the phases ---- */

static int prepare_batch(struct bk_load_engine *engine)
{
    int r = bk_load_phase_subscribe.prepare(engine);
    return r < 0 ? r : bk_load_samples_reserve(&engine->run.answer, engine->watch_count);
}

static int prepare_unbatch(struct bk_load_engine *engine)
{
    return bk_load_phase_unsubscribe.prepare(engine);
}

/* First takes back what was published, as the plain phase does. */
static enum bk_load_start start_unbatch(struct bk_load_engine *engine)
{
    if (engine->run.started > 0)
        return start_watch(engine, true);
    if (engine->users[engine->publisher].state != BK_LOAD_IN || !engine->note_version)
        return BK_LOAD_STARTED;
    uint32_t slot = bk_load_op_begin(engine, &publish_kind, engine->publisher, engine->publisher);
    if (slot == BK_LOAD_OP_NONE)
        return BK_LOAD_LATER;
    engine->op[slot].leaving = true;
    send_publish(engine, slot);
    return BK_LOAD_STARTED;
}

const struct bk_load_phase bk_load_phase_batch = {
    "subscribe", "SUBSCRIBE for many, its 200 with the first notification",
    "--watchers people watch --resources each, the first one among them", prepare_batch, start_batch
};
const struct bk_load_phase bk_load_phase_benotify = {
    "notify", "BENOTIFY, a share of the SERVICE in it",
    "that one publishes --publications times, each told to all watchers", prepare_benotify,
    start_benotify
};
const struct bk_load_phase bk_load_phase_unbatch = { "unsubscribe",
                                                     "SUBSCRIBE with Expires 0 and its 200",
                                                     "the watchers stop watching", prepare_unbatch,
                                                     start_unbatch };
