/* SPDX-License-Identifier: Apache-2.0 */
/* ms/told.h - what a client of the dialect is told: the readers beside the writers that a server has. */
#ifndef BK_MS_TOLD_H
#define BK_MS_TOLD_H

#include "ms/batch.h"
#include "ms/category.h"
#include "ms/contacts.h"
#include "ms/container.h"

/* Readers give 0; -EBADMSG with *ret_why static; -ENOMEM. Views live in the arena or the body. */

/* ---- the contact list ---- */
/*
 * A <contactList> replaces the list (initialised by the caller), a <contactDelta> is applied to it. Every group and
 * contact that is new or another one now carries `changed`, new contacts `added`;
 * bk_ms_contacts_settle with a zeroed change takes the marks away. On failure the list is to be asked for anew.
 */
enum bk_ms_told_list {
    BK_MS_TOLD_LIST,  /* all of it */
    BK_MS_TOLD_DELTA, /* applied */
    BK_MS_TOLD_OLD,   /* a delta that was applied before: nothing changed */
    BK_MS_TOLD_GAP,   /* one in between is missing: nothing changed, ask for the list */
};
struct bk_ms_told_contacts {
    enum bk_ms_told_list kind;
    int n_gone_groups, n_gone_contacts; /* of a delta */
    int64_t gone_groups[BK_MS_GROUPS_MAX];
    struct bk_view *gone_contacts; /* addresses, in the arena */
};
int bk_ms_told_contacts(struct bk_view body, struct bk_ms_contacts *list, struct bk_arena *arena,
                        struct bk_ms_told_contacts *ret, const char **ret_why);

/* The answer to a SOAP call, also a fault. */
struct bk_ms_told_call {
    int64_t delta;        /* -1: none told */
    int64_t group_id;     /* 0: none told */
    struct bk_view fault; /* faultcode without its prefix; empty: it was done */
    struct bk_view text;  /* faultstring */
    bool more;            /* directorySearch */
    int n_rows;
    struct bk_ms_search_row *rows;
};
enum { BK_MS_TOLD_ROWS_MAX = 1000 };
int bk_ms_told_call(struct bk_view body, struct bk_arena *arena, struct bk_ms_told_call *ret,
                    const char **ret_why);

/* ---- presence of somebody: <categories> ---- */
struct bk_ms_told_person {
    struct bk_view address;
    bool has_state, has_note; /* what is not there did not change */
    enum bk_pidf_shown shown;
    int64_t since_ms;    /* 0: not told, or offline */
    struct bk_view note; /* empty: none */
    struct bk_view display_name;
};
int bk_ms_told_person(struct bk_view body, struct bk_arena *arena, struct bk_ms_told_person *ret,
                      const char **ret_why);

/* ---- a batch: list of who is in it, and documents of some of them ---- */
struct bk_ms_told_resource {
    struct bk_view address;
    enum { BK_MS_RESOURCE_ACTIVE, BK_MS_RESOURCE_TERMINATED, BK_MS_RESOURCE_RESUBSCRIBE } state;
};
struct bk_ms_told_batch {
    int n_resources, n_people;
    struct bk_ms_told_resource *resources;
    struct bk_ms_told_person *people;
};
/* Also of a single <categories> body. A document that cannot be read is left out: the others are not its fault. */
int bk_ms_told_batch(struct bk_view content_type, struct bk_view body, struct bk_arena *arena,
                     struct bk_ms_told_batch *ret, const char **ret_why);

/* ---- the person's own: <roamingData> ---- */
struct bk_ms_told_publication {
    struct bk_view category;
    uint32_t instance, container, version;
    bool gone; /* nothing is left of this category; the rest is empty */
};
enum { BK_MS_TOLD_PUBLICATIONS_MAX = 512, BK_MS_TOLD_MEMBERS_MAX = 4096 };
struct bk_ms_told_self {
    unsigned parts; /* enum bk_ms_self_part: which of them were told at all */
    int n_publications, n_containers, n_members, n_subscribers;
    /* Of every category named here, these are all there are. */
    struct bk_ms_told_publication *publications;
    /* Of every container named here, these are all its members. */
    struct bk_ms_told_container {
        int container;
        uint32_t version;
    } containers[BK_MS_CONTAINERS];
    struct bk_ms_member *members;
    struct bk_ms_subscriber *subscribers;
};
int bk_ms_told_self(struct bk_view body, struct bk_arena *arena, struct bk_ms_told_self *ret,
                    const char **ret_why);

/* The 409: at most BK_MS_PUBLICATIONS_MAX conflicts. */
int bk_ms_told_conflicts(struct bk_view body, struct bk_ms_conflict *ret, int *ret_n,
                         const char **ret_why);

#endif
