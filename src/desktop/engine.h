/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/engine.h - the signed-in person on GLib's main loop: commands in, events out. No widget. */
#ifndef BK_DESKTOP_ENGINE_H
#define BK_DESKTOP_ENGINE_H

#include "client/client.h"
#include <gio/gio.h>

/*
 * Whoever speaks for a person: bk_client (the real one) or a fake for pictures and odd states. The functions have
 * the meaning of their namesakes in client/client.h; `self` is what `open` made. None of them blocks but `close`
 * (up to 1.5 s), which the engine calls on a thread of its own.
 */
struct bk_engine_ops {
    int (*sign_in)(void *self, const char *address, const char *password, const char *user);
    int (*credential)(void *self, const char *password, const char *user);
    int (*trust)(void *self, enum bk_client_trust_answer answer);
    int (*change_password)(void *self, const char *address, const char *user,
                           const char *old_password, const char *new_password);
    int (*sign_out)(void *self);
    int (*delete_sign_in_info)(void *self, const char *address);
    int (*retry_now)(void *self);
    int (*network_changed)(void *self);
    int (*set_status)(void *self, enum bk_pidf_manual manual);
    int (*set_machine)(void *self, enum bk_pidf_machine machine);
    int (*set_note)(void *self, const char *note);
    int (*watch)(void *self, const char *address);
    int (*unwatch)(void *self, const char *address);
    int (*send_message)(void *self, const char *to, const char *text, uint64_t *ret_id);
    int (*typing)(void *self, const char *to, bool typing);     /* NULL: not told to others */
    int (*close_conversation)(void *self, const char *address); /* NULL: as typing */
    int (*edit)(void *self, const struct bk_client_edit *wish, uint64_t *ret_id);
    /* NULL: always reached the same way */
    int (*set_connection)(void *self, const struct bk_client_connection *connection,
                          char **ret_why);
    /* NULL: it asks for no proxy */
    int (*proxy_found)(void *self, uint64_t token, const char *list, const char *why);
    int (*event_fd)(const void *self);
    const struct bk_client_event *(*event_next)(void *self);
    void (*event_done)(void *self, const struct bk_client_event *event);
    void (*close)(void *self);
};
extern const struct bk_engine_ops bk_engine_client_ops; /* self: struct bk_client * */

/*
 * signal "event", detailed by bk_client_event_name(): (const struct bk_client_event *), on the main loop, in order.
 *   g_signal_connect(engine, "event::message", ...) hears one kind, "event" all.
 *   The event is valid during the emission; bk_engine_keep() makes it the handler's until bk_engine_done().
 *   A MESSAGE counts as shown once it is done (client.h), so the history keeps it until its row is on disk.
 * property "state" (int, enum bk_client_state; notify), "address" (string, "" while nobody), "retry-in" (int, seconds). They are set before
 * "event" is emitted.
 */
#define BK_TYPE_ENGINE (bk_engine_get_type())
G_DECLARE_FINAL_TYPE(BkEngine, bk_engine, BK, ENGINE, GObject)

/* Takes self. The engine closes it on a thread when it is closed or finalized. */
BkEngine *bk_engine_new(const struct bk_engine_ops *ops, void *self);

enum bk_client_state bk_engine_state(BkEngine *engine);
const char *bk_engine_address(BkEngine *engine);
/* Signed in, or on the way back without the person having to do anything: contacts and windows stay. */
bool bk_engine_has_session(BkEngine *engine);
/* The proxy that the connection goes through, "proxy.example.org:3128"; "": none, or there is no connection. */
const char *bk_engine_proxy(BkEngine *engine);
/* Seconds until the next try by itself; 0: none is due. Counted down, with notify each second. */
int bk_engine_retry_in(BkEngine *engine);
/*
 * The last failure not yet overcome; NULL: none. Valid until the next event. It stays when the sign-in ends because of it, and goes
 * with the next sign-in, with Sign Out, and when it was overcome.
 */
const struct bk_client_failure *bk_engine_failure(BkEngine *engine);

void bk_engine_keep(BkEngine *engine, const struct bk_client_event *event);
void bk_engine_done(BkEngine *engine, const struct bk_client_event *event);

/* Commands, as in client.h: 0 or negative errno. After bk_engine_close: -ESHUTDOWN. */
int bk_engine_sign_in(BkEngine *engine, const char *address, const char *password,
                      const char *user);
int bk_engine_credential(BkEngine *engine, const char *password, const char *user);
int bk_engine_trust(BkEngine *engine, enum bk_client_trust_answer answer);
int bk_engine_change_password(BkEngine *engine, const char *address, const char *user,
                              const char *old_password, const char *new_password);
int bk_engine_sign_out(BkEngine *engine);
int bk_engine_delete_sign_in_info(BkEngine *engine, const char *address);
int bk_engine_retry_now(BkEngine *engine);
int bk_engine_network_changed(BkEngine *engine);
int bk_engine_set_status(BkEngine *engine, enum bk_pidf_manual manual);
int bk_engine_set_machine(BkEngine *engine, enum bk_pidf_machine machine);
int bk_engine_set_note(BkEngine *engine, const char *note);
int bk_engine_watch(BkEngine *engine, const char *address);
int bk_engine_unwatch(BkEngine *engine, const char *address);
int bk_engine_send_message(BkEngine *engine, const char *to, const char *text, uint64_t *ret_id);
/* Reads another CA file here and now; the rest is taken by the engine's thread. *ret_why: for the person, to be freed with free(). */
int bk_engine_set_connection(BkEngine *engine, const struct bk_client_connection *connection,
                             char **ret_why);
int bk_engine_proxy_found(BkEngine *engine, uint64_t token, const char *list, const char *why);
int bk_engine_typing(BkEngine *engine, const char *to, bool typing);
int bk_engine_close_conversation(BkEngine *engine, const char *address);

/*
 * One edit and what became of it (EDITED). *wish is copied. The task fails with BK_EDIT_ERROR and the sentence for the person, the
 * case code in brackets behind it where there is one. SEARCH: see bk_roster_search_async.
 */
#define BK_EDIT_ERROR (bk_edit_error_quark())
GQuark bk_edit_error_quark(void);
void bk_engine_edit_async(BkEngine *engine, const struct bk_client_edit *wish,
                          GCancellable *cancellable, GAsyncReadyCallback done, gpointer user_data);
bool bk_engine_edit_finish(BkEngine *engine, GAsyncResult *result, GError **error);
/* Of a SEARCH: its FOUND event, the result's as long as it lives; NULL: nothing was found out. */
const struct bk_client_event *bk_engine_edit_found(GAsyncResult *result);

/*
 * Ends what self does, on a thread; done is called on the main loop when it has ended. Idempotent. Edits under way fail now. Events that
 * somebody keeps are waited for, up to 2 s: a MESSAGE not given back by then is told again at the next start.
 */
void bk_engine_close_async(BkEngine *engine, GAsyncReadyCallback done, gpointer user_data);

#endif
