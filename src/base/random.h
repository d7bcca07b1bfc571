/* SPDX-License-Identifier: Apache-2.0 */
/* base/random.h - randomness comes in as an argument too. */
#ifndef BK_BASE_RANDOM_H
#define BK_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct bk_random {
    void (*fill)(void *ctx, void *to,
                 size_t len); /* cannot fail: the system's source aborts the process instead */
    void *ctx;
};

static inline void bk_random_fill(const struct bk_random *r, void *to, size_t len)
{
    r->fill(r->ctx, to, len);
}

static inline uint64_t bk_random_u64(const struct bk_random *r)
{
    uint64_t n;
    r->fill(r->ctx, &n, sizeof n);
    return n;
}

/* That many random bytes in hex: 2 * len digits and a NUL. */
void bk_random_hex(const struct bk_random *r, size_t len, char *ret);
/* RFC 9562 5.4 (version 4); bk_uuid_text writes it. */
void bk_random_uuid(const struct bk_random *r, uint8_t ret[16]);

/* getrandom(2), buffered per thread; fit for keys. */
extern const struct bk_random bk_random_system;

/* For simulations and tests: the same seed gives the same bytes for ever (xoshiro256**). Not for secrets. */
struct bk_random_seeded {
    uint64_t s[4];
};
struct bk_random bk_random_from_seed(struct bk_random_seeded *state, uint64_t seed);

#endif
