/* SPDX-License-Identifier: Apache-2.0 */
/* Organisations and domains, and what holds for everybody there: policies and relations. */
#include "server/admin_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool tenant_row(void *ctx, const struct bk_tenant *row)
{
    json_array_append_new(ctx, json_pack("{s:o, s:o, s:s, s:o, s:I}", "name", admin_view(row->name),
                                         "plan", admin_view(row->plan), "state",
                                         row->state == BK_TENANT_ACTIVE ? "active" : "suspended",
                                         "ends", admin_when(row->ends_at), "grace_days",
                                         (json_int_t)(row->grace_ms / 86400000)));
    return true;
}

void admin_tenant_list(struct call *call)
{
    call->result = json_array();
    bk_store_tenants(admin_store(call), &call->arena, tenant_row, call->result);
}

void admin_tenant_set(struct call *call)
{
    struct bk_tenant tenant = { 0 };
    struct bk_view name = admin_arg(call, "name"), state = admin_arg(call, "state"),
                   ends = admin_arg(call, "ends"), plan = admin_arg(call, "plan");
    const json_t *grace = json_object_get(call->args, "grace_days");
    if (!name.len || name.len > ADMIN_NAME_MAX_BYTES)
        FAIL(call, "usage", "name", "A name for the organisation is needed.");
    int r = bk_store_tenant_by_name(admin_store(call), name, &call->arena, &tenant);
    if (r == -ENOENT)
        FAIL(call, "missing", "name",
             "There is no organisation \"%.*s\": beckonctl tenant list shows them; a new one is "
             "made "
             "with its first domain, by beckonctl domain add DOMAIN --tenant NAME.",
             BK_VIEW_ARGS(name));
    if (r < 0)
        FAIL(call, "store", NULL, "The organisation could not be read: %s.", strerror(-r));
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
    bk_store_put_tenant(admin_batch(call), &tenant);
    call->directory_changed = true;
}

static bool domain_row(void *ctx, const struct bk_domain *row)
{
    json_array_append_new(ctx, json_pack("{s:o, s:I}", "domain", admin_view(row->name), "tenant_id",
                                         (json_int_t)row->tenant_id));
    return true;
}

void admin_domain_list(struct call *call)
{
    size_t i;
    json_t *row;
    call->result = json_array();
    bk_store_domains(admin_store(call), &call->arena, domain_row, call->result);
    json_array_foreach(call->result, i, row)
    {
        struct bk_tenant tenant;
        if (bk_store_tenant(admin_store(call),
                            json_integer_value(json_object_get(row, "tenant_id")), &call->arena,
                            &tenant) == 0)
            json_object_set_new(row, "tenant", admin_view(tenant.name));
    }
}

void admin_domain_add(struct call *call)
{
    struct bk_view domain = admin_arg_lower(call, "domain"), tenant = admin_arg(call, "tenant");
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
    if (bk_store_tenant_by_domain(admin_store(call), domain, &call->arena, &known) == 0)
        FAIL(call, "exists", "domain", "%.*s is already served, for %.*s.", BK_VIEW_ARGS(domain),
             BK_VIEW_ARGS(known.name));
    if (bk_store_tenant_by_name(admin_store(call), row.name, &call->arena, &known) < 0)
        bk_store_put_tenant(admin_batch(call), &row);
    bk_store_put_domain(admin_batch(call), domain, row.name);
    call->directory_changed = true;
}

void admin_domain_remove(struct call *call)
{
    struct bk_view domain = admin_arg_lower(call, "domain");
    struct bk_tenant known;
    if (bk_store_tenant_by_domain(admin_store(call), domain, &call->arena, &known) < 0)
        FAIL(call, "missing", "domain", "%.*s is not served here.", BK_VIEW_ARGS(domain));
    bk_store_drop_domain(admin_batch(call), domain);
    call->directory_changed = true;
}

void admin_policy_list(struct call *call)
{
    const struct bk_directory *dir = call->admin->config.directory
                                         ? call->admin->config.directory(call->admin->config.ctx)
                                         : NULL;
    struct bk_user user, *of = NULL;
    if (admin_arg(call, "address").len) {
        if (!admin_user_arg(call, &user))
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
            json_pack("{s:s, s:o, s:o, s:s, s:s}", "name", row->name, "value", admin_view(value),
                      "origin",
                      admin_view(bk_policy_origin(dir, of, (enum bk_policy)i, &call->arena)),
                      "default", row->fallback, "help", row->help));
    }
}

void admin_policy_set(struct call *call)
{
    struct bk_view key = admin_arg(call, "name"), value = admin_arg(call, "value"),
                   scope = admin_arg(call, "scope");
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
    if (bk_view_equal(scope, BK_VIEW("global")) == (admin_arg(call, "of").len != 0))
        FAIL(call, "usage", "of", "A site or user policy has a name, the global one has none.");
    struct bk_policy_value row = { .scope = scope, .name = admin_arg(call, "of"), .key = key };
    row.value = value.len ? value : (struct bk_view){ 0 };
    bk_store_put_policy(admin_batch(call), &row);
    call->directory_changed = true;
}

static bool relation_row(void *ctx, const struct bk_relation *row)
{
    json_array_append_new(
        ctx, json_pack("{s:o, s:i}", "subject", admin_view(row->subject), "level", row->level));
    return true;
}

void admin_relation_list(struct call *call)
{
    struct bk_user user;
    if (!admin_user_arg(call, &user))
        return;
    call->result = json_array();
    bk_store_relations(admin_store(call), user.address, &call->arena, relation_row, call->result);
}

void admin_relation_set(struct call *call)
{
    struct bk_user user;
    struct bk_view subject = admin_arg_lower(call, "subject");
    json_int_t level = json_integer_value(json_object_get(call->args, "level"));
    if (!admin_user_arg(call, &user))
        return;
    if (bk_view_find(subject, '@') == subject.len)
        FAIL(call, "invalid", "subject",
             "The other one is an address, or @domain for everybody there.");
    if (level != 0 && level != 100 && level != 200 && level != 300 && level != 400 &&
        level != 32000)
        FAIL(call, "invalid", "level",
             "The relation is 100, 200, 300, 400, 32000 (blocked) or 0 (none).");
    struct bk_relation row = { user.address, subject, (int)level };
    bk_store_put_relation(admin_batch(call), &row);
    admin_touch(call, user.address);
}
