/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL's EVP looks up, allocates and frees for each message what costs as much as the sums themselves, and copies of its contexts do
 * the same; the functions below it, which OpenSSL 3 calls deprecated but keeps, take a state that is a few numbers.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "ms/hmac.h"

#include "base/text.h"

#include <assert.h>
#include <openssl/md5.h>
#include <openssl/sha.h>
#include <string.h>

enum { BLOCK = 64 };
_Static_assert((int)MD5_CBLOCK == (int)BLOCK && (int)SHA_CBLOCK == (int)BLOCK, "one block");

union state {
    MD5_CTX md5;
    SHA_CTX sha;
};

static void words_of(enum bk_hmac_hash hash, const union state *s, uint32_t ret[5])
{
    if (hash == BK_HMAC_MD5) {
        ret[0] = s->md5.A, ret[1] = s->md5.B, ret[2] = s->md5.C, ret[3] = s->md5.D;
        return;
    }
    ret[0] = s->sha.h0, ret[1] = s->sha.h1, ret[2] = s->sha.h2, ret[3] = s->sha.h3;
    ret[4] = s->sha.h4;
}

/* As it was behind one block. */
static void resume(enum bk_hmac_hash hash, const uint32_t words[5], union state *ret)
{
    if (hash == BK_HMAC_MD5) {
        MD5_CTX *m = &ret->md5;
        MD5_Init(m);
        m->A = words[0], m->B = words[1], m->C = words[2], m->D = words[3];
        m->Nl = BLOCK * 8;
        return;
    }
    SHA_CTX *s = &ret->sha;
    SHA1_Init(s);
    s->h0 = words[0], s->h1 = words[1], s->h2 = words[2], s->h3 = words[3], s->h4 = words[4];
    s->Nl = BLOCK * 8;
}

static void update(enum bk_hmac_hash hash, union state *s, const void *at, size_t len)
{
    if (hash == BK_HMAC_MD5)
        MD5_Update(&s->md5, at, len);
    else
        SHA1_Update(&s->sha, at, len);
}

static size_t final(enum bk_hmac_hash hash, union state *s, uint8_t *ret)
{
    if (hash == BK_HMAC_MD5) {
        MD5_Final(ret, &s->md5);
        return MD5_DIGEST_LENGTH;
    }
    SHA1_Final(ret, &s->sha);
    return SHA_DIGEST_LENGTH;
}

static void key_block(enum bk_hmac_hash hash, const uint8_t *key, size_t len, uint8_t pad,
                      uint32_t ret[5])
{
    union state s;
    uint8_t block[BLOCK] = { 0 };
    memcpy(block, key, len);
    for (int i = 0; i < BLOCK; i++)
        block[i] ^= pad;
    if (hash == BK_HMAC_MD5)
        MD5_Init(&s.md5);
    else
        SHA1_Init(&s.sha);
    update(hash, &s, block, BLOCK);
    words_of(hash, &s, ret);
    bk_wipe(block, sizeof block);
    bk_wipe(&s, sizeof s);
}

void bk_hmac_init(struct bk_hmac *ret, enum bk_hmac_hash hash, const uint8_t *key, size_t len)
{
    assert(len <= BK_HMAC_KEY_MAX);
    *ret = (struct bk_hmac){ .hash = hash };
    key_block(hash, key, len, 0x36, ret->inner);
    key_block(hash, key, len, 0x5c, ret->outer);
}

void bk_hmac_sum(const struct bk_hmac *hmac, struct bk_view a, struct bk_view b, uint8_t *ret)
{
    union state s;
    uint8_t sum[BK_HMAC_SIZE_MAX];
    resume(hmac->hash, hmac->inner, &s);
    update(hmac->hash, &s, a.at, a.len);
    update(hmac->hash, &s, b.at, b.len);
    size_t len = final(hmac->hash, &s, sum);
    resume(hmac->hash, hmac->outer, &s);
    update(hmac->hash, &s, sum, len);
    final(hmac->hash, &s, ret);
}
