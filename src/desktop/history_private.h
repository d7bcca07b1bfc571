/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/history_private.h - the parts of the history: history.c has the object and the thread, history_file.c the file and its
 * schema, history_jobs.c what a job writes and reads. */
#ifndef BK_DESKTOP_HISTORY_PRIVATE_H
#define BK_DESKTOP_HISTORY_PRIVATE_H

#include "desktop/history.h"

#include <sqlite3.h>

enum bk_history_statement {
    ADD,
    FIND_KEY,
    SET_STATE,
    SET_READ,
    REMOVE,
    FORGET_LINES,
    FORGET_SEEN,
    SET_DRAFT,
    DROP_DRAFT,
    DRAFTS,
    LOAD,
    LOAD_FROM,
    RECENT,
    SENDING,
    UNREAD,
    FIND_INDEXED,
    FIND_SLOWLY,
    N_STATEMENTS,
};

/* What the thread works on. The object and messages on their way to the main loop hold it, too. */
struct bk_history_core {
    GAsyncQueue *jobs;
    char *path;
    GMainContext *context;
    GWeakRef history;

    /* The thread's own. */
    sqlite3 *db;
    sqlite3_stmt *statements[N_STATEMENTS];
    bool in_memory;  /* nothing was ever kept, and nothing was to be written yet */
    bool in_trouble; /* and the main loop knows */
    bool truncate;   /* something was deleted: the log of changes goes, too */
    GError *first_error;
};

struct bk_history_job {
    void (*run)(struct bk_history_core *core,
                struct bk_history_job *job); /* NULL: the object is gone */
    GTask *task;                             /* NULL: nobody waits */
    GError *error;
    gpointer value;
    GDestroyNotify free_value;

    struct bk_history_line *line;
    char *peer, *text;
    int64_t row, before;
    unsigned n;
};

struct bk_history_added {
    int64_t row;
    bool is_new;
};

/* ---- history.c ---- */

void bk_history_tell_damaged(struct bk_history_core *core);

/* ---- history_file.c, on the thread ---- */

/* Opens core->path, or memory where core->in_memory says so, and prepares all statements; what is damaged is put aside first. */
GError *bk_history_open_file(struct bk_history_core *core);
void bk_history_close_file(struct bk_history_core *core);
void bk_history_put_aside(struct bk_history_core *core);
GError *bk_history_error_of(sqlite3 *db, int rc);
bool bk_history_is_damage(int rc);

/* ---- history_jobs.c, on the thread, within a transaction ---- */

void bk_history_run_add(struct bk_history_core *core, struct bk_history_job *job);
void bk_history_run_set_state(struct bk_history_core *core, struct bk_history_job *job);
void bk_history_run_set_read(struct bk_history_core *core, struct bk_history_job *job);
void bk_history_run_remove(struct bk_history_core *core, struct bk_history_job *job);
void bk_history_run_forget(struct bk_history_core *core, struct bk_history_job *job);
void bk_history_run_set_draft(struct bk_history_core *core, struct bk_history_job *job);
void bk_history_run_no_add(struct bk_history_core *core, struct bk_history_job *job);
void bk_history_run_flush(struct bk_history_core *core, struct bk_history_job *job);
void bk_history_run_load(struct bk_history_core *core, struct bk_history_job *job);
void bk_history_run_recent(struct bk_history_core *core, struct bk_history_job *job);
void bk_history_run_sending(struct bk_history_core *core, struct bk_history_job *job);
void bk_history_run_search(struct bk_history_core *core, struct bk_history_job *job);
void bk_history_run_unread(struct bk_history_core *core, struct bk_history_job *job);
void bk_history_run_drafts(struct bk_history_core *core, struct bk_history_job *job);

#endif
