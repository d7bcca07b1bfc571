/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/settings.h"

#include "fakes/folder.h"
#include "pidf/pidf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
/* after those */
#include <cmocka.h>
#include <glib/gstdio.h>

static char *folder, *file, *policy;

static int make(void **state)
{
    (void)state;
    folder = g_dir_make_tmp("beckon-settings-XXXXXX", NULL);
    assert_non_null(folder);
    file = g_build_filename(folder, "config", "desktop.conf", NULL);
    policy = g_build_filename(folder, "policy.conf", NULL);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    (void)folder_remove(folder);
    g_free(folder);
    g_free(file);
    g_free(policy);
    return 0;
}

static void write_text(const char *path, const char *text)
{
    g_autofree char *dir = g_path_get_dirname(path);
    assert_int_equal(g_mkdir_with_parents(dir, 0700), 0);
    assert_true(g_file_set_contents(path, text, -1, NULL));
}

static char *read_text(const char *path)
{
    char *text = NULL;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

static void count(BkSettings *settings, gpointer n)
{
    (void)settings;
    ++*(int *)n;
}

static void without_files_every_option_has_its_default(void **state)
{
    (void)state;
    g_autoptr(BkSettings) s = bk_settings_new(file, policy);
    assert_true(bk_settings_bool(s, BK_SETTING_SAVE_SIGN_IN));
    assert_false(bk_settings_bool(s, BK_SETTING_SOUNDS_IN_DND));
    assert_int_equal(bk_settings_int(s, BK_SETTING_INACTIVE_MIN), 5);
    assert_string_equal(bk_settings_string(s, BK_SETTING_COLOUR_SCHEME), "system");
    assert_string_equal(bk_settings_string(s, BK_SETTING_HELP_LINK), "");
    assert_null(bk_settings_complaints(s)[0]);
    for (int i = 0; i < BK_SETTING_COUNT; i++) {
        assert_non_null(bk_setting_key((enum bk_setting)i));
        assert_true(*bk_setting_title((enum bk_setting)i));
        assert_false(bk_settings_is_managed(s, (enum bk_setting)i));
    }
}

static void what_was_set_is_there_at_the_next_start(void **state)
{
    (void)state;
    {
        g_autoptr(BkSettings) s = bk_settings_new(file, policy);
        assert_true(bk_settings_set_bool(s, BK_SETTING_SOUNDS, false));
        assert_true(bk_settings_set_int(s, BK_SETTING_AWAY_MIN, 360));
        assert_true(bk_settings_set_string(s, BK_SETTING_EXTERNAL_SERVER, " sip.example.org:443 "));
        bk_settings_flush(s);
    }
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    g_autoptr(BkSettings) s = bk_settings_new(file, policy);
    assert_false(bk_settings_bool(s, BK_SETTING_SOUNDS));
    assert_int_equal(bk_settings_int(s, BK_SETTING_AWAY_MIN), 360);
    assert_string_equal(bk_settings_string(s, BK_SETTING_EXTERNAL_SERVER), "sip.example.org:443");
}

static gboolean stop_loop(gpointer loop)
{
    g_main_loop_quit(loop);
    return G_SOURCE_CONTINUE;
}

static gboolean stop_when_there(gpointer loop)
{
    if (g_file_test(file, G_FILE_TEST_EXISTS))
        g_main_loop_quit(loop);
    return G_SOURCE_CONTINUE;
}

static void a_change_goes_to_disk_by_itself(void **state)
{
    (void)state;
    g_autoptr(BkSettings) s = bk_settings_new(file, policy);
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    assert_true(bk_settings_set_bool(s, BK_SETTING_SOUNDS, false));
    assert_false(g_file_test(file, G_FILE_TEST_EXISTS));
    guint there = g_timeout_add(5, stop_when_there, loop);
    guint late = g_timeout_add_seconds(20, stop_loop, loop);
    g_main_loop_run(loop);
    g_source_remove(there);
    g_source_remove(late);
    g_autofree char *text = read_text(file);
    assert_string_equal(text, "[desktop]\nsounds=false\n");
}

static void a_change_is_told_once_and_under_its_key(void **state)
{
    (void)state;
    g_autoptr(BkSettings) s = bk_settings_new(file, policy);
    int all = 0, sounds = 0, other = 0;
    g_signal_connect(s, "changed", G_CALLBACK(count), &all);
    g_signal_connect(s, "changed::sounds", G_CALLBACK(count), &sounds);
    g_signal_connect(s, "changed::history", G_CALLBACK(count), &other);
    assert_true(bk_settings_set_bool(s, BK_SETTING_SOUNDS, true)); /* as it is */
    assert_int_equal(all, 0);
    assert_true(bk_settings_set_bool(s, BK_SETTING_SOUNDS, false));
    assert_int_equal(all, 1);
    assert_int_equal(sounds, 1);
    assert_int_equal(other, 0);
}

static void what_is_no_value_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    g_autoptr(BkSettings) s = bk_settings_new(file, policy);
    int all = 0;
    g_signal_connect(s, "changed", G_CALLBACK(count), &all);
    assert_false(bk_settings_set_int(s, BK_SETTING_INACTIVE_MIN, 0));
    assert_false(bk_settings_set_int(s, BK_SETTING_INACTIVE_MIN, 361));
    assert_false(bk_settings_set_string(s, BK_SETTING_COLOUR_SCHEME, "carrier pigeon"));
    assert_false(bk_settings_set_string(s, BK_SETTING_HELP_LINK, "two\nlines=true"));
    assert_false(bk_settings_set_string(s, BK_SETTING_HELP_LINK, "\xff"));
    assert_int_equal(all, 0);
    assert_int_equal(bk_settings_int(s, BK_SETTING_INACTIVE_MIN), 5);
}

static void what_the_organisation_fixed_wins_and_stays(void **state)
{
    (void)state;
    write_text(policy, "[desktop]\nsave-sign-in = false\nhelp-link=https://help.example.org/\n");
    write_text(file, "[desktop]\nsave-sign-in=true\n");
    g_autoptr(BkSettings) s = bk_settings_new(file, policy);
    assert_true(bk_settings_is_managed(s, BK_SETTING_SAVE_SIGN_IN));
    assert_false(bk_settings_is_managed(s, BK_SETTING_SOUNDS));
    assert_false(bk_settings_bool(s, BK_SETTING_SAVE_SIGN_IN));
    assert_false(bk_settings_set_bool(s, BK_SETTING_SAVE_SIGN_IN, true));
    assert_false(bk_settings_bool(s, BK_SETTING_SAVE_SIGN_IN));
    assert_string_equal(bk_settings_string(s, BK_SETTING_HELP_LINK), "https://help.example.org/");
}

static bool becomes(BkSettings *s, bool managed)
{
    gint64 until = g_get_monotonic_time() + 20 * G_TIME_SPAN_SECOND;
    while (bk_settings_is_managed(s, BK_SETTING_SOUNDS) != managed &&
           g_get_monotonic_time() < until)
        g_main_context_iteration(NULL, FALSE);
    return bk_settings_is_managed(s, BK_SETTING_SOUNDS) == managed;
}

static void count_change(BkSettings *s, int *n)
{
    (void)s;
    ++*n;
}

static void what_the_organisation_changes_counts_while_the_program_runs(void **state)
{
    (void)state;
    int sounds = 0, others = 0;
    write_text(file, "[desktop]\nsounds=true\naway-minutes=7\n");
    (void)g_remove(policy);
    g_autoptr(BkSettings) s = bk_settings_new(file, policy);
    g_signal_connect(s, "changed::sounds", G_CALLBACK(count_change), &sounds);
    g_signal_connect(s, "changed::away-minutes", G_CALLBACK(count_change), &others);
    write_text(policy, "[desktop]\nsounds=false\n");
    assert_true(becomes(s, true));
    assert_false(bk_settings_bool(s, BK_SETTING_SOUNDS));
    assert_false(bk_settings_set_bool(s, BK_SETTING_SOUNDS, true));
    assert_int_equal(sounds, 1);
    write_text(policy, "[desktop]\nnonsense\n");
    assert_true(becomes(s, false));
    assert_true(bk_settings_bool(s, BK_SETTING_SOUNDS));
    assert_int_equal(g_strv_length((char **)(uintptr_t)bk_settings_complaints(s)), 1);
    write_text(policy, "[desktop]\nsounds=false\n");
    assert_true(becomes(s, true));
    assert_int_equal(g_strv_length((char **)(uintptr_t)bk_settings_complaints(s)), 0);
    assert_int_equal(g_remove(policy), 0);
    assert_true(becomes(s, false));
    assert_int_equal(sounds, 4);
    assert_int_equal(others, 0);
    assert_int_equal(bk_settings_int(s, BK_SETTING_AWAY_MIN), 7);
}

static void what_is_wrong_in_a_file_is_told_with_its_line_and_taken_as_absent(void **state)
{
    (void)state;
    write_text(policy, "sounds=false\n[desktop]\naway-minutes=soon\nnonsense\nsounds=false\n");
    g_autoptr(BkSettings) s = bk_settings_new(file, policy);
    const char *const *complaints = bk_settings_complaints(s);
    assert_int_equal(g_strv_length((char **)(uintptr_t)complaints), 2);
    assert_non_null(strstr(complaints[0], "policy.conf:3: away-minutes is a number from 1 to 360"));
    assert_non_null(strstr(complaints[1], "policy.conf:4: "));
    assert_false(bk_settings_is_managed(s, BK_SETTING_AWAY_MIN));
    assert_true(bk_settings_is_managed(s, BK_SETTING_SOUNDS));
}

static void comments_unknown_keys_and_other_groups_survive_a_change(void **state)
{
    (void)state;
    write_text(file, "# mine\n[desktop]\nof-tomorrow=7\nsounds=true # no\nhistory=true\n\n"
                     "[other]\nhistory=maybe\n");
    g_autoptr(BkSettings) s = bk_settings_new(file, policy);
    assert_true(bk_settings_set_bool(s, BK_SETTING_HISTORY, false));
    assert_true(bk_settings_set_bool(s, BK_SETTING_PICTURES, false));
    bk_settings_flush(s);
    g_autofree char *text = read_text(file);
    assert_string_equal(text, "# mine\n[desktop]\nof-tomorrow=7\nsounds=true # no\nhistory=false\n"
                              "pictures=false\n\n[other]\nhistory=maybe\n");
}

static void every_state_a_person_can_choose_may_be_the_first_one(void **state)
{
    (void)state;
    g_autoptr(BkSettings) s = bk_settings_new(file, policy);
    for (int i = BK_PIDF_MANUAL_NONE + 1; i < BK_PIDF_MANUAL_COUNT; i++)
        assert_true(bk_settings_set_string(s, BK_SETTING_STATUS_AT_SIGN_IN,
                                           bk_pidf_manual_name((enum bk_pidf_manual)i)));
}

static void starting_at_log_on_is_an_entry_of_the_desktop(void **state)
{
    (void)state;
    g_autofree char *path =
        g_build_filename(g_get_user_config_dir(), "autostart", "org.beckon.Beckon.desktop", NULL);
    g_autoptr(BkSettings) s = bk_settings_new(file, policy);
    assert_int_equal(bk_settings_apply_autostart(s, "/opt/100% \"good\" $x/beckon"), 0);
    g_autoptr(GKeyFile) entry = g_key_file_new();
    assert_true(g_key_file_load_from_file(entry, path, G_KEY_FILE_NONE, NULL));
    /* Read as the desktop does: once as a string of the key file, once as a command line. */
    g_autofree char *exec = g_key_file_get_string(entry, "Desktop Entry", "Exec", NULL);
    g_auto(GStrv) argv = NULL;
    assert_true(g_shell_parse_argv(exec, NULL, &argv, NULL));
    assert_string_equal(argv[0], "/opt/100%% \"good\" $x/beckon");
    assert_string_equal(argv[1], "--background");
    assert_null(argv[2]);

    assert_true(bk_settings_set_bool(s, BK_SETTING_START_AT_LOG_ON, false));
    assert_int_equal(bk_settings_apply_autostart(s, "/usr/bin/beckon"), 0);
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    assert_int_equal(bk_settings_apply_autostart(s, "/usr/bin/beckon"), 0); /* again */

    g_autofree char *everybody = g_build_filename(g_get_system_config_dirs()[0], "autostart",
                                                  "org.beckon.Beckon.desktop", NULL);
    write_text(everybody, "[Desktop Entry]\n");
    assert_int_equal(bk_settings_apply_autostart(s, "/usr/bin/beckon"), 0);
    g_autoptr(GKeyFile) hidden = g_key_file_new();
    assert_true(g_key_file_load_from_file(hidden, path, G_KEY_FILE_NONE, NULL));
    assert_true(g_key_file_get_boolean(hidden, "Desktop Entry", "Hidden", NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
    /* GLib reads these once. */
    g_autofree char *home = g_dir_make_tmp("beckon-settings-home-XXXXXX", NULL);
    g_autofree char *config = g_build_filename(home, "config", NULL);
    g_autofree char *system = g_build_filename(home, "system", NULL);
    g_setenv("XDG_CONFIG_HOME", config, TRUE);
    g_setenv("XDG_CONFIG_DIRS", system, TRUE);
    const struct CMUnitTest tests[] = {
        TEST(without_files_every_option_has_its_default),
        TEST(what_was_set_is_there_at_the_next_start),
        TEST(a_change_goes_to_disk_by_itself),
        TEST(a_change_is_told_once_and_under_its_key),
        TEST(what_is_no_value_is_refused_and_changes_nothing),
        TEST(what_the_organisation_fixed_wins_and_stays),
        TEST(what_the_organisation_changes_counts_while_the_program_runs),
        TEST(what_is_wrong_in_a_file_is_told_with_its_line_and_taken_as_absent),
        TEST(comments_unknown_keys_and_other_groups_survive_a_change),
        TEST(every_state_a_person_can_choose_may_be_the_first_one),
        TEST(starting_at_log_on_is_an_entry_of_the_desktop),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)folder_remove(home);
    return failed;
}
