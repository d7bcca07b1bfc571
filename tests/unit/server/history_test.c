/* SPDX-License-Identifier: Apache-2.0 */
#include "server/history.h"

#include "failing_alloc.h"
#include "server/json.h"
#include "tests/fakes/world.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>
#include <jansson.h>

static struct world *world;
static struct bk_history *history;

static int setup(void **state)
{
    (void)state;
    world = world_create_organisation();
    assert_int_equal(bk_history_create(world->store, &world->clock, &world->random, NULL,
                                       "srv.example.org", &history),
                     0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    history = bk_history_destroy(history);
    world_destroy(world);
    return 0;
}

static void pass(int64_t ms)
{
    world->mono_ms += ms;
    world->real_ms += ms;
}

static struct bk_attempt attempt_of(const char *address, const char *ip, uint64_t net)
{
    return (struct bk_attempt){ .address = bk_view_of_str(address),
                                .client = BK_VIEW("beckon-cli/0.1.0"),
                                .ip = bk_view_of_str(ip),
                                .net_key = net,
                                .transport = BK_VIEW("https"),
                                .road = BK_VIEW("https-password") };
}

static void refuse(const char *address, const char *ip, uint64_t net, unsigned number, char sub,
                   bool neutral, struct bk_refusal *ret)
{
    struct bk_attempt attempt = attempt_of(address, ip, net);
    bk_history_refuse(history, &attempt, bk_record_find(number, sub), neutral, false,
                      (struct bk_view){ 0 }, 0, NULL, ret);
}

static void a_refusal_is_kept_under_its_case_code(void **state)
{
    (void)state;
    struct bk_refusal r;
    struct world_kept k;
    refuse("bob@example.org", "192.0.2.7", 1, 208, 0, false, &r);
    assert_string_equal(r.id, "SI-208");
    assert_int_equal(r.diagnostics, 95208);
    assert_int_equal(r.status, 403);
    assert_int_equal(strlen(r.case_code), 9);
    world_signins(world, "", r.case_code, &k);
    assert_int_equal(k.rows, 1);
    assert_false(k.ok);
    assert_string_equal(k.record, "SI-208");
    assert_string_equal(k.address, "bob@example.org");
    assert_string_equal(k.ip, "192.0.2.7");
    assert_string_equal(k.road, "https-password");
    assert_int_equal(k.status, 403);
    assert_string_equal(k.detail, "{}");
}

static void a_stranger_is_told_the_neutral_record_and_the_row_keeps_the_cause(void **state)
{
    (void)state;
    struct bk_refusal unknown, wrong;
    struct world_kept k;
    refuse("nobody@example.org", "192.0.2.7", 1, 201, 'a', true, &unknown);
    refuse("ann@example.org", "192.0.2.7", 1, 202, 0, true, &wrong);
    assert_string_equal(unknown.id, "SI-202");
    assert_string_equal(unknown.text, wrong.text);
    assert_int_equal(unknown.status, wrong.status);
    assert_int_equal(unknown.diagnostics, wrong.diagnostics);
    world_signins(world, "", unknown.case_code, &k);
    assert_string_equal(k.record, "SI-201a");
    assert_string_equal(k.detail, "{\"told\":\"SI-202\"}");
}

static void repeats_within_a_minute_share_code_and_row(void **state)
{
    (void)state;
    struct bk_refusal first, again, other;
    struct world_kept k;
    refuse("ann@example.org", "192.0.2.7", 1, 202, 0, true, &first);
    pass(59999);
    refuse("ann@example.org", "192.0.2.7", 1, 202, 0, true, &again);
    assert_string_equal(first.case_code, again.case_code);
    /* Another machine of the same network. */
    refuse("ann@example.org", "192.0.2.8", 1, 202, 0, true, &again);
    assert_string_equal(first.case_code, again.case_code);
    world_signins(world, "ann@example.org", "", &k);
    assert_int_equal(k.rows, 1);
    assert_int_equal(k.count, 3);

    refuse("ann@example.org", "192.0.2.7", 1, 208, 0, false, &other);
    assert_string_not_equal(first.case_code, other.case_code);
    refuse("ann@example.org", "198.51.100.7", 2, 202, 0, true, &other);
    assert_string_not_equal(first.case_code, other.case_code);
    pass(1);
    refuse("ann@example.org", "192.0.2.7", 1, 202, 0, true, &other);
    assert_string_not_equal(first.case_code, other.case_code);
}

static void the_code_told_can_be_found_whatever_happened_between(void **state)
{
    (void)state;
    /* Restarts (the memory of repeats is lost), clocks that step, many other cases, all at once. */
    for (int round = 0; round < 3000; round++) {
        struct bk_refusal r;
        struct world_kept k;
        char address[32];
        snprintf(address, sizeof address, "a%d@example.org",
                 (int)(bk_random_u64(&world->random) % 7));
        switch (bk_random_u64(&world->random) % 40) {
        case 0:
            bk_history_destroy(history);
            assert_int_equal(bk_history_create(world->store, &world->clock, &world->random, NULL,
                                               "srv", &history),
                             0);
            break;
        case 1:
            world->real_ms -= (int64_t)(bk_random_u64(&world->random) % 90000);
            break;
        case 2:
            bk_history_sweep(history, world->directory);
            break;
        default:
            pass((int64_t)(bk_random_u64(&world->random) % 9000));
        }
        if (bk_random_u64(&world->random) % 3)
            bk_store_pump(world->store);
        uint64_t net = bk_random_u64(&world->random) % 2;
        refuse(address, net ? "192.0.2.1" : "192.0.2.2", net, round & 1 ? 202 : 201,
               round & 1 ? 0 : 'a', true, &r);
        world_signins(world, "", r.case_code, &k);
        assert_int_equal(k.rows, 1);
        assert_string_equal(k.address, address);
    }
}

static void a_flood_of_repeats_is_counted_without_a_write_for_each(void **state)
{
    (void)state;
    struct bk_refusal r;
    struct world_kept k;
    struct bk_store_stats before, after;
    bk_store_stats(world->store, &before);
    for (int i = 0; i < 1000; i++) {
        refuse("ann@example.org", "192.0.2.7", 1, 202, 0, true, &r);
        pass(5);
    }
    bk_store_pump(world->store);
    bk_store_stats(world->store, &after);
    assert_true(after.batches - before.batches < 30);
    pass(1000);
    bk_history_sweep(history, world->directory);
    world_signins(world, "ann@example.org", "", &k);
    assert_int_equal(k.rows, 1);
    assert_int_equal(k.count, 1000);
}

static void who_tries_address_after_address_makes_a_bounded_number_of_rows(void **state)
{
    (void)state;
    struct bk_refusal r;
    struct world_kept k;
    for (int i = 0; i < 500; i++) {
        char address[32];
        snprintf(address, sizeof address, "a%d@example.org", i);
        refuse(address, "192.0.2.7", 1, 201, 'a', true, &r);
        world_signins(world, "", r.case_code, &k);
        assert_int_equal(k.rows, 1);
    }
    assert_string_equal(k.address, "*");
    world_signins(world, "", "", &k);
    assert_true(k.rows <= 61);
    /* The neighbours are not affected. */
    refuse("ann@example.org", "198.51.100.7", 2, 202, 0, true, &r);
    world_signins(world, "", r.case_code, &k);
    assert_string_equal(k.address, "ann@example.org");
}

static void a_good_sign_in_is_kept_and_ended(void **state)
{
    (void)state;
    struct bk_attempt attempt = attempt_of("ann@example.org", "192.0.2.7", 1);
    struct world_kept k;
    attempt.transport = BK_VIEW("tls");
    attempt.endpoint = BK_VIEW("urn:uuid:1");
    bk_history_accept(history, &attempt, (struct bk_view){ 0 });
    world_signins(world, "ann@example.org", "", &k);
    assert_int_equal(k.rows, 1);
    assert_true(k.ok);
    assert_string_equal(k.case_code, "");
    assert_int_equal(k.ended_at, 0);
    pass(5000);
    bk_history_end(history, BK_VIEW("ann@example.org"), BK_VIEW("urn:uuid:1"),
                   BK_SIGNIN_END_CLIENT);
    world_signins(world, "ann@example.org", "", &k);
    assert_int_equal(k.ended_at, world->real_ms);
}

static void an_https_answer_is_no_session_that_stays_open(void **state)
{
    (void)state;
    struct bk_attempt attempt = attempt_of("ann@example.org", "192.0.2.7", 1);
    struct world_kept k;
    bk_history_accept(history, &attempt, BK_VIEW("{\"serial\":\"1\"}"));
    world_signins(world, "ann@example.org", "", &k);
    assert_int_equal(k.ended_at, world->real_ms);
    assert_string_equal(k.detail, "{\"serial\":\"1\"}");
}

static void the_answer_on_the_wire_carries_all_that_joins_the_halves(void **state)
{
    (void)state;
    struct bk_attempt attempt = attempt_of("ann@example.org", "192.0.2.7", 1);
    struct bk_refusal r;
    struct bk_buf out = { 0 };
    char expected[700];
    const char *values[] = { "minutes", "6", NULL };
    bk_history_refuse(history, &attempt, bk_record_find(104, 0), false, true,
                      BK_VIEW("{\"skew_s\":-361}"), 0, values, &r);
    bk_refusal_diagnostics(history, &r, &out);
    snprintf(expected, sizeof expected,
             "1013;reason=\"%s\";source=\"srv.example.org\";record=\"SI-104\";case=\"%s\"", r.text,
             r.case_code);
    assert_string_equal(bk_buf_cstr(&out), expected);
    assert_non_null(strstr(r.text, "differs from the server's by 6 minutes"));

    bk_buf_clear(&out);
    bk_refusal_json(&r, &out);
    json_t *json = json_loadb(out.at, out.len, 0, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "record")), "SI-104");
    assert_int_equal(json_integer_value(json_object_get(json, "id")), 1013);
    assert_string_equal(json_string_value(json_object_get(json, "case")), r.case_code);
    assert_string_equal(json_string_value(json_object_get(json, "text")), r.text);
    assert_true(json_is_null(json_object_get(json, "retry_after")));
    json_decref(json);
    struct world_kept k;
    world_signins(world, "", r.case_code, &k);
    assert_string_equal(k.detail, "{\"skew_s\":-361,\"values\":{\"minutes\":\"6\"}}");
    bk_buf_finish(&out);
}

static void what_a_stranger_put_into_a_text_stays_text(void **state)
{
    (void)state;
    struct bk_attempt attempt = attempt_of("ann@example.org", "192.0.2.7", 1);
    struct bk_refusal r;
    struct bk_buf out = { 0 };
    const char *values[] = { "why", "\"; record=\"SI-1\r\nX: y\xff\\", NULL };
    bk_history_refuse(history, &attempt, bk_record_find(111, 0), true, true, (struct bk_view){ 0 },
                      7, values, &r);
    assert_null(strpbrk(r.text, "\r\n"));
    assert_null(strchr(r.text, '\xff'));
    bk_refusal_diagnostics(history, &r, &out);
    assert_non_null(strstr(bk_buf_cstr(&out), "\\\"; record=\\\"SI-1"));
    bk_buf_clear(&out);
    bk_refusal_json(&r, &out);
    json_t *json = json_loadb(out.at, out.len, 0, NULL);
    assert_non_null(json);
    assert_int_equal(json_integer_value(json_object_get(json, "retry_after")), 7);
    json_decref(json);
    struct world_kept k;
    world_signins(world, "", r.case_code, &k);
    json = json_loads(k.detail, 0, NULL);
    assert_non_null(json);
    json_decref(json);
    bk_buf_finish(&out);
}

static void ten_failures_a_minute_per_account_and_network(void **state)
{
    (void)state;
    struct bk_attempt a = attempt_of("ann@example.org", "192.0.2.7", 1);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(bk_history_may_try(history, &a), 0);
        bk_history_failed(history, &a);
        pass(100);
    }
    assert_int_equal(bk_history_may_try(history, &a), 59);
    /* The account is not locked for anybody else, nor the network for other accounts. */
    struct bk_attempt elsewhere = attempt_of("ann@example.org", "198.51.100.7", 2);
    struct bk_attempt neighbour = attempt_of("bob@example.org", "192.0.2.7", 1);
    assert_int_equal(bk_history_may_try(history, &elsewhere), 0);
    assert_int_equal(bk_history_may_try(history, &neighbour), 0);
    struct bk_attempt shouted = attempt_of("ANN@Example.org", "192.0.2.9", 1);
    assert_true(bk_history_may_try(history, &shouted) > 0);
    pass(58999);
    assert_int_equal(bk_history_may_try(history, &a), 1);
    pass(1);
    assert_int_equal(bk_history_may_try(history, &a), 0);
}

static void a_success_takes_back_what_was_counted_in_advance(void **state)
{
    (void)state;
    struct bk_attempt a = attempt_of("ann@example.org", "192.0.2.7", 1);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(bk_history_may_try(history, &a), 0);
        bk_history_failed(history, &a);
        bk_history_forgive(history, &a);
    }
}

static void one_address_fails_slower_and_slower(void **state)
{
    (void)state;
    char address[32];
    int waited = 0, last = 0;
    for (int i = 0; i < 68; i++) {
        snprintf(address, sizeof address, "a%d@example.org", i);
        struct bk_attempt a = attempt_of(address, "192.0.2.7", 1);
        int wait_s = bk_history_may_try(history, &a);
        if (i < 60)
            assert_int_equal(wait_s, 0);
        else
            assert_true(wait_s > 0);
        if (wait_s) {
            assert_true(wait_s >= 2 * last || wait_s == 300);
            last = wait_s;
            waited++;
            pass((int64_t)wait_s * 1000);
            assert_int_equal(bk_history_may_try(history, &a), 0);
        }
        bk_history_failed(history, &a);
    }
    assert_int_equal(waited, 8);
    assert_true(last >= 256);
    struct bk_attempt elsewhere = attempt_of("x@example.org", "192.0.2.8", 1);
    assert_int_equal(bk_history_may_try(history, &elsewhere), 0);
    pass(2000000);
    struct bk_attempt a = attempt_of("x@example.org", "192.0.2.7", 1);
    bk_history_failed(history, &a);
    assert_int_equal(bk_history_may_try(history, &a), 0);
}

static void a_clock_that_is_set_does_not_forgive_nor_lock(void **state)
{
    (void)state;
    struct bk_attempt a = attempt_of("ann@example.org", "192.0.2.7", 1);
    for (int i = 0; i < 10; i++)
        bk_history_failed(history, &a);
    world->real_ms += 3600 * 1000;
    assert_int_equal(bk_history_may_try(history, &a), 60);
    world->real_ms -= 7200 * 1000;
    assert_int_equal(bk_history_may_try(history, &a), 60);
}

static void a_million_addresses_do_not_fill_the_memory(void **state)
{
    (void)state;
    for (int i = 0; i < 50000; i++) {
        char address[32], ip[32];
        snprintf(address, sizeof address, "a%d@example.org", i);
        snprintf(ip, sizeof ip, "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        struct bk_attempt a = attempt_of(address, ip, (uint64_t)i);
        bk_history_failed(history, &a);
    }
    /* The newest ones are the ones remembered. */
    struct bk_attempt a = attempt_of("a49999@example.org", "10.0.195.79", 49999);
    for (int i = 0; i < 9; i++)
        bk_history_failed(history, &a);
    assert_true(bk_history_may_try(history, &a) > 0);
}

static void the_account_says_who_may_sign_in(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    static const struct {
        const char *address, *record;
    } rows[] = {
        { "ann@example.org", NULL },
        { "bob@example.org", "SI-208" },
        { "cat@example.org", "SI-201b" },
        { "eve@ended.example", "SI-402" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bk_user user;
        world_account(world, rows[i].address, &arena, &user);
        const struct bk_tenant *tenant = bk_directory_tenant(world->directory, user.tenant_id);
        const struct bk_record *record = bk_judge_account(&user, tenant, world->real_ms);
        char id[12] = "";
        if (record)
            bk_record_id(record, id);
        assert_string_equal(id, rows[i].record ? rows[i].record : "");
        assert_non_null(bk_judge_account(&user, NULL, world->real_ms));
    }
    bk_arena_finish(&arena);
}

static void a_tenant_has_its_time_of_grace_to_the_millisecond(void **state)
{
    (void)state;
    struct bk_user user = { .enabled = true, .licensed = true };
    struct bk_tenant t = { .ends_at = 1000, .grace_ms = 500 };
    assert_null(bk_judge_account(&user, &t, 999));
    assert_null(bk_judge_account(&user, &t, 1000));
    assert_null(bk_judge_account(&user, &t, 1499));
    assert_int_equal(bk_judge_account(&user, &t, 1500)->number, 402);
    t.grace_ms = 0;
    assert_int_equal(bk_judge_account(&user, &t, 1000)->number, 402);
    t.ends_at = 0;
    assert_null(bk_judge_account(&user, &t, 99999));
    t.state = BK_TENANT_SUSPENDED;
    assert_int_equal(bk_judge_account(&user, &t, 0)->number, 402);
}

static void sweeping_drops_what_is_older_than_policy_says(void **state)
{
    (void)state;
    struct bk_refusal r;
    struct world_kept k;
    world_policy(world, "global", "", "signin-history-days", "2");
    refuse("ann@example.org", "192.0.2.7", 1, 202, 0, true, &r);
    bk_store_pump(world->store);
    for (int i = 0; i < 48 * 6; i++) {
        pass(600 * 1000);
        bk_history_sweep(history, world->directory);
    }
    world_signins(world, "", r.case_code, &k);
    assert_int_equal(k.rows, 1);
    pass(600 * 1000);
    bk_history_sweep(history, world->directory);
    world_signins(world, "", r.case_code, &k);
    assert_int_equal(k.rows, 0);
}

static void a_clock_set_ten_years_ahead_empties_nothing(void **state)
{
    (void)state;
    struct bk_refusal r;
    struct world_kept k;
    refuse("ann@example.org", "192.0.2.7", 1, 202, 0, true, &r);
    bk_store_pump(world->store);
    world->real_ms += 3650LL * 86400 * 1000;
    pass(600 * 1000);
    bk_history_sweep(history, world->directory);
    world_signins(world, "", r.case_code, &k);
    assert_int_equal(k.rows, 1);
}

static void json_strings_can_always_be_read_back(void **state)
{
    (void)state;
    struct bk_buf out = { 0 };
    for (int round = 0; round < 5000; round++) {
        char bytes[24];
        size_t n = (size_t)(bk_random_u64(&world->random) % sizeof bytes);
        bk_random_fill(&world->random, bytes, n);
        bk_buf_clear(&out);
        bk_buf_add_char(&out, '[');
        bk_json_add_string(&out, (struct bk_view){ bytes, n });
        bk_buf_add_char(&out, ']');
        json_t *json = json_loadb(out.at, out.len, JSON_ALLOW_NUL, NULL);
        assert_non_null(json);
        json_decref(json);
    }
    bk_buf_clear(&out);
    bk_json_add_string(&out, BK_VIEW("a\"\\\n\xc3\xa4\xed\xa0\x80z"));
    assert_string_equal(bk_buf_cstr(&out), "\"a\\\"\\\\\\u000a\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\xef"
                                           "\xbf\xbdz\"");
    bk_buf_finish(&out);
}

static void without_memory_a_refusal_still_has_its_code_and_text(void **state)
{
    (void)state;
    const char *values[] = { "minutes", "6", NULL };
    int failures = 0;
    for (unsigned n = 1;; n++) {
        char address[32];
        snprintf(address, sizeof address, "a%u@example.org", n);
        struct bk_attempt attempt = attempt_of(address, "192.0.2.7", n);
        struct bk_refusal r;
        bk_fail_alloc(n);
        bk_history_refuse(history, &attempt, bk_record_find(104, 0), true, false,
                          BK_VIEW("{\"a\":1}"), 0, values, &r);
        bk_history_failed(history, &attempt);
        bk_history_may_try(history, &attempt);
        bk_history_accept(history, &attempt, (struct bk_view){ 0 });
        bool failed = bk_fail_alloc(0);
        assert_string_equal(r.id, "SI-202");
        assert_int_equal(strlen(r.case_code), 9);
        failures += failed;
        if (!failed)
            break;
    }
    assert_true(failures > 8);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_refusal_is_kept_under_its_case_code),
        TEST(a_stranger_is_told_the_neutral_record_and_the_row_keeps_the_cause),
        TEST(repeats_within_a_minute_share_code_and_row),
        TEST(the_code_told_can_be_found_whatever_happened_between),
        TEST(a_flood_of_repeats_is_counted_without_a_write_for_each),
        TEST(who_tries_address_after_address_makes_a_bounded_number_of_rows),
        TEST(a_good_sign_in_is_kept_and_ended),
        TEST(an_https_answer_is_no_session_that_stays_open),
        TEST(the_answer_on_the_wire_carries_all_that_joins_the_halves),
        TEST(what_a_stranger_put_into_a_text_stays_text),
        TEST(ten_failures_a_minute_per_account_and_network),
        TEST(a_success_takes_back_what_was_counted_in_advance),
        TEST(one_address_fails_slower_and_slower),
        TEST(a_clock_that_is_set_does_not_forgive_nor_lock),
        TEST(a_million_addresses_do_not_fill_the_memory),
        TEST(the_account_says_who_may_sign_in),
        TEST(a_tenant_has_its_time_of_grace_to_the_millisecond),
        TEST(sweeping_drops_what_is_older_than_policy_says),
        TEST(a_clock_set_ten_years_ahead_empties_nothing),
        TEST(json_strings_can_always_be_read_back),
        TEST(without_memory_a_refusal_still_has_its_code_and_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
