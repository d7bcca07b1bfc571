/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/history_window.h - finds in what was said, and opens the conversation there. */
#ifndef BK_DESKTOP_HISTORY_WINDOW_H
#define BK_DESKTOP_HISTORY_WINDOW_H

#include "desktop/app.h"

#define BK_TYPE_HISTORY_WINDOW (bk_history_window_get_type())
G_DECLARE_FINAL_TYPE(BkHistoryWindow, bk_history_window, BK, HISTORY_WINDOW, AdwWindow)
/* Opens it over parent (NULL: over none). talk: looked through alone, until the person wants all; NULL: all. */
void bk_history_window_show(BkApp *app, GtkWindow *parent, BkTalk *talk);

#endif
