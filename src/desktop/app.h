/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/app.h - the application: owns engine, model, windows, icon; Close, Sign Out, Exit, Delete. */
#ifndef BK_DESKTOP_APP_H
#define BK_DESKTOP_APP_H

#include "desktop/accounts.h"
#include "desktop/activity.h"
#include "desktop/engine.h"
#include "desktop/history.h"
#include "desktop/roster.h"
#include "desktop/settings.h"
#include "desktop/talk.h"
#include "desktop/tray.h"
#include <adwaita.h>

#define BK_APP_ID "org.beckon.Beckon"

/*
 * Actions of the application (menus, tray, keyboard and D-Bus use the same ones):
 *   show, sign-out, sign-in, exit (Ctrl+Q), close (Ctrl+W), options (Ctrl+comma), delete-sign-in-info, configuration-information, about,
 *   status (s, stateful: a word of bk_pidf_manual_name), talk (s: an address), history, reply ((ss): address, text), retry-now,
 *   search (Ctrl+F), shortcuts (Ctrl+?), missed (opens what came while nobody was here).
 *
 *            process   session                 windows
 *   close    lives     lives                   hidden; alerts go on
 *   sign-out lives     ended, de-registered    the sign-in page; asks first where text is unsent
 *   exit     ends      ended, de-registered    -; asks likewise
 *   delete   lives     ended                   the sign-in page with the list of what went
 *
 * properties, read-only, with notify: "talks" (BkTalks; NULL while nobody is signed in).
 */
#define BK_TYPE_APP (bk_app_get_type())
G_DECLARE_FINAL_TYPE(BkApp, bk_app, BK, APP, AdwApplication)

BkApp *bk_app_new(void);
BkApp *bk_app_default(void);
BkEngine *bk_app_engine(BkApp *app);
BkSettings *bk_app_settings(BkApp *app);
BkRoster *bk_app_roster(BkApp *app);
/* Of the session; NULL while nobody is signed in. */
BkTalks *bk_app_talks(BkApp *app);
BkHistory *bk_app_history(BkApp *app);
BkTray *bk_app_tray(BkApp *app);
BkActivity *bk_app_activity(BkApp *app);
BkAccounts *bk_app_accounts(BkApp *app);
/* The folder of the engine's profile; histories lie in it, too. */
const char *bk_app_profile(BkApp *app);
/* "primary-menu" or "tray-menu" of data/desktop/gtk/menus.ui. */
GMenuModel *bk_app_menu(BkApp *app, const char *id);
/* The main window, made where there is none; to the front, with what is to be done there. */
void bk_app_show(BkApp *app);
/*
 * With the connection and the first status of the options. password and user as bk_client_sign_in. 0, or negative errno with
 * *ret_why (g_free) where a server or a file of the options cannot be used.
 */
int bk_app_sign_in(BkApp *app, const char *address, const char *password, const char *user,
                   char **ret_why);
/* Asks, then does all of "Delete my sign-in info"; the result stands on the sign-in page. */
void bk_app_delete_sign_in_info(BkApp *app, const char *address);
/* "Keep me signed in" is off: nothing of who signs in stays on this computer. */
bool bk_app_keeps_nothing(BkApp *app);
/* What was said with an address that is not signed in: bytes on disk, and away with it (0 or negative errno). */
uint64_t bk_app_history_size(BkApp *app, const char *address);
int bk_app_delete_history(BkApp *app, const char *address);
/* What the process ends with. */
int bk_app_status(BkApp *app);
/*
 * Somebody started Beckon while it was ending: the arguments (without the program's name) to start it with, once it has ended. NULL: nobody
 * did. Caller frees.
 */
char **bk_app_again(BkApp *app);
/* Where this program lies. NULL: not known. Caller frees. */
char *bk_app_program(void);
/* Opens (or raises) the conversation window with that person; after the sign-in where nobody is signed in. */
void bk_app_open_talk(BkApp *app, const char *address);
/* A line at the bottom of the main window. */
void bk_app_toast(BkApp *app, const char *text);

#endif
