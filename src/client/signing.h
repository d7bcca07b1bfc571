/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/signing.h - the signatures of one connection to a server of the Lync dialect: the handshake in REGISTERs, what goes out
 * signed, what comes in judged. Pure: messages in, messages out.
 *
 * An association stands until another one takes its place, so that messages go on while the person is proved anew.
 */
#ifndef BK_CLIENT_SIGNING_H
#define BK_CLIENT_SIGNING_H

#include "ms/initiator.h"

struct bk_signing {
    const struct bk_random *random;
    char epid[BK_SA_TEXT_MAX]; /* goes into the From of every request; "": none */

    /* all of the rest is this file's own */
    struct bk_initiator *initiator; /* a handshake under way */
    char opaque[BK_SA_TEXT_MAX], realm[BK_SA_TEXT_MAX], target[BK_SA_TEXT_MAX];
    enum bk_sa_scheme scheme;
    int legs;
    bool reopens; /* the next REGISTER opens a new handshake, so it goes unsigned */
    struct bk_sa
        *fresh;       /* its keys are used already; the server has not shown yet that it has them */
    struct bk_sa *sa; /* both have shown that */
    struct bk_sip_msg *msg; /* room for what goes out */
};

/* Back to nothing: the connection is gone. Keys are wiped; random and epid stay. {0} is fine. */
void bk_signing_reset(struct bk_signing *signing);
/* For good. */
void bk_signing_finish(struct bk_signing *signing);

/* The offer of a scheme in a 401. */
struct bk_signing_offer {
    bool there, is_leg; /* is_leg: a token of a handshake under way, not a first offer */
    struct bk_view realm, targetname, sts_uri; /* into the message */
    char others[128];                          /* names of all that is offered, for the record */
};
void bk_signing_offer(const struct bk_sip_msg *msg, enum bk_sa_scheme scheme,
                      struct bk_signing_offer *ret);

/*
 * A first offer is taken up: the next REGISTER carries the first leg. NULL, or why not, a text for the administrator. *ret_own: it is for
 * want of something usable of our own (an unreadable certificate), not the server's doing.
 */
const char *bk_signing_begin(struct bk_signing *signing, const struct bk_signing_offer *offer,
                             const struct bk_initiator_config *config, bool *ret_own);
/* A 401 with the next leg of it. NULL, or why it cannot go on. */
const char *bk_signing_go_on(struct bk_signing *signing, const struct bk_sip_msg *msg);
/* The next REGISTER is to open a new handshake while the present association goes on for all else. */
void bk_signing_reopen(struct bk_signing *signing);
/* Does an association stand, so that what comes has to be signed? */
bool bk_signing_stands(const struct bk_signing *signing);

/*
 * The last step before a message goes out: appends it with the epid and with what the handshake is at, or a signature. What is no
 * SIP is appended as it is; to->failed: out of memory.
 */
void bk_signing_seal(struct bk_signing *signing, struct bk_view message, struct bk_buf *to);

/*
 * Judges what came, before anybody looks at it. NULL: it may be believed. Else what is wrong with it, in words, and it is to be
 * ignored. Answers that refuse a REGISTER are not signed, they may come before there are keys; so nothing is to be done for one that
 * only the server can want ([MS-SIPAE] 3.2.5.2).
 */
const char *bk_signing_open(struct bk_signing *signing, const struct bk_sip_msg *msg,
                            const struct bk_sip_head *head);

#endif
