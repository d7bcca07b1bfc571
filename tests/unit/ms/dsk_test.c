/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/dsk.h"
#include "ms_test.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

static const int64_t now = 1795413241000;

/* A personal certificate: key and certificate as PEM, signed by itself. */
static void make_personal(struct bk_buf *key_pem, struct bk_buf *cert_pem, struct bk_buf *der)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    X509 *cert = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    assert_non_null(key);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 7);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)"alice@example.com", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_set_pubkey(cert, key);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    char *at;
    PEM_write_bio_X509(bio, cert);
    long len = BIO_get_mem_data(bio, &at);
    bk_buf_add(cert_pem, at, (size_t)len);
    BIO_reset(bio);
    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    len = BIO_get_mem_data(bio, &at);
    bk_buf_add(key_pem, at, (size_t)len);
    BIO_free(bio);
    unsigned char *bytes = NULL;
    len = i2d_X509(cert, &bytes);
    bk_buf_add(der, bytes, (size_t)len);
    OPENSSL_free(bytes);
    X509_free(cert);
    EVP_PKEY_free(key);
}

struct pair {
    struct bk_buf key_pem, cert_pem, der;
    struct bk_dsk_side *server_side, *client_side;
    struct bk_dsk *server, *client;
};

static void pair_open(struct pair *p, int client_max, bool with_certificate)
{
    *p = (struct pair){ 0 };
    make_personal(&p->key_pem, &p->cert_pem, &p->der);
    struct bk_dsk_config server = { .server = true, .name = "srv.example.com", .now_real_ms = now };
    struct bk_dsk_config client = { .tls_max = client_max };
    if (with_certificate) {
        client.chain_pem = bk_buf_cstr(&p->cert_pem);
        client.key_pem = bk_buf_cstr(&p->key_pem);
    }
    assert_int_equal(bk_dsk_side_create(&server, &p->server_side), 0);
    assert_int_equal(bk_dsk_side_create(&client, &p->client_side), 0);
    assert_int_equal(bk_dsk_begin(p->server_side, &p->server), 0);
    assert_int_equal(bk_dsk_begin(p->client_side, &p->client), 0);
}

static void pair_close(struct pair *p)
{
    bk_dsk_destroy(p->server);
    bk_dsk_destroy(p->client);
    bk_dsk_side_destroy(p->server_side);
    bk_dsk_side_destroy(p->client_side);
    bk_buf_finish(&p->key_pem);
    bk_buf_finish(&p->cert_pem);
    bk_buf_finish(&p->der);
}

static unsigned records_in(struct bk_view flight)
{
    unsigned n = 0;
    while (flight.len >= 5) {
        size_t len = (size_t)(uint8_t)flight.at[3] << 8 | (uint8_t)flight.at[4];
        flight = bk_view_skip(flight, 5 + len);
        n++;
    }
    assert_int_equal(flight.len, 0);
    return n;
}

static void both_sides_get_the_same_keys_and_the_certificate_is_seen(void **state)
{
    (void)state;
    static const struct {
        int max;
        const char *version;
    } rows[] = { { BK_DSK_TLS_1_0, "TLSv1" }, { BK_DSK_TLS_1_2, "TLSv1.2" } };
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        BK_AUTO_BUF struct bk_buf a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 }, e = { 0 },
                                  der = { 0 };
        struct pair p;
        struct bk_dsk_keys at_client, at_server;
        pair_open(&p, rows[i].max, true);
        assert_int_equal(bk_dsk_keys(p.server, &at_server), -EPROTO);
        assert_int_equal(bk_dsk_step(p.client, (struct bk_view){ 0 }, &a), BK_DSK_GOES_ON);
        assert_int_equal(bk_dsk_step(p.server, bk_buf_view(&a), &b), BK_DSK_GOES_ON);
        /* ServerHello, Certificate, CertificateRequest, ServerHelloDone in one record. */
        assert_int_equal(records_in(bk_buf_view(&b)), 1);
        assert_int_equal(bk_dsk_step(p.client, bk_buf_view(&b), &c), BK_DSK_GOES_ON);
        /* Certificate to CertificateVerify; ChangeCipherSpec; Finished. */
        assert_int_equal(records_in(bk_buf_view(&c)), 3);
        assert_int_equal(bk_dsk_step(p.server, bk_buf_view(&c), &d), BK_DSK_DONE);
        assert_int_equal(records_in(bk_buf_view(&d)), 2);
        assert_int_equal(bk_dsk_step(p.client, bk_buf_view(&d), &e), BK_DSK_DONE);
        assert_int_equal(e.len, 0);
        assert_string_equal(bk_dsk_version(p.server), rows[i].version);
        assert_int_equal(bk_dsk_keys(p.server, &at_server), 0);
        assert_int_equal(bk_dsk_keys(p.client, &at_client), 0);
        assert_memory_equal(&at_server, &at_client, sizeof at_server);
        assert_memory_not_equal(at_server.to_server, at_server.to_client, BK_DSK_KEY_SIZE);
        assert_int_equal(bk_dsk_peer_certificate(p.server, &der), 0);
        assert_true(bk_view_equal(bk_buf_view(&der), bk_buf_view(&p.der)));
        assert_int_equal(bk_dsk_step(p.server, BK_VIEW("more"), &e), BK_DSK_FAILED);
        pair_close(&p);
    }
}

static void without_a_certificate_there_is_no_handshake(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
    struct pair p;
    pair_open(&p, BK_DSK_TLS_1_0, false);
    bk_dsk_step(p.client, (struct bk_view){ 0 }, &a);
    bk_dsk_step(p.server, bk_buf_view(&a), &b);
    bk_dsk_step(p.client, bk_buf_view(&b), &c);
    assert_int_equal(bk_dsk_step(p.server, bk_buf_view(&c), &d), BK_DSK_FAILED);
    assert_int_equal(d.len, 0);
    assert_true(strlen(bk_dsk_fault(p.server)) > 0);
    assert_int_equal(bk_dsk_step(p.server, (struct bk_view){ 0 }, &d), BK_DSK_FAILED);
    pair_close(&p);
}

static void a_certificate_without_its_key_proves_nothing(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
    struct pair p;
    pair_open(&p, BK_DSK_TLS_1_0, true);
    bk_dsk_step(p.client, (struct bk_view){ 0 }, &a);
    bk_dsk_step(p.server, bk_buf_view(&a), &b);
    bk_dsk_step(p.client, bk_buf_view(&b), &c);
    /* The last bytes of the first record are the signature of CertificateVerify. */
    size_t first = 5 + ((size_t)(uint8_t)c.at[3] << 8 | (uint8_t)c.at[4]);
    c.at[first - 10] ^= 1;
    assert_int_equal(bk_dsk_step(p.server, bk_buf_view(&c), &d), BK_DSK_FAILED);
    pair_close(&p);
}

static void bytes_and_legs_have_an_end(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf a = { 0 }, big = { 0 }, out = { 0 };
    struct pair p;
    pair_open(&p, BK_DSK_TLS_1_0, true);
    char *room = bk_buf_reserve(&big, BK_DSK_TOKEN_MAX + 1);
    memset(room, 22, BK_DSK_TOKEN_MAX + 1);
    big.len = BK_DSK_TOKEN_MAX + 1;
    assert_int_equal(bk_dsk_step(p.server, bk_buf_view(&big), &out), BK_DSK_FAILED);
    assert_string_equal(bk_dsk_fault(p.server), "too many bytes");
    pair_close(&p);

    /* Byte by byte: each leg is progress of nothing. */
    pair_open(&p, BK_DSK_TLS_1_0, true);
    bk_dsk_step(p.client, (struct bk_view){ 0 }, &a);
    enum bk_dsk_step step = BK_DSK_GOES_ON;
    size_t n = 0;
    for (; n < a.len && step == BK_DSK_GOES_ON; n++)
        step = bk_dsk_step(p.server, (struct bk_view){ a.at + n, 1 }, &out);
    assert_int_equal(step, BK_DSK_FAILED);
    assert_true(n <= BK_DSK_LEGS_MAX + 1);
    pair_close(&p);
}

/* With an RSA key of its own the server shows its own certificate; with another kind one that was made for it. */
static void a_server_shows_its_own_certificate_where_it_can(void **state)
{
    (void)state;
    EVP_PKEY *ec = EVP_EC_gen("P-256");
    BIO *bio = BIO_new(BIO_s_mem());
    BK_AUTO_BUF struct bk_buf ec_pem = { 0 };
    char *at;
    assert_non_null(ec);
    PEM_write_bio_PrivateKey(bio, ec, NULL, NULL, 0, NULL, NULL);
    long len = BIO_get_mem_data(bio, &at);
    bk_buf_add(&ec_pem, at, (size_t)len);
    BIO_free(bio);
    EVP_PKEY_free(ec);
    for (int own = 0; own < 2; own++) {
        BK_AUTO_BUF struct bk_buf a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 }, e = { 0 },
                                  der = { 0 };
        struct pair p;
        pair_open(&p, BK_DSK_TLS_1_2, true);
        struct bk_dsk_config config = { .server = true,
                                        .name = "srv.example.com",
                                        .chain_pem = bk_buf_cstr(&p.cert_pem),
                                        .key_pem = bk_buf_cstr(own ? &p.key_pem : &ec_pem),
                                        .now_real_ms = now };
        p.server = bk_dsk_destroy(p.server);
        bk_dsk_side_destroy(p.server_side);
        assert_int_equal(bk_dsk_side_create(&config, &p.server_side), 0);
        assert_int_equal(bk_dsk_begin(p.server_side, &p.server), 0);
        bk_dsk_step(p.client, (struct bk_view){ 0 }, &a);
        bk_dsk_step(p.server, bk_buf_view(&a), &b);
        bk_dsk_step(p.client, bk_buf_view(&b), &c);
        assert_int_equal(bk_dsk_step(p.server, bk_buf_view(&c), &d), BK_DSK_DONE);
        assert_int_equal(bk_dsk_step(p.client, bk_buf_view(&d), &e), BK_DSK_DONE);
        assert_int_equal(bk_dsk_peer_certificate(p.client, &der), 0);
        assert_int_equal(bk_view_equal(bk_buf_view(&der), bk_buf_view(&p.der)), own);
        pair_close(&p);
    }
}

/* What pidgin-sipe 1.25 opened with. */
static void the_real_clients_hello_is_answered_in_one_record(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf hello = { 0 }, out = { 0 };
    struct pair p;
    pair_open(&p, BK_DSK_TLS_1_0, true);
    assert_int_equal(bk_base64_decode(BK_VIEW("FgMBADUBAAAxAwFrAoNfiLw4w2vKCFu/"
                                              "8LTBjI1tCKc29wqclz1ToPPLPQAACgAEAAUALwA1AAMBAA=="),
                                      &hello),
                     0);
    assert_int_equal(bk_dsk_step(p.server, bk_buf_view(&hello), &out), BK_DSK_GOES_ON);
    assert_int_equal(records_in(bk_buf_view(&out)), 1);
    assert_string_equal(bk_dsk_version(p.server), "TLSv1");
    pair_close(&p);
}

static void records_are_merged_up_to_the_change_of_cipher_and_no_further(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf out = { 0 };
    static const char flight[] =
        "\x16\3\1\0\2ab\x16\3\1\0\1c\x14\3\1\0\1\1\x16\3\1\0\1d\x16\3\1\0\1e";
    static const char merged[] = "\x16\3\1\0\3abc\x14\3\1\0\1\1\x16\3\1\0\1d\x16\3\1\0\1e";
    assert_int_equal(bk_dsk_merge((struct bk_view){ flight, sizeof flight }, &out),
                     -EBADMSG); /* its NUL is half a record */
    bk_buf_clear(&out);
    assert_int_equal(bk_dsk_merge((struct bk_view){ flight, sizeof flight - 1 }, &out), 0);
    assert_int_equal(out.len, sizeof merged - 1);
    assert_memory_equal(out.at, merged, out.len);
}

static void a_range_of_versions_that_is_none_is_refused(void **state)
{
    (void)state;
    struct bk_dsk_side *side = NULL;
    struct bk_dsk_config config = { .tls_min = BK_DSK_TLS_1_2, .tls_max = BK_DSK_TLS_1_0 };
    assert_int_equal(bk_dsk_side_create(&config, &side), -EINVAL);
    config = (struct bk_dsk_config){ .chain_pem = "no", .key_pem = "PEM" };
    assert_int_equal(bk_dsk_side_create(&config, &side), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_get_the_same_keys_and_the_certificate_is_seen),
        cmocka_unit_test(without_a_certificate_there_is_no_handshake),
        cmocka_unit_test(a_certificate_without_its_key_proves_nothing),
        cmocka_unit_test(bytes_and_legs_have_an_end),
        cmocka_unit_test(a_server_shows_its_own_certificate_where_it_can),
        cmocka_unit_test(the_real_clients_hello_is_answered_in_one_record),
        cmocka_unit_test(records_are_merged_up_to_the_change_of_cipher_and_no_further),
        cmocka_unit_test(a_range_of_versions_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
