/* SPDX-License-Identifier: Apache-2.0 */
/* The server core, spoken to in SIP. */
#include "tests/fakes/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static struct world *begin(unsigned shards)
{
    struct world *w = world_create(
        &(struct world_config){ .shards = shards, .bus_always_queues = shards > 1, .seed = 1 });
    world_user(w, "ann", "MD5");
    world_user(w, "bob", "SHA-256");
    return w;
}

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

/* Answers a request that arrived at link. */
static void answer(struct world_link *link, const char *request, int status)
{
    assert_non_null(request);
    char *copy = strdup(request ? request : ""), *line = copy;
    if (!copy)
        abort();
    struct bk_buf out = { 0 };
    bk_buf_addf(&out, "SIP/2.0 %d X\r\n", status);
    for (char *next; (next = strstr(line, "\r\n")) && next != line; line = next + 2) {
        *next = 0;
        if (!strncasecmp(line, "Via:", 4) || !strncasecmp(line, "From:", 5) ||
            !strncasecmp(line, "Call-ID:", 8) || !strncasecmp(line, "CSeq:", 5) ||
            !strncasecmp(line, "Record-Route:", 13))
            bk_buf_addf(&out, "%s\r\n", line);
        if (!strncasecmp(line, "To:", 3))
            bk_buf_addf(&out, "%s%s\r\n", line, strstr(line, ";tag=") ? "" : ";tag=callee");
    }
    bk_buf_add_lit(&out, "Contact: <sip:bob@127.0.0.1:9>\r\nContent-Length: 0\r\n\r\n");
    world_send(link, "%.*s", (int)out.len, out.at);
    bk_buf_finish(&out);
    free(copy);
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
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = world_connect(w, BK_LINK_TLS), *bob = world_connect(w, BK_LINK_TLS);
    assert_int_equal(world_sign_in(ann, "ann", "urn:a", 600), 200);
    assert_int_equal(world_sign_in(bob, "bob", "urn:b", 600), 200);
    message(ann, "ann", "bob", 1, "hello");
    const char *got = world_take(bob);
    assert_non_null(got);
    assert_non_null(strstr(got, "\r\n\r\nhello"));
    assert_string_equal(world_field(got, "X-Own"), "kept");
    assert_string_equal(world_field(got, "Max-Forwards"), "69");
    assert_null(world_take(ann)); /* nothing is acknowledged before somebody took it */
    answer(bob, got, 200);
    assert_int_equal(world_status(world_take(ann)), 200);
    world_disconnect(ann, BK_LINK_END_CLOSED);
    world_disconnect(bob, BK_LINK_END_CLOSED);
    world_destroy(w);
}

static void a_message_for_somebody_away_is_kept_and_comes_in_order(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = world_connect(w, BK_LINK_TLS);
    assert_int_equal(world_sign_in(ann, "ann", "urn:a", 600), 200);
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

    struct world_link *bob = world_connect(w, BK_LINK_TLS);
    assert_int_equal(world_sign_in(bob, "bob", "urn:b", 600), 200);
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
    bob = world_connect(w, BK_LINK_TLS);
    assert_int_equal(world_sign_in(bob, "bob", "urn:b", 600), 200);
    assert_null(world_take(bob)); /* nothing twice */
    world_disconnect(bob, BK_LINK_END_CLOSED);
    world_disconnect(ann, BK_LINK_END_CLOSED);
    world_destroy(w);
}

static void a_refusal_for_a_sender_who_left_is_dropped(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = world_connect(w, BK_LINK_TLS), *bob = world_connect(w, BK_LINK_TLS);
    world_sign_in(ann, "ann", "urn:a", 600);
    world_sign_in(bob, "bob", "urn:b", 600);
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
    world_disconnect(bob, BK_LINK_END_CLOSED);
    world_destroy(w);
}

static void what_one_endpoint_cannot_show_waits_for_the_next(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = world_connect(w, BK_LINK_TLS);
    world_sign_in(ann, "ann", "urn:a", 600);
    message(ann, "ann", "bob", 1, "kept");
    world_settle(w);
    assert_int_equal(world_status(world_take(ann)), 202);
    struct world_link *phone = world_connect(w, BK_LINK_TLS), *desk = world_connect(w, BK_LINK_TLS);
    world_sign_in(phone, "bob", "urn:phone", 600);
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
    world_disconnect(phone, BK_LINK_END_CLOSED);
    world_disconnect(desk, BK_LINK_END_CLOSED);
    world_disconnect(ann, BK_LINK_END_CLOSED);
    world_destroy(w);
}

static void an_endpoint_that_does_not_answer_holds_nobody_up(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = world_connect(w, BK_LINK_TLS), *bob = world_connect(w, BK_LINK_TLS);
    world_sign_in(ann, "ann", "urn:a", 600);
    world_sign_in(bob, "bob", "urn:b", 600);
    message(ann, "ann", "bob", 1, "slow");
    char *got = strdup(world_take(bob));
    world_advance(w, 4900);
    assert_null(world_take(ann));
    world_advance(w, 200);
    assert_int_equal(world_status(world_take(ann)), 202);
    answer(bob, got, 200); /* late: the stored one goes */
    world_settle(w);
    world_disconnect(bob, BK_LINK_END_LOST);
    bob = world_connect(w, BK_LINK_TLS);
    world_sign_in(bob, "bob", "urn:b", 600);
    assert_null(world_take(bob));
    free(got);
    world_disconnect(bob, BK_LINK_END_CLOSED);
    world_disconnect(ann, BK_LINK_END_CLOSED);
    world_destroy(w);
}

/* First a challenge, then it once more with the same nonce, then 403: nothing is gained by a third try. */
static void a_wrong_password_and_an_unknown_person_are_told_the_same(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
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
    world_disconnect(link, BK_LINK_END_CLOSED);
    world_destroy(w);
}

static void credentials_without_a_count_are_good_once(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
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
    world_disconnect(link, BK_LINK_END_CLOSED);
    world_destroy(w);
}

static void watchers_see_people_come_and_go(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = world_connect(w, BK_LINK_TLS), *bob = world_connect(w, BK_LINK_TLS);
    world_sign_in(ann, "ann", "urn:a", 600);
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
    world_disconnect(ann, BK_LINK_END_CLOSED);
    world_destroy(w);
}

static void over_udp_every_request_proves_who_it_is(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = world_connect(w, BK_LINK_UDP), *bob = world_connect(w, BK_LINK_TLS);
    assert_int_equal(world_sign_in(ann, "ann", "urn:a", 600), 200);
    world_sign_in(bob, "bob", "urn:b", 600);
    message(ann, "ann", "bob", 1,
            "forged?"); /* from the very address, but anybody can write that */
    assert_int_equal(world_status(world_take(ann)), 407);
    assert_null(world_take(bob));
    world_disconnect(ann, BK_LINK_END_CLOSED);
    world_disconnect(bob, BK_LINK_END_CLOSED);
    world_destroy(w);
}

static void a_call_passes_through_with_its_dialog(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = world_connect(w, BK_LINK_TLS), *bob = world_connect(w, BK_LINK_TLS);
    world_sign_in(ann, "ann", "urn:a", 600);
    world_sign_in(bob, "bob", "urn:b", 600);
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
    world_disconnect(ann, BK_LINK_END_CLOSED);
    world_disconnect(bob, BK_LINK_END_CLOSED);
    world_destroy(w);
}

static void nobody_signs_others_out_by_a_forged_notice(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = world_connect(w, BK_LINK_TLS), *bob = world_connect(w, BK_LINK_TLS);
    world_sign_in(ann, "ann", "urn:a", 600);
    world_sign_in(bob, "bob", "urn:b", 600);
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
    world_disconnect(ann, BK_LINK_END_CLOSED);
    world_disconnect(bob, BK_LINK_END_CLOSED);
    world_destroy(w);
}

static void credentials_and_claimed_identities_stay_here(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = world_connect(w, BK_LINK_TLS), *bob = world_connect(w, BK_LINK_TLS);
    world_sign_in(ann, "ann", "urn:a", 600);
    world_sign_in(bob, "bob", "urn:b", 600);
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
    world_disconnect(ann, BK_LINK_END_CLOSED);
    world_disconnect(bob, BK_LINK_END_CLOSED);
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
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = world_connect(w, BK_LINK_TLS), *bob = world_connect(w, BK_LINK_TLS);
    world_sign_in(ann, "ann", "urn:a", 600);
    world_sign_in(bob, "bob", "urn:b", 600);
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
    world_disconnect(ann, BK_LINK_END_CLOSED);
    world_disconnect(bob, BK_LINK_END_CLOSED);
    world_destroy(w);
}

static void who_is_blocked_is_told_what_an_unknown_address_is_told(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = world_connect(w, BK_LINK_TLS), *bob = world_connect(w, BK_LINK_TLS);
    world_sign_in(ann, "ann", "urn:a", 600);
    world_sign_in(bob, "bob", "urn:b", 600);
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
    world_disconnect(ann, BK_LINK_END_CLOSED);
    world_disconnect(bob, BK_LINK_END_CLOSED);
    world_destroy(w);
}

static void a_device_password_taken_away_ends_what_it_opened(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *bob = world_connect(w, BK_LINK_TLS);
    assert_int_equal(world_sign_in(bob, "bob", "urn:b", 600), 200);
    bk_core_device_password_changed(w->core, BK_VIEW("bob@example.org"));
    world_settle(w);
    assert_false(bob->open);
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_ENDPOINTS), 0);
    world_disconnect(bob, BK_LINK_END_CLOSED);
    world_destroy(w);
}

static void disabling_somebody_ends_the_session_and_shows_offline(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *bob = world_connect(w, BK_LINK_TLS);
    world_sign_in(bob, "bob", "urn:b", 600);
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
    world_disconnect(bob, BK_LINK_END_CLOSED);
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
        BOTH(a_person_signs_in_and_a_message_arrives),
        BOTH(a_message_for_somebody_away_is_kept_and_comes_in_order),
        BOTH(a_refusal_for_a_sender_who_left_is_dropped),
        BOTH(what_one_endpoint_cannot_show_waits_for_the_next),
        BOTH(an_endpoint_that_does_not_answer_holds_nobody_up),
        BOTH(a_wrong_password_and_an_unknown_person_are_told_the_same),
        BOTH(credentials_without_a_count_are_good_once),
        BOTH(watchers_see_people_come_and_go),
        BOTH(over_udp_every_request_proves_who_it_is),
        BOTH(a_call_passes_through_with_its_dialog),
        BOTH(nobody_signs_others_out_by_a_forged_notice),
        BOTH(credentials_and_claimed_identities_stay_here),
        BOTH(a_route_leads_only_inside_its_own_dialog_and_not_past_a_block),
        BOTH(who_is_blocked_is_told_what_an_unknown_address_is_told),
        BOTH(a_device_password_taken_away_ends_what_it_opened),
        BOTH(disabling_somebody_ends_the_session_and_shows_offline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
