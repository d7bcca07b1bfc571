/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arrows of RFC 3261 figures 5 to 8 with RFC 6026, on a clock that the test turns; then who may
 * touch whose transaction, and what holds when memory, patience or the flow runs out.
 */
#include "sip/tx.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "tests/unit/base/failing_alloc.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* fuzz/sip_tx_fuzz.c */

static const struct bk_sip_flow udp = { .id = 1, .reliable = false };
static const struct bk_sip_flow udp2 = { .id = 2, .reliable = false };
static const struct bk_sip_flow tls = { .id = 3, .reliable = true };
static const struct bk_sip_flow tls2 = { .id = 4, .reliable = true };

enum { SENT_MAX = 64, START_MS = 1000000 };

struct sent {
    struct bk_sip_flow flow;
    int64_t at_ms; /* since START_MS */
    char *bytes;   /* with a NUL behind */
};

struct world {
    int64_t now_ms;
    struct bk_clock clock;
    struct bk_timers timers;
    struct bk_random_seeded seed;
    struct bk_random random;
    struct bk_hash_key hash_key;
    struct bk_sip_txs *txs;
    struct sent sent[SENT_MAX];
    int n_sent, n_invites;
    struct bk_sip_msg msg; /* the one heard last */
    struct bk_sip_head head;
    char *heard;
};

/* What one owner was told, one word for each call: "180 200 timeout cancelled gone". */
struct ear {
    struct world *w;
    struct bk_sip_tx *tx;
    char told[256];
    void (*then)(struct ear *ear, const char *word);
};

static int64_t clock_read(void *ctx)
{
    return ((struct world *)ctx)->now_ms;
}

static void net_send(void *ctx, struct bk_sip_flow flow, struct bk_view bytes)
{
    struct world *w = ctx;
    assert_true(w->n_sent < SENT_MAX);
    w->n_invites += bk_view_starts_with(bytes, BK_VIEW("INVITE "));
    struct sent *s = &w->sent[w->n_sent];
    s->flow = flow;
    s->at_ms = w->now_ms - START_MS;
    s->bytes = bk_view_dup(bytes);
    if (!s->bytes) /* a test lets allocations fail */
        return;
    w->n_sent++;
}

static void forget_sent(struct world *w)
{
    while (w->n_sent)
        free(w->sent[--w->n_sent].bytes);
}

static struct bk_sip_txs_config config_of(struct world *w)
{
    return (struct bk_sip_txs_config){
        .send = net_send,
        .ctx = w,
        .timers = &w->timers,
        .clock = &w->clock,
        .random = &w->random,
        .hash_key = &w->hash_key,
        .shard = 7,
    };
}

static void world_init(struct world *w)
{
    *w = (struct world){ .now_ms = START_MS, .hash_key = { 1, 2 } };
    w->clock = (struct bk_clock){ clock_read, clock_read, w };
    w->random = bk_random_from_seed(&w->seed, 42);
    bk_timers_init(&w->timers, w->now_ms);
    struct bk_sip_txs_config config = config_of(w);
    w->txs = bk_sip_txs_create(&config);
    assert_non_null(w->txs);
}

static void world_finish(struct world *w)
{
    w->txs = bk_sip_txs_destroy(w->txs);
    assert_int_equal(w->timers.n_armed, 0);
    forget_sent(w);
    free(w->heard);
}

static int setup(void **state)
{
    struct world *w = malloc(sizeof *w);
    assert_non_null(w);
    world_init(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_finish(*state);
    free(*state);
    return 0;
}

/* Turns the clock from deadline to deadline, as a loop would wake. */
static void pass(struct world *w, int64_t ms)
{
    int64_t until = w->now_ms + ms, next;
    while ((next = bk_timers_next_ms(&w->timers)) <= until) {
        if (next > w->now_ms)
            w->now_ms = next;
        bk_timers_run(&w->timers, w->now_ms);
    }
    w->now_ms = until;
    bk_timers_run(&w->timers, w->now_ms);
}

/* ---- Owners ---- */

static void tell(struct ear *ear, const char *word)
{
    size_t len = strlen(ear->told);
    snprintf(ear->told + len, sizeof ear->told - len, "%s%s", len ? " " : "", word);
    if (ear->then)
        ear->then(ear, word);
}

static void ear_response(struct bk_sip_tx *tx, void *user, const struct bk_sip_msg *msg)
{
    struct ear *ear = user;
    assert_ptr_equal(tx, ear->tx);
    char word[16];
    snprintf(word, sizeof word, "%d", msg->status);
    tell(ear, word);
}

static void ear_failed(struct bk_sip_tx *tx, void *user, enum bk_sip_tx_failure why)
{
    struct ear *ear = user;
    assert_ptr_equal(tx, ear->tx);
    tell(ear, why == BK_SIP_TX_TIMEOUT ? "timeout" : "transport");
}

static void ear_cancelled(struct bk_sip_tx *tx, void *user, const struct bk_sip_msg *cancel)
{
    struct ear *ear = user;
    assert_ptr_equal(tx, ear->tx);
    assert_int_equal(cancel->method, BK_SIP_CANCEL);
    tell(ear, "cancelled");
}

static void ear_gone(struct bk_sip_tx *tx, void *user)
{
    struct ear *ear = user;
    assert_ptr_equal(tx, ear->tx);
    tell(ear, "gone");
    ear->tx = NULL;
}

static const struct bk_sip_tx_user ears = { ear_response, ear_failed, ear_cancelled, ear_gone };

/* ---- Messages ---- */

static void read_message(struct world *w, const char *text)
{
    free(w->heard);
    size_t len = strlen(text);
    w->heard = malloc(len);
    assert_non_null(w->heard);
    memcpy(w->heard, text, len); /* ends where its block ends */
    struct bk_sip_fault fault;
    if (bk_sip_msg_parse(&w->msg, (struct bk_view){ w->heard, len }, &fault) < 0 ||
        bk_sip_msg_check(&w->msg, &w->head, &fault) < 0)
        fail_msg("test message refused: %s in\n%s", fault.text, text);
}

struct request {
    const char *method;
    const char *branch; /* NULL: no branch parameter */
    const char *sent_by, *to_tag, *from_tag, *uri, *call_id;
    unsigned cseq;
};

static char *write_request(const struct request *r, char *to, size_t size)
{
    snprintf(to, size,
             "%s %s SIP/2.0\r\n"
             "Via: SIP/2.0/UDP %s%s%s\r\n"
             "Max-Forwards: 70\r\n"
             "From: <sip:ann@example.org>;tag=%s\r\n"
             "To: <sip:bob@example.org>%s%s\r\n"
             "Call-ID: %s\r\n"
             "CSeq: %u %s\r\n"
             "Content-Length: 0\r\n"
             "\r\n",
             r->method, r->uri ? r->uri : "sip:bob@example.org",
             r->sent_by ? r->sent_by : "192.0.2.1:5060", r->branch ? ";branch=" : "",
             r->branch ? r->branch : "", r->from_tag ? r->from_tag : "fr", r->to_tag ? ";tag=" : "",
             r->to_tag ? r->to_tag : "", r->call_id ? r->call_id : "c1", r->cseq ? r->cseq : 1,
             r->method);
    return to;
}

static enum bk_sip_txs_step hear(struct world *w, struct bk_sip_flow flow, struct request r)
{
    char text[2048];
    read_message(w, write_request(&r, text, sizeof text));
    return bk_sip_txs_request(w->txs, flow, &w->msg, &w->head);
}

static void serve(struct world *w, struct ear *ear, struct bk_sip_flow flow, struct request r)
{
    assert_int_equal(hear(w, flow, r), BK_SIP_TXS_NEW);
    *ear = (struct ear){ .w = w };
    assert_int_equal(bk_sip_tx_server_create(w->txs, flow, &w->msg, &w->head, &ears, ear, &ear->tx),
                     0);
}

static void answer(struct ear *ear, int status)
{
    char text[64];
    snprintf(text, sizeof text, "SIP/2.0 %d Text\r\n\r\n", status);
    bk_sip_tx_respond(ear->tx, status, bk_view_of_str(text));
}

/* The request of a client transaction of ours, with two routes and a body. */
static void write_own(const struct ear *ear, const char *method, struct bk_buf *to)
{
    struct bk_view branch = bk_sip_tx_branch(ear->tx);
    bk_buf_addf(to,
                "%s sip:bob@192.0.2.9:5061;transport=tls SIP/2.0\r\n"
                "Via: SIP/2.0/TLS sip.example.org;branch=%.*s\r\n"
                "Via: SIP/2.0/TLS 192.0.2.1:3344;branch=z9hG4bKbelow\r\n"
                "Max-Forwards: 69\r\n"
                "Route: <sip:p1.example.org;lr>\r\n"
                "Route: <sip:p2.example.org;lr>\r\n"
                "From: \"Ann\" <sip:ann@example.org>;tag=fr\r\n"
                "To: <sip:bob@example.org>\r\n"
                "Call-ID: call-1\r\n"
                "CSeq: 17 %s\r\n"
                "Subject: lunch\r\n"
                "Content-Type: text/plain\r\n"
                "Content-Length: 5\r\n"
                "\r\n"
                "hello",
                method, BK_VIEW_ARGS(branch), method);
}

static void call(struct world *w, struct ear *ear, struct bk_sip_flow flow,
                 enum bk_sip_method method)
{
    *ear = (struct ear){ .w = w };
    assert_int_equal(bk_sip_tx_client_create(w->txs, flow, method, &ears, ear, &ear->tx), 0);
    BK_AUTO_BUF struct bk_buf request = { 0 };
    struct bk_view name = bk_sip_method_name(method);
    char text[16];
    snprintf(text, sizeof text, "%.*s", BK_VIEW_ARGS(name));
    write_own(ear, text, &request);
    bk_sip_tx_start(ear->tx, bk_buf_view(&request));
}

static bool hear_answer_with(struct world *w, struct bk_sip_flow flow, const char *branch,
                             int status, const char *method)
{
    char text[1024];
    snprintf(text, sizeof text,
             "SIP/2.0 %d Text\r\n"
             "Via: SIP/2.0/TLS sip.example.org;branch=%s\r\n"
             "Via: SIP/2.0/TLS 192.0.2.1:3344;branch=z9hG4bKbelow\r\n"
             "From: \"Ann\" <sip:ann@example.org>;tag=fr\r\n"
             "To: <sip:bob@example.org>;tag=answered\r\n"
             "Call-ID: call-1\r\n"
             "CSeq: 17 %s\r\n"
             "Content-Length: 0\r\n"
             "\r\n",
             status, branch, method);
    read_message(w, text);
    return bk_sip_txs_response(w->txs, flow, &w->msg, &w->head);
}

struct branch {
    char text[BK_SIP_BRANCH_MAX];
};

static struct branch branch_of(const struct ear *ear)
{
    struct branch b;
    snprintf(b.text, sizeof b.text, "%.*s", BK_VIEW_ARGS(bk_sip_tx_branch(ear->tx)));
    return b;
}

static bool hear_answer(struct ear *ear, int status, const char *method)
{
    return hear_answer_with(ear->w, bk_sip_tx_flow(ear->tx), branch_of(ear).text, status, method);
}

/* ---- What was sent ---- */

static const char *last_sent(const struct world *w)
{
    return w->n_sent ? w->sent[w->n_sent - 1].bytes : "";
}

static bool starts_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Exactly these times (in ms since START_MS), each at most one tick of the wheel late. */
#define CHECK_SENT_AT(w, ...)                                                                      \
    do {                                                                                           \
        static const int64_t at_[] = { __VA_ARGS__ };                                              \
        assert_int_equal((w)->n_sent, BK_COUNT_OF(at_));                                           \
        for (size_t i_ = 0; i_ < BK_COUNT_OF(at_); i_++)                                           \
            assert_in_range((w)->sent[i_].at_ms - at_[i_], 0, BK_TIMERS_TICK_MS - 1);              \
    } while (0)

static const struct request invite = { .method = "INVITE", .branch = "z9hG4bKabc" };
static const struct request ack = { .method = "ACK", .branch = "z9hG4bKabc", .to_tag = "to" };
static const struct request cancel = { .method = "CANCEL", .branch = "z9hG4bKabc" };
static const struct request options = { .method = "OPTIONS", .branch = "z9hG4bKdef" };

/* ---- Figure 5: INVITE client ---- */

static void figure_5_unanswered_invite_doubles_timer_a_until_timer_b(void **state)
{
    struct world *w = *state;
    struct ear ear;
    call(w, &ear, udp, BK_SIP_INVITE);
    pass(w, 31999);
    CHECK_SENT_AT(w, 0, 500, 1500, 3500, 7500, 15500, 31500);
    assert_string_equal(ear.told, "");
    for (int i = 1; i < w->n_sent; i++)
        assert_string_equal(w->sent[i].bytes, w->sent[0].bytes);
    pass(w, 17);
    assert_string_equal(ear.told, "timeout gone");
    assert_int_equal(bk_sip_txs_count(w->txs), 0);
    assert_int_equal(w->timers.n_armed, 0);
}

static void a_clock_that_stood_still_brings_no_burst_of_repeats(void **state)
{
    struct world *w = *state;
    struct ear ear;
    call(w, &ear, udp, BK_SIP_MESSAGE);
    w->now_ms += 20000; /* nobody ran the timers */
    bk_timers_run(&w->timers, w->now_ms);
    bk_timers_run(&w->timers, w->now_ms);
    CHECK_SENT_AT(w, 0, 20000);
    pass(w, 1100);
    CHECK_SENT_AT(w, 0, 20000, 21000);
}

static void figure_5_on_a_reliable_flow_nothing_is_sent_twice(void **state)
{
    struct world *w = *state;
    struct ear ear;
    call(w, &ear, tls, BK_SIP_INVITE);
    pass(w, 31999);
    CHECK_SENT_AT(w, 0);
    pass(w, 17);
    assert_string_equal(ear.told, "timeout gone");
}

static void figure_5_provisional_ends_repeats_and_timer_b(void **state)
{
    struct world *w = *state;
    struct ear ear;
    call(w, &ear, udp, BK_SIP_INVITE);
    pass(w, 600);
    assert_true(hear_answer(&ear, 100, "INVITE"));
    assert_true(hear_answer(&ear, 180, "INVITE"));
    pass(w, 100000);
    CHECK_SENT_AT(w, 0, 500);
    assert_string_equal(ear.told, "100 180");
    assert_false(bk_sip_tx_is_final(ear.tx));
}

static void figure_5_timer_c_cancels_what_only_rings(void **state)
{
    struct world *w = *state;
    struct ear ear;
    call(w, &ear, tls, BK_SIP_INVITE);
    hear_answer(&ear, 100, "INVITE");
    pass(w, 100000);
    hear_answer(&ear, 183, "INVITE"); /* starts it anew */
    pass(w, 100000);
    hear_answer(&ear, 100, "INVITE"); /* does not (RFC 3261 16.7, 2) */
    pass(w, 80999);
    assert_int_equal(w->n_sent, 1);
    pass(w, 17);
    assert_int_equal(w->n_sent, 2);
    assert_true(starts_with(last_sent(w), "CANCEL "));
    pass(w, 32020);
    assert_string_equal(ear.told, "100 183 100 timeout gone");
    assert_int_equal(bk_sip_txs_count(w->txs), 0);
}

static void figure_5_every_2xx_goes_up_until_timer_m(void **state)
{
    struct world *w = *state;
    struct ear ear;
    const struct bk_sip_flow flows[] = { udp, tls };
    for (size_t i = 0; i < BK_COUNT_OF(flows); i++) {
        call(w, &ear, flows[i], BK_SIP_INVITE);
        assert_true(hear_answer(&ear, 180, "INVITE"));
        assert_true(hear_answer(&ear, 200, "INVITE"));
        assert_true(bk_sip_tx_is_final(ear.tx));
        pass(w, 31000);
        assert_true(hear_answer(&ear, 200, "INVITE")); /* another branch of a fork, or a repeat */
        uint64_t dropped = bk_sip_txs_dropped(w->txs);
        assert_true(hear_answer(&ear, 486, "INVITE"));
        assert_true(hear_answer(&ear, 180, "INVITE"));
        assert_int_equal(bk_sip_txs_dropped(w->txs), dropped + 2);
        assert_string_equal(ear.told, "180 200 200");
        struct branch b = branch_of(&ear);
        pass(w, 1017);
        assert_string_equal(ear.told, "180 200 200 gone");
        assert_false(hear_answer_with(w, flows[i], b.text, 200, "INVITE"));
        assert_int_equal(w->n_sent, 1); /* the ACK is the core's */
        forget_sent(w);
    }
}

static void figure_5_refusal_is_acknowledged_each_time_it_comes(void **state)
{
    struct world *w = *state;
    struct ear ear;
    call(w, &ear, udp, BK_SIP_INVITE);
    assert_true(hear_answer(&ear, 486, "INVITE"));
    assert_int_equal(w->n_sent, 2);
    assert_true(starts_with(last_sent(w), "ACK "));
    pass(w, 31900);
    assert_int_equal(w->n_sent, 2);
    assert_true(hear_answer(&ear, 486, "INVITE"));
    assert_int_equal(w->n_sent, 3);
    assert_string_equal(w->sent[2].bytes, w->sent[1].bytes);
    assert_true(hear_answer(&ear, 200, "INVITE")); /* too late, not passed on */
    assert_string_equal(ear.told, "486");
    pass(w, 117);
    assert_string_equal(ear.told, "486 gone");
}

static void figure_5_refusal_on_a_reliable_flow_is_the_end(void **state)
{
    struct world *w = *state;
    struct ear ear;
    call(w, &ear, tls, BK_SIP_INVITE);
    struct branch b = branch_of(&ear);
    assert_true(hear_answer(&ear, 603, "INVITE"));
    assert_string_equal(ear.told, "603 gone");
    assert_int_equal(w->n_sent, 2);
    assert_true(starts_with(last_sent(w), "ACK "));
    assert_false(hear_answer_with(w, tls, b.text, 603, "INVITE"));
    assert_int_equal(bk_sip_txs_count(w->txs), 0);
}

static void ack_of_a_refusal_has_what_rfc_3261_17_1_1_3_asks_for(void **state)
{
    struct world *w = *state;
    struct ear ear;
    const struct bk_sip_flow flows[] = { udp, tls };
    for (size_t i = 0; i < BK_COUNT_OF(flows); i++) {
        call(w, &ear, flows[i], BK_SIP_INVITE);
        struct branch b = branch_of(&ear);
        hear_answer(&ear, 404, "INVITE");
        char want[1024];
        snprintf(want, sizeof want,
                 "ACK sip:bob@192.0.2.9:5061;transport=tls SIP/2.0\r\n"
                 "Via: SIP/2.0/TLS sip.example.org;branch=%s\r\n"
                 "Max-Forwards: 70\r\n"
                 "Route: <sip:p1.example.org;lr>\r\n"
                 "Route: <sip:p2.example.org;lr>\r\n"
                 "From: \"Ann\" <sip:ann@example.org>;tag=fr\r\n"
                 "To: <sip:bob@example.org>;tag=answered\r\n"
                 "Call-ID: call-1\r\n"
                 "CSeq: 17 ACK\r\n"
                 "Content-Length: 0\r\n"
                 "\r\n",
                 b.text);
        assert_string_equal(last_sent(w), want);
        assert_int_equal(w->sent[w->n_sent - 1].flow.id, flows[i].id);
    }
}

/* ---- CANCEL, our side ---- */

static void cancel_waits_for_a_provisional_answer(void **state)
{
    struct world *w = *state;
    struct ear ear;
    call(w, &ear, tls, BK_SIP_INVITE);
    char reason[] = "Reason: SIP ;cause=200 ;text=\"Call completed elsewhere\"\r\n";
    bk_sip_tx_cancel(ear.tx, bk_view_of_str(reason));
    memset(reason, 'x', sizeof reason - 1); /* the view was borrowed for the call alone */
    bk_sip_tx_cancel(ear.tx, BK_VIEW("Reason: again\r\n"));
    assert_int_equal(w->n_sent, 1);
    struct branch b = branch_of(&ear);
    hear_answer(&ear, 100, "INVITE");
    assert_int_equal(w->n_sent, 2);
    char want[1024];
    snprintf(want, sizeof want,
             "CANCEL sip:bob@192.0.2.9:5061;transport=tls SIP/2.0\r\n"
             "Via: SIP/2.0/TLS sip.example.org;branch=%s\r\n"
             "Max-Forwards: 70\r\n"
             "Route: <sip:p1.example.org;lr>\r\n"
             "Route: <sip:p2.example.org;lr>\r\n"
             "From: \"Ann\" <sip:ann@example.org>;tag=fr\r\n"
             "To: <sip:bob@example.org>\r\n"
             "Call-ID: call-1\r\n"
             "CSeq: 17 CANCEL\r\n"
             "Reason: SIP ;cause=200 ;text=\"Call completed elsewhere\"\r\n"
             "Content-Length: 0\r\n"
             "\r\n",
             b.text);
    assert_string_equal(last_sent(w), want);
    hear_answer(&ear, 180, "INVITE");
    bk_sip_tx_cancel(ear.tx, (struct bk_view){ 0 });
    assert_int_equal(w->n_sent, 2);
    assert_true(hear_answer(&ear, 200, "CANCEL"));
    assert_string_equal(ear.told, "100 180");
    assert_true(hear_answer(&ear, 487, "INVITE"));
    assert_string_equal(ear.told, "100 180 487 gone");
    assert_int_equal(bk_sip_txs_count(w->txs), 0);
    assert_int_equal(w->timers.n_armed, 0);
}

static void cancel_goes_at_once_where_it_rings_and_is_repeated_like_any_request(void **state)
{
    struct world *w = *state;
    struct ear ear;
    call(w, &ear, udp, BK_SIP_INVITE);
    hear_answer(&ear, 180, "INVITE");
    forget_sent(w);
    bk_sip_tx_cancel(ear.tx, (struct bk_view){ 0 });
    assert_int_equal(bk_sip_txs_count(w->txs), 2);
    pass(w, 4000);
    CHECK_SENT_AT(w, 0, 500, 1500, 3500);
    assert_true(starts_with(last_sent(w), "CANCEL "));
    assert_true(hear_answer(&ear, 200, "CANCEL"));
    pass(w, 6000);
    assert_int_equal(w->n_sent, 4);
    assert_int_equal(bk_sip_txs_count(w->txs), 1); /* timer K has ended the CANCEL */
    assert_true(hear_answer(&ear, 487, "INVITE"));
    assert_string_equal(ear.told, "180 487");
}

static void cancelled_invite_without_an_answer_ends_after_64_t1(void **state)
{
    struct world *w = *state;
    struct ear ear;
    call(w, &ear, tls, BK_SIP_INVITE);
    hear_answer(&ear, 180, "INVITE");
    pass(w, 60000);
    bk_sip_tx_cancel(ear.tx, (struct bk_view){ 0 });
    hear_answer(&ear, 183, "INVITE"); /* does not bring timer C back */
    pass(w, 31999);
    assert_string_equal(ear.told, "180 183");
    pass(w, 17);
    assert_string_equal(ear.told, "180 183 timeout gone");
    assert_int_equal(bk_sip_txs_count(w->txs), 0);
}

static void cancel_after_the_answer_is_nothing(void **state)
{
    struct world *w = *state;
    struct ear ear;
    call(w, &ear, udp, BK_SIP_INVITE);
    hear_answer(&ear, 200, "INVITE");
    bk_sip_tx_cancel(ear.tx, (struct bk_view){ 0 });
    assert_int_equal(w->n_sent, 1);
    struct ear other;
    call(w, &other, udp, BK_SIP_MESSAGE);
    bk_sip_tx_cancel(other.tx, (struct bk_view){ 0 });
    assert_int_equal(w->n_sent, 2);
}

/* ---- Figure 6: non-INVITE client ---- */

static void figure_6_timer_e_doubles_up_to_t2_until_timer_f(void **state)
{
    struct world *w = *state;
    struct ear ear;
    call(w, &ear, udp, BK_SIP_MESSAGE);
    pass(w, 31999);
    CHECK_SENT_AT(w, 0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500);
    pass(w, 17);
    assert_string_equal(ear.told, "timeout gone");
}

static void figure_6_a_provisional_slows_repeats_to_t2_and_keeps_timer_f(void **state)
{
    struct world *w = *state;
    struct ear ear;
    call(w, &ear, udp, BK_SIP_MESSAGE);
    pass(w, 600);
    assert_true(hear_answer(&ear, 100, "MESSAGE"));
    pass(w, 31399);
    CHECK_SENT_AT(w, 0, 500, 1500, 5500, 9500, 13500, 17500, 21500, 25500, 29500);
    assert_string_equal(ear.told, "100");
    pass(w, 17);
    assert_string_equal(ear.told, "100 timeout gone");
}

static void figure_6_completed_swallows_repeats_until_timer_k(void **state)
{
    struct world *w = *state;
    struct ear ear;
    const int finals[] = { 200, 302, 404, 503, 604 };
    for (size_t i = 0; i < BK_COUNT_OF(finals); i++) {
        call(w, &ear, udp, BK_SIP_SUBSCRIBE);
        forget_sent(w);
        for (size_t k = 0; k < i % 3; k++) /* out of Trying and out of Proceeding */
            assert_true(hear_answer(&ear, 100, "SUBSCRIBE"));
        *ear.told = '\0';
        assert_true(hear_answer(&ear, finals[i], "SUBSCRIBE"));
        struct branch b = branch_of(&ear);
        pass(w, 4900);
        assert_true(hear_answer(&ear, 200, "SUBSCRIBE"));
        char want[16];
        snprintf(want, sizeof want, "%d", finals[i]);
        assert_string_equal(ear.told, want);
        pass(w, 117);
        snprintf(want, sizeof want, "%d gone", finals[i]);
        assert_string_equal(ear.told, want);
        assert_false(hear_answer_with(w, udp, b.text, 200, "SUBSCRIBE"));
        assert_int_equal(w->n_sent, 0);
    }
}

static void figure_6_on_a_reliable_flow_the_answer_is_the_end(void **state)
{
    struct world *w = *state;
    struct ear ear;
    call(w, &ear, tls, BK_SIP_MESSAGE);
    assert_true(hear_answer(&ear, 100, "MESSAGE"));
    assert_true(hear_answer(&ear, 180, "MESSAGE"));
    struct branch b = branch_of(&ear);
    assert_true(hear_answer(&ear, 200, "MESSAGE"));
    assert_string_equal(ear.told, "100 180 200 gone");
    assert_int_equal(bk_sip_txs_count(w->txs), 0);
    assert_int_equal(w->timers.n_armed, 0);
    assert_false(hear_answer_with(w, tls, b.text, 200, "MESSAGE"));
    call(w, &ear, tls, BK_SIP_MESSAGE);
    pass(w, 31999);
    assert_int_equal(w->n_sent, 2);
    pass(w, 17);
    assert_string_equal(ear.told, "timeout gone");
}

/* ---- Figure 7: INVITE server ---- */

static void figure_7_a_repeat_gets_the_last_provisional_again(void **state)
{
    struct world *w = *state;
    struct ear ear;
    serve(w, &ear, udp, invite);
    assert_int_equal(hear(w, udp, invite), BK_SIP_TXS_ABSORBED);
    assert_int_equal(w->n_sent, 0);
    answer(&ear, 100);
    answer(&ear, 180);
    assert_int_equal(hear(w, udp, invite), BK_SIP_TXS_ABSORBED);
    assert_int_equal(w->n_sent, 3);
    assert_true(starts_with(last_sent(w), "SIP/2.0 180 "));
    pass(w, 600000); /* an unanswered call rings as long as its core wants */
    assert_string_equal(ear.told, "");
    assert_int_equal(w->n_sent, 3);
}

static void figure_7_a_refusal_is_repeated_on_timer_g_until_timer_h(void **state)
{
    struct world *w = *state;
    struct ear ear;
    serve(w, &ear, udp, invite);
    answer(&ear, 486);
    assert_true(bk_sip_tx_is_final(ear.tx));
    pass(w, 31999);
    CHECK_SENT_AT(w, 0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500);
    int n_sent = w->n_sent;
    assert_int_equal(hear(w, udp, invite), BK_SIP_TXS_ABSORBED);
    assert_int_equal(w->n_sent, n_sent + 1);
    assert_true(starts_with(last_sent(w), "SIP/2.0 486 "));
    pass(w, 17);
    assert_string_equal(ear.told, "timeout gone");
    assert_int_equal(hear(w, udp, invite), BK_SIP_TXS_NEW);
}

static void figure_7_an_ack_stops_the_repeats_and_timer_i_swallows_more(void **state)
{
    struct world *w = *state;
    struct ear ear;
    serve(w, &ear, udp, invite);
    answer(&ear, 486);
    assert_int_equal(hear(w, udp, ack), BK_SIP_TXS_ABSORBED);
    pass(w, 4900);
    assert_int_equal(hear(w, udp, ack), BK_SIP_TXS_ABSORBED);
    assert_int_equal(hear(w, udp, invite), BK_SIP_TXS_ABSORBED);
    assert_int_equal(hear(w, udp, cancel), BK_SIP_TXS_ABSORBED);
    assert_int_equal(bk_sip_txs_dropped(w->txs), 0);
    assert_int_equal(w->n_sent, 2); /* the refusal once, and the 200 to the CANCEL */
    pass(w, 117);
    assert_string_equal(ear.told, "gone");
    assert_int_equal(hear(w, udp, ack), BK_SIP_TXS_NEW);
}

static void figure_7_on_a_reliable_flow_the_refusal_waits_for_its_ack_alone(void **state)
{
    struct world *w = *state;
    struct ear ear;
    serve(w, &ear, tls, invite);
    answer(&ear, 100);
    assert_int_equal(hear(w, tls, invite), BK_SIP_TXS_ABSORBED);
    answer(&ear, 486);
    pass(w, 30000);
    assert_int_equal(w->n_sent, 2);
    assert_int_equal(hear(w, tls, ack), BK_SIP_TXS_ABSORBED);
    assert_string_equal(ear.told, "gone");
    assert_int_equal(bk_sip_txs_count(w->txs), 0);
    serve(w, &ear, tls, invite);
    answer(&ear, 486);
    pass(w, 32017);
    assert_string_equal(ear.told, "timeout gone");
}

static void figure_7_accepted_swallows_invites_and_lets_2xx_and_ack_through(void **state)
{
    struct world *w = *state;
    struct ear ear;
    const struct bk_sip_flow flows[] = { udp, tls };
    for (size_t i = 0; i < BK_COUNT_OF(flows); i++) {
        serve(w, &ear, flows[i], invite);
        answer(&ear, 180);
        answer(&ear, 200);
        assert_int_equal(w->n_sent, 2);
        pass(w, 31000);
        assert_int_equal(hear(w, flows[i], invite), BK_SIP_TXS_ABSORBED);
        assert_int_equal(w->n_sent, 2); /* RFC 6026: repeats of a 2xx are the core's */
        assert_int_equal(bk_sip_txs_dropped(w->txs), i * 2);
        answer(&ear, 200);
        assert_int_equal(w->n_sent, 3);
        answer(&ear, 486); /* a second final of another kind is dropped */
        answer(&ear, 180);
        assert_int_equal(w->n_sent, 3);
        assert_int_equal(hear(w, flows[i], ack), BK_SIP_TXS_NEW);
        pass(w, 1017);
        assert_string_equal(ear.told, "gone");
        assert_int_equal(hear(w, flows[i], invite), BK_SIP_TXS_NEW);
        forget_sent(w);
    }
}

static void a_second_final_answer_is_dropped(void **state)
{
    struct world *w = *state;
    struct ear ear;
    serve(w, &ear, udp, invite);
    answer(&ear, 486);
    answer(&ear, 200);
    answer(&ear, 500);
    answer(&ear, 180);
    assert_int_equal(w->n_sent, 1);
    assert_int_equal(bk_sip_txs_dropped(w->txs), 3);
    struct ear other;
    serve(w, &other, udp, options);
    answer(&other, 200);
    answer(&other, 500);
    assert_int_equal(w->n_sent, 2);
    serve(w, &other, tls, options);
    answer(&other, 200);
    answer(&other, 500); /* ended, but its pointer is good until gone() */
    assert_true(bk_sip_tx_is_final(other.tx));
    assert_int_equal(w->n_sent, 3);
}

/* ---- CANCEL, their side ---- */

static bool tag_of_to(const char *message, char ret[64])
{
    const char *to = strstr(message, "\r\nTo: "), *tag = to ? strstr(to, ";tag=") : NULL;
    return tag && sscanf(tag, ";tag=%63[0-9a-zA-Z]", ret) == 1;
}

static void a_cancel_is_answered_each_time_and_told_once(void **state)
{
    struct world *w = *state;
    struct ear ear;
    serve(w, &ear, udp, invite);
    answer(&ear, 180);
    char first[64], second[64];
    assert_int_equal(hear(w, udp, cancel), BK_SIP_TXS_ABSORBED);
    assert_true(starts_with(last_sent(w), "SIP/2.0 200 "));
    assert_non_null(strstr(last_sent(w), "branch=z9hG4bKabc"));
    assert_non_null(strstr(last_sent(w), "CSeq: 1 CANCEL\r\n"));
    assert_true(tag_of_to(last_sent(w), first));
    assert_int_equal(hear(w, udp, cancel), BK_SIP_TXS_ABSORBED);
    assert_true(tag_of_to(last_sent(w), second));
    assert_string_equal(first, second);
    assert_int_equal(w->n_sent, 3);
    assert_string_equal(ear.told, "cancelled");
    answer(&ear, 487);
    assert_int_equal(hear(w, udp, cancel), BK_SIP_TXS_ABSORBED); /* late: answered, not told */
    assert_true(starts_with(last_sent(w), "SIP/2.0 200 "));
    assert_int_equal(hear(w, udp, ack), BK_SIP_TXS_ABSORBED);
    pass(w, 5017);
    assert_string_equal(ear.told, "cancelled gone");
    assert_int_equal(bk_sip_txs_dropped(w->txs), 0);
    assert_int_equal(hear(w, udp, cancel), BK_SIP_TXS_NEW);
}

static void a_cancel_that_finds_nothing_is_the_cores(void **state)
{
    struct world *w = *state;
    struct ear ear;
    assert_int_equal(hear(w, udp, cancel), BK_SIP_TXS_NEW);
    serve(w, &ear, udp, (struct request){ .method = "MESSAGE", .branch = "z9hG4bKabc" });
    assert_int_equal(hear(w, udp, cancel), BK_SIP_TXS_NEW);
    /* The core may answer 481 with a transaction, which then swallows repeats. */
    struct ear refused;
    serve(w, &refused, udp, cancel);
    answer(&refused, 481);
    assert_int_equal(hear(w, udp, cancel), BK_SIP_TXS_ABSORBED);
    assert_true(starts_with(last_sent(w), "SIP/2.0 481 "));
    assert_string_equal(ear.told, "");
}

static void a_cancel_after_a_2xx_changes_nothing(void **state)
{
    struct world *w = *state;
    struct ear ear;
    serve(w, &ear, tls, invite);
    answer(&ear, 200);
    assert_int_equal(hear(w, tls, cancel), BK_SIP_TXS_ABSORBED);
    assert_true(starts_with(last_sent(w), "SIP/2.0 200 "));
    assert_string_equal(ear.told, "");
    assert_int_equal(bk_sip_txs_dropped(w->txs), 0);
}

/* ---- Figure 8: non-INVITE server ---- */

static void figure_8_repeats_get_what_was_said_last(void **state)
{
    struct world *w = *state;
    struct ear ear;
    serve(w, &ear, udp, options);
    assert_int_equal(hear(w, udp, options), BK_SIP_TXS_ABSORBED);
    assert_int_equal(w->n_sent, 0);
    answer(&ear, 100);
    assert_int_equal(hear(w, udp, options), BK_SIP_TXS_ABSORBED);
    assert_true(starts_with(last_sent(w), "SIP/2.0 100 "));
    answer(&ear, 183);
    assert_int_equal(hear(w, udp, options), BK_SIP_TXS_ABSORBED);
    assert_int_equal(w->n_sent, 4);
    assert_true(starts_with(last_sent(w), "SIP/2.0 183 "));
    answer(&ear, 404);
    pass(w, 31900);
    assert_int_equal(w->n_sent, 5); /* nothing by itself */
    assert_int_equal(hear(w, udp, options), BK_SIP_TXS_ABSORBED);
    assert_int_equal(w->n_sent, 6);
    assert_int_equal(bk_sip_txs_dropped(w->txs), 0);
    assert_true(starts_with(last_sent(w), "SIP/2.0 404 "));
    pass(w, 117);
    assert_string_equal(ear.told, "gone");
    assert_int_equal(hear(w, udp, options), BK_SIP_TXS_NEW);
}

static void figure_8_on_a_reliable_flow_the_answer_is_the_end(void **state)
{
    struct world *w = *state;
    struct ear ear;
    serve(w, &ear, tls, options);
    answer(&ear, 100);
    assert_int_equal(hear(w, tls, options), BK_SIP_TXS_ABSORBED);
    assert_int_equal(w->n_sent, 1); /* nothing is lost there, so nothing is said again */
    answer(&ear, 200);
    assert_string_equal(ear.told, ""); /* never from within respond */
    assert_int_equal(bk_sip_txs_flow_count(w->txs, tls.id), 0);
    pass(w, 0);
    assert_string_equal(ear.told, "gone");
    assert_int_equal(bk_sip_txs_count(w->txs), 0);
    assert_int_equal(hear(w, tls, options), BK_SIP_TXS_NEW);
}

static void a_core_that_does_not_answer_keeps_its_transaction(void **state)
{
    struct world *w = *state;
    struct ear ear;
    serve(w, &ear, udp, options);
    pass(w, 3600000);
    assert_int_equal(hear(w, udp, options), BK_SIP_TXS_ABSORBED);
    assert_string_equal(ear.told, "");
}

/* ---- Whose transaction is it ---- */

static void branches_compare_without_case_and_with_sent_by_and_method(void **state)
{
    struct world *w = *state;
    struct ear ear;
    serve(w, &ear, udp, invite);
    struct request r = invite;
    r.branch = "Z9HG4BKABC";
    assert_int_equal(hear(w, udp, r), BK_SIP_TXS_ABSORBED);
    r = invite;
    r.call_id = "another"; /* a branch with the cookie is enough */
    r.cseq = 99;
    assert_int_equal(hear(w, udp, r), BK_SIP_TXS_ABSORBED);
    r = invite;
    r.sent_by = "192.0.2.2:5060";
    assert_int_equal(hear(w, udp, r), BK_SIP_TXS_NEW);
    struct ear named;
    r.sent_by = "pc1.example.org";
    serve(w, &named, udp, r);
    r.sent_by = "PC1.Example.ORG";
    assert_int_equal(hear(w, udp, r), BK_SIP_TXS_ABSORBED);
    r.sent_by = "pc1.example.org:5060";
    assert_int_equal(hear(w, udp, r), BK_SIP_TXS_NEW);
    r = invite;
    r.branch = "z9hG4bKabcd";
    assert_int_equal(hear(w, udp, r), BK_SIP_TXS_NEW);
    r = invite;
    r.method = "OPTIONS";
    assert_int_equal(hear(w, udp, r), BK_SIP_TXS_NEW);
    r.method = "FIRST";
    struct ear first;
    serve(w, &first, udp, r);
    r.method = "SECOND";
    assert_int_equal(hear(w, udp, r), BK_SIP_TXS_NEW);
    r.method = "FIRST";
    assert_int_equal(hear(w, udp, r), BK_SIP_TXS_ABSORBED);
}

static void peers_without_a_branch_are_told_apart_by_the_rest(void **state)
{
    struct world *w = *state;
    const char *const branches[] = { NULL, "1234" }; /* none, or one without the cookie */
    for (size_t i = 0; i < BK_COUNT_OF(branches); i++) {
        struct ear ear, next;
        struct request call_ = { .method = "INVITE", .branch = branches[i] };
        serve(w, &ear, udp, call_);
        assert_int_equal(hear(w, udp, call_), BK_SIP_TXS_ABSORBED);
        struct request r = call_;
        r.method = "CANCEL";
        assert_int_equal(hear(w, udp, r), BK_SIP_TXS_ABSORBED);
        answer(&ear, 487);
        r = call_;
        r.method = "ACK";
        r.to_tag = "our-tag"; /* which the INVITE did not have */
        assert_int_equal(hear(w, udp, r), BK_SIP_TXS_ABSORBED);
        assert_string_equal(ear.told, "cancelled");

        const struct request others[] = {
            { .method = "INVITE", .branch = branches[i], .cseq = 2 },
            { .method = "INVITE", .branch = branches[i], .call_id = "C1" },
            { .method = "INVITE", .branch = branches[i], .from_tag = "other" },
            { .method = "INVITE", .branch = branches[i], .to_tag = "other" },
            { .method = "INVITE", .branch = branches[i], .uri = "sip:carol@example.org" },
            { .method = "INVITE", .branch = branches[i], .sent_by = "192.0.2.77" },
        };
        for (size_t k = 0; k < BK_COUNT_OF(others); k++) {
            serve(w, &next, udp, others[k]);
            assert_int_equal(hear(w, udp, others[k]), BK_SIP_TXS_ABSORBED);
            bk_sip_tx_forget(next.tx);
        }
        struct request bye = { .method = "BYE", .branch = branches[i], .to_tag = "a" };
        serve(w, &next, udp, bye);
        bye.to_tag = "b";
        assert_int_equal(hear(w, udp, bye), BK_SIP_TXS_NEW);
        pass(w, 33000);
        assert_int_equal(bk_sip_txs_count(w->txs), 1);
        bk_sip_tx_forget(next.tx);
        pass(w, 33000);
        forget_sent(w);
    }
}

static void a_stranger_on_another_connection_touches_nothing(void **state)
{
    struct world *w = *state;
    struct ear ear;
    serve(w, &ear, tls, invite);
    assert_int_equal(hear(w, tls2, cancel), BK_SIP_TXS_NEW);
    assert_int_equal(hear(w, udp, cancel), BK_SIP_TXS_NEW);
    assert_int_equal(hear(w, tls2, invite), BK_SIP_TXS_NEW);
    answer(&ear, 486);
    assert_int_equal(hear(w, tls2, ack), BK_SIP_TXS_NEW);
    assert_int_equal(hear(w, tls, ack), BK_SIP_TXS_ABSORBED);
    assert_string_equal(ear.told, "gone");
    /* Datagrams of one peer may come from several ports. */
    serve(w, &ear, udp, invite);
    assert_int_equal(hear(w, udp2, invite), BK_SIP_TXS_ABSORBED);

    call(w, &ear, tls, BK_SIP_OPTIONS);
    struct branch b = branch_of(&ear);
    assert_false(hear_answer_with(w, tls2, b.text, 200, "OPTIONS"));
    assert_false(hear_answer_with(w, udp, b.text, 200, "OPTIONS"));
    assert_true(hear_answer_with(w, tls, b.text, 200, "OPTIONS"));
    call(w, &ear, udp, BK_SIP_OPTIONS);
    b = branch_of(&ear);
    assert_false(hear_answer_with(w, tls, b.text, 200, "OPTIONS"));
    assert_true(hear_answer_with(w, udp2, b.text, 200, "OPTIONS"));
}

static void an_answer_must_know_the_whole_branch_and_the_method(void **state)
{
    struct world *w = *state;
    struct ear ear;
    call(w, &ear, tls, BK_SIP_OPTIONS);
    struct branch b = branch_of(&ear), wrong;
    assert_true(strlen(b.text) < BK_SIP_BRANCH_MAX);
    assert_true(starts_with(b.text, "z9hG4bKbk07"));
    for (size_t i = 0; i < strlen(b.text); i++) {
        wrong = b;
        wrong.text[i] = wrong.text[i] == '0' ? '1' : '0';
        assert_false(hear_answer_with(w, tls, wrong.text, 200, "OPTIONS"));
        wrong = b;
        wrong.text[i] = '\0';
        if (i)
            assert_false(hear_answer_with(w, tls, wrong.text, 200, "OPTIONS"));
    }
    assert_false(hear_answer_with(w, tls, "z9hG4bKelse", 200, "OPTIONS"));
    assert_false(hear_answer_with(w, tls, b.text, 200, "MESSAGE"));
    assert_false(hear_answer_with(w, tls, b.text, 200, "CANCEL"));
    assert_string_equal(ear.told, "");
    for (char *c = b.text; *c; c++) /* some peers shout */
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
    assert_true(hear_answer_with(w, tls, b.text, 200, "OPTIONS"));
    assert_string_equal(ear.told, "200 gone");
}

static void the_place_of_an_ended_transaction_has_a_new_branch(void **state)
{
    struct world *w = *state;
    struct ear ear;
    struct branch seen[100];
    for (size_t i = 0; i < BK_COUNT_OF(seen); i++) {
        call(w, &ear, tls, BK_SIP_OPTIONS);
        seen[i] = branch_of(&ear);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(seen[i].text, seen[k].text);
            assert_false(hear_answer_with(w, tls, seen[k].text, 200, "OPTIONS"));
        }
        assert_true(hear_answer(&ear, 200, "OPTIONS"));
        forget_sent(w);
    }
    assert_int_equal(bk_sip_txs_count(w->txs), 0);
}

static void a_branch_names_its_shard(void **state)
{
    struct world *w = *state;
    struct ear ear;
    call(w, &ear, tls, BK_SIP_OPTIONS);
    assert_int_equal(bk_sip_branch_shard(bk_sip_tx_branch(ear.tx)), 7);
    assert_int_equal(bk_sip_branch_shard(BK_VIEW("z9hG4bK1234")), -1);
    assert_int_equal(bk_sip_branch_shard((struct bk_view){ 0 }), -1);
    struct bk_view branch = bk_sip_tx_branch(ear.tx);
    assert_int_equal(bk_sip_branch_shard(bk_view_head(branch, branch.len - 1)), -1);
}

static void long_names_make_a_key_too(void **state)
{
    struct world *w = *state;
    struct ear ear, other;
    char long_branch[600] = "z9hG4bK";
    memset(long_branch + 7, 'a', sizeof long_branch - 8);
    struct request r = { .method = "MESSAGE", .branch = long_branch };
    serve(w, &ear, udp, r);
    assert_int_equal(hear(w, udp, r), BK_SIP_TXS_ABSORBED);
    long_branch[sizeof long_branch - 2] = 'b';
    serve(w, &other, udp, r);
    answer(&other, 200);
    answer(&ear, 200);
    pass(w, 33000);
    assert_string_equal(ear.told, "gone");
    assert_string_equal(other.told, "gone");
}

static void an_answer_before_the_start_is_a_guess(void **state)
{
    struct world *w = *state;
    struct ear ear = { .w = w };
    assert_int_equal(bk_sip_tx_client_create(w->txs, tls, BK_SIP_OPTIONS, &ears, &ear, &ear.tx), 0);
    assert_false(hear_answer(&ear, 200, "OPTIONS"));
    bk_sip_tx_forget(ear.tx);
    pass(w, 0);
    assert_string_equal(ear.told, "");
    assert_int_equal(bk_sip_txs_count(w->txs), 0);
}

static void methods_the_layer_makes_itself_are_refused(void **state)
{
    struct world *w = *state;
    struct bk_sip_tx *tx;
    assert_int_equal(bk_sip_tx_client_create(w->txs, tls, BK_SIP_ACK, &ears, NULL, &tx), -EINVAL);
    assert_int_equal(bk_sip_tx_client_create(w->txs, tls, BK_SIP_CANCEL, &ears, NULL, &tx),
                     -EINVAL);
    assert_int_equal(hear(w, tls, ack), BK_SIP_TXS_NEW);
    assert_int_equal(bk_sip_tx_server_create(w->txs, tls, &w->msg, &w->head, &ears, NULL, &tx),
                     -EINVAL);
}

/* ---- Flows that break, owners that leave ---- */

static void a_broken_flow_ends_its_own_and_no_others(void **state)
{
    struct world *w = *state;
    struct ear calling, ringing, accepted, sending, serving, answered, other;
    call(w, &calling, tls, BK_SIP_INVITE);
    call(w, &ringing, tls, BK_SIP_INVITE);
    hear_answer(&ringing, 180, "INVITE");
    bk_sip_tx_cancel(ringing.tx, (struct bk_view){ 0 });
    call(w, &accepted, tls, BK_SIP_INVITE);
    hear_answer(&accepted, 200, "INVITE");
    call(w, &sending, tls, BK_SIP_MESSAGE);
    serve(w, &serving, tls, options);
    serve(w, &answered, tls, invite);
    answer(&answered, 486);
    call(w, &other, tls2, BK_SIP_MESSAGE);
    assert_int_equal(bk_sip_txs_flow_count(w->txs, tls.id), 7);
    assert_int_equal(bk_sip_txs_flow_count(w->txs, tls2.id), 1);

    bk_sip_txs_flow_gone(w->txs, tls.id);
    assert_string_equal(calling.told, "transport gone");
    assert_string_equal(ringing.told, "180 transport gone");
    assert_string_equal(accepted.told, "200 gone");
    assert_string_equal(sending.told, "transport gone");
    assert_string_equal(serving.told, "gone");
    assert_string_equal(answered.told, "transport gone");
    assert_string_equal(other.told, "");
    assert_int_equal(bk_sip_txs_flow_count(w->txs, tls.id), 0);
    assert_int_equal(bk_sip_txs_count(w->txs), 1);
    bk_sip_txs_flow_gone(w->txs, tls.id);
    bk_sip_txs_flow_gone(w->txs, 999);
    assert_true(hear_answer(&other, 200, "MESSAGE"));
    assert_int_equal(w->timers.n_armed, 0);
}

static void try_again_on_failure(struct ear *ear, const char *word)
{
    static struct ear again;
    if (strcmp(word, "transport") == 0)
        call(ear->w, &again, tls, BK_SIP_MESSAGE);
}

static void a_new_transaction_on_a_flow_that_just_broke_is_not_the_old_ones(void **state)
{
    struct world *w = *state;
    struct ear ear;
    call(w, &ear, tls, BK_SIP_MESSAGE);
    ear.then = try_again_on_failure;
    bk_sip_txs_flow_gone(w->txs, tls.id);
    assert_string_equal(ear.told, "transport gone");
    assert_int_equal(bk_sip_txs_flow_count(w->txs, tls.id), 1);
    pass(w, 32017);
    assert_int_equal(bk_sip_txs_count(w->txs), 0);
}

static void who_forgets_hears_nothing_and_the_machine_runs_on(void **state)
{
    struct world *w = *state;
    struct ear ear;
    call(w, &ear, udp, BK_SIP_INVITE);
    struct branch b = branch_of(&ear);
    hear_answer(&ear, 180, "INVITE");
    bk_sip_tx_forget(ear.tx);
    pass(w, 180000); /* it rings until timer C */
    assert_int_equal(w->n_sent, 1);
    pass(w, 1017);
    assert_true(starts_with(last_sent(w), "CANCEL "));
    assert_true(hear_answer_with(w, udp, b.text, 487, "INVITE"));
    assert_true(starts_with(last_sent(w), "ACK "));
    pass(w, 32017);
    assert_string_equal(ear.told, "180");
    assert_int_equal(bk_sip_txs_count(w->txs), 0);
    forget_sent(w);

    call(w, &ear, udp, BK_SIP_INVITE);
    b = branch_of(&ear);
    bk_sip_tx_forget(ear.tx);
    pass(w, 600);
    assert_int_equal(w->n_sent, 2);
    assert_true(hear_answer_with(w, udp, b.text, 486, "INVITE"));
    assert_true(starts_with(last_sent(w), "ACK "));
    pass(w, 32017);
    assert_string_equal(ear.told, "");
    assert_int_equal(bk_sip_txs_count(w->txs), 0);

    serve(w, &ear, udp, options);
    answer(&ear, 200);
    bk_sip_tx_forget(ear.tx);
    assert_int_equal(hear(w, udp, options), BK_SIP_TXS_ABSORBED);
    assert_true(starts_with(last_sent(w), "SIP/2.0 200 "));
    pass(w, 32017);
    assert_int_equal(bk_sip_txs_count(w->txs), 0);
}

static void a_request_forgotten_unanswered_does_not_stay_for_ever(void **state)
{
    struct world *w = *state;
    struct ear ear;
    const struct request requests[] = { invite, options };
    for (size_t i = 0; i < BK_COUNT_OF(requests); i++) {
        serve(w, &ear, udp, requests[i]);
        bk_sip_tx_forget(ear.tx);
        pass(w, 31000);
        assert_int_equal(hear(w, udp, requests[i]), BK_SIP_TXS_ABSORBED);
        pass(w, 1017);
        assert_int_equal(bk_sip_txs_count(w->txs), 0);
        serve(w, &ear, tls, requests[i]);
        bk_sip_tx_forget(ear.tx);
        pass(w, 0);
        assert_int_equal(bk_sip_txs_count(w->txs), 0);
        assert_string_equal(ear.told, "");
    }
}

/* ---- Callbacks that do things ---- */

static void forget_in_callback(struct ear *ear, const char *word)
{
    (void)word;
    bk_sip_tx_forget(ear->tx);
}

static void forgetting_inside_a_callback_keeps_gone_away(void **state)
{
    struct world *w = *state;
    struct ear ear;
    call(w, &ear, tls, BK_SIP_MESSAGE);
    ear.then = forget_in_callback;
    hear_answer(&ear, 200, "MESSAGE");
    assert_string_equal(ear.told, "200");
    assert_int_equal(bk_sip_txs_count(w->txs), 0);
    call(w, &ear, udp, BK_SIP_MESSAGE);
    ear.then = forget_in_callback;
    pass(w, 32017);
    assert_string_equal(ear.told, "timeout");
    assert_int_equal(bk_sip_txs_count(w->txs), 0);
}

static struct ear *relay_to;
static struct branch relay_branch;
static void answer_another_inside(struct ear *ear, const char *word)
{
    if (strcmp(word, "200") != 0)
        return;
    assert_true(hear_answer_with(ear->w, tls, relay_branch.text, 404, "MESSAGE"));
    assert_string_equal(relay_to->told, "404"); /* told at once, gone once we are done */
    assert_string_equal(ear->told, "200");
    assert_true(bk_sip_tx_is_final(ear->tx));
}

static void a_callback_that_comes_back_into_the_layer_keeps_its_transaction(void **state)
{
    struct world *w = *state;
    struct ear ear, other;
    call(w, &ear, tls, BK_SIP_MESSAGE);
    call(w, &other, tls, BK_SIP_MESSAGE);
    relay_to = &other;
    relay_branch = branch_of(&other);
    ear.then = answer_another_inside;
    assert_true(hear_answer(&ear, 200, "MESSAGE"));
    assert_string_equal(ear.told, "200 gone");
    assert_string_equal(other.told, "404 gone");
    assert_int_equal(bk_sip_txs_count(w->txs), 0);
}

static void relay_answer(struct ear *ear, const char *word)
{
    (void)ear;
    int status = atoi(word);
    if (status)
        answer(relay_to, status);
}

static void a_proxy_answers_one_transaction_out_of_another(void **state)
{
    struct world *w = *state;
    struct ear server, client;
    serve(w, &server, tls, options);
    call(w, &client, tls2, BK_SIP_OPTIONS);
    relay_to = &server;
    client.then = relay_answer;
    assert_true(hear_answer(&client, 200, "OPTIONS"));
    assert_string_equal(client.told, "200 gone");
    assert_string_equal(server.told, "gone"); /* in the same call, but after the answer */
    assert_true(starts_with(last_sent(w), "SIP/2.0 200 "));
    assert_int_equal(bk_sip_txs_count(w->txs), 0);
    assert_int_equal(w->timers.n_armed, 0);
}

static void answer_487(struct ear *ear, const char *word)
{
    if (strcmp(word, "cancelled") == 0)
        answer(ear, 487);
}

static void a_cancelled_invite_may_be_answered_in_the_callback(void **state)
{
    struct world *w = *state;
    struct ear ear;
    serve(w, &ear, tls, invite);
    ear.then = answer_487;
    assert_int_equal(hear(w, tls, cancel), BK_SIP_TXS_ABSORBED);
    assert_int_equal(w->n_sent, 2);
    assert_true(starts_with(w->sent[0].bytes, "SIP/2.0 200 "));
    assert_true(starts_with(w->sent[1].bytes, "SIP/2.0 487 "));
    assert_int_equal(hear(w, tls, ack), BK_SIP_TXS_ABSORBED);
    assert_string_equal(ear.told, "cancelled gone");
}

static void owners_without_functions_are_served_too(void **state)
{
    struct world *w = *state;
    static const struct bk_sip_tx_user deaf = { 0 };
    struct ear ear = { .w = w };
    assert_int_equal(bk_sip_tx_client_create(w->txs, tls, BK_SIP_INVITE, &deaf, &ear, &ear.tx), 0);
    assert_ptr_equal(bk_sip_tx_owner(ear.tx), &ear);
    assert_int_equal(bk_sip_tx_method(ear.tx), BK_SIP_INVITE);
    BK_AUTO_BUF struct bk_buf request = { 0 };
    write_own(&ear, "INVITE", &request);
    bk_sip_tx_start(ear.tx, bk_buf_view(&request));
    assert_true(hear_answer(&ear, 180, "INVITE"));
    assert_true(hear_answer(&ear, 486, "INVITE"));
    assert_int_equal(bk_sip_txs_count(w->txs), 0);
}

/* ---- Limits ---- */

static void places_are_used_again_without_an_allocation(void **state)
{
    struct world *w = *state;
    enum { N = 200 };
    static struct ear held[N], keeps_the_flow;
    static const struct bk_sip_tx_user deaf = { 0 };
    call(w, &keeps_the_flow, tls, BK_SIP_MESSAGE);
    for (int round = 0; round < 3; round++) {
        bk_fail_alloc(round ? 1 : 0); /* the first round makes the pool */
        for (int i = 0; i < N; i++) {
            assert_int_equal(
                bk_sip_tx_client_create(w->txs, tls, BK_SIP_MESSAGE, &deaf, NULL, &held[i].tx), 0);
            held[i].w = w;
        }
        assert_false(bk_fail_alloc(0));
        assert_int_equal(bk_sip_txs_count(w->txs), N + 1);
        for (int i = 0; i < N; i++)
            bk_sip_tx_forget(held[(i * 77 + round) % N].tx);
        pass(w, 0);
        assert_int_equal(bk_sip_txs_count(w->txs), 1);
    }
}

static void the_layers_own_cancel_has_no_branch_to_guess(void **state)
{
    struct world *w = *state;
    struct ear ear;
    call(w, &ear, tls, BK_SIP_INVITE);
    hear_answer(&ear, 180, "INVITE");
    bk_sip_tx_cancel(ear.tx, (struct bk_view){ 0 });
    assert_int_equal(bk_sip_txs_count(w->txs), 2);
    for (unsigned index = 0; index < 4; index++)
        for (unsigned generation = 0; generation < 4; generation++) {
            char branch[64];
            snprintf(branch, sizeof branch, "z9hG4bKbk07%02x000000%02x0000000000000000000000",
                     index, generation);
            assert_int_equal(bk_sip_branch_shard(bk_view_of_str(branch)), 7);
            assert_false(hear_answer_with(w, tls, branch, 200, "CANCEL"));
        }
}

static void over_the_limit_create_says_so(void **state)
{
    struct world *w = *state;
    bk_sip_txs_destroy(w->txs);
    struct bk_sip_txs_config config = config_of(w);
    config.max = 100;
    w->txs = bk_sip_txs_create(&config);
    struct ear held[100];
    for (int i = 0; i < 100; i++) {
        call(w, &held[i], i % 2 ? tls : tls2, BK_SIP_INVITE);
        forget_sent(w);
    }
    struct bk_sip_tx *tx = NULL;
    assert_int_equal(bk_sip_tx_client_create(w->txs, tls, BK_SIP_OPTIONS, &ears, NULL, &tx),
                     -ENOSPC);
    assert_int_equal(hear(w, tls, options), BK_SIP_TXS_NEW);
    assert_int_equal(bk_sip_tx_server_create(w->txs, tls, &w->msg, &w->head, &ears, NULL, &tx),
                     -ENOSPC);
    assert_null(tx);
    assert_int_equal(bk_sip_txs_count(w->txs), 100);
    assert_int_equal(bk_sip_txs_flow_count(w->txs, tls.id), 50);
    /* Taking back what one has asked for is still possible. */
    hear_answer(&held[3], 180, "INVITE");
    bk_sip_tx_cancel(held[3].tx, (struct bk_view){ 0 });
    assert_true(starts_with(last_sent(w), "CANCEL "));
    hear_answer(&held[3], 487, "INVITE");
    struct ear one_more;
    call(w, &one_more, tls, BK_SIP_OPTIONS);
}

/* ---- Without memory ---- */

/* One call in, one out, both refused; on each road. false: an allocation failed on the way. */
static bool whole_exchange(struct world *w, struct bk_sip_flow flow)
{
    static const struct bk_sip_tx_user deaf = { 0 };
    struct bk_sip_tx *server = NULL, *client = NULL;
    char text[2048];
    if (bk_sip_txs_request(w->txs, flow, &w->msg, &w->head) != BK_SIP_TXS_NEW ||
        bk_sip_tx_server_create(w->txs, flow, &w->msg, &w->head, &deaf, NULL, &server) < 0)
        return false;
    bk_sip_tx_respond(server, 180, BK_VIEW("SIP/2.0 180 Ringing\r\n\r\n"));
    bk_sip_txs_request(w->txs, flow, &w->msg, &w->head);
    if (bk_sip_tx_client_create(w->txs, flow, BK_SIP_INVITE, &deaf, NULL, &client) < 0)
        return false;
    snprintf(text, sizeof text,
             "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=%.*s\r\nFrom: <sip:a@h>;tag=1\r\n"
             "To: <sip:b@h>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
             BK_VIEW_ARGS(bk_sip_tx_branch(client)));
    bk_sip_tx_start(client, bk_view_of_str(text));
    bk_sip_tx_cancel(client, BK_VIEW("Reason: SIP;cause=200\r\n"));

    static struct bk_sip_msg msg;
    struct bk_sip_head head;
    struct bk_sip_fault fault;
    const int statuses[] = { 180, 487 };
    for (size_t i = 0; i < BK_COUNT_OF(statuses); i++) {
        char answer_[2048];
        snprintf(answer_, sizeof answer_,
                 "SIP/2.0 %d X\r\nVia: SIP/2.0/TLS h;branch=%.*s\r\nFrom: <sip:a@h>;tag=1\r\n"
                 "To: <sip:b@h>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: "
                 "0\r\n\r\n",
                 statuses[i], BK_VIEW_ARGS(bk_sip_tx_branch(client)));
        if (bk_sip_msg_parse(&msg, bk_view_of_str(answer_), &fault) < 0 ||
            bk_sip_msg_check(&msg, &head, &fault) < 0)
            return false;
        assert_true(bk_sip_txs_response(w->txs, flow, &msg, &head));
        if (statuses[i] > 300 && !flow.reliable) /* once more: an ACK, or without one nothing */
            assert_true(bk_sip_txs_response(w->txs, flow, &msg, &head));
    }
    assert_true(w->n_invites <= 1);
    bk_sip_tx_respond(server, 487, BK_VIEW("SIP/2.0 487 Cancelled\r\n\r\n"));
    return true;
}

static void the_nth_failing_allocation_leaks_nothing_and_breaks_nothing(void **state)
{
    (void)state;
    const struct bk_sip_flow flows[] = { udp, tls };
    for (size_t i = 0; i < BK_COUNT_OF(flows); i++) {
        bool failed = true;
        for (unsigned n = 1; failed; n++) {
            assert_true(n < 200);
            struct world w;
            world_init(&w);
            char text[2048];
            read_message(&w, write_request(&invite, text, sizeof text));
            bk_fail_alloc(n);
            bool went_through = whole_exchange(&w, flows[i]);
            failed = bk_fail_alloc(0);
            assert_true(went_through || failed);
            for (int round = 0; round < 2; round++) {
                bk_sip_txs_flow_gone(w.txs, flows[i].id);
                assert_int_equal(bk_sip_txs_count(w.txs), 0);
                assert_int_equal(w.timers.n_armed, 0);
                w.n_invites = 0;
                if (round == 0) /* with memory back, all is as ever */
                    assert_true(whole_exchange(&w, flows[i]));
            }
            world_finish(&w);
        }
    }
}

static void the_layer_itself_needs_memory(void **state)
{
    struct world *w = *state;
    struct bk_sip_txs_config config = config_of(w);
    bk_fail_alloc(1);
    struct bk_sip_txs *txs = bk_sip_txs_create(&config);
    assert_true(bk_fail_alloc(0));
    assert_null(txs);
    assert_null(bk_sip_txs_destroy(NULL));
}

static void destroying_the_layer_calls_no_one(void **state)
{
    struct world *w = *state;
    struct ear ears_[5];
    call(w, &ears_[0], udp, BK_SIP_INVITE);
    hear_answer(&ears_[0], 180, "INVITE");
    bk_sip_tx_cancel(ears_[0].tx, BK_VIEW("Reason: SIP;cause=200\r\n"));
    call(w, &ears_[1], tls, BK_SIP_MESSAGE);
    serve(w, &ears_[2], udp, invite);
    serve(w, &ears_[3], tls, options);
    serve(w, &ears_[4], tls, invite);
    answer(&ears_[3], 200); /* ended, not yet told */
    w->txs = bk_sip_txs_destroy(w->txs);
    assert_string_equal(ears_[0].told, "180");
    for (size_t i = 1; i < BK_COUNT_OF(ears_); i++)
        assert_string_equal(ears_[i].told, "");
    assert_int_equal(w->timers.n_armed, 0);
}

/* ---- Abuse: the fuzz target, which states what must hold, fed with random scripts ---- */

static void random_scripts_break_no_promise(void **state)
{
    (void)state;
    struct bk_random_seeded seed;
    struct bk_random random = bk_random_from_seed(&seed, 3261);
    uint8_t script[400];
    for (int i = 0; i < 3000; i++) {
        bk_random_fill(&random, script, sizeof script);
        LLVMFuzzerTestOneInput(script, 1 + bk_random_u64(&random) % sizeof script);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(figure_5_unanswered_invite_doubles_timer_a_until_timer_b),
        T(a_clock_that_stood_still_brings_no_burst_of_repeats),
        T(figure_5_on_a_reliable_flow_nothing_is_sent_twice),
        T(figure_5_provisional_ends_repeats_and_timer_b),
        T(figure_5_timer_c_cancels_what_only_rings),
        T(figure_5_every_2xx_goes_up_until_timer_m),
        T(figure_5_refusal_is_acknowledged_each_time_it_comes),
        T(figure_5_refusal_on_a_reliable_flow_is_the_end),
        T(ack_of_a_refusal_has_what_rfc_3261_17_1_1_3_asks_for),
        T(cancel_waits_for_a_provisional_answer),
        T(cancel_goes_at_once_where_it_rings_and_is_repeated_like_any_request),
        T(cancelled_invite_without_an_answer_ends_after_64_t1),
        T(cancel_after_the_answer_is_nothing),
        T(figure_6_timer_e_doubles_up_to_t2_until_timer_f),
        T(figure_6_a_provisional_slows_repeats_to_t2_and_keeps_timer_f),
        T(figure_6_completed_swallows_repeats_until_timer_k),
        T(figure_6_on_a_reliable_flow_the_answer_is_the_end),
        T(figure_7_a_repeat_gets_the_last_provisional_again),
        T(figure_7_a_refusal_is_repeated_on_timer_g_until_timer_h),
        T(figure_7_an_ack_stops_the_repeats_and_timer_i_swallows_more),
        T(figure_7_on_a_reliable_flow_the_refusal_waits_for_its_ack_alone),
        T(figure_7_accepted_swallows_invites_and_lets_2xx_and_ack_through),
        T(a_second_final_answer_is_dropped),
        T(a_cancel_is_answered_each_time_and_told_once),
        T(a_cancel_that_finds_nothing_is_the_cores),
        T(a_cancel_after_a_2xx_changes_nothing),
        T(figure_8_repeats_get_what_was_said_last),
        T(figure_8_on_a_reliable_flow_the_answer_is_the_end),
        T(a_core_that_does_not_answer_keeps_its_transaction),
        T(branches_compare_without_case_and_with_sent_by_and_method),
        T(peers_without_a_branch_are_told_apart_by_the_rest),
        T(a_stranger_on_another_connection_touches_nothing),
        T(an_answer_must_know_the_whole_branch_and_the_method),
        T(the_place_of_an_ended_transaction_has_a_new_branch),
        T(a_branch_names_its_shard),
        T(long_names_make_a_key_too),
        T(an_answer_before_the_start_is_a_guess),
        T(methods_the_layer_makes_itself_are_refused),
        T(a_broken_flow_ends_its_own_and_no_others),
        T(a_new_transaction_on_a_flow_that_just_broke_is_not_the_old_ones),
        T(who_forgets_hears_nothing_and_the_machine_runs_on),
        T(a_request_forgotten_unanswered_does_not_stay_for_ever),
        T(forgetting_inside_a_callback_keeps_gone_away),
        T(a_callback_that_comes_back_into_the_layer_keeps_its_transaction),
        T(a_proxy_answers_one_transaction_out_of_another),
        T(a_cancelled_invite_may_be_answered_in_the_callback),
        T(owners_without_functions_are_served_too),
        T(places_are_used_again_without_an_allocation),
        T(the_layers_own_cancel_has_no_branch_to_guess),
        T(over_the_limit_create_says_so),
        cmocka_unit_test(the_nth_failing_allocation_leaks_nothing_and_breaks_nothing),
        T(the_layer_itself_needs_memory),
        T(destroying_the_layer_calls_no_one),
        cmocka_unit_test(random_scripts_break_no_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
