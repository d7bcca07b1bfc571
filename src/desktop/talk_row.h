/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/talk_row.h - one line of a conversation as a bubble, with day, time and what became of it. */
#ifndef BK_DESKTOP_TALK_ROW_H
#define BK_DESKTOP_TALK_ROW_H

#include "desktop/talk.h"
#include <adwaita.h>

/* Made by the list for what is on the screen and given one line after the other. signal "link" (const char *uri): it was clicked. */
#define BK_TYPE_TALK_ROW (bk_talk_row_get_type())
G_DECLARE_FINAL_TYPE(BkTalkRow, bk_talk_row, BK, TALK_ROW, GtkWidget)
GtkWidget *bk_talk_row_new(BkTalk *talk);
void bk_talk_row_set_line(BkTalkRow *row, BkLine *line); /* NULL: none */
BkLine *bk_talk_row_line(BkTalkRow *row);
/* It was looked for: it stands out for a while. */
void bk_talk_row_point_at(BkTalkRow *row);

#endif
