/* SPDX-License-Identifier: Apache-2.0 */
/* The truth table of presence, row by row, and that a row above wins over all below it. */
#include "server/compose.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka wants the three above first */
#include <cmocka.h>

static const struct row {
    int number;
    struct bk_presence_input in;
    enum bk_pidf_shown shown;
} rows[] = {
    { 2, { .n_endpoints = 0, .any_active = true }, BK_PIDF_SHOWN_OFFLINE },
    { 3, { .n_endpoints = 1, .unreachable = true }, BK_PIDF_SHOWN_UNKNOWN },
    { 4, { .n_endpoints = 1, .manual = BK_PIDF_MANUAL_OFFLINE }, BK_PIDF_SHOWN_OFFLINE },
    { 5, { .n_endpoints = 1, .manual = BK_PIDF_MANUAL_DND }, BK_PIDF_SHOWN_DND },
    { 5, { .n_endpoints = 1, .presenting = true }, BK_PIDF_SHOWN_PRESENTING },
    { 6, { .n_endpoints = 1, .in_conference = true }, BK_PIDF_SHOWN_IN_CONFERENCE },
    { 6, { .n_endpoints = 1, .in_call = true }, BK_PIDF_SHOWN_IN_CALL },
    { 7, { .n_endpoints = 1, .manual = BK_PIDF_MANUAL_BUSY }, BK_PIDF_SHOWN_BUSY },
    { 7, { .n_endpoints = 1, .busy_by_endpoint = true }, BK_PIDF_SHOWN_BUSY },
    { 8, { .n_endpoints = 1, .manual = BK_PIDF_MANUAL_BRB }, BK_PIDF_SHOWN_BRB },
    { 8, { .n_endpoints = 1, .manual = BK_PIDF_MANUAL_AWAY }, BK_PIDF_SHOWN_AWAY },
    { 8, { .n_endpoints = 1, .manual = BK_PIDF_MANUAL_OFFWORK }, BK_PIDF_SHOWN_OFFWORK },
    { 9, { .n_endpoints = 2, .in_meeting = true, .any_active = true }, BK_PIDF_SHOWN_IN_MEETING },
    { 10,
      { .n_endpoints = 2, .in_meeting = true, .any_inactive = true },
      BK_PIDF_SHOWN_BUSY_INACTIVE },
    { 11, { .n_endpoints = 2, .any_active = true, .any_inactive = true }, BK_PIDF_SHOWN_AVAILABLE },
    { 12, { .n_endpoints = 1, .any_inactive = true }, BK_PIDF_SHOWN_AVAILABLE_INACTIVE },
    { 13, { .n_endpoints = 1 }, BK_PIDF_SHOWN_AWAY },
};

static void each_row_shows_what_it_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(bk_presence_compose(&rows[i].in), rows[i].shown);
}

/* What an automatic source adds changes nothing where a manual state or absence stands above it. */
static void a_row_above_wins(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bk_presence_input in = rows[i].in;
        if (rows[i].number > 8 || rows[i].number == 2)
            continue;
        in.any_active = in.any_inactive = in.in_meeting = true;
        assert_int_equal(bk_presence_compose(&in), rows[i].shown);
        if (rows[i].number <= 5 && in.manual != BK_PIDF_MANUAL_NONE) {
            in.in_call = in.in_conference = in.busy_by_endpoint = true;
            assert_int_equal(bk_presence_compose(&in), rows[i].shown);
        }
    }
    struct bk_presence_input nobody = { .manual = BK_PIDF_MANUAL_DND,
                                        .in_call = true,
                                        .presenting = true };
    assert_int_equal(bk_presence_compose(&nobody), BK_PIDF_SHOWN_OFFLINE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_shows_what_it_says),
        cmocka_unit_test(a_row_above_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
