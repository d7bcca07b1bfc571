/* SPDX-License-Identifier: Apache-2.0 */
/* Forwarding with forks (RFC 3261 16): the request goes out as it came but for what a proxy must change. */
#include "server/core_private.h"
#include "server/json.h"
#include "server/ms_session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { CANCEL_PATIENCE_MS = 32 * 1000 };

static void relay_response(struct bk_sip_tx *tx, void *user, const struct bk_sip_msg *msg);
static void relay_failed(struct bk_sip_tx *tx, void *user, enum bk_sip_tx_failure why);
static void fork_gone(struct bk_sip_tx *tx, void *user);
static void server_cancelled(struct bk_sip_tx *tx, void *user, const struct bk_sip_msg *cancel);
static void server_gone(struct bk_sip_tx *tx, void *user);

static const struct bk_sip_tx_user fork_user = { .response = relay_response,
                                                 .failed = relay_failed,
                                                 .gone = fork_gone };
static const struct bk_sip_tx_user server_user = { .cancelled = server_cancelled,
                                                   .gone = server_gone };

static void cancel_forks(struct relay *relay, struct bk_view reason);

/*
 * After CANCEL the callee has 32 s (RFC 3261 9.1); then the caller is told without it. A conversation that nobody
 * took in time is the server's.
 */
static void relay_timer(struct bk_timer *timer)
{
    struct relay *relay = bk_container_of(timer, struct relay, timer);
    if (relay->answered)
        return;
    relay->calls++;
    if (relay->session && relay->kind == RELAY_OTHER) {
        if (relay->server) /* else the sender went: it comes again under the same key */
            ms_session_again(relay);
    } else if (relay->session && !relay->cancelled) {
        cancel_forks(relay, BK_VIEW("Reason: SIP;cause=408;text=\"Request Timeout\"\r\n"));
        ms_session_answer(relay);
    } else {
        relay_answer(relay, 487, (struct bk_view){ 0 });
    }
    relay->calls--;
    relay_release(relay);
}

/*
 * Each request under way is kept whole, for an answer or the store later: bytes that a sender makes us hold are
 * counted, for his connection and for all of them.
 */
static bool may_keep(const struct request *rq, size_t bytes)
{
    const struct bk_core_limits *limits = &rq->core->config.limits;
    const struct link *link = core_link(rq->core, rq->asker.link);
    return rq->core->pending_bytes + bytes <= (size_t)limits->pending_bytes_total &&
           (!link || link->pending_bytes + bytes <= (size_t)limits->pending_bytes_per_link);
}

static void count_bytes(struct relay *relay, bool more)
{
    struct bk_core *core = relay->shard->core;
    struct link *link = core_link(core, relay->asker_link);
    core->pending_bytes += more ? relay->bytes : -relay->bytes;
    if (link)
        link->pending_bytes += more ? relay->bytes : -relay->bytes;
}

static void refuse_spent(const struct request *rq)
{
    static const char *const values[] = { "seconds", "10", NULL };
    refuse_why(
        rq, 404, 503, 10, values,
        BK_VIEW("{\"why\":\"unanswered requests hold all the bytes that limits.pending-bytes "
                "or limits.pending-bytes-total allow\"}"));
}

struct relay *relay_create(struct request *rq, enum relay_kind kind, struct bk_person *person,
                           int n_forks)
{
    size_t forks = (size_t)n_forks * sizeof(struct relay_fork);
    struct bk_view origin = rq->origin ? rq->origin->bytes : (struct bk_view){ 0 };
    size_t bytes =
        sizeof(struct relay) + forks + rq->msg->bytes.len + rq->identity.len + origin.len;
    struct relay *relay = may_keep(rq, bytes) ? malloc(bytes) : NULL;
    if (!relay) {
        if (may_keep(rq, bytes))
            refuse(rq, 404, 0, 503, NULL);
        else
            refuse_spent(rq);
        return NULL;
    }
    memset(relay, 0, sizeof *relay + forks);
    relay->bytes = bytes;
    relay->shard = rq->shard;
    relay->kind = kind;
    relay->asker_link = rq->asker.link;
    relay->asker = rq->asker;
    char *at = (char *)relay + sizeof *relay + forks;
    memcpy(at, rq->msg->bytes.at, rq->msg->bytes.len);
    relay->copy = (struct bk_view){ at, rq->msg->bytes.len };
    at += rq->msg->bytes.len;
    if (rq->identity.len)
        memcpy(at, rq->identity.at, rq->identity.len);
    relay->sender = (struct bk_view){ at, rq->identity.len };
    at += rq->identity.len;
    if (origin.len)
        memcpy(at, origin.at, origin.len);
    relay->origin = (struct bk_view){ at, origin.len };
    if (bk_sip_tx_server_create(rq->shard->txs, asker_flow(&rq->asker), rq->msg, rq->head,
                                &server_user, relay, &relay->server) < 0) {
        refuse(rq, 404, 0, 503, NULL);
        free(relay);
        return NULL;
    }
    count_bytes(relay, true);
    bk_timer_init(&relay->timer, relay_timer);
    bk_list_append(&rq->shard->relays, &relay->in_shard);
    if (person) {
        relay->person = person;
        person->holds++;
    }
    return relay;
}

static void relay_free(struct relay *relay)
{
    struct bk_core *core = relay->shard->core;
    message_relay_gone(relay);
    count_bytes(relay, false);
    bk_list_remove(&relay->in_shard);
    bk_timer_disarm(core->config.timers, &relay->timer);
    if (relay->server)
        bk_sip_tx_forget(relay->server);
    for (int i = 0; i < relay->n_forks; i++)
        if (relay->forks[i].tx)
            bk_sip_tx_forget(relay->forks[i].tx);
    if (relay->person) {
        relay->person->holds--;
        bk_state_settle(relay->person);
    }
    bk_buf_finish(&relay->best);
    free(relay);
}

void relay_release(struct relay *relay)
{
    if (relay->calls || relay->storing || relay->in_sessions)
        return;
    bool open = relay->server != NULL;
    for (int i = 0; i < relay->n_forks; i++)
        open |= relay->forks[i].tx != NULL;
    if (!open)
        relay_free(relay);
}

void relays_destroy(struct shard *shard)
{
    while (!bk_list_empty(&shard->relays))
        relay_free(bk_container_of(shard->relays.next, struct relay, in_shard));
}

/* The sender's own Via as it must travel on: with where it really came from (RFC 3261 18.2.1, RFC 3581). */
static void stamp_via(const struct request *rq, struct bk_sip_edit *edit, struct bk_buf *scratch)
{
    const struct bk_sip_field *f = bk_sip_msg_field(rq->msg, BK_SIP_HDR_VIA);
    if (bk_view_find(f->value, ',') < f->value.len)
        return;
    struct bk_view rest = f->value;
    struct bk_sip_via via;
    if (bk_sip_via_next(&rest, &via) != 1)
        return;
    bool other_host = !bk_view_equal(via.host, bk_view_of_str(rq->asker.ip));
    if (!via.has_rport && !other_host)
        return;
    size_t at = bk_view_find_view(f->value, BK_VIEW(";rport"));
    bool fill = via.has_rport && at < f->value.len && via.rport == 0;
    size_t from = scratch->len;
    bk_buf_add_view(scratch, bk_view_head(f->value, fill ? at + 6 : f->value.len));
    if (fill) {
        bk_buf_add_char(scratch, '=');
        bk_buf_add_u64(scratch, rq->asker.port);
        struct bk_view tail = bk_view_skip(f->value, at + 6);
        if (tail.len && tail.at[0] == '=') /* "rport=" with nothing behind it */
            tail = bk_view_skip(tail, 1);
        bk_buf_add_view(scratch, tail);
    }
    if (!via.received.len) {
        bk_buf_add_lit(scratch, ";received=");
        bk_buf_add_str(scratch, rq->asker.ip);
    }
    if (!scratch->failed)
        bk_sip_edit_value(edit, f, (struct bk_view){ scratch->at + from, scratch->len - from });
}

/* At most 255 (RFC 3261 20.22). */
static size_t hops_text(int hops, char ret[4])
{
    size_t n = 0;
    if (hops >= 100)
        ret[n++] = (char)('0' + hops / 100 % 10);
    if (hops >= 10)
        ret[n++] = (char)('0' + hops / 10 % 10);
    ret[n++] = (char)('0' + hops % 10);
    return n;
}

void relay_hide(const struct bk_sip_msg *msg, struct bk_sip_edit *edit)
{
    static const enum bk_sip_hdr known[] = {
        BK_SIP_HDR_PROXY_AUTHORIZATION, BK_SIP_HDR_AUTHORIZATION, BK_SIP_HDR_AUTHENTICATION_INFO,
        BK_SIP_HDR_P_ASSERTED_IDENTITY, BK_SIP_HDR_P_PREFERRED_IDENTITY
    };
    const struct bk_sip_field *f;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        for (f = bk_sip_msg_field(msg, known[i]); f; f = bk_sip_msg_field_next(msg, f))
            bk_sip_edit_remove(edit, f);
    for (int i = 0; i < msg->n_fields; i++)
        if (bk_view_equal_nocase(msg->fields[i].name, BK_VIEW("Remote-Party-ID")) ||
            bk_view_equal_nocase(msg->fields[i].name, BK_VIEW("Proxy-Authentication-Info")))
            bk_sip_edit_remove(edit, &msg->fields[i]);
}

/* Writes the request as it goes out over that link into core->out. false: out of memory. */
static bool write_fork(const struct relay *relay, const struct request *rq, struct link *link,
                       const struct bk_sip_tx *tx, struct bk_view uri, struct bk_view record_route,
                       bool pop_route)
{
    struct bk_core *core = relay->shard->core;
    /* Views into scratch are taken only once all of it is written: it may move while it grows. */
    struct bk_buf *scratch = &core->out2;
    bk_buf_clear(scratch);
    if (!bk_buf_reserve(scratch, 2048 + record_route.len + rq->head->call_id.len))
        return false;
    bk_buf_add_lit(scratch, "Via: ");
    core_via_head(core, link, scratch);
    bk_buf_add_lit(scratch, ";branch=");
    bk_buf_add_view(scratch, bk_sip_tx_branch(tx));
    bk_buf_add_lit(scratch, "\r\n");
    const struct bk_sip_field *forwards = bk_sip_msg_field(rq->msg, BK_SIP_HDR_MAX_FORWARDS);
    char hops[4];
    size_t hops_len = hops_text(rq->head->max_forwards - 1, hops);
    if (!forwards) {
        bk_buf_add_lit(scratch, "Max-Forwards: ");
        bk_buf_add(scratch, hops, hops_len);
        bk_buf_add_lit(scratch, "\r\n");
    }
    bk_buf_add_view(scratch, record_route);
    size_t lines = scratch->len;
    if (relay->rename)
        bk_buf_addf(scratch, "%.*s-%u", BK_VIEW_ARGS(rq->head->call_id), rq->head->cseq);
    size_t name_end = scratch->len;

    struct bk_sip_edit edit;
    bk_sip_edit_begin(&edit, rq->msg);
    if (uri.len && !bk_view_equal(uri, rq->msg->uri))
        bk_sip_edit_uri(&edit, uri);
    if (bk_sip_msg_field(rq->msg, BK_SIP_HDR_VIA)->value.len < 1024)
        stamp_via(rq, &edit, scratch);
    bk_sip_edit_insert(&edit, NULL, (struct bk_view){ scratch->at, lines });
    if (forwards)
        bk_sip_edit_value(&edit, forwards, (struct bk_view){ hops, hops_len });
    if (relay->rename)
        bk_sip_edit_value(&edit, bk_sip_msg_field(rq->msg, BK_SIP_HDR_CALL_ID),
                          (struct bk_view){ scratch->at + lines, name_end - lines });
    if (pop_route) {
        const struct bk_sip_field *route = bk_sip_msg_field(rq->msg, BK_SIP_HDR_ROUTE);
        if (route)
            bk_sip_edit_pop(&edit, route);
    }
    relay_hide(rq->msg, &edit);
    bk_buf_clear(&core->out);
    bk_sip_edit_write(&edit, &core->out);
    return !core->out.failed;
}

int relay_add(struct relay *relay, const struct request *rq, uint64_t link_id, bool reliable,
              struct bk_view uri, struct bk_view record_route, bool pop_route)
{
    struct bk_core *core = rq->core;
    struct link *link = core_link(core, link_id);
    if (!link)
        return -1;
    struct relay_fork *fork = &relay->forks[relay->n_forks];
    struct bk_sip_flow flow = { link_id, reliable };
    int r = bk_sip_tx_client_create(relay->shard->txs, flow, rq->msg->method, &fork_user, fork,
                                    &fork->tx);
    if (r < 0)
        return r;
    fork->relay = relay;
    fork->link = link_id;
    relay->n_forks++;
    relay->n_open++;
    if (!write_fork(relay, rq, link, fork->tx, uri, record_route, pop_route)) {
        bk_sip_tx_forget(fork->tx);
        fork->tx = NULL;
        relay->n_forks--;
        relay->n_open--;
        return -ENOMEM;
    }
    struct link *caller = core_link(core, relay->asker_link);
    relay->ours_differ |=
        record_route.len && caller &&
        (caller->transport != link->transport || caller->local_port != link->local_port ||
         strcmp(caller->local_ip, link->local_ip) != 0);
    relay->renamed |= relay->rename;
    bk_sip_tx_start(fork->tx, bk_buf_view(&core->out));
    return 0;
}

/* Our Record-Route in an answer, rewritten to where this side reaches us (RFC 5658's aim with one entry). */
static void rewrite_record_route(struct relay *relay, struct bk_sip_edit *edit,
                                 const struct bk_sip_msg *response, struct bk_buf *scratch)
{
    for (const struct bk_sip_field *f = bk_sip_msg_field(response, BK_SIP_HDR_RECORD_ROUTE); f;
         f = bk_sip_msg_field_next(response, f)) {
        struct bk_view rest = f->value;
        struct bk_sip_addr a;
        struct bk_sip_uri uri;
        if (bk_view_find(f->value, ',') < f->value.len || bk_sip_addr_next(&rest, &a) != 1 ||
            bk_sip_uri_parse(a.uri_text, &uri) < 0 ||
            !bk_view_starts_with(uri.user, BK_VIEW("bkr-")))
            continue;
        bk_buf_clear(scratch);
        core_own_uri(&relay->asker, uri.user, scratch);
        if (scratch->failed || scratch->len == 0)
            return;
        scratch->len--; /* over the > */
        bk_buf_add_lit(scratch, ";lr>");
        bk_sip_edit_value(edit, f, bk_buf_view(scratch));
        return;
    }
}

/* What an endpoint of the Lync dialect signed its answer with was for us; the receiver's side signs anew. */
static void hide_signature(const struct bk_sip_msg *response, struct bk_sip_edit *edit)
{
    static const enum bk_sip_hdr known[] = { BK_SIP_HDR_AUTHORIZATION,
                                             BK_SIP_HDR_PROXY_AUTHORIZATION,
                                             BK_SIP_HDR_AUTHENTICATION_INFO };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        for (const struct bk_sip_field *f = bk_sip_msg_field(response, known[i]); f;
             f = bk_sip_msg_field_next(response, f))
            bk_sip_edit_remove(edit, f);
}

static void build_passed(struct relay *relay, const struct bk_sip_msg *response, struct bk_buf *to)
{
    struct bk_core *core = relay->shard->core;
    struct bk_sip_edit edit;
    bk_sip_edit_begin(&edit, response);
    bk_sip_edit_pop(&edit, bk_sip_msg_field(response, BK_SIP_HDR_VIA));
    hide_signature(response, &edit);
    if (relay->ours_differ)
        rewrite_record_route(relay, &edit, response, &core->out2);
    bk_buf_clear(to);
    bk_sip_edit_write(&edit, to);
}

static void final_sent(struct relay *relay)
{
    relay->answered = true;
    /* An INVITE's transaction stays for what RFC 6026 lets follow; all others are done with. */
    if (relay->kind != RELAY_INVITE && relay->server) {
        bk_sip_tx_forget(relay->server);
        relay->server = NULL;
    }
}

void relay_pass(struct relay *relay, const struct bk_sip_msg *response)
{
    struct bk_core *core = relay->shard->core;
    if (!relay->server)
        return;
    if (relay->origin.len ||
        relay->renamed) { /* its answer fits what we made of the request, not what came */
        relay_answer(relay, response->status, (struct bk_view){ 0 });
        return;
    }
    build_passed(relay, response, &core->out);
    if (core->out.failed)
        return;
    bk_sip_tx_respond(relay->server, response->status, bk_buf_view(&core->out));
    if (response->status >= 200)
        final_sent(relay);
}

/* The request as it came, read again, for an answer that is made later. NULL: no room to read. */
static struct bk_sip_msg *original(struct relay *relay, struct bk_sip_head *head)
{
    struct bk_core *core = relay->shard->core;
    struct bk_sip_msg *msg = core_msg_push(core);
    struct bk_sip_fault fault;
    if (!msg)
        return NULL;
    struct bk_view bytes = relay->origin.len ? relay->origin : relay->copy;
    if (bk_sip_msg_parse(msg, bytes, &fault) < 0 || bk_sip_msg_check(msg, head, &fault) < 0) {
        core_msg_pop(core);
        return NULL;
    }
    return msg;
}

static void respond_from_copy(struct relay *relay, int status, struct bk_view reason,
                              struct bk_view extra, struct bk_view content_type,
                              struct bk_view body)
{
    struct bk_core *core = relay->shard->core;
    struct bk_sip_head head;
    if (!relay->server)
        return;
    struct bk_sip_msg *msg = original(relay, &head);
    if (!msg)
        return;
    char tag[17];
    core_to_tag(core, &head, tag);
    struct bk_sip_source source = { bk_view_of_str(relay->asker.ip), relay->asker.port };
    bk_buf_clear(&core->out);
    bk_sip_response_begin(&core->out, msg, status, reason,
                          status == 100 ? (struct bk_view){ 0 } : bk_view_of_str(tag), &source);
    bk_buf_add_view(&core->out, extra);
    bk_sip_end(&core->out, content_type, body);
    if (!core->out.failed)
        bk_sip_tx_respond(relay->server, status, bk_buf_view(&core->out));
    core_msg_pop(core);
    if (status >= 200)
        final_sent(relay);
}

void relay_answer(struct relay *relay, int status, struct bk_view extra)
{
    relay_answer_body(relay, status, extra, (struct bk_view){ 0 }, (struct bk_view){ 0 });
}

void relay_answer_body(struct relay *relay, int status, struct bk_view extra,
                       struct bk_view content_type, struct bk_view body)
{
    respond_from_copy(relay, status, (struct bk_view){ 0 }, extra, content_type, body);
}

void relay_refuse(struct relay *relay, unsigned record, char sub)
{
    struct bk_core *core = relay->shard->core;
    struct bk_refusal refusal;
    struct bk_buf lines = { 0 };
    struct bk_attempt attempt = {
        .address = relay->sender,
        .ip = bk_view_of_str(relay->asker.ip),
        .net_key = relay->asker.net_key,
        .transport = bk_view_of_str(transport_param(relay->asker.transport)),
        .road = relay->kind == RELAY_MESSAGE ? BK_VIEW("message") : BK_VIEW("call"),
        .own_network = relay->asker.own_network,
    };
    char address[BK_SIP_AOR_MAX + 1] = "?";
    if (relay->person)
        snprintf(address, sizeof address, "%s", relay->person->address);
    const char *values[] = { "address", address, NULL };
    struct bk_buf detail = { 0 };
    bk_buf_add_lit(&detail, "{\"to\":");
    bk_json_add_string(&detail, bk_view_of_str(address));
    bk_buf_add_char(&detail, '}');
    bk_history_refuse(core->config.history, &attempt, bk_record_find(record, sub),
                      !relay->sender.len, true, bk_buf_view(&detail), 0, values, &refusal);
    core->metrics[BK_METRIC_REFUSALS]++;
    refusal_lines(core, &refusal, &lines);
    respond_from_copy(relay, refusal.status, bk_view_of_str(refusal.text), bk_buf_view(&lines),
                      (struct bk_view){ 0 }, (struct bk_view){ 0 });
    bk_buf_finish(&lines);
    bk_buf_finish(&detail);
}

/* RFC 3261 16.7 step 6: 6xx before all, then the lowest class; 401 and 407 of a callee are kept as they are. */
static bool is_better(int status, int than)
{
    if (!than)
        return true;
    if (than >= 600)
        return false;
    if (status >= 600)
        return true;
    return status / 100 < than / 100;
}

static void keep_best(struct relay *relay, const struct bk_sip_msg *msg)
{
    if (!is_better(msg->status, relay->best_status))
        return;
    build_passed(relay, msg, &relay->best);
    relay->best_status = relay->best.failed ? relay->best_status : msg->status;
}

/* reason: a whole line (RFC 3326), so that an endpoint can tell "answered elsewhere" from "missed"; or empty. */
static void cancel_forks(struct relay *relay, struct bk_view reason)
{
    for (int i = 0; i < relay->n_forks; i++)
        if (relay->forks[i].tx && !relay->forks[i].done)
            bk_sip_tx_cancel(relay->forks[i].tx, reason);
}

static void all_forks_ended(struct relay *relay)
{
    if (relay->answered || !relay->server)
        return;
    if (relay->session && !relay->cancelled && message_is_passing(relay->best_status)) {
        if (relay->kind == RELAY_INVITE)
            ms_session_answer(relay);
        else
            ms_session_again(relay);
    } else if (relay->best_status) {
        bk_sip_tx_respond(relay->server, relay->best_status, bk_buf_view(&relay->best));
        final_sent(relay);
    } else if (relay->cancelled) {
        relay_answer(relay, 487, (struct bk_view){ 0 });
    } else {
        relay_refuse(relay, 509, 0);
    }
}

static void fork_final(struct relay *relay, struct relay_fork *fork, const struct bk_sip_msg *msg)
{
    if (!fork->done) {
        fork->done = true;
        relay->n_open--;
    }
    if (msg && msg->status < 300) {
        if (relay->session && relay->kind == RELAY_OTHER && !relay->answered)
            message_passed(relay, msg->status);
        if (!relay->session || !relay->answered)
            relay_pass(relay, msg); /* each 2xx of an INVITE, also a second one */
        if (relay->kind == RELAY_INVITE)
            cancel_forks(relay,
                         BK_VIEW("Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n"));
        return;
    }
    if (relay->answered)
        return;
    if (msg) {
        keep_best(relay, msg);
        if (msg->status >= 600 && relay->kind == RELAY_INVITE)
            cancel_forks(relay, (struct bk_view){ 0 });
    }
    if (relay->n_open == 0)
        all_forks_ended(relay);
}

static void relay_response(struct bk_sip_tx *tx, void *user, const struct bk_sip_msg *msg)
{
    struct relay_fork *fork = user;
    struct relay *relay = fork->relay;
    (void)tx;

    fork->status = msg->status;
    relay->calls++;
    if (relay->kind == RELAY_MESSAGE) {
        message_response(relay, fork, msg);
    } else if (msg->status >= 200) {
        fork_final(relay, fork, msg);
    } else if (msg->status > 100 && !relay->answered) {
        relay_pass(relay, msg);
    }
    relay->calls--;
    relay_release(relay);
}

static void relay_failed(struct bk_sip_tx *tx, void *user, enum bk_sip_tx_failure why)
{
    struct relay_fork *fork = user;
    struct relay *relay = fork->relay;
    (void)tx;
    (void)why;

    relay->calls++;
    if (relay->kind == RELAY_MESSAGE) {
        if (!fork->done) {
            fork->done = true;
            relay->n_open--;
        }
        message_fork_failed(relay);
    } else {
        fork_final(relay, fork, NULL);
    }
    relay->calls--;
    relay_release(relay);
}

static void fork_gone(struct bk_sip_tx *tx, void *user)
{
    struct relay_fork *fork = user;
    (void)tx;
    fork->tx = NULL;
    relay_release(fork->relay);
}

static void server_cancelled(struct bk_sip_tx *tx, void *user, const struct bk_sip_msg *cancel)
{
    struct relay *relay = user;
    struct bk_core *core = relay->shard->core;
    (void)tx;
    (void)cancel;
    if (relay->answered)
        return;
    relay->calls++;
    relay->cancelled = true;
    cancel_forks(relay, (struct bk_view){ 0 });
    bk_timer_arm(core->config.timers, &relay->timer, core_now(core) + CANCEL_PATIENCE_MS);
    relay->calls--;
}

static void server_gone(struct bk_sip_tx *tx, void *user)
{
    struct relay *relay = user;
    (void)tx;
    relay->server = NULL;
    if (relay->kind == RELAY_INVITE && !relay->answered) {
        /* The caller vanished: nobody shall answer a call that is no more. */
        relay->answered = true;
        cancel_forks(relay, (struct bk_view){ 0 });
    }
    relay_release(relay);
}
