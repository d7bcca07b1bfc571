/* SPDX-License-Identifier: Apache-2.0 */
/* People: their accounts, passwords and device passwords. */
#include "server/admin_private.h"

#include <stdio.h>

#include "server/history.h"
#include "server/password.h"
#include "sip/digest.h"

#include <stddef.h>
#include <string.h>

enum { USERS_MAX = 500 }; /* of one import request */

static json_t *user_json(const struct bk_user *u)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:b, s:o, s:o, s:o, s:o}", "address",
                     admin_view(u->address), "username", admin_view(u->username), "display_name",
                     admin_view(u->display_name), "site", admin_view(u->site), "policy",
                     admin_view(u->policy), "enabled", u->enabled, "licensed", u->licensed,
                     "password_must_change", u->password_must_change, "created",
                     admin_when(u->created_at), "password_changed",
                     admin_when(u->password_changed_at), "disabled", admin_when(u->disabled_at),
                     "disabled_by", admin_view(u->disabled_by));
}

static bool user_row(void *ctx, const struct bk_user *row)
{
    json_array_append_new(ctx, user_json(row));
    return true;
}

void admin_user_list(struct call *call)
{
    const json_t *limit = json_object_get(call->args, "limit");
    int n = json_is_integer(limit) ? (int)json_integer_value(limit) : ADMIN_LIST_MAX;
    call->result = json_array();
    bk_store_users(admin_store(call), 0, admin_arg_lower(call, "after"), admin_arg(call, "match"),
                   n < 1 || n > ADMIN_LIST_MAX ? ADMIN_LIST_MAX : n, &call->arena, user_row,
                   call->result);
}

static bool device_row(void *ctx, const struct bk_device_password *row)
{
    json_array_append_new(ctx,
                          json_pack("{s:I, s:o, s:o, s:o}", "id", (json_int_t)row->id, "label",
                                    admin_view(row->label), "algorithm", admin_view(row->algorithm),
                                    "created", admin_when(row->created_at)));
    return true;
}

/* The account, and whether its state alone would refuse a sign-in now. */
json_t *admin_account_json(struct call *call, const struct bk_user *user)
{
    struct bk_tenant tenant;
    struct bk_view hash;
    char id[12] = "";
    json_t *j = user_json(user);
    json_object_set_new(
        j, "has_password",
        json_boolean(bk_store_password(admin_store(call), user->id, &call->arena, &hash) == 0));
    bool has_tenant =
        bk_store_tenant(admin_store(call), user->tenant_id, &call->arena, &tenant) == 0;
    if (has_tenant)
        json_object_set_new(j, "tenant", admin_view(tenant.name));
    const struct bk_record *record =
        bk_judge_account(user, has_tenant ? &tenant : NULL, admin_now(call));
    if (record)
        bk_record_id(record, id);
    json_object_set_new(j, "refused_by", record ? json_string(id) : json_null());
    return j;
}

void admin_user_show(struct call *call)
{
    struct bk_user user;
    int64_t n = 0, bytes = 0;
    if (!admin_user_arg(call, &user))
        return;
    call->result = admin_account_json(call, &user);
    json_t *devices = json_array();
    bk_store_device_passwords(admin_store(call), user.id, &call->arena, device_row, devices);
    json_object_set_new(call->result, "device_passwords", devices);
    bk_store_offline_count(admin_store(call), user.address, &n, &bytes);
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
        struct bk_view v =
            texts[i].lower ? admin_arg_lower(call, texts[i].key) : admin_arg(call, texts[i].key);
        if (v.len > ADMIN_NAME_MAX_BYTES) {
            call->failed = true;
            call->result = admin_failure("invalid", texts[i].key, "%s is longer than %d bytes.",
                                         texts[i].key, ADMIN_NAME_MAX_BYTES);
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
            user->disabled_at = admin_now(call);
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

struct secrets {
    struct bk_view yescrypt; /* empty: none given */
    bool has_nt_hash;        /* of the same password; counts where policy wants it */
    uint8_t nt_hash[BK_NT_HASH_SIZE];
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
    *ret = (struct secrets){ .yescrypt = admin_arg(call, "yescrypt") };
    if (json_object_get(call->args, "yescrypt") &&
        (!bk_view_starts_with(ret->yescrypt, BK_VIEW("$y$")) || ret->yescrypt.len > 256))
        REFUSE(call, "invalid", "yescrypt", "The password comes as a yescrypt hash.");
    struct bk_view nt_hash = admin_arg(call, "nt_hash");
    ret->has_nt_hash = nt_hash.len > 0;
    if (ret->has_nt_hash &&
        (!ret->yescrypt.len || bk_hex_decode(nt_hash, ret->nt_hash, sizeof ret->nt_hash) < 0))
        REFUSE(call, "invalid", "nt_hash",
               "An NT hash has 32 hexadecimal digits and comes with "
               "the yescrypt hash of the same password.");
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
    if (strlen(label) > ADMIN_NAME_MAX_BYTES)
        REFUSE(call, "invalid", "device.label", "The label is longer than %d bytes.",
               ADMIN_NAME_MAX_BYTES);
    ret->has_device = true;
    ret->device = (struct bk_device_password){ .label = bk_view_of_str(label),
                                               .algorithm = bk_digest_algorithm_name(algorithm),
                                               .ha1_user = bk_view_of_str(ha1_user),
                                               .ha1_address = bk_view_of_str(ha1_address),
                                               .created_at = admin_now(call) };
    return true;
}

static void put_secrets(struct call *call, const struct bk_user *user, struct secrets *secrets)
{
    if (secrets->yescrypt.len)
        bk_store_put_password(admin_batch(call), user->address, secrets->yescrypt, admin_now(call),
                              json_is_true(json_object_get(call->args, "password_must_change")));
    if (secrets->has_nt_hash)
        bk_nt_hash_put(admin_batch(call), admin_directory(call), user, secrets->nt_hash);
    if (secrets->has_device)
        bk_store_put_device_password(admin_batch(call), user->address, &secrets->device);
    bk_wipe(secrets->nt_hash, sizeof secrets->nt_hash);
}

/* Whose this address or user name is already, either way; false: nobody's. */
static bool somebody_has(struct call *call, struct bk_view name, struct bk_user *ret)
{
    return bk_store_user(admin_store(call), name, &call->arena, ret) == 0 ||
           bk_store_user_by_username(admin_store(call), name, &call->arena, ret) == 0;
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
    if (!admin_address_arg(call, &address))
        return false;
    struct bk_view domain = bk_view_skip(address, bk_view_find(address, '@') + 1);
    if (bk_store_tenant_by_domain(admin_store(call), domain, &call->arena, &tenant) < 0)
        REFUSE(call, "missing", "address",
               "%.*s is not a domain of this server: add it with beckonctl domain add %.*s.",
               BK_VIEW_ARGS(domain), BK_VIEW_ARGS(domain));
    struct bk_user user = { .tenant_id = tenant.id,
                            .address = address,
                            .username = address,
                            .display_name = bk_view_head(address, bk_view_find(address, '@')),
                            .enabled = true,
                            .licensed = true,
                            .created_at = admin_now(call) };
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
    bk_store_put_user(admin_batch(call), &user);
    put_secrets(call, &user, &secrets);
    *ret_address = address;
    return true;
}

void admin_user_add(struct call *call)
{
    struct bk_view address;
    if (!add_user(call, NULL, &address))
        return;
    admin_touch(call, address);
    call->result = json_pack("{s:o}", "address", admin_view(address));
}

/* ---- import ---- */

void admin_whole_forget(struct bk_admin *admin)
{
    bk_store_batch_destroy(admin->whole.batch);
    json_decref(admin->whole.taken);
    admin->whole = (struct admin_whole){ 0 };
}

/* Goes on with an import of the whole, or begins one. false: it is not the present one, nothing of it was written. */
static bool whole_begin(struct call *call, struct bk_view id)
{
    struct admin_whole *whole = &call->admin->whole;
    if (bk_view_equal(id, BK_VIEW("begin"))) {
        admin_whole_forget(call->admin);
        snprintf(whole->id, sizeof whole->id, "%016llx",
                 (unsigned long long)bk_random_u64(call->admin->config.random));
        whole->taken = json_object();
    } else if (!whole->id[0] || !bk_view_equal(id, bk_view_of_str(whole->id))) {
        REFUSE(call, "missing", "whole",
               "This import was given up meanwhile: another one began. Nothing of it was written.");
    }
    call->batch = whole->batch;
    whole->batch = NULL;
    return true;
}

/* Keeps what was gathered for the next request, hands it to the commit, or drops it where a row was bad. */
static void whole_end(struct call *call, size_t n, bool good, bool last)
{
    struct admin_whole *whole = &call->admin->whole;
    whole->n += n;
    if (!good) {
        call->batch = bk_store_batch_destroy(call->batch);
        admin_whole_forget(call->admin);
    } else if (!last) {
        whole->batch = call->batch;
        call->batch = NULL;
        json_object_set_new(call->result, "whole", json_string(whole->id));
    } else {
        json_object_set_new(call->args, "accounts", json_integer((json_int_t)whole->n));
        admin_whole_forget(call->admin);
    }
}

/*
 * Up to USERS_MAX accounts in one commit. Each row has a result of its own, in order: {address} or the error; the good ones
 * are made whatever the others are. check: look only. whole: "begin", then what the answer has under that name: nothing
 * is written before the request with last, and then all of it in one commit; a bad row ends it, and nothing is written.
 */
void admin_user_import(struct call *call)
{
    json_t *all = call->args, *users = json_object_get(all, "users"), *row;
    bool check = json_is_true(json_object_get(all, "check"));
    struct bk_view address, whole = admin_arg(call, "whole");
    size_t i, added = 0;
    if (!json_is_array(users) || json_array_size(users) > USERS_MAX)
        FAIL(call, "usage", "users", "An array of at most %d accounts is needed.", USERS_MAX);
    if (whole.len && !whole_begin(call, whole))
        return;
    json_t *rows = json_array(),
           *taken = whole.len ? json_incref(call->admin->whole.taken) : json_object();
    json_array_foreach(users, i, row)
    {
        call->args = row;
        if (add_user(call, taken, &address)) {
            json_array_append_new(rows, json_pack("{s:o}", "address", admin_view(address)));
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
    call->result = json_pack("{s:I, s:o}", "added", (json_int_t)added, "rows", rows);
    if (whole.len)
        whole_end(call, added, added == json_array_size(users),
                  json_is_true(json_object_get(all, "last")));
    else if (check)
        call->batch = bk_store_batch_destroy(call->batch);
}

void admin_user_set(struct call *call)
{
    struct bk_user user;
    struct secrets secrets;
    if (!admin_user_arg(call, &user) || !user_fields(call, &user) || !secrets_arg(call, &secrets))
        return;
    bk_store_put_user(admin_batch(call), &user);
    put_secrets(call, &user, &secrets);
    admin_touch(call, user.address);
    call->result = json_pack("{s:o}", "address", admin_view(user.address));
}

void admin_user_remove(struct call *call)
{
    struct bk_user user;
    if (!admin_user_arg(call, &user))
        return;
    bk_store_drop_user(admin_batch(call), user.id);
    admin_touch(call, user.address);
}

void admin_device_remove(struct call *call)
{
    struct bk_user user;
    const json_t *id = json_object_get(call->args, "id");
    if (!admin_user_arg(call, &user))
        return;
    bk_store_drop_device_password(admin_batch(call), user.id, json_integer_value(id));
    admin_touch(call, user.address);
}
