/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/dsk.h"

#include "base/cleanup.h"
#include "base/random.h"
#include "base/text.h"
#include "ms/hmac.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

enum {
    RECORD_HEAD = 5,
    RECORD_MAX = 16384, /* plain text of one */
    RECORD_HANDSHAKE = 22,
    RECORD_CHANGE_CIPHER = 20,
    EXPORT_LEN = 128,
    EXPORT_KEYS_AT = 64,
    MADE_KEY_BITS = 2048,
    MADE_DAYS = 3650,
};
static const char export_label[] = "client EAP encryption"; /* RFC 5216 2.3 has the same */

/*
 * SECLEVEL 0: TLS 1.0 signs with MD5 and SHA-1, which every higher level refuses. RSA key exchange is all the
 * clients offer; nothing that must stay secret goes through.
 */
static const char suites[] = "AES128-SHA:AES256-SHA:AES128-SHA256:AES256-SHA256:@SECLEVEL=0";

struct bk_dsk_side {
    SSL_CTX *ctx;
    bool server;
};

struct bk_dsk {
    SSL *ssl;
    BIO *in, *out; /* the SSL's */
    size_t bytes;
    int legs;
    bool done;
    const char *fault; /* set: failed */
};

/* ---- a side ---- */

/* Whoever holds the key is let through here; whose certificate it is the caller judges. */
static int take_any(X509_STORE_CTX *store, void *arg)
{
    (void)store;
    (void)arg;
    return 1;
}

static int read_chain(SSL_CTX *ctx, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    if (!bio)
        return -ENOMEM;
    int r = -EBADMSG;
    X509 *leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    if (leaf && SSL_CTX_use_certificate(ctx, leaf) == 1)
        r = 0;
    X509_free(leaf);
    for (X509 *above; r == 0 && (above = PEM_read_bio_X509(bio, NULL, NULL, NULL));)
        if (SSL_CTX_add0_chain_cert(ctx, above) != 1) {
            X509_free(above);
            r = -ENOMEM;
        }
    BIO_free(bio);
    ERR_clear_error(); /* the end of the file is one */
    return r;
}

static EVP_PKEY *read_key(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    return key;
}

static X509 *make_certificate(EVP_PKEY *key, const char *name, int64_t now_real_ms)
{
    X509 *cert = X509_new();
    uint64_t serial = bk_random_u64(&bk_random_system) >> 1;
    if (!cert)
        return NULL;
    time_t now = (time_t)(now_real_ms / 1000);
    X509_NAME *subject = X509_get_subject_name(cert);
    if (X509_set_version(cert, X509_VERSION_3) != 1 ||
        ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial) != 1 ||
        !X509_time_adj_ex(X509_getm_notBefore(cert), -1, 0, &now) ||
        !X509_time_adj_ex(X509_getm_notAfter(cert), MADE_DAYS, 0, &now) ||
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1,
                                   -1, 0) != 1 ||
        X509_set_issuer_name(cert, subject) != 1 || X509_set_pubkey(cert, key) != 1 ||
        X509_sign(cert, key, EVP_sha256()) == 0) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

/* A server without an RSA key of its own: RSA key exchange needs one. */
static int make_own(SSL_CTX *ctx, const struct bk_dsk_config *config)
{
    EVP_PKEY *key = EVP_RSA_gen(MADE_KEY_BITS);
    X509 *cert =
        key ? make_certificate(key, config->name ? config->name : "beckon", config->now_real_ms)
            : NULL;
    bool good =
        cert && SSL_CTX_use_certificate(ctx, cert) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1;
    X509_free(cert);
    EVP_PKEY_free(key);
    return good ? 0 : -ENOMEM;
}

static int take_keys(SSL_CTX *ctx, const struct bk_dsk_config *config)
{
    EVP_PKEY *key = NULL;
    if (config->key_pem && config->chain_pem) {
        key = read_key(config->key_pem);
        if (!key)
            return -EBADMSG;
        if (config->server && EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
            EVP_PKEY_free(key);
            key = NULL;
        }
    }
    if (!key)
        return config->server ? make_own(ctx, config) : 0;
    int r = read_chain(ctx, config->chain_pem);
    if (r == 0 && (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1))
        r = -EKEYREJECTED;
    EVP_PKEY_free(key);
    return r;
}

int bk_dsk_side_create(const struct bk_dsk_config *config, struct bk_dsk_side **ret)
{
    int min = config->tls_min ? config->tls_min : BK_DSK_TLS_1_0;
    int max = config->tls_max ? config->tls_max : BK_DSK_TLS_1_2;
    if (min > max || min < BK_DSK_TLS_1_0 || max > BK_DSK_TLS_1_2)
        return -EINVAL;
    struct bk_dsk_side *side = calloc(1, sizeof *side);
    if (!side)
        return -ENOMEM;
    side->server = config->server;
    side->ctx = SSL_CTX_new(config->server ? TLS_server_method() : TLS_client_method());
    int r = side->ctx && SSL_CTX_set_cipher_list(side->ctx, suites) == 1 &&
                    SSL_CTX_set_min_proto_version(side->ctx, min) == 1 &&
                    SSL_CTX_set_max_proto_version(side->ctx, max) == 1
                ? 0
                : -ENOMEM;
    if (r == 0) {
        SSL_CTX_set_options(side->ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                           SSL_OP_NO_COMPRESSION |
                                           SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION |
                                           SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS);
        SSL_CTX_set_session_cache_mode(side->ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_max_cert_list(side->ctx, BK_DSK_TOKEN_MAX);
        SSL_CTX_set_verify(side->ctx,
                           SSL_VERIFY_PEER | (config->server ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                           NULL);
        SSL_CTX_set_cert_verify_callback(side->ctx, take_any, NULL);
        /* What is shown is what was given, without a look into the system's roots. */
        SSL_CTX_set_mode(side->ctx, SSL_MODE_NO_AUTO_CHAIN);
        r = take_keys(side->ctx, config);
    }
    ERR_clear_error();
    if (r < 0) {
        bk_dsk_side_destroy(side);
        return r;
    }
    *ret = side;
    return 0;
}

struct bk_dsk_side *bk_dsk_side_destroy(struct bk_dsk_side *side)
{
    if (side)
        SSL_CTX_free(side->ctx);
    free(side);
    return NULL;
}

/* ---- one handshake ---- */

int bk_dsk_begin(const struct bk_dsk_side *side, struct bk_dsk **ret)
{
    struct bk_dsk *dsk = calloc(1, sizeof *dsk);
    if (!dsk)
        return -ENOMEM;
    dsk->ssl = SSL_new(side->ctx);
    dsk->in = BIO_new(BIO_s_mem());
    dsk->out = BIO_new(BIO_s_mem());
    if (!dsk->ssl || !dsk->in || !dsk->out) {
        BIO_free(dsk->in);
        BIO_free(dsk->out);
        SSL_free(dsk->ssl);
        free(dsk);
        return -ENOMEM;
    }
    SSL_set_bio(dsk->ssl, dsk->in, dsk->out);
    if (side->server)
        SSL_set_accept_state(dsk->ssl);
    else
        SSL_set_connect_state(dsk->ssl);
    *ret = dsk;
    return 0;
}

struct bk_dsk *bk_dsk_destroy(struct bk_dsk *dsk)
{
    if (dsk)
        SSL_free(dsk->ssl); /* and both BIOs */
    free(dsk);
    return NULL;
}

/* Writes the head of the record that holds what was added since `at`. */
static void close_record(struct bk_buf *to, size_t at)
{
    if (to->failed || at == SIZE_MAX)
        return;
    size_t len = to->len - at - RECORD_HEAD;
    to->at[at + 3] = (char)(len >> 8);
    to->at[at + 4] = (char)len;
}

int bk_dsk_merge(struct bk_view records, struct bk_buf *to)
{
    size_t open = SIZE_MAX, open_len = 0; /* the handshake record that can still grow */
    bool plain = true;                    /* before ChangeCipherSpec */
    while (records.len) {
        if (records.len < RECORD_HEAD)
            return -EBADMSG;
        size_t len = (size_t)(uint8_t)records.at[3] << 8 | (uint8_t)records.at[4];
        uint8_t type = (uint8_t)records.at[0];
        if (len > records.len - RECORD_HEAD)
            return -EBADMSG;
        bool grows = open != SIZE_MAX && type == RECORD_HANDSHAKE && open_len + len <= RECORD_MAX;
        if (grows) {
            bk_buf_add(to, records.at + RECORD_HEAD, len);
            open_len += len;
        } else {
            close_record(to, open);
            plain &= type != RECORD_CHANGE_CIPHER;
            open = type == RECORD_HANDSHAKE && plain ? to->len : SIZE_MAX;
            open_len = len;
            bk_buf_add(to, records.at, RECORD_HEAD + len);
        }
        records = bk_view_skip(records, RECORD_HEAD + len);
    }
    close_record(to, open);
    return to->failed ? -ENOMEM : 0;
}

static enum bk_dsk_step fail(struct bk_dsk *dsk, const char *why)
{
    dsk->fault = why;
    return BK_DSK_FAILED;
}

/* A text that lives as long as the library: its own table of reasons. */
static const char *library_fault(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    return text ? text : "the handshake failed";
}

enum bk_dsk_step bk_dsk_step(struct bk_dsk *dsk, struct bk_view in, struct bk_buf *ret_out)
{
    if (dsk->fault)
        return BK_DSK_FAILED;
    if (dsk->done)
        return in.len ? fail(dsk, "a leg after the last") : BK_DSK_DONE;
    if (in.len > BK_DSK_TOKEN_MAX || in.len > BK_DSK_BYTES_MAX - dsk->bytes)
        return fail(dsk, "too many bytes");
    if (++dsk->legs > BK_DSK_LEGS_MAX)
        return fail(dsk, "too many legs");
    dsk->bytes += in.len;
    ERR_clear_error();
    if (in.len && BIO_write(dsk->in, in.at, (int)in.len) != (int)in.len)
        return fail(dsk, "out of memory");
    int r = SSL_do_handshake(dsk->ssl);
    if (r != 1 && SSL_get_error(dsk->ssl, r) != SSL_ERROR_WANT_READ) {
        const char *why = library_fault();
        ERR_clear_error();
        return fail(dsk, why);
    }
    dsk->done = r == 1;
    char *at = NULL;
    long len = BIO_get_mem_data(dsk->out, &at);
    if (!dsk->done && len <= 0 && dsk->legs > 2)
        return fail(dsk, "legs without progress");
    size_t before = ret_out->len;
    if (len > 0 && bk_dsk_merge((struct bk_view){ at, (size_t)len }, ret_out) < 0) {
        ret_out->len = before;
        return fail(dsk, "out of memory");
    }
    (void)BIO_reset(dsk->out);
    return dsk->done ? BK_DSK_DONE : BK_DSK_GOES_ON;
}

const char *bk_dsk_fault(const struct bk_dsk *dsk)
{
    return dsk->fault ? dsk->fault : "";
}

int bk_dsk_keys(const struct bk_dsk *dsk, struct bk_dsk_keys *ret)
{
    uint8_t all[EXPORT_LEN];
    if (!dsk->done || dsk->fault)
        return -EPROTO;
    int good = SSL_export_keying_material(dsk->ssl, all, sizeof all, export_label,
                                          sizeof export_label - 1, NULL, 0, 0);
    if (good == 1) {
        memcpy(ret->to_server, all + EXPORT_KEYS_AT, BK_DSK_KEY_SIZE);
        memcpy(ret->to_client, all + EXPORT_KEYS_AT + BK_DSK_KEY_SIZE, BK_DSK_KEY_SIZE);
    }
    bk_wipe(all, sizeof all);
    return good == 1 ? 0 : -EPROTO;
}

int bk_dsk_peer_certificate(const struct bk_dsk *dsk, struct bk_buf *ret_der)
{
    X509 *cert = dsk->done ? SSL_get0_peer_certificate(dsk->ssl) : NULL;
    unsigned char *der = NULL;
    int len = cert ? i2d_X509(cert, &der) : 0;
    if (len <= 0)
        return -ENOENT;
    bk_buf_add(ret_der, der, (size_t)len);
    OPENSSL_free(der);
    return ret_der->failed ? -ENOMEM : 0;
}

const char *bk_dsk_version(const struct bk_dsk *dsk)
{
    return SSL_get_version(dsk->ssl);
}

const char *bk_dsk_cipher(const struct bk_dsk *dsk)
{
    return SSL_get_cipher_name(dsk->ssl);
}

void bk_dsk_mac(const uint8_t key[BK_DSK_KEY_SIZE], struct bk_view text,
                uint8_t ret[BK_DSK_MAC_SIZE])
{
    struct bk_hmac hmac;
    bk_hmac_init(&hmac, BK_HMAC_SHA1, key, BK_DSK_KEY_SIZE);
    bk_hmac_sum(&hmac, text, (struct bk_view){ 0 }, ret);
    bk_wipe(&hmac, sizeof hmac);
}
