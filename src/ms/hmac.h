/* SPDX-License-Identifier: Apache-2.0 */
/* ms/hmac.h - HMAC-MD5 and HMAC-SHA1 (RFC 2104) whose key is taken in once, for the signatures of many messages. */
#ifndef BK_MS_HMAC_H
#define BK_MS_HMAC_H

#include "base/view.h"

enum bk_hmac_hash { BK_HMAC_MD5, BK_HMAC_SHA1 };
enum { BK_HMAC_KEY_MAX = 64, BK_HMAC_SIZE_MAX = 20 };

/* Both hashes behind their first block, which is all the key they ever see. Plain data; as secret as the key: the owner wipes it. */
struct bk_hmac {
    enum bk_hmac_hash hash;
    uint32_t inner[5], outer[5];
};
/* len: at most BK_HMAC_KEY_MAX. */
void bk_hmac_init(struct bk_hmac *ret, enum bk_hmac_hash hash, const uint8_t *key, size_t len);
/* Over a and then b; 16 bytes with MD5, 20 with SHA-1. */
void bk_hmac_sum(const struct bk_hmac *hmac, struct bk_view a, struct bk_view b, uint8_t *ret);

#endif
