/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/settings.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>
#include <string.h>

enum {
    FILE_MAX = 64 * 1024,
    WRITE_AFTER_MS = 300,
    TEXT_MAX = 16 * 1024,
    READ_AFTER_MS = 200, /* the organisation's file, when nothing happened to it for so long */
};

enum kind { KIND_BOOL, KIND_INT, KIND_CHOICE, KIND_TEXT };

/* ---- the table ---- */

static const char *const dnd_choices[] = { "none", "workgroup", "all", NULL };
static const char *const scheme_choices[] = { "system", "light", "dark", NULL };
static const char *const view_choices[] = { "group", "status", NULL };
/* The words of bk_pidf_manual_name; a test holds them against it. */
static const char *const status_choices[] = { "automatic", "busy",    "dnd",     "brb",
                                              "away",      "offwork", "offline", NULL };

static const struct row {
    const char *key;
    enum kind kind;
    const char *fallback; /* as it would stand in the file */
    const char *const *choices;
    int min, max;
    const char *title;
} rows[BK_SETTING_COUNT] = {
    [BK_SETTING_START_AT_LOG_ON] = { "start-at-log-on", KIND_BOOL, "true",
                                     .title = N_("Start when I log on to this computer") },
    [BK_SETTING_SIGN_IN_AT_START] = { "sign-in-at-start", KIND_BOOL, "true",
                                      .title = N_("Sign in when Beckon starts") },
    [BK_SETTING_SHOW_IN_FOREGROUND] = { "show-in-foreground", KIND_BOOL, "true",
                                        .title = N_("Show the window when Beckon starts") },
    [BK_SETTING_SAVE_SIGN_IN] = { "save-sign-in", KIND_BOOL, "true",
                                  .title = N_("Keep me signed in on this computer") },
    [BK_SETTING_HISTORY] = { "history", KIND_BOOL, "true",
                             .title = N_("Keep conversations on this computer") },
    [BK_SETTING_PICTURES] = { "pictures", KIND_BOOL, "true", .title = N_("Show pictures") },
    [BK_SETTING_SOUNDS] = { "sounds", KIND_BOOL, "true", .title = N_("Play sounds") },
    [BK_SETTING_SOUNDS_IN_DND] = { "sounds-in-dnd", KIND_BOOL, "false",
                                   .title = N_("Play sounds while I am on Do Not Disturb") },
    [BK_SETTING_ALERT_MESSAGES] = { "alert-messages", KIND_BOOL, "true",
                                    .title = N_("Tell me about new messages") },
    [BK_SETTING_ALERT_TEXT] = { "alert-text", KIND_BOOL, "true",
                                .title = N_("Show what was written") },
    [BK_SETTING_ALERT_FOLLOWERS] = { "alert-followers", KIND_BOOL, "true",
                                     .title = N_("Tell me when somebody adds me") },
    [BK_SETTING_ALERT_IN_DND] = { "alert-in-dnd", KIND_CHOICE, "none", dnd_choices,
                                  .title = N_("While I am on Do Not Disturb") },
    [BK_SETTING_INACTIVE_MIN] = { "inactive-minutes", KIND_INT, "5", NULL, 1, 360,
                                  N_("Show me as inactive after") },
    [BK_SETTING_AWAY_MIN] = { "away-minutes", KIND_INT, "5", NULL, 1, 360,
                              N_("Show me as away after further") },
    [BK_SETTING_ADDRESS] = { "address", KIND_TEXT, "", .title = N_("Expected sign-in address") },
    [BK_SETTING_STATUS_AT_SIGN_IN] = { "status-at-sign-in", KIND_CHOICE, "automatic",
                                       status_choices, .title = N_("Sign in as") },
    [BK_SETTING_AUTOMATIC_SERVER] = { "automatic-server", KIND_BOOL, "true",
                                      .title = N_("Find the server automatically") },
    [BK_SETTING_INTERNAL_SERVER] = { "internal-server", KIND_TEXT, "",
                                     .title = N_("Internal server") },
    [BK_SETTING_EXTERNAL_SERVER] = { "external-server", KIND_TEXT, "",
                                     .title = N_("External server") },
    [BK_SETTING_CA_FILE] = { "ca-file", KIND_TEXT, "", .title = N_("Additional certificate authorities") },
    [BK_SETTING_CONNECT_DIRECTLY] = { "connect-directly", KIND_BOOL, "false",
                                      .title = N_("Connect directly, without a proxy") },
    [BK_SETTING_COLOUR_SCHEME] = { "colour-scheme", KIND_CHOICE, "system", scheme_choices,
                                   .title = N_("Colours") },
    [BK_SETTING_CONTACTS_BY] = { "contacts-by", KIND_CHOICE, "group", view_choices,
                                 .title = N_("Sort contacts by") },
    [BK_SETTING_SHOW_OFFLINE] = { "show-offline", KIND_BOOL, "true",
                                  .title = N_("Show contacts who are offline") },
    [BK_SETTING_HELP_LINK] = { "help-link", KIND_TEXT, "", .title = N_("Help page") },
    [BK_SETTING_CLOSE_EXPLAINED] = { "close-explained", KIND_BOOL, "false",
                                     .title = N_("Closing the window was explained") },
    [BK_SETTING_TAGGED] = { "tagged", KIND_TEXT, "", .title = N_("Alert me about the status of") },
    [BK_SETTING_CONTACTS_CLOSED] = { "contacts-closed", KIND_TEXT, "",
                                     .title = N_("Groups that are closed") },
};

static int row_of_key(const char *key)
{
    for (int i = 0; i < BK_SETTING_COUNT; i++)
        if (strcmp(rows[i].key, key) == 0)
            return i;
    return -1;
}

const char *bk_setting_key(enum bk_setting which)
{
    return rows[which].key;
}

const char *bk_setting_title(enum bk_setting which)
{
    return _(rows[which].title);
}

static bool is_text(const char *value)
{
    for (const char *at = value; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            return false;
    return strlen(value) <= TEXT_MAX && g_utf8_validate(value, -1, NULL);
}

static char *complaint_about_choice(const struct row *row)
{
    g_autofree char *choices = g_strjoinv(", ", (char **)(uintptr_t)row->choices);
    return g_strdup_printf("%s is one of %s", row->key, choices);
}

/* What is wrong with that text as a value of this row; NULL: nothing. In the language of the log, as file formats are. */
static char *complaint_about(const struct row *row, const char *value)
{
    char *end;
    long n;
    switch (row->kind) {
    case KIND_BOOL:
        return strcmp(value, "true") == 0 || strcmp(value, "false") == 0
                   ? NULL
                   : g_strdup_printf("%s is true or false", row->key);
    case KIND_INT:
        errno = 0;
        n = strtol(value, &end, 10);
        return !errno && *value && !*end && n >= row->min && n <= row->max
                   ? NULL
                   : g_strdup_printf("%s is a number from %d to %d", row->key, row->min, row->max);
    case KIND_CHOICE:
        return g_strv_contains(row->choices, value) ? NULL : complaint_about_choice(row);
    case KIND_TEXT:
        break;
    }
    return is_text(value) ? NULL : g_strdup_printf("%s is one line of text in UTF-8", row->key);
}

/* ---- the object ---- */

/* The file as it goes to disk, by whichever thread: never an older state over a newer one. */
struct store {
    grefcount refs;
    char *path;
    GMutex lock;
    unsigned written; /* the number of the state on disk */
};

struct _BkSettings {
    GObject parent;
    char *value[BK_SETTING_COUNT];  /* NULL: the fallback */
    char *policy[BK_SETTING_COUNT]; /* NULL: not managed */
    GPtrArray *lines;               /* of the user's file, as they stand there */
    GPtrArray *complaints;          /* NULL-terminated; those about the user's file come first */
    guint n_own_complaints;
    char *policy_path;
    GFileMonitor *policy_watch; /* NULL: not possible */
    guint policy_timer;
    struct store *store;
    unsigned state; /* counts changes; written when store->written is the same */
    guint timer;
};
G_DEFINE_TYPE(BkSettings, bk_settings, G_TYPE_OBJECT)

static guint changed_signal, policy_signal;

static void store_unref(gpointer p)
{
    struct store *store = p;
    if (!g_ref_count_dec(&store->refs))
        return;
    g_mutex_clear(&store->lock);
    g_free(store->path);
    g_free(store);
}

static int store_write(struct store *store, const char *text, unsigned state)
{
    g_mutex_lock(&store->lock);
    int r = 0;
    if ((int)(state - store->written) > 0) {
        g_autofree char *folder = g_path_get_dirname(store->path);
        r = g_mkdir_with_parents(folder, 0700) < 0
                ? -errno
                : bk_file_replace(store->path, bk_view_of_str(text), 0600);
        if (r == 0)
            store->written = state;
    }
    g_mutex_unlock(&store->lock);
    return r;
}

/* ---- reading ---- */

static void complain(BkSettings *settings, const char *path, size_t line, char *what)
{
    g_ptr_array_remove_index(settings->complaints, settings->complaints->len - 1);
    g_ptr_array_add(settings->complaints, line ? g_strdup_printf("%s:%zu: %s", path, line, what)
                                               : g_strdup_printf("%s: %s", path, what));
    g_ptr_array_add(settings->complaints, NULL);
    g_free(what);
}

enum line_kind { LINE_NOTHING, LINE_GROUP, LINE_PAIR, LINE_BAD };

/* Splits a line without changing it; *ret_key and *ret_value are the caller's to free. */
static enum line_kind read_line(const char *line, char **ret_key, char **ret_value)
{
    g_autofree char *plain = g_strstrip(g_strdup(line));
    size_t len = strlen(plain);
    if (!len || plain[0] == '#')
        return LINE_NOTHING;
    if (plain[0] == '[' && plain[len - 1] == ']') {
        *ret_key = g_strndup(plain + 1, len - 2);
        return LINE_GROUP;
    }
    char *equals = strchr(plain, '=');
    if (!equals || equals == plain)
        return LINE_BAD;
    *ret_key = g_strchomp(g_strndup(plain, (size_t)(equals - plain)));
    *ret_value = g_strchug(g_strdup(equals + 1));
    return LINE_PAIR;
}

static void take_pair(BkSettings *settings, char **values, const char *path, size_t line,
                      const char *key, const char *value)
{
    int which = row_of_key(key);
    if (which < 0) /* of a newer Beckon */
        return;
    char *wrong = complaint_about(&rows[which], value);
    if (wrong) {
        complain(settings, path, line, wrong);
        return;
    }
    g_free(values[which]);
    values[which] = g_strdup(value);
}

/* 0, -ENOENT or what else keeps it from being read, which is told. */
static int read_file(BkSettings *settings, const char *path, char **values, GPtrArray *keep)
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    int r = bk_file_read(path, FILE_MAX, &text);
    if (r == -ENOENT)
        return r;
    if (r < 0 || memchr(text.at ? text.at : "", 0, text.len)) {
        complain(settings, path, 0, g_strdup(r < 0 ? g_strerror(-r) : "no text file"));
        return r < 0 ? r : -EINVAL;
    }
    g_autofree char *copy = g_strndup(text.at ? text.at : "", text.len);
    g_auto(GStrv) lines = g_strsplit(copy, "\n", -1);
    bool ours = false;
    for (size_t i = 0; lines[i]; i++) {
        g_autofree char *key = NULL, *value = NULL;
        if (keep && (lines[i + 1] || *lines[i])) /* not what stands behind the last end of line */
            g_ptr_array_add(keep, g_strdup(lines[i]));
        switch (read_line(lines[i], &key, &value)) {
        case LINE_GROUP:
            ours = strcmp(key, "desktop") == 0;
            break;
        case LINE_PAIR:
            if (ours)
                take_pair(settings, values, path, i + 1, key, value);
            break;
        case LINE_BAD:
            complain(settings, path, i + 1, g_strdup("neither [group] nor key=value"));
            break;
        case LINE_NOTHING:
            break;
        }
    }
    return 0;
}

/* ---- writing ---- */

static char *whole_file(BkSettings *settings)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < settings->lines->len; i++)
        g_string_append_printf(text, "%s\n", (const char *)settings->lines->pdata[i]);
    return g_string_free(text, FALSE);
}

/* Puts the pair where its key stands, else at the end of the group, which is made where it is missing. */
static void put_line(BkSettings *settings, const char *key, const char *value)
{
    char *line = g_strdup_printf("%s=%s", key, value);
    GPtrArray *lines = settings->lines;
    int end = -1;
    bool ours = false;
    for (guint i = 0; i < lines->len; i++) {
        g_autofree char *k = NULL, *v = NULL;
        enum line_kind kind = read_line(lines->pdata[i], &k, &v);
        if (kind == LINE_GROUP)
            ours = strcmp(k, "desktop") == 0;
        if (!ours)
            continue;
        if (kind != LINE_NOTHING)
            end = (int)i + 1;
        if (kind == LINE_PAIR && strcmp(k, key) == 0) {
            g_free(lines->pdata[i]);
            lines->pdata[i] = line;
            return;
        }
    }
    if (end < 0) {
        g_ptr_array_add(lines, g_strdup("[desktop]"));
        end = (int)lines->len;
    }
    g_ptr_array_insert(lines, end, line);
}

struct write_job {
    struct store *store;
    char *text;
    unsigned state;
};

static void write_job_free(gpointer p)
{
    struct write_job *job = p;
    store_unref(job->store);
    g_free(job->text);
    g_free(job);
}

static void run_write_job(GTask *task, gpointer source, gpointer p, GCancellable *cancellable)
{
    (void)source;
    (void)cancellable;
    struct write_job *job = p;
    int r = store_write(job->store, job->text, job->state);
    if (r < 0)
        g_warning("%s: %s", job->store->path, g_strerror(-r));
    g_task_return_boolean(task, r == 0);
}

static gboolean write_later(gpointer p)
{
    BkSettings *settings = p;
    settings->timer = 0;
    struct write_job *job = g_new0(struct write_job, 1);
    g_ref_count_inc(&settings->store->refs);
    job->store = settings->store;
    job->text = whole_file(settings);
    job->state = settings->state;
    g_autoptr(GTask) task = g_task_new(NULL, NULL, NULL, NULL);
    g_task_set_task_data(task, job, write_job_free);
    g_task_run_in_thread(task, run_write_job);
    return G_SOURCE_REMOVE;
}

void bk_settings_flush(BkSettings *settings)
{
    g_clear_handle_id(&settings->timer, g_source_remove);
    if (!settings->state)
        return;
    g_autofree char *text = whole_file(settings);
    int r = store_write(settings->store, text, settings->state);
    if (r < 0)
        g_warning("%s: %s", settings->store->path, g_strerror(-r));
}

/* ---- values ---- */

static const char *value_of(BkSettings *settings, enum bk_setting which)
{
    if (settings->policy[which])
        return settings->policy[which];
    return settings->value[which] ? settings->value[which] : rows[which].fallback;
}

bool bk_settings_bool(BkSettings *settings, enum bk_setting which)
{
    g_return_val_if_fail(rows[which].kind == KIND_BOOL, false);
    return strcmp(value_of(settings, which), "true") == 0;
}

int bk_settings_int(BkSettings *settings, enum bk_setting which)
{
    g_return_val_if_fail(rows[which].kind == KIND_INT, 0);
    return (int)strtol(value_of(settings, which), NULL, 10);
}

const char *bk_settings_string(BkSettings *settings, enum bk_setting which)
{
    return value_of(settings, which);
}

bool bk_settings_is_managed(BkSettings *settings, enum bk_setting which)
{
    return settings->policy[which] != NULL;
}

bool bk_settings_is_set(BkSettings *settings, enum bk_setting which)
{
    return settings->value[which] != NULL;
}

const char *const *bk_settings_complaints(BkSettings *settings)
{
    return (const char *const *)settings->complaints->pdata;
}

static bool set(BkSettings *settings, enum bk_setting which, const char *value)
{
    g_autofree char *wrong = complaint_about(&rows[which], value);
    if (settings->policy[which] || wrong)
        return false;
    if (strcmp(value_of(settings, which), value) == 0)
        return true;
    g_free(settings->value[which]);
    settings->value[which] = g_strdup(value);
    put_line(settings, rows[which].key, value);
    settings->state++;
    if (!settings->timer)
        settings->timer = g_timeout_add(WRITE_AFTER_MS, write_later, settings);
    g_signal_emit(settings, changed_signal, g_quark_from_static_string(rows[which].key));
    return true;
}

bool bk_settings_set_bool(BkSettings *settings, enum bk_setting which, bool value)
{
    g_return_val_if_fail(rows[which].kind == KIND_BOOL, false);
    return set(settings, which, value ? "true" : "false");
}

bool bk_settings_set_int(BkSettings *settings, enum bk_setting which, int value)
{
    g_return_val_if_fail(rows[which].kind == KIND_INT, false);
    g_autofree char *text = g_strdup_printf("%d", value);
    return set(settings, which, text);
}

bool bk_settings_set_string(BkSettings *settings, enum bk_setting which, const char *value)
{
    g_autofree char *plain = g_strstrip(g_strdup(value));
    return set(settings, which, plain);
}

/* ---- the organisation's file, while the program runs ---- */

static void drop_policy_complaints(BkSettings *settings)
{
    g_ptr_array_set_size(settings->complaints, (int)settings->n_own_complaints);
    g_ptr_array_add(settings->complaints, NULL);
}

/* One that cannot be read (any more) fixes what it fixed before. */
static gboolean read_policy(gpointer p)
{
    g_autoptr(BkSettings) settings = g_object_ref(p);
    char *values[BK_SETTING_COUNT] = { 0 };
    bool other[BK_SETTING_COUNT];
    settings->policy_timer = 0;
    drop_policy_complaints(settings);
    int r = read_file(settings, settings->policy_path, values, NULL);
    for (int i = 0; i < BK_SETTING_COUNT; i++) {
        other[i] = (r == 0 || r == -ENOENT) && g_strcmp0(values[i], settings->policy[i]) != 0;
        if (!other[i])
            continue;
        g_free(settings->policy[i]);
        settings->policy[i] = g_steal_pointer(&values[i]);
    }
    g_signal_emit(settings, policy_signal, 0);
    for (int i = 0; i < BK_SETTING_COUNT; i++) {
        if (other[i])
            g_signal_emit(settings, changed_signal, g_quark_from_static_string(rows[i].key));
        g_free(values[i]);
    }
    return G_SOURCE_REMOVE;
}

/* Whoever writes it may do so in many steps. */
static void policy_touched(BkSettings *settings)
{
    g_clear_handle_id(&settings->policy_timer, g_source_remove);
    settings->policy_timer = g_timeout_add(READ_AFTER_MS, read_policy, settings);
}

static void watch_policy(BkSettings *settings)
{
    g_autoptr(GFile) policy = g_file_new_for_path(settings->policy_path);
    settings->policy_watch = g_file_monitor_file(policy, G_FILE_MONITOR_WATCH_MOVES, NULL, NULL);
    if (settings->policy_watch)
        g_signal_connect_object(settings->policy_watch, "changed", G_CALLBACK(policy_touched),
                                settings, G_CONNECT_SWAPPED);
}

/* ---- life ---- */

static void finalize(GObject *object)
{
    BkSettings *settings = BK_SETTINGS(object);
    g_clear_handle_id(&settings->policy_timer, g_source_remove);
    if (settings->policy_watch)
        (void)g_file_monitor_cancel(settings->policy_watch);
    g_clear_object(&settings->policy_watch);
    g_free(settings->policy_path);
    bk_settings_flush(settings);
    for (int i = 0; i < BK_SETTING_COUNT; i++) {
        g_free(settings->value[i]);
        g_free(settings->policy[i]);
    }
    g_ptr_array_unref(settings->lines);
    g_ptr_array_unref(settings->complaints);
    store_unref(settings->store);
    G_OBJECT_CLASS(bk_settings_parent_class)->finalize(object);
}

static void bk_settings_class_init(BkSettingsClass *class)
{
    G_OBJECT_CLASS(class)->finalize = finalize;
    changed_signal =
        g_signal_new("changed", BK_TYPE_SETTINGS, G_SIGNAL_RUN_LAST | G_SIGNAL_DETAILED, 0, NULL,
                     NULL, NULL, G_TYPE_NONE, 0);
    policy_signal = g_signal_new("policy-read", BK_TYPE_SETTINGS, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                 NULL, G_TYPE_NONE, 0);
}

static void bk_settings_init(BkSettings *settings)
{
    settings->lines = g_ptr_array_new_with_free_func(g_free);
    settings->complaints = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(settings->complaints, NULL);
}

BkSettings *bk_settings_new(const char *file, const char *policy_file)
{
    BkSettings *settings = g_object_new(BK_TYPE_SETTINGS, NULL);
    const char *policy = policy_file ? policy_file : g_getenv("BECKON_POLICY_FILE");
    settings->store = g_new0(struct store, 1);
    g_ref_count_init(&settings->store->refs);
    g_mutex_init(&settings->store->lock);
    settings->store->path =
        file ? g_strdup(file)
             : g_build_filename(g_get_user_config_dir(), "beckon", "desktop.conf", NULL);
    settings->policy_path = g_strdup(policy && *policy ? policy : BK_SETTINGS_POLICY_FILE);
    (void)read_file(settings, settings->store->path, settings->value, settings->lines);
    settings->n_own_complaints = settings->complaints->len - 1;
    watch_policy(settings); /* before it is read: nothing is missed in between */
    (void)read_file(settings, settings->policy_path, settings->policy, NULL);
    return settings;
}

/* ---- starting with the desktop ---- */

/* An entry that the system's packages or the administrator put in place for everybody. */
static bool everybody_starts(const char *name)
{
    const char *const *folders = g_get_system_config_dirs();
    for (size_t i = 0; folders[i]; i++) {
        g_autofree char *path = g_build_filename(folders[i], "autostart", name, NULL);
        if (g_file_test(path, G_FILE_TEST_EXISTS))
            return true;
    }
    return false;
}

int bk_settings_apply_autostart(BkSettings *settings, const char *program)
{
    static const char name[] = "org.beckon.Beckon.desktop";
    bool starts = bk_settings_bool(settings, BK_SETTING_START_AT_LOG_ON);
    g_autofree char *folder = g_build_filename(g_get_user_config_dir(), "autostart", NULL);
    g_autofree char *path = g_build_filename(folder, name, NULL);
    if (!starts && !everybody_starts(name))
        return g_unlink(path) < 0 && errno != ENOENT ? -errno : 0;
    g_autoptr(GString) quoted = g_string_new(program);
    /* Desktop Entry Specification, "The Exec key": twice escaped, as a string and as an argument; a % is doubled. */
    g_string_replace(quoted, "\\", "\\\\\\\\", 0);
    g_string_replace(quoted, "\"", "\\\\\"", 0);
    g_string_replace(quoted, "`", "\\\\`", 0);
    g_string_replace(quoted, "$", "\\\\$", 0);
    g_string_replace(quoted, "%", "%%", 0);
    g_autofree char *text = g_strdup_printf("[Desktop Entry]\n"
                                            "Type=Application\n"
                                            "Name=Beckon\n"
                                            "Icon=org.beckon.Beckon\n"
                                            "Exec=\"%s\" --background\n"
                                            "X-GNOME-UsesNotifications=true\n"
                                            "%s",
                                            quoted->str, starts ? "" : "Hidden=true\n");
    g_autofree char *before = NULL;
    if (g_file_get_contents(path, &before, NULL, NULL) && strcmp(before, text) == 0)
        return 0;
    if (g_mkdir_with_parents(folder, 0700) < 0)
        return -errno;
    return bk_file_replace(path, bk_view_of_str(text), 0644);
}
