/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "ctl/ctl_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static int nothing(struct ctl *ctl)
{
    (void)ctl;
    return CTL_OK;
}

static const struct ctl_option add_options[] = {
    { "name", "TEXT", "Name.", "display_name" },
    { "off", NULL, "Off.", NULL },
    { "limit", "N", "Most.", NULL },
    { 0 },
};
static const struct ctl_command commands[] = {
    { "user add", "ADDRESS [LABEL]", add_options, "Adds.", NULL, nothing, "user.add" },
    { "user add all", "", NULL, "Adds all.", NULL, nothing, NULL },
    { "many", "WORD...", NULL, "Many.", NULL, nothing, NULL },
    { "plain", "", NULL, "Plain.", NULL, nothing, NULL },
    { 0 },
};

struct parsed {
    struct ctl ctl;
    char *said;
    size_t said_len;
    int status;
};

static struct parsed parse(int argc, const char *const *argv)
{
    struct parsed p = { 0 };
    p.ctl.err = open_memstream(&p.said, &p.said_len);
    p.ctl.out = p.ctl.err;
    p.status = ctl_parse(&p.ctl, commands, argc, (char *const *)argv);
    fclose(p.ctl.err);
    return p;
}

#define PARSE(...)                                                                                 \
    parse((int)BK_COUNT_OF(((const char *const[]){ __VA_ARGS__ })),                                \
          (const char *const[]){ __VA_ARGS__ })

static void refused(struct parsed p, const char *because)
{
    assert_int_equal(p.status, CTL_USAGE);
    if (!strstr(p.said, because))
        fail_msg("\"%s\" does not say \"%s\"", p.said, because);
    free(p.said);
}

static void the_longest_name_is_the_command(void **state)
{
    (void)state;
    struct parsed p = PARSE("user", "add", "all");
    assert_int_equal(p.status, CTL_OK);
    assert_string_equal(p.ctl.command->name, "user add all");
    free(p.said);
    p = PARSE("user", "add", "ann");
    assert_string_equal(p.ctl.command->name, "user add");
    assert_string_equal(ctl_word(&p.ctl, 0), "ann");
    assert_null(ctl_word(&p.ctl, 1));
    free(p.said);
}

static void options_stand_anywhere_behind_the_command(void **state)
{
    (void)state;
    struct parsed p =
        PARSE("--json", "user", "add", "--name", "Ann", "ann", "--off", "phone", "--limit=7");
    int64_t limit = 0;
    assert_int_equal(p.status, CTL_OK);
    assert_true(p.ctl.json);
    assert_string_equal(ctl_option(&p.ctl, "name"), "Ann");
    assert_string_equal(ctl_option(&p.ctl, "off"), "");
    assert_string_equal(ctl_word(&p.ctl, 1), "phone");
    assert_int_equal(ctl_number(&p.ctl, "limit", 1, 10, &limit), CTL_OK);
    assert_int_equal(limit, 7);
    json_t *args = ctl_args(&p.ctl);
    assert_int_equal(json_object_size(args), 1);
    assert_string_equal(json_string_value(json_object_get(args, "display_name")), "Ann");
    json_decref(args);
    free(p.said);
}

static void behind_two_dashes_everything_is_a_word(void **state)
{
    (void)state;
    struct parsed p = PARSE("many", "a", "--", "--off", "-x");
    assert_int_equal(p.status, CTL_OK);
    assert_int_equal(p.ctl.n_words, 3);
    assert_string_equal(ctl_word(&p.ctl, 1), "--off");
    free(p.said);
}

static void the_last_value_counts(void **state)
{
    (void)state;
    struct parsed p = PARSE("user", "add", "ann", "--name", "A", "--name=", "--config", "f");
    assert_int_equal(p.status, CTL_OK);
    assert_string_equal(ctl_option(&p.ctl, "name"), "");
    assert_string_equal(p.ctl.config, "f");
    free(p.said);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    refused(PARSE("user", "add"), "ADDRESS is missing");
    refused(PARSE("user", "add", "a", "b", "c"), "\"c\" is one word too many");
    refused(PARSE("many"), "WORD... is missing");
    refused(PARSE("user", "add", "a", "--nme", "x"), "no option --nme");
    refused(PARSE("user", "add", "a", "--name"), "--name needs a value");
    refused(PARSE("user", "add", "a", "--off=1"), "--off takes no value");
    refused(PARSE("user", "add", "a", "-o"), "\"-o\" is no option");
    refused(PARSE("plain", "x"), "one word too many");
    refused(PARSE("--name", "x", "plain"), "no option --name");
    refused(PARSE("--json"), "no command");
    refused(PARSE("usr", "add", "x"), "did you mean \"user add\"");
    refused(PARSE("user"), "user add ADDRESS [LABEL]");
    refused(PARSE("qqqqqqqq"), "no command \"qqqqqqqq\"");
    refused(PARSE("evil\033[31m\n"), "evil?[31m ");
}

static void a_number_is_within_its_range(void **state)
{
    static const char *const bad[] = { "0", "11", "x", "-1", "", "99999999999999999999" };
    (void)state;
    for (size_t i = 0; i < BK_COUNT_OF(bad); i++) {
        struct parsed p = PARSE("user", "add", "a", "--limit", bad[i]);
        int64_t limit = 42;
        free(p.said);
        p.said = NULL;
        p.ctl.err = p.ctl.out = open_memstream(&p.said, &p.said_len);
        assert_int_equal(ctl_number(&p.ctl, "limit", 1, 10, &limit), CTL_USAGE);
        fclose(p.ctl.err);
        assert_int_equal(limit, 42);
        assert_non_null(strstr(p.said, "--limit is a number from 1 to 10"));
        free(p.said);
    }
}

static void words_and_options_have_a_most(void **state)
{
    const char *argv[200];
    (void)state;
    for (size_t i = 0; i < BK_COUNT_OF(argv); i++)
        argv[i] = i ? "x" : "many";
    refused(parse(BK_COUNT_OF(argv), argv), "more than 15 arguments");
    for (size_t i = 0; i < BK_COUNT_OF(argv); i++)
        argv[i] = i < 2 ? (i ? "add" : "user") : "--off";
    refused(parse(BK_COUNT_OF(argv), argv), "more than 64 options");
}

/* The table itself: what help, usage and manual are made of. */
static void every_command_can_be_explained(void **state)
{
    (void)state;
    for (const struct ctl_command *c = ctl_commands; c->run; c++) {
        char *text = NULL;
        size_t len = 0;
        FILE *to = open_memstream(&text, &len);
        ctl_help_one(to, c);
        fclose(to);
        assert_non_null(strstr(text, c->name));
        assert_int_equal(c->help[strlen(c->help) - 1], '.');
        for (const struct ctl_option *o = c->options; o && o->name; o++)
            assert_non_null(strstr(text, o->name));
        for (const struct ctl_command *d = c + 1; d->run; d++)
            assert_string_not_equal(c->name, d->name);
        free(text);
    }
}

static void the_manual_has_every_command_and_no_bare_dash(void **state)
{
    char *text = NULL;
    size_t len = 0;
    (void)state;
    FILE *to = open_memstream(&text, &len);
    ctl_help_man(to, ctl_commands);
    fclose(to);
    for (size_t i = 0; i < len; i++)
        if (text[i] == '-')
            assert_true(i > 0 && text[i - 1] == '\\');
    size_t sections = 0, n = 0;
    for (const char *at = text; (at = strstr(at, "\n.SS \"")); at++)
        sections++;
    for (const struct ctl_command *c = ctl_commands; c->run; c++)
        n++;
    assert_int_equal(sections, n);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_name_is_the_command),
        cmocka_unit_test(options_stand_anywhere_behind_the_command),
        cmocka_unit_test(behind_two_dashes_everything_is_a_word),
        cmocka_unit_test(the_last_value_counts),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(a_number_is_within_its_range),
        cmocka_unit_test(words_and_options_have_a_most),
        cmocka_unit_test(every_command_can_be_explained),
        cmocka_unit_test(the_manual_has_every_command_and_no_bare_dash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
