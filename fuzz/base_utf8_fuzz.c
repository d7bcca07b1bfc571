/* SPDX-License-Identifier: Apache-2.0 */
/* The answer is that of a decoder which computes each code point and encodes it again. */
#include "base/text.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t encode(uint32_t c, unsigned char to[4])
{
    if (c < 0x80) {
        to[0] = (unsigned char)c;
        return 1;
    }
    size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, c >>= 6)
        to[i] = (unsigned char)(0x80 | (c & 0x3f));
    to[0] = (unsigned char)((0xf00U >> len) | c);
    return len;
}

static bool slowly_valid(const uint8_t *at, size_t left)
{
    while (left) {
        size_t len = at[0] < 0x80 ? 1 : (size_t)__builtin_clz(~((unsigned)at[0] << 24));
        if ((at[0] & 0xc0) == 0x80 || len > 4 || len > left)
            return false;
        uint32_t c = len == 1 ? at[0] : at[0] & (0x7fU >> len);
        for (size_t i = 1; i < len; i++)
            c = c << 6 | (at[i] & 0x3f);
        unsigned char again[4];
        if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) || encode(c, again) != len ||
            memcmp(again, at, len) != 0)
            return false;
        at += len;
        left -= len;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (bk_utf8_valid((struct bk_view){ (const char *)data, size }) != slowly_valid(data, size))
        abort();
    return 0;
}
