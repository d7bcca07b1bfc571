/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A saved dialog comes from a disk. What is taken for one can be saved and comes back the same, and
 * the request written from it is one message with one line for each field: nothing saved adds a line.
 */
#include "sip/dialog.h"

#include "base/cleanup.h"
#include "sip/build.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count_lines(struct bk_view v)
{
    size_t n = 0;
    for (size_t i = 0; i < v.len; i++)
        n += v.at[i] == '\n';
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bk_sip_dialog *first = NULL, *second = NULL;
    struct bk_view saved = { (const char *)data, size };
    if (bk_sip_dialog_restore(saved, &first) < 0) {
        if (first)
            abort();
        return 0;
    }
    BK_AUTO_BUF struct bk_buf once = { 0 }, twice = { 0 }, request = { 0 };
    bk_sip_dialog_save(first, &once);
    if (bk_sip_dialog_restore(bk_buf_view(&once), &second) < 0)
        abort();
    bk_sip_dialog_save(second, &twice);
    if (!bk_view_equal(bk_buf_view(&once), bk_buf_view(&twice)))
        abort();

    bk_sip_dialog_request_begin(first, &request, BK_SIP_NOTIFY, BK_VIEW("SIP/2.0/TLS h"),
                                BK_VIEW("z9hG4bK1"));
    /* Saved: magic, numbers, five texts, the routes, the target. Written: request line, Via,
     * Max-Forwards, the routes, From, To, Call-ID, CSeq; a strict router changes places only. */
    if (request.failed || count_lines(bk_buf_view(&request)) != count_lines(bk_buf_view(&once)) - 1)
        abort();
    for (size_t i = 0; i < request.len; i++)
        if ((request.at[i] == '\n') != (i > 0 && request.at[i - 1] == '\r'))
            abort();
    bk_sip_dialog_destroy(first);
    bk_sip_dialog_destroy(second);
    return 0;
}
