/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/talk.h - conversations: what was said, what is on its way, what is typed. No widget. */
#ifndef BK_DESKTOP_TALK_H
#define BK_DESKTOP_TALK_H

#include "desktop/history.h"
#include "desktop/roster.h"

enum { BK_TALK_TEXT_MAX = 20000 }; /* bytes of one message, as client.h has it */

/*
 * One line of a conversation. Properties, all with notify: "text" string, "mine" boolean, "at-ms" int64 (when it was written),
 * "state" int (enum bk_client_message_state; SENT for the other's), "delayed" boolean (it waited at the server),
 * "why" string (FAILED: the sentence), "does" string (what to do), "case-code" string, "retryable" boolean.
 * How it stands among its neighbours: "opens-day" (another day than the line above), "opens-group" and "closes-group" (a group is of one
 * sender and one minute), "opens-unread" (the first that was not read when the conversation was looked at).
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
bool bk_line_is_retryable(BkLine *line);
bool bk_line_opens_day(BkLine *line);
bool bk_line_opens_group(BkLine *line);
bool bk_line_closes_group(BkLine *line);
bool bk_line_opens_unread(BkLine *line);
int64_t bk_line_row(BkLine *line); /* history.h; 0: not on disk (yet) */

/*
 * A conversation with one person: GListModel of BkLine in the order it happened here. Properties: "person" (BkPerson), "unread" uint,
 * "missed" uint (of the unread: those that waited at the server while the user was away), "draft" string (read and write; on disk within
 * 1 s and at bk_talks_flush_async), "typing" boolean (the other is), "has-older" boolean.
 *
 * A message that came is shown, and taken as shown (client.h), once its row is on disk. Where that cannot be written it is shown
 * all the same, and taken as shown when the person read it. So it is not lost, and one that comes again is not doubled.
 */
#define BK_TYPE_TALK (bk_talk_get_type())
G_DECLARE_FINAL_TYPE(BkTalk, bk_talk, BK, TALK, GObject)
BkPerson *bk_talk_person(BkTalk *talk);
unsigned bk_talk_unread(BkTalk *talk);
unsigned bk_talk_missed(BkTalk *talk);
const char *bk_talk_draft(BkTalk *talk);
/* The person changed it: the other is told that they type. */
void bk_talk_set_draft(BkTalk *talk, const char *draft);
bool bk_talk_is_typing(BkTalk *talk);
/* -EMSGSIZE, -EINVAL (nothing but blanks), -ESHUTDOWN (signed out): nothing is sent. The line is in the model when this returns 0. */
int bk_talk_send(BkTalk *talk, const char *text);
/* A FAILED line again: it takes its place at the end. */
int bk_talk_retry(BkTalk *talk, BkLine *line);
void bk_talk_mark_read(BkTalk *talk);
/* A focused window shows the end of it: what comes is read at once and not told as incoming. */
void bk_talk_set_looked_at(BkTalk *talk, bool looked_at);
/* Older lines come in front; done when there are none: "has-older" becomes false. */
bool bk_talk_has_older(BkTalk *talk);
void bk_talk_load_older(BkTalk *talk);
/* So many that this row of the history is among them (bk_talk_find_row), with some before it. */
void bk_talk_load_to(BkTalk *talk, int64_t row);
/* Its position; GTK_INVALID_LIST_POSITION (G_MAXUINT): not loaded. */
unsigned bk_talk_find_row(BkTalk *talk, int64_t row);
/* What was said is gone, here and on disk; what is on its way still goes out. */
void bk_talk_forget(BkTalk *talk);

/*
 * All of them, newest first: GListModel of BkTalk. From the start those with unread lines, drafts or unfinished messages, and the most
 * recent ones. signal "incoming" (BkTalk *, BkLine *): a message came that no focused window showed yet (alerts.h decides what
 * happens). Properties: "unread" and "missed" uint: of all of them; "trouble" string: why nothing can be kept at the moment, "" where all
 * is well.
 *
 * Made before a session begins: messages come as soon as the server knows of it. history NULL: nothing is kept.
 */
#define BK_TYPE_TALKS (bk_talks_get_type())
G_DECLARE_FINAL_TYPE(BkTalks, bk_talks, BK, TALKS, GObject)
BkTalks *bk_talks_new(BkEngine *engine, BkRoster *roster, BkHistory *history, BkSettings *settings);
/* The conversation with this person, made where there is none. The list's. NULL: no address. */
BkTalk *bk_talks_with(BkTalks *talks, const char *address);
unsigned bk_talks_unread(BkTalks *talks);
unsigned bk_talks_missed(BkTalks *talks);
const char *bk_talks_trouble(BkTalks *talks);
BkHistory *bk_talks_history(BkTalks *talks); /* NULL: nothing is kept */
/* Unsent text or a message still on its way: Sign Out, Exit and Delete ask first. */
bool bk_talks_has_unsent(BkTalks *talks);
/* Drafts to disk now; done is called when they are. */
void bk_talks_flush_async(BkTalks *talks, GAsyncReadyCallback done, gpointer user_data);
/*
 * The session is over. It hears nothing any more: what the engine says from now on is of another one. What it heard before is still
 * written, however long the disk takes, and the messages among it are given back then; they are told again where that fails.
 */
void bk_talks_close(BkTalks *talks);
bool bk_talks_flush_finish(BkTalks *talks, GAsyncResult *result, GError **error);

#endif
