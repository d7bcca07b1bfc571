/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/server/csr.h - certificate requests of every kind, made with libcrypto when they are needed. */
#ifndef BK_TESTS_SERVER_CSR_H
#define BK_TESTS_SERVER_CSR_H

enum csr_kind {
    CSR_P256,
    CSR_P256_OTHER_SIGNER, /* signed with a key that is not the one inside */
    CSR_P384,
    CSR_ED25519,
    CSR_RSA_1024,
    CSR_RSA_2048,
    CSR_RSA_4104,
    CSR_RSA_EXPONENT_1,
    CSR_WISHES, /* P-256, asking for CA:TRUE, another name and a life of its own */
};
/* PEM texts; the caller frees both. ret_key_pem may be NULL. */
char *csr_make(enum csr_kind kind, char **ret_key_pem);

#endif
