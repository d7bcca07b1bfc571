/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a message: link, parse, what is it for, who is it, to the shard of its target, handler. */
#include "server/core_private.h"
#include "server/ms_session.h"

enum { FAULTS_MAX = 8 /* bad messages on one link before it is closed */ };

/* ---- what is it for ---- */

/* Does this host name us: our name, or our end of the very connection. */
static bool names_us(const struct bk_core *core, const struct link *link,
                     const struct bk_sip_uri *uri)
{
    if (bk_view_equal_nocase(uri->host, bk_view_of_str(core->config.host)))
        return true;
    return bk_view_equal(uri->host, bk_view_of_str(link->local_ip)) &&
           (uri->port == 0 || uri->port == link->local_port);
}

/*
 * What is the request for? Fills target, and route where our own token leads. 0; 404: no domain of
 * ours; 416: no scheme of ours; 400: unreadable; 481: a route token with nothing in it; 484: no address
 * that anybody can have, written at our host.
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
        return rq->route.len ? 0 : 481;
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
            size_t bad_at;
            const char *why;
            bk_text_lower(core->token.at, core->token.len);
            bk_buf_add_view(&core->target, user);
            rq->target = bk_buf_view(&core->target);
            return bk_sip_address_check(rq->target, &bad_at, &why) < 0 ? 484 : 0;
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
            if (!ms_subscribe(rq))
                handle_subscribe(rq);
            return;
        }
        break;
    case BK_SIP_SERVICE:
        handle_service(rq);
        return;
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
    if (ms_probe(rq) || ms_session_request(rq))
        return;
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
        .dialect = link->ms != NULL,
        .port = link->port,
        .local_port = link->local_port,
        .net_key = link->net_key,
    };
    memcpy(ret->ip, link->ip, sizeof ret->ip);
    memcpy(ret->local_ip, link->local_ip, sizeof ret->local_ip);
}

/* A Via of ours in a request that comes in: it went around in a circle. */
static bool went_around(const struct bk_sip_msg *msg)
{
    const struct bk_sip_field *f = bk_sip_msg_field(msg, BK_SIP_HDR_VIA);
    if (!f || (f->next < 0 && bk_view_find(f->value, ',') == f->value.len))
        return false;
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

/* Before anything is looked at: how often this link may ask, and how much it may say. false: answered. */
static bool within_limits(struct request *rq, struct link *link)
{
    struct bk_core *core = rq->core;
    if (!link_may_ask(core, link, core_now(core))) {
        static const char *const values[] = { "seconds", "1", NULL };
        refuse_why(rq, 404, 503, 1, values, BK_VIEW("{\"why\":\"too many requests\"}"));
        return false;
    }
    if (!link->known && rq->msg->body.len > (size_t)core->config.limits.unauthenticated_body_max) {
        refuse_why(rq, 503, 413, 0, NULL,
                   BK_VIEW("{\"why\":\"nobody signed in on this connection\"}"));
        return false;
    }
    return true;
}

/* The connection goes where its user lives, before anything is decided. */
static void link_register(struct request *rq, struct link *link)
{
    rq->shard = core_shard_of(rq->core, rq->target);
    rq->asker.dialect = ms_wants_register(rq, link);
    if (!link->moved && bk_list_empty(&link->bindings) && bk_list_empty(&link->subscriptions)) {
        link->shard = rq->shard;
        link->moved = true;
    }
    handle_register(rq, link);
}

/*
 * What a proxy looks at before it passes anything on (RFC 3261 16.3). A CANCEL is never passed on but answered here, so
 * that its hops do not count (9.2, 16.10). false: answered.
 */
static bool may_travel(struct request *rq)
{
    const struct bk_sip_msg *msg = rq->msg;
    if (rq->head->max_forwards == 0 && (rq->target.len || rq->route.len) &&
        msg->method != BK_SIP_ACK && msg->method != BK_SIP_CANCEL) {
        refuse(rq, 507, 0, 483, NULL);
        return false;
    }
    if (went_around(msg)) {
        refuse(rq, 506, 0, 482, NULL);
        return false;
    }
    return true;
}

/* Every method but ACK and CANCEL: who asks, and is there such a domain here. false: answered. */
static bool may_ask(struct request *rq, struct link *link, int fault)
{
    struct bk_core *core = rq->core;
    if (core->draining) {
        refuse(rq, 408, 0, 503, NULL);
        return false;
    }
    if (!identify(rq, link))
        return false;
    if (fault == 404) {
        refuse(rq, domain_is_ours(core, rq->target) ? 501 : 508, 0, 404, NULL);
        return false;
    }
    if (fault == 481) {
        answer(rq, 481, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        return false;
    }
    if (fault == 484) {
        size_t bad_at;
        const char *why = "it cannot be read";
        bk_sip_address_check(rq->target, &bad_at, &why);
        const char *values[] = { "why", why, NULL };
        refuse(rq, 111, 0, 0, values);
        return false;
    }
    const struct bk_sip_field *f = bk_sip_msg_field(rq->msg, BK_SIP_HDR_PROXY_REQUIRE);
    /* The Lync dialect asks with it whether notifications may go unanswered (ms_events.c). */
    if (f && !(rq->msg->method == BK_SIP_SUBSCRIBE && f->next < 0 &&
               bk_view_equal_nocase(f->value, BK_VIEW("ms-benotify")))) {
        struct bk_buf line = { 0 };
        bk_sip_field_add(&line, BK_SIP_HDR_UNSUPPORTED, f->value);
        answer(rq, 420, (struct bk_view){ 0 }, bk_buf_view(&line));
        bk_buf_finish(&line);
        return false;
    }
    return true;
}

/*
 * Who sent an ACK or a CANCEL, which no challenge can ask: somebody who is signed in on this very link, or whose
 * credentials another request over it carried. false: nobody known.
 */
static bool known_sender(struct request *rq, const struct link *link)
{
    struct bk_core *core = rq->core;
    struct bk_sip_uri from;
    bk_buf_clear(&core->sender);
    if (bk_sip_uri_parse(rq->head->from_uri, &from) < 0 || bk_sip_uri_aor(&from, &core->sender) < 0)
        return false;
    struct bk_view sender = bk_buf_view(&core->sender);
    BK_LIST_EACH(&link->bindings, it)
    {
        struct bk_binding *b = bk_container_of(it, struct bk_binding, in_link);
        if (bk_view_equal(bk_person_address(b->person), sender)) {
            rq->identity = bk_person_address(b->person);
            rq->endpoint = b->endpoint;
            return true;
        }
    }
    if (!link_has_proved(core, link, sender))
        return false;
    rq->identity = sender;
    return true;
}

/* Our route token holds both ends of a dialog; the request goes to the one it does not come from. false: answered. */
static bool follow_route(struct request *rq, const struct link *link)
{
    struct bk_core *core = rq->core;
    const struct bk_sip_head *head = rq->head;
    bool follows = rq->msg->method == BK_SIP_ACK || rq->msg->method == BK_SIP_CANCEL;
    struct bk_view ends[4];
    if (!head->to_tag.len ||
        !route_token_read(core, rq->route, head->call_id, &core->arena, ends)) {
        answer(rq, 481, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        return false;
    }
    if (follows && !known_sender(rq, link)) {
        answer(rq, 481, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        return false;
    }
    bool from_a = bk_view_equal(rq->identity, ends[0]) &&
                  (!bk_view_equal(ends[0], ends[2]) || bk_view_equal(rq->endpoint, ends[1]));
    if (!from_a && !bk_view_equal(rq->identity, ends[2])) {
        if (follows)
            answer(rq, 481, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        else
            refuse(rq, 214, 0, 403, NULL);
        return false;
    }
    rq->target = from_a ? ends[2] : ends[0];
    return true;
}

/* A request for the server itself. */
static void server_request(struct request *rq)
{
    enum bk_sip_method method = rq->msg->method;
    if (bk_sip_txs_request(rq->shard->txs, asker_flow(&rq->asker), rq->msg, rq->head) ==
        BK_SIP_TXS_ABSORBED)
        return;
    if (method == BK_SIP_OPTIONS)
        handle_options(rq);
    else if (method != BK_SIP_ACK)
        answer(rq,
               method == BK_SIP_CANCEL         ? 481
               : method == BK_SIP_OTHER_METHOD ? 501
                                               : 405,
               (struct bk_view){ 0 }, BK_VIEW("Allow: OPTIONS, REGISTER\r\n"));
}

static void link_request(struct bk_core *core, struct link *link, const struct bk_sip_msg *msg,
                         const struct bk_sip_head *head)
{
    struct request rq = { .core = core, .msg = msg, .head = head, .shard = link->shard };
    fill_asker(link, &rq.asker);
    core->metrics[BK_METRIC_REQUESTS]++;

    if (!within_limits(&rq, link))
        return;
    int fault = find_target(&rq, link);
    if (fault == 400 || fault == 416) {
        answer(&rq, fault, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        return;
    }
    if (msg->method == BK_SIP_REGISTER) {
        link_register(&rq, link);
        return;
    }
    if (!may_travel(&rq))
        return;
    if (msg->method != BK_SIP_ACK && msg->method != BK_SIP_CANCEL) {
        if (!may_ask(&rq, link, fault))
            return;
    } else if (!ms_follows_is_right(core, link, msg, head)) {
        answer(&rq, 403, BK_VIEW("This request is not signed as it must be"),
               (struct bk_view){ 0 }); /* nothing, to an ACK */
        return;
    } else if (fault) {
        answer(&rq, 481, (struct bk_view){ 0 }, (struct bk_view){ 0 }); /* nothing, to an ACK */
        return;
    }
    if (rq.route.len && !follow_route(&rq, link))
        return;
    bool search =
        msg->method == BK_SIP_SERVICE; /* of the directory: to the domain, from somebody */
    if (!rq.target.len && !search) {
        server_request(&rq);
        return;
    }
    rq.shard = core_shard_of(core, rq.target.len ? rq.target : rq.identity);
    request_to_shard(&rq);
}

/* ---- receiving ---- */

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

/* *ret_shard is whom it is for, -1: nobody here. Over the bus it is that shard which looks at the rest. */
static int answer_check(const struct bk_core *core, const struct bk_sip_msg *msg,
                        struct bk_sip_head *ret, int *ret_shard, struct bk_sip_fault *ret_fault)
{
    int r = bk_sip_msg_check_found(msg, ret, ret_fault);
    if (r < 0)
        return r;
    int shard = bk_sip_branch_shard(ret->via_branch);
    if (shard < 0 || (unsigned)shard >= core->config.n_shards)
        return bk_sip_msg_check_rest(msg, ret, ret_fault);
    *ret_shard = shard;
    if (core->config.bus_always_queues)
        return 0;
    return shard_answer_check(&core->shards[shard], msg, ret, ret_fault);
}

static void link_response(struct bk_core *core, struct link *link, const struct bk_sip_msg *msg,
                          const struct bk_sip_head *head, int shard)
{
    link->heard_at = core_now(core);
    if (!ms_answer_is_right(core, link, msg))
        return;
    if (shard < 0) {
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

bool bk_core_receive(struct bk_core *core, uint64_t id, struct bk_view bytes, bool *ret_readable)
{
    struct link *link = core_link(core, id);
    if (!link || link->closing)
        return false;
    struct bk_sip_msg *msg = core_msg_push(core);
    if (!msg)
        return true;
    struct bk_sip_head head;
    struct bk_sip_fault fault;
    int shard = -1;
    bool good = bk_sip_msg_parse(msg, bytes, &fault) == 0 &&
                (msg->status ? answer_check(core, msg, &head, &shard, &fault)
                             : bk_sip_msg_check(msg, &head, &fault)) == 0;
    if (ret_readable)
        *ret_readable = good;
    if (!good) {
        answer_fault(core, link, msg, &fault);
        link->faults++;
        if (link->transport != BK_LINK_UDP && link->faults >= FAULTS_MAX)
            core_close_link(core, id);
    } else if (msg->status) {
        link_response(core, link, msg, &head, shard);
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

void core_register_again(struct bk_core *core, struct link *link, struct bk_view bytes,
                         void (*go_on)(struct request *rq, struct link *link, void *ctx), void *ctx)
{
    struct bk_sip_msg *msg = core_msg_push(core);
    struct bk_sip_head head;
    struct bk_sip_fault fault;
    if (!msg)
        return;
    if (bk_sip_msg_parse(msg, bytes, &fault) == 0 && bk_sip_msg_check(msg, &head, &fault) == 0) {
        struct request rq = { .core = core, .msg = msg, .head = &head };
        fill_asker(link, &rq.asker);
        rq.asker.dialect = true;
        if (find_target(&rq, link) == 0) {
            rq.shard = core_shard_of(core, rq.target);
            go_on(&rq, link, ctx);
        }
    }
    core_msg_pop(core);
}

void deliver_request(struct bk_core *core, struct shard *shard, const struct bk_bus_frame *frame)
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
