/* SPDX-License-Identifier: Apache-2.0 */
/* net/proxy.h - which proxies a connection goes through: asked of somebody else, in the order to be tried. */
#ifndef BK_NET_PROXY_H
#define BK_NET_PROXY_H

#include "base/view.h"
#include "net/loop.h"

enum { BK_PROXY_ROADS_MAX = 4, BK_PROXY_LOGIN_MAX = 700, BK_PROXY_TEXT_MAX = 288 };

/* One road to a server. Holds a password: whoever keeps one wipes it (bk_proxy_roads_wipe). */
struct bk_proxy {
    bool direct; /* no proxy: the rest is empty */
    char host[256];
    uint16_t port;
    char login[BK_PROXY_LOGIN_MAX]; /* base64 of "name:password" (RFC 7617); "": none */
};
/*
 * "http://[name:password@]host[:port][/]", percent-encoded as in URLs, or "direct://". The port is 80 where none stands.
 * -EINVAL; -EPROTONOSUPPORT: another kind of proxy ("socks5://", "https://").
 */
int bk_proxy_parse(struct bk_view text, struct bk_proxy *ret);
void bk_proxy_text(const struct bk_proxy *proxy,
                   char ret[BK_PROXY_TEXT_MAX]); /* "proxy.test:3128"; "" for direct */

struct bk_proxy_roads {
    struct bk_proxy roads[BK_PROXY_ROADS_MAX];
    int n;         /* 0: there is none that can be taken */
    char why[200]; /* where n is 0 */
};
/* URLs with blanks, commas or line ends between. What cannot be taken is left out; with nothing left, why says what it was. */
void bk_proxy_roads_parse(struct bk_proxy_roads *roads, struct bk_view list);
void bk_proxy_roads_wipe(struct bk_proxy_roads *roads);

/*
 * Asks its owner for the roads to a server. `ask` is called on the loop's thread, with "https://host:port/" and a number for
 * the answer, which comes to bk_proxies_answer, later or from within; where none has come after wait_ms, there is no road.
 */
struct bk_proxies;
struct bk_proxies_config {
    struct bk_loop *loop;
    void (*ask)(void *ctx, const char *url, uint64_t token);
    void *ctx;
    int wait_ms; /* 0: 10 s */
};
int bk_proxies_create(const struct bk_proxies_config *config, struct bk_proxies **ret);
/* Nobody waits any more, by then. */
struct bk_proxies *bk_proxies_destroy(struct bk_proxies *proxies);

/* The roads belong to the query and die with the callback, which comes once, from the loop. NULL: out of memory. */
struct bk_proxy_query;
struct bk_proxy_query *bk_proxies_find(struct bk_proxies *proxies, const char *host, uint16_t port,
                                       void (*done)(void *ctx, const struct bk_proxy_roads *roads),
                                       void *ctx);
void bk_proxies_cancel(struct bk_proxy_query *query); /* NULL is fine */
/* list as for bk_proxy_roads_parse; NULL: they could not be found out, and why says why. A token nobody waits for is ignored. */
void bk_proxies_answer(struct bk_proxies *proxies, uint64_t token, const char *list,
                       const char *why);

/*
 * A proxy refused this name and password (407). They are not sent to it again, as a proxy that counts would lock the account;
 * until bk_proxies_forget_refusals, when the person tries anew.
 */
void bk_proxies_login_refused(struct bk_proxies *proxies, const struct bk_proxy *proxy);
bool bk_proxies_login_usable(const struct bk_proxies *proxies, const struct bk_proxy *proxy);
void bk_proxies_forget_refusals(struct bk_proxies *proxies);

#endif
