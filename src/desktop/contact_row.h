/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/contact_row.h - one row of the contact list: a header, a person, somebody to be answered, or a hint. */
#ifndef BK_DESKTOP_CONTACT_ROW_H
#define BK_DESKTOP_CONTACT_ROW_H

#include "desktop/contact_model.h"
#include <adwaita.h>

/*
 * Made by the list for what is on the screen and given one item after the other. Its buttons activate contacts.add, contacts.block,
 * contacts.dismiss (an address each) and contacts.toggle (a section's key), which the page has.
 */
#define BK_TYPE_CONTACT_ROW (bk_contact_row_get_type())
G_DECLARE_FINAL_TYPE(BkContactRow, bk_contact_row, BK, CONTACT_ROW, GtkWidget)
GtkWidget *bk_contact_row_new(void);
void bk_contact_row_set_item(BkContactRow *row, BkContactItem *item); /* NULL: none */
BkContactItem *bk_contact_row_item(BkContactRow *row);
/* A hint that is all there is gets a sign above it. */
void bk_contact_row_set_alone(BkContactRow *row, bool alone);
/* Time passed, or something was read: "for 12 minutes" is said anew. */
void bk_contact_row_refresh(BkContactRow *row);

#endif
