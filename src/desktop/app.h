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
 *   status (s, stateful: a word of bk_pidf_manual_name), talk (s: an address), reply ((ss): address, text), retry-now.
 *
 *            process   session                 windows
 *   close    lives     lives                   hidden; alerts go on
 *   sign-out lives     ended, de-registered    the sign-in page; asks first where text is unsent
 *   exit     ends      ended, de-registered    -; asks likewise
 *   delete   lives     ended                   the sign-in page with the list of what went
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
/* Opens (or raises) the conversation window with that person. */
void bk_app_open_talk(BkApp *app, const char *address);
/* A line at the bottom of the main window. */
void bk_app_toast(BkApp *app, const char *text);

#endif
