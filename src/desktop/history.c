/* SPDX-License-Identifier: Apache-2.0 */
/* The main loop puts jobs into a queue; one thread takes what waits there, does it in one transaction and hands the results back. */
#include "desktop/history.h"

#include "desktop/history_private.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

enum {
    BATCH_MAX = 256,
    FROM_MAX = 20000, /* lines read at once to reach an old one */
};

struct _BkHistory {
    GObject parent;
    struct bk_history_core *core;
    bool enabled;
};
G_DEFINE_TYPE(BkHistory, bk_history, G_TYPE_OBJECT)

enum signal { DAMAGED, TROUBLE, SIGNALS };
static guint signals[SIGNALS];

static GMutex threads_mutex;
static GCond threads_ended;
static unsigned n_threads;

/* ---- lines ---- */

struct bk_history_line *bk_history_line_copy(const struct bk_history_line *line)
{
    struct bk_history_line *copy = g_new(struct bk_history_line, 1);
    *copy = *line;
    copy->key = g_strdup(line->key);
    copy->peer = g_strdup(line->peer);
    copy->text = g_strdup(line->text);
    copy->why = g_strdup(line->why);
    copy->does = g_strdup(line->does);
    copy->case_code = g_strdup(line->case_code);
    return copy;
}

void bk_history_line_free(struct bk_history_line *line)
{
    if (!line)
        return;
    g_free(line->key);
    g_free(line->peer);
    g_free(line->text);
    g_free(line->why);
    g_free(line->does);
    g_free(line->case_code);
    g_free(line);
}

/* ---- what the thread tells the main loop ---- */

static void core_free(gpointer data)
{
    struct bk_history_core *core = data;
    g_async_queue_unref(core->jobs);
    g_free(core->path);
    g_main_context_unref(core->context);
    g_weak_ref_clear(&core->history);
    g_clear_error(&core->first_error);
}

static void core_unref(struct bk_history_core *core)
{
    g_atomic_rc_box_release_full(core, core_free);
}

struct news {
    struct bk_history_core *core;
    enum signal signal;
    char *text;
};

static gboolean emit_news(gpointer data)
{
    struct news *news = data;
    g_autoptr(BkHistory) history = g_weak_ref_get(&news->core->history);
    if (history && news->signal == DAMAGED)
        g_signal_emit(history, signals[DAMAGED], 0);
    else if (history)
        g_signal_emit(history, signals[TROUBLE], 0, news->text);
    return G_SOURCE_REMOVE;
}

static void news_free(gpointer data)
{
    struct news *news = data;
    core_unref(news->core);
    g_free(news->text);
    g_free(news);
}

static void tell(struct bk_history_core *core, enum signal signal, const char *text)
{
    struct news *news = g_new(struct news, 1);
    *news = (struct news){ g_atomic_rc_box_acquire(core), signal, g_strdup(text) };
    g_autoptr(GSource) source = g_idle_source_new();
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, emit_news, news, news_free);
    g_source_attach(source, core->context);
}

void bk_history_tell_damaged(struct bk_history_core *core)
{
    tell(core, DAMAGED, NULL);
}

static void tell_trouble(struct bk_history_core *core, const GError *error)
{
    if (!error && !core->in_trouble)
        return;
    if (error && !core->in_trouble)
        tell(core, TROUBLE, error->message);
    if (!error)
        tell(core, TROUBLE, NULL);
    core->in_trouble = error != NULL;
}

/* ---- the thread ---- */

static void clear_result(struct bk_history_job *job)
{
    g_clear_error(&job->error);
    if (job->value)
        job->free_value(job->value);
    job->value = NULL;
}

static void job_free(gpointer data)
{
    struct bk_history_job *job = data;
    clear_result(job);
    g_clear_object(&job->task);
    bk_history_line_free(job->line);
    g_free(job->peer);
    g_free(job->text);
    g_free(job);
}

/* The file cannot be read any further. */
static bool run_jobs(struct bk_history_core *core, GPtrArray *batch, GError **ret_lost)
{
    int rc = sqlite3_exec(core->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    bool damaged = bk_history_is_damage(rc);
    /* A full disk can end the whole transaction at once. */
    for (unsigned i = 0; i < batch->len && !sqlite3_get_autocommit(core->db); i++) {
        struct bk_history_job *job = batch->pdata[i];
        job->run(core, job);
        damaged |= g_error_matches(job->error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
    }
    if (rc == SQLITE_OK && sqlite3_get_autocommit(core->db))
        rc = SQLITE_FULL;
    else if (rc == SQLITE_OK && !damaged)
        rc = sqlite3_exec(core->db, "COMMIT", NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        *ret_lost = bk_history_error_of(core->db, rc);
    if (!sqlite3_get_autocommit(core->db))
        (void)sqlite3_exec(core->db, "ROLLBACK", NULL, NULL, NULL);
    return damaged || bk_history_is_damage(rc);
}

static void fail_all(GPtrArray *batch, const GError *error)
{
    for (unsigned i = 0; i < batch->len; i++) {
        struct bk_history_job *job = batch->pdata[i];
        if (job->error)
            continue;
        clear_result(job);
        job->error = g_error_copy(error);
    }
}

static bool must_be_kept(GPtrArray *batch)
{
    bool must = false;
    for (unsigned i = 0; i < batch->len; i++) {
        struct bk_history_job *job = batch->pdata[i];
        must |= job->run == bk_history_run_add ||
                (job->run == bk_history_run_set_draft && job->text && *job->text);
    }
    return must;
}

/* Whoever only types an address and asks what was said leaves no file behind. */
static GError *open_where_needed(struct bk_history_core *core, GPtrArray *batch)
{
    if (core->db && (!core->in_memory || !must_be_kept(batch)))
        return NULL;
    bk_history_close_file(core);
    core->in_memory = !must_be_kept(batch) && !g_file_test(core->path, G_FILE_TEST_EXISTS);
    return bk_history_open_file(core);
}

static bool writes(const struct bk_history_job *job)
{
    return job->run == bk_history_run_add || job->run == bk_history_run_set_state ||
           job->run == bk_history_run_set_read || job->run == bk_history_run_remove ||
           job->run == bk_history_run_forget || job->run == bk_history_run_set_draft;
}

static void run_batch(struct bk_history_core *core, GPtrArray *batch)
{
    g_autoptr(GError) lost = open_where_needed(core, batch);
    if (core->db && run_jobs(core, batch, &lost)) {
        for (unsigned i = 0; i < batch->len; i++)
            clear_result(batch->pdata[i]);
        g_clear_error(&lost);
        bk_history_put_aside(core);
        lost = bk_history_open_file(core);
        if (core->db && run_jobs(core, batch, &lost))
            bk_history_put_aside(core);
    }
    if (lost)
        fail_all(batch, lost);
    if (core->truncate && core->db)
        (void)sqlite3_wal_checkpoint_v2(core->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    core->truncate = false;
    const GError *first = NULL;
    bool flushed = false, wrote = false;
    for (unsigned i = 0; i < batch->len; i++) {
        struct bk_history_job *job = batch->pdata[i];
        if (job->run != bk_history_run_flush && !first)
            first = job->error;
        if (job->run == bk_history_run_flush && first && !job->error)
            job->error = g_error_copy(first);
        flushed = job->run == bk_history_run_flush;
        wrote |= writes(job) && !job->error;
    }
    if (first && !flushed && !core->first_error)
        core->first_error = g_error_copy(first);
    if (first || wrote) /* reading also works on a full disk */
        tell_trouble(core, first);
}

static void answer(struct bk_history_job *job)
{
    if (!job->task)
        return;
    if (job->error)
        g_task_return_error(job->task, g_steal_pointer(&job->error));
    else if (job->value)
        g_task_return_pointer(job->task, g_steal_pointer(&job->value), job->free_value);
    else
        g_task_return_boolean(job->task, TRUE);
}

static gpointer work(gpointer data)
{
    struct bk_history_core *core = data;
    for (bool go_on = true; go_on;) {
        g_autoptr(GPtrArray) batch = g_ptr_array_new_with_free_func(job_free);
        struct bk_history_job *job = g_async_queue_pop(core->jobs);
        for (; job && job->run && batch->len < BATCH_MAX; job = g_async_queue_try_pop(core->jobs))
            g_ptr_array_add(batch, job);
        if (job && !job->run) {
            job_free(job);
            go_on = false;
        } else if (job) {
            g_ptr_array_add(batch, job);
        }
        if (batch->len)
            run_batch(core, batch);
        for (unsigned i = 0; i < batch->len; i++)
            answer(batch->pdata[i]);
    }
    bk_history_close_file(core);
    core_unref(core);
    g_mutex_lock(&threads_mutex);
    n_threads--;
    g_cond_broadcast(&threads_ended);
    g_mutex_unlock(&threads_mutex);
    return NULL;
}

bool bk_history_wait(int timeout_ms)
{
    gint64 until = g_get_monotonic_time() + timeout_ms * G_TIME_SPAN_MILLISECOND;
    g_mutex_lock(&threads_mutex);
    while (n_threads && g_cond_wait_until(&threads_ended, &threads_mutex, until))
        continue;
    bool ended = !n_threads;
    g_mutex_unlock(&threads_mutex);
    return ended;
}

/* ---- the object ---- */

static struct bk_history_job *
new_job(BkHistory *history, void (*run)(struct bk_history_core *, struct bk_history_job *),
        GAsyncReadyCallback done, gpointer user_data)
{
    struct bk_history_job *job = g_new0(struct bk_history_job, 1);
    job->run = run;
    if (done) {
        job->task = g_task_new(history, NULL, done, user_data);
        g_task_set_check_cancellable(job->task, FALSE);
    }
    return job;
}

static void submit(BkHistory *history, struct bk_history_job *job)
{
    g_async_queue_push(history->core->jobs, job);
}

static void finalize(GObject *object)
{
    BkHistory *history = BK_HISTORY(object);
    if (history->core) {
        submit(history, g_new0(struct bk_history_job, 1));
        core_unref(history->core);
    }
    G_OBJECT_CLASS(bk_history_parent_class)->finalize(object);
}

static void bk_history_class_init(BkHistoryClass *class)
{
    G_OBJECT_CLASS(class)->finalize = finalize;
    signals[DAMAGED] = g_signal_new("damaged", BK_TYPE_HISTORY, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                    NULL, G_TYPE_NONE, 0);
    signals[TROUBLE] = g_signal_new("trouble", BK_TYPE_HISTORY, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                    NULL, G_TYPE_NONE, 1, G_TYPE_STRING);
}

static void bk_history_init(BkHistory *history)
{
    history->enabled = true;
}

static char *path_of(const char *folder, const char *address)
{
    if (!*address || *address == '.' || strchr(address, '/'))
        return NULL;
    return g_build_filename(folder, address, "history.db", NULL);
}

BkHistory *bk_history_new(const char *folder, const char *address)
{
    char *path = path_of(folder, address);
    if (!path)
        return NULL;
    BkHistory *history = g_object_new(BK_TYPE_HISTORY, NULL);
    struct bk_history_core *core = g_atomic_rc_box_new0(struct bk_history_core);
    core->path = path;
    core->jobs = g_async_queue_new_full(job_free);
    core->context = g_main_context_ref_thread_default();
    g_weak_ref_init(&core->history, history);
    history->core = core;
    g_mutex_lock(&threads_mutex);
    n_threads++;
    g_mutex_unlock(&threads_mutex);
    g_thread_unref(g_thread_new("history", work, g_atomic_rc_box_acquire(core)));
    return history;
}

void bk_history_set_enabled(BkHistory *history, bool enabled)
{
    history->enabled = enabled;
}

bool bk_history_is_enabled(BkHistory *history)
{
    return history->enabled;
}

void bk_history_add_async(BkHistory *history, const struct bk_history_line *line,
                          GAsyncReadyCallback done, gpointer user_data)
{
    struct bk_history_job *job = new_job(
        history, history->enabled ? bk_history_run_add : bk_history_run_no_add, done, user_data);
    if (history->enabled)
        job->line = bk_history_line_copy(line);
    submit(history, job);
}

int64_t bk_history_add_finish(BkHistory *history, GAsyncResult *result, bool *ret_new,
                              GError **error)
{
    (void)history;
    g_autofree struct bk_history_added *added = g_task_propagate_pointer(G_TASK(result), error);
    if (!added)
        return -1;
    if (ret_new)
        *ret_new = added->is_new;
    return added->row;
}

void bk_history_set_state(BkHistory *history, int64_t row, int state, int64_t at_ms,
                          const char *why, const char *does, const char *case_code)
{
    struct bk_history_job *job = new_job(history, bk_history_run_set_state, NULL, NULL);
    job->row = row;
    job->line = g_new0(struct bk_history_line, 1);
    job->line->state = state;
    job->line->at_ms = at_ms;
    job->line->why = g_strdup(why);
    job->line->does = g_strdup(does);
    job->line->case_code = g_strdup(case_code);
    submit(history, job);
}

void bk_history_set_read(BkHistory *history, const char *peer, int64_t row)
{
    struct bk_history_job *job = new_job(history, bk_history_run_set_read, NULL, NULL);
    job->peer = g_strdup(peer);
    job->row = row;
    submit(history, job);
}

void bk_history_remove(BkHistory *history, int64_t row)
{
    struct bk_history_job *job = new_job(history, bk_history_run_remove, NULL, NULL);
    job->row = row;
    submit(history, job);
}

void bk_history_forget_async(BkHistory *history, const char *peer, GAsyncReadyCallback done,
                             gpointer user_data)
{
    struct bk_history_job *job = new_job(history, bk_history_run_forget, done, user_data);
    job->peer = g_strdup(peer);
    submit(history, job);
}

bool bk_history_forget_finish(BkHistory *history, GAsyncResult *result, GError **error)
{
    (void)history;
    return g_task_propagate_boolean(G_TASK(result), error);
}

void bk_history_load_async(BkHistory *history, const char *peer, int64_t before_row, unsigned n,
                           GAsyncReadyCallback done, gpointer user_data)
{
    struct bk_history_job *job = new_job(history, bk_history_run_load, done, user_data);
    job->peer = g_strdup(peer);
    job->before = before_row;
    job->n = n;
    submit(history, job);
}

void bk_history_load_from_async(BkHistory *history, const char *peer, int64_t first_row,
                                int64_t before_row, GAsyncReadyCallback done, gpointer user_data)
{
    struct bk_history_job *job = new_job(history, bk_history_run_load, done, user_data);
    job->peer = g_strdup(peer);
    job->row = first_row;
    job->before = before_row;
    job->n = FROM_MAX;
    submit(history, job);
}

void bk_history_search_async(BkHistory *history, const char *text, const char *peer,
                             GAsyncReadyCallback done, gpointer user_data)
{
    struct bk_history_job *job = new_job(history, bk_history_run_search, done, user_data);
    job->text = g_strdup(text);
    job->peer = g_strdup(peer);
    submit(history, job);
}

void bk_history_recent_async(BkHistory *history, unsigned n, GAsyncReadyCallback done,
                             gpointer user_data)
{
    struct bk_history_job *job = new_job(history, bk_history_run_recent, done, user_data);
    job->n = n;
    submit(history, job);
}

void bk_history_sending_async(BkHistory *history, GAsyncReadyCallback done, gpointer user_data)
{
    submit(history, new_job(history, bk_history_run_sending, done, user_data));
}

GPtrArray *bk_history_lines_finish(BkHistory *history, GAsyncResult *result, GError **error)
{
    (void)history;
    return g_task_propagate_pointer(G_TASK(result), error);
}

void bk_history_unread_async(BkHistory *history, GAsyncReadyCallback done, gpointer user_data)
{
    submit(history, new_job(history, bk_history_run_unread, done, user_data));
}

GHashTable *bk_history_unread_finish(BkHistory *history, GAsyncResult *result, GError **error)
{
    (void)history;
    return g_task_propagate_pointer(G_TASK(result), error);
}

void bk_history_set_draft(BkHistory *history, const char *peer, const char *draft)
{
    struct bk_history_job *job = new_job(history, bk_history_run_set_draft, NULL, NULL);
    job->peer = g_strdup(peer);
    job->text = g_strdup(draft);
    submit(history, job);
}

void bk_history_drafts_async(BkHistory *history, GAsyncReadyCallback done, gpointer user_data)
{
    submit(history, new_job(history, bk_history_run_drafts, done, user_data));
}

GHashTable *bk_history_drafts_finish(BkHistory *history, GAsyncResult *result, GError **error)
{
    (void)history;
    return g_task_propagate_pointer(G_TASK(result), error);
}

void bk_history_flush_async(BkHistory *history, GAsyncReadyCallback done, gpointer user_data)
{
    submit(history, new_job(history, bk_history_run_flush, done, user_data));
}

bool bk_history_flush_finish(BkHistory *history, GAsyncResult *result, GError **error)
{
    (void)history;
    return g_task_propagate_boolean(G_TASK(result), error);
}

/* ---- files of an address that is not open ---- */

static const char *const files[] = {
    "", "-wal", "-shm", ".damaged", ".damaged-wal", ".damaged-shm"
};

uint64_t bk_history_size(const char *folder, const char *address)
{
    g_autofree char *path = path_of(folder, address);
    uint64_t bytes = 0;
    for (size_t i = 0; path && i < G_N_ELEMENTS(files); i++) {
        g_autofree char *file = g_strconcat(path, files[i], NULL);
        GStatBuf st;
        if (g_lstat(file, &st) == 0)
            bytes += (uint64_t)st.st_size;
    }
    return bytes;
}

int bk_history_delete(const char *folder, const char *address)
{
    g_autofree char *path = path_of(folder, address);
    if (!path)
        return -EINVAL;
    int removed = 0, failed = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *file = g_strconcat(path, files[i], NULL);
        if (g_unlink(file) == 0)
            removed = 1;
        else if (errno != ENOENT && errno != ENOTDIR)
            failed = -errno;
    }
    g_autofree char *dir = g_path_get_dirname(path);
    if (removed)
        (void)g_rmdir(dir); /* where nothing else is kept in it */
    return failed ? failed : removed;
}
