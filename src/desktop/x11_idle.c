/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/x11_idle.h"

#include <glib-unix.h>
#include <stdbool.h>
#include <stdlib.h>
#include <xcb/screensaver.h>
#include <xcb/xcb.h>
#include <xcb/xcbext.h>

struct bk_x11_idle {
    xcb_connection_t *x;
    xcb_window_t root;
    void (*told)(void *ctx, int64_t ms);
    void *ctx;
    bool asked;
    xcb_screensaver_query_info_cookie_t question;
    guint watch;
};

static void tell(struct bk_x11_idle *idle, int64_t ms)
{
    idle->told(idle->ctx, ms); /* may destroy it */
}

static gboolean on_readable(int fd, GIOCondition condition, gpointer data)
{
    struct bk_x11_idle *idle = data;
    xcb_screensaver_query_info_reply_t *reply = NULL;
    xcb_generic_error_t *error = NULL;
    xcb_generic_event_t *event;
    (void)fd, (void)condition;
    while ((event = xcb_poll_for_event(idle->x)))
        free(event); /* none is asked for; a change of the keyboard is told to everybody */
    if (xcb_connection_has_error(idle->x)) {
        idle->watch = 0;
        tell(idle, -1);
        return G_SOURCE_REMOVE;
    }
    if (!idle->asked ||
        !xcb_poll_for_reply(idle->x, idle->question.sequence, (void **)&reply, &error))
        return G_SOURCE_CONTINUE;
    idle->asked = false;
    int64_t ms = reply ? (int64_t)reply->ms_since_user_input : -1;
    free(reply);
    free(error);
    if (ms >= 0)
        tell(idle, ms);
    return G_SOURCE_CONTINUE;
}

static xcb_window_t root_of(xcb_connection_t *x, int screen)
{
    xcb_screen_iterator_t at = xcb_setup_roots_iterator(xcb_get_setup(x));
    while (at.rem && screen-- > 0)
        xcb_screen_next(&at);
    return at.rem ? at.data->root : XCB_NONE;
}

struct bk_x11_idle *bk_x11_idle_create(const char *display, void (*told)(void *ctx, int64_t ms),
                                       void *ctx)
{
    int screen = 0;
    xcb_connection_t *x = xcb_connect(display, &screen);
    const xcb_query_extension_reply_t *extension =
        xcb_connection_has_error(x) ? NULL : xcb_get_extension_data(x, &xcb_screensaver_id);
    xcb_window_t root = extension && extension->present ? root_of(x, screen) : XCB_NONE;
    if (root == XCB_NONE) {
        xcb_disconnect(x);
        return NULL;
    }
    struct bk_x11_idle *idle = g_new0(struct bk_x11_idle, 1);
    *idle = (struct bk_x11_idle){ .x = x, .root = root, .told = told, .ctx = ctx };
    idle->watch =
        g_unix_fd_add(xcb_get_file_descriptor(x), G_IO_IN | G_IO_HUP | G_IO_ERR, on_readable, idle);
    return idle;
}

struct bk_x11_idle *bk_x11_idle_destroy(struct bk_x11_idle *idle)
{
    if (!idle)
        return NULL;
    g_clear_handle_id(&idle->watch, g_source_remove);
    xcb_disconnect(idle->x);
    g_free(idle);
    return NULL;
}

void bk_x11_idle_ask(struct bk_x11_idle *idle)
{
    if (idle->asked || !idle->watch)
        return;
    idle->asked = true;
    idle->question = xcb_screensaver_query_info(idle->x, idle->root);
    (void)xcb_flush(idle->x);
}
