/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON that came: read without trust, its members looked at one by one, wiped as it goes. */
#include "server/services_op_private.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

enum { DEPTH_MAX = 16 };

/* Whatever a JSON library held of a password is gone when it lets go of it. */
static void *json_alloc(size_t size)
{
    return malloc(size);
}

static void json_release(void *at)
{
    if (at)
        bk_wipe(at, malloc_usable_size(at));
    free(at);
}

void services_json_wipes(void)
{
    json_set_alloc_funcs(json_alloc, json_release);
}

void services_json_free(char *text)
{
    json_release(text);
}

/* jansson goes down by recursion: what is deeper than anything here needs never reaches it. -1: fine. */
static int64_t too_deep_at(struct bk_view body)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < body.len; i++) {
        char c = body.at[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > DEPTH_MAX)
                return (int64_t)i;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return -1;
}

json_t *services_json_read(struct bk_view body, char ret_why[160], int64_t *ret_at)
{
    json_error_t error;
    *ret_at = too_deep_at(body);
    if (*ret_at >= 0) {
        snprintf(ret_why, 160, "The body is nested too deeply at byte %lld.", (long long)*ret_at);
        return NULL;
    }
    json_t *json = json_loadb(body.at ? body.at : "", body.len, JSON_REJECT_DUPLICATES, &error);
    if (json && json_is_object(json))
        return json;
    if (json) {
        json_decref(json);
        *ret_at = 0;
        snprintf(ret_why, 160, "The body is JSON, but no object.");
        return NULL;
    }
    /* jansson shows what stands there; that may be part of a password. */
    char *near = strstr(error.text, " near ");
    if (near)
        *near = '\0';
    *ret_at = error.position;
    snprintf(ret_why, 160, "The body is no JSON: %.60s (line %d, column %d, byte %d).", error.text,
             error.line, error.column, error.position);
    return NULL;
}

static struct bk_view string_of(const json_t *value)
{
    return (struct bk_view){ json_string_value(value), json_string_length(value) };
}

bool services_json_text(const json_t *object, const char *name, size_t max, struct bk_view *ret,
                        const char **ret_bad)
{
    const json_t *value = json_object_get(object, name);
    *ret = (struct bk_view){ 0 };
    if (!value || json_is_null(value))
        return true;
    *ret_bad = name;
    if (!json_is_string(value) || json_string_length(value) > max)
        return false;
    *ret = string_of(value);
    return true;
}

static bool time_member(struct op *op, const char **ret_bad)
{
    const json_t *value = json_object_get(op->json, "time");
    if (!value || json_is_null(value))
        return true;
    *ret_bad = "time";
    op->has_time = true;
    if (json_is_integer(value)) {
        op->theirs_ms = json_integer_value(value);
        return true;
    }
    return json_is_string(value) && bk_time_iso_parse(string_of(value), &op->theirs_ms) == 0;
}

static bool device_member(struct op *op, const char **ret_bad)
{
    const json_t *device = json_object_get(op->json, "device");
    if (!device || json_is_null(device))
        return true;
    *ret_bad = "device";
    return json_is_object(device) &&
           services_json_text(device, "id", 200, &op->device_id, ret_bad) &&
           services_json_text(device, "name", 200, &op->device_name, ret_bad) &&
           services_json_text(device, "kind", 60, &op->device_kind, ret_bad);
}

/* Everything that any of the requests may carry; what else is there is left for later versions. */
static bool read_members(struct op *op, const char **ret_bad)
{
    struct bk_view old = { 0 };
    bool good = services_json_text(op->json, "address", 400, &op->address, ret_bad) &&
                services_json_text(op->json, "user", 400, &op->username, ret_bad) &&
                services_json_text(op->json, "password", 1024, &op->password, ret_bad) &&
                services_json_text(op->json, "old", 1024, &old, ret_bad) &&
                services_json_text(op->json, "new", 1024, &op->new_password, ret_bad) &&
                services_json_text(op->json, "csr", 16 * 1024, &op->csr, ret_bad) &&
                services_json_text(op->json, "client", 120, &op->attempt.client, ret_bad) &&
                device_member(op, ret_bad) && time_member(op, ret_bad);
    if (op->route->op->old_password)
        op->password = old;
    op->attempt.endpoint = op->device_id;
    op->attempt.device = op->device_name;
    return good;
}

/* The member that this request cannot do without, NULL: all there. */
static const char *missing_member(const struct op *op)
{
    const struct op_kind *kind = op->route->op;
    for (size_t i = 0; i < BK_COUNT_OF(kind->needs) && kind->needs[i]; i++)
        if (json_string_length(json_object_get(op->json, kind->needs[i])) == 0)
            return kind->needs[i];
    return NULL;
}

bool op_read_body(struct op *op, const struct bk_http_request *request)
{
    char text[160];
    const char *name = NULL;
    int64_t at;

    op->json = services_json_read(request->body, text, &at);
    /* The bytes are the exchange's own; nobody reads them again. */
    bk_wipe((char *)request->body.at, request->body.len);
    if (!op->json) {
        op_say(op, 400, text, at);
        return false;
    }
    if (!read_members(op, &name)) {
        snprintf(text, sizeof text, "\"%s\" is not what it should be, or too long.", name);
        op_say(op, 400, text, -1);
        return false;
    }
    if ((name = missing_member(op)) != NULL) {
        snprintf(text, sizeof text, "\"%s\" is missing.", name);
        op_say(op, 400, text, -1);
        return false;
    }
    return true;
}
