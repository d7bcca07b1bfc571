/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/alerts.h - messages, people and lost connections as notifications of the desktop. */
#ifndef BK_DESKTOP_ALERTS_H
#define BK_DESKTOP_ALERTS_H

#include "desktop/roster.h"
#include "desktop/talk.h"

/*
 * org.freedesktop.Notifications (specification 1.2) by hand, because GNotification has no reply in place: where the server has the capability
 * "inline-reply" the text comes back with NotificationReplied, else "Reply" opens the conversation with the cursor in its entry.
 * One notification a conversation, replaced by newer ones, withdrawn when it was read; all are withdrawn when this object goes.
 * A sound by canberra's names through the notification's sound-name hint (message-new-instant), none while SOUNDS is off.
 *
 * Own status Do Not Disturb (or presenting): messages as BK_SETTING_ALERT_IN_DND says ("workgroup": relation 300), people not at all, what
 * is said about the account always; a sound only with BK_SETTING_SOUNDS_IN_DND.
 *
 * Runs the application's actions: "talk" (s) for a click on a message or person, "reply" ((ss)) for an answer in place, "show" for
 * followers; what bk_alerts_say names.
 */
#define BK_TYPE_ALERTS (bk_alerts_get_type())
G_DECLARE_FINAL_TYPE(BkAlerts, bk_alerts, BK, ALERTS, GObject)

/* connection NULL: nothing is ever shown. app outlives it. */
BkAlerts *bk_alerts_new(GApplication *app, GDBusConnection *connection, BkRoster *roster,
                        BkSettings *settings);
/* The session's conversations; NULL: signed out, and what was told of messages and people is withdrawn. */
void bk_alerts_set_talks(BkAlerts *alerts, BkTalks *talks);
/*
 * Something about the account, not about a message; id names it ("credential", "connection") and replaces what had it. action: of the
 * application, detailed ("app.retry-now", "talk::bob@example.org"); a click on the whole runs it, too. button NULL: none, a click shows
 * the window.
 */
void bk_alerts_say(BkAlerts *alerts, const char *id, const char *title, const char *body,
                   const char *button, const char *action);
void bk_alerts_withdraw(BkAlerts *alerts, const char *id);
/* As bk_tray_take_activation_token: for raising a window on Wayland, in an action that a click on a notification runs. Caller frees. */
char *bk_alerts_take_activation_token(BkAlerts *alerts);

#endif
