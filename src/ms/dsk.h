/* SPDX-License-Identifier: Apache-2.0 */
/* ms/dsk.h - TLS-DSK: a TLS handshake carried in header fields, which proves a personal certificate and gives signing keys. */
#ifndef BK_MS_DSK_H
#define BK_MS_DSK_H

#include "base/buf.h"

/*
 * This TLS protects nothing but the handshake itself: messages are signed with the keys it yields and travel on the connection they
 * always travel on. It is kept apart from the connection's own TLS in every setting, because the clients that speak it offer TLS 1.0
 * and RSA key exchange alone (pidgin-sipe 1.25) and their connection's TLS must not come down to that.
 */
enum {
    BK_DSK_TOKEN_MAX = 16 * 1024, /* one leg */
    BK_DSK_BYTES_MAX = 32 * 1024, /* all that comes in of one handshake */
    BK_DSK_LEGS_MAX = 6, /* tokens taken; a handshake needs two, from old clients up to four */
    BK_DSK_KEY_SIZE = 32,
    BK_DSK_MAC_SIZE = 20,
};

/* Versions as TLS writes them. */
enum { BK_DSK_TLS_1_0 = 0x0301, BK_DSK_TLS_1_1 = 0x0302, BK_DSK_TLS_1_2 = 0x0303 };

/* What every handshake of one side shares. Immutable, one owner, outlives the handshakes. */
struct bk_dsk_side;
struct bk_dsk_config {
    bool server;
    int tls_min, tls_max; /* of the three above; 0: TLS 1.0 to 1.2 */
    /*
     * PEM. A server's key must be RSA; where it has none such (NULL, or another kind) one is made here, with a certificate
     * that says `name`: the clients known to us take any. A client shows its personal certificate.
     */
    const char *chain_pem, *key_pem;
    const char *name; /* server: for the certificate that is made here */
    int64_t now_real_ms;
};
/* -EBADMSG: PEM unreadable; -EKEYREJECTED: key and certificate do not fit; -EINVAL: a range of versions that is none; -ENOMEM. */
int bk_dsk_side_create(const struct bk_dsk_config *config, struct bk_dsk_side **ret);
struct bk_dsk_side *bk_dsk_side_destroy(struct bk_dsk_side *side);

/* One handshake; about 60 kB while it lasts, so destroy it as soon as the keys are taken. */
struct bk_dsk;
int bk_dsk_begin(const struct bk_dsk_side *side, struct bk_dsk **ret);
struct bk_dsk *bk_dsk_destroy(struct bk_dsk *dsk);

enum bk_dsk_step {
    BK_DSK_GOES_ON, /* send what was appended, wait for the next leg */
    BK_DSK_DONE,    /* send what was appended, if anything; keys and certificate can be taken */
    BK_DSK_FAILED,  /* for good: no further leg is taken */
};
/*
 * One leg: what the other side's gssapi-data held (a client begins with an empty one). What is to go back is appended to *ret_out;
 * all handshake messages of a flight stand in one record, because pidgin-sipe reads no second. *ret_out stays as it was when FAILED.
 */
enum bk_dsk_step bk_dsk_step(struct bk_dsk *dsk, struct bk_view in, struct bk_buf *ret_out);
/* Why it failed: a static text for the administrator. */
const char *bk_dsk_fault(const struct bk_dsk *dsk);

/* After DONE: keys of HMAC-SHA1, bytes 64 to 127 of the exporter "client EAP encryption". -EPROTO: not done. */
struct bk_dsk_keys {
    uint8_t to_server[BK_DSK_KEY_SIZE], to_client[BK_DSK_KEY_SIZE];
};
int bk_dsk_keys(const struct bk_dsk *dsk, struct bk_dsk_keys *ret);
/* After DONE: the peer's certificate as DER, appended. Possession of its key is proven and nothing else. -ENOENT: none. */
int bk_dsk_peer_certificate(const struct bk_dsk *dsk, struct bk_buf *ret_der);
/* "TLSv1", "TLSv1.2"; and the cipher suite. */
const char *bk_dsk_version(const struct bk_dsk *dsk);
const char *bk_dsk_cipher(const struct bk_dsk *dsk);

void bk_dsk_mac(const uint8_t key[BK_DSK_KEY_SIZE], struct bk_view text,
                uint8_t ret[BK_DSK_MAC_SIZE]);

/* For tests: records of one flight with consecutive handshake records made one, as bk_dsk_step does it. -EBADMSG: no records. */
int bk_dsk_merge(struct bk_view records, struct bk_buf *to);

#endif
