/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the transaction layer costs a relayed request on reliable flows: the request looked up, a
 * server and a client transaction made, the request sent, its 200 matched and passed back, both
 * told that they are gone. Messages are split beforehand; nothing is written to a socket.
 *
 *     meson setup -Dbuildtype=release release && ninja -C release bench/tx_bench && release/bench/tx_bench
 */
#include "sip/tx.h"

#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 5, PAIRS = 200000, FLOWS = 5000 };

struct relay {
    struct bk_timers timers;
    struct bk_sip_txs *txs;
    struct bk_sip_tx *server;
    size_t n_bytes, n_gone;
};

static void net_send(void *ctx, struct bk_sip_flow flow, struct bk_view bytes)
{
    (void)flow;
    ((struct relay *)ctx)->n_bytes += bytes.len;
}

static void on_response(struct bk_sip_tx *tx, void *user, const struct bk_sip_msg *msg)
{
    (void)tx;
    struct relay *relay = user;
    bk_sip_tx_respond(relay->server, msg->status, msg->bytes);
}

static void on_gone(struct bk_sip_tx *tx, void *user)
{
    (void)tx;
    ((struct relay *)user)->n_gone++;
}

static const struct bk_sip_tx_user client_side = { .response = on_response, .gone = on_gone };
static const struct bk_sip_tx_user server_side = { .gone = on_gone };

static void must(bool good)
{
    if (!good)
        abort();
}

static void split(const char *text, struct bk_sip_msg *msg, struct bk_sip_head *head)
{
    struct bk_sip_fault fault;
    must(bk_sip_msg_parse(msg, bk_view_of_str(text), &fault) == 0);
    must(bk_sip_msg_check(msg, head, &fault) == 0);
}

static double cpu_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return (double)at.tv_sec * 1e9 + (double)at.tv_nsec;
}

#define FIELDS                                                                                     \
    "From: <sip:ann@example.org>;tag=8a7f1c\r\nTo: <sip:bob@example.org>\r\n"                      \
    "Call-ID: 6f1d0a2c7e@192.0.2.1\r\nCSeq: 1 MESSAGE\r\n"

static void one_pair(struct relay *relay, uint64_t n, struct bk_sip_msg *request,
                     struct bk_sip_head *head, struct bk_sip_msg *answer,
                     struct bk_sip_head *answer_head)
{
    /* Another branch each time, as peers have; written over the last one. */
    char branch[32];
    head->via_branch.len =
        (size_t)snprintf(branch, sizeof branch, "z9hG4bK%016llx", (unsigned long long)n);
    head->via_branch.at = branch;
    struct bk_sip_flow from = { .id = 1 + n % FLOWS, .reliable = true };
    struct bk_sip_flow to = { .id = 1 + n * 7919 % FLOWS, .reliable = true };

    struct bk_sip_tx *client;
    must(bk_sip_txs_request(relay->txs, from, request, head) == BK_SIP_TXS_NEW);
    must(bk_sip_tx_server_create(relay->txs, from, request, head, &server_side, relay,
                                 &relay->server) == 0);
    must(bk_sip_tx_client_create(relay->txs, to, BK_SIP_MESSAGE, &client_side, relay, &client) ==
         0);
    answer_head->via_branch = bk_sip_tx_branch(client);
    bk_sip_tx_start(client, request->bytes);
    must(bk_sip_txs_response(relay->txs, to, answer, answer_head));
}

int main(void)
{
    static struct relay relay;
    static struct bk_sip_msg request, answer;
    struct bk_sip_head request_head, answer_head;
    split("MESSAGE sip:bob@example.org SIP/2.0\r\n"
          "Via: SIP/2.0/TLS 192.0.2.1:43211;branch=z9hG4bK1;rport\r\nMax-Forwards: 70\r\n" FIELDS
          "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
          &request, &request_head);
    split("SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS h;branch=z9hG4bK2\r\n" FIELDS
          "Content-Length: 0\r\n\r\n",
          &answer, &answer_head);

    struct bk_hash_key key = { 1, 2 };
    bk_timers_init(&relay.timers, bk_clock_mono_ms(&bk_clock_system));
    struct bk_sip_txs_config config = {
        .send = net_send,
        .ctx = &relay,
        .timers = &relay.timers,
        .clock = &bk_clock_system,
        .random = &bk_random_system,
        .hash_key = &key,
    };
    relay.txs = bk_sip_txs_create(&config);
    must(relay.txs);

    for (int round = 0; round < ROUNDS; round++) {
        double start = cpu_ns();
        for (uint64_t i = 0; i < PAIRS; i++)
            one_pair(&relay, (uint64_t)round * PAIRS + i, &request, &request_head, &answer,
                     &answer_head);
        printf("%.0f ns for a client and a server transaction\n", (cpu_ns() - start) / PAIRS);
    }
    must(relay.n_gone == 2UL * ROUNDS * PAIRS && bk_sip_txs_count(relay.txs) == 0);
    bk_sip_txs_destroy(relay.txs);
    return 0;
}
