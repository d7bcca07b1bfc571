/* SPDX-License-Identifier: Apache-2.0 */
/* server/password.h - yescrypt (crypt(5)), for the server, beckonctl and whoever else sets or checks a password. */
#ifndef BK_SERVER_PASSWORD_H
#define BK_SERVER_PASSWORD_H

#include "base/buf.h"

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

#endif
