/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/leave.h - the questions before Sign Out, Exit, Delete my sign-in info and the first Close. */
#ifndef BK_DESKTOP_LEAVE_H
#define BK_DESKTOP_LEAVE_H

#include "desktop/app.h"

enum bk_leave { BK_LEAVE_SIGN_OUT, BK_LEAVE_EXIT };

/* Calls go, at once where nothing would be lost; else it asks, in front of the main window. A question that stands is not asked twice. */
void bk_leave_ask(BkApp *app, enum bk_leave what, void (*go)(BkApp *app));
/* Always asks. */
void bk_leave_ask_delete(BkApp *app, const char *address,
                         void (*go)(BkApp *app, const char *address));
/* Once: where no icon will show that Beckon goes on. go: the window may go. */
void bk_leave_explain_close(BkApp *app, GtkWindow *window);

#endif
