/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request at a time per connection: while it is unanswered, what is pipelined behind it waits.
 * All parts of a request are gathered in one buffer, as offsets while it still grows and as views
 * once it is complete.
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "net/http.h"
#include "net/loop_private.h"

#include <errno.h>
#include <http_parser.h>
#include <stdlib.h>

enum {
    WHOLE_REQUEST_MS = 10000,
    IDLE_MS = 30000,
    LINGER_MS = 5000,
    PIPED_MAX = 64 * 1024, /* kept behind an unanswered request; then the connection is not read */
};

struct bk_http_server {
    struct bk_loop *loop;
    struct bk_http_server_config config;
    struct bk_list conns;
};

struct span {
    size_t at, len;
};

struct bk_http_exchange {
    struct http_conn *conn;
    struct bk_buf text; /* target, fields, body */
    struct span target, body;
    struct {
        struct span name, value;
    } spans[BK_HTTP_FIELDS_MAX];
    int n_fields;
    bool in_value;  /* the last piece was of a value: a name that comes begins a new field */
    bool head_done; /* fields that still come are trailers: dropped */
    bool complete;
    bool head_request; /* HEAD: no body in the answer */
    bool keep_alive;
    int refused; /* the status to refuse it with; 0: it is fine */
    size_t head_bytes;
    struct bk_http_request request;
    struct bk_buf answer_fields;
    void (*gone)(void *owner);
    void *owner;
};

struct http_conn {
    struct bk_list in;
    struct bk_http_server *server; /* NULL: gone before us */
    struct bk_loop *loop;
    struct bk_conn *conn;
    http_parser parser;
    struct bk_http_exchange *x; /* NULL between requests */
    bool handling;              /* x is complete and the handler's */
    bool in_handle;             /* the handler is running */
    bool closing;
    bool feeding; /* feed() is on the stack */
    struct bk_buf piped;
    struct bk_timer timer;
    struct bk_loop_hook again; /* in the loop's list while piped bytes are to be read */
};

static void feed(struct http_conn *h, struct bk_view bytes);

/* ---- what the parser says ---- */

static int refuse(struct bk_http_exchange *x, int status)
{
    if (!x->refused)
        x->refused = status;
    return -1; /* stops the parser */
}

/* Appends a piece to the part of the request that is being read. */
static int grow(struct bk_http_exchange *x, struct span *span, const char *at, size_t len)
{
    if (span->len == 0)
        span->at = x->text.len;
    bk_buf_add(&x->text, at, len);
    if (x->text.failed)
        return refuse(x, 500);
    span->len += len;
    return 0;
}

static int grow_head(struct bk_http_exchange *x, struct span *span, const char *at, size_t len,
                     int too_large)
{
    x->head_bytes += len;
    return x->head_bytes > BK_HTTP_HEAD_MAX ? refuse(x, too_large) : grow(x, span, at, len);
}

static struct bk_http_exchange *exchange_of(http_parser *parser)
{
    return ((struct http_conn *)parser->data)->x;
}

static int on_url(http_parser *parser, const char *at, size_t len)
{
    struct bk_http_exchange *x = exchange_of(parser);
    return grow_head(x, &x->target, at, len, 414);
}

static int on_field(http_parser *parser, const char *at, size_t len)
{
    struct bk_http_exchange *x = exchange_of(parser);
    if (x->head_done)
        return 0;
    if (x->in_value || x->n_fields == 0) {
        if (x->n_fields == BK_HTTP_FIELDS_MAX)
            return refuse(x, 431);
        x->n_fields++;
        x->in_value = false;
    }
    return grow_head(x, &x->spans[x->n_fields - 1].name, at, len, 431);
}

static int on_value(http_parser *parser, const char *at, size_t len)
{
    struct bk_http_exchange *x = exchange_of(parser);
    if (x->head_done)
        return 0;
    x->in_value = true;
    return grow_head(x, &x->spans[x->n_fields - 1].value, at, len, 431);
}

static struct bk_view view_of(const struct bk_http_exchange *x, struct span span)
{
    return (struct bk_view){ x->text.at + span.at, span.len };
}

/* The fields of that name; *ret_value is the last one's. */
static int find_field(const struct bk_http_exchange *x, struct bk_view name,
                      struct bk_view *ret_value)
{
    int n = 0;
    for (int i = 0; i < x->n_fields; i++)
        if (bk_view_equal_nocase(view_of(x, x->spans[i].name), name)) {
            *ret_value = bk_view_trim(view_of(x, x->spans[i].value));
            n++;
        }
    return n;
}

static int on_head(http_parser *parser)
{
    struct http_conn *h = parser->data;
    struct bk_http_exchange *x = h->x;
    x->head_done = true;
    parser->upgrade = 0; /* an Upgrade is an offer that we do not take (RFC 9110 7.8) */
    if (parser->http_major != 1)
        return refuse(x, 505);
    if (parser->method == HTTP_CONNECT)
        return refuse(x, 501);
    struct bk_view v = { 0 };
    int hosts = find_field(x, BK_VIEW("Host"), &v);
    if (hosts > 1 || (hosts == 0 && parser->http_minor >= 1))
        return refuse(x, 400); /* RFC 9112 3.2 */
    bool has_length = parser->content_length != UINT64_MAX && !(parser->flags & F_CHUNKED);
    if (has_length && parser->content_length > h->server->config.body_max)
        return refuse(x, 413);
    bool body_comes = (parser->flags & F_CHUNKED) || (has_length && parser->content_length > 0);
    if (body_comes && find_field(x, BK_VIEW("Expect"), &v) &&
        bk_view_equal_nocase(v, BK_VIEW("100-continue")))
        bk_conn_send(h->conn, BK_VIEW("HTTP/1.1 100 Continue\r\n\r\n"), false);
    return 0;
}

static int on_body(http_parser *parser, const char *at, size_t len)
{
    struct http_conn *h = parser->data;
    if (h->x->body.len + len > h->server->config.body_max)
        return refuse(h->x, 413);
    return grow(h->x, &h->x->body, at, len);
}

static int on_complete(http_parser *parser)
{
    struct bk_http_exchange *x = exchange_of(parser);
    x->complete = true;
    x->keep_alive = http_should_keep_alive(parser);
    x->head_request = parser->method == HTTP_HEAD;
    http_parser_pause(parser, 1); /* the next one only after this one's answer */
    return 0;
}

static const http_parser_settings settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

/* ---- the request as its handler sees it ---- */

/* RFC 9112 3.2: origin-form, absolute-form, and * for OPTIONS. */
static int read_target(struct bk_http_exchange *x, unsigned method)
{
    struct bk_http_request *q = &x->request;
    struct bk_view target = view_of(x, x->target);
    find_field(x, BK_VIEW("Host"), &q->host);
    if (bk_view_equal(target, BK_VIEW("*")) && method == HTTP_OPTIONS) {
        q->path = target;
        return 0;
    }
    if (target.len && target.at[0] != '/') {
        struct bk_url url;
        if (bk_url_parse(target, &url) < 0)
            return -EINVAL;
        q->host = url.host;
        target = url.path;
    }
    target = bk_view_head(target, bk_view_find(target, '#'));
    q->path = bk_view_head(target, bk_view_find(target, '?'));
    q->query = bk_view_skip(target, q->path.len + 1);
    return q->path.len ? 0 : -EINVAL;
}

static int make_request(struct bk_http_exchange *x, unsigned method)
{
    struct bk_http_request *q = &x->request;
    q->method = bk_view_of_str(http_method_str((enum http_method)method));
    q->body = view_of(x, x->body);
    q->n_fields = x->n_fields;
    for (int i = 0; i < x->n_fields; i++) {
        q->fields[i].name = view_of(x, x->spans[i].name);
        q->fields[i].value = bk_view_trim(view_of(x, x->spans[i].value));
    }
    return read_target(x, method);
}

struct bk_view bk_http_field(const struct bk_http_request *request, struct bk_view name)
{
    for (int i = 0; i < request->n_fields; i++)
        if (bk_view_equal_nocase(request->fields[i].name, name))
            return request->fields[i].value;
    return (struct bk_view){ 0 };
}

/* ---- one connection ---- */

static void set_deadline(struct http_conn *h, int ms)
{
    bk_timer_arm(&h->loop->timers, &h->timer, bk_clock_mono_ms(&h->loop->clock) + ms);
}

static struct bk_http_exchange *exchange_free(struct bk_http_exchange *x)
{
    if (!x)
        return NULL;
    bk_buf_finish(&x->text);
    bk_buf_finish(&x->answer_fields);
    free(x);
    return NULL;
}

static void end(struct http_conn *h)
{
    h->closing = true;
    bk_timer_disarm(&h->loop->timers, &h->timer);
    bk_conn_close(h->conn, LINGER_MS);
}

static const struct {
    int status;
    const char *text;
} reasons[] = {
    { 200, "OK" },
    { 201, "Created" },
    { 202, "Accepted" },
    { 204, "No Content" },
    { 301, "Moved Permanently" },
    { 302, "Found" },
    { 303, "See Other" },
    { 304, "Not Modified" },
    { 307, "Temporary Redirect" },
    { 308, "Permanent Redirect" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 406, "Not Acceptable" },
    { 408, "Request Timeout" },
    { 409, "Conflict" },
    { 410, "Gone" },
    { 411, "Length Required" },
    { 412, "Precondition Failed" },
    { 413, "Content Too Large" },
    { 414, "URI Too Long" },
    { 415, "Unsupported Media Type" },
    { 422, "Unprocessable Content" },
    { 426, "Upgrade Required" },
    { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" },
    { 500, "Internal Server Error" },
    { 501, "Not Implemented" },
    { 502, "Bad Gateway" },
    { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" },
    { 505, "HTTP Version Not Supported" },
};

static const char *reason_of(int status)
{
    for (size_t i = 0; i < BK_COUNT_OF(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Unknown";
}

static void send_answer(struct http_conn *h, int status, const char *content_type,
                        struct bk_view body)
{
    struct bk_http_exchange *x = h->x;
    const struct bk_clock *clock = h->server ? h->server->config.clock : NULL;
    char date[32];
    bk_time_http(bk_clock_real_ms(clock ? clock : &h->loop->clock), date);

    BK_AUTO_BUF struct bk_buf out = { 0 };
    bool bodiless = status == 204 || status == 304 || status < 200; /* RFC 9110 8.6 */
    bk_buf_addf(&out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, reason_of(status), date);
    if (content_type && !bodiless)
        bk_buf_addf(&out, "Content-Type: %s\r\n", content_type);
    if (!bodiless)
        bk_buf_addf(&out, "Content-Length: %zu\r\n", body.len);
    if (!x->keep_alive)
        bk_buf_add_lit(&out, "Connection: close\r\n");
    else if (h->parser.http_minor == 0)
        bk_buf_add_lit(&out, "Connection: keep-alive\r\n");
    bk_buf_add_view(&out, bk_buf_view(&x->answer_fields));
    bk_buf_add_lit(&out, "\r\n");
    if (!bodiless && !x->head_request)
        bk_buf_add_view(&out, body);
    if (out.failed || x->answer_fields.failed ||
        bk_conn_send(h->conn, bk_buf_view(&out), false) < 0)
        x->keep_alive = false;
}

/* A request that never reaches its handler; nothing behind it can be trusted to be one. */
static void refuse_request(struct http_conn *h, int status)
{
    h->x->keep_alive = false;
    send_answer(h, status, "text/plain; charset=utf-8", bk_view_of_str(reason_of(status)));
    h->x = exchange_free(h->x);
    end(h);
}

static bool begin_request(struct http_conn *h)
{
    h->x = calloc(1, sizeof *h->x);
    if (!h->x) {
        end(h);
        return false;
    }
    h->x->conn = h;
    h->x->text.max = BK_HTTP_HEAD_MAX + h->server->config.body_max;
    set_deadline(h, h->server->config.whole_request_ms);
    return true;
}

static int status_of_parser(const http_parser *parser)
{
    switch (HTTP_PARSER_ERRNO(parser)) {
    case HPE_INVALID_METHOD:
        return 501;
    case HPE_INVALID_VERSION:
        return 505;
    case HPE_HEADER_OVERFLOW:
        return 431;
    default:
        return 400;
    }
}

static void hand_over(struct http_conn *h)
{
    struct bk_http_exchange *x = h->x;
    if (make_request(x, h->parser.method) < 0) {
        refuse_request(h, 400);
        return;
    }
    bk_timer_disarm(&h->loop->timers, &h->timer);
    bk_conn_calm(h->conn);
    http_parser_pause(&h->parser, 0);
    h->handling = true;
    h->in_handle = true;
    h->server->config.handle(h->server->config.ctx, x, &x->request);
    h->in_handle = false;
}

/* Reads requests until one waits for its answer or the bytes end. */
static void feed(struct http_conn *h, struct bk_view bytes)
{
    h->feeding = true;
    while (bytes.len && !h->closing && !h->handling) {
        if (!h->server) {
            end(h);
            break;
        }
        if (!h->x && !begin_request(h))
            break;
        size_t n = http_parser_execute(&h->parser, &settings, bytes.at, bytes.len);
        bytes = bk_view_skip(bytes, n);
        if (h->x->refused)
            refuse_request(h, h->x->refused);
        else if (h->x->complete)
            hand_over(h);
        else if (HTTP_PARSER_ERRNO(&h->parser) != HPE_OK)
            refuse_request(h, status_of_parser(&h->parser));
    }
    h->feeding = false;
    if (bytes.len && h->handling)
        bk_buf_add_view(&h->piped, bytes);
    if (h->piped.failed)
        end(h);
}

static void feed_piped(struct bk_loop_hook *hook)
{
    struct http_conn *h = bk_container_of(hook, struct http_conn, again);
    bk_list_remove(&hook->in);
    if (h->handling || h->closing)
        return;
    struct bk_buf piped = h->piped;
    h->piped = (struct bk_buf){ 0 };
    feed(h, bk_buf_view(&piped));
    bk_buf_finish(&piped);
    if (h->piped.len < PIPED_MAX)
        bk_conn_pause(h->conn, false);
}

static void conn_ready(struct bk_conn *conn, void *ctx)
{
    (void)conn;
    (void)ctx;
}

static size_t conn_bytes(struct bk_conn *conn, void *ctx, struct bk_view bytes)
{
    struct http_conn *h = ctx;
    if (h->closing)
        return bytes.len;
    if (!h->handling && h->piped.len == 0) {
        feed(h, bytes);
        return bytes.len;
    }
    bk_buf_add_view(&h->piped, bytes);
    if (h->piped.failed)
        end(h);
    else if (h->piped.len >= PIPED_MAX)
        bk_conn_pause(conn, true);
    return bytes.len;
}

static void conn_closed(struct bk_conn *conn, void *ctx, enum bk_conn_end why)
{
    (void)conn;
    (void)why;
    struct http_conn *h = ctx;
    if (h->x && h->handling && h->x->gone)
        h->x->gone(h->x->owner);
    bk_timer_disarm(&h->loop->timers, &h->timer);
    bk_list_remove(&h->again.in);
    bk_list_remove(&h->in);
    exchange_free(h->x);
    bk_buf_finish(&h->piped);
    free(h);
}

static const struct bk_conn_ops conn_ops = { conn_ready, conn_bytes, conn_closed, NULL };

/* A request took too long, or none came: 408 tells the first what happened (RFC 9110 15.5.9). */
static void on_deadline(struct bk_timer *timer)
{
    struct http_conn *h = bk_container_of(timer, struct http_conn, timer);
    if (h->x)
        refuse_request(h, 408);
    else
        end(h);
}

/* ---- answers ---- */

struct bk_conn *bk_http_conn(struct bk_http_exchange *x)
{
    return x->conn->conn;
}

void bk_http_set_owner(struct bk_http_exchange *x, void (*gone)(void *owner), void *owner)
{
    x->gone = gone;
    x->owner = owner;
}

static bool has_line_end(struct bk_view v)
{
    return bk_view_find(v, '\r') < v.len || bk_view_find(v, '\n') < v.len;
}

void bk_http_answer_field(struct bk_http_exchange *x, const char *name, struct bk_view value)
{
    if (has_line_end(value))
        return;
    struct bk_buf *to = &x->answer_fields;
    bk_buf_add_str(to, name);
    bk_buf_add_lit(to, ": ");
    bk_buf_add_view(to, value);
    bk_buf_add_lit(to, "\r\n");
}

void bk_http_answer_last(struct bk_http_exchange *x)
{
    x->keep_alive = false;
}

void bk_http_answer(struct bk_http_exchange *x, int status, const char *content_type,
                    struct bk_view body)
{
    struct http_conn *h = x->conn;
    send_answer(h, status, content_type, body);
    bool keep_alive = x->keep_alive && h->server;
    h->x = exchange_free(x);
    h->handling = false;
    if (!keep_alive) {
        end(h);
        return;
    }
    set_deadline(h, h->server->config.idle_ms);
    if (!h->feeding && h->piped.len && bk_list_empty(&h->again.in)) {
        bk_loop_hook_add(h->loop, &h->again);
        h->loop->no_sleep = true;
    }
}

/* ---- the server ---- */

struct bk_http_server *bk_http_server_create(struct bk_loop *loop,
                                             const struct bk_http_server_config *config)
{
    struct bk_http_server *server = calloc(1, sizeof *server);
    if (!server)
        return NULL;
    server->loop = loop;
    server->config = *config;
    if (server->config.whole_request_ms <= 0)
        server->config.whole_request_ms = WHOLE_REQUEST_MS;
    if (server->config.idle_ms <= 0)
        server->config.idle_ms = IDLE_MS;
    if (server->config.body_max == 0)
        server->config.body_max = BK_HTTP_BODY_MAX;
    bk_list_init(&server->conns);
    return server;
}

struct bk_http_server *bk_http_server_destroy(struct bk_http_server *server)
{
    if (!server)
        return NULL;
    while (!bk_list_empty(&server->conns)) {
        struct http_conn *h = bk_container_of(server->conns.next, struct http_conn, in);
        bk_list_remove(&h->in);
        h->server = NULL;
        if (!h->handling)
            end(h); /* else behind the answer */
    }
    free(server);
    return NULL;
}

int bk_http_server_adopt(struct bk_http_server *server, struct bk_conn *conn)
{
    struct http_conn *h = calloc(1, sizeof *h);
    if (!h)
        return -ENOMEM;
    h->server = server;
    h->loop = server->loop;
    h->conn = conn;
    http_parser_init(&h->parser, HTTP_REQUEST);
    h->parser.data = h;
    bk_timer_init(&h->timer, on_deadline);
    bk_list_init(&h->again.in);
    h->again.run = feed_piped;
    bk_list_append(&server->conns, &h->in);
    set_deadline(h, server->config.idle_ms);
    bk_conn_set_ops(conn, &conn_ops, h);
    return 0;
}
