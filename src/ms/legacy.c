/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/legacy.h"

#include "base/text.h"

#include <assert.h>

static uint32_t rotate(uint32_t x, unsigned by)
{
    return x << by | x >> (32 - by);
}

static uint32_t read_le32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void write_le32(uint8_t *at, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(n >> 8 * i);
}

/* The three functions of RFC 1320 3.4, one a round, each with the constant that is added. */
static uint32_t mix(unsigned round, uint32_t x, uint32_t y, uint32_t z)
{
    switch (round) {
    case 0:
        return (x & y) | (~x & z);
    case 1:
        return ((x & y) | (x & z) | (y & z)) + 0x5a827999u;
    default:
        return (x ^ y ^ z) + 0x6ed9eba1u;
    }
}

static const uint8_t md4_word[3][16] = {
    { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
    { 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15 },
    { 0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15 },
};
static const uint8_t md4_shift[3][4] = { { 3, 7, 11, 19 }, { 3, 5, 9, 13 }, { 3, 9, 11, 15 } };

static void md4_block(uint32_t state[4], const uint8_t *block)
{
    uint32_t x[16], a = state[0], b = state[1], c = state[2], d = state[3];
    for (int i = 0; i < 16; i++)
        x[i] = read_le32(block + 4 * i);
    for (unsigned step = 0; step < 48; step++) {
        unsigned round = step / 16, at = step % 16;
        uint32_t next =
            rotate(a + mix(round, b, c, d) + x[md4_word[round][at]], md4_shift[round][at % 4]);
        a = d, d = c, c = b, b = next;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    bk_wipe(x, sizeof x);
}

void bk_md4(struct bk_view bytes, uint8_t ret[BK_MD4_SIZE])
{
    uint32_t state[4] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 };
    uint64_t bits = (uint64_t)bytes.len * 8;
    size_t whole = bytes.len / 64;
    for (size_t i = 0; i < whole; i++)
        md4_block(state, (const uint8_t *)bytes.at + 64 * i);

    /* A one bit, zeros, and the length: one block more, or two where it does not fit. */
    uint8_t tail[128] = { 0 };
    size_t left = bytes.len % 64, end = left < 56 ? 64 : 128;
    if (left)
        memcpy(tail, bytes.at + 64 * whole, left);
    tail[left] = 0x80;
    write_le32(tail + end - 8, (uint32_t)bits);
    write_le32(tail + end - 4, (uint32_t)(bits >> 32));
    for (size_t at = 0; at < end; at += 64)
        md4_block(state, tail + at);
    for (int i = 0; i < 4; i++)
        write_le32(ret + 4 * i, state[i]);
    bk_wipe(tail, sizeof tail);
}

void bk_rc4_init(struct bk_rc4 *rc4, struct bk_view key)
{
    assert(key.len > 0);
    *rc4 = (struct bk_rc4){ 0 };
    for (unsigned i = 0; i < 256; i++)
        rc4->s[i] = (uint8_t)i;
    uint8_t j = 0;
    for (unsigned i = 0; i < 256; i++) {
        uint8_t was = rc4->s[i];
        j = (uint8_t)(j + was + (uint8_t)key.at[i % key.len]);
        rc4->s[i] = rc4->s[j];
        rc4->s[j] = was;
    }
}

void bk_rc4_crypt(struct bk_rc4 *rc4, const void *from, void *to, size_t len)
{
    const uint8_t *in = from;
    uint8_t *out = to;
    for (size_t n = 0; n < len; n++) {
        uint8_t i = ++rc4->i, was = rc4->s[i];
        uint8_t j = rc4->j = (uint8_t)(rc4->j + was);
        rc4->s[i] = rc4->s[j];
        rc4->s[j] = was;
        out[n] = in[n] ^ rc4->s[(uint8_t)(rc4->s[i] + was)];
    }
}
