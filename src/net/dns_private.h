/* SPDX-License-Identifier: Apache-2.0 */
/* net/dns_private.h - between dns.c (questions) and dns_sip.c (RFC 3263), and for tests. */
#ifndef BK_NET_DNS_PRIVATE_H
#define BK_NET_DNS_PRIVATE_H

#include "base/random.h"
#include "net/dns.h"

/* RFC 2782: by priority, within one drawn by weight. */
void bk_dns_srv_order(struct bk_dns_srv *records, int n, const struct bk_random *random);

/* The search for where to send; owned by its query. */
struct bk_dns_targets;
struct bk_dns_query *bk_dns_targets_query(struct bk_dns *dns, struct bk_dns_targets *targets);
void bk_dns_targets_done(struct bk_dns_query *query, enum bk_dns_result result);
void bk_dns_targets_say(struct bk_dns_targets *targets, enum bk_dns_result result);
void bk_dns_targets_free(struct bk_dns_targets *targets);

#endif
