/* SPDX-License-Identifier: Apache-2.0 */
/* base/cleanup.h - what a scope owns, it gives back. */
#ifndef BK_BASE_CLEANUP_H
#define BK_BASE_CLEANUP_H

/* BK_CLEANUP(bk_buf_finish) struct bk_buf buf = { 0 };  the function gets a pointer to the variable. */
#define BK_CLEANUP(fn) __attribute__((cleanup(fn)))

/* The value moves out, the variable is NULL afterwards. */
#define BK_TAKE(var)                                                                               \
    __extension__({                                                                                \
        __typeof__(var) bk_taken = (var);                                                          \
        (var) = NULL;                                                                              \
        bk_taken;                                                                                  \
    })

#define BK_COUNT_OF(array) (sizeof(array) / sizeof *(array))

/* Ready-made ones. */
void bk_cleanup_free(void *pointer_to_pointer);
struct bk_buf;
#define BK_AUTO_FREE BK_CLEANUP(bk_cleanup_free)
#define BK_AUTO_BUF BK_CLEANUP(bk_buf_finish)

#endif
