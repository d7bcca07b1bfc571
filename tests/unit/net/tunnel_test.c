/* SPDX-License-Identifier: Apache-2.0 */
/* Through a proxy by CONNECT: the request, the answer in all its forms, connections and HTTPS calls that go that way. */
#include "unit/net/net_test.h"

#include "base/cleanup.h"
#include "net/http.h"
#include "net/tunnel_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the request ---- */

static void the_request_names_the_other_end_and_the_login(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf to = { 0 };
    assert_int_equal(bk_tunnel_request(&to, "srv.test", 5061, BK_VIEW("YTpi")), 0);
    assert_string_equal(bk_buf_cstr(&to),
                        "CONNECT srv.test:5061 HTTP/1.1\r\nHost: srv.test:5061\r\nUser-Agent: "
                        "Beckon/" BK_VERSION "\r\nProxy-Authorization: Basic YTpi\r\n\r\n");
    bk_buf_clear(&to);
    assert_int_equal(bk_tunnel_request(&to, "::1", 443, (struct bk_view){ 0 }), 0);
    assert_true(bk_view_starts_with(bk_buf_view(&to),
                                    BK_VIEW("CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n")));
    assert_int_equal(bk_view_find_view(bk_buf_view(&to), BK_VIEW("Authorization")), to.len);
}

static void nothing_that_breaks_the_line_is_sent(void **state)
{
    (void)state;
    static const char *const hosts[] = { "", "a b", "a\r\nX: y", "a/b", "a@b", "[a]" };
    BK_AUTO_BUF struct bk_buf to = { 0 };
    for (size_t i = 0; i < BK_COUNT_OF(hosts); i++)
        assert_int_equal(bk_tunnel_request(&to, hosts[i], 1, (struct bk_view){ 0 }), -EINVAL);
    assert_int_equal(bk_tunnel_request(&to, "a", 0, (struct bk_view){ 0 }), -EINVAL);
    assert_int_equal(bk_tunnel_request(&to, "a", 1, BK_VIEW("YTpi\r\nX:")), -EINVAL);
    assert_int_equal(to.len, 0);
}

/* ---- the answer ---- */

struct reading {
    struct bk_tunnel_answer answer;
    struct bk_tunnel_reader reader;
    enum bk_tunnel_step step;
    size_t used;
};

static void read_in(struct reading *r, struct bk_view text, size_t piece)
{
    *r = (struct reading){ .step = BK_TUNNEL_MORE };
    bk_tunnel_reader_init(&r->reader, &r->answer);
    while (r->step == BK_TUNNEL_MORE && text.len) {
        size_t used = 0;
        r->step = bk_tunnel_read(&r->reader, bk_view_head(text, piece), &used);
        r->used += used;
        text = bk_view_skip(text, used);
    }
}

static void an_answer_is_read_in_pieces_of_any_size(void **state)
{
    (void)state;
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\n"
                               "HTTP/1.1 200 Connection established\r\nVia: 1.1 p\r\n\r\n";
    static const char more[] = "\x16\x03\x01 TLS";
    BK_AUTO_BUF struct bk_buf all = { 0 };
    bk_buf_add_str(&all, text);
    bk_buf_add_str(&all, more);
    for (size_t piece = 1; piece <= all.len; piece++) {
        struct reading r;
        read_in(&r, bk_buf_view(&all), piece);
        assert_int_equal(r.step, BK_TUNNEL_OPEN);
        assert_int_equal(r.answer.status, 200);
        assert_string_equal(r.answer.reason, "Connection established");
        assert_int_equal(r.used, sizeof text - 1);
    }
    for (size_t n = 0; n < sizeof text - 1; n++) {
        struct reading r;
        read_in(&r, bk_view_head(bk_view_of_str(text), n), 7);
        assert_int_equal(r.step, BK_TUNNEL_MORE);
    }
}

static void a_body_that_a_2xx_announces_is_not_one(void **state)
{
    (void)state;
    struct reading r;
    read_in(
        &r,
        BK_VIEW("HTTP/1.0 204 Fine\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n5"),
        1000);
    assert_int_equal(r.step, BK_TUNNEL_OPEN);
    assert_int_equal(r.used, sizeof "HTTP/1.0 204 Fine\r\nContent-Length: 9\r\nTransfer-Encoding: "
                                    "chunked\r\n\r\n" -
                                 1);
}

static void a_407_tells_the_schemes_and_others_their_reason(void **state)
{
    (void)state;
    struct reading r;
    read_in(
        &r,
        BK_VIEW(
            "HTTP/1.1 407 Who are you?\r\nProxy-Authenticate: Negotiate\r\nX-Proxy-Authenticate: "
            "No\r\nproxy-authenticate: BASIC realm=\"a, b\"\r\n\r\n"),
        3);
    assert_int_equal(r.step, BK_TUNNEL_REFUSED);
    assert_int_equal(r.answer.status, 407);
    assert_string_equal(r.answer.reason, "Who are you?");
    assert_string_equal(r.answer.schemes, "Negotiate, BASIC realm=\"a, b\"");
    assert_true(bk_tunnel_offers(&r.answer, BK_VIEW("Basic")));
    assert_true(bk_tunnel_offers(&r.answer, BK_VIEW("Negotiate")));
    assert_false(bk_tunnel_offers(&r.answer, BK_VIEW("NTLM")));
    read_in(&r, BK_VIEW("HTTP/1.1 403\r\n\r\n"), 1);
    assert_int_equal(r.step, BK_TUNNEL_REFUSED);
    assert_int_equal(r.answer.status, 403);
    read_in(&r, BK_VIEW("HTTP/1.1 302 Found\r\nLocation: http://portal.test/\r\n\r\n"), 1000);
    assert_int_equal(r.step, BK_TUNNEL_REFUSED);
}

static void what_is_no_answer_or_has_no_end_is_bad(void **state)
{
    (void)state;
    struct reading r;
    read_in(&r, BK_VIEW("SSH-2.0-OpenSSH_9.2\r\n"), 4);
    assert_int_equal(r.step, BK_TUNNEL_BAD);
    assert_non_null(r.answer.fault);
    read_in(&r, BK_VIEW("\0\0\0"), 4);
    assert_int_equal(r.step, BK_TUNNEL_BAD);
    read_in(&r, BK_VIEW("HTTP/1.1 200 Yes\r\n\rX"), 4);
    assert_int_equal(r.step, BK_TUNNEL_BAD);
    read_in(&r, BK_VIEW("HTTP/1.0 03\r\n\r\n"), 4);
    assert_int_equal(r.step, BK_TUNNEL_BAD);
    assert_int_equal(r.answer.status, 0);

    BK_AUTO_BUF struct bk_buf endless = { 0 };
    bk_buf_add_lit(&endless, "HTTP/1.1 200 OK\r\nX: ");
    while (endless.len < 3 * BK_HTTP_HEAD_MAX)
        bk_buf_add_lit(&endless, "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy");
    bk_buf_add_lit(&endless, "\r\n\r\n");
    for (size_t piece = 1000; piece < 100000; piece *= 10) {
        read_in(&r, bk_buf_view(&endless), piece);
        assert_int_equal(r.step, BK_TUNNEL_BAD);
        assert_int_equal(r.answer.status, 0);
        assert_int_equal(r.used, BK_HTTP_HEAD_MAX);
    }
    bk_buf_clear(&endless); /* nor answers without a final one */
    while (endless.len < 2 * BK_HTTP_HEAD_MAX)
        bk_buf_add_lit(&endless, "HTTP/1.1 102 Wait\r\n\r\n");
    read_in(&r, bk_buf_view(&endless), 500);
    assert_int_equal(r.step, BK_TUNNEL_BAD);
    assert_string_equal(r.answer.reason, "");
}

/* ---- which proxy ---- */

static void a_proxy_is_read_from_its_url(void **state)
{
    (void)state;
    struct bk_proxy p;
    char text[BK_PROXY_TEXT_MAX];
    assert_int_equal(bk_proxy_parse(BK_VIEW("http://Ann:s%40c:ret@Proxy.Test:3128/x"), &p), 0);
    bk_proxy_text(&p, text);
    assert_string_equal(text, "proxy.test:3128");
    assert_string_equal(p.login, "QW5uOnNAYzpyZXQ="); /* Ann:s@c:ret */
    assert_int_equal(bk_proxy_parse(BK_VIEW("HTTP://[::1]"), &p), 0);
    bk_proxy_text(&p, text);
    assert_string_equal(text, "[::1]:80");
    assert_string_equal(p.login, "");
    assert_int_equal(bk_proxy_parse(BK_VIEW("direct://"), &p), 0);
    assert_true(p.direct);
    bk_proxy_text(&p, text);
    assert_string_equal(text, "");
    static const char *const bad[] = {
        "",           "proxy",           "http://",          "http://h:0",
        "http://h:x", "http://a%0d:b@h", "http://a%3ab:c@h", "http://a%4:b@h"
    };
    for (size_t i = 0; i < BK_COUNT_OF(bad); i++)
        assert_int_equal(bk_proxy_parse(bk_view_of_str(bad[i]), &p), -EINVAL);
    assert_int_equal(bk_proxy_parse(BK_VIEW("socks5://h:1080"), &p), -EPROTONOSUPPORT);
    assert_int_equal(bk_proxy_parse(BK_VIEW("https://h:1080"), &p), -EPROTONOSUPPORT);
}

static void of_a_list_the_usable_ones_stay_in_order(void **state)
{
    (void)state;
    struct bk_proxy_roads roads;
    bk_proxy_roads_parse(&roads, BK_VIEW(" socks5://s:1\nhttp://a:1, http://b:2  direct://"));
    assert_int_equal(roads.n, 3);
    assert_string_equal(roads.roads[0].host, "a");
    assert_string_equal(roads.roads[1].host, "b");
    assert_true(roads.roads[2].direct);
    bk_proxy_roads_parse(&roads, BK_VIEW("socks5://s:1"));
    assert_int_equal(roads.n, 0);
    assert_string_equal(roads.why, "a proxy of the kind socks5 is not supported");
    bk_proxy_roads_parse(&roads, BK_VIEW("http://name:secret@:1"));
    assert_int_equal(roads.n, 0);
    assert_null(strstr(roads.why, "secret"));
    bk_proxy_roads_parse(&roads, (struct bk_view){ 0 });
    assert_int_equal(roads.n, 0);
}

/* ---- a proxy that says what a test wants, and a server behind it ---- */

struct proxy {
    struct bk_loop *loop;
    struct bk_listener *listener;
    struct bk_addr at, behind;
    const char *answer; /* in place of a tunnel's beginning; NULL: 200. "": silent */
    bool close;         /* behind the answer */
    int n_asked;
    struct bk_buf heard; /* the requests */
    struct ends {
        struct bk_conn *near, *far;
        struct proxy *proxy;
        bool through;
    } ends[8];
    int n_ends;
};

static size_t far_bytes(struct bk_conn *conn, void *ctx, struct bk_view bytes)
{
    struct ends *e = ctx;
    (void)conn;
    if (e->near)
        assert_int_equal(bk_conn_send(e->near, bytes, false), 0);
    return bytes.len;
}

static void far_closed(struct bk_conn *conn, void *ctx, enum bk_conn_end why)
{
    struct ends *e = ctx;
    (void)conn;
    (void)why;
    e->far = NULL;
    if (e->near)
        bk_conn_close(e->near, 1000);
}

static const struct bk_conn_ops far_ops = { NULL, far_bytes, far_closed, NULL };

static size_t near_bytes(struct bk_conn *conn, void *ctx, struct bk_view bytes)
{
    struct ends *e = ctx;
    struct proxy *p = e->proxy;
    if (e->through) {
        if (e->far)
            assert_int_equal(bk_conn_send(e->far, bytes, false), 0);
        return bytes.len;
    }
    size_t end = bk_view_find_view(bytes, BK_VIEW("\r\n\r\n"));
    if (end == bytes.len)
        return 0;
    p->n_asked++;
    bk_buf_add_view(&p->heard, bk_view_head(bytes, end + 4));
    if (!p->answer) {
        e->through = true;
        assert_int_equal(bk_conn_open(p->loop, &p->behind, NULL, NULL, NULL, &far_ops, e, &e->far),
                         0);
        assert_int_equal(bk_conn_send(conn, BK_VIEW("HTTP/1.1 200 Yes\r\n\r\n"), false), 0);
    } else if (p->answer[0]) {
        assert_int_equal(bk_conn_send(conn, bk_view_of_str(p->answer), false), 0);
    }
    if (p->close)
        bk_conn_close(conn, 1000);
    return end + 4;
}

static void near_closed(struct bk_conn *conn, void *ctx, enum bk_conn_end why)
{
    struct ends *e = ctx;
    (void)conn;
    (void)why;
    e->near = NULL;
    if (e->far)
        bk_conn_close(e->far, 0);
}

static const struct bk_conn_ops near_ops = { NULL, near_bytes, near_closed, NULL };

static void *near_accepted(void *ctx, struct bk_conn *conn)
{
    struct proxy *p = ctx;
    assert_true(p->n_ends < (int)BK_COUNT_OF(p->ends));
    struct ends *e = &p->ends[p->n_ends++];
    *e = (struct ends){ .near = conn, .proxy = p };
    return e;
}

static void proxy_start(struct proxy *p, struct bk_loop *loop, const struct bk_addr *behind)
{
    p->loop = loop;
    p->behind = *behind;
    assert_int_equal(bk_addr_parse("127.0.0.1", 0, &p->at), 0);
    struct bk_listen_config config = { .at = &p->at,
                                       .limits = bk_conn_limits_default,
                                       .ops = &near_ops,
                                       .accepted = near_accepted,
                                       .ctx = p };
    assert_int_equal(bk_listen(loop, &config, &p->listener), 0);
    p->at.v4.sin_port = htons(bk_listener_port(p->listener));
}

static bool proxy_is_quiet(const struct proxy *p)
{
    for (int i = 0; i < p->n_ends; i++)
        if (p->ends[i].near || p->ends[i].far)
            return false;
    return true;
}

static void proxy_stop(struct proxy *p)
{
    for (int i = 0; i < p->n_ends; i++)
        if (p->ends[i].near)
            bk_conn_close(p->ends[i].near, 0);
    AWAIT(p->loop, proxy_is_quiet(p));
    p->listener = bk_listener_destroy(p->listener);
    bk_buf_finish(&p->heard);
}

/* ---- connections ---- */

struct place {
    struct bk_loop *loop;
    struct server server;
    struct proxy proxy;
};

static void place_start(struct place *place)
{
    assert_int_equal(bk_loop_create(NULL, &place->loop), 0);
    place->server.echo = true;
    server_start(&place->server, place->loop, net_server_tls, NULL);
    proxy_start(&place->proxy, place->loop, &place->server.at);
}

static void place_stop(struct place *place, struct end *client)
{
    if (client->conn)
        bk_conn_close(client->conn, 0);
    AWAIT(place->loop, !client->conn);
    proxy_stop(&place->proxy);
    server_stop(&place->server, client, 1);
    bk_loop_destroy(place->loop);
}

static struct bk_tunnel_answer last_answer;

static void note_closed(struct bk_conn *conn, void *ctx, enum bk_conn_end why)
{
    const struct bk_tunnel_answer *answer = bk_conn_tunnel(conn);
    last_answer = answer ? *answer : (struct bk_tunnel_answer){ 0 };
    end_ops.closed(conn, ctx, why);
}

static struct bk_conn_ops noting_ops(void)
{
    struct bk_conn_ops ops = end_ops;
    ops.closed = note_closed;
    return ops;
}

static void open_through(struct place *place, struct end *client, struct bk_tls_client *tls,
                         int handshake_ms, const struct bk_conn_ops *ops)
{
    BK_AUTO_BUF struct bk_buf request = { 0 };
    struct bk_conn_limits limits = bk_conn_limits_default;
    limits.handshake_ms = handshake_ms;
    assert_int_equal(bk_tunnel_request(&request, "server.test", 5061, BK_VIEW("YTpi")), 0);
    assert_int_equal(bk_conn_open_tunnel(place->loop, &place->proxy.at, bk_buf_view(&request), tls,
                                         "server.test", &limits, ops, client, &client->conn),
                     0);
}

static void tls_goes_through_to_the_server_behind(void **state)
{
    (void)state;
    struct place place = { 0 };
    struct end client = { 0 };
    place_start(&place);
    open_through(&place, &client, net_client_tls, 10000, &end_ops);
    assert_non_null(bk_conn_tunnel(client.conn));
    AWAIT(place.loop, client.ready || client.closed);
    assert_int_equal(client.ready, 1);
    assert_null(bk_conn_tunnel(client.conn));
    send_text(&client, "hello behind");
    AWAIT(place.loop, client.got.len == sizeof "hello behind" - 1);
    assert_true(bk_view_starts_with(bk_buf_view(&place.proxy.heard),
                                    BK_VIEW("CONNECT server.test:5061 HTTP/1.1\r\n")));
    place_stop(&place, &client);
}

static void a_certificate_is_judged_by_the_server_s_name_and_no_fault_of_the_proxy(void **state)
{
    (void)state;
    struct place place = { 0 };
    struct end client = { 0 };
    struct bk_conn_ops ops = noting_ops();
    BK_AUTO_BUF struct bk_buf request = { 0 };
    place_start(&place);
    assert_int_equal(bk_tunnel_request(&request, "other.test", 1, (struct bk_view){ 0 }), 0);
    assert_int_equal(bk_conn_open_tunnel(place.loop, &place.proxy.at, bk_buf_view(&request),
                                         net_client_tls, "other.test", NULL, &ops, &client,
                                         &client.conn),
                     0);
    last_answer.asked = true;
    AWAIT(place.loop, client.closed);
    assert_int_equal(client.why, BK_CONN_END_TLS);
    assert_int_equal(client.fault, BK_TLS_WRONG_NAME);
    assert_false(last_answer.asked);
    place_stop(&place, &client);
}

static void what_the_proxy_says_instead_ends_the_connection(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        bool close;
        int status;
        const char *fault; /* NULL: none */
    } cases[] = {
        { "HTTP/1.1 407 Login\r\nProxy-Authenticate: Basic\r\n\r\n", false, 407, NULL },
        { "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", true, 403, NULL },
        { "HTTP/1.1 502 Far\r\n\r\n", true, 502, NULL },
        { "", true, 0, "it closed the connection" },
        { "HTTP/1.1 200 OK\r\nX", true, 0, "it closed the connection" },
        { "220 mail.test ESMTP\r\n", false, 0, "" },
    };
    struct bk_conn_ops ops = noting_ops();
    for (size_t i = 0; i < BK_COUNT_OF(cases); i++) {
        struct place place = { .proxy = { .answer = cases[i].answer, .close = cases[i].close } };
        struct end client = { 0 };
        place_start(&place);
        open_through(&place, &client, net_client_tls, 10000, &ops);
        AWAIT(place.loop, client.closed);
        assert_int_equal(client.why, BK_CONN_END_PROXY);
        assert_int_equal(client.ready, 0);
        assert_true(last_answer.asked && last_answer.login_sent);
        assert_int_equal(last_answer.status, cases[i].status);
        if (!cases[i].fault)
            assert_null(last_answer.fault);
        else if (cases[i].fault[0])
            assert_string_equal(last_answer.fault, cases[i].fault);
        else
            assert_non_null(last_answer.fault);
        place_stop(&place, &client);
    }
}

static void a_silent_proxy_and_none_at_all_are_told_apart(void **state)
{
    (void)state;
    struct bk_conn_ops ops = noting_ops();
    struct place place = { .proxy = { .answer = "" } };
    struct end client = { 0 };
    place_start(&place);
    open_through(&place, &client, net_client_tls, 300, &ops);
    AWAIT(place.loop, client.closed);
    assert_int_equal(client.why, BK_CONN_END_TIMEOUT);
    assert_true(last_answer.asked);
    assert_int_equal(last_answer.status, 0);
    end_finish(&client);
    bk_listener_destroy(place.proxy.listener);
    place.proxy.listener = NULL;
    open_through(&place, &client, net_client_tls, 10000, &ops);
    AWAIT(place.loop, client.closed);
    assert_int_equal(client.why, BK_CONN_END_REFUSED);
    assert_false(last_answer.asked);
    place_stop(&place, &client);
}

/* ---- HTTPS through it ---- */

struct asker {
    struct bk_proxies *proxies;
    const char *list, *why;
    char url[128];
    int n_asked;
    uint64_t token;
    bool hold;
};

static void on_ask(void *ctx, const char *url, uint64_t token)
{
    struct asker *a = ctx;
    a->n_asked++;
    a->token = token;
    (void)snprintf(a->url, sizeof a->url, "%s", url);
    if (!a->hold)
        bk_proxies_answer(a->proxies, token, a->list, a->why);
}

struct outcome {
    bool done;
    struct bk_http_result result;
    char detail[200];
};

static void on_done(void *ctx, const struct bk_http_result *result)
{
    struct outcome *o = ctx;
    o->done = true;
    o->result = *result;
    (void)snprintf(o->detail, sizeof o->detail, "%s", result->detail ? result->detail : "");
}

static void call_with(struct bk_loop *loop, struct asker *asker, struct bk_dns *dns,
                      const char *url, struct outcome *ret)
{
    struct bk_http_call *call;
    struct bk_http_call_config config = {
        .url = url,
        .allow_clear = true,
        .tls = net_client_tls,
        .dns = dns,
        .proxies = asker->proxies,
        .timeout_ms = 3000,
    };
    *ret = (struct outcome){ 0 };
    assert_int_equal(bk_http_call(loop, &config, on_done, ret, &call), 0);
    AWAIT(loop, ret->done);
}

static void a_call_takes_the_roads_in_order_and_says_where_it_failed(void **state)
{
    (void)state;
    struct place place = { 0 };
    struct end nobody = { 0 };
    struct asker asker = { 0 };
    struct outcome o;
    char list[200], proxy[64], closed[64];
    place_start(&place);
    bk_addr_text(&place.proxy.at, proxy);
    /* A port where nobody listens: it was ours a moment ago. */
    struct server gone = { 0 };
    server_start(&gone, place.loop, NULL, NULL);
    bk_addr_text(&gone.at, closed);
    server_stop(&gone, NULL, 0);
    struct bk_proxies_config config = { .loop = place.loop, .ask = on_ask, .ctx = &asker };
    assert_int_equal(bk_proxies_create(&config, &asker.proxies), 0);

    /* No resolver: the name can only have gone to the proxy. The server echoes the request, which is no answer, so it arrived. */
    (void)snprintf(list, sizeof list, "http://%s http://%s", closed, proxy);
    asker.list = list;
    call_with(place.loop, &asker, NULL, "https://server.test:4443/x", &o);
    assert_string_equal(asker.url, "https://server.test:4443/");
    assert_int_equal(o.result.failure, BK_HTTP_PROTOCOL);
    assert_string_equal(o.result.proxy, proxy);
    assert_true(bk_view_starts_with(bk_buf_view(&place.proxy.heard),
                                    BK_VIEW("CONNECT server.test:4443 HTTP/1.1\r\n")));

    /* Without TLS too: no byte goes another way than the one that was named. */
    call_with(place.loop, &asker, NULL, "http://server.test/", &o);
    assert_string_equal(asker.url, "https://server.test:80/");
    struct bk_view heard = bk_buf_view(&place.proxy.heard);
    assert_true(bk_view_find_view(heard, BK_VIEW("CONNECT server.test:80 HTTP/1.1\r\n")) <
                heard.len);

    /* Only the one that is not there. */
    (void)snprintf(list, sizeof list, "http://%s", closed);
    call_with(place.loop, &asker, NULL, "https://server.test/", &o);
    assert_int_equal(o.result.failure, BK_HTTP_PROXY);
    assert_int_equal(o.result.how_proxy, BK_HTTP_CONNECT);
    assert_int_equal(o.result.conn_end, BK_CONN_END_REFUSED);
    assert_string_equal(o.result.proxy, closed);

    /* A refusal counts more than what came of the second choice: without a resolver the direct road fails too. */
    place.proxy.answer = "HTTP/1.1 403 No\r\n\r\n";
    (void)snprintf(list, sizeof list, "http://%s direct://", proxy);
    call_with(place.loop, &asker, NULL, "https://server.test/", &o);
    assert_int_equal(o.result.failure, BK_HTTP_PROXY);
    assert_int_equal(o.result.how_proxy, BK_HTTP_PROXY);
    assert_int_equal(o.result.tunnel.status, 403);
    assert_string_equal(o.result.proxy, proxy);

    /* What the settings cannot say. */
    asker.list = NULL;
    asker.why = "the PAC file is not there";
    call_with(place.loop, &asker, NULL, "https://server.test/", &o);
    assert_int_equal(o.result.failure, BK_HTTP_PROXY);
    assert_int_equal(o.result.how_proxy, BK_HTTP_OK);
    assert_string_equal(o.detail, "the PAC file is not there");
    bk_proxies_destroy(asker.proxies);
    place_stop(&place, &nobody);
}

static void a_refused_password_is_not_sent_again(void **state)
{
    (void)state;
    struct place place = { .proxy = {
                               .answer = "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\n" } };
    struct end nobody = { 0 };
    struct asker asker = { 0 };
    struct outcome o;
    char list[200], proxy[64];
    place_start(&place);
    bk_addr_text(&place.proxy.at, proxy);
    struct bk_proxies_config config = { .loop = place.loop, .ask = on_ask, .ctx = &asker };
    assert_int_equal(bk_proxies_create(&config, &asker.proxies), 0);
    (void)snprintf(list, sizeof list, "http://a:b@%s", proxy);
    asker.list = list;
    static const bool sent[] = { true, false, false, true };
    for (size_t i = 0; i < BK_COUNT_OF(sent); i++) {
        if (i == 3)
            bk_proxies_forget_refusals(asker.proxies);
        bk_buf_clear(&place.proxy.heard);
        call_with(place.loop, &asker, NULL, "https://server.test/", &o);
        assert_int_equal(o.result.tunnel.status, 407);
        assert_int_equal(o.result.tunnel.login_sent, sent[i]);
        assert_int_equal(bk_view_find_view(bk_buf_view(&place.proxy.heard), BK_VIEW("Basic YTpi")) <
                             place.proxy.heard.len,
                         sent[i]);
    }
    bk_proxies_destroy(asker.proxies);
    place_stop(&place, &nobody);
}

static void no_answer_about_proxies_ends_the_wait_and_a_late_one_is_ignored(void **state)
{
    (void)state;
    struct bk_loop *loop;
    struct asker asker = { .hold = true };
    struct outcome o;
    assert_int_equal(bk_loop_create(NULL, &loop), 0);
    struct bk_proxies_config config = {
        .loop = loop, .ask = on_ask, .ctx = &asker, .wait_ms = 100
    };
    assert_int_equal(bk_proxies_create(&config, &asker.proxies), 0);
    call_with(loop, &asker, NULL, "https://server.test/", &o);
    assert_int_equal(o.result.failure, BK_HTTP_PROXY);
    assert_int_equal(o.result.how_proxy, BK_HTTP_OK);
    assert_non_null(strstr(o.detail, "gave no answer"));
    bk_proxies_answer(asker.proxies, asker.token, "direct://", NULL);
    bk_proxies_answer(asker.proxies, 999, "direct://", NULL);

    /* A call that goes before the answer takes its question along. */
    struct bk_http_call *call;
    struct bk_http_call_config c = { .url = "https://server.test/",
                                     .tls = net_client_tls,
                                     .proxies = asker.proxies };
    assert_int_equal(bk_http_call(loop, &c, on_done, &o, &call), 0);
    AWAIT(loop, asker.n_asked == 2);
    bk_http_call_cancel(call);
    bk_proxies_answer(asker.proxies, asker.token, "direct://", NULL);
    bk_proxies_destroy(asker.proxies);
    bk_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_request_names_the_other_end_and_the_login),
        cmocka_unit_test(nothing_that_breaks_the_line_is_sent),
        cmocka_unit_test(an_answer_is_read_in_pieces_of_any_size),
        cmocka_unit_test(a_body_that_a_2xx_announces_is_not_one),
        cmocka_unit_test(a_407_tells_the_schemes_and_others_their_reason),
        cmocka_unit_test(what_is_no_answer_or_has_no_end_is_bad),
        cmocka_unit_test(a_proxy_is_read_from_its_url),
        cmocka_unit_test(of_a_list_the_usable_ones_stay_in_order),
        cmocka_unit_test(tls_goes_through_to_the_server_behind),
        cmocka_unit_test(a_certificate_is_judged_by_the_server_s_name_and_no_fault_of_the_proxy),
        cmocka_unit_test(what_the_proxy_says_instead_ends_the_connection),
        cmocka_unit_test(a_silent_proxy_and_none_at_all_are_told_apart),
        cmocka_unit_test(a_call_takes_the_roads_in_order_and_says_where_it_failed),
        cmocka_unit_test(a_refused_password_is_not_sent_again),
        cmocka_unit_test(no_answer_about_proxies_ends_the_wait_and_a_late_one_is_ignored),
    };
    return cmocka_run_group_tests(tests, net_tls_make, net_tls_free);
}
