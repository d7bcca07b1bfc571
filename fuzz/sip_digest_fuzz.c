/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials with the response that is computed for them check, and with any other do not; a challenge that is
 * answered is answered rightly; a nonce that we did not make is forged.
 */
#include "sip/digest.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool held)
{
    if (!held)
        abort();
}

static void check_inside(struct bk_view part, struct bk_view whole)
{
    check(part.at ? part.at >= whole.at && part.at + part.len <= whole.at + whole.len
                  : part.len == 0);
}

static void check_credentials(struct bk_view in)
{
    static const struct bk_view ha1s[] = {
        [BK_DIGEST_MD5] = { BK_VIEW_OF("939e7578ed9e3c518a452acee763bce9") },
        [BK_DIGEST_SHA256] = { BK_VIEW_OF(
            "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b"
            "4794232") },
    };
    struct bk_digest_credentials c;
    char response[BK_DIGEST_HEX_MAX + 1];
    int r = bk_digest_credentials_parse(in, &c);
    check(r == 0 || r == -ENOENT || r == -EBADMSG);
    if (r < 0)
        return;
    check_inside(c.username, in);
    check_inside(c.nonce, in);
    check_inside(c.response, in);
    check_inside(c.opaque, in);
    if (c.algorithm == BK_DIGEST_UNKNOWN) {
        check(bk_digest_response(&c, BK_VIEW("M"), BK_VIEW("x"), response) == -ENOTSUP);
        return;
    }
    struct bk_view ha1 = ha1s[c.algorithm];
    check(!bk_digest_check(&c, BK_VIEW("M"), ha1)); /* nobody guesses it */
    check(bk_digest_response(&c, BK_VIEW("M"), ha1, response) == 0);
    c.response = bk_view_of_str(response);
    bool may = c.qop.len == 0 ||
               (bk_view_equal_nocase(c.qop, BK_VIEW("auth")) && c.nc.len == 8 && c.cnonce.len > 0);
    check(bk_digest_check(&c, BK_VIEW("M"), ha1) == may);
    response[0] = response[0] == '0' ? '1' : '0';
    check(!bk_digest_check(&c, BK_VIEW("M"), ha1));
}

static void check_challenge(struct bk_view in)
{
    struct bk_digest_challenge challenge;
    struct bk_digest_credentials c;
    struct bk_random_seeded seed;
    struct bk_random random = bk_random_from_seed(&seed, in.len);
    struct bk_buf out = { 0 };
    char ha1[BK_DIGEST_HEX_MAX + 1];
    if (bk_digest_challenge_parse(in, &challenge) < 0)
        return;
    if (bk_digest_answer(&out, &challenge, BK_VIEW("ann"), BK_VIEW("secret"), BK_VIEW("M"),
                         BK_VIEW("sip:example.org"), 7, &random) == 0) {
        check(bk_digest_credentials_parse(bk_buf_view(&out), &c) == 0);
        check(bk_view_equal(c.realm, challenge.realm) && bk_view_equal(c.nonce, challenge.nonce) &&
              bk_view_equal(c.opaque, challenge.opaque) && c.algorithm == challenge.algorithm);
        check(bk_digest_ha1(c.algorithm, BK_VIEW("ann"), challenge.realm, BK_VIEW("secret"), ha1) ==
              0);
        check(bk_digest_check(&c, BK_VIEW("M"), bk_view_of_str(ha1)));
    } else {
        check(out.len == 0);
    }
    bk_buf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct bk_digest_nonce_key key = { "nobody who fuzzes knows this one" };
    struct bk_view in = { (const char *)data, size };
    uint64_t id;
    check_credentials(in);
    check_challenge(in);
    check(bk_digest_nonce_check(&key, BK_VIEW("bind"), in, 1000, 1000, &id) ==
          BK_DIGEST_NONCE_FORGED);
    return 0;
}
