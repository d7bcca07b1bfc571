/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/tray.h - the icon in the notification area: StatusNotifierItem and com.canonical.dbusmenu, no library. */
#ifndef BK_DESKTOP_TRAY_H
#define BK_DESKTOP_TRAY_H

#include <gio/gio.h>
#include <stdbool.h>

/*
 * Registers with each watcher that appears, again after the panel restarted. The menu is a GMenuModel whose actions are the
 * application's ("app.exit"), with sections and submenus; enabled and state changes are told. Events are answered before the action runs.
 * property "present" boolean (notify): a host shows it (IsStatusNotifierHostRegistered); without one a closed Beckon is found otherwise.
 *
 * Understood of the menu: label, action, target, icon (themed), submenu-action is not; sections (a line between two that are not
 * empty), submenus, hidden-when ("action-missing", "action-disabled"). An action with a state is a check mark (boolean) or, with a
 * target, a radio mark. The model may change at any time.
 *
 * Sources: freedesktop.org "StatusNotifierItem" as KDE's panel speaks it (org.kde names), dbusmenu's XML of libdbusmenu 16.04.
 */
#define BK_TYPE_TRAY (bk_tray_get_type())
G_DECLARE_FINAL_TYPE(BkTray, bk_tray, BK, TRAY, GObject)

/*
 * app: registered (so from startup on, not before), outlives the tray; on its connection to the session bus. Without one the tray is
 * never present. activate_action: what a click runs, "show" or "app.show".
 */
BkTray *bk_tray_new(GApplication *app, GMenuModel *menu, const char *activate_action);
bool bk_tray_is_present(BkTray *tray);
/*
 * icon: a named icon of ours ("beckon-status-busy"); tooltip: "ann@example.org: Busy" (plain text; the number of unread messages is
 * added here). unread: the icon asks for attention (NeedsAttention) until it is 0.
 * Panels whose theme lacks our icons get pixmaps, drawn from the application's resources.
 */
void bk_tray_set(BkTray *tray, const char *icon, const char *tooltip, unsigned unread);
/*
 * What the panel gave for raising a window on Wayland (xdg-activation), once; NULL: nothing. For gtk_window_set_startup_id just
 * before gtk_window_present, in the activate action. Caller frees.
 */
char *bk_tray_take_activation_token(BkTray *tray);

#endif
