/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations where the server speaks the Lync dialect: sessions opened, used, ended, and single messages where there are none. */
#include "unit/client/client_test.h"

#include "client/client_private.h"
#include "tests/unit/base/failing_alloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define BOB "bob@" DOMAIN
#define SDP_TYPE "application/sdp"
#define SDP                                                                                        \
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"              \
    "m=message 5060 sip null\r\na=accept-types:text/plain\r\n"
#define TYPING "<KeyboardActivity xmlns='x'><status status='type'/></KeyboardActivity>"

static struct place p;

static int make(void **state)
{
    (void)state;
    place_make(&p, NULL);
    uc_server_dialect(p.server, true);
    uc_server_body(p.server, "vnd-microsoft-roaming-contacts",
                   "application/vnd-microsoft-roaming-contacts+xml",
                   "<contactList deltaNum='1'><group id='1' name='~'/></contactList>");
    uc_server_body(p.server, "vnd-microsoft-roaming-self",
                   "application/vnd-microsoft-roaming-self+xml",
                   "<roamingData><categories/></roamingData>");
    uc_server_body(p.server, "INVITE", SDP_TYPE, SDP);
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

/* ---- what went over the wire ---- */

/* The n-th request of that method from the end; fails where there is none. Static memory, four at a time. */
static const char *seen(const char *method, int back)
{
    static char texts[4][4096];
    static int next;
    char *text = uc_server_seen(p.server, method, back);
    if (!text)
        fail_msg("no %s came", method);
    char *copy = texts[next++ % 4];
    (void)snprintf(copy, sizeof texts[0], "%s", text);
    free(text);
    return copy;
}

/* The value of a field in a message, cut at the line's end; "" where it is missing. */
static const char *field_of(const char *message, const char *name)
{
    static char values[8][300];
    static int next;
    char *value = values[next++ % 8];
    char key[64];
    (void)snprintf(key, sizeof key, "\r\n%s: ", name);
    const char *at = strstr(message, key);
    value[0] = 0;
    if (at)
        (void)snprintf(value, 300, "%.*s", (int)strcspn(at + strlen(key), "\r"), at + strlen(key));
    return value;
}

static const char *body_of(const char *message)
{
    return strstr(message, "\r\n\r\n") + 4;
}

static int count(const char *method)
{
    return uc_server_count(p.server, method);
}

/* The last message went inside of the last session that was invited to. */
static void expect_inside(const char *text)
{
    const char *invite = seen("INVITE", 0), *message = seen("MESSAGE", 0);
    assert_string_equal(body_of(message), text);
    assert_string_equal(field_of(message, "Call-ID"), field_of(invite, "Call-ID"));
    assert_string_equal(field_of(message, "From"), field_of(invite, "From"));
    assert_non_null(strstr(field_of(message, "To"), "tag="));
}

static void expect_alone(const char *text)
{
    const char *message = seen("MESSAGE", 0);
    assert_string_equal(body_of(message), text);
    assert_string_equal(field_of(message, "To"), "<sip:" BOB ">");
}

/* Two sendings of one message, for whoever keeps keys (docs/limits.md, "Exactly once"). */
static void expect_same_key(const char *first, const char *second)
{
    assert_string_equal(field_of(first, "From"), field_of(second, "From"));
    assert_string_equal(field_of(first, "Call-ID"), field_of(second, "Call-ID"));
    assert_string_equal(field_of(first, "CSeq"), field_of(second, "CSeq"));
    assert_string_equal(body_of(first), body_of(second));
}

static void write_only(const char *text)
{
    uint64_t id;
    assert_int_equal(bk_client_send_message(p.client, BOB, text, &id), 0);
}

static void expect_end(enum bk_client_message_state state)
{
    for (;;) {
        const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_MESSAGE_STATE);
        enum bk_client_message_state got = e->message_state.state;
        done(&p, e);
        if (got == BK_CLIENT_SENDING)
            continue;
        assert_int_equal(got, state);
        return;
    }
}

static void say(const char *text)
{
    write_only(text);
    expect_end(BK_CLIENT_SENT);
}

/* ---- requests and answers of the other side ---- */

static void send_lines(const char *lines, const char *type, const char *body)
{
    char text[4000];
    (void)snprintf(text, sizeof text, "%s%s%s%sContent-Length: %zu\r\n\r\n%s", lines,
                   *body ? "Content-Type: " : "", *body ? type : "", *body ? "\r\n" : "",
                   strlen(body), body);
    uc_server_send(p.server, text);
}

/* to: with its tag, where inside a dialog. */
static void request(const char *method, const char *call_id, unsigned cseq, const char *from,
                    const char *to, const char *type, const char *body)
{
    static unsigned branch;
    char lines[1500];
    (void)snprintf(lines, sizeof lines,
                   "%s sip:ann@127.0.0.1;transport=tls SIP/2.0\r\n"
                   "Via: SIP/2.0/TLS srv." DOMAIN ";branch=z9hG4bKr%u\r\nMax-Forwards: 70\r\n"
                   "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %u %s\r\n%s",
                   method, ++branch, from, to, call_id, cseq, method,
                   strcmp(method, "INVITE") == 0 ? "Contact: <sip:bob@127.0.0.1;transport=tls>\r\n"
                                                 : "");
    send_lines(lines, type, body);
}

/* Bob's session: it rings, is taken; to[] is how he addresses us in it from then on. */
static void invite_us(const char *call_id, char to[200])
{
    int taken = count("200 INVITE");
    request("INVITE", call_id, 1, "<sip:" BOB ">;tag=b1", "<sip:" ANN ">", SDP_TYPE, SDP);
    AWAIT(count("200 INVITE") == taken + 1);
    (void)snprintf(to, 200, "%s", field_of(seen("200 INVITE", 0), "To"));
    request("ACK", call_id, 1, "<sip:" BOB ">;tag=b1", to, "", "");
}

/* From Bob inside of the session that we opened last. */
static void inside_ours(const char *method, unsigned cseq, const char *type, const char *body)
{
    const char *message = seen("MESSAGE", 0);
    char to[200], from[200];
    (void)snprintf(to, sizeof to, "%s", field_of(message, "From"));
    (void)snprintf(from, sizeof from, "%s", field_of(message, "To"));
    request(method, field_of(message, "Call-ID"), cseq, from, to, type, body);
}

/* Answers the last INVITE, which was told to go unanswered. */
static void answer_invite(const char *status)
{
    const char *invite = seen("INVITE", 0);
    char lines[1500];
    (void)snprintf(lines, sizeof lines,
                   "SIP/2.0 %s\r\nVia: %s\r\nFrom: %s\r\nTo: %s;tag=late\r\nCall-ID: %s\r\n"
                   "CSeq: %s\r\nContact: <sip:bob@127.0.0.1;transport=tls>\r\n",
                   status, field_of(invite, "Via"), field_of(invite, "From"),
                   field_of(invite, "To"), field_of(invite, "Call-ID"), field_of(invite, "CSeq"));
    bool taken = status[0] == '2';
    send_lines(lines, SDP_TYPE, taken ? SDP : "");
}

static void expect_message(const char *text)
{
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_MESSAGE);
    assert_string_equal(e->message.from, BOB);
    assert_string_equal(e->message.text, text);
    done(&p, e);
}

static void expect_typing(bool typing)
{
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_TYPING);
    assert_string_equal(e->typing.from, BOB);
    assert_int_equal(e->typing.typing, typing);
    done(&p, e);
}

/* ---- we begin ---- */

static void what_is_said_goes_into_one_session_and_its_fate_is_told(void **state)
{
    (void)state;
    say("one");
    const char *invite = seen("INVITE", 0);
    assert_non_null(strstr(invite, "m=message "));
    assert_string_equal(field_of(invite, "Content-Type"), SDP_TYPE);
    assert_int_equal(count("ACK"), 1);
    expect_inside("one");
    assert_string_equal(field_of(seen("MESSAGE", 0), "CSeq"), "2 MESSAGE");
    say("two");
    expect_inside("two");
    assert_string_equal(field_of(seen("MESSAGE", 0), "CSeq"), "3 MESSAGE");
    uc_server_answer(p.server, "MESSAGE", "202 Accepted", "", 1);
    write_only("kept");
    expect_end(BK_CLIENT_STORED);
    uc_server_answer(p.server, "MESSAGE", "480 Temporarily Unavailable",
                     "ms-diagnostics: 95502;reason=\"full\";source=\"s\";record=\"SI-502\"\r\n", 1);
    write_only("too many");
    const struct bk_client_event *e;
    while ((e = await_event(&p, BK_CLIENT_EVENT_MESSAGE_STATE))->message_state.state !=
           BK_CLIENT_FAILED)
        done(&p, e);
    assert_string_equal(e->message_state.failure->id, "SI-502");
    done(&p, e);
    say("after it");
    expect_inside("after it");
    assert_int_equal(count("INVITE"), 1);
    assert_int_equal(count("MESSAGE"), 5);
    assert_false(folder_holds(p.profile, "after it"));
}

static void what_is_written_while_it_opens_keeps_its_order(void **state)
{
    (void)state;
    static const char *const texts[] = { "one", "two", "three" };
    uc_server_answer(p.server, "INVITE", "", "", 1); /* answered below */
    for (size_t i = 0; i < 3; i++)
        write_only(texts[i]);
    AWAIT(count("INVITE") == 1);
    answer_invite("180 Ringing");
    assert_int_equal(count("MESSAGE"), 0);
    answer_invite("200 OK");
    for (size_t i = 0; i < 3; i++)
        expect_end(BK_CLIENT_SENT);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(body_of(seen("MESSAGE", 2 - (int)i)), texts[i]);
    assert_int_equal(count("INVITE"), 1);
}

static void who_takes_no_session_gets_single_messages(void **state)
{
    (void)state;
    uc_server_answer(p.server, "INVITE", "488 Not Acceptable Here", "", 0);
    write_only("one");
    write_only("two");
    expect_end(BK_CLIENT_SENT);
    expect_end(BK_CLIENT_SENT);
    expect_alone("two");
    assert_string_equal(body_of(seen("MESSAGE", 1)), "one");
    say("three");
    expect_alone("three");
    assert_int_equal(count("INVITE"), 1); /* remembered */
    char to[200];
    invite_us("theirs", to); /* but what he opens is used */
    say("four");
    assert_string_equal(field_of(seen("MESSAGE", 0), "Call-ID"), "theirs");
}

static void a_plain_server_is_never_asked_for_a_session(void **state)
{
    (void)state;
    uc_server_dialect(p.server, false);
    place_client(&p);
    signed_in(&p);
    say("one");
    expect_alone("one");
    assert_int_equal(count("INVITE"), 0);
}

static void a_session_without_a_readable_answer_is_none(void **state)
{
    (void)state;
    uc_server_answer(p.server, "INVITE", "200 OK", "", 0); /* no Contact */
    say("one");
    expect_alone("one");
}

static void a_session_that_the_other_side_forgot_is_replaced(void **state)
{
    (void)state;
    say("one");
    uc_server_answer(p.server, "MESSAGE", "481 Call/Transaction Does Not Exist", "", 1);
    write_only("two");
    write_only("three");
    expect_end(BK_CLIENT_SENT);
    expect_end(BK_CLIENT_SENT);
    assert_int_equal(count("INVITE"), 2);
    expect_inside("three");
    assert_string_equal(body_of(seen("MESSAGE", 1)),
                        "two"); /* before the other, and in the new one */
    assert_string_equal(field_of(seen("MESSAGE", 1), "Call-ID"),
                        field_of(seen("INVITE", 0), "Call-ID"));
    assert_int_equal(count("MESSAGE"), 4);
    /* Who forgets each session at once is left alone. */
    uc_server_answer(p.server, "MESSAGE", "481 Call/Transaction Does Not Exist", "", 2);
    say("four");
    expect_alone("four");
    assert_int_equal(count("INVITE"), 3);
}

static void an_unanswered_message_is_repeated_alone_under_its_key(void **state)
{
    (void)state;
    say("one");
    uc_server_answer(p.server, "MESSAGE", "", "", 1); /* swallowed */
    write_only("two");
    AWAIT(count("MESSAGE") == 2);
    write_only("three"); /* waits for its turn in a session that is no more */
    uc_server_drop(p.server);
    expect_end(BK_CLIENT_SENT);
    expect_end(BK_CLIENT_SENT);
    const char *first = NULL, *second = NULL;
    for (int i = 0; i < 4; i++) {
        const char *message = seen("MESSAGE", i);
        if (strcmp(body_of(message), "two") != 0)
            continue;
        first = second;
        second = message;
    }
    assert_non_null(first); /* of the two, the one that came later */
    expect_same_key(first, second);
    assert_string_equal(field_of(first, "To"), "<sip:" BOB ">");
    assert_int_equal(count("MESSAGE"), 4);
    assert_int_equal(count("INVITE"), 2); /* for the third */
}

static void a_message_in_a_session_at_a_crash_is_repeated_under_the_same_key(void **state)
{
    (void)state;
    for (int opened = 0; opened < 2; opened++) { /* the first of a session, and a later one */
        if (opened)
            say("opens it");
        int n = count("MESSAGE");
        uc_server_answer(p.server, "MESSAGE", "", "", 1); /* swallowed */
        write_only("precious words");
        AWAIT(count("MESSAGE") == n + 1);
        assert_true(folder_holds(p.profile, "precious words"));
        place_client(&p); /* nobody signed out */
        assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
        expect_end(BK_CLIENT_SENT);
        expect_same_key(seen("MESSAGE", 1), seen("MESSAGE", 0));
        expect_alone("precious words");
        assert_false(folder_holds(p.profile, "precious words"));
    }
}

static void what_waited_for_a_session_at_a_crash_never_went_out(void **state)
{
    (void)state;
    uc_server_answer(p.server, "INVITE", "", "", 1);
    write_only("not said yet");
    AWAIT(count("INVITE") == 1);
    p.clock_off_ms = 3600 * 1000; /* so that it may wait as long as it takes */
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
    expect_end(BK_CLIENT_SENT);
    expect_inside("not said yet");
    assert_int_equal(count("MESSAGE"), 1);
}

static void a_restarted_server_is_asked_for_a_new_session(void **state)
{
    (void)state;
    say("one");
    uc_server_drop(p.server);
    done(&p, await_state(&p, BK_CLIENT_RECONNECTING));
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
    say("two");
    expect_inside("two");
    assert_int_equal(count("INVITE"), 2);
    assert_int_equal(count("BYE"), 0); /* nobody knows it there any more */
}

static void a_busy_moment_repeats_it_alone(void **state)
{
    (void)state;
    say("one");
    uc_server_answer(p.server, "MESSAGE", "503 Service Unavailable", "Retry-After: 1\r\n", 1);
    say("two");
    expect_same_key(seen("MESSAGE", 1), seen("MESSAGE", 0));
    expect_alone("two");
}

/* Where the dialect is also the way in, each request and answer of a session is signed. */
static void every_word_of_a_session_is_signed_where_that_is_asked_for(void **state)
{
    (void)state;
    char to[200];
    uc_server_lync(p.server);
    place_client(&p);
    signed_in(&p);
    say("one");
    expect_inside("one");
    assert_non_null(strstr(seen("INVITE", 0), "response=\""));
    assert_non_null(strstr(seen("ACK", 0), "response=\""));
    assert_int_equal(bk_client_typing(p.client, BOB, true), 0);
    AWAIT(count("INFO") == 1);
    invite_us("theirs", to);
    assert_non_null(strstr(seen("200 INVITE", 0), "response=\""));
    request("MESSAGE", "theirs", 2, "<sip:" BOB ">;tag=b1", to, "text/plain", "hello");
    expect_message("hello");
    say("two");
    assert_int_equal(bk_client_close_conversation(p.client, BOB), 0);
    AWAIT(count("BYE") == 2);
    assert_int_equal(count("BAD SIGNATURE"), 0);
}

/* ---- they begin ---- */

static void a_session_that_is_offered_is_taken_and_used_both_ways(void **state)
{
    (void)state;
    char to[200];
    invite_us("theirs", to);
    const char *answer = seen("200 INVITE", 0);
    assert_non_null(strstr(answer, "m=message "));
    assert_non_null(strstr(field_of(answer, "Contact"), "<sip:ann@"));
    request("MESSAGE", "theirs", 2, "<sip:" BOB ">;tag=b1", to, "text/html; charset=UTF-8",
            "<b>hello</b> &amp; so on");
    expect_message("hello & so on");
    AWAIT(count("200 MESSAGE") == 1);
    say("hello yourself");
    const char *message = seen("MESSAGE", 0);
    assert_string_equal(field_of(message, "Call-ID"), "theirs");
    assert_string_equal(field_of(message, "From"), to);
    assert_non_null(strstr(message, "MESSAGE sip:bob@127.0.0.1;transport=tls SIP/2.0"));
    assert_int_equal(count("INVITE"), 0);
    /* A repeat of what was shown, alone now, as a sender does who saw no answer. */
    request("MESSAGE", "theirs", 2, "<sip:" BOB ">;tag=b1", "<sip:" ANN ">",
            "text/html; charset=UTF-8", "<b>hello</b> &amp; so on");
    AWAIT(count("200 MESSAGE") == 2);
    request("MESSAGE", "theirs", 3, "<sip:" BOB ">;tag=b1", to, "text/plain", "next");
    expect_message("next"); /* and not the repeat */
}

static void what_comes_in_an_unknown_session_is_said_to_be_so(void **state)
{
    (void)state;
    request("MESSAGE", "nowhere", 2, "<sip:" BOB ">;tag=b1", "<sip:" ANN ">;tag=a1", "text/plain",
            "x");
    AWAIT(count("481 MESSAGE") == 1);
    request("INFO", "nowhere", 3, "<sip:" BOB ">;tag=b1", "<sip:" ANN ">;tag=a1", "application/xml",
            TYPING);
    AWAIT(count("481 INFO") == 1);
    request("BYE", "nowhere", 4, "<sip:" BOB ">;tag=b1", "<sip:" ANN ">;tag=a1", "", "");
    AWAIT(count("481 BYE") == 1);
    request("INVITE", "call", 1, "<sip:" BOB ">;tag=b1", "<sip:" ANN ">", SDP_TYPE,
            "v=0\r\nm=audio 4000 RTP/AVP 0\r\n");
    AWAIT(count("488 INVITE") == 1);
}

static void a_session_that_another_endpoint_took_is_let_go(void **state)
{
    (void)state;
    assert_int_equal(bk_client_set_machine(p.client, BK_PIDF_MACHINE_AWAY), 0); /* it rings long */
    static const char lines[] =
        "%s sip:ann@127.0.0.1;transport=tls SIP/2.0\r\nVia: SIP/2.0/TLS srv." DOMAIN
        ";branch=z9hG4bKfork\r\nMax-Forwards: 70\r\nFrom: <sip:" BOB ">;tag=b1\r\n"
        "To: <sip:" ANN ">\r\nCall-ID: forked\r\nCSeq: 1 %s\r\n"
        "Contact: <sip:bob@127.0.0.1;transport=tls>\r\n";
    char text[800];
    (void)snprintf(text, sizeof text, lines, "INVITE", "INVITE");
    send_lines(text, SDP_TYPE, SDP);
    AWAIT(count("180 INVITE") == 1);
    (void)snprintf(text, sizeof text, lines, "CANCEL", "CANCEL");
    send_lines(text, "", "");
    AWAIT(count("200 CANCEL") == 1 && count("487 INVITE") == 1);
    char to[200];
    invite_us("second", to); /* and the next one is taken, if late */
    assert_int_equal(count("200 INVITE"), 1);
}

static void two_invitations_that_cross_lose_and_double_nothing(void **state)
{
    (void)state;
    char to[200];
    uc_server_answer(p.server, "INVITE", "", "", 1); /* on its way */
    write_only("one");
    AWAIT(count("INVITE") == 1);
    invite_us("theirs", to);
    expect_end(BK_CLIENT_SENT); /* nobody waits for the slower one */
    assert_string_equal(field_of(seen("MESSAGE", 0), "Call-ID"), "theirs");
    answer_invite("200 OK");
    AWAIT(count("ACK") == 1);
    say("two");
    request("MESSAGE", "theirs", 2, "<sip:" BOB ">;tag=b1", to, "text/plain", "hello");
    expect_message("hello");
    AWAIT(count("200 MESSAGE") == 1);
    say("three");
    assert_string_equal(field_of(seen("MESSAGE", 0), "Call-ID"), "theirs"); /* where he was heard */
    assert_int_equal(count("MESSAGE"), 3);
    assert_int_equal(count("INVITE"), 1);
}

static void who_goes_to_another_computer_is_answered_there(void **state)
{
    (void)state;
    char to[200], message[16];
    for (int i = 0; i < 6; i++) { /* more than are kept: the oldest ends */
        char call_id[16];
        (void)snprintf(call_id, sizeof call_id, "computer%d", i);
        (void)snprintf(message, sizeof message, "number %d", i);
        invite_us(call_id, to);
        say(message);
        assert_string_equal(field_of(seen("MESSAGE", 0), "Call-ID"), call_id);
    }
    AWAIT(count("BYE") == 2);
    assert_string_equal(field_of(seen("BYE", 0), "Call-ID"), "computer1");
    assert_int_equal(count("INVITE"), 0);
}

/* ---- ends ---- */

static void who_says_bye_is_invited_again(void **state)
{
    (void)state;
    say("one");
    inside_ours("BYE", 1, "", "");
    AWAIT(count("200 BYE") == 1);
    say("two");
    assert_int_equal(count("INVITE"), 2);
    expect_inside("two");
    inside_ours("INVITE", 1, SDP_TYPE, SDP); /* asks whether it still stands */
    AWAIT(count("200 INVITE") == 1);
}

static void a_window_that_is_closed_ends_it_and_loses_nothing(void **state)
{
    (void)state;
    say("one");
    assert_int_equal(bk_client_close_conversation(p.client, BOB), 0);
    AWAIT(count("BYE") == 1);
    assert_string_equal(field_of(seen("BYE", 0), "Call-ID"),
                        field_of(seen("INVITE", 0), "Call-ID"));
    uc_server_answer(p.server, "INVITE", "", "", 1);
    write_only("two");
    AWAIT(count("INVITE") == 2);
    answer_invite("180 Ringing");
    assert_int_equal(bk_client_close_conversation(p.client, BOB), 0);
    expect_end(BK_CLIENT_SENT);
    expect_alone("two");
    AWAIT(count("CANCEL") == 1);
    answer_invite("200 OK"); /* too late: it is ended again */
    AWAIT(count("ACK") == 2 && count("BYE") == 2);
    assert_int_equal(bk_client_close_conversation(p.client, "nobody"), -EINVAL);
}

static void a_conversation_in_which_nothing_is_said_ends(void **state)
{
    (void)state;
    p.timing.session_idle_ms = 60;
    place_client(&p);
    signed_in(&p);
    say("one");
    AWAIT(count("BYE") == 1);
    say("two");
    AWAIT(count("BYE") == 2);
    assert_int_equal(count("INVITE"), 2);
    char to[200];
    invite_us("theirs", to);
    AWAIT(count("BYE") == 3);
}

static void signing_out_ends_all_sessions(void **state)
{
    (void)state;
    char to[200];
    say("one");
    invite_us("theirs", to);
    assert_int_equal(bk_client_sign_out(p.client), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_OUT));
    assert_int_equal(count("BYE"), 2);
}

/* ---- typing ---- */

static void typing_is_told_no_more_than_is_needed(void **state)
{
    (void)state;
    assert_int_equal(bk_client_typing(p.client, BOB, true), 0); /* nothing was said yet */
    say("one");
    assert_int_equal(count("INFO"), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(bk_client_typing(p.client, BOB, true), 0);
    AWAIT(count("INFO") == 1);
    const char *info = seen("INFO", 0);
    assert_string_equal(field_of(info, "Content-Type"), "application/xml");
    assert_non_null(strstr(body_of(info), "status=\"type\""));
    assert_string_equal(field_of(info, "Call-ID"), field_of(seen("INVITE", 0), "Call-ID"));
    assert_int_equal(bk_client_typing(p.client, BOB, false), 0);
    AWAIT(count("INFO") == 2);
    assert_non_null(strstr(body_of(seen("INFO", 0)), "status=\"idle\""));
    assert_int_equal(bk_client_typing(p.client, BOB, true), 0);
    AWAIT(count("INFO") == 3);
    say("two"); /* says enough: no "idle" comes behind it */
    assert_int_equal(bk_client_typing(p.client, BOB, false), 0);
    say("three");
    assert_int_equal(count("INFO"), 3);
    assert_int_equal(bk_client_typing(p.client, "bob", true), -EINVAL);
}

static void typing_opens_again_what_ended_by_idleness_and_nothing_that_he_closed(void **state)
{
    (void)state;
    p.timing.session_idle_ms = 60;
    place_client(&p);
    signed_in(&p);
    say("one");
    AWAIT(count("BYE") == 1);
    assert_int_equal(bk_client_typing(p.client, BOB, true), 0);
    AWAIT(count("INFO") == 1);
    assert_int_equal(count("INVITE"), 2);
    assert_string_equal(field_of(seen("INFO", 0), "Call-ID"),
                        field_of(seen("INVITE", 0), "Call-ID"));
    p.timing.session_idle_ms = 0;
    place_client(&p);
    signed_in(&p);
    say("two");
    inside_ours("BYE", 1, "", "");
    AWAIT(count("200 BYE") == 1);
    assert_int_equal(bk_client_typing(p.client, BOB, true), 0);
    say("three"); /* this does */
    assert_int_equal(count("INVITE"), 4);
    assert_int_equal(count("INFO"), 1);
}

static void typing_is_seen_until_it_stops_or_the_word_comes(void **state)
{
    (void)state;
    char to[200];
    invite_us("theirs", to);
    const char *from = "<sip:" BOB ">;tag=b1";
    request("INFO", "theirs", 2, from, to, "application/xml", TYPING);
    expect_typing(true);
    AWAIT(count("200 INFO") == 1);
    request("INFO", "theirs", 3, from, to, "application/xml", TYPING); /* no news */
    request("INFO", "theirs", 4, from, to, "application/xml",
            "<KeyboardActivity><status status='idle'/></KeyboardActivity>");
    expect_typing(false);
    request("INFO", "theirs", 5, from, to, "application/xml", TYPING);
    expect_typing(true);
    request("MESSAGE", "theirs", 6, from, to, "text/plain", "the word");
    expect_typing(false);
    expect_message("the word");
    request("INFO", "theirs", 7, from, to, "application/xml", "<other/>");
    AWAIT(count("415 INFO") == 1);
    request("INFO", "theirs", 8, from, to, "application/xml", TYPING);
    expect_typing(true);
    uc_server_drop(p.server); /* whoever typed is not seen to go on for ever */
    expect_typing(false);
}

static void typing_goes_as_composing_where_there_are_no_sessions(void **state)
{
    (void)state;
    uc_server_dialect(p.server, false);
    place_client(&p);
    signed_in(&p);
    say("one");
    assert_int_equal(bk_client_typing(p.client, BOB, true), 0);
    AWAIT(count("MESSAGE") == 2);
    assert_string_equal(field_of(seen("MESSAGE", 0), "Content-Type"),
                        "application/im-iscomposing+xml");
    assert_non_null(strstr(seen("MESSAGE", 0), "<state>active</state>"));
    char document[300];
    (void)snprintf(document, sizeof document, "%s", body_of(seen("MESSAGE", 0)));
    request("MESSAGE", "c1", 1, "<sip:" BOB ">;tag=b1", "<sip:" ANN ">",
            "application/im-iscomposing+xml", document);
    expect_typing(true);
    request("MESSAGE", "c2", 1, "<sip:" BOB ">;tag=b1", "<sip:" ANN ">", "text/plain", "hi");
    expect_typing(false);
    expect_message("hi");
}

/* ---- without memory ---- */

static void fail_here(void *arg)
{
    unsigned *n = arg;
    *n = bk_fail_alloc(*n);
    __atomic_store_n(&n[1], 1, __ATOMIC_RELEASE);
}

/* On the engine's own thread: the n-th allocation from now on fails. Whether one did since the last time. */
static bool fail_in_engine(unsigned n)
{
    unsigned arg[2] = { n, 0 };
    assert_int_equal(bk_loop_post(p.client->loop, fail_here, arg), 0);
    AWAIT(__atomic_load_n(&arg[1], __ATOMIC_ACQUIRE));
    return arg[0];
}

/* How many keys that text went out under. */
static int keys_of(const char *text)
{
    char first[400] = "", key[400], *message;
    int n = 0;
    for (int i = 0; (message = uc_server_seen(p.server, "MESSAGE", i)); i++) {
        (void)snprintf(key, sizeof key, "%s %s", field_of(message, "Call-ID"),
                       field_of(message, "CSeq"));
        if (strcmp(body_of(message), text) == 0 && strcmp(first, key) != 0) {
            memcpy(first, key, sizeof first);
            n++;
        }
        free(message);
    }
    return n;
}

static void whatever_fails_a_message_arrives_once_or_is_said_not_to(void **state)
{
    (void)state;
    p.timing.answer_ms = 300;
    place_client(&p);
    signed_in(&p);
    unsigned n = 1, sent = 0;
    for (bool failed = true; failed; n++) {
        char text[2][32];
        (void)fail_in_engine(n);
        for (int i = 0; i < 2; i++) { /* the first opens the session */
            (void)snprintf(text[i], sizeof text[i], "text %u %d", n, i);
            write_only(text[i]);
        }
        for (int ends = 0; ends < 2;) {
            const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_MESSAGE_STATE);
            enum bk_client_message_state got = e->message_state.state;
            ends += got != BK_CLIENT_SENDING;
            sent += got == BK_CLIENT_SENT;
            done(&p, e);
        }
        failed = fail_in_engine(0);
        for (int i = 0; i < 2; i++)
            assert_int_equal(keys_of(text[i]), 1);
        assert_int_equal(bk_client_close_conversation(p.client, BOB), 0);
        p.text[0] = 0;
        assert_true(n < 400);
    }
    assert_int_equal(sent, 2 * (n - 1)); /* memory was short for a moment only */
    assert_true(n > 20);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_signed_in, unmake)
#define IN_PLAIN_PLACE(test) cmocka_unit_test_setup_teardown(test, make, unmake)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        IN_PLACE(what_is_said_goes_into_one_session_and_its_fate_is_told),
        IN_PLACE(what_is_written_while_it_opens_keeps_its_order),
        IN_PLACE(who_takes_no_session_gets_single_messages),
        IN_PLAIN_PLACE(a_plain_server_is_never_asked_for_a_session),
        IN_PLACE(a_session_without_a_readable_answer_is_none),
        IN_PLACE(a_session_that_the_other_side_forgot_is_replaced),
        IN_PLACE(an_unanswered_message_is_repeated_alone_under_its_key),
        IN_PLACE(a_message_in_a_session_at_a_crash_is_repeated_under_the_same_key),
        IN_PLACE(what_waited_for_a_session_at_a_crash_never_went_out),
        IN_PLACE(a_restarted_server_is_asked_for_a_new_session),
        IN_PLACE(a_busy_moment_repeats_it_alone),
        IN_PLAIN_PLACE(every_word_of_a_session_is_signed_where_that_is_asked_for),
        IN_PLACE(a_session_that_is_offered_is_taken_and_used_both_ways),
        IN_PLACE(what_comes_in_an_unknown_session_is_said_to_be_so),
        IN_PLACE(a_session_that_another_endpoint_took_is_let_go),
        IN_PLACE(two_invitations_that_cross_lose_and_double_nothing),
        IN_PLACE(who_goes_to_another_computer_is_answered_there),
        IN_PLACE(who_says_bye_is_invited_again),
        IN_PLACE(a_window_that_is_closed_ends_it_and_loses_nothing),
        IN_PLAIN_PLACE(a_conversation_in_which_nothing_is_said_ends),
        IN_PLACE(signing_out_ends_all_sessions),
        IN_PLACE(typing_is_told_no_more_than_is_needed),
        IN_PLAIN_PLACE(typing_opens_again_what_ended_by_idleness_and_nothing_that_he_closed),
        IN_PLACE(typing_is_seen_until_it_stops_or_the_word_comes),
        IN_PLAIN_PLACE(typing_goes_as_composing_where_there_are_no_sessions),
        IN_PLAIN_PLACE(whatever_fails_a_message_arrives_once_or_is_said_not_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
