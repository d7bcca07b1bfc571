/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Lync dialect on our own sign-in: three subscriptions whose first notification rides on the answer (the contact list, the
 * person's own data, the batch of everybody watched), later ones are BENOTIFYs, which nobody answers; and publishing by
 * categories.
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "client/dialect_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    RETRY_MS = 30 * 1000,
    AHEAD_S = 120,
    BATCH_STEP = 100, /* people in one SUBSCRIBE: the answer stays far below the largest message */
    AGAIN_MS = 1000,
};

static const struct {
    const char *event, *accept;
} kinds[SUB_COUNT] = {
    [SUB_CONTACTS] = { "vnd-microsoft-roaming-contacts", BK_MS_CONTACTS_CONTENT_TYPE },
    [SUB_SELF] = { "vnd-microsoft-roaming-self", BK_MS_SELF_CONTENT_TYPE },
    [SUB_BATCH] = { "presence",
                    BK_MS_CATEGORIES_CONTENT_TYPE ", application/rlmi+xml, multipart/related" },
};

static void subscribe(struct sub *sub);
static void batch_soon(struct dialect *d);
static void arm(struct sub *sub, int64_t in_ms);

/* Allow-Events says which lists there are, Supported that people can be watched many at once. */
bool bk_dialect_offered(const struct bk_sip_msg *msg)
{
    return bk_sip_msg_has_token(msg, BK_SIP_HDR_ALLOW_EVENTS,
                                bk_view_of_str(kinds[SUB_CONTACTS].event)) &&
           bk_sip_msg_has_token(msg, BK_SIP_HDR_ALLOW_EVENTS,
                                bk_view_of_str(kinds[SUB_SELF].event)) &&
           bk_sip_msg_has_token(msg, BK_SIP_HDR_SUPPORTED, BK_VIEW("msrtc-event-categories")) &&
           bk_sip_msg_has_token(msg, BK_SIP_HDR_SUPPORTED, BK_VIEW("adhoclist"));
}

static bool is_live(const struct bk_client *c)
{
    return c->speaks_dialect && (c->state == BK_CLIENT_PRESENCE || c->state == BK_CLIENT_SIGNED_IN);
}

static void own_uri(struct bk_client *c, struct bk_buf *to)
{
    bk_buf_addf(to, "sip:%s", c->address);
}

/* ---- what arrived ---- */

static void not_readable(struct dialect *d, const char *what, const char *why)
{
    bk_log(d->c->log, BK_LOG_NOTICE, "not readable", "what", what, "why", why);
}

/* The list and who is watched for being on it. */
static void follow_list(struct dialect *d, const struct bk_ms_told_contacts *told)
{
    struct bk_client *c = d->c;
    for (int i = 0; i < told->n_gone_contacts; i++)
        bk_watch_listed(c, told->gone_contacts[i], false, false);
    if (told->kind == BK_MS_TOLD_LIST) {
        BK_LIST_EACH(&c->watches, it)
        {
            struct watch *w = bk_container_of(it, struct watch, in);
            struct bk_view address = bk_view_of_str(w->address);
            if (w->listed && !bk_ms_contacts_find(&d->list, address))
                bk_watch_listed(c, address, false, false);
        }
    }
    BK_LIST_EACH(&d->list.contacts, it)
    {
        const struct bk_ms_contact *contact = bk_container_of(it, struct bk_ms_contact, in_list);
        if (contact->changed)
            bk_watch_listed(c, contact->address, contact->subscribed,
                            contact->added && bk_edits_adds(d, contact->address));
    }
}

static void take_contacts(struct dialect *d, struct bk_view body)
{
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_ms_told_contacts told;
    struct bk_ms_contact_change none = { 0 };
    const char *why = "out of memory";
    int r = bk_ms_told_contacts(body, &d->list, &arena, &told, &why);
    if (r < 0 || told.kind == BK_MS_TOLD_GAP) {
        not_readable(d, "contact list", r < 0 ? why : "a change in between is missing");
        d->list_here = false;
        if (r < 0) /* not at once: the next answer may be as bad */
            arm(&d->subs[SUB_CONTACTS], RETRY_MS);
        else
            bk_dialect_reload(d);
        return;
    }
    if (told.kind == BK_MS_TOLD_OLD || (told.kind == BK_MS_TOLD_DELTA && !d->list_here))
        return;
    d->list_here = true;
    follow_list(d, &told);
    bk_tell_contacts(d, &told, false);
    bk_ms_contacts_settle(&d->list, &none);
    bk_edits_go_on(d);
}

static bool is_named(const struct bk_ms_told_self *told, const char *category)
{
    for (int i = 0; i < told->n_publications; i++)
        if (bk_view_equal(told->publications[i].category, bk_view_of_str(category)))
            return true;
    return false;
}

static void set_version(struct dialect *d, struct bk_view category, uint32_t instance,
                        uint32_t container, uint32_t version)
{
    int i = 0;
    while (i < d->n_own && !(d->own[i].instance == instance && d->own[i].container == container &&
                             bk_view_equal(bk_view_of_str(d->own[i].category), category)))
        i++;
    if (i == OWN_PUBLICATIONS_MAX || category.len > BK_MS_CATEGORY_NAME_MAX)
        return;
    if (i == d->n_own) {
        d->own[d->n_own++] =
            (struct own_publication){ .instance = instance, .container = container };
        memcpy(d->own[i].category, category.at, category.len);
    }
    d->own[i].version = version;
}

static uint32_t version_of(const struct dialect *d, const struct own_publication *p)
{
    for (int i = 0; i < d->n_own; i++)
        if (d->own[i].instance == p->instance && d->own[i].container == p->container &&
            strcmp(d->own[i].category, p->category) == 0)
            return d->own[i].version;
    return 0;
}

/* Every category named is told whole. */
static void take_versions(struct dialect *d, const struct bk_ms_told_self *told)
{
    int kept = 0;
    for (int i = 0; i < d->n_own; i++)
        if (!is_named(told, d->own[i].category))
            d->own[kept++] = d->own[i];
    d->n_own = kept;
    for (int i = 0; i < told->n_publications; i++) {
        const struct bk_ms_told_publication *p = &told->publications[i];
        if (!p->gone)
            set_version(d, p->category, p->instance, p->container, p->version);
    }
}

static bool is_told(const struct bk_ms_told_self *told, int container)
{
    for (int i = 0; i < told->n_containers; i++)
        if (told->containers[i].container == container)
            return true;
    return false;
}

/* false: out of memory. */
static bool keep(struct bk_arena *arena, struct bk_view *text)
{
    if (text->len)
        *text = bk_arena_copy(arena, *text);
    return !text->len || text->at;
}

/* What was not told anew is kept; all of it moves into one fresh arena. */
static void take_people(struct dialect *d, const struct bk_ms_told_self *told)
{
    struct bk_arena arena = { 0 };
    bool subscribers = told->parts & BK_MS_SELF_SUBSCRIBERS;
    int n_followers = subscribers ? told->n_subscribers : d->n_followers, n = 0;
    const struct bk_ms_subscriber *from = subscribers ? told->subscribers : d->followers;
    struct bk_ms_member *members =
        bk_arena_alloc(&arena, (size_t)(d->n_members + told->n_members + 1) * sizeof *members);
    struct bk_ms_subscriber *followers =
        bk_arena_alloc(&arena, (size_t)(n_followers + 1) * sizeof *followers);
    bool good = members && followers;
    for (int i = 0; good && i < d->n_members; i++)
        if (!is_told(told, d->members[i].container))
            members[n++] = d->members[i];
    for (int i = 0; good && i < told->n_members; i++)
        members[n++] = told->members[i];
    for (int i = 0; good && i < n; i++)
        good = keep(&arena, &members[i].value);
    for (int i = 0; good && i < n_followers; i++) {
        followers[i] = from[i];
        good = keep(&arena, &followers[i].address) && keep(&arena, &followers[i].display_name);
    }
    if (!good) { /* what was known stays; the next telling mends it */
        bk_arena_finish(&arena);
        return;
    }
    bk_arena_finish(&d->arena);
    d->arena = arena;
    d->members = members;
    d->n_members = n;
    d->followers = followers;
    d->n_followers = n_followers;
    for (int i = 0; i < told->n_containers; i++)
        for (int k = 0; k < BK_MS_CONTAINERS; k++)
            if (bk_ms_containers[k] == told->containers[i].container)
                d->container_versions[k] = told->containers[i].version;
}

static bool take_self(struct dialect *d, struct bk_view body)
{
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_ms_told_self told;
    const char *why = "out of memory";
    if (bk_ms_told_self(body, &arena, &told, &why) < 0) {
        not_readable(d, "own data", why);
        return false;
    }
    if (told.parts & BK_MS_SELF_CATEGORIES)
        take_versions(d, &told);
    if (told.parts & (BK_MS_SELF_CONTAINERS | BK_MS_SELF_SUBSCRIBERS))
        take_people(d, &told);
    if (told.parts & BK_MS_SELF_CONTAINERS)
        bk_tell_relations(d, false);
    if (told.parts & BK_MS_SELF_SUBSCRIBERS)
        bk_tell_followers(d, false);
    return true;
}

static void take_presence(struct dialect *d, const struct bk_sip_msg *msg)
{
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_ms_told_batch told;
    const char *why = "out of memory";
    if (bk_ms_told_batch(bk_sip_msg_value(msg, BK_SIP_HDR_CONTENT_TYPE), msg->body, &arena, &told,
                         &why) < 0) {
        not_readable(d, "presence", why);
        return;
    }
    for (int i = 0; i < told.n_resources; i++) {
        struct watch *w = bk_watch_find(d->c, told.resources[i].address);
        if (!w || w->alone)
            continue;
        if (told.resources[i].state == BK_MS_RESOURCE_TERMINATED)
            bk_watch_unknown(w);
        else if (told.resources[i].state == BK_MS_RESOURCE_RESUBSCRIBE)
            bk_watch_alone(w);
    }
    for (int i = 0; i < told.n_people; i++) {
        struct watch *w = bk_watch_find(d->c, told.people[i].address);
        if (w && !w->alone)
            bk_watch_told(w, &told.people[i]);
    }
}

static void take_body(struct sub *sub, const struct bk_sip_msg *msg)
{
    struct dialect *d = sub->d;
    if (!msg->body.len)
        return;
    if (sub->kind == SUB_CONTACTS) {
        take_contacts(d, msg->body);
    } else if (sub->kind == SUB_BATCH) {
        take_presence(d, msg);
    } else if (take_self(d, msg->body) && !d->self_here) {
        d->self_here = true;
        bk_dialect_publish(d->c); /* the versions are known now */
        bk_edits_go_on(d);
    }
}

/* ---- subscriptions ---- */

static void arm(struct sub *sub, int64_t in_ms)
{
    bk_timer_arm(bk_client_timers(sub->d->c), &sub->due, bk_client_now(sub->d->c) + in_ms);
}

static void forget_dialog(struct sub *sub)
{
    bk_ask_drop(sub->ask);
    sub->dialog = bk_sip_dialog_destroy(sub->dialog);
    bk_timer_disarm(bk_client_timers(sub->d->c), &sub->due);
    if (sub->kind != SUB_BATCH)
        return;
    bk_buf_clear(&sub->d->drops);
    BK_LIST_EACH(&sub->d->c->watches, it)
    {
        struct watch *w = bk_container_of(it, struct watch, in);
        w->asked = w->in_batch = false;
    }
}

/* It does not work in the dialect: as with a server that never offered it. */
static void give_up_dialect(struct dialect *d)
{
    struct bk_client *c = d->c;
    bk_dialect_reset(c);
    bk_presence_publish(c);
    BK_LIST_EACH(&c->watches, it)
    bk_watch_alone(bk_container_of(it, struct watch, in));
}

static void refused(struct sub *sub)
{
    struct dialect *d = sub->d;
    forget_dialog(sub);
    sub->refused = true;
    if (sub->kind == SUB_SELF) {
        give_up_dialect(d);
    } else if (sub->kind == SUB_BATCH) {
        BK_LIST_EACH(&d->c->watches, it)
        bk_watch_alone(bk_container_of(it, struct watch, in));
    } else {
        bk_edits_go_on(d);
    }
}

static bool is_final(int status)
{
    return status == 400 || (status >= 403 && status <= 406) || status == 415 || status == 420 ||
           status == 488 || status == 489 || status == 501;
}

static void granted(struct sub *sub, const struct bk_sip_msg *msg)
{
    struct dialect *d = sub->d;
    struct bk_sip_head head;
    struct bk_sip_fault fault;
    int64_t s = 3600;
    if (sub->dialog)
        bk_sip_dialog_answer(sub->dialog, msg);
    else if (bk_sip_msg_check(msg, &head, &fault) == 0)
        (void)bk_sip_dialog_from_response(msg, &head, &sub->dialog);
    (void)bk_sip_msg_expires(msg, &s);
    s = s < 1 ? 1 : s > 24 * 3600 ? 24 * 3600 : s;
    arm(sub, (s > 2 * AHEAD_S ? s - AHEAD_S : (s + 1) / 2) * 1000);
    if (sub->kind == SUB_BATCH) {
        BK_LIST_EACH(&d->c->watches, it)
        {
            struct watch *w = bk_container_of(it, struct watch, in);
            w->in_batch |= w->asked;
            w->asked = false;
        }
        batch_soon(d);
    }
    take_body(sub, msg);
    /* Told later, or not readably: nobody waits for it to be signed in. */
    if (sub->kind == SUB_SELF && !d->self_here && d->c->state == BK_CLIENT_PRESENCE)
        bk_client_feed(d->c, IN_PRESENT);
}

static void on_subscribed(void *owner, const struct bk_sip_msg *msg)
{
    struct sub *sub = owner;
    struct dialect *d = sub->d;
    int status = msg ? msg->status : 408;
    uint64_t wait_s = 0;
    if (status / 100 == 2) {
        granted(sub, msg);
        return;
    }
    bool had = sub->dialog != NULL;
    if (is_final(status) && !had) {
        refused(sub);
        return;
    }
    if (msg)
        (void)bk_view_to_u64(bk_sip_msg_value(msg, BK_SIP_HDR_RETRY_AFTER), 3600, &wait_s);
    int64_t wait_ms = wait_s ? (int64_t)wait_s * 1000 : RETRY_MS;
    forget_dialog(sub);
    arm(sub, had && status == 481 ? AGAIN_MS : wait_ms);
    if (sub->kind == SUB_SELF && !d->self_here && d->c->state == BK_CLIENT_PRESENCE)
        bk_client_feed(d->c, IN_PRESENT); /* signed in, if not with everything yet */
}

static void write_people(struct dialect *d, struct bk_buf *to)
{
    struct bk_client *c = d->c;
    struct bk_ms_batch_item items[BATCH_STEP];
    const unsigned wanted = BK_MS_WANTS_STATE | BK_MS_WANTS_NOTE | BK_MS_WANTS_CARD;
    int n = 0;
    struct bk_view rest = bk_buf_view(&d->drops);
    while (rest.at && rest.len && n < BATCH_STEP) {
        struct bk_view address = bk_view_cut(&rest, '\0');
        const struct watch *again = bk_watch_find(c, address);
        if (!again || again->alone) /* else it is wanted once more, and asked for below */
            items[n++] =
                (struct bk_ms_batch_item){ .address = address, .removes = true, .wanted = wanted };
    }
    BK_LIST_EACH(&c->watches, it)
    {
        struct watch *w = bk_container_of(it, struct watch, in);
        if (n == BATCH_STEP)
            break;
        if (w->in_batch || w->alone)
            continue;
        w->asked = true;
        items[n++] = (struct bk_ms_batch_item){ .address = bk_view_of_str(w->address),
                                                .fresh = w->fresh,
                                                .wanted = wanted };
        w->fresh = false;
    }
    if (n)
        bk_ms_batch_write(to, bk_view_of_str(c->address), items, n);
    bk_buf_drop(&d->drops, d->drops.len - rest.len);
}

static void subscribe(struct sub *sub)
{
    struct dialect *d = sub->d;
    struct bk_client *c = d->c;
    BK_AUTO_BUF struct bk_buf request = { 0 };
    BK_AUTO_BUF struct bk_buf contact = { 0 };
    BK_AUTO_BUF struct bk_buf body = { 0 };
    BK_AUTO_BUF struct bk_buf uri = { 0 };
    struct bk_view type = { 0 };
    if (!is_live(c) || sub->refused || sub->ask ||
        bk_ask_begin(c->link, BK_SIP_SUBSCRIBE, on_subscribed, sub, &sub->ask) < 0)
        return;
    if (sub->dialog) {
        bk_sip_dialog_request_begin(sub->dialog, &request, BK_SIP_SUBSCRIBE, bk_link_via(c->link),
                                    bk_ask_branch(sub->ask));
        bk_sip_field_add(&request, BK_SIP_HDR_USER_AGENT, bk_view_of_str(c->user_agent));
    } else {
        own_uri(c, &uri);
        bk_random_hex(c->random, 16, sub->call_id);
        bk_random_hex(c->random, 8, sub->tag);
        bk_link_request_begin(c->link, sub->ask, &request, BK_SIP_SUBSCRIBE, bk_buf_view(&uri));
        bk_sip_field_addf(&request, BK_SIP_HDR_FROM, "<sip:%s>;tag=%s", c->address, sub->tag);
        bk_sip_field_addf(&request, BK_SIP_HDR_TO, "<sip:%s>", c->address);
        bk_sip_field_add(&request, BK_SIP_HDR_CALL_ID, bk_view_of_str(sub->call_id));
        bk_sip_field_add(&request, BK_SIP_HDR_CSEQ, BK_VIEW("1 SUBSCRIBE"));
    }
    bk_register_contact(c, &contact);
    bk_sip_field_add(&request, BK_SIP_HDR_CONTACT, bk_buf_view(&contact));
    bk_sip_field_add(&request, BK_SIP_HDR_EVENT, bk_view_of_str(kinds[sub->kind].event));
    bk_sip_field_add(&request, BK_SIP_HDR_ACCEPT, bk_view_of_str(kinds[sub->kind].accept));
    bk_buf_add_lit(&request, "Supported: com.microsoft.autoextend\r\n"
                             "Supported: ms-benotify\r\nProxy-Require: ms-benotify\r\n"
                             "Supported: ms-piggyback-first-notify\r\n");
    if (sub->kind == SUB_SELF) {
        type = BK_VIEW("application/vnd-microsoft-roaming-self+xml");
        bk_ms_self_ask(&body,
                       BK_MS_SELF_CATEGORIES | BK_MS_SELF_CONTAINERS | BK_MS_SELF_SUBSCRIBERS);
    } else if (sub->kind == SUB_BATCH) {
        bk_buf_add_lit(&request, "Require: adhoclist, categoryList\r\nSupported: eventlist\r\n");
        write_people(d, &body);
        if (body.len)
            type = BK_VIEW(BK_MS_BATCH_CONTENT_TYPE);
    }
    bk_sip_end(&request, type, bk_buf_view(&body));
    if (request.failed || body.failed || contact.failed) {
        bk_ask_drop(sub->ask);
        arm(sub, RETRY_MS);
        return;
    }
    bk_ask_send(sub->ask, bk_buf_view(&request));
}

static void on_due(struct bk_timer *timer)
{
    subscribe(bk_container_of(timer, struct sub, due));
}

void bk_dialect_reload(struct dialect *d)
{
    subscribe(&d->subs[SUB_CONTACTS]);
}

/* ---- the batch ---- */

static void on_soon(struct bk_timer *timer)
{
    struct dialect *d = bk_container_of(timer, struct dialect, soon);
    bool any = d->drops.len && d->subs[SUB_BATCH].dialog;
    BK_LIST_EACH(&d->c->watches, it)
    {
        struct watch *w = bk_container_of(it, struct watch, in);
        any |= !w->in_batch && !w->alone;
    }
    if (any)
        subscribe(&d->subs[SUB_BATCH]);
}

/* Once all that happens now has happened: a whole contact list goes into one. */
static void batch_soon(struct dialect *d)
{
    if (!bk_timer_armed(&d->soon))
        bk_timer_arm(bk_client_timers(d->c), &d->soon, bk_client_now(d->c));
}

void bk_dialect_watch(struct bk_client *c)
{
    if (c->dialect && is_live(c))
        batch_soon(c->dialect);
}

void bk_dialect_unwatch(struct bk_client *c, const char *address)
{
    if (!c->dialect || !is_live(c))
        return;
    bk_buf_add(&c->dialect->drops, address, strlen(address) + 1);
    batch_soon(c->dialect);
}

/* ---- notifications ---- */

static struct sub *sub_of(struct dialect *d, const struct bk_sip_head *head)
{
    for (int i = 0; d && i < SUB_COUNT; i++) {
        struct sub *sub = &d->subs[i];
        if (sub->dialog && bk_view_equal(head->call_id, bk_view_of_str(sub->call_id)) &&
            bk_view_equal(head->to_tag, bk_view_of_str(sub->tag)))
            return sub;
    }
    return NULL;
}

bool bk_dialect_notify(struct bk_client *c, const struct bk_sip_msg *msg,
                       const struct bk_sip_head *head)
{
    struct sub *sub = sub_of(c->dialect, head);
    struct bk_sip_subscription_state st = { .expires_s = -1, .retry_after_s = -1 };
    if (!sub || !is_live(c))
        return false;
    if (bk_sip_dialog_receive(sub->dialog, msg, head) < 0) {
        /* One that was overtaken: a later one said more. */
        bk_link_answer(c->link, msg, head, 500, bk_view_of_str(sub->tag), (struct bk_view){ 0 });
        return true;
    }
    bk_link_answer(c->link, msg, head, 200, bk_view_of_str(sub->tag), (struct bk_view){ 0 });
    bool over = bk_sip_subscription_state_parse(
                    bk_sip_msg_value(msg, BK_SIP_HDR_SUBSCRIPTION_STATE), &st) == 0 &&
                st.state == BK_SIP_SUB_TERMINATED;
    take_body(sub, msg);
    if (over && sub->dialog) {
        forget_dialog(sub);
        arm(sub, AGAIN_MS);
    }
    return true;
}

/* ---- requests that ask for something to be done ---- */

int bk_dialect_service(struct bk_client *c, struct bk_view uri, struct bk_view content_type,
                       struct bk_view body, bk_ask_done_fn *done, void *owner,
                       struct bk_ask **ret_ask)
{
    BK_AUTO_BUF struct bk_buf request = { 0 };
    BK_AUTO_BUF struct bk_buf contact = { 0 };
    char call_id[36], tag[20];
    int r = bk_ask_begin(c->link, BK_SIP_SERVICE, done, owner, ret_ask);
    if (r < 0)
        return r;
    bk_random_hex(c->random, 16, call_id);
    bk_random_hex(c->random, 8, tag);
    bk_register_contact(c, &contact);
    bk_link_request_begin(c->link, *ret_ask, &request, BK_SIP_SERVICE, uri);
    bk_sip_field_addf(&request, BK_SIP_HDR_FROM, "<sip:%s>;tag=%s", c->address, tag);
    bk_sip_field_addf(&request, BK_SIP_HDR_TO, "<%.*s>", BK_VIEW_ARGS(uri));
    bk_sip_field_add(&request, BK_SIP_HDR_CALL_ID, bk_view_of_str(call_id));
    bk_sip_field_add(&request, BK_SIP_HDR_CSEQ, BK_VIEW("1 SERVICE"));
    bk_sip_field_add(&request, BK_SIP_HDR_CONTACT, bk_buf_view(&contact));
    bk_sip_end(&request, content_type, body);
    if (request.failed || contact.failed) {
        bk_ask_drop(*ret_ask);
        return -ENOMEM;
    }
    bk_ask_send(*ret_ask, bk_buf_view(&request));
    return 0;
}

/* ---- publishing ---- */

static uint32_t seed_of(const struct bk_client *c)
{
    uint32_t seed = 0;
    (void)sscanf(c->profile.endpoint, "%8x", &seed);
    return seed;
}

static void add_item(struct dialect *d, struct bk_ms_publish_item *items, const char *category,
                     uint32_t instance, uint32_t container, enum bk_ms_expire expire,
                     struct bk_view content)
{
    struct own_publication *key = &d->sent[d->n_sent];
    *key = (struct own_publication){ .instance = instance, .container = container };
    (void)snprintf(key->category, sizeof key->category, "%s", category);
    items[d->n_sent++] = (struct bk_ms_publish_item){ { .category = bk_view_of_str(key->category),
                                                        .instance = instance,
                                                        .container = container,
                                                        .version = version_of(d, key),
                                                        .expire = expire,
                                                        .expires_s = -1 },
                                                      content };
}

/* As much of a note as the dialect takes, cut between letters. */
static struct bk_view note_of(const struct bk_client *c)
{
    struct bk_view note = bk_view_head(bk_view_of_str(c->note), BK_MS_NOTE_MAX);
    while (!bk_utf8_valid(note))
        note.len--;
    return note;
}

static void on_published(void *owner, const struct bk_sip_msg *msg);

static void send_publish(struct dialect *d)
{
    struct bk_client *c = d->c;
    struct bk_ms_publish_item items[SENT_MAX];
    BK_AUTO_BUF struct bk_buf machine = { 0 };
    BK_AUTO_BUF struct bk_buf manual = { 0 };
    BK_AUTO_BUF struct bk_buf note = { 0 };
    BK_AUTO_BUF struct bk_buf body = { 0 };
    BK_AUTO_BUF struct bk_buf uri = { 0 };
    static const uint32_t states[] = { 2, 3 };
    static const uint32_t notes[] = { 200, 300, 400 };
    d->n_sent = 0;
    d->sent_machine = c->machine_open;
    d->sent_manual = c->manual_open && c->manual_status != BK_PIDF_MANUAL_MISSING;
    d->sent_note = c->note_open && c->note;
    c->machine_open = c->manual_open = c->note_open = false;
    bk_ms_machine_state_write(&machine, c->machine);
    bk_ms_user_state_write(&manual, c->manual_status);
    bk_ms_note_write(&note, note_of(c));
    for (size_t i = 0; d->sent_machine && i < BK_COUNT_OF(states); i++)
        add_item(d, items, "state", bk_ms_instance_machine_state(seed_of(c)), states[i],
                 BK_MS_EXPIRE_ENDPOINT, bk_buf_view(&machine));
    for (size_t i = 0; d->sent_manual && i < BK_COUNT_OF(states); i++)
        add_item(d, items, "state", BK_MS_INSTANCE_USER_STATE, states[i], BK_MS_EXPIRE_STATIC,
                 bk_buf_view(&manual));
    for (size_t i = 0; d->sent_note && i < BK_COUNT_OF(notes); i++)
        add_item(d, items, "note", 0, notes[i], BK_MS_EXPIRE_STATIC, bk_buf_view(&note));
    bk_ms_publish_write(&body, bk_view_of_str(c->address), items, d->n_sent);
    own_uri(c, &uri);
    bool good = !machine.failed && !manual.failed && !note.failed && !body.failed && !uri.failed;
    if (d->n_sent && good &&
        bk_dialect_service(c, bk_buf_view(&uri), BK_VIEW(BK_MS_PUBLISH_CONTENT_TYPE),
                           bk_buf_view(&body), on_published, d, &d->publishing) == 0)
        return;
    if (d->n_sent) /* no memory, most likely: later */
        on_published(d, NULL);
}

static void take_conflicts(struct dialect *d, struct bk_view body)
{
    struct bk_ms_conflict conflicts[BK_MS_PUBLICATIONS_MAX];
    const char *why = "out of memory";
    int n = 0;
    if (bk_ms_told_conflicts(body, conflicts, &n, &why) < 0)
        not_readable(d, "conflicts", why);
    for (int i = 0; i < n; i++) {
        int at = conflicts[i].index - 1;
        if (at < d->n_sent)
            set_version(d, bk_view_of_str(d->sent[at].category), d->sent[at].instance,
                        d->sent[at].container, conflicts[i].version);
    }
}

static void on_published(void *owner, const struct bk_sip_msg *msg)
{
    struct dialect *d = owner;
    struct bk_client *c = d->c;
    if (msg && msg->status / 100 == 2) {
        d->conflict = false;
        if (msg->body.len)
            (void)take_self(d, msg->body);
    } else {
        c->machine_open |= d->sent_machine;
        c->manual_open |= d->sent_manual;
        c->note_open |= d->sent_note;
        if (msg && msg->status == 409)
            take_conflicts(d, msg->body);
        /* Once at once, with the versions it named; then it waits, whatever is answered. */
        if (msg && msg->status == 409 && !d->conflict) {
            d->conflict = d->publish_again = true;
        } else {
            d->publish_again = false;
            bk_timer_arm(bk_client_timers(c), &d->republish, bk_client_now(c) + RETRY_MS);
        }
    }
    if (d->publish_again) {
        d->publish_again = false;
        bk_dialect_publish(c);
        if (d->publishing)
            return;
    }
    if (c->state == BK_CLIENT_PRESENCE)
        bk_client_feed(c, IN_PRESENT);
}

static void on_republish(struct bk_timer *timer)
{
    struct dialect *d = bk_container_of(timer, struct dialect, republish);
    d->conflict = false;
    bk_dialect_publish(d->c);
}

void bk_dialect_publish(struct bk_client *c)
{
    struct dialect *d = c->dialect;
    if (!d || !is_live(c) || !d->self_here)
        return; /* it goes out once the versions are known */
    if (d->publishing)
        d->publish_again = true;
    else
        send_publish(d);
}

/* ---- with the sign-in ---- */

struct dialect *bk_dialect_of(struct bk_client *c)
{
    if (c->dialect)
        return c->dialect;
    struct dialect *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->c = c;
    for (int i = 0; i < SUB_COUNT; i++) {
        d->subs[i].d = d;
        d->subs[i].kind = (enum ms_sub_kind)i;
        bk_timer_init(&d->subs[i].due, on_due);
    }
    bk_timer_init(&d->soon, on_soon);
    bk_timer_init(&d->republish, on_republish);
    bk_ms_contacts_init(&d->list);
    bk_edits_init(d);
    return c->dialect = d;
}

void bk_dialect_begin(struct bk_client *c)
{
    struct dialect *d = bk_dialect_of(c);
    if (!d) { /* without the memory for it: as with a server that has no lists */
        c->speaks_dialect = false;
        bk_presence_publish(c);
        return;
    }
    for (int i = 0; i < SUB_COUNT; i++)
        d->subs[i].refused = false;
    c->machine_open = true;
    subscribe(&d->subs[SUB_SELF]);
    subscribe(&d->subs[SUB_CONTACTS]);
    batch_soon(d);
}

void bk_dialect_reset(struct bk_client *c)
{
    struct dialect *d = c->dialect;
    c->speaks_dialect = false;
    if (!d)
        return;
    for (int i = 0; i < SUB_COUNT; i++)
        forget_dialog(&d->subs[i]);
    bk_timer_disarm(bk_client_timers(c), &d->soon);
    bk_timer_disarm(bk_client_timers(c), &d->republish);
    if (d->publishing) { /* whether it arrived is not known */
        c->manual_open |= d->sent_manual;
        c->note_open |= d->sent_note;
    }
    bk_ask_drop(d->publishing);
    d->list_here = d->self_here = d->publish_again = d->conflict = false;
    d->n_own = 0;
    bk_edits_fail(d, BK_SAY("The connection to the server was lost before it answered."));
}

void bk_dialect_forget(struct bk_client *c)
{
    struct dialect *d = c->dialect;
    c->manual_open = c->note_open = false;
    if (!d)
        return;
    bk_dialect_reset(c);
    bk_ms_contacts_finish(&d->list);
    bk_arena_finish(&d->arena);
    bk_buf_finish(&d->drops);
    free(d);
    c->dialect = NULL;
}
