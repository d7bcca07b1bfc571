/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"

#include "base/clock.h"
#include "base/text.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

static void a_seed_gives_the_same_numbers_for_ever(void **state)
{
    (void)state;
    /* xoshiro256** from four splitmix64 numbers of the seed 0, computed in another language. */
    static const uint64_t want[] = {
        0x99ec5f36cb75f2b4U, 0xbf6e1f784956452aU, 0x1a5f849d4933e6e0U,
        0x6aa594f1262d2d2cU, 0xbba5ad4a1f842e59U, 0xffef8375d9ebcacaU
    };
    struct bk_random_seeded seeded;
    struct bk_random random = bk_random_from_seed(&seeded, 0);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_int_equal(bk_random_u64(&random), want[i]);
}

static void the_bytes_of_a_seed_do_not_depend_on_other_memory(void **state)
{
    (void)state;
    struct bk_random_seeded a, b;
    struct bk_random x = bk_random_from_seed(&a, 42), y = bk_random_from_seed(&b, 42);
    for (size_t len = 0; len < 40; len++) {
        unsigned char p[40] = { 0 }, q[40];
        memset(q, 0xff, sizeof q);
        bk_random_fill(&x, p, len);
        bk_random_fill(&y, q, len);
        if (len)
            assert_memory_equal(p, q, len);
        for (size_t i = len; i < 40; i++)
            assert_int_equal(q[i], 0xff);
    }
    assert_int_equal(bk_random_u64(&x), bk_random_u64(&y));
    struct bk_random z = bk_random_from_seed(&b, 43);
    assert_int_not_equal(bk_random_u64(&x), bk_random_u64(&z));
}

static void random_hex_is_the_bytes_of_the_source(void **state)
{
    (void)state;
    static const size_t lens[] = { 0, 8, 16, 32, 64 };
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        struct bk_random_seeded a, b;
        struct bk_random x = bk_random_from_seed(&a, 7), y = bk_random_from_seed(&b, 7);
        uint8_t bytes[64];
        char got[129], want[129];
        bk_random_hex(&x, lens[i], got);
        bk_random_fill(&y, bytes, lens[i]);
        bk_hex_encode(bytes, lens[i], want);
        assert_string_equal(got, want);
    }
}

static void a_random_uuid_says_its_version(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        uint8_t uuid[16];
        bk_random_uuid(&bk_random_system, uuid);
        assert_int_equal(uuid[6] >> 4, 4);
        assert_int_equal(uuid[8] >> 6, 2);
    }
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

enum { PER_THREAD = 2000 };

static void *fill_some(void *numbers)
{
    uint64_t *to = numbers;
    for (size_t i = 0; i < PER_THREAD; i++)
        to[i] = bk_random_u64(&bk_random_system);
    return NULL;
}

static void check_no_number_twice(uint64_t *numbers, size_t n)
{
    qsort(numbers, n, sizeof *numbers, by_value);
    for (size_t i = 1; i < n; i++)
        assert_int_not_equal(numbers[i - 1], numbers[i]); /* by chance once in 10^11 runs */
}

static void the_system_never_gives_a_number_twice_to_any_thread(void **state)
{
    (void)state;
    static uint64_t numbers[4][PER_THREAD];
    pthread_t thread[3];
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, fill_some, numbers[i]), 0);
    fill_some(numbers[3]);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    check_no_number_twice(numbers[0], (size_t)4 * PER_THREAD);
}

static void a_child_does_not_repeat_its_parent(void **state)
{
    (void)state;
    uint64_t numbers[21];
    numbers[20] = bk_random_u64(&bk_random_system); /* the pool holds something now */
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        uint64_t mine[10];
        for (size_t i = 0; i < 10; i++)
            mine[i] = bk_random_u64(&bk_random_system);
        _exit(write(ends[1], mine, sizeof mine) == sizeof mine ? 0 : 1);
    }
    for (size_t i = 0; i < 10; i++)
        numbers[i] = bk_random_u64(&bk_random_system);
    assert_int_equal(read(ends[0], numbers + 10, 10 * sizeof *numbers), 10 * sizeof *numbers);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(ends[0]);
    close(ends[1]);
    check_no_number_twice(numbers, 21);
}

static void every_length_is_filled_and_no_byte_more(void **state)
{
    (void)state;
    for (size_t len = 0; len < 600; len++) {
        unsigned char *seen = calloc(1, len + 1); /* which bytes were ever not zero */
        unsigned char *bytes = malloc(len ? len : 1);
        assert_true(seen && bytes);
        for (int round = 0; round < 8; round++) {
            bk_random_fill(&bk_random_system, bytes, len);
            for (size_t i = 0; i < len; i++)
                seen[i] |= bytes[i];
        }
        for (size_t i = 0; i < len; i++)
            assert_int_not_equal(seen[i], 0);
        free(seen);
        free(bytes);
    }
}

static void the_system_clocks_are_what_they_say(void **state)
{
    (void)state;
    int64_t mono = bk_clock_mono_ms(&bk_clock_system), real = bk_clock_real_ms(&bk_clock_system);
    for (int i = 0; i < 1000; i++) {
        int64_t now = bk_clock_mono_ms(&bk_clock_system);
        assert_true(now >= mono);
        mono = now;
    }
    int64_t seconds = (int64_t)time(NULL);
    assert_true(real / 1000 <= seconds && real / 1000 >= seconds - 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_gives_the_same_numbers_for_ever),
        cmocka_unit_test(the_bytes_of_a_seed_do_not_depend_on_other_memory),
        cmocka_unit_test(random_hex_is_the_bytes_of_the_source),
        cmocka_unit_test(a_random_uuid_says_its_version),
        cmocka_unit_test(the_system_never_gives_a_number_twice_to_any_thread),
        cmocka_unit_test(a_child_does_not_repeat_its_parent),
        cmocka_unit_test(every_length_is_filled_and_no_byte_more),
        cmocka_unit_test(the_system_clocks_are_what_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
