/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTPS requests under the services base (docs/https.md), one at a time, and the report of our half of a case. */
#include "base/cleanup.h"
#include "base/text.h"
#include "client/client_private.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

enum { REPORT_BYTES_MAX = 16 * 1024, RENEW_AGAIN_MS = 3600 * 1000, RENEW_SOON_MS = 1000 };

static void free_secret_text(char **text)
{
    if (*text)
        bk_wipe(*text, strlen(*text));
    free(*text);
}
#define AUTO_SECRET BK_CLEANUP(free_secret_text) char

static int call(struct bk_client *c, const char *method, const char *services, const char *verb,
                struct bk_tls_client *tls, const char *body,
                void (*done)(void *ctx, const struct bk_http_result *result))
{
    if (c->call)
        bk_http_call_cancel(c->call);
    c->call = NULL;
    (void)snprintf(c->url, sizeof c->url, "%s%s", services, verb);
    struct bk_http_call_config config = {
        .method = method,
        .url = c->url,
        .tls = tls,
        .dns = c->dns,
        .proxies = c->proxies,
        .accept = "application/json",
        .content_type = body ? "application/json" : NULL,
        .body = bk_view_of_str(body),
        .timeout_ms = c->timing.http_ms,
    };
    return bk_http_call(c->loop, &config, done, c, &c->call);
}

static json_t *common_fields(struct bk_client *c)
{
    char now[32];
    bk_time_iso(bk_client_real(c), true, now);
    return json_pack("{s:s,s:s,s:s,s:{s:s,s:s,s:s}}", "address", c->address, "time", now, "client",
                     c->user_agent, "device", "id", c->profile.endpoint, "name", c->device_name,
                     "kind", c->device_kind);
}

/* The text of the object; the object is given up. */
static char *text_of(json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

/* The host an URL leads to, for rows and texts. */
static const char *server_of(struct bk_client *c, char to[288])
{
    struct bk_url url;
    to[0] = 0;
    if (bk_url_parse(bk_view_of_str(c->url), &url) == 0)
        (void)snprintf(to, 288, "%.*s:%u", BK_VIEW_ARGS(bk_view_head(url.host, 255)), url.port);
    return to;
}

/* ---- answers that every request may get ---- */

/* A refusal without a readable record still has a status. */
static const struct bk_record *record_of_status(int status)
{
    switch (status) {
    case 401:
        return bk_record_find(202, 0);
    case 429:
    case 503:
        return bk_record_find(404, 0);
    case 404:
        return bk_record_find(305, 0);
    default:
        return bk_record_find(status >= 500 ? 401 : 305, 0);
    }
}

static void fault_of_answer(struct bk_client *c, const struct bk_http_result *result,
                            struct bk_fault *ret)
{
    char server[288], detail[400], why[80];
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_answer_refusal refusal = { "", "", "", 0 };
    (void)bk_answer_refusal_parse(result->body, result->diagnostics, &arena, &refusal);
    (void)snprintf(detail, sizeof detail, "%.180s: HTTP status %d %.*s", c->url, result->status,
                   BK_VIEW_ARGS(bk_view_head(result->diagnostics, 160)));
    (void)snprintf(why, sizeof why, "HTTP status %d", result->status);
    bk_fault_set(ret, 0, 0, server_of(c, server), why, detail);
    ret->record = *refusal.record ? bk_record_parse(bk_view_of_str(refusal.record))
                                  : record_of_status(result->status);
    (void)snprintf(ret->case_code, sizeof ret->case_code, "%s", refusal.case_code);
    (void)snprintf(ret->text, sizeof ret->text, "%s", refusal.text);
    uint64_t seconds = 0;
    if (bk_view_to_u64(result->retry_after, 24 * 3600, &seconds) == 0)
        ret->retry_after_s = (int)seconds;
    if (refusal.retry_after_s > ret->retry_after_s)
        ret->retry_after_s = refusal.retry_after_s;
}

/* Nobody answered: the offer leads nowhere. */
static void no_answer(struct bk_client *c, const struct bk_http_result *result)
{
    struct bk_fault fault;
    char server[288];
    bk_fault_of_http(&fault, result, server_of(c, server));
    bk_tried_add(&c->tried, "sign-in", server, fault.why, &fault);
    bk_client_feed(c, IN_NEXT_OFFER);
}

static void refuse_request(struct bk_client *c, const char *why)
{
    struct bk_fault fault;
    char server[288];
    bk_fault_set(&fault, 305, 0, server_of(c, server), why, c->url);
    bk_client_fail(c, &fault);
}

/* ---- the certificate ---- */

int bk_services_use_identity(struct bk_client *c)
{
    static const char *const alpn[] = { "beckon", NULL };
    BK_AUTO_BUF struct bk_buf pem = { 0 };
    bk_buf_add_view(&pem, bk_buf_view(&c->profile.identity));
    const char *text = bk_buf_cstr(&pem);
    if (!text)
        return -ENOMEM;
    struct bk_tls_client_config config = {
        .ca_file = c->ca_file,
        .only_ca_file = c->only_ca_file,
        .cert_pem = text,
        .key_pem = text,
        .alpn = alpn,
        .real_ms = c->clock->real_ms,
        .real_ms_ctx = c->clock->ctx,
    };
    struct bk_tls_client *tls;
    BK_AUTO_FREE char *why = NULL;
    int r = bk_tls_client_create(&config, &tls, &why);
    bk_wipe(pem.at, pem.len);
    if (r < 0)
        return r;
    (void)bk_tls_client_unref(c->tls_own);
    c->tls_own = tls;
    return 0;
}

/* SI-112: signed in, but the next start will ask again. */
static void tell_not_kept(struct bk_client *c, int r)
{
    struct bk_fault fault;
    bk_fault_set(&fault, 112, 0, "", "", strerror(-r));
    bk_tell_fault(c, BK_CLIENT_EVENT_NOTICE, &fault, BK_CLIENT_NEXT_STOP, 0);
}

/* Said once: the next save finds the file, and says nothing. */
static const char unprotected[] = BK_SAY(
    "The password store of this computer cannot be used, so the key of your sign-in is kept in a "
    "file that only you and this computer's administrators can read.");

int bk_services_take_identity(struct bk_client *c, struct bk_buf *identity, int64_t renew_after_ms)
{
    if (c->profile.identity.at)
        bk_wipe(c->profile.identity.at, c->profile.identity.cap);
    bk_buf_finish(&c->profile.identity);
    c->profile.identity = *identity;
    *identity = (struct bk_buf){ 0 };
    c->profile.renew_after_ms = renew_after_ms;
    c->told_to_renew = false;
    int r = bk_services_use_identity(c);
    if (r < 0)
        return r;
    r = bk_profile_save_identity(&c->profile, c->random);
    if (r == BK_PROFILE_UNPROTECTED)
        bk_tell_notice(c, unprotected);
    if (r >= 0)
        r = bk_profile_save_state(&c->profile);
    if (r < 0)
        tell_not_kept(c, r);
    return 0;
}

static int take_certificate(struct bk_client *c, const struct bk_answer_signin *answer)
{
    struct bk_personal_info info;
    struct bk_buf identity = { 0 };
    bk_buf_add_view(&identity, bk_buf_view(&c->new_key));
    bk_buf_add_str(&identity, answer->certificate);
    bk_buf_add_char(&identity, '\n');
    bk_buf_add_str(&identity, answer->chain);
    if (identity.failed ||
        bk_personal_check(bk_buf_view(&identity), bk_view_of_str(c->address), &info) != 0) {
        if (identity.at)
            bk_wipe(identity.at, identity.cap);
        bk_buf_finish(&identity);
        return -EBADMSG;
    }
    return bk_services_take_identity(c, &identity, answer->renew_after_ms);
}

static void wipe(struct bk_buf *secret)
{
    if (secret->at)
        bk_wipe(secret->at, secret->cap);
    bk_buf_clear(secret);
}

/* Servers named by the answer replace those of discovery: the account lives there. */
static void take_servers(struct bk_client *c, const struct bk_answer_signin *answer)
{
    if (!answer->n_servers || c->n_manual)
        return;
    memcpy(c->offer.servers, answer->servers, sizeof c->offer.servers);
    c->offer.n_servers = answer->n_servers;
}

static void on_proved(void *ctx, const struct bk_http_result *result)
{
    struct bk_client *c = ctx;
    c->call = NULL;
    if (result->failure != BK_HTTP_OK) {
        no_answer(c, result);
        return;
    }
    bk_client_note_date(c, result->date);
    char server[288], status[32];
    (void)snprintf(status, sizeof status, "HTTP status %d", result->status);
    if (result->status != 200) {
        struct bk_fault fault;
        fault_of_answer(c, result, &fault);
        bk_tried_add(&c->tried, "sign-in", server_of(c, server), status, &fault);
        bk_client_fail(c, &fault);
        return;
    }
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_answer_signin answer;
    const char *why = "out of memory";
    if (bk_answer_signin_parse(result->body, &arena, &answer, &why) < 0) {
        refuse_request(c, why);
        return;
    }
    bk_tried_add(&c->tried, "sign-in", server_of(c, server), status, NULL);
    (void)snprintf(c->profile.services, sizeof c->profile.services, "%s", c->offer.services);
    (void)snprintf(c->profile.user, sizeof c->profile.user, "%s", c->user);
    if (take_certificate(c, &answer) < 0) {
        refuse_request(c, "the certificate in the answer does not fit the key or the address");
        return;
    }
    wipe(&c->password);
    wipe(&c->new_key);
    take_servers(c, &answer);
    bk_client_feed(c, IN_CERTIFICATE);
}

/* A new key and its request into the object, the key kept in c->new_key. */
static int add_request(struct bk_client *c, json_t *json)
{
    BK_AUTO_BUF struct bk_buf csr = { 0 };
    wipe(&c->new_key);
    int r = bk_personal_key_make(false, &c->new_key);
    if (r == 0)
        r = bk_personal_request_make(bk_buf_view(&c->new_key), bk_view_of_str(c->address), &csr);
    if (r == 0)
        r = json_object_set_new(json, "csr", json_stringn(csr.at, csr.len)) < 0 ? -ENOMEM : 0;
    return r;
}

static const char *cstr(struct bk_buf *buf)
{
    const char *text = bk_buf_cstr(buf);
    return text ? text : "";
}

void bk_services_prove(struct bk_client *c)
{
    json_t *json = common_fields(c);
    (void)snprintf(c->state_detail, sizeof c->state_detail, "%.280s", c->offer.services);
    if (c->user[0] && strcmp(c->user, c->address) != 0)
        (void)json_object_set_new(json, "user", json_string(c->user));
    (void)json_object_set_new(json, "password", json_string(cstr(&c->password)));
    int r = json ? add_request(c, json) : -ENOMEM;
    AUTO_SECRET *body = text_of(json);
    if (r == 0)
        r = body ? call(c, "POST", c->offer.services, "sign-in", c->tls_web, body, on_proved)
                 : -ENOMEM;
    if (r < 0) {
        struct bk_fault fault;
        bk_fault_set(&fault, 112, 0, "", "", strerror(-r));
        fault.fatal = true;
        bk_client_fail(c, &fault);
    }
}

/* ---- renewal: nobody is asked, nobody notices ---- */

static void renew_again(struct bk_client *c)
{
    bk_timer_arm(bk_client_timers(c), &c->renew,
                 bk_client_now(c) + RENEW_AGAIN_MS +
                     (int64_t)(bk_random_u64(c->random) % RENEW_AGAIN_MS));
}

static void on_renewed(void *ctx, const struct bk_http_result *result)
{
    struct bk_client *c = ctx;
    c->call = NULL;
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_answer_signin answer;
    const char *why = "";
    bool good = result->failure == BK_HTTP_OK && result->status == 200 &&
                bk_answer_signin_parse(result->body, &arena, &answer, &why) == 0 &&
                take_certificate(c, &answer) == 0;
    bk_log(c->log, BK_LOG_NOTICE, good ? "certificate renewed" : "certificate not renewed",
           "address", c->address, "why", why);
    wipe(&c->new_key);
    if (good && c->profile.renew_after_ms > bk_client_real(c))
        bk_timer_arm(bk_client_timers(c), &c->renew,
                     bk_client_now(c) + c->profile.renew_after_ms - bk_client_real(c));
    else
        renew_again(c);
}

void bk_services_renew(struct bk_client *c)
{
    json_t *json = common_fields(c);
    int r =
        json && c->profile.services[0] && c->tls_own && !c->call ? add_request(c, json) : -ENOENT;
    AUTO_SECRET *body = text_of(json);
    if (r == 0 && body)
        r = call(c, "POST", c->profile.services, "renew", c->tls_own, body, on_renewed);
    if (r < 0 || !body)
        renew_again(c);
}

/* ---- a new password ---- */

static void on_password_changed(void *ctx, const struct bk_http_result *result)
{
    struct bk_client *c = ctx;
    c->call = NULL;
    if (result->failure != BK_HTTP_OK) {
        no_answer(c, result);
        return;
    }
    if (result->status / 100 != 2) {
        struct bk_fault fault;
        fault_of_answer(c, result, &fault);
        bk_client_fail(c, &fault);
        return;
    }
    bk_tell_notice(c, BK_SAY("The password was changed."));
    bk_client_feed(c, IN_STOP);
}

void bk_services_change_password(struct bk_client *c)
{
    json_t *json = common_fields(c);
    if (c->user[0] && strcmp(c->user, c->address) != 0)
        (void)json_object_set_new(json, "user", json_string(c->user));
    (void)json_object_set_new(json, "old", json_string(cstr(&c->password)));
    (void)json_object_set_new(json, "new", json_string(cstr(&c->new_password)));
    AUTO_SECRET *body = text_of(json);
    if (!body ||
        call(c, "POST", c->offer.services, "password", c->tls_web, body, on_password_changed) < 0)
        refuse_request(c, "the request could not be made");
}

/* ---- revocation ---- */

void bk_services_revoke(struct bk_client *c, const char *services, struct bk_tls_client *tls,
                        void (*done)(void *ctx, const struct bk_http_result *result))
{
    if (call(c, "POST", services, "revoke", tls, "{}", done) < 0) {
        c->call = NULL;
        done(c, NULL);
    }
}

/* ---- our half of a case ---- */

static void on_reported(void *ctx, const struct bk_http_result *result)
{
    struct bk_client *c = ctx;
    (void)result;
    c->report = NULL;
}

static json_t *steps_of(struct bk_client *c, int from)
{
    json_t *steps = json_array();
    for (int i = from; i < c->tried.n; i++) {
        const struct bk_tried_row *row = &c->tried.rows[i];
        (void)json_array_append_new(steps, json_pack("{s:s,s:s,s:s,s:s}", "kind", row->kind, "name",
                                                     row->name, "result", row->result, "detail",
                                                     row->fault.detail));
    }
    return steps;
}

/* The fields of every request, and what the person saw. */
static char *report_text(struct bk_client *c, const struct bk_fault *fault, int from)
{
    char id[12] = "";
    struct utsname system;
    json_t *json = common_fields(c);
    if (fault->record)
        bk_record_id(fault->record, id);
    if (uname(&system) < 0)
        memset(&system, 0, sizeof system);
    (void)json_object_set_new(json, "case", json_string(fault->case_code));
    (void)json_object_set_new(json, "record", json_string(id));
    (void)json_object_set_new(json, "detail", json_string(fault->detail));
    (void)json_object_set_new(json, "system", json_string(system.release));
    (void)json_object_set_new(json, "manual_server", json_boolean(c->n_manual > 0));
    (void)json_object_set_new(json, "steps", steps_of(c, from));
    return text_of(json);
}

void bk_services_report(struct bk_client *c, const struct bk_fault *fault)
{
    const char *services = c->offer.services[0] ? c->offer.services : c->profile.services;
    char url[1200];
    if (!*services || c->report)
        return;
    char *body = report_text(c, fault, 0);
    /* The last steps tell most: the first ones go where there are too many. */
    for (int from = 1; body && strlen(body) > REPORT_BYTES_MAX && from <= c->tried.n; from++) {
        free(body);
        body = report_text(c, fault, from);
    }
    (void)snprintf(url, sizeof url, "%sreport", services);
    struct bk_http_call_config config = {
        .method = "POST",
        .url = url,
        .tls = c->tls_web,
        .dns = c->dns,
        .proxies = c->proxies,
        .accept = "application/json",
        .content_type = "application/json",
        .body = bk_view_of_str(body),
        .timeout_ms = c->timing.http_ms,
    };
    if (body && bk_http_call(c->loop, &config, on_reported, c, &c->report) < 0)
        c->report = NULL;
    free(body);
}

/* ---- whose clock is wrong? ---- */

static int64_t judge_time(void *ctx)
{
    return ((struct bk_client *)ctx)->clock_judge_ms;
}

static void on_time(void *ctx, const struct bk_http_result *result)
{
    struct bk_client *c = ctx;
    c->call = NULL;
    if (result->failure == BK_HTTP_OK) {
        c->n_skews = 0;
        bk_client_note_date(c, result->date);
    }
    bk_client_clock_known(c);
}

void bk_services_ask_time(struct bk_client *c, const char *server, int64_t judge_ms)
{
    static const char *const alpn[] = { "http/1.1", NULL };
    struct bk_tls_client_config config = {
        .ca_file = c->ca_file,
        .only_ca_file = c->only_ca_file,
        .alpn = alpn,
        .real_ms = judge_time,
        .real_ms_ctx = c,
    };
    struct bk_tls_client *tls = NULL;
    BK_AUTO_FREE char *why = NULL;
    char base[300];
    c->clock_judge_ms = judge_ms;
    /* A row of discovery names the host alone: its port is that of discovery. */
    bool has_port = strchr(server, ':') != NULL;
    if (has_port || !c->discovery_port)
        (void)snprintf(base, sizeof base, "https://%.280s/", server);
    else
        (void)snprintf(base, sizeof base, "https://%.280s:%u/", server, c->discovery_port);
    int r = bk_tls_client_create(&config, &tls, &why);
    if (r == 0)
        r = call(c, "GET", base, "", tls, NULL, on_time);
    (void)bk_tls_client_unref(tls);
    if (r < 0)
        bk_client_clock_known(c);
}

/* ---- does the network itself answer? ---- */

/* Is `to` the host `from`, below it, or beside it: "www.hoster.net" for "sip.hoster.net"? */
static bool is_kin(struct bk_view to, struct bk_view from)
{
    struct bk_view parent = bk_view_skip(from, bk_view_find(from, '.') + 1);
    bool has_parent = bk_view_find(parent, '.') < parent.len;
    return bk_answer_host_in_domain(to, from) ||
           (has_parent && bk_answer_host_in_domain(to, parent));
}

static void on_plain(void *ctx, const struct bk_http_result *result)
{
    struct bk_client *c = ctx;
    struct bk_url from, to;
    struct bk_view leads_to = { 0 };
    c->call = NULL;
    if (result->failure == BK_HTTP_OK && result->status >= 301 && result->status <= 308 &&
        bk_url_parse(bk_view_of_str(c->url), &from) == 0 &&
        bk_url_parse(result->location, &to) == 0 && !is_kin(to.host, from.host) &&
        !bk_answer_host_in_domain(to.host, bk_view_of_str(c->domain)))
        leads_to = to.host;
    bk_client_portal_known(c, leads_to);
}

void bk_services_ask_portal(struct bk_client *c, const char *server)
{
    struct bk_answer_server at;
    struct bk_view none = { 0 };
    if (bk_answer_host_port(bk_view_of_str(server), c->plain_port, &at) < 0) {
        bk_client_portal_known(c, none);
        return;
    }
    if (c->call)
        bk_http_call_cancel(c->call);
    c->call = NULL;
    at.port = c->plain_port;
    char host[288];
    bk_offer_server_text(&at, host, sizeof host);
    (void)snprintf(c->url, sizeof c->url, "http://%s/", host);
    struct bk_http_call_config config = {
        .method = "GET",
        .url = c->url,
        .allow_clear = true,
        .dns = c->dns,
        .proxies = c->proxies,
        .timeout_ms = c->timing.connect_ms,
    };
    if (bk_http_call(c->loop, &config, on_plain, c, &c->call) < 0)
        bk_client_portal_known(c, none);
}
