/* SPDX-License-Identifier: Apache-2.0 */
/* server/ms_auth_private.h - signing in as the Lync dialect does it, and the signatures on all that follows. */
#ifndef BK_SERVER_MS_AUTH_PRIVATE_H
#define BK_SERVER_MS_AUTH_PRIVATE_H

#include "ms/endpoint.h"
#include "ms/sa.h"
#include "server/core_private.h"

enum {
    MS_PEERS_MAX = 8,      /* endpoints signed in over one connection */
    MS_HANDSHAKES_MAX = 2, /* under way on one connection; the oldest goes */
    MS_CHALLENGES_MAX =
        64, /* 401s of a connection in a row: eight endpoints with six legs each fit */
    MS_OPAQUE_SIZE = 17,
    MS_HANDSHAKES_TOTAL = 2000, /* each costs up to 60 kB until its connection ends */
};

/* An endpoint that proved who it is: a security association belongs to one connection and one user. */
struct ms_peer {
    struct bk_list in_link;
    struct bk_sa *sa;
    int64_t since_ms;     /* mono: when it was proved */
    int64_t until_real;   /* end of the certificate it stands on; 0: none */
    char serial[40];      /* of that certificate; "": a password */
    struct bk_core *core; /* for the timer */
    uint64_t link;
    struct bk_timer hold; /* armed: it proves itself anew, and what is for it waits (ms_hold.c) */
    struct bk_buf held;
    struct bk_view address, endpoint; /* behind the struct */
    char text[];
};

/* One on its way there. */
struct ms_handshake {
    struct bk_list in_link;
    enum bk_sa_scheme scheme;
    char opaque[MS_OPAQUE_SIZE];
    char address[BK_SIP_AOR_MAX + 1]; /* whom it is for */
    uint8_t challenge[8];             /* NTLM */
    struct bk_dsk *dsk;               /* TLS-DSK, until it is done */
    struct ms_job *job;               /* a worker has dsk; NULL: none */
    const struct bk_record
        *refused; /* TLS-DSK: what is wrong with the certificate; NULL: nothing */
    bool done;    /* TLS-DSK: the keys are there, the signature on a REGISTER is missing */
    union bk_sa_keys keys;
    int64_t until_real;
    char serial[40];
};

/* What a link knows of the dialect; made when the first client of it is challenged. */
struct ms_link {
    struct bk_list peers, handshakes;
    struct ms_peer *answered; /* its new signature just went out: what it was held back follows */
    int n_peers, n_handshakes;
    int n_challenges; /* 401s since the last good REGISTER */
};

/* ---- ms_sign.c ---- */
/* Of the link; NULL: none. */
struct ms_peer *ms_peer_by_opaque(const struct link *link, struct bk_view opaque);
/* Takes the association over, also where it fails. An older one of that endpoint is gone then. -ENOMEM, -ENOSPC. */
int ms_peer_put(struct bk_core *core, struct link *link, struct bk_view address,
                struct bk_view endpoint, struct bk_sa *sa, struct ms_peer **ret);
struct ms_handshake *ms_handshake_destroy(struct bk_core *core, struct link *link,
                                          struct ms_handshake *handshake);

/* ---- ms_auth.c ---- */
/* The handshake goes while a worker has its TLS, which is the job's to destroy from here on. */
void ms_job_leave(struct ms_job *job);
/* The 401 that offers what there is; counted on the link. */
void ms_offer(struct request *rq, struct bk_view address);

/* ---- ms_hold.c ---- */
/*
 * A client that proves itself anew on a connection throws its old keys away before it begins, has new ones before the server can know
 * that it does, and closes the connection (pidgin-sipe 1.25) over a signature that is none of these. So from its first unsigned REGISTER
 * until that is done what is for it waits here, some seconds at most, and goes out with the new signature behind the 200.
 */
void ms_hold(struct bk_core *core, struct link *link, struct bk_view address,
             struct bk_view endpoint);
/* Whether that address is doing so on this link: what it says meanwhile cannot be signed. */
bool ms_proves_anew(const struct link *link, struct bk_view address);
/* Keeps the bytes where they have to wait. false: they are to go out now. */
bool ms_hold_back(struct ms_peer *peer, const struct bk_sip_msg *msg, struct bk_view bytes);
/* What waited is now for `to`, the same endpoint's new association. */
void ms_hold_move(struct ms_peer *from, struct ms_peer *to);
void ms_hold_drop(struct ms_peer *peer);

/* A message was not signed as it must be; too many of them close the link. */
void ms_count_forged(struct bk_core *core, struct link *link);

/* The header of a message that carries a signature or a leg of ours. 0; -ENOENT: none; -EBADMSG. */
int ms_header_of(const struct bk_sip_msg *msg, struct bk_sa_header *ret);

#endif
