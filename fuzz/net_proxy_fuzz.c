/* SPDX-License-Identifier: Apache-2.0 */
/* A list of proxies: what was taken of it can be asked for a tunnel, and says the same when it is written anew. */
#include "base/buf.h"
#include "net/proxy.h"
#include "net/tunnel.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void check(const struct bk_proxy *proxy)
{
    char text[BK_PROXY_TEXT_MAX];
    bk_proxy_text(proxy, text);
    if (proxy->direct) {
        must(!text[0] && !proxy->login[0]);
        return;
    }
    struct bk_buf url = { 0 }, request = { 0 };
    struct bk_proxy again;
    bk_buf_addf(&url, "http://%s/", text);
    must(bk_proxy_parse(bk_buf_view(&url), &again) == 0);
    must(again.port == proxy->port && strcmp(again.host, proxy->host) == 0 && !again.login[0]);
    must(bk_tunnel_request(&request, "srv.test", 5061, bk_view_of_str(proxy->login)) == 0);
    must(bk_view_ends_with(bk_buf_view(&request), BK_VIEW("\r\n\r\n")));
    int lines = 0;
    for (size_t i = 0; i < request.len; i++)
        lines += request.at[i] == '\n';
    must(lines == (proxy->login[0] ? 5 : 4));
    bk_buf_finish(&url);
    bk_buf_finish(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bk_proxy_roads roads;
    bk_proxy_roads_parse(&roads, (struct bk_view){ (const char *)data, size });
    must(roads.n >= 0 && roads.n <= BK_PROXY_ROADS_MAX && (roads.n || roads.why[0]));
    for (int i = 0; i < roads.n; i++)
        check(&roads.roads[i]);
    return 0;
}
