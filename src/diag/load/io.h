/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diag/load/io.h - many connections to one server on this machine, one thread, epoll.
 *
 * It has to be cheap, because it runs on the cores of the server it measures: one read buffer for
 * all, nothing kept for a connection that is idle, and OpenSSL driven without blocking.
 */
#ifndef BK_DIAG_LOAD_IO_H
#define BK_DIAG_LOAD_IO_H

#include "diag/load/msg.h"

#include <netinet/in.h>

enum bk_load_transport { BK_LOAD_TLS, BK_LOAD_TCP, BK_LOAD_UDP };

enum bk_load_close {
    BK_LOAD_CLOSE_CLEAN, /* TLS says goodbye first */
    BK_LOAD_CLOSE_FIN,   /* as when a program is killed */
    BK_LOAD_CLOSE_RST,   /* as when it is killed with bytes unread, or a middle box forgets it */
};

struct bk_load_io_config {
    enum bk_load_transport transport;
    union {
        struct sockaddr any;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
    } server;
    socklen_t server_len;
    const char *server_name; /* for TLS: what the certificate must say, and SNI */
    const char *ca_file;     /* NULL: the certificate is not judged */
    uint32_t connections;
    uint32_t
        sources; /* local addresses 127.0.0.1 and on to share them among; IPv4 only, 1 to 254 */
};

/* Called from bk_load_io_wait(), and never from within open, send or close. */
struct bk_load_io_events {
    void (*opened)(void *ctx, uint32_t who);
    /* The message is valid until the function returns. */
    void (*message)(void *ctx, uint32_t who, const struct bk_load_msg *msg);
    /* The server closed it, or it failed; `why` is a plain sentence. Not called for our own close. */
    void (*closed)(void *ctx, uint32_t who, const char *why);
};

struct bk_load_io;

/*
 * "127.0.0.1:5061", "[::1]:5061" or "localhost:5061" into config->server. -EINVAL: not of that
 * shape. -EPERM: not a loopback address; load is for one's own machine, never for a network.
 */
int bk_load_io_parse_server(const char *text, struct bk_load_io_config *config);

/* -EMFILE: the open-file limit does not allow that many. config is copied but for its strings. */
int bk_load_io_create(const struct bk_load_io_config *config,
                      const struct bk_load_io_events *events, void *ctx, struct bk_load_io **ret);
void bk_load_io_destroy(struct bk_load_io *io);

/* Begins to connect; `opened` or `closed` follows. -EALREADY: open already; other errno of connect. */
int bk_load_io_open(struct bk_load_io *io, uint32_t who);
/* All or nothing: what the kernel does not take now is kept and sent later. -ENOTCONN. */
int bk_load_io_send(struct bk_load_io *io, uint32_t who, struct bk_view bytes);
void bk_load_io_close(struct bk_load_io *io, uint32_t who, enum bk_load_close how);
bool bk_load_io_is_open(const struct bk_load_io *io, uint32_t who);
/* The local end, "127.0.0.1:40001" or "[::1]:40001"; valid until the connection is opened again. */
const char *bk_load_io_local(const struct bk_load_io *io, uint32_t who);

/* Waits for events for at most timeout_ns, handles them. -EINTR: a signal came. */
int bk_load_io_wait(struct bk_load_io *io, int64_t timeout_ns);

#endif
