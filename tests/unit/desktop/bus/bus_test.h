/* SPDX-License-Identifier: Apache-2.0 */
/* A session bus of the test's own, with services on it that answer as the test says. */
#ifndef BK_TESTS_UNIT_DESKTOP_BUS_TEST_H
#define BK_TESTS_UNIT_DESKTOP_BUS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <gio/gio.h>
#include <stdbool.h>

/* Starts dbus-daemon; DBUS_SESSION_BUS_ADDRESS names it. No services are started by it. */
void bus_start(void);
void bus_stop(void);
/* A connection of its own: what goes over it is seen as another program's. Caller unrefs. */
GDBusConnection *bus_connect(void);

/*
 * One object of one interface under a well-known name. answer: floating tuple for a method; NULL: refused with an error.
 * property: floating value. calls: "Method(1, 'a')" of each call in order.
 */
struct service {
    GVariant *(*answer)(void *ctx, const char *method, GVariant *parameters);
    GVariant *(*property)(void *ctx, const char *name);
    void *ctx;
    GPtrArray *calls;
    GDBusConnection *bus;
    const char *name, *path;
    GDBusNodeInfo *info;
    guint object, owner;
    bool acquired;
};
/* Returns when the name is owned. */
void service_start(struct service *service, const char *name, const char *path, const char *xml);
void service_stop(struct service *service);
void service_emit(struct service *service, const char *signal, GVariant *parameters);
bool service_was_called(const struct service *service, const char *call);
unsigned service_count(const struct service *service, const char *method);
/* The last call of this method; fails the test where there was none. */
const char *service_last(const struct service *service, const char *method);

/* Runs the main loop until it holds; false after 20 s. */
bool wait_until(bool (*holds)(void *ctx), void *ctx);
/* Runs the main loop until all that is under way on this connection came back (a round trip to the bus). */
void bus_settle(GDBusConnection *bus);
/* Calls, and runs the main loop until the answer is there. NULL: an error. Caller unrefs. */
GVariant *bus_call(GDBusConnection *bus, const char *name, const char *path, const char *interface,
                   const char *method, GVariant *parameters);

#endif
