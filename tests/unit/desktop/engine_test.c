/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/desktop/model_test.h"

#include <errno.h>

static struct bk_fake *fake;
static BkEngine *engine;

static int setup(void **state)
{
    (void)state;
    fake = make_fake("{}");
    engine = bk_engine_new(&bk_fake_engine_ops, fake);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_engine(engine);
    return 0;
}

/* ---- events ---- */

static GString *seen;

static void see(BkEngine *from, const struct bk_client_event *event, gpointer data)
{
    (void)from;
    g_string_append_printf(seen, "%s%s ", (const char *)data, bk_client_event_name(event->type));
}

static void events_are_told_in_order_to_those_who_asked_for_their_kind(void **state)
{
    (void)state;
    seen = g_string_new("");
    g_signal_connect(engine, "event", G_CALLBACK(see), "all:");
    g_signal_connect(engine, "event::message", G_CALLBACK(see), "one:");
    tell(fake, "[{'type':'notice','text':'x'},{'type':'message','from':'" BOB "','text':'hi'},"
               "{'type':'presence','address':'" BOB "','shown':'busy'}]");
    assert_string_equal(seen->str, "all:notice all:message one:message all:presence ");
    (void)g_string_free(seen, TRUE);
}

static void a_handler_sees_the_state_the_event_brought(void **state)
{
    (void)state;
    seen = g_string_new("");
    tell(fake, "{'type':'state','state':'resolving','address':'" ANN "'}");
    assert_int_equal(bk_engine_state(engine), BK_CLIENT_RESOLVING);
    assert_string_equal(bk_engine_address(engine), ANN);
    tell(fake, "{'type':'state','state':'signed-out','address':'" ANN "'}");
    assert_int_equal(bk_engine_state(engine), BK_CLIENT_SIGNED_OUT);
    assert_string_equal(bk_engine_address(engine), "");
    (void)g_string_free(seen, TRUE);
}

static const struct bk_client_event *kept;
static int keepers;

static void keep(BkEngine *from, const struct bk_client_event *event, gpointer data)
{
    (void)data;
    kept = event;
    keepers++;
    bk_engine_keep(from, event);
}

static void an_event_nobody_keeps_is_given_back_at_once(void **state)
{
    (void)state;
    tell(fake, "{'type':'message','from':'" BOB "','text':'hi'}");
    assert_string_equal(bk_fake_heard(fake), "done message\n");
    assert_int_equal(bk_fake_n_out(fake), 0);
}

static void an_event_that_two_keep_is_given_back_by_the_second(void **state)
{
    (void)state;
    keepers = 0;
    g_signal_connect(engine, "event::message", G_CALLBACK(keep), NULL);
    g_signal_connect(engine, "event::message", G_CALLBACK(keep), NULL);
    tell(fake, "{'type':'message','from':'" BOB "','text':'hi'}");
    assert_int_equal(keepers, 2);
    assert_string_equal(bk_fake_heard(fake), "");
    assert_string_equal(kept->message.text, "hi");
    bk_engine_done(engine, kept);
    assert_string_equal(bk_fake_heard(fake), "");
    bk_engine_done(engine, kept);
    assert_string_equal(bk_fake_heard(fake), "done message\n");
}

static void a_thousand_events_are_all_told(void **state)
{
    (void)state;
    keepers = 0;
    seen = g_string_new("");
    g_signal_connect(engine, "event::presence", G_CALLBACK(see), "");
    tell(fake,
         "{'type':'crowd','n':1000,'first':['A'],'last':['B'],'groups':['~'],'shown':['busy']}");
    assert_int_equal(seen->len, 1000 * strlen("presence "));
    assert_int_equal(bk_fake_n_out(fake), 0);
    (void)g_string_free(seen, TRUE);
}

/* ---- sessions, failures ---- */

static void a_session_outlives_a_lost_connection_but_not_a_question(void **state)
{
    (void)state;
    assert_false(bk_engine_has_session(engine));
    tell(fake, "{'type':'state','state':'registering','address':'" ANN "'}");
    assert_false(bk_engine_has_session(engine));
    tell(fake, SIGNED_IN);
    assert_true(bk_engine_has_session(engine));
    tell(fake, "[{'type':'state','state':'reconnecting','retry-in':7},{'type':'state','state':'"
               "contacting'}]");
    assert_true(bk_engine_has_session(engine));
    assert_int_equal(bk_engine_retry_in(engine), 0);
    tell(fake, "{'type':'state','state':'asking-credential'}");
    assert_false(bk_engine_has_session(engine));
}

static void count(GObject *object, GParamSpec *spec, gpointer data)
{
    (void)object;
    (void)spec;
    ++*(int *)data;
}

static void the_seconds_until_the_next_try_count_down(void **state)
{
    (void)state;
    int told = 0;
    g_signal_connect(engine, "notify::retry-in", G_CALLBACK(count), &told);
    tell(fake, "{'type':'state','state':'reconnecting','address':'" ANN "','retry-in':2}");
    assert_int_equal(bk_engine_retry_in(engine), 2);
    assert_int_equal(told, 1);
    AWAIT(told == 2);
    assert_in_range(bk_engine_retry_in(engine), 0, 1);
    tell(fake, SIGNED_IN);
    assert_int_equal(bk_engine_retry_in(engine), 0);
    int after = told;
    tell(fake, SIGNED_IN);
    assert_int_equal(told, after);
}

static const char refused[] = "{'type':'failure','record':'SI-202','case':'K7QF-3M2P'}";

static void a_failure_stays_until_it_is_overcome(void **state)
{
    (void)state;
    assert_null(bk_engine_failure(engine));
    tell(fake, refused);
    tell(fake, "{'type':'state','state':'signed-out','address':'" ANN "'}");
    assert_non_null(bk_engine_failure(engine));
    assert_string_equal(bk_engine_failure(engine)->id, "SI-202");
    tell(fake, "{'type':'failure','record':'SI-301','values':{'domain':'x.org'}}");
    assert_string_equal(bk_engine_failure(engine)->id, "SI-301");
    tell(fake, SIGNED_IN);
    assert_null(bk_engine_failure(engine));
    assert_int_equal(bk_fake_n_out(fake), 0);
}

static void the_next_sign_in_and_signing_out_forget_a_failure(void **state)
{
    (void)state;
    tell(fake, refused);
    assert_int_equal(bk_engine_sign_in(engine, ANN, "x", NULL), 0);
    assert_null(bk_engine_failure(engine));
    settle();
    tell(fake, refused);
    assert_int_equal(bk_engine_sign_out(engine), 0);
    settle();
    assert_int_equal(bk_engine_state(engine), BK_CLIENT_SIGNED_OUT);
    assert_null(bk_engine_failure(engine));
}

/* ---- edits ---- */

struct outcome {
    int n;
    bool done;
    GError *error;
    int rows;
};

static void on_edited(GObject *object, GAsyncResult *result, gpointer data)
{
    struct outcome *o = data;
    const struct bk_client_event *found = bk_engine_edit_found(result);
    o->n++;
    o->rows = found ? found->found.n_rows : -1;
    o->done = bk_engine_edit_finish(BK_ENGINE(object), result, &o->error);
}

static const struct bk_client_edit add = { .kind = BK_CLIENT_EDIT_ADD_CONTACT, .address = BOB };
static const struct bk_client_edit search = { .kind = BK_CLIENT_EDIT_SEARCH, .text = "bob" };

static void an_edit_comes_back_to_who_made_it(void **state)
{
    (void)state;
    struct outcome first = { 0 }, second = { 0 };
    bk_engine_edit_async(engine, &add, NULL, on_edited, &first);
    bk_engine_edit_async(engine, &search, NULL, on_edited, &second);
    assert_int_equal(first.n + second.n, 0);
    settle();
    assert_int_equal(first.n, 1);
    assert_true(first.done);
    assert_int_equal(first.rows, -1);
    assert_int_equal(second.n, 1);
    assert_true(second.done);
    assert_int_equal(second.rows, 1);
    assert_int_equal(bk_fake_n_out(fake), 0);
}

static void an_edit_that_fails_says_the_sentence_and_the_code(void **state)
{
    (void)state;
    struct outcome o = { 0 };
    close_engine(engine);
    fake = make_fake("{\"answers\":{\"edit\":[{\"type\":\"edited\",\"text\":\"No "
                     "room.\",\"case\":\"K7QF-3M2P\"}]}}");
    engine = bk_engine_new(&bk_fake_engine_ops, fake);
    bk_engine_edit_async(engine, &add, NULL, on_edited, &o);
    settle();
    assert_false(o.done);
    assert_true(g_error_matches(o.error, BK_EDIT_ERROR, 0));
    assert_string_equal(o.error->message, "No room. (K7QF-3M2P)");
    g_clear_error(&o.error);
}

static void an_edit_that_cannot_be_asked_fails_too(void **state)
{
    (void)state;
    struct outcome o = { 0 };
    struct bk_client_edit wrong = { .kind = BK_CLIENT_EDIT_ADD_CONTACT, .address = "nobody" };
    bk_engine_edit_async(engine, &wrong, NULL, on_edited, &o);
    settle();
    assert_int_equal(o.n, 1);
    assert_true(g_error_matches(o.error, BK_EDIT_ERROR, 0));
    g_clear_error(&o.error);
}

static void a_cancelled_edit_ends_at_once_and_its_outcome_is_ignored(void **state)
{
    (void)state;
    struct outcome o = { 0 };
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    bk_engine_edit_async(engine, &search, cancellable, on_edited, &o);
    g_cancellable_cancel(cancellable);
    settle();
    assert_int_equal(o.n, 1);
    assert_true(g_error_matches(o.error, G_IO_ERROR, G_IO_ERROR_CANCELLED));
    g_clear_error(&o.error);
    assert_int_equal(bk_fake_n_out(fake), 0);
    bk_engine_edit_async(engine, &search, cancellable, on_edited, &o); /* cancelled before */
    settle();
    assert_int_equal(o.n, 2);
    assert_true(g_error_matches(o.error, G_IO_ERROR, G_IO_ERROR_CANCELLED));
    g_clear_error(&o.error);
}

/* ---- the end ---- */

static void closing_fails_the_edits_under_way(void **state)
{
    (void)state;
    struct outcome o = { 0 };
    bool closed = false;
    bk_engine_edit_async(engine, &add, NULL, on_edited, &o);
    bk_engine_close_async(engine, on_engine_closed, &closed);
    AWAIT(closed);
    assert_int_equal(o.n, 1);
    assert_true(g_error_matches(o.error, BK_EDIT_ERROR, 0));
    g_clear_error(&o.error);
}

static void closing_waits_for_events_that_somebody_keeps(void **state)
{
    (void)state;
    bool closed = false, again = false;
    g_signal_connect(engine, "event::message", G_CALLBACK(keep), NULL);
    tell(fake, "{'type':'message','from':'" BOB "','text':'hi'}");
    bk_engine_close_async(engine, on_engine_closed, &closed);
    bk_engine_close_async(engine, on_engine_closed, &again);
    settle();
    assert_false(closed);
    assert_int_equal(bk_fake_n_out(fake), 1); /* still there */
    bk_engine_done(engine, kept);
    AWAIT(closed && again);
}

static void after_the_end_every_command_is_refused(void **state)
{
    (void)state;
    uint64_t id;
    bool closed = false;
    struct outcome o = { 0 };
    bk_engine_close_async(engine, on_engine_closed, &closed);
    AWAIT(closed);
    assert_int_equal(bk_engine_sign_in(engine, ANN, "x", NULL), -ESHUTDOWN);
    assert_int_equal(bk_engine_sign_out(engine), -ESHUTDOWN);
    assert_int_equal(bk_engine_watch(engine, BOB), -ESHUTDOWN);
    assert_int_equal(bk_engine_send_message(engine, BOB, "x", &id), -ESHUTDOWN);
    bk_engine_edit_async(engine, &add, NULL, on_edited, &o);
    settle();
    assert_true(g_error_matches(o.error, BK_EDIT_ERROR, 0));
    g_clear_error(&o.error);
    closed = false;
    bk_engine_close_async(engine, on_engine_closed, &closed);
    AWAIT(closed);
}

static void close_myself(BkEngine *from, const struct bk_client_event *event, gpointer data)
{
    (void)event;
    bk_engine_close_async(from, on_engine_closed, data);
}

static void a_handler_may_close_the_engine(void **state)
{
    (void)state;
    bool closed = false;
    g_signal_connect(engine, "event::notice", G_CALLBACK(close_myself), &closed);
    tell(fake, "[{'type':'notice','text':'x'},{'type':'notice','text':'y'}]");
    AWAIT(closed);
}

/* ---- the fake itself ---- */

static void a_script_that_is_wrong_says_where(void **state)
{
    (void)state;
    static const struct {
        const char *script, *says;
    } wrong[] = {
        { "{", "line 1" },
        { "[]", "one object" },
        { "{\"events\":[{\"type\":\"notice\"},{\"type\":\"x\"}]}",
          "events, event 2: no such type" },
        { "{\"events\":[{\"type\":\"state\",\"state\":\"x\"}]}", "no such state" },
        { "{\"events\":[{\"type\":\"failure\",\"record\":\"SI-999\"}]}", "no such record" },
        { "{\"answers\":{\"edit\":[{\"then\":[{\"type\":\"y\"}]}]}}", "edit, event 1" },
        { "{\"answers\":{\"edit\":3}}", "edit: an array" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        struct bk_fake *made = NULL;
        g_autofree char *why = NULL;
        assert_int_equal(bk_fake_new(wrong[i].script, strlen(wrong[i].script), &made, &why),
                         -EINVAL);
        if (!strstr(why, wrong[i].says))
            fail_msg("%s: %s", wrong[i].script, why);
    }
}

static void every_script_of_the_tree_can_be_played(void **state)
{
    (void)state;
    const char *folder = g_getenv("BECKON_FAKE_SCRIPTS"), *name;
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    int n = 0;
    assert_non_null(dir);
    while ((name = g_dir_read_name(dir)) != NULL) {
        if (!g_str_has_suffix(name, ".json"))
            continue; /* what an organisation fixed, for a picture */
        g_autofree char *path = g_build_filename(folder, name, NULL);
        struct bk_fake *made = NULL;
        g_autofree char *why = NULL;
        if (bk_fake_open(path, &made, &why) < 0)
            fail_msg("%s: %s", name, why);
        bk_fake_hurry(made);
        BkEngine *player = bk_engine_new(&bk_fake_engine_ops, made);
        settle();
        /* A session from the start, or one sentence, question or wait after Sign In. */
        bool session = bk_engine_has_session(player) || bk_engine_failure(player);
        if (!session)
            assert_int_equal(bk_engine_sign_in(player, ANN, "secret", NULL), 0);
        settle();
        enum bk_client_state now = bk_engine_state(player);
        if (!session && !bk_engine_failure(player) && now != BK_CLIENT_ASKING_TRUST &&
            now != BK_CLIENT_CONTACTING)
            fail_msg("%s ends in state %s", name, bk_client_state_name(now));
        if (!session && bk_engine_failure(player))
            assert_null(strchr(bk_engine_failure(player)->user_text, '?'));
        close_engine(player);
        n++;
    }
    assert_true(n > 20);
}

static void answers_follow_the_rule_that_fits(void **state)
{
    (void)state;
    close_engine(engine);
    fake = make_fake(
        "{\"answers\":{\"sign-in\":["
        "{\"if\":{\"password\":\"right\"},\"then\":[{\"type\":\"state\",\"state\":\"signed-in\"}]},"
        "{\"times\":1,\"then\":[{\"type\":\"failure\",\"record\":\"SI-202\"}]},"
        "{\"then\":[{\"type\":\"failure\",\"record\":\"SI-207\",\"values\":{\"minutes\":\"5\"}}]}]}"
        "}");
    engine = bk_engine_new(&bk_fake_engine_ops, fake);
    assert_int_equal(bk_engine_sign_in(engine, ANN, "wrong", NULL), 0);
    settle();
    assert_string_equal(bk_engine_failure(engine)->id, "SI-202");
    assert_int_equal(bk_engine_sign_in(engine, ANN, "wrong", NULL), 0);
    settle();
    assert_string_equal(bk_engine_failure(engine)->id, "SI-207");
    assert_non_null(strstr(bk_engine_failure(engine)->user_text, "5 minutes"));
    assert_int_equal(bk_engine_sign_in(engine, ANN, "right", NULL), 0);
    settle();
    assert_true(bk_engine_has_session(engine));
    assert_string_equal(bk_engine_address(engine), ANN);
}

int main(void)
{
    g_setenv("LC_ALL", "C", TRUE);
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(events_are_told_in_order_to_those_who_asked_for_their_kind),
        T(a_handler_sees_the_state_the_event_brought),
        T(an_event_nobody_keeps_is_given_back_at_once),
        T(an_event_that_two_keep_is_given_back_by_the_second),
        T(a_thousand_events_are_all_told),
        T(a_session_outlives_a_lost_connection_but_not_a_question),
        T(the_seconds_until_the_next_try_count_down),
        T(a_failure_stays_until_it_is_overcome),
        T(the_next_sign_in_and_signing_out_forget_a_failure),
        T(an_edit_comes_back_to_who_made_it),
        T(an_edit_that_fails_says_the_sentence_and_the_code),
        T(an_edit_that_cannot_be_asked_fails_too),
        T(a_cancelled_edit_ends_at_once_and_its_outcome_is_ignored),
        T(closing_fails_the_edits_under_way),
        T(closing_waits_for_events_that_somebody_keeps),
        T(after_the_end_every_command_is_refused),
        T(a_handler_may_close_the_engine),
        T(a_script_that_is_wrong_says_where),
        T(every_script_of_the_tree_can_be_played),
        T(answers_follow_the_rule_that_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
