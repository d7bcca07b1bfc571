/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What net/ costs: bytes per idle TLS connection, the handshake, and one echo of a 1.4 kB message.
 * The server is a process of its own, so its figures hold nothing of the clients'.
 *
 *   net_bench [connections [rounds]]
 *
 * Rounds are done twice: one connection at a time (each message wakes the server alone), and with
 * 32 connections kept busy.
 */
#include "fakes/pki.h"
#include "net/conn.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MESSAGE = 1400, BUSY = 32, AT_ONCE = 64 };

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "net_bench: %s failed\n", #condition);                                 \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

struct report {
    int64_t heap, pss, cpu_us;
    int open;
};

static char dir[] = "/tmp/beckon-bench-XXXXXX";

static const char *path(const char *file)
{
    static char text[2][128];
    static int turn;
    turn ^= 1;
    snprintf(text[turn], sizeof text[turn], "%s/%s", dir, file);
    return text[turn];
}

/* ---- the server ---- */

struct echo {
    struct bk_loop *loop;
    int open, report_fd;
};

static void echo_ready(struct bk_conn *conn, void *ctx)
{
    (void)ctx;
    bk_conn_calm(conn);
}

static size_t echo_bytes(struct bk_conn *conn, void *ctx, struct bk_view bytes)
{
    (void)ctx;
    size_t whole = bytes.len - bytes.len % MESSAGE;
    bk_conn_send(conn, bk_view_head(bytes, whole), false);
    return whole;
}

static void echo_closed(struct bk_conn *conn, void *ctx, enum bk_conn_end why)
{
    (void)conn;
    (void)why;
    ((struct echo *)ctx)->open--;
}

static const struct bk_conn_ops echo_ops = { echo_ready, echo_bytes, echo_closed, NULL };

static void *echo_accepted(void *ctx, struct bk_conn *conn)
{
    (void)conn;
    ((struct echo *)ctx)->open++;
    return ctx;
}

static int64_t pss_bytes(void)
{
    FILE *f = fopen("/proc/self/smaps_rollup", "re");
    char line[256];
    long kb = 0;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "Pss: %ld kB", &kb) == 1)
            break;
    if (f)
        fclose(f);
    return (int64_t)kb * 1024;
}

static int64_t cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * (int64_t)1000000 + u.ru_utime.tv_usec +
           u.ru_stime.tv_usec;
}

static void report(void *arg)
{
    struct echo *echo = arg;
    struct report r = { .cpu_us = cpu_us(),
                        .heap = (int64_t)mallinfo2().uordblks,
                        .pss = pss_bytes(),
                        .open = echo->open };
    MUST(write(echo->report_fd, &r, sizeof r) == sizeof r);
}

static void serve(int report_fd)
{
    static const char *const alpn[] = { "beckon", "sip", NULL };
    struct bk_tls_server_config tc = { .chain_file = path("server.pem"),
                                       .key_file = path("server.key"),
                                       .alpn = alpn };
    struct bk_tls_server *tls;
    struct echo echo = { .report_fd = report_fd };
    struct bk_addr at;
    struct bk_listener *listener, *plain;
    MUST(bk_tls_server_create(&tc, &tls, NULL) == 0);
    MUST(bk_loop_create(NULL, &echo.loop) == 0);
    MUST(bk_addr_parse("127.0.0.1", 0, &at) == 0);
    struct bk_listen_config lc = { .at = &at,
                                   .tls = tls,
                                   .limits = bk_conn_limits_default,
                                   .ops = &echo_ops,
                                   .accepted = echo_accepted,
                                   .ctx = &echo };
    MUST(bk_listen(echo.loop, &lc, &listener) == 0);
    MUST(bk_loop_on_signal(echo.loop, SIGUSR1, report, &echo) == 0);
    lc.tls = NULL;
    MUST(bk_listen(echo.loop, &lc, &plain) == 0);
    uint16_t ports[2] = { bk_listener_port(listener), bk_listener_port(plain) };
    MUST(write(report_fd, ports, sizeof ports) == sizeof ports);
    bk_loop_run(echo.loop);
}

/* ---- the clients ---- */

struct client {
    struct bk_conn *conn;
    bool ready;
    int rounds_left;
};

static int n_ready, n_done;
static char message[MESSAGE];

static void client_ready(struct bk_conn *conn, void *ctx)
{
    (void)conn;
    ((struct client *)ctx)->ready = true;
    n_ready++;
}

static size_t client_bytes(struct bk_conn *conn, void *ctx, struct bk_view bytes)
{
    struct client *client = ctx;
    if (bytes.len < MESSAGE)
        return 0;
    if (--client->rounds_left > 0)
        bk_conn_send(conn, (struct bk_view){ message, MESSAGE }, false);
    else
        n_done++;
    return MESSAGE;
}

static void client_closed(struct bk_conn *conn, void *ctx, enum bk_conn_end why)
{
    (void)ctx;
    fprintf(stderr, "net_bench: a connection ended (%d) %s\n", why, bk_conn_fault_detail(conn));
    exit(1);
}

static const struct bk_conn_ops client_ops = { client_ready, client_bytes, client_closed, NULL };

static struct report ask(pid_t server, int fd)
{
    struct report r;
    kill(server, SIGUSR1);
    MUST(read(fd, &r, sizeof r) == sizeof r);
    return r;
}

static void connect_all(struct bk_loop *loop, const struct bk_addr *to, struct bk_tls_client *tls,
                        struct client *clients, int n)
{
    int started = 0;
    n_ready = 0;
    while (n_ready < n) {
        for (; started < n && started - n_ready < AT_ONCE; started++)
            MUST(bk_conn_open(loop, to, tls, "server.test", NULL, &client_ops, &clients[started],
                              &clients[started].conn) == 0);
        bk_loop_step(loop, -1);
    }
}

static void echo_rounds(const char *what, struct bk_loop *loop, struct client *clients, int n,
                        int rounds, pid_t server, int fd)
{
    struct report before = ask(server, fd);
    int64_t began = bk_clock_mono_ms(&bk_clock_system);
    n_done = 0;
    for (int i = 0; i < n; i++) {
        clients[i].rounds_left = rounds;
        bk_conn_send(clients[i].conn, (struct bk_view){ message, MESSAGE }, false);
    }
    while (n_done < n)
        bk_loop_step(loop, -1);
    int64_t ms = bk_clock_mono_ms(&bk_clock_system) - began;
    struct report after = ask(server, fd);
    double all = (double)n * rounds;
    printf("%-34s %8.1f us server processor time, %8.1f us round trip\n", what,
           (double)(after.cpu_us - before.cpu_us) / all, 1000.0 * (double)ms * n / all);
}

struct road {
    const char *name, *begins;
    struct bk_addr to;
    struct bk_tls_client *tls;
};

static void bench(const struct road *road, struct bk_loop *loop, int n, int rounds, pid_t server,
                  int fd)
{
    struct client *clients = calloc((size_t)n + BUSY, sizeof *clients);
    MUST(clients);
    printf("%s\n", road->name);
    int others = ask(server, fd).open;
    connect_all(loop, &road->to, road->tls, clients, BUSY); /* what is only made once */
    echo_rounds("  echo 1.4 kB, one at a time", loop, clients, 1, rounds, server, fd);
    echo_rounds("  echo 1.4 kB, 32 busy", loop, clients, BUSY, rounds / BUSY, server, fd);

    struct report before = ask(server, fd), after;
    connect_all(loop, &road->to, road->tls, clients + BUSY, n);
    do
        after = ask(server, fd);
    while (after.open < others + n + BUSY);
    printf("  %-32s %8.1f us server processor time\n", road->begins,
           (double)(after.cpu_us - before.cpu_us) / n);
    printf("  %-32s %8.0f bytes of heap, %.0f of PSS\n", "idle connection",
           (double)(after.heap - before.heap) / n, (double)(after.pss - before.pss) / n);
}

static void bench_all(int n, int rounds, pid_t server, int fd)
{
    struct bk_tls_client_config tc = { .ca_file = path("root.pem"), .only_ca_file = true };
    struct road tls = { .name = "TLS 1.3", .begins = "handshake, P-256" };
    struct road tcp = { .name = "TCP", .begins = "accept" };
    struct bk_loop *loop;
    uint16_t ports[2];
    MUST(read(fd, ports, sizeof ports) == sizeof ports);
    MUST(bk_tls_client_create(&tc, &tls.tls, NULL) == 0 && bk_loop_create(NULL, &loop) == 0);
    MUST(bk_addr_parse("127.0.0.1", ports[0], &tls.to) == 0);
    MUST(bk_addr_parse("127.0.0.1", ports[1], &tcp.to) == 0);
    bench(&tls, loop, n, rounds, server, fd);
    bench(&tcp, loop, n, rounds, server, fd);
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? atoi(argv[1]) : 2000;
    int rounds = argc > 2 ? atoi(argv[2]) : 20000;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    MUST(mkdtemp(dir));
    struct pki_cert *root = pki_make(&(struct pki_request){ .name = "Bench Root", .ca = true });
    struct pki_cert *leaf = pki_make(
        &(struct pki_request){ .name = "server.test", .san = "DNS:server.test", .issuer = root });
    pki_write(dir, "root", (const struct pki_cert *const[]){ root, NULL });
    pki_write(dir, "server", (const struct pki_cert *const[]){ leaf, NULL });
    int fds[2];
    MUST(pipe(fds) == 0);
    fflush(stdout);
    pid_t server = fork();
    MUST(server >= 0);
    if (server == 0) {
        serve(fds[1]);
        _exit(0);
    }
    bench_all(n, rounds, server, fds[0]);
    kill(server, SIGTERM);
    waitpid(server, NULL, 0);
    for (int i = 0; i < 4; i++)
        unlink(path((const char *[]){ "root.pem", "root.key", "server.pem", "server.key" }[i]));
    rmdir(dir);
    pki_free(leaf);
    pki_free(root);
    return 0;
}
