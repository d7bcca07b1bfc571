/* SPDX-License-Identifier: Apache-2.0 */
/* Sign-in of Lync-compatible clients over HTTPS: a web ticket for a password, a certificate for a ticket (docs/https.md, "What Lync-compatible clients ask"). */
#include "server/services_op_private.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "ms/mex.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

enum { TICKET_USES = 4096, CREDENTIALS_MAX = 1600, PASSWORD_MAX = 1024, DEVICE_MAX = 200 };

/* ---- metadata ---- */

void services_mex_webticket(struct bk_services *s, struct bk_http_exchange *x,
                            const struct bk_http_request *request,
                            const struct services_route *route)
{
    BK_AUTO_BUF struct bk_buf to = { 0 };
    (void)request, (void)route;
    bk_ms_mex_webticket(services_base(s), &to);
    services_answer_xml(x, "text/xml; charset=utf-8", &to);
}

void services_mex_certprov(struct bk_services *s, struct bk_http_exchange *x,
                           const struct bk_http_request *request,
                           const struct services_route *route)
{
    BK_AUTO_BUF struct bk_buf to = { 0 };
    (void)request, (void)route;
    bk_ms_mex_certprov(services_base(s), &to);
    services_answer_xml(x, "text/xml; charset=utf-8", &to);
}

/* ---- a web ticket ---- */

void services_webticket(struct bk_services *s, struct bk_http_exchange *x,
                        const struct bk_http_request *request, const struct services_route *route)
{
    struct bk_view field = bk_http_field(request, BK_VIEW("Authorization"));
    if (bk_view_starts_with_nocase(field, BK_VIEW("Basic "))) {
        op_handle(s, x, request, route);
        return;
    }
    BK_AUTO_BUF struct bk_buf challenge = { 0 };
    bk_buf_addf(&challenge, "Basic realm=\"%s\", charset=\"UTF-8\"", s->config.host);
    bk_http_answer_field(x, "WWW-Authenticate", bk_buf_view(&challenge));
    services_say(x, 401, "This needs an address and a password.", -1);
}

/* "user:password" (RFC 7617). The field itself is wiped. */
static bool read_credentials(struct op *op, struct bk_view field)
{
    int r = -EINVAL;
    struct bk_view coded = bk_view_trim(bk_view_skip(field, 6));
    /* Room at once: what grows leaves copies behind. */
    if (coded.len <= CREDENTIALS_MAX && bk_buf_reserve(&op->secret, coded.len + 1))
        r = bk_base64_decode(coded, &op->secret);
    bk_wipe((char *)field.at, field.len);
    struct bk_view rest = bk_buf_view(&op->secret);
    size_t colon = bk_view_find(rest, ':');
    if (r < 0 || colon == rest.len)
        return false;
    op->username = bk_view_head(rest, colon);
    op->password = bk_view_skip(rest, colon + 1);
    return op->password.len <= PASSWORD_MAX;
}

/* Tickets are good nowhere else: a service of another host is none of ours, whoever asked for it. */
static enum bk_ms_service service_here(const struct op *op, const struct bk_http_request *request)
{
    struct bk_view host = { 0 }, asked = request->host;
    struct bk_url ours;
    enum bk_ms_service service = bk_ms_service_of(op->ticket_request.applies_to, &host);
    if (bk_url_parse(bk_view_of_str(op->services->config.services_url), &ours) < 0)
        return BK_MS_SERVICE_NONE;
    asked = bk_view_head(asked, asked.len && asked.at[0] == '[' ? bk_view_find(asked, ']') + 1
                                                                : bk_view_find(asked, ':'));
    if (host.len > 2 && host.at[0] == '[' &&
        bk_view_equal_nocase(bk_view_head(bk_view_skip(host, 1), host.len - 2), ours.host))
        return service;
    return bk_view_equal_nocase(host, ours.host) || bk_view_equal_nocase(host, asked)
               ? service
               : BK_MS_SERVICE_NONE;
}

static bool read_ticket_request(struct op *op, const struct bk_http_request *request)
{
    const char *why = "";
    op->attempt.client = bk_view_head(bk_http_field(request, BK_VIEW("User-Agent")), 120);
    if (!read_credentials(op, bk_http_field(request, BK_VIEW("Authorization")))) {
        op_say(op, 400, "\"Authorization\" is not what it should be, or too long.", -1);
        return false;
    }
    int r = bk_ms_rst_parse(request->body, &op->arena, &op->ticket_request, &why);
    if (r < 0) {
        char text[160];
        snprintf(text, sizeof text, "The body is no request for a web ticket: %s.", why);
        op_say(op, r == -ENOMEM ? 503 : 400, r == -ENOMEM ? "Out of memory." : text, -1);
        return false;
    }
    /* Who does not say which address is meant means the name that the password belongs to. */
    op->address =
        op->ticket_request.claimed.len ? op->ticket_request.claimed : bk_view_trim(op->username);
    op->has_time = op->ticket_request.has_created;
    op->theirs_ms = op->ticket_request.created_ms;
    /* Stock clients say no time at all; ours says it as HTTP does, and is judged by it. */
    if (!op->has_time)
        op->has_time =
            bk_time_http_parse(bk_http_field(request, BK_VIEW("Date")), &op->theirs_ms) == 0;
    op->service = service_here(op, request);
    if (op->service == BK_MS_SERVICE_NONE) {
        op_say(op, 400, "AppliesTo names no service of this server.", -1);
        return false;
    }
    size_t n = op->ticket_request.entropy.len;
    if ((n || op->service == BK_MS_SERVICE_CERTIFICATES) &&
        (n < BK_MS_ENTROPY_MIN || n > BK_MS_ENTROPY_MAX)) {
        op_say(op, 400, "Entropy is missing, too short or too long.", -1);
        return false;
    }
    return true;
}

/*
 * "ann" and "DOMAIN\ann" are the address ann@... where they are nobody's user name: what people type who know the original servers,
 * and what NTLM takes.
 */
static void settle_name(struct op *op)
{
    struct bk_user unused;
    struct bk_view name = bk_arena_copy(&op->arena, bk_view_trim(op->username));
    if (!name.at || bk_view_find(name, '@') < name.len)
        return;
    bk_text_lower((char *)name.at, name.len);
    if (bk_store_user_by_username(op->services->config.store, name, &op->arena, &unused) == 0)
        return;
    if (bk_view_find(name, '\\') < name.len)
        name = bk_view_skip(name, bk_view_find(name, '\\') + 1);
    struct bk_view local = bk_view_head(op->address, bk_view_find(op->address, '@'));
    op->username = bk_view_equal_nocase(name, local) ? (struct bk_view){ 0 } : name;
}

static void ask_for_ticket(struct op *op)
{
    op->now_ms = services_now(op->services);
    settle_name(op);
    if (op_look_up(op))
        op_prove(op);
}

static void ticket_worked(struct op *op)
{
    BK_AUTO_BUF struct bk_buf issuer = { 0 }, xml = { 0 };
    if (!op_credentials_fit(op))
        return;
    /*
     * What is wrong with the account is told where the client shows it: not while it still looks for the server, which may be
     * known to everybody.
     */
    if (op->service == BK_MS_SERVICE_CERTIFICATES) {
        if (!op_account_is_good(op) || !op_clock_is_right(op))
            return;
        if (op->user.password_must_change) {
            op_refuse(op, 206, 0, false);
            return;
        }
    }
    bk_buf_add_view(&issuer, services_base(op->services));
    bk_buf_add_lit(&issuer, BK_MS_PATH_WEBTICKET);
    if (bk_ms_ticket_issue(&op->services->ticket_key, op->services->config.random,
                           &op->ticket_request, op->service, bk_buf_view(&issuer), op->user.id,
                           op->user.address, services_now(op->services), &xml) < 0)
        op_refuse(op, 401, 0, false);
    else
        op_answer_soap(op, &xml);
}

const struct op_kind op_webticket = {
    .road = "https-webticket",
    .read = read_ticket_request,
    .begin = ask_for_ticket,
    .worked = ticket_worked,
    .soap = true,
};

/* ---- a certificate ---- */

/*
 * The signature of the request covers its time, not the key it brings: so one ticket is good for one key. (A client whose connection
 * broke may ask again.) The newest few thousand are kept, by the random part of their ids, which are ours.
 */
struct services_ticket_use {
    uint64_t ticket, key;
};

static uint64_t digest64(struct bk_view bytes)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    uint64_t n = 0;
    unsigned len;
    if (EVP_Digest(bytes.at, bytes.len, md, &len, EVP_sha256(), NULL) == 1)
        memcpy(&n, md, sizeof n);
    return n;
}

/* Whether the ticket was not used for another key; notes this one. */
static bool use_ticket(struct bk_services *s, const char *id, struct bk_view csr)
{
    if (!s->ticket_uses && !(s->ticket_uses = calloc(TICKET_USES, sizeof *s->ticket_uses)))
        return false;
    const struct services_ticket_use use = { digest64(bk_view_of_str(id)), digest64(csr) };
    struct services_ticket_use *kept = &s->ticket_uses[use.ticket % TICKET_USES];
    if (kept->ticket == use.ticket && kept->key != use.key)
        return false;
    *kept = use;
    return true;
}

static bool read_cert_request(struct op *op, const struct bk_http_request *request)
{
    const char *why = "";
    op->attempt.client = bk_view_head(bk_http_field(request, BK_VIEW("User-Agent")), 120);
    int r = bk_ms_cert_request_parse(request->body, &op->arena, &op->cert_request, &why);
    if (r == 0)
        return true;
    char text[160];
    snprintf(text, sizeof text, "The body is no request for a certificate: %s.", why);
    op_say(op, r == -ENOMEM ? 503 : 400, r == -ENOMEM ? "Out of memory." : text, -1);
    return false;
}

static const char *ticket_fault(enum bk_ms_ticket_state state)
{
    switch (state) {
    case BK_MS_TICKET_EXPIRED:
        return "the web ticket has expired";
    case BK_MS_TICKET_EARLY:
        return "the web ticket is from the future, the server's clock was set back";
    case BK_MS_TICKET_FORGED:
        return "the web ticket was not made here";
    default:
        return "the web ticket cannot be read";
    }
}

static struct bk_view without_scheme(struct bk_view entity)
{
    return bk_view_starts_with_nocase(entity, BK_VIEW("sip:")) ? bk_view_skip(entity, 4) : entity;
}

/* Everything about the ticket and what it signed; op->user is filled. false: it was answered. */
static bool ticket_is_good(struct op *op)
{
    struct bk_services *s = op->services;
    struct bk_ms_cert_request *r = &op->cert_request;
    struct bk_ms_ticket ticket = { 0 };
    enum bk_ms_ticket_state state =
        bk_ms_ticket_read(&s->ticket_key, r->assertion, op->now_ms, &op->arena, &ticket);

    op->attempt.address = bk_view_head(without_scheme(r->entity), 320);
    if (state == BK_MS_TICKET_NO_MEMORY) {
        op_refuse(op, 401, 0, true);
        return false;
    }
    /* Who shows another person's address has proved nothing about it. */
    bool theirs = bk_view_equal_nocase(op->attempt.address, ticket.address);
    if (state != BK_MS_TICKET_GOOD) {
        op_refuse_why(op, 212, !theirs, ticket_fault(state));
        return false;
    }
    if (ticket.service != BK_MS_SERVICE_CERTIFICATES || !bk_ms_cert_verify(r, &ticket)) {
        op_refuse_why(op, 212, true,
                      ticket.service != BK_MS_SERVICE_CERTIFICATES
                          ? "the web ticket is for another service"
                          : "the request is not signed with the key of its web ticket");
        return false;
    }
    if (!theirs) {
        op_refuse_why(op, 212, true, "the web ticket is another person's");
        return false;
    }
    op->attempt.address = ticket.address;
    op->attempt.user_id = op->user.id = ticket.user_id;
    enum bk_ms_time time = bk_ms_cert_time(r, op->now_ms);
    if (time == BK_MS_TIME_OLD && r->expires_ms <= op->now_ms) {
        op_refuse_why(op, 212, false, "the time stamp has run out, this is a repeat");
        return false;
    }
    /* The ticket is fresh and the time stamp is not: whoever wrote it has another time. */
    op->has_time = time != BK_MS_TIME_GOOD;
    op->theirs_ms = r->created_ms;
    if (!op_clock_is_right(op))
        return false;
    if (!use_ticket(s, ticket.id, r->csr)) {
        op_refuse_why(op, 212, false, "the web ticket was used for another key");
        return false;
    }
    return true;
}

static void ask_for_certificate(struct op *op)
{
    BK_AUTO_BUF struct bk_buf pem = { 0 };
    op->now_ms = services_now(op->services);
    if (!ticket_is_good(op) || !op_account_is_good(op))
        return;
    op->found = true;
    if (!bk_view_equal(op->user.address, op->attempt.address)) {
        op_refuse_why(op, 212, false, "the address was changed since the web ticket was given");
        return;
    }
    struct bk_view device = op->cert_request.device_id;
    if (device.len > 2 && device.at[0] == '{' && device.at[device.len - 1] == '}')
        device = bk_view_head(bk_view_skip(device, 1), device.len - 2);
    op->device_id = op->attempt.endpoint = bk_view_head(device, DEVICE_MAX);
    op->device_name = op->attempt.device = bk_arena_copy(&op->arena, op->attempt.client);
    op->device_kind = BK_VIEW(OP_DEVICE_LYNC);
    bk_ms_cert_request_pem(op->cert_request.csr, &pem);
    op->csr = bk_arena_copy(&op->arena, bk_buf_view(&pem));
    op_want_certificate(op);
    op->issue_for = op->user.address;
    op_submit(op);
}

static void certificate_worked(struct op *op)
{
    if (!op_account_is_good(op))
        return;
    if (op->user.password_must_change)
        op_refuse(op, 206, 0, false);
    else
        op_keep_certificate(op);
}

/* What stands between the lines of PEM. */
static struct bk_view pem_body(struct bk_view pem)
{
    pem = bk_view_skip(pem, bk_view_find(pem, '\n'));
    return bk_view_head(pem, bk_view_find(pem, '-'));
}

static void certificate_committed(struct op *op)
{
    BK_AUTO_BUF struct bk_buf der = { 0 }, xml = { 0 };
    if (bk_ms_ws_base64(pem_body(bk_buf_view(&op->certificate)), &der) < 0) {
        op_refuse(op, 401, 0, false);
        return;
    }
    bk_ms_cert_answer(&op->cert_request, bk_buf_view(&der), &xml);
    if (op->x)
        bk_listener_known(bk_http_conn(op->x)); /* no stranger any more */
    op_answer_soap(op, &xml);
}

const struct op_kind op_certprov = {
    .road = "https-webticket",
    .read = read_cert_request,
    .begin = ask_for_certificate,
    .worked = certificate_worked,
    .committed = certificate_committed,
    .soap = true,
};
