/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plays a small organisation against the server core from one seed: people sign in, write, publish, watch, block
 * each other, move and vanish; the network delays, splits and cuts; the store is slow; the server is killed; the clock steps. In the
 * end everything heals, and it must hold that
 *   1. nothing acknowledged is lost: each message answered 200 or 202 was shown, or is still stored;
 *   2. nothing is shown twice by a client that keeps the keys it has shown;
 *   3. presence converges: each watcher's last document says what is so;
 *   4. nobody is told what policy forbids: whom somebody blocks, he sees offline and his messages are not shown.
 *
 * usage: sim [--seeds FROM-TO] [--seed N] [--shards N] [--trace]
 * A failing seed is printed and replays exactly: every run is done from nothing but its seed.
 */
#include "base/text.h"
#include "sip/frame.h"
#include "tests/fakes/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PEOPLE = 4,
    CLIENTS = 6, /* the first two people have two endpoints */
    MESSAGES_MAX = 400,
    STEPS = 700,
    CONNS_MAX = 512,
    ACK_PATIENCE_MS = 32000,
};

/* A server that is killed frees nothing: what waited for the disk then is nobody's any more. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:message_store\nleak:store_manual\n";
}

static const char *const names[PEOPLE] = { "ann", "bob", "cyd", "dan" };

struct packet {
    struct packet *next;
    int64_t at;
    bool closes; /* the far end learns that the connection is gone */
    size_t len;
    char bytes[];
};

struct pipe {
    struct packet *first, **end;
    int64_t last_at;
};

struct conn {
    struct sim *sim;
    struct world_link *link; /* NULL: the server does not have it any more */
    struct client *client;   /* NULL: the client gave it up */
    struct pipe to_server, to_client;
    struct bk_buf at_server, at_client;
    bool cut; /* nothing passes any more, silently */
    int64_t server_notices_at;
};

struct message {
    int from, to; /* people */
    int sender;   /* client that sends it (again) until it is acknowledged */
    int status;   /* last final answer; 0: none yet */
    int64_t sent_at;
    int tries;
    bool blocked_all_along; /* the receiver blocked the sender before it was sent and ever since */
};

enum state { OFF, CHALLENGED, REGISTERING, ON };

struct client {
    struct sim *sim;
    int id, person;
    enum state state;
    struct conn *conn;
    int cseq, dialogs;
    int64_t registered_at, tried_at;
    char authorization[512];
    bool shown[MESSAGES_MAX]; /* its profile: survives its own restarts */
    int shown_times[MESSAGES_MAX];
    int manual; /* as last published and acknowledged: 0 none, 1 busy, 2 dnd */
    int wanted_manual;
    bool publish_pending;
    char etag[64];
    char seen[PEOPLE][32]; /* the last state it was told of each person */
    bool watching[PEOPLE];
    int64_t watch_at[PEOPLE];
};

struct sim {
    uint64_t seed;
    struct bk_random_seeded dice_state;
    struct bk_random dice;
    struct world *world;
    unsigned shards;
    bool trace, healing;
    struct client clients[CLIENTS];
    struct conn *conns[CONNS_MAX];
    int n_conns;
    struct message messages[MESSAGES_MAX];
    int n_messages;
    bool blocks[PEOPLE][PEOPLE]; /* [who][whom], as committed */
    int64_t commits_held_until;
    int kills, cuts, steps;
    uint64_t hash; /* of everything that happened */
    const char *broken;
    char why[256];
};

/* ---- small things ---- */

static uint64_t roll(struct sim *s, uint64_t sides)
{
    return bk_random_u64(&s->dice) % sides;
}

static void note(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct sim *s, const char *format, ...)
{
    char line[512];
    va_list args;
    struct bk_hash_key key = { 3, 4 };
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    s->hash = s->hash * 1099511628211u ^
              bk_hash(&key, (struct bk_view){ line, (size_t)n < sizeof line ? (size_t)n
                                                                            : sizeof line - 1 });
    if (s->trace)
        printf("%9lld %s\n", (long long)s->world->mono_ms, line);
}

static void broken(struct sim *s, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void broken(struct sim *s, const char *what, const char *format, ...)
{
    va_list args;
    if (s->broken)
        return;
    s->broken = what;
    va_start(args, format);
    vsnprintf(s->why, sizeof s->why, format, args);
    va_end(args);
    if (s->trace)
        printf("%9lld BROKEN %s: %s\n", (long long)s->world->mono_ms, what, s->why);
}

/* ---- network ---- */

static void pipe_put(struct sim *s, struct pipe *p, struct bk_view bytes, bool closes)
{
    struct packet *packet = malloc(sizeof *packet + bytes.len);
    if (!packet)
        abort();
    int64_t delay = s->healing         ? 1
                    : roll(s, 10) == 0 ? (int64_t)roll(s, 2000)
                                       : (int64_t)roll(s, 30);
    packet->next = NULL;
    packet->at = s->world->mono_ms + delay;
    if (packet->at < p->last_at)
        packet->at = p->last_at; /* a stream keeps its order */
    p->last_at = packet->at;
    packet->closes = closes;
    packet->len = bytes.len;
    if (bytes.len)
        memcpy(packet->bytes, bytes.at, bytes.len);
    if (!p->end)
        p->end = &p->first;
    *p->end = packet;
    p->end = &packet->next;
}

/* In pieces, as a network likes it. */
static void pipe_write(struct sim *s, struct pipe *p, struct bk_view bytes)
{
    while (bytes.len) {
        size_t n = roll(s, 4) ? bytes.len : 1 + roll(s, bytes.len);
        pipe_put(s, p, bk_view_head(bytes, n), false);
        bytes = bk_view_skip(bytes, n);
    }
}

static struct packet *pipe_take(struct pipe *p, int64_t now)
{
    struct packet *packet = p->first;
    if (!packet || packet->at > now)
        return NULL;
    p->first = packet->next;
    if (!p->first)
        p->end = &p->first;
    return packet;
}

static void pipe_empty(struct pipe *p)
{
    for (struct packet *packet; (packet = pipe_take(p, INT64_MAX));)
        free(packet);
}

static void from_server(struct world_link *link, struct bk_view bytes)
{
    struct conn *conn = link->owner;
    if (!conn->cut)
        pipe_write(conn->sim, &conn->to_client, bytes);
}

static struct conn *dial(struct sim *s, struct client *client)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn || s->n_conns == CONNS_MAX)
        abort();
    conn->sim = s;
    conn->client = client;
    conn->link = world_connect(s->world, BK_LINK_TLS);
    conn->link->arrived = from_server;
    conn->link->owner = conn;
    s->conns[s->n_conns++] = conn;
    return conn;
}

static void server_loses(struct conn *conn, enum bk_link_end why)
{
    if (!conn->link)
        return;
    world_disconnect(conn->link, why);
    conn->link = NULL;
    world_settle(conn->sim->world);
}

/* ---- what clients say ---- */

static void say(struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct client *c, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0)
        abort();
    if (c->conn && !c->conn->cut)
        pipe_write(c->sim, &c->conn->to_server, (struct bk_view){ text, (size_t)n });
    free(text);
}

static void hang_up(struct client *c)
{
    if (c->conn) {
        if (!c->conn->cut)
            pipe_put(c->sim, &c->conn->to_server, (struct bk_view){ 0 }, true);
        c->conn->client = NULL;
        c->conn = NULL;
    }
    c->state = OFF;
    c->etag[0] = 0;
    c->publish_pending = false;
    memset(c->watching, 0, sizeof c->watching);
    for (int i = 0; i < PEOPLE; i++)
        strcpy(c->seen[i], "unknown");
}

static void send_register(struct client *c, int expires)
{
    const char *name = names[c->person];
    c->cseq++;
    say(c,
        "REGISTER sip:example.org SIP/2.0\r\nVia: SIP/2.0/TLS "
        "10.0.0.1;branch=z9hG4bKr%d-%d-%lld\r\n"
        "From: <sip:%s@example.org>;tag=r%d\r\nTo: <sip:%s@example.org>\r\nCall-ID: "
        "r%d-%lld\r\nCSeq: %d REGISTER\r\n"
        "Contact: <sip:%s@10.0.0.1:%d>;+sip.instance=\"<urn:e%d>\"\r\nExpires: "
        "%d\r\n%sMax-Forwards: 70\r\n"
        "Content-Length: 0\r\n\r\n",
        c->id, c->cseq, (long long)c->registered_at, name, c->id, name, c->id,
        (long long)c->registered_at, c->cseq, name, 5000 + c->id, c->id, expires, c->authorization);
}

static void sign_in(struct client *c)
{
    struct sim *s = c->sim;
    if (c->conn)
        hang_up(c);
    c->conn = dial(s, c);
    c->state = CHALLENGED;
    c->authorization[0] = 0;
    c->registered_at = c->tried_at = s->world->mono_ms;
    note(s, "client %d (%s) signs in", c->id, names[c->person]);
    send_register(c, 600);
}

static void publish(struct client *c)
{
    static const char *const words[] = { "none", "busy", "dnd" };
    char body[512], if_match[100] = "";
    if (c->state != ON || c->publish_pending)
        return;
    int n = snprintf(
        body, sizeof body,
        "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" "
        "xmlns:b=\"urn:beckon:presence\" entity=\"sip:%s@example.org\"><tuple "
        "id=\"t\"><status><basic>open</basic>"
        "</status><b:manual state=\"%s\"/><b:machine state=\"active\"/></tuple></presence>",
        names[c->person], words[c->wanted_manual]);
    if (c->etag[0])
        snprintf(if_match, sizeof if_match, "SIP-If-Match: %s\r\n", c->etag);
    c->publish_pending = true;
    note(c->sim, "client %d publishes %s", c->id, words[c->wanted_manual]);
    say(c,
        "PUBLISH sip:%s@example.org SIP/2.0\r\nVia: SIP/2.0/TLS 10.0.0.1;branch=z9hG4bKp%d-%d\r\n"
        "From: <sip:%s@example.org>;tag=p\r\nTo: <sip:%s@example.org>\r\nCall-ID: p%d-%d\r\nCSeq: "
        "%d PUBLISH\r\n"
        "Event: presence\r\n%sExpires: 3600\r\nContent-Type: application/pidf+xml\r\nMax-Forwards: "
        "70\r\n"
        "Content-Length: %d\r\n\r\n%s",
        names[c->person], c->id, c->cseq + 1, names[c->person], names[c->person], c->id,
        c->cseq + 1, c->cseq + 1, if_match, n, body);
    c->cseq++;
}

static void watch(struct client *c, int person)
{
    if (c->state != ON || c->watching[person])
        return;
    c->watching[person] = true;
    c->watch_at[person] = c->sim->world->mono_ms;
    note(c->sim, "client %d watches %s", c->id, names[person]);
    c->dialogs++;
    say(c,
        "SUBSCRIBE sip:%s@example.org SIP/2.0\r\nVia: SIP/2.0/TLS 10.0.0.1;branch=z9hG4bKs%d-%d\r\n"
        "From: <sip:%s@example.org>;tag=s%d\r\nTo: <sip:%s@example.org>\r\nCall-ID: "
        "s%d-%d-%d\r\nCSeq: 1 SUBSCRIBE\r\n"
        "Event: presence\r\nExpires: 3600\r\nContact: <sip:%s@10.0.0.1:%d>\r\nMax-Forwards: 70\r\n"
        "Content-Length: 0\r\n\r\n",
        names[person], c->id, c->dialogs, names[c->person], c->dialogs, names[person], c->id,
        c->dialogs, person, names[c->person], 5000 + c->id);
}

static void send_message(struct client *c, int n)
{
    struct message *m = &c->sim->messages[n];
    m->sent_at = c->sim->world->mono_ms;
    m->tries++;
    if (m->tries == 1)
        m->blocked_all_along = c->sim->blocks[m->to][m->from];
    note(c->sim, "client %d sends message %d to %s, try %d", c->id, n, names[m->to], m->tries);
    /* The same key each time, a new branch. */
    say(c,
        "MESSAGE sip:%s@example.org SIP/2.0\r\nVia: SIP/2.0/TLS 10.0.0.1;branch=z9hG4bKm%d-%d\r\n"
        "From: <sip:%s@example.org>;tag=m%d\r\nTo: <sip:%s@example.org>\r\nCall-ID: m%d\r\nCSeq: 1 "
        "MESSAGE\r\n"
        "Content-Type: text/plain\r\nMax-Forwards: 70\r\nContent-Length: 5\r\n\r\nhello",
        names[m->to], n, m->tries, names[m->from], n, names[m->to], n);
}

static void reply(struct client *c, const struct bk_sip_msg *msg, int status)
{
    struct bk_buf out = { 0 };
    bk_buf_addf(&out, "SIP/2.0 %d OK\r\n", status);
    for (int i = 0; i < msg->n_fields; i++)
        if (msg->fields[i].id == BK_SIP_HDR_VIA || msg->fields[i].id == BK_SIP_HDR_FROM ||
            msg->fields[i].id == BK_SIP_HDR_TO || msg->fields[i].id == BK_SIP_HDR_CALL_ID ||
            msg->fields[i].id == BK_SIP_HDR_CSEQ)
            bk_buf_add_view(&out, msg->fields[i].line);
    bk_buf_add_lit(&out, "Content-Length: 0\r\n\r\n");
    say(c, "%.*s", (int)out.len, out.at);
    bk_buf_finish(&out);
}

/* ---- what clients hear ---- */

static int number_after(struct bk_view v, size_t skip)
{
    int n = 0;
    for (size_t i = skip; i < v.len && v.at[i] >= '0' && v.at[i] <= '9'; i++)
        n = n * 10 + v.at[i] - '0';
    return n;
}

static void hear_message(struct client *c, const struct bk_sip_msg *msg)
{
    struct sim *s = c->sim;
    int n = number_after(bk_sip_msg_value(msg, BK_SIP_HDR_CALL_ID), 1);
    struct message *m = &s->messages[n];
    if (n >= s->n_messages || m->to != c->person) {
        broken(s, "a message came to somebody else", "message %d at client %d", n, c->id);
        return;
    }
    if (!c->shown[n]) {
        c->shown[n] = true;
        c->shown_times[n]++;
        note(s, "client %d shows message %d", c->id, n);
        if (m->blocked_all_along)
            broken(s, "a blocked sender was heard", "message %d from %s to %s", n, names[m->from],
                   names[m->to]);
    } else {
        note(s, "client %d gets message %d again", c->id, n);
    }
    reply(c, msg, 200);
}

static void hear_notify(struct client *c, const struct bk_sip_msg *msg)
{
    struct sim *s = c->sim;
    struct bk_view id = bk_sip_msg_value(msg, BK_SIP_HDR_CALL_ID);
    size_t dash = bk_view_find(id, '-');
    int dialog = number_after(id, dash + 1);
    (void)dialog;
    struct bk_view rest = bk_view_skip(id, dash + 1);
    int person = number_after(rest, bk_view_find(rest, '-') + 1);
    size_t at = bk_view_find_view(msg->body, BK_VIEW("shown state=\""));
    if (person >= PEOPLE || at == msg->body.len) {
        reply(c, msg, 200);
        return;
    }
    struct bk_view state = bk_view_skip(msg->body, at + 13);
    state = bk_view_head(state, bk_view_find(state, '"'));
    snprintf(c->seen[person], sizeof c->seen[person], "%.*s", BK_VIEW_ARGS(state));
    note(s, "client %d sees %s %s", c->id, names[person], c->seen[person]);
    if (bk_view_starts_with(bk_sip_msg_value(msg, BK_SIP_HDR_SUBSCRIPTION_STATE),
                            BK_VIEW("terminated")))
        c->watching[person] = false;
    reply(c, msg, 200);
}

static void hear_answer(struct client *c, const struct bk_sip_msg *msg)
{
    struct sim *s = c->sim;
    struct bk_view id = bk_sip_msg_value(msg, BK_SIP_HDR_CALL_ID);
    if (msg->status < 200)
        return;
    if (msg->method == BK_SIP_REGISTER && msg->status == 401 && c->state == CHALLENGED) {
        struct bk_digest_challenge challenge;
        struct bk_buf value = { 0 };
        if (bk_digest_challenge_parse(bk_sip_msg_value(msg, BK_SIP_HDR_WWW_AUTHENTICATE),
                                      &challenge) == 0 &&
            bk_digest_answer(&value, &challenge, bk_view_of_str(names[c->person]),
                             BK_VIEW("secret"), BK_VIEW("REGISTER"), BK_VIEW("sip:example.org"), 1,
                             &s->dice) == 0)
            snprintf(c->authorization, sizeof c->authorization, "Authorization: %.*s\r\n",
                     (int)value.len, value.at);
        bk_buf_finish(&value);
        c->state = REGISTERING;
        send_register(c, 600);
    } else if (msg->method == BK_SIP_REGISTER && msg->status == 200) {
        if (c->state != ON)
            note(s, "client %d is signed in", c->id);
        c->state = ON;
    } else if (msg->method == BK_SIP_REGISTER) {
        note(s, "client %d refused: %d", c->id, msg->status);
        hang_up(c);
    } else if (msg->method == BK_SIP_PUBLISH) {
        c->publish_pending = false;
        if (msg->status == 200) {
            c->manual = c->wanted_manual;
            snprintf(c->etag, sizeof c->etag, "%.*s",
                     BK_VIEW_ARGS(bk_sip_msg_value(msg, BK_SIP_HDR_SIP_ETAG)));
        } else {
            c->etag[0] = 0;
        }
    } else if (msg->method == BK_SIP_SUBSCRIBE && msg->status >= 300) {
        struct bk_view rest = bk_view_skip(id, bk_view_find(id, '-') + 1);
        int person = number_after(rest, bk_view_find(rest, '-') + 1);
        if (person < PEOPLE)
            c->watching[person] = false;
    } else if (msg->method == BK_SIP_MESSAGE) {
        int n = number_after(id, 1);
        if (n < s->n_messages) {
            s->messages[n].status = msg->status;
            note(s, "message %d: %d", n, msg->status);
        }
    }
}

static void client_hears(struct client *c, struct bk_view bytes)
{
    static struct bk_sip_msg msg;
    struct bk_sip_fault fault;
    if (bk_sip_msg_parse(&msg, bytes, &fault) < 0) {
        broken(c->sim, "the server wrote no SIP", "%s", fault.text);
        return;
    }
    if (msg.status)
        hear_answer(c, &msg);
    else if (msg.method == BK_SIP_MESSAGE)
        hear_message(c, &msg);
    else if (msg.method == BK_SIP_NOTIFY)
        hear_notify(c, &msg);
}

/* ---- time passes ---- */

static void server_reads(struct sim *s, struct conn *conn)
{
    struct bk_sip_frame frame = { 0 };
    struct bk_sip_fault fault;
    size_t len;
    while (conn->link && conn->at_server.len) {
        enum bk_sip_frame_step step =
            bk_sip_frame_next(&frame, bk_buf_view(&conn->at_server), 65536, &len, &fault);
        if (step == BK_SIP_FRAME_MORE)
            return;
        if (step == BK_SIP_FRAME_BAD)
            abort();
        frame = (struct bk_sip_frame){ 0 };
        struct bk_buf one = { 0 };
        bk_buf_add(&one, conn->at_server.at, len);
        bk_buf_drop(&conn->at_server, len);
        conn->link->last_in_ms = s->world->mono_ms;
        if (step == BK_SIP_FRAME_MESSAGE)
            bk_core_receive(s->world->core, conn->link->id, bk_buf_view(&one), NULL);
        bk_buf_finish(&one);
        world_settle(s->world);
    }
}

static void client_reads(struct conn *conn)
{
    struct bk_sip_frame frame = { 0 };
    struct bk_sip_fault fault;
    size_t len;
    while (conn->client && conn->at_client.len &&
           bk_sip_frame_next(&frame, bk_buf_view(&conn->at_client), 262144, &len, &fault) ==
               BK_SIP_FRAME_MESSAGE) {
        struct bk_buf one = { 0 };
        frame = (struct bk_sip_frame){ 0 };
        bk_buf_add(&one, conn->at_client.at, len);
        bk_buf_drop(&conn->at_client, len);
        client_hears(conn->client, bk_buf_view(&one));
        bk_buf_finish(&one);
    }
}

static void network(struct sim *s)
{
    int64_t now = s->world->mono_ms;
    for (int i = 0; i < s->n_conns; i++) {
        struct conn *conn = s->conns[i];
        for (struct packet *p; (p = pipe_take(&conn->to_server, now)); free(p)) {
            if (conn->link && p->closes)
                server_loses(conn, BK_LINK_END_CLOSED);
            else if (conn->link)
                bk_buf_add(&conn->at_server, p->bytes, p->len);
        }
        server_reads(s, conn);
        for (struct packet *p; (p = pipe_take(&conn->to_client, now)); free(p)) {
            if (conn->client && p->closes)
                hang_up(conn->client);
            else if (conn->client)
                bk_buf_add(&conn->at_client, p->bytes, p->len);
        }
        client_reads(conn);
        if (conn->link && !conn->link->open) { /* the server closed it */
            server_loses(conn, BK_LINK_END_CLOSED);
            if (!conn->cut)
                pipe_put(s, &conn->to_client, (struct bk_view){ 0 }, true);
        }
        if (conn->link && conn->cut && now >= conn->server_notices_at)
            server_loses(conn, BK_LINK_END_LOST);
        if (!conn->link && !conn->client) {
            pipe_empty(&conn->to_server);
            pipe_empty(&conn->to_client);
            bk_buf_finish(&conn->at_server);
            bk_buf_finish(&conn->at_client);
            free(conn);
            s->conns[i--] = s->conns[--s->n_conns];
        }
    }
}

static void pass(struct sim *s, int64_t ms)
{
    s->world->hold_commits = s->world->mono_ms < s->commits_held_until;
    world_advance(s->world, ms);
    network(s);
}

static bool seen_by_some_client(struct sim *s, int n)
{
    for (int i = 0; i < CLIENTS; i++)
        if (s->clients[i].shown[n])
            return true;
    return false;
}

/* ---- what goes wrong ---- */

static void cut(struct sim *s, struct client *c)
{
    if (!c->conn)
        return;
    s->cuts++;
    note(s, "client %d is cut off without a word", c->id);
    c->conn->cut = true;
    c->conn->server_notices_at = s->world->mono_ms + (int64_t)roll(s, 60000);
    hang_up(c);
}

static void kill_server(struct sim *s)
{
    struct bk_buf image = { 0 };
    note(s, "the server is killed");
    s->kills++;
    for (int i = 0; i < s->n_conns; i++) {
        struct conn *conn = s->conns[i];
        if (conn->link) {
            bk_buf_finish(&conn->link->out);
            free(conn->link);
            conn->link = NULL;
        }
        pipe_empty(&conn->to_server);
        bk_buf_clear(&conn->at_server);
        if (!conn->cut)
            pipe_put(s, &conn->to_client, (struct bk_view){ 0 }, true);
    }
    int64_t mono = s->world->mono_ms, real = s->world->real_ms;
    struct world_config config = s->world->config;
    world_crash(s->world, &image);
    config.image = bk_buf_view(&image);
    config.seed = s->seed * 31 + (uint64_t)s->kills;
    config.mono_ms = mono + 500;
    config.real_ms = real + 500;
    s->world = world_create(&config);
    s->commits_held_until = 0;
    bk_buf_finish(&image);
}

static void set_block(struct sim *s, int who, int whom, bool block)
{
    char owner[64], subject[64];
    if (s->world->hold_commits)
        return;
    snprintf(owner, sizeof owner, "%s@example.org", names[who]);
    snprintf(subject, sizeof subject, "%s@example.org", names[whom]);
    struct bk_relation row = { bk_view_of_str(owner), bk_view_of_str(subject), block ? 32000 : 0 };
    struct bk_store_batch *batch = bk_store_batch_create();
    bk_store_put_relation(batch, &row);
    world_commit(s->world, batch);
    s->blocks[who][whom] = block;
    bk_core_user_changed(s->world->core, bk_view_of_str(owner));
    world_settle(s->world);
    note(s, "%s %s %s", names[who], block ? "blocks" : "unblocks", names[whom]);
    for (int i = 0; i < s->n_messages; i++)
        if (s->messages[i].to == who && s->messages[i].from == whom && !block)
            s->messages[i].blocked_all_along = false;
}

static void act(struct sim *s)
{
    struct client *c = &s->clients[roll(s, CLIENTS)];
    switch (roll(s, 40)) {
    case 0:
    case 1:
        cut(s, c);
        break;
    case 2:
        note(s, "client %d goes", c->id);
        if (c->state == ON && roll(s, 2))
            send_register(c, 0);
        hang_up(c);
        break;
    case 3:
        if (roll(s, 3) == 0)
            kill_server(s);
        break;
    case 4:
        s->world->real_ms += ((int64_t)roll(s, 7200) - 3600) * 1000;
        note(s, "the clock steps");
        break;
    case 5:
        s->commits_held_until = s->world->mono_ms + (int64_t)roll(s, 8000);
        note(s, "the disk is slow");
        break;
    case 6: {
        int who = (int)roll(s, PEOPLE), whom = (int)roll(s, PEOPLE);
        if (who != whom)
            set_block(s, who, whom, roll(s, 2));
        break;
    }
    case 7:
    case 8:
        c->wanted_manual = (int)roll(s, 3);
        publish(c);
        break;
    case 9:
    case 10:
    case 11:
        watch(c, (int)roll(s, PEOPLE));
        break;
    default:
        if (c->state == OFF) {
            if (roll(s, 2))
                sign_in(c);
        } else if (c->state == ON && s->n_messages < MESSAGES_MAX && roll(s, 3) == 0) {
            int to = (int)roll(s, PEOPLE);
            if (to == c->person)
                break;
            s->messages[s->n_messages] =
                (struct message){ .from = c->person, .to = to, .sender = c->id };
            send_message(c, s->n_messages++);
        }
    }
}

/* Clients try again what was not answered, as ours does: the same key, after a reconnect or when patience ends. */
static void patience(struct sim *s)
{
    int64_t now = s->world->mono_ms;
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &s->clients[i];
        if ((c->state == CHALLENGED || c->state == REGISTERING) && now - c->tried_at > 20000)
            hang_up(c);
    }
    for (int i = 0; i < s->n_messages; i++) {
        struct message *m = &s->messages[i];
        struct client *c = &s->clients[m->sender];
        if (!m->status && c->state == ON &&
            (now - m->sent_at > ACK_PATIENCE_MS || m->sent_at < c->registered_at))
            send_message(c, i);
    }
}

/* ---- the end: everything heals ---- */

static bool all_well(struct sim *s)
{
    for (int i = 0; i < CLIENTS; i++)
        if (s->clients[i].state != ON || s->clients[i].publish_pending)
            return false;
    for (int i = 0; i < s->n_messages; i++)
        if (!s->messages[i].status)
            return false;
    return true;
}

static void heal(struct sim *s)
{
    s->healing = true;
    s->commits_held_until = 0;
    for (int round = 0; round < 600; round++) {
        for (int i = 0; i < CLIENTS; i++)
            if (s->clients[i].state == OFF)
                sign_in(&s->clients[i]);
        patience(s);
        pass(s, 200);
        if (round > 350 && all_well(s)) /* more than the 60 s after which a lost endpoint is dead */
            break;
    }
    if (!all_well(s)) {
        broken(s, "not everything was answered", "after two minutes of peace");
        return;
    }
    /* Everybody says what he is, and watches everybody. */
    for (int i = 0; i < CLIENTS; i++) {
        s->clients[i].wanted_manual = s->clients[i].person % 3;
        publish(&s->clients[i]);
        for (int p = 0; p < PEOPLE; p++)
            watch(&s->clients[i], p);
    }
    for (int round = 0; round < 250;
         round++) /* 50 s: longer than the pause of a hand-over that was put off */
        pass(s, 200);
}

static void judge(struct sim *s)
{
    static const char *const expect[] = { "available", "busy", "dnd" };
    for (int i = 0; i < s->n_messages && !s->broken; i++) {
        struct message *m = &s->messages[i];
        if ((m->status == 200 || m->status == 202) && !seen_by_some_client(s, i))
            broken(s, "an acknowledged message was lost", "message %d from %s to %s, answered %d",
                   i, names[m->from], names[m->to], m->status);
        for (int c = 0; c < CLIENTS; c++)
            if (s->clients[c].shown_times[i] > 1)
                broken(s, "a message was shown twice", "message %d by client %d", i, c);
    }
    for (int i = 0; i < CLIENTS && !s->broken; i++) {
        struct client *c = &s->clients[i];
        for (int p = 0; p < PEOPLE; p++) {
            const char *want =
                s->blocks[p][c->person] && p != c->person ? "offline" : expect[p % 3];
            if (strcmp(c->seen[p], want))
                broken(s, "presence did not converge", "client %d (%s) sees %s as %s, who is %s", i,
                       names[c->person], names[p], c->seen[p], want);
        }
    }
}

static uint64_t play(struct sim *s)
{
    s->dice = bk_random_from_seed(&s->dice_state, s->seed);
    struct world_config config = { .shards = s->shards,
                                   .bus_always_queues = s->shards > 1,
                                   .seed = s->seed };
    s->world = world_create(&config);
    for (int i = 0; i < PEOPLE; i++)
        world_user(s->world, names[i], i % 2 ? "SHA-256" : "MD5");
    for (int i = 0; i < CLIENTS; i++) {
        s->clients[i] = (struct client){ .sim = s, .id = i, .person = i % PEOPLE };
        hang_up(&s->clients[i]);
    }
    for (s->steps = 0; s->steps < STEPS && !s->broken; s->steps++) {
        act(s);
        patience(s);
        pass(s, (int64_t)roll(s, 20) == 0 ? (int64_t)roll(s, 5000) : (int64_t)roll(s, 200));
    }
    heal(s);
    judge(s);
    for (int i = 0; i < CLIENTS; i++)
        hang_up(&s->clients[i]);
    for (int i = 0; i < s->n_conns; i++) {
        struct conn *conn = s->conns[i];
        server_loses(conn, BK_LINK_END_CLOSED);
        pipe_empty(&conn->to_server);
        pipe_empty(&conn->to_client);
        bk_buf_finish(&conn->at_server);
        bk_buf_finish(&conn->at_client);
        free(conn);
    }
    world_destroy(s->world);
    return s->hash;
}

static struct sim *run(uint64_t seed, unsigned shards, bool trace)
{
    struct sim *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    s->seed = seed;
    s->shards = shards;
    s->trace = trace;
    play(s);
    return s;
}

int main(int argc, char **argv)
{
    uint64_t from = 1, to = 20;
    unsigned shards = 0;
    bool trace = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--trace"))
            trace = true;
        else if (!strcmp(argv[i], "--seeds") && i + 1 < argc)
            sscanf(argv[++i], "%lu-%lu", &from, &to);
        else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
            from = to = strtoull(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--shards") && i + 1 < argc)
            shards = (unsigned)atoi(argv[++i]);
        else {
            fprintf(stderr, "usage: sim [--seeds FROM-TO] [--seed N] [--shards N] [--trace]\n");
            return 2;
        }
    }
    int failed = 0, messages = 0, kills = 0, cuts = 0;
    for (uint64_t seed = from; seed <= to; seed++) {
        struct sim *s = run(seed, shards ? shards : seed % 2 ? 1 : 3, trace);
        if (s->broken) {
            failed++;
            printf("seed %llu, %u shard(s): %s: %s\n", (unsigned long long)seed, s->shards,
                   s->broken, s->why);
        }
        if (seed == from) { /* the same seed gives the same run, to the last byte of its trace */
            struct sim *again = run(seed, s->shards, false);
            if (again->hash != s->hash) {
                failed++;
                printf("seed %llu does not replay\n", (unsigned long long)seed);
            }
            free(again);
        }
        messages += s->n_messages;
        kills += s->kills;
        cuts += s->cuts;
        free(s);
    }
    printf("%llu seeds, %d messages, %d kills, %d cuts, %d failed\n",
           (unsigned long long)(to - from + 1), messages, kills, cuts, failed);
    return failed ? 1 : 0;
}
