/* SPDX-License-Identifier: Apache-2.0 */
/* ms/contacts.h - the contact list that lives on the server: the list itself, what a client asks to change, what others are told. */
#ifndef BK_MS_CONTACTS_H
#define BK_MS_CONTACTS_H

#include "base/list.h"
#include "ms/xml.h"

#define BK_MS_CONTACTS_CONTENT_TYPE "application/vnd-microsoft-roaming-contacts+xml"

enum {
    BK_MS_GROUPS_MAX = 64,     /* docs/limits.md, "Messages and parsing" */
    BK_MS_CONTACTS_MAX = 1000, /* same */
    BK_MS_CONTACT_TEXT_MAX = 256,
    BK_MS_CONTACT_EXTERNAL_MAX = 1024,
    BK_MS_SEARCH_CONDITIONS_MAX = 8,
};

/* One allocation each, text behind the struct, owned by the list. */
struct bk_ms_group {
    struct bk_list in_list;
    int64_t id; /* never 0, never used twice in one list */
    struct bk_view name, external;
    bool changed;
    char text[];
};

struct bk_ms_contact {
    struct bk_list in_list;
    struct bk_view address; /* "bob@example.org", lower case */
    struct bk_view name;    /* the owner's own word for them; empty: as they call themselves */
    struct bk_view external;
    bool subscribed;
    bool changed, added;
    int n_groups;
    int64_t groups[BK_MS_GROUPS_MAX]; /* rising */
    char text[];
};

/*
 * The list of one owner. delta rises with each change: a client that knows number n asks from there. {0} must go through
 * bk_ms_contacts_init.
 */
struct bk_ms_contacts {
    struct bk_list groups, contacts; /* in the order of making */
    int n_groups, n_contacts;
    int64_t delta, next_group;
};
void bk_ms_contacts_init(struct bk_ms_contacts *list);
void bk_ms_contacts_finish(struct bk_ms_contacts *list);
/* As read from a store: puts in, or replaces what has that id or address. -ENOMEM, -EINVAL (groups is no list of numbers). */
int bk_ms_contacts_put_group(struct bk_ms_contacts *list, int64_t id, struct bk_view name,
                             struct bk_view external, struct bk_ms_group **ret);
int bk_ms_contacts_put(struct bk_ms_contacts *list, struct bk_view address, struct bk_view name,
                       struct bk_view groups, bool subscribed, struct bk_view external,
                       struct bk_ms_contact **ret);
struct bk_ms_contact *bk_ms_contacts_find(const struct bk_ms_contacts *list,
                                          struct bk_view address);
struct bk_ms_group *bk_ms_contacts_group(const struct bk_ms_contacts *list, int64_t id);
/* "1 2" */
void bk_ms_contact_groups_write(struct bk_buf *to, const struct bk_ms_contact *contact);

/* <contactList>, as the first notification has it. */
void bk_ms_contacts_write(struct bk_buf *to, const struct bk_ms_contacts *list);

/* ---- what a client asks for: SOAP in a SERVICE request ---- */
enum bk_ms_contact_method {
    BK_MS_ADD_GROUP,
    BK_MS_MODIFY_GROUP,
    BK_MS_DELETE_GROUP,
    BK_MS_SET_CONTACT,
    BK_MS_DELETE_CONTACT,
    BK_MS_SET_ACE, /* LCS 2005: allow or block somebody */
    BK_MS_DIRECTORY_SEARCH,
    BK_MS_CONTACT_METHOD_COUNT,
};
extern const char *const bk_ms_contact_method_names[BK_MS_CONTACT_METHOD_COUNT]; /* the element's */
struct bk_ms_contact_call {
    enum bk_ms_contact_method method;
    struct bk_view method_name;
    int64_t delta; /* the number the client believes in; -1: none given */
    int64_t group_id;
    struct bk_view name, external;
    struct bk_view address; /* of URI or mask, lower case, without scheme */
    struct bk_view groups;
    bool subscribed;
    bool blocks; /* SET_ACE: rights BD */
    int n_conditions;
    struct bk_ms_search_condition {
        struct bk_view attribute,
            value; /* "givenName", "mail", "msRTCSIP-PrimaryUserAddress" ... */
    } conditions[BK_MS_SEARCH_CONDITIONS_MAX];
    int max_results; /* 0: not given */
};
/* 0; -EBADMSG with *ret_why static; -EOPNOTSUPP: a method nobody knows here; -ENOMEM. Views live in the arena. */
int bk_ms_contact_call_parse(struct bk_view body, struct bk_arena *arena,
                             struct bk_ms_contact_call *ret, const char **ret_why);

/*
 * What became of a call. Rows to be written down carry `changed`; what is gone is named here. bk_ms_contacts_settle
 * takes the marks away and frees what was dropped, once both the store and the other endpoints were told.
 */
struct bk_ms_contact_change {
    int status;        /* 200, or what to answer: 404, 409, 413 */
    const char *fault; /* SOAP code of a refusal */
    const char *text;
    bool nothing;         /* it was so before: no row, no delta */
    int64_t delta_before; /* of the list */
    int64_t group_id;     /* of addGroup, modifyGroup */
    bool group_added;
    int64_t dropped_group;                 /* 0: none */
    struct bk_ms_contact *dropped_contact; /* already out of the list */
};
/* -ENOMEM: nothing changed. */
int bk_ms_contacts_apply(struct bk_ms_contacts *list, const struct bk_ms_contact_call *call,
                         struct bk_ms_contact_change *ret);
void bk_ms_contacts_settle(struct bk_ms_contacts *list, struct bk_ms_contact_change *change);

/*
 * <contactDelta> documents for the owner's endpoints: n counts from 0; false: there are no more (a dropped group with
 * members makes two).
 */
bool bk_ms_contacts_delta_write(struct bk_buf *to, const struct bk_ms_contacts *list,
                                const struct bk_ms_contact_change *change, int n);
/* The SOAP answer, or fault, for the one who asked. */
void bk_ms_contact_answer_write(struct bk_buf *to, const struct bk_ms_contacts *list,
                                const struct bk_ms_contact_call *call,
                                const struct bk_ms_contact_change *change);

/* ---- directorySearch ---- */
struct bk_ms_search_row { /* empty views: not known */
    struct bk_view uri, display_name, title, office, phone, company, city, state, country, email;
};
void bk_ms_search_begin(struct bk_buf *to, bool more);
void bk_ms_search_row(struct bk_buf *to, const struct bk_ms_search_row *row);
void bk_ms_search_end(struct bk_buf *to);

/* "sip:Bob@Example.org;x" or "bob@example.org" as an address in the arena; empty: it is none. */
struct bk_view bk_ms_address(struct bk_arena *arena, struct bk_view uri);

#endif
