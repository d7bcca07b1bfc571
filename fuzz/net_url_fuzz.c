/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a URL that was taken make a URL with the same parts, and one that is safe to send. */
#include "base/buf.h"
#include "net/http.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bk_view text = { (const char *)data, size };
    struct bk_url url, again;
    if (bk_url_parse(text, &url) < 0)
        return 0;
    must(url.host.len > 0 && url.port > 0 && url.path.len > 0 && url.path.at[0] == '/');
    for (size_t i = 0; i < url.path.len; i++)
        must(url.path.at[i] > ' ' && url.path.at[i] < 0x7f && url.path.at[i] != '#');
    must(bk_view_find(url.host, '/') == url.host.len &&
         bk_view_find(url.host, '@') == url.host.len);

    struct bk_buf made = { 0 };
    bool v6 = bk_view_find(url.host, ':') < url.host.len;
    bk_buf_addf(&made, v6 ? "%s://[%.*s]:%u" : "%s://%.*s:%u", url.secure ? "https" : "http",
                BK_VIEW_ARGS(url.host), url.port);
    bk_buf_add_view(&made, url.path);
    must(bk_url_parse(bk_buf_view(&made), &again) == 0);
    must(again.secure == url.secure && again.port == url.port);
    must(bk_view_equal(again.host, url.host) && bk_view_equal(again.path, url.path));
    bk_buf_finish(&made);
    return 0;
}
