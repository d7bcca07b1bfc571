/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes survive encoding and decoding; any text that decodes is the one encoding of what it
 * means, in both alphabets and in hex; what is refused leaves the buffer as it was.
 */
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct kind {
    void (*encode)(struct bk_buf *to, struct bk_view bytes);
    int (*decode)(struct bk_view text, struct bk_buf *ret);
};

static void check(const struct kind *kind, struct bk_view in)
{
    struct bk_buf text = { 0 }, bytes = { 0 };
    kind->encode(&text, in);
    if (kind->decode(bk_buf_view(&text), &bytes) != 0 || !bk_view_equal(bk_buf_view(&bytes), in))
        abort();

    bk_buf_clear(&bytes);
    bk_buf_add_lit(&bytes, "kept");
    int r = kind->decode(in, &bytes);
    if (!bk_view_starts_with(bk_buf_view(&bytes), BK_VIEW("kept")))
        abort();
    if (r == 0) {
        bk_buf_clear(&text);
        kind->encode(&text, bk_view_skip(bk_buf_view(&bytes), 4));
        if (!bk_view_equal(bk_buf_view(&text), in))
            abort();
    } else if (r != -EINVAL || bytes.len != 4) {
        abort();
    }
    bk_buf_finish(&text);
    bk_buf_finish(&bytes);
}

static void check_hex(struct bk_view in)
{
    struct bk_buf hex = { 0 }, bytes = { 0 };
    bk_buf_add_hex(&hex, in.at, in.len);
    char *to = bk_buf_reserve(&bytes, in.len);
    if (!to || bk_hex_decode(bk_buf_view(&hex), to, in.len) != 0)
        abort();
    if (in.len && memcmp(to, in.at, in.len) != 0)
        abort();
    if (bk_hex_decode(in, to, in.len / 2) == 0) {
        bk_buf_clear(&hex);
        bk_buf_add_hex(&hex, to, in.len / 2);
        if (!bk_view_equal_nocase(bk_buf_view(&hex), in))
            abort();
    }
    bk_buf_finish(&hex);
    bk_buf_finish(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct kind plain = { bk_base64_encode, bk_base64_decode };
    static const struct kind url = { bk_base64url_encode, bk_base64url_decode };
    struct bk_view in = { (const char *)data, size };
    check(&plain, in);
    check(&url, in);
    check_hex(in);
    return 0;
}
