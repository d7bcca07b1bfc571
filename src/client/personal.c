/* SPDX-License-Identifier: Apache-2.0 */
#include "client/personal.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "sip/uri.h"

#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>

static void drop_key(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static void drop_bio(BIO **bio)
{
    (void)BIO_free(*bio);
}

static void drop_request(X509_REQ **request)
{
    X509_REQ_free(*request);
}

static void drop_certificate(X509 **certificate)
{
    X509_free(*certificate);
}

/* Keys pass through here: the library wipes its own copy when the BIO is freed. */
static int take_bio(BIO *bio, struct bk_buf *ret)
{
    char *at = NULL;
    long len = BIO_get_mem_data(bio, &at);
    if (len <= 0)
        return -EIO;
    bk_buf_add(ret, at, (size_t)len);
    return ret->failed ? -ENOMEM : 0;
}

int bk_personal_key_make(bool rsa, struct bk_buf *ret_pem)
{
    BK_CLEANUP(drop_key) EVP_PKEY *key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    BK_CLEANUP(drop_bio) BIO *bio = BIO_new(BIO_s_mem());
    int r = -EIO;
    if (key && bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1)
        r = take_bio(bio, ret_pem);
    ERR_clear_error();
    return r;
}

/* Never asks a terminal: a key that wants a password is no key of ours. */
static int no_password(char *to, int size, int writing, void *ctx)
{
    (void)to;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

static BIO *bio_of(struct bk_view text)
{
    return text.len && text.len < INT_MAX ? BIO_new_mem_buf(text.at, (int)text.len) : NULL;
}

static EVP_PKEY *read_key(struct bk_view pem)
{
    BK_CLEANUP(drop_bio) BIO *bio = bio_of(pem);
    return bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
}

static X509 *read_certificate(struct bk_view pem)
{
    BK_CLEANUP(drop_bio) BIO *bio = bio_of(pem);
    return bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
}

static int build_request(X509_REQ *request, EVP_PKEY *key, struct bk_view address)
{
    X509_NAME *name = X509_REQ_get_subject_name(request);
    /* CN holds at most 64 bytes; the address only helps who reads the request. */
    if (X509_REQ_set_version(request, 0) != 1 ||
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)address.at,
                                   address.len < 64 ? (int)address.len : 64, -1, 0) != 1 ||
        X509_REQ_set_pubkey(request, key) != 1 || X509_REQ_sign(request, key, EVP_sha256()) <= 0)
        return -EIO;
    return 0;
}

int bk_personal_request_make(struct bk_view key_pem, struct bk_view address, struct bk_buf *ret_pem)
{
    BK_CLEANUP(drop_key) EVP_PKEY *key = read_key(key_pem);
    BK_CLEANUP(drop_request) X509_REQ *request = X509_REQ_new();
    BK_CLEANUP(drop_bio) BIO *bio = BIO_new(BIO_s_mem());
    int r = -EIO;
    if (key && request && bio && build_request(request, key, address) == 0 &&
        PEM_write_bio_X509_REQ(bio, request) == 1)
        r = take_bio(bio, ret_pem);
    ERR_clear_error();
    return r;
}

int bk_personal_der_of_pem(struct bk_view pem, struct bk_buf *ret_der)
{
    BK_CLEANUP(drop_bio) BIO *bio = bio_of(pem);
    unsigned char *data = NULL;
    char *name = NULL, *header = NULL;
    long len = 0;
    int r = -EBADMSG;
    if (bio && PEM_read_bio(bio, &name, &header, &data, &len) == 1) {
        bk_buf_add(ret_der, data, (size_t)len);
        r = ret_der->failed ? -ENOMEM : 0;
    }
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
    ERR_clear_error();
    return r;
}

void bk_personal_pem_of_der(const char *label, struct bk_view der, struct bk_buf *to)
{
    enum { LINE_BYTES = 48 };
    bk_buf_addf(to, "-----BEGIN %s-----\n", label);
    for (; der.len; der = bk_view_skip(der, LINE_BYTES)) {
        bk_base64_encode(to, bk_view_head(der, LINE_BYTES));
        bk_buf_add_char(to, '\n');
    }
    bk_buf_addf(to, "-----END %s-----\n", label);
}

static int64_t time_of(const ASN1_TIME *at)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(at, &tm) != 1)
        return 0;
    return (int64_t)timegm(&tm) * 1000;
}

static bool names_address(X509 *certificate, struct bk_view address)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool found = false;
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names) && !found; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI)
            continue;
        struct bk_view uri = { (const char *)ASN1_STRING_get0_data(
                                   name->d.uniformResourceIdentifier),
                               (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier) };
        found = bk_view_starts_with_nocase(uri, BK_VIEW("sip:")) &&
                bk_view_equal_nocase(bk_view_skip(uri, 4), address);
    }
    if (!names) { /* those of the original servers have it as their CN alone */
        char cn[BK_SIP_AOR_MAX + 1];
        int len = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, cn,
                                            sizeof cn);
        found = len > 0 && bk_view_equal_nocase((struct bk_view){ cn, (size_t)len }, address);
    }
    GENERAL_NAMES_free(names);
    return found;
}

static void write_serial(X509 *certificate, char to[64])
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
    BK_AUTO_BUF struct bk_buf hex = { 0 };
    bk_buf_add_hex(&hex, ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial));
    const char *text = bk_buf_cstr(&hex);
    size_t len = text && hex.len < 64 ? hex.len : 0;
    if (len)
        memcpy(to, text, len);
    to[len] = 0;
}

int64_t bk_personal_not_after_ms(struct bk_view pem)
{
    BK_CLEANUP(drop_certificate) X509 *certificate = read_certificate(pem);
    ERR_clear_error();
    return certificate ? time_of(X509_get0_notAfter(certificate)) : 0;
}

char bk_personal_check(struct bk_view pem, struct bk_view address, struct bk_personal_info *ret)
{
    BK_CLEANUP(drop_certificate) X509 *certificate = read_certificate(pem);
    BK_CLEANUP(drop_key) EVP_PKEY *key = read_key(pem);
    char wrong = 0;
    if (!certificate)
        wrong = 'c';
    else if (!names_address(certificate, address))
        wrong = 'd';
    else if (!key || X509_check_private_key(certificate, key) != 1)
        wrong = 'e';
    ERR_clear_error();
    if (wrong)
        return wrong;
    write_serial(certificate, ret->serial);
    ret->not_before_ms = time_of(X509_get0_notBefore(certificate));
    ret->not_after_ms = time_of(X509_get0_notAfter(certificate));
    return 0;
}

/* ---- the key encrypted ---- */

#define PLAIN_LABEL "PRIVATE KEY"
#define ENCRYPTED_LABEL "ENCRYPTED PRIVATE KEY"

/* The block of this label, line ends included. False: there is none. */
static bool find_block(struct bk_view pem, const char *label, struct bk_view *ret_before,
                       struct bk_view *ret_block, struct bk_view *ret_after)
{
    char begin[64], end[64];
    (void)snprintf(begin, sizeof begin, "-----BEGIN %s-----\n", label);
    (void)snprintf(end, sizeof end, "-----END %s-----\n", label);
    const char *from = memmem(pem.at, pem.len, begin, strlen(begin));
    if (!from)
        return false;
    struct bk_view rest = bk_view_skip(pem, (size_t)(from - pem.at));
    const char *to = memmem(rest.at, rest.len, end, strlen(end));
    if (!to)
        return false;
    size_t len = (size_t)(to - from) + strlen(end);
    *ret_before = bk_view_head(pem, (size_t)(from - pem.at));
    *ret_block = bk_view_head(rest, len);
    *ret_after = bk_view_skip(rest, len);
    return true;
}

bool bk_personal_key_is_encrypted(struct bk_view pem)
{
    struct bk_view before, block, after;
    return pem.len && find_block(pem, ENCRYPTED_LABEL, &before, &block, &after);
}

struct password {
    char text[2 * BK_CLIENT_SECRET_SIZE + 1];
};

static void spell(const uint8_t secret[BK_CLIENT_SECRET_SIZE], struct password *ret)
{
    bk_hex_encode(secret, BK_CLIENT_SECRET_SIZE, ret->text);
}

static int give_password(char *to, int size, int writing, void *ctx)
{
    const struct password *password = ctx;
    int len = (int)strlen(password->text);
    (void)writing;
    if (len > size)
        return -1;
    memcpy(to, password->text, (size_t)len);
    return len;
}

static int write_key(EVP_PKEY *key, struct password *password, struct bk_buf *to)
{
    BK_CLEANUP(drop_bio) BIO *bio = BIO_new(BIO_s_mem());
    int written = !bio ? 0
                  : password
                      ? PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_256_cbc(), password->text,
                                                      (int)strlen(password->text), NULL, NULL)
                      : PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    return written == 1 ? take_bio(bio, to) : -EIO;
}

/* Reads the key with one password and writes it with another; NULL: none. */
static int turn_key(struct bk_view pem, const char *label, struct password *from,
                    struct password *to, struct bk_buf *ret_pem)
{
    struct bk_view before, block, after;
    if (!pem.len || !find_block(pem, label, &before, &block, &after))
        return -EBADMSG;
    BK_CLEANUP(drop_bio) BIO *bio = bio_of(block);
    BK_CLEANUP(drop_key)
    EVP_PKEY *key =
        bio ? PEM_read_bio_PrivateKey(bio, NULL, from ? give_password : no_password, from) : NULL;
    bk_buf_add_view(ret_pem, before);
    int r = key ? write_key(key, to, ret_pem) : -EBADMSG;
    bk_buf_add_view(ret_pem, after);
    ERR_clear_error();
    return r < 0 ? r : ret_pem->failed ? -ENOMEM : 0;
}

int bk_personal_key_encrypt(struct bk_view pem, const uint8_t secret[BK_CLIENT_SECRET_SIZE],
                            struct bk_buf *ret_pem)
{
    struct password password;
    spell(secret, &password);
    int r = turn_key(pem, PLAIN_LABEL, NULL, &password, ret_pem);
    bk_wipe(&password, sizeof password);
    return r;
}

int bk_personal_key_decrypt(struct bk_view pem, const uint8_t secret[BK_CLIENT_SECRET_SIZE],
                            struct bk_buf *ret_pem)
{
    struct password password;
    spell(secret, &password);
    int r = turn_key(pem, ENCRYPTED_LABEL, &password, NULL, ret_pem);
    bk_wipe(&password, sizeof password);
    return r;
}

int bk_personal_key_strip(struct bk_view pem, struct bk_buf *ret_pem)
{
    struct bk_view before, block, after;
    if (!pem.len || !find_block(pem, ENCRYPTED_LABEL, &before, &block, &after))
        return -EBADMSG;
    bk_buf_add_view(ret_pem, before);
    bk_buf_add_view(ret_pem, after);
    return ret_pem->failed ? -ENOMEM : 0;
}
