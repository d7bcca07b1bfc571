/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A personal certificate from a server of the Lync dialect (ms/webroad.h): metadata, a web ticket for the password, a
 * certificate for the ticket. Four requests one after the other, over HTTPS whose certificate was checked.
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "client/client_private.h"
#include "ms/webroad.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    RENEW_AGAIN_MS = 3600 * 1000,
    /* A certificate shorter than a session may be is renewed with the password kept in memory; others outlive it. */
    SHORT_LIFE_MS = 24 * 3600 * 1000,
};

struct bk_lync_web {
    struct bk_client *c;
    bool quiet; /* a renewal: nobody waits for it, nobody is told */
    struct bk_arena arena;
    char tickets[1025], certificates[1025], post_to[1025]; /* URLs, as the metadata named them */
    unsigned char entropy[BK_MS_PROOF_BYTES];
    struct bk_ms_road_ticket ticket; /* its texts in the arena */
    struct bk_buf key;
};

typedef void on_answer_fn(void *ctx, const struct bk_http_result *result);

void bk_lync_web_stop(struct bk_client *c)
{
    struct bk_lync_web *w = c->lync_web;
    if (!w)
        return;
    c->lync_web = NULL;
    if (c->call)
        bk_http_call_cancel(c->call);
    c->call = NULL;
    bk_arena_finish(&w->arena);
    if (w->key.at)
        bk_wipe(w->key.at, w->key.cap);
    bk_buf_finish(&w->key);
    bk_wipe(w, sizeof *w);
    free(w);
}

static void wipe(struct bk_buf *secret)
{
    if (secret->at)
        bk_wipe(secret->at, secret->cap);
    bk_buf_clear(secret);
}

/* ---- how it ends ---- */

static void renew_again(struct bk_client *c)
{
    bk_timer_arm(bk_client_timers(c), &c->renew,
                 bk_client_now(c) + RENEW_AGAIN_MS +
                     (int64_t)(bk_random_u64(c->random) % RENEW_AGAIN_MS));
}

/* Refused, or nothing that could be used. */
static void give_up(struct bk_lync_web *w, const struct bk_fault *fault)
{
    struct bk_client *c = w->c;
    struct bk_fault copy = *fault;
    bool quiet = w->quiet;
    bk_lync_web_stop(c);
    if (!quiet) {
        bk_tried_add(&c->tried, "sign-in", copy.server, copy.why, &copy);
        bk_client_fail(c, &copy);
        return;
    }
    bk_log(c->log, BK_LOG_NOTICE, "certificate not renewed", "address", c->address, "why",
           copy.detail);
    /* A password that was changed meanwhile is not tried again. */
    if (copy.record && copy.record->category == BK_CATEGORY_AUTHENTICATION)
        wipe(&c->password);
    renew_again(c);
}

/* The host an URL leads to, for rows and texts. */
static const char *server_of(const char *text, char to[288])
{
    struct bk_url url;
    to[0] = 0;
    if (bk_url_parse(bk_view_of_str(text), &url) == 0)
        (void)snprintf(to, 288, "%.*s:%u", BK_VIEW_ARGS(bk_view_head(url.host, 255)), url.port);
    return to;
}

static void not_that(struct bk_lync_web *w, const char *url, const char *why)
{
    struct bk_fault fault;
    char server[288];
    bk_fault_set(&fault, 305, 0, server_of(url, server), why, url);
    give_up(w, &fault);
}

/* Nobody answered: the offer leads nowhere. */
static void no_answer(struct bk_lync_web *w, const char *url, const struct bk_http_result *result)
{
    struct bk_client *c = w->c;
    struct bk_fault fault;
    char server[288];
    bk_fault_of_http(&fault, result, server_of(url, server));
    if (w->quiet) {
        give_up(w, &fault);
        return;
    }
    bk_lync_web_stop(c);
    bk_tried_add(&c->tried, "sign-in", fault.server, fault.why, &fault);
    bk_client_feed(c, IN_NEXT_OFFER);
}

static const struct bk_record *record_of_status(const struct bk_http_result *result)
{
    if (result->status == 401 && result->challenges.len &&
        bk_view_find_view(result->challenges, BK_VIEW("Basic")) == result->challenges.len)
        return bk_record_find(102, 0);
    return bk_record_find(result->status == 401                            ? 202
                          : result->status == 429 || result->status == 503 ? 404
                          : result->status >= 500                          ? 401
                                                                           : 305,
                          0);
}

/* soap: what the body refused with, NULL: it is the status that says no. */
static void refused(struct bk_lync_web *w, const char *url, const struct bk_http_result *result,
                    const struct bk_ms_road_fault *soap)
{
    struct bk_fault fault;
    char server[288], detail[400], why[160], code[16];
    struct bk_answer_refusal refusal = { "", "", "", 0 };
    (void)bk_answer_refusal_parse((struct bk_view){ 0 }, result->diagnostics, &w->arena, &refusal);
    (void)snprintf(detail, sizeof detail, "%.160s: HTTP status %d %.*s%s%.*s", url, result->status,
                   BK_VIEW_ARGS(bk_view_head(result->diagnostics, 120)),
                   result->challenges.len ? " offered: " : "",
                   BK_VIEW_ARGS(bk_view_head(result->challenges, 80)));
    (void)snprintf(code, sizeof code, "%u", soap ? (unsigned)soap->code : 0);
    if (soap && soap->text.len)
        (void)snprintf(why, sizeof why, "%.*s", BK_VIEW_ARGS(bk_view_head(soap->text, 150)));
    else
        (void)snprintf(why, sizeof why, "HTTP status %d", result->status);
    bk_fault_set(&fault, 0, 0, server_of(url, server), why, detail);
    if (*refusal.record)
        fault.record = bk_record_parse(bk_view_of_str(refusal.record));
    else if (soap)
        fault.record = bk_fault_record_of_id(bk_view_of_str(code));
    else
        fault.record = record_of_status(result);
    if (!fault.record)
        fault.record = bk_record_find(212, 0);
    (void)snprintf(fault.case_code, sizeof fault.case_code, "%s", refusal.case_code);
    (void)snprintf(fault.text, sizeof fault.text, "%s", refusal.text);
    uint64_t seconds = 0;
    if (bk_view_to_u64(result->retry_after, 24 * 3600, &seconds) == 0)
        fault.retry_after_s = (int)seconds;
    give_up(w, &fault);
}

/* What a reader of ms/webroad.h did not take. */
static void unreadable(struct bk_lync_web *w, const char *url, const struct bk_http_result *result,
                       int r, const struct bk_ms_road_fault *soap)
{
    if (r == -ENOMEM)
        not_that(w, url, "out of memory");
    else if (soap->why)
        not_that(w, url, soap->why);
    else
        refused(w, url, result, soap);
}

/* ---- asking ---- */

/* The views of what is read next must not be those of what was read before. */
static bool answered(struct bk_lync_web *w, const char *url, const struct bk_http_result *result)
{
    w->c->call = NULL;
    if (result->failure != BK_HTTP_OK) {
        no_answer(w, url, result);
        return false;
    }
    if (!w->quiet)
        bk_client_note_date(w->c, result->date);
    if (result->status == 200)
        return true;
    refused(w, url, result, NULL);
    return false;
}

/* body empty: GET. */
static void ask(struct bk_lync_web *w, const char *url, const char *action, struct bk_view body,
                const struct bk_buf *credentials, on_answer_fn *done)
{
    struct bk_client *c = w->c;
    char date[32];
    bk_time_http(bk_client_real(c), date);
    /* Our time goes along: a server may say that it is wrong before a certificate is refused for it. */
    struct bk_http_call_field fields[3] = { { "Date", bk_view_of_str(date) } };
    size_t n = 1;
    if (action)
        fields[n++] = (struct bk_http_call_field){ "SOAPAction", bk_view_of_str(action) };
    if (credentials)
        fields[n++] = (struct bk_http_call_field){ "Authorization", bk_buf_view(credentials) };
    struct bk_http_call_config config = {
        .method = body.len ? "POST" : "GET",
        .url = url,
        .tls = c->tls_web,
        .dns = c->dns,
        .proxies = c->proxies,
        .accept = "text/xml",
        .content_type = body.len ? "text/xml; charset=utf-8" : NULL,
        .fields = fields,
        .n_fields = n,
        .body = body,
        .timeout_ms = c->timing.http_ms,
    };
    if (c->call)
        bk_http_call_cancel(c->call);
    c->call = NULL;
    if (!w->quiet)
        (void)snprintf(c->state_detail, sizeof c->state_detail, "%.280s", url);
    if (bk_http_call(c->loop, &config, done, w, &c->call) < 0) {
        c->call = NULL;
        not_that(w, url, "the request could not be made");
    }
}

/*
 * The metadata may lead anywhere, and the password goes there: HTTPS, and a host of the domain or one that the person trusts (SI-114).
 * false: it was dealt with.
 */
static bool take_url(struct bk_lync_web *w, struct bk_view url, char to[1025], const char *from)
{
    struct bk_client *c = w->c;
    struct bk_url parsed;
    if (bk_url_parse(url, &parsed) < 0 || !parsed.secure || url.len > 1024 ||
        parsed.host.len > 255) {
        not_that(w, from, "its metadata lead to something that is no https URL");
        return false;
    }
    memcpy(to, url.at, url.len);
    to[url.len] = 0;
    if (bk_client_trusts(c, parsed.host))
        return true;
    if (w->quiet) {
        not_that(w, from, "its metadata lead to a host that is not trusted");
        return false;
    }
    (void)snprintf(c->offer.ticket_host, sizeof c->offer.ticket_host, "%.*s",
                   BK_VIEW_ARGS(parsed.host));
    bk_lync_web_stop(c);
    bk_client_feed(c, IN_CERTIFICATE); /* weighed again, which asks */
    return false;
}

static void uuid(struct bk_client *c, char to[BK_UUID_TEXT_SIZE])
{
    uint8_t b[16];
    bk_random_uuid(c->random, b);
    bk_uuid_text(b, to);
}

/* ---- 4: the certificate ---- */

void bk_lync_forget_password(struct bk_client *c, int64_t life_ms)
{
    if (life_ms > SHORT_LIFE_MS)
        wipe(&c->password);
}

static int keep_certificate(struct bk_lync_web *w, struct bk_view der)
{
    struct bk_client *c = w->c;
    struct bk_personal_info info;
    struct bk_buf identity = { 0 };
    /* Room for all of it at once: what a growing buffer leaves behind would hold the key. */
    (void)bk_buf_reserve(&identity, w->key.len + 2 * der.len + 128);
    bk_buf_add_view(&identity, bk_buf_view(&w->key));
    bk_personal_pem_of_der("CERTIFICATE", der, &identity);
    if (identity.failed ||
        bk_personal_check(bk_buf_view(&identity), bk_view_of_str(c->address), &info) != 0) {
        wipe(&identity);
        bk_buf_finish(&identity);
        return -EBADMSG;
    }
    int64_t now = bk_client_real(c), life = info.not_after_ms - now;
    if (life <= 0) { /* it would be asked for again and again */
        wipe(&identity);
        bk_buf_finish(&identity);
        return -ETIME;
    }
    int r = bk_services_take_identity(c, &identity, now + life / 3 * 2);
    if (r == 0)
        bk_lync_forget_password(c, life);
    return r;
}

static void on_certificate(void *ctx, const struct bk_http_result *result)
{
    struct bk_lync_web *w = ctx;
    struct bk_client *c = w->c;
    struct bk_ms_road_fault soap = { 0 };
    struct bk_view der;
    char server[288];
    if (!answered(w, w->certificates, result))
        return;
    int r = bk_ms_road_certificate(result->body, &w->arena, &der, &soap);
    if (r < 0) {
        unreadable(w, w->certificates, result, r, &soap);
        return;
    }
    r = keep_certificate(w, der);
    if (r == -ETIME) {
        struct bk_fault fault;
        bk_fault_set(&fault, 104, 0, server_of(w->certificates, server),
                     "the certificate it gave has ended by this computer's clock", "");
        give_up(w, &fault);
        return;
    }
    if (r < 0) {
        not_that(w, w->certificates,
                 "the certificate in the answer does not fit the key or the address");
        return;
    }
    bool quiet = w->quiet;
    (void)snprintf(c->profile.user, sizeof c->profile.user, "%s", c->user);
    (void)server_of(w->certificates, server);
    bk_lync_web_stop(c);
    if (quiet) {
        bk_log(c->log, BK_LOG_NOTICE, "certificate renewed", "address", c->address);
        bk_lync_renewed(c);
        return;
    }
    bk_tried_add(&c->tried, "sign-in", server, "HTTP status 200", NULL);
    bk_client_feed(c, IN_CERTIFICATE);
}

static void ask_certificate(struct bk_lync_web *w)
{
    struct bk_client *c = w->c;
    BK_AUTO_BUF struct bk_buf csr = { 0 }, der = { 0 }, body = { 0 };
    char id[BK_UUID_TEXT_SIZE];
    int r = bk_personal_key_make(true, &w->key);
    if (r == 0)
        r = bk_personal_request_make(bk_buf_view(&w->key), bk_view_of_str(c->address), &csr);
    if (r == 0)
        r = bk_personal_der_of_pem(bk_buf_view(&csr), &der);
    uuid(c, id);
    bk_ms_road_request(&body, &w->ticket, bk_view_of_str(w->certificates), bk_view_of_str(id),
                       bk_view_of_str(c->profile.endpoint), bk_view_of_str(c->address),
                       bk_buf_view(&der));
    if (r < 0 || body.failed) {
        struct bk_fault fault;
        bk_fault_set(&fault, 112, 0, "", "", r < 0 ? strerror(-r) : "out of memory");
        fault.fatal = true;
        give_up(w, &fault);
        return;
    }
    ask(w, w->certificates, bk_ms_road_request_action, bk_buf_view(&body), NULL, on_certificate);
}

/* ---- 3: the web ticket ---- */

static void on_ticket(void *ctx, const struct bk_http_result *result)
{
    struct bk_lync_web *w = ctx;
    struct bk_ms_road_fault soap = { 0 };
    if (!answered(w, w->post_to, result))
        return;
    int r =
        bk_ms_road_ticket(result->body, (struct bk_view){ (char *)w->entropy, sizeof w->entropy },
                          &w->arena, &w->ticket, &soap);
    if (r < 0)
        unreadable(w, w->post_to, result, r, &soap);
    else
        ask_certificate(w);
}

/* RFC 7617, over TLS alone. Room at once: what grows leaves copies behind. */
static void write_basic(struct bk_client *c, struct bk_buf *to)
{
    const char *user = c->user[0] ? c->user : c->address;
    struct bk_buf plain = { 0 };
    if (bk_buf_reserve(&plain, strlen(user) + 1 + c->password.len) &&
        bk_buf_reserve(to, 8 + 2 * (strlen(user) + 1 + c->password.len))) {
        bk_buf_addf(&plain, "%s:", user);
        bk_buf_add_view(&plain, bk_buf_view(&c->password));
        bk_buf_add_lit(to, "Basic ");
        bk_base64_encode(to, bk_buf_view(&plain));
    }
    to->failed = to->failed || plain.failed || !to->len;
    wipe(&plain);
    bk_buf_finish(&plain);
}

static void ask_ticket(struct bk_lync_web *w)
{
    struct bk_client *c = w->c;
    BK_AUTO_BUF struct bk_buf body = { 0 };
    struct bk_buf credentials = { 0 };
    char context[BK_UUID_TEXT_SIZE];
    uuid(c, context);
    bk_random_fill(c->random, w->entropy, sizeof w->entropy);
    bk_ms_road_rst(&body, bk_view_of_str(context), bk_view_of_str(w->certificates),
                   bk_view_of_str(c->address),
                   (struct bk_view){ (char *)w->entropy, sizeof w->entropy });
    write_basic(c, &credentials);
    if (body.failed || credentials.failed)
        not_that(w, w->post_to, "out of memory");
    else
        ask(w, w->post_to, bk_ms_road_rst_action, bk_buf_view(&body), &credentials, on_ticket);
    wipe(&credentials);
    bk_buf_finish(&credentials);
}

/* ---- 2 and 1: where they are to be had ---- */

static void ask_metadata(struct bk_lync_web *w, const char *of, on_answer_fn *done)
{
    char url[1040];
    (void)snprintf(url, sizeof url, "%s/mex", of);
    ask(w, url, NULL, (struct bk_view){ 0 }, NULL, done);
}

static void on_ticket_metadata(void *ctx, const struct bk_http_result *result)
{
    struct bk_lync_web *w = ctx;
    struct bk_ms_road_fault soap = { 0 };
    struct bk_view post_to;
    if (!answered(w, w->tickets, result))
        return;
    int r = bk_ms_road_webticket(result->body, &w->arena, &post_to, &soap);
    if (r < 0)
        unreadable(w, w->tickets, result, r, &soap);
    else if (take_url(w, post_to, w->post_to, w->tickets))
        ask_ticket(w);
}

static void on_certificate_metadata(void *ctx, const struct bk_http_result *result)
{
    struct bk_lync_web *w = ctx;
    struct bk_ms_road_fault soap = { 0 };
    struct bk_view tickets, certificates;
    const char *from = w->c->offer.sts_uri;
    if (!answered(w, from, result))
        return;
    int r = bk_ms_road_certprov(result->body, &w->arena, &tickets, &certificates, &soap);
    if (r < 0)
        unreadable(w, from, result, r, &soap);
    else if (take_url(w, certificates, w->certificates, from) &&
             take_url(w, tickets, w->tickets, from))
        ask_metadata(w, w->tickets, on_ticket_metadata);
}

static void begin(struct bk_client *c, bool quiet)
{
    bk_lync_web_stop(c);
    struct bk_lync_web *w = calloc(1, sizeof *w);
    if (!w) {
        struct bk_fault fault;
        bk_fault_set(&fault, 107, 0, "", "", "out of memory");
        if (quiet)
            renew_again(c);
        else
            bk_client_fail(c, &fault);
        return;
    }
    w->c = c;
    w->quiet = quiet;
    c->lync_web = w;
    ask_metadata(w, c->offer.sts_uri, on_certificate_metadata);
}

void bk_lync_prove(struct bk_client *c)
{
    begin(c, false);
}

bool bk_lync_renew(struct bk_client *c)
{
    if (!c->offer.lync)
        return false;
    if (c->password.len && c->offer.sts_uri[0] && !c->call) {
        begin(c, true);
    } else if (!c->password.len && !c->told_to_renew) {
        c->told_to_renew = true;
        bk_tell_notice(c,
                       BK_SAY("This server renews the saved sign-in for the password alone. It is "
                              "asked for when that ends, or renews it if given before."));
    } else {
        renew_again(c);
    }
    return true;
}
