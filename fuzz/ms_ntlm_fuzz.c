/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token that is taken names only bytes of itself, in both roles; its texts are UTF-8; and it proves nothing about a password
 * that nobody knows.
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "ms/ntlm.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_inside(struct bk_view part, struct bk_view whole)
{
    if (part.len && (part.at < whole.at || part.at + part.len > whole.at + whole.len))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bk_view token = { (const char *)data, size };
    struct bk_ntlm_challenge challenge;
    struct bk_ntlm_answer answer;
    BK_AUTO_BUF struct bk_buf user = { 0 }, out = { 0 };
    struct bk_ntlm_keys keys;
    static const uint8_t hash[BK_NTLM_HASH_SIZE] = { 3, 1, 4, 1, 5, 9, 2, 6 }, nonce[8] = { 7 };

    if (bk_ntlm_answer_parse(token, &answer) == 0) {
        expect_inside(answer.user, token);
        expect_inside(answer.domain, token);
        expect_inside(answer.workstation, token);
        expect_inside(answer.proof, token);
        expect_inside(answer.blob, token);
        expect_inside(answer.session_key, token);
        if (bk_ntlm_text(answer.user, &user) == 0 && !bk_utf8_valid(bk_buf_view(&user)))
            abort();
        if (bk_ntlm_check(&answer, nonce, hash, &keys))
            abort();
    }
    if (bk_ntlm_challenge_parse(token, &challenge) == 0) {
        expect_inside(challenge.target_info, token);
        /* What we answer to whatever server is an answer. */
        if (bk_ntlm_answer_write(&out, &challenge, BK_VIEW("alice"), BK_VIEW("EXAMPLE"), hash, 0,
                                 &bk_random_system, &keys) == 0 &&
            (bk_ntlm_answer_parse(bk_buf_view(&out), &answer) < 0 ||
             !bk_ntlm_check(&answer, challenge.challenge, hash, &keys)))
            abort();
    }
    return 0;
}
