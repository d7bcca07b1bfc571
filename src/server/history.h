/* SPDX-License-Identifier: Apache-2.0 */
/* server/history.h - every attempt to sign in is kept, every refusal has a case code; and how fast one may fail. */
#ifndef BK_SERVER_HISTORY_H
#define BK_SERVER_HISTORY_H

#include "base/random.h"
#include "record/record.h"
#include "server/directory.h"

/*
 * One per store, shared by all threads (each call takes a short lock): it knows which rows may still get repeats, so two of them on
 * one store could hand out a case code that the other's row swallows. What it remembers is bounded; the rest is asked of the store.
 */
struct bk_history;
int bk_history_create(struct bk_store *store, const struct bk_clock *clock,
                      const struct bk_random *random, const struct bk_log *log,
                      const char *server_name /* fqdn for source="" */, struct bk_history **ret);
struct bk_history *bk_history_destroy(struct bk_history *history);

/* Who tries, as far as known. Views need to live during the call only. */
struct bk_attempt {
    struct bk_view address;  /* as typed */
    int64_t user_id;         /* 0: unknown */
    struct bk_view endpoint; /* instance id, device id or contact */
    struct bk_view client;   /* User-Agent, "beckon-cli/0.1.0" */
    struct bk_view device;
    struct bk_view ip;        /* text */
    uint64_t net_key;         /* bk_addr_net_key: /24, /64 */
    struct bk_view transport; /* "tls", "tcp", "udp", "https" */
    struct bk_view
        road; /* "https-password", "https-certificate", "sip-certificate", "sip-digest", "sip-tls-dsk", "sip-ntlm" */
    bool own_network;
};

/* Everything an answer on any road needs. */
struct bk_refusal {
    const struct bk_record *record; /* what is told: may be the neutral one */
    int status;                     /* of the road: SIP or HTTP */
    uint32_t diagnostics;
    char id[12]; /* "SI-208" */
    char case_code[BK_CASE_CODE_SIZE];
    char text[512];    /* user text, placeholders filled, one line of UTF-8 */
    int retry_after_s; /* 0: none */
};

/*
 * Writes the row (in the background; a repeat may be written a second later) and fills *ret for the answer. `cause` is what really happened; where the asker may not
 * know (neutral is true and the record is not marked neutral) *ret tells SI-202 instead, with the same case code. detail: a JSON
 * object with the server's half, no secrets; empty: {}. Repeats of address, cause and network within a minute share one row and code.
 * values: placeholder pairs for bk_record_text, ended by NULL; NULL: none.
 */
void bk_history_refuse(struct bk_history *history, const struct bk_attempt *attempt,
                       const struct bk_record *cause, bool neutral, bool sip, struct bk_view detail,
                       int retry_after_s, const char *const *values, struct bk_refusal *ret);
void bk_history_accept(struct bk_history *history, const struct bk_attempt *attempt,
                       struct bk_view detail);
/* The same row inside a batch of the caller's, where it must not be there without the rest. */
void bk_history_accept_in(struct bk_history *history, struct bk_store_batch *batch,
                          const struct bk_attempt *attempt, struct bk_view detail);
void bk_history_end(struct bk_history *history, struct bk_view address, struct bk_view endpoint,
                    enum bk_signin_end end);

/* `95208;reason="..";source="..";record="SI-208";case="K7QF-3M2P"` */
void bk_refusal_diagnostics(const struct bk_history *history, const struct bk_refusal *refusal,
                            struct bk_buf *to);
/* {"record","id","case","text","retry_after"} */
void bk_refusal_json(const struct bk_refusal *refusal, struct bk_buf *to);

/*
 * Failed attempts (docs/limits.md, "Failed sign-ins"): 10 a minute per account and net, 60 a minute per ip, then a
 * delay that doubles; the account itself is never locked for everybody. 0: go on; else seconds to wait (answer 503 + Retry-After).
 */
int bk_history_may_try(struct bk_history *history, const struct bk_attempt *attempt);
void bk_history_failed(struct bk_history *history, const struct bk_attempt *attempt);
/* Where the answer takes long (a password's hash) the failure is counted before it is known, and taken back by this. */
void bk_history_forgive(struct bk_history *history, const struct bk_attempt *attempt);

/* What an account's own state says; NULL: may sign in. Needs the right password or certificate first (SI-201). */
const struct bk_record *bk_judge_account(const struct bk_user *user, const struct bk_tenant *tenant,
                                         int64_t now_real_ms);

/* Drops rows older than policy says and forgotten message keys; call now and then (it looks at its own clock). */
void bk_history_sweep(struct bk_history *history, const struct bk_directory *dir);

#endif
