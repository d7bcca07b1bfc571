/* SPDX-License-Identifier: Apache-2.0 */
/* server/admin_socket.h - the door for beckonctl: one JSON object a line each way, over a unix socket. */
#ifndef BK_SERVER_ADMIN_SOCKET_H
#define BK_SERVER_ADMIN_SOCKET_H

#include "net/loop.h"
#include "server/admin.h"

enum { BK_ADMIN_LINE_MAX = 1024 * 1024 };

struct bk_admin_socket;
/*
 * Mode 0600; the peer must be root or the user the server runs as (SO_PEERCRED), and is the actor in the audit. A
 * socket file that nobody listens on is replaced. -EADDRINUSE: somebody does.
 */
int bk_admin_socket_open(struct bk_loop *loop, const char *path, struct bk_admin *admin,
                         struct bk_admin_socket **ret);
struct bk_admin_socket *bk_admin_socket_close(struct bk_admin_socket *socket);

#endif
