/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An idle connection is one struct bk_conn and its TLS object. Whatever is only needed while
 * something is going on (torn bytes, unwritten bytes, deadlines) hangs on a struct bk_conn_busy
 * that comes from the pool of the thread and goes back to it.
 *
 * Nothing is ever freed under a caller's feet: a connection that ended is marked DEAD and put on
 * the list `act`; at the end of the wake-up attend() writes, reads on, and says closed().
 */
#include "net/conn.h"

#include "base/text.h"
#include "net/conn_private.h"
#include "net/loop_private.h"
#include "net/tls_private.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    READ_MAX = 64 * 1024,          /* at most so much per connection and wake-up */
    WRITE_EARLY = 64 * 1024,       /* gathered so much: write now instead of growing */
    POOLED_BUFFERS = 32,           /* output buffers kept for the next wake-up ... */
    POOLED_BUFFER_MAX = 64 * 1024, /* ... none larger than this */
    POOLED_BUSY = 256,
    ROUNDS_MAX = 8, /* of attend() in one wake-up, when callbacks make new work */
};

const struct bk_conn_limits bk_conn_limits_default = {
    .handshake_ms = 5000,
    .first_ms = 10000,
    .torn_ms = 10000,
    .in_max = 288 * 1024, /* the largest SIP message and some of the next */
    .out_soft = 768 * 1024,
    .out_max = 1024 * 1024,
    .handshake_in_max = 40 * 1024, /* hello and 16 kB of certificates */
};

/* One per loop. */
struct bk_conn_pool {
    struct bk_loop *loop;
    struct bk_loop_hook hook;
    struct bk_list act;
    struct bk_list kinds; /* of accepted connections, the latest first */
    struct bk_buf buffers[POOLED_BUFFERS];
    int n_buffers;
    struct bk_conn_busy *free_busy;
    int n_free_busy;
    char *read; /* READ_MAX bytes that all connections read into */
};

static void attend(struct bk_loop_hook *hook);
static void on_event(evutil_socket_t fd, short what, void *arg);
static void on_deadline(struct bk_timer *timer);
static void read_on(struct bk_conn *conn);
static void set_interest(struct bk_conn *conn);

/* ---- the pool of a thread ---- */

static int pool_of(struct bk_loop *loop, struct bk_conn_pool **ret)
{
    if (!loop->conns) {
        struct bk_conn_pool *pool = calloc(1, sizeof *pool);
        if (!pool)
            return -ENOMEM;
        pool->read = malloc(READ_MAX);
        if (!pool->read) {
            free(pool);
            return -ENOMEM;
        }
        pool->loop = loop;
        bk_list_init(&pool->act);
        bk_list_init(&pool->kinds);
        pool->hook.run = attend;
        bk_loop_hook_add_last(loop, &pool->hook);
        loop->conns = pool;
    }
    *ret = loop->conns;
    return 0;
}

void bk_conn_pool_destroy(struct bk_conn_pool *pool)
{
    if (!pool)
        return;
    for (int i = 0; i < pool->n_buffers; i++)
        bk_buf_finish(&pool->buffers[i]);
    while (pool->free_busy) {
        struct bk_conn_busy *busy = pool->free_busy;
        pool->free_busy = busy->next_free;
        free(busy);
    }
    bk_list_remove(&pool->hook.in);
    free(pool->read);
    free(pool);
}

static struct bk_conn_busy *busy_of(struct bk_conn *conn)
{
    if (conn->busy)
        return conn->busy;
    struct bk_conn_pool *pool = conn->pool;
    struct bk_conn_busy *busy = pool->free_busy;
    if (busy) {
        pool->free_busy = busy->next_free;
        pool->n_free_busy--;
        memset(busy, 0, sizeof *busy);
    } else {
        busy = calloc(1, sizeof *busy);
        if (!busy)
            return NULL;
    }
    busy->conn = conn;
    bk_timer_init(&busy->timer, on_deadline);
    conn->busy = busy;
    return busy;
}

static void drop_out(struct bk_conn *conn)
{
    struct bk_conn_pool *pool = conn->pool;
    struct bk_buf *out = &conn->busy->out;
    if (pool->n_buffers < POOLED_BUFFERS && out->cap && out->cap <= POOLED_BUFFER_MAX) {
        bk_buf_clear(out);
        pool->buffers[pool->n_buffers++] = *out;
    } else {
        bk_buf_finish(out);
    }
    *out = (struct bk_buf){ 0 };
    conn->busy->out_at = 0;
}

static void tunnel_free(struct bk_conn_busy *busy)
{
    struct bk_conn_tunnel *tunnel = busy->tunnel;
    if (!tunnel)
        return;
    busy->tunnel = NULL;
    if (tunnel->request.at)
        bk_wipe(tunnel->request.at, tunnel->request.cap);
    bk_buf_finish(&tunnel->request);
    free(tunnel);
}

static void busy_free(struct bk_conn *conn)
{
    struct bk_conn_busy *busy = conn->busy;
    if (!busy)
        return;
    struct bk_conn_pool *pool = conn->pool;
    bk_timer_disarm(&pool->loop->timers, &busy->timer);
    tunnel_free(busy);
    drop_out(conn);
    bk_buf_finish(&busy->in);
    conn->busy = NULL;
    if (pool->n_free_busy < POOLED_BUSY) {
        busy->next_free = pool->free_busy;
        pool->free_busy = busy;
        pool->n_free_busy++;
    } else {
        free(busy);
    }
}

/* Gives back what an idle connection does not need. */
static void settle(struct bk_conn *conn)
{
    const struct bk_conn_busy *busy = conn->busy;
    if (busy && !busy->in.at && !busy->out.at && !busy->first_at_ms && !busy->torn_at_ms &&
        !busy->linger_at_ms && !busy->tunnel)
        busy_free(conn);
}

static bool kind_is(const struct bk_conn_kind *kind, const struct bk_conn_limits *limits,
                    const struct bk_addr *local)
{
    /* Both begin as zeroed structs, so no padding can differ by chance in the address. */
    const struct bk_conn_limits *l = &kind->limits;
    return l->handshake_ms == limits->handshake_ms && l->first_ms == limits->first_ms &&
           l->torn_ms == limits->torn_ms && l->in_max == limits->in_max &&
           l->out_soft == limits->out_soft && l->out_max == limits->out_max &&
           l->handshake_in_max == limits->handshake_in_max && kind->local.len == local->len &&
           memcmp(&kind->local.sa, &local->sa, local->len) == 0;
}

/* shared: many connections will have the same (those of a listener); outgoing ones differ in their local port. */
static struct bk_conn_kind *kind_of(struct bk_conn_pool *pool, const struct bk_conn_limits *limits,
                                    const struct bk_addr *local, bool shared)
{
    if (shared) {
        BK_LIST_EACH(&pool->kinds, it)
        {
            struct bk_conn_kind *kind = bk_container_of(it, struct bk_conn_kind, in);
            if (!kind_is(kind, limits, local))
                continue;
            kind->refs++;
            return kind;
        }
    }
    struct bk_conn_kind *kind = calloc(1, sizeof *kind);
    if (!kind)
        return NULL;
    kind->refs = 1;
    kind->limits = *limits;
    kind->local = *local;
    bk_list_init(&kind->in);
    if (shared)
        bk_list_prepend(&pool->kinds, &kind->in);
    return kind;
}

static void kind_unref(struct bk_conn_kind *kind)
{
    if (--kind->refs > 0)
        return;
    bk_list_remove(&kind->in);
    free(kind);
}

/* ---- ends ---- */

static int64_t now_ms(const struct bk_conn *conn)
{
    return bk_clock_mono_ms(&conn->pool->loop->clock);
}

static int conn_fd(const struct bk_conn *conn)
{
    return event_get_fd(&conn->event);
}

static void need_look(struct bk_conn *conn)
{
    if (bk_list_empty(&conn->in))
        bk_list_append(&conn->pool->act, &conn->in);
}

static void die(struct bk_conn *conn, enum bk_conn_end end)
{
    if (conn->state == BK_CONN_DEAD)
        return;
    if (conn->state < BK_CONN_CLOSING)
        conn->end = (uint8_t)end;
    conn->state = BK_CONN_DEAD;
    event_del(&conn->event);
    need_look(conn);
}

static enum bk_conn_end end_of_errno(int e)
{
    switch (e) {
    case 0:
        return BK_CONN_END_PEER;
    case ECONNREFUSED:
        return BK_CONN_END_REFUSED;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EADDRNOTAVAIL:
    case EACCES:
    case EPERM:
        return BK_CONN_END_UNREACHABLE;
    default:
        return BK_CONN_END_RESET;
    }
}

/* Of a connection that stood: whatever the kernel calls it, the life signs ran out or it was reset. */
static void die_of_socket(struct bk_conn *conn, int e)
{
    die(conn, e == 0 ? BK_CONN_END_PEER : BK_CONN_END_RESET);
}

/* An RST instead of a close in order: nothing of a peer that does not read stays in the kernel. */
static void reset_socket(int fd)
{
    struct linger hard = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

void bk_conn_discard(struct bk_conn *conn)
{
    bk_list_remove(&conn->in);
    if (conn->ip)
        bk_listener_ip_leave(conn->ip, conn->stranger);
    int fd = conn_fd(conn);
    bk_tls_destroy(conn->tls);
    close(fd);
    busy_free(conn);
    kind_unref(conn->kind);
    free(conn);
}

static void bury(struct bk_conn *conn)
{
    conn->ops->closed(conn, conn->ctx, (enum bk_conn_end)conn->end);
    bk_conn_discard(conn);
}

/* ---- deadlines ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static void arm(struct bk_conn *conn)
{
    struct bk_conn_busy *busy = conn->busy;
    int64_t at_ms = earlier(earlier(busy->first_at_ms, busy->torn_at_ms), busy->linger_at_ms);
    struct bk_timers *timers = &conn->pool->loop->timers;
    if (at_ms == 0)
        bk_timer_disarm(timers, &busy->timer);
    else
        bk_timer_arm(timers, &busy->timer, at_ms);
}

static void on_deadline(struct bk_timer *timer)
{
    struct bk_conn_busy *busy = bk_container_of(timer, struct bk_conn_busy, timer);
    struct bk_conn *conn = busy->conn;
    if (conn->state < BK_CONN_CLOSING)
        reset_socket(conn_fd(conn));
    die(conn, BK_CONN_END_TIMEOUT);
}

/* ---- writing ---- */

static size_t queued(const struct bk_conn *conn)
{
    return conn->busy ? conn->busy->out.len - conn->busy->out_at : 0;
}

static enum bk_tls_step plain_write(struct bk_conn *conn, const char *at, size_t len, size_t *ret_n)
{
    ssize_t n = send(conn_fd(conn), at, len, MSG_NOSIGNAL);
    if (n >= 0) {
        *ret_n = (size_t)n;
        return BK_TLS_DONE;
    }
    return errno == EAGAIN || errno == EINTR ? BK_TLS_WANT_WRITE : BK_TLS_CLOSED;
}

/* Writes until all is gone or the socket takes no more. */
static void flush(struct bk_conn *conn)
{
    struct bk_conn_busy *busy = conn->busy;
    while (queued(conn) > 0 && !conn->blocked && !conn->write_blocked) {
        size_t n = 0;
        const char *at = busy->out.at + busy->out_at;
        size_t len = busy->out.len - busy->out_at;
        switch (conn->tls ? bk_tls_write(conn->tls, at, len, &n) : plain_write(conn, at, len, &n)) {
        case BK_TLS_DONE:
            busy->out_at += n;
            break;
        case BK_TLS_WANT_WRITE:
            conn->blocked = true;
            break;
        case BK_TLS_WANT_READ:
            conn->write_blocked = true;
            break;
        case BK_TLS_CLOSED:
            die_of_socket(conn, EPIPE);
            return;
        case BK_TLS_FAILED:
            die(conn, BK_CONN_END_TLS);
            return;
        }
    }
    if (!busy)
        return;
    if (queued(conn) == 0) {
        if (busy->out.at)
            drop_out(conn);
    } else if (busy->out_at > WRITE_EARLY && busy->out_at > busy->out.len / 2) {
        bk_buf_drop(&busy->out, busy->out_at);
        busy->out_at = 0;
    }
}

/* The peer shut its side: the answer to what came with it is offered once, as it may still read. */
static void last_words(struct bk_conn *conn)
{
    size_t n = 0, len = queued(conn);
    if (len == 0 || conn->blocked)
        return;
    const char *at = conn->busy->out.at + conn->busy->out_at;
    if (conn->tls)
        bk_tls_write(conn->tls, at, len, &n);
    else
        plain_write(conn, at, len, &n);
}

static bool may_write(const struct bk_conn *conn)
{
    return conn->state == BK_CONN_OPEN || conn->state == BK_CONN_CLOSING;
}

int bk_conn_send(struct bk_conn *conn, struct bk_view bytes, bool droppable)
{
    if (conn->state >= BK_CONN_CLOSING)
        return -EPIPE;
    if (bytes.len == 0)
        return 0;
    struct bk_conn_busy *busy = busy_of(conn);
    if (!busy)
        return -ENOMEM;
    const struct bk_conn_limits *limits = &conn->kind->limits;
    size_t has = queued(conn);
    if (has >= WRITE_EARLY && may_write(conn)) {
        flush(conn);
        if (conn->state == BK_CONN_DEAD)
            return -EPIPE;
        has = queued(conn);
    }
    if (droppable && limits->out_soft && has + bytes.len > limits->out_soft) {
        conn->refused = true;
        return -EAGAIN;
    }
    if (limits->out_max && has + bytes.len > limits->out_max) {
        reset_socket(conn_fd(conn));
        die(conn, BK_CONN_END_OVERFLOW);
        return -EPIPE;
    }
    struct bk_conn_pool *pool = conn->pool;
    if (!busy->out.at && pool->n_buffers > 0)
        busy->out = pool->buffers[--pool->n_buffers];
    size_t before = busy->out.len;
    bk_buf_add_view(&busy->out, bytes);
    if (busy->out.failed) {
        busy->out.failed = false;
        busy->out.len = before;
        return -ENOMEM;
    }
    need_look(conn);
    return 0;
}

/* ---- reading ---- */

static enum bk_tls_step plain_read(struct bk_conn *conn, char *to, size_t size, size_t *ret_n)
{
    ssize_t n = recv(conn_fd(conn), to, size, 0);
    if (n > 0) {
        *ret_n = (size_t)n;
        return BK_TLS_DONE;
    }
    if (n == 0)
        errno = 0; /* an end in order */
    else if (errno == EAGAIN || errno == EINTR)
        return BK_TLS_WANT_READ;
    return BK_TLS_CLOSED;
}

/*
 * Shows bytes to the owner until nobody new is left to see them. True: *rest is what stays unused;
 * false: the connection ended meanwhile.
 */
static bool show(struct bk_conn *conn, struct bk_view *rest)
{
    do {
        conn->show = false;
        conn->in_bytes = true;
        size_t used = conn->ops->bytes(conn, conn->ctx, *rest);
        conn->in_bytes = false;
        if (conn->state != BK_CONN_OPEN)
            return false;
        *rest = bk_view_skip(*rest, used);
        if (used && conn->busy)
            conn->busy->torn_at_ms = 0;
    } while (conn->show && rest->len && !conn->paused);
    return true;
}

static void out_of_memory(struct bk_conn *conn)
{
    reset_socket(conn_fd(conn));
    die(conn, BK_CONN_END_OVERFLOW);
}

/* Bytes stay unused: an unfinished message, whose time runs, or the owner paused. */
static void keep_time(struct bk_conn *conn)
{
    struct bk_conn_busy *busy = conn->busy;
    int torn_ms = conn->kind->limits.torn_ms;
    bool torn = busy->in.len > 0 && !conn->paused && torn_ms;
    if (!torn)
        busy->torn_at_ms = 0;
    else if (!busy->torn_at_ms)
        busy->torn_at_ms = now_ms(conn) + torn_ms;
    arm(conn);
}

static void show_torn(struct bk_conn *conn)
{
    struct bk_buf *in = &conn->busy->in;
    struct bk_view rest = bk_buf_view(in);
    bool open = show(conn, &rest);
    if (!open)
        return; /* busy goes with the connection */
    if (rest.len == 0)
        bk_buf_finish(in);
    else
        bk_buf_drop(in, in->len - rest.len);
    keep_time(conn);
}

static void take(struct bk_conn *conn, struct bk_view fresh)
{
    if (conn->busy && conn->busy->in.len) {
        bk_buf_add_view(&conn->busy->in, fresh);
        if (conn->busy->in.failed)
            out_of_memory(conn);
        else
            show_torn(conn);
        return;
    }
    if (!show(conn, &fresh) || fresh.len == 0)
        return;
    struct bk_conn_busy *busy = busy_of(conn);
    if (busy)
        bk_buf_add_view(&busy->in, fresh);
    if (!busy || busy->in.failed)
        out_of_memory(conn);
    else
        keep_time(conn);
}

/* How much may be read now; 0: what is kept unused has reached its limit. */
static size_t room(const struct bk_conn *conn)
{
    size_t max = conn->kind->limits.in_max, has = conn->busy ? conn->busy->in.len : 0;
    if (max == 0 || max - has >= READ_MAX)
        return READ_MAX;
    return has < max ? max - has : 0;
}

/* Reads once what is there, at most READ_MAX; asks no second time where the first was not all that fits. */
static void read_once(struct bk_conn *conn)
{
    char *to = conn->pool->read;
    size_t size = room(conn), len = 0;
    if (size == 0) {
        reset_socket(conn_fd(conn));
        die(conn, BK_CONN_END_OVERFLOW);
        return;
    }
    enum bk_tls_step step = BK_TLS_DONE;
    int e = 0;
    bool more = false; /* something waits inside the TLS library */
    do {
        size_t n = 0;
        step = conn->tls ? bk_tls_read(conn->tls, to + len, size - len, &n)
                         : plain_read(conn, to + len, size - len, &n);
        e = step == BK_TLS_CLOSED ? (conn->tls ? bk_tls_socket_error(conn->tls) : errno) : 0;
        len += n;
        more = conn->tls && step == BK_TLS_DONE && bk_tls_pending(conn->tls);
    } while (more && len < size);

    conn->look = more;
    conn->read_blocked = step == BK_TLS_WANT_WRITE;
    if (len > 0) {
        conn->last_in_ms = now_ms(conn);
        take(conn, (struct bk_view){ to, len });
        if (conn->state == BK_CONN_DEAD)
            return;
    }
    if (step == BK_TLS_CLOSED) {
        last_words(conn);
        die_of_socket(conn, e);
    } else if (step == BK_TLS_FAILED) {
        die(conn, BK_CONN_END_TLS);
    }
}

/* After our side is shut: what still comes is thrown away until the peer shuts too. */
static void discard(struct bk_conn *conn)
{
    ssize_t n = recv(conn_fd(conn), conn->pool->read, READ_MAX, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        die(conn, BK_CONN_END_LOCAL);
}

static void read_on(struct bk_conn *conn)
{
    if (conn->state == BK_CONN_OPEN && !conn->paused)
        read_once(conn);
    else if (conn->state == BK_CONN_DRAINED)
        discard(conn);
}

/* ---- beginning ---- */

static void begin_open(struct bk_conn *conn)
{
    conn->state = BK_CONN_OPEN;
    int first_ms = conn->kind->limits.first_ms;
    bool wait = conn->accepted && !conn->calm && first_ms;
    struct bk_conn_busy *busy = wait ? busy_of(conn) : conn->busy;
    if (busy) {
        busy->first_at_ms = wait ? now_ms(conn) + first_ms : 0;
        arm(conn);
    }
    if (conn->ops->ready)
        conn->ops->ready(conn, conn->ctx);
    /* What came with the last flight of the handshake waits inside; and a look lets OpenSSL free its buffer. */
    if (conn->state == BK_CONN_OPEN)
        read_on(conn);
    if (conn->state < BK_CONN_CLOSING)
        need_look(conn);
}

static void shake(struct bk_conn *conn)
{
    conn->blocked = false;
    switch (bk_tls_handshake(conn->tls)) {
    case BK_TLS_DONE:
        begin_open(conn);
        break;
    case BK_TLS_WANT_READ: {
        size_t max = conn->kind->limits.handshake_in_max;
        if (max && bk_tls_bytes_in(conn->tls) > max) {
            reset_socket(conn_fd(conn));
            die(conn, BK_CONN_END_OVERFLOW);
        }
        break;
    }
    case BK_TLS_WANT_WRITE:
        conn->blocked = true;
        break;
    case BK_TLS_CLOSED:
        die_of_socket(conn, bk_tls_socket_error(conn->tls));
        break;
    case BK_TLS_FAILED:
        die(conn, BK_CONN_END_TLS);
        break;
    }
}

static void start(struct bk_conn *conn)
{
    conn->blocked = false;
    if (conn->tls) {
        conn->state = BK_CONN_SHAKING;
        shake(conn);
    } else {
        begin_open(conn);
    }
}

/* ---- through a proxy ---- */

static void no_tunnel(struct bk_conn *conn, const char *fault)
{
    struct bk_tunnel_answer *answer = &conn->busy->tunnel->answer;
    if (!answer->fault)
        answer->fault = fault;
    die(conn, BK_CONN_END_PROXY);
}

/* Takes from the socket what belongs to the proxy's answer and not a byte more: the rest is for TLS. */
static void hear_proxy(struct bk_conn *conn)
{
    struct bk_conn_tunnel *tunnel = conn->busy->tunnel;
    char *to = conn->pool->read;
    ssize_t n = recv(conn_fd(conn), to, READ_MAX, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        no_tunnel(conn, n < 0 ? "it cut the connection" : "it closed the connection");
        return;
    }
    size_t used = 0;
    enum bk_tunnel_step step =
        bk_tunnel_read(&tunnel->reader, (struct bk_view){ to, (size_t)n }, &used);
    if (used > 0 && recv(conn_fd(conn), to, used, 0) != (ssize_t)used)
        step = BK_TUNNEL_BAD;
    switch (step) {
    case BK_TUNNEL_MORE:
        break;
    case BK_TUNNEL_OPEN:
        tunnel_free(conn->busy);
        start(conn);
        break;
    case BK_TUNNEL_REFUSED:
        no_tunnel(conn, NULL);
        break;
    case BK_TUNNEL_BAD:
        no_tunnel(conn, "its answer cannot be read");
        break;
    }
}

static void ask_proxy(struct bk_conn *conn)
{
    struct bk_conn_tunnel *tunnel = conn->busy->tunnel;
    conn->state = BK_CONN_TUNNELLING;
    conn->blocked = false;
    while (tunnel->request.len) {
        size_t n = 0;
        switch (plain_write(conn, tunnel->request.at, tunnel->request.len, &n)) {
        case BK_TLS_DONE:
            tunnel->answer.asked = true;
            bk_buf_drop(&tunnel->request, n);
            break;
        case BK_TLS_WANT_WRITE:
            conn->blocked = true;
            return;
        default: /* it may have said why before it closed: its answer is read next */
            bk_buf_clear(&tunnel->request);
        }
    }
}

static void connected(struct bk_conn *conn)
{
    int e = 0;
    socklen_t len = sizeof e;
    if (getsockopt(conn_fd(conn), SOL_SOCKET, SO_ERROR, &e, &len) < 0)
        e = errno;
    if (e == ETIMEDOUT) {
        die(conn, BK_CONN_END_TIMEOUT);
    } else if (e) {
        die(conn, end_of_errno(e));
    } else {
        conn->kind->local.len = sizeof conn->kind->local.v6;
        getsockname(conn_fd(conn), &conn->kind->local.sa, &conn->kind->local.len);
        if (conn->busy && conn->busy->tunnel)
            ask_proxy(conn);
        else
            start(conn);
    }
}

/* ---- events ---- */

/* What we want to be woken for follows from the state alone; a change costs two system calls, so it is rare. */
static void set_interest(struct bk_conn *conn)
{
    if (conn->state == BK_CONN_DEAD)
        return;
    short want = EV_PERSIST;
    if (conn->state == BK_CONN_CONNECTING || conn->blocked || conn->read_blocked)
        want |= EV_WRITE;
    if (((conn->state == BK_CONN_SHAKING || conn->state == BK_CONN_TUNNELLING) && !conn->blocked) ||
        conn->state == BK_CONN_DRAINED || (conn->state == BK_CONN_OPEN && !conn->paused) ||
        conn->write_blocked)
        want |= EV_READ;
    bool added = event_pending(&conn->event, EV_READ | EV_WRITE, NULL);
    bool wanted = want & (EV_READ | EV_WRITE);
    if (added == wanted && event_get_events(&conn->event) == want)
        return;
    int fd = conn_fd(conn);
    if (added)
        event_del(&conn->event);
    event_assign(&conn->event, conn->pool->loop->base, fd, want, on_event, conn);
    if (wanted && event_add(&conn->event, NULL) < 0)
        out_of_memory(conn);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct bk_conn *conn = arg;
    bk_loop_woken(conn->pool->loop);
    switch (conn->state) {
    case BK_CONN_CONNECTING:
        connected(conn);
        break;
    case BK_CONN_TUNNELLING:
        if (conn->blocked)
            ask_proxy(conn);
        else
            hear_proxy(conn);
        break;
    case BK_CONN_SHAKING:
        shake(conn);
        break;
    case BK_CONN_OPEN:
    case BK_CONN_CLOSING:
    case BK_CONN_DRAINED:
        if (what & EV_WRITE) {
            conn->blocked = false;
            need_look(conn);
        }
        if (what & EV_READ && conn->write_blocked) {
            conn->write_blocked = false;
            need_look(conn);
        }
        if (what & EV_READ || conn->read_blocked)
            read_on(conn);
        break;
    default:
        break;
    }
    if (conn->look || conn->state >= BK_CONN_CLOSING || conn->blocked || conn->read_blocked)
        need_look(conn);
    else if (conn->state < BK_CONN_OPEN)
        set_interest(conn);
    else if (conn->busy && bk_list_empty(&conn->in))
        settle(conn);
}

/* All is written, or the time for it is over: shut our side, and wait for the peer's so that no RST overtakes the last bytes. */
static void finish_closing(struct bk_conn *conn)
{
    if (queued(conn) > 0 && conn->busy->linger_at_ms)
        return;
    if (conn->tls)
        bk_tls_shutdown(conn->tls);
    if (!conn->busy || !conn->busy->linger_at_ms) {
        die(conn, BK_CONN_END_LOCAL);
        return;
    }
    shutdown(conn_fd(conn), SHUT_WR);
    conn->state = BK_CONN_DRAINED;
    conn->blocked = conn->read_blocked = conn->write_blocked = false;
    discard(conn);
}

static void say_drained(struct bk_conn *conn)
{
    if (!conn->refused || conn->state != BK_CONN_OPEN ||
        queued(conn) >= conn->kind->limits.out_soft / 4 + 1)
        return;
    conn->refused = false;
    if (conn->ops->drained)
        conn->ops->drained(conn, conn->ctx);
}

static void attend_one(struct bk_conn *conn)
{
    if (conn->state == BK_CONN_OPEN && conn->show && !conn->paused) {
        conn->show = false;
        if (conn->busy && conn->busy->in.len)
            show_torn(conn);
    }
    if (conn->state == BK_CONN_OPEN && conn->look && !conn->paused)
        read_on(conn);
    if (may_write(conn))
        flush(conn);
    if (conn->state == BK_CONN_CLOSING)
        finish_closing(conn);
    if (conn->state == BK_CONN_DEAD) {
        bury(conn);
        return;
    }
    say_drained(conn);
    set_interest(conn);
    if (conn->state != BK_CONN_DEAD)
        settle(conn);
    if (conn->state == BK_CONN_DEAD || (conn->look && conn->state == BK_CONN_OPEN && !conn->paused))
        need_look(conn);
}

static void attend(struct bk_loop_hook *hook)
{
    struct bk_conn_pool *pool = bk_container_of(hook, struct bk_conn_pool, hook);
    for (int round = 0; round < ROUNDS_MAX && !bk_list_empty(&pool->act); round++) {
        /* A mark in the list: what is added behind it waits for the next round. */
        struct bk_list mark;
        bk_list_append(&pool->act, &mark);
        while (pool->act.next != &mark) {
            struct bk_conn *conn = bk_container_of(pool->act.next, struct bk_conn, in);
            bk_list_remove(&conn->in);
            attend_one(conn);
        }
        bk_list_remove(&mark);
    }
    if (!bk_list_empty(&pool->act))
        pool->loop->no_sleep = true;
}

/* ---- making ---- */

static int make(struct bk_loop *loop, int fd, const struct bk_addr *peer,
                const struct bk_conn_limits *limits, const struct bk_conn_ops *ops, void *ctx,
                bool accepted, struct bk_conn **ret)
{
    struct bk_conn_pool *pool;
    int r = pool_of(loop, &pool);
    if (r < 0)
        return r;
    struct bk_conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return -ENOMEM;
    struct bk_addr local = { .len = sizeof local.v6 };
    if (!accepted || getsockname(fd, &local.sa, &local.len) < 0)
        local = (struct bk_addr){ .len = 0 };
    *conn = (struct bk_conn){ .pool = pool,
                              .ops = ops,
                              .ctx = ctx,
                              .peer = *peer,
                              .accepted = accepted,
                              .kind = kind_of(pool, limits ? limits : &bk_conn_limits_default,
                                              &local, accepted) };
    bk_list_init(&conn->in);
    event_assign(&conn->event, loop->base, fd, EV_PERSIST, on_event, conn);
    if (!conn->kind || !busy_of(conn)) {
        if (conn->kind)
            kind_unref(conn->kind);
        free(conn);
        return -ENOMEM;
    }
    conn->opened_ms = conn->last_in_ms = now_ms(conn);
    if (conn->kind->limits.handshake_ms) {
        conn->busy->first_at_ms = conn->opened_ms + conn->kind->limits.handshake_ms;
        arm(conn);
    }
    *ret = conn;
    return 0;
}

static void unmake(struct bk_conn *conn)
{
    bk_list_remove(&conn->in);
    busy_free(conn);
    kind_unref(conn->kind);
    free(conn);
}

void bk_conn_socket_options(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    int idle = 30, interval = 10, count = 3;
    unsigned user = 45000;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user, sizeof user);
}

void bk_conn_life_signs(struct bk_conn *conn, int idle_s, int interval_s, int count,
                        int user_timeout_ms)
{
    int fd = conn_fd(conn), on = 1;
    unsigned user = (unsigned)user_timeout_ms;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user, sizeof user);
}

int bk_conn_make(struct bk_loop *loop, int fd, const struct bk_addr *peer,
                 struct bk_tls_server *tls, const struct bk_conn_limits *limits,
                 const struct bk_conn_ops *ops, void *ctx, struct bk_conn **ret)
{
    struct bk_conn *conn;
    int r = make(loop, fd, peer, limits, ops, ctx, true, &conn);
    if (r < 0)
        return r;
    if (tls && (r = bk_tls_accept(tls, fd, &conn->tls)) < 0) {
        unmake(conn);
        return r;
    }
    *ret = conn;
    return 0;
}

void bk_conn_begin(struct bk_conn *conn)
{
    if (conn->state == BK_CONN_DEAD)
        return;
    start(conn);
    set_interest(conn);
}

int bk_conn_accept(struct bk_loop *loop, int fd, const struct bk_addr *peer,
                   struct bk_tls_server *tls, const struct bk_conn_limits *limits,
                   const struct bk_conn_ops *ops, void *ctx, struct bk_conn **ret)
{
    evutil_make_socket_nonblocking(fd);
    bk_conn_socket_options(fd);
    int r = bk_conn_make(loop, fd, peer, tls, limits, ops, ctx, ret);
    if (r == 0)
        bk_conn_begin(*ret);
    return r;
}

/* What connect() says at once about the network; anything else is our own trouble. */
static bool is_network_error(int e)
{
    return e == ECONNREFUSED || e == ETIMEDOUT || end_of_errno(e) == BK_CONN_END_UNREACHABLE;
}

static int make_tunnel(struct bk_conn *conn, struct bk_view request)
{
    struct bk_conn_tunnel *tunnel = calloc(1, sizeof *tunnel);
    if (!tunnel)
        return -ENOMEM;
    conn->busy->tunnel = tunnel;
    bk_tunnel_reader_init(&tunnel->reader, &tunnel->answer);
    bk_buf_add_view(&tunnel->request, request);
    tunnel->answer.login_sent =
        bk_view_find_view(request, BK_VIEW("\nProxy-Authorization:")) < request.len;
    return tunnel->request.failed ? -ENOMEM : 0;
}

int bk_conn_open(struct bk_loop *loop, const struct bk_addr *to, struct bk_tls_client *tls,
                 const char *name, const struct bk_conn_limits *limits,
                 const struct bk_conn_ops *ops, void *ctx, struct bk_conn **ret)
{
    return bk_conn_open_tunnel(loop, to, (struct bk_view){ 0 }, tls, name, limits, ops, ctx, ret);
}

int bk_conn_open_tunnel(struct bk_loop *loop, const struct bk_addr *to, struct bk_view request,
                        struct bk_tls_client *tls, const char *name,
                        const struct bk_conn_limits *limits, const struct bk_conn_ops *ops,
                        void *ctx, struct bk_conn **ret)
{
    int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    bk_conn_socket_options(fd);
    struct bk_conn *conn = NULL;
    int r = make(loop, fd, to, limits, ops, ctx, false, &conn);
    if (r == 0 && tls)
        r = bk_tls_connect(tls, fd, name, &conn->tls);
    if (r == 0 && request.len)
        r = make_tunnel(conn, request);
    if (r < 0)
        goto fail;
    if (connect(fd, &to->sa, to->len) == 0 || errno == EINPROGRESS) {
        conn->state = BK_CONN_CONNECTING;
        set_interest(conn);
    } else if (is_network_error(errno)) {
        die(conn, errno == ETIMEDOUT ? BK_CONN_END_TIMEOUT : end_of_errno(errno));
    } else {
        r = -errno;
        goto fail;
    }
    *ret = conn;
    return 0;
fail:
    if (conn) {
        bk_tls_destroy(conn->tls);
        unmake(conn);
    }
    close(fd);
    return r;
}

/* ---- steering ---- */

void bk_conn_set_ops(struct bk_conn *conn, const struct bk_conn_ops *ops, void *ctx)
{
    conn->ops = ops;
    conn->ctx = ctx;
    conn->show = true; /* within bytes() the loop there shows the rest, else attend() */
    if (!conn->in_bytes && conn->busy && conn->busy->in.len)
        need_look(conn);
}

void *bk_conn_ctx(const struct bk_conn *conn)
{
    return conn->ctx;
}

void bk_conn_close(struct bk_conn *conn, int linger_ms)
{
    if (conn->state >= BK_CONN_CLOSING)
        return;
    if (conn->state < BK_CONN_OPEN) {
        die(conn, BK_CONN_END_LOCAL);
        return;
    }
    conn->state = BK_CONN_CLOSING;
    conn->end = BK_CONN_END_LOCAL;
    struct bk_conn_busy *busy = linger_ms > 0 ? busy_of(conn) : conn->busy;
    if (busy) {
        busy->first_at_ms = busy->torn_at_ms = 0;
        busy->linger_at_ms = linger_ms > 0 ? now_ms(conn) + linger_ms : 0;
        arm(conn);
    }
    need_look(conn);
}

void bk_conn_pause(struct bk_conn *conn, bool pause)
{
    if (conn->paused == pause)
        return;
    conn->paused = pause;
    if (conn->state != BK_CONN_OPEN)
        return;
    conn->show = !pause; /* what was kept back meanwhile */
    if (!conn->in_bytes && conn->busy)
        keep_time(conn);
    need_look(conn);
}

void bk_conn_calm(struct bk_conn *conn)
{
    conn->calm = true;
    if (conn->state == BK_CONN_OPEN && conn->busy && conn->busy->first_at_ms) {
        conn->busy->first_at_ms = 0;
        arm(conn);
        need_look(conn);
    }
}

/* ---- asking ---- */

const struct bk_addr *bk_conn_peer(const struct bk_conn *conn)
{
    return &conn->peer;
}

const struct bk_addr *bk_conn_local(const struct bk_conn *conn)
{
    return &conn->kind->local;
}

bool bk_conn_is_tls(const struct bk_conn *conn)
{
    return conn->tls;
}

struct bk_tls *bk_conn_tls(struct bk_conn *conn)
{
    return conn->tls;
}

int64_t bk_conn_last_in_ms(const struct bk_conn *conn)
{
    return conn->last_in_ms;
}

int64_t bk_conn_opened_ms(const struct bk_conn *conn)
{
    return conn->opened_ms;
}

size_t bk_conn_out_queued(const struct bk_conn *conn)
{
    return queued(conn);
}

enum bk_tls_fault bk_conn_tls_fault(const struct bk_conn *conn)
{
    return conn->tls ? bk_tls_fault(conn->tls) : BK_TLS_OK;
}

const struct bk_tunnel_answer *bk_conn_tunnel(const struct bk_conn *conn)
{
    return conn->busy && conn->busy->tunnel ? &conn->busy->tunnel->answer : NULL;
}

const char *bk_conn_fault_detail(const struct bk_conn *conn)
{
    return conn->tls ? bk_tls_fault_detail(conn->tls) : "";
}

void bk_listener_known(struct bk_conn *conn)
{
    if (conn->stranger && conn->ip)
        bk_listener_ip_known(conn->ip);
    conn->stranger = false;
}

/* ---- which protocol ---- */

enum bk_conn_protocol bk_conn_sniff(struct bk_view alpn, struct bk_view first)
{
    if (bk_view_equal(alpn, BK_VIEW("sip")))
        return BK_PROTOCOL_SIP;
    if (bk_view_equal(alpn, BK_VIEW("http/1.1")))
        return BK_PROTOCOL_HTTP;

    /*
     * A start line names its version last (a request) or first (an answer). Line ends before it
     * are a keep-alive of SIP's (RFC 5626). What was told once stays told, however much follows.
     */
    if (first.len == 0)
        return BK_PROTOCOL_MORE;
    if (first.at[0] == '\r' || first.at[0] == '\n')
        return BK_PROTOCOL_SIP;
    if (bk_view_starts_with_nocase(first, BK_VIEW("SIP/2.0 ")))
        return BK_PROTOCOL_SIP;
    enum { LINE_MAX_TO_SNIFF = 8192 };
    struct bk_view line = bk_view_head(first, LINE_MAX_TO_SNIFF);
    size_t eol = bk_view_find(line, '\n');
    for (size_t i = 0; i < eol; i++) {
        unsigned char c = (unsigned char)line.at[i];
        if ((c < ' ' && c != '\t' && c != '\r') || c == 0x7f)
            return BK_PROTOCOL_UNKNOWN;
    }
    if (eol == LINE_MAX_TO_SNIFF) { /* too long for both: who it is meant for may say so */
        size_t target = bk_view_find(line, ' ') + 1;
        return target < eol && line.at[target] == '/' ? BK_PROTOCOL_HTTP : BK_PROTOCOL_SIP;
    }
    if (eol == first.len)
        return BK_PROTOCOL_MORE;
    line = bk_view_trim(bk_view_head(line, eol));
    if (bk_view_ends_with(line, BK_VIEW(" SIP/2.0")))
        return BK_PROTOCOL_SIP;
    size_t last = line.len;
    while (last > 0 && line.at[last - 1] != ' ')
        last--;
    struct bk_view version = bk_view_skip(line, last);
    if (bk_view_starts_with_nocase(version, BK_VIEW("SIP/")))
        return BK_PROTOCOL_SIP;
    if (bk_view_starts_with(version, BK_VIEW("HTTP/")))
        return BK_PROTOCOL_HTTP;
    return BK_PROTOCOL_UNKNOWN;
}
