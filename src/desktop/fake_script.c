/* SPDX-License-Identifier: Apache-2.0 */
/* Events as a script writes them, read into those of the client. */
#include "desktop/fake_private.h"

#include "base/cleanup.h"
#include "base/text.h"

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

int bk_fake_int_at(json_t *object, const char *key)
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
    if (n > BK_FAKE_ROWS_MAX || !rows) {
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
    f->retry_in_s = bk_fake_int_at(event, "retry-in");
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

static void read_event(struct reading *in, json_t *event, struct bk_fake_told *told)
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
        e->state.proxy = text_at(in, event, "proxy");
        e->state.retry_in_s = bk_fake_int_at(event, "retry-in");
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

void bk_fake_told_free(struct bk_fake_told *told)
{
    bk_arena_finish(&told->arena);
    g_free(told);
}

struct bk_fake_told *bk_fake_told_make(struct bk_fake *fake, json_t *event, json_t *words,
                                       uint64_t id, const char **ret_why)
{
    struct bk_fake_told *told = g_new0(struct bk_fake_told, 1);
    struct reading in = { fake, &told->arena, words, NULL };
    int type = number_of_word(text_at(&in, event, "type"), BK_CLIENT_EVENT_COUNT, event_word);
    if (type < 0) {
        *ret_why = "no such type of event";
        bk_fake_told_free(told);
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
    bk_fake_told_free(told);
    return NULL;
}

/* ---- is it right? ---- */

char *bk_fake_check_events(struct bk_fake *fake, json_t *events, const char *where)
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
        struct bk_fake_told *told = bk_fake_told_make(fake, event, none, 0, &why);
        if (told)
            bk_fake_told_free(told);
        else
            wrong = g_strdup_printf("%s, event %zu: %s", where, i + 1, why);
    }
    json_decref(none);
    return wrong;
}

char *bk_fake_check_script(struct bk_fake *fake)
{
    json_t *answers = json_object_get(fake->script, "answers"), *answer, *rule;
    json_t *events = json_object_get(fake->script, "events");
    const char *command;
    size_t i;
    char *wrong = events ? bk_fake_check_events(fake, events, "events") : NULL;
    json_object_foreach(answers, command, answer)
    {
        bool rules = json_object_get(json_array_get(answer, 0), "then") != NULL;
        if (!wrong && !rules)
            wrong = bk_fake_check_events(fake, answer, command);
        json_array_foreach(answer, i, rule)
        {
            if (!wrong && rules)
                wrong = bk_fake_check_events(fake, json_object_get(rule, "then"), command);
        }
    }
    return wrong;
}
