/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations: nothing is lost, nothing is doubled, whenever the program ends. */
#include "desktop/talk.h"
#include "fakes/folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#define ANN "ann@example.org"
#define BOB "bob@example.org"
#define CAROL "carol@example.org"

/* ---- an engine whose events the test makes ---- */

struct fake {
    GQueue events; /* struct bk_client_event, not fetched yet */
    int fd;
    uint64_t last_id;
    int send_result;
    GPtrArray *done;     /* texts of the messages given back */
    bool done_unwritten; /* one of them had no row on disk */
    GString *typing;
};

static char folder[FOLDER_SIZE];
static struct fake *fake;
static BkEngine *engine;
static BkRoster *roster;
static BkHistory *history;
static BkTalks *talks;

static void say(struct bk_client_event event)
{
    g_queue_push_tail(&fake->events, g_memdup2(&event, sizeof event));
    eventfd_write(fake->fd, 1);
}

static int fake_send(void *self, const char *to, const char *text, uint64_t *ret_id)
{
    struct fake *f = self;
    (void)to, (void)text;
    if (f->send_result < 0)
        return f->send_result;
    *ret_id = ++f->last_id;
    return 0;
}

static int fake_typing(void *self, const char *to, bool typing)
{
    g_string_append_printf(((struct fake *)self)->typing, "%s%c", to, typing ? '+' : '-');
    return 0;
}

static int fake_watch(void *self, const char *address)
{
    (void)self, (void)address;
    return 0;
}

static int fake_edit(void *self, const struct bk_client_edit *wish, uint64_t *ret_id)
{
    (void)self, (void)wish, (void)ret_id;
    return -EINVAL;
}

static int fake_fd(const void *self)
{
    return ((const struct fake *)self)->fd;
}

static const struct bk_client_event *fake_next(void *self)
{
    struct fake *f = self;
    eventfd_t n;
    struct bk_client_event *event = g_queue_pop_head(&f->events);
    if (event)
        (void)eventfd_read(f->fd, &n);
    return event;
}

/* As another program sees it: only what is committed. */
static int rows_saying(const char *text)
{
    g_autofree char *path = g_strdup_printf("%s/%s/history.db", folder, ANN);
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    int n = 0;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "SELECT count(*) FROM line WHERE said = ?1", -1, &s, NULL) ==
            SQLITE_OK) {
        sqlite3_bind_text(s, 1, text, -1, SQLITE_STATIC);
        if (sqlite3_step(s) == SQLITE_ROW)
            n = sqlite3_column_int(s, 0);
    }
    sqlite3_finalize(s);
    sqlite3_close(db);
    return n;
}

static void fake_done(void *self, const struct bk_client_event *event)
{
    struct fake *f = self;
    if (event->type == BK_CLIENT_EVENT_MESSAGE) {
        g_ptr_array_add(f->done, g_strdup(event->message.text));
        f->done_unwritten |= rows_saying(event->message.text) == 0;
    }
    g_free((gpointer)(uintptr_t)event);
}

static void fake_close(void *self)
{
    struct fake *f = self;
    g_queue_clear_full(&f->events, g_free);
    close(f->fd);
    g_ptr_array_unref(f->done);
    g_string_free(f->typing, TRUE);
    g_free(f);
}

static const struct bk_engine_ops ops = {
    .watch = fake_watch,
    .unwatch = fake_watch,
    .send_message = fake_send,
    .typing = fake_typing,
    .edit = fake_edit,
    .event_fd = fake_fd,
    .event_next = fake_next,
    .event_done = fake_done,
    .close = fake_close,
};

/* ---- sessions ---- */

static void drain(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        continue;
}

static void take_result(GObject *source, GAsyncResult *result, gpointer user_data)
{
    (void)source;
    *(GAsyncResult **)user_data = g_object_ref(result);
}

/* All events are taken, all that came of them is on disk, and the answers are here. */
static void settle(void)
{
    for (int i = 0; i < 3; i++) {
        g_autoptr(GAsyncResult) result = NULL;
        drain();
        bk_talks_flush_async(talks, take_result, &result);
        while (!result)
            g_main_context_iteration(NULL, TRUE);
        (void)bk_talks_flush_finish(talks, result, NULL);
    }
    drain();
}

static void say_state(enum bk_client_state state)
{
    say((struct bk_client_event){ .type = BK_CLIENT_EVENT_STATE,
                                  .state = { .state = state, .address = ANN, .detail = "" } });
}

static void begin(bool keep)
{
    fake = g_new0(struct fake, 1);
    fake->fd = eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE);
    fake->done = g_ptr_array_new_with_free_func(g_free);
    fake->typing = g_string_new(NULL);
    engine = bk_engine_new(&ops, fake);
    roster = bk_roster_new(engine, NULL);
    history = keep ? bk_history_new(folder, ANN) : NULL;
    talks = bk_talks_new(engine, roster, history, NULL);
    say_state(BK_CLIENT_REGISTERING);
    drain();
}

static void begin_signed_in(void)
{
    begin(true);
    say_state(BK_CLIENT_SIGNED_IN);
    settle();
}

/* As a crash does: what is not on disk is gone. */
static void end(void)
{
    g_clear_object(&talks);
    drain();
    g_clear_object(&history);
    while (!bk_history_wait(0))
        g_main_context_iteration(NULL, FALSE);
    drain();
    g_clear_object(&roster);
    g_clear_object(&engine);
    drain();
}

static int make(void **state)
{
    (void)state;
    folder_make(folder, "talk");
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    if (talks)
        end();
    return folder_remove(folder);
}

static void say_message(const char *from, const char *text, const char *key, bool delayed)
{
    say((struct bk_client_event){ .type = BK_CLIENT_EVENT_MESSAGE,
                                  .message = { .from = from,
                                               .from_name = "",
                                               .text = text,
                                               .key = key,
                                               .sent_ms = 1700000000000,
                                               .delayed = delayed } });
}

static void say_message_state(uint64_t id, enum bk_client_message_state state, const char *kept,
                              const struct bk_client_failure *failure)
{
    say((struct bk_client_event){ .type = BK_CLIENT_EVENT_MESSAGE_STATE,
                                  .message_state = { .id = id,
                                                     .to = BOB,
                                                     .state = state,
                                                     .kept = kept != NULL,
                                                     .text = kept ? kept : "",
                                                     .failure = failure } });
}

static unsigned n_lines(BkTalk *talk)
{
    return g_list_model_get_n_items(G_LIST_MODEL(talk));
}

static BkLine *line_at(BkTalk *talk, unsigned i)
{
    g_autoptr(BkLine) line = g_list_model_get_item(G_LIST_MODEL(talk), i);
    assert_non_null(line);
    return line;
}

static BkTalk *bob(void)
{
    BkTalk *talk = bk_talks_with(talks, BOB);
    assert_non_null(talk);
    return talk;
}

/* ---- what comes ---- */

static void a_message_is_taken_as_shown_once_it_is_on_disk(void **state)
{
    (void)state;
    begin_signed_in();
    static char texts[50][8], keys[50][16];
    for (int i = 0; i < 50; i++) {
        (void)snprintf(texts[i], sizeof texts[i], "%d", i);
        (void)snprintf(keys[i], sizeof keys[i], "key %d", i);
        say_message(BOB, texts[i], keys[i], false);
    }
    settle();
    assert_int_equal(fake->done->len, 50);
    assert_false(fake->done_unwritten);
    assert_int_equal(n_lines(bob()), 50);
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(atoi(bk_line_text(line_at(bob(), i))), i);
        assert_int_equal(atoi(fake->done->pdata[i]), i);
    }
}

static void a_message_that_comes_again_after_a_crash_is_not_doubled(void **state)
{
    (void)state;
    begin_signed_in();
    say_message(BOB, "once", "k1", false);
    settle();
    end(); /* its row is there; that it was shown, the engine did not get to note */
    begin_signed_in();
    say_message(BOB, "once", "k1", false);
    say_message(BOB, "twice", "k2", false);
    settle();
    assert_int_equal(n_lines(bob()), 2);
    assert_string_equal(bk_line_text(line_at(bob(), 0)), "once");
    assert_int_equal(fake->done->len, 2); /* and the server hears that it came */
    assert_int_equal(rows_saying("once"), 1);
    assert_int_equal(bk_talk_unread(bob()), 2);
    assert_int_equal(bk_talks_unread(talks), 2);
}

static void without_a_history_messages_are_shown_at_once(void **state)
{
    (void)state;
    begin(false);
    say_message(BOB, "hello", "k1", false);
    say_message(BOB, "hello", "", false); /* no key: nothing to compare */
    say_message(BOB, "hello", "", false);
    drain();
    assert_int_equal(n_lines(bob()), 3);
    assert_int_equal(fake->done->len, 3);
    assert_int_equal(bk_talk_send(bob(), "back"), 0);
    assert_int_equal(n_lines(bob()), 4);
    bk_talk_forget(bob());
    assert_int_equal(n_lines(bob()), 0);
}

static void switched_off_nothing_said_is_written(void **state)
{
    (void)state;
    begin_signed_in();
    bk_history_set_enabled(history, false);
    say_message(BOB, "hello", "k1", false);
    settle();
    assert_int_equal(bk_talk_send(bob(), "back"), 0);
    say_message_state(1, BK_CLIENT_SENT, NULL, NULL);
    settle();
    assert_int_equal(n_lines(bob()), 2);
    assert_int_equal(fake->done->len, 1);
    assert_int_equal(rows_saying("hello") + rows_saying("back"), 0);
}

static void on_a_full_disk_a_message_is_shown_and_not_taken_as_such_until_it_was_read(void **state)
{
    (void)state;
    begin_signed_in();
    say_message(CAROL, "before", "k0", false);
    settle();
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 150 * 1024;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    g_autofree char *big = g_strnfill(200 * 1024, 'b');
    say_message(BOB, big, "k1", false);
    say_message(CAROL, big, "k2", false);
    settle();
    assert_int_equal(n_lines(bob()), 1);
    assert_int_equal(bk_talk_unread(bob()), 1);
    assert_int_equal(fake->done->len, 1);
    assert_true(*bk_talks_trouble(talks));
    bk_talk_mark_read(bob());
    settle();
    assert_int_equal(fake->done->len, 2);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    /* There is room again: the first thing that can be written tells, and the rest follows. */
    bk_talk_set_draft(bob(), "x");
    settle();
    assert_string_equal(bk_talks_trouble(talks), "");
    assert_int_equal(rows_saying(big), 2);
    assert_int_equal(fake->done->len, 3);
}

static void who_has_no_address_to_be_watched_is_heard_too(void **state)
{
    (void)state;
    begin_signed_in();
    say_message("tel:+4930123", "ring", "k1", false);
    settle();
    assert_int_equal(fake->done->len, 1);
    assert_int_equal(g_list_model_get_n_items(G_LIST_MODEL(talks)), 1);
    g_autoptr(BkTalk) talk = g_list_model_get_item(G_LIST_MODEL(talks), 0);
    assert_int_equal(n_lines(talk), 1);
}

struct heard {
    int n;
    BkTalk *talk;
};

static void on_incoming(BkTalks *of, BkTalk *talk, BkLine *line, struct heard *heard)
{
    (void)of, (void)line;
    heard->n++;
    heard->talk = talk;
}

static void what_nobody_looked_at_is_unread_and_told(void **state)
{
    (void)state;
    struct heard heard = { 0 };
    begin_signed_in();
    g_signal_connect(talks, "incoming", G_CALLBACK(on_incoming), &heard);
    say_message(BOB, "1", "k1", true);
    say_message(BOB, "2", "k2", false);
    say_message(CAROL, "3", "k3", true);
    settle();
    assert_int_equal(heard.n, 3);
    assert_int_equal(bk_talk_unread(bob()), 2);
    assert_int_equal(bk_talk_missed(bob()), 1);
    assert_int_equal(bk_talks_unread(talks), 3);
    assert_int_equal(bk_talks_missed(talks), 2);
    assert_true(bk_line_opens_unread(line_at(bob(), 0)));
    assert_true(bk_line_is_delayed(line_at(bob(), 0)));
    bk_talk_set_looked_at(bob(), true);
    assert_int_equal(bk_talk_unread(bob()), 0);
    say_message(BOB, "4", "k4", false);
    settle();
    assert_int_equal(heard.n, 3);
    assert_int_equal(bk_talks_unread(talks), 1);
    bk_talk_set_looked_at(bob(), false);
    say_message(BOB, "5", "k5", false);
    settle();
    assert_int_equal(heard.n, 4);
    assert_ptr_equal(heard.talk, bob());
    assert_false(bk_line_opens_unread(line_at(bob(), 0)));
    assert_true(bk_line_opens_unread(line_at(bob(), 3)));
    end();

    begin_signed_in(); /* and over a restart */
    assert_int_equal(bk_talks_unread(talks), 2);
    assert_int_equal(bk_talk_unread(bob()), 1);
    assert_true(bk_line_opens_unread(line_at(bob(), 3)));
    assert_int_equal(bk_talks_missed(talks), 1);
}

static void who_looks_before_it_is_loaded_has_read_it(void **state)
{
    (void)state;
    begin_signed_in();
    say_message(BOB, "1", "k1", false);
    say_message(CAROL, "2", "k2", false);
    settle();
    end();
    begin(true);
    bk_talk_set_looked_at(bob(), true); /* nothing is read from the disk yet */
    bk_talk_mark_read(bk_talks_with(talks, CAROL));
    settle();
    assert_int_equal(bk_talk_unread(bob()), 0);
    end();
    begin_signed_in();
    assert_int_equal(bk_talk_unread(bob()), 0);
    assert_int_equal(n_lines(bob()), 1);
}

static void the_newest_conversation_is_first(void **state)
{
    (void)state;
    begin_signed_in();
    say_message(BOB, "1", "k1", false);
    say_message(CAROL, "2", "k2", false);
    say_message(BOB, "3", "k3", false);
    settle();
    g_autoptr(BkTalk) first = g_list_model_get_item(G_LIST_MODEL(talks), 0);
    assert_ptr_equal(first, bob());
    assert_int_equal(bk_talk_send(bk_talks_with(talks, "sip:Carol@example.org"), "x"), 0);
    g_autoptr(BkTalk) then = g_list_model_get_item(G_LIST_MODEL(talks), 0);
    assert_string_equal(bk_person_address(bk_talk_person(then)), CAROL);
    settle();
    end();
    begin_signed_in();
    assert_int_equal(g_list_model_get_n_items(G_LIST_MODEL(talks)), 2);
    g_autoptr(BkTalk) again = g_list_model_get_item(G_LIST_MODEL(talks), 0);
    assert_string_equal(bk_person_address(bk_talk_person(again)), CAROL);
    assert_null(bk_talks_with(talks, "nobody"));
}

/* ---- what goes ---- */

static void a_line_is_there_at_once_and_tells_its_end(void **state)
{
    (void)state;
    begin_signed_in();
    assert_int_equal(bk_talk_send(bob(), "one"), 0);
    assert_int_equal(bk_talk_send(bob(), "two"), 0);
    assert_int_equal(bk_talk_send(bob(), "three"), 0);
    assert_int_equal(n_lines(bob()), 3);
    assert_int_equal(bk_line_state(line_at(bob(), 0)), BK_CLIENT_SENDING);
    assert_true(bk_talks_has_unsent(talks));
    struct bk_client_failure failure = {
        .user_text = "Nobody there.", .user_does = "Ask.", .case_code = "BK-7", .id = ""
    };
    say_message_state(1, BK_CLIENT_SENT, NULL, NULL);
    say_message_state(2, BK_CLIENT_STORED, NULL, NULL);
    say_message_state(3, BK_CLIENT_FAILED, NULL, &failure);
    settle();
    assert_false(bk_talks_has_unsent(talks));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(bk_line_state(line_at(bob(), 0)), BK_CLIENT_SENT);
        assert_int_equal(bk_line_state(line_at(bob(), 1)), BK_CLIENT_STORED);
        assert_int_equal(bk_line_state(line_at(bob(), 2)), BK_CLIENT_FAILED);
        assert_string_equal(bk_line_why(line_at(bob(), 2)), "Nobody there.");
        assert_string_equal(bk_line_does(line_at(bob(), 2)), "Ask.");
        assert_string_equal(bk_line_case_code(line_at(bob(), 2)), "BK-7");
        assert_true(bk_line_is_retryable(line_at(bob(), 2)));
        end();
        begin_signed_in();
    }
}

static void what_cannot_be_sent_is_no_line(void **state)
{
    (void)state;
    begin_signed_in();
    g_autofree char *long_text = g_strnfill(BK_TALK_TEXT_MAX + 1, 'x');
    assert_int_equal(bk_talk_send(bob(), long_text), -EMSGSIZE);
    assert_int_equal(bk_talk_send(bob(), " \n\t\302\240"), -EINVAL);
    assert_int_equal(bk_talk_send(bob(), ""), -EINVAL);
    fake->send_result = -ENOMEM;
    assert_int_equal(bk_talk_send(bob(), "x"), -ENOMEM);
    assert_int_equal(n_lines(bob()), 0);
    fake->send_result = 0;
    long_text[BK_TALK_TEXT_MAX] = '\0';
    assert_int_equal(bk_talk_send(bob(), long_text), 0);
    g_autoptr(BkTalk) talk = g_object_ref(bob());
    end();
    assert_int_equal(bk_talk_send(talk, "x"), -ESHUTDOWN);
    bk_talk_set_draft(talk, "x"); /* does no harm */
}

static void a_failed_line_goes_again_at_the_end(void **state)
{
    (void)state;
    begin_signed_in();
    assert_int_equal(bk_talk_send(bob(), "first"), 0);
    assert_int_equal(bk_talk_send(bob(), "second"), 0);
    say_message_state(1, BK_CLIENT_FAILED, NULL, NULL);
    say_message_state(2, BK_CLIENT_SENT, NULL, NULL);
    settle();
    assert_true(*bk_line_why(line_at(bob(), 0)));
    assert_int_equal(bk_talk_retry(bob(), line_at(bob(), 1)), -EINVAL);
    assert_int_equal(bk_talk_retry(bob(), line_at(bob(), 0)), 0);
    assert_int_equal(n_lines(bob()), 2);
    assert_string_equal(bk_line_text(line_at(bob(), 1)), "first");
    assert_int_equal(bk_line_state(line_at(bob(), 1)), BK_CLIENT_SENDING);
    say_message_state(3, BK_CLIENT_SENT, NULL, NULL);
    settle();
    assert_int_equal(rows_saying("first"), 1);
    end();
    begin_signed_in();
    assert_int_equal(n_lines(bob()), 2);
    assert_string_equal(bk_line_text(line_at(bob(), 1)), "first");
    assert_int_equal(bk_line_state(line_at(bob(), 1)), BK_CLIENT_SENT);
}

static void what_was_on_its_way_at_a_crash_finds_its_line(void **state)
{
    (void)state;
    begin_signed_in();
    assert_int_equal(bk_talk_send(bob(), "same"), 0);
    assert_int_equal(bk_talk_send(bob(), "same"), 0);
    assert_int_equal(bk_talk_send(bob(), "other"), 0);
    settle();
    end();
    begin(true); /* told before the history is read, as the engine does */
    say_message_state(1, BK_CLIENT_SENDING, "same", NULL);
    say_message_state(2, BK_CLIENT_SENDING, "same", NULL);
    say_message_state(3, BK_CLIENT_SENDING, "other", NULL);
    say_message_state(4, BK_CLIENT_SENDING, "never got a row", NULL);
    say_message_state(2, BK_CLIENT_FAILED, "same", NULL);
    say_state(BK_CLIENT_SIGNED_IN);
    say_message_state(3, BK_CLIENT_SENT, "other", NULL);
    settle();
    assert_int_equal(n_lines(bob()), 4);
    assert_int_equal(bk_line_state(line_at(bob(), 0)), BK_CLIENT_SENDING);
    assert_int_equal(bk_line_state(line_at(bob(), 1)), BK_CLIENT_FAILED);
    assert_int_equal(bk_line_state(line_at(bob(), 2)), BK_CLIENT_SENT);
    assert_string_equal(bk_line_text(line_at(bob(), 3)), "never got a row");
    assert_int_equal(bk_line_state(line_at(bob(), 3)), BK_CLIENT_SENDING);
    assert_true(bk_talks_has_unsent(talks));
    say_message_state(1, BK_CLIENT_STORED, "same", NULL);
    say_message_state(4, BK_CLIENT_SENT, "never got a row", NULL);
    settle();
    end();
    begin_signed_in();
    static const int states[] = { BK_CLIENT_STORED, BK_CLIENT_FAILED, BK_CLIENT_SENT,
                                  BK_CLIENT_SENT };
    assert_int_equal(n_lines(bob()), 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(bk_line_state(line_at(bob(), i)), states[i]);
}

static void whose_end_nobody_knows_can_be_sent_again(void **state)
{
    (void)state;
    begin_signed_in();
    assert_int_equal(bk_talk_send(bob(), "unclear"), 0);
    settle();
    end();
    begin(true);
    settle();
    assert_int_equal(bk_line_state(line_at(bob(), 0)), BK_CLIENT_SENDING);
    say_state(BK_CLIENT_SIGNED_IN); /* and the engine told nothing of it */
    settle();
    assert_int_equal(bk_line_state(line_at(bob(), 0)), BK_CLIENT_FAILED);
    assert_true(bk_line_is_retryable(line_at(bob(), 0)));
    assert_true(*bk_line_why(line_at(bob(), 0)));
    assert_int_equal(bk_talk_retry(bob(), line_at(bob(), 0)), 0);
    assert_int_equal(n_lines(bob()), 1);
}

/* ---- drafts, typing ---- */

static void drafts_survive_and_tell_that_one_types(void **state)
{
    (void)state;
    begin_signed_in();
    bk_talk_set_draft(bob(), "half a sen");
    bk_talk_set_draft(bob(), "half a sentence");
    assert_string_equal(fake->typing->str, BOB "+" BOB "+");
    assert_true(bk_talks_has_unsent(talks));
    settle();
    end();
    begin_signed_in();
    assert_string_equal(bk_talk_draft(bob()), "half a sentence");
    assert_string_equal(fake->typing->str, ""); /* nobody types yet */
    assert_true(bk_talks_has_unsent(talks));
    bk_talk_set_draft(bob(), "half a sentence");
    assert_string_equal(fake->typing->str, "");
    bk_talk_set_draft(bob(), "");
    assert_string_equal(fake->typing->str, BOB "-");
    settle();
    end();
    begin_signed_in();
    assert_string_equal(bk_talk_draft(bob()), "");
    assert_false(bk_talks_has_unsent(talks));
}

static void say_typing(const char *from, bool typing)
{
    say((struct bk_client_event){ .type = BK_CLIENT_EVENT_TYPING,
                                  .typing = { .from = from, .typing = typing } });
    drain();
}

static void that_the_other_types_ends_with_their_message_or_the_connection(void **state)
{
    (void)state;
    begin_signed_in();
    say_typing(BOB, true); /* nobody talks to them: nothing to show, and no conversation from it */
    assert_int_equal(g_list_model_get_n_items(G_LIST_MODEL(talks)), 0);
    assert_false(bk_talk_is_typing(bob()));
    say_typing("Bob@Example.org", true);
    assert_true(bk_talk_is_typing(bob()));
    say_typing(BOB, false);
    assert_false(bk_talk_is_typing(bob()));
    say_typing(BOB, true);
    say_message(BOB, "done", "k1", false);
    settle();
    assert_false(bk_talk_is_typing(bob()));
    say_typing(BOB, true);
    say_state(BK_CLIENT_RECONNECTING);
    drain();
    assert_false(bk_talk_is_typing(bob()));
}

static void a_draft_is_on_disk_a_second_after_the_key(void **state)
{
    (void)state;
    begin_signed_in();
    bk_talk_set_draft(bob(), "typed");
    /* Nobody asks for it to be saved: what is waited for is the file. */
    gint64 until = g_get_monotonic_time() + 20 * G_TIME_SPAN_SECOND;
    int found = 0;
    while (!found && g_get_monotonic_time() < until) {
        g_main_context_iteration(NULL, FALSE);
        g_autofree char *path = g_strdup_printf("%s/%s/history.db", folder, ANN);
        sqlite3 *db = NULL;
        sqlite3_stmt *s = NULL;
        if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
            sqlite3_prepare_v2(db, "SELECT said FROM draft", -1, &s, NULL) == SQLITE_OK &&
            sqlite3_step(s) == SQLITE_ROW)
            found = strcmp((const char *)sqlite3_column_text(s, 0), "typed") == 0;
        sqlite3_finalize(s);
        sqlite3_close(db);
    }
    assert_true(found);
}

/* ---- the end of a session ---- */

/* Another program writes for long. */
static sqlite3 *lock_file(void)
{
    g_autofree char *path = g_strdup_printf("%s/%s/history.db", folder, ANN);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static void after_its_end_a_session_hears_nothing_and_still_writes_what_it_heard(void **state)
{
    (void)state;
    begin_signed_in();
    assert_int_equal(bk_talk_send(bob(), "on its way"), 0);
    settle();
    sqlite3 *db = lock_file();
    say_message(BOB, "heard", "k1", false);
    say_message_state(1, BK_CLIENT_SENT, NULL, NULL);
    bk_talk_set_draft(bob(), "half a word");
    drain();
    assert_int_equal(fake->done->len, 0);
    bk_talks_close(talks);
    /* Of the next session, whose conversations are others. */
    say_message(CAROL, "not for this one", "k2", false);
    say_state(BK_CLIENT_SIGNED_IN);
    drain();
    assert_int_equal(g_list_model_get_n_items(G_LIST_MODEL(talks)), 1);
    assert_int_equal(fake->done->len, 1);
    g_clear_object(&talks);
    drain();
    assert_int_equal(rows_saying("heard"), 0);
    sqlite3_close(db);
    g_clear_object(&history);
    while (!bk_history_wait(0))
        g_main_context_iteration(NULL, FALSE);
    drain();
    assert_int_equal(fake->done->len, 2);
    assert_string_equal(fake->done->pdata[1], "heard");
    assert_int_equal(rows_saying("heard"), 1);
    assert_int_equal(rows_saying("not for this one"), 0);
    g_clear_object(&roster);
    g_clear_object(&engine);
    begin_signed_in();
    assert_string_equal(bk_talk_draft(bob()), "half a word");
    settle();
    assert_int_equal(n_lines(bob()), 2);
    assert_int_equal(bk_line_state(line_at(bob(), 0)), BK_CLIENT_SENT);
    assert_string_equal(bk_line_text(line_at(bob(), 1)), "heard");
}

/* ---- older lines, marks, forgetting ---- */

static void fill(int n)
{
    BkHistory *file = bk_history_new(folder, ANN);
    for (int i = 0; i < n; i++) {
        g_autofree char *text = g_strdup_printf("%d", i);
        struct bk_history_line line = { .peer = BOB,
                                        .text = text,
                                        .mine = i % 2,
                                        .state = BK_CLIENT_SENT,
                                        .at_ms = 1700000000000 + i * INT64_C(30000) };
        bk_history_add_async(file, &line, NULL, NULL);
    }
    bk_history_set_read(file, BOB, n);
    g_object_unref(file);
    assert_true(bk_history_wait(20000));
}

static void older_lines_come_in_front(void **state)
{
    (void)state;
    fill(1000);
    begin_signed_in();
    assert_int_equal(n_lines(bob()), 50);
    assert_true(bk_talk_has_older(bob()));
    bk_talk_load_older(bob());
    bk_talk_load_older(bob()); /* one is under way already */
    settle();
    assert_int_equal(n_lines(bob()), 100);
    assert_int_equal(bk_talk_find_row(bob(), 200), G_MAXUINT);
    bk_talk_load_to(bob(), 200);
    settle();
    unsigned at = bk_talk_find_row(bob(), 200);
    assert_true(at != G_MAXUINT && at >= 20);
    assert_int_equal(bk_line_row(line_at(bob(), at)), 200);
    for (unsigned i = 0; i + 1 < n_lines(bob()); i++)
        assert_int_equal(atoi(bk_line_text(line_at(bob(), i))) + 1,
                         atoi(bk_line_text(line_at(bob(), i + 1))));
    while (bk_talk_has_older(bob())) {
        bk_talk_load_older(bob());
        settle();
    }
    assert_int_equal(n_lines(bob()), 1000);
    assert_int_equal(bk_talks_unread(talks), 0);
}

static void lines_know_where_a_day_and_a_group_begin(void **state)
{
    (void)state;
    begin_signed_in();
    BkHistory *file = history;
    static const struct {
        bool mine;
        int64_t at_ms;
        const char *marks; /* day, group begins, group ends */
    } rows[] = {
        { false, 1700000000000, "dg-" }, { false, 1700000001000, "--e" },
        { true, 1700000002000, "-ge" },  { true, 1700000200000, "-ge" },
        { true, 1700300000000, "dg-" },  { true, 1700300001000, "--e" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct bk_history_line line = {
            .peer = CAROL, .text = "x", .mine = rows[i].mine, .at_ms = rows[i].at_ms, .state = 1
        };
        bk_history_add_async(file, &line, NULL, NULL);
    }
    BkTalk *talk = bk_talks_with(talks, CAROL);
    settle();
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        BkLine *line = line_at(talk, i);
        char marks[] = { bk_line_opens_day(line) ? 'd' : '-', bk_line_opens_group(line) ? 'g' : '-',
                         bk_line_closes_group(line) ? 'e' : '-', 0 };
        assert_string_equal(marks, rows[i].marks);
    }
}

static void a_forgotten_conversation_stays_forgotten(void **state)
{
    (void)state;
    begin_signed_in();
    say_message(BOB, "in", "k1", false);
    assert_int_equal(bk_talk_send(bob(), "written"), 0);
    settle();
    assert_int_equal(bk_talk_send(bob(), "being written"), 0);
    bk_talk_set_draft(bob(), "typed");
    bk_talk_forget(bob());
    assert_int_equal(n_lines(bob()), 0);
    assert_int_equal(bk_talks_unread(talks), 0);
    say_message_state(1, BK_CLIENT_SENT, NULL, NULL);
    settle();
    assert_int_equal(rows_saying("in") + rows_saying("written") + rows_saying("being written"), 0);
    assert_int_equal(bk_talk_send(bob(), "new"), 0);
    settle();
    end();
    begin_signed_in();
    assert_int_equal(n_lines(bob()), 1);
    assert_string_equal(bk_talk_draft(bob()), "typed");
}

int main(void)
{
    setenv("TZ", "UTC", 1);
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make, unmake)
        T(a_message_is_taken_as_shown_once_it_is_on_disk),
        T(a_message_that_comes_again_after_a_crash_is_not_doubled),
        T(without_a_history_messages_are_shown_at_once),
        T(switched_off_nothing_said_is_written),
        T(on_a_full_disk_a_message_is_shown_and_not_taken_as_such_until_it_was_read),
        T(who_has_no_address_to_be_watched_is_heard_too),
        T(what_nobody_looked_at_is_unread_and_told),
        T(who_looks_before_it_is_loaded_has_read_it),
        T(the_newest_conversation_is_first),
        T(a_line_is_there_at_once_and_tells_its_end),
        T(what_cannot_be_sent_is_no_line),
        T(a_failed_line_goes_again_at_the_end),
        T(what_was_on_its_way_at_a_crash_finds_its_line),
        T(whose_end_nobody_knows_can_be_sent_again),
        T(drafts_survive_and_tell_that_one_types),
        T(that_the_other_types_ends_with_their_message_or_the_connection),
        T(a_draft_is_on_disk_a_second_after_the_key),
        T(after_its_end_a_session_hears_nothing_and_still_writes_what_it_heard),
        T(older_lines_come_in_front),
        T(lines_know_where_a_day_and_a_group_begin),
        T(a_forgotten_conversation_stays_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
