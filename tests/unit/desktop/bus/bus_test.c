/* SPDX-License-Identifier: Apache-2.0 */
#include "bus_test.h"

#include <string.h>

static GTestDBus *daemon_of_test;

void bus_start(void)
{
    daemon_of_test = g_test_dbus_new(G_TEST_DBUS_NONE);
    g_test_dbus_up(daemon_of_test);
}

void bus_stop(void)
{
    g_test_dbus_stop(daemon_of_test);
    g_clear_object(&daemon_of_test);
}

GDBusConnection *bus_connect(void)
{
    g_autoptr(GError) error = NULL;
    GDBusConnection *bus =
        g_dbus_connection_new_for_address_sync(g_test_dbus_get_bus_address(daemon_of_test),
                                               G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                                   G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                               NULL, NULL, &error);
    if (!bus)
        fail_msg("%s", error->message);
    g_dbus_connection_set_exit_on_close(bus, FALSE);
    return bus;
}

static gboolean give_up(gpointer late)
{
    *(bool *)late = true;
    return G_SOURCE_REMOVE;
}

bool wait_until(bool (*holds)(void *ctx), void *ctx)
{
    bool late = false;
    guint timer = g_timeout_add_seconds(20, give_up, &late);
    while (!holds(ctx) && !late)
        g_main_context_iteration(NULL, TRUE);
    if (!late)
        g_source_remove(timer);
    return !late;
}

struct answer {
    GVariant *value;
    bool done;
};

static void on_answer(GObject *bus, GAsyncResult *result, gpointer data)
{
    struct answer *answer = data;
    answer->value = g_dbus_connection_call_finish(G_DBUS_CONNECTION(bus), result, NULL);
    answer->done = true;
}

static bool is_answered(void *ctx)
{
    return ((struct answer *)ctx)->done;
}

GVariant *bus_call(GDBusConnection *bus, const char *name, const char *path, const char *interface,
                   const char *method, GVariant *parameters)
{
    struct answer answer = { 0 };
    g_dbus_connection_call(bus, name, path, interface, method, parameters, NULL,
                           G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, NULL, on_answer, &answer);
    assert_true(wait_until(is_answered, &answer));
    return answer.value;
}

void bus_settle(GDBusConnection *bus)
{
    g_autoptr(GVariant) id = bus_call(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                      "org.freedesktop.DBus", "GetId", NULL);
    assert_non_null(id);
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

static void on_call(GDBusConnection *bus, const char *sender, const char *path,
                    const char *interface, const char *method, GVariant *parameters,
                    GDBusMethodInvocation *call, gpointer self)
{
    (void)bus, (void)sender, (void)path, (void)interface;
    struct service *service = self;
    g_autofree char *text = g_variant_print(parameters, FALSE);
    g_ptr_array_add(service->calls, g_strconcat(method, text, NULL));
    GVariant *answer =
        service->answer ? service->answer(service->ctx, method, parameters) : g_variant_new("()");
    if (answer)
        g_dbus_method_invocation_return_value(call, answer);
    else
        g_dbus_method_invocation_return_error(call, G_DBUS_ERROR, G_DBUS_ERROR_NOT_SUPPORTED,
                                              "not here");
}

static GVariant *on_property(GDBusConnection *bus, const char *sender, const char *path,
                             const char *interface, const char *name, GError **error, gpointer self)
{
    (void)bus, (void)sender, (void)path, (void)interface;
    struct service *service = self;
    GVariant *value = service->property ? service->property(service->ctx, name) : NULL;
    if (!value)
        g_set_error(error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_PROPERTY, "not here");
    return value;
}

static void on_acquired(GDBusConnection *bus, const char *name, gpointer self)
{
    (void)bus, (void)name;
    ((struct service *)self)->acquired = true;
}

static bool is_acquired(void *ctx)
{
    return ((struct service *)ctx)->acquired;
}

void service_start(struct service *service, const char *name, const char *path, const char *xml)
{
    static const GDBusInterfaceVTable table = { on_call, on_property, NULL, { 0 } };
    g_autoptr(GError) error = NULL;
    service->bus = bus_connect();
    service->name = name;
    service->path = path;
    service->acquired = false;
    if (!service->calls)
        service->calls = g_ptr_array_new_with_free_func(g_free);
    service->info = g_dbus_node_info_new_for_xml(xml, &error);
    if (!service->info)
        fail_msg("%s", error->message);
    service->object = g_dbus_connection_register_object(
        service->bus, path, service->info->interfaces[0], &table, service, NULL, NULL);
    service->owner = g_bus_own_name_on_connection(
        service->bus, name, G_BUS_NAME_OWNER_FLAGS_DO_NOT_QUEUE, on_acquired, NULL, service, NULL);
    assert_true(wait_until(is_acquired, service));
}

void service_stop(struct service *service)
{
    if (!service->bus)
        return;
    g_bus_unown_name(service->owner);
    g_dbus_connection_unregister_object(service->bus, service->object);
    (void)g_dbus_connection_close_sync(service->bus, NULL, NULL);
    g_clear_object(&service->bus);
    g_clear_pointer(&service->info, g_dbus_node_info_unref);
    g_clear_pointer(&service->calls, g_ptr_array_unref);
}

void service_emit(struct service *service, const char *signal, GVariant *parameters)
{
    assert_true(g_dbus_connection_emit_signal(service->bus, NULL, service->path,
                                              service->info->interfaces[0]->name, signal,
                                              parameters, NULL));
    bus_settle(service->bus); /* the bus has it before it sees what the test does next */
}

bool service_was_called(const struct service *service, const char *call)
{
    for (guint i = 0; i < service->calls->len; i++)
        if (g_str_equal(g_ptr_array_index(service->calls, i), call))
            return true;
    return false;
}

static bool is_of(const char *call, const char *method)
{
    size_t len = strlen(method);
    return strncmp(call, method, len) == 0 && call[len] == '(';
}

unsigned service_count(const struct service *service, const char *method)
{
    unsigned n = 0;
    for (guint i = 0; i < service->calls->len; i++)
        n += is_of(g_ptr_array_index(service->calls, i), method);
    return n;
}

const char *service_last(const struct service *service, const char *method)
{
    for (guint i = service->calls->len; i-- > 0;)
        if (is_of(g_ptr_array_index(service->calls, i), method))
            return g_ptr_array_index(service->calls, i);
    fail_msg("%s was not called", method);
    return "";
}
