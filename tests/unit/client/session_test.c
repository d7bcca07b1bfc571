/* SPDX-License-Identifier: Apache-2.0 */
/* Signed in: messages once, presence right, losses mended, ends told. */
#include "unit/client/client_test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define BOB "bob@" DOMAIN

static struct place p;

static int make(void **state)
{
    (void)state;
    place_make(&p, NULL);
    return 0;
}

static int make_signed_in(void **state)
{
    (void)make(state);
    place_client(&p);
    signed_in(&p);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    place_free(&p);
    return 0;
}

/* The value of a field in a message, cut at the line's end; "" where it is missing. */
static const char *field_of(const char *message, const char *name)
{
    static char values[4][300];
    static int next;
    char *value = values[next++ % 4];
    char key[64];
    (void)snprintf(key, sizeof key, "\r\n%s: ", name);
    const char *at = message ? strstr(message, key) : NULL;
    value[0] = 0;
    if (at)
        (void)snprintf(value, 300, "%.*s", (int)strcspn(at + strlen(key), "\r"), at + strlen(key));
    return value;
}

/* ---- messages out ---- */

static enum bk_client_message_state send_and_await(const char *text, char record[12])
{
    uint64_t id;
    assert_int_equal(bk_client_send_message(p.client, BOB, text, &id), 0);
    for (;;) {
        const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_MESSAGE_STATE);
        enum bk_client_message_state state = e->message_state.state;
        assert_int_equal(e->message_state.id, id);
        assert_string_equal(e->message_state.to, BOB);
        if (state == BK_CLIENT_FAILED)
            (void)snprintf(record, 12, "%s", e->message_state.failure->id);
        done(&p, e);
        if (state != BK_CLIENT_SENDING)
            return state;
    }
}

static void what_became_of_a_message_is_told(void **state)
{
    (void)state;
    char record[12] = "";
    assert_int_equal(send_and_await("a", record), BK_CLIENT_SENT);
    uc_server_answer(p.server, "MESSAGE", "202 Accepted", "", 1);
    assert_int_equal(send_and_await("b", record), BK_CLIENT_STORED);
    uc_server_answer(p.server, "MESSAGE", "480 Temporarily Unavailable",
                     "ms-diagnostics: 95502;reason=\"full\";source=\"s\";record=\"SI-502\"\r\n", 1);
    assert_int_equal(send_and_await("c", record), BK_CLIENT_FAILED);
    assert_string_equal(record, "SI-502");
    uc_server_answer(p.server, "MESSAGE", "413 Too Large", "", 1);
    assert_int_equal(send_and_await("d", record), BK_CLIENT_FAILED);
    assert_string_equal(record, "SI-503");
    uc_server_answer(p.server, "MESSAGE", "404 Not Found", "", 1);
    assert_int_equal(send_and_await("e", record), BK_CLIENT_FAILED);
    assert_string_equal(record, "SI-501");
}

static void bad_messages_are_refused_at_the_door(void **state)
{
    (void)state;
    uint64_t id = 77;
    char *long_text = malloc(20002);
    memset(long_text, 'x', 20001);
    long_text[20001] = 0;
    assert_int_equal(bk_client_send_message(p.client, BOB, long_text, &id), -EMSGSIZE);
    assert_int_equal(bk_client_send_message(p.client, BOB, "", &id), -EINVAL);
    assert_int_equal(bk_client_send_message(p.client, BOB, "\xff", &id), -EINVAL);
    assert_int_equal(bk_client_send_message(p.client, "bob", "x", &id), -EINVAL);
    assert_int_equal(id, 77);
    free(long_text);
}

static void an_unanswered_message_goes_out_again_under_the_same_key(void **state)
{
    (void)state;
    uint64_t id;
    uc_server_answer(p.server, "MESSAGE", "", "", 1); /* swallowed */
    assert_int_equal(bk_client_send_message(p.client, BOB, "once", &id), 0);
    AWAIT(uc_server_count(p.server, "MESSAGE") == 1);
    uc_server_drop(p.server);
    for (bool sent = false; !sent;) {
        const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_MESSAGE_STATE);
        sent = e->message_state.state == BK_CLIENT_SENT;
        done(&p, e);
    }
    char *first = uc_server_seen(p.server, "MESSAGE", 1);
    char *second = uc_server_seen(p.server, "MESSAGE", 0);
    static const char *const key[] = { "From", "To", "Call-ID", "CSeq" };
    for (size_t i = 0; i < sizeof key / sizeof *key; i++)
        assert_string_equal(field_of(first, key[i]), field_of(second, key[i]));
    assert_string_not_equal(field_of(first, "Via"), field_of(second, "Via"));
    assert_non_null(strstr(second, "once"));
    free(first);
    free(second);
}

static void a_busy_moment_does_not_fail_a_message(void **state)
{
    (void)state;
    char record[12];
    uc_server_answer(p.server, "MESSAGE", "503 Service Unavailable", "Retry-After: 1\r\n", 1);
    assert_int_equal(send_and_await("x", record), BK_CLIENT_SENT);
    assert_int_equal(uc_server_count(p.server, "MESSAGE"), 2);
}

/* The end of the next message that an earlier run left. */
static void expect_kept(const char *text, enum bk_client_message_state state)
{
    for (;;) {
        const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_MESSAGE_STATE);
        enum bk_client_message_state got = e->message_state.state;
        assert_true(e->message_state.kept);
        assert_string_equal(e->message_state.to, BOB);
        if (got != BK_CLIENT_SENDING) {
            assert_string_equal(e->message_state.text, text);
            assert_int_equal(got, state);
            assert_int_equal(e->message_state.failure != NULL, got == BK_CLIENT_FAILED);
        }
        done(&p, e);
        if (got != BK_CLIENT_SENDING)
            return;
    }
}

static void a_message_under_way_at_a_crash_is_sent_again_under_the_same_key(void **state)
{
    (void)state;
    uint64_t id;
    uc_server_answer(p.server, "MESSAGE", "", "", 1); /* swallowed */
    assert_int_equal(bk_client_send_message(p.client, BOB, "precious words", &id), 0);
    AWAIT(uc_server_count(p.server, "MESSAGE") == 1);
    assert_true(folder_holds(p.profile, "precious words"));
    place_client(&p); /* nobody signed out */
    assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
    expect_kept("precious words", BK_CLIENT_SENT);
    char *first = uc_server_seen(p.server, "MESSAGE", 1);
    char *second = uc_server_seen(p.server, "MESSAGE", 0);
    static const char *const key[] = { "From", "To", "Call-ID", "CSeq" };
    for (size_t i = 0; i < sizeof key / sizeof *key; i++)
        assert_string_equal(field_of(first, key[i]), field_of(second, key[i]));
    assert_non_null(strstr(second, "precious words"));
    free(first);
    free(second);
    assert_false(folder_holds(p.profile, "precious words")); /* its end is known */
    place_client(&p);
    signed_in(&p);
    assert_int_equal(send_and_await("another", (char[12]){ 0 }), BK_CLIENT_SENT);
    assert_int_equal(uc_server_count(p.server, "MESSAGE"), 3);
}

static void what_was_written_without_a_connection_outlives_the_program_in_order(void **state)
{
    (void)state;
    static const char *const texts[] = { "one", "two \xc3\xa4\n\"x\"", "three" };
    uint64_t id;
    p.timing.message_life_ms = 1; /* of no account: they never went out */
    place_client(&p);
    signed_in(&p);
    uc_server_down(p.server, true);
    done(&p, await_state(&p, BK_CLIENT_RECONNECTING));
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(bk_client_send_message(p.client, BOB, texts[i], &id), 0);
    for (size_t i = 0; i < 3; i++)
        done(&p, await_event(&p, BK_CLIENT_EVENT_MESSAGE_STATE));
    p.timing.message_life_ms = 0;
    place_client(&p);
    uc_server_down(p.server, false);
    assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
    for (size_t i = 0; i < 3; i++)
        expect_kept(texts[i], BK_CLIENT_SENT);
    for (size_t i = 0; i < 3; i++) {
        char *seen = uc_server_seen(p.server, "MESSAGE", 2 - (int)i);
        assert_string_equal(strstr(seen, "\r\n\r\n") + 4, texts[i]);
        free(seen);
    }
}

static void a_message_nobody_remembers_any_more_is_given_back_and_not_sent_twice(void **state)
{
    (void)state;
    uint64_t id;
    uc_server_answer(p.server, "MESSAGE", "", "", 0);
    assert_int_equal(bk_client_send_message(p.client, BOB, "perhaps there", &id), 0);
    AWAIT(uc_server_count(p.server, "MESSAGE") == 1);
    uc_server_answer(p.server, "MESSAGE", NULL, "", 0);
    p.clock_off_ms =
        9 * 60 * 1000; /* the server keeps keys for ten minutes, the client trusts in eight */
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
    expect_kept("perhaps there", BK_CLIENT_FAILED);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
    assert_int_equal(send_and_await("another", (char[12]){ 0 }), BK_CLIENT_SENT);
    assert_int_equal(uc_server_count(p.server, "MESSAGE"), 2);
    assert_false(folder_holds(p.profile, "perhaps there"));
}

static void more_than_fits_is_refused_and_the_rest_goes_out(void **state)
{
    (void)state;
    enum { BIG = 20000, N = 4 * 1024 * 1024 / BIG };
    uint64_t id;
    char *big = malloc(BIG + 1);
    memset(big, 'x', BIG);
    big[BIG] = 0;
    uc_server_down(p.server, true);
    done(&p, await_state(&p, BK_CLIENT_RECONNECTING));
    for (int i = 0; i <= N; i++)
        assert_int_equal(bk_client_send_message(p.client, BOB, big, &id), 0);
    for (;;) {
        const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_MESSAGE_STATE);
        bool failed = e->message_state.state == BK_CLIENT_FAILED;
        if (failed)
            assert_int_equal(e->message_state.id, id); /* the last one alone */
        done(&p, e);
        if (failed)
            break;
    }
    free(big);
    uc_server_down(p.server, false);
    for (int n = 0; n < N;) {
        const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_MESSAGE_STATE);
        n += e->message_state.state == BK_CLIENT_SENT;
        done(&p, e);
    }
    assert_int_equal(uc_server_count(p.server, "MESSAGE"), N);
}

static void signing_out_fails_what_waits(void **state)
{
    (void)state;
    uint64_t id;
    uc_server_answer(p.server, "MESSAGE", "", "", 0);
    assert_int_equal(bk_client_send_message(p.client, BOB, "x", &id), 0);
    AWAIT(uc_server_count(p.server, "MESSAGE") == 1);
    assert_int_equal(bk_client_sign_out(p.client), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_MESSAGE_STATE);
    while (e->message_state.state != BK_CLIENT_FAILED) {
        done(&p, e);
        e = await_event(&p, BK_CLIENT_EVENT_MESSAGE_STATE);
    }
    done(&p, e);
    char record[12];
    assert_int_equal(send_and_await("y", record), BK_CLIENT_FAILED); /* and what comes after */
}

/* ---- messages in ---- */

static void deliver(const char *call_id, unsigned cseq, const char *branch, const char *extra,
                    const char *type, const char *body)
{
    char text[2000];
    (void)snprintf(text, sizeof text,
                   "MESSAGE sip:ann@127.0.0.1;transport=tls SIP/2.0\r\n"
                   "Via: SIP/2.0/TLS srv." DOMAIN ";branch=z9hG4bK%s\r\nMax-Forwards: 70\r\n"
                   "From: \"Bob \\\"B\\\"\" <sip:" BOB ">;tag=b1\r\nTo: <sip:" ANN ">\r\n"
                   "Call-ID: %s\r\nCSeq: %u MESSAGE\r\n%sContent-Type: %s\r\n"
                   "Content-Length: %zu\r\n\r\n%s",
                   branch, call_id, cseq, extra, type, strlen(body), body);
    uc_server_send(p.server, text);
}

static void a_message_is_answered_once_it_was_shown(void **state)
{
    (void)state;
    deliver("m1", 1, "a", "", "text/plain;charset=UTF-8", "hello\nthere");
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_MESSAGE);
    assert_string_equal(e->message.from, BOB);
    assert_string_equal(e->message.from_name, "Bob \"B\"");
    assert_string_equal(e->message.text, "hello\nthere");
    assert_false(e->message.delayed);
    /* From what stays the same however often it is sent (make_key), so it names the message at the next start, too. */
    assert_string_equal(e->message.key,
                        "680a91738c3eca1b41f64abb5427b94e88cb49421b03bc3b356b37872c46c20f");
    assert_int_equal(uc_server_count(p.server, "200 MESSAGE"), 0);
    done(&p, e);
    AWAIT(uc_server_count(p.server, "200 MESSAGE") == 1);
}

static void a_repeat_is_answered_and_not_shown(void **state)
{
    (void)state;
    deliver("m1", 1, "a", "", "text/plain", "one");
    done(&p, await_event(&p, BK_CLIENT_EVENT_MESSAGE));
    AWAIT(uc_server_count(p.server, "200 MESSAGE") == 1);
    deliver("m1", 1, "b", "", "text/plain", "one");
    AWAIT(uc_server_count(p.server, "200 MESSAGE") == 2);

    place_client(&p); /* also after a restart */
    signed_in(&p);
    AWAIT(uc_server_registered(p.server));
    deliver("m1", 1, "c", "", "text/plain", "one");
    AWAIT(uc_server_count(p.server, "200 MESSAGE") == 3);
    deliver("m1", 2, "d", "", "text/plain", "two"); /* another key */
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_MESSAGE);
    assert_string_equal(e->message.text, "two");
    done(&p, e);
}

static void a_message_not_shown_before_the_end_comes_again(void **state)
{
    (void)state;
    deliver("m1", 1, "a", "", "text/plain", "precious");
    AWAIT(uc_server_count(p.server, "REGISTER") >= 1);
    place_client(&p); /* the program ends with the event still waiting */
    signed_in(&p);
    AWAIT(uc_server_registered(p.server));
    assert_int_equal(uc_server_count(p.server, "200 MESSAGE"), 0);
    deliver("m1", 1, "b", "", "text/plain", "precious");
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_MESSAGE);
    assert_string_equal(e->message.text, "precious");
    done(&p, e);
}

static void a_kept_message_tells_when_it_was_written(void **state)
{
    (void)state;
    deliver("m1", 1, "a", "Date: Sun, 22 Nov 2020 05:26:04 GMT\r\n", "text/plain", "old");
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_MESSAGE);
    assert_true(e->message.delayed);
    assert_int_equal(e->message.sent_ms, 1606022764000);
    done(&p, e);
}

static void what_is_no_text_is_told_so(void **state)
{
    (void)state;
    deliver("m1", 1, "a", "", "image/png", "x");
    AWAIT(uc_server_count(p.server, "415 MESSAGE") == 1);
    deliver("m2", 1, "b", "", "application/im-iscomposing+xml", "<x/>");
    AWAIT(uc_server_count(p.server, "200 MESSAGE") == 1);
    deliver("m3", 1, "c", "", "text/plain", "caf\xe9"); /* Latin-1 from an old client */
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_MESSAGE);
    assert_string_equal(e->message.text, "caf\xc3\xa9");
    done(&p, e);
}

/* ---- other requests ---- */

static void request(const char *method, const char *fields, const char *body)
{
    static unsigned n;
    char text[1500];
    n++;
    (void)snprintf(text, sizeof text,
                   "%s sip:ann@127.0.0.1;transport=tls SIP/2.0\r\n"
                   "Via: SIP/2.0/TLS srv." DOMAIN ";branch=z9hG4bKq%u\r\nMax-Forwards: 70\r\n"
                   "From: <sip:" BOB ">;tag=b1\r\nTo: <sip:" ANN ">\r\nCall-ID: q%u\r\n"
                   "CSeq: 1 %s\r\nContact: <sip:srv." DOMAIN ">\r\n%sContent-Length: %zu\r\n\r\n%s",
                   method, n, n, method, fields, strlen(body), body);
    uc_server_send(p.server, text);
}

static void every_request_gets_an_answer(void **state)
{
    (void)state;
    request("OPTIONS", "", "");
    AWAIT(uc_server_count(p.server, "200 OPTIONS") == 1);
    request("INVITE", "", "");
    AWAIT(uc_server_count(p.server, "488 INVITE") == 1);
    request("SUBSCRIBE", "Event: presence\r\n", "");
    AWAIT(uc_server_count(p.server, "489 SUBSCRIBE") == 1);
    request("NOTIFY", "Event: dialog\r\nSubscription-State: active\r\n", "");
    AWAIT(uc_server_count(p.server, "489 NOTIFY") == 1);
    request("NOTIFY", "Event: presence\r\nSubscription-State: active\r\n", "");
    AWAIT(uc_server_count(p.server, "481 NOTIFY") == 1);
    request("REFER", "Refer-To: <sip:x@y.test>\r\n", "");
    AWAIT(uc_server_count(p.server, "405 REFER") == 1);
}

static void a_session_ended_by_the_server_is_not_begun_again(void **state)
{
    (void)state;
    request("NOTIFY",
            "Event: registration-notify\r\nSubscription-State: terminated;expires=0\r\n"
            "Content-Type: text/registration-event\r\n"
            "ms-diagnostics: 95208;reason=\"This account is disabled.\";source=\"s\";"
            "record=\"SI-208\";case=\"K7QF-3M2P\"\r\n",
            "deregistered;event=rejected");
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_ENDED);
    assert_string_equal(e->failure.id, "SI-208");
    assert_string_equal(e->failure.case_code, "K7QF-3M2P");
    assert_int_equal(e->failure.next, BK_CLIENT_NEXT_STOP);
    done(&p, e);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_OUT));
    assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
    request("NOTIFY", "Event: registration-notify\r\nSubscription-State: terminated\r\n",
            "deregistered;event=deactivated"); /* moved: it goes on by itself */
    e = await_event(&p, BK_CLIENT_EVENT_ENDED);
    assert_string_equal(e->failure.id, "SI-222");
    done(&p, e);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
}

/* ---- presence ---- */

static void notify(const char *document)
{
    AWAIT(uc_server_count(p.server, "SUBSCRIBE") >= 2); /* our own and Bob's */
    char *subscribe = NULL;
    for (int i = 0; !subscribe || !strstr(field_of(subscribe, "To"), BOB); i++) {
        free(subscribe);
        subscribe = uc_server_seen(p.server, "SUBSCRIBE", i);
        assert_non_null(subscribe);
    }
    static unsigned n = 1000;
    char text[2500];
    n++;
    (void)snprintf(text, sizeof text,
                   "NOTIFY sip:ann@127.0.0.1;transport=tls SIP/2.0\r\n"
                   "Via: SIP/2.0/TLS srv." DOMAIN ";branch=z9hG4bKp%u\r\nMax-Forwards: 70\r\n"
                   "From: <sip:" BOB ">;tag=sub\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %u NOTIFY\r\n"
                   "Contact: <sip:srv." DOMAIN ">\r\nEvent: presence\r\n"
                   "Subscription-State: active;expires=500\r\n"
                   "Content-Type: application/pidf+xml\r\nContent-Length: %zu\r\n\r\n%s",
                   n, field_of(subscribe, "From"), field_of(subscribe, "Call-ID"), n,
                   strlen(document), document);
    free(subscribe);
    uc_server_send(p.server, text);
}

#define PIDF(inner)                                                                                \
    "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" "                                             \
    "xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" "                                         \
    "xmlns:b=\"urn:beckon:presence\" entity=\"sip:" BOB "\">" inner "</presence>"

static void expect_bob(enum bk_pidf_shown shown, const char *note)
{
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_PRESENCE);
    while (strcmp(e->presence.address, BOB) != 0) {
        done(&p, e);
        e = await_event(&p, BK_CLIENT_EVENT_PRESENCE);
    }
    assert_int_equal(e->presence.shown, shown);
    assert_string_equal(e->presence.note, note);
    done(&p, e);
}

static void somebodys_presence_is_shown_exactly(void **state)
{
    (void)state;
    assert_int_equal(bk_client_watch(p.client, "sip:Bob@" DOMAIN), 0);
    notify(PIDF(
        "<tuple id='a'><status><basic>open</basic></status></tuple>"
        "<dm:person id='p'><b:shown state='in-call'/><dm:note>back at 5</dm:note></dm:person>"));
    expect_bob(BK_PIDF_SHOWN_IN_CALL, "back at 5");
    notify(PIDF("<tuple id='a'><status><basic>closed</basic></status></tuple>"));
    expect_bob(BK_PIDF_SHOWN_OFFLINE, "");
    notify("<not xml");
    notify(PIDF("<tuple id='a'><status><basic>open</basic></status></tuple>"));
    expect_bob(BK_PIDF_SHOWN_AVAILABLE, ""); /* what could not be read changed nothing */
}

static void a_lost_connection_makes_everybody_unknown_and_comes_back(void **state)
{
    (void)state;
    assert_int_equal(bk_client_watch(p.client, BOB), 0);
    notify(PIDF("<tuple id='a'><status><basic>open</basic></status></tuple>"));
    expect_bob(BK_PIDF_SHOWN_AVAILABLE, "");
    int n = uc_server_count(p.server, "SUBSCRIBE");
    uc_server_drop(p.server);
    expect_bob(BK_PIDF_SHOWN_UNKNOWN, ""); /* not offline */
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
    AWAIT(uc_server_count(p.server, "SUBSCRIBE") >= n + 2);
    AWAIT(uc_server_count(p.server, "PUBLISH") >= 2);
    assert_non_null(strstr(p.text, "failure SI-314"));
}

static void a_silent_connection_is_noticed(void **state)
{
    (void)state;
    p.timing.ping_ms = 150;
    p.timing.pong_ms = 150;
    place_client(&p);
    signed_in(&p);
    AWAIT(uc_server_count(p.server, "PING") >= 2);
    uc_server_answer(p.server, "PING", "", "", 1); /* one goes unanswered */
    assert_int_equal(await_failure(&p, "SI-314"), BK_CLIENT_NEXT_RETRY);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
}

static void a_network_that_goes_is_known_at_once_and_one_that_comes_is_used_at_once(void **state)
{
    (void)state;
    p.timing.retry_first_ms = p.timing.retry_max_ms = 3600 * 1000; /* no try by patience alone */
    place_client(&p);
    assert_int_equal(bk_client_watch(p.client, BOB), 0);
    signed_in(&p);
    int n = uc_server_count(p.server, "REGISTER");
    assert_int_equal(bk_client_network_changed(p.client), 0); /* there is a way still: nothing */
    assert_int_equal(send_and_await("still here", (char[12]){ 0 }), BK_CLIENT_SENT);
    assert_int_equal(uc_server_count(p.server, "REGISTER"), n);

    notify(PIDF("<tuple id='a'><status><basic>open</basic></status></tuple>"));
    expect_bob(BK_PIDF_SHOWN_AVAILABLE, "");
    p.no_way = true;
    assert_int_equal(bk_client_network_changed(p.client), 0);
    expect_bob(BK_PIDF_SHOWN_UNKNOWN, "");
    assert_int_equal(await_failure(&p, "SI-314"), BK_CLIENT_NEXT_RETRY);
    done(&p, await_state(&p, BK_CLIENT_RECONNECTING));
    p.no_way = false;
    assert_int_equal(bk_client_network_changed(p.client), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
}

static void own_state_and_note_are_published_as_chosen(void **state)
{
    (void)state;
    char *body = uc_server_seen(p.server, "PUBLISH", 0);
    assert_null(strstr(body, "manual"));   /* never chosen: what the server keeps stays */
    assert_null(strstr(body, "<dm:note")); /* likewise */
    assert_non_null(strstr(body, "<b:machine state=\"active\"/>"));
    free(body);
    assert_int_equal(bk_client_set_status(p.client, BK_PIDF_MANUAL_DND), 0);
    assert_int_equal(bk_client_set_note(p.client, "a < b"), 0);
    assert_int_equal(bk_client_set_machine(p.client, BK_PIDF_MACHINE_AWAY), 0);
    char *last = NULL;
    AWAIT((free(last), last = uc_server_seen(p.server, "PUBLISH", 0)) &&
          strstr(last, "<b:manual state=\"dnd\"/>") &&
          strstr(last, "<dm:note>a &lt; b</dm:note>") &&
          strstr(last, "<b:machine state=\"away\"/>"));
    assert_true(field_of(last, "SIP-If-Match")[0]); /* the same publication, changed */
    free(last);
}

static void a_publication_the_server_forgot_is_made_anew(void **state)
{
    (void)state;
    uc_server_answer(p.server, "PUBLISH", "412 Conditional Request Failed", "", 1);
    assert_int_equal(bk_client_set_status(p.client, BK_PIDF_MANUAL_BUSY), 0);
    char *last = NULL;
    AWAIT((free(last), last = uc_server_seen(p.server, "PUBLISH", 0)) &&
          uc_server_count(p.server, "PUBLISH") == 3 && !field_of(last, "SIP-If-Match")[0]);
    free(last);
}

/* ---- ends ---- */

static void signing_out_tells_the_server(void **state)
{
    (void)state;
    assert_int_equal(bk_client_sign_out(p.client), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_OUT));
    char *last = uc_server_seen(p.server, "REGISTER", 0);
    assert_string_equal(field_of(last, "Expires"), "0");
    free(last);
    assert_true(folder_holds(p.profile, "BEGIN PRIVATE KEY")); /* the next sign-in types nothing */
}

static void deletion_leaves_nothing_and_can_be_repeated(void **state)
{
    (void)state;
    uint64_t id;
    uc_server_answer(p.server, "MESSAGE", "", "", 0);
    assert_int_equal(bk_client_send_message(p.client, BOB, "a secret", &id), 0);
    AWAIT(uc_server_count(p.server, "MESSAGE") == 1);
    assert_true(folder_holds(p.profile, "a secret"));
    place_client(&p); /* it was never signed out: what was left behind goes all the same */
    for (int round = 0; round < 2; round++) {
        assert_int_equal(bk_client_delete_sign_in_info(p.client, ANN), 0);
        const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_DELETED);
        assert_string_equal(e->deleted.address, ANN);
        assert_true(e->deleted.n_rows >= 6);
        for (int i = 0; i < e->deleted.n_rows; i++)
            assert_true(e->deleted.rows[i].ok);
        assert_string_equal(e->deleted.rows[1].result,
                            round ? "there was none on this computer" : "revoked");
        done(&p, e);
    }
    assert_int_equal(uc_server_count(p.server, "POST revoke"), 1);
    assert_int_equal(folder_files(p.profile), 0);
    assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
    done(&p, await_event(&p, BK_CLIENT_EVENT_CREDENTIAL));
}

static void deletion_of_another_person_waits_for_the_end_of_the_session(void **state)
{
    (void)state;
    assert_int_equal(bk_client_sign_out(p.client), 0);
    assert_int_equal(bk_client_delete_sign_in_info(p.client, BOB), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_DELETED);
    assert_string_equal(e->deleted.address, BOB);
    done(&p, e);
    assert_true(folder_holds(p.profile, "BEGIN PRIVATE KEY")); /* hers stays */
}

static void deletion_goes_on_without_the_server(void **state)
{
    (void)state;
    uc_server_down(p.server, true);
    assert_int_equal(bk_client_delete_sign_in_info(p.client, ANN), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_DELETED);
    assert_false(e->deleted.rows[1].ok);
    done(&p, e);
    assert_int_equal(folder_files(p.profile), 0);
    uc_server_down(p.server, false);
}

static void a_restarted_server_is_found_again(void **state)
{
    (void)state;
    uc_server_down(p.server, true);
    (void)await_failure(&p, "SI-314");
    done(&p, await_event(&p, BK_CLIENT_EVENT_FAILURE)); /* and whatever the tries meanwhile met */
    uc_server_down(p.server, false);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_signed_in, unmake)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        IN_PLACE(what_became_of_a_message_is_told),
        IN_PLACE(bad_messages_are_refused_at_the_door),
        IN_PLACE(an_unanswered_message_goes_out_again_under_the_same_key),
        IN_PLACE(a_busy_moment_does_not_fail_a_message),
        IN_PLACE(a_message_under_way_at_a_crash_is_sent_again_under_the_same_key),
        IN_PLACE(what_was_written_without_a_connection_outlives_the_program_in_order),
        IN_PLACE(a_message_nobody_remembers_any_more_is_given_back_and_not_sent_twice),
        IN_PLACE(more_than_fits_is_refused_and_the_rest_goes_out),
        IN_PLACE(signing_out_fails_what_waits),
        IN_PLACE(a_message_is_answered_once_it_was_shown),
        IN_PLACE(a_repeat_is_answered_and_not_shown),
        IN_PLACE(a_message_not_shown_before_the_end_comes_again),
        IN_PLACE(a_kept_message_tells_when_it_was_written),
        IN_PLACE(what_is_no_text_is_told_so),
        IN_PLACE(every_request_gets_an_answer),
        IN_PLACE(a_session_ended_by_the_server_is_not_begun_again),
        IN_PLACE(somebodys_presence_is_shown_exactly),
        IN_PLACE(a_lost_connection_makes_everybody_unknown_and_comes_back),
        cmocka_unit_test_setup_teardown(a_silent_connection_is_noticed, make, unmake),
        cmocka_unit_test_setup_teardown(
            a_network_that_goes_is_known_at_once_and_one_that_comes_is_used_at_once, make, unmake),
        IN_PLACE(own_state_and_note_are_published_as_chosen),
        IN_PLACE(a_publication_the_server_forgot_is_made_anew),
        IN_PLACE(signing_out_tells_the_server),
        IN_PLACE(deletion_leaves_nothing_and_can_be_repeated),
        IN_PLACE(deletion_of_another_person_waits_for_the_end_of_the_session),
        IN_PLACE(deletion_goes_on_without_the_server),
        IN_PLACE(a_restarted_server_is_found_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
