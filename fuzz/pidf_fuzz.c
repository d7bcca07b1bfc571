/* SPDX-License-Identifier: Apache-2.0 */
/* A document that reads, written and read again, says the same: two writings are equal byte by byte. */
#include "base/cleanup.h"
#include "pidf/pidf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bk_arena arena = { 0 };
    struct bk_buf first = { 0 }, second = { 0 };
    struct bk_pidf doc, again;
    const char *why = NULL;
    int r = bk_pidf_parse((struct bk_view){ (const char *)data, size }, &arena, &doc, &why);
    if (r < 0 && !why)
        abort();
    if (r == 0) {
        bk_pidf_write(&first, &doc);
        if (bk_pidf_parse(bk_buf_view(&first), &arena, &again, &why) < 0)
            abort();
        bk_pidf_write(&second, &again);
        if (!bk_view_equal(bk_buf_view(&first), bk_buf_view(&second)))
            abort();
        if (bk_pidf_read_shown(&doc) == BK_PIDF_SHOWN_MISSING)
            abort();
    }
    bk_buf_finish(&first);
    bk_buf_finish(&second);
    bk_arena_finish(&arena);
    return 0;
}
