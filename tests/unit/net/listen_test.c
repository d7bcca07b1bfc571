/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/net/net_test.h"

#include "net/conn_private.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CLIENTS = 40 };

struct place {
    struct bk_loop *loop;
    struct server server;
    struct end clients[CLIENTS];
    int n;
};

static bool nobody_is_own(void *ctx, const struct bk_addr *peer)
{
    (void)ctx;
    (void)peer;
    return false;
}

static void place_make(struct place *p, struct bk_listen_config config, const char *at)
{
    struct bk_addr addr;
    *p = (struct place){ 0 };
    assert_int_equal(bk_loop_create(NULL, &p->loop), 0);
    assert_int_equal(bk_addr_parse(at, 0, &addr), 0);
    config.at = &addr;
    config.limits = bk_conn_limits_default;
    server_start(&p->server, p->loop, NULL, &config);
}

static void place_free(struct place *p)
{
    server_stop(&p->server, p->clients, p->n);
    bk_loop_destroy(p->loop);
}

static struct bk_listener_stats stats_of(const struct place *p)
{
    struct bk_listener_stats stats;
    bk_listener_stats(p->server.listener, &stats);
    return stats;
}

static uint64_t seen(const struct place *p)
{
    struct bk_listener_stats s = stats_of(p);
    return s.accepted + s.refused_per_ip + s.refused_rate + s.refused_admit;
}

/* Opens n more and waits until the listener decided about each. */
static void knock(struct place *p, int n)
{
    uint64_t wanted = seen(p) + (uint64_t)n;
    for (int i = 0; i < n; i++)
        client_open(&p->clients[p->n++], p->loop, &p->server.at, NULL, NULL);
    AWAIT(p->loop, seen(p) == wanted);
}

static void strangers_of_one_address_are_limited_until_they_are_known(void **state)
{
    (void)state;
    struct place p;
    place_make(&p,
               (struct bk_listen_config){
                   .own_network = nobody_is_own, .per_ip_strangers_max = 3, .per_ip_total_max = 5 },
               "127.0.0.1");
    knock(&p, 4);
    assert_int_equal(stats_of(&p).accepted, 3);
    assert_int_equal(stats_of(&p).refused_per_ip, 1);
    AWAIT(p.loop, p.clients[3].closed);
    assert_int_equal(p.clients[3].why, BK_CONN_END_RESET);

    bk_listener_known(p.server.ends[0].conn);
    bk_listener_known(p.server.ends[0].conn); /* once is enough */
    knock(&p, 2);
    assert_int_equal(stats_of(&p).accepted, 4);

    bk_listener_known(p.server.ends[1].conn);
    bk_listener_known(p.server.ends[2].conn);
    bk_listener_known(p.server.ends[3].conn);
    knock(&p, 2); /* known or not: five is the end */
    assert_int_equal(stats_of(&p).accepted, 5);
    assert_int_equal(stats_of(&p).open, 5);

    bk_conn_close(p.server.ends[0].conn, 0);
    bk_conn_close(p.server.ends[4].conn, 0);
    AWAIT(p.loop, stats_of(&p).open == 3);
    knock(&p, 1);
    assert_int_equal(stats_of(&p).accepted, 6);
    place_free(&p);
}

static void a_flood_of_one_address_is_slowed_by_its_rate(void **state)
{
    (void)state;
    struct place p;
    place_make(&p, (struct bk_listen_config){ .own_network = nobody_is_own, .per_ip_new_per_s = 5 },
               "127.0.0.1");
    knock(&p, 12);
    assert_in_range(stats_of(&p).accepted, 5, 8); /* a slow machine may have earned some back */
    assert_int_equal(stats_of(&p).refused_rate, 12 - stats_of(&p).accepted);

    /* Another address of the same machine is somebody else. */
    struct bk_addr from;
    assert_int_equal(bk_addr_parse("127.0.0.7", 0, &from), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, &from.sa, from.len), 0);
    uint64_t accepted = stats_of(&p).accepted;
    assert_int_equal(connect(fd, &p.server.at.sa, p.server.at.len), 0);
    AWAIT(p.loop, stats_of(&p).accepted == accepted + 1);
    close(fd);

    /* The bucket fills again. */
    int64_t until = bk_clock_mono_ms(&bk_clock_system) + 1100;
    AWAIT(p.loop, bk_clock_mono_ms(&bk_clock_system) > until);
    accepted = stats_of(&p).accepted;
    knock(&p, 5);
    assert_int_equal(stats_of(&p).accepted, accepted + 5);
    place_free(&p);
}

static void own_networks_have_their_own_limits(void **state)
{
    (void)state;
    struct place p;
    place_make(&p,
               (struct bk_listen_config){ .per_ip_strangers_max = 1,
                                          .per_ip_total_max = 1,
                                          .per_ip_new_per_s = 1,
                                          .own_strangers_max = 10 },
               "127.0.0.1");
    knock(&p, 12);
    assert_int_equal(stats_of(&p).accepted, 10);
    assert_int_equal(stats_of(&p).refused_per_ip, 2);
    place_free(&p);
}

static bool memory_is_short(void *ctx)
{
    (void)ctx;
    return false;
}

static void nobody_is_let_in_while_memory_is_short(void **state)
{
    (void)state;
    struct place p;
    place_make(&p, (struct bk_listen_config){ .admit = memory_is_short }, "127.0.0.1");
    knock(&p, 3);
    assert_int_equal(stats_of(&p).refused_admit, 3);
    AWAIT(p.loop, p.clients[0].closed && p.clients[1].closed && p.clients[2].closed);
    place_free(&p);
}

static void an_owner_may_turn_a_connection_away(void **state)
{
    (void)state;
    struct place p;
    place_make(&p, (struct bk_listen_config){ .own_strangers_max = 1 }, "127.0.0.1");
    p.server.refuse = true;
    knock(&p, 1);
    AWAIT(p.loop, p.clients[0].closed);
    assert_int_equal(stats_of(&p).open, 0);
    p.server.refuse = false;
    knock(&p, 1); /* it is not counted any more */
    AWAIT(p.loop, p.clients[1].ready);
    assert_int_equal(p.server.n_ends, 1);
    place_free(&p);
}

static void connections_outlive_their_listener(void **state)
{
    (void)state;
    struct place p;
    place_make(&p, (struct bk_listen_config){ .own_strangers_max = 4 }, "127.0.0.1");
    knock(&p, 2);
    p.server.listener = bk_listener_destroy(p.server.listener);
    send_text(&p.clients[0], "still there");
    AWAIT(p.loop, p.server.ends[0].got.len == 11 || p.server.ends[1].got.len == 11);
    bk_listener_known(p.server.ends[0].conn);
    place_free(&p);
}

static int option_of(int fd, int level, int name)
{
    int value = 0;
    socklen_t len = sizeof value;
    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void every_connection_has_life_signs(void **state)
{
    (void)state;
    struct place p;
    place_make(&p, (struct bk_listen_config){ 0 }, "127.0.0.1");
    knock(&p, 1);
    AWAIT(p.loop, p.clients[0].ready);
    struct bk_conn *ends[] = { p.server.ends[0].conn, p.clients[0].conn };
    for (int i = 0; i < 2; i++) {
        int fd = event_get_fd(&ends[i]->event);
        assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
        assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 30);
        assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), 10);
        assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
        assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 45000);
        assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    bk_conn_life_signs(ends[0], 1, 2, 4, 5000);
    assert_int_equal(option_of(event_get_fd(&ends[0]->event), IPPROTO_TCP, TCP_KEEPIDLE), 1);
    assert_int_equal(option_of(event_get_fd(&ends[0]->event), IPPROTO_TCP, TCP_USER_TIMEOUT), 5000);
    place_free(&p);
}

static void one_listener_serves_both_families(void **state)
{
    (void)state;
    struct place p;
    place_make(&p, (struct bk_listen_config){ .own_strangers_max = 10 }, "::");
    struct bk_addr v4, v6;
    uint16_t port = bk_listener_port(p.server.listener);
    assert_int_equal(bk_addr_parse("127.0.0.1", port, &v4), 0);
    assert_int_equal(bk_addr_parse("::1", port, &v6), 0);
    client_open(&p.clients[p.n++], p.loop, &v4, NULL, NULL);
    AWAIT(p.loop, p.server.n_ends == 1);
    char text[64];
    bk_addr_host_text(bk_conn_peer(p.server.ends[0].conn), text);
    assert_string_equal(text, "127.0.0.1"); /* not ::ffff:127.0.0.1 */
    client_open(&p.clients[p.n++], p.loop, &v6, NULL, NULL);
    AWAIT(p.loop, p.server.n_ends == 2 || p.clients[1].closed);
    if (p.server.n_ends == 2) { /* a machine without IPv6 has no ::1 */
        bk_addr_host_text(bk_conn_peer(p.server.ends[1].conn), text);
        assert_string_equal(text, "::1");
    }
    place_free(&p);
}

static void a_port_that_is_taken_is_said_so(void **state)
{
    (void)state;
    struct place p;
    place_make(&p, (struct bk_listen_config){ 0 }, "127.0.0.1");
    struct bk_listener *second;
    struct bk_listen_config config = { .at = &p.server.at };
    assert_int_equal(bk_listen(p.loop, &config, &second), -EADDRINUSE);
    place_free(&p);
}

/* In a process of its own, whose descriptors end. 0: all held. */
static int without_descriptors(void)
{
    struct place p;
    place_make(&p, (struct bk_listen_config){ 0 }, "127.0.0.1");
    knock(&p, 1);
    int highest = dup(0);
    /* The clients' sockets are made before the end of the descriptors, so that only accepting fails. */
    int fds[8];
    for (int i = 0; i < 8; i++)
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
    close(highest);
    struct rlimit limit = { .rlim_cur = (rlim_t)(fds[7] + 1), .rlim_max = (rlim_t)(fds[7] + 1) };
    while (dup(0) >= 0 && setrlimit(RLIMIT_NOFILE, &limit) == 0) {
    }
    for (int i = 0; i < 8; i++)
        if (connect(fds[i], &p.server.at.sa, p.server.at.len) < 0)
            return 1;
    AWAIT(p.loop, stats_of(&p).no_fds >= 2); /* it pauses and tries again, it does not spin */
    if (stats_of(&p).accepted != 1)
        return 2;
    send_text(&p.clients[0], "who is in stays in");
    AWAIT(p.loop, p.server.ends[0].got.len == 18);
    for (int i = 4; i < 8; i++)
        close(fds[i]);
    AWAIT(p.loop, stats_of(&p).accepted >= 5); /* room again: those who waited get in */
    return 0;
}

static void without_descriptors_accepting_pauses_and_users_go_on(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(without_descriptors());
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- addresses ---- */

static struct bk_addr addr_of(const char *text, uint16_t port)
{
    struct bk_addr a;
    assert_int_equal(bk_addr_parse(text, port, &a), 0);
    return a;
}

static void addresses_are_read_and_written(void **state)
{
    (void)state;
    static const struct {
        const char *literal, *host, *text;
        bool loopback, private;
    } cases[] = {
        { "127.0.0.1", "127.0.0.1", "127.0.0.1:5061", true, true },
        { "::1", "::1", "[::1]:5061", true, true },
        { "10.1.2.3", "10.1.2.3", "10.1.2.3:5061", false, true },
        { "172.15.0.1", "172.15.0.1", "172.15.0.1:5061", false, false },
        { "172.16.0.1", "172.16.0.1", "172.16.0.1:5061", false, true },
        { "172.31.255.1", "172.31.255.1", "172.31.255.1:5061", false, true },
        { "172.32.0.1", "172.32.0.1", "172.32.0.1:5061", false, false },
        { "192.168.0.1", "192.168.0.1", "192.168.0.1:5061", false, true },
        { "169.254.0.1", "169.254.0.1", "169.254.0.1:5061", false, true },
        { "192.0.2.1", "192.0.2.1", "192.0.2.1:5061", false, false },
        { "2001:db8::1", "2001:db8::1", "[2001:db8::1]:5061", false, false },
        { "fd00::1", "fd00::1", "[fd00::1]:5061", false, true },
        { "fe80::1", "fe80::1", "[fe80::1]:5061", false, true },
        { "::ffff:10.0.0.1", "10.0.0.1", "10.0.0.1:5061", false, true },
        { "::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1:5061", false, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bk_addr a = addr_of(cases[i].literal, 5061);
        char text[64];
        bk_addr_host_text(&a, text);
        assert_string_equal(text, cases[i].host);
        bk_addr_text(&a, text);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(bk_addr_port(&a), 5061);
        assert_int_equal(bk_addr_is_loopback(&a), cases[i].loopback);
        assert_int_equal(bk_addr_is_private(&a), cases[i].private);
    }
    struct bk_addr a;
    assert_int_equal(bk_addr_parse("localhost", 1, &a), -EINVAL);
    assert_int_equal(bk_addr_parse("1.2.3", 1, &a), -EINVAL);
    assert_int_equal(bk_addr_parse("", 1, &a), -EINVAL);
}

static bool same_net(const char *a, const char *b)
{
    struct bk_addr x = addr_of(a, 1), y = addr_of(b, 2);
    return bk_addr_net_key(&x) == bk_addr_net_key(&y);
}

static void networks_are_24_and_64_bits_wide(void **state)
{
    (void)state;
    assert_true(same_net("192.0.2.1", "192.0.2.254"));
    assert_true(same_net("192.0.2.1", "::ffff:192.0.2.9"));
    assert_false(same_net("192.0.2.1", "192.0.3.1"));
    assert_true(same_net("2001:db8:1:2::1", "2001:db8:1:2:ffff::1"));
    assert_false(same_net("2001:db8:1:2::1", "2001:db8:1:3::1"));
}

/* ---- datagrams ---- */

struct post_box {
    struct bk_udp *udp;
    struct bk_addr at;
    int n;
    bool echo, close;
    struct bk_buf got;
};

static void on_datagram(void *ctx, const struct bk_addr *from, struct bk_view bytes)
{
    struct post_box *box = ctx;
    box->n++;
    bk_buf_add_view(&box->got, bytes);
    if (box->echo)
        bk_udp_send(box->udp, from, bytes);
    if (box->close)
        box->udp = bk_udp_close(box->udp);
}

static void box_open(struct post_box *box, struct bk_loop *loop)
{
    box->at = addr_of("127.0.0.1", 0);
    assert_int_equal(bk_udp_open(loop, &box->at, on_datagram, box, &box->udp), 0);
    box->at = addr_of("127.0.0.1", bk_udp_port(box->udp));
}

static void datagrams_go_out_together_and_come_back(void **state)
{
    (void)state;
    enum { N = 70 };
    struct bk_loop *loop;
    assert_int_equal(bk_loop_create(NULL, &loop), 0);
    struct post_box a = { 0 }, b = { .echo = true };
    box_open(&a, loop);
    box_open(&b, loop);
    struct bk_buf expected = { 0 };
    for (int i = 0; i < N; i++) {
        char text[16];
        int len = snprintf(text, sizeof text, "<%d>", i);
        bk_udp_send(a.udp, &b.at, (struct bk_view){ text, (size_t)len });
        bk_buf_add(&expected, text, (size_t)len);
    }
    AWAIT(loop, a.n == N);
    assert_true(bk_view_equal(bk_buf_view(&a.got), bk_buf_view(&expected)));

    char *large = calloc(1, 60000);
    bk_udp_send(a.udp, &b.at, (struct bk_view){ large, 60000 });
    AWAIT(loop, a.n == N + 1);
    free(large);

    struct bk_addr nobody = addr_of("127.0.0.1", 1); /* an error there does not end anything */
    bk_udp_send(a.udp, &nobody, BK_VIEW("x"));
    bk_udp_send(a.udp, &b.at, BK_VIEW("y"));
    AWAIT(loop, a.n == N + 2);
    bk_udp_close(a.udp);
    bk_udp_close(b.udp);
    bk_buf_finish(&a.got);
    bk_buf_finish(&b.got);
    bk_buf_finish(&expected);
    bk_loop_destroy(loop);
}

static void a_socket_may_be_closed_by_its_own_datagram(void **state)
{
    (void)state;
    struct bk_loop *loop;
    assert_int_equal(bk_loop_create(NULL, &loop), 0);
    struct post_box a = { 0 }, b = { .echo = true, .close = true };
    box_open(&a, loop);
    box_open(&b, loop);
    for (int i = 0; i < 3; i++)
        bk_udp_send(a.udp, &b.at, BK_VIEW("last"));
    AWAIT(loop, a.n == 1); /* what was sent before the close went out */
    assert_int_equal(b.n, 1);
    assert_null(b.udp);
    bk_udp_close(a.udp);
    bk_buf_finish(&a.got);
    bk_buf_finish(&b.got);
    bk_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strangers_of_one_address_are_limited_until_they_are_known),
        cmocka_unit_test(a_flood_of_one_address_is_slowed_by_its_rate),
        cmocka_unit_test(own_networks_have_their_own_limits),
        cmocka_unit_test(nobody_is_let_in_while_memory_is_short),
        cmocka_unit_test(an_owner_may_turn_a_connection_away),
        cmocka_unit_test(connections_outlive_their_listener),
        cmocka_unit_test(every_connection_has_life_signs),
        cmocka_unit_test(one_listener_serves_both_families),
        cmocka_unit_test(a_port_that_is_taken_is_said_so),
        cmocka_unit_test(without_descriptors_accepting_pauses_and_users_go_on),
        cmocka_unit_test(addresses_are_read_and_written),
        cmocka_unit_test(networks_are_24_and_64_bits_wide),
        cmocka_unit_test(datagrams_go_out_together_and_come_back),
        cmocka_unit_test(a_socket_may_be_closed_by_its_own_datagram),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
