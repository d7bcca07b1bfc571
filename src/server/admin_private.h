/* SPDX-License-Identifier: Apache-2.0 */
/* server/admin_private.h - one operation under way: its arguments, what it changes, its answer. */
#ifndef BK_SERVER_ADMIN_PRIVATE_H
#define BK_SERVER_ADMIN_PRIVATE_H

#include "base/cleanup.h"
#include "base/text.h"
#include "server/admin.h"
#include "sip/uri.h"

enum {
    ADMIN_LIST_MAX = 1000,
    ADMIN_NAME_MAX_BYTES = 256,
};

/* An import of more accounts than one request takes, written as a whole with its last one. */
struct admin_whole {
    char id[17];                  /* "": none under way */
    struct bk_store_batch *batch; /* of the requests before */
    json_t *taken;                /* names that they gave out */
    size_t n;
};

struct bk_admin {
    struct bk_admin_config config;
    struct admin_whole whole;
};

struct call {
    struct bk_admin *admin;
    const char *op, *actor;
    json_t *args;
    struct bk_arena arena;
    struct bk_store_batch *batch; /* filled by the operation; NULL: it only reads */
    json_t *result;               /* of failed: the answer as admin_failure made it */
    bool failed;
    bool directory_changed;
    char changed[BK_SIP_AOR_MAX + 1]; /* address whose account changed; "" */
    void (*reply)(void *ctx, json_t *answer);
    void *ctx;
};

/* The answer of an operation that could not. at: which argument; NULL: none. */
json_t *admin_failure(const char *code, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Ends an operation with a failure. */
#define FAIL(call_, code_, at_, ...)                                                               \
    do {                                                                                           \
        (call_)->failed = true;                                                                    \
        json_decref((call_)->result);                                                              \
        (call_)->result = admin_failure(code_, at_, __VA_ARGS__);                                  \
        return;                                                                                    \
    } while (0)

/* A refusal of what is under way; for functions that the operations share. */
#define REFUSE(call_, ...)                                                                         \
    do {                                                                                           \
        (call_)->failed = true;                                                                    \
        json_decref((call_)->result);                                                              \
        (call_)->result = admin_failure(__VA_ARGS__);                                              \
        return false;                                                                              \
    } while (0)

json_t *admin_view(struct bk_view v);
json_t *admin_when(int64_t real_ms); /* RFC 3339; null for 0 */

/* Text of an argument, the empty view where missing. */
struct bk_view admin_arg(const struct call *call, const char *key);
struct bk_view admin_arg_lower(struct call *call, const char *key);
/* "ann@example.org" or "sip:ann@..", lower case. false: failed, with the place of what is wrong. */
bool admin_address_arg(struct call *call, struct bk_view *ret);
/* The account of that address. false: failed. */
bool admin_user_arg(struct call *call, struct bk_user *ret);
/* What this operation changes; made when first asked for. */
struct bk_store_batch *admin_batch(struct call *call);
/* The running server has to hear that this account changed. */
void admin_touch(struct call *call, struct bk_view address);
int64_t admin_now(const struct call *call);
struct bk_store *admin_store(const struct call *call);
/* NULL: none could be loaded. */
const struct bk_directory *admin_directory(const struct call *call);
/* The account as it is, with what would refuse it now (admin_users.c). */
json_t *admin_account_json(struct call *call, const struct bk_user *user);

/* Drops what an import of the whole has gathered (admin_users.c). */
void admin_whole_forget(struct bk_admin *admin);

/* The operations of the table in admin.c. */

/* admin_history.c */
void admin_audit_list(struct call *call);
void admin_record_list(struct call *call);
void admin_session_list(struct call *call);
void admin_session_end(struct call *call);
void admin_history_list(struct call *call);
void admin_case_show(struct call *call);
/* admin_domains.c */
void admin_tenant_list(struct call *call);
void admin_tenant_set(struct call *call);
void admin_domain_list(struct call *call);
void admin_domain_add(struct call *call);
void admin_domain_remove(struct call *call);
void admin_policy_list(struct call *call);
void admin_policy_set(struct call *call);
void admin_relation_list(struct call *call);
void admin_relation_set(struct call *call);
/* admin_users.c */
void admin_user_list(struct call *call);
void admin_user_show(struct call *call);
void admin_user_add(struct call *call);
void admin_user_import(struct call *call);
void admin_user_set(struct call *call);
void admin_user_remove(struct call *call);
void admin_device_remove(struct call *call);
/* admin_certificates.c */
void admin_certificate_list(struct call *call);
void admin_certificate_revoke(struct call *call);
void admin_authority_show(struct call *call);
void admin_authority_certify(struct call *call);

#endif
