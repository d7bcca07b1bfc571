/* SPDX-License-Identifier: Apache-2.0 */
/* Where to go, and whether to go there: the servers that are known or found, the person's trust in them, what has to be asked first. */
#include "base/cleanup.h"
#include "base/text.h"
#include "client/client_private.h"

#include <stdio.h>

enum { SILENCE_LEAST_MS = 100 };

void bk_offer_server_text(const struct bk_answer_server *server, char *to, size_t size)
{
    (void)snprintf(to, size, strchr(server->host, ':') ? "[%s]:%u" : "%s:%u", server->host,
                   server->port);
}

/* ---- where to go ---- */

void bk_offer_stop(struct bk_client *c)
{
    c->discovery = bk_discovery_destroy(c->discovery);
    bk_lync_web_stop(c);
    if (c->call)
        bk_http_call_cancel(c->call);
    c->call = NULL;
    bk_register_reset(c);
    bk_presence_reset(c);
    bk_message_reset(c);
    bk_link_close(c->link, 1000);
    bk_timer_disarm(bk_client_timers(c), &c->retry);
    c->offer_open = c->trusted_once = false;
}

/* Which way the remembered server has. */
static void offer_remembered_way(struct bk_client *c)
{
    memcpy(c->offer.services, c->profile.services, sizeof c->offer.services);
    memcpy(c->offer.sts_uri, c->profile.sts_uri, sizeof c->offer.sts_uri);
    c->offer.lync = c->offer.sts_uri[0];
}

static void offer_manual(struct bk_client *c)
{
    c->offer = (struct bk_offer){ .n_servers = c->n_manual };
    memcpy(c->offer.servers, c->manual, sizeof c->manual);
    (void)snprintf(c->offer.kind, sizeof c->offer.kind, "manual");
    bk_offer_server_text(&c->manual[0], c->offer.name, sizeof c->offer.name);
    /* Where it was used before, its services are known. */
    for (int i = 0; i < c->n_manual; i++)
        if (strcmp(c->profile.server, c->manual[i].host) == 0 &&
            c->profile.server_port == c->manual[i].port)
            offer_remembered_way(c);
    c->offer_open = true;
}

static bool offer_cached(struct bk_client *c)
{
    if (!c->tls_own || !c->profile.server[0] || !c->profile.server_port ||
        c->purpose != PURPOSE_SIGN_IN)
        return false;
    c->offer = (struct bk_offer){ .n_servers = 1 };
    memcpy(c->offer.servers[0].host, c->profile.server, sizeof c->profile.server);
    c->offer.servers[0].port = c->profile.server_port;
    offer_remembered_way(c);
    (void)snprintf(c->offer.kind, sizeof c->offer.kind, "cached");
    bk_offer_server_text(&c->offer.servers[0], c->offer.name, sizeof c->offer.name);
    return c->offer_open = true;
}

void bk_offer_look(struct bk_client *c)
{
    bk_offer_stop(c);
    c->network_changed = false;
    if (c->dns_stale && bk_dns_reread(c->dns) == 0)
        c->dns_stale = false;
    bk_tried_clear(&c->tried);
    c->cached_failed = c->manual_shadow = c->shown_105 = false;
    c->redirects = c->n_skews = 0;
    c->begun_ms = bk_client_now(c);
    if (c->n_manual) {
        offer_manual(c);
        bk_offer_weigh(c);
    } else if (offer_cached(c)) {
        bk_offer_weigh(c);
    } else {
        bk_offer_next(c);
    }
}

static void on_offer(void *ctx, const struct bk_offer *offer)
{
    struct bk_client *c = ctx;
    if (c->state != BK_CLIENT_RESOLVING)
        return;
    if (c->manual_shadow) {
        struct bk_fault fault;
        char server[288];
        bk_offer_server_text(&c->manual[0], server, sizeof server);
        bk_fault_set(&fault, 109, 0, server, "", c->tried.n ? c->tried.rows[0].fault.why : "");
        bk_client_fail(c, &fault);
        return;
    }
    c->offer = *offer;
    c->offer_open = true;
    bk_offer_weigh(c);
}

static void on_exhausted(void *ctx)
{
    struct bk_client *c = ctx;
    struct bk_fault fault;
    if (c->state != BK_CLIENT_RESOLVING)
        return;
    bk_tried_judge(&c->tried, c->domain, &fault);
    bk_client_fail(c, &fault);
}

static void on_date(void *ctx, struct bk_view date)
{
    bk_client_note_date(ctx, date);
}

void bk_offer_next(struct bk_client *c)
{
    if (c->offer_open && strcmp(c->offer.kind, "cached") == 0)
        c->cached_failed = true;
    if (c->offer_open && c->n_manual) /* also where it redirected to */
        c->manual_shadow = true;
    c->offer_open = c->trusted_once = false;
    bk_link_close(c->link, 0);
    if (!c->discovery) {
        int64_t left = c->begun_ms + c->timing.silence_ms - bk_client_now(c);
        struct bk_discovery_config config = {
            .loop = c->loop,
            .dns = c->dns,
            .tls = c->tls_web,
            .proxies = c->proxies,
            .domain = c->domain,
            .https_port = c->discovery_port,
            .http_ms =
                c->timing.http_ms < c->timing.connect_ms ? c->timing.http_ms : c->timing.connect_ms,
            /* What the remembered server took is part of it. */
            .silence_ms = left > SILENCE_LEAST_MS ? (int)left : SILENCE_LEAST_MS,
            .tried = &c->tried,
            .offer = on_offer,
            .exhausted = on_exhausted,
            .date = on_date,
            .ctx = c,
        };
        if (bk_discovery_create(&config, &c->discovery) < 0) {
            on_exhausted(c);
            return;
        }
    }
    bk_discovery_next(c->discovery);
}

/* ---- whether to go there ---- */

bool bk_client_trusts(const struct bk_client *c, struct bk_view host)
{
    for (int i = 0; i < c->n_manual; i++)
        if (bk_view_equal_nocase(host, bk_view_of_str(c->manual[i].host)))
            return true;
    return c->trusted_once || bk_answer_host_in_domain(host, bk_view_of_str(c->domain)) ||
           bk_profile_trusts(&c->profile, host);
}

static struct bk_view host_of(const char *text)
{
    struct bk_url url;
    if (!text[0] || bk_url_parse(bk_view_of_str(text), &url) < 0)
        return (struct bk_view){ 0 };
    return url.host;
}

/* The first host of the offer that needs the person's word (SI-114). */
static struct bk_view untrusted_host(struct bk_client *c)
{
    for (int i = 0; i < c->offer.n_servers; i++) {
        struct bk_view host = bk_view_of_str(c->offer.servers[i].host);
        if (!bk_client_trusts(c, host))
            return host;
    }
    const struct bk_view hosts[] = { host_of(c->offer.services), host_of(c->offer.sts_uri),
                                     bk_view_of_str(c->offer.ticket_host) };
    for (size_t i = 0; i < BK_COUNT_OF(hosts); i++)
        if (hosts[i].len && !bk_client_trusts(c, hosts[i]))
            return hosts[i];
    return (struct bk_view){ 0 };
}

static bool too_old(struct bk_client *c)
{
    return bk_answer_version_compare(BK_VIEW(BK_VERSION), bk_view_of_str(c->offer.min_client)) < 0;
}

bool bk_client_has_password(const struct bk_client *c)
{
    return c->password.len > 0;
}

/* A server of the Lync dialect alone: a certificate for the handshake, or the password for a certificate. */
static void weigh_lync(struct bk_client *c)
{
    struct bk_fault fault;
    if (c->purpose == PURPOSE_PASSWORD) {
        bk_fault_set(&fault, 224, 0, c->offer.name,
                     BK_SAY("this server changes no passwords, your administrator does"), "");
        bk_client_fail(c, &fault);
    } else if (!c->offer.sts_uri[0] || !bk_lync_wants_certificate(c)) {
        bk_client_feed(c, IN_CONTACT);
    } else if (!bk_client_has_password(c)) {
        bk_client_feed(c, IN_CREDENTIAL_NEEDED);
    } else {
        bk_client_feed(c, IN_PROVE);
    }
}

/* What the offer lacks decides the next step. */
void bk_offer_weigh(struct bk_client *c)
{
    struct bk_fault fault;
    if (!c->offer_open) {
        bk_offer_look(c);
    } else if (untrusted_host(c).len) {
        bk_client_feed(c, IN_TRUST_NEEDED);
    } else if (c->offer.min_client[0] && too_old(c)) {
        char detail[120];
        (void)snprintf(detail, sizeof detail, "this is %s, the least accepted is %s", BK_VERSION,
                       c->offer.min_client);
        bk_fault_set(&fault, 101, 0, c->offer.name, "", detail);
        bk_client_fail(c, &fault);
    } else if (c->offer.lync) {
        weigh_lync(c);
    } else if ((c->tls_own && c->purpose == PURPOSE_SIGN_IN) || !c->offer.services[0]) {
        bk_client_feed(c, IN_CONTACT);
    } else if (c->offer.methods && !(c->offer.methods & BK_ANSWER_PASSWORD)) {
        bk_fault_set(&fault, 102, 0, c->offer.name, "", "the server takes no password");
        bk_client_fail(c, &fault);
    } else if (!bk_client_has_password(c) || (c->offer.user_required && !c->user[0])) {
        bk_client_feed(c, IN_CREDENTIAL_NEEDED);
    } else {
        bk_client_feed(c, IN_PROVE);
    }
}

void bk_offer_ask_trust(struct bk_client *c)
{
    struct bk_event *event = bk_event_new(c, BK_CLIENT_EVENT_TRUST);
    if (!event)
        return;
    event->pub.trust.address = bk_event_text(event, c->address);
    event->pub.trust.server = bk_event_view(event, untrusted_host(c));
    bk_event_post(c, event);
}

void bk_client_do_trust(struct bk_client *c, enum bk_client_trust_answer answer)
{
    if (c->state != BK_CLIENT_ASKING_TRUST)
        return;
    struct bk_view host = untrusted_host(c);
    if (answer == BK_CLIENT_TRUST_NO) {
        struct bk_fault fault;
        char name[256];
        (void)snprintf(name, sizeof name, "%.*s", BK_VIEW_ARGS(host));
        bk_fault_set(&fault, 114, 0, name, "", "declined");
        bk_client_fail(c, &fault);
        return;
    }
    if (answer == BK_CLIENT_TRUST_ALWAYS) {
        bk_profile_trust(&c->profile, host);
        (void)bk_profile_save_state(&c->profile);
    } else {
        c->trusted_once = true;
    }
    bk_client_feed(c, IN_TRUSTED);
}

void bk_offer_ask_credential(struct bk_client *c)
{
    bk_link_close(c->link, 0);
    struct bk_event *event = bk_event_new(c, BK_CLIENT_EVENT_CREDENTIAL);
    if (!event)
        return;
    event->pub.credential.address = bk_event_text(event, c->address);
    event->pub.credential.user = bk_event_text(event, c->user);
    event->pub.credential.need_user =
        (c->offer.user_required && !c->user[0]) || strcmp(c->why_credential, "SI-203") == 0;
    event->pub.credential.why = bk_event_text(event, c->why_credential);
    bk_event_post(c, event);
}

void bk_client_set_secret(struct bk_buf *to, const char *text)
{
    if (to->at)
        bk_wipe(to->at, to->cap);
    bk_buf_clear(to);
    if (text)
        bk_buf_add_str(to, text);
}

void bk_client_do_credential(struct bk_client *c, const char *password, const char *user)
{
    if (c->state != BK_CLIENT_ASKING_CREDENTIAL)
        return;
    if (password)
        bk_client_set_secret(&c->password, password);
    if (user)
        (void)snprintf(c->user, sizeof c->user, "%s", user);
    c->why_credential[0] = 0;
    bk_client_feed(c, IN_CREDENTIAL);
}
