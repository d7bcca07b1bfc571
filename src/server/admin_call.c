/* SPDX-License-Identifier: Apache-2.0 */
/* One operation's arguments and answers. */
#include "server/admin_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

json_t *admin_failure(const char *code, const char *at, const char *format, ...)
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

json_t *admin_view(struct bk_view v)
{
    json_t *j = json_stringn(v.at ? v.at : "", v.len);
    return j ? j : json_string("?"); /* not UTF-8 */
}

json_t *admin_when(int64_t real_ms)
{
    char text[32];
    if (!real_ms)
        return json_null();
    bk_time_iso(real_ms, false, text);
    return json_string(text);
}

struct bk_view admin_arg(const struct call *call, const char *key)
{
    const json_t *j = json_object_get(call->args, key);
    return json_is_string(j) ? (struct bk_view){ json_string_value(j), json_string_length(j) }
                             : (struct bk_view){ 0 };
}

struct bk_view admin_arg_lower(struct call *call, const char *key)
{
    struct bk_view v = bk_arena_copy(&call->arena, admin_arg(call, key));
    bk_text_lower((char *)v.at, v.len);
    return v;
}

struct bk_store_batch *admin_batch(struct call *call)
{
    if (!call->batch)
        call->batch = bk_store_batch_create();
    return call->batch;
}

int64_t admin_now(const struct call *call)
{
    return bk_clock_real_ms(call->admin->config.clock);
}

struct bk_store *admin_store(const struct call *call)
{
    return call->admin->config.store;
}

const struct bk_directory *admin_directory(const struct call *call)
{
    const struct bk_admin_config *config = &call->admin->config;
    return config->directory ? config->directory(config->ctx) : NULL;
}

bool admin_address_arg(struct call *call, struct bk_view *ret)
{
    struct bk_view v = admin_arg_lower(call, "address");
    size_t at;
    const char *why;
    if (bk_view_starts_with(v, BK_VIEW("sip:")))
        v = bk_view_skip(v, 4);
    call->failed = true;
    if (!v.len) {
        call->result = admin_failure("usage", "address", "An address is needed.");
        return false;
    }
    if (bk_sip_address_check(v, &at, &why) < 0) {
        call->result = admin_failure("invalid", "address",
                                     "\"%.*s\" is not a sign-in address: %s at character %zu.",
                                     BK_VIEW_ARGS(v), why, at + 1);
        return false;
    }
    call->failed = false;
    *ret = v;
    return true;
}

bool admin_user_arg(struct call *call, struct bk_user *ret)
{
    struct bk_view address;
    if (!admin_address_arg(call, &address))
        return false;
    int r = bk_store_user(admin_store(call), address, &call->arena, ret);
    if (r == 0)
        return true;
    call->failed = true;
    call->result =
        r == -ENOENT
            ? admin_failure("missing", "address", "There is no user %.*s.", BK_VIEW_ARGS(address))
            : admin_failure("store", NULL, "The store cannot be read: %s.", strerror(-r));
    return false;
}

void admin_touch(struct call *call, struct bk_view address)
{
    snprintf(call->changed, sizeof call->changed, "%.*s", BK_VIEW_ARGS(address));
}
