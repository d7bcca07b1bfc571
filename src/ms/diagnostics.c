/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/diagnostics.h"

/* The dialect's readers end a quoted text at the next quote, whatever stands before it: quotes become apostrophes. */
static void add_quoted(struct bk_buf *to, struct bk_view text)
{
    bk_buf_add_char(to, '"');
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        bk_buf_add_char(to, c == '"'                          ? '\''
                            : c == '\\'                       ? '/'
                            : (uint8_t)c < ' ' || c == '\x7f' ? ' '
                                                              : c);
    }
    bk_buf_add_char(to, '"');
}

void bk_ms_diagnostics_write(struct bk_buf *to, const struct bk_ms_diagnostics *what)
{
    char id[12];
    bk_record_id(what->record, id);
    bk_buf_addf(to, "%u;reason=", (unsigned)what->record->diagnostics);
    add_quoted(to, what->reason);
    bk_buf_add_lit(to, ";source=");
    add_quoted(to, what->source);
    bk_buf_addf(to, ";record=\"%s\"", id);
    if (what->case_code.len) {
        bk_buf_add_lit(to, ";case=");
        add_quoted(to, what->case_code);
    }
}
