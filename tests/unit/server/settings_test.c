/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody who edits beckond.conf is told. */
#include "server/settings.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static int load(const char *text, char **ret_why)
{
    char path[] = "/tmp/beckon-settings.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);

    struct bk_settings settings;
    char *why = NULL;
    int r = bk_settings_load(path, &settings, &why);
    unlink(path);
    *ret_why = NULL;
    if (r < 0) {
        /* Without the name of the file, which is another one each time. */
        assert_non_null(why);
        assert_memory_equal(why, path, strlen(path));
        *ret_why = strdup(why + strlen(path) + 1);
    } else {
        bk_settings_finish(&settings);
    }
    free(why);
    return r;
}

static void assert_refused(const char *text, const char *expected)
{
    char *why;
    assert_int_equal(load(text, &why), -EINVAL);
    assert_string_equal(why, expected);
    free(why);
}

static void a_fault_names_its_line(void **state)
{
    (void)state;
    assert_refused("[server]\n\nnmae = x\n", "3: no key \"nmae\" in [server]");
    assert_refused("[sevrer]\nname = x\n", "2: no section [sevrer]");
    assert_refused("[limits]\nforks = many\n", "2: forks must be a number from 1 to 10");
}

static void the_first_of_two_faults_is_told(void **state)
{
    (void)state;
    assert_refused("nonsense\n[server]\nnmae = x\n",
                   "1: this line is neither [section] nor key = value");
    assert_refused("[server]\nnmae = x\nnonsense\n", "2: no key \"nmae\" in [server]");
}

static void a_line_that_cannot_be_taken_whole_is_refused(void **state)
{
    (void)state;
    assert_refused("[server]\nname = a\001b\n", "2: a control byte stands in the line");
    assert_refused("[server]\nname = a\rb\n", "2: a control byte stands in the line");
    assert_refused("[server]\nname = a\n  b\n", "3: the line begins with a blank");
    char text[600] = "[server]\nname = ";
    memset(text + strlen(text), 'x', 500);
    assert_refused(text, "2: the line is too long");
}

static void comments_and_line_ends_of_windows_pass(void **state)
{
    (void)state;
    char *why;
    assert_int_equal(load("; a\r\n[server]\r\n  # b\r\n\r\nname = example.org\r\n", &why), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_names_its_line),
        cmocka_unit_test(the_first_of_two_faults_is_told),
        cmocka_unit_test(a_line_that_cannot_be_taken_whole_is_refused),
        cmocka_unit_test(comments_and_line_ends_of_windows_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
