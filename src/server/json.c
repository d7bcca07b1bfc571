/* SPDX-License-Identifier: Apache-2.0 */
#include "server/json.h"

#include "base/text.h"

/* Length of the well-formed sequence at the front, 0: none. */
static size_t sequence(struct bk_view v)
{
    unsigned char c = (unsigned char)v.at[0];
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    return n <= v.len && bk_utf8_valid(bk_view_head(v, n)) ? n : 0;
}

void bk_json_add_string(struct bk_buf *to, struct bk_view v)
{
    bk_buf_add_char(to, '"');
    while (v.len) {
        size_t n = sequence(v);
        unsigned char c = (unsigned char)v.at[0];
        if (n == 0)
            bk_buf_add_lit(to, "\xef\xbf\xbd");
        else if (c == '"' || c == '\\')
            bk_buf_addf(to, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            bk_buf_addf(to, "\\u%04x", c);
        else
            bk_buf_add(to, v.at, n);
        v = bk_view_skip(v, n ? n : 1);
    }
    bk_buf_add_char(to, '"');
}
