/* SPDX-License-Identifier: Apache-2.0 */
/* server/front.h - sockets on one side, the core on the other: framing, SIP and HTTP on one port, datagrams. */
#ifndef BK_SERVER_FRONT_H
#define BK_SERVER_FRONT_H

#include "net/conn.h"
#include "net/http.h"
#include "server/core.h"
#include "server/settings.h"

struct bk_front;

/* The core's way out; give these to bk_core_create with the front as ctx, then the core to bk_front_start. */
extern const struct bk_core_ops bk_front_core_ops;
int bk_front_create(struct bk_loop *loop, const struct bk_settings *settings,
                    struct bk_front **ret);
/* Binds everything settings name; http may be NULL. *ret_why: which address and why (caller frees). */
int bk_front_start(struct bk_front *front, struct bk_core *core, struct bk_http_server *http,
                   char **ret_why);
struct bk_front *bk_front_destroy(struct bk_front *front);
/* Reads certificate and key again; the old ones stay where that fails. */
int bk_front_reload(struct bk_front *front, char **ret_why);
/* Accepts nothing for as long as that is so: memory is nearly used up. */
void bk_front_refuse_all(struct bk_front *front, bool refuse);
void bk_front_stop_accepting(struct bk_front *front);
/* The port really bound of the first address of that kind ("tls", "https", "https-ask", "http", "tcp", "udp"), 0: none. */
uint16_t bk_front_port(const struct bk_front *front, const char *kind);
/* For metrics and status. */
struct bk_front_stats {
    struct bk_listener_stats listeners; /* summed */
    uint64_t udp_refused; /* datagrams of strangers for whom there was no place */
};
void bk_front_stats(const struct bk_front *front, struct bk_front_stats *ret);
/* Whether an address belongs to the own networks. */
bool bk_front_own_network(void *front, const struct bk_addr *peer);

#endif
