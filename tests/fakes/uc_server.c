/* SPDX-License-Identifier: Apache-2.0 */
#include "fakes/uc_server.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "fakes/lync_way.h"
#include "net/http.h"
#include "sip/build.h"
#include "sip/fields.h"
#include "sip/frame.h"
#include "sip/uri.h"

#include <jansson.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "uc_server: %s failed\n", #condition);                                 \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { RULES_MAX = 16, SEEN_MAX = 4096, PEERS_MAX = 32 };

struct sip_rule {
    char method[16], status[64], fields[600];
    int times; /* left; 0: for ever */
};

struct web_rule {
    char verb[96], content_type[64];
    int status;
    char *body;
};

struct body {
    char name[48], content_type[120];
    char *text;
};

struct seen {
    char method[96];
    char *text;
};

struct peer {
    struct uc_server *server;
    struct bk_conn *conn;
    struct bk_sip_frame frame;
    bool certified, registered;
    struct lync_peer lync;
};

struct uc_server {
    struct uc_server_config config;
    char name[256], domain[256], key_file[300], chain_file[300], host[300];
    pthread_t thread;
    struct bk_loop *loop;
    struct bk_tls_server *tls;
    struct bk_http_server *web;
    struct bk_listener *listener;
    uint16_t port;
    struct peer peers[PEERS_MAX];
    struct peer *last; /* registered last */
    int forge;         /* messages to be signed wrongly */
    unsigned tag;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t done;
    struct sip_rule sip[RULES_MAX];
    struct web_rule webs[RULES_MAX];
    struct seen seen[SEEN_MAX];
    int n_seen;
    char sip_host[256], extra[256];
    uint16_t sip_port;
    int renew_after_s;
    bool registered, dialect, lync;
    int life_s, grants_s;
    char offers[600], sts_uri[300];
    struct lync_way way;
    struct body bodies[RULES_MAX];
};

/* ---- what came ---- */

static void note(struct uc_server *s, const char *method, struct bk_view text)
{
    (void)pthread_mutex_lock(&s->lock);
    if (s->n_seen < SEEN_MAX) {
        struct seen *seen = &s->seen[s->n_seen++];
        (void)snprintf(seen->method, sizeof seen->method, "%s", method);
        seen->text = strndup(text.at ? text.at : "", text.len);
    }
    (void)pthread_mutex_unlock(&s->lock);
}

int uc_server_count(struct uc_server *s, const char *method)
{
    int n = 0;
    (void)pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->n_seen; i++)
        n += strcmp(s->seen[i].method, method) == 0;
    (void)pthread_mutex_unlock(&s->lock);
    return n;
}

char *uc_server_seen(struct uc_server *s, const char *method, int back)
{
    char *text = NULL;
    (void)pthread_mutex_lock(&s->lock);
    for (int i = s->n_seen - 1; i >= 0 && !text; i--)
        if (strcmp(s->seen[i].method, method) == 0 && back-- == 0)
            text = strdup(s->seen[i].text);
    (void)pthread_mutex_unlock(&s->lock);
    return text;
}

/* ---- personal certificates ---- */

static EVP_PKEY *key_of(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    MUST(key);
    return key;
}

static X509 *certificate_of(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    MUST(x);
    return x;
}

static char *issue(struct uc_server *s, const char *csr_pem, const char *address)
{
    BIO *bio = BIO_new_mem_buf(csr_pem, -1);
    X509_REQ *csr = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (!csr)
        return NULL;
    EVP_PKEY *ca_key = key_of(pki_key_pem(s->config.ca));
    X509 *ca = certificate_of(pki_cert_pem(s->config.ca)), *x = X509_new();
    uint64_t serial;
    char san[400];
    MUST(RAND_bytes((unsigned char *)&serial, sizeof serial) == 1);
    (void)snprintf(san, sizeof san, "URI:sip:%s", address);
    MUST(X509_set_version(x, 2) && ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial));
    MUST(X509_gmtime_adj(X509_getm_notBefore(x), s->life_s < 0 ? s->life_s - 60 : -60) &&
         X509_gmtime_adj(X509_getm_notAfter(x), s->life_s ? s->life_s : 86400));
    MUST(X509_set_issuer_name(x, X509_get_subject_name(ca)));
    MUST(X509_set_pubkey(x, X509_REQ_get0_pubkey(csr)));
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, ca, x, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, san);
    MUST(ext && X509_add_ext(x, ext, -1) && X509_sign(x, ca_key, EVP_sha256()));
    BIO *out = BIO_new(BIO_s_mem());
    char *at;
    MUST(PEM_write_bio_X509(out, x));
    long len = BIO_get_mem_data(out, &at);
    char *pem = strndup(at, (size_t)len);
    BIO_free(out);
    X509_EXTENSION_free(ext);
    X509_free(x);
    X509_free(ca);
    X509_REQ_free(csr);
    EVP_PKEY_free(ca_key);
    return pem;
}

/* ---- the web side ---- */

static void answer_json(struct bk_http_exchange *x, int status, json_t *json)
{
    char *text = json_dumps(json, 0);
    bk_http_answer(x, status, "application/json", bk_view_of_str(text));
    free(text);
    json_decref(json);
}

static void answer_discovery(struct uc_server *s, struct bk_http_exchange *x)
{
    char text[1500];
    (void)pthread_mutex_lock(&s->lock);
    (void)snprintf(text, sizeof text,
                   "{\"v\":1,\"domain\":\"%s\",\"sip\":[{\"host\":\"%s\",\"port\":%u,"
                   "\"transport\":\"tls\",\"where\":\"internal\"}],"
                   "\"services\":\"https://%s:%u/beckon/v1/\",\"methods\":[\"password\"]%s}",
                   s->domain, s->sip_host[0] ? s->sip_host : s->name,
                   s->sip_port ? s->sip_port : s->port, s->name, s->port, s->extra);
    (void)pthread_mutex_unlock(&s->lock);
    bk_http_answer(x, 200, "application/json; charset=utf-8", bk_view_of_str(text));
}

static void answer_certificate(struct uc_server *s, struct bk_http_exchange *x, const json_t *body)
{
    const char *address = json_string_value(json_object_get(body, "address"));
    const char *csr = json_string_value(json_object_get(body, "csr"));
    char *pem = address && csr ? issue(s, csr, address) : NULL;
    char renew[32];
    if (!pem) {
        answer_json(x, 400, json_pack("{s:s}", "text", "no readable request"));
        return;
    }
    json_t *answer = json_pack("{s:s,s:s,s:s}", "certificate", pem, "chain",
                               pki_cert_pem(s->config.ca), "address", address);
    (void)pthread_mutex_lock(&s->lock);
    int renew_after_s = s->renew_after_s;
    (void)pthread_mutex_unlock(&s->lock);
    if (renew_after_s) {
        bk_time_iso(bk_clock_real_ms(&bk_clock_system) + renew_after_s * 1000, false, renew);
        (void)json_object_set_new(answer, "renew_after", json_string(renew));
    }
    free(pem);
    answer_json(x, 200, answer);
}

static void answer_usual(struct uc_server *s, struct bk_http_exchange *x, const char *verb,
                         struct bk_view text)
{
    json_t *body = text.len ? json_loadb(text.at, text.len, 0, NULL) : NULL;
    const char *password = json_string_value(json_object_get(body, "password"));
    BK_AUTO_BUF struct bk_buf der = { 0 };
    bool certified = bk_tls_peer_certificate(bk_conn_tls(bk_http_conn(x)), &der, false) == 0;
    if (s->lync) {
        bk_http_answer(x, 404, "text/plain", BK_VIEW("not here"));
    } else if (strcmp(verb, "GET /") == 0) {
        answer_discovery(s, x);
    } else if (strcmp(verb, "POST sign-in") == 0 && password && strcmp(password, "secret") == 0) {
        answer_certificate(s, x, body);
    } else if (strcmp(verb, "POST sign-in") == 0) {
        answer_json(x, 401,
                    json_pack("{s:s,s:i,s:s,s:s}", "record", "SI-202", "id", 95202, "case",
                              "WR0N-GPW1", "text", "The address or the password is wrong."));
    } else if (strcmp(verb, "POST renew") == 0 && certified) {
        answer_certificate(s, x, body);
    } else if (strcmp(verb, "POST revoke") == 0 && certified) {
        bk_http_answer(x, 204, "text/plain", (struct bk_view){ 0 });
    } else if (strcmp(verb, "POST report") == 0) {
        bk_http_answer(x, 204, "text/plain", (struct bk_view){ 0 });
    } else {
        bk_http_answer(x, 404, "text/plain", BK_VIEW("not here"));
    }
    json_decref(body);
}

static void on_web(void *ctx, struct bk_http_exchange *x, const struct bk_http_request *q)
{
    struct uc_server *s = ctx;
    char verb[96];
    struct bk_view path = q->path;
    if (bk_view_starts_with(path, BK_VIEW("/beckon/v1/")))
        path = bk_view_skip(path, 11);
    (void)snprintf(verb, sizeof verb, "%.*s %.*s", BK_VIEW_ARGS(q->method), BK_VIEW_ARGS(path));
    note(s, verb, q->body);
    struct web_rule rule = { 0 };
    (void)pthread_mutex_lock(&s->lock);
    for (int i = 0; i < RULES_MAX; i++)
        if (s->webs[i].status && strcmp(s->webs[i].verb, verb) == 0) {
            rule = s->webs[i];
            rule.body = strdup(rule.body);
        }
    (void)pthread_mutex_unlock(&s->lock);
    if (!rule.status && s->lync && lync_way_web(&s->way, x, q))
        return;
    if (!rule.status) {
        answer_usual(s, x, verb, q->body);
        return;
    }
    char *body = rule.body, *end;
    while (body[0] && strncmp(body, "H:", 2) == 0 && (end = strchr(body, '\n'))) {
        *end = 0;
        char *colon = strchr(body + 2, ':');
        MUST(colon);
        *colon = 0;
        bk_http_answer_field(x, body + 2, bk_view_trim(bk_view_of_str(colon + 1)));
        body = end + 1;
    }
    bk_http_answer(x, rule.status, rule.content_type, bk_view_of_str(body));
    free(rule.body);
}

void uc_server_web(struct uc_server *s, const char *verb, int status, const char *content_type,
                   const char *body)
{
    (void)pthread_mutex_lock(&s->lock);
    struct web_rule *rule = NULL;
    for (int i = 0; i < RULES_MAX; i++)
        if (strcmp(s->webs[i].verb, verb) == 0 || (!rule && !s->webs[i].verb[0]))
            rule = &s->webs[i];
    MUST(rule);
    (void)snprintf(rule->verb, sizeof rule->verb, "%s", verb);
    (void)snprintf(rule->content_type, sizeof rule->content_type, "%s",
                   content_type ? content_type : "application/json");
    free(rule->body);
    rule->body = strdup(body ? body : "");
    rule->status = status;
    (void)pthread_mutex_unlock(&s->lock);
}

/* ---- the SIP side ---- */

static bool find_rule(struct uc_server *s, const char *method, struct sip_rule *ret)
{
    bool found = false;
    (void)pthread_mutex_lock(&s->lock);
    for (int i = 0; i < RULES_MAX && !found; i++) {
        struct sip_rule *rule = &s->sip[i];
        if (strcmp(rule->method, method) != 0)
            continue;
        *ret = *rule;
        found = true;
        if (rule->times && --rule->times == 0)
            rule->method[0] = 0;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return found;
}

void uc_server_answer(struct uc_server *s, const char *method, const char *status,
                      const char *fields, int times)
{
    (void)pthread_mutex_lock(&s->lock);
    struct sip_rule *rule = NULL;
    for (int i = 0; i < RULES_MAX; i++)
        if (strcmp(s->sip[i].method, method) == 0)
            rule = &s->sip[i];
    for (int i = 0; i < RULES_MAX && !rule; i++)
        if (!s->sip[i].method[0])
            rule = &s->sip[i];
    MUST(rule);
    *rule = (struct sip_rule){ .times = times };
    if (status) {
        (void)snprintf(rule->method, sizeof rule->method, "%s", method);
        (void)snprintf(rule->status, sizeof rule->status, "%s", status);
        (void)snprintf(rule->fields, sizeof rule->fields, "%s", fields);
    }
    (void)pthread_mutex_unlock(&s->lock);
}

void uc_server_dialect(struct uc_server *s, bool speaks)
{
    (void)pthread_mutex_lock(&s->lock);
    s->dialect = speaks;
    (void)pthread_mutex_unlock(&s->lock);
}

void uc_server_body(struct uc_server *s, const char *name, const char *content_type,
                    const char *body)
{
    (void)pthread_mutex_lock(&s->lock);
    struct body *at = NULL;
    for (int i = 0; i < RULES_MAX; i++)
        if (strcmp(s->bodies[i].name, name) == 0 || (!at && !s->bodies[i].name[0]))
            at = &s->bodies[i];
    MUST(at);
    (void)snprintf(at->name, sizeof at->name, "%s", name);
    (void)snprintf(at->content_type, sizeof at->content_type, "%s", content_type);
    free(at->text);
    at->text = strdup(body);
    (void)pthread_mutex_unlock(&s->lock);
}

/* Ends the message, with what stands under that name. */
static void end_with_body(struct uc_server *s, struct bk_buf *out, const char *name)
{
    struct bk_view type = { 0 }, body = { 0 };
    (void)pthread_mutex_lock(&s->lock);
    for (int i = 0; i < RULES_MAX; i++) {
        if (s->bodies[i].text && s->bodies[i].text[0] && strcmp(s->bodies[i].name, name) == 0) {
            type = bk_view_of_str(s->bodies[i].content_type);
            body = bk_view_of_str(s->bodies[i].text);
        }
    }
    bk_sip_end(out, type, body);
    (void)pthread_mutex_unlock(&s->lock);
}

/* Signed, where it has to be. */
static void send_to(struct peer *p, struct bk_view message)
{
    BK_AUTO_BUF struct bk_buf sealed = { 0 };
    struct uc_server *s = p->server;
    bool counts = !bk_view_starts_with(message, BK_VIEW("SIP/2.0 ")) ||
                  bk_view_find_view(message, BK_VIEW(" REGISTER\r\n")) < message.len;
    bool spoil = p->lync.sa && counts && s->forge > 0 && s->forge-- > 0;
    lync_peer_seal(&p->lync, message, spoil, &sealed);
    MUST(!sealed.failed);
    (void)bk_conn_send(p->conn, bk_buf_view(&sealed), false);
}

static void answer(struct peer *p, const struct bk_sip_msg *msg, int status, struct bk_view reason,
                   const char *fields)
{
    BK_AUTO_BUF struct bk_buf out = { 0 };
    char tag[32], date[32], name[16] = "";
    (void)snprintf(tag, sizeof tag, "srv%u", ++p->server->tag);
    if (msg->method == BK_SIP_SERVICE || (msg->method == BK_SIP_INVITE && status / 100 == 2))
        (void)snprintf(name, sizeof name, "%.*s", BK_VIEW_ARGS(msg->method_name));
    bk_time_http(bk_clock_real_ms(&bk_clock_system), date);
    bk_sip_response_begin(&out, msg, status, reason, bk_view_of_str(tag), NULL);
    bk_sip_field_add(&out, BK_SIP_HDR_DATE, bk_view_of_str(date));
    bk_buf_add_str(&out, fields);
    end_with_body(p->server, &out, name);
    MUST(!out.failed);
    send_to(p, bk_buf_view(&out));
}

/* true: let in. */
static bool register_lync(struct peer *p, const struct bk_sip_msg *msg)
{
    struct uc_server *s = p->server;
    BK_AUTO_BUF struct bk_buf fields = { 0 };
    char offers[600], sts_uri[300];
    (void)pthread_mutex_lock(&s->lock);
    memcpy(offers, s->offers, sizeof offers);
    memcpy(sts_uri, s->sts_uri, sizeof sts_uri);
    (void)pthread_mutex_unlock(&s->lock);
    int status = lync_way_register(&s->way, &p->lync, msg, sts_uri[0] ? sts_uri : NULL, &fields);
    bool first = status == 401 && !bk_sip_msg_field(msg, BK_SIP_HDR_AUTHORIZATION);
    if (status != 200)
        answer(p, msg, status, (struct bk_view){ 0 },
               first && offers[0]     ? offers
               : bk_buf_cstr(&fields) ? bk_buf_cstr(&fields)
                                      : "");
    return status == 200;
}

static void answer_register(struct peer *p, const struct bk_sip_msg *msg)
{
    struct uc_server *s = p->server;
    struct bk_view contact = bk_sip_msg_value(msg, BK_SIP_HDR_CONTACT);
    char fields[1200];
    int64_t expires = 600;
    if (!s->lync && !p->certified) {
        (void)snprintf(fields, sizeof fields, "Beckon-Services: <https://%s:%u/beckon/v1/>\r\n",
                       s->name, s->port);
        answer(p, msg, 401, (struct bk_view){ 0 }, fields);
        return;
    }
    (void)bk_sip_msg_expires(msg, &expires);
    if (s->grants_s && expires)
        expires = s->grants_s;
    (void)snprintf(fields, sizeof fields, "Contact: %.*s;expires=%d%s\r\n%sExpires: %d\r\n%s",
                   BK_VIEW_ARGS(contact), (int)expires,
                   s->lync ? ";gruu=\"sip:ann@example.test;opaque=user:epid:AAA;gruu\"" : "",
                   s->lync ? "ms-keep-alive: UAS; tcp=no; timeout=300\r\n" : "Flow-Timer: 120\r\n",
                   (int)expires,
                   s->dialect ? "Allow-Events: vnd-microsoft-roaming-contacts,presence,"
                                "vnd-microsoft-roaming-self\r\n"
                                "Supported: adhoclist\r\nSupported: msrtc-event-categories\r\n"
                              : "");
    p->registered = expires > 0;
    s->last = p->registered ? p : NULL;
    (void)pthread_mutex_lock(&s->lock);
    s->registered = p->registered;
    (void)pthread_mutex_unlock(&s->lock);
    answer(p, msg, 200, (struct bk_view){ 0 }, fields);
}

/* The first notification rides on the answer, later ones are the test's. */
static bool answer_dialect(struct peer *p, const struct bk_sip_msg *msg)
{
    struct bk_sip_event event = { 0 };
    char name[48];
    BK_AUTO_BUF struct bk_buf out = { 0 };
    if (!p->server->dialect ||
        !bk_sip_msg_has_token(msg, BK_SIP_HDR_SUPPORTED, BK_VIEW("ms-piggyback-first-notify")))
        return false;
    (void)bk_sip_event_parse(bk_sip_msg_value(msg, BK_SIP_HDR_EVENT), &event);
    (void)snprintf(name, sizeof name, "%.*s", BK_VIEW_ARGS(event.package));
    bk_sip_response_begin(&out, msg, 200, (struct bk_view){ 0 }, BK_VIEW("sub"), NULL);
    bk_buf_addf(&out,
                "Contact: <sip:%s:%u;transport=tls>\r\nExpires: 600\r\nEvent: %s\r\n"
                "subscription-state: active;expires=600\r\nms-piggyback-cseq: 1\r\n",
                p->server->name, p->server->port, name);
    end_with_body(p->server, &out, name);
    MUST(!out.failed);
    send_to(p, bk_buf_view(&out));
    return true;
}

static void answer_subscribe(struct peer *p, const struct bk_sip_msg *msg)
{
    if (answer_dialect(p, msg))
        return;
    struct bk_sip_head head;
    struct bk_sip_fault fault;
    BK_AUTO_BUF struct bk_buf out = { 0 };
    MUST(bk_sip_msg_check(msg, &head, &fault) == 0);
    unsigned tag = ++p->server->tag;
    bk_sip_response_begin(&out, msg, 200, (struct bk_view){ 0 },
                          head.to_tag.len ? head.to_tag : BK_VIEW("sub"), NULL);
    bk_buf_addf(&out, "Contact: <sip:%s:%u;transport=tls>\r\nExpires: 600\r\n", p->server->name,
                p->server->port);
    bk_sip_end(&out, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    struct bk_view target = { 0 };
    struct bk_view contact = bk_sip_msg_value(msg, BK_SIP_HDR_CONTACT);
    struct bk_sip_addr addr;
    if (bk_sip_addr_next(&contact, &addr) == 1)
        target = addr.uri_text;
    bk_buf_addf(&out,
                "NOTIFY %.*s SIP/2.0\r\nVia: SIP/2.0/TLS %s;branch=z9hG4bKn%u\r\n"
                "Max-Forwards: 70\r\nFrom: <%.*s>;tag=sub\r\nTo: <%.*s>;tag=%.*s\r\n"
                "Call-ID: %.*s\r\nCSeq: %u NOTIFY\r\nContact: <sip:%s:%u;transport=tls>\r\n"
                "Event: presence\r\nSubscription-State: active;expires=600\r\n"
                "Content-Length: 0\r\n\r\n",
                BK_VIEW_ARGS(target), p->server->name, tag, BK_VIEW_ARGS(head.to_uri),
                BK_VIEW_ARGS(head.from_uri), BK_VIEW_ARGS(head.from_tag),
                BK_VIEW_ARGS(head.call_id), tag, p->server->name, p->server->port);
    MUST(!out.failed);
    send_to(p, bk_buf_view(&out));
}

static void answer_request(struct peer *p, const struct bk_sip_msg *msg)
{
    char method[32], fields[64], contact[600];
    struct sip_rule rule;
    (void)snprintf(method, sizeof method, "%.*s", BK_VIEW_ARGS(msg->method_name));
    note(p->server, method, msg->bytes);
    bool lync = p->server->lync;
    if (!lync_peer_check(&p->lync, msg))
        note(p->server, "BAD SIGNATURE", msg->bytes);
    if (lync && msg->method == BK_SIP_REGISTER && !register_lync(p, msg))
        return;
    bool certified_register = msg->method != BK_SIP_REGISTER || lync || p->certified;
    if (certified_register && find_rule(p->server, method, &rule)) {
        if (rule.status[0])
            answer(p, msg, atoi(rule.status), bk_view_of_str(rule.status + 4), rule.fields);
        return;
    }
    switch (msg->method) {
    case BK_SIP_REGISTER:
        answer_register(p, msg);
        return;
    case BK_SIP_SUBSCRIBE:
        answer_subscribe(p, msg);
        return;
    case BK_SIP_PUBLISH:
        (void)snprintf(fields, sizeof fields, "SIP-ETag: e%u\r\nExpires: 600\r\n",
                       ++p->server->tag);
        answer(p, msg, 200, (struct bk_view){ 0 }, fields);
        return;
    case BK_SIP_ACK:
        return;
    case BK_SIP_INVITE: /* the server itself is the other end of a conversation */
        (void)snprintf(contact, sizeof contact,
                       "Contact: <sip:somebody%%40%s@%s:%u;transport=tls;opaque=im>\r\n",
                       p->server->domain, p->server->name, p->server->port);
        answer(p, msg, p->server->dialect ? 200 : 405, (struct bk_view){ 0 },
               p->server->dialect ? contact : "");
        return;
    default:
        answer(p, msg, 200, (struct bk_view){ 0 }, "");
    }
}

static void take_message(struct peer *p, struct bk_view bytes)
{
    static struct bk_sip_msg msg; /* this thread's only one */
    struct bk_sip_fault fault;
    char status[32];
    MUST(bk_sip_msg_parse(&msg, bytes, &fault) == 0);
    if (!msg.status) {
        answer_request(p, &msg);
        return;
    }
    if (!lync_peer_check(&p->lync, &msg))
        note(p->server, "BAD SIGNATURE", msg.bytes);
    (void)snprintf(status, sizeof status, "%d %.*s", msg.status,
                   BK_VIEW_ARGS(bk_sip_method_name(msg.method)));
    note(p->server, status, msg.bytes);
}

static size_t on_bytes(struct bk_conn *conn, void *ctx, struct bk_view bytes)
{
    struct peer *p = ctx;
    struct uc_server *s = p->server;
    size_t used = 0;
    enum bk_conn_protocol protocol = bk_conn_sniff((struct bk_view){ 0 }, bytes);
    if (protocol == BK_PROTOCOL_HTTP) {
        *p = (struct peer){ 0 };
        MUST(bk_http_server_adopt(s->web, conn) == 0);
        return 0;
    }
    bk_conn_calm(conn);
    while (used < bytes.len) {
        size_t len;
        struct bk_sip_fault fault;
        struct bk_view rest = bk_view_skip(bytes, used);
        enum bk_sip_frame_step step = bk_sip_frame_next(&p->frame, rest, 65536, &len, &fault);
        if (step == BK_SIP_FRAME_MORE)
            break;
        MUST(step != BK_SIP_FRAME_BAD);
        p->frame = (struct bk_sip_frame){ 0 };
        used += len;
        struct sip_rule rule;
        if (step == BK_SIP_FRAME_PING) {
            note(s, "PING", (struct bk_view){ 0 });
            if (!find_rule(s, "PING", &rule))
                (void)bk_conn_send(conn, BK_VIEW("\r\n"), false);
        } else if (step == BK_SIP_FRAME_MESSAGE) {
            take_message(p, bk_view_head(rest, len));
        }
    }
    return used;
}

static void on_ready(struct bk_conn *conn, void *ctx)
{
    struct peer *p = ctx;
    struct bk_buf der = { 0 };
    p->certified = bk_tls_peer_certificate(bk_conn_tls(conn), &der, false) == 0;
    if (p->certified)
        note(p->server, "CLIENT CERTIFICATE", (struct bk_view){ 0 });
    bk_buf_finish(&der);
}

static void on_closed(struct bk_conn *conn, void *ctx, enum bk_conn_end why)
{
    struct peer *p = ctx;
    (void)conn;
    (void)why;
    lync_peer_finish(&p->lync);
    if (p->server && p->server->last == p) {
        p->server->last = NULL;
        (void)pthread_mutex_lock(&p->server->lock);
        p->server->registered = false;
        (void)pthread_mutex_unlock(&p->server->lock);
    }
    *p = (struct peer){ 0 };
}

static const struct bk_conn_ops peer_ops = { on_ready, on_bytes, on_closed, NULL };

static void *on_accepted(void *ctx, struct bk_conn *conn)
{
    struct uc_server *s = ctx;
    for (int i = 0; i < PEERS_MAX; i++) {
        if (!s->peers[i].server) {
            s->peers[i] = (struct peer){ .server = s, .conn = conn };
            return &s->peers[i];
        }
    }
    return NULL;
}

/* ---- orders from the test's thread ---- */

struct order {
    struct uc_server *server;
    void (*run)(struct uc_server *s, struct order *order);
    const char *text;
    int n;
    bool flag, done;
};

static void run_order(void *arg)
{
    struct order *order = arg;
    struct uc_server *s = order->server;
    order->run(s, order);
    (void)pthread_mutex_lock(&s->lock);
    order->done = true;
    (void)pthread_cond_broadcast(&s->done);
    (void)pthread_mutex_unlock(&s->lock);
}

static void give_order(struct uc_server *s, struct order order)
{
    order.server = s;
    MUST(bk_loop_post(s->loop, run_order, &order) == 0);
    (void)pthread_mutex_lock(&s->lock);
    while (!order.done)
        (void)pthread_cond_wait(&s->done, &s->lock);
    (void)pthread_mutex_unlock(&s->lock);
}

static void do_send(struct uc_server *s, struct order *order)
{
    MUST(s->last);
    send_to(s->last, bk_view_of_str(order->text));
}

static void do_drop(struct uc_server *s, struct order *order)
{
    (void)order;
    for (int i = 0; i < PEERS_MAX; i++)
        if (s->peers[i].server)
            bk_conn_close(s->peers[i].conn, 0);
}

static void listen_again(struct uc_server *s)
{
    struct bk_addr at;
    MUST(bk_addr_parse("127.0.0.1", s->port, &at) == 0);
    struct bk_listen_config config = {
        .at = &at,
        .tls = s->tls,
        .limits = bk_conn_limits_default,
        .ops = &peer_ops,
        .accepted = on_accepted,
        .ctx = s,
    };
    MUST(bk_listen(s->loop, &config, &s->listener) == 0);
    s->port = bk_listener_port(s->listener);
}

static void do_down(struct uc_server *s, struct order *order)
{
    if (order->flag) {
        do_drop(s, order);
        s->listener = bk_listener_destroy(s->listener);
    } else {
        listen_again(s);
    }
}

static void do_stop(struct uc_server *s, struct order *order)
{
    do_drop(s, order);
    bk_loop_stop(s->loop);
}

void uc_server_send(struct uc_server *s, const char *text)
{
    give_order(s, (struct order){ .run = do_send, .text = text });
}

void uc_server_drop(struct uc_server *s)
{
    give_order(s, (struct order){ .run = do_drop });
}

void uc_server_down(struct uc_server *s, bool down)
{
    give_order(s, (struct order){ .run = do_down, .flag = down });
}

static char *issue_for(void *ctx, const char *csr_pem, const char *address)
{
    return issue(ctx, csr_pem, address);
}

void uc_server_lync(struct uc_server *s)
{
    MUST(!s->lync);
    (void)pthread_mutex_lock(&s->lock);
    s->way.issue = issue_for;
    s->way.ctx = s;
    lync_way_start(&s->way, s->name, s->port);
    s->lync = true;
    (void)pthread_mutex_unlock(&s->lock);
}

void uc_server_life(struct uc_server *s, int seconds)
{
    s->life_s = seconds;
}

void uc_server_grants(struct uc_server *s, int seconds)
{
    s->grants_s = seconds;
}

void uc_server_offers(struct uc_server *s, const char *lines, const char *sts_uri)
{
    (void)pthread_mutex_lock(&s->lock);
    (void)snprintf(s->offers, sizeof s->offers, "%s", lines ? lines : "");
    (void)snprintf(s->sts_uri, sizeof s->sts_uri, "%s", sts_uri ? sts_uri : "");
    (void)pthread_mutex_unlock(&s->lock);
}

static void do_forge(struct uc_server *s, struct order *order)
{
    s->forge = order->n;
}

void uc_server_forge(struct uc_server *s, int n)
{
    give_order(s, (struct order){ .run = do_forge, .n = n });
}

bool uc_server_registered(struct uc_server *s)
{
    (void)pthread_mutex_lock(&s->lock);
    bool registered = s->registered;
    (void)pthread_mutex_unlock(&s->lock);
    return registered;
}

void uc_server_names(struct uc_server *s, const char *sip_host, uint16_t sip_port,
                     const char *extra_json)
{
    (void)pthread_mutex_lock(&s->lock);
    (void)snprintf(s->sip_host, sizeof s->sip_host, "%s", sip_host ? sip_host : "");
    s->sip_port = sip_port;
    (void)snprintf(s->extra, sizeof s->extra, "%s", extra_json ? extra_json : "");
    (void)pthread_mutex_unlock(&s->lock);
}

void uc_server_renew_after(struct uc_server *s, int seconds)
{
    (void)pthread_mutex_lock(&s->lock);
    s->renew_after_s = seconds;
    (void)pthread_mutex_unlock(&s->lock);
}

/* ---- life ---- */

static void *serve(void *arg)
{
    struct uc_server *s = arg;
    (void)bk_loop_run(s->loop);
    return NULL;
}

struct uc_server *uc_server_start(const struct uc_server_config *config)
{
    static const char *const alpn[] = { "beckon", "sip", "http/1.1", NULL };
    struct uc_server *s = calloc(1, sizeof *s);
    MUST(s);
    s->config = *config;
    (void)snprintf(s->name, sizeof s->name, "%s", config->name);
    (void)snprintf(s->domain, sizeof s->domain, "%s", config->domain);
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->done, NULL);
    static int number;
    char file[32];
    (void)snprintf(file, sizeof file, "server%d", ++number);
    const struct pki_cert *chain[] = { config->certificate, NULL };
    pki_write(config->dir, file, chain);
    (void)snprintf(s->chain_file, sizeof s->chain_file, "%s/%s.pem", config->dir, file);
    (void)snprintf(s->key_file, sizeof s->key_file, "%s/%s.key", config->dir, file);
    struct bk_tls_server_config tls = { .chain_file = s->chain_file,
                                        .key_file = s->key_file,
                                        .alpn = alpn };
    char *why = NULL;
    MUST(bk_loop_create(NULL, &s->loop) == 0);
    MUST(bk_tls_server_create(&tls, &s->tls, &why) == 0);
    struct bk_http_server_config web = { .handle = on_web, .ctx = s, .clock = &bk_clock_system };
    s->web = bk_http_server_create(s->loop, &web);
    MUST(s->web);
    s->port = config->port;
    listen_again(s);
    MUST(pthread_create(&s->thread, NULL, serve, s) == 0);
    return s;
}

uint16_t uc_server_port(const struct uc_server *s)
{
    return s->port;
}

void uc_server_stop(struct uc_server *s)
{
    if (!s)
        return;
    give_order(s, (struct order){ .run = do_stop });
    (void)pthread_join(s->thread, NULL);
    s->listener = bk_listener_destroy(s->listener);
    s->web = bk_http_server_destroy(s->web);
    for (int i = 0; i < 8; i++)
        (void)bk_loop_step(s->loop, 0);
    (void)bk_loop_destroy(s->loop);
    (void)bk_tls_server_unref(s->tls);
    for (int i = 0; i < PEERS_MAX; i++)
        lync_peer_finish(&s->peers[i].lync);
    for (int i = 0; i < s->n_seen; i++)
        free(s->seen[i].text);
    for (int i = 0; i < RULES_MAX; i++) {
        free(s->webs[i].body);
        free(s->bodies[i].text);
    }
    (void)pthread_mutex_destroy(&s->lock);
    (void)pthread_cond_destroy(&s->done);
    free(s);
}
