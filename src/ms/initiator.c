/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/initiator.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>

struct bk_initiator {
    enum bk_sa_scheme scheme;
    bool has_keys, over;
    const char *why;
    union bk_sa_keys keys;
    struct bk_buf token;
    struct bk_dsk_side *side;
    struct bk_dsk *dsk;
    char *login, *password; /* NTLM, until it was answered */
    int64_t now_real_ms;
};

static int fail(struct bk_initiator *i, int r, const char *why)
{
    i->over = true;
    i->why = why;
    return r;
}

/* ---- TLS-DSK ---- */

static int dsk_take(struct bk_initiator *i, struct bk_view in, const struct bk_random *random)
{
    (void)random;
    bk_buf_clear(&i->token);
    switch (bk_dsk_step(i->dsk, in, &i->token)) {
    case BK_DSK_FAILED:
        return fail(i, -EPROTO, bk_dsk_fault(i->dsk));
    case BK_DSK_GOES_ON:
        return 0;
    case BK_DSK_DONE:
        break;
    }
    int r = bk_dsk_keys(i->dsk, &i->keys.dsk);
    i->dsk = bk_dsk_destroy(i->dsk);
    i->side = bk_dsk_side_destroy(i->side);
    if (r < 0)
        return fail(i, r, "the inner TLS gave no keys");
    i->has_keys = true;
    return 0;
}

static int dsk_begin(struct bk_initiator *i, const struct bk_initiator_config *config)
{
    struct bk_dsk_config inner = { .chain_pem = config->pem,
                                   .key_pem = config->pem,
                                   .now_real_ms = config->now_real_ms };
    if (!config->pem)
        return -EKEYREJECTED;
    int r = bk_dsk_side_create(&inner, &i->side);
    if (r == 0)
        r = bk_dsk_begin(i->side, &i->dsk);
    return r < 0 ? r : dsk_take(i, (struct bk_view){ 0 }, NULL);
}

/* ---- NTLM: an empty token opens, the answer goes along with the first signature ---- */

static int ntlm_begin(struct bk_initiator *i, const struct bk_initiator_config *config)
{
    if (!config->login || !config->password)
        return -EKEYREJECTED;
    i->login = strdup(config->login);
    i->password = strdup(config->password);
    i->now_real_ms = config->now_real_ms;
    return i->login && i->password ? 0 : -ENOMEM;
}

static void forget_password(struct bk_initiator *i)
{
    if (i->password)
        bk_wipe(i->password, strlen(i->password));
    free(i->password);
    i->password = NULL;
}

static int ntlm_take(struct bk_initiator *i, struct bk_view in, const struct bk_random *random)
{
    struct bk_ntlm_challenge challenge;
    uint8_t hash[BK_NTLM_HASH_SIZE];
    if (bk_ntlm_challenge_parse(in, &challenge) < 0)
        return fail(i, -EBADMSG, "the NTLM challenge cannot be used");
    bk_buf_clear(&i->token);
    int r = bk_ntlm_hash(bk_view_of_str(i->password), hash);
    if (r == 0)
        r = bk_ntlm_answer_write(&i->token, &challenge, bk_view_of_str(i->login),
                                 (struct bk_view){ 0 }, hash, i->now_real_ms, random,
                                 &i->keys.ntlm);
    bk_wipe(hash, sizeof hash);
    forget_password(i);
    if (r < 0)
        return fail(i, r, "no NTLM answer could be made");
    i->has_keys = true;
    return 0;
}

/* ---- the schemes ---- */

static const struct {
    int (*begin)(struct bk_initiator *i, const struct bk_initiator_config *config);
    int (*take)(struct bk_initiator *i, struct bk_view in, const struct bk_random *random);
} schemes[BK_SA_SCHEMES] = {
    [BK_SA_NTLM] = { ntlm_begin, ntlm_take },
    [BK_SA_TLS_DSK] = { dsk_begin, dsk_take },
};

int bk_initiator_begin(const struct bk_initiator_config *config, struct bk_initiator **ret)
{
    struct bk_initiator *i = calloc(1, sizeof *i);
    if (!i)
        return -ENOMEM;
    i->scheme = config->scheme;
    int r = schemes[i->scheme].begin(i, config);
    if (r < 0) {
        bk_initiator_destroy(i);
        return r;
    }
    *ret = i;
    return 0;
}

struct bk_initiator *bk_initiator_destroy(struct bk_initiator *i)
{
    if (!i)
        return NULL;
    bk_dsk_destroy(i->dsk);
    bk_dsk_side_destroy(i->side);
    if (i->token.at)
        bk_wipe(i->token.at, i->token.cap);
    bk_buf_finish(&i->token);
    forget_password(i);
    free(i->login);
    bk_wipe(&i->keys, sizeof i->keys);
    free(i);
    return NULL;
}

int bk_initiator_take(struct bk_initiator *i, struct bk_view token, const struct bk_random *random)
{
    if (i->over)
        return -EPROTO;
    if (i->has_keys)
        return fail(i, -EPROTO, "a further leg after the last one");
    int r = schemes[i->scheme].take(i, token, random);
    if (r == 0 && i->token.failed)
        r = fail(i, -ENOMEM, "out of memory");
    return r;
}

const char *bk_initiator_fault(const struct bk_initiator *i)
{
    return i->why ? i->why : "";
}

struct bk_view bk_initiator_token(const struct bk_initiator *i)
{
    bool more = !i->has_keys || i->token.len;
    return more ? (struct bk_view){ i->token.len ? i->token.at : "", i->token.len }
                : (struct bk_view){ 0 };
}

const union bk_sa_keys *bk_initiator_keys(const struct bk_initiator *i)
{
    return i->has_keys ? &i->keys : NULL;
}
