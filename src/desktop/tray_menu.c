/* SPDX-License-Identifier: Apache-2.0 */
/* The menu of the icon as com.canonical.dbusmenu has it: read from a GMenuModel, told to panels. */
#include "desktop/tray_private.h"

#include <glib/gi18n.h>

/* ---- the menu ---- */

void bk_tray_entry_free(struct bk_tray_entry *entry)
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

static struct bk_tray_entry *find_entry(BkTray *tray, int id)
{
    for (guint i = 0; i < tray->entries->len; i++) {
        struct bk_tray_entry *entry = g_ptr_array_index(tray->entries, i);
        if (entry->id == id)
            return entry;
    }
    return NULL;
}

/* The same entry in the same place of the menu has the same number, whatever else came and went. */
static int number_of(BkTray *tray, int parent, const struct bk_tray_entry *entry)
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

static struct bk_tray_entry *add_entry(BkTray *tray, struct bk_tray_entry *parent,
                                       struct bk_tray_entry what)
{
    struct bk_tray_entry *entry = g_memdup2(&what, sizeof what);
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

static struct bk_tray_entry read_item(GMenuModel *model, int i)
{
    g_autofree char *action = text_of(model, i, G_MENU_ATTRIBUTE_ACTION);
    struct bk_tray_entry entry = { .label = text_of(model, i, G_MENU_ATTRIBUTE_LABEL),
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
static void add_separator(BkTray *tray, struct bk_tray_entry *parent, gboolean *wanted)
{
    if (*wanted && parent->children->len)
        (void)add_entry(tray, parent, (struct bk_tray_entry){ 0 });
    *wanted = FALSE;
}

static void add_items(BkTray *tray, struct bk_tray_entry *parent, GMenuModel *model, gboolean *line)
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
        struct bk_tray_entry *entry = add_entry(tray, parent, read_item(model, i));
        gboolean inner_line = FALSE;
        entry->is_submenu = submenu != NULL;
        if (submenu)
            add_items(tray, entry, submenu, &inner_line);
    }
}

void bk_tray_read_menu(BkTray *tray)
{
    for (guint i = 0; i < tray->models->len; i++)
        g_signal_handlers_disconnect_by_data(g_ptr_array_index(tray->models, i), tray);
    g_ptr_array_set_size(tray->models, 0);
    g_ptr_array_set_size(tray->entries, 0);
    gboolean line = FALSE;
    add_items(tray, add_entry(tray, NULL, (struct bk_tray_entry){ .is_submenu = TRUE }), tray->menu,
              &line);
}

/* ---- what the panel is told of it ---- */

static void add_mark(BkTray *tray, const struct bk_tray_entry *entry, GVariantDict *to)
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

static gboolean is_enabled(BkTray *tray, const struct bk_tray_entry *entry)
{
    if (!entry->action)
        return entry->is_submenu;
    GActionGroup *group = G_ACTION_GROUP(tray->app);
    return g_action_group_has_action(group, entry->action) &&
           g_action_group_get_action_enabled(group, entry->action);
}

static gboolean is_visible(BkTray *tray, const struct bk_tray_entry *entry)
{
    if (!entry->hidden_when || !entry->action)
        return TRUE;
    if (g_str_equal(entry->hidden_when, "action-missing"))
        return g_action_group_has_action(G_ACTION_GROUP(tray->app), entry->action);
    return !g_str_equal(entry->hidden_when, "action-disabled") || is_enabled(tray, entry);
}

/* All of them, also those of the usual value: a panel may ask for one by one. Floating. */
static GVariant *properties_of(BkTray *tray, const struct bk_tray_entry *entry)
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

static GVariant *some_properties_of(BkTray *tray, const struct bk_tray_entry *entry,
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

static void note_told(BkTray *tray, struct bk_tray_entry *entry)
{
    g_clear_pointer(&entry->told, g_variant_unref);
    entry->told = g_variant_ref_sink(properties_of(tray, entry));
}

/* depth: 0 the entry alone, -1 all below it. Menus are ours, so they are not deep. */
static GVariant *layout_of(BkTray *tray, struct bk_tray_entry *entry, int depth,
                           const char *const *names)
{
    GVariantBuilder children;
    g_variant_builder_init(&children, G_VARIANT_TYPE("av"));
    for (guint i = 0; depth != 0 && i < entry->children->len; i++) {
        struct bk_tray_entry *child = find_entry(tray, g_array_index(entry->children, int, i));
        g_variant_builder_add(&children, "v",
                              layout_of(tray, child, depth > 0 ? depth - 1 : depth, names));
    }
    note_told(tray, entry);
    return g_variant_new("(i@a{sv}av)", entry->id, some_properties_of(tray, entry, names),
                         &children);
}

void bk_tray_emit(BkTray *tray, const char *path, const char *interface, const char *signal,
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
    bk_tray_read_menu(tray);
    for (guint i = 0; i < tray->entries->len; i++)
        note_told(tray, g_ptr_array_index(tray->entries, i));
    bk_tray_emit(tray, BK_TRAY_MENU_PATH, BK_TRAY_MENU, "LayoutUpdated",
                 g_variant_new("(ui)", ++tray->revision, 0));
    return G_SOURCE_REMOVE;
}

static void menu_changed(BkTray *tray)
{
    if (!tray->rebuild_idle)
        tray->rebuild_idle = g_idle_add(tell_layout, tray);
}

/* Adds what became another in entry, and the names of what it no longer has. */
static void add_difference(BkTray *tray, struct bk_tray_entry *entry, GVariantBuilder *changed,
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
        bk_tray_emit(tray, BK_TRAY_MENU_PATH, BK_TRAY_MENU, "ItemsPropertiesUpdated", parameters);
    return G_SOURCE_REMOVE;
}

void bk_tray_actions_changed(BkTray *tray)
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
    struct bk_tray_entry *entry = find_entry(tray, id);
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
        struct bk_tray_entry *entry = g_ptr_array_index(tray->entries, i);
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
    struct bk_tray_entry *entry = find_entry(tray, id);
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
void bk_tray_run_later(BkTray *tray, const char *action, GVariant *target)
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
    struct bk_tray_entry *entry = find_entry(tray, id);
    if (entry && entry->action && g_str_equal(what, "clicked"))
        bk_tray_run_later(tray, entry->action, entry->target);
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

const GDBusInterfaceVTable bk_tray_menu_calls = { on_menu_call, menu_property, NULL, { 0 } };
