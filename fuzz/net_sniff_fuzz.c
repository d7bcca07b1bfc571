/* SPDX-License-Identifier: Apache-2.0 */
/* Which protocol it is may be told late, but never differently. */
#include "net/conn.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const alpn[] = { "", "beckon", "sip", "http/1.1" };
    for (int a = 0; a < 4; a++) {
        enum bk_conn_protocol told = BK_PROTOCOL_MORE;
        size_t step = size > 512 ? size / 256 : 1;
        for (size_t n = 0;; n = n + step < size ? n + step : size) {
            struct bk_view part = { (const char *)data, n };
            enum bk_conn_protocol now = bk_conn_sniff(bk_view_of_str(alpn[a]), part);
            if (told != BK_PROTOCOL_MORE && now != told)
                abort();
            if (n > 8192 && now == BK_PROTOCOL_MORE)
                abort();
            told = now;
            if (n == size)
                break;
        }
    }
    return 0;
}
