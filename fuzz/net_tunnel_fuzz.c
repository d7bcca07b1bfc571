/* SPDX-License-Identifier: Apache-2.0 */
/* A proxy's answer to CONNECT means the same however it is cut, and not a byte behind it is taken. */
#include "net/http.h"
#include "net/tunnel_private.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
    if (!condition)
        abort();
}

struct outcome {
    struct bk_tunnel_answer answer;
    enum bk_tunnel_step step;
    size_t used;
};

/* In pieces of `piece` bytes, as long as more is asked for. */
static struct outcome read_in(struct bk_view text, size_t piece)
{
    struct outcome o = { .step = BK_TUNNEL_MORE };
    struct bk_tunnel_reader reader;
    bk_tunnel_reader_init(&reader, &o.answer);
    while (o.step == BK_TUNNEL_MORE && text.len) {
        size_t used = 0;
        struct bk_view part = bk_view_head(text, piece);
        o.step = bk_tunnel_read(&reader, part, &used);
        must(used <= part.len && (o.step != BK_TUNNEL_MORE || used == part.len));
        o.used += used;
        text = bk_view_skip(text, used);
    }
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bk_view text = { (const char *)data + 1, size - 1 };
    struct outcome whole = read_in(text, text.len), cut = read_in(text, data[0] % 16 + 1);
    must(whole.step == cut.step);
    must(whole.used <= BK_HTTP_HEAD_MAX);
    must(whole.answer.status == cut.answer.status);
    must(strcmp(whole.answer.reason, cut.answer.reason) == 0);
    must(strcmp(whole.answer.schemes, cut.answer.schemes) == 0);
    switch (whole.step) {
    case BK_TUNNEL_OPEN:
        must(whole.answer.status / 100 == 2);
        must(whole.used == cut.used && text.at[whole.used - 1] == '\n');
        /* What follows changes nothing. */
        must(read_in(bk_view_head(text, whole.used), whole.used).step == BK_TUNNEL_OPEN);
        must(read_in(bk_view_head(text, whole.used - 1), whole.used).step == BK_TUNNEL_MORE);
        break;
    case BK_TUNNEL_REFUSED:
        must(whole.answer.status >= 200 && whole.answer.status / 100 != 2);
        break;
    case BK_TUNNEL_BAD:
        must(whole.answer.fault && !whole.answer.status && !whole.answer.reason[0]);
        break;
    case BK_TUNNEL_MORE:
        must(!whole.answer.fault);
        break;
    }
    for (const char *p = whole.answer.schemes; *p; p++)
        must(*p >= ' ' && *p < 0x7f);
    for (const char *p = whole.answer.reason; *p; p++)
        must(*p >= ' ' && *p < 0x7f);
    return 0;
}
