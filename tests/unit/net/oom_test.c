/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every allocation of net/ and base/ fails once: the n-th of a whole scenario, for all n until an
 * untouched run. Linked with --wrap=malloc, calloc and realloc, which libraries do not feel.
 */
#include "unit/net/net_test.h"

#include "base/cleanup.h"
#include "fakes/dns_server.h"
#include "net/dns.h"
#include "net/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *at, size_t size);
void *__wrap_realloc(void *at, size_t size);

static long countdown; /* to the one that fails; 0: none */
static bool failed;

static bool fails(void)
{
    if (countdown == 0 || --countdown > 0)
        return false;
    failed = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *at, size_t size)
{
    return fails() ? NULL : __real_realloc(at, size);
}

static struct net_pki pki;
static const char *const alpn[] = { "http/1.1", NULL };

struct scene {
    struct bk_loop *loop;
    struct bk_tls_server *server_tls;
    struct bk_tls_client *client_tls;
    struct dns_server *names;
    struct bk_dns *dns;
    struct bk_http_server *http;
    struct bk_listener *listener;
    struct bk_http_call *call;
    struct bk_dns_query *query;
    struct bk_udp *udp;
    int n_open, answered, looked_up, datagrams;
    enum bk_http_failure failure;
};

static size_t scene_bytes(struct bk_conn *conn, void *ctx, struct bk_view bytes)
{
    struct scene *s = ctx;
    if (bk_conn_sniff(bk_tls_alpn(bk_conn_tls(conn)), bytes) == BK_PROTOCOL_HTTP &&
        bk_http_server_adopt(s->http, conn) == 0)
        return 0;
    bk_conn_close(conn, 0);
    return bytes.len;
}

static void scene_closed(struct bk_conn *conn, void *ctx, enum bk_conn_end why)
{
    (void)conn;
    (void)ctx;
    (void)why;
}

static const struct bk_conn_ops scene_ops = { NULL, scene_bytes, scene_closed, NULL };

static void *scene_accepted(void *ctx, struct bk_conn *conn)
{
    (void)conn;
    return ctx;
}

static void scene_handle(void *ctx, struct bk_http_exchange *x, const struct bk_http_request *q)
{
    (void)ctx;
    bk_http_answer(x, 200, "text/plain", q->body);
}

static void scene_answered(void *ctx, const struct bk_http_result *result)
{
    struct scene *s = ctx;
    s->answered++;
    s->failure = result->failure;
    s->call = NULL;
}

static void scene_targets(void *ctx, enum bk_dns_result result, const struct bk_sip_target *t,
                          int n)
{
    (void)result;
    (void)t;
    (void)n;
    struct scene *s = ctx;
    s->looked_up++;
    s->query = NULL;
}

static void scene_datagram(void *ctx, const struct bk_addr *from, struct bk_view bytes)
{
    (void)from;
    (void)bytes;
    ((struct scene *)ctx)->datagrams++;
}

static bool scene_begin(struct scene *s)
{
    struct bk_tls_server_config sc = { .chain_file = net_pki_path(&pki, "server.pem"),
                                       .key_file = net_pki_path(&pki, "server.key"),
                                       .alpn = alpn };
    struct bk_tls_client_config cc = { .ca_file = net_pki_path(&pki, "root.pem"),
                                       .only_ca_file = true,
                                       .alpn = alpn };
    char servers[64], url[64];
    struct bk_addr at;
    snprintf(servers, sizeof servers, "127.0.0.1:%u", dns_server_port(s->names));
    if (bk_loop_create(NULL, &s->loop) < 0 || bk_tls_server_create(&sc, &s->server_tls, NULL) < 0 ||
        bk_tls_client_create(&cc, &s->client_tls, NULL) < 0 ||
        bk_dns_create(s->loop, servers, 200, &s->dns) < 0 ||
        bk_addr_parse("127.0.0.1", 0, &at) < 0 ||
        bk_udp_open(s->loop, &at, scene_datagram, s, &s->udp) < 0)
        return false;
    struct bk_http_server_config hc = { .handle = scene_handle, .ctx = s };
    s->http = bk_http_server_create(s->loop, &hc);
    struct bk_listen_config lc = { .at = &at,
                                   .tls = s->server_tls,
                                   .limits = bk_conn_limits_default,
                                   .ops = &scene_ops,
                                   .accepted = scene_accepted,
                                   .ctx = s };
    if (!s->http || bk_listen(s->loop, &lc, &s->listener) < 0)
        return false;
    bk_addr_parse("127.0.0.1", bk_udp_port(s->udp), &at);
    bk_udp_send(s->udp, &at, BK_VIEW("to myself"));
    snprintf(url, sizeof url, "https://server.test:%u/x", bk_listener_port(s->listener));
    struct bk_http_call_config hcc = { .method = "POST",
                                       .url = url,
                                       .tls = s->client_tls,
                                       .dns = s->dns,
                                       .body = BK_VIEW("body"),
                                       .timeout_ms = 300 };
    if (bk_http_call(s->loop, &hcc, scene_answered, s, &s->call) < 0)
        return false;
    s->query = bk_dns_sip_targets(s->dns, "example.test", 0, -1, false, scene_targets, s);
    return s->query;
}

static bool nobody_is_left(const struct scene *s)
{
    struct bk_listener_stats stats;
    bk_listener_stats(s->listener, &stats);
    return stats.open == 0;
}

/* What was begun ends, in whatever way; all is given back. */
static void scene_end(struct scene *s)
{
    bk_http_call_cancel(s->call);
    bk_dns_cancel(s->query);
    bk_http_server_destroy(s->http);
    if (s->listener)
        AWAIT(s->loop, nobody_is_left(s));
    if (s->loop)
        bk_loop_step(s->loop, 0);
    bk_listener_destroy(s->listener);
    bk_udp_close(s->udp);
    bk_dns_destroy(s->dns);
    bk_tls_client_unref(s->client_tls);
    bk_tls_server_unref(s->server_tls);
    bk_loop_destroy(s->loop);
}

static void whichever_allocation_fails_all_is_given_back(void **state)
{
    (void)state;
    struct dns_server *names = dns_server_start();
    dns_server_add(names, "server.test", "A", "127.0.0.1");
    dns_server_add(names, "example.test", "NAPTR", "1 1 s SIPS+D2T _sips._tcp.example.test");
    dns_server_add(names, "_sips._tcp.example.test", "SRV", "1 1 5061 server.test");
    long n = 0;
    bool untouched = false;
    while (!untouched) {
        struct scene s = { .names = names };
        countdown = ++n;
        failed = false;
        if (scene_begin(&s))
            AWAIT(s.loop, s.answered == 1 && s.looked_up == 1);
        untouched = !failed;
        countdown = 0;
        if (untouched) {
            assert_int_equal(s.failure, BK_HTTP_OK);
            assert_int_equal(s.datagrams, 1);
        }
        scene_end(&s);
        assert_true(n < 1000);
    }
    assert_true(n > 30); /* the failing ones were really ours */
    dns_server_stop(names);
}

static int make_pki(void **state)
{
    (void)state;
    net_pki_make(&pki);
    return 0;
}

static int free_pki(void **state)
{
    (void)state;
    net_pki_free(&pki);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whichever_allocation_fails_all_is_given_back),
    };
    return cmocka_run_group_tests(tests, make_pki, free_pki);
}
