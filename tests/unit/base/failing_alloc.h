/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/base/failing_alloc.h - an allocation that fails on purpose. Link with failing_alloc_dep. */
#ifndef BK_TESTS_FAILING_ALLOC_H
#define BK_TESTS_FAILING_ALLOC_H

/*
 * The n-th call of malloc, calloc or realloc from our own objects (not from within libraries)
 * answers NULL, counted from 1 and per thread, and only that one. 0: none fails. Returns whether
 * one failed since the last call, so that a loop runs as long as there is something left to fail:
 *
 *     for (unsigned n = 1;; n++) {
 *         bk_fail_alloc(n);
 *         ... all of it, checking that it either worked or said no ...
 *         if (!bk_fail_alloc(0))
 *             break;
 *     }
 */
_Bool bk_fail_alloc(unsigned n);

#endif
