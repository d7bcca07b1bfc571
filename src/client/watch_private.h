/* SPDX-License-Identifier: Apache-2.0 */
/* client/watch_private.h - one person watched: what presence.c and dialect.c share. */
#ifndef BK_CLIENT_WATCH_PRIVATE_H
#define BK_CLIENT_WATCH_PRIVATE_H

#include "client/client_private.h"
#include "ms/told.h"
#include "sip/dialog.h"

/*
 * Watched in one of two ways: in the batch of the Lync dialect (dialect.c), or by a subscription of its own (presence.c)
 * where the server has no batches, or sends us away from its batch for this person.
 */
struct watch {
    struct bk_list in;
    struct bk_client *client;
    char address[BK_SIP_AOR_MAX + 1];
    bool own;    /* the person signed in: what the server shows of us */
    bool wanted; /* by the face; own ones come and go with the sign-in */
    bool listed; /* on the contact list */
    /* in the batch */
    bool fresh; /* put on the list just now, by us: the server may tell whoever it is */
    bool asked, in_batch;
    bool alone; /* never in the batch, as long as this connection stands */
    /* by itself */
    struct bk_ask *ask;
    struct bk_sip_dialog *dialog; /* NULL: none yet */
    struct bk_sip_subscriber subscriber;
    struct bk_timer due; /* refresh, or the next try */
    char call_id[36], tag[20];
    uint32_t cseq;
    /* told last */
    bool told;
    enum bk_pidf_shown shown;
    char *name; /* NULL: not told */
    char *note;
    int64_t since_ms;
};

struct watch *bk_watch_find(struct bk_client *c, struct bk_view address);
/* On the contact list, or no longer. */
void bk_watch_listed(struct bk_client *c, struct bk_view address, bool listed, bool fresh);
void bk_watch_told(struct watch *w, const struct bk_ms_told_person *told);
void bk_watch_unknown(struct watch *w);
void bk_watch_alone(struct watch *w);

#endif
