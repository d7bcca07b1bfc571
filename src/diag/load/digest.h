/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diag/load/digest.h - the client's half of Digest (RFC 2617, RFC 7616, RFC 8760 for SIP).
 *
 * Written apart from the server's own on purpose: a load program that shares the code it measures
 * would share its mistakes.
 */
#ifndef BK_DIAG_LOAD_DIGEST_H
#define BK_DIAG_LOAD_DIGEST_H

#include "base/buf.h"

enum bk_load_digest_algorithm {
    BK_LOAD_DIGEST_MD5, /* also where the challenge names none */
    BK_LOAD_DIGEST_SHA256,
    BK_LOAD_DIGEST_SHA512_256,
};

/* One challenge, copied out of its message. */
struct bk_load_challenge {
    enum bk_load_digest_algorithm algorithm;
    bool session; /* "-sess" */
    bool qop_auth;
    bool stale;
    bool has_opaque;
    char realm[128], nonce[256], opaque[256]; /* without quotes, escapes as they came */
    char algorithm_text[24];                  /* as the challenge wrote it; empty: not named */
};

/*
 * The value of a WWW-Authenticate or Proxy-Authenticate field. -ENOTSUP: not Digest, an algorithm
 * unknown here, or a qop without "auth": try the next field. -EBADMSG: not well formed or too long.
 */
int bk_load_challenge_parse(struct bk_view value, struct bk_load_challenge *ret);

/*
 * Takes one name=value, quoted or not, off the front of *rest, and the comma behind it. The value is
 * without its quotes. -EBADMSG.
 */
int bk_load_parameter_next(struct bk_view *rest, struct bk_view *ret_name,
                           struct bk_view *ret_value);

struct bk_load_credentials {
    const char *username, *password;
    const char *method, *uri;
    const char *cnonce; /* used where the challenge offers qop */
    uint32_t nc;
};

/* The hexadecimal response value. -ENOTSUP where OpenSSL refuses the algorithm. */
int bk_load_digest_response(const struct bk_load_challenge *challenge,
                            const struct bk_load_credentials *credentials, char ret[65]);

/* Appends the value of the Authorization field. Errors as above; the buffer keeps its own failure. */
int bk_load_digest_answer(const struct bk_load_challenge *challenge,
                          const struct bk_load_credentials *credentials, struct bk_buf *to);

#endif
