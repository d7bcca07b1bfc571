/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include "base/cleanup.h"
#include "base/list.h"
#include "base/random.h"
#include "base/text.h"
#include "tests/unit/base/failing_alloc.h"

#include <errno.h>
#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

/*
 * SipHash-1-3 of the first n bytes 00 01 02 ... under the key 00 01 ... 0f, n from 0 to 63. Made with
 * an implementation written from the paper in another language, which gives the paper's own value
 * for SipHash-2-4 and CPython's hash() of bytes (also SipHash-1-3) under a zero key.
 */
static const uint64_t vectors[64] = {
    0xabac0158050fc4dcU, 0xc9f49bf37d57ca93U, 0x82cb9b024dc7d44dU, 0x8bf80ab8e7ddf7fbU,
    0xcf75576088d38328U, 0xdef9d52f49533b67U, 0xc50d2b50c59f22a7U, 0xd3927d989bb11140U,
    0x369095118d299a8eU, 0x25a48eb36c063de4U, 0x79de85ee92ff097fU, 0x70c118c1f94dc352U,
    0x78a384b157b4d9a2U, 0x306f760c1229ffa7U, 0x605aa111c0f95d34U, 0xd320d86d2a519956U,
    0xcc4fdd1a7d908b66U, 0x9cf2689063dbd80cU, 0x8ffc389cb473e63eU, 0xf21f9de58d297d1cU,
    0xc0dc2f46a6cce040U, 0xb992abfe2b45f844U, 0x7ffe7b9ba320872eU, 0x525a0e7fdae6c123U,
    0xf464aeb267349c8cU, 0x45cd5928705b0979U, 0x3a3e35e3ca9913a5U, 0xa91dc74e4ade3b35U,
    0xfb0bed02ef6cd00dU, 0x88d93cb44ab1e1f4U, 0x540f11d643c5e663U, 0x2370dd1f8c21d1bcU,
    0x81157b6c16a7b60dU, 0x4d54b9e57a8ff9bfU, 0x759f12781f2a753eU, 0xcea1a3bebf186b91U,
    0x2cf508d3ada26206U, 0xb6101c2da3c33057U, 0xb3f47496ae3a36a1U, 0x626b57547b108392U,
    0xc1d2363299e41531U, 0x667cc1923f1ad944U, 0x65704ffec8138825U, 0x24f280d1c28949a6U,
    0xc2ca1cedfaf8876bU, 0xc2164bfc9f042196U, 0xa16e9c9368b1d623U, 0x49fb169c8b5114fdU,
    0x9f3143f8df074c46U, 0xc6fdaf2412cc86b3U, 0x7eaf49d10a52098fU, 0x1cf313559d292f9aU,
    0xc44a30dda2f41f12U, 0x36fae98943a71ed0U, 0x318fb34c73f0bce6U, 0xa27abf3670a7e980U,
    0xb4bcc0db243c6d75U, 0x23f8d852fdb71513U, 0x8f035f4da67d8a08U, 0xd89cd0e5b7e8f148U,
    0xf6f4e6bcf7a644eeU, 0xaec59ad80f1837f2U, 0xc3b2f6154b6694e0U, 0x9d199062b7bbb3a8U,
};

static const struct bk_hash_key counting_key = { 0x0706050403020100U, 0x0f0e0d0c0b0a0908U };

static void hashes_are_those_of_siphash_1_3(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 64; n++) {
        char *bytes = malloc(n ? n : 1); /* ends where the heap block ends, at every alignment */
        assert_non_null(bytes);
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)i;
        uint64_t hash = bk_hash(&counting_key, (struct bk_view){ bytes, n });
        if (n < 64)
            assert_int_equal(hash, vectors[n]);
        free(bytes);
    }
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    assert_int_equal(bk_hash(&counting_key, (struct bk_view){ all, 256 }), 0x75b3e64e167de370U);
    assert_int_equal(bk_hash(&counting_key, (struct bk_view){ NULL, 0 }), vectors[0]);
}

static void hashing_without_case_is_hashing_the_lower_cased(void **state)
{
    (void)state;
    char bytes[256], lower[256];
    for (int shift = 0; shift < 256; shift++) {
        for (int i = 0; i < 256; i++)
            bytes[i] = (char)(i + shift);
        memcpy(lower, bytes, sizeof lower);
        bk_text_lower(lower, sizeof lower);
        for (size_t n = 0; n < 30; n++)
            assert_int_equal(bk_hash_nocase(&counting_key, (struct bk_view){ bytes, n }),
                             bk_hash(&counting_key, (struct bk_view){ lower, n }));
    }
}

static void another_key_gives_other_hashes(void **state)
{
    (void)state;
    struct bk_hash_key other = counting_key;
    for (int bit = 0; bit < 128; bit++) {
        uint64_t *half = bit < 64 ? &other.k0 : &other.k1;
        *half ^= (uint64_t)1 << bit % 64;
        assert_int_not_equal(bk_hash(&other, BK_VIEW("ann")),
                             bk_hash(&counting_key, BK_VIEW("ann")));
        *half ^= (uint64_t)1 << bit % 64;
    }
}

enum { NODES = 3000 };

struct entry {
    struct bk_map_node node;
    uint64_t hash; /* the model's own copy */
    bool in, seen;
};

static void check_against_model(const struct bk_map *map, struct entry *entries)
{
    size_t n_in = 0;
    for (size_t i = 0; i < NODES; i++) {
        entries[i].seen = false;
        n_in += entries[i].in;
    }
    assert_int_equal(map->n_nodes, n_in);
    struct bk_map_cursor cursor = { 0 };
    struct bk_map_node *node;
    while ((node = bk_map_walk(map, &cursor))) {
        struct entry *entry = bk_container_of(node, struct entry, node);
        assert_true(entry->in && !entry->seen);
        entry->seen = true;
        n_in--;
    }
    assert_int_equal(n_in, 0);
}

static bool is_found(const struct bk_map *map, const struct entry *entry)
{
    bool found = false;
    for (struct bk_map_node *n = bk_map_first(map, entry->hash); n; n = bk_map_next(n)) {
        assert_int_equal(n->hash, entry->hash);
        found |= n == &entry->node;
    }
    return found;
}

static void agrees_with_a_model_also_where_hashes_collide(void **state)
{
    (void)state;
    static struct entry entries[NODES];
    static const uint64_t masks[] = { UINT64_MAX, 0xff, 3, 0xffff000000000000U };
    for (size_t m = 0; m < BK_COUNT_OF(masks); m++) {
        struct bk_random_seeded seeded;
        struct bk_random random = bk_random_from_seed(&seeded, m);
        struct bk_map map = { 0 };
        assert_null(bk_map_first(&map, 0));
        memset(entries, 0, sizeof entries);
        size_t n_used = masks[m] == UINT64_MAX ? NODES : 200; /* long chains are slow */
        for (int i = 0; i < 20000; i++) {
            struct entry *entry = &entries[bk_random_u64(&random) % n_used];
            assert_int_equal(is_found(&map, entry), entry->in);
            if (entry->in) {
                bk_map_remove(&map, &entry->node);
            } else {
                entry->hash = bk_random_u64(&random) & masks[m];
                assert_int_equal(bk_map_insert(&map, &entry->node, entry->hash), 0);
            }
            entry->in = !entry->in;
            assert_int_equal(is_found(&map, entry), entry->in);
            if (i % 1000 == 0)
                check_against_model(&map, entries);
        }
        check_against_model(&map, entries);
        bk_map_finish(&map);
        assert_int_equal(map.n_nodes, 0);
    }
}

static void a_walk_may_free_what_it_was_just_given(void **state)
{
    (void)state;
    struct bk_map map = { 0 };
    for (int i = 0; i < 500; i++) {
        struct entry *entry = calloc(1, sizeof *entry);
        assert_non_null(entry);
        assert_int_equal(bk_map_insert(&map, &entry->node, (uint64_t)i * 7 % 64), 0);
    }
    for (size_t left = 500; left;) {
        struct bk_map_cursor cursor = { 0 };
        struct bk_map_node *node;
        size_t n = 0, removed = 0;
        while ((node = bk_map_walk(&map, &cursor))) {
            if (n++ % 3 == 0) {
                bk_map_remove(&map, node);
                free(bk_container_of(node, struct entry, node));
                removed++;
            }
        }
        assert_int_equal(n, left);
        left -= removed;
        assert_int_equal(map.n_nodes, left);
    }
    bk_map_finish(&map);
}

static void only_the_first_insert_can_run_out_of_memory(void **state)
{
    (void)state;
    static struct entry entries[NODES];
    for (unsigned n = 1;; n++) {
        struct bk_map map = { 0 };
        memset(entries, 0, sizeof entries);
        bk_fail_alloc(n);
        for (size_t i = 0; i < NODES; i++) {
            entries[i].hash = i * 0x9e3779b97f4a7c15U;
            int r = bk_map_insert(&map, &entries[i].node, entries[i].hash);
            assert_int_equal(r, n == 1 && i == 0 ? -ENOMEM : 0);
            entries[i].in = r == 0;
        }
        bool failed = bk_fail_alloc(0);
        for (size_t i = 0; i < NODES; i++)
            assert_int_equal(is_found(&map, &entries[i]), entries[i].in);
        check_against_model(&map, entries);
        bk_map_finish(&map);
        if (!failed)
            break;
    }
}

static void chains_stay_short(void **state)
{
    (void)state;
    struct bk_map map = { 0 };
    static struct entry entries[NODES];
    for (uint32_t i = 0; i < NODES; i++) {
        struct bk_view name = { (const char *)&i, sizeof i };
        assert_int_equal(bk_map_insert(&map, &entries[i].node, bk_hash(&counting_key, name)), 0);
        assert_true(map.n_buckets >= map.n_nodes);
    }
    size_t longest = 0;
    for (size_t b = 0; b < map.n_buckets; b++) {
        size_t len = 0;
        for (struct bk_map_node *n = map.buckets[b]; n; n = n->next)
            len++;
        longest = len > longest ? len : longest;
    }
    assert_in_range(longest, 1, 10);
    bk_map_finish(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_those_of_siphash_1_3),
        cmocka_unit_test(hashing_without_case_is_hashing_the_lower_cased),
        cmocka_unit_test(another_key_gives_other_hashes),
        cmocka_unit_test(agrees_with_a_model_also_where_hashes_collide),
        cmocka_unit_test(a_walk_may_free_what_it_was_just_given),
        cmocka_unit_test(only_the_first_insert_can_run_out_of_memory),
        cmocka_unit_test(chains_stay_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
