/* SPDX-License-Identifier: Apache-2.0 */
/* Tables and texts for people, JSON for programs. */
#include "base/cleanup.h"
#include "base/text.h"
#include "ctl/ctl_private.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

enum { GAP = 2, COLUMNS_MAX = 16, WIDTH_UNKNOWN = 100 };

void ctl_print_json(struct ctl *ctl, const json_t *value)
{
    json_dumpf(value, ctl->out, JSON_INDENT(2) | JSON_ENCODE_ANY);
    fputc('\n', ctl->out);
}

/* ---- text ---- */

/* One character of UTF-8 and its length; 0: not well-formed, one byte is taken. */
static uint32_t next_character(const char *at, size_t *ret_len)
{
    unsigned char first = (unsigned char)at[0];
    size_t len = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
    uint32_t c = len == 1 ? first : first & (0x7fU >> len);
    *ret_len = 1;
    for (size_t i = 1; i < len; i++) {
        if (((unsigned char)at[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | ((unsigned char)at[i] & 0x3f);
    }
    if (len)
        *ret_len = len;
    return len ? c : 0;
}

/* What a stranger's client name must not do to a terminal: control it, or turn the line around. */
static bool harmless(uint32_t c)
{
    return c >= 0x20 && c != 0x7f && !(c >= 0x80 && c < 0xa0) && !(c >= 0x200e && c <= 0x200f) &&
           !(c >= 0x2028 && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069) && c != 0x061c &&
           c != 0xfeff;
}

void ctl_add_clean(struct bk_buf *to, const char *text)
{
    while (*text) {
        size_t len;
        uint32_t c = next_character(text, &len);
        if (harmless(c))
            bk_buf_add(to, text, len);
        else
            bk_buf_add_char(to, c == '\n' || c == '\t' ? ' ' : '?');
        text += len;
    }
}

int ctl_width(const char *text)
{
    int width = 0;
    while (*text) {
        size_t len;
        int w = wcwidth((wchar_t)next_character(text, &len));
        width += w < 0 ? 1 : w;
        text += len;
    }
    return width;
}

int ctl_terminal_width(FILE *out)
{
    struct winsize size;
    int fd = fileno(out);
    if (fd < 0 || !isatty(fd) || ioctl(fd, TIOCGWINSZ, &size) < 0)
        return 0;
    return size.ws_col ? size.ws_col : 80;
}

/* Bytes of text that fit into width columns. */
static size_t fitting(const char *text, int width)
{
    size_t n = 0;
    while (text[n]) {
        size_t len;
        int w = wcwidth((wchar_t)next_character(text + n, &len));
        width -= w < 0 ? 1 : w;
        if (width < 0)
            break;
        n += len;
    }
    return n;
}

void ctl_print_wrapped(FILE *out, const char *text, int indent, int width)
{
    int column = indent;
    bool first = true;
    while (*text) {
        size_t len = strcspn(text, " \n");
        BK_AUTO_BUF struct bk_buf word = { 0 };
        bk_buf_add(&word, text, len);
        const char *w = bk_buf_cstr(&word);
        int wide = w ? ctl_width(w) : 0;
        if (!first && column + 1 + wide > width) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
            first = true;
        }
        if (w)
            column += fprintf(out, "%s%s", first ? "" : " ", w) ? wide + !first : 0;
        first = false;
        text += len;
        while (*text == ' ' || *text == '\n')
            text++;
    }
    fputc('\n', out);
}

/* ---- values ---- */

static void add_time(struct bk_buf *to, const char *iso, bool date_only)
{
    int64_t ms;
    char text[64];
    struct tm local;
    if (bk_time_iso_parse(bk_view_of_str(iso), &ms) < 0) {
        ctl_add_clean(to, iso);
        return;
    }
    time_t s = (time_t)(ms / 1000);
    if (localtime_r(&s, &local) &&
        strftime(text, sizeof text, date_only ? "%Y-%m-%d" : "%Y-%m-%d %H:%M:%S %Z", &local))
        bk_buf_add_str(to, text);
}

void ctl_add_value(struct bk_buf *to, const json_t *value, enum ctl_format format)
{
    if (json_is_boolean(value))
        bk_buf_add_str(to, json_is_true(value) ? "yes" : "no");
    else if (json_is_integer(value))
        bk_buf_addf(to, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        bk_buf_addf(to, "%g", json_real_value(value));
    else if (json_is_string(value) && (format == CTL_TIME || format == CTL_DATE))
        add_time(to, json_string_value(value), format == CTL_DATE);
    else if (json_is_string(value))
        ctl_add_clean(to, json_string_value(value));
}

void ctl_ago(const char *iso, int64_t now_real_ms, char ret[48])
{
    static const struct {
        int64_t ms;
        const char *name;
    } units[] = {
        { 86400000, "day" }, { 3600000, "hour" }, { 60000, "minute" }, { 1000, "second" }
    };
    int64_t at, gone;
    ret[0] = '\0';
    if (!iso || bk_time_iso_parse(bk_view_of_str(iso), &at) < 0)
        return;
    gone = now_real_ms - at;
    for (size_t i = 0; i < BK_COUNT_OF(units); i++) {
        long long n = gone / units[i].ms;
        if (n >= 1) {
            snprintf(ret, 48, "%lld %s%s ago", n, units[i].name, n == 1 ? "" : "s");
            return;
        }
    }
    if (gone >= 0)
        snprintf(ret, 48, "just now");
}

/* ---- tables ---- */

static char *cell(const json_t *row, const struct ctl_column *column)
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    ctl_add_value(&text, json_object_get(row, column->key), column->format);
    return bk_view_dup(text.len ? bk_buf_view(&text) : BK_VIEW(""));
}

/* Takes width from the widest column that may shrink until the table fits. */
static void shrink(int widths[], const struct ctl_column *columns, size_t n, int room)
{
    for (;;) {
        int total = -GAP;
        size_t widest = n;
        for (size_t i = 0; i < n; i++) {
            total += widths[i] + GAP;
            if (columns[i].shrink_to && widths[i] > columns[i].shrink_to &&
                (widest == n || widths[i] > widths[widest]))
                widest = i;
        }
        if (total <= room || widest == n)
            return;
        widths[widest]--;
    }
}

static void print_row(FILE *out, char *const cells[], const int widths[],
                      const struct ctl_column *columns, size_t n)
{
    int behind = 0; /* blanks owed, so that no line ends with them */
    for (size_t i = 0; i < n; i++) {
        const char *text = cells[i] ? cells[i] : "";
        int width = ctl_width(text);
        bool right = columns[i].format == CTL_NUMBER;
        if (width > widths[i]) {
            fprintf(out, "%*s%.*s…", behind, "", (int)fitting(text, widths[i] - 1), text);
            behind = GAP + widths[i] - 1 -
                     (ctl_width(text) > widths[i] ? widths[i] - 1 : ctl_width(text));
        } else if (*text) {
            fprintf(out, "%*s%s", behind + (right ? widths[i] - width : 0), "", text);
            behind = GAP + (right ? 0 : widths[i] - width);
        } else {
            behind += GAP + widths[i];
        }
    }
    fputc('\n', out);
}

void ctl_table(struct ctl *ctl, const json_t *rows, const struct ctl_column *columns, size_t n,
               const char *none)
{
    int widths[COLUMNS_MAX] = { 0 };
    bool used[COLUMNS_MAX] = { false };
    struct ctl_column shown[COLUMNS_MAX];
    size_t n_rows = json_array_size(rows), n_shown = 0;
    if (ctl->json) {
        ctl_print_json(ctl, rows);
        return;
    }
    if (!n_rows) {
        fprintf(ctl->out, "%s\n", none);
        return;
    }
    char **cells = calloc(n_rows * n, sizeof *cells);
    if (!cells)
        return;
    for (size_t r = 0; r < n_rows; r++)
        for (size_t i = 0; i < n; i++) {
            char *text = cells[r * n + i] = cell(json_array_get(rows, r), &columns[i]);
            int width = text ? ctl_width(text) : 0;
            used[i] = used[i] || width;
            widths[i] = width > widths[i] ? width : widths[i];
        }
    /* A column without a single value tells nothing. */
    int shown_widths[COLUMNS_MAX];
    char *line[COLUMNS_MAX];
    for (size_t i = 0; i < n; i++)
        if (used[i]) {
            int title = ctl_width(columns[i].title);
            shown_widths[n_shown] = widths[i] > title ? widths[i] : title;
            line[n_shown] = (char *)columns[i].title;
            shown[n_shown++] = columns[i];
        }
    int room = ctl_terminal_width(ctl->out);
    if (room)
        shrink(shown_widths, shown, n_shown, room);
    bool colour = room && !getenv("NO_COLOR");
    if (colour)
        fputs("\033[1m", ctl->out);
    print_row(ctl->out, line, shown_widths, shown, n_shown);
    if (colour)
        fputs("\033[0m", ctl->out);
    for (size_t r = 0; r < n_rows; r++) {
        size_t k = 0;
        for (size_t i = 0; i < n; i++)
            if (used[i])
                line[k++] = cells[r * n + i];
        print_row(ctl->out, line, shown_widths, shown, n_shown);
    }
    for (size_t i = 0; i < n_rows * n; i++)
        free(cells[i]);
    free(cells);
}

void ctl_fields(struct ctl *ctl, const json_t *object, const struct ctl_column *columns, size_t n)
{
    int widest = 0, room = ctl_terminal_width(ctl->out);
    for (size_t i = 0; i < n; i++)
        widest = ctl_width(columns[i].title) > widest ? ctl_width(columns[i].title) : widest;
    for (size_t i = 0; i < n; i++) {
        BK_AUTO_FREE char *text = cell(object, &columns[i]);
        if (!text || !*text)
            continue;
        fprintf(ctl->out, "%-*s  ", widest, columns[i].title);
        ctl_print_wrapped(ctl->out, text, widest + 2, room ? room : WIDTH_UNKNOWN);
    }
}
