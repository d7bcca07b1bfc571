/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/net/net_test.h"

#include "base/cleanup.h"
#include "net/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a server whose handler the tests steer ---- */

struct web {
    struct bk_loop *loop;
    struct bk_listener *listener;
    struct bk_http_server *server;
    struct bk_addr at;
    struct bk_http_exchange *held; /* not answered yet */
    bool hold, last, huge;
    int n_requests, n_gone;
    struct bk_buf seen; /* "METHOD path?query host body\n" of each request */
    struct bk_buf body; /* of huge answers */
};

static void on_gone(void *owner)
{
    struct web *web = owner;
    web->n_gone++;
    web->held = NULL;
}

static void handle(void *ctx, struct bk_http_exchange *x, const struct bk_http_request *q)
{
    struct web *web = ctx;
    web->n_requests++;
    bk_buf_addf(&web->seen, "%.*s %.*s?%.*s %.*s %.*s\n", BK_VIEW_ARGS(q->method),
                BK_VIEW_ARGS(q->path), BK_VIEW_ARGS(q->query), BK_VIEW_ARGS(q->host),
                BK_VIEW_ARGS(q->body));
    bk_http_set_owner(x, on_gone, web);
    if (web->last)
        bk_http_answer_last(x);
    if (web->hold) {
        web->held = x;
        return;
    }
    bk_http_answer_field(x, "X-Ms-diagnostics", BK_VIEW("95202;reason=\"no\""));
    bk_http_answer_field(x, "X-Bad", BK_VIEW("a\r\nSet-Cookie: b"));
    if (web->huge)
        bk_http_answer(x, 200, "text/plain", bk_buf_view(&web->body));
    else
        bk_http_answer(x, 200, "text/plain", q->path);
}

static void web_ready(struct bk_conn *conn, void *ctx)
{
    (void)conn;
    (void)ctx;
}

/* Sniffs, as the server that shares its port with SIP does. */
static size_t web_bytes(struct bk_conn *conn, void *ctx, struct bk_view bytes)
{
    struct web *web = ctx;
    if (bk_conn_sniff((struct bk_view){ 0 }, bytes) == BK_PROTOCOL_HTTP)
        assert_int_equal(bk_http_server_adopt(web->server, conn), 0);
    else if (bk_conn_sniff((struct bk_view){ 0 }, bytes) != BK_PROTOCOL_MORE)
        bk_conn_close(conn, 0);
    return 0;
}

static void web_closed(struct bk_conn *conn, void *ctx, enum bk_conn_end why)
{
    (void)conn;
    (void)ctx;
    (void)why;
}

static const struct bk_conn_ops web_ops = { web_ready, web_bytes, web_closed, NULL };

static void *web_accepted(void *ctx, struct bk_conn *conn)
{
    (void)conn;
    return ctx;
}

static void web_start(struct web *web, struct bk_tls_server *tls,
                      const struct bk_http_server_config *like)
{
    struct bk_http_server_config config = { 0 };
    if (like)
        config = *like;
    config.handle = handle;
    config.ctx = web;
    assert_int_equal(bk_loop_create(NULL, &web->loop), 0);
    web->server = bk_http_server_create(web->loop, &config);
    assert_non_null(web->server);
    assert_int_equal(bk_addr_parse("127.0.0.1", 0, &web->at), 0);
    struct bk_listen_config listen = { .at = &web->at,
                                       .tls = tls,
                                       .limits = bk_conn_limits_default,
                                       .ops = &web_ops,
                                       .accepted = web_accepted,
                                       .ctx = web };
    assert_int_equal(bk_listen(web->loop, &listen, &web->listener), 0);
    web->at.v4.sin_port = htons(bk_listener_port(web->listener));
}

static size_t web_open(const struct web *web)
{
    struct bk_listener_stats stats;
    bk_listener_stats(web->listener, &stats);
    return stats.open;
}

static void web_stop(struct web *web, struct end *client)
{
    if (client && client->conn)
        bk_conn_close(client->conn, 0);
    web->server = bk_http_server_destroy(web->server);
    AWAIT(web->loop, web_open(web) == 0 && (!client || !client->conn));
    if (client)
        end_finish(client);
    bk_listener_destroy(web->listener);
    bk_loop_destroy(web->loop);
    bk_buf_finish(&web->seen);
    bk_buf_finish(&web->body);
}

static int count(const struct end *client, const char *text)
{
    int n = 0;
    struct bk_view rest = bk_buf_view(&client->got), needle = bk_view_of_str(text);
    for (size_t at; (at = bk_view_find_view(rest, needle)) < rest.len; n++)
        rest = bk_view_skip(rest, at + needle.len);
    return n;
}

static bool seen(const struct web *web, const char *text)
{
    return bk_view_equal(bk_buf_view(&web->seen), bk_view_of_str(text));
}

/* Sends the text, waits until the server closed, and compares the status line. */
static void refused_with(const struct bk_http_server_config *like, const char *request,
                         const char *status)
{
    struct web web = { 0 };
    web_start(&web, NULL, like);
    struct end client = { 0 };
    client_open(&client, web.loop, &web.at, NULL, NULL);
    send_text(&client, request);
    AWAIT(web.loop, client.closed);
    char line[128];
    snprintf(line, sizeof line, "HTTP/1.1 %s\r\n", status);
    if (!bk_view_starts_with(bk_buf_view(&client.got), bk_view_of_str(line)))
        fail_msg("wanted %s, got %.*s", status, BK_VIEW_ARGS(bk_buf_view(&client.got)));
    assert_int_equal(count(&client, "HTTP/1.1"), 1);
    assert_int_equal(count(&client, "Connection: close\r\n"), 1);
    assert_int_equal(web.n_requests, 0);
    web_stop(&web, &client);
}

/* ---- what the server promises ---- */

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct web web = { 0 };
    web_start(&web, NULL, NULL);
    struct end client = { 0 };
    client_open(&client, web.loop, &web.at, NULL, NULL);
    send_text(&client, "GET /a?x=1&y HTTP/1.1\r\nHost: h.test\r\n\r\n"
                       "POST /b HTTP/1.1\r\nHost: h.test\r\nContent-Length: 5\r\n\r\nhello"
                       "GET http://other.test/c HTTP/1.1\r\nHost: h.test\r\n\r\n"
                       "OPTIONS * HTTP/1.1\r\nHost: h.test\r\n\r\n");
    AWAIT(web.loop, count(&client, "HTTP/1.1 200 OK\r\n") == 4 && count(&client, "\r\n\r\n*") == 1);
    assert_true(seen(&web, "GET /a?x=1&y h.test \nPOST /b? h.test hello\nGET /c? other.test \n"
                           "OPTIONS *? h.test \n"));
    assert_int_equal(count(&client, "Connection: close"), 0);
    assert_int_equal(count(&client, "X-Ms-diagnostics: 95202;reason=\"no\"\r\n"), 4);
    assert_int_equal(count(&client, "Set-Cookie"), 0);
    assert_int_equal(count(&client, "Date: "), 4);
    web_stop(&web, &client);
}

static void a_late_answer_holds_back_the_next_request(void **state)
{
    (void)state;
    struct web web = { .hold = true };
    web_start(&web, NULL, NULL);
    struct end client = { 0 };
    client_open(&client, web.loop, &web.at, NULL, NULL);
    send_text(&client, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHo");
    AWAIT(web.loop, web.held);
    send_text(&client, "st: h\r\n\r\nGET /3 HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        AWAIT(web.loop, web.held);
        assert_int_equal(web.n_requests, i + 1);
        struct bk_http_exchange *x = web.held;
        web.held = NULL;
        bk_http_answer(x, 200, NULL, BK_VIEW("done"));
        AWAIT(web.loop, count(&client, "done") == i + 1);
    }
    assert_true(seen(&web, "GET /1? h \nGET /2? h \nGET /3? h \n"));
    web_stop(&web, &client);
}

static void a_flood_behind_an_unanswered_request_is_not_read_but_not_lost(void **state)
{
    (void)state;
    enum { N = 6000 };
    struct web web = { .hold = true };
    web_start(&web, NULL, NULL);
    struct end client = { 0 };
    client_open(&client, web.loop, &web.at, NULL, NULL);
    for (int i = 0; i < N; i++)
        send_text(&client, "GET /1 HTTP/1.1\r\nHost: some.longer.name.test\r\n\r\n");
    AWAIT(web.loop, web.held);
    for (int i = 0; i < 20; i++)
        bk_loop_step(web.loop, 1);
    assert_int_equal(web.n_requests, 1);
    web.hold = false;
    struct bk_http_exchange *x = web.held;
    web.held = NULL;
    bk_http_answer(x, 200, NULL, BK_VIEW("first"));
    AWAIT(web.loop, web.n_requests == N && count(&client, "HTTP/1.1 200") == N);
    web_stop(&web, &client);
}

static void a_request_may_come_byte_by_byte(void **state)
{
    (void)state;
    static const char request[] =
        "POST /x HTTP/1.1\r\nHost: h\r\nEmpty:\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3;ext=1\r\nabc\r\n4\r\ndefg\r\n0\r\nTrailer: t\r\n\r\n";
    struct web web = { 0 };
    web_start(&web, NULL, NULL);
    struct end client = { 0 };
    client_open(&client, web.loop, &web.at, NULL, NULL);
    AWAIT(web.loop, client.ready);
    for (size_t i = 0; i < sizeof request - 1; i++) {
        assert_int_equal(bk_conn_send(client.conn, (struct bk_view){ request + i, 1 }, false), 0);
        bk_loop_step(web.loop, 0);
        bk_loop_step(web.loop, 0);
    }
    AWAIT(web.loop, count(&client, "HTTP/1.1 200 OK\r\n") == 1);
    assert_true(seen(&web, "POST /x? h abcdefg\n"));
    web_stop(&web, &client);
}

static void head_gets_the_length_and_no_body(void **state)
{
    (void)state;
    struct web web = { .last = true };
    web_start(&web, NULL, NULL);
    struct end client = { 0 };
    client_open(&client, web.loop, &web.at, NULL, NULL);
    send_text(&client, "HEAD /four HTTP/1.1\r\nHost: h\r\n\r\n");
    AWAIT(web.loop, client.closed);
    assert_int_equal(count(&client, "Content-Length: 5\r\n"), 1);
    assert_true(bk_view_ends_with(bk_buf_view(&client.got), BK_VIEW("\r\n\r\n")));
    assert_int_equal(count(&client, "Connection: close\r\n"), 1);
    web_stop(&web, &client);
}

static void http_1_0_is_closed_unless_it_asks_to_stay(void **state)
{
    (void)state;
    struct web web = { 0 };
    web_start(&web, NULL, NULL);
    struct end client = { 0 };
    client_open(&client, web.loop, &web.at, NULL, NULL);
    send_text(&client, "GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    AWAIT(web.loop, count(&client, "Connection: keep-alive\r\n") == 1);
    send_text(&client, "GET /2 HTTP/1.0\r\n\r\n");
    AWAIT(web.loop, client.closed);
    assert_int_equal(count(&client, "HTTP/1.1 200 OK"), 2);
    web_stop(&web, &client);
}

static void a_body_that_asks_first_is_told_to_come(void **state)
{
    (void)state;
    struct web web = { 0 };
    web_start(&web, NULL, NULL);
    struct end client = { 0 };
    client_open(&client, web.loop, &web.at, NULL, NULL);
    send_text(&client,
              "POST /1 HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    AWAIT(web.loop, count(&client, "HTTP/1.1 100 Continue\r\n\r\n") == 1);
    send_text(&client, "ok");
    AWAIT(web.loop, count(&client, "HTTP/1.1 200 OK") == 1);
    web_stop(&web, &client);
}

static void an_offer_to_upgrade_is_ignored(void **state)
{
    (void)state;
    struct web web = { 0 };
    web_start(&web, NULL, NULL);
    struct end client = { 0 };
    client_open(&client, web.loop, &web.at, NULL, NULL);
    send_text(&client, "GET /1 HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
                       "GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    AWAIT(web.loop, count(&client, "HTTP/1.1 200 OK") == 2);
    web_stop(&web, &client);
}

static void bad_requests_get_the_status_that_names_the_fault(void **state)
{
    (void)state;
    refused_with(NULL, "GET / HTTP/1.1\r\n\r\n", "400 Bad Request"); /* no Host */
    refused_with(NULL, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400 Bad Request");
    refused_with(NULL, "GET / HTTP/1.1\r\nHost: a\r\nNo colon\r\n\r\n", "400 Bad Request");
    refused_with(NULL, "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400 Bad Request");
    refused_with(NULL, "FETCH / HTTP/1.1\r\nHost: a\r\n\r\n", "501 Not Implemented");
    refused_with(NULL, "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "501 Not Implemented");
    refused_with(NULL, "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505 HTTP Version Not Supported");
    /* Two opinions about where the request ends. */
    refused_with(NULL,
                 "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n"
                 "\r\n0\r\n\r\n",
                 "400 Bad Request");
    refused_with(
        NULL, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n12345",
        "400 Bad Request");
    refused_with(NULL, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
                 "400 Bad Request");
}

static void what_is_too_large_is_refused_before_it_is_read(void **state)
{
    (void)state;
    struct bk_http_server_config config = { .body_max = 10 };
    refused_with(&config, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n",
                 "413 Content Too Large");
    refused_with(&config,
                 "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "6\r\nabcdef\r\n6\r\nabcdef\r\n",
                 "413 Content Too Large");

    BK_CLEANUP(bk_buf_finish) struct bk_buf text = { 0 };
    bk_buf_add_str(&text, "GET /");
    for (int i = 0; i < BK_HTTP_HEAD_MAX; i++)
        bk_buf_add_char(&text, 'a');
    bk_buf_add_str(&text, " HTTP/1.1\r\nHost: a\r\n\r\n");
    refused_with(NULL, bk_buf_cstr(&text), "414 URI Too Long");

    bk_buf_clear(&text);
    bk_buf_add_str(&text, "GET / HTTP/1.1\r\nHost: a\r\nCookie: ");
    for (int i = 0; i < BK_HTTP_HEAD_MAX; i++)
        bk_buf_add_char(&text, 'a');
    bk_buf_add_str(&text, "\r\n\r\n");
    refused_with(NULL, bk_buf_cstr(&text), "431 Request Header Fields Too Large");

    bk_buf_clear(&text);
    bk_buf_add_str(&text, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < BK_HTTP_FIELDS_MAX; i++)
        bk_buf_add_str(&text, "A: b\r\n");
    bk_buf_add_str(&text, "\r\n");
    refused_with(NULL, bk_buf_cstr(&text), "431 Request Header Fields Too Large");
}

static void a_request_that_does_not_end_is_answered_408(void **state)
{
    (void)state;
    struct bk_http_server_config config = { .whole_request_ms = 100 };
    refused_with(&config, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nab",
                 "408 Request Timeout");
}

static void an_idle_connection_is_closed_without_a_word(void **state)
{
    (void)state;
    struct bk_http_server_config config = { .idle_ms = 50 };
    struct web web = { 0 };
    web_start(&web, NULL, &config);
    struct end client = { 0 };
    client_open(&client, web.loop, &web.at, NULL, NULL);
    send_text(&client, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    AWAIT(web.loop, client.closed);
    assert_int_equal(count(&client, "HTTP/1.1 "), 1);
    assert_int_equal(client.why, BK_CONN_END_PEER);
    web_stop(&web, &client);
}

static void who_holds_an_exchange_learns_that_its_connection_died(void **state)
{
    (void)state;
    struct web web = { .hold = true };
    web_start(&web, NULL, NULL);
    struct end client = { 0 };
    client_open(&client, web.loop, &web.at, NULL, NULL);
    send_text(&client, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    AWAIT(web.loop, web.held);
    bk_conn_close(client.conn, 0);
    AWAIT(web.loop, web.n_gone == 1);
    assert_int_equal(web.n_requests, 1);
    web_stop(&web, &client);
}

static void an_answer_after_the_server_is_gone_still_goes_out(void **state)
{
    (void)state;
    struct web web = { .hold = true };
    web_start(&web, NULL, NULL);
    struct end client = { 0 };
    client_open(&client, web.loop, &web.at, NULL, NULL);
    send_text(&client, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    AWAIT(web.loop, web.held);
    web.server = bk_http_server_destroy(web.server);
    bk_http_answer(web.held, 503, "text/plain", BK_VIEW("later"));
    AWAIT(web.loop, client.closed);
    assert_int_equal(count(&client, "HTTP/1.1 503 Service Unavailable"), 1);
    assert_int_equal(count(&client, "later"), 1);
    web_stop(&web, &client);
}

/* ---- what the client promises ---- */

struct outcome {
    int n;
    struct bk_http_result r;
    struct bk_buf body, diagnostics;
    char detail[512];
};

static void on_done(void *ctx, const struct bk_http_result *result)
{
    struct outcome *o = ctx;
    o->n++;
    o->r = *result;
    bk_buf_add_view(&o->body, result->body);
    bk_buf_add_view(&o->diagnostics, result->diagnostics);
    snprintf(o->detail, sizeof o->detail, "%s", result->detail ? result->detail : "");
}

static void outcome_finish(struct outcome *o)
{
    bk_buf_finish(&o->body);
    bk_buf_finish(&o->diagnostics);
    *o = (struct outcome){ 0 };
}

static void call(struct bk_loop *loop, const struct bk_http_call_config *config,
                 struct outcome *ret)
{
    struct bk_http_call *c;
    assert_int_equal(bk_http_call(loop, config, on_done, ret, &c), 0);
    assert_int_equal(ret->n, 0);
    AWAIT(loop, ret->n);
}

static void a_call_over_tls_brings_status_fields_and_body(void **state)
{
    (void)state;
    struct web web = { 0 };
    web_start(&web, net_server_tls, NULL);
    struct outcome o = { 0 };
    struct bk_http_call_config config = { .method = "POST",
                                          .url = "https://server.test/autodiscover?a=b",
                                          .tls = net_client_tls,
                                          .connect_to = &web.at,
                                          .content_type = "application/json",
                                          .body = BK_VIEW("{}") };
    call(web.loop, &config, &o);
    assert_int_equal(o.r.failure, BK_HTTP_OK);
    assert_int_equal(o.r.status, 200);
    assert_true(bk_view_equal(bk_buf_view(&o.body), BK_VIEW("/autodiscover")));
    assert_true(bk_view_equal(bk_buf_view(&o.diagnostics), BK_VIEW("95202;reason=\"no\"")));
    assert_int_equal(bk_addr_port(&o.r.peer), bk_addr_port(&web.at));
    assert_true(seen(&web, "POST /autodiscover?a=b server.test {}\n"));
    outcome_finish(&o);
    web_stop(&web, NULL);
}

static void the_largest_answer_comes_whole_and_a_larger_one_is_refused(void **state)
{
    (void)state;
    struct web web = { .huge = true };
    web_start(&web, net_server_tls, NULL);
    for (int i = 0; i < BK_HTTP_BODY_MAX; i++)
        bk_buf_add_char(&web.body, (char)('a' + i % 26));
    struct bk_http_call_config config = { .url = "https://server.test/",
                                          .tls = net_client_tls,
                                          .connect_to = &web.at };
    struct outcome o = { 0 };
    call(web.loop, &config, &o);
    assert_int_equal(o.r.failure, BK_HTTP_OK);
    assert_true(bk_view_equal(bk_buf_view(&o.body), bk_buf_view(&web.body)));
    outcome_finish(&o);

    bk_buf_add_char(&web.body, '.');
    call(web.loop, &config, &o);
    assert_int_equal(o.r.failure, BK_HTTP_PROTOCOL);
    outcome_finish(&o);
    web_stop(&web, NULL);
}

static void each_way_to_fail_is_told_apart(void **state)
{
    (void)state;
    struct web web = { .hold = true };
    web_start(&web, net_server_tls, NULL);
    struct bk_http_call_config config = { .url = "https://server.test/",
                                          .tls = net_client_tls,
                                          .connect_to = &web.at };
    struct outcome o = { 0 };

    struct bk_http_call_config c = config;
    c.url = "ftp://server.test/";
    call(web.loop, &c, &o);
    assert_int_equal(o.r.failure, BK_HTTP_BAD_URL);
    outcome_finish(&o);

    c.url = "http://server.test/";
    call(web.loop, &c, &o);
    assert_int_equal(o.r.failure, BK_HTTP_BAD_URL); /* clear text is not allowed */
    outcome_finish(&o);

    c = config;
    c.url = "https://wrong.test/";
    call(web.loop, &c, &o);
    assert_int_equal(o.r.failure, BK_HTTP_TLS);
    assert_int_equal(o.r.tls_fault, BK_TLS_WRONG_NAME);
    assert_non_null(strstr(o.detail, "server.test"));
    outcome_finish(&o);

    c = config;
    c.timeout_ms = 150;
    call(web.loop, &c, &o);
    assert_int_equal(o.r.failure, BK_HTTP_TIMEOUT);
    outcome_finish(&o);

    struct bk_addr nobody = web.at;
    nobody.v4.sin_port = htons(1); /* reserved, nobody listens */
    c = config;
    c.connect_to = &nobody;
    call(web.loop, &c, &o);
    assert_int_equal(o.r.failure, BK_HTTP_CONNECT);
    assert_int_equal(o.r.conn_end, BK_CONN_END_REFUSED);
    outcome_finish(&o);
    web_stop(&web, NULL);
}

static void a_peer_that_answers_something_else_is_named_so(void **state)
{
    (void)state;
    struct bk_loop *loop;
    assert_int_equal(bk_loop_create(NULL, &loop), 0);
    struct server server = { .echo = true }; /* what it gets is a request, what it sends too */
    server_start(&server, loop, net_server_tls, NULL);
    struct bk_http_call_config config = { .url = "https://server.test/",
                                          .tls = net_client_tls,
                                          .connect_to = &server.at };
    struct outcome o = { 0 };
    call(loop, &config, &o);
    assert_int_equal(o.r.failure, BK_HTTP_PROTOCOL);
    outcome_finish(&o);

    struct server plain = { .echo = true };
    server_start(&plain, loop, NULL, NULL);
    config.connect_to = &plain.at;
    call(loop, &config, &o);
    assert_int_equal(o.r.failure, BK_HTTP_TLS);
    outcome_finish(&o);
    server_stop(&plain, NULL, 0);
    server_stop(&server, NULL, 0);
    bk_loop_destroy(loop);
}

static void an_answer_without_length_ends_with_the_connection(void **state)
{
    (void)state;
    struct bk_loop *loop;
    assert_int_equal(bk_loop_create(NULL, &loop), 0);
    struct server server = { 0 };
    server_start(&server, loop, NULL, NULL);
    struct outcome o = { 0 };
    struct bk_http_call_config config = { .url = "http://127.0.0.1/",
                                          .allow_clear = true,
                                          .connect_to = &server.at };
    static const char *const answers[] = {
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nuntil the end", /* good */
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nuntil the end",        /* cut off */
    };
    for (int i = 0; i < 2; i++) {
        struct bk_http_call *c;
        assert_int_equal(bk_http_call(loop, &config, on_done, &o, &c), 0);
        AWAIT(loop, server.n_ends == i + 1 && server.ends[i].got.len);
        send_text(&server.ends[i], answers[i]);
        bk_conn_close(server.ends[i].conn, 1000);
        AWAIT(loop, o.n);
        assert_int_equal(o.r.failure, i == 0 ? BK_HTTP_OK : BK_HTTP_PROTOCOL);
        if (i == 0)
            assert_true(bk_view_equal(bk_buf_view(&o.body), BK_VIEW("until the end")));
        outcome_finish(&o);
    }
    server_stop(&server, NULL, 0);
    bk_loop_destroy(loop);
}

static void further_fields_go_out_as_they_are_and_none_that_would_be_two(void **state)
{
    (void)state;
    struct bk_loop *loop;
    assert_int_equal(bk_loop_create(NULL, &loop), 0);
    struct server server = { 0 };
    server_start(&server, loop, NULL, NULL);
    struct outcome o = { 0 };
    struct bk_http_call *c;
    struct bk_http_call_field fields[] = { { "SOAPAction", BK_VIEW("\"a b\"") },
                                           { "X-Empty", BK_VIEW("") } };
    struct bk_http_call_config config = { .url = "http://127.0.0.1/",
                                          .allow_clear = true,
                                          .connect_to = &server.at,
                                          .fields = fields,
                                          .n_fields = 2 };
    assert_int_equal(bk_http_call(loop, &config, on_done, &o, &c), 0);
    AWAIT(loop, server.n_ends == 1 && server.ends[0].got.len);
    struct bk_view sent = bk_buf_view(&server.ends[0].got);
    assert_true(bk_view_find_view(sent, BK_VIEW("\r\nSOAPAction: \"a b\"\r\nX-Empty: \r\n")) <
                sent.len);
    bk_http_call_cancel(c);
    static const struct bk_http_call_field bad[] = {
        { "A", { BK_VIEW_OF("b\r\nC: d") } }, { "A", { BK_VIEW_OF("b\nc") } },
        { "A", { BK_VIEW_OF("b\0c") } },      { "A: b", { BK_VIEW_OF("c") } },
        { "", { BK_VIEW_OF("c") } },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fields[1] = bad[i];
        assert_int_equal(bk_http_call(loop, &config, on_done, &o, &c), -EINVAL);
    }
    server_stop(&server, NULL, 0);
    outcome_finish(&o);
    bk_loop_destroy(loop);
}

static void a_cancelled_call_says_nothing(void **state)
{
    (void)state;
    struct web web = { .hold = true };
    web_start(&web, net_server_tls, NULL);
    struct outcome o = { 0 };
    struct bk_http_call_config config = { .url = "https://server.test/",
                                          .tls = net_client_tls,
                                          .connect_to = &web.at };
    struct bk_http_call *c;
    assert_int_equal(bk_http_call(web.loop, &config, on_done, &o, &c), 0);
    bk_http_call_cancel(c); /* before it began */
    assert_int_equal(bk_http_call(web.loop, &config, on_done, &o, &c), 0);
    AWAIT(web.loop, web.held);
    bk_http_call_cancel(c); /* while it waits */
    AWAIT(web.loop, web.n_gone == 1);
    assert_int_equal(o.n, 0);
    web_stop(&web, NULL);
}

/* ---- URLs ---- */

static void urls_are_split_and_odd_ones_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *path;
        uint16_t port;
        bool secure;
    } good[] = {
        { "https://a.test", "a.test", "/", 443, true },
        { "HTTPS://A.test:8443/x/y?q=1#frag", "A.test", "/x/y?q=1", 8443, true },
        { "http://10.0.0.1/", "10.0.0.1", "/", 80, false },
        { "https://[::1]:1/a:b@c", "::1", "/a:b@c", 1, true },
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct bk_url url;
        assert_int_equal(bk_url_parse(bk_view_of_str(good[i].text), &url), 0);
        assert_true(bk_view_equal(url.host, bk_view_of_str(good[i].host)));
        assert_true(bk_view_equal(url.path, bk_view_of_str(good[i].path)));
        assert_int_equal(url.port, good[i].port);
        assert_int_equal(url.secure, good[i].secure);
    }
    static const char *const bad[] = {
        "",
        "a.test",
        "https://",
        "https:///x",
        "https://a:0/",
        "https://a:",
        "https://a:1x/",
        "https://u@a/",
        "https://a?q",
        "https://[::1/",
        "ftp://a/",
        "https://a b/",
        "https://a:65536",
        "https://[1.2.3.4]/",
        "https://a/\r\nX",
        "https://a/\x7f",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct bk_url url;
        if (bk_url_parse(bk_view_of_str(bad[i]), &url) != -EINVAL)
            fail_msg("taken: %s", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(a_late_answer_holds_back_the_next_request),
        cmocka_unit_test(a_flood_behind_an_unanswered_request_is_not_read_but_not_lost),
        cmocka_unit_test(a_request_may_come_byte_by_byte),
        cmocka_unit_test(head_gets_the_length_and_no_body),
        cmocka_unit_test(http_1_0_is_closed_unless_it_asks_to_stay),
        cmocka_unit_test(a_body_that_asks_first_is_told_to_come),
        cmocka_unit_test(an_offer_to_upgrade_is_ignored),
        cmocka_unit_test(bad_requests_get_the_status_that_names_the_fault),
        cmocka_unit_test(what_is_too_large_is_refused_before_it_is_read),
        cmocka_unit_test(a_request_that_does_not_end_is_answered_408),
        cmocka_unit_test(an_idle_connection_is_closed_without_a_word),
        cmocka_unit_test(who_holds_an_exchange_learns_that_its_connection_died),
        cmocka_unit_test(an_answer_after_the_server_is_gone_still_goes_out),
        cmocka_unit_test(a_call_over_tls_brings_status_fields_and_body),
        cmocka_unit_test(the_largest_answer_comes_whole_and_a_larger_one_is_refused),
        cmocka_unit_test(each_way_to_fail_is_told_apart),
        cmocka_unit_test(a_peer_that_answers_something_else_is_named_so),
        cmocka_unit_test(an_answer_without_length_ends_with_the_connection),
        cmocka_unit_test(further_fields_go_out_as_they_are_and_none_that_would_be_two),
        cmocka_unit_test(a_cancelled_call_says_nothing),
        cmocka_unit_test(urls_are_split_and_odd_ones_refused),
    };
    return cmocka_run_group_tests(tests, net_tls_make, net_tls_free);
}
