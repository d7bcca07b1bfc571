/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http.h"

#include <errno.h>

static bool is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
}

static bool is_host(struct bk_view v)
{
    if (v.len == 0 || v.len > 253)
        return false;
    for (size_t i = 0; i < v.len; i++)
        if (!is_host_char(v.at[i]))
            return false;
    return true;
}

static bool is_ipv6(struct bk_view v)
{
    char text[64];
    struct bk_addr a;
    if (v.len >= sizeof text || bk_view_find(v, ':') == v.len)
        return false;
    memcpy(text, v.at, v.len);
    text[v.len] = '\0';
    return bk_addr_parse(text, 0, &a) == 0;
}

/* host, host:port, [v6], [v6]:port */
static int split_authority(struct bk_view authority, struct bk_url *url)
{
    struct bk_view port;
    if (authority.len && authority.at[0] == '[') {
        size_t end = bk_view_find(authority, ']');
        if (end == authority.len)
            return -EINVAL;
        url->host = (struct bk_view){ authority.at + 1, end - 1 };
        if (!is_ipv6(url->host))
            return -EINVAL;
        port = bk_view_skip(authority, end + 1);
    } else {
        url->host = bk_view_head(authority, bk_view_find(authority, ':'));
        if (!is_host(url->host))
            return -EINVAL;
        port = bk_view_skip(authority, url->host.len);
    }
    if (port.len == 0)
        return 0;
    uint64_t n;
    if (port.at[0] != ':' || bk_view_to_u64(bk_view_skip(port, 1), 65535, &n) < 0 || n == 0)
        return -EINVAL;
    url->port = (uint16_t)n;
    return 0;
}

int bk_url_parse(struct bk_view text, struct bk_url *ret)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] <= ' ' || text.at[i] >= 0x7f)
            return -EINVAL; /* also keeps line ends out of the request we make of it */
    struct bk_url url;
    if (bk_view_starts_with_nocase(text, BK_VIEW("https://")))
        url = (struct bk_url){ .secure = true, .port = 443 };
    else if (bk_view_starts_with_nocase(text, BK_VIEW("http://")))
        url = (struct bk_url){ .port = 80 };
    else
        return -EINVAL;
    text = bk_view_skip(text, url.secure ? 8 : 7);
    text = bk_view_head(text, bk_view_find(text, '#')); /* a fragment never leaves the client */

    size_t slash = bk_view_find(text, '/'), query = bk_view_find(text, '?');
    if (query < slash)
        return -EINVAL;
    int r = split_authority(bk_view_head(text, slash), &url);
    if (r < 0)
        return r;
    url.path = slash < text.len ? bk_view_skip(text, slash) : BK_VIEW("/");
    *ret = url;
    return 0;
}
