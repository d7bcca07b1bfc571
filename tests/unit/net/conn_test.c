/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/net/net_test.h"

#include <string.h>

static struct net_pki pki;
static struct bk_tls_server *server_tls;
static struct bk_tls_client *client_tls;

static const char *const alpn[] = { "beckon", "sip", "http/1.1", NULL };

static int make_tls(void **state)
{
    (void)state;
    net_pki_make(&pki);
    struct bk_tls_server_config sc = { .chain_file = net_pki_path(&pki, "server.pem"),
                                       .key_file = net_pki_path(&pki, "server.key"),
                                       .alpn = alpn };
    assert_int_equal(bk_tls_server_create(&sc, &server_tls, NULL), 0);
    struct bk_tls_client_config cc = { .ca_file = net_pki_path(&pki, "root.pem"),
                                       .only_ca_file = true };
    assert_int_equal(bk_tls_client_create(&cc, &client_tls, NULL), 0);
    return 0;
}

static int free_tls(void **state)
{
    (void)state;
    server_tls = bk_tls_server_unref(server_tls);
    client_tls = bk_tls_client_unref(client_tls);
    net_pki_free(&pki);
    return 0;
}

static bool got(const struct end *end, const char *text)
{
    return bk_view_equal(bk_buf_view(&end->got), bk_view_of_str(text));
}

static void echoes(struct bk_tls_server *st, struct bk_tls_client *ct)
{
    struct bk_loop *loop;
    assert_int_equal(bk_loop_create(NULL, &loop), 0);
    struct server server = { .echo = true };
    server_start(&server, loop, st, NULL);
    struct end client = { 0 };
    client_open(&client, loop, &server.at, ct, "server.test");
    send_text(&client, "hello "); /* before it stands: waits */
    AWAIT(loop, client.ready == 1);
    send_text(&client, "world");
    AWAIT(loop, got(&client, "hello world"));
    bk_conn_close(client.conn, 1000);
    AWAIT(loop, client.closed == 1 && server.ends[0].closed == 1);
    assert_int_equal(client.why, BK_CONN_END_LOCAL);
    assert_int_equal(server.ends[0].why, BK_CONN_END_PEER);
    server_stop(&server, &client, 1);
    bk_loop_destroy(loop);
}

static void bytes_go_both_ways_over_tcp(void **state)
{
    (void)state;
    echoes(NULL, NULL);
}

static void bytes_go_both_ways_over_tls(void **state)
{
    (void)state;
    echoes(server_tls, client_tls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways_over_tcp),
        cmocka_unit_test(bytes_go_both_ways_over_tls),
    };
    return cmocka_run_group_tests(tests, make_tls, free_tls);
}
