/* SPDX-License-Identifier: Apache-2.0 */
/* fakes/folder.h - a folder of a test's own, below /tmp, and away with it. */
#ifndef BK_TESTS_FOLDER_H
#define BK_TESTS_FOLDER_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

enum { FOLDER_SIZE = 64 };

static inline int folder_drop(const char *path, const struct stat *at, int kind, struct FTW *where)
{
    (void)at, (void)kind, (void)where;
    return remove(path);
}

/* "/tmp/bk-NAME-......"; aborts where there can be none. */
static inline void folder_make(char ret[FOLDER_SIZE], const char *name)
{
    (void)snprintf(ret, FOLDER_SIZE, "/tmp/bk-%s-XXXXXX", name);
    if (!mkdtemp(ret))
        abort();
}

/* With all that is in it; links are not followed. 0: gone (or never there). */
static inline int folder_remove(const char *path)
{
    return nftw(path, folder_drop, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
