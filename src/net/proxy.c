/* SPDX-License-Identifier: Apache-2.0 */
#include "net/proxy.h"

#include "base/text.h"
#include "net/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { WAIT_MS = 10000, REFUSED_MAX = 8 };

/* ---- one proxy ---- */

/* RFC 3986 2.1. -EINVAL also for what decodes to a control byte: it has no place in "name:password" (RFC 7617 2). */
static int decode(struct bk_view text, struct bk_buf *to)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (c == '%') {
            if (bk_hex_decode(bk_view_head(bk_view_skip(text, i + 1), 2), &c, 1) < 0)
                return -EINVAL;
            i += 2;
        }
        if (c < ' ' || c == 0x7f)
            return -EINVAL;
        bk_buf_add_char(to, (char)c);
    }
    return to->failed ? -ENOMEM : 0;
}

static void finish_secret(struct bk_buf *secret)
{
    if (secret->at)
        bk_wipe(secret->at, secret->cap);
    bk_buf_finish(secret);
}

static int take_login(struct bk_view info, struct bk_proxy *ret)
{
    struct bk_buf plain = { 0 }, login = { 0 };
    size_t colon = bk_view_find(info, ':');
    struct bk_view name = bk_view_head(info, colon);
    /* Room for all of it at once: what a growing buffer leaves behind would hold a password. */
    bool room = bk_buf_reserve(&plain, info.len + 2) && bk_buf_reserve(&login, info.len * 2 + 8);
    int r = room ? decode(name, &plain) : -ENOMEM;
    if (r == 0 && bk_view_find(bk_buf_view(&plain), ':') < plain.len)
        r = -EINVAL; /* it could not be told from the password's beginning */
    bk_buf_add_char(&plain, ':');
    if (r == 0)
        r = decode(bk_view_skip(info, colon + 1), &plain);
    if (r == 0 && plain.len > 1)
        bk_base64_encode(&login, bk_buf_view(&plain));
    if (r == 0 && (plain.failed || login.failed))
        r = -ENOMEM;
    if (r == 0 && login.len >= sizeof ret->login)
        r = -EINVAL;
    if (r == 0 && login.len)
        memcpy(ret->login, login.at, login.len);
    finish_secret(&plain);
    finish_secret(&login);
    return r;
}

int bk_proxy_parse(struct bk_view text, struct bk_proxy *ret)
{
    static const char http[] = "http://";
    struct bk_proxy proxy = { .port = 80 };
    if (bk_view_equal_nocase(text, BK_VIEW("direct://"))) {
        *ret = (struct bk_proxy){ .direct = true };
        return 0;
    }
    size_t scheme = bk_view_find_view(text, BK_VIEW("://"));
    if (scheme == text.len || scheme == 0)
        return -EINVAL;
    if (!bk_view_starts_with_nocase(text, BK_VIEW("http://")))
        return -EPROTONOSUPPORT;
    struct bk_view rest = bk_view_skip(text, sizeof http - 1);
    rest = bk_view_head(rest, bk_view_find(rest, '/'));
    size_t at = rest.len;
    while (at > 0 && rest.at[at - 1] != '@') /* the last one: some write it into passwords */
        at--;
    /* Host and port as in any URL. */
    char url[sizeof http + 280];
    struct bk_view place = bk_view_skip(rest, at);
    if (place.len > 270)
        return -EINVAL;
    int n = snprintf(url, sizeof url, "%s%.*s", http, BK_VIEW_ARGS(place));
    struct bk_url parts;
    int r = bk_url_parse((struct bk_view){ url, (size_t)n }, &parts);
    if (r < 0)
        return r;
    memcpy(proxy.host, parts.host.at, parts.host.len);
    bk_text_lower(proxy.host, parts.host.len);
    proxy.port = parts.port;
    if (at > 0)
        r = take_login(bk_view_head(rest, at - 1), &proxy);
    if (r == 0)
        *ret = proxy;
    bk_wipe(proxy.login, sizeof proxy.login);
    return r;
}

void bk_proxy_text(const struct bk_proxy *proxy, char ret[BK_PROXY_TEXT_MAX])
{
    ret[0] = '\0';
    if (!proxy->direct)
        (void)snprintf(ret, BK_PROXY_TEXT_MAX, strchr(proxy->host, ':') ? "[%s]:%u" : "%s:%u",
                       proxy->host, proxy->port);
}

/* ---- several ---- */

static bool is_between(char c)
{
    return c == ' ' || c == ',' || c == '\n' || c == '\r' || c == '\t';
}

void bk_proxy_roads_parse(struct bk_proxy_roads *roads, struct bk_view list)
{
    *roads = (struct bk_proxy_roads){ .why = "no proxy was named" };
    while (list.len && roads->n < BK_PROXY_ROADS_MAX) {
        size_t len = 0;
        while (len < list.len && !is_between(list.at[len]))
            len++;
        struct bk_view one = bk_view_head(list, len);
        list = bk_view_skip(list, len + 1);
        if (!one.len)
            continue;
        int r = bk_proxy_parse(one, &roads->roads[roads->n]);
        if (r == 0)
            roads->n++;
        else if (r == -EPROTONOSUPPORT)
            (void)snprintf(
                roads->why, sizeof roads->why, "a proxy of the kind %.*s is not supported",
                BK_VIEW_ARGS(bk_view_head(bk_view_head(one, bk_view_find(one, ':')), 40)));
        else if (r == -ENOMEM)
            (void)snprintf(roads->why, sizeof roads->why, "out of memory");
        else /* not the text itself: it may hold a password */
            (void)snprintf(roads->why, sizeof roads->why,
                           "the address of the proxy cannot be read");
    }
}

void bk_proxy_roads_wipe(struct bk_proxy_roads *roads)
{
    bk_wipe(roads, sizeof *roads);
}

/* ---- asking ---- */

struct bk_proxy_query {
    struct bk_list in;
    struct bk_proxies *proxies;
    uint64_t token;
    struct bk_timer timer; /* begins it, gives it up, tells it */
    enum { TO_ASK, ASKED, ANSWERED } stage;
    char url[300];
    struct bk_proxy_roads roads;
    void (*done)(void *ctx, const struct bk_proxy_roads *roads);
    void *ctx;
};

struct bk_proxies {
    struct bk_proxies_config config;
    struct bk_list queries;
    uint64_t last_token;
    struct bk_proxy refused[REFUSED_MAX]; /* the oldest gives way */
    unsigned n_refused;
};

static int64_t now(const struct bk_proxies *proxies)
{
    return bk_clock_mono_ms(bk_loop_clock(proxies->config.loop));
}

static void arm(struct bk_proxy_query *query, int ms)
{
    struct bk_proxies *proxies = query->proxies;
    bk_timer_arm(bk_loop_timers(proxies->config.loop), &query->timer, ms ? now(proxies) + ms : 0);
}

void bk_proxies_cancel(struct bk_proxy_query *query)
{
    if (!query)
        return;
    bk_timer_disarm(bk_loop_timers(query->proxies->config.loop), &query->timer);
    bk_list_remove(&query->in);
    bk_proxy_roads_wipe(&query->roads);
    free(query);
}

static void on_timer(struct bk_timer *timer)
{
    struct bk_proxy_query *query = bk_container_of(timer, struct bk_proxy_query, timer);
    const struct bk_proxies_config *config = &query->proxies->config;
    if (query->stage == TO_ASK) {
        query->stage = ASKED;
        arm(query, config->wait_ms);
        config->ask(config->ctx, query->url, query->token); /* may answer from within */
        return;
    }
    if (query->stage == ASKED)
        (void)snprintf(query->roads.why, sizeof query->roads.why, "%s",
                       "the proxy settings of this computer gave no answer");
    query->done(query->ctx, &query->roads);
    bk_proxies_cancel(query);
}

struct bk_proxy_query *bk_proxies_find(struct bk_proxies *proxies, const char *host, uint16_t port,
                                       void (*done)(void *ctx, const struct bk_proxy_roads *roads),
                                       void *ctx)
{
    struct bk_proxy_query *query = calloc(1, sizeof *query);
    if (!query)
        return NULL;
    query->proxies = proxies;
    query->token = ++proxies->last_token;
    query->done = done;
    query->ctx = ctx;
    (void)snprintf(query->url, sizeof query->url,
                   strchr(host, ':') ? "https://[%.255s]:%u/" : "https://%.255s:%u/", host, port);
    bk_timer_init(&query->timer, on_timer);
    bk_list_append(&proxies->queries, &query->in);
    arm(query, 0);
    return query;
}

void bk_proxies_answer(struct bk_proxies *proxies, uint64_t token, const char *list,
                       const char *why)
{
    BK_LIST_EACH(&proxies->queries, it)
    {
        struct bk_proxy_query *query = bk_container_of(it, struct bk_proxy_query, in);
        if (query->token != token || query->stage != ASKED)
            continue;
        query->stage = ANSWERED;
        if (list)
            bk_proxy_roads_parse(&query->roads, bk_view_of_str(list));
        else
            (void)snprintf(query->roads.why, sizeof query->roads.why, "%s", why ? why : "");
        arm(query, 0);
        return;
    }
}

/* ---- refused passwords ---- */

static bool is_same(const struct bk_proxy *a, const struct bk_proxy *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0 && strcmp(a->login, b->login) == 0;
}

bool bk_proxies_login_usable(const struct bk_proxies *proxies, const struct bk_proxy *proxy)
{
    if (!proxy->login[0])
        return false;
    for (unsigned i = 0; i < REFUSED_MAX && i < proxies->n_refused; i++)
        if (is_same(&proxies->refused[i], proxy))
            return false;
    return true;
}

void bk_proxies_login_refused(struct bk_proxies *proxies, const struct bk_proxy *proxy)
{
    if (bk_proxies_login_usable(proxies, proxy))
        proxies->refused[proxies->n_refused++ % REFUSED_MAX] = *proxy;
}

void bk_proxies_forget_refusals(struct bk_proxies *proxies)
{
    bk_wipe(proxies->refused, sizeof proxies->refused);
    proxies->n_refused = 0;
}

int bk_proxies_create(const struct bk_proxies_config *config, struct bk_proxies **ret)
{
    struct bk_proxies *proxies = calloc(1, sizeof *proxies);
    if (!proxies)
        return -ENOMEM;
    proxies->config = *config;
    if (proxies->config.wait_ms <= 0)
        proxies->config.wait_ms = WAIT_MS;
    bk_list_init(&proxies->queries);
    *ret = proxies;
    return 0;
}

struct bk_proxies *bk_proxies_destroy(struct bk_proxies *proxies)
{
    if (!proxies)
        return NULL;
    bk_proxies_forget_refusals(proxies);
    free(proxies);
    return NULL;
}
