/* SPDX-License-Identifier: Apache-2.0 */
/* The examples of the RFCs, then forgers. */
#include "sip/digest.h"

#include "base/random.h"
#include "sip/msg.h"
#include "tests/unit/base/failing_alloc.h"
#include "tests/unit/sip/samples.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>

static struct bk_view hex_of(const char *text)
{
    return bk_view_of_str(text);
}

static bool checks(const char *credentials, const char *method, enum bk_digest_algorithm algorithm,
                   const char *user, const char *realm, const char *password)
{
    struct bk_digest_credentials c;
    char ha1[BK_DIGEST_HEX_MAX + 1];
    EXACT(value, bk_view_of_str(credentials));
    assert_int_equal(bk_digest_credentials_parse(value, &c), 0);
    assert_int_equal(c.algorithm, algorithm);
    assert_int_equal(bk_digest_ha1(algorithm, bk_view_of_str(user), bk_view_of_str(realm),
                                   bk_view_of_str(password), ha1),
                     0);
    return bk_digest_check(&c, bk_view_of_str(method), hex_of(ha1));
}

#define RFC7616(algorithm, response)                                                               \
    "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", "       \
    "algorithm=" algorithm ", nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", "            \
    "nc=00000001, cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, "             \
    "response=\"" response "\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
#define MD5_EXAMPLE RFC7616("MD5", "8ca523f5e9506fed4657c9700eebdbec")
#define SHA_EXAMPLE                                                                                \
    RFC7616("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1")

static void the_examples_of_rfc_7616_check(void **state)
{
    (void)state;
    static const char realm[] = "http-auth@example.org";
    assert_true(checks(MD5_EXAMPLE, "GET", BK_DIGEST_MD5, "Mufasa", realm, "Circle of Life"));
    assert_true(checks(SHA_EXAMPLE, "GET", BK_DIGEST_SHA256, "Mufasa", realm, "Circle of Life"));
    assert_false(checks(SHA_EXAMPLE, "PUT", BK_DIGEST_SHA256, "Mufasa", realm, "Circle of Life"));
    assert_false(checks(SHA_EXAMPLE, "GET", BK_DIGEST_SHA256, "Mufasa", realm, "Circle of life"));
    assert_false(checks(SHA_EXAMPLE, "GET", BK_DIGEST_SHA256, "Mufase", realm, "Circle of Life"));
}

static void the_examples_of_rfc_2617_and_2069_check(void **state)
{
    (void)state;
    assert_true(checks("Digest username=\"Mufasa\", realm=\"testrealm@host.com\", "
                       "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", "
                       "qop=auth, nc=00000001, cnonce=\"0a4f113b\", "
                       "response=\"6629fae49393a05397450978507c4ef1\", "
                       "opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
                       "GET", BK_DIGEST_MD5, "Mufasa", "testrealm@host.com", "Circle Of Life"));
    /* No qop; the value is that of the erratum. */
    assert_true(checks("digest username=\"Mufasa\",realm=\"testrealm@host.com\","
                       "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\",uri=\"/dir/index.html\","
                       "response=\"1949323746FE6A43EF61F9606E7FEBEA\"",
                       "GET", BK_DIGEST_MD5, "Mufasa", "testrealm@host.com", "CircleOfLife"));
}

static void one_byte_off_anywhere_is_wrong(void **state)
{
    (void)state;
    struct bk_view whole = V(MD5_EXAMPLE);
    struct bk_digest_credentials c;
    char ha1[BK_DIGEST_HEX_MAX + 1];
    assert_int_equal(bk_digest_ha1(BK_DIGEST_MD5, V("Mufasa"), V("http-auth@example.org"),
                                   V("Circle of Life"), ha1),
                     0);
    assert_int_equal(bk_digest_credentials_parse(whole, &c), 0);
    /* What goes into the hash; user name and realm come in by HA1, opaque not at all. */
    const struct bk_view *const hashed[] = {
        &c.nonce, &c.uri, &c.response, &c.cnonce, &c.nc, &c.qop
    };
    for (size_t i = 0; i < sizeof hashed / sizeof *hashed; i++) {
        size_t from = (size_t)(hashed[i]->at - whole.at);
        for (size_t n = 0; n < hashed[i]->len; n++) {
            EXACT(copy, whole);
            struct bk_digest_credentials bent;
            char *byte = (char *)(uintptr_t)copy.at + from + n;
            *byte = *byte == '7' ? '8' : '7';
            if (bk_digest_credentials_parse(copy, &bent) == 0)
                assert_false(bk_digest_check(&bent, V("GET"), hex_of(ha1)));
        }
    }
    for (size_t n = 0; n < c.response.len; n++) { /* a prefix is not enough */
        struct bk_digest_credentials shorter = c;
        shorter.response = bk_view_head(c.response, n);
        assert_false(bk_digest_check(&shorter, V("GET"), hex_of(ha1)));
    }
    assert_true(bk_digest_check(&c, V("GET"), hex_of(ha1)));
    assert_false(bk_digest_check(&c, V("GET"), bk_view_head(hex_of(ha1), 31)));
}

static void only_what_we_offer_is_taken(void **state)
{
    (void)state;
    static const char *const rows[] = {
        /* qop auth-int, a short nc, no cnonce: all with a response that would be right by itself */
        "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"%s\", "
        "qop=auth-int, nc=00000001, cnonce=\"c\"",
        "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"%s\", qop=auth, "
        "nc=1, cnonce=\"c\"",
        "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"%s\", qop=auth, "
        "nc=00000001",
        "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"%s\", qop=auth, "
        "nc=00000001, cnonce=\"\"",
    };
    char ha1[BK_DIGEST_HEX_MAX + 1],
        right[BK_DIGEST_HEX_MAX + 1] = "00000000000000000000000000000000";
    assert_int_equal(bk_digest_ha1(BK_DIGEST_MD5, V("a"), V("r"), V("p"), ha1), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[500];
        struct bk_digest_credentials c;
        for (int pass = 0; pass < 2; pass++) {
            snprintf(text, sizeof text, rows[i], right);
            assert_int_equal(bk_digest_credentials_parse(bk_view_of_str(text), &c), 0);
            assert_int_equal(bk_digest_response(&c, V("GET"), hex_of(ha1), right), 0);
        }
        assert_false(bk_digest_check(&c, V("GET"), hex_of(ha1)));
    }
    struct bk_digest_credentials c;
    assert_int_equal(bk_digest_credentials_parse(V("Digest algorithm=MD5-sess"), &c), 0);
    assert_int_equal(c.algorithm, BK_DIGEST_UNKNOWN);
    assert_int_equal(bk_digest_response(&c, V("GET"), hex_of(ha1), right), -ENOTSUP);
    assert_false(bk_digest_check(&c, V("GET"), hex_of(ha1)));
}

static void what_is_no_digest_is_told_from_what_is_a_bad_one(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int r;
    } rows[] = {
        { "", -ENOENT },
        { "Basic QWxhZGRpbg==", -ENOENT },
        { "NTLM qop=\"auth\"", -ENOENT },
        { "DigestX a=b", -ENOENT },
        { "Digest", -EBADMSG },
        { "Digest,", -EBADMSG },
        { "Digest realm", -EBADMSG },
        { "Digest realm=\"a", -EBADMSG },
        { "Digest realm=\"a\" nonce=\"b\"", -EBADMSG },
        { "Digest realm=\"a\";nonce=\"b\"", -EBADMSG },
        { "Digest realm=\"a\",", -EBADMSG },
        { "Digest realm=\"a\",,nonce=\"b\"", -EBADMSG },
        { "Digest realm=\"a\", REALM=\"b\"", -EBADMSG },
        { "Digest nonce=a, nonce=a", -EBADMSG },
        { "Digest realm=a\\, nonce=b", -EBADMSG },
        { "Digest realm=\"\", realm=\"\"", -EBADMSG },
        { " digest\r\n realm = \"a\" ,\r\n\tnonce=\"b\" ", 0 },
        { "Digest x=1, x=2, realm=\"a\"", 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        EXACT(text, bk_view_of_str(rows[i].text));
        struct bk_digest_credentials c;
        struct bk_digest_challenge ch;
        if (bk_digest_credentials_parse(text, &c) != rows[i].r ||
            bk_digest_challenge_parse(text, &ch) != rows[i].r)
            fail_msg("%s", rows[i].text);
    }
}

static void every_capture_with_credentials_is_read(void **state)
{
    (void)state;
    static struct bk_sip_msg msg;
    SAMPLES(s);
    int n = 0;
    for (size_t i = 0; i < s.n; i++) {
        struct bk_sip_fault fault;
        struct bk_digest_credentials c;
        if (bk_sip_msg_parse(&msg, bk_buf_view(&s.at[i].bytes), &fault) < 0)
            continue;
        struct bk_view value = bk_sip_msg_value(&msg, BK_SIP_HDR_AUTHORIZATION);
        if (!value.at)
            value = bk_sip_msg_value(&msg, BK_SIP_HDR_PROXY_AUTHORIZATION);
        if (!value.at)
            continue;
        assert_int_equal(bk_digest_credentials_parse(value, &c), 0);
        assert_int_equal(c.response.len, bk_digest_hex_len(c.algorithm));
        assert_true(c.username.len && c.realm.len && c.nonce.len && c.uri.len && c.cnonce.len);
        n++;
    }
    assert_true(n > 5);
}

static void cut_at_any_byte_credentials_stay_inside(void **state)
{
    (void)state;
    struct bk_view whole = V(SHA_EXAMPLE);
    for (size_t n = 0; n <= whole.len; n++) {
        EXACT(part, bk_view_head(whole, n));
        struct bk_digest_credentials c;
        if (bk_digest_credentials_parse(part, &c) == 0) {
            assert_inside(c.opaque, part);
            assert_inside(c.response, part);
        }
    }
}

/* ---- both sides ---- */

static struct bk_random_seeded seed;

static void our_answer_checks_against_our_challenge(void **state)
{
    (void)state;
    struct bk_random random = bk_random_from_seed(&seed, 1);
    for (int algorithm = BK_DIGEST_MD5; algorithm <= BK_DIGEST_SHA256; algorithm++) {
        for (int stale = 0; stale < 2; stale++) {
            BK_AUTO_BUF struct bk_buf challenge = { 0 }, answer = { 0 };
            struct bk_digest_challenge ch;
            struct bk_digest_credentials c;
            char ha1[BK_DIGEST_HEX_MAX + 1];
            bk_digest_challenge_write(&challenge, V("ex\"am\\ple"), V("n0nce"),
                                      (enum bk_digest_algorithm)algorithm, stale);
            assert_int_equal(bk_digest_challenge_parse(bk_buf_view(&challenge), &ch), 0);
            assert_int_equal(ch.stale, stale);
            assert_int_equal(ch.algorithm, algorithm);
            assert_int_equal(bk_digest_answer(&answer, &ch, V("ann"), V("se:cret"), V("REGISTER"),
                                              V("sip:example.org"), 0x1a, &random),
                             0);
            assert_int_equal(bk_digest_credentials_parse(bk_buf_view(&answer), &c), 0);
            assert_view(c.nc, "0000001a");
            assert_view(c.username, "ann");
            assert_view(c.uri, "sip:example.org");
            assert_view(c.nonce, "n0nce");
            assert_int_equal(c.cnonce.len, 16);
            assert_int_equal(bk_digest_ha1(ch.algorithm, V("ann"), ch.realm, V("se:cret"), ha1), 0);
            assert_true(bk_digest_check(&c, V("REGISTER"), hex_of(ha1)));
            assert_false(bk_digest_check(&c, V("INVITE"), hex_of(ha1)));
        }
    }
}

static void a_challenge_is_answered_as_it_asks(void **state)
{
    (void)state;
    struct bk_random random = bk_random_from_seed(&seed, 1);
    static const struct {
        const char *challenge;
        int r;
        bool qop;
    } rows[] = {
        { "Digest realm=\"r\", nonce=\"n\"", 0, false },
        { "Digest realm=\"r\", nonce=\"n\", qop=\"auth-int, auth\", opaque=\"o\"", 0, true },
        { "Digest realm=\"r\", nonce=\"n\", qop=auth", 0, true },
        { "Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\"", -ENOTSUP, false },
        { "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-512-256", -ENOTSUP, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        BK_AUTO_BUF struct bk_buf answer = { 0 };
        struct bk_digest_challenge ch;
        struct bk_digest_credentials c;
        char ha1[BK_DIGEST_HEX_MAX + 1];
        assert_int_equal(bk_digest_challenge_parse(bk_view_of_str(rows[i].challenge), &ch), 0);
        assert_int_equal(
            bk_digest_answer(&answer, &ch, V("u"), V("p"), V("M"), V("sip:x"), 1, &random),
            rows[i].r);
        if (rows[i].r < 0) {
            assert_int_equal(answer.len, 0);
            continue;
        }
        assert_int_equal(bk_digest_credentials_parse(bk_buf_view(&answer), &c), 0);
        assert_int_equal(c.qop.len > 0, rows[i].qop);
        assert_views(c.opaque, ch.opaque);
        assert_int_equal(bk_digest_ha1(BK_DIGEST_MD5, V("u"), V("r"), V("p"), ha1), 0);
        assert_true(bk_digest_check(&c, V("M"), hex_of(ha1)));
    }
    struct bk_digest_challenge ch = { .realm = V("r"),
                                      .nonce = V("n"),
                                      .algorithm = BK_DIGEST_MD5 };
    BK_AUTO_BUF struct bk_buf answer = { 0 };
    assert_int_equal(bk_digest_answer(&answer, &ch, V("a\"b"), V("p"), V("M"), V("u"), 1, &random),
                     -EINVAL);
    assert_int_equal(bk_digest_answer(&answer, &ch, V("a"), V("p"), V("M"), V("u\r\n"), 1, &random),
                     -EINVAL);
    assert_int_equal(answer.len, 0);
}

/* ---- nonces ---- */

static const struct bk_digest_nonce_key key = { "0123456789abcdef0123456789abcde" };

static void a_nonce_is_good_then_stale_and_never_before_it_was_made(void **state)
{
    (void)state;
    struct bk_random random = bk_random_from_seed(&seed, 7);
    char nonce[BK_DIGEST_NONCE_MAX];
    uint64_t id = 0, other_id = 0;
    struct bk_view bind = V("example.org MD5");

    assert_int_equal(bk_digest_nonce_make(&key, bind, 1000000, &random, nonce), 0);
    struct bk_view n = bk_view_of_str(nonce);
    assert_int_equal(bk_digest_nonce_check(&key, bind, n, 1000000, 300000, &id),
                     BK_DIGEST_NONCE_GOOD);
    assert_int_equal(bk_digest_nonce_check(&key, bind, n, 1300000, 300000, &other_id),
                     BK_DIGEST_NONCE_GOOD);
    assert_int_equal(id, other_id);
    assert_int_equal(bk_digest_nonce_check(&key, bind, n, 1300001, 300000, &id),
                     BK_DIGEST_NONCE_STALE);
    assert_int_equal(bk_digest_nonce_check(&key, bind, n, 999999, 300000, &id),
                     BK_DIGEST_NONCE_STALE);

    assert_int_equal(bk_digest_nonce_make(&key, bind, 1000000, &random, nonce), 0);
    assert_int_equal(
        bk_digest_nonce_check(&key, bind, bk_view_of_str(nonce), 1000000, 1, &other_id),
        BK_DIGEST_NONCE_GOOD);
    assert_int_not_equal(id, other_id); /* each has its own, in the same millisecond too */
}

static void a_nonce_with_any_byte_changed_is_forged(void **state)
{
    (void)state;
    struct bk_random random = bk_random_from_seed(&seed, 7);
    struct bk_digest_nonce_key other_key = key;
    char nonce[BK_DIGEST_NONCE_MAX];
    uint64_t id;
    struct bk_view bind = V("example.org MD5");
    assert_int_equal(bk_digest_nonce_make(&key, bind, 5, &random, nonce), 0);
    struct bk_view n = bk_view_of_str(nonce);

    for (size_t i = 0; i < n.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            EXACT(bent, n);
            char *byte = (char *)(uintptr_t)bent.at + i;
            *byte = (char)(*byte ^ 1 << bit);
            enum bk_digest_nonce_state got = bk_digest_nonce_check(&key, bind, bent, 5, 1, &id);
            if (bk_view_equal_nocase(bent, n)) /* the same hex in capitals */
                assert_int_equal(got, BK_DIGEST_NONCE_GOOD);
            else
                assert_int_equal(got, BK_DIGEST_NONCE_FORGED);
        }
        EXACT(cut, bk_view_head(n, i));
        assert_int_equal(bk_digest_nonce_check(&key, bind, cut, 5, 1, &id), BK_DIGEST_NONCE_FORGED);
    }
    other_key.key[31] ^= 1;
    assert_int_equal(bk_digest_nonce_check(&other_key, bind, n, 5, 1, &id), BK_DIGEST_NONCE_FORGED);
    assert_int_equal(bk_digest_nonce_check(&key, V("example.org SHA-256"), n, 5, 1, &id),
                     BK_DIGEST_NONCE_FORGED);
    assert_int_equal(bk_digest_nonce_check(&key, (struct bk_view){ 0 }, n, 5, 1, &id),
                     BK_DIGEST_NONCE_FORGED);
}

static void the_mac_of_a_nonce_is_hmac_sha_256(void **state)
{
    (void)state;
    struct bk_random random = bk_random_from_seed(&seed, 0);
    char nonce[BK_DIGEST_NONCE_MAX];
    uint8_t bytes[30], text[14 + 4], mac[32];
    assert_int_equal(bk_digest_nonce_make(&key, V("bind"), 0x010203040506, &random, nonce), 0);
    assert_int_equal(bk_hex_decode(bk_view_of_str(nonce), bytes, sizeof bytes), 0);
    assert_memory_equal(bytes, "\1\2\3\4\5\6", 6);
    memcpy(text, bytes, 14);
    memcpy(text + 14, "bind", 4);
    assert_non_null(HMAC(EVP_sha256(), key.key, sizeof key.key, text, sizeof text, mac, NULL));
    assert_memory_equal(bytes + 14, mac, 16);
}

/* ---- memory ---- */

/* The n-th allocation inside OpenSSL fails, counted down to 0. */
static unsigned crypto_countdown;
static bool crypto_failed;

static bool crypto_fails(void)
{
    if (crypto_countdown == 0 || --crypto_countdown > 0)
        return false;
    crypto_failed = true;
    return true;
}

static void *crypto_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return crypto_fails() ? NULL : malloc(size);
}

static void *crypto_realloc(void *at, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return crypto_fails() ? NULL : realloc(at, size);
}

static void crypto_free(void *at, const char *file, int line)
{
    (void)file;
    (void)line;
    free(at);
}

static void without_memory_nothing_is_accepted(void **state)
{
    (void)state;
    struct bk_random random = bk_random_from_seed(&seed, 7);
    struct bk_digest_credentials c;
    char ha1[BK_DIGEST_HEX_MAX + 1], again[BK_DIGEST_HEX_MAX + 1], nonce[BK_DIGEST_NONCE_MAX];
    uint64_t id;
    assert_int_equal(bk_digest_ha1(BK_DIGEST_MD5, V("Mufasa"), V("http-auth@example.org"),
                                   V("Circle of Life"), ha1),
                     0);
    assert_int_equal(bk_digest_credentials_parse(V(MD5_EXAMPLE), &c), 0);
    assert_int_equal(bk_digest_nonce_make(&key, V("b"), 5, &random, nonce), 0);
    int n_failed = 0;
    for (unsigned n = 1; n < 200; n++) {
        for (int what = 0; what < 4; what++) {
            int r = 0;
            crypto_failed = false;
            crypto_countdown = n;
            switch (what) {
            case 0:
                r = bk_digest_ha1(BK_DIGEST_SHA256, V("u"), V("r"), V("p"), again);
                break;
            case 1:
                r = bk_digest_check(&c, V("GET"), hex_of(ha1)) ? 0 : -ENOMEM;
                break;
            case 2:
                again[0] = 'x';
                r = bk_digest_nonce_make(&key, V("b"), 5, &random, again);
                assert_int_equal(r < 0, again[0] == '\0');
                break;
            case 3:
                r = bk_digest_nonce_check(&key, V("b"), bk_view_of_str(nonce), 5, 1, &id) ==
                            BK_DIGEST_NONCE_GOOD
                        ? 0
                        : -ENOMEM;
                break;
            }
            crypto_countdown = 0;
            assert_int_equal(r, crypto_failed ? -ENOMEM : 0);
            n_failed += crypto_failed;
        }
    }
    assert_true(n_failed >= 4); /* at least the first allocation of each was refused */
}

static void an_answer_without_room_is_told_by_its_buffer(void **state)
{
    (void)state;
    struct bk_random random = bk_random_from_seed(&seed, 7);
    struct bk_digest_challenge ch = { .realm = V("r"),
                                      .nonce = V("n"),
                                      .algorithm = BK_DIGEST_MD5,
                                      .algorithm_name = V("MD5"),
                                      .qop_list = V("auth") };
    for (unsigned n = 1;; n++) {
        BK_AUTO_BUF struct bk_buf answer = { 0 };
        bk_fail_alloc(n);
        int r = bk_digest_answer(&answer, &ch, V("u"), V("p"), V("M"), V("sip:x"), 1, &random);
        bool failed = bk_fail_alloc(0);
        assert_true(r == 0 || r == -ENOMEM);
        assert_int_equal(failed, r < 0 || answer.failed);
        if (!failed)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_rfc_7616_check),
        cmocka_unit_test(the_examples_of_rfc_2617_and_2069_check),
        cmocka_unit_test(one_byte_off_anywhere_is_wrong),
        cmocka_unit_test(only_what_we_offer_is_taken),
        cmocka_unit_test(what_is_no_digest_is_told_from_what_is_a_bad_one),
        cmocka_unit_test(every_capture_with_credentials_is_read),
        cmocka_unit_test(cut_at_any_byte_credentials_stay_inside),
        cmocka_unit_test(our_answer_checks_against_our_challenge),
        cmocka_unit_test(a_challenge_is_answered_as_it_asks),
        cmocka_unit_test(a_nonce_is_good_then_stale_and_never_before_it_was_made),
        cmocka_unit_test(a_nonce_with_any_byte_changed_is_forged),
        cmocka_unit_test(the_mac_of_a_nonce_is_hmac_sha_256),
        cmocka_unit_test(without_memory_nothing_is_accepted),
        cmocka_unit_test(an_answer_without_room_is_told_by_its_buffer),
    };
    if (CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free) != 1)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
