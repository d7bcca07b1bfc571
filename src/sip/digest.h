/* SPDX-License-Identifier: Apache-2.0 */
/* sip/digest.h - Digest access authentication (RFC 7616, RFC 8760; in SIP: RFC 3261, 22.4). Pure: no store, no clock of its own. */
#ifndef BK_SIP_DIGEST_H
#define BK_SIP_DIGEST_H

#include "base/buf.h"
#include "base/random.h"

enum bk_digest_algorithm {
    BK_DIGEST_UNKNOWN,
    BK_DIGEST_MD5,
    BK_DIGEST_SHA256,
};
enum { BK_DIGEST_HEX_MAX = 64 }; /* of SHA-256; MD5 has 32 */

struct bk_view bk_digest_algorithm_name(enum bk_digest_algorithm algorithm);
enum bk_digest_algorithm
bk_digest_algorithm_of(struct bk_view name); /* "MD5", "SHA-256", any case */
size_t bk_digest_hex_len(enum bk_digest_algorithm algorithm);

/* An Authorization or Proxy-Authorization value. Values unquoted, escapes kept; empty: missing. */
struct bk_digest_credentials {
    struct bk_view username, realm, nonce, uri, response, cnonce, nc, qop, opaque, algorithm_name;
    enum bk_digest_algorithm algorithm; /* MD5 where none is named (RFC 7616 3.4) */
};
/* -ENOENT: another scheme than Digest; -EBADMSG: Digest, but unreadable or a parameter twice. */
int bk_digest_credentials_parse(struct bk_view value, struct bk_digest_credentials *ret);

/* The same for WWW-Authenticate and Proxy-Authenticate. */
struct bk_digest_challenge {
    struct bk_view realm, nonce, opaque, qop_list, algorithm_name;
    enum bk_digest_algorithm algorithm;
    bool stale;
};
int bk_digest_challenge_parse(struct bk_view value, struct bk_digest_challenge *ret);
/* `Digest realm="..", nonce="..", algorithm=.., qop="auth"[, stale=true]` */
void bk_digest_challenge_write(struct bk_buf *to, struct bk_view realm, struct bk_view nonce,
                               enum bk_digest_algorithm algorithm, bool stale);

/* H(user:realm:password) as lower-case hex into ret (bk_digest_hex_len bytes and a NUL). */
int bk_digest_ha1(enum bk_digest_algorithm algorithm, struct bk_view user, struct bk_view realm,
                  struct bk_view password, char ret[BK_DIGEST_HEX_MAX + 1]);

/* The response that answers these credentials' own nonce, nc, cnonce, qop and uri. */
int bk_digest_response(const struct bk_digest_credentials *c, struct bk_view method,
                       struct bk_view ha1_hex, char ret[BK_DIGEST_HEX_MAX + 1]);

/*
 * Constant-time. true: c.response is right for this method and HA1. qop must be auth or missing (RFC 2069 peers).
 * Whether c.uri is the request's, and realm, nonce and nc are ours, is the caller's to ask.
 */
bool bk_digest_check(const struct bk_digest_credentials *c, struct bk_view method,
                     struct bk_view ha1_hex);

/*
 * The client's answer, ready to stand in Authorization. cnonce comes from random. nc counts from 1.
 * Qop auth is used when offered. -ENOTSUP: algorithm or qop unknown; -EINVAL: a quote, backslash or control byte in
 * user or uri; -ENOMEM.
 */
int bk_digest_answer(struct bk_buf *to, const struct bk_digest_challenge *challenge,
                     struct bk_view user, struct bk_view password, struct bk_view method,
                     struct bk_view uri, uint32_t nc, const struct bk_random *random);

/*
 * Nonces without memory: time and 64 random bits, and an HMAC-SHA-256 over both and `bind` (what
 * the nonce is for: realm and algorithm) under the key of the server. Valid for lifetime_ms.
 */
struct bk_digest_nonce_key {
    uint8_t key[32];
};
enum { BK_DIGEST_NONCE_MAX = 64 };
/* A NUL stands behind it. -ENOMEM: the text is empty, which checks as forged. */
int bk_digest_nonce_make(const struct bk_digest_nonce_key *key, struct bk_view bind,
                         int64_t now_mono_ms, const struct bk_random *random,
                         char ret[BK_DIGEST_NONCE_MAX]);
enum bk_digest_nonce_state {
    BK_DIGEST_NONCE_FORGED, /* not ours, or for another purpose */
    BK_DIGEST_NONCE_STALE,  /* ours, too old: challenge again with stale=true */
    BK_DIGEST_NONCE_GOOD,
};
/* *ret_id: 64 bits that name this nonce, for the caller's table of nc already seen. */
enum bk_digest_nonce_state bk_digest_nonce_check(const struct bk_digest_nonce_key *key,
                                                 struct bk_view bind, struct bk_view nonce,
                                                 int64_t now_mono_ms, int64_t lifetime_ms,
                                                 uint64_t *ret_id);

#endif
