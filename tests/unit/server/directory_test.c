/* SPDX-License-Identifier: Apache-2.0 */
#include "server/directory.h"

#include "failing_alloc.h"
#include "tests/fakes/world.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = world_create_organisation();
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

#define assert_view_equal(v, text) assert_true(bk_view_equal((v), bk_view_of_str(text)))

static void a_domain_leads_to_its_tenant(void **state)
{
    struct world *w = *state;
    const struct bk_tenant *t = bk_directory_tenant_of(w->directory, BK_VIEW("example.net"));
    assert_non_null(t);
    assert_view_equal(t->name, "example");
    assert_ptr_equal(t, bk_directory_tenant_of(w->directory, BK_VIEW("example.org")));
    assert_ptr_equal(t, bk_directory_tenant(w->directory, t->id));
    assert_null(bk_directory_tenant_of(w->directory, BK_VIEW("example")));
    assert_null(bk_directory_tenant_of(w->directory, BK_VIEW("example.orgg")));
    assert_null(bk_directory_tenant_of(w->directory, BK_VIEW("")));
    assert_null(bk_directory_tenant(w->directory, 999));
}

static void domains_come_sorted(void **state)
{
    struct world *w = *state;
    assert_int_equal(bk_directory_domains(w->directory), 3);
    assert_view_equal(bk_directory_domain_at(w->directory, 0), "ended.example");
    assert_view_equal(bk_directory_domain_at(w->directory, 1), "example.net");
    assert_view_equal(bk_directory_domain_at(w->directory, 2), "example.org");
    assert_view_equal(bk_directory_domain_at(w->directory, 3), "");
}

static void a_snapshot_does_not_change_with_the_store(void **state)
{
    struct world *w = *state;
    struct bk_directory *old = bk_directory_ref(w->directory);
    WORLD_PUT(w, bk_store_put_domain(batch, BK_VIEW("new.example"), BK_VIEW("example")));
    assert_null(bk_directory_tenant_of(old, BK_VIEW("new.example")));
    world_reload(w);
    assert_non_null(bk_directory_tenant_of(w->directory, BK_VIEW("new.example")));
    assert_null(bk_directory_tenant_of(old, BK_VIEW("new.example")));
    assert_null(bk_directory_unref(old));
    assert_null(bk_directory_unref(NULL));
}

static void an_empty_store_has_an_empty_directory(void **state)
{
    struct world *w = *state;
    struct bk_store_config config = { .clock = &w->clock };
    struct bk_store *store;
    struct bk_directory *dir;
    assert_int_equal(bk_store_open(&config, &store, NULL), 0);
    assert_int_equal(bk_directory_load(store, &dir), 0);
    assert_int_equal(bk_directory_domains(dir), 0);
    assert_null(bk_directory_tenant_of(dir, BK_VIEW("example.org")));
    assert_view_equal(bk_directory_nearest_domain(dir, BK_VIEW("example.org")), "");
    assert_int_equal(bk_policy_number(dir, NULL, BK_POLICY_ENDPOINTS_MAX), 8);
    bk_directory_unref(dir);
    bk_store_close(store);
}

/* Edits by the definition, every cell of the matrix: what the short way must agree with. */
static int edits(struct bk_view a, struct bk_view b)
{
    int d[20][20];
    for (size_t i = 0; i <= a.len; i++)
        for (size_t j = 0; j <= b.len; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = (int)(i + j);
                continue;
            }
            int best = d[i - 1][j - 1] + (a.at[i - 1] != b.at[j - 1]);
            best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
            best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
            if (i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] && a.at[i - 2] == b.at[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[a.len][b.len];
}

static void a_slip_of_the_finger_finds_the_domain_that_was_meant(void **state)
{
    struct world *w = *state;
    static const char *const slips[] = { "exmaple.org",  "examle.org",  "exampleorg",
                                         "eexample.org", "example.ogr", "xample.org" };
    for (size_t i = 0; i < sizeof slips / sizeof *slips; i++)
        assert_view_equal(bk_directory_nearest_domain(w->directory, bk_view_of_str(slips[i])),
                          "example.org");
    static const char *const others[] = {
        "", "x", "org", "contoso.com", "sample.com", "an-altogether-different-organisation.example"
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_view_equal(bk_directory_nearest_domain(w->directory, bk_view_of_str(others[i])), "");
}

static void the_nearest_domain_is_the_nearest_by_definition(void **state)
{
    struct world *w = *state;
    for (int round = 0; round < 20000; round++) {
        char text[20];
        struct bk_view own = bk_directory_domain_at(w->directory, (size_t)round % 3);
        size_t n = own.len;
        memcpy(text, own.at, n);
        for (uint64_t e = bk_random_u64(&w->random) % 6; e > 0; e--) {
            size_t at = (size_t)(bk_random_u64(&w->random) % n);
            switch (bk_random_u64(&w->random) % 4) {
            case 0:
                text[at] = "abelmnorgtx."[bk_random_u64(&w->random) % 12];
                break;
            case 1:
                memmove(text + at, text + at + 1, n - at - 1);
                n--;
                break;
            case 2:
                if (n < 18) {
                    memmove(text + at + 1, text + at, n - at);
                    n++;
                }
                break;
            default:
                if (at + 1 < n) {
                    char c = text[at];
                    text[at] = text[at + 1];
                    text[at + 1] = c;
                }
            }
        }
        struct bk_view typed = { text, n };
        int best = typed.len < 6 ? 1 : typed.len < 12 ? 2 : 3;
        struct bk_view expected = { 0 };
        for (size_t i = bk_directory_domains(w->directory); i > 0; i--) {
            struct bk_view d = bk_directory_domain_at(w->directory, i - 1);
            if (edits(typed, d) <= best) {
                best = edits(typed, d);
                expected = d;
            }
        }
        struct bk_view got = bk_directory_nearest_domain(w->directory, typed);
        assert_true(bk_view_equal(got, expected));
    }
}

static void user_goes_before_site_before_global_before_the_default(void **state)
{
    struct world *w = *state;
    struct bk_arena arena = { 0 };
    struct bk_user user = { .site = BK_VIEW("berlin"), .policy = BK_VIEW("phones") };
    enum bk_policy p = BK_POLICY_ENDPOINTS_MAX;

    assert_int_equal(bk_policy_number(w->directory, &user, p), 8);
    assert_view_equal(bk_policy_origin(w->directory, &user, p, &arena), "default");
    world_policy(w, "global", "", "endpoints-max", "10");
    assert_int_equal(bk_policy_number(w->directory, &user, p), 10);
    assert_view_equal(bk_policy_origin(w->directory, &user, p, &arena), "global");
    world_policy(w, "site", "berlin", "endpoints-max", "11");
    assert_int_equal(bk_policy_number(w->directory, &user, p), 11);
    assert_view_equal(bk_policy_origin(w->directory, &user, p, &arena), "site:berlin");
    world_policy(w, "user", "phones", "endpoints-max", "12");
    assert_int_equal(bk_policy_number(w->directory, &user, p), 12);
    assert_view_equal(bk_policy_origin(w->directory, &user, p, &arena), "user:phones");

    assert_int_equal(bk_policy_number(w->directory, NULL, p), 10);
    struct bk_user other = { .site = BK_VIEW("rome"), .policy = BK_VIEW("berlin") };
    assert_int_equal(bk_policy_number(w->directory, &other, p), 10);
    bk_arena_finish(&arena);
}

static void a_stored_value_that_is_not_allowed_is_passed_over(void **state)
{
    struct world *w = *state;
    struct bk_user user = { .policy = BK_VIEW("phones") };
    world_policy(w, "global", "", "endpoints-max", "10");
    world_policy(w, "user", "phones", "endpoints-max", "65");
    world_policy(w, "user", "phones", "no-such-policy", "1");
    world_policy(w, "planet", "phones", "endpoints-max", "3");
    assert_int_equal(bk_policy_number(w->directory, &user, BK_POLICY_ENDPOINTS_MAX), 10);
}

static void words_are_compared_without_case_and_come_back_as_the_table_spells_them(void **state)
{
    struct world *w = *state;
    world_policy(w, "global", "", "Cleartext-Signin", "ON");
    world_policy(w, "global", "", "digest-algorithm", "md5");
    assert_true(bk_policy_switch(w->directory, NULL, BK_POLICY_CLEARTEXT_SIGNIN));
    assert_view_equal(bk_policy_choice(w->directory, NULL, BK_POLICY_DIGEST_ALGORITHM), "MD5");
}

static void every_default_is_allowed_and_every_row_is_whole(void **state)
{
    (void)state;
    for (int i = 0; i < BK_POLICY_COUNT; i++) {
        const struct bk_policy_row *row = bk_policy_row((enum bk_policy)i);
        const char *why = NULL;
        enum bk_policy found;
        assert_non_null(row->name);
        assert_true(strlen(row->help) > 20);
        assert_int_equal(bk_policy_check((enum bk_policy)i, bk_view_of_str(row->fallback), &why),
                         0);
        assert_int_equal(bk_policy_find(bk_view_of_str(row->name), &found), 0);
        assert_int_equal(found, i);
    }
    enum bk_policy found;
    assert_int_equal(bk_policy_find(BK_VIEW("no-such-policy"), &found), -ENOENT);
}

static void a_wrong_value_is_refused_with_its_reason(void **state)
{
    (void)state;
    static const struct {
        enum bk_policy policy;
        const char *value, *why;
    } wrong[] = {
        { BK_POLICY_CERTIFICATE_HOURS, "7", "outside the range allowed" },
        { BK_POLICY_CERTIFICATE_HOURS, "8761", "outside the range allowed" },
        { BK_POLICY_CERTIFICATE_HOURS, "99999999999999999999", "not a whole number" },
        { BK_POLICY_CERTIFICATE_HOURS, "-8", "not a whole number" },
        { BK_POLICY_CERTIFICATE_HOURS, "12 ", "not a whole number" },
        { BK_POLICY_CERTIFICATE_HOURS, "", "not a whole number" },
        { BK_POLICY_OFFLINE_MESSAGES, "yes", "neither on nor off" },
        { BK_POLICY_OFFLINE_MESSAGES, "", "neither on nor off" },
        { BK_POLICY_OFFLINE_MESSAGES, "on|off", "neither on nor off" },
        { BK_POLICY_TELL_UNKNOWN_ADDRESS, "sometimes", "none of the words allowed" },
        { BK_POLICY_TELL_UNKNOWN_ADDRESS, "", "none of the words allowed" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *why = NULL;
        assert_int_equal(bk_policy_check(wrong[i].policy, bk_view_of_str(wrong[i].value), &why),
                         -EINVAL);
        assert_string_equal(why, wrong[i].why);
    }
}

static void without_memory_there_is_no_snapshot_and_no_harm(void **state)
{
    struct world *w = *state;
    world_policy(w, "site", "berlin", "endpoints-max", "11");
    int failures = 0;
    for (unsigned n = 1;; n++) {
        struct bk_directory *dir = NULL;
        bk_fail_alloc(n);
        int r = bk_directory_load(w->store, &dir);
        bool failed = bk_fail_alloc(0);
        failures += failed;
        if (r == 0)
            assert_int_equal(bk_directory_domains(dir), 3);
        else
            assert_int_equal(r, -ENOMEM);
        bk_directory_unref(dir);
        if (!failed)
            break;
    }
    assert_true(failures > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_domain_leads_to_its_tenant, setup, teardown),
        cmocka_unit_test_setup_teardown(domains_come_sorted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_snapshot_does_not_change_with_the_store, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_store_has_an_empty_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slip_of_the_finger_finds_the_domain_that_was_meant, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_nearest_domain_is_the_nearest_by_definition, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(user_goes_before_site_before_global_before_the_default,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_stored_value_that_is_not_allowed_is_passed_over, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            words_are_compared_without_case_and_come_back_as_the_table_spells_them, setup,
            teardown),
        cmocka_unit_test_setup_teardown(without_memory_there_is_no_snapshot_and_no_harm, setup,
                                        teardown),
        cmocka_unit_test(every_default_is_allowed_and_every_row_is_whole),
        cmocka_unit_test(a_wrong_value_is_refused_with_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
