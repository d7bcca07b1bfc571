/* SPDX-License-Identifier: Apache-2.0 */
#include "net/conn.h"
#include "net/loop_private.h"

#include "base/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    BATCH = 32,
    DATAGRAM_MAX = 65535,
    WAITING_MAX = 1024 * 1024, /* bytes gathered; more is dropped, as a full network would */
    BATCHES_PER_WAKE_UP = 4,
    RECEIVE_BYTES = 4 * 1024 * 1024,
};

struct waiting {
    struct bk_addr to;
    size_t at, len; /* in bytes */
};

struct bk_udp {
    struct bk_loop *loop;
    int fd;
    struct event *event;
    struct bk_loop_hook hook;
    struct bk_addr at;
    void (*datagram)(void *ctx, const struct bk_addr *from, struct bk_view bytes);
    void *ctx;
    bool *gone; /* set when a callback closes us */
    struct bk_buf bytes;
    struct bk_buf waiting; /* of struct waiting */
    char *read; /* BATCH datagrams; pages are touched only as far as datagrams are long */
};

/* Sends [from, n) of what waits; -errno where the socket stopped at the first of them. */
static int send_batch(struct bk_udp *udp, const struct waiting *w, size_t n)
{
    struct mmsghdr msgs[BATCH] = { 0 };
    struct iovec parts[BATCH];
    for (size_t i = 0; i < n; i++) {
        parts[i] = (struct iovec){ udp->bytes.at + w[i].at, w[i].len };
        msgs[i].msg_hdr = (struct msghdr){ .msg_name = (void *)&w[i].to.sa,
                                           .msg_namelen = w[i].to.len,
                                           .msg_iov = &parts[i],
                                           .msg_iovlen = 1 };
    }
    int sent = sendmmsg(udp->fd, msgs, (unsigned)n, 0);
    return sent < 0 ? -errno : sent;
}

/* A datagram the socket does not take is lost: that is what UDP promises, and SIP repeats. */
static void send_waiting(struct bk_loop_hook *hook)
{
    struct bk_udp *udp = bk_container_of(hook, struct bk_udp, hook);
    const struct waiting *w = (const struct waiting *)(const void *)udp->waiting.at;
    size_t n = udp->waiting.len / sizeof *w;
    for (size_t at = 0; at < n;) {
        int sent = send_batch(udp, w + at, n - at < BATCH ? n - at : BATCH);
        if (sent == -EAGAIN || sent == -ENOBUFS)
            break;
        at += sent > 0 ? (size_t)sent : 1; /* an error is about the first of them only */
    }
    if (n) {
        bk_buf_clear(&udp->waiting);
        bk_buf_clear(&udp->bytes);
    }
}

void bk_udp_send(struct bk_udp *udp, const struct bk_addr *to, struct bk_view bytes)
{
    if (bytes.len == 0 || bytes.len > DATAGRAM_MAX)
        return;
    struct waiting w = { .to = *to, .at = udp->bytes.len, .len = bytes.len };
    if (udp->bytes.len + bytes.len > WAITING_MAX)
        return;
    bk_buf_add_view(&udp->bytes, bytes);
    if (!udp->bytes.failed)
        bk_buf_add(&udp->waiting, &w, sizeof w);
    udp->bytes.failed = udp->waiting.failed = false;
}

/* The number of datagrams, -1 when udp is gone. */
static int read_batch(struct bk_udp *udp)
{
    struct mmsghdr msgs[BATCH] = { 0 };
    struct iovec parts[BATCH];
    struct bk_addr from[BATCH];
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){ udp->read + (size_t)i * DATAGRAM_MAX, DATAGRAM_MAX };
        msgs[i].msg_hdr = (struct msghdr){ .msg_name = &from[i].sa,
                                           .msg_namelen = sizeof from[i].v6,
                                           .msg_iov = &parts[i],
                                           .msg_iovlen = 1 };
    }
    int n = recvmmsg(udp->fd, msgs, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++) {
        from[i].len = msgs[i].msg_hdr.msg_namelen;
        bool gone = false;
        udp->gone = &gone;
        udp->datagram(udp->ctx, &from[i], (struct bk_view){ parts[i].iov_base, msgs[i].msg_len });
        if (gone)
            return -1;
        udp->gone = NULL;
    }
    return n < 0 ? 0 : n; /* an ICMP error of somebody else's datagram is not ours to report */
}

static void on_datagrams(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct bk_udp *udp = arg;
    bk_loop_woken(udp->loop);
    for (int i = 0; i < BATCHES_PER_WAKE_UP && read_batch(udp) == BATCH; i++) {
    }
}

/*
 * All peers share this socket, and nobody sends the 200 or ACK of a call again before half a second is over. The
 * kernel's default holds about ninety datagrams, less than what comes while the loop is kept from a core for once.
 */
static void widen(int fd)
{
    int bytes = RECEIVE_BYTES;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes); /* up to net.core.rmem_max */
}

int bk_udp_open(struct bk_loop *loop, const struct bk_addr *at,
                void (*datagram)(void *ctx, const struct bk_addr *from, struct bk_view bytes),
                void *ctx, struct bk_udp **ret)
{
    struct bk_udp *udp = calloc(1, sizeof *udp);
    if (!udp)
        return -ENOMEM;
    *udp = (struct bk_udp){ .loop = loop, .datagram = datagram, .ctx = ctx };
    bk_list_init(&udp->hook.in);
    udp->hook.run = send_waiting;
    int r = 0, off = 0;
    udp->read = malloc((size_t)BATCH * DATAGRAM_MAX);
    udp->fd = socket(at->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (udp->fd >= 0 && at->sa.sa_family == AF_INET6)
        setsockopt(udp->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (udp->fd >= 0)
        widen(udp->fd);
    if (udp->fd < 0 || bind(udp->fd, &at->sa, at->len) < 0)
        r = -errno;
    else if (!udp->read)
        r = -ENOMEM;
    if (r == 0) {
        udp->at.len = sizeof udp->at.v6;
        getsockname(udp->fd, &udp->at.sa, &udp->at.len);
        udp->event = event_new(loop->base, udp->fd, EV_READ | EV_PERSIST, on_datagrams, udp);
        if (!udp->event || event_add(udp->event, NULL) < 0)
            r = -ENOMEM;
    }
    if (r < 0) {
        bk_udp_close(udp);
        return r;
    }
    bk_loop_hook_add_last(loop, &udp->hook);
    *ret = udp;
    return 0;
}

uint16_t bk_udp_port(const struct bk_udp *udp)
{
    return bk_addr_port(&udp->at);
}

struct bk_udp *bk_udp_close(struct bk_udp *udp)
{
    if (!udp)
        return NULL;
    if (udp->gone)
        *udp->gone = true;
    if (udp->event) {
        send_waiting(&udp->hook);
        event_free(udp->event);
    }
    bk_list_remove(&udp->hook.in);
    if (udp->fd >= 0)
        close(udp->fd);
    bk_buf_finish(&udp->bytes);
    bk_buf_finish(&udp->waiting);
    free(udp->read);
    free(udp);
    return NULL;
}
