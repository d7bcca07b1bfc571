/* SPDX-License-Identifier: Apache-2.0 */
/*
 * However the bytes of a connection are cut, the same requests are handed over and the same
 * answers go out; and nothing of a request can make a line of its own in an answer.
 */
#include "base/clock.h"
#include "net/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
    if (!condition)
        abort();
}

struct run {
    struct bk_loop *loop;
    struct bk_http_server *server;
    struct bk_conn *conn; /* NULL: closed */
    int peer;
    struct bk_buf log, answers;
};

static int64_t no_time(void *ctx)
{
    (void)ctx;
    return 0;
}

static const struct bk_clock frozen = { no_time, no_time, NULL };

static void add(struct run *run, const char *label, struct bk_view v)
{
    bk_buf_addf(&run->log, "%s %zu ", label, v.len);
    bk_buf_add_view(&run->log, v);
    bk_buf_add_char(&run->log, '\n');
}

static void handle(void *ctx, struct bk_http_exchange *x, const struct bk_http_request *q)
{
    struct run *run = ctx;
    must(q->method.len > 0 && q->path.len > 0 && q->n_fields <= BK_HTTP_FIELDS_MAX);
    must(q->path.at[0] == '/' || bk_view_equal(q->path, BK_VIEW("*")));
    must(q->body.len <= 4096);
    add(run, "method", q->method);
    add(run, "path", q->path);
    add(run, "query", q->query);
    add(run, "host", q->host);
    add(run, "body", q->body);
    for (int i = 0; i < q->n_fields; i++) {
        add(run, "name", q->fields[i].name);
        add(run, "value", q->fields[i].value);
        bk_http_answer_field(x, "X-Echo", q->fields[i].value);
    }
    bool head = bk_view_equal(q->method, BK_VIEW("HEAD"));
    bk_http_answer(x, 200, "text/plain", head ? (struct bk_view){ 0 } : q->body);
}

static void ready(struct bk_conn *conn, void *ctx)
{
    (void)conn;
    (void)ctx;
}

static size_t bytes(struct bk_conn *conn, void *ctx, struct bk_view v)
{
    (void)conn;
    (void)ctx;
    (void)v;
    return 0;
}

static void closed(struct bk_conn *conn, void *ctx, enum bk_conn_end why)
{
    (void)conn;
    (void)ctx;
    (void)why;
}

static const struct bk_conn_ops ops = { ready, bytes, closed, NULL };

static void hear(struct run *run)
{
    char to[4096];
    for (ssize_t n; (n = read(run->peer, to, sizeof to)) > 0;)
        bk_buf_add(&run->answers, to, (size_t)n);
}

static void play(struct run *run, const uint8_t *data, size_t size, size_t piece)
{
    int fds[2];
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    run->peer = fds[1];
    must(bk_loop_create(NULL, &run->loop) == 0);
    struct bk_http_server_config config = { handle, run, 10000, 10000, 4096, &frozen };
    run->server = bk_http_server_create(run->loop, &config);
    struct bk_addr nobody = { 0 };
    struct bk_conn *conn = NULL;
    must(run->server && bk_conn_accept(run->loop, fds[0], &nobody, NULL, &bk_conn_limits_default,
                                       &ops, run, &conn) == 0);
    must(bk_http_server_adopt(run->server, conn) == 0);
    for (size_t at = 0; at < size;) {
        size_t len = size - at < piece ? size - at : piece;
        ssize_t n = send(run->peer, data + at, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            break; /* refused and shut */
        at += n > 0 ? (size_t)n : 0;
        bk_loop_step(run->loop, 0);
        hear(run);
    }
    shutdown(run->peer, SHUT_WR);
    for (int i = 0; i < 6; i++) { /* the end is read, and closed() said */
        bk_loop_step(run->loop, 0);
        hear(run);
    }
    close(run->peer);
    bk_http_server_destroy(run->server);
    for (int i = 0; i < 3; i++)
        bk_loop_step(run->loop, 0);
    bk_loop_destroy(run->loop);
}

/* Every line of every head is one that we write. */
static void check_answers(struct bk_view rest)
{
    static const struct bk_view ours[] = { { BK_VIEW_OF("Date: ") },
                                           { BK_VIEW_OF("Content-Type: text/plain") },
                                           { BK_VIEW_OF("Content-Length: ") },
                                           { BK_VIEW_OF("Connection: ") },
                                           { BK_VIEW_OF("X-Echo: ") } };
    while (rest.len) {
        must(bk_view_starts_with(rest, BK_VIEW("HTTP/1.1 ")));
        uint64_t body = 0;
        rest = bk_view_skip(rest, bk_view_find(rest, '\n') + 1);
        for (;;) {
            struct bk_view line = bk_view_head(rest, bk_view_find(rest, '\n') + 1);
            must(bk_view_ends_with(line, BK_VIEW("\r\n")));
            rest = bk_view_skip(rest, line.len);
            if (line.len == 2)
                break;
            bool known = false;
            for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
                known |= bk_view_starts_with(line, ours[i]);
            must(known);
            if (bk_view_starts_with(line, ours[2]))
                must(bk_view_to_u64(bk_view_trim(bk_view_skip(line, ours[2].len)), 4096, &body) ==
                     0);
        }
        /* A refused HEAD is the last one, and its answer has the length of a body that is not sent. */
        must(rest.len >= body || rest.len == 0);
        rest = bk_view_skip(rest, (size_t)body);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 20000)
        return 0;
    size_t pieces[] = { size, 1 + data[size - 1] % 16, size > 600 ? 7 : 1 };
    struct run first = { 0 };
    play(&first, data, size, pieces[0]);
    check_answers(bk_buf_view(&first.answers));
    for (int i = 1; i < 3; i++) {
        struct run other = { 0 };
        play(&other, data, size, pieces[i]);
        must(bk_view_equal(bk_buf_view(&first.log), bk_buf_view(&other.log)));
        must(bk_view_equal(bk_buf_view(&first.answers), bk_buf_view(&other.answers)));
        bk_buf_finish(&other.log);
        bk_buf_finish(&other.answers);
    }
    bk_buf_finish(&first.log);
    bk_buf_finish(&first.answers);
    return 0;
}
