/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What somebody wrote (up to the first zero byte; behind it words searched for) is shown as it was written, and alive in it are only
 * links to what they show, of the schemes the header names.
 */
#include "desktop/talk_markup.h"

#include <glib.h>
#include <pango/pango.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct shown {
    GString *text, *link; /* link: what the one that is open shows */
    char *href;           /* NULL: none is open */
};

static void check(bool holds)
{
    if (!holds)
        abort();
}

static bool is_allowed(const char *href)
{
    static const char *const schemes[] = { "http://", "https://", "mailto:", "sip:", "sips:" };
    for (size_t i = 0; i < G_N_ELEMENTS(schemes); i++)
        if (g_ascii_strncasecmp(href, schemes[i], strlen(schemes[i])) == 0)
            return true;
    return false;
}

static void on_start(GMarkupParseContext *context, const char *name, const char **names,
                     const char **values, gpointer data, GError **error)
{
    struct shown *shown = data;
    (void)context, (void)error;
    if (strcmp(name, "markup") == 0)
        return;
    check(strcmp(name, "a") == 0 && !shown->href);
    check(names[0] && strcmp(names[0], "href") == 0 && !names[1]);
    check(is_allowed(values[0]));
    shown->href = g_strdup(values[0]);
    g_string_truncate(shown->link, 0);
}

/* A link leads where it says. */
static void on_end(GMarkupParseContext *context, const char *name, gpointer data, GError **error)
{
    struct shown *shown = data;
    (void)context, (void)error;
    if (strcmp(name, "a") != 0)
        return;
    const char *href = shown->href;
    if (g_ascii_strncasecmp(shown->link->str, "www.", 4) == 0) {
        check(g_str_has_prefix(href, "https://"));
        href += strlen("https://");
    }
    check(strcmp(href, shown->link->str) == 0);
    for (const char *at = href; *at; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        check(!g_unichar_isspace(c) && !g_unichar_iscntrl(c) && c != '<' && c != '>' && c != '"');
        check(c != 0x061c && !(c >= 0x200e && c <= 0x200f) && !(c >= 0x202a && c <= 0x202e) &&
              !(c >= 0x2066 && c <= 0x2069));
    }
    g_clear_pointer(&shown->href, g_free);
}

static void on_text(GMarkupParseContext *context, const char *text, gsize len, gpointer data,
                    GError **error)
{
    struct shown *shown = data;
    (void)context, (void)error;
    g_string_append_len(shown->text, text, (gssize)len);
    if (shown->href)
        g_string_append_len(shown->link, text, (gssize)len);
}

/* As a parser of XML reads the ends of lines. */
static char *with_plain_lines(const char *text)
{
    GString *plain = g_string_new(NULL);
    for (; *text; text++) {
        if (*text != '\r')
            g_string_append_c(plain, *text);
        else if (text[1] != '\n')
            g_string_append_c(plain, '\n');
    }
    return g_string_free(plain, FALSE);
}

static void check_line(const char *text)
{
    static const GMarkupParser parser = { .start_element = on_start,
                                          .end_element = on_end,
                                          .text = on_text };
    struct shown shown = { g_string_new(NULL), g_string_new(NULL), NULL };
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    g_autofree char *expected = with_plain_lines(valid);
    g_autofree char *markup = bk_talk_markup(text);
    g_autofree char *whole = g_strdup_printf("<markup>%s</markup>", markup); /* as GtkLabel does */
    GMarkupParseContext *context = g_markup_parse_context_new(&parser, 0, &shown, NULL);
    check(g_markup_parse_context_parse(context, whole, -1, NULL) &&
          g_markup_parse_context_end_parse(context, NULL));
    check(strcmp(shown.text->str, expected) == 0);
    g_markup_parse_context_free(context);
    g_string_free(shown.text, TRUE);
    g_string_free(shown.link, TRUE);
}

/* On one line, and but for the dots at its ends a piece of the text. */
static void check_found(const char *text, const char *words)
{
    static const char dots[] = "\342\200\246";
    g_autofree char *line = g_utf8_make_valid(text, -1);
    g_autofree char *markup = bk_talk_found_markup(text, words);
    g_autofree char *shown = NULL;
    check(pango_parse_markup(markup, -1, 0, NULL, &shown, NULL, NULL));
    check(!strpbrk(shown, "\r\n\t"));
    for (char *c = line; *c; c++)
        if (strchr("\r\n\t", *c))
            *c = ' ';
    g_autofree char *cut =
        g_str_has_suffix(shown, dots) ? g_strndup(shown, strlen(shown) - 3) : g_strdup(shown);
    bool begins_cut = g_str_has_prefix(shown, dots);
    check(strstr(line, shown) || strstr(line, cut) ||
          (begins_cut && (strstr(line, shown + 3) || (strlen(cut) >= 3 && strstr(line, cut + 3)))));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    size_t len = strlen(text);
    g_autofree char *rest =
        len < size ? g_strndup((const char *)data + len + 1, size - len - 1) : g_strdup("");
    g_autofree char *words = g_utf8_make_valid(rest, -1);
    check_line(text);
    check_found(text, words);
    return 0;
}
