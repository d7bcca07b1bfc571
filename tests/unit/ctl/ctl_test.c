/* SPDX-License-Identifier: Apache-2.0 */
/* The whole program on a server of its own in a temporary folder, with no server running. */
#include "base/cleanup.h"
#include "base/text.h"
#include "ctl_run.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static mode_t mode_of(const char *name)
{
    char path[128];
    struct stat at;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(stat(path, &at), 0);
    return at.st_mode & 0777;
}

static void init_makes_all_that_a_server_needs(void **state)
{
    struct bk_settings settings;
    char *why;
    (void)state;
    assert_int_equal(bk_settings_load(config, &settings, &why), 0);
    assert_string_equal(settings.name, "localhost");
    assert_string_equal(settings.tls, "127.0.0.1:5061");
    assert_string_equal(settings.log_level, "debug");
    bk_settings_finish(&settings);
    assert_int_equal(mode_of("server.key"), 0600);
    assert_int_equal(mode_of("beckon.db"), 0600);
    assert_int_equal(mode_of("server.crt"), 0644);
    assert_int_equal(RUN("domain", "list", "--json"), CTL_OK);
    said(out_text, "\"example.org\"");
    assert_int_equal(RUN("authority", "show"), CTL_OK);
    said(out_text, "-----BEGIN CERTIFICATE-----");
}

static void init_overwrites_nothing(void **state)
{
    (void)state;
    assert_int_equal(RUN("user", "add", "ann@example.org"), CTL_OK);
    assert_int_equal(RUN("init", "example.net", "--dir", dir), CTL_FAILED);
    said(err_text, "already there");
    assert_int_equal(RUN("user", "show", "ann@example.org"), CTL_OK);
}

static void init_names_a_setting_that_is_wrong_and_leaves_nothing(void **state)
{
    char other[96], path[128];
    (void)state;
    snprintf(other, sizeof other, "%s/other", dir);
    assert_int_equal(RUN("init", "example.net", "--dir", other, "--set", "log.levle=debug"),
                     CTL_USAGE);
    said(err_text, "no key \"levle\" in [log]");
    assert_int_equal(RUN("init", "example.net", "--dir", other, "--set", "server.shards=999"),
                     CTL_USAGE);
    said(err_text, "1 to 64");
    assert_int_equal(RUN("init", "exa mple", "--dir", other), CTL_USAGE);
    assert_int_equal(RUN("init", "example.net", "--dir", other, "--set", "store.path=/x"),
                     CTL_USAGE);
    snprintf(path, sizeof path, "%s/beckon.db", other);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(other, F_OK), -1);
}

static void a_password_is_shown_once_and_kept_as_a_hash(void **state)
{
    (void)state;
    assert_int_equal(RUN("user", "add", "ann@example.org", "--generate-password", "--json"),
                     CTL_OK);
    json_t *j = printed();
    const char *password = json_string_value(json_object_get(j, "password"));
    assert_int_equal(strlen(password), 23);
    BK_AUTO_BUF struct bk_buf file = { 0 };
    char path[128];
    snprintf(path, sizeof path, "%s/beckon.db", dir);
    assert_int_equal(bk_file_read(path, 64 << 20, &file), 0);
    assert_int_equal(bk_view_find_view(bk_buf_view(&file), bk_view_of_str(password)), file.len);
    assert_true(bk_view_find_view(bk_buf_view(&file), BK_VIEW("$y$")) < file.len);
    json_decref(j);
    assert_int_equal(RUN("user", "show", "ann@example.org", "--json"), CTL_OK);
    j = printed();
    assert_true(json_is_true(json_object_get(j, "has_password")));
    json_decref(j);
}

static void a_password_that_is_too_easy_is_refused(void **state)
{
    (void)state;
    assert_int_equal(RUN_WITH("short\n", "user", "add", "ann@example.org", "--password-stdin"),
                     CTL_FAILED);
    said(err_text, "too short");
    assert_int_equal(
        RUN_WITH("ann@example.org\n", "user", "add", "ann@example.org", "--password-stdin"),
        CTL_FAILED);
    assert_int_equal(RUN("user", "add", "ann@example.org", "--password-stdin"), CTL_USAGE);
    assert_int_equal(RUN("user", "show", "ann@example.org"), CTL_FAILED);
    assert_int_equal(
        RUN_WITH("long enough\r\n", "user", "add", "ann@example.org", "--password-stdin"), CTL_OK);
}

static void who_may_sign_in_is_shown_as_it_is(void **state)
{
    static const struct {
        const char *verb[3];
        const char *refused_by;
    } steps[] = {
        { { "user", "disable", NULL }, "SI-208" },
        { { "user", "enable", NULL }, NULL },
    };
    (void)state;
    assert_int_equal(RUN("user", "add", "ann@example.org"), CTL_OK);
    for (size_t i = 0; i < BK_COUNT_OF(steps); i++) {
        assert_int_equal(RUN(steps[i].verb[0], steps[i].verb[1], "ann@example.org"), CTL_OK);
        assert_int_equal(RUN("user", "show", "ann@example.org", "--json"), CTL_OK);
        json_t *j = printed();
        const char *by = json_string_value(json_object_get(j, "refused_by"));
        assert_int_equal(by != NULL, steps[i].refused_by != NULL);
        if (by)
            assert_string_equal(by, steps[i].refused_by);
        json_decref(j);
    }
    assert_int_equal(RUN("user", "licence", "take", "ann@example.org"), CTL_OK);
    assert_int_equal(RUN("user", "show", "ann@example.org"), CTL_OK);
    said(out_text, "SI-201b");
    assert_int_equal(RUN("user", "licence", "give", "ann@example.org"), CTL_OK);
    assert_int_equal(RUN("user", "show", "ann@example.org"), CTL_OK);
    assert_null(strstr(out_text, "SI-201b"));
}

static void device_passwords_come_and_go(void **state)
{
    (void)state;
    assert_int_equal(RUN("user", "add", "ann@example.org"), CTL_OK);
    assert_int_equal(
        RUN("user", "device-password", "add", "ann@example.org", "phone", "--md5", "--json"),
        CTL_OK);
    json_t *j = printed();
    assert_int_equal(strlen(json_string_value(json_object_get(j, "password"))), 26);
    json_decref(j);
    assert_int_equal(
        RUN_WITH("secret\n", "user", "device-password", "add", "ann@example.org", "--stdin"),
        CTL_OK);
    assert_null(strstr(out_text, "secret"));
    assert_int_equal(RUN("user", "device-password", "list", "ann@example.org"), CTL_OK);
    said(out_text, "phone");
    said(out_text, "SHA-256");
    assert_int_equal(RUN("user", "device-password", "remove", "ann@example.org", "fax"),
                     CTL_FAILED);
    assert_int_equal(RUN("user", "device-password", "remove", "ann@example.org", "phone"), CTL_OK);
    assert_int_equal(RUN("user", "device-password", "list", "ann@example.org"), CTL_OK);
    assert_null(strstr(out_text, "phone"));
    assert_int_equal(RUN("user", "device-password", "remove", "ann@example.org", "all"), CTL_OK);
    assert_int_equal(RUN("user", "device-password", "list", "ann@example.org"), CTL_OK);
    assert_string_equal(out_text, "There are none.\n");
}

static void each_bad_row_of_an_import_is_named_and_the_good_ones_are_made(void **state)
{
    static const char table[] = "Address;Display Name;licensed;device password\r\n"
                                "ann@example.org;\"Ann; A.\";yes;\r\n"
                                "a'b@example.org;B;yes;\r\n"
                                "cleo@example.org;C;perhaps;\r\n"
                                "ANN@example.org;D;yes;\r\n"
                                "eva@elsewhere.net;E;yes;\r\n"
                                "fay@example.org;\"F;yes;\r\n"
                                "gil@example.org;G\r\n"
                                "hal@example.org;H;no;words\r\n";
    (void)state;
    assert_int_equal(RUN_WITH(table, "user", "import", "-", "--check"), CTL_FAILED);
    said(out_text, "2 accounts can be imported; nothing was written, 6 lines cannot be.");
    assert_int_equal(RUN_WITH(table, "user", "import", "-", "--all-or-nothing"), CTL_FAILED);
    assert_int_equal(RUN("user", "show", "ann@example.org"), CTL_FAILED);
    assert_int_equal(RUN_WITH(table, "user", "import", "-"), CTL_FAILED);
    said(err_text, "line 3, column address: \"a'b@example.org\"");
    said(err_text, "line 4, column licensed: \"perhaps\" is neither yes nor no\n"
                   "line 5, column address: \"ANN@example.org\" is in line 2 already\n"
                   "line 6, column address: elsewhere.net is not a domain");
    said(err_text, "line 7, column display_name: a quote that is not closed");
    said(err_text, "line 8: 2 fields where the heading has 4");
    said(out_text, "2 accounts were imported, 6 lines could not be.");
    assert_int_equal(RUN("user", "show", "ann@example.org"), CTL_OK);
    said(out_text, "Ann; A.");
    assert_int_equal(RUN("user", "show", "hal@example.org"), CTL_OK);
    said(out_text, "imported");
    assert_int_equal(RUN_WITH(table, "user", "import", "-", "--json"), CTL_FAILED);
    json_t *j = printed();
    assert_int_equal(json_integer_value(json_object_get(j, "added")), 0);
    assert_int_equal(json_array_size(json_object_get(j, "faults")), 8);
    json_decref(j);
}

static void more_accounts_than_one_request_takes_are_imported_as_a_whole(void **state)
{
    BK_AUTO_BUF struct bk_buf table = { 0 };
    (void)state;
    bk_buf_add_lit(&table, "address\n");
    for (int i = 1; i <= 1001; i++)
        bk_buf_addf(&table, "u%d@example.org\n", i);
    assert_int_equal(RUN_WITH(bk_buf_cstr(&table), "user", "import", "-", "--all-or-nothing"),
                     CTL_OK);
    said(out_text, "1001 accounts were imported.");
    assert_int_equal(RUN("user", "show", "u1@example.org"), CTL_OK);
    assert_int_equal(RUN("user", "show", "u1001@example.org"), CTL_OK);
    assert_int_equal(RUN("audit", "--json"), CTL_OK);
    json_t *rows = printed(), *row;
    size_t i, imports = 0;
    json_array_foreach(rows, i, row) imports +=
        !strcmp(json_string_value(json_object_get(row, "what")), "user.import");
    assert_int_equal(imports, 1); /* one commit */
    json_decref(rows);
}

static void an_import_without_a_usable_heading_is_refused(void **state)
{
    (void)state;
    assert_int_equal(RUN_WITH("address,adress\n", "user", "import", "-"), CTL_FAILED);
    said(err_text, "line 1, field 2: there is no column \"adress\"");
    assert_int_equal(RUN_WITH("username\nx\n", "user", "import", "-"), CTL_FAILED);
    said(err_text, "the column address is missing");
    assert_int_equal(RUN_WITH("address,Address\n", "user", "import", "-"), CTL_FAILED);
    assert_int_equal(RUN("user", "import", "-"), CTL_FAILED);
    assert_int_equal(RUN_WITH("\xff\xfe"
                              "a",
                              "user", "import", "-"),
                     CTL_FAILED);
    said(err_text, "UTF-16");
    assert_int_equal(RUN("user", "import", "/nonexistent"), CTL_FAILED);
}

static void more_rows_than_one_request_takes_are_all_imported(void **state)
{
    BK_AUTO_BUF struct bk_buf table = { 0 };
    (void)state;
    bk_buf_add_lit(&table, "address,display_name\n");
    for (int i = 0; i < 1203; i++)
        bk_buf_addf(&table, "p%d@example.org,Person %d\n", i, i);
    assert_int_equal(RUN_WITH(bk_buf_cstr(&table), "user", "import", "-"), CTL_OK);
    assert_string_equal(out_text, "1203 accounts were imported.\n");
    assert_int_equal(RUN("user", "list", "--json"), CTL_OK);
    json_t *j = printed();
    assert_int_equal(json_array_size(j), 1203);
    json_decref(j);
    assert_int_equal(RUN("user", "list", "--limit", "1001", "--match", "PERSON", "--json"), CTL_OK);
    j = printed();
    assert_int_equal(json_array_size(j), 1001);
    json_decref(j);
}

static void put_case(const char *agent, const char *client_json)
{
    struct bk_settings settings;
    struct bk_store *store;
    char *why;
    assert_int_equal(bk_settings_load(config, &settings, &why), 0);
    struct bk_store_config at = { .path = settings.store, .clock = &bk_clock_system };
    assert_int_equal(bk_store_open(&at, &store, NULL), 0);
    int64_t now = bk_clock_real_ms(&bk_clock_system);
    struct bk_signin row = { .at = now - 120000,
                             .last_at = now - 120000,
                             .count = 1,
                             .address = BK_VIEW("ann@example.org"),
                             .client = bk_view_of_str(agent),
                             .ip = BK_VIEW("192.0.2.7"),
                             .transport = BK_VIEW("https"),
                             .road = BK_VIEW("https-password"),
                             .status = 403,
                             .diagnostics = 95201,
                             .record = BK_VIEW("SI-201b"),
                             .case_code = BK_VIEW("K7QF-3M2P"),
                             .detail = BK_VIEW("{\"licensed\":false,\"tenant\":\"example.org\"}"),
                             .ended_at = now,
                             .end = BK_SIGNIN_END_OPEN };
    struct bk_report report = { .case_code = BK_VIEW("K7QF-3M2P"),
                                .at = now - 119000,
                                .client = bk_view_of_str(client_json),
                                .ip = BK_VIEW("192.0.2.7") };
    struct bk_store_batch *batch = bk_store_batch_create();
    bk_store_put_signin(batch, &row);
    if (*client_json)
        bk_store_put_report(batch, &report);
    assert_int_equal(bk_store_commit(store, batch, NULL, NULL), 0);
    bk_store_pump(store);
    bk_store_close(store);
    bk_settings_finish(&settings);
}

static void a_case_shows_both_halves(void **state)
{
    (void)state;
    assert_int_equal(RUN("user", "add", "ann@example.org", "--unlicensed"), CTL_OK);
    put_case("beckon-cli/9", "{\"case\":\"K7QF-3M2P\",\"record\":\"SI-201b\",\"steps\":[{\"kind\":"
                             "\"srv\",\"name\":\"_sip._tls.example.org\",\"result\":\"found\","
                             "\"detail\":\"x\"}],\"client\":{\"program\":\"beckon-cli/9\"}}");
    assert_int_equal(RUN("case", "k7qf3m2p"), CTL_OK);
    said(out_text, "Case K7QF-3M2P   SI-201b");
    said(out_text, "2 minutes ago");
    said(out_text, "192.0.2.7 (https)");
    said(out_text, "licensed          no");
    said(out_text, "would be refused now: SI-201b");
    said(out_text, "1  srv   _sip._tls.example.org  found   x");
    said(out_text, "the same record");
    assert_null(strchr(out_text, '\033'));
    assert_int_equal(RUN("case", "K7QF-3M2P", "--json"), CTL_OK);
    json_t *j = printed();
    assert_int_equal(json_array_size(json_object_get(j, "client")), 1);
    json_decref(j);
    assert_int_equal(RUN("user", "licence", "give", "ann@example.org"), CTL_OK);
    assert_int_equal(RUN("case", "K7QF-3M2P"), CTL_OK);
    said(out_text, "nothing about the account is in its way now");
    assert_int_equal(RUN("case", "K7QF-3M2Q"), CTL_FAILED);
    assert_int_equal(RUN("case", "what"), CTL_FAILED);
}

/* A client's name and report are a stranger's words: they must not reach the terminal as commands. */
static void a_strangers_words_cannot_steer_the_terminal(void **state)
{
    (void)state;
    put_case("evil\033[2J\xe2\x80\xae", "{\"record\":5,\"steps\":[1,{\"kind\":\"\\u001b]0;x\"}],"
                                        "\"client\":\"\\u009b31m\",\"a\":{\"b\\u001b\":[]}}");
    assert_int_equal(RUN("case", "K7QF-3M2P"), CTL_OK);
    assert_null(strchr(out_text, '\033'));
    assert_null(strstr(out_text, "\xe2\x80\xae"));
    assert_null(strstr(out_text, "\xc2\x9b"));
    assert_int_equal(RUN("user", "history", "ann@example.org"), CTL_OK);
    assert_null(strchr(out_text, '\033'));
}

static void a_backup_is_restored_and_the_old_store_kept(void **state)
{
    char backup[96];
    (void)state;
    snprintf(backup, sizeof backup, "%s/backup", dir);
    assert_int_equal(RUN("user", "add", "ann@example.org"), CTL_OK);
    assert_int_equal(RUN("backup", backup), CTL_OK);
    assert_int_equal(RUN("user", "remove", "ann@example.org"), CTL_OK);
    assert_int_equal(RUN("restore", backup), CTL_FAILED);
    said(err_text, "--force");
    assert_int_equal(RUN("restore", config, "--force"), CTL_FAILED);
    assert_int_equal(RUN("user", "show", "ann@example.org"), CTL_FAILED);
    assert_int_equal(RUN("restore", backup, "--force", "--json"), CTL_OK);
    json_t *j = printed();
    assert_int_equal(access(json_string_value(json_object_get(j, "kept")), F_OK), 0);
    json_decref(j);
    assert_int_equal(RUN("user", "show", "ann@example.org"), CTL_OK);
}

static void a_store_that_somebody_holds_is_not_taken(void **state)
{
    struct bk_settings settings;
    struct bk_store *store;
    char *why, backup[96];
    (void)state;
    snprintf(backup, sizeof backup, "%s/backup", dir);
    assert_int_equal(RUN("backup", backup), CTL_OK);
    assert_int_equal(bk_settings_load(config, &settings, &why), 0);
    struct bk_store_config at = { .path = settings.store, .clock = &bk_clock_system };
    assert_int_equal(bk_store_open(&at, &store, NULL), 0);
    assert_int_equal(RUN("status"), CTL_NOT_REACHABLE);
    said(err_text, "is in use, but the server that has it does not answer");
    assert_int_equal(RUN("restore", backup, "--force"), CTL_FAILED);
    said(err_text, "in use");
    bk_store_close(store);
    bk_settings_finish(&settings);
    assert_int_equal(RUN("status"), CTL_OK);
}

static void the_exit_status_says_what_was_wrong(void **state)
{
    char store[96];
    (void)state;
    assert_int_equal(RUN("nonsense"), CTL_USAGE);
    assert_int_equal(RUN("user", "show", "nobody@example.org"), CTL_FAILED);
    assert_int_equal(RUN("status", "--config", "/nonexistent"), CTL_CONFIG);
    said(err_text, "beckonctl init");
    snprintf(store, sizeof store, "%s/beckon.db", dir);
    assert_int_equal(unlink(store), 0);
    assert_int_equal(RUN("status"), CTL_NOT_REACHABLE);
    assert_int_equal(access(store, F_OK), -1); /* looking makes no store */
    assert_int_equal(RUN("help", "user", "add"), CTL_OK);
    assert_int_equal(RUN("help", "device-password"), CTL_USAGE);
}

static void a_new_server_certificate_has_the_names_of_every_domain(void **state)
{
    char path[128];
    (void)state;
    assert_int_equal(RUN("domain", "add", "example.net"), CTL_OK);
    assert_int_equal(RUN("certificate", "server", "Extra.example.com", "--json"), CTL_OK);
    json_t *j = printed();
    assert_int_equal(json_array_size(json_object_get(j, "names")), 1 + 2 * 6 + 1);
    json_decref(j);
    assert_int_equal(mode_of("server.key"), 0600);
    assert_int_equal(mode_of("server.key.old"), 0600);
    BK_AUTO_BUF struct bk_buf now = { 0 };
    BK_AUTO_BUF struct bk_buf before = { 0 };
    snprintf(path, sizeof path, "%s/server.crt", dir);
    assert_int_equal(bk_file_read(path, 65536, &now), 0);
    snprintf(path, sizeof path, "%s/server.crt.old", dir);
    assert_int_equal(bk_file_read(path, 65536, &before), 0);
    assert_false(bk_view_equal(bk_buf_view(&now), bk_buf_view(&before)));
    assert_true(bk_view_starts_with(bk_buf_view(&now), BK_VIEW("-----BEGIN CERTIFICATE-----")));
    assert_int_equal(RUN("certificate", "server", "no host"), CTL_FAILED);
    assert_int_equal(RUN("audit"), CTL_OK);
    said(out_text, "authority.certify");
}

static void a_change_is_kept_with_who_made_it(void **state)
{
    (void)state;
    assert_int_equal(RUN("policy", "set", "certificate-hours", "24", "--site", "hq"), CTL_OK);
    assert_int_equal(RUN("user", "add", "ann@example.org", "--site", "hq"), CTL_OK);
    assert_int_equal(RUN("policy", "list", "--user", "ann@example.org"), CTL_OK);
    said(out_text, "certificate-hours     24            site:hq");
    assert_int_equal(RUN("policy", "unset", "certificate-hours", "--site", "hq"), CTL_OK);
    assert_int_equal(RUN("policy", "list", "--user", "ann@example.org"), CTL_OK);
    said(out_text, "certificate-hours     4320          default");
    assert_int_equal(RUN("policy", "set", "certificate-hours", "2"), CTL_FAILED);
    said(err_text, "(8 to 8760)");
    assert_int_equal(RUN("relation", "block", "ann@example.org", "@evil.example"), CTL_OK);
    assert_int_equal(RUN("relation", "list", "ann@example.org"), CTL_OK);
    said(out_text, "blocked");
    assert_int_equal(RUN("audit"), CTL_OK);
    said(out_text, "relation.set");
    said(out_text, ctl_actor());
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, ctl_run_set_up, ctl_run_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(init_makes_all_that_a_server_needs),
        CASE(init_overwrites_nothing),
        CASE(init_names_a_setting_that_is_wrong_and_leaves_nothing),
        CASE(a_password_is_shown_once_and_kept_as_a_hash),
        CASE(a_password_that_is_too_easy_is_refused),
        CASE(who_may_sign_in_is_shown_as_it_is),
        CASE(device_passwords_come_and_go),
        CASE(each_bad_row_of_an_import_is_named_and_the_good_ones_are_made),
        CASE(more_accounts_than_one_request_takes_are_imported_as_a_whole),
        CASE(an_import_without_a_usable_heading_is_refused),
        CASE(more_rows_than_one_request_takes_are_all_imported),
        CASE(a_case_shows_both_halves),
        CASE(a_strangers_words_cannot_steer_the_terminal),
        CASE(a_backup_is_restored_and_the_old_store_kept),
        CASE(a_store_that_somebody_holds_is_not_taken),
        CASE(the_exit_status_says_what_was_wrong),
        CASE(a_new_server_certificate_has_the_names_of_every_domain),
        CASE(a_change_is_kept_with_who_made_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
