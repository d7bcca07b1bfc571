/* SPDX-License-Identifier: Apache-2.0 */
/* server/services_private.h - what the files of the service share: the table of requests, who asks, how it is answered. */
#ifndef BK_SERVER_SERVICES_PRIVATE_H
#define BK_SERVER_SERVICES_PRIVATE_H

#include "ms/webticket.h"
#include "server/services.h"

#include <jansson.h>

enum outcome { OUTCOME_OK, OUTCOME_REFUSED, OUTCOME_BAD, OUTCOME_COUNT };
enum { SERVICES_ROUTES_MAX = 32 };

struct op_kind;

enum {
    ROUTE_IN_CLEAR = 1 << 0,     /* also over plain HTTP; 403 for all others there */
    ROUTE_OWN_NETWORKS = 1 << 1, /* for all others there is nothing here: 404 */
    ROUTE_ANY_CASE = 1 << 2,     /* the path, however its letters are written */
    ROUTE_BECKON = 1 << 3,       /* only with that way in: bk_services_config.ways */
    ROUTE_TICKET = 1 << 4,
};

/* What a body is: for people, and as Content-Type without parameters. */
struct services_body {
    const char *name, *type;
};

/* One row of the table in services.c. What a row demands is checked before its handler is called, in the order of the members. */
struct services_route {
    /* "sign-in": below the path of services_url, "": that path itself; "/health": as it stands. */
    const char *path;
    unsigned flags;
    const char *methods;              /* 405 for others; as Allow lists them: "GET, HEAD" */
    size_t body_max;                  /* bytes, 413 above; 0: no body is read, whatever came */
    const struct services_body *body; /* 415 for others; NULL where body_max is 0 */
    void (*handle)(struct bk_services *services, struct bk_http_exchange *x,
                   const struct bk_http_request *request, const struct services_route *route);
    const struct op_kind
        *op;          /* what handle begins, services_op_private.h; NULL: answered at once */
    const char *help; /* what goes in, what comes out, for people; NULL: not listed */
};

struct bk_services {
    struct bk_services_config config;
    char *path;   /* of services_url */
    int refs;     /* one of the owner, one of each request under way; the loop's thread only */
    char *nobody; /* the hash that an unknown user's password is compared with */
    uint64_t counts[SERVICES_ROUTES_MAX][OUTCOME_COUNT]; /* in the order of the table */
    uint64_t discoveries;
    struct {
        char case_code[BK_CASE_CODE_SIZE];
        int64_t at_mono;
    } reports[64]; /* the newest, so that two of the same moment are not both taken */
    unsigned next_report;
    struct bk_ms_ticket_key ticket_key;
    struct services_ticket_use *ticket_uses; /* services_ticket.c */
};

/* The table, row by row; NULL behind the last one. */
const struct services_route *services_route_at(size_t index);
/* Is its way in switched on? */
bool services_route_on(const struct bk_services *s, const struct services_route *route);
uint64_t *services_counts(struct bk_services *services, const struct services_route *route);
void services_release(struct bk_services *services);
int64_t services_now(const struct bk_services *services); /* real time, ms */

/* The asker of an exchange; ip is kept in ip_text, which the attempt points to. */
void services_attempt(const struct bk_services *services, struct bk_http_exchange *x,
                      struct bk_view road, char ip_text[64], struct bk_attempt *ret);
/* JSON with Cache-Control: no-store. */
void services_answer(struct bk_http_exchange *x, int status, struct bk_view json);
/*
 * A fault in the request itself, which has no record: {"record":null,..,"text":..,"at":..}. at: byte offset in
 * the body, -1: none.
 */
void services_say(struct bk_http_exchange *x, int status, const char *text, int64_t at);
/* 405 with Allow. */
void services_say_allowed(struct bk_http_exchange *x, const char *allowed);
/* A refusal as prepared by bk_history_refuse. members: JSON members, each with a comma in front, or empty. */
void services_answer_refusal(const struct bk_services *services, struct bk_http_exchange *x,
                             const struct bk_refusal *refusal, struct bk_view members);
/* `"sip":[...]` */
void services_add_sip(const struct bk_services *services, struct bk_buf *to);

/* Whatever JSON is given up is wiped from then on; for the whole process. */
void services_json_wipes(void);
/*
 * The object in a body; the caller gives it up with json_decref. NULL: ret_why says what is wrong, without showing what stands
 * there, and *ret_at where.
 */
json_t *services_json_read(struct bk_view body, char ret_why[160], int64_t *ret_at);
/* Text as json_dumps made it. */
void services_json_free(char *text);
/* A text member; empty where it is missing. false: it is there and is no text of that length: *ret_bad names it. */
bool services_json_text(const json_t *object, const char *name, size_t max, struct bk_view *ret,
                        const char **ret_bad);

/* "https://host:port", what services_url begins with. */
struct bk_view services_base(const struct bk_services *services);
/* A document of the Lync dialect. */
void services_answer_xml(struct bk_http_exchange *x, const char *content_type,
                         const struct bk_buf *xml);
/* A refusal as a SOAP fault with status 200, which is the one place whose text the clients of the dialect show. */
void services_answer_fault(const struct bk_services *services, struct bk_http_exchange *x,
                           const struct bk_refusal *refusal);

/* Handlers that answer at once: discover.c, services_ticket.c and services_status.c. */
void services_discover(struct bk_services *services, struct bk_http_exchange *x,
                       const struct bk_http_request *request, const struct services_route *route);
void services_discover_domain(struct bk_services *services, struct bk_http_exchange *x,
                              const struct bk_http_request *request,
                              const struct services_route *route);
void services_discover_user(struct bk_services *services, struct bk_http_exchange *x,
                            const struct bk_http_request *request,
                            const struct services_route *route);
void services_mex_webticket(struct bk_services *services, struct bk_http_exchange *x,
                            const struct bk_http_request *request,
                            const struct services_route *route);
void services_mex_certprov(struct bk_services *services, struct bk_http_exchange *x,
                           const struct bk_http_request *request,
                           const struct services_route *route);
void services_help(struct bk_services *services, struct bk_http_exchange *x,
                   const struct bk_http_request *request, const struct services_route *route);
void services_health(struct bk_services *services, struct bk_http_exchange *x,
                     const struct bk_http_request *request, const struct services_route *route);
void services_metrics(struct bk_services *services, struct bk_http_exchange *x,
                      const struct bk_http_request *request, const struct services_route *route);
/* Does Accept name JSON? */
bool services_wants_json(const struct bk_http_request *request);

#endif
