/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/talk_markup.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

enum { LINK_MAX = 2000, FOUND_CHARS = 160, FOUND_BEFORE = 40 };

static const char *const schemes[] = { "http://", "https://", "mailto:", "sip:", "sips:", "www." };

static bool ends_link(gunichar c)
{
    /* Marks, embeddings, overrides and isolates of direction: with them a link could look like another. */
    bool turns = c == 0x061c || (c >= 0x200e && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
                 (c >= 0x2066 && c <= 0x2069);
    return c == 0 || turns || g_unichar_isspace(c) || g_unichar_iscntrl(c) || c == '<' ||
           c == '>' || c == '"' || c == '`' || c == 0x201c || c == 0x201d || c == 0x201e;
}

static const char *scheme_at(const char *at)
{
    for (size_t i = 0; i < G_N_ELEMENTS(schemes); i++)
        if (g_ascii_strncasecmp(at, schemes[i], strlen(schemes[i])) == 0)
            return schemes[i];
    return NULL;
}

static size_t count(const char *at, size_t len, char c)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += at[i] == c;
    return n;
}

/* "(see http://a.example/x)." ends before the bracket, "http://a.example/x_(y)" with it. */
static size_t trim(const char *at, size_t len)
{
    for (; len; len--) {
        char last = at[len - 1];
        bool closes = (last == ')' && count(at, len, '(') < count(at, len, ')')) ||
                      (last == ']' && count(at, len, '[') < count(at, len, ']')) ||
                      (last == '}' && count(at, len, '{') < count(at, len, '}'));
        if (!closes && !strchr(".,;:!?'*_~", last))
            break;
    }
    return len;
}

/* Bytes of the link that begins here; 0: none does. */
static size_t link_length(const char *text, const char *at, const char *scheme)
{
    if (at > text) {
        gunichar before = g_utf8_get_char(g_utf8_prev_char(at));
        if (g_unichar_isalnum(before) || before == '.' || before == '-' || before == '@' ||
            before == '/')
            return 0;
    }
    const char *end = at;
    while (!ends_link(g_utf8_get_char(end)))
        end = g_utf8_next_char(end);
    size_t len = trim(at, (size_t)(end - at)), least = strlen(scheme);
    bool address = strchr(scheme, ':') && !strchr(scheme, '/');
    if (len <= least || len > LINK_MAX || (address && !memchr(at, '@', len)))
        return 0;
    return len;
}

static void add_escaped(GString *to, const char *text, size_t len)
{
    g_autofree char *escaped = g_markup_escape_text(text, (gssize)len);
    g_string_append(to, escaped);
}

char *bk_talk_markup(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *to = g_string_new(NULL);
    const char *plain = valid;
    for (const char *at = valid; *at;) {
        const char *scheme = scheme_at(at);
        size_t len = scheme ? link_length(valid, at, scheme) : 0;
        if (!len) {
            at = g_utf8_next_char(at);
            continue;
        }
        add_escaped(to, plain, (size_t)(at - plain));
        g_string_append(to, "<a href=\"");
        if (strcmp(scheme, "www.") == 0)
            g_string_append(to, "https://");
        add_escaped(to, at, len);
        g_string_append(to, "\">");
        add_escaped(to, at, len);
        g_string_append(to, "</a>");
        plain = at += len;
    }
    add_escaped(to, plain, strlen(plain));
    return g_string_free(to, FALSE);
}

char *bk_talk_link_address(const char *uri)
{
    const char *to = g_ascii_strncasecmp(uri, "sip:", 4) == 0    ? uri + 4
                     : g_ascii_strncasecmp(uri, "sips:", 5) == 0 ? uri + 5
                                                                 : NULL;
    const char *at = to ? strchr(to, '@') : NULL;
    size_t user = to ? strcspn(to, ";?") : 0;
    if (!at || at == to || (size_t)(at - to) > user)
        return NULL;
    size_t host = strcspn(at + 1, ":;?");
    return host ? g_strndup(to, (size_t)(at + 1 - to) + host) : NULL;
}

/* ---- found lines ---- */

/* Bytes that say `folded` here, in any case; 0: they do not. */
static size_t says_here(const char *at, const char *folded)
{
    if ((unsigned char)*at < 0x80 && g_ascii_tolower(*at) != *folded)
        return 0;
    g_autoptr(GString) seen = g_string_new(NULL);
    const char *end = at;
    while (*end && seen->len < strlen(folded)) {
        const char *next = g_utf8_next_char(end);
        g_autofree char *one = g_utf8_casefold(end, next - end);
        g_string_append(seen, one);
        if (strncmp(folded, seen->str, seen->len) != 0)
            return 0;
        end = next;
    }
    return *folded && strcmp(seen->str, folded) == 0 ? (size_t)(end - at) : 0;
}

static size_t word_here(const char *at, char **folded)
{
    size_t longest = 0;
    for (; *folded; folded++)
        longest = MAX(longest, says_here(at, *folded));
    return longest;
}

char *bk_talk_found_markup(const char *text, const char *words)
{
    g_autofree char *line = g_utf8_make_valid(text, -1);
    g_autofree char *all = g_utf8_casefold(words, -1);
    g_auto(GStrv) folded = g_strsplit_set(all, " \t\r\n", -1);
    for (char *c = line; *c; c++)
        if (*c == '\n' || *c == '\r' || *c == '\t')
            *c = ' ';
    const char *start = line;
    while (*start && !word_here(start, folded))
        start = g_utf8_next_char(start);
    if (!*start)
        start = line;
    for (int i = 0; i < FOUND_BEFORE && start > line; i++)
        start = g_utf8_prev_char(start);
    GString *to = g_string_new(start > line ? "\342\200\246" : NULL);
    int chars = 0;
    for (; *start && chars < FOUND_CHARS; chars++) {
        size_t len = word_here(start, folded);
        const char *next = len ? start + len : g_utf8_next_char(start);
        g_string_append(to, len ? "<b>" : "");
        add_escaped(to, start, (size_t)(next - start));
        g_string_append(to, len ? "</b>" : "");
        start = next;
    }
    g_string_append(to, *start ? "\342\200\246" : "");
    return g_string_free(to, FALSE);
}
