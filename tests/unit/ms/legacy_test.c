/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/legacy.h"
#include "ms_test.h"

/* RFC 1320, A.5. */
static void md4_gives_the_digests_of_its_rfc(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hex;
    } rows[] = {
        { "", "31d6cfe0d16ae931b73c59d7e0c089c0" },
        { "a", "bde52cb31de33e46245e05fbdbd6fb24" },
        { "abc", "a448017aaf21d8525fc10ae87aa6729d" },
        { "message digest", "d9130a8164549fe818874806e1c7014b" },
        { "abcdefghijklmnopqrstuvwxyz", "d79e1c308aa5bbcdeea8ed63df412da9" },
        { "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
          "043f8582f241db351ce627e153e7f0e4" },
        { "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
          "e33b4ddc9c38f2199c3e7b164fcc0536" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t digest[BK_MD4_SIZE];
        bk_md4(bk_view_of_str(rows[i].text), digest);
        expect_hex(digest, sizeof digest, rows[i].hex);
    }
}

/* RFC 6229, 2: the key stream at offset 0 and 16. */
static void rc4_gives_the_key_streams_of_its_rfc(void **state)
{
    (void)state;
    static const struct {
        const char *key, *stream;
    } rows[] = {
        { "0102030405", "b2396305f03dc027ccc3524a0a1118a86982944f18fc82d589c403a47a0d0919" },
        { "0102030405060708090a0b0c0d0e0f10",
          "9ac7cc9a609d1ef7b2932899cde41b975248c4959014126a6e8a84f11d1a9e1c" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char key[32];
        size_t len = strlen(rows[i].key) / 2;
        assert_int_equal(bk_hex_decode(bk_view_of_str(rows[i].key), key, len), 0);
        struct bk_rc4 rc4;
        uint8_t out[32] = { 0 };
        bk_rc4_init(&rc4, (struct bk_view){ key, len });
        bk_rc4_crypt(&rc4, out, out, 5); /* in pieces: the stream goes on */
        bk_rc4_crypt(&rc4, out + 5, out + 5, sizeof out - 5);
        expect_hex(out, sizeof out, rows[i].stream);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(md4_gives_the_digests_of_its_rfc),
        cmocka_unit_test(rc4_gives_the_key_streams_of_its_rfc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
