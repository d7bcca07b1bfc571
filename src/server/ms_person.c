/* SPDX-License-Identifier: Apache-2.0 */
/* What a person has in the Lync dialect: loading it, and rendering the one model of presence in it. */
#include "server/ms_person_private.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

/* ---- life ---- */

static void person_gone(struct bk_person *person)
{
    struct ms_person *ms = person->dialect;
    struct bk_timers *timers = ms->core->config.timers;
    /* Not ms_unwatch: this person is beyond being settled. */
    BK_LIST_EACH(&ms->watches, it)
    {
        struct ms_watch *w = bk_container_of(it, struct ms_watch, in_person);
        bk_list_remove(&w->in_person);
        w->person = NULL;
    }
    while (!bk_list_empty(&ms->subs)) {
        struct ms_sub *sub = bk_container_of(ms->subs.next, struct ms_sub, in_person);
        sub->host = NULL;
        ms_sub_end(sub, false);
    }
    while (!bk_list_empty(&ms->publications))
        ms_publication_drop(
            bk_container_of(ms->publications.next, struct ms_publication, in_person));
    BK_LIST_EACH(&ms->followers, it)
    {
        bk_list_remove(it);
        free(bk_container_of(it, struct ms_follower, in_person));
    }
    bk_ms_contacts_finish(&ms->contacts);
    bk_timer_disarm(timers, &ms->tell);
    bk_list_remove(&ms->news);
    free(ms->display_name);
    free(ms);
    person->dialect = NULL;
}

struct ms_person *ms_person(struct bk_core *core, struct bk_person *person)
{
    if (person->dialect)
        return person->dialect;
    struct ms_person *ms = calloc(1, sizeof *ms);
    if (!ms)
        return NULL;
    ms->person = person;
    ms->core = core;
    bk_list_init(&ms->news);
    bk_list_init(&ms->subs);
    bk_list_init(&ms->watches);
    bk_list_init(&ms->publications);
    bk_list_init(&ms->followers);
    bk_ms_contacts_init(&ms->contacts);
    bk_timer_init(&ms->tell, ms_tell);
    person->dialect = ms;
    person->dialect_gone = person_gone;
    return ms;
}

/* ---- publications ---- */

struct ms_publication *ms_publication_find(const struct ms_person *ms, struct bk_view category,
                                           uint32_t instance, uint32_t container)
{
    BK_LIST_EACH(&ms->publications, it)
    {
        struct ms_publication *p = bk_container_of(it, struct ms_publication, in_person);
        if (p->instance == instance && p->container == container &&
            bk_view_equal(p->category, category))
            return p;
    }
    return NULL;
}

void ms_publication_drop(struct ms_publication *p)
{
    struct ms_person *ms = p->of;
    bk_timer_disarm(ms->core->config.timers, &p->timer);
    if (p->expire == BK_MS_EXPIRE_TIME)
        ms->person->holds--;
    bk_list_remove(&p->in_person);
    ms->n_publications--;
    ms->publication_bytes -= p->document.len;
    free(p);
}

static void publication_expired(struct bk_timer *timer)
{
    struct ms_publication *p = bk_container_of(timer, struct ms_publication, timer);
    struct ms_person *ms = p->of;
    struct bk_person *person = ms->person;
    char name[BK_MS_CATEGORY_NAME_MAX + 1] = "";
    memcpy(name, p->category.at, p->category.len);
    person->holds++;
    ms_publication_drop(p);
    ms_model(ms);
    ms_notify_self(ms, (struct bk_view){ name, strlen(name) + 1 }, 0);
    presence_changed(ms->core, person);
    person->holds--;
    bk_state_settle(person);
}

static struct bk_view keep(char **at, struct bk_view v)
{
    struct bk_view kept = { *at, v.len };
    if (v.len)
        memcpy(*at, v.at, v.len);
    *at += v.len;
    return kept;
}

static void read_state(struct ms_publication *p, const struct bk_ms_xml *content)
{
    p->is_state =
        bk_view_equal(p->category, BK_VIEW("state")) && bk_ms_state_read(content, &p->state) == 0;
    if (!p->is_state)
        return;
    struct bk_view activity = p->state.activity;
    bool there = p->state.availability >= 6000 && p->state.availability < 18000;
    p->in_conference = there && bk_view_equal(activity, BK_VIEW("in-a-conference"));
    p->presenting = there && bk_view_equal(activity, BK_VIEW("in-presentation"));
    p->in_meeting =
        there && p->state.availability < 9000 &&
        (p->state.type == BK_MS_STATE_CALENDAR || bk_view_equal(activity, BK_VIEW("in-a-meeting")));
    if (bk_view_equal(activity, BK_VIEW("off-work")) && p->state.type == BK_MS_STATE_USER)
        p->state.activity = BK_VIEW("off-work");
    else
        p->state.activity = (struct bk_view){ 0 }; /* it pointed into the request */
}

struct ms_publication *ms_publication_put(struct ms_person *ms,
                                          const struct bk_ms_publication *item, uint32_t version,
                                          int64_t at, struct bk_view endpoint,
                                          struct bk_view document)
{
    struct ms_publication *old =
        ms_publication_find(ms, item->category, item->instance, item->container);
    struct ms_publication *p =
        calloc(1, sizeof *p + item->category.len + endpoint.len + document.len);
    if (!p)
        return NULL;
    char *text = p->text;
    p->of = ms;
    p->category = keep(&text, item->category);
    p->endpoint = keep(&text, endpoint);
    p->document = keep(&text, document);
    p->instance = item->instance;
    p->container = item->container;
    p->version = version;
    p->expire = item->expire;
    p->at = at;
    bk_timer_init(&p->timer, publication_expired);
    if (item->content)
        read_state(p, item->content);
    if (old) {
        bk_list_add_before(&old->in_person, &p->in_person);
        ms_publication_drop(old);
    } else {
        bk_list_append(&ms->publications, &p->in_person);
    }
    ms->n_publications++;
    ms->publication_bytes += document.len;
    if (p->expire == BK_MS_EXPIRE_TIME) {
        ms->person->holds++;
        bk_timer_arm(ms->core->config.timers, &p->timer,
                     core_now(ms->core) + item->expires_s * 1000);
    }
    return p;
}

/* ---- followers ---- */

struct ms_follower *ms_follower_find(const struct ms_person *ms, struct bk_view address)
{
    BK_LIST_EACH(&ms->followers, it)
    {
        struct ms_follower *f = bk_container_of(it, struct ms_follower, in_person);
        if (bk_view_equal(f->address, address))
            return f;
    }
    return NULL;
}

int ms_follower_put(struct ms_person *ms, struct bk_view address, struct bk_view display_name,
                    bool acknowledged)
{
    struct ms_follower *f = ms_follower_find(ms, address);
    if (!f) {
        f = calloc(1, sizeof *f + address.len + display_name.len);
        if (!f)
            return -ENOMEM;
        char *text = f->text;
        f->address = keep(&text, address);
        f->display_name = keep(&text, display_name);
        bk_list_append(&ms->followers, &f->in_person);
    }
    f->acknowledged = acknowledged;
    return 0;
}

/* ---- from the store ---- */

struct loading {
    struct ms_person *ms;
    bool failed;
};

static bool load_publication(void *ctx, const struct bk_static_publication *row)
{
    struct loading *load = ctx;
    struct bk_arena arena = { 0 };
    struct bk_ms_xml *content = NULL;
    const char *why;
    struct bk_ms_publication item = { .category = row->category,
                                      .instance = (uint32_t)row->instance,
                                      .container = (uint32_t)row->container,
                                      .expire = BK_MS_EXPIRE_STATIC,
                                      .expires_s = -1 };
    if (bk_ms_xml_parse(row->document, &arena, &content, &why) == 0)
        item.content = content;
    load->failed |= !ms_publication_put(load->ms, &item, (uint32_t)row->version, row->at,
                                        (struct bk_view){ 0 }, row->document);
    bk_arena_finish(&arena);
    return !load->failed;
}

int ms_load_public(struct ms_person *ms)
{
    if (ms->loaded_public)
        return 0;
    struct bk_store *store = ms->core->config.store;
    struct bk_view address = bk_person_address(ms->person);
    struct bk_arena arena = { 0 };
    struct bk_user user = { 0 };
    struct loading load = { .ms = ms };
    BK_LIST_EACH(&ms->publications, it)
    {
        struct ms_publication *p = bk_container_of(it, struct ms_publication, in_person);
        if (p->expire == BK_MS_EXPIRE_STATIC)
            ms_publication_drop(p);
    }
    int r = bk_store_user(store, address, &arena, &user);
    if (r == 0 || r == -ENOENT)
        r = bk_store_publications(store, address, &arena, load_publication, &load);
    free(ms->display_name);
    ms->display_name = user.display_name.len ? bk_view_dup(user.display_name) : NULL;
    bk_arena_finish(&arena);
    if (r < 0 || load.failed)
        return r < 0 ? r : -ENOMEM;
    ms->loaded_public = true;
    return 0;
}

static bool load_group(void *ctx, const struct bk_contact_group *row)
{
    struct loading *load = ctx;
    struct bk_ms_group *group;
    load->failed |= bk_ms_contacts_put_group(&load->ms->contacts, row->id, row->name, row->external,
                                             &group) < 0;
    return !load->failed;
}

static bool load_contact(void *ctx, const struct bk_contact *row)
{
    struct loading *load = ctx;
    struct bk_ms_contact *contact;
    load->failed |= bk_ms_contacts_put(&load->ms->contacts, row->address, row->name, row->groups,
                                       row->subscribed, row->external, &contact) < 0;
    return !load->failed;
}

static bool load_container(void *ctx, const struct bk_container *row)
{
    struct loading *load = ctx;
    for (int i = 0; i < BK_MS_CONTAINERS; i++)
        if (row->container == bk_ms_containers[i])
            load->ms->container_versions[i] = (uint32_t)row->version;
    return true;
}

static bool load_follower(void *ctx, const struct bk_follower *row)
{
    struct loading *load = ctx;
    load->failed |=
        ms_follower_put(load->ms, row->follower, row->display_name, row->acknowledged) < 0;
    return !load->failed;
}

int ms_load_own(struct ms_person *ms)
{
    if (ms->loaded_own)
        return 0;
    struct bk_store *store = ms->core->config.store;
    struct bk_view owner = bk_person_address(ms->person);
    struct bk_arena arena = { 0 };
    struct bk_contact_list row;
    struct loading load = { .ms = ms };
    bk_ms_contacts_finish(&ms->contacts);
    bk_ms_contacts_init(&ms->contacts);
    int r = bk_store_contact_list(store, owner, &arena, &row);
    if (r == 0) {
        ms->contacts.delta = row.delta;
        ms->contacts.next_group = row.next_group;
    } else if (r == -ENOENT) {
        r = 0;
    }
    if (r >= 0)
        r = bk_store_contact_groups(store, owner, &arena, load_group, &load);
    if (r >= 0)
        r = bk_store_contacts(store, owner, &arena, load_contact, &load);
    if (r >= 0)
        r = bk_store_containers(store, owner, &arena, load_container, &load);
    if (r >= 0)
        r = bk_store_followers(store, owner, &arena, load_follower, &load);
    bk_arena_finish(&arena);
    if (r < 0 || load.failed)
        return r < 0 ? r : -ENOMEM;
    ms->loaded_own = true;
    return 0;
}

/* ---- rendering for watchers ---- */

static bool is_absent(enum bk_pidf_shown shown)
{
    return shown == BK_PIDF_SHOWN_AVAILABLE_INACTIVE || shown == BK_PIDF_SHOWN_BUSY_INACTIVE ||
           shown == BK_PIDF_SHOWN_AWAY;
}

static void add(struct bk_buf *to, const char *name, uint32_t instance, int64_t at,
                struct bk_view content)
{
    struct bk_ms_category c = {
        .name = bk_view_of_str(name), .instance = instance, .published_ms = at, .content = content
    };
    bk_ms_category_write(to, &c);
}

/* What was published in the watcher's own container, and nowhere else. */
static void add_published(struct ms_person *ms, const char *category, int relation,
                          struct bk_buf *to)
{
    struct bk_buf content = { 0 };
    BK_LIST_EACH(&ms->publications, it)
    {
        const struct ms_publication *p = bk_container_of(it, struct ms_publication, in_person);
        if (p->container != (uint32_t)relation ||
            !bk_view_equal(p->category, bk_view_of_str(category)))
            continue;
        if (strcmp(category, "contactCard") != 0) {
            add(to, category, p->instance, p->at, p->document);
            continue;
        }
        struct bk_arena arena = { 0 };
        struct bk_ms_xml *card;
        const char *why;
        bk_buf_clear(&content);
        if (bk_ms_xml_parse(p->document, &arena, &card, &why) == 0) {
            bk_ms_card_filter(&content, card, relation);
            add(to, category, p->instance ? p->instance : 1, p->at, bk_buf_view(&content));
        }
        bk_arena_finish(&arena);
    }
    bk_buf_finish(&content);
}

static struct bk_view published_note(const struct ms_publication *p, struct bk_arena *arena)
{
    struct bk_ms_xml *content;
    const char *why;
    if (bk_ms_xml_parse(p->document, arena, &content, &why) < 0)
        return (struct bk_view){ 0 };
    return bk_view_head(bk_ms_note_read(content), BK_MS_NOTE_MAX);
}

static struct bk_view note_for(struct ms_person *ms, int relation, struct bk_arena *arena)
{
    if (relation < BK_MS_CONTAINER_COMPANY)
        return (struct bk_view){ 0 };
    struct bk_view note = presence_note(ms->person);
    /* One for colleagues is the person's note, which another program may have taken away since. */
    if (note.len || ms_publication_find(ms, BK_VIEW("note"), 0, BK_MS_CONTAINER_COMPANY))
        return note;
    /* A note that is meant for the nearer ones only. */
    const struct ms_publication *p =
        ms_publication_find(ms, BK_VIEW("note"), 0, (uint32_t)relation);
    return p ? published_note(p, arena) : (struct bk_view){ 0 };
}

void ms_render(struct ms_person *ms, int relation, unsigned wanted, int64_t now_ms,
               struct bk_buf *to)
{
    struct bk_person *person = ms->person;
    struct bk_view address = bk_person_address(person);
    enum bk_pidf_shown shown = relation >= RELATION_BLOCKED ? BK_PIDF_SHOWN_OFFLINE : person->shown;
    bool offline = shown == BK_PIDF_SHOWN_OFFLINE;
    /* Since when somebody is offline would tell the blocked from those who left. */
    int64_t at = offline ? now_ms : person->shown_since;
    struct bk_buf content = { 0 };
    struct bk_arena arena = { 0 };

    bk_ms_categories_begin(to, address);
    if (wanted & BK_MS_WANTS_STATE) {
        bk_ms_aggregate_write(&content, shown, is_absent(shown) ? person->shown_since : 0);
        add(to, "state", 1, at, bk_buf_view(&content));
    }
    if (wanted & BK_MS_WANTS_NOTE) {
        bk_buf_clear(&content);
        bk_ms_note_write(&content,
                         offline ? (struct bk_view){ 0 } : note_for(ms, relation, &arena));
        add(to, "note", 0, at, bk_buf_view(&content));
    }
    if (wanted & BK_MS_WANTS_CARD) {
        struct bk_ms_card card = { .display_name = ms->display_name
                                                       ? bk_view_of_str(ms->display_name)
                                                       : address,
                                   .email = address };
        bk_buf_clear(&content);
        bk_ms_card_write(&content, &card);
        add(to, "contactCard", 0, now_ms, bk_buf_view(&content));
        if (!offline)
            add_published(ms, "contactCard", relation, to);
    }
    if ((wanted & BK_MS_WANTS_CALENDAR) && !offline && relation >= BK_MS_CONTAINER_COMPANY)
        add_published(ms, "calendarData", relation, to);
    bk_ms_categories_end(to);
    bk_buf_finish(&content);
    bk_arena_finish(&arena);
}

/* ---- rendering for the person's own endpoints ---- */

static void add_own(const struct ms_publication *p, struct bk_buf *to)
{
    struct bk_ms_category c = { .name = p->category,
                                .instance = p->instance,
                                .published_ms = p->at,
                                .own = true,
                                .container = p->container,
                                .version = p->version,
                                .expire = p->expire,
                                .content = p->document };
    bk_ms_category_write(to, &c);
}

static void add_aggregate(struct ms_person *ms, struct bk_buf *to)
{
    struct bk_buf content = { 0 };
    struct bk_person *person = ms->person;
    bk_ms_aggregate_write(&content, person->shown, person->shown_since);
    struct bk_ms_category c = { .name = BK_VIEW("state"),
                                .instance = 1,
                                .published_ms = person->shown_since,
                                .own = true,
                                .container = 2,
                                .version = ms->aggregate_version + 1,
                                .expire = BK_MS_EXPIRE_USER,
                                .content = bk_buf_view(&content) };
    bk_ms_category_write(to, &c);
    bk_buf_finish(&content);
}

static const uint32_t note_containers[] = { BK_MS_CONTAINER_COMPANY, BK_MS_CONTAINER_TEAM,
                                            BK_MS_CONTAINER_PERSONAL };

/* One of those that hold the note everybody from colleagues on sees. */
static bool is_the_note(const struct ms_publication *p)
{
    bool in_one = false;
    for (size_t i = 0; i < BK_COUNT_OF(note_containers); i++)
        in_one |= p->container == note_containers[i];
    return in_one && p->instance == 0 && bk_view_equal(p->category, BK_VIEW("note"));
}

/* Whether the person's note is another than what was published in this dialect: another program set or took it. */
static bool note_is_from_elsewhere(struct ms_person *ms)
{
    struct bk_arena arena = { 0 };
    const struct ms_publication *p =
        ms_publication_find(ms, BK_VIEW("note"), 0, BK_MS_CONTAINER_COMPANY);
    struct bk_view here = p ? published_note(p, &arena) : (struct bk_view){ 0 };
    bool other = !bk_view_equal(here, presence_note(ms->person));
    bk_arena_finish(&arena);
    return other;
}

/* As if it had been published, with the versions that the clients have to name next. */
static void add_own_note(struct ms_person *ms, struct bk_buf *to)
{
    struct bk_buf content = { 0 };
    bk_ms_note_write(&content, presence_note(ms->person));
    for (size_t i = 0; i < BK_COUNT_OF(note_containers); i++) {
        const struct ms_publication *p =
            ms_publication_find(ms, BK_VIEW("note"), 0, note_containers[i]);
        struct bk_ms_category c = { .name = BK_VIEW("note"),
                                    .published_ms = core_real(ms->core),
                                    .own = true,
                                    .container = note_containers[i],
                                    .version = p ? p->version : 0,
                                    .expire = BK_MS_EXPIRE_STATIC,
                                    .content = bk_buf_view(&content) };
        bk_ms_category_write(to, &c);
    }
    if (content.failed)
        to->failed = true;
    bk_buf_finish(&content);
}

uint64_t ms_note_hash(const struct ms_person *ms)
{
    return bk_hash(&ms->core->config.hash_key, presence_note(ms->person));
}

void ms_render_own(struct ms_person *ms, struct bk_view name, struct bk_buf *to)
{
    bool any = false, all = !name.len;
    bool note = (all || bk_view_equal(name, BK_VIEW("note"))) && note_is_from_elsewhere(ms);
    BK_LIST_EACH(&ms->publications, it)
    {
        const struct ms_publication *p = bk_container_of(it, struct ms_publication, in_person);
        if ((!all && !bk_view_equal(p->category, name)) || (note && is_the_note(p)))
            continue;
        add_own(p, to);
        any = true;
    }
    if (note) {
        add_own_note(ms, to);
        any = true;
    }
    if (all || bk_view_equal(name, BK_VIEW("state")))
        add_aggregate(ms, to);
    else if (!any)
        bk_ms_category_gone(to, name);
}

void ms_render_containers(struct ms_person *ms, struct bk_buf *to)
{
    size_t n = 2;
    for (const struct bk_relation_entry *r = ms->person->relations; r; r = r->next)
        n++;
    struct bk_ms_member *members = calloc(n, sizeof *members);
    bool enterprise = false, federated = false;
    if (!members) {
        to->failed = true;
        return;
    }
    n = 0;
    for (const struct bk_relation_entry *r = ms->person->relations; r; r = r->next) {
        members[n].container = r->level;
        bk_ms_member_of_subject(bk_view_of_str(r->subject), &members[n]);
        enterprise |= members[n].type == BK_MS_MEMBER_SAME_ENTERPRISE;
        federated |= members[n++].type == BK_MS_MEMBER_FEDERATED;
    }
    /* What holds without a word (docs/behaviour.md, "Relations") is said, or a stock client says it for us. */
    if (!enterprise)
        members[n++] = (struct bk_ms_member){ .container = BK_MS_CONTAINER_COMPANY,
                                              .type = BK_MS_MEMBER_SAME_ENTERPRISE };
    if (!federated)
        members[n++] = (struct bk_ms_member){ .container = BK_MS_CONTAINER_PUBLIC,
                                              .type = BK_MS_MEMBER_FEDERATED };
    bk_ms_containers_begin(to);
    for (int i = 0; i < BK_MS_CONTAINERS; i++)
        bk_ms_container_write(to, bk_ms_containers[i], ms->container_versions[i], members, n);
    bk_ms_containers_end(to);
    free(members);
}

void ms_render_followers(struct ms_person *ms, struct bk_buf *to)
{
    bk_ms_subscribers_begin(to);
    BK_LIST_EACH(&ms->followers, it)
    {
        const struct ms_follower *f = bk_container_of(it, struct ms_follower, in_person);
        struct bk_ms_subscriber s = { f->address, f->display_name, f->acknowledged };
        if (!f->acknowledged)
            bk_ms_subscriber_write(to, &s);
    }
    bk_ms_subscribers_end(to);
}
