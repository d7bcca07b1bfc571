/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/history.h - what was said and drafted, on this computer: SQLite on a thread of its own. */
#ifndef BK_DESKTOP_HISTORY_H
#define BK_DESKTOP_HISTORY_H

#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * <data>/<address>/history.db, mode 0600, WAL. One object per signed-in address. Calls queue work and return; results come to the
 * main loop in order. A damaged file is put aside as history.db.damaged and made anew ("damaged" signal, once).
 * With history switched off nothing of conversations is written (drafts are), and open conversations live in memory.
 */
#define BK_TYPE_HISTORY (bk_history_get_type())
G_DECLARE_FINAL_TYPE(BkHistory, bk_history, BK, HISTORY, GObject)

struct bk_history_line {
    int64_t row; /* 0: not on disk */
    char *peer, *text;
    bool mine, delayed;
    int state; /* enum bk_client_message_state */
    int64_t at_ms;
    char *why, *case_code;
};
void bk_history_line_free(struct bk_history_line *line);

BkHistory *bk_history_new(const char *folder, const char *address);
void bk_history_set_enabled(BkHistory *history, bool enabled);

/* Copies *line; the task's value is its row (bk_history_add_finish), on disk when done is called. */
void bk_history_add_async(BkHistory *history, const struct bk_history_line *line,
                          GAsyncReadyCallback done, gpointer user_data);
int64_t bk_history_add_finish(BkHistory *history, GAsyncResult *result, GError **error);
void bk_history_set_state(BkHistory *history, int64_t row, int state, const char *why,
                          const char *case_code);

/* The newest n lines with that peer before `before_row` (0: the newest), oldest first: GPtrArray of struct bk_history_line. */
void bk_history_load_async(BkHistory *history, const char *peer, int64_t before_row, unsigned n,
                           GAsyncReadyCallback done, gpointer user_data);
/* Full text over all peers, newest first, at most 200. */
void bk_history_search_async(BkHistory *history, const char *text, GAsyncReadyCallback done,
                             gpointer user_data);
/* The newest line of each peer, newest first, at most n. */
void bk_history_recent_async(BkHistory *history, unsigned n, GAsyncReadyCallback done,
                             gpointer user_data);
GPtrArray *bk_history_lines_finish(BkHistory *history, GAsyncResult *result, GError **error);

void bk_history_set_draft(BkHistory *history, const char *peer, const char *draft);
/* GHashTable peer -> draft. */
void bk_history_drafts_async(BkHistory *history, GAsyncReadyCallback done, gpointer user_data);
GHashTable *bk_history_drafts_finish(BkHistory *history, GAsyncResult *result, GError **error);

/* Everything queued before is on disk when done is called. */
void bk_history_flush_async(BkHistory *history, GAsyncReadyCallback done, gpointer user_data);
bool bk_history_flush_finish(BkHistory *history, GAsyncResult *result, GError **error);

/* Of an address that is not open: bytes on disk, and away with it. */
uint64_t bk_history_size(const char *folder, const char *address);
int bk_history_delete(const char *folder, const char *address);

#endif
