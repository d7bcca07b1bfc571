/* SPDX-License-Identifier: Apache-2.0 */
#include "fakes/pki.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct pki_cert {
    EVP_PKEY *key;
    X509 *x509;
    char *cert_pem, *key_pem;
};

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "pki: %s failed\n", #condition);                                       \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    MUST(ext && X509_add_ext(x, ext, -1) == 1);
    X509_EXTENSION_free(ext);
}

static char *text_of(BIO *bio)
{
    char *at;
    long len = BIO_get_mem_data(bio, &at);
    char *text = strndup(at, (size_t)len);
    MUST(text);
    BIO_free(bio);
    return text;
}

static X509_NAME *name_of(const struct pki_request *r)
{
    X509_NAME *name = X509_NAME_new();
    MUST(name);
    if (r->subject_o)
        MUST(X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8,
                                        (const unsigned char *)r->subject_o, -1, -1, 0));
    MUST(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)r->name, -1,
                                    -1, 0));
    return name;
}

static void extend_all(X509 *x, X509 *issuer, const struct pki_request *r)
{
    extend(x, issuer, NID_basic_constraints, r->ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    extend(x, issuer, NID_key_usage,
           r->ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature,keyEncipherment");
    extend(x, issuer, NID_subject_key_identifier, "hash");
    extend(x, issuer, NID_authority_key_identifier, "keyid");
    if (r->san)
        extend(x, issuer, NID_subject_alt_name, r->san);
    if (r->aia)
        extend(x, issuer, NID_info_access, "caIssuers;URI:http://pki.test/issuer.der");
}

struct pki_cert *pki_make(const struct pki_request *r)
{
    struct pki_cert *cert = calloc(1, sizeof *cert);
    MUST(cert);
    cert->key = r->rsa_1024 ? EVP_RSA_gen(1024) : EVP_EC_gen("P-256");
    X509 *x = cert->x509 = X509_new();
    MUST(cert->key && x);
    uint64_t serial = 0;
    MUST(RAND_bytes((unsigned char *)&serial, sizeof serial) == 1);
    MUST(ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1));
    MUST(X509_set_version(x, X509_VERSION_3));
    X509_NAME *name = name_of(r);
    MUST(X509_set_subject_name(x, name));
    MUST(X509_set_issuer_name(x, r->issuer ? X509_get_subject_name(r->issuer->x509) : name));
    X509_NAME_free(name);
    bool usual = !r->from_s && !r->until_s;
    MUST(X509_gmtime_adj(X509_getm_notBefore(x), usual ? -86400 : (long)r->from_s));
    MUST(X509_gmtime_adj(X509_getm_notAfter(x), usual ? 365 * 86400 : (long)r->until_s));
    MUST(X509_set_pubkey(x, cert->key));
    extend_all(x, r->issuer ? r->issuer->x509 : x, r);
    MUST(X509_sign(x, r->issuer ? r->issuer->key : cert->key, EVP_sha256()) > 0);

    BIO *bio = BIO_new(BIO_s_mem());
    MUST(bio && PEM_write_bio_X509(bio, x));
    cert->cert_pem = text_of(bio);
    bio = BIO_new(BIO_s_mem());
    MUST(bio && PEM_write_bio_PrivateKey(bio, cert->key, NULL, NULL, 0, NULL, NULL));
    cert->key_pem = text_of(bio);
    return cert;
}

void pki_free(struct pki_cert *cert)
{
    if (!cert)
        return;
    EVP_PKEY_free(cert->key);
    X509_free(cert->x509);
    free(cert->cert_pem);
    free(cert->key_pem);
    free(cert);
}

const char *pki_cert_pem(const struct pki_cert *cert)
{
    return cert->cert_pem;
}

const char *pki_key_pem(const struct pki_cert *cert)
{
    return cert->key_pem;
}

static FILE *create(const char *dir, const char *name, const char *suffix)
{
    char path[512];
    MUST(snprintf(path, sizeof path, "%s/%s%s", dir, name, suffix) < (int)sizeof path);
    FILE *f = fopen(path, "we");
    MUST(f);
    return f;
}

void pki_write(const char *dir, const char *name, const struct pki_cert *const *chain)
{
    FILE *f = create(dir, name, ".key");
    MUST(fputs(chain[0]->key_pem, f) >= 0 && fclose(f) == 0);
    f = create(dir, name, ".pem");
    for (; *chain; chain++)
        MUST(fputs((*chain)->cert_pem, f) >= 0);
    MUST(fclose(f) == 0);
}
