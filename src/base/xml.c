/* SPDX-License-Identifier: Apache-2.0 */
#include "base/xml.h"

#include "base/text.h"

/* Length of the well-formed UTF-8 sequence at the front, 0 where there is none. */
static size_t sequence_len(struct bk_view v)
{
    size_t len = v.len < 4 ? v.len : 4;
    for (size_t n = 1; n <= len; n++)
        if (bk_utf8_valid(bk_view_head(v, n)))
            return n;
    return 0;
}

/* XML 1.0 "Char": no control bytes but tab, LF and CR, and not U+FFFE and U+FFFF. */
static bool is_xml_char(struct bk_view sequence)
{
    unsigned char c = (unsigned char)sequence.at[0];
    if (c < 0x20)
        return c == '\t' || c == '\n' || c == '\r';
    return !bk_view_equal(sequence, BK_VIEW("\xef\xbf\xbe")) &&
           !bk_view_equal(sequence, BK_VIEW("\xef\xbf\xbf"));
}

static bool is_plain(char c)
{
    return (unsigned char)c >= ' ' && (unsigned char)c < 0x7f && c != '&' && c != '<' && c != '>' &&
           c != '"';
}

static void add_char(struct bk_buf *to, struct bk_view sequence)
{
    switch (sequence.at[0]) {
    case '&':
        bk_buf_add_lit(to, "&amp;");
        return;
    case '<':
        bk_buf_add_lit(to, "&lt;");
        return;
    case '>':
        bk_buf_add_lit(to, "&gt;");
        return;
    case '"':
        bk_buf_add_lit(to, "&quot;");
        return;
    /* A reader turns these into other blanks unless they are escaped. */
    case '\t':
    case '\n':
    case '\r':
        bk_buf_addf(to, "&#%d;", sequence.at[0]);
        return;
    default:
        bk_buf_add_view(to, sequence);
    }
}

void bk_xml_escape(struct bk_buf *to, struct bk_view text)
{
    while (text.len) {
        size_t n = 0;
        while (n < text.len && is_plain(text.at[n]))
            n++;
        bk_buf_add(to, text.at, n);
        text = bk_view_skip(text, n);
        if (!text.len)
            return;
        n = sequence_len(text);
        if (n && is_xml_char(bk_view_head(text, n)))
            add_char(to, bk_view_head(text, n));
        else
            bk_buf_add_lit(to, "\xef\xbf\xbd");
        text = bk_view_skip(text, n ? n : 1);
    }
}
