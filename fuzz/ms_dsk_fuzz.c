/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Legs of a TLS-DSK handshake from a stranger: each begins with two bytes of length. However they look, nobody without a certificate
 * gets to the end, what goes back are whole records, and what failed stays failed.
 */
#include "base/cleanup.h"
#include "ms/dsk.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_records(struct bk_view flight)
{
    while (flight.len >= 5)
        flight =
            bk_view_skip(flight, 5 + ((size_t)(uint8_t)flight.at[3] << 8 | (uint8_t)flight.at[4]));
    if (flight.len)
        abort();
}

static struct bk_dsk_side *side_of(bool server)
{
    static struct bk_dsk_side *sides[2];
    struct bk_dsk_config config = { .server = server, .name = "srv.example.com" };
    if (!sides[server] && bk_dsk_side_create(&config, &sides[server]) < 0)
        abort();
    return sides[server];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    BK_AUTO_BUF struct bk_buf out = { 0 };
    struct bk_view rest = { (const char *)data, size };
    struct bk_dsk *dsk;
    bool failed = false;

    if (!rest.len)
        return 0;
    if (bk_dsk_begin(side_of(!(rest.at[0] & 1)), &dsk) < 0)
        abort();
    rest = bk_view_skip(rest, 1);
    while (rest.len >= 2) {
        size_t len = (size_t)(uint8_t)rest.at[0] << 8 | (uint8_t)rest.at[1];
        struct bk_view leg = bk_view_head(bk_view_skip(rest, 2), len);
        rest = bk_view_skip(rest, 2 + leg.len);
        bk_buf_clear(&out);
        enum bk_dsk_step step = bk_dsk_step(dsk, leg, &out);
        if (step == BK_DSK_DONE || (failed && step != BK_DSK_FAILED) ||
            (step == BK_DSK_FAILED && (out.len || !*bk_dsk_fault(dsk))))
            abort();
        failed = step == BK_DSK_FAILED;
        expect_records(bk_buf_view(&out));
    }
    bk_dsk_destroy(dsk);
    return 0;
}
