/* SPDX-License-Identifier: Apache-2.0 */
#include "store_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
/* after those it needs */
#include <cmocka.h>

const char *fixture_base = "/tmp";

static int64_t mono_of(void *f)
{
    return ((struct fixture *)f)->mono_ms;
}

static int64_t real_of(void *f)
{
    return ((struct fixture *)f)->real_ms;
}

struct fixture *fixture_create(const struct shape *shape)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->shape = shape;
    f->mono_ms = 1000;
    f->real_ms = 1795324800000;
    f->clock = (struct bk_clock){ mono_of, real_of, f };
    if (shape->file) {
        snprintf(f->dir, sizeof f->dir, "%s/bk-store-XXXXXX", fixture_base);
        assert_non_null(mkdtemp(f->dir));
        snprintf(f->path, sizeof f->path, "%s/beckon.db", f->dir);
    }
    f->config = (struct bk_store_config){
        .path = shape->file ? f->path : NULL,
        .threaded = shape->threaded,
        .clock = &f->clock,
    };
    fixture_open(f);
    return f;
}

void fixture_open(struct fixture *f)
{
    const char *why = NULL;
    int r = bk_store_open(&f->config, &f->store, &why);
    if (r < 0)
        fail_msg("%s: %s", strerror(-r), why);
}

struct fixture *fixture_destroy(struct fixture *f)
{
    f->store = bk_store_close(f->store);
    bk_arena_finish(&f->arena);
    if (f->shape->file) {
        static const char *const ends[] = { "", "-wal", "-shm", "-journal", ".lock", ".backup" };
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
            char name[128];
            snprintf(name, sizeof name, "%s%s", f->path, ends[i]);
            unlink(name);
        }
        assert_int_equal(rmdir(f->dir), 0); /* nothing else may be left */
    }
    free(f);
    return NULL;
}

void fixture_crash(struct fixture *f)
{
    struct bk_buf image = { 0 };
    f->store = bk_store_crash(f->store, &image);
    if (f->shape->file) {
        fixture_open(f);
    } else {
        assert_false(image.failed);
        assert_int_equal(bk_store_open_image(&f->config, bk_buf_view(&image), &f->store), 0);
    }
    bk_buf_finish(&image);
}

void fixture_reopen(struct fixture *f)
{
    if (!f->shape->file) {
        fixture_crash(f);
        return;
    }
    f->store = bk_store_close(f->store);
    fixture_open(f);
}

void tally_init(struct tally *t)
{
    *t = (struct tally){ 0 };
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->changed, NULL);
}

void tally_done(void *tally, int result)
{
    struct tally *t = tally;
    pthread_mutex_lock(&t->lock);
    t->n++;
    t->last = result;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

int tally_count(struct tally *t)
{
    pthread_mutex_lock(&t->lock);
    int n = t->n;
    pthread_mutex_unlock(&t->lock);
    return n;
}

void tally_wait(struct tally *t, struct fixture *f, int n)
{
    if (!f->shape->threaded) {
        while (tally_count(t) < n)
            assert_true(bk_store_pump(f->store) > 0);
        return;
    }
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    pthread_mutex_lock(&t->lock);
    int r = 0;
    while (t->n < n && r == 0)
        r = pthread_cond_timedwait(&t->changed, &t->lock, &until);
    pthread_mutex_unlock(&t->lock);
    assert_int_equal(r, 0);
}

int fixture_commit(struct fixture *f, struct bk_store_batch *batch)
{
    struct tally t;
    tally_init(&t);
    int r = bk_store_commit(f->store, batch, tally_done, &t);
    if (r < 0)
        return r;
    tally_wait(&t, f, 1);
    return t.last;
}
