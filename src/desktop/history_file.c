/* SPDX-License-Identifier: Apache-2.0 */
/* The file of the history: its schema, its statements, and what is done where it cannot be read. */
#include "desktop/history_private.h"

#include "client/client.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    VERSION = 1,
    BUSY_MS = 5000, /* somebody looks at the file with the sqlite3 shell */
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

static const char *const statements[N_STATEMENTS] = {
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

GError *bk_history_error_of(sqlite3 *db, int rc)
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

void bk_history_close_file(struct bk_history_core *core)
{
    for (int i = 0; i < N_STATEMENTS; i++)
        g_clear_pointer(&core->statements[i], sqlite3_finalize);
    sqlite3_close(core->db);
    core->db = NULL;
}

bool bk_history_is_damage(int rc)
{
    return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
}

void bk_history_put_aside(struct bk_history_core *core)
{
    static const char *const ends[] = { "", "-wal", "-shm" };
    bk_history_close_file(core);
    for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
        g_autofree char *from = g_strconcat(core->path, ends[i], NULL);
        g_autofree char *to = g_strconcat(core->path, ".damaged", ends[i], NULL);
        if (g_rename(from, to) < 0)
            (void)g_unlink(to); /* of an earlier time: it does not belong to this one */
    }
    bk_history_tell_damaged(core);
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

static int open_file_once(struct bk_history_core *core)
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
    for (int i = 0; rc == SQLITE_OK && i < N_STATEMENTS; i++)
        rc = sqlite3_prepare_v3(core->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                                &core->statements[i], NULL);
    return rc;
}

GError *bk_history_open_file(struct bk_history_core *core)
{
    int rc = open_file_once(core);
    if (bk_history_is_damage(rc)) {
        bk_history_put_aside(core);
        rc = open_file_once(core);
    }
    if (rc == SQLITE_OK)
        return NULL;
    GError *error =
        rc == SQLITE_MISMATCH
            ? g_error_new(G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                          "%s was written by a newer version of this program", core->path)
            : bk_history_error_of(core->db, rc);
    bk_history_close_file(core);
    return error;
}
