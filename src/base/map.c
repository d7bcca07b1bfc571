/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include "base/word_private.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_BUCKETS = 8 };

static uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}

/*
 * SipHash (Aumasson and Bernstein 2012) with one round per word and three at the end, as hash
 * tables of Rust and Ruby use it. `nocase` is a constant where this is inlined.
 */
static inline uint64_t siphash13(const struct bk_hash_key *key, struct bk_view in, bool nocase)
{
    uint64_t v[4] = {
        key->k0 ^ 0x736f6d6570736575U,
        key->k1 ^ 0x646f72616e646f6dU,
        key->k0 ^ 0x6c7967656e657261U,
        key->k1 ^ 0x7465646279746573U,
    };
    const char *at = in.at;
    size_t left = in.len;
    for (; left >= 8; at += 8, left -= 8) {
        uint64_t word = bk_word_load(at);
        if (nocase)
            word = bk_word_lower(word);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = bk_word_load_part(at, left);
    if (nocase)
        last = bk_word_lower(last);
    last |= (uint64_t)in.len << 56;
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;

    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t bk_hash(const struct bk_hash_key *key, struct bk_view v)
{
    return siphash13(key, v, false);
}

uint64_t bk_hash_nocase(const struct bk_hash_key *key, struct bk_view v)
{
    return siphash13(key, v, true);
}

static struct bk_map_node **bucket_of(const struct bk_map *map, uint64_t hash)
{
    return &map->buckets[hash & (map->n_buckets - 1)];
}

static int grow(struct bk_map *map)
{
    size_t n = map->n_buckets ? map->n_buckets * 2 : FIRST_BUCKETS;
    struct bk_map_node **buckets = calloc(n, sizeof *buckets);
    if (!buckets)
        return -ENOMEM;

    struct bk_map bigger = { buckets, n, map->n_nodes };
    for (size_t i = 0; i < map->n_buckets; i++) {
        struct bk_map_node *node = map->buckets[i], *next;
        for (; node; node = next) {
            next = node->next;
            struct bk_map_node **bucket = bucket_of(&bigger, node->hash);
            node->next = *bucket;
            *bucket = node;
        }
    }
    free(map->buckets);
    *map = bigger;
    return 0;
}

int bk_map_insert(struct bk_map *map, struct bk_map_node *node, uint64_t hash)
{
    if (map->n_nodes >= map->n_buckets) {
        int r = grow(map);
        if (r < 0 && !map->n_buckets)
            return r;
    }
    struct bk_map_node **bucket = bucket_of(map, hash);
    node->hash = hash;
    node->next = *bucket;
    *bucket = node;
    map->n_nodes++;
    return 0;
}

void bk_map_remove(struct bk_map *map, struct bk_map_node *node)
{
    struct bk_map_node **link = bucket_of(map, node->hash);
    while (*link != node)
        link = &(*link)->next;
    *link = node->next;
    node->next = NULL;
    map->n_nodes--;
}

void bk_map_finish(struct bk_map *map)
{
    free(map->buckets);
    *map = (struct bk_map){ 0 };
}

static struct bk_map_node *with_hash(struct bk_map_node *node, uint64_t hash)
{
    while (node && node->hash != hash)
        node = node->next;
    return node;
}

struct bk_map_node *bk_map_first(const struct bk_map *map, uint64_t hash)
{
    return map->n_buckets ? with_hash(*bucket_of(map, hash), hash) : NULL;
}

struct bk_map_node *bk_map_next(const struct bk_map_node *node)
{
    return with_hash(node->next, node->hash);
}

struct bk_map_node *bk_map_walk(const struct bk_map *map, struct bk_map_cursor *cursor)
{
    struct bk_map_node *node = cursor->next;
    while (!node && cursor->bucket < map->n_buckets)
        node = map->buckets[cursor->bucket++];
    cursor->next = node ? node->next : NULL;
    return node;
}
