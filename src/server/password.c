/* SPDX-License-Identifier: Apache-2.0 */
#include "server/password.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "ms/ntlm.h"

#include <crypt.h>
#include <errno.h>
#include <stdlib.h>

enum { HASH_MAX = CRYPT_OUTPUT_SIZE };

/* crypt(3) wants C strings; the copy of a secret is wiped when its scope ends. */
struct secret {
    char text[BK_PASSWORD_BYTES_MAX + 1];
};

static void secret_wipe(struct secret *secret)
{
    bk_wipe(secret, sizeof *secret);
}

static int secret_copy(struct secret *to, struct bk_view password)
{
    if (!password.len || password.len > BK_PASSWORD_BYTES_MAX ||
        bk_view_find(password, '\0') < password.len)
        return -EINVAL;
    memcpy(to->text, password.at, password.len);
    to->text[password.len] = '\0';
    return 0;
}

/* What crypt_ra works in; it holds traces of the password. */
struct work {
    void *at;
    int size;
};

static void work_drop(struct work *work)
{
    if (work->at && work->size > 0)
        bk_wipe(work->at, (size_t)work->size);
    free(work->at);
}

int bk_password_hash(struct bk_view password, int cost, struct bk_buf *ret)
{
    BK_CLEANUP(secret_wipe) struct secret secret;
    BK_CLEANUP(work_drop) struct work work = { 0 };
    int r = secret_copy(&secret, password);
    if (r < 0)
        return r;
    BK_AUTO_FREE char *setting = crypt_gensalt_ra("$y$", (unsigned long)cost, NULL, 0);
    if (!setting)
        return errno == EINVAL ? -EINVAL : -ENOMEM;
    const char *hash = crypt_ra(secret.text, setting, &work.at, &work.size);
    if (!hash || hash[0] != '$')
        return -ENOMEM;
    bk_buf_add_str(ret, hash);
    return ret->failed ? -ENOMEM : 0;
}

bool bk_password_check(struct bk_view password, struct bk_view hash)
{
    BK_CLEANUP(secret_wipe) struct secret secret;
    BK_CLEANUP(work_drop) struct work work = { 0 };
    char setting[HASH_MAX];
    if (secret_copy(&secret, password) < 0 || hash.len >= sizeof setting || !hash.len ||
        bk_view_find(hash, '\0') < hash.len)
        return false;
    memcpy(setting, hash.at, hash.len);
    setting[hash.len] = '\0';
    const char *made = crypt_ra(secret.text, setting, &work.at, &work.size);
    return made && made[0] == '$' && strlen(made) == hash.len &&
           bk_equal_constant_time(made, setting, hash.len);
}

const char *bk_password_fault(struct bk_view password, int64_t length_min,
                              const struct bk_view *names, size_t n_names)
{
    int64_t characters = 0;
    if (!bk_utf8_valid(password))
        return BK_SAY("it is not written in UTF-8");
    for (size_t i = 0; i < password.len; i++) {
        unsigned char c = (unsigned char)password.at[i];
        if (c < 0x20 || c == 0x7f)
            return BK_SAY("it holds a control character");
        characters += (c & 0xc0) != 0x80;
    }
    if (characters < length_min)
        return BK_SAY("it is too short");
    if (password.len > BK_PASSWORD_BYTES_MAX)
        return BK_SAY("it is too long");
    for (size_t i = 0; i < n_names; i++)
        if (names[i].len && bk_view_equal_nocase(password, names[i]))
            return BK_SAY("it is your name, your address or your present password");
    return NULL;
}

/* ---- the NT hash ---- */

void bk_nt_hash_put(struct bk_store_batch *batch, const struct bk_directory *dir,
                    const struct bk_user *user, const uint8_t hash[BK_NT_HASH_SIZE])
{
    if (dir && bk_policy_switch(dir, user, BK_POLICY_NTLM_SIGNIN))
        bk_store_put_nt_hash(batch, user->address, hash);
}

void bk_nt_hash_keep(struct bk_store_batch *batch, const struct bk_directory *dir,
                     const struct bk_user *user, struct bk_view password)
{
    uint8_t hash[BK_NT_HASH_SIZE];
    if (!bk_policy_switch(dir, user, BK_POLICY_NTLM_SIGNIN) || bk_ntlm_hash(password, hash) < 0)
        return;
    bk_store_put_nt_hash(batch, user->address, hash);
    bk_wipe(hash, sizeof hash);
}

struct sweep {
    struct bk_store *store;
    const struct bk_directory *dir;
    struct bk_store_batch *batch; /* NULL: nothing to do yet */
};

static bool sweep_one(void *ctx, const struct bk_nt_hash_owner *owner)
{
    struct sweep *s = ctx;
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_user user;
    if (bk_store_user_by_id(s->store, owner->user_id, &arena, &user) < 0 ||
        bk_policy_switch(s->dir, &user, BK_POLICY_NTLM_SIGNIN))
        return true;
    if (!s->batch)
        s->batch = bk_store_batch_create();
    if (s->batch)
        bk_store_drop_nt_hash(s->batch, owner->user_id);
    return s->batch != NULL;
}

void bk_nt_hash_sweep(struct bk_store *store, const struct bk_directory *dir, int64_t user_id)
{
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct sweep s = { store, dir, NULL };
    struct bk_nt_hash_owner owner = { user_id };
    if (!dir)
        return;
    if (user_id)
        sweep_one(&s, &owner);
    else
        bk_store_nt_hash_owners(store, &arena, sweep_one, &s);
    if (s.batch)
        bk_store_commit(store, s.batch, NULL, NULL);
}
