/* SPDX-License-Identifier: Apache-2.0 */
/* Domains, organisations, policies, relations, certificates, and the server itself. */
#include "base/cleanup.h"
#include "base/text.h"
#include "ctl/ctl_private.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Asks, and says what was done: the JSON, or the sentence with the first argument in it. */
static int change(struct ctl *ctl, json_t *args, const char *sentence)
{
    json_t *result;
    int r = ctl_call(ctl, ctl->command->op, args, &result);
    if (r != CTL_OK)
        return r;
    if (ctl->json)
        ctl_print_json(ctl, result);
    else
        fprintf(ctl->out, "%s %s\n", ctl_word(ctl, 0), sentence);
    json_decref(result);
    return CTL_OK;
}

static json_t *args_with(const struct ctl *ctl, const char *key)
{
    json_t *args = ctl_args(ctl);
    json_object_set_new(args, key, json_string(ctl_word(ctl, 0)));
    return args;
}

static int list(struct ctl *ctl, json_t *args, const struct ctl_column *columns, size_t n,
                const char *none)
{
    json_t *rows;
    int r = ctl_call(ctl, ctl->command->op, args, &rows);
    if (r != CTL_OK)
        return r;
    ctl_table(ctl, rows, columns, n, none);
    json_decref(rows);
    return CTL_OK;
}

/* ---- domains and organisations ---- */

int ctl_domain_add(struct ctl *ctl)
{
    return change(ctl, args_with(ctl, "domain"),
                  "is served. The server's certificate must carry its names too.");
}

int ctl_domain_remove(struct ctl *ctl)
{
    return change(ctl, args_with(ctl, "domain"), "is served no longer.");
}

int ctl_domain_list(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        { "DOMAIN", "domain", CTL_TEXT, 0 },
        { "ORGANISATION", "tenant", CTL_TEXT, 0 },
    };
    return list(ctl, NULL, columns, BK_COUNT_OF(columns),
                "No domain is served: beckonctl domain add DOMAIN");
}

int ctl_tenant_list(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        { "ORGANISATION", "name", CTL_TEXT, 16 },
        { "STATE", "state", CTL_TEXT, 0 },
        { "PLAN", "plan", CTL_TEXT, 0 },
        { "ENDS", "ends", CTL_DATE, 0 },
        { "GRACE DAYS", "grace_days", CTL_NUMBER, 0 },
    };
    return list(ctl, NULL, columns, BK_COUNT_OF(columns), "There are none.");
}

int ctl_tenant_set(struct ctl *ctl)
{
    int64_t days = -1;
    bool suspend = ctl_option(ctl, "suspend"), resume = ctl_option(ctl, "resume");
    int r = ctl_number(ctl, "grace-days", 0, 36500, &days);
    if (r != CTL_OK)
        return r;
    if (suspend && resume)
        return ctl_fail(ctl, CTL_USAGE, "--suspend or --resume, not both");
    json_t *args = args_with(ctl, "name");
    if (suspend || resume)
        json_object_set_new(args, "state", json_string(suspend ? "suspended" : "active"));
    if (days >= 0)
        json_object_set_new(args, "grace_days", json_integer(days));
    return change(ctl, args, suspend ? "is suspended: nobody of it may sign in." : "was changed.");
}

/* ---- policies ---- */

int ctl_policy_list(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        { "POLICY", "name", CTL_TEXT, 0 },
        { "VALUE", "value", CTL_TEXT, 0 },
        { "FROM", "origin", CTL_TEXT, 0 },
        { "WHAT IT IS", "help", CTL_TEXT, 20 },
    };
    return list(ctl, ctl_args(ctl), columns, BK_COUNT_OF(columns), "There are none.");
}

int ctl_policy_set(struct ctl *ctl)
{
    const char *site = ctl_option(ctl, "site"), *user = ctl_option(ctl, "policy");
    const char *value = ctl_word(ctl, 1);
    if (site && user)
        return ctl_fail(ctl, CTL_USAGE, "--site or --policy, not both");
    json_t *args = args_with(ctl, "name");
    json_object_set_new(args, "scope", json_string(site ? "site" : user ? "user" : "global"));
    if (site || user)
        json_object_set_new(args, "of", json_string(site ? site : user));
    if (value)
        json_object_set_new(args, "value", json_string(value));
    return change(ctl, args, value ? "was set." : "was unset.");
}

/* ---- relations ---- */

static const struct {
    const char *name;
    int level;
} levels[] = {
    { "none", 0 },        { "external", 100 }, { "colleague", 200 },
    { "workgroup", 300 }, { "family", 400 },   { "blocked", 32000 },
};

static const char *level_name(int64_t level)
{
    for (size_t i = 0; i < BK_COUNT_OF(levels); i++)
        if (levels[i].level == level)
            return levels[i].name;
    return "?";
}

int ctl_relation_list(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        { "OTHER", "subject", CTL_TEXT, 20 },
        { "LEVEL", "level", CTL_NUMBER, 0 },
        { "RELATION", "relation", CTL_TEXT, 0 },
    };
    size_t i;
    json_t *rows, *row;
    int r = ctl_call(ctl, "relation.list", args_with(ctl, "address"), &rows);
    if (r != CTL_OK)
        return r;
    json_array_foreach(rows, i, row) json_object_set_new(
        row, "relation",
        json_string(level_name(json_integer_value(json_object_get(row, "level")))));
    ctl_table(ctl, rows, columns, BK_COUNT_OF(columns), "None: everybody is as policy has it.");
    json_decref(rows);
    return CTL_OK;
}

int ctl_relation_set(struct ctl *ctl)
{
    const char *other = ctl_word(ctl, 1), *text = ctl_word(ctl, 2);
    bool block = !strcmp(ctl->command->name, "relation block");
    int level = block ? 32000 : 0;
    size_t i = 0;
    uint64_t number;
    if (text) {
        bool is_number = bk_view_to_u64(bk_view_of_str(text), 32000, &number) == 0;
        while (i < BK_COUNT_OF(levels) && strcmp(levels[i].name, text) &&
               !(is_number && (uint64_t)levels[i].level == number))
            i++;
        if (i == BK_COUNT_OF(levels))
            return ctl_fail(ctl, CTL_USAGE,
                            "\"%s\" is no relation: family, workgroup, colleague, external, "
                            "blocked or none",
                            text);
        level = levels[i].level;
    }
    json_t *result, *args = args_with(ctl, "address");
    json_object_set_new(args, "subject", json_string(other));
    json_object_set_new(args, "level", json_integer(level));
    int r = ctl_call(ctl, "relation.set", args, &result);
    if (r != CTL_OK)
        return r;
    if (ctl->json)
        ctl_print_json(ctl, result);
    else if (level)
        fprintf(ctl->out, "For %s, %s is %s.\n", ctl_word(ctl, 0), other, level_name(level));
    else
        fprintf(ctl->out, "For %s, %s is as policy has it.\n", ctl_word(ctl, 0), other);
    json_decref(result);
    return CTL_OK;
}

/* ---- certificates ---- */

int ctl_certificate_list(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        { "SERIAL", "serial", CTL_TEXT, 0 },   { "DEVICE", "device", CTL_TEXT, 10 },
        { "ISSUED", "issued", CTL_TIME, 0 },   { "GOOD UNTIL", "not_after", CTL_TIME, 0 },
        { "REVOKED", "revoked", CTL_TIME, 0 }, { "BY", "revoked_by", CTL_TEXT, 8 },
        { "WHY", "why", CTL_TEXT, 10 },
    };
    return list(ctl, args_with(ctl, "address"), columns, BK_COUNT_OF(columns), "There are none.");
}

int ctl_certificate_revoke(struct ctl *ctl)
{
    bool address = strchr(ctl_word(ctl, 0), '@') != NULL;
    return change(ctl, args_with(ctl, address ? "address" : "serial"),
                  address ? "has no valid certificate any more." : "was revoked.");
}

int ctl_authority_show(struct ctl *ctl)
{
    json_t *result;
    int r = ctl_call(ctl, "authority.show", NULL, &result);
    if (r != CTL_OK)
        return r;
    if (ctl->json)
        ctl_print_json(ctl, result);
    else
        fputs(json_string_value(json_object_get(result, "pem")), ctl->out);
    json_decref(result);
    return CTL_OK;
}

/* ---- the server ---- */

int ctl_status(struct ctl *ctl)
{
    static const struct ctl_column fields[] = {
        { "Name", "name", CTL_TEXT, 0 },
        { "Version", "version", CTL_TEXT, 0 },
        { "Started", "started", CTL_TIME, 0 },
        { "Services", "services", CTL_TEXT, 0 },
        { "TLS port", "tls_port", CTL_NUMBER, 0 },
        { "Store", "store", CTL_TEXT, 0 },
        { "Connections", "connections", CTL_NUMBER, 0 },
        { "Signed in", "endpoints", CTL_NUMBER, 0 },
        { "Subscriptions", "subscriptions", CTL_NUMBER, 0 },
        { "Sign-ins", "signins", CTL_NUMBER, 0 },
        { "Refusals", "refusals", CTL_NUMBER, 0 },
        { "Messages delivered", "messages_delivered", CTL_NUMBER, 0 },
        { "Messages stored", "messages_stored", CTL_NUMBER, 0 },
        { "Commits", "commits", CTL_NUMBER, 0 },
        { "Failed commits", "failed_commits", CTL_NUMBER, 0 },
    };
    bool runs = false;
    json_t *result;
    int r = ctl_server_runs(ctl, &runs);
    if (r == CTL_OK)
        r = ctl_call(ctl, "status", NULL, &result);
    if (r != CTL_OK)
        return r;
    if (ctl->json) {
        ctl_print_json(ctl, result);
    } else {
        fprintf(ctl->out, "The server %s.\n\n", runs ? "runs" : "does not run");
        if (!runs) {
            json_object_del(result, "commits");
            json_object_del(result, "failed_commits");
        }
        ctl_fields(ctl, result, fields, BK_COUNT_OF(fields));
    }
    json_decref(result);
    return CTL_OK;
}

int ctl_audit(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        { "AT", "at", CTL_TIME, 0 },
        { "WHO", "actor", CTL_TEXT, 0 },
        { "WHAT", "what", CTL_TEXT, 0 },
        { "ON", "target", CTL_TEXT, 16 },
    };
    return list(ctl, NULL, columns, BK_COUNT_OF(columns), "Nothing was changed yet.");
}

int ctl_records(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        { "RECORD", "id", CTL_TEXT, 0 },
        { "CATEGORY", "category", CTL_TEXT, 0 },
        { "ID", "diagnostics", CTL_NUMBER, 0 },
        { "NAME", "slug", CTL_TEXT, 0 },
        { "WHAT THE PERSON IS TOLD", "user_text", CTL_TEXT, 20 },
    };
    return list(ctl, NULL, columns, BK_COUNT_OF(columns), "There are none.");
}

int ctl_backup(struct ctl *ctl)
{
    const char *file = ctl_word(ctl, 0);
    BK_AUTO_FREE char *here = file[0] == '/' ? NULL : getcwd(NULL, 0);
    BK_AUTO_FREE char *whole = NULL;
    if (asprintf(&whole, "%s%s%s", here ? here : "", here ? "/" : "", file) < 0) {
        whole = NULL;
        return ctl_fail(ctl, CTL_FAILED, "out of memory");
    }
    json_t *result;
    int r = ctl_call(ctl, "backup", json_pack("{s:s}", "file", whole), &result);
    if (r != CTL_OK)
        return r;
    if (ctl->json)
        ctl_print_json(ctl, result);
    else
        fprintf(ctl->out, "%s holds a copy of the store, secrets included.\n", whole);
    json_decref(result);
    return CTL_OK;
}
