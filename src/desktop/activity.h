/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/activity.h - is somebody at this computer? Idle time, lock, suspend. */
#ifndef BK_DESKTOP_ACTIVITY_H
#define BK_DESKTOP_ACTIVITY_H

#include "desktop/engine.h"
#include "desktop/settings.h"

/*
 * Feeds bk_engine_set_machine: INACTIVE after BK_SETTING_INACTIVE_MIN without input, AWAY after BK_SETTING_AWAY_MIN more or at once when
 * the screen is locked, ACTIVE again with the first input. Before suspend (logind's PrepareForSleep, with a delay lock) AWAY is
 * published, for which the computer waits until the server told it, 2 s at most; after it the engine is told that the network changed.
 *
 * Idle time comes from the first that knows it:
 *   org.gnome.Mutter.IdleMonitor, org.cinnamon.Muffin.IdleMonitor   tell when it happens
 *   org.freedesktop.ScreenSaver, org.mate.ScreenSaver, org.xfce.ScreenSaver (GetSessionIdleTime)   are asked when it may have happened
 *   the X display itself (x11_idle.h)                               likewise
 *   without any of them, only what bk_activity_touched tells counts
 * Whether the screen is locked: ActiveChanged of these screen savers, of org.gnome.ScreenSaver and org.cinnamon.ScreenSaver.
 */
#define BK_TYPE_ACTIVITY (bk_activity_get_type())
G_DECLARE_FINAL_TYPE(BkActivity, bk_activity, BK, ACTIVITY, GObject)

/*
 * connection: the session bus; system: the system bus; NULL: none there. Holds references to all of them. display: the name of the X
 * display the session is on; NULL: it is on none.
 */
BkActivity *bk_activity_new(BkEngine *engine, BkSettings *settings, GDBusConnection *connection,
                            GDBusConnection *system, const char *display);
/* The person did something in one of our windows. */
void bk_activity_touched(BkActivity *activity);
/* Asks for the idle time now. */
void bk_activity_look(BkActivity *activity);
/* What was told last. */
enum bk_pidf_machine bk_activity_machine(BkActivity *activity);

#endif
