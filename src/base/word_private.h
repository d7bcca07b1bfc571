/* SPDX-License-Identifier: Apache-2.0 */
/* base/word_private.h - eight bytes at a time. */
#ifndef BK_BASE_WORD_PRIVATE_H
#define BK_BASE_WORD_PRIVATE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

/* The first byte is the least significant on every machine. */
static inline uint64_t bk_word_load(const void *at)
{
    uint64_t w;
    memcpy(&w, at, sizeof w);
    return le64toh(w);
}

static inline void bk_word_store(void *at, uint64_t w)
{
    w = htole64(w);
    memcpy(at, &w, sizeof w);
}

/* Fewer than eight bytes, the missing ones zero. Two loads that overlap cost less than a call. */
static inline uint64_t bk_word_load_part(const void *at, size_t len)
{
    const unsigned char *bytes = at;
    if (len >= 4) {
        uint32_t first, last;
        memcpy(&first, bytes, 4);
        memcpy(&last, bytes + len - 4, 4);
        return le32toh(first) | (uint64_t)le32toh(last) << 8 * (len - 4);
    }
    uint64_t w = 0;
    for (size_t i = 0; i < len; i++)
        w |= (uint64_t)bytes[i] << 8 * i;
    return w;
}

/*
 * ASCII upper case to lower case in all eight bytes. In the low seven bits of a byte, adding
 * 0x80 - 'A' carries into the top bit from 'A' on, adding 0x7f - 'Z' only behind 'Z'; a byte
 * whose own top bit is set is no letter.
 */
static inline uint64_t bk_word_lower(uint64_t w)
{
    const uint64_t each = 0x0101010101010101U;
    uint64_t low7 = w & (each * 0x7f);
    uint64_t from_a = low7 + each * (0x80 - 'A');
    uint64_t behind_z = low7 + each * (0x7f - 'Z');
    uint64_t upper = (from_a ^ behind_z) & ~w & (each * 0x80);
    return w | upper >> 2;
}

#endif
