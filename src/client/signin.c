/* SPDX-License-Identifier: Apache-2.0 */
/* The way from an address to signed in, and what happens when it breaks: docs/behaviour.md, "Sign-in states", as a table. */
#include "base/cleanup.h"
#include "base/text.h"
#include "client/client_private.h"

#include <stdio.h>
#include <stdlib.h>

static void dial(struct bk_client *c);
static void prove(struct bk_client *c);
static void arrive(struct bk_client *c);
static void drop_all(struct bk_client *c);

enum { REPORT_LINGER_MS = 1500 };
enum { ANY = BK_CLIENT_STATE_COUNT }; /* every state that no row above names for that input */

static const struct rule {
    unsigned from; /* enum bk_client_state, or ANY */
    enum input on;
    enum bk_client_state to;
    void (*act)(struct bk_client *c);
} rules[] = {
    { ANY, IN_SIGN_IN, BK_CLIENT_RESOLVING, bk_offer_look },

    { BK_CLIENT_RESOLVING, IN_TRUST_NEEDED, BK_CLIENT_ASKING_TRUST, bk_offer_ask_trust },
    { BK_CLIENT_RESOLVING, IN_CREDENTIAL_NEEDED, BK_CLIENT_ASKING_CREDENTIAL,
      bk_offer_ask_credential },
    { BK_CLIENT_RESOLVING, IN_CONTACT, BK_CLIENT_CONTACTING, dial },
    { BK_CLIENT_RESOLVING, IN_PROVE, BK_CLIENT_AUTHENTICATING, prove },
    { BK_CLIENT_ASKING_TRUST, IN_TRUSTED, BK_CLIENT_RESOLVING, bk_offer_weigh },
    { BK_CLIENT_ASKING_CREDENTIAL, IN_CREDENTIAL, BK_CLIENT_RESOLVING, bk_offer_weigh },

    { BK_CLIENT_CONTACTING, IN_NEXT_OFFER, BK_CLIENT_RESOLVING, bk_offer_next },
    { BK_CLIENT_CONTACTING, IN_PROBED, BK_CLIENT_RESOLVING, bk_offer_weigh },
    { BK_CLIENT_CONTACTING, IN_REDIRECTED, BK_CLIENT_RESOLVING, bk_offer_weigh }, /* the probe */
    { BK_CLIENT_CONTACTING, IN_UP, BK_CLIENT_REGISTERING, bk_register_send },
    { BK_CLIENT_AUTHENTICATING, IN_NEXT_OFFER, BK_CLIENT_RESOLVING, bk_offer_next },
    { BK_CLIENT_AUTHENTICATING, IN_CERTIFICATE, BK_CLIENT_RESOLVING, bk_offer_weigh },
    { BK_CLIENT_REGISTERING, IN_NEXT_OFFER, BK_CLIENT_RESOLVING, bk_offer_next },
    { BK_CLIENT_REGISTERING, IN_PROBED, BK_CLIENT_RESOLVING, bk_offer_weigh },
    { BK_CLIENT_REGISTERING, IN_REDIRECTED, BK_CLIENT_RESOLVING, bk_offer_weigh },
    { BK_CLIENT_REGISTERING, IN_REGISTERED, BK_CLIENT_PRESENCE, bk_presence_begin },
    { BK_CLIENT_PRESENCE, IN_PRESENT, BK_CLIENT_SIGNED_IN, arrive },

    { ANY, IN_CREDENTIAL_NEEDED, BK_CLIENT_ASKING_CREDENTIAL, bk_offer_ask_credential },
    { ANY, IN_CREDENTIAL, BK_CLIENT_RESOLVING,
      bk_offer_weigh }, /* at hand already, after a discarded certificate */
    { ANY, IN_RETRY, BK_CLIENT_RECONNECTING, bk_failure_settle },
    { BK_CLIENT_RECONNECTING, IN_RETRY_DUE, BK_CLIENT_RESOLVING, bk_offer_look },

    { BK_CLIENT_PRESENCE, IN_SIGN_OUT, BK_CLIENT_SIGNING_OUT, bk_register_leave },
    { BK_CLIENT_SIGNED_IN, IN_SIGN_OUT, BK_CLIENT_SIGNING_OUT, bk_register_leave },
    { BK_CLIENT_SIGNING_OUT, IN_SIGN_OUT, BK_CLIENT_SIGNING_OUT, NULL },
    { ANY, IN_SIGN_OUT, BK_CLIENT_SIGNED_OUT, drop_all },
    { BK_CLIENT_SIGNING_OUT, IN_GONE, BK_CLIENT_SIGNED_OUT, drop_all },
    { ANY, IN_STOP, BK_CLIENT_SIGNED_OUT, drop_all },
};

static bool is_busy(enum bk_client_state state)
{
    switch (state) {
    case BK_CLIENT_RESOLVING:
    case BK_CLIENT_CONTACTING:
    case BK_CLIENT_AUTHENTICATING:
    case BK_CLIENT_REGISTERING:
    case BK_CLIENT_PRESENCE:
        return true;
    default:
        return false;
    }
}

static void enter(struct bk_client *c, enum bk_client_state state)
{
    if (is_busy(state) && !is_busy(c->state))
        bk_timer_arm(bk_client_timers(c), &c->waiting,
                     bk_client_now(c) + c->timing.waiting_text_ms);
    else if (!is_busy(state))
        bk_timer_disarm(bk_client_timers(c), &c->waiting);
    bool changed = c->state != state;
    c->state = state;
    c->state_detail[0] = 0;
    /* SIGNED_OUT and RECONNECTING are told by what enters them, once all is put away. */
    if (changed && state != BK_CLIENT_SIGNED_OUT && state != BK_CLIENT_RECONNECTING &&
        state != BK_CLIENT_CONTACTING)
        bk_tell_state(c, 0);
    bk_log(c->log, BK_LOG_DEBUG, "state", "state", bk_client_state_name(state));
}

void bk_client_feed(struct bk_client *c, enum input input)
{
    for (size_t i = 0; i < BK_COUNT_OF(rules); i++) {
        const struct rule *rule = &rules[i];
        if (rule->on != input || (rule->from != ANY && rule->from != c->state))
            continue;
        enter(c, rule->to);
        if (rule->act)
            rule->act(c);
        return;
    }
    c->unlisted++;
}

static void on_waiting(struct bk_timer *timer)
{
    struct bk_client *c = bk_container_of(timer, struct bk_client, waiting);
    static const char *const what[BK_CLIENT_STATE_COUNT] = {
        [BK_CLIENT_RESOLVING] =
            "still waiting for the answer of a name server or discovery service",
        [BK_CLIENT_CONTACTING] = "still waiting for a connection",
        [BK_CLIENT_AUTHENTICATING] = "still waiting for the sign-in service",
        [BK_CLIENT_REGISTERING] = "still waiting for the server's answer",
        [BK_CLIENT_PRESENCE] = "still waiting for the server's answer",
    };
    if (!is_busy(c->state) || !what[c->state])
        return;
    char detail[sizeof c->state_detail];
    (void)snprintf(detail, sizeof detail, "%s%s%.200s", what[c->state],
                   c->state_detail[0] ? ": " : "", c->state_detail);
    memcpy(c->state_detail, detail, sizeof detail);
    bk_tell_state(c, 0);
}

static void prove(struct bk_client *c)
{
    if (c->purpose == PURPOSE_PASSWORD)
        bk_services_change_password(c);
    else if (c->offer.lync)
        bk_lync_prove(c);
    else
        bk_services_prove(c);
}

/* ---- the connection ---- */

static void dial(struct bk_client *c)
{
    bool known = c->tls_own && c->purpose == PURPOSE_SIGN_IN;
    bool own = known && !c->offer.lync; /* by its TLS; else in REGISTER */
    bool cached = strcmp(c->offer.kind, "cached") == 0;
    bk_offer_server_text(&c->offer.servers[0], c->state_detail, sizeof c->state_detail);
    bk_tell_state(c, 0);
    bk_link_dial(c->link, c->offer.servers, c->offer.n_servers, own ? c->tls_own : c->tls_probe,
                 c->domain, cached ? "cached" : "connect",
                 cached ? c->timing.cached_try_ms : c->timing.connect_ms, &c->tried);
    c->probing = !known;
}

static void on_up(void *ctx)
{
    struct bk_client *c = ctx;
    char where[288];
    bk_offer_server_text(bk_link_server(c->link), where, sizeof where);
    bk_tried_add(&c->tried, "connect", where, "connected", NULL);
    if (c->probing)
        bk_register_send(c);
    else
        bk_client_feed(c, IN_UP);
}

static void on_unreachable(void *ctx)
{
    bk_client_feed(ctx, IN_NEXT_OFFER);
}

static void on_lost(void *ctx, const struct bk_fault *fault)
{
    struct bk_client *c = ctx;
    if (c->state == BK_CLIENT_SIGNING_OUT) {
        bk_client_feed(c, IN_GONE);
        return;
    }
    if (c->state == BK_CLIENT_CONTACTING || c->state == BK_CLIENT_REGISTERING) {
        struct bk_fault early;
        bk_register_reset(c);
        bk_fault_set(&early, 302, 0, fault->server, fault->why, fault->detail);
        bk_tried_add(&c->tried, "REGISTER", fault->server, fault->why, &early);
        bk_client_feed(c, IN_NEXT_OFFER);
        return;
    }
    if (c->state == BK_CLIENT_PRESENCE || c->state == BK_CLIENT_SIGNED_IN)
        bk_client_fail(c, fault);
}

static void arrive(struct bk_client *c)
{
    c->retries = 0;
    c->was_signed_in = true;
    bk_message_flush(c);
}

static void on_seal(void *ctx, struct bk_view message, struct bk_buf *to)
{
    bk_lync_seal(ctx, message, to);
}

static bool on_open(void *ctx, const struct bk_sip_msg *msg, const struct bk_sip_head *head)
{
    return bk_lync_open(ctx, msg, head);
}

static void on_request(void *ctx, const struct bk_sip_msg *msg, const struct bk_sip_head *head)
{
    bk_request_take(ctx, msg, head);
}

/* ---- beginnings and ends ---- */

static void forget_secrets(struct bk_client *c)
{
    bk_client_set_secret(&c->password, NULL);
    bk_client_set_secret(&c->new_password, NULL);
    bk_client_set_secret(&c->new_key, NULL);
}

static void drop_all(struct bk_client *c)
{
    bk_offer_stop(c);
    bk_presence_forget(c);
    bk_message_fail_all(c);
    forget_secrets(c);
    c->tls_own = bk_tls_client_unref(c->tls_own);
    if (c->profile_open)
        bk_profile_close(&c->profile);
    c->profile_open = c->was_signed_in = false;
    c->retries = 0;
    c->why_credential[0] = 0;
    bk_tell_state(c, 0);
    bk_erase_go_on(c);
}

/* SI-111: found before any network. */
static bool check_address(struct bk_client *c, const char *address)
{
    size_t at;
    const char *why;
    if (bk_sip_address_check(bk_view_of_str(address), &at, &why) == 0)
        return true;
    struct bk_fault fault;
    char detail[80];
    (void)snprintf(detail, sizeof detail, "at byte %zu", at);
    bk_fault_set(&fault, 111, 0, "", why, detail);
    (void)snprintf(c->address, sizeof c->address, "%s", address);
    c->domain = "";
    bk_client_fail(c, &fault);
    return false;
}

static void tell_damage(struct bk_client *c)
{
    struct bk_fault fault;
    char detail[120];
    unsigned damage = c->profile.damage;
    if (!damage)
        return;
    (void)snprintf(detail, sizeof detail, "put aside:%s%s%s%s",
                   damage & BK_PROFILE_STATE_DAMAGED ? " state.json" : "",
                   damage & BK_PROFILE_IDENTITY_DAMAGED ? " identity.pem" : "",
                   damage & BK_PROFILE_SHOWN_DAMAGED ? " shown" : "",
                   damage & BK_PROFILE_OUTBOX_DAMAGED ? " outgoing" : "");
    bk_fault_set(&fault, 107, 0, "", "", detail);
    bk_tell_fault(c, BK_CLIENT_EVENT_NOTICE, &fault, BK_CLIENT_NEXT_STOP, 0);
}

/* SI-112: the saved key is there, but what protects it is not. The file stays; the password is asked. */
static void tell_locked(struct bk_client *c)
{
    struct bk_fault fault;
    bk_fault_set(&fault, 112, 0, "", "", strerror(-c->profile.locked));
    bk_tell_fault(c, BK_CLIENT_EVENT_NOTICE, &fault, BK_CLIENT_NEXT_STOP, 0);
    bk_record_id(fault.record, c->why_credential);
}

/* Takes the saved certificate, or tells why it is of no use (SI-105 c, d, e) and discards it. */
static void take_identity(struct bk_client *c)
{
    struct bk_personal_info info;
    struct bk_view pem = bk_buf_view(&c->profile.identity);
    if (c->profile.locked)
        tell_locked(c);
    if (!pem.len)
        return;
    char wrong = bk_personal_check(pem, bk_view_of_str(c->address), &info);
    if (!wrong && bk_services_use_identity(c) == 0)
        return;
    struct bk_fault fault;
    bk_fault_set(&fault, 105, wrong ? wrong : 'c', "", "", "found in the profile");
    bk_tell_fault(c, BK_CLIENT_EVENT_NOTICE, &fault, BK_CLIENT_NEXT_STOP, 0);
    bk_record_id(fault.record, c->why_credential);
    bk_client_discard_certificate(c);
}

static int open_account(struct bk_client *c, const char *address)
{
    if (strncasecmp(address, "sip:", 4) == 0)
        address += 4;
    (void)snprintf(c->address, sizeof c->address, "%s", address);
    bk_text_lower(c->address, strlen(c->address));
    c->domain = strchr(c->address, '@') + 1;
    int r = bk_profile_open(&c->profile, c->keep_nothing ? NULL : c->root, c->address, c->random,
                            c->guard);
    if (r < 0)
        return r;
    c->profile_open = true;
    memcpy(c->user, c->profile.user, sizeof c->user);
    take_identity(c);
    return 0;
}

void bk_client_do_sign_in(struct bk_client *c, enum purpose purpose, const char *address,
                          const char *password, const char *user, const char *new_password)
{
    if (c->state != BK_CLIENT_IDLE && c->state != BK_CLIENT_SIGNED_OUT) {
        /* In order, so that the server need not wait for the old session's life signs to run out. */
        if (c->registered)
            bk_register_leave(c);
        c->state = BK_CLIENT_SIGNED_OUT;
        drop_all(c);
    }
    bk_erase_finish(c);
    bk_client_take_connection(c);
    if (c->proxies) /* the person tries anew */
        bk_proxies_forget_refusals(c->proxies);
    if (!check_address(c, address))
        return;
    c->purpose = purpose;
    if (open_account(c, address) < 0) {
        struct bk_fault fault;
        bk_fault_set(&fault, 107, 0, "", "", "out of memory");
        fault.fatal = true;
        bk_client_fail(c, &fault);
        return;
    }
    bk_client_set_secret(&c->password, password);
    bk_client_set_secret(&c->new_password, new_password);
    if (user)
        (void)snprintf(c->user, sizeof c->user, "%s", user);
    bk_client_feed(c, IN_SIGN_IN);
    /* Once it was told whose sign-in this is: a face has a place for them then. */
    if (c->profile_open && c->state != BK_CLIENT_SIGNED_OUT)
        bk_message_load(c);
    if (c->profile_open)
        tell_damage(c);
}

void bk_client_begin(struct bk_client *c)
{
    static const struct bk_link_ops ops = {
        .up = on_up,
        .unreachable = on_unreachable,
        .lost = on_lost,
        .request = on_request,
        .seal = on_seal,
        .open = on_open,
    };
    struct bk_link_config config = {
        .loop = c->loop,
        .dns = c->dns,
        .proxies = c->proxies,
        .random = c->random,
        .user_agent = c->user_agent,
        .ping_ms = c->timing.ping_ms,
        .pong_ms = c->timing.pong_ms,
        .ops = &ops,
        .ctx = c,
    };
    c->domain = "";
    bk_failure_begin(c);
    bk_timer_init(&c->waiting, on_waiting);
    bk_register_reset(c);
    bk_presence_end(c);
    if (bk_link_create(&config, &c->link) < 0)
        c->link = NULL;
}

void bk_client_end(struct bk_client *c)
{
    if (!c->link)
        return;
    bk_link_close(c->link, 0);
    bk_offer_stop(c);
    bk_erase_finish(c); /* what was asked to go goes, whether the server answered or not */
    /* A program that ends with the failure it shows still hands in its half of the case. */
    int64_t until = bk_client_now(c) + REPORT_LINGER_MS;
    while (c->report && bk_client_now(c) < until)
        (void)bk_loop_step(c->loop, 50);
    if (c->report)
        bk_http_call_cancel(c->report);
    bk_timer_disarm(bk_client_timers(c), &c->waiting);
    bk_presence_end(c);
    bk_message_end(c);
    c->link = bk_link_destroy(c->link);
    bk_signing_finish(&c->signing);
    c->tls_own = bk_tls_client_unref(c->tls_own);
    if (c->profile_open)
        bk_profile_close(&c->profile);
    bk_tried_finish(&c->tried);
    forget_secrets(c);
    bk_buf_finish(&c->password);
    bk_buf_finish(&c->new_password);
    bk_buf_finish(&c->new_key);
    free(c->note);
    c->note = NULL;
}
