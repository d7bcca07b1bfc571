/* SPDX-License-Identifier: Apache-2.0 */
/* MESSAGE that arrives (RFC 3428): alone or inside a session, shown once, and answered when it was shown. */
#include "base/cleanup.h"
#include "base/text.h"
#include "client/client_private.h"
#include "ms/session.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

enum { SENT_LONG_AGO_MS = 10 * 1000 };

/* A message that the face has and has not shown yet. */
struct show {
    struct bk_list in;
    uint8_t key[BK_PROFILE_KEY_SIZE];
    struct bk_owed *owed; /* NULL: nobody waits for the answer any more */
};

static void add_aor(struct bk_buf *to, struct bk_view uri_text)
{
    struct bk_sip_uri uri;
    if (bk_sip_uri_parse(uri_text, &uri) < 0 || bk_sip_uri_aor(&uri, to) < 0)
        bk_buf_add_view(to, uri_text);
}

/* docs/limits.md, "Exactly once": From tag, Call-ID, CSeq, From, To. The branch is not in it. */
static int make_key(const struct bk_sip_head *head, uint8_t ret[BK_PROFILE_KEY_SIZE])
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    unsigned len = 0;
    bk_buf_addf(&text, "%.*s\n%.*s\n%u\n", BK_VIEW_ARGS(head->from_tag),
                BK_VIEW_ARGS(head->call_id), head->cseq);
    add_aor(&text, head->from_uri);
    bk_buf_add_char(&text, '\n');
    add_aor(&text, head->to_uri);
    if (text.failed || EVP_Digest(text.at, text.len, ret, &len, EVP_sha256(), NULL) != 1)
        return -ENOMEM;
    return 0;
}

static struct show *find_show(struct bk_client *c, const uint8_t key[BK_PROFILE_KEY_SIZE])
{
    BK_LIST_EACH(&c->shows, it)
    {
        struct show *s = bk_container_of(it, struct show, in);
        if (memcmp(s->key, key, sizeof s->key) == 0)
            return s;
    }
    return NULL;
}

/* Quoted-pairs undone (RFC 3261 25.1). */
static void add_display(struct bk_buf *to, struct bk_view display)
{
    for (size_t i = 0; i < display.len; i++) {
        if (display.at[i] == '\\' && i + 1 < display.len)
            i++;
        bk_buf_add_char(to, display.at[i]);
    }
    if (to->len && !bk_utf8_valid(bk_buf_view(to)))
        bk_buf_clear(to);
}

static const char *view_text(struct bk_event *event, struct bk_buf *buf)
{
    /* A NUL inside would cut the text: it becomes a blank. */
    for (size_t i = 0; i < buf->len; i++)
        if (!buf->at[i])
            buf->at[i] = ' ';
    return bk_event_view(event, bk_buf_view(buf));
}

static int tell_incoming(struct bk_client *c, const struct bk_sip_msg *msg,
                         const struct bk_sip_head *head, struct bk_buf *text, struct show *show)
{
    struct bk_event *event = bk_event_new(c, BK_CLIENT_EVENT_MESSAGE);
    if (!event)
        return -ENOMEM;
    BK_AUTO_BUF struct bk_buf from = { 0 };
    BK_AUTO_BUF struct bk_buf name = { 0 };
    BK_AUTO_BUF struct bk_buf name_of_key = { 0 };
    struct bk_view rest = bk_sip_msg_value(msg, BK_SIP_HDR_FROM);
    struct bk_sip_addr addr;
    add_aor(&from, head->from_uri);
    if (bk_sip_addr_next(&rest, &addr) == 1)
        add_display(&name, addr.display);
    int64_t now = event->pub.at_ms, sent = now;
    if (bk_time_http_parse(bk_sip_msg_value(msg, BK_SIP_HDR_DATE), &sent) < 0)
        sent = now;
    bk_buf_add_hex(&name_of_key, show->key, sizeof show->key);
    if (from.failed || name_of_key.failed) {
        bk_event_free(event);
        return -ENOMEM;
    }
    event->pub.message.from = view_text(event, &from);
    event->pub.message.from_name = view_text(event, &name);
    event->pub.message.text = view_text(event, text);
    event->pub.message.sent_ms = sent;
    event->pub.message.delayed = now - sent > SENT_LONG_AGO_MS;
    event->pub.message.key = view_text(event, &name_of_key);
    event->show = show;
    bk_event_post(c, event);
    return 0;
}

static bool is_composing(struct bk_view content_type)
{
    return bk_view_starts_with_nocase(content_type, BK_VIEW("application/im-iscomposing+xml"));
}

/* The text as UTF-8, without its formatting. 0 or the status to refuse with. */
static int read_text(const struct bk_sip_msg *msg, struct bk_buf *ret)
{
    struct bk_view type = bk_sip_msg_value(msg, BK_SIP_HDR_CONTENT_TYPE);
    int r = bk_sip_msg_value(msg, BK_SIP_HDR_CONTENT_ENCODING).len
                ? -ENOTSUP
                : bk_ms_text(type.len ? type : BK_VIEW("text/plain"), msg->body, ret);
    return r == 0 ? 0 : r == -ENOTSUP || r == -EBADMSG ? 415 : 480;
}

/* What came for the first time. NULL: no memory. */
static struct show *show_new(struct bk_client *c, const struct bk_sip_msg *msg,
                             const struct bk_sip_head *head, struct bk_buf *text,
                             const uint8_t key[BK_PROFILE_KEY_SIZE])
{
    struct show *show = calloc(1, sizeof *show);
    if (!show)
        return NULL;
    memcpy(show->key, key, sizeof show->key);
    if (tell_incoming(c, msg, head, text, show) < 0) {
        free(show);
        return NULL;
    }
    bk_list_append(&c->shows, &show->in);
    return show;
}

/* A word from him, text or typing, in that session or alone (NULL): true where his address can be read. */
static bool heard(struct bk_client *c, const struct bk_sip_msg *msg, const struct bk_sip_head *head,
                  struct bk_session *session, bool composing)
{
    BK_AUTO_BUF struct bk_buf from = { 0 };
    add_aor(&from, head->from_uri);
    bk_buf_add_char(&from, 0);
    if (from.failed || from.len > BK_SIP_AOR_MAX + 1)
        return false;
    if (composing)
        bk_conversation_composing(c, from.at, msg->body);
    else
        bk_conversation_heard(c, from.at, session);
    return true;
}

void bk_message_receive(struct bk_client *c, const struct bk_sip_msg *msg,
                        const struct bk_sip_head *head)
{
    struct bk_view tag = bk_view_of_str(c->from_tag), none = { 0 };
    struct bk_session *session = head->to_tag.len ? bk_session_find(c, msg, head) : NULL;
    BK_AUTO_BUF struct bk_buf text = { 0 };
    uint8_t key[BK_PROFILE_KEY_SIZE];
    if (head->to_tag.len && !session) { /* whoever sent it knows what to do then */
        bk_link_answer(c->link, msg, head, 481, tag, none);
        return;
    }
    if (is_composing(bk_sip_msg_value(msg, BK_SIP_HDR_CONTENT_TYPE))) {
        bk_link_answer(c->link, msg, head, 200, tag, none);
        (void)heard(c, msg, head, session, true);
        return;
    }
    int refusal = read_text(msg, &text);
    if (refusal) {
        bk_link_answer(c->link, msg, head, refusal, tag,
                       refusal == 415 ? BK_VIEW("Accept: text/plain, text/html\r\n") : none);
        return;
    }
    if (!c->profile_open || make_key(head, key) < 0) {
        bk_link_answer(c->link, msg, head, 480, tag, none);
        return;
    }
    if (bk_profile_was_shown(&c->profile, key)) {
        bk_link_answer(c->link, msg, head, 200, tag, none);
        return;
    }
    struct bk_owed *owed;
    if (bk_link_owe(c->link, msg, head, tag, &owed) < 0) {
        bk_link_answer(c->link, msg, head, 480, tag, none);
        return;
    }
    (void)heard(c, msg, head, session, false);
    struct show *show = find_show(c, key);
    if (!show)
        show = show_new(c, msg, head, &text, key);
    else /* the face still has it: this sending is the one to be answered */
        bk_owed_drop(show->owed);
    if (show)
        show->owed = owed;
    else
        bk_owed_answer(owed, 480);
}

void bk_message_shown(struct bk_client *c, void *pointer)
{
    BK_LIST_EACH(&c->shows, it)
    {
        struct show *show = bk_container_of(it, struct show, in);
        if (show != pointer)
            continue;
        /* Where it cannot be noted on disk it is still known until the end of this run. */
        if (c->profile_open)
            (void)bk_profile_note_shown(&c->profile, show->key);
        if (show->owed)
            bk_owed_answer(show->owed, 200);
        bk_list_remove(&show->in);
        free(show);
        return;
    }
}

void bk_message_forget_shows(struct bk_client *c)
{
    BK_LIST_EACH(&c->shows, it)
    {
        struct show *show = bk_container_of(it, struct show, in);
        bk_owed_drop(show->owed);
        bk_list_remove(&show->in);
        free(show);
    }
}
