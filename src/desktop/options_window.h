/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/options_window.h - personal options, connection, alerts, appearance; what the organisation fixed says so. */
#ifndef BK_DESKTOP_OPTIONS_WINDOW_H
#define BK_DESKTOP_OPTIONS_WINDOW_H

#include "desktop/app.h"

#define BK_TYPE_OPTIONS_WINDOW (bk_options_window_get_type())
G_DECLARE_FINAL_TYPE(BkOptionsWindow, bk_options_window, BK, OPTIONS_WINDOW, AdwPreferencesWindow)
BkOptionsWindow *bk_options_window_new(BkApp *app, GtkWindow *parent);

#endif
