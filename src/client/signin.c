/* SPDX-License-Identifier: Apache-2.0 */
/* The way from an address to signed in, and what happens when it breaks: docs/behaviour.md, "Sign-in states", as a table. */
#include "base/cleanup.h"
#include "base/text.h"
#include "client/client_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void look_for_server(struct bk_client *c);
static void weigh_offer(struct bk_client *c);
static void next_offer(struct bk_client *c);
static void dial(struct bk_client *c);
static void ask_trust(struct bk_client *c);
static void ask_credential(struct bk_client *c);
static void prove(struct bk_client *c);
static void arrive(struct bk_client *c);
static void settle_down(struct bk_client *c);
static void drop_all(struct bk_client *c);

enum { REPORT_LINGER_MS = 1500, HURRY_MS = 1000, SILENCE_LEAST_MS = 100 };
enum { ANY = BK_CLIENT_STATE_COUNT }; /* every state that no row above names for that input */

static const struct rule {
    unsigned from; /* enum bk_client_state, or ANY */
    enum input on;
    enum bk_client_state to;
    void (*act)(struct bk_client *c);
} rules[] = {
    { ANY, IN_SIGN_IN, BK_CLIENT_RESOLVING, look_for_server },

    { BK_CLIENT_RESOLVING, IN_TRUST_NEEDED, BK_CLIENT_ASKING_TRUST, ask_trust },
    { BK_CLIENT_RESOLVING, IN_CREDENTIAL_NEEDED, BK_CLIENT_ASKING_CREDENTIAL, ask_credential },
    { BK_CLIENT_RESOLVING, IN_CONTACT, BK_CLIENT_CONTACTING, dial },
    { BK_CLIENT_RESOLVING, IN_PROVE, BK_CLIENT_AUTHENTICATING, prove },
    { BK_CLIENT_ASKING_TRUST, IN_TRUSTED, BK_CLIENT_RESOLVING, weigh_offer },
    { BK_CLIENT_ASKING_CREDENTIAL, IN_CREDENTIAL, BK_CLIENT_RESOLVING, weigh_offer },

    { BK_CLIENT_CONTACTING, IN_NEXT_OFFER, BK_CLIENT_RESOLVING, next_offer },
    { BK_CLIENT_CONTACTING, IN_PROBED, BK_CLIENT_RESOLVING, weigh_offer },
    { BK_CLIENT_CONTACTING, IN_UP, BK_CLIENT_REGISTERING, bk_register_send },
    { BK_CLIENT_AUTHENTICATING, IN_NEXT_OFFER, BK_CLIENT_RESOLVING, next_offer },
    { BK_CLIENT_AUTHENTICATING, IN_CERTIFICATE, BK_CLIENT_RESOLVING, weigh_offer },
    { BK_CLIENT_REGISTERING, IN_NEXT_OFFER, BK_CLIENT_RESOLVING, next_offer },
    { BK_CLIENT_REGISTERING, IN_PROBED, BK_CLIENT_RESOLVING, weigh_offer },
    { BK_CLIENT_REGISTERING, IN_REDIRECTED, BK_CLIENT_RESOLVING, weigh_offer },
    { BK_CLIENT_REGISTERING, IN_REGISTERED, BK_CLIENT_PRESENCE, bk_presence_begin },
    { BK_CLIENT_PRESENCE, IN_PRESENT, BK_CLIENT_SIGNED_IN, arrive },

    { ANY, IN_CREDENTIAL_NEEDED, BK_CLIENT_ASKING_CREDENTIAL, ask_credential },
    { ANY, IN_CREDENTIAL, BK_CLIENT_RESOLVING,
      weigh_offer }, /* at hand already, after a discarded certificate */
    { ANY, IN_RETRY, BK_CLIENT_RECONNECTING, settle_down },
    { BK_CLIENT_RECONNECTING, IN_RETRY_DUE, BK_CLIENT_RESOLVING, look_for_server },

    { BK_CLIENT_PRESENCE, IN_SIGN_OUT, BK_CLIENT_SIGNING_OUT, bk_register_leave },
    { BK_CLIENT_SIGNED_IN, IN_SIGN_OUT, BK_CLIENT_SIGNING_OUT, bk_register_leave },
    { BK_CLIENT_SIGNING_OUT, IN_SIGN_OUT, BK_CLIENT_SIGNING_OUT, NULL },
    { ANY, IN_SIGN_OUT, BK_CLIENT_SIGNED_OUT, drop_all },
    { BK_CLIENT_SIGNING_OUT, IN_GONE, BK_CLIENT_SIGNED_OUT, drop_all },
    { ANY, IN_STOP, BK_CLIENT_SIGNED_OUT, drop_all },
};

static bool is_busy(enum bk_client_state state)
{
    switch (state) {
    case BK_CLIENT_RESOLVING:
    case BK_CLIENT_CONTACTING:
    case BK_CLIENT_AUTHENTICATING:
    case BK_CLIENT_REGISTERING:
    case BK_CLIENT_PRESENCE:
        return true;
    default:
        return false;
    }
}

static void enter(struct bk_client *c, enum bk_client_state state)
{
    if (is_busy(state) && !is_busy(c->state))
        bk_timer_arm(bk_client_timers(c), &c->waiting,
                     bk_client_now(c) + c->timing.waiting_text_ms);
    else if (!is_busy(state))
        bk_timer_disarm(bk_client_timers(c), &c->waiting);
    bool changed = c->state != state;
    c->state = state;
    c->state_detail[0] = 0;
    /* SIGNED_OUT and RECONNECTING are told by what enters them, once all is put away. */
    if (changed && state != BK_CLIENT_SIGNED_OUT && state != BK_CLIENT_RECONNECTING &&
        state != BK_CLIENT_CONTACTING)
        bk_tell_state(c, 0);
    bk_log(c->log, BK_LOG_DEBUG, "state", "state", bk_client_state_name(state));
}

void bk_client_feed(struct bk_client *c, enum input input)
{
    for (size_t i = 0; i < BK_COUNT_OF(rules); i++) {
        const struct rule *rule = &rules[i];
        if (rule->on != input || (rule->from != ANY && rule->from != c->state))
            continue;
        enter(c, rule->to);
        if (rule->act)
            rule->act(c);
        return;
    }
    c->unlisted++;
}

static void on_waiting(struct bk_timer *timer)
{
    struct bk_client *c = bk_container_of(timer, struct bk_client, waiting);
    static const char *const what[BK_CLIENT_STATE_COUNT] = {
        [BK_CLIENT_RESOLVING] =
            "still waiting for the answer of a name server or discovery service",
        [BK_CLIENT_CONTACTING] = "still waiting for a connection",
        [BK_CLIENT_AUTHENTICATING] = "still waiting for the sign-in service",
        [BK_CLIENT_REGISTERING] = "still waiting for the server's answer",
        [BK_CLIENT_PRESENCE] = "still waiting for the server's answer",
    };
    if (!is_busy(c->state) || !what[c->state])
        return;
    char detail[sizeof c->state_detail];
    (void)snprintf(detail, sizeof detail, "%s%s%.200s", what[c->state],
                   c->state_detail[0] ? ": " : "", c->state_detail);
    memcpy(c->state_detail, detail, sizeof detail);
    bk_tell_state(c, 0);
}

static void server_text(const struct bk_answer_server *server, char *to, size_t size)
{
    (void)snprintf(to, size, strchr(server->host, ':') ? "[%s]:%u" : "%s:%u", server->host,
                   server->port);
}

/* ---- where to go ---- */

static void stop_looking(struct bk_client *c)
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
    server_text(&c->manual[0], c->offer.name, sizeof c->offer.name);
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
    server_text(&c->offer.servers[0], c->offer.name, sizeof c->offer.name);
    return c->offer_open = true;
}

static void look_for_server(struct bk_client *c)
{
    stop_looking(c);
    c->network_changed = false;
    if (c->dns_stale && bk_dns_reread(c->dns) == 0)
        c->dns_stale = false;
    bk_tried_clear(&c->tried);
    c->cached_failed = c->manual_shadow = c->shown_105 = false;
    c->redirects = c->n_skews = 0;
    c->begun_ms = bk_client_now(c);
    if (c->n_manual) {
        offer_manual(c);
        weigh_offer(c);
    } else if (offer_cached(c)) {
        weigh_offer(c);
    } else {
        next_offer(c);
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
        server_text(&c->manual[0], server, sizeof server);
        bk_fault_set(&fault, 109, 0, server, "", c->tried.n ? c->tried.rows[0].fault.why : "");
        bk_client_fail(c, &fault);
        return;
    }
    c->offer = *offer;
    c->offer_open = true;
    weigh_offer(c);
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

static void next_offer(struct bk_client *c)
{
    if (c->offer_open && strcmp(c->offer.kind, "cached") == 0)
        c->cached_failed = true;
    if (c->offer_open && strcmp(c->offer.kind, "manual") == 0)
        c->manual_shadow = true;
    c->offer_open = c->trusted_once = false;
    bk_link_close(c->link, 0);
    if (!c->discovery) {
        int64_t left = c->begun_ms + c->timing.silence_ms - bk_client_now(c);
        struct bk_discovery_config config = {
            .loop = c->loop,
            .dns = c->dns,
            .tls = c->tls_web,
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

static bool has_password(const struct bk_client *c)
{
    return c->password.len > 0;
}

/* A server of the Lync dialect alone: a certificate for the handshake, or the password for a certificate. */
static void weigh_lync(struct bk_client *c)
{
    struct bk_fault fault;
    if (c->purpose == PURPOSE_PASSWORD) {
        bk_fault_set(&fault, 224, 0, c->offer.name,
                     "this server changes no passwords, your administrator does", "");
        bk_client_fail(c, &fault);
    } else if (!c->offer.sts_uri[0] || !bk_lync_wants_certificate(c)) {
        bk_client_feed(c, IN_CONTACT);
    } else if (!has_password(c)) {
        bk_client_feed(c, IN_CREDENTIAL_NEEDED);
    } else {
        bk_client_feed(c, IN_PROVE);
    }
}

/* What the offer lacks decides the next step. */
static void weigh_offer(struct bk_client *c)
{
    struct bk_fault fault;
    if (!c->offer_open) {
        look_for_server(c);
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
    } else if (!has_password(c) || (c->offer.user_required && !c->user[0])) {
        bk_client_feed(c, IN_CREDENTIAL_NEEDED);
    } else {
        bk_client_feed(c, IN_PROVE);
    }
}

static void ask_trust(struct bk_client *c)
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

static void ask_credential(struct bk_client *c)
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

static void set_secret(struct bk_buf *to, const char *text)
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
        set_secret(&c->password, password);
    if (user)
        (void)snprintf(c->user, sizeof c->user, "%s", user);
    c->why_credential[0] = 0;
    bk_client_feed(c, IN_CREDENTIAL);
}

static void prove(struct bk_client *c)
{
    if (c->purpose == PURPOSE_PASSWORD)
        bk_services_change_password(c);
    else if (c->offer.lync)
        bk_lync_prove(c);
    else
        bk_services_prove(c);
}

/* ---- the connection ---- */

static void dial(struct bk_client *c)
{
    bool known = c->tls_own && c->purpose == PURPOSE_SIGN_IN;
    bool own = known && !c->offer.lync; /* by its TLS; else in REGISTER */
    bool cached = strcmp(c->offer.kind, "cached") == 0;
    server_text(&c->offer.servers[0], c->state_detail, sizeof c->state_detail);
    bk_tell_state(c, 0);
    bk_link_dial(c->link, c->offer.servers, c->offer.n_servers, own ? c->tls_own : c->tls_probe,
                 c->domain, cached ? "cached" : "connect",
                 cached ? c->timing.cached_try_ms : c->timing.connect_ms, &c->tried);
    c->probing = !known;
}

static void on_up(void *ctx)
{
    struct bk_client *c = ctx;
    char where[288];
    server_text(bk_link_server(c->link), where, sizeof where);
    bk_tried_add(&c->tried, "connect", where, "connected", NULL);
    if (c->probing)
        bk_register_send(c);
    else
        bk_client_feed(c, IN_UP);
}

static void on_unreachable(void *ctx)
{
    bk_client_feed(ctx, IN_NEXT_OFFER);
}

static void on_lost(void *ctx, const struct bk_fault *fault)
{
    struct bk_client *c = ctx;
    if (c->state == BK_CLIENT_SIGNING_OUT) {
        bk_client_feed(c, IN_GONE);
        return;
    }
    if (c->state == BK_CLIENT_CONTACTING || c->state == BK_CLIENT_REGISTERING) {
        struct bk_fault early;
        bk_register_reset(c);
        bk_fault_set(&early, 302, 0, fault->server, fault->why, fault->detail);
        bk_tried_add(&c->tried, "REGISTER", fault->server, fault->why, &early);
        bk_client_feed(c, IN_NEXT_OFFER);
        return;
    }
    if (c->state == BK_CLIENT_PRESENCE || c->state == BK_CLIENT_SIGNED_IN)
        bk_client_fail(c, fault);
}

static void arrive(struct bk_client *c)
{
    c->retries = 0;
    c->was_signed_in = true;
    bk_message_flush(c);
}

/* ---- requests of the server ---- */

#define ALLOW "Allow: " SESSION_METHODS "\r\n"

static const char *why_of_end(struct bk_view event)
{
    if (bk_view_equal_nocase(event, BK_VIEW("unregistered")))
        return BK_SAY("you signed in at another place");
    if (bk_view_equal_nocase(event, BK_VIEW("rejected")))
        return BK_SAY("your account may no longer sign in");
    if (bk_view_equal_nocase(event, BK_VIEW("deactivated")))
        return BK_SAY("your account moved to another server");
    return BK_SAY("the server ended the session");
}

/* docs/behaviour.md, "The server ends a session": `deregistered;event=rejected`, the reason in ms-diagnostics. */
static void end_by_server(struct bk_client *c, const struct bk_sip_msg *msg)
{
    struct bk_view params = bk_view_trim(msg->body), event = { 0 };
    (void)bk_view_cut(&params, ';');
    (void)bk_sip_param_find(params, BK_VIEW("event"), &event);
    struct bk_fault fault;
    bk_client_fault_of_refusal(c, msg, &fault);
    if (!fault.record) {
        struct bk_fault named = fault;
        bk_fault_set(&fault, 222, 0, c->offer.name, why_of_end(event), "");
        memcpy(fault.case_code, named.case_code, sizeof fault.case_code);
        if (named.text[0])
            memcpy(fault.text, named.text, sizeof fault.text);
    }
    bool moved = bk_view_equal_nocase(event, BK_VIEW("deactivated"));
    bool service = fault.record->category == BK_CATEGORY_SERVICE && !fault.record->fatal;
    bool goes_on = moved || service;
    bk_tell_fault(c, BK_CLIENT_EVENT_ENDED, &fault,
                  goes_on ? BK_CLIENT_NEXT_RETRY : BK_CLIENT_NEXT_STOP, 0);
    if (moved) /* the remembered server is the wrong one now */
        c->profile.server[0] = 0;
    bk_client_feed(c, goes_on ? IN_RETRY : IN_STOP);
}

static void on_notify(struct bk_client *c, const struct bk_sip_msg *msg,
                      const struct bk_sip_head *head)
{
    struct bk_sip_event event = { 0 };
    (void)bk_sip_event_parse(bk_sip_msg_value(msg, BK_SIP_HDR_EVENT), &event);
    if (bk_view_equal_nocase(event.package, BK_VIEW("presence"))) {
        bk_presence_notify(c, msg, head);
    } else if (bk_view_equal_nocase(event.package, BK_VIEW("registration-notify"))) {
        bk_link_answer(c->link, msg, head, 200, bk_view_of_str(c->from_tag), (struct bk_view){ 0 });
        end_by_server(c, msg);
    } else {
        bk_link_answer(c->link, msg, head, 489, bk_view_of_str(c->from_tag),
                       BK_VIEW("Allow-Events: presence\r\n"));
    }
}

static void on_seal(void *ctx, struct bk_view message, struct bk_buf *to)
{
    bk_lync_seal(ctx, message, to);
}

static bool on_open(void *ctx, const struct bk_sip_msg *msg, const struct bk_sip_head *head)
{
    return bk_lync_open(ctx, msg, head);
}

static void on_request(void *ctx, const struct bk_sip_msg *msg, const struct bk_sip_head *head)
{
    struct bk_client *c = ctx;
    struct bk_view tag = bk_view_of_str(c->from_tag), none = { 0 };
    if (bk_conversation_request(c, msg, head))
        return;
    switch (msg->method) {
    case BK_SIP_MESSAGE:
        bk_message_receive(c, msg, head);
        return;
    case BK_SIP_NOTIFY:
    case BK_SIP_BENOTIFY:
        if (!bk_dialect_notify(c, msg, head))
            on_notify(c, msg, head);
        return;
    case BK_SIP_OPTIONS:
        bk_link_answer(c->link, msg, head, 200, tag,
                       BK_VIEW(ALLOW "Accept: text/plain, application/pidf+xml\r\n"
                                     "Supported: outbound, path\r\n"));
        return;
    case BK_SIP_INVITE: /* no calls from a terminal yet: the caller's other targets go on ringing */
        bk_link_answer(c->link, msg, head, 488, tag, none);
        return;
    case BK_SIP_ACK:
        return;
    case BK_SIP_BYE:
    case BK_SIP_CANCEL:
    case BK_SIP_INFO:
    case BK_SIP_PRACK:
    case BK_SIP_UPDATE:
        bk_link_answer(c->link, msg, head, 481, tag, none);
        return;
    case BK_SIP_SUBSCRIBE:
        bk_link_answer(c->link, msg, head, 489, tag, none);
        return;
    default:
        bk_link_answer(c->link, msg, head, 405, tag, BK_VIEW(ALLOW));
    }
}

/* ---- failures ---- */

void bk_client_fault_of_refusal(struct bk_client *c, const struct bk_sip_msg *msg,
                                struct bk_fault *ret)
{
    struct bk_view value = bk_sip_msg_value(msg, BK_SIP_HDR_MS_DIAGNOSTICS);
    if (!value.len) {
        const struct bk_sip_field *field =
            bk_sip_msg_field_named(msg, BK_VIEW("ms-diagnostics-public"));
        value = field ? field->value : value;
    }
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_answer_refusal refusal = { "", "", "", 0 };
    (void)bk_answer_refusal_parse((struct bk_view){ 0 }, value, &arena, &refusal);
    char server[288] = "", detail[400];
    if (bk_link_is_up(c->link))
        server_text(bk_link_server(c->link), server, sizeof server);
    (void)snprintf(detail, sizeof detail, "%s %.*s: %d %.*s %.*s",
                   msg->status ? "answer to" : "request", BK_VIEW_ARGS(msg->method_name),
                   msg->status, BK_VIEW_ARGS(bk_view_head(msg->reason, 80)),
                   BK_VIEW_ARGS(bk_view_head(value, 200)));
    bk_fault_set(ret, 0, 0, server, "", detail);
    ret->record = *refusal.record ? bk_record_parse(bk_view_of_str(refusal.record)) : NULL;
    (void)snprintf(ret->case_code, sizeof ret->case_code, "%s", refusal.case_code);
    (void)snprintf(ret->text, sizeof ret->text, "%s", refusal.text);
    uint64_t seconds = 0;
    struct bk_view retry = bk_sip_msg_value(msg, BK_SIP_HDR_RETRY_AFTER);
    size_t digits = 0; /* "120 (maintenance);duration=3600" */
    while (digits < retry.len && retry.at[digits] >= '0' && retry.at[digits] <= '9')
        digits++;
    if (digits && bk_view_to_u64(bk_view_head(retry, digits), 24 * 3600, &seconds) == 0)
        ret->retry_after_s = (int)seconds;
}

static int compare_i64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

void bk_client_note_date(struct bk_client *c, struct bk_view date)
{
    int64_t at;
    if (c->n_skews < 3 && bk_time_http_parse(date, &at) == 0)
        c->skews_ms[c->n_skews++] = bk_client_real(c) - at;
}

/* Our clock minus the server's, the median of what was seen. */
static int64_t skew_ms(struct bk_client *c)
{
    if (!c->n_skews)
        return 0;
    int64_t sorted[3];
    memcpy(sorted, c->skews_ms, sizeof sorted);
    qsort(sorted, (size_t)c->n_skews, sizeof *sorted, compare_i64);
    return sorted[c->n_skews / 2];
}

enum { SKEW_MAX_MS = 300 * 1000 };

static int minutes_of(int64_t skew)
{
    return (int)(((skew < 0 ? -skew : skew) + 30000) / 60000);
}

static int retry_delay_ms(struct bk_client *c, int retry_after_s)
{
    int64_t max = c->timing.retry_first_ms;
    for (int i = 0; i < c->retries && max < c->timing.retry_max_ms; i++)
        max *= 2;
    if (max > c->timing.retry_max_ms)
        max = c->timing.retry_max_ms;
    c->retries++;
    /* Full jitter: everybody comes back after a power cut, nobody at the same instant. */
    int64_t delay = (int64_t)(bk_random_u64(c->random) % (uint64_t)max) + 1;
    int64_t floor = (int64_t)retry_after_s * 1000;
    return (int)(delay > floor ? delay : floor + delay % 1000);
}

void bk_client_discard_certificate(struct bk_client *c)
{
    bk_profile_drop_identity(&c->profile);
    (void)bk_profile_save_state(&c->profile);
    c->tls_own = bk_tls_client_unref(c->tls_own);
}

static void reset_connection(struct bk_client *c)
{
    bk_register_reset(c);
    bk_presence_reset(c);
    bk_message_reset(c);
    bk_link_close(c->link, 0);
}

/* What one can do about it decides where the machine goes. */
static void conclude(struct bk_client *c, const struct bk_fault *fault)
{
    unsigned number = fault->record ? fault->record->number : 0;
    if (fault->case_code[0])
        bk_services_report(c, fault);
    reset_connection(c);
    bool certificate = number == 105 || number == 219;
    bool ask = (certificate && !c->shown_105) || (number == 203 && !c->user[0]);
    if (ask && c->purpose == PURPOSE_SIGN_IN) {
        bk_tell_fault(c, BK_CLIENT_EVENT_FAILURE, fault, BK_CLIENT_NEXT_ASK, 0);
        if (certificate) {
            c->shown_105 = true;
            bk_client_discard_certificate(c);
        }
        bk_record_id(fault->record, c->why_credential);
        bk_client_feed(c, certificate && has_password(c) ? IN_CREDENTIAL : IN_CREDENTIAL_NEEDED);
        return;
    }
    bool stop =
        fault->fatal || !fault->record || fault->record->fatal || c->purpose == PURPOSE_PASSWORD;
    if (stop) {
        bk_tell_fault(c, BK_CLIENT_EVENT_FAILURE, fault, BK_CLIENT_NEXT_STOP, 0);
        bk_client_feed(c, IN_STOP);
        return;
    }
    if (c->network_changed) /* what failed was tried on another network than there is now */
        c->retries = 0;
    int delay = retry_delay_ms(c, fault->retry_after_s);
    bk_timer_arm(bk_client_timers(c), &c->retry, bk_client_now(c) + delay);
    bk_tell_fault(c, BK_CLIENT_EVENT_FAILURE, fault, BK_CLIENT_NEXT_RETRY, (delay + 999) / 1000);
    bk_client_feed(c, IN_RETRY);
}

void bk_client_clock_known(struct bk_client *c)
{
    struct bk_fault fault = c->clock_fault;
    int64_t skew = skew_ms(c);
    c->clock_fault = (struct bk_fault){ 0 };
    if (skew > SKEW_MAX_MS || skew < -SKEW_MAX_MS) {
        struct bk_fault clock;
        bk_fault_set(&clock, 104, 0, fault.server, fault.why, fault.detail);
        clock.minutes = minutes_of(skew);
        fault = clock;
    }
    conclude(c, &fault);
}

/* A certificate outside its dates may be right and our clock wrong (SI-104): the server is asked for the time. */
static bool look_at_clock(struct bk_client *c, const struct bk_fault *fault)
{
    const struct bk_record *record = fault->record;
    int64_t not_before, not_after;
    if (!record || record->number != 309 || (record->sub != 'a' && record->sub != 'b') ||
        bk_fault_detail_time(fault->detail, "not before ", &not_before) < 0 ||
        bk_fault_detail_time(fault->detail, "not after ", &not_after) < 0)
        return false;
    c->clock_fault = *fault;
    bk_services_ask_time(c, fault->server,
                         record->sub == 'a' ? not_after - 1000 : not_before + 1000);
    return true;
}

/* An authority is unknown because this computer knows none at all: not the server's fault (SI-110). */
static void look_at_roots(struct bk_client *c, struct bk_fault *fault)
{
    struct bk_fault own;
    if (!fault->record || fault->record->number != 309 || fault->record->sub != 'e' || c->ca_file ||
        c->only_ca_file || bk_tls_system_has_roots())
        return;
    bk_fault_set(&own, 110, 0, fault->server, BK_SAY("it has no list of trusted authorities"),
                 fault->detail);
    *fault = own;
}

void bk_client_fail(struct bk_client *c, const struct bk_fault *fault)
{
    struct bk_fault copy = *fault;
    bk_log(c->log, BK_LOG_NOTICE, "sign-in failed", "record", copy.record ? copy.record->slug : "-",
           "server", copy.server, "case", copy.case_code, "detail", copy.detail);
    if (copy.record && copy.record->number == 104 && !copy.minutes) {
        int64_t skew = skew_ms(c);
        copy.minutes = minutes_of(skew);
    }
    look_at_roots(c, &copy);
    if (!look_at_clock(c, &copy))
        conclude(c, &copy);
}

/* ---- the network of this computer ---- */

/* docs/behaviour.md, "Trying again": at once on network-up. A network that flaps gets one try a second. */
static void hurry(struct bk_client *c)
{
    int64_t now = bk_client_now(c);
    int64_t at = c->hurried_ms && now - c->hurried_ms < HURRY_MS ? c->hurried_ms + HURRY_MS : now;
    c->retries = 0;
    c->hurried_ms = at;
    if (!bk_timer_armed(&c->retry) || c->retry.at_tick * BK_TIMERS_TICK_MS > at)
        bk_timer_arm(bk_client_timers(c), &c->retry, at);
}

void bk_client_do_network_changed(struct bk_client *c)
{
    struct bk_addr local, peer;
    bk_log(c->log, BK_LOG_DEBUG, "the network changed", "state", bk_client_state_name(c->state));
    c->network_changed = c->dns_stale = true;
    if (c->state == BK_CLIENT_RECONNECTING)
        hurry(c);
    else if (bk_link_ends(c->link, &local, &peer) &&
             !c->network.has_way(c->network.ctx, &local, &peer))
        bk_link_give_up(c->link, "this computer's network is gone or another one now");
}

static void on_retry(struct bk_timer *timer)
{
    bk_client_feed(bk_container_of(timer, struct bk_client, retry), IN_RETRY_DUE);
}

static void settle_down(struct bk_client *c)
{
    reset_connection(c);
    c->discovery = bk_discovery_destroy(c->discovery);
    if (!bk_timer_armed(&c->retry))
        bk_timer_arm(bk_client_timers(c), &c->retry, bk_client_now(c) + retry_delay_ms(c, 0));
    int64_t left = c->retry.at_tick * BK_TIMERS_TICK_MS - bk_client_now(c);
    bk_tell_state(c, left > 0 ? (int)((left + 999) / 1000) : 0);
}

/* ---- beginnings and ends ---- */

static void forget_secrets(struct bk_client *c)
{
    set_secret(&c->password, NULL);
    set_secret(&c->new_password, NULL);
    set_secret(&c->new_key, NULL);
}

static void drop_all(struct bk_client *c)
{
    stop_looking(c);
    bk_presence_forget(c);
    bk_message_fail_all(c);
    forget_secrets(c);
    c->tls_own = bk_tls_client_unref(c->tls_own);
    if (c->profile_open)
        bk_profile_close(&c->profile);
    c->profile_open = c->was_signed_in = false;
    c->retries = 0;
    c->why_credential[0] = 0;
    bk_tell_state(c, 0);
    bk_erase_go_on(c);
}

/* SI-111: found before any network. */
static bool check_address(struct bk_client *c, const char *address)
{
    size_t at;
    const char *why;
    if (bk_sip_address_check(bk_view_of_str(address), &at, &why) == 0)
        return true;
    struct bk_fault fault;
    char detail[80];
    (void)snprintf(detail, sizeof detail, "at byte %zu", at);
    bk_fault_set(&fault, 111, 0, "", why, detail);
    (void)snprintf(c->address, sizeof c->address, "%s", address);
    c->domain = "";
    bk_client_fail(c, &fault);
    return false;
}

static void tell_damage(struct bk_client *c)
{
    struct bk_fault fault;
    char detail[120];
    unsigned damage = c->profile.damage;
    if (!damage)
        return;
    (void)snprintf(detail, sizeof detail, "put aside:%s%s%s%s",
                   damage & BK_PROFILE_STATE_DAMAGED ? " state.json" : "",
                   damage & BK_PROFILE_IDENTITY_DAMAGED ? " identity.pem" : "",
                   damage & BK_PROFILE_SHOWN_DAMAGED ? " shown" : "",
                   damage & BK_PROFILE_OUTBOX_DAMAGED ? " outgoing" : "");
    bk_fault_set(&fault, 107, 0, "", "", detail);
    bk_tell_fault(c, BK_CLIENT_EVENT_NOTICE, &fault, BK_CLIENT_NEXT_STOP, 0);
}

/* SI-112: the saved key is there, but what protects it is not. The file stays; the password is asked. */
static void tell_locked(struct bk_client *c)
{
    struct bk_fault fault;
    bk_fault_set(&fault, 112, 0, "", "", strerror(-c->profile.locked));
    bk_tell_fault(c, BK_CLIENT_EVENT_NOTICE, &fault, BK_CLIENT_NEXT_STOP, 0);
    bk_record_id(fault.record, c->why_credential);
}

/* Takes the saved certificate, or tells why it is of no use (SI-105 c, d, e) and discards it. */
static void take_identity(struct bk_client *c)
{
    struct bk_personal_info info;
    struct bk_view pem = bk_buf_view(&c->profile.identity);
    if (c->profile.locked)
        tell_locked(c);
    if (!pem.len)
        return;
    char wrong = bk_personal_check(pem, bk_view_of_str(c->address), &info);
    if (!wrong && bk_services_use_identity(c) == 0)
        return;
    struct bk_fault fault;
    bk_fault_set(&fault, 105, wrong ? wrong : 'c', "", "", "found in the profile");
    bk_tell_fault(c, BK_CLIENT_EVENT_NOTICE, &fault, BK_CLIENT_NEXT_STOP, 0);
    bk_record_id(fault.record, c->why_credential);
    bk_client_discard_certificate(c);
}

static int open_account(struct bk_client *c, const char *address)
{
    if (strncasecmp(address, "sip:", 4) == 0)
        address += 4;
    (void)snprintf(c->address, sizeof c->address, "%s", address);
    bk_text_lower(c->address, strlen(c->address));
    c->domain = strchr(c->address, '@') + 1;
    int r = bk_profile_open(&c->profile, c->keep_nothing ? NULL : c->root, c->address, c->random,
                            c->guard);
    if (r < 0)
        return r;
    c->profile_open = true;
    memcpy(c->user, c->profile.user, sizeof c->user);
    take_identity(c);
    return 0;
}

void bk_client_do_sign_in(struct bk_client *c, enum purpose purpose, const char *address,
                          const char *password, const char *user, const char *new_password)
{
    if (c->state != BK_CLIENT_IDLE && c->state != BK_CLIENT_SIGNED_OUT) {
        /* In order, so that the server need not wait for the old session's life signs to run out. */
        if (c->registered)
            bk_register_leave(c);
        c->state = BK_CLIENT_SIGNED_OUT;
        drop_all(c);
    }
    bk_client_take_connection(c);
    if (!check_address(c, address))
        return;
    c->purpose = purpose;
    if (open_account(c, address) < 0) {
        struct bk_fault fault;
        bk_fault_set(&fault, 107, 0, "", "", "out of memory");
        fault.fatal = true;
        bk_client_fail(c, &fault);
        return;
    }
    set_secret(&c->password, password);
    set_secret(&c->new_password, new_password);
    if (user)
        (void)snprintf(c->user, sizeof c->user, "%s", user);
    bk_client_feed(c, IN_SIGN_IN);
    /* Once it was told whose sign-in this is: a face has a place for them then. */
    if (c->profile_open && c->state != BK_CLIENT_SIGNED_OUT)
        bk_message_load(c);
    if (c->profile_open)
        tell_damage(c);
}

void bk_client_begin(struct bk_client *c)
{
    static const struct bk_link_ops ops = {
        .up = on_up,
        .unreachable = on_unreachable,
        .lost = on_lost,
        .request = on_request,
        .seal = on_seal,
        .open = on_open,
    };
    struct bk_link_config config = {
        .loop = c->loop,
        .dns = c->dns,
        .random = c->random,
        .user_agent = c->user_agent,
        .ping_ms = c->timing.ping_ms,
        .pong_ms = c->timing.pong_ms,
        .ops = &ops,
        .ctx = c,
    };
    c->domain = "";
    bk_timer_init(&c->retry, on_retry);
    bk_timer_init(&c->waiting, on_waiting);
    bk_register_reset(c);
    bk_presence_end(c);
    if (bk_link_create(&config, &c->link) < 0)
        c->link = NULL;
}

void bk_client_end(struct bk_client *c)
{
    if (!c->link)
        return;
    free(c->erase_address);
    c->erase_address = NULL;
    bk_link_close(c->link, 0);
    stop_looking(c);
    /* A program that ends with the failure it shows still hands in its half of the case. */
    int64_t until = bk_client_now(c) + REPORT_LINGER_MS;
    while (c->report && bk_client_now(c) < until)
        (void)bk_loop_step(c->loop, 50);
    if (c->report)
        bk_http_call_cancel(c->report);
    bk_timer_disarm(bk_client_timers(c), &c->waiting);
    bk_presence_end(c);
    bk_message_end(c);
    c->link = bk_link_destroy(c->link);
    bk_signing_finish(&c->signing);
    c->tls_own = bk_tls_client_unref(c->tls_own);
    if (c->profile_open)
        bk_profile_close(&c->profile);
    bk_tried_finish(&c->tried);
    forget_secrets(c);
    bk_buf_finish(&c->password);
    bk_buf_finish(&c->new_password);
    bk_buf_finish(&c->new_key);
    free(c->note);
    c->note = NULL;
}
