/* SPDX-License-Identifier: Apache-2.0 */
/* client/answers.h - the JSON documents a server hands out (docs/https.md), read strictly. Pure. */
#ifndef BK_CLIENT_ANSWERS_H
#define BK_CLIENT_ANSWERS_H

#include "base/arena.h"
#include "base/buf.h"

enum { BK_ANSWER_BYTES_MAX = 256 * 1024, BK_ANSWER_SERVERS_MAX = 8 };

struct bk_answer_server {
    char host[256];
    uint16_t port;
    bool internal;
};

enum bk_answer_method {
    BK_ANSWER_PASSWORD = 1 << 0,
    BK_ANSWER_KERBEROS = 1 << 1,
    BK_ANSWER_CARD = 1 << 2,
};

/* Texts are copied to the arena, NUL-terminated; "" where the field is missing and may be. */
struct bk_answer_discovery {
    const char *domain;
    const char *services; /* "https://srv.example.com/beckon/v1/", ends with '/' */
    const char *min_client, *help;
    struct bk_answer_server servers[BK_ANSWER_SERVERS_MAX];
    int n_servers;
    unsigned methods; /* enum bk_answer_method */
    bool user_required;
};
/* 0; -EBADMSG with *ret_why naming the field (static text); -ENOMEM. *ret is untouched on failure. */
int bk_answer_discovery_parse(struct bk_view json, struct bk_arena *arena,
                              struct bk_answer_discovery *ret, const char **ret_why);

/* Of `sign-in` and `renew`. */
struct bk_answer_signin {
    const char *certificate; /* PEM, one certificate */
    const char *chain;       /* PEM, may be "" */
    const char *address;
    int64_t not_after_ms, renew_after_ms; /* renew_after 0: not told */
    struct bk_answer_server servers[BK_ANSWER_SERVERS_MAX];
    int n_servers;
};
int bk_answer_signin_parse(struct bk_view json, struct bk_arena *arena,
                           struct bk_answer_signin *ret, const char **ret_why);

/* What stands in a refusal's body, or in X-Ms-diagnostics where the body is somebody else's page. */
struct bk_answer_refusal {
    const char *record;    /* "SI-208"; "" */
    const char *case_code; /* in its usual spelling; "" */
    const char *text;      /* for the person; "" */
    int retry_after_s;     /* 0: not told; at most a day */
};
/* Always gives an answer, an empty one where nothing was readable. -ENOMEM. */
int bk_answer_refusal_parse(struct bk_view json, struct bk_view diagnostics, struct bk_arena *arena,
                            struct bk_answer_refusal *ret);

/*
 * The devices that the body of a refused REGISTER names (SI-215), as "beckon/0.1.0 since 2026-11-23T01:24:07Z, ..."; nothing where it names
 * none.
 */
void bk_answer_devices(struct bk_view json, struct bk_buf *ret);

/* "host", "host:port", "[v6]:port", "v4:port". -EINVAL. */
int bk_answer_host_port(struct bk_view text, uint16_t default_port, struct bk_answer_server *ret);

/* Does host belong to domain: equal, or a name below it (any case). */
bool bk_answer_host_in_domain(struct bk_view host, struct bk_view domain);

/* Compares "0.10.2" as numbers: <0, 0, >0; what is not a number counts as 0. */
int bk_answer_version_compare(struct bk_view a, struct bk_view b);

#endif
