/* SPDX-License-Identifier: Apache-2.0 */
#include "net/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

/* The IPv4 address in network order, also of ::ffff:a.b.c.d. */
static bool as_v4(const struct bk_addr *a, uint32_t *ret)
{
    if (a->sa.sa_family == AF_INET) {
        *ret = a->v4.sin_addr.s_addr;
        return true;
    }
    if (a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr)) {
        memcpy(ret, &a->v6.sin6_addr.s6_addr[12], 4);
        return true;
    }
    return false;
}

void bk_addr_host_text(const struct bk_addr *a, char ret[64])
{
    uint32_t v4;
    ret[0] = '\0';
    if (as_v4(a, &v4))
        inet_ntop(AF_INET, &v4, ret, 64);
    else if (a->sa.sa_family == AF_INET6)
        inet_ntop(AF_INET6, &a->v6.sin6_addr, ret, 64);
}

uint16_t bk_addr_port(const struct bk_addr *a)
{
    /* Both families keep it at the same place, but only one may be read. */
    if (a->sa.sa_family == AF_INET)
        return ntohs(a->v4.sin_port);
    return a->sa.sa_family == AF_INET6 ? ntohs(a->v6.sin6_port) : 0;
}

void bk_addr_text(const struct bk_addr *a, char ret[64])
{
    char host[64];
    bk_addr_host_text(a, host);
    bool brackets = strchr(host, ':');
    snprintf(ret, 64, brackets ? "[%.46s]:%u" : "%.46s:%u", host, bk_addr_port(a));
}

int bk_addr_parse(const char *host_literal, uint16_t port, struct bk_addr *ret)
{
    struct bk_addr a = { 0 };
    if (inet_pton(AF_INET, host_literal, &a.v4.sin_addr) == 1) {
        a.v4.sin_family = AF_INET;
        a.v4.sin_port = htons(port);
        a.len = sizeof a.v4;
    } else {
        memset(&a, 0, sizeof a);
        if (inet_pton(AF_INET6, host_literal, &a.v6.sin6_addr) != 1)
            return -EINVAL;
        a.v6.sin6_family = AF_INET6;
        a.v6.sin6_port = htons(port);
        a.len = sizeof a.v6;
    }
    *ret = a;
    return 0;
}

uint64_t bk_addr_net_key(const struct bk_addr *a)
{
    uint32_t v4;
    if (as_v4(a, &v4))
        return ntohl(v4) >> 8;
    uint64_t net = 0;
    if (a->sa.sa_family == AF_INET6)
        memcpy(&net, a->v6.sin6_addr.s6_addr, sizeof net);
    return net;
}

bool bk_addr_is_loopback(const struct bk_addr *a)
{
    uint32_t v4;
    if (as_v4(a, &v4))
        return ntohl(v4) >> 24 == 127;
    return a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
}

bool bk_addr_is_private(const struct bk_addr *a)
{
    if (bk_addr_is_loopback(a))
        return true;
    uint32_t v4;
    if (as_v4(a, &v4)) {
        uint32_t n = ntohl(v4);
        return n >> 24 == 10 || n >> 20 == 0xac1 || n >> 16 == 0xc0a8 || n >> 16 == 0xa9fe;
    }
    if (a->sa.sa_family != AF_INET6)
        return false;
    return (a->v6.sin6_addr.s6_addr[0] & 0xfe) == 0xfc || IN6_IS_ADDR_LINKLOCAL(&a->v6.sin6_addr);
}
