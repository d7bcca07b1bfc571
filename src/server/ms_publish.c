/* SPDX-License-Identifier: Apache-2.0 */
/* Publications of the Lync dialect: versions, conflicts, what becomes of them in the one model. */
#include "server/ms_person_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- into the model ---- */

static struct bk_publication *model_of(struct ms_person *ms, struct bk_view endpoint)
{
    struct bk_person *person = ms->person;
    struct bk_publication *p;
    BK_LIST_EACH(&person->publications, it)
    {
        p = bk_container_of(it, struct bk_publication, in_person);
        if (p->dialect && bk_view_equal(p->endpoint, endpoint))
            return p;
    }
    if (bk_state_publish(person, endpoint, (struct bk_view){ 0 }, &p) < 0)
        return NULL;
    const struct bk_binding *b = endpoint.len ? bk_person_binding(person, endpoint) : NULL;
    p->dialect = true;
    p->machine = BK_PIDF_MACHINE_ACTIVE;
    p->machine_since = core_real(ms->core);
    p->link = b ? b->link : 0;
    snprintf(p->etag, sizeof p->etag, "%016llx",
             (unsigned long long)bk_random_u64(ms->core->config.random));
    return p;
}

void ms_model(struct ms_person *ms)
{
    BK_LIST_EACH(&ms->person->publications, it)
    {
        struct bk_publication *p = bk_container_of(it, struct bk_publication, in_person);
        if (p->dialect)
            bk_state_unpublish(p);
    }
    BK_LIST_EACH(&ms->publications, it)
    {
        const struct ms_publication *s = bk_container_of(it, struct ms_publication, in_person);
        if (!s->is_state || s->state.type == BK_MS_STATE_USER ||
            s->state.type == BK_MS_STATE_AGGREGATE)
            continue;
        /* What outlives the endpoint is no word about it. */
        struct bk_publication *p =
            model_of(ms, s->expire == BK_MS_EXPIRE_ENDPOINT ? s->endpoint : (struct bk_view){ 0 });
        if (!p)
            continue;
        bool busy = s->state.availability >= 6000 && s->state.availability < 12000;
        p->in_conference |= s->in_conference;
        p->presenting |= s->presenting;
        p->in_meeting |= s->in_meeting;
        if (s->state.type == BK_MS_STATE_MACHINE) {
            p->machine = bk_ms_machine_of(&s->state);
            p->closed = bk_ms_machine_closed(&s->state);
        } else if (s->state.type == BK_MS_STATE_PHONE) {
            p->in_call |= busy && !s->in_conference && !s->presenting;
        } else if (s->state.type == BK_MS_STATE_CONFERENCE) {
            p->in_conference |= busy && !s->presenting;
        }
    }
}

void ms_endpoint_gone(struct bk_core *core, struct bk_person *person, struct bk_view endpoint,
                      bool last)
{
    struct ms_person *ms = person->dialect;
    struct bk_buf names = { 0 };
    (void)core;
    if (!ms)
        return;
    BK_LIST_EACH(&ms->publications, it)
    {
        struct ms_publication *p = bk_container_of(it, struct ms_publication, in_person);
        bool goes = p->expire == BK_MS_EXPIRE_ENDPOINT ? bk_view_equal(p->endpoint, endpoint)
                                                       : p->expire == BK_MS_EXPIRE_USER && last;
        if (!goes)
            continue;
        bk_buf_add_view(&names, p->category);
        bk_buf_add_char(&names, '\0');
        ms_publication_drop(p);
    }
    if (names.len) {
        ms_model(ms);
        if (!last)
            ms_notify_self(ms, bk_buf_view(&names), 0);
    }
    bk_buf_finish(&names);
}

/* ---- one request ---- */

/* What the items say of the person as a whole. */
struct meant {
    bool has_manual, has_note;
    enum bk_pidf_manual manual;
    struct bk_view note;
};

static void read_meant(const struct ms_person *ms, const struct bk_ms_publish *p, struct meant *ret)
{
    *ret = (struct meant){ .manual = BK_PIDF_MANUAL_NONE };
    for (int i = 0; i < p->n; i++) {
        const struct bk_ms_publication *item = &p->items[i];
        struct bk_ms_state s;
        if (bk_view_equal(item->category, BK_VIEW("note")) &&
            item->container == BK_MS_CONTAINER_COMPANY) {
            ret->has_note = true;
            ret->note = item->content ? bk_view_head(bk_ms_note_read(item->content), BK_MS_NOTE_MAX)
                                      : (struct bk_view){ 0 };
        }
        if (!bk_view_equal(item->category, BK_VIEW("state")))
            continue;
        const struct ms_publication *old =
            ms_publication_find(ms, item->category, item->instance, item->container);
        if (item->content && bk_ms_state_read(item->content, &s) == 0) {
            if (s.type == BK_MS_STATE_USER) {
                ret->has_manual = true;
                ret->manual = bk_ms_manual_of(&s);
            }
        } else if (item->removes && old && old->is_state && old->state.type == BK_MS_STATE_USER) {
            ret->has_manual = true;
        }
    }
}

/* Which wishes met another version than they thought; how many. */
static int find_conflicts(const struct ms_person *ms, const struct bk_ms_publish *p,
                          struct bk_ms_conflict ret[BK_MS_PUBLICATIONS_MAX])
{
    int n = 0;
    for (int i = 0; i < p->n; i++) {
        const struct bk_ms_publication *item = &p->items[i];
        const struct ms_publication *old =
            ms_publication_find(ms, item->category, item->instance, item->container);
        uint32_t now = old ? old->version : 0;
        if (item->version != now && (old || !item->removes))
            ret[n++] = (struct bk_ms_conflict){ i + 1, now };
    }
    return n;
}

/* The contents as text, one behind the other, with a NUL after each; false: one is too large. */
static bool write_contents(const struct bk_ms_publish *p, struct bk_buf *to)
{
    for (int i = 0; i < p->n; i++) {
        size_t before = to->len;
        if (p->items[i].content)
            bk_ms_xml_write(to, p->items[i].content, (struct bk_view){ 0 });
        if (to->len - before > BK_MS_CATEGORY_BYTES_MAX)
            return false;
        bk_buf_add_char(to, '\0');
    }
    return true;
}

static void store_item(struct bk_store_batch *batch, const struct ms_person *ms,
                       const struct bk_ms_publication *item, const struct ms_publication *old,
                       struct bk_view document, int64_t at)
{
    struct bk_view owner = bk_person_address(ms->person);
    if (item->expire == BK_MS_EXPIRE_STATIC && !item->removes)
        bk_store_put_publication(batch, &(struct bk_static_publication){
                                            owner, item->category, item->instance, item->container,
                                            (old ? old->version : 0) + 1LL, at, document });
    else if (old && old->expire == BK_MS_EXPIRE_STATIC)
        bk_store_drop_publication(batch, owner, item->category, item->instance, item->container);
}

/* Categories named once each, with a NUL behind. */
static void name_categories(const struct bk_ms_publish *p, struct bk_buf *to)
{
    for (int i = 0; i < p->n; i++) {
        bool again = false;
        for (int k = 0; k < i && !again; k++)
            again = bk_view_equal(p->items[k].category, p->items[i].category);
        if (again)
            continue;
        bk_buf_add_view(to, p->items[i].category);
        bk_buf_add_char(to, '\0');
    }
}

static void published(struct ms_kept *kept, bool good)
{
    struct bk_core *core = kept->shard->core;
    struct ms_person *ms = kept->person->dialect;
    if (!ms)
        return;
    if (!good) {
        /* What was not written down did not happen. */
        ms->loaded_public = kept->person->loaded = false;
        (void)ms_load_public(ms);
        presence_load(core, kept->person);
        ms_model(ms);
    }
    ms_notify_self(ms, bk_buf_view(&kept->after), good ? kept->link : 0);
    presence_published(core, kept->person);
}

static bool set_note(struct bk_person *person, struct bk_view note)
{
    char *copy = note.len ? bk_view_dup(note) : NULL;
    if (note.len && !copy)
        return false;
    free(person->note);
    person->note = copy;
    return true;
}

/* true: manual state or note are others now, and were put into the batch. */
static bool apply_meant(struct ms_person *ms, const struct meant *m, struct bk_store_batch *batch)
{
    struct bk_person *person = ms->person;
    bool manual = m->has_manual && m->manual != person->manual;
    bool note = m->has_note && !bk_view_equal(bk_view_of_str(person->note), m->note);
    if (!manual && !note)
        return false;
    if (manual)
        person->manual = m->manual;
    if (note && !set_note(person, m->note))
        return false;
    struct bk_presence_note row = {
        .address = bk_person_address(person),
        .manual = person->manual == BK_PIDF_MANUAL_NONE
                      ? (struct bk_view){ 0 }
                      : bk_view_of_str(bk_pidf_manual_name(person->manual)),
        .note = bk_view_of_str(person->note),
        .at = core_real(ms->core),
    };
    bk_store_put_presence_note(batch, &row);
    return true;
}

/* All of it, or, out of memory, what there was: the client is told 503 and asks again. */
static bool apply(struct request *rq, struct ms_person *ms, const struct bk_ms_publish *p,
                  struct bk_view contents, struct bk_store_batch *batch, bool *ret_writes)
{
    int64_t at = core_real(rq->core);
    for (int i = 0; i < p->n; i++) {
        const struct bk_ms_publication *item = &p->items[i];
        struct bk_view document = bk_view_cut(&contents, '\0');
        struct ms_publication *old =
            ms_publication_find(ms, item->category, item->instance, item->container);
        *ret_writes |=
            item->expire == BK_MS_EXPIRE_STATIC || (old && old->expire == BK_MS_EXPIRE_STATIC);
        store_item(batch, ms, item, old, document, at);
        if (item->removes) {
            if (old)
                ms_publication_drop(old);
        } else if (!ms_publication_put(
                       ms, item, (old ? old->version : 0) + 1, at,
                       item->expire == BK_MS_EXPIRE_ENDPOINT ? rq->endpoint : (struct bk_view){ 0 },
                       document)) {
            return false;
        }
    }
    return true;
}

static void answer_conflicts(struct request *rq, const struct bk_ms_conflict *conflicts, int n)
{
    struct bk_buf body = { 0 };
    bk_ms_fault_write(&body, conflicts, n);
    answer_body(rq, 409, (struct bk_view){ 0 }, (struct bk_view){ 0 },
                BK_VIEW(BK_MS_FAULT_CONTENT_TYPE), bk_buf_view(&body));
    bk_buf_finish(&body);
}

/* 0, or the status to answer with. */
static int publish_check(struct request *rq, struct ms_person *ms, const struct bk_ms_publish *p,
                         struct bk_buf *contents, const char **ret_why)
{
    if (!bk_view_equal(p->address, rq->identity)) {
        *ret_why = "the publications are somebody else's";
        return 403;
    }
    for (int i = 0; i < p->n; i++) {
        if (p->items[i].expire == BK_MS_EXPIRE_ENDPOINT && !rq->endpoint.len) {
            *ret_why = "nobody is signed in here whose end would end it";
            return 403;
        }
    }
    if (!write_contents(p, contents) || ms->n_publications + p->n > MS_PUBLICATIONS_PER_PERSON ||
        ms->publication_bytes + contents->len > MS_PUBLICATION_BYTES_PER_PERSON) {
        *ret_why = "there is no room for as much";
        return 413;
    }
    return contents->failed ? 503 : 0;
}

void ms_publish(struct request *rq, struct ms_person *ms)
{
    struct bk_core *core = rq->core;
    struct bk_ms_publish *p = bk_arena_alloc(&core->arena, sizeof *p);
    struct bk_ms_conflict conflicts[BK_MS_PUBLICATIONS_MAX];
    struct bk_buf contents = { 0 }, body = { 0 };
    struct meant meant;
    const char *why = NULL;
    int r = p ? bk_ms_publish_parse(rq->msg->body, &core->arena, p, &why) : -ENOMEM;
    int status = r == -ENOMEM ? 503 : r < 0 ? 400 : publish_check(rq, ms, p, &contents, &why);
    int n = status ? 0 : find_conflicts(ms, p, conflicts);

    if (status || n) {
        if (n)
            answer_conflicts(rq, conflicts, n);
        else
            answer(rq, status, why ? bk_view_of_str(why) : (struct bk_view){ 0 },
                   (struct bk_view){ 0 });
        bk_buf_finish(&contents);
        return;
    }
    struct ms_kept *kept = ms_keep(rq, ms->person);
    if (!kept) {
        bk_buf_finish(&contents);
        return;
    }
    struct bk_store_batch *batch = bk_store_batch_create();
    bool writes = false;
    read_meant(ms, p, &meant);
    bool good = batch && apply(rq, ms, p, bk_buf_view(&contents), batch, &writes);
    if (good)
        writes |= apply_meant(ms, &meant, batch);
    ms->note_told = ms_note_hash(ms); /* by this answer, and by published() */
    ms_model(ms);
    /* The answer says what is shown now; watchers hear of what is to stay once it is on disk (published()), or soon. */
    if (writes)
        presence_changed(core, ms->person);
    else
        presence_published(core, ms->person);
    kept->decided = published;
    name_categories(p, &kept->after);
    bk_ms_self_begin(&body);
    bk_ms_categories_begin(&body, rq->identity);
    for (struct bk_view names = bk_buf_view(&kept->after); names.at && names.len;)
        ms_render_own(ms, bk_view_cut(&names, '\0'), &body);
    bk_ms_categories_end(&body);
    bk_ms_self_end(&body);
    ms_keep_answer(kept, rq, 200, BK_VIEW(BK_MS_SELF_CONTENT_TYPE), bk_buf_view(&body));
    if (!good || body.failed)
        kept->good.failed = true;
    if (!writes || !good)
        batch = bk_store_batch_destroy(batch);
    ms_keep_commit(kept, batch);
    bk_buf_finish(&contents);
    bk_buf_finish(&body);
}
