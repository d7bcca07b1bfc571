/* SPDX-License-Identifier: Apache-2.0 */
/* The domain's own certificate authority on OpenSSL 3. */
#include "server/authority.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "record/record.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

enum {
    PEM_MAX = 64 * 1024,
    REQUEST_MAX = 16 * 1024,
    RSA_BITS_MIN = 2048,
    RSA_BITS_MAX = 4096, /* a stranger's key may cost so much time and no more */
    RSA_E_BITS_MAX = 64,
    SERIAL_BYTES = 16,
    CN_MAX = 64, /* RFC 5280 ub-common-name */
};
static const int64_t root_life_ms = 10LL * 365 * 86400 * 1000;

struct bk_authority {
    EVP_PKEY *key;
    X509 *cert;
    struct bk_buf pem; /* the certificate and the chain behind it, as loaded */
    int64_t not_after;
};

/* ---- what scopes own ---- */
static void drop_pkey(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}
static void drop_x509(X509 **p)
{
    X509_free(*p);
}
static void drop_req(X509_REQ **p)
{
    X509_REQ_free(*p);
}
static void drop_bio(BIO **p)
{
    BIO_free(*p);
}
static void drop_bn(BIGNUM **p)
{
    BN_free(*p);
}
static void drop_names(GENERAL_NAMES **p)
{
    GENERAL_NAMES_free(*p);
}
static void drop_eku(EXTENDED_KEY_USAGE **p)
{
    EXTENDED_KEY_USAGE_free(*p);
}

/* PEM may say that it is encrypted; then nobody is asked for a password, least of all at a terminal. */
static int no_password(char *to, int size, int writing, void *ctx)
{
    (void)to, (void)size, (void)writing, (void)ctx;
    return -1;
}

/* What OpenSSL left in its queue belongs to nobody else's error. */
static int failed(int error)
{
    ERR_clear_error();
    return error;
}

static BIO *reader(struct bk_view v)
{
    return v.len ? BIO_new_mem_buf(v.at, (int)v.len) : NULL;
}

static int copy_out(BIO *from, struct bk_buf *to, bool secret)
{
    char *at = NULL;
    long n = BIO_get_mem_data(from, &at);
    bk_buf_add(to, at, n > 0 ? (size_t)n : 0);
    if (secret && n > 0)
        OPENSSL_cleanse(at, (size_t)n);
    return to->failed || n <= 0 ? -ENOMEM : 0;
}

static int cert_pem(X509 *cert, struct bk_buf *to)
{
    BK_CLEANUP(drop_bio) BIO *out = BIO_new(BIO_s_mem());
    if (!out || PEM_write_bio_X509(out, cert) != 1)
        return failed(-ENOMEM);
    return copy_out(out, to, false);
}

static int key_pem(EVP_PKEY *key, struct bk_buf *to)
{
    BK_CLEANUP(drop_bio) BIO *out = BIO_new(BIO_s_mem());
    if (!out || PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) != 1)
        return failed(-ENOMEM);
    return copy_out(out, to, true);
}

/* ---- building a certificate ---- */

static int add_name(X509_NAME *name, struct bk_view text, size_t max)
{
    text = bk_view_head(text, max);
    /* The type is given as it is: with MBSTRING_UTF8 a common name ends at 64 bytes, and addresses are longer. */
    return X509_NAME_add_entry_by_NID(name, NID_commonName, V_ASN1_UTF8STRING,
                                      (const unsigned char *)text.at, (int)text.len, -1, 0);
}

static int set_serial(X509 *cert, const unsigned char bytes[SERIAL_BYTES])
{
    BK_CLEANUP(drop_bn) BIGNUM *n = BN_bin2bn(bytes, SERIAL_BYTES, NULL);
    return n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) != NULL;
}

static int set_times(X509 *cert, int64_t not_before, int64_t not_after)
{
    return ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)(not_before / 1000)) &&
           ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)(not_after / 1000));
}

static int add_usage(X509 *cert, const char *usage)
{
    /* The texts are our own: nothing of a stranger goes through the parser of configuration files. */
    X509_EXTENSION *ext = X509V3_EXT_nconf_nid(NULL, NULL, NID_key_usage, usage);
    int ok = ext && X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
    return ok;
}

static int add_extended_usage(X509 *cert, const int *nids, size_t n)
{
    BK_CLEANUP(drop_eku) EXTENDED_KEY_USAGE *eku = sk_ASN1_OBJECT_new_null();
    if (!eku)
        return 0;
    for (size_t i = 0; i < n; i++) {
        ASN1_OBJECT *object = OBJ_nid2obj(nids[i]);
        if (!object || !sk_ASN1_OBJECT_push(eku, object))
            return 0;
    }
    return X509_add1_ext_i2d(cert, NID_ext_key_usage, eku, 0, 0);
}

static int add_key_ids(X509 *cert, X509 *issuer)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *subject = X509V3_EXT_nconf_nid(NULL, &ctx, NID_subject_key_identifier, "hash");
    int ok = subject && X509_add_ext(cert, subject, -1);
    X509_EXTENSION_free(subject);
    if (!ok)
        return 0;
    X509_EXTENSION *authority =
        X509V3_EXT_nconf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid");
    ok = authority && X509_add_ext(cert, authority, -1);
    X509_EXTENSION_free(authority);
    return ok;
}

static int add_constraints(X509 *cert, bool ca)
{
    BASIC_CONSTRAINTS *bc = BASIC_CONSTRAINTS_new();
    int ok = bc != NULL;
    if (ok && ca) {
        bc->ca = 0xff;
        bc->pathlen = ASN1_INTEGER_new();
        ok = bc->pathlen && ASN1_INTEGER_set(bc->pathlen, 0);
    }
    ok = ok && X509_add1_ext_i2d(cert, NID_basic_constraints, bc, 1, 0);
    BASIC_CONSTRAINTS_free(bc);
    return ok;
}

static int push_name(GENERAL_NAMES *names, int type, ASN1_STRING *value)
{
    GENERAL_NAME *name = value ? GENERAL_NAME_new() : NULL;
    if (!name) {
        ASN1_STRING_free(value);
        return 0;
    }
    GENERAL_NAME_set0_value(name, type, value);
    if (sk_GENERAL_NAME_push(names, name))
        return 1;
    GENERAL_NAME_free(name);
    return 0;
}

static ASN1_STRING *ia5(struct bk_view text)
{
    ASN1_STRING *s = ASN1_IA5STRING_new();
    if (s && !ASN1_STRING_set(s, text.at, (int)text.len)) {
        ASN1_STRING_free(s);
        return NULL;
    }
    return s;
}

static EVP_PKEY *new_key(void)
{
    return EVP_EC_gen("P-256");
}

static int sign(X509 *cert, EVP_PKEY *key)
{
    return X509_sign(cert, key, EVP_sha256()) > 0;
}

/* ---- the root ---- */

int bk_authority_make(struct bk_view domain, int64_t now_real_ms, struct bk_buf *ret_key_pem,
                      struct bk_buf *ret_cert_pem)
{
    BK_CLEANUP(drop_pkey) EVP_PKEY *key = new_key();
    BK_CLEANUP(drop_x509) X509 *cert = X509_new();
    BK_AUTO_BUF struct bk_buf name = { 0 };
    unsigned char serial[SERIAL_BYTES];

    bk_random_fill(&bk_random_system, serial, sizeof serial);
    serial[0] &= 0x7f;
    bk_buf_addf(&name, "Beckon authority of %.*s", BK_VIEW_ARGS(domain));
    if (!key || !cert || name.failed)
        return failed(-ENOMEM);
    X509_NAME *subject = X509_get_subject_name(cert);
    if (!X509_set_version(cert, X509_VERSION_3) || !set_serial(cert, serial) ||
        !set_times(cert, now_real_ms - BK_CLOCK_SKEW_MAX_MS, now_real_ms + root_life_ms) ||
        !add_name(subject, bk_buf_view(&name), CN_MAX) || !X509_set_issuer_name(cert, subject) ||
        !X509_set_pubkey(cert, key) || !add_constraints(cert, true) ||
        !add_usage(cert, "critical,keyCertSign,cRLSign") || !add_key_ids(cert, cert) ||
        !sign(cert, key))
        return failed(-ENOMEM);
    size_t key_was = ret_key_pem->len;
    int r = key_pem(key, ret_key_pem);
    if (r == 0)
        r = cert_pem(cert, ret_cert_pem);
    if (r < 0)
        ret_key_pem->len = key_was;
    return r;
}

/* Real milliseconds of a certificate's time. */
static int time_of(const ASN1_TIME *t, int64_t *ret)
{
    struct tm tm;
    if (!ASN1_TIME_to_tm(t, &tm))
        return failed(-EBADMSG);
    *ret = (int64_t)timegm(&tm) * 1000;
    return 0;
}

int bk_authority_load(struct bk_view key, struct bk_view cert, struct bk_authority **ret,
                      const char **ret_why)
{
    const char *unused;
    const char **why = ret_why ? ret_why : &unused;
    BK_CLEANUP(drop_bio) BIO *key_in = key.len <= PEM_MAX ? reader(key) : NULL;
    BK_CLEANUP(drop_bio) BIO *cert_in = cert.len <= PEM_MAX ? reader(cert) : NULL;
    struct bk_authority *a = calloc(1, sizeof *a);
    int r = -EBADMSG;

    if (!a)
        return -ENOMEM;
    *why = "the authority's certificate cannot be read (PEM expected)";
    a->cert = cert_in ? PEM_read_bio_X509(cert_in, NULL, no_password, NULL) : NULL;
    if (!a->cert || time_of(X509_get0_notAfter(a->cert), &a->not_after) < 0)
        goto out;
    *why = "the authority's key cannot be read (PEM without a password expected)";
    a->key = key_in ? PEM_read_bio_PrivateKey(key_in, NULL, no_password, NULL) : NULL;
    if (!a->key)
        goto out;
    r = -EKEYREJECTED;
    *why = "the authority's key does not belong to its certificate";
    if (X509_check_private_key(a->cert, a->key) != 1)
        goto out;
    *why = "the certificate may not issue others (no CA:TRUE)";
    if (X509_check_ca(a->cert) < 1 || !(X509_get_key_usage(a->cert) & KU_KEY_CERT_SIGN))
        goto out;
    bk_buf_add_view(&a->pem, cert);
    r = a->pem.failed ? -ENOMEM : 0;
    if (r == 0) {
        *ret = BK_TAKE(a);
        return 0;
    }
out:
    bk_authority_destroy(a);
    return failed(r);
}

struct bk_authority *bk_authority_destroy(struct bk_authority *a)
{
    if (!a)
        return NULL;
    EVP_PKEY_free(a->key);
    X509_free(a->cert);
    bk_buf_finish(&a->pem);
    free(a);
    return NULL;
}

struct bk_view bk_authority_pem(const struct bk_authority *authority)
{
    return bk_buf_view(&authority->pem);
}

/* ---- what it issues ---- */

/* Everything that both kinds share; the caller has set the public key and adds names. */
static int prepare(const struct bk_authority *a, X509 *cert, const unsigned char *serial,
                   int64_t not_before, int64_t not_after)
{
    return X509_set_version(cert, X509_VERSION_3) && set_serial(cert, serial) &&
           set_times(cert, not_before, not_after) &&
           X509_set_issuer_name(cert, X509_get_subject_name(a->cert)) &&
           add_constraints(cert, false) && add_usage(cert, "critical,digitalSignature") &&
           add_key_ids(cert, a->cert);
}

int bk_authority_server_certificate(const struct bk_authority *authority,
                                    const struct bk_view *names, size_t n_names,
                                    int64_t now_real_ms, int days, struct bk_buf *ret_key_pem,
                                    struct bk_buf *ret_cert_pem)
{
    static const int uses[] = { NID_server_auth, NID_client_auth };
    BK_CLEANUP(drop_pkey) EVP_PKEY *key = new_key();
    BK_CLEANUP(drop_x509) X509 *cert = X509_new();
    BK_CLEANUP(drop_names) GENERAL_NAMES *san = sk_GENERAL_NAME_new_null();
    unsigned char serial[SERIAL_BYTES];

    if (n_names == 0 || days <= 0)
        return -EINVAL;
    if (!key || !cert || !san)
        return failed(-ENOMEM);
    for (size_t i = 0; i < n_names; i++) {
        BK_AUTO_FREE char *text = bk_view_dup(names[i]);
        ASN1_OCTET_STRING *ip = text ? a2i_IPADDRESS(text) : NULL;
        if (!text || !names[i].len)
            return failed(-EINVAL);
        if (!(ip ? push_name(san, GEN_IPADD, ip) : push_name(san, GEN_DNS, ia5(names[i]))))
            return failed(-ENOMEM);
    }
    bk_random_fill(&bk_random_system, serial, sizeof serial);
    serial[0] &= 0x7f;
    int64_t not_after = now_real_ms + (int64_t)days * 86400 * 1000;
    if (not_after > authority->not_after)
        not_after = authority->not_after;
    if (!X509_set_pubkey(cert, key) ||
        !prepare(authority, cert, serial, now_real_ms - BK_CLOCK_SKEW_MAX_MS, not_after) ||
        !add_name(X509_get_subject_name(cert), names[0], CN_MAX) ||
        !add_extended_usage(cert, uses, BK_COUNT_OF(uses)) ||
        !X509_add1_ext_i2d(cert, NID_subject_alt_name, san, 0, 0) || !sign(cert, authority->key))
        return failed(-ENOMEM);
    size_t key_was = ret_key_pem->len;
    int r = key_pem(key, ret_key_pem);
    if (r == 0)
        r = cert_pem(cert, ret_cert_pem);
    /* An authority that is no root itself: whoever checks needs what stands above. */
    if (r == 0 && X509_self_signed(authority->cert, 0) != 1) {
        bk_buf_add_view(ret_cert_pem, bk_authority_pem(authority));
        r = ret_cert_pem->failed ? -ENOMEM : 0;
    }
    if (r < 0)
        ret_key_pem->len = key_was;
    return failed(r);
}

/* NULL: such a key may be certified. */
static const char *key_fault(EVP_PKEY *key)
{
    char group[32];
    size_t n;
    if (EVP_PKEY_is_a(key, "EC")) {
        if (EVP_PKEY_get_group_name(key, group, sizeof group, &n) != 1 ||
            strcmp(group, "prime256v1") != 0)
            return "the key is on another curve than P-256";
        return NULL;
    }
    if (!EVP_PKEY_is_a(key, "RSA"))
        return "the key is neither P-256 nor RSA";
    int bits = EVP_PKEY_get_bits(key);
    if (bits < RSA_BITS_MIN)
        return "the RSA key has fewer than 2048 bits";
    if (bits > RSA_BITS_MAX)
        return "the RSA key has more than 4096 bits";
    BIGNUM *e = NULL;
    bool good = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_is_odd(e) &&
                BN_num_bits(e) > 1 && BN_num_bits(e) <= RSA_E_BITS_MAX;
    BN_free(e);
    return good ? NULL : "the RSA key's exponent is not safe";
}

/* Only as much of the request as counts: its key, proven by its own signature. */
static int read_request(struct bk_view pem, EVP_PKEY **ret, const char **ret_why)
{
    *ret_why = "the certificate request cannot be read (PKCS#10 in PEM expected)";
    BK_CLEANUP(drop_bio) BIO *in = pem.len <= REQUEST_MAX ? reader(pem) : NULL;
    BK_CLEANUP(drop_req)
    X509_REQ *req = in ? PEM_read_bio_X509_REQ(in, NULL, no_password, NULL) : NULL;
    BK_CLEANUP(drop_pkey) EVP_PKEY *key = req ? X509_REQ_get_pubkey(req) : NULL;
    if (!key)
        return -EBADMSG;
    const char *fault = key_fault(key);
    if (fault) {
        *ret_why = fault;
        return -EKEYREJECTED;
    }
    *ret_why = "the certificate request is not signed with its own key";
    if (X509_REQ_verify(req, key) != 1)
        return -EBADMSG;
    *ret = BK_TAKE(key);
    return 0;
}

int bk_authority_check_request(struct bk_view csr_pem, const char **ret_why)
{
    BK_CLEANUP(drop_pkey) EVP_PKEY *key = NULL;
    return failed(read_request(csr_pem, &key, ret_why));
}

static int fingerprint(X509 *cert, char ret[65])
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (X509_digest(cert, EVP_sha256(), md, &n) != 1 || n != 32)
        return failed(-ENOMEM);
    bk_hex_encode(md, n, ret);
    return 0;
}

/* A URI in a certificate is ASCII (RFC 5280 4.2.1.6), and so is every address that bk_sip_address_check takes. */
static bool is_plain(struct bk_view v)
{
    for (size_t i = 0; i < v.len; i++)
        if (v.at[i] <= ' ' || v.at[i] > '~')
            return false;
    return v.len > 0 && v.len <= 320;
}

int bk_authority_issue(const struct bk_authority *authority, struct bk_view csr_pem,
                       struct bk_view address, int64_t now_real_ms, int64_t life_ms,
                       const struct bk_random *random, struct bk_buf *ret_cert_pem,
                       struct bk_issued *ret, const char **ret_why)
{
    static const int uses[] = { NID_client_auth };
    BK_CLEANUP(drop_pkey) EVP_PKEY *key = NULL;
    BK_CLEANUP(drop_x509) X509 *cert = X509_new();
    BK_CLEANUP(drop_names) GENERAL_NAMES *san = sk_GENERAL_NAME_new_null();
    BK_AUTO_BUF struct bk_buf uri = { 0 };
    unsigned char serial[SERIAL_BYTES];
    struct bk_issued issued = { .not_before = (now_real_ms - BK_CLOCK_SKEW_MAX_MS) / 1000 * 1000,
                                .not_after = (now_real_ms + life_ms) / 1000 * 1000 };

    int r = read_request(csr_pem, &key, ret_why);
    if (r < 0)
        return failed(r);
    if (!is_plain(address)) {
        *ret_why = "the address cannot stand in a certificate";
        return -EINVAL;
    }
    if (issued.not_after > authority->not_after)
        issued.not_after = authority->not_after;
    if (issued.not_after <= now_real_ms) {
        *ret_why = "the authority's own certificate has expired";
        return -EKEYEXPIRED;
    }
    *ret_why = "out of memory";
    bk_random_fill(random, serial, sizeof serial);
    serial[0] &= 0x7f;
    bk_buf_addf(&uri, "sip:%.*s", BK_VIEW_ARGS(address));
    if (!cert || !san || uri.failed)
        return failed(-ENOMEM);
    if (!push_name(san, GEN_URI, ia5(bk_buf_view(&uri))) || !X509_set_pubkey(cert, key) ||
        !prepare(authority, cert, serial, issued.not_before, issued.not_after) ||
        !add_name(X509_get_subject_name(cert), bk_buf_view(&uri), uri.len) ||
        !add_extended_usage(cert, uses, BK_COUNT_OF(uses)) ||
        !X509_add1_ext_i2d(cert, NID_subject_alt_name, san, 0, 0) || !sign(cert, authority->key) ||
        fingerprint(cert, issued.fingerprint) < 0)
        return failed(-ENOMEM);
    bk_hex_encode(serial, SERIAL_BYTES, issued.serial);
    r = cert_pem(cert, ret_cert_pem);
    if (r == 0)
        *ret = issued;
    return failed(r);
}

/* ---- reading ---- */

/* With leading zeros up to the length we make, so that one number has one text. */
static int serial_text(X509 *cert, char *ret, size_t size)
{
    unsigned char bytes[31] = { 0 };
    BK_CLEANUP(drop_bn) BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    if (!n || BN_is_negative(n) || BN_num_bytes(n) > (int)sizeof bytes)
        return failed(-EBADMSG);
    int len = BN_num_bytes(n) > SERIAL_BYTES ? BN_num_bytes(n) : SERIAL_BYTES;
    if ((size_t)len * 2 >= size || BN_bn2binpad(n, bytes, len) != len)
        return failed(-EBADMSG);
    bk_hex_encode(bytes, (size_t)len, ret);
    return 0;
}

/* The first URI of the form sip:user@host, without its scheme. */
static void address_of(X509 *cert, char *ret, size_t size)
{
    BK_CLEANUP(drop_names)
    GENERAL_NAMES *san = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    ret[0] = '\0';
    for (int i = 0; i < sk_GENERAL_NAME_num(san); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(san, i);
        if (name->type != GEN_URI)
            continue;
        const ASN1_STRING *s = name->d.uniformResourceIdentifier;
        struct bk_view uri = { (const char *)ASN1_STRING_get0_data(s),
                               (size_t)ASN1_STRING_length(s) };
        if (!bk_view_starts_with_nocase(uri, BK_VIEW("sip:")))
            continue;
        uri = bk_view_skip(uri, 4);
        if (!is_plain(uri) || uri.len >= size)
            continue;
        memcpy(ret, uri.at, uri.len);
        ret[uri.len] = '\0';
        bk_text_lower(ret, uri.len);
        return;
    }
}

int bk_authority_read(const struct bk_authority *authority, struct bk_view der,
                      struct bk_personal *ret)
{
    const unsigned char *at = (const unsigned char *)der.at;
    struct bk_personal p = { 0 };
    if (der.len == 0 || der.len > REQUEST_MAX)
        return -EBADMSG;
    BK_CLEANUP(drop_x509) X509 *cert = d2i_X509(NULL, &at, (long)der.len);
    if (!cert || at != (const unsigned char *)der.at + der.len)
        return failed(-EBADMSG);
    if (serial_text(cert, p.serial, sizeof p.serial) < 0 ||
        time_of(X509_get0_notBefore(cert), &p.not_before) < 0 ||
        time_of(X509_get0_notAfter(cert), &p.not_after) < 0)
        return failed(-EBADMSG);
    if (fingerprint(cert, p.fingerprint) < 0)
        return failed(-ENOMEM);
    address_of(cert, p.address, sizeof p.address);
    p.ours =
        X509_NAME_cmp(X509_get_issuer_name(cert), X509_get_subject_name(authority->cert)) == 0 &&
        X509_verify(cert, authority->key) == 1;
    *ret = p;
    return failed(0);
}

const struct bk_record *bk_authority_judge(const struct bk_authority *authority,
                                           struct bk_store *store, struct bk_view der,
                                           struct bk_view address, int64_t now_real_ms,
                                           struct bk_arena *arena, struct bk_certificate *ret_row)
{
    struct bk_personal p;
    struct bk_certificate row;
    struct bk_user owner;

    int r = bk_authority_read(authority, der, &p);
    if (r == -ENOMEM)
        return bk_record_find(401, 0);
    if (r < 0)
        return bk_record_find(105, 'c');
    if (!p.ours)
        return bk_record_find(105, 'f');
    r = bk_store_certificate(store, bk_view_of_str(p.serial), arena, &row);
    if (r < 0 && r != -ENOENT)
        return bk_record_find(401, 0);
    bool known = r == 0 && bk_view_equal(row.fingerprint, bk_view_of_str(p.fingerprint));
    /* What an administrator decided comes before what a clock or a changed address made of it. */
    if (known && row.revoked_at != 0)
        return bk_record_find(219, 0);
    if (now_real_ms >= p.not_after)
        return bk_record_find(105, 'a');
    if (now_real_ms < p.not_before)
        return bk_record_find(105, 'b');
    if (address.len && !bk_view_equal(bk_view_of_str(p.address), address))
        return bk_record_find(105, 'd');
    if (!known)
        return bk_record_find(105, 'g');
    r = bk_store_user_by_id(store, row.user_id, arena, &owner);
    if (r < 0)
        return r == -ENOENT ? bk_record_find(105, 'g') : bk_record_find(401, 0);
    /* The address was changed since. */
    if (!bk_view_equal(owner.address, bk_view_of_str(p.address)))
        return bk_record_find(105, 'd');
    *ret_row = row;
    return NULL;
}
