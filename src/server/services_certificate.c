/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of people's devices: made at sign-in and renewal, given back. */
#include "server/services_op_private.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "server/json.h"

#include <errno.h>
#include <stdio.h>

enum {
    LIVING_CERTIFICATES_MAX = 100, /* of one person; the oldest gives way */
};

#define SKEW_SHOWN_MAX_MS (1000LL * 365 * 86400 * 1000)

void op_want_certificate(struct op *op)
{
    op->issue = true;
    op->now_ms = services_now(op->services);
    op->life_ms =
        bk_policy_number(op->dir, op->found ? &op->user : NULL, BK_POLICY_CERTIFICATE_HOURS) *
        3600 * 1000;
}

bool op_clock_is_right(struct op *op)
{
    int64_t skew = 0;
    if (!op->has_time)
        return true;
    /* What is said there may be any number: one that is centuries off is as wrong as it gets. */
    if (__builtin_sub_overflow(op->theirs_ms, op->now_ms, &skew) || skew < -SKEW_SHOWN_MAX_MS)
        skew = op->theirs_ms < 0 ? -SKEW_SHOWN_MAX_MS : SKEW_SHOWN_MAX_MS;
    if (skew > SKEW_SHOWN_MAX_MS)
        skew = SKEW_SHOWN_MAX_MS;
    if (skew <= BK_CLOCK_SKEW_MAX_MS && skew >= -BK_CLOCK_SKEW_MAX_MS)
        return true;
    char minutes[24], detail[96], server_time[32];
    int64_t off = skew < 0 ? -skew : skew;
    snprintf(minutes, sizeof minutes, "%lld", (long long)((off + 59999) / 60000));
    bk_time_iso(op->now_ms, true, server_time);
    snprintf(detail, sizeof detail, "{\"skew_s\":%lld,\"server_time\":\"%s\"}",
             (long long)(skew / 1000), server_time);
    const char *values[] = { "minutes", minutes, NULL };
    op_refuse_with(op, bk_record_find(104, 0), false, bk_view_of_str(detail), 0, values);
    return false;
}

/* Living certificates of a person, the one issued first, and those that the new one takes the place of. */
struct living {
    int64_t now, oldest_at;
    int n;
    char oldest[64];
    struct bk_view
        replaces_device; /* of a program that keeps none from one start to the next; empty: none */
    char replaced[8][64];
    size_t n_replaced;
};

static bool count_living(void *ctx, const struct bk_certificate *row)
{
    struct living *l = ctx;
    if (row->revoked_at != 0 || row->not_after <= l->now)
        return true;
    if (l->replaces_device.len && l->n_replaced < BK_COUNT_OF(l->replaced) &&
        bk_view_equal(row->device_id, l->replaces_device) &&
        bk_view_equal(row->device_kind, BK_VIEW(OP_DEVICE_LYNC))) {
        snprintf(l->replaced[l->n_replaced++], sizeof l->replaced[0], "%.*s",
                 BK_VIEW_ARGS(row->serial));
        return true;
    }
    if (l->n++ == 0 || row->issued_at < l->oldest_at) {
        l->oldest_at = row->issued_at;
        snprintf(l->oldest, sizeof l->oldest, "%.*s", BK_VIEW_ARGS(row->serial));
    }
    return true;
}

static void put_issued(struct op *op, struct bk_store_batch *batch)
{
    const struct bk_services_config *config = &op->services->config;
    const struct bk_certificate row = {
        .serial = bk_view_of_str(op->issued.serial),
        .user_id = op->user.id,
        .device_id = op->device_id,
        .device_name = op->device_name,
        .device_kind = op->device_kind,
        .fingerprint = bk_view_of_str(op->issued.fingerprint),
        .issued_at = op->now_ms,
        .not_before = op->issued.not_before,
        .not_after = op->issued.not_after,
    };
    bk_store_put_certificate(batch, &row);

    struct bk_arena arena = { 0 };
    struct living living = { .now = op->now_ms };
    if (bk_view_equal(op->device_kind, BK_VIEW(OP_DEVICE_LYNC)))
        living.replaces_device = op->device_id;
    bk_store_certificates(config->store, op->user.id, &arena, count_living, &living);
    bk_arena_finish(&arena);
    if (living.n >= LIVING_CERTIFICATES_MAX)
        bk_store_revoke_certificate(batch, bk_view_of_str(living.oldest), op->now_ms,
                                    BK_VIEW("server"), BK_VIEW("too many certificates"));
    for (size_t i = 0; i < living.n_replaced; i++)
        bk_store_revoke_certificate(batch, bk_view_of_str(living.replaced[i]), op->now_ms,
                                    BK_VIEW("server"), BK_VIEW("a newer one of the same device"));
    char detail[96];
    snprintf(detail, sizeof detail, "{\"serial\":\"%s\"}", op->issued.serial);
    bk_history_accept_in(config->history, batch, &op->attempt, bk_view_of_str(detail));
}

void op_keep_certificate(struct op *op)
{
    if (!op_clock_is_right(op))
        return;
    if (op->issue_result < 0) {
        op_refuse_why(op, op->issue_result == -ENOMEM ? 401 : 218, false, op->issue_why);
        return;
    }
    struct bk_store_batch *batch = bk_store_batch_create();
    if (batch)
        put_issued(op, batch);
    op_commit(op, batch);
}

void op_give_certificate(struct op *op)
{
    BK_AUTO_BUF struct bk_buf json = { 0 };
    char not_after[32], renew_after[32];
    bk_time_iso(op->issued.not_after, false, not_after);
    bk_time_iso(op->now_ms + (op->issued.not_after - op->now_ms) / 3 * 2, false, renew_after);
    bk_buf_add_lit(&json, "{\"certificate\":");
    bk_json_add_string(&json, bk_buf_view(&op->certificate));
    bk_buf_add_lit(&json, ",\"chain\":");
    bk_json_add_string(&json, bk_authority_pem(op->services->config.authority));
    bk_buf_addf(&json, ",\"not_after\":\"%s\",\"renew_after\":\"%s\",\"address\":", not_after,
                renew_after);
    bk_json_add_string(&json, op->user.address);
    bk_buf_add_char(&json, ',');
    services_add_sip(op->services, &json);
    bk_buf_add_char(&json, '}');
    if (op->x)
        bk_listener_known(bk_http_conn(op->x)); /* no stranger any more */
    op_answer(op, 200, bk_buf_view(&json));
}

/* The owner and row of the certificate of this connection; record: what is wrong with it. false: answered. */
static bool certificate_of(struct op *op, const struct bk_record **ret_record)
{
    const struct bk_services_config *config = &op->services->config;
    BK_AUTO_BUF struct bk_buf der = { 0 };
    struct bk_personal personal;
    struct bk_tls *tls = bk_conn_tls(bk_http_conn(op->x));

    if (!tls || bk_tls_peer_certificate(tls, &der, false) < 0) {
        op_refuse_with(op, bk_record_find(102, 0), false,
                       BK_VIEW("{\"why\":\"no client certificate was shown (ALPN beckon)\"}"), 0,
                       NULL);
        return false;
    }
    if (bk_authority_read(config->authority, bk_buf_view(&der), &personal) == 0) {
        op->attempt.address = bk_arena_copy(&op->arena, bk_view_of_str(personal.address));
        op->present.serial = bk_arena_copy(&op->arena, bk_view_of_str(personal.serial));
    }
    *ret_record = bk_authority_judge(config->authority, config->store, bk_buf_view(&der),
                                     (struct bk_view){ 0 }, services_now(op->services), &op->arena,
                                     &op->present);
    if (*ret_record)
        return true;
    if (bk_store_user_by_id(config->store, op->present.user_id, &op->arena, &op->user) < 0) {
        op_refuse(op, 105, 'g', false);
        return false;
    }
    op->found = true;
    op->attempt.user_id = op->user.id;
    op->attempt.address = op->user.address;
    return true;
}

static void renew(struct op *op)
{
    const struct bk_record *record;
    if (!certificate_of(op, &record))
        return;
    if (record) {
        op_refuse_with(op, record, false, (struct bk_view){ 0 }, 0, NULL);
        return;
    }
    /* What the client does not say again stays as it was. */
    if (!op->device_id.len)
        op->device_id = op->attempt.endpoint = op->present.device_id;
    if (!op->device_name.len)
        op->device_name = op->attempt.device = op->present.device_name;
    if (!op->device_kind.len)
        op->device_kind = op->present.device_kind;
    op_want_certificate(op);
    op->issue_for = op->user.address;
    op_submit(op);
}

static void renew_worked(struct op *op)
{
    if (op_account_is_good(op))
        op_keep_certificate(op);
}

static void revoke(struct op *op)
{
    const struct bk_record *record;
    if (!certificate_of(op, &record))
        return;
    /* Withdrawn or run out: what was wanted holds already. */
    if (record && (record->number == 219 || (record->number == 105 && record->sub == 'a'))) {
        op_answer(op, 204, (struct bk_view){ 0 });
        return;
    }
    if (record) {
        op_refuse_with(op, record, false, (struct bk_view){ 0 }, 0, NULL);
        return;
    }
    struct bk_store_batch *batch = bk_store_batch_create();
    if (batch) {
        BK_AUTO_BUF struct bk_buf detail = { 0 };
        bk_buf_add_lit(&detail, "{\"serial\":");
        bk_json_add_string(&detail, op->present.serial);
        bk_buf_add_char(&detail, '}');
        bk_store_revoke_certificate(batch, op->present.serial, services_now(op->services),
                                    op->user.address, BK_VIEW("given back by its owner"));
        op_put_audit(op, batch, BK_VIEW("certificate.revoke"), bk_buf_view(&detail));
    }
    op_commit(op, batch);
}

static void revoke_committed(struct op *op)
{
    const struct bk_services_config *config = &op->services->config;
    if (config->certificate_revoked)
        config->certificate_revoked(config->ctx, op->present.serial);
    op_answer(op, 204, (struct bk_view){ 0 });
}

const struct op_kind op_renew = {
    .road = "https-certificate",
    .needs = { "csr" },
    .begin = renew,
    .worked = renew_worked,
    .committed = op_give_certificate,
};

const struct op_kind op_revoke = {
    .road = "https-certificate",
    .begin = revoke,
    .committed = revoke_committed,
};
