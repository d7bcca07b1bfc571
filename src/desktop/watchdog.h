/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/watchdog.h - notices when the window's thread stands still. */
#ifndef BK_DESKTOP_WATCHDOG_H
#define BK_DESKTOP_WATCHDOG_H

#include <glib.h>

/*
 * For tests and developers (BECKON_WATCHDOG_MS). Whenever the main loop did not turn for longer than limit_ms, a line goes to standard
 * error once it turns again: "watchdog: the window's thread stood still for 812 ms" where it waited for something (a call that blocks),
 * "watchdog-busy: ..." where it worked or waited for a processor. A thread that stands for good is told of every 5 s. Lives until the process
 * ends.
 */
void bk_watchdog_start(unsigned limit_ms);

#endif
