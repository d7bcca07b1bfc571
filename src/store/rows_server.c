/* SPDX-License-Identifier: Apache-2.0 */
/* Presence notes, privacy relations, policies, settings, the server's secrets, the audit. */
#include "base/cleanup.h"
#include "store/store_private.h"

#include <errno.h>

/* ---- presence notes ---- */
static void read_note(struct bk_query *q, struct bk_arena *arena, struct bk_presence_note *ret)
{
    ret->address = bk_query_get(q, 0, arena);
    ret->manual = bk_query_get(q, 1, arena);
    ret->note = bk_query_get(q, 2, arena);
    ret->at = bk_query_get_int(q, 3);
}

int bk_store_presence_note(struct bk_store *store, struct bk_view address, struct bk_arena *arena,
                           struct bk_presence_note *ret)
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store,
                  "SELECT address, manual, note, at FROM presence_notes WHERE address = ?1");
    bk_query_text(&q, 1, address);
    BK_QUERY_ONE(&q, read_note, arena, bk_presence_note, ret);
}

static int put_note(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(
        bk_store_conn_run(conn,
                          "INSERT INTO presence_notes (address, manual, note, at)"
                          " VALUES (?1, ?2, ?3, ?4) ON CONFLICT (address) DO UPDATE SET"
                          " manual = excluded.manual, note = excluded.note,"
                          " at = excluded.at",
                          "ttti", v));
}

void bk_store_put_presence_note(struct bk_store_batch *batch, const struct bk_presence_note *n)
{
    BK_BATCH_STEP(batch, put_note, BK_VALUE(n->address), BK_VALUE(n->manual), BK_VALUE(n->note),
                  BK_VALUE_INT(n->at));
}

/* ---- relations ---- */
static void read_relation(struct bk_query *q, struct bk_arena *arena, struct bk_relation *ret)
{
    ret->owner = bk_query_get(q, 0, arena);
    ret->subject = bk_query_get(q, 1, arena);
    ret->level = (int)bk_query_get_int(q, 2);
}

int bk_store_relations(struct bk_store *store, struct bk_view owner, struct bk_arena *arena,
                       BK_STORE_EACH(bk_relation))
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store,
                  "SELECT owner, subject, level FROM relations WHERE owner = ?1 ORDER BY subject");
    bk_query_text(&q, 1, owner);
    BK_QUERY_ALL(&q, read_relation, arena, bk_relation, each, ctx);
}

static int put_relation(struct bk_store_conn *conn, const struct bk_value *v)
{
    if (v[2].n == 0)
        return bk_store_conn_any(bk_store_conn_run(
            conn, "DELETE FROM relations WHERE owner = ?1 AND subject = ?2", "tt", v));
    return bk_store_conn_any(
        bk_store_conn_run(conn,
                          "INSERT INTO relations (owner, subject, level) VALUES (?1, ?2, ?3)"
                          " ON CONFLICT (owner, subject) DO UPDATE SET level = excluded.level",
                          "tti", v));
}

void bk_store_put_relation(struct bk_store_batch *batch, const struct bk_relation *r)
{
    BK_BATCH_STEP(batch, put_relation, BK_VALUE(r->owner), BK_VALUE(r->subject),
                  BK_VALUE_INT(r->level));
}

/* ---- policies ---- */
static void read_policy(struct bk_query *q, struct bk_arena *arena, struct bk_policy_value *ret)
{
    ret->scope = bk_query_get(q, 0, arena);
    ret->name = bk_query_get(q, 1, arena);
    ret->key = bk_query_get(q, 2, arena);
    ret->value = bk_query_get(q, 3, arena);
}

int bk_store_policies(struct bk_store *store, struct bk_arena *arena,
                      BK_STORE_EACH(bk_policy_value))
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store,
                  "SELECT scope, name, key, value FROM policies ORDER BY scope, name, key");
    BK_QUERY_ALL(&q, read_policy, arena, bk_policy_value, each, ctx);
}

static int put_policy(struct bk_store_conn *conn, const struct bk_value *v)
{
    if (!v[3].v.at)
        return bk_store_conn_any(bk_store_conn_run(
            conn, "DELETE FROM policies WHERE scope = ?1 AND name = ?2 AND key = ?3", "ttt", v));
    return bk_store_conn_any(
        bk_store_conn_run(conn,
                          "INSERT INTO policies (scope, name, key, value) VALUES (?1, ?2, ?3, ?4)"
                          " ON CONFLICT (scope, name, key) DO UPDATE SET value = excluded.value",
                          "tttt", v));
}

void bk_store_put_policy(struct bk_store_batch *batch, const struct bk_policy_value *p)
{
    BK_BATCH_STEP(batch, put_policy, BK_VALUE(p->scope), BK_VALUE(p->name), BK_VALUE(p->key),
                  BK_VALUE(p->value));
}

/* ---- settings ---- */
static void read_setting(struct bk_query *q, struct bk_arena *arena, struct bk_setting *ret)
{
    ret->key = bk_query_get(q, 0, arena);
    ret->value = bk_query_get(q, 1, arena);
}

int bk_store_setting(struct bk_store *store, struct bk_view key, struct bk_arena *arena,
                     struct bk_view *ret_value)
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store, "SELECT value FROM settings WHERE key = ?1");
    bk_query_text(&q, 1, key);
    int r = bk_query_step(&q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    struct bk_view value = bk_query_get(&q, 0, arena);
    if (q.error == 0)
        *ret_value = value;
    return q.error;
}

int bk_store_settings(struct bk_store *store, struct bk_arena *arena, BK_STORE_EACH(bk_setting))
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store, "SELECT key, value FROM settings ORDER BY key");
    BK_QUERY_ALL(&q, read_setting, arena, bk_setting, each, ctx);
}

static int put_setting(struct bk_store_conn *conn, const struct bk_value *v)
{
    if (!v[1].v.at)
        return bk_store_conn_any(
            bk_store_conn_run(conn, "DELETE FROM settings WHERE key = ?1", "t", v));
    return bk_store_conn_any(
        bk_store_conn_run(conn,
                          "INSERT INTO settings (key, value) VALUES (?1, ?2)"
                          " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                          "tt", v));
}

void bk_store_put_setting(struct bk_store_batch *batch, struct bk_view key, struct bk_view value)
{
    BK_BATCH_STEP(batch, put_setting, BK_VALUE(key), BK_VALUE(value));
}

/* ---- secrets ---- */
int bk_store_secret(struct bk_store *store, struct bk_view name, struct bk_arena *arena,
                    struct bk_view *ret_bytes)
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store, "SELECT bytes FROM secrets WHERE name = ?1");
    bk_query_text(&q, 1, name);
    int r = bk_query_step(&q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    struct bk_view bytes = bk_query_get(&q, 0, arena);
    if (q.error == 0)
        *ret_bytes = bytes;
    return q.error;
}

static int put_secret(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(
        bk_store_conn_run(conn,
                          "INSERT INTO secrets (name, bytes) VALUES (?1, ?2)"
                          " ON CONFLICT (name) DO UPDATE SET bytes = excluded.bytes",
                          "tb", v));
}

void bk_store_put_secret(struct bk_store_batch *batch, struct bk_view name, struct bk_view bytes)
{
    BK_BATCH_STEP(batch, put_secret, BK_VALUE(name), BK_VALUE(bytes));
}

/* ---- audit ---- */
static void read_audit(struct bk_query *q, struct bk_arena *arena, struct bk_audit *ret)
{
    ret->id = bk_query_get_int(q, 0);
    ret->at = bk_query_get_int(q, 1);
    ret->actor = bk_query_get(q, 2, arena);
    ret->what = bk_query_get(q, 3, arena);
    ret->target = bk_query_get(q, 4, arena);
    ret->detail = bk_query_get(q, 5, arena);
}

int bk_store_audits(struct bk_store *store, int limit, struct bk_arena *arena,
                    BK_STORE_EACH(bk_audit))
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store,
                  "SELECT id, at, actor, what, target, detail FROM audits ORDER BY id DESC"
                  " LIMIT ?1");
    bk_query_int(&q, 1, limit);
    BK_QUERY_ALL(&q, read_audit, arena, bk_audit, each, ctx);
}

static int put_audit(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(bk_store_conn_run(
        conn, "INSERT INTO audits (at, actor, what, target, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
        "itttt", v));
}

void bk_store_put_audit(struct bk_store_batch *batch, const struct bk_audit *a)
{
    BK_BATCH_STEP(batch, put_audit, BK_VALUE_INT(a->at), BK_VALUE(a->actor), BK_VALUE(a->what),
                  BK_VALUE(a->target), BK_VALUE(a->detail));
}
