/* SPDX-License-Identifier: Apache-2.0 */
#include "server/admin.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "record/record.h"
#include "server/authority.h"
#include "server/core.h"
#include "sip/digest.h"
#include "sip/uri.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    LIST_MAX = 1000,
    USERS_MAX = 500, /* of one import request */
    NAMES_MAX = 128, /* of one server certificate */
    CERTIFICATE_DAYS = 825,
    NAME_MAX_BYTES = 256,
};

struct bk_admin {
    struct bk_admin_config config;
};

/* One operation under way. */
struct call {
    struct bk_admin *admin;
    const char *op, *actor;
    json_t *args;
    struct bk_arena arena;
    struct bk_store_batch *batch; /* filled by the operation; NULL: it only reads */
    json_t *result;
    bool failed;
    bool directory_changed;
    char changed[BK_SIP_AOR_MAX + 1]; /* address whose account changed; "" */
    void (*reply)(void *ctx, json_t *answer);
    void *ctx;
};

/* ---- answers ---- */

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

static json_t *failure(const char *code, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static json_t *failure(const char *code, const char *at, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    /* What was cut may have been cut within a character. */
    while (!bk_utf8_valid(bk_view_of_str(text)) && text[0])
        text[strlen(text) - 1] = '\0';
    json_t *error = json_pack("{s:s, s:s}", "code", code, "text", text);
    if (at)
        json_object_set_new(error, "at", json_string(at));
    return json_pack("{s:b, s:o}", "ok", 0, "error", error);
}

#define FAIL(call_, code_, at_, ...)                                                               \
    do {                                                                                           \
        (call_)->failed = true;                                                                    \
        json_decref((call_)->result);                                                              \
        (call_)->result = failure(code_, at_, __VA_ARGS__);                                        \
        return;                                                                                    \
    } while (0)

static json_t *view(struct bk_view v)
{
    json_t *j = json_stringn(v.at ? v.at : "", v.len);
    return j ? j : json_string("?"); /* not UTF-8 */
}

static json_t *when(int64_t real_ms)
{
    char text[32];
    if (!real_ms)
        return json_null();
    bk_time_iso(real_ms, false, text);
    return json_string(text);
}

/* ---- arguments ---- */

/* Text of an argument, the empty view where missing. */
static struct bk_view arg(const struct call *call, const char *key)
{
    const json_t *j = json_object_get(call->args, key);
    return json_is_string(j) ? (struct bk_view){ json_string_value(j), json_string_length(j) }
                             : (struct bk_view){ 0 };
}

static struct bk_view arg_lower(struct call *call, const char *key)
{
    struct bk_view v = bk_arena_copy(&call->arena, arg(call, key));
    bk_text_lower((char *)v.at, v.len);
    return v;
}

static struct bk_store_batch *batch(struct call *call)
{
    if (!call->batch)
        call->batch = bk_store_batch_create();
    return call->batch;
}

static int64_t now(const struct call *call)
{
    return bk_clock_real_ms(call->admin->config.clock);
}

static struct bk_store *store(const struct call *call)
{
    return call->admin->config.store;
}

/* "ann@example.org" or "sip:ann@..", lower case. Fails the call with the place of what is wrong. */
static bool address_arg(struct call *call, struct bk_view *ret)
{
    struct bk_view v = arg_lower(call, "address");
    size_t at;
    const char *why;
    if (bk_view_starts_with(v, BK_VIEW("sip:")))
        v = bk_view_skip(v, 4);
    call->failed = true;
    if (!v.len) {
        call->result = failure("usage", "address", "An address is needed.");
        return false;
    }
    if (bk_sip_address_check(v, &at, &why) < 0) {
        call->result =
            failure("invalid", "address", "\"%.*s\" is not a sign-in address: %s at character %zu.",
                    BK_VIEW_ARGS(v), why, at + 1);
        return false;
    }
    call->failed = false;
    *ret = v;
    return true;
}

static bool user_arg(struct call *call, struct bk_user *ret)
{
    struct bk_view address;
    if (!address_arg(call, &address))
        return false;
    int r = bk_store_user(store(call), address, &call->arena, ret);
    if (r == 0)
        return true;
    call->failed = true;
    call->result =
        r == -ENOENT
            ? failure("missing", "address", "There is no user %.*s.", BK_VIEW_ARGS(address))
            : failure("store", NULL, "The store cannot be read: %s.", strerror(-r));
    return false;
}

static void touch(struct call *call, struct bk_view address)
{
    snprintf(call->changed, sizeof call->changed, "%.*s", BK_VIEW_ARGS(address));
}

/* ---- tenants and domains ---- */

static bool tenant_row(void *ctx, const struct bk_tenant *row)
{
    json_array_append_new(ctx, json_pack("{s:o, s:o, s:s, s:o, s:I}", "name", view(row->name),
                                         "plan", view(row->plan), "state",
                                         row->state == BK_TENANT_ACTIVE ? "active" : "suspended",
                                         "ends", when(row->ends_at), "grace_days",
                                         (json_int_t)(row->grace_ms / 86400000)));
    return true;
}

static void tenant_list(struct call *call)
{
    call->result = json_array();
    bk_store_tenants(store(call), &call->arena, tenant_row, call->result);
}

static void tenant_set(struct call *call)
{
    struct bk_tenant tenant = { 0 };
    struct bk_view name = arg(call, "name"), state = arg(call, "state"), ends = arg(call, "ends"),
                   plan = arg(call, "plan");
    const json_t *grace = json_object_get(call->args, "grace_days");
    if (!name.len || name.len > NAME_MAX_BYTES)
        FAIL(call, "usage", "name", "A name for the organisation is needed.");
    int r = bk_store_tenant_by_name(store(call), name, &call->arena, &tenant);
    if (r == -ENOENT)
        tenant = (struct bk_tenant){ .name = name, .plan = BK_VIEW("standard") };
    if (plan.len)
        tenant.plan = plan;
    if (state.len) {
        if (!bk_view_equal(state, BK_VIEW("active")) && !bk_view_equal(state, BK_VIEW("suspended")))
            FAIL(call, "invalid", "state", "The state is active or suspended, not \"%.*s\".",
                 BK_VIEW_ARGS(state));
        tenant.state =
            bk_view_equal(state, BK_VIEW("active")) ? BK_TENANT_ACTIVE : BK_TENANT_SUSPENDED;
    }
    if (bk_view_equal(ends, BK_VIEW("never"))) {
        tenant.ends_at = 0;
    } else if (ends.len) {
        char full[32];
        snprintf(full, sizeof full, "%.*sT00:00:00Z", BK_VIEW_ARGS(ends));
        if (bk_time_iso_parse(ends, &tenant.ends_at) < 0 &&
            (ends.len != 10 || bk_time_iso_parse(bk_view_of_str(full), &tenant.ends_at) < 0))
            FAIL(call, "invalid", "ends",
                 "\"%.*s\" is no date: write 2027-01-31, 2027-01-31T12:00:00Z or never.",
                 BK_VIEW_ARGS(ends));
    }
    if (json_is_integer(grace))
        tenant.grace_ms = json_integer_value(grace) * 86400000;
    bk_store_put_tenant(batch(call), &tenant);
    call->directory_changed = true;
}

static bool domain_row(void *ctx, const struct bk_domain *row)
{
    json_array_append_new(ctx, json_pack("{s:o, s:I}", "domain", view(row->name), "tenant_id",
                                         (json_int_t)row->tenant_id));
    return true;
}

static void domain_list(struct call *call)
{
    size_t i;
    json_t *row;
    call->result = json_array();
    bk_store_domains(store(call), &call->arena, domain_row, call->result);
    json_array_foreach(call->result, i, row)
    {
        struct bk_tenant tenant;
        if (bk_store_tenant(store(call), json_integer_value(json_object_get(row, "tenant_id")),
                            &call->arena, &tenant) == 0)
            json_object_set_new(row, "tenant", view(tenant.name));
    }
}

static void domain_add(struct call *call)
{
    struct bk_view domain = arg_lower(call, "domain"), tenant = arg(call, "tenant");
    struct bk_buf address = { 0 };
    size_t at;
    const char *why;
    bk_buf_addf(&address, "a@%.*s", BK_VIEW_ARGS(domain));
    int r = bk_sip_address_check(bk_buf_view(&address), &at, &why);
    bk_buf_finish(&address);
    if (r < 0)
        FAIL(call, "invalid", "domain", "\"%.*s\" is no domain: %s.", BK_VIEW_ARGS(domain), why);
    struct bk_tenant row = { .name = tenant.len ? tenant : domain, .plan = BK_VIEW("standard") };
    struct bk_tenant known;
    if (bk_store_tenant_by_domain(store(call), domain, &call->arena, &known) == 0)
        FAIL(call, "exists", "domain", "%.*s is already served, for %.*s.", BK_VIEW_ARGS(domain),
             BK_VIEW_ARGS(known.name));
    if (bk_store_tenant_by_name(store(call), row.name, &call->arena, &known) < 0)
        bk_store_put_tenant(batch(call), &row);
    bk_store_put_domain(batch(call), domain, row.name);
    call->directory_changed = true;
}

static void domain_remove(struct call *call)
{
    struct bk_view domain = arg_lower(call, "domain");
    struct bk_tenant known;
    if (bk_store_tenant_by_domain(store(call), domain, &call->arena, &known) < 0)
        FAIL(call, "missing", "domain", "%.*s is not served here.", BK_VIEW_ARGS(domain));
    bk_store_drop_domain(batch(call), domain);
    call->directory_changed = true;
}

/* ---- users ---- */

static json_t *user_json(const struct bk_user *u)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:b, s:o, s:o, s:o, s:o}", "address",
                     view(u->address), "username", view(u->username), "display_name",
                     view(u->display_name), "site", view(u->site), "policy", view(u->policy),
                     "enabled", u->enabled, "licensed", u->licensed, "password_must_change",
                     u->password_must_change, "created", when(u->created_at), "password_changed",
                     when(u->password_changed_at), "disabled", when(u->disabled_at), "disabled_by",
                     view(u->disabled_by));
}

static bool user_row(void *ctx, const struct bk_user *row)
{
    json_array_append_new(ctx, user_json(row));
    return true;
}

static void user_list(struct call *call)
{
    const json_t *limit = json_object_get(call->args, "limit");
    int n = json_is_integer(limit) ? (int)json_integer_value(limit) : LIST_MAX;
    call->result = json_array();
    bk_store_users(store(call), 0, arg_lower(call, "after"), arg(call, "match"),
                   n < 1 || n > LIST_MAX ? LIST_MAX : n, &call->arena, user_row, call->result);
}

static bool device_row(void *ctx, const struct bk_device_password *row)
{
    json_array_append_new(ctx, json_pack("{s:I, s:o, s:o, s:o}", "id", (json_int_t)row->id, "label",
                                         view(row->label), "algorithm", view(row->algorithm),
                                         "created", when(row->created_at)));
    return true;
}

/* The account, and whether its state alone would refuse a sign-in now. */
static json_t *account_json(struct call *call, const struct bk_user *user)
{
    struct bk_tenant tenant;
    struct bk_view hash;
    char id[12] = "";
    json_t *j = user_json(user);
    json_object_set_new(
        j, "has_password",
        json_boolean(bk_store_password(store(call), user->id, &call->arena, &hash) == 0));
    bool has_tenant = bk_store_tenant(store(call), user->tenant_id, &call->arena, &tenant) == 0;
    if (has_tenant)
        json_object_set_new(j, "tenant", view(tenant.name));
    const struct bk_record *record = bk_judge_account(user, has_tenant ? &tenant : NULL, now(call));
    if (record)
        bk_record_id(record, id);
    json_object_set_new(j, "refused_by", record ? json_string(id) : json_null());
    return j;
}

static void user_show(struct call *call)
{
    struct bk_user user;
    int64_t n = 0, bytes = 0;
    if (!user_arg(call, &user))
        return;
    call->result = account_json(call, &user);
    json_t *devices = json_array();
    bk_store_device_passwords(store(call), user.id, &call->arena, device_row, devices);
    json_object_set_new(call->result, "device_passwords", devices);
    bk_store_offline_count(store(call), user.address, &n, &bytes);
    json_object_set_new(call->result, "stored_messages", json_integer(n));
}

/* Takes the optional fields of a user from args. */
static bool user_fields(struct call *call, struct bk_user *user)
{
    static const struct {
        const char *key;
        size_t at;
        bool lower;
    } texts[] = {
        { "display_name", offsetof(struct bk_user, display_name), false },
        { "site", offsetof(struct bk_user, site), false },
        { "policy", offsetof(struct bk_user, policy), false },
        { "username", offsetof(struct bk_user, username), true },
    };
    for (size_t i = 0; i < BK_COUNT_OF(texts); i++) {
        if (!json_is_string(json_object_get(call->args, texts[i].key)))
            continue;
        struct bk_view v = texts[i].lower ? arg_lower(call, texts[i].key) : arg(call, texts[i].key);
        if (v.len > NAME_MAX_BYTES) {
            call->failed = true;
            call->result = failure("invalid", texts[i].key, "%s is longer than %d bytes.",
                                   texts[i].key, NAME_MAX_BYTES);
            return false;
        }
        *(struct bk_view *)(void *)((char *)user + texts[i].at) = v;
    }
    const json_t *enabled = json_object_get(call->args, "enabled"),
                 *licensed = json_object_get(call->args, "licensed"),
                 *must = json_object_get(call->args, "password_must_change");
    if (json_is_boolean(enabled)) {
        bool on = json_is_true(enabled);
        if (user->enabled && !on) {
            user->disabled_at = now(call);
            user->disabled_by = bk_view_of_str(call->actor);
        }
        user->enabled = on;
    }
    if (json_is_boolean(licensed))
        user->licensed = json_is_true(licensed);
    if (json_is_boolean(must))
        user->password_must_change = json_is_true(must);
    return true;
}

/* A refusal of what is under way; for functions that the operations share. */
#define REFUSE(call_, ...)                                                                         \
    do {                                                                                           \
        (call_)->failed = true;                                                                    \
        json_decref((call_)->result);                                                              \
        (call_)->result = failure(__VA_ARGS__);                                                    \
        return false;                                                                              \
    } while (0)

struct secrets {
    struct bk_view yescrypt; /* empty: none given */
    bool has_device;
    struct bk_device_password device;
};

static bool is_hex(const char *text, size_t len)
{
    return strlen(text) == len && text[strspn(text, "0123456789abcdef")] == '\0';
}

/* What may be stored of a password: hashes, and those only. */
static bool secrets_arg(struct call *call, struct secrets *ret)
{
    const json_t *device = json_object_get(call->args, "device");
    const char *label = "", *name = "", *ha1_user = "", *ha1_address = "";
    *ret = (struct secrets){ .yescrypt = arg(call, "yescrypt") };
    if (json_object_get(call->args, "yescrypt") &&
        (!bk_view_starts_with(ret->yescrypt, BK_VIEW("$y$")) || ret->yescrypt.len > 256))
        REFUSE(call, "invalid", "yescrypt", "The password comes as a yescrypt hash.");
    if (!device)
        return true;
    if (json_unpack((json_t *)device, "{s?s, s:s, s:s, s:s}", "label", &label, "algorithm", &name,
                    "ha1_user", &ha1_user, "ha1_address", &ha1_address) < 0)
        REFUSE(call, "invalid", "device",
               "A device password has algorithm, ha1_user and ha1_address.");
    enum bk_digest_algorithm algorithm = bk_digest_algorithm_of(bk_view_of_str(name));
    size_t len = bk_digest_hex_len(algorithm);
    if (algorithm == BK_DIGEST_UNKNOWN)
        REFUSE(call, "invalid", "device.algorithm",
               "The algorithm of a device password is MD5 or SHA-256.");
    if (!is_hex(ha1_user, len) || !is_hex(ha1_address, len))
        REFUSE(call, "invalid", "device", "An HA1 has %zu hexadecimal digits.", len);
    if (strlen(label) > NAME_MAX_BYTES)
        REFUSE(call, "invalid", "device.label", "The label is longer than %d bytes.",
               NAME_MAX_BYTES);
    ret->has_device = true;
    ret->device = (struct bk_device_password){ .label = bk_view_of_str(label),
                                               .algorithm = bk_digest_algorithm_name(algorithm),
                                               .ha1_user = bk_view_of_str(ha1_user),
                                               .ha1_address = bk_view_of_str(ha1_address),
                                               .created_at = now(call) };
    return true;
}

static void put_secrets(struct call *call, struct bk_view address, const struct secrets *secrets)
{
    if (secrets->yescrypt.len)
        bk_store_put_password(batch(call), address, secrets->yescrypt, now(call),
                              json_is_true(json_object_get(call->args, "password_must_change")));
    if (secrets->has_device)
        bk_store_put_device_password(batch(call), address, &secrets->device);
}

/* Whose this address or user name is already, either way; false: nobody's. */
static bool somebody_has(struct call *call, struct bk_view name, struct bk_user *ret)
{
    return bk_store_user(store(call), name, &call->arena, ret) == 0 ||
           bk_store_user_by_username(store(call), name, &call->arena, ret) == 0;
}

/*
 * A new account of call->args into the batch; whatever is wrong is found before anything is put there. taken: names
 * given out earlier in this request; NULL: none.
 */
static bool add_user(struct call *call, json_t *taken, struct bk_view *ret_address)
{
    struct bk_view address;
    struct bk_tenant tenant;
    struct bk_user other;
    struct secrets secrets;
    if (!address_arg(call, &address))
        return false;
    struct bk_view domain = bk_view_skip(address, bk_view_find(address, '@') + 1);
    if (bk_store_tenant_by_domain(store(call), domain, &call->arena, &tenant) < 0)
        REFUSE(call, "missing", "address",
               "%.*s is not a domain of this server: add it with beckonctl domain add %.*s.",
               BK_VIEW_ARGS(domain), BK_VIEW_ARGS(domain));
    struct bk_user user = { .tenant_id = tenant.id,
                            .address = address,
                            .username = address,
                            .display_name = bk_view_head(address, bk_view_find(address, '@')),
                            .enabled = true,
                            .licensed = true,
                            .created_at = now(call) };
    if (!user_fields(call, &user) || !secrets_arg(call, &secrets))
        return false;
    if (!user.username.len)
        user.username = address;
    if (somebody_has(call, address, &other) || json_object_getn(taken, address.at, address.len))
        REFUSE(call, "exists", "address", "%.*s is already %s.", BK_VIEW_ARGS(address),
               json_object_getn(taken, address.at, address.len) ? "in this request"
               : bk_view_equal(other.address, address)          ? "an account"
                                                                : "somebody's user name");
    if (somebody_has(call, user.username, &other) ||
        json_object_getn(taken, user.username.at, user.username.len))
        REFUSE(call, "exists", "username", "The user name %.*s is already somebody's.",
               BK_VIEW_ARGS(user.username));
    if (taken) {
        json_object_setn_new(taken, address.at, address.len, json_true());
        json_object_setn_new(taken, user.username.at, user.username.len, json_true());
    }
    bk_store_put_user(batch(call), &user);
    put_secrets(call, address, &secrets);
    *ret_address = address;
    return true;
}

static void user_add(struct call *call)
{
    struct bk_view address;
    if (!add_user(call, NULL, &address))
        return;
    touch(call, address);
    call->result = json_pack("{s:o}", "address", view(address));
}

/*
 * Up to USERS_MAX accounts in one commit. Each row has a result of its own, in order: {address} or the error; the good ones
 * are made whatever the others are. check: look only.
 */
static void user_import(struct call *call)
{
    json_t *all = call->args, *users = json_object_get(all, "users"), *row;
    bool check = json_is_true(json_object_get(all, "check"));
    struct bk_view address;
    size_t i, added = 0;
    if (!json_is_array(users) || json_array_size(users) > USERS_MAX)
        FAIL(call, "usage", "users", "An array of at most %d accounts is needed.", USERS_MAX);
    json_t *rows = json_array(), *taken = json_object();
    json_array_foreach(users, i, row)
    {
        call->args = row;
        if (add_user(call, taken, &address)) {
            json_array_append_new(rows, json_pack("{s:o}", "address", view(address)));
            added++;
        } else {
            json_array_append(rows, json_object_get(call->result, "error"));
        }
        json_decref(call->result);
        call->result = NULL;
        call->failed = false;
    }
    json_decref(taken);
    call->args = all;
    if (check)
        call->batch = bk_store_batch_destroy(call->batch);
    call->result = json_pack("{s:I, s:o}", "added", (json_int_t)added, "rows", rows);
}

static void user_set(struct call *call)
{
    struct bk_user user;
    struct secrets secrets;
    if (!user_arg(call, &user) || !user_fields(call, &user) || !secrets_arg(call, &secrets))
        return;
    bk_store_put_user(batch(call), &user);
    put_secrets(call, user.address, &secrets);
    touch(call, user.address);
    call->result = json_pack("{s:o}", "address", view(user.address));
}

static void user_remove(struct call *call)
{
    struct bk_user user;
    if (!user_arg(call, &user))
        return;
    bk_store_drop_user(batch(call), user.id);
    touch(call, user.address);
}

static void device_remove(struct call *call)
{
    struct bk_user user;
    const json_t *id = json_object_get(call->args, "id");
    if (!user_arg(call, &user))
        return;
    bk_store_drop_device_password(batch(call), user.id, json_integer_value(id));
    touch(call, user.address);
}

/* ---- sessions and history ---- */

static void session_row(void *ctx, const struct bk_session *row)
{
    json_array_append_new(ctx, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "address",
                                         view(row->address), "endpoint", view(row->endpoint),
                                         "client", view(row->client), "contact", view(row->contact),
                                         "ip", view(row->ip), "road", view(row->road), "shown",
                                         view(row->shown), "since", when(row->since), "expires",
                                         when(row->expires_at)));
}

static void session_list(struct call *call)
{
    call->result = json_array();
    if (call->admin->config.core)
        bk_core_sessions(call->admin->config.core, arg_lower(call, "address"), session_row,
                         call->result);
}

static void session_end(struct call *call)
{
    struct bk_view address;
    if (!address_arg(call, &address))
        return;
    if (!call->admin->config.core)
        FAIL(call, "missing", NULL, "The server does not run: nobody is signed in.");
    int n = bk_core_sign_out(call->admin->config.core, address, arg(call, "endpoint"));
    call->result = json_pack("{s:i}", "ended", n);
}

static const char *end_name(enum bk_signin_end end)
{
    static const char *const names[] = { "unknown",
                                         "signed out",
                                         "expired",
                                         "lost",
                                         "account changed",
                                         "moved to another server",
                                         "",
                                         "replaced",
                                         "by admin",
                                         "server stopped" };
    return end >= 0 && (size_t)end < BK_COUNT_OF(names) ? names[end] : "";
}

static json_t *signin_json(const struct bk_signin *row)
{
    json_error_t error;
    json_t *detail =
        row->detail.len ? json_loadb(row->detail.at, row->detail.len, 0, &error) : NULL;
    return json_pack("{s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:i, s:I, s:o, s:o, "
                     "s:o, s:o, s:s}",
                     "at", when(row->at), "last", when(row->last_at), "count",
                     (json_int_t)row->count, "address", view(row->address), "endpoint",
                     view(row->endpoint), "client", view(row->client), "device", view(row->device),
                     "ip", view(row->ip), "transport", view(row->transport), "road",
                     view(row->road), "ok", row->ok, "status", row->status, "diagnostics",
                     (json_int_t)row->diagnostics, "record", view(row->record), "case",
                     view(row->case_code), "detail", detail ? detail : json_object(), "ended",
                     when(row->ended_at), "end", row->ended_at ? end_name(row->end) : "");
}

static bool signin_row(void *ctx, const struct bk_signin *row)
{
    json_array_append_new(ctx, signin_json(row));
    return true;
}

static void history_list(struct call *call)
{
    const json_t *limit = json_object_get(call->args, "limit");
    int n = json_is_integer(limit) ? (int)json_integer_value(limit) : 50;
    call->result = json_array();
    bk_store_signins(store(call), arg_lower(call, "address"), (struct bk_view){ 0 },
                     n < 1 || n > LIST_MAX ? LIST_MAX : n, &call->arena, signin_row, call->result);
}

static bool report_row(void *ctx, const struct bk_report *row)
{
    json_error_t error;
    json_t *client = json_loadb(row->client.at, row->client.len, 0, &error);
    json_array_append_new(ctx, json_pack("{s:o, s:o, s:o}", "at", when(row->at), "ip",
                                         view(row->ip), "client", client ? client : json_object()));
    return true;
}

static const char *category_of(const struct bk_record *record)
{
    return bk_record_category_name(record->category);
}

static json_t *record_json(const struct bk_record *r)
{
    char id[12];
    bk_record_id(r, id);
    return json_pack(
        "{s:s, s:s, s:s, s:I, s:i, s:s, s:s, s:s, s:s}", "id", id, "slug", r->slug, "category",
        category_of(r), "diagnostics", (json_int_t)r->diagnostics, "sip_status", (int)r->sip_status,
        "user_text", r->user_text ? r->user_text : "", "user_does",
        r->user_does ? r->user_does : "", "admin_text", r->admin_text ? r->admin_text : "",
        "admin_does", r->admin_does ? r->admin_does : "");
}

/* Both halves of a case: what the server knew, what the client told, the state of the account now. */
static void case_show(struct call *call)
{
    char code[BK_CASE_CODE_SIZE];
    struct bk_view text = arg(call, "case");
    if (bk_case_code_parse(text, code) < 0)
        FAIL(call, "invalid", "case", "\"%.*s\" is no case code: it looks like K7QF-3M2P.",
             BK_VIEW_ARGS(text));
    json_t *attempts = json_array(), *reports = json_array();
    bk_store_signins(store(call), (struct bk_view){ 0 }, bk_view_of_str(code), 20, &call->arena,
                     signin_row, attempts);
    bk_store_reports(store(call), bk_view_of_str(code), &call->arena, report_row, reports);
    if (json_array_size(attempts) == 0) {
        json_decref(attempts);
        json_decref(reports);
        FAIL(call, "missing", "case", "No case %s is kept here.", code);
    }
    const json_t *first = json_array_get(attempts, 0);
    const struct bk_record *record =
        bk_record_parse(bk_view_of_str(json_string_value(json_object_get(first, "record"))));
    call->result = json_pack("{s:s, s:o, s:o, s:o}", "case", code, "server", attempts, "client",
                             reports, "record", record ? record_json(record) : json_null());
    struct bk_user user;
    struct bk_view address = bk_view_of_str(json_string_value(json_object_get(first, "address")));
    if (bk_store_user(store(call), address, &call->arena, &user) == 0)
        json_object_set_new(call->result, "account", account_json(call, &user));
}

static void record_list(struct call *call)
{
    call->result = json_array();
    for (size_t i = 0; bk_record_at(i); i++)
        json_array_append_new(call->result, record_json(bk_record_at(i)));
}

/* ---- policies, relations ---- */

static void policy_list(struct call *call)
{
    const struct bk_directory *dir = call->admin->config.directory
                                         ? call->admin->config.directory(call->admin->config.ctx)
                                         : NULL;
    struct bk_user user, *of = NULL;
    if (arg(call, "address").len) {
        if (!user_arg(call, &user))
            return;
        of = &user;
    }
    call->result = json_array();
    for (int i = 0; dir && i < BK_POLICY_COUNT; i++) {
        const struct bk_policy_row *row = bk_policy_row((enum bk_policy)i);
        char number[24];
        struct bk_view value;
        if (row->kind == BK_POLICY_NUMBER) {
            snprintf(number, sizeof number, "%lld",
                     (long long)bk_policy_number(dir, of, (enum bk_policy)i));
            value = bk_view_of_str(number);
        } else if (row->kind == BK_POLICY_SWITCH) {
            value = bk_policy_switch(dir, of, (enum bk_policy)i) ? BK_VIEW("on") : BK_VIEW("off");
        } else {
            value = bk_policy_choice(dir, of, (enum bk_policy)i);
        }
        json_array_append_new(
            call->result,
            json_pack("{s:s, s:o, s:o, s:s, s:s}", "name", row->name, "value", view(value),
                      "origin", view(bk_policy_origin(dir, of, (enum bk_policy)i, &call->arena)),
                      "default", row->fallback, "help", row->help));
    }
}

static void policy_set(struct call *call)
{
    struct bk_view key = arg(call, "name"), value = arg(call, "value"), scope = arg(call, "scope");
    enum bk_policy policy;
    const char *why;
    if (bk_policy_find(key, &policy) < 0)
        FAIL(call, "unknown", "name", "There is no policy \"%.*s\": see beckonctl policy list.",
             BK_VIEW_ARGS(key));
    if (value.at && value.len && bk_policy_check(policy, value, &why) < 0) {
        const struct bk_policy_row *row = bk_policy_row(policy);
        char range[64] = "";
        if (row->kind == BK_POLICY_NUMBER)
            snprintf(range, sizeof range, " (%lld to %lld)", (long long)row->min,
                     (long long)row->max);
        else if (row->kind == BK_POLICY_CHOICE)
            snprintf(range, sizeof range, " (%s)", row->choices);
        FAIL(call, "invalid", "value", "\"%.*s\" is not allowed for %.*s: %s%s.",
             BK_VIEW_ARGS(value), BK_VIEW_ARGS(key), why, range);
    }
    if (!scope.len)
        scope = BK_VIEW("global");
    if (!bk_view_equal(scope, BK_VIEW("global")) && !bk_view_equal(scope, BK_VIEW("site")) &&
        !bk_view_equal(scope, BK_VIEW("user")))
        FAIL(call, "invalid", "scope", "The scope is global, site or user, not \"%.*s\".",
             BK_VIEW_ARGS(scope));
    if (bk_view_equal(scope, BK_VIEW("global")) == (arg(call, "of").len != 0))
        FAIL(call, "usage", "of", "A site or user policy has a name, the global one has none.");
    struct bk_policy_value row = { .scope = scope, .name = arg(call, "of"), .key = key };
    row.value = value.len ? value : (struct bk_view){ 0 };
    bk_store_put_policy(batch(call), &row);
    call->directory_changed = true;
}

static bool relation_row(void *ctx, const struct bk_relation *row)
{
    json_array_append_new(
        ctx, json_pack("{s:o, s:i}", "subject", view(row->subject), "level", row->level));
    return true;
}

static void relation_list(struct call *call)
{
    struct bk_user user;
    if (!user_arg(call, &user))
        return;
    call->result = json_array();
    bk_store_relations(store(call), user.address, &call->arena, relation_row, call->result);
}

static void relation_set(struct call *call)
{
    struct bk_user user;
    struct bk_view subject = arg_lower(call, "subject");
    json_int_t level = json_integer_value(json_object_get(call->args, "level"));
    if (!user_arg(call, &user))
        return;
    if (bk_view_find(subject, '@') == subject.len)
        FAIL(call, "invalid", "subject",
             "The other one is an address, or @domain for everybody there.");
    if (level != 0 && level != 100 && level != 200 && level != 300 && level != 400 &&
        level != 32000)
        FAIL(call, "invalid", "level",
             "The relation is 100, 200, 300, 400, 32000 (blocked) or 0 (none).");
    struct bk_relation row = { user.address, subject, (int)level };
    bk_store_put_relation(batch(call), &row);
    touch(call, user.address);
}

/* ---- certificates ---- */

static bool certificate_row(void *ctx, const struct bk_certificate *row)
{
    json_array_append_new(
        ctx, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "serial", view(row->serial), "device",
                       view(row->device_name), "issued", when(row->issued_at), "not_after",
                       when(row->not_after), "revoked", when(row->revoked_at), "revoked_by",
                       view(row->revoked_by), "why", view(row->revoked_why)));
    return true;
}

static void certificate_list(struct call *call)
{
    struct bk_user user;
    if (!user_arg(call, &user))
        return;
    call->result = json_array();
    bk_store_certificates(store(call), user.id, &call->arena, certificate_row, call->result);
}

struct revoking {
    struct call *call;
    int n;
};

static bool revoke_row(void *ctx, const struct bk_certificate *row)
{
    struct revoking *r = ctx;
    if (!row->revoked_at && r->call->admin->config.core)
        json_array_append_new(r->call->result, view(row->serial));
    r->n += !row->revoked_at;
    return true;
}

static void certificate_revoke(struct call *call)
{
    struct bk_view serial = arg_lower(call, "serial");
    struct bk_view why = arg(call, "why");
    struct bk_certificate row;
    struct bk_user user;
    if (!why.len)
        why = BK_VIEW("revoked by an administrator");
    if (serial.len) {
        if (bk_store_certificate(store(call), serial, &call->arena, &row) < 0)
            FAIL(call, "missing", "serial", "There is no certificate %.*s.", BK_VIEW_ARGS(serial));
        bk_store_revoke_certificate(batch(call), serial, now(call), bk_view_of_str(call->actor),
                                    why);
        call->result = json_array();
        json_array_append_new(call->result, view(serial));
        return;
    }
    if (!user_arg(call, &user))
        return;
    struct revoking r = { call, 0 };
    call->result = json_array();
    bk_store_certificates(store(call), user.id, &call->arena, revoke_row, &r);
    bk_store_revoke_certificates_of(batch(call), user.id, now(call), bk_view_of_str(call->actor),
                                    why);
}

static void authority_show(struct call *call)
{
    struct bk_view pem;
    if (bk_store_secret(store(call), BK_VIEW("authority.crt"), &call->arena, &pem) < 0)
        FAIL(call, "missing", NULL, "This store has no certificate authority: run beckonctl init.");
    call->result = json_pack("{s:o}", "pem", view(pem));
}

/* A new certificate for the server, by the domain's own authority; its key is made here and kept by the caller. */
static void authority_certify(struct call *call)
{
    const json_t *names = json_object_get(call->args, "names");
    struct bk_view views[NAMES_MAX], key, certificate;
    struct bk_authority *authority = NULL;
    struct bk_buf new_key = { 0 }, new_certificate = { 0 };
    const char *why = NULL;
    size_t n = json_array_size(names);
    if (!n || n > NAMES_MAX)
        FAIL(call, "usage", "names", "Between 1 and %d host names are needed.", NAMES_MAX);
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!name || !*name || strlen(name) > 253 ||
            name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.*")])
            FAIL(call, "invalid", "names", "Number %zu is no host name.", i + 1);
        views[i] = bk_view_of_str(name);
    }
    if (bk_store_secret(store(call), BK_VIEW("authority.key"), &call->arena, &key) < 0 ||
        bk_store_secret(store(call), BK_VIEW("authority.crt"), &call->arena, &certificate) < 0)
        FAIL(call, "missing", NULL, "This store has no certificate authority: run beckonctl init.");
    int r = bk_authority_load(key, certificate, &authority, &why);
    if (r == 0)
        r = bk_authority_server_certificate(authority, views, n, now(call), CERTIFICATE_DAYS,
                                            &new_key, &new_certificate);
    if (r == 0)
        call->result = json_pack("{s:o, s:o}", "certificate", view(bk_buf_view(&new_certificate)),
                                 "key", view(bk_buf_view(&new_key)));
    bk_authority_destroy(authority);
    if (new_key.at)
        bk_wipe(new_key.at, new_key.cap);
    bk_buf_finish(&new_key);
    bk_buf_finish(&new_certificate);
    if (r < 0)
        FAIL(call, "store", NULL, "The certificate cannot be made: %s.", why ? why : strerror(-r));
    batch(call); /* nothing but the audit's row goes there */
}

/* ---- the server ---- */

static bool audit_row(void *ctx, const struct bk_audit *row)
{
    json_array_append_new(ctx, json_pack("{s:o, s:o, s:o, s:o}", "at", when(row->at), "actor",
                                         view(row->actor), "what", view(row->what), "target",
                                         view(row->target)));
    return true;
}

static void audit_list(struct call *call)
{
    call->result = json_array();
    bk_store_audits(store(call), LIST_MAX, &call->arena, audit_row, call->result);
}

static void server_status(struct call *call)
{
    struct bk_store_stats stats;
    json_t *running =
        call->admin->config.status ? call->admin->config.status(call->admin->config.ctx) : NULL;
    int health = bk_store_health(store(call));
    bk_store_stats(store(call), &stats);
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
    struct bk_view path = arg(call, "file");
    char *file = bk_view_dup(path);
    if (!path.len || path.at[0] != '/' || !file) {
        free(file);
        FAIL(call, "usage", "file", "The backup needs an absolute path.");
    }
    int r = bk_store_backup(store(call), file);
    free(file);
    if (r < 0)
        FAIL(call, "store", "file", "The backup failed: %s.", strerror(-r));
    call->result = json_pack("{s:o}", "file", view(path));
}

/* ---- the table ---- */

static const struct {
    const char *name;
    void (*run)(struct call *call);
} ops[] = {
    { "status", server_status },
    { "backup", server_backup },
    { "audit.list", audit_list },
    { "record.list", record_list },
    { "tenant.list", tenant_list },
    { "tenant.set", tenant_set },
    { "domain.list", domain_list },
    { "domain.add", domain_add },
    { "domain.remove", domain_remove },
    { "user.list", user_list },
    { "user.show", user_show },
    { "user.add", user_add },
    { "user.import", user_import },
    { "user.set", user_set },
    { "user.remove", user_remove },
    { "device.remove", device_remove },
    { "session.list", session_list },
    { "session.end", session_end },
    { "history.list", history_list },
    { "case.show", case_show },
    { "policy.list", policy_list },
    { "policy.set", policy_set },
    { "relation.list", relation_list },
    { "relation.set", relation_set },
    { "certificate.list", certificate_list },
    { "certificate.revoke", certificate_revoke },
    { "authority.show", authority_show },
    { "authority.certify", authority_certify },
};

const char *bk_admin_op_name(size_t index)
{
    return index < BK_COUNT_OF(ops) ? ops[index].name : NULL;
}

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
    free(admin);
    return NULL;
}

static json_t *success(struct call *call)
{
    json_t *result = call->result ? call->result : json_object();
    call->result = NULL;
    return json_pack("{s:b, s:o}", "ok", 1, "result", result);
}

static void tell_core(struct call *call)
{
    const struct bk_admin_config *config = &call->admin->config;
    if (call->directory_changed && config->directory_changed)
        config->directory_changed(config->ctx);
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
        finish(call, failure("exists", NULL, "That address or user name is already somebody's."));
    } else if (result == -ENOENT) {
        finish(call, failure("missing", NULL, "What should be changed is not there any more."));
    } else {
        finish(call,
               failure("store", NULL, "The change could not be written: %s.", strerror(-result)));
    }
}

/* What was asked, without the hashes. */
static void audit(struct call *call)
{
    json_t *copy = json_copy(call->args);
    json_object_del(copy, "yescrypt");
    json_object_del(copy, "device");
    json_t *users = json_object_get(copy, "users");
    if (users)
        json_object_set_new(copy, "users", json_integer((json_int_t)json_array_size(users)));
    char *detail = json_dumps(copy, JSON_COMPACT);
    json_decref(copy);
    struct bk_view target = arg(call, "address");
    if (!target.len)
        target = arg(call, "domain");
    if (!target.len)
        target = arg(call, "name");
    struct bk_audit row = { .at = now(call),
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
        reply(ctx, failure("busy", NULL, "Out of memory."));
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
        finish(call, failure("unknown", "op", "There is no operation \"%s\".",
                             json_is_string(op) ? json_string_value(op) : ""));
        return;
    }
    call->op = ops[i].name;
    ops[i].run(call);
    if (call->failed) {
        json_t *answer = call->result;
        call->result = NULL;
        finish(call, answer ? answer : failure("store", NULL, "Out of memory."));
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
        finish(call, failure("busy", NULL, "The store takes no change now: %s.", strerror(-r)));
}
