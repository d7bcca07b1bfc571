/* SPDX-License-Identifier: Apache-2.0 */
#include "csr.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

/* The modulus of a good key with the exponent 1: whoever knows it can sign anything. */
static EVP_PKEY *exponent_1(void)
{
    EVP_PKEY *good = EVP_RSA_gen(2048), *bad = NULL;
    BIGNUM *n = NULL, *one = BN_new();
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    MUST(good && one && build && BN_one(one));
    MUST(EVP_PKEY_get_bn_param(good, OSSL_PKEY_PARAM_RSA_N, &n));
    MUST(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n));
    MUST(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, one));
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    MUST(EVP_PKEY_fromdata_init(ctx) == 1);
    MUST(EVP_PKEY_fromdata(ctx, &bad, EVP_PKEY_PUBLIC_KEY, params) == 1);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BN_free(n);
    BN_free(one);
    EVP_PKEY_free(good);
    return bad;
}

static EVP_PKEY *key_of(enum csr_kind kind)
{
    switch (kind) {
    case CSR_P384:
        return EVP_EC_gen("P-384");
    case CSR_ED25519:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    case CSR_RSA_1024:
        return EVP_RSA_gen(1024);
    case CSR_RSA_2048:
        return EVP_RSA_gen(2048);
    case CSR_RSA_4104:
        return EVP_RSA_gen(4104);
    case CSR_RSA_EXPONENT_1:
        return exponent_1();
    default:
        return EVP_EC_gen("P-256");
    }
}

static void wish(X509_REQ *req)
{
    STACK_OF(X509_EXTENSION) *list = sk_X509_EXTENSION_new_null();
    sk_X509_EXTENSION_push(list,
                           X509V3_EXT_nconf_nid(NULL, NULL, NID_basic_constraints, "CA:TRUE"));
    sk_X509_EXTENSION_push(
        list, X509V3_EXT_nconf_nid(NULL, NULL, NID_subject_alt_name, "URI:sip:boss@example.org"));
    sk_X509_EXTENSION_push(list, X509V3_EXT_nconf_nid(NULL, NULL, NID_ext_key_usage, "serverAuth"));
    MUST(X509_REQ_add_extensions(req, list));
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
}

static char *text_of(BIO *bio)
{
    char *at;
    long n = BIO_get_mem_data(bio, &at);
    char *text = strndup(at, (size_t)n);
    BIO_free(bio);
    return text;
}

char *csr_make(enum csr_kind kind, char **ret_key_pem)
{
    EVP_PKEY *key = key_of(kind);
    X509_REQ *req = X509_REQ_new();
    MUST(key && req);
    MUST(X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(req), "CN", MBSTRING_ASC,
                                    (const unsigned char *)"sip:boss@example.org", -1, -1, 0));
    MUST(X509_REQ_set_pubkey(req, key));
    if (kind == CSR_WISHES)
        wish(req);
    EVP_PKEY *signer = key;
    if (kind == CSR_P256_OTHER_SIGNER)
        signer = EVP_EC_gen("P-256");
    else if (kind == CSR_RSA_EXPONENT_1)
        signer = EVP_RSA_gen(2048);
    MUST(X509_REQ_sign(req, signer, kind == CSR_ED25519 ? NULL : EVP_sha256()) > 0);
    if (signer != key)
        EVP_PKEY_free(signer);
    BIO *out = BIO_new(BIO_s_mem());
    MUST(PEM_write_bio_X509_REQ(out, req) == 1);
    char *text = text_of(out);
    if (ret_key_pem) {
        out = BIO_new(BIO_s_mem());
        MUST(PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1);
        *ret_key_pem = text_of(out);
    }
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    return text;
}
