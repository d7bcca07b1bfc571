/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/settings.h - the options of this computer's user, and what their organisation fixed. No widget. */
#ifndef BK_DESKTOP_SETTINGS_H
#define BK_DESKTOP_SETTINGS_H

#include <gio/gio.h>
#include <stdbool.h>

/*
 * One row per option in the table of settings.c: key, kind, default, title. Read from, the first that has it:
 *   1 the organisation's file /etc/beckon/desktop.conf ($BECKON_POLICY_FILE in its place): such an option is managed
 *   2 $XDG_CONFIG_HOME/beckon/desktop.conf
 *   3 the default.
 * Both are key files with the group [desktop]; man/beckon-desktop.conf.5. What cannot be understood is told by bk_settings_complaints and
 * taken as absent; an unknown key is kept. The file is replaced whole, 300 ms after the last change and at bk_settings_flush.
 * signal "changed", detailed by the key: another value, or managed and no longer so. The organisation's file is read anew within a second
 * of a change ("policy-read": the complaints may be others); what it fixed stays fixed while it cannot be read, and ends with the file.
 */
#define BK_SETTINGS_POLICY_FILE "/etc/beckon/desktop.conf"

enum bk_setting {
    BK_SETTING_START_AT_LOG_ON,    /* bool, true: takes effect with the first good sign-in */
    BK_SETTING_SIGN_IN_AT_START,   /* bool, true */
    BK_SETTING_SHOW_IN_FOREGROUND, /* bool, true: open the window at start */
    BK_SETTING_SAVE_SIGN_IN,       /* bool, true: keep certificate and key */
    BK_SETTING_HISTORY,            /* bool, true */
    BK_SETTING_PICTURES,           /* bool, true */
    BK_SETTING_SOUNDS,             /* bool, true */
    BK_SETTING_SOUNDS_IN_DND,      /* bool, false */
    BK_SETTING_ALERT_MESSAGES,     /* bool, true */
    BK_SETTING_ALERT_TEXT,         /* bool, true: show what was written */
    BK_SETTING_ALERT_FOLLOWERS,    /* bool, true */
    BK_SETTING_ALERT_IN_DND,       /* "none" (default), "workgroup", "all" */
    BK_SETTING_INACTIVE_MIN,       /* int 5, 1 to 360 */
    BK_SETTING_AWAY_MIN,           /* int 5 more, 1 to 360 */
    BK_SETTING_ADDRESS, /* string: expected where nobody signed in yet; "{user}" is the log-on name */
    BK_SETTING_STATUS_AT_SIGN_IN, /* "automatic" (default) or a word of bk_pidf_manual_name */
    BK_SETTING_AUTOMATIC_SERVER,  /* bool, true */
    BK_SETTING_INTERNAL_SERVER,   /* string */
    BK_SETTING_EXTERNAL_SERVER,   /* string */
    BK_SETTING_CA_FILE,           /* string: PEM roots beside the system's */
    BK_SETTING_CONNECT_DIRECTLY,  /* bool, false: use no proxy, whatever the desktop is set to */
    BK_SETTING_COLOUR_SCHEME,     /* "system" (default), "light", "dark" */
    BK_SETTING_CONTACTS_BY,       /* "group" (default), "status" */
    BK_SETTING_SHOW_OFFLINE,      /* bool, true */
    BK_SETTING_HELP_LINK,         /* string: under every error, the organisation's own help */
    BK_SETTING_CLOSE_EXPLAINED,   /* bool, false: the first Close was explained */
    BK_SETTING_TAGGED,            /* string: addresses, blanks between */
    BK_SETTING_CONTACTS_CLOSED,   /* string: bk_contact_model_collapsed */
    BK_SETTING_COUNT,
};

#define BK_TYPE_SETTINGS (bk_settings_get_type())
G_DECLARE_FINAL_TYPE(BkSettings, bk_settings, BK, SETTINGS, GObject)

/* NULL: the places above. */
BkSettings *bk_settings_new(const char *file, const char *policy_file);
bool bk_settings_bool(BkSettings *settings, enum bk_setting which);
int bk_settings_int(BkSettings *settings, enum bk_setting which);
const char *bk_settings_string(BkSettings *settings, enum bk_setting which); /* until it changes */
/* False and nothing changed: managed, or not a value of this option. */
bool bk_settings_set_bool(BkSettings *settings, enum bk_setting which, bool value);
bool bk_settings_set_int(BkSettings *settings, enum bk_setting which, int value);
bool bk_settings_set_string(BkSettings *settings, enum bk_setting which, const char *value);
bool bk_settings_is_managed(BkSettings *settings, enum bk_setting which);
/* The person chose it (it is in the second file), whether it is in effect or not. */
bool bk_settings_is_set(BkSettings *settings, enum bk_setting which);
const char *bk_setting_key(enum bk_setting which); /* "start-at-log-on" */
/* What it is called for people, in their language. */
const char *bk_setting_title(enum bk_setting which);
/* GStrv: file, line and what is wrong there; empty where all is well. Until "policy-read". */
const char *const *bk_settings_complaints(BkSettings *settings);
void bk_settings_flush(BkSettings *settings);

/*
 * Writes or removes $XDG_CONFIG_HOME/autostart/<application id>.desktop as START_AT_LOG_ON says; where an entry for everybody has to
 * be overruled it is written as hidden. Negative errno.
 */
int bk_settings_apply_autostart(BkSettings *settings, const char *program);

#endif
