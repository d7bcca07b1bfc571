/* SPDX-License-Identifier: Apache-2.0 */
#include "server/front.h"

#include "base/map.h"
#include "base/text.h"
#include "sip/frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    LISTENERS_MAX = 16,
    NETWORKS_MAX = 64,
    LINGER_MS = 2000,
};

enum peer_kind {
    PEER_STREAM,
    PEER_DATAGRAM,
};

/* One link of the core: a connection that speaks SIP, or one remote address over UDP. */
struct peer {
    enum peer_kind kind;
    struct bk_front *front;
    uint64_t link;
    /* streams */
    struct bk_conn *conn;
    struct bk_sip_frame frame;
    bool paused;
    /* datagrams */
    struct bk_udp *udp;
    struct bk_map_node in_peers;
    struct bk_list in_age;
    bool signed_in;
    struct bk_addr addr;
    int64_t last_in_ms;
    bool closing; /* the core wants it gone: the next datagram from there begins anew */
};

struct listener {
    struct bk_front *front;
    const char *kind;
    struct bk_listener *stream;
    struct bk_udp *datagram;
    uint16_t port;
    bool ask;
    bool secure;
};

struct network {
    int family, bits;
    unsigned char bytes[16];
};

struct bk_front {
    struct bk_loop *loop;
    const struct bk_settings *settings;
    struct bk_core *core;
    struct bk_http_server *http;
    struct bk_tls_server *tls, *tls_ask;
    struct listener listeners[LISTENERS_MAX];
    int n_listeners;
    struct network networks[NETWORKS_MAX];
    int n_networks;
    struct bk_hash_key key;
    struct bk_map udp_peers;
    struct bk_list udp_strangers, udp_signed_in; /* oldest first */
    size_t n_udp_peers;
    uint64_t udp_refused;
    bool refusing;
    bool dead; /* being destroyed: the core is gone already */
};

/* ---- own networks ---- */

static int parse_networks(struct bk_front *front, const char *text)
{
    struct bk_view rest = bk_view_of_str(text);
    while (rest.at && rest.len) {
        struct bk_view one = bk_view_trim(bk_view_cut(&rest, ','));
        char host[64];
        uint64_t bits = 0;
        size_t slash = bk_view_find(one, '/');
        if (!one.len)
            continue;
        if (slash >= sizeof host || front->n_networks == NETWORKS_MAX)
            return -EINVAL;
        struct network *n = &front->networks[front->n_networks];
        memcpy(host, one.at, slash);
        host[slash] = 0;
        n->family = strchr(host, ':') ? AF_INET6 : AF_INET;
        uint64_t most = n->family == AF_INET ? 32 : 128;
        if (inet_pton(n->family, host, n->bytes) != 1)
            return -EINVAL;
        if (slash == one.len)
            bits = most;
        else if (bk_view_to_u64(bk_view_skip(one, slash + 1), most, &bits) < 0)
            return -EINVAL;
        n->bits = (int)bits;
        front->n_networks++;
    }
    return 0;
}

static bool in_network(const struct network *n, const unsigned char *bytes)
{
    int whole = n->bits / 8, left = n->bits % 8;
    if (memcmp(n->bytes, bytes, (size_t)whole) != 0)
        return false;
    return !left || ((n->bytes[whole] ^ bytes[whole]) >> (8 - left)) == 0;
}

bool bk_front_own_network(void *ctx, const struct bk_addr *peer)
{
    const struct bk_front *front = ctx;
    if (front->n_networks == 0)
        return bk_addr_is_private(peer);
    if (bk_addr_is_loopback(peer))
        return true;
    char text[64];
    unsigned char bytes[16];
    bk_addr_host_text(peer, text);
    int family = strchr(text, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(family, text, bytes) != 1)
        return false;
    for (int i = 0; i < front->n_networks; i++)
        if (front->networks[i].family == family && in_network(&front->networks[i], bytes))
            return true;
    return false;
}

/* ---- the core's way out ---- */

static void datagram_peer_free(struct peer *peer)
{
    struct bk_front *front = peer->front;
    bk_map_remove(&front->udp_peers, &peer->in_peers);
    bk_list_remove(&peer->in_age);
    front->n_udp_peers--;
    free(peer);
}

static void datagram_peer_known(struct peer *peer, bool known)
{
    peer->signed_in = known;
    bk_list_remove(&peer->in_age);
    bk_list_append(known ? &peer->front->udp_signed_in : &peer->front->udp_strangers,
                   &peer->in_age);
}

static bool out_send(void *ctx, void *handle, struct bk_view bytes, bool droppable)
{
    struct peer *peer = handle;
    (void)ctx;
    if (peer->kind == PEER_DATAGRAM) {
        bk_udp_send(peer->udp, &peer->addr, bytes);
        return true;
    }
    return bk_conn_send(peer->conn, bytes, droppable) == 0;
}

static void out_close(void *ctx, void *handle)
{
    struct peer *peer = handle;
    (void)ctx;
    if (peer->kind == PEER_STREAM)
        bk_conn_close(peer->conn, LINGER_MS);
    else
        peer->closing = true;
}

static void out_pause(void *ctx, void *handle, bool pause)
{
    struct peer *peer = handle;
    (void)ctx;
    if (peer->kind != PEER_STREAM)
        return;
    peer->paused = pause;
    bk_conn_pause(peer->conn, pause);
}

static void out_known(void *ctx, void *handle, bool known)
{
    struct peer *peer = handle;
    (void)ctx;
    if (peer->kind == PEER_DATAGRAM)
        datagram_peer_known(peer, known);
    else if (known)
        bk_listener_known(peer->conn);
}

static int64_t out_last_in_ms(void *ctx, void *handle)
{
    struct peer *peer = handle;
    (void)ctx;
    return peer->kind == PEER_STREAM ? bk_conn_last_in_ms(peer->conn) : peer->last_in_ms;
}

const struct bk_core_ops bk_front_core_ops = {
    .send = out_send,
    .close = out_close,
    .pause = out_pause,
    .known = out_known,
    .last_in_ms = out_last_in_ms,
};

/* ---- streams that speak SIP ---- */

static size_t sip_bytes(struct bk_conn *conn, void *ctx, struct bk_view bytes)
{
    struct peer *peer = ctx;
    struct bk_core *core = peer->front->core;
    size_t used = 0;
    bool open = true;

    while (open && !peer->paused && used < bytes.len) {
        struct bk_view rest = bk_view_skip(bytes, used);
        struct bk_sip_fault fault;
        size_t len = 0;
        enum bk_sip_frame_step step = bk_sip_frame_next(
            &peer->frame, rest, bk_core_message_max(core, peer->link), &len, &fault);
        if (step == BK_SIP_FRAME_MORE)
            break;
        if (step == BK_SIP_FRAME_BAD) {
            bk_core_unframed(core, peer->link, rest, &fault);
            bk_conn_close(conn, LINGER_MS);
            used = bytes.len;
            break;
        }
        used += len;
        if (step == BK_SIP_FRAME_PING) {
            bk_conn_send(conn, BK_VIEW("\r\n"), false);
        } else if (step == BK_SIP_FRAME_MESSAGE) {
            bool readable = false;
            open = bk_core_receive(core, peer->link, bk_view_head(rest, len), &readable);
            if (readable)
                bk_conn_calm(conn);
        }
    }
    bk_core_pump(core);
    if (!open)
        bk_conn_close(conn, LINGER_MS);
    return used;
}

static void sip_closed(struct bk_conn *conn, void *ctx, enum bk_conn_end why)
{
    struct peer *peer = ctx;
    (void)conn;
    if (!peer->front->dead) {
        bk_core_link_gone(peer->front->core, peer->link,
                          why == BK_CONN_END_PEER || why == BK_CONN_END_LOCAL ? BK_LINK_END_CLOSED
                                                                              : BK_LINK_END_LOST);
        bk_core_pump(peer->front->core);
    }
    free(peer);
}

static const struct bk_conn_ops sip_ops = { .bytes = sip_bytes, .closed = sip_closed };

/* The connection is SIP: the core gets to know it. */
static bool become_sip(struct bk_front *front, struct bk_conn *conn)
{
    struct peer *peer = calloc(1, sizeof *peer);
    char ip[64], local_ip[64];
    struct bk_buf certificate = { 0 };

    if (!peer)
        return false;
    peer->kind = PEER_STREAM;
    peer->front = front;
    peer->conn = conn;
    bk_addr_host_text(bk_conn_peer(conn), ip);
    bk_addr_host_text(bk_conn_local(conn), local_ip);
    if (bk_conn_is_tls(conn))
        bk_tls_peer_certificate(bk_conn_tls(conn), &certificate, true);
    struct bk_link_info info = {
        .transport = bk_conn_is_tls(conn) ? BK_LINK_TLS : BK_LINK_TCP,
        .ip = bk_view_of_str(ip),
        .port = bk_addr_port(bk_conn_peer(conn)),
        .net_key = bk_addr_net_key(bk_conn_peer(conn)),
        .own_network = bk_front_own_network(front, bk_conn_peer(conn)),
        .local_ip = bk_view_of_str(local_ip),
        .local_port = bk_addr_port(bk_conn_local(conn)),
        .client_certificate = bk_buf_view(&certificate),
        .handle = peer,
    };
    int r = bk_core_link_open(front->core, &info, &peer->link);
    bk_buf_finish(&certificate);
    if (r < 0) {
        free(peer);
        return false;
    }
    bk_conn_set_ops(conn, &sip_ops, peer);
    return true;
}

/* ---- connections that have not said yet what they are ---- */

static size_t first_bytes(struct bk_conn *conn, void *ctx, struct bk_view bytes)
{
    struct bk_front *front = ctx;
    struct bk_view alpn =
        bk_conn_is_tls(conn) ? bk_tls_alpn(bk_conn_tls(conn)) : (struct bk_view){ 0 };

    switch (bk_conn_sniff(alpn, bytes)) {
    case BK_PROTOCOL_MORE:
        return 0;
    case BK_PROTOCOL_SIP:
        if (become_sip(front, conn))
            return sip_bytes(conn, bk_conn_ctx(conn), bytes);
        break;
    case BK_PROTOCOL_HTTP:
        if (front->http && bk_conn_is_tls(conn) && bk_http_server_adopt(front->http, conn) == 0)
            return 0;
        break;
    case BK_PROTOCOL_UNKNOWN:
        break;
    }
    bk_conn_close(conn, 0);
    return bytes.len;
}

/* On a port for plain HTTP, which speaks nothing else. */
static size_t first_bytes_clear(struct bk_conn *conn, void *ctx, struct bk_view bytes)
{
    struct bk_front *front = ctx;
    enum bk_conn_protocol protocol = bk_conn_sniff((struct bk_view){ 0 }, bytes);
    if (protocol == BK_PROTOCOL_MORE)
        return 0;
    if (protocol == BK_PROTOCOL_HTTP && front->http && bk_http_server_adopt(front->http, conn) == 0)
        return 0;
    bk_conn_close(conn, 0);
    return bytes.len;
}

static void first_closed(struct bk_conn *conn, void *ctx, enum bk_conn_end why)
{
    (void)conn;
    (void)ctx;
    (void)why;
}

static const struct bk_conn_ops first_ops = { .bytes = first_bytes, .closed = first_closed };
static const struct bk_conn_ops clear_ops = { .bytes = first_bytes_clear, .closed = first_closed };

static void *accepted(void *ctx, struct bk_conn *conn)
{
    (void)conn;
    return ctx;
}

/* ---- datagrams ---- */

static struct peer *datagram_peer_find(struct bk_front *front, const struct listener *listener,
                                       struct bk_view address, uint64_t hash)
{
    char text[64];
    for (struct bk_map_node *n = bk_map_first(&front->udp_peers, hash); n; n = bk_map_next(n)) {
        struct peer *peer = bk_container_of(n, struct peer, in_peers);
        bk_addr_text(&peer->addr, text);
        if (peer->udp == listener->datagram && bk_view_equal(bk_view_of_str(text), address))
            return peer;
    }
    return NULL;
}

static void datagram_peer_end(struct peer *peer)
{
    bk_core_link_gone(peer->front->core, peer->link, BK_LINK_END_LOST);
    datagram_peer_free(peer);
}

/* The address a datagram socket is bound to, as our end of the link. */
static void datagram_local_ip(const struct bk_front *front, bool v6, char ret[64])
{
    struct bk_view at =
        bk_view_trim(bk_view_head(bk_view_of_str(front->settings->udp),
                                  bk_view_find(bk_view_of_str(front->settings->udp), ',')));
    size_t colon = at.len;
    while (colon && at.at[colon - 1] != ':')
        colon--;
    struct bk_view host = bk_view_head(at, colon ? colon - 1 : 0);
    if (host.len > 2 && host.at[0] == '[')
        host = bk_view_head(bk_view_skip(host, 1), host.len - 2);
    bool any =
        !host.len || bk_view_equal(host, BK_VIEW("0.0.0.0")) || bk_view_equal(host, BK_VIEW("::"));
    snprintf(ret, 64, "%.*s", any ? (int)strlen(v6 ? "::1" : "127.0.0.1") : (int)host.len,
             any ? (v6 ? "::1" : "127.0.0.1") : host.at);
}

static struct peer *datagram_peer(struct bk_front *front, const struct listener *listener,
                                  const struct bk_addr *from)
{
    char address[64], ip[64], local_ip[64];
    bk_addr_text(from, address);
    uint64_t hash = bk_hash(&front->key, bk_view_of_str(address));
    struct peer *peer = datagram_peer_find(front, listener, bk_view_of_str(address), hash);
    if (peer && peer->closing) {
        datagram_peer_end(peer);
        peer = NULL;
    }
    if (peer) {
        datagram_peer_known(peer, peer->signed_in); /* the youngest of its list */
        return peer;
    }
    /* A source address can be forged: strangers push out strangers, never somebody who signed in. */
    if (front->n_udp_peers >= (size_t)front->settings->udp_peers) {
        if (bk_list_empty(&front->udp_strangers)) {
            front->udp_refused++;
            return NULL;
        }
        datagram_peer_end(bk_container_of(front->udp_strangers.next, struct peer, in_age));
    }
    peer = calloc(1, sizeof *peer);
    if (!peer || bk_map_insert(&front->udp_peers, &peer->in_peers, hash) < 0) {
        free(peer);
        return NULL;
    }
    peer->kind = PEER_DATAGRAM;
    peer->front = front;
    peer->udp = listener->datagram;
    peer->addr = *from;
    bk_list_append(&front->udp_strangers, &peer->in_age);
    front->n_udp_peers++;
    bk_addr_host_text(from, ip);
    datagram_local_ip(front, strchr(ip, ':') != NULL, local_ip);
    struct bk_link_info info = {
        .transport = BK_LINK_UDP,
        .ip = bk_view_of_str(ip),
        .port = bk_addr_port(from),
        .net_key = bk_addr_net_key(from),
        .own_network = bk_front_own_network(front, from),
        .local_ip = bk_view_of_str(local_ip),
        .local_port = listener->port,
        .handle = peer,
    };
    if (bk_core_link_open(front->core, &info, &peer->link) < 0) {
        datagram_peer_free(peer);
        return NULL;
    }
    return peer;
}

static void datagram(void *ctx, const struct bk_addr *from, struct bk_view bytes)
{
    struct listener *listener = ctx;
    struct bk_front *front = listener->front;
    struct bk_view text = bk_view_trim(bytes);
    if (!text.len)
        return; /* a keep-alive */
    struct peer *peer = datagram_peer(front, listener, from);
    if (!peer || bytes.len > 65535)
        return;
    peer->last_in_ms = bk_clock_mono_ms(bk_loop_clock(front->loop));
    bk_core_receive(front->core, peer->link, bytes, NULL);
    bk_core_pump(front->core);
}

/* ---- listeners ---- */

static bool admit(void *ctx)
{
    struct bk_front *front = ctx;
    return front->core != NULL && !front->refusing;
}

static int listen_at(struct bk_front *front, const char *kind, bool secure, bool ask,
                     struct bk_view host, uint16_t port)
{
    struct listener *l = &front->listeners[front->n_listeners];
    struct bk_addr at;
    char text[64];

    if (front->n_listeners == LISTENERS_MAX || host.len >= sizeof text)
        return -E2BIG;
    memcpy(text, host.at, host.len);
    text[host.len] = 0;
    int r = bk_addr_parse(text, port, &at);
    if (r < 0)
        return r;
    *l = (struct listener){ .front = front, .kind = kind, .ask = ask, .secure = secure };
    if (!strcmp(kind, "udp")) {
        r = bk_udp_open(front->loop, &at, datagram, l, &l->datagram);
        if (r == 0)
            l->port = bk_udp_port(l->datagram);
    } else {
        const struct bk_settings *s = front->settings;
        struct bk_listen_config config = {
            .at = &at,
            .tls = !secure ? NULL
                   : ask   ? front->tls_ask
                           : front->tls,
            .limits = bk_conn_limits_default,
            .per_ip_strangers_max = (int)s->strangers_per_ip,
            .per_ip_total_max = (int)s->connections_per_ip,
            .per_ip_new_per_s = (int)s->new_per_ip_s,
            .own_strangers_max = (int)s->own_strangers_per_ip,
            .own_new_per_s = (int)s->own_new_per_ip_s,
            .own_network = bk_front_own_network,
            .admit = admit,
            .ops = strcmp(kind, "http") ? &first_ops : &clear_ops,
            .accepted = accepted,
            .ctx = front,
        };
        config.limits.handshake_ms = (int)s->handshake_ms;
        config.limits.first_ms = (int)s->first_request_ms;
        config.limits.torn_ms = (int)s->torn_ms;
        config.limits.out_max = (size_t)s->out_queue;
        config.limits.out_soft = (size_t)s->out_queue / 2;
        r = bk_listen(front->loop, &config, &l->stream);
        if (r == 0)
            l->port = bk_listener_port(l->stream);
    }
    if (r == 0)
        front->n_listeners++;
    return r;
}

/* "127.0.0.1:5061, [::1]:5061": each must bind, but [::] may be missing where there is no IPv6. */
static int listen_all(struct bk_front *front, const char *kind, const char *list, bool secure,
                      bool ask, char **ret_why)
{
    struct bk_view rest = bk_view_of_str(list);
    while (rest.at && rest.len) {
        struct bk_view one = bk_view_trim(bk_view_cut(&rest, ','));
        if (!one.len)
            continue;
        size_t colon = one.len;
        while (colon && one.at[colon - 1] != ':')
            colon--;
        uint64_t port = 0;
        int r = colon ? bk_view_to_u64(bk_view_skip(one, colon), 65535, &port) : -EINVAL;
        struct bk_view host = bk_view_head(one, colon ? colon - 1 : 0);
        if (host.len >= 2 && host.at[0] == '[')
            host = bk_view_head(bk_view_skip(host, 1), host.len - 2);
        if (r == 0)
            r = listen_at(front, kind, secure, ask, host, (uint16_t)port);
        if (r == -EAFNOSUPPORT || (r == -EADDRNOTAVAIL && bk_view_equal(host, BK_VIEW("::"))))
            continue;
        if (r < 0) {
            if (asprintf(ret_why, "cannot listen on %.*s (listen.%s): %s", BK_VIEW_ARGS(one), kind,
                         r == -EINVAL ? "not an address with a port" : strerror(-r)) < 0)
                *ret_why = NULL;
            return r;
        }
    }
    return 0;
}

static int load_tls(struct bk_front *front, struct bk_tls_server **ret,
                    struct bk_tls_server **ret_ask, char **ret_why)
{
    static const char *const alpn[] = { "beckon", "sip", "http/1.1", NULL };
    /* Without "beckon" no client certificate is ever asked for there. */
    struct bk_tls_server_config config = { .chain_file = front->settings->certificate,
                                           .key_file = front->settings->key,
                                           .alpn = alpn + !front->settings->beckon_road };
    int r = bk_tls_server_create(&config, ret, ret_why);
    if (r < 0)
        return r;
    config.ask_certificate_always = true;
    r = bk_tls_server_create(&config, ret_ask, ret_why);
    if (r < 0)
        *ret = bk_tls_server_unref(*ret);
    return r;
}

int bk_front_create(struct bk_loop *loop, const struct bk_settings *settings, struct bk_front **ret)
{
    struct bk_front *front = calloc(1, sizeof *front);
    if (!front)
        return -ENOMEM;
    front->loop = loop;
    front->settings = settings;
    bk_list_init(&front->udp_strangers);
    bk_list_init(&front->udp_signed_in);
    bk_random_fill(&bk_random_system, &front->key, sizeof front->key);
    int r = parse_networks(front, settings->own_networks);
    if (r < 0) {
        free(front);
        return r;
    }
    *ret = front;
    return 0;
}

int bk_front_start(struct bk_front *front, struct bk_core *core, struct bk_http_server *http,
                   char **ret_why)
{
    const struct bk_settings *s = front->settings;
    front->core = core;
    front->http = http;
    *ret_why = NULL;
    int r = load_tls(front, &front->tls, &front->tls_ask, ret_why);
    if (r == 0)
        r = listen_all(front, "tls", s->tls, true, false, ret_why);
    if (r == 0)
        r = listen_all(front, "https", s->https, true, false, ret_why);
    if (r == 0)
        r = listen_all(front, "https-ask", s->https_ask, true, true, ret_why);
    if (r == 0)
        r = listen_all(front, "http", s->http, false, false, ret_why);
    if (r == 0)
        r = listen_all(front, "tcp", s->tcp, false, false, ret_why);
    if (r == 0)
        r = listen_all(front, "udp", s->udp, false, false, ret_why);
    return r;
}

int bk_front_reload(struct bk_front *front, char **ret_why)
{
    struct bk_tls_server *tls, *ask;
    int r = load_tls(front, &tls, &ask, ret_why);
    if (r < 0)
        return r;
    bk_tls_server_unref(front->tls);
    bk_tls_server_unref(front->tls_ask);
    front->tls = tls;
    front->tls_ask = ask;
    for (int i = 0; i < front->n_listeners; i++)
        if (front->listeners[i].secure && front->listeners[i].stream)
            bk_listener_set_tls(front->listeners[i].stream, front->listeners[i].ask ? ask : tls);
    return 0;
}

void bk_front_refuse_all(struct bk_front *front, bool refuse)
{
    front->refusing = refuse;
}

void bk_front_stop_accepting(struct bk_front *front)
{
    for (int i = 0; i < front->n_listeners; i++)
        front->listeners[i].stream = bk_listener_destroy(front->listeners[i].stream);
}

struct bk_front *bk_front_destroy(struct bk_front *front)
{
    if (!front)
        return NULL;
    front->dead = true;
    for (int i = 0; i < front->n_listeners; i++) {
        bk_listener_destroy(front->listeners[i].stream);
        bk_udp_close(front->listeners[i].datagram);
    }
    while (!bk_list_empty(&front->udp_strangers))
        datagram_peer_free(bk_container_of(front->udp_strangers.next, struct peer, in_age));
    while (!bk_list_empty(&front->udp_signed_in))
        datagram_peer_free(bk_container_of(front->udp_signed_in.next, struct peer, in_age));
    bk_map_finish(&front->udp_peers);
    bk_tls_server_unref(front->tls);
    bk_tls_server_unref(front->tls_ask);
    free(front);
    return NULL;
}

uint16_t bk_front_port(const struct bk_front *front, const char *kind)
{
    for (int i = 0; i < front->n_listeners; i++)
        if (!strcmp(front->listeners[i].kind, kind))
            return front->listeners[i].port;
    return 0;
}

void bk_front_stats(const struct bk_front *front, struct bk_front_stats *ret)
{
    *ret = (struct bk_front_stats){ .udp_refused = front->udp_refused };
    for (int i = 0; i < front->n_listeners; i++) {
        struct bk_listener_stats one;
        if (!front->listeners[i].stream)
            continue;
        bk_listener_stats(front->listeners[i].stream, &one);
        ret->listeners.accepted += one.accepted;
        ret->listeners.refused_per_ip += one.refused_per_ip;
        ret->listeners.refused_rate += one.refused_rate;
        ret->listeners.refused_admit += one.refused_admit;
        ret->listeners.no_fds += one.no_fds;
        ret->listeners.open += one.open;
    }
}
