/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/words.h - what things are called for people, in their language. */
#ifndef BK_DESKTOP_WORDS_H
#define BK_DESKTOP_WORDS_H

#include "client/client.h"
#include <glib.h>

const char *bk_word_shown(enum bk_pidf_shown shown);    /* "Available" */
const char *bk_word_manual(enum bk_pidf_manual manual); /* "Be Right Back"; NONE: "Reset Status" */
/* One of seven: available, inactive, busy, dnd, away, offline, unknown; alone as a CSS class of the dot. */
const char *bk_icon_shown(enum bk_pidf_shown shown); /* "beckon-status-available" */
const char *bk_css_shown(enum bk_pidf_shown shown);  /* "available" */
char *bk_word_since(
    enum bk_pidf_shown shown, int64_t since_ms,
    int64_t now_ms); /* "for 12 minutes", "last seen 2 hours ago"; "" where it says nothing */
/* One line of progress: "Looking for your server", "Signing in", "Trying again in 8 s". */
char *bk_word_progress(enum bk_client_state state, const char *detail, int retry_in_s);
/* What the engine says in English (a notice, a row of DELETED, an edit's text), in the user's language where that is known. Caller frees. */
char *bk_word_said(const char *text);
/* What a failure says and what to do, translated, its placeholders filled. Caller frees. */
char *bk_word_failure(const struct bk_client_failure *failure);
char *bk_word_failure_does(const struct bk_client_failure *failure);
/* All of it for the clipboard: sentence, code, record, steps, version, time. */
char *bk_word_failure_details(const struct bk_client_failure *failure);
char *bk_word_time(int64_t at_ms);                /* "14:05" */
char *bk_word_day(int64_t at_ms, int64_t now_ms); /* "Today", "Yesterday", "Monday, 16 November" */
const char *bk_word_relation(int level);          /* "Colleagues" */

#endif
