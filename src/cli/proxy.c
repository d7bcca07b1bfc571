/* SPDX-License-Identifier: Apache-2.0 */
/* Which proxy: --proxy, --no-proxy, else the environment, as other programs of the terminal read it. */
#include "base/cleanup.h"
#include "base/text.h"
#include "cli/cli.h"

#include <stdlib.h>

/* The lower-case name counts more, as curl has it. */
static const char *variable(const char *lower, const char *upper)
{
    const char *value = getenv(lower);
    if (!value)
        value = getenv(upper);
    return value ? value : "";
}

static bool is_blank_or_comma(char c)
{
    return c == ' ' || c == ',' || c == '\t' || c == '\n';
}

/* "example.org" and ".example.org": that host and all below it. "host:port": there alone. "*": everything. */
static bool excepts(struct bk_view entry, struct bk_view host, uint16_t port)
{
    size_t colon = bk_view_find(entry, ':');
    struct bk_view behind = bk_view_skip(entry, colon + 1);
    bool v6 = entry.len && (entry.at[0] == '[' || bk_view_find(behind, ':') < behind.len);
    uint64_t only = 0;
    if (v6 && entry.at[0] == '[') {
        size_t end = bk_view_find(entry, ']');
        struct bk_view rest = bk_view_skip(entry, end + 1);
        entry = bk_view_head(bk_view_skip(entry, 1), end - 1);
        if (rest.len && bk_view_to_u64(bk_view_skip(rest, 1), 65535, &only) < 0)
            return false;
    } else if (!v6 && colon < entry.len) {
        if (bk_view_to_u64(bk_view_skip(entry, colon + 1), 65535, &only) < 0)
            return false;
        entry = bk_view_head(entry, colon);
    }
    if (only && only != port)
        return false;
    if (bk_view_equal(entry, BK_VIEW("*")))
        return true;
    if (entry.len && entry.at[0] == '.')
        entry = bk_view_skip(entry, 1);
    if (!entry.len || entry.len > host.len)
        return false;
    struct bk_view tail = bk_view_skip(host, host.len - entry.len);
    return bk_view_equal_nocase(tail, entry) &&
           (tail.len == host.len || (!v6 && host.at[host.len - entry.len - 1] == '.'));
}

static bool is_excepted(const char *list, const char *url)
{
    static const char scheme[] = "https://";
    /* "https://host:port/" or "https://[v6]:port/", as the engine writes it */
    struct bk_view rest = bk_view_of_str(list),
                   host = bk_view_skip(bk_view_of_str(url), sizeof scheme - 1);
    uint64_t port = 0;
    host = bk_view_head(host, bk_view_find(host, '/'));
    size_t colon = host.len;
    while (colon > 0 && host.at[colon - 1] != ':')
        colon--;
    if (!colon || bk_view_to_u64(bk_view_skip(host, colon), 65535, &port) < 0)
        return false;
    host = bk_view_head(host, colon - 1);
    if (host.len > 2 && host.at[0] == '[')
        host = bk_view_head(bk_view_skip(host, 1), host.len - 2);
    while (rest.len) {
        size_t len = 0;
        while (len < rest.len && !is_blank_or_comma(rest.at[len]))
            len++;
        if (len && excepts(bk_view_head(rest, len), host, (uint16_t)port))
            return true;
        rest = bk_view_skip(rest, len + 1);
    }
    return false;
}

void cli_find_proxy(void *ctx, struct bk_client *client, const char *url, uint64_t token)
{
    const struct cli *cli = ctx;
    const char *proxy = cli->proxy;
    if (!proxy) {
        proxy = variable("https_proxy", "HTTPS_PROXY");
        if (is_excepted(variable("no_proxy", "NO_PROXY"), url))
            proxy = "";
    }
    if (!*proxy)
        proxy = "direct://";
    BK_AUTO_BUF struct bk_buf list = { 0 };
    if (!strstr(proxy, "://"))
        bk_buf_add_lit(&list, "http://");
    bk_buf_add_str(&list, proxy);
    const char *text = bk_buf_cstr(&list);
    /* Out of memory: no answer, and the connection fails after its time. */
    (void)bk_client_proxy_found(client, token, text, text ? NULL : "out of memory");
    if (list.at)
        bk_wipe(list.at, list.cap);
}
