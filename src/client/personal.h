/* SPDX-License-Identifier: Apache-2.0 */
/* client/personal.h - the key made on this computer and the personal certificate for it (OpenSSL). */
#ifndef BK_CLIENT_PERSONAL_H
#define BK_CLIENT_PERSONAL_H

#include "base/buf.h"
#include "client/guard.h"

/* A new key as PKCS#8 PEM, appended: P-256, or RSA of 2048 bits where TLS-DSK is to be done with it. -EIO: the library failed; -ENOMEM. */
int bk_personal_key_make(bool rsa, struct bk_buf *ret_pem);
/* A PKCS#10 request for that key, PEM, appended. The server takes only the public key from it. */
int bk_personal_request_make(struct bk_view key_pem, struct bk_view address,
                             struct bk_buf *ret_pem);

/* The bytes between the lines of the first PEM block, appended; and back, as a block of that label. -EBADMSG, -ENOMEM. */
int bk_personal_der_of_pem(struct bk_view pem, struct bk_buf *ret_der);
void bk_personal_pem_of_der(const char *label, struct bk_view der, struct bk_buf *to);

struct bk_personal_info {
    char serial[64]; /* lower-case hex */
    int64_t not_before_ms, not_after_ms;
};
/*
 * Reads `pem` (key, certificate, chain in any order, as the profile keeps them) and says what is wrong with it for
 * this address, as a sub of SI-105: 'c' unparsable, 'd' for another address, 'e' without its private key, 0: usable.
 * Its dates and issuer are the server's to judge: our clock may be the wrong one. *ret only for 0.
 */
char bk_personal_check(struct bk_view pem, struct bk_view address, struct bk_personal_info *ret);

/* Of the first certificate in it, whatever else it holds; 0: there is none. */
int64_t bk_personal_not_after_ms(struct bk_view pem);

/*
 * The same with its key encrypted (PKCS#8, AES-256-CBC, PBKDF2 over the secret in hex), and back; appended, the certificates as they
 * were. -EBADMSG: no key of ours in it, or another secret; -EIO: the library failed; -ENOMEM.
 */
bool bk_personal_key_is_encrypted(struct bk_view pem);
int bk_personal_key_encrypt(struct bk_view pem, const uint8_t secret[BK_CLIENT_SECRET_SIZE],
                            struct bk_buf *ret_pem);
int bk_personal_key_decrypt(struct bk_view pem, const uint8_t secret[BK_CLIENT_SECRET_SIZE],
                            struct bk_buf *ret_pem);
/* Without its encrypted key: what is left when the secret is gone. */
int bk_personal_key_strip(struct bk_view pem, struct bk_buf *ret_pem);

#endif
