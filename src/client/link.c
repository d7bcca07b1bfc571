/* SPDX-License-Identifier: Apache-2.0 */
#include "client/link.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "sip/frame.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRIES_MAX = 8, HEAD_START_MS = 250, OWED_MAX = 64 };

/* One address being connected to. */
struct
try {
    struct bk_link *link; /* NULL: closing, nobody listens any more */
    struct bk_conn *conn;
    char where[288], proxy[BK_PROXY_TEXT_MAX];
};

struct bk_owed {
    struct bk_list in;
    struct bk_link *link; /* NULL: the link is gone, so the answer has nowhere to go */
    struct bk_sip_tx *tx;
    char *bytes; /* head of the request: what an answer is built from */
    size_t len;
    char to_tag[32];
};

struct bk_ask {
    struct bk_list in;
    struct bk_link *link;
    struct bk_sip_tx *tx;
    bk_ask_done_fn *done; /* NULL: dropped */
    void *owner;
    struct bk_ask **slot; /* where the owner keeps it; NULL: dropped */
};

struct bk_link {
    struct bk_link_config config;
    struct bk_sip_txs *txs;
    struct bk_hash_key hash_key;

    /* dialling */
    struct bk_answer_server servers[BK_ANSWER_SERVERS_MAX];
    int n_servers, server; /* server: the one being tried, or talked to */
    struct bk_tls_client *tls;
    char verify_name[256], kind[12];
    int connect_ms;
    struct bk_tried *tried;
    struct bk_proxy_query *roads_query;
    struct bk_proxy_roads roads; /* to the server being tried */
    int n_begun;                 /* of them; the last is under way */
    struct bk_buf connect;       /* what its proxy is asked; wiped */
    struct bk_dns_query *query;
    struct bk_addr addrs[TRIES_MAX];
    int n_addrs, next_addr;
    struct try *tries[TRIES_MAX]; /* those under way */
    struct bk_timer head_start;
    bool dialling;

    /* connected */
    struct bk_conn *conn; /* NULL: none */
    uint64_t flow;
    struct bk_sip_frame frame;
    char local[64], via[96], proxy[BK_PROXY_TEXT_MAX];
    int n_left; /* connections that still write their last words */
    struct bk_timer ping, pong;
    int ping_ms;
    int64_t last_out_ms;
    struct bk_list asks, owed;
};

static struct bk_timers *timers(const struct bk_link *link)
{
    return bk_loop_timers(link->config.loop);
}

static int64_t now(const struct bk_link *link)
{
    return bk_clock_mono_ms(bk_loop_clock(link->config.loop));
}

/* ---- dialling ---- */

static void try_server(struct bk_link *link);
static void try_road(struct bk_link *link);
static void try_addr(struct bk_link *link);

static bool anything_open(const struct bk_link *link)
{
    for (int i = 0; i < TRIES_MAX; i++)
        if (link->tries[i])
            return true;
    return false;
}

static void server_text(const struct bk_answer_server *server, char *to, size_t size)
{
    bool v6 = strchr(server->host, ':');
    (void)snprintf(to, size, v6 ? "[%s]:%u" : "%s:%u", server->host, server->port);
}

static void forget_try(struct try *t)
{
    for (int i = 0; t->link && i < TRIES_MAX; i++)
        if (t->link->tries[i] == t)
            t->link->tries[i] = NULL;
}

/* Nobody waits for this one any more. closed() frees it. */
static void abandon_try(struct try *t)
{
    forget_try(t);
    t->link = NULL;
    bk_conn_close(t->conn, 0);
}

static void take_conn(struct bk_link *link, struct bk_conn *conn);

/* The passwords among them are not needed while the connection stands. */
static void forget_roads(struct bk_link *link)
{
    bk_proxy_roads_wipe(&link->roads);
    if (link->connect.at)
        bk_wipe(link->connect.at, link->connect.cap);
    bk_buf_finish(&link->connect);
    link->n_begun = 0;
}

static const struct bk_proxy *road(const struct bk_link *link)
{
    return &link->roads.roads[link->n_begun - 1];
}

static void on_try_ready(struct bk_conn *conn, void *ctx)
{
    struct try *t = ctx;
    struct bk_link *link = t->link;
    if (!link)
        return;
    forget_try(t);
    memcpy(link->proxy, t->proxy, sizeof link->proxy);
    free(t);
    for (int i = 0; i < TRIES_MAX; i++)
        if (link->tries[i])
            abandon_try(link->tries[i]);
    bk_timer_disarm(timers(link), &link->head_start);
    forget_roads(link);
    link->dialling = false;
    take_conn(link, conn);
}

static size_t on_try_bytes(struct bk_conn *conn, void *ctx, struct bk_view bytes)
{
    (void)conn;
    (void)ctx;
    return bytes.len;
}

static void fault_of_try(const struct try *t, enum bk_conn_end why, struct bk_fault *ret)
{
    const struct bk_tunnel_answer *tunnel = bk_conn_tunnel(t->conn);
    if (!tunnel) {
        bk_fault_of_conn(ret, why, bk_conn_tls_fault(t->conn), t->where,
                         bk_conn_fault_detail(t->conn));
        ret->silent = ret->silent && !t->proxy[0]; /* the proxy did say something */
        return;
    }
    bk_fault_of_proxy(ret, tunnel, why, t->proxy, t->where);
    if (tunnel->status == 407 && tunnel->login_sent)
        bk_proxies_login_refused(t->link->config.proxies, road(t->link));
}

/* When the last one failed, either another address is left or this server is done with. */
static void on_try_closed(struct bk_conn *conn, void *ctx, enum bk_conn_end why)
{
    struct try *t = ctx;
    struct bk_link *link = t->link;
    if (link) {
        const struct bk_tunnel_answer *said = bk_conn_tunnel(conn);
        bool proxy_spoke = said && said->status;
        struct bk_fault fault;
        fault_of_try(t, why, &fault);
        bk_tried_add(link->tried, link->kind, t->where, fault.why, &fault);
        forget_try(t);
        if (proxy_spoke) { /* its other addresses are the same proxy */
            for (int i = 0; i < TRIES_MAX; i++)
                if (link->tries[i])
                    abandon_try(link->tries[i]);
            try_road(link);
        } else if (link->next_addr < link->n_addrs) {
            try_addr(link);
        } else if (!anything_open(link)) {
            try_road(link);
        }
    }
    free(t);
}

static const struct bk_conn_ops try_ops = {
    .ready = on_try_ready,
    .bytes = on_try_bytes,
    .closed = on_try_closed,
};

static const char *name_to_verify(const struct bk_link *link)
{
    const char *host = link->servers[link->server].host;
    struct bk_addr literal;
    return bk_addr_parse(host, 1, &literal) == 0 ? link->verify_name : host;
}

static int open_addr(struct bk_link *link, const struct bk_addr *addr)
{
    int slot = 0;
    while (slot < TRIES_MAX && link->tries[slot])
        slot++;
    struct try *t = slot < TRIES_MAX ? calloc(1, sizeof *t) : NULL;
    if (!t)
        return -ENOMEM;
    struct bk_conn_limits limits = bk_conn_limits_default;
    limits.handshake_ms = link->connect_ms;
    limits.first_ms = 0;
    limits.in_max = BK_SIP_MESSAGE_BYTES_MAX + 1024;
    t->link = link;
    server_text(&link->servers[link->server], t->where, sizeof t->where);
    bk_proxy_text(road(link), t->proxy);
    int r = bk_conn_open_tunnel(link->config.loop, addr, bk_buf_view(&link->connect), link->tls,
                                name_to_verify(link), &limits, &try_ops, t, &t->conn);
    if (r < 0) {
        static const struct bk_tunnel_answer not_asked = { 0 };
        struct bk_fault fault;
        if (road(link)->direct)
            bk_fault_of_conn(&fault, BK_CONN_END_UNREACHABLE, BK_TLS_OK, t->where, strerror(-r));
        else
            bk_fault_of_proxy(&fault, &not_asked, BK_CONN_END_UNREACHABLE, t->proxy, t->where);
        bk_tried_add(link->tried, link->kind, t->where, fault.why, &fault);
        free(t);
        return r;
    }
    link->tries[slot] = t;
    return 0;
}

static void try_addr(struct bk_link *link)
{
    while (link->next_addr < link->n_addrs) {
        if (open_addr(link, &link->addrs[link->next_addr++]) == 0) {
            /* A password goes to one address of a proxy at a time. */
            if (link->next_addr < link->n_addrs && !road(link)->login[0])
                bk_timer_arm(timers(link), &link->head_start, now(link) + HEAD_START_MS);
            return;
        }
    }
    if (!anything_open(link))
        try_road(link);
}

static void on_addrs(void *ctx, enum bk_dns_result result, const struct bk_addr *addrs, int n);

static void on_head_start(struct bk_timer *timer)
{
    struct bk_link *link = bk_container_of(timer, struct bk_link, head_start);
    if (link->query) { /* looking up the name has its time too */
        bk_dns_cancel(link->query);
        on_addrs(link, BK_DNS_TIMEOUT, NULL, 0);
    } else {
        try_addr(link);
    }
}

static void on_addrs(void *ctx, enum bk_dns_result result, const struct bk_addr *addrs, int n)
{
    struct bk_link *link = ctx;
    link->query = NULL;
    bk_timer_disarm(timers(link), &link->head_start);
    if (result != BK_DNS_FOUND || n < 1) {
        const char *host = link->servers[link->server].host;
        char proxy[BK_PROXY_TEXT_MAX];
        struct bk_fault fault;
        bk_proxy_text(road(link), proxy);
        if (proxy[0])
            bk_fault_of_proxy_name(&fault, result, proxy);
        else
            bk_fault_of_dns(&fault, result, host);
        /* A record led here, so that the name has no address is a wrong record, not a missing one. */
        if (fault.record && fault.record->number == 301)
            bk_fault_set(&fault, 303, 0, host, fault.why, "");
        bk_tried_add(link->tried, link->kind, host,
                     proxy[0] ? fault.why : bk_dns_result_text(result), &fault);
        try_road(link);
        return;
    }
    link->n_addrs = n < TRIES_MAX ? n : TRIES_MAX;
    memcpy(link->addrs, addrs, (size_t)link->n_addrs * sizeof *addrs);
    link->next_addr = 0;
    try_addr(link);
}

/* The name of the server goes to a proxy as it is; here only the proxy's own is looked up. */
static int ask_proxy(struct bk_link *link)
{
    const struct bk_answer_server *server = &link->servers[link->server];
    bool knows = bk_proxies_login_usable(link->config.proxies, road(link));
    return bk_tunnel_request(&link->connect, server->host, server->port,
                             bk_view_of_str(knows ? road(link)->login : ""));
}

static void no_road(struct bk_link *link, const char *why)
{
    const char *host = link->servers[link->server].host;
    struct bk_fault fault;
    bk_fault_set(&fault, 306, 'd', "", why, "");
    bk_tried_add(link->tried, link->kind, host, why, &fault);
}

/* The next road to this server; where none is left, the next server. */
static void try_road(struct bk_link *link)
{
    link->n_addrs = link->next_addr = 0;
    bk_timer_disarm(timers(link), &link->head_start);
    while (link->n_begun < link->roads.n) {
        const struct bk_answer_server *server = &link->servers[link->server];
        const struct bk_proxy *taken = &link->roads.roads[link->n_begun++];
        if (link->connect.at)
            bk_wipe(link->connect.at, link->connect.cap);
        bk_buf_clear(&link->connect);
        int r = taken->direct ? 0 : ask_proxy(link);
        if (r < 0) {
            no_road(link, strerror(-r));
            continue;
        }
        link->query = bk_dns_host(link->config.dns, taken->direct ? server->host : taken->host,
                                  taken->direct ? server->port : taken->port, on_addrs, link);
        if (link->query) {
            bk_timer_arm(timers(link), &link->head_start, now(link) + link->connect_ms);
            return;
        }
    }
    link->server++;
    try_server(link);
}

static void on_roads(void *ctx, const struct bk_proxy_roads *roads)
{
    struct bk_link *link = ctx;
    link->roads_query = NULL;
    link->roads = *roads;
    if (!roads->n)
        no_road(link, roads->why);
    try_road(link);
}

static void try_server(struct bk_link *link)
{
    forget_roads(link);
    if (link->server >= link->n_servers) {
        link->dialling = false;
        link->config.ops->unreachable(link->config.ctx);
        return;
    }
    const struct bk_answer_server *server = &link->servers[link->server];
    if (link->config.proxies) {
        link->roads_query =
            bk_proxies_find(link->config.proxies, server->host, server->port, on_roads, link);
        if (link->roads_query)
            return;
        no_road(link, "out of memory");
    } else {
        link->roads = (struct bk_proxy_roads){ .n = 1, .roads[0].direct = true };
    }
    try_road(link);
}

static void stop_dialling(struct bk_link *link)
{
    if (link->query)
        bk_dns_cancel(link->query);
    link->query = NULL;
    bk_proxies_cancel(link->roads_query);
    link->roads_query = NULL;
    forget_roads(link);
    for (int i = 0; i < TRIES_MAX; i++)
        if (link->tries[i])
            abandon_try(link->tries[i]);
    bk_timer_disarm(timers(link), &link->head_start);
    link->dialling = false;
}

void bk_link_dial(struct bk_link *link, const struct bk_answer_server *servers, int n,
                  struct bk_tls_client *tls, const char *verify_name, const char *kind,
                  int connect_ms, struct bk_tried *tried)
{
    bk_link_close(link, 1000);
    link->n_servers = n < BK_ANSWER_SERVERS_MAX ? n : BK_ANSWER_SERVERS_MAX;
    memcpy(link->servers, servers, (size_t)link->n_servers * sizeof *servers);
    (void)bk_tls_client_unref(link->tls);
    link->tls = bk_tls_client_ref(tls);
    (void)snprintf(link->verify_name, sizeof link->verify_name, "%s", verify_name);
    (void)snprintf(link->kind, sizeof link->kind, "%s", kind);
    link->connect_ms = connect_ms;
    link->tried = tried;
    link->dialling = true;
    /* Before the first one: the timer steps on from here, so no callback comes before this returns. */
    link->server = -1;
    link->n_addrs = link->next_addr = 0;
    link->proxy[0] = '\0';
    forget_roads(link);
    bk_timer_arm(timers(link), &link->head_start, 0);
}

/* ---- the connection ---- */

static void end_flow(struct bk_link *link)
{
    link->conn = NULL;
    bk_timer_disarm(timers(link), &link->ping);
    bk_timer_disarm(timers(link), &link->pong);
    BK_LIST_EACH(&link->owed, it)
    {
        struct bk_owed *owed = bk_container_of(it, struct bk_owed, in);
        owed->link = NULL;
        bk_list_remove(&owed->in);
        bk_sip_tx_forget(owed->tx);
        owed->tx = NULL;
    }
    BK_LIST_EACH(&link->asks, it)
    bk_ask_drop(bk_container_of(it, struct bk_ask, in));
    bk_sip_txs_flow_gone(link->txs, link->flow);
}

static void on_link_closed(struct bk_conn *conn, void *ctx, enum bk_conn_end why)
{
    struct bk_link *link = ctx;
    if (!link || link->conn != conn)
        return;
    char where[288];
    struct bk_fault fault;
    static const char *const whys[] = {
        [BK_CONN_END_PEER] = "the server closed the connection",
        [BK_CONN_END_RESET] = "the connection was reset or its life signs ran out",
        [BK_CONN_END_REFUSED] = "refused",
        [BK_CONN_END_UNREACHABLE] = "the network is unreachable",
        [BK_CONN_END_TIMEOUT] = "nothing arrived any more",
        [BK_CONN_END_TLS] = "the secure connection failed",
        [BK_CONN_END_OVERFLOW] = "nothing could be sent any more",
        [BK_CONN_END_LOCAL] = "no answer to a life sign",
    };
    server_text(bk_link_server(link), where, sizeof where);
    bk_fault_set(&fault, 314, 0, where, whys[why], bk_conn_fault_detail(conn));
    end_flow(link);
    link->config.ops->lost(link->config.ctx, &fault);
}

static void on_left_closed(struct bk_conn *conn, void *ctx, enum bk_conn_end why)
{
    struct bk_link *link = ctx;
    (void)conn;
    (void)why;
    link->n_left--;
}

/* Of a connection that we left: it writes its last words and frees itself. */
static const struct bk_conn_ops left_ops = {
    .bytes = on_try_bytes,
    .closed = on_left_closed,
};

static void leave_conn(struct bk_link *link, int linger_ms)
{
    struct bk_conn *conn = link->conn;
    bk_conn_set_ops(conn, &left_ops, link);
    link->n_left++;
    bk_conn_close(conn, linger_ms);
    end_flow(link);
}

void bk_link_give_up(struct bk_link *link, const char *why)
{
    char where[288];
    struct bk_fault fault;
    if (!link->conn)
        return;
    server_text(bk_link_server(link), where, sizeof where);
    bk_fault_set(&fault, 314, 0, where, why, why);
    leave_conn(link, 0);
    link->config.ops->lost(link->config.ctx, &fault);
}

static void arm_ping(struct bk_link *link)
{
    bk_timer_arm(timers(link), &link->ping, link->last_out_ms + link->ping_ms);
}

static void send_bytes(struct bk_link *link, struct bk_view bytes)
{
    if (!link->conn)
        return;
    link->last_out_ms = now(link);
    (void)bk_conn_send(link->conn, bytes, false);
}

static void send_message(struct bk_link *link, struct bk_view message)
{
    BK_AUTO_BUF struct bk_buf sealed = { 0 };
    if (!link->conn || !link->config.ops->seal) {
        send_bytes(link, message);
        return;
    }
    link->config.ops->seal(link->config.ctx, message, &sealed);
    if (!sealed.failed)
        send_bytes(link, bk_buf_view(&sealed));
    else /* no memory: rather a lost connection, which mends all, than one message that is waited for */
        bk_conn_close(link->conn, 0);
}

/* RFC 5626 3.5.1 and 4.4.1. The timer is not moved with each message: it looks when it fires. */
static void on_ping(struct bk_timer *timer)
{
    struct bk_link *link = bk_container_of(timer, struct bk_link, ping);
    if (!link->conn)
        return;
    if (now(link) - link->last_out_ms >= link->ping_ms) {
        send_bytes(link, BK_VIEW("\r\n\r\n"));
        bk_timer_arm(timers(link), &link->pong, now(link) + link->config.pong_ms);
    }
    arm_ping(link);
}

static void on_pong_missing(struct bk_timer *timer)
{
    struct bk_link *link = bk_container_of(timer, struct bk_link, pong);
    if (link->conn)
        bk_conn_close(link->conn, 0);
}

static void take_message(struct bk_link *link, struct bk_view bytes)
{
    /* 8 kB, and one at a time on this thread. */
    static _Thread_local struct bk_sip_msg msg;
    struct bk_sip_fault fault;
    struct bk_sip_head head;
    struct bk_sip_flow flow = { .id = link->flow, .reliable = true };
    if (bk_sip_msg_parse(&msg, bytes, &fault) < 0 || bk_sip_msg_check(&msg, &head, &fault) < 0)
        return;
    if (link->config.ops->open && !link->config.ops->open(link->config.ctx, &msg, &head))
        return;
    if (msg.status)
        (void)bk_sip_txs_response(link->txs, flow, &msg, &head);
    else if (bk_sip_txs_request(link->txs, flow, &msg, &head) == BK_SIP_TXS_NEW)
        link->config.ops->request(link->config.ctx, &msg, &head);
}

static size_t on_link_bytes(struct bk_conn *conn, void *ctx, struct bk_view bytes)
{
    struct bk_link *link = ctx;
    size_t used = 0;
    if (link && link->conn == conn)
        bk_timer_disarm(timers(link), &link->pong); /* any byte is a sign of life */
    /* A message may end the link: whoever was talking is asked each time. */
    while (link && link->conn == conn && used < bytes.len) {
        size_t len = 0;
        struct bk_sip_fault fault;
        struct bk_view rest = bk_view_skip(bytes, used);
        enum bk_sip_frame_step step =
            bk_sip_frame_next(&link->frame, rest, BK_SIP_MESSAGE_BYTES_MAX, &len, &fault);
        if (step == BK_SIP_FRAME_MORE)
            return used;
        if (step == BK_SIP_FRAME_BAD) {
            bk_conn_close(conn, 0);
            return bytes.len;
        }
        link->frame = (struct bk_sip_frame){ 0 };
        used += len;
        if (step == BK_SIP_FRAME_PING)
            send_bytes(link, BK_VIEW("\r\n"));
        else if (step == BK_SIP_FRAME_MESSAGE)
            take_message(link, bk_view_head(rest, len));
    }
    return link && link->conn == conn ? used : bytes.len;
}

static const struct bk_conn_ops link_ops = {
    .bytes = on_link_bytes,
    .closed = on_link_closed,
};

static void take_conn(struct bk_link *link, struct bk_conn *conn)
{
    char host[64];
    const struct bk_addr *local = bk_conn_local(conn);
    bk_addr_host_text(local, host);
    bool v6 = strchr(host, ':');
    (void)snprintf(link->local, sizeof link->local, v6 ? "[%s]:%u" : "%s:%u", host,
                   bk_addr_port(local));
    (void)snprintf(link->via, sizeof link->via, "SIP/2.0/TLS %s;rport", link->local);
    link->conn = conn;
    link->flow++;
    link->frame = (struct bk_sip_frame){ 0 };
    link->last_out_ms = now(link);
    link->ping_ms = link->config.ping_ms;
    bk_conn_set_ops(conn, &link_ops, link);
    bk_conn_calm(conn);
    arm_ping(link);
    link->config.ops->up(link->config.ctx);
}

void bk_link_set_ping(struct bk_link *link, int ping_ms)
{
    link->ping_ms = ping_ms > 0 && ping_ms < link->config.ping_ms ? ping_ms : link->config.ping_ms;
    if (link->conn)
        arm_ping(link);
}

void bk_link_close(struct bk_link *link, int linger_ms)
{
    stop_dialling(link);
    if (link->conn)
        leave_conn(link, linger_ms);
}

bool bk_link_is_up(const struct bk_link *link)
{
    return link->conn != NULL;
}

bool bk_link_ends(const struct bk_link *link, struct bk_addr *ret_local, struct bk_addr *ret_peer)
{
    if (!link->conn)
        return false;
    *ret_local = *bk_conn_local(link->conn);
    *ret_peer = *bk_conn_peer(link->conn);
    return true;
}

const struct bk_answer_server *bk_link_server(const struct bk_link *link)
{
    return &link->servers[link->server >= 0 && link->server < link->n_servers ? link->server : 0];
}

const char *bk_link_proxy(const struct bk_link *link)
{
    return link->conn ? link->proxy : "";
}

const char *bk_link_local(const struct bk_link *link)
{
    return link->local;
}

struct bk_view bk_link_via(const struct bk_link *link)
{
    return bk_view_of_str(link->via);
}

/* ---- requests of ours ---- */

static void finish_ask(struct bk_ask *ask, const struct bk_sip_msg *msg)
{
    bk_ask_done_fn *done = ask->done;
    void *owner = ask->owner;
    bk_ask_drop(ask);
    if (done)
        done(owner, msg);
}

static void on_ask_response(struct bk_sip_tx *tx, void *user, const struct bk_sip_msg *msg)
{
    (void)tx;
    if (msg->status >= 200)
        finish_ask(user, msg);
}

static void on_ask_failed(struct bk_sip_tx *tx, void *user, enum bk_sip_tx_failure why)
{
    (void)tx;
    (void)why;
    finish_ask(user, NULL);
}

static void on_ask_gone(struct bk_sip_tx *tx, void *user)
{
    struct bk_ask *ask = user;
    (void)tx;
    finish_ask(ask, NULL);
    bk_list_remove(&ask->in);
    free(ask);
}

static const struct bk_sip_tx_user ask_user = {
    .response = on_ask_response,
    .failed = on_ask_failed,
    .gone = on_ask_gone,
};

int bk_ask_begin(struct bk_link *link, enum bk_sip_method method, bk_ask_done_fn *done, void *owner,
                 struct bk_ask **ret)
{
    if (!link->conn)
        return -ENOTCONN;
    struct bk_ask *ask = calloc(1, sizeof *ask);
    if (!ask)
        return -ENOMEM;
    *ask = (struct bk_ask){ .link = link, .done = done, .owner = owner, .slot = ret };
    bk_list_init(&ask->in);
    struct bk_sip_flow flow = { .id = link->flow, .reliable = true };
    int r = bk_sip_tx_client_create(link->txs, flow, method, &ask_user, ask, &ask->tx);
    if (r < 0) {
        free(ask);
        return r;
    }
    bk_list_append(&link->asks, &ask->in);
    *ret = ask;
    return 0;
}

struct bk_view bk_ask_branch(const struct bk_ask *ask)
{
    return bk_sip_tx_branch(ask->tx);
}

void bk_ask_send(struct bk_ask *ask, struct bk_view request)
{
    bk_sip_tx_start(ask->tx, request);
}

void bk_ask_drop(struct bk_ask *ask)
{
    if (!ask)
        return;
    if (ask->slot)
        *ask->slot = NULL;
    ask->slot = NULL;
    ask->done = NULL;
}

void bk_link_request_begin(const struct bk_link *link, const struct bk_ask *ask, struct bk_buf *to,
                           enum bk_sip_method method, struct bk_view uri)
{
    struct bk_view branch = bk_ask_branch(ask);
    bk_sip_request_begin(to, bk_sip_method_name(method), uri);
    bk_sip_field_addf(to, BK_SIP_HDR_VIA, "%s;branch=%.*s", link->via, BK_VIEW_ARGS(branch));
    bk_sip_field_add(to, BK_SIP_HDR_MAX_FORWARDS, BK_VIEW("70"));
    bk_sip_field_add(to, BK_SIP_HDR_USER_AGENT, bk_view_of_str(link->config.user_agent));
}

struct bk_sip_txs *bk_link_txs(const struct bk_link *link)
{
    return link->txs;
}

struct bk_sip_flow bk_link_flow(const struct bk_link *link)
{
    return (struct bk_sip_flow){ .id = link->flow, .reliable = true };
}

void bk_link_send(struct bk_link *link, struct bk_view bytes)
{
    send_message(link, bytes);
}

/* ---- answers of ours ---- */

static void write_answer(struct bk_buf *to, const struct bk_sip_msg *msg, int status,
                         struct bk_view to_tag, struct bk_view fields)
{
    bk_sip_response_begin(to, msg, status, (struct bk_view){ 0 }, to_tag, NULL);
    bk_buf_add_view(to, fields);
    bk_sip_end(to, (struct bk_view){ 0 }, (struct bk_view){ 0 });
}

void bk_link_answer(struct bk_link *link, const struct bk_sip_msg *msg,
                    const struct bk_sip_head *head, int status, struct bk_view to_tag,
                    struct bk_view fields)
{
    static const struct bk_sip_tx_user nobody = { 0 };
    struct bk_sip_flow flow = { .id = link->flow, .reliable = true };
    struct bk_sip_tx *tx;
    BK_AUTO_BUF struct bk_buf answer = { 0 };
    if (!link->conn || msg->method == BK_SIP_ACK || msg->method == BK_SIP_BENOTIFY)
        return;
    write_answer(&answer, msg, status, to_tag, fields);
    if (answer.failed)
        return;
    if (bk_sip_tx_server_create(link->txs, flow, msg, head, &nobody, NULL, &tx) < 0) {
        send_message(link, bk_buf_view(&answer));
        return;
    }
    bk_sip_tx_respond(tx, status, bk_buf_view(&answer));
    bk_sip_tx_forget(tx);
}

static void on_owed_gone(struct bk_sip_tx *tx, void *user)
{
    struct bk_owed *owed = user;
    (void)tx;
    owed->tx = NULL;
}

int bk_link_owe(struct bk_link *link, const struct bk_sip_msg *msg, const struct bk_sip_head *head,
                struct bk_view to_tag, struct bk_owed **ret)
{
    static const struct bk_sip_tx_user user = { .gone = on_owed_gone };
    struct bk_sip_flow flow = { .id = link->flow, .reliable = true };
    size_t n = 0;
    BK_LIST_EACH(&link->owed, it)
    n++;
    if (n >= OWED_MAX || to_tag.len >= sizeof((struct bk_owed *)0)->to_tag)
        return -ENOSPC;
    struct bk_owed *owed = calloc(1, sizeof *owed);
    if (!owed)
        return -ENOMEM;
    bk_list_init(&owed->in);
    /* Only the head is needed for the answer; its Content-Length then names a body that is not there, which nobody looks at. */
    owed->len = msg->bytes.len;
    owed->bytes = malloc(owed->len);
    int r = owed->bytes
                ? bk_sip_tx_server_create(link->txs, flow, msg, head, &user, owed, &owed->tx)
                : -ENOMEM;
    if (r < 0) {
        free(owed->bytes);
        free(owed);
        return r;
    }
    memcpy(owed->bytes, msg->bytes.at, owed->len);
    memcpy(owed->to_tag, to_tag.at, to_tag.len);
    owed->link = link;
    bk_list_append(&link->owed, &owed->in);
    *ret = owed;
    return 0;
}

void bk_owed_answer(struct bk_owed *owed, int status)
{
    if (owed->link && owed->tx) {
        static _Thread_local struct bk_sip_msg msg;
        struct bk_sip_fault fault;
        BK_AUTO_BUF struct bk_buf answer = { 0 };
        if (bk_sip_msg_parse(&msg, (struct bk_view){ owed->bytes, owed->len }, &fault) == 0) {
            write_answer(&answer, &msg, status, bk_view_of_str(owed->to_tag),
                         (struct bk_view){ 0 });
            if (!answer.failed)
                bk_sip_tx_respond(owed->tx, status, bk_buf_view(&answer));
        }
    }
    bk_owed_drop(owed);
}

void bk_owed_drop(struct bk_owed *owed)
{
    if (!owed)
        return;
    bk_list_remove(&owed->in);
    if (owed->tx)
        bk_sip_tx_forget(owed->tx);
    free(owed->bytes);
    free(owed);
}

/* ---- life ---- */

static void send_for_tx(void *ctx, struct bk_sip_flow flow, struct bk_view bytes)
{
    struct bk_link *link = ctx;
    if (flow.id == link->flow)
        send_message(link, bytes);
}

int bk_link_create(const struct bk_link_config *config, struct bk_link **ret)
{
    struct bk_link *link = calloc(1, sizeof *link);
    if (!link)
        return -ENOMEM;
    link->config = *config;
    bk_random_fill(config->random, &link->hash_key, sizeof link->hash_key);
    struct bk_sip_txs_config txs = {
        .send = send_for_tx,
        .ctx = link,
        .timers = bk_loop_timers(config->loop),
        .clock = bk_loop_clock(config->loop),
        .random = config->random,
        .hash_key = &link->hash_key,
        .max = 4096,
    };
    link->txs = bk_sip_txs_create(&txs);
    if (!link->txs) {
        free(link);
        return -ENOMEM;
    }
    bk_timer_init(&link->head_start, on_head_start);
    bk_timer_init(&link->ping, on_ping);
    bk_timer_init(&link->pong, on_pong_missing);
    bk_list_init(&link->asks);
    bk_list_init(&link->owed);
    *ret = link;
    return 0;
}

struct bk_link *bk_link_destroy(struct bk_link *link)
{
    if (!link)
        return NULL;
    BK_LIST_EACH(&link->asks, it)
    bk_container_of(it, struct bk_ask, in)->done = NULL;
    bk_link_close(link, 0);
    while (link->n_left) /* as long as the longest linger */
        (void)bk_loop_step(link->config.loop, 50);
    /* Transactions that did not end yet call nobody: their askers are freed here. */
    (void)bk_sip_txs_destroy(link->txs);
    BK_LIST_EACH(&link->asks, it)
    free(bk_container_of(it, struct bk_ask, in));
    (void)bk_tls_client_unref(link->tls);
    free(link);
    return NULL;
}
