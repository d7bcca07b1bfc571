/* SPDX-License-Identifier: Apache-2.0 */
/* net/dns.h - names to addresses (c-ares), and RFC 3263 on top. */
#ifndef BK_NET_DNS_H
#define BK_NET_DNS_H

#include "net/conn.h"

struct bk_dns;
/*
 * A look-up under way. Its callback comes once, from the loop, never from within the call that
 * asks; the query is dead then. bk_dns_cancel: it never comes. NULL from those below: out of memory.
 */
struct bk_dns_query;

/* servers: "127.0.0.1:5353,::1" or NULL for the system's. timeout_ms per try, 2 tries. */
int bk_dns_create(struct bk_loop *loop, const char *servers, int timeout_ms, struct bk_dns **ret);
/*
 * The system's name servers may be others now (the network changed): they are read again. Nothing to do where they were
 * named at the start. -EBUSY: somebody waits for an answer, ask again later; -ENOMEM, -EIO.
 */
int bk_dns_reread(struct bk_dns *dns);
struct bk_dns *bk_dns_destroy(struct bk_dns *dns); /* cancels all; not from within a callback */

/* What an answer was: "no such name" and "the resolver failed" are different causes (SI-301, SI-303, SI-312). */
enum bk_dns_result {
    BK_DNS_FOUND,
    BK_DNS_NO_NAME,       /* NXDOMAIN */
    BK_DNS_NO_DATA,       /* the name exists, not with that type */
    BK_DNS_SERVER_FAILED, /* SERVFAIL, REFUSED, malformed */
    BK_DNS_TIMEOUT,
    BK_DNS_UNREACHABLE, /* no resolver could be asked */
};
const char *bk_dns_result_text(enum bk_dns_result result);

struct bk_dns_srv {
    uint16_t priority, weight, port;
    char target[256]; /* "" for "." : decidedly not available */
};
struct bk_dns_query *bk_dns_srv(struct bk_dns *dns, const char *name,
                                void (*done)(void *ctx, enum bk_dns_result result,
                                             const struct bk_dns_srv *records, int n),
                                void *ctx); /* records in RFC 2782 order, weights drawn */
/* A and AAAA together; literals answer without asking. Addresses in RFC 8305 order (families alternate). Port is filled in. */
struct bk_dns_query *bk_dns_host(struct bk_dns *dns, const char *name, uint16_t port,
                                 void (*done)(void *ctx, enum bk_dns_result result,
                                              const struct bk_addr *addrs, int n),
                                 void *ctx);
struct bk_dns_naptr {
    uint16_t order, preference;
    char service[32], replacement[256];
};
struct bk_dns_query *bk_dns_naptr(struct bk_dns *dns, const char *name,
                                  void (*done)(void *ctx, enum bk_dns_result result,
                                               const struct bk_dns_naptr *records, int n),
                                  void *ctx);
void bk_dns_cancel(struct bk_dns_query *query);

/*
 * RFC 3263 4.1 and 4.2: where to send a request for this host. Explicit port or literal: no NAPTR, no SRV.
 * The list keeps, in order, every address with transport and the name its certificate must carry (the domain asked for, RFC 5922).
 */
enum bk_transport { BK_TRANSPORT_UDP, BK_TRANSPORT_TCP, BK_TRANSPORT_TLS };
struct bk_sip_target {
    enum bk_transport transport;
    struct bk_addr addr;
    char host[256];
};
struct bk_dns_query *bk_dns_sip_targets(struct bk_dns *dns, const char *host,
                                        uint16_t port /* 0: none */,
                                        int transport /* enum, or -1: none given */, bool sips,
                                        void (*done)(void *ctx, enum bk_dns_result result,
                                                     const struct bk_sip_target *targets, int n),
                                        void *ctx);

#endif
