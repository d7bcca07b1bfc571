/* SPDX-License-Identifier: Apache-2.0 */
/* What we write, we can read; what came, leaves as it came but for the edits. */
#include "sip/build.h"

#include "sip/fields.h"
#include "tests/unit/base/failing_alloc.h"
#include "tests/unit/sip/samples.h"

static struct bk_sip_msg msg, other;
static struct bk_sip_fault fault;
static struct bk_sip_head head;

static const char invite[] =
    "INVITE sip:bob@example.org SIP/2.0\r\n"
    "v: SIP/2.0/TLS a.example.org:5061;branch=z9hG4bK1 , SIP/2.0/UDP "
    "first.example.org;branch=z9hG4bK0\r\n"
    "Route: <sip:one.example.org;lr>,\r\n <sip:two.example.org;lr>;x=\",\"\r\n"
    "Route: <sip:three.example.org;lr>\r\n"
    "Max-Forwards: 70\r\n"
    "Record-Route: <sip:rr.example.org;lr>\r\n"
    "X-Unknown :  kept  as\tit  is \r\n"
    "From: <sip:ann@example.org>;tag=1\r\n"
    "To:\r\n <sip:bob@example.org>\r\n"
    "Call-ID: c1\r\n"
    "CSeq: 1 INVITE\r\n"
    "c: text/plain\r\n"
    "l: 5\r\n"
    "\r\n"
    "hello";

static void parse_invite(void)
{
    assert_int_equal(bk_sip_msg_parse(&msg, bk_view_of_str(invite), &fault), 0);
}

/* ---- answers ---- */

static void an_answer_to_any_message_there_is_can_be_read(void **state)
{
    (void)state;
    SAMPLES(s);
    static const struct bk_sip_source source = { .host = { BK_VIEW_OF("192.0.2.77") },
                                                 .port = 4711 };
    int n = 0;
    for (size_t i = 0; i < s.n; i++) {
        BK_AUTO_BUF struct bk_buf answer = { 0 };
        struct bk_sip_head asked;
        if (bk_sip_msg_parse(&msg, bk_buf_view(&s.at[i].bytes), &fault) < 0 || msg.status ||
            bk_sip_msg_check(&msg, &asked, &fault) < 0)
            continue;
        bk_sip_response_begin(&answer, &msg, 404, (struct bk_view){ 0 }, V("ourtag"), &source);
        bk_sip_end(&answer, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        assert_false(answer.failed);
        EXACT(bytes, bk_buf_view(&answer));
        assert_int_equal(bk_sip_msg_parse(&other, bytes, &fault), 0);
        assert_int_equal(bk_sip_msg_check(&other, &head, &fault), 0);
        assert_int_equal(other.status, 404);
        assert_view(other.reason, "Not Found");
        assert_views(head.call_id, asked.call_id);
        assert_views(head.via_branch, asked.via_branch);
        assert_views(head.from_tag, asked.from_tag);
        assert_views(head.to_tag, asked.to_tag.len ? asked.to_tag : V("ourtag"));
        assert_int_equal(head.cseq, asked.cseq);
        assert_views(other.method_name, msg.method_name);
        struct bk_view rest = bk_sip_msg_value(&other, BK_SIP_HDR_VIA);
        struct bk_sip_via via;
        assert_int_equal(bk_sip_via_next(&rest, &via), 1);
        assert_view(via.received, "192.0.2.77");
        assert_int_equal(via.has_rport, asked.via_rport);
        assert_int_equal(via.rport, asked.via_rport ? 4711 : 0);
        n++;
    }
    assert_true(n > 30);
}

static void assert_answer_has(const char *request, const struct bk_sip_source *source,
                              const char *line)
{
    BK_AUTO_BUF struct bk_buf answer = { 0 };
    assert_int_equal(bk_sip_msg_parse(&msg, bk_view_of_str(request), &fault), 0);
    bk_sip_response_begin(&answer, &msg, 200, (struct bk_view){ 0 }, (struct bk_view){ 0 }, source);
    assert_false(answer.failed);
    if (bk_view_find_view(bk_buf_view(&answer), bk_view_of_str(line)) == answer.len)
        fail_msg("no %s in %s", line, bk_buf_cstr(&answer));
}

static void where_a_request_says_it_came_from_counts_for_nothing(void **state)
{
    (void)state;
    static const struct bk_sip_source v4 = { .host = { BK_VIEW_OF("192.0.2.1") }, .port = 99 };
    static const struct bk_sip_source v6 = { .host = { BK_VIEW_OF("2001:db8::1") }, .port = 99 };
#define WITH(via) "A sip:a SIP/2.0\r\nVia: " via "\r\n\r\n"
    assert_answer_has(WITH("SIP/2.0/TLS 192.0.2.1;branch=b"), &v4,
                      "Via: SIP/2.0/TLS 192.0.2.1;branch=b\r\n");
    assert_answer_has(WITH("SIP/2.0/TLS 192.0.2.1:5061;rport;branch=b"), &v4,
                      "Via: SIP/2.0/TLS 192.0.2.1:5061;branch=b;received=192.0.2.1;rport=99\r\n");
    assert_answer_has(
        WITH("SIP/2.0/TLS a;rport=1;branch=b;received=6.6.6.6;x=\"y\";z, SIP/2.0/UDP q"), &v4,
        "Via: SIP/2.0/TLS a;branch=b;x=\"y\";z;received=192.0.2.1;rport=99, SIP/2.0/UDP q\r\n");
    assert_answer_has(WITH("SIP/2.0/TLS 192.0.2.1;received=6.6.6.6"), &v4,
                      "Via: SIP/2.0/TLS 192.0.2.1;received=192.0.2.1\r\n");
    assert_answer_has(WITH("SIP/2.0/TLS [2001:DB8::1]:5061;branch=b"), &v6,
                      "Via: SIP/2.0/TLS [2001:DB8::1]:5061;branch=b\r\n");
    assert_answer_has(WITH("SIP/2.0/TLS a ; rport"), NULL, "Via: SIP/2.0/TLS a ; rport\r\n");
    assert_answer_has(WITH("nonsense"), &v4, "Via: nonsense\r\n");
#undef WITH
}

static bool answer_has_route(const char *method, int status)
{
    BK_AUTO_BUF struct bk_buf request = { 0 }, answer = { 0 };
    bk_buf_addf(&request, "%s sip:a SIP/2.0\r\nRecord-Route: <sip:rr;lr>\r\n\r\n", method);
    assert_int_equal(bk_sip_msg_parse(&msg, bk_buf_view(&request), &fault), 0);
    bk_sip_response_begin(&answer, &msg, status, V("x"), (struct bk_view){ 0 }, NULL);
    return bk_view_find_view(bk_buf_view(&answer), V("Record-Route: <sip:rr;lr>\r\n")) < answer.len;
}

static void the_way_back_is_in_answers_that_make_a_dialog(void **state)
{
    (void)state;
    assert_true(answer_has_route("INVITE", 180));
    assert_true(answer_has_route("INVITE", 200));
    assert_true(answer_has_route("SUBSCRIBE", 200));
    assert_true(answer_has_route("REFER", 202));
    assert_false(answer_has_route("INVITE", 100));
    assert_false(answer_has_route("INVITE", 300));
    assert_false(answer_has_route("INVITE", 486));
    assert_false(answer_has_route("MESSAGE", 200));
    assert_false(answer_has_route("REGISTER", 200));
}

static void a_to_that_cannot_be_read_goes_back_as_it_came(void **state)
{
    (void)state;
    static const char *const lines[] = { "To: <sip:a\r\n", "To: \r\n", "t: <sip:a>, <sip:b>\r\n",
                                         "To: <sip:a>;tag=\"x\"\r\n" };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        BK_AUTO_BUF struct bk_buf request = { 0 }, answer = { 0 };
        bk_buf_addf(&request, "A sip:a SIP/2.0\r\n%s\r\n", lines[i]);
        assert_int_equal(bk_sip_msg_parse(&msg, bk_buf_view(&request), &fault), 0);
        bk_sip_response_begin(&answer, &msg, 400, V("x"), V("ours"), NULL);
        assert_views(bk_view_skip(bk_buf_view(&answer), strlen("SIP/2.0 400 x\r\n")),
                     bk_view_of_str(lines[i]));
    }
}

static void a_trying_gives_the_timestamp_back_and_no_tag(void **state)
{
    (void)state;
    static const char request[] = "INVITE sip:a SIP/2.0\r\nTo: <sip:a>\r\nTimestamp: 54\r\n\r\n";
    BK_AUTO_BUF struct bk_buf answer = { 0 };
    assert_int_equal(bk_sip_msg_parse(&msg, bk_view_of_str(request), &fault), 0);
    bk_sip_response_begin(&answer, &msg, 100, (struct bk_view){ 0 }, (struct bk_view){ 0 }, NULL);
    assert_view(bk_buf_view(&answer), "SIP/2.0 100 Trying\r\nTo: <sip:a>\r\nTimestamp: 54\r\n");
}

/* ---- writing ---- */

static void nobody_smuggles_a_field_through_a_value(void **state)
{
    (void)state;
    static const struct bk_view bad[] = {
        { BK_VIEW_OF("a\r\nX: b") },   { BK_VIEW_OF("a\nX: b") },  { BK_VIEW_OF("a\rb") },
        { BK_VIEW_OF("a\r\n") },       { BK_VIEW_OF("\r\n\r\n") }, { BK_VIEW_OF("a\0b") },
        { BK_VIEW_OF("a\r\n\r\n b") }, { BK_VIEW_OF("\n b") },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        EXACT(value, bad[i]);
        struct bk_buf bufs[7] = { 0 };
        bk_sip_field_add(&bufs[0], BK_SIP_HDR_EVENT, value);
        bk_sip_field_add_named(&bufs[1], V("X"), value);
        bk_sip_field_add_named(&bufs[2], value, V("x"));
        bk_sip_request_begin(&bufs[3], V("INVITE"), value);
        bk_sip_request_begin(&bufs[4], value, V("sip:a"));
        bk_sip_field_addf(&bufs[5], BK_SIP_HDR_EVENT, "%.*s%c", (int)value.len, value.at, 0);
        parse_invite();
        bk_sip_response_begin(&bufs[6], &msg, 200, value, (struct bk_view){ 0 }, NULL);
        for (size_t b = 0; b < sizeof bufs / sizeof *bufs; b++) {
            if (!bufs[b].failed)
                fail_msg("%zu took %zu", b, i);
            bk_buf_finish(&bufs[b]);
        }
        for (int what = 0; what < 4; what++) {
            BK_AUTO_BUF struct bk_buf out = { 0 };
            struct bk_sip_edit edit;
            parse_invite();
            bk_sip_edit_begin(&edit, &msg);
            if (what == 0)
                bk_sip_edit_uri(&edit, value);
            else if (what == 1)
                bk_sip_edit_value(&edit, bk_sip_msg_field(&msg, BK_SIP_HDR_MAX_FORWARDS), value);
            else if (what == 2)
                bk_sip_edit_body(&edit, value, V("x"));
            else
                bk_sip_response_begin(&out, &msg, 200, V("x"), value, NULL);
            bk_sip_edit_write(&edit, &out);
            assert_true(out.failed);
        }
    }
    BK_AUTO_BUF struct bk_buf ok = { 0 };
    bk_sip_field_add(&ok, BK_SIP_HDR_EVENT, V("a\r\n b\r\n\tc\x01")); /* a fold is a blank */
    assert_view(bk_buf_view(&ok), "Event: a b\tc\x01\r\n");
    bk_sip_field_add_named(&ok, V("no name"), V("x"));
    assert_true(ok.failed);
}

static void a_request_is_written_with_its_body(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    bk_sip_request_begin(&buf, V("MESSAGE"), V("sip:bob@example.org"));
    bk_sip_field_addf(&buf, BK_SIP_HDR_CSEQ, "%d %s", 7, "MESSAGE");
    bk_sip_field_add_named(&buf, V("X-a"), V(""));
    bk_sip_end(&buf, V("text/plain"), V("hi"));
    assert_view(bk_buf_view(&buf),
                "MESSAGE sip:bob@example.org SIP/2.0\r\nCSeq: 7 MESSAGE\r\nX-a: \r\n"
                "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi");
    bk_buf_clear(&buf);
    bk_sip_end(&buf, V("text/plain"), (struct bk_view){ 0 });
    assert_view(bk_buf_view(&buf), "Content-Length: 0\r\n\r\n");
}

/* ---- forwarding ---- */

static void without_edits_every_message_leaves_as_it_came(void **state)
{
    (void)state;
    SAMPLES(s);
    for (size_t i = 0; i < s.n; i++) {
        BK_AUTO_BUF struct bk_buf out = { 0 };
        struct bk_sip_edit edit;
        EXACT(bytes, bk_buf_view(&s.at[i].bytes));
        if (bk_sip_msg_parse(&msg, bytes, &fault) < 0)
            continue;
        bk_sip_edit_begin(&edit, &msg);
        bk_sip_edit_write(&edit, &out);
        assert_views(bk_buf_view(&out), msg.bytes);
    }
}

static void every_other_byte_stays_as_it_was(void **state)
{
    (void)state;
    SAMPLES(s);
    for (size_t i = 0; i < s.n; i++) {
        if (bk_sip_msg_parse(&msg, bk_buf_view(&s.at[i].bytes), &fault) < 0)
            continue;
        for (int f = 0; f < msg.n_fields; f++) {
            const struct bk_sip_field *field = &msg.fields[f];
            struct bk_view before = bk_view_between(msg.bytes.at, field->line.at);
            struct bk_view behind = bk_view_skip(msg.bytes, before.len + field->line.len);
            for (int what = 0; what < 3; what++) {
                BK_AUTO_BUF struct bk_buf out = { 0 }, want = { 0 };
                struct bk_sip_edit edit;
                bk_sip_edit_begin(&edit, &msg);
                bk_buf_add_view(&want, before);
                if (what == 0) {
                    bk_sip_edit_remove(&edit, field);
                } else if (what == 1) {
                    bk_sip_edit_insert(&edit, field, V("X: 1\r\nY: 2\r\n"));
                    bk_buf_add_lit(&want, "X: 1\r\nY: 2\r\n");
                    bk_buf_add_view(&want, field->line);
                } else {
                    bk_sip_edit_value(&edit, field, V("new"));
                    bk_buf_add_view(&want, bk_view_between(field->line.at, field->value.at));
                    bk_buf_add_lit(&want, "new");
                    bk_buf_add_view(&want, bk_view_between(field->value.at + field->value.len,
                                                           field->line.at + field->line.len));
                }
                bk_buf_add_view(&want, behind);
                bk_sip_edit_write(&edit, &out);
                assert_views(bk_buf_view(&out), bk_buf_view(&want));
            }
        }
    }
}

static void a_proxy_takes_its_turn(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf out = { 0 };
    struct bk_sip_edit edit;
    parse_invite();
    bk_sip_edit_begin(&edit, &msg);
    const struct bk_sip_field *route = bk_sip_msg_field(&msg, BK_SIP_HDR_ROUTE);
    bk_sip_edit_value(&edit, bk_sip_msg_field(&msg, BK_SIP_HDR_MAX_FORWARDS), V("69"));
    bk_sip_edit_pop(&edit, route);
    bk_sip_edit_insert(&edit, bk_sip_msg_field(&msg, BK_SIP_HDR_VIA),
                       V("Via: SIP/2.0/TLS us;branch=z\r\n"));
    bk_sip_edit_uri(&edit, V("sip:bob@192.0.2.9:4711;transport=tls"));
    bk_sip_edit_insert(&edit, NULL, V("Record-Route: <sip:us;lr>\r\n"));
    bk_sip_edit_remove(&edit, bk_sip_msg_field_next(&msg, route));
    bk_sip_edit_write(&edit, &out);
    assert_view(bk_buf_view(&out), "INVITE sip:bob@192.0.2.9:4711;transport=tls SIP/2.0\r\n"
                                   "Via: SIP/2.0/TLS us;branch=z\r\n"
                                   "Record-Route: <sip:us;lr>\r\n"
                                   "v: SIP/2.0/TLS a.example.org:5061;branch=z9hG4bK1 , "
                                   "SIP/2.0/UDP first.example.org;branch=z9hG4bK0\r\n"
                                   "Route: <sip:two.example.org;lr>;x=\",\"\r\n"
                                   "Max-Forwards: 69\r\n"
                                   "Record-Route: <sip:rr.example.org;lr>\r\n"
                                   "X-Unknown :  kept  as\tit  is \r\n"
                                   "From: <sip:ann@example.org>;tag=1\r\n"
                                   "To:\r\n <sip:bob@example.org>\r\n"
                                   "Call-ID: c1\r\n"
                                   "CSeq: 1 INVITE\r\n"
                                   "c: text/plain\r\n"
                                   "l: 5\r\n"
                                   "\r\n"
                                   "hello");
}

static void values_come_off_the_front_until_none_is_left(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "Route: <sip:one.example.org;lr>,\r\n <sip:two.example.org;lr>;x=\",\"\r\n",
        "Route: <sip:two.example.org;lr>;x=\",\"\r\n", "", ""
    };
    for (int n = 0; n < 4; n++) {
        BK_AUTO_BUF struct bk_buf out = { 0 };
        struct bk_sip_edit edit;
        parse_invite();
        bk_sip_edit_begin(&edit, &msg);
        for (int i = 0; i < n; i++)
            bk_sip_edit_pop(&edit, bk_sip_msg_field(&msg, BK_SIP_HDR_ROUTE));
        bk_sip_edit_write(&edit, &out);
        assert_int_equal(bk_sip_msg_parse(&other, bk_buf_view(&out), &fault), 0);
        const struct bk_sip_field *route = bk_sip_msg_field(&other, BK_SIP_HDR_ROUTE);
        assert_view(route->line, lines[n][0] ? lines[n] : "Route: <sip:three.example.org;lr>\r\n");
    }
    assert_int_equal(bk_sip_msg_parse(&msg, V("A a SIP/2.0\r\nRoute: <a,,\r\n\r\n"), &fault), 0);
    BK_AUTO_BUF struct bk_buf out = { 0 };
    struct bk_sip_edit edit;
    bk_sip_edit_begin(&edit, &msg);
    bk_sip_edit_pop(&edit, bk_sip_msg_field(&msg, BK_SIP_HDR_ROUTE));
    bk_sip_edit_write(&edit, &out);
    assert_true(out.failed);
}

static void the_stronger_of_two_steps_on_one_field_wins(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf out = { 0 };
    struct bk_sip_edit edit;
    assert_int_equal(bk_sip_msg_parse(&msg, V("A a SIP/2.0\r\nX: 1\r\nY: 2\r\n\r\n"), &fault), 0);
    bk_sip_edit_begin(&edit, &msg);
    bk_sip_edit_remove(&edit, &msg.fields[0]);
    bk_sip_edit_value(&edit, &msg.fields[0], V("n"));
    bk_sip_edit_insert(&edit, &msg.fields[0], V("I: 1\r\n"));
    bk_sip_edit_value(&edit, &msg.fields[1], V("old"));
    bk_sip_edit_value(&edit, &msg.fields[1], V("new"));
    bk_sip_edit_insert(&edit, &msg.fields[0], V("I: 2\r\n"));
    bk_sip_edit_write(&edit, &out);
    assert_view(bk_buf_view(&out), "A a SIP/2.0\r\nI: 1\r\nI: 2\r\nY: new\r\n\r\n");
}

static void an_empty_field_is_filled_in_its_own_line(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf out = { 0 };
    struct bk_sip_edit edit;
    assert_int_equal(
        bk_sip_msg_parse(&msg, V("A a SIP/2.0\r\nX:\r\nY: \r\n \r\nc:\r\n\r\n"), &fault), 0);
    bk_sip_edit_begin(&edit, &msg);
    bk_sip_edit_value(&edit, &msg.fields[0], V("x"));
    bk_sip_edit_value(&edit, &msg.fields[1], V("y"));
    bk_sip_edit_body(&edit, V("a/b"), V("1"));
    bk_sip_edit_write(&edit, &out);
    assert_view(bk_buf_view(&out),
                "A a SIP/2.0\r\nX:x\r\nY: \r\n y\r\nc:a/b\r\nContent-Length: 1\r\n\r\n1");
}

static void a_new_body_brings_its_fields(void **state)
{
    (void)state;
    static const struct {
        const char *came, *type, *body, *want;
    } rows[] = {
        { "A a SIP/2.0\r\nl: 2\r\nX: 1\r\nc: a/b\r\n\r\nhi", "c/d", "hello",
          "A a SIP/2.0\r\nl: 5\r\nX: 1\r\nc: c/d\r\n\r\nhello" },
        { "A a SIP/2.0\r\nl: 2\r\nX: 1\r\nc: a/b\r\n\r\nhi", "", "",
          "A a SIP/2.0\r\nl: 0\r\nX: 1\r\nc: a/b\r\n\r\n" },
        { "A a SIP/2.0\r\nX: 1\r\n\r\n", "c/d", "hello",
          "A a SIP/2.0\r\nX: 1\r\nContent-Type: c/d\r\nContent-Length: 5\r\n\r\nhello" },
        { "A a SIP/2.0\r\n\r\n", "", "hello", "A a SIP/2.0\r\nContent-Length: 5\r\n\r\nhello" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        BK_AUTO_BUF struct bk_buf out = { 0 };
        struct bk_sip_edit edit;
        EXACT(bytes, bk_view_of_str(rows[i].came));
        assert_int_equal(bk_sip_msg_parse(&msg, bytes, &fault), 0);
        bk_sip_edit_begin(&edit, &msg);
        bk_sip_edit_body(&edit, bk_view_of_str(rows[i].type), bk_view_of_str(rows[i].body));
        bk_sip_edit_write(&edit, &out);
        assert_view(bk_buf_view(&out), rows[i].want);
    }
}

static void fields_go_into_a_head_that_had_none(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf out = { 0 };
    struct bk_sip_edit edit;
    assert_int_equal(bk_sip_msg_parse(&msg, V("A a SIP/2.0\r\n\r\nx"), &fault), 0);
    bk_sip_edit_begin(&edit, &msg);
    bk_sip_edit_insert(&edit, NULL, V("X: 1\r\n"));
    bk_sip_edit_insert(&edit, NULL, V("Y: 2\r\n"));
    bk_sip_edit_uri(&edit, V("b"));
    bk_sip_edit_write(&edit, &out);
    assert_view(bk_buf_view(&out), "A b SIP/2.0\r\nX: 1\r\nY: 2\r\n\r\nx");
}

static void what_cannot_be_edited_fails_as_a_whole(void **state)
{
    (void)state;
    struct bk_sip_edit edit;
    for (int n = BK_SIP_EDITS_MAX; n <= BK_SIP_EDITS_MAX + 1; n++) {
        BK_AUTO_BUF struct bk_buf out = { 0 };
        parse_invite();
        bk_sip_edit_begin(&edit, &msg);
        for (int i = 0; i < n; i++)
            bk_sip_edit_insert(&edit, NULL, V("X: 1\r\n"));
        bk_sip_edit_write(&edit, &out);
        assert_int_equal(out.failed, n > BK_SIP_EDITS_MAX);
        if (out.failed)
            assert_int_equal(out.len, 0);
    }
    static const char *const lines[] = { "X: 1", "\r\n", " X: 1\r\n", "X: 1\n" };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        BK_AUTO_BUF struct bk_buf out = { 0 };
        bk_sip_edit_begin(&edit, &msg);
        bk_sip_edit_insert(&edit, NULL, bk_view_of_str(lines[i]));
        bk_sip_edit_write(&edit, &out);
        assert_true(out.failed);
    }
    BK_AUTO_BUF struct bk_buf out = { 0 };
    assert_int_equal(bk_sip_msg_parse(&msg, V("SIP/2.0 200 OK\r\n\r\n"), &fault), 0);
    bk_sip_edit_begin(&edit, &msg);
    bk_sip_edit_uri(&edit, V("sip:a"));
    bk_sip_edit_write(&edit, &out);
    assert_true(out.failed);
}

static void without_memory_the_buffer_says_so(void **state)
{
    (void)state;
    static const struct bk_sip_source source = { .host = { BK_VIEW_OF("192.0.2.77") },
                                                 .port = 4711 };
    for (unsigned n = 1;; n++) {
        BK_AUTO_BUF struct bk_buf answer = { 0 }, forwarded = { 0 };
        struct bk_sip_edit edit;
        parse_invite();
        bk_fail_alloc(n);
        bk_sip_response_begin(&answer, &msg, 200, (struct bk_view){ 0 }, V("t"), &source);
        bk_sip_field_addf(&answer, BK_SIP_HDR_EXPIRES, "%d", 600);
        bk_sip_end(&answer, V("text/plain"), V("body"));
        bk_sip_edit_begin(&edit, &msg);
        bk_sip_edit_pop(&edit, bk_sip_msg_field(&msg, BK_SIP_HDR_ROUTE));
        bk_sip_edit_body(&edit, V("a/b"), V("c"));
        bk_sip_edit_write(&edit, &forwarded);
        bool failed = bk_fail_alloc(0);
        assert_int_equal(failed, answer.failed || forwarded.failed);
        if (!failed)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_to_any_message_there_is_can_be_read),
        cmocka_unit_test(where_a_request_says_it_came_from_counts_for_nothing),
        cmocka_unit_test(the_way_back_is_in_answers_that_make_a_dialog),
        cmocka_unit_test(a_to_that_cannot_be_read_goes_back_as_it_came),
        cmocka_unit_test(a_trying_gives_the_timestamp_back_and_no_tag),
        cmocka_unit_test(nobody_smuggles_a_field_through_a_value),
        cmocka_unit_test(a_request_is_written_with_its_body),
        cmocka_unit_test(without_edits_every_message_leaves_as_it_came),
        cmocka_unit_test(every_other_byte_stays_as_it_was),
        cmocka_unit_test(a_proxy_takes_its_turn),
        cmocka_unit_test(values_come_off_the_front_until_none_is_left),
        cmocka_unit_test(the_stronger_of_two_steps_on_one_field_wins),
        cmocka_unit_test(an_empty_field_is_filled_in_its_own_line),
        cmocka_unit_test(a_new_body_brings_its_fields),
        cmocka_unit_test(fields_go_into_a_head_that_had_none),
        cmocka_unit_test(what_cannot_be_edited_fails_as_a_whole),
        cmocka_unit_test(without_memory_the_buffer_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
