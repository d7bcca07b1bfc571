/* SPDX-License-Identifier: Apache-2.0 */
#include "net/watch.h"

#include "base/cleanup.h"
#include "net/loop_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <unistd.h>

enum { GATHER_MS = 100, READS_MAX = 64, IN_BYTES = 16 * 1024 };

struct bk_netwatch {
    struct bk_loop *loop;
    void (*changed)(void *ctx);
    void *ctx;
    int fd;
    struct event *event;
    struct bk_timer look; /* armed with the first word, fires when the rest has been said too */
    struct bk_buf picture;
    bool missed; /* a picture could not be taken: the next one counts as another */
};

/* ---- the picture ---- */

static void drop_addrs(struct ifaddrs **list)
{
    if (*list)
        freeifaddrs(*list);
}

static size_t addr_len(const struct sockaddr *sa)
{
    if (!sa)
        return 0;
    return sa->sa_family == AF_INET    ? sizeof(struct sockaddr_in)
           : sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                       : 0;
}

static bool runs(const struct ifaddrs *i)
{
    return (i->ifa_flags & IFF_UP) && (i->ifa_flags & IFF_RUNNING);
}

static void add_host(struct bk_buf *to, const struct sockaddr *sa)
{
    struct bk_addr addr = { 0 };
    char text[64];
    addr.len = (socklen_t)addr_len(sa);
    memcpy(&addr.sa, sa, addr.len);
    bk_addr_host_text(&addr, text);
    bk_buf_add_str(to, text);
}

/* A datagram socket that would send to `to`, and from `from` if given. Negative errno: there is no way. */
static int aim(const struct bk_addr *from, const struct bk_addr *to)
{
    int fd = socket(to->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int r = from && bind(fd, &from->sa, from->len) < 0 ? -errno : 0;
    if (r == 0 && connect(fd, &to->sa, to->len) < 0)
        r = -errno;
    if (r < 0)
        (void)close(fd);
    return r < 0 ? r : fd;
}

/* The address that the default route would take: documentation addresses (RFC 5737, 3849) lead nowhere else. */
static void add_default(struct bk_buf *to, const char *far)
{
    struct bk_addr there, here = { .len = sizeof here.v6 };
    bk_buf_add_lit(to, "by ");
    int fd = bk_addr_parse(far, 9, &there) < 0 ? -1 : aim(NULL, &there);
    if (fd >= 0 && getsockname(fd, &here.sa, &here.len) == 0)
        add_host(to, &here.sa);
    if (fd >= 0)
        (void)close(fd);
    bk_buf_add_char(to, '\n');
}

static int take_picture(struct bk_buf *ret)
{
    BK_CLEANUP(drop_addrs) struct ifaddrs *list = NULL;
    if (getifaddrs(&list) < 0)
        return -errno;
    for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
        if (!runs(i) || !addr_len(i->ifa_addr))
            continue;
        bk_buf_add_str(ret, i->ifa_name);
        bk_buf_add_char(ret, ' ');
        add_host(ret, i->ifa_addr);
        bk_buf_add_char(ret, '\n');
    }
    add_default(ret, "192.0.2.1");
    add_default(ret, "2001:db8::1");
    return ret->failed ? -ENOMEM : 0;
}

/* ---- a way ---- */

static bool same_host(const struct sockaddr *sa, const struct bk_addr *addr)
{
    if (sa->sa_family != addr->sa.sa_family)
        return false;
    if (sa->sa_family == AF_INET)
        return ((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr ==
               addr->v4.sin_addr.s_addr;
    return memcmp(&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, &addr->v6.sin6_addr,
                  sizeof addr->v6.sin6_addr) == 0;
}

static bool stands(const struct bk_addr *addr)
{
    BK_CLEANUP(drop_addrs) struct ifaddrs *list = NULL;
    if (bk_addr_is_loopback(addr) || getifaddrs(&list) < 0)
        return true; /* loopback: all of 127/8 is there without being listed */
    for (const struct ifaddrs *i = list; i; i = i->ifa_next)
        if (runs(i) && addr_len(i->ifa_addr) && same_host(i->ifa_addr, addr))
            return true;
    return false;
}

bool bk_net_has_way(const struct bk_addr *from, const struct bk_addr *to)
{
    struct bk_addr any = *from;
    if (any.sa.sa_family == AF_INET)
        any.v4.sin_port = 0;
    else if (any.sa.sa_family == AF_INET6)
        any.v6.sin6_port = 0;
    else
        return true;
    if (!stands(&any))
        return false;
    int fd = aim(&any, to);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0 || (fd != -ENETUNREACH && fd != -EHOSTUNREACH && fd != -EADDRNOTAVAIL &&
                       fd != -ENETDOWN && fd != -ENODEV && fd != -EACCES);
}

/* ---- the kernel's word ---- */

static void on_look(struct bk_timer *timer)
{
    struct bk_netwatch *w = bk_container_of(timer, struct bk_netwatch, look);
    struct bk_buf now = { 0 };
    int r = take_picture(&now);
    bool same = r == 0 && !w->missed && bk_view_equal(bk_buf_view(&now), bk_buf_view(&w->picture));
    w->missed = r < 0;
    if (r == 0) {
        bk_buf_finish(&w->picture);
        w->picture = now;
    } else {
        bk_buf_finish(&now);
    }
    if (!same)
        w->changed(w->ctx);
}

static void look_soon(struct bk_netwatch *w)
{
    if (!bk_timer_armed(&w->look))
        bk_timer_arm(bk_loop_timers(w->loop), &w->look,
                     bk_clock_mono_ms(bk_loop_clock(w->loop)) + GATHER_MS);
}

static bool is_about_the_network(const struct nlmsghdr *head)
{
    switch (head->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
    case RTM_NEWADDR:
    case RTM_DELADDR:
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        return true;
    default:
        return false;
    }
}

/* What was said does not matter, only that something was: the picture is taken anew. */
static void on_word(evutil_socket_t fd, short what, void *arg)
{
    struct bk_netwatch *w = arg;
    (void)what;
    bk_loop_woken(w->loop);
    for (int i = 0; i < READS_MAX; i++) {
        _Alignas(struct nlmsghdr) char bytes[IN_BYTES];
        struct sockaddr_nl from = { 0 };
        socklen_t from_len = sizeof from;
        ssize_t n =
            recvfrom(fd, bytes, sizeof bytes, MSG_TRUNC, (struct sockaddr *)&from, &from_len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            if (errno != EAGAIN) /* ENOBUFS: more was said than fits, so something was */
                look_soon(w);
            if (errno != ENOBUFS)
                return;
            continue;
        }
        if (from.nl_pid != 0) /* not the kernel */
            continue;
        if ((size_t)n > sizeof bytes) {
            look_soon(w);
            continue;
        }
        size_t left = (size_t)n;
        for (struct nlmsghdr *head = (struct nlmsghdr *)bytes; NLMSG_OK(head, left);
             head = NLMSG_NEXT(head, left))
            if (is_about_the_network(head))
                look_soon(w);
    }
}

static int listen_to_kernel(struct bk_netwatch *w)
{
    struct sockaddr_nl at = { .nl_family = AF_NETLINK,
                              .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                                           RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE };
    w->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (w->fd < 0 || bind(w->fd, (const struct sockaddr *)&at, sizeof at) < 0)
        return -errno;
    w->event = event_new(bk_loop_base(w->loop), w->fd, EV_READ | EV_PERSIST, on_word, w);
    return w->event && event_add(w->event, NULL) == 0 ? 0 : -ENOMEM;
}

int bk_netwatch_create(struct bk_loop *loop, void (*changed)(void *ctx), void *ctx,
                       struct bk_netwatch **ret)
{
    struct bk_netwatch *w = calloc(1, sizeof *w);
    if (!w)
        return -ENOMEM;
    *w = (struct bk_netwatch){ .loop = loop, .changed = changed, .ctx = ctx, .fd = -1 };
    bk_timer_init(&w->look, on_look);
    int r = listen_to_kernel(w);
    if (r == 0)
        r = take_picture(&w->picture);
    if (r < 0) {
        (void)bk_netwatch_destroy(w);
        return r;
    }
    *ret = w;
    return 0;
}

struct bk_netwatch *bk_netwatch_destroy(struct bk_netwatch *w)
{
    if (!w)
        return NULL;
    bk_timer_disarm(bk_loop_timers(w->loop), &w->look);
    if (w->event)
        event_free(w->event);
    if (w->fd >= 0)
        (void)close(w->fd);
    bk_buf_finish(&w->picture);
    free(w);
    return NULL;
}
