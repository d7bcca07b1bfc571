/* SPDX-License-Identifier: Apache-2.0 */
#include "client/discovery.h"

#include "base/cleanup.h"
#include "ms/autodiscover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { REDIRECTS_MAX = 5 };

/* docs/behaviour.md, "Discovery", in order. */
static const struct step {
    enum { STEP_HTTPS, STEP_SRV, STEP_HOST } how;
    const char *prefix;
    uint16_t port;
} steps[] = {
    { STEP_HTTPS, "lyncdiscoverinternal.", 443 }, { STEP_HTTPS, "lyncdiscover.", 443 },
    { STEP_SRV, "_sipinternaltls._tcp.", 0 },     { STEP_SRV, "_sip._tls.", 0 },
    { STEP_HOST, "sipinternal.", 5061 },          { STEP_HOST, "sip.", 5061 },
    { STEP_HOST, "sipexternal.", 443 },
};

struct bk_discovery {
    struct bk_discovery_config config;
    char domain[256];
    size_t next;    /* the step that comes next */
    char name[288]; /* what is being asked */
    char url[1200]; /* HTTPS: of the request under way */
    int redirects;
    struct bk_http_call *call; /* at most one of these two is under way */
    struct bk_dns_query *query;
    struct bk_timer later; /* brings "nothing more" from the loop */
    struct bk_timer silence;
    bool heard; /* somebody answered something */
};

static const struct step *step_of(const struct bk_discovery *d)
{
    return &steps[d->next - 1];
}

static void add_row(struct bk_discovery *d, const char *kind, const char *result,
                    const struct bk_fault *fault)
{
    if (!fault || !fault->silent)
        d->heard = true;
    bk_tried_add(d->config.tried, kind, d->name, result, fault);
}

/* ---- the HTTPS steps ---- */

static void ask_https(struct bk_discovery *d);

static void wrong_answer(struct bk_discovery *d, const char *what)
{
    struct bk_fault fault;
    char why[200];
    (void)snprintf(why, sizeof why, "%.100s: %s", d->name, what);
    bk_fault_set(&fault, 305, 0, d->name, why, d->url);
    add_row(d, "https", what, &fault);
    bk_discovery_next(d);
}

static void offer_document(struct bk_discovery *d, const struct bk_answer_discovery *doc)
{
    struct bk_offer offer = { .methods = doc->methods,
                              .user_required = doc->user_required,
                              .n_servers = doc->n_servers };
    (void)snprintf(offer.kind, sizeof offer.kind, "https");
    (void)snprintf(offer.name, sizeof offer.name, "%s", d->name);
    (void)snprintf(offer.services, sizeof offer.services, "%s", doc->services);
    (void)snprintf(offer.min_client, sizeof offer.min_client, "%.31s", doc->min_client);
    memcpy(offer.servers, doc->servers, sizeof offer.servers);
    add_row(d, "https", "found", NULL);
    d->config.offer(d->config.ctx, &offer);
}

static void read_document(struct bk_discovery *d, struct bk_view body)
{
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_answer_discovery doc;
    const char *why = "out of memory";
    if (bk_answer_discovery_parse(body, &arena, &doc, &why) < 0) {
        wrong_answer(d, why);
        return;
    }
    if (*doc.domain &&
        !bk_view_equal_nocase(bk_view_of_str(doc.domain), bk_view_of_str(d->domain))) {
        wrong_answer(d, "the document is for another domain");
        return;
    }
    offer_document(d, &doc);
}

static void follow(struct bk_discovery *d, struct bk_view to, const char *why_not)
{
    if (++d->redirects > REDIRECTS_MAX) {
        wrong_answer(d, "redirected more than five times");
        return;
    }
    struct bk_url url;
    if (bk_url_parse(to, &url) < 0 || !url.secure || to.len >= sizeof d->url) {
        wrong_answer(d, why_not);
        return;
    }
    memcpy(d->url, to.at, to.len);
    d->url[to.len] = 0;
    ask_https(d);
}

/* The Lync document: a chain of links, and at its end where SIP is spoken. */
static void read_lync_document(struct bk_discovery *d, struct bk_view body)
{
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_ms_autodiscover doc;
    struct bk_offer offer = { .lync = true };
    const char *why = "out of memory";
    if (bk_ms_autodiscover_parse(body, &arena, &doc, &why) < 0) {
        wrong_answer(d, why);
        return;
    }
    struct bk_view next = doc.redirect.len ? doc.redirect : doc.domain.len ? doc.domain : doc.user;
    const struct bk_ms_sip_place places[2] = { doc.outside ? doc.outer : doc.inside,
                                               doc.outside ? doc.inside : doc.outer };
    for (int i = 0; i < 2; i++) {
        struct bk_answer_server *server = &offer.servers[offer.n_servers];
        bool same = i && bk_view_equal_nocase(places[0].host, places[1].host) &&
                    places[0].port == places[1].port;
        if (places[i].port && !same &&
            bk_answer_host_port(places[i].host, places[i].port, server) == 0)
            offer.n_servers++;
    }
    if (!offer.n_servers || doc.redirect.len) {
        follow(d, next, "its Lync document leads to nothing that is an https URL");
        return;
    }
    (void)snprintf(offer.kind, sizeof offer.kind, "https");
    (void)snprintf(offer.name, sizeof offer.name, "%s", d->name);
    add_row(d, "https", "found", NULL);
    d->config.offer(d->config.ctx, &offer);
}

static bool is_lync(struct bk_view content_type)
{
    return bk_view_starts_with_nocase(content_type,
                                      BK_VIEW("application/vnd.microsoft.rtc.autodiscover+xml"));
}

static bool is_json(struct bk_view content_type)
{
    struct bk_view rest = content_type;
    struct bk_view type = bk_view_trim(bk_view_cut(&rest, ';'));
    return bk_view_equal_nocase(type, BK_VIEW("application/json"));
}

static void on_https(void *ctx, const struct bk_http_result *result)
{
    struct bk_discovery *d = ctx;
    d->call = NULL;
    if (result->failure != BK_HTTP_OK) {
        struct bk_fault fault;
        bk_fault_of_http(&fault, result, d->name);
        /* A proxy that could not go on there knows no more than a missing name tells: most domains have but one of these hosts. */
        if (result->failure == BK_HTTP_PROXY && fault.record && fault.record->number == 302)
            fault.record = bk_record_find(301, 0);
        add_row(d, "https",
                result->failure == BK_HTTP_DNS ? bk_dns_result_text(result->dns_result) : fault.why,
                &fault);
        bk_discovery_next(d);
        return;
    }
    if (result->date.len)
        d->config.date(d->config.ctx, result->date);
    char text[96];
    (void)snprintf(text, sizeof text, "HTTP status %d", result->status);
    if (result->status >= 301 && result->status <= 308 && result->location.len)
        follow(d, result->location, "redirected to something that is no https URL");
    else if (result->status != 200)
        wrong_answer(d, text);
    else if (is_lync(result->content_type))
        read_lync_document(d, result->body);
    else if (!is_json(result->content_type))
        wrong_answer(d, "not a discovery document, but some other page");
    else
        read_document(d, result->body);
}

static void ask_https(struct bk_discovery *d)
{
    struct bk_http_call_config call = {
        .method = "GET",
        .url = d->url,
        .tls = d->config.tls,
        .dns = d->config.dns,
        .proxies = d->config.proxies,
        .accept = "application/json, application/vnd.microsoft.rtc.autodiscover+xml;v=1;q=0.5",
        .timeout_ms = d->config.http_ms,
    };
    if (bk_http_call(d->config.loop, &call, on_https, d, &d->call) < 0) {
        d->call = NULL;
        wrong_answer(d, "the request could not be made");
    }
}

static void begin_https(struct bk_discovery *d)
{
    uint16_t port = d->config.https_port ? d->config.https_port : step_of(d)->port;
    d->redirects = 0;
    if (port == 443)
        (void)snprintf(d->url, sizeof d->url, "https://%s/", d->name);
    else
        (void)snprintf(d->url, sizeof d->url, "https://%s:%u/", d->name, port);
    ask_https(d);
}

/* ---- the steps that ask DNS alone ---- */

static void nothing_found(struct bk_discovery *d, const char *kind, enum bk_dns_result result)
{
    struct bk_fault fault;
    bk_fault_of_dns(&fault, result, d->name);
    add_row(d, kind, bk_dns_result_text(result), &fault);
    bk_discovery_next(d);
}

static void on_srv(void *ctx, enum bk_dns_result result, const struct bk_dns_srv *records, int n)
{
    struct bk_discovery *d = ctx;
    d->query = NULL;
    if (result != BK_DNS_FOUND) {
        nothing_found(d, "SRV", result);
        return;
    }
    struct bk_offer offer = { 0 };
    (void)snprintf(offer.kind, sizeof offer.kind, "SRV");
    (void)snprintf(offer.name, sizeof offer.name, "%s", d->name);
    for (int i = 0; i < n && offer.n_servers < BK_ANSWER_SERVERS_MAX; i++) {
        struct bk_answer_server *server = &offer.servers[offer.n_servers];
        if (bk_answer_host_port(bk_view_of_str(records[i].target), records[i].port, server) == 0)
            offer.n_servers++;
    }
    if (!offer.n_servers) { /* RFC 2782: a target of "." */
        struct bk_fault fault;
        bk_fault_set(&fault, 303, 0, d->name, "the record names no server", "");
        add_row(d, "SRV", "names no server", &fault);
        bk_discovery_next(d);
        return;
    }
    add_row(d, "SRV", "found", NULL);
    d->config.offer(d->config.ctx, &offer);
}

static void on_host(void *ctx, enum bk_dns_result result, const struct bk_addr *addrs, int n)
{
    struct bk_discovery *d = ctx;
    (void)addrs;
    d->query = NULL;
    if (result != BK_DNS_FOUND || !n) {
        nothing_found(d, "A", result);
        return;
    }
    struct bk_offer offer = { .n_servers = 1 };
    (void)snprintf(offer.kind, sizeof offer.kind, "A");
    (void)snprintf(offer.name, sizeof offer.name, "%s", d->name);
    (void)snprintf(offer.servers[0].host, sizeof offer.servers[0].host, "%.255s", d->name);
    offer.servers[0].port = step_of(d)->port;
    add_row(d, "A", "found", NULL);
    d->config.offer(d->config.ctx, &offer);
}

/* ---- the walk ---- */

static void say_exhausted(struct bk_timer *timer)
{
    struct bk_discovery *d = bk_container_of(timer, struct bk_discovery, later);
    d->config.exhausted(d->config.ctx);
}

static void stop_asking(struct bk_discovery *d)
{
    if (d->call)
        bk_http_call_cancel(d->call);
    if (d->query)
        bk_dns_cancel(d->query);
    d->call = NULL;
    d->query = NULL;
}

static void end_walk(struct bk_discovery *d)
{
    bk_timer_arm(bk_loop_timers(d->config.loop), &d->later, 0);
}

static void begin_step(struct bk_discovery *d)
{
    (void)snprintf(d->name, sizeof d->name, "%s%s", steps[d->next].prefix, d->domain);
    d->next++;
}

static const char *kind_of(const struct step *step)
{
    return step->how == STEP_HTTPS ? "https" : step->how == STEP_SRV ? "SRV" : "A";
}

/* The name server is as good as not there: what it was not asked it would not answer either. */
static void on_silence(struct bk_timer *timer)
{
    struct bk_discovery *d = bk_container_of(timer, struct bk_discovery, silence);
    struct bk_fault fault;
    if (d->heard || (!d->call && !d->query))
        return;
    const struct bk_tried *tried = d->config.tried;
    const struct bk_record *last = tried->n ? tried->rows[tried->n - 1].fault.record : NULL;
    if (d->call && last &&
        last->number == 306) { /* the proxy is silent, and nobody else was asked yet */
        bk_timer_arm(bk_loop_timers(d->config.loop), &d->silence,
                     bk_clock_mono_ms(bk_loop_clock(d->config.loop)) + d->config.http_ms);
        return;
    }
    stop_asking(d);
    bk_fault_of_dns(&fault, BK_DNS_TIMEOUT, d->name);
    add_row(d, kind_of(step_of(d)), bk_dns_result_text(BK_DNS_TIMEOUT), &fault);
    while (d->next < BK_COUNT_OF(steps)) {
        begin_step(d);
        bk_fault_of_dns(&fault, BK_DNS_TIMEOUT, d->name);
        add_row(d, kind_of(step_of(d)), "not asked any more: nobody answers", &fault);
    }
    end_walk(d);
}

void bk_discovery_next(struct bk_discovery *d)
{
    if (d->next == BK_COUNT_OF(steps)) {
        end_walk(d);
        return;
    }
    begin_step(d);
    const struct step *step = step_of(d);
    switch (step->how) {
    case STEP_HTTPS:
        begin_https(d);
        return;
    case STEP_SRV:
        d->query = bk_dns_srv(d->config.dns, d->name, on_srv, d);
        break;
    case STEP_HOST:
        d->query = bk_dns_host(d->config.dns, d->name, step->port, on_host, d);
        break;
    }
    if (!d->query)
        end_walk(d);
}

int bk_discovery_create(const struct bk_discovery_config *config, struct bk_discovery **ret)
{
    struct bk_discovery *d = calloc(1, sizeof *d);
    if (!d)
        return -ENOMEM;
    d->config = *config;
    (void)snprintf(d->domain, sizeof d->domain, "%s", config->domain);
    d->config.domain = d->domain;
    bk_timer_init(&d->later, say_exhausted);
    bk_timer_init(&d->silence, on_silence);
    if (d->config.silence_ms > 0)
        bk_timer_arm(bk_loop_timers(d->config.loop), &d->silence,
                     bk_clock_mono_ms(bk_loop_clock(d->config.loop)) + d->config.silence_ms);
    *ret = d;
    return 0;
}

struct bk_discovery *bk_discovery_destroy(struct bk_discovery *d)
{
    if (!d)
        return NULL;
    stop_asking(d);
    bk_timer_disarm(bk_loop_timers(d->config.loop), &d->later);
    bk_timer_disarm(bk_loop_timers(d->config.loop), &d->silence);
    free(d);
    return NULL;
}
