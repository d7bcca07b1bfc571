/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/sip/sip_test.h - what the tests of sip/ share: exact copies, files, cmocka's many includes. */
#ifndef BK_TESTS_SIP_TEST_H
#define BK_TESTS_SIP_TEST_H

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

/* A copy that ends where its heap block ends, so that a sanitizer sees a read one byte too far. */
static inline struct bk_view exact(struct bk_view v)
{
    char *copy = malloc(v.len ? v.len : 1);
    assert_non_null(copy);
    if (v.len)
        memcpy(copy, v.at, v.len);
    return (struct bk_view){ copy, v.len };
}

static inline void exact_free(struct bk_view *v)
{
    free((char *)(uintptr_t)v->at);
}
#define EXACT(name, view) BK_CLEANUP(exact_free) struct bk_view name = exact(view)

/* The text as a view, and back for messages of cmocka. */
#define V(literal) BK_VIEW(literal)

static inline void assert_view(struct bk_view got, const char *want)
{
    if (bk_view_equal(got, bk_view_of_str(want)))
        return;
    fail_msg("got \"%.*s\", want \"%s\"", BK_VIEW_ARGS(got), want);
}

static inline void assert_views(struct bk_view got, struct bk_view want)
{
    if (bk_view_equal(got, want))
        return;
    fail_msg("got \"%.*s\", want \"%.*s\"", BK_VIEW_ARGS(got), BK_VIEW_ARGS(want));
}

/* Every view lies inside the bytes it was made from, or is the empty one. */
static inline void assert_inside(struct bk_view part, struct bk_view whole)
{
    if (!part.at)
        assert_int_equal(part.len, 0);
    else if (part.at < whole.at || part.at + part.len > whole.at + whole.len)
        fail_msg("\"%.*s\" is not inside", BK_VIEW_ARGS(part));
}

#endif
