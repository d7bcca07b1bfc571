/* SPDX-License-Identifier: Apache-2.0 */
/* One JSON object per line: events out, commands in (man page, JSON LINES). */
#include "base/cleanup.h"
#include "base/text.h"
#include "cli/cli.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 64 * 1024 };

/* ---- out ---- */

/* The object is given up. A line is written whole and at once: who reads it may act on it. */
static void write_line(json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    json_decref(object);
    if (!text)
        return;
    (void)fputs(text, stdout);
    (void)fputc('\n', stdout);
    (void)fflush(stdout);
    free(text);
}

static void set_text(json_t *object, const char *key, const char *text)
{
    (void)json_object_set_new(object, key, json_string(text));
}

static void set_time(json_t *object, const char *key, int64_t at_ms)
{
    char text[32];
    bk_time_iso(at_ms, true, text);
    set_text(object, key, text);
}

static void set_failure(json_t *object, const struct bk_client_failure *f)
{
    static const char *const next[] = {
        [BK_CLIENT_NEXT_STOP] = "stop",
        [BK_CLIENT_NEXT_RETRY] = "retry",
        [BK_CLIENT_NEXT_ASK] = "ask",
    };
    set_text(object, "record", f->id);
    if (f->record) {
        set_text(object, "slug", f->record->slug);
        set_text(object, "category", bk_record_category_name(f->record->category));
    }
    set_text(object, "case", f->case_code);
    set_text(object, "text", f->user_text);
    set_text(object, "do", f->user_does);
    set_text(object, "admin", f->admin_text);
    set_text(object, "detail", f->detail);
    set_text(object, "next", next[f->next]);
    if (f->next == BK_CLIENT_NEXT_RETRY)
        (void)json_object_set_new(object, "retry_in", json_integer(f->retry_in_s));
    if (!f->n_steps)
        return;
    json_t *steps = json_array();
    for (int i = 0; i < f->n_steps; i++)
        (void)json_array_append_new(steps,
                                    json_pack("{s:s,s:s,s:s,s:s}", "kind", f->steps[i].kind, "name",
                                              f->steps[i].name, "result", f->steps[i].result,
                                              "detail", f->steps[i].detail));
    (void)json_object_set_new(object, "steps", steps);
}

static json_t *texts_of(const char *const *texts, int n)
{
    json_t *array = json_array();
    for (int i = 0; i < n; i++)
        (void)json_array_append_new(array, json_string(texts[i]));
    return array;
}

static void set_contacts(json_t *o, const struct bk_client_event *e)
{
    json_t *rows = json_array();
    (void)json_object_set_new(o, "whole", json_boolean(e->contacts.whole));
    if (e->contacts.whole)
        (void)json_object_set_new(o, "groups", texts_of(e->contacts.groups, e->contacts.n_groups));
    for (int i = 0; i < e->contacts.n_contacts; i++) {
        const struct bk_client_contact *c = &e->contacts.contacts[i];
        (void)json_array_append_new(rows,
                                    json_pack("{s:s,s:s,s:o}", "address", c->address, "name",
                                              c->name, "groups", texts_of(c->groups, c->n_groups)));
    }
    (void)json_object_set_new(o, "contacts", rows);
    if (!e->contacts.whole)
        (void)json_object_set_new(o, "gone", texts_of(e->contacts.gone, e->contacts.n_gone));
}

static void set_relations(json_t *o, const struct bk_client_event *e)
{
    json_t *rows = json_array();
    for (int i = 0; i < e->relations.n_rows; i++)
        (void)json_array_append_new(rows,
                                    json_pack("{s:s,s:i}", "subject", e->relations.rows[i].subject,
                                              "level", e->relations.rows[i].level));
    (void)json_object_set_new(o, "relations", rows);
}

static void set_followers(json_t *o, const struct bk_client_event *e)
{
    json_t *rows = json_array();
    for (int i = 0; i < e->followers.n_rows; i++) {
        const struct bk_client_follower *f = &e->followers.rows[i];
        (void)json_array_append_new(rows, json_pack("{s:s,s:s,s:b}", "address", f->address, "name",
                                                    f->name, "acknowledged", (int)f->acknowledged));
    }
    (void)json_object_set_new(o, "followers", rows);
}

static void set_found(json_t *o, const struct bk_client_event *e)
{
    json_t *rows = json_array();
    for (int i = 0; i < e->found.n_rows; i++) {
        const struct bk_client_found *f = &e->found.rows[i];
        (void)json_array_append_new(rows, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "address",
                                                    f->address, "name", f->name, "title", f->title,
                                                    "office", f->office, "phone", f->phone,
                                                    "company", f->company, "email", f->email));
    }
    (void)json_object_set_new(o, "id", json_integer((json_int_t)e->found.id));
    (void)json_object_set_new(o, "people", rows);
    (void)json_object_set_new(o, "more", json_boolean(e->found.more));
}

static void set_event(json_t *o, const struct bk_client_event *e)
{
    switch (e->type) {
    case BK_CLIENT_EVENT_STATE:
        set_text(o, "state", bk_client_state_name(e->state.state));
        set_text(o, "address", e->state.address);
        set_text(o, "detail", e->state.detail);
        if (*e->state.proxy)
            set_text(o, "proxy", e->state.proxy);
        if (e->state.state == BK_CLIENT_RECONNECTING)
            (void)json_object_set_new(o, "retry_in", json_integer(e->state.retry_in_s));
        return;
    case BK_CLIENT_EVENT_FAILURE:
    case BK_CLIENT_EVENT_NOTICE:
    case BK_CLIENT_EVENT_ENDED:
        set_failure(o, &e->failure);
        return;
    case BK_CLIENT_EVENT_CREDENTIAL:
        set_text(o, "address", e->credential.address);
        set_text(o, "user", e->credential.user);
        (void)json_object_set_new(o, "need_user", json_boolean(e->credential.need_user));
        set_text(o, "why", e->credential.why);
        return;
    case BK_CLIENT_EVENT_TRUST:
        set_text(o, "address", e->trust.address);
        set_text(o, "server", e->trust.server);
        return;
    case BK_CLIENT_EVENT_PRESENCE:
        set_text(o, "address", e->presence.address);
        (void)json_object_set_new(o, "own", json_boolean(e->presence.own));
        (void)json_object_set_new(o, "watched", json_boolean(e->presence.watched));
        set_text(o, "state", bk_pidf_shown_name(e->presence.shown));
        set_text(o, "name", e->presence.name);
        set_text(o, "note", e->presence.note);
        if (e->presence.since_ms)
            set_time(o, "since", e->presence.since_ms);
        return;
    case BK_CLIENT_EVENT_MESSAGE:
        set_text(o, "from", e->message.from);
        set_text(o, "name", e->message.from_name);
        set_text(o, "text", e->message.text);
        set_time(o, "sent", e->message.sent_ms);
        (void)json_object_set_new(o, "delayed", json_boolean(e->message.delayed));
        return;
    case BK_CLIENT_EVENT_MESSAGE_STATE:
        if (e->message_state.kept)
            set_text(o, "message", e->message_state.text);
        (void)json_object_set_new(o, "id", json_integer((json_int_t)e->message_state.id));
        set_text(o, "to", e->message_state.to);
        set_text(o, "state", bk_client_message_state_name(e->message_state.state));
        if (e->message_state.failure)
            set_failure(o, e->message_state.failure);
        return;
    case BK_CLIENT_EVENT_TYPING:
        set_text(o, "from", e->typing.from);
        (void)json_object_set_new(o, "typing", json_boolean(e->typing.typing));
        return;
    case BK_CLIENT_EVENT_DELETED: {
        json_t *rows = json_array();
        for (int i = 0; i < e->deleted.n_rows; i++)
            (void)json_array_append_new(
                rows, json_pack("{s:s,s:s,s:b}", "what", e->deleted.rows[i].what, "result",
                                e->deleted.rows[i].result, "ok", (int)e->deleted.rows[i].ok));
        set_text(o, "address", e->deleted.address);
        (void)json_object_set_new(o, "rows", rows);
        return;
    }
    case BK_CLIENT_EVENT_CONTACTS:
        set_contacts(o, e);
        return;
    case BK_CLIENT_EVENT_RELATIONS:
        set_relations(o, e);
        return;
    case BK_CLIENT_EVENT_FOLLOWERS:
        set_followers(o, e);
        return;
    case BK_CLIENT_EVENT_FOUND:
        set_found(o, e);
        return;
    case BK_CLIENT_EVENT_EDITED:
        (void)json_object_set_new(o, "id", json_integer((json_int_t)e->edited.id));
        (void)json_object_set_new(o, "done", json_boolean(e->edited.done));
        set_text(o, "text", e->edited.text);
        set_text(o, "case", e->edited.case_code);
        return;
    default:
        return;
    }
}

void cli_json_show(struct cli *cli, const struct bk_client_event *e)
{
    (void)cli;
    json_t *object = json_object();
    set_text(object, "event", bk_client_event_name(e->type));
    set_time(object, "at", e->at_ms);
    set_event(object, e);
    write_line(object);
}

void cli_json_say(struct cli *cli, const char *event, const char *text)
{
    (void)cli;
    write_line(json_pack("{s:s,s:s}", "event", event, "text", text));
}

/* ---- in ---- */

/* A text field; NULL where it is missing. */
static const char *field(const json_t *command, const char *name)
{
    return json_string_value(json_object_get(command, name));
}

static int do_sign_in(struct cli *cli, const json_t *k)
{
    const char *address = field(k, "address"), *password = field(k, "password");
    const char *user = field(k, "user");
    return bk_client_sign_in(cli->client, address ? address : cli->address,
                             password ? password : cli->password, user ? user : cli->user);
}

static int do_credential(struct cli *cli, const json_t *k)
{
    return bk_client_credential(cli->client, field(k, "password"), field(k, "user"));
}

static int do_trust(struct cli *cli, const json_t *k)
{
    static const struct {
        const char *name;
        enum bk_client_trust_answer answer;
    } names[] = { { "no", BK_CLIENT_TRUST_NO },
                  { "once", BK_CLIENT_TRUST_ONCE },
                  { "always", BK_CLIENT_TRUST_ALWAYS } };
    const char *answer = field(k, "answer");
    for (size_t i = 0; answer && i < BK_COUNT_OF(names); i++)
        if (strcmp(answer, names[i].name) == 0)
            return bk_client_trust(cli->client, names[i].answer);
    return -EINVAL;
}

static int do_sign_out(struct cli *cli, const json_t *k)
{
    (void)k;
    return bk_client_sign_out(cli->client);
}

static int do_delete(struct cli *cli, const json_t *k)
{
    const char *address = field(k, "address");
    return bk_client_delete_sign_in_info(cli->client, address ? address : cli->address);
}

static int do_retry(struct cli *cli, const json_t *k)
{
    (void)k;
    return bk_client_retry_now(cli->client);
}

static int do_status(struct cli *cli, const json_t *k)
{
    return bk_client_set_status(cli->client, bk_pidf_manual_of(bk_view_of_str(field(k, "state"))));
}

static int do_machine(struct cli *cli, const json_t *k)
{
    return bk_client_set_machine(cli->client,
                                 bk_pidf_machine_of(bk_view_of_str(field(k, "state"))));
}

static int do_note(struct cli *cli, const json_t *k)
{
    return bk_client_set_note(cli->client, field(k, "text"));
}

static int do_watch(struct cli *cli, const json_t *k)
{
    return bk_client_watch(cli->client, field(k, "address"));
}

static int do_unwatch(struct cli *cli, const json_t *k)
{
    return bk_client_unwatch(cli->client, field(k, "address"));
}

static int do_password(struct cli *cli, const json_t *k)
{
    const char *address = field(k, "address");
    return bk_client_change_password(cli->client, address ? address : cli->address,
                                     field(k, "user"), field(k, "old"), field(k, "new"));
}

/* Before the events of the thread that works on it: they carry the id. */
static void accept(const json_t *command, uint64_t id)
{
    json_t *line = json_pack("{s:s,s:I}", "event", "accepted", "id", (json_int_t)id);
    const json_t *tag = json_object_get(command, "tag");
    if (tag)
        (void)json_object_set(line, "tag", (json_t *)(uintptr_t)tag);
    write_line(line);
}

static int do_send(struct cli *cli, const json_t *k)
{
    uint64_t id;
    int r = bk_client_send_message(cli->client, field(k, "to"), field(k, "text"), &id);
    if (r < 0)
        return r;
    cli->pending++;
    accept(k, id);
    return 0;
}

static int do_typing(struct cli *cli, const json_t *k)
{
    const json_t *typing = json_object_get(k, "typing");
    if (typing && !json_is_boolean(typing))
        return -EINVAL;
    return bk_client_typing(cli->client, field(k, "to"), !typing || json_is_true(typing));
}

static int do_close(struct cli *cli, const json_t *k)
{
    return bk_client_close_conversation(cli->client, field(k, "address"));
}

static int do_edit(struct cli *cli, const json_t *k, enum bk_client_edit_kind kind)
{
    uint64_t id;
    struct bk_client_edit wish = {
        .kind = kind,
        .address = field(k, "address"),
        .name = field(k, "name"),
        .group = field(k, "group"),
        .to_group = field(k, "to"),
        .text = field(k, "text"),
        .level = (int)json_integer_value(json_object_get(k, "level")),
    };
    int r = bk_client_edit(cli->client, &wish, &id);
    if (r < 0)
        return r;
    cli->pending++;
    accept(k, id);
    return 0;
}

static int do_quit(struct cli *cli, const json_t *k)
{
    (void)k;
    cli_leave(cli, cli->exit_status);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(struct cli *cli, const json_t *command);
    const char *fields; /* named when one of them is wrong */
} commands[] = {
    { "sign-in", do_sign_in, "address, password, user" },
    { "credential", do_credential, "password, user" },
    { "trust", do_trust, "answer: no, once or always" },
    { "sign-out", do_sign_out, "" },
    { "delete-sign-in-info", do_delete, "address" },
    { "retry", do_retry, "" },
    { "status", do_status, "state: none, busy, dnd, brb, away, offwork or offline" },
    { "machine", do_machine, "state: active, inactive or away" },
    { "note", do_note, "text" },
    { "watch", do_watch, "address" },
    { "unwatch", do_unwatch, "address" },
    { "send", do_send, "to, text, tag" },
    { "typing", do_typing, "to; typing: true or false" },
    { "close", do_close, "address" },
    { "password", do_password, "address, user, old, new" },
    { "quit", do_quit, "" },
};

static const struct {
    const char *name;
    enum bk_client_edit_kind kind;
    const char *fields;
} edits[] = {
    { "contacts", BK_CLIENT_EDIT_TELL, "" },
    { "add-contact", BK_CLIENT_EDIT_ADD_CONTACT, "address; name, group" },
    { "remove-contact", BK_CLIENT_EDIT_REMOVE_CONTACT, "address; group" },
    { "rename-contact", BK_CLIENT_EDIT_RENAME_CONTACT, "address, name" },
    { "move-contact", BK_CLIENT_EDIT_MOVE_CONTACT, "address, group, to" },
    { "add-group", BK_CLIENT_EDIT_ADD_GROUP, "group" },
    { "rename-group", BK_CLIENT_EDIT_RENAME_GROUP, "group, to" },
    { "delete-group", BK_CLIENT_EDIT_DELETE_GROUP, "group" },
    { "relation", BK_CLIENT_EDIT_RELATION, "address, level: 0, 100, 200, 300, 400 or 32000" },
    { "block", BK_CLIENT_EDIT_BLOCK, "address" },
    { "unblock", BK_CLIENT_EDIT_UNBLOCK, "address" },
    { "acknowledge", BK_CLIENT_EDIT_ACKNOWLEDGE, "address" },
    { "search", BK_CLIENT_EDIT_SEARCH, "text" },
};

static void complain(const char *what, const char *where)
{
    write_line(json_pack("{s:s,s:s,s:s}", "event", "error", "text", what, "where", where));
}

static void run(struct cli *cli, const json_t *command)
{
    const char *name = field(command, "command");
    if (!name) {
        complain("a command is an object with the field \"command\"", "command");
        return;
    }
    for (size_t i = 0; i < BK_COUNT_OF(commands); i++) {
        if (strcmp(name, commands[i].name) != 0)
            continue;
        int r = commands[i].run(cli, command);
        if (r == -EINVAL)
            complain("a field is missing or has no such value", commands[i].fields);
        else if (r < 0)
            complain(strerror(-r), name);
        return;
    }
    for (size_t i = 0; i < BK_COUNT_OF(edits); i++) {
        if (strcmp(name, edits[i].name) != 0)
            continue;
        int r = do_edit(cli, command, edits[i].kind);
        if (r == -EINVAL)
            complain("a field is missing or has no such value", edits[i].fields);
        else if (r < 0)
            complain(strerror(-r), name);
        return;
    }
    complain("there is no such command", name);
}

void cli_json_line(struct cli *cli, struct bk_view line)
{
    json_error_t error;
    line = bk_view_trim(line);
    if (!line.len)
        return;
    json_t *command = json_loadb(line.at, line.len, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(command)) {
        run(cli, command);
    } else if (command) {
        complain("a command is a JSON object", "line");
    } else {
        char where[64];
        (void)snprintf(where, sizeof where, "byte %d", error.position);
        complain(error.text, where);
    }
    json_decref(command);
}

void cli_json_readable(struct cli *cli)
{
    static char line[LINE_MAX_BYTES];
    static size_t len;
    static bool too_long;
    ssize_t n = read(STDIN_FILENO, line + len, sizeof line - len);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        cli_input_ended(cli);
        return;
    }
    len += (size_t)n;
    char *end;
    while ((end = memchr(line, '\n', len))) {
        size_t used = (size_t)(end - line) + 1;
        if (!too_long)
            cli_json_line(cli, (struct bk_view){ line, used });
        too_long = false;
        bk_wipe(line, used); /* it may have held a password */
        memmove(line, line + used, len - used);
        len -= used;
    }
    if (len == sizeof line) {
        if (!too_long)
            complain("the line is too long", "line");
        too_long = true;
        len = 0;
    }
}
