/* SPDX-License-Identifier: Apache-2.0 */
/* What the core answers and refuses, and the names it gives itself in messages. */
#include "ms/diagnostics.h"
#include "server/core_private.h"

#include <stdio.h>

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
    bk_sip_response_begin(&core->out, rq->origin ? rq->origin : rq->msg, status, reason,
                          status == 100 ? (struct bk_view){ 0 } : bk_view_of_str(tag), &source);
}

/*
 * To an address that may be forged never more than twice the bytes (docs/limits.md, "Rates"): an answer that would be
 * larger is made without what it can do without (docs/decisions/0006).
 */
static bool is_too_big(const struct request *rq)
{
    return rq->asker.transport == BK_LINK_UDP && !rq->identity.len &&
           rq->core->out.len > 2 * rq->msg->bytes.len;
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
    if (is_too_big(rq)) {
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
    if (is_too_big(rq) && status != 401 && status != 407) {
        answer_begin(rq, status, reason);
        bk_sip_end(&rq->core->out, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    }
    answer_send(rq, status);
}

bool answer_fits(const struct request *rq, int status, struct bk_view extra)
{
    if (rq->asker.transport != BK_LINK_UDP)
        return true;
    answer_begin(rq, status, (struct bk_view){ 0 });
    bk_buf_add_view(&rq->core->out, extra);
    bk_sip_end(&rq->core->out, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    return !is_too_big(rq);
}

void answer(const struct request *rq, int status, struct bk_view reason, struct bk_view extra)
{
    answer_body(rq, status, reason, extra, (struct bk_view){ 0 }, (struct bk_view){ 0 });
}

static void diagnostics_line(struct bk_core *core, const struct bk_refusal *refusal,
                             struct bk_buf *to)
{
    struct bk_buf value = { 0 };
    bk_refusal_diagnostics(core->config.history, refusal, &value);
    bk_sip_field_add(to, BK_SIP_HDR_MS_DIAGNOSTICS, bk_buf_view(&value));
    bk_buf_finish(&value);
}

void refusal_public_line(struct bk_core *core, const struct bk_refusal *refusal, struct bk_buf *to)
{
    struct bk_buf value = { 0 };
    struct bk_ms_diagnostics what = { .record = refusal->record,
                                      .reason = bk_view_of_str(refusal->text),
                                      .source = bk_view_of_str(core->config.host),
                                      .case_code = bk_view_of_str(refusal->case_code) };
    bk_ms_diagnostics_write(&value, &what);
    bk_sip_field_add_named(to, BK_VIEW("ms-diagnostics-public"), bk_buf_view(&value));
    bk_buf_finish(&value);
}

void refusal_lines(struct bk_core *core, const struct bk_refusal *refusal, struct bk_buf *to)
{
    struct bk_buf value = { 0 }, text = { 0 };
    diagnostics_line(core, refusal, to);
    bk_buf_addf(&value, "399 %s ", core->config.host);
    bk_buf_addf(&text, "%s (%s)", refusal->text, refusal->case_code);
    bk_sip_quote(&value, bk_buf_view(&text));
    bk_sip_field_add(to, BK_SIP_HDR_WARNING, bk_buf_view(&value));
    if (refusal->retry_after_s > 0)
        bk_sip_field_addf(to, BK_SIP_HDR_RETRY_AFTER, "%d", refusal->retry_after_s);
    bk_buf_finish(&value);
    bk_buf_finish(&text);
}

/* Of a REGISTER the Lync dialect understands these alone; at any other its clients wait for ever. */
static int shaped_status(const struct request *rq, int status)
{
    bool shaped = rq->asker.dialect && rq->msg->method == BK_SIP_REGISTER;
    return !shaped || status == 404 || status == 503 ? status : 403;
}

void refuse_with(const struct request *rq, const struct bk_refusal *refusal, struct bk_view extra)
{
    int status = shaped_status(rq, refusal->status);
    struct bk_core *core = rq->core;
    /* From all that is said down to the bare answer, the first that may go out. */
    enum { WHOLE, DIAGNOSTICS, CASE, BARE };
    core->metrics[BK_METRIC_REFUSALS]++;
    if (rq->msg->method == BK_SIP_ACK)
        return;
    for (int much = WHOLE; much <= BARE; much++) {
        char text[32];
        snprintf(text, sizeof text, "Case %s", refusal->case_code);
        /* All that some clients show is the reason phrase (tests/interop/README.md). */
        answer_begin(rq, status,
                     much == BARE   ? (struct bk_view){ 0 }
                     : much == CASE ? bk_view_of_str(text)
                                    : bk_view_of_str(refusal->text));
        if (much == WHOLE)
            refusal_lines(core, refusal, &core->out);
        else if (much == DIAGNOSTICS)
            diagnostics_line(core, refusal, &core->out);
        if (rq->asker.dialect)
            refusal_public_line(core, refusal, &core->out);
        bk_buf_add_view(&core->out, extra);
        bk_sip_end(&core->out, (struct bk_view){ 0 }, (struct bk_view){ 0 });
        if (!is_too_big(rq))
            break;
    }
    answer_send(rq, status);
}

static void refuse_record(const struct request *rq, const struct bk_record *record, int status,
                          int retry_after_s, const char *const *values, struct bk_view detail)
{
    struct bk_refusal refusal;
    struct bk_attempt attempt;
    /* What a stranger says in From would be a row of the history each. */
    struct bk_view who = rq->identity.len                     ? rq->identity
                         : rq->msg->method == BK_SIP_REGISTER ? rq->head->from_uri
                                                              : (struct bk_view){ 0 };
    attempt_of(rq, who, 0, bk_sip_method_name(rq->msg->method), (struct bk_view){ 0 }, &attempt);
    bk_history_refuse(rq->core->config.history, &attempt, record, false, true, detail,
                      retry_after_s, values, &refusal);
    if (status)
        refusal.status = status;
    refuse_with(rq, &refusal, (struct bk_view){ 0 });
}

void refuse(const struct request *rq, unsigned number, char sub, int status,
            const char *const *values)
{
    static const char *const busy[] = { "seconds", "10", NULL };
    int retry_after_s =
        number == 404 || number == 408 ? 10 : 0; /* SI-404 busy, SI-408 maintenance */
    refuse_record(rq, bk_record_find(number, sub), status, retry_after_s,
                  values || !retry_after_s ? values : busy, (struct bk_view){ 0 });
}

void refuse_why(const struct request *rq, unsigned number, int status, int retry_after_s,
                const char *const *values, struct bk_view detail)
{
    refuse_record(rq, bk_record_find(number, 0), status, retry_after_s, values, detail);
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
