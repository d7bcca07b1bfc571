/* SPDX-License-Identifier: Apache-2.0 */
/*
 * c-ares on the loop. A query of ours asks one or two questions of c-ares; answers are gathered in
 * the query, and its callback comes at the end of the wake-up, never from within the call that
 * asked. A cancelled query leaves its questions behind, which then answer to nobody.
 */
#include "net/dns.h"

#include "base/random.h"
#include "net/dns_private.h"
#include "net/loop_private.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    TRIES = 2,
    TIMEOUT_MS = 2500,
    SECOND_FAMILY_MS =
        50, /* RFC 8305 section 3: so long the first family's addresses wait for the second's */
    ADDRS_MAX = 32,
    RECORDS_MAX = 64,
};

struct socket_event {
    struct bk_list in;
    struct bk_dns *dns;
    ares_socket_t fd;
    struct event *event;
};

struct bk_dns {
    struct bk_loop *loop;
    /*
     * c-ares tries the next server after SERVFAIL or REFUSED, and when all did so it reports the
     * same as when nobody could be asked. `plain` hands such answers on; it is asked once more in
     * that case, to tell the two apart.
     */
    ares_channel channel, plain;
    bool system_servers;
    int timeout_ms;
    struct bk_list sockets;
    struct bk_list queries;
    struct bk_list finished;
    struct bk_timer timer;
    struct bk_loop_hook hook;
};

enum kind { KIND_SRV, KIND_HOST, KIND_NAPTR, KIND_TARGETS };

struct bk_dns_query {
    struct bk_list in; /* dns->queries, then dns->finished */
    struct bk_dns *dns;
    enum kind kind;
    enum bk_dns_result result;
    int n_asked;
    struct question *questions; /* not answered yet */
    struct bk_timer second_family;
    void *ctx;
    union {
        struct {
            void (*done)(void *ctx, enum bk_dns_result result, const struct bk_dns_srv *records,
                         int n);
            struct bk_dns_srv *records;
            int n;
        } srv;
        struct {
            void (*done)(void *ctx, enum bk_dns_result result, const struct bk_dns_naptr *records,
                         int n);
            struct bk_dns_naptr *records;
            int n;
        } naptr;
        struct {
            void (*done)(void *ctx, enum bk_dns_result result, const struct bk_addr *addrs, int n);
            struct bk_addr v6[ADDRS_MAX], v4[ADDRS_MAX];
            int n_v6, n_v4;
            uint16_t port;
            bool failed, no_name;
            enum bk_dns_result failure;
        } host;
        struct bk_dns_targets *targets;
    };
};

/* One c-ares query. */
struct question {
    struct bk_dns_query *query; /* NULL: nobody waits any more */
    struct question *next;
    struct bk_dns *dns;
    int type;
    bool again; /* already the second time, on the plain channel */
    char name[256];
};

const char *bk_dns_result_text(enum bk_dns_result result)
{
    switch (result) {
    case BK_DNS_FOUND:
        return "found";
    case BK_DNS_NO_NAME:
        return "the name does not exist";
    case BK_DNS_NO_DATA:
        return "the name exists, but not with this record";
    case BK_DNS_SERVER_FAILED:
        return "the name server reports a failure";
    case BK_DNS_TIMEOUT:
        return "the name server does not answer";
    case BK_DNS_UNREACHABLE:
        return "no name server could be asked";
    }
    return "unknown";
}

static enum bk_dns_result result_of(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return BK_DNS_FOUND;
    case ARES_ENOTFOUND:
    case ARES_EBADNAME:
        return BK_DNS_NO_NAME;
    case ARES_ENODATA:
        return BK_DNS_NO_DATA;
    case ARES_ETIMEOUT:
        return BK_DNS_TIMEOUT;
    case ARES_ECONNREFUSED:
    case ARES_EFILE:
        return BK_DNS_UNREACHABLE;
    default:
        return BK_DNS_SERVER_FAILED;
    }
}

/* ---- c-ares on the loop ---- */

static void arm(struct bk_dns *dns)
{
    struct timeval a = { 0 }, b = { 0 };
    struct timeval *next = ares_timeout(dns->channel, NULL, &a);
    struct timeval *other = dns->plain ? ares_timeout(dns->plain, NULL, &b) : NULL;
    if (other && (!next || timercmp(other, next, <)))
        next = other;
    if (!next) {
        bk_timer_disarm(&dns->loop->timers, &dns->timer);
        return;
    }
    int64_t in_ms = (int64_t)next->tv_sec * 1000 + next->tv_usec / 1000 + 1;
    bk_timer_arm(&dns->loop->timers, &dns->timer, bk_clock_mono_ms(&dns->loop->clock) + in_ms);
}

static void process(struct bk_dns *dns, ares_socket_t readable, ares_socket_t writable)
{
    ares_process_fd(dns->channel, readable, writable);
    ares_process_fd(dns->plain, readable,
                    writable); /* a descriptor that is not its own is skipped */
    arm(dns);
}

static void on_timer(struct bk_timer *timer)
{
    process(bk_container_of(timer, struct bk_dns, timer), ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct bk_dns *dns = ((struct socket_event *)arg)->dns;
    bk_loop_woken(dns->loop);
    process(dns, what & EV_READ ? fd : ARES_SOCKET_BAD, what & EV_WRITE ? fd : ARES_SOCKET_BAD);
}

static void socket_event_free(struct socket_event *s)
{
    bk_list_remove(&s->in);
    if (s->event)
        event_free(s->event);
    free(s);
}

static void socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct bk_dns *dns = arg;
    struct socket_event *s = NULL;
    BK_LIST_EACH(&dns->sockets, it)
    {
        struct socket_event *known = bk_container_of(it, struct socket_event, in);
        if (known->fd == fd)
            s = known;
    }
    if (!readable && !writable) {
        if (s)
            socket_event_free(s);
        return;
    }
    if (!s) {
        s = calloc(1, sizeof *s);
        if (!s)
            return; /* the question times out */
        s->dns = dns;
        s->fd = fd;
        bk_list_append(&dns->sockets, &s->in);
    }
    if (s->event)
        event_free(s->event);
    short what = (short)(EV_PERSIST | (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
    s->event = event_new(dns->loop->base, fd, what, on_socket, s);
    if (s->event)
        event_add(s->event, NULL);
}

static int open_channel(struct bk_dns *dns, const char *servers, int timeout_ms, int flags,
                        ares_channel *ret)
{
    struct ares_options options = { .flags = flags,
                                    .timeout = timeout_ms,
                                    .tries = TRIES,
                                    .sock_state_cb = socket_state,
                                    .sock_state_cb_data = dns };
    ares_channel channel;
    int status = ares_init_options(&channel, &options,
                                   ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                                       ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS)
        return status == ARES_ENOMEM ? -ENOMEM : -EIO;
    if (servers && ares_set_servers_ports_csv(channel, servers) != ARES_SUCCESS) {
        ares_destroy(channel);
        return -EINVAL;
    }
    *ret = channel;
    return 0;
}

static int open_both(struct bk_dns *dns, const char *servers, ares_channel *ret_channel,
                     ares_channel *ret_plain)
{
    ares_channel channel;
    int r = open_channel(dns, servers, dns->timeout_ms, ARES_FLAG_NOSEARCH, &channel);
    if (r < 0)
        return r;
    r = open_channel(dns, servers, dns->timeout_ms, ARES_FLAG_NOSEARCH | ARES_FLAG_NOCHECKRESP,
                     ret_plain);
    if (r < 0)
        ares_destroy(channel);
    else
        *ret_channel = channel;
    return r;
}

/* ---- queries ---- */

static void query_free(struct bk_dns_query *query)
{
    for (struct question *q = query->questions; q; q = q->next)
        q->query = NULL;
    bk_timer_disarm(&query->dns->loop->timers, &query->second_family);
    bk_list_remove(&query->in);
    if (query->kind == KIND_SRV)
        free(query->srv.records);
    else if (query->kind == KIND_NAPTR)
        free(query->naptr.records);
    else if (query->kind == KIND_TARGETS)
        bk_dns_targets_free(query->targets);
    free(query);
}

static void finish(struct bk_dns_query *query, enum bk_dns_result result)
{
    query->result = result;
    bk_list_remove(&query->in);
    bk_list_append(&query->dns->finished, &query->in);
    query->dns->loop->no_sleep = true;
}

static void on_second_family(struct bk_timer *timer)
{
    finish(bk_container_of(timer, struct bk_dns_query, second_family), BK_DNS_FOUND);
}

static struct bk_dns_query *query_new(struct bk_dns *dns, enum kind kind, void *ctx)
{
    struct bk_dns_query *query = calloc(1, sizeof *query);
    if (!query)
        return NULL;
    query->dns = dns;
    query->kind = kind;
    query->ctx = ctx;
    bk_timer_init(&query->second_family, on_second_family);
    bk_list_init(&query->in);
    bk_list_append(&dns->queries, &query->in);
    return query;
}

static void forget_question(struct question *q)
{
    if (!q->query)
        return;
    struct question **at = &q->query->questions;
    while (*at != q)
        at = &(*at)->next;
    *at = q->next;
    q->query->n_asked--;
}

static void answered(struct bk_dns_query *query, int type, int status, const unsigned char *bytes,
                     int len);

static void on_answer(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
    (void)timeouts;
    struct question *q = arg;
    struct bk_dns *dns = q->dns;
    bool ends = status == ARES_EDESTRUCTION || status == ARES_ECANCELLED;
    if (q->query && status == ARES_ECONNREFUSED && !q->again) {
        q->again = true;
        ares_query(dns->plain, q->name, C_IN, q->type, on_answer, q);
        return;
    }
    struct bk_dns_query *query = q->query;
    int type = q->type;
    forget_question(q);
    free(q);
    if (query && !ends)
        answered(query, type, status, bytes, len);
}

static bool ask(struct bk_dns_query *query, const char *name, int type)
{
    struct question *q = calloc(1, sizeof *q);
    if (!q)
        return false;
    q->dns = query->dns;
    q->query = query;
    q->type = type;
    size_t len = strnlen(name, sizeof q->name - 1);
    memcpy(q->name, name, len);
    q->next = query->questions;
    query->questions = q;
    query->n_asked++;
    ares_query(query->dns->channel, q->name, C_IN, type, on_answer, q);
    return true;
}

/* ---- SRV ---- */

static int by_priority(const void *a, const void *b)
{
    const struct bk_dns_srv *x = a, *y = b;
    if (x->priority != y->priority)
        return x->priority < y->priority ? -1 : 1;
    return (x->weight != 0) - (y->weight != 0); /* RFC 2782: those of weight 0 first */
}

/* One of n records of the same priority, each as likely as its weight says (RFC 2782). */
static int draw(const struct bk_dns_srv *records, int n, const struct bk_random *random)
{
    uint64_t sum = 0;
    for (int i = 0; i < n; i++)
        sum += records[i].weight;
    uint64_t drawn = bk_random_u64(random) % (sum + 1), running = 0;
    for (int i = 0; i < n; i++) {
        running += records[i].weight;
        if (running >= drawn)
            return i;
    }
    return n - 1;
}

void bk_dns_srv_order(struct bk_dns_srv *records, int n, const struct bk_random *random)
{
    qsort(records, (size_t)n, sizeof *records, by_priority);
    for (int at = 0; at < n; at++) {
        int same = at;
        while (same < n && records[same].priority == records[at].priority)
            same++;
        int drawn = at + draw(records + at, same - at, random);
        struct bk_dns_srv first = records[drawn];
        memmove(records + at + 1, records + at, (size_t)(drawn - at) * sizeof *records);
        records[at] = first;
    }
}

static void copy_name(char to[256], const char *from)
{
    size_t len = strnlen(from, 255);
    memcpy(to, from, len);
    to[len] = '\0';
    if (strcmp(to, ".") == 0)
        to[0] = '\0';
}

static enum bk_dns_result take_srv(struct bk_dns_query *query, const unsigned char *bytes, int len)
{
    struct ares_srv_reply *all = NULL;
    int status = ares_parse_srv_reply(bytes, len, &all);
    if (status != ARES_SUCCESS)
        return status == ARES_ENODATA ? BK_DNS_NO_DATA : BK_DNS_SERVER_FAILED;
    int n = 0;
    for (struct ares_srv_reply *r = all; r; r = r->next)
        n++;
    n = n < RECORDS_MAX ? n : RECORDS_MAX;
    query->srv.records = calloc((size_t)n, sizeof *query->srv.records);
    struct ares_srv_reply *r = all;
    for (int i = 0; query->srv.records && i < n; i++, r = r->next) {
        struct bk_dns_srv *to = &query->srv.records[i];
        to->priority = r->priority;
        to->weight = r->weight;
        to->port = r->port;
        copy_name(to->target, r->host);
    }
    ares_free_data(all);
    if (!query->srv.records)
        return BK_DNS_SERVER_FAILED;
    query->srv.n = n;
    bk_dns_srv_order(query->srv.records, n, &bk_random_system);
    return n ? BK_DNS_FOUND : BK_DNS_NO_DATA;
}

struct bk_dns_query *bk_dns_srv(struct bk_dns *dns, const char *name,
                                void (*done)(void *ctx, enum bk_dns_result result,
                                             const struct bk_dns_srv *records, int n),
                                void *ctx)
{
    struct bk_dns_query *query = query_new(dns, KIND_SRV, ctx);
    if (!query)
        return NULL;
    query->srv.done = done;
    if (!ask(query, name, T_SRV)) {
        query_free(query);
        return NULL;
    }
    arm(dns);
    return query;
}

/* ---- NAPTR ---- */

static int by_order(const void *a, const void *b)
{
    const struct bk_dns_naptr *x = a, *y = b;
    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    return (x->preference > y->preference) - (x->preference < y->preference);
}

static enum bk_dns_result take_naptr(struct bk_dns_query *query, const unsigned char *bytes,
                                     int len)
{
    struct ares_naptr_reply *all = NULL;
    int status = ares_parse_naptr_reply(bytes, len, &all);
    if (status != ARES_SUCCESS)
        return status == ARES_ENODATA ? BK_DNS_NO_DATA : BK_DNS_SERVER_FAILED;
    query->naptr.records = calloc(RECORDS_MAX, sizeof *query->naptr.records);
    int n = 0;
    for (struct ares_naptr_reply *r = all; r && query->naptr.records && n < RECORDS_MAX;
         r = r->next) {
        const char *flags = (const char *)r->flags, *service = (const char *)r->service;
        /* RFC 3263 knows the flag "s" only: the replacement is to be asked for SRV. */
        if (strcasecmp(flags, "s") != 0 || strlen(service) >= sizeof query->naptr.records->service)
            continue;
        struct bk_dns_naptr *to = &query->naptr.records[n++];
        to->order = r->order;
        to->preference = r->preference;
        memcpy(to->service, service, strlen(service) + 1);
        copy_name(to->replacement, r->replacement);
    }
    ares_free_data(all);
    if (!query->naptr.records)
        return BK_DNS_SERVER_FAILED;
    query->naptr.n = n;
    qsort(query->naptr.records, (size_t)n, sizeof *query->naptr.records, by_order);
    return n ? BK_DNS_FOUND : BK_DNS_NO_DATA;
}

struct bk_dns_query *bk_dns_naptr(struct bk_dns *dns, const char *name,
                                  void (*done)(void *ctx, enum bk_dns_result result,
                                               const struct bk_dns_naptr *records, int n),
                                  void *ctx)
{
    struct bk_dns_query *query = query_new(dns, KIND_NAPTR, ctx);
    if (!query)
        return NULL;
    query->naptr.done = done;
    if (!ask(query, name, T_NAPTR)) {
        query_free(query);
        return NULL;
    }
    arm(dns);
    return query;
}

/* ---- addresses ---- */

static void add_addr(struct bk_dns_query *query, int family, const void *bytes)
{
    struct bk_addr a = { 0 };
    if (family == AF_INET && query->host.n_v4 < ADDRS_MAX) {
        a.v4.sin_family = AF_INET;
        a.v4.sin_port = htons(query->host.port);
        memcpy(&a.v4.sin_addr, bytes, sizeof a.v4.sin_addr);
        a.len = sizeof a.v4;
        query->host.v4[query->host.n_v4++] = a;
    } else if (family == AF_INET6 && query->host.n_v6 < ADDRS_MAX) {
        a.v6.sin6_family = AF_INET6;
        a.v6.sin6_port = htons(query->host.port);
        memcpy(&a.v6.sin6_addr, bytes, sizeof a.v6.sin6_addr);
        a.len = sizeof a.v6;
        query->host.v6[query->host.n_v6++] = a;
    }
}

static enum bk_dns_result take_addrs(struct bk_dns_query *query, int type,
                                     const unsigned char *bytes, int len)
{
    struct hostent *host = NULL;
    int status = type == T_A ? ares_parse_a_reply(bytes, len, &host, NULL, NULL)
                             : ares_parse_aaaa_reply(bytes, len, &host, NULL, NULL);
    if (status != ARES_SUCCESS)
        return status == ARES_ENODATA ? BK_DNS_NO_DATA : BK_DNS_SERVER_FAILED;
    int n = 0;
    for (; host->h_addr_list[n]; n++)
        add_addr(query, host->h_addrtype, host->h_addr_list[n]);
    ares_free_hostent(host);
    return n ? BK_DNS_FOUND : BK_DNS_NO_DATA;
}

/* Neither family has an address: a failure may hide one, and a name that is not there is not there for both. */
static enum bk_dns_result without_address(const struct bk_dns_query *query)
{
    if (query->host.no_name)
        return BK_DNS_NO_NAME;
    return query->host.failed ? query->host.failure : BK_DNS_NO_DATA;
}

static void host_answered(struct bk_dns_query *query, enum bk_dns_result result)
{
    if (result == BK_DNS_NO_NAME) {
        query->host.no_name = true;
    } else if (result != BK_DNS_FOUND && result != BK_DNS_NO_DATA) {
        query->host.failed = true;
        query->host.failure = result;
    }
    bool found = query->host.n_v4 + query->host.n_v6 > 0;
    if (query->n_asked == 0)
        finish(query, found ? BK_DNS_FOUND : without_address(query));
    else if (found)
        bk_timer_arm(&query->dns->loop->timers, &query->second_family,
                     bk_clock_mono_ms(&query->dns->loop->clock) + SECOND_FAMILY_MS);
}

/* RFC 6761 6.3: a name that needs no resolver and must reach none. */
static bool is_localhost(const char *name)
{
    struct bk_view v = bk_view_of_str(name);
    if (v.len && v.at[v.len - 1] == '.')
        v.len--;
    static const char tail[] = ".localhost";
    return bk_view_equal_nocase(v, BK_VIEW("localhost")) ||
           (v.len > sizeof tail - 1 &&
            bk_view_equal_nocase(bk_view_skip(v, v.len - (sizeof tail - 1)), bk_view_of_str(tail)));
}

/* /etc/hosts, which only counts where the system's resolver does. */
static void ask_hosts_file(struct bk_dns_query *query, const char *name)
{
    static const int families[] = { AF_INET6, AF_INET };
    for (int i = 0; i < 2; i++) {
        struct hostent *host = NULL;
        if (ares_gethostbyname_file(query->dns->channel, name, families[i], &host) != ARES_SUCCESS)
            continue;
        for (int n = 0; host->h_addr_list[n]; n++)
            add_addr(query, host->h_addrtype, host->h_addr_list[n]);
        ares_free_hostent(host);
    }
}

static bool answer_without_asking(struct bk_dns_query *query, const char *name)
{
    struct bk_addr literal;
    if (bk_addr_parse(name, query->host.port, &literal) == 0) {
        bool v4 = literal.sa.sa_family == AF_INET;
        add_addr(query, literal.sa.sa_family,
                 v4 ? (void *)&literal.v4.sin_addr : (void *)&literal.v6.sin6_addr);
    } else if (is_localhost(name)) {
        struct in_addr v4 = { htonl(INADDR_LOOPBACK) };
        add_addr(query, AF_INET6, &in6addr_loopback);
        add_addr(query, AF_INET, &v4);
    } else if (query->dns->system_servers) {
        ask_hosts_file(query, name);
    }
    return query->host.n_v4 + query->host.n_v6 > 0;
}

struct bk_dns_query *bk_dns_host(struct bk_dns *dns, const char *name, uint16_t port,
                                 void (*done)(void *ctx, enum bk_dns_result result,
                                              const struct bk_addr *addrs, int n),
                                 void *ctx)
{
    struct bk_dns_query *query = query_new(dns, KIND_HOST, ctx);
    if (!query)
        return NULL;
    query->host.done = done;
    query->host.port = port;
    if (answer_without_asking(query, name)) {
        finish(query, BK_DNS_FOUND);
        return query;
    }
    query->n_asked = 1; /* so that an answer that comes at once is not taken for the last */
    bool asked = ask(query, name, T_AAAA) && ask(query, name, T_A);
    query->n_asked--;
    if (!asked) {
        query_free(query);
        return NULL;
    }
    if (query->n_asked == 0)
        host_answered(query, BK_DNS_NO_DATA); /* both answered at once; their results are kept */
    arm(dns);
    return query;
}

/* ---- answers ---- */

static void answered(struct bk_dns_query *query, int type, int status, const unsigned char *bytes,
                     int len)
{
    enum bk_dns_result result = result_of(status);
    switch (query->kind) {
    case KIND_SRV:
        finish(query, result == BK_DNS_FOUND ? take_srv(query, bytes, len) : result);
        break;
    case KIND_NAPTR:
        finish(query, result == BK_DNS_FOUND ? take_naptr(query, bytes, len) : result);
        break;
    case KIND_HOST:
        host_answered(query, result == BK_DNS_FOUND ? take_addrs(query, type, bytes, len) : result);
        break;
    case KIND_TARGETS:
        break; /* asks nothing itself */
    }
}

static void say_host(struct bk_dns_query *query)
{
    struct bk_addr addrs[2 * ADDRS_MAX];
    int n = 0;
    for (int i = 0; i < ADDRS_MAX; i++) {
        if (i < query->host.n_v6)
            addrs[n++] = query->host.v6[i];
        if (i < query->host.n_v4)
            addrs[n++] = query->host.v4[i];
    }
    query->host.done(query->ctx, query->result, addrs, n);
}

static void say_finished(struct bk_loop_hook *hook)
{
    struct bk_dns *dns = bk_container_of(hook, struct bk_dns, hook);
    struct bk_list
        now; /* what callbacks ask for and is answered at once comes in the next wake-up */
    bk_list_init(&now);
    while (!bk_list_empty(&dns->finished)) {
        struct bk_list *in = dns->finished.next;
        bk_list_remove(in);
        bk_list_append(&now, in);
    }
    while (!bk_list_empty(&now)) {
        struct bk_dns_query *query = bk_container_of(now.next, struct bk_dns_query, in);
        bk_list_remove(&query->in);
        switch (query->kind) {
        case KIND_SRV:
            query->srv.done(query->ctx, query->result, query->srv.records, query->srv.n);
            break;
        case KIND_NAPTR:
            query->naptr.done(query->ctx, query->result, query->naptr.records, query->naptr.n);
            break;
        case KIND_HOST:
            say_host(query);
            break;
        case KIND_TARGETS:
            bk_dns_targets_say(query->targets, query->result);
            break;
        }
        query_free(query);
    }
}

void bk_dns_cancel(struct bk_dns_query *query)
{
    if (query)
        query_free(query);
}

struct bk_dns_query *bk_dns_targets_query(struct bk_dns *dns, struct bk_dns_targets *targets)
{
    struct bk_dns_query *query = query_new(dns, KIND_TARGETS, NULL);
    if (query)
        query->targets = targets;
    return query;
}

void bk_dns_targets_done(struct bk_dns_query *query, enum bk_dns_result result)
{
    finish(query, result);
}

/* ---- the resolver ---- */

static pthread_once_t ares_once = PTHREAD_ONCE_INIT;
static int ares_status;

static void init_ares(void)
{
    ares_status = ares_library_init(ARES_LIB_INIT_ALL);
}

int bk_dns_create(struct bk_loop *loop, const char *servers, int timeout_ms, struct bk_dns **ret)
{
    pthread_once(&ares_once, init_ares);
    if (ares_status != ARES_SUCCESS)
        return -ENOMEM;
    struct bk_dns *dns = calloc(1, sizeof *dns);
    if (!dns)
        return -ENOMEM;
    dns->loop = loop;
    dns->system_servers = !servers;
    bk_list_init(&dns->sockets);
    bk_list_init(&dns->queries);
    bk_list_init(&dns->finished);
    bk_timer_init(&dns->timer, on_timer);
    bk_list_init(&dns->hook.in);
    dns->hook.run = say_finished;
    dns->timeout_ms = timeout_ms > 0 ? timeout_ms : TIMEOUT_MS;
    int r = open_both(dns, servers, &dns->channel, &dns->plain);
    if (r < 0) {
        bk_dns_destroy(dns);
        return r;
    }
    bk_loop_hook_add(loop, &dns->hook);
    *ret = dns;
    return 0;
}

int bk_dns_reread(struct bk_dns *dns)
{
    ares_channel before = dns->channel, plain_before = dns->plain, channel, plain;
    if (!dns->system_servers)
        return 0;
    if (!bk_list_empty(&dns->queries))
        return -EBUSY;
    int r = open_both(dns, NULL, &channel, &plain);
    if (r < 0)
        return r;
    dns->channel = channel;
    dns->plain = plain;
    /* Questions that nobody waits for any more end here. */
    ares_destroy(before);
    ares_destroy(plain_before);
    arm(dns);
    return 0;
}

struct bk_dns *bk_dns_destroy(struct bk_dns *dns)
{
    if (!dns)
        return NULL;
    while (!bk_list_empty(&dns->queries))
        query_free(bk_container_of(dns->queries.next, struct bk_dns_query, in));
    while (!bk_list_empty(&dns->finished))
        query_free(bk_container_of(dns->finished.next, struct bk_dns_query, in));
    if (dns->channel)
        ares_destroy(dns->channel);
    if (dns->plain)
        ares_destroy(dns->plain);
    while (!bk_list_empty(&dns->sockets))
        socket_event_free(bk_container_of(dns->sockets.next, struct socket_event, in));
    bk_timer_disarm(&dns->loop->timers, &dns->timer);
    bk_list_remove(&dns->hook.in);
    free(dns);
    return NULL;
}
