/* SPDX-License-Identifier: Apache-2.0 */
#include "fault_vfs.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what is on disk for certain ---- */
enum { FILES_MAX = 16, SECTOR = 512 };

struct written {
    struct written *next;
    int64_t at; /* len < 0: truncated to at */
    int64_t len;
    char bytes[];
};

static struct tracked {
    char *path;
    char *synced; /* the content a power cut leaves for certain */
    int64_t synced_len, synced_cap;
    struct written *first, *last; /* since the last sync */
} files[FILES_MAX];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned armed_ops;
static enum fault_kind armed_kind;
static long armed_n, seen;
static bool armed_stays, happened;
static int last_errno;
static pthread_cond_t calm = PTHREAD_COND_INITIALIZER;

static void forget_written(struct tracked *t)
{
    for (struct written *next; t->first; t->first = next) {
        next = t->first->next;
        free(t->first);
    }
    t->last = NULL;
}

static void resize_synced(struct tracked *t, int64_t len)
{
    if (len > t->synced_cap) {
        t->synced_cap = 2 * len;
        t->synced = realloc(t->synced, (size_t)t->synced_cap);
        assert(t->synced);
    }
    if (len > t->synced_len)
        memset(t->synced + t->synced_len, 0, (size_t)(len - t->synced_len));
    t->synced_len = len;
}

/* A sync that succeeded: what was written since the last one is on disk. */
static void apply_written(struct tracked *t)
{
    for (struct written *w = t->first; w; w = w->next) {
        if (w->len < 0) {
            resize_synced(t, w->at);
            continue;
        }
        if (w->at + w->len > t->synced_len)
            resize_synced(t, w->at + w->len);
        memcpy(t->synced + w->at, w->bytes, (size_t)w->len);
    }
    forget_written(t);
}

/* What was there before we looked counts as being on disk. */
static void read_synced(struct tracked *t)
{
    int fd = open(t->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    struct stat st;
    if (fstat(fd, &st) == 0 && st.st_size > 0) {
        resize_synced(t, st.st_size);
        int64_t n = pread(fd, t->synced, (size_t)st.st_size, 0);
        assert(n == st.st_size);
        (void)n;
    }
    close(fd);
}

static void untrack(struct tracked *t)
{
    forget_written(t);
    free(t->synced);
    free(t->path);
    *t = (struct tracked){ 0 };
}

static struct tracked *track(const char *path)
{
    struct tracked *unused = NULL;
    for (size_t i = 0; i < FILES_MAX; i++) {
        if (files[i].path && strcmp(files[i].path, path) == 0)
            return &files[i];
        if (files[i].path && access(files[i].path, F_OK) < 0)
            untrack(&files[i]); /* of a test that is over */
        if (!files[i].path && !unused)
            unused = &files[i];
    }
    assert(unused);
    unused->path = strdup(path);
    assert(unused->path);
    read_synced(unused);
    return unused;
}

static void note(struct tracked *t, int64_t at, const void *bytes, int64_t len)
{
    struct written *w = malloc(sizeof *w + (len > 0 ? (size_t)len : 0));
    assert(w);
    *w = (struct written){ .at = at, .len = len };
    if (len > 0)
        memcpy(w->bytes, bytes, (size_t)len);
    if (t->last)
        t->last->next = w;
    else
        t->first = w;
    t->last = w;
}

static uint64_t next_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = *state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void fault_power_cut(uint64_t seed)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < FILES_MAX; i++) {
        struct tracked *t = &files[i];
        if (!t->path)
            continue;
        int fd = open(t->path, O_RDWR | O_CLOEXEC);
        if (fd >= 0) {
            /* All lost, all kept, or each sector by its own luck. */
            uint64_t luck = next_random(&seed) % 4;
            int r = ftruncate(fd, 0);
            if (t->synced_len > 0)
                r |= pwrite(fd, t->synced, (size_t)t->synced_len, 0) != t->synced_len;
            for (struct written *w = t->first; w; w = w->next) {
                if (w->len < 0) {
                    if (luck != 0 && (luck == 1 || next_random(&seed) & 1))
                        r |= ftruncate(fd, w->at);
                    continue;
                }
                for (int64_t at = 0, n; at < w->len; at += n) {
                    n = SECTOR - (w->at + at) % SECTOR;
                    n = n < w->len - at ? n : w->len - at;
                    if (luck != 0 && (luck == 1 || next_random(&seed) & 1))
                        r |= pwrite(fd, w->bytes + at, (size_t)n, w->at + at) != n;
                }
            }
            assert(r == 0);
            close(fd);
        }
        char shm[512];
        size_t len = strlen(t->path);
        if (len > 4 && strcmp(t->path + len - 4, "-wal") == 0) {
            snprintf(shm, sizeof shm, "%.*s-shm", (int)(len - 4), t->path);
            unlink(shm);
        }
        untrack(t);
    }
    pthread_mutex_unlock(&lock);
}

/* ---- faults ---- */
void fault_arm(unsigned ops, enum fault_kind kind, long n, bool stays)
{
    pthread_mutex_lock(&lock);
    armed_ops = ops;
    armed_kind = kind;
    armed_n = n;
    armed_stays = stays;
    seen = 0;
    happened = false;
    pthread_mutex_unlock(&lock);
}

bool fault_disarm(void)
{
    pthread_mutex_lock(&lock);
    armed_ops = 0;
    pthread_cond_broadcast(&calm);
    bool did = happened;
    pthread_mutex_unlock(&lock);
    return did;
}

long fault_seen(void)
{
    pthread_mutex_lock(&lock);
    long n = seen;
    pthread_mutex_unlock(&lock);
    return n;
}

/* The lock is held. SQLITE_OK, or how this operation fails. */
static int fate(enum fault_op op)
{
    if (!(armed_ops & op) || armed_n == 0)
        return SQLITE_OK;
    seen++;
    if (seen < armed_n || (seen > armed_n && !armed_stays))
        return SQLITE_OK;
    happened = true;
    int io = op == FAULT_WRITE  ? SQLITE_IOERR_WRITE
             : op == FAULT_SYNC ? SQLITE_IOERR_FSYNC
                                : SQLITE_IOERR_READ;
    switch (armed_kind) {
    case FAULT_FULL:
        last_errno = ENOSPC;
        return op == FAULT_WRITE ? SQLITE_FULL : io;
    case FAULT_READONLY:
        last_errno = EROFS;
        return io;
    case FAULT_EXIT:
        _exit(9);
    case FAULT_STALL:
        while (armed_ops)
            pthread_cond_wait(&calm, &lock);
        return SQLITE_OK;
    case FAULT_IO:
        break;
    }
    last_errno = EIO;
    return io;
}

/* ---- the file ---- */
struct fault_file {
    sqlite3_file base;
    struct tracked *tracked; /* NULL: a temporary file */
    sqlite3_file real[];     /* szOsFile bytes of the VFS below */
};

static sqlite3_vfs *below, shim;

#define REAL(file) (((struct fault_file *)(void *)(file))->real)

static int do_close(sqlite3_file *f)
{
    return REAL(f)->pMethods ? REAL(f)->pMethods->xClose(REAL(f)) : SQLITE_OK;
}

static int do_read(sqlite3_file *f, void *to, int len, sqlite3_int64 at)
{
    pthread_mutex_lock(&lock);
    int rc = fate(FAULT_READ);
    pthread_mutex_unlock(&lock);
    return rc != SQLITE_OK ? rc : REAL(f)->pMethods->xRead(REAL(f), to, len, at);
}

static int do_write(sqlite3_file *f, const void *from, int len, sqlite3_int64 at)
{
    struct tracked *t = ((struct fault_file *)(void *)f)->tracked;
    pthread_mutex_lock(&lock);
    int rc = fate(FAULT_WRITE);
    if (rc == SQLITE_OK)
        rc = REAL(f)->pMethods->xWrite(REAL(f), from, len, at);
    if (rc == SQLITE_OK && t)
        note(t, at, from, len);
    pthread_mutex_unlock(&lock);
    return rc;
}

static int do_truncate(sqlite3_file *f, sqlite3_int64 to)
{
    struct tracked *t = ((struct fault_file *)(void *)f)->tracked;
    pthread_mutex_lock(&lock);
    int rc = fate(FAULT_WRITE);
    if (rc == SQLITE_OK)
        rc = REAL(f)->pMethods->xTruncate(REAL(f), to);
    if (rc == SQLITE_OK && t)
        note(t, to, NULL, -1);
    pthread_mutex_unlock(&lock);
    return rc;
}

static int do_sync(sqlite3_file *f, int flags)
{
    (void)flags;
    struct tracked *t = ((struct fault_file *)(void *)f)->tracked;
    pthread_mutex_lock(&lock);
    int rc = fate(FAULT_SYNC);
    if (rc == SQLITE_OK && t)
        apply_written(t);
    else if (t)
        forget_written(t); /* the kernel calls the pages clean now: no later sync will write them */
    pthread_mutex_unlock(&lock);
    return rc;
}

static int do_file_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    return REAL(f)->pMethods->xFileSize(REAL(f), ret);
}
static int do_lock(sqlite3_file *f, int level)
{
    return REAL(f)->pMethods->xLock(REAL(f), level);
}
static int do_unlock(sqlite3_file *f, int level)
{
    return REAL(f)->pMethods->xUnlock(REAL(f), level);
}
static int do_check_lock(sqlite3_file *f, int *ret)
{
    return REAL(f)->pMethods->xCheckReservedLock(REAL(f), ret);
}
static int do_control(sqlite3_file *f, int op, void *arg)
{
    return REAL(f)->pMethods->xFileControl(REAL(f), op, arg);
}
static int do_sector(sqlite3_file *f)
{
    (void)f;
    return SECTOR;
}
static int do_characteristics(sqlite3_file *f)
{
    (void)f;
    return 0; /* the weakest disk there is: no atomic, no ordered, no safe append */
}
static int do_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
    return REAL(f)->pMethods->xShmMap(REAL(f), page, size, extend, ret);
}
static int do_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    return REAL(f)->pMethods->xShmLock(REAL(f), at, n, flags);
}
static void do_shm_barrier(sqlite3_file *f)
{
    REAL(f)->pMethods->xShmBarrier(REAL(f));
}
static int do_shm_unmap(sqlite3_file *f, int delete)
{
    return REAL(f)->pMethods->xShmUnmap(REAL(f), delete);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = do_close,
    .xRead = do_read,
    .xWrite = do_write,
    .xTruncate = do_truncate,
    .xSync = do_sync,
    .xFileSize = do_file_size,
    .xLock = do_lock,
    .xUnlock = do_unlock,
    .xCheckReservedLock = do_check_lock,
    .xFileControl = do_control,
    .xSectorSize = do_sector,
    .xDeviceCharacteristics = do_characteristics,
    .xShmMap = do_shm_map,
    .xShmLock = do_shm_lock,
    .xShmBarrier = do_shm_barrier,
    .xShmUnmap = do_shm_unmap,
};

static int do_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
    (void)vfs;
    struct fault_file *file = (struct fault_file *)(void *)f;
    memset(file, 0, (size_t)shim.szOsFile);
    int rc = below->xOpen(below, name, file->real, flags, ret_flags);
    if (rc != SQLITE_OK)
        return rc;
    file->base.pMethods = &methods;
    if (name && (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL))) {
        pthread_mutex_lock(&lock);
        file->tracked = track(name);
        pthread_mutex_unlock(&lock);
    }
    return SQLITE_OK;
}

static int do_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs;
    (void)sync;
    int rc = below->xDelete(below, name, 0);
    if (rc == SQLITE_OK) {
        pthread_mutex_lock(&lock);
        for (size_t i = 0; i < FILES_MAX; i++)
            if (files[i].path && strcmp(files[i].path, name) == 0)
                untrack(&files[i]);
        pthread_mutex_unlock(&lock);
    }
    return rc;
}

static int do_last_error(sqlite3_vfs *vfs, int len, char *to)
{
    (void)vfs;
    (void)len;
    (void)to;
    return last_errno;
}

void fault_vfs_install(void)
{
    below = sqlite3_vfs_find(NULL);
    shim = *below;
    shim.pNext = NULL;
    shim.zName = "faults";
    shim.szOsFile = (int)sizeof(struct fault_file) + below->szOsFile;
    shim.xOpen = do_open;
    shim.xDelete = do_delete;
    shim.xGetLastError = do_last_error;
    sqlite3_vfs_register(&shim, 1);
}

void fault_vfs_uninstall(void)
{
    sqlite3_vfs_unregister(&shim);
    for (size_t i = 0; i < FILES_MAX; i++)
        if (files[i].path)
            untrack(&files[i]);
}
