/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SUBSCRIBE of the Lync dialect: the person's own lists, provisioning, and watching many people at once. The first
 * notification rides on the answer, later ones are BENOTIFYs, which nobody answers.
 */
#include "ms/provision.h"
#include "server/ms_person_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *package, *content_type;
} events[MS_EVENT_COUNT] = {
    [MS_EVENT_CONTACTS] = { "vnd-microsoft-roaming-contacts", BK_MS_CONTACTS_CONTENT_TYPE },
    [MS_EVENT_SELF] = { "vnd-microsoft-roaming-self", BK_MS_SELF_CONTENT_TYPE },
    [MS_EVENT_PROVISION_V2] = { "vnd-microsoft-provisioning-v2", BK_MS_PROVISION_V2_CONTENT_TYPE },
    [MS_EVENT_PROVISION] = { "vnd-microsoft-provisioning", BK_MS_PROVISION_CONTENT_TYPE },
    [MS_EVENT_PRESENCE] = { "presence", BK_MS_CATEGORIES_CONTENT_TYPE },
};

/* ---- ends ---- */

void ms_unwatch(struct ms_watch *w)
{
    struct bk_person *person = w->person;
    struct link *link = NULL;
    if (w->sub->host)
        link = core_link(person_shard(w->sub->host)->core, w->sub->link);
    if (link)
        link->n_subscriptions--;
    bk_list_remove(&w->in_sub);
    bk_list_remove(&w->in_person);
    w->sub->n_watches--;
    free(w);
    if (person) {
        person->holds--;
        bk_state_settle(person);
    }
}

static void send_notify(struct ms_sub *sub, struct bk_view content_type, struct bk_view body);

void ms_sub_end(struct ms_sub *sub, bool tell)
{
    struct bk_person *host = sub->host;
    if (tell) {
        sub->expires_at = 0;
        send_notify(sub, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    }
    while (!bk_list_empty(&sub->watches)) {
        struct ms_watch *w = bk_container_of(sub->watches.next, struct ms_watch, in_sub);
        if (!host && w->person) {
            /* The host goes with everything else: nobody is settled now. */
            w->person->holds--;
            w->person = NULL;
        }
        ms_unwatch(w);
    }
    bk_list_remove(&sub->in_person);
    bk_list_remove(&sub->in_link);
    bk_sip_dialog_destroy(sub->dialog);
    if (sub->timers)
        bk_timer_disarm(sub->timers, &sub->timer);
    free(sub);
    if (host) {
        host->holds--;
        bk_state_settle(host);
    }
}

static void sub_expired(struct bk_timer *timer)
{
    ms_sub_end(bk_container_of(timer, struct ms_sub, timer), true);
}

void ms_link_gone(struct link *link)
{
    while (!bk_list_empty(&link->dialect))
        ms_sub_end(bk_container_of(link->dialect.next, struct ms_sub, in_link), false);
}

/* ---- telling ---- */

static void notify_failed(struct bk_sip_tx *tx, void *user, enum bk_sip_tx_failure why)
{
    (void)user;
    (void)why;
    bk_sip_tx_forget(tx);
}

static void notify_response(struct bk_sip_tx *tx, void *user, const struct bk_sip_msg *msg)
{
    (void)user;
    if (msg->status >= 200)
        bk_sip_tx_forget(tx);
}

static const struct bk_sip_tx_user notify_user = { .response = notify_response,
                                                   .failed = notify_failed,
                                                   .status_only = true };

static void branch_make(struct bk_core *core, char ret[40])
{
    snprintf(ret, 40, "z9hG4bKn%016llx", (unsigned long long)bk_random_u64(core->config.random));
}

static void extend(struct ms_sub *sub, int64_t life_s)
{
    struct bk_core *core = person_shard(sub->host)->core;
    sub->life_s = life_s;
    sub->expires_at = core_now(core) + life_s * 1000;
    bk_timer_arm(core->config.timers, &sub->timer, sub->expires_at);
}

/* expires_at 0: it is over. */
static void send_notify(struct ms_sub *sub, struct bk_view content_type, struct bk_view body)
{
    struct shard *shard = person_shard(sub->host);
    struct bk_core *core = shard->core;
    struct link *link = core_link(core, sub->link);
    struct bk_sip_tx *tx = NULL;
    struct bk_buf via = { 0 }, out = { 0 };
    char branch[40];
    bool over = sub->expires_at == 0;

    if (!link)
        return;
    if (!over && sub->autoextend)
        extend(sub, sub->life_s);
    branch_make(core, branch);
    if (!sub->benotify &&
        bk_sip_tx_client_create(shard->txs, (struct bk_sip_flow){ sub->link, sub->reliable },
                                BK_SIP_NOTIFY, &notify_user, NULL, &tx) < 0)
        return;
    core_via_head(core, link, &via);
    bk_sip_dialog_request_begin(sub->dialog, &out, tx ? BK_SIP_NOTIFY : BK_SIP_BENOTIFY,
                                bk_buf_view(&via),
                                tx ? bk_sip_tx_branch(tx) : bk_view_of_str(branch));
    bk_buf_addf(&out, "Event: %s\r\nsubscription-state: %s;expires=%lld\r\n",
                events[sub->event].package, over ? "terminated" : "active",
                over ? 0LL : (long long)((sub->expires_at - core_now(core)) / 1000));
    bk_sip_end(&out, content_type, body);
    if (!out.failed) {
        core->metrics[BK_METRIC_NOTIFIES]++;
        if (tx)
            bk_sip_tx_start(tx, bk_buf_view(&out));
        else
            core_send(core, sub->link, bk_buf_view(&out), false);
    } else if (tx) {
        bk_sip_tx_forget(tx);
    }
    bk_buf_finish(&via);
    bk_buf_finish(&out);
}

void ms_notify_all(struct ms_person *ms, enum ms_event event, struct bk_view content_type,
                   struct bk_view body, uint64_t but)
{
    BK_LIST_EACH(&ms->subs, it)
    {
        struct ms_sub *sub = bk_container_of(it, struct ms_sub, in_person);
        if (sub->event == event && sub->link != but)
            send_notify(sub, content_type, body);
    }
}

static bool has_self(const struct ms_person *ms)
{
    BK_LIST_EACH(&ms->subs, it)
    if (bk_container_of(it, struct ms_sub, in_person)->event == MS_EVENT_SELF)
        return true;
    return false;
}

void ms_notify_self(struct ms_person *ms, struct bk_view names, uint64_t but)
{
    struct bk_buf body = { 0 };
    if (!has_self(ms))
        return;
    bk_ms_self_begin(&body);
    bk_ms_categories_begin(&body, bk_person_address(ms->person));
    while (names.at && names.len) {
        struct bk_view name = bk_view_cut(&names, '\0');
        if (name.len)
            ms_render_own(ms, name, &body);
    }
    bk_ms_categories_end(&body);
    bk_ms_self_end(&body);
    if (!body.failed)
        ms_notify_all(ms, MS_EVENT_SELF, BK_VIEW(BK_MS_SELF_CONTENT_TYPE), bk_buf_view(&body), but);
    bk_buf_finish(&body);
}

static void notify_part(struct ms_person *ms, void (*render)(struct ms_person *, struct bk_buf *))
{
    struct bk_buf body = { 0 };
    if (!has_self(ms))
        return;
    bk_ms_self_begin(&body);
    render(ms, &body);
    bk_ms_self_end(&body);
    if (!body.failed)
        ms_notify_all(ms, MS_EVENT_SELF, BK_VIEW(BK_MS_SELF_CONTENT_TYPE), bk_buf_view(&body), 0);
    bk_buf_finish(&body);
}

void ms_notify_containers(struct ms_person *ms)
{
    notify_part(ms, ms_render_containers);
}

/* ---- watching ---- */

/* A document and its hash, for one relation and set of categories; a round makes each once. */
struct made {
    int relation;
    unsigned wanted;
    uint64_t hash;
    struct bk_buf doc;
};

static void make(struct ms_person *ms, int relation, unsigned wanted, struct made *ret)
{
    struct bk_core *core = ms->core;
    ret->relation = relation;
    ret->wanted = wanted;
    /* The hash is over what is told, not over when it was told. */
    bk_buf_clear(&ret->doc);
    ms_render(ms, relation, wanted, 0, &ret->doc);
    ret->hash = bk_hash(&core->config.hash_key, bk_buf_view(&ret->doc)) | 1;
    bk_buf_clear(&ret->doc);
    ms_render(ms, relation, wanted, core_real(core), &ret->doc);
}

static void tell_round(struct ms_person *ms)
{
    enum { MADE_MAX = 8 };
    struct bk_person *person = ms->person;
    struct made made[MADE_MAX] = { 0 };
    int n = 0;

    ms->told_at = core_now(ms->core);
    bk_timer_disarm(ms->core->config.timers, &ms->tell);
    bk_list_remove(&ms->news);
    person->holds++;
    BK_LIST_EACH(&ms->watches, it)
    {
        struct ms_watch *w = bk_container_of(it, struct ms_watch, in_person);
        struct bk_view watcher = { w->sub->watcher, w->sub->watcher_len };
        int relation = presence_relation(ms->core, person, watcher), i = 0;
        while (i < n && (made[i].relation != relation || made[i].wanted != w->wanted))
            i++;
        if (i == n && n < MADE_MAX)
            n++;
        else if (i == MADE_MAX)
            i = MADE_MAX - 1; /* clients differ little in what they want: this one is made over */
        if (made[i].relation != relation || made[i].wanted != w->wanted)
            make(ms, relation, w->wanted, &made[i]);
        if (made[i].doc.failed || made[i].hash == w->told)
            continue;
        w->told = made[i].hash;
        send_notify(w->sub, BK_VIEW(BK_MS_CATEGORIES_CONTENT_TYPE), bk_buf_view(&made[i].doc));
    }
    if (person->shown != ms->self_told) {
        ms->self_told = person->shown;
        ms->aggregate_version++;
        ms_notify_self(ms, BK_VIEW("state\0"), 0);
    }
    if (ms_note_hash(ms) != ms->note_told) {
        ms->note_told = ms_note_hash(ms);
        ms_notify_self(ms, BK_VIEW("note\0"), 0);
    }
    for (int i = 0; i < MADE_MAX; i++)
        bk_buf_finish(&made[i].doc);
    person->holds--;
    bk_state_settle(person);
}

void ms_tell(struct bk_timer *timer)
{
    tell_round(bk_container_of(timer, struct ms_person, tell));
}

bool ms_tell_news(struct bk_core *core)
{
    bool any = !bk_list_empty(&core->ms_news);
    while (!bk_list_empty(&core->ms_news))
        tell_round(bk_container_of(core->ms_news.next, struct ms_person, news));
    return any;
}

void ms_presence_changed(struct bk_core *core, struct bk_person *person, bool at_once)
{
    struct ms_person *ms = person->dialect;
    if (!ms || (bk_list_empty(&ms->watches) && bk_list_empty(&ms->subs)))
        return;
    int64_t now = core_now(core), at = ms->told_at + core->config.limits.presence_gap_ms;
    if (!bk_timer_armed(&ms->tell))
        bk_timer_arm(core->config.timers, &ms->tell, at > now ? at : now);
    if (at_once && at <= now && bk_list_empty(&ms->news))
        bk_list_append(&core->ms_news, &ms->news);
}

void ms_person_changed(struct bk_core *core, struct bk_person *person)
{
    struct ms_person *ms = person->dialect;
    if (!ms)
        return;
    ms->loaded_public = false;
    (void)ms_load_public(ms); /* if not now, then at the next question */
    ms_model(ms);
    ms_notify_containers(ms);
    ms_presence_changed(core, person, false);
}

static struct ms_watch *watch_find(const struct ms_sub *sub, const struct bk_person *person)
{
    BK_LIST_EACH(&sub->watches, it)
    {
        struct ms_watch *w = bk_container_of(it, struct ms_watch, in_sub);
        if (w->person == person)
            return w;
    }
    return NULL;
}

/* Somebody was put on a list: whoever it is learns it, once, and may answer with a block. */
static void follow(struct request *rq, struct ms_person *watched)
{
    struct bk_core *core = rq->core;
    struct bk_user user = { 0 };
    int pending = 0;
    if (ms_load_own(watched) < 0 || bk_ms_contacts_find(&watched->contacts, rq->identity) ||
        ms_follower_find(watched, rq->identity) ||
        presence_relation(core, watched->person, rq->identity) >= RELATION_BLOCKED)
        return;
    BK_LIST_EACH(&watched->followers, it)
    pending += !bk_container_of(it, struct ms_follower, in_person)->acknowledged;
    if (pending >= MS_FOLLOWERS_PENDING ||
        bk_store_user(core->config.store, rq->identity, &core->arena, &user) < 0)
        return;
    struct bk_store_batch *batch = bk_store_batch_create();
    bk_store_put_follower(batch, &(struct bk_follower){ .owner = bk_person_address(watched->person),
                                                        .follower = rq->identity,
                                                        .display_name = user.display_name,
                                                        .at = core_real(core) });
    if (ms_follower_put(watched, rq->identity, user.display_name, false) == 0)
        notify_part(watched, ms_render_followers);
    (void)bk_store_commit(core->config.store, batch, NULL, NULL);
}

/* NULL: nobody there that could be watched. */
static struct ms_person *watched_person(struct bk_core *core, struct bk_view address)
{
    struct bk_user user;
    size_t at = bk_view_find(address, '@');
    if (!address.len || !bk_directory_tenant_of(
                            core->directory, bk_view_skip(address, at < address.len ? at + 1 : at)))
        return NULL;
    struct shard *shard = core_shard_of(core, address);
    struct bk_person *person = bk_state_person(shard->state, address, false);
    if (!person || !person->n_bindings) {
        if (bk_store_user(core->config.store, address, &core->arena, &user) == -ENOENT)
            return NULL;
    }
    if (!person)
        person = bk_state_person(shard->state, address, true);
    if (!person)
        return NULL;
    person->server = shard;
    struct ms_person *ms = ms_person(core, person);
    if (!ms || ms_load_public(ms) < 0) {
        bk_state_settle(person);
        return NULL;
    }
    presence_load(core, person);
    return ms;
}

/* NULL: cannot be watched, or one too many. */
static struct ms_watch *watch(struct request *rq, struct ms_sub *sub,
                              const struct bk_ms_batch_item *item)
{
    struct bk_core *core = rq->core;
    struct link *link = core_link(core, sub->link);
    struct ms_person *ms = watched_person(core, item->address);
    if (!ms || !link)
        return NULL;
    struct ms_watch *w = watch_find(sub, ms->person);
    if (!w) {
        w = link->n_subscriptions < core->config.limits.subscriptions_per_endpoint
                ? calloc(1, sizeof *w)
                : NULL;
        if (!w) {
            bk_state_settle(ms->person);
            return NULL;
        }
        w->sub = sub;
        w->person = ms->person;
        ms->person->holds++;
        bk_list_append(&sub->watches, &w->in_sub);
        bk_list_append(&ms->watches, &w->in_person);
        sub->n_watches++;
        link->n_subscriptions++;
    }
    w->wanted = item->wanted;
    w->told = 0;
    if (item->fresh)
        follow(rq, ms);
    return w;
}

static void unwatch(struct request *rq, struct ms_sub *sub, struct bk_view address)
{
    if (!address.len)
        return;
    struct bk_person *person =
        bk_state_person(core_shard_of(rq->core, address)->state, address, false);
    struct ms_watch *w = person ? watch_find(sub, person) : NULL;
    if (w)
        ms_unwatch(w);
}

/* The list, and a part for each that is new or asked again; what has no room here is told right behind. */
static void batch_body(struct request *rq, struct ms_sub *sub, const struct bk_ms_batch_item *items,
                       int n, struct bk_view boundary, struct bk_buf *to)
{
    struct bk_core *core = rq->core;
    struct bk_view host = bk_view_of_str(core->config.host);
    struct bk_buf parts = { 0 };
    struct made made = { 0 };
    int later = 0;
    bk_ms_batch_begin(to, boundary, host, (struct bk_view){ sub->watcher, sub->watcher_len },
                      sub->version++, !rq->head->to_tag.len);
    for (int i = 0; i < n; i++) {
        if (items[i].removes) {
            unwatch(rq, sub, items[i].address);
            continue;
        }
        struct ms_watch *w = watch(rq, sub, &items[i]);
        bk_ms_batch_resource(to, boundary, host, items[i].uri, i,
                             w ? BK_MS_BATCH_ACTIVE : BK_MS_BATCH_TERMINATED);
        if (!w)
            continue;
        struct ms_person *ms = w->person->dialect;
        if (parts.len > MS_ANSWER_BYTES) {
            /* A connection takes so much at once and no more. */
            if (!bk_timer_armed(&ms->tell))
                bk_timer_arm(core->config.timers, &ms->tell, core_now(core) + MS_PACE_MS * ++later);
            continue;
        }
        make(ms, presence_relation(core, w->person, rq->identity), w->wanted, &made);
        if (made.doc.failed)
            continue;
        w->told = made.hash;
        bk_ms_batch_part(&parts, boundary, host, i, bk_buf_view(&made.doc));
    }
    bk_ms_batch_list_end(to);
    if (parts.failed)
        to->failed = true;
    bk_buf_add_view(to, bk_buf_view(&parts));
    bk_ms_batch_end(to, boundary);
    bk_buf_finish(&parts);
    bk_buf_finish(&made.doc);
}

/* ---- SUBSCRIBE ---- */

/* What is asked for, once it was read. */
struct asked {
    enum ms_event event;
    int64_t expires_s;
    bool benotify, piggyback, autoextend;
    unsigned parts;
    struct bk_ms_batch_item *items;
    int n_items;
    const char *why;
};

static bool is_type(const struct request *rq, const char *type)
{
    struct bk_sip_content_type ct;
    struct bk_view want = bk_view_of_str(type);
    struct bk_view major = bk_view_cut(&want, '/');
    return bk_sip_content_type_parse(bk_sip_msg_value(rq->msg, BK_SIP_HDR_CONTENT_TYPE), &ct) ==
               0 &&
           bk_view_equal_nocase(ct.type, major) && bk_view_equal_nocase(ct.subtype, want);
}

static struct ms_sub *sub_find(struct ms_person *ms, const struct request *rq)
{
    BK_LIST_EACH(&ms->subs, it)
    {
        struct ms_sub *sub = bk_container_of(it, struct ms_sub, in_person);
        if (bk_sip_dialog_matches(sub->dialog, rq->msg, rq->head))
            return sub;
    }
    return NULL;
}

/* Presence belongs here when it is asked for in this dialect's words, or in a dialog of it. */
static bool is_ours(struct request *rq, enum ms_event *ret)
{
    struct bk_sip_event event;
    if (bk_sip_event_parse(bk_sip_msg_value(rq->msg, BK_SIP_HDR_EVENT), &event) < 0)
        return false;
    int i = 0;
    while (i < MS_EVENT_COUNT &&
           !bk_view_equal_nocase(event.package, bk_view_of_str(events[i].package)))
        i++;
    if (i == MS_EVENT_COUNT)
        return false;
    *ret = i;
    if (i != MS_EVENT_PRESENCE)
        return true;
    if (rq->head->to_tag.len) {
        struct bk_person *person = bk_state_person(rq->shard->state, rq->target, false);
        if (person && person->dialect && sub_find(person->dialect, rq))
            return true;
        /* One that is over is told so in its own words. */
        return bk_sip_msg_has_token(rq->msg, BK_SIP_HDR_SUPPORTED, BK_VIEW("ms-benotify")) &&
               !bk_state_subscription(rq->shard->state, rq->head->call_id, rq->head->to_tag);
    }
    return is_type(rq, BK_MS_BATCH_CONTENT_TYPE) ||
           (bk_sip_msg_has_token(rq->msg, BK_SIP_HDR_ACCEPT,
                                 BK_VIEW(BK_MS_CATEGORIES_CONTENT_TYPE)) &&
            bk_sip_msg_has_token(rq->msg, BK_SIP_HDR_SUPPORTED, BK_VIEW("ms-benotify")));
}

/* 0, or the status to answer with. */
static int read_asked(struct request *rq, struct asked *a)
{
    struct bk_arena *arena = &rq->core->arena;
    struct bk_view body = rq->msg->body;
    int r = 0;

    a->expires_s = MS_EXPIRES_S;
    if (bk_sip_msg_expires(rq->msg, &a->expires_s) == -EBADMSG)
        return 400;
    if (a->expires_s > 0 && a->expires_s < MS_EXPIRES_MIN_S)
        return 423;
    if (a->expires_s > MS_EXPIRES_S)
        a->expires_s = MS_EXPIRES_S;
    a->benotify = bk_sip_msg_has_token(rq->msg, BK_SIP_HDR_SUPPORTED, BK_VIEW("ms-benotify"));
    a->piggyback =
        bk_sip_msg_has_token(rq->msg, BK_SIP_HDR_SUPPORTED, BK_VIEW("ms-piggyback-first-notify"));
    a->autoextend =
        bk_sip_msg_has_token(rq->msg, BK_SIP_HDR_SUPPORTED, BK_VIEW("com.microsoft.autoextend"));
    switch (a->event) {
    case MS_EVENT_SELF:
        r = bk_ms_self_parse(body, arena, &a->parts, &a->why);
        break;
    case MS_EVENT_PROVISION_V2:
        r = bk_ms_provision_parse(body, arena, &a->parts, &a->why);
        break;
    case MS_EVENT_PRESENCE:
        if (is_type(rq, BK_MS_BATCH_CONTENT_TYPE) && body.len)
            r = bk_ms_batch_parse(body, arena, &a->items, &a->n_items, &a->why);
        break;
    default:
        break;
    }
    return r == -ENOMEM ? 503 : r < 0 ? 400 : 0;
}

static void self_body(struct ms_person *ms, unsigned parts, struct bk_buf *to)
{
    bk_ms_self_begin(to);
    if (parts & BK_MS_SELF_CATEGORIES) {
        bk_ms_categories_begin(to, bk_person_address(ms->person));
        ms_render_own(ms, (struct bk_view){ 0 }, to);
        bk_ms_categories_end(to);
    }
    if (parts & BK_MS_SELF_CONTAINERS)
        ms_render_containers(ms, to);
    if (parts & BK_MS_SELF_SUBSCRIBERS)
        ms_render_followers(ms, to);
    bk_ms_self_end(to);
}

static void provision_body(const struct request *rq, const struct asked *a, struct bk_buf *to)
{
    const struct bk_ms_provision provision = { .encryption = "SupportEncryption" };
    if (a->event == MS_EVENT_PROVISION)
        bk_ms_provision_old_write(to, rq->identity);
    else
        bk_ms_provision_write(to, &provision, a->parts);
}

/* The first notification, or what a refresh tells anew. */
static void first_body(struct request *rq, struct ms_person *ms, struct ms_sub *sub,
                       const struct asked *a, struct bk_buf *type, struct bk_buf *body)
{
    struct bk_ms_batch_item single = { .address = rq->target, .wanted = BK_MS_WANTS_ALL };
    char boundary[24];
    bk_buf_add_str(type, events[a->event].content_type);
    switch (a->event) {
    case MS_EVENT_CONTACTS:
        bk_ms_contacts_write(body, &ms->contacts);
        return;
    case MS_EVENT_SELF:
        self_body(ms, a->parts, body);
        ms->self_told = ms->person->shown;
        ms->note_told = ms_note_hash(ms);
        return;
    case MS_EVENT_PRESENCE:
        break;
    default:
        provision_body(rq, a, body);
        return;
    }
    if (!a->items && !rq->head->to_tag.len) {
        /* One person, asked for by address: his document alone. */
        struct ms_watch *w = watch(rq, sub, &single);
        struct made made = { 0 };
        if (w) {
            make(w->person->dialect, presence_relation(rq->core, w->person, rq->identity),
                 w->wanted, &made);
            w->told = made.hash;
            bk_buf_add_view(body, bk_buf_view(&made.doc));
        }
        bk_buf_finish(&made.doc);
        return;
    }
    snprintf(boundary, sizeof boundary, "bnd%016llx",
             (unsigned long long)bk_random_u64(rq->core->config.random));
    bk_buf_clear(type);
    bk_ms_batch_content_type(type, bk_view_of_str(boundary), bk_view_of_str(rq->core->config.host));
    batch_body(rq, sub, a->items, a->n_items, bk_view_of_str(boundary), body);
}

/* false: nothing was sent. */
static bool answer_subscribe(struct request *rq, const struct asked *a, const char *tag,
                             struct bk_view type, struct bk_view body)
{
    struct bk_core *core = rq->core;
    struct bk_buf *out = &core->out;
    struct bk_sip_source source = { bk_view_of_str(rq->asker.ip), rq->asker.port };
    bk_buf_clear(out);
    bk_sip_response_begin(out, rq->msg, 200, (struct bk_view){ 0 }, bk_view_of_str(tag), &source);
    bk_buf_add_lit(out, "Contact: ");
    core_own_uri(&rq->asker, rq->target, out);
    bk_buf_addf(out,
                "\r\nEvent: %s\r\nExpires: %lld\r\nsubscription-state: %s;expires=%lld\r\n"
                "Supported: ms-benotify, ms-piggyback-first-notify\r\n",
                events[a->event].package, (long long)a->expires_s,
                a->expires_s ? "active" : "terminated", (long long)a->expires_s);
    if (a->piggyback)
        bk_buf_add_lit(out, "ms-piggyback-cseq: 1\r\n");
    bk_sip_end(out, a->piggyback ? type : (struct bk_view){ 0 },
               a->piggyback ? body : (struct bk_view){ 0 });
    if (out->failed)
        return false;
    core_send(core, rq->asker.link, bk_buf_view(out), false);
    return true;
}

static void told_separately(struct ms_sub *sub, const struct asked *a, const struct bk_buf *type,
                            const struct bk_buf *body)
{
    if (!a->piggyback)
        send_notify(sub, bk_buf_view(type), bk_buf_view(body));
}

static struct ms_sub *sub_create(struct request *rq, struct ms_person *ms, struct link *link,
                                 const struct asked *a, struct bk_sip_dialog *dialog)
{
    struct ms_sub *sub = calloc(1, sizeof *sub + rq->identity.len);
    if (!sub)
        return NULL;
    sub->host = ms->person;
    sub->event = a->event;
    sub->link = link->id;
    sub->reliable = rq->asker.transport != BK_LINK_UDP;
    sub->benotify = a->benotify;
    sub->autoextend = a->autoextend;
    sub->dialog = dialog;
    sub->parts = a->parts;
    sub->timers = rq->core->config.timers;
    sub->watcher_len = rq->identity.len;
    memcpy(sub->watcher, rq->identity.at, rq->identity.len);
    bk_list_init(&sub->watches);
    bk_timer_init(&sub->timer, sub_expired);
    bk_list_append(&ms->subs, &sub->in_person);
    bk_list_append(&link->dialect, &sub->in_link);
    ms->person->holds++;
    return sub;
}

/* A client that starts over has one list of a kind, not many; what is left of the old one is not told. */
static void replace_old(struct ms_person *ms, const struct link *link, enum ms_event event)
{
    if (event == MS_EVENT_PRESENCE)
        return;
    BK_LIST_EACH(&ms->subs, it)
    {
        struct ms_sub *sub = bk_container_of(it, struct ms_sub, in_person);
        if (sub->event == event && sub->link == link->id) {
            ms_sub_end(sub, false);
            return;
        }
    }
}

static int subs_of(const struct link *link)
{
    int n = 0;
    BK_LIST_EACH(&link->dialect, it)
    n++;
    return n;
}

static void subscribe_first(struct request *rq, struct ms_person *ms, struct link *link,
                            struct asked *a)
{
    struct bk_core *core = rq->core;
    struct bk_buf type = { 0 }, body = { 0 };
    struct bk_sip_dialog *dialog = NULL;
    char tag[20];

    replace_old(ms, link, a->event);
    if (subs_of(link) >= MS_SUBS_PER_LINK) {
        refuse(rq, 404, 0, 403, NULL);
        return;
    }
    snprintf(tag, sizeof tag, "%016llx", (unsigned long long)bk_random_u64(core->config.random));
    if (bk_sip_dialog_from_request(rq->msg, rq->head, bk_view_of_str(tag), &dialog) < 0) {
        answer(rq, 400, BK_VIEW("Contact cannot be read"), (struct bk_view){ 0 });
        return;
    }
    struct ms_sub *sub = sub_create(rq, ms, link, a, dialog);
    if (!sub) {
        bk_sip_dialog_destroy(dialog);
        refuse(rq, 404, 0, 503, NULL);
        return;
    }
    first_body(rq, ms, sub, a, &type, &body);
    if (a->piggyback)
        bk_sip_dialog_sent(dialog, 1);
    if (type.failed || body.failed ||
        !answer_subscribe(rq, a, tag, bk_buf_view(&type), bk_buf_view(&body))) {
        refuse(rq, 404, 0, 503, NULL);
        ms_sub_end(sub, false);
    } else {
        if (a->expires_s)
            extend(sub, a->expires_s);
        told_separately(sub, a, &type, &body);
        if (!a->expires_s)
            ms_sub_end(sub, false);
    }
    bk_buf_finish(&type);
    bk_buf_finish(&body);
}

static void subscribe_again(struct request *rq, struct ms_person *ms, struct asked *a)
{
    struct ms_sub *sub = sub_find(ms, rq);
    struct bk_buf type = { 0 }, body = { 0 };
    struct bk_sip_dialog_info info;
    char tag[64];

    if (!sub || sub->event != a->event || sub->link != rq->asker.link ||
        !bk_view_equal(rq->identity, (struct bk_view){ sub->watcher, sub->watcher_len })) {
        answer(rq, 481, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        return;
    }
    if (bk_sip_dialog_receive(sub->dialog, rq->msg, rq->head) < 0) {
        answer(rq, 500, BK_VIEW("CSeq is not above the last one"), (struct bk_view){ 0 });
        return;
    }
    /* A refresh says only what is new in it. */
    if (a->event == MS_EVENT_SELF && !rq->msg->body.len)
        a->parts = sub->parts;
    first_body(rq, ms, sub, a, &type, &body);
    bk_sip_dialog_info(sub->dialog, &info);
    snprintf(tag, sizeof tag, "%.*s", BK_VIEW_ARGS(info.local_tag));
    if (type.failed || body.failed ||
        !answer_subscribe(rq, a, tag, bk_buf_view(&type), bk_buf_view(&body)))
        refuse(rq, 404, 0, 503, NULL);
    else if (a->expires_s)
        extend(sub, a->expires_s);
    else
        ms_sub_end(sub, false);
    bk_buf_finish(&type);
    bk_buf_finish(&body);
}

bool ms_subscribe(struct request *rq)
{
    struct bk_core *core = rq->core;
    struct asked a = { 0 };
    struct link *link = core_link(core, rq->asker.link);
    if (!is_ours(rq, &a.event))
        return false;
    int status = read_asked(rq, &a);
    /* Lists are the person's own; only presence of one may be asked of another. */
    bool own = bk_view_equal(rq->identity, rq->target);
    if (!status && !own && a.event != MS_EVENT_PRESENCE)
        status = 403;
    if (status || !link) {
        answer(rq, status ? status : 503, a.why ? bk_view_of_str(a.why) : (struct bk_view){ 0 },
               status == 423 ? BK_VIEW("Min-Expires: 60\r\n") : (struct bk_view){ 0 });
        return true;
    }
    struct bk_person *person = bk_state_person(rq->shard->state, rq->target, true);
    struct ms_person *ms = person ? ms_person(core, person) : NULL;
    struct bk_user user;
    if (!ms) {
        refuse(rq, 404, 0, 503, NULL);
        return true;
    }
    person->server = rq->shard;
    person->holds++;
    presence_load(core, person);
    if (!own && !person->n_bindings &&
        bk_store_user(core->config.store, rq->target, &core->arena, &user) == -ENOENT)
        refuse(rq, 501, 0, 404, NULL);
    else if (ms_load_public(ms) < 0 || ms_load_own(ms) < 0)
        refuse(rq, 404, 0, 503, NULL);
    else if (rq->head->to_tag.len)
        subscribe_again(rq, ms, &a);
    else
        subscribe_first(rq, ms, link, &a);
    person->holds--;
    bk_state_settle(person);
    return true;
}
