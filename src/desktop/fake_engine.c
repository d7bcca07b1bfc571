/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/fake_engine.h"

#include "base/cleanup.h"
#include "base/list.h"
#include "base/text.h"
#include "desktop/fake_private.h"

#include <errno.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { SCRIPT_MAX = 16 * 1024 * 1024, STEP_MS = 300 };

/* One event that waits, as it stands in the script. */
struct waiting {
    int64_t due_ms; /* monotonic */
    uint64_t seq, id;
    json_t *event, *words;
};

/* Events that stand in the queue for a list that is made when their turn comes. */
#define CONTACTS_NOW "contacts-now"
#define RELATIONS_NOW "relations-now"

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
    int n = bk_fake_int_at(crowd, "n");
    if (!n_first || !n_last || !n_groups || !n_shown || n > BK_FAKE_ROWS_MAX)
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

static json_t *state_event(const char *state, int after_ms)
{
    return json_pack("{s:s,s:s,s:f}", "type", "state", "state", state, "after",
                     (double)after_ms / 1000);
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
    (void)json_array_append_new(events, bk_fake_contacts_event(fake));
    (void)json_array_append_new(events, bk_fake_relations_event(fake));
    (void)json_array_append_new(events, bk_fake_own_presence(fake, "available", NULL));
    (void)json_array_append_new(events, state_event("signed-in", 0));
    const char *address;
    json_t *presence;
    json_object_foreach(fake->people, address, presence) if (strcmp(address, fake->address) != 0)(
        void) json_array_append(events, presence);
    tell_new(fake, events, 0);
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
                           "removed", 1, "certificate at the server", "revoked", 1,
                           "messages not sent yet", "was not there", 1),
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
        tell_new(self, json_pack("[o]", bk_fake_own_presence(self, shown[manual], NULL)), 0);
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
        tell_new(self, json_pack("[o]", bk_fake_own_presence(self, NULL, note)), 0);
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
        (void)json_array_append_new(events, bk_fake_found_event(fake, wish->text));
    } else {
        bk_fake_change(fake, wish, small);
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
    json_t *now = g_strcmp0(type, CONTACTS_NOW) == 0    ? bk_fake_contacts_event(fake)
                  : g_strcmp0(type, RELATIONS_NOW) == 0 ? bk_fake_relations_event(fake)
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
    struct bk_fake_told *told = NULL;
    while (!told && fake->queue->len) {
        struct waiting *w = fake->queue->pdata[0];
        const char *why;
        if (!fake->hurried && w->due_ms > mono_ms())
            break;
        w = g_ptr_array_steal_index(fake->queue, 0);
        fill_in(fake, w);
        told = bk_fake_told_make(fake, w->event, w->words, w->id, &why);
        if (told)
            bk_fake_learn(fake, w->event, told);
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
    bk_fake_told_free(
        bk_container_of((struct bk_client_event *)(uintptr_t)event, struct bk_fake_told, pub));
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
    fake->groups = json_pack("[s]", BK_FAKE_OTHERS);
    fake->contacts = json_object();
    fake->levels = json_object();
    fake->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    char *wrong = fake->fd < 0 ? g_strdup("no timer") : bk_fake_check_script(fake);
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
    char *wrong = bk_fake_check_events(fake, events, "say");
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
