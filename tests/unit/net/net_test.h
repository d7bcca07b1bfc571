/* SPDX-License-Identifier: Apache-2.0 */
/* unit/net/net_test.h - what the tests of net/ share: a loop that waits for conditions, a PKI, recorded connections. */
#ifndef BK_UNIT_NET_TEST_H
#define BK_UNIT_NET_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "fakes/pki.h"
#include "net/conn.h"

/* Steps the loop until the condition holds; fails the test when it does not within 20 seconds. */
#define AWAIT(loop, condition)                                                                     \
    do {                                                                                           \
        int64_t await_until = bk_clock_mono_ms(&bk_clock_system) + 20000;                          \
        while (!(condition)) {                                                                     \
            if (bk_clock_mono_ms(&bk_clock_system) > await_until)                                  \
                fail_msg("waited in vain for: %s", #condition);                                    \
            bk_loop_step((loop), 50);                                                              \
        }                                                                                          \
    } while (0)

/* Root (trusted by the tests' clients) and a good server certificate for "server.test", in a directory of its own. */
struct net_pki {
    char dir[64]; /* FOLDER_SIZE */
    struct pki_cert *root, *server;
};
void net_pki_make(struct net_pki *pki);
void net_pki_free(struct net_pki *pki); /* removes the directory too */
const char *net_pki_path(const struct net_pki *pki,
                         const char *file); /* valid until the next call but three */

/*
 * Group fixtures: a server with the good certificate and ALPN "beckon", "sip" and "http/1.1", and a client that trusts its root
 * alone.
 */
extern struct bk_tls_server *net_server_tls;
extern struct bk_tls_client *net_client_tls;
int net_tls_make(void **state);
int net_tls_free(void **state);

/* An end of a connection that remembers what happened to it. */
struct end {
    struct bk_conn *conn; /* NULL once closed */
    struct bk_buf got;
    size_t use_max; /* bytes() uses at most so many per call; 0: all */
    bool hold;      /* bytes() uses nothing */
    bool echo;
    int ready, closed, drained, n_bytes;
    size_t shown; /* bytes the last bytes() saw */
    enum bk_conn_end why;
    enum bk_tls_fault fault;
    char detail[512];
};
extern const struct bk_conn_ops end_ops;
void end_finish(struct end *end);

/* A listener on loopback whose connections are `ends`, in the order of accepting. */
struct server {
    struct bk_loop *loop;
    struct bk_listener *listener;
    struct bk_addr at;
    struct end ends[64];
    int n_ends;
    bool echo, hold, refuse;
};
void server_start(struct server *server, struct bk_loop *loop, struct bk_tls_server *tls,
                  const struct bk_listen_config *like /* NULL: no limits but the default ones */);
/* Closes all that is open, the clients too. */
void server_stop(struct server *server, struct end *clients, int n_clients);

void client_open(struct end *client, struct bk_loop *loop, const struct bk_addr *to,
                 struct bk_tls_client *tls, const char *name);
void send_text(struct end *end, const char *text);

#endif
