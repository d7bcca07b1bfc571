/* SPDX-License-Identifier: Apache-2.0 */
/* unit/desktop/model_test.h - the model on a fake engine: no display, no network. */
#ifndef BK_UNIT_DESKTOP_MODEL_TEST_H
#define BK_UNIT_DESKTOP_MODEL_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "desktop/engine.h"
#include "desktop/fake_engine.h"

#define ANN "ann@example.org"
#define BOB "bob@example.org"
#define CEM "cem@example.org"

/* Lets the main loop run until it holds; fails after 10 s. */
#define AWAIT(condition)                                                                           \
    do {                                                                                           \
        int64_t await_until = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;                        \
        guint await_tick = g_timeout_add(10, await_nothing, NULL);                                 \
        while (!(condition)) {                                                                     \
            if (g_get_monotonic_time() > await_until)                                              \
                fail_msg("waited in vain for: %s", #condition);                                    \
            (void)g_main_context_iteration(NULL, TRUE);                                            \
        }                                                                                          \
        (void)g_source_remove(await_tick);                                                         \
    } while (0)

static inline gboolean await_nothing(gpointer data)
{
    (void)data;
    return G_SOURCE_CONTINUE;
}

/* All that is due has been told, and what followed from it. */
static inline void settle(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        continue;
}

static inline struct bk_fake *make_fake(const char *script)
{
    struct bk_fake *fake = NULL;
    char *why = NULL;
    if (bk_fake_new(script, strlen(script), &fake, &why) < 0)
        fail_msg("%s", why);
    bk_fake_hurry(fake);
    return fake;
}

static inline void say(struct bk_fake *fake, const char *json)
{
    if (bk_fake_say(fake, json) < 0)
        fail_msg("no event: %s", json);
    settle();
}

#define SIGNED_IN "{'type':'state','state':'signed-in','address':'" ANN "'}"

/* JSON with ' in the place of ". */
static inline void tell(struct bk_fake *fake, const char *json)
{
    g_autofree char *text = g_strdelimit(g_strdup(json), "'", '"');
    say(fake, text);
}

/* Ends it; the fake's memory goes on a thread. */
static inline void on_engine_closed(GObject *object, GAsyncResult *result, gpointer data)
{
    (void)object;
    (void)result;
    *(bool *)data = true;
}

static inline void close_engine(BkEngine *engine)
{
    bool closed = false;
    bk_engine_close_async(engine, on_engine_closed, &closed);
    AWAIT(closed);
    g_object_unref(engine);
}

#endif
