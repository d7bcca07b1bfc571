/* SPDX-License-Identifier: Apache-2.0 */
/* net/tunnel_private.h - a proxy's answer to CONNECT, read in pieces (RFC 9110 9.3.6, RFC 9112). */
#ifndef BK_NET_TUNNEL_PRIVATE_H
#define BK_NET_TUNNEL_PRIVATE_H

#include "net/tunnel.h"

#include <http_parser.h>

enum bk_tunnel_step {
    BK_TUNNEL_MORE,    /* the answer is not complete */
    BK_TUNNEL_OPEN,    /* 2xx: the byte behind those used is the other end's */
    BK_TUNNEL_REFUSED, /* another final status */
    BK_TUNNEL_BAD,     /* no HTTP answer, or one without an end; answer->fault says what */
};

/* Reads an answer. Interim ones (1xx) are passed over; heads of more than BK_HTTP_HEAD_MAX bytes together are BAD. */
struct bk_tunnel_reader {
    http_parser parser;
    struct bk_tunnel_answer *answer;
    size_t bytes;
    char field[24]; /* name of the one being read, lower case */
    size_t field_len;
    bool in_value, wanted, over;
};
void bk_tunnel_reader_init(struct bk_tunnel_reader *reader, struct bk_tunnel_answer *answer);
/* *ret_used: how many of the bytes belong to the answer. After anything but MORE: not to be called again. */
enum bk_tunnel_step bk_tunnel_read(struct bk_tunnel_reader *reader, struct bk_view bytes,
                                   size_t *ret_used);

#endif
