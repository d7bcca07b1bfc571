/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/clock.h"
#include "base/text.h"

#include <stdarg.h>

enum {
    LINE_MAX_BYTES = 4096, /* pairs that do not fit are left out, and the line says so */
    VALUE_MAX_BYTES = 256,
};

static const char level_names[][8] = { "error", "warning", "notice", "info", "debug" };

/* On the stack: a line about having no memory needs none. */
struct line {
    char at[LINE_MAX_BYTES];
    size_t len;
    bool full;
};

static void add(struct line *line, struct bk_view v)
{
    if (v.len > sizeof line->at - line->len) {
        line->full = true;
        return;
    }
    if (v.len)
        memcpy(line->at + line->len, v.at, v.len);
    line->len += v.len;
}

static void add_str(struct line *line, const char *text)
{
    add(line, bk_view_of_str(text));
}

static void add_escaped_byte(struct line *line, unsigned char c, bool json)
{
    char text[8];
    switch (c) {
    case '"':
    case '\\':
        snprintf(text, sizeof text, "\\%c", c);
        break;
    case '\n':
        snprintf(text, sizeof text, "\\n");
        break;
    case '\r':
        snprintf(text, sizeof text, "\\r");
        break;
    case '\t':
        snprintf(text, sizeof text, "\\t");
        break;
    default:
        snprintf(text, sizeof text, json ? "\\u%04x" : "\\x%02x", c);
    }
    add_str(line, text);
}

static bool is_plain_byte(char c)
{
    return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

/* Length of the well-formed, printable sequence of several bytes at the front; 0: there is none. */
static size_t printable_sequence(struct bk_view v)
{
    for (size_t n = 2; n <= 4 && n <= v.len; n++) {
        if (!bk_utf8_valid(bk_view_head(v, n)))
            continue;
        bool control = (unsigned char)v.at[0] == 0xc2 && (unsigned char)v.at[1] < 0xa0;
        return control ? 0 : n; /* U+0080 to U+009f: some terminals obey them */
    }
    return 0;
}

/* The first VALUE_MAX_BYTES of text, without cutting a character in two. */
static struct bk_view cut_value(const char *text)
{
    struct bk_view v = { text, strnlen(text, VALUE_MAX_BYTES + 1) };
    if (v.len <= VALUE_MAX_BYTES)
        return v;
    v.len = VALUE_MAX_BYTES;
    while (v.len > VALUE_MAX_BYTES - 3 && ((unsigned char)text[v.len] & 0xc0) == 0x80)
        v.len--;
    return v;
}

static void add_quoted(struct line *line, struct bk_view v, bool json)
{
    add_str(line, "\"");
    while (v.len) {
        size_t n = 1;
        if (is_plain_byte(v.at[0]) || (v.at[0] & 0x80 && (n = printable_sequence(v)) > 0)) {
            add(line, bk_view_head(v, n));
        } else {
            n = 1;
            if (json && v.at[0] & 0x80)
                add_str(line, "\\ufffd"); /* JSON has no way to write a byte that is no text */
            else
                add_escaped_byte(line, (unsigned char)v.at[0], json);
        }
        v = bk_view_skip(v, n);
    }
    add_str(line, "\"");
}

static bool needs_quotes(struct bk_view v)
{
    for (size_t i = 0; i < v.len; i++)
        if (!is_plain_byte(v.at[i]) || v.at[i] == ' ')
            return true;
    return v.len == 0;
}

static void add_value(struct line *line, const char *text, bool json)
{
    struct bk_view v = cut_value(text ? text : "-");
    if (json || needs_quotes(v))
        add_quoted(line, v, json);
    else
        add(line, v);
}

static void add_pair(struct line *line, const char *key, const char *value, bool json)
{
    add_str(line, json ? ",\"" : " ");
    add_str(line, key);
    add_str(line, json ? "\":" : "=");
    add_value(line, value, json);
}

static void add_head(struct line *line, enum bk_log_level level, const char *what, bool json)
{
    char time[32];
    bk_time_iso(bk_clock_real_ms(&bk_clock_system), true, time);
    add_str(line, json ? "{\"time\":\"" : "");
    add_str(line, time);
    add_str(line, json ? "\",\"level\":\"" : " ");
    add_str(line, level_names[level]);
    if (json) {
        add_str(line, "\",\"what\":");
        add_value(line, what, true);
    } else {
        add_str(line, " ");
        add(line, cut_value(what));
    }
}

void bk_log_write(const struct bk_log *log, enum bk_log_level level, const char *what, ...)
{
    static const char cut_text[] = " cut=1\n", cut_json[] = ",\"cut\":\"1\"}\n";
    struct line line;
    line.len = 0;
    line.full = false;
    add_head(&line, level, what, log->json);

    va_list args;
    va_start(args, what);
    const char *key;
    while (!line.full && (key = va_arg(args, const char *))) {
        size_t before = line.len;
        add_pair(&line, key, va_arg(args, const char *), log->json);
        if (line.len > sizeof line.at - sizeof cut_json)
            line.full = true;
        if (line.full)
            line.len = before;
    }
    va_end(args);

    const char *end = log->json ? "}\n" : "\n";
    if (line.full)
        end = log->json ? cut_json : cut_text;
    line.full = false;
    add_str(&line, end);
    fwrite(line.at, 1, line.len, log->to); /* locks the stream: lines of threads do not mix */
    fflush(log->to);
}

int bk_log_level_parse(const char *text)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++)
        if (strcmp(text, level_names[i]) == 0)
            return (int)i;
    return -1;
}
