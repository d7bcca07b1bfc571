/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 3263: from a host to a list of addresses with transport and port. The services to ask for
 * come from what the URI says or from NAPTR; each is asked for SRV; each SRV record's target for
 * its addresses. One question at a time: the order of the list is the order of asking.
 */
#include "net/dns.h"
#include "net/dns_private.h"

#include <stdio.h>
#include <stdlib.h>

enum { SERVICES_MAX = 8, RECORDS_MAX = 16, TARGETS_MAX = 32 };

struct service {
    enum bk_transport transport;
    char name[256]; /* to be asked for SRV */
};

struct bk_dns_targets {
    struct bk_dns *dns;
    struct bk_dns_query *self;
    struct bk_dns_query *sub; /* the question under way */
    char host[256];
    uint16_t port;
    enum bk_transport fallback; /* without SRV: of the bare name */
    bool sips;
    bool any_srv; /* SRV records were there: the bare name is not asked */

    struct service services[SERVICES_MAX];
    int n_services, at_service;
    struct bk_dns_srv records[RECORDS_MAX];
    int n_records, at_record;

    enum bk_dns_result failure; /* the most telling one so far */
    struct bk_sip_target targets[TARGETS_MAX];
    int n_targets;
    void (*done)(void *ctx, enum bk_dns_result result, const struct bk_sip_target *targets, int n);
    void *ctx;
};

static uint16_t default_port(enum bk_transport transport)
{
    return transport == BK_TRANSPORT_TLS ? 5061 : 5060;
}

static void finish(struct bk_dns_targets *t)
{
    bk_dns_targets_done(t->self, t->n_targets ? BK_DNS_FOUND : t->failure);
}

/* A resolver that fails tells more than a name that is not there. */
static void note(struct bk_dns_targets *t, enum bk_dns_result result)
{
    if (result != BK_DNS_FOUND && (t->failure <= BK_DNS_NO_DATA || result > BK_DNS_NO_DATA))
        t->failure = result;
}

static bool resolver_failed(enum bk_dns_result result)
{
    return result != BK_DNS_FOUND && result != BK_DNS_NO_NAME && result != BK_DNS_NO_DATA;
}

static void out_of_memory(struct bk_dns_targets *t)
{
    note(t, BK_DNS_SERVER_FAILED);
    finish(t);
}

static void add_addrs(struct bk_dns_targets *t, enum bk_transport transport,
                      const struct bk_addr *addrs, int n)
{
    for (int i = 0; i < n && t->n_targets < TARGETS_MAX; i++) {
        struct bk_sip_target *to = &t->targets[t->n_targets++];
        to->transport = transport;
        to->addr = addrs[i];
        memcpy(to->host, t->host, sizeof to->host);
    }
}

static void next_record(struct bk_dns_targets *t);
static void next_service(struct bk_dns_targets *t);

static void on_target(void *ctx, enum bk_dns_result result, const struct bk_addr *addrs, int n)
{
    struct bk_dns_targets *t = ctx;
    t->sub = NULL;
    note(t, result);
    add_addrs(t, t->services[t->at_service - 1].transport, addrs, n);
    next_record(t);
}

static void next_record(struct bk_dns_targets *t)
{
    while (t->at_record < t->n_records) {
        const struct bk_dns_srv *record = &t->records[t->at_record++];
        if (!record->target[0])
            continue; /* "decidedly not available at this domain" (RFC 2782) */
        t->sub = bk_dns_host(t->dns, record->target, record->port, on_target, t);
        if (!t->sub)
            out_of_memory(t);
        return;
    }
    next_service(t);
}

static void on_srv(void *ctx, enum bk_dns_result result, const struct bk_dns_srv *records, int n)
{
    struct bk_dns_targets *t = ctx;
    t->sub = NULL;
    note(t, result);
    if (n > 0)
        t->any_srv = true;
    t->n_records = n < RECORDS_MAX ? n : RECORDS_MAX;
    t->at_record = 0;
    if (t->n_records)
        memcpy(t->records, records, (size_t)t->n_records * sizeof *records);
    next_record(t);
}

static void on_bare(void *ctx, enum bk_dns_result result, const struct bk_addr *addrs, int n)
{
    struct bk_dns_targets *t = ctx;
    t->sub = NULL;
    t->failure = result;
    add_addrs(t, t->fallback, addrs, n);
    finish(t);
}

static void ask_bare(struct bk_dns_targets *t)
{
    uint16_t port = t->port ? t->port : default_port(t->fallback);
    t->sub = bk_dns_host(t->dns, t->host, port, on_bare, t);
    if (!t->sub)
        out_of_memory(t);
}

static void next_service(struct bk_dns_targets *t)
{
    if (t->at_service < t->n_services) {
        const struct service *service = &t->services[t->at_service++];
        t->sub = bk_dns_srv(t->dns, service->name, on_srv, t);
        if (!t->sub)
            out_of_memory(t);
        return;
    }
    /* The bare name only where it is known that no SRV record stands before it. */
    if (t->any_srv || resolver_failed(t->failure))
        finish(t);
    else
        ask_bare(t);
}

static bool add_service(struct bk_dns_targets *t, enum bk_transport transport, const char *name)
{
    if (t->n_services == SERVICES_MAX)
        return false;
    struct service *service = &t->services[t->n_services];
    service->transport = transport;
    int n = snprintf(service->name, sizeof service->name, "%s", name);
    if (n <= 0 || n >= (int)sizeof service->name)
        return false;
    t->n_services++;
    return true;
}

static void add_service_of_host(struct bk_dns_targets *t, enum bk_transport transport)
{
    static const char *const prefixes[] = { [BK_TRANSPORT_UDP] = "_sip._udp",
                                            [BK_TRANSPORT_TCP] = "_sip._tcp",
                                            [BK_TRANSPORT_TLS] = "_sips._tcp" };
    char name[300];
    snprintf(name, sizeof name, "%s.%s", prefixes[transport], t->host);
    add_service(t, transport, name);
}

static int transport_of_service(const char *service)
{
    if (strcasecmp(service, "SIPS+D2T") == 0)
        return BK_TRANSPORT_TLS;
    if (strcasecmp(service, "SIP+D2T") == 0)
        return BK_TRANSPORT_TCP;
    return strcasecmp(service, "SIP+D2U") == 0 ? BK_TRANSPORT_UDP : -1;
}

static void on_naptr(void *ctx, enum bk_dns_result result, const struct bk_dns_naptr *records,
                     int n)
{
    (void)result; /* a resolver that knows no NAPTR may still know SRV */
    struct bk_dns_targets *t = ctx;
    t->sub = NULL;
    for (int i = 0; i < n; i++) {
        int transport = transport_of_service(records[i].service);
        if (transport >= 0 && (!t->sips || transport == BK_TRANSPORT_TLS))
            add_service(t, (enum bk_transport)transport, records[i].replacement);
    }
    if (t->n_services == 0) {
        add_service_of_host(t, BK_TRANSPORT_TLS);
        if (!t->sips) {
            add_service_of_host(t, BK_TRANSPORT_TCP);
            add_service_of_host(t, BK_TRANSPORT_UDP);
        }
    }
    next_service(t);
}

/* RFC 3263 4.1: which of the questions is the first. */
static void begin(struct bk_dns_targets *t, int transport)
{
    struct bk_addr literal;
    if (bk_addr_parse(t->host, 0, &literal) == 0 || t->port) {
        ask_bare(t);
    } else if (transport >= 0) {
        add_service_of_host(t, t->fallback);
        next_service(t);
    } else {
        t->sub = bk_dns_naptr(t->dns, t->host, on_naptr, t);
        if (!t->sub)
            out_of_memory(t);
    }
}

struct bk_dns_query *bk_dns_sip_targets(struct bk_dns *dns, const char *host, uint16_t port,
                                        int transport, bool sips,
                                        void (*done)(void *ctx, enum bk_dns_result result,
                                                     const struct bk_sip_target *targets, int n),
                                        void *ctx)
{
    struct bk_dns_targets *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->dns = dns;
    t->port = port;
    t->sips = sips;
    t->done = done;
    t->ctx = ctx;
    t->failure = BK_DNS_NO_DATA;
    /* sips: is always TLS, whatever transport it names (RFC 3261 26.2.2). */
    if (sips)
        t->fallback = BK_TRANSPORT_TLS;
    else
        t->fallback = transport >= 0 ? (enum bk_transport)transport : BK_TRANSPORT_UDP;
    size_t len = strlen(host);
    bool brackets = len > 2 && host[0] == '[' && host[len - 1] == ']';
    snprintf(t->host, sizeof t->host, "%.*s", (int)(brackets ? len - 2 : len), host + brackets);
    t->self = bk_dns_targets_query(dns, t);
    if (!t->self) {
        free(t);
        return NULL;
    }
    if (len >= sizeof t->host) {
        t->failure = BK_DNS_NO_NAME;
        finish(t);
    } else {
        begin(t, transport);
    }
    return t->self;
}

void bk_dns_targets_say(struct bk_dns_targets *t, enum bk_dns_result result)
{
    t->done(t->ctx, result, t->targets, t->n_targets);
}

void bk_dns_targets_free(struct bk_dns_targets *t)
{
    if (!t)
        return;
    bk_dns_cancel(t->sub);
    free(t);
}
