/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/proxy_dialog.h - asks for the user name and password that a proxy wants (SI-306a). */
#ifndef BK_DESKTOP_PROXY_DIALOG_H
#define BK_DESKTOP_PROXY_DIALOG_H

#include "desktop/engine.h"
#include "desktop/proxy_finder.h"

#include <adwaita.h>

/* The failure is about a proxy that wants a login; its name, "proxy.example.org:3128". NULL: no. */
const char *bk_proxy_dialog_wanted(const struct bk_client_failure *failure);
/* What is entered goes to the finder, and the engine tries again at once. Nothing happens where no proxy asks. */
void bk_proxy_dialog_open(GtkWindow *parent, BkEngine *engine, struct bk_proxy_finder *finder);

#endif
