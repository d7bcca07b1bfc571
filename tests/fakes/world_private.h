/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fakes/world_private.h - between world.c and organisation.c. */
#ifndef BK_TESTS_WORLD_PRIVATE_H
#define BK_TESTS_WORLD_PRIVATE_H

#include "tests/fakes/world.h"

/* Aborts where r is negative. */
void world_must(int r, const char *what);
void world_found_organisation(struct world *world);

#endif
