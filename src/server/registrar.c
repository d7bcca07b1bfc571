/* SPDX-License-Identifier: Apache-2.0 */
/* The registrar (RFC 3261 10.3, RFC 5626): who is reachable over which link, for how long. */
#include "server/core_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    EXPIRES_UDP_S = 60, /* a datagram endpoint has no other life sign */
    FLOW_TIMER_S = 120,
    CLIENT_MAX = 120, /* bytes of User-Agent kept */
};

/* One Contact as asked for. */
struct wanted {
    struct bk_view uri, params, endpoint;
    int64_t expires_s;
    bool ob;
    bool skip;              /* a later Contact means the same endpoint */
    struct bk_binding *old; /* what there is of it */
    struct bk_binding *fresh;
};

/* ---- ends ---- */

void binding_end(struct bk_binding *b, enum bk_signin_end why)
{
    struct bk_person *person = b->person;
    struct bk_core *core = person_shard(person)->core;
    struct link *link = core_link(core, b->link);

    bk_history_end(core->config.history, bk_person_address(person), b->endpoint, why);
    person->holds++;
    ms_endpoint_gone(core, person, b->endpoint, person->n_bindings == 1);
    presence_forget_link(core, person, b->link, b->endpoint);
    bk_state_unbind(b);
    if (link)
        link_unbound(core, link);
    presence_changed(core, person);
    person->holds--;
    bk_state_settle(person);
}

void registrar_link_gone(struct bk_core *core, struct link *link, enum bk_link_end why)
{
    (void)why;
    ms_link_gone(link);
    while (!bk_list_empty(&link->subscriptions))
        subscription_end(bk_container_of(link->subscriptions.next, struct bk_subscription, in_link),
                         "deactivated", false);
    while (!bk_list_empty(&link->bindings)) {
        struct bk_binding *b = bk_container_of(link->bindings.next, struct bk_binding, in_link);
        binding_end(b, core->draining ? BK_SIGNIN_END_SERVER : BK_SIGNIN_END_CRASHED);
    }
}

static void binding_timer(struct bk_timer *timer)
{
    struct bk_binding *b = bk_container_of(timer, struct bk_binding, timer);
    struct bk_core *core = person_shard(b->person)->core;
    int64_t now = core_now(core), next = b->expires_at;

    if (now >= b->expires_at) {
        binding_end(b, BK_SIGNIN_END_EXPIRED);
        return;
    }
    struct link *link = core_link(core, b->link);
    if (b->promised && link) {
        int64_t silent_at = core->config.ops->last_in_ms(core->config.ops_ctx, link->handle) +
                            core->config.limits.promised_silence_ms;
        if (now >= silent_at) {
            /* It promised to be heard and was not: the program hangs. */
            core_close_link(core, b->link);
            binding_end(b, BK_SIGNIN_END_CRASHED);
            return;
        }
        if (silent_at < next)
            next = silent_at;
    }
    bk_timer_arm(core->config.timers, timer, next);
}

/* Tells an endpoint of our own kind why its session ends (docs/behaviour.md, "The server ends a session"). */
void tell_ended(struct bk_core *core, struct bk_binding *b, const struct bk_record *record,
                const char *event, struct bk_view who)
{
    struct link *link = core_link(core, b->link);
    bool signs = link && ms_peer_of(link, bk_person_address(b->person));
    if (!link || !(b->own || signs))
        return;
    struct bk_buf *out = &core->out;
    struct bk_view address = bk_person_address(b->person);
    uint64_t r[3] = { bk_random_u64(core->config.random), bk_random_u64(core->config.random),
                      bk_random_u64(core->config.random) };
    struct bk_refusal refusal;
    struct bk_attempt attempt = { .address = address,
                                  .endpoint = b->endpoint,
                                  .client = b->client,
                                  .ip = bk_view_of_str(link->ip),
                                  .net_key = link->net_key,
                                  .transport = bk_view_of_str(transport_param(link->transport)),
                                  .road = BK_VIEW("session") };
    char by[200];
    snprintf(by, sizeof by, "%.*s", BK_VIEW_ARGS(who));
    const char *values[] = { "who", by, "why", by, NULL };
    bk_history_refuse(core->config.history, &attempt, record, false, true, (struct bk_view){ 0 }, 0,
                      values, &refusal);
    bk_buf_clear(out);
    bk_sip_request_begin(out, BK_VIEW("NOTIFY"), b->contact);
    bk_buf_add_lit(out, "Via: ");
    core_via_head(core, link, out);
    bk_buf_addf(out, ";branch=z9hG4bKend%llx\r\n", (unsigned long long)r[0]);
    bk_buf_addf(out,
                "Max-Forwards: 70\r\nFrom: <sip:%.*s>;tag=%llx\r\nTo: <sip:%.*s>\r\n"
                "Call-ID: %llx\r\nCSeq: 1 NOTIFY\r\nEvent: registration-notify\r\n"
                "Subscription-State: terminated;expires=0\r\n",
                BK_VIEW_ARGS(address), (unsigned long long)r[1], BK_VIEW_ARGS(address),
                (unsigned long long)r[2]);
    bk_buf_add_lit(out, "Contact: ");
    struct asker own = { .transport = link->transport, .local_port = link->local_port };
    memcpy(own.local_ip, link->local_ip, sizeof own.local_ip);
    core_own_uri(&own, (struct bk_view){ 0 }, out);
    bk_buf_add_lit(out, "\r\n");
    refusal_lines(core, &refusal, out);
    if (signs)
        refusal_public_line(core, &refusal, out);
    char body[64];
    snprintf(body, sizeof body, "deregistered;event=%s\r\n", event);
    bk_sip_end(out, BK_VIEW("text/registration-event"), bk_view_of_str(body));
    if (!out->failed)
        core_send(core, link->id, bk_buf_view(out), false);
}

/* ---- REGISTER ---- */

static void close_if_empty(struct bk_core *core, uint64_t id)
{
    struct link *link = core_link(core, id);
    if (!link || !bk_list_empty(&link->bindings))
        return;
    link_unbound(core, link);
    if (link->transport != BK_LINK_UDP)
        core_close_link(core, id);
}

/* Contact parameters worth echoing: all but expires, which we answer ourselves. */
static void echo_params(struct bk_view params, struct bk_buf *to)
{
    struct bk_sip_param p;
    while (params.at && params.len && bk_sip_param_next(&params, &p)) {
        if (bk_view_equal_nocase(p.name, BK_VIEW("expires")))
            continue;
        bk_buf_add_char(to, ';');
        bk_buf_add_view(to, p.name);
        if (p.value.at) {
            bk_buf_add_char(to, '=');
            bk_buf_add_view(to, p.value);
        }
    }
}

/* 0: the lines are in *ret_lines; else the status to refuse with. */
static int read_contacts(struct request *rq, int64_t fallback_s,
                         struct wanted ret[BK_SIP_CONTACT_MAX], int *ret_n, bool *ret_star)
{
    int64_t expires_s = fallback_s;
    int r = bk_sip_msg_expires(rq->msg, &expires_s);
    bool has_expires = r == 0;
    if (r == -EBADMSG)
        return 400;
    *ret_n = 0;
    *ret_star = false;
    for (const struct bk_sip_field *f = bk_sip_msg_field(rq->msg, BK_SIP_HDR_CONTACT); f;
         f = bk_sip_msg_field_next(rq->msg, f)) {
        struct bk_view rest = f->value;
        struct bk_sip_addr a;
        while ((r = bk_sip_addr_next(&rest, &a)) == 1) {
            if (a.star) {
                if (*ret_n || !has_expires || expires_s != 0)
                    return 400;
                *ret_star = true;
                continue;
            }
            if (*ret_star || *ret_n == BK_SIP_CONTACT_MAX)
                return 400;
            struct wanted *w = &ret[(*ret_n)++];
            struct bk_sip_uri uri;
            struct bk_view value;
            *w = (struct wanted){ .uri = a.uri_text, .params = a.params, .expires_s = expires_s };
            if (bk_sip_uri_parse(a.uri_text, &uri) < 0)
                return 400;
            w->ob = bk_sip_param_find(uri.params, BK_VIEW("ob"), &value);
            if (bk_sip_param_find(a.params, BK_VIEW("expires"), &value)) {
                uint64_t n;
                if (bk_view_to_u64(value, UINT32_MAX, &n) == 0)
                    w->expires_s = (int64_t)n;
            }
            w->endpoint =
                *ret_n == 1 ? endpoint_of_request(rq) : endpoint_key(rq->core, a.uri_text);
        }
        if (r < 0)
            return 400;
    }
    return 0;
}

/* Lists the living endpoints for somebody who has one too many (SI-215). */
static void refuse_too_many(struct request *rq, struct bk_person *person,
                            const struct bk_attempt *attempt, int max)
{
    struct bk_core *core = rq->core;
    struct bk_buf detail = { 0 };
    char n[16];
    snprintf(n, sizeof n, "%d", max);
    const char *values[] = { "n", n, NULL };
    bk_buf_add_lit(&detail, "{\"endpoints\":[");
    bool first = true;
    BK_LIST_EACH(&person->bindings, it)
    {
        const struct bk_binding *b = bk_container_of(it, struct bk_binding, in_person);
        char since[32];
        bk_time_iso(b->since_real, false, since);
        bk_buf_addf(&detail, "%s{\"client\":\"", first ? "" : ",");
        for (size_t i = 0; i < b->client.len;
             i++) /* what a client calls itself is not trusted to be JSON */
            if (b->client.at[i] >= ' ' && b->client.at[i] < 127 && b->client.at[i] != '"' &&
                b->client.at[i] != '\\')
                bk_buf_add_char(&detail, b->client.at[i]);
        bk_buf_addf(&detail, "\",\"since\":\"%s\"}", since);
        first = false;
    }
    bk_buf_add_lit(&detail, "]}");
    struct bk_refusal refusal;
    bk_history_refuse(core->config.history, attempt, bk_record_find(215, 0), false, true,
                      bk_buf_view(&detail), 0, values, &refusal);
    core->metrics[BK_METRIC_REFUSALS]++;
    struct bk_buf lines = { 0 };
    refusal_lines(core, &refusal, &lines);
    answer_body(rq, refusal.status, bk_view_of_str(refusal.text), bk_buf_view(&lines),
                BK_VIEW("application/json"), bk_buf_view(&detail));
    bk_buf_finish(&lines);
    bk_buf_finish(&detail);
}

struct signin {
    struct request *rq;
    struct link *link;
    struct bk_person *person;
    const struct bk_user *user;
    enum register_road road;
    const char *serial;
    bool fresh; /* somebody came who was not here: drain, tell */
};

/* A program of the Lync dialect names its endpoint in From and what it takes in its Contact. */
static bool speaks_dialect(const struct request *rq, const struct wanted *w)
{
    struct bk_view rest = bk_sip_msg_value(rq->msg, BK_SIP_HDR_FROM), value;
    struct bk_sip_addr from;
    return bk_sip_addr_next(&rest, &from) == 1 &&
           bk_sip_param_find(from.params, BK_VIEW("epid"), &value) && value.len &&
           bk_sip_param_find(w->params, BK_VIEW("methods"), &value);
}

/* What our own client says of itself beside: it takes sessions (RFC 4569), and those of the dialect. */
static bool takes_sessions(const struct request *rq, const struct wanted *w)
{
    struct bk_view value;
    return bk_sip_param_find(w->params, BK_VIEW("message"), &value) &&
           bk_sip_msg_has_token(rq->msg, BK_SIP_HDR_SUPPORTED, BK_VIEW("msrtc-event-categories"));
}

/* A new binding beside the ones there are; nothing else changes yet. 0 or -errno. */
static int prepare(struct signin *s, struct wanted *w)
{
    struct bk_core *core = s->rq->core;
    struct bk_buf params = { 0 };
    struct bk_binding *b;

    echo_params(w->params, &params);
    int r = params.failed
                ? -ENOMEM
                : bk_state_bind(
                      s->person, &s->link->bindings, s->link->id, w->endpoint, w->uri,
                      bk_buf_view(&params), s->rq->head->call_id,
                      bk_view_head(bk_sip_msg_value(s->rq->msg, BK_SIP_HDR_USER_AGENT), CLIENT_MAX),
                      &b);
    bk_buf_finish(&params);
    if (r < 0)
        return r;
    b->timer.fire = binding_timer;
    b->since_real = core_real(core);
    b->epoch = ++core->epoch;
    b->reliable = s->link->transport != BK_LINK_UDP;
    bool signs = ms_peer_of(s->link, bk_person_address(s->person)) != NULL;
    b->promised = b->reliable && (w->ob || signs); /* the dialect's answer says ms-keep-alive */
    b->own = s->link->certificate != NULL;
    b->dialect = signs || speaks_dialect(s->rq, w);
    b->sessions = takes_sessions(s->rq, w);
    w->fresh = b;
    return 0;
}

/* The same endpoint again, over this connection or another one. */
static void replace(struct signin *s, struct bk_binding *old, struct bk_binding *fresh)
{
    struct bk_core *core = s->rq->core;
    uint64_t old_link = old->link;
    bool moved = old_link != s->link->id;

    if (!moved && bk_view_equal(old->contact, fresh->contact)) {
        fresh->since_real = old->since_real; /* only under another Call-ID */
        fresh->epoch = old->epoch;
    }
    if (moved)
        bk_history_end(core->config.history, bk_person_address(s->person), old->endpoint,
                       BK_SIGNIN_END_REPLACED);
    BK_LIST_EACH(&s->person->publications, it)
    {
        struct bk_publication *p = bk_container_of(it, struct bk_publication, in_person);
        if (p->link == old_link && bk_view_equal(p->endpoint, old->endpoint))
            p->link = s->link->id; /* what it published ends with it, not with the old link */
    }
    bk_state_unbind(old);
    if (moved)
        close_if_empty(core, old_link);
    s->fresh |= moved;
}

/* Nothing can fail here: what was prepared counts from now on. */
static void apply(struct signin *s, struct wanted *w, int64_t expires_s)
{
    struct bk_core *core = s->rq->core;
    int64_t now = core_now(core);
    struct bk_binding *b = w->fresh ? w->fresh : w->old;

    if (w->fresh && w->old)
        replace(s, w->old, w->fresh);
    else if (w->fresh)
        s->fresh = true;
    b->cseq = s->rq->head->cseq;
    snprintf(b->serial, sizeof b->serial, "%s", s->serial);
    b->expires_at = now + expires_s * 1000;
    int64_t first = b->expires_at;
    if (b->promised && now + core->config.limits.promised_silence_ms < first)
        first = now + core->config.limits.promised_silence_ms;
    bk_timer_arm(core->config.timers, &b->timer, first);
}

/* The Lync dialect wants other lines, and hears of its own endpoint alone. */
static void answer_dialect(struct signin *s)
{
    struct bk_core *core = s->rq->core;
    struct bk_buf lines = { 0 };
    const struct bk_binding *b = bk_person_binding(s->person, endpoint_of_request(s->rq));
    ms_registered_lines(b, b ? (b->expires_at - core_now(core) + 999) / 1000 : 0, &lines);
    answer(s->rq, lines.failed ? 500 : 200, (struct bk_view){ 0 }, bk_buf_view(&lines));
    bk_buf_finish(&lines);
}

static void answer_registered(struct signin *s, bool flow_timer)
{
    struct bk_core *core = s->rq->core;
    struct bk_buf lines = { 0 };
    int64_t now = core_now(core), own_s = 0;
    char date[32];

    BK_LIST_EACH(&s->person->bindings, it)
    {
        const struct bk_binding *b = bk_container_of(it, struct bk_binding, in_person);
        int64_t left_s = (b->expires_at - now + 999) / 1000;
        bk_buf_addf(&lines, "Contact: <%.*s>%.*s;expires=%lld\r\n", BK_VIEW_ARGS(b->contact),
                    BK_VIEW_ARGS(b->params), (long long)left_s);
        if (b->link == s->link->id)
            own_s = left_s;
    }
    bk_sip_field_addf(&lines, BK_SIP_HDR_EXPIRES, "%lld", (long long)own_s);
    if (flow_timer)
        bk_sip_field_addf(&lines, BK_SIP_HDR_FLOW_TIMER, "%d", FLOW_TIMER_S);
    bk_time_http(core_real(core), date);
    bk_sip_field_add(&lines, BK_SIP_HDR_DATE, bk_view_of_str(date));
    if (s->link->certificate &&
        bk_sip_msg_has_token(s->rq->msg, BK_SIP_HDR_SUPPORTED, BK_VIEW("msrtc-event-categories")))
        ms_offered_lines(&lines); /* our own client speaks it too, signed in its own way */
    else
        bk_sip_field_add(&lines, BK_SIP_HDR_ALLOW_EVENTS, BK_VIEW("presence"));
    bk_sip_field_add(&lines, BK_SIP_HDR_SERVER, BK_VIEW("Beckon/" BK_VERSION));
    if (core->config.services_url && s->link->certificate)
        bk_sip_field_addf(&lines, BK_SIP_HDR_BECKON_SERVICES, "<%s>", core->config.services_url);
    answer(s->rq, lines.failed ? 500 : 200, (struct bk_view){ 0 }, bk_buf_view(&lines));
    bk_buf_finish(&lines);
}

/* The binding of a Contact that is to go: by endpoint, or by the very URI. */
static struct bk_binding *find_gone(struct bk_person *person, const struct wanted *w)
{
    struct bk_binding *b = bk_person_binding(person, w->endpoint);
    if (b)
        return b;
    BK_LIST_EACH(&person->bindings, it)
    {
        b = bk_container_of(it, struct bk_binding, in_person);
        if (bk_view_equal(b->contact, w->uri))
            return b;
    }
    return NULL;
}

/* RFC 3261 10.3 steps 6 and 7: within one Call-ID only what is newer than what made the binding changes it. */
static bool came_late(const struct request *rq, const struct bk_binding *b)
{
    return bk_view_equal(b->call_id, rq->head->call_id) && rq->head->cseq <= b->cseq;
}

static bool any_came_late(const struct request *rq, const struct bk_person *person,
                          const struct wanted *wanted, int n, bool star)
{
    for (int i = 0; i < n; i++)
        if (wanted[i].old && came_late(rq, wanted[i].old))
            return true;
    if (star)
        BK_LIST_EACH(&person->bindings, it)
    if (came_late(rq, bk_container_of(it, struct bk_binding, in_person)))
        return true;
    return false;
}

/* Which binding each Contact means. Of two Contacts for one endpoint the last counts. */
static void match(struct bk_person *person, struct wanted *wanted, int n)
{
    for (int i = 0; i < n; i++) {
        struct wanted *w = &wanted[i];
        w->fresh = NULL;
        w->old = w->expires_s ? bk_person_binding(person, w->endpoint) : find_gone(person, w);
        for (int k = 0; k < i; k++)
            wanted[k].skip |= bk_view_equal(wanted[k].endpoint, w->endpoint) ||
                              (w->old && wanted[k].old == w->old);
    }
}

/* Makes what is new; on failure all of it is taken back. */
static int prepare_all(struct signin *s, struct wanted *wanted, int n)
{
    int r = 0;
    for (int i = 0; r == 0 && i < n; i++) {
        struct wanted *w = &wanted[i];
        bool same = w->old && w->old->link == s->link->id &&
                    bk_view_equal(w->old->contact, w->uri) &&
                    bk_view_equal(w->old->call_id, s->rq->head->call_id);
        if (w->expires_s && !w->skip && !same)
            r = prepare(s, w);
    }
    for (int i = 0; r < 0 && i < n; i++)
        if (wanted[i].fresh)
            bk_state_unbind(wanted[i].fresh);
    return r;
}

/* Applies the Contacts, all or (false: answered with a refusal) none of them: RFC 3261 10.3 step 7. */
static bool apply_contacts(struct signin *s, struct wanted *wanted, int n, bool star,
                           const struct bk_attempt *attempt)
{
    struct request *rq = s->rq;
    struct bk_core *core = rq->core;
    int64_t granted = bk_policy_number(core->directory, s->user, BK_POLICY_REGISTRATION_S);
    int64_t max = bk_policy_number(core->directory, s->user, BK_POLICY_ENDPOINTS_MAX);
    int64_t min_s = 300, max_s = granted > 900 ? 900 : granted;
    bool udp = s->link->transport == BK_LINK_UDP;
    int left = s->person->n_bindings;
    bool any_kept = false;

    if (udp) {
        max_s = EXPIRES_UDP_S;
        min_s = 1;
    }
    match(s->person, wanted, n);
    if (any_came_late(rq, s->person, wanted, n, star)) {
        answer(rq, 500, BK_VIEW("This REGISTER came late"), (struct bk_view){ 0 });
        return false;
    }
    for (int i = 0; i < n; i++) {
        const struct wanted *w = &wanted[i];
        if (w->expires_s && w->expires_s < min_s) {
            answer(rq, 423, (struct bk_view){ 0 }, BK_VIEW("Min-Expires: 300\r\n"));
            return false;
        }
        if (w->skip)
            continue;
        any_kept |= w->expires_s != 0;
        left += w->expires_s ? !w->old : w->old ? -1 : 0;
    }
    if (any_kept && left > max) {
        refuse_too_many(rq, s->person, attempt, (int)max);
        return false;
    }
    if (prepare_all(s, wanted, n) < 0) {
        refuse(rq, 404, 0, 503, NULL);
        return false;
    }
    while (star && !bk_list_empty(&s->person->bindings))
        binding_end(bk_container_of(s->person->bindings.next, struct bk_binding, in_person),
                    BK_SIGNIN_END_CLIENT);
    for (int i = 0; i < n; i++) {
        struct wanted *w = &wanted[i];
        if (w->skip)
            continue;
        if (w->expires_s)
            apply(s, w, w->expires_s < max_s ? w->expires_s : max_s);
        else if (w->old)
            binding_end(w->old, BK_SIGNIN_END_CLIENT);
    }
    return true;
}

static bool address_is_ours(struct request *rq, struct link *link, struct bk_view address)
{
    struct bk_core *core = rq->core;
    size_t bad_at;
    const char *why;
    struct bk_attempt attempt;
    struct bk_refusal refusal;

    attempt_of(rq, address, 0,
               link->certificate ? BK_VIEW("sip-certificate") : BK_VIEW("sip-digest"),
               endpoint_of_request(rq), &attempt);
    if (bk_sip_address_check(address, &bad_at, &why) < 0) {
        const char *values[] = { "c", why, "char", why, "why", why, NULL };
        bk_history_refuse(core->config.history, &attempt, bk_record_find(111, 0), false, true,
                          (struct bk_view){ 0 }, 0, values, &refusal);
        refuse_with(rq, &refusal, (struct bk_view){ 0 });
        return false;
    }
    struct bk_view domain = bk_view_skip(address, bk_view_find(address, '@') + 1);
    if (bk_directory_tenant_of(core->directory, domain))
        return true;
    char near[256];
    snprintf(near, sizeof near, "%.*s",
             BK_VIEW_ARGS(bk_directory_nearest_domain(core->directory, domain)));
    char name[256];
    snprintf(name, sizeof name, "%.*s", BK_VIEW_ARGS(domain));
    const char *values[] = { "domain", name, "nearest", near[0] ? near : "-", NULL };
    bk_history_refuse(core->config.history, &attempt, bk_record_find(220, 0), true, true,
                      (struct bk_view){ 0 }, 0, values, &refusal);
    refuse_with(rq, &refusal, (struct bk_view){ 0 });
    return false;
}

void handle_register(struct request *rq, struct link *link)
{
    struct bk_core *core = rq->core;
    struct bk_user user;
    char serial[40];
    struct wanted wanted[BK_SIP_CONTACT_MAX];
    int n;
    bool star;

    /* The address outlives what the handlers below put into the scratch buffers. */
    struct bk_view address = rq->target = bk_arena_copy(&core->arena, rq->target);
    if (bk_sip_txs_request(rq->shard->txs, asker_flow(&rq->asker), rq->msg, rq->head) ==
        BK_SIP_TXS_ABSORBED)
        return;
    if (core->draining) {
        refuse(rq, 408, 0, 503, NULL);
        return;
    }
    if (core->shedding && bk_list_empty(&link->bindings)) {
        const char *values[] = { "seconds", "30", "n", "30", NULL };
        refuse(rq, 404, 0, 503, values);
        return;
    }
    if (!address_is_ours(rq, link, address))
        return;
    struct bk_sip_uri from;
    bk_buf_clear(&core->sender);
    if (bk_sip_uri_parse(rq->head->from_uri, &from) < 0 ||
        bk_sip_uri_aor(&from, &core->sender) < 0 ||
        !bk_view_equal(bk_buf_view(&core->sender), address)) {
        refuse(rq, 214, 0, 0, NULL);
        return;
    }
    struct signin s = { .rq = rq, .link = link, .user = &user, .serial = serial };
    if (!identify_register(rq, link, address, &user, &s.road, serial))
        return;
    rq->identity = address;

    struct bk_attempt attempt;
    attempt_of(rq, address, user.id,
               rq->asker.dialect                                 ? ms_road_of(link, address)
               : s.road == ROAD_CERTIFICATE || link->certificate ? BK_VIEW("sip-certificate")
                                                                 : BK_VIEW("sip-digest"),
               endpoint_of_request(rq), &attempt);
    const struct bk_tenant *tenant = bk_directory_tenant(core->directory, user.tenant_id);
    const struct bk_record *record = bk_judge_account(&user, tenant, core_real(core));
    if (record) {
        struct bk_refusal refusal;
        bk_history_refuse(core->config.history, &attempt, record, false, true,
                          (struct bk_view){ 0 }, 0, NULL, &refusal);
        refuse_with(rq, &refusal, (struct bk_view){ 0 });
        return;
    }
    int64_t fallback = bk_policy_number(core->directory, &user, BK_POLICY_REGISTRATION_S);
    int status = read_contacts(rq, fallback, wanted, &n, &star);
    if (status) {
        answer(rq, status, BK_VIEW("Contact or Expires cannot be read"), (struct bk_view){ 0 });
        return;
    }
    s.person = bk_state_person(rq->shard->state, address, true);
    if (!s.person) {
        refuse(rq, 404, 0, 503, NULL);
        return;
    }
    s.person->server = rq->shard;
    s.person->holds++;
    if (apply_contacts(&s, wanted, n, star, &attempt)) {
        if (!bk_list_empty(&link->bindings))
            link_signed_in(core, link);
        if (rq->asker.dialect)
            answer_dialect(&s);
        else
            answer_registered(&s, n > 0 && wanted[0].ob);
        if (s.fresh) {
            core->metrics[BK_METRIC_SIGNINS]++;
            bk_history_accept(core->config.history, &attempt, (struct bk_view){ 0 });
            presence_load(core, s.person);
            presence_changed(core, s.person);
        }
        if (s.fresh)
            s.person->store_checked =
                false; /* what another endpoint could not show is for this one */
        message_drain(s.person);
    }
    s.person->holds--;
    bk_state_settle(s.person);
}

/* ---- the subscriptions of somebody whose sessions end ---- */

/*
 * They stand on links, not with the watcher: over UDP, or where a link is shared, no connection that closes takes
 * them along. They are looked for once for all who ended in that time, since that is a walk over every link.
 */
struct ended {
    struct bk_map_node in_ended;
    bool
        whole; /* the account: every subscription; else those on links where no session of his is left */
    size_t address_len;
    char address[];
};

enum { ENDED_LOOK_MS = 500 };

static struct ended *ended_find(struct bk_core *core, struct bk_view address)
{
    uint64_t hash = bk_hash(&core->config.hash_key, address);
    for (struct bk_map_node *n = bk_map_first(&core->ended, hash); n; n = bk_map_next(n)) {
        struct ended *e = bk_container_of(n, struct ended, in_ended);
        if (bk_view_equal((struct bk_view){ e->address, e->address_len }, address))
            return e;
    }
    return NULL;
}

static void ended_forget(struct bk_core *core, struct ended *e)
{
    if (e)
        bk_map_remove(&core->ended, &e->in_ended);
    free(e);
}

static bool organisation_ended(struct bk_core *core, struct bk_view address);

static bool has_session_on(const struct link *link, struct bk_view address)
{
    BK_LIST_EACH(&link->bindings, it)
    {
        const struct bk_binding *b = bk_container_of(it, struct bk_binding, in_link);
        if (bk_view_equal(bk_person_address(b->person), address))
            return true;
    }
    return false;
}

/* Why the subscriptions of this watcher on that link end; NULL: they stay. */
static const char *why_ended(struct bk_core *core, const struct link *link, struct bk_view watcher)
{
    const struct ended *e = core->ended.n_nodes ? ended_find(core, watcher) : NULL;
    if ((e && e->whole) || organisation_ended(core, watcher))
        return "rejected";
    return e && !has_session_on(link, watcher) ? "deactivated" : NULL;
}

static void link_look_at_watchers(struct bk_core *core, struct link *link)
{
    char last[BK_SIP_AOR_MAX + 1];
    size_t last_len = 0;
    const char *why = NULL;
    BK_LIST_EACH(&link->subscriptions, it)
    {
        struct bk_subscription *s = bk_container_of(it, struct bk_subscription, in_link);
        struct bk_view w = s->watcher;
        /* Nearly always one watcher a link: judged once. */
        if (!last_len || !bk_view_equal(w, (struct bk_view){ last, last_len })) {
            why = why_ended(core, link, w);
            last_len = w.len < sizeof last ? w.len : 0;
            memcpy(last, w.at, last_len);
        }
        if (why && s->notifier.state != BK_SIP_NOTIFIER_TERMINATED)
            subscription_end(s, why, true);
    }
}

static void look_at_watchers(struct bk_core *core)
{
    for (uint32_t i = 0; i < core->n_links; i++)
        if (core->links[i] && !bk_list_empty(&core->links[i]->subscriptions))
            link_look_at_watchers(core, core->links[i]);
    registrar_forget_ended(core);
}

void registrar_forget_ended(struct bk_core *core)
{
    struct bk_map_cursor cursor = { 0 };
    for (struct bk_map_node *n; (n = bk_map_walk(&core->ended, &cursor));)
        ended_forget(core, bk_container_of(n, struct ended, in_ended));
}

void registrar_ended_timer(struct bk_timer *timer)
{
    look_at_watchers(bk_container_of(timer, struct bk_core, ended_timer));
}

static void watcher_ended(struct bk_core *core, struct bk_view address, bool whole)
{
    struct ended *e = ended_find(core, address);
    if (!e && (e = calloc(1, sizeof *e + address.len))) {
        e->address_len = address.len;
        memcpy(e->address, address.at, address.len);
        if (bk_map_insert(&core->ended, &e->in_ended, bk_hash(&core->config.hash_key, address)) <
            0) {
            free(e);
            e = NULL;
        }
    }
    if (!e) {
        bk_log(core->config.log, BK_LOG_ERROR, "out of memory: subscriptions end when they expire");
        return;
    }
    e->whole |= whole;
    if (!bk_timer_armed(&core->ended_timer))
        bk_timer_arm(core->config.timers, &core->ended_timer, core_now(core) + ENDED_LOOK_MS);
}

/* ---- changes from outside ---- */

static bool is_meant(const struct bk_binding *b, struct bk_view serial, struct bk_view endpoint)
{
    return (!serial.len || bk_view_equal(serial, bk_view_of_str(b->serial))) &&
           (!endpoint.len || bk_view_equal(endpoint, b->endpoint));
}

static void end_all(struct bk_core *core, struct bk_person *person, struct bk_view serial,
                    struct bk_view endpoint, const struct bk_record *record, const char *event,
                    enum bk_signin_end why, struct bk_view who, int *ret_n)
{
    int before = *ret_n;
    person->holds++;
    BK_LIST_EACH(&person->bindings, it)
    {
        struct bk_binding *b = bk_container_of(it, struct bk_binding, in_person);
        if (!is_meant(b, serial, endpoint))
            continue;
        uint64_t link = b->link;
        tell_ended(core, b, record, event, who);
        ms_forget(core, link, bk_person_address(person), b->endpoint);
        binding_end(b, why);
        close_if_empty(core, link);
        ++*ret_n;
    }
    if (*ret_n > before)
        watcher_ended(core, bk_person_address(person), false);
    person->holds--;
    bk_state_settle(person);
}

static struct bk_person *find_person(struct bk_core *core, struct bk_view address)
{
    return bk_state_person(core_shard_of(core, address)->state, address, false);
}

void bk_core_user_changed(struct bk_core *core, struct bk_view address)
{
    struct bk_arena arena = { 0 };
    struct bk_user user;
    const struct bk_record *record;
    int n = 0;

    int r = bk_store_user(core->config.store, address, &arena, &user);
    if (r == -ENOENT)
        record = bk_record_find(201, 'a');
    else if (r < 0)
        record = NULL; /* the store cannot say: nobody is thrown out for that */
    else
        record = bk_judge_account(&user, bk_directory_tenant(core->directory, user.tenant_id),
                                  core_real(core));
    bk_arena_finish(&arena);
    if (record)
        watcher_ended(core, address, true);
    else if (r == 0)
        ended_forget(core, ended_find(core, address)); /* back before anybody looked */
    struct bk_person *person = find_person(core, address);
    if (!person)
        return;
    person->holds++;
    person->loaded = false;
    presence_load(core, person);
    if (record)
        end_all(core, person, (struct bk_view){ 0 }, (struct bk_view){ 0 }, record, "rejected",
                BK_SIGNIN_END_ATTRIBUTES, BK_VIEW("an administrator"), &n);
    ms_person_changed(core, person);
    presence_changed(core, person);
    person->holds--;
    bk_state_settle(person);
}

/* Only the organisation is looked at here, not each account: a few comparisons a person. */
static bool organisation_ended(struct bk_core *core, struct bk_view address)
{
    struct bk_user anybody = { .enabled = true, .licensed = true };
    const struct bk_tenant *tenant = bk_directory_tenant_of(
        core->directory, bk_view_skip(address, bk_view_find(address, '@') + 1));
    return bk_judge_account(&anybody, tenant, core_real(core)) != NULL;
}

static void sweep_shard(struct bk_core *core, struct shard *shard)
{
    /* Whose sessions end may take others out of the table that is walked: first the walk, then the ends. */
    struct bk_buf gone = { 0 };
    struct bk_map_cursor cursor = { 0 };
    for (struct bk_person *p; (p = bk_state_walk(shard->state, &cursor));)
        if (p->n_bindings && organisation_ended(core, bk_person_address(p))) {
            size_t whole = gone.len;
            bk_buf_add_view(&gone, bk_person_address(p));
            bk_buf_add_char(&gone, '\0');
            if (gone.failed) {
                gone.len = whole; /* the rest at the next sweep */
                break;
            }
        }
    struct bk_view rest = bk_buf_view(&gone);
    while (rest.len)
        bk_core_user_changed(core, bk_view_cut(&rest, '\0'));
    bk_buf_finish(&gone);
}

void bk_core_sweep(struct bk_core *core)
{
    for (unsigned i = 0; i < core->config.n_shards; i++)
        sweep_shard(core, &core->shards[i]);
    look_at_watchers(core);
}

static bool has_serial(const struct bk_person *person, struct bk_view serial)
{
    BK_LIST_EACH(&person->bindings, it)
    if (is_meant(bk_container_of(it, struct bk_binding, in_person), serial, (struct bk_view){ 0 }))
        return true;
    return false;
}

/* A certificate is one person's; should it be more, the walk begins anew: ends change what is walked. */
static struct bk_person *person_with_serial(struct shard *shard, struct bk_view serial)
{
    struct bk_map_cursor cursor = { 0 };
    for (struct bk_person *p; (p = bk_state_walk(shard->state, &cursor));)
        if (has_serial(p, serial))
            return p;
    return NULL;
}

void bk_core_certificate_revoked(struct bk_core *core, struct bk_view serial)
{
    int n = 0;
    for (unsigned i = 0; serial.len && i < core->config.n_shards; i++)
        for (struct bk_person *p; (p = person_with_serial(&core->shards[i], serial));)
            end_all(core, p, serial, (struct bk_view){ 0 }, bk_record_find(219, 0), "rejected",
                    BK_SIGNIN_END_ATTRIBUTES, BK_VIEW("an administrator"), &n);
}

void bk_core_device_password_changed(struct bk_core *core, struct bk_view address)
{
    struct bk_person *person = find_person(core, address);
    watcher_ended(core, address, false);
    if (!person)
        return;
    person->holds++;
    BK_LIST_EACH(&person->bindings, it)
    {
        struct bk_binding *b = bk_container_of(it, struct bk_binding, in_person);
        uint64_t link = b->link;
        const struct link *at = core_link(core, link);
        if (b->own || (at && ms_peer_of(at, address)))
            continue; /* signed in by its certificate, or by the account's password */
        binding_end(b, BK_SIGNIN_END_ATTRIBUTES);
        close_if_empty(core, link);
    }
    person->holds--;
    bk_state_settle(person);
}

void registrar_forbid(struct bk_core *core, struct bk_view address, struct bk_view endpoint)
{
    struct bk_person *person = find_person(core, address);
    int n = 0;
    if (person)
        end_all(core, person, (struct bk_view){ 0 }, endpoint, bk_record_find(102, 0), "rejected",
                BK_SIGNIN_END_ATTRIBUTES, BK_VIEW("an administrator"), &n);
}

int bk_core_sign_out(struct bk_core *core, struct bk_view address, struct bk_view endpoint)
{
    struct bk_person *person = find_person(core, address);
    int n = 0;
    if (person)
        end_all(core, person, (struct bk_view){ 0 }, endpoint, bk_record_find(222, 0),
                "unregistered", BK_SIGNIN_END_ADMIN, BK_VIEW("an administrator"), &n);
    return n;
}

void bk_core_sessions(struct bk_core *core, struct bk_view address,
                      void (*each)(void *ctx, const struct bk_session *row), void *ctx)
{
    int64_t now = core_now(core), real = core_real(core);
    for (unsigned i = 0; i < core->config.n_shards; i++) {
        struct bk_map_cursor cursor = { 0 };
        for (struct bk_person *p; (p = bk_state_walk(core->shards[i].state, &cursor));) {
            if (address.len && !bk_view_equal(address, bk_person_address(p)))
                continue;
            BK_LIST_EACH(&p->bindings, it)
            {
                const struct bk_binding *b = bk_container_of(it, struct bk_binding, in_person);
                const struct link *link = core_link(core, b->link);
                struct bk_view by_dialect =
                    link ? ms_road_of(link, bk_person_address(p)) : (struct bk_view){ 0 };
                struct bk_session row = {
                    .address = bk_person_address(p),
                    .endpoint = b->endpoint,
                    .client = b->client,
                    .contact = b->contact,
                    .ip = link ? bk_view_of_str(link->ip) : (struct bk_view){ 0 },
                    .road = b->own           ? BK_VIEW("certificate")
                            : by_dialect.len ? bk_view_skip(by_dialect, 4) /* without "sip-" */
                                             : BK_VIEW("digest"),
                    .shown = bk_view_of_str(bk_pidf_shown_name(p->shown)),
                    .since = b->since_real,
                    .expires_at = real + (b->expires_at - now),
                };
                each(ctx, &row);
            }
        }
    }
}

bool bk_core_drain(struct bk_core *core)
{
    if (!core->draining) {
        core->draining = true;
        for (unsigned i = 0; i < core->config.n_shards; i++) {
            struct bk_map_cursor cursor = { 0 };
            for (struct bk_person *p; (p = bk_state_walk(core->shards[i].state, &cursor));) {
                BK_LIST_EACH(&p->bindings, it)
                tell_ended(core, bk_container_of(it, struct bk_binding, in_person),
                           bk_record_find(408, 0), "deactivated", BK_VIEW("maintenance"));
            }
        }
    }
    return bk_core_metric(core, BK_METRIC_TRANSACTIONS) == 0 && bk_bus_waiting(core->bus) == 0;
}
