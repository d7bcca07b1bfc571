/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/accounts.h"

#include "client/profile.h"
#include "fakes/folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after those */
#include <cmocka.h>
#include <glib/gstdio.h>

static char *home, *root;

static int clean(void **state)
{
    (void)state;
    (void)folder_remove(root);
    g_autofree char *config = g_build_filename(home, "config", NULL);
    (void)folder_remove(config);
    return 0;
}

static void signed_in_here(const char *address, const char *user, bool saved, bool last)
{
    struct bk_profile profile;
    assert_int_equal(bk_profile_open(&profile, root, address, &bk_random_system, NULL), 0);
    (void)g_strlcpy(profile.user, user, sizeof profile.user);
    assert_int_equal(bk_profile_save_state(&profile), 0);
    if (saved) {
        bk_buf_add_str(&profile.identity, "a key");
        assert_int_equal(bk_profile_save_identity(&profile, &bk_random_system), 0);
    }
    if (last)
        assert_int_equal(bk_profile_save_last_address(&profile), 0);
    bk_profile_close(&profile);
}

static void assert_addresses(BkAccounts *accounts, const char *expected)
{
    g_autoptr(GString) have = g_string_new(NULL);
    for (guint i = 0; i < g_list_model_get_n_items(G_LIST_MODEL(accounts)); i++) {
        g_autoptr(BkAccount) account = g_list_model_get_item(G_LIST_MODEL(accounts), i);
        g_string_append_printf(have, "%s ", bk_account_address(account));
    }
    assert_string_equal(have->str, expected);
}

static void nobody_signed_in_yet(void **state)
{
    (void)state;
    g_autoptr(BkAccounts) accounts = bk_accounts_new(root);
    assert_addresses(accounts, "");
    assert_null(bk_accounts_find(accounts, "ann@example.org"));
    assert_null(bk_accounts_find(accounts, "../../etc"));
}

static void who_signed_in_last_stands_first_also_at_the_next_start(void **state)
{
    (void)state;
    signed_in_here("ann@example.org", "", true, false);
    signed_in_here("bob@example.org", "EXAMPLE\\bob", false, true);
    signed_in_here("zoe@example.org", "", false, false);
    {
        g_autoptr(BkAccounts) accounts = bk_accounts_new(root);
        g_autoptr(BkAccount) first = g_list_model_get_item(G_LIST_MODEL(accounts), 0);
        assert_string_equal(bk_account_address(first), "bob@example.org"); /* last-address */
        bk_accounts_used(accounts, "zoe@example.org", true);
        bk_accounts_used(accounts, "sip:Ann@Example.org", true);
    }
    g_autoptr(BkAccounts) accounts = bk_accounts_new(root);
    assert_addresses(accounts, "ann@example.org zoe@example.org bob@example.org ");
}

static void it_is_known_whether_a_password_is_needed_and_the_user_name(void **state)
{
    (void)state;
    signed_in_here("ann@example.org", "", true, false);
    signed_in_here("bob@example.org", "EXAMPLE\\bob", false, true);
    g_autoptr(BkAccounts) accounts = bk_accounts_new(root);
    assert_true(bk_account_is_saved(bk_accounts_find(accounts, "ann@example.org")));
    assert_string_equal(bk_account_user(bk_accounts_find(accounts, "ANN@example.org")), "");
    assert_false(bk_account_is_saved(bk_accounts_find(accounts, "bob@example.org")));
    assert_string_equal(bk_account_user(bk_accounts_find(accounts, "bob@example.org")),
                        "EXAMPLE\\bob");
}

static void who_is_forgotten_is_gone_from_the_list_and_the_others_stay(void **state)
{
    (void)state;
    signed_in_here("ann@example.org", "", true, false);
    {
        g_autoptr(BkAccounts) accounts = bk_accounts_new(root);
        bk_accounts_used(accounts, "ann@example.org", true);
        bk_accounts_used(accounts, "bob@example.org",
                         true); /* nothing kept of him but the address */
        assert_addresses(accounts, "bob@example.org ann@example.org ");
        bk_accounts_forget(accounts, "bob@example.org");
        bk_accounts_forget(accounts, "bob@example.org");
        assert_addresses(accounts, "ann@example.org ");
    }
    g_autoptr(BkAccounts) accounts = bk_accounts_new(root);
    assert_addresses(accounts, "ann@example.org ");
}

static void who_keeps_nothing_is_known_until_the_program_ends(void **state)
{
    (void)state;
    {
        g_autoptr(BkAccounts) accounts = bk_accounts_new(root);
        bk_accounts_used(accounts, "ann@example.org", true);
        bk_accounts_used(accounts, "bob@example.org", true);
        bk_accounts_used(accounts, "cyd@example.org", false);
        bk_accounts_used(accounts, "bob@example.org", false); /* no longer */
        assert_addresses(accounts, "bob@example.org cyd@example.org ann@example.org ");
    }
    {
        g_autoptr(BkAccounts) accounts = bk_accounts_new(root);
        assert_addresses(accounts, "ann@example.org ");
        bk_accounts_used(accounts, "cyd@example.org", false);
        bk_accounts_used(accounts, "cyd@example.org", true);
    }
    g_autoptr(BkAccounts) accounts = bk_accounts_new(root);
    assert_addresses(accounts, "cyd@example.org ann@example.org ");
}

static void folders_and_lines_that_are_no_addresses_are_passed_over(void **state)
{
    (void)state;
    g_autofree char *config = g_build_filename(home, "config", "beckon", NULL);
    g_autofree char *order = g_build_filename(config, "accounts", NULL);
    g_autofree char *folder = g_build_filename(root, "not an address", NULL);
    g_autofree char *empty = g_build_filename(root, "empty@example.org", NULL);
    assert_int_equal(g_mkdir_with_parents(config, 0700), 0);
    assert_int_equal(g_mkdir_with_parents(folder, 0700), 0);
    assert_int_equal(g_mkdir_with_parents(empty, 0700), 0);
    assert_true(g_file_set_contents(
        order, "../../x\nann@example.org\n\nann@example.org\n\xff\xfe@example.org", -1, NULL));
    g_autoptr(BkAccounts) accounts = bk_accounts_new(root);
    assert_addresses(accounts, "ann@example.org ");
}

static void looking_does_not_put_a_damaged_file_aside(void **state)
{
    (void)state;
    g_autofree char *folder = g_build_filename(root, "ann@example.org", NULL);
    g_autofree char *file = g_build_filename(folder, "state.json", NULL);
    signed_in_here("ann@example.org", "ann.k", true, true);
    assert_true(g_file_set_contents(file, "beckon-state 1 00\n{}", -1, NULL));
    g_autoptr(BkAccounts) accounts = bk_accounts_new(root);
    assert_string_equal(bk_account_user(bk_accounts_find(accounts, "ann@example.org")), "");
    assert_true(g_file_test(file, G_FILE_TEST_EXISTS)); /* the engine does that, and says so */
}

static void an_address_is_found_in_a_link_and_nothing_else_is_taken_for_one(void **state)
{
    (void)state;
    static const struct {
        const char *link, *address; /* NULL: none */
    } rows[] = {
        { "bob@example.org", "bob@example.org" },
        { "Bob@Example.ORG", "bob@example.org" },
        { "sip:bob@example.org", "bob@example.org" },
        { "SIP://bob@example.org", "bob@example.org" },
        { "sips:bob@example.org;transport=tls", "bob@example.org" },
        { "sip:bob%40example.org?subject=a%20b&body=x@y.z", "bob@example.org" },
        { "im:bob@example.org", "bob@example.org" },
        { "pres:bob@example.org", "bob@example.org" },
        { "", NULL },
        { "sip:", NULL },
        { "sip:example.org", NULL },
        { "sip:sip:bob@example.org", NULL },
        { "sip:%00bob@example.org", NULL },
        { "sip:%2e%2e/bob@example.org", NULL },
        { "sip:bob%0a@example.org", NULL },
        { "sip:bob@example.org%", NULL },
        { "http://bob@example.org", NULL },
        { "--help", NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        g_autofree char *address = bk_address_of_link(rows[i].link);
        if (!rows[i].address && address)
            fail_msg("%s was taken for %s", rows[i].link, address);
        if (rows[i].address)
            assert_string_equal(address ? address : "(none)", rows[i].address);
    }
}

#define TEST(name) cmocka_unit_test_teardown(name, clean)

int main(void)
{
    home = g_dir_make_tmp("beckon-accounts-XXXXXX", NULL);
    root = g_build_filename(home, "profile", NULL);
    g_autofree char *config = g_build_filename(home, "config", NULL);
    g_setenv("XDG_CONFIG_HOME", config, TRUE); /* GLib reads it once */
    const struct CMUnitTest tests[] = {
        TEST(nobody_signed_in_yet),
        TEST(who_signed_in_last_stands_first_also_at_the_next_start),
        TEST(it_is_known_whether_a_password_is_needed_and_the_user_name),
        TEST(who_is_forgotten_is_gone_from_the_list_and_the_others_stay),
        TEST(who_keeps_nothing_is_known_until_the_program_ends),
        TEST(folders_and_lines_that_are_no_addresses_are_passed_over),
        TEST(looking_does_not_put_a_damaged_file_aside),
        TEST(an_address_is_found_in_a_link_and_nothing_else_is_taken_for_one),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)folder_remove(home);
    return failed;
}
