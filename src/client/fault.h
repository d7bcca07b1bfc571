/* SPDX-License-Identifier: Apache-2.0 */
/* client/fault.h - what was tried, what came of it, and which record that is. */
#ifndef BK_CLIENT_FAULT_H
#define BK_CLIENT_FAULT_H

#include "base/arena.h"
#include "client/client.h"
#include "net/http.h"

/* One fault, before it is told. record NULL: nothing went wrong. */
struct bk_fault {
    const struct bk_record *record;
    char server[288];                  /* host[:port] it is about, for {server} */
    char why[200];                     /* for {why} */
    char detail[400];                  /* for the administrator */
    char text[1025];                   /* the server's own words; "": the table's */
    char case_code[BK_CASE_CODE_SIZE]; /* "": none */
    int minutes;                       /* of clock skew */
    int retry_after_s;                 /* 0: not told */
    bool fatal;                        /* even where the record alone is not */
    bool silent; /* nothing came back at all: no proof that there is a network */
};

void bk_fault_set(struct bk_fault *fault, unsigned number, char sub, const char *server,
                  const char *why, const char *detail);

/* What a server means that names no record, only the number of [MS-OCER]. NULL: one that nothing here has. */
const struct bk_record *bk_fault_record_of_id(struct bk_view diagnostics);

/* The records of the catalogue for what net/ reports. */
void bk_fault_of_tls(struct bk_fault *fault, enum bk_tls_fault tls, const char *server,
                     const char *detail);
void bk_fault_of_conn(struct bk_fault *fault, enum bk_conn_end end, enum bk_tls_fault tls,
                      const char *server, const char *detail);
void bk_fault_of_dns(struct bk_fault *fault, enum bk_dns_result result, const char *name);
/* What a proxy did, asked for the way to server: SI-306 for what is its own doing, SI-302 where it says that the server is not there. */
void bk_fault_of_proxy(struct bk_fault *fault, const struct bk_tunnel_answer *tunnel,
                       enum bk_conn_end end, const char *proxy, const char *server);
/* Its name has no address. */
void bk_fault_of_proxy_name(struct bk_fault *fault, enum bk_dns_result result, const char *proxy);
/* A call that brought no HTTP answer. */
void bk_fault_of_http(struct bk_fault *fault, const struct bk_http_result *result,
                      const char *server);

/*
 * The rows of one attempt to sign in, in order. The rows are the list that SI-301 shows and the report to
 * the server carries; the judgement over all of them is the fault of the attempt.
 */
enum { BK_TRIED_MAX = 40 };
struct bk_tried_row {
    char kind[12];
    char name[288];
    char result[96];
    struct bk_fault fault;
};
struct bk_tried {
    struct bk_tried_row *rows; /* from malloc, BK_TRIED_MAX of them, or NULL */
    int n;
};
void bk_tried_clear(struct bk_tried *tried);
void bk_tried_finish(struct bk_tried *tried);
/* fault NULL: it went well. Rows past the maximum are dropped. */
void bk_tried_add(struct bk_tried *tried, const char *kind, const char *name, const char *result,
                  const struct bk_fault *fault);
/*
 * Everything failed: which fault is the root? What came nearest to the server tells most: TLS before
 * connections, these before wrong answers, these before missing names. Where only names were asked: no
 * resolver at all is SI-312, a resolver that failed SI-303a, and nothing but "no such name" SI-301. Where nobody said
 * anything, to names or to connections, it is SI-312 too. A port that stays silent while HTTPS worked is filtered (SI-307).
 */
void bk_tried_judge(const struct bk_tried *tried, const char *domain, struct bk_fault *ret);

/* Fills the event's failure from a fault; texts are made in the arena. -ENOMEM. */
int bk_fault_tell(const struct bk_fault *fault, const struct bk_tried *tried, const char *address,
                  const char *domain, struct bk_arena *arena, struct bk_client_failure *ret);

/* A date as TLS details carry it ("not before 2026-11-22T05:26:04Z"). -ENOENT. */
int bk_fault_detail_time(const char *detail, const char *label, int64_t *ret_real_ms);

#endif
