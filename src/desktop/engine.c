/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/engine.h"
#include "desktop/words.h"

#include <errno.h>
#include <glib-unix.h>
#include <glib/gi18n.h>

/* So many events are told before the loop gets to draw again. */
enum { EVENTS_AT_ONCE = 64, CLOSE_WAITS_MS = 2000 };

struct _BkEngine {
    GObject parent;
    const struct bk_engine_ops *ops;
    void *self; /* NULL: closing or closed */
    guint source;

    enum bk_client_state state;
    char *address, *proxy;
    bool session;
    int64_t retry_at_us; /* 0: no try is due */
    guint retry_tick;
    const struct bk_client_event *failure; /* kept by us; NULL: none */

    GHashTable *held;  /* const struct bk_client_event * -> how many hold it */
    GHashTable *edits; /* uint64_t * -> GTask * */

    enum { OPEN, WAITING, CLOSING, CLOSED } life;
    guint close_timeout;
    GPtrArray *closers; /* GTask * that wait for the end */
};
G_DEFINE_TYPE(BkEngine, bk_engine, G_TYPE_OBJECT)
G_DEFINE_QUARK(bk - edit - error - quark, bk_edit_error)

enum { PROP_STATE = 1, PROP_ADDRESS, PROP_RETRY_IN, PROP_COUNT };
static GParamSpec *props[PROP_COUNT];
static guint event_signal;

/* ---- the real client ---- */

static int client_sign_in(void *self, const char *address, const char *password, const char *user)
{
    return bk_client_sign_in(self, address, password, user);
}

static int client_credential(void *self, const char *password, const char *user)
{
    return bk_client_credential(self, password, user);
}

static int client_trust(void *self, enum bk_client_trust_answer answer)
{
    return bk_client_trust(self, answer);
}

static int client_change_password(void *self, const char *address, const char *user,
                                  const char *old_password, const char *new_password)
{
    return bk_client_change_password(self, address, user, old_password, new_password);
}

static int client_sign_out(void *self)
{
    return bk_client_sign_out(self);
}

static int client_delete_sign_in_info(void *self, const char *address)
{
    return bk_client_delete_sign_in_info(self, address);
}

static int client_retry_now(void *self)
{
    return bk_client_retry_now(self);
}

static int client_network_changed(void *self)
{
    return bk_client_network_changed(self);
}

static int client_set_status(void *self, enum bk_pidf_manual manual)
{
    return bk_client_set_status(self, manual);
}

static int client_set_machine(void *self, enum bk_pidf_machine machine)
{
    return bk_client_set_machine(self, machine);
}

static int client_set_note(void *self, const char *note)
{
    return bk_client_set_note(self, note);
}

static int client_watch(void *self, const char *address)
{
    return bk_client_watch(self, address);
}

static int client_unwatch(void *self, const char *address)
{
    return bk_client_unwatch(self, address);
}

static int client_send_message(void *self, const char *to, const char *text, uint64_t *ret_id)
{
    return bk_client_send_message(self, to, text, ret_id);
}

static int client_typing(void *self, const char *to, bool typing)
{
    return bk_client_typing(self, to, typing);
}

static int client_close_conversation(void *self, const char *address)
{
    return bk_client_close_conversation(self, address);
}

static int client_edit(void *self, const struct bk_client_edit *wish, uint64_t *ret_id)
{
    return bk_client_edit(self, wish, ret_id);
}

static int client_set_connection(void *self, const struct bk_client_connection *connection,
                                 char **ret_why)
{
    return bk_client_set_connection(self, connection, ret_why);
}

static int client_proxy_found(void *self, uint64_t token, const char *list, const char *why)
{
    return bk_client_proxy_found(self, token, list, why);
}

static int client_event_fd(const void *self)
{
    return bk_client_event_fd(self);
}

static const struct bk_client_event *client_event_next(void *self)
{
    return bk_client_event_next(self);
}

static void client_event_done(void *self, const struct bk_client_event *event)
{
    bk_client_event_done(self, event);
}

static void client_close(void *self)
{
    (void)bk_client_destroy(self);
}

const struct bk_engine_ops bk_engine_client_ops = {
    .sign_in = client_sign_in,
    .credential = client_credential,
    .trust = client_trust,
    .change_password = client_change_password,
    .sign_out = client_sign_out,
    .delete_sign_in_info = client_delete_sign_in_info,
    .retry_now = client_retry_now,
    .network_changed = client_network_changed,
    .set_status = client_set_status,
    .set_machine = client_set_machine,
    .set_note = client_set_note,
    .watch = client_watch,
    .unwatch = client_unwatch,
    .send_message = client_send_message,
    .typing = client_typing,
    .close_conversation = client_close_conversation,
    .edit = client_edit,
    .set_connection = client_set_connection,
    .proxy_found = client_proxy_found,
    .event_fd = client_event_fd,
    .event_next = client_event_next,
    .event_done = client_event_done,
    .close = client_close,
};

/* ---- events that somebody holds ---- */

static void close_for_good(BkEngine *engine);

void bk_engine_keep(BkEngine *engine, const struct bk_client_event *event)
{
    guint n = GPOINTER_TO_UINT(g_hash_table_lookup(engine->held, event));
    g_return_if_fail(n > 0);
    (void)g_hash_table_insert(engine->held, (gpointer)(uintptr_t)event, GUINT_TO_POINTER(n + 1));
}

void bk_engine_done(BkEngine *engine, const struct bk_client_event *event)
{
    guint n = event ? GPOINTER_TO_UINT(g_hash_table_lookup(engine->held, event)) : 0;
    if (n == 0) /* closed meanwhile: it is gone */
        return;
    if (n > 1) {
        (void)g_hash_table_insert(engine->held, (gpointer)(uintptr_t)event,
                                  GUINT_TO_POINTER(n - 1));
        return;
    }
    (void)g_hash_table_remove(engine->held, event);
    if (engine->self)
        engine->ops->event_done(engine->self, event);
    if (engine->life == WAITING && g_hash_table_size(engine->held) == 0)
        close_for_good(engine);
}

static void set_failure(BkEngine *engine, const struct bk_client_event *event)
{
    const struct bk_client_event *old = engine->failure;
    if (event)
        bk_engine_keep(engine, event);
    engine->failure = event;
    bk_engine_done(engine, old);
}

/* ---- edits ---- */

struct edit {
    uint64_t id;
    const struct bk_client_event *found; /* kept, for SEARCH */
    BkEngine *engine;
    GCancellable *cancellable; /* only while it is connected */
    gulong cancelled;
};

static void free_edit(gpointer data)
{
    struct edit *edit = data;
    bk_engine_done(edit->engine, edit->found);
    g_object_unref(edit->engine);
    g_free(edit);
}

/* Out of the table; the reference is the caller's. */
static GTask *take_edit(BkEngine *engine, uint64_t id)
{
    gpointer task = NULL;
    if (!g_hash_table_steal_extended(engine->edits, &id, NULL, &task))
        return NULL;
    struct edit *edit = g_task_get_task_data(task);
    if (edit->cancellable)
        g_signal_handler_disconnect(edit->cancellable, edit->cancelled);
    g_clear_object(&edit->cancellable);
    return task;
}

static void on_cancelled(GCancellable *cancellable, gpointer data)
{
    struct edit *edit = data;
    (void)cancellable;
    g_autoptr(GTask) task = take_edit(edit->engine, edit->id);
    if (task)
        (void)g_task_return_error_if_cancelled(task);
}

static void fail_edit(GTask *task, const char *text, const char *case_code)
{
    if (case_code && *case_code)
        g_task_return_new_error(task, BK_EDIT_ERROR, 0, "%s (%s)", text, case_code);
    else
        g_task_return_new_error(task, BK_EDIT_ERROR, 0, "%s", text);
}

static void fail_edits(BkEngine *engine)
{
    g_autoptr(GList) ids = g_hash_table_get_keys(engine->edits);
    for (GList *at = ids; at; at = at->next) {
        g_autoptr(GTask) task = take_edit(engine, *(uint64_t *)at->data);
        if (task)
            fail_edit(task, _("Beckon was closed before this was done."), "");
    }
}

static void take_found(BkEngine *engine, const struct bk_client_event *event)
{
    GTask *task = g_hash_table_lookup(engine->edits, &event->found.id);
    struct edit *edit = task ? g_task_get_task_data(task) : NULL;
    if (!edit || edit->found)
        return;
    bk_engine_keep(engine, event);
    edit->found = event;
}

static void take_edited(BkEngine *engine, const struct bk_client_event *event)
{
    g_autoptr(GTask) task = take_edit(engine, event->edited.id);
    if (!task)
        return;
    g_autofree char *why = bk_word_said(event->edited.text);
    if (event->edited.done)
        g_task_return_boolean(task, TRUE);
    else
        fail_edit(task, *why ? why : _("This was not done."), event->edited.case_code);
}

void bk_engine_edit_async(BkEngine *engine, const struct bk_client_edit *wish,
                          GCancellable *cancellable, GAsyncReadyCallback done, gpointer user_data)
{
    g_autoptr(GTask) task = g_task_new(engine, cancellable, done, user_data);
    if (g_task_return_error_if_cancelled(task))
        return;
    uint64_t id = 0;
    int r = engine->life == OPEN ? engine->ops->edit(engine->self, wish, &id) : -ESHUTDOWN;
    if (r < 0) {
        fail_edit(task,
                  r == -ESHUTDOWN ? _("Beckon was closed before this was done.")
                  : r == -EINVAL  ? _("This is too long, or not an address.")
                                  : _("There is not enough memory for this."),
                  "");
        return;
    }
    struct edit *edit = g_new0(struct edit, 1);
    edit->id = id;
    edit->engine = g_object_ref(engine);
    g_task_set_task_data(task, edit, free_edit);
    (void)g_hash_table_insert(engine->edits, &edit->id, g_object_ref(task));
    if (cancellable) {
        edit->cancellable = g_object_ref(cancellable);
        edit->cancelled =
            g_signal_connect(cancellable, "cancelled", G_CALLBACK(on_cancelled), edit);
    }
}

bool bk_engine_edit_finish(BkEngine *engine, GAsyncResult *result, GError **error)
{
    g_return_val_if_fail(g_task_is_valid(result, engine), false);
    return g_task_propagate_boolean(G_TASK(result), error);
}

const struct bk_client_event *bk_engine_edit_found(GAsyncResult *result)
{
    struct edit *edit = g_task_get_task_data(G_TASK(result));
    return edit ? edit->found : NULL;
}

/* ---- what events change here ---- */

static int seconds_left(int64_t at_us)
{
    int64_t left = at_us ? at_us - g_get_monotonic_time() : 0;
    return left > 0 ? (int)((left + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC) : 0;
}

static gboolean on_retry_tick(gpointer data)
{
    BkEngine *engine = data;
    g_object_notify_by_pspec(G_OBJECT(engine), props[PROP_RETRY_IN]);
    if (seconds_left(engine->retry_at_us) > 0)
        return G_SOURCE_CONTINUE;
    engine->retry_tick = 0;
    return G_SOURCE_REMOVE;
}

static void set_retry(BkEngine *engine, int seconds)
{
    if (seconds <= 0 && !engine->retry_at_us)
        return;
    g_clear_handle_id(&engine->retry_tick, g_source_remove);
    engine->retry_at_us =
        seconds > 0 ? g_get_monotonic_time() + (int64_t)seconds * G_USEC_PER_SEC : 0;
    if (seconds > 0)
        engine->retry_tick = g_timeout_add(1000, on_retry_tick, engine);
    g_object_notify_by_pspec(G_OBJECT(engine), props[PROP_RETRY_IN]);
}

static bool needs_person(enum bk_client_state state)
{
    switch (state) {
    case BK_CLIENT_IDLE:
    case BK_CLIENT_ASKING_TRUST:
    case BK_CLIENT_ASKING_CREDENTIAL:
    case BK_CLIENT_SIGNING_OUT:
    case BK_CLIENT_SIGNED_OUT:
        return true;
    default:
        return false;
    }
}

static void take_state(BkEngine *engine, const struct bk_client_event *event)
{
    enum bk_client_state state = event->state.state;
    bool nobody = state == BK_CLIENT_IDLE || state == BK_CLIENT_SIGNED_OUT;
    const char *address = nobody ? "" : event->state.address;
    bool moved = strcmp(engine->address, address) != 0;
    bool changed = engine->state != state;
    engine->state = state;
    if (moved) {
        g_free(engine->address);
        engine->address = g_strdup(address);
    }
    g_free(engine->proxy);
    engine->proxy = g_strdup(event->state.proxy ? event->state.proxy : "");
    if (state == BK_CLIENT_SIGNED_IN)
        engine->session = true;
    else if (needs_person(state))
        engine->session = false;
    if (state == BK_CLIENT_SIGNED_IN || state == BK_CLIENT_SIGNING_OUT)
        set_failure(engine, NULL);
    g_object_freeze_notify(G_OBJECT(engine));
    if (moved)
        g_object_notify_by_pspec(G_OBJECT(engine), props[PROP_ADDRESS]);
    if (changed)
        g_object_notify_by_pspec(G_OBJECT(engine), props[PROP_STATE]);
    set_retry(engine, state == BK_CLIENT_RECONNECTING ? event->state.retry_in_s : 0);
    g_object_thaw_notify(G_OBJECT(engine));
}

static void take(BkEngine *engine, const struct bk_client_event *event)
{
    switch (event->type) {
    case BK_CLIENT_EVENT_STATE:
        take_state(engine, event);
        return;
    case BK_CLIENT_EVENT_FAILURE:
    case BK_CLIENT_EVENT_ENDED:
        set_failure(engine, event);
        return;
    case BK_CLIENT_EVENT_FOUND:
        take_found(engine, event);
        return;
    case BK_CLIENT_EVENT_EDITED:
        take_edited(engine, event);
        return;
    default:
        return;
    }
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer data)
{
    g_autoptr(BkEngine) engine = g_object_ref(data);
    (void)fd;
    (void)condition;
    for (int i = 0; i < EVENTS_AT_ONCE && engine->source; i++) {
        const struct bk_client_event *event = engine->ops->event_next(engine->self);
        if (!event)
            break;
        (void)g_hash_table_insert(engine->held, (gpointer)(uintptr_t)event, GUINT_TO_POINTER(1));
        take(engine, event);
        GQuark detail = g_quark_from_static_string(bk_client_event_name(event->type));
        g_signal_emit(engine, event_signal, detail, event);
        bk_engine_done(engine, event);
    }
    return engine->source ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

/* ---- the end ---- */

static gpointer close_thread(gpointer data)
{
    struct {
        const struct bk_engine_ops *ops;
        void *self;
    } *end = data;
    end->ops->close(end->self);
    g_free(end);
    return NULL;
}

static void close_task(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    BkEngine *engine = source;
    (void)cancellable;
    engine->ops->close(data);
    g_task_return_boolean(task, TRUE);
}

static void on_closed(GObject *object, GAsyncResult *result, gpointer data)
{
    BkEngine *engine = BK_ENGINE(object);
    (void)result;
    (void)data;
    engine->life = CLOSED;
    g_autoptr(GPtrArray) closers = g_steal_pointer(&engine->closers);
    engine->closers = g_ptr_array_new_with_free_func(g_object_unref);
    for (guint i = 0; i < closers->len; i++)
        g_task_return_boolean(closers->pdata[i], TRUE);
}

static void close_for_good(BkEngine *engine)
{
    engine->life = CLOSING;
    g_clear_handle_id(&engine->close_timeout, g_source_remove);
    /* A message that nobody called shown is told again at the next start; the engine's thread must not be asked any more. */
    g_hash_table_remove_all(engine->held);
    g_autoptr(GTask) task = g_task_new(engine, NULL, on_closed, NULL);
    g_task_set_task_data(task, g_steal_pointer(&engine->self), NULL);
    g_task_run_in_thread(task, close_task);
}

static gboolean on_close_timeout(gpointer data)
{
    BkEngine *engine = data;
    engine->close_timeout = 0;
    close_for_good(engine);
    return G_SOURCE_REMOVE;
}

static void stop_hearing(BkEngine *engine)
{
    g_clear_handle_id(&engine->source, g_source_remove);
    g_clear_handle_id(&engine->retry_tick, g_source_remove);
}

void bk_engine_close_async(BkEngine *engine, GAsyncReadyCallback done, gpointer user_data)
{
    g_autoptr(GTask) task = g_task_new(engine, NULL, done, user_data);
    if (engine->life == CLOSED) {
        g_task_return_boolean(task, TRUE);
        return;
    }
    g_ptr_array_add(engine->closers, g_steal_pointer(&task));
    if (engine->life != OPEN)
        return;
    engine->life = WAITING;
    stop_hearing(engine);
    fail_edits(engine);
    set_failure(engine, NULL);
    /* What the history still writes is given back first, so that it counts as shown. */
    if (engine->life == WAITING && g_hash_table_size(engine->held) == 0)
        close_for_good(engine);
    else if (engine->life == WAITING)
        engine->close_timeout = g_timeout_add(CLOSE_WAITS_MS, on_close_timeout, engine);
}

/* ---- commands ---- */

int bk_engine_set_connection(BkEngine *engine, const struct bk_client_connection *connection,
                             char **ret_why)
{
    if (engine->life != OPEN)
        return -ESHUTDOWN;
    return engine->ops->set_connection
               ? engine->ops->set_connection(engine->self, connection, ret_why)
               : 0;
}

#define COMMAND(engine, call)                                                                      \
    do {                                                                                           \
        if ((engine)->life != OPEN)                                                                \
            return -ESHUTDOWN;                                                                     \
        return (engine)->ops->call;                                                                \
    } while (0)

int bk_engine_sign_in(BkEngine *engine, const char *address, const char *password, const char *user)
{
    if (engine->life == OPEN)
        set_failure(engine, NULL);
    COMMAND(engine, sign_in(engine->self, address, password, user));
}

int bk_engine_credential(BkEngine *engine, const char *password, const char *user)
{
    COMMAND(engine, credential(engine->self, password, user));
}

int bk_engine_trust(BkEngine *engine, enum bk_client_trust_answer answer)
{
    COMMAND(engine, trust(engine->self, answer));
}

int bk_engine_change_password(BkEngine *engine, const char *address, const char *user,
                              const char *old_password, const char *new_password)
{
    COMMAND(engine, change_password(engine->self, address, user, old_password, new_password));
}

int bk_engine_sign_out(BkEngine *engine)
{
    COMMAND(engine, sign_out(engine->self));
}

int bk_engine_delete_sign_in_info(BkEngine *engine, const char *address)
{
    COMMAND(engine, delete_sign_in_info(engine->self, address));
}

int bk_engine_retry_now(BkEngine *engine)
{
    COMMAND(engine, retry_now(engine->self));
}

int bk_engine_network_changed(BkEngine *engine)
{
    COMMAND(engine, network_changed(engine->self));
}

int bk_engine_set_status(BkEngine *engine, enum bk_pidf_manual manual)
{
    COMMAND(engine, set_status(engine->self, manual));
}

int bk_engine_set_machine(BkEngine *engine, enum bk_pidf_machine machine)
{
    COMMAND(engine, set_machine(engine->self, machine));
}

int bk_engine_set_note(BkEngine *engine, const char *note)
{
    COMMAND(engine, set_note(engine->self, note));
}

int bk_engine_watch(BkEngine *engine, const char *address)
{
    COMMAND(engine, watch(engine->self, address));
}

int bk_engine_unwatch(BkEngine *engine, const char *address)
{
    COMMAND(engine, unwatch(engine->self, address));
}

int bk_engine_send_message(BkEngine *engine, const char *to, const char *text, uint64_t *ret_id)
{
    COMMAND(engine, send_message(engine->self, to, text, ret_id));
}

int bk_engine_proxy_found(BkEngine *engine, uint64_t token, const char *list, const char *why)
{
    if (!engine->ops->proxy_found)
        return -ENOTSUP;
    COMMAND(engine, proxy_found(engine->self, token, list, why));
}

int bk_engine_typing(BkEngine *engine, const char *to, bool typing)
{
    if (!engine->ops->typing)
        return 0;
    COMMAND(engine, typing(engine->self, to, typing));
}

int bk_engine_close_conversation(BkEngine *engine, const char *address)
{
    if (!engine->ops->close_conversation)
        return 0;
    COMMAND(engine, close_conversation(engine->self, address));
}

/* ---- the object ---- */

enum bk_client_state bk_engine_state(BkEngine *engine)
{
    return engine->state;
}

const char *bk_engine_proxy(BkEngine *engine)
{
    return engine->proxy;
}

const char *bk_engine_address(BkEngine *engine)
{
    return engine->address;
}

bool bk_engine_has_session(BkEngine *engine)
{
    return engine->session;
}

const struct bk_client_failure *bk_engine_failure(BkEngine *engine)
{
    return engine->failure ? &engine->failure->failure : NULL;
}

int bk_engine_retry_in(BkEngine *engine)
{
    return seconds_left(engine->retry_at_us);
}

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    BkEngine *engine = BK_ENGINE(object);
    switch (id) {
    case PROP_STATE:
        g_value_set_int(value, (int)engine->state);
        return;
    case PROP_ADDRESS:
        g_value_set_string(value, engine->address);
        return;
    case PROP_RETRY_IN:
        g_value_set_int(value, seconds_left(engine->retry_at_us));
        return;
    default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    }
}

/* Edits under way hold the engine, so none is left here. */
static void finalize(GObject *object)
{
    BkEngine *engine = BK_ENGINE(object);
    stop_hearing(engine);
    g_clear_handle_id(&engine->close_timeout, g_source_remove);
    set_failure(engine, NULL);
    if (engine->self) {
        struct {
            const struct bk_engine_ops *ops;
            void *self;
        } *end = g_malloc0(sizeof *end);
        end->ops = engine->ops;
        end->self = engine->self;
        g_thread_unref(g_thread_new("beckon-close", close_thread, end));
    }
    g_hash_table_unref(engine->held);
    g_hash_table_unref(engine->edits);
    g_ptr_array_unref(engine->closers);
    g_free(engine->proxy);
    g_free(engine->address);
    G_OBJECT_CLASS(bk_engine_parent_class)->finalize(object);
}

static void bk_engine_class_init(BkEngineClass *class)
{
    GObjectClass *object = G_OBJECT_CLASS(class);
    GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;
    object->get_property = get_property;
    object->finalize = finalize;
    props[PROP_STATE] =
        g_param_spec_int("state", NULL, NULL, 0, BK_CLIENT_STATE_COUNT - 1, BK_CLIENT_IDLE, flags);
    props[PROP_ADDRESS] = g_param_spec_string("address", NULL, NULL, "", flags);
    props[PROP_RETRY_IN] = g_param_spec_int("retry-in", NULL, NULL, 0, G_MAXINT, 0, flags);
    g_object_class_install_properties(object, PROP_COUNT, props);
    event_signal =
        g_signal_new("event", BK_TYPE_ENGINE, G_SIGNAL_RUN_LAST | G_SIGNAL_DETAILED, 0, NULL, NULL,
                     g_cclosure_marshal_VOID__POINTER, G_TYPE_NONE, 1, G_TYPE_POINTER);
}

static void bk_engine_init(BkEngine *engine)
{
    engine->address = g_strdup("");
    engine->proxy = g_strdup("");
    engine->held = g_hash_table_new(g_direct_hash, g_direct_equal);
    engine->edits = g_hash_table_new(g_int64_hash, g_int64_equal);
    engine->closers = g_ptr_array_new_with_free_func(g_object_unref);
}

BkEngine *bk_engine_new(const struct bk_engine_ops *ops, void *self)
{
    BkEngine *engine = g_object_new(BK_TYPE_ENGINE, NULL);
    engine->ops = ops;
    engine->self = self;
    engine->source = g_unix_fd_add(ops->event_fd(self), G_IO_IN, on_readable, engine);
    return engine;
}
