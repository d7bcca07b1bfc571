/* SPDX-License-Identifier: Apache-2.0 */
/* server/services.h - what is asked over HTTPS: discovery, sign-in, renewal, revocation, password, report, health. */
#ifndef BK_SERVER_SERVICES_H
#define BK_SERVER_SERVICES_H

#include "net/http.h"
#include "net/work.h"
#include "server/authority.h"
#include "server/history.h"

/* Where SIP is spoken, as told to clients (documents of discovery and sign-in). */
struct bk_services_sip {
    const char *host;
    uint16_t port;
    const char *transport; /* "tls" */
    const char *where;     /* "internal", "external" */
};

/* Everything pointed to must outlive the service; hosts, ports and the port in services_url may be filled in before the first request. */
struct bk_services_config {
    struct bk_loop *loop; /* of the bk_http_server that calls bk_services_handle */
    struct bk_work *work; /* password hashes and signatures; a full queue is answered 503 */
    struct bk_store *store;
    struct bk_history *history;
    const struct bk_authority *authority;
    const struct bk_clock *clock;
    const struct bk_random *random; /* also used by the workers: must be safe from every thread */
    const struct bk_log *log;

    const char *host;         /* our own name */
    const char *services_url; /* "https://host:port/beckon/v1/", with the slash at its end */
    const struct bk_services_sip *sip;
    size_t n_sip;
    /* Ways in that are switched off: the sign-in service and its document; web tickets and certificates for them. */
    bool no_beckon, no_tickets;
    int password_cost; /* of new hashes, see bk_password_hash; 0: the default */
    unsigned char ticket_secret
        [32]; /* what web tickets are covered with; the same on all servers of the store */

    /* Which peers are of the own networks; NULL: bk_addr_is_private. */
    bool (*own_network)(void *ctx, const struct bk_addr *peer);
    /* The present snapshot with a reference for the caller. */
    struct bk_directory *(*directory)(void *ctx);
    /* A change was committed. May be NULL. */
    void (*user_changed)(void *ctx, struct bk_view address);
    void (*certificate_revoked)(void *ctx, struct bk_view serial);
    /* /health: appends JSON members, each with a comma in front; false: degraded. May be NULL. */
    bool (*health)(void *ctx, struct bk_buf *members);
    /* /metrics: appends whole OpenMetrics families, without the "# EOF". May be NULL. */
    void (*metrics)(void *ctx, struct bk_buf *families);
    void *ctx;
};

/*
 * The requests under services_url and the bodies (JSON both ways) stand in docs/https.md. The certificate that a client showed is
 * taken from its TLS connection. Nothing here blocks the loop; an answer that acknowledges a change comes after its commit.
 *
 * Paths beside it: "/" answers discovery for any Host; "/health" and "/metrics" answer own networks only; the web services of
 * the Lync dialect stand where its clients look for them (ms/mex.h).
 */
struct bk_services;
int bk_services_create(const struct bk_services_config *config, struct bk_services **ret);
/*
 * Requests under way are finished without an answer when their work ends: destroy the http server, the workers and the store (in
 * any order), step the loop once more, and nothing is left.
 */
struct bk_services *bk_services_destroy(struct bk_services *services);

/* bk_http_server_config.handle, with the services as its ctx. */
void bk_services_handle(void *services, struct bk_http_exchange *x,
                        const struct bk_http_request *request);

#endif
