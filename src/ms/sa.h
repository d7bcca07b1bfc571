/* SPDX-License-Identifier: Apache-2.0 */
/* ms/sa.h - security associations of the Lync dialect: the header fields, the string that is signed, signing and verifying. */
#ifndef BK_MS_SA_H
#define BK_MS_SA_H

#include "base/buf.h"
#include "base/random.h"
#include "ms/dsk.h"
#include "ms/ntlm.h"
#include "sip/msg.h"

/* One row each in sa.c: its name on the wire and how it makes a signature. Kerberos would be a third. */
enum bk_sa_scheme {
    BK_SA_NTLM,
    BK_SA_TLS_DSK,
    BK_SA_SCHEMES,
};
struct bk_view bk_sa_scheme_name(enum bk_sa_scheme scheme); /* "NTLM", "TLS-DSK" */

/* The same text in every header field of a server. */
#define BK_SA_REALM "SIP Communications Service"

/* Of the dialect's versions of the signed string: 2 lacks To's URI and the asserted identities. 3 and 4 are the same. */
enum { BK_SA_VERSION_MIN = 2, BK_SA_VERSION = 4 };

/* ---- header fields ---- */

enum {
    BK_SA_TEXT_MAX = 512,       /* bytes of realm, targetname, opaque */
    BK_SA_MAC_MAX = 20,         /* bytes of a signature */
    BK_SA_DATA_MAX = 24 * 1024, /* base64 of gssapi-data */
};

/*
 * Authorization, Proxy-Authorization, WWW-Authenticate, Authentication-Info and their Proxy- twins, for the schemes above. Views into
 * the value, quotes taken off; at == NULL: not there.
 */
struct bk_sa_header {
    enum bk_sa_scheme scheme;
    struct bk_view qop, opaque, realm, targetname, sts_uri;
    struct bk_view gssapi_data; /* base64 as it stands; {"" , 0}: there and empty */
    struct bk_view rand, num;   /* crand and cnum, or srand and snum */
    struct bk_view signature;   /* response, or rspauth; hex of either case */
    uint32_t number;            /* num as a number; 0 where it is none */
    int version;                /* 0: not named */
};
/* -ENOENT: another scheme, or none. -EBADMSG: one of ours, but unreadable, or a parameter twice, or over the limits. */
int bk_sa_header_parse(struct bk_view value, struct bk_sa_header *ret);

/* `NTLM realm="..", targetname="..", version=4[, sts-uri=".."]`: the offer of the first 401. sts_uri may be empty. */
void bk_sa_offer_write(struct bk_buf *to, enum bk_sa_scheme scheme, struct bk_view realm,
                       struct bk_view targetname, struct bk_view sts_uri);
/* `NTLM opaque="..", gssapi-data="..", targetname="..", realm="..", version=4`: a later 401. token is binary. */
void bk_sa_challenge_write(struct bk_buf *to, enum bk_sa_scheme scheme, struct bk_view opaque,
                           struct bk_view token, struct bk_view targetname, struct bk_view realm);
/*
 * The client's leg: `NTLM qop="auth"[, opaque=".."], realm="..", targetname="..", gssapi-data="..", version=4`. token.at == NULL: without
 * gssapi-data.
 */
void bk_sa_answer_write(struct bk_buf *to, enum bk_sa_scheme scheme, struct bk_view opaque,
                        struct bk_view realm, struct bk_view targetname, struct bk_view token);

/* ---- the string that is signed ---- */

/*
 * Appended: `<NTLM><rand><num><realm><targetname><Call-ID><CSeq><method><From><tag><To><tag><sip identity><tel identity><Expires>`, and the
 * status where the message is an answer. head is what bk_sip_msg_check gave for msg.
 */
void bk_sa_signed_text(struct bk_buf *to, enum bk_sa_scheme scheme, struct bk_view rand,
                       struct bk_view num, struct bk_view realm, struct bk_view targetname,
                       int version, const struct bk_sip_msg *msg, const struct bk_sip_head *head);

/* ---- an association ---- */

enum { BK_SA_WINDOW = 256 };

/* Both ends' keys of either kind. */
union bk_sa_keys {
    struct bk_ntlm_keys ntlm;
    struct bk_dsk_keys dsk;
};

struct bk_sa_config {
    enum bk_sa_scheme scheme;
    bool server; /* our side of it */
    int version; /* 0: BK_SA_VERSION */
    struct bk_view opaque, realm, targetname;
    union bk_sa_keys keys;
};

/* Of one connection and one user. Holds keys: destroy wipes them. About 400 bytes. */
struct bk_sa;
int bk_sa_create(const struct bk_sa_config *config, struct bk_sa **ret);
struct bk_sa *bk_sa_destroy(struct bk_sa *sa);

enum bk_sa_scheme bk_sa_scheme_of(const struct bk_sa *sa);
struct bk_view bk_sa_opaque(const struct bk_sa *sa);

/*
 * Appends the whole line that signs this message: `Authentication-Info: ...` (server) or `Authorization: ...` (client), with CRLF, the next
 * number and a fresh random value. The message must not be changed afterwards in what the signature covers. token (client only, NTLM's
 * last leg): goes along as gssapi-data with version; at == NULL: none.
 */
void bk_sa_sign(struct bk_sa *sa, const struct bk_sip_msg *msg, const struct bk_sip_head *head,
                const struct bk_random *random, struct bk_view token, struct bk_buf *to);

enum bk_sa_verdict {
    BK_SA_GOOD,
    BK_SA_UNSIGNED, /* no signature, or one of another association or scheme */
    BK_SA_FORGED,   /* the signature is wrong, or for another realm or target */
    BK_SA_REPLAYED, /* right, but this number came before, or is too old to know */
};
/* header: that of the message which names this association; parsed by the caller, who found the association by it. Counts the number. */
enum bk_sa_verdict bk_sa_verify(struct bk_sa *sa, const struct bk_sip_msg *msg,
                                const struct bk_sip_head *head, const struct bk_sa_header *header);

#endif
