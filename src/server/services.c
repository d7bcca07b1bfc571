/* SPDX-License-Identifier: Apache-2.0 */
/* The service behind HTTPS: which request goes where, and what it may bring with it (docs/https.md). */
#include "server/services_op_private.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "ms/mex.h"
#include "server/password.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

int bk_services_create(const struct bk_services_config *config, struct bk_services **ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    BK_AUTO_BUF struct bk_buf hash = { 0 };
    unsigned char noise[16];
    char password[33];

    pthread_once(&once, services_json_wipes);
    struct bk_services *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->config = *config;
    s->refs = 1;
    memcpy(s->ticket_key.secret, config->ticket_secret, sizeof s->ticket_key.secret);
    struct bk_url url;
    int r = bk_url_parse(bk_view_of_str(config->services_url), &url);
    if (r == 0 && (!url.path.len || url.path.at[url.path.len - 1] != '/'))
        r = -EINVAL;
    if (r == 0 && !(s->path = bk_view_dup(url.path)))
        r = -ENOMEM;
    if (r == 0) {
        bk_random_fill(&bk_random_system, noise, sizeof noise);
        bk_hex_encode(noise, sizeof noise, password);
        r = bk_password_hash(bk_view_of_str(password), config->password_cost, &hash);
    }
    if (r == 0 && !(s->nobody = bk_view_dup(bk_buf_view(&hash))))
        r = -ENOMEM;
    if (r < 0) {
        bk_services_destroy(s);
        return r;
    }
    *ret = s;
    return 0;
}

void services_release(struct bk_services *s)
{
    if (--s->refs > 0)
        return;
    free(s->nobody);
    free(s->path);
    free(s->ticket_uses);
    bk_wipe(&s->ticket_key, sizeof s->ticket_key);
    bk_wipe(s->config.ticket_secret, sizeof s->config.ticket_secret);
    free(s);
}

struct bk_services *bk_services_destroy(struct bk_services *s)
{
    if (s)
        services_release(s);
    return NULL;
}

struct bk_view services_base(const struct bk_services *s)
{
    struct bk_view url = bk_view_of_str(s->config.services_url);
    size_t begin = 8; /* behind https:// */
    return bk_view_head(url, begin + bk_view_find(bk_view_skip(url, begin), '/'));
}

int64_t services_now(const struct bk_services *s)
{
    return bk_clock_real_ms(s->config.clock);
}

/* ---- the table ---- */

enum {
    BODY_MAX = 32 * 1024, /* of somebody who has not proved anything */
    REPORT_MAX = 16 * 1024,
};

static const struct services_body json = { "JSON", "application/json" };
static const struct services_body soap = { "a SOAP envelope", "text/xml" };

/* In the order in which help and metrics list them. */
static const struct services_route routes[] = {
    { "sign-in", ROUTE_BECKON, "POST", BODY_MAX, &json, op_handle, &op_sign_in,
      "address, password, csr -> a certificate for this device" },
    { "renew", ROUTE_BECKON, "POST", BODY_MAX, &json, op_handle, &op_renew,
      "csr, with the present certificate -> a new one" },
    { "revoke", ROUTE_BECKON, "POST", 0, NULL, op_handle, &op_revoke,
      "with the present certificate -> it is worth nothing any more" },
    { "password", ROUTE_BECKON, "POST", BODY_MAX, &json, op_handle, &op_password,
      "address, old, new" },
    { "report", ROUTE_BECKON, "POST", REPORT_MAX, &json, op_handle, &op_report,
      "case and what the client saw" },
    { "", 0, "GET, HEAD", 0, NULL, services_help, NULL, NULL },
    { "/", ROUTE_IN_CLEAR, "GET, HEAD", 0, NULL, services_discover, NULL, NULL },
    { BK_MS_PATH_DISCOVER, ROUTE_ANY_CASE | ROUTE_IN_CLEAR, "GET, HEAD", 0, NULL, services_discover,
      NULL, NULL },
    { BK_MS_PATH_DISCOVER_DOMAIN, ROUTE_ANY_CASE, "GET, HEAD", 0, NULL, services_discover_domain,
      NULL, NULL },
    { BK_MS_PATH_DISCOVER_USER, ROUTE_ANY_CASE, "GET, HEAD", 0, NULL, services_discover_user, NULL,
      NULL },
    { BK_MS_PATH_WEBTICKET_MEX, ROUTE_ANY_CASE | ROUTE_TICKET, "GET, HEAD", 0, NULL,
      services_mex_webticket, NULL, NULL },
    { BK_MS_PATH_WEBTICKET_AUTH, ROUTE_ANY_CASE | ROUTE_TICKET, "POST", BODY_MAX, &soap,
      services_webticket, &op_webticket, NULL },
    { BK_MS_PATH_CERTPROV_MEX, ROUTE_ANY_CASE | ROUTE_TICKET, "GET, HEAD", 0, NULL,
      services_mex_certprov, NULL, NULL },
    { BK_MS_PATH_CERTPROV_PROOF, ROUTE_ANY_CASE | ROUTE_TICKET, "POST", BODY_MAX, &soap, op_handle,
      &op_certprov, NULL },
    { "/health", ROUTE_OWN_NETWORKS, "GET, HEAD", 0, NULL, services_health, NULL, NULL },
    { "/metrics", ROUTE_OWN_NETWORKS, "GET, HEAD", 0, NULL, services_metrics, NULL, NULL },
};
_Static_assert(BK_COUNT_OF(routes) <= SERVICES_ROUTES_MAX, "counts has a row for each route");

const struct services_route *services_route_at(size_t index)
{
    return index < BK_COUNT_OF(routes) ? &routes[index] : NULL;
}

uint64_t *services_counts(struct bk_services *s, const struct services_route *route)
{
    return s->counts[route - routes];
}

bool services_route_on(const struct bk_services *s, const struct services_route *route)
{
    return !((route->flags & ROUTE_BECKON) && s->config.no_beckon) &&
           !((route->flags & ROUTE_TICKET) && s->config.no_tickets);
}

static const struct services_route *find_route(const struct bk_services *s, struct bk_view path)
{
    struct bk_view below = { 0 };
    if (bk_view_starts_with(path, bk_view_of_str(s->path)))
        below = bk_view_skip(path, strlen(s->path));
    for (size_t i = 0; i < BK_COUNT_OF(routes); i++) {
        struct bk_view wanted = bk_view_of_str(routes[i].path);
        bool whole = routes[i].path[0] == '/';
        if (!whole && !below.at)
            continue;
        if (routes[i].flags & ROUTE_ANY_CASE ? bk_view_equal_nocase(path, wanted)
                                             : bk_view_equal(whole ? path : below, wanted))
            return &routes[i];
    }
    return NULL;
}

static bool is_listed(const char *methods, struct bk_view method)
{
    struct bk_view rest = bk_view_of_str(methods);
    while (rest.at)
        if (bk_view_equal(bk_view_trim(bk_view_cut(&rest, ',')), method))
            return true;
    return false;
}

static bool is_of_type(struct bk_view content_type, const char *type)
{
    struct bk_view bare = bk_view_head(content_type, bk_view_find(content_type, ';'));
    return bk_view_equal_nocase(bk_view_trim(bare), bk_view_of_str(type));
}

static bool is_of_own_network(const struct bk_services *s, struct bk_http_exchange *x)
{
    char ip[64];
    struct bk_attempt who;
    services_attempt(s, x, (struct bk_view){ 0 }, ip, &who);
    return who.own_network;
}

/* What the row says of bodies holds. false: it was answered. */
static bool body_is_good(struct bk_services *s, struct bk_http_exchange *x,
                         const struct bk_http_request *request, const struct services_route *route)
{
    char text[160];
    if (!route->body_max)
        return true;
    if (request->body.len > route->body_max) {
        snprintf(text, sizeof text, "The body has %zu bytes; at most %zu are taken.",
                 request->body.len, route->body_max);
        services_say(x, 413, text, -1);
    } else if (!is_of_type(bk_http_field(request, BK_VIEW("Content-Type")), route->body->type)) {
        snprintf(text, sizeof text, "The body must be %s (Content-Type: %s).", route->body->name,
                 route->body->type);
        services_say(x, 415, text, -1);
    } else {
        return true;
    }
    services_counts(s, route)[OUTCOME_BAD]++;
    return false;
}

void bk_services_handle(void *services, struct bk_http_exchange *x,
                        const struct bk_http_request *request)
{
    struct bk_services *s = services;
    const struct services_route *route = find_route(s, request->path);
    bool clear = !bk_conn_is_tls(bk_http_conn(x));

    if (clear)
        bk_http_answer_last(x); /* one question is all there is to ask */
    if (!route || !services_route_on(s, route) ||
        ((route->flags & ROUTE_OWN_NETWORKS) && !is_of_own_network(s, x)))
        services_say(x, 404, "There is nothing at this address.", -1);
    else if (clear && !(route->flags & ROUTE_IN_CLEAR))
        services_say(x, 403, "This is answered over HTTPS only.", -1);
    else if (!is_listed(route->methods, request->method))
        services_say_allowed(x, route->methods);
    else if (body_is_good(s, x, request, route))
        route->handle(s, x, request, route);
}
