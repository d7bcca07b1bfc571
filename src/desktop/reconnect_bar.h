/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/reconnect_bar.h - says that the connection is away, when it is tried again, and offers to do so now. */
#ifndef BK_DESKTOP_RECONNECT_BAR_H
#define BK_DESKTOP_RECONNECT_BAR_H

#include "desktop/app.h"

/* A GtkRevealer's content that shows itself while the engine has a session without a connection. */
#define BK_TYPE_RECONNECT_BAR (bk_reconnect_bar_get_type())
G_DECLARE_FINAL_TYPE(BkReconnectBar, bk_reconnect_bar, BK, RECONNECT_BAR, GtkWidget)
/* Once, after the template that has it was made. */
void bk_reconnect_bar_set_engine(BkReconnectBar *bar, BkEngine *engine);

#endif
