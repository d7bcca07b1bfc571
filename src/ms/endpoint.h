/* SPDX-License-Identifier: Apache-2.0 */
/* ms/endpoint.h - which of a person's programs is meant: epid, +sip.instance and GRUU of the Lync dialect. */
#ifndef BK_MS_ENDPOINT_H
#define BK_MS_ENDPOINT_H

#include "base/text.h"
#include "sip/msg.h"
#include "sip/uri.h"

/*
 * A program calls itself by an epid, a parameter of From in all that it sends (and of To in what is sent to it). The UUID of its
 * +sip.instance is made of the epid, so either names the same endpoint; the GRUU holds the UUID.
 */
enum { BK_MS_EPID_MAX = 16 /* characters; clients have 10 or 12 */ };

/* 1 to BK_MS_EPID_MAX letters, digits, '-' and '_' ([MS-SIPRE] has hex digits; others were seen). */
bool bk_ms_epid_valid(struct bk_view epid);
/* The epid of From; empty: none, or not valid. */
struct bk_view bk_ms_epid_of(const struct bk_sip_msg *msg);

/* The UUID that clients make of their epid ([MS-SIPRE] 4.1: version 5 in a name space of its own), lower case. */
void bk_ms_instance_of_epid(struct bk_view epid, char ret[BK_UUID_TEXT_SIZE]);

/* `"<urn:uuid:...>"`, `<urn:uuid:...>` or `urn:uuid:...` to 16 bytes in the order of the text. -EBADMSG. */
int bk_ms_instance_parse(struct bk_view value, uint8_t ret[16]);

/* `sip:alice@example.com;opaque=user:epid:t4eFItf-XDOzDSZfZhiueAAA;gruu`. address: user@host. */
void bk_ms_gruu_write(struct bk_buf *to, struct bk_view address, const uint8_t uuid[16]);
/* -ENOENT: no GRUU of an endpoint (plain, or of a service); -EBADMSG: looks like one, but names none. */
int bk_ms_gruu_parse(const struct bk_sip_uri *uri, uint8_t ret_uuid[16]);

#endif
