/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/talk.h - conversations: what was said, what is on its way, what is typed. No widget. */
#ifndef BK_DESKTOP_TALK_H
#define BK_DESKTOP_TALK_H

#include "desktop/history.h"
#include "desktop/roster.h"

/*
 * One line of a conversation. Properties, all with notify: "text" string, "mine" boolean, "at-ms" int64 (when it was written),
 * "state" int (enum bk_client_message_state; SENT for the other's), "delayed" boolean (it waited at the server),
 * "why" string (FAILED: the sentence), "does" string (what to do), "case-code" string, "retryable" boolean.
 */
#define BK_TYPE_LINE (bk_line_get_type())
G_DECLARE_FINAL_TYPE(BkLine, bk_line, BK, LINE, GObject)
const char *bk_line_text(BkLine *line);
bool bk_line_is_mine(BkLine *line);
int64_t bk_line_at_ms(BkLine *line);
enum bk_client_message_state bk_line_state(BkLine *line);
bool bk_line_is_delayed(BkLine *line);
const char *bk_line_why(BkLine *line);
const char *bk_line_does(BkLine *line);
const char *bk_line_case_code(BkLine *line);

/*
 * A conversation with one person: GListModel of BkLine in the order it happened. Properties: "person" (BkPerson), "unread" uint,
 * "draft" string (read and write; on disk 1 s after the last change and at Close, Exit, Sign Out), "typing" boolean (the other is).
 */
#define BK_TYPE_TALK (bk_talk_get_type())
G_DECLARE_FINAL_TYPE(BkTalk, bk_talk, BK, TALK, GObject)
BkPerson *bk_talk_person(BkTalk *talk);
unsigned bk_talk_unread(BkTalk *talk);
const char *bk_talk_draft(BkTalk *talk);
void bk_talk_set_draft(BkTalk *talk, const char *draft);
bool bk_talk_is_typing(BkTalk *talk);
/* At most 20,000 bytes; -EMSGSIZE with nothing sent. The line is in the model when this returns 0. */
int bk_talk_send(BkTalk *talk, const char *text);
/* A FAILED line again: it takes its place at the end. */
int bk_talk_retry(BkTalk *talk, BkLine *line);
void bk_talk_mark_read(BkTalk *talk);
/* Older lines come in front; done when there are none: "has-older" becomes false. */
void bk_talk_load_older(BkTalk *talk);

/*
 * All of them, newest first: GListModel of BkTalk. signal "incoming" (BkTalk *, BkLine *): a message came that no focused window
 * showed yet (alerts.h decides what happens). property "unread" uint: of all of them.
 */
#define BK_TYPE_TALKS (bk_talks_get_type())
G_DECLARE_FINAL_TYPE(BkTalks, bk_talks, BK, TALKS, GObject)
BkTalks *bk_talks_new(BkEngine *engine, BkRoster *roster, BkHistory *history, BkSettings *settings);
/* The conversation with this person, made where there is none. The list's. NULL: no address. */
BkTalk *bk_talks_with(BkTalks *talks, const char *address);
unsigned bk_talks_unread(BkTalks *talks);
/* Unsent text or a message still on its way: Sign Out, Exit and Delete ask first. */
bool bk_talks_has_unsent(BkTalks *talks);
/* Drafts to disk now; done is called when they are. */
void bk_talks_flush_async(BkTalks *talks, GAsyncReadyCallback done, gpointer user_data);

#endif
