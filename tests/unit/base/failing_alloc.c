/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/base/failing_alloc.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

/* The linker's --wrap sends our calls here and names the real ones so. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *at, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *at, size_t size);

static _Thread_local unsigned countdown;
static _Thread_local bool failed;

bool bk_fail_alloc(unsigned n)
{
    bool before = failed;
    countdown = n;
    failed = false;
    return before;
}

static bool fails_now(void)
{
    if (countdown == 0 || --countdown > 0)
        return false;
    failed = true;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *at, size_t size)
{
    return fails_now() ? NULL : __real_realloc(at, size);
}
