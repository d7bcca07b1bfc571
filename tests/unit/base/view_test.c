/* SPDX-License-Identifier: Apache-2.0 */
#include "base/view.h"

#include <errno.h>
#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

/* A copy that ends with its heap block, so that a sanitizer sees one byte too far. */
static struct bk_view exact(const char *text, size_t len)
{
    char *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    return (struct bk_view){ copy, len };
}

static char slow_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static void comparing_without_case_knows_ascii_letters_and_nothing_else(void **state)
{
    (void)state;
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            bool want = slow_lower((char)a) == slow_lower((char)b);
            for (size_t place = 0; place < 11; place += 5) { /* in a whole word and behind it */
                char x[11] = "aBcDeFgHiJk", y[11] = "AbCdEfGhIjK";
                x[place] = (char)a;
                y[place] = (char)b;
                assert_int_equal(want, bk_view_equal_nocase((struct bk_view){ x, sizeof x },
                                                            (struct bk_view){ y, sizeof y }));
            }
        }
    }
}

static void comparing_reads_no_byte_too_far(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 20; n++) {
        struct bk_view a = exact("Content-Disposition!", n), b = exact("cONTENT-dISPOSITION!", n);
        assert_true(bk_view_equal_nocase(a, b));
        assert_true(bk_view_starts_with_nocase(a, bk_view_head(b, n / 2)));
        assert_int_equal(n == 0, bk_view_equal(a, b));
        free((char *)a.at);
        free((char *)b.at);
    }
}

static void different_lengths_are_never_equal(void **state)
{
    (void)state;
    assert_false(bk_view_equal(BK_VIEW("ab"), BK_VIEW("a")));
    assert_false(bk_view_equal_nocase(BK_VIEW("ab"), BK_VIEW("abc")));
    assert_true(bk_view_equal((struct bk_view){ NULL, 0 }, BK_VIEW("")));
    assert_true(bk_view_equal_nocase((struct bk_view){ NULL, 0 }, BK_VIEW("")));
}

static void prefix_and_suffix_lie_inside(void **state)
{
    (void)state;
    struct bk_view v = BK_VIEW("sip:ann");
    assert_true(bk_view_starts_with(v, BK_VIEW("sip:")));
    assert_false(bk_view_starts_with(v, BK_VIEW("SIP:")));
    assert_true(bk_view_starts_with_nocase(v, BK_VIEW("SIP:")));
    assert_false(bk_view_starts_with(v, BK_VIEW("sip:anne")));
    assert_false(bk_view_starts_with_nocase(v, BK_VIEW("sip:anne")));
    assert_true(bk_view_ends_with(v, BK_VIEW("ann")));
    assert_false(bk_view_ends_with(v, BK_VIEW("bob")));
    assert_false(bk_view_ends_with(v, BK_VIEW("xsip:ann")));
    assert_true(bk_view_ends_with(v, BK_VIEW("")));
    assert_true(bk_view_starts_with((struct bk_view){ NULL, 0 }, BK_VIEW("")));
}

static void trimming_takes_blanks_from_both_ends_only(void **state)
{
    (void)state;
    assert_true(bk_view_equal(bk_view_trim(BK_VIEW(" \t\r\n a b\r\n\t ")), BK_VIEW("a b")));
    assert_int_equal(bk_view_trim(BK_VIEW(" \r\n")).len, 0);
    assert_int_equal(bk_view_trim((struct bk_view){ NULL, 0 }).len, 0);
    assert_int_equal(bk_view_trim(BK_VIEW("\v")).len, 1);
}

static void finding_agrees_with_looking_at_every_place(void **state)
{
    (void)state;
    struct bk_view v = BK_VIEW("aabaabbaab");
    for (size_t from = 0; from <= v.len; from++) {
        for (size_t len = 0; from + len <= v.len; len++) {
            struct bk_view needle = bk_view_head(bk_view_skip(v, from), len);
            size_t want = 0;
            while (!bk_view_starts_with(bk_view_skip(v, want), needle))
                want++;
            assert_int_equal(bk_view_find_view(v, needle), want);
        }
    }
    assert_int_equal(bk_view_find_view(v, BK_VIEW("bbb")), v.len);
    assert_int_equal(bk_view_find_view(BK_VIEW("a"), BK_VIEW("aa")), 1);
    assert_int_equal(bk_view_find_view((struct bk_view){ NULL, 0 }, BK_VIEW("")), 0);
    assert_int_equal(bk_view_find(v, 'b'), 2);
    assert_int_equal(bk_view_find(v, 'c'), v.len);
    assert_int_equal(bk_view_find((struct bk_view){ NULL, 0 }, 'c'), 0);
}

static void skip_and_head_stay_inside(void **state)
{
    (void)state;
    struct bk_view v = BK_VIEW("abc");
    for (size_t n = 0; n < 6; n++) {
        size_t inside = n < 3 ? n : 3;
        assert_int_equal(bk_view_head(v, n).len, inside);
        assert_ptr_equal(bk_view_head(v, n).at, v.at);
        assert_int_equal(bk_view_skip(v, n).len, 3 - inside);
        assert_ptr_equal(bk_view_skip(v, n).at, v.at + inside);
    }
    assert_null(bk_view_skip((struct bk_view){ NULL, 0 }, 2).at);
}

static void cutting_gives_every_part_and_then_ends(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        const char *parts[4];
    } cases[] = {
        { "a,b,c", 3, { "a", "b", "c" } },
        { "a", 1, { "a" } },
        { "", 1, { "" } },
        { ",", 2, { "", "" } },
        { "a,", 2, { "a", "" } },
        { ",,b", 3, { "", "", "b" } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bk_view rest = bk_view_of_str(cases[i].text);
        size_t n = 0;
        while (rest.at) {
            struct bk_view part = bk_view_cut(&rest, ',');
            assert_true(n < cases[i].n);
            assert_true(bk_view_equal(part, bk_view_of_str(cases[i].parts[n])));
            n++;
        }
        assert_int_equal(n, cases[i].n);
        assert_int_equal(rest.len, 0);
    }
}

static void a_number_is_digits_and_not_too_large(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t max;
        int want;
        uint64_t value;
    } cases[] = {
        { "0", 0, 0, 0 },
        { "007", 10, 0, 7 },
        { "65535", 65535, 0, 65535 },
        { "65536", 65535, -ERANGE, 0 },
        { "18446744073709551615", UINT64_MAX, 0, UINT64_MAX },
        { "18446744073709551616", UINT64_MAX, -ERANGE, 0 },
        { "184467440737095516150", UINT64_MAX, -ERANGE, 0 },
        { "99999999999999999999999x", UINT64_MAX, -EINVAL, 0 },
        { "", 9, -EINVAL, 0 },
        { "-1", 9, -EINVAL, 0 },
        { "+1", 9, -EINVAL, 0 },
        { " 1", 9, -EINVAL, 0 },
        { "1 ", 9, -EINVAL, 0 },
        { "0x1", 9, -EINVAL, 0 },
        { "1/", 99, -EINVAL, 0 },
        { "1:", 99, -EINVAL, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t n = 4711;
        int r = bk_view_to_u64(bk_view_of_str(cases[i].text), cases[i].max, &n);
        assert_int_equal(r, cases[i].want);
        assert_int_equal(n, r == 0 ? cases[i].value : 4711); /* untouched on failure */
    }
}

static void a_copy_ends_with_nul_and_refuses_one_inside(void **state)
{
    (void)state;
    char *copy = bk_view_dup(bk_view_head(BK_VIEW("abcdef"), 3));
    assert_string_equal(copy, "abc");
    free(copy);
    copy = bk_view_dup((struct bk_view){ NULL, 0 });
    assert_string_equal(copy, "");
    free(copy);
    assert_null(bk_view_dup((struct bk_view){ "a\0b", 3 }));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparing_without_case_knows_ascii_letters_and_nothing_else),
        cmocka_unit_test(comparing_reads_no_byte_too_far),
        cmocka_unit_test(different_lengths_are_never_equal),
        cmocka_unit_test(prefix_and_suffix_lie_inside),
        cmocka_unit_test(trimming_takes_blanks_from_both_ends_only),
        cmocka_unit_test(finding_agrees_with_looking_at_every_place),
        cmocka_unit_test(skip_and_head_stay_inside),
        cmocka_unit_test(cutting_gives_every_part_and_then_ends),
        cmocka_unit_test(a_number_is_digits_and_not_too_large),
        cmocka_unit_test(a_copy_ends_with_nul_and_refuses_one_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
