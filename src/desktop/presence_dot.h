/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/presence_dot.h - a person's state as a small sign, and a person's picture with it. */
#ifndef BK_DESKTOP_PRESENCE_DOT_H
#define BK_DESKTOP_PRESENCE_DOT_H

#include "desktop/person.h"
#include <adwaita.h>

/*
 * Each state has a shape beside its colour: full, with a bar (do not disturb), with clock hands (away), half (inactive), a ring
 * (offline), a ring with a point (unknown). A word stands near it always: it is no name to a screen reader.
 * property "shown" int (enum bk_pidf_shown).
 */
#define BK_TYPE_PRESENCE_DOT (bk_presence_dot_get_type())
G_DECLARE_FINAL_TYPE(BkPresenceDot, bk_presence_dot, BK, PRESENCE_DOT, GtkWidget)
GtkWidget *bk_presence_dot_new(void);
void bk_presence_dot_set(BkPresenceDot *dot, enum bk_pidf_shown shown);

/* Initials in a circle and the state at its corner, both kept up to date. properties "size" int (pixels), "person". */
#define BK_TYPE_PERSON_AVATAR (bk_person_avatar_get_type())
G_DECLARE_FINAL_TYPE(BkPersonAvatar, bk_person_avatar, BK, PERSON_AVATAR, GtkWidget)
GtkWidget *bk_person_avatar_new(int size);
void bk_person_avatar_set_person(BkPersonAvatar *avatar, BkPerson *person); /* NULL: nobody */

#endif
