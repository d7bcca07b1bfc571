/* SPDX-License-Identifier: Apache-2.0 */
/* The server core, spoken to in SIP. */
#include "tests/fakes/world.h"

#include "failing_alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static void message(struct world_link *from, const char *who, const char *to, int n,
                    const char *text)
{
    world_send(
        from,
        "MESSAGE sip:%s@example.org SIP/2.0\r\nVia: SIP/2.0/TLS "
        "127.0.0.1;rport;branch=z9hG4bKm%s%d\r\n"
        "From: <sip:%s@example.org>;tag=m%d\r\nTo: <sip:%s@example.org>\r\nCall-ID: m%s%d\r\n"
        "CSeq: 1 MESSAGE\r\nX-Own: kept\r\nMax-Forwards: 70\r\nContent-Type: text/plain\r\n"
        "Content-Length: %zu\r\n\r\n%s",
        to, who, n, who, n, to, who, n, strlen(text), text);
}

static void answer(struct world_link *link, const char *request, int status)
{
    world_answer(link, request, status, "Contact: <sip:bob@127.0.0.1:9>\r\n");
}

/* A request of that method with whatever lines it needs. */
static void ask(struct world_link *from, const char *method, const char *uri, const char *who,
                const char *to, const char *to_tag, const char *call_id, int n, const char *lines)
{
    world_send(from,
               "%s %s SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;rport;branch=z9hG4bKq%s%s%d\r\n"
               "From: <sip:%s@example.org>;tag=q\r\nTo: <sip:%s@example.org>%s%s\r\n"
               "Call-ID: %s\r\nCSeq: %d %s\r\nContact: <sip:%s@127.0.0.1:7>\r\n"
               "Max-Forwards: 70\r\n%sContent-Length: 0\r\n\r\n",
               method, uri, call_id, method, n, who, to, to_tag ? ";tag=" : "",
               to_tag ? to_tag : "", call_id, n, method, who, lines);
}

/* ann calls bob; their dialog stands, ret is its Route. */
static void call(struct world_link *ann, struct world_link *bob, char ret[1024])
{
    ask(ann, "INVITE", "sip:bob@example.org", "ann", "bob", NULL, "c1", 1, "");
    assert_int_equal(world_status(world_take(ann)), 100);
    const char *taken = world_take(bob);
    assert_non_null(taken);
    char *invite = strdup(taken ? taken : "");
    answer(bob, invite, 200);
    free(invite);
    const char *ok = world_take(ann);
    assert_int_equal(world_status(ok), 200);
    snprintf(ret, 1024, "%s", world_field(ok, "Record-Route"));
}

static void a_person_signs_in_and_a_message_arrives(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a");
    struct world_link *bob = world_signed_in(w, "bob", "urn:b");
    message(ann, "ann", "bob", 1, "hello");
    const char *got = world_take(bob);
    assert_non_null(got);
    assert_non_null(strstr(got, "\r\n\r\nhello"));
    assert_string_equal(world_field(got, "X-Own"), "kept");
    assert_string_equal(world_field(got, "Max-Forwards"), "69");
    assert_null(world_take(ann)); /* nothing is acknowledged before somebody took it */
    answer(bob, got, 200);
    assert_int_equal(world_status(world_take(ann)), 200);
    world_destroy(w);
}

static void a_message_for_somebody_away_is_kept_and_comes_in_order(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a");
    w->hold_commits = true;
    message(ann, "ann", "bob", 1, "first");
    assert_null(world_take(ann)); /* not before it is on disk */
    w->hold_commits = false;
    world_settle(w);
    assert_int_equal(world_status(world_take(ann)), 202);
    message(ann, "ann", "bob", 2, "second");
    assert_int_equal(world_status(world_take(ann)), 202);
    message(ann, "ann", "bob", 2, "second"); /* the same again */
    assert_int_equal(world_status(world_take(ann)), 202);

    struct world_link *bob = world_signed_in(w, "bob", "urn:b");
    const char *got = world_take(bob);
    assert_non_null(got);
    assert_non_null(strstr(got, "\r\n\r\nfirst"));
    assert_string_equal(world_field(got, "Call-ID"), "mann1");
    assert_null(world_take(bob));
    answer(bob, got, 200);
    got = world_take(bob);
    assert_non_null(got);
    assert_non_null(strstr(got, "\r\n\r\nsecond"));
    answer(bob, got, 200);
    assert_null(world_take(bob));
    world_disconnect(bob, BK_LINK_END_CLOSED);
    world_settle(w);
    bob = world_signed_in(w, "bob", "urn:b");
    assert_null(world_take(bob)); /* nothing twice */
    world_destroy(w);
}

static void a_refusal_for_a_sender_who_left_is_dropped(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a");
    struct world_link *bob = world_signed_in(w, "bob", "urn:b");
    message(ann, "ann", "bob", 1, "going");
    const char *got = world_take(bob);
    assert_non_null(got);
    char *kept = strdup(got);
    world_disconnect(ann, BK_LINK_END_LOST);
    world_settle(w);
    answer(bob, kept, 415);
    world_settle(w);
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_TRANSACTIONS), 0);
    free(kept);
    world_destroy(w);
}

static void what_one_endpoint_cannot_show_waits_for_the_next(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a");
    message(ann, "ann", "bob", 1, "kept");
    world_settle(w);
    assert_int_equal(world_status(world_take(ann)), 202);
    struct world_link *phone = world_signed_in(w, "bob", "urn:phone");
    struct world_link *desk = world_connect(w, BK_LINK_TLS);
    const char *got = world_take(phone);
    assert_non_null(got);
    answer(phone, got, 415);
    world_settle(w);
    world_sign_in(desk, "bob", "urn:desk", 600);
    got = world_take(desk);
    assert_non_null(got);
    assert_non_null(strstr(got, "\r\n\r\nkept"));
    answer(desk, got, 200);
    world_settle(w);
    world_destroy(w);
}

static void an_endpoint_that_does_not_answer_holds_nobody_up(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a");
    struct world_link *bob = world_signed_in(w, "bob", "urn:b");
    message(ann, "ann", "bob", 1, "slow");
    char *got = strdup(world_take(bob));
    world_advance(w, 4900);
    assert_null(world_take(ann));
    world_advance(w, 200);
    assert_int_equal(world_status(world_take(ann)), 202);
    answer(bob, got, 200); /* late: the stored one goes */
    world_settle(w);
    world_disconnect(bob, BK_LINK_END_LOST);
    bob = world_signed_in(w, "bob", "urn:b");
    assert_null(world_take(bob));
    free(got);
    world_destroy(w);
}

/* First a challenge, then it once more with the same nonce, then 403: nothing is gained by a third try. */
static void a_wrong_password_and_an_unknown_person_are_told_the_same(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct bk_policy_value never = { .scope = BK_VIEW("global"),
                                     .key = BK_VIEW("tell-unknown-address"),
                                     .value = BK_VIEW("never") };
    struct bk_store_batch *batch = bk_store_batch_create();
    bk_store_put_policy(batch, &never);
    world_commit(w, batch);
    world_reload(w);
    struct world_link *link = world_connect(w, BK_LINK_TLS);
    char text[2][256];
    const char *names[] = { "bob", "nobody" };
    for (int i = 0; i < 2; i++) {
        char authorization[1024] = "", nonce[128] = "";
        for (int cseq = 1; cseq <= 3; cseq++) {
            world_send(
                link,
                "REGISTER sip:example.org SIP/2.0\r\nVia: SIP/2.0/TLS "
                "127.0.0.1;branch=z9hG4bK%s%d\r\n"
                "From: <sip:%s@example.org>;tag=1\r\nTo: <sip:%s@example.org>\r\nCall-ID: %s\r\n"
                "CSeq: %d REGISTER\r\nContact: <sip:x@127.0.0.1:1>\r\n%sContent-Length: 0\r\n\r\n",
                names[i], cseq, names[i], names[i], names[i], cseq, authorization);
            const char *a = world_take(link);
            assert_int_equal(world_status(a), cseq < 3 ? 401 : 403);
            snprintf(text[i], sizeof text[i], "%.60s", world_field(a, "Warning"));
            if (cseq > 1)
                assert_non_null(strstr(world_field(a, "ms-diagnostics"), "record=\"SI-202\""));
            if (cseq == 3) {
                assert_null(strstr(a, "WWW-Authenticate"));
                break;
            }
            struct bk_digest_challenge challenge;
            struct bk_buf value = { 0 };
            assert_int_equal(bk_digest_challenge_parse(
                                 bk_view_of_str(world_field(a, "WWW-Authenticate")), &challenge),
                             0);
            if (cseq == 2)
                assert_true(bk_view_equal(challenge.nonce, bk_view_of_str(nonce)));
            snprintf(nonce, sizeof nonce, "%.*s", BK_VIEW_ARGS(challenge.nonce));
            bk_digest_answer(&value, &challenge, bk_view_of_str(names[i]), BK_VIEW("wrong"),
                             BK_VIEW("REGISTER"), BK_VIEW("sip:example.org"), 1, &w->random);
            snprintf(authorization, sizeof authorization, "Authorization: %.*s\r\n", (int)value.len,
                     value.at);
            bk_buf_finish(&value);
        }
    }
    assert_string_equal(text[0], text[1]);
    world_destroy(w);
}

static void credentials_without_a_count_are_good_once(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *link = world_connect(w, BK_LINK_TLS);
    struct bk_digest_challenge challenge;
    struct bk_buf value = { 0 };
    char lines[600] = "";
    for (int n = 1; n <= 3; n++) {
        ask(link, "REGISTER", "sip:example.org", "ann", "ann", NULL, "once", n, lines);
        const char *a = world_take(link);
        assert_int_equal(world_status(a), n == 2 ? 200 : 401);
        if (n == 3)
            assert_non_null(strstr(a, "stale=true"));
        if (n > 1)
            continue;
        assert_int_equal(bk_digest_challenge_parse(
                             bk_view_of_str(world_field(a, "WWW-Authenticate")), &challenge),
                         0);
        challenge.qop_list = (struct bk_view){ 0 };
        assert_int_equal(bk_digest_answer(&value, &challenge, BK_VIEW("ann"), BK_VIEW("secret"),
                                          BK_VIEW("REGISTER"), BK_VIEW("sip:example.org"), 1,
                                          &w->random),
                         0);
        assert_true(bk_view_find_view(bk_buf_view(&value), BK_VIEW("qop")) == value.len);
        snprintf(lines, sizeof lines, "Expires: 0\r\nAuthorization: %.*s\r\n", (int)value.len,
                 value.at);
    }
    bk_buf_finish(&value);
    world_destroy(w);
}

static void watchers_see_people_come_and_go(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a");
    struct world_link *bob = world_connect(w, BK_LINK_TLS);
    world_send(
        ann,
        "SUBSCRIBE sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKs1\r\n"
        "From: <sip:ann@example.org>;tag=s1\r\nTo: <sip:bob@example.org>\r\nCall-ID: s1\r\n"
        "CSeq: 1 SUBSCRIBE\r\nEvent: presence\r\nContact: <sip:ann@127.0.0.1:7>\r\nExpires: 600\r\n"
        "Content-Length: 0\r\n\r\n");
    assert_int_equal(world_status(world_take(ann)), 200);
    const char *notify = world_take(ann);
    assert_non_null(notify);
    assert_non_null(strstr(notify, "<basic>closed</basic>"));
    answer(ann, notify, 200);
    world_sign_in(bob, "bob", "urn:b", 600);
    world_advance(w, 500);
    notify = world_take(ann);
    assert_non_null(notify);
    assert_non_null(strstr(notify, "<basic>open</basic>"));
    answer(ann, notify, 200);
    world_disconnect(bob, BK_LINK_END_LOST);
    world_advance(w, 500);
    notify = world_take(ann);
    assert_non_null(notify);
    assert_non_null(strstr(notify, "<basic>closed</basic>"));
    answer(ann, notify, 200);
    world_destroy(w);
}

static void over_udp_every_request_proves_who_it_is(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_connect(w, BK_LINK_UDP), *bob = world_connect(w, BK_LINK_TLS);
    assert_int_equal(world_sign_in(ann, "ann", "urn:a", 600), 200);
    world_sign_in(bob, "bob", "urn:b", 600);
    message(ann, "ann", "bob", 1,
            "forged?"); /* from the very address, but anybody can write that */
    assert_int_equal(world_status(world_take(ann)), 407);
    assert_null(world_take(bob));
    world_destroy(w);
}

static void a_call_passes_through_with_its_dialog(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a");
    struct world_link *bob = world_signed_in(w, "bob", "urn:b");
    world_send(
        ann, "INVITE sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKi1\r\n"
             "From: <sip:ann@example.org>;tag=i1\r\nTo: <sip:bob@example.org>\r\nCall-ID: i1\r\n"
             "CSeq: 1 INVITE\r\nContact: <sip:ann@127.0.0.1:7>\r\nMax-Forwards: "
             "70\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(world_status(world_take(ann)), 100);
    const char *taken = world_take(bob);
    assert_non_null(taken);
    char *invite = strdup(taken); /* what world_take gave is good until the next one */
    assert_true(strncmp(invite, "INVITE sip:bob@127.0.0.1:", 25) == 0);
    answer(bob, invite, 180);
    assert_int_equal(world_status(world_take(ann)), 180);
    answer(bob, invite, 200);
    const char *ok = world_take(ann);
    assert_int_equal(world_status(ok), 200);
    char route[1024];
    snprintf(route, sizeof route, "%s", world_field(ok, "Record-Route"));
    world_send(ann,
               "ACK sip:bob@127.0.0.1:9 SIP/2.0\r\nVia: SIP/2.0/TLS "
               "127.0.0.1;branch=z9hG4bKi2\r\nRoute: %s\r\n"
               "From: <sip:ann@example.org>;tag=i1\r\nTo: "
               "<sip:bob@example.org>;tag=callee\r\nCall-ID: i1\r\n"
               "CSeq: 1 ACK\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
               route);
    const char *ack = world_take(bob);
    assert_non_null(ack);
    assert_true(strncmp(ack, "ACK sip:bob@127.0.0.1:9", 23) == 0);
    assert_string_equal(world_field(ack, "Route"), "");
    free(invite);
    world_send(bob,
               "BYE sip:ann@127.0.0.1:7 SIP/2.0\r\nVia: SIP/2.0/TLS "
               "127.0.0.1;branch=z9hG4bKi3\r\nRoute: %s\r\n"
               "From: <sip:bob@example.org>;tag=callee\r\nTo: "
               "<sip:ann@example.org>;tag=i1\r\nCall-ID: i1\r\n"
               "CSeq: 1 BYE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
               route);
    const char *bye = world_take(ann);
    assert_non_null(bye);
    assert_true(strncmp(bye, "BYE sip:ann@127.0.0.1:7", 23) == 0);
    answer(ann, bye, 200);
    assert_int_equal(world_status(world_take(bob)), 200);
    world_destroy(w);
}

static void nobody_signs_others_out_by_a_forged_notice(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a");
    struct world_link *bob = world_signed_in(w, "bob", "urn:b");
    ask(ann, "NOTIFY", "sip:bob@example.org", "ann", "bob", NULL, "n1", 1,
        "Event: registration-notify\r\nSubscription-State: terminated\r\n");
    assert_int_equal(world_status(world_take(ann)), 481);
    char route[1024], lines[1200];
    call(ann, bob, route);
    static const char *const events[] = { "registration-notify", "presence" };
    for (int i = 0; i < 2; i++) {
        snprintf(lines, sizeof lines,
                 "Route: %s\r\nEvent: %s\r\nSubscription-State: terminated\r\n", route, events[i]);
        ask(ann, "NOTIFY", "sip:bob@127.0.0.1:9", "ann", "bob", "callee", "c1", 5 + i, lines);
        assert_int_equal(world_status(world_take(ann)), 481);
    }
    assert_null(world_take(bob));
    world_destroy(w);
}

/* bob watches ann and has answered what he was told so far. */
static void watch(struct world *w, struct world_link *ann, struct world_link *bob)
{
    world_sign_in(ann, "ann", "urn:a", 600);
    world_sign_in(bob, "bob", "urn:b", 600);
    ask(bob, "SUBSCRIBE", "sip:ann@example.org", "bob", "ann", NULL, "s1", 1,
        "Event: presence\r\nExpires: 600\r\n");
    assert_int_equal(world_status(world_take(bob)), 200);
    answer(bob, world_take(bob), 200);
    world_advance(w, 1000);
    while (world_take(bob) || world_take(ann))
        ;
}

/* ann publishes; no timer runs, only what a burst of bytes sets going. */
static void publish(struct world *w, struct world_link *ann, int n, const char *activity)
{
    char body[512], text[1024];
    snprintf(body, sizeof body,
             "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" "
             "xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" "
             "xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"sip:ann@example.org\">"
             "<dm:person id=\"p\"><rpid:activities><rpid:%s/></rpid:activities></dm:person>"
             "</presence>",
             activity);
    int len = snprintf(text, sizeof text,
                       "PUBLISH sip:ann@example.org SIP/2.0\r\n"
                       "Via: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKpub%d\r\n"
                       "From: <sip:ann@example.org>;tag=p\r\nTo: <sip:ann@example.org>\r\n"
                       "Call-ID: pub\r\nCSeq: %d PUBLISH\r\nMax-Forwards: 70\r\n"
                       "Event: presence\r\nContent-Type: application/pidf+xml\r\n"
                       "Content-Length: %zu\r\n\r\n%s",
                       n, n, strlen(body), body);
    bk_core_receive(w->core, ann->id, (struct bk_view){ text, (size_t)len }, NULL);
    bk_core_pump(w->core);
    assert_int_equal(world_status(world_take(ann)), 200);
}

static void what_is_published_is_told_at_once_and_then_after_a_pause(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_connect(w, BK_LINK_TLS), *bob = world_connect(w, BK_LINK_TLS);
    watch(w, ann, bob);

    publish(w, ann, 1, "busy");
    const char *told = world_take(bob);
    assert_non_null(told);
    assert_non_null(strstr(told, "busy"));
    answer(bob, told, 200);

    /* Within 300 ms of the last round: one NOTIFY for all of it, and the last word counts. */
    publish(w, ann, 2, "away");
    publish(w, ann, 3, "busy");
    publish(w, ann, 4, "on-the-phone");
    assert_null(world_take(bob));
    world_advance(w, 320);
    told = world_take(bob);
    assert_non_null(told);
    assert_non_null(strstr(told, "on-the-phone"));
    answer(bob, told, 200);
    world_advance(w, 2000);
    assert_null(world_take(bob));

    world_destroy(w);
}

static void news_behind_an_unanswered_notify_are_the_latest(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_connect(w, BK_LINK_TLS), *bob = world_connect(w, BK_LINK_TLS);
    watch(w, ann, bob);

    publish(w, ann, 1, "busy");
    const char *taken = world_take(bob);
    assert_non_null(taken);
    char *first = strdup(taken ? taken : "");
    world_advance(w, 1000);
    publish(w, ann, 2, "away");
    world_advance(w, 1000);
    publish(w, ann, 3, "on-the-phone");
    world_advance(w, 1000);
    assert_null(world_take(bob)); /* one NOTIFY at a time */
    answer(bob, first, 200);
    free(first);
    const char *told = world_take(bob);
    assert_non_null(told);
    assert_non_null(strstr(told, "on-the-phone"));
    answer(bob, told, 200);
    assert_null(world_take(bob));

    world_destroy(w);
}

static void of_the_answer_to_a_notify_only_the_status_counts(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_connect(w, BK_LINK_TLS), *bob = world_connect(w, BK_LINK_TLS);
    watch(w, ann, bob);

    publish(w, ann, 1, "busy");
    const char *told = world_take(bob);
    assert_non_null(told);
    world_send(bob,
               "SIP/2.0 200 OK\r\nVia: %s\r\nFrom: <nobody\r\nTo: \"\r\nCall-ID: \r\n"
               "CSeq: %s\r\nContent-Length: 0\r\n\r\n",
               world_field(told, "Via"), world_field(told, "CSeq"));
    world_advance(w, 1000);
    publish(w, ann, 2, "away");
    assert_non_null(world_take(bob)); /* the first one is over */

    /* One that is handed on to somebody is looked at as a whole. */
    message(ann, "ann", "bob", 1, "hello");
    const char *got = world_take(bob);
    assert_non_null(got);
    struct bk_buf vias = { 0 };
    for (const char *at = got; (at = strstr(at, "\r\nVia: ")); at += 2) {
        bk_buf_add(&vias, at + 2, (size_t)(strstr(at + 2, "\r\n") - at));
    }
    world_send(bob,
               "SIP/2.0 200 OK\r\n%.*sFrom: <nobody\r\nTo: \"\r\nCall-ID: x\r\n"
               "CSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n",
               (int)vias.len, vias.at);
    bk_buf_finish(&vias);
    assert_null(world_take(ann));

    world_destroy(w);
}

static void credentials_and_claimed_identities_stay_here(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a");
    struct world_link *bob = world_signed_in(w, "bob", "urn:b");
    char route[1024], lines[1600];
    call(ann, bob, route);
    static const char *const methods[] = { "ACK", "INFO" };
    for (int i = 0; i < 2; i++) {
        snprintf(lines, sizeof lines,
                 "Route: %s\r\nProxy-Authorization: Digest username=\"ann\"\r\n"
                 "Authorization: Digest username=\"ann\"\r\n"
                 "Remote-Party-ID: <sip:boss@example.org>\r\nX-Own: kept\r\n"
                 "P-Preferred-Identity: <sip:boss@example.org>\r\n"
                 "P-Asserted-Identity: <sip:boss@example.org>\r\n",
                 route);
        ask(ann, methods[i], "sip:bob@127.0.0.1:9", "ann", "bob", "callee", "c1", 1 + i, lines);
        const char *got = world_take(bob);
        assert_non_null(got);
        assert_string_equal(world_field(got, "X-Own"), "kept");
        assert_null(strstr(got, "uthorization"));
        assert_null(strstr(got, "boss"));
    }
    world_destroy(w);
}

static void block(struct world *w, const char *owner, const char *subject)
{
    struct bk_relation row = { bk_view_of_str(owner), bk_view_of_str(subject), 32000 };
    struct bk_store_batch *batch = bk_store_batch_create();
    bk_store_put_relation(batch, &row);
    world_commit(w, batch);
    bk_core_user_changed(w->core, bk_view_of_str(owner));
    world_settle(w);
}

static void a_route_leads_only_inside_its_own_dialog_and_not_past_a_block(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a");
    struct world_link *bob = world_signed_in(w, "bob", "urn:b");
    char route[1024], lines[1200];
    call(ann, bob, route);
    snprintf(lines, sizeof lines, "Route: %s\r\n", route);
    ask(ann, "INFO", "sip:bob@127.0.0.1:9", "ann", "bob", "callee", "another", 1, lines);
    assert_int_equal(world_status(world_take(ann)), 481); /* not this dialog */
    ask(ann, "MESSAGE", "sip:bob@127.0.0.1:9", "ann", "bob", NULL, "c1", 2, lines);
    assert_int_equal(world_status(world_take(ann)), 481); /* in no dialog */
    assert_null(world_take(bob));
    ask(ann, "INFO", "sip:bob@127.0.0.1:9", "ann", "bob", "callee", "c1", 3, lines);
    assert_non_null(world_take(bob));
    block(w, "bob@example.org", "ann@example.org");
    ask(ann, "MESSAGE", "sip:bob@127.0.0.1:9", "ann", "bob", "callee", "c1", 4, lines);
    assert_int_equal(world_status(world_take(ann)), 481);
    assert_null(world_take(bob));
    ask(ann, "BYE", "sip:bob@127.0.0.1:9", "ann", "bob", "callee", "c1", 5, lines);
    assert_non_null(world_take(bob));
    world_destroy(w);
}

static void who_is_blocked_is_told_what_an_unknown_address_is_told(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a");
    struct world_link *bob = world_signed_in(w, "bob", "urn:b");
    block(w, "bob@example.org", "ann@example.org");
    static const char *const methods[] = { "INVITE", "INFO", "MESSAGE" };
    static const char *const names[] = { "bob", "nob" };
    for (int i = 0; i < 3; i++) {
        char said[2][512];
        for (int k = 0; k < 2; k++) {
            char uri[64], id[16];
            snprintf(uri, sizeof uri, "sip:%s@example.org", names[k]);
            snprintf(id, sizeof id, "b%d%d", i, k);
            ask(ann, methods[i], uri, "ann", names[k], NULL, id, 1, "");
            const char *a = world_take(ann);
            assert_non_null(a);
            snprintf(said[k], sizeof said[k], "%.*s|%s|%s", (int)strcspn(a, "\r"), a,
                     world_field(a, "Warning"), world_field(a, "ms-diagnostics"));
            for (char *at; (at = strstr(said[k], names[k]));)
                memcpy(at, "xxx", 3);
            /* each refusal has its own code */
            static const char *const before[] = { " (", "case=\"" };
            for (int b = 0; b < 2; b++) {
                char *code = strstr(said[k], before[b]);
                assert_non_null(code);
                memset(code + strlen(before[b]), 'x', 9);
            }
        }
        assert_string_equal(said[0], said[1]);
    }
    assert_null(world_take(bob));
    world_destroy(w);
}

static void a_device_password_taken_away_ends_what_it_opened(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *bob = world_signed_in(w, "bob", "urn:b");
    bk_core_device_password_changed(w->core, BK_VIEW("bob@example.org"));
    world_settle(w);
    assert_false(bob->open);
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_ENDPOINTS), 0);
    world_destroy(w);
}

static void disabling_somebody_ends_the_session_and_shows_offline(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *bob = world_signed_in(w, "bob", "urn:b");
    struct bk_arena arena = { 0 };
    struct bk_user user;
    assert_int_equal(bk_store_user(w->store, BK_VIEW("bob@example.org"), &arena, &user), 0);
    user.enabled = false;
    struct bk_store_batch *batch = bk_store_batch_create();
    bk_store_put_user(batch, &user);
    world_commit(w, batch);
    bk_arena_finish(&arena);
    bk_core_user_changed(w->core, BK_VIEW("bob@example.org"));
    world_settle(w);
    assert_false(bob->open);
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_ENDPOINTS), 0);
    world_disconnect(bob, BK_LINK_END_CLOSED);
    bob = world_connect(w, BK_LINK_TLS);
    assert_int_equal(world_sign_in(bob, "bob", "urn:b", 600), 403);
    world_destroy(w);
}

/* The same request again with the credentials its challenge asks for; what comes back then. */
static const char *ask_proved(struct world_link *from, const char *method, const char *uri,
                              const char *who, const char *to, const char *call_id, int n,
                              const char *lines)
{
    char all[2048];
    struct bk_digest_challenge challenge;
    struct bk_buf value = { 0 };
    ask(from, method, uri, who, to, NULL, call_id, n, lines);
    const char *refused = world_take(from);
    bool proxy = world_status(refused) == 407;
    assert_true(proxy || world_status(refused) == 401);
    assert_int_equal(
        bk_digest_challenge_parse(
            bk_view_of_str(world_field(refused, proxy ? "Proxy-Authenticate" : "WWW-Authenticate")),
            &challenge),
        0);
    bk_digest_answer(&value, &challenge, bk_view_of_str(who), BK_VIEW("secret"),
                     bk_view_of_str(method), bk_view_of_str(uri), 1, &from->world->random);
    snprintf(all, sizeof all, "%s%s: %.*s\r\n", lines,
             proxy ? "Proxy-Authorization" : "Authorization", (int)value.len, value.at);
    bk_buf_finish(&value);
    ask(from, method, uri, who, to, NULL, call_id, n + 1, all);
    return world_take(from);
}

static void set_enabled(struct world *w, const char *address, bool enabled)
{
    struct bk_arena arena = { 0 };
    struct bk_user user;
    assert_int_equal(bk_store_user(w->store, bk_view_of_str(address), &arena, &user), 0);
    user.enabled = enabled;
    struct bk_store_batch *batch = bk_store_batch_create();
    bk_store_put_user(batch, &user);
    world_commit(w, batch);
    bk_arena_finish(&arena);
    bk_core_user_changed(w->core, bk_view_of_str(address));
    world_settle(w);
}

static void must_be_over(struct world_link *link)
{
    const char *notify = world_take(link);
    assert_non_null(notify);
    assert_int_equal(strncmp(notify, "NOTIFY ", 7), 0);
    assert_non_null(strstr(world_field(notify, "Subscription-State"), "terminated"));
    assert_non_null(strstr(world_field(notify, "Subscription-State"), "reason=rejected"));
    assert_non_null(strstr(notify, "<basic>closed</basic>"));
    answer(link, notify, 200);
}

static void a_disabled_person_watches_nobody_any_more(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *udp = world_connect(w, BK_LINK_UDP), *shared = world_connect(w, BK_LINK_TLS);
    static const char watch[] = "Event: presence\r\nExpires: 600\r\n";
    world_sign_in(shared, "ann", "urn:a", 600);
    world_sign_in(shared, "bob", "urn:b", 600);
    assert_int_equal(world_status(ask_proved(udp, "SUBSCRIBE", "sip:bob@example.org", "ann", "bob",
                                             "su", 1, watch)),
                     200);
    const char *notify = world_take(udp);
    assert_non_null(strstr(notify, "<basic>open</basic>"));
    answer(udp, notify, 200);
    static const char *const watchers[] = { "ann", "bob" };
    for (int i = 0; i < 2; i++) {
        ask(shared, "SUBSCRIBE", "sip:bob@example.org", watchers[i], "bob", NULL, watchers[i], 1,
            watch);
        assert_int_equal(world_status(world_take(shared)), 200);
        notify = world_take(shared);
        answer(shared, notify, 200);
    }
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_SUBSCRIPTIONS), 3);
    set_enabled(w, "ann@example.org", false);
    world_advance(w, 2000);
    must_be_over(udp);
    assert_true(shared->open); /* bob is signed in there */
    must_be_over(shared);
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_SUBSCRIPTIONS), 1);
    world_destroy(w);
}

static void a_tenant_that_ends_takes_sessions_and_subscriptions_along(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *udp = world_connect(w, BK_LINK_UDP), *links[2];
    static const char *const names[] = { "ann", "bob" };
    for (int i = 0; i < 2; i++) {
        links[i] = world_connect(w, BK_LINK_TLS);
        world_sign_in(links[i], names[i], names[i], 600);
    }
    for (int i = 0; i < 2; i++) {
        char uri[64];
        snprintf(uri, sizeof uri, "sip:%s@example.org", names[1 - i]);
        assert_int_equal(
            world_status(ask_proved(udp, "SUBSCRIBE", uri, names[i], names[1 - i], names[i], 1,
                                    "Event: presence\r\nExpires: 600\r\n")),
            200);
        answer(udp, world_take(udp), 200);
    }
    struct bk_arena arena = { 0 };
    struct bk_tenant tenant;
    assert_int_equal(bk_store_tenant_by_name(w->store, BK_VIEW("main"), &arena, &tenant), 0);
    tenant.state = BK_TENANT_SUSPENDED;
    struct bk_store_batch *batch = bk_store_batch_create();
    bk_store_put_tenant(batch, &tenant);
    world_commit(w, batch);
    bk_arena_finish(&arena);
    world_reload(w);
    world_advance(w, 2000);
    must_be_over(udp);
    must_be_over(udp);
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_SUBSCRIPTIONS), 0);
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_ENDPOINTS), 0);
    for (int i = 0; i < 2; i++) {
        assert_false(links[i]->open);
        world_disconnect(links[i], BK_LINK_END_CLOSED);
    }
    world_destroy(w);
}

static void who_signed_out_is_a_stranger_again(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a");
    assert_true(ann->known);
    assert_int_equal(bk_core_message_max(w->core, ann->id), 256 * 1024);
    world_send(ann,
               "REGISTER sip:example.org SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKo\r\n"
               "From: <sip:ann@example.org>;tag=o\r\nTo: <sip:ann@example.org>\r\n"
               "Call-ID: out\r\nCSeq: 2 REGISTER\r\n"
               "Contact: <sip:ann@127.0.0.1:7>;+sip.instance=\"<urn:a>\";expires=0\r\n"
               "Content-Length: 0\r\n\r\n");
    assert_int_equal(world_status(world_take(ann)), 200);
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_ENDPOINTS), 0);
    assert_false(ann->known);
    assert_int_equal(bk_core_message_max(w->core, ann->id), 32 * 1024);
    world_advance(w, 33 * 1000);
    assert_false(ann->open);
    world_destroy(w);
}

static void a_long_endpoint_name_is_kept_short_and_still_found(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_connect(w, BK_LINK_TLS), *bob = world_connect(w, BK_LINK_TLS);
    char name[6000], route[1024], lines[1200];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    world_sign_in(ann, "ann", "urn:a", 600);
    assert_int_equal(world_sign_in(bob, "bob", name, 600), 200);
    assert_int_equal(world_sign_in(bob, "bob", name, 600), 200);
    name[3] = 'y'; /* another one */
    assert_int_equal(world_sign_in(bob, "bob", name, 600), 200);
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_ENDPOINTS), 3);
    bk_core_sign_out(w->core, BK_VIEW("bob@example.org"), (struct bk_view){ 0 });
    world_disconnect(bob, BK_LINK_END_CLOSED);
    bob = world_connect(w, BK_LINK_TLS);
    world_sign_in(bob, "bob", name, 600);
    call(ann, bob, route);
    assert_true(strlen(route) < 400);
    snprintf(lines, sizeof lines, "Route: %s\r\n", route);
    ask(ann, "INFO", "sip:bob@127.0.0.1:9", "ann", "bob", "callee", "c1", 3, lines);
    assert_non_null(world_take(bob));
    world_destroy(w);
}

static int reg(struct world_link *link, const char *call_id, int cseq, const char *lines)
{
    world_send(link,
               "REGISTER sip:example.org SIP/2.0\r\nVia: SIP/2.0/TLS "
               "127.0.0.1;branch=z9hG4bKr%s%d\r\nFrom: <sip:ann@example.org>;tag=o\r\n"
               "To: <sip:ann@example.org>\r\nCall-ID: %s\r\nCSeq: %d REGISTER\r\n%s"
               "Content-Length: 0\r\n\r\n",
               call_id, cseq, call_id, cseq, lines);
    return world_status(world_take(link));
}

static void a_register_is_taken_as_a_whole_or_not_at_all(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a");
    assert_int_equal(reg(ann, "r", 1, "Contact: <sip:a@127.0.0.1:1>;expires=600\r\n"), 200);
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_ENDPOINTS), 2);
    /* The first would be new, the second is too brief. */
    assert_int_equal(reg(ann, "r", 2,
                         "Contact: <sip:a@127.0.0.1:2>;expires=600, "
                         "<sip:a@127.0.0.1:3>;expires=10\r\n"),
                     423);
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_ENDPOINTS), 2);
    /* The first would go, the rest is more than there may be (8). */
    assert_int_equal(
        reg(ann, "r", 3,
            "Expires: 600\r\nContact: <sip:a@127.0.0.1:1>;expires=0, <sip:a@127.0.0.1:2>, "
            "<sip:a@127.0.0.1:3>, <sip:a@127.0.0.1:4>, <sip:a@127.0.0.1:5>\r\n"
            "Contact: <sip:a@127.0.0.1:6>, <sip:a@127.0.0.1:7>, <sip:a@127.0.0.1:8>, "
            "<sip:a@127.0.0.1:9>\r\n"),
        403);
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_ENDPOINTS), 2);
    /* One of them came late. */
    assert_int_equal(reg(ann, "s", 7, "Contact: <sip:a@127.0.0.1:1>;expires=600\r\n"), 200);
    assert_int_equal(reg(ann, "s", 6,
                         "Contact: <sip:a@127.0.0.1:4>;expires=600, "
                         "<sip:a@127.0.0.1:1>;expires=600\r\n"),
                     500);
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_ENDPOINTS), 2);
    assert_int_equal(reg(ann, "s", 8,
                         "Contact: <sip:a@127.0.0.1:1>;expires=0, "
                         "<sip:a@127.0.0.1:4>;expires=600, <sip:a@127.0.0.1:5>;expires=600\r\n"),
                     200);
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_ENDPOINTS), 3);
    world_destroy(w);
}

static void an_old_star_removes_nothing(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a");
    assert_int_equal(reg(ann, "r", 5, "Contact: <sip:a@127.0.0.1:1>;expires=600\r\n"), 200);
    assert_int_equal(reg(ann, "r", 4, "Contact: *\r\nExpires: 0\r\n"), 500);
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_ENDPOINTS), 2);
    assert_int_equal(reg(ann, "r", 6, "Contact: *\r\nExpires: 0\r\n"), 200);
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_ENDPOINTS), 0);
    world_destroy(w);
}

static void an_ack_goes_on_only_from_an_end_of_its_dialog(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_connect(w, BK_LINK_TLS), *bob = world_connect(w, BK_LINK_TLS),
                      *stranger = world_connect(w, BK_LINK_TLS),
                      *udp = world_connect(w, BK_LINK_UDP);
    world_sign_in(ann, "ann", "urn:a", 600);
    world_sign_in(bob, "bob", "urn:b", 600);
    char route[1024], lines[1200];
    call(ann, bob, route);
    snprintf(lines, sizeof lines, "Route: %s\r\n", route);
    ask(stranger, "ACK", "sip:bob@127.0.0.1:9", "ann", "bob", "callee", "c1", 1, lines);
    ask(udp, "ACK", "sip:bob@127.0.0.1:9", "ann", "bob", "callee", "c1", 1, lines);
    assert_null(world_take(bob));
    assert_null(world_take(stranger));
    ask(ann, "ACK", "sip:bob@127.0.0.1:9", "ann", "bob", "callee", "c1", 1, lines);
    assert_non_null(world_take(bob));
    /* Who calls over UDP proves himself with the INVITE; its ACK comes from there. */
    const char *trying =
        ask_proved(udp, "INVITE", "sip:bob@example.org", "ann", "bob", "c2", 1, "");
    assert_int_equal(world_status(trying), 100);
    const char *invite = world_take(bob);
    answer(bob, invite, 200);
    const char *ok = world_take(udp);
    assert_int_equal(world_status(ok), 200);
    snprintf(lines, sizeof lines, "Route: %s\r\n", world_field(ok, "Record-Route"));
    ask(stranger, "ACK", "sip:bob@127.0.0.1:9", "ann", "bob", "callee", "c2", 2, lines);
    assert_null(world_take(bob));
    ask(udp, "ACK", "sip:bob@127.0.0.1:9", "ann", "bob", "callee", "c2", 2, lines);
    assert_non_null(world_take(bob));
    world_destroy(w);
}

static void a_route_token_with_nothing_in_it_is_no_token(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a");
    ask(ann, "INFO", "sip:bob@127.0.0.1:9", "ann", "bob", "callee", "c1", 1,
        "Route: <sip:bkr-@127.0.0.1:5061;lr>\r\n");
    assert_int_equal(world_status(world_take(ann)), 481);
    world_destroy(w);
}

static void an_address_nobody_can_have_is_refused_by_its_character(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a");
    ask(ann, "OPTIONS", "sip:o%27neill%40example.org@srv.example.org", "ann", "bob", NULL, "x", 1,
        "");
    const char *refused = world_take(ann);
    assert_int_equal(world_status(refused), 400);
    assert_non_null(strstr(world_field(refused, "ms-diagnostics"), "record=\"SI-111\""));
    assert_non_null(strstr(refused, "an apostrophe"));
    world_destroy(w);
}

static void a_cancel_counts_no_hops(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a");
    struct world_link *bob = world_signed_in(w, "bob", "urn:b");
    static const char *const methods[] = { "INVITE", "CANCEL" };
    for (int i = 0; i < 2; i++)
        world_send(
            ann,
            "%s sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/TLS "
            "127.0.0.1;branch=z9hG4bKi1\r\nFrom: <sip:ann@example.org>;tag=i1\r\n"
            "To: <sip:bob@example.org>\r\nCall-ID: i1\r\nCSeq: 1 %s\r\n"
            "Contact: <sip:ann@127.0.0.1:7>\r\nMax-Forwards: %d\r\nContent-Length: 0\r\n\r\n",
            methods[i], methods[i], i ? 0 : 70);
    assert_int_equal(world_status(world_take(ann)), 100);
    const char *ok = world_take(ann);
    assert_int_equal(world_status(ok), 200);
    assert_string_equal(world_field(ok, "CSeq"), "1 CANCEL");
    const char *invite = world_take(bob);
    answer(bob, invite, 180);
    assert_int_equal(strncmp(world_take(bob), "CANCEL ", 7), 0);
    /* One that matches nothing, for whatever target. */
    static const char *const uris[] = { "sip:bob@example.org", "sip:bob@elsewhere.example" };
    for (int i = 0; i < 2; i++) {
        while (world_take(ann))
            ;
        ask(ann, "CANCEL", uris[i], "ann", "bob", NULL, "none", 2 + i, "");
        assert_int_equal(world_status(world_take(ann)), 481);
    }
    world_destroy(w);
}

static void what_a_sender_makes_us_keep_has_a_limit(void **state)
{
    struct bk_core_limits limits = bk_core_limits_default;
    limits.pending_bytes_per_link = 8 * 1024;
    limits.pending_bytes_total = 12 * 1024;
    struct world *w =
        world_create(&(struct world_config){ .shards = *(unsigned *)*state,
                                             .bus_always_queues = *(unsigned *)*state > 1,
                                             .seed = 1,
                                             .limits = &limits });
    world_user(w, "ann", "MD5");
    world_user(w, "bob", "SHA-256");
    struct world_link *ann[2], *bob = world_connect(w, BK_LINK_TLS);
    world_sign_in(bob, "bob", "urn:b", 600);
    char text[3001];
    memset(text, 'x', 3000);
    text[3000] = 0;
    static const int taken[] = { 2, 1 }; /* the second stops where all is spent */
    char *first = NULL;
    int n = 0;
    for (int i = 0; i < 2; i++) {
        ann[i] = world_connect(w, BK_LINK_TLS);
        world_sign_in(ann[i], "ann", i ? "urn:a1" : "urn:a0", 600);
        for (int k = 0; k < taken[i]; k++) {
            message(ann[i], "ann", "bob", ++n, text);
            assert_null(world_take(ann[i]));
            const char *got = world_take(bob);
            assert_non_null(got);
            if (!first)
                first = strdup(got);
        }
        message(ann[i], "ann", "bob", ++n, text);
        const char *refused = world_take(ann[i]);
        assert_int_equal(world_status(refused), 503);
        assert_non_null(strstr(world_field(refused, "ms-diagnostics"), "record=\"SI-404\""));
        assert_string_equal(world_field(refused, "Retry-After"), "10");
        assert_null(world_take(bob));
    }
    answer(bob, first, 200); /* then there is room again */
    assert_int_equal(world_status(world_take(ann[0])), 200);
    message(ann[0], "ann", "bob", ++n, text);
    assert_null(world_take(ann[0]));
    assert_non_null(world_take(bob));
    free(first);
    world_disconnect(ann[0], BK_LINK_END_CLOSED);
    world_disconnect(ann[1], BK_LINK_END_CLOSED);
    world_destroy(w);
}

static void a_small_register_over_udp_is_answered_and_not_amplified(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *udp = world_connect(w, BK_LINK_UDP);
    static const char *const requests[] = {
        "REGISTER sip:example.org SIP/2.0\r\nv: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKs\r\n"
        "f: <sip:ann@example.org>;tag=1\r\nt: <sip:ann@example.org>\r\ni: s\r\n"
        "CSeq: 1 REGISTER\r\nm: <sip:ann@127.0.0.1:7>\r\nl: 0\r\n\r\n",
        "REGISTER sip:example.org SIP/2.0\r\nv: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKt\r\n"
        "f: <sip:nobody@elsewhere.example>;tag=1\r\nt: <sip:nobody@elsewhere.example>\r\ni: t\r\n"
        "CSeq: 1 REGISTER\r\nm: <sip:ann@127.0.0.1:7>\r\nl: 0\r\n\r\n",
    };
    static const int statuses[] = { 401, 404 };
    for (int i = 0; i < 2; i++) {
        world_send(udp, "%s", requests[i]);
        const char *a = world_take(udp);
        assert_non_null(a);
        assert_int_equal(world_status(a), statuses[i]);
        assert_true(strlen(a) <= 2 * strlen(requests[i]));
    }
    world_destroy(w);
}

static void a_publication_taken_back_is_answered_with_a_tag(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_signed_in(w, "ann", "urn:a");
    static const char pidf[] =
        "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" "
        "entity=\"sip:ann@example.org\"><tuple id=\"a\"><status><basic>open</basic></status>"
        "</tuple></presence>";
    char tag[64] = "";
    for (int i = 0; i < 2; i++) {
        world_send(ann,
                   "PUBLISH sip:ann@example.org SIP/2.0\r\nVia: SIP/2.0/TLS "
                   "127.0.0.1;branch=z9hG4bKp%d\r\nFrom: <sip:ann@example.org>;tag=p\r\n"
                   "To: <sip:ann@example.org>\r\nCall-ID: p\r\nCSeq: %d PUBLISH\r\n"
                   "Event: presence\r\nExpires: %d\r\n%s%s%s"
                   "Content-Type: application/pidf+xml\r\nContent-Length: %zu\r\n\r\n%s",
                   i, i + 1, i ? 0 : 600, i ? "SIP-If-Match: " : "", tag, i ? "\r\n" : "",
                   i ? 0 : sizeof pidf - 1, i ? "" : pidf);
        const char *ok = world_take(ann);
        assert_int_equal(world_status(ok), 200);
        assert_string_equal(world_field(ok, "Expires"), i ? "0" : "600");
        const char *given = world_field(ok, "SIP-ETag");
        assert_true(given[0] != 0 && strcmp(given, tag) != 0);
        snprintf(tag, sizeof tag, "%s", given);
    }
    world_destroy(w);
}

static void refusals_that_a_person_may_meet_have_a_record(void **state)
{
    struct world *w = world_create_pair(*(unsigned *)*state);
    struct world_link *ann = world_connect(w, BK_LINK_TLS),
                      *stranger = world_connect(w, BK_LINK_TLS);
    char big[5001];
    memset(big, 'x', 5000);
    big[5000] = 0;
    world_sign_in(ann, "ann", "urn:a", 600);
    message(stranger, "ann", "bob", 1, big);
    const char *a = world_take(stranger);
    assert_int_equal(world_status(a), 413);
    assert_non_null(strstr(world_field(a, "ms-diagnostics"), "record=\"SI-503\""));
    world_send(ann,
               "INFO sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKh\r\n"
               "From: <sip:ann@example.org>;tag=1\r\nTo: <sip:bob@example.org>\r\nCall-ID: h\r\n"
               "CSeq: 1 INFO\r\nMax-Forwards: 0\r\nContent-Length: 0\r\n\r\n");
    a = world_take(ann);
    assert_int_equal(world_status(a), 483);
    assert_non_null(strstr(world_field(a, "ms-diagnostics"), "record=\"SI-507\""));
    ask(ann, "PUBLISH", "sip:bob@example.org", "ann", "bob", NULL, "pb", 1, "Event: presence\r\n");
    a = world_take(ann);
    assert_int_equal(world_status(a), 403);
    assert_non_null(strstr(world_field(a, "ms-diagnostics"), "record=\"SI-214\""));
    world_destroy(w);
}

/* One shard: what the bus cannot carry is another matter. */
static void a_message_that_meets_short_memory_is_answered_and_leaves_nothing(void **state)
{
    (void)state;
    for (unsigned n = 1;; n++) {
        struct world *w = world_create_pair(1);
        struct world_link *ann = world_signed_in(w, "ann", "urn:a");
        struct world_link *bob = world_signed_in(w, "bob", "urn:b");
        bk_buf_reserve(&ann->out, 16384);
        bk_buf_reserve(&bob->out, 16384);
        bk_fail_alloc(n);
        message(ann, "ann", "bob", 1, "hello");
        bool failed = bk_fail_alloc(0);
        const char *got = world_take(bob);
        if (got)
            answer(bob, got, 200);
        int status = world_status(world_take(ann));
        if (!status) {
            world_advance(w, 6000);
            status = world_status(world_take(ann));
        }
        assert_true(status >= 200);
        world_advance(w, 60 * 1000);
        assert_int_equal(bk_core_metric(w->core, BK_METRIC_TRANSACTIONS), 0);
        world_destroy(w);
        if (!failed)
            break;
    }
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
        BOTH(a_person_signs_in_and_a_message_arrives),
        BOTH(a_message_for_somebody_away_is_kept_and_comes_in_order),
        BOTH(a_refusal_for_a_sender_who_left_is_dropped),
        BOTH(what_one_endpoint_cannot_show_waits_for_the_next),
        BOTH(an_endpoint_that_does_not_answer_holds_nobody_up),
        BOTH(a_wrong_password_and_an_unknown_person_are_told_the_same),
        BOTH(credentials_without_a_count_are_good_once),
        BOTH(watchers_see_people_come_and_go),
        BOTH(what_is_published_is_told_at_once_and_then_after_a_pause),
        BOTH(news_behind_an_unanswered_notify_are_the_latest),
        BOTH(of_the_answer_to_a_notify_only_the_status_counts),
        BOTH(over_udp_every_request_proves_who_it_is),
        BOTH(a_call_passes_through_with_its_dialog),
        BOTH(nobody_signs_others_out_by_a_forged_notice),
        BOTH(credentials_and_claimed_identities_stay_here),
        BOTH(a_route_leads_only_inside_its_own_dialog_and_not_past_a_block),
        BOTH(who_is_blocked_is_told_what_an_unknown_address_is_told),
        BOTH(a_device_password_taken_away_ends_what_it_opened),
        BOTH(disabling_somebody_ends_the_session_and_shows_offline),
        BOTH(a_disabled_person_watches_nobody_any_more),
        BOTH(a_tenant_that_ends_takes_sessions_and_subscriptions_along),
        BOTH(who_signed_out_is_a_stranger_again),
        BOTH(a_long_endpoint_name_is_kept_short_and_still_found),
        BOTH(a_register_is_taken_as_a_whole_or_not_at_all),
        BOTH(an_old_star_removes_nothing),
        BOTH(an_ack_goes_on_only_from_an_end_of_its_dialog),
        BOTH(a_route_token_with_nothing_in_it_is_no_token),
        BOTH(an_address_nobody_can_have_is_refused_by_its_character),
        BOTH(a_cancel_counts_no_hops),
        BOTH(what_a_sender_makes_us_keep_has_a_limit),
        BOTH(a_small_register_over_udp_is_answered_and_not_amplified),
        BOTH(a_publication_taken_back_is_answered_with_a_tag),
        BOTH(refusals_that_a_person_may_meet_have_a_record),
        cmocka_unit_test(a_message_that_meets_short_memory_is_answered_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
