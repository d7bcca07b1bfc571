/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request on a connection of its own. Addresses are tried as RFC 8305 says: the next one
 * starts 250 ms behind the last, or at once when that failed; the first whose TLS stands wins.
 * Where there are proxies, that is one road: the addresses are those of the proxy then, and the next road begins when all have
 * failed.
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "net/http.h"
#include "net/loop_private.h"

#include <errno.h>
#include <http_parser.h>
#include <stdlib.h>
#include <strings.h>

enum {
    TIMEOUT_MS = 10000,
    HEAD_START_MS = 250,
    ATTEMPTS_MAX = 8,
    ANSWER_MAX = BK_HTTP_BODY_MAX,
};

enum stage { STAGE_START, STAGE_ROADS, STAGE_NAME, STAGE_CONNECT, STAGE_ANSWER, STAGE_DONE };

enum wanted {
    WANT_NOTHING,
    WANT_TYPE,
    WANT_LOCATION,
    WANT_DATE,
    WANT_DIAGNOSTICS,
    WANT_RETRY,
    WANT_CHALLENGE,
    N_WANTED
};

static const char *const wanted_names[N_WANTED] = {
    [WANT_TYPE] = "Content-Type", [WANT_LOCATION] = "Location",
    [WANT_DATE] = "Date",         [WANT_DIAGNOSTICS] = "X-Ms-diagnostics",
    [WANT_RETRY] = "Retry-After", [WANT_CHALLENGE] = "WWW-Authenticate",
};

struct attempt {
    struct bk_http_call *call;
    struct bk_conn *conn; /* NULL: failed */
    struct bk_addr to;
};

struct bk_http_call {
    struct bk_loop *loop;
    struct bk_tls_client *tls;
    struct bk_dns *dns;
    char *url_text;
    struct bk_url url; /* into url_text */
    char *host;
    struct bk_buf request;
    bool head_request, has_connect_to;
    struct bk_addr connect_to;
    int timeout_ms;
    void (*done)(void *ctx, const struct bk_http_result *result);
    void *ctx;

    enum stage stage;
    struct bk_timer whole, next;
    struct bk_proxies *proxies;
    struct bk_proxy_query *roads_query;
    struct bk_proxy_roads roads; /* without proxies: one, direct */
    int n_begun;                 /* of the roads; the last of them is under way */
    struct bk_buf connect;       /* what its proxy is asked; wiped */
    bool at_proxy;               /* what failed last, failed before the road left its proxy */
    bool proxy_failed;
    bool over;                          /* the time for all roads together */
    struct bk_http_result proxy_result; /* the first failure of that kind */
    struct bk_dns_query *query;
    struct attempt attempts[ATTEMPTS_MAX];
    int n_addrs, n_started, n_failed;
    struct attempt *winner;

    http_parser parser;
    enum wanted field; /* whose value comes */
    bool in_value, any_bytes, complete;
    struct bk_buf name; /* of the field being read */
    struct bk_buf values[N_WANTED];
    struct bk_buf body;
    size_t head_bytes;

    struct bk_http_result result;
    char detail[512];
};

static void start_next(struct bk_http_call *call);
static void begin_road(struct bk_http_call *call);

/* ---- the end ---- */

static size_t ignore_bytes(struct bk_conn *conn, void *ctx, struct bk_view bytes)
{
    (void)conn;
    (void)ctx;
    return bytes.len;
}

static void ignore_ready(struct bk_conn *conn, void *ctx)
{
    (void)conn;
    (void)ctx;
}

static void ignore_closed(struct bk_conn *conn, void *ctx, enum bk_conn_end why)
{
    (void)conn;
    (void)ctx;
    (void)why;
}

/* Of connections that the call has left behind. */
static const struct bk_conn_ops ignore_ops = { ignore_ready, ignore_bytes, ignore_closed, NULL };

static void leave(struct attempt *attempt)
{
    if (!attempt->conn)
        return;
    bk_conn_set_ops(attempt->conn, &ignore_ops, NULL);
    bk_conn_close(attempt->conn, 0);
    attempt->conn = NULL;
}

static void wipe(struct bk_buf *secret)
{
    if (secret->at)
        bk_wipe(secret->at, secret->cap);
    bk_buf_finish(secret);
}

static void call_free(struct bk_http_call *call)
{
    for (int i = 0; i < call->n_started; i++)
        leave(&call->attempts[i]);
    bk_dns_cancel(call->query);
    bk_proxies_cancel(call->roads_query);
    bk_proxy_roads_wipe(&call->roads);
    wipe(&call->connect);
    bk_timer_disarm(&call->loop->timers, &call->whole);
    bk_timer_disarm(&call->loop->timers, &call->next);
    bk_tls_client_unref(call->tls);
    for (int i = 0; i < N_WANTED; i++)
        bk_buf_finish(&call->values[i]);
    bk_buf_finish(&call->name);
    bk_buf_finish(&call->body);
    wipe(&call->request);
    free(call->host);
    free(call->url_text);
    free(call);
}

void bk_http_call_cancel(struct bk_http_call *call)
{
    if (call)
        call_free(call);
}

static void say(struct bk_http_call *call, enum bk_http_failure failure, const char *detail)
{
    if (call->stage == STAGE_DONE)
        return;
    call->stage = STAGE_DONE;
    struct bk_http_result *r = &call->result;
    r->failure = failure;
    if (detail) {
        size_t len = strnlen(detail, sizeof call->detail - 1);
        memmove(call->detail, detail, len);
        call->detail[len] = '\0';
    }
    r->detail = call->detail[0] ? call->detail : NULL;
    if (failure == BK_HTTP_OK) {
        r->status = call->parser.status_code;
        r->body = bk_buf_view(&call->body);
    }
    r->content_type = bk_view_trim(bk_buf_view(&call->values[WANT_TYPE]));
    r->location = bk_view_trim(bk_buf_view(&call->values[WANT_LOCATION]));
    r->date = bk_view_trim(bk_buf_view(&call->values[WANT_DATE]));
    r->diagnostics = bk_view_trim(bk_buf_view(&call->values[WANT_DIAGNOSTICS]));
    r->retry_after = bk_view_trim(bk_buf_view(&call->values[WANT_RETRY]));
    r->challenges = bk_view_trim(bk_buf_view(&call->values[WANT_CHALLENGE]));
    call->done(call->ctx, r);
    call_free(call);
}

/* ---- the answer ---- */

static int on_field(http_parser *parser, const char *at, size_t len)
{
    struct bk_http_call *call = parser->data;
    if (call->in_value) {
        bk_buf_clear(&call->name);
        call->in_value = false;
    }
    call->head_bytes += len;
    bk_buf_add(&call->name, at, len);
    return call->head_bytes > BK_HTTP_HEAD_MAX;
}

static int on_value(http_parser *parser, const char *at, size_t len)
{
    struct bk_http_call *call = parser->data;
    if (!call->in_value) {
        call->in_value = true;
        call->field = WANT_NOTHING;
        for (int i = WANT_NOTHING + 1; i < N_WANTED; i++)
            if (bk_view_equal_nocase(bk_buf_view(&call->name), bk_view_of_str(wanted_names[i])))
                call->field = (enum wanted)i;
        struct bk_buf *value = &call->values[call->field];
        if (call->field == WANT_CHALLENGE && value->len) /* RFC 9110 5.3 */
            bk_buf_add_lit(value, ", ");
        else
            bk_buf_clear(value); /* of other repeats the last counts */
    }
    call->head_bytes += len;
    if (call->field != WANT_NOTHING)
        bk_buf_add(&call->values[call->field], at, len);
    return call->head_bytes > BK_HTTP_HEAD_MAX;
}

static int on_head(http_parser *parser)
{
    struct bk_http_call *call = parser->data;
    parser->upgrade = 0;
    call->in_value = true; /* a trailer's name begins anew */
    bool announced = parser->content_length != UINT64_MAX && !(parser->flags & F_CHUNKED);
    if (announced && !call->head_request && parser->content_length > ANSWER_MAX)
        return -1;
    return call->head_request; /* 1: no body follows, whatever its length says */
}

static int on_body(http_parser *parser, const char *at, size_t len)
{
    struct bk_http_call *call = parser->data;
    bk_buf_add(&call->body, at, len);
    return call->body.failed;
}

static int on_complete(http_parser *parser)
{
    struct bk_http_call *call = parser->data;
    if (parser->status_code < 200) { /* 100 Continue and the like go before the answer */
        for (int i = 0; i < N_WANTED; i++)
            bk_buf_clear(&call->values[i]);
        return 0;
    }
    call->complete = true;
    http_parser_pause(parser, 1);
    return 0;
}

static const http_parser_settings settings = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

static void read_answer(struct bk_http_call *call, struct bk_view bytes)
{
    http_parser_execute(&call->parser, &settings, bytes.at, bytes.len);
    enum http_errno e = HTTP_PARSER_ERRNO(&call->parser);
    bool too_large =
        call->body.failed || call->head_bytes > BK_HTTP_HEAD_MAX || e == HPE_CB_headers_complete;
    if (call->complete)
        say(call, BK_HTTP_OK, NULL);
    else if (too_large)
        say(call, BK_HTTP_PROTOCOL, "the answer is too large");
    else if (e != HPE_OK)
        say(call, BK_HTTP_PROTOCOL, http_errno_description(e));
}

/* ---- connections ---- */

static void conn_ready(struct bk_conn *conn, void *ctx)
{
    struct attempt *attempt = ctx;
    struct bk_http_call *call = attempt->call;
    if (call->winner)
        return;
    call->winner = attempt;
    call->stage = STAGE_ANSWER;
    call->result.peer = attempt->to;
    call->result.conn_end = BK_CONN_END_PEER;
    call->result.tls_fault = BK_TLS_OK;
    call->detail[0] = '\0';
    bk_timer_disarm(&call->loop->timers, &call->next);
    for (int i = 0; i < call->n_started; i++)
        if (&call->attempts[i] != attempt)
            leave(&call->attempts[i]);
    bk_conn_send(conn, bk_buf_view(&call->request), false);
}

static size_t conn_bytes(struct bk_conn *conn, void *ctx, struct bk_view bytes)
{
    (void)conn;
    struct attempt *attempt = ctx;
    attempt->call->any_bytes = true;
    read_answer(attempt->call, bytes);
    return bytes.len;
}

static const struct bk_proxy *road(const struct bk_http_call *call)
{
    return &call->roads.roads[call->n_begun - 1];
}

/* The next road, if there is one. What a proxy said counts more than what came of a road that was second choice. */
static void road_failed(struct bk_http_call *call, enum bk_http_failure failure, const char *detail)
{
    if (failure == BK_HTTP_PROXY && !call->proxy_failed) {
        call->proxy_failed = true;
        call->proxy_result = call->result;
    }
    if (call->n_begun < call->roads.n && !call->over) {
        begin_road(call);
    } else if (call->proxy_failed) {
        call->result = call->proxy_result;
        say(call, BK_HTTP_PROXY, NULL);
    } else {
        say(call, failure, detail);
    }
}

static void note_tunnel(struct bk_http_call *call, const struct bk_tunnel_answer *tunnel)
{
    call->at_proxy = tunnel != NULL;
    if (!tunnel)
        return;
    call->result.tunnel = *tunnel;
    if (tunnel->status == 407 && tunnel->login_sent)
        bk_proxies_login_refused(call->proxies, road(call));
}

/* What is told of several failures: the one of TLS, because somebody answered; else the last. */
static void note_failure(struct bk_http_call *call, const struct attempt *attempt,
                         struct bk_conn *conn, enum bk_conn_end why)
{
    struct bk_http_result *r = &call->result;
    bool had_tls = r->tls_fault != BK_TLS_OK;
    if (had_tls && why != BK_CONN_END_TLS)
        return;
    r->conn_end = why;
    r->peer = attempt->to;
    r->tls_fault = bk_conn_tls_fault(conn);
    note_tunnel(call, bk_conn_tunnel(conn));
    const char *detail = bk_conn_fault_detail(conn);
    size_t len = strnlen(detail, sizeof call->detail - 1);
    memcpy(call->detail, detail, len);
    call->detail[len] = '\0';
}

static void not_connected(struct bk_http_call *call)
{
    struct bk_http_result *r = &call->result;
    if (call->at_proxy)
        r->how_proxy = r->conn_end == BK_CONN_END_PROXY ? BK_HTTP_PROXY : BK_HTTP_CONNECT;
    road_failed(call,
                call->at_proxy                   ? BK_HTTP_PROXY
                : r->conn_end == BK_CONN_END_TLS ? BK_HTTP_TLS
                                                 : BK_HTTP_CONNECT,
                NULL);
}

static void answer_cut(struct bk_http_call *call, struct bk_conn *conn, enum bk_conn_end why)
{
    call->result.conn_end = why;
    if (why == BK_CONN_END_TLS) { /* TLS 1.3: a refused client certificate shows only now */
        call->result.tls_fault = bk_conn_tls_fault(conn);
        say(call, BK_HTTP_TLS, bk_conn_fault_detail(conn));
        return;
    }
    if (why == BK_CONN_END_PEER && call->any_bytes) /* an answer without a length ends here */
        http_parser_execute(&call->parser, &settings, NULL, 0);
    if (call->complete)
        say(call, BK_HTTP_OK, NULL);
    else if (call->any_bytes || why == BK_CONN_END_PEER)
        say(call, BK_HTTP_PROTOCOL,
            call->any_bytes ? "the connection ended within the answer"
                            : "the connection ended without an answer");
    else
        say(call, BK_HTTP_CONNECT, NULL);
}

static void conn_closed(struct bk_conn *conn, void *ctx, enum bk_conn_end why)
{
    struct attempt *attempt = ctx;
    struct bk_http_call *call = attempt->call;
    attempt->conn = NULL;
    if (attempt == call->winner) {
        answer_cut(call, conn, why);
        return;
    }
    const struct bk_tunnel_answer *said = bk_conn_tunnel(conn);
    bool proxy_spoke = said && said->status;
    call->n_failed++;
    note_failure(call, attempt, conn, why);
    if (proxy_spoke) { /* its other addresses are the same proxy, and count the same wrong passwords */
        for (int i = 0; i < call->n_started; i++)
            leave(&call->attempts[i]);
        bk_timer_disarm(&call->loop->timers, &call->next);
        not_connected(call);
    } else if (call->n_started < call->n_addrs)
        start_next(call);
    else if (call->n_failed == call->n_addrs)
        not_connected(call);
}

static const struct bk_conn_ops conn_ops = { conn_ready, conn_bytes, conn_closed, NULL };

/* Starts attempts until one is under way; the timer starts the one behind it. */
static void start_next(struct bk_http_call *call)
{
    struct bk_conn_limits limits = bk_conn_limits_default;
    limits.handshake_ms =
        call->timeout_ms / call->roads.n; /* silence of one leaves time for the next */
    while (call->n_started < call->n_addrs) {
        struct attempt *attempt = &call->attempts[call->n_started++];
        attempt->call = call;
        int r = bk_conn_open_tunnel(call->loop, &attempt->to, bk_buf_view(&call->connect),
                                    call->url.secure ? call->tls : NULL, call->host, &limits,
                                    &conn_ops, attempt, &attempt->conn);
        if (r == 0) {
            /* A password goes to one address of a proxy at a time. */
            if (call->n_started < call->n_addrs && !road(call)->login[0])
                bk_timer_arm(&call->loop->timers, &call->next,
                             bk_clock_mono_ms(&call->loop->clock) + HEAD_START_MS);
            return;
        }
        attempt->conn = NULL;
        call->n_failed++;
        call->result.conn_end =
            BK_CONN_END_UNREACHABLE; /* no such family here, no descriptor left */
        call->at_proxy = !road(call)->direct;
        call->result.peer = attempt->to;
    }
    if (call->n_failed == call->n_addrs)
        not_connected(call);
}

static void on_next(struct bk_timer *timer)
{
    start_next(bk_container_of(timer, struct bk_http_call, next));
}

/* ---- the beginning ---- */

static void connect_to(struct bk_http_call *call, const struct bk_addr *addrs, int n)
{
    call->stage = STAGE_CONNECT;
    call->n_addrs = n < ATTEMPTS_MAX ? n : ATTEMPTS_MAX;
    for (int i = 0; i < call->n_addrs; i++)
        call->attempts[i].to = addrs[i];
    start_next(call);
}

static void no_name(struct bk_http_call *call, enum bk_dns_result result, const char *detail)
{
    call->result.dns_result = result;
    call->result.how_proxy = BK_HTTP_DNS;
    road_failed(call, road(call)->direct ? BK_HTTP_DNS : BK_HTTP_PROXY, detail);
}

static void on_addrs(void *ctx, enum bk_dns_result result, const struct bk_addr *addrs, int n)
{
    struct bk_http_call *call = ctx;
    call->query = NULL;
    call->result.dns_result = result;
    if (n == 0)
        no_name(call, result, bk_dns_result_text(result));
    else
        connect_to(call, addrs, n);
}

static void find_addrs(struct bk_http_call *call, const char *host, uint16_t port)
{
    struct bk_addr literal;
    if (call->has_connect_to) {
        connect_to(call, &call->connect_to, 1);
    } else if (bk_addr_parse(host, port, &literal) == 0) {
        connect_to(call, &literal, 1);
    } else {
        call->stage = STAGE_NAME;
        call->query = call->dns ? bk_dns_host(call->dns, host, port, on_addrs, call) : NULL;
        if (!call->query)
            no_name(call, BK_DNS_UNREACHABLE, "no resolver");
    }
}

static void begin_road(struct bk_http_call *call)
{
    const struct bk_proxy *proxy = &call->roads.roads[call->n_begun++];
    for (int i = 0; i < call->n_started; i++)
        leave(&call->attempts[i]);
    bk_timer_disarm(&call->loop->timers, &call->next);
    call->n_addrs = call->n_started = call->n_failed = 0;
    call->at_proxy = false;
    call->result.tls_fault = BK_TLS_OK;
    call->result.dns_result = BK_DNS_FOUND;
    bk_proxy_text(proxy, call->result.proxy);
    wipe(&call->connect);
    if (proxy->direct) {
        find_addrs(call, call->host, call->url.port);
        return;
    }
    bool knows = bk_proxies_login_usable(call->proxies, proxy);
    int r = bk_tunnel_request(&call->connect, call->host, call->url.port,
                              bk_view_of_str(knows ? proxy->login : ""));
    if (r == 0) {
        find_addrs(call, proxy->host, proxy->port);
        return;
    }
    call->result.how_proxy = BK_HTTP_OK;
    road_failed(call, BK_HTTP_PROXY, strerror(-r));
}

static void take_roads(struct bk_http_call *call)
{
    bk_timer_arm(&call->loop->timers, &call->whole,
                 bk_clock_mono_ms(&call->loop->clock) + call->timeout_ms);
    begin_road(call);
}

static void on_roads(void *ctx, const struct bk_proxy_roads *roads)
{
    struct bk_http_call *call = ctx;
    call->roads_query = NULL;
    call->roads = *roads;
    if (roads->n)
        take_roads(call);
    else
        say(call, BK_HTTP_PROXY, call->roads.why);
}

static void begin(struct bk_http_call *call)
{
    if (!call->host) {
        say(call, BK_HTTP_BAD_URL, NULL);
        return;
    }
    if (!call->proxies || call->has_connect_to) {
        call->roads = (struct bk_proxy_roads){ .n = 1, .roads[0].direct = true };
        take_roads(call);
        return;
    }
    call->stage = STAGE_ROADS;
    call->roads_query = bk_proxies_find(call->proxies, call->host, call->url.port, on_roads, call);
    if (!call->roads_query)
        say(call, BK_HTTP_PROXY, "out of memory");
}

static void time_out_connecting(struct bk_http_call *call)
{
    const struct attempt *last = call->n_started ? &call->attempts[call->n_started - 1] : NULL;
    if (call->result.tls_fault == BK_TLS_OK)
        call->result.conn_end = BK_CONN_END_TIMEOUT;
    if (last)
        call->result.peer = last->to;
    if (last && last->conn && call->result.tls_fault == BK_TLS_OK)
        note_tunnel(call, bk_conn_tunnel(last->conn));
    call->over = true;
    not_connected(call);
}

static void on_whole(struct bk_timer *timer)
{
    struct bk_http_call *call = bk_container_of(timer, struct bk_http_call, whole);
    switch (call->stage) {
    case STAGE_START:
        begin(call);
        break;
    case STAGE_ROADS: /* who finds them has a time of his own */
        break;
    case STAGE_NAME:
        call->over = true;
        no_name(call, BK_DNS_TIMEOUT, bk_dns_result_text(BK_DNS_TIMEOUT));
        break;
    case STAGE_CONNECT:
        time_out_connecting(call);
        break;
    case STAGE_ANSWER:
        call->result.conn_end = BK_CONN_END_TIMEOUT;
        say(call, BK_HTTP_TIMEOUT, "connected, but no complete answer came in time");
        break;
    case STAGE_DONE:
        break;
    }
}

static bool is_token(const char *text)
{
    if (!*text)
        return false;
    for (; *text; text++)
        if (*text <= ' ' || *text >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", *text))
            return false;
    return true;
}

static bool is_one_line(const char *text)
{
    return !text || !strpbrk(text, "\r\n");
}

static bool is_field(const struct bk_http_call_field *field)
{
    for (size_t i = 0; i < field->value.len; i++)
        if ((unsigned char)field->value.at[i] < ' ' && field->value.at[i] != '\t')
            return false;
    return is_token(field->name);
}

static int write_request(struct bk_http_call *call, const struct bk_http_call_config *config)
{
    const char *method = config->method ? config->method : "GET";
    if (!is_token(method) || !is_one_line(config->accept) || !is_one_line(config->content_type))
        return -EINVAL;
    call->head_request = strcmp(method, "HEAD") == 0;
    struct bk_buf *to = &call->request;
    bool v6 = bk_view_find(call->url.host, ':') < call->url.host.len;
    /* Room for all of it at once: what a growing buffer leaves behind would hold a password. */
    size_t room = 512 + call->url.path.len + strlen(call->host) + config->body.len +
                  (config->accept ? strlen(config->accept) : 0) +
                  (config->content_type ? strlen(config->content_type) : 0);
    for (size_t i = 0; i < config->n_fields; i++)
        room += strlen(config->fields[i].name) + config->fields[i].value.len + 4;
    if (!bk_buf_reserve(to, room))
        return -ENOMEM;
    bk_buf_addf(to, "%s %.*s HTTP/1.1\r\n", method, BK_VIEW_ARGS(call->url.path));
    bk_buf_addf(to, v6 ? "Host: [%s]" : "Host: %s", call->host);
    if (call->url.port != (call->url.secure ? 443 : 80))
        bk_buf_addf(to, ":%u", call->url.port);
    bk_buf_add_lit(to, "\r\nUser-Agent: Beckon/" BK_VERSION "\r\nConnection: close\r\n");
    if (config->accept)
        bk_buf_addf(to, "Accept: %s\r\n", config->accept);
    if (config->content_type)
        bk_buf_addf(to, "Content-Type: %s\r\n", config->content_type);
    for (size_t i = 0; i < config->n_fields; i++) {
        if (!is_field(&config->fields[i]))
            return -EINVAL;
        bk_buf_addf(to, "%s: ", config->fields[i].name);
        bk_buf_add_view(to, config->fields[i].value);
        bk_buf_add_lit(to, "\r\n");
    }
    bool has_body = config->body.len || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0;
    if (has_body)
        bk_buf_addf(to, "Content-Length: %zu\r\n", config->body.len);
    bk_buf_add_lit(to, "\r\n");
    bk_buf_add_view(to, config->body);
    return to->failed ? -ENOMEM : 0;
}

int bk_http_call(struct bk_loop *loop, const struct bk_http_call_config *config,
                 void (*done)(void *ctx, const struct bk_http_result *result), void *ctx,
                 struct bk_http_call **ret)
{
    struct bk_http_call *call = calloc(1, sizeof *call);
    if (!call)
        return -ENOMEM;
    call->loop = loop;
    call->tls = bk_tls_client_ref(config->tls);
    call->dns = config->dns;
    call->proxies = config->proxies;
    call->timeout_ms = config->timeout_ms > 0 ? config->timeout_ms : TIMEOUT_MS;
    call->done = done;
    call->ctx = ctx;
    if (config->connect_to) {
        call->has_connect_to = true;
        call->connect_to = *config->connect_to;
    }
    call->body.max = ANSWER_MAX;
    bk_timer_init(&call->whole, on_whole);
    bk_timer_init(&call->next, on_next);
    http_parser_init(&call->parser, HTTP_RESPONSE);
    call->parser.data = call;

    int r = 0;
    call->url_text = config->url ? strdup(config->url) : NULL;
    if (!call->url_text)
        r = -ENOMEM;
    bool good = r == 0 && bk_url_parse(bk_view_of_str(call->url_text), &call->url) == 0 &&
                (call->url.secure ? call->tls != NULL : config->allow_clear);
    if (good) {
        call->host = bk_view_dup(call->url.host);
        r = call->host ? write_request(call, config) : -ENOMEM;
    }
    if (r < 0) {
        call_free(call);
        return r;
    }
    /* Begins with the next turn of the loop, so that done() never comes from within this call. */
    bk_timer_arm(&loop->timers, &call->whole, 0);
    *ret = call;
    return 0;
}
