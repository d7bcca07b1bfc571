/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/contact_private.h - the contact list in parts: contact_item.c is a row, contact_texts.c what is said of a person,
 * contact_layout.c which rows there are and in which order, contact_model.c what changes them and the list that views see. */
#ifndef BK_DESKTOP_CONTACT_PRIVATE_H
#define BK_DESKTOP_CONTACT_PRIVATE_H

#include "desktop/contact_model.h"

struct _BkContactItem {
    GObject parent;
    enum bk_contact_kind kind;
    BkPerson *person;
    char *title, *key;
    char *sort; /* PERSON: where it stands in its section */
    unsigned count, reachable;
    bool expanded;
};

/* Somebody with rows in groups or states. */
struct bk_contact_known {
    BkPerson *person;
    BkContactModel *model;
    gulong changed;
    char *sort;          /* by name, then by address: how the rows are found */
    char *folded;        /* name and address for searches */
    GPtrArray *sections; /* where this person counts */
    bool row;            /* with a row there */
    bool counted_reachable;
    int pass; /* which pass over the contacts met them last */
};

struct bk_contact_section {
    char *key;
    BkContactItem *header;           /* NULL: rows without one */
    GPtrArray *items;                /* of BkContactItem, by ->sort */
    unsigned count, count_reachable; /* with those who have no row */
    bool expanded;
    bool stays; /* its header is shown without rows, too */
};

struct _BkContactModel {
    GObject parent;
    GListModel *contacts, *groups, *followers, *found;
    GHashTable *known;     /* BkPerson -> struct bk_contact_known */
    GPtrArray *sections;   /* of struct bk_contact_section */
    GHashTable *collapsed; /* set of keys */
    enum bk_contact_view view;
    bool show_offline;
    char *query;
    char **words; /* of the query, folded */
    BkPerson *typed;
    char *hint;
    unsigned n_matches;
    int pass;
};

/* ---- contact_item.c ---- */

BkContactItem *bk_contact_item_new(enum bk_contact_kind kind, const char *key, BkPerson *person,
                                   const char *title);
/* Its signal "changed". */
void bk_contact_item_tell(BkContactItem *item);

/* ---- contact_layout.c ---- */

bool bk_contact_is_reachable(BkPerson *person);
/* By name, then by address. */
char *bk_contact_sort_of(BkPerson *person);
/* Name and address as searches compare them. */
char *bk_contact_folded_of(BkPerson *person);
void bk_contact_section_free(void *data);
bool bk_contact_has_header(const struct bk_contact_section *section);
/* Rows of a section, its header too; rows of all sections before it. */
unsigned bk_contact_size_of(const struct bk_contact_section *section);
unsigned bk_contact_size_before(BkContactModel *model, const struct bk_contact_section *until);
struct bk_contact_section *bk_contact_section_of(BkContactModel *model, const char *key);
/* Where a row with this key stands or would stand. */
guint bk_contact_place_of(const struct bk_contact_section *section, const char *sort,
                          bool *ret_there);
void bk_contact_tell_header(struct bk_contact_section *section);
bool bk_contact_is_searching(BkContactModel *model);
/*
 * Calls add for each section this contact belongs to; row: with a row, else it only counts.
 * A group the list of groups does not name (yet) counts as none.
 */
void bk_contact_each_section(BkContactModel *model, struct bk_contact_known *known,
                             void (*add)(struct bk_contact_known *known,
                                         struct bk_contact_section *section, bool row));
void bk_contact_stand_in(struct bk_contact_known *known, struct bk_contact_section *section,
                         bool row);
BkContactItem *bk_contact_person_row(struct bk_contact_section *section, BkPerson *person,
                                     const char *sort);
BkContactItem *bk_contact_row_at(GPtrArray *sections, unsigned position);
/* All sections and rows anew; views are told of the part that is another. */
void bk_contact_lay_out(BkContactModel *model);

#endif
