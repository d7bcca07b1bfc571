/* SPDX-License-Identifier: Apache-2.0 */
/* The torture messages of RFC 4475 and RFC 5118: who refuses each, and with what words. */
#include "sip/build.h"
#include "sip/fields.h"
#include "sip/frame.h"
#include "tests/unit/sip/samples.h"

/*
 * parse and check: what is wrong, NULL where nothing is. What is left to the server (unknown method,
 * scheme, extension, media type, hop count 0) passes both.
 */
static const struct expected {
    const char *name, *parse, *check;
} table[] = {
    /* clang-format off */
    { "badaspec.dat",   NULL, "To cannot be read" },
    { "baddate.dat",    NULL, NULL }, /* nobody here reads Date */
    { "badinv01.dat",   NULL, "Via cannot be read" },
    { "bcast.dat",      NULL, NULL }, /* a response; whose, the transaction layer knows */
    { "bigcode.dat",    "The status code is not between 100 and 699", NULL },
    { "cparam01.dat",   NULL, NULL },
    { "dblreq.dat",     NULL, NULL },
    { "esc02.dat",      NULL, NULL },
    { "escruri.dat",    NULL, "The request URI holds header fields" },
    { "intmeth.dat",    NULL, NULL },
    { "invut.dat",      NULL, NULL }, /* 415, where the body is needed */
    { "ltgtruri.dat",   NULL, "The request URI cannot be read" },
    { "lwsruri.dat",    NULL, "The request URI cannot be read" },
    { "mcl01.dat",      "A header field stands there twice that may stand only once", NULL },
    { "mismatch02.dat", NULL, "The method of CSeq is not that of the request" },
    { "multi01.dat",    "A header field stands there twice that may stand only once", NULL },
    { "noreason.dat",   NULL, NULL },
    { "quotbal.dat",    NULL, "To cannot be read" },
    { "regbadct.dat",   NULL, NULL }, /* its Contact is refused when it is read, see below */
    { "scalar02.dat",   NULL, "CSeq cannot be read" },
    { "sdp01.dat",      NULL, NULL }, /* 406 of the endpoint */
    { "transports.dat", NULL, NULL },
    { "unkscm.dat",     NULL, NULL }, /* 416 of the server */
    { "unreason.dat",   NULL, NULL },
    { "zeromf.dat",     NULL, NULL }, /* 483 of the proxy */
    { "rfc5118_4_1.dat",    NULL, NULL },
    { "rfc5118_4_10_1.dat", NULL, NULL },
    { "rfc5118_4_3.dat",    NULL, NULL },
    { "rfc5118_4_5_1.dat",  NULL, NULL },
    { "rfc5118_4_6.dat",    "Content-Length is more than there is", NULL },
    { "rfc5118_4_8.dat",    NULL, NULL },
    /* clang-format on */
};

static struct bk_sip_msg msg;

static const struct sample *find(const struct samples *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->at[i].name, name) == 0)
            return &s->at[i];
    fail_msg("no file %s", name);
    return NULL;
}

static void each_is_accepted_or_refused_as_the_table_says(void **state)
{
    (void)state;
    SAMPLES(s);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        EXACT(bytes, bk_buf_view(&find(&s, table[i].name)->bytes));
        struct bk_sip_fault fault = { 0 };
        struct bk_sip_head head;

        int r = bk_sip_msg_parse(&msg, bytes, &fault);
        print_message("%-20s %s\n", table[i].name, r ? fault.text : "");
        assert_int_equal(r, table[i].parse ? -EBADMSG : 0);
        if (table[i].parse)
            assert_string_equal(fault.text, table[i].parse);
        else if ((r = bk_sip_msg_check(&msg, &head, &fault)) != 0 || table[i].check)
            assert_string_equal(r ? fault.text : "", table[i].check ? table[i].check : "");
        if (r) {
            assert_int_equal(fault.status, 400);
            assert_true(fault.offset <= bytes.len);
            bool is_response = strcmp(table[i].name, "bigcode.dat") == 0;
            assert_int_equal(msg.status, is_response ? -1 : 0);
            assert_int_equal(bk_sip_msg_answerable(&msg), !is_response);
        }
    }
}

static void no_file_is_missing_from_the_table(void **state)
{
    (void)state;
    SAMPLES(s);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += bk_view_ends_with(bk_view_of_str(s.at[i].name), V(".dat"));
    assert_int_equal(n, sizeof table / sizeof *table);
    assert_int_equal(n, 31);
}

static void every_capture_of_a_stock_client_passes(void **state)
{
    (void)state;
    SAMPLES(s);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        EXACT(bytes, bk_buf_view(&s.at[i].bytes));
        struct bk_sip_frame frame = { 0 };
        struct bk_sip_fault fault = { 0 };
        struct bk_sip_head head;
        size_t len = 0;

        if (!bk_view_ends_with(bk_view_of_str(s.at[i].name), V(".sip")))
            continue;
        enum bk_sip_frame_step step = bk_sip_frame_next(&frame, bytes, 1 << 18, &len, &fault);
        if (step == BK_SIP_FRAME_PING)
            continue;
        print_message("%s\n", s.at[i].name);
        assert_int_equal(step, BK_SIP_FRAME_MESSAGE);
        assert_int_equal(len, bytes.len);
        assert_int_equal(bk_sip_msg_parse(&msg, bytes, &fault), 0);
        assert_int_equal(bk_sip_msg_check(&msg, &head, &fault), 0);
        n++;
    }
    assert_true(n >= 30);
}

static void parse_file(const struct samples *s, const char *name)
{
    struct bk_sip_fault fault;
    (void)bk_sip_msg_parse(&msg, bk_buf_view(&find(s, name)->bytes), &fault);
}

static void a_second_request_behind_the_first_is_cut_off(void **state)
{
    (void)state;
    SAMPLES(s);
    parse_file(&s, "dblreq.dat");
    assert_int_equal(msg.bytes.len, 300);
    assert_int_equal(msg.body.len, 0);
    assert_int_equal(msg.method, BK_SIP_REGISTER);
}

static void the_strangest_legal_request_is_read_in_full(void **state)
{
    (void)state;
    SAMPLES(s);
    struct bk_sip_fault fault;
    struct bk_sip_head head;
    struct bk_sip_uri uri;

    parse_file(&s, "intmeth.dat");
    assert_int_equal(bk_sip_msg_check(&msg, &head, &fault), 0);
    assert_int_equal(msg.method, BK_SIP_OTHER_METHOD);
    assert_view(msg.method_name, "!interesting-Method0123456789_*+`.%indeed'~");
    assert_int_equal(bk_sip_uri_parse(msg.uri, &uri), 0);
    assert_view(uri.host, "example.com");
    assert_view(uri.user, "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*");
    assert_view(uri.password, "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)");
    assert_view(head.from_uri, "sip:mundane@example.com");
    assert_view(head.from_tag, "_token~1'+`*%!-.");
    assert_view(head.via_branch, "z9hG4bK-.!%66*_+`'~");
    assert_view(head.call_id, "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{");
    assert_int_equal(head.max_forwards, 255);
    assert_non_null(bk_sip_msg_field_named(&msg, V("EXTENSIONHEADER-!.%*+_`'~")));
}

static void an_escaped_name_is_another_name(void **state)
{
    (void)state;
    SAMPLES(s);
    parse_file(&s, "esc02.dat");
    assert_int_equal(msg.method, BK_SIP_OTHER_METHOD);
    const struct bk_sip_field *contact = bk_sip_msg_field(&msg, BK_SIP_HDR_CONTACT);
    assert_view(contact->value, "<sip:alias1@host1.example.com>");
    contact = bk_sip_msg_field_next(&msg, contact);
    assert_view(contact->value, "<sip:alias3@host3.example.com>");
    assert_null(bk_sip_msg_field_next(&msg, contact));
}

static void a_contact_with_a_question_mark_needs_brackets(void **state)
{
    (void)state;
    SAMPLES(s);
    struct bk_sip_addr addr;
    parse_file(&s, "regbadct.dat");
    struct bk_view rest = bk_sip_msg_value(&msg, BK_SIP_HDR_CONTACT);
    assert_int_equal(bk_sip_addr_next(&rest, &addr), -EBADMSG);
}

static void an_unknown_contact_parameter_belongs_to_the_field(void **state)
{
    (void)state;
    SAMPLES(s);
    struct bk_sip_addr addr;
    struct bk_view value;
    parse_file(&s, "cparam01.dat");
    struct bk_view rest = bk_sip_msg_value(&msg, BK_SIP_HDR_CONTACT);
    assert_int_equal(bk_sip_addr_next(&rest, &addr), 1);
    assert_view(addr.uri_text, "sip:+19725552222@gw1.example.net");
    assert_true(bk_sip_param_find(addr.params, V("unknownparam"), &value));
    assert_null(value.at);
}

static void a_response_without_or_with_any_reason_is_one(void **state)
{
    (void)state;
    SAMPLES(s);
    parse_file(&s, "noreason.dat");
    assert_int_equal(msg.status, 100);
    assert_int_equal(msg.reason.len, 0);
    parse_file(&s, "unreason.dat");
    assert_int_equal(msg.status, 200);
    assert_true(bk_view_starts_with(msg.reason, V("= 2**3 * 5**2 \xd0\xbd\xd0\xbe")));
    assert_int_equal(msg.method, BK_SIP_INVITE);
}

static void ipv6_references_keep_their_colons_to_themselves(void **state)
{
    (void)state;
    SAMPLES(s);
    struct bk_sip_uri uri;
    struct bk_sip_via via;

    parse_file(&s, "rfc5118_4_3.dat"); /* the port was forgotten outside the brackets */
    assert_int_equal(bk_sip_uri_parse(msg.uri, &uri), 0);
    assert_view(uri.host, "2001:db8::10:5070");
    assert_true(uri.host_is_ipv6);
    assert_int_equal(uri.port, 0);

    parse_file(&s, "rfc5118_4_5_1.dat");
    struct bk_view rest = bk_sip_msg_value(&msg, BK_SIP_HDR_VIA);
    assert_int_equal(bk_sip_via_next(&rest, &via), 1);
    assert_view(via.host, "2001:db8::9:1");
    assert_view(via.sent_by, "[2001:db8::9:1]");
    assert_view(via.received, "2001:db8::9:255");

    parse_file(&s, "rfc5118_4_10_1.dat");
    assert_int_equal(bk_sip_uri_parse(msg.uri, &uri), 0);
    assert_view(uri.host, "2001:db8:::192.0.2.1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_accepted_or_refused_as_the_table_says),
        cmocka_unit_test(no_file_is_missing_from_the_table),
        cmocka_unit_test(every_capture_of_a_stock_client_passes),
        cmocka_unit_test(a_second_request_behind_the_first_is_cut_off),
        cmocka_unit_test(the_strangest_legal_request_is_read_in_full),
        cmocka_unit_test(an_escaped_name_is_another_name),
        cmocka_unit_test(a_contact_with_a_question_mark_needs_brackets),
        cmocka_unit_test(an_unknown_contact_parameter_belongs_to_the_field),
        cmocka_unit_test(a_response_without_or_with_any_reason_is_one),
        cmocka_unit_test(ipv6_references_keep_their_colons_to_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
