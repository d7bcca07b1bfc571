/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a table ends, goes on line by line, never finds a row with a control byte in it, and what is read, written
 * and read again is the same.
 */
#include "ctl/csv.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct bk_csv *first)
{
    struct bk_buf text = { 0 };
    struct bk_csv again;
    /* A heading that fixes the separator; it is its own first line. */
    bk_buf_add_char(&text, 'x');
    for (size_t i = 0; i < BK_CSV_FIELDS_MAX; i++)
        bk_buf_add_char(&text, i + 1 < BK_CSV_FIELDS_MAX ? first->separator : '\n');
    for (size_t i = 0; i < first->n; i++) {
        if (i)
            bk_buf_add_char(&text, first->separator);
        if (bk_csv_add(&text, first->fields[i], first->separator) < 0)
            abort();
    }
    bk_csv_init(&again, bk_buf_view(&text));
    if (bk_csv_next(&again) != BK_CSV_ROW || again.separator != first->separator ||
        again.n != BK_CSV_FIELDS_MAX)
        abort();
    /* Quoting makes a line longer, so a long one may be too long now. */
    enum bk_csv_step step = bk_csv_next(&again);
    if (step != BK_CSV_ROW && text.len < BK_CSV_LINE_MAX)
        abort();
    if (step == BK_CSV_ROW) {
        if (again.n != first->n)
            abort();
        for (size_t i = 0; i < again.n; i++)
            if (!bk_view_equal(again.fields[i], first->fields[i]))
                abort();
    }
    bk_csv_finish(&again);
    bk_buf_finish(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bk_csv csv;
    enum bk_csv_step step;
    size_t lines = 1, last = 0;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    bk_csv_init(&csv, (struct bk_view){ (const char *)data, size });
    while ((step = bk_csv_next(&csv)) != BK_CSV_END) {
        if (csv.line <= last || csv.line > lines)
            abort();
        last = csv.line;
        if (step == BK_CSV_BAD && !csv.why)
            abort();
        if (step == BK_CSV_ROW) {
            if (csv.n < 1 || csv.n > BK_CSV_FIELDS_MAX)
                abort();
            check_again(&csv);
        }
    }
    bk_csv_finish(&csv);
    return 0;
}
