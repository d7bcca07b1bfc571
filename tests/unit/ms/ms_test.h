/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of ms/ share. */
#ifndef BK_TESTS_MS_TEST_H
#define BK_TESTS_MS_TEST_H

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/random.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

static inline void expect_hex(const void *at, size_t len, const char *hex)
{
    uint8_t want[64];
    assert_int_equal(bk_hex_decode(bk_view_of_str(hex), want, len), 0);
    assert_memory_equal(at, want, len);
}

static inline void expect_view(struct bk_view got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.at, want, got.len);
}

#endif
