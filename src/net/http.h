/* SPDX-License-Identifier: Apache-2.0 */
/* net/http.h - HTTP/1.1 on bk_conn: a server that shares its port with SIP, and a client (libhttp-parser reads). */
#ifndef BK_NET_HTTP_H
#define BK_NET_HTTP_H

#include "base/arena.h"
#include "net/conn.h"
#include "net/dns.h"
#include "net/proxy.h"
#include "net/tunnel.h"

enum { BK_HTTP_BODY_MAX = 256 * 1024, BK_HTTP_HEAD_MAX = 16 * 1024, BK_HTTP_FIELDS_MAX = 64 };

/* ---- server ---- */
struct bk_http_server;
struct
    bk_http_exchange; /* one request and its answer; lives until answered or its connection died */

struct bk_http_request {
    struct bk_view method, path, query; /* path: undecoded, without the query */
    struct bk_view host;
    struct bk_view body;
    int n_fields;
    struct {
        struct bk_view name, value;
    } fields[BK_HTTP_FIELDS_MAX];
};
struct bk_view bk_http_field(const struct bk_http_request *request,
                             struct bk_view name); /* empty: none */

/*
 * handle() gets each complete request, on the loop's thread; it answers now or later with bk_http_answer. The request's views live until the answer.
 * gone() (may be NULL): the connection died before the answer; the exchange is dead after it.
 */
struct bk_http_server_config {
    void (*handle)(void *ctx, struct bk_http_exchange *x, const struct bk_http_request *request);
    void *ctx;
    int whole_request_ms;         /* 10 s from its first byte */
    int idle_ms;                  /* keep-alive between requests, 30 s */
    size_t body_max;              /* 413 above */
    const struct bk_clock *clock; /* for Date */
};
struct bk_http_server *bk_http_server_create(struct bk_loop *loop,
                                             const struct bk_http_server_config *config);
struct bk_http_server *bk_http_server_destroy(struct bk_http_server *server);
/* Takes an accepted connection over from whoever sniffed its protocol; bytes already there come through bk_conn_ops.bytes as usual. */
int bk_http_server_adopt(struct bk_http_server *server, struct bk_conn *conn);

struct bk_conn *bk_http_conn(struct bk_http_exchange *x);
void bk_http_set_owner(struct bk_http_exchange *x, void (*gone)(void *owner), void *owner);
/* Adds a field to the coming answer. CR and LF in value drop the field. */
void bk_http_answer_field(struct bk_http_exchange *x, const char *name, struct bk_view value);
void bk_http_answer(struct bk_http_exchange *x, int status, const char *content_type,
                    struct bk_view body);
/* Close the connection behind the answer. */
void bk_http_answer_last(struct bk_http_exchange *x);

/* ---- client ---- */
struct bk_http_call;
enum bk_http_failure {
    BK_HTTP_OK,
    BK_HTTP_BAD_URL,
    BK_HTTP_DNS,     /* see dns_result */
    BK_HTTP_CONNECT, /* see conn_end of the last address tried */
    BK_HTTP_TLS,     /* see tls_fault */
    BK_HTTP_TIMEOUT,
    BK_HTTP_PROTOCOL, /* the answer is no HTTP, or larger than the limit */
    BK_HTTP_PROXY, /* no way through a proxy: see proxy, tunnel, and how_proxy for which of all these it was */
};
struct bk_http_result {
    enum bk_http_failure failure;
    enum bk_dns_result dns_result;
    enum bk_conn_end conn_end;
    enum bk_tls_fault tls_fault;
    const char *detail;            /* static or alive during the callback; may be NULL */
    struct bk_addr peer;           /* the address that answered or failed last */
    char proxy[BK_PROXY_TEXT_MAX]; /* "proxy.test:3128", gone through or failed at; "": none */
    /* BK_HTTP_PROXY: DNS (of its name), CONNECT (see conn_end), PROXY (see tunnel); OK: none could be found out (see detail). */
    enum bk_http_failure how_proxy;
    struct bk_tunnel_answer tunnel;
    int status;
    struct bk_view body;
    struct bk_view content_type, location, date, diagnostics, retry_after; /* empty: none */
    struct bk_view challenges; /* all of WWW-Authenticate, as one list */
};
struct bk_http_call_field {
    const char *name;
    struct bk_view value; /* may hold what a secret is: it is wiped with the request */
};
struct bk_http_call_config {
    const char *method;
    const char *url; /* https://host[:port]/path?query ; http:// is refused unless allow_clear */
    bool allow_clear;
    struct bk_tls_client *tls;
    struct bk_dns *dns;
    struct bk_proxies *proxies; /* NULL: directly */
    const struct bk_addr
        *connect_to; /* ask nobody: connect there, still check the URL's host name */
    const char *accept, *content_type;
    const struct bk_http_call_field *fields; /* further ones, copied */
    size_t n_fields;
    struct bk_view body; /* copied */
    int timeout_ms;      /* for the whole, default 10 s; finding out the proxies comes before */
};
/* Redirects are not followed: the caller decides. Tries the next address when one fails to connect (250 ms head start, RFC 8305). */
/* -EINVAL: method or fields that cannot be sent (control bytes in one); a bad URL is told by done(), which never comes from within this call. */
int bk_http_call(struct bk_loop *loop, const struct bk_http_call_config *config,
                 void (*done)(void *ctx, const struct bk_http_result *result), void *ctx,
                 struct bk_http_call **ret);
void bk_http_call_cancel(struct bk_http_call *call);

/*
 * Splits https://host[:port]/path?query#fragment (the fragment goes). -EINVAL: another scheme, user
 * names, blanks and control bytes, a query without a path.
 */
struct bk_url {
    bool secure;
    struct bk_view host; /* IPv6 without brackets */
    uint16_t port;       /* filled with the default */
    struct bk_view path; /* with query; "/" where missing */
};
int bk_url_parse(struct bk_view text, struct bk_url *ret);

#endif
