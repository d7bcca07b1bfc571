/* SPDX-License-Identifier: Apache-2.0 */
/* However a stream is cut into reads, the same messages, the same number of pings and the same end come out of it. */
#include "base/buf.h"
#include "sip/frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX = 4000, SEEN_MAX = 64 };

struct seen {
    size_t lens[SEEN_MAX];
    int n, pings;
    bool bad;
};

static void receive(struct bk_sip_frame *frame, struct bk_view *waiting, struct seen *seen)
{
    while (!seen->bad) {
        struct bk_sip_fault fault = { 0 };
        size_t len = 0;
        switch (bk_sip_frame_next(frame, *waiting, MAX, &len, &fault)) {
        case BK_SIP_FRAME_MORE:
            return;
        case BK_SIP_FRAME_MESSAGE:
            if (seen->n < SEEN_MAX)
                seen->lens[seen->n++] = len;
            break;
        case BK_SIP_FRAME_PING:
            seen->pings++;
            break;
        case BK_SIP_FRAME_BLANK:
            break;
        case BK_SIP_FRAME_BAD:
            if (!fault.text || fault.status < 400)
                abort();
            seen->bad = true;
            return;
        }
        if (len == 0 || len > waiting->len)
            abort();
        *waiting = bk_view_skip(*waiting, len);
    }
}

/* Pieces of 1 to `step` bytes; 0: all at once. Each piece is a copy, so that a look behind its end is seen. */
static struct seen run(struct bk_view stream, size_t step)
{
    struct bk_sip_frame frame = { 0 };
    struct seen seen = { 0 };
    size_t from = 0, to = 0, salt = step;
    while (to < stream.len && !seen.bad) {
        salt = salt * 6364136223846793005u + 1442695040888963407u;
        to += step ? 1 + (salt >> 33) % step : stream.len;
        if (to > stream.len)
            to = stream.len;
        char *copy = malloc(to - from);
        if (!copy)
            abort();
        memcpy(copy, stream.at + from, to - from);
        struct bk_view waiting = { copy, to - from };
        receive(&frame, &waiting, &seen);
        from = to - waiting.len;
        free(copy);
    }
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bk_view stream = { (const char *)data, size };
    static const size_t steps[] = { 1, 3, 40 };
    struct seen whole = run(stream, 0);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct seen cut = run(stream, steps[i]);
        if (cut.n != whole.n || cut.pings != whole.pings || cut.bad != whole.bad ||
            memcmp(cut.lens, whole.lens, (size_t)cut.n * sizeof *cut.lens) != 0)
            abort();
    }
    return 0;
}
