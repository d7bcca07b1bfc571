/* SPDX-License-Identifier: Apache-2.0 */
#include "server/ms_session.h"

#include "ms/session.h"
#include "sip/dialog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SESSIONS_MAX = 1 << 17, /* of one shard; the oldest idle one goes */
    INVITE_PATIENCE_MS =
        25 * 1000, /* a program asks its person; less than DRAIN_AGAIN_MS of message.c */
    IDLE_MS = 10 * 60 * 1000,
};

/* Why an endpoint rings no longer (RFC 3326). */
static const struct bk_view patience_over = { BK_VIEW_OF(
    "Reason: SIP;cause=408;text=\"Request Timeout\"\r\n") };

/* A message that waits for its turn in a session, or is on its way (the first, when session.tx is there). */
struct item {
    struct bk_list in_queue;
    ms_session_done *done;
    void *ctx;
    bool
        again; /* was refused in a dialog that the other end had forgotten, and goes out in a new one */
    int64_t written_ms;                /* of one that was kept; 0: now */
    struct bk_view content_type, body; /* in text */
    char text[];
};

/* A dialog from us to one endpoint, in the name of one sender. */
struct session {
    struct bk_map_node in_sessions;
    struct bk_list in_ages;
    struct shard *shard;
    uint64_t link;
    bool reliable;
    bool known;            /* in the map: found by the next message */
    bool fresh;            /* nothing was answered inside this dialog yet */
    struct bk_timer timer; /* patience with the INVITE, then idleness */
    struct bk_sip_tx *invite, *tx;
    struct bk_sip_dialog *dialog; /* NULL: not open */
    struct bk_list queue;
    uint64_t hash;
    struct bk_view person, endpoint, contact, sender, display; /* in text; contact: owned apart */
    char text[];
};

/* ---- the table ---- */

static uint64_t session_hash(const struct bk_core *core, struct bk_view person,
                             struct bk_view endpoint, struct bk_view sender)
{
    const struct bk_hash_key *key = &core->config.hash_key;
    uint64_t parts[3] = { bk_hash(key, person), bk_hash(key, endpoint), bk_hash(key, sender) };
    return bk_hash(key, (struct bk_view){ (const char *)parts, sizeof parts });
}

static struct session *session_find(struct shard *shard, struct bk_view person,
                                    struct bk_view endpoint, struct bk_view sender)
{
    uint64_t hash = session_hash(shard->core, person, endpoint, sender);
    for (struct bk_map_node *n = bk_map_first(&shard->sessions, hash); n; n = bk_map_next(n)) {
        struct session *s = bk_container_of(n, struct session, in_sessions);
        if (bk_view_equal(s->person, person) && bk_view_equal(s->endpoint, endpoint) &&
            bk_view_equal(s->sender, sender))
            return s;
    }
    return NULL;
}

static void session_unknow(struct session *s)
{
    if (s->known)
        bk_map_remove(&s->shard->sessions, &s->in_sessions);
    s->known = false;
}

static void session_forget_dialog(struct session *s)
{
    if (s->invite)
        bk_sip_tx_forget(s->invite);
    if (s->tx)
        bk_sip_tx_forget(s->tx);
    s->invite = s->tx = NULL;
    s->dialog = bk_sip_dialog_destroy(s->dialog);
}

static void session_free(struct session *s)
{
    session_forget_dialog(s);
    session_unknow(s);
    bk_timer_disarm(s->shard->core->config.timers, &s->timer);
    bk_list_remove(&s->in_ages);
    while (!bk_list_empty(&s->queue)) {
        struct item *item = bk_container_of(s->queue.next, struct item, in_queue);
        bk_list_remove(&item->in_queue);
        free(item);
    }
    free((void *)s->contact.at);
    free(s);
}

void ms_sessions_destroy(struct shard *shard)
{
    while (shard->session_ages.next && !bk_list_empty(&shard->session_ages))
        session_free(bk_container_of(shard->session_ages.next, struct session, in_ages));
    bk_map_finish(&shard->sessions);
}

static bool is_idle(const struct session *s)
{
    return !s->invite && !s->tx && bk_list_empty(&s->queue);
}

/* The end of a session: what waits in it is told so, and may open the next one. */
static void session_end(struct session *s, int status)
{
    struct bk_list waiting;
    bk_list_init(&waiting);
    while (!bk_list_empty(&s->queue)) {
        struct bk_list *first = s->queue.next;
        bk_list_remove(first);
        bk_list_append(&waiting, first);
    }
    session_free(s);
    while (!bk_list_empty(&waiting)) {
        struct item *item = bk_container_of(waiting.next, struct item, in_queue);
        bk_list_remove(&item->in_queue);
        item->done(item->ctx, status);
        free(item);
    }
}

static void session_timer(struct bk_timer *timer)
{
    struct session *s = bk_container_of(timer, struct session, timer);
    if (s->invite)
        bk_sip_tx_cancel(s->invite, patience_over);
    session_end(s, s->invite ? 408 : 0);
}

static struct session *session_make(struct shard *shard, const struct bk_binding *to,
                                    struct bk_view sender, struct bk_view display)
{
    struct bk_view person = bk_person_address(to->person);
    struct bk_view parts[4] = { person, to->endpoint, sender, display };
    size_t len = 0;
    for (int i = 0; i < 4; i++)
        len += parts[i].len;
    struct session *s = malloc(sizeof *s + len);
    if (!s)
        return NULL;
    *s = (struct session){ .shard = shard };
    char *at = s->text;
    struct bk_view *views[4] = { &s->person, &s->endpoint, &s->sender, &s->display };
    for (int i = 0; i < 4; i++) {
        if (parts[i].len)
            memcpy(at, parts[i].at, parts[i].len);
        *views[i] = (struct bk_view){ at, parts[i].len };
        at += parts[i].len;
    }
    bk_list_init(&s->queue);
    bk_list_init(&s->in_ages);
    bk_timer_init(&s->timer, session_timer);
    s->hash = session_hash(shard->core, person, to->endpoint, sender);
    if (bk_map_insert(&shard->sessions, &s->in_sessions, s->hash) < 0) {
        free(s);
        return NULL;
    }
    s->known = true;
    bk_list_append(&shard->session_ages, &s->in_ages);
    if (shard->sessions.n_nodes > SESSIONS_MAX) {
        BK_LIST_EACH(&shard->session_ages, it)
        {
            struct session *old = bk_container_of(it, struct session, in_ages);
            if (old != s && is_idle(old)) {
                session_free(old);
                break;
            }
        }
    }
    return s;
}

/* ---- opening ---- */

static void session_next(struct session *s);

/* "<sip:ann%40example.org@host:port;transport=tls;opaque=im>": requests inside the dialog are for whom it names. */
static void contact_line(const struct asker *ours, struct bk_view who, struct bk_buf *to)
{
    bk_buf_add_lit(to, "Contact: ");
    core_own_uri(ours, who, to);
    if (to->len)
        to->len--; /* over the > */
    bk_buf_add_lit(to, ";opaque=im>\r\n");
}

static void asker_of_link(const struct link *link, struct asker *ret)
{
    *ret = (struct asker){ .transport = link->transport, .local_port = link->local_port };
    memcpy(ret->local_ip, link->local_ip, sizeof ret->local_ip);
}

static void invite_response(struct bk_sip_tx *tx, void *user, const struct bk_sip_msg *msg)
{
    struct session *s = user;
    struct bk_core *core = s->shard->core;
    struct bk_sip_head head;
    struct bk_sip_fault fault;

    if (msg->status < 200)
        return;
    bk_sip_tx_forget(tx);
    s->invite = NULL;
    struct link *link = core_link(core, s->link);
    if (msg->status >= 300 || !link || bk_sip_msg_check(msg, &head, &fault) < 0 ||
        bk_sip_dialog_from_response(msg, &head, &s->dialog) < 0) {
        session_end(s, msg->status >= 300 ? msg->status : 0);
        return;
    }
    struct bk_buf via = { 0 };
    char branch[40];
    core_via_head(core, link, &via);
    snprintf(branch, sizeof branch, "z9hG4bKack%016llx",
             (unsigned long long)bk_random_u64(core->config.random));
    bk_buf_clear(&core->out);
    bk_sip_dialog_request_begin(s->dialog, &core->out, BK_SIP_ACK, bk_buf_view(&via),
                                bk_view_of_str(branch));
    bk_sip_end(&core->out, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    if (!via.failed && !core->out.failed)
        core_send(core, s->link, bk_buf_view(&core->out), false);
    bk_buf_finish(&via);
    s->fresh = true;
    session_next(s);
}

static void invite_failed(struct bk_sip_tx *tx, void *user, enum bk_sip_tx_failure why)
{
    struct session *s = user;
    (void)why;
    bk_sip_tx_forget(tx);
    s->invite = NULL;
    session_end(s, 0);
}

static const struct bk_sip_tx_user invite_user = { .response = invite_response,
                                                   .failed = invite_failed };

/* The name a person goes by, for who sees the session come. */
static void add_display(struct bk_core *core, const struct session *s, struct bk_buf *out)
{
    struct bk_view display = s->display;
    struct bk_arena arena = { 0 };
    struct bk_user user;
    if (!display.len && bk_store_user(core->config.store, s->sender, &arena, &user) == 0)
        display = user.display_name;
    if (display.len) {
        bk_sip_quote(out, display);
        bk_buf_add_char(out, ' ');
    }
    bk_arena_finish(&arena);
}

static int session_invite(struct session *s)
{
    struct bk_core *core = s->shard->core;
    struct link *link = core_link(core, s->link);
    struct bk_sip_flow flow = { s->link, s->reliable };
    const struct bk_random *random = core->config.random;

    if (!link)
        return -ENOTCONN;
    int r =
        bk_sip_tx_client_create(s->shard->txs, flow, BK_SIP_INVITE, &invite_user, s, &s->invite);
    if (r < 0)
        return r;
    struct asker ours;
    struct bk_buf sdp = { 0 }, *out = &core->out;
    asker_of_link(link, &ours);
    bk_ms_sdp_session(&sdp, bk_view_of_str(link->local_ip), s->sender);
    bk_buf_clear(out);
    bk_sip_request_begin(out, BK_VIEW("INVITE"), s->contact);
    bk_buf_add_lit(out, "Via: ");
    core_via_head(core, link, out);
    bk_buf_add_lit(out, ";branch=");
    bk_buf_add_view(out, bk_sip_tx_branch(s->invite));
    bk_buf_add_lit(out, "\r\nMax-Forwards: 70\r\nFrom: ");
    add_display(core, s, out);
    bk_buf_addf(out,
                "<sip:%.*s>;tag=%016llx\r\nTo: <sip:%.*s>\r\nCall-ID: %016llx%016llx\r\n"
                "CSeq: 1 INVITE\r\n",
                BK_VIEW_ARGS(s->sender), (unsigned long long)bk_random_u64(random),
                BK_VIEW_ARGS(s->person), (unsigned long long)bk_random_u64(random),
                (unsigned long long)bk_random_u64(random));
    contact_line(&ours, s->sender, out);
    bk_sip_end(out, BK_VIEW("application/sdp"), bk_buf_view(&sdp));
    if (sdp.failed)
        out->failed = true;
    bk_buf_finish(&sdp);
    if (out->failed) {
        bk_sip_tx_forget(s->invite);
        s->invite = NULL;
        return -ENOMEM;
    }
    bk_sip_tx_start(s->invite, bk_buf_view(out));
    bk_timer_arm(core->config.timers, &s->timer, core_now(core) + INVITE_PATIENCE_MS);
    return 0;
}

/* ---- messages ---- */

/* The other end has no such dialog (any more): it was restarted, or closed the window. */
static bool is_dialog_gone(int status)
{
    return status == 481 || status == 408 || status == 405;
}

static void message_ended(struct session *s, int status)
{
    struct item *item = bk_container_of(s->queue.next, struct item, in_queue);

    s->tx = NULL;
    if (is_dialog_gone(status) && !s->fresh && !item->again) {
        item->again = true;
        session_forget_dialog(s);
        if (session_invite(s) < 0)
            session_end(s, 0);
        return;
    }
    if (status == 0) { /* the link is gone, or the program is silent: so is all that waits */
        session_end(s, 0);
        return;
    }
    s->fresh = false;
    bk_list_remove(&item->in_queue);
    session_next(s);
    item->done(item->ctx, status);
    free(item);
}

static void message_answered(struct bk_sip_tx *tx, void *user, const struct bk_sip_msg *msg)
{
    if (msg->status < 200)
        return;
    bk_sip_tx_forget(tx);
    message_ended(user, msg->status);
}

static void message_lost(struct bk_sip_tx *tx, void *user, enum bk_sip_tx_failure why)
{
    (void)why;
    bk_sip_tx_forget(tx);
    message_ended(user, 0);
}

static const struct bk_sip_tx_user message_user = { .response = message_answered,
                                                    .failed = message_lost };

/* One request inside the dialog. written_ms: said as its Date; 0: not. user NULL: nobody waits for what becomes of it. 0 or -errno. */
static int session_request(struct session *s, enum bk_sip_method method, int64_t written_ms,
                           struct bk_view type, struct bk_view body,
                           const struct bk_sip_tx_user *user, struct bk_sip_tx **ret)
{
    struct bk_core *core = s->shard->core;
    struct link *link = core_link(core, s->link);
    struct bk_sip_flow flow = { s->link, s->reliable };
    struct bk_buf via = { 0 }, *out = &core->out;
    struct asker ours;
    struct bk_sip_tx *tx;

    if (!link)
        return -ENOTCONN;
    int r = bk_sip_tx_client_create(s->shard->txs, flow, method, user, s, &tx);
    if (r < 0)
        return r;
    asker_of_link(link, &ours);
    core_via_head(core, link, &via);
    bk_buf_clear(out);
    bk_sip_dialog_request_begin(s->dialog, out, method, bk_buf_view(&via), bk_sip_tx_branch(tx));
    contact_line(&ours, s->sender, out);
    if (written_ms) {
        char date[32];
        bk_time_http(written_ms, date);
        bk_sip_field_add(out, BK_SIP_HDR_DATE, bk_view_of_str(date));
    }
    bk_sip_end(out, type, body);
    if (via.failed || out->failed)
        r = -ENOMEM;
    bk_buf_finish(&via);
    if (r == 0)
        bk_sip_tx_start(tx, bk_buf_view(out));
    if (r < 0 || !user)
        bk_sip_tx_forget(tx);
    else
        *ret = tx;
    return r;
}

static int session_message(struct session *s, const struct item *item)
{
    return session_request(s, BK_SIP_MESSAGE, item->written_ms, item->content_type, item->body,
                           &message_user, &s->tx);
}

static void session_next(struct session *s)
{
    struct bk_core *core = s->shard->core;
    if (bk_list_empty(&s->queue)) {
        bk_timer_arm(core->config.timers, &s->timer, core_now(core) + IDLE_MS);
        return;
    }
    struct item *item = bk_container_of(s->queue.next, struct item, in_queue);
    bk_timer_disarm(core->config.timers, &s->timer);
    if (session_message(s, item) < 0)
        session_end(s, 0);
}

/* What such programs show; plain text is named with the character set that they want to read. */
static struct bk_view type_shown(struct bk_view content_type)
{
    static const struct {
        struct bk_view type, subtype;
    } shown[] = { { { BK_VIEW_OF("text") }, { BK_VIEW_OF("plain") } },
                  { { BK_VIEW_OF("text") }, { BK_VIEW_OF("html") } },
                  { { BK_VIEW_OF("text") }, { BK_VIEW_OF("rtf") } },
                  { { BK_VIEW_OF("multipart") }, { BK_VIEW_OF("alternative") } },
                  { { BK_VIEW_OF("multipart") }, { BK_VIEW_OF("related") } } };
    struct bk_sip_content_type type;
    if (bk_sip_content_type_parse(content_type, &type) < 0)
        return (struct bk_view){ 0 };
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        if (bk_view_equal_nocase(type.type, shown[i].type) &&
            bk_view_equal_nocase(type.subtype, shown[i].subtype))
            return i == 0 && !type.charset.len ? BK_VIEW("text/plain; charset=UTF-8")
                                               : content_type;
    return (struct bk_view){ 0 };
}

static struct item *item_make(struct bk_view content_type, struct bk_view body,
                              ms_session_done *done, void *ctx)
{
    struct item *item = malloc(sizeof *item + content_type.len + body.len);
    if (!item)
        return NULL;
    *item = (struct item){ .done = done, .ctx = ctx };
    memcpy(item->text, content_type.at, content_type.len);
    if (body.len)
        memcpy(item->text + content_type.len, body.at, body.len);
    item->content_type = (struct bk_view){ item->text, content_type.len };
    item->body = (struct bk_view){ item->text + content_type.len, body.len };
    bk_list_init(&item->in_queue);
    return item;
}

/* The session for a message to that binding; what is left of one over a former connection ends by itself. */
static struct session *session_for(struct shard *shard, const struct bk_binding *to,
                                   struct bk_view sender, struct bk_view display)
{
    struct session *s = session_find(shard, bk_person_address(to->person), to->endpoint, sender);
    if (s && (s->link != to->link || !bk_view_equal(s->contact, to->contact))) {
        if (is_idle(s))
            session_free(s);
        else
            session_unknow(s);
        s = NULL;
    }
    if (s)
        return s;
    s = session_make(shard, to, sender, display);
    if (!s)
        return NULL;
    char *contact = bk_view_dup(to->contact);
    s->contact = (struct bk_view){ contact, contact ? to->contact.len : 0 };
    s->link = to->link;
    s->reliable = to->reliable;
    if (!contact) {
        session_free(s);
        return NULL;
    }
    return s;
}

int ms_session_send(struct shard *shard, const struct bk_binding *to, struct bk_view sender,
                    struct bk_view display, int64_t written_ms, struct bk_view content_type,
                    struct bk_view body, ms_session_done *done, void *ctx)
{
    struct bk_view type = type_shown(content_type);
    if (!type.len)
        return -ENOTSUP;
    struct item *item = item_make(type, body, done, ctx);
    struct session *s = item ? session_for(shard, to, sender, display) : NULL;
    if (!s) {
        free(item);
        return -ENOMEM;
    }
    bool was_idle = is_idle(s);
    int r = 0;
    item->written_ms = written_ms;
    bk_list_append(&s->queue, &item->in_queue);
    if (was_idle && s->dialog) {
        bk_timer_disarm(shard->core->config.timers, &s->timer);
        r = session_message(s, item);
    } else if (was_idle) {
        r = session_invite(s);
    }
    if (r < 0)
        session_free(s); /* it held nothing else */
    return r;
}

bool ms_session_busy(struct shard *shard, const struct bk_binding *to, struct bk_view sender)
{
    const struct session *s =
        session_find(shard, bk_person_address(to->person), to->endpoint, sender);
    return s && !is_idle(s);
}

void ms_session_typing(struct shard *shard, const struct bk_binding *to, struct bk_view sender,
                       bool typing)
{
    struct session *s = session_find(shard, bk_person_address(to->person), to->endpoint, sender);
    if (!s || !s->dialog || s->link != to->link)
        return;
    struct bk_buf body = { 0 };
    bk_ms_keyboard_write(&body, typing);
    if (!body.failed)
        session_request(s, BK_SIP_INFO, 0, BK_VIEW("application/xml"), bk_buf_view(&body), NULL,
                        NULL);
    bk_buf_finish(&body);
}

/* ---- the server answers ---- */

static void session_answer_lines(const struct asker *asker, struct bk_view target,
                                 struct bk_buf *lines, struct bk_buf *sdp)
{
    contact_line(asker, target, lines);
    bk_ms_sdp_session(sdp, bk_view_of_str(asker->local_ip), target);
}

static void answer_session(struct request *rq)
{
    struct bk_buf lines = { 0 }, sdp = { 0 };
    session_answer_lines(&rq->asker, rq->target, &lines, &sdp);
    if (lines.failed || sdp.failed)
        refuse(rq, 404, 0, 503, NULL);
    else
        answer_body(rq, 200, (struct bk_view){ 0 }, bk_buf_view(&lines), BK_VIEW("application/sdp"),
                    bk_buf_view(&sdp));
    bk_buf_finish(&lines);
    bk_buf_finish(&sdp);
}

void ms_session_answer(struct relay *relay)
{
    struct bk_buf lines = { 0 }, sdp = { 0 };
    session_answer_lines(&relay->asker, bk_person_address(relay->person), &lines, &sdp);
    if (lines.failed || sdp.failed)
        relay_refuse(relay, 404, 0);
    else
        relay_answer_body(relay, 200, bk_buf_view(&lines), BK_VIEW("application/sdp"),
                          bk_buf_view(&sdp));
    bk_buf_finish(&lines);
    bk_buf_finish(&sdp);
}

/* A dialog that the server answered, or opened: its own Contact is asked for. */
static bool is_own_dialog(const struct request *rq)
{
    struct bk_sip_uri uri;
    struct bk_view value;
    return !rq->route.len && bk_sip_uri_parse(rq->msg->uri, &uri) == 0 &&
           bk_sip_param_find(uri.params, BK_VIEW("opaque"), &value) &&
           bk_view_equal_nocase(value, BK_VIEW("im"));
}

static bool is_type(const struct bk_sip_msg *msg, struct bk_view type, struct bk_view subtype)
{
    struct bk_sip_content_type got;
    return bk_sip_content_type_parse(bk_sip_msg_value(msg, BK_SIP_HDR_CONTENT_TYPE), &got) == 0 &&
           bk_view_equal_nocase(got.type, type) && bk_view_equal_nocase(got.subtype, subtype);
}

static enum bk_ms_typing typing_of(const struct bk_sip_msg *msg)
{
    if (is_type(msg, BK_VIEW("application"), BK_VIEW("im-iscomposing+xml")))
        return bk_ms_composing_parse(msg->body);
    if (is_type(msg, BK_VIEW("application"), BK_VIEW("xml")))
        return bk_ms_keyboard_parse(msg->body);
    return BK_MS_TYPING_NO_WORD;
}

/* A MESSAGE that says that somebody types, to a program that has no sessions. Nobody waits for its answer. */
static void tell_composing(struct request *rq, const struct bk_binding *b, bool typing)
{
    struct bk_core *core = rq->core;
    struct link *link = core_link(core, b->link);
    struct bk_sip_flow flow = { b->link, b->reliable };
    struct bk_sip_tx *tx;
    struct bk_buf body = { 0 }, *out = &core->out;

    if (!link || bk_sip_tx_client_create(rq->shard->txs, flow, BK_SIP_MESSAGE, NULL, NULL, &tx) < 0)
        return;
    bk_ms_composing_write(&body, typing);
    bk_buf_clear(out);
    bk_sip_request_begin(out, BK_VIEW("MESSAGE"), b->contact);
    bk_buf_add_lit(out, "Via: ");
    core_via_head(core, link, out);
    bk_buf_add_lit(out, ";branch=");
    bk_buf_add_view(out, bk_sip_tx_branch(tx));
    bk_buf_addf(out,
                "\r\nMax-Forwards: 70\r\nFrom: <sip:%.*s>;tag=%016llx\r\nTo: <sip:%.*s>\r\n"
                "Call-ID: %016llx\r\nCSeq: 1 MESSAGE\r\n",
                BK_VIEW_ARGS(rq->identity), (unsigned long long)bk_random_u64(core->config.random),
                BK_VIEW_ARGS(rq->target), (unsigned long long)bk_random_u64(core->config.random));
    bk_sip_end(out, BK_VIEW("application/im-iscomposing+xml"), bk_buf_view(&body));
    if (!body.failed && !out->failed)
        bk_sip_tx_start(tx, bk_buf_view(out));
    bk_sip_tx_forget(tx);
    bk_buf_finish(&body);
}

/* Typing is told to who is there, and to nobody else. */
static void session_typing(struct request *rq, bool typing)
{
    struct bk_person *person = bk_state_person(rq->shard->state, rq->target, false);
    answer(rq, 200, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    if (!person || !person->n_bindings)
        return;
    presence_load(rq->core, person);
    if (!person->loaded || presence_relation(rq->core, person, rq->identity) >= RELATION_BLOCKED)
        return;
    BK_LIST_EACH(&person->bindings, it)
    {
        struct bk_binding *b = bk_container_of(it, struct bk_binding, in_person);
        if (wants_sessions(b))
            ms_session_typing(rq->shard, b, rq->identity, typing);
        else
            tell_composing(rq, b, typing);
    }
}

void ms_session_message(struct request *rq)
{
    struct bk_core *core = rq->core;
    enum bk_ms_typing typing = typing_of(rq->msg);
    if (typing != BK_MS_TYPING_NO_WORD) {
        session_typing(rq, typing == BK_MS_TYPING_ON);
        return;
    }
    if (rq->msg->body.len > (size_t)core->config.limits.message_body_max) {
        refuse(rq, 503, 0, 413, NULL);
        return;
    }
    struct bk_buf text = { 0 }, bytes = { 0 };
    int r = bk_ms_text(bk_sip_msg_value(rq->msg, BK_SIP_HDR_CONTENT_TYPE), rq->msg->body, &text);
    struct bk_sip_msg *msg = r < 0 ? NULL : core_msg_push(core);
    if (r < 0) {
        answer(rq,
               r == -ENOTSUP   ? 415
               : r == -EBADMSG ? 400
                               : 503,
               (struct bk_view){ 0 },
               r == -ENOTSUP ? BK_VIEW("Accept: text/plain, text/html, text/rtf, "
                                       "multipart/alternative, application/im-iscomposing+xml\r\n")
                             : (struct bk_view){ 0 });
    } else if (!msg) {
        answer(rq, 503, (struct bk_view){ 0 }, BK_VIEW("Retry-After: 1\r\n"));
    } else {
        /* The same message as one that was sent outside of any dialog. */
        bk_buf_addf(&bytes, "MESSAGE sip:%.*s SIP/2.0\r\n", BK_VIEW_ARGS(rq->target));
        for (const struct bk_sip_field *f = bk_sip_msg_field(rq->msg, BK_SIP_HDR_VIA); f;
             f = bk_sip_msg_field_next(rq->msg, f))
            bk_buf_add_view(&bytes, f->line);
        bk_buf_addf(&bytes, "Max-Forwards: %d\r\n", rq->head->max_forwards);
        bk_buf_add_view(&bytes, bk_sip_msg_field(rq->msg, BK_SIP_HDR_FROM)->line);
        bk_buf_addf(&bytes, "To: <sip:%.*s>\r\n", BK_VIEW_ARGS(rq->target));
        bk_buf_add_view(&bytes, bk_sip_msg_field(rq->msg, BK_SIP_HDR_CALL_ID)->line);
        bk_buf_addf(&bytes, "CSeq: %u MESSAGE\r\n", rq->head->cseq);
        bk_sip_end(&bytes, BK_VIEW("text/plain"), bk_buf_view(&text));
        struct bk_sip_head head;
        struct bk_sip_fault fault;
        if (bytes.failed || bk_sip_msg_parse(msg, bk_buf_view(&bytes), &fault) < 0 ||
            bk_sip_msg_check(msg, &head, &fault) < 0) {
            answer(rq, 503, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        } else {
            struct request single = *rq;
            single.msg = msg;
            single.head = &head;
            single.origin = rq->msg;
            single.route = (struct bk_view){ 0 };
            handle_message(&single);
        }
    }
    if (msg)
        core_msg_pop(core);
    bk_buf_finish(&text);
    bk_buf_finish(&bytes);
}

void ms_session_again(struct relay *relay)
{
    struct bk_core *core = relay->shard->core;
    struct bk_sip_head head;
    struct bk_sip_fault fault;
    struct bk_sip_msg *msg = core_msg_push(core);

    if (msg && bk_sip_msg_parse(msg, relay->copy, &fault) == 0 &&
        bk_sip_msg_check(msg, &head, &fault) == 0) {
        struct request rq = { .core = core,
                              .shard = relay->shard,
                              .msg = msg,
                              .head = &head,
                              .asker = relay->asker,
                              .identity = relay->sender,
                              .target = bk_person_address(relay->person) };
        bk_sip_tx_forget(relay->server);
        relay->server = NULL;
        relay->answered = true;
        ms_session_message(&rq);
    } else {
        relay_refuse(relay, 404, 0);
    }
    if (msg)
        core_msg_pop(core);
}

/* Who sent this BYE closed the conversation that the server had opened with them. */
static void session_closed(struct request *rq)
{
    if (core_shard_of(rq->core, rq->identity) != rq->shard)
        return; /* another shard's: the next message there finds out by itself */
    struct session *s = session_find(rq->shard, rq->identity, rq->endpoint, rq->target);
    struct bk_sip_dialog_info info;
    if (!s || !s->dialog || !is_idle(s))
        return;
    bk_sip_dialog_info(s->dialog, &info);
    if (bk_view_equal(info.call_id, rq->head->call_id))
        session_free(s);
}

static bool own_request(struct request *rq)
{
    switch (rq->msg->method) {
    case BK_SIP_INVITE:
        answer_session(rq);
        return true;
    case BK_SIP_MESSAGE:
        ms_session_message(rq);
        return true;
    case BK_SIP_INFO:
        if (typing_of(rq->msg) == BK_MS_TYPING_NO_WORD)
            answer(rq, 415, (struct bk_view){ 0 }, BK_VIEW("Accept: application/xml\r\n"));
        else
            ms_session_message(rq);
        return true;
    case BK_SIP_BYE:
        answer(rq, 200, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        session_closed(rq);
        return true;
    case BK_SIP_OPTIONS:
    case BK_SIP_UPDATE:
        answer(rq, 200, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        return true;
    default:
        answer(rq, 405, (struct bk_view){ 0 },
               BK_VIEW("Allow: INVITE, ACK, BYE, CANCEL, MESSAGE, INFO, OPTIONS, UPDATE\r\n"));
        return true;
    }
}

/*
 * Everybody who is there takes sessions: it passes through, and whoever answers first has it. Of who has our own client and
 * something else beside it, every endpoint hears everything, so the server stays in between.
 */
static bool can_pass(const struct bk_person *person)
{
    bool both = false;
    if (!person || !person->n_bindings || person->draining)
        return false;
    BK_LIST_EACH(&person->bindings, it)
    {
        const struct bk_binding *b = bk_container_of(it, struct bk_binding, in_person);
        if (!b->dialect && !b->sessions)
            return false;
        both |= b->sessions;
    }
    return !both || person->n_bindings == 1;
}

/* Nobody who could answer is there, and nothing may be kept: told at once. */
static bool may_answer(struct request *rq, struct bk_person *person)
{
    struct bk_core *core = rq->core;
    struct bk_user user;
    char address[BK_SIP_AOR_MAX + 1];
    snprintf(address, sizeof address, "%s", person->address);
    const char *values[] = { "address", address, NULL };

    presence_load(core, person);
    if (!person->loaded) {
        refuse(rq, 404, 0, 503, NULL);
        return false;
    }
    if (presence_relation(core, person, rq->identity) >= RELATION_BLOCKED) {
        refuse(rq, 504, 0, 0, values);
        return false;
    }
    if (person->n_bindings)
        return true;
    bool known = bk_store_user(core->config.store, rq->target, &core->arena, &user) == 0;
    if (!known) {
        refuse(rq, 501, 0, 404, values);
        return false;
    }
    if (!bk_policy_switch(core->directory, &user, BK_POLICY_OFFLINE_MESSAGES)) {
        refuse(rq, 509, 0, 480, values);
        return false;
    }
    return true;
}

static void session_invited(struct request *rq)
{
    struct bk_person *person = bk_state_person(rq->shard->state, rq->target, true);
    if (!person) {
        refuse(rq, 404, 0, 503, NULL);
        return;
    }
    person->server = rq->shard;
    person->holds++;
    if (can_pass(person))
        handle_session_invite(rq);
    else if (may_answer(rq, person))
        answer_session(rq);
    person->holds--;
    bk_state_settle(person);
}

bool ms_session_request(struct request *rq)
{
    if (is_own_dialog(rq))
        return own_request(rq);
    if (rq->msg->method != BK_SIP_INVITE || rq->route.len || rq->head->to_tag.len ||
        !is_type(rq->msg, BK_VIEW("application"), BK_VIEW("sdp")) ||
        !bk_ms_sdp_is_session(rq->msg->body))
        return false;
    session_invited(rq);
    return true;
}
