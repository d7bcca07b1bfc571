/* SPDX-License-Identifier: Apache-2.0 */
#include "server/password.h"

#include "base/cleanup.h"
#include "base/text.h"

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
        return "it is not written in UTF-8";
    for (size_t i = 0; i < password.len; i++) {
        unsigned char c = (unsigned char)password.at[i];
        if (c < 0x20 || c == 0x7f)
            return "it holds a control character";
        characters += (c & 0xc0) != 0x80;
    }
    if (characters < length_min)
        return "it is too short";
    if (password.len > BK_PASSWORD_BYTES_MAX)
        return "it is too long";
    for (size_t i = 0; i < n_names; i++)
        if (names[i].len && bk_view_equal_nocase(password, names[i]))
            return "it is your name, your address or your present password";
    return NULL;
}
