/* SPDX-License-Identifier: Apache-2.0 */
/* SUBSCRIBE and NOTIFY for event presence (RFC 3856, RFC 6665): who watches, and what each may see. */
#include "server/core_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { SUBSCRIBE_MIN_S = 60, SUBSCRIBE_MAX_S = 3600, SUBSCRIBE_DEFAULT_S = 3600, AWHILE_S = 3 };

/* Who may see how much. */
enum sight { SEES_OFFLINE, SEES_STATE, SEES_NOTE, N_SIGHTS };

/*
 * What the NOTIFYs about one person have in common, written once: for a round, and for those behind it that had to
 * wait for an answer.
 */
struct telling {
    const struct bk_state *state; /* whose version that is; NULL: nothing is written yet */
    uint64_t version;
    struct {
        struct bk_buf tail; /* Content-Type to the end of the document; empty: not written */
        uint64_t hash;      /* of the document */
    } told[N_SIGHTS];
    /* Of the last watcher's connection; most come in over the same address of ours. */
    enum bk_link_transport transport;
    uint16_t local_port;
    char local_ip[46];
    struct bk_buf via;     /* value of Via without its branch */
    struct bk_buf contact; /* whole line, and the Event line without its end */
};

int watch_create(struct bk_core *core)
{
    core->telling = calloc(1, sizeof *core->telling);
    return core->telling ? 0 : -ENOMEM;
}

void watch_destroy(struct bk_core *core)
{
    struct telling *t = core->telling;
    if (!t)
        return;
    for (int i = 0; i < N_SIGHTS; i++)
        bk_buf_finish(&t->told[i].tail);
    bk_buf_finish(&t->via);
    bk_buf_finish(&t->contact);
    free(t);
    core->telling = NULL;
}

static void notify(struct bk_subscription *s);

/* ---- documents ---- */

struct bk_view presence_note(struct bk_person *person)
{
    /* Of several endpoints' notes the one of the smallest endpoint key: the same whatever came first. */
    const struct bk_publication *best = NULL;
    if (person->note)
        return bk_view_of_str(person->note);
    BK_LIST_EACH(&person->publications, it)
    {
        const struct bk_publication *p = bk_container_of(it, struct bk_publication, in_person);
        if (!p->note.len)
            continue;
        size_t n =
            best && p->endpoint.len > best->endpoint.len ? best->endpoint.len : p->endpoint.len;
        int order = best && n ? memcmp(p->endpoint.at, best->endpoint.at, n) : 0;
        if (!best || order < 0 || (order == 0 && p->endpoint.len < best->endpoint.len))
            best = p;
    }
    return best ? best->note : (struct bk_view){ 0 };
}

static enum sight sight_of(int relation)
{
    /* docs/behaviour.md, "Relations": notes are for colleagues and nearer. */
    return relation >= RELATION_BLOCKED ? SEES_OFFLINE : relation >= 200 ? SEES_NOTE : SEES_STATE;
}

/* Who is blocked gets the very bytes of somebody who is offline. */
static void document(struct bk_person *person, enum sight sight, struct bk_buf *to)
{
    struct bk_pidf doc = { 0 };
    struct bk_buf entity = { 0 };
    enum bk_pidf_shown shown = sight == SEES_OFFLINE ? BK_PIDF_SHOWN_OFFLINE : person->shown;

    bk_buf_addf(&entity, "sip:%s", person->address);
    doc.entity = bk_buf_view(&entity);
    bk_pidf_render_shown(&doc, shown);
    if (shown != BK_PIDF_SHOWN_OFFLINE) {
        doc.since_ms = person->shown_since;
        if (sight == SEES_NOTE)
            doc.note = presence_note(person);
    }
    bk_buf_clear(to);
    bk_pidf_write(to, &doc);
    bk_buf_finish(&entity);
}

/* ---- NOTIFY ---- */

static void free_subscription(struct bk_subscription *s)
{
    struct bk_core *core = person_shard(s->person)->core;
    struct link *link = core_link(core, s->link);
    if (link)
        link->n_subscriptions--;
    if (s->notify)
        bk_sip_tx_forget(s->notify);
    bk_state_unsubscribe(s);
}

/* The answer to a NOTIFY, or its absence (status 0). */
static void notified(struct bk_subscription *s, int status)
{
    struct bk_person *person = s->person;
    person->holds++;
    s->notify = NULL;
    if (!bk_sip_notifier_answered(&s->notifier, status))
        free_subscription(s);
    else if (s->notifier.dirty)
        notify(s);
    person->holds--;
    bk_state_settle(person);
}

static void notify_response(struct bk_sip_tx *tx, void *user, const struct bk_sip_msg *msg)
{
    if (msg->status < 200)
        return;
    bk_sip_tx_forget(tx);
    notified(user, msg->status);
}

static void notify_failed(struct bk_sip_tx *tx, void *user, enum bk_sip_tx_failure why)
{
    (void)why;
    bk_sip_tx_forget(tx);
    notified(user, 0);
}

static const struct bk_sip_tx_user notify_user = { .response = notify_response,
                                                   .failed = notify_failed,
                                                   .status_only = true };

/* What is known of that person as of now; what was written of somebody else, or before, is thrown away. */
static struct telling *telling_of(struct bk_core *core, const struct bk_person *person)
{
    struct telling *t = core->telling;
    if (t->state == person->state && t->version == person->version)
        return t;
    t->state = person->state;
    t->version = person->version;
    for (int i = 0; i < N_SIGHTS; i++)
        bk_buf_clear(&t->told[i].tail);
    bk_buf_clear(&t->via);
    return t;
}

/* false: out of memory. */
static bool tell_what(struct telling *t, struct bk_core *core, struct bk_person *person,
                      enum sight sight)
{
    struct bk_buf *tail = &t->told[sight].tail;
    if (tail->len)
        return true;
    struct bk_buf doc = { 0 };
    document(person, sight, &doc);
    t->told[sight].hash = bk_hash(&core->config.hash_key, bk_buf_view(&doc));
    bk_sip_end(tail, BK_VIEW(BK_PIDF_CONTENT_TYPE), bk_buf_view(&doc));
    bool good = !doc.failed && !tail->failed;
    if (!good)
        bk_buf_clear(tail);
    bk_buf_finish(&doc);
    return good;
}

/* The lines that name our end of that link. */
static bool tell_where(struct telling *t, struct bk_core *core, const struct bk_person *person,
                       const struct link *link)
{
    if (t->via.len && t->transport == link->transport && t->local_port == link->local_port &&
        strcmp(t->local_ip, link->local_ip) == 0)
        return true;
    t->transport = link->transport;
    t->local_port = link->local_port;
    memcpy(t->local_ip, link->local_ip, sizeof t->local_ip);

    struct asker ours = { .transport = link->transport, .local_port = link->local_port };
    memcpy(ours.local_ip, link->local_ip, sizeof ours.local_ip);
    bk_buf_clear(&t->via);
    core_via_head(core, link, &t->via);
    bk_buf_clear(&t->contact);
    bk_buf_add_lit(&t->contact, "Contact: ");
    core_own_uri(&ours, bk_person_address(person), &t->contact);
    bk_buf_add_lit(&t->contact, "\r\nEvent: presence");
    bool good = !t->via.failed && !t->contact.failed;
    if (!good)
        bk_buf_clear(&t->via);
    return good;
}

/* Sends what this watcher may see now, where that is news to him or he is owed a NOTIFY. */
static void notify(struct bk_subscription *s)
{
    struct bk_person *person = s->person;
    struct shard *shard = person_shard(person);
    struct bk_core *core = shard->core;
    struct link *link = core_link(core, s->link);
    struct bk_sip_notifier *n = &s->notifier;

    if (!link)
        return;
    if (n->notify_in_flight) {
        /* Who ends a subscription marks it; a round of news behind its last NOTIFY must not send a second. */
        if (n->state != BK_SIP_NOTIFIER_TERMINATED)
            n->dirty = true;
        return;
    }
    struct telling *t = telling_of(core, person);
    /* Whose account ended is told that it is over, and no presence any more. */
    bool rejected =
        n->state == BK_SIP_NOTIFIER_TERMINATED && n->reason && !strcmp(n->reason, "rejected");
    enum sight sight =
        rejected ? SEES_OFFLINE : sight_of(presence_relation(core, person, s->watcher));
    if (!tell_what(t, core, person, sight) || !tell_where(t, core, person, link))
        return;
    if (n->state == BK_SIP_NOTIFIER_ACTIVE && t->told[sight].hash == s->told_hash && !n->dirty)
        return;
    struct bk_sip_tx *tx;
    struct bk_sip_flow flow = { s->link, s->reliable };
    if (bk_sip_tx_client_create(shard->txs, flow, BK_SIP_NOTIFY, &notify_user, s, &tx) < 0) {
        n->dirty = true;
        return;
    }
    struct bk_buf *out = &core->out;
    bk_buf_clear(out);
    bk_sip_dialog_request_begin(n->dialog, out, BK_SIP_NOTIFY, bk_buf_view(&t->via),
                                bk_sip_tx_branch(tx));
    bk_buf_add_view(out, bk_buf_view(&t->contact));
    if (s->event_id.len) {
        bk_buf_add_lit(out, ";id=");
        bk_buf_add_view(out, s->event_id);
    }
    bk_buf_add_lit(out, "\r\nSubscription-State: ");
    bk_sip_notifier_state_write(n, out, core_now(core));
    bk_buf_add_lit(out, "\r\n");
    bk_buf_add_view(out, bk_buf_view(&t->told[sight].tail));
    if (out->failed) {
        bk_sip_tx_forget(tx);
        return;
    }
    n->notify_in_flight = true;
    n->dirty = false;
    s->told_hash = t->told[sight].hash;
    s->notify = tx;
    core->metrics[BK_METRIC_NOTIFIES]++;
    bk_sip_tx_start(tx, bk_buf_view(out));
}

/* One round: a document per sight that occurs, not per watcher. */
static void tell_watchers(struct bk_person *person)
{
    struct bk_core *core = person_shard(person)->core;
    person->told_at = core_now(core);
    bk_timer_disarm(core->config.timers, &person->tell);
    bk_list_remove(&person->news);
    person->holds++;
    BK_LIST_EACH(&person->watchers, it)
    notify(bk_container_of(it, struct bk_subscription, in_person));
    person->holds--;
    bk_state_settle(person);
}

static void tell_round(struct bk_timer *timer)
{
    tell_watchers(bk_container_of(timer, struct bk_person, tell));
}

bool presence_tell_news(struct bk_core *core)
{
    bool any = !bk_list_empty(&core->news);
    while (!bk_list_empty(&core->news))
        tell_watchers(bk_container_of(core->news.next, struct bk_person, news));
    return any;
}

/* ---- SUBSCRIBE ---- */

void subscription_end(struct bk_subscription *s, const char *reason, bool tell)
{
    struct bk_person *person = s->person;
    person->holds++;
    bk_sip_notifier_end(&s->notifier, reason);
    if (tell) {
        s->notifier.dirty = true;
        notify(s); /* its answer, or the want of one, frees the subscription */
    }
    if (!tell || !s->notify)
        free_subscription(s);
    person->holds--;
    bk_state_settle(person);
}

static void subscription_expired(struct bk_timer *timer)
{
    struct bk_subscription *s = bk_container_of(timer, struct bk_subscription, timer);
    subscription_end(s, "timeout", true);
}

static void answer_subscribed(struct request *rq, const char *tag, int64_t granted_s)
{
    struct bk_core *core = rq->core;
    struct bk_sip_source source = { bk_view_of_str(rq->asker.ip), rq->asker.port };
    bk_buf_clear(&core->out);
    bk_sip_response_begin(&core->out, rq->msg, 200, (struct bk_view){ 0 }, bk_view_of_str(tag),
                          &source);
    bk_buf_add_lit(&core->out, "Contact: ");
    core_own_uri(&rq->asker, rq->target, &core->out);
    bk_buf_addf(&core->out, "\r\nExpires: %lld\r\n", (long long)granted_s);
    bk_sip_end(&core->out, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    if (core->out.failed)
        return;
    struct bk_sip_tx *tx;
    if (rq->asker.transport == BK_LINK_UDP &&
        bk_sip_tx_server_create(rq->shard->txs, asker_flow(&rq->asker), rq->msg, rq->head, NULL,
                                NULL, &tx) == 0) {
        bk_sip_tx_respond(tx, 200, bk_buf_view(&core->out));
        bk_sip_tx_forget(tx);
        return;
    }
    core_send(core, rq->asker.link, bk_buf_view(&core->out), false);
}

static void resubscribe(struct request *rq, int64_t granted_s)
{
    struct bk_core *core = rq->core;
    struct bk_subscription *s =
        bk_state_subscription(rq->shard->state, rq->head->call_id, rq->head->to_tag);
    if (!s || !bk_view_equal(s->watcher, rq->identity) ||
        !bk_sip_dialog_matches(s->notifier.dialog, rq->msg, rq->head) ||
        s->notifier.state == BK_SIP_NOTIFIER_TERMINATED) {
        answer(rq, 481, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        return;
    }
    if (bk_sip_dialog_receive(s->notifier.dialog, rq->msg, rq->head) < 0) {
        answer(rq, 500, BK_VIEW("CSeq is not above the last one"), (struct bk_view){ 0 });
        return;
    }
    struct bk_sip_dialog_info info;
    char tag[64];
    bk_sip_dialog_info(s->notifier.dialog, &info);
    snprintf(tag, sizeof tag, "%.*s", BK_VIEW_ARGS(info.local_tag));
    answer_subscribed(rq, tag, granted_s);
    if (granted_s == 0) {
        subscription_end(s, "timeout", true);
        return;
    }
    bk_sip_notifier_refresh(&s->notifier, core_now(core), granted_s);
    bk_timer_arm(core->config.timers, &s->timer, core_now(core) + granted_s * 1000);
    s->notifier.dirty = true; /* a refresh is always answered by a NOTIFY (RFC 6665 4.2.1.2) */
    notify(s);
}

/* 0, or the status to answer with. */
static int subscribe_check(struct request *rq, struct bk_sip_event *event, int64_t *granted_s)
{
    *granted_s = SUBSCRIBE_DEFAULT_S;
    if (bk_sip_event_parse(bk_sip_msg_value(rq->msg, BK_SIP_HDR_EVENT), event) < 0 ||
        !bk_view_equal_nocase(event->package, BK_VIEW("presence")))
        return 489;
    if (bk_sip_msg_field(rq->msg, BK_SIP_HDR_ACCEPT) &&
        !bk_sip_msg_has_token(rq->msg, BK_SIP_HDR_ACCEPT, BK_VIEW(BK_PIDF_CONTENT_TYPE)) &&
        !bk_sip_msg_has_token(rq->msg, BK_SIP_HDR_ACCEPT, BK_VIEW("*/*")))
        return 406;
    if (bk_sip_msg_expires(rq->msg, granted_s) == -EBADMSG)
        return 400;
    if (*granted_s > 0 && *granted_s < SUBSCRIBE_MIN_S)
        return 423;
    if (*granted_s > SUBSCRIBE_MAX_S)
        *granted_s = SUBSCRIBE_MAX_S;
    return 0;
}

/* An address nobody has: whether to say so is for an own user only, and he is one. */
static bool exists(struct request *rq, const struct bk_person *person)
{
    struct bk_user user;
    if (person->n_bindings || person->n_watchers)
        return true;
    return bk_store_user(rq->core->config.store, rq->target, &rq->core->arena, &user) != -ENOENT;
}

void handle_subscribe(struct request *rq)
{
    struct bk_core *core = rq->core;
    struct bk_sip_event event;
    int64_t granted_s;
    int status = subscribe_check(rq, &event, &granted_s);
    struct link *link = core_link(core, rq->asker.link);

    if (status || !link) {
        answer(rq, status ? status : 503, (struct bk_view){ 0 },
               status == 489   ? BK_VIEW("Allow-Events: presence\r\n")
               : status == 406 ? BK_VIEW("Accept: application/pidf+xml\r\n")
               : status == 423 ? BK_VIEW("Min-Expires: 60\r\n")
                               : (struct bk_view){ 0 });
        return;
    }
    if (rq->head->to_tag.len) {
        resubscribe(rq, granted_s);
        return;
    }
    if (link->n_subscriptions >= core->config.limits.subscriptions_per_endpoint) {
        refuse(rq, 404, 0, 403, NULL);
        return;
    }
    struct bk_person *person = bk_state_person(rq->shard->state, rq->target, true);
    if (!person) {
        refuse(rq, 404, 0, 503, NULL);
        return;
    }
    person->server = rq->shard;
    person->holds++;
    char tag[20];
    struct bk_sip_dialog *dialog = NULL;
    struct bk_subscription *s;
    snprintf(tag, sizeof tag, "%016llx", (unsigned long long)bk_random_u64(core->config.random));
    if (!exists(rq, person)) {
        refuse(rq, 501, 0, 404, NULL);
        goto out;
    }
    presence_load(core, person);
    if (bk_sip_dialog_from_request(rq->msg, rq->head, bk_view_of_str(tag), &dialog) < 0) {
        answer(rq, 400, BK_VIEW("Contact cannot be read"), (struct bk_view){ 0 });
        goto out;
    }
    struct bk_sip_notifier n;
    bk_sip_notifier_init(&n, dialog, true, core_now(core), granted_s);
    if (bk_state_subscribe(person, &link->subscriptions, link->id, rq->identity, event.id, &n, &s) <
        0) {
        bk_sip_notifier_finish(&n);
        refuse(rq, 404, 0, 503, NULL);
        goto out;
    }
    link->n_subscriptions++;
    s->reliable = rq->asker.transport != BK_LINK_UDP;
    s->timer.fire = subscription_expired;
    person->tell.fire = tell_round;
    answer_subscribed(rq, tag, granted_s);
    if (granted_s == 0) {
        subscription_end(s, "timeout", true); /* a fetch: one NOTIFY and over */
    } else {
        bk_timer_arm(core->config.timers, &s->timer, core_now(core) + granted_s * 1000);
        s->notifier.dirty = true;
        notify(s);
    }
out:
    person->holds--;
    bk_state_settle(person);
}
