/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/net/net_test.h"

#include "fakes/dns_server.h"
#include "net/dns_private.h"
#include "net/http.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct place {
    struct bk_loop *loop;
    struct dns_server *server;
    struct bk_dns *dns;
};

/* What came back, as text: "result: item item ...". */
struct heard {
    int n;
    char text[2048];
};

static void begin(struct heard *h, enum bk_dns_result result)
{
    static const char *const names[] = { "found",  "no name", "no data",
                                         "failed", "timeout", "unreachable" };
    h->n++;
    snprintf(h->text, sizeof h->text, "%s:", names[result]);
}

static void add(struct heard *h, const char *item)
{
    size_t len = strlen(h->text);
    snprintf(h->text + len, sizeof h->text - len, " %s", item);
}

static void on_host(void *ctx, enum bk_dns_result result, const struct bk_addr *addrs, int n)
{
    begin(ctx, result);
    for (int i = 0; i < n; i++) {
        char text[64];
        bk_addr_text(&addrs[i], text);
        add(ctx, text);
    }
}

static void on_srv(void *ctx, enum bk_dns_result result, const struct bk_dns_srv *r, int n)
{
    begin(ctx, result);
    for (int i = 0; i < n; i++) {
        char text[400];
        snprintf(text, sizeof text, "%u/%u/%s:%u", r[i].priority, r[i].weight, r[i].target,
                 r[i].port);
        add(ctx, text);
    }
}

static void on_naptr(void *ctx, enum bk_dns_result result, const struct bk_dns_naptr *r, int n)
{
    begin(ctx, result);
    for (int i = 0; i < n; i++) {
        char text[400];
        snprintf(text, sizeof text, "%s=%s", r[i].service, r[i].replacement);
        add(ctx, text);
    }
}

static void on_targets(void *ctx, enum bk_dns_result result, const struct bk_sip_target *t, int n)
{
    static const char *const transports[] = { "udp", "tcp", "tls" };
    begin(ctx, result);
    for (int i = 0; i < n; i++) {
        char addr[64], text[400];
        bk_addr_text(&t[i].addr, addr);
        snprintf(text, sizeof text, "%s/%s/%s", transports[t[i].transport], addr, t[i].host);
        add(ctx, text);
    }
}

static void place_make(struct place *p)
{
    char servers[64];
    assert_int_equal(bk_loop_create(NULL, &p->loop), 0);
    p->server = dns_server_start();
    snprintf(servers, sizeof servers, "127.0.0.1:%u", dns_server_port(p->server));
    assert_int_equal(bk_dns_create(p->loop, servers, 100, &p->dns), 0);
}

static void place_free(struct place *p)
{
    bk_dns_destroy(p->dns);
    bk_loop_destroy(p->loop);
    dns_server_stop(p->server);
}

static void host_gives(struct place *p, const char *name, const char *expected)
{
    struct heard h = { 0 };
    assert_non_null(bk_dns_host(p->dns, name, 5061, on_host, &h));
    assert_int_equal(h.n, 0);
    AWAIT(p->loop, h.n);
    assert_string_equal(h.text, expected);
    assert_int_equal(h.n, 1);
}

static void srv_gives(struct place *p, const char *name, const char *expected)
{
    struct heard h = { 0 };
    assert_non_null(bk_dns_srv(p->dns, name, on_srv, &h));
    AWAIT(p->loop, h.n);
    assert_string_equal(h.text, expected);
}

static void targets_are(struct place *p, const char *host, uint16_t port, int transport, bool sips,
                        const char *expected)
{
    struct heard h = { 0 };
    assert_non_null(bk_dns_sip_targets(p->dns, host, port, transport, sips, on_targets, &h));
    assert_int_equal(h.n, 0);
    AWAIT(p->loop, h.n);
    assert_string_equal(h.text, expected);
}

/* ---- addresses ---- */

static void addresses_of_both_families_alternate_the_newer_first(void **state)
{
    (void)state;
    struct place p;
    place_make(&p);
    dns_server_add(p.server, "a.test", "A", "192.0.2.1");
    dns_server_add(p.server, "a.test", "A", "192.0.2.2");
    dns_server_add(p.server, "a.test", "A", "192.0.2.3");
    dns_server_add(p.server, "a.test", "AAAA", "2001:db8::1");
    dns_server_add(p.server, "a.test", "AAAA", "2001:db8::2");
    host_gives(&p, "a.test",
               "found: [2001:db8::1]:5061 192.0.2.1:5061 [2001:db8::2]:5061 192.0.2.2:5061 "
               "192.0.2.3:5061");
    place_free(&p);
}

static void literals_and_localhost_are_answered_without_asking(void **state)
{
    (void)state;
    struct place p;
    place_make(&p);
    host_gives(&p, "192.0.2.9", "found: 192.0.2.9:5061");
    host_gives(&p, "2001:db8::9", "found: [2001:db8::9]:5061");
    host_gives(&p, "localhost", "found: [::1]:5061 127.0.0.1:5061");
    host_gives(&p, "a.LocalHost.", "found: [::1]:5061 127.0.0.1:5061");
    assert_int_equal(dns_server_asked(p.server, "localhost", "*"), 0);
    place_free(&p);
}

static void a_cname_is_followed(void **state)
{
    (void)state;
    struct place p;
    place_make(&p);
    dns_server_add(p.server, "alias.test", "CNAME", "real.test");
    dns_server_add(p.server, "real.test", "A", "192.0.2.7");
    host_gives(&p, "alias.test", "found: 192.0.2.7:5061");
    place_free(&p);
}

static void one_family_that_is_slow_does_not_hold_up_the_other(void **state)
{
    (void)state;
    struct place p;
    place_make(&p);
    dns_server_add(p.server, "a.test", "A", "192.0.2.1");
    dns_server_fault(p.server, "a.test", "AAAA", DNS_SILENT);
    host_gives(&p, "a.test", "found: 192.0.2.1:5061");
    place_free(&p);
}

static void each_kind_of_no_is_told_apart(void **state)
{
    (void)state;
    struct place p;
    place_make(&p);
    dns_server_add(p.server, "only-srv.test", "SRV", "0 0 1 x.test");
    dns_server_add(p.server, "half.test", "SRV", "0 0 1 x.test");
    dns_server_fault(p.server, "half.test", "AAAA", DNS_SERVFAIL);
    dns_server_fault(p.server, "fail.test", "*", DNS_SERVFAIL);
    dns_server_fault(p.server, "refused.test", "*", DNS_REFUSED);
    dns_server_fault(p.server, "silent.test", "*", DNS_SILENT);
    dns_server_fault(p.server, "garbage.test", "*", DNS_GARBAGE);
    host_gives(&p, "nothing.test", "no name:");
    host_gives(&p, "only-srv.test", "no data:");
    host_gives(&p, "half.test", "failed:"); /* an address may hide behind the failure */
    host_gives(&p, "fail.test", "failed:");
    host_gives(&p, "refused.test", "failed:");
    host_gives(&p, "silent.test", "timeout:");
    host_gives(&p, "garbage.test", "failed:");
    host_gives(&p, "bad..name", "no name:");
    srv_gives(&p, "_sip._tcp.nothing.test", "no name:");
    srv_gives(&p, "fail.test", "failed:");
    srv_gives(&p, "silent.test", "timeout:");
    srv_gives(&p, "garbage.test", "failed:");
    place_free(&p);
}

static void where_nobody_serves_names_it_is_unreachable(void **state)
{
    (void)state;
    struct place p;
    place_make(&p);
    char servers[64];
    snprintf(servers, sizeof servers, "127.0.0.1:%u", dns_server_port(p.server));
    dns_server_stop(p.server);
    p.server = NULL;
    struct heard h = { 0 };
    assert_non_null(bk_dns_host(p.dns, "a.test", 1, on_host, &h));
    AWAIT(p.loop, h.n);
    assert_string_equal(h.text, "unreachable:");
    place_free(&p);
}

/* ---- SRV ---- */

static void srv_records_come_by_priority(void **state)
{
    (void)state;
    struct place p;
    place_make(&p);
    dns_server_add(p.server, "_sip._tcp.a.test", "SRV", "20 0 5062 b.test");
    dns_server_add(p.server, "_sip._tcp.a.test", "SRV", "10 0 5061 a.test");
    dns_server_add(p.server, "_sip._tcp.no.test", "SRV", "0 0 0 .");
    srv_gives(&p, "_sip._tcp.a.test", "found: 10/0/a.test:5061 20/0/b.test:5062");
    srv_gives(&p, "_sip._tcp.no.test", "found: 0/0/:0");
    place_free(&p);
}

static void equal_priorities_are_drawn_by_weight(void **state)
{
    (void)state;
    enum { ROUNDS = 10000 };
    struct bk_random_seeded seeded;
    struct bk_random random = bk_random_from_seed(&seeded, 7);
    int first[4] = { 0 };
    for (int round = 0; round < ROUNDS; round++) {
        struct bk_dns_srv r[4] = {
            { 1, 60, 0, "" }, { 1, 30, 1, "" }, { 1, 10, 2, "" }, { 0, 1, 3, "" }
        };
        bk_dns_srv_order(r, 4, &random);
        assert_int_equal(r[0].port, 3); /* the better priority first, whatever it weighs */
        first[r[1].port]++;
        bool there[4] = { 0 };
        for (int i = 0; i < 4; i++)
            there[r[i].port] = true;
        assert_true(there[0] && there[1] && there[2]);
    }
    /* 60, 30 and 10 of a hundred; the seed is fixed, so this cannot fail by chance. */
    assert_in_range(first[0], ROUNDS * 57 / 100, ROUNDS * 63 / 100);
    assert_in_range(first[1], ROUNDS * 27 / 100, ROUNDS * 33 / 100);
    assert_in_range(first[2], ROUNDS * 8 / 100, ROUNDS * 12 / 100);
}

static void naptr_records_come_by_order_and_preference(void **state)
{
    (void)state;
    struct place p;
    place_make(&p);
    dns_server_add(p.server, "a.test", "NAPTR", "20 1 s SIP+D2U _sip._udp.a.test");
    dns_server_add(p.server, "a.test", "NAPTR", "10 9 s SIP+D2T _sip._tcp.a.test");
    dns_server_add(p.server, "a.test", "NAPTR", "10 5 S SIPS+D2T _sips._tcp.a.test");
    dns_server_add(p.server, "a.test", "NAPTR", "1 1 u E2U+sip _x.a.test");
    struct heard h = { 0 };
    assert_non_null(bk_dns_naptr(p.dns, "a.test", on_naptr, &h));
    AWAIT(p.loop, h.n);
    assert_string_equal(h.text, "found: SIPS+D2T=_sips._tcp.a.test SIP+D2T=_sip._tcp.a.test "
                                "SIP+D2U=_sip._udp.a.test");
    place_free(&p);
}

/* ---- RFC 3263 ---- */

static void a_literal_or_a_port_needs_no_naptr_and_no_srv(void **state)
{
    (void)state;
    struct place p;
    place_make(&p);
    dns_server_add(p.server, "a.test", "A", "192.0.2.1");
    targets_are(&p, "192.0.2.9", 0, -1, false, "found: udp/192.0.2.9:5060/192.0.2.9");
    targets_are(&p, "192.0.2.9", 0, -1, true, "found: tls/192.0.2.9:5061/192.0.2.9");
    targets_are(&p, "[2001:db8::9]", 7, BK_TRANSPORT_TCP, false,
                "found: tcp/[2001:db8::9]:7/2001:db8::9");
    targets_are(&p, "a.test", 5070, -1, false, "found: udp/192.0.2.1:5070/a.test");
    targets_are(&p, "a.test", 5070, -1, true, "found: tls/192.0.2.1:5070/a.test");
    targets_are(&p, "a.test", 5070, BK_TRANSPORT_TCP, true, "found: tls/192.0.2.1:5070/a.test");
    assert_int_equal(dns_server_asked(p.server, "a.test", "NAPTR"), 0);
    assert_int_equal(dns_server_asked(p.server, "_sip._udp.a.test", "SRV"), 0);
    place_free(&p);
}

static void naptr_says_which_transport_and_srv_where(void **state)
{
    (void)state;
    struct place p;
    place_make(&p);
    dns_server_add(p.server, "a.test", "NAPTR", "50 50 s SIPS+D2T _sips._tcp.a.test");
    dns_server_add(p.server, "a.test", "NAPTR", "90 50 s SIP+D2T _sip._tcp.a.test");
    dns_server_add(p.server, "_sips._tcp.a.test", "SRV", "1 0 5071 s1.test");
    dns_server_add(p.server, "_sips._tcp.a.test", "SRV", "2 0 5072 s2.test");
    dns_server_add(p.server, "_sip._tcp.a.test", "SRV", "1 0 5073 s2.test");
    dns_server_add(p.server, "s1.test", "A", "192.0.2.1");
    dns_server_add(p.server, "s2.test", "A", "192.0.2.2");
    dns_server_add(p.server, "s2.test", "AAAA", "2001:db8::2");
    targets_are(&p, "a.test", 0, -1, false,
                "found: tls/192.0.2.1:5071/a.test tls/[2001:db8::2]:5072/a.test "
                "tls/192.0.2.2:5072/a.test tcp/[2001:db8::2]:5073/a.test "
                "tcp/192.0.2.2:5073/a.test");
    targets_are(&p, "a.test", 0, -1, true,
                "found: tls/192.0.2.1:5071/a.test tls/[2001:db8::2]:5072/a.test "
                "tls/192.0.2.2:5072/a.test");
    /* A transport in the URI: no NAPTR. */
    int asked = dns_server_asked(p.server, "a.test", "NAPTR");
    targets_are(&p, "a.test", 0, BK_TRANSPORT_TCP, false,
                "found: tcp/[2001:db8::2]:5073/a.test tcp/192.0.2.2:5073/a.test");
    assert_int_equal(dns_server_asked(p.server, "a.test", "NAPTR"), asked);
    place_free(&p);
}

static void without_naptr_srv_is_asked_the_safest_first(void **state)
{
    (void)state;
    struct place p;
    place_make(&p);
    dns_server_add(p.server, "a.test", "A", "192.0.2.99");
    dns_server_add(p.server, "_sip._udp.a.test", "SRV", "1 0 5060 s.test");
    dns_server_add(p.server, "_sips._tcp.a.test", "SRV", "1 0 5061 s.test");
    dns_server_add(p.server, "s.test", "A", "192.0.2.1");
    targets_are(&p, "a.test", 0, -1, false,
                "found: tls/192.0.2.1:5061/a.test udp/192.0.2.1:5060/a.test");
    place_free(&p);
}

static void without_srv_the_bare_name_counts(void **state)
{
    (void)state;
    struct place p;
    place_make(&p);
    dns_server_add(p.server, "a.test", "A", "192.0.2.1");
    targets_are(&p, "a.test", 0, -1, false, "found: udp/192.0.2.1:5060/a.test");
    targets_are(&p, "a.test", 0, -1, true, "found: tls/192.0.2.1:5061/a.test");
    targets_are(&p, "a.test", 0, BK_TRANSPORT_TLS, false, "found: tls/192.0.2.1:5061/a.test");
    targets_are(&p, "nothing.test", 0, -1, true, "no name:");
    place_free(&p);
}

static void a_resolver_that_fails_is_not_taken_for_no_srv(void **state)
{
    (void)state;
    struct place p;
    place_make(&p);
    dns_server_add(p.server, "a.test", "A", "192.0.2.1");
    dns_server_fault(p.server, "_sips._tcp.a.test", "SRV", DNS_SERVFAIL);
    targets_are(&p, "a.test", 0, -1, true, "failed:");
    dns_server_add(p.server, "no.test", "A", "192.0.2.1");
    dns_server_add(p.server, "_sips._tcp.no.test", "SRV", "0 0 0 .");
    targets_are(&p, "no.test", 0, -1, true, "no data:"); /* decidedly not available */
    place_free(&p);
}

static void a_cancelled_query_says_nothing(void **state)
{
    (void)state;
    struct place p;
    place_make(&p);
    dns_server_add(p.server, "a.test", "A", "192.0.2.1");
    dns_server_fault(p.server, "silent.test", "*", DNS_SILENT);
    struct heard h = { 0 };
    bk_dns_cancel(bk_dns_host(p.dns, "a.test", 1, on_host, &h));
    bk_dns_cancel(bk_dns_host(p.dns, "127.0.0.1", 1, on_host, &h)); /* finished, not told yet */
    bk_dns_cancel(bk_dns_sip_targets(p.dns, "a.test", 0, -1, false, on_targets, &h));
    AWAIT(p.loop, dns_server_asked(p.server, "a.test", "A") == 1);
    host_gives(&p, "a.test", "found: 192.0.2.1:5061");
    assert_int_equal(h.n, 0);
    /* What is under way when the resolver goes stays silent too. */
    assert_non_null(bk_dns_host(p.dns, "silent.test", 1, on_host, &h));
    assert_non_null(bk_dns_sip_targets(p.dns, "silent.test", 0, -1, false, on_targets, &h));
    bk_loop_step(p.loop, 0);
    place_free(&p);
    assert_int_equal(h.n, 0);
}

/* ---- the HTTP client on it ---- */

struct got {
    int n;
    struct bk_http_result r;
};

static void on_result(void *ctx, const struct bk_http_result *result)
{
    struct got *got = ctx;
    got->n++;
    got->r = *result;
}

static void get(struct place *p, const char *url, struct got *ret)
{
    struct bk_http_call_config config = {
        .url = url, .allow_clear = true, .dns = p->dns, .timeout_ms = 2000
    };
    struct bk_http_call *call;
    *ret = (struct got){ 0 };
    assert_int_equal(bk_http_call(p->loop, &config, on_result, ret, &call), 0);
    AWAIT(p->loop, ret->n);
}

static void http_tries_the_next_address_and_names_what_dns_said(void **state)
{
    (void)state;
    struct place p;
    place_make(&p);
    struct server server = { 0 };
    server_start(&server, p.loop, NULL, NULL);
    dns_server_add(p.server, "web.test", "A", "127.0.0.2"); /* nobody listens there */
    dns_server_add(p.server, "web.test", "A", "127.0.0.1");
    char url[64];
    snprintf(url, sizeof url, "http://web.test:%u/", bk_addr_port(&server.at));
    struct bk_http_call_config config = { .url = url, .allow_clear = true, .dns = p.dns };
    struct got got = { 0 };
    struct bk_http_call *call;
    assert_int_equal(bk_http_call(p.loop, &config, on_result, &got, &call), 0);
    AWAIT(p.loop, server.n_ends == 1 && server.ends[0].got.len);
    send_text(&server.ends[0], "HTTP/1.1 204 No Content\r\n\r\n");
    AWAIT(p.loop, got.n);
    assert_int_equal(got.r.failure, BK_HTTP_OK);
    assert_int_equal(got.r.status, 204);
    char peer[64];
    bk_addr_host_text(&got.r.peer, peer);
    assert_string_equal(peer, "127.0.0.1");

    get(&p, "http://nothing.test/", &got);
    assert_int_equal(got.r.failure, BK_HTTP_DNS);
    assert_int_equal(got.r.dns_result, BK_DNS_NO_NAME);
    dns_server_fault(p.server, "fail.test", "*", DNS_SERVFAIL);
    get(&p, "http://fail.test/", &got);
    assert_int_equal(got.r.failure, BK_HTTP_DNS);
    assert_int_equal(got.r.dns_result, BK_DNS_SERVER_FAILED);
    server_stop(&server, NULL, 0);
    place_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_of_both_families_alternate_the_newer_first),
        cmocka_unit_test(literals_and_localhost_are_answered_without_asking),
        cmocka_unit_test(a_cname_is_followed),
        cmocka_unit_test(one_family_that_is_slow_does_not_hold_up_the_other),
        cmocka_unit_test(each_kind_of_no_is_told_apart),
        cmocka_unit_test(where_nobody_serves_names_it_is_unreachable),
        cmocka_unit_test(srv_records_come_by_priority),
        cmocka_unit_test(equal_priorities_are_drawn_by_weight),
        cmocka_unit_test(naptr_records_come_by_order_and_preference),
        cmocka_unit_test(a_literal_or_a_port_needs_no_naptr_and_no_srv),
        cmocka_unit_test(naptr_says_which_transport_and_srv_where),
        cmocka_unit_test(without_naptr_srv_is_asked_the_safest_first),
        cmocka_unit_test(without_srv_the_bare_name_counts),
        cmocka_unit_test(a_resolver_that_fails_is_not_taken_for_no_srv),
        cmocka_unit_test(a_cancelled_query_says_nothing),
        cmocka_unit_test(http_tries_the_next_address_and_names_what_dns_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
