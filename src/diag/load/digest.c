/* SPDX-License-Identifier: Apache-2.0 */
#include "diag/load/digest.h"

#include "base/text.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>

/* Names as RFC 7616 section 6.1 registers them; the view is the whole name without "-sess". */
static const struct {
    struct bk_view name;
    enum bk_load_digest_algorithm algorithm;
    const char *openssl;
} algorithms[] = {
    { { BK_VIEW_OF("MD5") }, BK_LOAD_DIGEST_MD5, "MD5" },
    { { BK_VIEW_OF("SHA-256") }, BK_LOAD_DIGEST_SHA256, "SHA256" },
    { { BK_VIEW_OF("SHA-512-256") }, BK_LOAD_DIGEST_SHA512_256, "SHA512-256" },
};

/* A fetch costs more than the digest itself, so each is fetched once and kept to the end. */
static const EVP_MD *digest_of(enum bk_load_digest_algorithm algorithm)
{
    static EVP_MD *fetched[sizeof algorithms / sizeof *algorithms];
    if (!fetched[algorithm])
        fetched[algorithm] = EVP_MD_fetch(NULL, algorithms[algorithm].openssl, NULL);
    return fetched[algorithm];
}

static int copy(struct bk_view from, char *to, size_t room)
{
    if (from.len >= room)
        return -EBADMSG;
    memcpy(to, from.at, from.len);
    to[from.len] = '\0';
    return 0;
}

static int take_algorithm(struct bk_view name, struct bk_load_challenge *ret)
{
    int r = copy(name, ret->algorithm_text, sizeof ret->algorithm_text);
    if (r < 0)
        return -ENOTSUP;
    ret->session = name.len > 5 && strncasecmp(name.at + name.len - 5, "-sess", 5) == 0;
    if (ret->session)
        name.len -= 5;
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++) {
        if (bk_view_equal_nocase(name, algorithms[i].name)) {
            ret->algorithm = algorithms[i].algorithm;
            return 0;
        }
    }
    return -ENOTSUP;
}

static int take_qop(struct bk_view list, struct bk_load_challenge *ret)
{
    while (list.at) {
        if (bk_view_equal_nocase(bk_view_trim(bk_view_cut(&list, ',')), BK_VIEW("auth"))) {
            ret->qop_auth = true;
            return 0;
        }
    }
    return -ENOTSUP;
}

static int take_parameter(struct bk_view name, struct bk_view value, struct bk_load_challenge *ret)
{
    if (bk_view_equal_nocase(name, BK_VIEW("realm")))
        return copy(value, ret->realm, sizeof ret->realm);
    if (bk_view_equal_nocase(name, BK_VIEW("nonce")))
        return copy(value, ret->nonce, sizeof ret->nonce);
    if (bk_view_equal_nocase(name, BK_VIEW("opaque"))) {
        ret->has_opaque = true;
        return copy(value, ret->opaque, sizeof ret->opaque);
    }
    if (bk_view_equal_nocase(name, BK_VIEW("algorithm")))
        return take_algorithm(value, ret);
    if (bk_view_equal_nocase(name, BK_VIEW("qop")))
        return take_qop(value, ret);
    if (bk_view_equal_nocase(name, BK_VIEW("stale")))
        ret->stale = bk_view_equal_nocase(value, BK_VIEW("true"));
    return 0;
}

int bk_load_parameter_next(struct bk_view *rest, struct bk_view *ret_name,
                           struct bk_view *ret_value)
{
    size_t equals = bk_view_find(*rest, '=');
    if (equals == rest->len)
        return -EBADMSG;
    *ret_name = bk_view_trim(bk_view_head(*rest, equals));
    struct bk_view at = bk_view_trim(bk_view_skip(*rest, equals + 1));
    if (ret_name->len == 0 || at.len == 0)
        return -EBADMSG;

    if (at.at[0] != '"') {
        size_t comma = bk_view_find(at, ',');
        *ret_value = bk_view_trim(bk_view_head(at, comma));
        *rest = bk_view_trim(bk_view_skip(at, comma + 1));
        return 0;
    }
    size_t end = 1;
    while (end < at.len && at.at[end] != '"')
        end += at.at[end] == '\\' ? 2 : 1;
    if (end >= at.len)
        return -EBADMSG;
    *ret_value = (struct bk_view){ at.at + 1, end - 1 };
    *rest = bk_view_trim(bk_view_skip(at, end + 1));
    if (rest->len > 0) {
        if (rest->at[0] != ',')
            return -EBADMSG;
        *rest = bk_view_trim(bk_view_skip(*rest, 1));
    }
    return 0;
}

int bk_load_challenge_parse(struct bk_view value, struct bk_load_challenge *ret)
{
    value = bk_view_trim(value);
    if (!bk_view_starts_with_nocase(value, BK_VIEW("Digest ")))
        return -ENOTSUP;
    struct bk_view rest = bk_view_trim(bk_view_skip(value, 7));

    struct bk_load_challenge challenge = { .algorithm = BK_LOAD_DIGEST_MD5 };
    while (rest.len > 0) {
        struct bk_view name, text;
        int r = bk_load_parameter_next(&rest, &name, &text);
        if (r < 0)
            return r;
        r = take_parameter(name, text, &challenge);
        if (r < 0)
            return r;
    }
    if (!challenge.realm[0] || !challenge.nonce[0])
        return -EBADMSG;
    *ret = challenge;
    return 0;
}

/* H(a:b:c...), the parts up to the first NULL. */
static int hash(EVP_MD_CTX *ctx, const EVP_MD *md, const char *const *parts, char ret[65])
{
    if (EVP_DigestInit_ex2(ctx, md, NULL) != 1)
        return -ENOTSUP;
    for (size_t i = 0; parts[i]; i++) {
        if ((i > 0 && EVP_DigestUpdate(ctx, ":", 1) != 1) ||
            EVP_DigestUpdate(ctx, parts[i], strlen(parts[i])) != 1)
            return -ENOTSUP;
    }
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned len;
    if (EVP_DigestFinal_ex(ctx, raw, &len) != 1 || len > 32)
        return -ENOTSUP;
    bk_hex_encode(raw, len, ret);
    return 0;
}

int bk_load_digest_response(const struct bk_load_challenge *challenge,
                            const struct bk_load_credentials *credentials, char ret[65])
{
    const EVP_MD *md = digest_of(challenge->algorithm);
    static EVP_MD_CTX *ctx;
    if (!ctx)
        ctx = EVP_MD_CTX_new();
    if (!md || !ctx)
        return -ENOTSUP;

    char ha1[65], ha2[65], nc[9];
    snprintf(nc, sizeof nc, "%08x", credentials->nc);
    int r = hash(
        ctx, md,
        (const char *[]){ credentials->username, challenge->realm, credentials->password, NULL },
        ha1);
    if (r == 0 && challenge->session) {
        char account[65];
        memcpy(account, ha1, sizeof account);
        r = hash(ctx, md, (const char *[]){ account, challenge->nonce, credentials->cnonce, NULL },
                 ha1);
    }
    if (r == 0)
        r = hash(ctx, md, (const char *[]){ credentials->method, credentials->uri, NULL }, ha2);
    if (r < 0)
        return r;
    if (challenge->qop_auth)
        return hash(
            ctx, md,
            (const char *[]){ ha1, challenge->nonce, nc, credentials->cnonce, "auth", ha2, NULL },
            ret);
    return hash(ctx, md, (const char *[]){ ha1, challenge->nonce, ha2, NULL }, ret);
}

int bk_load_digest_answer(const struct bk_load_challenge *challenge,
                          const struct bk_load_credentials *credentials, struct bk_buf *to)
{
    char response[65];
    int r = bk_load_digest_response(challenge, credentials, response);
    if (r < 0)
        return r;
    bk_buf_addf(
        to, "Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", uri=\"%s\", response=\"%s\"",
        credentials->username, challenge->realm, challenge->nonce, credentials->uri, response);
    if (challenge->algorithm_text[0])
        bk_buf_addf(to, ", algorithm=%s", challenge->algorithm_text);
    if (challenge->has_opaque)
        bk_buf_addf(to, ", opaque=\"%s\"", challenge->opaque);
    if (challenge->qop_auth)
        bk_buf_addf(to, ", qop=auth, nc=%08x", credentials->nc);
    if (challenge->qop_auth || challenge->session)
        bk_buf_addf(to, ", cnonce=\"%s\"", credentials->cnonce);
    return 0;
}
