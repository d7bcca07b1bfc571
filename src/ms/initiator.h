/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ms/initiator.h - the client's half of a handshake that ends in keys for ms/sa.h: which token goes into the next REGISTER.
 *
 *     401, the offer         bk_initiator_begin()  -> a first token
 *     401 with a token       bk_initiator_take()   -> the next one, or the keys
 *     ...                                             (with NTLM a last token goes along with the first signature)
 */
#ifndef BK_MS_INITIATOR_H
#define BK_MS_INITIATOR_H

#include "base/random.h"
#include "ms/sa.h"

struct bk_initiator_config {
    enum bk_sa_scheme scheme;
    const char *pem;              /* TLS-DSK: personal certificate and its key */
    const char *login, *password; /* NTLM */
    int64_t now_real_ms;
};

/* One handshake. A TLS-DSK takes 60 kB until its keys are there. Holds keys: destroy wipes them. */
struct bk_initiator;

/* -EKEYREJECTED, -EBADMSG: nothing that the scheme could prove anything with; -ENOMEM; -EPROTO: it failed at once. */
int bk_initiator_begin(const struct bk_initiator_config *config, struct bk_initiator **ret);
struct bk_initiator *bk_initiator_destroy(struct bk_initiator *initiator);

/*
 * Takes what the server's gssapi-data held. 0, or -EBADMSG: it cannot be used, -EPROTO: the handshake failed or is over, -ENOMEM; nothing
 * more is taken then. random: NTLM's.
 */
int bk_initiator_take(struct bk_initiator *initiator, struct bk_view token,
                      const struct bk_random *random);
/* Why that was all: a static text for the administrator. */
const char *bk_initiator_fault(const struct bk_initiator *initiator);

/* What goes into gssapi-data next; at == NULL: no gssapi-data, an empty one is a token too. Alive until the next call of take. */
struct bk_view bk_initiator_token(const struct bk_initiator *initiator);
/* NULL: not there yet. Once they are, the next REGISTER is signed with them. */
const union bk_sa_keys *bk_initiator_keys(const struct bk_initiator *initiator);

#endif
