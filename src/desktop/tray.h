/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/tray.h - the icon in the notification area: StatusNotifierItem and com.canonical.dbusmenu, no library. */
#ifndef BK_DESKTOP_TRAY_H
#define BK_DESKTOP_TRAY_H

#include <gio/gio.h>
#include <stdbool.h>

/*
 * Registers with each watcher that appears, again after the panel restarted. The menu is a GMenuModel whose actions are the
 * application's ("app.exit"), with sections and submenus; enabled and state changes are told. Events are answered before the action runs.
 * property "present" boolean: a host shows it (IsStatusNotifierHostRegistered); without one a closed Beckon is found otherwise.
 */
#define BK_TYPE_TRAY (bk_tray_get_type())
G_DECLARE_FINAL_TYPE(BkTray, bk_tray, BK, TRAY, GObject)

BkTray *bk_tray_new(GApplication *app, GMenuModel *menu, const char *activate_action);
bool bk_tray_is_present(BkTray *tray);
/* icon: a named icon of ours ("beckon-status-busy"); title and tooltip: "Beckon", "ann@example.org: Busy"; attention: unread. */
void bk_tray_set(BkTray *tray, const char *icon, const char *tooltip, unsigned unread);
/* The icon's pixmaps for panels with another theme, from the application's resources. */

#endif
