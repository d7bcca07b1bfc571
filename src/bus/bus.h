/* SPDX-License-Identifier: Apache-2.0 */
/* bus/bus.h - carries a frame to whoever owns a user: same shard, other shard, later other front end. */
#ifndef BK_BUS_BUS_H
#define BK_BUS_BUS_H

#include "base/view.h"

/*
 * In-process back end: one FIFO for all shards of a thread. The contract, whatever carries the frames:
 * frames from one shard to another arrive in the order they were posted, each at most once, never
 * from within bk_bus_post; a frame may be lost only where the contract of another back end says so
 * (in-process: never). A frame is a kind and bytes; the bytes are copied.
 */
struct bk_bus;

struct bk_bus_frame {
    unsigned from, to; /* shards */
    int kind;          /* the server's own numbers */
    struct bk_view
        head; /* a plain struct of the server's, at most 256 bytes, aligned for any type */
    struct bk_view body;
};

struct bk_bus_config {
    unsigned n_shards;
    size_t bytes_max; /* waiting; 0: 256 MB. Over it bk_bus_post answers -ENOBUFS */
    void (*deliver)(void *ctx, const struct bk_bus_frame *frame);
    void *ctx;
};
int bk_bus_create(const struct bk_bus_config *config, struct bk_bus **ret);
struct bk_bus *bk_bus_destroy(struct bk_bus *bus); /* what waits is dropped */

/* -ENOMEM, -ENOBUFS, -EINVAL (no such shard, head too large). */
int bk_bus_post(struct bk_bus *bus, const struct bk_bus_frame *frame);
/* Delivers what waits, and what is posted meanwhile, until nothing is left; at most `most` frames (0: all). Returns how many. */
size_t bk_bus_pump(struct bk_bus *bus, size_t most);
size_t bk_bus_waiting(const struct bk_bus *bus);

#endif
