/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

void bk_cleanup_free(void *pointer_to_pointer)
{
    void *at; /* copied out: the variable may be a pointer to any type */
    memcpy(&at, pointer_to_pointer, sizeof at);
    free(at);
}
