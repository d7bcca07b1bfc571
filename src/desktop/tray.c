/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/tray.h"

#include "desktop/tray_private.h"

#include <gdk-pixbuf/gdk-pixbuf.h>
#include <glib/gi18n.h>

#define WATCHER "org.kde.StatusNotifierWatcher"
#define WATCHER_PATH "/StatusNotifierWatcher"
#define ITEM "org.kde.StatusNotifierItem"
#define ITEM_PATH "/StatusNotifierItem"
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
    "<interface name='" BK_TRAY_MENU "'>"
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

G_DEFINE_FINAL_TYPE(BkTray, bk_tray, G_TYPE_OBJECT)

enum { PROP_PRESENT = 1 };

/* ---- the item ---- */

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
        bk_tray_run_later(tray, tray->activate_action, NULL);
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
        return g_variant_new_object_path(BK_TRAY_MENU_PATH);
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
    g_autoptr(GDBusNodeInfo) info = g_dbus_node_info_new_for_xml(description, NULL);
    tray->registered[0] = g_dbus_connection_register_object(
        tray->bus, ITEM_PATH, info->interfaces[0], &item, tray, NULL, NULL);
    tray->registered[1] = g_dbus_connection_register_object(
        tray->bus, BK_TRAY_MENU_PATH, info->interfaces[1], &bk_tray_menu_calls, tray, NULL, NULL);
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
        bk_tray_emit(tray, ITEM_PATH, ITEM, "NewIcon", NULL);
    if (other_text)
        bk_tray_emit(tray, ITEM_PATH, ITEM, "NewToolTip", NULL);
    if (other_status)
        bk_tray_emit(tray, ITEM_PATH, ITEM, "NewStatus",
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
    tray->entries = g_ptr_array_new_with_free_func((GDestroyNotify)bk_tray_entry_free);
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
    bk_tray_read_menu(tray);
    g_signal_connect_swapped(app, "action-added", G_CALLBACK(bk_tray_actions_changed), tray);
    g_signal_connect_swapped(app, "action-removed", G_CALLBACK(bk_tray_actions_changed), tray);
    g_signal_connect_swapped(app, "action-enabled-changed", G_CALLBACK(bk_tray_actions_changed),
                             tray);
    g_signal_connect_swapped(app, "action-state-changed", G_CALLBACK(bk_tray_actions_changed),
                             tray);
    if (bus) {
        tray->bus = g_object_ref(bus);
        put_on_bus(tray);
    }
    return tray;
}
