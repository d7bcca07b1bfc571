/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every allocation of our own fails once while the profile and the outbox are written, and while a message goes through the
 * queue: what was said to be kept is kept, what was taken has an end, and nothing is lost or doubled.
 */
#include "unit/client/client_test.h"

#include "client/client_private.h"
#include "fakes/folder.h"
#include "tests/unit/base/failing_alloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static char root[FOLDER_SIZE];
static struct bk_random_seeded seeded;
static struct bk_random source;

static int make(void **state)
{
    (void)state;
    folder_make(root, "oom");
    source = bk_random_from_seed(&seeded, 7);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    return folder_remove(root);
}

static void number_key(uint8_t key[BK_PROFILE_KEY_SIZE], unsigned n)
{
    memset(key, 0, BK_PROFILE_KEY_SIZE);
    memcpy(key, &n, sizeof n);
}

/* Worked, or said that there was no memory. */
static bool worked(int r)
{
    if (r != 0)
        assert_int_equal(r, -ENOMEM);
    return r == 0;
}

static void the_profile_is_written_whole_or_stays_as_it_was(void **state)
{
    (void)state;
    struct bk_profile p;
    char user[32], before[32] = "", last_identity[32] = "";
    unsigned n = 1, shown[200], n_shown = 0;
    for (bool failed = true; failed; n++) {
        uint8_t key[BK_PROFILE_KEY_SIZE];
        bool state_saved = false, identity_saved = false;
        number_key(key, n);
        (void)snprintf(user, sizeof user, "user %u", n);
        bk_fail_alloc(n);
        int r = bk_profile_open(&p, root, ANN, &source, NULL);
        if (worked(r)) {
            assert_int_equal(p.damage, 0); /* no memory is no damage */
            assert_string_equal(p.user, before);
            memcpy(p.user, user, sizeof user);
            state_saved = worked(bk_profile_save_state(&p));
            bk_buf_clear(&p.identity);
            bk_buf_add_str(&p.identity, user);
            if (!p.identity.failed)
                identity_saved = worked(bk_profile_save_identity(&p, &source));
            (void)worked(bk_profile_save_last_address(&p));
            if (worked(bk_profile_note_shown(&p, key)))
                shown[n_shown++] = n;
            bk_profile_close(&p);
        }
        failed = bk_fail_alloc(0);
        assert_int_equal(bk_profile_open(&p, root, ANN, &source, NULL), 0);
        assert_int_equal(p.damage, 0);
        /* A failure may come after the file was replaced: then it is the new one, and whole. */
        if (state_saved || strcmp(p.user, before) != 0)
            assert_string_equal(p.user, user);
        memcpy(before, p.user, sizeof before);
        if (identity_saved ||
            !bk_view_equal(bk_buf_view(&p.identity), bk_view_of_str(last_identity)))
            assert_true(bk_view_equal(bk_buf_view(&p.identity), bk_view_of_str(user)));
        (void)snprintf(last_identity, sizeof last_identity, "%.*s",
                       BK_VIEW_ARGS(bk_buf_view(&p.identity)));
        for (unsigned i = 0; i < n_shown; i++) {
            number_key(key, shown[i]);
            assert_true(bk_profile_was_shown(&p, key));
        }
        bk_profile_close(&p);
        assert_true(n < 190);
    }
    assert_true(n > 20); /* the failing ones were really ours */
}

static char rows[64 * 1024];

static void write_row(void *ctx, const struct bk_outbox_row *row)
{
    (void)ctx;
    size_t len = strlen(rows);
    (void)snprintf(rows + len, sizeof rows - len, "%s %lld|", row->text, (long long)row->sent_ms);
}

static void the_outbox_keeps_exactly_what_it_said_it_keeps(void **state)
{
    (void)state;
    char expected[sizeof rows] = "";
    unsigned n = 1;
    for (bool failed = true; failed; n++) {
        struct bk_profile p;
        char text[32];
        struct bk_outbox_row kept = { .to = "bob@" DOMAIN, .text = text };
        (void)snprintf(text, sizeof text, "text %u", n);
        (void)snprintf(kept.call_id, sizeof kept.call_id, "%032x", n);
        (void)snprintf(kept.tag, sizeof kept.tag, "%016x", n);
        struct bk_outbox_row gone = kept;
        gone.call_id[0] = 'f';
        assert_int_equal(bk_profile_open(&p, root, ANN, &source, NULL), 0);
        bk_fail_alloc(n);
        bool loaded = worked(bk_outbox_load(&p, write_row, NULL));
        assert_int_equal(p.damage, 0);
        bool added = worked(bk_outbox_add(&p, &kept));
        bool sent = added && worked(bk_outbox_sent(&p, kept.call_id, n, NULL));
        bool other = worked(bk_outbox_add(&p, &gone));
        bool removed = !other || worked(bk_outbox_remove(&p, gone.call_id, 1));
        failed = bk_fail_alloc(0);
        if (!failed)
            assert_true(loaded && added && sent && other && removed);
        if (!removed) /* said so, and can be had again */
            assert_int_equal(bk_outbox_remove(&p, gone.call_id, 1), 0);
        if (added) {
            size_t len = strlen(expected);
            (void)snprintf(expected + len, sizeof expected - len, "%s %u|", text, sent ? n : 0);
        }
        rows[0] = 0;
        assert_int_equal(bk_outbox_load(&p, write_row, NULL), 0);
        assert_int_equal(p.damage, 0);
        assert_string_equal(rows, expected);
        bk_profile_close(&p);
        rows[0] = 0;
        assert_true(n < 1000);
    }
    assert_true(n > 20);
}

/* The engine without its thread: the queue alone, while there is no connection. */
static void begin_engine(struct bk_client *c)
{
    *c = (struct bk_client){ .clock = &bk_clock_system,
                             .random = &source,
                             .state = BK_CLIENT_RECONNECTING,
                             .timing.message_life_ms = 480000 };
    bk_list_init(&c->events);
    bk_list_init(&c->messages);
    bk_list_init(&c->shows);
    bk_list_init(&c->sessions);
    bk_list_init(&c->conversations);
    assert_int_equal(pthread_mutex_init(&c->lock, NULL), 0);
    c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(c->event_fd >= 0);
    assert_int_equal(bk_loop_create(NULL, &c->loop), 0);
    assert_int_equal(bk_profile_open(&c->profile, root, ANN, &source, NULL), 0);
    c->profile_open = true;
}

static void end_engine(struct bk_client *c)
{
    bk_message_end(c);
    BK_LIST_EACH(&c->events, it)
    bk_event_free(bk_container_of(it, struct bk_event, in));
    bk_profile_close(&c->profile);
    (void)bk_loop_destroy(c->loop);
    (void)close(c->event_fd);
    (void)pthread_mutex_destroy(&c->lock);
}

/* How many of the messages have been told to have failed; what was told is given back. */
static unsigned take_ends(struct bk_client *c)
{
    unsigned n = 0;
    BK_LIST_EACH(&c->events, it)
    {
        struct bk_event *event = bk_container_of(it, struct bk_event, in);
        n += event->pub.message_state.state == BK_CLIENT_FAILED;
        assert_string_equal(event->pub.message_state.to, "bob@" DOMAIN);
        bk_list_remove(&event->in);
        bk_event_free(event);
    }
    return n;
}

static void a_message_that_was_taken_has_an_end_whatever_fails(void **state)
{
    (void)state;
    unsigned n = 1, taken = 0;
    for (bool failed = true; failed; n++) {
        struct bk_client c;
        char text[32];
        (void)snprintf(text, sizeof text, "text %u", n);
        begin_engine(&c);
        bk_fail_alloc(n);
        struct bk_outgoing *m = bk_message_new(&c, n, "bob@" DOMAIN, text);
        if (m) {
            taken++;
            bk_message_submit(&c, m);
            assert_int_equal(c.n_messages, 1);
            bk_message_fail_all(&c); /* as signing out does */
            assert_int_equal(take_ends(&c), 1);
            assert_int_equal(c.n_messages, 0);
        }
        failed = bk_fail_alloc(0);
        assert_false(folder_holds(root, text)); /* its end is known */
        end_engine(&c);
        assert_true(n < 1000);
    }
    assert_true(taken > 5 && n > taken);
}

static void what_is_kept_is_there_at_the_start_after_one_without_memory(void **state)
{
    (void)state;
    struct bk_client c;
    begin_engine(&c);
    for (unsigned i = 1; i <= 3; i++) {
        struct bk_outgoing *m = bk_message_new(&c, i, "bob@" DOMAIN, "kept");
        assert_non_null(m);
        bk_message_submit(&c, m);
    }
    end_engine(&c); /* nobody signed out */
    unsigned n = 1, some = 0;
    for (bool failed = true; failed; n++) {
        begin_engine(&c);
        bk_fail_alloc(n);
        bk_message_load(&c);
        failed = bk_fail_alloc(0);
        /* Those that there was memory for come to an end; the others wait for the next start. */
        size_t here = c.n_messages;
        some += here > 0 && here < 3;
        assert_true(failed || here == 3);
        while (!bk_list_empty(&c.events))
            assert_int_equal(take_ends(&c), 0);
        end_engine(&c);
        begin_engine(&c);
        bk_message_load(&c);
        assert_int_equal(c.profile.damage, 0);
        assert_int_equal(c.n_messages, 3);
        end_engine(&c);
        assert_true(n < 1000);
    }
    assert_true(some > 0);
    /* One of three could not be loaded, the others ended: the file must not go with them. */
    bool seen = false;
    for (unsigned k = 1; !seen; k++) {
        begin_engine(&c);
        bk_fail_alloc(k);
        bk_message_load(&c);
        (void)bk_fail_alloc(0);
        seen = c.n_messages == 2;
        if (seen)
            bk_message_fail_all(&c);
        end_engine(&c);
        assert_true(k < 1000);
    }
    begin_engine(&c);
    bk_message_load(&c);
    assert_int_equal(c.n_messages, 1);
    end_engine(&c);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make, unmake)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        IN_FOLDER(the_profile_is_written_whole_or_stays_as_it_was),
        IN_FOLDER(the_outbox_keeps_exactly_what_it_said_it_keeps),
        IN_FOLDER(a_message_that_was_taken_has_an_end_whatever_fails),
        IN_FOLDER(what_is_kept_is_there_at_the_start_after_one_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
