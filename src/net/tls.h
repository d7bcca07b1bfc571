/* SPDX-License-Identifier: Apache-2.0 */
/* net/tls.h - TLS 1.2 and 1.3 on OpenSSL 3, behind handshake / open / seal so that a leaner record layer can come later. */
#ifndef BK_NET_TLS_H
#define BK_NET_TLS_H

#include "base/buf.h"

typedef struct x509_st X509; /* OpenSSL's own name */

/* Immutable, reference-counted; a reload makes a new one and connections keep the old until they end. */
struct bk_tls_server;
struct bk_tls_server_config {
    const char *chain_file;      /* PEM, leaf first */
    const char *key_file;        /* PEM */
    bool ask_certificate_always; /* the second HTTPS listener, for what cannot set ALPN */
    const char *const *
        alpn; /* what we speak, in our order of preference, NULL-ended: "beckon", "sip", "http/1.1" */
};
/* -ENOENT, -EACCES, -EBADMSG (not PEM), -EKEYREJECTED (key and certificate do not fit); *ret_why names file and cause (caller frees). */
int bk_tls_server_create(const struct bk_tls_server_config *config, struct bk_tls_server **ret,
                         char **ret_why);
struct bk_tls_server *bk_tls_server_ref(struct bk_tls_server *tls);
struct bk_tls_server *bk_tls_server_unref(struct bk_tls_server *tls);
/* Days left, names etc. for status and lint. */
X509 *bk_tls_server_certificate(const struct bk_tls_server *tls);

/*
 * A client certificate is asked for only when both sides speak ALPN "beckon" (or ask_certificate_always), and any one is
 * taken: possession of the key is proven, everything else is judged at REGISTER or at the HTTPS request (docs/limits.md, "Connections").
 */

struct bk_tls_client;
/* Does this computer have roots at all, where OpenSSL looks for them (SSL_CERT_FILE, SSL_CERT_DIR and their defaults)? */
bool bk_tls_system_has_roots(void);

struct bk_tls_client_config {
    const char
        *ca_file; /* PEM roots in addition to... only these when only_ca_file; NULL: system roots */
    bool only_ca_file;
    const char *cert_file, *key_file; /* client certificate, NULL: none */
    const char *cert_pem, *key_pem;   /* the same from memory */
    const char *const *alpn;
    int64_t (*real_ms)(void *ctx); /* what time certificates are judged by; NULL: the system's */
    void *real_ms_ctx;
};
int bk_tls_client_create(const struct bk_tls_client_config *config, struct bk_tls_client **ret,
                         char **ret_why);
struct bk_tls_client *bk_tls_client_ref(struct bk_tls_client *tls);
struct bk_tls_client *bk_tls_client_unref(struct bk_tls_client *tls);

/* What is wrong with the peer's certificate, told apart for SI-309, SI-104, SI-308, SI-310. */
enum bk_tls_fault {
    BK_TLS_OK,
    BK_TLS_EXPIRED,
    BK_TLS_NOT_YET_VALID,
    BK_TLS_WRONG_NAME,
    BK_TLS_CHAIN_INCOMPLETE,
    BK_TLS_UNKNOWN_ROOT,
    BK_TLS_SELF_SIGNED,
    BK_TLS_REVOKED,
    BK_TLS_WEAK,
    BK_TLS_NO_COMMON_VERSION,
    BK_TLS_NOT_TLS,         /* the peer speaks something else */
    BK_TLS_CLIENT_REJECTED, /* an alert about our certificate */
    BK_TLS_OTHER,
};
const char *bk_tls_fault_text(enum bk_tls_fault fault);

/* ---- one connection's record layer; used by conn.c only ---- */
struct bk_tls;
int bk_tls_accept(struct bk_tls_server *tls, int fd, struct bk_tls **ret);
/* name: what must stand in the certificate's SAN (no CN fallback); also SNI. */
int bk_tls_connect(struct bk_tls_client *tls, int fd, const char *name, struct bk_tls **ret);
struct bk_tls *bk_tls_destroy(struct bk_tls *t);
enum bk_tls_step {
    BK_TLS_DONE,
    BK_TLS_WANT_READ,
    BK_TLS_WANT_WRITE,
    BK_TLS_CLOSED, /* close_notify, EOF or reset */
    BK_TLS_FAILED, /* bk_tls_fault says why */
};
enum bk_tls_step bk_tls_handshake(struct bk_tls *t);
enum bk_tls_step bk_tls_read(struct bk_tls *t, void *to, size_t size, size_t *ret_n);
enum bk_tls_step bk_tls_write(struct bk_tls *t, const void *at, size_t size, size_t *ret_n);
bool bk_tls_pending(
    const struct bk_tls
        *t); /* decrypted or half-read records wait inside: read again before sleeping */
void bk_tls_shutdown(struct bk_tls *t); /* close_notify, best effort */
enum bk_tls_fault bk_tls_fault(const struct bk_tls *t);
const char *bk_tls_fault_detail(
    const struct bk_tls *t); /* library text, issuer, dates: for the administrator */
struct bk_view bk_tls_alpn(const struct bk_tls *t);
const char *bk_tls_version(const struct bk_tls *t); /* "TLSv1.3" */
const char *bk_tls_sni(const struct bk_tls *t);     /* NULL: none */
/* The peer's certificate as DER, appended; -ENOENT: none shown. Frees the copy inside the library (4.7 kB) when `release`. */
int bk_tls_peer_certificate(struct bk_tls *t, struct bk_buf *ret_der, bool release);

#endif
