/* SPDX-License-Identifier: Apache-2.0 */
/* net/watch.h - when this computer's network comes, goes or changes (rtnetlink(7)). Needs no privilege. */
#ifndef BK_NET_WATCH_H
#define BK_NET_WATCH_H

#include "net/conn.h"

/*
 * The kernel tells of each link, address and route; here that becomes a picture: which addresses stand on interfaces
 * that run, and which of them the default routes take. changed() comes from the loop once it differs from the one
 * before, a tenth of a second after the kernel's first word, so that one cable is one call. What says the same
 * again (router advertisements, scans of a wireless card) is not told.
 */
struct bk_netwatch;
/* Negative errno where the kernel tells nothing here: nobody loses more than the early word. */
int bk_netwatch_create(struct bk_loop *loop, void (*changed)(void *ctx), void *ctx,
                       struct bk_netwatch **ret);
struct bk_netwatch *bk_netwatch_destroy(struct bk_netwatch *watch); /* not from within changed() */

/*
 * Could bytes leave for `to` from the address `from` (its port does not count)? False where no interface that runs has
 * that address any more, or no route leads there. True where it cannot be told. Asks the kernel, sends nothing.
 */
bool bk_net_has_way(const struct bk_addr *from, const struct bk_addr *to);

#endif
