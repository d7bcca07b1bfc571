/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ms/webroad.h - the client's half of ms/webticket.h and ms/certprov.h: from sts-uri to a personal certificate in four requests.
 *
 *     GET sts-uri/mex             bk_ms_road_certprov()   -> where tickets and certificates are given
 *     GET tickets/mex             bk_ms_road_webticket()  -> where tickets are asked for
 *     POST there, HTTP Basic      bk_ms_road_rst()        -> bk_ms_road_ticket(): ticket and proof key, or a refusal
 *     POST certificates           bk_ms_road_request()    -> bk_ms_road_certificate(): DER, or a refusal
 */
#ifndef BK_MS_WEBROAD_H
#define BK_MS_WEBROAD_H

#include "ms/webticket.h"

/* The SOAPAction fields of the two POSTs, with their quotes. */
extern const char bk_ms_road_rst_action[], bk_ms_road_request_action[];

/* What did not go well. */
struct bk_ms_road_fault {
    const char *
        why; /* static text for the log, where an answer is not what it should be; NULL: it is a refusal */
    struct bk_view
        text;      /* of a refusal, for the person; empty: none was given. Lives in the arena */
    uint32_t code; /* its diagnostics id, 0: none */
};

/* Views of all that is read live in the arena. Negative errno: -EBADMSG with *ret_fault, -ENOMEM. */
int bk_ms_road_certprov(struct bk_view body, struct bk_arena *arena, struct bk_view *ret_tickets,
                        struct bk_view *ret_certificates, struct bk_ms_road_fault *ret_fault);
int bk_ms_road_webticket(struct bk_view body, struct bk_arena *arena, struct bk_view *ret_post_to,
                         struct bk_ms_road_fault *ret_fault);

/* entropy: BK_MS_PROOF_BYTES random bytes, kept for bk_ms_road_ticket. context: any text, given back. */
void bk_ms_road_rst(struct bk_buf *to, struct bk_view context, struct bk_view applies_to,
                    struct bk_view address, struct bk_view entropy);

/* A ticket as its owner knows it. */
struct bk_ms_road_ticket {
    struct bk_view id, assertion, lifetime; /* as they stood there */
    int64_t expires_ms;
    unsigned char proof[BK_MS_PROOF_BYTES];
};
int bk_ms_road_ticket(struct bk_view body, struct bk_view entropy, struct bk_arena *arena,
                      struct bk_ms_road_ticket *ret, struct bk_ms_road_fault *ret_fault);

/* post_to: where it goes, said in it again; csr: PKCS#10 in DER; ids: UUIDs. */
void bk_ms_road_request(struct bk_buf *to, const struct bk_ms_road_ticket *ticket,
                        struct bk_view post_to, struct bk_view message_id, struct bk_view device_id,
                        struct bk_view address, struct bk_view csr);
int bk_ms_road_certificate(struct bk_view body, struct bk_arena *arena, struct bk_view *ret_der,
                           struct bk_ms_road_fault *ret_fault);

#endif
