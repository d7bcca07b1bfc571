/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of server/admin.h on a store in memory. */
#include "base/cleanup.h"
#include "base/text.h"
#include "server/admin.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

struct office {
    struct bk_store *store;
    struct bk_directory *directory;
    struct bk_admin *admin;
    int changes; /* of the directory */
};

static const struct bk_directory *present(void *ctx)
{
    return ((struct office *)ctx)->directory;
}

static void changed(void *ctx)
{
    struct office *o = ctx;
    o->changes++;
    bk_directory_unref(o->directory);
    assert_int_equal(bk_directory_load(o->store, &o->directory), 0);
}

static void keep(void *ctx, json_t *answer)
{
    json_t **to = ctx;
    assert_null(*to); /* one answer for one request */
    assert_non_null(answer);
    *to = answer;
}

static json_t *call(struct office *o, const char *request)
{
    json_error_t error;
    json_t *answer = NULL, *j = json_loads(request, 0, &error);
    if (!j)
        fail_msg("%s in %s", error.text, request);
    bk_admin_call(o->admin, "tester", j, keep, &answer);
    bk_store_pump(o->store);
    json_decref(j);
    assert_non_null(answer);
    return answer;
}

/* The result of a request that must be granted; the caller's. */
static json_t *granted(struct office *o, const char *request)
{
    json_t *answer = call(o, request), *result = json_object_get(answer, "result");
    if (!json_is_true(json_object_get(answer, "ok"))) {
        char *text = json_dumps(answer, 0);
        fail_msg("%s: %s", request, text);
    }
    json_incref(result);
    json_decref(answer);
    return result;
}

static void do_it(struct office *o, const char *request)
{
    json_decref(granted(o, request));
}

/* Must be refused with this code and place. */
static void refused(struct office *o, const char *request, const char *code, const char *at)
{
    json_t *answer = call(o, request), *error = json_object_get(answer, "error");
    assert_true(json_is_false(json_object_get(answer, "ok")));
    const char *has_code = json_string_value(json_object_get(error, "code")),
               *has_at = json_string_value(json_object_get(error, "at"));
    assert_string_equal(has_code, code);
    if (at)
        assert_string_equal(has_at, at);
    assert_non_null(json_string_value(json_object_get(error, "text")));
    json_decref(answer);
}

static int set_up(void **state)
{
    struct office *o = calloc(1, sizeof *o);
    struct bk_store_config config = { .clock = &bk_clock_system };
    assert_int_equal(bk_store_open(&config, &o->store, NULL), 0);
    assert_int_equal(bk_directory_load(o->store, &o->directory), 0);
    struct bk_admin_config admin = { .store = o->store,
                                     .clock = &bk_clock_system,
                                     .random = &bk_random_system,
                                     .directory_changed = changed,
                                     .directory = present,
                                     .ctx = o };
    assert_int_equal(bk_admin_create(&admin, &o->admin), 0);
    do_it(o, "{\"op\":\"domain.add\",\"args\":{\"domain\":\"Example.org\"}}");
    *state = o;
    return 0;
}

static int tear_down(void **state)
{
    struct office *o = *state;
    bk_admin_destroy(o->admin);
    bk_directory_unref(o->directory);
    bk_store_close(o->store);
    free(o);
    return 0;
}

#define ADD(address, more) "{\"op\":\"user.add\",\"args\":{\"address\":\"" address "\"" more "}}"
#define HASH "$y$j9T$abc$def"
#define HA1 "0123456789abcdef0123456789abcdef"

static void a_change_is_answered_only_after_its_commit(void **state)
{
    struct office *o = *state;
    json_t *answer = NULL, *request = json_loads(ADD("ann@example.org", ""), 0, NULL);
    bk_admin_call(o->admin, "tester", request, keep, &answer);
    assert_null(answer);
    bk_store_pump(o->store);
    assert_non_null(answer);
    json_decref(answer);
    json_decref(request);
}

static void whatever_the_arguments_are_there_is_one_answer(void **state)
{
    static const char *const args[] = {
        "null",
        "[]",
        "{}",
        "{\"address\":5,\"domain\":[],\"name\":{},\"users\":5,\"case\":null}",
        "{\"address\":\"\",\"domain\":\"\",\"name\":\"\",\"value\":\"\",\"file\":\"\"}",
        "{\"address\":\"x\",\"domain\":\"a b\",\"users\":[5,null,{\"address\":{}}],\"limit\":-1}",
        "{\"address\":\"sip:\",\"limit\":99999999999,\"id\":-1,\"level\":7,\"subject\":\"@\"}",
        "{\"address\":\"nobody@example.org\",\"subject\":\"b@c\",\"level\":100,\"device\":7}",
        "{\"name\":\"x\",\"ends\":\"soon\",\"state\":\"odd\",\"grace_days\":-5,\"scope\":\"x\"}",
    };
    struct office *o = *state;
    for (size_t i = 0; bk_admin_op_name(i); i++)
        for (size_t k = 0; k < BK_COUNT_OF(args); k++) {
            char request[512];
            snprintf(request, sizeof request, "{\"op\":\"%s\",\"args\":%s}", bk_admin_op_name(i),
                     args[k]);
            json_t *answer = call(o, request);
            bool ok = json_is_true(json_object_get(answer, "ok"));
            assert_non_null(json_object_get(answer, ok ? "result" : "error"));
            json_decref(answer);
        }
    refused(o, "{}", "unknown", "op");
    refused(o, "[]", "unknown", "op");
    refused(o, "{\"op\":\"user.fly\"}", "unknown", "op");
}

static void an_address_that_cannot_be_is_refused_with_the_character(void **state)
{
    struct office *o = *state;
    refused(o, ADD("a'b@example.org", ""), "invalid", "address");
    refused(o, ADD("ann", ""), "invalid", "address");
    refused(o, ADD("ann@example.com", ""), "missing", "address");
    /* A refusal that quotes more than it can hold is still a text. */
    BK_AUTO_BUF struct bk_buf request = { 0 };
    bk_buf_add_lit(&request, "{\"op\":\"user.add\",\"args\":{\"address\":\"a");
    for (int i = 0; i < 400; i++)
        bk_buf_add_lit(&request, "\xc3\xa9");
    bk_buf_add_lit(&request, "@example.org\"}}");
    refused(o, bk_buf_cstr(&request), "invalid", "address");
}

static void a_name_belongs_to_one_person_whichever_kind_it_is(void **state)
{
    struct office *o = *state;
    do_it(o, ADD("ann@example.org", ",\"username\":\"Annie\""));
    refused(o, ADD("ANN@example.org", ""), "exists", "address");
    refused(o, ADD("bob@example.org", ",\"username\":\"annie\""), "exists", "username");
    refused(o, ADD("bob@example.org", ",\"username\":\"ann@example.org\""), "exists", "username");
    do_it(o, ADD("bob@example.org", ",\"username\":\"cleo@example.org\""));
    refused(o, ADD("cleo@example.org", ""), "exists", "address");
}

static void only_hashes_are_taken(void **state)
{
    struct office *o = *state;
    refused(o, ADD("ann@example.org", ",\"yescrypt\":\"secret\""), "invalid", "yescrypt");
    refused(o, ADD("ann@example.org", ",\"yescrypt\":7"), "invalid", "yescrypt");
    refused(o, ADD("ann@example.org", ",\"device\":{\"algorithm\":\"MD5\"}"), "invalid", "device");
    refused(o,
            ADD("ann@example.org", ",\"device\":{\"algorithm\":\"SHA-1\",\"ha1_user\":\"" HA1
                                   "\",\"ha1_address\":\"" HA1 "\"}"),
            "invalid", "device.algorithm");
    refused(o,
            ADD("ann@example.org", ",\"device\":{\"algorithm\":\"SHA-256\",\"ha1_user\":\"" HA1
                                   "\",\"ha1_address\":\"" HA1 "\"}"),
            "invalid", "device");
    json_t *list = granted(o, "{\"op\":\"user.list\"}");
    assert_int_equal(json_array_size(list), 0); /* what was refused left nothing behind */
    json_decref(list);
    do_it(o, ADD("ann@example.org", ",\"yescrypt\":\"" HASH "\",\"device\":{\"algorithm\":\"md5\","
                                    "\"ha1_user\":\"" HA1 "\",\"ha1_address\":\"" HA1 "\"}"));
}

#define NT "a4f49c406510bdcab6824ee7c30fd852"

struct audits {
    int n, bad;
};

static bool audit_row(void *ctx, const struct bk_audit *row)
{
    struct audits *a = ctx;
    a->n++;
    a->bad += !bk_view_equal(row->actor, BK_VIEW("tester"));
    a->bad += bk_view_find_view(row->detail, BK_VIEW("$y$")) < row->detail.len;
    a->bad += bk_view_find_view(row->detail, BK_VIEW(HA1)) < row->detail.len;
    a->bad += bk_view_find_view(row->detail, BK_VIEW(NT)) < row->detail.len;
    return true;
}

static int nt_hash_of(struct office *o, const char *address)
{
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_user user;
    uint8_t hash[BK_NT_HASH_SIZE];
    assert_int_equal(bk_store_user(o->store, bk_view_of_str(address), &arena, &user), 0);
    bk_store_pump(o->store); /* what was handed over without waiting */
    return bk_store_nt_hash(o->store, user.id, hash);
}

static void an_nt_hash_is_kept_while_policy_says_so_and_no_longer(void **state)
{
    struct office *o = *state;
    refused(o, ADD("ann@example.org", ",\"nt_hash\":\"" NT "\""), "invalid", "nt_hash");
    refused(o, ADD("ann@example.org", ",\"yescrypt\":\"" HASH "\",\"nt_hash\":\"x\""), "invalid",
            "nt_hash");
    do_it(o, ADD("ann@example.org", ",\"yescrypt\":\"" HASH "\",\"nt_hash\":\"" NT "\""));
    assert_int_equal(nt_hash_of(o, "ann@example.org"), -ENOENT); /* off by default */
    do_it(o, "{\"op\":\"policy.set\",\"args\":{\"name\":\"ntlm-signin\",\"value\":\"on\"}}");
    assert_int_equal(nt_hash_of(o, "ann@example.org"), -ENOENT);
    do_it(o, "{\"op\":\"user.set\",\"args\":{\"address\":\"ann@example.org\",\"yescrypt\":\"" HASH
             "\",\"nt_hash\":\"" NT "\"}}");
    assert_int_equal(nt_hash_of(o, "ann@example.org"), 0);
    do_it(o, ADD("bob@example.org", ",\"yescrypt\":\"" HASH "\",\"nt_hash\":\"" NT "\""));
    assert_int_equal(nt_hash_of(o, "bob@example.org"), 0);
    /* A password that comes without one takes the old one away. */
    do_it(o, "{\"op\":\"user.set\",\"args\":{\"address\":\"bob@example.org\",\"yescrypt\":\"" HASH
             "\"}}");
    assert_int_equal(nt_hash_of(o, "bob@example.org"), -ENOENT);
    do_it(o, "{\"op\":\"policy.set\",\"args\":{\"name\":\"ntlm-signin\",\"value\":\"off\"}}");
    assert_int_equal(nt_hash_of(o, "ann@example.org"), -ENOENT);
}

static void the_audit_has_every_change_and_no_hash(void **state)
{
    struct office *o = *state;
    struct audits seen = { 0 };
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    do_it(o, ADD("ann@example.org", ",\"yescrypt\":\"" HASH "\",\"nt_hash\":\"" NT "\""));
    do_it(o, "{\"op\":\"user.set\",\"args\":{\"address\":\"ann@example.org\",\"yescrypt\":\"" HASH
             "\",\"device\":{\"algorithm\":\"MD5\",\"ha1_user\":\"" HA1 "\",\"ha1_address\":\"" HA1
             "\"}}}");
    do_it(o, "{\"op\":\"user.import\",\"args\":{\"users\":[{\"address\":\"bob@example.org\","
             "\"yescrypt\":\"" HASH "\"}]}}");
    refused(o, ADD("ann@example.org", ""), "exists", NULL);
    bk_store_audits(o->store, 100, &arena, audit_row, &seen);
    assert_int_equal(seen.n, 4); /* with the domain */
    assert_int_equal(seen.bad, 0);
}

static const char *row_code(const json_t *result, size_t i)
{
    const char *code = json_string_value(
        json_object_get(json_array_get(json_object_get(result, "rows"), i), "code"));
    return code ? code : "";
}

static void each_row_of_an_import_has_its_own_result(void **state)
{
    struct office *o = *state;
    do_it(o, ADD("old@example.org", ""));
    json_t *result =
        granted(o, "{\"op\":\"user.import\",\"args\":{\"users\":["
                   "{\"address\":\"Ann@example.org\",\"licensed\":false},"
                   "{\"address\":\"old@example.org\"},"
                   "{\"address\":\"ann@example.org\"},"
                   "{\"address\":\"b'c@example.org\"},"
                   "7,"
                   "{\"address\":\"eva@example.org\",\"username\":\"ann@example.org\"},"
                   "{\"address\":\"fay@example.org\",\"yescrypt\":\"plain\"},"
                   "{\"address\":\"gil@example.org\",\"display_name\":\"Gil\"}]}}");
    assert_int_equal(json_integer_value(json_object_get(result, "added")), 2);
    static const char *const codes[] = { "",      "exists", "exists",  "invalid",
                                         "usage", "exists", "invalid", "" };
    assert_int_equal(json_array_size(json_object_get(result, "rows")), BK_COUNT_OF(codes));
    for (size_t i = 0; i < BK_COUNT_OF(codes); i++)
        assert_string_equal(row_code(result, i), codes[i]);
    json_decref(result);
    json_t *ann = granted(o, "{\"op\":\"user.show\",\"args\":{\"address\":\"ann@example.org\"}}");
    assert_true(json_is_false(json_object_get(ann, "licensed")));
    json_decref(ann);
    refused(o, "{\"op\":\"user.show\",\"args\":{\"address\":\"fay@example.org\"}}", "missing",
            "address");
}

static void an_import_that_only_looks_writes_nothing(void **state)
{
    struct office *o = *state;
    json_t *result = granted(o, "{\"op\":\"user.import\",\"args\":{\"check\":true,\"users\":["
                                "{\"address\":\"ann@example.org\"}]}}");
    assert_int_equal(json_integer_value(json_object_get(result, "added")), 1);
    json_decref(result);
    refused(o, "{\"op\":\"user.show\",\"args\":{\"address\":\"ann@example.org\"}}", "missing",
            NULL);
}

static char *part(const char *whole, const char *rows, bool last)
{
    char *request;
    if (asprintf(&request,
                 "{\"op\":\"user.import\",\"args\":{\"whole\":\"%s\",\"last\":%s,\"users\":[%s]}}",
                 whole, last ? "true" : "false", rows) < 0)
        abort();
    return request;
}

/* One request of an import of the whole; *id is what the next one is to name, "" at its end. */
static void go_on(struct office *o, char id[32], const char *rows, bool last, int added)
{
    char *request = part(id, rows, last);
    json_t *result = granted(o, request);
    const char *next = json_string_value(json_object_get(result, "whole"));
    assert_int_equal(json_integer_value(json_object_get(result, "added")), added);
    snprintf(id, 32, "%s", next ? next : "");
    json_decref(result);
    free(request);
}

static void an_import_of_the_whole_is_written_with_its_last_request_or_not_at_all(void **state)
{
    struct office *o = *state;
    static const char show[] = "{\"op\":\"user.show\",\"args\":{\"address\":\"ann@example.org\"}}";
    char id[32] = "begin", other[32] = "begin";
    go_on(o, id, "{\"address\":\"ann@example.org\"}", false, 1);
    assert_true(strlen(id) == 16);
    refused(o, show, "missing", NULL);
    do_it(o, ADD("bob@example.org", "")); /* between two requests of the import */
    go_on(o, id, "{\"address\":\"bob@example.org\"},{\"address\":\"cleo@example.org\"}", true, 1);
    assert_string_equal(id, "");
    refused(o, show, "missing", NULL);

    snprintf(id, sizeof id, "begin");
    go_on(o, id, "{\"address\":\"ann@example.org\"}", false, 1);
    char *late = part(id, "{\"address\":\"cleo@example.org\"}", true);
    go_on(o, other, "{\"address\":\"ann@example.org\"}", false, 1);
    refused(o, late, "missing", "whole"); /* somebody else began */
    go_on(o, other, "{\"address\":\"cleo@example.org\"}", false, 1);
    go_on(o, other, "", true, 0);
    do_it(o, show);
    do_it(o, "{\"op\":\"user.show\",\"args\":{\"address\":\"cleo@example.org\"}}");
    free(late);
}

static void an_organisation_that_is_not_there_is_not_made_by_a_slip(void **state)
{
    struct office *o = *state;
    refused(o,
            "{\"op\":\"tenant.set\",\"args\":{\"name\":\"exmaple.org\",\"state\":\"suspended\"}}",
            "missing", "name");
    json_t *all = granted(o, "{\"op\":\"tenant.list\"}");
    size_t i;
    json_t *row;
    json_array_foreach(all, i, row)
        assert_string_not_equal(json_string_value(json_object_get(row, "name")), "exmaple.org");
    json_decref(all);
}

static void an_import_has_a_most(void **state)
{
    struct office *o = *state;
    BK_AUTO_BUF struct bk_buf request = { 0 };
    bk_buf_add_lit(&request, "{\"op\":\"user.import\",\"args\":{\"users\":[0");
    for (int i = 0; i < 500; i++)
        bk_buf_add_lit(&request, ",0");
    bk_buf_add_lit(&request, "]}}");
    refused(o, bk_buf_cstr(&request), "usage", "users");
}

static void a_policy_counts_at_once(void **state)
{
    struct office *o = *state;
    int before = o->changes;
    do_it(o, "{\"op\":\"policy.set\",\"args\":{\"name\":\"endpoints-max\",\"value\":\"3\"}}");
    assert_int_equal(o->changes, before + 1);
    assert_int_equal(bk_policy_number(o->directory, NULL, BK_POLICY_ENDPOINTS_MAX), 3);
    refused(o, "{\"op\":\"policy.set\",\"args\":{\"name\":\"endpoints-max\",\"value\":\"0\"}}",
            "invalid", "value");
    refused(o, "{\"op\":\"policy.set\",\"args\":{\"name\":\"endpoint-max\",\"value\":\"3\"}}",
            "unknown", "name");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_change_is_answered_only_after_its_commit),
        CASE(whatever_the_arguments_are_there_is_one_answer),
        CASE(an_address_that_cannot_be_is_refused_with_the_character),
        CASE(a_name_belongs_to_one_person_whichever_kind_it_is),
        CASE(only_hashes_are_taken),
        CASE(an_nt_hash_is_kept_while_policy_says_so_and_no_longer),
        CASE(the_audit_has_every_change_and_no_hash),
        CASE(each_row_of_an_import_has_its_own_result),
        CASE(an_import_that_only_looks_writes_nothing),
        CASE(an_import_of_the_whole_is_written_with_its_last_request_or_not_at_all),
        CASE(an_organisation_that_is_not_there_is_not_made_by_a_slip),
        CASE(an_import_has_a_most),
        CASE(a_policy_counts_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
