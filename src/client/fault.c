/* SPDX-License-Identifier: Apache-2.0 */
#include "client/fault.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char no_answer_at_all[] = "no answer at all, as if filtered";

static void set_text(char *to, size_t size, const char *text)
{
    (void)snprintf(to, size, "%s", text ? text : "");
}

void bk_fault_set(struct bk_fault *fault, unsigned number, char sub, const char *server,
                  const char *why, const char *detail)
{
    *fault = (struct bk_fault){ .record = bk_record_find(number, sub) };
    set_text(fault->server, sizeof fault->server, server);
    set_text(fault->why, sizeof fault->why, why);
    set_text(fault->detail, sizeof fault->detail, detail);
}

const struct bk_record *bk_fault_record_of_id(struct bk_view diagnostics)
{
    const struct bk_record *record;
    uint64_t id = 0;
    if (bk_view_to_u64(bk_view_trim(bk_view_head(diagnostics, bk_view_find(diagnostics, ';'))),
                       UINT32_MAX, &id) < 0)
        return NULL;
    for (size_t i = 0; id && (record = bk_record_at(i)) != NULL; i++)
        if (record->diagnostics == id)
            return record;
    return NULL;
}

void bk_fault_of_tls(struct bk_fault *fault, enum bk_tls_fault tls, const char *server,
                     const char *detail)
{
    static const struct {
        unsigned number;
        char sub;
    } records[] = {
        [BK_TLS_OK] = { 310, 0 },
        [BK_TLS_EXPIRED] = { 309, 'a' },
        [BK_TLS_NOT_YET_VALID] = { 309, 'b' },
        [BK_TLS_WRONG_NAME] = { 309, 'c' },
        [BK_TLS_CHAIN_INCOMPLETE] = { 309, 'd' },
        [BK_TLS_UNKNOWN_ROOT] = { 309, 'e' },
        [BK_TLS_SELF_SIGNED] = { 309, 'e' },
        [BK_TLS_REVOKED] = { 309, 'f' },
        [BK_TLS_WEAK] = { 309, 'h' },
        [BK_TLS_NO_COMMON_VERSION] = { 310, 0 },
        [BK_TLS_NOT_TLS] = { 303, 0 },
        [BK_TLS_CLIENT_REJECTED] = { 105, 0 },
        [BK_TLS_OTHER] = { 310, 0 },
    };
    size_t at = (size_t)tls < BK_COUNT_OF(records) ? (size_t)tls : BK_TLS_OTHER;
    bk_fault_set(fault, records[at].number, records[at].sub, server, bk_tls_fault_text(tls),
                 detail);
}

void bk_fault_of_conn(struct bk_fault *fault, enum bk_conn_end end, enum bk_tls_fault tls,
                      const char *server, const char *detail)
{
    switch (end) {
    case BK_CONN_END_TLS:
        bk_fault_of_tls(fault, tls, server, detail);
        return;
    case BK_CONN_END_REFUSED:
        bk_fault_set(fault, 302, 0, server, "connection refused, nothing listens there", detail);
        return;
    case BK_CONN_END_UNREACHABLE:
        bk_fault_set(fault, 302, 0, server, "no route to the host", detail);
        fault->silent = true;
        return;
    case BK_CONN_END_TIMEOUT:
        bk_fault_set(fault, 302, 0, server, no_answer_at_all, detail);
        fault->silent = true;
        return;
    default:
        bk_fault_set(fault, 302, 0, server, "the connection was closed at once", detail);
    }
}

void bk_fault_of_dns(struct bk_fault *fault, enum bk_dns_result result, const char *name)
{
    char why[200];
    (void)snprintf(why, sizeof why, "%.120s: %s", name, bk_dns_result_text(result));
    switch (result) {
    case BK_DNS_FOUND:
    case BK_DNS_NO_NAME:
    case BK_DNS_NO_DATA:
        bk_fault_set(fault, 301, 0, name, why, "");
        return;
    case BK_DNS_SERVER_FAILED:
        bk_fault_set(fault, 303, 'a', name, why, "");
        return;
    default:
        bk_fault_set(fault, 312, 0, name, why, "");
        fault->silent = true;
    }
}

/* ---- proxies ---- */

/* "HTTP status 403 Forbidden" */
static void status_text(const struct bk_tunnel_answer *tunnel, char *to, size_t size)
{
    (void)snprintf(to, size, "HTTP status %d%s%s", tunnel->status, tunnel->reason[0] ? " " : "",
                   tunnel->reason);
}

/* It said nothing that could be read. */
static void fault_of_mute_proxy(struct bk_fault *fault, const struct bk_tunnel_answer *tunnel,
                                enum bk_conn_end end, const char *proxy, const char *detail)
{
    struct bk_fault plain;
    bk_fault_of_conn(&plain, end, BK_TLS_OK, proxy, detail);
    const char *why = plain.why;
    if (tunnel->asked && end == BK_CONN_END_TIMEOUT)
        why = "it was reached but did not answer";
    else if (tunnel->asked)
        why = tunnel->fault ? tunnel->fault : "it cut the connection";
    bk_fault_set(fault, 306, 'c', proxy, why, detail);
    fault->silent = plain.silent && !tunnel->asked;
}

static void fault_of_login(struct bk_fault *fault, const struct bk_tunnel_answer *tunnel,
                           const char *proxy, const char *detail)
{
    char why[200];
    if (!bk_tunnel_offers(tunnel, BK_VIEW("Basic")))
        (void)snprintf(why, sizeof why, "it wants %s, of which this app has none",
                       tunnel->schemes[0] ? tunnel->schemes : "nothing that it names");
    else
        (void)snprintf(why, sizeof why, "%s (HTTP status 407, %s)",
                       tunnel->login_sent ? "it does not accept the user name and password"
                                          : "it wants a user name and password",
                       tunnel->schemes);
    bk_fault_set(fault, 306, 'a', proxy, why, detail);
}

void bk_fault_of_proxy(struct bk_fault *fault, const struct bk_tunnel_answer *tunnel,
                       enum bk_conn_end end, const char *proxy, const char *server)
{
    char status[120], detail[400], why[200];
    status_text(tunnel, status, sizeof status);
    (void)snprintf(detail, sizeof detail, "CONNECT %.180s through %.120s: %s", server, proxy,
                   tunnel->status ? status : "no answer that can be read");
    switch (tunnel->status) {
    case 0:
        fault_of_mute_proxy(fault, tunnel, end, proxy, detail);
        return;
    case 407:
        fault_of_login(fault, tunnel, proxy, detail);
        return;
    case 404:
    case 500:
    case 502:
    case 503:
    case 504: /* it is a gateway here, and tells of what lies behind it (RFC 9110 15.6) */
        (void)snprintf(why, sizeof why, "the proxy %.90s could not reach it: %.80s", proxy, status);
        bk_fault_set(fault, 302, 0, server, why, detail);
        return;
    default:
        bk_fault_set(fault, 306, 'b', proxy, status, detail);
    }
}

void bk_fault_of_proxy_name(struct bk_fault *fault, enum bk_dns_result result, const char *proxy)
{
    struct bk_fault plain;
    bk_fault_of_dns(&plain, result, proxy);
    bk_fault_set(fault, 306, 'c', proxy, plain.why, "");
    fault->silent = plain.silent;
}

static void fault_of_http_proxy(struct bk_fault *fault, const struct bk_http_result *result,
                                const char *server)
{
    switch (result->how_proxy) {
    case BK_HTTP_DNS:
        bk_fault_of_proxy_name(fault, result->dns_result, result->proxy);
        return;
    case BK_HTTP_CONNECT:
    case BK_HTTP_PROXY:
        bk_fault_of_proxy(fault, &result->tunnel, result->conn_end, result->proxy, server);
        return;
    default:
        bk_fault_set(fault, 306, 'd', "", result->detail, "");
    }
}

void bk_fault_of_http(struct bk_fault *fault, const struct bk_http_result *result,
                      const char *server)
{
    switch (result->failure) {
    case BK_HTTP_DNS:
        bk_fault_of_dns(fault, result->dns_result, server);
        return;
    case BK_HTTP_CONNECT:
        bk_fault_of_conn(fault, result->conn_end, result->tls_fault, server, result->detail);
        fault->silent = fault->silent && !result->proxy[0]; /* the proxy did say something */
        return;
    case BK_HTTP_TLS:
        bk_fault_of_tls(fault, result->tls_fault, server, result->detail);
        return;
    case BK_HTTP_PROXY:
        fault_of_http_proxy(fault, result, server);
        return;
    case BK_HTTP_TIMEOUT:
        bk_fault_set(fault, 302, 0, server, "no answer within the time allowed", result->detail);
        return;
    case BK_HTTP_BAD_URL:
        bk_fault_set(fault, 305, 0, server, "the address of the service is no https URL",
                     result->detail);
        return;
    default:
        bk_fault_set(fault, 305, 0, server, "the answer is not HTTP", result->detail);
    }
}

/* ---- rows ---- */

void bk_tried_clear(struct bk_tried *tried)
{
    tried->n = 0;
}

void bk_tried_finish(struct bk_tried *tried)
{
    free(tried->rows);
    *tried = (struct bk_tried){ 0 };
}

void bk_tried_add(struct bk_tried *tried, const char *kind, const char *name, const char *result,
                  const struct bk_fault *fault)
{
    if (!tried->rows)
        tried->rows = calloc(BK_TRIED_MAX, sizeof *tried->rows);
    if (!tried->rows || tried->n == BK_TRIED_MAX)
        return;
    struct bk_tried_row *row = &tried->rows[tried->n++];
    *row = (struct bk_tried_row){ 0 };
    set_text(row->kind, sizeof row->kind, kind);
    set_text(row->name, sizeof row->name, name);
    set_text(row->result, sizeof row->result, result);
    if (fault)
        row->fault = *fault;
}

/* How near to the server a fault was. Rows about names weigh least and are judged together. */
static int nearness(const struct bk_record *record)
{
    switch (record ? record->number : 0) {
    case 0:
        return -1;
    case 301:
    case 312:
        return 0;
    case 303:
    case 305:
        return 1;
    case 302:
    case 307:
        return 2;
    default:
        return 3;
    }
}

/* Only names were asked, and none led anywhere. */
static void judge_names(const struct bk_tried *tried, const char *domain, struct bk_fault *ret)
{
    const struct bk_tried_row *silent = NULL;
    int n_silent = 0, n_names = 0;
    for (int i = 0; i < tried->n; i++) {
        const struct bk_record *record = tried->rows[i].fault.record;
        if (!record)
            continue;
        n_names++;
        if (record->number == 312) {
            n_silent++;
            silent = &tried->rows[i];
        }
    }
    if (!n_silent) {
        bk_fault_set(ret, 301, 0, domain, "", "");
    } else if (n_silent == n_names) {
        *ret = silent->fault;
    } else {
        /* Some names were answered, so there is a network; that one answer is missing is the resolver's fault. */
        bk_fault_set(ret, 303, 'a', domain, silent->fault.why, silent->fault.detail);
    }
}

/* No name server and no server: then it is not theirs. */
static bool nobody_spoke(const struct bk_tried *tried, struct bk_fault *ret)
{
    const struct bk_fault *offline = NULL;
    for (int i = 0; i < tried->n; i++) {
        const struct bk_fault *fault = &tried->rows[i].fault;
        if (!fault->silent)
            return false;
        if (fault->record->number == 312)
            offline = fault;
    }
    if (offline)
        *ret = *offline;
    return offline != NULL;
}

static bool https_worked(const struct bk_tried *tried)
{
    for (int i = 0; i < tried->n; i++)
        if (!tried->rows[i].fault.record && (strcmp(tried->rows[i].kind, "https") == 0 ||
                                             strcmp(tried->rows[i].kind, "sign-in") == 0))
            return true;
    return false;
}

void bk_tried_judge(const struct bk_tried *tried, const char *domain, struct bk_fault *ret)
{
    int best = -1, at = -1;
    if (nobody_spoke(tried, ret))
        return;
    for (int i = 0; i < tried->n; i++) {
        int near = nearness(tried->rows[i].fault.record);
        /* The remembered server counts only when discovery says nothing better: it is first in the list. */
        if (near > best ||
            (near == best && near > 0 && at >= 0 && strcmp(tried->rows[at].kind, "cached") == 0)) {
            best = near;
            at = i;
        }
    }
    if (best <= 0) {
        judge_names(tried, domain, ret);
        return;
    }
    *ret = tried->rows[at].fault;
    if (strcmp(ret->why, no_answer_at_all) == 0 && https_worked(tried))
        ret->record = bk_record_find(307, 0); /* one port is filtered while another works */
}

/* ---- telling ---- */

enum { VALUES_MAX = 6 }; /* the names bk_record_text knows */

static const char *value_of(const struct bk_client_value *values, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(values[i].name, name) == 0)
            return values[i].value;
    return NULL;
}

static const char *fill(struct bk_arena *arena, const char *text,
                        const struct bk_client_value *values, int n)
{
    BK_AUTO_BUF struct bk_buf to = { 0 };
    bk_record_text(&to, text, "server", value_of(values, n, "server"), "why",
                   value_of(values, n, "why"), "address", value_of(values, n, "address"), "domain",
                   value_of(values, n, "domain"), "minutes", value_of(values, n, "minutes"),
                   "seconds", value_of(values, n, "seconds"), NULL);
    if (!to.failed && !to.len)
        return "";
    return to.failed ? NULL : bk_arena_copy(arena, bk_buf_view(&to)).at;
}

static const char *copy_view(struct bk_arena *arena, struct bk_view text)
{
    return text.len ? bk_arena_copy(arena, text).at : "";
}

static const char *copy(struct bk_arena *arena, const char *text)
{
    return *text ? bk_arena_copy(arena, bk_view_of_str(text)).at : "";
}

/*
 * What is known here; where the server told the sentence, the values it put into it count more: it knows for how many minutes an
 * account is locked.
 */
static int tell_values(const struct bk_fault *fault, const struct bk_record *record,
                       const char *address, const char *domain, struct bk_arena *arena,
                       struct bk_client_failure *ret)
{
    struct bk_record_value told[VALUES_MAX];
    int n_told = *fault->text ? bk_record_values(record->user_text, bk_view_of_str(fault->text),
                                                 told, VALUES_MAX)
                              : 0;
    char minutes[16], seconds[16];
    (void)snprintf(minutes, sizeof minutes, "%d", fault->minutes);
    (void)snprintf(seconds, sizeof seconds, "%d", fault->retry_after_s);
    const struct bk_client_value own[VALUES_MAX] = {
        { "server", fault->server }, { "why", fault->why },  { "address", address },
        { "domain", domain },        { "minutes", minutes }, { "seconds", seconds },
    };
    struct bk_client_value *values = bk_arena_alloc(arena, VALUES_MAX * sizeof *values);
    if (!values)
        return -ENOMEM;
    for (int i = 0; i < VALUES_MAX; i++) {
        struct bk_view value = bk_view_of_str(own[i].value);
        for (int j = 0; j < n_told; j++)
            if (bk_view_equal(told[j].name, bk_view_of_str(own[i].name)))
                value = told[j].value;
        values[i] = (struct bk_client_value){ own[i].name, copy_view(arena, value) };
        if (!values[i].value)
            return -ENOMEM;
    }
    ret->other_words = n_told < 0;
    ret->values = values;
    ret->n_values = VALUES_MAX;
    return 0;
}

static int tell_steps(const struct bk_tried *tried, struct bk_arena *arena,
                      struct bk_client_failure *ret)
{
    int n = tried ? tried->n : 0;
    struct bk_client_step *steps = bk_arena_alloc(arena, (size_t)(n ? n : 1) * sizeof *steps);
    if (!steps)
        return -ENOMEM;
    for (int i = 0; i < n; i++) {
        const struct bk_tried_row *row = &tried->rows[i];
        steps[i] = (struct bk_client_step){
            .kind = copy(arena, row->kind),
            .name = copy(arena, row->name),
            .result = copy(arena, row->result),
            .detail = copy(arena, row->fault.detail),
        };
        if (!steps[i].kind || !steps[i].name || !steps[i].result || !steps[i].detail)
            return -ENOMEM;
    }
    ret->steps = steps;
    ret->n_steps = n;
    return 0;
}

int bk_fault_tell(const struct bk_fault *fault, const struct bk_tried *tried, const char *address,
                  const char *domain, struct bk_arena *arena, struct bk_client_failure *ret)
{
    static const struct bk_record none = { .user_text = "", .user_does = "", .admin_text = "" };
    const struct bk_record *record = fault->record ? fault->record : &none;
    char id[12] = "";
    if (fault->record)
        bk_record_id(record, id);
    struct bk_client_failure f = {
        .record = fault->record,
        .id = copy(arena, id),
        .case_code = copy(arena, fault->case_code),
        .detail = copy(arena, fault->detail),
    };
    if (tell_values(fault, record, address, domain, arena, &f) < 0)
        return -ENOMEM;
    f.user_text = *fault->text ? copy(arena, fault->text)
                               : fill(arena, record->user_text, f.values, f.n_values);
    f.user_does = fill(arena, record->user_does, f.values, f.n_values);
    f.admin_text = fill(arena, record->admin_text, f.values, f.n_values);
    if (!f.user_text || !f.user_does || !f.admin_text || !f.detail || !f.id || !f.case_code)
        return -ENOMEM;
    int r = tell_steps(tried, arena, &f);
    if (r == 0)
        *ret = f;
    return r;
}

int bk_fault_detail_time(const char *detail, const char *label, int64_t *ret_real_ms)
{
    const char *at = detail ? strstr(detail, label) : NULL;
    if (!at)
        return -ENOENT;
    at += strlen(label);
    struct bk_view text = bk_view_head(bk_view_of_str(at), sizeof "2026-11-22T05:26:04Z" - 1);
    return bk_time_iso_parse(text, ret_real_ms) < 0 ? -ENOENT : 0;
}
