/* SPDX-License-Identifier: Apache-2.0 */
/* client/dialect_private.h - what dialect.c (subscriptions, publishing) and edits.c (changes, questions) share. */
#ifndef BK_CLIENT_DIALECT_PRIVATE_H
#define BK_CLIENT_DIALECT_PRIVATE_H

#include "client/watch_private.h"
#include "ms/ask.h"

enum ms_sub_kind { SUB_CONTACTS, SUB_SELF, SUB_BATCH, SUB_COUNT };

struct sub {
    struct dialect *d;
    enum ms_sub_kind kind;
    struct bk_ask *ask;
    struct bk_sip_dialog *dialog; /* NULL: none */
    struct bk_timer due;          /* refresh, or the next try */
    char call_id[36], tag[20];
    bool refused; /* until the next sign-in */
};

enum { OWN_PUBLICATIONS_MAX = 512, SENT_MAX = 7 };

struct own_publication {
    char category[BK_MS_CATEGORY_NAME_MAX + 1];
    uint32_t instance, container, version;
};

struct dialect {
    struct bk_client *c;
    struct sub subs[SUB_COUNT];
    struct bk_timer soon; /* people are to be put into the batch */
    struct bk_buf drops;  /* addresses to be taken out of it, a NUL behind each */

    struct bk_ms_contacts list;
    bool list_here, self_here; /* told over this connection */

    /* Versions of what is published, so that a wish of ours is not taken for one that saw something else. */
    struct own_publication own[OWN_PUBLICATIONS_MAX];
    int n_own;
    struct bk_ask *publishing;
    struct own_publication sent[SENT_MAX];
    int n_sent;
    bool sent_manual, sent_note, sent_machine;
    bool publish_again, conflict; /* conflict: the one before met another version */
    struct bk_timer republish;

    struct bk_arena arena; /* of the next two */
    struct bk_ms_member *members;
    struct bk_ms_subscriber *followers;
    int n_members, n_followers;
    uint32_t container_versions[BK_MS_CONTAINERS];

    struct bk_list edits; /* the first one is under way where `asking` or `settle` says so */
    int n_edits;
    bool edit_sent, edit_again;
    int64_t
        edit_delta; /* the list has to reach this number first; 0: it was not answered; -1: any list will do */
    struct bk_ask *asking;
    struct bk_timer settle;
};

/* ---- dialect.c ---- */
struct dialect *
bk_dialect_of(struct bk_client *c); /* made where there is none; NULL: out of memory */
/* Asks for the whole contact list anew. */
void bk_dialect_reload(struct dialect *d);
/* A SERVICE to uri; -ENOTCONN, -ENOMEM: done is not called. */
int bk_dialect_service(struct bk_client *c, struct bk_view uri, struct bk_view content_type,
                       struct bk_view body, bk_ask_done_fn *done, void *owner,
                       struct bk_ask **ret_ask);

/* ---- edits.c ---- */
void bk_edits_init(struct dialect *d);
void bk_edits_go_on(struct dialect *d); /* something was loaded, or arrived */
/* Fails all that waits or is under way. */
void bk_edits_fail(struct dialect *d, const char *why);
/* Where that contact was added by an edit of ours just now. */
bool bk_edits_adds(const struct dialect *d, struct bk_view address);
void bk_tell_contacts(struct dialect *d, const struct bk_ms_told_contacts *delta, bool asked);
void bk_tell_relations(struct dialect *d, bool asked);
void bk_tell_followers(struct dialect *d, bool asked);

#endif
