/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/contact_actions.h - what a person does with contacts and groups: menus, questions, edits, and what is said when one failed. */
#ifndef BK_DESKTOP_CONTACT_ACTIONS_H
#define BK_DESKTOP_CONTACT_ACTIONS_H

#include "desktop/app.h"

/*
 * `from` is the widget where the wish came up: questions stand over its window, a failure is a toast there (or in the main window,
 * where its window has none), with the sentence and the case code. It may be gone when the answer comes.
 */

/* One edit. *wish is copied. */
void bk_contact_edit(GtkWidget *from, const struct bk_client_edit *wish);
/* group NULL: Other Contacts. A group that does not exist yet (favourites) is made first. */
void bk_contact_add(GtkWidget *from, const char *address, const char *group);
/* Asks first. */
void bk_contact_ask_block(GtkWidget *from, BkPerson *person);
void bk_contact_unblock(GtkWidget *from, BkPerson *person);
void bk_contact_ask_rename(GtkWidget *from, BkPerson *person);
void bk_contact_ask_new_group(GtkWidget *from,
                              BkPerson *person); /* person: who goes into it; NULL: nobody */
void bk_contact_ask_rename_group(GtkWidget *from, const char *group);
void bk_contact_ask_delete_group(GtkWidget *from, const char *group);
/* Address and group are asked for. address: what stands there already; NULL: nothing. */
void bk_contact_ask_add(GtkWidget *from, const char *address);

/*
 * The menu of a person in a group (NULL: in none; of_card: of the contact card, which it does not offer) and of a group's header, and the actions of these menus, to be inserted as
 * "person" and "group" above the menu's popover. They keep `from` weakly.
 */
GMenuModel *bk_contact_menu(BkPerson *person, const char *group, bool of_card);
GActionGroup *bk_contact_menu_actions(GtkWidget *from, BkPerson *person, const char *group);
GMenuModel *bk_contact_group_menu(const char *group);
GActionGroup *bk_contact_group_actions(GtkWidget *from, const char *group);

/* Levels of a relation from the least to the most, without blocked; the word is bk_word_relation's. */
extern const int bk_contact_relations[4];

#endif
