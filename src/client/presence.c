/* SPDX-License-Identifier: Apache-2.0 */
/* Own presence out (RFC 3903), that of others in (RFC 3856 on RFC 6665). */
#include "base/cleanup.h"
#include "base/text.h"
#include "client/watch_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { REPUBLISH_AHEAD_S = 30, RETRY_MS = 30 * 1000 };

static void subscribe(struct watch *w);

/* ---- telling the face ---- */

static void tell(struct watch *w, enum bk_pidf_shown shown, struct bk_view note, int64_t since_ms)
{
    struct bk_client *c = w->client;
    if (w->told && w->shown == shown && w->since_ms == since_ms &&
        bk_view_equal(bk_view_of_str(w->note), note))
        return;
    free(w->note);
    w->note = note.len ? bk_view_dup(note) : NULL;
    w->shown = shown;
    w->since_ms = since_ms;
    w->told = true;
    struct bk_event *event = bk_event_new(c, BK_CLIENT_EVENT_PRESENCE);
    if (!event)
        return;
    event->pub.presence.address = bk_event_text(event, w->address);
    event->pub.presence.own = w->own;
    event->pub.presence.watched = w->wanted;
    event->pub.presence.shown = shown;
    event->pub.presence.name = bk_event_text(event, w->name ? w->name : "");
    event->pub.presence.note = bk_event_view(event, note);
    event->pub.presence.since_ms = since_ms;
    bk_event_post(c, event);
}

static void tell_unknown(struct watch *w)
{
    tell(w, BK_PIDF_SHOWN_UNKNOWN, (struct bk_view){ 0 }, 0);
}

/* ---- subscriptions ---- */

static void arm_due(struct watch *w, int64_t at_ms)
{
    bk_timer_arm(bk_client_timers(w->client), &w->due, at_ms);
}

static void forget_dialog(struct watch *w)
{
    bk_ask_drop(w->ask);
    w->dialog = bk_sip_dialog_destroy(w->dialog);
    bk_timer_disarm(bk_client_timers(w->client), &w->due);
    w->subscriber.state = BK_SIP_SUBSCRIBER_TERMINATED;
}

static void follow(struct watch *w, enum bk_sip_subscriber_next next)
{
    switch (next) {
    case BK_SIP_SUBSCRIBER_KEEP:
        if (w->subscriber.refresh_at_ms != INT64_MAX)
            arm_due(w, w->subscriber.refresh_at_ms);
        return;
    case BK_SIP_SUBSCRIBER_RESUBSCRIBE_NOW:
        forget_dialog(w);
        subscribe(w);
        return;
    case BK_SIP_SUBSCRIBER_RESUBSCRIBE_LATER: {
        int64_t at = w->subscriber.retry_at_ms;
        forget_dialog(w);
        tell_unknown(w);
        arm_due(w, at);
        return;
    }
    case BK_SIP_SUBSCRIBER_STOP:
        forget_dialog(w);
        tell_unknown(w);
        return;
    }
}

static void on_subscribed(void *owner, const struct bk_sip_msg *msg)
{
    struct watch *w = owner;
    struct bk_client *c = w->client;
    struct bk_sip_head head;
    struct bk_sip_fault fault;
    if (!msg) {
        follow(w, bk_sip_subscriber_response(&w->subscriber, 408, -1, -1, bk_client_now(c)));
        return;
    }
    int64_t expires = -1;
    uint64_t retry;
    (void)bk_sip_msg_expires(msg, &expires);
    int64_t retry_after =
        bk_view_to_u64(bk_sip_msg_value(msg, BK_SIP_HDR_RETRY_AFTER), 24 * 3600, &retry) == 0
            ? (int64_t)retry
            : -1;
    if (msg->status / 100 == 2 && !w->dialog && bk_sip_msg_check(msg, &head, &fault) == 0)
        (void)bk_sip_dialog_from_response(msg, &head, &w->dialog);
    else if (msg->status / 100 == 2 && w->dialog)
        bk_sip_dialog_answer(w->dialog, msg);
    follow(w, bk_sip_subscriber_response(&w->subscriber, msg->status, expires, retry_after,
                                         bk_client_now(c)));
}

static void write_first(struct watch *w, struct bk_buf *to)
{
    struct bk_client *c = w->client;
    BK_AUTO_BUF struct bk_buf uri = { 0 };
    bk_buf_addf(&uri, "sip:%s", w->address);
    bk_random_hex(c->random, 16, w->call_id);
    bk_random_hex(c->random, 8, w->tag);
    w->cseq = 1;
    bk_link_request_begin(c->link, w->ask, to, BK_SIP_SUBSCRIBE, bk_buf_view(&uri));
    bk_sip_field_addf(to, BK_SIP_HDR_FROM, "<sip:%s>;tag=%s", c->address, w->tag);
    bk_sip_field_addf(to, BK_SIP_HDR_TO, "<sip:%s>", w->address);
    bk_sip_field_add(to, BK_SIP_HDR_CALL_ID, bk_view_of_str(w->call_id));
    bk_sip_field_addf(to, BK_SIP_HDR_CSEQ, "%u SUBSCRIBE", w->cseq);
}

static void subscribe(struct watch *w)
{
    struct bk_client *c = w->client;
    BK_AUTO_BUF struct bk_buf request = { 0 };
    BK_AUTO_BUF struct bk_buf contact = { 0 };
    if (c->speaks_dialect && !w->alone) {
        bk_dialect_watch(c);
        return;
    }
    if (w->ask || bk_ask_begin(c->link, BK_SIP_SUBSCRIBE, on_subscribed, w, &w->ask) < 0)
        return;
    if (w->dialog) {
        bk_sip_dialog_request_begin(w->dialog, &request, BK_SIP_SUBSCRIBE, bk_link_via(c->link),
                                    bk_ask_branch(w->ask));
        bk_sip_field_add(&request, BK_SIP_HDR_USER_AGENT, bk_view_of_str(c->user_agent));
    } else {
        bk_sip_subscriber_init(&w->subscriber, bk_client_now(c));
        write_first(w, &request);
    }
    bk_register_contact(c, &contact);
    bk_sip_field_add(&request, BK_SIP_HDR_CONTACT, bk_buf_view(&contact));
    bk_sip_field_add(&request, BK_SIP_HDR_EVENT, BK_VIEW("presence"));
    bk_sip_field_add(&request, BK_SIP_HDR_ACCEPT, BK_VIEW(BK_PIDF_CONTENT_TYPE));
    bk_sip_field_addf(&request, BK_SIP_HDR_EXPIRES, "%d", c->timing.expires_s);
    bk_sip_end(&request, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    if (!request.failed)
        bk_ask_send(w->ask, bk_buf_view(&request));
}

static void on_due(struct bk_timer *timer)
{
    subscribe(bk_container_of(timer, struct watch, due));
}

/* A refresh of zero seconds; whatever comes of it is not waited for. */
static void unsubscribe(struct watch *w)
{
    struct bk_client *c = w->client;
    BK_AUTO_BUF struct bk_buf request = { 0 };
    BK_AUTO_BUF struct bk_buf contact = { 0 };
    bk_ask_drop(w->ask);
    if (!w->dialog || bk_ask_begin(c->link, BK_SIP_SUBSCRIBE, on_subscribed, w, &w->ask) < 0)
        return;
    bk_sip_dialog_request_begin(w->dialog, &request, BK_SIP_SUBSCRIBE, bk_link_via(c->link),
                                bk_ask_branch(w->ask));
    bk_register_contact(c, &contact);
    bk_sip_field_add(&request, BK_SIP_HDR_CONTACT, bk_buf_view(&contact));
    bk_sip_field_add(&request, BK_SIP_HDR_EVENT, BK_VIEW("presence"));
    bk_sip_field_add(&request, BK_SIP_HDR_EXPIRES, BK_VIEW("0"));
    bk_sip_end(&request, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    if (!request.failed)
        bk_ask_send(w->ask, bk_buf_view(&request));
    bk_ask_drop(w->ask);
}

struct watch *bk_watch_find(struct bk_client *c, struct bk_view address)
{
    BK_LIST_EACH(&c->watches, it)
    {
        struct watch *w = bk_container_of(it, struct watch, in);
        if (bk_view_equal(bk_view_of_str(w->address), address))
            return w;
    }
    return NULL;
}

static bool is_live(const struct bk_client *c)
{
    return c->state == BK_CLIENT_PRESENCE || c->state == BK_CLIENT_SIGNED_IN;
}

static struct watch *make_watch(struct bk_client *c, struct bk_view address)
{
    struct watch *w =
        c->n_watches < WATCHES_MAX && address.len <= BK_SIP_AOR_MAX ? calloc(1, sizeof *w) : NULL;
    if (!w)
        return NULL;
    w->client = c;
    memcpy(w->address, address.at, address.len);
    bk_timer_init(&w->due, on_due);
    bk_list_append(&c->watches, &w->in);
    c->n_watches++;
    return w;
}

void bk_presence_watch(struct bk_client *c, const char *address, bool own)
{
    struct watch *w = bk_watch_find(c, bk_view_of_str(address));
    if (w) {
        w->own |= own;
        if (!own && !w->wanted && w->told) { /* the face asks anew: it is told again */
            w->told = false;
            w->wanted = true;
            tell(w, w->shown, bk_view_of_str(w->note), w->since_ms);
        }
        w->wanted |= !own;
        if (is_live(c) && !w->dialog)
            subscribe(w);
        return;
    }
    w = make_watch(c, bk_view_of_str(address));
    if (!w) {
        bk_tell_notice(c, BK_SAY("This person cannot be watched: there are too many already."));
        return;
    }
    w->own = own;
    w->wanted = !own;
    if (is_live(c))
        subscribe(w);
    else
        tell_unknown(w);
}

static void free_watch(struct watch *w)
{
    if (w->asked || w->in_batch)
        bk_dialect_unwatch(w->client, w->address);
    forget_dialog(w);
    bk_list_remove(&w->in);
    w->client->n_watches--;
    free(w->name);
    free(w->note);
    free(w);
}

void bk_presence_unwatch(struct bk_client *c, const char *address)
{
    struct watch *w = bk_watch_find(c, bk_view_of_str(address));
    if (!w)
        return;
    w->wanted = false;
    if (w->own || w->listed)
        return;
    unsubscribe(w);
    free_watch(w);
}

void bk_watch_listed(struct bk_client *c, struct bk_view address, bool listed, bool fresh)
{
    struct watch *w = bk_watch_find(c, address);
    if (!w && listed) {
        w = make_watch(c, address);
        if (w)
            tell_unknown(w);
    }
    if (!w || w->listed == listed)
        return;
    w->listed = listed;
    w->fresh = fresh;
    if (listed && fresh && w->in_batch)
        w->in_batch = false; /* asked for once more, so that the server knows that it is new */
    if (listed && is_live(c)) {
        subscribe(w);
    } else if (!listed && !w->own && !w->wanted) {
        unsubscribe(w);
        free_watch(w);
    }
}

/* A server that knows no name says the address in its place. True: it is another now. */
static bool take_name(struct watch *w, struct bk_view name)
{
    if (!name.len || !bk_utf8_valid(name) || bk_view_equal(name, bk_view_of_str(w->name)) ||
        bk_view_equal_nocase(name, bk_view_of_str(w->address)))
        return false;
    char *copy = bk_view_dup(name);
    if (!copy)
        return false;
    free(w->name);
    w->name = copy;
    return true;
}

void bk_watch_told(struct watch *w, const struct bk_ms_told_person *told)
{
    /* tell() frees the note it had. */
    BK_AUTO_FREE char *had = w->note ? strdup(w->note) : NULL;
    enum bk_pidf_shown shown = told->has_state ? told->shown
                               : w->told       ? w->shown
                                               : BK_PIDF_SHOWN_UNKNOWN;
    if (take_name(w, told->display_name))
        w->told = false; /* news, even where the state is the old one */
    tell(w, shown, told->has_note ? told->note : bk_view_of_str(had),
         told->has_state ? told->since_ms : w->since_ms);
}

void bk_watch_unknown(struct watch *w)
{
    tell_unknown(w);
}

void bk_watch_alone(struct watch *w)
{
    w->alone = true;
    w->in_batch = w->asked = false;
    if (is_live(w->client) && !w->dialog)
        subscribe(w);
}

/* ---- notifications ---- */

static struct watch *watch_of(struct bk_client *c, const struct bk_sip_head *head)
{
    BK_LIST_EACH(&c->watches, it)
    {
        struct watch *w = bk_container_of(it, struct watch, in);
        if (w->call_id[0] && bk_view_equal(head->call_id, bk_view_of_str(w->call_id)) &&
            bk_view_equal(head->to_tag, bk_view_of_str(w->tag)))
            return w;
    }
    return NULL;
}

static void take_document(struct watch *w, struct bk_view body)
{
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_pidf doc;
    const char *why = "";
    if (bk_pidf_parse(body, &arena, &doc, &why) < 0) {
        bk_log(w->client->log, BK_LOG_NOTICE, "presence not readable", "of", w->address, "why",
               why);
        return;
    }
    tell(w, bk_pidf_read_shown(&doc), doc.note, doc.since_ms);
}

void bk_presence_notify(struct bk_client *c, const struct bk_sip_msg *msg,
                        const struct bk_sip_head *head)
{
    struct watch *w = watch_of(c, head);
    struct bk_sip_subscription_state st = { .expires_s = -1, .retry_after_s = -1 };
    if (!w || !is_live(c)) {
        bk_link_answer(c->link, msg, head, 481, bk_view_of_str(c->from_tag), (struct bk_view){ 0 });
        return;
    }
    if (bk_sip_subscription_state_parse(bk_sip_msg_value(msg, BK_SIP_HDR_SUBSCRIPTION_STATE), &st) <
        0) {
        bk_link_answer(c->link, msg, head, 400, bk_view_of_str(w->tag), (struct bk_view){ 0 });
        return;
    }
    if (w->dialog && bk_sip_dialog_receive(w->dialog, msg, head) == -EAGAIN) {
        bk_link_answer(c->link, msg, head, 500, bk_view_of_str(w->tag), (struct bk_view){ 0 });
        return;
    }
    bk_link_answer(c->link, msg, head, 200, bk_view_of_str(w->tag), (struct bk_view){ 0 });
    if (msg->body.len)
        take_document(w, msg->body);
    follow(w, bk_sip_subscriber_notify(&w->subscriber, &st, bk_client_now(c)));
}

/* ---- publication ---- */

static void write_document(struct bk_client *c, struct bk_buf *to)
{
    BK_AUTO_BUF struct bk_buf entity = { 0 };
    BK_AUTO_BUF struct bk_buf contact = { 0 };
    bk_buf_addf(&entity, "sip:%s", c->address);
    bk_buf_add_view(&contact, bk_buf_view(&entity));
    struct bk_pidf doc = {
        .entity = bk_buf_view(&entity),
        .n_tuples = 1,
        .tuples = { { .id = bk_view_of_str(c->profile.endpoint),
                      .basic = BK_PIDF_OPEN,
                      .contact = bk_buf_view(&contact) } },
        .idle = c->machine == BK_PIDF_MACHINE_INACTIVE,
        .activities = c->machine == BK_PIDF_MACHINE_AWAY ? BK_PIDF_AWAY : 0,
        .machine = c->machine,
        .manual = c->manual_status,
        .note = bk_view_of_str(c->note),
    };
    bk_pidf_write(to, &doc);
    if (entity.failed || contact.failed)
        to->failed = true;
}

static void on_published(void *owner, const struct bk_sip_msg *msg);

static void send_publish(struct bk_client *c)
{
    BK_AUTO_BUF struct bk_buf request = { 0 };
    BK_AUTO_BUF struct bk_buf body = { 0 };
    BK_AUTO_BUF struct bk_buf uri = { 0 };
    if (bk_ask_begin(c->link, BK_SIP_PUBLISH, on_published, c, &c->publishing) < 0)
        return;
    if (!c->publish_call_id[0]) {
        bk_random_hex(c->random, 16, c->publish_call_id);
        bk_random_hex(c->random, 8, c->publish_tag);
    }
    bk_buf_addf(&uri, "sip:%s", c->address);
    write_document(c, &body);
    bk_link_request_begin(c->link, c->publishing, &request, BK_SIP_PUBLISH, bk_buf_view(&uri));
    bk_sip_field_addf(&request, BK_SIP_HDR_FROM, "<sip:%s>;tag=%s", c->address, c->publish_tag);
    bk_sip_field_addf(&request, BK_SIP_HDR_TO, "<sip:%s>", c->address);
    bk_sip_field_add(&request, BK_SIP_HDR_CALL_ID, bk_view_of_str(c->publish_call_id));
    bk_sip_field_addf(&request, BK_SIP_HDR_CSEQ, "%u PUBLISH", ++c->publish_cseq);
    bk_sip_field_add(&request, BK_SIP_HDR_EVENT, BK_VIEW("presence"));
    bk_sip_field_addf(&request, BK_SIP_HDR_EXPIRES, "%d", c->timing.expires_s);
    if (c->etag[0])
        bk_sip_field_add(&request, BK_SIP_HDR_SIP_IF_MATCH, bk_view_of_str(c->etag));
    bk_sip_end(&request, BK_VIEW(BK_PIDF_CONTENT_TYPE), bk_buf_view(&body));
    if (!request.failed && !body.failed && !uri.failed)
        bk_ask_send(c->publishing, bk_buf_view(&request));
}

void bk_presence_publish(struct bk_client *c)
{
    if (!is_live(c))
        return;
    if (c->speaks_dialect)
        bk_dialect_publish(c);
    else if (c->publishing)
        c->publish_again = true; /* RFC 3903 4.1: one at a time */
    else
        send_publish(c);
}

static void take_etag(struct bk_client *c, const struct bk_sip_msg *msg)
{
    struct bk_view etag = bk_sip_msg_value(msg, BK_SIP_HDR_SIP_ETAG);
    size_t len = etag.len < sizeof c->etag ? etag.len : 0;
    if (len)
        memcpy(c->etag, etag.at, len);
    c->etag[len] = 0;
}

static void on_published(void *owner, const struct bk_sip_msg *msg)
{
    struct bk_client *c = owner;
    int64_t s = c->timing.expires_s;
    int64_t wait_ms = RETRY_MS;
    if (msg && msg->status / 100 == 2) {
        take_etag(c, msg);
        (void)bk_sip_msg_expires(msg, &s);
        s = s > 2 * REPUBLISH_AHEAD_S ? s - REPUBLISH_AHEAD_S : s / 2 + 1;
        wait_ms = s * 1000;
    } else {
        c->etag[0] = 0;
        if (msg && msg->status == 412) /* it is no longer known: anew, at once */
            c->publish_again = true;
    }
    bk_timer_arm(bk_client_timers(c), &c->republish, bk_client_now(c) + wait_ms);
    if (c->publish_again && is_live(c)) {
        c->publish_again = false;
        send_publish(c);
        return;
    }
    if (c->state == BK_CLIENT_PRESENCE)
        bk_client_feed(c, IN_PRESENT);
}

static void on_republish(struct bk_timer *timer)
{
    bk_presence_publish(bk_container_of(timer, struct bk_client, republish));
}

/* ---- with the sign-in ---- */

void bk_presence_begin(struct bk_client *c)
{
    c->etag[0] = 0;
    c->publish_again = false;
    if (c->speaks_dialect)
        bk_dialect_begin(c);
    else
        bk_presence_publish(c);
    bk_presence_watch(c, c->address, true);
    BK_LIST_EACH(&c->watches, it)
    {
        struct watch *w = bk_container_of(it, struct watch, in);
        if (!w->dialog)
            subscribe(w);
    }
}

/* docs/behaviour.md, "Own connection lost": unknown, never offline. */
void bk_presence_reset(struct bk_client *c)
{
    bk_ask_drop(c->publishing);
    bk_timer_disarm(bk_client_timers(c), &c->republish);
    c->etag[0] = 0;
    bk_dialect_reset(c);
    BK_LIST_EACH(&c->watches, it)
    {
        struct watch *w = bk_container_of(it, struct watch, in);
        w->asked = w->in_batch = w->alone = false;
        forget_dialog(w);
        tell_unknown(w);
    }
}

void bk_presence_forget(struct bk_client *c)
{
    BK_LIST_EACH(&c->watches, it)
    {
        struct watch *w = bk_container_of(it, struct watch, in);
        w->own = w->listed = false;
        if (!w->wanted)
            free_watch(w);
    }
    bk_dialect_forget(c);
    c->manual_status = BK_PIDF_MANUAL_MISSING;
    free(c->note);
    c->note = NULL;
}

void bk_presence_end(struct bk_client *c)
{
    if (!c->republish.fire)
        bk_timer_init(&c->republish, on_republish);
    bk_ask_drop(c->publishing);
    bk_timer_disarm(bk_client_timers(c), &c->republish);
    bk_dialect_forget(c);
    BK_LIST_EACH(&c->watches, it)
    free_watch(bk_container_of(it, struct watch, in));
}
