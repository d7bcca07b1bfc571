/* SPDX-License-Identifier: Apache-2.0 */
/* Report: the client's half of a case. */
#include "server/services_op_private.h"

#include "base/cleanup.h"

#include <stdlib.h>

enum {
    REPORT_LIFE_MS = 24 * 3600 * 1000,
    REPORT_GAP_MS = 60 * 1000,
    REPORTS_PER_CASE_MAX = 20,
};

struct case_search {
    int64_t newest;
    int n;
};

static bool case_row(void *ctx, const struct bk_signin *row)
{
    struct case_search *c = ctx;
    c->n++;
    if (row->last_at > c->newest)
        c->newest = row->last_at;
    return true;
}

static bool report_row(void *ctx, const struct bk_report *row)
{
    struct case_search *c = ctx;
    c->n++;
    if (row->at > c->newest)
        c->newest = row->at;
    return true;
}

/* Whether a report of this case was taken less than a minute ago, here; notes it otherwise. */
static bool reported_just_now(struct bk_services *s, const char *code)
{
    int64_t now = bk_clock_mono_ms(s->config.clock);
    for (size_t i = 0; i < BK_COUNT_OF(s->reports); i++)
        if (strcmp(s->reports[i].case_code, code) == 0 &&
            now - s->reports[i].at_mono < REPORT_GAP_MS)
            return true;
    unsigned at = s->next_report++ % BK_COUNT_OF(s->reports);
    memcpy(s->reports[at].case_code, code, BK_CASE_CODE_SIZE);
    s->reports[at].at_mono = now;
    return false;
}

static void report(struct op *op)
{
    struct bk_services *s = op->services;
    char code[BK_CASE_CODE_SIZE];
    struct bk_view typed;
    const char *bad;
    struct case_search known = { .newest = INT64_MIN }, before = { .newest = INT64_MIN };
    int64_t now = services_now(s);

    if (!services_json_text(op->json, "case", 40, &typed, &bad) ||
        bk_case_code_parse(typed, code) < 0) {
        op_say(op, 400, "\"case\" is no case code.", -1);
        return;
    }
    bk_store_signins(s->config.store, (struct bk_view){ 0 }, bk_view_of_str(code), 10, &op->arena,
                     case_row, &known);
    if (!known.n && !op->waited) {
        /* The refusal was told before its row reached the disk: batches are written in their order, so an empty one behind it tells when. */
        op->waited = true;
        op_commit(op, bk_store_batch_create());
        return;
    }
    if (!known.n || now - known.newest > REPORT_LIFE_MS) {
        op_say(op, 404, "No case of the last 24 hours has this code.", -1);
        return;
    }
    bk_store_reports(s->config.store, bk_view_of_str(code), &op->arena, report_row, &before);
    bool soon = before.n && now - before.newest < REPORT_GAP_MS && now >= before.newest;
    if (before.n >= REPORTS_PER_CASE_MAX || soon || reported_just_now(s, code)) {
        if (op->x)
            bk_http_answer_field(op->x, "Retry-After", BK_VIEW("60"));
        op_say(op, 429, "This case was reported already; wait a minute.", -1);
        return;
    }
    char *text = json_dumps(op->json, JSON_COMPACT);
    struct bk_store_batch *batch = text ? bk_store_batch_create() : NULL;
    if (batch) {
        const struct bk_report row = { .case_code = bk_view_of_str(code),
                                       .at = now,
                                       .client = bk_view_of_str(text),
                                       .ip = op->attempt.ip };
        bk_store_put_report(batch, &row);
    }
    if (text)
        services_json_free(text);
    op->attempt.address = (struct bk_view){ 0 };
    op->reporting = true;
    op_commit(op, batch);
}

static void report_committed(struct op *op)
{
    if (op->reporting)
        op_answer(op, 204, (struct bk_view){ 0 });
    else
        report(op);
}

const struct op_kind op_report = {
    .road = "https-report",
    .begin = report,
    .committed = report_committed,
};
