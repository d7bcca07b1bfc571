/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/tray.h"

#include <gdk-pixbuf/gdk-pixbuf.h>
#include <glib/gi18n.h>

#define WATCHER "org.kde.StatusNotifierWatcher"
#define WATCHER_PATH "/StatusNotifierWatcher"
#define ITEM "org.kde.StatusNotifierItem"
#define ITEM_PATH "/StatusNotifierItem"
#define MENU "com.canonical.dbusmenu"
#define MENU_PATH "/MenuBar"
#define UNREAD_ICON "beckon-unread"
#define ICONS "/org/beckon/Beckon/icons/scalable/status/"

static const char description[] =
    "<node>"
    "<interface name='" ITEM "'>"
    "<property name='Category' type='s' access='read'/>"
    "<property name='Id' type='s' access='read'/>"
    "<property name='Title' type='s' access='read'/>"
    "<property name='Status' type='s' access='read'/>"
    "<property name='WindowId' type='i' access='read'/>"
    "<property name='IconThemePath' type='s' access='read'/>"
    "<property name='IconName' type='s' access='read'/>"
    "<property name='IconPixmap' type='a(iiay)' access='read'/>"
    "<property name='OverlayIconName' type='s' access='read'/>"
    "<property name='OverlayIconPixmap' type='a(iiay)' access='read'/>"
    "<property name='AttentionIconName' type='s' access='read'/>"
    "<property name='AttentionIconPixmap' type='a(iiay)' access='read'/>"
    "<property name='AttentionMovieName' type='s' access='read'/>"
    "<property name='ToolTip' type='(sa(iiay)ss)' access='read'/>"
    "<property name='ItemIsMenu' type='b' access='read'/>"
    "<property name='Menu' type='o' access='read'/>"
    "<method name='Activate'><arg type='i' direction='in'/><arg type='i' direction='in'/></method>"
    "<method name='SecondaryActivate'><arg type='i' direction='in'/>"
    "<arg type='i' direction='in'/></method>"
    "<method name='ContextMenu'><arg type='i' direction='in'/>"
    "<arg type='i' direction='in'/></method>"
    "<method name='Scroll'><arg type='i' direction='in'/><arg type='s' direction='in'/></method>"
    "<method name='ProvideXdgActivationToken'><arg type='s' direction='in'/></method>"
    "<signal name='NewTitle'/><signal name='NewIcon'/><signal name='NewAttentionIcon'/>"
    "<signal name='NewOverlayIcon'/><signal name='NewToolTip'/>"
    "<signal name='NewStatus'><arg type='s'/></signal>"
    "</interface>"
    "<interface name='" MENU "'>"
    "<property name='Version' type='u' access='read'/>"
    "<property name='TextDirection' type='s' access='read'/>"
    "<property name='Status' type='s' access='read'/>"
    "<property name='IconThemePath' type='as' access='read'/>"
    "<method name='GetLayout'><arg type='i' direction='in'/><arg type='i' direction='in'/>"
    "<arg type='as' direction='in'/><arg type='u' direction='out'/>"
    "<arg type='(ia{sv}av)' direction='out'/></method>"
    "<method name='GetGroupProperties'><arg type='ai' direction='in'/>"
    "<arg type='as' direction='in'/><arg type='a(ia{sv})' direction='out'/></method>"
    "<method name='GetProperty'><arg type='i' direction='in'/><arg type='s' direction='in'/>"
    "<arg type='v' direction='out'/></method>"
    "<method name='Event'><arg type='i' direction='in'/><arg type='s' direction='in'/>"
    "<arg type='v' direction='in'/><arg type='u' direction='in'/></method>"
    "<method name='EventGroup'><arg type='a(isvu)' direction='in'/>"
    "<arg type='ai' direction='out'/></method>"
    "<method name='AboutToShow'><arg type='i' direction='in'/>"
    "<arg type='b' direction='out'/></method>"
    "<method name='AboutToShowGroup'><arg type='ai' direction='in'/>"
    "<arg type='ai' direction='out'/><arg type='ai' direction='out'/></method>"
    "<signal name='ItemsPropertiesUpdated'><arg type='a(ia{sv})'/><arg type='a(ias)'/></signal>"
    "<signal name='LayoutUpdated'><arg type='u'/><arg type='i'/></signal>"
    "<signal name='ItemActivationRequested'><arg type='i'/><arg type='u'/></signal>"
    "</interface>"
    "</node>";

/* One entry of the menu as the panel sees it; 0 is the menu itself. */
struct entry {
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
    GPtrArray *entries;  /* of struct entry; the first is the menu itself */
    GHashTable *numbers; /* what an entry is -> its id, so that one keeps its id over changes */
    int next_id;
    guint revision, rebuild_idle, told_idle;

    GCancellable *watcher; /* of calls to the watcher that is there now; NULL: none */
    guint watch, hosts, registered[2];
};
G_DEFINE_FINAL_TYPE(BkTray, bk_tray, G_TYPE_OBJECT)

enum { PROP_PRESENT = 1 };

/* ---- the menu ---- */

static void entry_free(struct entry *entry)
{
    g_free(entry->label);
    g_free(entry->icon);
    g_free(entry->action);
    g_free(entry->hidden_when);
    g_clear_pointer(&entry->target, g_variant_unref);
    g_clear_pointer(&entry->told, g_variant_unref);
    g_array_unref(entry->children);
    g_free(entry);
}

static struct entry *find_entry(BkTray *tray, int id)
{
    for (guint i = 0; i < tray->entries->len; i++) {
        struct entry *entry = g_ptr_array_index(tray->entries, i);
        if (entry->id == id)
            return entry;
    }
    return NULL;
}

/* The same entry in the same place of the menu has the same number, whatever else came and went. */
static int number_of(BkTray *tray, int parent, const struct entry *entry)
{
    g_autofree char *target = entry->target ? g_variant_print(entry->target, TRUE) : NULL;
    for (int twin = 0;; twin++) {
        g_autofree char *key =
            g_strdup_printf("%d %d %s %s %s", parent, twin, entry->action ? entry->action : "-",
                            target ? target : "-",
                            entry->action  ? ""
                            : entry->label ? entry->label
                                           : "---");
        int id = GPOINTER_TO_INT(g_hash_table_lookup(tray->numbers, key));
        if (id && find_entry(tray, id))
            continue;
        if (!id) {
            id = tray->next_id++;
            g_hash_table_insert(tray->numbers, g_steal_pointer(&key), GINT_TO_POINTER(id));
        }
        return id;
    }
}

static struct entry *add_entry(BkTray *tray, struct entry *parent, struct entry what)
{
    struct entry *entry = g_memdup2(&what, sizeof what);
    entry->parent = parent ? parent->id : -1;
    entry->id = parent ? number_of(tray, parent->id, entry) : 0;
    entry->children = g_array_new(FALSE, FALSE, sizeof(int));
    g_ptr_array_add(tray->entries, entry);
    if (parent)
        g_array_append_val(parent->children, entry->id);
    return entry;
}

static void menu_changed(BkTray *tray);

static void listen_to(BkTray *tray, GMenuModel *model)
{
    if (g_ptr_array_find(tray->models, model, NULL))
        return;
    g_ptr_array_add(tray->models, g_object_ref(model));
    g_signal_connect_swapped(model, "items-changed", G_CALLBACK(menu_changed), tray);
}

static char *text_of(GMenuModel *model, int i, const char *attribute)
{
    char *text = NULL;
    (void)g_menu_model_get_item_attribute(model, i, attribute, "s", &text);
    return text;
}

static char *icon_of(GMenuModel *model, int i)
{
    g_autoptr(GVariant) value =
        g_menu_model_get_item_attribute_value(model, i, G_MENU_ATTRIBUTE_ICON, NULL);
    g_autoptr(GIcon) icon = value ? g_icon_deserialize(value) : NULL;
    const char *const *names =
        G_IS_THEMED_ICON(icon) ? g_themed_icon_get_names(G_THEMED_ICON(icon)) : NULL;
    return names ? g_strdup(names[0]) : NULL;
}

static struct entry read_item(GMenuModel *model, int i)
{
    g_autofree char *action = text_of(model, i, G_MENU_ATTRIBUTE_ACTION);
    struct entry entry = { .label = text_of(model, i, G_MENU_ATTRIBUTE_LABEL),
                           .icon = icon_of(model, i),
                           .hidden_when = text_of(model, i, "hidden-when") };
    if (action)
        entry.action = g_strdup(g_str_has_prefix(action, "app.") ? action + 4 : action);
    if (!entry.label)
        entry.label = g_strdup("");
    entry.target = g_menu_model_get_item_attribute_value(model, i, G_MENU_ATTRIBUTE_TARGET, NULL);
    return entry;
}

/* Puts a line before the next entry, unless it would be the first. */
static void add_separator(BkTray *tray, struct entry *parent, gboolean *wanted)
{
    if (*wanted && parent->children->len)
        (void)add_entry(tray, parent, (struct entry){ 0 });
    *wanted = FALSE;
}

static void add_items(BkTray *tray, struct entry *parent, GMenuModel *model, gboolean *line)
{
    listen_to(tray, model);
    for (int i = 0; i < g_menu_model_get_n_items(model); i++) {
        g_autoptr(GMenuModel) section = g_menu_model_get_item_link(model, i, G_MENU_LINK_SECTION);
        g_autoptr(GMenuModel) submenu = g_menu_model_get_item_link(model, i, G_MENU_LINK_SUBMENU);
        if (section) {
            *line = TRUE;
            add_items(tray, parent, section, line);
            *line = TRUE;
            continue;
        }
        add_separator(tray, parent, line);
        struct entry *entry = add_entry(tray, parent, read_item(model, i));
        gboolean inner_line = FALSE;
        entry->is_submenu = submenu != NULL;
        if (submenu)
            add_items(tray, entry, submenu, &inner_line);
    }
}

static void read_menu(BkTray *tray)
{
    for (guint i = 0; i < tray->models->len; i++)
        g_signal_handlers_disconnect_by_data(g_ptr_array_index(tray->models, i), tray);
    g_ptr_array_set_size(tray->models, 0);
    g_ptr_array_set_size(tray->entries, 0);
    gboolean line = FALSE;
    add_items(tray, add_entry(tray, NULL, (struct entry){ .is_submenu = TRUE }), tray->menu, &line);
}

/* ---- what the panel is told of it ---- */

static void add_mark(BkTray *tray, const struct entry *entry, GVariantDict *to)
{
    g_autoptr(GVariant) state =
        g_action_group_get_action_state(G_ACTION_GROUP(tray->app), entry->action);
    if (!state)
        return;
    if (entry->target) {
        if (!g_variant_is_of_type(entry->target, g_variant_get_type(state)))
            return;
        g_variant_dict_insert(to, "toggle-type", "s", "radio");
        g_variant_dict_insert(to, "toggle-state", "i", g_variant_equal(state, entry->target));
    } else if (g_variant_is_of_type(state, G_VARIANT_TYPE_BOOLEAN)) {
        g_variant_dict_insert(to, "toggle-type", "s", "checkmark");
        g_variant_dict_insert(to, "toggle-state", "i", g_variant_get_boolean(state));
    }
}

static gboolean is_enabled(BkTray *tray, const struct entry *entry)
{
    if (!entry->action)
        return entry->is_submenu;
    GActionGroup *group = G_ACTION_GROUP(tray->app);
    return g_action_group_has_action(group, entry->action) &&
           g_action_group_get_action_enabled(group, entry->action);
}

static gboolean is_visible(BkTray *tray, const struct entry *entry)
{
    if (!entry->hidden_when || !entry->action)
        return TRUE;
    if (g_str_equal(entry->hidden_when, "action-missing"))
        return g_action_group_has_action(G_ACTION_GROUP(tray->app), entry->action);
    return !g_str_equal(entry->hidden_when, "action-disabled") || is_enabled(tray, entry);
}

/* All of them, also those of the usual value: a panel may ask for one by one. Floating. */
static GVariant *properties_of(BkTray *tray, const struct entry *entry)
{
    g_auto(GVariantDict) dict = G_VARIANT_DICT_INIT(NULL);
    if (entry->is_submenu)
        g_variant_dict_insert(&dict, "children-display", "s", "submenu");
    if (entry->id == 0)
        return g_variant_dict_end(&dict);
    g_variant_dict_insert(&dict, "visible", "b", is_visible(tray, entry));
    if (!entry->label) {
        g_variant_dict_insert(&dict, "type", "s", "separator");
        return g_variant_dict_end(&dict);
    }
    g_variant_dict_insert(&dict, "label", "s", entry->label);
    g_variant_dict_insert(&dict, "enabled", "b", is_enabled(tray, entry));
    if (entry->icon)
        g_variant_dict_insert(&dict, "icon-name", "s", entry->icon);
    if (entry->action)
        add_mark(tray, entry, &dict);
    return g_variant_dict_end(&dict);
}

static gboolean is_wanted(const char *const *names, const char *name)
{
    return !names || !*names || g_strv_contains(names, name);
}

static GVariant *some_properties_of(BkTray *tray, const struct entry *entry,
                                    const char *const *names)
{
    g_autoptr(GVariant) all = g_variant_ref_sink(properties_of(tray, entry));
    GVariantBuilder some;
    g_variant_builder_init(&some, G_VARIANT_TYPE_VARDICT);
    GVariantIter iter;
    g_variant_iter_init(&iter, all);
    const char *name;
    GVariant *value;
    while (g_variant_iter_loop(&iter, "{&sv}", &name, &value))
        if (is_wanted(names, name))
            g_variant_builder_add(&some, "{sv}", name, value);
    return g_variant_builder_end(&some);
}

static void note_told(BkTray *tray, struct entry *entry)
{
    g_clear_pointer(&entry->told, g_variant_unref);
    entry->told = g_variant_ref_sink(properties_of(tray, entry));
}

/* depth: 0 the entry alone, -1 all below it. Menus are ours, so they are not deep. */
static GVariant *layout_of(BkTray *tray, struct entry *entry, int depth, const char *const *names)
{
    GVariantBuilder children;
    g_variant_builder_init(&children, G_VARIANT_TYPE("av"));
    for (guint i = 0; depth != 0 && i < entry->children->len; i++) {
        struct entry *child = find_entry(tray, g_array_index(entry->children, int, i));
        g_variant_builder_add(&children, "v",
                              layout_of(tray, child, depth > 0 ? depth - 1 : depth, names));
    }
    note_told(tray, entry);
    return g_variant_new("(i@a{sv}av)", entry->id, some_properties_of(tray, entry, names),
                         &children);
}

static void emit(BkTray *tray, const char *path, const char *interface, const char *signal,
                 GVariant *parameters)
{
    g_autoptr(GVariant) sunk = parameters ? g_variant_ref_sink(parameters) : NULL;
    if (tray->bus)
        (void)g_dbus_connection_emit_signal(tray->bus, NULL, path, interface, signal, sunk, NULL);
}

static gboolean tell_layout(gpointer self)
{
    BkTray *tray = self;
    tray->rebuild_idle = 0;
    read_menu(tray);
    for (guint i = 0; i < tray->entries->len; i++)
        note_told(tray, g_ptr_array_index(tray->entries, i));
    emit(tray, MENU_PATH, MENU, "LayoutUpdated", g_variant_new("(ui)", ++tray->revision, 0));
    return G_SOURCE_REMOVE;
}

static void menu_changed(BkTray *tray)
{
    if (!tray->rebuild_idle)
        tray->rebuild_idle = g_idle_add(tell_layout, tray);
}

/* Adds what became another in entry, and the names of what it no longer has. */
static void add_difference(BkTray *tray, struct entry *entry, GVariantBuilder *changed,
                           GVariantBuilder *gone)
{
    g_autoptr(GVariant) now = g_variant_ref_sink(properties_of(tray, entry));
    if (entry->told && g_variant_equal(now, entry->told))
        return;
    g_auto(GVariantDict) before = G_VARIANT_DICT_INIT(entry->told);
    GVariantBuilder values, names;
    g_variant_builder_init(&values, G_VARIANT_TYPE_VARDICT);
    g_variant_builder_init(&names, G_VARIANT_TYPE_STRING_ARRAY);
    GVariantIter iter;
    const char *name;
    GVariant *value;
    g_variant_iter_init(&iter, now);
    while (g_variant_iter_loop(&iter, "{&sv}", &name, &value)) {
        g_autoptr(GVariant) old = g_variant_dict_lookup_value(&before, name, NULL);
        if (!old || !g_variant_equal(old, value))
            g_variant_builder_add(&values, "{sv}", name, value);
        (void)g_variant_dict_remove(&before, name);
    }
    g_autoptr(GVariant) left = g_variant_ref_sink(g_variant_dict_end(&before));
    g_variant_iter_init(&iter, left);
    while (g_variant_iter_loop(&iter, "{&sv}", &name, &value))
        g_variant_builder_add(&names, "s", name);
    g_variant_builder_add(changed, "(ia{sv})", entry->id, &values);
    if (g_variant_n_children(left))
        g_variant_builder_add(gone, "(ias)", entry->id, &names);
    else
        g_variant_builder_clear(&names);
    note_told(tray, entry);
}

static gboolean tell_changes(gpointer self)
{
    BkTray *tray = self;
    tray->told_idle = 0;
    if (tray->rebuild_idle)
        return G_SOURCE_REMOVE; /* the new layout tells all of it */
    GVariantBuilder changed, gone;
    g_variant_builder_init(&changed, G_VARIANT_TYPE("a(ia{sv})"));
    g_variant_builder_init(&gone, G_VARIANT_TYPE("a(ias)"));
    for (guint i = 0; i < tray->entries->len; i++)
        add_difference(tray, g_ptr_array_index(tray->entries, i), &changed, &gone);
    g_autoptr(GVariant) parameters =
        g_variant_ref_sink(g_variant_new("(a(ia{sv})a(ias))", &changed, &gone));
    g_autoptr(GVariant) rows = g_variant_get_child_value(parameters, 0);
    if (g_variant_n_children(rows))
        emit(tray, MENU_PATH, MENU, "ItemsPropertiesUpdated", parameters);
    return G_SOURCE_REMOVE;
}

static void actions_changed(BkTray *tray)
{
    if (!tray->told_idle)
        tray->told_idle = g_idle_add(tell_changes, tray);
}

/* ---- what the panel asks ---- */

static GVariant *value_of(BkTray *tray, GVariant *asked)
{
    int id;
    const char *name;
    g_variant_get(asked, "(i&s)", &id, &name);
    struct entry *entry = find_entry(tray, id);
    g_autoptr(GVariant) all = entry ? g_variant_ref_sink(properties_of(tray, entry)) : NULL;
    g_autoptr(GVariant) value = all ? g_variant_lookup_value(all, name, NULL) : NULL;
    return value ? g_variant_new("(v)", value) : NULL;
}

static GVariant *values_of(BkTray *tray, GVariant *asked)
{
    g_autoptr(GVariant) ids = g_variant_get_child_value(asked, 0);
    g_autoptr(GVariant) wanted = g_variant_get_child_value(asked, 1);
    g_autofree const char **names = g_variant_get_strv(wanted, NULL);
    GVariantBuilder rows;
    g_variant_builder_init(&rows, G_VARIANT_TYPE("a(ia{sv})"));
    for (guint i = 0; i < tray->entries->len; i++) {
        struct entry *entry = g_ptr_array_index(tray->entries, i);
        gboolean is_asked = g_variant_n_children(ids) == 0;
        for (gsize n = 0; !is_asked && n < g_variant_n_children(ids); n++) {
            int id;
            g_variant_get_child(ids, n, "i", &id);
            is_asked = id == entry->id;
        }
        if (is_asked)
            g_variant_builder_add(&rows, "(i@a{sv})", entry->id,
                                  some_properties_of(tray, entry, names));
    }
    return g_variant_new("(a(ia{sv}))", &rows);
}

static GVariant *layout_answer(BkTray *tray, GVariant *asked)
{
    int id, depth;
    g_autoptr(GVariant) wanted = g_variant_get_child_value(asked, 2);
    g_autofree const char **names = g_variant_get_strv(wanted, NULL);
    g_variant_get_child(asked, 0, "i", &id);
    g_variant_get_child(asked, 1, "i", &depth);
    struct entry *entry = find_entry(tray, id);
    return entry ? g_variant_new("(u@(ia{sv}av))", tray->revision,
                                 layout_of(tray, entry, depth, names))
                 : NULL;
}

struct click {
    GApplication *app;
    char *action;
    GVariant *target;
};

static void click_run(GObject *bus, GAsyncResult *result, gpointer data)
{
    struct click *click = data;
    (void)g_dbus_connection_flush_finish(G_DBUS_CONNECTION(bus), result, NULL);
    GActionGroup *group = G_ACTION_GROUP(click->app);
    if (g_action_group_has_action(group, click->action) &&
        g_action_group_get_action_enabled(group, click->action))
        g_action_group_activate_action(group, click->action, click->target);
    g_object_unref(click->app);
    g_free(click->action);
    g_clear_pointer(&click->target, g_variant_unref);
    g_free(click);
}

/* Once the answer is on its way: Exit ends the process, and a panel waiting for an answer stands still. */
static void run_later(BkTray *tray, const char *action, GVariant *target)
{
    struct click click = { g_object_ref(tray->app),
                           g_strdup(g_str_has_prefix(action, "app.") ? action + 4 : action),
                           target ? g_variant_ref(target) : NULL };
    g_dbus_connection_flush(tray->bus, NULL, click_run, g_memdup2(&click, sizeof click));
}

/* A target that does not fit the action's parameter would be a mistake of ours, told by GLib on the console. */
static void on_event(BkTray *tray, GVariant *event)
{
    int id;
    const char *what;
    g_variant_get_child(event, 0, "i", &id);
    g_variant_get_child(event, 1, "&s", &what);
    struct entry *entry = find_entry(tray, id);
    if (entry && entry->action && g_str_equal(what, "clicked"))
        run_later(tray, entry->action, entry->target);
}

static GVariant *unknown_ids(BkTray *tray, GVariant *events)
{
    GVariantBuilder unknown;
    g_variant_builder_init(&unknown, G_VARIANT_TYPE("ai"));
    for (gsize i = 0; i < g_variant_n_children(events); i++) {
        g_autoptr(GVariant) event = g_variant_get_child_value(events, i);
        int id;
        g_variant_get_child(event, 0, "i", &id);
        if (!find_entry(tray, id))
            g_variant_builder_add(&unknown, "i", id);
    }
    return g_variant_new("(ai)", &unknown);
}

static void answer_or_refuse(GDBusMethodInvocation *call, GVariant *answer)
{
    if (answer)
        g_dbus_method_invocation_return_value(call, answer);
    else
        g_dbus_method_invocation_return_error(call, G_DBUS_ERROR, G_DBUS_ERROR_INVALID_ARGS,
                                              "no such entry or property");
}

static void on_menu_call(GDBusConnection *bus, const char *sender, const char *path,
                         const char *interface, const char *method, GVariant *parameters,
                         GDBusMethodInvocation *call, gpointer self)
{
    (void)bus, (void)sender, (void)path, (void)interface;
    BkTray *tray = self;
    if (tray->rebuild_idle) { /* nobody sees a menu that is not so any more */
        g_source_remove(tray->rebuild_idle);
        (void)tell_layout(tray);
    }
    if (g_str_equal(method, "GetLayout")) {
        answer_or_refuse(call, layout_answer(tray, parameters));
    } else if (g_str_equal(method, "GetGroupProperties")) {
        g_dbus_method_invocation_return_value(call, values_of(tray, parameters));
    } else if (g_str_equal(method, "GetProperty")) {
        answer_or_refuse(call, value_of(tray, parameters));
    } else if (g_str_equal(method, "Event")) {
        g_variant_ref(parameters);
        g_dbus_method_invocation_return_value(call, NULL);
        on_event(tray, parameters);
        g_variant_unref(parameters);
    } else if (g_str_equal(method, "EventGroup")) {
        g_autoptr(GVariant) events = g_variant_get_child_value(parameters, 0);
        g_dbus_method_invocation_return_value(call, unknown_ids(tray, events));
        for (gsize i = 0; i < g_variant_n_children(events); i++) {
            g_autoptr(GVariant) event = g_variant_get_child_value(events, i);
            on_event(tray, event);
        }
    } else if (g_str_equal(method, "AboutToShow")) {
        g_dbus_method_invocation_return_value(call, g_variant_new("(b)", FALSE));
    } else {
        g_dbus_method_invocation_return_value(call, g_variant_new("(aiai)", NULL, NULL));
    }
}

static GVariant *menu_property(GDBusConnection *bus, const char *sender, const char *path,
                               const char *interface, const char *name, GError **error,
                               gpointer self)
{
    (void)bus, (void)sender, (void)path, (void)interface, (void)error;
    BkTray *tray = self;
    if (g_str_equal(name, "Version"))
        return g_variant_new_uint32(3);
    if (g_str_equal(name, "Status"))
        return g_variant_new_string(tray->unread ? "notice" : "normal");
    if (g_str_equal(name, "TextDirection")) /* GTK's own marker; translators of GTK set it */
        return g_variant_new_string(
            g_str_equal(g_dgettext("gtk40", "default:LTR"), "default:RTL") ? "rtl" : "ltr");
    return g_variant_new_strv(NULL, 0);
}

static void on_item_call(GDBusConnection *bus, const char *sender, const char *path,
                         const char *interface, const char *method, GVariant *parameters,
                         GDBusMethodInvocation *call, gpointer self)
{
    (void)bus, (void)sender, (void)path, (void)interface;
    BkTray *tray = self;
    if (g_str_equal(method, "ProvideXdgActivationToken")) {
        g_free(tray->token);
        g_variant_get(parameters, "(s)", &tray->token);
    }
    g_dbus_method_invocation_return_value(call, NULL);
    if (g_str_equal(method, "Activate") || g_str_equal(method, "SecondaryActivate"))
        run_later(tray, tray->activate_action, NULL);
}

/* One picture, in network byte order ARGB, as the protocol has it. */
static void add_pixmap(GVariantBuilder *to, const char *icon, int size)
{
    g_autofree char *path = g_strconcat(ICONS, icon, ".svg", NULL);
    g_autoptr(GdkPixbuf) picture =
        gdk_pixbuf_new_from_resource_at_scale(path, size, size, TRUE, NULL);
    if (!picture)
        return;
    int width = gdk_pixbuf_get_width(picture), height = gdk_pixbuf_get_height(picture);
    int channels = gdk_pixbuf_get_n_channels(picture), stride = gdk_pixbuf_get_rowstride(picture);
    const guint8 *pixels = gdk_pixbuf_read_pixels(picture);
    gsize length = (gsize)width * (gsize)height * 4;
    guint8 *argb = g_malloc(length), *at = argb;
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            const guint8 *p = pixels + (gsize)y * (gsize)stride + (gsize)x * (gsize)channels;
            *at++ = channels == 4 ? p[3] : 255;
            *at++ = p[0];
            *at++ = p[1];
            *at++ = p[2];
        }
    }
    g_variant_builder_add(
        to, "(ii@ay)", width, height,
        g_variant_new_from_data(G_VARIANT_TYPE_BYTESTRING, argb, length, TRUE, g_free, argb));
}

static GVariant *pixmaps_of(const char *icon)
{
    static const int sizes[] = { 16, 22, 24, 32, 48 };
    GVariantBuilder pixmaps;
    g_variant_builder_init(&pixmaps, G_VARIANT_TYPE("a(iiay)"));
    for (gsize i = 0; icon && i < G_N_ELEMENTS(sizes); i++)
        add_pixmap(&pixmaps, icon, sizes[i]);
    return g_variant_builder_end(&pixmaps);
}

/* The text of a tooltip is markup for panels. */
static GVariant *tooltip_of(BkTray *tray)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree char *own = g_markup_escape_text(tray->tooltip, -1);
    g_string_append(text, own);
    if (tray->unread) {
        g_string_append_printf(text, "%s", text->len ? "\n" : "");
        g_string_append_printf(
            text, ngettext("%u unread message", "%u unread messages", tray->unread), tray->unread);
    }
    return g_variant_new("(s@a(iiay)ss)", "", pixmaps_of(NULL), "Beckon", text->str);
}

static GVariant *item_property(GDBusConnection *bus, const char *sender, const char *path,
                               const char *interface, const char *name, GError **error,
                               gpointer self)
{
    (void)bus, (void)sender, (void)path, (void)interface, (void)error;
    BkTray *tray = self;
    if (g_str_equal(name, "Category"))
        return g_variant_new_string("Communications");
    if (g_str_equal(name, "Id"))
        return g_variant_new_string(g_application_get_application_id(tray->app));
    if (g_str_equal(name, "Title"))
        return g_variant_new_string("Beckon");
    if (g_str_equal(name, "Status"))
        return g_variant_new_string(tray->unread ? "NeedsAttention" : "Active");
    if (g_str_equal(name, "WindowId"))
        return g_variant_new_int32(0);
    if (g_str_equal(name, "IconName"))
        return g_variant_new_string(tray->icon);
    if (g_str_equal(name, "AttentionIconName"))
        return g_variant_new_string(UNREAD_ICON);
    if (g_str_equal(name, "IconPixmap"))
        return pixmaps_of(tray->icon);
    if (g_str_equal(name, "AttentionIconPixmap"))
        return pixmaps_of(UNREAD_ICON);
    if (g_str_equal(name, "OverlayIconPixmap"))
        return pixmaps_of(NULL);
    if (g_str_equal(name, "ToolTip"))
        return tooltip_of(tray);
    if (g_str_equal(name,
                    "ItemIsMenu")) /* true makes XFCE's panel open the menu in Activate's place */
        return g_variant_new_boolean(FALSE);
    if (g_str_equal(name, "Menu"))
        return g_variant_new_object_path(MENU_PATH);
    return g_variant_new_string("");
}

/* ---- the watcher ---- */

static void set_present(BkTray *tray, gboolean present)
{
    if (tray->present == present)
        return;
    tray->present = present;
    g_object_notify(G_OBJECT(tray), "present");
}

static void on_host(GObject *bus, GAsyncResult *result, gpointer self)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) answer =
        g_dbus_connection_call_finish(G_DBUS_CONNECTION(bus), result, &error);
    if (!answer && g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return; /* the tray may be gone */
    g_autoptr(GVariant) value = NULL;
    if (answer)
        g_variant_get(answer, "(v)", &value);
    set_present(self, value && g_variant_is_of_type(value, G_VARIANT_TYPE_BOOLEAN) &&
                          g_variant_get_boolean(value));
}

static void ask_host(BkTray *tray)
{
    if (tray->watcher)
        g_dbus_connection_call(
            tray->bus, WATCHER, WATCHER_PATH, "org.freedesktop.DBus.Properties", "Get",
            g_variant_new("(ss)", WATCHER, "IsStatusNotifierHostRegistered"), G_VARIANT_TYPE("(v)"),
            G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, tray->watcher, on_host, tray);
}

static void on_registered(GObject *bus, GAsyncResult *result, gpointer self)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) answer =
        g_dbus_connection_call_finish(G_DBUS_CONNECTION(bus), result, &error);
    if (answer)
        ask_host(self);
    else if (!g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        set_present(self, FALSE);
}

static void drop_watcher(BkTray *tray)
{
    if (tray->watcher)
        g_cancellable_cancel(tray->watcher);
    g_clear_object(&tray->watcher);
}

static void on_watcher(GDBusConnection *bus, const char *name, const char *owner, gpointer self)
{
    (void)name, (void)owner;
    BkTray *tray = self;
    drop_watcher(tray);
    tray->watcher = g_cancellable_new();
    g_dbus_connection_call(bus, WATCHER, WATCHER_PATH, WATCHER, "RegisterStatusNotifierItem",
                           g_variant_new("(s)", g_dbus_connection_get_unique_name(bus)), NULL,
                           G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, tray->watcher, on_registered, tray);
}

static void on_no_watcher(GDBusConnection *bus, const char *name, gpointer self)
{
    (void)bus, (void)name;
    drop_watcher(self);
    set_present(self, FALSE);
}

static void on_hosts(GDBusConnection *bus, const char *sender, const char *path,
                     const char *interface, const char *signal, GVariant *parameters, gpointer self)
{
    (void)bus, (void)sender, (void)path, (void)interface, (void)parameters;
    if (g_str_has_prefix(signal, "StatusNotifierHost"))
        ask_host(self);
}

static void put_on_bus(BkTray *tray)
{
    static const GDBusInterfaceVTable item = { on_item_call, item_property, NULL, { 0 } };
    static const GDBusInterfaceVTable menu = { on_menu_call, menu_property, NULL, { 0 } };
    g_autoptr(GDBusNodeInfo) info = g_dbus_node_info_new_for_xml(description, NULL);
    tray->registered[0] = g_dbus_connection_register_object(
        tray->bus, ITEM_PATH, info->interfaces[0], &item, tray, NULL, NULL);
    tray->registered[1] = g_dbus_connection_register_object(
        tray->bus, MENU_PATH, info->interfaces[1], &menu, tray, NULL, NULL);
    tray->hosts =
        g_dbus_connection_signal_subscribe(tray->bus, WATCHER, WATCHER, NULL, WATCHER_PATH, NULL,
                                           G_DBUS_SIGNAL_FLAGS_NONE, on_hosts, tray, NULL);
    tray->watch = g_bus_watch_name_on_connection(tray->bus, WATCHER, G_BUS_NAME_WATCHER_FLAGS_NONE,
                                                 on_watcher, on_no_watcher, tray, NULL);
}

/* ---- the object ---- */

bool bk_tray_is_present(BkTray *tray)
{
    return tray->present;
}

void bk_tray_set(BkTray *tray, const char *icon, const char *tooltip, unsigned unread)
{
    bool other_icon = g_strcmp0(icon, tray->icon) != 0;
    bool other_text = g_strcmp0(tooltip, tray->tooltip) != 0 || unread != tray->unread;
    bool other_status = !unread != !tray->unread;
    if (other_icon) {
        g_free(tray->icon);
        tray->icon = g_strdup(icon);
    }
    if (other_text) {
        char *copy = g_strdup(tooltip ? tooltip : "");
        g_free(tray->tooltip);
        tray->tooltip = copy;
        tray->unread = unread;
    }
    if (other_icon)
        emit(tray, ITEM_PATH, ITEM, "NewIcon", NULL);
    if (other_text)
        emit(tray, ITEM_PATH, ITEM, "NewToolTip", NULL);
    if (other_status)
        emit(tray, ITEM_PATH, ITEM, "NewStatus",
             g_variant_new("(s)", unread ? "NeedsAttention" : "Active"));
}

char *bk_tray_take_activation_token(BkTray *tray)
{
    return g_steal_pointer(&tray->token);
}

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    (void)id, (void)spec;
    g_value_set_boolean(value, BK_TRAY(object)->present);
}

static void dispose(GObject *object)
{
    BkTray *tray = BK_TRAY(object);
    drop_watcher(tray);
    g_clear_handle_id(&tray->rebuild_idle, g_source_remove);
    g_clear_handle_id(&tray->told_idle, g_source_remove);
    g_clear_handle_id(&tray->watch, g_bus_unwatch_name);
    for (gsize i = 0; i < G_N_ELEMENTS(tray->registered); i++) {
        if (tray->registered[i])
            (void)g_dbus_connection_unregister_object(tray->bus, tray->registered[i]);
        tray->registered[i] = 0;
    }
    if (tray->hosts)
        g_dbus_connection_signal_unsubscribe(tray->bus, tray->hosts);
    tray->hosts = 0;
    for (guint i = 0; i < tray->models->len; i++)
        g_signal_handlers_disconnect_by_data(g_ptr_array_index(tray->models, i), tray);
    g_ptr_array_set_size(tray->models, 0);
    if (tray->app)
        g_signal_handlers_disconnect_by_data(tray->app, tray);
    tray->app = NULL;
    g_clear_object(&tray->menu);
    g_clear_object(&tray->bus);
    G_OBJECT_CLASS(bk_tray_parent_class)->dispose(object);
}

static void finalize(GObject *object)
{
    BkTray *tray = BK_TRAY(object);
    g_ptr_array_unref(tray->models);
    g_ptr_array_unref(tray->entries);
    g_hash_table_unref(tray->numbers);
    g_free(tray->activate_action);
    g_free(tray->icon);
    g_free(tray->tooltip);
    g_free(tray->token);
    G_OBJECT_CLASS(bk_tray_parent_class)->finalize(object);
}

static void bk_tray_class_init(BkTrayClass *class)
{
    G_OBJECT_CLASS(class)->get_property = get_property;
    G_OBJECT_CLASS(class)->dispose = dispose;
    G_OBJECT_CLASS(class)->finalize = finalize;
    g_object_class_install_property(
        G_OBJECT_CLASS(class), PROP_PRESENT,
        g_param_spec_boolean("present", NULL, NULL, FALSE,
                             G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY));
}

static void bk_tray_init(BkTray *tray)
{
    tray->models = g_ptr_array_new_with_free_func(g_object_unref);
    tray->entries = g_ptr_array_new_with_free_func((GDestroyNotify)entry_free);
    tray->numbers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    tray->icon = g_strdup("beckon-status-offline");
    tray->tooltip = g_strdup("");
    tray->next_id = 1;
    tray->revision = 1;
}

BkTray *bk_tray_new(GApplication *app, GMenuModel *menu, const char *activate_action)
{
    BkTray *tray = g_object_new(BK_TYPE_TRAY, NULL);
    GDBusConnection *bus = g_application_get_dbus_connection(app);
    tray->app = app;
    tray->menu = g_object_ref(menu);
    tray->activate_action = g_strdup(activate_action);
    read_menu(tray);
    g_signal_connect_swapped(app, "action-added", G_CALLBACK(actions_changed), tray);
    g_signal_connect_swapped(app, "action-removed", G_CALLBACK(actions_changed), tray);
    g_signal_connect_swapped(app, "action-enabled-changed", G_CALLBACK(actions_changed), tray);
    g_signal_connect_swapped(app, "action-state-changed", G_CALLBACK(actions_changed), tray);
    if (bus) {
        tray->bus = g_object_ref(bus);
        put_on_bus(tray);
    }
    return tray;
}
