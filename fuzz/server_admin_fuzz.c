/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever a line on the administrator's socket holds: JSON that is a request gets exactly one answer, {"ok":true,
 * "result"} or {"ok":false,"error":{code,text}}, and a refused one changes nothing.
 */
#include "server/admin.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    json_t *answer;
};

static void keep(void *ctx, json_t *answer)
{
    struct seen *seen = ctx;
    if (seen->answer || !answer)
        abort();
    seen->answer = answer;
}

static const struct bk_directory *present(void *ctx)
{
    return *(struct bk_directory **)ctx;
}

static json_t *ask(struct bk_admin *admin, struct bk_store *store, const json_t *request)
{
    struct seen seen = { 0 };
    bk_admin_call(admin, "fuzz", request, keep, &seen);
    bk_store_pump(store);
    if (!seen.answer)
        abort();
    return seen.answer;
}

static bool count(void *ctx, const struct bk_audit *row)
{
    (void)row;
    ++*(int *)ctx;
    return true;
}

static int changes(struct bk_store *store)
{
    struct bk_arena arena = { 0 };
    int n = 0;
    bk_store_audits(store, 100, &arena, count, &n);
    bk_arena_finish(&arena);
    return n;
}

static void check(const json_t *answer, int before, int after)
{
    bool ok = json_is_true(json_object_get(answer, "ok"));
    const json_t *error = json_object_get(answer, "error");
    char *line = json_dumps(answer, JSON_COMPACT); /* it must be possible to send it */
    if (!line || ok == (error != NULL) || ok != (json_object_get(answer, "result") != NULL))
        abort();
    if (!ok && (!json_is_string(json_object_get(error, "code")) ||
                !json_is_string(json_object_get(error, "text")) || before != after))
        abort();
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const first[] = {
        "{\"op\":\"domain.add\",\"args\":{\"domain\":\"example.org\"}}",
        "{\"op\":\"user.add\",\"args\":{\"address\":\"ann@example.org\"}}",
    };
    struct bk_store_config config = { .clock = &bk_clock_system };
    struct bk_store *store;
    struct bk_directory *directory;
    struct bk_admin *admin;
    json_error_t error;
    json_t *request = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, &error);
    const char *op = json_string_value(json_object_get(request, "op"));
    if (!request || (op && !strcmp(op, "backup"))) { /* that one writes files where it is told to */
        json_decref(request);
        return 0;
    }
    if (bk_store_open(&config, &store, NULL) < 0 || bk_directory_load(store, &directory) < 0)
        abort();
    struct bk_admin_config with = { .store = store,
                                    .clock = &bk_clock_system,
                                    .random = &bk_random_system,
                                    .directory = present,
                                    .ctx = &directory };
    if (bk_admin_create(&with, &admin) < 0)
        abort();
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        json_t *j = json_loads(first[i], 0, &error);
        json_decref(ask(admin, store, j));
        json_decref(j);
    }
    int before = changes(store);
    json_t *answer = ask(admin, store, request);
    check(answer, before, changes(store));
    json_decref(answer);
    json_decref(request);
    bk_admin_destroy(admin);
    bk_directory_unref(directory);
    bk_store_close(store);
    return 0;
}
