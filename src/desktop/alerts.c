/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/alerts.h"

#include <glib/gi18n.h>

#define SERVER "org.freedesktop.Notifications"
#define SERVER_PATH "/org/freedesktop/Notifications"
#define APP "org.beckon.Beckon"

/* A notification is a hint, not the message: servers cut it anyway, each at another place. */
enum { BODY_MAX = 300 };
enum { RELATION_WORKGROUP = 300 };

enum about { MESSAGE, PERSON, ACCOUNT };

/* What is to be seen. */
struct content {
    char *title, *body; /* plain text */
    char *button, *action;
    char *sound; /* NULL: silent */
    const char *category;
    bool reply; /* offers an answer to `address` */
    int urgency;
};

/* One notification, from the first wish to show it until it is gone. */
struct alert {
    BkAlerts *alerts; /* NULL: nobody waits for it any more */
    char *key;        /* of the table */
    enum about about;
    char *address; /* MESSAGE, PERSON */
    struct content now;
    guint32 id;     /* the server's; 0: not shown yet */
    bool under_way; /* a Notify has no answer yet */
    bool stale;     /* and what is to be seen changed meanwhile */
    unsigned life;  /* of the server, which it was shown in */
};

struct _BkAlerts {
    GObject parent;
    GApplication *app; /* not owned */
    GDBusConnection *bus;
    BkRoster *roster;
    BkSettings *settings;
    BkTalks *talks;
    GHashTable *shown; /* key -> struct alert */
    GCancellable *cancellable;
    char *token;

    enum { UNKNOWN, ASKED, KNOWN } capabilities;
    bool inline_reply, markup, actions;
    bool there;    /* the server is */
    unsigned life; /* counts the servers that went */
    guint watch, signals;
};
G_DEFINE_FINAL_TYPE(BkAlerts, bk_alerts, G_TYPE_OBJECT)

static void show(struct alert *alert);

/* ---- the table ---- */

static void content_clear(struct content *content)
{
    g_free(content->title);
    g_free(content->body);
    g_free(content->button);
    g_free(content->action);
    g_free(content->sound);
    *content = (struct content){ 0 };
}

static void alert_free(struct alert *alert)
{
    content_clear(&alert->now);
    g_free(alert->key);
    g_free(alert->address);
    g_free(alert);
}

static struct alert *find_by_id(BkAlerts *alerts, guint32 id)
{
    GHashTableIter iter;
    gpointer alert;
    g_hash_table_iter_init(&iter, alerts->shown);
    while (id && g_hash_table_iter_next(&iter, NULL, &alert))
        if (((struct alert *)alert)->id == id)
            return alert;
    return NULL;
}

static void close_at_server(GDBusConnection *bus, guint32 id)
{
    g_dbus_connection_call(bus, SERVER, SERVER_PATH, SERVER, "CloseNotification",
                           g_variant_new("(u)", id), NULL, G_DBUS_CALL_FLAGS_NO_AUTO_START, -1,
                           NULL, NULL, NULL);
}

/* Out of the table. One whose Notify is under way is closed when its id is known. */
static void drop(struct alert *alert)
{
    BkAlerts *alerts = alert->alerts;
    (void)g_hash_table_remove(alerts->shown, alert->key);
    if (alert->under_way) {
        alert->alerts = NULL;
        return;
    }
    if (alert->id)
        close_at_server(alerts->bus, alert->id);
    alert_free(alert);
}

static void drop_all(BkAlerts *alerts, bool account_too)
{
    g_autoptr(GList) all = g_hash_table_get_values(alerts->shown);
    for (GList *at = all; at; at = at->next)
        if (account_too || ((struct alert *)at->data)->about != ACCOUNT)
            drop(at->data);
}

/* ---- showing ---- */

static const char *reply_key(BkAlerts *alerts)
{
    return alerts->inline_reply ? "inline-reply" : "reply";
}

static GVariant *hints_of(struct alert *alert)
{
    GVariantDict hints;
    g_variant_dict_init(&hints, NULL);
    g_variant_dict_insert(&hints, "desktop-entry", "s", APP);
    g_variant_dict_insert(&hints, "urgency", "y", alert->now.urgency);
    g_variant_dict_insert(&hints, "category", "s", alert->now.category);
    if (alert->now.sound)
        g_variant_dict_insert(&hints, "sound-name", "s", alert->now.sound);
    else
        g_variant_dict_insert(&hints, "suppress-sound", "b", TRUE);
    if (alert->now.reply && alert->alerts->inline_reply)
        g_variant_dict_insert(&hints, "x-kde-reply-placeholder-text", "s", _("Reply…"));
    return g_variant_dict_end(&hints);
}

static GVariant *parameters_of(struct alert *alert)
{
    BkAlerts *alerts = alert->alerts;
    GVariantBuilder actions;
    g_variant_builder_init(&actions, G_VARIANT_TYPE_STRING_ARRAY);
    if (alerts->actions) {
        g_variant_builder_add(&actions, "s", "default");
        g_variant_builder_add(&actions, "s", _("Open"));
        if (alert->now.reply) {
            g_variant_builder_add(&actions, "s", reply_key(alerts));
            g_variant_builder_add(&actions, "s", _("Reply"));
        }
        if (alert->now.button) {
            g_variant_builder_add(&actions, "s", "button");
            g_variant_builder_add(&actions, "s", alert->now.button);
        }
    }
    g_autofree char *body =
        alerts->markup ? g_markup_escape_text(alert->now.body, -1) : g_strdup(alert->now.body);
    return g_variant_new("(susssas@a{sv}i)", "Beckon", alert->id, APP, alert->now.title, body,
                         &actions, hints_of(alert), -1);
}

static void on_notified(GObject *bus, GAsyncResult *result, gpointer data)
{
    struct alert *alert = data;
    g_autoptr(GVariant) answer =
        g_dbus_connection_call_finish(G_DBUS_CONNECTION(bus), result, NULL);
    guint32 id = 0;
    alert->under_way = false;
    if (answer && g_variant_is_of_type(answer, G_VARIANT_TYPE("(u)")))
        g_variant_get(answer, "(u)", &id);
    if (!alert->alerts) { /* withdrawn meanwhile */
        if (id)
            close_at_server(G_DBUS_CONNECTION(bus), id);
        alert_free(alert);
        return;
    }
    bool same_server = alert->life == alert->alerts->life;
    alert->id = same_server ? id : 0;
    if (alert->stale)
        show(alert);
    else if (!alert->id)
        drop(alert);
}

static void on_capabilities(GObject *bus, GAsyncResult *result, gpointer self)
{
    BkAlerts *alerts = self;
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) answer =
        g_dbus_connection_call_finish(G_DBUS_CONNECTION(bus), result, &error);
    if (!answer && g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return;
    g_autofree const char **names = NULL;
    if (answer && g_variant_is_of_type(answer, G_VARIANT_TYPE("(as)")))
        g_variant_get(answer, "(^a&s)", &names);
    alerts->capabilities = answer ? KNOWN : UNKNOWN; /* one that failed is asked again next time */
    alerts->inline_reply = names && g_strv_contains(names, "inline-reply");
    alerts->markup = names && g_strv_contains(names, "body-markup");
    alerts->actions = names && g_strv_contains(names, "actions");
    g_autoptr(GList) all = g_hash_table_get_values(alerts->shown);
    for (GList *at = all; at; at = at->next) {
        struct alert *alert = at->data;
        if (!answer)
            drop(alert);
        else if (alert->stale && !alert->under_way)
            show(alert);
    }
}

/* A server that is not there yet is started by the first of these. */
static void ask_capabilities(BkAlerts *alerts)
{
    alerts->capabilities = ASKED;
    g_dbus_connection_call(alerts->bus, SERVER, SERVER_PATH, SERVER, "GetCapabilities", NULL, NULL,
                           G_DBUS_CALL_FLAGS_NONE, -1, alerts->cancellable, on_capabilities,
                           alerts);
}

static void show(struct alert *alert)
{
    BkAlerts *alerts = alert->alerts;
    alert->stale = true;
    if (alerts->capabilities == UNKNOWN)
        ask_capabilities(alerts);
    if (alerts->capabilities != KNOWN || alert->under_way)
        return; /* shown from there */
    alert->stale = false;
    alert->under_way = true;
    alert->life = alerts->life;
    g_dbus_connection_call(alerts->bus, SERVER, SERVER_PATH, SERVER, "Notify", parameters_of(alert),
                           NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, on_notified, alert);
}

/* Takes what content points to. */
static void put(BkAlerts *alerts, const char *key, enum about about, const char *address,
                struct content content)
{
    if (!alerts->bus) {
        content_clear(&content);
        return;
    }
    struct alert *alert = g_hash_table_lookup(alerts->shown, key);
    if (!alert) {
        alert = g_new0(struct alert, 1);
        alert->alerts = alerts;
        alert->key = g_strdup(key);
        alert->about = about;
        alert->address = g_strdup(address);
        (void)g_hash_table_insert(alerts->shown, alert->key, alert);
    }
    content_clear(&alert->now);
    alert->now = content;
    show(alert);
}

/* ---- what is worth it ---- */

static bool in_dnd(BkAlerts *alerts)
{
    enum bk_pidf_shown own = bk_person_shown(bk_roster_self(alerts->roster));
    return own == BK_PIDF_SHOWN_DND || own == BK_PIDF_SHOWN_PRESENTING;
}

static bool may_interrupt(BkAlerts *alerts, BkPerson *person)
{
    if (!in_dnd(alerts))
        return true;
    const char *who = bk_settings_string(alerts->settings, BK_SETTING_ALERT_IN_DND);
    return g_str_equal(who, "all") ||
           (g_str_equal(who, "workgroup") && bk_person_relation(person) == RELATION_WORKGROUP);
}

static char *sound_of(BkAlerts *alerts, const char *name)
{
    bool wanted = bk_settings_bool(alerts->settings, BK_SETTING_SOUNDS) &&
                  (!in_dnd(alerts) || bk_settings_bool(alerts->settings, BK_SETTING_SOUNDS_IN_DND));
    return wanted ? g_strdup(name) : NULL;
}

/* A piece of it that ends between two characters. */
static char *short_text(const char *text)
{
    if (g_utf8_strlen(text, -1) <= BODY_MAX)
        return g_strdup(text);
    g_autofree char *head = g_utf8_substring(text, 0, BODY_MAX - 1);
    return g_strconcat(head, "…", NULL);
}

static char *key_of(const char *kind, BkPerson *person)
{
    return g_strdup_printf("%s:%s", kind, bk_person_address(person));
}

static char *message_body(BkAlerts *alerts, BkTalk *talk, BkLine *line)
{
    unsigned unread = bk_talk_unread(talk);
    g_autofree char *count = g_strdup_printf(
        ngettext("%u new message", "%u new messages", MAX(unread, 1)), MAX(unread, 1));
    if (!bk_settings_bool(alerts->settings, BK_SETTING_ALERT_TEXT))
        return g_steal_pointer(&count);
    g_autofree char *text = short_text(bk_line_text(line));
    return unread > 1 ? g_strdup_printf("%s\n%s", text, count) : g_steal_pointer(&text);
}

static void on_unread(BkTalk *talk, GParamSpec *spec, BkAlerts *alerts)
{
    (void)spec;
    if (bk_talk_unread(talk))
        return;
    g_autofree char *key = key_of("talk", bk_talk_person(talk));
    bk_alerts_withdraw(alerts, key);
}

static void on_incoming(BkAlerts *alerts, BkTalk *talk, BkLine *line)
{
    BkPerson *person = bk_talk_person(talk);
    /* A talk may have been told before: one handler each. */
    g_signal_handlers_disconnect_by_data(talk, alerts);
    g_signal_connect_object(talk, "notify::unread", G_CALLBACK(on_unread), alerts, 0);
    if (!bk_settings_bool(alerts->settings, BK_SETTING_ALERT_MESSAGES) ||
        !may_interrupt(alerts, person))
        return;
    g_autofree char *key = key_of("talk", person);
    put(alerts, key, MESSAGE, bk_person_address(person),
        (struct content){ .title = g_strdup(bk_person_name(person)),
                          .body = message_body(alerts, talk, line),
                          .sound = sound_of(alerts, "message-new-instant"),
                          .category = "im.received",
                          .reply = true,
                          .urgency = 1 });
}

static void on_available(BkAlerts *alerts, BkPerson *person)
{
    if (in_dnd(alerts))
        return;
    g_autofree char *key = key_of("available", person);
    put(alerts, key, PERSON, bk_person_address(person),
        (struct content){ .title = g_strdup(bk_person_name(person)),
                          .body = g_strdup(_("is available now")),
                          .sound = sound_of(alerts, "service-login"),
                          .category = "presence.online",
                          .urgency = 0 });
}

static void on_follower(BkAlerts *alerts, BkPerson *person)
{
    if (in_dnd(alerts) || !bk_settings_bool(alerts->settings, BK_SETTING_ALERT_FOLLOWERS))
        return;
    g_autofree char *key = key_of("follower", person);
    put(alerts, key, PERSON, bk_person_address(person),
        (struct content){ .title = g_strdup(bk_person_name(person)),
                          .body = g_strdup(_("added you to their contact list")),
                          .action = g_strdup("app.show"),
                          .category = "presence",
                          .urgency = 0 });
}

void bk_alerts_say(BkAlerts *alerts, const char *id, const char *title, const char *body,
                   const char *button, const char *action)
{
    g_autofree char *key = g_strconcat("account:", id, NULL);
    put(alerts, key, ACCOUNT, NULL,
        (struct content){ .title = g_strdup(title),
                          .body = short_text(body ? body : ""),
                          .button = g_strdup(button),
                          .action = g_strdup(action),
                          .sound = sound_of(alerts, "dialog-warning"),
                          .category = "network",
                          .urgency = 1 });
}

void bk_alerts_withdraw(BkAlerts *alerts, const char *id)
{
    g_autofree char *key = strchr(id, ':') ? g_strdup(id) : g_strconcat("account:", id, NULL);
    struct alert *alert = g_hash_table_lookup(alerts->shown, key);
    if (alert)
        drop(alert);
}

/* ---- what comes back ---- */

static void run(BkAlerts *alerts, const char *action, GVariant *parameter)
{
    g_autoptr(GVariant) sunk = parameter ? g_variant_ref_sink(parameter) : NULL;
    GActionGroup *group = G_ACTION_GROUP(alerts->app);
    if (g_action_group_has_action(group, action) &&
        g_action_group_get_action_enabled(group, action))
        g_action_group_activate_action(group, action, sunk);
}

static void run_detailed(BkAlerts *alerts, const char *detailed)
{
    g_autofree char *name = NULL;
    GVariant *target = NULL;
    if (!detailed || !g_action_parse_detailed_name(detailed, &name, &target, NULL)) {
        run(alerts, "show", NULL);
        return;
    }
    run(alerts, g_str_has_prefix(name, "app.") ? name + 4 : name, target);
    g_clear_pointer(&target, g_variant_unref);
}

static void on_click(BkAlerts *alerts, guint32 id)
{
    struct alert *alert = find_by_id(alerts, id);
    if (!alert)
        return;
    /* Copies: the action may withdraw it. */
    g_autofree char *address = g_strdup(alert->address);
    g_autofree char *action = g_strdup(alert->now.action);
    if (alert->about != MESSAGE)
        drop(alert); /* a message stays until it was read */
    if (address && !action)
        run(alerts, "talk", g_variant_new_string(address));
    else
        run_detailed(alerts, action);
}

static void on_reply(BkAlerts *alerts, guint32 id, const char *text)
{
    struct alert *alert = find_by_id(alerts, id);
    if (!alert || alert->about != MESSAGE || !*text)
        return;
    g_autofree char *address = g_strdup(alert->address);
    BkTalk *talk = alerts->talks ? bk_talks_with(alerts->talks, address) : NULL;
    run(alerts, "reply", g_variant_new("(ss)", address, text));
    if (talk)
        bk_talk_mark_read(talk); /* who answers has read it */
}

static void on_signal(GDBusConnection *bus, const char *sender, const char *path,
                      const char *interface, const char *signal, GVariant *parameters,
                      gpointer self)
{
    (void)bus, (void)sender, (void)path, (void)interface;
    BkAlerts *alerts = self;
    guint32 id;
    const char *text;
    if (g_variant_is_of_type(parameters, G_VARIANT_TYPE("(us)"))) {
        g_variant_get(parameters, "(u&s)", &id, &text);
        if (g_str_equal(signal, "ActionInvoked"))
            on_click(alerts, id);
        else if (g_str_equal(signal, "NotificationReplied"))
            on_reply(alerts, id, text);
        else if (g_str_equal(signal, "ActivationToken") && find_by_id(alerts, id)) {
            g_free(alerts->token);
            alerts->token = g_strdup(text);
        }
    } else if (g_str_equal(signal, "NotificationClosed") &&
               g_variant_is_of_type(parameters, G_VARIANT_TYPE("(uu)"))) {
        g_variant_get(parameters, "(uu)", &id, NULL);
        struct alert *alert = find_by_id(alerts, id);
        if (alert) {
            alert->id = 0; /* nothing to close; a newer one is another */
            if (!alert->under_way)
                drop(alert);
        }
    }
}

char *bk_alerts_take_activation_token(BkAlerts *alerts)
{
    return g_steal_pointer(&alerts->token);
}

static void on_server(GDBusConnection *bus, const char *name, const char *owner, gpointer self)
{
    (void)bus, (void)name, (void)owner;
    BK_ALERTS(self)->there = true;
}

/* Its successor knows none of the numbers, and may be able to do other things. */
static void on_server_gone(GDBusConnection *bus, const char *name, gpointer self)
{
    (void)bus, (void)name;
    BkAlerts *alerts = self;
    if (!alerts->there)
        return;
    alerts->there = false;
    alerts->life++;
    if (alerts->capabilities == KNOWN)
        alerts->capabilities = UNKNOWN;
    g_autoptr(GList) all = g_hash_table_get_values(alerts->shown);
    for (GList *at = all; at; at = at->next) {
        struct alert *alert = at->data;
        bool was_shown = alert->id && !alert->stale;
        alert->id = 0;
        if (was_shown && !alert->under_way)
            drop(alert);
    }
}

/* ---- the object ---- */

void bk_alerts_set_talks(BkAlerts *alerts, BkTalks *talks)
{
    if (alerts->talks == talks)
        return;
    if (alerts->talks)
        g_signal_handlers_disconnect_by_data(alerts->talks, alerts);
    g_set_object(&alerts->talks, talks);
    drop_all(alerts, false);
    if (talks)
        g_signal_connect_swapped(talks, "incoming", G_CALLBACK(on_incoming), alerts);
}

static void dispose(GObject *object)
{
    BkAlerts *alerts = BK_ALERTS(object);
    bk_alerts_set_talks(alerts, NULL);
    drop_all(alerts, true);
    g_cancellable_cancel(alerts->cancellable);
    g_clear_handle_id(&alerts->watch, g_bus_unwatch_name);
    if (alerts->signals)
        g_dbus_connection_signal_unsubscribe(alerts->bus, alerts->signals);
    alerts->signals = 0;
    if (alerts->roster)
        g_signal_handlers_disconnect_by_data(alerts->roster, alerts);
    g_clear_object(&alerts->roster);
    g_clear_object(&alerts->settings);
    g_clear_object(&alerts->bus);
    G_OBJECT_CLASS(bk_alerts_parent_class)->dispose(object);
}

static void finalize(GObject *object)
{
    BkAlerts *alerts = BK_ALERTS(object);
    g_hash_table_unref(alerts->shown);
    g_object_unref(alerts->cancellable);
    g_free(alerts->token);
    G_OBJECT_CLASS(bk_alerts_parent_class)->finalize(object);
}

static void bk_alerts_class_init(BkAlertsClass *class)
{
    G_OBJECT_CLASS(class)->dispose = dispose;
    G_OBJECT_CLASS(class)->finalize = finalize;
}

static void bk_alerts_init(BkAlerts *alerts)
{
    alerts->shown = g_hash_table_new(g_str_hash, g_str_equal);
    alerts->cancellable = g_cancellable_new();
}

BkAlerts *bk_alerts_new(GApplication *app, GDBusConnection *connection, BkRoster *roster,
                        BkSettings *settings)
{
    BkAlerts *alerts = g_object_new(BK_TYPE_ALERTS, NULL);
    alerts->app = app;
    alerts->roster = g_object_ref(roster);
    alerts->settings = g_object_ref(settings);
    g_signal_connect_swapped(roster, "became-available", G_CALLBACK(on_available), alerts);
    g_signal_connect_swapped(roster, "follower", G_CALLBACK(on_follower), alerts);
    if (connection) {
        alerts->bus = g_object_ref(connection);
        alerts->signals =
            g_dbus_connection_signal_subscribe(connection, SERVER, SERVER, NULL, SERVER_PATH, NULL,
                                               G_DBUS_SIGNAL_FLAGS_NONE, on_signal, alerts, NULL);
        alerts->watch =
            g_bus_watch_name_on_connection(connection, SERVER, G_BUS_NAME_WATCHER_FLAGS_NONE,
                                           on_server, on_server_gone, alerts, NULL);
    }
    return alerts;
}
