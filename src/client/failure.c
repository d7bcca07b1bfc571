/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong: which record it is, whose clock is off, and whether to stop, to ask or to try again, when. */
#include "base/cleanup.h"
#include "base/text.h"
#include "client/client_private.h"

#include <stdio.h>
#include <stdlib.h>

enum { HURRY_MS = 1000 };

void bk_client_fault_of_refusal(struct bk_client *c, const struct bk_sip_msg *msg,
                                struct bk_fault *ret)
{
    struct bk_view value = bk_sip_msg_value(msg, BK_SIP_HDR_MS_DIAGNOSTICS);
    if (!value.len) {
        const struct bk_sip_field *field =
            bk_sip_msg_field_named(msg, BK_VIEW("ms-diagnostics-public"));
        value = field ? field->value : value;
    }
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_answer_refusal refusal = { "", "", "", 0 };
    (void)bk_answer_refusal_parse((struct bk_view){ 0 }, value, &arena, &refusal);
    char server[288] = "", detail[400];
    if (bk_link_is_up(c->link))
        bk_offer_server_text(bk_link_server(c->link), server, sizeof server);
    (void)snprintf(detail, sizeof detail, "%s %.*s: %d %.*s %.*s",
                   msg->status ? "answer to" : "request", BK_VIEW_ARGS(msg->method_name),
                   msg->status, BK_VIEW_ARGS(bk_view_head(msg->reason, 80)),
                   BK_VIEW_ARGS(bk_view_head(value, 200)));
    bk_fault_set(ret, 0, 0, server, "", detail);
    ret->record = *refusal.record ? bk_record_parse(bk_view_of_str(refusal.record))
                                  : bk_fault_record_of_id(value);
    (void)snprintf(ret->case_code, sizeof ret->case_code, "%s", refusal.case_code);
    (void)snprintf(ret->text, sizeof ret->text, "%s", refusal.text);
    uint64_t seconds = 0;
    struct bk_view retry = bk_sip_msg_value(msg, BK_SIP_HDR_RETRY_AFTER);
    size_t digits = 0; /* "120 (maintenance);duration=3600" */
    while (digits < retry.len && retry.at[digits] >= '0' && retry.at[digits] <= '9')
        digits++;
    if (digits && bk_view_to_u64(bk_view_head(retry, digits), 24 * 3600, &seconds) == 0)
        ret->retry_after_s = (int)seconds;
}

static int compare_i64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

void bk_client_note_date(struct bk_client *c, struct bk_view date)
{
    int64_t at;
    if (c->n_skews < 3 && bk_time_http_parse(date, &at) == 0)
        c->skews_ms[c->n_skews++] = bk_client_real(c) - at;
}

/* Our clock minus the server's, the median of what was seen. */
static int64_t skew_ms(struct bk_client *c)
{
    if (!c->n_skews)
        return 0;
    int64_t sorted[3];
    memcpy(sorted, c->skews_ms, sizeof sorted);
    qsort(sorted, (size_t)c->n_skews, sizeof *sorted, compare_i64);
    return sorted[c->n_skews / 2];
}

enum { SKEW_MAX_MS = 300 * 1000 };

static int minutes_of(int64_t skew)
{
    return (int)(((skew < 0 ? -skew : skew) + 30000) / 60000);
}

static int retry_delay_ms(struct bk_client *c, int retry_after_s)
{
    int64_t max = c->timing.retry_first_ms;
    for (int i = 0; i < c->retries && max < c->timing.retry_max_ms; i++)
        max *= 2;
    if (max > c->timing.retry_max_ms)
        max = c->timing.retry_max_ms;
    c->retries++;
    /* Full jitter: everybody comes back after a power cut, nobody at the same instant. */
    int64_t delay = (int64_t)(bk_random_u64(c->random) % (uint64_t)max) + 1;
    int64_t floor = (int64_t)retry_after_s * 1000;
    return (int)(delay > floor ? delay : floor + delay % 1000);
}

void bk_client_discard_certificate(struct bk_client *c)
{
    bk_profile_drop_identity(&c->profile);
    (void)bk_profile_save_state(&c->profile);
    c->tls_own = bk_tls_client_unref(c->tls_own);
}

static void reset_connection(struct bk_client *c)
{
    bk_register_reset(c);
    bk_presence_reset(c);
    bk_message_reset(c);
    bk_link_close(c->link, 0);
}

/* What one can do about it decides where the machine goes. */
static void conclude(struct bk_client *c, const struct bk_fault *fault)
{
    unsigned number = fault->record ? fault->record->number : 0;
    if (fault->case_code[0])
        bk_services_report(c, fault);
    reset_connection(c);
    bool certificate = number == 105 || number == 219;
    bool ask = (certificate && !c->shown_105) || (number == 203 && !c->user[0]);
    if (ask && c->purpose == PURPOSE_SIGN_IN) {
        bk_tell_fault(c, BK_CLIENT_EVENT_FAILURE, fault, BK_CLIENT_NEXT_ASK, 0);
        if (certificate) {
            c->shown_105 = true;
            bk_client_discard_certificate(c);
        }
        bk_record_id(fault->record, c->why_credential);
        bk_client_feed(c, certificate && bk_client_has_password(c) ? IN_CREDENTIAL
                                                                   : IN_CREDENTIAL_NEEDED);
        return;
    }
    bool stop =
        fault->fatal || !fault->record || fault->record->fatal || c->purpose == PURPOSE_PASSWORD;
    if (stop) {
        bk_tell_fault(c, BK_CLIENT_EVENT_FAILURE, fault, BK_CLIENT_NEXT_STOP, 0);
        bk_client_feed(c, IN_STOP);
        return;
    }
    if (c->network_changed) /* what failed was tried on another network than there is now */
        c->retries = 0;
    int delay = retry_delay_ms(c, fault->retry_after_s);
    bk_timer_arm(bk_client_timers(c), &c->retry, bk_client_now(c) + delay);
    bk_tell_fault(c, BK_CLIENT_EVENT_FAILURE, fault, BK_CLIENT_NEXT_RETRY, (delay + 999) / 1000);
    bk_client_feed(c, IN_RETRY);
}

void bk_client_clock_known(struct bk_client *c)
{
    struct bk_fault fault = c->clock_fault;
    int64_t skew = skew_ms(c);
    c->clock_fault = (struct bk_fault){ 0 };
    if (skew > SKEW_MAX_MS || skew < -SKEW_MAX_MS) {
        struct bk_fault clock;
        bk_fault_set(&clock, 104, 0, fault.server, fault.why, fault.detail);
        clock.minutes = minutes_of(skew);
        fault = clock;
    }
    conclude(c, &fault);
}

/* A certificate outside its dates may be right and our clock wrong (SI-104): the server is asked for the time. */
static bool look_at_clock(struct bk_client *c, const struct bk_fault *fault)
{
    const struct bk_record *record = fault->record;
    int64_t not_before, not_after;
    if (!record || record->number != 309 || (record->sub != 'a' && record->sub != 'b') ||
        bk_fault_detail_time(fault->detail, "not before ", &not_before) < 0 ||
        bk_fault_detail_time(fault->detail, "not after ", &not_after) < 0)
        return false;
    c->clock_fault = *fault;
    bk_services_ask_time(c, fault->server,
                         record->sub == 'a' ? not_after - 1000 : not_before + 1000);
    return true;
}

/* An authority is unknown because this computer knows none at all: not the server's fault (SI-110). */
static void look_at_roots(struct bk_client *c, struct bk_fault *fault)
{
    struct bk_fault own;
    if (!fault->record || fault->record->number != 309 || fault->record->sub != 'e' || c->ca_file ||
        c->only_ca_file || bk_tls_system_has_roots())
        return;
    bk_fault_set(&own, 110, 0, fault->server, BK_SAY("it has no list of trusted authorities"),
                 fault->detail);
    *fault = own;
}

/*
 * A network that wants its own sign-in first (a hotel's) answers in everybody's place, and its certificate cannot be the server's. Plain
 * HTTP, which it leads to its page, tells: then the server is not to blame, and it goes on by itself (SI-312).
 */
static bool look_at_portal(struct bk_client *c, const struct bk_fault *fault)
{
    unsigned number = fault->record ? fault->record->number : 0;
    char sub = fault->record ? fault->record->sub : 0;
    bool certificate = number == 309 && (sub == 'c' || sub == 'd' || sub == 'e');
    bool not_tls =
        number == 303 && !sub && strcmp(fault->why, bk_tls_fault_text(BK_TLS_NOT_TLS)) == 0;
    if (!certificate && !not_tls)
        return false;
    c->portal_fault = *fault;
    bk_services_ask_portal(c, fault->server);
    return true;
}

void bk_client_portal_known(struct bk_client *c, struct bk_view leads_to)
{
    struct bk_fault fault = c->portal_fault;
    c->portal_fault = (struct bk_fault){ 0 };
    if (leads_to.len) {
        struct bk_fault portal;
        char detail[sizeof portal.detail];
        (void)snprintf(detail, sizeof detail, "plain HTTP is led to %.*s; %.250s",
                       BK_VIEW_ARGS(bk_view_head(leads_to, 100)), fault.detail);
        bk_fault_set(&portal, 312, 0, fault.server, fault.why, detail);
        fault = portal;
    }
    conclude(c, &fault);
}

void bk_client_fail(struct bk_client *c, const struct bk_fault *fault)
{
    struct bk_fault copy = *fault;
    bk_log(c->log, BK_LOG_NOTICE, "sign-in failed", "record", copy.record ? copy.record->slug : "-",
           "server", copy.server, "case", copy.case_code, "detail", copy.detail);
    if (copy.record && copy.record->number == 104 && !copy.minutes) {
        int64_t skew = skew_ms(c);
        copy.minutes = minutes_of(skew);
    }
    look_at_roots(c, &copy);
    if (!look_at_clock(c, &copy) && !look_at_portal(c, &copy))
        conclude(c, &copy);
}

/* ---- the network of this computer ---- */

/* docs/behaviour.md, "Trying again": at once on network-up. A network that flaps gets one try a second. */
static void hurry(struct bk_client *c)
{
    int64_t now = bk_client_now(c);
    int64_t at = c->hurried_ms && now - c->hurried_ms < HURRY_MS ? c->hurried_ms + HURRY_MS : now;
    c->retries = 0;
    c->hurried_ms = at;
    if (!bk_timer_armed(&c->retry) || c->retry.at_tick * BK_TIMERS_TICK_MS > at)
        bk_timer_arm(bk_client_timers(c), &c->retry, at);
}

void bk_client_do_network_changed(struct bk_client *c)
{
    struct bk_addr local, peer;
    bk_log(c->log, BK_LOG_DEBUG, "the network changed", "state", bk_client_state_name(c->state));
    c->network_changed = c->dns_stale = true;
    if (c->state == BK_CLIENT_RECONNECTING)
        hurry(c);
    else if (bk_link_ends(c->link, &local, &peer) &&
             !c->network.has_way(c->network.ctx, &local, &peer))
        bk_link_give_up(c->link, "this computer's network is gone or another one now");
}

static void on_retry(struct bk_timer *timer)
{
    bk_client_feed(bk_container_of(timer, struct bk_client, retry), IN_RETRY_DUE);
}

void bk_failure_settle(struct bk_client *c)
{
    reset_connection(c);
    c->discovery = bk_discovery_destroy(c->discovery);
    if (!bk_timer_armed(&c->retry))
        bk_timer_arm(bk_client_timers(c), &c->retry, bk_client_now(c) + retry_delay_ms(c, 0));
    int64_t left = c->retry.at_tick * BK_TIMERS_TICK_MS - bk_client_now(c);
    bk_tell_state(c, left > 0 ? (int)((left + 999) / 1000) : 0);
}

void bk_failure_begin(struct bk_client *c)
{
    bk_timer_init(&c->retry, on_retry);
}
