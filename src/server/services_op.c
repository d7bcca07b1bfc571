/* SPDX-License-Identifier: Apache-2.0 */
/* One request that takes a while: its life, its answers, its turn in a worker, its commit. */
#include "server/services_op_private.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "server/password.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUSY_RETRY_S = 5 };

static void op_gone(void *owner)
{
    ((struct op *)owner)->x = NULL;
}

static struct op *op_create(struct bk_services *s, struct bk_http_exchange *x,
                            const struct services_route *route)
{
    struct op *op = calloc(1, sizeof *op);
    if (!op)
        return NULL;
    op->services = s;
    s->refs++;
    op->x = x;
    op->route = route;
    op->dir = s->config.directory(s->config.ctx);
    services_attempt(s, x, bk_view_of_str(route->op->road), op->ip, &op->attempt);
    bk_http_set_owner(x, op_gone, op);
    return op;
}

static void op_end(struct op *op)
{
    bk_wipe(&op->password, sizeof op->password);
    json_decref(op->json); /* wiped as it goes */
    if (op->new_hash.at)
        bk_wipe(op->new_hash.at, op->new_hash.cap);
    bk_buf_finish(&op->new_hash);
    if (op->secret.at)
        bk_wipe(op->secret.at, op->secret.cap);
    bk_buf_finish(&op->secret);
    bk_buf_finish(&op->certificate);
    bk_arena_finish(&op->arena);
    bk_directory_unref(op->dir);
    services_release(op->services);
    free(op);
}

static void op_count(struct op *op, enum outcome outcome)
{
    services_counts(op->services, op->route)[outcome]++;
}

void op_say(struct op *op, int status, const char *text, int64_t at)
{
    op_count(op, OUTCOME_BAD);
    if (op->x)
        services_say(op->x, status, text, at);
    op_end(op);
}

void op_answer(struct op *op, int status, struct bk_view json)
{
    op_count(op, OUTCOME_OK);
    if (op->x && status == 204)
        bk_http_answer(op->x, 204, NULL, (struct bk_view){ 0 });
    else if (op->x)
        services_answer(op->x, status, json);
    op_end(op);
}

void op_answer_soap(struct op *op, const struct bk_buf *xml)
{
    op_count(op, OUTCOME_OK);
    if (op->x)
        services_answer_xml(op->x, "text/xml; charset=utf-8", xml);
    op_end(op);
}

void op_refuse_with(struct op *op, const struct bk_record *record, bool neutral,
                    struct bk_view detail, int retry_after_s, const char *const *values)
{
    struct bk_refusal refusal;
    bk_history_refuse(op->services->config.history, &op->attempt, record, neutral, false, detail,
                      retry_after_s, values, &refusal);
    op_count(op, OUTCOME_REFUSED);
    if (op->x && op->route->op->soap)
        services_answer_fault(op->services, op->x, &refusal);
    else if (op->x)
        services_answer_refusal(op->services, op->x, &refusal, (struct bk_view){ 0 });
    op_end(op);
}

void op_refuse(struct op *op, unsigned number, char sub, bool neutral)
{
    op_refuse_with(op, bk_record_find(number, sub), neutral, (struct bk_view){ 0 }, 0, NULL);
}

void op_refuse_why(struct op *op, unsigned number, bool neutral, const char *why)
{
    const char *values[] = { "why", why, NULL };
    op_refuse_with(op, bk_record_find(number, 0), neutral, (struct bk_view){ 0 }, 0, values);
}

void op_refuse_busy(struct op *op, int wait_s, struct bk_view detail)
{
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%d", wait_s);
    const char *values[] = { "seconds", seconds, NULL };
    op_refuse_with(op, bk_record_find(404, 0), true, detail, wait_s, values);
}

static void op_run(void *arg)
{
    struct op *op = arg;
    const struct bk_services_config *config = &op->services->config;
    op->right = !op->prove || bk_password_check(op->password, op->hash);
    if (op->right && op->issue)
        op->issue_result =
            bk_authority_issue(config->authority, op->csr, op->issue_for, op->now_ms, op->life_ms,
                               config->random, &op->certificate, &op->issued, &op->issue_why);
    if (op->right && op->make_hash)
        op->hash_result = bk_password_hash(op->new_password, config->password_cost, &op->new_hash);
}

static void op_worked(void *arg, bool cancelled)
{
    struct op *op = arg;
    if (cancelled || op->right) {
        if (op->prove)
            bk_history_forgive(op->services->config.history, &op->attempt);
    }
    if (cancelled)
        op_refuse(op, 408, 0, true);
    else if (op->right)
        op->route->op->worked(op);
    else
        op_refuse_wrong(op);
}

void op_submit(struct op *op)
{
    struct bk_services *s = op->services;
    if (bk_work_submit(s->config.work, s->config.loop, op_run, op_worked, op) == 0)
        return;
    if (op->prove)
        bk_history_forgive(s->config.history, &op->attempt);
    op_refuse_busy(op, BUSY_RETRY_S, BK_VIEW("{\"why\":\"the queue of the workers is full\"}"));
}

struct committed {
    struct op *op;
    int result;
};

static void finish(void *arg)
{
    struct committed *c = arg;
    struct op *op = c->op;
    int result = c->result;
    free(c);
    if (result < 0)
        op_refuse_why(op, 405, false, strerror(-result));
    else
        op->route->op->committed(op);
}

/* On whatever thread the store calls back. */
static void op_committed(void *ctx, int result)
{
    struct committed *c = ctx;
    c->result = result;
    if (bk_loop_post(c->op->services->config.loop, finish, c) < 0)
        bk_log(c->op->services->config.log, BK_LOG_ERROR, "an answer was lost", "error",
               "out of memory");
}

void op_commit(struct op *op, struct bk_store_batch *batch)
{
    struct committed *c = malloc(sizeof *c);
    if (!c) {
        bk_store_batch_destroy(batch);
        op_refuse_why(op, 405, false, strerror(ENOMEM));
        return;
    }
    c->op = op;
    int r = bk_store_commit(op->services->config.store, batch, op_committed, c);
    if (r < 0) {
        c->result = r;
        finish(c);
    }
}

void op_put_audit(struct op *op, struct bk_store_batch *batch, struct bk_view what,
                  struct bk_view detail)
{
    const struct bk_audit row = { .at = services_now(op->services),
                                  .actor = op->user.address,
                                  .what = what,
                                  .target = op->user.address,
                                  .detail = detail };
    bk_store_put_audit(batch, &row);
}

bool op_account_is_good(struct op *op)
{
    struct bk_services *s = op->services;
    int r = bk_store_user_by_id(s->config.store, op->user.id, &op->arena, &op->user);
    if (r < 0) {
        op_refuse(op, r == -ENOENT ? 202 : 401, 0, true);
        return false;
    }
    const struct bk_record *record = bk_judge_account(
        &op->user, bk_directory_tenant(op->dir, op->user.tenant_id), services_now(s));
    if (!record)
        return true;
    op_refuse_with(op, record, false, (struct bk_view){ 0 }, 0, NULL);
    return false;
}

void op_handle(struct bk_services *s, struct bk_http_exchange *x,
               const struct bk_http_request *request, const struct services_route *route)
{
    struct op *op = op_create(s, x, route);
    if (!op) {
        services_say(x, 503, "Out of memory.", -1);
        return;
    }
    if (!route->body_max ||
        (route->op->read ? route->op->read(op, request) : op_read_body(op, request)))
        route->op->begin(op);
}
