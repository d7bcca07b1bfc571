/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ms/certprov.h - a personal certificate in exchange for a web ticket ([MS-OCAUTHWS]): the request, whose time stamp is signed
 * with the ticket's proof key, and the answer.
 */
#ifndef BK_MS_CERTPROV_H
#define BK_MS_CERTPROV_H

#include "ms/webticket.h"

/* A GetAndPublishCert. Views live in the arena or point into the body. */
struct bk_ms_cert_request {
    struct bk_view device_id, entity; /* as written there: "{uuid}", "alice@example.com" */
    struct bk_view request_id;
    struct bk_view csr; /* PKCS#10, DER */
    int64_t created_ms, expires_ms;
    const struct bk_ms_ws *assertion; /* for bk_ms_ticket_read */

    /* what bk_ms_cert_verify compares */
    struct bk_view timestamp, signed_info; /* as they stood there */
    struct bk_view digest, signature;      /* bytes */
    struct bk_view key_name;               /* the ticket that is said to have signed */
};

/*
 * -EBADMSG: no such request, or signed otherwise than by an HMAC-SHA1 of a SHA-1 digest of its one time stamp; *ret_why is static text.
 * -ENOMEM.
 */
int bk_ms_cert_request_parse(struct bk_view body, struct bk_arena *arena,
                             struct bk_ms_cert_request *ret, const char **ret_why);

/*
 * Whether the ticket's proof key signed the time stamp. The bytes are compared as they came: a client that signs another canonical
 * form than it sends is not understood (the stock client sends what it signs).
 */
bool bk_ms_cert_verify(const struct bk_ms_cert_request *request, const struct bk_ms_ticket *ticket);

enum bk_ms_time {
    BK_MS_TIME_GOOD,
    BK_MS_TIME_OLD, /* made more than five minutes ago, or past the end it names: a repeat of an old one */
    BK_MS_TIME_EARLY, /* made more than five minutes from now */
};
enum bk_ms_time bk_ms_cert_time(const struct bk_ms_cert_request *request, int64_t now_ms);

/* Appends the PKCS#10 as PEM. */
void bk_ms_cert_request_pem(struct bk_view csr, struct bk_buf *to);
/* Appends the answer that hands over a certificate. */
void bk_ms_cert_answer(const struct bk_ms_cert_request *request, struct bk_view der,
                       struct bk_buf *to);

#endif
