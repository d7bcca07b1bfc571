/* SPDX-License-Identifier: Apache-2.0 */
#include "state/state.h"

#include <errno.h>
#include <stdlib.h>

struct bk_state {
    uint64_t versions; /* given to people so far */
    struct bk_hash_key key;
    struct bk_timers *timers;
    struct bk_map people, dialogs;
    size_t n_bindings, n_subscriptions;
};

/* Copies v to *at and moves *at on; an empty view stays empty. */
static struct bk_view keep(char **at, struct bk_view v)
{
    struct bk_view kept = { *at, v.len };
    if (v.len)
        memcpy(*at, v.at, v.len);
    *at += v.len;
    return kept;
}

int bk_state_create(const struct bk_hash_key *key, struct bk_timers *timers, struct bk_state **ret)
{
    struct bk_state *state = calloc(1, sizeof *state);
    if (!state)
        return -ENOMEM;
    state->key = *key;
    state->timers = timers;
    *ret = state;
    return 0;
}

void bk_person_changed(struct bk_person *person)
{
    person->version = ++person->state->versions;
}

static void person_free(struct bk_person *p)
{
    struct bk_state *state = p->state;
    if (p->dialect)
        p->dialect_gone(p);
    bk_map_remove(&state->people, &p->in_people);
    bk_timer_disarm(state->timers, &p->tell);
    bk_list_remove(&p->news);
    bk_timer_disarm(state->timers, &p->drain_timer);
    bk_person_forget_relations(p);
    free(p->note);
    free(p);
}

struct bk_state *bk_state_destroy(struct bk_state *state)
{
    if (!state)
        return NULL;
    struct bk_map_cursor cursor = { 0 };
    for (struct bk_person *p; (p = bk_state_walk(state, &cursor));) {
        while (!bk_list_empty(&p->bindings))
            bk_state_unbind(bk_container_of(p->bindings.next, struct bk_binding, in_person));
        while (!bk_list_empty(&p->publications))
            bk_state_unpublish(
                bk_container_of(p->publications.next, struct bk_publication, in_person));
        while (!bk_list_empty(&p->watchers))
            bk_state_unsubscribe(
                bk_container_of(p->watchers.next, struct bk_subscription, in_person));
        person_free(p);
    }
    bk_map_finish(&state->people);
    bk_map_finish(&state->dialogs);
    free(state);
    return NULL;
}

struct bk_person *bk_state_person(struct bk_state *state, struct bk_view address, bool create)
{
    uint64_t hash = bk_hash(&state->key, address);
    for (struct bk_map_node *n = bk_map_first(&state->people, hash); n; n = bk_map_next(n)) {
        struct bk_person *p = bk_container_of(n, struct bk_person, in_people);
        if (bk_view_equal(bk_person_address(p), address))
            return p;
    }
    if (!create)
        return NULL;
    struct bk_person *p = calloc(1, sizeof *p + address.len + 1);
    if (!p)
        return NULL;
    p->state = state;
    bk_list_init(&p->bindings);
    bk_list_init(&p->publications);
    bk_list_init(&p->watchers);
    bk_person_changed(p);
    bk_timer_init(&p->tell, NULL);
    bk_list_init(&p->news);
    bk_timer_init(&p->drain_timer, NULL);
    p->address_len = address.len;
    memcpy(p->address, address.at, address.len);
    if (bk_map_insert(&state->people, &p->in_people, hash) < 0) {
        free(p);
        return NULL;
    }
    return p;
}

void bk_state_settle(struct bk_person *p)
{
    if (p->holds || p->n_bindings || p->n_watchers || !bk_list_empty(&p->publications))
        return;
    person_free(p);
}

struct bk_person *bk_state_walk(struct bk_state *state, struct bk_map_cursor *cursor)
{
    struct bk_map_node *n = bk_map_walk(&state->people, cursor);
    return n ? bk_container_of(n, struct bk_person, in_people) : NULL;
}

size_t bk_state_people(const struct bk_state *state)
{
    return state->people.n_nodes;
}

size_t bk_state_bindings(const struct bk_state *state)
{
    return state->n_bindings;
}

size_t bk_state_subscriptions(const struct bk_state *state)
{
    return state->n_subscriptions;
}

int bk_state_bind(struct bk_person *person, struct bk_list *link_list, uint64_t link,
                  struct bk_view endpoint, struct bk_view contact, struct bk_view params,
                  struct bk_view call_id, struct bk_view client, struct bk_binding **ret)
{
    struct bk_binding *b =
        calloc(1, sizeof *b + endpoint.len + contact.len + params.len + call_id.len + client.len);
    if (!b)
        return -ENOMEM;
    char *at = b->text;
    b->endpoint = keep(&at, endpoint);
    b->contact = keep(&at, contact);
    b->params = keep(&at, params);
    b->call_id = keep(&at, call_id);
    b->client = keep(&at, client);
    b->person = person;
    b->link = link;
    bk_timer_init(&b->timer, NULL);
    bk_list_append(&person->bindings, &b->in_person);
    bk_list_append(link_list, &b->in_link);
    person->n_bindings++;
    person->state->n_bindings++;
    *ret = b;
    return 0;
}

void bk_state_unbind(struct bk_binding *b)
{
    bk_timer_disarm(b->person->state->timers, &b->timer);
    bk_list_remove(&b->in_person);
    bk_list_remove(&b->in_link);
    b->person->n_bindings--;
    b->person->state->n_bindings--;
    free(b);
}

struct bk_binding *bk_person_binding(const struct bk_person *person, struct bk_view endpoint)
{
    BK_LIST_EACH(&person->bindings, it)
    {
        struct bk_binding *b = bk_container_of(it, struct bk_binding, in_person);
        if (bk_view_equal(b->endpoint, endpoint))
            return b;
    }
    return NULL;
}

int bk_state_publish(struct bk_person *person, struct bk_view endpoint, struct bk_view note,
                     struct bk_publication **ret)
{
    struct bk_publication *p = calloc(1, sizeof *p + endpoint.len + note.len);
    if (!p)
        return -ENOMEM;
    char *at = p->text;
    p->endpoint = keep(&at, endpoint);
    p->note = keep(&at, note);
    p->person = person;
    bk_timer_init(&p->timer, NULL);
    bk_list_append(&person->publications, &p->in_person);
    bk_person_changed(person);
    *ret = p;
    return 0;
}

void bk_state_unpublish(struct bk_publication *p)
{
    bk_timer_disarm(p->person->state->timers, &p->timer);
    bk_list_remove(&p->in_person);
    bk_person_changed(p->person);
    free(p);
}

struct bk_publication *bk_person_publication(const struct bk_person *person, struct bk_view etag)
{
    BK_LIST_EACH(&person->publications, it)
    {
        struct bk_publication *p = bk_container_of(it, struct bk_publication, in_person);
        if (bk_view_equal(bk_view_of_str(p->etag), etag))
            return p;
    }
    return NULL;
}

static uint64_t dialog_hash(const struct bk_state *state, struct bk_view call_id,
                            struct bk_view tag)
{
    return bk_hash(&state->key, call_id) ^ (bk_hash(&state->key, tag) << 1);
}

int bk_state_subscribe(struct bk_person *person, struct bk_list *link_list, uint64_t link,
                       struct bk_view watcher, struct bk_view event_id,
                       const struct bk_sip_notifier *notifier, struct bk_subscription **ret)
{
    struct bk_state *state = person->state;
    struct bk_subscription *s = calloc(1, sizeof *s + watcher.len + event_id.len);
    if (!s)
        return -ENOMEM;
    char *at = s->text;
    s->watcher = keep(&at, watcher);
    s->event_id = keep(&at, event_id);
    struct bk_sip_dialog_info info;
    bk_sip_dialog_info(notifier->dialog, &info);
    if (bk_map_insert(&state->dialogs, &s->in_dialogs,
                      dialog_hash(state, info.call_id, info.local_tag)) < 0) {
        free(s);
        return -ENOMEM;
    }
    s->notifier = *notifier;
    s->person = person;
    s->link = link;
    bk_timer_init(&s->timer, NULL);
    bk_list_append(&person->watchers, &s->in_person);
    bk_list_append(link_list, &s->in_link);
    person->n_watchers++;
    state->n_subscriptions++;
    *ret = s;
    return 0;
}

void bk_state_unsubscribe(struct bk_subscription *s)
{
    struct bk_state *state = s->person->state;
    bk_timer_disarm(state->timers, &s->timer);
    bk_map_remove(&state->dialogs, &s->in_dialogs);
    bk_list_remove(&s->in_person);
    bk_list_remove(&s->in_link);
    s->person->n_watchers--;
    state->n_subscriptions--;
    bk_sip_notifier_finish(&s->notifier);
    free(s);
}

struct bk_subscription *bk_state_subscription(const struct bk_state *state, struct bk_view call_id,
                                              struct bk_view local_tag)
{
    uint64_t hash = dialog_hash(state, call_id, local_tag);
    for (struct bk_map_node *n = bk_map_first(&state->dialogs, hash); n; n = bk_map_next(n)) {
        struct bk_subscription *s = bk_container_of(n, struct bk_subscription, in_dialogs);
        struct bk_sip_dialog_info info;
        bk_sip_dialog_info(s->notifier.dialog, &info);
        if (bk_view_equal(info.call_id, call_id) && bk_view_equal(info.local_tag, local_tag))
            return s;
    }
    return NULL;
}

void bk_person_forget_relations(struct bk_person *person)
{
    for (struct bk_relation_entry *r = person->relations, *next; r; r = next) {
        next = r->next;
        free(r);
    }
    person->relations = NULL;
}

int bk_person_add_relation(struct bk_person *person, struct bk_view subject, int level)
{
    struct bk_relation_entry *r = calloc(1, sizeof *r + subject.len + 1);
    if (!r)
        return -ENOMEM;
    r->level = level;
    memcpy(r->subject, subject.at, subject.len);
    r->next = person->relations;
    person->relations = r;
    return 0;
}
