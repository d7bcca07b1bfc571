/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fakes/lync_way.h - the way into a server that knows the Lync dialect alone, for uc_server.c: discovery, web ticket, certificate,
 * TLS-DSK, signatures. The arithmetic and the documents are those of ms/; who may in is the test's.
 */
#ifndef BK_FAKES_LYNC_WAY_H
#define BK_FAKES_LYNC_WAY_H

#include "ms/sa.h"
#include "ms/webticket.h"
#include "net/http.h"

struct lync_way {
    char host[256], base[300]; /* base: "https://host:port" */
    struct bk_dsk_side *side;
    struct bk_ms_ticket_key key;
    /* A certificate for that request and address, as PEM from malloc. */
    char *(*issue)(void *ctx, const char *csr_pem, const char *address);
    void *ctx;
};
void lync_way_start(struct lync_way *way, const char *host, uint16_t port);

/* false: nothing of it. "secret" is everybody's password. */
bool lync_way_web(struct lync_way *way, struct bk_http_exchange *x,
                  const struct bk_http_request *q);

/* Of one connection. */
struct lync_peer {
    struct bk_dsk *dsk;
    struct bk_sa *sa, *fresh;
    char opaque[20];
    unsigned n; /* handshakes */
};
void lync_peer_finish(struct lync_peer *peer);

/* A REGISTER. 200: go on; 401: with these lines; 403: its signature is wrong. sts_uri NULL: the usual one. */
int lync_way_register(struct lync_way *way, struct lync_peer *peer, const struct bk_sip_msg *msg,
                      const char *sts_uri, struct bk_buf *fields);
/* Was it signed as it must be? Only where an association stands. */
bool lync_peer_check(struct lync_peer *peer, const struct bk_sip_msg *msg);
/* Appends the message, signed where it has to be; spoil: wrongly. */
void lync_peer_seal(struct lync_peer *peer, struct bk_view message, bool spoil, struct bk_buf *to);

#endif
