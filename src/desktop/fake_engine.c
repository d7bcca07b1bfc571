/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/fake_engine.h"

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/list.h"
#include "base/text.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { SCRIPT_MAX = 16 * 1024 * 1024, ROWS_MAX = 100000, STEP_MS = 300 };
#define OTHERS "~"

/* One event that waits, as it stands in the script. */
struct waiting {
    int64_t due_ms; /* monotonic */
    uint64_t seq, id;
    json_t *event, *words;
};

/* Events that stand in the queue for a list that is made when their turn comes. */
#define CONTACTS_NOW "contacts-now"
#define RELATIONS_NOW "relations-now"

struct bk_fake {
    int fd; /* a timer: readable from the time on when the first event is due */
    json_t *script;
    GPtrArray *queue; /* struct waiting, in the order of their time */
    uint64_t seq, ids;
    bool hurried;
    unsigned n_out;
    GString *heard;
    /* What a server would know, for commands the script has no answer to. */
    char *address;
    json_t *people;   /* address -> its last presence event */
    json_t *groups;   /* names */
    json_t *contacts; /* address -> [name, group ...] */
    json_t *levels;   /* subject -> relation */
};

struct told {
    struct bk_client_event pub;
    struct bk_client_failure failure; /* of a message */
    struct bk_arena arena;
};

/* ---- texts out of the script ---- */

static const char *word(json_t *words, const char *name, size_t len)
{
    char key[32];
    if (len >= sizeof key)
        return NULL;
    memcpy(key, name, len);
    key[len] = 0;
    return json_string_value(json_object_get(words, key));
}

static const char *expand(struct bk_arena *arena, json_t *words, const char *text)
{
    BK_AUTO_BUF struct bk_buf to = { 0 };
    while (*text) {
        size_t len = *text == '$' ? strspn(text + 1, "abcdefghijklmnopqrstuvwxyz-") : 0;
        const char *value = len ? word(words, text + 1, len) : NULL;
        if (value) {
            bk_buf_add_str(&to, value);
            text += len + 1;
        } else {
            bk_buf_add_char(&to, *text++);
        }
    }
    return to.len ? bk_arena_copy(arena, bk_buf_view(&to)).at : "";
}

struct reading {
    struct bk_fake *fake;
    struct bk_arena *arena;
    json_t *words;
    const char *why; /* what is wrong; NULL: nothing */
};

static const char *text_of(struct reading *in, json_t *value)
{
    return json_is_string(value) ? expand(in->arena, in->words, json_string_value(value)) : "";
}

static const char *text_at(struct reading *in, json_t *object, const char *key)
{
    return text_of(in, json_object_get(object, key));
}

static int int_at(json_t *object, const char *key)
{
    return (int)json_integer_value(json_object_get(object, key));
}

static bool is_true(json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

static void *rows_of(struct reading *in, json_t *array, size_t size, int *ret_n)
{
    size_t n = json_array_size(array);
    void *rows = bk_arena_alloc(in->arena, (n ? n : 1) * size);
    if (n > ROWS_MAX || !rows) {
        in->why = "too many rows";
        return NULL;
    }
    *ret_n = (int)n;
    return rows;
}

/* The texts of an array from `first` on. */
static const char *const *texts_of(struct reading *in, json_t *array, size_t first, int *ret_n)
{
    int n = 0;
    const char **texts = rows_of(in, array, sizeof *texts, &n);
    for (size_t i = first; texts && i < (size_t)n; i++)
        texts[i - first] = text_of(in, json_array_get(array, i));
    *ret_n = n > (int)first ? n - (int)first : 0;
    return texts;
}

/* -1: no such word. */
static int number_of_word(const char *text, int n, const char *name_of(int))
{
    for (int i = 0; i < n; i++)
        if (g_strcmp0(text, name_of(i)) == 0)
            return i;
    return -1;
}

static const char *state_word(int i)
{
    return bk_client_state_name((enum bk_client_state)i);
}

static const char *message_state_word(int i)
{
    return bk_client_message_state_name((enum bk_client_message_state)i);
}

static const char *event_word(int i)
{
    return bk_client_event_name((enum bk_client_event_type)i);
}

static const char *next_word(int i)
{
    static const char *const words[] = { "stop", "retry", "ask" };
    return words[i];
}

static int64_t now_ms(void)
{
    return g_get_real_time() / 1000;
}

static int64_t ago(json_t *event, const char *key)
{
    json_t *seconds = json_object_get(event, key);
    return json_is_number(seconds) ? now_ms() - (int64_t)(json_number_value(seconds) * 1000) : 0;
}

/* ---- events ---- */

static const char *filled(struct reading *in, const char *text, const struct bk_client_failure *f)
{
    static const char *const names[] = {
        "server", "why", "address", "domain", "minutes", "seconds"
    };
    const char *v[G_N_ELEMENTS(names)] = { 0 };
    BK_AUTO_BUF struct bk_buf to = { 0 };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        for (int j = 0; j < f->n_values; j++)
            if (strcmp(f->values[j].name, names[i]) == 0)
                v[i] = f->values[j].value;
    bk_record_text(&to, text, names[0], v[0], names[1], v[1], names[2], v[2], names[3], v[3],
                   names[4], v[4], names[5], v[5], NULL);
    return to.len ? bk_arena_copy(in->arena, bk_buf_view(&to)).at : "";
}

static void read_values(struct reading *in, json_t *event, struct bk_client_failure *f)
{
    json_t *values = json_object_get(event, "values"), *value;
    const char *name;
    struct bk_client_value *rows =
        bk_arena_alloc(in->arena, (json_object_size(values) + 1) * sizeof *rows);
    if (!rows)
        return;
    f->values = rows;
    json_object_foreach(values, name, value)
    {
        rows[f->n_values].name = expand(in->arena, NULL, name);
        rows[f->n_values++].value = text_of(in, value);
    }
}

static void read_failure(struct reading *in, json_t *event, struct bk_client_failure *f)
{
    const char *id = text_at(in, event, "record");
    const char *own = text_at(in, event, "text");
    const char *next = text_at(in, event, "next");
    json_t *steps = json_object_get(event, "steps");
    f->record = *id ? bk_record_parse(bk_view_of_str(id)) : NULL;
    if (*id && !f->record)
        in->why = "no such record";
    read_values(in, event, f);
    f->id = id;
    f->case_code = text_at(in, event, "case");
    f->detail = text_at(in, event, "detail");
    f->other_words = *own != 0;
    f->user_text = *own ? own : f->record ? filled(in, f->record->user_text, f) : "";
    f->user_does = f->record ? filled(in, f->record->user_does, f) : "";
    f->admin_text = f->record ? filled(in, f->record->admin_text, f) : "";
    int which = *next ? number_of_word(next, 3, next_word) : BK_CLIENT_NEXT_STOP;
    if (which < 0)
        in->why = "next is stop, retry or ask";
    else
        f->next = (enum bk_client_next)which;
    f->retry_in_s = int_at(event, "retry-in");
    struct bk_client_step *rows = rows_of(in, steps, sizeof *rows, &f->n_steps);
    for (int i = 0; rows && i < f->n_steps; i++) {
        int n;
        const char *const *cells = texts_of(in, json_array_get(steps, (size_t)i), 0, &n);
        if (n != 4)
            in->why = "a step is [kind, name, result, detail]";
        else if (cells)
            rows[i] = (struct bk_client_step){ cells[0], cells[1], cells[2], cells[3] };
    }
    f->steps = rows;
}

static void read_presence(struct reading *in, json_t *event, struct bk_client_event *e)
{
    const char *shown = text_at(in, event, "shown");
    e->presence.address = text_at(in, event, "address");
    e->presence.own = is_true(event, "own");
    e->presence.watched = !e->presence.own;
    e->presence.shown = bk_pidf_shown_of(bk_view_of_str(shown));
    e->presence.name = text_at(in, event, "name");
    e->presence.note = text_at(in, event, "note");
    e->presence.since_ms = ago(event, "since-ago");
    if (e->presence.shown == BK_PIDF_SHOWN_MISSING)
        in->why = "no such word of presence in \"shown\"";
}

static void read_contacts(struct reading *in, json_t *event, struct bk_client_event *e)
{
    json_t *rows = json_object_get(event, "contacts");
    struct bk_client_contact *to = rows_of(in, rows, sizeof *to, &e->contacts.n_contacts);
    for (int i = 0; to && i < e->contacts.n_contacts; i++) {
        json_t *row = json_array_get(rows, (size_t)i);
        to[i].address = text_of(in, json_array_get(row, 0));
        to[i].name = text_of(in, json_array_get(row, 1));
        to[i].groups = texts_of(in, row, 2, &to[i].n_groups);
        if (!*to[i].address)
            in->why = "a contact is [address, name, groups ...]";
    }
    json_t *whole = json_object_get(event, "whole");
    e->contacts.contacts = to;
    e->contacts.whole = !whole || json_is_true(whole);
    e->contacts.asked = is_true(event, "asked");
    e->contacts.groups = texts_of(in, json_object_get(event, "groups"), 0, &e->contacts.n_groups);
    e->contacts.gone = texts_of(in, json_object_get(event, "gone"), 0, &e->contacts.n_gone);
}

static void read_rows(struct reading *in, json_t *event, struct bk_client_event *e)
{
    json_t *rows = json_object_get(event, "rows");
    int n = 0;
    switch (e->type) {
    case BK_CLIENT_EVENT_RELATIONS: {
        struct bk_client_relation *to = rows_of(in, rows, sizeof *to, &n);
        for (int i = 0; to && i < n; i++) {
            json_t *row = json_array_get(rows, (size_t)i);
            to[i].subject = text_of(in, json_array_get(row, 0));
            to[i].level = (int)json_integer_value(json_array_get(row, 1));
        }
        e->relations.rows = to;
        e->relations.n_rows = n;
        return;
    }
    case BK_CLIENT_EVENT_FOLLOWERS: {
        struct bk_client_follower *to = rows_of(in, rows, sizeof *to, &n);
        for (int i = 0; to && i < n; i++) {
            json_t *row = json_array_get(rows, (size_t)i);
            to[i].address = text_of(in, json_array_get(row, 0));
            to[i].name = text_of(in, json_array_get(row, 1));
            to[i].acknowledged = json_is_true(json_array_get(row, 2));
        }
        e->followers.rows = to;
        e->followers.n_rows = n;
        return;
    }
    case BK_CLIENT_EVENT_FOUND: {
        struct bk_client_found *to = rows_of(in, rows, sizeof *to, &n);
        for (int i = 0; to && i < n; i++) {
            const char *cell[7];
            for (size_t j = 0; j < 7; j++)
                cell[j] = text_of(in, json_array_get(json_array_get(rows, (size_t)i), j));
            to[i] = (struct bk_client_found){ cell[0], cell[1], cell[2], cell[3],
                                              cell[4], cell[5], cell[6] };
        }
        e->found.rows = to;
        e->found.n_rows = n;
        e->found.more = is_true(event, "more");
        return;
    }
    default: {
        struct bk_client_deleted *to = rows_of(in, rows, sizeof *to, &n);
        for (int i = 0; to && i < n; i++) {
            json_t *row = json_array_get(rows, (size_t)i);
            to[i].what = text_of(in, json_array_get(row, 0));
            to[i].result = text_of(in, json_array_get(row, 1));
            to[i].ok = json_is_true(json_array_get(row, 2));
        }
        e->deleted.rows = to;
        e->deleted.n_rows = n;
    }
    }
}

static void read_event(struct reading *in, json_t *event, struct told *told)
{
    struct bk_client_event *e = &told->pub;
    int n;
    switch (e->type) {
    case BK_CLIENT_EVENT_STATE:
        n = number_of_word(text_at(in, event, "state"), BK_CLIENT_STATE_COUNT, state_word);
        if (n < 0)
            in->why = "no such state";
        e->state.state = n < 0 ? BK_CLIENT_IDLE : (enum bk_client_state)n;
        e->state.address = json_object_get(event, "address")
                               ? text_at(in, event, "address")
                               : expand(in->arena, NULL, in->fake->address);
        e->state.detail = text_at(in, event, "detail");
        e->state.retry_in_s = int_at(event, "retry-in");
        return;
    case BK_CLIENT_EVENT_FAILURE:
    case BK_CLIENT_EVENT_ENDED:
    case BK_CLIENT_EVENT_NOTICE:
        read_failure(in, event, &e->failure);
        return;
    case BK_CLIENT_EVENT_CREDENTIAL:
        e->credential.address = text_at(in, event, "address");
        e->credential.user = text_at(in, event, "user");
        e->credential.need_user = is_true(event, "need-user");
        e->credential.why = text_at(in, event, "why");
        return;
    case BK_CLIENT_EVENT_TRUST:
        e->trust.address = text_at(in, event, "address");
        e->trust.server = text_at(in, event, "server");
        return;
    case BK_CLIENT_EVENT_PRESENCE:
        read_presence(in, event, e);
        return;
    case BK_CLIENT_EVENT_MESSAGE:
        e->message.from = text_at(in, event, "from");
        e->message.from_name = text_at(in, event, "name");
        e->message.text = text_at(in, event, "text");
        e->message.sent_ms = json_object_get(event, "ago") ? ago(event, "ago") : now_ms();
        e->message.delayed = is_true(event, "delayed");
        return;
    case BK_CLIENT_EVENT_MESSAGE_STATE:
        n = number_of_word(text_at(in, event, "state"), BK_CLIENT_FAILED + 1, message_state_word);
        if (n < 0)
            in->why = "no such state of a message";
        e->message_state.state = n < 0 ? BK_CLIENT_FAILED : (enum bk_client_message_state)n;
        e->message_state.to = text_at(in, event, "to");
        e->message_state.kept = is_true(event, "kept");
        e->message_state.text = text_at(in, event, "text");
        if (e->message_state.state == BK_CLIENT_FAILED) {
            json_t *copy = json_copy(event);
            (void)json_object_del(copy, "text"); /* that is what was written */
            read_failure(in, copy, &told->failure);
            json_decref(copy);
            e->message_state.failure = &told->failure;
        }
        return;
    case BK_CLIENT_EVENT_DELETED:
        e->deleted.address = text_at(in, event, "address");
        read_rows(in, event, e);
        return;
    case BK_CLIENT_EVENT_CONTACTS:
        read_contacts(in, event, e);
        return;
    case BK_CLIENT_EVENT_RELATIONS:
    case BK_CLIENT_EVENT_FOLLOWERS:
    case BK_CLIENT_EVENT_FOUND:
        read_rows(in, event, e);
        return;
    case BK_CLIENT_EVENT_EDITED:
        e->edited.text = text_at(in, event, "text");
        e->edited.case_code = text_at(in, event, "case");
        e->edited.done = !*e->edited.text;
        return;
    case BK_CLIENT_EVENT_TYPING:
        e->typing.from = text_at(in, event, "from");
        e->typing.typing = is_true(event, "typing");
        return;
    default:
        return;
    }
}

static void free_told(struct told *told)
{
    bk_arena_finish(&told->arena);
    g_free(told);
}

/* NULL with *ret_why: it is no event. */
static struct told *make_told(struct bk_fake *fake, json_t *event, json_t *words, uint64_t id,
                              const char **ret_why)
{
    struct told *told = g_new0(struct told, 1);
    struct reading in = { fake, &told->arena, words, NULL };
    int type = number_of_word(text_at(&in, event, "type"), BK_CLIENT_EVENT_COUNT, event_word);
    if (type < 0) {
        *ret_why = "no such type of event";
        free_told(told);
        return NULL;
    }
    told->pub.type = (enum bk_client_event_type)type;
    told->pub.at_ms = now_ms();
    read_event(&in, event, told);
    json_t *own_id = json_object_get(event, "id");
    if (json_is_integer(own_id))
        id = (uint64_t)json_integer_value(own_id);
    if (told->pub.type == BK_CLIENT_EVENT_MESSAGE_STATE)
        told->pub.message_state.id = id;
    else if (told->pub.type == BK_CLIENT_EVENT_FOUND)
        told->pub.found.id = id;
    else if (told->pub.type == BK_CLIENT_EVENT_EDITED)
        told->pub.edited.id = id;
    if (!in.why)
        return told;
    *ret_why = in.why;
    free_told(told);
    return NULL;
}

/* ---- waiting ---- */

static int64_t mono_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

static void free_waiting(gpointer data)
{
    struct waiting *w = data;
    json_decref(w->event);
    json_decref(w->words);
    g_free(w);
}

static void arm(struct bk_fake *fake)
{
    struct itimerspec at = { 0 };
    uint64_t fired;
    if (fake->queue->len) {
        int64_t due = fake->hurried ? 0 : ((struct waiting *)fake->queue->pdata[0])->due_ms;
        at.it_value.tv_sec = due / 1000;
        at.it_value.tv_nsec = due % 1000 * 1000000 + (due ? 0 : 1); /* 0 would disarm it */
    }
    if (read(fake->fd, &fired, sizeof fired) < 0)
        fired = 0; /* it had not fired */
    (void)timerfd_settime(fake->fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static void enqueue(struct bk_fake *fake, json_t *event, json_t *words, uint64_t id, int64_t due_ms)
{
    struct waiting *w = g_new0(struct waiting, 1);
    guint at = fake->queue->len;
    w->due_ms = due_ms;
    w->seq = ++fake->seq;
    w->id = id;
    w->event = json_incref(event);
    w->words = json_incref(words);
    while (at > 0 && ((struct waiting *)fake->queue->pdata[at - 1])->due_ms > due_ms)
        at--;
    g_ptr_array_insert(fake->queue, (gint)at, w);
}

/* A crowd is many events: its list, and everybody's presence. */
static void tell_crowd(struct bk_fake *fake, json_t *crowd, int64_t due_ms)
{
    json_t *first = json_object_get(crowd, "first"), *last = json_object_get(crowd, "last");
    json_t *groups = json_object_get(crowd, "groups"), *shown = json_object_get(crowd, "shown");
    json_t *notes = json_object_get(crowd, "notes"), *none = json_object();
    json_t *rows = json_array(), *list;
    size_t n_first = json_array_size(first), n_last = json_array_size(last),
           n_groups = json_array_size(groups), n_shown = json_array_size(shown),
           n_notes = json_array_size(notes);
    int n = int_at(crowd, "n");
    if (!n_first || !n_last || !n_groups || !n_shown || n > ROWS_MAX)
        n = 0;
    for (int k = 0; k < n; k++) {
        size_t i = (size_t)k;
        g_autofree char *address = g_strdup_printf("person%d@example.org", k + 1);
        g_autofree char *name =
            g_strdup_printf("%s %s", json_string_value(json_array_get(first, i % n_first)),
                            json_string_value(json_array_get(last, (i / n_first + i) % n_last)));
        json_array_append_new(
            rows, json_pack("[s,s,s]", address, name,
                            json_string_value(json_array_get(groups, i * 7 / 3 % n_groups))));
    }
    list = json_pack("{s:s,s:O,s:o}", "type", "contacts", "groups", groups, "contacts", rows);
    enqueue(fake, list, none, 0, due_ms);
    for (int k = 0; k < n; k++) {
        size_t i = (size_t)k;
        g_autofree char *address = g_strdup_printf("person%d@example.org", k + 1);
        json_t *note = n_notes && i % 3 == 0 ? json_array_get(notes, i / 3 % n_notes) : NULL;
        json_t *presence = json_pack("{s:s,s:s,s:O,s:s,s:i}", "type", "presence", "address",
                                     address, "shown", json_array_get(shown, i * 5 % n_shown),
                                     "note", json_is_string(note) ? json_string_value(note) : "",
                                     "since-ago", (k * 97) % 20000);
        enqueue(fake, presence, none, 0, due_ms);
        json_decref(presence);
    }
    json_decref(list);
    json_decref(none);
}

static void tell_all(struct bk_fake *fake, json_t *events, json_t *words, uint64_t id)
{
    int64_t due = mono_ms();
    size_t i;
    json_t *event;
    json_array_foreach(events, i, event)
    {
        due += (int64_t)(json_number_value(json_object_get(event, "after")) * 1000);
        if (g_strcmp0(json_string_value(json_object_get(event, "type")), "crowd") == 0)
            tell_crowd(fake, event, due);
        else
            enqueue(fake, event, words, id, due);
    }
    arm(fake);
}

/* Takes events. */
static void tell_new(struct bk_fake *fake, json_t *events, uint64_t id)
{
    json_t *none = json_object();
    tell_all(fake, events, none, id);
    json_decref(none);
    json_decref(events);
}

/* ---- what a server would know ---- */

static void learn(struct bk_fake *fake, json_t *event, const struct told *told)
{
    const struct bk_client_event *e = &told->pub;
    if (e->type == BK_CLIENT_EVENT_STATE && *e->state.address) {
        g_free(fake->address);
        fake->address = g_strdup(e->state.address);
    } else if (e->type == BK_CLIENT_EVENT_PRESENCE) {
        json_t *copy = json_copy(event);
        (void)json_object_del(copy, "after");
        (void)json_object_set_new(fake->people, e->presence.address, copy);
    } else if (e->type == BK_CLIENT_EVENT_CONTACTS) {
        if (e->contacts.whole) {
            json_decref(fake->groups);
            fake->groups = json_array();
            (void)json_object_clear(fake->contacts);
        }
        for (int i = 0; e->contacts.whole && i < e->contacts.n_groups; i++)
            (void)json_array_append_new(fake->groups, json_string(e->contacts.groups[i]));
        for (int i = 0; i < e->contacts.n_contacts; i++) {
            const struct bk_client_contact *c = &e->contacts.contacts[i];
            json_t *row = json_array();
            (void)json_array_append_new(row, json_string(c->name));
            for (int j = 0; j < c->n_groups; j++)
                (void)json_array_append_new(row, json_string(c->groups[j]));
            (void)json_object_set_new(fake->contacts, c->address, row);
        }
        for (int i = 0; i < e->contacts.n_gone; i++)
            (void)json_object_del(fake->contacts, e->contacts.gone[i]);
    } else if (e->type == BK_CLIENT_EVENT_RELATIONS) {
        (void)json_object_clear(fake->levels);
        for (int i = 0; i < e->relations.n_rows; i++)
            (void)json_object_set_new(fake->levels, e->relations.rows[i].subject,
                                      json_integer(e->relations.rows[i].level));
    }
}

static json_t *contacts_event(struct bk_fake *fake)
{
    json_t *rows = json_array(), *row;
    const char *address;
    json_object_foreach(fake->contacts, address, row)
    {
        json_t *copy = json_copy(row);
        (void)json_array_insert_new(copy, 0, json_string(address));
        (void)json_array_append_new(rows, copy);
    }
    return json_pack("{s:s,s:O,s:o}", "type", "contacts", "groups", fake->groups, "contacts", rows);
}

static json_t *relations_event(struct bk_fake *fake)
{
    json_t *rows = json_array(), *level;
    const char *subject;
    json_object_foreach(fake->levels, subject, level)
        json_array_append_new(rows, json_pack("[s,O]", subject, level));
    return json_pack("{s:s,s:o}", "type", "relations", "rows", rows);
}

static json_t *state_event(const char *state, int after_ms)
{
    return json_pack("{s:s,s:s,s:f}", "type", "state", "state", state, "after",
                     (double)after_ms / 1000);
}

static json_t *own_presence(struct bk_fake *fake, const char *shown, const char *note)
{
    json_t *had = json_object_get(fake->people, fake->address);
    const char *had_shown = json_string_value(json_object_get(had, "shown"));
    const char *had_note = json_string_value(json_object_get(had, "note"));
    return json_pack("{s:s,s:s,s:b,s:s,s:s}", "type", "presence", "address", fake->address, "own",
                     1, "shown",
                     shown       ? shown
                     : had_shown ? had_shown
                                 : "available",
                     "note",
                     note       ? note
                     : had_note ? had_note
                                : "");
}

static void go_in(struct bk_fake *fake, bool look)
{
    json_t *events = json_array();
    json_t *server = state_event("contacting", STEP_MS);
    (void)json_object_set_new(server, "detail", json_string("sip.example.org:5061"));
    if (look)
        (void)json_array_append_new(events, state_event("resolving", 0));
    (void)json_array_append_new(events, server);
    (void)json_array_append_new(events, state_event("authenticating", STEP_MS));
    (void)json_array_append_new(events, state_event("registering", STEP_MS));
    (void)json_array_append_new(events, state_event("presence", STEP_MS));
    (void)json_array_append_new(events, contacts_event(fake));
    (void)json_array_append_new(events, relations_event(fake));
    (void)json_array_append_new(events, own_presence(fake, "available", NULL));
    (void)json_array_append_new(events, state_event("signed-in", 0));
    const char *address;
    json_t *presence;
    json_object_foreach(fake->people, address, presence) if (strcmp(address, fake->address) != 0)(
        void) json_array_append(events, presence);
    tell_new(fake, events, 0);
}

/* ---- commands ---- */

static bool fits(json_t *rule, json_t *words)
{
    json_t *value;
    const char *key;
    json_object_foreach(json_object_get(rule, "if"), key, value)
    {
        if (!json_equal(value, json_object_get(words, key)))
            return false;
    }
    return true;
}

/* The events that answer; NULL: the script says nothing about it. */
static json_t *answer_of(struct bk_fake *fake, const char *command, json_t *words)
{
    json_t *answers = json_object_get(json_object_get(fake->script, "answers"), command), *rule;
    size_t i;
    if (!answers || !json_object_get(json_array_get(answers, 0), "then"))
        return answers;
    json_array_foreach(answers, i, rule)
    {
        json_t *then = json_object_get(rule, "then"), *times = json_object_get(rule, "times");
        if (!fits(rule, words) || (times && json_integer_value(times) <= 0))
            continue;
        if (times)
            (void)json_integer_set(times, json_integer_value(times) - 1);
        return then;
    }
    return NULL;
}

/* True: the script answered it. Takes words, {field: text}; heard says what is written down beside the command. */
static bool hear(struct bk_fake *fake, const char *command, json_t *words, uint64_t id,
                 const char *heard)
{
    g_string_append_printf(fake->heard, "%s%s%s\n", command, heard && *heard ? " " : "",
                           heard ? heard : "");
    if (!json_object_get(words, "address"))
        (void)json_object_set_new(words, "address", json_string(fake->address));
    json_t *events = answer_of(fake, command, words);
    if (events)
        tell_all(fake, events, words, id);
    json_decref(words);
    return events != NULL;
}

static void set_word(json_t *words, const char *name, const char *value)
{
    if (value)
        (void)json_object_set_new(words, name, json_string(value));
}

/* As the engine does it; NULL: no address. */
static char *plain(const char *address)
{
    if (!address)
        return NULL;
    if (g_ascii_strncasecmp(address, "sip:", 4) == 0)
        address += 4;
    const char *at = strchr(address, '@');
    if (!at || at == address || !at[1] || strchr(at + 1, '@') || strpbrk(address, " \t\r\n"))
        return NULL;
    return g_ascii_strdown(address, -1);
}

static int fake_sign_in(void *self, const char *address, const char *password, const char *user)
{
    struct bk_fake *fake = self;
    json_t *words = json_object();
    g_autofree char *small = plain(address);
    g_free(fake->address);
    fake->address = g_strdup(small ? small : address);
    set_word(words, "address", fake->address);
    set_word(words, "password", password);
    set_word(words, "user", user);
    if (!hear(fake, "sign-in", words, 0, address))
        go_in(fake, true);
    return 0;
}

static int fake_credential(void *self, const char *password, const char *user)
{
    json_t *words = json_object();
    set_word(words, "password", password);
    set_word(words, "user", user);
    if (!hear(self, "credential", words, 0, user))
        go_in(self, false);
    return 0;
}

static void go_out(struct bk_fake *fake)
{
    json_t *events = json_array();
    (void)json_array_append_new(events, state_event("signing-out", 0));
    (void)json_array_append_new(events, state_event("signed-out", STEP_MS));
    tell_new(fake, events, 0);
}

static int fake_trust(void *self, enum bk_client_trust_answer answer)
{
    static const char *const names[] = { "no", "once", "always" };
    const char *name = (size_t)answer < G_N_ELEMENTS(names) ? names[answer] : "";
    json_t *words = json_object();
    set_word(words, "answer", name);
    if (hear(self, "trust", words, 0, name))
        return 0;
    if (answer == BK_CLIENT_TRUST_NO)
        go_out(self);
    else
        go_in(self, false);
    return 0;
}

static int fake_change_password(void *self, const char *address, const char *user,
                                const char *old_password, const char *new_password)
{
    json_t *words = json_object();
    set_word(words, "address", address);
    set_word(words, "user", user);
    set_word(words, "password", old_password);
    set_word(words, "new-password", new_password);
    if (!hear(self, "change-password", words, 0, address))
        tell_new(self,
                 json_pack("[{s:s,s:s,s:f},o]", "type", "notice", "text",
                           "The password was changed.", "after", 0.3, state_event("signed-out", 0)),
                 0);
    return 0;
}

static int fake_sign_out(void *self)
{
    if (!hear(self, "sign-out", json_object(), 0, NULL))
        go_out(self);
    return 0;
}

static int fake_delete(void *self, const char *address)
{
    json_t *words = json_object();
    g_autofree char *small = plain(address);
    set_word(words, "address", small);
    if (!small) {
        json_decref(words);
        return -EINVAL;
    }
    if (!hear(self, "delete-sign-in-info", words, 0, small))
        tell_new(self,
                 json_pack("[o,o,{s:s,s:s,s:[[s,s,b],[s,s,b],[s,s,b]]}]",
                           state_event("signing-out", 0), state_event("signed-out", STEP_MS),
                           "type", "deleted", "address", small, "rows", "key and certificate",
                           "removed", 1, "certificate", "revoked at the server", 1,
                           "remembered server", "removed", 1),
                 0);
    return 0;
}

static int fake_retry_now(void *self)
{
    if (!hear(self, "retry-now", json_object(), 0, NULL))
        go_in(self, true);
    return 0;
}

static int fake_network_changed(void *self)
{
    (void)hear(self, "network-changed", json_object(), 0, NULL);
    return 0;
}

static int fake_set_status(void *self, enum bk_pidf_manual manual)
{
    static const char *const shown[BK_PIDF_MANUAL_COUNT] = {
        [BK_PIDF_MANUAL_NONE] = "available", [BK_PIDF_MANUAL_BUSY] = "busy",
        [BK_PIDF_MANUAL_DND] = "dnd",        [BK_PIDF_MANUAL_BRB] = "brb",
        [BK_PIDF_MANUAL_AWAY] = "away",      [BK_PIDF_MANUAL_OFFWORK] = "offwork",
        [BK_PIDF_MANUAL_OFFLINE] = "offline"
    };
    json_t *words = json_object();
    if (manual <= BK_PIDF_MANUAL_MISSING || manual >= BK_PIDF_MANUAL_COUNT) {
        json_decref(words);
        return -EINVAL;
    }
    set_word(words, "status", bk_pidf_manual_name(manual));
    if (!hear(self, "set-status", words, 0, bk_pidf_manual_name(manual)))
        tell_new(self, json_pack("[o]", own_presence(self, shown[manual], NULL)), 0);
    return 0;
}

static int fake_set_machine(void *self, enum bk_pidf_machine machine)
{
    json_t *words = json_object();
    set_word(words, "machine", bk_pidf_machine_name(machine));
    (void)hear(self, "set-machine", words, 0, bk_pidf_machine_name(machine));
    return 0;
}

static int fake_set_note(void *self, const char *note)
{
    json_t *words = json_object();
    set_word(words, "note", note);
    if (!hear(self, "set-note", words, 0, note))
        tell_new(self, json_pack("[o]", own_presence(self, NULL, note)), 0);
    return 0;
}

static int hear_address(struct bk_fake *fake, const char *command, const char *address,
                        bool *ret_answered)
{
    g_autofree char *small = plain(address);
    if (!small)
        return -EINVAL;
    json_t *words = json_object();
    set_word(words, "address", small);
    *ret_answered = hear(fake, command, words, 0, small);
    return 0;
}

static int fake_watch(void *self, const char *address)
{
    struct bk_fake *fake = self;
    bool answered;
    int r = hear_address(fake, "watch", address, &answered);
    if (r < 0 || answered)
        return r;
    g_autofree char *small = plain(address);
    json_t *presence = json_object_get(fake->people, small);
    if (presence)
        tell_new(fake, json_pack("[O]", presence), 0);
    else
        tell_new(
            fake,
            json_pack("[{s:s,s:s,s:s}]", "type", "presence", "address", small, "shown", "unknown"),
            0);
    return 0;
}

static int fake_unwatch(void *self, const char *address)
{
    bool answered;
    return hear_address(self, "unwatch", address, &answered);
}

static int fake_send_message(void *self, const char *to, const char *text, uint64_t *ret_id)
{
    struct bk_fake *fake = self;
    g_autofree char *small = plain(to);
    if (!small)
        return -EINVAL;
    json_t *words = json_object();
    uint64_t id = ++fake->ids;
    g_autofree char *heard = g_strdup_printf("%s %s", small, text);
    set_word(words, "to", small);
    set_word(words, "text", text);
    *ret_id = id;
    if (!hear(fake, "send-message", words, id, heard))
        tell_new(fake,
                 json_pack("[{s:s,s:s,s:s},{s:s,s:s,s:s,s:f}]", "type", "message-state", "state",
                           "sending", "to", small, "type", "message-state", "state", "sent", "to",
                           small, "after", 0.4),
                 id);
    return 0;
}

static int fake_typing(void *self, const char *to, bool typing)
{
    json_t *words = json_object();
    g_autofree char *heard = g_strdup_printf("%s %s", to, typing ? "true" : "false");
    set_word(words, "to", to);
    (void)hear(self, "typing", words, 0, heard);
    return 0;
}

static int fake_close_conversation(void *self, const char *address)
{
    bool answered;
    return hear_address(self, "close-conversation", address, &answered);
}

/* ---- edits ---- */

static const char *const kinds[BK_CLIENT_EDIT_KIND_COUNT] = {
    [BK_CLIENT_EDIT_TELL] = "tell",
    [BK_CLIENT_EDIT_ADD_CONTACT] = "add-contact",
    [BK_CLIENT_EDIT_REMOVE_CONTACT] = "remove-contact",
    [BK_CLIENT_EDIT_RENAME_CONTACT] = "rename-contact",
    [BK_CLIENT_EDIT_MOVE_CONTACT] = "move-contact",
    [BK_CLIENT_EDIT_ADD_GROUP] = "add-group",
    [BK_CLIENT_EDIT_RENAME_GROUP] = "rename-group",
    [BK_CLIENT_EDIT_DELETE_GROUP] = "delete-group",
    [BK_CLIENT_EDIT_RELATION] = "relation",
    [BK_CLIENT_EDIT_BLOCK] = "block",
    [BK_CLIENT_EDIT_UNBLOCK] = "unblock",
    [BK_CLIENT_EDIT_ACKNOWLEDGE] = "acknowledge",
    [BK_CLIENT_EDIT_SEARCH] = "search",
};

/* Where that text is in an array, from `first` on; the array's size: nowhere. */
static size_t place_of(json_t *array, size_t first, const char *text)
{
    size_t i = first;
    while (i < json_array_size(array) &&
           g_strcmp0(json_string_value(json_array_get(array, i)), text) != 0)
        i++;
    return i;
}

static void leave_group(json_t *row, const char *group)
{
    size_t at = place_of(row, 1, group);
    if (at < json_array_size(row))
        (void)json_array_remove(row, at);
    if (json_array_size(row) == 1)
        (void)json_array_append_new(row, json_string(OTHERS));
}

static void join_group(json_t *row, const char *group)
{
    size_t others = place_of(row, 1, OTHERS);
    if (others < json_array_size(row) && strcmp(group, OTHERS) != 0)
        (void)json_array_remove(row, others);
    if (place_of(row, 1, group) == json_array_size(row))
        (void)json_array_append_new(row, json_string(group));
}

static void change_group(struct bk_fake *fake, const char *group, const char *now)
{
    size_t at = place_of(fake->groups, 0, group);
    const char *address;
    json_t *row;
    if (at == json_array_size(fake->groups))
        return;
    if (now)
        (void)json_array_set_new(fake->groups, at, json_string(now));
    else
        (void)json_array_remove(fake->groups, at);
    json_object_foreach(fake->contacts, address, row)
    {
        size_t in = place_of(row, 1, group);
        if (in < json_array_size(row) && now)
            (void)json_array_set_new(row, in, json_string(now));
        else
            leave_group(row, group);
    }
}

/* What it changes; the list is told where it is another then. */
static void change(struct bk_fake *fake, const struct bk_client_edit *wish, const char *address)
{
    json_t *row = address ? json_object_get(fake->contacts, address) : NULL;
    switch (wish->kind) {
    case BK_CLIENT_EDIT_ADD_CONTACT:
        if (!row) {
            row = json_pack("[s]", wish->name ? wish->name : "");
            (void)json_object_set_new(fake->contacts, address, row);
        }
        join_group(row, wish->group ? wish->group : OTHERS);
        return;
    case BK_CLIENT_EDIT_REMOVE_CONTACT:
        if (wish->group && json_array_size(row) > 2)
            leave_group(row, wish->group);
        else
            (void)json_object_del(fake->contacts, address);
        return;
    case BK_CLIENT_EDIT_RENAME_CONTACT:
        if (row)
            (void)json_array_set_new(row, 0, json_string(wish->name));
        return;
    case BK_CLIENT_EDIT_MOVE_CONTACT:
        if (row) {
            leave_group(row, wish->group);
            join_group(row, wish->to_group);
        }
        return;
    case BK_CLIENT_EDIT_ADD_GROUP:
        (void)json_array_append_new(fake->groups, json_string(wish->group));
        return;
    case BK_CLIENT_EDIT_RENAME_GROUP:
        change_group(fake, wish->group, wish->to_group);
        return;
    case BK_CLIENT_EDIT_DELETE_GROUP:
        change_group(fake, wish->group, NULL);
        return;
    case BK_CLIENT_EDIT_BLOCK:
    case BK_CLIENT_EDIT_RELATION:
    case BK_CLIENT_EDIT_UNBLOCK: {
        int level = wish->kind == BK_CLIENT_EDIT_BLOCK      ? 32000
                    : wish->kind == BK_CLIENT_EDIT_RELATION ? wish->level
                                                            : 0;
        if (level)
            (void)json_object_set_new(fake->levels, address, json_integer(level));
        else
            (void)json_object_del(fake->levels, address);
        return;
    }
    default:
        return;
    }
}

/* Contacts whose name or address holds the text. */
static json_t *found_event(struct bk_fake *fake, const char *text)
{
    json_t *rows = json_array(), *row;
    const char *address;
    g_autofree char *wanted = g_utf8_casefold(text ? text : "", -1);
    json_object_foreach(fake->contacts, address, row)
    {
        const char *name = json_string_value(json_array_get(row, 0));
        g_autofree char *folded = g_utf8_casefold(name ? name : "", -1);
        if (strstr(folded, wanted) || strstr(address, wanted))
            (void)json_array_append_new(rows, json_pack("[s,s,s,s,s,s,s]", address,
                                                        name ? name : "", "", "", "", "", address));
    }
    return json_pack("{s:s,s:o}", "type", "found", "rows", rows);
}

static int fake_edit(void *self, const struct bk_client_edit *wish, uint64_t *ret_id)
{
    struct bk_fake *fake = self;
    if ((unsigned)wish->kind >= BK_CLIENT_EDIT_KIND_COUNT)
        return -EINVAL;
    g_autofree char *small = wish->address && *wish->address == '@'
                                 ? g_ascii_strdown(wish->address, -1)
                                 : plain(wish->address);
    if (wish->address && !small)
        return -EINVAL;
    json_t *words = json_object();
    uint64_t id = ++fake->ids;
    const char *what = wish->text ? wish->text : small ? small : wish->group ? wish->group : "";
    g_autofree char *heard = g_strdup_printf("%s %s", kinds[wish->kind], what);
    set_word(words, "kind", kinds[wish->kind]);
    set_word(words, "address", small);
    set_word(words, "name", wish->name);
    set_word(words, "group", wish->group);
    set_word(words, "to-group", wish->to_group);
    set_word(words, "text", wish->text);
    (void)json_object_set_new(words, "level", json_integer(wish->level));
    *ret_id = id;
    if (hear(fake, "edit", words, id, g_strchomp(heard)))
        return 0;
    json_t *events = json_array();
    if (wish->kind == BK_CLIENT_EDIT_SEARCH) {
        (void)json_array_append_new(events, found_event(fake, wish->text));
    } else {
        change(fake, wish, small);
        (void)json_array_append_new(events, json_pack("{s:s}", "type", CONTACTS_NOW));
        (void)json_array_append_new(events, json_pack("{s:s}", "type", RELATIONS_NOW));
    }
    (void)json_array_append_new(events, json_pack("{s:s}", "type", "edited"));
    tell_new(fake, events, id);
    return 0;
}

/* ---- events out ---- */

/* The lists as they are when they are told: what waits before them may change them yet. */
static void fill_in(struct bk_fake *fake, struct waiting *w)
{
    const char *type = json_string_value(json_object_get(w->event, "type"));
    json_t *now = g_strcmp0(type, CONTACTS_NOW) == 0    ? contacts_event(fake)
                  : g_strcmp0(type, RELATIONS_NOW) == 0 ? relations_event(fake)
                                                        : NULL;
    if (!now)
        return;
    json_decref(w->event);
    w->event = now;
}

static int fake_event_fd(const void *self)
{
    return ((const struct bk_fake *)self)->fd;
}

static const struct bk_client_event *fake_event_next(void *self)
{
    struct bk_fake *fake = self;
    struct told *told = NULL;
    while (!told && fake->queue->len) {
        struct waiting *w = fake->queue->pdata[0];
        const char *why;
        if (!fake->hurried && w->due_ms > mono_ms())
            break;
        w = g_ptr_array_steal_index(fake->queue, 0);
        fill_in(fake, w);
        told = make_told(fake, w->event, w->words, w->id, &why);
        if (told)
            learn(fake, w->event, told);
        free_waiting(w);
    }
    arm(fake);
    fake->n_out += told != NULL;
    return told ? &told->pub : NULL;
}

static void fake_event_done(void *self, const struct bk_client_event *event)
{
    struct bk_fake *fake = self;
    g_string_append_printf(fake->heard, "done %s\n", bk_client_event_name(event->type));
    fake->n_out--;
    free_told(bk_container_of((struct bk_client_event *)(uintptr_t)event, struct told, pub));
}

static void fake_close(void *self)
{
    struct bk_fake *fake = self;
    if (fake->fd >= 0)
        (void)close(fake->fd);
    g_ptr_array_unref(fake->queue);
    (void)g_string_free(fake->heard, TRUE);
    g_free(fake->address);
    json_decref(fake->script);
    json_decref(fake->people);
    json_decref(fake->groups);
    json_decref(fake->contacts);
    json_decref(fake->levels);
    g_free(fake);
}

const struct bk_engine_ops bk_fake_engine_ops = {
    .sign_in = fake_sign_in,
    .credential = fake_credential,
    .trust = fake_trust,
    .change_password = fake_change_password,
    .sign_out = fake_sign_out,
    .delete_sign_in_info = fake_delete,
    .retry_now = fake_retry_now,
    .network_changed = fake_network_changed,
    .set_status = fake_set_status,
    .set_machine = fake_set_machine,
    .set_note = fake_set_note,
    .watch = fake_watch,
    .unwatch = fake_unwatch,
    .send_message = fake_send_message,
    .typing = fake_typing,
    .close_conversation = fake_close_conversation,
    .edit = fake_edit,
    .event_fd = fake_event_fd,
    .event_next = fake_event_next,
    .event_done = fake_event_done,
    .close = fake_close,
};

/* ---- life ---- */

static char *check_events(struct bk_fake *fake, json_t *events, const char *where)
{
    json_t *event, *none = json_object();
    size_t i;
    char *wrong = NULL;
    if (!json_is_array(events))
        wrong = g_strdup_printf("%s: an array of events is expected", where);
    json_array_foreach(events, i, event)
    {
        const char *why = NULL;
        if (wrong)
            break;
        if (g_strcmp0(json_string_value(json_object_get(event, "type")), "crowd") == 0)
            continue;
        struct told *told = make_told(fake, event, none, 0, &why);
        if (told)
            free_told(told);
        else
            wrong = g_strdup_printf("%s, event %zu: %s", where, i + 1, why);
    }
    json_decref(none);
    return wrong;
}

static char *check_script(struct bk_fake *fake)
{
    json_t *answers = json_object_get(fake->script, "answers"), *answer, *rule;
    json_t *events = json_object_get(fake->script, "events");
    const char *command;
    size_t i;
    char *wrong = events ? check_events(fake, events, "events") : NULL;
    json_object_foreach(answers, command, answer)
    {
        bool rules = json_object_get(json_array_get(answer, 0), "then") != NULL;
        if (!wrong && !rules)
            wrong = check_events(fake, answer, command);
        json_array_foreach(answer, i, rule)
        {
            if (!wrong && rules)
                wrong = check_events(fake, json_object_get(rule, "then"), command);
        }
    }
    return wrong;
}

int bk_fake_new(const char *script, size_t len, struct bk_fake **ret, char **ret_why)
{
    json_error_t error;
    json_t *root = json_loadb(script, len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(root)) {
        *ret_why = root ? g_strdup("a script is one object")
                        : g_strdup_printf("line %d: %s", error.line, error.text);
        json_decref(root);
        return -EINVAL;
    }
    struct bk_fake *fake = g_new0(struct bk_fake, 1);
    fake->script = root;
    fake->queue = g_ptr_array_new_with_free_func(free_waiting);
    fake->heard = g_string_new("");
    fake->address = g_strdup("");
    fake->people = json_object();
    fake->groups = json_pack("[s]", OTHERS);
    fake->contacts = json_object();
    fake->levels = json_object();
    fake->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    char *wrong = fake->fd < 0 ? g_strdup("no timer") : check_script(fake);
    if (wrong) {
        *ret_why = wrong;
        fake_close(fake);
        return -EINVAL;
    }
    json_t *none = json_object();
    tell_all(fake, json_object_get(root, "events"), none, 0);
    json_decref(none);
    *ret = fake;
    return 0;
}

int bk_fake_open(const char *path, struct bk_fake **ret, char **ret_why)
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    int r = bk_file_read(path, SCRIPT_MAX, &text);
    if (r < 0) {
        *ret_why = g_strdup(g_strerror(-r));
        return r;
    }
    return bk_fake_new(text.at ? text.at : "", text.len, ret, ret_why);
}

int bk_fake_say(struct bk_fake *fake, const char *json)
{
    json_t *events = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(events))
        events = json_pack("[o]", events);
    char *wrong = check_events(fake, events, "say");
    if (wrong) {
        g_free(wrong);
        json_decref(events);
        return -EINVAL;
    }
    tell_new(fake, events, 0);
    return 0;
}

const char *bk_fake_heard(const struct bk_fake *fake)
{
    return fake->heard->str;
}

void bk_fake_forget_heard(struct bk_fake *fake)
{
    g_string_truncate(fake->heard, 0);
}

void bk_fake_hurry(struct bk_fake *fake)
{
    fake->hurried = true;
    arm(fake);
}

unsigned bk_fake_n_out(const struct bk_fake *fake)
{
    return fake->n_out;
}
