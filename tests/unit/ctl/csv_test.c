/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/csv.h"

#include "base/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* The rows of a text, fields between bars, faults in brackets: `1|a|b` `2[3 why]`. */
static void check(const char *text, const char *want)
{
    struct bk_csv csv;
    BK_AUTO_BUF struct bk_buf got = { 0 };
    enum bk_csv_step step;
    size_t len = strlen(text);
    char *exact =
        malloc(len ? len : 1); /* ends with its heap block, so that a byte too far is seen */
    memcpy(exact, text, len);
    bk_csv_init(&csv, (struct bk_view){ exact, len });
    while ((step = bk_csv_next(&csv)) != BK_CSV_END) {
        bk_buf_addf(&got, "%s%zu", got.len ? " " : "", csv.line);
        for (size_t i = 0; step == BK_CSV_ROW && i < csv.n; i++)
            bk_buf_addf(&got, "|%.*s", BK_VIEW_ARGS(csv.fields[i]));
        if (step == BK_CSV_BAD)
            bk_buf_addf(&got, "[%zu %.12s]", csv.column, csv.why);
    }
    assert_string_equal(bk_buf_cstr(&got), want);
    bk_csv_finish(&csv);
    free(exact);
}

static void fields_stand_between_commas(void **state)
{
    (void)state;
    check("a,b\n1,2\n", "1|a|b 2|1|2");
    check("a,b\r\n1,2", "1|a|b 2|1|2");
    check("a,,\n,\n", "1|a|| 2||");
    check("", "");
}

static void quotes_hold_separators_and_quotes(void **state)
{
    (void)state;
    check("a,b\n\"x, y\",\"say \"\"hi\"\"\"\n\"\",z\n", "1|a|b 2|x, y|say \"hi\" 3||z");
}

static void the_first_line_says_what_separates(void **state)
{
    (void)state;
    check("a;b\n1,5;2\n", "1|a|b 2|1,5|2");
    check("a\tb\n1\t2\n", "1|a|b 2|1|2");
    check("\"a;b;c\",d\n1,2\n", "1|a;b;c|d 2|1|2");
}

static void a_byte_order_mark_is_no_part_of_the_first_name(void **state)
{
    (void)state;
    check("\xef\xbb\xbf"
          "a,b\n",
          "1|a|b");
}

static void empty_lines_are_passed_over_and_counted(void **state)
{
    (void)state;
    check("\n\r\na,b\n \n1,2\n", "3|a|b 5|1|2");
}

static void a_bad_line_is_named_and_the_next_one_read(void **state)
{
    (void)state;
    check("a,b\n1,\"2\n3,4\n", "1|a|b 2[2 a quote that] 3|3|4");
    check("a,b\n1,\"2\"x\n3,4\n", "1|a|b 2[2 text behind ] 3|3|4");
    check("a,b\n1,2\"x\n3,4\n", "1|a|b 2[2 a quote with] 3|3|4");
    check("a,b\n1,\x01\n3,4\n", "1|a|b 2[2 a control ch] 3|3|4");
    check("a,b\n1,\xff\n3,4\n", "1|a|b 2[1 bytes that a] 3|3|4");
    check("a,b\rc,d\n", "1[2 a control ch]");
}

static void a_nul_is_refused(void **state)
{
    static const char text[] = "a,b\n1,\0002\n3,4\n";
    struct bk_csv csv;
    (void)state;
    bk_csv_init(&csv, (struct bk_view){ text, sizeof text - 1 });
    assert_int_equal(bk_csv_next(&csv), BK_CSV_ROW);
    assert_int_equal(bk_csv_next(&csv), BK_CSV_BAD);
    assert_int_equal(csv.column, 2);
    assert_int_equal(bk_csv_next(&csv), BK_CSV_ROW);
    assert_int_equal(bk_csv_next(&csv), BK_CSV_END);
    bk_csv_finish(&csv);
}

static void fields_and_bytes_have_a_most(void **state)
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    struct bk_csv csv;
    (void)state;
    for (int i = 0; i < BK_CSV_FIELDS_MAX; i++)
        bk_buf_add_lit(&text, ",");
    bk_buf_add_lit(&text, "\n");
    for (int i = 0; i <= BK_CSV_LINE_MAX; i++)
        bk_buf_add_lit(&text, "x");
    bk_buf_add_lit(&text, "\na\n");
    bk_csv_init(&csv, bk_buf_view(&text));
    assert_int_equal(bk_csv_next(&csv), BK_CSV_BAD);
    assert_int_equal(bk_csv_next(&csv), BK_CSV_BAD);
    assert_int_equal(bk_csv_next(&csv), BK_CSV_ROW);
    assert_int_equal(csv.n, 1);
    bk_csv_finish(&csv);
}

/* Whatever a prefix is, reading it ends and stays within it. */
static void every_prefix_is_read_to_its_end(void **state)
{
    static const char text[] = "\xef\xbb\xbf"
                               "a;\"b;\"\"\"\r\n\"\xc3\xa9\";2\r\n";
    (void)state;
    for (size_t n = 0; n < sizeof text; n++) {
        struct bk_csv csv;
        char *exact = malloc(n ? n : 1);
        memcpy(exact, text, n);
        bk_csv_init(&csv, (struct bk_view){ exact, n });
        for (int rows = 0; bk_csv_next(&csv) != BK_CSV_END; rows++)
            assert_true(rows < 3);
        bk_csv_finish(&csv);
        free(exact);
    }
}

static void what_is_written_is_read_back(void **state)
{
    static const char *const fields[] = { "", "a", "a\"b", "x;y,z", "\xc3\xa9" };
    (void)state;
    for (size_t i = 0; i < BK_COUNT_OF(fields); i++) {
        BK_AUTO_BUF struct bk_buf text = { 0 };
        struct bk_csv csv;
        assert_int_equal(bk_csv_add(&text, bk_view_of_str(fields[i]), ','), 0);
        bk_buf_add_lit(&text, ",\"end\"\n");
        bk_csv_init(&csv, bk_buf_view(&text));
        assert_int_equal(bk_csv_next(&csv), BK_CSV_ROW);
        assert_int_equal(csv.n, 2);
        assert_true(bk_view_equal(csv.fields[0], bk_view_of_str(fields[i])));
        bk_csv_finish(&csv);
    }
    BK_AUTO_BUF struct bk_buf none = { 0 };
    assert_int_equal(bk_csv_add(&none, BK_VIEW("a\nb"), ','), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_stand_between_commas),
        cmocka_unit_test(quotes_hold_separators_and_quotes),
        cmocka_unit_test(the_first_line_says_what_separates),
        cmocka_unit_test(a_byte_order_mark_is_no_part_of_the_first_name),
        cmocka_unit_test(empty_lines_are_passed_over_and_counted),
        cmocka_unit_test(a_bad_line_is_named_and_the_next_one_read),
        cmocka_unit_test(a_nul_is_refused),
        cmocka_unit_test(fields_and_bytes_have_a_most),
        cmocka_unit_test(every_prefix_is_read_to_its_end),
        cmocka_unit_test(what_is_written_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
