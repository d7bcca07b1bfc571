/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor: the least server that net/ and sip/ can make.
 *
 * REGISTER is answered 200 without a password, MESSAGE, INVITE and what follows go to the
 * connection their target registered on. No transactions, no policy, no store. Driven by
 * beckon-load it shows what the two lower layers cost, so that what the server adds on top can be
 * told apart from it. Loopback only, ends after --seconds or at SIGTERM.
 *
 *   floor CHAIN.pem KEY.pem PORT SECONDS
 */
#include "net/conn.h"
#include "sip/build.h"
#include "sip/fields.h"
#include "sip/frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PEOPLE_MAX = 20000 };

struct link {
    struct bk_conn *conn;
    struct bk_sip_frame frame;
    uint32_t number;
    char *contact;
};

static struct link *links[PEOPLE_MAX];  /* by number, stands in the branch */
static struct link *people[PEOPLE_MAX]; /* by the digits of the user name */
static struct bk_sip_msg msg;
static struct bk_buf out;
static char via_host[64];

/* "u17" of sip:u17@anything. */
static struct link *person_of(struct bk_view uri)
{
    size_t at = bk_view_find(uri, '@');
    uint64_t number;
    if (at < 6 ||
        bk_view_to_u64((struct bk_view){ uri.at + 5, at - 5 }, PEOPLE_MAX - 1, &number) < 0)
        return NULL;
    return people[number];
}

static void registered(struct link *link, const struct bk_sip_head *head)
{
    struct bk_view contact = bk_sip_msg_value(&msg, BK_SIP_HDR_CONTACT);
    size_t at = bk_view_find(head->to_uri, '@');
    uint64_t number;
    if (at > 5 && bk_view_to_u64((struct bk_view){ head->to_uri.at + 5, at - 5 }, PEOPLE_MAX - 1,
                                 &number) == 0)
        people[number] = link;
    size_t open = bk_view_find(contact, '<'), close = bk_view_find(contact, '>');
    free(link->contact);
    link->contact = open < close && close < contact.len
                        ? strndup(contact.at + open + 1, close - open - 1)
                        : NULL;
    bk_sip_response_begin(&out, &msg, 200, (struct bk_view){ 0 }, BK_VIEW("floor"), NULL);
    bk_sip_field_add(&out, BK_SIP_HDR_CONTACT, contact);
    bk_sip_end(&out, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    bk_conn_send(link->conn, bk_buf_view(&out), false);
    bk_conn_calm(link->conn);
}

static void answer(struct link *link, int status)
{
    bk_sip_response_begin(&out, &msg, status, (struct bk_view){ 0 }, BK_VIEW("floor"), NULL);
    bk_sip_end(&out, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    bk_conn_send(link->conn, bk_buf_view(&out), false);
}

static void forward_request(struct link *link, const struct bk_sip_head *head)
{
    struct link *to = person_of(msg.uri);
    if (!to) {
        if (msg.method != BK_SIP_ACK)
            answer(link, 404);
        return;
    }
    char via[160], route[96], forwards[8];
    struct bk_sip_edit edit;
    bk_sip_edit_begin(&edit, &msg);
    int len = snprintf(via, sizeof via, "Via: SIP/2.0/TLS %s;branch=z9hG4bKf%x.%.*s\r\n", via_host,
                       link->number, BK_VIEW_ARGS(bk_view_head(head->via_branch, 40)));
    bk_sip_edit_insert(&edit, bk_sip_msg_field(&msg, BK_SIP_HDR_VIA),
                       (struct bk_view){ via, (size_t)len });
    if (msg.method == BK_SIP_INVITE) {
        len =
            snprintf(route, sizeof route, "Record-Route: <sip:%s;transport=tls;lr>\r\n", via_host);
        bk_sip_edit_insert(&edit, NULL, (struct bk_view){ route, (size_t)len });
    }
    if (to->contact)
        bk_sip_edit_uri(&edit, bk_view_of_str(to->contact));
    const struct bk_sip_field *own = bk_sip_msg_field(&msg, BK_SIP_HDR_ROUTE);
    if (own)
        bk_sip_edit_pop(&edit, own);
    len = snprintf(forwards, sizeof forwards, "%d", head->max_forwards - 1);
    const struct bk_sip_field *field = bk_sip_msg_field(&msg, BK_SIP_HDR_MAX_FORWARDS);
    if (field)
        bk_sip_edit_value(&edit, field, (struct bk_view){ forwards, (size_t)len });
    bk_sip_edit_write(&edit, &out);
    if (!out.failed)
        bk_conn_send(to->conn, bk_buf_view(&out), false);
}

static void forward_response(const struct bk_sip_head *head)
{
    char *end = NULL;
    struct bk_view branch = head->via_branch;
    if (!bk_view_starts_with(branch, BK_VIEW("z9hG4bKf")))
        return;
    unsigned long number = strtoul(branch.at + 8, &end, 16);
    if (number >= PEOPLE_MAX || !links[number])
        return;
    struct bk_sip_edit edit;
    bk_sip_edit_begin(&edit, &msg);
    bk_sip_edit_pop(&edit, bk_sip_msg_field(&msg, BK_SIP_HDR_VIA));
    bk_sip_edit_write(&edit, &out);
    if (!out.failed)
        bk_conn_send(links[number]->conn, bk_buf_view(&out), false);
}

static void on_message(struct link *link, struct bk_view bytes)
{
    struct bk_sip_fault fault;
    struct bk_sip_head head;
    bk_buf_clear(&out);
    if (bk_sip_msg_parse(&msg, bytes, &fault) < 0 || bk_sip_msg_check(&msg, &head, &fault) < 0)
        return;
    if (msg.status)
        forward_response(&head);
    else if (msg.method == BK_SIP_REGISTER)
        registered(link, &head);
    else
        forward_request(link, &head);
}

static void on_ready(struct bk_conn *conn, void *ctx)
{
    (void)conn;
    (void)ctx;
}

static size_t on_bytes(struct bk_conn *conn, void *ctx, struct bk_view bytes)
{
    struct link *link = ctx;
    size_t used = 0, len;
    struct bk_sip_fault fault;
    while (used < bytes.len) {
        struct bk_view rest = bk_view_skip(bytes, used);
        switch (bk_sip_frame_next(&link->frame, rest, BK_SIP_MESSAGE_BYTES_MAX, &len, &fault)) {
        case BK_SIP_FRAME_MORE:
            return used;
        case BK_SIP_FRAME_MESSAGE:
            on_message(link, bk_view_head(rest, len));
            break;
        case BK_SIP_FRAME_PING:
            bk_conn_send(conn, BK_VIEW("\r\n"), false);
            break;
        case BK_SIP_FRAME_BLANK:
            break;
        case BK_SIP_FRAME_BAD:
            bk_conn_close(conn, 0);
            return bytes.len;
        }
        used += len;
    }
    return used;
}

static void on_closed(struct bk_conn *conn, void *ctx, enum bk_conn_end why)
{
    (void)conn;
    (void)why;
    struct link *link = ctx;
    for (size_t i = 0; i < PEOPLE_MAX; i++) {
        if (people[i] == link)
            people[i] = NULL;
    }
    links[link->number] = NULL;
    free(link->contact);
    free(link);
}

static void *on_accepted(void *ctx, struct bk_conn *conn)
{
    (void)ctx;
    static uint32_t next;
    for (uint32_t tries = 0; tries < PEOPLE_MAX; tries++, next = (next + 1) % PEOPLE_MAX) {
        if (links[next])
            continue;
        struct link *link = calloc(1, sizeof *link);
        if (!link)
            return NULL;
        link->conn = conn;
        link->number = next;
        links[next] = link;
        return link;
    }
    return NULL;
}

static void on_stop(void *loop)
{
    bk_loop_stop(loop);
}

int main(int argc, char **argv)
{
    static const struct bk_conn_ops ops = { on_ready, on_bytes, on_closed, NULL };
    uint64_t port, seconds;
    if (argc != 5 || bk_view_to_u64(bk_view_of_str(argv[3]), 65535, &port) < 0 ||
        bk_view_to_u64(bk_view_of_str(argv[4]), 3600, &seconds) < 0) {
        fprintf(stderr, "usage: floor CHAIN.pem KEY.pem PORT SECONDS\n");
        return 2;
    }
    struct bk_loop *loop;
    struct bk_addr at;
    struct bk_tls_server *tls;
    char *why = NULL;
    const struct bk_tls_server_config config = { .chain_file = argv[1], .key_file = argv[2] };
    struct bk_listener *listener;
    if (bk_loop_create(NULL, &loop) < 0 || bk_addr_parse("127.0.0.1", (uint16_t)port, &at) < 0)
        return 3;
    if (bk_tls_server_create(&config, &tls, &why) < 0) {
        fprintf(stderr, "floor: %s\n", why ? why : "TLS");
        return 3;
    }
    struct bk_listen_config listen = { .at = &at,
                                       .tls = tls,
                                       .limits = bk_conn_limits_default,
                                       .ops = &ops,
                                       .accepted = on_accepted };
    int r = bk_listen(loop, &listen, &listener);
    if (r < 0) {
        fprintf(stderr, "floor: port %s: %s\n", argv[3], strerror(-r));
        return 3;
    }
    bk_addr_text(&(struct bk_addr){ .v4 = { .sin_family = AF_INET,
                                            .sin_port = htons(bk_listener_port(listener)),
                                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK) },
                                    .len = sizeof(struct sockaddr_in) },
                 via_host);
    bk_loop_on_signal(loop, SIGTERM, on_stop, loop);
    alarm((unsigned)seconds);
    return bk_loop_run(loop) < 0;
}
