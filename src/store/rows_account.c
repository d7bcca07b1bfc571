/* SPDX-License-Identifier: Apache-2.0 */
/* Tenants, domains, users, their passwords and certificates: what is asked and what is changed, side by side. */
#include "base/cleanup.h"
#include "base/text.h"
#include "store/store_private.h"

#include <errno.h>

/* ---- tenants ---- */
#define TENANT "SELECT t.id, t.name, t.plan, t.state, t.ends_at, t.grace_ms FROM tenants t"

static void read_tenant(struct bk_query *q, struct bk_arena *arena, struct bk_tenant *ret)
{
    ret->id = bk_query_get_int(q, 0);
    ret->name = bk_query_get(q, 1, arena);
    ret->plan = bk_query_get(q, 2, arena);
    ret->state = (enum bk_tenant_state)bk_query_get_int(q, 3);
    ret->ends_at = bk_query_get_int(q, 4);
    ret->grace_ms = bk_query_get_int(q, 5);
}

int bk_store_tenant_by_domain(struct bk_store *store, struct bk_view domain, struct bk_arena *arena,
                              struct bk_tenant *ret)
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store, TENANT " JOIN domains d ON d.tenant_id = t.id WHERE d.name = ?1");
    bk_query_text(&q, 1, domain);
    BK_QUERY_ONE(&q, read_tenant, arena, bk_tenant, ret);
}

int bk_store_tenant(struct bk_store *store, int64_t id, struct bk_arena *arena,
                    struct bk_tenant *ret)
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store, TENANT " WHERE t.id = ?1");
    bk_query_int(&q, 1, id);
    BK_QUERY_ONE(&q, read_tenant, arena, bk_tenant, ret);
}

int bk_store_tenant_by_name(struct bk_store *store, struct bk_view name, struct bk_arena *arena,
                            struct bk_tenant *ret)
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store, TENANT " WHERE t.name = ?1");
    bk_query_text(&q, 1, name);
    BK_QUERY_ONE(&q, read_tenant, arena, bk_tenant, ret);
}

int bk_store_tenants(struct bk_store *store, struct bk_arena *arena, BK_STORE_EACH(bk_tenant))
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store, TENANT " ORDER BY t.name");
    BK_QUERY_ALL(&q, read_tenant, arena, bk_tenant, each, ctx);
}

static int put_tenant(struct bk_store_conn *conn, const struct bk_value *v)
{
    if (v[0].n == 0)
        return bk_store_conn_any(
            bk_store_conn_run(conn,
                              "INSERT INTO tenants (name, plan, state, ends_at, grace_ms)"
                              " VALUES (?2, ?3, ?4, ?5, ?6)",
                              "-ttiii", v));
    return bk_store_conn_run_must(
        conn,
        "UPDATE tenants SET name = ?2, plan = ?3, state = ?4, ends_at = ?5,"
        " grace_ms = ?6 WHERE id = ?1",
        "ittiii", v);
}

void bk_store_put_tenant(struct bk_store_batch *batch, const struct bk_tenant *t)
{
    BK_BATCH_STEP(batch, put_tenant, BK_VALUE_INT(t->id), BK_VALUE(t->name), BK_VALUE(t->plan),
                  BK_VALUE_INT(t->state), BK_VALUE_INT(t->ends_at), BK_VALUE_INT(t->grace_ms));
}

/* ---- domains ---- */
static void read_domain(struct bk_query *q, struct bk_arena *arena, struct bk_domain *ret)
{
    ret->name = bk_query_get(q, 0, arena);
    ret->tenant_id = bk_query_get_int(q, 1);
}

int bk_store_domains(struct bk_store *store, struct bk_arena *arena, BK_STORE_EACH(bk_domain))
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store, "SELECT name, tenant_id FROM domains ORDER BY name");
    BK_QUERY_ALL(&q, read_domain, arena, bk_domain, each, ctx);
}

static int put_domain(struct bk_store_conn *conn, const struct bk_value *v)
{
    int r = bk_store_conn_run(conn,
                              "INSERT INTO domains (name, tenant_id)"
                              " SELECT ?1, id FROM tenants WHERE name = ?2"
                              " ON CONFLICT (name) DO UPDATE SET tenant_id = excluded.tenant_id"
                              " WHERE tenant_id = excluded.tenant_id",
                              "tt", v);
    if (r != 0)
        return bk_store_conn_any(r);
    /* Nothing was touched: no such tenant, or the domain is another tenant's. */
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_begin(&q, conn, "SELECT 1 FROM tenants WHERE name = ?1");
    bk_query_text(&q, 1, v[1].v);
    r = bk_query_step(&q);
    if (r < 0)
        return r;
    return r > 0 ? -EEXIST : -ENOENT;
}

void bk_store_put_domain(struct bk_store_batch *batch, struct bk_view name,
                         struct bk_view tenant_name)
{
    BK_BATCH_STEP(batch, put_domain, BK_VALUE(name), BK_VALUE(tenant_name));
}

static int drop_domain(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_run_must(conn, "DELETE FROM domains WHERE name = ?1", "t", v);
}

void bk_store_drop_domain(struct bk_store_batch *batch, struct bk_view name)
{
    BK_BATCH_STEP(batch, drop_domain, BK_VALUE(name));
}

/* ---- users ---- */
#define USER                                                                                       \
    "SELECT id, tenant_id, address, username, display_name, site, policy, enabled, licensed,"      \
    " password_must_change, created_at, password_changed_at, disabled_at, disabled_by FROM users"

static void read_user(struct bk_query *q, struct bk_arena *arena, struct bk_user *ret)
{
    ret->id = bk_query_get_int(q, 0);
    ret->tenant_id = bk_query_get_int(q, 1);
    ret->address = bk_query_get(q, 2, arena);
    ret->username = bk_query_get(q, 3, arena);
    ret->display_name = bk_query_get(q, 4, arena);
    ret->site = bk_query_get(q, 5, arena);
    ret->policy = bk_query_get(q, 6, arena);
    ret->enabled = bk_query_get_int(q, 7) != 0;
    ret->licensed = bk_query_get_int(q, 8) != 0;
    ret->password_must_change = bk_query_get_int(q, 9) != 0;
    ret->created_at = bk_query_get_int(q, 10);
    ret->password_changed_at = bk_query_get_int(q, 11);
    ret->disabled_at = bk_query_get_int(q, 12);
    ret->disabled_by = bk_query_get(q, 13, arena);
}

int bk_store_user(struct bk_store *store, struct bk_view address, struct bk_arena *arena,
                  struct bk_user *ret)
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store, USER " WHERE address = ?1");
    bk_query_text(&q, 1, address);
    BK_QUERY_ONE(&q, read_user, arena, bk_user, ret);
}

int bk_store_user_by_id(struct bk_store *store, int64_t id, struct bk_arena *arena,
                        struct bk_user *ret)
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store, USER " WHERE id = ?1");
    bk_query_int(&q, 1, id);
    BK_QUERY_ONE(&q, read_user, arena, bk_user, ret);
}

int bk_store_user_by_username(struct bk_store *store, struct bk_view username,
                              struct bk_arena *arena, struct bk_user *ret)
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store, USER " WHERE username = ?1");
    bk_query_text(&q, 1, username);
    BK_QUERY_ONE(&q, read_user, arena, bk_user, ret);
}

int bk_store_users(struct bk_store *store, int64_t tenant_id, struct bk_view after,
                   struct bk_view match, int limit, struct bk_arena *arena, BK_STORE_EACH(bk_user))
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store,
                  USER " WHERE (?1 = 0 OR tenant_id = ?1) AND address > ?2 AND (?3 = ''"
                       " OR instr(address, lower(?3)) > 0"
                       " OR instr(lower(display_name), lower(?3)) > 0)"
                       " ORDER BY address LIMIT ?4");
    bk_query_int(&q, 1, tenant_id);
    bk_query_text(&q, 2, after);
    bk_query_text(&q, 3, match);
    bk_query_int(&q, 4, limit);
    BK_QUERY_ALL(&q, read_user, arena, bk_user, each, ctx);
}

enum {
    USER_ID,
    USER_TENANT,
    USER_ADDRESS,
    USER_USERNAME,
    USER_DISPLAY_NAME,
    USER_SITE,
    USER_POLICY,
    USER_ENABLED,
    USER_LICENSED,
    USER_MUST_CHANGE,
    USER_CREATED_AT,
    USER_DISABLED_AT,
    USER_DISABLED_BY,
};

static int add_login_name(struct bk_store_conn *conn, struct bk_view name, int64_t user_id)
{
    const struct bk_value v[] = { BK_VALUE(name), BK_VALUE_INT(user_id) };
    return bk_store_conn_any(bk_store_conn_run(
        conn, "INSERT INTO login_names (name, user_id) VALUES (?1, ?2)", "ti", v));
}

/* What is kept by address goes along with a new address. */
static int move_address(struct bk_store_conn *conn, const struct bk_value *user)
{
    static const char *const moves[] = {
        "UPDATE offline_messages SET rcpt = ?3"
        " WHERE rcpt = (SELECT address FROM users WHERE id = ?1 AND address <> ?3)",
        "UPDATE OR REPLACE message_keys SET rcpt = ?3"
        " WHERE rcpt = (SELECT address FROM users WHERE id = ?1 AND address <> ?3)",
        "UPDATE OR REPLACE presence_notes SET address = ?3"
        " WHERE address = (SELECT address FROM users WHERE id = ?1 AND address <> ?3)",
        "UPDATE OR REPLACE relations SET owner = ?3"
        " WHERE owner = (SELECT address FROM users WHERE id = ?1 AND address <> ?3)",
        "UPDATE OR REPLACE contact_lists SET owner = ?3"
        " WHERE owner = (SELECT address FROM users WHERE id = ?1 AND address <> ?3)",
        "UPDATE OR REPLACE contact_groups SET owner = ?3"
        " WHERE owner = (SELECT address FROM users WHERE id = ?1 AND address <> ?3)",
        "UPDATE OR REPLACE contacts SET owner = ?3"
        " WHERE owner = (SELECT address FROM users WHERE id = ?1 AND address <> ?3)",
        "UPDATE OR REPLACE containers SET owner = ?3"
        " WHERE owner = (SELECT address FROM users WHERE id = ?1 AND address <> ?3)",
        "UPDATE OR REPLACE publications SET owner = ?3"
        " WHERE owner = (SELECT address FROM users WHERE id = ?1 AND address <> ?3)",
        "UPDATE OR REPLACE followers SET owner = ?3"
        " WHERE owner = (SELECT address FROM users WHERE id = ?1 AND address <> ?3)",
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < BK_COUNT_OF(moves); i++)
        r = bk_store_conn_any(bk_store_conn_run(conn, moves[i], "i-t", user));
    return r;
}

static int put_user(struct bk_store_conn *conn, const struct bk_value *v)
{
    int64_t id = v[USER_ID].n;
    int r;
    if (id == 0) {
        r = bk_store_conn_run(
            conn,
            "INSERT INTO users (tenant_id, address, username, display_name, site, policy,"
            " enabled, licensed, password_must_change, created_at, disabled_at,"
            " disabled_by, password_changed_at)"
            " VALUES (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 0)",
            "-itttttiiiiit", v);
        id = sqlite3_last_insert_rowid(conn->db);
    } else {
        r = move_address(conn, v);
        if (r == 0)
            r = bk_store_conn_run_must(
                conn,
                "UPDATE users SET tenant_id = ?2, address = ?3, username = ?4,"
                " display_name = ?5, site = ?6, policy = ?7, enabled = ?8,"
                " licensed = ?9, password_must_change = ?10, disabled_at = ?12,"
                " disabled_by = ?13 WHERE id = ?1",
                "iitttttiii-it", v);
    }
    if (r < 0)
        return r;
    const struct bk_value who[] = { BK_VALUE_INT(id) };
    r = bk_store_conn_any(
        bk_store_conn_run(conn, "DELETE FROM login_names WHERE user_id = ?1", "i", who));
    if (r == 0)
        r = add_login_name(conn, v[USER_ADDRESS].v, id);
    if (r == 0 && !bk_view_equal(v[USER_ADDRESS].v, v[USER_USERNAME].v))
        r = add_login_name(conn, v[USER_USERNAME].v, id);
    return r;
}

void bk_store_put_user(struct bk_store_batch *batch, const struct bk_user *u)
{
    BK_BATCH_STEP(batch, put_user, BK_VALUE_INT(u->id), BK_VALUE_INT(u->tenant_id),
                  BK_VALUE(u->address), BK_VALUE(u->username.len > 0 ? u->username : u->address),
                  BK_VALUE(u->display_name), BK_VALUE(u->site), BK_VALUE(u->policy),
                  BK_VALUE_INT(u->enabled), BK_VALUE_INT(u->licensed),
                  BK_VALUE_INT(u->password_must_change), BK_VALUE_INT(u->created_at),
                  BK_VALUE_INT(u->disabled_at), BK_VALUE(u->disabled_by));
}

static int drop_user(struct bk_store_conn *conn, const struct bk_value *v)
{
    static const char *const drops[] = {
        "DELETE FROM offline_messages WHERE rcpt = (SELECT address FROM users WHERE id = ?1)",
        "DELETE FROM message_keys WHERE rcpt = (SELECT address FROM users WHERE id = ?1)",
        "DELETE FROM presence_notes WHERE address = (SELECT address FROM users WHERE id = ?1)",
        "DELETE FROM relations WHERE owner = (SELECT address FROM users WHERE id = ?1)",
        "DELETE FROM contact_lists WHERE owner = (SELECT address FROM users WHERE id = ?1)",
        "DELETE FROM contact_groups WHERE owner = (SELECT address FROM users WHERE id = ?1)",
        "DELETE FROM contacts WHERE owner = (SELECT address FROM users WHERE id = ?1)",
        "DELETE FROM containers WHERE owner = (SELECT address FROM users WHERE id = ?1)",
        "DELETE FROM publications WHERE owner = (SELECT address FROM users WHERE id = ?1)",
        "DELETE FROM followers WHERE owner = (SELECT address FROM users WHERE id = ?1)",
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < BK_COUNT_OF(drops); i++)
        r = bk_store_conn_any(bk_store_conn_run(conn, drops[i], "i", v));
    /* Login names, passwords and certificates go with the row. */
    return r < 0 ? r : bk_store_conn_run_must(conn, "DELETE FROM users WHERE id = ?1", "i", v);
}

void bk_store_drop_user(struct bk_store_batch *batch, int64_t id)
{
    BK_BATCH_STEP(batch, drop_user, BK_VALUE_INT(id));
}

/* ---- passwords ---- */
int bk_store_password(struct bk_store *store, int64_t user_id, struct bk_arena *arena,
                      struct bk_view *ret_yescrypt)
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store, "SELECT yescrypt FROM passwords WHERE user_id = ?1");
    bk_query_int(&q, 1, user_id);
    int r = bk_query_step(&q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    struct bk_view hash = bk_query_get(&q, 0, arena);
    if (q.error == 0)
        *ret_yescrypt = hash;
    return q.error;
}

static int put_password(struct bk_store_conn *conn, const struct bk_value *v)
{
    int r =
        bk_store_conn_run_must(conn,
                               "INSERT INTO passwords (user_id, yescrypt)"
                               " SELECT id, ?2 FROM users WHERE address = ?1"
                               " ON CONFLICT (user_id) DO UPDATE SET yescrypt = excluded.yescrypt",
                               "tt", v);
    /* An NT hash is of one password: the new one's comes behind this, or none. */
    if (r == 0)
        r = bk_store_conn_run(conn,
                              "DELETE FROM nt_hashes WHERE user_id ="
                              " (SELECT id FROM users WHERE address = ?1)",
                              "t", v);
    if (r < 0)
        return r;
    return bk_store_conn_run_must(
        conn,
        "UPDATE users SET password_changed_at = ?3, password_must_change = ?4"
        " WHERE address = ?1",
        "t-ii", v);
}

void bk_store_put_password(struct bk_store_batch *batch, struct bk_view address,
                           struct bk_view yescrypt, int64_t at, bool must_change)
{
    BK_BATCH_STEP(batch, put_password, BK_VALUE(address), BK_VALUE(yescrypt), BK_VALUE_INT(at),
                  BK_VALUE_INT(must_change));
}

int bk_store_nt_hash(struct bk_store *store, int64_t user_id, uint8_t ret[BK_NT_HASH_SIZE])
{
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store, "SELECT hash FROM nt_hashes WHERE user_id = ?1");
    bk_query_int(&q, 1, user_id);
    int r = bk_query_step(&q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    struct bk_view hash = bk_query_get(&q, 0, &arena);
    if (q.error == 0 && hash.len == BK_NT_HASH_SIZE) {
        memcpy(ret, hash.at, hash.len);
        bk_wipe((char *)hash.at, hash.len);
    }
    return q.error ? q.error : hash.len == BK_NT_HASH_SIZE ? 0 : -EBADMSG;
}

static int put_nt_hash(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_run_must(conn,
                                  "INSERT INTO nt_hashes (user_id, hash)"
                                  " SELECT id, ?2 FROM users WHERE address = ?1"
                                  " ON CONFLICT (user_id) DO UPDATE SET hash = excluded.hash",
                                  "tb", v);
}

void bk_store_put_nt_hash(struct bk_store_batch *batch, struct bk_view address,
                          const uint8_t hash[BK_NT_HASH_SIZE])
{
    struct bk_view bytes = { (const char *)hash, BK_NT_HASH_SIZE };
    BK_BATCH_STEP(batch, put_nt_hash, BK_VALUE(address), BK_VALUE(bytes));
}

static int drop_nt_hash(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(
        bk_store_conn_run(conn, "DELETE FROM nt_hashes WHERE user_id = ?1", "i", v));
}

void bk_store_drop_nt_hash(struct bk_store_batch *batch, int64_t user_id)
{
    BK_BATCH_STEP(batch, drop_nt_hash, BK_VALUE_INT(user_id));
}

static void read_nt_hash_owner(struct bk_query *q, struct bk_arena *arena,
                               struct bk_nt_hash_owner *ret)
{
    (void)arena;
    ret->user_id = bk_query_get_int(q, 0);
}

int bk_store_nt_hash_owners(struct bk_store *store, struct bk_arena *arena,
                            BK_STORE_EACH(bk_nt_hash_owner))
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store, "SELECT user_id FROM nt_hashes ORDER BY user_id");
    BK_QUERY_ALL(&q, read_nt_hash_owner, arena, bk_nt_hash_owner, each, ctx);
}

static void read_device_password(struct bk_query *q, struct bk_arena *arena,
                                 struct bk_device_password *ret)
{
    ret->id = bk_query_get_int(q, 0);
    ret->user_id = bk_query_get_int(q, 1);
    ret->label = bk_query_get(q, 2, arena);
    ret->algorithm = bk_query_get(q, 3, arena);
    ret->ha1_user = bk_query_get(q, 4, arena);
    ret->ha1_address = bk_query_get(q, 5, arena);
    ret->created_at = bk_query_get_int(q, 6);
}

int bk_store_device_passwords(struct bk_store *store, int64_t user_id, struct bk_arena *arena,
                              BK_STORE_EACH(bk_device_password))
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store,
                  "SELECT id, user_id, label, algorithm, ha1_user, ha1_address, created_at"
                  " FROM device_passwords WHERE user_id = ?1 ORDER BY id");
    bk_query_int(&q, 1, user_id);
    BK_QUERY_ALL(&q, read_device_password, arena, bk_device_password, each, ctx);
}

static int put_device_password(struct bk_store_conn *conn, const struct bk_value *v)
{
    if (v[1].n == 0)
        return bk_store_conn_run_must(
            conn,
            "INSERT INTO device_passwords"
            " (user_id, label, algorithm, ha1_user, ha1_address, created_at)"
            " SELECT id, ?3, ?4, ?5, ?6, ?7 FROM users WHERE address = ?1",
            "t-tttti", v);
    return bk_store_conn_run_must(
        conn,
        "UPDATE device_passwords SET label = ?3, algorithm = ?4, ha1_user = ?5,"
        " ha1_address = ?6, created_at = ?7 WHERE id = ?2"
        " AND user_id = (SELECT id FROM users WHERE address = ?1)",
        "titttti", v);
}

void bk_store_put_device_password(struct bk_store_batch *batch, struct bk_view address,
                                  const struct bk_device_password *p)
{
    BK_BATCH_STEP(batch, put_device_password, BK_VALUE(address), BK_VALUE_INT(p->id),
                  BK_VALUE(p->label), BK_VALUE(p->algorithm), BK_VALUE(p->ha1_user),
                  BK_VALUE(p->ha1_address), BK_VALUE_INT(p->created_at));
}

static int drop_device_password(struct bk_store_conn *conn, const struct bk_value *v)
{
    if (v[1].n == 0)
        return bk_store_conn_any(
            bk_store_conn_run(conn, "DELETE FROM device_passwords WHERE user_id = ?1", "i", v));
    return bk_store_conn_run_must(
        conn, "DELETE FROM device_passwords WHERE user_id = ?1 AND id = ?2", "ii", v);
}

void bk_store_drop_device_password(struct bk_store_batch *batch, int64_t user_id, int64_t id)
{
    BK_BATCH_STEP(batch, drop_device_password, BK_VALUE_INT(user_id), BK_VALUE_INT(id));
}

/* ---- certificates ---- */
#define CERTIFICATE                                                                                \
    "SELECT serial, user_id, device_id, device_name, device_kind, fingerprint, issued_at,"         \
    " not_before, not_after, revoked_at, revoked_by, revoked_why FROM certificates"

static void read_certificate(struct bk_query *q, struct bk_arena *arena, struct bk_certificate *ret)
{
    ret->serial = bk_query_get(q, 0, arena);
    ret->user_id = bk_query_get_int(q, 1);
    ret->device_id = bk_query_get(q, 2, arena);
    ret->device_name = bk_query_get(q, 3, arena);
    ret->device_kind = bk_query_get(q, 4, arena);
    ret->fingerprint = bk_query_get(q, 5, arena);
    ret->issued_at = bk_query_get_int(q, 6);
    ret->not_before = bk_query_get_int(q, 7);
    ret->not_after = bk_query_get_int(q, 8);
    ret->revoked_at = bk_query_get_int(q, 9);
    ret->revoked_by = bk_query_get(q, 10, arena);
    ret->revoked_why = bk_query_get(q, 11, arena);
}

int bk_store_certificate(struct bk_store *store, struct bk_view serial, struct bk_arena *arena,
                         struct bk_certificate *ret)
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store, CERTIFICATE " WHERE serial = ?1");
    bk_query_text(&q, 1, serial);
    BK_QUERY_ONE(&q, read_certificate, arena, bk_certificate, ret);
}

int bk_store_certificates(struct bk_store *store, int64_t user_id, struct bk_arena *arena,
                          BK_STORE_EACH(bk_certificate))
{
    BK_CLEANUP(bk_query_end) struct bk_query q;
    bk_query_read(&q, store, CERTIFICATE " WHERE user_id = ?1 ORDER BY issued_at, serial");
    bk_query_int(&q, 1, user_id);
    BK_QUERY_ALL(&q, read_certificate, arena, bk_certificate, each, ctx);
}

static int put_certificate(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(bk_store_conn_run(
        conn,
        "INSERT INTO certificates (serial, user_id, device_id, device_name, device_kind,"
        " fingerprint, issued_at, not_before, not_after, revoked_at, revoked_by, revoked_why)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        "tittttiiiitt", v));
}

void bk_store_put_certificate(struct bk_store_batch *batch, const struct bk_certificate *c)
{
    BK_BATCH_STEP(batch, put_certificate, BK_VALUE(c->serial), BK_VALUE_INT(c->user_id),
                  BK_VALUE(c->device_id), BK_VALUE(c->device_name), BK_VALUE(c->device_kind),
                  BK_VALUE(c->fingerprint), BK_VALUE_INT(c->issued_at), BK_VALUE_INT(c->not_before),
                  BK_VALUE_INT(c->not_after), BK_VALUE_INT(c->revoked_at), BK_VALUE(c->revoked_by),
                  BK_VALUE(c->revoked_why));
}

/* The first revocation stands: who and why are not overwritten by a later one. */
static int revoke_certificate(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_run_must(
        conn,
        "UPDATE certificates SET"
        " revoked_by = CASE WHEN revoked_at = 0 THEN ?3 ELSE revoked_by END,"
        " revoked_why = CASE WHEN revoked_at = 0 THEN ?4 ELSE revoked_why END,"
        " revoked_at = CASE WHEN revoked_at = 0 THEN ?2 ELSE revoked_at END WHERE serial = ?1",
        "titt", v);
}

void bk_store_revoke_certificate(struct bk_store_batch *batch, struct bk_view serial, int64_t at,
                                 struct bk_view by, struct bk_view why)
{
    BK_BATCH_STEP(batch, revoke_certificate, BK_VALUE(serial), BK_VALUE_INT(at), BK_VALUE(by),
                  BK_VALUE(why));
}

static int revoke_certificates_of(struct bk_store_conn *conn, const struct bk_value *v)
{
    return bk_store_conn_any(
        bk_store_conn_run(conn,
                          "UPDATE certificates SET revoked_at = ?2, revoked_by = ?3,"
                          " revoked_why = ?4 WHERE user_id = ?1 AND revoked_at = 0",
                          "iitt", v));
}

void bk_store_revoke_certificates_of(struct bk_store_batch *batch, int64_t user_id, int64_t at,
                                     struct bk_view by, struct bk_view why)
{
    BK_BATCH_STEP(batch, revoke_certificates_of, BK_VALUE_INT(user_id), BK_VALUE_INT(at),
                  BK_VALUE(by), BK_VALUE(why));
}
