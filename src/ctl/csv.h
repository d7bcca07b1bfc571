/* SPDX-License-Identifier: Apache-2.0 */
/* ctl/csv.h - rows of a table that a spreadsheet wrote (RFC 4180). */
#ifndef BK_CTL_CSV_H
#define BK_CTL_CSV_H

#include "base/buf.h"

enum { BK_CSV_FIELDS_MAX = 32, BK_CSV_LINE_MAX = 65536 };

enum bk_csv_step {
    BK_CSV_ROW, /* line, fields and n are the next row */
    BK_CSV_BAD, /* line, column and why say what is wrong with it; the next call goes on behind it */
    BK_CSV_END,
};

/*
 * A row is a line, also within quotes: what is imported has no line ends in it, and a quote that somebody forgot
 * must not swallow the rest of the file. Empty lines are passed over. Separators are commas, or what the first
 * line has more of: semicolons or tabs. A byte order mark is skipped. Fields stay good until the next call.
 */
struct bk_csv {
    struct bk_view rest;
    char separator; /* 0: not known yet */
    size_t line;    /* from 1 */
    size_t column;  /* field with the fault, from 1 */
    const char *why;
    struct bk_view fields[BK_CSV_FIELDS_MAX];
    size_t n;
    struct bk_buf text; /* of quoted fields */
};

void bk_csv_init(struct bk_csv *csv, struct bk_view content);
void bk_csv_finish(struct bk_csv *csv);
enum bk_csv_step bk_csv_next(struct bk_csv *csv);
/* Appends a field so that it is read back as it is; -EINVAL: it holds what no field may (a control byte). */
int bk_csv_add(struct bk_buf *to, struct bk_view field, char separator);

#endif
