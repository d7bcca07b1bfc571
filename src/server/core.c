/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a message: link, parse, who is it, to the shard of its target, handler. */
#include "server/core_private.h"

#include <errno.h>
#include <stdlib.h>

enum {
    FAULTS_MAX = 8,    /* bad messages on one link before it is closed */
    MESSAGES_DEEP = 4, /* messages being handled inside each other */
    LINKS_MAX = 1 << 20,
    SOON_MS = 1000,
};

/* Kinds of frames on the bus. */
enum {
    FRAME_REQUEST = 1,
    FRAME_RESPONSE,
    FRAME_SEND,
    FRAME_CLOSE,
    FRAME_LINK_GONE,
};

const struct bk_core_limits bk_core_limits_default = {
    .unauthenticated_message_max = 32 * 1024,
    .unauthenticated_body_max = 4 * 1024,
    .message_body_max = 20 * 1024,
    .offline_bytes_max = 5 * 1024 * 1024,
    .requests_burst = 1000,
    .requests_per_s = 50,
    .requests_burst_stranger = 20,
    .requests_per_s_stranger = 5,
    .unauthenticated_life_ms = 32 * 1000,
    .idle_ms = 120 * 1000,
    .subscriptions_per_endpoint = 1200,
    .pending_per_link = 1200,
    .forks_max = 10,
    .message_wait_ms = 5000,
    .key_life_ms = 600 * 1000,
    .promised_silence_ms = 150 * 1000,
    .presence_gap_ms = 300,
    .nonce_life_ms = 300 * 1000,
    .clock_skew_max_ms = 300 * 1000,
};

int64_t core_now(const struct bk_core *core)
{
    return bk_clock_mono_ms(core->config.clock);
}

int64_t core_real(const struct bk_core *core)
{
    return bk_clock_real_ms(core->config.clock);
}

const char *transport_name(enum bk_link_transport transport)
{
    static const char *const names[] = { "UDP", "TCP", "TLS" };
    return names[transport];
}

const char *transport_param(enum bk_link_transport transport)
{
    static const char *const names[] = { "udp", "tcp", "tls" };
    return names[transport];
}

struct shard *core_shard_of(struct bk_core *core, struct bk_view address)
{
    if (core->config.n_shards == 1)
        return core->shards;
    return &core->shards[bk_hash(&core->config.hash_key, address) % core->config.n_shards];
}

struct shard *person_shard(struct bk_person *person)
{
    return person->server;
}

/* ---- links ---- */

struct link *core_link(struct bk_core *core, uint64_t id)
{
    uint32_t index = (uint32_t)id - 1;
    if (index >= core->n_links)
        return NULL;
    struct link *link = core->links[index];
    return link && link->id == id ? link : NULL;
}

struct bk_sip_flow link_flow(const struct link *link)
{
    return (struct bk_sip_flow){ link->id, link->transport != BK_LINK_UDP };
}

struct bk_sip_flow asker_flow(const struct asker *asker)
{
    return (struct bk_sip_flow){ asker->link, asker->transport != BK_LINK_UDP };
}

static bool link_send(struct bk_core *core, struct link *link, struct bk_view bytes, bool droppable)
{
    if (link->closing)
        return false;
    if (core->config.ops->send(core->config.ops_ctx, link->handle, bytes, droppable))
        return true;
    core->metrics[BK_METRIC_DROPPED]++;
    return false;
}

bool core_send(struct bk_core *core, uint64_t id, struct bk_view bytes, bool droppable)
{
    struct link *link = core_link(core, id);
    if (!link)
        return false;
    if (!core->config.bus_always_queues)
        return link_send(core, link, bytes, droppable);
    struct bk_bus_frame frame = {
        .to = link->shard->index,
        .kind = FRAME_SEND,
        .head = { (const char *)&id, sizeof id },
        .body = bytes,
    };
    return bk_bus_post(core->bus, &frame) == 0;
}

void core_close_link(struct bk_core *core, uint64_t id)
{
    struct link *link = core_link(core, id);
    if (!link)
        return;
    if (core->config.bus_always_queues) {
        /* Behind what was sent: the frames of one shard stay in order. */
        struct bk_bus_frame frame = { .to = link->shard->index,
                                      .kind = FRAME_CLOSE,
                                      .head = { (const char *)&id, sizeof id } };
        if (bk_bus_post(core->bus, &frame) == 0)
            return;
    }
    link->closing = true;
    core->config.ops->close(core->config.ops_ctx, link->handle);
}

/* A link nobody signed in on lives 32 s; one without sign-in or subscription is closed when idle. */
static void link_timer(struct bk_timer *timer)
{
    struct link *link = bk_container_of(timer, struct link, timer);
    struct bk_core *core = link->shard->core;
    const struct bk_core_limits *limits = &core->config.limits;
    int64_t now = core_now(core);

    if (link->paused) {
        link->paused = false;
        core->config.ops->pause(core->config.ops_ctx, link->handle, false);
    }
    if (!bk_list_empty(&link->bindings) || !bk_list_empty(&link->subscriptions)) {
        bk_timer_arm(core->config.timers, timer, now + limits->idle_ms);
        return;
    }
    int64_t end = link->known ? link->heard_at + limits->idle_ms
                              : link->opened_at + limits->unauthenticated_life_ms;
    if (now >= end)
        core_close_link(core, link->id);
    else
        bk_timer_arm(core->config.timers, timer, end);
}

int bk_core_link_open(struct bk_core *core, const struct bk_link_info *info, uint64_t *ret_link)
{
    if (core->draining || core->open_links >= LINKS_MAX)
        return -EAGAIN;
    uint32_t index = core->free_hint;
    while (index < core->n_links && core->links[index])
        index++;
    if (index == core->n_links) {
        if (core->n_links == core->links_max) {
            uint32_t max = core->links_max ? core->links_max * 2 : 64;
            struct link **links = realloc(core->links, max * sizeof(struct link *));
            if (links)
                core->links = links;
            uint32_t *generations = realloc(core->generations, max * sizeof *generations);
            if (generations)
                core->generations = generations;
            if (!links || !generations)
                return -ENOMEM;
            core->links_max = max;
        }
        core->generations[core->n_links] = (uint32_t)bk_random_u64(core->config.random);
        core->links[core->n_links++] = NULL;
    }
    struct link *link = calloc(1, sizeof *link);
    if (!link)
        return -ENOMEM;
    if (info->client_certificate.len) {
        link->certificate = calloc(1, sizeof *link->certificate);
        if (link->certificate)
            bk_buf_add_view(link->certificate, info->client_certificate);
        if (!link->certificate || link->certificate->failed) {
            free(link->certificate);
            free(link);
            return -ENOMEM;
        }
    }
    link->id = (uint64_t)++core->generations[index] << 32 | (index + 1);
    link->shard = &core->shards[index % core->config.n_shards];
    link->handle = info->handle;
    link->transport = info->transport;
    link->port = info->port;
    link->local_port = info->local_port;
    link->own_network = info->own_network;
    link->net_key = info->net_key;
    memcpy(link->ip, info->ip.at, info->ip.len < 45 ? info->ip.len : 45);
    memcpy(link->local_ip, info->local_ip.at, info->local_ip.len < 45 ? info->local_ip.len : 45);
    bk_list_init(&link->bindings);
    bk_list_init(&link->subscriptions);
    link->opened_at = link->refilled_at = link->heard_at = core_now(core);
    link->tokens_milli = (int64_t)core->config.limits.requests_burst_stranger * 1000;
    bk_timer_init(&link->timer, link_timer);
    bk_timer_arm(core->config.timers, &link->timer,
                 link->opened_at + core->config.limits.unauthenticated_life_ms);
    core->links[index] = link;
    core->free_hint = index + 1;
    core->open_links++;
    *ret_link = link->id;
    return 0;
}

static void shard_link_gone(struct shard *shard, uint64_t link)
{
    bk_sip_txs_flow_gone(shard->txs, link);
}

void bk_core_link_gone(struct bk_core *core, uint64_t id, enum bk_link_end why)
{
    struct link *link = core_link(core, id);
    if (!link)
        return;
    link->closing = true;
    registrar_link_gone(core, link, why);
    for (unsigned i = 0; i < core->config.n_shards; i++) {
        if (core->config.bus_always_queues) {
            struct bk_bus_frame frame = { .to = i,
                                          .kind = FRAME_LINK_GONE,
                                          .head = { (const char *)&id, sizeof id } };
            if (bk_bus_post(core->bus, &frame) == 0)
                continue;
        }
        shard_link_gone(&core->shards[i], id);
    }
    uint32_t index = (uint32_t)id - 1;
    bk_timer_disarm(core->config.timers, &link->timer);
    if (link->certificate)
        bk_buf_finish(link->certificate);
    free(link->certificate);
    free(link->personal);
    free(link);
    core->links[index] = NULL;
    if (index < core->free_hint)
        core->free_hint = index;
    core->open_links--;
}

size_t bk_core_message_max(const struct bk_core *core, uint64_t id)
{
    struct link *link = core_link((struct bk_core *)core, id);
    return link && link->known ? BK_SIP_MESSAGE_BYTES_MAX
                               : (size_t)core->config.limits.unauthenticated_message_max;
}

/* Takes one request out of the link's bucket. false: UDP, and it is empty. */
static bool link_may_ask(struct bk_core *core, struct link *link, int64_t now)
{
    const struct bk_core_limits *limits = &core->config.limits;
    int64_t burst = link->known ? limits->requests_burst : limits->requests_burst_stranger;
    int64_t rate = link->known ? limits->requests_per_s : limits->requests_per_s_stranger;

    link->tokens_milli += (now - link->refilled_at) * rate;
    if (link->tokens_milli > burst * 1000)
        link->tokens_milli = burst * 1000;
    link->refilled_at = now;
    link->heard_at = now;
    if (link->tokens_milli >= 1000 || link->transport != BK_LINK_UDP)
        link->tokens_milli -= 1000;
    else
        return false;
    if (link->tokens_milli < 1000 && !link->paused) {
        /* Nothing is refused or lost on a stream: it is just read later. */
        link->paused = true;
        core->config.ops->pause(core->config.ops_ctx, link->handle, true);
        bk_timer_arm(core->config.timers, &link->timer,
                     now + (1000 - link->tokens_milli) / rate + 1);
    }
    return true;
}

/* ---- answers ---- */

void core_to_tag(const struct bk_core *core, const struct bk_sip_head *head, char ret[17])
{
    uint64_t h = bk_hash(&core->config.hash_key, head->call_id) ^
                 (bk_hash(&core->config.hash_key, head->from_tag) << 1);
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++, h >>= 4)
        ret[i] = digits[h & 15];
    ret[16] = 0;
}

static void answer_begin(const struct request *rq, int status, struct bk_view reason)
{
    struct bk_core *core = rq->core;
    char tag[17];
    core_to_tag(core, rq->head, tag);
    bk_buf_clear(&core->out);
    struct bk_sip_source source = { bk_view_of_str(rq->asker.ip), rq->asker.port };
    bk_sip_response_begin(&core->out, rq->msg, status, reason,
                          status == 100 ? (struct bk_view){ 0 } : bk_view_of_str(tag), &source);
}

static void answer_send(const struct request *rq, int status)
{
    struct bk_core *core = rq->core;
    if (core->out.failed)
        return;
    bool udp = rq->asker.transport == BK_LINK_UDP;
    if (udp && rq->identity.len && rq->shard && rq->msg->method != BK_SIP_ACK) {
        /* A datagram may come again: its answer is kept as long as RFC 3261 17.2.2 says. */
        struct bk_sip_tx *tx;
        if (bk_sip_tx_server_create(rq->shard->txs, asker_flow(&rq->asker), rq->msg, rq->head, NULL,
                                    NULL, &tx) == 0) {
            bk_sip_tx_respond(tx, status, bk_buf_view(&core->out));
            bk_sip_tx_forget(tx);
            return;
        }
    }
    /* Never more than twice the bytes to an address that may be forged. */
    if (udp && !rq->identity.len && core->out.len > 2 * rq->msg->bytes.len) {
        core->metrics[BK_METRIC_DROPPED]++;
        return;
    }
    core_send(core, rq->asker.link, bk_buf_view(&core->out), false);
}

void answer_body(const struct request *rq, int status, struct bk_view reason, struct bk_view extra,
                 struct bk_view content_type, struct bk_view body)
{
    if (rq->msg->method == BK_SIP_ACK)
        return;
    answer_begin(rq, status, reason);
    bk_buf_add_view(&rq->core->out, extra);
    bk_sip_end(&rq->core->out, content_type, body);
    answer_send(rq, status);
}

void answer(const struct request *rq, int status, struct bk_view reason, struct bk_view extra)
{
    answer_body(rq, status, reason, extra, (struct bk_view){ 0 }, (struct bk_view){ 0 });
}

void refusal_lines(struct bk_core *core, const struct bk_refusal *refusal, struct bk_buf *to)
{
    struct bk_buf value = { 0 };
    bk_refusal_diagnostics(core->config.history, refusal, &value);
    bk_sip_field_add(to, BK_SIP_HDR_MS_DIAGNOSTICS, bk_buf_view(&value));
    bk_buf_clear(&value);
    bk_buf_addf(&value, "399 %s ", core->config.host);
    struct bk_buf text = { 0 };
    bk_buf_addf(&text, "%s (%s)", refusal->text, refusal->case_code);
    bk_sip_quote(&value, bk_buf_view(&text));
    bk_sip_field_add(to, BK_SIP_HDR_WARNING, bk_buf_view(&value));
    if (refusal->retry_after_s > 0)
        bk_sip_field_addf(to, BK_SIP_HDR_RETRY_AFTER, "%d", refusal->retry_after_s);
    bk_buf_finish(&value);
    bk_buf_finish(&text);
}

void refuse_with(const struct request *rq, const struct bk_refusal *refusal, struct bk_view extra)
{
    struct bk_core *core = rq->core;
    core->metrics[BK_METRIC_REFUSALS]++;
    if (rq->msg->method == BK_SIP_ACK)
        return;
    /* All that some clients show is the reason phrase (tests/interop/README.md). */
    answer_begin(rq, refusal->status, bk_view_of_str(refusal->text));
    refusal_lines(core, refusal, &core->out);
    bk_buf_add_view(&core->out, extra);
    bk_sip_end(&core->out, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    answer_send(rq, refusal->status);
}

void refuse(const struct request *rq, unsigned number, char sub, int status,
            const char *const *values)
{
    static const char *const busy[] = { "seconds", "10", NULL };
    struct bk_refusal refusal;
    struct bk_attempt attempt;
    int retry_after_s =
        number == 404 || number == 408 ? 10 : 0; /* SI-404 busy, SI-408 maintenance */

    attempt_of(rq, rq->identity.len ? rq->identity : rq->head->from_uri, 0,
               bk_sip_method_name(rq->msg->method), (struct bk_view){ 0 }, &attempt);
    bk_history_refuse(rq->core->config.history, &attempt, bk_record_find(number, sub), false, true,
                      (struct bk_view){ 0 }, retry_after_s,
                      values || !retry_after_s ? values : busy, &refusal);
    if (status)
        refusal.status = status;
    refuse_with(rq, &refusal, (struct bk_view){ 0 });
}

/* ---- our own names ---- */

/* These lines stand in every message: written without printf. */
static void add_host(struct bk_buf *to, const char *ip)
{
    bool v6 = strchr(ip, ':') != NULL;
    if (v6)
        bk_buf_add_char(to, '[');
    bk_buf_add_str(to, ip);
    if (v6)
        bk_buf_add_char(to, ']');
}

void core_via_head(struct bk_core *core, const struct link *link, struct bk_buf *to)
{
    (void)core;
    bk_buf_add_lit(to, "SIP/2.0/");
    bk_buf_add_str(to, transport_name(link->transport));
    bk_buf_add_char(to, ' ');
    add_host(to, link->local_ip);
    bk_buf_add_char(to, ':');
    bk_buf_add_u64(to, link->local_port);
    bk_buf_add_lit(to, ";rport");
}

void core_own_uri(const struct asker *asker, struct bk_view user, struct bk_buf *to)
{
    bk_buf_add_lit(to, "<sip:");
    if (user.len) {
        bk_sip_escape_user(to, user);
        bk_buf_add_char(to, '@');
    }
    add_host(to, asker->local_ip);
    bk_buf_add_char(to, ':');
    bk_buf_add_u64(to, asker->local_port);
    bk_buf_add_lit(to, ";transport=");
    bk_buf_add_str(to, transport_param(asker->transport));
    bk_buf_add_char(to, '>');
}

/* Does this host name us: our name, or our end of the very connection. */
static bool names_us(const struct bk_core *core, const struct link *link,
                     const struct bk_sip_uri *uri)
{
    if (bk_view_equal_nocase(uri->host, bk_view_of_str(core->config.host)))
        return true;
    return bk_view_equal(uri->host, bk_view_of_str(link->local_ip)) &&
           (uri->port == 0 || uri->port == link->local_port);
}

/* ---- requests ---- */

/*
 * What is the request for? Fills target, and route where our own token leads. 0; 404: no domain of
 * ours; 416: no scheme of ours; 400: unreadable.
 */
static int find_target(struct request *rq, const struct link *link)
{
    const struct bk_view route_prefix = BK_VIEW("bkr-");
    struct bk_core *core = rq->core;
    struct bk_sip_uri uri;

    bk_buf_clear(&core->target);
    if (rq->msg->method == BK_SIP_REGISTER) {
        if (bk_sip_uri_parse(rq->head->to_uri, &uri) < 0 || bk_sip_uri_aor(&uri, &core->target) < 0)
            return 400;
        rq->target = bk_buf_view(&core->target);
        return 0;
    }
    /* On a link of ours the first Route can only mean us, whatever name it uses; a token leads further. */
    struct bk_view routes = bk_sip_msg_value(rq->msg, BK_SIP_HDR_ROUTE);
    struct bk_sip_addr route;
    if (routes.len && bk_sip_addr_next(&routes, &route) == 1 &&
        bk_sip_uri_parse(route.uri_text, &uri) == 0 &&
        bk_view_starts_with(uri.user, route_prefix)) {
        rq->route = bk_view_skip(uri.user, route_prefix.len);
        return 0;
    }
    if (bk_sip_uri_parse(rq->msg->uri, &uri) < 0)
        return 400;
    if (uri.scheme == BK_SIP_SCHEME_OTHER &&
        !bk_view_equal_nocase(uri.scheme_name, BK_VIEW("im")) &&
        !bk_view_equal_nocase(uri.scheme_name, BK_VIEW("pres")))
        return 416;
    if (uri.scheme != BK_SIP_SCHEME_OTHER && names_us(core, link, &uri)) {
        /* "ann%40example.org" at our host: the Contact we gave for a person's presence. */
        bk_buf_clear(&core->token);
        if (bk_sip_unescape(uri.user, &core->token) < 0)
            return 400;
        struct bk_view user = bk_buf_view(&core->token);
        if (bk_view_find(user, '@') < user.len) {
            bk_text_lower(core->token.at, core->token.len);
            bk_buf_add_view(&core->target, user);
            rq->target = bk_buf_view(&core->target);
            return 0;
        }
        if (!uri.has_user) {
            rq->target = (struct bk_view){ 0 };
            return 0;
        }
    }
    if (uri.scheme != BK_SIP_SCHEME_OTHER && !uri.has_user) {
        rq->target = (struct bk_view){ 0 };
        char host[256];
        if (uri.host.len >= sizeof host)
            return 404;
        memcpy(host, uri.host.at, uri.host.len);
        bk_text_lower(host, uri.host.len);
        return bk_directory_tenant_of(core->directory, (struct bk_view){ host, uri.host.len })
                   ? 0
                   : 404;
    }
    if (bk_sip_uri_aor(&uri, &core->target) < 0)
        return 404;
    struct bk_view aor = bk_buf_view(&core->target);
    size_t at = bk_view_find(aor, '@');
    rq->target = aor;
    if (!bk_directory_tenant_of(core->directory, bk_view_skip(aor, at + 1)))
        return 404;
    return 0;
}

static void handle_options(struct request *rq)
{
    answer(
        rq, 200, (struct bk_view){ 0 },
        BK_VIEW("Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, REGISTER, SUBSCRIBE, NOTIFY, PUBLISH, "
                "MESSAGE, INFO, UPDATE, REFER, PRACK\r\n"
                "Accept: application/sdp, text/plain, application/pidf+xml\r\n"
                "Allow-Events: presence\r\nSupported: outbound\r\n"));
}

/*
 * A NOTIFY belongs to a subscription (RFC 6665 4.1.3), and these two packages are the server's own word: from
 * anybody else they would sign people out or paint their presence.
 */
static bool notify_is_forged(const struct request *rq)
{
    struct bk_sip_event event;
    if (rq->msg->method != BK_SIP_NOTIFY && rq->msg->method != BK_SIP_BENOTIFY)
        return false;
    return !rq->head->to_tag.len ||
           bk_sip_event_parse(bk_sip_msg_value(rq->msg, BK_SIP_HDR_EVENT), &event) < 0 ||
           bk_view_equal_nocase(event.package, BK_VIEW("registration-notify")) ||
           bk_view_equal_nocase(event.package, BK_VIEW("presence"));
}

/* At the shard of the target. */
static void shard_request(struct request *rq)
{
    struct shard *shard = rq->shard;
    if (bk_sip_txs_request(shard->txs, asker_flow(&rq->asker), rq->msg, rq->head) ==
        BK_SIP_TXS_ABSORBED)
        return;
    switch (rq->msg->method) {
    case BK_SIP_ACK:
        handle_ack(rq);
        return;
    case BK_SIP_CANCEL:
        answer(rq, 481, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        return;
    case BK_SIP_SUBSCRIBE:
        if (!rq->route.len) {
            handle_subscribe(rq);
            return;
        }
        break;
    case BK_SIP_PUBLISH:
        handle_publish(rq);
        return;
    default:
        break;
    }
    if (notify_is_forged(rq)) {
        answer(rq, 481, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        return;
    }
    if (bk_sip_txs_flow_count(shard->txs, rq->asker.link) >=
        (size_t)rq->core->config.limits.pending_per_link) {
        refuse(rq, 404, 0, 503, NULL);
        return;
    }
    if (rq->route.len || rq->head->to_tag.len)
        handle_in_dialog(rq);
    else if (rq->msg->method == BK_SIP_MESSAGE)
        handle_message(rq);
    else if (rq->msg->method == BK_SIP_INVITE)
        handle_invite(rq);
    else
        handle_other(rq);
}

/* Frame head of a request on the bus: lengths of what stands before the message in the body. */
struct request_frame {
    struct asker asker;
    uint16_t identity_len, endpoint_len, target_len, route_len;
};

static void request_to_shard(struct request *rq)
{
    struct bk_core *core = rq->core;
    if (!core->config.bus_always_queues) {
        shard_request(rq); /* same thread: the last thing its own shard does with it */
        return;
    }
    struct request_frame head = {
        .asker = rq->asker,
        .identity_len = (uint16_t)rq->identity.len,
        .endpoint_len = (uint16_t)rq->endpoint.len,
        .target_len = (uint16_t)rq->target.len,
        .route_len = (uint16_t)rq->route.len,
    };
    struct bk_buf body = { 0 };
    bk_buf_add_view(&body, rq->identity);
    bk_buf_add_view(&body, rq->endpoint);
    bk_buf_add_view(&body, rq->target);
    bk_buf_add_view(&body, rq->route);
    bk_buf_add_view(&body, rq->msg->bytes);
    struct bk_bus_frame frame = { .to = rq->shard->index,
                                  .kind = FRAME_REQUEST,
                                  .head = { (const char *)&head, sizeof head },
                                  .body = bk_buf_view(&body) };
    if (body.failed || bk_bus_post(core->bus, &frame) < 0)
        refuse(rq, 404, 0, 503, NULL);
    bk_buf_finish(&body);
}

static void fill_asker(const struct link *link, struct asker *ret)
{
    *ret = (struct asker){
        .link = link->id,
        .transport = link->transport,
        .own_network = link->own_network,
        .own_client = link->certificate || link->personal,
        .port = link->port,
        .local_port = link->local_port,
        .net_key = link->net_key,
    };
    memcpy(ret->ip, link->ip, sizeof ret->ip);
    memcpy(ret->local_ip, link->local_ip, sizeof ret->local_ip);
}

/* A Via of ours in a request that comes in: it went around in a circle. */
static bool went_around(const struct bk_sip_msg *msg, const struct bk_sip_head *head)
{
    const struct bk_sip_field *f = bk_sip_msg_field(msg, BK_SIP_HDR_VIA);
    if (!f || (f->next < 0 && bk_view_find(f->value, ',') == f->value.len))
        return false;
    (void)head;
    for (; f; f = bk_sip_msg_field_next(msg, f)) {
        struct bk_view rest = f->value;
        struct bk_sip_via via;
        while (bk_sip_via_next(&rest, &via) == 1)
            if (bk_sip_branch_shard(via.branch) >= 0)
                return true;
    }
    return false;
}

static bool domain_is_ours(const struct bk_core *core, struct bk_view address)
{
    size_t at = bk_view_find(address, '@');
    return at < address.len &&
           bk_directory_tenant_of(core->directory, bk_view_skip(address, at + 1)) != NULL;
}

static void link_request(struct bk_core *core, struct link *link, const struct bk_sip_msg *msg,
                         const struct bk_sip_head *head)
{
    struct request rq = { .core = core, .msg = msg, .head = head, .shard = link->shard };
    fill_asker(link, &rq.asker);
    core->metrics[BK_METRIC_REQUESTS]++;

    if (!link_may_ask(core, link, core_now(core))) {
        answer(&rq, 503, (struct bk_view){ 0 }, BK_VIEW("Retry-After: 1\r\n"));
        return;
    }
    if (!link->known && msg->body.len > (size_t)core->config.limits.unauthenticated_body_max) {
        answer(&rq, 413, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        return;
    }
    int fault = find_target(&rq, link);
    if (fault == 400 || fault == 416) {
        answer(&rq, fault, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        return;
    }
    if (msg->method == BK_SIP_REGISTER) {
        /* The connection goes where its user lives, before anything is decided. */
        rq.shard = core_shard_of(core, rq.target);
        if (!link->moved && bk_list_empty(&link->bindings) && bk_list_empty(&link->subscriptions)) {
            link->shard = rq.shard;
            link->moved = true;
        }
        handle_register(&rq, link);
        return;
    }
    if (head->max_forwards == 0 && (rq.target.len || rq.route.len) && msg->method != BK_SIP_ACK) {
        answer(&rq, 483, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        return;
    }
    if (went_around(msg, head)) {
        refuse(&rq, 506, 0, 482, NULL);
        return;
    }
    if (msg->method != BK_SIP_ACK && msg->method != BK_SIP_CANCEL) {
        if (core->draining) {
            refuse(&rq, 408, 0, 503, NULL);
            return;
        }
        if (!identify(&rq, link))
            return;
        if (fault == 404) {
            refuse(&rq, domain_is_ours(core, rq.target) ? 501 : 508, 0, 404, NULL);
            return;
        }
        const struct bk_sip_field *f = bk_sip_msg_field(msg, BK_SIP_HDR_PROXY_REQUIRE);
        if (f) {
            struct bk_buf line = { 0 };
            bk_sip_field_add(&line, BK_SIP_HDR_UNSUPPORTED, f->value);
            answer(&rq, 420, (struct bk_view){ 0 }, bk_buf_view(&line));
            bk_buf_finish(&line);
            return;
        }
    } else if (fault == 404) {
        return;
    }
    if (rq.route.len) {
        struct bk_view ends[4];
        if (!head->to_tag.len ||
            !route_token_read(core, rq.route, head->call_id, &core->arena, ends)) {
            answer(&rq, 481, (struct bk_view){ 0 }, (struct bk_view){ 0 });
            return;
        }
        /* The token holds both ends; the request goes to the one it does not come from. */
        bool from_a = bk_view_equal(rq.identity, ends[0]) &&
                      (!bk_view_equal(ends[0], ends[2]) || bk_view_equal(rq.endpoint, ends[1]));
        if (msg->method == BK_SIP_ACK || msg->method == BK_SIP_CANCEL) {
            struct bk_sip_uri from;
            bk_buf_clear(&core->sender);
            if (bk_sip_uri_parse(head->from_uri, &from) < 0 ||
                bk_sip_uri_aor(&from, &core->sender) < 0)
                return;
            from_a = bk_view_equal(bk_buf_view(&core->sender), ends[0]);
        } else if (!from_a && !bk_view_equal(rq.identity, ends[2])) {
            answer(&rq, 403, (struct bk_view){ 0 }, (struct bk_view){ 0 });
            return;
        }
        rq.target = from_a ? ends[2] : ends[0];
    }
    if (!rq.target.len) {
        if (bk_sip_txs_request(rq.shard->txs, asker_flow(&rq.asker), msg, head) ==
            BK_SIP_TXS_ABSORBED)
            return;
        if (msg->method == BK_SIP_OPTIONS)
            handle_options(&rq);
        else if (msg->method != BK_SIP_ACK)
            answer(&rq,
                   msg->method == BK_SIP_CANCEL         ? 481
                   : msg->method == BK_SIP_OTHER_METHOD ? 501
                                                        : 405,
                   (struct bk_view){ 0 }, BK_VIEW("Allow: OPTIONS, REGISTER\r\n"));
        return;
    }
    rq.shard = core_shard_of(core, rq.target);
    request_to_shard(&rq);
}

/* ---- receiving ---- */

struct bk_sip_msg *core_msg_push(struct bk_core *core)
{
    if (core->msg_depth == MESSAGES_DEEP)
        return NULL;
    return &core->msg[core->msg_depth++];
}

void core_msg_pop(struct bk_core *core)
{
    if (--core->msg_depth == 0 && core->arena.used)
        bk_arena_clear(&core->arena);
}

static void answer_fault(struct bk_core *core, struct link *link, const struct bk_sip_msg *msg,
                         const struct bk_sip_fault *fault)
{
    core->metrics[BK_METRIC_BAD_MESSAGES]++;
    if (msg->status || msg->method == BK_SIP_ACK || !bk_sip_msg_answerable(msg) ||
        msg->start.len == 0)
        return;
    bk_buf_clear(&core->out);
    struct bk_sip_source source = { bk_view_of_str(link->ip), link->port };
    bk_sip_response_begin(&core->out, msg, fault->status, bk_view_of_str(fault->text),
                          (struct bk_view){ 0 }, &source);
    bk_sip_end(&core->out, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    if (core->out.failed || (link->transport == BK_LINK_UDP && core->out.len > 2 * msg->bytes.len))
        return;
    link_send(core, link, bk_buf_view(&core->out), false);
}

static void shard_response(struct shard *shard, uint64_t link, bool reliable,
                           const struct bk_sip_msg *msg, const struct bk_sip_head *head)
{
    bk_sip_txs_response(shard->txs, (struct bk_sip_flow){ link, reliable }, msg, head);
}

static void link_response(struct bk_core *core, struct link *link, const struct bk_sip_msg *msg,
                          const struct bk_sip_head *head)
{
    link->heard_at = core_now(core);
    int shard = bk_sip_branch_shard(head->via_branch);
    if (shard < 0 || (unsigned)shard >= core->config.n_shards) {
        core->metrics[BK_METRIC_DROPPED]++;
        return;
    }
    if (!core->config.bus_always_queues) {
        shard_response(&core->shards[shard], link->id, link->transport != BK_LINK_UDP, msg, head);
        return;
    }
    struct bk_sip_flow flow = link_flow(link);
    struct bk_bus_frame frame = { .to = (unsigned)shard,
                                  .kind = FRAME_RESPONSE,
                                  .head = { (const char *)&flow, sizeof flow },
                                  .body = msg->bytes };
    bk_bus_post(core->bus, &frame);
}

bool bk_core_receive(struct bk_core *core, uint64_t id, struct bk_view bytes)
{
    struct link *link = core_link(core, id);
    if (!link || link->closing)
        return false;
    struct bk_sip_msg *msg = core_msg_push(core);
    if (!msg)
        return true;
    struct bk_sip_head head;
    struct bk_sip_fault fault;
    bool good =
        bk_sip_msg_parse(msg, bytes, &fault) == 0 && bk_sip_msg_check(msg, &head, &fault) == 0;
    if (!good) {
        answer_fault(core, link, msg, &fault);
        link->faults++;
        if (link->transport != BK_LINK_UDP && link->faults >= FAULTS_MAX)
            core_close_link(core, id);
    } else if (msg->status) {
        link_response(core, link, msg, &head);
    } else {
        link_request(core, link, msg, &head);
    }
    core_msg_pop(core);
    link = core_link(core, id);
    return link && !link->closing;
}

void bk_core_unframed(struct bk_core *core, uint64_t id, struct bk_view bytes,
                      const struct bk_sip_fault *fault)
{
    struct link *link = core_link(core, id);
    struct bk_sip_msg *msg = link ? core_msg_push(core) : NULL;
    if (!msg)
        return;
    struct bk_sip_fault ignored;
    bk_sip_msg_parse(msg, bytes, &ignored);
    answer_fault(core, link, msg, fault);
    core_msg_pop(core);
}

static void deliver_request(struct bk_core *core, struct shard *shard,
                            const struct bk_bus_frame *frame)
{
    struct request_frame h;
    memcpy(&h, frame->head.at, sizeof h);
    struct bk_view rest = frame->body;
    struct request rq = { .core = core, .shard = shard, .asker = h.asker };
    rq.identity = bk_view_head(rest, h.identity_len);
    rest = bk_view_skip(rest, h.identity_len);
    rq.endpoint = bk_view_head(rest, h.endpoint_len);
    rest = bk_view_skip(rest, h.endpoint_len);
    rq.target = bk_view_head(rest, h.target_len);
    rest = bk_view_skip(rest, h.target_len);
    rq.route = bk_view_head(rest, h.route_len);
    rest = bk_view_skip(rest, h.route_len);

    struct bk_sip_msg *msg = core_msg_push(core);
    struct bk_sip_head head;
    struct bk_sip_fault fault;
    if (!msg)
        return;
    if (bk_sip_msg_parse(msg, rest, &fault) == 0 && bk_sip_msg_check(msg, &head, &fault) == 0) {
        rq.msg = msg;
        rq.head = &head;
        shard_request(&rq);
    }
    core_msg_pop(core);
}

static void deliver(void *ctx, const struct bk_bus_frame *frame)
{
    struct bk_core *core = ctx;
    struct shard *shard = &core->shards[frame->to];
    uint64_t id = 0;

    if (frame->kind == FRAME_REQUEST) {
        deliver_request(core, shard, frame);
        return;
    }
    if (frame->kind == FRAME_RESPONSE) {
        struct bk_sip_flow flow;
        memcpy(&flow, frame->head.at, sizeof flow);
        struct bk_sip_msg *msg = core_msg_push(core);
        struct bk_sip_head head;
        struct bk_sip_fault fault;
        if (!msg)
            return;
        if (bk_sip_msg_parse(msg, frame->body, &fault) == 0 &&
            bk_sip_msg_check(msg, &head, &fault) == 0)
            shard_response(shard, flow.id, flow.reliable, msg, &head);
        core_msg_pop(core);
        return;
    }
    memcpy(&id, frame->head.at, sizeof id);
    if (frame->kind == FRAME_LINK_GONE) {
        shard_link_gone(shard, id);
        return;
    }
    struct link *link = core_link(core, id);
    if (!link)
        return;
    if (frame->kind == FRAME_SEND) {
        link_send(core, link, frame->body, false);
    } else {
        link->closing = true;
        core->config.ops->close(core->config.ops_ctx, link->handle);
    }
}

void bk_core_pump(struct bk_core *core)
{
    bk_bus_pump(core->bus, 0);
}

/* ---- life ---- */

static void tx_send(void *ctx, struct bk_sip_flow flow, struct bk_view bytes)
{
    core_send(ctx, flow.id, bytes, false);
}

static int shard_init(struct bk_core *core, struct shard *shard, unsigned index)
{
    shard->core = core;
    shard->index = index;
    bk_list_init(&shard->relays);
    bk_list_init(&shard->drains);
    bk_list_init(&shard->message_ages);
    struct bk_sip_txs_config txs = {
        .send = tx_send,
        .ctx = core,
        .timers = core->config.timers,
        .clock = core->config.clock,
        .random = core->config.random,
        .hash_key = &core->config.hash_key,
        .shard = index,
    };
    shard->txs = bk_sip_txs_create(&txs);
    if (!shard->txs)
        return -ENOMEM;
    return bk_state_create(&core->config.hash_key, core->config.timers, &shard->state);
}

int bk_core_create(const struct bk_core_config *config, struct bk_core **ret)
{
    if (config->n_shards < 1 || config->n_shards > 64)
        return -EINVAL;
    struct bk_core *core = calloc(1, sizeof *core);
    if (!core)
        return -ENOMEM;
    core->config = *config;
    core->directory = bk_directory_ref(config->directory);
    memcpy(core->nonce_key.key, config->secret, sizeof core->nonce_key.key);
    core->msg = calloc(MESSAGES_DEEP, sizeof *core->msg);
    core->shards = calloc(config->n_shards, sizeof *core->shards);
    struct bk_bus_config bus = { .n_shards = config->n_shards, .deliver = deliver, .ctx = core };
    int r = core->msg && core->shards ? bk_bus_create(&bus, &core->bus) : -ENOMEM;
    for (unsigned i = 0; r == 0 && i < config->n_shards; i++)
        r = shard_init(core, &core->shards[i], i);
    if (r < 0) {
        bk_core_destroy(core);
        return r;
    }
    *ret = core;
    return 0;
}

struct bk_core *bk_core_destroy(struct bk_core *core)
{
    if (!core)
        return NULL;
    for (unsigned i = 0; core->shards && i < core->config.n_shards; i++) {
        struct shard *shard = &core->shards[i];
        if (!shard->core)
            continue;
        relays_destroy(shard);
        drains_destroy(shard);
        message_keys_destroy(shard);
        bk_sip_txs_destroy(shard->txs);
        bk_state_destroy(shard->state);
    }
    for (uint32_t i = 0; i < core->n_links; i++) {
        struct link *link = core->links[i];
        if (!link)
            continue;
        bk_timer_disarm(core->config.timers, &link->timer);
        if (link->certificate)
            bk_buf_finish(link->certificate);
        free(link->certificate);
        free(link->personal);
        free(link);
    }
    free(core->links);
    free(core->generations);
    bk_bus_destroy(core->bus);
    bk_directory_unref(core->directory);
    bk_arena_finish(&core->arena);
    bk_buf_finish(&core->out);
    bk_buf_finish(&core->out2);
    bk_buf_finish(&core->target);
    bk_buf_finish(&core->sender);
    bk_buf_finish(&core->token);
    free(core->msg);
    free(core->shards);
    free(core);
    return NULL;
}

void bk_core_set_directory(struct bk_core *core, struct bk_directory *dir)
{
    bk_directory_ref(dir);
    bk_directory_unref(core->directory);
    core->directory = dir;
    bk_core_sweep(core);
}

void bk_core_shed(struct bk_core *core, bool shed)
{
    core->shedding = shed;
}

void bk_core_close_links(struct bk_core *core)
{
    for (uint32_t i = 0; i < core->n_links; i++)
        if (core->links[i])
            core_close_link(core, core->links[i]->id);
}

uint64_t bk_core_metric(const struct bk_core *core, enum bk_metric metric)
{
    uint64_t n = 0;
    switch (metric) {
    case BK_METRIC_LINKS:
        return core->open_links;
    case BK_METRIC_ENDPOINTS:
        for (unsigned i = 0; i < core->config.n_shards; i++)
            n += bk_state_bindings(core->shards[i].state);
        return n;
    case BK_METRIC_SUBSCRIPTIONS:
        for (unsigned i = 0; i < core->config.n_shards; i++)
            n += bk_state_subscriptions(core->shards[i].state);
        return n;
    case BK_METRIC_TRANSACTIONS:
        for (unsigned i = 0; i < core->config.n_shards; i++)
            n += bk_sip_txs_count(core->shards[i].txs);
        return n;
    default:
        return core->metrics[metric];
    }
}
