/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/configuration_window.h - what is in effect here, for whoever helps this person. */
#ifndef BK_DESKTOP_CONFIGURATION_WINDOW_H
#define BK_DESKTOP_CONFIGURATION_WINDOW_H

#include "desktop/app.h"

#define BK_TYPE_CONFIGURATION_WINDOW (bk_configuration_window_get_type())
G_DECLARE_FINAL_TYPE(BkConfigurationWindow, bk_configuration_window, BK, CONFIGURATION_WINDOW,
                     AdwWindow)
/* Account, server, certificate, versions, and every option with where its value comes from; as it is now, and again with each event. */
BkConfigurationWindow *bk_configuration_window_new(BkApp *app, GtkWindow *parent);

#endif
