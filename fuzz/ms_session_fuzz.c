/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever comes as a message, what is made of it is UTF-8, has no control bytes but tabs and line ends where it was formatted, and stays small. */
#include "base/text.h"
#include "ms/session.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = { "text/plain", "text/html", "text/rtf",
                                         "multipart/alternative; boundary=b" };
    if (!size)
        return 0;
    unsigned which = data[0] % 4;
    struct bk_view body = { (const char *)data + 1, size - 1 };
    struct bk_buf text = { 0 };
    int r = bk_ms_text(bk_view_of_str(types[which]), body, &text);
    if (r < 0 && text.len)
        abort();
    if (r == 0 && (!bk_utf8_valid(bk_buf_view(&text)) || text.len > 3 * size))
        abort();
    for (size_t i = 0; r == 0 && (which == 1 || which == 2) && i < text.len; i++)
        if ((unsigned char)text.at[i] < ' ' && text.at[i] != '\n' && text.at[i] != '\t')
            abort();
    bk_buf_finish(&text);
    bk_ms_sdp_is_session(body);
    bk_ms_keyboard_parse(body);
    bk_ms_composing_parse(body);
    return 0;
}
