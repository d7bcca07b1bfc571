/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/talk_window.h - one conversation in a window. */
#ifndef BK_DESKTOP_TALK_WINDOW_H
#define BK_DESKTOP_TALK_WINDOW_H

#include "desktop/app.h"

/*
 * Closing it (its X, Escape, Ctrl+W) ends the window, not the conversation, and what is typed stays as a draft. A line is read when the
 * window has the focus and shows the end of the conversation.
 */
#define BK_TYPE_TALK_WINDOW (bk_talk_window_get_type())
G_DECLARE_FINAL_TYPE(BkTalkWindow, bk_talk_window, BK, TALK_WINDOW, AdwWindow)
BkTalkWindow *bk_talk_window_new(BkApp *app, BkTalk *talk);
BkTalk *bk_talk_window_talk(BkTalkWindow *window);
/* The application's window with this conversation; NULL: none is open. */
BkTalkWindow *bk_talk_window_find(BkApp *app, BkTalk *talk);
/* Scrolls to this row of the history (history.h) and points at it. */
void bk_talk_window_show_row(BkTalkWindow *window, int64_t row);
/* The cursor goes to the entry, behind what stands there. */
void bk_talk_window_focus_entry(BkTalkWindow *window);

#endif
