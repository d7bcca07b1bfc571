/* SPDX-License-Identifier: Apache-2.0 */
/* server/authority.h - the domain's own certificate authority: personal certificates, and the server's when it has no other. */
#ifndef BK_SERVER_AUTHORITY_H
#define BK_SERVER_AUTHORITY_H

#include "base/clock.h"
#include "base/random.h"
#include "store/store.h"

/*
 * How far off a client's clock may be, in either direction (SI-104): judged at sign-in, and certificates begin so much
 * before they were made.
 */
enum { BK_CLOCK_SKEW_MAX_MS = 300 * 1000 };

/* P-256 where made here; the organisation's own may be of any kind. Immutable after loading; signing is safe from every worker thread. */
struct bk_authority;

/* Makes a new root named after the domain, valid ten years; PEM of key and certificate. */
int bk_authority_make(struct bk_view domain, int64_t now_real_ms, struct bk_buf *ret_key_pem,
                      struct bk_buf *ret_cert_pem);
/* -EBADMSG: not readable; -EKEYREJECTED: they do not fit, or this certificate may not issue. The rest of cert_pem is the chain. */
int bk_authority_load(struct bk_view key_pem, struct bk_view cert_pem, struct bk_authority **ret,
                      const char **ret_why);
struct bk_authority *bk_authority_destroy(struct bk_authority *authority);
struct bk_view bk_authority_pem(
    const struct bk_authority *authority); /* the root certificate, the chain for clients */

/* A server certificate for these DNS names (first one also CN), key made here. PEM. */
int bk_authority_server_certificate(const struct bk_authority *authority,
                                    const struct bk_view *names, size_t n_names,
                                    int64_t now_real_ms, int days, struct bk_buf *ret_key_pem,
                                    struct bk_buf *ret_cert_pem);

struct bk_issued {
    char serial[33];               /* lower-case hex of 127 random bits */
    char fingerprint[65];          /* SHA-256 of the DER */
    int64_t not_before, not_after; /* real ms */
};
/* What bk_authority_issue would say of the request alone: 0, -EBADMSG, -EKEYREJECTED. */
int bk_authority_check_request(struct bk_view csr_pem, const char **ret_why);

/*
 * Takes only the public key from the request (PKCS#10 PEM; P-256 or RSA of 2048 to 4096 bits; the request's own
 * signature must be right). Subject CN and SAN URI are sip:address, EKU clientAuth. -EBADMSG: no readable request;
 * -EKEYREJECTED: kind or size of key not allowed; -EKEYEXPIRED: the authority itself ran out; *ret_why static text.
 * A certificate begins five minutes ago, for clients whose clock is late, and ends with the authority at the latest.
 */
int bk_authority_issue(const struct bk_authority *authority, struct bk_view csr_pem,
                       struct bk_view address, int64_t now_real_ms, int64_t life_ms,
                       const struct bk_random *random, struct bk_buf *ret_cert_pem,
                       struct bk_issued *ret, const char **ret_why);

/* What a client certificate says of itself, and whether this authority signed it. DER in. */
struct bk_personal {
    char serial[64];
    char fingerprint[65];
    char address[330]; /* from SAN URI sip:...; "" where there is none */
    int64_t not_before, not_after;
    bool ours; /* signature of this authority is right */
};
int bk_authority_read(const struct bk_authority *authority, struct bk_view der,
                      struct bk_personal *ret);

/*
 * The whole judgement of a personal certificate for address (empty: whoever owns it), used at REGISTER and at HTTPS:
 * NULL: good, *ret_row filled; else the record number and sub: 105a expired, b not yet valid, c unparsable, d for another address,
 * f issued by another authority, g unknown to the server; 219 revoked; 401 the store could not be asked.
 */
struct bk_record;
const struct bk_record *bk_authority_judge(const struct bk_authority *authority,
                                           struct bk_store *store, struct bk_view der,
                                           struct bk_view address, int64_t now_real_ms,
                                           struct bk_arena *arena, struct bk_certificate *ret_row);

#endif
