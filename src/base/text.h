/* SPDX-License-Identifier: Apache-2.0 */
/* base/text.h - the small encodings everybody needs. */
#ifndef BK_BASE_TEXT_H
#define BK_BASE_TEXT_H

#include "base/buf.h"

/* Marks a text that a person reads: po/ collects it for translation, who shows it translates it. It is the text itself. */
#define BK_SAY(text) text

static inline char bk_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Lower-cases ASCII letters in place. */
void bk_text_lower(char *at, size_t len);

/* Hex of either case. -EINVAL: odd length, other bytes, or not exactly len bytes. */
int bk_hex_decode(struct bk_view hex, void *ret, size_t len);
/* 2 * len digits in lower case and a NUL. */
void bk_hex_encode(const void *at, size_t len, char *ret);

enum { BK_UUID_TEXT_SIZE = 37 /* "b7878522-d7fe-5c33-b30d-265f6618ae78" and a NUL */ };
/* Lower case, the bytes as they stand (RFC 9562 4). */
void bk_uuid_text(const uint8_t uuid[16], char ret[BK_UUID_TEXT_SIZE]);

void bk_base64_encode(struct bk_buf *to, struct bk_view bytes);
void bk_base64url_encode(struct bk_buf *to, struct bk_view bytes); /* no padding */
/*
 * Appended to *ret. Strict, so that no two texts mean the same bytes: -EINVAL for anything but the
 * alphabet, right padding (url: none) and zero bits behind the last byte; white space is refused.
 * -ENOMEM: *ret failed. After an error *ret holds what it held before.
 */
int bk_base64_decode(struct bk_view text, struct bk_buf *ret);
int bk_base64url_decode(struct bk_view text, struct bk_buf *ret);

/* Same time for every content of the same length. */
bool bk_equal_constant_time(const void *a, const void *b, size_t len);
/* A wipe that the compiler keeps. */
void bk_wipe(void *at, size_t len);

/*
 * "2026-11-22T05:26:04Z" (with_ms: "...04.123Z"), at most 25 bytes with the NUL. What is not in
 * the years 0000 to 9999 is written as the nearest instant that is.
 */
void bk_time_iso(int64_t real_ms, bool with_ms, char ret[32]);
/*
 * RFC 3339: the same forms, and offsets "+01:00", with or without fraction (cut to milliseconds);
 * a leap second is the first of the next minute. -EINVAL.
 */
int bk_time_iso_parse(struct bk_view text, int64_t *ret_real_ms);
/* "Sun, 22 Nov 2026 05:26:04 GMT" (RFC 9110 5.6.7; SIP's Date, RFC 3261 20.17). */
void bk_time_http(int64_t real_ms, char ret[32]);
/* That form only, its words in any case; the day of the week is not checked against the date. -EINVAL. */
int bk_time_http_parse(struct bk_view text, int64_t *ret_real_ms);

/* True where every byte sequence is well-formed UTF-8 (no surrogates, no overlong forms). */
bool bk_utf8_valid(struct bk_view v);

/*
 * The whole file, appended to *ret, which after an error holds what it held before. Negative
 * errno; -EFBIG: more than max bytes; -ENOMEM: *ret failed.
 */
int bk_file_read(const char *path, size_t max, struct bk_buf *ret);
/*
 * Writes a new file beside it, fsyncs, renames, fsyncs the folder: there is always either the old
 * or the new content. The new file has exactly these mode bits. Negative errno.
 */
int bk_file_replace(const char *path, struct bk_view content, unsigned mode);

#endif
