/* SPDX-License-Identifier: Apache-2.0 */
/* MESSAGE (RFC 3428): to every endpoint, or kept until somebody is there; each message once (docs/limits.md, "Exactly once"). */
#include "ms/session.h"
#include "server/core_private.h"
#include "server/ms_session.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    KEY_BYTES = 32,
    KEYS_MAX = 1 << 20, /* remembered answers of one shard */
    DRAIN_AGAIN_MS =
        30 * 1000, /* an endpoint that took no stored message is asked again after so long */
};

/* What was answered to a message, for whoever sends it again. */
struct message_key {
    struct bk_map_node in_keys;
    struct bk_list in_ages;
    int64_t at;
    int status;          /* 0: not answered yet */
    struct relay *relay; /* while it is not */
};

/* "(From tag, Call-ID, CSeq, From URI, To URI)", with lengths so that nothing can slide from one to the next. */
static void key_text(const struct bk_sip_head *head, struct bk_buf *to)
{
    bk_buf_clear(to);
    uint64_t numbers[] = { head->from_tag.len, head->call_id.len, head->cseq, head->from_uri.len,
                           head->to_uri.len };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        bk_buf_add_u64(to, numbers[i]);
        bk_buf_add_char(to, ':');
    }
    bk_buf_add_view(to, head->from_tag);
    bk_buf_add_view(to, head->call_id);
    bk_buf_add_view(to, head->from_uri);
    bk_buf_add_view(to, head->to_uri);
}

/* 64 keyed bits: of a million keys kept, one in 10^13 new messages would meet another's. */
static uint64_t key_hash(struct bk_core *core, const struct bk_sip_head *head)
{
    key_text(head, &core->out2);
    return bk_hash(&core->config.hash_key, bk_buf_view(&core->out2));
}

static void key_free(struct shard *shard, struct message_key *key)
{
    if (key->relay)
        key->relay->key = NULL;
    bk_map_remove(&shard->message_keys, &key->in_keys);
    bk_list_remove(&key->in_ages);
    free(key);
}

static struct message_key *key_find(struct shard *shard, uint64_t hash)
{
    struct bk_map_node *n = bk_map_first(&shard->message_keys, hash);
    return n ? bk_container_of(n, struct message_key, in_keys) : NULL;
}

static struct message_key *key_add(struct shard *shard, uint64_t hash, int64_t now)
{
    /* Old ones go first; there are never more than KEYS_MAX. */
    while (!bk_list_empty(&shard->message_ages)) {
        struct message_key *old =
            bk_container_of(shard->message_ages.next, struct message_key, in_ages);
        if (now - old->at < shard->core->config.limits.key_life_ms &&
            shard->message_keys.n_nodes < KEYS_MAX)
            break;
        key_free(shard, old);
    }
    struct message_key *key = calloc(1, sizeof *key);
    if (!key || bk_map_insert(&shard->message_keys, &key->in_keys, hash) < 0) {
        free(key);
        return NULL;
    }
    key->at = now;
    bk_list_append(&shard->message_ages, &key->in_ages);
    return key;
}

void message_keys_destroy(struct shard *shard)
{
    while (shard->message_ages.next && !bk_list_empty(&shard->message_ages))
        key_free(shard, bk_container_of(shard->message_ages.next, struct message_key, in_ages));
    bk_map_finish(&shard->message_keys);
}

/* Some answers are not for ever: only what was taken is remembered. */
static void key_answered(struct relay *relay, int status)
{
    struct message_key *key = relay->key;
    if (!key)
        return;
    key->relay = NULL;
    relay->key = NULL;
    if (status >= 200 && status < 300)
        key->status = status;
    else
        key_free(relay->shard, key);
}

bool message_was_answered(struct request *rq)
{
    const struct message_key *key = key_find(rq->shard, key_hash(rq->core, rq->head));
    if (!key || !key->status)
        return false;
    answer(rq, key->status, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    return true;
}

void message_remember(struct relay *relay, const struct request *rq)
{
    uint64_t hash = key_hash(rq->core, rq->head);
    struct message_key *old = key_find(rq->shard, hash);
    if (old)
        key_free(rq->shard, old);
    relay->key = key_add(rq->shard, hash, core_now(rq->core));
    if (relay->key)
        relay->key->relay = relay;
}

void message_passed(struct relay *relay, int status)
{
    relay->shard->core->metrics[BK_METRIC_MESSAGES_DELIVERED]++;
    key_answered(relay, status);
}

void message_relay_gone(struct relay *relay)
{
    if (relay->key)
        key_answered(relay, 0);
}

/* ---- storing ---- */

struct stored {
    struct shard *shard;
    struct relay *relay;
    struct bk_person *person; /* held */
};

static bool is_ephemeral(struct bk_view content_type)
{
    struct bk_sip_content_type type;
    if (bk_sip_content_type_parse(content_type, &type) < 0)
        return false;
    return (bk_view_equal_nocase(type.type, BK_VIEW("message")) &&
            bk_view_equal_nocase(type.subtype, BK_VIEW("imdn+xml"))) ||
           (bk_view_equal_nocase(type.type, BK_VIEW("application")) &&
            bk_view_equal_nocase(type.subtype, BK_VIEW("im-iscomposing+xml")));
}

static void drain_later(struct bk_person *person)
{
    struct bk_core *core = person_shard(person)->core;
    bk_timer_arm(core->config.timers, &person->drain_timer, core_now(core) + DRAIN_AGAIN_MS);
}

static void store_done(void *ctx, int result)
{
    struct stored *s = ctx;
    struct relay *relay = s->relay;
    struct bk_person *person = s->person;

    relay->storing = false;
    relay->calls++;
    if (result == 0) {
        relay->stored = true;
        person->has_stored = true;
        person->store_checked = true;
        person_shard(person)->core->metrics[BK_METRIC_MESSAGES_STORED]++;
        key_answered(relay, 202);
        relay_answer(relay, 202, (struct bk_view){ 0 });
        if (relay->n_forks)
            drain_later(person); /* somebody is there but did not answer in time */
        else
            message_drain(person);
    } else {
        key_answered(relay, 503);
        relay_refuse(relay, 505, 0);
    }
    relay->calls--;
    relay_release(relay);
    person->holds--;
    bk_state_settle(person);
    free(s);
}

static void sha256(struct bk_view text, unsigned char ret[KEY_BYTES])
{
    unsigned n = KEY_BYTES;
    if (EVP_Digest(text.at, text.len, ret, &n, EVP_sha256(), NULL) != 1)
        memset(ret, 0, KEY_BYTES);
}

/* Keeps the relay's request for person and answers 202 once it is on disk. */
static void message_store(struct relay *relay)
{
    struct bk_core *core = relay->shard->core;
    struct bk_person *person = relay->person;
    struct bk_sip_head head;
    struct bk_sip_fault fault;

    if (relay->storing || relay->stored || relay->answered)
        return;
    struct bk_sip_msg *msg = core_msg_push(core);
    if (!msg || bk_sip_msg_parse(msg, relay->copy, &fault) < 0 ||
        bk_sip_msg_check(msg, &head, &fault) < 0) {
        if (msg)
            core_msg_pop(core);
        relay_refuse(relay, 505, 0);
        return;
    }
    unsigned refusal = 0;
    struct bk_user user;
    int64_t n = 0, bytes = 0;
    struct bk_view content_type = bk_sip_msg_value(msg, BK_SIP_HDR_CONTENT_TYPE);
    bool known =
        bk_store_user(core->config.store, bk_person_address(person), &core->arena, &user) == 0;
    if (!known || bk_judge_account(&user, bk_directory_tenant(core->directory, user.tenant_id),
                                   core_real(core)))
        refusal = 501;
    else if (!bk_policy_switch(core->directory, &user, BK_POLICY_OFFLINE_MESSAGES) ||
             is_ephemeral(content_type))
        refusal = 510;
    else if (bk_store_offline_count(core->config.store, bk_person_address(person), &n, &bytes) < 0)
        refusal = 505;
    else if (n >= bk_policy_number(core->directory, &user, BK_POLICY_OFFLINE_MESSAGES_MAX) ||
             bytes + (int64_t)msg->body.len > core->config.limits.offline_bytes_max)
        refusal = 502;
    struct stored *s = refusal ? NULL : malloc(sizeof *s);
    struct bk_store_batch *batch = s ? bk_store_batch_create() : NULL;
    if (batch) {
        unsigned char key[KEY_BYTES];
        struct bk_view rest = bk_sip_msg_value(msg, BK_SIP_HDR_FROM);
        struct bk_sip_addr from = { 0 };
        bk_sip_addr_next(&rest, &from);
        key_text(&head, &core->out2);
        sha256(bk_buf_view(&core->out2), key);
        struct bk_offline_message row = {
            .rcpt = bk_person_address(person),
            .sender = relay->sender,
            .sender_display = from.display,
            .key = { (const char *)key, sizeof key },
            .call_id = head.call_id,
            .from_tag = head.from_tag,
            .to_uri = head.to_uri,
            .cseq = head.cseq,
            .content_type = content_type,
            .body = msg->body,
            .at = core_real(core),
        };
        bk_store_put_offline(batch, &row);
        *s = (struct stored){ relay->shard, relay, person };
        relay->storing = true;
        person->holds++;
        if (bk_store_commit(core->config.store, batch, store_done, s) < 0) {
            relay->storing = false;
            person->holds--;
            refusal = 505;
        }
    } else if (!refusal) {
        refusal = 505;
    }
    core_msg_pop(core);
    if (refusal) {
        free(s);
        core->metrics[BK_METRIC_MESSAGES_REFUSED]++;
        key_answered(relay, 0);
        relay_refuse(relay, refusal, 0);
    }
}

/* ---- a message on its way ---- */

static void patience_ends(struct bk_timer *timer)
{
    struct relay *relay = bk_container_of(timer, struct relay, timer);
    relay->calls++;
    message_store(relay);
    relay->calls--;
    relay_release(relay);
}

static void forget_forks(struct relay *relay)
{
    for (int i = 0; i < relay->n_forks; i++) {
        if (relay->forks[i].tx)
            bk_sip_tx_forget(relay->forks[i].tx);
        relay->forks[i].tx = NULL;
    }
}

/* An endpoint took a message that is stored: it must not come again. */
static void drop_stored(struct relay *relay)
{
    struct bk_core *core = relay->shard->core;
    struct bk_sip_head head;
    struct bk_sip_fault fault;
    struct bk_sip_msg *msg = core_msg_push(core);
    if (!msg)
        return;
    if (bk_sip_msg_parse(msg, relay->copy, &fault) == 0 &&
        bk_sip_msg_check(msg, &head, &fault) == 0) {
        unsigned char key[KEY_BYTES];
        key_text(&head, &core->out2);
        sha256(bk_buf_view(&core->out2), key);
        struct bk_store_batch *batch = bk_store_batch_create();
        if (batch) {
            bk_store_drop_offline_key(batch, bk_person_address(relay->person),
                                      (struct bk_view){ (const char *)key, sizeof key });
            bk_store_commit(core->config.store, batch, NULL, NULL);
        }
    }
    core_msg_pop(core);
}

bool message_is_passing(int status)
{
    return status == 0 || status == 408 || status == 430 || status == 480 || status == 481 ||
           status == 486 || (status >= 500 && status < 600);
}

static void message_undelivered(struct relay *relay)
{
    if (relay->answered || relay->storing || relay->stored)
        return;
    if (message_is_passing(relay->best_status)) {
        message_store(relay);
        return;
    }
    relay->shard->core->metrics[BK_METRIC_MESSAGES_REFUSED]++;
    key_answered(relay, 0);
    relay->answered = true;
    if (!relay->server)
        return; /* the sender's connection went away meanwhile: nobody waits for it */
    if (relay->origin.len || relay->renamed || !relay->best.len) {
        relay_answer(relay, relay->best_status, (struct bk_view){ 0 });
        return;
    }
    bk_sip_tx_respond(relay->server, relay->best_status, bk_buf_view(&relay->best));
    bk_sip_tx_forget(relay->server);
    relay->server = NULL;
}

/* An endpoint has it. msg: its answer; NULL: it took it in a session. */
static void message_taken(struct relay *relay, int status, const struct bk_sip_msg *msg)
{
    struct bk_core *core = relay->shard->core;
    bk_timer_disarm(core->config.timers, &relay->timer);
    if (relay->stored || relay->storing) {
        drop_stored(relay); /* in order behind the storing: one writer */
        return;
    }
    if (relay->answered)
        return;
    core->metrics[BK_METRIC_MESSAGES_DELIVERED]++;
    key_answered(relay, status);
    if (msg)
        relay_pass(relay, msg);
    else
        relay_answer(relay, status, (struct bk_view){ 0 });
    relay->answered = true;
    forget_forks(relay); /* the others get it too; what they say changes nothing */
}

/* What became of a message that went through a session. */
static void session_done(void *ctx, int status)
{
    struct relay_fork *fork = ctx;
    struct relay *relay = fork->relay;

    relay->in_sessions--;
    relay->n_open--;
    relay->calls++;
    fork->done = true;
    if (status >= 200 && status < 300) {
        message_taken(relay, status, NULL);
    } else {
        if (!relay->best_status || !message_is_passing(status)) {
            relay->best_status = status;
            bk_buf_clear(&relay->best);
        }
        if (relay->n_open == 0)
            message_undelivered(relay);
    }
    relay->calls--;
    relay_release(relay);
}

static void send_in_session(struct relay *relay, const struct request *rq,
                            const struct bk_binding *b)
{
    struct relay_fork *fork = &relay->forks[relay->n_forks];
    struct bk_view rest = bk_sip_msg_value(rq->msg, BK_SIP_HDR_FROM);
    struct bk_sip_addr from = { 0 };

    bk_sip_addr_next(&rest, &from);
    fork->relay = relay;
    fork->link = b->link;
    int r = ms_session_send(relay->shard, b, rq->identity, from.display, 0,
                            bk_sip_msg_value(rq->msg, BK_SIP_HDR_CONTENT_TYPE), rq->msg->body,
                            session_done, fork);
    if (r == 0) {
        relay->n_forks++;
        relay->n_open++;
        relay->in_sessions++;
    } else if (r == -ENOTSUP && !relay->best_status) {
        relay->best_status = 415;
    }
}

/* That somebody types, or read it: for who is there now. The Lync dialect says the former its own way and the latter not at all. */
static void pass_ephemeral(struct relay *relay, const struct request *rq,
                           const struct bk_binding *b)
{
    enum bk_ms_typing typing = bk_ms_composing_parse(rq->msg->body);
    if (typing != BK_MS_TYPING_NO_WORD)
        ms_session_typing(relay->shard, b, rq->identity, typing == BK_MS_TYPING_ON);
}

void message_response(struct relay *relay, struct relay_fork *fork, const struct bk_sip_msg *msg)
{
    if (msg->status < 200)
        return;
    if (!fork->done) {
        fork->done = true;
        relay->n_open--;
    }
    if (msg->status < 300) {
        message_taken(relay, msg->status, msg);
        return;
    }
    if (!relay->best_status || !message_is_passing(msg->status)) {
        struct bk_sip_edit edit;
        bk_sip_edit_begin(&edit, msg);
        bk_sip_edit_pop(&edit, bk_sip_msg_field(msg, BK_SIP_HDR_VIA));
        bk_buf_clear(&relay->best);
        bk_sip_edit_write(&edit, &relay->best);
        relay->best_status = relay->best.failed ? 0 : msg->status;
    }
    if (relay->n_open == 0)
        message_undelivered(relay);
}

void message_fork_failed(struct relay *relay)
{
    if (relay->n_open == 0)
        message_undelivered(relay);
}

void handle_message(struct request *rq)
{
    struct bk_core *core = rq->core;
    struct shard *shard = rq->shard;
    int64_t now = core_now(core);

    if (rq->msg->body.len > (size_t)core->config.limits.message_body_max) {
        refuse(rq, 503, 0, 413, NULL);
        return;
    }
    uint64_t hash = key_hash(core, rq->head);
    struct message_key *key = key_find(shard, hash);
    if (key && key->status) {
        answer(rq, key->status, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        return;
    }
    struct bk_person *person = bk_state_person(shard->state, rq->target, true);
    if (!person) {
        refuse(rq, 404, 0, 503, NULL);
        return;
    }
    person->server = shard;
    person->holds++;
    presence_load(core, person);
    int n = person->n_bindings < core->config.limits.forks_max ? person->n_bindings
                                                               : core->config.limits.forks_max;
    if (!person->loaded) { /* the store cannot say whom this person blocks */
        refuse(rq, 404, 0, 503, NULL);
        goto out;
    }
    if (presence_relation(core, person, rq->identity) >= RELATION_BLOCKED) {
        core->metrics[BK_METRIC_MESSAGES_REFUSED]++;
        char address[BK_SIP_AOR_MAX + 1];
        snprintf(address, sizeof address, "%s", person->address);
        const char *values[] = { "address", address, NULL };
        refuse(rq, 504, 0, 0, values);
        goto out;
    }
    if (key) /* sent again before it was answered: the newer delivery answers, under the same key */
        key_free(shard, key);
    struct relay *relay = relay_create(rq, RELAY_MESSAGE, person, n);
    if (!relay)
        goto out;
    relay->timer.fire = patience_ends;
    relay->key = key_add(shard, hash, now);
    if (relay->key)
        relay->key->relay = relay;
    relay->calls++;
    /* While older messages are being handed over, this one waits behind them. */
    bool ephemeral = is_ephemeral(bk_sip_msg_value(rq->msg, BK_SIP_HDR_CONTENT_TYPE)),
         heard = false;
    uint8_t gruu[16];
    bool one = ms_gruu_of(rq->msg, gruu);
    if (!person->draining)
        BK_LIST_EACH(&person->bindings, it)
        {
            struct bk_binding *b = bk_container_of(it, struct bk_binding, in_person);
            if (one && !ms_is_endpoint(b, gruu))
                continue;
            if (wants_sessions(b) && ephemeral) {
                pass_ephemeral(relay, rq, b);
                heard = true;
            } else if (relay->n_forks == n) {
                continue;
            } else if (wants_sessions(b)) {
                send_in_session(relay, rq, b);
            } else {
                relay->rename = wants_own_call_id(b, rq->head->cseq);
                relay_add(relay, rq, b->link, b->reliable, b->contact, (struct bk_view){ 0 }, true);
            }
        }
    if (relay->n_open)
        bk_timer_arm(core->config.timers, &relay->timer, now + core->config.limits.message_wait_ms);
    else if (heard)
        message_taken(relay, 200, NULL);
    else
        message_undelivered(relay);
    relay->calls--;
    relay_release(relay);
out:
    person->holds--;
    bk_state_settle(person);
}

/* ---- handing over what was stored ---- */

struct drain {
    struct bk_list in_shard;
    struct bk_person *person; /* held */
    uint64_t link;            /* the endpoint that is served */
    bool reliable;
    int64_t last_id;
    struct bk_sip_tx *tx;
    bool sent; /* one is on its way */
};

static void drain_next(struct drain *d);

static void drain_end(struct drain *d, bool again)
{
    struct bk_person *person = d->person;
    if (d->tx)
        bk_sip_tx_forget(d->tx);
    bk_list_remove(&d->in_shard);
    free(d);
    person->draining = false;
    if (again && person->n_bindings)
        drain_later(person);
    person->holds--;
    bk_state_settle(person);
}

void drains_destroy(struct shard *shard)
{
    while (!bk_list_empty(&shard->drains)) {
        struct drain *d = bk_container_of(shard->drains.next, struct drain, in_shard);
        if (d->tx)
            bk_sip_tx_forget(d->tx);
        bk_list_remove(&d->in_shard);
        d->person->holds--;
        free(d);
    }
}

/* ctx: the drain; also what a session tells. */
static void drain_answered(void *ctx, int status)
{
    struct drain *d = ctx;
    struct bk_core *core = person_shard(d->person)->core;
    if (message_is_passing(status)) {
        drain_end(d, true);
        return;
    }
    if (status < 300) {
        struct bk_store_batch *batch = bk_store_batch_create();
        if (batch) {
            bk_store_drop_offline(batch, d->last_id);
            bk_store_commit(core->config.store, batch, NULL, NULL);
        }
        core->metrics[BK_METRIC_MESSAGES_DELIVERED]++;
    } /* else: this endpoint cannot show it; it stays for another */
    drain_next(d);
}

static void drain_response(struct bk_sip_tx *tx, void *user, const struct bk_sip_msg *msg)
{
    struct drain *d = user;
    if (msg->status < 200)
        return;
    bk_sip_tx_forget(tx);
    d->tx = NULL;
    drain_answered(d, msg->status);
}

static void drain_failed(struct bk_sip_tx *tx, void *user, enum bk_sip_tx_failure why)
{
    struct drain *d = user;
    (void)why;
    bk_sip_tx_forget(tx);
    d->tx = NULL;
    drain_end(d, true);
}

static const struct bk_sip_tx_user drain_user = { .response = drain_response,
                                                  .failed = drain_failed };

struct drain_pick {
    struct drain *d;
    const struct bk_binding *to;
    struct link *link;
};

/* The same to an endpoint that takes messages in sessions only. False: no row after this one now. */
static bool drain_row_session(struct drain_pick *pick, const struct bk_offline_message *row)
{
    struct drain *d = pick->d;
    struct shard *shard = person_shard(d->person);

    /* One that is older may still be on its way there: this drain tries again later. */
    if (ms_session_busy(shard, pick->to, row->sender))
        return false;
    d->last_id = row->id;
    int r = ms_session_send(shard, pick->to, row->sender, row->sender_display, row->at,
                            row->content_type, row->body, drain_answered, d);
    d->sent = r == 0;
    return r == -ENOTSUP; /* this endpoint cannot show it: the next one */
}

static bool drain_row(void *ctx, const struct bk_offline_message *row)
{
    struct drain_pick *pick = ctx;
    struct drain *d = pick->d;
    if (wants_sessions(pick->to))
        return drain_row_session(pick, row);
    struct shard *shard = person_shard(d->person);
    struct bk_core *core = shard->core;
    struct bk_sip_flow flow = { d->link, d->reliable };

    if (bk_sip_tx_client_create(shard->txs, flow, BK_SIP_MESSAGE, &drain_user, d, &d->tx) < 0)
        return false;
    struct bk_buf *out = &core->out;
    char date[32];
    bk_buf_clear(out);
    bk_sip_request_begin(out, BK_VIEW("MESSAGE"), pick->to->contact);
    bk_buf_add_lit(out, "Via: ");
    core_via_head(core, pick->link, out);
    bk_buf_add_lit(out, ";branch=");
    bk_buf_add_view(out, bk_sip_tx_branch(d->tx));
    bk_buf_add_lit(out, "\r\nMax-Forwards: 70\r\nFrom: ");
    if (row->sender_display.len) {
        bk_sip_quote(out, row->sender_display);
        bk_buf_add_char(out, ' ');
    }
    bk_buf_addf(out, "<sip:%.*s>;tag=%.*s\r\nTo: <%.*s>\r\nCall-ID: %.*s",
                BK_VIEW_ARGS(row->sender), BK_VIEW_ARGS(row->from_tag), BK_VIEW_ARGS(row->to_uri),
                BK_VIEW_ARGS(row->call_id));
    if (wants_own_call_id(pick->to, row->cseq))
        bk_buf_addf(out, "-%u", row->cseq);
    bk_buf_addf(out, "\r\nCSeq: %u MESSAGE\r\n", row->cseq);
    bk_time_http(row->at, date);
    bk_sip_field_add(out, BK_SIP_HDR_DATE, bk_view_of_str(date));
    bk_sip_end(out, row->content_type, row->body);
    d->last_id = row->id;
    if (out->failed) {
        bk_sip_tx_forget(d->tx);
        d->tx = NULL;
        return true; /* unreadable row: the next one */
    }
    d->sent = true;
    bk_sip_tx_start(d->tx, bk_buf_view(out));
    return false;
}

static struct bk_binding *newest_binding(struct bk_person *person)
{
    struct bk_binding *newest = NULL;
    BK_LIST_EACH(&person->bindings, it)
    {
        struct bk_binding *b = bk_container_of(it, struct bk_binding, in_person);
        if (!newest || b->epoch > newest->epoch)
            newest = b;
    }
    return newest;
}

static void drain_next(struct drain *d)
{
    struct bk_person *person = d->person;
    struct bk_core *core = person_shard(person)->core;
    struct bk_binding *to = newest_binding(person);
    struct link *link = to ? core_link(core, to->link) : NULL;
    if (!link) {
        drain_end(d, true);
        return;
    }
    d->link = to->link;
    d->reliable = to->reliable;
    d->sent = false;
    struct drain_pick pick = { d, to, link };
    struct bk_arena arena = { 0 };
    int n = bk_store_offline(core->config.store, bk_person_address(person), d->last_id, 16, &arena,
                             drain_row, &pick);
    bk_arena_finish(&arena);
    if (d->sent)
        return;
    if (n == 0)
        person->has_stored = false;
    drain_end(d, n != 0);
}

static void drain_timer(struct bk_timer *timer)
{
    message_drain(bk_container_of(timer, struct bk_person, drain_timer));
}

void message_drain(struct bk_person *person)
{
    struct shard *shard = person_shard(person);
    struct bk_core *core = shard->core;

    person->drain_timer.fire = drain_timer;
    if (!person->n_bindings || person->draining)
        return;
    if (!person->store_checked) {
        int64_t n, bytes;
        if (bk_store_offline_count(core->config.store, bk_person_address(person), &n, &bytes) ==
            0) {
            person->store_checked = true;
            person->has_stored = n > 0;
        }
    }
    if (!person->has_stored)
        return;
    struct drain *d = calloc(1, sizeof *d);
    if (!d)
        return;
    d->person = person;
    person->holds++;
    person->draining = true;
    bk_list_append(&shard->drains, &d->in_shard);
    drain_next(d);
}
