/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to SQLite, prepared statements, migrations. */
#include "base/cleanup.h"
#include "store/store_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    APPLICATION_ID = 0x42656b6e, /* "Bekn", in the file's header */
    BUSY_MS = 5000,              /* somebody looks at the file with the sqlite3 shell */
};

const char *bk_store_why(const char *format, ...)
{
    static _Thread_local char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return text;
}

/* What the system said to the call that failed. SQLite notes it for most statements, not for COMMIT. */
static int system_errno(sqlite3 *db)
{
    int e = db ? sqlite3_system_errno(db) : 0;
    sqlite3_vfs *vfs = NULL;
    if (e == 0 && db &&
        sqlite3_file_control(db, "main", SQLITE_FCNTL_VFS_POINTER, &vfs) == SQLITE_OK && vfs &&
        vfs->xGetLastError)
        e = vfs->xGetLastError(vfs, 0, NULL);
    return e;
}

int bk_store_conn_errno(sqlite3 *db, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EILSEQ;
    case SQLITE_TOOBIG:
        return -EMSGSIZE;
    case SQLITE_CONSTRAINT:
        if (rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY ||
            rc == SQLITE_CONSTRAINT_ROWID)
            return -EEXIST;
        return rc == SQLITE_CONSTRAINT_FOREIGNKEY ? -ENOENT : -EINVAL;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        if (rc == SQLITE_IOERR_NOMEM)
            return -ENOMEM;
        switch (system_errno(db)) {
        case ENOSPC:
        case EDQUOT:
            return -ENOSPC;
        case EROFS:
            return -EROFS;
        case EACCES:
        case EPERM:
            return -EACCES;
        default:
            return -EIO;
        }
    default:
        return -EIO;
    }
}

int bk_store_conn_exec(struct bk_store_conn *conn, const char *sql)
{
    return bk_store_conn_errno(conn->db, sqlite3_exec(conn->db, sql, NULL, NULL, NULL));
}

static int note_wal_pages(void *conn, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    ((struct bk_store_conn *)conn)->wal_pages = pages;
    return SQLITE_OK;
}

int bk_store_conn_checkpoint(struct bk_store_conn *conn, bool full)
{
    int in_log = 0, copied = 0;
    int rc = sqlite3_wal_checkpoint_v2(
        conn->db, NULL, full ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE, &in_log,
        &copied);
    /* Somebody still reads: fine where all was copied, the log begins anew at the next commit. */
    if ((rc & 0xff) == SQLITE_BUSY && in_log == copied)
        rc = SQLITE_OK;
    if (rc == SQLITE_OK)
        conn->wal_pages = in_log - copied;
    return bk_store_conn_errno(conn->db, rc);
}

/* ---- statements ---- */

void bk_query_begin(struct bk_query *q, struct bk_store_conn *conn, const char *sql)
{
    *q = (struct bk_query){ .conn = conn };
    size_t at = ((uintptr_t)sql >> 3) * 0x9e3779b97f4a7c15u >> 56;
    struct bk_statement *s = NULL;
    for (size_t n = 0; n < BK_CONN_STATEMENTS; n++) {
        s = &conn->statements[(at + n) & (BK_CONN_STATEMENTS - 1)];
        if (!s->sql || s->sql == sql)
            break;
        s = NULL;
    }
    /* A callback of a list that asks the same question again gets a statement of its own. */
    bool keep = s && !s->busy;
    if (keep && s->stmt) {
        q->stmt = s->stmt;
    } else {
        int rc = sqlite3_prepare_v3(conn->db, sql, -1, keep ? SQLITE_PREPARE_PERSISTENT : 0,
                                    &q->stmt, NULL);
        if (rc != SQLITE_OK) {
            q->error = bk_store_conn_errno(conn->db, rc);
            return;
        }
    }
    if (keep) {
        *s = (struct bk_statement){ .sql = sql, .stmt = q->stmt, .busy = true };
        q->cached = s;
    }
}

void bk_query_int(struct bk_query *q, int at, int64_t n)
{
    if (q->error == 0)
        q->error = bk_store_conn_errno(q->conn->db, sqlite3_bind_int64(q->stmt, at, n));
}

void bk_query_text(struct bk_query *q, int at, struct bk_view v)
{
    if (q->error == 0)
        q->error = bk_store_conn_errno(
            q->conn->db,
            sqlite3_bind_text64(q->stmt, at, v.at ? v.at : "", v.len, SQLITE_STATIC, SQLITE_UTF8));
}

void bk_query_blob(struct bk_query *q, int at, struct bk_view v)
{
    if (q->error == 0)
        q->error = bk_store_conn_errno(
            q->conn->db, sqlite3_bind_blob64(q->stmt, at, v.at ? v.at : "", v.len, SQLITE_STATIC));
}

int bk_query_step(struct bk_query *q)
{
    if (q->error < 0)
        return q->error;
    int rc = sqlite3_step(q->stmt);
    if (rc == SQLITE_ROW)
        return 1;
    if (rc != SQLITE_DONE)
        q->error = bk_store_conn_errno(q->conn->db, rc);
    return q->error;
}

int64_t bk_query_get_int(const struct bk_query *q, int column)
{
    return sqlite3_column_int64(q->stmt, column);
}

struct bk_view bk_query_get(struct bk_query *q, int column, struct bk_arena *arena)
{
    /* column_blob gives text as it lies there too, without a conversion. */
    const void *at = sqlite3_column_blob(q->stmt, column);
    size_t len = (size_t)sqlite3_column_bytes(q->stmt, column);
    if (len == 0)
        return (struct bk_view){ 0 };
    struct bk_view copy = { 0 };
    if (at)
        copy = bk_arena_copy(arena, (struct bk_view){ at, len });
    if (!copy.at)
        q->error = -ENOMEM;
    return copy;
}

void bk_query_end(struct bk_query *q)
{
    if (q->cached) {
        sqlite3_reset(q->stmt);
        sqlite3_clear_bindings(q->stmt);
        q->cached->busy = false;
    } else {
        sqlite3_finalize(q->stmt);
    }
    if (q->locked)
        pthread_mutex_unlock(&q->locked->shared_lock);
    *q = (struct bk_query){ 0 };
}

int bk_store_conn_run(struct bk_store_conn *conn, const char *sql, const char *kinds,
                      const struct bk_value *values)
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_begin(&q, conn, sql);
    for (int i = 0; kinds[i]; i++) {
        if (kinds[i] == 'i')
            bk_query_int(&q, i + 1, values[i].n);
        else if (kinds[i] == 't')
            bk_query_text(&q, i + 1, values[i].v);
        else if (kinds[i] == 'b')
            bk_query_blob(&q, i + 1, values[i].v);
    }
    int r = bk_query_step(&q);
    return r < 0 ? r : sqlite3_changes(conn->db);
}

int bk_store_conn_run_must(struct bk_store_conn *conn, const char *sql, const char *kinds,
                           const struct bk_value *values)
{
    int r = bk_store_conn_run(conn, sql, kinds, values);
    return r == 0 ? -ENOENT : bk_store_conn_any(r);
}

/* ---- opening ---- */

static int load_image(struct bk_store_conn *conn, struct bk_view image)
{
    unsigned char *copy = sqlite3_malloc64(image.len);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, image.at, image.len);
    int rc = sqlite3_deserialize(conn->db, "main", copy, (sqlite3_int64)image.len,
                                 (sqlite3_int64)image.len,
                                 SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE);
    return bk_store_conn_errno(conn->db, rc);
}

static int set_up(struct bk_store_conn *conn, enum bk_store_conn_kind kind, bool in_memory)
{
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(conn->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_busy_timeout(conn->db, BUSY_MS);

    int r = bk_store_conn_exec(conn, "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;"
                                     "PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY");
    if (r < 0 || in_memory)
        return r;

    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_begin(&q, conn, "PRAGMA journal_mode=WAL");
    r = bk_query_step(&q);
    if (r < 0)
        return r;
    const unsigned char *mode = sqlite3_column_text(q.stmt, 0);
    if (!mode || strcmp((const char *)mode, "wal") != 0)
        return -EIO; /* a file system without shared memory */
    bk_query_end(&q);

    r = bk_store_conn_exec(conn, "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;"
                                 "PRAGMA journal_size_limit=67108864");
    if (r == 0 && kind == BK_CONN_READER)
        r = bk_store_conn_exec(conn, "PRAGMA query_only=ON");
    sqlite3_wal_hook(conn->db, note_wal_pages, conn);
    return r;
}

int bk_store_conn_open(const char *path, enum bk_store_conn_kind kind, struct bk_view image,
                       struct bk_store_conn **ret, const char **ret_why)
{
    struct bk_store_conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return -ENOMEM;
    conn->owner = pthread_self();

    char *name = NULL;
    if (path && asprintf(&name, "%s%s", path[0] == '/' ? "" : "./", path) < 0) {
        free(conn);
        return -ENOMEM;
    }
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (!path)
        flags |= SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY;
    int r = bk_store_conn_errno(conn->db,
                                sqlite3_open_v2(name ? name : ":memory:", &conn->db, flags, NULL));
    free(name);
    if (r < 0 && conn->db)
        r = bk_store_conn_errno(conn->db, sqlite3_extended_errcode(conn->db));
    if (r == 0 && image.len > 0)
        r = load_image(conn, image);
    if (r == 0)
        r = set_up(conn, kind, !path);
    if (r < 0) {
        if (ret_why && r == -EILSEQ)
            *ret_why = bk_store_why("%s is damaged or is no database; restore a backup",
                                    path ? path : "the image");
        else if (ret_why)
            *ret_why = bk_store_why("cannot open %s: %s (%s)", path ? path : "the image",
                                    strerror(-r), conn->db ? sqlite3_errmsg(conn->db) : "-");
        bk_store_conn_close(conn);
        return r;
    }
    *ret = conn;
    return 0;
}

struct bk_store_conn *bk_store_conn_close(struct bk_store_conn *conn)
{
    if (!conn)
        return NULL;
    for (size_t n = 0; n < BK_CONN_STATEMENTS; n++)
        sqlite3_finalize(conn->statements[n].stmt);
    sqlite3_close_v2(conn->db);
    free(conn);
    return NULL;
}

/* ---- migrations ---- */

/* The first number of the first row, or `otherwise` where there is no row. */
static int ask(struct bk_store_conn *conn, const char *sql, int64_t otherwise, int64_t *ret)
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_begin(&q, conn, sql);
    int r = bk_query_step(&q);
    if (r >= 0)
        *ret = r > 0 ? bk_query_get_int(&q, 0) : otherwise;
    return r < 0 ? r : 0;
}

static int current_version(struct bk_store_conn *conn, int64_t *ret, const char **ret_why)
{
    int64_t application = 0, tables = 0, versioned = 0;
    int r = ask(conn, "PRAGMA application_id", 0, &application);
    if (r == 0)
        r = ask(conn, "SELECT count(*) FROM sqlite_schema WHERE type='table'", 0, &tables);
    if (r == 0)
        r = ask(conn,
                "SELECT count(*) FROM sqlite_schema WHERE type='table' AND name='schema_version'",
                0, &versioned);
    if (r < 0)
        return r;
    if (tables > 0 && (!versioned || application != APPLICATION_ID)) {
        *ret_why = "the file is a database of some other program, not Beckon's";
        return -EILSEQ;
    }
    *ret = 0;
    return versioned ? ask(conn, "SELECT max(version) FROM schema_version", 0, ret) : 0;
}

static int apply(struct bk_store_conn *conn, const struct bk_migration *migration, int64_t now_ms)
{
    int r = bk_store_conn_exec(conn, "BEGIN IMMEDIATE");
    if (r < 0)
        return r;
    r = bk_store_conn_exec(conn, migration->sql);
    if (r == 0 && migration->version == 1) {
        char set[64];
        snprintf(set, sizeof set, "PRAGMA application_id=%d", APPLICATION_ID);
        r = bk_store_conn_exec(conn, set);
    }
    if (r == 0) {
        BK_CLEANUP(bk_query_end) struct bk_query q;
        bk_query_begin(&q, conn,
                       "INSERT INTO schema_version (version, applied_at) VALUES (?1, ?2)");
        bk_query_int(&q, 1, migration->version);
        bk_query_int(&q, 2, now_ms);
        r = bk_query_step(&q);
    }
    if (r == 0)
        r = bk_store_conn_exec(conn, "COMMIT");
    if (r < 0)
        (void)bk_store_conn_exec(conn, "ROLLBACK"); /* SQLite may have done so already */
    return r;
}

int bk_store_conn_migrate(struct bk_store_conn *conn, const struct bk_migration *migrations,
                          size_t n, int64_t now_ms, const char **ret_why)
{
    int64_t version = 0;
    int r = current_version(conn, &version, ret_why);
    if (r == 0 && version > (int64_t)n) {
        *ret_why = bk_store_why("the database was written by a newer Beckon (schema %lld, this "
                                "program knows %zu): install that version, or restore a backup",
                                (long long)version, n);
        return -EILSEQ;
    }
    for (size_t i = (size_t)version; r == 0 && i < n; i++) {
        r = apply(conn, &migrations[i], now_ms);
        if (r < 0)
            *ret_why = bk_store_why("migration %d failed, nothing was changed: %s",
                                    migrations[i].version, strerror(-r));
    }
    if (r == -EILSEQ && !*ret_why)
        *ret_why = "the database is damaged; restore a backup";
    return r;
}
