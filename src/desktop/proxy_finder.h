/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/proxy_finder.h - which proxy leads to a server: what the desktop is set to, for the engine. No widget. */
#ifndef BK_DESKTOP_PROXY_FINDER_H
#define BK_DESKTOP_PROXY_FINDER_H

#include "desktop/engine.h"
#include "desktop/settings.h"

/*
 * Asks GLib's proxy resolver (glib-networking: GNOME's settings, or libproxy's view of other desktops and of the environment), on the main
 * loop and never waiting there. BK_SETTING_CONNECT_DIRECTLY: nobody is asked.
 */
struct bk_proxy_finder;

struct bk_proxy_finder *bk_proxy_finder_create(BkSettings *settings);
/* After the client that asks it is gone. */
struct bk_proxy_finder *bk_proxy_finder_destroy(struct bk_proxy_finder *finder);
/* Whose client it answers. Questions that come before, or when it is closed, have no answer. */
void bk_proxy_finder_set_engine(struct bk_proxy_finder *finder, BkEngine *engine);

/* bk_client_config.find_proxy; finder is its context. On any thread. */
void bk_proxy_finder_find(void *finder, struct bk_client *client, const char *url, uint64_t token);

/*
 * What that proxy ("proxy.example.org:3128") is to be given from now on, where the settings name no login of their own. Kept in memory
 * alone, wiped at the end.
 */
void bk_proxy_finder_set_login(struct bk_proxy_finder *finder, const char *proxy, const char *user,
                               const char *password);

/* All of them, wiped. */
void bk_proxy_finder_forget(struct bk_proxy_finder *finder);

/* A proxy's URL with a login put in, to be wiped and freed; a copy where it has one already or is no "http://". For the tests. */
char *bk_proxy_finder_url_with(const char *url, const char *login);

#endif
