/* SPDX-License-Identifier: Apache-2.0 */
/* SERVICE, the request of the Lync dialect that asks the server to do something: told apart by its content type. */
#include "server/ms_person_private.h"

#include <errno.h>
#include <stdlib.h>

/* ---- an answer that waits for the disk ---- */

static void kept_gone(struct bk_sip_tx *tx, void *user)
{
    struct ms_kept *kept = user;
    (void)tx;
    kept->tx = NULL;
}
static const struct bk_sip_tx_user kept_user = { .gone = kept_gone };

static void build(const struct request *rq, int status, struct bk_view extra,
                  struct bk_view content_type, struct bk_view body, struct bk_buf *to)
{
    struct bk_sip_source source = { bk_view_of_str(rq->asker.ip), rq->asker.port };
    char tag[17];
    core_to_tag(rq->core, rq->head, tag);
    bk_sip_response_begin(to, rq->msg, status, (struct bk_view){ 0 }, bk_view_of_str(tag), &source);
    bk_buf_add_view(to, extra);
    bk_sip_end(to, content_type, body);
}

struct ms_kept *ms_keep(struct request *rq, struct bk_person *person)
{
    struct ms_kept *kept = calloc(1, sizeof *kept);
    if (!kept || bk_sip_tx_server_create(rq->shard->txs, asker_flow(&rq->asker), rq->msg, rq->head,
                                         &kept_user, kept, &kept->tx) < 0) {
        free(kept);
        refuse(rq, 404, 0, 503, NULL);
        return NULL;
    }
    kept->shard = rq->shard;
    kept->person = person;
    kept->link = rq->asker.link;
    person->holds++;
    build(rq, 503, BK_VIEW("Retry-After: 5\r\n"), (struct bk_view){ 0 }, (struct bk_view){ 0 },
          &kept->bad);
    return kept;
}

void ms_keep_answer(struct ms_kept *kept, const struct request *rq, int status,
                    struct bk_view content_type, struct bk_view body)
{
    build(rq, status, (struct bk_view){ 0 }, content_type, body, &kept->good);
}

static void kept_done(void *ctx, int result)
{
    struct ms_kept *kept = ctx;
    struct bk_person *person = kept->person;
    bool good = result == 0 && !kept->good.failed;

    /* The answer first: what follows it may speak of the same. */
    if (kept->tx) {
        const struct bk_buf *bytes = good ? &kept->good : &kept->bad;
        if (!bytes->failed)
            bk_sip_tx_respond(kept->tx, good ? 200 : 503, bk_buf_view(bytes));
        bk_sip_tx_forget(kept->tx);
    }
    if (kept->decided)
        kept->decided(kept, good);
    person->holds--;
    bk_state_settle(person);
    bk_buf_finish(&kept->good);
    bk_buf_finish(&kept->bad);
    bk_buf_finish(&kept->after);
    bk_buf_finish(&kept->after2);
    free(kept);
}

void ms_keep_commit(struct ms_kept *kept, struct bk_store_batch *batch)
{
    struct bk_core *core = kept->shard->core;
    /* What could not be said whole is not done either. */
    if (kept->good.failed)
        batch = bk_store_batch_destroy(batch);
    if (!batch)
        kept_done(kept, kept->good.failed ? -ENOMEM : 0);
    else if (bk_store_commit(core->config.store, batch, kept_done, kept) < 0)
        kept_done(kept, -EIO);
}

/* ---- the contact list ---- */

static void contacts_decided(struct ms_kept *kept, bool good)
{
    struct ms_person *ms = kept->person->dialect;
    if (!ms)
        return;
    if (!good) {
        ms->loaded_own = false; /* read anew at the next question */
        return;
    }
    const struct bk_view type = BK_VIEW(BK_MS_CONTACTS_CONTENT_TYPE);
    if (kept->after.len)
        ms_notify_all(ms, MS_EVENT_CONTACTS, type, bk_buf_view(&kept->after), 0);
    if (kept->after2.len)
        ms_notify_all(ms, MS_EVENT_CONTACTS, type, bk_buf_view(&kept->after2), 0);
}

/* Rows that carry the mark, and what was dropped. */
static void store_changes(struct ms_person *ms, const struct bk_ms_contact_change *change,
                          struct bk_store_batch *batch)
{
    const struct bk_ms_contacts *list = &ms->contacts;
    struct bk_view owner = bk_person_address(ms->person);
    struct bk_buf groups = { 0 };
    bk_store_put_contact_list(batch,
                              &(struct bk_contact_list){ owner, list->delta, list->next_group });
    BK_LIST_EACH(&list->groups, it)
    {
        const struct bk_ms_group *g = bk_container_of(it, struct bk_ms_group, in_list);
        if (g->changed)
            bk_store_put_contact_group(
                batch, &(struct bk_contact_group){ owner, g->id, g->name, g->external });
    }
    BK_LIST_EACH(&list->contacts, it)
    {
        const struct bk_ms_contact *c = bk_container_of(it, struct bk_ms_contact, in_list);
        if (!c->changed)
            continue;
        bk_buf_clear(&groups);
        bk_ms_contact_groups_write(&groups, c);
        bk_store_put_contact(batch,
                             &(struct bk_contact){ owner, c->address, c->name, bk_buf_view(&groups),
                                                   c->subscribed, c->external });
    }
    if (change->dropped_group)
        bk_store_drop_contact_group(batch, owner, change->dropped_group);
    if (change->dropped_contact)
        bk_store_drop_contact(batch, owner, change->dropped_contact->address);
    bk_buf_finish(&groups);
}

static void change_contacts(struct request *rq, struct ms_person *ms,
                            const struct bk_ms_contact_call *call)
{
    struct bk_ms_contact_change change;
    struct bk_buf body = { 0 };
    const struct bk_view type = BK_VIEW(BK_MS_SOAP_CONTENT_TYPE);
    if (bk_ms_contacts_apply(&ms->contacts, call, &change) < 0) {
        refuse(rq, 404, 0, 503, NULL);
        return;
    }
    bk_ms_contact_answer_write(&body, &ms->contacts, call, &change);
    if (change.nothing) {
        answer_body(rq, change.status, (struct bk_view){ 0 }, (struct bk_view){ 0 }, type,
                    bk_buf_view(&body));
        bk_buf_finish(&body);
        return;
    }
    struct ms_kept *kept = ms_keep(rq, ms->person);
    struct bk_store_batch *batch = kept ? bk_store_batch_create() : NULL;
    if (kept) {
        kept->decided = contacts_decided;
        bk_ms_contacts_delta_write(&kept->after, &ms->contacts, &change, 0);
        bk_ms_contacts_delta_write(&kept->after2, &ms->contacts, &change, 1);
        ms_keep_answer(kept, rq, 200, type, bk_buf_view(&body));
        if (batch)
            store_changes(ms, &change, batch);
        else
            kept->good.failed = true;
    } else {
        ms->loaded_own = false; /* it was not written down: read anew */
    }
    bk_ms_contacts_settle(&ms->contacts, &change);
    bk_buf_finish(&body);
    if (kept)
        ms_keep_commit(kept, batch);
}

/* ---- the directory ---- */

struct search {
    const struct bk_ms_contact_call *call;
    struct bk_buf rows;
    int n, max;
    bool more;
};

static bool contains_nocase(struct bk_view text, struct bk_view part)
{
    for (size_t i = 0; i + part.len <= text.len; i++)
        if (bk_view_equal_nocase(bk_view_head(bk_view_skip(text, i), part.len), part))
            return true;
    return false;
}

/* An address is asked for with its scheme. */
static struct bk_view search_text(const struct bk_ms_search_condition *c)
{
    const struct bk_view scheme = BK_VIEW("sip:");
    return bk_view_starts_with_nocase(c->value, scheme) ? bk_view_skip(c->value, scheme.len)
                                                        : c->value;
}

/* Of what a person has here, names answer for all kinds of names, and the address for both of its attributes. */
static bool user_matches(const struct bk_user *user, const struct bk_ms_search_condition *c)
{
    struct bk_view value = search_text(c);
    if (bk_view_equal_nocase(c->attribute, BK_VIEW("mail")) ||
        bk_view_equal_nocase(c->attribute, BK_VIEW("msRTCSIP-PrimaryUserAddress")))
        return contains_nocase(user->address, value);
    if (bk_view_equal_nocase(c->attribute, BK_VIEW("givenName")) ||
        bk_view_equal_nocase(c->attribute, BK_VIEW("sn")) ||
        bk_view_equal_nocase(c->attribute, BK_VIEW("displayName")))
        return contains_nocase(user->display_name, value) || contains_nocase(user->address, value);
    return false; /* company, country: not known here */
}

static bool search_row(void *ctx, const struct bk_user *user)
{
    struct search *s = ctx;
    if (!user->enabled)
        return true;
    for (int i = 0; i < s->call->n_conditions; i++)
        if (!user_matches(user, &s->call->conditions[i]))
            return true;
    if (s->n == s->max) {
        s->more = true;
        return false;
    }
    struct bk_buf uri = { 0 };
    bk_buf_add_lit(&uri, "sip:");
    bk_buf_add_view(&uri, user->address);
    struct bk_ms_search_row row = { .uri = bk_buf_view(&uri),
                                    .display_name = user->display_name,
                                    .email = user->address };
    bk_ms_search_row(&s->rows, &row);
    s->n++;
    bk_buf_finish(&uri);
    return true;
}

static void search(struct request *rq, const struct bk_ms_contact_call *call)
{
    struct bk_core *core = rq->core;
    struct bk_view domain = bk_view_skip(rq->identity, bk_view_find(rq->identity, '@') + 1);
    const struct bk_tenant *tenant = bk_directory_tenant_of(core->directory, domain);
    struct search s = { .call = call,
                        .max = call->max_results && call->max_results < MS_SEARCH_MAX
                                   ? call->max_results
                                   : MS_SEARCH_MAX };
    struct bk_view match = { 0 };
    struct bk_buf body = { 0 };
    for (int i = 0; i < call->n_conditions; i++)
        if (search_text(&call->conditions[i]).len > match.len)
            match = search_text(&call->conditions[i]);
    /* Nobody reads the whole directory out: a search has a condition. */
    int r = tenant && match.len
                ? bk_store_users(core->config.store, tenant->id, (struct bk_view){ 0 }, match, 1000,
                                 &core->arena, search_row, &s)
                : 0;
    bk_ms_search_begin(&body, s.more);
    bk_buf_add_view(&body, bk_buf_view(&s.rows));
    bk_ms_search_end(&body);
    if (r < 0 || body.failed || s.rows.failed)
        refuse(rq, 404, 0, 503, NULL);
    else
        answer_body(rq, 200, (struct bk_view){ 0 }, (struct bk_view){ 0 },
                    BK_VIEW(BK_MS_SOAP_CONTENT_TYPE), bk_buf_view(&body));
    bk_buf_finish(&body);
    bk_buf_finish(&s.rows);
}

/* ---- access levels ---- */

static int container_index(int container)
{
    int i = 0;
    while (i < BK_MS_CONTAINERS - 1 && bk_ms_containers[i] != container)
        i++;
    return i;
}

static int level_of(const struct bk_person *person, struct bk_view subject)
{
    for (const struct bk_relation_entry *r = person->relations; r; r = r->next)
        if (bk_view_equal(bk_view_of_str(r->subject), subject))
            return r->level;
    return 0;
}

/* set: bits of the containers touched. */
static void members_decided(struct ms_kept *kept, bool good)
{
    struct bk_core *core = kept->shard->core;
    struct ms_person *ms = kept->person->dialect;
    if (!good || !ms)
        return;
    for (int i = 0; i < BK_MS_CONTAINERS; i++)
        if (kept->set & 1u << i)
            ms->container_versions[i]++;
    kept->person->loaded = false;
    presence_load(core, kept->person);
    ms_notify_containers(ms);
    presence_changed(core, kept->person);
}

static void put_level(struct request *rq, struct bk_store_batch *batch, struct bk_view subject,
                      int level)
{
    bk_store_put_relation(batch, &(struct bk_relation){ rq->identity, subject, level });
}

static void set_members(struct request *rq, struct ms_person *ms)
{
    struct bk_core *core = rq->core;
    struct bk_ms_member_change *changes;
    struct bk_buf subject = { 0 };
    const char *why = NULL;
    unsigned set = 0;
    int n, r = bk_ms_set_members_parse(rq->msg->body, &core->arena, &changes, &n, &why);
    if (r < 0) {
        answer(rq, r == -ENOMEM ? 503 : 400, bk_view_of_str(why), (struct bk_view){ 0 });
        return;
    }
    for (int i = 0; i < n; i++) {
        int at = container_index(changes[i].container);
        set |= 1u << at;
        /* An older number is fine, as each change says all it means; one ahead of ours is of another list. */
        if (changes[i].version > ms->container_versions[at]) {
            struct bk_ms_conflict conflict = { i + 1, ms->container_versions[at] };
            struct bk_buf body = { 0 };
            bk_ms_fault_write(&body, &conflict, 1);
            answer_body(rq, 409, (struct bk_view){ 0 }, (struct bk_view){ 0 },
                        BK_VIEW(BK_MS_FAULT_CONTENT_TYPE), bk_buf_view(&body));
            bk_buf_finish(&body);
            return;
        }
    }
    struct ms_kept *kept = ms_keep(rq, ms->person);
    struct bk_store_batch *batch = kept ? bk_store_batch_create() : NULL;
    if (!kept)
        return;
    /* Somebody has one relation: who is taken out of one container and put into another in one request is in the other. */
    for (int adds = 0; adds < 2; adds++) {
        for (int i = 0; i < n; i++) {
            if (changes[i].removes == (adds == 1))
                continue;
            bk_buf_clear(&subject);
            bk_ms_member_subject(&subject, changes[i].member.type, changes[i].member.value);
            if (adds)
                put_level(rq, batch, bk_buf_view(&subject), changes[i].container);
            else if (level_of(ms->person, bk_buf_view(&subject)) == changes[i].container)
                put_level(rq, batch, bk_buf_view(&subject), 0);
        }
    }
    for (int i = 0; i < BK_MS_CONTAINERS; i++)
        if (set & 1u << i)
            bk_store_put_container(batch,
                                   &(struct bk_container){ rq->identity, bk_ms_containers[i],
                                                           ms->container_versions[i] + 1LL });
    kept->set = set;
    kept->decided = members_decided;
    ms_keep_answer(kept, rq, 200, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    if (!batch || subject.failed)
        kept->good.failed = true;
    ms_keep_commit(kept, batch);
    bk_buf_finish(&subject);
}

/* The block list of LCS 2005, onto the same relations. */
static void set_ace(struct request *rq, struct ms_person *ms, const struct bk_ms_contact_call *call)
{
    struct ms_kept *kept = ms_keep(rq, ms->person);
    struct bk_store_batch *batch = kept ? bk_store_batch_create() : NULL;
    struct bk_buf body = { 0 };
    if (!kept)
        return;
    struct bk_ms_contact_change done = { .status = 200, .nothing = true };
    int level = level_of(ms->person, call->address);
    if (call->blocks)
        put_level(rq, batch, call->address, RELATION_BLOCKED);
    else if (level == RELATION_BLOCKED)
        put_level(rq, batch, call->address, 0);
    kept->decided = members_decided;
    bk_ms_contact_answer_write(&body, &ms->contacts, call, &done);
    ms_keep_answer(kept, rq, 200, BK_VIEW(BK_MS_SOAP_CONTENT_TYPE), bk_buf_view(&body));
    if (!batch)
        kept->good.failed = true;
    ms_keep_commit(kept, batch);
    bk_buf_finish(&body);
}

static void set_subscribers(struct request *rq, struct ms_person *ms)
{
    struct bk_ms_subscriber *rows;
    const char *why = NULL;
    int n, r = bk_ms_set_subscribers_parse(rq->msg->body, &rq->core->arena, &rows, &n, &why);
    if (r < 0) {
        answer(rq, r == -ENOMEM ? 503 : 400, bk_view_of_str(why), (struct bk_view){ 0 });
        return;
    }
    struct ms_kept *kept = ms_keep(rq, ms->person);
    struct bk_store_batch *batch = kept ? bk_store_batch_create() : NULL;
    if (!kept)
        return;
    for (int i = 0; i < n; i++) {
        struct ms_follower *f = ms_follower_find(ms, rows[i].address);
        if (!f)
            continue;
        f->acknowledged = rows[i].acknowledged;
        bk_store_put_follower(batch, &(struct bk_follower){ .owner = rq->identity,
                                                            .follower = f->address,
                                                            .display_name = f->display_name,
                                                            .acknowledged = f->acknowledged,
                                                            .at = core_real(rq->core) });
    }
    ms_keep_answer(kept, rq, 200, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    if (!batch)
        kept->good.failed = true;
    ms_keep_commit(kept, batch);
}

/* ---- which of them ---- */

static void soap(struct request *rq, struct ms_person *ms)
{
    struct bk_ms_contact_call *call = bk_arena_alloc(&rq->core->arena, sizeof *call);
    const char *why = NULL;
    int r = call ? bk_ms_contact_call_parse(rq->msg->body, &rq->core->arena, call, &why) : -ENOMEM;
    if (r < 0)
        answer(rq,
               r == -ENOMEM       ? 503
               : r == -EOPNOTSUPP ? 501
                                  : 400,
               why ? bk_view_of_str(why) : (struct bk_view){ 0 }, (struct bk_view){ 0 });
    else if (call->method == BK_MS_DIRECTORY_SEARCH)
        search(rq, call);
    else if (!bk_view_equal(rq->identity, rq->target))
        answer(rq, 403, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    else if (call->method == BK_MS_SET_ACE)
        set_ace(rq, ms, call);
    else
        change_contacts(rq, ms, call);
}

static const struct {
    const char *content_type;
    void (*handle)(struct request *rq, struct ms_person *ms);
    bool of_domain; /* may be addressed to the domain */
} services[] = {
    { BK_MS_SOAP_CONTENT_TYPE, soap, true },
    { BK_MS_PUBLISH_CONTENT_TYPE, ms_publish, false },
    { BK_MS_SET_MEMBERS_CONTENT_TYPE, set_members, false },
    { BK_MS_SET_SUBSCRIBERS_CONTENT_TYPE, set_subscribers, false },
};

void handle_service(struct request *rq)
{
    struct bk_core *core = rq->core;
    struct bk_view type = bk_sip_msg_value(rq->msg, BK_SIP_HDR_CONTENT_TYPE);
    type = bk_view_trim(bk_view_cut(&type, ';'));
    size_t i = 0;
    while (i < sizeof services / sizeof *services &&
           !bk_view_equal_nocase(type, bk_view_of_str(services[i].content_type)))
        i++;
    bool own = bk_view_equal(rq->identity, rq->target);
    if (i == sizeof services / sizeof *services ||
        (!own && (rq->target.len || !services[i].of_domain))) {
        /* Conferences, relays and whatever else has an address of its own: not here. */
        answer(rq, own ? 415 : 404, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        return;
    }
    struct bk_person *person = bk_state_person(rq->shard->state, rq->identity, true);
    struct ms_person *ms = person ? ms_person(core, person) : NULL;
    if (!ms) {
        refuse(rq, 404, 0, 503, NULL);
        return;
    }
    person->server = rq->shard;
    person->holds++;
    presence_load(core, person);
    if (!person->loaded || ms_load_public(ms) < 0 || ms_load_own(ms) < 0)
        refuse(rq, 404, 0, 503, NULL);
    else
        services[i].handle(rq, ms);
    person->holds--;
    bk_state_settle(person);
}

bool ms_probe(struct request *rq)
{
    struct bk_user user;
    if (rq->msg->method != BK_SIP_INVITE || rq->head->to_tag.len ||
        !bk_view_starts_with(rq->target, BK_VIEW("ocschat@")) ||
        bk_store_user(rq->core->config.store, rq->target, &rq->core->arena, &user) != -ENOENT)
        return false;
    answer(rq, 404, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    return true;
}
