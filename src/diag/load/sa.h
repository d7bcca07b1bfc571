/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diag/load/sa.h - the client's half of a security association of the Lync dialect.
 *
 * The handshakes of NTLM and TLS-DSK and their arithmetic are those of ms/. Which text is signed and what a header field
 * looks like is written apart from the server's own, as everything else here: who signs
 * and who checks would else be wrong in the same way.
 */
#ifndef BK_DIAG_LOAD_SA_H
#define BK_DIAG_LOAD_SA_H

#include "base/random.h"
#include "diag/load/msg.h"
#include "ms/initiator.h"

enum bk_load_scheme { BK_LOAD_NTLM, BK_LOAD_TLS_DSK };

struct bk_load_sa_config {
    enum bk_load_scheme scheme;
    const char *address, *password; /* NTLM; the address is the login name */
    const char *pem;                /* TLS-DSK: certificate and key of the person */
    int64_t now_real_ms;
    const struct bk_random *random;
};

/* Of one person on one connection. The steps follow each other and never go back. */
struct bk_load_sa {
    enum bk_load_scheme scheme;
    enum bk_load_sa_step {
        BK_LOAD_SA_NEW,  /* nothing is known: the first REGISTER goes without Authorization */
        BK_LOAD_SA_LEG,  /* a token is to be sent, unsigned */
        BK_LOAD_SA_KEYS, /* a REGISTER is to be sent signed, with a last token where there is one */
        BK_LOAD_SA_STANDS /* the server has proved itself too: all it sends has to be signed */
    } step;
    char opaque[64], realm[128], target[256];
    union bk_sa_keys keys;
    uint32_t sent, received;        /* numbers of the last signature, each way */
    struct bk_initiator *initiator; /* while the handshake lasts */
};

/* Ends it and wipes the keys. {0} and NULL are fine. */
void bk_load_sa_finish(struct bk_load_sa *sa);

/*
 * Takes a 401: the offer of the schemes or a leg of the handshake. NULL, or why that was all: a
 * plain sentence.
 */
const char *bk_load_sa_challenged(struct bk_load_sa *sa, const struct bk_load_sa_config *config,
                                  const struct bk_load_fields *challenges);

/*
 * Appends the Authorization line for this message, CRLF included: what the handshake is at, or a
 * signature. Nothing where nothing is to be said yet.
 */
void bk_load_sa_authorize(struct bk_load_sa *sa, const struct bk_load_msg *msg,
                          const struct bk_random *random, struct bk_buf *to);

/*
 * Judges the signature of a message that came in. NULL: good, and its number is a new one.
 * Otherwise what is wrong with it, in words.
 */
const char *bk_load_sa_check(struct bk_load_sa *sa, const struct bk_load_msg *msg);

#endif
