/* SPDX-License-Identifier: Apache-2.0 */
/* The history of sign-ins, and what clients reported about a case. */
#include "base/cleanup.h"
#include "store/store_private.h"

#include <errno.h>

enum {
    SHARE_MS = 60000
}; /* repeats of one refusal within this time share a row and its case code */

static void read_signin(struct bk_query *q, struct bk_arena *arena, struct bk_signin *ret)
{
    ret->id = bk_query_get_int(q, 0);
    ret->at = bk_query_get_int(q, 1);
    ret->last_at = bk_query_get_int(q, 2);
    ret->count = bk_query_get_int(q, 3);
    ret->address = bk_query_get(q, 4, arena);
    ret->user_id = bk_query_get_int(q, 5);
    ret->endpoint = bk_query_get(q, 6, arena);
    ret->client = bk_query_get(q, 7, arena);
    ret->device = bk_query_get(q, 8, arena);
    ret->ip = bk_query_get(q, 9, arena);
    ret->transport = bk_query_get(q, 10, arena);
    ret->road = bk_query_get(q, 11, arena);
    ret->ok = bk_query_get_int(q, 12) != 0;
    ret->status = (int)bk_query_get_int(q, 13);
    ret->diagnostics = (uint32_t)bk_query_get_int(q, 14);
    ret->record = bk_query_get(q, 15, arena);
    ret->case_code = bk_query_get(q, 16, arena);
    ret->detail = bk_query_get(q, 17, arena);
    ret->ended_at = bk_query_get_int(q, 18);
    ret->end = (enum bk_signin_end)bk_query_get_int(q, 19);
}

#define SIGNIN                                                                                     \
    "SELECT id, at, last_at, count, address, user_id, endpoint, client, device, ip, transport,"    \
    " road, ok, status, diagnostics, record, case_code, detail, ended_at, ended FROM signins"

int bk_store_signins(struct bk_store *store, struct bk_view address, struct bk_view case_code,
                     int limit, struct bk_arena *arena, BK_STORE_EACH(bk_signin))
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    if (case_code.len > 0)
        bk_query_read(&q, store,
                      SIGNIN " WHERE case_code <> '' AND case_code = ?2 AND (?1 = '' OR"
                             " address = ?1) ORDER BY id DESC LIMIT ?3");
    else if (address.len > 0)
        bk_query_read(&q, store,
                      SIGNIN " WHERE address = ?1 AND ?2 = '' ORDER BY id DESC LIMIT ?3");
    else
        bk_query_read(&q, store, SIGNIN " WHERE ?1 = '' AND ?2 = '' ORDER BY id DESC LIMIT ?3");
    bk_query_text(&q, 1, address);
    bk_query_text(&q, 2, case_code);
    bk_query_int(&q, 3, limit);
    BK_QUERY_ALL(&q, read_signin, arena, bk_signin, each, ctx);
}

/* The row that a refusal of address, record and ip at ?4 joins; the limit of one minute in both directions because clocks step. */
#define SHARED                                                                                     \
    " FROM signins WHERE address = ?1 AND ok = 0 AND record = ?2 AND ip = ?3"                      \
    " AND at > ?4 - ?5 AND at < ?4 + ?5 ORDER BY at DESC, id DESC LIMIT 1"

int bk_store_signin_case(struct bk_store *store, struct bk_view address, struct bk_view record,
                         struct bk_view ip, int64_t at, struct bk_arena *arena,
                         struct bk_view *ret_case_code)
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store, "SELECT case_code" SHARED);
    bk_query_text(&q, 1, address);
    bk_query_text(&q, 2, record);
    bk_query_text(&q, 3, ip);
    bk_query_int(&q, 4, at);
    bk_query_int(&q, 5, SHARE_MS);
    int r = bk_query_step(&q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    struct bk_view code = bk_query_get(&q, 0, arena);
    if (q.error == 0)
        *ret_case_code = code;
    return q.error;
}

enum {
    SIGNIN_ADDRESS,
    SIGNIN_RECORD,
    SIGNIN_IP,
    SIGNIN_AT,
    SIGNIN_SHARE_MS,
    SIGNIN_COUNT,
    SIGNIN_LAST_AT,
    SIGNIN_OK,
};

static int put_signin(struct bk_store_conn *conn, const struct bk_value *v)
{
    if (v[SIGNIN_OK].n == 0) {
        int r =
            bk_store_conn_run(conn,
                              "UPDATE signins SET count = count + ?6, last_at = max(last_at, ?7)"
                              " WHERE id = (SELECT id" SHARED ")",
                              "tttiiii", v);
        if (r != 0)
            return bk_store_conn_any(r);
    }
    return bk_store_conn_any(bk_store_conn_run(
        conn,
        "INSERT INTO signins (address, record, ip, at, count, last_at, ok, user_id, endpoint,"
        " client, device, transport, road, status, diagnostics, case_code, detail, ended_at, ended)"
        " VALUES (?1, ?2, ?3, ?4, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,"
        " ?20)",
        "ttti-iiiitttttiittii", v));
}

void bk_store_put_signin(struct bk_store_batch *batch, const struct bk_signin *s)
{
    BK_BATCH_STEP(batch, put_signin, [SIGNIN_ADDRESS] = BK_VALUE(bk_view_head(s->address, 320)),
                  [SIGNIN_RECORD] = BK_VALUE(s->record), [SIGNIN_IP] = BK_VALUE(s->ip),
                  [SIGNIN_AT] = BK_VALUE_INT(s->at), [SIGNIN_SHARE_MS] = BK_VALUE_INT(SHARE_MS),
                  [SIGNIN_COUNT] = BK_VALUE_INT(s->count > 0 ? s->count : 1),
                  [SIGNIN_LAST_AT] = BK_VALUE_INT(s->last_at > s->at ? s->last_at : s->at),
                  [SIGNIN_OK] = BK_VALUE_INT(s->ok), BK_VALUE_INT(s->user_id),
                  BK_VALUE(s->endpoint), BK_VALUE(s->client), BK_VALUE(s->device),
                  BK_VALUE(s->transport), BK_VALUE(s->road), BK_VALUE_INT(s->status),
                  BK_VALUE_INT(s->diagnostics), BK_VALUE(s->case_code), BK_VALUE(s->detail),
                  BK_VALUE_INT(s->ended_at), BK_VALUE_INT(s->end));
}

static int end_signin(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(bk_store_conn_run(conn,
                                               "UPDATE signins SET ended_at = ?3, ended = ?4"
                                               " WHERE ok = 1 AND ended_at = 0 AND address = ?1"
                                               " AND endpoint = ?2",
                                               "ttii", v));
}

void bk_store_end_signin(struct bk_store_batch *batch, struct bk_view address,
                         struct bk_view endpoint, int64_t at, enum bk_signin_end end)
{
    BK_BATCH_STEP(batch, end_signin, BK_VALUE(address), BK_VALUE(endpoint), BK_VALUE_INT(at),
                  BK_VALUE_INT(end));
}

static int end_all_signins(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(bk_store_conn_run(conn,
                                               "UPDATE signins SET ended_at = ?1, ended = ?2"
                                               " WHERE ok = 1 AND ended_at = 0",
                                               "ii", v));
}

void bk_store_end_all_signins(struct bk_store_batch *batch, int64_t at, enum bk_signin_end end)
{
    BK_BATCH_STEP(batch, end_all_signins, BK_VALUE_INT(at), BK_VALUE_INT(end));
}

static int forget_signins(struct bk_store_conn *conn, const struct bk_value *v)
{
    int r = bk_store_conn_run(
        conn,
        "DELETE FROM signins WHERE id IN (SELECT id FROM signins WHERE last_at < ?1"
        " AND NOT (ok = 1 AND ended_at = 0) ORDER BY last_at LIMIT 10000)",
        "i", v);
    if (r < 0)
        return r;
    return bk_store_conn_any(
        bk_store_conn_run(conn,
                          "DELETE FROM reports WHERE id IN (SELECT id"
                          " FROM reports WHERE at < ?1 ORDER BY at LIMIT 10000)",
                          "i", v));
}

void bk_store_forget_signins(struct bk_store_batch *batch, int64_t before)
{
    BK_BATCH_STEP(batch, forget_signins, BK_VALUE_INT(before));
}

/* ---- reports ---- */
static void read_report(struct bk_query *q, struct bk_arena *arena, struct bk_report *ret)
{
    ret->case_code = bk_query_get(q, 0, arena);
    ret->at = bk_query_get_int(q, 1);
    ret->client = bk_query_get(q, 2, arena);
    ret->ip = bk_query_get(q, 3, arena);
}

int bk_store_reports(struct bk_store *store, struct bk_view case_code, struct bk_arena *arena,
                     BK_STORE_EACH(bk_report))
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store,
                  "SELECT case_code, at, client, ip FROM reports WHERE case_code = ?1 ORDER BY id");
    bk_query_text(&q, 1, case_code);
    BK_QUERY_ALL(&q, read_report, arena, bk_report, each, ctx);
}

static int put_report(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(bk_store_conn_run(
        conn, "INSERT INTO reports (case_code, at, client, ip) VALUES (?1, ?2, ?3, ?4)", "titt",
        v));
}

void bk_store_put_report(struct bk_store_batch *batch, const struct bk_report *r)
{
    BK_BATCH_STEP(batch, put_report, BK_VALUE(r->case_code), BK_VALUE_INT(r->at),
                  BK_VALUE(r->client), BK_VALUE(r->ip));
}
