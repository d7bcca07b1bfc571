/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of the contact list and of relations, searches: one after the other, and what the face is told of the model. */
#include "base/cleanup.h"
#include "base/text.h"
#include "client/dialect_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { EDITS_MAX = 256, SETTLE_MS = 5000, FOUND_MAX = 100 };

#define OTHERS "~" /* the group of those in no other */

struct edit {
    struct bk_list in;
    uint64_t id;
    enum bk_client_edit_kind kind;
    int level;
    char *address, *name, *group, *to_group, *text; /* NULL: not given */
};

/* What a kind needs. */
static const struct {
    bool address, name, group, to_group, text;
    enum { NEEDS_NOTHING, NEEDS_LIST, NEEDS_SELF, NEEDS_BOTH } model;
} kinds[BK_CLIENT_EDIT_KIND_COUNT] = {
    [BK_CLIENT_EDIT_TELL] = { .model = NEEDS_BOTH },
    [BK_CLIENT_EDIT_ADD_CONTACT] = { .address = true, .model = NEEDS_LIST },
    [BK_CLIENT_EDIT_REMOVE_CONTACT] = { .address = true, .model = NEEDS_LIST },
    [BK_CLIENT_EDIT_RENAME_CONTACT] = { .address = true, .name = true, .model = NEEDS_LIST },
    [BK_CLIENT_EDIT_MOVE_CONTACT] = { .address = true,
                                      .group = true,
                                      .to_group = true,
                                      .model = NEEDS_LIST },
    [BK_CLIENT_EDIT_ADD_GROUP] = { .group = true, .model = NEEDS_LIST },
    [BK_CLIENT_EDIT_RENAME_GROUP] = { .group = true, .to_group = true, .model = NEEDS_LIST },
    [BK_CLIENT_EDIT_DELETE_GROUP] = { .group = true, .model = NEEDS_LIST },
    [BK_CLIENT_EDIT_RELATION] = { .address = true, .model = NEEDS_SELF },
    [BK_CLIENT_EDIT_BLOCK] = { .address = true, .model = NEEDS_SELF },
    [BK_CLIENT_EDIT_UNBLOCK] = { .address = true, .model = NEEDS_SELF },
    [BK_CLIENT_EDIT_ACKNOWLEDGE] = { .address = true, .model = NEEDS_SELF },
    [BK_CLIENT_EDIT_SEARCH] = { .text = true },
};

static bool has(const char *text)
{
    return text && *text;
}

static bool is_level(int level)
{
    for (int i = 0; i < BK_MS_CONTAINERS; i++)
        if (bk_ms_containers[i] == level)
            return true;
    return level == 0;
}

bool bk_edit_complete(const struct bk_client_edit *wish)
{
    if ((unsigned)wish->kind >= BK_CLIENT_EDIT_KIND_COUNT)
        return false;
    bool of_domain = has(wish->address) && wish->address[0] == '@';
    return (!kinds[wish->kind].address || has(wish->address)) &&
           (!of_domain || (kinds[wish->kind].model == NEEDS_SELF && wish->address[1] &&
                           strlen(wish->address) <= BK_SIP_AOR_MAX)) &&
           (!kinds[wish->kind].name || wish->name) &&
           (!kinds[wish->kind].group || has(wish->group)) &&
           (!kinds[wish->kind].to_group || has(wish->to_group)) &&
           (!kinds[wish->kind].text || has(wish->text)) && is_level(wish->level);
}

struct edit *bk_edit_new(uint64_t id, const struct bk_client_edit *wish, const char *address)
{
    struct edit *edit = calloc(1, sizeof *edit);
    if (!edit)
        return NULL;
    edit->id = id;
    edit->kind = wish->kind;
    edit->level = wish->kind == BK_CLIENT_EDIT_BLOCK      ? BK_MS_CONTAINER_BLOCKED
                  : wish->kind == BK_CLIENT_EDIT_RELATION ? wish->level
                                                          : 0;
    bk_list_init(&edit->in);
    const char *const from[] = { address, wish->name, wish->group, wish->to_group, wish->text };
    char **const to[] = { &edit->address, &edit->name, &edit->group, &edit->to_group, &edit->text };
    for (size_t i = 0; i < BK_COUNT_OF(from); i++) {
        *to[i] = from[i] ? strdup(from[i]) : NULL;
        if (from[i] && !*to[i]) {
            bk_edit_free(edit);
            return NULL;
        }
    }
    return edit;
}

void bk_edit_free(struct edit *edit)
{
    if (!edit)
        return;
    free(edit->address);
    free(edit->name);
    free(edit->group);
    free(edit->to_group);
    free(edit->text);
    free(edit);
}

/* ---- telling the face ---- */

static const char *const *names_of_groups(struct dialect *d, struct bk_event *event,
                                          const struct bk_ms_contact *c, int *ret_n)
{
    const char **names = bk_arena_alloc(&event->arena, (size_t)(c->n_groups + 1) * sizeof *names);
    for (int i = 0; names && i < c->n_groups; i++) {
        const struct bk_ms_group *g = bk_ms_contacts_group(&d->list, c->groups[i]);
        if (g)
            names[(*ret_n)++] = bk_event_view(event, g->name);
    }
    return names;
}

/* delta NULL: all of it. */
void bk_tell_contacts(struct dialect *d, const struct bk_ms_told_contacts *delta, bool asked)
{
    struct bk_event *event = bk_event_new(d->c, BK_CLIENT_EVENT_CONTACTS);
    if (!event)
        return;
    bool whole = !delta || delta->kind == BK_MS_TOLD_LIST || delta->n_gone_groups;
    BK_LIST_EACH(&d->list.groups, it)
    whole |= bk_container_of(it, struct bk_ms_group, in_list)->changed;
    int n_gone = whole ? 0 : delta->n_gone_contacts;
    const char **groups =
        bk_arena_alloc(&event->arena, (size_t)(d->list.n_groups + 1) * sizeof *groups);
    const char **gone = bk_arena_alloc(&event->arena, (size_t)(n_gone + 1) * sizeof *gone);
    struct bk_client_contact *rows =
        bk_arena_alloc(&event->arena, (size_t)(d->list.n_contacts + 1) * sizeof *rows);
    if (!groups || !gone || !rows) {
        bk_event_free(event);
        return;
    }
    event->pub.contacts.whole = whole;
    event->pub.contacts.asked = asked;
    event->pub.contacts.groups = groups;
    event->pub.contacts.contacts = rows;
    event->pub.contacts.gone = gone;
    BK_LIST_EACH(&d->list.groups, it)
    {
        const struct bk_ms_group *g = bk_container_of(it, struct bk_ms_group, in_list);
        if (whole)
            groups[event->pub.contacts.n_groups++] = bk_event_view(event, g->name);
    }
    BK_LIST_EACH(&d->list.contacts, it)
    {
        const struct bk_ms_contact *c = bk_container_of(it, struct bk_ms_contact, in_list);
        if (!whole && !c->changed)
            continue;
        struct bk_client_contact *row = &rows[event->pub.contacts.n_contacts++];
        *row = (struct bk_client_contact){ .address = bk_event_view(event, c->address),
                                           .name = bk_event_view(event, c->name) };
        row->groups = names_of_groups(d, event, c, &row->n_groups);
    }
    for (int i = 0; i < n_gone; i++)
        gone[event->pub.contacts.n_gone++] = bk_event_view(event, delta->gone_contacts[i]);
    bk_event_post(d->c, event);
}

void bk_tell_relations(struct dialect *d, bool asked)
{
    struct bk_event *event = bk_event_new(d->c, BK_CLIENT_EVENT_RELATIONS);
    struct bk_client_relation *rows =
        event ? bk_arena_alloc(&event->arena, (size_t)(d->n_members + 1) * sizeof *rows) : NULL;
    if (!rows) {
        if (event)
            bk_event_free(event);
        return;
    }
    event->pub.relations.asked = asked;
    event->pub.relations.rows = rows;
    for (int i = 0; i < d->n_members; i++) {
        BK_AUTO_BUF struct bk_buf subject = { 0 };
        bk_ms_member_subject(&subject, d->members[i].type, d->members[i].value);
        rows[event->pub.relations.n_rows++] =
            (struct bk_client_relation){ bk_event_view(event, bk_buf_view(&subject)),
                                         d->members[i].container };
    }
    bk_event_post(d->c, event);
}

void bk_tell_followers(struct dialect *d, bool asked)
{
    struct bk_event *event = bk_event_new(d->c, BK_CLIENT_EVENT_FOLLOWERS);
    struct bk_client_follower *rows =
        event ? bk_arena_alloc(&event->arena, (size_t)(d->n_followers + 1) * sizeof *rows) : NULL;
    if (!rows) {
        if (event)
            bk_event_free(event);
        return;
    }
    event->pub.followers.asked = asked;
    event->pub.followers.rows = rows;
    for (int i = 0; i < d->n_followers; i++)
        rows[event->pub.followers.n_rows++] =
            (struct bk_client_follower){ bk_event_view(event, d->followers[i].address),
                                         bk_event_view(event, d->followers[i].display_name),
                                         d->followers[i].acknowledged };
    bk_event_post(d->c, event);
}

static void tell_found(struct dialect *d, uint64_t id, const struct bk_ms_told_call *told)
{
    struct bk_event *event = bk_event_new(d->c, BK_CLIENT_EVENT_FOUND);
    struct bk_client_found *rows =
        event ? bk_arena_alloc(&event->arena, (size_t)(told->n_rows + 1) * sizeof *rows) : NULL;
    if (!rows) {
        if (event)
            bk_event_free(event);
        return;
    }
    event->pub.found.id = id;
    event->pub.found.rows = rows;
    event->pub.found.more = told->more;
    for (int i = 0; i < told->n_rows; i++) {
        const struct bk_ms_search_row *r = &told->rows[i];
        rows[event->pub.found.n_rows++] =
            (struct bk_client_found){ .address = bk_event_view(event, r->uri),
                                      .name = bk_event_view(event, r->display_name),
                                      .title = bk_event_view(event, r->title),
                                      .office = bk_event_view(event, r->office),
                                      .phone = bk_event_view(event, r->phone),
                                      .company = bk_event_view(event, r->company),
                                      .email = bk_event_view(event, r->email) };
    }
    bk_event_post(d->c, event);
}

static void tell_edited(struct bk_client *c, uint64_t id, const char *why, const char *case_code)
{
    struct bk_event *event = bk_event_new(c, BK_CLIENT_EVENT_EDITED);
    if (!event)
        return;
    event->pub.edited.id = id;
    event->pub.edited.done = !*why;
    event->pub.edited.text = bk_event_text(event, why);
    event->pub.edited.case_code = bk_event_text(event, case_code);
    bk_event_post(c, event);
}

/* ---- the queue ---- */

static struct edit *first_edit(const struct dialect *d)
{
    return bk_list_empty(&d->edits) ? NULL : bk_container_of(d->edits.next, struct edit, in);
}

static void finish(struct dialect *d, const char *why, const char *case_code)
{
    struct edit *edit = first_edit(d);
    bk_ask_drop(d->asking);
    bk_timer_disarm(bk_client_timers(d->c), &d->settle);
    d->edit_sent = d->edit_again = false;
    d->edit_delta = 0;
    if (!edit)
        return;
    bk_list_remove(&edit->in);
    d->n_edits--;
    tell_edited(d->c, edit->id, why, case_code);
    bk_edit_free(edit);
}

void bk_edits_fail(struct dialect *d, const char *why)
{
    while (first_edit(d))
        finish(d, why, "");
}

bool bk_edits_adds(const struct dialect *d, struct bk_view address)
{
    const struct edit *edit = first_edit(d);
    return edit && d->edit_sent && edit->kind == BK_CLIENT_EDIT_ADD_CONTACT &&
           bk_view_equal(bk_view_of_str(edit->address), address);
}

static bool is_coming(const struct bk_client *c)
{
    return c->state == BK_CLIENT_PRESENCE || c->state == BK_CLIENT_SIGNED_IN;
}

void bk_edit_submit(struct bk_client *c, struct edit *edit)
{
    struct dialect *d = c->dialect;
    const char *why = NULL;
    if (!is_coming(c))
        why = BK_SAY("There is no connection to the server now. Nothing was changed.");
    else if (!c->speaks_dialect || !d)
        why = BK_SAY("This server offers no contact lists, relations or searches.");
    else if (d->n_edits >= EDITS_MAX)
        why = BK_SAY("Too many changes are waiting already.");
    if (why) {
        tell_edited(c, edit->id, why, "");
        bk_edit_free(edit);
        return;
    }
    bk_list_append(&d->edits, &edit->in);
    d->n_edits++;
    bk_edits_go_on(d);
}

/* ---- one edit ---- */

static const struct bk_ms_group *group_named(const struct dialect *d, const char *name)
{
    BK_LIST_EACH(&d->list.groups, it)
    {
        const struct bk_ms_group *g = bk_container_of(it, struct bk_ms_group, in_list);
        if (bk_view_equal(g->name, bk_view_of_str(name)))
            return g;
    }
    return NULL;
}

static bool is_in(const struct bk_ms_contact *c, int64_t group)
{
    for (int i = 0; i < c->n_groups; i++)
        if (c->groups[i] == group)
            return true;
    return false;
}

/* Those the contact is in, but one, and another. */
static void write_groups(struct bk_buf *to, const struct bk_ms_contact *c, int64_t without,
                         int64_t with)
{
    for (int i = 0; c && i < c->n_groups; i++)
        if (c->groups[i] != without && c->groups[i] != with)
            bk_buf_addf(to, "%s%lld", to->len ? " " : "", (long long)c->groups[i]);
    if (with)
        bk_buf_addf(to, "%s%lld", to->len ? " " : "", (long long)with);
}

/*
 * The call for an edit of the list; a static text where there is none to make: "" where it is so already, else why not.
 * groups belongs to the caller; the call points into it.
 */
static const char *make_call(struct dialect *d, const struct edit *e,
                             struct bk_ms_contact_call *call, struct bk_buf *groups)
{
    struct bk_ms_contact *c =
        e->address ? bk_ms_contacts_find(&d->list, bk_view_of_str(e->address)) : NULL;
    const struct bk_ms_group *g = e->group ? group_named(d, e->group) : NULL;
    const struct bk_ms_group *to = e->to_group ? group_named(d, e->to_group) : NULL;
    const struct bk_ms_group *others = group_named(d, OTHERS);
    bool of_contact = kinds[e->kind].address;
    *call = (struct bk_ms_contact_call){ .delta = d->list.delta, .subscribed = true };
    if (c) {
        call->name = c->name;
        call->external = c->external;
        call->subscribed = c->subscribed;
    }
    call->address = bk_view_of_str(e->address);
    call->method = BK_MS_SET_CONTACT;
    if (e->group && !g && e->kind != BK_CLIENT_EDIT_ADD_GROUP)
        return BK_SAY("There is no group of this name.");
    if (of_contact && !c && e->kind != BK_CLIENT_EDIT_ADD_CONTACT)
        return BK_SAY("This person is not on the contact list.");
    switch (e->kind) {
    case BK_CLIENT_EDIT_ADD_CONTACT:
        if (e->name)
            call->name = bk_view_of_str(e->name);
        if (c && (!g || is_in(c, g->id)) && bk_view_equal(call->name, c->name))
            return "";
        write_groups(groups, c, g && others && g != others ? others->id : 0,
                     g              ? g->id
                     : others && !c ? others->id
                                    : 0);
        break;
    case BK_CLIENT_EDIT_REMOVE_CONTACT:
        if (g && !is_in(c, g->id))
            return BK_SAY("This person is not in that group.");
        if (g && c->n_groups > 1)
            write_groups(groups, c, g->id, 0);
        else if (g && g != others) /* stays on the list, among the others */
            write_groups(groups, c, g->id, others ? others->id : 0);
        else
            call->method = BK_MS_DELETE_CONTACT;
        break;
    case BK_CLIENT_EDIT_RENAME_CONTACT:
        call->name = bk_view_of_str(e->name);
        write_groups(groups, c, 0, 0);
        break;
    case BK_CLIENT_EDIT_MOVE_CONTACT:
        if (!to)
            return BK_SAY("There is no group of this name.");
        if (!is_in(c, g->id))
            return BK_SAY("This person is not in that group.");
        write_groups(groups, c, g->id, to->id);
        break;
    case BK_CLIENT_EDIT_ADD_GROUP:
        if (g)
            return BK_SAY("There is a group of this name already.");
        call->method = BK_MS_ADD_GROUP;
        call->name = bk_view_of_str(e->group);
        break;
    case BK_CLIENT_EDIT_RENAME_GROUP:
        if (to && to != g)
            return BK_SAY("There is a group of this name already.");
        call->method = BK_MS_MODIFY_GROUP;
        call->group_id = g->id;
        call->name = bk_view_of_str(e->to_group);
        call->external = g->external;
        break;
    default:
        call->method = BK_MS_DELETE_GROUP;
        call->group_id = g->id;
        break;
    }
    call->groups = bk_buf_view(groups);
    return groups->failed ? "Out of memory." : NULL;
}

/* "ann lee" is looked for as first and last name, what has an @ as an address. */
static void make_search(const struct edit *e, struct bk_ms_contact_call *call)
{
    struct bk_view rest = bk_view_trim(bk_view_of_str(e->text));
    *call = (struct bk_ms_contact_call){
        .method = BK_MS_DIRECTORY_SEARCH, .delta = -1, .max_results = FOUND_MAX, .n_conditions = 1
    };
    if (bk_view_find(rest, '@') < rest.len) {
        call->conditions[0].attribute = BK_VIEW("msRTCSIP-PrimaryUserAddress");
        call->conditions[0].value = rest;
        return;
    }
    call->conditions[0].attribute = BK_VIEW("givenName");
    call->conditions[0].value = bk_view_cut(&rest, ' ');
    rest = bk_view_trim(rest);
    if (rest.len) {
        call->n_conditions = 2;
        call->conditions[1].attribute = BK_VIEW("sn");
        call->conditions[1].value = rest;
    }
}

static uint32_t version_of(const struct dialect *d, int container)
{
    for (int i = 0; i < BK_MS_CONTAINERS; i++)
        if (bk_ms_containers[i] == container)
            return d->container_versions[i];
    return 0;
}

/* Out of every container but the one wanted, and into that. How many changes; 0: it is so. */
static int make_members(const struct dialect *d, const struct edit *e,
                        struct bk_ms_member_change changes[BK_MS_CONTAINERS + 1])
{
    struct bk_ms_member who;
    bool there = false;
    int n = 0;
    bk_ms_member_of_subject(bk_view_of_str(e->address), &who);
    for (int i = 0; i < d->n_members && n < BK_MS_CONTAINERS; i++) {
        const struct bk_ms_member *m = &d->members[i];
        if (m->type != who.type || !bk_view_equal_nocase(m->value, who.value))
            continue;
        if (e->kind == BK_CLIENT_EDIT_UNBLOCK && m->container != BK_MS_CONTAINER_BLOCKED)
            continue;
        there |= m->container == e->level;
        if (m->container != e->level)
            changes[n++] =
                (struct bk_ms_member_change){ m->container, version_of(d, m->container), true, *m };
    }
    if (e->level && !there) {
        who.container = e->level;
        changes[n++] =
            (struct bk_ms_member_change){ e->level, version_of(d, e->level), false, who };
    }
    return n;
}

static struct bk_ms_subscriber *follower(const struct dialect *d, const char *address)
{
    for (int i = 0; i < d->n_followers; i++)
        if (bk_view_equal(d->followers[i].address, bk_view_of_str(address)))
            return &d->followers[i];
    return NULL;
}

static void on_edited(void *owner, const struct bk_sip_msg *msg);

static void send_edit(struct dialect *d, struct edit *e)
{
    struct bk_client *c = d->c;
    BK_AUTO_BUF struct bk_buf body = { 0 };
    BK_AUTO_BUF struct bk_buf groups = { 0 };
    BK_AUTO_BUF struct bk_buf uri = { 0 };
    struct bk_ms_member_change changes[BK_MS_CONTAINERS + 1];
    struct bk_ms_contact_call call;
    struct bk_view type = BK_VIEW(BK_MS_SOAP_CONTENT_TYPE);
    const char *why = NULL;
    bk_buf_addf(&uri, "sip:%s", e->kind == BK_CLIENT_EDIT_SEARCH ? c->domain : c->address);
    if (e->kind == BK_CLIENT_EDIT_SEARCH) {
        make_search(e, &call);
        bk_ms_contact_call_write(&body, &call);
    } else if (kinds[e->kind].model == NEEDS_LIST) {
        why = make_call(d, e, &call, &groups);
        if (!why)
            bk_ms_contact_call_write(&body, &call);
    } else if (e->kind == BK_CLIENT_EDIT_ACKNOWLEDGE) {
        const struct bk_ms_subscriber *f = follower(d, e->address);
        type = BK_VIEW(BK_MS_SET_SUBSCRIBERS_CONTENT_TYPE);
        if (!f)
            why = BK_SAY("This person did not put you on a contact list.");
        else if (f->acknowledged)
            why = "";
        else
            bk_ms_set_subscribers_write(
                &body, &(struct bk_ms_subscriber){ f->address, f->display_name, true }, 1);
    } else {
        int n = make_members(d, e, changes);
        type = BK_VIEW(BK_MS_SET_MEMBERS_CONTENT_TYPE);
        why = n ? NULL : "";
        bk_ms_set_members_write(&body, changes, n);
    }
    if (!why && (body.failed || uri.failed ||
                 bk_dialect_service(c, bk_buf_view(&uri), type, bk_buf_view(&body), on_edited, d,
                                    &d->asking) < 0))
        why = BK_SAY("The request could not be sent.");
    d->edit_sent = !why;
    if (why)
        finish(d, why, "");
}

static void refused(struct dialect *d, const struct bk_sip_msg *msg,
                    const struct bk_ms_told_call *told)
{
    char text[400] = BK_SAY("The server did not answer."), case_code[BK_CASE_CODE_SIZE] = "";
    if (msg) {
        struct bk_fault fault;
        bk_client_fault_of_refusal(d->c, msg, &fault);
        (void)snprintf(case_code, sizeof case_code, "%s", fault.case_code);
        if (fault.text[0])
            (void)snprintf(text, sizeof text, "%.300s", fault.text);
        else if (told && told->text.len)
            (void)snprintf(text, sizeof text, "The server refused it: %.*s.",
                           BK_VIEW_ARGS(bk_view_head(told->text, 300)));
        else
            (void)snprintf(text, sizeof text, "The server refused it (%d %.*s).", msg->status,
                           BK_VIEW_ARGS(bk_view_head(msg->reason, 100)));
    }
    finish(d, text, case_code);
}

/* Once more with what the server has now; false: this was the second time. */
static bool again(struct dialect *d, const struct edit *e, const struct bk_sip_msg *msg)
{
    struct bk_ms_conflict conflicts[BK_MS_PUBLICATIONS_MAX];
    const char *why;
    int n = 0;
    if (d->edit_again)
        return false;
    d->edit_again = true;
    d->edit_sent = false;
    if (kinds[e->kind].model == NEEDS_LIST) {
        d->list_here = false; /* goes on with the list */
        bk_dialect_reload(d);
        return true;
    }
    struct bk_ms_member_change changes[BK_MS_CONTAINERS + 1];
    int n_changes = make_members(d, e, changes);
    if (bk_ms_told_conflicts(msg->body, conflicts, &n, &why) < 0)
        return false;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < BK_MS_CONTAINERS; k++)
            if (conflicts[i].index <= n_changes &&
                changes[conflicts[i].index - 1].container == bk_ms_containers[k])
                d->container_versions[k] = conflicts[i].version;
    send_edit(d, first_edit(d));
    return true;
}

static void on_edited(void *owner, const struct bk_sip_msg *msg)
{
    struct dialect *d = owner;
    struct edit *e = first_edit(d);
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_ms_told_call told = { .delta = -1 };
    const char *why;
    if (!e)
        return;
    bool soap = kinds[e->kind].model == NEEDS_LIST || e->kind == BK_CLIENT_EDIT_SEARCH;
    bool readable = msg && soap && bk_ms_told_call(msg->body, &arena, &told, &why) == 0;
    if (!msg || msg->status / 100 != 2 || told.fault.len) {
        if (msg && msg->status == 409 && kinds[e->kind].model != NEEDS_NOTHING && again(d, e, msg))
            return;
        refused(d, msg, readable ? &told : NULL);
    } else if (e->kind == BK_CLIENT_EDIT_SEARCH) {
        if (readable)
            tell_found(d, e->id, &told);
        finish(d, readable ? "" : "The server's answer cannot be read.", "");
    } else if (soap && told.delta > d->list.delta) {
        /* Told as done once the list shows it; where the news does not come, the list is asked for. */
        d->edit_delta = told.delta;
        bk_timer_arm(bk_client_timers(d->c), &d->settle, bk_client_now(d->c) + SETTLE_MS);
        return;
    } else {
        struct bk_ms_subscriber *f =
            e->kind == BK_CLIENT_EDIT_ACKNOWLEDGE ? follower(d, e->address) : NULL;
        if (f) {
            f->acknowledged = true;
            bk_tell_followers(d, false);
        }
        finish(d, "", "");
    }
    bk_edits_go_on(d);
}

static void on_settle(struct bk_timer *timer)
{
    struct dialect *d = bk_container_of(timer, struct dialect, settle);
    d->edit_delta = -1; /* whatever the list says then is what came of it */
    d->list_here = false;
    bk_dialect_reload(d);
}

/* 0: it can be done now; 1: what it needs is not here yet; -1: never will be. */
static int can_do(const struct dialect *d, const struct edit *e)
{
    int model = kinds[e->kind].model;
    bool list = model == NEEDS_LIST || model == NEEDS_BOTH;
    bool self = model == NEEDS_SELF || model == NEEDS_BOTH;
    if (list && d->subs[SUB_CONTACTS].refused)
        return -1;
    return (list && !d->list_here) || (self && !d->self_here);
}

void bk_edits_go_on(struct dialect *d)
{
    struct edit *e;
    if (d->edit_delta && d->list_here && d->list.delta >= d->edit_delta)
        finish(d, "", "");
    while (!d->edit_sent && (e = first_edit(d))) {
        int can = can_do(d, e);
        if (can > 0)
            return;
        if (can < 0) {
            finish(d, BK_SAY("This server keeps no contact list for you."), "");
        } else if (e->kind == BK_CLIENT_EDIT_TELL) {
            bk_tell_contacts(d, NULL, true);
            bk_tell_relations(d, true);
            bk_tell_followers(d, true);
            finish(d, "", "");
        } else {
            send_edit(d, e);
        }
    }
}

void bk_edits_init(struct dialect *d)
{
    bk_list_init(&d->edits);
    bk_timer_init(&d->settle, on_settle);
}
