/* SPDX-License-Identifier: Apache-2.0 */
/* server/services_private.h - what services.c and discover.c share: who asks, and how it is answered. */
#ifndef BK_SERVER_SERVICES_PRIVATE_H
#define BK_SERVER_SERVICES_PRIVATE_H

#include "server/services.h"

#include <jansson.h>

enum verb { VERB_SIGN_IN, VERB_RENEW, VERB_REVOKE, VERB_PASSWORD, VERB_REPORT, VERB_COUNT };
enum outcome { OUTCOME_OK, OUTCOME_REFUSED, OUTCOME_BAD, OUTCOME_COUNT };

struct bk_services {
    struct bk_services_config config;
    char *path;   /* of services_url */
    int refs;     /* one of the owner, one of each request under way; the loop's thread only */
    char *nobody; /* the hash that an unknown user's password is compared with */
    uint64_t counts[VERB_COUNT][OUTCOME_COUNT];
    uint64_t discoveries;
    struct {
        char case_code[BK_CASE_CODE_SIZE];
        int64_t at_mono;
    } reports[64]; /* the newest, so that two of the same moment are not both taken */
    unsigned next_report;
};

/* The asker of an exchange; ip is kept in ip_text, which the attempt points to. */
void services_attempt(const struct bk_services *services, struct bk_http_exchange *x,
                      struct bk_view road, char ip_text[64], struct bk_attempt *ret);
/* JSON with Cache-Control: no-store. */
void services_answer(struct bk_http_exchange *x, int status, struct bk_view json);
/*
 * A fault in the request itself, which has no record: {"record":null,..,"text":..,"at":..}. at: byte offset in
 * the body, -1: none.
 */
void services_say(struct bk_http_exchange *x, int status, const char *text, int64_t at);
/* 405 with Allow. */
void services_say_allowed(struct bk_http_exchange *x, const char *allowed);
/* A refusal as prepared by bk_history_refuse. members: JSON members, each with a comma in front, or empty. */
void services_answer_refusal(const struct bk_services *services, struct bk_http_exchange *x,
                             const struct bk_refusal *refusal, struct bk_view members);
/* `"sip":[...]` */
void services_add_sip(const struct bk_services *services, struct bk_buf *to);

/*
 * The object in a body; the caller gives it up with json_decref. NULL: ret_why says what is wrong, without showing what stands
 * there, and *ret_at where.
 */
json_t *services_json_read(struct bk_view body, char ret_why[160], int64_t *ret_at);

/* discover.c: answers "/", "/health" and "/metrics". false: not its path. */
bool discover_handle(struct bk_services *services, struct bk_http_exchange *x,
                     const struct bk_http_request *request);
void discover_help(const struct bk_services *services, struct bk_http_exchange *x,
                   const struct bk_http_request *request);
/* Does Accept name JSON? */
bool discover_wants_json(const struct bk_http_request *request);

#endif
