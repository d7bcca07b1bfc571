/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/contact_model.h - the people of the main window as one flat list: groups or states, and what a search found. No widget. */
#ifndef BK_DESKTOP_CONTACT_MODEL_H
#define BK_DESKTOP_CONTACT_MODEL_H

#include "desktop/person.h"

/*
 * One row. HEADER opens and closes what stands below it; PERSON is somebody; FOLLOWER somebody who waits for an answer; HINT a line
 * of text. The same person has a row in each of their groups. signal "changed": a HEADER counts anew or was opened or closed.
 */
enum bk_contact_kind { BK_CONTACT_HEADER, BK_CONTACT_PERSON, BK_CONTACT_FOLLOWER, BK_CONTACT_HINT };

#define BK_TYPE_CONTACT_ITEM (bk_contact_item_get_type())
G_DECLARE_FINAL_TYPE(BkContactItem, bk_contact_item, BK, CONTACT_ITEM, GObject)

enum bk_contact_kind bk_contact_item_kind(BkContactItem *item);
BkPerson *bk_contact_item_person(BkContactItem *item);   /* NULL: HEADER, HINT */
const char *bk_contact_item_title(BkContactItem *item);  /* HEADER, HINT: what it says */
const char *bk_contact_item_key(BkContactItem *item);    /* of its section, see below */
const char *bk_contact_item_group(BkContactItem *item);  /* the group it stands in; NULL: in none */
unsigned bk_contact_item_count(BkContactItem *item);     /* HEADER: how many belong here */
unsigned bk_contact_item_reachable(BkContactItem *item); /* HEADER: how many of them are there */
bool bk_contact_item_is_expanded(BkContactItem *item);   /* HEADER */

enum bk_contact_view { BK_CONTACTS_BY_GROUP, BK_CONTACTS_BY_STATUS };

/*
 * GListModel of BkContactItem. Without a query: who put the user on a list, then either favourites, the groups in their order and
 * Other Contacts last, or the states Available, Busy, Away, Offline, Unknown that anybody is in. With a query: an address
 * that was typed whole, contacts that match, people of the directory, a hint.
 * A section's key: "g:<group>", "s:<state>", "f" followers, "q:address", "q:contacts", "q:directory", "q:hint".
 * Within a section people stand by name. A change of presence moves the rows of that person alone.
 */
#define BK_TYPE_CONTACT_MODEL (bk_contact_model_get_type())
G_DECLARE_FINAL_TYPE(BkContactModel, bk_contact_model, BK, CONTACT_MODEL, GObject)

/* contacts, followers: of BkPerson; groups: of BkGroup. They are referenced. */
BkContactModel *bk_contact_model_new(GListModel *contacts, GListModel *groups,
                                     GListModel *followers);
void bk_contact_model_set_view(BkContactModel *model, enum bk_contact_view view);
/* False: who is offline has no row in groups, but counts; states and searches show them anyway. */
void bk_contact_model_set_show_offline(BkContactModel *model, bool show);
/* Words to look for in names and addresses, in any case and without accents; "": the whole list. */
void bk_contact_model_set_query(BkContactModel *model, const char *query);
/* How many contacts the query met. */
unsigned bk_contact_model_n_matches(BkContactModel *model);
/* People of the directory, in their order, but for those who stand there as contacts; NULL: none. Kept until the query changes to "". */
void bk_contact_model_set_found(BkContactModel *model, GListModel *found);
/* Whose address was typed; NULL: nobody's. */
void bk_contact_model_set_typed(BkContactModel *model, BkPerson *person);
/* A line at the end of what a search shows; NULL or "": none. */
void bk_contact_model_set_hint(BkContactModel *model, const char *hint);

void bk_contact_model_set_expanded(BkContactModel *model, const char *key, bool expanded);
/* The keys of closed sections, escaped, blanks between, for the settings. Caller frees. */
char *bk_contact_model_collapsed(BkContactModel *model);
void bk_contact_model_set_collapsed(BkContactModel *model, const char *collapsed);

/* The first row of that person, or of the header with that key; GTK_INVALID_LIST_POSITION's value, G_MAXUINT, where there is none. */
unsigned bk_contact_model_find_person(BkContactModel *model, BkPerson *person);
unsigned bk_contact_model_find_header(BkContactModel *model, const char *key);

/* "sip:ann@example.org " is "ann@example.org"; NULL where text is no whole address. Caller frees. */
char *bk_contact_address_of(const char *text);
/* "Away for 12 minutes", "Busy", "Blocked". Caller frees these three. now_ms 0: without the time. */
char *bk_contact_status(BkPerson *person, int64_t now_ms);
/* In one line below a name: "Busy · In a meeting until 15:00", where there is no note how long. */
char *bk_contact_subtitle(BkPerson *person, int64_t now_ms);
/* Of somebody a search found: what tells namesakes apart stands behind the state, or alone where that is unknown. */
char *bk_contact_found_subtitle(BkPerson *person);
/* For who does not see it: "Alice Example, Busy, In a meeting until 15:00". */
char *bk_contact_label(BkPerson *person);
/* Lower case, without accents: what searches compare. Caller frees. */
char *bk_contact_fold(const char *text);

#endif
