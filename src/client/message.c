/* SPDX-License-Identifier: Apache-2.0 */
/* MESSAGE on its way out (RFC 3428), exactly once: one key for all sendings, in a session or alone (conversation.h). */
#include "base/cleanup.h"
#include "base/text.h"
#include "client/client_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUSY_AGAIN_MS = 2000 };

struct bk_outgoing {
    struct bk_list in;
    struct bk_client *client;
    uint64_t id;
    char to[BK_SIP_AOR_MAX + 1];
    char *text;
    char call_id[BK_OUTBOX_CALL_ID + 1], tag[BK_OUTBOX_TAG + 1]; /* as it is called on disk */
    struct bk_outbox_key
        key;          /* the same however often it is sent; none: the two above, with CSeq 1 */
    int64_t until_ms; /* 0: it never went out, so it may wait as long as it takes */
    bool out;     /* it may have arrived under its key: it is repeated alone, and in no other way */
    bool waits;   /* for its turn in a session */
    bool inside;  /* it is on its way in one */
    bool refused; /* by one that the other side had forgotten: once */
    bool on_disk;
    bool kept;            /* from an earlier run */
    bool lost;            /* and too old to be sent again */
    struct bk_event *end; /* what its end will be told with: there is always memory for that */
    struct bk_ask *ask;
    struct bk_timer again;
};

static struct bk_event *new_event(struct bk_outgoing *m)
{
    struct bk_event *event = bk_event_new(m->client, BK_CLIENT_EVENT_MESSAGE_STATE);
    if (!event)
        return NULL;
    event->pub.message_state.id = m->id;
    event->pub.message_state.to = bk_event_text(event, m->to);
    event->pub.message_state.kept = m->kept;
    event->pub.message_state.text = m->kept ? bk_event_text(event, m->text) : "";
    if (!*event->pub.message_state.to) { /* better not at all than about nobody */
        bk_event_free(event);
        return NULL;
    }
    return event;
}

static void tell_sending(struct bk_outgoing *m)
{
    struct bk_event *event = new_event(m);
    if (!event)
        return;
    event->pub.message_state.state = BK_CLIENT_SENDING;
    bk_event_post(m->client, event);
}

static void tell_end(struct bk_outgoing *m, enum bk_client_message_state state,
                     const struct bk_fault *fault)
{
    struct bk_event *event = BK_TAKE(m->end);
    event->pub.at_ms = bk_client_real(m->client);
    event->pub.message_state.state = state;
    if (fault) {
        struct bk_client_failure *failure = bk_arena_alloc(&event->arena, sizeof *failure);
        if (failure &&
            bk_fault_tell(fault, NULL, m->to, strchr(m->to, '@') + 1, &event->arena, failure) == 0)
            event->pub.message_state.failure = failure;
    }
    bk_event_post(m->client, event);
}

void bk_message_free(struct bk_outgoing *m)
{
    if (!m)
        return;
    if (m->end)
        bk_event_free(m->end);
    free(m->text);
    free(m);
}

/* Out of the list, not off the disk. */
static void drop_outgoing(struct bk_outgoing *m)
{
    struct bk_client *c = m->client;
    bk_ask_drop(m->ask);
    bk_timer_disarm(bk_client_timers(c), &m->again);
    bk_list_remove(&m->in);
    c->n_messages--;
    c->message_bytes -= strlen(m->text);
    bk_message_free(m);
}

static size_t others_on_disk(const struct bk_outgoing *m)
{
    size_t n = m->client->n_left_on_disk;
    BK_LIST_EACH(&m->client->messages, it)
    {
        const struct bk_outgoing *other = bk_container_of(it, struct bk_outgoing, in);
        n += other != m && other->on_disk;
    }
    return n;
}

static void log_disk(struct bk_client *c, const char *what, int r)
{
    if (r < 0)
        bk_log(c->log, BK_LOG_WARNING, "the outbox cannot be written", "what", what, "error",
               strerror(-r));
}

/* Off the disk before it is told: what was told is not sent again by the next start. */
static void finish(struct bk_outgoing *m, enum bk_client_message_state state,
                   const struct bk_fault *fault)
{
    struct bk_client *c = m->client;
    if (m->on_disk && c->profile_open)
        log_disk(c, "end", bk_outbox_remove(&c->profile, m->call_id, others_on_disk(m)));
    tell_end(m, state, fault);
    drop_outgoing(m);
}

/* What a refusal means where it carries no record. */
static const struct bk_record *record_of_status(int status)
{
    switch (status) {
    case 413:
        return bk_record_find(503, 0);
    case 482:
        return bk_record_find(506, 0);
    case 483:
        return bk_record_find(507, 0);
    default:
        return bk_record_find(status >= 500 && status < 600 ? 505 : 501, 0);
    }
}

static bool may_pass(int status)
{
    return status == 503 || status == 500 || status == 504 || status == 408 || status == 401;
}

static void send_again(struct bk_outgoing *m, int after_ms)
{
    bk_timer_arm(bk_client_timers(m->client), &m->again, bk_client_now(m->client) + after_ms);
}

static void on_answered(void *owner, const struct bk_sip_msg *msg)
{
    struct bk_outgoing *m = owner;
    struct bk_client *c = m->client;
    struct bk_fault fault;
    bool time_left = bk_client_now(c) < m->until_ms;
    if (!msg && time_left) {
        send_again(m, 0);
        return;
    }
    if (!msg) {
        bk_fault_set(&fault, 302, 0, bk_link_server(c->link)->host, "no answer to the message", "");
        finish(m, BK_CLIENT_FAILED, &fault);
        return;
    }
    if (msg->status == 202) {
        finish(m, BK_CLIENT_STORED, NULL);
        return;
    }
    if (msg->status / 100 == 2) {
        finish(m, BK_CLIENT_SENT, NULL);
        return;
    }
    bk_client_fault_of_refusal(c, msg, &fault);
    bool judged = fault.record && fault.record->category != BK_CATEGORY_SERVICE;
    if (time_left && !judged && may_pass(msg->status)) {
        send_again(m, fault.retry_after_s ? fault.retry_after_s * 1000 : BUSY_AGAIN_MS);
        return;
    }
    if (!fault.record)
        fault.record = record_of_status(msg->status);
    finish(m, BK_CLIENT_FAILED, &fault);
}

/* Nobody took it there, so it may go out under another key: in a new session, and if that happens again, alone. */
static void begin_anew(struct bk_outgoing *m)
{
    m->out = m->inside = false;
    m->waits = !m->refused;
    m->refused = true;
    m->key = (struct bk_outbox_key){ 0 };
    m->until_ms =
        0; /* its life begins anew, and note_sending() writes down the key it goes out under */
    if (!m->waits)
        send_again(m, 0);
}

static void on_answered_inside(void *owner, const struct bk_sip_msg *msg)
{
    struct bk_outgoing *m = owner;
    struct bk_client *c = m->client;
    struct bk_outbox_key key = m->key;
    int status = msg ? msg->status : 0;
    char to[sizeof m->to];
    memcpy(to, m->to, sizeof to); /* m may be gone below */
    m->inside = false;
    if (status == 481 || status == 405)
        begin_anew(m);
    else
        on_answered(m, msg);
    bk_conversation_answered(c, to, &key, status);
}

/* From now on it may arrive. */
static void note_sending(struct bk_outgoing *m, const struct bk_outbox_key *key)
{
    struct bk_client *c = m->client;
    bool known =
        m->until_ms && m->key.cseq == (key ? key->cseq : 0) &&
        (!key || (strcmp(m->key.call_id, key->call_id) == 0 && strcmp(m->key.tag, key->tag) == 0));
    m->out = true;
    if (known)
        return;
    m->key = key ? *key : (struct bk_outbox_key){ 0 };
    if (!m->until_ms)
        m->until_ms = bk_client_now(c) + c->timing.message_life_ms;
    if (m->on_disk)
        log_disk(c, "sending", bk_outbox_sent(&c->profile, m->call_id, bk_client_real(c), key));
}

static void send_alone(struct bk_outgoing *m)
{
    struct bk_client *c = m->client;
    BK_AUTO_BUF struct bk_buf request = { 0 };
    BK_AUTO_BUF struct bk_buf uri = { 0 };
    m->waits = false;
    if (m->ask || c->state != BK_CLIENT_SIGNED_IN)
        return;
    if (!m->out)
        note_sending(m, NULL);
    int r = bk_ask_begin(c->link, BK_SIP_MESSAGE, on_answered, m, &m->ask);
    if (r == -ENOTCONN)
        return; /* it goes with the next connection */
    if (r < 0) {
        send_again(m, c->timing.retry_first_ms);
        return;
    }
    bool keyed = m->key.cseq != 0;
    bk_buf_addf(&uri, "sip:%s", m->to);
    bk_link_request_begin(c->link, m->ask, &request, BK_SIP_MESSAGE, bk_buf_view(&uri));
    bk_sip_field_addf(&request, BK_SIP_HDR_FROM, "<sip:%s>;tag=%s", c->address,
                      keyed ? m->key.tag : m->tag);
    bk_sip_field_addf(&request, BK_SIP_HDR_TO, "<sip:%s>", m->to);
    bk_sip_field_add(&request, BK_SIP_HDR_CALL_ID,
                     bk_view_of_str(keyed ? m->key.call_id : m->call_id));
    bk_sip_field_addf(&request, BK_SIP_HDR_CSEQ, "%u MESSAGE", keyed ? m->key.cseq : 1);
    bk_sip_end(&request, BK_VIEW("text/plain;charset=UTF-8"), bk_view_of_str(m->text));
    if (!request.failed && !uri.failed) {
        bk_ask_send(m->ask, bk_buf_view(&request));
        bk_conversation_talked(c, m->to);
    } else {
        bk_ask_drop(m->ask);
        send_again(m, c->timing.retry_first_ms);
    }
}

/* false: it did not go out, and goes alone. */
static bool send_inside(struct bk_outgoing *m, struct bk_session *s)
{
    struct bk_client *c = m->client;
    struct bk_outbox_key key;
    BK_AUTO_BUF struct bk_buf request = { 0 };
    m->waits = false;
    if (bk_session_key(s, &key) < 0 ||
        bk_ask_begin(c->link, BK_SIP_MESSAGE, on_answered_inside, m, &m->ask) < 0)
        return false;
    note_sending(m, &key);
    bk_session_write(s, m->ask, BK_SIP_MESSAGE, &request);
    bk_sip_end(&request, BK_VIEW("text/plain; charset=UTF-8"), bk_view_of_str(m->text));
    if (request.failed) {
        bk_ask_drop(m->ask);
        return false;
    }
    m->inside = true;
    bk_ask_send(m->ask, bk_buf_view(&request));
    return true;
}

static struct bk_outgoing *first_that_waits(struct bk_client *c, const char *address)
{
    BK_LIST_EACH(&c->messages, it)
    {
        struct bk_outgoing *m = bk_container_of(it, struct bk_outgoing, in);
        if (m->waits && strcmp(m->to, address) == 0)
            return m;
    }
    return NULL;
}

bool bk_message_waits(struct bk_client *c, const char *address)
{
    return first_that_waits(c, address) != NULL;
}

bool bk_message_next(struct bk_client *c, const char *address, struct bk_session *s)
{
    struct bk_outgoing *m;
    while ((m = first_that_waits(c, address))) {
        if (send_inside(m, s))
            return true;
        send_alone(m);
    }
    return false;
}

void bk_message_go_alone(struct bk_client *c, const char *address)
{
    struct bk_outgoing *m;
    while ((m = first_that_waits(c, address)))
        send_alone(m);
}

static void send_message(struct bk_outgoing *m)
{
    struct bk_client *c = m->client;
    if (m->ask || m->waits || c->state != BK_CLIENT_SIGNED_IN)
        return;
    if (!m->out && !m->refused) {
        m->waits = true;
        if (bk_conversation_take(c, m->to))
            return;
    }
    send_alone(m);
}

static void on_again(struct bk_timer *timer)
{
    send_message(bk_container_of(timer, struct bk_outgoing, again));
}

/* Nobody is signed in, and nobody is on the way to it. */
static bool is_hopeless(const struct bk_client *c)
{
    return c->state == BK_CLIENT_IDLE || c->state == BK_CLIENT_SIGNED_OUT ||
           c->state == BK_CLIENT_SIGNING_OUT;
}

static void fault_of_sign_out(struct bk_fault *fault, const char *text)
{
    *fault = (struct bk_fault){ 0 };
    (void)snprintf(fault->text, sizeof fault->text, "%s", text);
}

struct bk_outgoing *bk_message_new(struct bk_client *c, uint64_t id, const char *to,
                                   const char *text)
{
    struct bk_outgoing *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    bk_list_init(&m->in);
    bk_timer_init(&m->again, on_again);
    m->client = c;
    m->id = id;
    m->text = strdup(text);
    (void)snprintf(m->to, sizeof m->to, "%s", to);
    m->end = new_event(m);
    if (!m->text || !m->end) {
        bk_message_free(m);
        return NULL;
    }
    return m;
}

static void make_message_key(struct bk_client *c, struct bk_outgoing *m)
{
    bk_random_hex(c->random, BK_OUTBOX_CALL_ID / 2, m->call_id);
    bk_random_hex(c->random, BK_OUTBOX_TAG / 2, m->tag);
}

static void enqueue(struct bk_client *c, struct bk_outgoing *m)
{
    bk_list_append(&c->messages, &m->in);
    c->n_messages++;
    c->message_bytes += strlen(m->text);
}

static void put_on_disk(struct bk_client *c, struct bk_outgoing *m)
{
    struct bk_outbox_row row = { .text = m->text, .written_ms = bk_client_real(c) };
    memcpy(row.to, m->to, sizeof row.to);
    memcpy(row.call_id, m->call_id, sizeof row.call_id);
    memcpy(row.tag, m->tag, sizeof row.tag);
    bool signed_in = c->state == BK_CLIENT_SIGNED_IN;
    bool inside = signed_in && bk_conversation_key(c, m->to, &row.key);
    if (inside || (signed_in && !c->speaks_dialect)) { /* it goes out now: one line says both */
        row.sent_ms = row.written_ms;
        m->key = row.key;
        m->until_ms = bk_client_now(c) + c->timing.message_life_ms;
    }
    int r = bk_outbox_add(&c->profile, &row);
    m->on_disk = r == 0 && c->profile.dir;
    log_disk(c, "message", r); /* it is sent all the same, only a crash would lose it */
}

void bk_message_submit(struct bk_client *c, struct bk_outgoing *m)
{
    struct bk_fault fault;
    make_message_key(c, m);
    enqueue(c, m);
    if (is_hopeless(c)) {
        tell_sending(m);
        fault_of_sign_out(&fault, BK_SAY("You are not signed in, so the message was not sent."));
        finish(m, BK_CLIENT_FAILED, &fault);
        return;
    }
    if (c->n_messages > BK_OUTBOX_MAX || c->message_bytes > BK_OUTBOX_BYTES_MAX) {
        tell_sending(m);
        fault_of_sign_out(
            &fault, BK_SAY("Too many messages wait for the connection already, so this one was "
                           "not taken."));
        finish(m, BK_CLIENT_FAILED, &fault);
        return;
    }
    if (c->profile_open)
        put_on_disk(c, m);
    tell_sending(m);
    send_message(m);
}

/* ---- what an earlier run of the program left ---- */

static void take_kept(void *ctx, const struct bk_outbox_row *row)
{
    struct bk_client *c = ctx;
    uint64_t id = atomic_fetch_add(&c->next_message_id, 1) + 1;
    struct bk_outgoing *m = bk_message_new(c, id, row->to, row->text);
    if (!m) { /* it stays there for the next start */
        c->n_left_on_disk++;
        return;
    }
    memcpy(m->call_id, row->call_id, sizeof m->call_id);
    memcpy(m->tag, row->tag, sizeof m->tag);
    m->key = row->key;
    m->out = row->sent_ms != 0;
    m->on_disk = m->kept = true;
    m->end->pub.message_state.kept = true;
    m->end->pub.message_state.text = bk_event_text(m->end, m->text);
    int64_t age = bk_client_real(c) - row->sent_ms;
    m->lost = row->sent_ms && (age < 0 || age >= c->timing.message_life_ms);
    if (row->sent_ms && !m->lost)
        m->until_ms = bk_client_now(c) + c->timing.message_life_ms - age;
    enqueue(c, m);
    tell_sending(m);
}

/*
 * Within its life the server still knows the key, so a message can be sent again without being doubled. After that nobody
 * can tell whether it arrived, and the person decides.
 */
void bk_message_load(struct bk_client *c)
{
    struct bk_fault fault;
    c->n_left_on_disk = 0;
    log_disk(c, "load", bk_outbox_load(&c->profile, take_kept, c));
    fault_of_sign_out(
        &fault,
        BK_SAY("The app ended while this message was being sent, so it is not known whether "
               "it arrived."));
    BK_LIST_EACH(&c->messages, it)
    {
        struct bk_outgoing *m = bk_container_of(it, struct bk_outgoing, in);
        if (m->lost)
            finish(m, BK_CLIENT_FAILED, &fault);
    }
}

void bk_message_flush(struct bk_client *c)
{
    BK_LIST_EACH(&c->messages, it)
    send_message(bk_container_of(it, struct bk_outgoing, in));
}

void bk_message_reset(struct bk_client *c)
{
    BK_LIST_EACH(&c->messages, it)
    {
        struct bk_outgoing *m = bk_container_of(it, struct bk_outgoing, in);
        bk_ask_drop(m->ask);
        m->waits = m->inside = false;
        bk_timer_disarm(bk_client_timers(c), &m->again);
    }
    bk_conversations_reset(c);
}

void bk_message_fail_all(struct bk_client *c)
{
    struct bk_fault fault;
    fault_of_sign_out(&fault, BK_SAY("You were signed out before the message was sent."));
    BK_LIST_EACH(&c->messages, it)
    finish(bk_container_of(it, struct bk_outgoing, in), BK_CLIENT_FAILED, &fault);
}

void bk_message_end(struct bk_client *c)
{
    bk_conversations_reset(c);
    BK_LIST_EACH(&c->messages, it)
    drop_outgoing(bk_container_of(it, struct bk_outgoing, in));
    bk_message_forget_shows(c);
}
