/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/signin_page.h - address, password where one is needed, progress, one error. */
#ifndef BK_DESKTOP_SIGNIN_PAGE_H
#define BK_DESKTOP_SIGNIN_PAGE_H

#include "desktop/app.h"

#define BK_TYPE_SIGNIN_PAGE (bk_signin_page_get_type())
G_DECLARE_FINAL_TYPE(BkSigninPage, bk_signin_page, BK, SIGNIN_PAGE, GtkWidget)
BkSigninPage *bk_signin_page_new(BkApp *app);
/* Is that what the page itself shows, so that nobody else has to? Why what was saved is of no use (SI-105, SI-112), told at the beginning of a sign-in. */
bool bk_signin_page_tells(BkEngine *engine, const struct bk_client_failure *notice);

#endif
