/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/talk_window.h - one conversation in a window. */
#ifndef BK_DESKTOP_TALK_WINDOW_H
#define BK_DESKTOP_TALK_WINDOW_H

#include "desktop/app.h"

#define BK_TYPE_TALK_WINDOW (bk_talk_window_get_type())
G_DECLARE_FINAL_TYPE(BkTalkWindow, bk_talk_window, BK, TALK_WINDOW, AdwWindow)
BkTalkWindow *bk_talk_window_new(BkApp *app, BkTalk *talk);
BkTalk *bk_talk_window_talk(BkTalkWindow *window);

#endif
