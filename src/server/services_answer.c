/* SPDX-License-Identifier: Apache-2.0 */
/* How the requests over HTTPS are answered: JSON, faults of the request, refusals. */
#include "server/services_private.h"

#include "base/cleanup.h"
#include "ms/ws.h"
#include "server/json.h"

#include <stdio.h>

void services_attempt(const struct bk_services *s, struct bk_http_exchange *x, struct bk_view road,
                      char ip_text[64], struct bk_attempt *ret)
{
    const struct bk_addr *peer = bk_conn_peer(bk_http_conn(x));
    bk_addr_host_text(peer, ip_text);
    *ret = (struct bk_attempt){
        .ip = bk_view_of_str(ip_text),
        .net_key = bk_addr_net_key(peer),
        .transport = BK_VIEW("https"),
        .road = road,
        .own_network = s->config.own_network ? s->config.own_network(s->config.ctx, peer)
                                             : bk_addr_is_private(peer),
    };
}

void services_answer(struct bk_http_exchange *x, int status, struct bk_view json)
{
    bk_http_answer_field(x, "Cache-Control", BK_VIEW("no-store"));
    bk_http_answer(x, status, "application/json", json);
}

void services_say(struct bk_http_exchange *x, int status, const char *text, int64_t at)
{
    BK_AUTO_BUF struct bk_buf json = { 0 };
    bk_buf_add_lit(&json, "{\"record\":null,\"id\":null,\"case\":null,\"text\":");
    bk_json_add_string(&json, bk_view_of_str(text));
    if (at >= 0)
        bk_buf_addf(&json, ",\"at\":%lld", (long long)at);
    bk_buf_add_lit(&json, ",\"retry_after\":null}");
    services_answer(x, status, bk_buf_view(&json));
}

void services_say_allowed(struct bk_http_exchange *x, const char *allowed)
{
    char text[128];
    snprintf(text, sizeof text, "This address takes only %s.", allowed);
    bk_http_answer_field(x, "Allow", bk_view_of_str(allowed));
    services_say(x, 405, text, -1);
}

static void add_refusal_fields(const struct bk_services *s, struct bk_http_exchange *x,
                               const struct bk_refusal *refusal)
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    bk_refusal_diagnostics(s->config.history, refusal, &text);
    bk_http_answer_field(x, "X-Ms-diagnostics", bk_buf_view(&text));
    if (refusal->retry_after_s > 0) {
        bk_buf_clear(&text);
        bk_buf_addf(&text, "%d", refusal->retry_after_s);
        bk_http_answer_field(x, "Retry-After", bk_buf_view(&text));
    }
}

void services_answer_xml(struct bk_http_exchange *x, const char *content_type,
                         const struct bk_buf *xml)
{
    if (xml->failed) {
        services_say(x, 503, "Out of memory.", -1);
        return;
    }
    bk_http_answer_field(x, "Cache-Control", BK_VIEW("no-store"));
    bk_http_answer(x, 200, content_type, bk_buf_view(xml));
}

void services_answer_fault(const struct bk_services *s, struct bk_http_exchange *x,
                           const struct bk_refusal *refusal)
{
    BK_AUTO_BUF struct bk_buf text = { 0 }, xml = { 0 };
    add_refusal_fields(s, x, refusal);
    bk_buf_addf(&text, "%s (%s)", refusal->text, refusal->case_code);
    bk_ms_ws_fault(&xml, refusal->diagnostics, bk_buf_view(&text));
    services_answer_xml(x, "text/xml; charset=utf-8", &xml);
}

void services_answer_refusal(const struct bk_services *s, struct bk_http_exchange *x,
                             const struct bk_refusal *refusal, struct bk_view members)
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    add_refusal_fields(s, x, refusal);
    if (refusal->status == 401)
        bk_http_answer_field(x, "WWW-Authenticate",
                             BK_VIEW("Beckon")); /* RFC 9110 15.5.2: one must be there */
    bk_refusal_json(refusal, &text);
    if (members.len && text.len) {
        text.len--; /* the last brace */
        bk_buf_add_view(&text, members);
        bk_buf_add_char(&text, '}');
    }
    services_answer(x, refusal->status, bk_buf_view(&text));
}

void services_add_sip(const struct bk_services *s, struct bk_buf *to)
{
    bk_buf_add_lit(to, "\"sip\":[");
    for (size_t i = 0; i < s->config.n_sip; i++) {
        const struct bk_services_sip *sip = &s->config.sip[i];
        bk_buf_addf(to, "%s{\"host\":", i ? "," : "");
        bk_json_add_string(to, bk_view_of_str(sip->host));
        bk_buf_addf(to, ",\"port\":%u,\"transport\":", (unsigned)sip->port);
        bk_json_add_string(to, bk_view_of_str(sip->transport));
        bk_buf_add_lit(to, ",\"where\":");
        bk_json_add_string(to, bk_view_of_str(sip->where));
        bk_buf_add_char(to, '}');
    }
    bk_buf_add_char(to, ']');
}
