/* SPDX-License-Identifier: Apache-2.0 */
/* From a request to its operation, to the commit, to the answer; the table of all operations. */
#include "server/admin_private.h"

#include "server/core.h"
#include "server/password.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the server itself ---- */

static void server_status(struct call *call)
{
    struct bk_store_stats stats;
    json_t *running =
        call->admin->config.status ? call->admin->config.status(call->admin->config.ctx) : NULL;
    int health = bk_store_health(admin_store(call));
    bk_store_stats(admin_store(call), &stats);
    call->result =
        json_pack("{s:s, s:b, s:s, s:I, s:I}", "version", BK_VERSION, "running", running != NULL,
                  "store", health ? strerror(-health) : "ok", "commits", (json_int_t)stats.commits,
                  "failed_commits", (json_int_t)stats.failures);
    if (running) {
        json_object_update(call->result, running);
        json_decref(running);
    }
}

static void server_backup(struct call *call)
{
    struct bk_view path = admin_arg(call, "file");
    char *file = bk_view_dup(path);
    if (!path.len || path.at[0] != '/' || !file) {
        free(file);
        FAIL(call, "usage", "file", "The backup needs an absolute path.");
    }
    int r = bk_store_backup(admin_store(call), file);
    free(file);
    if (r < 0)
        FAIL(call, "store", "file", "The backup failed: %s.", strerror(-r));
    call->result = json_pack("{s:o}", "file", admin_view(path));
}

/* ---- the table ---- */

static const struct {
    const char *name;
    void (*run)(struct call *call);
} ops[] = {
    { "status", server_status },
    { "backup", server_backup },
    { "audit.list", admin_audit_list },
    { "record.list", admin_record_list },
    { "tenant.list", admin_tenant_list },
    { "tenant.set", admin_tenant_set },
    { "domain.list", admin_domain_list },
    { "domain.add", admin_domain_add },
    { "domain.remove", admin_domain_remove },
    { "user.list", admin_user_list },
    { "user.show", admin_user_show },
    { "user.add", admin_user_add },
    { "user.import", admin_user_import },
    { "user.set", admin_user_set },
    { "user.remove", admin_user_remove },
    { "device.remove", admin_device_remove },
    { "session.list", admin_session_list },
    { "session.end", admin_session_end },
    { "history.list", admin_history_list },
    { "case.show", admin_case_show },
    { "policy.list", admin_policy_list },
    { "policy.set", admin_policy_set },
    { "relation.list", admin_relation_list },
    { "relation.set", admin_relation_set },
    { "certificate.list", admin_certificate_list },
    { "certificate.revoke", admin_certificate_revoke },
    { "authority.show", admin_authority_show },
    { "authority.certify", admin_authority_certify },
};

const char *bk_admin_op_name(size_t index)
{
    return index < BK_COUNT_OF(ops) ? ops[index].name : NULL;
}

/* ---- from request to answer ---- */

int bk_admin_create(const struct bk_admin_config *config, struct bk_admin **ret)
{
    struct bk_admin *admin = calloc(1, sizeof *admin);
    if (!admin)
        return -ENOMEM;
    admin->config = *config;
    *ret = admin;
    return 0;
}

struct bk_admin *bk_admin_destroy(struct bk_admin *admin)
{
    if (admin)
        admin_whole_forget(admin);
    free(admin);
    return NULL;
}

static void call_free(struct call *call)
{
    json_decref(call->args);
    json_decref(call->result);
    bk_store_batch_destroy(call->batch);
    bk_arena_finish(&call->arena);
    free(call);
}

static void finish(struct call *call, json_t *answer)
{
    call->reply(call->ctx, answer);
    call_free(call);
}

static json_t *success(struct call *call)
{
    json_t *result = call->result ? call->result : json_object();
    call->result = NULL;
    return json_pack("{s:b, s:o}", "ok", 1, "result", result);
}

/* Whoever may not sign in by NTLM any more has no hash for it any more. */
static void sweep_nt_hashes(struct call *call)
{
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_user user;
    if (call->directory_changed)
        bk_nt_hash_sweep(admin_store(call), admin_directory(call), 0);
    else if (call->changed[0] &&
             bk_store_user(admin_store(call), bk_view_of_str(call->changed), &arena, &user) == 0)
        bk_nt_hash_sweep(admin_store(call), admin_directory(call), user.id);
}

static void tell_core(struct call *call)
{
    const struct bk_admin_config *config = &call->admin->config;
    if (call->directory_changed && config->directory_changed)
        config->directory_changed(config->ctx);
    sweep_nt_hashes(call);
    if (!config->core)
        return;
    if (call->changed[0] && !strcmp(call->op, "device.remove"))
        bk_core_device_password_changed(config->core, bk_view_of_str(call->changed));
    if (call->changed[0])
        bk_core_user_changed(config->core, bk_view_of_str(call->changed));
    if (!strcmp(call->op, "certificate.revoke")) {
        size_t i;
        json_t *serial;
        json_array_foreach(call->result, i, serial)
            bk_core_certificate_revoked(config->core, bk_view_of_str(json_string_value(serial)));
    }
    size_t at;
    json_t *row;
    json_array_foreach(json_object_get(call->result, "rows"), at, row)
    {
        const char *address = json_string_value(json_object_get(row, "address"));
        if (address)
            bk_core_user_changed(config->core, bk_view_of_str(address));
    }
    bk_core_pump(config->core);
}

static void committed(void *ctx, int result)
{
    struct call *call = ctx;
    if (result == 0) {
        tell_core(call);
        finish(call, success(call));
    } else if (result == -EEXIST) {
        finish(call,
               admin_failure("exists", NULL, "That address or user name is already somebody's."));
    } else if (result == -ENOENT) {
        finish(call,
               admin_failure("missing", NULL, "What should be changed is not there any more."));
    } else {
        finish(call, admin_failure("store", NULL, "The change could not be written: %s.",
                                   strerror(-result)));
    }
}

/* What was asked, without the hashes. */
static void audit(struct call *call)
{
    json_t *copy = json_copy(call->args);
    json_object_del(copy, "yescrypt");
    json_object_del(copy, "nt_hash");
    json_object_del(copy, "device");
    json_t *users = json_object_get(copy, "users");
    if (users)
        json_object_set_new(copy, "users", json_integer((json_int_t)json_array_size(users)));
    char *detail = json_dumps(copy, JSON_COMPACT);
    json_decref(copy);
    struct bk_view target = admin_arg(call, "address");
    if (!target.len)
        target = admin_arg(call, "domain");
    if (!target.len)
        target = admin_arg(call, "name");
    struct bk_audit row = { .at = admin_now(call),
                            .actor = bk_view_of_str(call->actor),
                            .what = bk_view_of_str(call->op),
                            .target = target,
                            .detail = bk_view_of_str(detail ? detail : "{}") };
    bk_store_put_audit(call->batch, &row);
    free(detail);
}

void bk_admin_call(struct bk_admin *admin, const char *actor, const json_t *request,
                   void (*reply)(void *ctx, json_t *answer), void *ctx)
{
    const json_t *op = json_object_get(request, "op"), *args = json_object_get(request, "args");
    struct call *call = calloc(1, sizeof *call);
    if (!call) {
        reply(ctx, admin_failure("busy", NULL, "Out of memory."));
        return;
    }
    call->admin = admin;
    call->actor = actor;
    call->reply = reply;
    call->ctx = ctx;
    call->args = json_is_object(args) ? json_deep_copy(args) : json_object();
    size_t i = 0;
    while (i < BK_COUNT_OF(ops) &&
           !(json_is_string(op) && !strcmp(ops[i].name, json_string_value(op))))
        i++;
    if (i == BK_COUNT_OF(ops)) {
        finish(call, admin_failure("unknown", "op", "There is no operation \"%s\".",
                                   json_is_string(op) ? json_string_value(op) : ""));
        return;
    }
    call->op = ops[i].name;
    ops[i].run(call);
    if (call->failed) {
        json_t *answer = call->result;
        call->result = NULL;
        finish(call, answer ? answer : admin_failure("store", NULL, "Out of memory."));
        return;
    }
    if (!call->batch) {
        finish(call, success(call));
        return;
    }
    audit(call);
    struct bk_store_batch *b = call->batch;
    call->batch = NULL;
    int r = bk_store_commit(admin->config.store, b, committed, call);
    if (r < 0)
        finish(call,
               admin_failure("busy", NULL, "The store takes no change now: %s.", strerror(-r)));
}
