/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/main_page.h - oneself, the search box, contacts by group or status. */
#ifndef BK_DESKTOP_MAIN_PAGE_H
#define BK_DESKTOP_MAIN_PAGE_H

#include "desktop/app.h"

#define BK_TYPE_MAIN_PAGE (bk_main_page_get_type())
G_DECLARE_FINAL_TYPE(BkMainPage, bk_main_page, BK, MAIN_PAGE, GtkWidget)
BkMainPage *bk_main_page_new(BkApp *app);
/* Ctrl+F: the cursor goes to the search box. */
void bk_main_page_focus_search(BkMainPage *page);

#endif
