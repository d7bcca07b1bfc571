/* SPDX-License-Identifier: Apache-2.0 */
/* Who is signed in, who tried, why it failed; and what was changed by whom. */
#include "server/admin_private.h"

#include "record/record.h"
#include "server/core.h"

static void session_row(void *ctx, const struct bk_session *row)
{
    json_array_append_new(
        ctx, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "address",
                       admin_view(row->address), "endpoint", admin_view(row->endpoint), "client",
                       admin_view(row->client), "contact", admin_view(row->contact), "ip",
                       admin_view(row->ip), "road", admin_view(row->road), "shown",
                       admin_view(row->shown), "since", admin_when(row->since), "expires",
                       admin_when(row->expires_at)));
}

void admin_session_list(struct call *call)
{
    call->result = json_array();
    if (call->admin->config.core)
        bk_core_sessions(call->admin->config.core, admin_arg_lower(call, "address"), session_row,
                         call->result);
}

void admin_session_end(struct call *call)
{
    struct bk_view address;
    if (!admin_address_arg(call, &address))
        return;
    if (!call->admin->config.core)
        FAIL(call, "missing", NULL, "The server does not run: nobody is signed in.");
    int n = bk_core_sign_out(call->admin->config.core, address, admin_arg(call, "endpoint"));
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
                     "at", admin_when(row->at), "last", admin_when(row->last_at), "count",
                     (json_int_t)row->count, "address", admin_view(row->address), "endpoint",
                     admin_view(row->endpoint), "client", admin_view(row->client), "device",
                     admin_view(row->device), "ip", admin_view(row->ip), "transport",
                     admin_view(row->transport), "road", admin_view(row->road), "ok", row->ok,
                     "status", row->status, "diagnostics", (json_int_t)row->diagnostics, "record",
                     admin_view(row->record), "case", admin_view(row->case_code), "detail",
                     detail ? detail : json_object(), "ended", admin_when(row->ended_at), "end",
                     row->ended_at ? end_name(row->end) : "");
}

static bool signin_row(void *ctx, const struct bk_signin *row)
{
    json_array_append_new(ctx, signin_json(row));
    return true;
}

void admin_history_list(struct call *call)
{
    const json_t *limit = json_object_get(call->args, "limit");
    int n = json_is_integer(limit) ? (int)json_integer_value(limit) : 50;
    call->result = json_array();
    bk_store_signins(admin_store(call), admin_arg_lower(call, "address"), (struct bk_view){ 0 },
                     n < 1 || n > ADMIN_LIST_MAX ? ADMIN_LIST_MAX : n, &call->arena, signin_row,
                     call->result);
}

static bool report_row(void *ctx, const struct bk_report *row)
{
    json_error_t error;
    json_t *client = json_loadb(row->client.at, row->client.len, 0, &error);
    json_array_append_new(ctx, json_pack("{s:o, s:o, s:o}", "at", admin_when(row->at), "ip",
                                         admin_view(row->ip), "client",
                                         client ? client : json_object()));
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
void admin_case_show(struct call *call)
{
    char code[BK_CASE_CODE_SIZE];
    struct bk_view text = admin_arg(call, "case");
    if (bk_case_code_parse(text, code) < 0)
        FAIL(call, "invalid", "case", "\"%.*s\" is no case code: it looks like K7QF-3M2P.",
             BK_VIEW_ARGS(text));
    json_t *attempts = json_array(), *reports = json_array();
    bk_store_signins(admin_store(call), (struct bk_view){ 0 }, bk_view_of_str(code), 20,
                     &call->arena, signin_row, attempts);
    bk_store_reports(admin_store(call), bk_view_of_str(code), &call->arena, report_row, reports);
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
    if (bk_store_user(admin_store(call), address, &call->arena, &user) == 0)
        json_object_set_new(call->result, "account", admin_account_json(call, &user));
}

void admin_record_list(struct call *call)
{
    call->result = json_array();
    for (size_t i = 0; bk_record_at(i); i++)
        json_array_append_new(call->result, record_json(bk_record_at(i)));
}

static bool audit_row(void *ctx, const struct bk_audit *row)
{
    json_array_append_new(ctx, json_pack("{s:o, s:o, s:o, s:o}", "at", admin_when(row->at), "actor",
                                         admin_view(row->actor), "what", admin_view(row->what),
                                         "target", admin_view(row->target)));
    return true;
}

void admin_audit_list(struct call *call)
{
    call->result = json_array();
    bk_store_audits(admin_store(call), ADMIN_LIST_MAX, &call->arena, audit_row, call->result);
}
