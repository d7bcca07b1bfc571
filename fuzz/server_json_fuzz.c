/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A body is an object that, written and read again, is equal; or there is a text that names a place inside
 * it, can stand in an answer, and shows nothing of the body. Strings we write can always be read back.
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "server/json.h"
#include "server/services_private.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_string(struct bk_view bytes)
{
    BK_AUTO_BUF struct bk_buf out = { 0 };
    bk_buf_add_char(&out, '[');
    bk_json_add_string(&out, bytes);
    bk_buf_add_char(&out, ']');
    json_t *json = json_loadb(out.at, out.len, JSON_ALLOW_NUL, NULL);
    if (!json)
        abort();
    if (bk_utf8_valid(bytes)) {
        const json_t *s = json_array_get(json, 0);
        if (json_string_length(s) != bytes.len ||
            (bytes.len && memcmp(json_string_value(s), bytes.at, bytes.len) != 0))
            abort();
    }
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bk_view body = { (const char *)data, size };
    char why[160] = "";
    int64_t at = -2;
    json_t *json = services_json_read(body, why, &at);
    if (json) {
        char *text = json_dumps(json, JSON_COMPACT);
        json_t *again = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
        if (!again || !json_equal(json, again))
            abort();
        json_decref(again);
        json_decref(json);
        free(text);
    } else {
        size_t n = strnlen(why, sizeof why);
        if (n == 0 || n == sizeof why || at < 0 || (uint64_t)at > size)
            abort();
        for (size_t i = 0; i < n; i++)
            if (why[i] < ' ' || why[i] > '~')
                abort();
        if (strstr(why, "near"))
            abort();
    }
    check_string(body);
    return 0;
}
