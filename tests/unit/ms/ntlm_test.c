/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/ntlm.h"
#include "ms_test.h"

#include <errno.h>

static const struct bk_ntlm_names names = {
    { BK_VIEW_OF("EXAMPLE") },
    { BK_VIEW_OF("SRV") },
    { BK_VIEW_OF("example.com") },
    { BK_VIEW_OF("srv.example.com") },
};
static const uint8_t challenge_bytes[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

/* What pidgin-sipe 1.25 answered to a recorded challenge; its password was "secret". */
static const char recorded_challenge[] = "1c40b0758a62174f";
static const char recorded_answer[] =
    "TlRMTVNTUAADAAAAGAAYAG4AAACMAIwAhgAAAAAAAABIAAAAIgAiAEgAAAAEAAQAagAAABAAEAASAQAAVYKYYgUBKAoA"
    "AAAPYQBsAGkAYwBlAEAAZQB4AGEAbQBwAGwAZQAuAGMAbwBtAFYATQA56NZ0G/"
    "jc+1FYL6fZUwfF/2+/6UFhd3zbUhA8l7AxLcMVBFoi/U1WAQEAAAAAAACAImHfRXrdAf9vv+"
    "lBYXd8AAAAAAIADgBFAFgAQQBNAFAATABFAAEABgBTAFIAVgAEABYAZQB4AGEAbQBwAGwAZQAuAGMAbwBtAAMAHgBzA"
    "HIAdgAuAGUAeABhAG0AcABsAGUALgBjAG8AbQAAAAAAAAAAAHcI/xYYbQ8ctshu6TEJWBI=";

static void answer_of(struct bk_buf *token, struct bk_ntlm_answer *ret)
{
    assert_int_equal(bk_base64_decode(bk_view_of_str(recorded_answer), token), 0);
    assert_int_equal(bk_ntlm_answer_parse(bk_buf_view(token), ret), 0);
}

/* [MS-NLMP] 4.2.2.1.2 has MD4 of "Password" in UTF-16. */
static void a_password_becomes_the_hash_of_the_published_example(void **state)
{
    (void)state;
    uint8_t hash[BK_NTLM_HASH_SIZE];
    assert_int_equal(bk_ntlm_hash(BK_VIEW("Password"), hash), 0);
    expect_hex(hash, sizeof hash, "a4f49c406510bdcab6824ee7c30fd852");
    assert_int_equal(bk_ntlm_hash(BK_VIEW("\xff"), hash), -EINVAL);
}

static void the_real_clients_answer_proves_its_password_and_no_other(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf token = { 0 }, user = { 0 };
    struct bk_ntlm_answer answer;
    struct bk_ntlm_keys keys;
    uint8_t hash[BK_NTLM_HASH_SIZE], challenge[8];
    answer_of(&token, &answer);
    assert_int_equal(bk_ntlm_text(answer.user, &user), 0);
    expect_view(bk_buf_view(&user), "alice@example.com");
    assert_int_equal(answer.domain.len, 0);
    char when[32];
    bk_time_iso(answer.real_ms, false, when);
    assert_string_equal(when, "2026-11-22T05:54:01Z");

    assert_int_equal(bk_hex_decode(bk_view_of_str(recorded_challenge), challenge, 8), 0);
    assert_int_equal(bk_ntlm_hash(BK_VIEW("secret"), hash), 0);
    assert_true(bk_ntlm_check(&answer, challenge, hash, &keys));
    assert_false(bk_ntlm_check(&answer, challenge_bytes, hash, &keys));
    assert_int_equal(bk_ntlm_hash(BK_VIEW("Secret"), hash), 0);
    assert_false(bk_ntlm_check(&answer, challenge, hash, &keys));
}

static void every_byte_of_proof_and_blob_counts(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf token = { 0 };
    struct bk_ntlm_answer answer;
    struct bk_ntlm_keys keys;
    uint8_t hash[BK_NTLM_HASH_SIZE], challenge[8];
    answer_of(&token, &answer);
    bk_hex_decode(bk_view_of_str(recorded_challenge), challenge, 8);
    bk_ntlm_hash(BK_VIEW("secret"), hash);
    size_t from = (size_t)(answer.proof.at - token.at), stop = from + 16 + answer.blob.len;
    for (size_t i = from; i < stop; i++) {
        token.at[i] ^= 0x10;
        struct bk_ntlm_answer changed;
        if (bk_ntlm_answer_parse(bk_buf_view(&token), &changed) == 0)
            assert_false(bk_ntlm_check(&changed, challenge, hash, &keys));
        token.at[i] ^= 0x10;
    }
}

static void an_answer_cut_anywhere_is_none(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf token = { 0 };
    struct bk_ntlm_answer answer;
    answer_of(&token, &answer);
    for (size_t len = 0; len < token.len; len++) {
        char *copy = malloc(len ? len : 1);
        assert_non_null(copy);
        memcpy(copy, token.at, len);
        assert_true(bk_ntlm_answer_parse((struct bk_view){ copy, len }, &answer) < 0);
        free(copy);
    }
}

static void an_answer_that_asks_for_less_is_refused(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf token = { 0 };
    struct bk_ntlm_answer answer;
    answer_of(&token, &answer);
    static const struct {
        size_t at;
        uint8_t bit;
    } flags[] = { { 60, 0x01 }, { 62, 0x08 }, { 63, 0x20 }, { 63, 0x40 } };
    for (size_t i = 0; i < BK_COUNT_OF(flags); i++) {
        token.at[flags[i].at] ^= (char)flags[i].bit;
        assert_int_equal(bk_ntlm_answer_parse(bk_buf_view(&token), &answer), -ENOTSUP);
        token.at[flags[i].at] ^= (char)flags[i].bit;
    }
    token.at[20] = 24; /* as long as an answer of version 1 */
    token.at[22] = 24;
    assert_int_equal(bk_ntlm_answer_parse(bk_buf_view(&token), &answer), -ENOTSUP);
}

static void both_our_sides_agree_on_keys_and_directions_differ(void **state)
{
    (void)state;
    static const char *const users[][2] = { { "alice@example.com", "" },
                                            { "alice", "EXAMPLE" },
                                            { "j\xc3\xb6rg", "EXAMPLE" } };
    for (size_t i = 0; i < BK_COUNT_OF(users); i++) {
        BK_AUTO_BUF struct bk_buf opening = { 0 }, token = { 0 };
        struct bk_random_seeded seed;
        struct bk_random random = bk_random_from_seed(&seed, i);
        struct bk_ntlm_challenge challenge;
        struct bk_ntlm_answer answer;
        struct bk_ntlm_keys client, server;
        uint8_t hash[BK_NTLM_HASH_SIZE], a[16], b[16];
        bk_ntlm_challenge_write(&opening, challenge_bytes, &names);
        assert_false(opening.failed);
        assert_int_equal(bk_ntlm_challenge_parse(bk_buf_view(&opening), &challenge), 0);
        assert_memory_equal(challenge.challenge, challenge_bytes, 8);
        assert_int_equal(challenge.flags, 0xe2998255u);
        assert_int_equal(bk_ntlm_hash(BK_VIEW("hunter2 and more"), hash), 0);
        assert_int_equal(bk_ntlm_answer_write(&token, &challenge, bk_view_of_str(users[i][0]),
                                              bk_view_of_str(users[i][1]), hash, 1795413241000,
                                              &random, &client),
                         0);
        assert_int_equal(bk_ntlm_answer_parse(bk_buf_view(&token), &answer), 0);
        assert_int_equal(answer.real_ms, 1795413241000);
        assert_true(bk_ntlm_check(&answer, challenge_bytes, hash, &server));
        assert_memory_equal(&client, &server, sizeof client);
        bk_ntlm_mac(&server, BK_NTLM_TO_SERVER, BK_VIEW("text"), a);
        bk_ntlm_mac(&server, BK_NTLM_TO_CLIENT, BK_VIEW("text"), b);
        expect_hex(a, 4, "01000000");
        expect_hex(a + 12, 4, "64000000");
        assert_memory_not_equal(a, b, 16);
    }
}

static void texts_come_back_as_they_went_in(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf text = { 0 };
    static const char utf16[] = "a\0\xe9\0\xac\x20\x3d\xd8\x00\xde";
    assert_int_equal(bk_ntlm_text((struct bk_view){ utf16, 10 }, &text), 0);
    expect_view(bk_buf_view(&text), "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    static const char half[] = "\x3d\xd8";
    assert_int_equal(bk_ntlm_text((struct bk_view){ half, 2 }, &text), -EBADMSG);
    assert_int_equal(bk_ntlm_text((struct bk_view){ half, 1 }, &text), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_password_becomes_the_hash_of_the_published_example),
        cmocka_unit_test(the_real_clients_answer_proves_its_password_and_no_other),
        cmocka_unit_test(every_byte_of_proof_and_blob_counts),
        cmocka_unit_test(an_answer_cut_anywhere_is_none),
        cmocka_unit_test(an_answer_that_asks_for_less_is_refused),
        cmocka_unit_test(both_our_sides_agree_on_keys_and_directions_differ),
        cmocka_unit_test(texts_come_back_as_they_went_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
