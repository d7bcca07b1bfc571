/* SPDX-License-Identifier: Apache-2.0 */
/* net/conn_private.h - a connection from inside, for listen.c and the tests. */
#ifndef BK_NET_CONN_PRIVATE_H
#define BK_NET_CONN_PRIVATE_H

#include "base/buf.h"
#include "net/conn.h"
#include "net/tunnel_private.h"

#include <event2/event.h>
#include <event2/event_struct.h>

/* What listen.c remembers of an address; it takes the place back when the connection is gone. */
struct bk_listener_ip;
void bk_listener_ip_leave(struct bk_listener_ip *ip, bool stranger);
void bk_listener_ip_known(struct bk_listener_ip *ip);

enum bk_conn_state {
    BK_CONN_CONNECTING,
    BK_CONN_TUNNELLING, /* a proxy was asked for the way on */
    BK_CONN_SHAKING,
    BK_CONN_OPEN,
    BK_CONN_CLOSING, /* bk_conn_close: what is queued still goes out */
    BK_CONN_DRAINED, /* all is written and our side is shut; the peer's end is awaited */
    BK_CONN_DEAD,    /* only closed() is left */
};

/* Of a connection that is not through its proxy yet. */
struct bk_conn_tunnel {
    struct bk_tunnel_answer answer;
    struct bk_tunnel_reader reader;
    struct bk_buf request; /* wiped: it may hold a password */
};

/* What a connection needs while something is going on; an idle one has none. */
struct bk_conn_busy {
    union {
        struct bk_conn *conn;
        struct bk_conn_busy *next_free;
    };
    struct bk_timer timer;
    struct bk_buf in, out;
    size_t out_at;                 /* bytes of out that are written */
    struct bk_conn_tunnel *tunnel; /* NULL: none, or it stands */
    /* Deadlines on the monotonic clock; 0: none. */
    int64_t first_at_ms; /* handshake, then first request */
    int64_t torn_at_ms;
    int64_t linger_at_ms;
};

/* What many connections have in common. */
struct bk_conn_kind {
    struct bk_list in;
    size_t refs;
    struct bk_conn_limits limits;
    struct bk_addr local;
};

struct bk_conn {
    struct event event;
    struct bk_list in; /* of those that need a look at the end of this wake-up */
    struct bk_conn_pool *pool;
    struct bk_tls *tls;
    const struct bk_conn_ops *ops;
    void *ctx;
    struct bk_conn_kind *kind;
    struct bk_conn_busy *busy;
    struct bk_listener_ip *ip; /* NULL: not from a listener */
    struct bk_addr peer;
    int64_t last_in_ms, opened_ms;
    uint8_t state; /* enum bk_conn_state */
    uint8_t end;   /* enum bk_conn_end, once DEAD or CLOSING */
    bool stranger : 1;
    bool accepted : 1;
    bool calm : 1;
    bool paused : 1;
    bool blocked : 1;       /* the socket takes no more: wait until it is writable */
    bool read_blocked : 1;  /* TLS must write before it can read */
    bool write_blocked : 1; /* TLS must read before it can write */
    bool look : 1;          /* bytes may wait inside: read again before sleeping */
    bool show : 1;          /* what lies unused is to be shown to new ops */
    bool refused : 1;       /* bk_conn_send said -EAGAIN */
    bool in_bytes : 1;      /* ops->bytes is running */
};

/* Makes a connection of an accepted socket (already non-blocking) and does nothing with it yet. */
int bk_conn_make(struct bk_loop *loop, int fd, const struct bk_addr *peer,
                 struct bk_tls_server *tls, const struct bk_conn_limits *limits,
                 const struct bk_conn_ops *ops, void *ctx, struct bk_conn **ret);
/* TCP life signs and no delay; on a listener's socket, what it accepts inherits them. */
void bk_conn_socket_options(int fd);
/* Of one that never began: gone at once, without closed(). */
void bk_conn_discard(struct bk_conn *conn);
/* Begins: tries the handshake, or calls ready(). */
void bk_conn_begin(struct bk_conn *conn);

#endif
