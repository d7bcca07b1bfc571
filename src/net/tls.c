/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL 3 behind handshake, open and seal. All connections of a thread share one BIO (a socket
 * BIO each would cost 230 bytes); which connection it stands for is set before each call. It
 * sends with MSG_NOSIGNAL, which OpenSSL's own socket BIO does not.
 */
#include "net/tls.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "net/conn.h"
#include "net/tls_private.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* AES-128 first: on processors with AES instructions it is the cheapest, and SHA-256 the cheapest key schedule. */
static const char suites_13[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
static const char suites_12[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                                "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                                "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

enum { CERT_LIST_MAX = 16 * 1024, ALPN_MAX = 256, PEM_FILE_MAX = 1 << 20 };

struct bk_tls_server {
    atomic_uint refs;
    SSL_CTX *ctx;
    unsigned char alpn[ALPN_MAX]; /* wire form: length, name, ... */
    size_t alpn_len;
};

struct bk_tls_client {
    atomic_uint refs;
    SSL_CTX *ctx;
    int64_t (*real_ms)(void *ctx);
    void *real_ms_ctx;
    pthread_mutex_t lock;
    bool wants_system_roots; /* and has not read them yet; under the lock */
};

struct bk_tls {
    SSL *ssl;
    struct bk_tls_server *server; /* until the handshake is done: on_alpn reads it */
    char *detail;                 /* NULL: nothing is wrong */
    int fd;
    int socket_error;
    uint32_t bytes_in;
    uint8_t fault; /* enum bk_tls_fault */
    bool client, shaken;
};

/* ---- the BIO of this thread ---- */

static _Thread_local struct bk_tls *thread_tls; /* whom the call is for */
static _Thread_local BIO *thread_bio;
static BIO_METHOD *bio_method;
static pthread_key_t bio_key; /* frees the thread's BIO with the thread */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool would_block(int e)
{
    return e == EAGAIN || e == EWOULDBLOCK || e == EINTR;
}

static int socket_failed(BIO *bio, bool reading)
{
    if (would_block(errno)) {
        if (reading)
            BIO_set_retry_read(bio);
        else
            BIO_set_retry_write(bio);
    } else {
        thread_tls->socket_error = errno;
    }
    return -1;
}

static int bio_read(BIO *bio, char *to, int size)
{
    BIO_clear_retry_flags(bio);
    ssize_t n = recv(thread_tls->fd, to, (size_t)size, 0);
    if (n < 0)
        return socket_failed(bio, true);
    if (n == 0)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    thread_tls->bytes_in += (uint32_t)n;
    return (int)n;
}

static int bio_write(BIO *bio, const char *at, int size)
{
    BIO_clear_retry_flags(bio);
    ssize_t n = send(thread_tls->fd, at, (size_t)size, MSG_NOSIGNAL);
    return n < 0 ? socket_failed(bio, false) : (int)n;
}

static long bio_ctrl(BIO *bio, int what, long n, void *arg)
{
    (void)n;
    (void)arg;
    switch (what) {
    case BIO_CTRL_EOF:
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    case BIO_CTRL_FLUSH:
        return 1;
    default:
        return 0;
    }
}

static void free_thread_bio(void *bio)
{
    BIO_free(bio);
}

static void init_once(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "beckon socket");
    if (bio_method &&
        !(BIO_meth_set_read(bio_method, bio_read) && BIO_meth_set_write(bio_method, bio_write) &&
          BIO_meth_set_ctrl(bio_method, bio_ctrl))) {
        BIO_meth_free(bio_method);
        bio_method = NULL;
    }
    if (pthread_key_create(&bio_key, free_thread_bio) != 0) {
        BIO_meth_free(bio_method);
        bio_method = NULL;
    }
}

static BIO *bio_of_thread(void)
{
    if (thread_bio)
        return thread_bio;
    pthread_once(&once, init_once);
    BIO *bio = bio_method ? BIO_new(bio_method) : NULL;
    if (!bio)
        return NULL;
    BIO_set_init(bio, 1);
    if (pthread_setspecific(bio_key, bio) != 0) {
        BIO_free(bio);
        return NULL;
    }
    thread_bio = bio;
    return bio;
}

/* The BIO of this thread stands for t from now on. A connection that came from another thread changes its BIO here. */
static bool take_bio(struct bk_tls *t)
{
    if (SSL_get_rbio(t->ssl) != thread_bio || !thread_bio) {
        BIO *bio = bio_of_thread();
        if (!bio)
            return false;
        BIO_up_ref(bio);
        BIO_up_ref(bio);
        SSL_set0_rbio(t->ssl, bio);
        SSL_set0_wbio(t->ssl, bio);
    }
    BIO_clear_flags(thread_bio, BIO_FLAGS_IN_EOF);
    thread_tls = t;
    return true;
}

/* ---- faults ---- */

static const char *const fault_texts[] = {
    [BK_TLS_OK] = "nothing is wrong",
    [BK_TLS_EXPIRED] = "the certificate has expired",
    [BK_TLS_NOT_YET_VALID] = "the certificate is not valid yet",
    [BK_TLS_WRONG_NAME] = "the certificate is for another name",
    [BK_TLS_CHAIN_INCOMPLETE] = "an intermediate certificate is missing",
    [BK_TLS_UNKNOWN_ROOT] = "the certificate comes from an authority that is not trusted here",
    [BK_TLS_SELF_SIGNED] = "the certificate is self-signed",
    [BK_TLS_REVOKED] = "the certificate was revoked",
    [BK_TLS_WEAK] = "the certificate's key or signature is too weak",
    [BK_TLS_NO_COMMON_VERSION] = "no TLS version or cipher in common",
    [BK_TLS_NOT_TLS] = "the other side does not speak TLS",
    [BK_TLS_CLIENT_REJECTED] = "the other side refused our certificate",
    [BK_TLS_OTHER] = "TLS failed",
};

const char *bk_tls_fault_text(enum bk_tls_fault fault)
{
    return (size_t)fault < BK_COUNT_OF(fault_texts) ? fault_texts[fault] : "unknown";
}

static void set_detail(struct bk_tls *t, struct bk_buf *text)
{
    const char *s = bk_buf_cstr(text);
    free(t->detail);
    t->detail = s ? strdup(s) : NULL;
}

static void set_fault(struct bk_tls *t, enum bk_tls_fault fault, const char *text)
{
    if (t->fault != BK_TLS_OK)
        return;
    t->fault = (uint8_t)fault;
    free(t->detail);
    t->detail = strdup(text);
}

static enum bk_tls_fault fault_of_reason(unsigned long e)
{
    if (ERR_GET_LIB(e) != ERR_LIB_SSL)
        return BK_TLS_OTHER;
    switch (ERR_GET_REASON(e)) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_UNKNOWN_SSL_VERSION:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
        return BK_TLS_NO_COMMON_VERSION;
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_RECORD_LENGTH_MISMATCH:
        return BK_TLS_NOT_TLS;
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_NO_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        return BK_TLS_CLIENT_REJECTED;
    case SSL_R_EE_KEY_TOO_SMALL:
    case SSL_R_CA_KEY_TOO_SMALL:
    case SSL_R_CA_MD_TOO_WEAK:
    case SSL_R_DH_KEY_TOO_SMALL:
        return BK_TLS_WEAK;
    default:
        return BK_TLS_OTHER;
    }
}

/* The first error in the queue is the cause; verification already said more where it was one. */
static void fault_from_queue(struct bk_tls *t)
{
    unsigned long e = ERR_get_error();
    char text[256] = "no reason given";
    if (e)
        ERR_error_string_n(e, text, sizeof text);
    set_fault(t, e ? fault_of_reason(e) : BK_TLS_OTHER, text);
    ERR_clear_error();
}

static enum bk_tls_fault fault_of_verify(int e)
{
    switch (e) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return BK_TLS_EXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return BK_TLS_NOT_YET_VALID;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return BK_TLS_WRONG_NAME;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return BK_TLS_SELF_SIGNED;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
        return BK_TLS_UNKNOWN_ROOT;
    case X509_V_ERR_CERT_REVOKED:
        return BK_TLS_REVOKED;
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK:
        return BK_TLS_WEAK;
    default:
        return BK_TLS_OTHER;
    }
}

static bool says_where_issuer_is(const X509 *cert)
{
    bool says = false;
    AUTHORITY_INFO_ACCESS *access = X509_get_ext_d2i(cert, NID_info_access, NULL, NULL);
    for (int i = 0; access && i < sk_ACCESS_DESCRIPTION_num(access); i++)
        says |= OBJ_obj2nid(sk_ACCESS_DESCRIPTION_value(access, i)->method) == NID_ad_ca_issuers;
    AUTHORITY_INFO_ACCESS_free(access);
    return says;
}

static const ASN1_STRING *organisation(const X509_NAME *name)
{
    int at = X509_NAME_get_index_by_NID(name, NID_organizationName, -1);
    return at < 0 ? NULL : X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
}

/* One of the roots we trust belongs to the organisation that signed cert. */
static bool issuer_is_related(X509_STORE_CTX *store, const X509 *cert)
{
    const ASN1_STRING *wanted = organisation(X509_get_issuer_name(cert));
    if (!wanted || ASN1_STRING_length(wanted) == 0)
        return false;
    STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(X509_STORE_CTX_get0_store(store));
    for (int i = 0; i < sk_X509_OBJECT_num(all); i++) {
        X509 *root = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(all, i));
        const ASN1_STRING *has = root ? organisation(X509_get_subject_name(root)) : NULL;
        if (has && ASN1_STRING_cmp(has, wanted) == 0)
            return true;
    }
    return false;
}

/*
 * The issuer of the last certificate we have is not known here: either an intermediate was not
 * sent, or the root is not trusted. Nothing in the bytes tells for certain. Taken for a missing
 * intermediate: the server's own certificate says where its issuer is to be had (RFC 5280
 * 4.2.2.1; what public authorities sign does), or the issuer bears the organisation of a root we
 * trust.
 */
static enum bk_tls_fault fault_of_missing_issuer(X509_STORE_CTX *store)
{
    const X509 *last = X509_STORE_CTX_get_current_cert(store);
    if (!last)
        return BK_TLS_UNKNOWN_ROOT;
    bool leaf = X509_STORE_CTX_get_error_depth(store) == 0;
    if ((leaf && says_where_issuer_is(last)) || issuer_is_related(store, last))
        return BK_TLS_CHAIN_INCOMPLETE;
    return BK_TLS_UNKNOWN_ROOT;
}

static void add_name(struct bk_buf *to, const char *label, X509_NAME *name)
{
    char text[256];
    X509_NAME_oneline(name, text, sizeof text);
    bk_buf_addf(to, "; %s %s", label, text);
}

static void add_time(struct bk_buf *to, const char *label, const ASN1_TIME *time)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(time, &tm) == 1)
        bk_buf_addf(to, "; %s %04d-%02d-%02dT%02d:%02d:%02dZ", label, tm.tm_year + 1900,
                    tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void add_names(struct bk_buf *to, X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int shown = 0;
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names) && shown < 8; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DNS)
            continue;
        const ASN1_IA5STRING *s = name->d.dNSName;
        bk_buf_add_str(to, shown++ ? ", " : "; valid for ");
        bk_buf_add(to, ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
    }
    GENERAL_NAMES_free(names);
}

static int on_verify(int ok, X509_STORE_CTX *store)
{
    if (ok)
        return 1;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct bk_tls *t = ssl ? SSL_get_app_data(ssl) : NULL;
    if (!t || t->fault != BK_TLS_OK)
        return 0;
    int e = X509_STORE_CTX_get_error(store);
    switch (e) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        t->fault = (uint8_t)fault_of_missing_issuer(store);
        break;
    default:
        t->fault = (uint8_t)fault_of_verify(e);
    }
    BK_AUTO_BUF struct bk_buf text = { 0 };
    bk_buf_addf(&text, "%s (depth %d)", X509_verify_cert_error_string(e),
                X509_STORE_CTX_get_error_depth(store));
    X509 *cert = X509_STORE_CTX_get_current_cert(store);
    if (cert) {
        add_name(&text, "subject", X509_get_subject_name(cert));
        add_name(&text, "issuer", X509_get_issuer_name(cert));
        add_time(&text, "not before", X509_get0_notBefore(cert));
        add_time(&text, "not after", X509_get0_notAfter(cert));
        add_names(&text, cert);
    }
    set_detail(t, &text);
    return 0;
}

/* ---- contexts ---- */

static int why(char **ret_why, int r, const char *what, const char *file)
{
    unsigned long e = ERR_get_error();
    char lib[256] = "";
    if (e)
        ERR_error_string_n(e, lib, sizeof lib);
    ERR_clear_error();
    BK_AUTO_BUF struct bk_buf text = { 0 };
    if (file)
        bk_buf_addf(&text, "%s: ", file);
    bk_buf_add_str(&text, what);
    if (lib[0])
        bk_buf_addf(&text, " (%s)", lib);
    const char *s = bk_buf_cstr(&text);
    if (ret_why)
        *ret_why = s ? strdup(s) : NULL;
    return r;
}

/* -ENOENT and -EACCES before OpenSSL tells them as one "system lib". */
static int can_read(const char *file, char **ret_why)
{
    FILE *f = fopen(file, "re");
    if (!f) {
        int e = errno;
        return why(ret_why, -e, strerror(e), file);
    }
    fclose(f);
    return 0;
}

static SSL_CTX *context_new(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx)
        return NULL;
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_max_cert_list(ctx, CERT_LIST_MAX);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, suites_13) != 1 ||
        SSL_CTX_set_cipher_list(ctx, suites_12) != 1 ||
        SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static int alpn_wire(const char *const *names, unsigned char to[ALPN_MAX], size_t *ret_len)
{
    size_t len = 0;
    for (; names && *names; names++) {
        size_t n = strlen(*names);
        if (n == 0 || n > 255 || len + 1 + n > ALPN_MAX)
            return -EINVAL;
        to[len++] = (unsigned char)n;
        memcpy(to + len, *names, n);
        len += n;
    }
    *ret_len = len;
    return 0;
}

/* Where a name stands in an ALPN list; NULL: not there, also in a list that is cut off. */
static const unsigned char *alpn_find(const unsigned char *list, size_t len,
                                      const unsigned char *name, size_t name_len)
{
    for (size_t at = 0; at < len && len - at > list[at]; at += 1 + (size_t)list[at])
        if (list[at] == name_len && memcmp(list + at + 1, name, name_len) == 0)
            return list + at + 1;
    return NULL;
}

static int on_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                   const unsigned char *offered, unsigned int offered_len, void *arg)
{
    const struct bk_tls_server *tls = arg;
    static const unsigned char beckon[] = { 'b', 'e', 'c', 'k', 'o', 'n' };
    if (alpn_find(offered, offered_len, beckon, sizeof beckon) &&
        alpn_find(tls->alpn, tls->alpn_len, beckon, sizeof beckon))
        SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);

    for (size_t at = 0; at < tls->alpn_len; at += 1 + (size_t)tls->alpn[at]) {
        unsigned char len = tls->alpn[at];
        const unsigned char *found = alpn_find(offered, offered_len, tls->alpn + at + 1, len);
        if (!found)
            continue;
        *ret = found;
        *ret_len = len;
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK; /* we go on without */
}

/* Who shows a certificate proves to have its key. The rest is judged where a refusal can say why. */
static int take_any(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

int bk_tls_server_create(const struct bk_tls_server_config *config, struct bk_tls_server **ret,
                         char **ret_why)
{
    BK_CLEANUP(bk_cleanup_free) char *unwanted = NULL;
    if (!ret_why)
        ret_why = &unwanted;
    struct bk_tls_server *tls = calloc(1, sizeof *tls);
    if (!tls)
        return -ENOMEM;
    atomic_init(&tls->refs, 1);
    ERR_clear_error();
    int r = alpn_wire(config->alpn, tls->alpn, &tls->alpn_len);
    if (r < 0) {
        why(ret_why, r, "ALPN names too long", NULL);
        goto fail;
    }
    r = can_read(config->chain_file, ret_why);
    if (r < 0)
        goto fail;
    r = can_read(config->key_file, ret_why);
    if (r < 0)
        goto fail;
    tls->ctx = context_new(TLS_server_method());
    if (!tls->ctx) {
        r = why(ret_why, -ENOMEM, "no TLS context", NULL);
        goto fail;
    }
    SSL_CTX_set_options(tls->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    if (SSL_CTX_use_certificate_chain_file(tls->ctx, config->chain_file) != 1) {
        r = why(ret_why, -EBADMSG, "no certificate chain in PEM", config->chain_file);
        goto fail;
    }
    if (SSL_CTX_use_PrivateKey_file(tls->ctx, config->key_file, SSL_FILETYPE_PEM) != 1) {
        unsigned long e = ERR_peek_error();
        bool misfit = ERR_GET_LIB(e) == ERR_LIB_X509; /* key values or key type mismatch */
        r = misfit ? why(ret_why, -EKEYREJECTED, "the key does not fit the certificate",
                         config->key_file)
                   : why(ret_why, -EBADMSG, "no private key in PEM", config->key_file);
        goto fail;
    }
    if (SSL_CTX_check_private_key(tls->ctx) != 1) {
        r = why(ret_why, -EKEYREJECTED, "the key does not fit the certificate", config->key_file);
        goto fail;
    }
    SSL_CTX_set_alpn_select_cb(tls->ctx, on_alpn, tls);
    SSL_CTX_set_cert_verify_callback(tls->ctx, take_any, NULL);
    SSL_CTX_set_verify(tls->ctx, config->ask_certificate_always ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                       NULL);
    *ret = tls;
    return 0;
fail:
    bk_tls_server_unref(tls);
    return r;
}

struct bk_tls_server *bk_tls_server_ref(struct bk_tls_server *tls)
{
    if (tls)
        atomic_fetch_add_explicit(&tls->refs, 1, memory_order_relaxed);
    return tls;
}

struct bk_tls_server *bk_tls_server_unref(struct bk_tls_server *tls)
{
    if (tls && atomic_fetch_sub_explicit(&tls->refs, 1, memory_order_acq_rel) == 1) {
        SSL_CTX_free(tls->ctx);
        free(tls);
    }
    return NULL;
}

X509 *bk_tls_server_certificate(const struct bk_tls_server *tls)
{
    return SSL_CTX_get0_certificate(tls->ctx);
}

static int no_passphrase(char *to, int size, int rw, void *arg)
{
    (void)to;
    (void)size;
    (void)rw;
    (void)arg;
    return -1; /* never ask on the terminal */
}

static int use_cert_pem(SSL_CTX *ctx, const char *cert_pem, const char *key_pem, char **ret_why)
{
    int r = 0;
    BIO *certs = BIO_new_mem_buf(cert_pem, -1);
    BIO *keys = BIO_new_mem_buf(key_pem, -1);
    X509 *leaf = certs ? PEM_read_bio_X509(certs, NULL, no_passphrase, NULL) : NULL;
    EVP_PKEY *key = keys ? PEM_read_bio_PrivateKey(keys, NULL, no_passphrase, NULL) : NULL;
    if (!leaf || SSL_CTX_use_certificate(ctx, leaf) != 1)
        r = why(ret_why, -EBADMSG, "no client certificate in PEM", NULL);
    else if (!key)
        r = why(ret_why, -EBADMSG, "no client key in PEM", NULL);
    else if (SSL_CTX_use_PrivateKey(ctx, key) != 1)
        r = why(ret_why, -EKEYREJECTED, "the client key does not fit the certificate", NULL);
    for (X509 *more; r == 0 && (more = PEM_read_bio_X509(certs, NULL, no_passphrase, NULL));)
        if (SSL_CTX_add0_chain_cert(ctx, more) != 1) {
            X509_free(more);
            r = why(ret_why, -ENOMEM, "client certificate chain", NULL);
        }
    ERR_clear_error(); /* of the end of the PEM */
    X509_free(leaf);
    EVP_PKEY_free(key);
    BIO_free(certs);
    BIO_free(keys);
    return r;
}

static bool file_holds_something(const char *path)
{
    struct stat st;
    return path && stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
           access(path, R_OK) == 0;
}

static bool folder_holds_something(const char *path)
{
    DIR *dir = path ? opendir(path) : NULL;
    bool found = false;
    for (struct dirent *entry; dir && !found && (entry = readdir(dir));)
        found = entry->d_name[0] != '.';
    if (dir)
        (void)closedir(dir);
    return found;
}

bool bk_tls_system_has_roots(void)
{
    const char *file = secure_getenv(X509_get_default_cert_file_env());
    const char *dir = secure_getenv(X509_get_default_cert_dir_env());
    return file_holds_something(file ? file : X509_get_default_cert_file()) ||
           folder_holds_something(dir ? dir : X509_get_default_cert_dir());
}

/*
 * Does it hold a whole set of roots, each under the hash of its name (openssl-rehash(1)): "4042bcee.0"? A few are what an
 * administrator added beside the one file that has the others.
 */
static bool folder_is_hashed(const char *path)
{
    enum { HASH_LEN = 8, WHOLE_SET = 50 };
    DIR *dir = opendir(path);
    int found = 0;
    for (struct dirent *entry; dir && found < WHOLE_SET && (entry = readdir(dir));)
        found += strspn(entry->d_name, "0123456789abcdef") == HASH_LEN &&
                 entry->d_name[HASH_LEN] == '.' && entry->d_name[HASH_LEN + 1] >= '0' &&
                 entry->d_name[HASH_LEN + 1] <= '9';
    if (dir)
        (void)closedir(dir);
    return found == WHOLE_SET;
}

/*
 * Most systems have the same roots twice: one file with all, and a folder with each under its hash. The file is parsed
 * whole for each context (140 certificates, tens of milliseconds); of the folder only what a chain needs is read.
 */
static bool use_system_roots(SSL_CTX *ctx)
{
    bool told = secure_getenv(X509_get_default_cert_file_env()) ||
                secure_getenv(X509_get_default_cert_dir_env());
    if (!told && folder_is_hashed(X509_get_default_cert_dir()))
        return SSL_CTX_set_default_verify_dir(ctx) == 1;
    return SSL_CTX_set_default_verify_paths(ctx) == 1;
}

static int use_roots(SSL_CTX *ctx, const struct bk_tls_client_config *config, char **ret_why)
{
    if (!config->ca_file)
        return 0;
    int r = can_read(config->ca_file, ret_why);
    if (r < 0)
        return r;
    if (SSL_CTX_load_verify_file(ctx, config->ca_file) != 1)
        return why(ret_why, -EBADMSG, "no certificates in PEM", config->ca_file);
    return 0;
}

static int use_client_cert(SSL_CTX *ctx, const struct bk_tls_client_config *config, char **ret_why)
{
    if (config->cert_pem && config->key_pem)
        return use_cert_pem(ctx, config->cert_pem, config->key_pem, ret_why);
    if (!config->cert_file)
        return 0;
    BK_AUTO_BUF struct bk_buf cert = { 0 };
    BK_AUTO_BUF struct bk_buf key = { 0 };
    const char *key_file = config->key_file ? config->key_file : config->cert_file;
    int r = bk_file_read(config->cert_file, PEM_FILE_MAX, &cert);
    if (r < 0)
        return why(ret_why, r, strerror(-r), config->cert_file);
    r = bk_file_read(key_file, PEM_FILE_MAX, &key);
    if (r < 0)
        return why(ret_why, r, strerror(-r), key_file);
    const char *cert_pem = bk_buf_cstr(&cert), *key_pem = bk_buf_cstr(&key);
    if (!cert_pem || !key_pem)
        return -ENOMEM;
    r = use_cert_pem(ctx, cert_pem, key_pem, ret_why);
    bk_wipe(key.at, key.cap);
    return r;
}

int bk_tls_client_create(const struct bk_tls_client_config *config, struct bk_tls_client **ret,
                         char **ret_why)
{
    BK_CLEANUP(bk_cleanup_free) char *unwanted = NULL;
    if (!ret_why)
        ret_why = &unwanted;
    struct bk_tls_client *tls = calloc(1, sizeof *tls);
    if (!tls)
        return -ENOMEM;
    atomic_init(&tls->refs, 1);
    pthread_mutex_init(&tls->lock, NULL);
    tls->wants_system_roots = !config->only_ca_file;
    tls->real_ms = config->real_ms;
    tls->real_ms_ctx = config->real_ms_ctx;
    ERR_clear_error();
    unsigned char alpn[ALPN_MAX];
    size_t alpn_len = 0;
    int r;
    tls->ctx = context_new(TLS_client_method());
    if (!tls->ctx)
        r = why(ret_why, -ENOMEM, "no TLS context", NULL);
    else if ((r = alpn_wire(config->alpn, alpn, &alpn_len)) < 0)
        why(ret_why, r, "ALPN names too long", NULL);
    else if ((r = use_roots(tls->ctx, config, ret_why)) == 0)
        r = use_client_cert(tls->ctx, config, ret_why);
    if (r == 0 && alpn_len && SSL_CTX_set_alpn_protos(tls->ctx, alpn, (unsigned)alpn_len) != 0)
        r = why(ret_why, -ENOMEM, "ALPN", NULL);
    if (r < 0) {
        bk_tls_client_unref(tls);
        return r;
    }
    SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, on_verify);
    *ret = tls;
    return 0;
}

struct bk_tls_client *bk_tls_client_ref(struct bk_tls_client *tls)
{
    if (tls)
        atomic_fetch_add_explicit(&tls->refs, 1, memory_order_relaxed);
    return tls;
}

struct bk_tls_client *bk_tls_client_unref(struct bk_tls_client *tls)
{
    if (tls && atomic_fetch_sub_explicit(&tls->refs, 1, memory_order_acq_rel) == 1) {
        SSL_CTX_free(tls->ctx);
        pthread_mutex_destroy(&tls->lock);
        free(tls);
    }
    return NULL;
}

/*
 * The roots of the system are read by the first connection and on its thread: who makes a context for later, as a program
 * with windows does at its start, does not wait for them.
 */
static bool know_system_roots(struct bk_tls_client *tls)
{
    (void)pthread_mutex_lock(&tls->lock);
    bool known = !tls->wants_system_roots || use_system_roots(tls->ctx);
    if (known)
        tls->wants_system_roots = false;
    (void)pthread_mutex_unlock(&tls->lock);
    ERR_clear_error(); /* of a file that is not there */
    return known;
}

/* ---- one connection ---- */

/*
 * SSL_get_error() takes whatever is in the thread's queue for the fault of the call before it, so the queue must be empty
 * before each. It nearly always is, and emptying it costs as much as a tenth of a record.
 */
static void forget_errors(void)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

static int tls_new(SSL_CTX *ctx, int fd, bool client, struct bk_tls **ret)
{
    struct bk_tls *t = calloc(1, sizeof *t);
    if (!t)
        return -ENOMEM;
    t->fd = fd;
    t->client = client;
    t->ssl = SSL_new(ctx);
    if (!t->ssl || !take_bio(t)) {
        ERR_clear_error();
        bk_tls_destroy(t);
        return -ENOMEM;
    }
    SSL_set_app_data(t->ssl, t);
    *ret = t;
    return 0;
}

int bk_tls_accept(struct bk_tls_server *tls, int fd, struct bk_tls **ret)
{
    struct bk_tls *t;
    int r = tls_new(tls->ctx, fd, false, &t);
    if (r < 0)
        return r;
    t->server = bk_tls_server_ref(tls);
    SSL_set_accept_state(t->ssl);
    *ret = t;
    return 0;
}

static bool set_name(SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    struct bk_addr literal;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (bk_addr_parse(name, 0, &literal) == 0)
        return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
    return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 &&
           SSL_set_tlsext_host_name(ssl, name) == 1;
}

int bk_tls_connect(struct bk_tls_client *tls, int fd, const char *name, struct bk_tls **ret)
{
    if (!name || !*name)
        return -EINVAL;
    struct bk_tls *t;
    if (!know_system_roots(tls))
        return -ENOMEM;
    int r = tls_new(tls->ctx, fd, true, &t);
    if (r < 0)
        return r;
    if (!set_name(t->ssl, name)) {
        ERR_clear_error();
        bk_tls_destroy(t);
        return -EINVAL;
    }
    if (tls->real_ms)
        X509_VERIFY_PARAM_set_time(SSL_get0_param(t->ssl),
                                   (time_t)(tls->real_ms(tls->real_ms_ctx) / 1000));
    SSL_set_connect_state(t->ssl);
    *ret = t;
    return 0;
}

struct bk_tls *bk_tls_destroy(struct bk_tls *t)
{
    if (!t)
        return NULL;
    SSL_free(t->ssl);
    bk_tls_server_unref(t->server);
    if (thread_tls == t)
        thread_tls = NULL;
    free(t->detail);
    free(t);
    return NULL;
}

/* What a failed call means; n is what it returned. */
static enum bk_tls_step step_of(struct bk_tls *t, int n)
{
    switch (SSL_get_error(t->ssl, n)) {
    case SSL_ERROR_WANT_READ:
        return BK_TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return BK_TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return BK_TLS_CLOSED;
    case SSL_ERROR_SYSCALL:
        ERR_clear_error();
        return BK_TLS_CLOSED;
    case SSL_ERROR_SSL:
        if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
            ERR_clear_error(); /* TCP ended without a close_notify */
            return BK_TLS_CLOSED;
        }
        fault_from_queue(t);
        return BK_TLS_FAILED;
    default:
        fault_from_queue(t);
        return BK_TLS_FAILED;
    }
}

static enum bk_tls_step out_of_memory(struct bk_tls *t)
{
    set_fault(t, BK_TLS_OTHER, "out of memory");
    return BK_TLS_FAILED;
}

enum bk_tls_step bk_tls_handshake(struct bk_tls *t)
{
    if (!take_bio(t))
        return out_of_memory(t);
    ERR_clear_error();
    int n = SSL_do_handshake(t->ssl);
    if (n == 1) {
        t->shaken = true;
        t->server = bk_tls_server_unref(t->server);
        return BK_TLS_DONE;
    }
    enum bk_tls_step step = step_of(t, n);
    if (step == BK_TLS_CLOSED)
        set_fault(t, BK_TLS_OTHER, "the other side closed during the TLS handshake");
    return step;
}

enum bk_tls_step bk_tls_read(struct bk_tls *t, void *to, size_t size, size_t *ret_n)
{
    if (!take_bio(t))
        return out_of_memory(t);
    forget_errors();
    size_t n = 0;
    int r = SSL_read_ex(t->ssl, to, size, &n);
    if (r == 1) {
        *ret_n = n;
        return BK_TLS_DONE;
    }
    return step_of(t, r);
}

enum bk_tls_step bk_tls_write(struct bk_tls *t, const void *at, size_t size, size_t *ret_n)
{
    if (!take_bio(t))
        return out_of_memory(t);
    forget_errors();
    size_t n = 0;
    int r = SSL_write_ex(t->ssl, at, size, &n);
    if (r == 1) {
        *ret_n = n;
        return BK_TLS_DONE;
    }
    return step_of(t, r);
}

bool bk_tls_pending(const struct bk_tls *t)
{
    return SSL_has_pending(t->ssl);
}

void bk_tls_shutdown(struct bk_tls *t)
{
    if (!t->shaken || t->fault != BK_TLS_OK || !take_bio(t))
        return;
    ERR_clear_error();
    SSL_shutdown(t->ssl);
    ERR_clear_error();
}

enum bk_tls_fault bk_tls_fault(const struct bk_tls *t)
{
    return (enum bk_tls_fault)t->fault;
}

const char *bk_tls_fault_detail(const struct bk_tls *t)
{
    return t->detail ? t->detail : "";
}

struct bk_view bk_tls_alpn(const struct bk_tls *t)
{
    const unsigned char *at = NULL;
    unsigned int len = 0;
    SSL_get0_alpn_selected(t->ssl, &at, &len);
    return (struct bk_view){ (const char *)at, len };
}

const char *bk_tls_version(const struct bk_tls *t)
{
    return SSL_get_version(t->ssl);
}

const char *bk_tls_sni(const struct bk_tls *t)
{
    return SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
}

/*
 * There is no call that takes the certificate out of a session, and SSL_set_session(NULL) resets
 * the whole connection. But a session can be read from bytes into one that exists
 * (d2i_SSL_SESSION), which replaces its certificate by what the bytes hold: here none.
 */
static void forget_peer_certificate(SSL *ssl)
{
    SSL_SESSION *session = SSL_get0_session(ssl), *bare = SSL_SESSION_new();
    unsigned char key[SSL_MAX_MASTER_KEY_LENGTH], *bytes = NULL;
    size_t key_len = SSL_SESSION_get_master_key(session, key, sizeof key);
    if (bare && SSL_SESSION_set1_master_key(bare, key, key_len) == 1 &&
        SSL_SESSION_set_cipher(bare, SSL_SESSION_get0_cipher(session)) == 1 &&
        SSL_SESSION_set_protocol_version(bare, SSL_SESSION_get_protocol_version(session)) == 1) {
        int len = i2d_SSL_SESSION(bare, &bytes);
        const unsigned char *at = bytes;
        if (len > 0)
            d2i_SSL_SESSION(&session, &at, len);
        if (len > 0)
            OPENSSL_clear_free(bytes, (size_t)len);
    }
    bk_wipe(key, sizeof key);
    SSL_SESSION_free(bare);
    ERR_clear_error();
}

int bk_tls_peer_certificate(struct bk_tls *t, struct bk_buf *ret_der, bool release)
{
    X509 *cert = SSL_get0_peer_certificate(t->ssl);
    if (!cert)
        return -ENOENT;
    int len = i2d_X509(cert, NULL);
    unsigned char *to = len > 0 ? (unsigned char *)bk_buf_reserve(ret_der, (size_t)len) : NULL;
    if (!to)
        return -ENOMEM;
    i2d_X509(cert, &to);
    ret_der->len += (size_t)len;
    if (release && t->shaken)
        forget_peer_certificate(t->ssl);
    return 0;
}

int bk_tls_socket_error(const struct bk_tls *t)
{
    return t->socket_error;
}

uint32_t bk_tls_bytes_in(const struct bk_tls *t)
{
    return t->bytes_in;
}
