/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Query and Host (the first line is the query): a domain in lower case without control bytes, which is what stands behind
 * the @ of the address where there is one; or a refusal.
 */
#include "base/cleanup.h"
#include "server/discover.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    BK_AUTO_BUF struct bk_buf domain = { 0 }, address = { 0 };
    struct bk_view host = { (const char *)data, size };
    struct bk_view query = bk_view_cut(&host, '\n');
    int r = bk_discover_target(query, host, &domain, &address);
    if (r < 0) {
        if (r != -EBADMSG)
            abort();
        return 0;
    }
    for (size_t i = 0; i < domain.len; i++)
        if (domain.at[i] >= 'A' && domain.at[i] <= 'Z')
            abort();
    if (address.len) {
        struct bk_view whole = bk_buf_view(&address);
        size_t at = bk_view_find(whole, '@');
        for (size_t i = 0; i < whole.len; i++)
            if ((unsigned char)whole.at[i] < ' ' || whole.at[i] == 0x7f)
                abort();
        if (at == 0 || domain.len == 0)
            abort();
        if (whole.len < 320 && !bk_view_equal(bk_view_skip(whole, at + 1), bk_buf_view(&domain)))
            abort();
    }
    return 0;
}
