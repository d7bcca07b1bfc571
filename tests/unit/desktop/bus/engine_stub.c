/* SPDX-License-Identifier: Apache-2.0 */
#include "engine_stub.h"
#include "bus_test.h"

#include <sys/eventfd.h>
#include <unistd.h>

static int set_machine(void *self, enum bk_pidf_machine machine)
{
    struct engine_stub *stub = self;
    g_string_append_printf(stub->told, "machine %s\n", bk_pidf_machine_name(machine));
    return 0;
}

static int network_changed(void *self)
{
    g_string_append(((struct engine_stub *)self)->told, "network\n");
    return 0;
}

static int watch(void *self, const char *address)
{
    (void)self, (void)address;
    return 0;
}

static int edit(void *self, const struct bk_client_edit *wish, uint64_t *ret_id)
{
    (void)wish;
    *ret_id = ++((struct engine_stub *)self)->next_id;
    return 0;
}

static int send_message(void *self, const char *to, const char *text, uint64_t *ret_id)
{
    struct engine_stub *stub = self;
    g_string_append_printf(stub->told, "send %s %s\n", to, text);
    *ret_id = ++stub->next_id;
    return 0;
}

static int event_fd(const void *self)
{
    return ((const struct engine_stub *)self)->fd;
}

static const struct bk_client_event *event_next(void *self)
{
    struct engine_stub *stub = self;
    eventfd_t n;
    (void)eventfd_read(stub->fd, &n);
    return g_queue_pop_head(stub->waiting);
}

static void event_done(void *self, const struct bk_client_event *event)
{
    (void)self, (void)event;
}

static void close_it(void *self)
{
    (void)self;
}

static const struct bk_engine_ops ops = {
    .set_machine = set_machine,
    .network_changed = network_changed,
    .watch = watch,
    .unwatch = watch,
    .edit = edit,
    .send_message = send_message,
    .event_fd = event_fd,
    .event_next = event_next,
    .event_done = event_done,
    .close = close_it,
};

void engine_stub_make(struct engine_stub *stub)
{
    *stub = (struct engine_stub){ .told = g_string_new(NULL),
                                  .waiting = g_queue_new(),
                                  .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
    stub->engine = bk_engine_new(&ops, stub);
}

static void on_closed(GObject *engine, GAsyncResult *result, gpointer closed)
{
    (void)engine, (void)result;
    *(bool *)closed = true;
}

static bool is_closed(void *ctx)
{
    return *(bool *)ctx;
}

void engine_stub_free(struct engine_stub *stub)
{
    bool closed = false;
    bk_engine_close_async(stub->engine, on_closed, &closed);
    assert_true(wait_until(is_closed, &closed));
    g_clear_object(&stub->engine);
    g_string_free(stub->told, TRUE);
    g_queue_free(stub->waiting);
    (void)close(stub->fd);
}

static bool has_told(void *ctx)
{
    return g_queue_is_empty(((struct engine_stub *)ctx)->waiting);
}

void engine_stub_tell(struct engine_stub *stub, const struct bk_client_event *event)
{
    g_queue_push_tail(stub->waiting, (gpointer)(uintptr_t)event);
    assert_int_equal(eventfd_write(stub->fd, 1), 0);
    assert_true(wait_until(has_told, stub));
}

void engine_stub_state(struct engine_stub *stub, enum bk_client_state state, const char *address)
{
    static struct bk_client_event event;
    event =
        (struct bk_client_event){ .type = BK_CLIENT_EVENT_STATE,
                                  .state = { .state = state, .address = address, .detail = "" } };
    engine_stub_tell(stub, &event);
}
