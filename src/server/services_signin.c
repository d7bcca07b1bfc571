/* SPDX-License-Identifier: Apache-2.0 */
/* Sign-in and a new password: somebody proves an address with its secret. */
#include "server/services_op_private.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "server/json.h"
#include "server/password.h"
#include "sip/uri.h"

#include <errno.h>
#include <stdio.h>

static struct bk_view domain_of(struct bk_view address)
{
    return bk_view_skip(address, bk_view_find(address, '@') + 1);
}

static struct bk_view lower_copy(struct op *op, struct bk_view v)
{
    struct bk_view copy = bk_arena_copy(&op->arena, v);
    if (copy.at)
        bk_text_lower((char *)copy.at, copy.len);
    return copy;
}

/* false: it was answered. */
static bool address_is_good(struct op *op)
{
    size_t at = 0;
    const char *why = NULL;
    struct bk_view typed = bk_view_trim(op->address);

    if (bk_view_starts_with_nocase(typed, BK_VIEW("sip:")))
        typed = bk_view_skip(typed, 4);
    op->attempt.address = op->address = lower_copy(op, typed);
    op->username = lower_copy(op, bk_view_trim(op->username));
    if (bk_view_equal(op->username, op->address))
        op->username = (struct bk_view){ 0 };
    if (bk_sip_address_check(op->address, &at, &why) < 0) {
        char detail[48];
        snprintf(detail, sizeof detail, "{\"at\":%zu}", at);
        const char *values[] = { "why", why, NULL };
        op_refuse_with(op, bk_record_find(111, 0), true, bk_view_of_str(detail), 0, values);
        return false;
    }
    if (bk_directory_tenant_of(op->dir, domain_of(op->address)))
        return true;
    op_refuse(op, 220, 0, true);
    return false;
}

/*
 * The account whose password counts. Whoever it is or is not, the same things are asked of the store. false: it was
 * answered, because the store cannot say.
 */
static bool look_up(struct op *op)
{
    struct bk_services *s = op->services;
    struct bk_view hash;
    int r = op->username.len
                ? bk_store_user_by_username(s->config.store, op->username, &op->arena, &op->user)
                : bk_store_user(s->config.store, op->address, &op->arena, &op->user);
    op->found = r == 0;
    if (r == 0 || r == -ENOENT)
        r = bk_store_password(s->config.store, op->found ? op->user.id : 0, &op->arena, &hash);
    if (r < 0 && r != -ENOENT) {
        op_refuse(op, 403, 0, true);
        return false;
    }
    op->hash = r == 0 && op->found ? hash : bk_view_of_str(s->nobody);
    if (op->found) {
        op->attempt.user_id = op->user.id;
        if (r != 0)
            op->why_unknown = "the account has no password";
    } else {
        op->why_unknown = op->username.len ? "no such user name" : NULL;
    }
    return true;
}

/* NULL: this may be the new password. */
static const char *new_password_fault(struct op *op)
{
    const struct bk_view names[] = { op->address, op->username, op->password };
    return bk_password_fault(
        op->new_password,
        bk_policy_number(op->dir, op->found ? &op->user : NULL, BK_POLICY_PASSWORD_LENGTH_MIN),
        names, BK_COUNT_OF(names));
}

bool op_look_up(struct op *op)
{
    struct bk_history *history = op->services->config.history;
    if (!address_is_good(op))
        return false;
    if (!op->password.len) {
        op_refuse_with(op, bk_record_find(102, 0), false, BK_VIEW("{\"offered\":[\"password\"]}"),
                       0, NULL);
        return false;
    }
    int wait_s = bk_history_may_try(history, &op->attempt);
    if (wait_s > 0) {
        op_refuse_busy(op, wait_s,
                       BK_VIEW("{\"why\":\"too many failed attempts from this network\"}"));
        return false;
    }
    return look_up(op);
}

void op_prove(struct op *op)
{
    op->prove = true;
    /* Counted before it is known: a hundred guesses at the same moment are a hundred. */
    bk_history_failed(op->services->config.history, &op->attempt);
    op_submit(op);
}

static void by_password(struct op *op)
{
    if (!op_look_up(op))
        return;
    if (op->route->op == &op_sign_in)
        op_want_certificate(op);
    else
        op->make_hash = !new_password_fault(op);
    op->issue_for = op->address;
    op_prove(op);
}

void op_refuse_wrong(struct op *op)
{
    BK_AUTO_BUF struct bk_buf detail = { 0 };
    if (op->why_unknown) {
        bk_buf_add_lit(&detail, "{\"why\":");
        bk_json_add_string(&detail, bk_view_of_str(op->why_unknown));
        bk_buf_add_char(&detail, '}');
    }
    bool unknown = !op->found && !op->username.len;
    bool tell = false;
    if (unknown) {
        struct bk_view policy = bk_policy_choice(op->dir, NULL, BK_POLICY_TELL_UNKNOWN_ADDRESS);
        tell = bk_view_equal(policy, BK_VIEW("always")) ||
               (bk_view_equal(policy, BK_VIEW("own-networks")) && op->attempt.own_network);
    }
    op_refuse_with(op, unknown ? bk_record_find(201, 'a') : bk_record_find(202, 0), !tell,
                   bk_buf_view(&detail), 0, NULL);
}

bool op_credentials_fit(struct op *op)
{
    if (op->username.len && !bk_view_equal(op->user.address, op->address)) {
        BK_AUTO_BUF struct bk_buf detail = { 0 };
        bk_buf_add_lit(&detail, "{\"belongs_to\":");
        bk_json_add_string(&detail, op->user.address);
        bk_buf_add_char(&detail, '}');
        op_refuse_with(op, bk_record_find(214, 0), false, bk_buf_view(&detail), 0, NULL);
        return false;
    }
    if (!op->username.len && op->user.username.len &&
        !bk_view_equal(op->user.username, op->user.address)) {
        op_refuse(op, 203, 0, false);
        return false;
    }
    return true;
}

static void sign_in_worked(struct op *op)
{
    if (!op_credentials_fit(op) || !op_account_is_good(op))
        return;
    if (op->user.password_must_change)
        op_refuse(op, 206, 0, false);
    else
        op_keep_certificate(op);
}

static void password_worked(struct op *op)
{
    if (!op_credentials_fit(op) || !op_account_is_good(op))
        return;
    const char *fault = new_password_fault(op);
    if (fault || op->hash_result < 0 || !op->new_hash.len) {
        op_refuse_why(op, 224, false, fault ? fault : strerror(ENOMEM));
        return;
    }
    struct bk_store_batch *batch = bk_store_batch_create();
    if (batch) {
        bk_store_put_password(batch, op->user.address, bk_buf_view(&op->new_hash),
                              services_now(op->services), false);
        bk_nt_hash_keep(batch, op->dir, &op->user, op->new_password);
        op_put_audit(op, batch, BK_VIEW("password.change"), BK_VIEW("{\"by\":\"owner\"}"));
        bk_history_accept_in(op->services->config.history, batch, &op->attempt,
                             BK_VIEW("{\"changed\":\"password\"}"));
    }
    op_commit(op, batch);
}

static void password_committed(struct op *op)
{
    const struct bk_services_config *config = &op->services->config;
    if (config->user_changed)
        config->user_changed(config->ctx, op->user.address);
    op_answer(op, 204, (struct bk_view){ 0 });
}

const struct op_kind op_sign_in = {
    .road = "https-password",
    .needs = { "address", "csr" },
    .begin = by_password,
    .worked = sign_in_worked,
    .committed = op_give_certificate,
};

const struct op_kind op_password = {
    .road = "https-password",
    .needs = { "address", "old", "new" },
    .old_password = true,
    .begin = by_password,
    .worked = password_worked,
    .committed = password_committed,
};
