/* SPDX-License-Identifier: Apache-2.0 */
/* A document that reads, written and read again, says the same: two writings are equal byte by byte. */
#include "base/cleanup.h"
#include "ms/xml.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bk_arena arena = { 0 };
    struct bk_buf first = { 0 }, second = { 0 };
    struct bk_ms_xml *root;
    const char *why = NULL;
    int r = bk_ms_xml_parse((struct bk_view){ (const char *)data, size }, &arena, &root, &why);
    if (r < 0 && !why)
        abort();
    if (r == 0) {
        bk_ms_xml_write(&first, root, (struct bk_view){ 0 });
        /* Written out, a document can be larger than any that is taken. */
        if (first.len <= BK_MS_XML_BYTES_MAX) {
            if (bk_ms_xml_parse(bk_buf_view(&first), &arena, &root, &why) < 0)
                abort();
            bk_ms_xml_write(&second, root, (struct bk_view){ 0 });
            if (!bk_view_equal(bk_buf_view(&first), bk_buf_view(&second)))
                abort();
        }
    }
    bk_buf_finish(&first);
    bk_buf_finish(&second);
    bk_arena_finish(&arena);
    return 0;
}
