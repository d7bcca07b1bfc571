/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/bus.h"

#include <errno.h>
#include <stdlib.h>

enum { HEAD_MAX = 256, BYTES_MAX_DEFAULT = 256 * 1024 * 1024 };

struct waiting {
    struct waiting *next;
    struct bk_bus_frame frame;
    _Alignas(max_align_t) char bytes[]; /* head, then body */
};

struct bk_bus {
    struct bk_bus_config config;
    struct waiting *first, **end;
    size_t n, bytes;
};

int bk_bus_create(const struct bk_bus_config *config, struct bk_bus **ret)
{
    struct bk_bus *bus = calloc(1, sizeof *bus);
    if (!bus)
        return -ENOMEM;
    bus->config = *config;
    if (!bus->config.bytes_max)
        bus->config.bytes_max = BYTES_MAX_DEFAULT;
    bus->end = &bus->first;
    *ret = bus;
    return 0;
}

struct bk_bus *bk_bus_destroy(struct bk_bus *bus)
{
    if (!bus)
        return NULL;
    for (struct waiting *w = bus->first, *next; w; w = next) {
        next = w->next;
        free(w);
    }
    free(bus);
    return NULL;
}

int bk_bus_post(struct bk_bus *bus, const struct bk_bus_frame *frame)
{
    if (frame->to >= bus->config.n_shards || frame->head.len > HEAD_MAX)
        return -EINVAL;
    size_t size = sizeof(struct waiting) + HEAD_MAX + frame->body.len;
    if (size > bus->config.bytes_max - bus->bytes)
        return -ENOBUFS;
    struct waiting *w = malloc(size);
    if (!w)
        return -ENOMEM;
    w->next = NULL;
    w->frame = *frame;
    if (frame->head.len)
        memcpy(w->bytes, frame->head.at, frame->head.len);
    if (frame->body.len)
        memcpy(w->bytes + HEAD_MAX, frame->body.at, frame->body.len);
    w->frame.head.at = w->bytes;
    w->frame.body.at = w->bytes + HEAD_MAX;
    *bus->end = w;
    bus->end = &w->next;
    bus->n++;
    bus->bytes += size;
    return 0;
}

size_t bk_bus_pump(struct bk_bus *bus, size_t most)
{
    size_t n = 0;
    while (bus->first && (most == 0 || n < most)) {
        struct waiting *w = bus->first;
        bus->first = w->next;
        if (!bus->first)
            bus->end = &bus->first;
        bus->n--;
        bus->bytes -= sizeof *w + HEAD_MAX + w->frame.body.len;
        bus->config.deliver(bus->config.ctx, &w->frame);
        free(w);
        n++;
    }
    return n;
}

size_t bk_bus_waiting(const struct bk_bus *bus)
{
    return bus->n;
}
