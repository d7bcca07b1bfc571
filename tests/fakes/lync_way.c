/* SPDX-License-Identifier: Apache-2.0 */
#include "fakes/lync_way.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "ms/autodiscover.h"
#include "ms/certprov.h"
#include "ms/mex.h"
#include "sip/build.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "lync_way: %s failed\n", #condition);                                  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static int64_t now(void)
{
    return bk_clock_real_ms(&bk_clock_system);
}

void lync_way_start(struct lync_way *way, const char *host, uint16_t port)
{
    /* One for all of a program: its RSA key takes a while to make. Immutable, and never given back. */
    static struct bk_dsk_side *side;
    struct bk_dsk_config config = { .server = true, .name = host, .now_real_ms = now() };
    (void)snprintf(way->host, sizeof way->host, "%s", host);
    (void)snprintf(way->base, sizeof way->base, "https://%s:%u", host, port);
    MUST(side || bk_dsk_side_create(&config, &side) == 0);
    way->side = side;
    bk_random_fill(&bk_random_system, &way->key, sizeof way->key);
}

/* ---- the web side ---- */

static void refuse(struct bk_http_exchange *x, uint32_t code, const char *diagnostics,
                   const char *text)
{
    BK_AUTO_BUF struct bk_buf to = { 0 };
    bk_ms_ws_fault(&to, code, bk_view_of_str(text));
    bk_http_answer_field(x, "X-Ms-diagnostics", bk_view_of_str(diagnostics));
    bk_http_answer(x, 200, "text/xml; charset=utf-8", bk_buf_view(&to));
}

static void give_ticket(struct lync_way *way, struct bk_http_exchange *x,
                        const struct bk_http_request *q)
{
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    BK_AUTO_BUF struct bk_buf plain = { 0 }, to = { 0 };
    struct bk_ms_rst request;
    const char *why;
    struct bk_view field = bk_http_field(q, BK_VIEW("Authorization"));
    if (!bk_view_starts_with(field, BK_VIEW("Basic "))) {
        bk_http_answer_field(x, "WWW-Authenticate", BK_VIEW("Basic realm=\"test\""));
        bk_http_answer(x, 401, "text/plain", BK_VIEW("who?"));
        return;
    }
    MUST(bk_base64_decode(bk_view_skip(field, 6), &plain) == 0);
    MUST(bk_ms_rst_parse(q->body, &arena, &request, &why) == 0);
    struct bk_view password = bk_buf_view(&plain);
    (void)bk_view_cut(&password, ':');
    if (!bk_view_equal(password, BK_VIEW("secret"))) {
        refuse(x, 95202,
               "95202;reason=\"The address or the password is wrong.\";source=\"srv\";"
               "record=\"SI-202\";case=\"WR0N-GPW1\"",
               "The address or the password is wrong. (WR0N-GPW1)");
        return;
    }
    MUST(bk_ms_ticket_issue(&way->key, &bk_random_system, &request, BK_MS_SERVICE_CERTIFICATES,
                            bk_view_of_str(way->base), 7, request.claimed, now(), &to) == 0);
    bk_http_answer(x, 200, "text/xml; charset=utf-8", bk_buf_view(&to));
}

static void give_certificate(struct lync_way *way, struct bk_http_exchange *x,
                             const struct bk_http_request *q)
{
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    BK_AUTO_BUF struct bk_buf csr = { 0 }, to = { 0 };
    struct bk_ms_cert_request request;
    struct bk_ms_ticket ticket;
    const char *why;
    MUST(bk_ms_cert_request_parse(q->body, &arena, &request, &why) == 0);
    if (bk_ms_ticket_read(&way->key, request.assertion, now(), &arena, &ticket) !=
            BK_MS_TICKET_GOOD ||
        !bk_ms_cert_verify(&request, &ticket)) {
        refuse(x, 95212, "95212;reason=\"no\";source=\"srv\";record=\"SI-212\"", "no");
        return;
    }
    bk_ms_cert_request_pem(request.csr, &csr);
    BK_AUTO_FREE char *address = bk_view_dup(ticket.address);
    BK_AUTO_FREE char *pem = way->issue(way->ctx, bk_buf_cstr(&csr), address);
    MUST(pem);
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    unsigned char *der = NULL;
    int len = i2d_X509(certificate, &der);
    MUST(len > 0);
    bk_ms_cert_answer(&request, (struct bk_view){ (char *)der, (size_t)len }, &to);
    OPENSSL_free(der);
    X509_free(certificate);
    BIO_free(bio);
    bk_http_answer(x, 200, "text/xml; charset=utf-8", bk_buf_view(&to));
}

bool lync_way_web(struct lync_way *way, struct bk_http_exchange *x, const struct bk_http_request *q)
{
    BK_AUTO_BUF struct bk_buf to = { 0 };
    struct bk_view base = bk_view_of_str(way->base);
    const char *type = "text/xml; charset=utf-8";
    uint64_t port;
    (void)bk_view_to_u64(bk_view_skip(base, strlen("https://") + strlen(way->host) + 1), 65535,
                         &port);
    struct bk_ms_sip_place place = { bk_view_of_str(way->host), (uint16_t)port }, none = { 0 };
    if (bk_view_equal(q->path, BK_VIEW("/"))) {
        bk_ms_autodiscover_root(base, true, &to);
        type = BK_MS_AUTODISCOVER_TYPE;
    } else if (bk_view_equal(q->path, BK_VIEW(BK_MS_PATH_DISCOVER_DOMAIN))) {
        bk_ms_autodiscover_places("Domain", base, true, &place, &none, &to);
        type = BK_MS_AUTODISCOVER_TYPE;
    } else if (bk_view_equal(q->path, BK_VIEW(BK_MS_PATH_CERTPROV_MEX))) {
        bk_ms_mex_certprov(base, &to);
    } else if (bk_view_equal(q->path, BK_VIEW(BK_MS_PATH_WEBTICKET_MEX))) {
        bk_ms_mex_webticket(base, &to);
    } else if (bk_view_equal(q->path, BK_VIEW(BK_MS_PATH_WEBTICKET_AUTH))) {
        give_ticket(way, x, q);
        return true;
    } else if (bk_view_equal(q->path, BK_VIEW(BK_MS_PATH_CERTPROV_PROOF))) {
        give_certificate(way, x, q);
        return true;
    } else {
        return false;
    }
    bk_http_answer(x, 200, type, bk_buf_view(&to));
    return true;
}

/* ---- TLS-DSK ---- */

void lync_peer_finish(struct lync_peer *peer)
{
    bk_dsk_destroy(peer->dsk);
    bk_sa_destroy(peer->sa);
    bk_sa_destroy(peer->fresh);
    *peer = (struct lync_peer){ 0 };
}

static void offer(struct lync_way *way, const char *sts_uri, struct bk_buf *fields)
{
    BK_AUTO_BUF struct bk_buf value = { 0 }, uri = { 0 };
    bk_buf_addf(&uri, "%s%s", way->base, BK_MS_PATH_CERTPROV);
    bk_buf_add_lit(fields, "WWW-Authenticate: NTLM realm=\"" BK_SA_REALM "\", targetname=\"srv\", "
                           "version=4\r\n");
    bk_sa_offer_write(&value, BK_SA_TLS_DSK, BK_VIEW(BK_SA_REALM), bk_view_of_str(way->host),
                      sts_uri ? bk_view_of_str(sts_uri) : bk_buf_view(&uri));
    bk_sip_field_add(fields, BK_SIP_HDR_WWW_AUTHENTICATE, bk_buf_view(&value));
}

static int leg(struct lync_way *way, struct lync_peer *peer, const struct bk_sa_header *header,
               struct bk_buf *fields)
{
    BK_AUTO_BUF struct bk_buf in = { 0 }, token = { 0 }, value = { 0 };
    MUST(bk_base64_decode(header->gssapi_data, &in) == 0);
    if (!header->opaque.at) {
        peer->dsk = bk_dsk_destroy(peer->dsk);
        peer->fresh = bk_sa_destroy(peer->fresh);
        MUST(bk_dsk_begin(way->side, &peer->dsk) == 0);
        (void)snprintf(peer->opaque, sizeof peer->opaque, "OPAQUE%02u", ++peer->n);
    }
    MUST(peer->dsk);
    enum bk_dsk_step step = bk_dsk_step(peer->dsk, bk_buf_view(&in), &token);
    MUST(step != BK_DSK_FAILED);
    if (step == BK_DSK_DONE) {
        struct bk_sa_config config = { .scheme = BK_SA_TLS_DSK,
                                       .server = true,
                                       .opaque = bk_view_of_str(peer->opaque),
                                       .realm = BK_VIEW(BK_SA_REALM),
                                       .targetname = bk_view_of_str(way->host) };
        MUST(bk_dsk_keys(peer->dsk, &config.keys.dsk) == 0);
        MUST(bk_sa_create(&config, &peer->fresh) == 0);
        peer->dsk = bk_dsk_destroy(peer->dsk);
    }
    bk_sa_challenge_write(&value, BK_SA_TLS_DSK, bk_view_of_str(peer->opaque), bk_buf_view(&token),
                          bk_view_of_str(way->host), BK_VIEW(BK_SA_REALM));
    bk_sip_field_add(fields, BK_SIP_HDR_WWW_AUTHENTICATE, bk_buf_view(&value));
    return 401;
}

static bool header_of(const struct bk_sip_msg *msg, struct bk_sa_header *ret)
{
    const struct bk_sip_field *f = bk_sip_msg_field(msg, BK_SIP_HDR_AUTHORIZATION);
    return f && bk_sa_header_parse(f->value, ret) == 0;
}

int lync_way_register(struct lync_way *way, struct lync_peer *peer, const struct bk_sip_msg *msg,
                      const char *sts_uri, struct bk_buf *fields)
{
    struct bk_sa_header header;
    struct bk_sip_head head;
    struct bk_sip_fault fault;
    MUST(bk_sip_msg_check(msg, &head, &fault) == 0);
    if (!header_of(msg, &header)) {
        offer(way, sts_uri, fields);
        return 401;
    }
    if (header.gssapi_data.at)
        return leg(way, peer, &header, fields);
    struct bk_sa *sa = peer->fresh ? peer->fresh : peer->sa;
    if (!sa || bk_sa_verify(sa, msg, &head, &header) != BK_SA_GOOD)
        return 403;
    if (sa == peer->fresh) {
        bk_sa_destroy(peer->sa);
        peer->sa = BK_TAKE(peer->fresh);
    }
    return 200;
}

bool lync_peer_check(struct lync_peer *peer, const struct bk_sip_msg *msg)
{
    struct bk_sa_header header;
    struct bk_sip_head head;
    struct bk_sip_fault fault;
    MUST(bk_sip_msg_check(msg, &head, &fault) == 0);
    if (!peer->sa || (msg->method == BK_SIP_REGISTER && !msg->status))
        return true;
    return header_of(msg, &header) && bk_sa_verify(peer->sa, msg, &head, &header) == BK_SA_GOOD;
}

void lync_peer_seal(struct lync_peer *peer, struct bk_view message, bool spoil, struct bk_buf *to)
{
    static struct bk_sip_msg msg; /* this thread's only one */
    struct bk_sip_head head;
    struct bk_sip_fault fault;
    if (!peer->sa || bk_sip_msg_parse(&msg, message, &fault) < 0 ||
        bk_sip_msg_check(&msg, &head, &fault) < 0 ||
        (msg.status >= 300 && msg.method == BK_SIP_REGISTER)) {
        bk_buf_add_view(to, message);
        return;
    }
    struct bk_view last = msg.fields[msg.n_fields - 1].line;
    size_t at = (size_t)(last.at + last.len - message.at);
    bk_buf_add_view(to, bk_view_head(message, at));
    bk_sa_sign(peer->sa, &msg, &head, &bk_random_system, (struct bk_view){ 0 }, to);
    MUST(!to->failed);
    char *mark = memmem(to->at, to->len, "rspauth=\"", 9);
    MUST(mark);
    if (spoil)
        mark[9] = mark[9] == '0' ? '1' : '0';
    bk_buf_add_view(to, bk_view_skip(message, at));
}
