/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include "base/cleanup.h"
#include "base/random.h"
#include "tests/unit/base/failing_alloc.h"

#include <stdio.h>
#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

/* Appends something random to both, a buffer and a plain array; returns how many bytes that is. */
static size_t append_both(const struct bk_random *random, struct bk_buf *buf, char *model)
{
    char bytes[100];
    uint64_t n = bk_random_u64(random);
    size_t len = n >> 8 & 63;
    bk_random_fill(random, bytes, len);
    switch (n & 7) {
    case 0:
        bk_buf_add_u64(buf, n >> (n >> 16 & 63));
        return (size_t)sprintf(model, "%llu", (unsigned long long)(n >> (n >> 16 & 63)));
    case 1:
        bk_buf_add_hex(buf, bytes, len);
        for (size_t i = 0; i < len; i++)
            sprintf(model + 2 * i, "%02x", (unsigned char)bytes[i]);
        return 2 * len;
    case 2:
        bk_buf_addf(buf, "%*d|%s", (int)len, 7, "x");
        return (size_t)sprintf(model, "%*d|%s", (int)len, 7, "x");
    case 3:
        bk_buf_add_char(buf, bytes[0]);
        model[0] = bytes[0];
        return 1;
    case 4:
        bk_buf_add_str(buf, "text");
        memcpy(model, "text", 4);
        return 4;
    case 5:
        bk_buf_add_lit(buf, "a literal");
        memcpy(model, "a literal", 9);
        return 9;
    case 6: {
        char *to = bk_buf_reserve(buf, len);
        if (to) {
            memcpy(to, bytes, len);
            buf->len += len;
        }
        break;
    }
    default:
        bk_buf_add_view(buf, (struct bk_view){ bytes, len });
    }
    memcpy(model, bytes, len);
    return len;
}

static void holds_what_was_appended_less_what_was_dropped(void **state)
{
    (void)state;
    struct bk_random_seeded seeded;
    struct bk_random random = bk_random_from_seed(&seeded, 1);
    static char model[100000];
    size_t len = 0;
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    for (int i = 0; i < 3000; i++) {
        len += append_both(&random, &buf, model + len);
        if (i % 20 == 0) {
            size_t n = bk_random_u64(&random) % (len + 10);
            bk_buf_drop(&buf, n);
            n = n < len ? n : len;
            memmove(model, model + n, len - n);
            len -= n;
        }
        assert_false(buf.failed);
        assert_int_equal(buf.len, len);
        if (len)
            assert_memory_equal(buf.at, model, len);
        const char *text = bk_buf_cstr(&buf);
        assert_non_null(text);
        assert_int_equal(text[len], 0);
    }
}

static void over_the_limit_changes_nothing_and_stays_failed(void **state)
{
    (void)state;
    struct bk_random_seeded seeded;
    struct bk_random random = bk_random_from_seed(&seeded, 2);
    for (size_t max = 1; max < 300; max++) {
        char model[1000];
        size_t len = 0;
        BK_AUTO_BUF struct bk_buf buf = { .max = max };
        for (;;) {
            size_t n = append_both(&random, &buf, model + len);
            if (len + n > max)
                break;
            assert_false(buf.failed);
            len += n;
        }
        assert_true(buf.failed);
        assert_int_equal(buf.len, len);
        if (len)
            assert_memory_equal(buf.at, model, len);
        bk_buf_add_lit(&buf, "");
        bk_buf_add_char(&buf, 'x');
        assert_int_equal(buf.len, len);
        assert_null(bk_buf_cstr(&buf));
        assert_null(bk_buf_reserve(&buf, 0));

        bk_buf_clear(&buf);
        assert_false(buf.failed);
        for (size_t i = 0; i < max; i++)
            bk_buf_add_char(&buf, 'x');
        assert_non_null(bk_buf_cstr(&buf)); /* the NUL does not count */
        bk_buf_add_char(&buf, 'x');
        assert_true(buf.failed);
    }
}

static void lengths_that_no_memory_holds_fail(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    static const size_t huge[] = { SIZE_MAX, SIZE_MAX - 3, SIZE_MAX - 4, PTRDIFF_MAX };
    for (size_t i = 0; i < BK_COUNT_OF(huge); i++) {
        bk_buf_clear(&buf);
        bk_buf_add_lit(&buf, "abc");
        assert_null(bk_buf_reserve(&buf, huge[i]));
        assert_true(buf.failed);
        assert_int_equal(buf.len, 3);
    }
    bk_buf_clear(&buf);
    bk_buf_add_hex(&buf, "", SIZE_MAX / 2 + 1);
    assert_true(buf.failed);
}

static void finishing_keeps_the_limit_and_nothing_else(void **state)
{
    (void)state;
    struct bk_buf buf = { .max = 3 };
    bk_buf_add_lit(&buf, "abcd");
    assert_true(buf.failed);
    bk_buf_finish(&buf);
    assert_null(buf.at);
    assert_int_equal(buf.len + buf.cap + buf.failed, 0);
    assert_int_equal(buf.max, 3);
    bk_buf_add_lit(&buf, "abc");
    assert_false(buf.failed);
    bk_buf_finish(&buf);
    bk_buf_finish(&buf);
}

static void an_empty_buffer_is_an_empty_text(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    assert_int_equal(bk_buf_view(&buf).len, 0);
    bk_buf_drop(&buf, 5);
    assert_string_equal(bk_buf_cstr(&buf), "");
    assert_int_equal(buf.len, 0);
}

static void a_failing_allocation_is_remembered(void **state)
{
    (void)state;
    for (unsigned n = 1;; n++) {
        BK_AUTO_BUF struct bk_buf buf = { 0 };
        size_t whole = 0;
        bk_fail_alloc(n);
        for (int i = 0; i < 1000; i++) {
            bk_buf_addf(&buf, "%d,", i);
            if (!buf.failed)
                whole = buf.len;
        }
        bool failed = bk_fail_alloc(0);
        assert_int_equal(buf.failed, failed);
        assert_int_equal(buf.len, whole); /* nothing half appended, nothing after the failure */
        if (whole)
            assert_int_equal(buf.at[whole - 1], ',');
        if (!failed)
            break;
    }
}

static void a_scope_gives_back_what_it_owns(void **state)
{
    (void)state;
    BK_AUTO_FREE char *mine = malloc(10);
    BK_AUTO_FREE char *nobodys = NULL;
    char *taken = BK_TAKE(mine);
    assert_null(mine);
    assert_non_null(taken);
    assert_null(nobodys);
    BK_AUTO_FREE char *kept = taken; /* the leak check would tell */
    (void)kept;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_what_was_appended_less_what_was_dropped),
        cmocka_unit_test(over_the_limit_changes_nothing_and_stays_failed),
        cmocka_unit_test(lengths_that_no_memory_holds_fail),
        cmocka_unit_test(finishing_keeps_the_limit_and_nothing_else),
        cmocka_unit_test(an_empty_buffer_is_an_empty_text),
        cmocka_unit_test(a_failing_allocation_is_remembered),
        cmocka_unit_test(a_scope_gives_back_what_it_owns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
