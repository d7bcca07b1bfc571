/* SPDX-License-Identifier: Apache-2.0 */
/* ms/legacy.h - MD4 and RC4, which NTLM is made of and OpenSSL 3 keeps in a provider that is not loaded. */
#ifndef BK_MS_LEGACY_H
#define BK_MS_LEGACY_H

#include "base/view.h"

/*
 * Both are broken as cryptography and stand here for NTLM alone ([MS-NLMP] 3.3.2, 3.4): nothing else may
 * use them, and nothing of the default way of signing in does.
 */

enum { BK_MD4_SIZE = 16 };
/* RFC 1320. */
void bk_md4(struct bk_view bytes, uint8_t ret[BK_MD4_SIZE]);

/* The state of a stream; the owner wipes it. */
struct bk_rc4 {
    uint8_t s[256];
    uint8_t i, j;
};
/* key: 1 to 256 bytes; an empty one is a fault of ours. */
void bk_rc4_init(struct bk_rc4 *rc4, struct bk_view key);
/* Encrypts and decrypts; `to` may be `from`. The stream goes on where the last call left it. */
void bk_rc4_crypt(struct bk_rc4 *rc4, const void *from, void *to, size_t len);

#endif
