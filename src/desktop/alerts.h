/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/alerts.h - messages, people and lost connections as notifications of the desktop. */
#ifndef BK_DESKTOP_ALERTS_H
#define BK_DESKTOP_ALERTS_H

#include "desktop/roster.h"
#include "desktop/talk.h"

/*
 * org.freedesktop.Notifications by hand, because GNotification has no reply in place: where the server has the capability
 * "inline-reply" the text comes back with NotificationReplied, else "Reply" opens the conversation with the cursor in its entry.
 * One notification a conversation, replaced by newer ones, withdrawn when it was read. Own status DND: as BK_SETTING_ALERT_IN_DND says.
 * A sound by canberra's names through the notification's sound-name hint (message-new-instant), none while SOUNDS is off.
 */
#define BK_TYPE_ALERTS (bk_alerts_get_type())
G_DECLARE_FINAL_TYPE(BkAlerts, bk_alerts, BK, ALERTS, GObject)

BkAlerts *bk_alerts_new(GApplication *app, GDBusConnection *connection, BkRoster *roster,
                        BkSettings *settings);
/* The session's conversations; NULL: signed out, all is withdrawn. */
void bk_alerts_set_talks(BkAlerts *alerts, BkTalks *talks);
/* Something about the account, not about a message; id names it ("credential", "connection") and replaces what had it. action: of the application. */
void bk_alerts_say(BkAlerts *alerts, const char *id, const char *title, const char *body,
                   const char *button, const char *action);
void bk_alerts_withdraw(BkAlerts *alerts, const char *id);

#endif
