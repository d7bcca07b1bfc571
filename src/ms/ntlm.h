/* SPDX-License-Identifier: Apache-2.0 */
/* ms/ntlm.h - NTLM version 2 without a connection ([MS-NLMP] 1.3.1.2), as the Lync dialect uses it. */
#ifndef BK_MS_NTLM_H
#define BK_MS_NTLM_H

#include "base/buf.h"
#include "base/random.h"
#include "ms/hmac.h"

/*
 * Server and client never send a NEGOTIATE: the server opens with a CHALLENGE, the client answers with an AUTHENTICATE, and from
 * then on each message is signed by itself, always as number 100 of its direction (the messages may come in any order).
 *
 * One flavour is spoken: version 2, Unicode, extended session security, 128 bit, key exchange. Everything weaker is refused.
 */
enum {
    BK_NTLM_HASH_SIZE = 16,
    BK_NTLM_MAC_SIZE = 16,
    BK_NTLM_TOKEN_MAX = 4096, /* bytes of a message of this protocol; real ones have 200 to 600 */
};

/* MD4 of the password in UTF-16: all that the protocol needs to know of it, so it is worth a password. -EINVAL: not UTF-8. */
int bk_ntlm_hash(struct bk_view password, uint8_t ret[BK_NTLM_HASH_SIZE]);

/* What both ends have once the proof is right. The owner wipes it. */
struct bk_ntlm_keys {
    uint8_t sign[2][16], seal[2][16]; /* index: enum bk_ntlm_direction */
};
enum bk_ntlm_direction {
    BK_NTLM_TO_SERVER,
    BK_NTLM_TO_CLIENT,
};
/* [MS-NLMP] 3.4.4.2 with sequence number 100: 01000000, 8 bytes of checksum, 64000000. */
/*
 * What the signatures of one direction have in common. The seal key of each message is made of its number ([MS-NLMP] 3.4.4,
 * SealKey'), which is 100 in every message of this dialect: so RC4 begins with the same bytes each time. The owner wipes it.
 */
struct bk_ntlm_signer {
    struct bk_hmac hmac;
    uint8_t seal[8];
};
void bk_ntlm_signer_init(struct bk_ntlm_signer *ret, const struct bk_ntlm_keys *keys,
                         enum bk_ntlm_direction direction);
void bk_ntlm_sign(const struct bk_ntlm_signer *signer, struct bk_view text,
                  uint8_t ret[BK_NTLM_MAC_SIZE]);
/* Both at once. */
void bk_ntlm_mac(const struct bk_ntlm_keys *keys, enum bk_ntlm_direction direction,
                 struct bk_view text, uint8_t ret[BK_NTLM_MAC_SIZE]);

/* ---- CHALLENGE ---- */

/* UTF-8; each at most 255 bytes of ASCII letters, digits, '.', '-'. */
struct bk_ntlm_names {
    struct bk_view domain;       /* NetBIOS: "EXAMPLE" */
    struct bk_view computer;     /* NetBIOS: "SRV" */
    struct bk_view dns_domain;   /* "example.com" */
    struct bk_view dns_computer; /* "srv.example.com" */
};
/* No time stamp is sent along: then the client puts its own clock into its answer, where a wrong one is seen. */
void bk_ntlm_challenge_write(struct bk_buf *to, const uint8_t challenge[8],
                             const struct bk_ntlm_names *names);

/* Views into the token. */
struct bk_ntlm_challenge {
    uint32_t flags;
    uint8_t challenge[8];
    struct bk_view target_info; /* AV pairs with their end */
};
/* -EBADMSG: not one; -ENOTSUP: lacks a flag without which we do not speak. */
int bk_ntlm_challenge_parse(struct bk_view token, struct bk_ntlm_challenge *ret);

/* ---- AUTHENTICATE ---- */

/* Views into the token; texts are UTF-16, little endian. */
struct bk_ntlm_answer {
    uint32_t flags;
    struct bk_view user, domain, workstation;
    struct bk_view proof;       /* 16 bytes */
    struct bk_view blob;        /* what the proof is over, besides the challenge */
    struct bk_view session_key; /* 16 bytes, encrypted */
    int64_t real_ms;            /* the client's clock (or the challenge's, where that had one) */
};
/* Bounded by BK_NTLM_TOKEN_MAX. -EBADMSG: not one; -ENOTSUP: version 1, or lacks a flag. */
int bk_ntlm_answer_parse(struct bk_view token, struct bk_ntlm_answer *ret);
/* One of its texts as UTF-8, appended. -EBADMSG: half a character. */
int bk_ntlm_text(struct bk_view utf16, struct bk_buf *to);

/*
 * Whether the answer proves this hash, against the challenge that was sent; in constant time. The names count as they stand in the
 * answer, ASCII letters of the user's in upper case, as the clients do it. On true *ret is filled.
 */
bool bk_ntlm_check(const struct bk_ntlm_answer *answer, const uint8_t challenge[8],
                   const uint8_t hash[BK_NTLM_HASH_SIZE], struct bk_ntlm_keys *ret);

/* The client's side: answers a challenge. user and domain are UTF-8. -EINVAL: they are not, or too long. */
int bk_ntlm_answer_write(struct bk_buf *to, const struct bk_ntlm_challenge *challenge,
                         struct bk_view user, struct bk_view domain,
                         const uint8_t hash[BK_NTLM_HASH_SIZE], int64_t real_ms,
                         const struct bk_random *random, struct bk_ntlm_keys *ret);

#endif
