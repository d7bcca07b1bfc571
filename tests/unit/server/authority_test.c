/* SPDX-License-Identifier: Apache-2.0 */
#include "server/authority.h"

#include "csr.h"
#include "fakes/pki.h"
#include "record/record.h"
#include "tests/fakes/world.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

static struct world *world;
static struct bk_authority *authority;
static const int64_t hour_ms = 3600 * 1000;

static struct bk_authority *make(int64_t now)
{
    struct bk_buf key = { 0 }, cert = { 0 };
    struct bk_authority *a = NULL;
    const char *why = NULL;
    assert_int_equal(bk_authority_make(BK_VIEW("example.org"), now, &key, &cert), 0);
    assert_int_equal(bk_authority_load(bk_buf_view(&key), bk_buf_view(&cert), &a, &why), 0);
    bk_buf_finish(&key);
    bk_buf_finish(&cert);
    return a;
}

static int setup(void **state)
{
    (void)state;
    world = world_create_organisation();
    authority = make(world->real_ms);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    authority = bk_authority_destroy(authority);
    world_destroy(world);
    return 0;
}

static X509 *x509_of(struct bk_view pem)
{
    BIO *in = BIO_new_mem_buf(pem.at, (int)pem.len);
    X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);
    BIO_free(in);
    assert_non_null(cert);
    return cert;
}

static void der_of(struct bk_view pem, struct bk_buf *ret)
{
    X509 *cert = x509_of(pem);
    unsigned char *at = NULL;
    int n = i2d_X509(cert, &at);
    bk_buf_clear(ret);
    bk_buf_add(ret, at, (size_t)n);
    OPENSSL_free(at);
    X509_free(cert);
}

/* Issues for address with a new key; the DER in *ret_der. */
static struct bk_issued issue(struct bk_authority *from, const char *address, int64_t life_ms,
                              struct bk_buf *ret_der)
{
    struct bk_buf pem = { 0 };
    struct bk_issued issued;
    const char *why = NULL;
    char *csr = csr_make(CSR_P256, NULL);
    assert_int_equal(bk_authority_issue(from, bk_view_of_str(csr), bk_view_of_str(address),
                                        world->real_ms, life_ms, &world->random, &pem, &issued,
                                        &why),
                     0);
    der_of(bk_buf_view(&pem), ret_der);
    bk_buf_finish(&pem);
    free(csr);
    return issued;
}

static void put(const struct bk_issued *issued, const char *owner)
{
    struct bk_arena arena = { 0 };
    struct bk_user user;
    world_account(world, owner, &arena, &user);
    struct bk_certificate row = { .serial = bk_view_of_str(issued->serial),
                                  .user_id = user.id,
                                  .fingerprint = bk_view_of_str(issued->fingerprint),
                                  .issued_at = world->real_ms,
                                  .not_before = issued->not_before,
                                  .not_after = issued->not_after };
    WORLD_PUT(world, bk_store_put_certificate(batch, &row));
    bk_arena_finish(&arena);
}

/* The record's id, "" where the certificate is good. */
static const char *judge(struct bk_view der, const char *address)
{
    static char id[12];
    struct bk_arena arena = { 0 };
    struct bk_certificate row;
    const struct bk_record *record = bk_authority_judge(
        authority, world->store, der, bk_view_of_str(address), world->real_ms, &arena, &row);
    id[0] = '\0';
    if (record)
        bk_record_id(record, id);
    bk_arena_finish(&arena);
    return id;
}

static void a_personal_certificate_says_who_and_what_for_and_no_more(void **state)
{
    (void)state;
    struct bk_buf pem = { 0 };
    struct bk_issued issued;
    const char *why = NULL;
    char *csr = csr_make(CSR_WISHES, NULL);
    assert_int_equal(bk_authority_issue(authority, bk_view_of_str(csr), BK_VIEW("ann@example.org"),
                                        world->real_ms, 8 * hour_ms, &world->random, &pem, &issued,
                                        &why),
                     0);
    X509 *cert = x509_of(bk_buf_view(&pem));
    char cn[128];
    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, cn, sizeof cn);
    assert_string_equal(cn, "sip:ann@example.org");
    assert_int_equal(X509_check_ca(cert), 0);
    assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_CLIENT);
    assert_int_equal(X509_get_key_usage(cert), KU_DIGITAL_SIGNATURE);
    GENERAL_NAMES *san = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    assert_int_equal(sk_GENERAL_NAME_num(san), 1);
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(san, 0);
    assert_int_equal(name->type, GEN_URI);
    assert_string_equal((const char *)ASN1_STRING_get0_data(name->d.uniformResourceIdentifier),
                        "sip:ann@example.org");
    GENERAL_NAMES_free(san);
    X509_free(cert);
    bk_buf_finish(&pem);
    free(csr);
}

static void a_chain_checker_accepts_what_is_issued(void **state)
{
    (void)state;
    struct bk_buf key = { 0 }, pem = { 0 };
    struct bk_view names[] = { BK_VIEW("srv.example.org"), BK_VIEW("example.org"),
                               BK_VIEW("127.0.0.1"), BK_VIEW("::1") };
    assert_int_equal(
        bk_authority_server_certificate(authority, names, 4, world->real_ms, 90, &key, &pem), 0);
    X509 *cert = x509_of(bk_buf_view(&pem)), *root = x509_of(bk_authority_pem(authority));
    assert_int_equal(X509_check_host(cert, "srv.example.org", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(cert, "example.org", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(cert, "other.example.org", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ip_asc(cert, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "::1", 0), 1);
    X509_STORE *trust = X509_STORE_new();
    X509_STORE_add_cert(trust, root);
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509_STORE_CTX_init(ctx, trust, cert, NULL);
    X509_STORE_CTX_set_time(ctx, 0, (time_t)(world->real_ms / 1000));
    X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER);
    X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_X509_STRICT);
    assert_int_equal(X509_verify_cert(ctx), 1);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(trust);
    X509_free(cert);
    X509_free(root);
    bk_buf_finish(&key);
    bk_buf_finish(&pem);
}

static void what_was_issued_is_read_back(void **state)
{
    (void)state;
    struct bk_buf der = { 0 };
    struct bk_personal p;
    /* Serials with leading zeros among them: 40 certificates, one in 128 each. */
    for (int i = 0; i < 40; i++) {
        struct bk_issued issued = issue(authority, "ann@example.org", 8 * hour_ms, &der);
        assert_int_equal(bk_authority_read(authority, bk_buf_view(&der), &p), 0);
        assert_string_equal(p.serial, issued.serial);
        assert_int_equal(strlen(p.serial), 32);
        assert_string_equal(p.fingerprint, issued.fingerprint);
        assert_string_equal(p.address, "ann@example.org");
        assert_int_equal(p.not_before, issued.not_before);
        assert_int_equal(p.not_after, issued.not_after);
        assert_int_equal(p.not_after, world->real_ms + 8 * hour_ms);
        assert_int_equal(p.not_before, world->real_ms - 300 * 1000);
        assert_true(p.ours);
    }
    bk_buf_finish(&der);
}

static void zero_filler(void *ctx, void *to, size_t len)
{
    (void)ctx;
    memset(to, 0, len);
    ((unsigned char *)to)[len - 1] = 7;
}

static void a_serial_keeps_its_leading_zeros(void **state)
{
    (void)state;
    const struct bk_random zeros = { zero_filler, NULL };
    struct bk_buf pem = { 0 }, der = { 0 };
    struct bk_issued issued;
    struct bk_personal p;
    const char *why;
    char *csr = csr_make(CSR_P256, NULL);
    assert_int_equal(bk_authority_issue(authority, bk_view_of_str(csr), BK_VIEW("ann@example.org"),
                                        world->real_ms, hour_ms, &zeros, &pem, &issued, &why),
                     0);
    der_of(bk_buf_view(&pem), &der);
    assert_int_equal(bk_authority_read(authority, bk_buf_view(&der), &p), 0);
    assert_string_equal(issued.serial, "00000000000000000000000000000007");
    assert_string_equal(p.serial, issued.serial);
    bk_buf_finish(&pem);
    bk_buf_finish(&der);
    free(csr);
}

static void the_longest_address_fits(void **state)
{
    (void)state;
    struct bk_buf der = { 0 };
    struct bk_personal p;
    char address[321];
    memset(address, 'a', 320);
    address[64] = '@';
    address[320] = '\0';
    issue(authority, address, hour_ms, &der);
    assert_int_equal(bk_authority_read(authority, bk_buf_view(&der), &p), 0);
    assert_string_equal(p.address, address);
    bk_buf_finish(&der);
}

static void only_keys_that_hold_are_certified(void **state)
{
    (void)state;
    static const struct {
        enum csr_kind kind;
        int result;
        const char *why;
    } rows[] = {
        { CSR_P256, 0, NULL },
        { CSR_RSA_2048, 0, NULL },
        { CSR_P256_OTHER_SIGNER, -EBADMSG,
          "the certificate request is not signed with its own key" },
        { CSR_P384, -EKEYREJECTED, "the key is on another curve than P-256" },
        { CSR_ED25519, -EKEYREJECTED, "the key is neither P-256 nor RSA" },
        { CSR_RSA_1024, -EKEYREJECTED, "the RSA key has fewer than 2048 bits" },
        { CSR_RSA_4104, -EKEYREJECTED, "the RSA key has more than 4096 bits" },
        { CSR_RSA_EXPONENT_1, -EKEYREJECTED, "the RSA key's exponent is not safe" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bk_buf pem = { 0 };
        struct bk_issued issued;
        const char *why = NULL;
        char *csr = csr_make(rows[i].kind, NULL);
        assert_int_equal(bk_authority_issue(authority, bk_view_of_str(csr),
                                            BK_VIEW("ann@example.org"), world->real_ms, hour_ms,
                                            &world->random, &pem, &issued, &why),
                         rows[i].result);
        if (rows[i].why)
            assert_string_equal(why, rows[i].why);
        assert_int_equal(bk_authority_check_request(bk_view_of_str(csr), &why), rows[i].result);
        bk_buf_finish(&pem);
        free(csr);
    }
}

static void what_is_no_request_is_told_so(void **state)
{
    (void)state;
    struct bk_buf pem = { 0 };
    struct bk_issued issued;
    const char *why = NULL;
    char *csr = csr_make(CSR_P256, NULL);
    struct bk_view root = bk_authority_pem(authority);
    struct bk_view wrong[] = {
        BK_VIEW(""),
        BK_VIEW("x"),
        bk_view_head(bk_view_of_str(csr), 100),
        root, /* PEM, of something else */
        BK_VIEW("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"),
        BK_VIEW(
            "-----BEGIN CERTIFICATE REQUEST-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: "
            "AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAAAAAAAAAAAAAAAAAAAA==\n-----END "
            "CERTIFICATE REQUEST-----\n"),
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(bk_authority_issue(authority, wrong[i], BK_VIEW("ann@example.org"),
                                            world->real_ms, hour_ms, &world->random, &pem, &issued,
                                            &why),
                         -EBADMSG);
    for (size_t n = 0; n + 30 < strlen(csr); n++)
        assert_int_equal(bk_authority_check_request(bk_view_head(bk_view_of_str(csr), n), &why),
                         -EBADMSG);
    assert_int_equal(pem.len, 0);
    struct bk_view addresses[] = { BK_VIEW(""), BK_VIEW("a b@example.org"),
                                   BK_VIEW("\xc3\xa4@example.org") };
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(bk_authority_issue(authority, bk_view_of_str(csr), addresses[i],
                                            world->real_ms, hour_ms, &world->random, &pem, &issued,
                                            &why),
                         -EINVAL);
    bk_buf_finish(&pem);
    free(csr);
}

static void a_certificate_does_not_outlive_its_authority(void **state)
{
    (void)state;
    struct bk_buf der = { 0 };
    int64_t year_ms = 365 * 24 * hour_ms;
    int64_t end = (world->real_ms + 10 * year_ms) / 1000 * 1000;
    world->real_ms += 10 * year_ms - hour_ms;
    struct bk_issued issued = issue(authority, "ann@example.org", 8 * hour_ms, &der);
    assert_int_equal(issued.not_after, end);
    world->real_ms += 2 * hour_ms;
    struct bk_buf pem = { 0 };
    const char *why = NULL;
    char *csr = csr_make(CSR_P256, NULL);
    assert_int_equal(bk_authority_issue(authority, bk_view_of_str(csr), BK_VIEW("ann@example.org"),
                                        world->real_ms, hour_ms, &world->random, &pem, &issued,
                                        &why),
                     -EKEYEXPIRED);
    free(csr);
    bk_buf_finish(&pem);
    bk_buf_finish(&der);
}

static void each_fault_of_a_certificate_has_its_own_record(void **state)
{
    (void)state;
    struct bk_buf good = { 0 }, der = { 0 };
    struct bk_issued issued = issue(authority, "ann@example.org", 8 * hour_ms, &good);
    assert_string_equal(judge(bk_buf_view(&good), "ann@example.org"), "SI-105g");
    put(&issued, "ann@example.org");
    assert_string_equal(judge(bk_buf_view(&good), "ann@example.org"), "");
    assert_string_equal(judge(bk_buf_view(&good), ""), "");
    assert_string_equal(judge(bk_buf_view(&good), "bob@example.org"), "SI-105d");
    assert_string_equal(judge(BK_VIEW(""), ""), "SI-105c");
    for (size_t n = 0; n < good.len; n++)
        assert_string_equal(judge(bk_view_head(bk_buf_view(&good), n), ""), "SI-105c");

    struct bk_authority *other = make(world->real_ms);
    issue(other, "ann@example.org", 8 * hour_ms, &der);
    assert_string_equal(judge(bk_buf_view(&der), "ann@example.org"), "SI-105f");
    bk_authority_destroy(other);

    world->real_ms = issued.not_after - 1;
    assert_string_equal(judge(bk_buf_view(&good), "ann@example.org"), "");
    world->real_ms = issued.not_after;
    assert_string_equal(judge(bk_buf_view(&good), "ann@example.org"), "SI-105a");
    world->real_ms = issued.not_before - 1;
    assert_string_equal(judge(bk_buf_view(&good), "ann@example.org"), "SI-105b");
    world->real_ms = issued.not_before;
    assert_string_equal(judge(bk_buf_view(&good), "ann@example.org"), "");

    WORLD_PUT(world,
              bk_store_revoke_certificate(batch, bk_view_of_str(issued.serial), world->real_ms,
                                          BK_VIEW("admin"), BK_VIEW("lost")));
    assert_string_equal(judge(bk_buf_view(&good), "ann@example.org"), "SI-219");
    world->real_ms = issued.not_after;
    assert_string_equal(judge(bk_buf_view(&good), "ann@example.org"), "SI-219");
    bk_buf_finish(&good);
    bk_buf_finish(&der);
}

static void a_changed_address_makes_the_old_certificate_another_ones(void **state)
{
    (void)state;
    struct bk_buf der = { 0 };
    struct bk_arena arena = { 0 };
    struct bk_user user;
    struct bk_issued issued = issue(authority, "ann@example.org", 8 * hour_ms, &der);
    put(&issued, "ann@example.org");
    world_account(world, "ann@example.org", &arena, &user);
    user.address = user.username = BK_VIEW("ann.smith@example.org");
    WORLD_PUT(world, bk_store_put_user(batch, &user));
    assert_string_equal(judge(bk_buf_view(&der), "ann@example.org"), "SI-105d");
    assert_string_equal(judge(bk_buf_view(&der), "ann.smith@example.org"), "SI-105d");
    assert_string_equal(judge(bk_buf_view(&der), ""), "SI-105d");
    bk_arena_finish(&arena);
    bk_buf_finish(&der);
}

static void a_forged_certificate_with_a_known_serial_is_unknown(void **state)
{
    (void)state;
    struct bk_buf real = { 0 }, der = { 0 };
    struct bk_issued first = issue(authority, "ann@example.org", 8 * hour_ms, &real);
    struct bk_issued second = issue(authority, "ann@example.org", 8 * hour_ms, &der);
    /* The store knows the second one's serial with the first one's bytes. */
    memcpy(second.fingerprint, first.fingerprint, sizeof second.fingerprint);
    put(&second, "ann@example.org");
    assert_string_equal(judge(bk_buf_view(&der), "ann@example.org"), "SI-105g");
    bk_buf_finish(&real);
    bk_buf_finish(&der);
}

static void any_changed_byte_is_noticed(void **state)
{
    (void)state;
    struct bk_buf der = { 0 };
    struct bk_issued issued = issue(authority, "ann@example.org", 8 * hour_ms, &der);
    put(&issued, "ann@example.org");
    for (size_t i = 0; i < der.len; i++) {
        der.at[i] ^= 1;
        assert_string_not_equal(judge(bk_buf_view(&der), "ann@example.org"), "");
        der.at[i] ^= 1;
    }
    assert_string_equal(judge(bk_buf_view(&der), "ann@example.org"), "");
    bk_buf_finish(&der);
}

static void only_an_authority_with_its_key_is_loaded(void **state)
{
    (void)state;
    struct bk_authority *a = NULL;
    const char *why = NULL;
    struct pki_cert *root = pki_make(&(struct pki_request){ .name = "root", .ca = true });
    struct pki_cert *leaf = pki_make(&(struct pki_request){ .name = "leaf", .issuer = root });
    struct bk_view root_cert = bk_view_of_str(pki_cert_pem(root)),
                   root_key = bk_view_of_str(pki_key_pem(root)),
                   leaf_cert = bk_view_of_str(pki_cert_pem(leaf)),
                   leaf_key = bk_view_of_str(pki_key_pem(leaf));
    assert_int_equal(bk_authority_load(root_key, leaf_cert, &a, &why), -EKEYREJECTED);
    assert_string_equal(why, "the authority's key does not belong to its certificate");
    assert_int_equal(bk_authority_load(leaf_key, leaf_cert, &a, &why), -EKEYREJECTED);
    assert_string_equal(why, "the certificate may not issue others (no CA:TRUE)");
    assert_int_equal(bk_authority_load(BK_VIEW(""), root_cert, &a, &why), -EBADMSG);
    assert_int_equal(bk_authority_load(root_key, BK_VIEW("nonsense"), &a, &why), -EBADMSG);
    assert_int_equal(bk_authority_load(root_cert, root_key, &a, &why), -EBADMSG);
    assert_null(a);
    assert_int_equal(bk_authority_load(root_key, root_cert, &a, &why), 0);
    assert_true(bk_view_equal(bk_authority_pem(a), root_cert));
    bk_authority_destroy(a);
    pki_free(leaf);
    pki_free(root);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_personal_certificate_says_who_and_what_for_and_no_more),
        TEST(a_chain_checker_accepts_what_is_issued),
        TEST(what_was_issued_is_read_back),
        TEST(a_serial_keeps_its_leading_zeros),
        TEST(the_longest_address_fits),
        TEST(only_keys_that_hold_are_certified),
        TEST(what_is_no_request_is_told_so),
        TEST(a_certificate_does_not_outlive_its_authority),
        TEST(each_fault_of_a_certificate_has_its_own_record),
        TEST(a_changed_address_makes_the_old_certificate_another_ones),
        TEST(a_forged_certificate_with_a_known_serial_is_unknown),
        TEST(any_changed_byte_is_noticed),
        TEST(only_an_authority_with_its_key_is_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
