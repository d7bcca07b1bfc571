/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/app_private.h - between the files of the application: app.c, app_options.c, app_session.c, app_leave.c, app_actions.c. */
#ifndef BK_DESKTOP_APP_PRIVATE_H
#define BK_DESKTOP_APP_PRIVATE_H

#include "desktop/alerts.h"
#include "desktop/app.h"
#include "desktop/main_window.h"
#include "desktop/proxy_finder.h"
#include "desktop/secrets.h"

/* What a second start hands to the first is not in here, but in its dictionary. */
extern struct bk_app_options {
    char *profile, *ca, *dns, *server, *fake;
    int discover_port;
    gboolean only_ca, background, debug, version;
    char **addresses;
} bk_app_options;

enum exit_status { EXIT_OK = 0, EXIT_BROKEN = 1, EXIT_USAGE = 2 };

struct _BkApp {
    AdwApplication parent;
    char *profile;
    BkSettings *settings;
    BkAccounts *accounts;
    struct bk_secrets *secrets;      /* outlives the engine's client */
    struct bk_proxy_finder *proxies; /* likewise */
    struct bk_client_guard guard;
    BkEngine *engine;
    BkRoster *roster;
    BkTray *tray;
    BkAlerts *alerts;
    BkActivity *activity; /* NULL until the system's bus answered */
    GCancellable *ending;
    GtkWidget *signin_page;
    /* Made when it is first shown: assistive technologies remember of a hidden window that it is none. */
    BkMainWindow *window;

    /* Of the session, from before the server knows of it; NULL while nobody signs in. */
    BkHistory *history; /* NULL too where nothing is kept */
    BkTalks *talks;
    char *session_address;
    int64_t session_since_ms; /* real time */

    char *talk_wanted; /* an address that was asked for while nobody was signed in */
    char *notice;      /* nothing to do about it, but worth a line; shown when somebody looks */
    bool started;      /* the first command line was looked at */
    guint lost_timer, missed_timer;
    bool missed_told;

    enum { STAYING, SIGNING_OUT, CLOSING, GONE } leaving;
    /* Addresses to be opened at the start that was asked for meanwhile; NULL: it was not. */
    GPtrArray *again;
    bool again_hidden; /* that start wants no window */
    guint leave_timer;
    char *deleting; /* leaving: whose sign-in info goes before the end; NULL: nobody's */
    int status;
};

/* app_options.c */
extern const GOptionEntry bk_app_option_rows[];
/* In the process that was called, before it is known whether another one runs. */
int bk_app_local_options(GApplication *application, GVariantDict *dict);
/* NULL: told on standard error. */
BkEngine *bk_app_create_engine(BkApp *app);
/* The account that signed in last, where no password is needed for it. */
bool bk_app_sign_in_saved(BkApp *app);

/* app_session.c */
void bk_app_hear_engine(BkApp *app);
void bk_app_end_session(BkApp *app);
void bk_app_update_tray(BkApp *app);
void bk_app_update_actions(BkApp *app);
/* Unread, and it waited somewhere. */
bool bk_app_was_missed(BkApp *app, BkTalk *talk);
/* Whose status somebody wanted to hear of, and what their groups are called. */
void bk_app_forget_habits(BkApp *app);

/* app_leave.c */
void bk_app_ask_sign_out(BkApp *app);
void bk_app_ask_exit(BkApp *app);
/* Exit without a question; loses_unsent: the person said so. */
void bk_app_leave(BkApp *app, bool loses_unsent);
/* The session has ended, or was waited for long enough. */
void bk_app_leave_on(BkApp *app);
/* It ends: what is asked for now is for the next start, which is told of the address (NULL: none). */
bool bk_app_is_too_late(BkApp *app, const char *address, bool hidden);

/* app_actions.c */
void bk_app_add_actions(BkApp *app);
GSimpleAction *bk_app_action(BkApp *app, const char *name);

#endif
