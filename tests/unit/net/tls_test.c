/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/net/net_test.h"

#include "base/text.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct net_pki pki;
static struct pki_cert
    *person; /* a client certificate from an authority the server does not know */
static const char *const alpn[] = { "beckon", "sip", "http/1.1", NULL };

static struct bk_tls_server *server_of(const char *name, bool ask_always)
{
    char chain[64], key[64];
    snprintf(chain, sizeof chain, "%s.pem", name);
    snprintf(key, sizeof key, "%s.key", name);
    struct bk_tls_server_config config = { .chain_file = net_pki_path(&pki, chain),
                                           .key_file = net_pki_path(&pki, key),
                                           .ask_certificate_always = ask_always,
                                           .alpn = alpn };
    struct bk_tls_server *tls;
    char *why = NULL;
    if (bk_tls_server_create(&config, &tls, &why) != 0)
        fail_msg("no server: %s", why);
    return tls;
}

static struct bk_tls_client *client_with(const struct bk_tls_client_config *like)
{
    struct bk_tls_client_config config = *like;
    if (!config.ca_file)
        config.ca_file = net_pki_path(&pki, "root.pem");
    config.only_ca_file = true;
    struct bk_tls_client *tls;
    char *why = NULL;
    if (bk_tls_client_create(&config, &tls, &why) != 0)
        fail_msg("no client: %s", why);
    return tls;
}

/* ---- pairs of our own ends ---- */

struct pair {
    struct bk_loop *loop;
    struct server server;
    struct end client;
};

/* Connects and waits until both ends know how it went. */
static void pair_make(struct pair *p, struct bk_tls_server *st, struct bk_tls_client *ct,
                      const char *name)
{
    *p = (struct pair){ 0 };
    assert_int_equal(bk_loop_create(NULL, &p->loop), 0);
    server_start(&p->server, p->loop, st, NULL);
    client_open(&p->client, p->loop, &p->server.at, ct, name);
    AWAIT(p->loop, (p->client.ready || p->client.closed) && p->server.n_ends == 1 &&
                       (p->server.ends[0].ready || p->server.ends[0].closed));
}

static void pair_free(struct pair *p)
{
    server_stop(&p->server, &p->client, 1);
    bk_loop_destroy(p->loop);
}

static struct bk_tls *server_end(struct pair *p)
{
    return bk_conn_tls(p->server.ends[0].conn);
}

/* Bytes both ways, so that nothing of the TLS state was broken. */
static void still_talks(struct pair *p)
{
    bk_buf_clear(&p->client.got);
    bk_buf_clear(&p->server.ends[0].got);
    send_text(&p->client, "ping");
    AWAIT(p->loop, p->server.ends[0].got.len == 4);
    send_text(&p->server.ends[0], "pong!");
    AWAIT(p->loop, p->client.got.len == 5);
}

static void the_newest_version_is_spoken(void **state)
{
    (void)state;
    struct bk_tls_server *st = server_of("server", false);
    struct bk_tls_client *ct = client_with(&(struct bk_tls_client_config){ 0 });
    struct pair p;
    pair_make(&p, st, ct, "server.test");
    assert_int_equal(p.client.ready, 1);
    assert_string_equal(bk_tls_version(server_end(&p)), "TLSv1.3");
    assert_string_equal(bk_tls_sni(server_end(&p)), "server.test");
    assert_int_equal(bk_tls_alpn(server_end(&p)).len, 0);
    still_talks(&p);
    pair_free(&p);
    bk_tls_client_unref(ct);
    bk_tls_server_unref(st);
}

static void alpn_follows_the_servers_order(void **state)
{
    (void)state;
    static const struct {
        const char *offered[4];
        const char *chosen;
    } cases[] = {
        { { "sip", "beckon", NULL }, "beckon" },
        { { "http/1.1", "sip", NULL }, "sip" },
        { { "h2", "http/1.1", NULL }, "http/1.1" },
        { { "h2", "xmpp-client", NULL }, "" }, /* nothing of ours: goes on without */
    };
    struct bk_tls_server *st = server_of("server", false);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bk_tls_client *ct =
            client_with(&(struct bk_tls_client_config){ .alpn = cases[i].offered });
        struct pair p;
        pair_make(&p, st, ct, "server.test");
        assert_int_equal(p.client.ready, 1);
        assert_true(bk_view_equal(bk_tls_alpn(server_end(&p)), bk_view_of_str(cases[i].chosen)));
        pair_free(&p);
        bk_tls_client_unref(ct);
    }
    bk_tls_server_unref(st);
}

static const char *const sip_only[] = { "sip", NULL };
static const char *const beckon[] = { "beckon", NULL };

static bool shows_certificate(struct bk_tls_server *st, const char *const *offered, bool with_cert)
{
    struct bk_tls_client_config config = { .alpn = offered };
    if (with_cert) {
        config.cert_pem = pki_cert_pem(person);
        config.key_pem = pki_key_pem(person);
    }
    struct bk_tls_client *ct = client_with(&config);
    struct pair p;
    pair_make(&p, st, ct, "server.test");
    assert_int_equal(p.client.ready, 1);
    still_talks(&p); /* a refusal would show only now */
    struct bk_buf der = { 0 };
    int r = bk_tls_peer_certificate(server_end(&p), &der, true);
    assert_true(r == 0 || r == -ENOENT);
    if (r == 0) {
        assert_true(der.len > 100);
        /* It is given away once. */
        assert_int_equal(bk_tls_peer_certificate(server_end(&p), &der, true), -ENOENT);
        still_talks(&p);
    }
    bk_buf_finish(&der);
    pair_free(&p);
    bk_tls_client_unref(ct);
    return r == 0;
}

static void a_certificate_is_asked_for_only_with_alpn_beckon(void **state)
{
    (void)state;
    struct bk_tls_server *st = server_of("server", false);
    assert_true(shows_certificate(st, beckon, true));
    assert_false(shows_certificate(st, beckon, false)); /* and nobody must have one */
    assert_false(shows_certificate(st, sip_only, true));
    assert_false(shows_certificate(st, NULL, true));
    bk_tls_server_unref(st);
    st = server_of("server", true);
    assert_true(shows_certificate(st, NULL, true));
    assert_false(shows_certificate(st, NULL, false));
    bk_tls_server_unref(st);
}

/* ---- OpenSSL by hand at the other end, for what our client cannot do ---- */

struct foreign {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out; /* bytes for it, bytes from it */
    struct end end;
    struct bk_loop *loop;
    struct server server;
};

static int n_asked_for_certificate;

static int on_asked(SSL *ssl, X509 **cert, EVP_PKEY **key)
{
    (void)ssl;
    (void)cert;
    (void)key;
    n_asked_for_certificate++;
    return 0;
}

static void foreign_make(struct foreign *f, int version, const char *ciphers,
                         const unsigned char *offered, unsigned offered_len,
                         struct bk_tls_server *st)
{
    *f = (struct foreign){ 0 };
    f->ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(f->ctx, 0);
    assert_true(SSL_CTX_set_min_proto_version(f->ctx, version));
    assert_true(SSL_CTX_set_max_proto_version(f->ctx, version));
    if (ciphers)
        assert_true(SSL_CTX_set_cipher_list(f->ctx, ciphers));
    if (offered)
        assert_int_equal(SSL_CTX_set_alpn_protos(f->ctx, offered, offered_len), 0);
    SSL_CTX_set_client_cert_cb(f->ctx, on_asked);
    n_asked_for_certificate = 0;
    f->ssl = SSL_new(f->ctx);
    f->in = BIO_new(BIO_s_mem());
    f->out = BIO_new(BIO_s_mem());
    SSL_set_bio(f->ssl, f->in, f->out);
    SSL_set_connect_state(f->ssl);
    assert_int_equal(bk_loop_create(NULL, &f->loop), 0);
    server_start(&f->server, f->loop, st, NULL);
    client_open(&f->end, f->loop, &f->server.at, NULL, NULL);
}

static void foreign_pump(struct foreign *f)
{
    char bytes[4096];
    for (int n; (n = BIO_read(f->out, bytes, sizeof bytes)) > 0;)
        if (f->end.conn)
            bk_conn_send(f->end.conn, (struct bk_view){ bytes, (size_t)n }, false);
    bk_loop_step(f->loop, 10);
    if (f->end.got.len)
        BIO_write(f->in, f->end.got.at, (int)f->end.got.len);
    bk_buf_clear(&f->end.got);
}

/* True: the handshake is done at both ends. */
static bool foreign_shakes(struct foreign *f)
{
    int64_t until = bk_clock_mono_ms(&bk_clock_system) + 20000;
    while (bk_clock_mono_ms(&bk_clock_system) < until) {
        ERR_clear_error();
        int r = SSL_do_handshake(f->ssl);
        int e = r == 1 ? SSL_ERROR_NONE : SSL_get_error(f->ssl, r);
        foreign_pump(f);
        if (r == 1 && f->server.n_ends == 1 && f->server.ends[0].ready)
            return true;
        if (r != 1 && e != SSL_ERROR_WANT_READ)
            return false;
        if (f->end.closed && !BIO_pending(f->in))
            return false;
    }
    fail_msg("the handshake does not end");
    return false;
}

static void foreign_free(struct foreign *f)
{
    AWAIT(f->loop, f->server.n_ends == 1);
    server_stop(&f->server, &f->end, 1);
    bk_loop_destroy(f->loop);
    SSL_free(f->ssl);
    SSL_CTX_free(f->ctx);
}

static bool stock_client_is_served(int version, const char *ciphers)
{
    struct bk_tls_server *st = server_of("server", false);
    struct foreign f;
    foreign_make(&f, version, ciphers, NULL, 0, st);
    bool served = foreign_shakes(&f);
    assert_int_equal(n_asked_for_certificate, 0);
    foreign_free(&f);
    bk_tls_server_unref(st);
    return served;
}

static void versions_and_suites_that_are_weak_are_not_spoken(void **state)
{
    (void)state;
    assert_true(stock_client_is_served(TLS1_3_VERSION, NULL));
    assert_true(stock_client_is_served(TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256"));
    assert_true(stock_client_is_served(TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305"));
    assert_false(stock_client_is_served(TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA")); /* no AEAD */
    assert_false(stock_client_is_served(TLS1_2_VERSION, "AES128-GCM-SHA256"));      /* no secrecy */
    assert_false(stock_client_is_served(TLS1_1_VERSION, NULL));
}

static void tls_1_2_asks_with_alpn_beckon_too(void **state)
{
    (void)state;
    static const unsigned char offered[] = "\x06"
                                           "beckon";
    struct bk_tls_server *st = server_of("server", false);
    struct foreign f;
    foreign_make(&f, TLS1_2_VERSION, NULL, offered, sizeof offered - 1, st);
    assert_true(foreign_shakes(&f));
    assert_int_equal(n_asked_for_certificate, 1);
    assert_string_equal(bk_tls_version(bk_conn_tls(f.server.ends[0].conn)), "TLSv1.2");
    foreign_free(&f);
    bk_tls_server_unref(st);
}

static void no_ticket_is_given_and_no_session_resumed(void **state)
{
    (void)state;
    struct bk_tls_server *st = server_of("server", false);
    struct foreign f;
    foreign_make(&f, TLS1_2_VERSION, NULL, NULL, 0, st);
    assert_true(foreign_shakes(&f));
    SSL_SESSION *session = SSL_get0_session(f.ssl);
    assert_false(SSL_SESSION_has_ticket(session));
    assert_false(SSL_SESSION_is_resumable(session));
    foreign_free(&f);
    foreign_make(&f, TLS1_3_VERSION, NULL, NULL, 0, st);
    assert_true(foreign_shakes(&f));
    char c;
    send_text(&f.server.ends[0], "x"); /* tickets would stand before it */
    while (SSL_read(f.ssl, &c, 1) != 1)
        foreign_pump(&f);
    assert_false(SSL_SESSION_is_resumable(SSL_get0_session(f.ssl)));
    foreign_free(&f);
    bk_tls_server_unref(st);
}

static void renegotiation_is_refused(void **state)
{
    (void)state;
    struct bk_tls_server *st = server_of("server", false);
    struct foreign f;
    foreign_make(&f, TLS1_2_VERSION, NULL, NULL, 0, st);
    assert_true(foreign_shakes(&f));
    assert_true(SSL_renegotiate(f.ssl));
    int e = SSL_ERROR_WANT_READ, reason = 0;
    while (e == SSL_ERROR_WANT_READ) {
        ERR_clear_error();
        int r = SSL_do_handshake(f.ssl);
        assert_int_not_equal(r, 1);
        e = SSL_get_error(f.ssl, r);
        reason = ERR_GET_REASON(ERR_peek_error());
        foreign_pump(&f);
    }
    assert_int_equal(e, SSL_ERROR_SSL);
    assert_int_equal(reason, SSL_R_NO_RENEGOTIATION);
    foreign_free(&f);
    bk_tls_server_unref(st);
}

/* TLS 1.3 KeyUpdate: the record layer changes its keys under way, also when it is the peer who wants it. */
static void keys_may_be_updated_under_way(void **state)
{
    (void)state;
    struct bk_tls_server *st = server_of("server", false);
    struct foreign f;
    foreign_make(&f, TLS1_3_VERSION, NULL, NULL, 0, st);
    f.server.echo = true;
    assert_true(foreign_shakes(&f));
    f.server.ends[0].echo = true;
    for (int i = 0; i < 3; i++) {
        assert_true(SSL_key_update(f.ssl, SSL_KEY_UPDATE_REQUESTED));
        assert_int_equal(SSL_write(f.ssl, "hello", 5), 5);
        char got[8] = "";
        AWAIT(f.loop, (foreign_pump(&f), SSL_read(f.ssl, got, sizeof got) == 5));
        assert_string_equal(got, "hello");
    }
    foreign_free(&f);
    bk_tls_server_unref(st);
}

/* ---- what is wrong with a server ---- */

static void client_finds(const char *server_name, const char *name, enum bk_tls_fault fault,
                         const char *in_detail, const struct bk_tls_client_config *like)
{
    struct bk_tls_server *st = server_of(server_name, false);
    struct bk_tls_client *ct = client_with(like ? like : &(struct bk_tls_client_config){ 0 });
    struct pair p;
    pair_make(&p, st, ct, name);
    if (fault == BK_TLS_OK) {
        assert_int_equal(p.client.ready, 1);
        still_talks(&p);
    } else {
        assert_int_equal(p.client.ready, 0);
        assert_int_equal(p.client.why, BK_CONN_END_TLS);
        if (p.client.fault != fault)
            fail_msg("%s: wanted %s, got %s (%s)", server_name, bk_tls_fault_text(fault),
                     bk_tls_fault_text(p.client.fault), p.client.detail);
        if (!strstr(p.client.detail, in_detail))
            fail_msg("%s: no \"%s\" in: %s", server_name, in_detail, p.client.detail);
        /* TLS 1.3: the server is done first and hears of it by an alert. */
        AWAIT(p.loop, p.server.ends[0].closed);
        assert_int_equal(p.server.ends[0].why, BK_CONN_END_TLS);
        assert_int_equal(p.server.ends[0].fault, BK_TLS_CLIENT_REJECTED);
    }
    pair_free(&p);
    bk_tls_client_unref(ct);
    bk_tls_server_unref(st);
}

static void make_server(const char *name, const struct pki_request *request,
                        const struct pki_cert *between)
{
    struct pki_cert *cert = pki_make(request);
    pki_write(pki.dir, name, (const struct pki_cert *const[]){ cert, between, NULL });
    pki_free(cert);
}

static void each_fault_of_a_certificate_has_its_name(void **state)
{
    (void)state;
    enum { DAY = 86400 };
    struct pki_cert *other = pki_make(&(struct pki_request){ .name = "Other Root", .ca = true });
    struct pki_cert *related_root = pki_make(
        &(struct pki_request){ .name = "Related Root", .subject_o = "Contoso", .ca = true });
    struct pki_cert *between =
        pki_make(&(struct pki_request){ .name = "Between", .ca = true, .issuer = pki.root });
    struct pki_cert *related = pki_make(&(struct pki_request){
        .name = "Issuing", .subject_o = "Contoso", .ca = true, .issuer = related_root });
    struct pki_request r = { .name = "x", .san = "DNS:server.test", .issuer = pki.root };

    client_finds("server", "server.test", BK_TLS_OK, "", NULL);
    client_finds("server", "SERVER.test", BK_TLS_OK, "", NULL);
    client_finds("server", "127.0.0.1", BK_TLS_OK, "", NULL); /* its SAN holds the address */

    struct pki_request q = r;
    q.from_s = -30 * DAY;
    q.until_s = -DAY;
    make_server("expired", &q, NULL);
    client_finds("expired", "server.test", BK_TLS_EXPIRED, "not after 20", NULL);
    q.from_s = DAY;
    q.until_s = 30 * DAY;
    make_server("early", &q, NULL);
    client_finds("early", "server.test", BK_TLS_NOT_YET_VALID, "not before 20", NULL);

    client_finds("server", "wrong.test", BK_TLS_WRONG_NAME, "valid for server.test", NULL);
    client_finds("server", "127.0.0.2", BK_TLS_WRONG_NAME, "", NULL);
    q = r;
    q.name = "server.test";
    q.san = "DNS:else.test";
    make_server("cn", &q, NULL);
    client_finds("cn", "server.test", BK_TLS_WRONG_NAME, "else.test", NULL);
    q.san = NULL; /* the common name is never a fallback */
    make_server("cn-only", &q, NULL);
    client_finds("cn-only", "server.test", BK_TLS_WRONG_NAME, "", NULL);
    q.san = "DNS:127.0.0.1"; /* an address must stand as an address */
    make_server("ip-as-name", &q, NULL);
    client_finds("ip-as-name", "127.0.0.1", BK_TLS_WRONG_NAME, "", NULL);

    q = r;
    q.issuer = NULL;
    make_server("self", &q, NULL);
    client_finds("self", "server.test", BK_TLS_SELF_SIGNED, "issuer /CN=x", NULL);
    q.issuer = other;
    make_server("unknown", &q, NULL);
    client_finds("unknown", "server.test", BK_TLS_UNKNOWN_ROOT, "issuer /CN=Other Root", NULL);
    make_server("unknown-sent", &q, other);
    client_finds("unknown-sent", "server.test", BK_TLS_UNKNOWN_ROOT, "Other Root", NULL);

    q = r;
    q.issuer = between;
    make_server("whole", &q, between);
    client_finds("whole", "server.test", BK_TLS_OK, "", NULL);
    q.aia = true;
    make_server("cut", &q, NULL);
    client_finds("cut", "server.test", BK_TLS_CHAIN_INCOMPLETE, "issuer /CN=Between", NULL);
    q.aia = false;
    q.issuer = related;
    make_server("cut-related", &q, NULL);
    pki_write(pki.dir, "related", (const struct pki_cert *const[]){ related_root, NULL });
    client_finds("cut-related", "server.test", BK_TLS_CHAIN_INCOMPLETE, "CN=Issuing",
                 &(struct bk_tls_client_config){ .ca_file = net_pki_path(&pki, "related.pem") });

    pki_free(related);
    pki_free(between);
    pki_free(related_root);
    pki_free(other);
}

static int64_t in_ten_years(void *ctx)
{
    (void)ctx;
    return bk_clock_real_ms(&bk_clock_system) + 3650LL * 86400000;
}

static void dates_are_judged_by_the_clock_that_was_given(void **state)
{
    (void)state;
    client_finds("server", "server.test", BK_TLS_EXPIRED, "not after",
                 &(struct bk_tls_client_config){ .real_ms = in_ten_years });
}

static void a_weak_key_is_named(void **state)
{
    (void)state;
    struct pki_request q = {
        .name = "weak", .san = "DNS:server.test", .issuer = pki.root, .rsa_1024 = true
    };
    struct pki_cert *weak = pki_make(&q);
    pki_write(pki.dir, "weak", (const struct pki_cert *const[]){ weak, NULL });
    pki_free(weak);

    /* Our own server does not even load it, so OpenSSL serves it, with its eyes closed. */
    struct bk_tls_server_config config = { .chain_file = net_pki_path(&pki, "weak.pem"),
                                           .key_file = net_pki_path(&pki, "weak.key") };
    struct bk_tls_server *refused;
    char *why = NULL;
    assert_true(bk_tls_server_create(&config, &refused, &why) < 0);
    assert_non_null(strstr(why, "weak.pem"));
    free(why);
}

/* ---- peers that speak something else ---- */

static void a_peer_without_tls_is_named_so(void **state)
{
    (void)state;
    struct bk_tls_client *ct = client_with(&(struct bk_tls_client_config){ 0 });
    static const char *const texts[] = { "SIP/2.0 400 Bad Request\r\n\r\n",
                                         "HTTP/1.1 400 Bad Request\r\n\r\n",
                                         "\x01\x02\x03\x04\x05" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct pair p = { 0 };
        assert_int_equal(bk_loop_create(NULL, &p.loop), 0);
        server_start(&p.server, p.loop, NULL, NULL);
        client_open(&p.client, p.loop, &p.server.at, ct, "server.test");
        AWAIT(p.loop, p.server.n_ends == 1);
        send_text(&p.server.ends[0], texts[i]);
        AWAIT(p.loop, p.client.closed);
        assert_int_equal(p.client.why, BK_CONN_END_TLS);
        assert_int_equal(p.client.fault, BK_TLS_NOT_TLS);
        pair_free(&p);
    }
    bk_tls_client_unref(ct);
}

static void a_stranger_without_tls_is_turned_away(void **state)
{
    (void)state;
    struct bk_tls_server *st = server_of("server", false);
    struct pair p = { 0 };
    assert_int_equal(bk_loop_create(NULL, &p.loop), 0);
    server_start(&p.server, p.loop, st, NULL);
    client_open(&p.client, p.loop, &p.server.at, NULL, NULL);
    send_text(&p.client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    AWAIT(p.loop, p.client.closed && p.server.n_ends == 1 && p.server.ends[0].closed);
    assert_int_equal(p.server.ends[0].why, BK_CONN_END_TLS);
    assert_int_equal(p.server.ends[0].fault, BK_TLS_NOT_TLS);
    assert_int_equal(p.server.ends[0].ready, 0);
    pair_free(&p);
    bk_tls_server_unref(st);
}

/* A server of OpenSSL's that speaks only what we refuse. */
static void old_server(int version, const char *ciphers, const char *cert,
                       enum bk_tls_fault expected)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    char chain[64], key[64];
    snprintf(chain, sizeof chain, "%s.pem", cert);
    snprintf(key, sizeof key, "%s.key", cert);
    SSL_CTX_set_security_level(ctx, 0);
    assert_true(SSL_CTX_set_min_proto_version(ctx, version));
    assert_true(SSL_CTX_set_max_proto_version(ctx, version));
    if (ciphers)
        assert_true(SSL_CTX_set_cipher_list(ctx, ciphers));
    assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, net_pki_path(&pki, chain)), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, net_pki_path(&pki, key), SSL_FILETYPE_PEM),
                     1);
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, out);
    SSL_set_accept_state(ssl);

    struct bk_tls_client *ct = client_with(&(struct bk_tls_client_config){ 0 });
    struct pair p = { 0 };
    assert_int_equal(bk_loop_create(NULL, &p.loop), 0);
    server_start(&p.server, p.loop, NULL, NULL);
    client_open(&p.client, p.loop, &p.server.at, ct, "server.test");
    AWAIT(p.loop, p.server.n_ends == 1);
    struct end *wire = &p.server.ends[0];
    for (int i = 0; i < 2000 && !p.client.closed; i++) {
        if (wire->got.len)
            BIO_write(in, wire->got.at, (int)wire->got.len);
        bk_buf_clear(&wire->got);
        SSL_do_handshake(ssl);
        char bytes[4096];
        for (int n; wire->conn && (n = BIO_read(out, bytes, sizeof bytes)) > 0;)
            bk_conn_send(wire->conn, (struct bk_view){ bytes, (size_t)n }, false);
        bk_loop_step(p.loop, 10);
    }
    assert_int_equal(p.client.closed, 1);
    assert_int_equal(p.client.why, BK_CONN_END_TLS);
    if (p.client.fault != expected)
        fail_msg("wanted %s, got %s (%s)", bk_tls_fault_text(expected),
                 bk_tls_fault_text(p.client.fault), p.client.detail);
    pair_free(&p);
    bk_tls_client_unref(ct);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}

static void a_server_of_the_past_has_no_version_in_common(void **state)
{
    (void)state;
    old_server(TLS1_VERSION, NULL, "server", BK_TLS_NO_COMMON_VERSION);
    old_server(TLS1_1_VERSION, NULL, "server", BK_TLS_NO_COMMON_VERSION);
    old_server(TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA", "server", BK_TLS_NO_COMMON_VERSION);
    old_server(TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", "weak", BK_TLS_WEAK);
}

/* ---- files ---- */

static void write_file(const char *name, const char *text)
{
    assert_int_equal(bk_file_replace(net_pki_path(&pki, name), bk_view_of_str(text), 0600), 0);
}

static void files_that_cannot_serve_are_named_with_the_cause(void **state)
{
    (void)state;
    write_file("garbage.pem", "no certificate\n");
    static const struct {
        const char *chain, *key;
        int r;
        const char *in_why;
    } cases[] = {
        { "absent.pem", "server.key", -ENOENT, "absent.pem" },
        { "server.pem", "absent.key", -ENOENT, "absent.key" },
        { "garbage.pem", "server.key", -EBADMSG, "garbage.pem" },
        { "server.pem", "garbage.pem", -EBADMSG, "garbage.pem" },
        { "server.pem", "root.key", -EKEYREJECTED, "root.key" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bk_tls_server_config config = { .chain_file = net_pki_path(&pki, cases[i].chain),
                                               .key_file = net_pki_path(&pki, cases[i].key) };
        struct bk_tls_server *tls = NULL;
        char *why = NULL;
        assert_int_equal(bk_tls_server_create(&config, &tls, &why), cases[i].r);
        assert_null(tls);
        assert_non_null(strstr(why, cases[i].in_why));
        free(why);
    }
    struct bk_tls_client_config config = { .ca_file = net_pki_path(&pki, "absent.pem"),
                                           .only_ca_file = true };
    struct bk_tls_client *tls = NULL;
    char *why = NULL;
    assert_int_equal(bk_tls_client_create(&config, &tls, &why), -ENOENT);
    free(why);
    config.ca_file = net_pki_path(&pki, "garbage.pem");
    assert_int_equal(bk_tls_client_create(&config, &tls, &why), -EBADMSG);
    free(why);
    config.ca_file = net_pki_path(&pki, "root.pem");
    config.cert_pem = pki_cert_pem(person);
    config.key_pem = pki_key_pem(pki.root);
    assert_int_equal(bk_tls_client_create(&config, &tls, &why), -EKEYREJECTED);
    free(why);
}

static void a_reload_serves_new_connections_and_keeps_old_ones(void **state)
{
    (void)state;
    struct pki_request q = { .name = "new", .san = "DNS:new.test", .issuer = pki.root };
    make_server("new", &q, NULL);
    struct bk_tls_server *st = server_of("server", false);
    struct bk_tls_client *ct = client_with(&(struct bk_tls_client_config){ 0 });
    struct pair p;
    pair_make(&p, st, ct, "server.test");
    bk_tls_server_unref(st);
    st = server_of("new", false);
    bk_listener_set_tls(p.server.listener, st);
    bk_tls_server_unref(st);

    struct end second = { 0 };
    client_open(&second, p.loop, &p.server.at, ct, "new.test");
    AWAIT(p.loop, second.ready || second.closed);
    assert_int_equal(second.ready, 1);
    still_talks(&p);
    bk_conn_close(second.conn, 0);
    AWAIT(p.loop, second.closed);
    end_finish(&second);
    pair_free(&p);
    bk_tls_client_unref(ct);
}

static int make_pki(void **state)
{
    (void)state;
    net_pki_make(&pki);
    struct pki_cert *other = pki_make(&(struct pki_request){ .name = "People", .ca = true });
    person = pki_make(&(struct pki_request){ .name = "ann@example.org", .issuer = other });
    pki_free(other);
    return 0;
}

static int free_pki(void **state)
{
    (void)state;
    pki_free(person);
    net_pki_free(&pki);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_version_is_spoken),
        cmocka_unit_test(alpn_follows_the_servers_order),
        cmocka_unit_test(a_certificate_is_asked_for_only_with_alpn_beckon),
        cmocka_unit_test(versions_and_suites_that_are_weak_are_not_spoken),
        cmocka_unit_test(tls_1_2_asks_with_alpn_beckon_too),
        cmocka_unit_test(no_ticket_is_given_and_no_session_resumed),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(keys_may_be_updated_under_way),
        cmocka_unit_test(each_fault_of_a_certificate_has_its_name),
        cmocka_unit_test(dates_are_judged_by_the_clock_that_was_given),
        cmocka_unit_test(a_weak_key_is_named),
        cmocka_unit_test(a_peer_without_tls_is_named_so),
        cmocka_unit_test(a_stranger_without_tls_is_turned_away),
        cmocka_unit_test(a_server_of_the_past_has_no_version_in_common),
        cmocka_unit_test(files_that_cannot_serve_are_named_with_the_cause),
        cmocka_unit_test(a_reload_serves_new_connections_and_keeps_old_ones),
    };
    return cmocka_run_group_tests(tests, make_pki, free_pki);
}
