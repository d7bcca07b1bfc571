/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/activity.h - is somebody at this computer? Idle time, lock, suspend, network. */
#ifndef BK_DESKTOP_ACTIVITY_H
#define BK_DESKTOP_ACTIVITY_H

#include "desktop/engine.h"
#include "desktop/settings.h"

/*
 * Feeds bk_engine_set_machine: INACTIVE after BK_SETTING_INACTIVE_MIN without input, AWAY after BK_SETTING_AWAY_MIN more or at once when
 * the screen is locked, ACTIVE again with the first input. Before suspend (logind's PrepareForSleep, with a delay lock) AWAY is
 * published; after it the engine is told that the network changed. Sources, the first that answers: org.gnome.Mutter.IdleMonitor,
 * org.freedesktop.ScreenSaver (GetSessionIdleTime), org.kde / XScreenSaver where X11. Without any: only what is typed in our own windows counts.
 */
#define BK_TYPE_ACTIVITY (bk_activity_get_type())
G_DECLARE_FINAL_TYPE(BkActivity, bk_activity, BK, ACTIVITY, GObject)

/* connection: the session bus; system: the system bus; NULL: none there. */
BkActivity *bk_activity_new(BkEngine *engine, BkSettings *settings, GDBusConnection *connection,
                            GDBusConnection *system);
/* The person did something in one of our windows. */
void bk_activity_touched(BkActivity *activity);

#endif
