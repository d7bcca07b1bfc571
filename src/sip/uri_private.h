/* SPDX-License-Identifier: Apache-2.0 */
/* sip/uri_private.h - the pieces that addresses, Via and lists have in common; each moves *at past what it read. */
#ifndef BK_SIP_URI_PRIVATE_H
#define BK_SIP_URI_PRIVATE_H

#include "sip/scan_private.h"
#include "sip/uri.h"

struct bk_sip_host {
    struct bk_view name; /* IPv6 without brackets */
    bool is_ipv6;
};
/* host of RFC 3261 25.1. false: none stands here. */
bool bk_sip_host_read(const char **at, const char *stop, struct bk_sip_host *ret);
/* 1 to 65535. false: no such number stands here. */
bool bk_sip_port_read(const char **at, const char *stop, uint16_t *ret);
/* "2001:db8::1" without brackets. */
bool bk_sip_ipv6_valid(struct bk_view text);

/*
 * One parameter, *at just behind its ';'. Afterwards *at is at the next ';', at a ',' or at stop.
 * false: what stands there is no parameter.
 */
bool bk_sip_param_read(const char **at, const char *stop, struct bk_sip_param *ret);

/*
 * As bk_sip_addr_next, and what a From or To is asked for besides, in the same walk: the tag, and how many there are
 * (a tag without a value is none). ret_tag and ret_n_tags: both or neither NULL.
 */
int bk_sip_addr_read(struct bk_view *rest, struct bk_sip_addr *ret, struct bk_view *ret_tag,
                     int *ret_n_tags);

/* Behind the closing quote of the quoted-string that opens at `at`; NULL when it does not close. */
const char *bk_sip_quoted_end(const char *at, const char *stop);

/*
 * Behind an element of a comma list: over the comma, where another element must follow. false: what
 * stands there is neither comma nor end.
 */
bool bk_sip_comma_read(const char **at, const char *stop);

#endif
