/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing, the queue of batches, and the one place that commits. */
#include "base/cleanup.h"
#include "store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    GATHER_MS = 5,
    PENDING_MAX = 64 << 20,
    GROUP_BYTES_MAX =
        8 << 20, /* one commit: keeps the log and the wait of the last one in bounds */
    GROUP_BATCHES_MAX = 1024,
    GATHER_ENOUGH = 64, /* batches: more company saves hardly anything */
    WINDOW_MS = 100,
    WINDOW_BUSY = 20, /* batches in a window, 200 per second: below, nobody waits for company */
    CHECKPOINT_PAGES = 1000, /* 4 MB of log: copied when the callbacks are on their way */
    CHECKPOINT_NOW_PAGES =
        16384,         /* 64 MB: readers kept it from being reused; now they are waited for */
    OFFENDERS_MAX = 8, /* batches put aside in one commit; with more it fails as a whole */
    LONELY_SKIPS = 8,  /* commits that do not wait after a wait that brought nobody */
    PROBE_MS = 1000,   /* how often a failed store is asked whether it writes again */
    CHECKED_AT_OPEN = 32 << 20, /* bytes: up to here the whole file is checked at every start */
};

static atomic_uint_fast64_t generations;

/* The connection this thread read with last, so that the common case takes no lock. */
static _Thread_local struct {
    const struct bk_store *store;
    uint64_t generation;
    struct bk_store_conn *conn;
} my_reader;

/* ---- reading ---- */

static int reader_of(struct bk_store *store, struct bk_store_conn **ret)
{
    if (my_reader.store == store && my_reader.generation == store->generation) {
        *ret = my_reader.conn;
        return 0;
    }
    int r = 0;
    pthread_mutex_lock(&store->readers_lock);
    struct bk_store_conn *conn = store->readers;
    while (conn && !pthread_equal(conn->owner, pthread_self()))
        conn = conn->next;
    if (!conn) {
        r = bk_store_conn_open(store->path, BK_CONN_READER, (struct bk_view){ 0 }, &conn, NULL);
        if (r == 0) {
            conn->next = store->readers;
            store->readers = conn;
        }
    }
    pthread_mutex_unlock(&store->readers_lock);
    if (r == 0) {
        my_reader.store = store;
        my_reader.generation = store->generation;
        my_reader.conn = *ret = conn;
    }
    return r;
}

void bk_query_read(struct bk_query *q, struct bk_store *store, const char *sql)
{
    if (store->path) {
        struct bk_store_conn *conn = NULL;
        int r = reader_of(store, &conn);
        if (r < 0)
            *q = (struct bk_query){ .error = r };
        else
            bk_query_begin(q, conn, sql);
        return;
    }
    pthread_mutex_lock(&store->shared_lock);
    if (store->writer) {
        bk_query_begin(q, store->writer, sql);
        q->locked = store;
    } else {
        pthread_mutex_unlock(&store->shared_lock);
        *q = (struct bk_query){ .error = -EIO };
    }
}

/* ---- committing ---- */

static int64_t mono_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* An error after which the connection is not trusted any more, however it came. */
static bool is_sick(int error)
{
    return error < 0 && error != -EEXIST && error != -ENOENT && error != -EINVAL &&
           error != -EMSGSIZE && error != -ERANGE;
}

/*
 * A new connection, and all that was acknowledged copied out of the log and synced: after a failed
 * fsync the kernel calls pages clean that never reached the disk, so what stands in the log behind the last
 * good commit must never be believed, and nothing is committed before the log was emptied.
 */
static int revive(struct bk_store *store)
{
    if (!store->path)
        return store->writer ? 0 : -EIO;
    bk_store_conn_close(store->writer);
    store->writer = NULL;
    struct bk_store_conn *conn = NULL;
    int r = bk_store_conn_open(store->path, BK_CONN_WRITER, (struct bk_view){ 0 }, &conn, NULL);
    if (r == 0)
        r = bk_store_conn_checkpoint(conn, true);
    if (r < 0)
        bk_store_conn_close(conn);
    else
        store->writer = conn;
    return r;
}

static int run_steps(struct bk_store_conn *conn, const struct bk_store_batch *batch)
{
    int r = 0;
    for (const struct bk_step *s = batch->first; r == 0 && s; s = s->next)
        r = s->run(conn, s->values);
    return r;
}

/* One of BEGIN, SAVEPOINT and their like, prepared once. */
static int control(struct bk_store_conn *conn, const char *sql)
{
    return bk_store_conn_any(bk_store_conn_run(conn, sql, "", NULL));
}

/* Negative: the whole commit is lost. A refused batch leaves nothing behind and its result. */
static int run_batch(struct bk_store_conn *conn, struct bk_store_batch *batch)
{
    int r = control(conn, "SAVEPOINT batch");
    if (r < 0)
        return r;
    batch->result = run_steps(conn, batch);
    if (is_sick(batch->result))
        return batch->result;
    if (batch->result < 0)
        r = control(conn, "ROLLBACK TO batch");
    return r < 0 ? r : control(conn, "RELEASE batch");
}

/* *ret_offender: the batch that met the error, NULL where it is nobody's own. */
static int run_group(struct bk_store *store, struct bk_store_batch *group,
                     struct bk_store_batch **ret_offender)
{
    int r = 0;
    if (!store->writer || atomic_load(&store->health) < 0)
        r = revive(store);
    if (r < 0)
        return r;
    struct bk_store_conn *conn = store->writer;
    r = control(conn, "BEGIN IMMEDIATE");
    if (r < 0)
        return r;
    for (struct bk_store_batch *b = group; r == 0 && b; b = b->next) {
        if (b->excluded)
            continue;
        r = run_batch(conn, b);
        if (r < 0)
            *ret_offender = b;
    }
    if (r == 0)
        r = control(conn, "COMMIT");
    if (r < 0 && !sqlite3_get_autocommit(conn->db))
        (void)control(conn, "ROLLBACK");
    return r;
}

/*
 * A batch that meets a damaged page, or for which memory does not suffice, is put aside with its error and the
 * others are tried without it: a damaged history of sign-ins shall not keep messages from being stored.
 */
static int run_group_without_offenders(struct bk_store *store, struct bk_store_batch *group)
{
    for (int tries = 0;; tries++) {
        struct bk_store_batch *offender = NULL;
        int r = run_group(store, group, &offender);
        if (!offender || tries == OFFENDERS_MAX || (r != -EILSEQ && r != -ENOMEM))
            return r;
        offender->result = r;
        offender->excluded = true;
        bk_log(store->config.log, BK_LOG_ERROR, "store: a write was put aside", "reason",
               strerror(-r));
    }
}

static void set_health(struct bk_store *store, int health)
{
    int before = atomic_exchange(&store->health, health);
    if (before == health)
        return;
    if (health < 0)
        bk_log(store->config.log, BK_LOG_ERROR, "store does not take writes", "reason",
               strerror(-health));
    else
        bk_log(store->config.log, BK_LOG_NOTICE, "store takes writes again");
}

/* Commits the group; every result is set then. */
static void commit_group(struct bk_store *store, struct bk_store_batch *group)
{
    if (!store->path)
        pthread_mutex_lock(&store->shared_lock);
    int r = run_group_without_offenders(store, group);
    if (r < 0 && store->path)
        store->writer = bk_store_conn_close(store->writer);
    if (!store->path)
        pthread_mutex_unlock(&store->shared_lock);

    size_t bytes = 0;
    uint64_t n = 0, failed = 0;
    for (struct bk_store_batch *b = group; b; b = b->next) {
        if (r < 0 && !b->excluded)
            b->result = r;
        failed += b->result < 0;
        bytes += b->bytes;
        n++;
    }
    pthread_mutex_lock(&store->lock);
    store->stats.batches += n;
    store->stats.commits += r == 0;
    store->stats.failures += failed;
    store->stats.pending_bytes -= bytes;
    pthread_mutex_unlock(&store->lock);
    set_health(store, r);
}

static void call_back(void *group)
{
    struct bk_store_batch *next = NULL;
    for (struct bk_store_batch *b = group; b; b = next) {
        next = b->next;
        if (b->done)
            b->done(b->ctx, b->result);
        bk_store_batch_destroy(b);
    }
}

static void destroy_all(struct bk_store_batch *group)
{
    for (struct bk_store_batch *next; group; group = next) {
        next = group->next;
        bk_store_batch_destroy(group);
    }
}

static void hand_back(struct bk_store *store, struct bk_store_batch *group)
{
    if (store->config.post)
        store->config.post(store->config.post_ctx, call_back, group);
    else
        call_back(group);
}

/* After the callbacks, so that nobody waits for it. A failure loses nothing: the log still has it all. */
static void tidy(struct bk_store *store)
{
    struct bk_store_conn *conn = store->writer;
    if (!store->path || !conn || conn->wal_pages < CHECKPOINT_PAGES)
        return;
    int r = bk_store_conn_checkpoint(conn, conn->wal_pages >= CHECKPOINT_NOW_PAGES);
    if (r < 0 && r != -EBUSY)
        bk_log(store->config.log, BK_LOG_WARNING, "store log not copied into the database",
               "reason", strerror(-r));
}

/* The lock is held. Takes what one commit shall hold off the front of the queue. */
static struct bk_store_batch *take_group(struct bk_store *store)
{
    struct bk_store_batch *group = store->first, *last = NULL;
    size_t bytes = 0, n = 0;
    for (struct bk_store_batch *b = group; b; b = b->next) {
        if (n == GROUP_BATCHES_MAX || (n > 0 && bytes + b->bytes > GROUP_BYTES_MAX))
            break;
        bytes += b->bytes;
        n++;
        last = b;
    }
    if (last) {
        store->first = last->next;
        if (!store->first)
            store->last = NULL;
        last->next = NULL;
    }
    return group;
}

/* While writes fail, a small one is tried now and then, so that health comes back without traffic. */
static void probe(struct bk_store *store, int64_t now_ms)
{
    if (atomic_load(&store->health) == 0 || now_ms - store->probed_at < PROBE_MS)
        return;
    store->probed_at = now_ms;
    if (!store->path)
        pthread_mutex_lock(&store->shared_lock);
    int r = revive(store);
    if (r == 0)
        r = bk_store_conn_exec(store->writer, "UPDATE probe SET at = at + 1");
    if (r < 0 && store->path)
        store->writer = bk_store_conn_close(store->writer);
    if (!store->path)
        pthread_mutex_unlock(&store->shared_lock);
    set_health(store, r);
}

/* ---- the thread ---- */

static void wait_until(struct bk_store *store, int64_t at_ms)
{
    struct timespec at = { .tv_sec = at_ms / 1000, .tv_nsec = (at_ms % 1000) * 1000000 };
    pthread_cond_timedwait(&store->wake, &store->lock, &at);
}

static unsigned waiting(const struct bk_store *store)
{
    unsigned n = 0;
    for (const struct bk_store_batch *b = store->first; b && n < GATHER_ENOUGH; b = b->next)
        n++;
    return n;
}

/* The lock is held. Under load a few milliseconds of waiting let more batches share one fsync. */
static void gather(struct bk_store *store)
{
    int64_t now = mono_ms();
    if (now - store->window_at >= WINDOW_MS) {
        store->last_window_batches =
            now - store->window_at < 2 * WINDOW_MS ? store->window_batches : 0;
        store->window_batches = 0;
        store->window_at = now;
    }
    bool busy = store->last_window_batches >= WINDOW_BUSY || store->window_batches >= WINDOW_BUSY;
    if (!busy || store->stopping)
        return;
    /* Somebody who waits for each answer before the next write would wait for himself. */
    if (store->lonely > 0) {
        store->lonely--;
        return;
    }
    unsigned before = waiting(store);
    int64_t until = now + store->config.gather_ms;
    while (!store->stopping && waiting(store) < GATHER_ENOUGH && mono_ms() < until)
        wait_until(store, until);
    store->stats.waits++;
    if (waiting(store) == before && before < GATHER_ENOUGH)
        store->lonely = LONELY_SKIPS;
}

/*
 * The callbacks of a group, unless nobody may be called any more. Where they are posted, that is done under the lock:
 * after bk_store_silence nothing is posted to a loop that may be gone.
 */
static void give_back(struct bk_store *store, struct bk_store_batch *group)
{
    pthread_mutex_lock(&store->lock);
    bool silent = store->crashing || store->silent, posts = store->config.post != NULL;
    if (!silent && posts)
        hand_back(store, group);
    if (silent || posts)
        store->group = NULL;
    pthread_mutex_unlock(&store->lock);
    if (silent) {
        destroy_all(group);
    } else if (!posts) {
        hand_back(store, group);
        pthread_mutex_lock(&store->lock);
        store->group = NULL;
        pthread_mutex_unlock(&store->lock);
    }
}

static struct bk_store *release(struct bk_store *store);

static void *write_all(void *arg)
{
    struct bk_store *store = arg;
    pthread_mutex_lock(&store->lock);
    for (;;) {
        while (!store->first && !store->stopping) {
            if (atomic_load(&store->health) == 0) {
                pthread_cond_wait(&store->wake, &store->lock);
                continue;
            }
            wait_until(store, mono_ms() + PROBE_MS);
            pthread_mutex_unlock(&store->lock);
            probe(store, mono_ms());
            pthread_mutex_lock(&store->lock);
        }
        if (store->crashing || !store->first)
            break;
        gather(store);
        struct bk_store_batch *group = take_group(store);
        for (struct bk_store_batch *b = group; b; b = b->next)
            store->window_batches++;
        store->group = group;
        pthread_mutex_unlock(&store->lock);

        commit_group(store, group);
        give_back(store, group);
        tidy(store);
        pthread_mutex_lock(&store->lock);
    }
    bool left = store->left;
    pthread_mutex_unlock(&store->lock);
    if (left)
        release(store);
    return NULL;
}

static int start_thread(struct bk_store *store)
{
    /* Signals belong to the thread that runs the loop. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = -pthread_create(&store->thread, NULL, write_all, store);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    store->has_thread = r == 0;
    return r;
}

/* ---- handing over ---- */

int bk_store_commit(struct bk_store *store, struct bk_store_batch *batch,
                    void (*done)(void *ctx, int result), void *ctx)
{
    if (!batch)
        return -ENOMEM;
    int r = batch->failed ? -ENOMEM : 0;
    batch->done = done;
    batch->ctx = ctx;
    batch->bytes = sizeof *batch + batch->arena.used;

    pthread_mutex_lock(&store->lock);
    if (r == 0 && store->stopping)
        r = -ESHUTDOWN;
    if (r == 0 && store->stats.pending_bytes >= store->config.pending_max)
        r = -EAGAIN;
    if (r == 0) {
        store->stats.pending_bytes += batch->bytes;
        if (store->last)
            store->last->next = batch;
        else
            store->first = batch;
        store->last = batch;
        if (store->has_thread)
            pthread_cond_signal(&store->wake);
    }
    pthread_mutex_unlock(&store->lock);
    if (r < 0)
        bk_store_batch_destroy(batch);
    return r;
}

int bk_store_pump(struct bk_store *store)
{
    if (store->has_thread)
        return 0;
    int n = 0;
    pthread_mutex_lock(&store->lock);
    struct bk_store_batch *group = take_group(store);
    pthread_mutex_unlock(&store->lock);
    if (!group) {
        probe(store, bk_clock_mono_ms(store->config.clock));
        return 0;
    }
    for (struct bk_store_batch *b = group; b; b = b->next)
        n++;
    commit_group(store, group);
    hand_back(store, group);
    tidy(store);
    return n;
}

int bk_store_health(const struct bk_store *store)
{
    return atomic_load(&store->health);
}

void bk_store_stats(struct bk_store *store, struct bk_store_stats *ret)
{
    pthread_mutex_lock(&store->lock);
    *ret = store->stats;
    ret->busy = store->group || store->first;
    pthread_mutex_unlock(&store->lock);
}

/* ---- opening and closing ---- */

static struct bk_store *release(struct bk_store *store)
{
    for (struct bk_store_conn *next; store->readers; store->readers = next) {
        next = store->readers->next;
        bk_store_conn_close(store->readers);
    }
    bk_store_conn_close(
        store->writer); /* the last one: it copies the log into the database and removes it */
    destroy_all(store->first);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    pthread_mutex_destroy(&store->readers_lock);
    pthread_mutex_destroy(&store->shared_lock);
    pthread_mutex_destroy(&store->lock);
    pthread_cond_destroy(&store->wake);
    free(store->path);
    free(store);
    return NULL;
}

/* One process at a time: an advisory lock that the kernel takes back however the process ends. */
static int lock_file(const char *path, int *ret_fd)
{
    BK_AUTO_FREE char *name = NULL;
    if (asprintf(&name, "%s.lock", path) < 0) {
        name = NULL;
        return -ENOMEM;
    }
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int r = errno == EWOULDBLOCK ? -EBUSY : -errno;
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

/* A new name must survive a power cut as well. */
static int sync_directory_of(const char *path)
{
    BK_AUTO_FREE char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
    close(fd);
    return r;
}

/* The file holds secrets, so it is ours alone; the log beside it inherits the mode. */
static int make_file(const char *path, off_t *ret_size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    struct stat st;
    int r = fstat(fd, &st) < 0 ? -errno : 0;
    close(fd);
    if (r < 0)
        return r;
    *ret_size = st.st_size;
    return st.st_size > 0 ? 0 : sync_directory_of(path);
}

static int check(struct bk_store_conn *conn, const char **ret_why)
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_begin(&q, conn, "PRAGMA quick_check(1)");
    int r = bk_query_step(&q);
    if (r > 0) {
        const char *text = (const char *)sqlite3_column_text(q.stmt, 0);
        r = text && strcmp(text, "ok") == 0 ? 0 : -EILSEQ;
        if (r < 0)
            *ret_why =
                bk_store_why("the database is damaged (%s); restore a backup", text ? text : "?");
    } else if (r == -EILSEQ) {
        *ret_why = "the database is damaged; restore a backup";
    }
    return r;
}

int bk_store_check(struct bk_store *store, const char **ret_why)
{
    const char *why = "";
    struct bk_store_conn *conn = NULL;
    int r = 0;
    if (!store->path) {
        pthread_mutex_lock(&store->shared_lock);
        r = store->writer ? check(store->writer, &why) : -EIO;
        pthread_mutex_unlock(&store->shared_lock);
    } else {
        r = bk_store_conn_open(store->path, BK_CONN_READER, (struct bk_view){ 0 }, &conn, &why);
        if (r == 0)
            r = check(conn, &why);
        bk_store_conn_close(conn);
    }
    if (ret_why)
        *ret_why = why;
    return r;
}

static int open_file(struct bk_store *store, const char **ret_why)
{
    off_t size = 0;
    int r = lock_file(store->path, &store->lock_fd);
    if (r == 0)
        r = make_file(store->path, &size);
    if (r < 0) {
        *ret_why = r == -EBUSY ? bk_store_why("%s is in use by another process", store->path)
                               : bk_store_why("cannot open %s: %s", store->path, strerror(-r));
        return r;
    }
    r = bk_store_conn_open(store->path, BK_CONN_WRITER, (struct bk_view){ 0 }, &store->writer,
                           ret_why);
    if (r == 0 && size > 0 && size <= CHECKED_AT_OPEN)
        r = check(store->writer, ret_why);
    return r;
}

static int open_any(const struct bk_store_config *config, struct bk_view image,
                    struct bk_store **ret, const char **ret_why)
{
    const char *why = NULL;
    if (!ret_why)
        ret_why = &why;
    *ret_why = "out of memory";

    struct bk_store *store = calloc(1, sizeof *store);
    if (!store)
        return -ENOMEM;
    *ret_why = NULL;
    store->config = *config;
    store->config.path = NULL; /* the caller's; ours is store->path */
    if (!store->config.clock)
        store->config.clock = &bk_clock_system;
    if (store->config.gather_ms <= 0 || store->config.gather_ms > 20)
        store->config.gather_ms = GATHER_MS;
    if (store->config.pending_max == 0)
        store->config.pending_max = PENDING_MAX;
    store->lock_fd = -1;
    store->generation = atomic_fetch_add(&generations, 1) + 1;

    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&store->shared_lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    pthread_mutex_init(&store->readers_lock, NULL);
    pthread_mutex_init(&store->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&store->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);

    int r = 0;
    if (config->path) {
        store->path = strdup(config->path);
        r = store->path ? open_file(store, ret_why) : -ENOMEM;
    } else {
        r = bk_store_conn_open(NULL, BK_CONN_WRITER, image, &store->writer, ret_why);
    }
    if (r == 0)
        r = bk_store_conn_migrate(store->writer, bk_store_migrations, bk_store_n_migrations,
                                  bk_clock_real_ms(store->config.clock), ret_why);
    if (r == 0 && config->threaded)
        r = start_thread(store);
    if (r < 0) {
        if (!*ret_why)
            *ret_why = bk_store_why("cannot open the store: %s", strerror(-r));
        release(store);
        return r;
    }
    *ret = store;
    return 0;
}

int bk_store_open(const struct bk_store_config *config, struct bk_store **ret, const char **ret_why)
{
    return open_any(config, (struct bk_view){ 0 }, ret, ret_why);
}

int bk_store_open_image(const struct bk_store_config *config, struct bk_view image,
                        struct bk_store **ret)
{
    struct bk_store_config in_memory = *config;
    in_memory.path = NULL;
    return open_any(&in_memory, image, ret, NULL);
}

static void stop(struct bk_store *store, bool crashing)
{
    pthread_mutex_lock(&store->lock);
    store->stopping = true;
    store->crashing = crashing;
    pthread_cond_signal(&store->wake);
    pthread_mutex_unlock(&store->lock);
    if (store->has_thread)
        pthread_join(store->thread, NULL);
    store->has_thread = false;
}

struct bk_store *bk_store_close(struct bk_store *store)
{
    if (!store)
        return NULL;
    stop(store, false);
    while (bk_store_pump(store) > 0)
        ;
    return release(store);
}

/* The lock is held. Takes the callback of one batch, in the order of the calls. false: there is none left. */
static bool take_callback(struct bk_store *store, void (**ret_done)(void *, int), void **ret_ctx)
{
    struct bk_store_batch *lists[2] = { store->group, store->first };
    for (int i = 0; i < 2; i++)
        for (struct bk_store_batch *b = lists[i]; b; b = b->next)
            if (b->done) {
                *ret_done = b->done;
                *ret_ctx = b->ctx;
                b->done = NULL;
                return true;
            }
    return false;
}

void bk_store_silence(struct bk_store *store)
{
    void (*done)(void *ctx, int result);
    void *ctx;
    pthread_mutex_lock(&store->lock);
    store->stopping = true;
    store->silent = true;
    pthread_cond_signal(&store->wake);
    while (take_callback(store, &done, &ctx)) {
        pthread_mutex_unlock(&store->lock);
        done(ctx, -ESHUTDOWN);
        pthread_mutex_lock(&store->lock);
    }
    pthread_mutex_unlock(&store->lock);
}

struct bk_store *bk_store_leave(struct bk_store *store)
{
    if (!store)
        return NULL;
    if (!store->has_thread)
        return release(store);
    pthread_mutex_lock(&store->lock);
    pthread_detach(store->thread);
    store->left = true;
    store->config.log = NULL; /* the caller's */
    pthread_mutex_unlock(&store->lock);
    return NULL;
}

struct bk_store *bk_store_crash(struct bk_store *store, struct bk_buf *ret_image)
{
    if (!store)
        return NULL;
    stop(store, true);
    if (!store->path && store->writer && ret_image) {
        sqlite3_int64 len = 0;
        unsigned char *image = sqlite3_serialize(store->writer->db, "main", &len, 0);
        bk_buf_clear(ret_image);
        bk_buf_add(ret_image, image, image ? (size_t)len : 0);
        ret_image->failed = ret_image->failed || !image;
        sqlite3_free(image);
    }
    /* The log stays as it is, as after a power cut. */
    if (store->writer)
        sqlite3_db_config(store->writer->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    for (struct bk_store_conn *c = store->readers; c; c = c->next)
        sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return release(store);
}

/* ---- backup ---- */

static int copy_database(sqlite3 *from, const char *path)
{
    BK_AUTO_FREE char *name = NULL;
    if (asprintf(&name, "%s%s", path[0] == '/' ? "" : "./", path) < 0) {
        name = NULL;
        return -ENOMEM;
    }
    sqlite3 *to = NULL;
    int rc = sqlite3_open_v2(
        name, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(to, "PRAGMA synchronous=FULL", NULL, NULL, NULL);
    sqlite3_backup *backup = rc == SQLITE_OK ? sqlite3_backup_init(to, "main", from, "main") : NULL;
    if (backup) {
        rc = sqlite3_backup_step(backup, -1); /* one step is one moment */
        int finished = sqlite3_backup_finish(backup);
        rc = rc == SQLITE_DONE ? finished : rc;
    } else if (rc == SQLITE_OK) {
        rc = sqlite3_extended_errcode(to);
    }
    int r = bk_store_conn_errno(to, rc);
    sqlite3_close_v2(to);
    return r;
}

int bk_store_backup(struct bk_store *store, const char *path)
{
    BK_AUTO_FREE char *partial = NULL;
    if (asprintf(&partial, "%s.partial", path) < 0) {
        partial = NULL;
        return -ENOMEM;
    }
    int fd = open(partial, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 && errno == EEXIST) { /* of a backup that did not come to its end */
        unlink(partial);
        fd = open(partial, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    }
    if (fd < 0)
        return -errno;
    close(fd);

    int r = 0;
    if (!store->path) {
        pthread_mutex_lock(&store->shared_lock);
        r = store->writer ? copy_database(store->writer->db, partial) : -EIO;
        pthread_mutex_unlock(&store->shared_lock);
    } else {
        struct bk_store_conn *conn = NULL;
        r = bk_store_conn_open(store->path, BK_CONN_READER, (struct bk_view){ 0 }, &conn, NULL);
        if (r == 0)
            r = copy_database(conn->db, partial);
        bk_store_conn_close(conn);
    }
    if (r == 0 && rename(partial, path) < 0)
        r = -errno;
    if (r == 0)
        return sync_directory_of(path);
    unlink(partial);
    return r;
}
