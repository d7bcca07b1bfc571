/* SPDX-License-Identifier: Apache-2.0 */
/* server/run.h - a whole server in one thread: store, core, sockets, services, administration. */
#ifndef BK_SERVER_RUN_H
#define BK_SERVER_RUN_H

#include "net/loop.h"
#include "server/settings.h"

struct bk_run;
/* Everything is open and answering when this returns 0. *ret_why: a sentence for people (caller frees), or NULL. */
int bk_run_start(struct bk_loop *loop, const struct bk_settings *settings, const struct bk_log *log,
                 struct bk_run **ret, char **ret_why);
/* In order: nothing new is accepted, clients are told, what is under way ends or 5 s pass; then the loop stops. */
void bk_run_stop(struct bk_run *run);
/* Certificate and key again, on SIGHUP; a wrong file changes nothing. */
void bk_run_reload(struct bk_run *run);
struct bk_run *bk_run_destroy(struct bk_run *run);
/* "tls 5061" a line, for whoever let the kernel choose. */
int bk_run_write_ports(const struct bk_run *run, const char *path);

#endif
