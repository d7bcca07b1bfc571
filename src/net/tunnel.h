/* SPDX-License-Identifier: Apache-2.0 */
/* net/tunnel.h - a way through an HTTP proxy by CONNECT (RFC 9110 9.3.6): the request, and what came of it. */
#ifndef BK_NET_TUNNEL_H
#define BK_NET_TUNNEL_H

#include "base/buf.h"

/* What a proxy said, for people: printable ASCII, cut to fit. */
struct bk_tunnel_answer {
    bool asked;        /* it was reached and asked; else there was no connection to it */
    bool login_sent;   /* with a name and a password */
    int status;        /* 0: nothing that can be read as an answer */
    char reason[64];   /* "Forbidden"; "" for none */
    char schemes[128]; /* of Proxy-Authenticate, as they came: "Basic, NTLM"; "" for none */
    const char *fault; /* static: what is wrong with an answer that cannot be read; NULL: nothing */
};

/*
 * "CONNECT host:port" with login ("Basic" credentials, RFC 7617, base64; empty: none). -EINVAL: bytes in host or login that
 * cannot be sent. The name goes to the proxy as it is: nobody here looks it up.
 */
int bk_tunnel_request(struct bk_buf *to, const char *host, uint16_t port, struct bk_view login);

/* Is that scheme ("Basic") among those the proxy would take? */
bool bk_tunnel_offers(const struct bk_tunnel_answer *answer, struct bk_view scheme);

#endif
