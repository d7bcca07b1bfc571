/* SPDX-License-Identifier: Apache-2.0 */
/* REGISTER: the probe that learns where the services are, signing in by certificate, refreshing, leaving. */
#include "base/cleanup.h"
#include "base/text.h"
#include "client/client_private.h"

#include <errno.h>
#include <stdio.h>

enum { LEAVE_MS = 2000, REFRESH_AHEAD_S = 30, RENEW_SOON_MS = 1000 };

static void on_answer(void *owner, const struct bk_sip_msg *msg);

void bk_register_contact(struct bk_client *c, struct bk_buf *to)
{
    size_t user = bk_view_find(bk_view_of_str(c->address), '@');
    if (c->gruu[0]) {
        bk_buf_addf(to, "<%s>", c->gruu);
        return;
    }
    bk_buf_add_lit(to, "<sip:");
    bk_sip_escape_user(to, (struct bk_view){ c->address, user });
    bk_buf_addf(to, "@%s;transport=tls;ob>", bk_link_local(c->link));
}

/* expires -1: none, the probe. */
static void write_register(struct bk_client *c, const struct bk_ask *ask, int expires,
                           struct bk_buf *to)
{
    char date[32];
    BK_AUTO_BUF struct bk_buf contact = { 0 };
    BK_AUTO_BUF struct bk_buf uri = { 0 };
    bk_buf_addf(&uri, "sip:%s", c->domain);
    bk_register_contact(c, &contact);
    bk_time_http(bk_client_real(c), date);
    bk_link_request_begin(c->link, ask, to, BK_SIP_REGISTER, bk_buf_view(&uri));
    bk_sip_field_addf(to, BK_SIP_HDR_FROM, "<sip:%s>;tag=%s", c->address, c->from_tag);
    bk_sip_field_addf(to, BK_SIP_HDR_TO, "<sip:%s>", c->address);
    bk_sip_field_add(to, BK_SIP_HDR_CALL_ID, bk_view_of_str(c->call_id));
    bk_sip_field_addf(to, BK_SIP_HDR_CSEQ, "%u REGISTER", ++c->cseq);
    bk_sip_field_add(to, BK_SIP_HDR_DATE, bk_view_of_str(date));
    if (expires >= 0) {
        bk_buf_addf(&contact, ";reg-id=1;message;+sip.instance=\"<urn:uuid:%s>\"",
                    c->profile.endpoint);
        bk_sip_field_add(to, BK_SIP_HDR_CONTACT, bk_buf_view(&contact));
        bk_sip_field_addf(to, BK_SIP_HDR_EXPIRES, "%d", expires);
        /* A line each: there are servers that compare whole lines. */
        bk_sip_field_add(to, BK_SIP_HDR_SUPPORTED, BK_VIEW("adhoclist"));
        bk_sip_field_add(to, BK_SIP_HDR_SUPPORTED, BK_VIEW("msrtc-event-categories"));
    }
    bk_sip_field_add(to, BK_SIP_HDR_SUPPORTED, BK_VIEW("outbound, path"));
    bk_sip_field_add(to, BK_SIP_HDR_ALLOW, BK_VIEW(SESSION_METHODS));
    bk_sip_end(to, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    if (contact.failed || uri.failed)
        to->failed = true;
}

static void send_register(struct bk_client *c, int expires)
{
    BK_AUTO_BUF struct bk_buf request = { 0 };
    bk_ask_drop(c->registering);
    if (bk_ask_begin(c->link, BK_SIP_REGISTER, on_answer, c, &c->registering) == 0) {
        if (c->offer.lync)
            bk_lync_write_register(c, c->registering, expires == 0, &request);
        else
            write_register(c, c->registering, expires, &request);
        if (!request.failed)
            bk_ask_send(c->registering, bk_buf_view(&request));
    }
    /* Whatever kept it from going out looks like an answer that does not come. */
    bk_timer_arm(bk_client_timers(c), &c->answer_due,
                 bk_client_now(c) + (expires == 0 ? LEAVE_MS : c->timing.answer_ms));
}

void bk_register_send(struct bk_client *c)
{
    const struct bk_answer_server *server = bk_link_server(c->link);
    (void)snprintf(c->state_detail, sizeof c->state_detail, "%s:%u", server->host, server->port);
    send_register(c, c->probing ? -1 : c->timing.expires_s);
}

void bk_register_go_on(struct bk_client *c)
{
    send_register(c, c->timing.expires_s);
}

static void on_refresh(struct bk_timer *timer)
{
    struct bk_client *c = bk_container_of(timer, struct bk_client, refresh);
    if (c->registered && bk_link_is_up(c->link))
        send_register(c, c->timing.expires_s);
}

static void on_renew(struct bk_timer *timer)
{
    struct bk_client *c = bk_container_of(timer, struct bk_client, renew);
    if (!bk_lync_renew(c))
        bk_services_renew(c);
}

static void on_prove(struct bk_timer *timer)
{
    bk_lync_prove_again(bk_container_of(timer, struct bk_client, prove));
}

static void fault_here(struct bk_client *c, unsigned number, const char *why, struct bk_fault *ret)
{
    char where[288];
    const struct bk_answer_server *server = bk_link_server(c->link);
    (void)snprintf(where, sizeof where, "%s:%u", server->host, server->port);
    bk_fault_set(ret, number, 0, where, why, "");
}

static void on_answer_overdue(struct bk_timer *timer)
{
    struct bk_client *c = bk_container_of(timer, struct bk_client, answer_due);
    struct bk_fault fault;
    if (c->state == BK_CLIENT_SIGNING_OUT) {
        bk_client_feed(c, IN_GONE);
        return;
    }
    bool early = c->state == BK_CLIENT_CONTACTING || c->state == BK_CLIENT_REGISTERING;
    fault_here(c, early ? 302 : 314, "the server does not answer REGISTER", &fault);
    bk_register_reset(c);
    if (!early) {
        bk_client_fail(c, &fault);
        return;
    }
    bk_tried_add(&c->tried, "REGISTER", fault.server, "no answer", &fault);
    bk_client_feed(c, IN_NEXT_OFFER);
}

/* ---- answers ---- */

static bool names_our_instance(struct bk_client *c, struct bk_view params)
{
    struct bk_view value;
    if (!bk_sip_param_find(params, BK_VIEW("+sip.instance"), &value))
        return false;
    return bk_view_find_view(value, bk_view_of_str(c->profile.endpoint)) < value.len;
}

/* The seconds granted: the parameter of our Contact, else the Expires field, else what was asked for. */
static int granted_s(struct bk_client *c, const struct bk_sip_msg *msg)
{
    int64_t s = c->timing.expires_s;
    (void)bk_sip_msg_expires(msg, &s);
    for (const struct bk_sip_field *field = bk_sip_msg_field(msg, BK_SIP_HDR_CONTACT); field;
         field = bk_sip_msg_field_next(msg, field)) {
        struct bk_view rest = field->value, value;
        struct bk_sip_addr addr;
        uint64_t n;
        while (bk_sip_addr_next(&rest, &addr) == 1)
            if (names_our_instance(c, addr.params) &&
                bk_sip_param_find(addr.params, BK_VIEW("expires"), &value) &&
                bk_view_to_u64(value, UINT32_MAX, &n) == 0)
                s = (int64_t)n;
    }
    return s < 1 ? 1 : s > 24 * 3600 ? 24 * 3600 : (int)s;
}

static void take_flow_timer(struct bk_client *c, const struct bk_sip_msg *msg)
{
    uint64_t s;
    if (bk_view_to_u64(bk_sip_msg_value(msg, BK_SIP_HDR_FLOW_TIMER), 3600, &s) == 0 && s)
        bk_link_set_ping(c->link, (int)s * 1000);
}

static void remember_server(struct bk_client *c)
{
    const struct bk_answer_server *server = bk_link_server(c->link);
    char where[288];
    if (c->cached_failed) { /* SI-108: it worked out */
        struct bk_fault fault;
        (void)snprintf(where, sizeof where, "%s:%u", server->host, server->port);
        bk_fault_set(&fault, 108, 0, where, "", c->profile.server);
        bk_tell_fault(c, BK_CLIENT_EVENT_NOTICE, &fault, BK_CLIENT_NEXT_STOP, 0);
        c->cached_failed = false;
    }
    memcpy(c->profile.server, server->host, sizeof c->profile.server);
    c->profile.server_port = server->port;
    if (c->offer.services[0])
        memcpy(c->profile.services, c->offer.services, sizeof c->profile.services);
    memcpy(c->profile.sts_uri, c->offer.sts_uri, sizeof c->profile.sts_uri);
    (void)bk_profile_save_state(&c->profile);
    (void)bk_profile_save_last_address(&c->profile);
}

void bk_register_plan_renewal(struct bk_client *c)
{
    if (!c->profile.renew_after_ms || bk_timer_armed(&c->renew))
        return;
    int64_t left = c->profile.renew_after_ms - bk_client_real(c);
    bk_timer_arm(bk_client_timers(c), &c->renew,
                 bk_client_now(c) + (left > RENEW_SOON_MS ? left : RENEW_SOON_MS));
}

static void take_grant(struct bk_client *c, const struct bk_sip_msg *msg)
{
    int s = granted_s(c, msg);
    int ahead = s > 2 * REFRESH_AHEAD_S ? REFRESH_AHEAD_S : s / 2;
    c->registered = true;
    bk_timer_arm(bk_client_timers(c), &c->refresh, bk_client_now(c) + ((int64_t)s - ahead) * 1000);
    take_flow_timer(c, msg);
    if (c->offer.lync)
        bk_lync_granted(c, msg);
    if (c->state != BK_CLIENT_REGISTERING)
        return;
    c->speaks_dialect = bk_dialect_offered(msg);
    remember_server(c);
    bk_register_plan_renewal(c);
    bk_client_feed(c, IN_REGISTERED);
}

/* RFC 3261 8.1.3.4. Where it leads is weighed like any other offer. */
static void redirect(struct bk_client *c, const struct bk_sip_msg *msg)
{
    struct bk_view rest = bk_sip_msg_value(msg, BK_SIP_HDR_CONTACT);
    struct bk_sip_addr addr;
    struct bk_sip_uri uri;
    struct bk_fault fault;
    struct bk_answer_server server;
    char text[300];
    if (++c->redirects > SERVICES_REDIRECTS_MAX) {
        fault_here(c, 221, "redirected more than five times", &fault);
        fault.fatal = true;
        bk_client_fail(c, &fault);
        return;
    }
    if (bk_sip_addr_next(&rest, &addr) != 1 || bk_sip_uri_parse(addr.uri_text, &uri) < 0 ||
        uri.host.len > 255) {
        fault_here(c, 221, "redirected without a readable Contact", &fault);
        bk_client_fail(c, &fault);
        return;
    }
    (void)snprintf(text, sizeof text, uri.host_is_ipv6 ? "[%.*s]:%u" : "%.*s:%u",
                   BK_VIEW_ARGS(uri.host), uri.port ? uri.port : 5061u);
    if (bk_answer_host_port(bk_view_of_str(text), 5061, &server) < 0) {
        fault_here(c, 221, "redirected to no usable host", &fault);
        bk_client_fail(c, &fault);
        return;
    }
    if (strcasecmp(bk_link_server(c->link)->host, server.host) != 0)
        c->trusted_once = false; /* the word was for the host that redirects */
    c->offer.servers[0] = server;
    c->offer.n_servers = 1;
    (void)snprintf(c->offer.kind, sizeof c->offer.kind, "redirect");
    bk_client_feed(c, IN_REDIRECTED);
}

/* Beckon-Services: <https://host:port/beckon/v1/> */
static bool take_services(struct bk_client *c, const struct bk_sip_msg *msg)
{
    struct bk_view url = bk_sip_msg_value(msg, BK_SIP_HDR_BECKON_SERVICES);
    if (url.len > 2 && url.at[0] == '<' && url.at[url.len - 1] == '>')
        url = bk_view_head(bk_view_skip(url, 1), url.len - 2);
    struct bk_url parsed;
    if (!url.len || url.len >= sizeof c->offer.services || url.at[url.len - 1] != '/' ||
        bk_url_parse(url, &parsed) < 0 || !parsed.secure)
        return false;
    memcpy(c->offer.services, url.at, url.len);
    c->offer.services[url.len] = 0;
    return true;
}

/* SI-215: which devices these are, in front of the rest. */
static void name_devices(const struct bk_sip_msg *msg, struct bk_fault *fault)
{
    BK_AUTO_BUF struct bk_buf devices = { 0 };
    bk_answer_devices(msg->body, &devices);
    const char *names = bk_buf_cstr(&devices);
    if (!names || !*names)
        return;
    char rest[120];
    (void)snprintf(rest, sizeof rest, "%s", fault->detail);
    size_t len = strnlen(names, 270);
    while (names[len] && len && ((unsigned char)names[len] & 0xc0) == 0x80)
        len--; /* a name is not cut within a letter */
    (void)snprintf(fault->detail, sizeof fault->detail, "%.*s; %s", (int)len, names, rest);
}

static void refuse(struct bk_client *c, const struct bk_sip_msg *msg)
{
    struct bk_fault fault;
    char status[64];
    bk_client_fault_of_refusal(c, msg, &fault);
    if (!fault.record && msg->status == 401)
        fault.record = bk_record_find(c->probing ? 102 : 105, 0);
    else if (!fault.record)
        fault.record = bk_record_find(msg->status == 404   ? 201
                                      : msg->status == 503 ? 404
                                      : msg->status >= 500 ? 401
                                                           : 222,
                                      0);
    if (fault.record->number == 215)
        name_devices(msg, &fault);
    (void)snprintf(fault.why, sizeof fault.why, "SIP status %d", msg->status);
    (void)snprintf(status, sizeof status, "%d %.*s", msg->status,
                   BK_VIEW_ARGS(bk_view_head(msg->reason, 50)));
    bk_tried_add(&c->tried, "REGISTER", fault.server, status, &fault);
    bk_client_fail(c, &fault);
}

static void on_answer(void *owner, const struct bk_sip_msg *msg)
{
    struct bk_client *c = owner;
    if (!msg) /* answer_due came long before */
        return;
    bk_timer_disarm(bk_client_timers(c), &c->answer_due);
    bk_client_note_date(c, bk_sip_msg_value(msg, BK_SIP_HDR_DATE));
    uint64_t least;
    if (c->state == BK_CLIENT_SIGNING_OUT)
        bk_client_feed(c, IN_GONE);
    else if (c->probing && msg->status == 401 && take_services(c, msg))
        bk_client_feed(c, IN_PROBED);
    else if ((msg->status == 401 || msg->status == 407) && bk_lync_challenged(c, msg))
        return;
    else if (msg->status / 100 == 2 && !c->probing)
        take_grant(c, msg);
    else if (msg->status == 301 || msg->status == 302)
        redirect(c, msg);
    else if (msg->status == 423 &&
             bk_view_to_u64(bk_sip_msg_value(msg, BK_SIP_HDR_MIN_EXPIRES), 24 * 3600, &least) ==
                 0 &&
             (int)least > c->timing.expires_s) {
        c->timing.expires_s = (int)least;
        bk_register_send(c);
    } else {
        refuse(c, msg);
    }
}

/* ---- leaving ---- */

void bk_register_leave(struct bk_client *c)
{
    bk_timer_disarm(bk_client_timers(c), &c->refresh);
    bk_timer_disarm(bk_client_timers(c), &c->renew);
    bk_timer_disarm(bk_client_timers(c), &c->prove);
    c->registered = false;
    send_register(c, 0);
}

void bk_register_reset(struct bk_client *c)
{
    if (!c->refresh.fire) { /* the first time */
        bk_timer_init(&c->refresh, on_refresh);
        bk_timer_init(&c->answer_due, on_answer_overdue);
        bk_timer_init(&c->renew, on_renew);
        bk_timer_init(&c->prove, on_prove);
        bk_random_hex(c->random, 16, c->call_id);
        bk_random_hex(c->random, 8, c->from_tag);
    }
    bk_ask_drop(c->registering);
    bk_lync_reset(c);
    c->registered = false;
    bk_timer_disarm(bk_client_timers(c), &c->refresh);
    bk_timer_disarm(bk_client_timers(c), &c->answer_due);
    bk_timer_disarm(bk_client_timers(c), &c->renew);
    bk_timer_disarm(bk_client_timers(c), &c->prove);
}
