/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_test.h"
#include "desktop/tray.h"

#include <string.h>

static const char watcher_xml[] =
    "<node><interface name='org.kde.StatusNotifierWatcher'>"
    "<method name='RegisterStatusNotifierItem'><arg type='s' direction='in'/></method>"
    "<property name='IsStatusNotifierHostRegistered' type='b' access='read'/>"
    "<signal name='StatusNotifierHostRegistered'/><signal name='StatusNotifierHostUnregistered'/>"
    "</interface></node>";

struct fixture {
    GApplication *app;
    GMenu *menu, *statuses;
    GSimpleAction *show, *status, *exit, *sounds;
    BkTray *tray;
    struct service watcher;
    bool host;
    GDBusConnection *panel; /* what looks at the tray */
    int shown, exited;
    char *signals; /* all that the panel heard, a line each */
    guint heard;
};

static GVariant *watcher_property(void *ctx, const char *name)
{
    struct fixture *f = ctx;
    return g_str_equal(name, "IsStatusNotifierHostRegistered") ? g_variant_new_boolean(f->host)
                                                               : NULL;
}

static void start_watcher(struct fixture *f)
{
    f->watcher = (struct service){ .property = watcher_property, .ctx = f };
    service_start(&f->watcher, "org.kde.StatusNotifierWatcher", "/StatusNotifierWatcher",
                  watcher_xml);
}

static void count(GSimpleAction *action, GVariant *parameter, gpointer counter)
{
    (void)action, (void)parameter;
    ++*(int *)counter;
}

static GSimpleAction *add_action(struct fixture *f, GSimpleAction *action, int *counter)
{
    g_action_map_add_action(G_ACTION_MAP(f->app), G_ACTION(action));
    if (counter)
        g_signal_connect(action, "activate", G_CALLBACK(count), counter);
    g_object_unref(action);
    return action;
}

static void make_menu(struct fixture *f)
{
    g_autoptr(GMenu) first = g_menu_new(), last = g_menu_new(), empty = g_menu_new();
    f->menu = g_menu_new();
    f->statuses = g_menu_new();
    g_menu_append(f->statuses, "Available", "app.status::available");
    g_menu_append(f->statuses, "Busy", "app.status::busy");
    g_menu_append(first, "_Open", "app.show");
    g_menu_append_submenu(first, "Status", G_MENU_MODEL(f->statuses));
    g_menu_append(first, "Sounds", "app.sounds");
    g_menu_append(last, "Exit", "app.exit");
    g_menu_append_section(f->menu, NULL, G_MENU_MODEL(empty));
    g_menu_append_section(f->menu, NULL, G_MENU_MODEL(first));
    g_menu_append_section(f->menu, NULL, G_MENU_MODEL(empty));
    g_menu_append_section(f->menu, NULL, G_MENU_MODEL(last));
}

static void on_signal(GDBusConnection *bus, const char *sender, const char *path,
                      const char *interface, const char *signal, GVariant *parameters, gpointer ctx)
{
    (void)bus, (void)sender, (void)path;
    struct fixture *f = ctx;
    if (g_str_has_prefix(interface, "org.gtk."))
        return; /* GApplication's own way of telling actions */
    g_autofree char *text = g_variant_print(parameters, FALSE);
    char *all = g_strconcat(f->signals, signal, text, "\n", NULL);
    g_free(f->signals);
    f->signals = all;
}

static int set_up(void **state)
{
    bus_start();
    struct fixture *f = g_new0(struct fixture, 1);
    f->app = g_application_new("org.beckon.TrayTest", G_APPLICATION_NON_UNIQUE);
    f->show = add_action(f, g_simple_action_new("show", NULL), &f->shown);
    f->exit = add_action(f, g_simple_action_new("exit", NULL), &f->exited);
    f->status = add_action(f,
                           g_simple_action_new_stateful("status", G_VARIANT_TYPE_STRING,
                                                        g_variant_new_string("available")),
                           NULL);
    f->sounds = add_action(
        f, g_simple_action_new_stateful("sounds", NULL, g_variant_new_boolean(TRUE)), NULL);
    assert_true(g_application_register(f->app, NULL, NULL));
    make_menu(f);
    f->tray = bk_tray_new(f->app, G_MENU_MODEL(f->menu), "app.show");
    f->panel = bus_connect();
    f->signals = g_strdup("");
    GDBusConnection *bus = g_application_get_dbus_connection(f->app);
    f->heard = g_dbus_connection_signal_subscribe(f->panel, g_dbus_connection_get_unique_name(bus),
                                                  NULL, NULL, NULL, NULL, G_DBUS_SIGNAL_FLAGS_NONE,
                                                  on_signal, f, NULL);
    bus_settle(f->panel);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    service_stop(&f->watcher);
    g_dbus_connection_signal_unsubscribe(f->panel, f->heard);
    (void)g_dbus_connection_close_sync(f->panel, NULL, NULL);
    g_object_unref(f->panel);
    g_object_unref(f->tray);
    g_object_unref(f->menu);
    g_object_unref(f->statuses);
    g_object_unref(f->app);
    g_free(f->signals);
    g_free(f);
    bus_stop();
    return 0;
}

static const char *name_of(struct fixture *f)
{
    return g_dbus_connection_get_unique_name(g_application_get_dbus_connection(f->app));
}

static GVariant *ask_menu(struct fixture *f, const char *method, GVariant *parameters)
{
    return bus_call(f->panel, name_of(f), "/MenuBar", "com.canonical.dbusmenu", method, parameters);
}

static GVariant *ask_item(struct fixture *f, const char *property)
{
    g_autoptr(GVariant) answer =
        bus_call(f->panel, name_of(f), "/StatusNotifierItem", "org.freedesktop.DBus.Properties",
                 "Get", g_variant_new("(ss)", "org.kde.StatusNotifierItem", property));
    assert_non_null(answer);
    GVariant *value;
    g_variant_get(answer, "(v)", &value);
    return value;
}

static char *item_text(struct fixture *f, const char *property)
{
    g_autoptr(GVariant) value = ask_item(f, property);
    return g_variant_dup_string(value, NULL);
}

static bool is_present(void *ctx)
{
    return bk_tray_is_present(((struct fixture *)ctx)->tray);
}

static bool is_absent(void *ctx)
{
    return !is_present(ctx);
}

static bool is_registered(void *ctx)
{
    struct fixture *f = ctx;
    return service_count(&f->watcher, "RegisterStatusNotifierItem") > 0;
}

static void it_registers_late_and_again_after_the_watcher_restarted(void **state)
{
    struct fixture *f = *state;
    f->host = true;
    for (int round = 0; round < 2; round++) {
        assert_false(bk_tray_is_present(f->tray));
        start_watcher(f);
        assert_true(wait_until(is_present, f));
        g_autofree char *expected =
            g_strdup_printf("RegisterStatusNotifierItem('%s',)", name_of(f));
        assert_true(service_was_called(&f->watcher, expected));
        assert_int_equal(f->watcher.calls->len, 1);
        service_stop(&f->watcher);
        assert_true(wait_until(is_absent, f));
    }
}

static void it_is_present_only_while_a_host_shows_it(void **state)
{
    struct fixture *f = *state;
    start_watcher(f);
    assert_true(wait_until(is_registered, f));
    bus_settle(f->panel);
    assert_false(bk_tray_is_present(f->tray));
    f->host = true;
    service_emit(&f->watcher, "StatusNotifierHostRegistered", NULL);
    assert_true(wait_until(is_present, f));
    f->host = false;
    service_emit(&f->watcher, "StatusNotifierHostUnregistered", NULL);
    assert_true(wait_until(is_absent, f));
}

/* One line an entry: depth, what it is, whether it can be used, its mark. */
static void draw(GVariant *node, int depth, GString *to, const char *find, int *ret_id)
{
    int id;
    g_autoptr(GVariant) values = NULL, children = NULL;
    g_variant_get(node, "(i@a{sv}@av)", &id, &values, &children);
    const char *label = "", *type = "", *mark = "";
    gboolean enabled = TRUE, visible = TRUE;
    int on = -1;
    g_variant_lookup(values, "label", "&s", &label);
    g_variant_lookup(values, "type", "&s", &type);
    g_variant_lookup(values, "enabled", "b", &enabled);
    g_variant_lookup(values, "visible", "b", &visible);
    g_variant_lookup(values, "toggle-type", "&s", &mark);
    g_variant_lookup(values, "toggle-state", "i", &on);
    if (find && g_str_equal(label, find))
        *ret_id = id;
    if (depth >= 0)
        g_string_append_printf(to, "%*s%s%s%s%s%s%s;", depth, "", *type ? "--" : label,
                               enabled ? "" : " off", visible ? "" : " hidden", *mark ? " " : "",
                               mark,
                               on < 0 ? ""
                               : on   ? "=1"
                                      : "=0");
    for (gsize i = 0; i < g_variant_n_children(children); i++) {
        g_autoptr(GVariant) boxed = g_variant_get_child_value(children, i);
        g_autoptr(GVariant) child = g_variant_get_variant(boxed);
        draw(child, depth + 1, to, find, ret_id);
    }
}

static char *layout(struct fixture *f, int parent, int depth, const char *find, int *ret_id)
{
    g_autoptr(GVariant) answer =
        ask_menu(f, "GetLayout", g_variant_new("(iias)", parent, depth, NULL));
    assert_non_null(answer);
    g_autoptr(GVariant) root = g_variant_get_child_value(answer, 1);
    g_autoptr(GString) text = g_string_new(NULL);
    draw(root, -1, text, find, ret_id);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static int id_of(struct fixture *f, const char *label)
{
    int id = 0;
    g_autofree char *text = layout(f, 0, -1, label, &id);
    assert_non_null(text);
    assert_int_not_equal(id, 0);
    return id;
}

static void the_menu_has_submenus_lines_between_sections_and_marks(void **state)
{
    struct fixture *f = *state;
    g_autofree char *all = layout(f, 0, -1, NULL, NULL);
    assert_string_equal(all, "_Open;Status; Available radio=1; Busy radio=0;"
                             "Sounds checkmark=1;--;Exit;");
    g_autofree char *one = layout(f, 0, 1, NULL, NULL);
    assert_string_equal(one, "_Open;Status;Sounds checkmark=1;--;Exit;");
    g_autofree char *below = layout(f, id_of(f, "Status"), -1, NULL, NULL);
    assert_string_equal(below, "Available radio=1;Busy radio=0;");
    g_autoptr(GVariant) none = ask_menu(f, "GetLayout", g_variant_new("(iias)", 4711, -1, NULL));
    assert_null(none);
}

static void properties_are_told_one_by_one_and_in_groups(void **state)
{
    struct fixture *f = *state;
    int id = id_of(f, "Exit");
    g_autoptr(GVariant) one = ask_menu(f, "GetProperty", g_variant_new("(is)", id, "label"));
    g_autofree char *text = g_variant_print(one, FALSE);
    assert_string_equal(text, "(<'Exit'>,)");
    g_autoptr(GVariant) none = ask_menu(f, "GetProperty", g_variant_new("(is)", id, "colour"));
    assert_null(none);
    const int ids[] = { id, 4711 };
    const char *const names[] = { "enabled", NULL };
    g_autoptr(GVariant) group = ask_menu(
        f, "GetGroupProperties",
        g_variant_new("(@ai^as)",
                      g_variant_new_fixed_array(G_VARIANT_TYPE_INT32, ids, 2, sizeof *ids), names));
    g_autofree char *rows = g_variant_print(group, FALSE);
    g_autofree char *expected = g_strdup_printf("([(%d, {'enabled': <true>})],)", id);
    assert_string_equal(rows, expected);
}

static bool is_exited(void *ctx)
{
    return ((struct fixture *)ctx)->exited > 0;
}

static GVariant *click(struct fixture *f, int id, const char *what)
{
    return ask_menu(f, "Event",
                    g_variant_new("(isvu)", id, what, g_variant_new_string(""), (guint32)0));
}

static void a_click_is_answered_before_its_action_runs(void **state)
{
    struct fixture *f = *state;
    int id = id_of(f, "Exit");
    g_autoptr(GVariant) hover = click(f, id, "hovered");
    assert_non_null(hover);
    g_autoptr(GVariant) answer = click(f, id, "clicked");
    assert_non_null(answer);
    assert_true(wait_until(is_exited, f));
    assert_int_equal(f->exited, 1);
}

static bool is_busy(void *ctx)
{
    g_autoptr(GVariant) now = g_action_get_state(G_ACTION(((struct fixture *)ctx)->status));
    return g_str_equal(g_variant_get_string(now, NULL), "busy");
}

static void a_click_carries_the_target_also_in_a_group(void **state)
{
    struct fixture *f = *state;
    GVariantBuilder events;
    g_variant_builder_init(&events, G_VARIANT_TYPE("a(isvu)"));
    g_variant_builder_add(&events, "(isvu)", id_of(f, "Busy"), "clicked", g_variant_new_int32(0),
                          (guint32)0);
    g_variant_builder_add(&events, "(isvu)", 4711, "clicked", g_variant_new_int32(0), (guint32)0);
    g_autoptr(GVariant) answer = ask_menu(f, "EventGroup", g_variant_new("(a(isvu))", &events));
    g_autofree char *unknown = g_variant_print(answer, FALSE);
    assert_string_equal(unknown, "([4711],)");
    assert_true(wait_until(is_busy, f));
}

static bool has_told_enabled(void *ctx)
{
    return strstr(((struct fixture *)ctx)->signals, "{'enabled': <false>}") != NULL;
}

static bool has_told_marks(void *ctx)
{
    return strstr(((struct fixture *)ctx)->signals, "{'toggle-state': <1>}") != NULL;
}

static void changes_of_an_action_are_told_and_only_those(void **state)
{
    struct fixture *f = *state;
    int exit = id_of(f, "Exit"), free = id_of(f, "Available"), busy = id_of(f, "Busy");
    g_simple_action_set_enabled(f->exit, FALSE);
    assert_true(wait_until(has_told_enabled, f));
    g_autofree char *expected =
        g_strdup_printf("ItemsPropertiesUpdated([(%d, {'enabled': <false>})], [])\n", exit);
    assert_string_equal(f->signals, expected);

    f->signals[0] = 0;
    g_action_change_state(G_ACTION(f->status), g_variant_new_string("busy"));
    assert_true(wait_until(has_told_marks, f));
    g_autofree char *marks = g_strdup_printf("ItemsPropertiesUpdated([(%d, {'toggle-state': <0>}), "
                                             "(%d, {'toggle-state': <1>})], [])\n",
                                             free, busy);
    assert_string_equal(f->signals, marks);

    g_autoptr(GVariant) answer = click(f, exit, "clicked");
    assert_non_null(answer);
    bus_settle(f->panel);
    assert_int_equal(f->exited, 0); /* what is not enabled does not run */
}

static bool has_told_layout(void *ctx)
{
    return strstr(((struct fixture *)ctx)->signals, "LayoutUpdated") != NULL;
}

static void a_changed_menu_is_told_once_and_what_stayed_keeps_its_id(void **state)
{
    struct fixture *f = *state;
    int before = id_of(f, "Exit");
    g_menu_remove(f->statuses, 0);
    g_menu_append(f->statuses, "Do Not Disturb", "app.status::dnd");
    assert_true(wait_until(has_told_layout, f));
    assert_string_equal(f->signals, "LayoutUpdated(2, 0)\n");
    g_autofree char *all = layout(f, 0, -1, NULL, NULL);
    assert_string_equal(all, "_Open;Status; Busy radio=0; Do Not Disturb radio=0;"
                             "Sounds checkmark=1;--;Exit;");
    assert_int_equal(id_of(f, "Exit"), before);
}

static void a_missing_action_cannot_be_used_and_can_be_hidden(void **state)
{
    struct fixture *f = *state;
    g_autoptr(GMenuItem) item = g_menu_item_new("Sign In", "app.sign-in");
    g_menu_item_set_attribute(item, "hidden-when", "s", "action-missing");
    g_menu_append_item(f->menu, item);
    g_menu_append(f->menu, "About", "app.about");
    g_autofree char *all = layout(f, 0, 1, NULL, NULL);
    assert_string_equal(all,
                        "_Open;Status;Sounds checkmark=1;--;Exit;--;Sign In off hidden;About off;");
}

static bool is_shown(void *ctx)
{
    return ((struct fixture *)ctx)->shown > 0;
}

static void a_click_on_the_icon_runs_its_action_with_the_panels_token(void **state)
{
    struct fixture *f = *state;
    g_autoptr(GVariant) token =
        bus_call(f->panel, name_of(f), "/StatusNotifierItem", "org.kde.StatusNotifierItem",
                 "ProvideXdgActivationToken", g_variant_new("(s)", "token-1"));
    assert_non_null(token);
    g_autoptr(GVariant) answer =
        bus_call(f->panel, name_of(f), "/StatusNotifierItem", "org.kde.StatusNotifierItem",
                 "Activate", g_variant_new("(ii)", 3, 4));
    assert_non_null(answer);
    assert_true(wait_until(is_shown, f));
    g_autofree char *taken = bk_tray_take_activation_token(f->tray);
    assert_string_equal(taken, "token-1");
    assert_null(bk_tray_take_activation_token(f->tray));
}

static bool has_told_status(void *ctx)
{
    return strstr(((struct fixture *)ctx)->signals, "NewStatus") != NULL;
}

static void unread_messages_ask_for_attention_until_they_are_read(void **state)
{
    struct fixture *f = *state;
    bk_tray_set(f->tray, "beckon-status-busy", "a&b@example.org: Busy", 2);
    assert_true(wait_until(has_told_status, f));
    assert_string_equal(f->signals, "NewIcon()\nNewToolTip()\nNewStatus('NeedsAttention',)\n");
    g_autofree char *status = item_text(f, "Status"), *icon = item_text(f, "IconName"),
                    *attention = item_text(f, "AttentionIconName");
    assert_string_equal(status, "NeedsAttention");
    assert_string_equal(icon, "beckon-status-busy");
    assert_string_equal(attention, "beckon-unread");
    g_autoptr(GVariant) tip = ask_item(f, "ToolTip");
    g_autofree char *text = g_variant_print(tip, FALSE);
    assert_string_equal(text,
                        "('', [], 'Beckon', 'a&amp;b@example.org: Busy\\n2 unread messages')");

    f->signals[0] = 0;
    bk_tray_set(f->tray, "beckon-status-busy", "a&b@example.org: Busy", 0);
    assert_true(wait_until(has_told_status, f));
    assert_string_equal(f->signals, "NewToolTip()\nNewStatus('Active',)\n");
    f->signals[0] = 0;
    bk_tray_set(f->tray, "beckon-status-busy", "a&b@example.org: Busy", 0);
    bus_settle(f->panel);
    assert_string_equal(f->signals, "");
}

GResource *bk_desktop_get_resource(void);

/* Panels with another theme: 16 to 48 pixels, ARGB, not empty, and another picture for another status. */
static void pixmaps_of_the_icon_come_from_our_own_resources(void **state)
{
    struct fixture *f = *state;
    assert_non_null(bk_desktop_get_resource());
    bk_tray_set(f->tray, "beckon-status-busy", "", 0);
    g_autoptr(GVariant) busy = ask_item(f, "IconPixmap");
    assert_int_equal(g_variant_n_children(busy), 5);
    int width, height;
    g_autoptr(GVariant) bytes = NULL;
    g_variant_get_child(busy, 0, "(ii@ay)", &width, &height, &bytes);
    assert_int_equal(width, 16);
    assert_int_equal(height, 16);
    gsize size;
    const guint8 *argb = g_variant_get_fixed_array(bytes, &size, 1);
    assert_int_equal(size, 16 * 16 * 4);
    const guint8 *middle = argb + (8 * 16 + 8) * 4; /* a full red square */
    assert_int_equal(middle[0], 255);
    assert_true(middle[1] > 200 && middle[2] < 100 && middle[3] < 100);
    bk_tray_set(f->tray, "beckon-status-available", "", 0);
    g_autoptr(GVariant) available = ask_item(f, "IconPixmap");
    assert_false(g_variant_equal(busy, available));
    bk_tray_set(f->tray, "no-such-icon", "", 0);
    g_autoptr(GVariant) none = ask_item(f, "IconPixmap");
    assert_int_equal(g_variant_n_children(none), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_registers_late_and_again_after_the_watcher_restarted,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_is_present_only_while_a_host_shows_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_menu_has_submenus_lines_between_sections_and_marks,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(properties_are_told_one_by_one_and_in_groups, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_click_is_answered_before_its_action_runs, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_click_carries_the_target_also_in_a_group, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(changes_of_an_action_are_told_and_only_those, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_changed_menu_is_told_once_and_what_stayed_keeps_its_id,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_missing_action_cannot_be_used_and_can_be_hidden, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_click_on_the_icon_runs_its_action_with_the_panels_token,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(unread_messages_ask_for_attention_until_they_are_read,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(pixmaps_of_the_icon_come_from_our_own_resources, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
