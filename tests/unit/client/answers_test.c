/* SPDX-License-Identifier: Apache-2.0 */
/* Documents of a server that may be anybody's: read whole or refused with the field's name. */
#include "unit/client/client_test.h"

#include "base/cleanup.h"
#include "client/answers.h"
#include "client/fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int parse(const char *text, size_t len, struct bk_arena *arena,
                 struct bk_answer_discovery *ret, const char **ret_why)
{
    char *copy = malloc(len ? len : 1); /* ends with its heap block */
    assert_non_null(copy);
    memcpy(copy, text, len);
    int r = bk_answer_discovery_parse((struct bk_view){ copy, len }, arena, ret, ret_why);
    free(copy);
    return r;
}

static const char good[] =
    "{\"v\":1,\"domain\":\"example.com\",\"sip\":[{\"host\":\"Srv.example.com\",\"port\":5061,"
    "\"transport\":\"tls\",\"where\":\"internal\"},{\"host\":\"u.example.com\",\"port\":5060,"
    "\"transport\":\"udp\"},{\"host\":\"::1\",\"port\":443,\"transport\":\"tls\"}],"
    "\"services\":\"https://srv.example.com/beckon/v1/\",\"methods\":[\"password\",\"card\"],"
    "\"username\":\"required\",\"min_client\":\"0.1.0\",\"help\":\"https://"
    "h\",\"new\":{\"x\":[1]}}";

static void a_discovery_document_is_read(void **state)
{
    (void)state;
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_answer_discovery doc;
    const char *why = "";
    assert_int_equal(parse(good, sizeof good - 1, &arena, &doc, &why), 0);
    assert_int_equal(doc.n_servers, 2); /* what is not TLS is left out */
    assert_string_equal(doc.servers[0].host, "srv.example.com");
    assert_int_equal(doc.servers[0].port, 5061);
    assert_true(doc.servers[0].internal);
    assert_string_equal(doc.servers[1].host, "::1");
    assert_string_equal(doc.services, "https://srv.example.com/beckon/v1/");
    assert_int_equal(doc.methods, BK_ANSWER_PASSWORD | BK_ANSWER_CARD);
    assert_true(doc.user_required);
    assert_string_equal(doc.min_client, "0.1.0");
}

static void a_document_cut_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof good - 1; n++) {
        BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
        struct bk_answer_discovery doc = { .n_servers = 77 };
        const char *why = NULL;
        assert_int_equal(parse(good, n, &arena, &doc, &why), -EBADMSG);
        assert_non_null(why);
        assert_int_equal(doc.n_servers, 77);
    }
}

static void what_is_wrong_in_a_document_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *names;
    } bad[] = {
        { "[]", "JSON object" },
        { "{\"v\":2}", "\"v\"" },
        { "{\"v\":1,\"services\":\"http://a/\"}", "\"services\"" },
        { "{\"v\":1,\"services\":\"https://a\"}", "\"services\"" },
        { "{\"v\":1,\"services\":\"https://a/ b/\"}", "\"services\"" },
        { "{\"v\":1,\"services\":\"https://a/\"}", "\"sip\"" },
        { "{\"v\":1,\"services\":\"https://a/\",\"sip\":{}}", "\"sip\"" },
        { "{\"v\":1,\"services\":\"https://a/\",\"sip\":[{\"host\":\"a\",\"port\":0}]}",
          "\"sip\"" },
        { "{\"v\":1,\"services\":\"https://a/\",\"sip\":[{\"host\":\"a b\",\"port\":1}]}",
          "\"sip\"" },
        { "{\"v\":1,\"v\":1}", "JSON object" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
        struct bk_answer_discovery doc;
        const char *why = "";
        assert_int_equal(parse(bad[i].text, strlen(bad[i].text), &arena, &doc, &why), -EBADMSG);
        if (!strstr(why, bad[i].names))
            fail_msg("%s: says %s", bad[i].text, why);
    }
}

static void a_sign_in_answer_is_read(void **state)
{
    (void)state;
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_answer_signin answer;
    const char *why = "";
    assert_int_equal(bk_answer_signin_parse(
                         BK_VIEW("{\"certificate\":\"C\",\"chain\":[\"A\",\"B\"],"
                                 "\"address\":\"a@b.c\",\"not_after\":\"2026-11-22T05:26:04Z\","
                                 "\"renew_after\":1795325164000}"),
                         &arena, &answer, &why),
                     0);
    assert_string_equal(answer.chain, "A\nB\n");
    assert_int_equal(answer.not_after_ms, 1795325164000);
    assert_int_equal(answer.renew_after_ms, 1795325164000);
    assert_int_equal(bk_answer_signin_parse(BK_VIEW("{\"chain\":\"A\"}"), &arena, &answer, &why),
                     -EBADMSG);
    assert_int_equal(
        bk_answer_signin_parse(BK_VIEW("{\"certificate\":\"C\",\"not_after\":\"tomorrow\"}"),
                               &arena, &answer, &why),
        -EBADMSG);
}

static void a_refusal_is_read_from_body_or_header(void **state)
{
    (void)state;
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_answer_refusal r;
    struct bk_view none = { 0 };
    struct bk_view header =
        BK_VIEW("95208;reason=\"no\";source=\"s\";record=\"SI-208\";case=\"K7QF-3M2P\"");
    assert_int_equal(
        bk_answer_refusal_parse(BK_VIEW("{\"record\":\"SI-201b\",\"case\":\"k7qf3m2p\","
                                        "\"text\":\"t\",\"retry_after\":999999999}"),
                                header, &arena, &r),
        0);
    assert_string_equal(r.record, "SI-201b");
    assert_string_equal(r.case_code, "K7QF-3M2P");
    assert_int_equal(r.retry_after_s, 86400); /* nobody is sent away for years */
    assert_int_equal(bk_answer_refusal_parse(BK_VIEW("<html>"), header, &arena, &r), 0);
    assert_string_equal(r.record, "SI-208");
    assert_string_equal(r.text, "no");
    assert_int_equal(
        bk_answer_refusal_parse(
            BK_VIEW("{\"record\":\"SI-999\",\"case\":\"../../etc\",\"text\":\"\\u0000\"}"), none,
            &arena, &r),
        0);
    assert_string_equal(r.record, "");
    assert_string_equal(r.case_code, "");
}

static void hosts_and_ports_are_read_as_people_write_them(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        int port; /* 0: refused */
    } rows[] = {
        { "srv.example.com", "srv.example.com", 5061 },
        { "Srv:1", "srv", 1 },
        { "10.0.0.1:443", "10.0.0.1", 443 },
        { "[::1]:443", "::1", 443 },
        { "[::1]", "::1", 5061 },
        { "::1", "::1", 5061 },
        { "", "", 0 },
        { "a:0", "", 0 },
        { "a:65536", "", 0 },
        { "a:", "", 0 },
        { "a b", "", 0 },
        { "[::1", "", 0 },
        { "a..b", "", 0 },
        { "[::1]x", "", 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bk_answer_server server = { 0 };
        int r = bk_answer_host_port(bk_view_of_str(rows[i].text), 5061, &server);
        if (r != (rows[i].port ? 0 : -EINVAL) || server.port != rows[i].port ||
            strcmp(server.host, rows[i].host) != 0)
            fail_msg("%s: %d %s %d", rows[i].text, r, server.host, server.port);
    }
}

static void a_domain_ends_at_a_dot(void **state)
{
    (void)state;
    assert_true(bk_answer_host_in_domain(BK_VIEW("srv.Example.com"), BK_VIEW("example.com")));
    assert_true(bk_answer_host_in_domain(BK_VIEW("example.com"), BK_VIEW("example.com")));
    assert_false(bk_answer_host_in_domain(BK_VIEW("evilexample.com"), BK_VIEW("example.com")));
    assert_false(bk_answer_host_in_domain(BK_VIEW("com"), BK_VIEW("example.com")));
    assert_false(bk_answer_host_in_domain(BK_VIEW("a"), BK_VIEW("")));
}

static void versions_are_numbers(void **state)
{
    (void)state;
    assert_true(bk_answer_version_compare(BK_VIEW("0.9"), BK_VIEW("0.10")) < 0);
    assert_true(bk_answer_version_compare(BK_VIEW("1"), BK_VIEW("0.99.99")) > 0);
    assert_int_equal(bk_answer_version_compare(BK_VIEW("1.0"), BK_VIEW("1")), 0);
}

/* ---- which fault is the root ---- */

static void add(struct bk_tried *tried, const char *kind, unsigned number)
{
    struct bk_fault fault;
    bk_fault_set(&fault, number, 0, "srv", "why", "");
    bk_tried_add(tried, kind, "name", "result", number ? &fault : NULL);
}

static void what_came_nearest_to_the_server_is_the_root(void **state)
{
    (void)state;
    static const struct {
        unsigned rows[5], root;
    } cases[] = {
        { { 301, 301, 301 }, 301 }, { { 312, 312 }, 312 },         { { 312, 301 }, 303 },
        { { 301, 303, 301 }, 303 }, { { 305, 301, 301 }, 305 },    { { 305, 302, 301 }, 302 },
        { { 302, 309, 301 }, 309 }, { { 301, 0, 302, 301 }, 302 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bk_tried tried = { 0 };
        struct bk_fault fault;
        for (int k = 0; k < 5 && (k == 0 || cases[i].rows[k] || (k < 4 && cases[i].rows[k + 1]));
             k++)
            add(&tried, "https", cases[i].rows[k]);
        bk_tried_judge(&tried, "example.com", &fault);
        assert_non_null(fault.record);
        if (fault.record->number != cases[i].root)
            fail_msg("case %zu: SI-%u instead of SI-%u", i, fault.record->number, cases[i].root);
        bk_tried_finish(&tried);
    }
}

static void a_silent_port_beside_one_that_works_is_filtered(void **state)
{
    (void)state;
    for (int https = 0; https < 2; https++) {
        struct bk_tried tried = { 0 };
        struct bk_fault fault;
        if (https)
            add(&tried, "https", 0);
        bk_fault_of_conn(&fault, BK_CONN_END_TIMEOUT, BK_TLS_OK, "srv:5061", "");
        bk_tried_add(&tried, "connect", "srv:5061", fault.why, &fault);
        bk_tried_judge(&tried, "example.com", &fault);
        assert_int_equal(fault.record->number, https ? 307 : 302);
        bk_tried_finish(&tried);
    }
}

static void where_nobody_speaks_it_is_the_network_and_where_somebody_does_it_is_not(void **state)
{
    (void)state;
    static const struct {
        enum bk_conn_end cached;
        enum bk_dns_result names[2];
        unsigned root;
    } cases[] = {
        { BK_CONN_END_UNREACHABLE, { BK_DNS_UNREACHABLE, BK_DNS_UNREACHABLE }, 312 },
        { BK_CONN_END_TIMEOUT, { BK_DNS_TIMEOUT, BK_DNS_UNREACHABLE }, 312 },
        { BK_CONN_END_REFUSED, { BK_DNS_TIMEOUT, BK_DNS_TIMEOUT }, 302 },
        { BK_CONN_END_TIMEOUT, { BK_DNS_TIMEOUT, BK_DNS_NO_NAME }, 302 },
        { BK_CONN_END_TIMEOUT, { BK_DNS_NO_NAME, BK_DNS_NO_NAME }, 302 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bk_tried tried = { 0 };
        struct bk_fault fault;
        bk_fault_of_conn(&fault, cases[i].cached, BK_TLS_OK, "srv:5061", "");
        bk_tried_add(&tried, "cached", "srv:5061", fault.why, &fault);
        for (int k = 0; k < 2; k++) {
            bk_fault_of_dns(&fault, cases[i].names[k], "sip.example.com");
            bk_tried_add(&tried, "A", "sip.example.com", "", &fault);
        }
        bk_tried_judge(&tried, "example.com", &fault);
        if (fault.record->number != cases[i].root)
            fail_msg("case %zu: SI-%u instead of SI-%u", i, fault.record->number, cases[i].root);
        bk_tried_finish(&tried);
    }
}

static void more_rows_than_there_is_room_for_are_dropped(void **state)
{
    (void)state;
    struct bk_tried tried = { 0 };
    for (int i = 0; i < 3 * BK_TRIED_MAX; i++)
        add(&tried, "https", 301);
    assert_int_equal(tried.n, BK_TRIED_MAX);
    bk_tried_finish(&tried);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_discovery_document_is_read),
        cmocka_unit_test(a_document_cut_anywhere_is_refused),
        cmocka_unit_test(what_is_wrong_in_a_document_is_named),
        cmocka_unit_test(a_sign_in_answer_is_read),
        cmocka_unit_test(a_refusal_is_read_from_body_or_header),
        cmocka_unit_test(hosts_and_ports_are_read_as_people_write_them),
        cmocka_unit_test(a_domain_ends_at_a_dot),
        cmocka_unit_test(versions_are_numbers),
        cmocka_unit_test(what_came_nearest_to_the_server_is_the_root),
        cmocka_unit_test(a_silent_port_beside_one_that_works_is_filtered),
        cmocka_unit_test(where_nobody_speaks_it_is_the_network_and_where_somebody_does_it_is_not),
        cmocka_unit_test(more_rows_than_there_is_room_for_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
