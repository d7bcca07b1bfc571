/* SPDX-License-Identifier: Apache-2.0 */
/* What the core answers and refuses, and the names it gives itself in messages. */
#include "server/core_private.h"

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
