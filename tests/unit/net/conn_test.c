/* SPDX-License-Identifier: Apache-2.0 */
/* Linked with --wrap=send and --wrap=recv, so that system calls can be counted. */
#include "unit/net/net_test.h"

#include "net/conn_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int n_send, n_recv;

ssize_t __real_send(int fd, const void *at, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *at, size_t len, int flags);
ssize_t __real_recv(int fd, void *to, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *to, size_t size, int flags);

ssize_t __wrap_send(int fd, const void *at, size_t len, int flags)
{
    n_send++;
    return __real_send(fd, at, len, flags);
}

ssize_t __wrap_recv(int fd, void *to, size_t size, int flags)
{
    n_recv++;
    return __real_recv(fd, to, size, flags);
}

/* A server end and a client end that stand. */
struct pair {
    struct bk_loop *loop;
    struct server server;
    struct end client;
};

static void pair_begin(struct pair *p, bool tls, const struct bk_conn_limits *limits)
{
    *p = (struct pair){ 0 };
    assert_int_equal(bk_loop_create(NULL, &p->loop), 0);
    struct bk_addr at;
    assert_int_equal(bk_addr_parse("127.0.0.1", 0, &at), 0);
    struct bk_listen_config config = { .at = &at,
                                       .limits = limits ? *limits : bk_conn_limits_default };
    server_start(&p->server, p->loop, tls ? net_server_tls : NULL, &config);
}

static void pair_make(struct pair *p, bool tls, const struct bk_conn_limits *limits)
{
    pair_begin(p, tls, limits);
    client_open(&p->client, p->loop, &p->server.at, tls ? net_client_tls : NULL, "server.test");
    AWAIT(p->loop, p->client.ready && p->server.n_ends == 1 && p->server.ends[0].ready);
}

static void pair_free(struct pair *p)
{
    server_stop(&p->server, &p->client, 1);
    bk_loop_destroy(p->loop);
}

static bool got(const struct end *end, const char *text)
{
    return bk_view_equal(bk_buf_view(&end->got), bk_view_of_str(text));
}

/* Bytes that tell where they stand. */
static void pattern(struct bk_buf *to, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bk_buf_add_char(to, (char)(i * 7 + i / 251));
    assert_false(to->failed);
}

static void settle(struct pair *p)
{
    for (int i = 0; i < 5; i++)
        bk_loop_step(p->loop, 5);
}

/* ---- bytes ---- */

static void echoes(bool tls)
{
    struct pair p;
    pair_begin(&p, tls, NULL);
    p.server.echo = true;
    client_open(&p.client, p.loop, &p.server.at, tls ? net_client_tls : NULL, "server.test");
    send_text(&p.client, "hello "); /* before it stands: waits */
    AWAIT(p.loop, p.client.ready == 1);
    send_text(&p.client, "world");
    AWAIT(p.loop, got(&p.client, "hello world"));
    assert_true(bk_conn_last_in_ms(p.client.conn) >= bk_conn_opened_ms(p.client.conn));
    assert_int_equal(bk_conn_is_tls(p.client.conn), tls);
    assert_int_equal(bk_addr_port(bk_conn_peer(p.client.conn)), bk_addr_port(&p.server.at));
    assert_int_equal(bk_addr_port(bk_conn_local(p.client.conn)),
                     bk_addr_port(bk_conn_peer(p.server.ends[0].conn)));
    assert_int_equal(bk_addr_port(bk_conn_local(p.server.ends[0].conn)),
                     bk_addr_port(&p.server.at));
    bk_conn_close(p.client.conn, 1000);
    bk_conn_close(p.client.conn, 1000); /* twice is once */
    assert_int_equal(bk_conn_send(p.client.conn, BK_VIEW("x"), false), -EPIPE);
    AWAIT(p.loop, p.client.closed && p.server.ends[0].closed);
    assert_int_equal(p.client.closed, 1);
    assert_int_equal(p.client.why, BK_CONN_END_LOCAL);
    assert_int_equal(p.server.ends[0].why, BK_CONN_END_PEER);
    pair_free(&p);
}

static void bytes_go_both_ways(void **state)
{
    (void)state;
    echoes(false);
    echoes(true);
}

static void what_is_sent_in_one_wake_up_is_one_write_and_one_read(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct pair p;
        pair_make(&p, tls, NULL);
        settle(&p);
        n_send = n_recv = 0;
        for (int i = 0; i < 100; i++)
            send_text(&p.client, "0123456789");
        AWAIT(p.loop, p.server.ends[0].got.len == 1000);
        assert_int_equal(n_send, 1);
        assert_int_equal(n_recv, 1); /* not once more to hear that there is no more */
        assert_int_equal(p.server.ends[0].n_bytes, 1);
        pair_free(&p);
    }
}

static void an_idle_connection_holds_nothing_beside_itself(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct pair p;
        pair_make(&p, tls, NULL);
        struct bk_conn *conn = p.server.ends[0].conn;
        assert_non_null(conn->busy); /* the first request is awaited */
        bk_conn_calm(conn);
        send_text(&p.client, "ping");
        AWAIT(p.loop, p.server.ends[0].got.len == 4);
        settle(&p);
        assert_null(conn->busy);
        assert_int_equal(event_get_events(&conn->event), EV_READ | EV_PERSIST);
        assert_true(sizeof *conn <= 256); /* specs: 0.4 kB with all that hangs on it */
        pair_free(&p);
    }
}

static void a_large_stream_arrives_whole_in_both_directions(void **state)
{
    (void)state;
    enum { SIZE = 900 * 1024 };
    struct bk_buf bytes = { 0 };
    pattern(&bytes, SIZE);
    for (int tls = 0; tls < 2; tls++) {
        struct pair p;
        pair_begin(&p, tls, NULL);
        p.server.echo = true;
        client_open(&p.client, p.loop, &p.server.at, tls ? net_client_tls : NULL, "server.test");
        assert_int_equal(bk_conn_send(p.client.conn, bk_buf_view(&bytes), false), 0);
        AWAIT(p.loop, p.client.got.len == SIZE);
        assert_memory_equal(p.client.got.at, bytes.at, SIZE);
        settle(&p);
        assert_int_equal(event_get_events(&p.client.conn->event), EV_READ | EV_PERSIST);
        pair_free(&p);
    }
    bk_buf_finish(&bytes);
}

/* ---- what stays unused ---- */

static void unused_bytes_are_shown_again_with_more_behind_them(void **state)
{
    (void)state;
    static const char text[] = "torn at every byte";
    for (int tls = 0; tls < 2; tls++) {
        struct pair p;
        pair_begin(&p, tls, NULL);
        p.server.hold = true;
        client_open(&p.client, p.loop, &p.server.at, tls ? net_client_tls : NULL, "server.test");
        AWAIT(p.loop, p.client.ready && p.server.n_ends && p.server.ends[0].ready);
        struct end *end = &p.server.ends[0];
        for (size_t i = 0; i < sizeof text - 1; i++) {
            bk_conn_send(p.client.conn, (struct bk_view){ text + i, 1 }, false);
            AWAIT(p.loop, end->shown == i + 1);
        }
        end->hold = false;
        send_text(&p.client, "!");
        AWAIT(p.loop, got(end, "torn at every byte!"));
        pair_free(&p);
    }
}

static void a_part_that_was_used_does_not_come_back(void **state)
{
    (void)state;
    struct pair p;
    pair_make(&p, true, NULL);
    p.server.ends[0].use_max = 3;
    send_text(&p.client, "abcdefgh");
    AWAIT(p.loop, got(&p.server.ends[0], "abc"));
    send_text(&p.client, "i");
    AWAIT(p.loop, got(&p.server.ends[0], "abcdef"));
    send_text(&p.client, "j");
    AWAIT(p.loop, got(&p.server.ends[0], "abcdefghi"));
    pair_free(&p);
}

static struct end successor;

static size_t sniffing_bytes(struct bk_conn *conn, void *ctx, struct bk_view bytes)
{
    struct end *end = ctx;
    if (bytes.len < 4)
        return 0;
    successor.conn = end->conn;
    bk_conn_set_ops(conn, &end_ops, &successor);
    end->conn = NULL;
    return 1; /* the first byte was for us */
}

static void new_ops_are_shown_what_lies_unused(void **state)
{
    (void)state;
    struct pair p;
    /* From within bytes(), as a protocol is told by its first bytes. */
    pair_make(&p, true, NULL);
    struct bk_conn_ops sniffing = end_ops;
    sniffing.bytes = sniffing_bytes;
    bk_conn_set_ops(p.server.ends[0].conn, &sniffing, &p.server.ends[0]);
    send_text(&p.client, "abc");
    settle(&p);
    assert_int_equal(successor.got.len, 0);
    send_text(&p.client, "defg");
    AWAIT(p.loop, got(&successor, "bcdefg"));
    bk_conn_close(successor.conn, 0);
    AWAIT(p.loop, successor.closed);
    end_finish(&successor);
    pair_free(&p);

    /* And from outside. */
    pair_make(&p, false, NULL);
    p.server.ends[0].hold = true;
    send_text(&p.client, "abc");
    AWAIT(p.loop, p.server.ends[0].shown == 3);
    successor.conn = p.server.ends[0].conn;
    bk_conn_set_ops(successor.conn, &end_ops, &successor);
    p.server.ends[0].conn = NULL;
    AWAIT(p.loop, got(&successor, "abc"));
    bk_conn_close(successor.conn, 0);
    AWAIT(p.loop, successor.closed);
    end_finish(&successor);
    pair_free(&p);
}

static void a_paused_connection_reads_nothing_and_loses_nothing(void **state)
{
    (void)state;
    enum { SIZE = 700 * 1024 };
    struct bk_buf bytes = { 0 };
    pattern(&bytes, SIZE);
    struct bk_conn_limits limits = bk_conn_limits_default;
    limits.torn_ms = 30; /* what is held back by a pause is not an unfinished message */
    for (int tls = 0; tls < 2; tls++) {
        struct pair p;
        pair_make(&p, tls, &limits);
        struct end *end = &p.server.ends[0];
        bk_conn_calm(end->conn);
        end->hold = true;
        send_text(&p.client, "held");
        AWAIT(p.loop, end->shown == 4);
        bk_conn_pause(end->conn, true);
        assert_int_equal(bk_conn_send(p.client.conn, bk_buf_view(&bytes), false), 0);
        int64_t until = bk_clock_mono_ms(&bk_clock_system) + 100;
        AWAIT(p.loop, bk_clock_mono_ms(&bk_clock_system) > until);
        assert_int_equal(end->n_bytes, 1);
        assert_int_equal(end->closed, 0);
        end->hold = false;
        bk_conn_pause(end->conn, false);
        AWAIT(p.loop, end->got.len == SIZE + 4);
        assert_memory_equal(end->got.at, "held", 4);
        assert_memory_equal(end->got.at + 4, bytes.at, SIZE);
        pair_free(&p);
    }
    bk_buf_finish(&bytes);
}

/* ---- limits ---- */

static void more_unused_bytes_than_allowed_end_it(void **state)
{
    (void)state;
    struct bk_conn_limits limits = bk_conn_limits_default;
    limits.in_max = 1000;
    struct bk_buf bytes = { 0 };
    pattern(&bytes, 1001);
    struct pair p;
    pair_begin(&p, false, &limits);
    p.server.hold = true;
    client_open(&p.client, p.loop, &p.server.at, NULL, NULL);
    bk_conn_send(p.client.conn, (struct bk_view){ bytes.at, 1000 }, false);
    AWAIT(p.loop, p.server.n_ends && p.server.ends[0].shown == 1000);
    settle(&p);
    assert_int_equal(p.server.ends[0].closed, 0);
    bk_conn_send(p.client.conn, (struct bk_view){ bytes.at, 1 }, false);
    AWAIT(p.loop, p.server.ends[0].closed);
    assert_int_equal(p.server.ends[0].why, BK_CONN_END_OVERFLOW);
    assert_int_equal(p.server.ends[0].shown, 1000);
    pair_free(&p);
    bk_buf_finish(&bytes);
}

/* The client does not read; the server's bytes fill the kernel, then the queue. */
static void a_slow_reader_loses_presence_first_and_then_the_connection(void **state)
{
    (void)state;
    enum { PIECE = 16 * 1024 };
    struct bk_conn_limits limits = bk_conn_limits_default;
    limits.out_soft = 256 * 1024;
    limits.out_max = 512 * 1024;
    struct bk_buf bytes = { 0 };
    pattern(&bytes, PIECE);
    for (int tls = 0; tls < 2; tls++) {
        struct pair p;
        pair_make(&p, tls, &limits);
        struct end *end = &p.server.ends[0];
        bk_conn_pause(p.client.conn, true);
        int r = 0;
        for (int i = 0; i < 4096 && r == 0; i++) {
            r = bk_conn_send(end->conn, bk_buf_view(&bytes), true);
            bk_loop_step(p.loop, 0);
        }
        assert_int_equal(r, -EAGAIN);
        assert_in_range(bk_conn_out_queued(end->conn), limits.out_soft - PIECE, limits.out_soft);
        assert_int_equal(end->drained, 0);

        bk_conn_pause(p.client.conn, false); /* it reads on: we are told, once */
        AWAIT(p.loop, end->drained == 1 && bk_conn_out_queued(end->conn) == 0);
        assert_int_equal(bk_conn_send(end->conn, BK_VIEW("x"), true), 0);
        settle(&p);
        assert_int_equal(end->drained, 1);

        bk_conn_pause(p.client.conn, true);
        for (int i = 0; i < 4096 && !end->closed; i++) {
            bk_conn_send(end->conn, bk_buf_view(&bytes), false);
            bk_loop_step(p.loop, 0);
        }
        assert_int_equal(end->closed, 1);
        assert_int_equal(end->why, BK_CONN_END_OVERFLOW);
        pair_free(&p);
    }
    bk_buf_finish(&bytes);
}

static void much_in_one_wake_up_is_no_overflow_for_who_reads(void **state)
{
    (void)state;
    enum { PIECE = 1024, N = 2000 };
    struct bk_conn_limits limits = bk_conn_limits_default;
    limits.out_soft = limits.out_max = 256 * 1024;
    struct pair p;
    pair_make(&p, false, &limits);
    int size = 4 * 1024 * 1024;
    setsockopt(event_get_fd(&p.server.ends[0].conn->event), SOL_SOCKET, SO_SNDBUF, &size,
               sizeof size);
    struct bk_buf piece = { 0 };
    pattern(&piece, PIECE);
    int sent = 0;
    while (sent < N && bk_conn_send(p.server.ends[0].conn, bk_buf_view(&piece), true) == 0)
        sent++;
    assert_true(sent > 256); /* more than the queue: the kernel took some of it meanwhile */
    AWAIT(p.loop, p.client.got.len == (size_t)sent * PIECE);
    bk_buf_finish(&piece);
    pair_free(&p);
}

static void who_does_not_shake_hands_in_time_is_cut_off(void **state)
{
    (void)state;
    struct bk_conn_limits limits = bk_conn_limits_default;
    limits.handshake_ms = 50;
    struct pair p;
    pair_begin(&p, true, &limits);
    client_open(&p.client, p.loop, &p.server.at, NULL, NULL); /* says nothing */
    AWAIT(p.loop, p.client.closed && p.server.ends[0].closed);
    assert_int_equal(p.server.ends[0].why, BK_CONN_END_TIMEOUT);
    assert_int_equal(p.server.ends[0].ready, 0);
    pair_free(&p);

    /* The other way round: a server that does not answer. */
    pair_begin(&p, false, NULL);
    assert_int_equal(bk_conn_open(p.loop, &p.server.at, net_client_tls, "server.test", &limits,
                                  &end_ops, &p.client, &p.client.conn),
                     0);
    AWAIT(p.loop, p.client.closed);
    assert_int_equal(p.client.why, BK_CONN_END_TIMEOUT);
    pair_free(&p);
}

static void who_sends_no_request_in_time_is_cut_off_unless_calm(void **state)
{
    (void)state;
    struct bk_conn_limits limits = bk_conn_limits_default;
    limits.first_ms = 60;
    struct pair p;
    pair_make(&p, true, &limits);
    send_text(&p.client, "not a whole request"); /* bytes alone do not help */
    AWAIT(p.loop, p.server.ends[0].closed);
    assert_int_equal(p.server.ends[0].why, BK_CONN_END_TIMEOUT);
    pair_free(&p);

    pair_make(&p, true, &limits);
    bk_conn_calm(p.server.ends[0].conn);
    int64_t until = bk_clock_mono_ms(&bk_clock_system) + 150;
    AWAIT(p.loop, bk_clock_mono_ms(&bk_clock_system) > until);
    assert_int_equal(p.server.ends[0].closed, 0);
    pair_free(&p);
}

static void an_unfinished_message_has_a_deadline_from_its_first_byte(void **state)
{
    (void)state;
    struct bk_conn_limits limits = bk_conn_limits_default;
    limits.torn_ms = 150;
    struct pair p;
    pair_begin(&p, true, &limits);
    p.server.hold = true;
    client_open(&p.client, p.loop, &p.server.at, net_client_tls, "server.test");
    AWAIT(p.loop, p.client.ready && p.server.n_ends && p.server.ends[0].ready);
    bk_conn_calm(p.server.ends[0].conn);
    int64_t began = bk_clock_mono_ms(&bk_clock_system);
    while (!p.server.ends[0].closed) { /* a byte now and then does not put it off */
        if (p.client.conn)
            bk_conn_send(p.client.conn, BK_VIEW("x"), false);
        bk_loop_step(p.loop, 20);
        assert_true(bk_clock_mono_ms(&bk_clock_system) < began + 20000);
    }
    assert_int_equal(p.server.ends[0].why, BK_CONN_END_TIMEOUT);
    assert_true(bk_clock_mono_ms(&bk_clock_system) >= began + 150);
    pair_free(&p);

    /* One that ends is none. */
    pair_make(&p, true, &limits);
    bk_conn_calm(p.server.ends[0].conn);
    p.server.ends[0].hold = true;
    send_text(&p.client, "half");
    AWAIT(p.loop, p.server.ends[0].shown == 4);
    p.server.ends[0].hold = false;
    send_text(&p.client, " and half");
    AWAIT(p.loop, got(&p.server.ends[0], "half and half"));
    int64_t until = bk_clock_mono_ms(&bk_clock_system) + 250;
    AWAIT(p.loop, bk_clock_mono_ms(&bk_clock_system) > until);
    assert_int_equal(p.server.ends[0].closed, 0);
    pair_free(&p);
}

static void a_hello_without_end_is_cut_off(void **state)
{
    (void)state;
    struct pair p;
    pair_begin(&p, true, NULL);
    client_open(&p.client, p.loop, &p.server.at, NULL, NULL);
    /* TLS records of 16 kB that all belong to one ClientHello of 128 kB. */
    struct bk_buf record = { 0 };
    bk_buf_add(&record, "\x16\x03\x01\x40\x00", 5);
    size_t head = record.len;
    pattern(&record, 16 * 1024);
    memcpy(record.at + head, "\x01\x02\x00\x00\x03\x03", 6);
    for (int i = 0; i < 4 && p.client.conn; i++) {
        bk_conn_send(p.client.conn, bk_buf_view(&record), false);
        memset(record.at + head, 0, 6);
        settle(&p);
    }
    AWAIT(p.loop, p.server.n_ends && p.server.ends[0].closed);
    assert_int_equal(p.server.ends[0].why, BK_CONN_END_OVERFLOW);
    bk_buf_finish(&record);
    pair_free(&p);
}

/* ---- ends ---- */

static void closing_with_linger_delivers_everything_first(void **state)
{
    (void)state;
    enum { SIZE = 1000 * 1024 };
    struct bk_buf bytes = { 0 };
    pattern(&bytes, SIZE);
    for (int tls = 0; tls < 2; tls++) {
        struct pair p;
        pair_make(&p, tls, NULL);
        struct end *end = &p.server.ends[0];
        end->hold = true;
        bk_conn_pause(p.client.conn, true);
        assert_int_equal(bk_conn_send(end->conn, bk_buf_view(&bytes), false), 0);
        settle(&p);
        bk_conn_close(end->conn, 20000);
        /* What the peer says meanwhile is not read, and must not turn our last bytes into a reset. */
        send_text(&p.client, "too late");
        settle(&p);
        assert_int_equal(end->closed, 0);
        bk_conn_pause(p.client.conn, false);
        AWAIT(p.loop, p.client.closed && end->closed);
        assert_int_equal(p.client.got.len, SIZE);
        assert_memory_equal(p.client.got.at, bytes.at, SIZE);
        assert_int_equal(p.client.why, BK_CONN_END_PEER);
        assert_int_equal(end->why, BK_CONN_END_LOCAL);
        pair_free(&p);
    }
    bk_buf_finish(&bytes);
}

static void closing_waits_no_longer_than_its_linger(void **state)
{
    (void)state;
    struct bk_buf bytes = { 0 };
    pattern(&bytes, 256 * 1024);
    struct pair p;
    pair_make(&p, true, NULL);
    struct end *end = &p.server.ends[0];
    bk_conn_pause(p.client.conn, true); /* never reads */
    for (int i = 0; i < 64 && bk_conn_out_queued(end->conn) == 0; i++) {
        bk_conn_send(end->conn, bk_buf_view(&bytes), true);
        bk_loop_step(p.loop, 0);
    }
    assert_true(bk_conn_out_queued(end->conn) > 0);
    bk_conn_close(end->conn, 50);
    AWAIT(p.loop, end->closed);
    assert_int_equal(end->why, BK_CONN_END_LOCAL);
    bk_buf_finish(&bytes);
    pair_free(&p);
}

static void closing_before_it_stands_ends_it_at_once(void **state)
{
    (void)state;
    struct pair p;
    pair_begin(&p, true, NULL);
    client_open(&p.client, p.loop, &p.server.at, net_client_tls, "server.test");
    bk_conn_close(p.client.conn, 10000);
    assert_int_equal(p.client.closed, 0); /* never from within */
    AWAIT(p.loop, p.client.closed);
    assert_int_equal(p.client.why, BK_CONN_END_LOCAL);
    assert_int_equal(p.client.ready, 0);
    AWAIT(p.loop, p.server.n_ends == 1 && p.server.ends[0].closed);
    pair_free(&p);
}

static void a_reset_is_told_from_a_close(void **state)
{
    (void)state;
    struct bk_buf bytes = { 0 };
    pattern(&bytes, bk_conn_limits_default.out_max + 1);
    for (int tls = 0; tls < 2; tls++) {
        struct pair p;
        pair_make(&p, tls, NULL);
        /* Over its own limit the client goes without a word. */
        assert_int_equal(bk_conn_send(p.client.conn, bk_buf_view(&bytes), false), -EPIPE);
        assert_int_equal(p.client.closed, 0);
        AWAIT(p.loop, p.client.closed && p.server.ends[0].closed);
        assert_int_equal(p.client.why, BK_CONN_END_OVERFLOW);
        assert_int_equal(p.server.ends[0].why, BK_CONN_END_RESET);
        pair_free(&p);
    }
    bk_buf_finish(&bytes);
}

static void an_end_without_close_notify_is_still_an_end(void **state)
{
    (void)state;
    struct pair p;
    pair_make(&p, true, NULL);
    shutdown(event_get_fd(&p.client.conn->event), SHUT_WR);
    AWAIT(p.loop, p.server.ends[0].closed);
    assert_int_equal(p.server.ends[0].why, BK_CONN_END_PEER);
    pair_free(&p);
}

static void what_was_sent_before_the_close_is_read_before_the_end(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        struct pair p;
        pair_make(&p, tls, NULL);
        send_text(&p.client, "last words");
        bk_conn_close(p.client.conn, 1000);
        AWAIT(p.loop, p.server.ends[0].closed);
        assert_true(got(&p.server.ends[0], "last words"));
        pair_free(&p);
    }
}

static void nobody_there_and_no_way_there_are_told_apart(void **state)
{
    (void)state;
    struct bk_loop *loop;
    assert_int_equal(bk_loop_create(NULL, &loop), 0);
    struct bk_addr to;
    struct end client = { 0 };
    assert_int_equal(bk_addr_parse("127.0.0.1", 1, &to), 0); /* tcpmux: nobody listens */
    client_open(&client, loop, &to, NULL, NULL);
    AWAIT(loop, client.closed);
    assert_int_equal(client.why, BK_CONN_END_REFUSED);
    client = (struct end){ 0 };
    assert_int_equal(bk_addr_parse("255.255.255.255", 1, &to), 0); /* no TCP goes there */
    client_open(&client, loop, &to, NULL, NULL);
    AWAIT(loop, client.closed);
    assert_int_equal(client.why, BK_CONN_END_UNREACHABLE);
    bk_loop_destroy(loop);
}

/* ---- which protocol ---- */

static void first_bytes_tell_sip_from_http(void **state)
{
    (void)state;
    static const struct {
        const char *alpn, *first;
        enum bk_conn_protocol is;
    } cases[] = {
        { "sip", "", BK_PROTOCOL_SIP },
        { "http/1.1", "", BK_PROTOCOL_HTTP },
        { "beckon", "", BK_PROTOCOL_MORE },
        { "beckon", "POST /x HTTP/1.1\r\n", BK_PROTOCOL_HTTP },
        { "beckon", "REGISTER sip:a SIP/2.0\r\n", BK_PROTOCOL_SIP },
        { "", "O", BK_PROTOCOL_MORE },
        { "", "OPTIONS sip:a SIP/2.0", BK_PROTOCOL_MORE },
        { "", "OPTIONS sip:a SIP/2.0\r\nVia: x", BK_PROTOCOL_SIP },
        { "", "OPTIONS * HTTP/1.1\r\n", BK_PROTOCOL_HTTP },
        { "", "GET / HTTP/1.0\n", BK_PROTOCOL_HTTP },
        { "", "SIP/2.0 200 OK\r\n", BK_PROTOCOL_SIP },
        { "", "sip/2.0 200", BK_PROTOCOL_SIP },
        { "", "REGISTER sip:a SIP/7.0\r\n", BK_PROTOCOL_SIP }, /* 505 says why */
        { "", "\r\n\r\n", BK_PROTOCOL_SIP },                   /* a keep-alive */
        { "", "\r", BK_PROTOCOL_SIP }, /* HTTP clients send none first; told once, it stays */
        { "", "EHLO mail.test\r\n", BK_PROTOCOL_UNKNOWN },
        { "", "\x16\x03\x01", BK_PROTOCOL_UNKNOWN },
        { "", "\x80\x00", BK_PROTOCOL_MORE },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (bk_conn_sniff(bk_view_of_str(cases[i].alpn), bk_view_of_str(cases[i].first)) !=
            cases[i].is)
            fail_msg("case %zu: %s", i, cases[i].first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways),
        cmocka_unit_test(what_is_sent_in_one_wake_up_is_one_write_and_one_read),
        cmocka_unit_test(an_idle_connection_holds_nothing_beside_itself),
        cmocka_unit_test(a_large_stream_arrives_whole_in_both_directions),
        cmocka_unit_test(unused_bytes_are_shown_again_with_more_behind_them),
        cmocka_unit_test(a_part_that_was_used_does_not_come_back),
        cmocka_unit_test(new_ops_are_shown_what_lies_unused),
        cmocka_unit_test(a_paused_connection_reads_nothing_and_loses_nothing),
        cmocka_unit_test(more_unused_bytes_than_allowed_end_it),
        cmocka_unit_test(a_slow_reader_loses_presence_first_and_then_the_connection),
        cmocka_unit_test(much_in_one_wake_up_is_no_overflow_for_who_reads),
        cmocka_unit_test(who_does_not_shake_hands_in_time_is_cut_off),
        cmocka_unit_test(who_sends_no_request_in_time_is_cut_off_unless_calm),
        cmocka_unit_test(an_unfinished_message_has_a_deadline_from_its_first_byte),
        cmocka_unit_test(a_hello_without_end_is_cut_off),
        cmocka_unit_test(closing_with_linger_delivers_everything_first),
        cmocka_unit_test(closing_waits_no_longer_than_its_linger),
        cmocka_unit_test(closing_before_it_stands_ends_it_at_once),
        cmocka_unit_test(a_reset_is_told_from_a_close),
        cmocka_unit_test(an_end_without_close_notify_is_still_an_end),
        cmocka_unit_test(what_was_sent_before_the_close_is_read_before_the_end),
        cmocka_unit_test(nobody_there_and_no_way_there_are_told_apart),
        cmocka_unit_test(first_bytes_tell_sip_from_http),
    };
    return cmocka_run_group_tests(tests, net_tls_make, net_tls_free);
}
