/* SPDX-License-Identifier: Apache-2.0 */
/* What a job of the history writes or reads. */
#include "desktop/history_private.h"

enum {
    FOUND_MAX = 200,
    INDEXED_CHARS = 3, /* the index holds trigrams: shorter words are looked for line by line */
    TERMS_MAX = 32,
};

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
static void run_all(struct bk_history_core *core, struct bk_history_job *job, sqlite3_stmt *s,
                    void (*each)(struct bk_history_job *job, sqlite3_stmt *s))
{
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW)
        if (each)
            each(job, s);
    if (rc != SQLITE_DONE && !job->error) {
        job->error = bk_history_error_of(core->db, rc);
        job->error->code = bk_history_is_damage(rc) ? G_IO_ERROR_INVALID_DATA : job->error->code;
    }
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
}

/* ---- jobs: writing ---- */

static void take_row(struct bk_history_job *job, sqlite3_stmt *s)
{
    ((struct bk_history_added *)job->value)->row = sqlite3_column_int64(s, 0);
}

void bk_history_run_add(struct bk_history_core *core, struct bk_history_job *job)
{
    sqlite3_stmt *s = core->statements[ADD];
    const struct bk_history_line *line = job->line;
    struct bk_history_added *added = g_new0(struct bk_history_added, 1);
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

void bk_history_run_set_state(struct bk_history_core *core, struct bk_history_job *job)
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

void bk_history_run_set_read(struct bk_history_core *core, struct bk_history_job *job)
{
    sqlite3_stmt *s = core->statements[SET_READ];
    bind_text(s, 1, job->peer);
    sqlite3_bind_int64(s, 2, job->row);
    run_all(core, job, s, NULL);
}

void bk_history_run_remove(struct bk_history_core *core, struct bk_history_job *job)
{
    sqlite3_stmt *s = core->statements[REMOVE];
    sqlite3_bind_int64(s, 1, job->row);
    run_all(core, job, s, NULL);
}

/* The index marks what was deleted and drops it later: it is made anew, so that nothing of it is left. */
void bk_history_run_forget(struct bk_history_core *core, struct bk_history_job *job)
{
    static const enum bk_history_statement of[] = { FORGET_LINES, FORGET_SEEN, DROP_DRAFT };
    for (size_t i = 0; i < G_N_ELEMENTS(of) && !job->error; i++) {
        bind_text(core->statements[of[i]], 1, job->peer);
        run_all(core, job, core->statements[of[i]], NULL);
    }
    int rc = job->error
                 ? SQLITE_OK
                 : sqlite3_exec(core->db, "INSERT INTO line_word (line_word) VALUES ('rebuild')",
                                NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        job->error = bk_history_error_of(core->db, rc);
    core->truncate = true;
}

void bk_history_run_set_draft(struct bk_history_core *core, struct bk_history_job *job)
{
    bool none = !job->text || !*job->text;
    sqlite3_stmt *s = core->statements[none ? DROP_DRAFT : SET_DRAFT];
    bind_text(s, 1, job->peer);
    if (!none)
        bind_text(s, 2, job->text);
    run_all(core, job, s, NULL);
}

/* History is off: an answer in its turn. */
void bk_history_run_no_add(struct bk_history_core *core, struct bk_history_job *job)
{
    (void)core;
    job->value = g_new(struct bk_history_added, 1);
    job->free_value = g_free;
    *(struct bk_history_added *)job->value = (struct bk_history_added){ .is_new = true };
}

void bk_history_run_flush(struct bk_history_core *core, struct bk_history_job *job)
{
    job->error = g_steal_pointer(&core->first_error);
}

/* ---- jobs: reading ---- */

static void lines_free(gpointer lines)
{
    g_ptr_array_unref(lines);
}

static void take_line(struct bk_history_job *job, sqlite3_stmt *s)
{
    g_ptr_array_add(job->value, read_line(s));
}

static void read_lines(struct bk_history_core *core, struct bk_history_job *job, sqlite3_stmt *s)
{
    job->value = g_ptr_array_new_with_free_func((GDestroyNotify)bk_history_line_free);
    job->free_value = lines_free;
    run_all(core, job, s, take_line);
}

void bk_history_run_load(struct bk_history_core *core, struct bk_history_job *job)
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

void bk_history_run_recent(struct bk_history_core *core, struct bk_history_job *job)
{
    sqlite3_bind_int64(core->statements[RECENT], 3, job->n);
    read_lines(core, job, core->statements[RECENT]);
}

void bk_history_run_sending(struct bk_history_core *core, struct bk_history_job *job)
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

void bk_history_run_search(struct bk_history_core *core, struct bk_history_job *job)
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

static void take_unread(struct bk_history_job *job, sqlite3_stmt *s)
{
    g_hash_table_insert(job->value, column(s, 0), GUINT_TO_POINTER(sqlite3_column_int(s, 1)));
}

static void take_draft(struct bk_history_job *job, sqlite3_stmt *s)
{
    g_hash_table_insert(job->value, column(s, 0), column(s, 1));
}

void bk_history_run_unread(struct bk_history_core *core, struct bk_history_job *job)
{
    job->value = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    job->free_value = (GDestroyNotify)g_hash_table_unref;
    run_all(core, job, core->statements[UNREAD], take_unread);
}

void bk_history_run_drafts(struct bk_history_core *core, struct bk_history_job *job)
{
    job->value = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    job->free_value = (GDestroyNotify)g_hash_table_unref;
    run_all(core, job, core->statements[DRAFTS], take_draft);
}
