/* SPDX-License-Identifier: Apache-2.0 */
/* Calls and conversations pass through: forks, Record-Route, and requests inside their dialogs. */
#include "server/core_private.h"
#include "server/ms_session.h"

#include <stdio.h>

enum {
    MAC_BYTES = 8,
    SESSION_PATIENCE_MS = 20 * 1000, /* a conversation that rings longer is the server's */
};

/*
 * Our Record-Route holds both ends of the dialog, so that a request inside it finds the other one
 * whatever connection that has by then, and also after a restart:
 * base64url(mac | len a | a | len a' | a' | len b | b | len b' | b'), a' and b' the endpoint keys.
 * The mac is over the Call-ID too: a token leads nowhere but inside its own dialog.
 */
static void token_mac(struct bk_core *core, struct bk_view text, struct bk_view call_id,
                      unsigned char ret[MAC_BYTES])
{
    struct bk_hash_key key;
    memcpy(&key, core->config.secret + 16, sizeof key);
    uint64_t both[2] = { bk_hash(&key, text), bk_hash(&key, call_id) };
    uint64_t h = bk_hash(&key, (struct bk_view){ (const char *)both, sizeof both });
    memcpy(ret, &h, MAC_BYTES);
}

void route_token_make(struct bk_core *core, struct bk_view a, struct bk_view a_endpoint,
                      struct bk_view b, struct bk_view b_endpoint, struct bk_view call_id,
                      struct bk_buf *to)
{
    struct bk_buf plain = { 0 };
    struct bk_view parts[4] = { a, a_endpoint, b, b_endpoint };
    unsigned char mac[MAC_BYTES] = { 0 };

    bk_buf_add(&plain, mac, sizeof mac);
    for (int i = 0; i < 4; i++) {
        size_t len = parts[i].len < 0xffff ? parts[i].len : 0;
        bk_buf_add_char(&plain, (char)(len >> 8));
        bk_buf_add_char(&plain, (char)(len & 0xff));
        bk_buf_add(&plain, parts[i].at, len);
    }
    if (!plain.failed) {
        token_mac(core, bk_view_skip(bk_buf_view(&plain), MAC_BYTES), call_id, mac);
        memcpy(plain.at, mac, MAC_BYTES);
        bk_buf_add_lit(to, "bkr-");
        bk_base64url_encode(to, bk_buf_view(&plain));
    }
    bk_buf_finish(&plain);
}

bool route_token_read(struct bk_core *core, struct bk_view token, struct bk_view call_id,
                      struct bk_arena *arena, struct bk_view ret[4])
{
    struct bk_buf plain = { .max = 4096 };
    unsigned char mac[MAC_BYTES];
    bool good = false;

    if (bk_base64url_decode(token, &plain) == 0 && plain.len > MAC_BYTES) {
        struct bk_view rest = bk_view_skip(bk_buf_view(&plain), MAC_BYTES);
        token_mac(core, rest, call_id, mac);
        good = bk_equal_constant_time(mac, plain.at, MAC_BYTES);
        for (int i = 0; good && i < 4; i++) {
            size_t len = rest.len >= 2
                             ? (size_t)((unsigned char)rest.at[0] << 8 | (unsigned char)rest.at[1])
                             : SIZE_MAX;
            good = rest.len >= 2 && len <= rest.len - 2;
            if (!good)
                break;
            ret[i] = bk_arena_copy(arena, bk_view_head(bk_view_skip(rest, 2), len));
            rest = bk_view_skip(rest, 2 + len);
        }
    }
    bk_buf_finish(&plain);
    return good;
}

static void record_route_line(const struct request *rq, const struct bk_binding *b,
                              struct link *link, struct bk_buf *to)
{
    struct asker ours = { .transport = link->transport, .local_port = link->local_port };
    struct bk_buf token = { 0 };

    memcpy(ours.local_ip, link->local_ip, sizeof ours.local_ip);
    route_token_make(rq->core, rq->identity, rq->endpoint, bk_person_address(b->person),
                     b->endpoint, rq->head->call_id, &token);
    bk_buf_clear(to);
    bk_buf_add_lit(to, "Record-Route: ");
    core_own_uri(&ours, bk_buf_view(&token), to);
    if (to->len)
        to->len--; /* over the > */
    bk_buf_add_lit(to, ";lr>\r\n");
    bk_buf_finish(&token);
}

/* Nobody of that name, or nobody there: the reason is told at once. */
static void refuse_unreachable(struct request *rq)
{
    struct bk_user user;
    char address[BK_SIP_AOR_MAX + 1];
    snprintf(address, sizeof address, "%.*s", BK_VIEW_ARGS(rq->target));
    const char *values[] = { "address", address, NULL };
    bool known = bk_store_user(rq->core->config.store, rq->target, &rq->core->arena, &user) == 0;
    refuse(rq, known ? 509 : 501, 0, known ? 480 : 404, values);
}

/* The person a request is for, if there and willing; NULL: answered. Held by the caller. */
static struct bk_person *reachable(struct request *rq)
{
    struct bk_core *core = rq->core;
    struct bk_person *person = bk_state_person(rq->shard->state, rq->target, false);
    if (!person || !person->n_bindings) {
        refuse_unreachable(rq);
        return NULL;
    }
    presence_load(core, person);
    if (!person->loaded) {
        refuse(rq, 404, 0, 503, NULL);
        return NULL;
    }
    if (presence_relation(core, person, rq->identity) >= RELATION_BLOCKED) {
        /* To somebody who is blocked nobody of that name is there (SI-504 in the history). */
        char address[BK_SIP_AOR_MAX + 1];
        snprintf(address, sizeof address, "%.*s", BK_VIEW_ARGS(rq->target));
        const char *values[] = { "address", address, NULL };
        refuse(rq, 504, 0, 404, values);
        return NULL;
    }
    person->holds++;
    return person;
}

static void fork_to_all(struct request *rq, enum relay_kind kind, bool session)
{
    struct bk_core *core = rq->core;
    struct bk_person *person = reachable(rq);
    if (!person)
        return;
    uint8_t gruu[16];
    bool one = ms_gruu_of(rq->msg, gruu);
    int n = person->n_bindings < core->config.limits.forks_max ? person->n_bindings
                                                               : core->config.limits.forks_max;
    struct relay *relay = relay_create(rq, kind, person, n);
    if (relay) {
        struct bk_buf route = { 0 };
        relay->calls++;
        relay->session = session;
        if (session)
            bk_timer_arm(core->config.timers, &relay->timer, core_now(core) + SESSION_PATIENCE_MS);
        if (kind == RELAY_INVITE) {
            core->metrics[BK_METRIC_CALLS] += !session;
            relay_answer(relay, 100, (struct bk_view){ 0 });
        }
        BK_LIST_EACH(&person->bindings, it)
        {
            struct bk_binding *b = bk_container_of(it, struct bk_binding, in_person);
            struct link *link = core_link(core, b->link);
            if (relay->n_forks == n || !link || (one && !ms_is_endpoint(b, gruu)))
                continue;
            if (kind == RELAY_INVITE)
                record_route_line(rq, b, link, &route);
            relay_add(relay, rq, b->link, b->reliable, b->contact, bk_buf_view(&route), true);
        }
        bk_buf_finish(&route);
        if (!relay->n_forks && session)
            ms_session_answer(relay);
        else if (!relay->n_forks)
            relay_refuse(relay, 509, 0);
        relay->calls--;
        relay_release(relay);
    }
    person->holds--;
    bk_state_settle(person);
}

void handle_invite(struct request *rq)
{
    fork_to_all(rq, RELAY_INVITE, false);
}

void handle_session_invite(struct request *rq)
{
    fork_to_all(rq, RELAY_INVITE, true);
}

void handle_other(struct request *rq)
{
    fork_to_all(rq, RELAY_OTHER, false);
}

/* The endpoint at the other end of a dialog, by our token, or by the very Contact it gave. */
static struct bk_binding *other_end(struct request *rq)
{
    struct bk_core *core = rq->core;
    struct bk_person *person = bk_state_person(rq->shard->state, rq->target, false);
    struct bk_view ends[4], endpoint = { 0 };

    if (!person)
        return NULL;
    if (rq->route.len && route_token_read(core, rq->route, rq->head->call_id, &core->arena, ends)) {
        bool to_b = bk_view_equal(rq->target, ends[2]) &&
                    !(bk_view_equal(ends[0], ends[2]) && bk_view_equal(rq->endpoint, ends[3]));
        endpoint = to_b ? ends[3] : ends[1];
    }
    uint8_t gruu[16];
    bool one = !endpoint.len && ms_gruu_of(rq->msg, gruu);
    BK_LIST_EACH(&person->bindings, it)
    {
        struct bk_binding *b = bk_container_of(it, struct bk_binding, in_person);
        if (endpoint.len ? bk_view_equal(b->endpoint, endpoint)
            : one        ? ms_is_endpoint(b, gruu)
                         : bk_view_equal(b->contact, rq->msg->uri))
            return b;
    }
    /* It signed in without naming itself, or anew under another name: one endpoint can only be that one. */
    return endpoint.len && person->n_bindings == 1
               ? bk_container_of(person->bindings.next, struct bk_binding, in_person)
               : NULL;
}

void handle_in_dialog(struct request *rq)
{
    struct bk_binding *b = other_end(rq);
    bool text = rq->msg->method == BK_SIP_MESSAGE && rq->route.len;
    /* What is said reaches the person, if not this endpoint; where it is our own client, all of them. */
    if (text && (!b || (b->sessions && b->person->n_bindings > 1))) {
        ms_session_message(rq);
        return;
    }
    if (!b) {
        answer(rq, 481, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        return;
    }
    if (rq->msg->method == BK_SIP_MESSAGE &&
        rq->msg->body.len > (size_t)rq->core->config.limits.message_body_max) {
        refuse(rq, 503, 0, 413, NULL);
        return;
    }
    /* Who was blocked meanwhile may still hang up, and nothing else. */
    presence_load(rq->core, b->person);
    if (rq->msg->method != BK_SIP_BYE &&
        presence_relation(rq->core, b->person, rq->identity) >= RELATION_BLOCKED) {
        answer(rq, 481, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        return;
    }
    if (text && message_was_answered(rq))
        return;
    struct relay *relay = relay_create(
        rq, rq->msg->method == BK_SIP_INVITE ? RELAY_INVITE : RELAY_OTHER, b->person, 1);
    if (!relay)
        return;
    relay->calls++;
    relay->session = text;
    if (text)
        message_remember(relay, rq);
    /* Our own client knows a message by its key, so that it can be handed over again, and then be stored. */
    if (text && b->sessions)
        bk_timer_arm(rq->core->config.timers, &relay->timer,
                     core_now(rq->core) + rq->core->config.limits.message_wait_ms);
    if (relay->kind == RELAY_INVITE)
        relay_answer(relay, 100, (struct bk_view){ 0 });
    if (relay_add(relay, rq, b->link, b->reliable, rq->msg->uri, (struct bk_view){ 0 }, true) < 0)
        relay_refuse(relay, 509, 0);
    relay->calls--;
    relay_release(relay);
}

/* An ACK to a 2xx has no transaction: it is passed on and forgotten (RFC 3261 16.11). */
void handle_ack(struct request *rq)
{
    struct bk_core *core = rq->core;
    struct bk_binding *b = rq->route.len || rq->head->to_tag.len ? other_end(rq) : NULL;
    struct link *link = b ? core_link(core, b->link) : NULL;
    if (!link)
        return;
    struct bk_buf lines = { 0 };
    struct bk_sip_edit edit;
    char hops[16];
    const struct bk_sip_field *forwards = bk_sip_msg_field(rq->msg, BK_SIP_HDR_MAX_FORWARDS);
    const struct bk_sip_field *route = bk_sip_msg_field(rq->msg, BK_SIP_HDR_ROUTE);

    if (rq->head->max_forwards < 1)
        return;
    bk_buf_add_lit(&lines, "Via: ");
    core_via_head(core, link, &lines);
    bk_buf_addf(&lines, ";branch=z9hG4bKack%016llx\r\n",
                (unsigned long long)(bk_hash(&core->config.hash_key, rq->head->via_branch) ^
                                     bk_hash(&core->config.hash_key, rq->head->call_id) ^
                                     rq->head->cseq)); /* the Lync dialect has no branch */
    int n = snprintf(hops, sizeof hops, "%d", rq->head->max_forwards - 1);
    bk_sip_edit_begin(&edit, rq->msg);
    bk_sip_edit_insert(&edit, NULL, bk_buf_view(&lines));
    if (forwards)
        bk_sip_edit_value(&edit, forwards, (struct bk_view){ hops, (size_t)n });
    if (route)
        bk_sip_edit_pop(&edit, route);
    relay_hide(rq->msg, &edit); /* an ACK repeats the credentials of its INVITE (RFC 3261 22.1) */
    bk_buf_clear(&core->out);
    bk_sip_edit_write(&edit, &core->out);
    if (!lines.failed && !core->out.failed)
        core_send(core, b->link, bk_buf_view(&core->out), false);
    bk_buf_finish(&lines);
}
