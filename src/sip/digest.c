/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/digest.h"

#include "base/text.h"
#include "sip/fields.h"
#include "sip/uri_private.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

/* ---- hashing ---- */

/* Looking a digest up costs more than hashing what we hash, so it is done once for the process. */
static EVP_MD *fetched[BK_DIGEST_SHA256 + 1];

static void fetch(void)
{
    fetched[BK_DIGEST_MD5] = EVP_MD_fetch(NULL, "MD5", NULL);
    fetched[BK_DIGEST_SHA256] = EVP_MD_fetch(NULL, "SHA2-256", NULL);
}

static const EVP_MD *md_of(enum bk_digest_algorithm algorithm)
{
    static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
    return CRYPTO_THREAD_run_once(&once, fetch) == 1 ? fetched[algorithm] : NULL;
}

static void ctx_free(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx);
}

enum { PIECES_MAX = 12, HASH_MAX = 32, BLOCK = 64 /* of MD5 and SHA-256 alike */ };

/* H(piece piece ...) as bytes. -ENOTSUP: no such algorithm here; -ENOMEM. */
static int hash(enum bk_digest_algorithm algorithm, const struct bk_view pieces[], int n,
                uint8_t ret[HASH_MAX])
{
    const EVP_MD *md = md_of(algorithm);
    if (!md)
        return -ENOTSUP;
    __attribute__((cleanup(ctx_free))) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestInit_ex2(ctx, md, NULL) != 1)
        return -ENOMEM;
    for (int i = 0; i < n; i++)
        if (pieces[i].len && EVP_DigestUpdate(ctx, pieces[i].at, pieces[i].len) != 1)
            return -ENOMEM;
    return EVP_DigestFinal_ex(ctx, ret, NULL) == 1 ? 0 : -ENOMEM;
}

static int hash_hex(enum bk_digest_algorithm algorithm, const struct bk_view pieces[], int n,
                    char ret[BK_DIGEST_HEX_MAX + 1])
{
    uint8_t bytes[HASH_MAX];
    int r = hash(algorithm, pieces, n, bytes);
    if (r < 0)
        return r;
    bk_hex_encode(bytes, bk_digest_hex_len(algorithm) / 2, ret);
    return 0;
}

/* RFC 2104. EVP_MAC would look the digest up anew for each message. */
static int hmac_sha256(const uint8_t key[32], const struct bk_view pieces[], int n,
                       uint8_t ret[HASH_MAX])
{
    uint8_t pad[BLOCK], inner[HASH_MAX];
    struct bk_view all[PIECES_MAX] = { { (const char *)pad, sizeof pad } };

    for (int i = 0; i < n; i++)
        all[i + 1] = pieces[i];
    for (int i = 0; i < BLOCK; i++)
        pad[i] = (i < 32 ? key[i] : 0) ^ 0x36;
    int r = hash(BK_DIGEST_SHA256, all, n + 1, inner);
    if (r == 0) {
        for (int i = 0; i < BLOCK; i++)
            pad[i] ^= 0x36 ^ 0x5c;
        all[1] = (struct bk_view){ (const char *)inner, sizeof inner };
        r = hash(BK_DIGEST_SHA256, all, 2, ret);
    }
    bk_wipe(pad, sizeof pad);
    bk_wipe(inner, sizeof inner);
    return r;
}

/* ---- algorithms ---- */

struct bk_view bk_digest_algorithm_name(enum bk_digest_algorithm algorithm)
{
    switch (algorithm) {
    case BK_DIGEST_MD5:
        return BK_VIEW("MD5");
    case BK_DIGEST_SHA256:
        return BK_VIEW("SHA-256");
    default:
        return (struct bk_view){ NULL, 0 };
    }
}

enum bk_digest_algorithm bk_digest_algorithm_of(struct bk_view name)
{
    if (bk_view_equal_nocase(name, BK_VIEW("MD5")))
        return BK_DIGEST_MD5;
    if (bk_view_equal_nocase(name, BK_VIEW("SHA-256")))
        return BK_DIGEST_SHA256;
    return BK_DIGEST_UNKNOWN;
}

size_t bk_digest_hex_len(enum bk_digest_algorithm algorithm)
{
    return algorithm == BK_DIGEST_MD5 ? 32 : algorithm == BK_DIGEST_SHA256 ? 64 : 0;
}

/* ---- reading ---- */

struct known_param {
    struct bk_view name;
    struct bk_view *to;
};

/*
 * `Digest name=value, ...` into the views that `known` points at; other parameters are read and dropped (RFC
 * 7616 3.4). A parameter twice is refused: two readers might take two different ones.
 */
static int params_read(struct bk_view value, const struct known_param known[], size_t n_known)
{
    value = bk_view_trim(value);
    const char *at = value.at, *stop = bk_sip_stop(value);
    const char *end = bk_sip_skip(at, stop, BK_SIP_IS_TOKEN);

    if (!bk_view_equal_nocase(bk_view_between(at, end), BK_VIEW("Digest")))
        return -ENOENT;
    if (end == stop || !bk_sip_is(*end, BK_SIP_IS_SPACE))
        return -EBADMSG;
    at = bk_sip_skip(end, stop, BK_SIP_IS_SPACE);
    while (at < stop) {
        struct bk_sip_param param;
        if (!bk_sip_param_read(&at, stop, &param) || !param.value.at || (at < stop && *at != ','))
            return -EBADMSG;
        if (!bk_sip_comma_read(&at, stop))
            return -EBADMSG;
        for (size_t i = 0; i < n_known; i++) {
            if (!bk_view_equal_nocase(param.name, known[i].name))
                continue;
            bool quoted = bk_view_starts_with(param.value, BK_VIEW("\""));
            if (known[i].to->at || (!quoted && bk_view_find(param.value, '\\') < param.value.len))
                return -EBADMSG;
            *known[i].to = quoted
                               ? bk_view_between(param.value.at + 1, bk_sip_stop(param.value) - 1)
                               : param.value;
        }
    }
    return 0;
}

static enum bk_digest_algorithm named_or_md5(struct bk_view name)
{
    return name.at ? bk_digest_algorithm_of(name) : BK_DIGEST_MD5;
}

int bk_digest_credentials_parse(struct bk_view value, struct bk_digest_credentials *ret)
{
    struct bk_digest_credentials c = { 0 };
    const struct known_param known[] = {
        { { BK_VIEW_OF("username") }, &c.username },
        { { BK_VIEW_OF("realm") }, &c.realm },
        { { BK_VIEW_OF("nonce") }, &c.nonce },
        { { BK_VIEW_OF("uri") }, &c.uri },
        { { BK_VIEW_OF("response") }, &c.response },
        { { BK_VIEW_OF("cnonce") }, &c.cnonce },
        { { BK_VIEW_OF("nc") }, &c.nc },
        { { BK_VIEW_OF("qop") }, &c.qop },
        { { BK_VIEW_OF("opaque") }, &c.opaque },
        { { BK_VIEW_OF("algorithm") }, &c.algorithm_name },
    };
    int r = params_read(value, known, sizeof known / sizeof *known);
    if (r < 0)
        return r;
    c.algorithm = named_or_md5(c.algorithm_name);
    *ret = c;
    return 0;
}

int bk_digest_challenge_parse(struct bk_view value, struct bk_digest_challenge *ret)
{
    struct bk_digest_challenge c = { 0 };
    struct bk_view stale = { NULL, 0 };
    const struct known_param known[] = {
        { { BK_VIEW_OF("realm") }, &c.realm },
        { { BK_VIEW_OF("nonce") }, &c.nonce },
        { { BK_VIEW_OF("opaque") }, &c.opaque },
        { { BK_VIEW_OF("qop") }, &c.qop_list },
        { { BK_VIEW_OF("algorithm") }, &c.algorithm_name },
        { { BK_VIEW_OF("stale") }, &stale },
    };
    int r = params_read(value, known, sizeof known / sizeof *known);
    if (r < 0)
        return r;
    c.algorithm = named_or_md5(c.algorithm_name);
    c.stale = bk_view_equal_nocase(stale, BK_VIEW("true"));
    *ret = c;
    return 0;
}

/* ---- writing ---- */

void bk_digest_challenge_write(struct bk_buf *to, struct bk_view realm, struct bk_view nonce,
                               enum bk_digest_algorithm algorithm, bool stale)
{
    bk_buf_add_lit(to, "Digest realm=");
    bk_sip_quote(to, realm);
    bk_buf_add_lit(to, ", nonce=");
    bk_sip_quote(to, nonce);
    bk_buf_add_lit(to, ", algorithm=");
    bk_buf_add_view(to, bk_digest_algorithm_name(algorithm));
    bk_buf_add_lit(to, ", qop=\"auth\"");
    if (stale)
        bk_buf_add_lit(to, ", stale=true");
}

/* ---- answering and judging ---- */

int bk_digest_ha1(enum bk_digest_algorithm algorithm, struct bk_view user, struct bk_view realm,
                  struct bk_view password, char ret[BK_DIGEST_HEX_MAX + 1])
{
    const struct bk_view pieces[] = { user, BK_VIEW(":"), realm, BK_VIEW(":"), password };
    return hash_hex(algorithm, pieces, 5, ret);
}

int bk_digest_response(const struct bk_digest_credentials *c, struct bk_view method,
                       struct bk_view ha1_hex, char ret[BK_DIGEST_HEX_MAX + 1])
{
    const struct bk_view colon = BK_VIEW(":");
    const struct bk_view a2[] = { method, colon, c->uri };
    char ha2[BK_DIGEST_HEX_MAX + 1];

    int r = hash_hex(c->algorithm, a2, 3, ha2);
    if (r < 0)
        return r;
    struct bk_view ha2_hex = { ha2, bk_digest_hex_len(c->algorithm) };
    if (c->qop.len == 0) { /* RFC 2069 */
        const struct bk_view pieces[] = { ha1_hex, colon, c->nonce, colon, ha2_hex };
        return hash_hex(c->algorithm, pieces, 5, ret);
    }
    const struct bk_view pieces[] = { ha1_hex,   colon, c->nonce, colon, c->nc,  colon,
                                      c->cnonce, colon, c->qop,   colon, ha2_hex };
    return hash_hex(c->algorithm, pieces, 11, ret);
}

bool bk_digest_check(const struct bk_digest_credentials *c, struct bk_view method,
                     struct bk_view ha1_hex)
{
    char right[BK_DIGEST_HEX_MAX + 1], given[BK_DIGEST_HEX_MAX];
    size_t len = bk_digest_hex_len(c->algorithm);

    if (len == 0 || c->response.len != len || ha1_hex.len != len)
        return false;
    if (c->qop.len &&
        (!bk_view_equal_nocase(c->qop, BK_VIEW("auth")) || c->nc.len != 8 || c->cnonce.len == 0))
        return false;
    if (bk_digest_response(c, method, ha1_hex, right) < 0)
        return false;
    memcpy(given, c->response.at, len);
    bk_text_lower(given, len);
    bool same = bk_equal_constant_time(given, right, len);
    bk_wipe(right, sizeof right);
    return same;
}

/* Does the challenge offer qop "auth"? It may stand in a list. */
static bool offers_auth(struct bk_view qop_list)
{
    struct bk_view option;
    while (bk_sip_list_next(&qop_list, &option) > 0)
        if (bk_view_equal_nocase(option, BK_VIEW("auth")))
            return true;
    return false;
}

/* ` name="value"` of a value that is already as it stands between quotes. */
static void quoted_add(struct bk_buf *to, const char *name, struct bk_view value)
{
    bk_buf_add_str(to, name);
    bk_buf_add_lit(to, "=\"");
    bk_buf_add_view(to, value);
    bk_buf_add_char(to, '"');
}

/* What would end the quotes early or look different with and without its escapes. */
static bool needs_escape(struct bk_view v)
{
    for (size_t i = 0; i < v.len; i++)
        if (v.at[i] == '"' || v.at[i] == '\\' || bk_sip_is(v.at[i], BK_SIP_IS_CONTROL) ||
            v.at[i] == '\t')
            return true;
    return false;
}

int bk_digest_answer(struct bk_buf *to, const struct bk_digest_challenge *challenge,
                     struct bk_view user, struct bk_view password, struct bk_view method,
                     struct bk_view uri, uint32_t nc, const struct bk_random *random)
{
    char ha1[BK_DIGEST_HEX_MAX + 1], response[BK_DIGEST_HEX_MAX + 1], nc_hex[9], cnonce_hex[17];
    bool auth = offers_auth(challenge->qop_list);

    if (challenge->algorithm == BK_DIGEST_UNKNOWN || (challenge->qop_list.len && !auth))
        return -ENOTSUP;
    if (needs_escape(user) || needs_escape(uri))
        return -EINVAL;
    snprintf(nc_hex, sizeof nc_hex, "%08" PRIx32, nc);
    snprintf(cnonce_hex, sizeof cnonce_hex, "%016" PRIx64, bk_random_u64(random));
    const struct bk_digest_credentials c = {
        .nonce = challenge->nonce,
        .uri = uri,
        .cnonce = { cnonce_hex, 16 },
        .nc = { nc_hex, 8 },
        .qop = auth ? BK_VIEW("auth") : (struct bk_view){ NULL, 0 },
        .algorithm = challenge->algorithm,
    };
    size_t len = bk_digest_hex_len(c.algorithm);
    int r = bk_digest_ha1(c.algorithm, user, challenge->realm, password, ha1);
    if (r == 0)
        r = bk_digest_response(&c, method, (struct bk_view){ ha1, len }, response);
    bk_wipe(ha1, sizeof ha1);
    if (r < 0)
        return r;

    quoted_add(to, "Digest username", user);
    quoted_add(to, ", realm", challenge->realm);
    quoted_add(to, ", nonce", challenge->nonce);
    quoted_add(to, ", uri", uri);
    quoted_add(to, ", response", (struct bk_view){ response, len });
    if (challenge->algorithm_name.at) {
        bk_buf_add_lit(to, ", algorithm=");
        bk_buf_add_view(to, bk_digest_algorithm_name(c.algorithm));
    }
    if (auth) {
        quoted_add(to, ", cnonce", c.cnonce);
        bk_buf_add_lit(to, ", qop=auth, nc=");
        bk_buf_add_view(to, c.nc);
    }
    if (challenge->opaque.at)
        quoted_add(to, ", opaque", challenge->opaque);
    return 0;
}

/* ---- nonces ---- */

/* Hex of: milliseconds (6 bytes), random (8), the first 16 bytes of the HMAC over both and `bind`. */
enum { NONCE_TIME = 6, NONCE_RANDOM = 8, NONCE_MAC = 16 };
enum { NONCE_BYTES = NONCE_TIME + NONCE_RANDOM + NONCE_MAC };
_Static_assert(2 * NONCE_BYTES < BK_DIGEST_NONCE_MAX, "and the NUL");

static int nonce_mac(const struct bk_digest_nonce_key *key, struct bk_view bind,
                     const uint8_t nonce[NONCE_BYTES], uint8_t ret[HASH_MAX])
{
    const struct bk_view pieces[] = { { (const char *)nonce, NONCE_TIME + NONCE_RANDOM }, bind };
    return hmac_sha256(key->key, pieces, 2, ret);
}

int bk_digest_nonce_make(const struct bk_digest_nonce_key *key, struct bk_view bind,
                         int64_t now_mono_ms, const struct bk_random *random,
                         char ret[BK_DIGEST_NONCE_MAX])
{
    uint8_t nonce[NONCE_BYTES], mac[HASH_MAX];

    ret[0] = '\0';
    for (int i = 0; i < NONCE_TIME; i++)
        nonce[i] = (uint8_t)(now_mono_ms >> 8 * (NONCE_TIME - 1 - i));
    bk_random_fill(random, nonce + NONCE_TIME, NONCE_RANDOM);
    int r = nonce_mac(key, bind, nonce, mac);
    if (r < 0)
        return r;
    memcpy(nonce + NONCE_TIME + NONCE_RANDOM, mac, NONCE_MAC);
    bk_hex_encode(nonce, NONCE_BYTES, ret);
    return 0;
}

enum bk_digest_nonce_state bk_digest_nonce_check(const struct bk_digest_nonce_key *key,
                                                 struct bk_view bind, struct bk_view nonce,
                                                 int64_t now_mono_ms, int64_t lifetime_ms,
                                                 uint64_t *ret_id)
{
    uint8_t bytes[NONCE_BYTES], mac[HASH_MAX];
    int64_t made = 0;

    if (bk_hex_decode(nonce, bytes, sizeof bytes) < 0 || nonce_mac(key, bind, bytes, mac) < 0 ||
        !bk_equal_constant_time(mac, bytes + NONCE_TIME + NONCE_RANDOM, NONCE_MAC))
        return BK_DIGEST_NONCE_FORGED;
    for (int i = 0; i < NONCE_TIME; i++)
        made = made << 8 | bytes[i];
    memcpy(ret_id, bytes + NONCE_TIME, sizeof *ret_id);
    if (made > now_mono_ms || now_mono_ms - made > lifetime_ms)
        return BK_DIGEST_NONCE_STALE;
    return BK_DIGEST_NONCE_GOOD;
}
