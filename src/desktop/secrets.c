/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/secrets.h"

#include "base/text.h"
#include "client/profile.h"

#include <errno.h>
#include <glib/gi18n.h>
#include <libsecret/secret.h>
#include <stdlib.h>

enum { SILENT_US = 30 * G_USEC_PER_SEC, HEX = 2 * BK_CLIENT_SECRET_SIZE };

static const SecretSchema schema = {
    "org.beckon.SignIn",
    SECRET_SCHEMA_DONT_MATCH_NAME, /* gnome-keyring 42 finds no locked entry by the schema's name: it looked like none at all */
    { { "address", SECRET_SCHEMA_ATTRIBUTE_STRING },
      { "profile", SECRET_SCHEMA_ATTRIBUTE_STRING },
      { NULL, 0 } },
    0,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
};

struct bk_secrets {
    GThread *thread;
    GMainContext *context;
    GMainLoop *loop;
    char *profile;
    int deadline_ms;
    bool leaving; /* on the thread */
    int pending;  /* on the thread */

    GMutex lock;
    GCond answered;
    gint64 silent_until; /* monotonic, under lock: the store did not answer */
};

enum kind { GET, PUT, DROP };

/* One question. Held by who asks and by the thread; under the lock of the secrets but for what only the thread touches. */
struct ask {
    struct bk_secrets *secrets;
    int holders;
    enum kind kind;
    char *address;
    char hex[HEX + 1];
    GCancellable *cancellable;
    bool done;
    int result;

    SecretService *service; /* the thread's */
    GList *items;           /* of SecretItem, still to be removed */
    bool found, locked;
};

static void ask_release(struct ask *ask)
{
    struct bk_secrets *secrets = ask->secrets;
    g_mutex_lock(&secrets->lock);
    bool last = --ask->holders == 0;
    g_mutex_unlock(&secrets->lock);
    if (!last)
        return;
    g_clear_object(&ask->service);
    g_clear_object(&ask->cancellable);
    g_list_free_full(ask->items, g_object_unref);
    bk_wipe(ask->hex, sizeof ask->hex);
    g_free(ask->address);
    g_free(ask);
}

static void leave_if_idle(struct bk_secrets *secrets)
{
    if (secrets->leaving && !secrets->pending)
        g_main_loop_quit(secrets->loop);
}

static void finish(struct ask *ask, int result)
{
    struct bk_secrets *secrets = ask->secrets;
    g_mutex_lock(&secrets->lock);
    ask->result = result;
    ask->done = true;
    g_cond_broadcast(&secrets->answered);
    g_mutex_unlock(&secrets->lock);
    ask_release(ask);
    secrets->pending--;
    leave_if_idle(secrets);
}

static int errno_of(const GError *error)
{
    if (g_error_matches(error, SECRET_ERROR, SECRET_ERROR_IS_LOCKED))
        return -EACCES;
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED) ||
        g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT) ||
        g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_NO_REPLY))
        return -ETIMEDOUT;
    if (g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_ACCESS_DENIED))
        return -EACCES;
    if (error->domain == SECRET_ERROR)
        return -EIO;
    if (error->domain == G_DBUS_ERROR && error->code != G_DBUS_ERROR_SERVICE_UNKNOWN &&
        error->code != G_DBUS_ERROR_NAME_HAS_NO_OWNER &&
        error->code != G_DBUS_ERROR_UNKNOWN_OBJECT && error->code != G_DBUS_ERROR_UNKNOWN_METHOD &&
        !(error->code >= G_DBUS_ERROR_SPAWN_EXEC_FAILED &&
          error->code <= G_DBUS_ERROR_SPAWN_NO_MEMORY))
        return -EIO;
    return -ENOTSUP; /* no session bus, nobody with that name, or it could not be started */
}

static void fail(struct ask *ask, GError *error)
{
    finish(ask, errno_of(error));
    g_error_free(error);
}

static GHashTable *attributes_of(struct ask *ask)
{
    GHashTable *attributes = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_insert(attributes, (gpointer) "address", ask->address);
    g_hash_table_insert(attributes, (gpointer) "profile", ask->secrets->profile);
    return attributes;
}

/* ---- get and drop: what there is ---- */

static void remove_next(struct ask *ask);

static void on_removed(GObject *item, GAsyncResult *result, gpointer data)
{
    struct ask *ask = data;
    GError *error = NULL;
    if (!secret_item_delete_finish(SECRET_ITEM(item), result, &error)) {
        fail(ask, error);
        return;
    }
    ask->found = true;
    remove_next(ask);
}

static void remove_next(struct ask *ask)
{
    if (!ask->items) {
        finish(ask, ask->locked ? -EACCES : ask->found);
        return;
    }
    g_autoptr(SecretItem) item = ask->items->data;
    ask->items = g_list_delete_link(ask->items, ask->items);
    if (secret_item_get_locked(item)) {
        ask->locked = true;
        remove_next(ask);
    } else {
        secret_item_delete(item, ask->cancellable, on_removed, ask);
    }
}

/* What was put there is 64 characters of hex; something else is somebody else's. */
static int take_secret(struct ask *ask)
{
    bool locked = false;
    for (GList *at = ask->items; at; at = at->next) {
        SecretValue *value = secret_item_get_secret(at->data);
        const char *text = value ? secret_value_get_text(value) : NULL;
        bool fits = text && strlen(text) == HEX;
        if (fits)
            memcpy(ask->hex, text, HEX);
        if (value)
            secret_value_unref(value);
        if (fits)
            return 0;
        locked |= secret_item_get_locked(at->data);
    }
    return locked ? -EACCES : -ENOENT;
}

static void on_found(GObject *service, GAsyncResult *result, gpointer data)
{
    struct ask *ask = data;
    GError *error = NULL;
    ask->items = secret_service_search_finish(SECRET_SERVICE(service), result, &error);
    if (error)
        fail(ask, error);
    else if (ask->kind == DROP)
        remove_next(ask);
    else
        finish(ask, take_secret(ask));
}

/* ---- put ---- */

static void on_stored(GObject *service, GAsyncResult *result, gpointer data)
{
    GError *error = NULL;
    if (secret_service_store_finish(SECRET_SERVICE(service), result, &error))
        finish(data, 0);
    else
        fail(data, error);
}

static void on_collection(GObject *source, GAsyncResult *result, gpointer data)
{
    struct ask *ask = data;
    GError *error = NULL;
    (void)source;
    g_autoptr(SecretCollection) collection = secret_collection_for_alias_finish(result, &error);
    if (error) {
        fail(ask, error);
        return;
    }
    if (!collection || secret_collection_get_locked(collection)) {
        finish(ask, collection ? -EACCES : -ENOTSUP); /* to make one, somebody is asked */
        return;
    }
    g_autoptr(GHashTable) attributes = attributes_of(ask);
    /* Translators: the name of an entry in the desktop's password store; %s is an address */
    g_autofree char *label = g_strdup_printf(_("Beckon: sign-in of %s"), ask->address);
    SecretValue *value = secret_value_new(ask->hex, HEX, "text/plain");
    secret_service_store(ask->service, &schema, attributes, SECRET_COLLECTION_DEFAULT, label, value,
                         ask->cancellable, on_stored, ask);
    secret_value_unref(value);
}

/* ---- both ---- */

static void on_service(GObject *source, GAsyncResult *result, gpointer data)
{
    struct ask *ask = data;
    GError *error = NULL;
    (void)source;
    ask->service = secret_service_get_finish(result, &error);
    if (!ask->service) {
        fail(ask, error);
        return;
    }
    if (ask->kind == PUT) {
        secret_collection_for_alias(ask->service, SECRET_COLLECTION_DEFAULT, SECRET_COLLECTION_NONE,
                                    ask->cancellable, on_collection, ask);
        return;
    }
    g_autoptr(GHashTable) attributes = attributes_of(ask);
    SecretSearchFlags flags = SECRET_SEARCH_ALL;
    if (ask->kind == GET)
        flags |= SECRET_SEARCH_LOAD_SECRETS;
    secret_service_search(ask->service, &schema, attributes, flags, ask->cancellable, on_found,
                          ask);
}

static gboolean begin(gpointer data)
{
    struct ask *ask = data;
    ask->secrets->pending++;
    secret_service_disconnect(); /* the store may have been restarted: a session of its old life is no use */
    secret_service_get(SECRET_SERVICE_OPEN_SESSION, ask->cancellable, on_service, ask);
    return G_SOURCE_REMOVE;
}

static void on_context(struct bk_secrets *secrets, GSourceFunc what, gpointer data)
{
    GSource *source = g_idle_source_new();
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, what, data, NULL);
    g_source_attach(source, secrets->context);
    g_source_unref(source);
}

/* ---- who asks ---- */

static int wait_for(struct bk_secrets *secrets, struct ask *ask)
{
    gint64 until = g_get_monotonic_time() + (gint64)secrets->deadline_ms * 1000;
    g_mutex_lock(&secrets->lock);
    while (!ask->done && g_cond_wait_until(&secrets->answered, &secrets->lock, until))
        ;
    int r = ask->done ? ask->result : -ETIMEDOUT;
    if (r == -ETIMEDOUT)
        secrets->silent_until = g_get_monotonic_time() + SILENT_US;
    g_mutex_unlock(&secrets->lock);
    if (r == -ETIMEDOUT)
        g_cancellable_cancel(ask->cancellable);
    return r;
}

static int run(struct bk_secrets *secrets, enum kind kind, const char *address, char hex[HEX + 1])
{
    g_mutex_lock(&secrets->lock);
    bool silent = g_get_monotonic_time() < secrets->silent_until;
    g_mutex_unlock(&secrets->lock);
    if (silent)
        return -ETIMEDOUT;
    struct ask *ask = g_new0(struct ask, 1);
    ask->secrets = secrets;
    ask->holders = 2;
    ask->kind = kind;
    ask->address = g_strdup(address);
    ask->cancellable = g_cancellable_new();
    if (kind == PUT)
        memcpy(ask->hex, hex, HEX);
    on_context(secrets, begin, ask);
    int r = wait_for(secrets, ask);
    if (r == 0 && kind == GET)
        memcpy(hex, ask->hex, HEX);
    ask_release(ask);
    return r;
}

static int get(void *ctx, const char *address, uint8_t secret[BK_CLIENT_SECRET_SIZE])
{
    char hex[HEX + 1] = { 0 };
    int r = run(ctx, GET, address, hex);
    if (r == 0 && bk_hex_decode(bk_view_of_str(hex), secret, BK_CLIENT_SECRET_SIZE) < 0)
        r = -ENOENT;
    bk_wipe(hex, sizeof hex);
    return r;
}

static int put(void *ctx, const char *address, const uint8_t secret[BK_CLIENT_SECRET_SIZE])
{
    char hex[HEX + 1];
    bk_hex_encode(secret, BK_CLIENT_SECRET_SIZE, hex);
    int r = run(ctx, PUT, address, hex);
    bk_wipe(hex, sizeof hex);
    return r;
}

static int drop(void *ctx, const char *address)
{
    return run(ctx, DROP, address, NULL);
}

struct bk_client_guard bk_secrets_guard(struct bk_secrets *secrets)
{
    return (struct bk_client_guard){ get, put, drop, secrets };
}

/* ---- the thread ---- */

static gpointer live(gpointer self)
{
    struct bk_secrets *secrets = self;
    g_main_context_push_thread_default(secrets->context);
    g_main_loop_run(secrets->loop);
    secret_service_disconnect();
    while (g_main_context_iteration(secrets->context, FALSE))
        ;
    g_main_context_pop_thread_default(secrets->context);
    return NULL;
}

struct bk_secrets *bk_secrets_create(const char *profile, int deadline_ms)
{
    struct bk_secrets *secrets = g_new0(struct bk_secrets, 1);
    char *root = bk_profile_root(profile);
    secrets->profile = g_canonicalize_filename(root ? root : "/", NULL);
    free(root);
    secrets->deadline_ms = deadline_ms;
    g_mutex_init(&secrets->lock);
    g_cond_init(&secrets->answered);
    secrets->context = g_main_context_new();
    secrets->loop = g_main_loop_new(secrets->context, FALSE);
    secrets->thread = g_thread_new("secrets", live, secrets);
    return secrets;
}

static gboolean leave_now(gpointer self)
{
    struct bk_secrets *secrets = self;
    g_main_loop_quit(secrets->loop);
    return G_SOURCE_REMOVE;
}

static gboolean leave(gpointer self)
{
    struct bk_secrets *secrets = self;
    secrets->leaving = true;
    leave_if_idle(secrets);
    if (secrets->pending) {
        GSource *timer = g_timeout_source_new(1000);
        g_source_set_callback(timer, leave_now, secrets, NULL);
        g_source_attach(timer, secrets->context);
        g_source_unref(timer);
    }
    return G_SOURCE_REMOVE;
}

struct bk_secrets *bk_secrets_destroy(struct bk_secrets *secrets)
{
    if (!secrets)
        return NULL;
    on_context(secrets, leave, secrets);
    g_thread_join(secrets->thread);
    g_main_loop_unref(secrets->loop);
    g_main_context_unref(secrets->context);
    g_free(secrets->profile);
    g_mutex_clear(&secrets->lock);
    g_cond_clear(&secrets->answered);
    g_free(secrets);
    return NULL;
}
