/* SPDX-License-Identifier: Apache-2.0 */
/* client/link.h - the one SIP connection: dialling, framing, our transactions on it, life signs. */
#ifndef BK_CLIENT_LINK_H
#define BK_CLIENT_LINK_H

#include "client/answers.h"
#include "client/fault.h"
#include "sip/build.h"
#include "sip/fields.h"
#include "sip/tx.h"

struct bk_link;

struct bk_link_ops {
    void (*up)(void *ctx);
    /* Dialling found nobody; each address tried has its row. */
    void (*unreachable)(void *ctx);
    /* It was up; fault says how it ended. Nothing asked on it will be answered. */
    void (*lost)(void *ctx, const struct bk_fault *fault);
    /* A request that no transaction knows. Answer with bk_link_answer, now. */
    void (*request)(void *ctx, const struct bk_sip_msg *msg, const struct bk_sip_head *head);
    /*
     * Last before a message goes out: appends what is sent instead of it; to->failed: nothing is. And first when one came in; false:
     * nobody hears of it. Both NULL: messages go as they are.
     */
    void (*seal)(void *ctx, struct bk_view message, struct bk_buf *to);
    bool (*open)(void *ctx, const struct bk_sip_msg *msg, const struct bk_sip_head *head);
};

struct bk_link_config {
    struct bk_loop *loop;
    struct bk_dns *dns;
    struct bk_proxies *proxies; /* NULL: every connection is direct */
    const struct bk_random *random;
    const char *user_agent;
    int ping_ms, pong_ms;
    const struct bk_link_ops *ops;
    void *ctx;
};

int bk_link_create(const struct bk_link_config *config, struct bk_link **ret);
/* Steps the loop until what was sent last is out, a second at most. */
struct bk_link *bk_link_destroy(struct bk_link *link);

/*
 * Tries the servers in order, the roads to each as the proxy settings have them, the addresses of each 250 ms after one another (RFC 8305), first come
 * first served. kind: of the rows ("cached", "connect"). verify_name: what the certificate must
 * carry where a server is an address literal. What was open before is closed in order.
 */
void bk_link_dial(struct bk_link *link, const struct bk_answer_server *servers, int n,
                  struct bk_tls_client *tls, const char *verify_name, const char *kind,
                  int connect_ms, struct bk_tried *tried);
/* Closes or stops dialling; no callback comes of it. linger_ms: for what was sent last. */
void bk_link_close(struct bk_link *link, int linger_ms);
bool bk_link_is_up(const struct bk_link *link);
/* Both ends of the connection; false: there is none. */
bool bk_link_ends(const struct bk_link *link, struct bk_addr *ret_local, struct bk_addr *ret_peer);
/* There is no way for it any more, although nothing failed yet: lost() comes now. */
void bk_link_give_up(struct bk_link *link, const char *why);
/* The server that answered: "srv.example.org", 5061. */
const struct bk_answer_server *bk_link_server(const struct bk_link *link);
/* The proxy it goes through, "proxy.example.org:3128"; "": none. */
const char *bk_link_proxy(const struct bk_link *link);
/* "10.0.0.7:43210", for Contact and Via. */
const char *bk_link_local(const struct bk_link *link);
/* "SIP/2.0/TLS 10.0.0.7:43210;rport" */
struct bk_view bk_link_via(const struct bk_link *link);
/* The server said how long it waits for life signs (Flow-Timer). 0: back to the configuration. */
void bk_link_set_ping(struct bk_link *link, int ping_ms);

/* ---- requests of ours (never INVITE) ---- */

/*
 * msg: the final answer, NULL: none came in 32 s. The views die with the call. It comes once, from the loop; never for
 * a connection that was lost or closed: whoever asked hears of that from lost(), or closed it.
 */
struct bk_ask;
typedef void bk_ask_done_fn(void *owner, const struct bk_sip_msg *msg);
/*
 * -ENOTCONN. The branch goes into the Via; then send, once. *ret must live as long as the ask does: it is set
 * to NULL when the ask is over, before done is called.
 */
int bk_ask_begin(struct bk_link *link, enum bk_sip_method method, bk_ask_done_fn *done, void *owner,
                 struct bk_ask **ret);
struct bk_view bk_ask_branch(const struct bk_ask *ask);
void bk_ask_send(struct bk_ask *ask, struct bk_view request);
/* The owner goes: done never comes, *ret is NULL. NULL is fine. */
void bk_ask_drop(struct bk_ask *ask);

/* Start line, Via with the branch of ask, Max-Forwards, User-Agent. */
void bk_link_request_begin(const struct bk_link *link, const struct bk_ask *ask, struct bk_buf *to,
                           enum bk_sip_method method, struct bk_view uri);

/* ---- for session.c, whose transactions outlive a question: INVITE, and what belongs to it ---- */

struct bk_sip_txs *bk_link_txs(const struct bk_link *link);
/* Where they go; only while the link is up. */
struct bk_sip_flow bk_link_flow(const struct bk_link *link);
/* What has no transaction: an ACK. */
void bk_link_send(struct bk_link *link, struct bk_view bytes);

/* ---- answers of ours ---- */

/*
 * The server transaction of a request, kept where the answer comes later. The answer's To tag is to_tag.
 * fields: whole lines to add, may be empty.
 */
void bk_link_answer(struct bk_link *link, const struct bk_sip_msg *msg,
                    const struct bk_sip_head *head, int status, struct bk_view to_tag,
                    struct bk_view fields);
/* To be answered later: 0, *ret belongs to the caller until one of the next two. */
struct bk_owed;
int bk_link_owe(struct bk_link *link, const struct bk_sip_msg *msg, const struct bk_sip_head *head,
                struct bk_view to_tag, struct bk_owed **ret);
void bk_owed_answer(struct bk_owed *owed, int status);
void bk_owed_drop(struct bk_owed *owed);

#endif
