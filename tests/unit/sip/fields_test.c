/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/fields.h"

#include "sip/uri.h"

#include "tests/unit/sip/sip_test.h"

/* ---- lists ---- */

static void list_elements_respect_quotes_and_brackets(void **state)
{
    (void)state;
    struct bk_view rest = V(" a ,\r\n\t\"b, \\\"c\" <sip:d,e>;f , g;h=\"i,\" "), element;
    assert_int_equal(bk_sip_list_next(&rest, &element), 1);
    assert_view(element, "a");
    assert_int_equal(bk_sip_list_next(&rest, &element), 1);
    assert_view(element, "\"b, \\\"c\" <sip:d,e>;f");
    assert_int_equal(bk_sip_list_next(&rest, &element), 1);
    assert_view(element, "g;h=\"i,\"");
    assert_int_equal(bk_sip_list_next(&rest, &element), 0);
    rest = (struct bk_view){ 0 };
    assert_int_equal(bk_sip_list_next(&rest, &element), 0);
    rest = V(" \t");
    assert_int_equal(bk_sip_list_next(&rest, &element), 0);
}

static void broken_lists_end_with_a_fault(void **state)
{
    (void)state;
    static const char *const rows[] = { ",",   "a,",        "a,,b", ",a", "a, ,b",
                                        "\"a", "a,\"b\\\"", "<a",   "a,<" };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        EXACT(text, bk_view_of_str(rows[i]));
        struct bk_view rest = text, element;
        int r;
        while ((r = bk_sip_list_next(&rest, &element)) > 0)
            assert_inside(element, text);
        if (r != -EBADMSG)
            fail_msg("accepted: %s", rows[i]);
    }
}

/* ---- Via ---- */

static void a_via_is_read_with_all_its_parts(void **state)
{
    (void)state;
    struct bk_view rest =
        V(" \tSIP/2.0/TLS pc33.atlanta.com:5061;branch=z9hG4bK776;rport=4711;received=192.0.2.1,"
          "SIP / 2.0 / udp [2001:db8::9] : 5060 ; RPORT ; maddr=224.2.0.1,sip/2.0/tcp h");
    struct bk_sip_via via;
    assert_int_equal(bk_sip_via_next(&rest, &via), 1);
    assert_view(via.protocol, "SIP");
    assert_view(via.version, "2.0");
    assert_view(via.transport, "TLS");
    assert_view(via.sent_by, "pc33.atlanta.com:5061");
    assert_view(via.host, "pc33.atlanta.com");
    assert_int_equal(via.port, 5061);
    assert_view(via.branch, "z9hG4bK776");
    assert_view(via.received, "192.0.2.1");
    assert_true(via.has_rport);
    assert_int_equal(via.rport, 4711);
    assert_view(via.params, "branch=z9hG4bK776;rport=4711;received=192.0.2.1");

    assert_int_equal(bk_sip_via_next(&rest, &via), 1);
    assert_view(via.transport, "udp");
    assert_view(via.host, "2001:db8::9");
    assert_view(via.sent_by, "[2001:db8::9] : 5060");
    assert_true(via.host_is_ipv6);
    assert_int_equal(via.port, 5060);
    assert_true(via.has_rport);
    assert_int_equal(via.rport, 0);
    assert_int_equal(via.branch.len, 0);

    assert_int_equal(bk_sip_via_next(&rest, &via), 1);
    assert_view(via.sent_by, "h");
    assert_int_equal(via.port, 0);
    assert_false(via.has_rport);
    assert_null(via.params.at);
    assert_int_equal(bk_sip_via_next(&rest, &via), 0);
}

static void a_via_cut_at_any_byte_stays_inside(void **state)
{
    (void)state;
    struct bk_view whole =
        V("SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bK;rport;received=\"x\" , SIP/2.0/UDP a;b");
    for (size_t n = 0; n <= whole.len; n++) {
        EXACT(part, bk_view_head(whole, n));
        struct bk_view rest = part;
        struct bk_sip_via via;
        while (bk_sip_via_next(&rest, &via) > 0) {
            assert_inside(via.sent_by, part);
            assert_inside(via.params, part);
            assert_inside(via.branch, part);
        }
    }
}

/* ---- single values ---- */

static void cseq_events_and_states_are_read(void **state)
{
    (void)state;
    struct bk_sip_cseq cseq;
    struct bk_sip_event event;
    struct bk_sip_subscription_state sub;

    assert_int_equal(bk_sip_cseq_parse(V("0004711 \t INVITE"), &cseq), 0);
    assert_int_equal(cseq.number, 4711);
    assert_view(cseq.method, "INVITE");
    assert_int_equal(bk_sip_cseq_parse((struct bk_view){ 0 }, &cseq), -EBADMSG);

    assert_int_equal(bk_sip_event_parse(V("presence.wpending ; x=y;ID=a1"), &event), 0);
    assert_view(event.package, "presence.wpending");
    assert_view(event.id, "a1");
    assert_int_equal(bk_sip_event_parse(V("registration"), &event), 0);
    assert_int_equal(event.id.len, 0);
    assert_int_equal(bk_sip_event_parse(V("a b"), &event), -EBADMSG);
    assert_int_equal(bk_sip_event_parse(V(";id=1"), &event), -EBADMSG);
    assert_int_equal(bk_sip_event_parse(V("a;"), &event), -EBADMSG);
    assert_int_equal(bk_sip_event_parse(V("a;b,c"), &event), -EBADMSG);
    assert_int_equal(bk_sip_event_parse((struct bk_view){ 0 }, &event), -EBADMSG);

    assert_int_equal(bk_sip_subscription_state_parse(V("Active;expires=3600"), &sub), 0);
    assert_int_equal(sub.state, BK_SIP_SUB_ACTIVE);
    assert_int_equal(sub.expires_s, 3600);
    assert_int_equal(sub.retry_after_s, -1);
    assert_int_equal(bk_sip_subscription_state_parse(
                         V("terminated ;reason=giveup; retry-after=99999999999"), &sub),
                     0);
    assert_int_equal(sub.state, BK_SIP_SUB_TERMINATED);
    assert_view(sub.reason, "giveup");
    assert_int_equal(sub.retry_after_s, UINT32_MAX);
    assert_int_equal(sub.expires_s, -1);
    assert_int_equal(bk_sip_subscription_state_parse(V("pending"), &sub), 0);
    assert_int_equal(sub.state, BK_SIP_SUB_PENDING);
    assert_int_equal(bk_sip_subscription_state_parse(V("waiting"), &sub), 0);
    assert_int_equal(sub.state, BK_SIP_SUB_OTHER);
    assert_int_equal(bk_sip_subscription_state_parse(V("active;expires=x"), &sub), -EBADMSG);
    assert_int_equal(bk_sip_subscription_state_parse(V("active;retry-after=x"), &sub), -EBADMSG);
    assert_int_equal(bk_sip_subscription_state_parse(V("terminated;reason=\"\""), &sub), 0);
    assert_view(sub.reason, "");
    assert_int_equal(bk_sip_subscription_state_parse(V(""), &sub), -EBADMSG);
}

static void expires_is_missing_or_seconds_or_nonsense(void **state)
{
    (void)state;
    static struct bk_sip_msg msg;
    struct bk_sip_fault fault;
    int64_t s = -5;
    static const struct {
        struct bk_view text;
        int r;
        int64_t s;
    } rows[] = {
        { { BK_VIEW_OF("A a SIP/2.0\r\n\r\n") }, -ENOENT, -5 },
        { { BK_VIEW_OF("A a SIP/2.0\r\nExpires: 0\r\n\r\n") }, 0, 0 },
        { { BK_VIEW_OF("A a SIP/2.0\r\nExpires: 600\r\n\r\n") }, 0, 600 },
        { { BK_VIEW_OF("A a SIP/2.0\r\nExpires: 4294967296\r\n\r\n") }, 0, UINT32_MAX },
        { { BK_VIEW_OF("A a SIP/2.0\r\nExpires: 600s\r\n\r\n") }, -EBADMSG, -5 },
        { { BK_VIEW_OF("A a SIP/2.0\r\nExpires:\r\n\r\n") }, -EBADMSG, -5 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        s = -5;
        assert_int_equal(bk_sip_msg_parse(&msg, rows[i].text, &fault), 0);
        assert_int_equal(bk_sip_msg_expires(&msg, &s), rows[i].r);
        assert_int_equal(s, rows[i].s);
    }
}

static void content_types_are_read_in_parts(void **state)
{
    (void)state;
    struct bk_sip_content_type t;
    assert_int_equal(
        bk_sip_content_type_parse(
            V("Multipart / Related ; boundary=\"a b\";charset=UTF-8;type=\"x/y\""), &t),
        0);
    assert_view(t.type, "Multipart");
    assert_view(t.subtype, "Related");
    assert_view(t.boundary, "a b");
    assert_view(t.charset, "UTF-8");
    assert_int_equal(bk_sip_content_type_parse(V("application/pidf+xml"), &t), 0);
    assert_view(t.subtype, "pidf+xml");
    assert_int_equal(t.boundary.len, 0);
    static const char *const bad[] = { "",
                                       "text",
                                       "text/",
                                       "/plain",
                                       "text plain",
                                       "text/plain;",
                                       "text/plain;boundary=\"\\a\"",
                                       "text/plain, a/b",
                                       "text/plain;a=\"b",
                                       "text/plain x" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        EXACT(text, bk_view_of_str(bad[i]));
        if (bk_sip_content_type_parse(text, &t) != -EBADMSG)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void diagnostics_are_read_as_servers_write_them(void **state)
{
    (void)state;
    struct bk_sip_diagnostics d;
    assert_int_equal(
        bk_sip_diagnostics_parse(
            V("95208;reason=\"The licence of \\\"Ann\\\" ended; ask\";source=\"srv.example.com\";"
              "HRESULT=\"0xC3E93EC3(SIP_E_AUTH)\";record=\"SI-208\";case=\"K7QF-3M2P\""),
            &d),
        0);
    assert_int_equal(d.id, 95208);
    assert_view(d.reason, "The licence of \\\"Ann\\\" ended; ask");
    assert_view(d.source, "srv.example.com");
    assert_view(d.record, "SI-208");
    assert_view(d.case_code, "K7QF-3M2P");
    assert_int_equal(bk_sip_diagnostics_parse(V("4141 ; reason=x"), &d), 0);
    assert_view(d.reason, "x");
    assert_null(d.case_code.at);
    static const char *const bad[] = { "",   "x",           "-1",  "4294967296",
                                       "1;", "1;reason=\"", "1 2", "1,2" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        EXACT(text, bk_view_of_str(bad[i]));
        if (bk_sip_diagnostics_parse(text, &d) != -EBADMSG)
            fail_msg("accepted: %s", bad[i]);
    }
}

/* ---- all of them ---- */

/* Every reader over every prefix of every shape: what comes out lies inside. */
static void cut_at_any_byte_everything_stays_inside(void **state)
{
    (void)state;
    static const char *const texts[] = {
        " a , \"b, \\\"c\" <sip:d,e>;f , g;h=\"i,\" ",
        "\"A, \\\"B\" <sip:a@b;x=y?h=i> ; tag=0.5;z=\"1,2\" ,\r\n sip:c@d;e=f, Bob X <sips:g>",
        "SIP / 2.0 / UDP [2001:db8::1] : 5060 ; rport=1 ;received=[::1];branch=z9 , SIP/2.0/TLS a",
        "0004711 \t INVITE",
        "presence.wpending ; x=y;id=a1",
        "terminated ;reason=\"giveup\"; retry-after=99999999999;expires=1",
        "Multipart / Related ; boundary=\"a b\";charset=UTF-8;type=\"x/y\"",
        "95208;reason=\"The \\\"licence\\\" ended\";source=\"srv\";record=\"SI-208\";case=\"K7\"",
    };
    for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
        for (size_t n = 0; n <= strlen(texts[t]); n++) {
            EXACT(part, bk_view_head(bk_view_of_str(texts[t]), n));
            BK_AUTO_BUF struct bk_buf plain = { 0 };
            struct bk_view rest, element;
            struct bk_sip_addr addr;
            struct bk_sip_via via;
            struct bk_sip_cseq cseq;
            struct bk_sip_event event;
            struct bk_sip_subscription_state sub;
            struct bk_sip_content_type type;
            struct bk_sip_diagnostics d;

            for (rest = part; bk_sip_list_next(&rest, &element) > 0;)
                assert_inside(element, part);
            for (rest = part; bk_sip_addr_next(&rest, &addr) > 0;) {
                assert_inside(addr.uri_text, part);
                assert_inside(addr.display, part);
                assert_inside(addr.params, part);
            }
            for (rest = part; bk_sip_via_next(&rest, &via) > 0;) {
                assert_inside(via.sent_by, part);
                assert_inside(via.received, part);
            }
            if (bk_sip_cseq_parse(part, &cseq) == 0)
                assert_inside(cseq.method, part);
            if (bk_sip_event_parse(part, &event) == 0)
                assert_inside(event.id, part);
            if (bk_sip_subscription_state_parse(part, &sub) == 0)
                assert_inside(sub.reason, part);
            if (bk_sip_content_type_parse(part, &type) == 0) {
                assert_inside(type.boundary, part);
                assert_inside(type.charset, part);
            }
            if (bk_sip_diagnostics_parse(part, &d) == 0) {
                assert_inside(d.reason, part);
                assert_inside(d.case_code, part);
            }
            (void)bk_sip_unquote(part, &plain);
        }
    }
}

/* ---- quoted strings ---- */

static void what_was_quoted_comes_back_without_control_bytes(void **state)
{
    (void)state;
    char all[256];
    BK_AUTO_BUF struct bk_buf quoted = { 0 }, plain = { 0 }, want = { 0 };
    for (int i = 0; i < 256; i++) {
        all[i] = (char)i;
        if ((i >= 32 && i != 127) || i == '\t')
            bk_buf_add_char(&want, (char)i);
    }
    bk_sip_quote(&quoted, (struct bk_view){ all, sizeof all });
    assert_int_equal(bk_sip_unquote(bk_buf_view(&quoted), &plain), 0);
    assert_views(bk_buf_view(&plain), bk_buf_view(&want));

    struct bk_view rest = bk_buf_view(&quoted), element; /* and it is one element of a list */
    assert_int_equal(bk_sip_list_next(&rest, &element), 1);
    assert_views(element, bk_buf_view(&quoted));
    assert_int_equal(rest.len, 0);
}

static void broken_quotes_are_refused_and_change_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = { "\"", "\"a", "a\"", "\"a\\\"", "\"a\"b", "\"\\", "\"a\"\"" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        BK_AUTO_BUF struct bk_buf to = { 0 };
        EXACT(text, bk_view_of_str(bad[i]));
        bk_buf_add_lit(&to, "kept");
        if (bk_sip_unquote(text, &to) != -EBADMSG)
            fail_msg("accepted: %s", bad[i]);
        assert_view(bk_buf_view(&to), "kept");
    }
    BK_AUTO_BUF struct bk_buf to = { 0 };
    assert_int_equal(bk_sip_unquote(V("token"), &to), 0);
    assert_int_equal(bk_sip_unquote(V("\"\""), &to), 0);
    assert_int_equal(bk_sip_unquote((struct bk_view){ 0 }, &to), 0);
    assert_view(bk_buf_view(&to), "token");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_elements_respect_quotes_and_brackets),
        cmocka_unit_test(broken_lists_end_with_a_fault),
        cmocka_unit_test(a_via_is_read_with_all_its_parts),
        cmocka_unit_test(a_via_cut_at_any_byte_stays_inside),
        cmocka_unit_test(cseq_events_and_states_are_read),
        cmocka_unit_test(expires_is_missing_or_seconds_or_nonsense),
        cmocka_unit_test(content_types_are_read_in_parts),
        cmocka_unit_test(diagnostics_are_read_as_servers_write_them),
        cmocka_unit_test(cut_at_any_byte_everything_stays_inside),
        cmocka_unit_test(what_was_quoted_comes_back_without_control_bytes),
        cmocka_unit_test(broken_quotes_are_refused_and_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
