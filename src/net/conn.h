/* SPDX-License-Identifier: Apache-2.0 */
/* net/conn.h - stream connections: accepted or opened, TCP or TLS, with limits, life signs and gathered writes. */
#ifndef BK_NET_CONN_H
#define BK_NET_CONN_H

#include "net/loop.h"
#include "net/tls.h"

#include <netinet/in.h>
#include <sys/socket.h>

struct bk_conn;
struct bk_tunnel_answer; /* net/tunnel.h */

/* Of a socket: 32 bytes, because each idle connection keeps one. Text forms are made when asked for. */
struct bk_addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t len;
};
void bk_addr_text(const struct bk_addr *a, char ret[64]); /* "127.0.0.1:5061", "[::1]:5061" */
void bk_addr_host_text(const struct bk_addr *a,
                       char ret[64]); /* without port and brackets; v4-mapped as v4 */
uint16_t bk_addr_port(const struct bk_addr *a);
int bk_addr_parse(const char *host_literal, uint16_t port,
                  struct bk_addr *ret); /* numeric only; -EINVAL */
/* Same /24 (IPv4) or /64 (IPv6): the key for limits per network. */
uint64_t bk_addr_net_key(const struct bk_addr *a);
bool bk_addr_is_loopback(const struct bk_addr *a);
bool bk_addr_is_private(const struct bk_addr *a); /* loopback, RFC 1918, link-local, fc00::/7 */

enum bk_conn_end {
    BK_CONN_END_PEER,    /* closed in order */
    BK_CONN_END_RESET,   /* reset, or life signs ran out (keep-alive, TCP_USER_TIMEOUT) */
    BK_CONN_END_REFUSED, /* outgoing: nobody listens */
    BK_CONN_END_UNREACHABLE,
    BK_CONN_END_TIMEOUT,  /* outgoing: no answer; or a deadline below passed */
    BK_CONN_END_TLS,      /* handshake or record failure, bk_conn_tls_fault says which */
    BK_CONN_END_OVERFLOW, /* the out-queue passed its limit */
    BK_CONN_END_LOCAL,    /* bk_conn_close */
    BK_CONN_END_PROXY,    /* the proxy was reached and gave no tunnel, bk_conn_tunnel says why */
};

/* Called on the loop's thread. closed() is the last call, exactly once, after it the pointer is dead. */
struct bk_conn_ops {
    /* TCP stands and TLS is done. */
    void (*ready)(struct bk_conn *conn, void *ctx);
    /*
     * Bytes arrived; the answer is how many were used. The rest is shown again with more behind it.
     * The bytes lie in a buffer shared by all connections of the thread: nothing may point at them afterwards.
     */
    size_t (*bytes)(struct bk_conn *conn, void *ctx, struct bk_view bytes);
    void (*closed)(struct bk_conn *conn, void *ctx, enum bk_conn_end why);
    /* The out-queue went below a quarter of its limit after bk_conn_send said -EAGAIN. May be NULL. */
    void (*drained)(struct bk_conn *conn, void *ctx);
};

struct bk_conn_limits { /* docs/limits.md, "Connections"; 0: none */
    int handshake_ms;   /* TCP, a proxy's answer and TLS together */
    int first_ms;       /* until the owner calls bk_conn_calm: the first complete request */
    int torn_ms;        /* bytes were left unused for so long: an unfinished message */
    size_t in_max;   /* unused bytes kept; more closes (owners check message sizes before this) */
    size_t out_soft; /* bk_conn_send of droppable bytes (presence) refuses above */
    size_t out_max;  /* above: END_OVERFLOW */
    size_t handshake_in_max; /* bytes before the handshake is done */
};
extern const struct bk_conn_limits bk_conn_limits_default;

/*
 * Takes the accepted fd over (on failure it stays the caller's). tls NULL: plain TCP. Tries the
 * handshake at once, so ready() and bytes() may come before this returns. ctx and ops may be
 * changed at any time; the new ops are shown what lies unused.
 */
int bk_conn_accept(struct bk_loop *loop, int fd, const struct bk_addr *peer,
                   struct bk_tls_server *tls, const struct bk_conn_limits *limits,
                   const struct bk_conn_ops *ops, void *ctx, struct bk_conn **ret);
/* Opens. The name is checked against the certificate (tls not NULL). Failure to even begin: -errno; everything later through closed(). */
int bk_conn_open(struct bk_loop *loop, const struct bk_addr *to, struct bk_tls_client *tls,
                 const char *name, const struct bk_conn_limits *limits,
                 const struct bk_conn_ops *ops, void *ctx, struct bk_conn **ret);

/*
 * The same through an HTTP proxy at `to`, asked with `request` (bk_tunnel_request; copied, wiped when it was answered). TLS is with
 * the server behind it, whose certificate carries name.
 */
int bk_conn_open_tunnel(struct bk_loop *loop, const struct bk_addr *to, struct bk_view request,
                        struct bk_tls_client *tls, const char *name,
                        const struct bk_conn_limits *limits, const struct bk_conn_ops *ops,
                        void *ctx, struct bk_conn **ret);
/* What a proxy answered so far; NULL: there is none, or the tunnel stands. Within closed(): the proxy it is that failed. */
const struct bk_tunnel_answer *bk_conn_tunnel(const struct bk_conn *conn);

void bk_conn_set_ops(struct bk_conn *conn, const struct bk_conn_ops *ops, void *ctx);
void *bk_conn_ctx(const struct bk_conn *conn);

/*
 * Gathers bytes; they are written once per wake-up of the loop. 0; -EAGAIN: above out_soft and
 * droppable, nothing was taken; -EPIPE: closing. May be called from within bytes().
 */
int bk_conn_send(struct bk_conn *conn, struct bk_view bytes, bool droppable);
/* Writes what is left for at most linger_ms, says close_notify, closes. closed() comes later from the loop. Idempotent. */
void bk_conn_close(struct bk_conn *conn, int linger_ms);
/* Reading stops and goes on (rate limits: nothing is refused or lost). */
void bk_conn_pause(struct bk_conn *conn, bool pause);
/* A first good request came: the first_ms deadline is off. */
void bk_conn_calm(struct bk_conn *conn);
/* Kernel life signs: SO_KEEPALIVE 30/10/3 and TCP_USER_TIMEOUT 45 s. Set for every connection at its start; here to change them in tests. */
void bk_conn_life_signs(struct bk_conn *conn, int idle_s, int interval_s, int count,
                        int user_timeout_ms);

const struct bk_addr *bk_conn_peer(const struct bk_conn *conn);
const struct bk_addr *bk_conn_local(const struct bk_conn *conn);
bool bk_conn_is_tls(const struct bk_conn *conn);
struct bk_tls *bk_conn_tls(struct bk_conn *conn);       /* NULL on plain TCP */
int64_t bk_conn_last_in_ms(const struct bk_conn *conn); /* mono: when the last byte came */
int64_t bk_conn_opened_ms(const struct bk_conn *conn);
size_t bk_conn_out_queued(const struct bk_conn *conn);
enum bk_tls_fault bk_conn_tls_fault(const struct bk_conn *conn);
const char *bk_conn_fault_detail(const struct bk_conn *conn);

/* What the first bytes, or ALPN, say. MORE: fewer than needed to tell. */
enum bk_conn_protocol {
    BK_PROTOCOL_MORE,
    BK_PROTOCOL_SIP,
    BK_PROTOCOL_HTTP,
    BK_PROTOCOL_UNKNOWN,
};
enum bk_conn_protocol bk_conn_sniff(struct bk_view alpn, struct bk_view first);

/* ---- listeners ---- */
struct bk_listener;
struct bk_listen_config {
    const struct bk_addr *at;  /* port 0: the kernel picks one */
    struct bk_tls_server *tls; /* own reference is taken; NULL: plain TCP */
    struct bk_conn_limits limits;
    int per_ip_strangers_max, per_ip_total_max, per_ip_new_per_s; /* not of own networks */
    int own_strangers_max, own_new_per_s; /* loopback, private, or as own_network says */
    bool (*own_network)(void *ctx, const struct bk_addr *peer); /* NULL: bk_addr_is_private */
    bool (*admit)(void *ctx); /* NULL, or false: memory is short, accept nothing now */
    const struct bk_conn_ops *ops;
    void *(*accepted)(
        void *ctx,
        struct bk_conn *conn); /* gives the ctx for this connection's ops, NULL: close it */
    void *ctx;
};
int bk_listen(struct bk_loop *loop, const struct bk_listen_config *config,
              struct bk_listener **ret);
struct bk_listener *
bk_listener_destroy(struct bk_listener *listener); /* stops listening; its connections live on */
uint16_t bk_listener_port(const struct bk_listener *listener);
/* New connections get this one from now on. */
void bk_listener_set_tls(struct bk_listener *listener, struct bk_tls_server *tls);
/* Counts of refusals by cause, for metrics. Out of file descriptors: accepting pauses 100 ms and is counted. */
struct bk_listener_stats {
    uint64_t accepted, refused_per_ip, refused_rate, refused_admit, no_fds;
    size_t open;
};
void bk_listener_stats(const struct bk_listener *listener, struct bk_listener_stats *ret);
/* This connection proved who it is: it no longer counts as a stranger of its address. */
void bk_listener_known(struct bk_conn *conn);

/* ---- datagrams ---- */
struct bk_udp;
int bk_udp_open(struct bk_loop *loop, const struct bk_addr *at,
                void (*datagram)(void *ctx, const struct bk_addr *from, struct bk_view bytes),
                void *ctx, struct bk_udp **ret);
void bk_udp_send(struct bk_udp *udp, const struct bk_addr *to,
                 struct bk_view bytes); /* gathered, sent with sendmmsg per wake-up */
uint16_t bk_udp_port(const struct bk_udp *udp);
struct bk_udp *bk_udp_close(struct bk_udp *udp);

#endif
