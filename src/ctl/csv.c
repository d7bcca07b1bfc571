/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/csv.h"

#include "base/text.h"

#include <errno.h>

static const struct bk_view byte_order_mark = { BK_VIEW_OF("\xef\xbb\xbf") };

void bk_csv_init(struct bk_csv *csv, struct bk_view content)
{
    *csv = (struct bk_csv){ .rest = content };
    if (bk_view_starts_with(content, byte_order_mark))
        csv->rest = bk_view_skip(content, byte_order_mark.len);
}

void bk_csv_finish(struct bk_csv *csv)
{
    if (csv->text.at)
        bk_wipe(csv->text.at, csv->text.cap); /* passwords may stand there */
    bk_buf_finish(&csv->text);
}

/* What the first line has most of outside quotes. */
static char separator_of(struct bk_view line)
{
    static const char candidates[] = ",;\t";
    size_t counts[3] = { 0 }, best = 0;
    bool quoted = false;
    for (size_t i = 0; i < line.len; i++) {
        if (line.at[i] == '"')
            quoted = !quoted;
        for (size_t k = 0; k < 3 && !quoted; k++)
            counts[k] += line.at[i] == candidates[k];
    }
    for (size_t k = 1; k < 3; k++)
        if (counts[k] > counts[best])
            best = k;
    return candidates[best];
}

static bool is_control(char c, char separator)
{
    unsigned char byte = (unsigned char)c;
    return (byte < 0x20 || byte == 0x7f) && c != separator;
}

/* One field off the front of *line, which then begins behind its separator, or has at == NULL. NULL, or what is wrong. */
static const char *take_field(struct bk_csv *csv, struct bk_view *line, struct bk_view *ret)
{
    if (!line->len || line->at[0] != '"') {
        *ret = bk_view_cut(line, csv->separator);
        if (bk_view_find(*ret, '"') < ret->len)
            return "a quote within a field: such a field stands in quotes, and its quotes are "
                   "doubled";
        return NULL;
    }
    size_t start = csv->text.len, i = 1;
    for (;; i++) {
        if (i == line->len)
            return "a quote that is not closed on the same line";
        if (line->at[i] == '"' && (i + 1 == line->len || line->at[i + 1] != '"'))
            break;
        i += line->at[i] == '"';
        bk_buf_add_char(&csv->text, line->at[i]);
    }
    *ret = bk_view_skip(bk_buf_view(&csv->text), start);
    struct bk_view behind = bk_view_skip(*line, i + 1);
    if (behind.len && behind.at[0] != csv->separator)
        return "text behind a closing quote";
    *line = behind.len ? bk_view_skip(behind, 1) : (struct bk_view){ 0 };
    return NULL;
}

static const char *split(struct bk_csv *csv, struct bk_view line)
{
    csv->n = 0;
    csv->column = 1;
    bk_buf_clear(&csv->text);
    /* Reserved once, so that views into it stay good. */
    if (line.len > BK_CSV_LINE_MAX)
        return "a line longer than 65536 bytes";
    if (!bk_buf_reserve(&csv->text, line.len + 1))
        return "out of memory";
    if (!bk_utf8_valid(line))
        return "bytes that are not UTF-8: save the file as UTF-8";
    while (line.at) {
        if (csv->n == BK_CSV_FIELDS_MAX)
            return "more than 32 fields";
        struct bk_view field;
        const char *why = take_field(csv, &line, &field);
        for (size_t i = 0; !why && i < field.len; i++)
            if (is_control(field.at[i], csv->separator))
                why = "a control character";
        if (why)
            return why;
        csv->fields[csv->n++] = field;
        csv->column++;
    }
    csv->column = 0;
    return NULL;
}

enum bk_csv_step bk_csv_next(struct bk_csv *csv)
{
    for (;;) {
        if (!csv->rest.len)
            return BK_CSV_END;
        struct bk_view line = bk_view_cut(&csv->rest, '\n');
        csv->line++;
        if (line.len && line.at[line.len - 1] == '\r')
            line.len--;
        if (!bk_view_trim(line).len)
            continue;
        if (!csv->separator)
            csv->separator = separator_of(line);
        csv->why = split(csv, line);
        return csv->why ? BK_CSV_BAD : BK_CSV_ROW;
    }
}

int bk_csv_add(struct bk_buf *to, struct bk_view field, char separator)
{
    for (size_t i = 0; i < field.len; i++)
        if (is_control(field.at[i], separator))
            return -EINVAL;
    bk_buf_add_char(to, '"');
    for (size_t i = 0; i < field.len; i++) {
        if (field.at[i] == '"')
            bk_buf_add_char(to, '"');
        bk_buf_add_char(to, field.at[i]);
    }
    bk_buf_add_char(to, '"');
    return to->failed ? -ENOMEM : 0;
}
