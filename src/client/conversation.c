/* SPDX-License-Identifier: Apache-2.0 */
#include "client/conversation.h"

#include "base/cleanup.h"
#include "client/client_private.h"
#include "ms/session.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CONVERSATIONS_MAX = 500,
    SESSIONS_WITH_ONE = 4,
    ALONE_MS = 5 * 60 * 1000,
    /* Our endpoints with less claim ring longer: whoever has the conversation takes it, else the one that is used. */
    RING_MS = 50,
    RING_INACTIVE_MS = 400,
    RING_AWAY_MS = 1000,
    /* Typing: the dialect repeats it each few seconds and lets it lapse soon; RFC 3994 says 120 s, and 15 s to our own pauses. */
    TYPING_AGAIN_MS = 4000,
    COMPOSING_AGAIN_MS = 50 * 1000,
    TYPING_PAUSE_MS = 15 * 1000,
    TYPING_LAPSE_MS = 10 * 1000,
    COMPOSING_LAPSE_MS = 120 * 1000,
};

#define COMPOSING "application/im-iscomposing+xml"

struct conversation {
    struct bk_list in; /* oldest use first */
    struct bk_client *c;
    struct bk_session *sessions[SESSIONS_WITH_ONE]; /* the one to be used first */
    int n_sessions;
    struct bk_session *inviting; /* ours that is not open yet; among them */
    bool sending;                /* a message inside has no answer yet */
    bool talked;                 /* something was said, and our person did not close it */
    bool closed_there;           /* he did: only a word opens it again, no typing */
    int64_t alone_until_ms;      /* he takes no sessions; 0: not known */

    bool typing;      /* our person does */
    bool typing_told; /* and the other side knows */
    int64_t typing_told_ms;
    struct bk_timer pause;
    struct bk_ask *telling;
    bool he_types;
    struct bk_timer lapse;

    char address[BK_SIP_AOR_MAX + 1];
};

/* ---- the table ---- */

static void on_pause(struct bk_timer *timer);
static void on_lapse(struct bk_timer *timer);
static void set_he_types(struct conversation *v, bool types, int lapse_ms);

static struct conversation *find(struct bk_client *c, const char *address)
{
    BK_LIST_EACH(&c->conversations, it)
    {
        struct conversation *v = bk_container_of(it, struct conversation, in);
        if (strcmp(v->address, address) == 0)
            return v;
    }
    return NULL;
}

static void drop(struct conversation *v)
{
    struct bk_client *c = v->c;
    set_he_types(v, false, 0);
    bk_ask_drop(v->telling);
    bk_timer_disarm(bk_client_timers(c), &v->pause);
    bk_timer_disarm(bk_client_timers(c), &v->lapse);
    bk_list_remove(&v->in);
    c->n_conversations--;
    free(v);
}

/* Makes room for one more: the one that was used longest ago, of those that nothing hangs on. */
static bool make_room(struct bk_client *c)
{
    if (c->n_conversations < CONVERSATIONS_MAX)
        return true;
    BK_LIST_EACH(&c->conversations, it)
    {
        struct conversation *v = bk_container_of(it, struct conversation, in);
        if (v->n_sessions || v->sending)
            continue;
        drop(v);
        return true;
    }
    return false;
}

/* Found or made, and the youngest from now on. NULL: no memory, or too many. */
static struct conversation *use(struct bk_client *c, const char *address)
{
    struct conversation *v = find(c, address);
    if (!v) {
        v = make_room(c) ? calloc(1, sizeof *v) : NULL;
        if (!v)
            return NULL;
        v->c = c;
        (void)snprintf(v->address, sizeof v->address, "%s", address);
        bk_timer_init(&v->pause, on_pause);
        bk_timer_init(&v->lapse, on_lapse);
        c->n_conversations++;
    } else {
        bk_list_remove(&v->in);
    }
    bk_list_append(&c->conversations, &v->in);
    return v;
}

static void forget_session(struct conversation *v, const struct bk_session *s)
{
    int kept = 0;
    for (int i = 0; i < v->n_sessions; i++)
        if (v->sessions[i] != s)
            v->sessions[kept++] = v->sessions[i];
    v->n_sessions = kept;
    if (v->inviting == s)
        v->inviting = NULL;
}

/* The one to be used from now on; the one that was not for longest goes where there are too many. */
static void prefer_session(struct conversation *v, struct bk_session *s)
{
    forget_session(v, s);
    if (v->n_sessions == SESSIONS_WITH_ONE) {
        struct bk_session *last = v->sessions[SESSIONS_WITH_ONE - 1];
        forget_session(v, last);
        bk_session_close(last);
    }
    for (int i = v->n_sessions; i > 0; i--)
        v->sessions[i] = v->sessions[i - 1];
    v->sessions[0] = s;
    v->n_sessions++;
}

static struct bk_session *open_session(const struct conversation *v)
{
    for (int i = 0; i < v->n_sessions; i++)
        if (bk_session_is_open(v->sessions[i]))
            return v->sessions[i];
    return NULL;
}

static bool is_alone(const struct conversation *v)
{
    return !v->c->speaks_dialect || bk_client_now(v->c) < v->alone_until_ms;
}

/* ---- what waits goes out ---- */

static void on_open(void *owner, struct bk_session *s);
static void on_over(void *owner, struct bk_session *s, enum bk_session_end why);
static const struct bk_session_ops session_ops = { on_open, on_over };

static int invite(struct conversation *v)
{
    struct bk_session *s;
    int r = bk_session_invite(v->c, v->address, &session_ops, v, &s);
    if (r < 0)
        return r;
    prefer_session(v, s);
    v->inviting = s;
    return 0;
}

static void go_on(struct conversation *v)
{
    struct bk_session *s = open_session(v);
    if (v->sending || v->c->state != BK_CLIENT_SIGNED_IN)
        return;
    if (s)
        v->sending = bk_message_next(v->c, v->address, s);
    else if (v->n_sessions || !bk_message_waits(v->c, v->address))
        return; /* one will open soon, or none is needed */
    else if (is_alone(v) || invite(v) < 0)
        bk_message_go_alone(v->c, v->address);
}

bool bk_conversation_take(struct bk_client *c, const char *address)
{
    struct conversation *v = c->speaks_dialect ? use(c, address) : NULL;
    if (!v || (is_alone(v) && !open_session(v)))
        return false;
    v->talked = true;
    v->typing = v->typing_told = false; /* a message says as much as "stopped" */
    bk_timer_disarm(bk_client_timers(c), &v->pause);
    go_on(v);
    return true;
}

bool bk_conversation_key(struct bk_client *c, const char *address, struct bk_outbox_key *ret)
{
    const struct conversation *v = c->speaks_dialect ? find(c, address) : NULL;
    const struct bk_session *s = v ? open_session(v) : NULL;
    return s && !v->sending && !bk_message_waits(c, address) && bk_session_key(s, ret) == 0;
}

void bk_conversation_answered(struct bk_client *c, const char *address,
                              const struct bk_outbox_key *key, int status)
{
    struct conversation *v = find(c, address);
    struct bk_session *s = bk_session_of(c, key->call_id, key->tag);
    if (v)
        v->sending = false;
    if (s && (status == 481 || status == 405)) {
        bk_session_unknown(s);
    } else if (s && status == 0) { /* nobody is there, it seems */
        if (v)
            forget_session(v, s);
        bk_session_close(s);
    }
    if (v)
        go_on(v);
}

/* ---- sessions come and go ---- */

static void tell_typing(struct conversation *v);

static void on_open(void *owner, struct bk_session *s)
{
    struct conversation *v = owner;
    if (v->inviting == s)
        v->inviting = NULL;
    v->alone_until_ms = 0;
    v->closed_there = false;
    prefer_session(v, s);
    go_on(v);
    if (v->typing && !v->typing_told)
        tell_typing(v);
}

static void on_over(void *owner, struct bk_session *s, enum bk_session_end why)
{
    struct conversation *v = owner;
    bool ours = v->inviting == s;
    forget_session(v, s);
    if (why == BK_SESSION_LOST)
        return;
    if (ours && why == BK_SESSION_REFUSED)
        v->alone_until_ms = bk_client_now(v->c) + ALONE_MS;
    v->closed_there = why == BK_SESSION_CLOSED && !open_session(v);
    if (!open_session(v))
        set_he_types(v, false, 0);
    go_on(v);
}

static int ring_ms(struct bk_client *c, const struct conversation *v)
{
    if (v->n_sessions || v->talked)
        return 0;
    return c->machine == BK_PIDF_MACHINE_AWAY       ? RING_AWAY_MS
           : c->machine == BK_PIDF_MACHINE_INACTIVE ? RING_INACTIVE_MS
                                                    : RING_MS;
}

/* Whose request this is, in lower case. false: unreadable, or out of memory. */
static bool sender_of(const struct bk_sip_head *head, char ret[BK_SIP_AOR_MAX + 1])
{
    BK_AUTO_BUF struct bk_buf aor = { 0 };
    struct bk_sip_uri uri;
    if (bk_sip_uri_parse(head->from_uri, &uri) < 0 || bk_sip_uri_aor(&uri, &aor) < 0 ||
        aor.failed || aor.len > BK_SIP_AOR_MAX)
        return false;
    memcpy(ret, aor.at, aor.len);
    ret[aor.len] = 0;
    return true;
}

static void invited(struct bk_client *c, const struct bk_sip_msg *msg,
                    const struct bk_sip_head *head)
{
    char from[BK_SIP_AOR_MAX + 1];
    bool here =
        c->profile_open && (c->state == BK_CLIENT_SIGNED_IN || c->state == BK_CLIENT_PRESENCE);
    struct conversation *v = here && sender_of(head, from) ? use(c, from) : NULL;
    struct bk_session *s;
    if (!v) {
        bk_link_answer(c->link, msg, head, 480, bk_view_of_str(c->from_tag), (struct bk_view){ 0 });
        return;
    }
    if (bk_session_invited(c, msg, head, ring_ms(c, v), &session_ops, v, &s) < 0)
        return;
    prefer_session(v, s);
    if (bk_session_is_open(s))
        go_on(v);
}

static void inside(struct bk_session *s, const struct bk_sip_msg *msg,
                   const struct bk_sip_head *head, struct bk_client *c);

bool bk_conversation_request(struct bk_client *c, const struct bk_sip_msg *msg,
                             const struct bk_sip_head *head)
{
    struct bk_session *s = head->to_tag.len ? bk_session_find(c, msg, head) : NULL;
    if (s && bk_session_request(s, msg, head))
        return true;
    if (s && msg->method == BK_SIP_INFO) {
        inside(s, msg, head, c);
        return true;
    }
    if (!head->to_tag.len && bk_session_is_offer(msg)) {
        invited(c, msg, head);
        return true;
    }
    return false;
}

void bk_conversation_close(struct bk_client *c, const char *address)
{
    BK_LIST_EACH(&c->conversations, it)
    {
        struct conversation *v = bk_container_of(it, struct conversation, in);
        if (address && strcmp(v->address, address) != 0)
            continue;
        while (v->n_sessions) {
            struct bk_session *s = v->sessions[0];
            forget_session(v, s);
            bk_session_close(s);
        }
        set_he_types(v, false, 0);
        v->talked = v->typing = v->typing_told = false;
        bk_timer_disarm(bk_client_timers(c), &v->pause);
        if (address)
            bk_message_go_alone(c, v->address); /* what was not said yet is said all the same */
    }
}

void bk_conversations_reset(struct bk_client *c)
{
    bk_sessions_lost(c);
    while (c->conversations.next && !bk_list_empty(&c->conversations))
        drop(bk_container_of(c->conversations.next, struct conversation, in));
}

/* ---- typing: ours ---- */

static void on_told(void *owner, const struct bk_sip_msg *msg)
{
    (void)owner;
    (void)msg; /* who does not want to hear of it says so each time, which costs little */
}

static void write_composing(struct conversation *v, struct bk_view body, struct bk_buf *to)
{
    struct bk_client *c = v->c;
    uint64_t r[2] = { bk_random_u64(c->random), bk_random_u64(c->random) };
    BK_AUTO_BUF struct bk_buf uri = { 0 };
    bk_buf_addf(&uri, "sip:%s", v->address);
    bk_link_request_begin(c->link, v->telling, to, BK_SIP_MESSAGE, bk_buf_view(&uri));
    bk_sip_field_addf(to, BK_SIP_HDR_FROM, "<sip:%s>;tag=%016llx", c->address,
                      (unsigned long long)r[0]);
    bk_sip_field_addf(to, BK_SIP_HDR_TO, "<sip:%s>", v->address);
    bk_sip_field_addf(to, BK_SIP_HDR_CALL_ID, "%016llx", (unsigned long long)r[1]);
    bk_sip_field_add(to, BK_SIP_HDR_CSEQ, BK_VIEW("1 MESSAGE"));
    bk_sip_end(to, BK_VIEW(COMPOSING), body);
    to->failed |= uri.failed;
}

/* As it is now: inside the session, or where there are none as a message of its own. */
static void tell_typing(struct conversation *v)
{
    struct bk_client *c = v->c;
    struct bk_session *s = open_session(v);
    BK_AUTO_BUF struct bk_buf request = { 0 };
    BK_AUTO_BUF struct bk_buf body = { 0 };
    if (c->state != BK_CLIENT_SIGNED_IN || (!s && !is_alone(v)))
        return;
    bk_ask_drop(v->telling);
    if (bk_ask_begin(c->link, s ? BK_SIP_INFO : BK_SIP_MESSAGE, on_told, v, &v->telling) < 0)
        return;
    if (s) {
        bk_ms_keyboard_write(&body, v->typing);
        bk_session_write(s, v->telling, BK_SIP_INFO, &request);
        bk_sip_end(&request, BK_VIEW("application/xml"), bk_buf_view(&body));
    } else {
        bk_ms_composing_write(&body, v->typing);
        write_composing(v, bk_buf_view(&body), &request);
    }
    if (request.failed || body.failed) {
        bk_ask_drop(v->telling);
        return;
    }
    bk_ask_send(v->telling, bk_buf_view(&request));
    v->typing_told = v->typing;
    v->typing_told_ms = bk_client_now(c);
}

static void stop_typing(struct conversation *v)
{
    v->typing = false;
    bk_timer_disarm(bk_client_timers(v->c), &v->pause);
    if (v->typing_told)
        tell_typing(v);
}

static void on_pause(struct bk_timer *timer)
{
    stop_typing(bk_container_of(timer, struct conversation, pause));
}

void bk_conversation_typing(struct bk_client *c, const char *address, bool typing)
{
    struct conversation *v = find(c, address);
    if (!v || !v->talked || c->state != BK_CLIENT_SIGNED_IN)
        return; /* before the first word there is nobody to tell */
    if (!typing) {
        stop_typing(v);
        return;
    }
    int64_t now = bk_client_now(c);
    int again_ms = is_alone(v) && !open_session(v) ? COMPOSING_AGAIN_MS : TYPING_AGAIN_MS;
    bool known = v->typing && v->typing_told && now - v->typing_told_ms < again_ms;
    v->typing = true;
    bk_timer_arm(bk_client_timers(c), &v->pause, now + TYPING_PAUSE_MS);
    if (!is_alone(v) && !v->n_sessions && !v->closed_there)
        (void)invite(v); /* on_open tells it */
    else if (!known)
        tell_typing(v);
}

/* ---- typing: his ---- */

static void set_he_types(struct conversation *v, bool types, int lapse_ms)
{
    struct bk_client *c = v->c;
    if (types)
        bk_timer_arm(bk_client_timers(c), &v->lapse, bk_client_now(c) + lapse_ms);
    else
        bk_timer_disarm(bk_client_timers(c), &v->lapse);
    if (v->he_types == types)
        return;
    struct bk_event *event = bk_event_new(c, BK_CLIENT_EVENT_TYPING);
    if (!event)
        return;
    v->he_types = types;
    event->pub.typing.from = bk_event_text(event, v->address);
    event->pub.typing.typing = types;
    bk_event_post(c, event);
}

static void on_lapse(struct bk_timer *timer)
{
    set_he_types(bk_container_of(timer, struct conversation, lapse), false, 0);
}

static void inside(struct bk_session *s, const struct bk_sip_msg *msg,
                   const struct bk_sip_head *head, struct bk_client *c)
{
    struct conversation *v = bk_session_owner(s);
    enum bk_ms_typing typing = bk_ms_keyboard_parse(msg->body);
    struct bk_view tag = bk_view_of_str(c->from_tag), none = { 0 };
    if (typing == BK_MS_TYPING_NO_WORD) {
        bk_link_answer(c->link, msg, head, 415, tag, BK_VIEW("Accept: application/xml\r\n"));
        return;
    }
    bk_link_answer(c->link, msg, head, 200, tag, none);
    bk_session_used(s);
    if (v)
        set_he_types(v, typing == BK_MS_TYPING_ON, TYPING_LAPSE_MS);
}

void bk_conversation_composing(struct bk_client *c, const char *address, struct bk_view body)
{
    enum bk_ms_typing typing = bk_ms_composing_parse(body);
    struct conversation *v = typing == BK_MS_TYPING_NO_WORD ? NULL : use(c, address);
    if (v)
        set_he_types(v, typing == BK_MS_TYPING_ON, COMPOSING_LAPSE_MS);
}

void bk_conversation_heard(struct bk_client *c, const char *address, struct bk_session *s)
{
    struct conversation *v = use(c, address);
    if (!v)
        return;
    v->talked = true;
    set_he_types(v, false, 0);
    if (!s || bk_session_owner(s) != v)
        return;
    bk_session_used(s);
    prefer_session(v, s);
}

void bk_conversation_talked(struct bk_client *c, const char *address)
{
    struct conversation *v = use(c, address);
    if (!v)
        return;
    v->talked = true;
    v->typing = v->typing_told = false;
    bk_timer_disarm(bk_client_timers(c), &v->pause);
}
