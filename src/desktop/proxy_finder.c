/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/proxy_finder.h"

#include "base/text.h"

#include <string.h>

struct bk_proxy_finder {
    gint holders; /* atomic: questions under way hold it too */
    BkSettings *settings;
    BkEngine *engine;   /* weak */
    GHashTable *logins; /* "proxy:3128" -> "user:password", percent-encoded */
};

struct question {
    struct bk_proxy_finder *finder;
    char *url;
    uint64_t token;
};

static void wipe(gpointer text)
{
    if (text)
        bk_wipe(text, strlen(text));
    g_free(text);
}

static void release(struct bk_proxy_finder *finder)
{
    if (!g_atomic_int_dec_and_test(&finder->holders))
        return;
    g_hash_table_unref(finder->logins);
    g_object_unref(finder->settings);
    g_free(finder);
}

struct bk_proxy_finder *bk_proxy_finder_create(BkSettings *settings)
{
    struct bk_proxy_finder *finder = g_new0(struct bk_proxy_finder, 1);
    finder->holders = 1;
    finder->settings = g_object_ref(settings);
    finder->logins = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, wipe);
    return finder;
}

void bk_proxy_finder_set_engine(struct bk_proxy_finder *finder, BkEngine *engine)
{
    g_set_weak_pointer(&finder->engine, engine);
}

struct bk_proxy_finder *bk_proxy_finder_destroy(struct bk_proxy_finder *finder)
{
    if (!finder)
        return NULL;
    g_clear_weak_pointer(&finder->engine);
    release(finder);
    return NULL;
}

/* ---- logins ---- */

void bk_proxy_finder_set_login(struct bk_proxy_finder *finder, const char *proxy, const char *user,
                               const char *password)
{
    char *name = g_uri_escape_string(user, NULL, FALSE);
    char *secret = g_uri_escape_string(password, NULL, FALSE);
    (void)g_hash_table_insert(finder->logins, g_ascii_strdown(proxy, -1),
                              g_strdup_printf("%s:%s", name, secret));
    g_free(name);
    wipe(secret);
}

void bk_proxy_finder_forget(struct bk_proxy_finder *finder)
{
    g_hash_table_remove_all(finder->logins);
}

/* Where the host stands in "http://host:port/"; NULL: no such URL, or a login stands there already. */
static const char *bare_host(const char *url)
{
    static const char http[] = "http://";
    if (g_ascii_strncasecmp(url, http, sizeof http - 1) != 0)
        return NULL;
    const char *host = url + sizeof http - 1;
    return memchr(host, '@', strcspn(host, "/")) ? NULL : host;
}

char *bk_proxy_finder_url_with(const char *url, const char *login)
{
    const char *host = bare_host(url);
    return host && login ? g_strdup_printf("http://%s@%s", login, host) : g_strdup(url);
}

static const char *login_for(struct bk_proxy_finder *finder, const char *url)
{
    const char *host = bare_host(url);
    if (!host)
        return NULL;
    g_autofree char *plain = g_ascii_strdown(host, (gssize)strcspn(host, "/"));
    const char *port = strrchr(plain, ':');
    if (port && !strchr(port, ']'))
        return g_hash_table_lookup(finder->logins, plain);
    g_autofree char *whole = g_strconcat(plain, ":80", NULL);
    return g_hash_table_lookup(finder->logins, whole);
}

/* ---- questions ---- */

static void answer(struct question *q, const char *list, const char *why)
{
    if (q->finder->engine)
        (void)bk_engine_proxy_found(q->finder->engine, q->token, list, why);
    release(q->finder);
    g_free(q->url);
    g_free(q);
}

static void on_found(GObject *resolver, GAsyncResult *result, gpointer p)
{
    struct question *q = p;
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) found =
        g_proxy_resolver_lookup_finish(G_PROXY_RESOLVER(resolver), result, &error);
    if (!found) {
        answer(q, NULL, error->message);
        return;
    }
    GString *list = g_string_new(NULL);
    for (char **url = found; *url; url++) {
        char *whole = bk_proxy_finder_url_with(*url, login_for(q->finder, *url));
        g_string_append_printf(list, "%s%s", list->len ? " " : "", whole);
        wipe(whole);
    }
    char *text = g_string_free(list, FALSE);
    answer(q, text, NULL);
    wipe(text);
}

static gboolean ask(gpointer p)
{
    struct question *q = p;
    if (bk_settings_bool(q->finder->settings, BK_SETTING_CONNECT_DIRECTLY))
        answer(q, "direct://", NULL);
    else
        g_proxy_resolver_lookup_async(g_proxy_resolver_get_default(), q->url, NULL, on_found, q);
    return G_SOURCE_REMOVE;
}

void bk_proxy_finder_find(void *finder, struct bk_client *client, const char *url, uint64_t token)
{
    struct question *q = g_new0(struct question, 1);
    (void)client; /* answered through the engine, which knows whether it lives */
    q->finder = finder;
    g_atomic_int_inc(&q->finder->holders);
    q->url = g_strdup(url);
    q->token = token;
    g_idle_add_full(G_PRIORITY_DEFAULT, ask, q, NULL);
}
