/* SPDX-License-Identifier: Apache-2.0 */
#include "diag/load/io.h"

#include "base/buf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_BYTES = 64 * 1024,
    EVENTS_MAX = 128,
    /* A server that reads nothing while this much is on its way to it is stuck. */
    OUT_BYTES_MAX = 4 * 1024 * 1024,
};

enum state { CLOSED, CONNECTING, HANDSHAKE, OPEN };

struct conn {
    int fd;
    uint32_t epoch; /* counts opens and closes, so that an event of a former life is known */
    enum state state;
    bool want_out; /* EPOLLOUT is asked for */
    SSL *ssl;
    struct bk_buf in, out; /* a torn message; what the kernel did not take. Mostly empty */
    char local[56];
};

struct bk_load_io {
    struct bk_load_io_config config;
    struct bk_load_io_events events;
    void *ctx;
    int epoll;
    SSL_CTX *tls;
    struct conn *conns;
    char read[READ_BYTES];
};

int bk_load_io_parse_server(const char *text, struct bk_load_io_config *config)
{
    const char *colon = strrchr(text, ':');
    char host[64];
    if (!colon || colon == text || (size_t)(colon - text) >= sizeof host)
        return -EINVAL;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    uint64_t port;
    if (bk_view_to_u64(bk_view_of_str(colon + 1), 65535, &port) < 0 || port == 0)
        return -EINVAL;

    if (host[0] == '[') {
        size_t len = strlen(host);
        if (host[len - 1] != ']')
            return -EINVAL;
        host[len - 1] = '\0';
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
        if (inet_pton(AF_INET6, host + 1, &in6.sin6_addr) != 1)
            return -EINVAL;
        if (!IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr))
            return -EPERM;
        config->server.in6 = in6;
        config->server_len = sizeof in6;
        return 0;
    }
    struct sockaddr_in in4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    if (strcmp(host, "localhost") == 0)
        in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else if (inet_pton(AF_INET, host, &in4.sin_addr) != 1)
        return -EINVAL;
    if (ntohl(in4.sin_addr.s_addr) >> 24 != 127)
        return -EPERM;
    config->server.in4 = in4;
    config->server_len = sizeof in4;
    return 0;
}

static int make_tls(struct bk_load_io *io)
{
    io->tls = SSL_CTX_new(TLS_client_method());
    if (!io->tls)
        return -ENOMEM;
    SSL_CTX_set_min_proto_version(io->tls, TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(io->tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(io->tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(io->tls, 1);
    if (!io->config.ca_file)
        return 0;
    if (SSL_CTX_load_verify_locations(io->tls, io->config.ca_file, NULL) != 1)
        return -ENOENT;
    SSL_CTX_set_verify(io->tls, SSL_VERIFY_PEER, NULL);
    return 0;
}

int bk_load_io_create(const struct bk_load_io_config *config,
                      const struct bk_load_io_events *events, void *ctx, struct bk_load_io **ret)
{
    struct bk_load_io *io = calloc(1, sizeof *io);
    if (!io)
        return -ENOMEM;
    io->config = *config;
    io->events = *events;
    io->ctx = ctx;
    io->conns = calloc(config->connections, sizeof *io->conns);
    io->epoll = epoll_create1(EPOLL_CLOEXEC);
    int r = !io->conns ? -ENOMEM : io->epoll < 0 ? -errno : 0;
    for (uint32_t i = 0; r == 0 && i < config->connections; i++) {
        io->conns[i].fd = -1;
        io->conns[i].in.max = BK_LOAD_MSG_BYTES_MAX + READ_BYTES;
        io->conns[i].out.max = OUT_BYTES_MAX;
    }
    if (r == 0 && config->transport == BK_LOAD_TLS)
        r = make_tls(io);
    if (r < 0) {
        bk_load_io_destroy(io);
        return r;
    }
    *ret = io;
    return 0;
}

void bk_load_io_destroy(struct bk_load_io *io)
{
    if (!io)
        return;
    for (uint32_t i = 0; io->conns && i < io->config.connections; i++)
        bk_load_io_close(io, i, BK_LOAD_CLOSE_FIN);
    free(io->conns);
    if (io->epoll >= 0)
        close(io->epoll);
    SSL_CTX_free(io->tls);
    free(io);
}

bool bk_load_io_is_open(const struct bk_load_io *io, uint32_t who)
{
    return io->conns[who].state == OPEN;
}

const char *bk_load_io_local(const struct bk_load_io *io, uint32_t who)
{
    return io->conns[who].local;
}

static int watch(struct bk_load_io *io, uint32_t who, bool out, int op)
{
    struct conn *conn = &io->conns[who];
    struct epoll_event event = { .events = EPOLLIN | (out ? EPOLLOUT : 0),
                                 .data.u64 = (uint64_t)conn->epoch << 32 | who };
    if (op == EPOLL_CTL_MOD && conn->want_out == out)
        return 0;
    conn->want_out = out;
    return epoll_ctl(io->epoll, op, conn->fd, &event) < 0 ? -errno : 0;
}

void bk_load_io_close(struct bk_load_io *io, uint32_t who, enum bk_load_close how)
{
    struct conn *conn = &io->conns[who];
    if (conn->fd < 0)
        return;
    if (conn->ssl) {
        if (how == BK_LOAD_CLOSE_CLEAN && conn->state == OPEN)
            SSL_shutdown(conn->ssl);
        else
            SSL_set_quiet_shutdown(conn->ssl, 1);
        SSL_free(conn->ssl);
        ERR_clear_error();
        conn->ssl = NULL;
    }
    if (how == BK_LOAD_CLOSE_RST) {
        struct linger linger = { .l_onoff = 1, .l_linger = 0 };
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    close(conn->fd);
    conn->fd = -1;
    conn->state = CLOSED;
    conn->epoch++;
    bk_buf_finish(&conn->in);
    bk_buf_finish(&conn->out);
}

static void fail(struct bk_load_io *io, uint32_t who, const char *why)
{
    bk_load_io_close(io, who, BK_LOAD_CLOSE_FIN);
    io->events.closed(io->ctx, who, why);
}

static const char *tls_reason(struct conn *conn, const char *otherwise)
{
    long verify = conn->ssl ? SSL_get_verify_result(conn->ssl) : X509_V_OK;
    if (verify != X509_V_OK)
        return X509_verify_cert_error_string(verify);
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    return reason ? reason : otherwise;
}

/* Spreads connections over several local addresses; a pair of addresses has 28,000 ports. */
static int bind_source(struct bk_load_io *io, int fd, uint32_t who)
{
    if (io->config.sources <= 1 || io->config.server.any.sa_family != AF_INET)
        return 0;
    int on = 1;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    struct sockaddr_in from = { .sin_family = AF_INET,
                                .sin_addr.s_addr =
                                    htonl(INADDR_LOOPBACK + who % io->config.sources) };
    return bind(fd, (struct sockaddr *)&from, sizeof from) < 0 ? -errno : 0;
}

static void name_local(struct conn *conn)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
    } local = { 0 };
    socklen_t len = sizeof local;
    getsockname(conn->fd, &local.any, &len);
    char host[INET6_ADDRSTRLEN] = "";
    if (local.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &local.in6.sin6_addr, host, sizeof host);
        snprintf(conn->local, sizeof conn->local, "[%s]:%u", host, ntohs(local.in6.sin6_port));
    } else {
        inet_ntop(AF_INET, &local.in4.sin_addr, host, sizeof host);
        snprintf(conn->local, sizeof conn->local, "%s:%u", host, ntohs(local.in4.sin_port));
    }
}

int bk_load_io_open(struct bk_load_io *io, uint32_t who)
{
    struct conn *conn = &io->conns[who];
    if (conn->fd >= 0)
        return -EALREADY;
    int type = io->config.transport == BK_LOAD_UDP ? SOCK_DGRAM : SOCK_STREAM;
    int fd = socket(io->config.server.any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = bind_source(io, fd, who);
    if (r == 0 && connect(fd, &io->config.server.any, io->config.server_len) < 0 &&
        errno != EINPROGRESS)
        r = -errno;
    if (r < 0) {
        close(fd);
        return r;
    }
    if (type == SOCK_STREAM) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    conn->fd = fd;
    conn->state = CONNECTING;
    conn->epoch++;
    name_local(conn);
    r = watch(io, who, true, EPOLL_CTL_ADD); /* writable: connected, also where it is at once */
    if (r < 0)
        bk_load_io_close(io, who, BK_LOAD_CLOSE_FIN);
    return r;
}

/* How many of the bytes were taken, 0 where none can be now, negative where the connection is lost. */
static ssize_t write_some(struct conn *conn, struct bk_view bytes)
{
    if (conn->ssl) {
        ERR_clear_error();
        size_t written = 0;
        if (SSL_write_ex(conn->ssl, bytes.at, bytes.len, &written) == 1)
            return (ssize_t)written;
        int error = SSL_get_error(conn->ssl, 0);
        return error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ ? 0 : -EPIPE;
    }
    ssize_t n = send(conn->fd, bytes.at, bytes.len, MSG_NOSIGNAL);
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

int bk_load_io_send(struct bk_load_io *io, uint32_t who, struct bk_view bytes)
{
    struct conn *conn = &io->conns[who];
    if (conn->state != OPEN)
        return -ENOTCONN;
    while (conn->out.len == 0 && bytes.len > 0) {
        ssize_t n = write_some(conn, bytes);
        if (n < 0)
            return (int)n;
        if (n == 0)
            break;
        bytes = bk_view_skip(bytes, (size_t)n);
    }
    if (bytes.len == 0)
        return 0;
    bk_buf_add_view(&conn->out, bytes);
    if (conn->out.failed)
        return -ENOBUFS;
    return watch(io, who, true, EPOLL_CTL_MOD);
}

static void flush(struct bk_load_io *io, uint32_t who)
{
    struct conn *conn = &io->conns[who];
    size_t done = 0;
    while (done < conn->out.len) {
        ssize_t n = write_some(conn, bk_view_skip(bk_buf_view(&conn->out), done));
        if (n < 0) {
            fail(io, who, "the server stopped taking bytes");
            return;
        }
        if (n == 0)
            break;
        done += (size_t)n;
    }
    if (done == conn->out.len) {
        bk_buf_finish(&conn->out);
        watch(io, who, false, EPOLL_CTL_MOD);
    } else {
        bk_buf_drop(&conn->out, done);
    }
}

/* Hands over every whole message. Returns the bytes used, or -1 where the connection is gone. */
static ssize_t deliver(struct bk_load_io *io, uint32_t who, struct bk_view bytes)
{
    struct conn *conn = &io->conns[who];
    uint32_t epoch = conn->epoch;
    size_t used = 0;
    while (used < bytes.len) {
        struct bk_load_msg msg;
        size_t skip = 0;
        ssize_t n = bk_load_msg_parse(bk_view_skip(bytes, used), &msg, &skip);
        if (n < 0) {
            fail(io, who, "the server sent what is not SIP");
            return -1;
        }
        if (n == 0) {
            used += skip;
            break;
        }
        used += (size_t)n;
        io->events.message(io->ctx, who, &msg);
        if (conn->epoch != epoch)
            return -1;
    }
    return (ssize_t)used;
}

static bool take_bytes(struct bk_load_io *io, uint32_t who, size_t len)
{
    struct conn *conn = &io->conns[who];
    if (io->config.transport == BK_LOAD_UDP) {
        /* A datagram is a message; half of one will never be completed. */
        return deliver(io, who, (struct bk_view){ io->read, len }) >= 0;
    }
    if (conn->in.len == 0) {
        ssize_t used = deliver(io, who, (struct bk_view){ io->read, len });
        if (used < 0)
            return false;
        if ((size_t)used < len)
            bk_buf_add(&conn->in, io->read + used, len - (size_t)used);
    } else {
        bk_buf_add(&conn->in, io->read, len);
        ssize_t used = conn->in.failed ? 0 : deliver(io, who, bk_buf_view(&conn->in));
        if (used < 0)
            return false;
        if ((size_t)used == conn->in.len)
            bk_buf_finish(&conn->in);
        else
            bk_buf_drop(&conn->in, (size_t)used);
    }
    if (conn->in.failed) {
        fail(io, who, "the server sent a message that never ends");
        return false;
    }
    return true;
}

static void read_tls(struct bk_load_io *io, uint32_t who)
{
    struct conn *conn = &io->conns[who];
    do {
        size_t len = 0;
        ERR_clear_error();
        if (SSL_read_ex(conn->ssl, io->read, sizeof io->read, &len) != 1) {
            int error = SSL_get_error(conn->ssl, 0);
            if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
                return;
            fail(io, who,
                 error == SSL_ERROR_ZERO_RETURN ? "the server closed the connection"
                                                : tls_reason(conn, "the connection broke"));
            return;
        }
        if (!take_bytes(io, who, len))
            return;
    } while (SSL_has_pending(conn->ssl));
}

static void read_plain(struct bk_load_io *io, uint32_t who)
{
    ssize_t len = recv(io->conns[who].fd, io->read, sizeof io->read, 0);
    if (len > 0)
        take_bytes(io, who, (size_t)len);
    else if (len == 0 && io->config.transport != BK_LOAD_UDP)
        fail(io, who, "the server closed the connection");
    else if (len < 0 && errno != EAGAIN && errno != EINTR)
        fail(io, who, strerror(errno));
}

static void shake_hands(struct bk_load_io *io, uint32_t who)
{
    struct conn *conn = &io->conns[who];
    ERR_clear_error();
    int r = SSL_do_handshake(conn->ssl);
    if (r == 1) {
        conn->state = OPEN;
        watch(io, who, false, EPOLL_CTL_MOD);
        io->events.opened(io->ctx, who);
        return;
    }
    int error = SSL_get_error(conn->ssl, r);
    if (error == SSL_ERROR_WANT_READ)
        watch(io, who, false, EPOLL_CTL_MOD);
    else if (error == SSL_ERROR_WANT_WRITE)
        watch(io, who, true, EPOLL_CTL_MOD);
    else
        fail(io, who, tls_reason(conn, "the server closed during the TLS handshake"));
}

static void connected(struct bk_load_io *io, uint32_t who)
{
    struct conn *conn = &io->conns[who];
    int error = 0;
    socklen_t len = sizeof error;
    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error) {
        fail(io, who, strerror(error));
        return;
    }
    if (!io->tls) {
        conn->state = OPEN;
        watch(io, who, false, EPOLL_CTL_MOD);
        io->events.opened(io->ctx, who);
        return;
    }
    conn->ssl = SSL_new(io->tls);
    if (!conn->ssl || SSL_set_fd(conn->ssl, conn->fd) != 1) {
        fail(io, who, "out of memory");
        return;
    }
    if (io->config.server_name) {
        SSL_set_tlsext_host_name(conn->ssl, io->config.server_name);
        SSL_set1_host(conn->ssl, io->config.server_name);
    }
    SSL_set_connect_state(conn->ssl);
    conn->state = HANDSHAKE;
    shake_hands(io, who);
}

static void handle(struct bk_load_io *io, uint32_t who, uint32_t events)
{
    struct conn *conn = &io->conns[who];
    uint32_t epoch = conn->epoch;
    switch (conn->state) {
    case CLOSED:
        return;
    case CONNECTING:
        connected(io, who);
        return;
    case HANDSHAKE:
        shake_hands(io, who);
        return;
    case OPEN:
        break;
    }
    if (events & EPOLLOUT && conn->out.len > 0)
        flush(io, who);
    if (conn->epoch != epoch || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    if (conn->ssl)
        read_tls(io, who);
    else
        read_plain(io, who);
}

int bk_load_io_wait(struct bk_load_io *io, int64_t timeout_ns)
{
    struct epoll_event events[EVENTS_MAX];
    if (timeout_ns < 0)
        timeout_ns = 0;
    struct timespec timeout = { .tv_sec = timeout_ns / 1000000000,
                                .tv_nsec = timeout_ns % 1000000000 };
    int count = epoll_pwait2(io->epoll, events, EVENTS_MAX, &timeout, NULL);
    if (count < 0)
        return -errno;
    for (int i = 0; i < count; i++) {
        uint32_t who = (uint32_t)events[i].data.u64;
        if (io->conns[who].epoch == (uint32_t)(events[i].data.u64 >> 32))
            handle(io, who, events[i].events);
    }
    return count;
}
