/* SPDX-License-Identifier: Apache-2.0 */
#include "record/record.h"

#include "base/cleanup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* after the four above, as it says itself */
#include <cmocka.h>

/* Every record of the catalogue of sign-in errors, and those for messages and calls. */
static const char *const catalogue[] = {
    "SI-101",  "SI-102",  "SI-103",  "SI-104",  "SI-105",  "SI-105a", "SI-105b", "SI-105c",
    "SI-105d", "SI-105e", "SI-105f", "SI-105g", "SI-106",  "SI-107",  "SI-108",  "SI-109",
    "SI-110",  "SI-111",  "SI-112",  "SI-113",  "SI-114",  "SI-115",  "SI-116",  "SI-117",
    "SI-118",  "SI-119",  "SI-120",  "SI-121",  "SI-122",  "SI-123",  "SI-201",  "SI-201a",
    "SI-201b", "SI-201c", "SI-201d", "SI-201e", "SI-201f", "SI-202",  "SI-203",  "SI-204",
    "SI-205",  "SI-206",  "SI-207",  "SI-208",  "SI-209",  "SI-210",  "SI-211",  "SI-212",
    "SI-213",  "SI-214",  "SI-215",  "SI-216",  "SI-217",  "SI-218",  "SI-219",  "SI-220",
    "SI-221",  "SI-222",  "SI-223",  "SI-224",  "SI-301",  "SI-302",  "SI-303",  "SI-303a",
    "SI-304",  "SI-305",  "SI-306",  "SI-306a", "SI-306b", "SI-306c", "SI-306d", "SI-307",
    "SI-308",  "SI-309",  "SI-309a", "SI-309b", "SI-309c", "SI-309d", "SI-309e", "SI-309f",
    "SI-309g", "SI-309h", "SI-310",  "SI-311",  "SI-312",  "SI-313",  "SI-314",  "SI-315",
    "SI-316",  "SI-401",  "SI-402",  "SI-403",  "SI-404",  "SI-405",  "SI-406",  "SI-407",
    "SI-408",  "SI-409",  "SI-410",  "SI-501",  "SI-502",  "SI-503",  "SI-504",  "SI-505",
    "SI-506",  "SI-507",  "SI-508",  "SI-509",  "SI-510",
};

#define EACH_RECORD(r)                                                                             \
    const struct bk_record *r = bk_record_at(0);                                                   \
    for (size_t r##_at = 0; r; r = bk_record_at(++r##_at))

static void the_table_is_the_catalogue_in_its_order(void **state)
{
    (void)state;
    size_t n = 0;
    EACH_RECORD(r)
    {
        char id[12];
        bk_record_id(r, id);
        assert_true(n < BK_COUNT_OF(catalogue));
        assert_string_equal(id, catalogue[n]);
        n++;
    }
    assert_int_equal(n, BK_COUNT_OF(catalogue));
    assert_null(bk_record_at((size_t)-1));
}

static void ids_and_slugs_are_unique(void **state)
{
    (void)state;
    EACH_RECORD(a)
    {
        const struct bk_record *b;
        for (size_t i = a_at + 1; (b = bk_record_at(i)) != NULL; i++) {
            assert_true(a->number != b->number || a->sub != b->sub);
            assert_string_not_equal(a->slug, b->slug);
        }
    }
}

static void an_id_read_back_is_the_same_row(void **state)
{
    (void)state;
    EACH_RECORD(r)
    {
        char id[12];
        bk_record_id(r, id);
        assert_ptr_equal(bk_record_parse(bk_view_of_str(id)), r);
        assert_ptr_equal(bk_record_find(r->number, r->sub), r);
        for (char *c = id; *c; c++)
            *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c >= 'a' && *c <= 'z' ? *c - 32 : *c);
        assert_ptr_equal(bk_record_parse(bk_view_of_str(id)), r);
    }
}

static void what_is_no_id_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "",       "SI-",    "SI-20",  "SI-2020", "SI-999",
                                       "208",    "SI208",  "SI-20a", "SI-201!", "SI-201ab",
                                       "SI--08", "S1-208", "SI-2O8" };
    for (size_t i = 0; i < BK_COUNT_OF(bad); i++)
        assert_null(bk_record_parse(bk_view_of_str(bad[i])));
    assert_null(bk_record_parse((struct bk_view){ 0 }));
    assert_null(bk_record_find(0, 0));
    assert_null(bk_record_find(600, 'a'));
}

static void a_letter_without_a_row_means_the_whole_number(void **state)
{
    (void)state;
    assert_ptr_equal(bk_record_parse(BK_VIEW("SI-208b")), bk_record_find(208, 0));
    assert_ptr_equal(bk_record_parse(BK_VIEW("SI-201z")), bk_record_find(201, 0));
}

static void every_sentence_begins_and_ends_as_one(void **state)
{
    (void)state;
    EACH_RECORD(r)
    {
        const char *texts[] = { r->user_text, r->user_does, r->admin_text, r->admin_does };
        for (size_t i = 0; i < BK_COUNT_OF(texts); i++) {
            size_t len = strlen(texts[i]);
            assert_in_range(len, 8, 160);
            assert_int_equal(texts[i][len - 1], '.');
            assert_in_range(texts[i][0], 'A', 'Z');
            assert_null(strstr(texts[i], "  "));
            assert_null(strchr(texts[i], '"')); /* it is quoted in header fields as it is */
            assert_null(strchr(texts[i], '\\'));
            for (size_t k = 0; k < len; k++)
                assert_in_range(texts[i][k], ' ', '~');
        }
    }
}

static void placeholders_are_those_the_header_names(void **state)
{
    (void)state;
    static const char *const known[] = {
        "address", "domain", "minutes", "seconds", "server", "why"
    };
    EACH_RECORD(r)
    {
        const char *texts[] = { r->user_text, r->user_does, r->admin_text, r->admin_does };
        for (size_t i = 0; i < BK_COUNT_OF(texts); i++) {
            const char *at = texts[i];
            while ((at = strpbrk(at, "{}")) != NULL) {
                assert_int_equal(*at, '{');
                const char *stop = strchr(at, '}');
                assert_non_null(stop);
                struct bk_view name = bk_view_between(at + 1, stop);
                bool found = false;
                for (size_t k = 0; k < BK_COUNT_OF(known); k++)
                    found = found || bk_view_equal(name, bk_view_of_str(known[k]));
                assert_true(found);
                at = stop + 1;
            }
        }
    }
}

static void categories_follow_the_hundreds(void **state)
{
    (void)state;
    EACH_RECORD(r)
    {
        /* Two records of the card family are about who it is. */
        enum bk_record_category expected = (enum bk_record_category)(r->number / 100 - 1);
        if (r->number == 121 || r->number == 122)
            expected = BK_CATEGORY_AUTHENTICATION;
        assert_int_equal(r->category, expected);
    }
}

static void status_and_diagnostics_are_those_of_the_catalogue(void **state)
{
    (void)state;
    static const struct {
        unsigned number;
        char sub;
        unsigned sip, http, diagnostics;
    } expected[] = {
        { 101, 0, 403, 403, 17002 },   { 104, 0, 403, 403, 1013 },   { 105, 0, 403, 403, 95105 },
        { 105, 'd', 403, 403, 95105 }, { 111, 0, 400, 400, 95111 },  { 122, 0, 403, 403, 4004 },
        { 201, 'a', 404, 404, 1003 },  { 201, 'b', 404, 403, 4005 }, { 201, 'e', 404, 403, 4006 },
        { 202, 0, 401, 401, 95202 },   { 208, 0, 403, 403, 95208 },  { 213, 0, 403, 403, 4003 },
        { 214, 0, 403, 403, 4004 },    { 215, 0, 403, 403, 95215 },  { 219, 0, 403, 403, 95219 },
        { 220, 0, 404, 404, 1005 },    { 221, 0, 403, 403, 1017 },   { 302, 0, 0, 0, 95302 },
        { 402, 0, 403, 403, 95402 },   { 404, 0, 503, 503, 17000 },  { 410, 0, 503, 503, 5000 },
        { 501, 0, 480, 404, 95501 },   { 503, 0, 413, 413, 95503 },  { 505, 0, 503, 503, 95505 },
    };
    for (size_t i = 0; i < BK_COUNT_OF(expected); i++) {
        const struct bk_record *r = bk_record_find(expected[i].number, expected[i].sub);
        assert_int_equal(r->sub, expected[i].sub);
        assert_int_equal(r->sip_status, expected[i].sip);
        assert_int_equal(r->http_status, expected[i].http);
        assert_int_equal(r->diagnostics, expected[i].diagnostics);
    }
    EACH_RECORD(r)
    {
        if (r->sip_status)
            assert_in_range(r->sip_status, 400, 699);
        if (r->http_status)
            assert_in_range(r->http_status, 400, 599);
        if (r->diagnostics >= 95000 && r->number != 504)
            assert_int_equal(r->diagnostics, 95000 + r->number);
    }
}

static void a_stranger_learns_nothing_about_an_account(void **state)
{
    (void)state;
    EACH_RECORD(r)
    {
        const struct bk_record *told = bk_record_told(r, true);
        assert_non_null(told);
        assert_true(told->neutral);
        if (r->neutral)
            assert_ptr_equal(told, r);
        if (r->number / 100 == 2 && r->number != 220)
            assert_ptr_equal(told, bk_record_find(202, 0));
        if (r->number != 504)
            assert_ptr_equal(bk_record_told(r, false), r);
    }
    assert_true(bk_record_find(220, 0)->neutral);
    for (unsigned n = 401; n <= 410; n++)
        assert_true(bk_record_find(n, 0)->neutral);
}

static void being_blocked_looks_like_nobody_there(void **state)
{
    (void)state;
    const struct bk_record *blocked = bk_record_find(504, 0), *nobody = bk_record_find(501, 0);
    assert_ptr_equal(bk_record_told(blocked, false), nobody);
    assert_ptr_equal(bk_record_told(blocked, true), nobody);
    /* Also where somebody forgets to ask. */
    assert_int_equal(blocked->sip_status, nobody->sip_status);
    assert_int_equal(blocked->http_status, nobody->http_status);
    assert_int_equal(blocked->diagnostics, nobody->diagnostics);
    assert_string_equal(blocked->user_text, nobody->user_text);
    assert_string_equal(blocked->user_does, nobody->user_does);
}

static void what_a_person_must_settle_is_not_retried(void **state)
{
    (void)state;
    static const unsigned fatal[] = { 101, 114, 118, 201, 202, 208 };
    for (size_t i = 0; i < BK_COUNT_OF(fatal); i++)
        assert_true(bk_record_find(fatal[i], 0)->fatal);
    static const unsigned passing[] = { 104, 302, 312, 314, 401, 404, 405, 408 };
    for (size_t i = 0; i < BK_COUNT_OF(passing); i++)
        assert_false(bk_record_find(passing[i], 0)->fatal);
}

static void numbers_of_the_old_client_are_found(void **state)
{
    (void)state;
    assert_int_equal(bk_record_of_reference_code(0x80EF0191)->number, 202);
    assert_int_equal(bk_record_of_reference_code(0x80EE006C)->number, 104);
    assert_int_equal(bk_record_of_reference_code(0x80EE0066)->number, 301);
    assert_int_equal(bk_record_of_reference_code(0x22020002)->number, 309);
    assert_null(bk_record_of_reference_code(0));
    assert_null(bk_record_of_reference_code(0x80EF0000));
}

static void placeholders_are_filled_or_become_a_question_mark(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    bk_record_text(&buf, "{a} and {b}, {a}{", "a", "1", "c", "3", NULL);
    assert_string_equal(bk_buf_cstr(&buf), "1 and ?, 1{");
    bk_buf_clear(&buf);
    bk_record_text(&buf, "no}thing {", NULL);
    assert_string_equal(bk_buf_cstr(&buf), "no}thing {");
    bk_buf_clear(&buf);
    bk_record_text(&buf, "{a}", "a", NULL, NULL);
    assert_string_equal(bk_buf_cstr(&buf), "?");
}

static void values_lose_control_bytes_and_are_cut_between_characters(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    bk_record_text(&buf, "<{a}>", "a", "x\r\ny\x7f\x1b[1m{a}", NULL);
    assert_string_equal(bk_buf_cstr(&buf), "<xy[1m{a}>");
    char longer[300];
    memset(longer, 'e', sizeof longer);
    longer[299] = '\0';
    memcpy(longer + 199, "\xc3\xa9", 2);
    bk_buf_clear(&buf);
    bk_record_text(&buf, "{a}", "a", longer, NULL);
    assert_int_equal(buf.len, 199);
    memcpy(longer + 198,
           "\xc3\xa9"
           "e",
           3);
    bk_buf_clear(&buf);
    bk_record_text(&buf, "{a}", "a", longer, NULL);
    assert_int_equal(buf.len, 200);
}

static void the_values_of_a_sentence_are_found_again(void **state)
{
    (void)state;
    static const char *const samples[] = { "", "x", "a b", "12", "mail.example.org:5061", "??" };
    EACH_RECORD(r)
    for (size_t i = 0; i < BK_COUNT_OF(samples); i++) {
        struct bk_record_value values[6];
        BK_AUTO_BUF struct bk_buf text = { 0 };
        bk_record_text(&text, r->user_text, "server", samples[i], "why", samples[i], "address",
                       samples[i], "domain", samples[i], "minutes", samples[i], "seconds",
                       samples[i], NULL);
        int n = bk_record_values(r->user_text, bk_buf_view(&text), values, 6);
        assert_true(n >= 0);
        assert_int_equal(n > 0, strchr(r->user_text, '{') != NULL);
        for (int j = 0; j < n; j++) {
            assert_true(bk_view_equal(values[j].value, bk_view_of_str(samples[i])));
        }
    }
}

static void another_sentence_has_no_values(void **state)
{
    (void)state;
    struct bk_record_value v[2];
    const char *text = "Wait {seconds} seconds, {why}.";
    assert_int_equal(bk_record_values(text, BK_VIEW("Wait 5 seconds, busy."), v, 2), 2);
    assert_int_equal(bk_record_values(text, BK_VIEW("Wait 5 seconds, busy."), v, 1), -ENOENT);
    assert_int_equal(bk_record_values(text, BK_VIEW("Wait 5 seconds, busy"), v, 2), -ENOENT);
    assert_int_equal(bk_record_values(text, BK_VIEW("Wait 5 minutes, busy."), v, 2), -ENOENT);
    assert_int_equal(bk_record_values(text, BK_VIEW(""), v, 2), -ENOENT);
    assert_int_equal(bk_record_values("Wait.", BK_VIEW("Wait."), v, 2), 0);
    assert_int_equal(bk_record_values("Wait.", BK_VIEW("Wait. Now."), v, 2), -ENOENT);
    assert_int_equal(bk_record_values("Wait. Now.", BK_VIEW("Wait."), v, 2), -ENOENT);
}

static void a_case_code_reads_back(void **state)
{
    (void)state;
    uint64_t bits = 0x123456789a;
    for (int i = 0; i < 1000; i++) {
        char code[BK_CASE_CODE_SIZE], again[BK_CASE_CODE_SIZE];
        bk_case_code(bits, code);
        assert_int_equal(strlen(code), 9);
        assert_int_equal(code[4], '-');
        assert_null(strpbrk(code, "ILOUabcdefghijklmnopqrstuvwxyz"));
        assert_int_equal(bk_case_code_parse(bk_view_of_str(code), again), 0);
        assert_string_equal(code, again);
        bits = bits * 6364136223846793005u + 1442695040888963407u;
    }
    char code[BK_CASE_CODE_SIZE];
    bk_case_code(0, code);
    assert_string_equal(code, "0000-0000");
    bk_case_code(UINT64_MAX, code); /* 40 bits count */
    assert_string_equal(code, "ZZZZ-ZZZZ");
}

static void reading_a_case_code_forgives(void **state)
{
    (void)state;
    static const char *const same[] = { "K7QF-3M20",
                                        "k7qf-3m20",
                                        "K7QF3M20",
                                        " k7qf 3m2o\t",
                                        ("K7QF\xe2\x80\x93"
                                         "3M2O"),
                                        "K-7-Q-F-3-M-2-0",
                                        "K7QF--3M20" };
    char code[BK_CASE_CODE_SIZE];
    for (size_t i = 0; i < BK_COUNT_OF(same); i++) {
        assert_int_equal(bk_case_code_parse(bk_view_of_str(same[i]), code), 0);
        assert_string_equal(code, "K7QF-3M20");
    }
    assert_int_equal(bk_case_code_parse(BK_VIEW("iLoO-1100"), code), 0);
    assert_string_equal(code, "1100-1100");
}

static void what_is_no_case_code_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "",          "-",         "K7QF-3M2",     "K7QF-3M2PP",
                                       "K7QF-3M2U", "K7QF-3M2!", "K7QF\xe2\x80", "K7QF-3M2\xc2",
                                       "SI-208" };
    char code[BK_CASE_CODE_SIZE] = "same";
    for (size_t i = 0; i < BK_COUNT_OF(bad); i++)
        assert_int_equal(bk_case_code_parse(bk_view_of_str(bad[i]), code), -EINVAL);
    assert_int_equal(bk_case_code_parse((struct bk_view){ "K7QF-3M\0P", 9 }, code), -EINVAL);
    assert_string_equal(code, "same");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_the_catalogue_in_its_order),
        cmocka_unit_test(ids_and_slugs_are_unique),
        cmocka_unit_test(an_id_read_back_is_the_same_row),
        cmocka_unit_test(what_is_no_id_is_refused),
        cmocka_unit_test(a_letter_without_a_row_means_the_whole_number),
        cmocka_unit_test(every_sentence_begins_and_ends_as_one),
        cmocka_unit_test(placeholders_are_those_the_header_names),
        cmocka_unit_test(categories_follow_the_hundreds),
        cmocka_unit_test(status_and_diagnostics_are_those_of_the_catalogue),
        cmocka_unit_test(a_stranger_learns_nothing_about_an_account),
        cmocka_unit_test(being_blocked_looks_like_nobody_there),
        cmocka_unit_test(what_a_person_must_settle_is_not_retried),
        cmocka_unit_test(numbers_of_the_old_client_are_found),
        cmocka_unit_test(placeholders_are_filled_or_become_a_question_mark),
        cmocka_unit_test(values_lose_control_bytes_and_are_cut_between_characters),
        cmocka_unit_test(the_values_of_a_sentence_are_found_again),
        cmocka_unit_test(another_sentence_has_no_values),
        cmocka_unit_test(a_case_code_reads_back),
        cmocka_unit_test(reading_a_case_code_forgives),
        cmocka_unit_test(what_is_no_case_code_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
