/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/contact_card.h - all that is known of a person, and what one can do about them, in a small window. */
#ifndef BK_DESKTOP_CONTACT_CARD_H
#define BK_DESKTOP_CONTACT_CARD_H

#include "desktop/app.h"

#define BK_TYPE_CONTACT_CARD (bk_contact_card_get_type())
G_DECLARE_FINAL_TYPE(BkContactCard, bk_contact_card, BK, CONTACT_CARD, AdwWindow)

/* Raises the card of this person or opens it over parent (NULL: over none). It follows what changes and ends with Escape. */
void bk_contact_card_show(BkApp *app, GtkWindow *parent, BkPerson *person);

#endif
