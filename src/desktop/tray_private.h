/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/tray_private.h - the icon in two parts: tray.c is the item and its watcher, tray_menu.c the menu that panels ask for. */
#ifndef BK_DESKTOP_TRAY_PRIVATE_H
#define BK_DESKTOP_TRAY_PRIVATE_H

#include "desktop/tray.h"

#define BK_TRAY_MENU "com.canonical.dbusmenu"
#define BK_TRAY_MENU_PATH "/MenuBar"

/* One entry of the menu as the panel sees it; 0 is the menu itself. */
struct bk_tray_entry {
    int id, parent;
    char *label, *icon; /* label NULL: a separator */
    char *action;       /* of the application, without "app."; NULL: none */
    GVariant *target;   /* NULL: none */
    char *hidden_when;  /* NULL: never */
    gboolean is_submenu;
    GArray *children; /* of int */
    GVariant *told;   /* the properties as the panel knows them */
};

struct _BkTray {
    GObject parent;
    GApplication *app; /* not owned */
    GDBusConnection *bus;
    char *activate_action, *icon, *tooltip, *token;
    unsigned unread;
    gboolean present;

    GMenuModel *menu;
    GPtrArray *models;   /* of GMenuModel: the menu and all that it links to, listened to */
    GPtrArray *entries;  /* of struct bk_tray_entry; the first is the menu itself */
    GHashTable *numbers; /* what an entry is -> its id, so that one keeps its id over changes */
    int next_id;
    guint revision, rebuild_idle, told_idle;

    GCancellable *watcher; /* of calls to the watcher that is there now; NULL: none */
    guint watch, hosts, registered[2];
};

/* ---- tray_menu.c ---- */

void bk_tray_entry_free(struct bk_tray_entry *entry);
/* Makes the entries anew from the model, and listens to all that it links to. */
void bk_tray_read_menu(BkTray *tray);
/* Takes floating parameters; without a bus nothing happens. */
void bk_tray_emit(BkTray *tray, const char *path, const char *interface, const char *signal,
                  GVariant *parameters);
void bk_tray_actions_changed(BkTray *tray);
/* The action of the application, once the call that asks for it is answered. */
void bk_tray_run_later(BkTray *tray, const char *action, GVariant *target);
/* GetLayout and the rest, for the object at BK_TRAY_MENU_PATH. */
extern const GDBusInterfaceVTable bk_tray_menu_calls;

#endif
