/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/failure_card.h - why it did not work: the sentence, what to do, the code for support, what one press can do about it. */
#ifndef BK_DESKTOP_FAILURE_CARD_H
#define BK_DESKTOP_FAILURE_CARD_H

#include "desktop/app.h"

/* Hidden until something failed. Its buttons activate "signin.retry", "signin.automatic" and "app.options" where it stands. */
#define BK_TYPE_FAILURE_CARD (bk_failure_card_get_type())
G_DECLARE_FINAL_TYPE(BkFailureCard, bk_failure_card, BK, FAILURE_CARD, GtkBox)

/* Nothing of it is kept. */
void bk_failure_card_show(BkFailureCard *card, BkApp *app, const struct bk_client_failure *failure);
/* Something that is wrong with the options of this computer: no record, no code. */
void bk_failure_card_say(BkFailureCard *card, BkApp *app, const char *text, const char *does);
void bk_failure_card_hide(BkFailureCard *card);
/* The button that helps most; NULL: none does. */
GtkWidget *bk_failure_card_button(BkFailureCard *card);

#endif
