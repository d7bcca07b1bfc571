/* SPDX-License-Identifier: Apache-2.0 */
/* server/password.h - yescrypt (crypt(5)), for the server, beckonctl and whoever else sets or checks a password. */
#ifndef BK_SERVER_PASSWORD_H
#define BK_SERVER_PASSWORD_H

#include "base/buf.h"
#include "server/directory.h"

enum { BK_PASSWORD_BYTES_MAX = 256 };

/*
 * Appends "$y$...". Takes 30 to 100 ms and 16 MB: in a worker thread where somebody waits. cost: 0 for the library's
 * default, 1 (quick, for tests) to 11. -EINVAL: empty, longer than BK_PASSWORD_BYTES_MAX or with a NUL inside.
 */
int bk_password_hash(struct bk_view password, int cost, struct bk_buf *ret);

/* Whether the hash was made of this password. A hash that cannot be read is of no password. Costs as much as making it. */
bool bk_password_check(struct bk_view password, struct bk_view hash);

/*
 * May somebody take this as a new password? NULL: yes; else a static text that ends "The new password was not
 * accepted: ...". length_min in characters; names: what it must not be, compared without case.
 */
const char *bk_password_fault(struct bk_view password, int64_t length_min,
                              const struct bk_view *names, size_t n_names);

/* ---- the NT hash, for those whose policy lets them sign in by NTLM ---- */

/* Puts that of a new password into the batch behind bk_store_put_password, where policy wants it; else does nothing. */
void bk_nt_hash_keep(struct bk_store_batch *batch, const struct bk_directory *dir,
                     const struct bk_user *user, struct bk_view password);
/* The same from the hash, as beckonctl sends it. */
void bk_nt_hash_put(struct bk_store_batch *batch, const struct bk_directory *dir,
                    const struct bk_user *user, const uint8_t hash[BK_NT_HASH_SIZE]);
/*
 * Policy changed, or an account did: takes away the hashes of whoever may not sign in by NTLM any more. user_id 0: everybody's.
 * The write is handed to the store; nobody waits for it.
 */
void bk_nt_hash_sweep(struct bk_store *store, const struct bk_directory *dir, int64_t user_id);

#endif
