/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/net/net_test.h"

#include "fakes/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void net_pki_make(struct net_pki *pki)
{
    folder_make(pki->dir, "net");
    pki->root = pki_make(&(struct pki_request){ .name = "Test Root", .ca = true });
    pki->server = pki_make(&(struct pki_request){
        .name = "server.test", .san = "DNS:server.test,IP:127.0.0.1", .issuer = pki->root });
    pki_write(pki->dir, "root", (const struct pki_cert *const[]){ pki->root, NULL });
    pki_write(pki->dir, "server", (const struct pki_cert *const[]){ pki->server, NULL });
}

void net_pki_free(struct net_pki *pki)
{
    (void)folder_remove(pki->dir);
    pki_free(pki->server);
    pki_free(pki->root);
}

const char *net_pki_path(const struct net_pki *pki, const char *file)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", pki->dir, file);
    return path;
}

static struct net_pki tls_pki;
struct bk_tls_server *net_server_tls;
struct bk_tls_client *net_client_tls;

int net_tls_make(void **state)
{
    static const char *const alpn[] = { "beckon", "sip", "http/1.1", NULL };
    (void)state;
    net_pki_make(&tls_pki);
    struct bk_tls_server_config sc = { .chain_file = net_pki_path(&tls_pki, "server.pem"),
                                       .key_file = net_pki_path(&tls_pki, "server.key"),
                                       .alpn = alpn };
    assert_int_equal(bk_tls_server_create(&sc, &net_server_tls, NULL), 0);
    struct bk_tls_client_config cc = { .ca_file = net_pki_path(&tls_pki, "root.pem"),
                                       .only_ca_file = true };
    assert_int_equal(bk_tls_client_create(&cc, &net_client_tls, NULL), 0);
    return 0;
}

int net_tls_free(void **state)
{
    (void)state;
    net_server_tls = bk_tls_server_unref(net_server_tls);
    net_client_tls = bk_tls_client_unref(net_client_tls);
    net_pki_free(&tls_pki);
    return 0;
}

static void end_ready(struct bk_conn *conn, void *ctx)
{
    (void)conn;
    struct end *end = ctx;
    end->ready++;
}

static size_t end_bytes(struct bk_conn *conn, void *ctx, struct bk_view bytes)
{
    struct end *end = ctx;
    end->n_bytes++;
    end->shown = bytes.len;
    if (end->hold)
        return 0;
    if (end->use_max && bytes.len > end->use_max)
        bytes = bk_view_head(bytes, end->use_max);
    bk_buf_add_view(&end->got, bytes);
    if (end->echo)
        bk_conn_send(conn, bytes, false);
    return bytes.len;
}

static void end_closed(struct bk_conn *conn, void *ctx, enum bk_conn_end why)
{
    struct end *end = ctx;
    assert_ptr_equal(end->conn, conn);
    end->closed++;
    end->why = why;
    end->fault = bk_conn_tls_fault(conn);
    snprintf(end->detail, sizeof end->detail, "%s", bk_conn_fault_detail(conn));
    end->conn = NULL;
}

static void end_drained(struct bk_conn *conn, void *ctx)
{
    (void)conn;
    struct end *end = ctx;
    end->drained++;
}

const struct bk_conn_ops end_ops = { end_ready, end_bytes, end_closed, end_drained };

void end_finish(struct end *end)
{
    bk_buf_finish(&end->got);
    *end = (struct end){ 0 };
}

static void *server_accepted(void *ctx, struct bk_conn *conn)
{
    struct server *server = ctx;
    assert_true(server->n_ends < (int)(sizeof server->ends / sizeof server->ends[0]));
    if (server->refuse)
        return NULL;
    struct end *end = &server->ends[server->n_ends++];
    end->conn = conn;
    end->echo = server->echo;
    end->hold = server->hold;
    return end;
}

void server_start(struct server *server, struct bk_loop *loop, struct bk_tls_server *tls,
                  const struct bk_listen_config *like)
{
    struct bk_listen_config config = { .limits = bk_conn_limits_default };
    struct bk_addr any;
    assert_int_equal(bk_addr_parse("127.0.0.1", 0, &any), 0);
    if (like)
        config = *like;
    if (!config.at)
        config.at = &any;
    config.tls = tls;
    config.ops = &end_ops;
    config.accepted = server_accepted;
    config.ctx = server;
    server->loop = loop;
    assert_int_equal(bk_listen(loop, &config, &server->listener), 0);
    server->at = *config.at;
    if (server->at.sa.sa_family == AF_INET)
        server->at.v4.sin_port = htons(bk_listener_port(server->listener));
    else
        server->at.v6.sin6_port = htons(bk_listener_port(server->listener));
}

static bool all_closed(const struct end *ends, int n)
{
    for (int i = 0; i < n; i++)
        if (ends[i].conn)
            return false;
    return true;
}

void server_stop(struct server *server, struct end *clients, int n_clients)
{
    for (int i = 0; i < n_clients; i++)
        if (clients[i].conn)
            bk_conn_close(clients[i].conn, 0);
    for (int i = 0; i < server->n_ends; i++)
        if (server->ends[i].conn)
            bk_conn_close(server->ends[i].conn, 0);
    AWAIT(server->loop, all_closed(clients, n_clients) && all_closed(server->ends, server->n_ends));
    for (int i = 0; i < n_clients; i++)
        end_finish(&clients[i]);
    for (int i = 0; i < server->n_ends; i++)
        end_finish(&server->ends[i]);
    server->listener = bk_listener_destroy(server->listener);
    server->n_ends = 0;
}

void client_open(struct end *client, struct bk_loop *loop, const struct bk_addr *to,
                 struct bk_tls_client *tls, const char *name)
{
    assert_int_equal(bk_conn_open(loop, to, tls, name, NULL, &end_ops, client, &client->conn), 0);
}

void send_text(struct end *end, const char *text)
{
    assert_int_equal(bk_conn_send(end->conn, bk_view_of_str(text), false), 0);
}
