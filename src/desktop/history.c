/* SPDX-License-Identifier: Apache-2.0 */
/* The main loop puts jobs into a queue; one thread takes what waits there, does it in one transaction and hands the results back. */
#include "desktop/history.h"
#include "client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    VERSION = 1,
    BATCH_MAX = 256,
    BUSY_MS = 5000, /* somebody looks at the file with the sqlite3 shell */
    FOUND_MAX = 200,
    FROM_MAX = 20000,  /* lines read at once to reach an old one */
    INDEXED_CHARS = 3, /* the index holds trigrams: shorter words are looked for line by line */
    TERMS_MAX = 32,
};

static const char schema[] =
    "CREATE TABLE line (row INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE, peer TEXT NOT NULL,"
    " said TEXT NOT NULL, mine INTEGER NOT NULL, delayed INTEGER NOT NULL, state INTEGER NOT NULL,"
    " at_ms INTEGER NOT NULL, why TEXT, does TEXT, case_code TEXT) STRICT;"
    "CREATE INDEX line_of_peer ON line (peer, row, mine);"
    "CREATE INDEX line_sending ON line (row) WHERE mine = 1 AND state = 0;"
    "CREATE TABLE seen (peer TEXT PRIMARY KEY, row INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE draft (peer TEXT PRIMARY KEY, said TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE VIRTUAL TABLE line_word USING fts5 (said, content='line', content_rowid='row',"
    " tokenize='trigram');"
    "CREATE TRIGGER line_added AFTER INSERT ON line BEGIN"
    " INSERT INTO line_word (rowid, said) VALUES (new.row, new.said); END;"
    "CREATE TRIGGER line_removed AFTER DELETE ON line BEGIN"
    " INSERT INTO line_word (line_word, rowid, said) VALUES ('delete', old.row, old.said); END;";
G_STATIC_ASSERT(BK_CLIENT_SENDING == 0); /* the schema says 0 */

#define COLUMNS "row, key, peer, said, mine, delayed, state, at_ms, why, does, case_code"

enum statement {
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
    STATEMENTS,
};
static const char *const statements[STATEMENTS] = {
    [ADD] = "INSERT INTO line (key, peer, said, mine, delayed, state, at_ms, why, does, case_code)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
            " ON CONFLICT (key) DO NOTHING RETURNING row",
    [FIND_KEY] = "SELECT row FROM line WHERE key = ?1",
    [SET_STATE] = "UPDATE line SET state = ?2, why = ?3, does = ?4, case_code = ?5,"
                  " at_ms = iif(?6, ?6, at_ms) WHERE row = ?1",
    [SET_READ] = "INSERT INTO seen VALUES (?1, ?2)"
                 " ON CONFLICT (peer) DO UPDATE SET row = max(row, excluded.row)",
    [REMOVE] = "DELETE FROM line WHERE row = ?1",
    [FORGET_LINES] = "DELETE FROM line WHERE peer = ?1",
    [FORGET_SEEN] = "DELETE FROM seen WHERE peer = ?1",
    [SET_DRAFT] = "INSERT INTO draft VALUES (?1, ?2)"
                  " ON CONFLICT (peer) DO UPDATE SET said = excluded.said",
    [DROP_DRAFT] = "DELETE FROM draft WHERE peer = ?1",
    [DRAFTS] = "SELECT peer, said FROM draft",
    [LOAD] = "SELECT " COLUMNS " FROM line WHERE peer = ?1 AND row < ?2 ORDER BY row DESC LIMIT ?3",
    [LOAD_FROM] = "SELECT " COLUMNS " FROM line WHERE peer = ?1 AND row < ?2 AND row >= ?4"
                  " ORDER BY row DESC LIMIT ?3",
    [RECENT] = "SELECT " COLUMNS " FROM line WHERE row IN (SELECT max(row) FROM line GROUP BY peer)"
               " ORDER BY row DESC LIMIT ?3",
    [SENDING] = "SELECT " COLUMNS " FROM line WHERE mine = 1 AND state = 0 ORDER BY row",
    [UNREAD] = "SELECT peer, count(*) FROM line LEFT JOIN seen USING (peer)"
               " WHERE NOT mine AND line.row > coalesce(seen.row, 0) GROUP BY peer",
    [FIND_INDEXED] = "SELECT " COLUMNS " FROM line WHERE row IN"
                     " (SELECT rowid FROM line_word WHERE line_word MATCH ?1)"
                     " AND (?2 = '' OR says(said, ?2)) AND (?4 IS NULL OR peer = ?4)"
                     " ORDER BY row DESC LIMIT ?3",
    [FIND_SLOWLY] = "SELECT " COLUMNS " FROM line WHERE says(said, ?2)"
                    " AND (?4 IS NULL OR peer = ?4) ORDER BY row DESC LIMIT ?3",
};

/* What the thread works on. The object and messages on their way to the main loop hold it, too. */
struct core {
    GAsyncQueue *jobs;
    char *path;
    GMainContext *context;
    GWeakRef history;

    /* The thread's own. */
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    bool in_memory;  /* nothing was ever kept, and nothing was to be written yet */
    bool in_trouble; /* and the main loop knows */
    bool truncate;   /* something was deleted: the log of changes goes, too */
    GError *first_error;
};

struct job {
    void (*run)(struct core *core, struct job *job); /* NULL: the object is gone */
    GTask *task;                                     /* NULL: nobody waits */
    GError *error;
    gpointer value;
    GDestroyNotify free_value;

    struct bk_history_line *line;
    char *peer, *text;
    int64_t row, before;
    unsigned n;
};

struct added {
    int64_t row;
    bool is_new;
};

struct _BkHistory {
    GObject parent;
    struct core *core;
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

static void lines_free(gpointer lines)
{
    g_ptr_array_unref(lines);
}

/* ---- what the thread tells the main loop ---- */

static void core_free(gpointer data)
{
    struct core *core = data;
    g_async_queue_unref(core->jobs);
    g_free(core->path);
    g_main_context_unref(core->context);
    g_weak_ref_clear(&core->history);
    g_clear_error(&core->first_error);
}

static void core_unref(struct core *core)
{
    g_atomic_rc_box_release_full(core, core_free);
}

struct news {
    struct core *core;
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

static void tell(struct core *core, enum signal signal, const char *text)
{
    struct news *news = g_new(struct news, 1);
    *news = (struct news){ g_atomic_rc_box_acquire(core), signal, g_strdup(text) };
    g_autoptr(GSource) source = g_idle_source_new();
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, emit_news, news, news_free);
    g_source_attach(source, core->context);
}

static void tell_trouble(struct core *core, const GError *error)
{
    if (!error && !core->in_trouble)
        return;
    if (error && !core->in_trouble)
        tell(core, TROUBLE, error->message);
    if (!error)
        tell(core, TROUBLE, NULL);
    core->in_trouble = error != NULL;
}

/* ---- the file ---- */

static GError *error_of(sqlite3 *db, int rc)
{
    int e = db ? sqlite3_system_errno(db) : 0;
    bool system = (rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN;
    return g_error_new(G_IO_ERROR,
                       (rc & 0xff) == SQLITE_FULL ? G_IO_ERROR_NO_SPACE : G_IO_ERROR_FAILED,
                       system && e ? "%s: %s" : "%s", sqlite3_errstr(rc), g_strerror(e));
}

/* says(text, terms): every term, folded and with blanks between, is in the text. */
static void says(sqlite3_context *context, int n, sqlite3_value **values)
{
    (void)n;
    const char *text = (const char *)sqlite3_value_text(values[0]);
    const char *terms = (const char *)sqlite3_value_text(values[1]);
    g_autofree char *folded = g_utf8_casefold(text ? text : "", -1);
    bool all = true;
    g_auto(GStrv) split = g_strsplit(terms ? terms : "", " ", -1);
    for (char **term = split; *term; term++)
        all = all && strstr(folded, *term);
    sqlite3_result_int(context, all);
}

static void close_file(struct core *core)
{
    for (int i = 0; i < STATEMENTS; i++)
        g_clear_pointer(&core->statements[i], sqlite3_finalize);
    sqlite3_close(core->db);
    core->db = NULL;
}

static bool is_damage(int rc)
{
    return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
}

static void put_aside(struct core *core)
{
    static const char *const ends[] = { "", "-wal", "-shm" };
    close_file(core);
    for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
        g_autofree char *from = g_strconcat(core->path, ends[i], NULL);
        g_autofree char *to = g_strconcat(core->path, ".damaged", ends[i], NULL);
        if (g_rename(from, to) < 0)
            (void)g_unlink(to); /* of an earlier time: it does not belong to this one */
    }
    tell(core, DAMAGED, NULL);
}

static int version_of(sqlite3 *db, int *ret)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &s, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    if (rc == SQLITE_ROW)
        *ret = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int make_schema(sqlite3 *db)
{
    g_autofree char *all =
        g_strdup_printf("BEGIN IMMEDIATE; %s PRAGMA user_version = %d; COMMIT;", schema, VERSION);
    int version, rc = version_of(db, &version);
    if (rc == SQLITE_OK && version == 0)
        rc = sqlite3_exec(db, all, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = version_of(db, &version); /* somebody else may have been first */
    if (rc == SQLITE_OK && version != VERSION)
        rc = SQLITE_MISMATCH;
    return rc;
}

/* SQLite gives its other files the mode of this one. */
static void make_private_file(const char *path)
{
    g_autofree char *folder = g_path_get_dirname(path);
    (void)g_mkdir_with_parents(folder, 0700);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    (void)fchmod(fd, 0600);
    close(fd);
}

static int open_file_once(struct core *core)
{
    if (!core->in_memory)
        make_private_file(core->path);
    int rc = sqlite3_open_v2(core->in_memory ? ":memory:" : core->path, &core->db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    if (rc != SQLITE_OK)
        return rc;
    sqlite3_extended_result_codes(core->db, 1);
    sqlite3_busy_timeout(core->db, BUSY_MS);
    rc = sqlite3_exec(core->db,
                      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                      "PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;"
                      "PRAGMA cell_size_check = ON;",
                      NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_create_function(core->db, "says", 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
                                     says, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = make_schema(core->db);
    for (int i = 0; rc == SQLITE_OK && i < STATEMENTS; i++)
        rc = sqlite3_prepare_v3(core->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                                &core->statements[i], NULL);
    return rc;
}

static GError *open_file(struct core *core)
{
    int rc = open_file_once(core);
    if (is_damage(rc)) {
        put_aside(core);
        rc = open_file_once(core);
    }
    if (rc == SQLITE_OK)
        return NULL;
    GError *error =
        rc == SQLITE_MISMATCH
            ? g_error_new(G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                          "%s was written by a newer version of this program", core->path)
            : error_of(core->db, rc);
    close_file(core);
    return error;
}

/* ---- statements ---- */

static void bind_text(sqlite3_stmt *s, int at, const char *text)
{
    (void)sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC);
}

static char *column(sqlite3_stmt *s, int at)
{
    const char *text = (const char *)sqlite3_column_text(s, at);
    return text ? g_utf8_make_valid(text, -1) : NULL;
}

static struct bk_history_line *read_line(sqlite3_stmt *s)
{
    struct bk_history_line *line = g_new0(struct bk_history_line, 1);
    line->row = sqlite3_column_int64(s, 0);
    line->key = column(s, 1);
    line->peer = column(s, 2);
    line->text = column(s, 3);
    line->mine = sqlite3_column_int(s, 4);
    line->delayed = sqlite3_column_int(s, 5);
    line->state = sqlite3_column_int(s, 6);
    line->at_ms = sqlite3_column_int64(s, 7);
    line->why = column(s, 8);
    line->does = column(s, 9);
    line->case_code = column(s, 10);
    return line;
}

/* Steps until there are no more rows; each is called for all of them. */
static void run_all(struct core *core, struct job *job, sqlite3_stmt *s,
                    void (*each)(struct job *job, sqlite3_stmt *s))
{
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW)
        if (each)
            each(job, s);
    if (rc != SQLITE_DONE && !job->error) {
        job->error = error_of(core->db, rc);
        job->error->code = is_damage(rc) ? G_IO_ERROR_INVALID_DATA : job->error->code;
    }
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
}

/* ---- jobs: writing ---- */

static void take_row(struct job *job, sqlite3_stmt *s)
{
    ((struct added *)job->value)->row = sqlite3_column_int64(s, 0);
}

static void run_add(struct core *core, struct job *job)
{
    sqlite3_stmt *s = core->statements[ADD];
    const struct bk_history_line *line = job->line;
    struct added *added = g_new0(struct added, 1);
    job->value = added;
    job->free_value = g_free;
    bind_text(s, 1, line->key);
    bind_text(s, 2, line->peer);
    bind_text(s, 3, line->text);
    sqlite3_bind_int(s, 4, line->mine);
    sqlite3_bind_int(s, 5, line->delayed);
    sqlite3_bind_int(s, 6, line->state);
    sqlite3_bind_int64(s, 7, line->at_ms);
    bind_text(s, 8, line->why);
    bind_text(s, 9, line->does);
    bind_text(s, 10, line->case_code);
    run_all(core, job, s, take_row);
    added->is_new = added->row != 0;
    if (job->error || added->is_new)
        return;
    s = core->statements[FIND_KEY];
    bind_text(s, 1, line->key);
    run_all(core, job, s, take_row);
}

static void run_set_state(struct core *core, struct job *job)
{
    sqlite3_stmt *s = core->statements[SET_STATE];
    sqlite3_bind_int64(s, 1, job->row);
    sqlite3_bind_int(s, 2, job->line->state);
    bind_text(s, 3, job->line->why);
    bind_text(s, 4, job->line->does);
    bind_text(s, 5, job->line->case_code);
    sqlite3_bind_int64(s, 6, job->line->at_ms);
    run_all(core, job, s, NULL);
}

static void run_set_read(struct core *core, struct job *job)
{
    sqlite3_stmt *s = core->statements[SET_READ];
    bind_text(s, 1, job->peer);
    sqlite3_bind_int64(s, 2, job->row);
    run_all(core, job, s, NULL);
}

static void run_remove(struct core *core, struct job *job)
{
    sqlite3_stmt *s = core->statements[REMOVE];
    sqlite3_bind_int64(s, 1, job->row);
    run_all(core, job, s, NULL);
}

/* The index marks what was deleted and drops it later: it is made anew, so that nothing of it is left. */
static void run_forget(struct core *core, struct job *job)
{
    static const enum statement of[] = { FORGET_LINES, FORGET_SEEN, DROP_DRAFT };
    for (size_t i = 0; i < G_N_ELEMENTS(of) && !job->error; i++) {
        bind_text(core->statements[of[i]], 1, job->peer);
        run_all(core, job, core->statements[of[i]], NULL);
    }
    int rc = job->error
                 ? SQLITE_OK
                 : sqlite3_exec(core->db, "INSERT INTO line_word (line_word) VALUES ('rebuild')",
                                NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        job->error = error_of(core->db, rc);
    core->truncate = true;
}

static void run_set_draft(struct core *core, struct job *job)
{
    bool none = !job->text || !*job->text;
    sqlite3_stmt *s = core->statements[none ? DROP_DRAFT : SET_DRAFT];
    bind_text(s, 1, job->peer);
    if (!none)
        bind_text(s, 2, job->text);
    run_all(core, job, s, NULL);
}

/* History is off: an answer in its turn. */
static void run_no_add(struct core *core, struct job *job)
{
    (void)core;
    job->value = g_new(struct added, 1);
    job->free_value = g_free;
    *(struct added *)job->value = (struct added){ .is_new = true };
}

static void run_flush(struct core *core, struct job *job)
{
    job->error = g_steal_pointer(&core->first_error);
}

/* ---- jobs: reading ---- */

static void take_line(struct job *job, sqlite3_stmt *s)
{
    g_ptr_array_add(job->value, read_line(s));
}

static void read_lines(struct core *core, struct job *job, sqlite3_stmt *s)
{
    job->value = g_ptr_array_new_with_free_func((GDestroyNotify)bk_history_line_free);
    job->free_value = lines_free;
    run_all(core, job, s, take_line);
}

static void run_load(struct core *core, struct job *job)
{
    sqlite3_stmt *s = core->statements[job->row ? LOAD_FROM : LOAD];
    bind_text(s, 1, job->peer);
    sqlite3_bind_int64(s, 2, job->before ? job->before : G_MAXINT64);
    sqlite3_bind_int64(s, 3, job->n);
    if (job->row)
        sqlite3_bind_int64(s, 4, job->row);
    read_lines(core, job, s);
    GPtrArray *lines = job->value;
    for (unsigned i = 0; i < lines->len / 2; i++) {
        gpointer other = lines->pdata[lines->len - 1 - i];
        lines->pdata[lines->len - 1 - i] = lines->pdata[i];
        lines->pdata[i] = other;
    }
}

static void run_recent(struct core *core, struct job *job)
{
    sqlite3_bind_int64(core->statements[RECENT], 3, job->n);
    read_lines(core, job, core->statements[RECENT]);
}

static void run_sending(struct core *core, struct job *job)
{
    read_lines(core, job, core->statements[SENDING]);
}

/* Words the index knows as strings of its query language; shorter ones, folded, with blanks between. */
static void split_terms(const char *text, GString *ret_indexed, GString *ret_short)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    unsigned n = 0;
    for (const char *at = valid; *at && n < TERMS_MAX;) {
        const char *end = at;
        glong chars = 0;
        for (; *end && !g_unichar_isspace(g_utf8_get_char(end)); end = g_utf8_next_char(end))
            chars++;
        g_autofree char *term = g_strndup(at, (gsize)(end - at));
        if (chars >= INDEXED_CHARS) {
            g_auto(GStrv) parts = g_strsplit(term, "\"", -1);
            g_autofree char *quoted = g_strjoinv("\"\"", parts);
            g_string_append_printf(ret_indexed, "\"%s\" ", quoted);
        } else if (chars) {
            g_autofree char *folded = g_utf8_casefold(term, -1);
            g_string_append_printf(ret_short, "%s%s", ret_short->len ? " " : "", folded);
        }
        n += chars > 0;
        at = *end ? g_utf8_next_char(end) : end;
    }
}

static void run_search(struct core *core, struct job *job)
{
    g_autoptr(GString) indexed = g_string_new(NULL);
    g_autoptr(GString) rest = g_string_new(NULL);
    split_terms(job->text, indexed, rest);
    sqlite3_stmt *s = core->statements[indexed->len ? FIND_INDEXED : FIND_SLOWLY];
    if (indexed->len)
        bind_text(s, 1, indexed->str);
    bind_text(s, 2, rest->str);
    sqlite3_bind_int64(s, 3, indexed->len || rest->len ? FOUND_MAX : 0);
    bind_text(s, 4, job->peer);
    read_lines(core, job, s);
}

static void take_unread(struct job *job, sqlite3_stmt *s)
{
    g_hash_table_insert(job->value, column(s, 0), GUINT_TO_POINTER(sqlite3_column_int(s, 1)));
}

static void take_draft(struct job *job, sqlite3_stmt *s)
{
    g_hash_table_insert(job->value, column(s, 0), column(s, 1));
}

static void run_unread(struct core *core, struct job *job)
{
    job->value = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    job->free_value = (GDestroyNotify)g_hash_table_unref;
    run_all(core, job, core->statements[UNREAD], take_unread);
}

static void run_drafts(struct core *core, struct job *job)
{
    job->value = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    job->free_value = (GDestroyNotify)g_hash_table_unref;
    run_all(core, job, core->statements[DRAFTS], take_draft);
}

/* ---- the thread ---- */

static void clear_result(struct job *job)
{
    g_clear_error(&job->error);
    if (job->value)
        job->free_value(job->value);
    job->value = NULL;
}

static void job_free(gpointer data)
{
    struct job *job = data;
    clear_result(job);
    g_clear_object(&job->task);
    bk_history_line_free(job->line);
    g_free(job->peer);
    g_free(job->text);
    g_free(job);
}

/* The file cannot be read any further. */
static bool run_jobs(struct core *core, GPtrArray *batch, GError **ret_lost)
{
    int rc = sqlite3_exec(core->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    bool damaged = is_damage(rc);
    /* A full disk can end the whole transaction at once. */
    for (unsigned i = 0; i < batch->len && !sqlite3_get_autocommit(core->db); i++) {
        struct job *job = batch->pdata[i];
        job->run(core, job);
        damaged |= g_error_matches(job->error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
    }
    if (rc == SQLITE_OK && sqlite3_get_autocommit(core->db))
        rc = SQLITE_FULL;
    else if (rc == SQLITE_OK && !damaged)
        rc = sqlite3_exec(core->db, "COMMIT", NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        *ret_lost = error_of(core->db, rc);
    if (!sqlite3_get_autocommit(core->db))
        (void)sqlite3_exec(core->db, "ROLLBACK", NULL, NULL, NULL);
    return damaged || is_damage(rc);
}

static void fail_all(GPtrArray *batch, const GError *error)
{
    for (unsigned i = 0; i < batch->len; i++) {
        struct job *job = batch->pdata[i];
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
        struct job *job = batch->pdata[i];
        must |= job->run == run_add || (job->run == run_set_draft && job->text && *job->text);
    }
    return must;
}

/* Whoever only types an address and asks what was said leaves no file behind. */
static GError *open_where_needed(struct core *core, GPtrArray *batch)
{
    if (core->db && (!core->in_memory || !must_be_kept(batch)))
        return NULL;
    close_file(core);
    core->in_memory = !must_be_kept(batch) && !g_file_test(core->path, G_FILE_TEST_EXISTS);
    return open_file(core);
}

static bool writes(const struct job *job)
{
    return job->run == run_add || job->run == run_set_state || job->run == run_set_read ||
           job->run == run_remove || job->run == run_forget || job->run == run_set_draft;
}

static void run_batch(struct core *core, GPtrArray *batch)
{
    g_autoptr(GError) lost = open_where_needed(core, batch);
    if (core->db && run_jobs(core, batch, &lost)) {
        for (unsigned i = 0; i < batch->len; i++)
            clear_result(batch->pdata[i]);
        g_clear_error(&lost);
        put_aside(core);
        lost = open_file(core);
        if (core->db && run_jobs(core, batch, &lost))
            put_aside(core);
    }
    if (lost)
        fail_all(batch, lost);
    if (core->truncate && core->db)
        (void)sqlite3_wal_checkpoint_v2(core->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    core->truncate = false;
    const GError *first = NULL;
    bool flushed = false, wrote = false;
    for (unsigned i = 0; i < batch->len; i++) {
        struct job *job = batch->pdata[i];
        if (job->run != run_flush && !first)
            first = job->error;
        if (job->run == run_flush && first && !job->error)
            job->error = g_error_copy(first);
        flushed = job->run == run_flush;
        wrote |= writes(job) && !job->error;
    }
    if (first && !flushed && !core->first_error)
        core->first_error = g_error_copy(first);
    if (first || wrote) /* reading also works on a full disk */
        tell_trouble(core, first);
}

static void answer(struct job *job)
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
    struct core *core = data;
    for (bool go_on = true; go_on;) {
        g_autoptr(GPtrArray) batch = g_ptr_array_new_with_free_func(job_free);
        struct job *job = g_async_queue_pop(core->jobs);
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
    close_file(core);
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

static struct job *new_job(BkHistory *history, void (*run)(struct core *, struct job *),
                           GAsyncReadyCallback done, gpointer user_data)
{
    struct job *job = g_new0(struct job, 1);
    job->run = run;
    if (done) {
        job->task = g_task_new(history, NULL, done, user_data);
        g_task_set_check_cancellable(job->task, FALSE);
    }
    return job;
}

static void submit(BkHistory *history, struct job *job)
{
    g_async_queue_push(history->core->jobs, job);
}

static void finalize(GObject *object)
{
    BkHistory *history = BK_HISTORY(object);
    if (history->core) {
        submit(history, g_new0(struct job, 1));
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
    struct core *core = g_atomic_rc_box_new0(struct core);
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
    struct job *job = new_job(history, history->enabled ? run_add : run_no_add, done, user_data);
    if (history->enabled)
        job->line = bk_history_line_copy(line);
    submit(history, job);
}

int64_t bk_history_add_finish(BkHistory *history, GAsyncResult *result, bool *ret_new,
                              GError **error)
{
    (void)history;
    g_autofree struct added *added = g_task_propagate_pointer(G_TASK(result), error);
    if (!added)
        return -1;
    if (ret_new)
        *ret_new = added->is_new;
    return added->row;
}

void bk_history_set_state(BkHistory *history, int64_t row, int state, int64_t at_ms,
                          const char *why, const char *does, const char *case_code)
{
    struct job *job = new_job(history, run_set_state, NULL, NULL);
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
    struct job *job = new_job(history, run_set_read, NULL, NULL);
    job->peer = g_strdup(peer);
    job->row = row;
    submit(history, job);
}

void bk_history_remove(BkHistory *history, int64_t row)
{
    struct job *job = new_job(history, run_remove, NULL, NULL);
    job->row = row;
    submit(history, job);
}

void bk_history_forget_async(BkHistory *history, const char *peer, GAsyncReadyCallback done,
                             gpointer user_data)
{
    struct job *job = new_job(history, run_forget, done, user_data);
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
    struct job *job = new_job(history, run_load, done, user_data);
    job->peer = g_strdup(peer);
    job->before = before_row;
    job->n = n;
    submit(history, job);
}

void bk_history_load_from_async(BkHistory *history, const char *peer, int64_t first_row,
                                int64_t before_row, GAsyncReadyCallback done, gpointer user_data)
{
    struct job *job = new_job(history, run_load, done, user_data);
    job->peer = g_strdup(peer);
    job->row = first_row;
    job->before = before_row;
    job->n = FROM_MAX;
    submit(history, job);
}

void bk_history_search_async(BkHistory *history, const char *text, const char *peer,
                             GAsyncReadyCallback done, gpointer user_data)
{
    struct job *job = new_job(history, run_search, done, user_data);
    job->text = g_strdup(text);
    job->peer = g_strdup(peer);
    submit(history, job);
}

void bk_history_recent_async(BkHistory *history, unsigned n, GAsyncReadyCallback done,
                             gpointer user_data)
{
    struct job *job = new_job(history, run_recent, done, user_data);
    job->n = n;
    submit(history, job);
}

void bk_history_sending_async(BkHistory *history, GAsyncReadyCallback done, gpointer user_data)
{
    submit(history, new_job(history, run_sending, done, user_data));
}

GPtrArray *bk_history_lines_finish(BkHistory *history, GAsyncResult *result, GError **error)
{
    (void)history;
    return g_task_propagate_pointer(G_TASK(result), error);
}

void bk_history_unread_async(BkHistory *history, GAsyncReadyCallback done, gpointer user_data)
{
    submit(history, new_job(history, run_unread, done, user_data));
}

GHashTable *bk_history_unread_finish(BkHistory *history, GAsyncResult *result, GError **error)
{
    (void)history;
    return g_task_propagate_pointer(G_TASK(result), error);
}

void bk_history_set_draft(BkHistory *history, const char *peer, const char *draft)
{
    struct job *job = new_job(history, run_set_draft, NULL, NULL);
    job->peer = g_strdup(peer);
    job->text = g_strdup(draft);
    submit(history, job);
}

void bk_history_drafts_async(BkHistory *history, GAsyncReadyCallback done, gpointer user_data)
{
    submit(history, new_job(history, run_drafts, done, user_data));
}

GHashTable *bk_history_drafts_finish(BkHistory *history, GAsyncResult *result, GError **error)
{
    (void)history;
    return g_task_propagate_pointer(G_TASK(result), error);
}

void bk_history_flush_async(BkHistory *history, GAsyncReadyCallback done, gpointer user_data)
{
    submit(history, new_job(history, run_flush, done, user_data));
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
