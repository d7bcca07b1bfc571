/* SPDX-License-Identifier: Apache-2.0 */
/* server/core.h - the server without sockets: links in, bytes out, on an injected clock, store and random source. */
#ifndef BK_SERVER_CORE_H
#define BK_SERVER_CORE_H

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/random.h"
#include "base/timers.h"
#include "server/authority.h"
#include "server/directory.h"
#include "server/history.h"
#include "sip/digest.h"

/*
 * One core per thread. It drives n_shards shards: users by keyed hash of their address, with the links, transactions and timers that
 * belong to them. Shards reach each other only through the bus. Everything is called on the core's one thread.
 */
struct bk_core;
struct bk_dsk_side;

/* A link is one connection, or one remote address of a datagram socket. Plain data from whoever owns the socket. */
enum bk_link_transport {
    BK_LINK_UDP,
    BK_LINK_TCP,
    BK_LINK_TLS,
};
struct bk_link_info {
    enum bk_link_transport transport;
    struct bk_view ip; /* text of the peer's address */
    uint16_t port;
    uint64_t net_key; /* bk_addr_net_key */
    bool own_network;
    struct bk_view
        local_ip; /* our end of this very connection: stock clients answer to what our Via says */
    uint16_t local_port;
    struct bk_view client_certificate; /* DER, empty: none shown; copied */
    void *handle;                      /* handed back in the calls below */
};

struct bk_core_ops {
    /* droppable: presence, which may be refused (false) when the link's queue is long. */
    bool (*send)(void *ctx, void *handle, struct bk_view bytes, bool droppable);
    /* After what was sent went out. The owner then calls bk_core_link_gone, or not: both are fine. */
    void (*close)(void *ctx, void *handle);
    void (*pause)(void *ctx, void *handle, bool pause);
    /* Somebody signed in over this link, or (false) nobody is any more. */
    void (*known)(void *ctx, void *handle, bool known);
    int64_t (*last_in_ms)(void *ctx, void *handle);
};

/* The limits of docs/limits.md that are the core's; bk_core_limits_default holds them. Settings change them by name (settings.c). */
struct bk_core_limits {
    int unauthenticated_message_max, unauthenticated_body_max;
    int message_body_max; /* an IM */
    int offline_bytes_max;
    int requests_burst, requests_per_s; /* signed in */
    int requests_burst_stranger, requests_per_s_stranger;
    int unauthenticated_life_ms, idle_ms;
    int subscriptions_per_endpoint, pending_per_link;
    int pending_bytes_per_link, pending_bytes_total; /* of the requests themselves */
    int forks_max;
    int message_wait_ms;     /* 5,000: then stored and 202 */
    int key_life_ms;         /* 600,000 */
    int promised_silence_ms; /* 150,000 */
    int presence_gap_ms;     /* 300: at most one aggregate per person in that time */
    int nonce_life_ms;       /* 300,000 */
};
extern const struct bk_core_limits bk_core_limits_default;

struct bk_core_config {
    unsigned n_shards;      /* 1..64 */
    bool bus_always_queues; /* simulation: nothing is handed over by a plain call */
    const struct bk_clock *clock;
    const struct bk_random *random;
    const struct bk_log *log;
    struct bk_timers *timers;
    struct bk_store *store;
    struct bk_history *history;
    struct bk_directory *directory; /* a reference is taken */
    const struct bk_authority *authority;
    const struct bk_core_ops *ops;
    void *ops_ctx;
    struct bk_core_limits limits;
    const char *host; /* our name in Via, Record-Route, Contact: an fqdn or literal */
    /*
     * The Lync dialect's TLS-DSK: our side of the inner handshakes, and where its clients get their certificates
     * ("https://host:port/CertProv/..."). NULL: it is not offered.
     */
    const struct bk_dsk_side *dsk;
    const char *sts_uri;
    /*
     * For what would keep everybody else waiting: run(arg) on another thread, then done(arg, cancelled) on this one, from outside
     * of any call of the core's; it may be called after links are gone, and not after the core is. false: no room, nothing is
     * called. NULL: it is done at once, where it is asked for.
     */
    bool (*work)(void *ctx, void (*run)(void *arg), void (*done)(void *arg, bool cancelled),
                 void *arg);
    void *work_ctx;
    const char *services_url; /* "https://host:port/beckon/v1/" for Beckon-Services; NULL: none */
    uint8_t
        secret[32]; /* nonces and route tokens; kept in the store so that they survive a restart */
    struct bk_hash_key hash_key;
};
int bk_core_create(const struct bk_core_config *config, struct bk_core **ret);
/* Hard end: nobody is told. */
struct bk_core *bk_core_destroy(struct bk_core *core);

/* 0 with the link's number; -EAGAIN: no more links wanted now. */
int bk_core_link_open(struct bk_core *core, const struct bk_link_info *info, uint64_t *ret_link);
/*
 * One complete message as framing delivered it. The bytes are used during the call only. False: the link should be
 * closed (it was told why). *ret_readable (may be NULL): whether it was SIP.
 */
bool bk_core_receive(struct bk_core *core, uint64_t link, struct bk_view message,
                     bool *ret_readable);
/* A stream that cannot be framed: answers what RFC 3261 asks for, where it can; the owner closes. */
struct bk_sip_fault;
void bk_core_unframed(struct bk_core *core, uint64_t link, struct bk_view bytes,
                      const struct bk_sip_fault *fault);
/* How large a message this link may send now (32 kB before sign-in, 256 kB after). */
size_t bk_core_message_max(const struct bk_core *core, uint64_t link);
enum bk_link_end { BK_LINK_END_CLOSED, BK_LINK_END_LOST }; /* in order, or reset and life signs */
void bk_core_link_gone(struct bk_core *core, uint64_t link, enum bk_link_end why);

/* Handles what waits on the bus and sends the presence news of this burst; call after each burst of receives and timers. */
void bk_core_pump(struct bk_core *core);

/* A change was committed (by beckonctl, the panel, the HTTPS services); takes effect before this returns. */
void bk_core_set_directory(struct bk_core *core, struct bk_directory *dir);
void bk_core_user_changed(
    struct bk_core *core,
    struct bk_view address); /* account, policy, relation: re-judged, sessions ended where needed */
void bk_core_certificate_revoked(struct bk_core *core,
                                 struct bk_view serial); /* sessions signed in with it end */
/* A device password was taken away: who signed in with one proves it anew. */
void bk_core_device_password_changed(struct bk_core *core, struct bk_view address);
/* By an administrator: endpoint empty: all of them. Returns how many sessions were ended. */
int bk_core_sign_out(struct bk_core *core, struct bk_view address, struct bk_view endpoint);

/* Ends the sessions of everybody whose organisation's subscription ran out; call now and then. */
void bk_core_sweep(struct bk_core *core);
/* Memory is short: nobody new signs in (503), who is signed in stays. */
void bk_core_shed(struct bk_core *core, bool shed);
/* Ends every connection, after what was sent went out. */
void bk_core_close_links(struct bk_core *core);

/* Living sessions. */
struct bk_session {
    struct bk_view address, endpoint, client, contact, ip, road, shown;
    int64_t since, expires_at; /* real ms */
};
void bk_core_sessions(struct bk_core *core, struct bk_view address /* empty: all */,
                      void (*each)(void *ctx, const struct bk_session *row), void *ctx);

/* Graceful stop: signed-in clients are told, new requests get 503; returns true once nothing is pending. */
bool bk_core_drain(struct bk_core *core);

/* Counters for metrics: one table in run.c names them. */
enum bk_metric {
    BK_METRIC_LINKS,
    BK_METRIC_ENDPOINTS,
    BK_METRIC_SUBSCRIPTIONS,
    BK_METRIC_TRANSACTIONS, /* now */
    BK_METRIC_REQUESTS,
    BK_METRIC_SIGNINS,
    BK_METRIC_REFUSALS,
    BK_METRIC_MESSAGES_DELIVERED,
    BK_METRIC_MESSAGES_STORED,
    BK_METRIC_MESSAGES_REFUSED,
    BK_METRIC_NOTIFIES,
    BK_METRIC_BAD_MESSAGES,
    BK_METRIC_DROPPED,
    BK_METRIC_CALLS,
    BK_METRIC_COUNT,
};
uint64_t bk_core_metric(const struct bk_core *core, enum bk_metric metric);

#endif
