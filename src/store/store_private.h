/* SPDX-License-Identifier: Apache-2.0 */
/* store/store_private.h - what the files of this folder and its tests share. */
#ifndef BK_STORE_STORE_PRIVATE_H
#define BK_STORE_STORE_PRIVATE_H

#include "store/store.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

/* ---- migrations (generated from schema/NNNN.sql) ---- */
struct bk_migration {
    int version;
    const char *sql;
};
extern const struct bk_migration bk_store_migrations[];
extern const size_t bk_store_n_migrations;

/* ---- one connection ---- */
enum { BK_CONN_STATEMENTS = 256 }; /* slots of the table, a power of two well above what we have */

struct bk_statement {
    const char *sql; /* the literal itself is the key */
    sqlite3_stmt *stmt;
    bool busy;
};

/* Used by one thread at a time; its statements are prepared at first use and kept. */
struct bk_store_conn {
    sqlite3 *db;
    struct bk_statement statements[BK_CONN_STATEMENTS];
    int wal_pages; /* after the last commit */
    pthread_t owner;
    struct bk_store_conn *next;
};

enum bk_store_conn_kind {
    BK_CONN_READER,
    BK_CONN_WRITER, /* creates and migrates */
};

/* path NULL: in memory. image: its content at the start, may be empty. */
int bk_store_conn_open(const char *path, enum bk_store_conn_kind kind, struct bk_view image,
                       struct bk_store_conn **ret, const char **ret_why);
struct bk_store_conn *bk_store_conn_close(struct bk_store_conn *conn);
int bk_store_conn_migrate(struct bk_store_conn *conn, const struct bk_migration *migrations,
                          size_t n, int64_t now_ms, const char **ret_why);
/* Without arguments and rows. */
int bk_store_conn_exec(struct bk_store_conn *conn, const char *sql);
/* The negative errno for an extended result code of SQLite; db may be NULL. */
int bk_store_conn_errno(sqlite3 *db, int rc);
/* Copies what is in the write-ahead log into the database. full: waits for readers and empties the log. */
int bk_store_conn_checkpoint(struct bk_store_conn *conn, bool full);
/* "%s" formatted into memory of this thread. */
const char *bk_store_why(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- one statement being run ---- */
/* BK_CLEANUP(bk_query_end) struct bk_query q; every bk_query_* may follow a failed one and then does nothing. */
struct bk_query {
    struct bk_store_conn *conn;
    struct bk_statement *cached; /* NULL: prepared for this run only */
    sqlite3_stmt *stmt;
    struct bk_store *locked; /* whose lock is held, or NULL */
    int error;
};

/* sql must be a literal. */
void bk_query_begin(struct bk_query *q, struct bk_store_conn *conn, const char *sql);
/* On the connection of the calling thread. */
void bk_query_read(struct bk_query *q, struct bk_store *store, const char *sql);
void bk_query_int(struct bk_query *q, int at, int64_t n);
/* The bytes are borrowed until bk_query_end. */
void bk_query_text(struct bk_query *q, int at, struct bk_view v);
void bk_query_blob(struct bk_query *q, int at, struct bk_view v);
/* 1: a row; 0: no more; negative errno. */
int bk_query_step(struct bk_query *q);
int64_t bk_query_get_int(const struct bk_query *q, int column);
/* Copied; out of memory shows in the next bk_query_step and in q->error. */
struct bk_view bk_query_get(struct bk_query *q, int column, struct bk_arena *arena);
void bk_query_end(struct bk_query *q);

/* One row into *ret_, else returns -ENOENT or the error from the calling function. */
#define BK_QUERY_ONE(q_, read_, arena_, type_, ret_)                                               \
    do {                                                                                           \
        struct type_ bk_row = { 0 };                                                               \
        int bk_r = bk_query_step(q_);                                                              \
        if (bk_r <= 0)                                                                             \
            return bk_r < 0 ? bk_r : -ENOENT;                                                      \
        read_((q_), (arena_), &bk_row);                                                            \
        if ((q_)->error < 0)                                                                       \
            return (q_)->error;                                                                    \
        *(ret_) = bk_row;                                                                          \
        return 0;                                                                                  \
    } while (0)

/* Every row to each_; returns the number seen, or the error, from the calling function. */
#define BK_QUERY_ALL(q_, read_, arena_, type_, each_, ctx_)                                        \
    do {                                                                                           \
        int bk_n = 0, bk_r;                                                                        \
        while ((bk_r = bk_query_step(q_)) > 0) {                                                   \
            struct type_ bk_row = { 0 };                                                           \
            read_((q_), (arena_), &bk_row);                                                        \
            if ((q_)->error < 0)                                                                   \
                return (q_)->error;                                                                \
            bk_n++;                                                                                \
            if (!each_((ctx_), &bk_row))                                                           \
                break;                                                                             \
        }                                                                                          \
        return bk_r < 0 ? bk_r : bk_n;                                                             \
    } while (0)

/* ---- batches ---- */
enum { BK_STEP_VALUES_MAX = 24 };
struct bk_value {
    int64_t n;
    struct bk_view v;
};
#define BK_VALUE_INT(n_) ((struct bk_value){ .n = (int64_t)(n_) })
#define BK_VALUE(v_) ((struct bk_value){ .v = (v_) })

/*
 * Binds values[0] to ?1 and so on, by a letter each (i: number, t: text, b: bytes, -: not bound), runs sql to its
 * end. Returns how many rows it changed.
 */
int bk_store_conn_run(struct bk_store_conn *conn, const char *sql, const char *kinds,
                      const struct bk_value *values);
/* As bk_store_conn_run, but no row changed is -ENOENT, and the answer 0 otherwise. */
int bk_store_conn_run_must(struct bk_store_conn *conn, const char *sql, const char *kinds,
                           const struct bk_value *values);
/* For steps where nothing to do is fine: 0 for any number of rows. */
static inline int bk_store_conn_any(int r)
{
    return r < 0 ? r : 0;
}

struct bk_step {
    struct bk_step *next;
    int (*run)(struct bk_store_conn *conn, const struct bk_value *values);
    struct bk_value values[];
};

struct bk_store_batch {
    struct bk_arena arena;
    struct bk_step *first, *last;
    bool failed; /* out of memory */
    /* once handed over: */
    struct bk_store_batch *next;
    size_t bytes;
    int result;
    bool excluded; /* put aside: its result stands whatever becomes of the others */
    void (*done)(void *ctx, int result);
    void *ctx;
};

void bk_batch_step(struct bk_store_batch *batch,
                   int (*run)(struct bk_store_conn *conn, const struct bk_value *values),
                   const struct bk_value *values, size_t n);
#define BK_BATCH_STEP(batch, run, ...)                                                             \
    bk_batch_step((batch), (run), (const struct bk_value[]){ __VA_ARGS__ },                        \
                  sizeof((const struct bk_value[]){ __VA_ARGS__ }) / sizeof(struct bk_value))

/* ---- the store ---- */
struct bk_store {
    struct bk_store_config config;
    char *path;
    int lock_fd;
    uint64_t generation; /* tells a store from a later one at the same address */

    pthread_mutex_t readers_lock;
    struct bk_store_conn *readers; /* one per thread that reads; file only */

    /*
     * In memory there is one connection for all. This lock, recursive, is held while it works, so that a
     * thread never reads what another has not committed yet.
     */
    pthread_mutex_t shared_lock;

    struct bk_store_conn *writer; /* NULL after a failure that has not been overcome */
    int64_t probed_at;            /* by the monotonic clock of the system or the caller */
    atomic_int health;

    pthread_mutex_t lock; /* over what follows */
    pthread_cond_t wake;
    struct bk_store_batch *first, *last; /* waiting */
    struct bk_store_stats stats;
    bool stopping, crashing;
    bool silent; /* no callback any more */
    bool left;   /* nobody else has it: the writer frees it */
    struct bk_store_batch *group; /* what the thread commits now, until it was handed over */

    bool has_thread;
    pthread_t thread;
    /* of the writer alone */
    int64_t window_at;
    unsigned window_batches, last_window_batches;
    unsigned lonely; /* commits that go without waiting for company */
};

#endif
