/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/history.h - what was said and drafted, on this computer: SQLite on a thread of its own. */
#ifndef BK_DESKTOP_HISTORY_H
#define BK_DESKTOP_HISTORY_H

#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * <data>/<address>/history.db, mode 0600, WAL. One object per signed-in address. Calls queue work and return; results come to the
 * main loop (the thread-default context of bk_history_new) in order. What is queued together is written together.
 *   signal "damaged": the file could not be read; it was put aside as history.db.damaged and made anew.
 *   signal "trouble" (const char *): why nothing can be written at the moment, for the administrator (a full disk); NULL: it works again.
 * With history switched off nothing of conversations is written (drafts are), and open conversations live in memory.
 * The thread outlives the object until all that was queued is written: bk_history_wait.
 */
#define BK_TYPE_HISTORY (bk_history_get_type())
G_DECLARE_FINAL_TYPE(BkHistory, bk_history, BK, HISTORY, GObject)

struct bk_history_line {
    int64_t row; /* 0: not on disk. Rises in the order of conversations */
    char *
        key; /* of a message that came (client.h); NULL: none. One row has it, however often it is added */
    char *peer, *text;
    bool mine, delayed;
    int state; /* enum bk_client_message_state */
    int64_t at_ms;
    char *why, *does, *case_code; /* of a FAILED one; NULL or "": none */
};
struct bk_history_line *bk_history_line_copy(const struct bk_history_line *line);
void bk_history_line_free(struct bk_history_line *line);

/* NULL: the address cannot be a folder's name. Opens on the thread. */
BkHistory *bk_history_new(const char *folder, const char *address);
void bk_history_set_enabled(BkHistory *history, bool enabled);
bool bk_history_is_enabled(BkHistory *history);

/*
 * Copies *line; the task's value is its row (bk_history_add_finish), on disk when done is called. 0: history is off; -1: error.
 * *ret_new false: a row with this key was there, and nothing was changed.
 */
void bk_history_add_async(BkHistory *history, const struct bk_history_line *line,
                          GAsyncReadyCallback done, gpointer user_data);
int64_t bk_history_add_finish(BkHistory *history, GAsyncResult *result, bool *ret_new,
                              GError **error);
/* at_ms 0: as it was. */
void bk_history_set_state(BkHistory *history, int64_t row, int state, int64_t at_ms,
                          const char *why, const char *does, const char *case_code);
/* All up to this row was read by the person. */
void bk_history_set_read(BkHistory *history, const char *peer, int64_t row);
/* One line, or all with that peer, draft and index included: nothing of it is left in the file when done is called. */
void bk_history_remove(BkHistory *history, int64_t row);
void bk_history_forget_async(BkHistory *history, const char *peer, GAsyncReadyCallback done,
                             gpointer user_data);
bool bk_history_forget_finish(BkHistory *history, GAsyncResult *result, GError **error);

/* The newest n lines with that peer before `before_row` (0: the newest), oldest first: GPtrArray of struct bk_history_line. */
void bk_history_load_async(BkHistory *history, const char *peer, int64_t before_row, unsigned n,
                           GAsyncReadyCallback done, gpointer user_data);
/* Likewise all from first_row on. */
void bk_history_load_from_async(BkHistory *history, const char *peer, int64_t first_row,
                                int64_t before_row, GAsyncReadyCallback done, gpointer user_data);
/* Lines with every word of text, in any place of a word and in any case, newest first, at most 200. peer NULL: of all. */
void bk_history_search_async(BkHistory *history, const char *text, const char *peer,
                             GAsyncReadyCallback done, gpointer user_data);
/* The newest line of each peer, newest first, at most n. */
void bk_history_recent_async(BkHistory *history, unsigned n, GAsyncReadyCallback done,
                             gpointer user_data);
/* Lines of the user's own that were on their way (SENDING) when the program ended, oldest first. */
void bk_history_sending_async(BkHistory *history, GAsyncReadyCallback done, gpointer user_data);
GPtrArray *bk_history_lines_finish(BkHistory *history, GAsyncResult *result, GError **error);

/* GHashTable peer -> GUINT_TO_POINTER(lines not read yet), without those that have none. */
void bk_history_unread_async(BkHistory *history, GAsyncReadyCallback done, gpointer user_data);
GHashTable *bk_history_unread_finish(BkHistory *history, GAsyncResult *result, GError **error);

/* NULL or "": none. */
void bk_history_set_draft(BkHistory *history, const char *peer, const char *draft);
/* GHashTable peer -> draft. */
void bk_history_drafts_async(BkHistory *history, GAsyncReadyCallback done, gpointer user_data);
GHashTable *bk_history_drafts_finish(BkHistory *history, GAsyncResult *result, GError **error);

/* Everything queued before is on disk when done is called; the error is that of the first write that failed since the last flush. */
void bk_history_flush_async(BkHistory *history, GAsyncReadyCallback done, gpointer user_data);
bool bk_history_flush_finish(BkHistory *history, GAsyncResult *result, GError **error);

/* Blocks until the threads of all histories whose objects are gone have written and closed, at most so long. For the end of main(). */
bool bk_history_wait(int timeout_ms);

/* Of an address that is not open: bytes on disk, and away with it. */
uint64_t bk_history_size(const char *folder, const char *address);
/* 1 removed, 0 was not there, negative errno. */
int bk_history_delete(const char *folder, const char *address);

#endif
