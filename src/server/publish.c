/* SPDX-License-Identifier: Apache-2.0 */
/* PUBLISH (RFC 3903) and what follows from it: one model per person, composed from all that is known. */
#include "server/compose.h"
#include "server/core_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PUBLISH_MIN_S = 60,
    PUBLISH_MAX_S = 3600,
    PUBLISH_DEFAULT_S = 600,
    PUBLICATIONS_MAX = 32,
    NOTE_MAX = 1024
};

static enum bk_pidf_shown compose(struct bk_person *person);

/* ---- what the store knows of a person ---- */

struct relation_load {
    struct bk_person *person;
    bool failed;
};

static bool load_relation(void *ctx, const struct bk_relation *row)
{
    struct relation_load *load = ctx;
    load->failed = bk_person_add_relation(load->person, row->subject, row->level) < 0;
    return !load->failed;
}

void presence_load(struct bk_core *core, struct bk_person *person)
{
    if (person->loaded)
        return;
    struct bk_arena arena = { 0 };
    struct bk_presence_note note;
    struct relation_load load = { .person = person };

    free(person->note);
    person->note = NULL;
    person->manual = BK_PIDF_MANUAL_NONE;
    int r = bk_store_presence_note(core->config.store, bk_person_address(person), &arena, &note);
    if (r == 0) {
        person->manual = bk_pidf_manual_of(note.manual);
        if (person->manual == BK_PIDF_MANUAL_MISSING)
            person->manual = BK_PIDF_MANUAL_NONE;
        person->note = note.note.len ? bk_view_dup(note.note) : NULL;
    }
    bk_person_forget_relations(person);
    int n = bk_store_relations(core->config.store, bk_person_address(person), &arena, load_relation,
                               &load);
    /* Who is blocked must stay blocked when the store cannot say so: see presence_relation. */
    person->loaded = (r == 0 || r == -ENOENT) && n >= 0 && !load.failed;
    bk_arena_finish(&arena);
    if (person->shown == BK_PIDF_SHOWN_MISSING) {
        person->shown = compose(person);
        person->shown_since = core_real(core);
    }
    bk_person_changed(person);
}

int presence_relation(struct bk_core *core, struct bk_person *person, struct bk_view watcher)
{
    enum { USER, DOMAIN, KIND, EVERYONE, N_STRENGTHS };
    int level[N_STRENGTHS] = { 0 };
    (void)core;
    if (bk_view_equal(watcher, bk_person_address(person)))
        return 400;
    if (!person->loaded)
        return RELATION_BLOCKED;
    struct bk_view domain = bk_view_skip(watcher, bk_view_find(watcher, '@'));
    struct bk_view own =
        bk_view_skip(bk_person_address(person), bk_view_find(bk_person_address(person), '@'));
    bool colleague = bk_view_equal(own, domain);
    struct bk_view kind = colleague ? BK_VIEW("=sameEnterprise") : BK_VIEW("=federated");
    for (const struct bk_relation_entry *r = person->relations; r; r = r->next) {
        struct bk_view subject = bk_view_of_str(r->subject);
        if (bk_view_equal(subject, watcher))
            level[USER] = r->level;
        else if (bk_view_equal(subject, domain))
            level[DOMAIN] = r->level;
        else if (bk_view_equal(subject, kind))
            level[KIND] = r->level;
        else if (bk_view_equal(subject, BK_VIEW("=everyone")))
            level[EVERYONE] = r->level;
    }
    /* docs/behaviour.md, "Relations": the user before the domain before the kind before everyone. */
    for (int i = 0; i < N_STRENGTHS; i++)
        if (level[i])
            return level[i];
    return colleague ? 200 : 100;
}

/* ---- composing ---- */

static void look_at_publication(const struct bk_publication *p, struct bk_presence_input *in)
{
    in->in_call |= p->in_call;
    in->in_conference |= p->in_conference;
    in->presenting |= p->presenting;
    in->in_meeting |= p->in_meeting;
    in->busy_by_endpoint |= p->manual == BK_PIDF_MANUAL_BUSY;
}

static enum bk_pidf_shown compose(struct bk_person *person)
{
    struct bk_presence_input in = { .manual = person->manual };

    BK_LIST_EACH(&person->publications, it)
    look_at_publication(bk_container_of(it, struct bk_publication, in_person), &in);
    BK_LIST_EACH(&person->bindings, it)
    {
        const struct bk_binding *b = bk_container_of(it, struct bk_binding, in_person);
        enum bk_pidf_machine machine = BK_PIDF_MACHINE_AWAY;
        bool any = false, closed = false;
        /* Of several publications of one endpoint the most present counts, in whatever order they came. */
        BK_LIST_EACH(&person->publications, jt)
        {
            const struct bk_publication *p = bk_container_of(jt, struct bk_publication, in_person);
            if (!bk_view_equal(p->endpoint, b->endpoint))
                continue;
            if (!p->closed && p->machine < machine)
                machine = p->machine;
            closed |= p->closed && !any;
            any |= !p->closed;
        }
        if (!any && closed)
            continue; /* it says of itself that it is not there */
        in.n_endpoints++;
        if (!any || machine == BK_PIDF_MACHINE_ACTIVE)
            in.any_active = true;
        else if (machine == BK_PIDF_MACHINE_INACTIVE)
            in.any_inactive = true;
    }
    return bk_presence_compose(&in);
}

static void changed(struct bk_core *core, struct bk_person *person, bool at_once)
{
    enum bk_pidf_shown shown = compose(person);
    if (shown != person->shown) {
        person->shown = shown;
        person->shown_since = core_real(core);
    }
    bk_person_changed(person);
    ms_presence_changed(core, person, at_once);
    if (person->n_watchers == 0)
        return;
    int64_t now = core_now(core), at = person->told_at + core->config.limits.presence_gap_ms;
    if (!bk_timer_armed(&person->tell))
        bk_timer_arm(core->config.timers, &person->tell, at > now ? at : now);
    if (at_once && at <= now && bk_list_empty(&person->news))
        bk_list_append(&core->news, &person->news);
}

void presence_changed(struct bk_core *core, struct bk_person *person)
{
    changed(core, person, false);
}

void presence_published(struct bk_core *core, struct bk_person *person)
{
    changed(core, person, true);
}

void presence_forget_link(struct bk_core *core, struct bk_person *person, uint64_t link,
                          struct bk_view endpoint)
{
    (void)core;
    BK_LIST_EACH(&person->publications, it)
    {
        struct bk_publication *p = bk_container_of(it, struct bk_publication, in_person);
        if (p->link == link && (!p->endpoint.len || bk_view_equal(p->endpoint, endpoint)))
            bk_state_unpublish(p);
    }
}

/* ---- PUBLISH ---- */

static void publication_expired(struct bk_timer *timer)
{
    struct bk_publication *p = bk_container_of(timer, struct bk_publication, timer);
    struct bk_person *person = p->person;
    struct bk_core *core = person_shard(person)->core;
    person->holds++;
    bk_state_unpublish(p);
    presence_changed(core, person);
    person->holds--;
    bk_state_settle(person);
}

/* 13b, read from a plain client: its activity counts for that endpoint only. */
static void read_plain(const struct bk_pidf *doc, struct bk_publication *p)
{
    unsigned a = doc->activities;
    p->in_call = a & BK_PIDF_ON_THE_PHONE;
    p->in_meeting = a & BK_PIDF_MEETING;
    p->presenting = a & BK_PIDF_PRESENTATION;
    p->closed = doc->basic == BK_PIDF_CLOSED;
    p->machine = BK_PIDF_MACHINE_ACTIVE;
    if (doc->idle)
        p->machine = BK_PIDF_MACHINE_INACTIVE;
    if (a & (BK_PIDF_AWAY | BK_PIDF_VACATION | BK_PIDF_SLEEPING | BK_PIDF_DINNER |
             BK_PIDF_PERMANENT_ABSENCE))
        p->machine = BK_PIDF_MACHINE_AWAY;
    if (a & BK_PIDF_BUSY)
        p->manual = BK_PIDF_MANUAL_BUSY;
}

static void fill_publication(const struct bk_pidf *doc, struct bk_publication *p)
{
    read_plain(doc, p);
    if (doc->machine != BK_PIDF_MACHINE_MISSING)
        p->machine = doc->machine;
    if (doc->manual != BK_PIDF_MANUAL_MISSING)
        p->manual = BK_PIDF_MANUAL_NONE; /* the person's, not this endpoint's: see store_manual */
}

static struct bk_publication *of_link(struct bk_person *person, uint64_t link)
{
    BK_LIST_EACH(&person->publications, it)
    {
        struct bk_publication *p = bk_container_of(it, struct bk_publication, in_person);
        if (p->link == link)
            return p;
    }
    return NULL;
}

static void etag_make(struct bk_core *core, char ret[BK_ETAG_SIZE])
{
    snprintf(ret, BK_ETAG_SIZE, "%016llx", (unsigned long long)bk_random_u64(core->config.random));
}

/* A PUBLISH whose manual state must reach the disk before it is acknowledged. */
struct kept {
    struct shard *shard;
    struct bk_sip_tx *tx;
    struct bk_person *person; /* held */
    enum bk_pidf_manual manual;
    char *note;
    size_t good_len, bad_len;
    char bytes[]; /* the answer if it was kept, and the one if it was not */
};

static void kept_gone(struct bk_sip_tx *tx, void *user)
{
    struct kept *kept = user;
    (void)tx;
    kept->tx = NULL;
}
static const struct bk_sip_tx_user kept_user = { .gone = kept_gone };

static void kept_done(void *ctx, int result)
{
    struct kept *kept = ctx;
    struct bk_person *person = kept->person;
    struct bk_core *core = kept->shard->core;

    if (result == 0) {
        person->manual = kept->manual;
        free(person->note);
        person->note = kept->note;
        kept->note = NULL;
        changed(core, person, true);
    }
    if (kept->tx) {
        if (result == 0)
            bk_sip_tx_respond(kept->tx, 200, (struct bk_view){ kept->bytes, kept->good_len });
        else
            bk_sip_tx_respond(kept->tx, 503,
                              (struct bk_view){ kept->bytes + kept->good_len, kept->bad_len });
        bk_sip_tx_forget(kept->tx);
    }
    person->holds--;
    bk_state_settle(person);
    free(kept->note);
    free(kept);
}

static void build(const struct request *rq, int status, struct bk_view extra, struct bk_buf *to)
{
    struct bk_sip_source source = { bk_view_of_str(rq->asker.ip), rq->asker.port };
    char tag[17];
    core_to_tag(rq->core, rq->head, tag);
    bk_sip_response_begin(to, rq->msg, status, (struct bk_view){ 0 }, bk_view_of_str(tag), &source);
    bk_buf_add_view(to, extra);
    bk_sip_end(to, (struct bk_view){ 0 }, (struct bk_view){ 0 });
}

/* Writes manual state and note down, then answers. */
static void store_manual(struct request *rq, struct bk_person *person, const struct bk_pidf *doc,
                         struct bk_view answer_lines)
{
    struct bk_core *core = rq->core;
    struct bk_buf good = { 0 }, bad = { 0 };
    build(rq, 200, answer_lines, &good);
    build(rq, 503, BK_VIEW("Retry-After: 5\r\n"), &bad);
    struct kept *kept =
        good.failed || bad.failed ? NULL : malloc(sizeof *kept + good.len + bad.len);
    struct bk_store_batch *batch = kept ? bk_store_batch_create() : NULL;
    struct bk_sip_tx *tx = NULL;
    if (!batch || bk_sip_tx_server_create(rq->shard->txs, asker_flow(&rq->asker), rq->msg, rq->head,
                                          &kept_user, kept, &tx) < 0) {
        free(kept);
        bk_store_batch_destroy(batch);
        refuse(rq, 404, 0, 503, NULL);
    } else {
        *kept =
            (struct kept){ .shard = rq->shard,
                           .tx = tx,
                           .person = person,
                           .manual = doc->manual,
                           .note = doc->note.len ? bk_view_dup(bk_view_head(doc->note, NOTE_MAX))
                                                 : NULL,
                           .good_len = good.len,
                           .bad_len = bad.len };
        memcpy(kept->bytes, good.at, good.len);
        memcpy(kept->bytes + good.len, bad.at, bad.len);
        struct bk_presence_note row = {
            .address = bk_person_address(person),
            .manual = doc->manual == BK_PIDF_MANUAL_NONE
                          ? (struct bk_view){ 0 }
                          : bk_view_of_str(bk_pidf_manual_name(doc->manual)),
            .note = bk_view_head(doc->note, NOTE_MAX),
            .at = core_real(core),
        };
        bk_store_put_presence_note(batch, &row);
        person->holds++;
        if (bk_store_commit(core->config.store, batch, kept_done, kept) < 0)
            kept_done(kept, -1);
    }
    bk_buf_finish(&good);
    bk_buf_finish(&bad);
}

static bool same_note(const struct bk_person *person, struct bk_view note)
{
    return bk_view_equal(bk_view_of_str(person->note), bk_view_head(note, NOTE_MAX));
}

/* 0, or the status to answer with. */
static int publish_check(struct request *rq, struct bk_pidf *doc, int64_t *ret_expires_s,
                         const char **ret_why)
{
    struct bk_sip_event event;
    if (!bk_view_equal(rq->identity, rq->target))
        return 403;
    if (bk_sip_event_parse(bk_sip_msg_value(rq->msg, BK_SIP_HDR_EVENT), &event) < 0 ||
        !bk_view_equal_nocase(event.package, BK_VIEW("presence")))
        return 489;
    if (rq->msg->body.len) {
        struct bk_sip_content_type type;
        if (bk_sip_content_type_parse(bk_sip_msg_value(rq->msg, BK_SIP_HDR_CONTENT_TYPE), &type) <
                0 ||
            !bk_view_equal_nocase(type.type, BK_VIEW("application")) ||
            !bk_view_equal_nocase(type.subtype, BK_VIEW("pidf+xml")))
            return 415;
        if (bk_pidf_parse(rq->msg->body, &rq->core->arena, doc, ret_why) < 0)
            return 400;
    }
    int64_t expires_s = PUBLISH_DEFAULT_S;
    if (bk_sip_msg_expires(rq->msg, &expires_s) == -EBADMSG)
        return 400;
    if (expires_s && expires_s < PUBLISH_MIN_S)
        return 423;
    *ret_expires_s = expires_s < PUBLISH_MAX_S ? expires_s : PUBLISH_MAX_S;
    return 0;
}

static void refuse_publish(struct request *rq, int status, const char *why)
{
    struct bk_view lines = { 0 };
    if (status == 403) {
        refuse(rq, 214, 0, 403, NULL);
        return;
    }
    if (status == 489)
        lines = BK_VIEW("Allow-Events: presence\r\n");
    else if (status == 415)
        lines = BK_VIEW("Accept: application/pidf+xml\r\n");
    else if (status == 423)
        lines = BK_VIEW("Min-Expires: 60\r\n");
    answer(rq, status, why ? bk_view_of_str(why) : (struct bk_view){ 0 }, lines);
}

/* RFC 3903 section 6, step 6: each 200 has both fields, also where nothing is left that the tag could name. */
static void answer_removed(struct request *rq)
{
    char etag[BK_ETAG_SIZE], lines[64];
    etag_make(rq->core, etag);
    snprintf(lines, sizeof lines, "SIP-ETag: %s\r\nExpires: 0\r\n", etag);
    answer(rq, 200, (struct bk_view){ 0 }, bk_view_of_str(lines));
}

/* What the body says takes the place of `old` (NULL: of nothing). NULL: no room, and refused. */
static struct bk_publication *publish_body(struct request *rq, struct bk_person *person,
                                           const struct bk_pidf *doc, struct bk_publication *old)
{
    struct bk_publication *p = NULL;
    int n = 0;
    BK_LIST_EACH(&person->publications, it)
    n++;
    struct bk_view note = doc->manual != BK_PIDF_MANUAL_MISSING ? (struct bk_view){ 0 }
                                                                : bk_view_head(doc->note, NOTE_MAX);
    if ((n >= PUBLICATIONS_MAX && !old) || bk_state_publish(person, rq->endpoint, note, &p) < 0) {
        refuse(rq, 404, 0, 503, NULL);
        return NULL;
    }
    p->timer.fire = publication_expired;
    p->link = rq->asker.link;
    p->machine_since = core_real(rq->core);
    fill_publication(doc, p);
    if (old)
        bk_state_unpublish(old);
    return p;
}

static void publish_for(struct request *rq, struct bk_person *person, const struct bk_pidf *doc,
                        int64_t expires_s)
{
    struct bk_core *core = rq->core;
    bool has_body = rq->msg->body.len > 0;
    struct bk_view if_match = bk_sip_msg_value(rq->msg, BK_SIP_HDR_SIP_IF_MATCH);
    struct bk_publication *old = if_match.len ? bk_person_publication(person, if_match) : NULL;
    if (if_match.len && !old) {
        answer(rq, 412, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        return;
    }
    if (!if_match.len && !has_body) {
        answer(rq, 400, BK_VIEW("Nothing to publish"), (struct bk_view){ 0 });
        return;
    }
    if (!if_match.len && expires_s == 0) {
        answer_removed(rq);
        return;
    }
    /* Without a tag the newest of a connection wins: a stock client starts over that way. */
    if (!old)
        old = of_link(person, rq->asker.link);
    if (expires_s == 0) {
        if (old)
            bk_state_unpublish(old);
        changed(core, person, true);
        answer_removed(rq);
        return;
    }
    struct bk_publication *p = has_body ? publish_body(rq, person, doc, old) : old;
    if (!p)
        return;
    etag_make(core, p->etag);
    bk_timer_arm(core->config.timers, &p->timer, core_now(core) + expires_s * 1000);
    char lines[96];
    snprintf(lines, sizeof lines, "SIP-ETag: %s\r\nExpires: %lld\r\n", p->etag,
             (long long)expires_s);
    changed(core, person, true);
    bool own = has_body && doc->manual != BK_PIDF_MANUAL_MISSING;
    if (own && (doc->manual != person->manual || !same_note(person, doc->note)))
        store_manual(rq, person, doc, bk_view_of_str(lines));
    else
        answer(rq, 200, (struct bk_view){ 0 }, bk_view_of_str(lines));
}

void handle_publish(struct request *rq)
{
    struct bk_pidf *doc = bk_arena_alloc(&rq->core->arena, sizeof *doc);
    const char *why = NULL;
    int64_t expires_s;
    int status = doc ? publish_check(rq, doc, &expires_s, &why) : 503;
    if (status) {
        refuse_publish(rq, status, why);
        return;
    }
    struct bk_person *person = bk_state_person(rq->shard->state, rq->target, true);
    if (!person) {
        refuse(rq, 404, 0, 503, NULL);
        return;
    }
    person->server = rq->shard;
    person->holds++;
    presence_load(rq->core, person);
    publish_for(rq, person, doc, expires_s);
    person->holds--;
    bk_state_settle(person);
}
