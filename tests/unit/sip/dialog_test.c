/* SPDX-License-Identifier: Apache-2.0 */
/* Route sets, targets and numbers of a dialog (RFC 3261 12), from both ends. */
#include "sip/dialog.h"

#include "base/cleanup.h"
#include "sip/build.h"
#include "tests/unit/base/failing_alloc.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* A message that was read; the views of msg and head live in text. */
struct heard {
    char *text;
    struct bk_sip_msg msg;
    struct bk_sip_head head;
};

static void heard_finish(struct heard *h)
{
    free(h->text);
    h->text = NULL;
}
#define AUTO_HEARD BK_CLEANUP(heard_finish) struct heard

static void read_message(struct heard *ret, const char *text)
{
    size_t len = strlen(text);
    ret->text = malloc(len);
    assert_non_null(ret->text);
    memcpy(ret->text, text, len);
    struct bk_sip_fault fault;
    if (bk_sip_msg_parse(&ret->msg, (struct bk_view){ ret->text, len }, &fault) < 0 ||
        bk_sip_msg_check(&ret->msg, &ret->head, &fault) < 0)
        fail_msg("test message refused: %s in\n%s", fault.text, text);
}

/* Via, Max-Forwards and Content-Length come by themselves; `lines` are the fields in question. */
static void read_request(struct heard *ret, const char *method, const char *lines)
{
    char text[4096];
    snprintf(text, sizeof text,
             "%s sip:bob@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bK1\r\n"
             "Max-Forwards: 70\r\n%sContent-Length: 0\r\n\r\n",
             method, lines);
    read_message(ret, text);
}

static void read_answer(struct heard *ret, int status, const char *lines)
{
    char text[4096];
    snprintf(text, sizeof text,
             "SIP/2.0 %d X\r\nVia: SIP/2.0/TLS h;branch=z9hG4bK1\r\n%sContent-Length: 0\r\n\r\n",
             status, lines);
    read_message(ret, text);
}

#define PARTIES                                                                                    \
    "From: \"Ann\" <sip:ann@example.org;x=y>;tag=ann1;epid=77\r\n"                                 \
    "To: <sip:bob@example.org>\r\n"                                                                \
    "Call-ID: c-1\r\n"
#define PARTIES_TAGGED                                                                             \
    "From: \"Ann\" <sip:ann@example.org;x=y>;tag=ann1\r\n"                                         \
    "To: <sip:bob@example.org>;tag=bob1\r\n"                                                       \
    "Call-ID: c-1\r\n"
#define PARTIES_BACK                                                                               \
    "From: <sip:bob@example.org>;tag=bob1\r\n"                                                     \
    "To: <sip:ann@example.org>;tag=ann1\r\n"                                                       \
    "Call-ID: c-1\r\n"
#define ANNS_CONTACT "Contact: <sip:ann@192.0.2.1:5061;transport=tls>;+x=1\r\n"
#define BOBS_CONTACT "Contact: <sip:bob@192.0.2.9:5061>\r\n"

static struct bk_sip_dialog *from_request(const char *method, const char *lines)
{
    AUTO_HEARD h = { 0 };
    read_request(&h, method, lines);
    struct bk_sip_dialog *d = NULL;
    assert_int_equal(bk_sip_dialog_from_request(&h.msg, &h.head, BK_VIEW("bob1"), &d), 0);
    return d;
}

static struct bk_sip_dialog *from_answer(const char *lines)
{
    AUTO_HEARD h = { 0 };
    read_answer(&h, 200, lines);
    struct bk_sip_dialog *d = NULL;
    assert_int_equal(bk_sip_dialog_from_response(&h.msg, &h.head, &d), 0);
    return d;
}

static int receive(struct bk_sip_dialog *d, const char *method, const char *lines)
{
    AUTO_HEARD h = { 0 };
    read_request(&h, method, lines);
    assert_true(bk_sip_dialog_matches(d, &h.msg, &h.head));
    return bk_sip_dialog_receive(d, &h.msg, &h.head);
}

static void check_next(struct bk_sip_dialog *d, enum bk_sip_method method, const char *want)
{
    BK_AUTO_BUF struct bk_buf to = { 0 };
    bk_sip_dialog_request_begin(d, &to, method, BK_VIEW("SIP/2.0/TLS srv:5061;rport"),
                                BK_VIEW("z9hG4bK2"));
    assert_string_equal(bk_buf_cstr(&to), want);
    /* And it is a message that we would take ourselves. */
    bk_sip_end(&to, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    AUTO_HEARD h = { 0 };
    read_message(&h, bk_buf_cstr(&to));
}

static void check_target(const struct bk_sip_dialog *d, const char *want)
{
    struct bk_sip_dialog_info info;
    bk_sip_dialog_info(d, &info);
    assert_true(bk_view_equal(info.remote_target, bk_view_of_str(want)));
}

static void the_callee_keeps_the_route_set_in_order(void **state)
{
    (void)state;
    struct bk_sip_dialog *d = from_request("SUBSCRIBE", PARTIES ANNS_CONTACT
                                           "CSeq: 5 SUBSCRIBE\r\n"
                                           "Record-Route: <sip:p1;lr>, <sip:p2;lr>;a=b\r\n"
                                           "Record-Route: <sip:p3;lr;ftag=q>\r\n");
    check_next(d, BK_SIP_NOTIFY,
               "NOTIFY sip:ann@192.0.2.1:5061;transport=tls SIP/2.0\r\n"
               "Via: SIP/2.0/TLS srv:5061;rport;branch=z9hG4bK2\r\n"
               "Max-Forwards: 70\r\n"
               "Route: <sip:p1;lr>\r\n"
               "Route: <sip:p2;lr>;a=b\r\n"
               "Route: <sip:p3;lr;ftag=q>\r\n"
               "From: <sip:bob@example.org>;tag=bob1\r\n"
               "To: <sip:ann@example.org;x=y>;tag=ann1\r\n"
               "Call-ID: c-1\r\n"
               "CSeq: 1 NOTIFY\r\n");
    struct bk_sip_dialog_info info;
    bk_sip_dialog_info(d, &info);
    assert_true(bk_view_equal(info.call_id, BK_VIEW("c-1")));
    assert_true(bk_view_equal(info.local_tag, BK_VIEW("bob1")));
    assert_true(bk_view_equal(info.remote_tag, BK_VIEW("ann1")));
    assert_true(bk_view_equal(info.local_uri, BK_VIEW("sip:bob@example.org")));
    assert_true(bk_view_equal(info.remote_uri, BK_VIEW("sip:ann@example.org;x=y")));
    assert_int_equal(info.local_cseq, 1);
    assert_int_equal(info.remote_cseq, 5);
    bk_sip_dialog_destroy(d);
}

static void the_caller_turns_the_route_set_round(void **state)
{
    (void)state;
    struct bk_sip_dialog *d =
        from_answer(PARTIES_TAGGED BOBS_CONTACT "CSeq: 17 INVITE\r\n"
                                                "Record-Route: <sip:p3;lr>,\r\n <sip:p2;lr>\r\n"
                                                "Record-Route: <sip:p1;lr>\r\n");
    check_next(d, BK_SIP_BYE,
               "BYE sip:bob@192.0.2.9:5061 SIP/2.0\r\n"
               "Via: SIP/2.0/TLS srv:5061;rport;branch=z9hG4bK2\r\n"
               "Max-Forwards: 70\r\n"
               "Route: <sip:p1;lr>\r\n"
               "Route: <sip:p2;lr>\r\n"
               "Route: <sip:p3;lr>\r\n"
               "From: <sip:ann@example.org;x=y>;tag=ann1\r\n"
               "To: <sip:bob@example.org>;tag=bob1\r\n"
               "Call-ID: c-1\r\n"
               "CSeq: 18 BYE\r\n");
    bk_sip_dialog_destroy(d);
}

static void a_notify_that_overtook_the_answer_makes_the_dialog(void **state)
{
    (void)state;
    AUTO_HEARD h = { 0 };
    read_request(&h, "NOTIFY",
                 PARTIES_BACK BOBS_CONTACT "CSeq: 3 NOTIFY\r\n"
                                           "Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n");
    struct bk_sip_dialog *d = NULL;
    assert_int_equal(bk_sip_dialog_from_response(&h.msg, &h.head, &d), 0);
    bk_sip_dialog_sent(d, 41);
    bk_sip_dialog_sent(d, 7); /* never back */
    check_next(d, BK_SIP_SUBSCRIBE,
               "SUBSCRIBE sip:bob@192.0.2.9:5061 SIP/2.0\r\n"
               "Via: SIP/2.0/TLS srv:5061;rport;branch=z9hG4bK2\r\n"
               "Max-Forwards: 70\r\n"
               "Route: <sip:p1;lr>\r\n"
               "Route: <sip:p2;lr>\r\n"
               "From: <sip:ann@example.org>;tag=ann1\r\n"
               "To: <sip:bob@example.org>;tag=bob1\r\n"
               "Call-ID: c-1\r\n"
               "CSeq: 42 SUBSCRIBE\r\n");
    assert_int_equal(receive(d, "NOTIFY", PARTIES_BACK BOBS_CONTACT "CSeq: 3 NOTIFY\r\n"), -EAGAIN);
    assert_int_equal(receive(d, "NOTIFY", PARTIES_BACK BOBS_CONTACT "CSeq: 4 NOTIFY\r\n"), 0);
    bk_sip_dialog_destroy(d);
}

static void a_strict_router_stands_in_the_request_uri(void **state)
{
    (void)state;
    struct bk_sip_dialog *d = from_request("INVITE", PARTIES ANNS_CONTACT
                                           "CSeq: 5 INVITE\r\n"
                                           "Record-Route: <sip:strict;x=1>, <sip:p2;lr>\r\n");
    check_next(d, BK_SIP_BYE,
               "BYE sip:strict;x=1 SIP/2.0\r\n"
               "Via: SIP/2.0/TLS srv:5061;rport;branch=z9hG4bK2\r\n"
               "Max-Forwards: 70\r\n"
               "Route: <sip:p2;lr>\r\n"
               "Route: <sip:ann@192.0.2.1:5061;transport=tls>\r\n"
               "From: <sip:bob@example.org>;tag=bob1\r\n"
               "To: <sip:ann@example.org;x=y>;tag=ann1\r\n"
               "Call-ID: c-1\r\n"
               "CSeq: 1 BYE\r\n");
    bk_sip_dialog_destroy(d);
}

static void a_request_uri_has_no_headers(void **state)
{
    (void)state;
    struct bk_sip_dialog *d =
        from_request("INVITE", PARTIES "CSeq: 5 INVITE\r\nContact: <sip:a?b@h;x=y?Subject=hi>\r\n");
    BK_AUTO_BUF struct bk_buf to = { 0 };
    bk_sip_dialog_request_begin(d, &to, BK_SIP_BYE, BK_VIEW("SIP/2.0/TLS h"), BK_VIEW("z9hG4bK2"));
    assert_true(bk_view_starts_with(bk_buf_view(&to), BK_VIEW("BYE sip:a?b@h;x=y SIP/2.0\r\n")));
    bk_sip_dialog_destroy(d);
}

static void numbers_may_leave_gaps_but_never_repeat(void **state)
{
    (void)state;
    struct bk_sip_dialog *d = from_request("INVITE", PARTIES ANNS_CONTACT "CSeq: 5 INVITE\r\n");
    assert_int_equal(receive(d, "ACK", PARTIES_TAGGED "CSeq: 5 ACK\r\n"), 0);
    assert_int_equal(receive(d, "INFO", PARTIES_TAGGED "CSeq: 5 INFO\r\n"), -EAGAIN);
    assert_int_equal(receive(d, "INFO", PARTIES_TAGGED "CSeq: 4 INFO\r\n"), -EAGAIN);
    assert_int_equal(receive(d, "INFO", PARTIES_TAGGED "CSeq: 6 INFO\r\n"), 0);
    assert_int_equal(receive(d, "INFO", PARTIES_TAGGED "CSeq: 2000000 INFO\r\n"), 0);
    assert_int_equal(receive(d, "INFO", PARTIES_TAGGED "CSeq: 7 INFO\r\n"), -EAGAIN);
    assert_int_equal(receive(d, "CANCEL", PARTIES_TAGGED "CSeq: 7 CANCEL\r\n"), 0);
    bk_sip_dialog_destroy(d);

    /* Who called has not heard a number of the other side yet: any is the first. */
    d = from_answer(PARTIES_TAGGED BOBS_CONTACT "CSeq: 17 INVITE\r\n");
    assert_int_equal(receive(d, "BYE", PARTIES_BACK "CSeq: 0 BYE\r\n"), 0);
    assert_int_equal(receive(d, "BYE", PARTIES_BACK "CSeq: 0 BYE\r\n"), -EAGAIN);
    bk_sip_dialog_destroy(d);
}

static void number_sent(struct bk_sip_dialog *d, enum bk_sip_method method, const char *want)
{
    BK_AUTO_BUF struct bk_buf to = { 0 };
    bk_sip_dialog_request_begin(d, &to, method, BK_VIEW("SIP/2.0/TLS h"), BK_VIEW("z9hG4bK2"));
    assert_non_null(strstr(bk_buf_cstr(&to), want));
}

static void ack_and_cancel_keep_the_number_of_their_invite(void **state)
{
    (void)state;
    struct bk_sip_dialog *d = from_answer(PARTIES_TAGGED BOBS_CONTACT "CSeq: 17 INVITE\r\n");
    number_sent(d, BK_SIP_INFO, "CSeq: 18 INFO\r\n");
    number_sent(d, BK_SIP_ACK, "CSeq: 17 ACK\r\n");
    number_sent(d, BK_SIP_INVITE, "CSeq: 19 INVITE\r\n");
    number_sent(d, BK_SIP_UPDATE, "CSeq: 20 UPDATE\r\n");
    number_sent(d, BK_SIP_CANCEL, "CSeq: 19 CANCEL\r\n");
    number_sent(d, BK_SIP_ACK, "CSeq: 19 ACK\r\n");
    number_sent(d, BK_SIP_BYE, "CSeq: 21 BYE\r\n");
    bk_sip_dialog_destroy(d);
}

static void target_refreshes_move_the_target_and_others_do_not(void **state)
{
    (void)state;
    static const char *const movers[] = { "INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER" };
    static const char *const others[] = { "INFO", "MESSAGE", "BYE", "PRACK" };
    struct bk_sip_dialog *d = from_request("INVITE", PARTIES ANNS_CONTACT "CSeq: 1 INVITE\r\n");
    unsigned cseq = 1;
    char lines[1024], target[64];
    for (size_t i = 0; i < BK_COUNT_OF(movers); i++) {
        snprintf(target, sizeof target, "sip:ann@192.0.2.%u", ++cseq);
        snprintf(lines, sizeof lines, PARTIES_TAGGED "CSeq: %u %s\r\nContact: <%s>\r\n", cseq,
                 movers[i], target);
        assert_int_equal(receive(d, movers[i], lines), 0);
        check_target(d, target);
    }
    for (size_t i = 0; i < BK_COUNT_OF(others); i++) {
        snprintf(lines, sizeof lines, PARTIES_TAGGED "CSeq: %u %s\r\nContact: <sip:x@y>\r\n",
                 ++cseq, others[i]);
        assert_int_equal(receive(d, others[i], lines), 0);
        check_target(d, target);
    }
    /* Late ones move nothing, and one without a Contact leaves it as it is. */
    assert_int_equal(
        receive(d, "INVITE", PARTIES_TAGGED "CSeq: 2 INVITE\r\nContact: <sip:x@y>\r\n"), -EAGAIN);
    check_target(d, target);
    snprintf(lines, sizeof lines, PARTIES_TAGGED "CSeq: %u INVITE\r\n", ++cseq);
    assert_int_equal(receive(d, "INVITE", lines), 0);
    check_target(d, target);
    /* A broken one is refused and counts as not received. */
    snprintf(lines, sizeof lines, PARTIES_TAGGED "CSeq: %u INVITE\r\nContact: <sip:>\r\n", ++cseq);
    assert_int_equal(receive(d, "INVITE", lines), -EBADMSG);
    check_target(d, target);
    snprintf(lines, sizeof lines, PARTIES_TAGGED "CSeq: %u INVITE\r\nContact: *\r\n", cseq);
    assert_int_equal(receive(d, "INVITE", lines), -EBADMSG);
    snprintf(lines, sizeof lines, PARTIES_TAGGED "CSeq: %u INFO\r\n", cseq);
    assert_int_equal(receive(d, "INFO", lines), 0);
    bk_sip_dialog_destroy(d);
}

static void answers_to_our_refreshes_move_the_target(void **state)
{
    (void)state;
    struct bk_sip_dialog *d = from_answer(PARTIES_TAGGED BOBS_CONTACT "CSeq: 17 INVITE\r\n");
    static const struct {
        int status;
        const char *method, *contact, *want;
    } rows[] = {
        { 200, "INVITE", "sip:bob@192.0.2.10", "sip:bob@192.0.2.10" },
        { 180, "INVITE", "sip:bob@192.0.2.11", "sip:bob@192.0.2.10" },
        { 302, "INVITE", "sip:bob@192.0.2.12", "sip:bob@192.0.2.10" },
        { 200, "BYE", "sip:bob@192.0.2.13", "sip:bob@192.0.2.10" },
        { 202, "SUBSCRIBE", "sip:bob@192.0.2.14", "sip:bob@192.0.2.14" },
        { 200, "INVITE", "sip:", "sip:bob@192.0.2.14" },
    };
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        AUTO_HEARD h = { 0 };
        char lines[1024];
        snprintf(lines, sizeof lines, PARTIES_TAGGED "CSeq: 18 %s\r\nContact: <%s>\r\n",
                 rows[i].method, rows[i].contact);
        read_answer(&h, rows[i].status, lines);
        assert_true(bk_sip_dialog_matches(d, &h.msg, &h.head));
        bk_sip_dialog_answer(d, &h.msg);
        check_target(d, rows[i].want);
    }
    bk_sip_dialog_destroy(d);
}

static void a_target_may_grow_and_shrink(void **state)
{
    (void)state;
    struct bk_sip_dialog *d = from_request("INVITE", PARTIES ANNS_CONTACT "CSeq: 1 INVITE\r\n");
    static const int lengths[] = { 3, 30, 500, 20, 499, 501, 2000, 1 };
    for (size_t i = 0; i < BK_COUNT_OF(lengths); i++) {
        char target[2100], lines[2600];
        int at = snprintf(target, sizeof target, "sip:");
        memset(target + at, 'a' + (int)i, (size_t)lengths[i]);
        snprintf(target + at + lengths[i], sizeof target - (size_t)(at + lengths[i]), "@h");
        snprintf(lines, sizeof lines, PARTIES_TAGGED "CSeq: %zu UPDATE\r\nContact: <%s>\r\n", i + 2,
                 target);
        assert_int_equal(receive(d, "UPDATE", lines), 0);
        check_target(d, target);
    }
    bk_sip_dialog_destroy(d);
}

static void a_message_belongs_by_call_id_and_both_tags(void **state)
{
    (void)state;
    struct bk_sip_dialog *d = from_request("INVITE", PARTIES ANNS_CONTACT "CSeq: 1 INVITE\r\n");
    static const struct {
        const char *lines;
        bool belongs;
    } rows[] = {
        { "From: <sip:x@y>;tag=ann1\r\nTo: <sip:x@y>;tag=bob1\r\nCall-ID: c-1\r\n", true },
        { "From: <sip:x@y>;tag=ANN1\r\nTo: <sip:x@y>;tag=Bob1\r\nCall-ID: c-1\r\n", true },
        { "From: <sip:x@y>;tag=bob1\r\nTo: <sip:x@y>;tag=ann1\r\nCall-ID: c-1\r\n", false },
        { "From: <sip:x@y>;tag=ann1\r\nTo: <sip:x@y>\r\nCall-ID: c-1\r\n", false },
        { "From: <sip:x@y>;tag=ann1\r\nTo: <sip:x@y>;tag=bob1\r\nCall-ID: C-1\r\n", false },
        { "From: <sip:x@y>;tag=ann2\r\nTo: <sip:x@y>;tag=bob1\r\nCall-ID: c-1\r\n", false },
        { "From: <sip:x@y>;tag=ann1\r\nTo: <sip:x@y>;tag=bob12\r\nCall-ID: c-1\r\n", false },
    };
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        AUTO_HEARD h = { 0 };
        char lines[1024];
        snprintf(lines, sizeof lines, "%sCSeq: 2 BYE\r\n", rows[i].lines);
        read_request(&h, "BYE", lines);
        assert_int_equal(bk_sip_dialog_matches(d, &h.msg, &h.head), rows[i].belongs);
    }
    /* Answers to what we sent have our tag in From. */
    AUTO_HEARD h = { 0 };
    read_answer(&h, 200, PARTIES_BACK "CSeq: 2 BYE\r\n");
    assert_true(bk_sip_dialog_matches(d, &h.msg, &h.head));
    bk_sip_dialog_destroy(d);
}

static void a_dialog_needs_tags_a_contact_and_readable_routes(void **state)
{
    (void)state;
    static const char *const bad[] = {
        PARTIES "CSeq: 1 INVITE\r\n",
        PARTIES "CSeq: 1 INVITE\r\nContact: *\r\n",
        PARTIES "CSeq: 1 INVITE\r\nContact: <sip:a b@h>\r\n",
        PARTIES "CSeq: 1 INVITE\r\nContact: <sip:a@h\r\n",
        PARTIES ANNS_CONTACT "CSeq: 1 INVITE\r\nRecord-Route: sip:p1;lr\r\n",
        PARTIES ANNS_CONTACT "CSeq: 1 INVITE\r\nRecord-Route: <sip:p1;lr>, <sip:\r\n",
        "From: <sip:a@h>\r\nTo: <sip:b@h>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n" ANNS_CONTACT,
    };
    for (size_t i = 0; i < BK_COUNT_OF(bad); i++) {
        AUTO_HEARD h = { 0 };
        read_request(&h, "INVITE", bad[i]);
        struct bk_sip_dialog *d = NULL;
        assert_int_equal(bk_sip_dialog_from_request(&h.msg, &h.head, BK_VIEW("t"), &d), -EBADMSG);
        assert_null(d);
    }
    AUTO_HEARD h = { 0 };
    read_request(&h, "INVITE", PARTIES ANNS_CONTACT "CSeq: 1 INVITE\r\n");
    struct bk_sip_dialog *d = NULL;
    assert_int_equal(bk_sip_dialog_from_request(&h.msg, &h.head, (struct bk_view){ 0 }, &d),
                     -EBADMSG);
    heard_finish(&h);
    read_answer(&h, 200, PARTIES BOBS_CONTACT "CSeq: 1 INVITE\r\n"); /* no To tag */
    assert_int_equal(bk_sip_dialog_from_response(&h.msg, &h.head, &d), -EBADMSG);
    assert_null(bk_sip_dialog_destroy(NULL));
}

static void what_was_saved_comes_back(void **state)
{
    (void)state;
    struct bk_sip_dialog *d = from_request("SUBSCRIBE", PARTIES ANNS_CONTACT
                                           "CSeq: 5 SUBSCRIBE\r\n"
                                           "Record-Route: <sip:p1;lr>, <sip:p2;lr>;a=b\r\n");
    number_sent(d, BK_SIP_NOTIFY, "CSeq: 1 NOTIFY\r\n");
    assert_int_equal(
        receive(d, "SUBSCRIBE", PARTIES_TAGGED "CSeq: 9 SUBSCRIBE\r\nContact: <sip:moved@h>\r\n"),
        0);
    BK_AUTO_BUF struct bk_buf saved = { 0 }, again = { 0 };
    bk_sip_dialog_save(d, &saved);
    bk_sip_dialog_destroy(d);

    struct bk_sip_dialog *back = NULL;
    assert_int_equal(bk_sip_dialog_restore(bk_buf_view(&saved), &back), 0);
    bk_sip_dialog_save(back, &again);
    assert_true(bk_view_equal(bk_buf_view(&saved), bk_buf_view(&again)));
    assert_int_equal(receive(back, "SUBSCRIBE", PARTIES_TAGGED "CSeq: 9 SUBSCRIBE\r\n"), -EAGAIN);
    check_next(back, BK_SIP_NOTIFY,
               "NOTIFY sip:moved@h SIP/2.0\r\n"
               "Via: SIP/2.0/TLS srv:5061;rport;branch=z9hG4bK2\r\n"
               "Max-Forwards: 70\r\n"
               "Route: <sip:p1;lr>\r\n"
               "Route: <sip:p2;lr>;a=b\r\n"
               "From: <sip:bob@example.org>;tag=bob1\r\n"
               "To: <sip:ann@example.org;x=y>;tag=ann1\r\n"
               "Call-ID: c-1\r\n"
               "CSeq: 2 NOTIFY\r\n");
    bk_sip_dialog_destroy(back);

    /* Nothing shorter, longer or bent is taken for a dialog. */
    for (size_t n = 0; n < saved.len; n++) {
        char *part = malloc(n ? n : 1);
        assert_non_null(part);
        memcpy(part, saved.at, n);
        struct bk_sip_dialog *none = NULL;
        /* A cut behind a whole route leaves a dialog with that route as its target: "<...>" is no URI. */
        assert_int_equal(bk_sip_dialog_restore((struct bk_view){ part, n }, &none), -EBADMSG);
        assert_null(none);
        free(part);
    }
    bk_buf_add_lit(&saved, "x\n");
    assert_int_equal(bk_sip_dialog_restore(bk_buf_view(&saved), &back), -EBADMSG);
    static const char *const bent[] = {
        "d2\n1 1 1 1\nc\nl\nr\nsip:l@h\nsip:r@h\nsip:t@h\n",
        "d1\n1 1 1 2\nc\nl\nr\nsip:l@h\nsip:r@h\nsip:t@h\n",
        "d1\n1 1 1 1 1\nc\nl\nr\nsip:l@h\nsip:r@h\nsip:t@h\n",
        "d1\n1 1 4294967296 1\nc\nl\nr\nsip:l@h\nsip:r@h\nsip:t@h\n",
        "d1\n1 1 1 1\nc\nl\nr\r\nsip:l@h\nsip:r@h\nsip:t@h\n",
        "d1\n1 1 1 1\nc\n\nr\nsip:l@h\nsip:r@h\nsip:t@h\n",
        "d1\n1 1 1 1\nc\nl\nr\nsip:l@h\nsip:r@h\nnonsense\n",
        "d1\n1 1 1 1\nc\nl\nr\nsip:l@h\nsip:r@h\nno route\nsip:t@h\n",
    };
    for (size_t i = 0; i < BK_COUNT_OF(bent); i++)
        assert_int_equal(bk_sip_dialog_restore(bk_view_of_str(bent[i]), &back), -EBADMSG);
}

static void a_folded_record_route_cannot_add_a_line(void **state)
{
    (void)state;
    struct bk_sip_dialog *d = from_request(
        "INVITE", PARTIES ANNS_CONTACT "CSeq: 5 INVITE\r\n"
                                       "Record-Route: <sip:p1;lr>\r\n ;x=1,\r\n\t<sip:p2;lr>\r\n");
    BK_AUTO_BUF struct bk_buf to = { 0 };
    bk_sip_dialog_request_begin(d, &to, BK_SIP_BYE, BK_VIEW("SIP/2.0/TLS h"), BK_VIEW("z9hG4bK2"));
    bk_sip_end(&to, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    AUTO_HEARD h = { 0 };
    read_message(&h, bk_buf_cstr(&to));
    const struct bk_sip_field *route = bk_sip_msg_field(&h.msg, BK_SIP_HDR_ROUTE);
    assert_true(bk_view_starts_with(route->value, BK_VIEW("<sip:p1;lr>")));
    assert_int_equal(bk_view_find(route->value, '\n'), route->value.len);
    route = bk_sip_msg_field_next(&h.msg, route);
    assert_true(bk_view_equal(route->value, BK_VIEW("<sip:p2;lr>")));
    assert_null(bk_sip_msg_field_next(&h.msg, route));
    bk_sip_dialog_destroy(d);
}

static void too_many_routes_make_no_dialog(void **state)
{
    (void)state;
    for (int n = BK_SIP_ROUTE_MAX; n <= BK_SIP_ROUTE_MAX + 1; n++) {
        BK_AUTO_BUF struct bk_buf lines = { 0 };
        bk_buf_add_lit(&lines, PARTIES ANNS_CONTACT "CSeq: 5 INVITE\r\nRecord-Route: <sip:p0;lr>");
        for (int i = 1; i < n; i++)
            bk_buf_addf(&lines, ",<sip:p%d;lr>", i);
        bk_buf_add_lit(&lines, "\r\n");
        AUTO_HEARD h = { 0 };
        read_request(&h, "INVITE", bk_buf_cstr(&lines));
        struct bk_sip_dialog *d = NULL;
        assert_int_equal(bk_sip_dialog_from_request(&h.msg, &h.head, BK_VIEW("t"), &d),
                         n > BK_SIP_ROUTE_MAX ? -EBADMSG : 0);
        bk_sip_dialog_destroy(d);
    }
}

static void the_nth_failing_allocation_leaves_all_as_it_was(void **state)
{
    (void)state;
    AUTO_HEARD h = { 0 }, move = { 0 };
    read_request(&h, "INVITE",
                 PARTIES ANNS_CONTACT "CSeq: 5 INVITE\r\nRecord-Route: <sip:p1;lr>\r\n");
    read_request(&move, "UPDATE",
                 PARTIES_TAGGED
                 "CSeq: 6 UPDATE\r\nContact: <sip:"
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@h>\r\n");
    bool failed = true;
    for (unsigned n = 1; failed; n++) {
        bk_fail_alloc(n);
        struct bk_sip_dialog *d = NULL, *back = NULL;
        int r = bk_sip_dialog_from_request(&h.msg, &h.head, BK_VIEW("bob1"), &d);
        int moved = r < 0 ? r : bk_sip_dialog_receive(d, &move.msg, &move.head);
        if (moved == -ENOMEM && d) {
            check_target(d, "sip:ann@192.0.2.1:5061;transport=tls");
            moved = bk_sip_dialog_receive(d, &move.msg, &move.head); /* memory is back */
            assert_int_equal(moved, 0);
        }
        BK_AUTO_BUF struct bk_buf saved = { 0 };
        if (d)
            bk_sip_dialog_save(d, &saved);
        int restored =
            !d || saved.failed ? -ENOMEM : bk_sip_dialog_restore(bk_buf_view(&saved), &back);
        failed = bk_fail_alloc(0);
        assert_int_equal(r == 0, d != NULL);
        assert_int_equal(restored == 0, back != NULL);
        assert_true(r == 0 || r == -ENOMEM);
        assert_true(failed || (moved == 0 && restored == 0));
        bk_sip_dialog_destroy(d);
        bk_sip_dialog_destroy(back);
        assert_true(n < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_callee_keeps_the_route_set_in_order),
        cmocka_unit_test(the_caller_turns_the_route_set_round),
        cmocka_unit_test(a_notify_that_overtook_the_answer_makes_the_dialog),
        cmocka_unit_test(a_strict_router_stands_in_the_request_uri),
        cmocka_unit_test(a_request_uri_has_no_headers),
        cmocka_unit_test(numbers_may_leave_gaps_but_never_repeat),
        cmocka_unit_test(ack_and_cancel_keep_the_number_of_their_invite),
        cmocka_unit_test(target_refreshes_move_the_target_and_others_do_not),
        cmocka_unit_test(answers_to_our_refreshes_move_the_target),
        cmocka_unit_test(a_target_may_grow_and_shrink),
        cmocka_unit_test(a_message_belongs_by_call_id_and_both_tags),
        cmocka_unit_test(a_dialog_needs_tags_a_contact_and_readable_routes),
        cmocka_unit_test(what_was_saved_comes_back),
        cmocka_unit_test(a_folded_record_route_cannot_add_a_line),
        cmocka_unit_test(too_many_routes_make_no_dialog),
        cmocka_unit_test(the_nth_failing_allocation_leaves_all_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
