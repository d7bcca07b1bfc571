/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"

#include "base/text.h"
#include "base/word_private.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* A system call for 256 bytes costs about the same as one for 8. */
static _Thread_local struct {
    unsigned char bytes[256];
    size_t left; /* the last `left` bytes are unused; used ones are wiped */
} pool;

/* A child must not hand out what its parent hands out too. Only the forking thread goes on. */
static void forget_in_child(void)
{
    explicit_bzero(pool.bytes, sizeof pool.bytes);
    pool.left = 0;
}

static void watch_forks(void)
{
    if (pthread_atfork(NULL, NULL, forget_in_child) != 0)
        abort();
}

static void from_kernel(void *to, size_t len)
{
    char *at = to;
    while (len) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno != EINTR)
            abort(); /* no kernel Beckon runs on; going on without randomness would be worse */
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
}

static void system_fill(void *ctx, void *to, size_t len)
{
    (void)ctx;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);

    if (len > sizeof pool.bytes / 2) {
        from_kernel(to, len);
        return;
    }
    if (len > pool.left) {
        from_kernel(pool.bytes, sizeof pool.bytes);
        pool.left = sizeof pool.bytes;
    }
    if (len) {
        unsigned char *at = pool.bytes + sizeof pool.bytes - pool.left;
        memcpy(to, at, len);
        explicit_bzero(at, len);
        pool.left -= len;
    }
}

const struct bk_random bk_random_system = { system_fill, NULL };

static uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

/* xoshiro256**, Blackman and Vigna 2018 (public domain). */
static uint64_t xoshiro_next(uint64_t s[4])
{
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

/* splitmix64: what the authors of xoshiro recommend to spread a small seed. */
static uint64_t splitmix_next(uint64_t *x)
{
    uint64_t z = *x += 0x9e3779b97f4a7c15U;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return z ^ z >> 31;
}

static void seeded_fill(void *ctx, void *to, size_t len)
{
    struct bk_random_seeded *state = ctx;
    char *at = to;
    while (len) {
        unsigned char word[8];
        bk_word_store(word, xoshiro_next(state->s));
        size_t n = len < sizeof word ? len : sizeof word;
        memcpy(at, word, n);
        at += n;
        len -= n;
    }
}

struct bk_random bk_random_from_seed(struct bk_random_seeded *state, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++)
        state->s[i] = splitmix_next(&seed);
    return (struct bk_random){ seeded_fill, state };
}

void bk_random_hex(const struct bk_random *r, size_t len, char *ret)
{
    while (len) {
        uint8_t bytes[32];
        size_t n = len < sizeof bytes ? len : sizeof bytes;
        bk_random_fill(r, bytes, n);
        bk_hex_encode(bytes, n, ret);
        ret += 2 * n;
        len -= n;
    }
    *ret = '\0';
}

void bk_random_uuid(const struct bk_random *r, uint8_t ret[16])
{
    bk_random_fill(r, ret, 16);
    ret[6] = (uint8_t)((ret[6] & 0x0f) | 0x40);
    ret[8] = (uint8_t)((ret[8] & 0x3f) | 0x80);
}
