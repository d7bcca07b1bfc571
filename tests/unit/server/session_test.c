/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations of the Lync dialect: passed on, answered and opened by the core. */
#include "tests/fakes/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

/* The next message at a link, kept until the test ends it. */
static char *take(struct world_link *link)
{
    const char *got = world_take(link);
    assert_non_null(got);
    char *copy = strdup(got ? got : "");
    if (!copy)
        abort();
    return copy;
}

static void drop(char *message)
{
    free(message);
}

static const char *body_of(const char *message)
{
    const char *end = strstr(message, "\r\n\r\n");
    return end ? end + 4 : "";
}

static bool is(const char *message, const char *method)
{
    return strncmp(message, method, strlen(method)) == 0 && message[strlen(method)] == ' ';
}

/* What the next message is, and what stands in it. */
static void expect(struct world_link *link, const char *method, const char *body)
{
    char *got = take(link);
    assert_true(is(got, method));
    assert_string_equal(body_of(got), body);
    drop(got);
}

static void expect_status(struct world_link *link, int status)
{
    assert_int_equal(world_status(world_take(link)), status);
}

/* Answers a request that arrived at link; sdp: as who takes a conversation. */
static void answer(struct world_link *link, const char *request, int status, const char *contact)
{
    static const char sdp[] = "v=0\r\nm=message 5060 sip null\r\n";
    struct bk_buf more = { 0 };
    if (contact)
        bk_buf_addf(
            &more,
            "Contact: <%s>\r\nContent-Type: application/sdp\r\nContent-Length: %zu\r\n\r\n%s",
            contact, strlen(sdp), sdp);
    world_answer(link, request, status, bk_buf_cstr(&more));
    bk_buf_finish(&more);
}

/* One request of a program of the dialect: no branch in Via. to: the value of To, with its tag inside a dialog. */
static void ask(struct world_link *from, const char *method, const char *uri, const char *who,
                const char *to, const char *call_id, int cseq, const char *lines, const char *type,
                const char *body)
{
    world_send(
        from,
        "%s %s SIP/2.0\r\nVia: SIP/2.0/tls 127.0.0.1:7\r\n"
        "From: <sip:%s@example.org>;tag=own;epid=%s\r\nTo: %s\r\nMax-Forwards: 70\r\n"
        "CSeq: %d %s\r\nCall-ID: %s\r\nContact: <sip:%s@example.org;opaque=user:epid:x;gruu>\r\n"
        "%sContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
        method, uri, who, who, to, cseq, method, call_id, who, lines, type, strlen(body), body);
}

static void invite(struct world_link *from, const char *who, const char *to, const char *call_id)
{
    char uri[64], field[64];
    snprintf(uri, sizeof uri, "sip:%s@example.org", to);
    snprintf(field, sizeof field, "<%s>", uri);
    ask(from, "INVITE", uri, who, field, call_id, 1, "", "application/sdp",
        "v=0\r\nm=message 5061 sip null\r\na=accept-types:text/plain\r\n");
}

struct dialog { /* as the caller knows it */
    char uri[512], to[256], route[2048], call_id[64];
    int cseq;
};

/* What the 200 to an INVITE says of its dialog; acknowledged. */
static void accepted(struct world_link *from, const char *who, const char *call_id,
                     struct dialog *ret)
{
    char *ok = take(from);
    assert_int_equal(world_status(ok), 200);
    assert_non_null(strstr(body_of(ok), "m=message "));
    const char *contact = world_field(ok, "Contact"), *route = world_field(ok, "Record-Route");
    snprintf(ret->uri, sizeof ret->uri, "%.*s", (int)strcspn(contact + 1, ">"), contact + 1);
    snprintf(ret->to, sizeof ret->to, "%s", world_field(ok, "To"));
    snprintf(ret->call_id, sizeof ret->call_id, "%s", call_id);
    ret->route[0] = 0;
    if (*route)
        snprintf(ret->route, sizeof ret->route, "Route: %s\r\n", route);
    ret->cseq = 1;
    drop(ok);
    world_send(from,
               "ACK %s SIP/2.0\r\nVia: SIP/2.0/tls 127.0.0.1:7\r\n"
               "From: <sip:%s@example.org>;tag=own;epid=%s\r\nTo: %s\r\nMax-Forwards: 70\r\n"
               "CSeq: 1 ACK\r\nCall-ID: %s\r\n%sContent-Length: 0\r\n\r\n",
               ret->uri, who, who, ret->to, call_id, ret->route);
}

static void say(struct world_link *from, const char *who, struct dialog *d, const char *method,
                const char *type, const char *body)
{
    ask(from, method, d->uri, who, d->to, d->call_id, ++d->cseq, d->route, type, body);
}

/* A single message of a plain program. */
static void single(struct world_link *from, const char *who, const char *to, int n,
                   const char *type, const char *body)
{
    world_send(
        from,
        "MESSAGE sip:%s@example.org SIP/2.0\r\nVia: SIP/2.0/TLS "
        "127.0.0.1;rport;branch=z9hG4bKs%s%d\r\nFrom: <sip:%s@example.org>;tag=s%d\r\n"
        "To: <sip:%s@example.org>\r\nCall-ID: s%s%d\r\nCSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\n"
        "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
        to, who, n, who, n, to, who, n, type, strlen(body), body);
}

/* The server opens a conversation at link: the INVITE is taken; ret: the dialog as that program knows it. */
static void opened(struct world_link *link, const char *who, const char *sender, struct dialog *ret)
{
    char *got = take(link), want[64];
    assert_true(is(got, "INVITE"));
    snprintf(want, sizeof want, "<sip:%s@example.org>", sender);
    assert_non_null(strstr(world_field(got, "From"), want));
    assert_non_null(strstr(body_of(got), "m=message "));
    const char *contact = world_field(got, "Contact");
    snprintf(ret->uri, sizeof ret->uri, "%.*s", (int)strcspn(contact + 1, ">"), contact + 1);
    snprintf(ret->to, sizeof ret->to, "%s", world_field(got, "From"));
    snprintf(ret->call_id, sizeof ret->call_id, "%s", world_field(got, "Call-ID"));
    ret->route[0] = 0;
    ret->cseq = 0;
    snprintf(want, sizeof want, "sip:%s@127.0.0.1:7", who);
    answer(link, got, 200, want);
    drop(got);
    char *ack = take(link);
    assert_true(is(ack, "ACK"));
    assert_non_null(strstr(ack, want));
    drop(ack);
}

/* The next message inside such a dialog, taken. */
static void taken(struct world_link *link, const char *body, int status)
{
    char *got = take(link);
    assert_true(is(got, "MESSAGE"));
    assert_string_equal(body_of(got), body);
    answer(link, got, status, NULL);
    drop(got);
}

static void a_conversation_passes_between_two_such_programs(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "epid=aa"),
                      *bob = world_signed_in(w, "bob", "epid=bb");
    struct dialog d;
    invite(ann, "ann", "bob", "c1");
    expect_status(ann, 100);
    char *got = take(bob);
    assert_true(is(got, "INVITE"));
    answer(bob, got, 200, "sip:bob@example.org;opaque=user:epid:y;gruu");
    drop(got);
    accepted(ann, "ann", "c1", &d);
    expect(bob, "ACK", "");
    for (int i = 0; i < 3; i++) {
        char text[16];
        snprintf(text, sizeof text, "number %d", i);
        say(ann, "ann", &d, "MESSAGE", "text/plain; charset=UTF-8;msgr=WAA", text);
        taken(bob, text, 200);
        expect_status(ann, 200);
    }
    const char typing[] = "<KeyboardActivity><status status=\"type\"/></KeyboardActivity>";
    say(ann, "ann", &d, "INFO", "application/xml", typing);
    got = take(bob);
    assert_string_equal(body_of(got), typing);
    answer(bob, got, 200, NULL);
    drop(got);
    expect_status(ann, 200);
    say(ann, "ann", &d, "BYE", "text/plain", "");
    got = take(bob);
    assert_true(is(got, "BYE"));
    answer(bob, got, 200, NULL);
    drop(got);
    expect_status(ann, 200);
    world_destroy(w);
}

static void every_endpoint_rings_and_the_first_has_it(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "epid=aa"),
                      *desk = world_signed_in(w, "bob", "epid=b1"),
                      *home = world_signed_in(w, "bob", "epid=b2");
    struct dialog d;
    invite(ann, "ann", "bob", "c1");
    expect_status(ann, 100);
    char *one = take(desk), *two = take(home);
    answer(home, two, 180, NULL);
    expect_status(ann, 180);
    answer(desk, one, 200, "sip:bob@example.org;opaque=user:epid:1;gruu");
    accepted(ann, "ann", "c1", &d);
    char *cancel = take(home);
    assert_true(is(cancel, "CANCEL"));
    assert_non_null(strstr(world_field(cancel, "Reason"), "cause=200"));
    answer(home, cancel, 200, NULL);
    answer(home, two, 487, NULL);
    expect(home, "ACK", "");
    expect(desk, "ACK", "");
    say(ann, "ann", &d, "MESSAGE", "text/plain", "to one");
    taken(desk, "to one", 200);
    expect_status(ann, 200);
    assert_null(world_take(home));
    drop(one);
    drop(two);
    drop(cancel);
    world_destroy(w);
}

static void a_refusal_by_the_person_is_passed_on(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "epid=aa"),
                      *bob = world_signed_in(w, "bob", "epid=bb");
    invite(ann, "ann", "bob", "c1");
    expect_status(ann, 100);
    char *got = take(bob);
    answer(bob, got, 603, NULL);
    drop(got);
    expect_status(ann, 603);
    world_destroy(w);
}

static void for_somebody_away_the_server_answers_keeps_and_hands_over(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "epid=aa");
    struct dialog d, to_bob;
    invite(ann, "ann", "bob", "c1");
    accepted(ann, "ann", "c1", &d);
    say(ann, "ann", &d, "MESSAGE", "text/plain; charset=UTF-8", "first");
    char *stored = take(ann);
    assert_int_equal(world_status(stored), 202);
    assert_string_equal(world_field(stored, "To"), d.to); /* inside the dialog that it belongs to */
    drop(stored);
    d.cseq--;
    say(ann, "ann", &d, "MESSAGE", "text/plain; charset=UTF-8", "first"); /* the same again */
    expect_status(ann, 202);
    say(ann, "ann", &d, "MESSAGE", "text/html", "<b>second</b>");
    expect_status(ann, 202);

    struct world_link *bob = world_signed_in(w, "bob", "epid=bb");
    opened(bob, "bob", "ann", &to_bob);
    taken(bob, "first", 200);
    taken(bob, "second", 200);
    assert_null(world_take(bob));
    /* The answer comes inside the dialog that the server opened, and goes where ann is: in a session, too. */
    struct dialog to_ann;
    say(bob, "bob", &to_bob, "MESSAGE", "text/plain", "back again");
    opened(ann, "ann", "bob", &to_ann);
    taken(ann, "back again", 200);
    expect_status(bob, 200);
    /* And what ann says goes on where it went before. */
    say(ann, "ann", &d, "MESSAGE", "text/plain", "fine");
    taken(bob, "fine", 200);
    expect_status(ann, 200);

    world_disconnect(bob, BK_LINK_END_CLOSED);
    bob = world_signed_in(w, "bob", "epid=bb");
    assert_null(world_take(bob)); /* handed over once */
    world_destroy(w);
}

static void nobody_takes_it_in_time_and_the_server_does(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "epid=aa"),
                      *bob = world_signed_in(w, "bob", "epid=bb");
    struct dialog d;
    invite(ann, "ann", "bob", "c1");
    expect_status(ann, 100);
    char *got = take(bob);
    answer(bob, got, 180, NULL);
    expect_status(ann, 180);
    world_advance(w, 21 * 1000);
    accepted(ann, "ann", "c1", &d);
    char *cancel = take(bob);
    assert_true(is(cancel, "CANCEL"));
    answer(bob, cancel, 200, NULL);
    answer(bob, got, 487, NULL);
    expect(bob, "ACK", "");
    assert_null(world_take(ann));
    drop(cancel);
    drop(got);
    world_destroy(w);
}

static void nobody_there_who_could_be_asked_is_an_unknown_address(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "epid=aa");
    invite(ann, "ann", "nobody", "c1");
    expect_status(ann, 404);
    world_destroy(w);
}

static void single_messages_reach_such_a_program_in_one_session_and_answers_come_back(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a"),
                      *bob = world_signed_in(w, "bob", "epid=bb");
    struct dialog d;
    single(ann, "ann", "bob", 1, "text/plain", "one");
    single(ann, "ann", "bob", 2, "text/plain", "two");
    opened(bob, "bob", "ann", &d);
    char *got = take(bob);
    assert_string_equal(world_field(got, "Content-Type"), "text/plain; charset=UTF-8");
    assert_string_equal(body_of(got), "one");
    assert_null(world_take(bob)); /* the second waits its turn */
    assert_null(world_take(ann));
    answer(bob, got, 200, NULL);
    drop(got);
    expect_status(ann, 200);
    taken(bob, "two", 200);
    expect_status(ann, 200);
    single(ann, "ann", "bob", 3, "text/plain", "three");
    taken(bob, "three", 200); /* no second INVITE */
    expect_status(ann, 200);

    say(bob, "bob", &d, "MESSAGE", "text/rtf", "{\\rtf1 {\\b hi}\\par}");
    got = take(ann);
    assert_true(is(got, "MESSAGE"));
    assert_string_equal(world_field(got, "Content-Type"), "text/plain");
    assert_string_equal(world_field(got, "To"), "<sip:ann@example.org>");
    assert_string_equal(body_of(got), "hi");
    answer(ann, got, 200, NULL);
    drop(got);
    expect_status(bob, 200);
    say(bob, "bob", &d, "MESSAGE", "text/x-msmsgsinvite", "Application-Name: x");
    expect_status(bob, 415);
    say(bob, "bob", &d, "BYE", "text/plain", "");
    expect_status(bob, 200);
    single(ann, "ann", "bob", 4, "text/plain", "four");
    got = take(bob);
    /* The shard that has ann knows of the BYE at once; another learns it by the answer. */
    if (is(got, "MESSAGE"))
        answer(bob, got, 481, NULL);
    else
        answer(bob, got, 200, "sip:bob@127.0.0.1:7");
    if (is(got, "MESSAGE")) {
        opened(bob, "bob", "ann", &d);
    } else {
        expect(bob, "ACK", "");
    }
    drop(got);
    taken(bob, "four", 200);
    expect_status(ann, 200);
    world_destroy(w);
}

static void a_session_reaches_a_plain_program_as_single_messages(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "epid=aa"),
                      *bob = world_signed_in(w, "bob", "urn:b");
    struct dialog d;
    invite(ann, "ann", "bob", "c1");
    accepted(ann, "ann", "c1", &d);
    assert_null(world_take(bob));
    say(ann, "ann", &d, "MESSAGE", "text/html", "<b>hello</b>");
    char *got = take(bob);
    assert_true(is(got, "MESSAGE"));
    assert_string_equal(world_field(got, "To"), "<sip:bob@example.org>");
    assert_string_equal(world_field(got, "Content-Type"), "text/plain");
    assert_string_equal(body_of(got), "hello");
    assert_null(world_take(ann)); /* not before it was taken */
    answer(bob, got, 200, NULL);
    drop(got);
    char *ok = take(ann);
    assert_int_equal(world_status(ok), 200);
    assert_string_equal(world_field(ok, "To"), d.to);
    drop(ok);
    say(ann, "ann", &d, "MESSAGE", "text/plain", "no");
    taken(bob, "no", 415);
    expect_status(ann, 415);
    say(ann, "ann", &d, "BYE", "text/plain", "");
    expect_status(ann, 200);
    world_destroy(w);
}

static void typing_is_told_both_ways(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "epid=aa"),
                      *bob = world_signed_in(w, "bob", "urn:b");
    struct dialog d, to_ann;
    const char active[] = "<isComposing><state>active</state></isComposing>";
    single(bob, "bob", "ann", 1, "application/im-iscomposing+xml", active);
    expect_status(bob, 200); /* no window is open there: nothing to show it in */
    assert_null(world_take(ann));
    single(bob, "bob", "ann", 2, "text/plain", "hi");
    opened(ann, "ann", "bob", &to_ann);
    taken(ann, "hi", 200);
    expect_status(bob, 200);
    single(bob, "bob", "ann", 3, "application/im-iscomposing+xml", active);
    char *got = take(ann);
    assert_true(is(got, "INFO"));
    assert_non_null(strstr(body_of(got), "status=\"type\""));
    answer(ann, got, 200, NULL);
    drop(got);
    expect_status(bob, 200);

    invite(ann, "ann", "bob", "c1");
    accepted(ann, "ann", "c1", &d);
    say(ann, "ann", &d, "INFO", "application/xml",
        "<KeyboardActivity><status status=\"idle\"/></KeyboardActivity>");
    expect_status(ann, 200);
    got = take(bob);
    assert_true(is(got, "MESSAGE"));
    assert_string_equal(world_field(got, "Content-Type"), "application/im-iscomposing+xml");
    assert_non_null(strstr(body_of(got), "<state>idle</state>"));
    answer(bob, got, 415, NULL); /* whoever cannot show it says so to nobody */
    drop(got);
    assert_null(world_take(ann));
    world_disconnect(bob, BK_LINK_END_CLOSED);
    say(ann, "ann", &d, "INFO", "application/xml",
        "<KeyboardActivity><status status=\"type\"/></KeyboardActivity>");
    expect_status(ann, 200);
    world_destroy(w);
}

static void every_endpoint_gets_it_in_its_own_way(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "epid=aa"),
                      *phone = world_signed_in(w, "bob", "urn:b"),
                      *desk = world_signed_in(w, "bob", "epid=bb");
    struct dialog d, to_bob;
    invite(ann, "ann", "bob", "c1");
    accepted(ann, "ann", "c1", &d);
    say(ann, "ann", &d, "MESSAGE", "text/plain", "both");
    opened(desk, "bob", "ann", &to_bob);
    taken(desk, "both", 200);
    expect_status(ann, 200);
    taken(phone, "both", 200);
    assert_null(world_take(ann)); /* answered once */
    world_destroy(w);
}

static void a_program_that_forgot_its_dialog_gets_the_message_in_a_new_one_once(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a"),
                      *bob = world_signed_in(w, "bob", "epid=bb");
    struct dialog d;
    single(ann, "ann", "bob", 1, "text/plain", "one");
    opened(bob, "bob", "ann", &d);
    taken(bob, "one", 200);
    expect_status(ann, 200);
    single(ann, "ann", "bob", 2, "text/plain", "two");
    taken(bob, "two", 481);
    opened(bob, "bob", "ann", &d);
    taken(bob, "two", 481); /* it does not want it: it waits in the store */
    expect_status(ann, 202);
    world_destroy(w);
}

static void a_program_that_rings_too_long_does_not_hold_up_the_sender(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a"),
                      *bob = world_signed_in(w, "bob", "epid=bb");
    single(ann, "ann", "bob", 1, "text/plain", "one");
    char *got = take(bob);
    assert_true(is(got, "INVITE"));
    world_advance(w, 6 * 1000);
    expect_status(ann, 202);
    answer(bob, got, 200, "sip:bob@127.0.0.1:7");
    expect(bob, "ACK", "");
    taken(bob, "one", 200);
    drop(got);
    assert_null(world_take(ann));
    world_disconnect(bob, BK_LINK_END_CLOSED);
    bob = world_signed_in(w, "bob", "epid=bb");
    assert_null(world_take(bob)); /* it was taken, late: it does not come again */
    world_destroy(w);
}

static void what_is_said_to_an_endpoint_that_left_is_kept_for_its_person(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "epid=aa"),
                      *bob = world_signed_in(w, "bob", "epid=bb");
    struct dialog d, to_bob;
    invite(ann, "ann", "bob", "c1");
    expect_status(ann, 100);
    char *got = take(bob);
    answer(bob, got, 200, "sip:bob@example.org;opaque=user:epid:y;gruu");
    drop(got);
    accepted(ann, "ann", "c1", &d);
    expect(bob, "ACK", "");
    world_disconnect(bob, BK_LINK_END_CLOSED);
    say(ann, "ann", &d, "MESSAGE", "text/plain", "still there?");
    char *kept = take(ann);
    assert_int_equal(world_status(kept), 202);
    assert_string_equal(world_field(kept, "To"), d.to);
    drop(kept);
    bob = world_signed_in(w, "bob", "epid=bb");
    opened(bob, "bob", "ann", &to_bob);
    kept = take(bob);
    assert_string_equal(body_of(kept), "still there?");
    assert_string_not_equal(world_field(kept, "Date"), ""); /* it says when it was written */
    answer(bob, kept, 200, NULL);
    drop(kept);
    /* The program that came back never heard of the old dialog. */
    say(ann, "ann", &d, "MESSAGE", "text/plain", "and now?");
    taken(bob, "and now?", 481);
    kept = take(bob); /* in the dialog that the server opened */
    assert_string_equal(body_of(kept), "and now?");
    assert_string_equal(world_field(kept, "Date"), ""); /* now, that is */
    answer(bob, kept, 200, NULL);
    drop(kept);
    kept = take(ann);
    assert_int_equal(world_status(kept), 200);
    assert_string_equal(world_field(kept, "To"), d.to);
    drop(kept);
    assert_null(world_take(bob));
    world_destroy(w);
}

/* Ann's session with Bob, who has our own client and takes it. */
static void begin_own(struct world_link *ann, struct world_link *bob, struct dialog *ret)
{
    invite(ann, "ann", "bob", "c1");
    expect_status(ann, 100);
    char *got = take(bob);
    assert_true(is(got, "INVITE"));
    answer(bob, got, 200, "sip:bob@127.0.0.1:7;transport=tls");
    drop(got);
    accepted(ann, "ann", "c1", ret);
    expect(bob, "ACK", "");
}

/* What was said in a dialog, once more and alone: under its key. */
static void repeat_alone(struct world_link *from, const struct dialog *d, const char *body)
{
    ask(from, "MESSAGE", "sip:bob@example.org", "ann", "<sip:bob@example.org>", d->call_id, d->cseq,
        "", "text/plain", body);
}

static void our_own_client_takes_sessions_and_single_messages(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "own=aa"),
                      *bob = world_signed_in(w, "bob", "own=bb");
    struct dialog d;
    single(ann, "ann", "bob", 1, "text/plain", "alone");
    taken(bob, "alone", 200);
    expect_status(ann, 200);
    begin_own(ann, bob, &d);
    say(ann, "ann", &d, "MESSAGE", "text/plain", "inside");
    taken(bob, "inside", 200);
    expect_status(ann, 200);
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_MESSAGES_DELIVERED), 2);
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_CALLS), 0);
    /* Whoever did not hear that it arrived says it again, alone: it is not handed over again. */
    repeat_alone(ann, &d, "inside");
    expect_status(ann, 200);
    assert_null(world_take(bob));
    /* And who had an answer, too, where he asks inside of the session. */
    d.cseq--;
    say(ann, "ann", &d, "MESSAGE", "text/plain", "inside");
    expect_status(ann, 200);
    assert_null(world_take(bob));
    world_destroy(w);
}

static void what_is_kept_comes_to_our_own_client_under_its_key(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "own=aa");
    struct dialog d;
    invite(ann, "ann", "bob", "c1");
    accepted(ann, "ann", "c1", &d);
    say(ann, "ann", &d, "MESSAGE", "text/plain", "kept");
    expect_status(ann, 202);
    struct world_link *bob = world_signed_in(w, "bob", "own=bb");
    char *got = take(bob);
    assert_true(is(got, "MESSAGE"));
    assert_string_equal(world_field(got, "Call-ID"), "c1");
    assert_string_equal(world_field(got, "CSeq"), "2 MESSAGE");
    assert_non_null(strstr(world_field(got, "From"), ";tag=own"));
    assert_true(world_field(got, "Date")[0]);
    answer(bob, got, 200, NULL);
    drop(got);
    world_destroy(w);
}

static void every_endpoint_of_our_own_client_hears_everything(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "own=aa"),
                      *desk = world_signed_in(w, "bob", "own=b1");
    struct dialog d;
    begin_own(ann, desk, &d);
    struct world_link *home = world_signed_in(w, "bob", "own=b2");
    say(ann, "ann", &d, "MESSAGE", "text/plain", "to both"); /* in the session with one of them */
    taken(desk, "to both", 200);
    taken(home, "to both", 200);
    expect_status(ann, 200);
    invite(ann, "ann", "bob", "c2"); /* and from now on the server stands in between */
    accepted(ann, "ann", "c2", &d);
    say(ann, "ann", &d, "MESSAGE", "text/plain", "to both again");
    taken(home, "to both again", 200);
    expect_status(ann, 200);
    taken(desk, "to both again", 200);
    world_disconnect(home, BK_LINK_END_CLOSED);
    invite(ann, "ann", "bob", "c3");
    expect_status(ann, 100);
    char *got = take(desk);
    assert_true(is(got, "INVITE"));
    answer(desk, got, 486, NULL);
    drop(got);
    world_destroy(w);
}

static void a_silent_endpoint_of_our_own_client_does_not_hold_the_sender(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "own=aa"),
                      *bob = world_signed_in(w, "bob", "own=bb");
    struct dialog d;
    begin_own(ann, bob, &d);
    say(ann, "ann", &d, "MESSAGE", "text/plain", "are you there");
    char *inside = take(bob);
    world_advance(w, 6 * 1000);
    char *alone = take(bob); /* once more, in case it was the session's fault; under the same key */
    assert_true(is(alone, "MESSAGE"));
    assert_string_equal(world_field(alone, "Call-ID"), world_field(inside, "Call-ID"));
    assert_string_equal(world_field(alone, "CSeq"), world_field(inside, "CSeq"));
    assert_string_equal(world_field(alone, "From"), world_field(inside, "From"));
    assert_null(world_take(ann));
    world_advance(w, 6 * 1000);
    expect_status(ann, 202);
    answer(bob, inside, 200, NULL); /* it was only slow */
    answer(bob, alone, 200, NULL);
    assert_null(world_take(ann));
    world_disconnect(bob, BK_LINK_END_CLOSED);
    bob = world_signed_in(w, "bob", "own=bb");
    assert_null(world_take(bob)); /* nothing is left for it */
    drop(inside);
    drop(alone);
    world_destroy(w);
}

static void a_sender_who_goes_while_a_silent_endpoint_is_waited_for_harms_nobody(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "own=aa"),
                      *bob = world_signed_in(w, "bob", "own=bb");
    struct dialog d;
    begin_own(ann, bob, &d);
    say(ann, "ann", &d, "MESSAGE", "text/plain", "are you there");
    char *inside = take(bob);
    world_disconnect(ann, BK_LINK_END_CLOSED);
    world_advance(w, 60 * 1000);
    drop(inside);
    bob = world_signed_in(w, "bob", "own=b2"); /* the server lives */
    assert_non_null(bob);
    world_destroy(w);
}

static void each_word_of_a_session_reaches_a_plain_program_under_its_own_call_id(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "own=aa"),
                      *bob = world_signed_in(w, "bob", "urn:b");
    struct dialog d;
    invite(ann, "ann", "bob", "c1");
    accepted(ann, "ann", "c1", &d);
    static const struct {
        const char *text, *call_id;
        int status;
    } words[] = { { "one", "c1-2", 200 }, { "two", "c1-3", 415 }, { "three", "c1-4", 200 } };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        say(ann, "ann", &d, "MESSAGE", "text/plain", words[i].text);
        char *got = take(bob);
        assert_string_equal(body_of(got), words[i].text);
        assert_string_equal(world_field(got, "Call-ID"), words[i].call_id);
        answer(bob, got, words[i].status, NULL);
        drop(got);
        got = take(ann);
        assert_int_equal(world_status(got), words[i].status);
        assert_string_equal(world_field(got, "Call-ID"), "c1");
        assert_string_equal(world_field(got, "To"), d.to);
        drop(got);
    }
    repeat_alone(ann, &d, "three"); /* it is known by what it was called here */
    expect_status(ann, 200);
    assert_null(world_take(bob));
    d.cseq = 7;
    repeat_alone(ann, &d, "four"); /* alone for the first time: likewise */
    char *got = take(bob);
    assert_string_equal(world_field(got, "Call-ID"), "c1-7");
    answer(bob, got, 200, NULL);
    drop(got);
    got = take(ann);
    assert_int_equal(world_status(got), 200);
    assert_string_equal(world_field(got, "Call-ID"), "c1");
    drop(got);
    world_disconnect(bob, BK_LINK_END_CLOSED);
    say(ann, "ann", &d, "MESSAGE", "text/plain", "kept");
    expect_status(ann, 202);
    bob = world_signed_in(w, "bob", "urn:b");
    got = take(bob);
    assert_string_equal(body_of(got), "kept");
    assert_string_equal(world_field(got, "Call-ID"), "c1-8");
    answer(bob, got, 200, NULL);
    drop(got);
    world_destroy(w);
}

int main(void)
{
    static unsigned one = 1, three = 3;
#define BOTH(test)                                                                                 \
    { #test ", one shard", test, NULL, NULL, &one },                                               \
    {                                                                                              \
#test ", three shards", test, NULL, NULL, &three                                           \
    }
    const struct CMUnitTest tests[] = {
        BOTH(a_conversation_passes_between_two_such_programs),
        BOTH(every_endpoint_rings_and_the_first_has_it),
        BOTH(a_refusal_by_the_person_is_passed_on),
        BOTH(for_somebody_away_the_server_answers_keeps_and_hands_over),
        BOTH(nobody_takes_it_in_time_and_the_server_does),
        BOTH(nobody_there_who_could_be_asked_is_an_unknown_address),
        BOTH(single_messages_reach_such_a_program_in_one_session_and_answers_come_back),
        BOTH(a_session_reaches_a_plain_program_as_single_messages),
        BOTH(typing_is_told_both_ways),
        BOTH(every_endpoint_gets_it_in_its_own_way),
        BOTH(a_program_that_forgot_its_dialog_gets_the_message_in_a_new_one_once),
        BOTH(a_program_that_rings_too_long_does_not_hold_up_the_sender),
        BOTH(what_is_said_to_an_endpoint_that_left_is_kept_for_its_person),
        BOTH(our_own_client_takes_sessions_and_single_messages),
        BOTH(what_is_kept_comes_to_our_own_client_under_its_key),
        BOTH(every_endpoint_of_our_own_client_hears_everything),
        BOTH(each_word_of_a_session_reaches_a_plain_program_under_its_own_call_id),
        BOTH(a_silent_endpoint_of_our_own_client_does_not_hold_the_sender),
        BOTH(a_sender_who_goes_while_a_silent_endpoint_is_waited_for_harms_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
