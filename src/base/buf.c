/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_CAP = 64 };

/* Room for n more bytes and a NUL behind them, so that bk_buf_cstr never has to grow. */
static bool make_room(struct bk_buf *buf, size_t n)
{
    if (buf->failed)
        return false;
    size_t need;
    if (__builtin_add_overflow(buf->len, n, &need) || need >= PTRDIFF_MAX ||
        (buf->max && need > buf->max)) {
        buf->failed = true;
        return false;
    }
    if (need < buf->cap)
        return true;

    size_t cap = buf->cap ? buf->cap : FIRST_CAP;
    while (cap <= need)
        cap *= 2; /* cannot overflow: need is less than half of what size_t holds */
    char *at = realloc(buf->at, cap);
    if (!at) {
        buf->failed = true;
        return false;
    }
    buf->at = at;
    buf->cap = cap;
    return true;
}

void bk_buf_finish(struct bk_buf *buf)
{
    free(buf->at);
    *buf = (struct bk_buf){ .max = buf->max };
}

void bk_buf_clear(struct bk_buf *buf)
{
    buf->len = 0;
    buf->failed = false;
}

void bk_buf_add_growing(struct bk_buf *buf, const void *at, size_t len)
{
    if (len == 0 || !make_room(buf, len))
        return;
    memcpy(buf->at + buf->len, at, len);
    buf->len += len;
}

void bk_buf_add_str(struct bk_buf *buf, const char *text)
{
    bk_buf_add(buf, text, strlen(text));
}

void bk_buf_add_u64(struct bk_buf *buf, uint64_t n)
{
    char digits[20]; /* of 2^64 - 1 */
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    bk_buf_add(buf, digits + at, sizeof digits - at);
}

void bk_buf_add_hex(struct bk_buf *buf, const void *at, size_t len)
{
    const unsigned char *bytes = at;
    if (len > SIZE_MAX / 2) {
        buf->failed = true;
        return;
    }
    if (!make_room(buf, len * 2))
        return;
    for (size_t i = 0; i < len; i++) {
        buf->at[buf->len++] = "0123456789abcdef"[bytes[i] >> 4];
        buf->at[buf->len++] = "0123456789abcdef"[bytes[i] & 15];
    }
}

static void addv(struct bk_buf *buf, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    size_t room = buf->cap - buf->len;
    int n = vsnprintf(room ? buf->at + buf->len : NULL, room, format, args);
    if (n < 0) {
        buf->failed = true;
    } else if (make_room(buf, (size_t)n)) {
        if ((size_t)n >= room)
            vsnprintf(buf->at + buf->len, (size_t)n + 1, format, again);
        buf->len += (size_t)n;
    }
    va_end(again);
}

void bk_buf_addf(struct bk_buf *buf, const char *format, ...)
{
    if (buf->failed)
        return;
    va_list args;
    va_start(args, format);
    addv(buf, format, args);
    va_end(args);
}

char *bk_buf_reserve(struct bk_buf *buf, size_t len)
{
    return make_room(buf, len) ? buf->at + buf->len : NULL;
}

void bk_buf_drop(struct bk_buf *buf, size_t n)
{
    if (n > buf->len)
        n = buf->len;
    if (n == 0)
        return;
    buf->len -= n;
    memmove(buf->at, buf->at + n, buf->len);
}

const char *bk_buf_cstr(struct bk_buf *buf)
{
    if (!make_room(buf, 0))
        return NULL;
    buf->at[buf->len] = '\0';
    return buf->at;
}
