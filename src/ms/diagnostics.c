/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/diagnostics.h"

#include "base/cleanup.h"

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

void bk_ms_diagnostics_lines(struct bk_buf *to, const struct bk_ms_diagnostics *what)
{
    static const char *const names[] = { "ms-diagnostics: ", "ms-diagnostics-public: " };
    for (size_t i = 0; i < BK_COUNT_OF(names); i++) {
        bk_buf_add_str(to, names[i]);
        bk_ms_diagnostics_write(to, what);
        bk_buf_add_lit(to, "\r\n");
    }
}

void bk_ms_warning_line(struct bk_buf *to, struct bk_view text)
{
    bk_buf_add_lit(to, "Warning: 310 lcs.microsoft.com ");
    add_quoted(to, text);
    bk_buf_add_lit(to, "\r\n");
}
