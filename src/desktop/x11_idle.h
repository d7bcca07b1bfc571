/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/x11_idle.h - for how long nobody touched keyboard or pointer of an X display (MIT-SCREEN-SAVER extension, version 1.1). */
#ifndef BK_DESKTOP_X11_IDLE_H
#define BK_DESKTOP_X11_IDLE_H

#include <gio/gio.h>
#include <stdint.h>

/*
 * A connection of its own to the display; questions and answers go over the main loop. told is called for each answer, ms the
 * milliseconds since the last input; INT64_C(-1): the display answers no more (nothing is told after that).
 */
struct bk_x11_idle;

/* NULL: no such display, or it knows no such extension. Connects here and now, as GTK did. */
struct bk_x11_idle *bk_x11_idle_create(const char *display, void (*told)(void *ctx, int64_t ms),
                                       void *ctx);
/* Returns NULL. Nothing is told any more. May be called from told. */
struct bk_x11_idle *bk_x11_idle_destroy(struct bk_x11_idle *idle);
/* Asks; one question is under way at a time, and more count as that one. */
void bk_x11_idle_ask(struct bk_x11_idle *idle);

#endif
