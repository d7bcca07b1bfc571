/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/roster.h - the people of a session: contacts, groups, followers, oneself, the directory. */
#ifndef BK_DESKTOP_ROSTER_H
#define BK_DESKTOP_ROSTER_H

#include "desktop/engine.h"
#include "desktop/person.h"
#include "desktop/settings.h"

/*
 * Hears the engine and keeps the people. While the connection is away everybody is UNKNOWN (never offline), and the list stays; Sign Out
 * empties it. signal "became-available" (BkPerson *) for tagged people; "follower" (BkPerson *) for each new one who put the user on
 * their list. Addresses may be given as people type them ("sip:" in front, capitals).
 */
#define BK_TYPE_ROSTER (bk_roster_get_type())
G_DECLARE_FINAL_TYPE(BkRoster, bk_roster, BK, ROSTER, GObject)

BkRoster *bk_roster_new(BkEngine *engine, BkSettings *settings);

/* The user; never NULL, address "" while nobody is signed in. */
BkPerson *bk_roster_self(BkRoster *roster);
/* That person; made, and watched while somebody besides the roster holds a reference, where not a contact. NULL: no address. */
BkPerson *bk_roster_person(BkRoster *roster, const char *address); /* a reference of the caller's */
/* GListModel of BkPerson: who is on the contact list, in no order. The roster's. */
GListModel *bk_roster_contacts(BkRoster *roster);
/* GListModel of BkGroup, in the list's order, "~" last; a group that stays is the same object. The roster's. */
GListModel *bk_roster_groups(BkRoster *roster);
/* GListModel of BkPerson who have the user on their list and wait for an answer. */
GListModel *bk_roster_followers(BkRoster *roster);
/* False (property "has-lists", notify): this server keeps no contact lists; edits of contacts and groups fail. */
bool bk_roster_has_lists(BkRoster *roster);

/* A group: property "name" ("~": Other Contacts, shown by bk_group_title). */
#define BK_TYPE_GROUP (bk_group_get_type())
G_DECLARE_FINAL_TYPE(BkGroup, bk_group, BK, GROUP, GObject)
const char *bk_group_name(BkGroup *group);
char *bk_group_title(BkGroup *group); /* translated where it is one of ours; caller frees */

/* The directory. The result: GListModel of BkPerson (transfer full); *ret_more: there are others, ask for something narrower. */
void bk_roster_search_async(BkRoster *roster, const char *text, GCancellable *cancellable,
                            GAsyncReadyCallback done, gpointer user_data);
GListModel *bk_roster_search_finish(BkRoster *roster, GAsyncResult *result, bool *ret_more,
                                    GError **error);

/* Nobody any more; on disk, too. */
void bk_roster_forget_tagged(BkRoster *roster);
void bk_roster_set_tagged(BkRoster *roster, BkPerson *person, bool tagged);
/* Favourites are a group named "Favorites" on the list, as Lync-compatible clients have it. */
#define BK_ROSTER_FAVOURITES "Favorites"

#endif
