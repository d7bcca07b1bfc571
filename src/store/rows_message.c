/* SPDX-License-Identifier: Apache-2.0 */
/* Messages for somebody who was away, and the keys by which a repeat is known. */
#include "base/cleanup.h"
#include "store/store_private.h"

#include <errno.h>

int bk_store_message_key(struct bk_store *store, struct bk_view rcpt, struct bk_view key)
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store,
                  "SELECT 1 FROM message_keys WHERE rcpt = ?1 AND key = ?2 UNION ALL"
                  " SELECT 1 FROM offline_messages WHERE rcpt = ?1 AND key = ?2 LIMIT 1");
    bk_query_text(&q, 1, rcpt);
    bk_query_blob(&q, 2, key);
    int r = bk_query_step(&q);
    if (r < 0)
        return r;
    return r > 0 ? 0 : -ENOENT;
}

static void read_offline(struct bk_query *q, struct bk_arena *arena, struct bk_offline_message *ret)
{
    ret->id = bk_query_get_int(q, 0);
    ret->rcpt = bk_query_get(q, 1, arena);
    ret->sender = bk_query_get(q, 2, arena);
    ret->sender_display = bk_query_get(q, 3, arena);
    ret->key = bk_query_get(q, 4, arena);
    ret->call_id = bk_query_get(q, 5, arena);
    ret->from_tag = bk_query_get(q, 6, arena);
    ret->to_uri = bk_query_get(q, 7, arena);
    ret->cseq = (uint32_t)bk_query_get_int(q, 8);
    ret->content_type = bk_query_get(q, 9, arena);
    ret->body = bk_query_get(q, 10, arena);
    ret->at = bk_query_get_int(q, 11);
}

int bk_store_offline(struct bk_store *store, struct bk_view rcpt, int64_t after, int limit,
                     struct bk_arena *arena, BK_STORE_EACH(bk_offline_message))
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store,
                  "SELECT id, rcpt, sender, sender_display, key, call_id, from_tag, to_uri, cseq,"
                  " content_type, body, at FROM offline_messages"
                  " WHERE rcpt = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
    bk_query_text(&q, 1, rcpt);
    bk_query_int(&q, 2, after);
    bk_query_int(&q, 3, limit);
    BK_QUERY_ALL(&q, read_offline, arena, bk_offline_message, each, ctx);
}

int bk_store_offline_count(struct bk_store *store, struct bk_view rcpt, int64_t *ret_n,
                           int64_t *ret_bytes)
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store,
                  "SELECT count(*), coalesce(sum(size), 0) FROM offline_messages WHERE rcpt = ?1");
    bk_query_text(&q, 1, rcpt);
    int r = bk_query_step(&q);
    if (r < 0)
        return r;
    *ret_n = bk_query_get_int(&q, 0);
    *ret_bytes = bk_query_get_int(&q, 1);
    return 0;
}

enum { OFFLINE_RCPT, OFFLINE_KEY, OFFLINE_AT };

static int put_offline(struct bk_store_conn *conn, const struct bk_value *v)
{
    int r = bk_store_conn_run(conn,
                              "INSERT INTO message_keys (rcpt, key, at) VALUES (?1, ?2, ?3)"
                              " ON CONFLICT DO NOTHING",
                              "tbi", v);
    if (r <= 0)
        return r;
    return bk_store_conn_any(bk_store_conn_run(
        conn,
        "INSERT INTO offline_messages (rcpt, key, at, sender, sender_display, call_id, from_tag,"
        " to_uri, cseq, content_type, body, size)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT DO NOTHING",
        "tbitttttitbi", v));
}

void bk_store_put_offline(struct bk_store_batch *batch, const struct bk_offline_message *m)
{
    BK_BATCH_STEP(batch, put_offline, [OFFLINE_RCPT] = BK_VALUE(m->rcpt),
                  [OFFLINE_KEY] = BK_VALUE(m->key), [OFFLINE_AT] = BK_VALUE_INT(m->at),
                  BK_VALUE(m->sender), BK_VALUE(m->sender_display), BK_VALUE(m->call_id),
                  BK_VALUE(m->from_tag), BK_VALUE(m->to_uri), BK_VALUE_INT(m->cseq),
                  BK_VALUE(m->content_type), BK_VALUE(m->body), BK_VALUE_INT(m->body.len));
}

static int drop_offline(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(
        bk_store_conn_run(conn, "DELETE FROM offline_messages WHERE id = ?1", "i", v));
}

void bk_store_drop_offline(struct bk_store_batch *batch, int64_t id)
{
    BK_BATCH_STEP(batch, drop_offline, BK_VALUE_INT(id));
}

static int drop_offline_key(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(bk_store_conn_run(
        conn, "DELETE FROM offline_messages WHERE rcpt = ?1 AND key = ?2", "tb", v));
}

void bk_store_drop_offline_key(struct bk_store_batch *batch, struct bk_view rcpt,
                               struct bk_view key)
{
    BK_BATCH_STEP(batch, drop_offline_key, BK_VALUE(rcpt), BK_VALUE(key));
}

static int forget_message_keys(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(
        bk_store_conn_run(conn,
                          "DELETE FROM message_keys WHERE (rcpt, key) IN (SELECT rcpt, key FROM"
                          " message_keys WHERE at < ?1 ORDER BY at LIMIT 50000)",
                          "i", v));
}

void bk_store_forget_message_keys(struct bk_store_batch *batch, int64_t before)
{
    BK_BATCH_STEP(batch, forget_message_keys, BK_VALUE_INT(before));
}
