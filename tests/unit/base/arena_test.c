/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include "base/random.h"
#include "tests/unit/base/failing_alloc.h"

#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

enum { PIECES = 2000 };

static void pieces_are_zeroed_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    struct bk_random_seeded seeded;
    struct bk_random random = bk_random_from_seed(&seeded, 1);
    struct bk_arena arena = { 0 };
    static unsigned char *at[PIECES];
    static size_t len[PIECES];
    for (int round = 0; round < 3; round++) {
        size_t sum = 0;
        for (size_t i = 0; i < PIECES; i++) {
            uint64_t n = bk_random_u64(&random);
            len[i] = n % (n % 50 == 0 ? 100000 : 200);
            at[i] = bk_arena_alloc(&arena, len[i]);
            assert_non_null(at[i]);
            assert_int_equal((uintptr_t)at[i] % _Alignof(max_align_t), 0);
            for (size_t j = 0; j < len[i]; j++)
                assert_int_equal(at[i][j], 0);
            memset(at[i], (int)(i & 255), len[i]);
            sum += len[i];
            assert_int_equal(arena.used, sum);
        }
        for (size_t i = 0; i < PIECES; i++)
            for (size_t j = 0; j < len[i]; j++)
                if (at[i][j] != (i & 255))
                    fail_msg("piece %zu was overwritten", i);
        bk_arena_clear(&arena); /* what the next round gets is zero again */
        assert_int_equal(arena.used, 0);
    }
    bk_arena_finish(&arena);
    assert_null(arena.blocks);
    bk_arena_finish(&arena);
}

static void a_copy_has_a_nul_behind_it(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    char text[] = "abcdef";
    struct bk_view copy = bk_arena_copy(&arena, (struct bk_view){ text, 3 });
    memset(text, 'x', sizeof text);
    assert_int_equal(copy.len, 3);
    assert_string_equal(copy.at, "abc");
    copy = bk_arena_copy(&arena, BK_VIEW(""));
    assert_null(copy.at);
    assert_int_equal(copy.len, 0);
    bk_arena_finish(&arena);
}

static void a_message_after_the_first_needs_no_memory_from_the_heap(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    for (int round = 0; round < 3; round++) {
        bk_fail_alloc(round ? 1 : 0);
        for (int i = 0; i < 30; i++)
            assert_non_null(bk_arena_alloc(&arena, 48));
        assert_false(bk_fail_alloc(0));
        bk_arena_clear(&arena);
    }
    bk_arena_finish(&arena);
}

static void a_giant_piece_is_given_back_at_clear(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    assert_non_null(bk_arena_alloc(&arena, 1));
    assert_non_null(bk_arena_alloc(&arena, (size_t)1 << 20));
    bk_arena_clear(&arena);
    assert_non_null(arena.blocks); /* the small one */
    bk_fail_alloc(1);
    assert_null(bk_arena_alloc(&arena, 100000));
    assert_true(bk_fail_alloc(0));
    bk_arena_finish(&arena);
}

static void no_memory_is_null_and_what_was_handed_out_stays(void **state)
{
    (void)state;
    for (unsigned n = 1;; n++) {
        struct bk_arena arena = { 0 };
        struct bk_view first = bk_arena_copy(&arena, BK_VIEW("first"));
        size_t got = 0;
        bk_fail_alloc(n);
        for (int i = 0; i < 1000; i++) {
            struct bk_view copy = bk_arena_copy(&arena, BK_VIEW("0123456789"));
            assert_true(copy.at ? copy.len == 10 : copy.len == 0);
            got += copy.at != NULL;
        }
        bool failed = bk_fail_alloc(0);
        assert_int_equal(got, failed ? 999 : 1000); /* one failure costs one piece */
        assert_string_equal(first.at, "first");
        bk_arena_finish(&arena);
        if (!failed)
            break;
    }
    struct bk_arena arena = { 0 };
    assert_null(bk_arena_alloc(&arena, SIZE_MAX));
    assert_null(bk_arena_alloc(&arena, SIZE_MAX - 20));
    bk_arena_finish(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_zeroed_aligned_and_do_not_overlap),
        cmocka_unit_test(a_copy_has_a_nul_behind_it),
        cmocka_unit_test(a_message_after_the_first_needs_no_memory_from_the_heap),
        cmocka_unit_test(a_giant_piece_is_given_back_at_clear),
        cmocka_unit_test(no_memory_is_null_and_what_was_handed_out_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
