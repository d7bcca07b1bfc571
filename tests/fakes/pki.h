/* SPDX-License-Identifier: Apache-2.0 */
/* fakes/pki.h - certificates for tests, made with libcrypto when they are needed. */
#ifndef BK_FAKES_PKI_H
#define BK_FAKES_PKI_H

#include <stdbool.h>
#include <stdint.h>

/* A key with its certificate; P-256. */
struct pki_cert;

struct pki_request {
    const char *name; /* CN; subject_o is O, where given */
    const char *subject_o;
    const char *san;               /* as openssl.cnf: "DNS:a.test,IP:127.0.0.1"; NULL: none */
    const struct pki_cert *issuer; /* NULL: self-signed */
    bool ca;
    bool aia;                /* says where its issuer is to be had */
    bool rsa_1024;           /* a weak key */
    int64_t from_s, until_s; /* relative to now; both 0: from a day ago for a year */
};

/* Aborts the test when something cannot be made. */
struct pki_cert *pki_make(const struct pki_request *request);
void pki_free(struct pki_cert *cert);

/* PEM text, owned by cert. */
const char *pki_cert_pem(const struct pki_cert *cert);
const char *pki_key_pem(const struct pki_cert *cert);

/* Writes PEM files dir/name.pem (the certificates one behind the other, NULL-ended) and dir/name.key (of the first). */
void pki_write(const char *dir, const char *name, const struct pki_cert *const *chain);

#endif
