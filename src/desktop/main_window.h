/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/main_window.h - the one window: the sign-in page, or who is there. */
#ifndef BK_DESKTOP_MAIN_WINDOW_H
#define BK_DESKTOP_MAIN_WINDOW_H

#include "desktop/app.h"

/*
 * Shows the sign-in page while nobody has a session and the main page else; the page that is not shown is hidden, too, so that a
 * screen reader does not read it. Its X is Close (app.h).
 */
#define BK_TYPE_MAIN_WINDOW (bk_main_window_get_type())
G_DECLARE_FINAL_TYPE(BkMainWindow, bk_main_window, BK, MAIN_WINDOW, AdwApplicationWindow)

BkMainWindow *bk_main_window_new(BkApp *app, GtkWidget *signin_page);
void bk_main_window_focus_search(BkMainWindow *window);
void bk_main_window_toast(BkMainWindow *window, const char *text);
/* With a button that runs an action ("app.missed"). */
void bk_main_window_offer(BkMainWindow *window, const char *text, const char *button,
                          const char *action);

#endif
