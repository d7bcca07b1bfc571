/* SPDX-License-Identifier: Apache-2.0 */
/* net/tls_private.h - what conn.c and the tests ask beyond tls.h. */
#ifndef BK_NET_TLS_PRIVATE_H
#define BK_NET_TLS_PRIVATE_H

#include "net/tls.h"

/* errno of the socket behind BK_TLS_CLOSED; 0: closed in order. */
int bk_tls_socket_error(const struct bk_tls *t);
/* Bytes that came over the wire so far, mod 2^32: the bound on what a stranger's handshake may send. */
uint32_t bk_tls_bytes_in(const struct bk_tls *t);

#endif
