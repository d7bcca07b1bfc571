/* SPDX-License-Identifier: Apache-2.0 */
/* Contact lists, versions of containers, publications that stay, followers. */
#include "base/cleanup.h"
#include "store/store_private.h"

#include <errno.h>

/* ---- lists ---- */
static void read_list(struct bk_query *q, struct bk_arena *arena, struct bk_contact_list *ret)
{
    ret->owner = bk_query_get(q, 0, arena);
    ret->delta = bk_query_get_int(q, 1);
    ret->next_group = bk_query_get_int(q, 2);
}

int bk_store_contact_list(struct bk_store *store, struct bk_view owner, struct bk_arena *arena,
                          struct bk_contact_list *ret)
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store, "SELECT owner, delta, next_group FROM contact_lists WHERE owner = ?1");
    bk_query_text(&q, 1, owner);
    BK_QUERY_ONE(&q, read_list, arena, bk_contact_list, ret);
}

static int put_list(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(
        bk_store_conn_run(conn,
                          "INSERT INTO contact_lists (owner, delta, next_group) VALUES (?1, ?2, ?3)"
                          " ON CONFLICT (owner) DO UPDATE SET delta = excluded.delta,"
                          " next_group = excluded.next_group",
                          "tii", v));
}

void bk_store_put_contact_list(struct bk_store_batch *batch, const struct bk_contact_list *l)
{
    BK_BATCH_STEP(batch, put_list, BK_VALUE(l->owner), BK_VALUE_INT(l->delta),
                  BK_VALUE_INT(l->next_group));
}

/* ---- groups ---- */
static void read_group(struct bk_query *q, struct bk_arena *arena, struct bk_contact_group *ret)
{
    ret->owner = bk_query_get(q, 0, arena);
    ret->id = bk_query_get_int(q, 1);
    ret->name = bk_query_get(q, 2, arena);
    ret->external = bk_query_get(q, 3, arena);
}

int bk_store_contact_groups(struct bk_store *store, struct bk_view owner, struct bk_arena *arena,
                            BK_STORE_EACH(bk_contact_group))
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store,
                  "SELECT owner, id, name, external FROM contact_groups WHERE owner = ?1"
                  " ORDER BY id");
    bk_query_text(&q, 1, owner);
    BK_QUERY_ALL(&q, read_group, arena, bk_contact_group, each, ctx);
}

static int put_group(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(bk_store_conn_run(
        conn,
        "INSERT INTO contact_groups (owner, id, name, external) VALUES (?1, ?2, ?3, ?4)"
        " ON CONFLICT (owner, id) DO UPDATE SET name = excluded.name,"
        " external = excluded.external",
        "titt", v));
}

void bk_store_put_contact_group(struct bk_store_batch *batch, const struct bk_contact_group *g)
{
    BK_BATCH_STEP(batch, put_group, BK_VALUE(g->owner), BK_VALUE_INT(g->id), BK_VALUE(g->name),
                  BK_VALUE(g->external));
}

static int drop_group(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(bk_store_conn_run(
        conn, "DELETE FROM contact_groups WHERE owner = ?1 AND id = ?2", "ti", v));
}

void bk_store_drop_contact_group(struct bk_store_batch *batch, struct bk_view owner, int64_t id)
{
    BK_BATCH_STEP(batch, drop_group, BK_VALUE(owner), BK_VALUE_INT(id));
}

/* ---- contacts ---- */
static void read_contact(struct bk_query *q, struct bk_arena *arena, struct bk_contact *ret)
{
    ret->owner = bk_query_get(q, 0, arena);
    ret->address = bk_query_get(q, 1, arena);
    ret->name = bk_query_get(q, 2, arena);
    ret->groups = bk_query_get(q, 3, arena);
    ret->subscribed = bk_query_get_int(q, 4) != 0;
    ret->external = bk_query_get(q, 5, arena);
}

int bk_store_contacts(struct bk_store *store, struct bk_view owner, struct bk_arena *arena,
                      BK_STORE_EACH(bk_contact))
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store,
                  "SELECT owner, address, name, member_of, subscribed, external FROM contacts"
                  " WHERE owner = ?1 ORDER BY id");
    bk_query_text(&q, 1, owner);
    BK_QUERY_ALL(&q, read_contact, arena, bk_contact, each, ctx);
}

static int put_contact(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(bk_store_conn_run(
        conn,
        "INSERT INTO contacts (owner, address, name, member_of, subscribed, external)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (owner, address) DO UPDATE SET"
        " name = excluded.name, member_of = excluded.member_of,"
        " subscribed = excluded.subscribed, external = excluded.external",
        "ttttit", v));
}

void bk_store_put_contact(struct bk_store_batch *batch, const struct bk_contact *c)
{
    BK_BATCH_STEP(batch, put_contact, BK_VALUE(c->owner), BK_VALUE(c->address), BK_VALUE(c->name),
                  BK_VALUE(c->groups), BK_VALUE_INT(c->subscribed), BK_VALUE(c->external));
}

static int drop_contact(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(
        bk_store_conn_run(conn, "DELETE FROM contacts WHERE owner = ?1 AND address = ?2", "tt", v));
}

void bk_store_drop_contact(struct bk_store_batch *batch, struct bk_view owner,
                           struct bk_view address)
{
    BK_BATCH_STEP(batch, drop_contact, BK_VALUE(owner), BK_VALUE(address));
}

/* ---- containers ---- */
static void read_container(struct bk_query *q, struct bk_arena *arena, struct bk_container *ret)
{
    ret->owner = bk_query_get(q, 0, arena);
    ret->container = bk_query_get_int(q, 1);
    ret->version = bk_query_get_int(q, 2);
}

int bk_store_containers(struct bk_store *store, struct bk_view owner, struct bk_arena *arena,
                        BK_STORE_EACH(bk_container))
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store,
                  "SELECT owner, container, version FROM containers WHERE owner = ?1"
                  " ORDER BY container");
    bk_query_text(&q, 1, owner);
    BK_QUERY_ALL(&q, read_container, arena, bk_container, each, ctx);
}

static int put_container(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(bk_store_conn_run(
        conn,
        "INSERT INTO containers (owner, container, version) VALUES (?1, ?2, ?3)"
        " ON CONFLICT (owner, container) DO UPDATE SET version = excluded.version",
        "tii", v));
}

void bk_store_put_container(struct bk_store_batch *batch, const struct bk_container *c)
{
    BK_BATCH_STEP(batch, put_container, BK_VALUE(c->owner), BK_VALUE_INT(c->container),
                  BK_VALUE_INT(c->version));
}

/* ---- publications ---- */
static void read_publication(struct bk_query *q, struct bk_arena *arena,
                             struct bk_static_publication *ret)
{
    ret->owner = bk_query_get(q, 0, arena);
    ret->category = bk_query_get(q, 1, arena);
    ret->instance = bk_query_get_int(q, 2);
    ret->container = bk_query_get_int(q, 3);
    ret->version = bk_query_get_int(q, 4);
    ret->at = bk_query_get_int(q, 5);
    ret->document = bk_query_get(q, 6, arena);
}

int bk_store_publications(struct bk_store *store, struct bk_view owner, struct bk_arena *arena,
                          BK_STORE_EACH(bk_static_publication))
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store,
                  "SELECT owner, category, instance, container, version, at, document"
                  " FROM publications WHERE owner = ?1 ORDER BY category, instance, container");
    bk_query_text(&q, 1, owner);
    BK_QUERY_ALL(&q, read_publication, arena, bk_static_publication, each, ctx);
}

static int put_publication(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(bk_store_conn_run(
        conn,
        "INSERT INTO publications (owner, category, instance, container, version, at, document)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (owner, category, instance, container)"
        " DO UPDATE SET version = excluded.version, at = excluded.at,"
        " document = excluded.document",
        "ttiiiit", v));
}

void bk_store_put_publication(struct bk_store_batch *batch, const struct bk_static_publication *p)
{
    BK_BATCH_STEP(batch, put_publication, BK_VALUE(p->owner), BK_VALUE(p->category),
                  BK_VALUE_INT(p->instance), BK_VALUE_INT(p->container), BK_VALUE_INT(p->version),
                  BK_VALUE_INT(p->at), BK_VALUE(p->document));
}

static int drop_publication(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(
        bk_store_conn_run(conn,
                          "DELETE FROM publications WHERE owner = ?1 AND category = ?2"
                          " AND instance = ?3 AND container = ?4",
                          "ttii", v));
}

void bk_store_drop_publication(struct bk_store_batch *batch, struct bk_view owner,
                               struct bk_view category, int64_t instance, int64_t container)
{
    BK_BATCH_STEP(batch, drop_publication, BK_VALUE(owner), BK_VALUE(category),
                  BK_VALUE_INT(instance), BK_VALUE_INT(container));
}

/* ---- followers ---- */
static void read_follower(struct bk_query *q, struct bk_arena *arena, struct bk_follower *ret)
{
    ret->owner = bk_query_get(q, 0, arena);
    ret->follower = bk_query_get(q, 1, arena);
    ret->display_name = bk_query_get(q, 2, arena);
    ret->acknowledged = bk_query_get_int(q, 3) != 0;
    ret->at = bk_query_get_int(q, 4);
}

int bk_store_followers(struct bk_store *store, struct bk_view owner, struct bk_arena *arena,
                       BK_STORE_EACH(bk_follower))
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store,
                  "SELECT owner, follower, display_name, acknowledged, at FROM followers"
                  " WHERE owner = ?1 ORDER BY at, follower");
    bk_query_text(&q, 1, owner);
    BK_QUERY_ALL(&q, read_follower, arena, bk_follower, each, ctx);
}

static int put_follower(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(bk_store_conn_run(
        conn,
        "INSERT INTO followers (owner, follower, display_name, acknowledged, at)"
        " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (owner, follower) DO UPDATE SET"
        " display_name = excluded.display_name, acknowledged = excluded.acknowledged",
        "tttii", v));
}

void bk_store_put_follower(struct bk_store_batch *batch, const struct bk_follower *f)
{
    BK_BATCH_STEP(batch, put_follower, BK_VALUE(f->owner), BK_VALUE(f->follower),
                  BK_VALUE(f->display_name), BK_VALUE_INT(f->acknowledged), BK_VALUE_INT(f->at));
}
