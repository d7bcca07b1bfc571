/* SPDX-License-Identifier: Apache-2.0 */
#include "client/session.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "client/client_private.h"
#include "ms/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SESSIONS_MAX = 1000,
    PATIENCE_MS =
        30 * 1000, /* with an INVITE; a server of ours answers in 20 s for whoever does not */
};

#define CONTENT_TYPE "application/sdp"

/* ---- the states of a session ---- */

enum state {
    INVITING, /* our INVITE is on its way */
    LEAVING,  /* and is not wanted any more */
    RINGING,  /* theirs is not answered yet */
    OPEN,
    GONE,
    ANY,
};

enum happening {
    ON_TAKEN,     /* 2xx, its dialog is there */
    ON_REFUSED,   /* any other end of our INVITE */
    ON_CANCELLED, /* theirs was taken elsewhere, or back */
    ON_DUE,       /* patience ended, it rang long enough, or nothing was said for long */
    ON_BYE,
    ON_UNKNOWN, /* what was said inside met nobody */
    ON_CLOSE,   /* the owner's wish */
    ON_LOST,
};

struct bk_session {
    struct bk_list in;
    struct bk_client *c;
    const struct bk_session_ops *ops;
    void *owner; /* NULL: nobody is told any more */
    enum state state;
    struct bk_sip_dialog *dialog; /* OPEN, RINGING */
    struct bk_sip_tx *tx;         /* of the INVITE; NULL: it ended */
    struct bk_timer due;
    char *invite; /* theirs, for the answer that is still owed */
    size_t invite_len;
    char call_id[36], tag[20]; /* of our INVITE; the tag also for our answers to theirs */
};

static void acknowledge(struct bk_session *s);
static void take_back(struct bk_session *s);
static void cancel(struct bk_session *s);
static void take(struct bk_session *s);
static void let_go(struct bk_session *s);
static void decline(struct bk_session *s);
static void say_bye(struct bk_session *s);

static const struct rule {
    enum state from;
    enum happening on;
    enum state to;
    void (*act)(struct bk_session *s);
    enum bk_session_end why; /* what the owner is told where `to` is no state of use */
} rules[] = {
    { INVITING, ON_TAKEN, OPEN, acknowledge, 0 },
    { INVITING, ON_REFUSED, GONE, NULL, BK_SESSION_REFUSED },
    { INVITING, ON_DUE, LEAVING, cancel, BK_SESSION_REFUSED },
    { INVITING, ON_CLOSE, LEAVING, cancel, BK_SESSION_CLOSED },
    { LEAVING, ON_TAKEN, GONE, take_back, BK_SESSION_CLOSED },
    { LEAVING, ON_REFUSED, GONE, NULL, BK_SESSION_CLOSED },
    { LEAVING, ON_DUE, GONE, NULL, BK_SESSION_CLOSED },
    { RINGING, ON_DUE, OPEN, take, 0 },
    { RINGING, ON_CANCELLED, GONE, let_go, BK_SESSION_REFUSED },
    { RINGING, ON_CLOSE, GONE, decline, BK_SESSION_CLOSED },
    { OPEN, ON_BYE, GONE, NULL, BK_SESSION_CLOSED },
    { OPEN, ON_UNKNOWN, GONE, NULL, BK_SESSION_CLOSED },
    { OPEN, ON_DUE, GONE, say_bye, BK_SESSION_IDLE },
    { OPEN, ON_CLOSE, GONE, say_bye, BK_SESSION_CLOSED },
    { ANY, ON_LOST, GONE, NULL, BK_SESSION_LOST },
};

static void session_free(struct bk_session *s)
{
    if (s->tx)
        bk_sip_tx_forget(s->tx);
    bk_timer_disarm(bk_client_timers(s->c), &s->due);
    bk_list_remove(&s->in);
    s->c->n_sessions--;
    (void)bk_sip_dialog_destroy(s->dialog);
    free(s->invite);
    free(s);
}

/* Who is in it stands in the messages' own events. */
static void trace(const struct bk_session *s)
{
    static const char *const names[] = {
        [INVITING] = "inviting", [LEAVING] = "leaving", [RINGING] = "ringing",
        [OPEN] = "open",         [GONE] = "gone",
    };
    struct bk_sip_dialog_info info = { 0 };
    char number[17] = ""; /* by which the two sides of one can be told to be the same */
    if (s->dialog)
        bk_sip_dialog_info(s->dialog, &info);
    (void)snprintf(number, sizeof number, "%.*s", BK_VIEW_ARGS(bk_view_head(info.call_id, 16)));
    bk_log(s->c->log, BK_LOG_DEBUG, "session", "state", names[s->state], "call", number);
}

/* The last thing that is done with s by whoever calls it. */
static void feed(struct bk_session *s, enum happening input)
{
    for (size_t i = 0; i < BK_COUNT_OF(rules); i++) {
        const struct rule *rule = &rules[i];
        if (rule->on != input || (rule->from != ANY && rule->from != s->state))
            continue;
        s->state = rule->to;
        trace(s);
        if (rule->act)
            rule->act(s);
        void *owner = s->owner;
        if (rule->to == LEAVING || rule->to == GONE)
            s->owner = NULL;
        if (owner && rule->to == OPEN)
            s->ops->open(owner, s);
        else if (owner && !s->owner)
            s->ops->over(owner, s, rule->why);
        if (rule->to == GONE)
            session_free(s);
        return;
    }
    s->c->unlisted++;
}

static void arm(struct bk_session *s, int64_t in_ms)
{
    bk_timer_arm(bk_client_timers(s->c), &s->due, bk_client_now(s->c) + in_ms);
}

static void on_due(struct bk_timer *timer)
{
    feed(bk_container_of(timer, struct bk_session, due), ON_DUE);
}

static struct bk_session *session_new(struct bk_client *c, const struct bk_session_ops *ops,
                                      void *owner, enum state state)
{
    struct bk_session *s = c->n_sessions < SESSIONS_MAX ? calloc(1, sizeof *s) : NULL;
    if (!s)
        return NULL;
    *s = (struct bk_session){ .c = c, .ops = ops, .owner = owner, .state = state };
    bk_timer_init(&s->due, on_due);
    bk_list_init(&s->in);
    bk_random_hex(c->random, 16, s->call_id);
    bk_random_hex(c->random, 8, s->tag);
    bk_list_append(&c->sessions, &s->in);
    c->n_sessions++;
    return s;
}

/* Our side of it; nothing in it is ever connected to: messages stay on the signalling's way. */
static void add_sdp(struct bk_client *c, struct bk_buf *to)
{
    char ip[64] = "127.0.0.1";
    struct bk_addr local, peer;
    if (bk_link_ends(c->link, &local, &peer))
        bk_addr_host_text(&local, ip);
    bk_ms_sdp_session(to, bk_view_of_str(ip), bk_view_of_str(c->address));
}

/* ---- we invite ---- */

/* A request inside the dialog for whose answer nobody waits. */
static void send_alone(struct bk_session *s, enum bk_sip_method method)
{
    static const struct bk_sip_tx_user nobody = { 0 };
    struct bk_client *c = s->c;
    struct bk_sip_tx *tx;
    BK_AUTO_BUF struct bk_buf request = { 0 };
    if (!bk_link_is_up(c->link) ||
        bk_sip_tx_client_create(bk_link_txs(c->link), bk_link_flow(c->link), method, &nobody, NULL,
                                &tx) < 0)
        return;
    bk_sip_dialog_request_begin(s->dialog, &request, method, bk_link_via(c->link),
                                bk_sip_tx_branch(tx));
    bk_sip_field_add(&request, BK_SIP_HDR_USER_AGENT, bk_view_of_str(c->user_agent));
    bk_sip_end(&request, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    if (!request.failed)
        bk_sip_tx_start(tx, bk_buf_view(&request));
    bk_sip_tx_forget(tx);
}

/* RFC 3261 13.2.2.4: an ACK is a request of its own, which nobody answers. */
static void send_ack(struct bk_client *c, struct bk_sip_dialog *dialog)
{
    BK_AUTO_BUF struct bk_buf request = { 0 };
    char branch[40];
    (void)snprintf(branch, sizeof branch, "z9hG4bKack%016llx",
                   (unsigned long long)bk_random_u64(c->random));
    bk_sip_dialog_request_begin(dialog, &request, BK_SIP_ACK, bk_link_via(c->link),
                                bk_view_of_str(branch));
    bk_sip_field_add(&request, BK_SIP_HDR_USER_AGENT, bk_view_of_str(c->user_agent));
    bk_sip_end(&request, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    if (!request.failed)
        bk_link_send(c->link, bk_buf_view(&request));
}

static void acknowledge(struct bk_session *s)
{
    send_ack(s->c, s->dialog);
    arm(s, s->c->timing.session_idle_ms);
}

static void say_bye(struct bk_session *s)
{
    send_alone(s, BK_SIP_BYE);
}

/* Taken while we took it back. */
static void take_back(struct bk_session *s)
{
    send_ack(s->c, s->dialog);
    say_bye(s);
}

static void cancel(struct bk_session *s)
{
    if (s->tx)
        bk_sip_tx_cancel(s->tx, (struct bk_view){ 0 });
    arm(s, 2 * PATIENCE_MS); /* longer than the transaction can last: should nothing come at all */
}

/* Another endpoint took it at the same instant (RFC 3261 13.2.2.4): one is enough. */
static void end_second(struct bk_session *s, struct bk_sip_dialog *dialog)
{
    struct bk_sip_dialog *first = s->dialog;
    s->dialog = dialog;
    take_back(s);
    s->dialog = first;
    (void)bk_sip_dialog_destroy(dialog);
}

static void on_invite_answer(struct bk_sip_tx *tx, void *user, const struct bk_sip_msg *msg)
{
    struct bk_session *s = user;
    struct bk_sip_head head;
    struct bk_sip_fault fault;
    struct bk_sip_dialog *dialog = NULL;
    (void)tx;
    if (msg->status < 200)
        return;
    if (msg->status >= 300 || bk_sip_msg_check(msg, &head, &fault) < 0 ||
        bk_sip_dialog_from_response(msg, &head, &dialog) < 0) {
        feed(s, ON_REFUSED);
        return;
    }
    if (s->dialog) {
        struct bk_sip_dialog_info first;
        bk_sip_dialog_info(s->dialog, &first);
        if (bk_view_equal(first.remote_tag, head.to_tag)) {
            /* Said again (RFC 3261 13.3.1.4): its ACK was lost or is late. */
            send_ack(s->c, s->dialog);
            (void)bk_sip_dialog_destroy(dialog);
        } else {
            end_second(s, dialog);
        }
        return;
    }
    s->dialog = dialog;
    feed(s, ON_TAKEN);
}

static void on_invite_failed(struct bk_sip_tx *tx, void *user, enum bk_sip_tx_failure why)
{
    (void)tx;
    feed(user, why == BK_SIP_TX_TRANSPORT ? ON_LOST : ON_REFUSED);
}

static void on_invite_gone(struct bk_sip_tx *tx, void *user)
{
    struct bk_session *s = user;
    (void)tx;
    s->tx = NULL;
}

static const struct bk_sip_tx_user invite_user = { .response = on_invite_answer,
                                                   .failed = on_invite_failed,
                                                   .gone = on_invite_gone };

static int send_invite(struct bk_session *s, const char *address)
{
    struct bk_client *c = s->c;
    BK_AUTO_BUF struct bk_buf request = { 0 };
    BK_AUTO_BUF struct bk_buf contact = { 0 };
    BK_AUTO_BUF struct bk_buf sdp = { 0 };
    int r = bk_sip_tx_client_create(bk_link_txs(c->link), bk_link_flow(c->link), BK_SIP_INVITE,
                                    &invite_user, s, &s->tx);
    if (r < 0)
        return r;
    struct bk_view branch = bk_sip_tx_branch(s->tx), via = bk_link_via(c->link);
    bk_register_contact(c, &contact);
    add_sdp(c, &sdp);
    bk_buf_addf(&request, "INVITE sip:%s SIP/2.0\r\n", address);
    bk_sip_field_addf(&request, BK_SIP_HDR_VIA, "%.*s;branch=%.*s", BK_VIEW_ARGS(via),
                      BK_VIEW_ARGS(branch));
    bk_sip_field_add(&request, BK_SIP_HDR_MAX_FORWARDS, BK_VIEW("70"));
    bk_sip_field_addf(&request, BK_SIP_HDR_FROM, "<sip:%s>;tag=%s", c->address, s->tag);
    bk_sip_field_addf(&request, BK_SIP_HDR_TO, "<sip:%s>", address);
    bk_sip_field_add(&request, BK_SIP_HDR_CALL_ID, bk_view_of_str(s->call_id));
    bk_sip_field_add(&request, BK_SIP_HDR_CSEQ, BK_VIEW("1 INVITE"));
    bk_sip_field_add(&request, BK_SIP_HDR_CONTACT, bk_buf_view(&contact));
    bk_sip_field_add(&request, BK_SIP_HDR_USER_AGENT, bk_view_of_str(c->user_agent));
    bk_sip_field_add(&request, BK_SIP_HDR_ALLOW, BK_VIEW(SESSION_METHODS));
    bk_sip_end(&request, BK_VIEW(CONTENT_TYPE), bk_buf_view(&sdp));
    if (request.failed || contact.failed || sdp.failed)
        return -ENOMEM;
    bk_sip_tx_start(s->tx, bk_buf_view(&request));
    return 0;
}

int bk_session_invite(struct bk_client *c, const char *address, const struct bk_session_ops *ops,
                      void *owner, struct bk_session **ret)
{
    if (!bk_link_is_up(c->link))
        return -ENOTCONN;
    struct bk_session *s = session_new(c, ops, owner, INVITING);
    if (!s)
        return -ENOMEM;
    int r = send_invite(s, address);
    if (r < 0) {
        session_free(s);
        return r;
    }
    arm(s, PATIENCE_MS);
    *ret = s;
    return 0;
}

/* ---- they invite ---- */

bool bk_session_is_offer(const struct bk_sip_msg *msg)
{
    struct bk_sip_content_type type;
    return msg->method == BK_SIP_INVITE &&
           bk_sip_content_type_parse(bk_sip_msg_value(msg, BK_SIP_HDR_CONTENT_TYPE), &type) == 0 &&
           bk_view_equal_nocase(type.type, BK_VIEW("application")) &&
           bk_view_equal_nocase(type.subtype, BK_VIEW("sdp")) && bk_ms_sdp_is_session(msg->body);
}

/* An answer to an INVITE, with our side of the session where it is taken. */
static void write_answer(struct bk_client *c, const struct bk_sip_msg *invite, int status,
                         const char *tag, struct bk_buf *to)
{
    BK_AUTO_BUF struct bk_buf contact = { 0 };
    BK_AUTO_BUF struct bk_buf sdp = { 0 };
    bk_sip_response_begin(to, invite, status, (struct bk_view){ 0 }, bk_view_of_str(tag), NULL);
    if (status < 300) {
        bk_register_contact(c, &contact);
        bk_sip_field_add(to, BK_SIP_HDR_CONTACT, bk_buf_view(&contact));
    }
    if (status / 100 == 2) {
        bk_sip_field_add(to, BK_SIP_HDR_ALLOW, BK_VIEW(SESSION_METHODS));
        add_sdp(c, &sdp);
    }
    bk_sip_end(to, status / 100 == 2 ? BK_VIEW(CONTENT_TYPE) : (struct bk_view){ 0 },
               bk_buf_view(&sdp));
    if (contact.failed || sdp.failed)
        to->failed = true;
}

static void answer_invite(struct bk_session *s, int status)
{
    static _Thread_local struct bk_sip_msg msg;
    struct bk_sip_fault fault;
    BK_AUTO_BUF struct bk_buf answer = { 0 };
    if (!s->tx || !s->invite ||
        bk_sip_msg_parse(&msg, (struct bk_view){ s->invite, s->invite_len }, &fault) < 0)
        return;
    write_answer(s->c, &msg, status, s->tag, &answer);
    if (!answer.failed)
        bk_sip_tx_respond(s->tx, status, bk_buf_view(&answer));
}

static void take(struct bk_session *s)
{
    answer_invite(s, 200);
    arm(s, s->c->timing.session_idle_ms);
}

static void let_go(struct bk_session *s)
{
    answer_invite(s, 487);
}

static void decline(struct bk_session *s)
{
    answer_invite(s, 480);
}

static void on_cancelled(struct bk_sip_tx *tx, void *user, const struct bk_sip_msg *msg)
{
    (void)tx;
    (void)msg;
    feed(user, ON_CANCELLED);
}

/* Also called where the flow ended: the connection then tells so. */
static const struct bk_sip_tx_user invited_user = { .cancelled = on_cancelled,
                                                    .gone = on_invite_gone };

static int keep_invite(struct bk_session *s, const struct bk_sip_msg *msg,
                       const struct bk_sip_head *head)
{
    struct bk_client *c = s->c;
    int r = bk_sip_dialog_from_request(msg, head, bk_view_of_str(s->tag), &s->dialog);
    if (r < 0)
        return r;
    s->invite_len = msg->bytes.len;
    s->invite = malloc(s->invite_len);
    if (!s->invite)
        return -ENOMEM;
    memcpy(s->invite, msg->bytes.at, s->invite_len);
    return bk_sip_tx_server_create(bk_link_txs(c->link), bk_link_flow(c->link), msg, head,
                                   &invited_user, s, &s->tx);
}

int bk_session_invited(struct bk_client *c, const struct bk_sip_msg *msg,
                       const struct bk_sip_head *head, int ring_ms,
                       const struct bk_session_ops *ops, void *owner, struct bk_session **ret)
{
    struct bk_view none = { 0 };
    struct bk_session *s = session_new(c, ops, owner, RINGING);
    int r = s ? keep_invite(s, msg, head) : -ENOMEM;
    if (r < 0) {
        if (s)
            session_free(s);
        bk_link_answer(c->link, msg, head, r == -EBADMSG ? 400 : 500, bk_view_of_str(c->from_tag),
                       none);
        return r;
    }
    if (ring_ms) {
        answer_invite(s, 180);
        arm(s, ring_ms);
    } else {
        s->state = OPEN;
        trace(s);
        take(s);
    }
    *ret = s;
    return 0;
}

/* ---- ends ---- */

void bk_session_close(struct bk_session *s)
{
    if (!s)
        return;
    s->owner = NULL;
    feed(s, ON_CLOSE);
}

void bk_session_unknown(struct bk_session *s)
{
    feed(s, ON_UNKNOWN);
}

void bk_sessions_lost(struct bk_client *c)
{
    while (c->sessions.next && !bk_list_empty(&c->sessions))
        feed(bk_container_of(c->sessions.next, struct bk_session, in), ON_LOST);
}

/* ---- inside ---- */

struct bk_session *bk_session_find(struct bk_client *c, const struct bk_sip_msg *msg,
                                   const struct bk_sip_head *head)
{
    BK_LIST_EACH(&c->sessions, it)
    {
        struct bk_session *s = bk_container_of(it, struct bk_session, in);
        if (s->state == OPEN && bk_sip_dialog_matches(s->dialog, msg, head))
            return s;
    }
    return NULL;
}

struct bk_session *bk_session_of(struct bk_client *c, const char *call_id, const char *local_tag)
{
    struct bk_sip_dialog_info info;
    BK_LIST_EACH(&c->sessions, it)
    {
        struct bk_session *s = bk_container_of(it, struct bk_session, in);
        if (s->state != OPEN)
            continue;
        bk_sip_dialog_info(s->dialog, &info);
        if (bk_view_equal(info.call_id, bk_view_of_str(call_id)) &&
            bk_view_equal(info.local_tag, bk_view_of_str(local_tag)))
            return s;
    }
    return NULL;
}

void *bk_session_owner(const struct bk_session *s)
{
    return s->owner;
}

bool bk_session_is_open(const struct bk_session *s)
{
    return s->state == OPEN;
}

void bk_session_used(struct bk_session *s)
{
    if (s->state == OPEN)
        arm(s, s->c->timing.session_idle_ms);
}

/* Asked anew whether it stands, with the same answer. */
static void answer_again(struct bk_session *s, const struct bk_sip_msg *msg,
                         const struct bk_sip_head *head)
{
    static const struct bk_sip_tx_user nobody = { 0 };
    struct bk_client *c = s->c;
    struct bk_sip_tx *tx;
    BK_AUTO_BUF struct bk_buf answer = { 0 };
    if (!bk_session_is_offer(msg)) {
        bk_link_answer(c->link, msg, head, 488, bk_view_of_str(s->tag), (struct bk_view){ 0 });
        return;
    }
    write_answer(c, msg, 200, s->tag, &answer);
    if (answer.failed || bk_sip_tx_server_create(bk_link_txs(c->link), bk_link_flow(c->link), msg,
                                                 head, &nobody, NULL, &tx) < 0)
        return;
    bk_sip_tx_respond(tx, 200, bk_buf_view(&answer));
    bk_sip_tx_forget(tx);
}

bool bk_session_request(struct bk_session *s, const struct bk_sip_msg *msg,
                        const struct bk_sip_head *head)
{
    struct bk_view tag = bk_view_of_str(s->tag), none = { 0 };
    struct bk_link *link = s->c->link;
    if (msg->method == BK_SIP_ACK)
        return true;
    if (msg->method != BK_SIP_BYE && msg->method != BK_SIP_INVITE && msg->method != BK_SIP_UPDATE &&
        msg->method != BK_SIP_OPTIONS)
        return false;
    if (bk_sip_dialog_receive(s->dialog, msg, head) < 0) {
        bk_link_answer(link, msg, head, 500, tag, none);
    } else if (msg->method == BK_SIP_INVITE) {
        answer_again(s, msg, head);
    } else {
        bk_link_answer(link, msg, head, 200, tag, none);
        if (msg->method == BK_SIP_BYE)
            feed(s, ON_BYE);
    }
    return true;
}

void bk_session_write(struct bk_session *s, const struct bk_ask *ask, enum bk_sip_method method,
                      struct bk_buf *to)
{
    bk_sip_dialog_request_begin(s->dialog, to, method, bk_link_via(s->c->link), bk_ask_branch(ask));
    bk_sip_field_add(to, BK_SIP_HDR_USER_AGENT, bk_view_of_str(s->c->user_agent));
    bk_session_used(s);
}

int bk_session_key(const struct bk_session *s, struct bk_outbox_key *ret)
{
    struct bk_sip_dialog_info info;
    bk_sip_dialog_info(s->dialog, &info);
    if (info.call_id.len >= sizeof ret->call_id || info.local_tag.len >= sizeof ret->tag)
        return -ENAMETOOLONG;
    *ret = (struct bk_outbox_key){ .cseq = info.local_cseq + 1 };
    memcpy(ret->call_id, info.call_id.at, info.call_id.len);
    memcpy(ret->tag, info.local_tag.at, info.local_tag.len);
    return 0;
}
