/* SPDX-License-Identifier: Apache-2.0 */
/*
 * REGISTER towards a server that knows the Lync dialect's way in alone: an unsigned one is offered schemes, TLS-DSK goes back
 * and forth in 401s, and from the last one on everything is signed ([MS-SIPAE], [MS-SIPRE]; ms/sa.h, client/signing.h).
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "client/client_private.h"

#include <errno.h>
#include <stdio.h>

enum {
    FORGED_MAX = 5, /* on one connection; then it is given up */
    OFFERS_MAX = 2, /* a server that starts over when the handshake is done does not want us */
    AHEAD_MS = 5 * 60 * 1000, /* proved anew before the association or its certificate ends */
    PROVE_LEAST_MS = 1000,
    KEEP_ALIVE_AHEAD_S = 10,
};

/* ---- our name on this computer ---- */

/* Twelve hex digits of the endpoint's UUID: the same from one start to the next. */
static void make_epid(struct bk_client *c)
{
    size_t len = strlen(c->profile.endpoint);
    const char *from = len > 12 ? c->profile.endpoint + len - 12 : "beckon";
    (void)snprintf(c->signing.epid, sizeof c->signing.epid, "%s", from);
}

void bk_lync_instance(struct bk_client *c, char to[BK_UUID_TEXT_SIZE])
{
    make_epid(c);
    bk_ms_instance_of_epid(bk_view_of_str(c->signing.epid), to);
}

void bk_lync_write_register(struct bk_client *c, const struct bk_ask *ask, bool leaving,
                            struct bk_buf *to)
{
    char date[32], instance[BK_UUID_TEXT_SIZE], uri[300];
    bk_time_http(bk_client_real(c), date);
    bk_lync_instance(c, instance);
    c->signing.random = c->random;
    (void)snprintf(uri, sizeof uri, "sip:%s", c->domain);
    bk_link_request_begin(c->link, ask, to, BK_SIP_REGISTER, bk_view_of_str(uri));
    bk_sip_field_addf(to, BK_SIP_HDR_FROM, "<sip:%s>;tag=%s", c->address, c->from_tag);
    bk_sip_field_addf(to, BK_SIP_HDR_TO, "<sip:%s>", c->address);
    bk_sip_field_add(to, BK_SIP_HDR_CALL_ID, bk_view_of_str(c->call_id));
    bk_sip_field_addf(to, BK_SIP_HDR_CSEQ, "%u REGISTER", ++c->cseq);
    bk_sip_field_add(to, BK_SIP_HDR_DATE, bk_view_of_str(date));
    bk_sip_field_addf(
        to, BK_SIP_HDR_CONTACT,
        "<sip:%s;transport=tls;ms-opaque=%.10s>;methods=\"INVITE, MESSAGE, INFO, "
        "SUBSCRIBE, OPTIONS, BYE, CANCEL, NOTIFY, ACK, BENOTIFY\";proxy=replace;message;"
        "+sip.instance=\"<urn:uuid:%s>\"",
        bk_link_local(c->link), c->from_tag, instance);
    /* A line each: there are servers that compare whole lines. */
    static const char *const supported[] = { "gruu-10", "adhoclist", "msrtc-event-categories",
                                             "com.microsoft.msrtc.presence" };
    for (size_t i = 0; i < BK_COUNT_OF(supported); i++)
        bk_sip_field_add(to, BK_SIP_HDR_SUPPORTED, bk_view_of_str(supported[i]));
    bk_sip_field_add(to, BK_SIP_HDR_EVENT, BK_VIEW("registration"));
    bk_sip_field_add(to, BK_SIP_HDR_ALLOW_EVENTS, BK_VIEW("presence"));
    bk_sip_field_add(to, BK_SIP_HDR_MS_KEEP_ALIVE, BK_VIEW("UAC;hop-hop=yes"));
    if (leaving) /* else the server chooses, and says so */
        bk_sip_field_add(to, BK_SIP_HDR_EXPIRES, BK_VIEW("0"));
    bk_sip_end(to, (struct bk_view){ 0 }, (struct bk_view){ 0 });
}

/* ---- 401 ---- */

static void fault_here(struct bk_client *c, unsigned number, char sub, const char *why,
                       const char *detail, struct bk_fault *ret)
{
    char where[288];
    const struct bk_answer_server *server = bk_link_server(c->link);
    (void)snprintf(where, sizeof where, "%s:%u", server->host, server->port);
    bk_fault_set(ret, number, sub, where, why, detail);
}

static void refuse(struct bk_client *c, unsigned number, char sub, const char *why,
                   const char *detail)
{
    struct bk_fault fault;
    fault_here(c, number, sub, why, detail, &fault);
    bk_tried_add(&c->tried, "REGISTER", fault.server, why, &fault);
    bk_client_fail(c, &fault);
}

static bool keep_sts_uri(struct bk_client *c, struct bk_view text)
{
    struct bk_url url;
    if (text.len >= sizeof c->offer.sts_uri || bk_url_parse(text, &url) < 0 || !url.secure)
        return false;
    memcpy(c->offer.sts_uri, text.at, text.len);
    c->offer.sts_uri[text.len] = 0;
    return true;
}

bool bk_lync_wants_certificate(const struct bk_client *c)
{
    /* Past its two thirds it is made anew while the password is at hand. */
    return !c->tls_own || (c->password.len && c->profile.renew_after_ms &&
                           c->profile.renew_after_ms <= bk_clock_real_ms(c->clock));
}

/* TLS-DSK with the certificate of the profile. */
static const char *begin_dsk(struct bk_client *c, const struct bk_signing_offer *offer,
                             bool *ret_own)
{
    BK_AUTO_BUF struct bk_buf pem = { 0 };
    bk_buf_add_view(&pem, bk_buf_view(&c->profile.identity));
    struct bk_initiator_config config = { .scheme = BK_SA_TLS_DSK,
                                          .pem = bk_buf_cstr(&pem),
                                          .now_real_ms = bk_client_real(c) };
    const char *why = bk_signing_begin(&c->signing, offer, &config, ret_own);
    if (pem.at)
        bk_wipe(pem.at, pem.cap);
    return why;
}

/* NTLM with the password, which stays in memory as long as somebody is signed in by it. */
static const char *begin_ntlm(struct bk_client *c, const struct bk_signing_offer *offer,
                              bool *ret_own)
{
    if (!c->password.len) { /* never a guess: an empty one counts against the account */
        *ret_own = false;
        return "NTLM wants the password, which is not at hand any more";
    }
    struct bk_initiator_config config = { .scheme = BK_SA_NTLM,
                                          .login = c->user[0] ? c->user : c->address,
                                          .password = bk_buf_cstr(&c->password),
                                          .now_real_ms = bk_client_real(c) };
    return bk_signing_begin(&c->signing, offer, &config, ret_own);
}

static const struct scheme {
    enum bk_sa_scheme scheme;
    const char *name;
    unsigned refused; /* what a new offer at the end of a handshake means */
    const char *(*begin)(struct bk_client *c, const struct bk_signing_offer *offer, bool *ret_own);
} schemes[] = {
    /* In the order in which they are taken. */
    { BK_SA_TLS_DSK, "TLS-DSK", 105, begin_dsk },
    { BK_SA_NTLM, "NTLM", 202, begin_ntlm },
};

/* What this scheme needs before its handshake. true: it has to be got first, which is under way. */
static bool lacks_something(struct bk_client *c, const struct scheme *scheme)
{
    bool early = c->state == BK_CLIENT_CONTACTING || c->state == BK_CLIENT_REGISTERING;
    if (!early)
        return false;
    if (scheme->scheme == BK_SA_NTLM) {
        if (c->password.len)
            return false;
        bk_client_feed(c, IN_CREDENTIAL_NEEDED);
    } else if (!bk_lync_wants_certificate(c)) {
        return false;
    } else if (!c->offer.sts_uri[0]) {
        refuse(c, 102, 0, "its challenge does not name where certificates are given", "");
    } else {
        bk_client_feed(c, IN_PROBED);
    }
    return true;
}

/* A first offer: it is taken up, or something is to be had first. */
static void take_offer(struct bk_client *c, const struct scheme *scheme,
                       const struct bk_signing_offer *offer)
{
    if (offer->sts_uri.len && !keep_sts_uri(c, offer->sts_uri)) {
        refuse(c, 305, 0, "its challenge names no https URL for certificates", "");
        return;
    }
    if (lacks_something(c, scheme))
        return;
    if (++c->lync_offers > OFFERS_MAX) {
        refuse(c, scheme->refused, 0, "refused at the end of the handshake",
               "the server begins over and over");
        return;
    }
    bool own = false;
    const char *why = scheme->begin(c, offer, &own);
    bk_timer_disarm(bk_client_timers(c), &c->prove); /* planned anew at its end */
    if (why) {
        refuse(c, own ? 105 : 102, own ? 'c' : 0, why, why);
    } else if (c->probing) { /* no certificate was there, and none is needed */
        c->probing = false;
        bk_client_feed(c, IN_UP);
    } else {
        bk_register_go_on(c);
    }
}

/* NULL: none of ours is offered. */
static const struct scheme *choose(struct bk_client *c, const struct bk_sip_msg *msg,
                                   struct bk_signing_offer *ret)
{
    for (size_t i = 0; i < BK_COUNT_OF(schemes); i++) {
        if (schemes[i].scheme == BK_SA_NTLM && !c->allow_ntlm)
            continue;
        bk_signing_offer(msg, schemes[i].scheme, ret);
        if (ret->there)
            return &schemes[i];
    }
    return NULL;
}

bool bk_lync_challenged(struct bk_client *c, const struct bk_sip_msg *msg)
{
    struct bk_fault named;
    struct bk_signing_offer offer;
    char detail[200];
    bk_client_fault_of_refusal(c, msg, &named);
    if (named.record) /* a refusal that says why */
        return false;
    if (!c->offer.lync) {
        /* Not a word of a service of ours: once more, as a program of the dialect asks. */
        c->offer.lync = true;
        if (c->probing)
            bk_register_go_on(c);
        else
            bk_client_feed(c, IN_PROBED);
        return true;
    }
    const struct scheme *scheme = choose(c, msg, &offer);
    if (!scheme) {
        (void)snprintf(detail, sizeof detail, "offered: %s; this app: TLS-DSK%s",
                       offer.others[0] ? offer.others : "nothing", c->allow_ntlm ? ", NTLM" : "");
        refuse(c, 102, 0, "it offers no way of signing in that this app knows", detail);
        return true;
    }
    if (c->purpose != PURPOSE_SIGN_IN) {
        bk_client_feed(c, IN_PROBED); /* weighed: it is of no use for that */
        return true;
    }
    if (!offer.is_leg) {
        take_offer(c, scheme, &offer);
        return true;
    }
    const char *why = bk_signing_go_on(&c->signing, msg);
    if (why) {
        (void)snprintf(detail, sizeof detail, "%s: %.180s", scheme->name, why);
        refuse(c, 102, 0, "the handshake failed", detail);
    } else {
        bk_register_go_on(c);
    }
    return true;
}

/* ---- 200 ---- */

/* The address of our endpoint goes into every Contact from now on. */
static void take_gruu(struct bk_client *c, const struct bk_sip_msg *msg)
{
    char instance[BK_UUID_TEXT_SIZE];
    bk_lync_instance(c, instance);
    for (const struct bk_sip_field *field = bk_sip_msg_field(msg, BK_SIP_HDR_CONTACT); field;
         field = bk_sip_msg_field_next(msg, field)) {
        struct bk_view rest = field->value, value, own;
        struct bk_sip_addr addr;
        while (bk_sip_addr_next(&rest, &addr) == 1) {
            struct bk_sip_uri uri;
            /* A registrar may list the other endpoints of the person, too (RFC 3261 10.3). */
            if (bk_sip_param_find(addr.params, BK_VIEW("+sip.instance"), &own) &&
                bk_view_find_view(own, bk_view_of_str(instance)) == own.len)
                continue;
            if (!bk_sip_param_find(addr.params, BK_VIEW("gruu"), &value))
                continue;
            if (value.len > 2 && value.at[0] == '"')
                value = bk_view_head(bk_view_skip(value, 1), value.len - 2);
            if (value.len < sizeof c->gruu && bk_sip_uri_parse(value, &uri) == 0) {
                memcpy(c->gruu, value.at, value.len);
                c->gruu[value.len] = 0;
                return;
            }
        }
    }
}

/* "UAS; tcp=no; hop-hop=yes; end-end=no; timeout=120" */
static void take_keep_alive(struct bk_client *c, const struct bk_sip_msg *msg)
{
    struct bk_view rest = bk_sip_msg_value(msg, BK_SIP_HDR_MS_KEEP_ALIVE);
    uint64_t s;
    while (rest.len) {
        struct bk_view value = bk_view_trim(bk_view_cut(&rest, ';'));
        if (bk_view_starts_with_nocase(value, BK_VIEW("timeout=")) &&
            bk_view_to_u64(bk_view_skip(value, 8), 3600, &s) == 0 && s > KEEP_ALIVE_AHEAD_S)
            bk_link_set_ping(c->link, (int)(s - KEEP_ALIVE_AHEAD_S) * 1000);
    }
}

static void plan_proof(struct bk_client *c)
{
    struct bk_personal_info info;
    int64_t left = c->timing.prove_ms;
    if (c->signing.scheme == BK_SA_TLS_DSK &&
        bk_personal_check(bk_buf_view(&c->profile.identity), bk_view_of_str(c->address), &info) ==
            0) {
        int64_t life = info.not_after_ms - bk_client_real(c);
        bk_lync_forget_password(c, life);
        if (life < left)
            left = life;
    }
    left -= left > 2 * AHEAD_MS ? AHEAD_MS : left / 2;
    bk_timer_arm(bk_client_timers(c), &c->prove,
                 bk_client_now(c) + (left > PROVE_LEAST_MS ? left : PROVE_LEAST_MS));
}

void bk_lync_granted(struct bk_client *c, const struct bk_sip_msg *msg)
{
    take_gruu(c, msg);
    take_keep_alive(c, msg);
    c->lync_offers = 0;
    /* A refresh proves nothing anew: the timer stays. */
    if (bk_signing_stands(&c->signing) && !bk_timer_armed(&c->prove)) {
        bk_log(c->log, BK_LOG_DEBUG, "proved", "address", c->address, "scheme",
               bk_sa_scheme_name(c->signing.scheme).at);
        plan_proof(c);
    }
}

void bk_lync_prove_again(struct bk_client *c)
{
    if (!c->registered || !bk_link_is_up(c->link) || !bk_signing_stands(&c->signing))
        return;
    bk_timer_disarm(bk_client_timers(c), &c->prove);
    bk_signing_reopen(&c->signing);
    bk_register_go_on(c);
}

void bk_lync_renewed(struct bk_client *c)
{
    bk_register_plan_renewal(c);
    bk_lync_prove_again(c); /* the association stands on the old one, and ends with it */
}

/* ---- signatures ---- */

void bk_lync_seal(struct bk_client *c, struct bk_view message, struct bk_buf *to)
{
    if (c->offer.lync && c->signing.random)
        bk_signing_seal(&c->signing, message, to);
    else
        bk_buf_add_view(to, message);
}

bool bk_lync_open(struct bk_client *c, const struct bk_sip_msg *msg, const struct bk_sip_head *head)
{
    char detail[200];
    struct bk_fault fault;
    bool is_register = msg->status && msg->method == BK_SIP_REGISTER;
    /* The answer to the REGISTER that ends everything may come when the server has forgotten its keys. */
    const char *why = c->state == BK_CLIENT_SIGNING_OUT && is_register
                          ? NULL
                          : bk_signing_open(&c->signing, msg, head);
    if (!why)
        return true;
    (void)snprintf(detail, sizeof detail, "%s %.*s %s", msg->status ? "an answer to" : "a",
                   BK_VIEW_ARGS(bk_view_head(msg->method_name, 20)), why);
    bk_log(c->log, BK_LOG_WARNING, "a message was not believed", "address", c->address, "detail",
           detail);
    /* Without a good 200 there is nothing to go on with. */
    c->n_forged++;
    if (c->n_forged < FORGED_MAX && !is_register)
        return false;
    fault_here(c, 316, 0, why, detail, &fault);
    bk_client_fail(c, &fault);
    return false;
}

void bk_lync_reset(struct bk_client *c)
{
    bk_signing_reset(&c->signing);
    c->signing.random = NULL;
    c->gruu[0] = 0;
    c->n_forged = c->lync_offers = 0;
}
