/* SPDX-License-Identifier: Apache-2.0 */
/* base/map.h - keyed hash (SipHash-1-3) and an intrusive hash table on it. */
#ifndef BK_BASE_MAP_H
#define BK_BASE_MAP_H

#include "base/view.h"

/* Whoever does not know the key cannot choose names that fall into one bucket. */
struct bk_hash_key {
    uint64_t k0, k1;
};

uint64_t bk_hash(const struct bk_hash_key *key, struct bk_view v);
/* As bk_hash of the lower-cased (ASCII) bytes. */
uint64_t bk_hash_nocase(const struct bk_hash_key *key, struct bk_view v);

/* A member of what is in the table. */
struct bk_map_node {
    struct bk_map_node *next;
    uint64_t hash;
};

/*
 * The table does not own its nodes. It doubles when full; a doubling that finds no memory is
 * put off and never fails an insert (chains just get longer).
 */
struct bk_map {
    struct bk_map_node **buckets;
    size_t n_buckets; /* a power of two, or 0 before the first insert */
    size_t n_nodes;
};

/* -ENOMEM only for the very first insert. Equal hashes may stand beside each other. */
int bk_map_insert(struct bk_map *map, struct bk_map_node *node, uint64_t hash);
/* The node must be in the table. */
void bk_map_remove(struct bk_map *map, struct bk_map_node *node);
void bk_map_finish(struct bk_map *map); /* frees the buckets, not the nodes */

/* First node with that hash, NULL if none; then the next one with the same hash. The caller compares keys. */
struct bk_map_node *bk_map_first(const struct bk_map *map, uint64_t hash);
struct bk_map_node *bk_map_next(const struct bk_map_node *node);

/*
 * Walks every node in no order: start with a {0} cursor; NULL at the end. The node just returned
 * may be removed and freed; any other change of the table ends the walk's meaning.
 */
struct bk_map_cursor {
    size_t bucket;            /* the next to look into */
    struct bk_map_node *next; /* the rest of the one before */
};
struct bk_map_node *bk_map_walk(const struct bk_map *map, struct bk_map_cursor *cursor);

#endif
