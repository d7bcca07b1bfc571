/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepting, with a count per address: one entry per IPv4 address or IPv6 /64, in a keyed table.
 * An entry stays while connections of it live and for a second behind, because it holds the rate;
 * so their number is bounded by what was accepted and refused in the last second.
 */
#include "base/map.h"
#include "base/random.h"
#include "net/conn.h"
#include "net/conn_private.h"
#include "net/loop_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    BACKLOG = 4096,
    ACCEPTS_PER_WAKE_UP = 64, /* then those who are connected get their turn */
    NO_FDS_PAUSE_MS = 100,
    RATE_MS = 1000,
};

/* Lives until the listener was destroyed and its last connection is gone. */
struct ip_table {
    struct bk_loop *loop;
    struct bk_hash_key key;
    struct bk_map map;
    struct bk_list idle; /* entries without a connection, the longest idle first */
    size_t open;         /* connections */
    bool orphan;         /* the listener is gone */
};

struct bk_listener_ip {
    struct bk_map_node node;
    struct bk_list idle;
    struct ip_table *table;
    uint64_t net[2];
    int total, strangers;
    int64_t tokens_milli; /* thousandths of a connection that may come now */
    int64_t filled_at_ms;
};

struct bk_listener {
    struct bk_loop *loop;
    int fd;
    struct event *event;
    struct bk_timer resume;
    struct bk_listen_config config;
    struct bk_addr at;
    struct ip_table *table;
    struct bk_listener_stats stats;
    bool *gone; /* set when a callback destroys the listener */
};

/* ---- counts per address ---- */

static struct ip_table *table_new(struct bk_loop *loop)
{
    struct ip_table *table = calloc(1, sizeof *table);
    if (!table)
        return NULL;
    table->loop = loop;
    bk_random_fill(&bk_random_system, &table->key, sizeof table->key);
    bk_list_init(&table->idle);
    return table;
}

static void ip_free(struct bk_listener_ip *ip)
{
    bk_map_remove(&ip->table->map, &ip->node);
    bk_list_remove(&ip->idle);
    free(ip);
}

static void table_drop_idle(struct ip_table *table, int64_t older_than_ms)
{
    while (!bk_list_empty(&table->idle)) {
        struct bk_listener_ip *ip = bk_container_of(table->idle.next, struct bk_listener_ip, idle);
        if (ip->filled_at_ms > older_than_ms)
            return;
        ip_free(ip);
    }
}

static void table_free_if_unused(struct ip_table *table)
{
    if (!table->orphan || table->open > 0)
        return;
    table_drop_idle(table, INT64_MAX);
    bk_map_finish(&table->map);
    free(table);
}

static void net_of(const struct bk_addr *a, uint64_t ret[2])
{
    ret[0] = bk_addr_net_key(a);
    ret[1] = 0;
    if (a->sa.sa_family == AF_INET)
        ret[1] = 1 + (uint64_t)a->v4.sin_addr.s_addr;
    else if (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
        ret[1] = 1 + (uint64_t)a->v6.sin6_addr.s6_addr32[3];
}

static struct bk_listener_ip *ip_of(struct ip_table *table, const struct bk_addr *peer,
                                    int64_t now_ms, int per_s)
{
    uint64_t net[2];
    net_of(peer, net);
    uint64_t hash = bk_hash(&table->key, (struct bk_view){ (const char *)net, sizeof net });
    for (struct bk_map_node *n = bk_map_first(&table->map, hash); n; n = bk_map_next(n)) {
        struct bk_listener_ip *ip = bk_container_of(n, struct bk_listener_ip, node);
        if (ip->net[0] == net[0] && ip->net[1] == net[1])
            return ip;
    }
    struct bk_listener_ip *ip = calloc(1, sizeof *ip);
    if (!ip)
        return NULL;
    ip->table = table;
    memcpy(ip->net, net, sizeof net);
    ip->tokens_milli = per_s * (int64_t)1000;
    ip->filled_at_ms = now_ms;
    bk_list_init(&ip->idle);
    if (bk_map_insert(&table->map, &ip->node, hash) < 0) {
        free(ip);
        return NULL;
    }
    return ip;
}

/* A bucket of one second's worth. */
static bool rate_allows(struct bk_listener_ip *ip, int64_t now_ms, int per_s)
{
    if (per_s <= 0)
        return true;
    int64_t full = per_s * (int64_t)1000;
    int64_t passed_ms = now_ms - ip->filled_at_ms;
    ip->tokens_milli += (passed_ms > RATE_MS ? RATE_MS : passed_ms) * per_s;
    if (ip->tokens_milli > full)
        ip->tokens_milli = full;
    ip->filled_at_ms = now_ms;
    if (ip->tokens_milli < 1000)
        return false;
    ip->tokens_milli -= 1000;
    return true;
}

static void ip_rest(struct bk_listener_ip *ip)
{
    if (ip->total == 0 && bk_list_empty(&ip->idle))
        bk_list_append(&ip->table->idle, &ip->idle);
}

void bk_listener_ip_leave(struct bk_listener_ip *ip, bool stranger)
{
    struct ip_table *table = ip->table;
    ip->total--;
    if (stranger)
        ip->strangers--;
    if (ip->total == 0)
        ip->filled_at_ms = bk_clock_mono_ms(&table->loop->clock);
    ip_rest(ip);
    table->open--;
    table_free_if_unused(table);
}

void bk_listener_ip_known(struct bk_listener_ip *ip)
{
    ip->strangers--;
}

/* ---- accepting ---- */

static void refuse(int fd)
{
    struct linger hard = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard); /* no TIME_WAIT for a flood */
    close(fd);
}

/* The entry where one more is allowed, else NULL; why is counted. */
static struct bk_listener_ip *admit(struct bk_listener *listener, const struct bk_addr *peer)
{
    const struct bk_listen_config *c = &listener->config;
    struct bk_listener_stats *stats = &listener->stats;
    if (c->admit && !c->admit(c->ctx)) {
        stats->refused_admit++;
        return NULL;
    }
    bool own = c->own_network ? c->own_network(c->ctx, peer) : bk_addr_is_private(peer);
    int strangers_max = own ? c->own_strangers_max : c->per_ip_strangers_max;
    int total_max = own ? 0 : c->per_ip_total_max;
    int per_s = own ? c->own_new_per_s : c->per_ip_new_per_s;

    int64_t now_ms = bk_clock_mono_ms(&listener->loop->clock);
    table_drop_idle(listener->table, now_ms - RATE_MS);
    struct bk_listener_ip *ip = ip_of(listener->table, peer, now_ms, per_s);
    if (!ip) {
        stats->refused_admit++;
        return NULL;
    }
    if (!rate_allows(ip, now_ms, per_s)) {
        stats->refused_rate++;
    } else if ((strangers_max > 0 && ip->strangers >= strangers_max) ||
               (total_max > 0 && ip->total >= total_max)) {
        stats->refused_per_ip++;
    } else {
        return ip;
    }
    ip_rest(ip);
    return NULL;
}

/* False: the listener is gone. */
static bool take_one(struct bk_listener *listener, int fd, const struct bk_addr *peer)
{
    struct bk_listener_ip *ip = admit(listener, peer);
    const struct bk_listen_config *c = &listener->config;
    struct bk_conn *conn = NULL;
    int r = ip ? bk_conn_make(listener->loop, fd, peer, c->tls, &c->limits, c->ops, NULL, &conn)
               : -EACCES;
    if (r < 0) {
        if (r == -ENOMEM)
            listener->stats.refused_admit++;
        if (ip)
            ip_rest(ip);
        refuse(fd);
        return true;
    }
    listener->stats.accepted++;
    bk_list_remove(&ip->idle);
    ip->total++;
    ip->strangers++;
    ip->table->open++;
    conn->ip = ip;
    conn->stranger = true;

    bool gone = false;
    listener->gone = &gone;
    conn->ctx = c->accepted(c->ctx, conn);
    if (conn->ctx)
        bk_conn_begin(conn);
    else
        bk_conn_discard(conn);
    if (!gone)
        listener->gone = NULL;
    return !gone;
}

static void pause_accepting(struct bk_listener *listener)
{
    if (listener->stats.no_fds++ == 0)
        bk_log(listener->loop->log, BK_LOG_WARNING, "out of file descriptors, accepting pauses");
    event_del(listener->event);
    bk_timer_arm(&listener->loop->timers, &listener->resume,
                 bk_clock_mono_ms(&listener->loop->clock) + NO_FDS_PAUSE_MS);
}

static void on_resume(struct bk_timer *timer)
{
    struct bk_listener *listener = bk_container_of(timer, struct bk_listener, resume);
    if (event_add(listener->event, NULL) < 0)
        pause_accepting(listener);
}

static void on_acceptable(evutil_socket_t listen_fd, short what, void *arg)
{
    (void)what;
    struct bk_listener *listener = arg;
    bk_loop_woken(listener->loop);
    for (int i = 0; i < ACCEPTS_PER_WAKE_UP; i++) {
        struct bk_addr peer = { .len = sizeof peer.v6 };
        int fd = accept4(listen_fd, &peer.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            if (!take_one(listener, fd, &peer))
                return;
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_accepting(listener);
        if (errno != ECONNABORTED && errno != EINTR)
            return;
    }
}

/* ---- a listener ---- */

static int open_socket(const struct bk_addr *at, int *ret)
{
    int fd = socket(at->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int on = 1, off = 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at->sa.sa_family == AF_INET6) /* [::] means both families */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    bk_conn_socket_options(fd);
    if (bind(fd, &at->sa, at->len) < 0 || listen(fd, BACKLOG) < 0) {
        int e = errno;
        close(fd);
        return -e;
    }
    *ret = fd;
    return 0;
}

int bk_listen(struct bk_loop *loop, const struct bk_listen_config *config, struct bk_listener **ret)
{
    struct bk_listener *listener = calloc(1, sizeof *listener);
    if (!listener)
        return -ENOMEM;
    listener->loop = loop;
    listener->config = *config;
    listener->config.at = NULL;
    listener->config.tls = bk_tls_server_ref(config->tls);
    listener->fd = -1;
    bk_timer_init(&listener->resume, on_resume);
    int r = -ENOMEM;
    listener->table = table_new(loop);
    if (!listener->table)
        goto fail;
    r = open_socket(config->at, &listener->fd);
    if (r < 0)
        goto fail;
    listener->at.len = sizeof listener->at.v6;
    getsockname(listener->fd, &listener->at.sa, &listener->at.len);
    r = -ENOMEM;
    listener->event =
        event_new(loop->base, listener->fd, EV_READ | EV_PERSIST, on_acceptable, listener);
    if (!listener->event || event_add(listener->event, NULL) < 0)
        goto fail;
    *ret = listener;
    return 0;
fail:
    bk_listener_destroy(listener);
    return r;
}

struct bk_listener *bk_listener_destroy(struct bk_listener *listener)
{
    if (!listener)
        return NULL;
    if (listener->gone)
        *listener->gone = true;
    if (listener->event)
        event_free(listener->event);
    bk_timer_disarm(&listener->loop->timers, &listener->resume);
    if (listener->fd >= 0)
        close(listener->fd);
    bk_tls_server_unref(listener->config.tls);
    if (listener->table) {
        listener->table->orphan = true;
        table_free_if_unused(listener->table);
    }
    free(listener);
    return NULL;
}

uint16_t bk_listener_port(const struct bk_listener *listener)
{
    return bk_addr_port(&listener->at);
}

void bk_listener_set_tls(struct bk_listener *listener, struct bk_tls_server *tls)
{
    struct bk_tls_server *old = listener->config.tls;
    listener->config.tls = bk_tls_server_ref(tls);
    bk_tls_server_unref(old);
}

void bk_listener_stats(const struct bk_listener *listener, struct bk_listener_stats *ret)
{
    *ret = listener->stats;
    ret->open = listener->table->open;
}
