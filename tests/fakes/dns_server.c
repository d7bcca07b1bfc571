/* SPDX-License-Identifier: Apache-2.0 */
#include "fakes/dns_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECORDS_MAX = 128, ASKED_MAX = 512, MESSAGE_MAX = 4096, CLASS_IN = 1, CNAME_HOPS = 8 };
enum { RCODE_OK = 0, RCODE_SERVFAIL = 2, RCODE_NXDOMAIN = 3, RCODE_REFUSED = 5 };

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "dns server: %s failed\n", #condition);                                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct record {
    char name[256];
    int type; /* 0: every type */
    unsigned char data[600];
    size_t len;
    enum dns_fault fault;
};

struct asked {
    char name[256];
    int type;
};

struct dns_server {
    int fd, stop_fd;
    uint16_t port;
    pthread_t thread;
    pthread_mutex_t lock;
    struct record records[RECORDS_MAX], faults[RECORDS_MAX];
    int n_records, n_faults;
    struct asked asked[ASKED_MAX];
    int n_asked;
};

struct writer {
    unsigned char at[MESSAGE_MAX];
    size_t len;
};

static const struct {
    const char *name;
    int type;
} types[] = {
    { "A", 1 }, { "CNAME", 5 }, { "AAAA", 28 }, { "SRV", 33 }, { "NAPTR", 35 }, { "*", 0 }
};

static int type_of(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].type;
    MUST(!"known type");
    return 0;
}

static void put(struct writer *w, const void *at, size_t len)
{
    MUST(w->len + len <= sizeof w->at);
    memcpy(w->at + w->len, at, len);
    w->len += len;
}

static void put16(struct writer *w, unsigned n)
{
    put(w, (unsigned char[]){ (unsigned char)(n >> 8), (unsigned char)n }, 2);
}

/* Not compressed. */
static void put_name(struct writer *w, const char *name)
{
    while (*name && strcmp(name, ".") != 0) {
        size_t len = strcspn(name, ".");
        MUST(len > 0 && len < 64);
        put(w, (unsigned char[]){ (unsigned char)len }, 1);
        put(w, name, len);
        name += len;
        name += *name == '.';
    }
    put(w, "", 1);
}

static void put_string(struct writer *w, const char *text)
{
    put(w, (unsigned char[]){ (unsigned char)strlen(text) }, 1);
    put(w, text, strlen(text));
}

static void encode(int type, const char *data, struct writer *w)
{
    unsigned a, b, c;
    char x[256], y[256], z[256];
    switch (type) {
    case 1:
        MUST(inet_pton(AF_INET, data, w->at) == 1);
        w->len = 4;
        break;
    case 28:
        MUST(inet_pton(AF_INET6, data, w->at) == 1);
        w->len = 16;
        break;
    case 5:
        put_name(w, data);
        break;
    case 33:
        MUST(sscanf(data, "%u %u %u %255s", &a, &b, &c, x) == 4);
        put16(w, a);
        put16(w, b);
        put16(w, c);
        put_name(w, x);
        break;
    case 35:
        MUST(sscanf(data, "%u %u %255s %255s %255s", &a, &b, x, y, z) == 5);
        put16(w, a);
        put16(w, b);
        put_string(w, x);
        put_string(w, y);
        put_string(w, "");
        put_name(w, z);
        break;
    default:
        MUST(!"type that can be added");
    }
}

void dns_server_add(struct dns_server *s, const char *name, const char *type, const char *data)
{
    struct writer w = { .len = 0 };
    encode(type_of(type), data, &w);
    pthread_mutex_lock(&s->lock);
    MUST(s->n_records < RECORDS_MAX && w.len <= sizeof s->records[0].data);
    struct record *r = &s->records[s->n_records++];
    snprintf(r->name, sizeof r->name, "%s", name);
    r->type = type_of(type);
    r->len = w.len;
    memcpy(r->data, w.at, w.len);
    pthread_mutex_unlock(&s->lock);
}

void dns_server_fault(struct dns_server *s, const char *name, const char *type,
                      enum dns_fault fault)
{
    pthread_mutex_lock(&s->lock);
    MUST(s->n_faults < RECORDS_MAX);
    struct record *r = &s->faults[s->n_faults++];
    snprintf(r->name, sizeof r->name, "%s", name);
    r->type = type_of(type);
    r->fault = fault;
    pthread_mutex_unlock(&s->lock);
}

int dns_server_asked(struct dns_server *s, const char *name, const char *type)
{
    int n = 0, wanted = type_of(type);
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->n_asked; i++)
        n += strcasecmp(s->asked[i].name, name) == 0 && (!wanted || s->asked[i].type == wanted);
    pthread_mutex_unlock(&s->lock);
    return n;
}

static enum dns_fault fault_of(const struct dns_server *s, const char *name, int type)
{
    enum dns_fault fault = DNS_GOOD;
    for (int i = 0; i < s->n_faults; i++) {
        const struct record *r = &s->faults[i];
        if (strcasecmp(r->name, name) == 0 && (!r->type || r->type == type))
            fault = r->fault;
    }
    return fault;
}

static bool name_exists(const struct dns_server *s, const char *name)
{
    for (int i = 0; i < s->n_records; i++)
        if (strcasecmp(s->records[i].name, name) == 0)
            return true;
    return false;
}

static void put_record(struct writer *w, const struct record *r)
{
    put_name(w, r->name);
    put16(w, (unsigned)r->type);
    put16(w, CLASS_IN);
    put16(w, 0);
    put16(w, 60); /* TTL */
    put16(w, (unsigned)r->len);
    put(w, r->data, r->len);
}

static void name_of_data(const struct record *r, char to[256])
{
    size_t len = 0;
    for (size_t at = 0; at < r->len && r->data[at]; at += 1 + (size_t)r->data[at]) {
        MUST(len + r->data[at] + 1 < 256);
        if (len)
            to[len++] = '.';
        memcpy(to + len, r->data + at + 1, r->data[at]);
        len += r->data[at];
    }
    to[len] = '\0';
}

/* Appends what answers the question, CNAMEs first; the number of records. */
static unsigned put_answers(struct writer *w, const struct dns_server *s, const char *name,
                            int type)
{
    unsigned n = 0;
    char at[256];
    snprintf(at, sizeof at, "%s", name);
    for (int hop = 0; hop < CNAME_HOPS; hop++) {
        const struct record *cname = NULL;
        for (int i = 0; i < s->n_records; i++) {
            const struct record *r = &s->records[i];
            if (strcasecmp(r->name, at) != 0)
                continue;
            if (r->type == 5)
                cname = r;
            if (r->type == type || r->type == 5) {
                put_record(w, r);
                n++;
            }
        }
        if (!cname)
            break;
        name_of_data(cname, at);
    }
    return n;
}

/* The first question of a message; its length, 0: not readable. */
static size_t read_question(const unsigned char *m, size_t len, char name[256], int *type)
{
    size_t at = 12, n = 0;
    if (len < 12 || m[4] != 0 || m[5] != 1)
        return 0;
    while (at < len && m[at]) {
        size_t label = m[at];
        if (label > 63 || at + 1 + label >= len || n + label + 1 >= 256)
            return 0;
        if (n)
            name[n++] = '.';
        memcpy(name + n, m + at + 1, label);
        n += label;
        at += 1 + label;
    }
    name[n] = '\0';
    if (at + 5 > len)
        return 0;
    *type = m[at + 1] << 8 | m[at + 2];
    return at + 5 - 12;
}

/* False: no answer is to be sent. */
static bool answer(struct dns_server *s, const unsigned char *m, size_t len, struct writer *w)
{
    char name[256];
    int type;
    size_t question = read_question(m, len, name, &type);
    if (!question)
        return false;
    if (s->n_asked < ASKED_MAX) {
        struct asked *a = &s->asked[s->n_asked++];
        memcpy(a->name, name, sizeof a->name);
        a->type = type;
    }
    enum dns_fault fault = fault_of(s, name, type);
    if (fault == DNS_SILENT)
        return false;
    bool good = fault == DNS_GARBAGE || name_exists(s, name);
    unsigned rcode = good ? RCODE_OK : RCODE_NXDOMAIN;
    if (fault == DNS_SERVFAIL)
        rcode = RCODE_SERVFAIL;
    if (fault == DNS_REFUSED)
        rcode = RCODE_REFUSED;
    put(w, m, 2);
    put16(w, 0x8180 | rcode); /* an answer, recursion desired and available */
    put16(w, 1);
    put16(w, 0); /* number of answers, below */
    put16(w, 0);
    put16(w, 0);
    put(w, m + 12, question);
    unsigned n = 0;
    if (fault == DNS_GARBAGE) {
        put(w, "\x3fgarbage", 8);
        n = 3;
    } else if (rcode == RCODE_OK) {
        n = put_answers(w, s, name, type);
    }
    w->at[6] = (unsigned char)(n >> 8);
    w->at[7] = (unsigned char)n;
    return true;
}

static void *serve(void *arg)
{
    struct dns_server *s = arg;
    for (;;) {
        struct pollfd fds[2] = { { .fd = s->fd, .events = POLLIN },
                                 { .fd = s->stop_fd, .events = POLLIN } };
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[1].revents)
            return NULL;
        unsigned char m[MESSAGE_MAX];
        struct sockaddr_in from;
        socklen_t from_len = sizeof from;
        ssize_t len =
            recvfrom(s->fd, m, sizeof m, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
        if (len < 0)
            continue;
        struct writer w = { .len = 0 };
        pthread_mutex_lock(&s->lock);
        bool send = answer(s, m, (size_t)len, &w);
        pthread_mutex_unlock(&s->lock);
        if (send)
            sendto(s->fd, w.at, w.len, 0, (struct sockaddr *)&from, from_len);
    }
}

struct dns_server *dns_server_start(void)
{
    struct dns_server *s = calloc(1, sizeof *s);
    MUST(s);
    pthread_mutex_init(&s->lock, NULL);
    s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    s->stop_fd = eventfd(0, EFD_CLOEXEC);
    MUST(s->fd >= 0 && s->stop_fd >= 0);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof at;
    MUST(bind(s->fd, (struct sockaddr *)&at, sizeof at) == 0);
    MUST(getsockname(s->fd, (struct sockaddr *)&at, &len) == 0);
    s->port = ntohs(at.sin_port);
    MUST(pthread_create(&s->thread, NULL, serve, s) == 0);
    return s;
}

uint16_t dns_server_port(const struct dns_server *server)
{
    return server->port;
}

void dns_server_stop(struct dns_server *server)
{
    if (!server)
        return;
    MUST(eventfd_write(server->stop_fd, 1) == 0);
    pthread_join(server->thread, NULL);
    close(server->fd);
    close(server->stop_fd);
    pthread_mutex_destroy(&server->lock);
    free(server);
}
