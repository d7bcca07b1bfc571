/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input is a script: owners that make, start, answer, cancel and forget transactions, peers
 * that send requests and answers of any kind from any flow, time that passes, flows that break,
 * and, inside each callback, more of the same. Whatever the order:
 *
 * - an owner hears at most one final answer (of an INVITE more 2xx may follow it), no provisional
 *   one after it, and of a failure only where there was none;
 * - gone() comes once, last, and to nobody who forgot;
 * - no callback runs inside a bk_sip_tx_* call;
 * - on a reliable flow no timer sends anything but a CANCEL;
 * - once everybody has let go and time has passed, no transaction, timer or byte is left.
 */
#include "sip/tx.h"

#include "base/buf.h"
#include "base/cleanup.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { OWNERS = 24, FLOWS = 4, BRANCHES = 6, NESTING_MAX = 3 };

enum method_index { INVITE, MESSAGE, SUBSCRIBE, N_METHODS };
static const enum bk_sip_method methods[N_METHODS] = { BK_SIP_INVITE, BK_SIP_MESSAGE,
                                                       BK_SIP_SUBSCRIBE };
static const char *const method_names[] = { "INVITE", "MESSAGE", "SUBSCRIBE", "ACK", "CANCEL" };
static const int statuses[] = { 100, 180, 183, 199, 200, 202, 302, 401, 404, 486, 503, 603 };

struct owner {
    struct play *play;
    struct bk_sip_tx *tx; /* NULL: free */
    bool client, invite, started;
    bool final, failed;
    int final_status;
    bool reliable;
    char branch[BK_SIP_BRANCH_MAX];
};

struct play {
    const uint8_t *at, *stop;
    int64_t now_ms;
    struct bk_clock clock;
    struct bk_timers timers;
    struct bk_random_seeded seed;
    struct bk_random random;
    struct bk_hash_key hash_key;
    struct bk_sip_txs *txs;
    struct owner owners[OWNERS];
    int nesting;
    bool in_timers, in_tx_call;
    struct bk_sip_msg msgs[NESTING_MAX + 2];
};

static uint8_t next(struct play *p)
{
    return p->at < p->stop ? *p->at++ : 0;
}

static struct bk_sip_flow flow_of(uint8_t n)
{
    n %= FLOWS;
    return (struct bk_sip_flow){ .id = 1 + n, .reliable = n >= FLOWS / 2 };
}

static int64_t clock_read(void *ctx)
{
    return ((struct play *)ctx)->now_ms;
}

static void net_send(void *ctx, struct bk_sip_flow flow, struct bk_view bytes)
{
    struct play *p = ctx;
    MUST(bytes.len > 8);
    if (p->in_timers && p->nesting == 0 && flow.reliable)
        MUST(bk_view_starts_with(bytes, BK_VIEW("CANCEL ")));
}

static void act(struct play *p);

/* What the owner does about it. */
static void react(struct owner *o)
{
    struct play *p = o->play;
    MUST(!p->in_tx_call);
    if (p->nesting >= NESTING_MAX)
        return;
    p->nesting++;
    for (int n = next(p) % 3; n > 0; n--)
        act(p);
    p->nesting--;
}

static void on_response(struct bk_sip_tx *tx, void *user, const struct bk_sip_msg *msg)
{
    struct owner *o = user;
    MUST(o->tx == tx && o->client && o->started && !o->failed);
    bool repeat_of_2xx = o->invite && o->final_status / 100 == 2 && msg->status / 100 == 2;
    MUST(!o->final || repeat_of_2xx);
    if (msg->status >= 200) {
        o->final = true;
        o->final_status = msg->status;
    }
    MUST(bk_sip_tx_is_final(tx) == o->final);
    react(o);
}

static void on_failed(struct bk_sip_tx *tx, void *user, enum bk_sip_tx_failure why)
{
    struct owner *o = user;
    (void)why;
    MUST(o->tx == tx && !o->failed);
    MUST(o->client ? !o->final : o->invite && o->final && o->final_status >= 300);
    o->failed = true;
    react(o);
}

static void on_cancelled(struct bk_sip_tx *tx, void *user, const struct bk_sip_msg *cancel)
{
    struct owner *o = user;
    MUST(o->tx == tx && !o->client && o->invite && !o->final);
    MUST(cancel->method == BK_SIP_CANCEL);
    react(o);
}

static void on_gone(struct bk_sip_tx *tx, void *user)
{
    struct owner *o = user;
    MUST(o->tx == tx);
    struct owner copy = *o;
    *o = (struct owner){ .play = copy.play };
    react(&copy);
}

static const struct bk_sip_tx_user vtable = { on_response, on_failed, on_cancelled, on_gone };

static struct owner *free_owner(struct play *p)
{
    for (int i = 0; i < OWNERS; i++)
        if (!p->owners[i].tx)
            return &p->owners[i];
    return NULL;
}

/* Some owner that has a transaction, by the script's choice. */
static struct owner *some_owner(struct play *p, bool client)
{
    int from = next(p) % OWNERS;
    for (int i = 0; i < OWNERS; i++) {
        struct owner *o = &p->owners[(from + i) % OWNERS];
        if (o->tx && o->client == client)
            return o;
    }
    return NULL;
}

static void read_message(struct bk_view bytes, struct bk_sip_msg *msg, struct bk_sip_head *ret)
{
    struct bk_sip_fault fault;
    MUST(bk_sip_msg_parse(msg, bytes, &fault) == 0);
    MUST(bk_sip_msg_check(msg, ret, &fault) == 0);
}

static void make_client(struct play *p)
{
    struct owner *o = free_owner(p);
    uint8_t what = next(p);
    if (!o)
        return;
    *o = (struct owner){ .play = p, .client = true, .invite = what % N_METHODS == INVITE };
    struct bk_sip_flow flow = flow_of(what >> 4);
    o->reliable = flow.reliable;
    p->in_tx_call = true;
    int r = bk_sip_tx_client_create(p->txs, flow, methods[what % N_METHODS], &vtable, o, &o->tx);
    p->in_tx_call = false;
    MUST(r == 0);
    snprintf(o->branch, sizeof o->branch, "%.*s", BK_VIEW_ARGS(bk_sip_tx_branch(o->tx)));
}

static void start_client(struct play *p)
{
    struct owner *o = some_owner(p, true);
    if (!o)
        return;
    BK_AUTO_BUF struct bk_buf request = { 0 };
    struct bk_view name = bk_sip_method_name(bk_sip_tx_method(o->tx));
    bk_buf_addf(&request,
                "%.*s sip:b@h SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=%s\r\nFrom: <sip:a@h>;tag=1\r\n"
                "To: <sip:b@h>\r\nCall-ID: 1\r\nCSeq: 1 %.*s\r\nContent-Length: 2\r\n\r\nhi",
                BK_VIEW_ARGS(name), o->branch, BK_VIEW_ARGS(name));
    p->in_tx_call = true;
    bk_sip_tx_start(o->tx, bk_buf_view(&request));
    p->in_tx_call = false;
    o->started = true;
}

static void hear_answer(struct play *p)
{
    struct owner *o = some_owner(p, true);
    uint8_t how = next(p), where = next(p);
    if (!o)
        return;
    int status = statuses[how % BK_COUNT_OF(statuses)];
    struct bk_view name = bk_sip_method_name(bk_sip_tx_method(o->tx));
    if (where & 0x40)
        name = BK_VIEW("CANCEL");
    struct bk_sip_flow flow = where & 0x80 ? flow_of(where) : bk_sip_tx_flow(o->tx);
    bool stray = flow.reliable != o->reliable ||
                 (o->reliable && flow.id != bk_sip_tx_flow(o->tx).id) || !o->started;

    BK_AUTO_BUF struct bk_buf text = { 0 };
    bk_buf_addf(&text,
                "SIP/2.0 %d X\r\nVia: SIP/2.0/TLS h;branch=%s\r\nFrom: <sip:a@h>;tag=1\r\n"
                "To: <sip:b@h>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 %.*s\r\nContent-Length: 0\r\n\r\n",
                status, o->branch, BK_VIEW_ARGS(name));
    struct bk_sip_msg *msg = &p->msgs[p->nesting];
    struct bk_sip_head head;
    read_message(bk_buf_view(&text), msg, &head);
    bool taken = bk_sip_txs_response(p->txs, flow, msg, &head);
    MUST(!(taken && stray));
}

static void hear_request(struct play *p)
{
    uint8_t what = next(p), where = next(p);
    struct bk_sip_flow flow = flow_of(where);
    const char *method = method_names[what % 5];
    unsigned branch = where >> 2 & 7;
    char via[32] = "";
    if (branch < BRANCHES)
        snprintf(via, sizeof via, ";branch=z9hG4bK%u", branch);

    BK_AUTO_BUF struct bk_buf text = { 0 };
    bk_buf_addf(&text,
                "%s sip:b@h SIP/2.0\r\nVia: SIP/2.0/TLS h%s\r\nMax-Forwards: 70\r\n"
                "From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>%s\r\nCall-ID: 1\r\nCSeq: %u %s\r\n"
                "Content-Length: 0\r\n\r\n",
                method, via, where & 0x80 ? ";tag=9" : "", 1U + (what >> 6), method);
    struct bk_sip_msg *msg = &p->msgs[p->nesting];
    struct bk_sip_head head;
    read_message(bk_buf_view(&text), msg, &head);
    if (bk_sip_txs_request(p->txs, flow, msg, &head) != BK_SIP_TXS_NEW || msg->method == BK_SIP_ACK)
        return;
    struct owner *o = free_owner(p);
    if (!o)
        return;
    *o = (struct owner){ .play = p,
                         .invite = msg->method == BK_SIP_INVITE,
                         .reliable = flow.reliable };
    MUST(bk_sip_tx_server_create(p->txs, flow, msg, &head, &vtable, o, &o->tx) == 0);
    /* From now on it is known, if it can be: a second look finds it. */
    MUST(bk_sip_txs_request(p->txs, flow, msg, &head) == BK_SIP_TXS_ABSORBED);
}

static void answer(struct play *p)
{
    struct owner *o = some_owner(p, false);
    int status = statuses[next(p) % BK_COUNT_OF(statuses)];
    if (!o)
        return;
    p->in_tx_call = true;
    bk_sip_tx_respond(o->tx, status, BK_VIEW("SIP/2.0 000 Text\r\n\r\n"));
    p->in_tx_call = false;
    if (status >= 200 && !o->final) {
        o->final = true;
        o->final_status = status;
    }
}

static void cancel(struct play *p)
{
    struct owner *o = some_owner(p, true);
    if (!o)
        return;
    p->in_tx_call = true;
    bk_sip_tx_cancel(o->tx,
                     next(p) & 1 ? BK_VIEW("Reason: SIP;cause=200\r\n") : (struct bk_view){ 0 });
    p->in_tx_call = false;
}

static void forget(struct play *p, struct owner *o)
{
    if (!o)
        return;
    p->in_tx_call = true;
    bk_sip_tx_forget(o->tx);
    p->in_tx_call = false;
    *o = (struct owner){ .play = p };
}

/* Time passes at the outermost level only, as in a loop. */
static void pass(struct play *p, int64_t ms)
{
    if (p->in_timers || p->nesting)
        return;
    p->in_timers = true;
    int64_t until = p->now_ms + ms, at;
    while ((at = bk_timers_next_ms(&p->timers)) <= until) {
        p->now_ms = at > p->now_ms ? at : p->now_ms;
        bk_timers_run(&p->timers, p->now_ms);
    }
    p->now_ms = until;
    p->in_timers = false;
}

static void break_flow(struct play *p)
{
    bk_sip_txs_flow_gone(p->txs, flow_of(next(p)).id);
}

static void act(struct play *p)
{
    switch (next(p) % 16) {
    case 0:
    case 1:
        make_client(p);
        break;
    case 2:
    case 3:
    case 4:
        start_client(p);
        break;
    case 5:
    case 6:
    case 7:
        hear_answer(p);
        break;
    case 8:
    case 9:
    case 10:
        hear_request(p);
        break;
    case 11:
    case 12:
        answer(p);
        break;
    case 13:
        cancel(p);
        break;
    case 14:
        if (next(p) & 0x80)
            break_flow(p);
        else
            forget(p, some_owner(p, next(p) & 1));
        break;
    case 15: {
        static const int64_t times[] = { 0, 16, 500, 1000, 4000, 5000, 32000, 64000, 181000 };
        pass(p, times[next(p) % BK_COUNT_OF(times)]);
        break;
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct play play; /* large; a script is played alone */
    struct play *p = &play;
    *p = (struct play){ .at = data, .stop = data + size, .now_ms = 1000, .hash_key = { 3, 4 } };
    p->clock = (struct bk_clock){ clock_read, clock_read, p };
    p->random = bk_random_from_seed(&p->seed, 1);
    bk_timers_init(&p->timers, p->now_ms);
    for (int i = 0; i < OWNERS; i++)
        p->owners[i].play = p;
    struct bk_sip_txs_config config = {
        .send = net_send,
        .ctx = p,
        .timers = &p->timers,
        .clock = &p->clock,
        .random = &p->random,
        .hash_key = &p->hash_key,
    };
    p->txs = bk_sip_txs_create(&config);
    MUST(p->txs);

    while (p->at < p->stop)
        act(p);

    for (int i = 0; i < OWNERS; i++)
        if (p->owners[i].tx)
            forget(p, &p->owners[i]);
    pass(p, 300000);
    MUST(bk_sip_txs_count(p->txs) == 0);
    for (uint64_t id = 1; id <= FLOWS; id++)
        MUST(bk_sip_txs_flow_count(p->txs, id) == 0);
    MUST(p->timers.n_armed == 0);
    bk_sip_txs_destroy(p->txs);
    return 0;
}
