/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/hmac.h"
#include "ms_test.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

static void repeat(uint8_t *to, uint8_t byte, size_t n)
{
    memset(to, byte, n);
}

/* RFC 2202, sections 2 and 3: cases 1, 2, 3. */
static void sums_are_those_of_the_rfc(void **state)
{
    (void)state;
    uint8_t key[20], text[50], sum[BK_HMAC_SIZE_MAX];
    struct bk_hmac h;
    repeat(key, 0x0b, sizeof key);
    bk_hmac_init(&h, BK_HMAC_MD5, key, 16);
    bk_hmac_sum(&h, BK_VIEW("Hi There"), (struct bk_view){ 0 }, sum);
    expect_hex(sum, 16, "9294727a3638bb1c13f48ef8158bfc9d");
    bk_hmac_init(&h, BK_HMAC_SHA1, key, 20);
    bk_hmac_sum(&h, BK_VIEW("Hi"), BK_VIEW(" There"), sum);
    expect_hex(sum, 20, "b617318655057264e28bc0b6fb378c8ef146be00");

    bk_hmac_init(&h, BK_HMAC_MD5, (const uint8_t *)"Jefe", 4);
    bk_hmac_sum(&h, BK_VIEW("what do ya want "), BK_VIEW("for nothing?"), sum);
    expect_hex(sum, 16, "750c783e6ab0b503eaa86e310a5db738");
    bk_hmac_init(&h, BK_HMAC_SHA1, (const uint8_t *)"Jefe", 4);
    bk_hmac_sum(&h, (struct bk_view){ 0 }, BK_VIEW("what do ya want for nothing?"), sum);
    expect_hex(sum, 20, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");

    repeat(key, 0xaa, sizeof key);
    repeat(text, 0xdd, sizeof text);
    struct bk_view all = { (const char *)text, sizeof text };
    bk_hmac_init(&h, BK_HMAC_MD5, key, 16);
    bk_hmac_sum(&h, all, (struct bk_view){ 0 }, sum);
    expect_hex(sum, 16, "56be34521d144c88dbb8c733f0e8b3f6");
    bk_hmac_init(&h, BK_HMAC_SHA1, key, 20);
    bk_hmac_sum(&h, all, (struct bk_view){ 0 }, sum);
    expect_hex(sum, 20, "125d7342b9ac11cd91a39af48aa17b4f63f175d3");
}

/* Over every border of a block, with keys of every length, again and again with one key taken in once. */
static void sums_are_openssls_whatever_the_length(void **state)
{
    (void)state;
    uint8_t text[200], key[BK_HMAC_KEY_MAX], got[BK_HMAC_SIZE_MAX], want[EVP_MAX_MD_SIZE];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)(255 - i);
    for (size_t k = 0; k <= sizeof key; k++) {
        struct bk_hmac md5, sha;
        bk_hmac_init(&md5, BK_HMAC_MD5, key, k);
        bk_hmac_init(&sha, BK_HMAC_SHA1, key, k);
        for (size_t n = 0; n <= sizeof text; n++) {
            struct bk_view a = { (const char *)text, n / 3 },
                           b = { (const char *)text + n / 3, n - n / 3 };
            unsigned len;
            bk_hmac_sum(&md5, a, b, got);
            assert_non_null(HMAC(EVP_md5(), key, (int)k, text, n, want, &len));
            assert_memory_equal(got, want, 16);
            bk_hmac_sum(&sha, a, b, got);
            assert_non_null(HMAC(EVP_sha1(), key, (int)k, text, n, want, &len));
            assert_memory_equal(got, want, 20);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_those_of_the_rfc),
        cmocka_unit_test(sums_are_openssls_whatever_the_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
