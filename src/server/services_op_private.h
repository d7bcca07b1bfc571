/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/services_op_private.h - a request that takes a while: its body is read, then its kind begins it; a worker hashes
 * and signs; a batch is committed; then it is answered. Each function that answers also ends it: nothing of the op may be
 * touched behind such a call. Where a function returns false, it was answered.
 */
#ifndef BK_SERVER_SERVICES_OP_PRIVATE_H
#define BK_SERVER_SERVICES_OP_PRIVATE_H

#include "ms/certprov.h"
#include "server/services_private.h"

struct op {
    struct bk_services *services;
    const struct services_route *route;
    struct bk_http_exchange *x; /* NULL: nobody waits any more */
    struct bk_directory *dir;
    struct bk_arena arena;
    json_t *
        json; /* the body; NULL: none is read. Views below point into it, into arena, or into secret */
    struct bk_buf secret; /* wiped at the end */
    struct bk_attempt attempt;
    char ip[64];

    struct bk_view address, username; /* lower case; username empty: none given */
    struct bk_view password, new_password, csr;
    struct bk_view device_id, device_name, device_kind;
    bool has_time;
    int64_t theirs_ms;
    bool waited, reporting; /* a report: earlier batches are on disk; its own was handed over */

    bool found; /* user is filled */
    struct bk_user user;
    struct bk_certificate present; /* the one shown */
    const char *why_unknown;

    struct bk_ms_rst ticket_request; /* a web ticket is asked for ... */
    enum bk_ms_service service;      /* ... for this */
    struct bk_ms_cert_request cert_request;

    /* what the worker reads */
    struct bk_view hash;
    bool prove, issue, make_hash;
    int64_t now_ms, life_ms;
    struct bk_view issue_for;
    /* what it writes */
    bool right;
    int issue_result, hash_result;
    const char *issue_why;
    struct bk_buf certificate, new_hash;
    struct bk_issued issued;
};

/* device_kind of Lync-compatible clients, which ask for a certificate at every start: a new one takes the place of the device's last. */
#define OP_DEVICE_LYNC "lync"

struct op_kind {
    const char *road; /* in the history */
    const char
        *needs[3];     /* members that must be there and not empty, in the order they are missed */
    bool old_password; /* the password to prove is the member "old" */
    /* Reads the request; false: it was answered. NULL: op_read_body. */
    bool (*read)(struct op *op, const struct bk_http_request *request);
    void (*begin)(struct op *op);
    void (*worked)(
        struct op *op); /* the worker is done and what was to be proved is; NULL: needs none */
    void (*committed)(struct op *op); /* what it wrote is on disk */
    bool soap;                        /* refusals are SOAP faults */
};

/* services_signin.c, services_certificate.c, services_report.c, services_ticket.c */
extern const struct op_kind op_sign_in, op_password, op_renew, op_revoke, op_report, op_webticket,
    op_certprov;

/* services_route.handle of every route that has an op. */
void op_handle(struct bk_services *services, struct bk_http_exchange *x,
               const struct bk_http_request *request, const struct services_route *route);
/* That, once the request brings credentials; asks for them before (services_ticket.c). */
void services_webticket(struct bk_services *services, struct bk_http_exchange *x,
                        const struct bk_http_request *request, const struct services_route *route);
/* Fills what op_kind and all that a body may carry says; false: it was answered. */
bool op_read_body(struct op *op, const struct bk_http_request *request);

/* 200 with JSON, or 204. */
void op_answer(struct op *op, int status, struct bk_view json);
/* 200 with an envelope. */
void op_answer_soap(struct op *op, const struct bk_buf *xml);
/* services_say. */
void op_say(struct op *op, int status, const char *text, int64_t at);
/* Refusals, kept in the history. neutral, detail, values: as bk_history_refuse. */
void op_refuse_with(struct op *op, const struct bk_record *record, bool neutral,
                    struct bk_view detail, int retry_after_s, const char *const *values);
void op_refuse(struct op *op, unsigned number, char sub, bool neutral);
void op_refuse_why(struct op *op, unsigned number, bool neutral, const char *why);
void op_refuse_busy(struct op *op, int wait_s, struct bk_view detail); /* SI-404 */
/* The password was wrong, or there is nobody to have one. */
void op_refuse_wrong(struct op *op);

/* To a worker, or answered 503 because their queue is full. */
void op_submit(struct op *op);
/* Takes the batch over (NULL: out of memory, answered so); op_kind.committed comes behind it. */
void op_commit(struct op *op, struct bk_store_batch *batch);
void op_put_audit(struct op *op, struct bk_store_batch *batch, struct bk_view what,
                  struct bk_view detail);

/* The account as it is now: it may have been changed while the worker was busy. false: it was answered. */
bool op_account_is_good(struct op *op);

/* services_signin.c: the form of address and user name, limits, whose password counts; false: it was answered. */
bool op_look_up(struct op *op);
/* ... op_kind.worked comes where op->password is right. */
void op_prove(struct op *op);
/* Whose password was it? false: it was answered. */
bool op_credentials_fit(struct op *op);
/* The clock that the request told of (has_time) is right enough; now_ms is set. false: it was answered. */
bool op_clock_is_right(struct op *op);

/* services_certificate.c: a certificate for op->issue_for is wanted of the worker ... */
void op_want_certificate(struct op *op);
/* ... is written down where the clock of the asker is right ... */
void op_keep_certificate(struct op *op);
/* ... and is handed out. */
void op_give_certificate(struct op *op);

#endif
