/* SPDX-License-Identifier: Apache-2.0 */
/* base/buf.h - bytes that grow at the end. */
#ifndef BK_BASE_BUF_H
#define BK_BASE_BUF_H

#include "base/view.h"

/*
 * Owned by whoever has the struct: bk_buf_finish() frees. {0} is an empty buffer without a
 * limit. An append that fails (out of memory, over max) changes nothing but sets `failed`, and
 * every later append fails too: a builder appends a whole message and asks once at the end.
 */
struct bk_buf {
    char *at;
    size_t len, cap;
    size_t max; /* 0: no limit */
    bool failed;
};

/* Releases the memory; the struct is {0} afterwards, but keeps max. */
void bk_buf_finish(struct bk_buf *buf);
/* Empties, keeps the memory, clears `failed`. */
void bk_buf_clear(struct bk_buf *buf);

void bk_buf_add_growing(struct bk_buf *buf, const void *at,
                        size_t len); /* bk_buf_add, where it has to grow */

static inline void bk_buf_add(struct bk_buf *buf, const void *at, size_t len)
{
    /* at may be NULL with len 0; room may be more than max allows. */
    if (len == 0)
        return;
    if (buf->failed || buf->max || len >= buf->cap - buf->len) {
        bk_buf_add_growing(buf, at, len);
        return;
    }
    memcpy(buf->at + buf->len, at, len);
    buf->len += len;
}

static inline void bk_buf_add_view(struct bk_buf *buf, struct bk_view v)
{
    bk_buf_add(buf, v.at, v.len);
}

static inline void bk_buf_add_char(struct bk_buf *buf, char c)
{
    bk_buf_add(buf, &c, 1);
}

void bk_buf_add_str(struct bk_buf *buf, const char *text);
void bk_buf_add_u64(struct bk_buf *buf, uint64_t n);
void bk_buf_add_hex(struct bk_buf *buf, const void *at, size_t len); /* lower case */
void bk_buf_addf(struct bk_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define bk_buf_add_lit(buf, literal) bk_buf_add((buf), "" literal, sizeof(literal) - 1)

/* Room for len more bytes at the end, to be filled and then counted with buf->len += n. NULL: failed. */
char *bk_buf_reserve(struct bk_buf *buf, size_t len);
/* Drops the first n bytes, moving the rest to the front. */
void bk_buf_drop(struct bk_buf *buf, size_t n);
/* Adds a NUL behind the bytes (not counted in len) and returns the text; NULL when failed. */
const char *bk_buf_cstr(struct bk_buf *buf);

static inline struct bk_view bk_buf_view(const struct bk_buf *buf)
{
    return (struct bk_view){ buf->at, buf->len };
}

#endif
