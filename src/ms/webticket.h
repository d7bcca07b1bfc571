/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ms/webticket.h - the web ticket: a short-lived token that says who proved a password, for which of our services, and with which
 * proof key (WS-Trust 1.3, [MS-OCAUTHWS]). Asked for with a RequestSecurityToken, given in a SAML 1.1 assertion which clients
 * carry back byte by byte and do not look into.
 */
#ifndef BK_MS_WEBTICKET_H
#define BK_MS_WEBTICKET_H

#include "base/random.h"
#include "ms/ws.h"

enum {
    BK_MS_ENTROPY_MIN = 16,
    BK_MS_ENTROPY_MAX = 64, /* bytes that a client may bring */
    BK_MS_PROOF_BYTES = 32,
    BK_MS_TICKET_ID_SIZE = 64,
    BK_MS_TICKET_LIFE_MS = 5 * 60 * 1000,
    BK_MS_TICKET_SKEW_MS = 5 * 60 * 1000, /* as far as a client's clock may be off */
};

/* What a ticket may be for: the services of one server. */
enum bk_ms_service {
    BK_MS_SERVICE_NONE,
    BK_MS_SERVICE_CERTIFICATES, /* ms/certprov.h; needs a proof key */
    BK_MS_SERVICE_USER,         /* the User document of ms/autodiscover.h */
};

/* ---- the request ---- */

struct bk_ms_rst {
    struct bk_view context;    /* of the client, given back */
    struct bk_view applies_to; /* URL of the service that the ticket is for */
    struct bk_view claimed;    /* the address it says it is, without "sip:"; empty: not said */
    struct bk_view entropy;    /* bytes; empty: none */
    bool has_created;          /* the client said what time it has */
    int64_t created_ms;
};
/* Views live in the arena. -EBADMSG: *ret_why is static text. -ENOMEM. */
int bk_ms_rst_parse(struct bk_view body, struct bk_arena *arena, struct bk_ms_rst *ret,
                    const char **ret_why);

/* ---- the ticket ---- */

/* Known to the servers of one organisation alone; whoever has it makes tickets for everybody. */
struct bk_ms_ticket_key {
    unsigned char secret[32];
};

struct bk_ms_ticket {
    char id[BK_MS_TICKET_ID_SIZE]; /* "SamlSecurityToken-<uuid>" */
    int64_t user_id;
    struct bk_view address; /* of the person, lower case */
    enum bk_ms_service service;
    int64_t issued_ms, expires_ms;
    bool has_proof;
    unsigned char proof[BK_MS_PROOF_BYTES]; /* known to this client and us */
};

/*
 * Appends the RequestSecurityTokenResponseCollection for a ticket of user_id, address and service, valid from now_ms on for
 * BK_MS_TICKET_LIFE_MS. issuer: URL of the service that gives it. -EINVAL: the request's entropy is too short or too long. -ENOMEM.
 */
int bk_ms_ticket_issue(const struct bk_ms_ticket_key *key, const struct bk_random *random,
                       const struct bk_ms_rst *request, enum bk_ms_service service,
                       struct bk_view issuer, int64_t user_id, struct bk_view address,
                       int64_t now_ms, struct bk_buf *to);

enum bk_ms_ticket_state {
    BK_MS_TICKET_GOOD,
    BK_MS_TICKET_UNREADABLE,
    BK_MS_TICKET_FORGED, /* not made with this key, or its visible and its covered half differ */
    BK_MS_TICKET_EXPIRED,
    BK_MS_TICKET_EARLY, /* issued in the future: the server's clock was set back */
    BK_MS_TICKET_NO_MEMORY,
};
/*
 * Reads an Assertion element. *ret is filled for GOOD, EXPIRED and EARLY, its views live in the arena; that it is for the right service is
 * the caller's to check.
 */
enum bk_ms_ticket_state bk_ms_ticket_read(const struct bk_ms_ticket_key *key,
                                          const struct bk_ms_ws *assertion, int64_t now_ms,
                                          struct bk_arena *arena, struct bk_ms_ticket *ret);

/* P_SHA1 of RFC 2246 section 5: len bytes of secret and seed. -EINVAL: a seed of more than BK_MS_SEED_MAX bytes. */
enum { BK_MS_SEED_MAX = 256 };
int bk_ms_p_sha1(struct bk_view secret, struct bk_view seed, unsigned char *ret, size_t len);

#endif
