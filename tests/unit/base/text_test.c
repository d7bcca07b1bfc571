/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include "base/cleanup.h"
#include "base/random.h"
#include "tests/unit/base/failing_alloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

static void lower_casing_touches_ascii_letters_only(void **state)
{
    (void)state;
    char all[256 + 5];
    for (size_t len = 0; len <= sizeof all; len += 29) {
        for (size_t i = 0; i < sizeof all; i++)
            all[i] = (char)i;
        bk_text_lower(all, len);
        for (size_t i = 0; i < sizeof all; i++)
            assert_int_equal(all[i], i < len ? bk_lower((char)i) : (char)i);
    }
}

struct codec {
    const char *name;
    void (*encode)(struct bk_buf *to, struct bk_view bytes);
    int (*decode)(struct bk_view text, struct bk_buf *ret);
};

static const struct codec codecs[] = {
    { "base64", bk_base64_encode, bk_base64_decode },
    { "base64url", bk_base64url_encode, bk_base64url_decode },
};

static void base64_gives_the_vectors_of_rfc_4648(void **state)
{
    (void)state;
    static const char *const plain[] = { "", "f", "fo", "foo", "foob", "fooba", "foobar" };
    static const char *const coded[] = { "",         "Zg==",     "Zm8=",    "Zm9v",
                                         "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy" };
    for (size_t i = 0; i < BK_COUNT_OF(plain); i++) {
        BK_AUTO_BUF struct bk_buf buf = { 0 };
        bk_base64_encode(&buf, bk_view_of_str(plain[i]));
        assert_string_equal(bk_buf_cstr(&buf), coded[i]);
        bk_buf_clear(&buf);
        assert_int_equal(bk_base64_decode(bk_view_of_str(coded[i]), &buf), 0);
        assert_string_equal(bk_buf_cstr(&buf), plain[i]);
        bk_buf_clear(&buf);
        bk_base64url_encode(&buf, bk_view_of_str(plain[i]));
        assert_int_equal(bk_view_find(bk_view_of_str(coded[i]), '='), buf.len);
    }
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    bk_base64_encode(&buf, BK_VIEW("\xfb\xff\xfe"));
    bk_base64url_encode(&buf, BK_VIEW("\xfb\xff\xfe"));
    assert_string_equal(bk_buf_cstr(&buf), "+//+-__-");
}

static void base64_round_trips_any_bytes_of_any_length(void **state)
{
    (void)state;
    struct bk_random_seeded seeded;
    struct bk_random random = bk_random_from_seed(&seeded, 3);
    for (size_t c = 0; c < BK_COUNT_OF(codecs); c++) {
        for (size_t len = 0; len < 200; len++) {
            char *bytes = malloc(len ? len : 1);
            assert_non_null(bytes);
            bk_random_fill(&random, bytes, len);
            BK_AUTO_BUF struct bk_buf text = { 0 }, back = { 0 };
            codecs[c].encode(&text, (struct bk_view){ bytes, len });
            assert_int_equal(codecs[c].decode(bk_buf_view(&text), &back), 0);
            assert_true(bk_view_equal(bk_buf_view(&back), (struct bk_view){ bytes, len }));
            free(bytes);
        }
    }
}

static void base64_accepts_one_spelling_only(void **state)
{
    (void)state;
    /* Of all texts of four characters from a small set, those that decode encode back to themselves. */
    static const char set[] = "AQg/+-_= \n9z";
    size_t n = sizeof set - 1, accepted[2] = { 0, 0 };
    for (size_t i = 0; i < n * n * n * n; i++) {
        char text[4] = { set[i % n], set[i / n % n], set[i / n / n % n], set[i / n / n / n] };
        for (size_t len = 0; len <= 4; len++) {
            for (size_t c = 0; c < 2; c++) {
                BK_AUTO_BUF struct bk_buf bytes = { 0 }, again = { 0 };
                bk_buf_add_lit(&bytes, "kept");
                int r = codecs[c].decode((struct bk_view){ text, len }, &bytes);
                assert_true(r == 0 || r == -EINVAL);
                if (r < 0) {
                    assert_int_equal(bytes.len, 4);
                    assert_false(bytes.failed);
                    continue;
                }
                accepted[c]++;
                codecs[c].encode(&again, bk_view_skip(bk_buf_view(&bytes), 4));
                assert_true(bk_view_equal(bk_buf_view(&again), (struct bk_view){ text, len }));
            }
        }
    }
    assert_true(accepted[0] > 1000 && accepted[1] > 1000);
}

static void base64_says_when_the_buffer_is_full(void **state)
{
    (void)state;
    struct bk_buf small = { .max = 5 };
    assert_int_equal(bk_base64_decode(BK_VIEW("Zm9vYmFy"), &small), -ENOMEM);
    assert_true(small.failed);
    assert_int_equal(small.len, 0);
    bk_buf_clear(&small);
    assert_int_equal(bk_base64_decode(BK_VIEW("Zm9vYmE="), &small), 0);
    bk_buf_finish(&small);
    bk_base64_encode(&small, BK_VIEW("foob"));
    assert_true(small.failed);
    bk_buf_finish(&small);
}

static void hex_round_trips_and_refuses_the_rest(void **state)
{
    (void)state;
    unsigned char bytes[256], back[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (unsigned char)i;
    BK_AUTO_BUF struct bk_buf hex = { 0 };
    bk_buf_add_hex(&hex, bytes, sizeof bytes);
    assert_int_equal(bk_hex_decode(bk_buf_view(&hex), back, sizeof back), 0);
    assert_memory_equal(bytes, back, sizeof bytes);
    char text[2 * sizeof bytes + 1];
    bk_hex_encode(bytes, sizeof bytes, text);
    assert_true(bk_view_equal(bk_view_of_str(text), bk_buf_view(&hex)));
    bk_hex_encode(bytes, 0, text);
    assert_string_equal(text, "");
    assert_int_equal(bk_hex_decode(BK_VIEW("aAfF09"), back, 3), 0);
    assert_memory_equal(back, "\xaa\xff\x09", 3);

    for (int c = 0; c < 256; c++) {
        char four[4] = { '0', '0', (char)c, '0' };
        bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        memset(back, 7, sizeof back);
        assert_int_equal(bk_hex_decode((struct bk_view){ four, 4 }, back, 2), digit ? 0 : -EINVAL);
        if (!digit)
            assert_int_equal(back[0], 7); /* untouched on failure */
    }
    assert_int_equal(bk_hex_decode(BK_VIEW("abc"), back, 1), -EINVAL);
    assert_int_equal(bk_hex_decode(BK_VIEW("abcd"), back, 1), -EINVAL);
    assert_int_equal(bk_hex_decode(BK_VIEW("abcd"), back, 3), -EINVAL);
    assert_int_equal(bk_hex_decode(BK_VIEW(""), back, 0), 0);
}

static void a_uuid_is_written_in_its_five_groups(void **state)
{
    (void)state;
    uint8_t uuid[16];
    char text[BK_UUID_TEXT_SIZE];
    assert_int_equal(bk_hex_decode(BK_VIEW("b7878522d7fe5c33b30d265f6618ae78"), uuid, 16), 0);
    bk_uuid_text(uuid, text);
    assert_string_equal(text, "b7878522-d7fe-5c33-b30d-265f6618ae78");
}

static const int64_t year_0000_ms = -62167219200000, year_9999_ms = 253402300799999;

static void check_instant(int64_t ms)
{
    char iso[32], http[32], want[64];
    int64_t back, of_second = ((ms % 1000) + 1000) % 1000;
    time_t seconds = (time_t)((ms - of_second) / 1000);
    struct tm tm;
    assert_non_null(gmtime_r(&seconds, &tm));

    bk_time_iso(ms, true, iso);
    sprintf(want, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
            tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)of_second);
    assert_string_equal(iso, want);
    assert_int_equal(bk_time_iso_parse(bk_view_of_str(iso), &back), 0);
    assert_true(back == ms);

    bk_time_iso(ms, false, iso);
    assert_int_equal(bk_time_iso_parse(bk_view_of_str(iso), &back), 0);
    assert_true(back == ms - of_second);

    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    bk_time_http(ms, http);
    sprintf(want, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * tm.tm_wday, tm.tm_mday,
            months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    assert_string_equal(http, want);
    assert_int_equal(bk_time_http_parse(bk_view_of_str(http), &back), 0);
    assert_true(back == ms - of_second);
}

static void times_agree_with_the_c_library_and_round_trip(void **state)
{
    (void)state;
    struct bk_random_seeded seeded;
    struct bk_random random = bk_random_from_seed(&seeded, 5);
    /* Around each turn of a year, where every calendar goes wrong first. */
    for (int64_t ms = year_0000_ms; ms <= year_9999_ms; ms += (int64_t)365 * 86400000 + 20952000)
        for (int64_t day = -3; day <= 3; day++)
            if (ms + day * 86400000 >= year_0000_ms && ms + day * 86400000 <= year_9999_ms)
                check_instant(ms + day * 86400000);
    for (int i = 0; i < 20000; i++)
        check_instant(year_0000_ms + (int64_t)(bk_random_u64(&random) %
                                               (uint64_t)(year_9999_ms - year_0000_ms + 1)));
    static const int64_t some[] = {
        0, -1, 1, 999, 1000, 951782400000, 951868800000, 4107542400000, year_0000_ms, year_9999_ms
    };
    for (size_t i = 0; i < BK_COUNT_OF(some); i++)
        check_instant(some[i]);
}

static void what_no_year_holds_is_written_as_the_nearest_instant(void **state)
{
    (void)state;
    char text[32];
    bk_time_iso(INT64_MIN, true, text);
    assert_string_equal(text, "0000-01-01T00:00:00.000Z");
    bk_time_iso(INT64_MAX, true, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    bk_time_http(INT64_MAX, text);
    assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void iso_times_are_read_as_rfc_3339_says(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *same_as; /* NULL: refused */
    } cases[] = {
        { "2026-11-22T05:26:04+01:00", "2026-11-22T04:26:04Z" },
        { "2026-11-22T05:26:04-05:30", "2026-11-22T10:56:04Z" },
        { "2026-11-22T05:26:04.5Z", "2026-11-22T05:26:04.500Z" },
        { "2026-11-22T05:26:04.123999+00:00", "2026-11-22T05:26:04.123Z" },
        { "2026-11-22t05:26:04z", "2026-11-22T05:26:04Z" },
        { "1990-12-31T23:59:60Z", "1991-01-01T00:00:00Z" },
        { "2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z" },
        { "2023-02-29T00:00:00Z", NULL },
        { "1900-02-29T00:00:00Z", NULL },
        { "2026-11-22T05:26:04", NULL },
        { "2026-11-22 05:26:04Z", NULL },
        { "2026-11-22T05:26Z", NULL },
        { "2026-11-22T05:26:04.Z", NULL },
        { "2026-11-22T05:26:04,5Z", NULL },
        { "2026-11-22T24:00:00Z", NULL },
        { "2026-11-22T05:60:00Z", NULL },
        { "2026-11-22T05:26:61Z", NULL },
        { "2026-13-01T00:00:00Z", NULL },
        { "2026-00-01T00:00:00Z", NULL },
        { "2026-04-31T00:00:00Z", NULL },
        { "2026-04-00T00:00:00Z", NULL },
        { "2026-11-22T05:26:04+24:00", NULL },
        { "2026-11-22T05:26:04+01:60", NULL },
        { "2026-11-22T05:26:04+0100", NULL },
        { "2026-11-22T05:26:04+01", NULL },
        { "2026-11-22T05:26:04ZZ", NULL },
        { " 2026-11-22T05:26:04Z", NULL },
        { "+026-11-22T05:26:04Z", NULL },
        { "12026-11-22T05:26:04Z", NULL },
        { "", NULL },
    };
    for (size_t i = 0; i < BK_COUNT_OF(cases); i++) {
        int64_t ms = 4711, want = 4711;
        int r = bk_time_iso_parse(bk_view_of_str(cases[i].text), &ms);
        assert_int_equal(r, cases[i].same_as ? 0 : -EINVAL);
        if (cases[i].same_as)
            assert_int_equal(bk_time_iso_parse(bk_view_of_str(cases[i].same_as), &want), 0);
        assert_true(ms == want); /* untouched on failure */
    }
}

static void every_prefix_of_a_time_is_refused(void **state)
{
    (void)state;
    static const char iso[] = "2026-11-22T05:26:04.123+01:00",
                      http[] = "Sun, 22 Nov 2026 05:26:04 GMT";
    for (size_t n = 0; n < sizeof iso; n++) {
        char *exact = malloc(n ? n : 1);
        assert_non_null(exact);
        int64_t ms;
        memcpy(exact, iso, n);
        assert_int_equal(bk_time_iso_parse((struct bk_view){ exact, n }, &ms) == 0,
                         n == sizeof iso - 1);
        memcpy(exact, http, n);
        assert_int_equal(bk_time_http_parse((struct bk_view){ exact, n }, &ms) == 0,
                         n == sizeof http - 1);
        free(exact);
    }
}

static void http_times_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Xun, 22 Nov 2026 05:26:04 GMT", "Sun 22 Nov 2026 05:26:04 GMT",
        "Sun, 2 Nov 2026 05:26:04 GMT",  "Sun, 22 Noo 2026 05:26:04 GMT",
        "Sun, 31 Nov 2026 05:26:04 GMT", "Sun, 22 Nov 2026 05:26:04 UTC",
        "Sun, 22 Nov 26 05:26:04 GMT",   "Sunday, 22-Nov-26 05:26:04 GMT",
        "Sun Nov 22 05:26:04 2026",      "Sun, 22 Nov 2026 05:26:04 GMT ",
    };
    int64_t ms = 4711;
    for (size_t i = 0; i < BK_COUNT_OF(bad); i++)
        assert_int_equal(bk_time_http_parse(bk_view_of_str(bad[i]), &ms), -EINVAL);
    assert_int_equal(ms, 4711);
}

static void every_code_point_is_utf8_and_surrogates_are_not(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x111000; c++) {
        unsigned char b[4];
        size_t n = 1;
        if (c < 0x80) {
            b[0] = (unsigned char)c;
        } else if (c < 0x800) {
            n = 2;
            b[0] = (unsigned char)(0xc0 | c >> 6);
        } else if (c < 0x10000) {
            n = 3;
            b[0] = (unsigned char)(0xe0 | c >> 12);
        } else {
            n = 4;
            b[0] = (unsigned char)(0xf0 | c >> 18);
        }
        for (size_t i = 1; i < n; i++)
            b[i] = (unsigned char)(0x80 | (c >> 6 * (n - 1 - i) & 0x3f));
        bool want = c < 0x110000 && !(c >= 0xd800 && c < 0xe000);
        if (bk_utf8_valid((struct bk_view){ (char *)b, n }) != want)
            fail_msg("U+%04X", c);
        if (n > 1 && (bk_utf8_valid((struct bk_view){ (char *)b, n - 1 }) ||
                      bk_utf8_valid((struct bk_view){ (char *)b + 1, n - 1 })))
            fail_msg("a part of U+%04X", c);
    }
}

static void overlong_and_stray_bytes_are_not_utf8(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf5\x80\x80\x80",
        "\xf8\x88\x80\x80\x80",
        "\xfe",
        "\xff",
        "\xc3(",
        "\xe4\xbd(",
        "\xf0\x9f\x98(",
    };
    for (size_t i = 0; i < BK_COUNT_OF(bad); i++) {
        for (size_t before = 0; before < 17; before++) { /* at each place in a word */
            char text[40];
            int n = snprintf(text, sizeof text, "%.*s%sabcdefgh", (int)before, "0123456789abcdefg",
                             bad[i]);
            assert_false(bk_utf8_valid((struct bk_view){ text, (size_t)n }));
        }
    }
    assert_true(bk_utf8_valid((struct bk_view){ NULL, 0 }));
    assert_true(bk_utf8_valid((struct bk_view){ "a\0b", 3 }));
}

static void constant_time_comparing_sees_every_bit(void **state)
{
    (void)state;
    unsigned char a[33] = { 0 }, b[33] = { 0 };
    assert_true(bk_equal_constant_time(a, b, sizeof a));
    for (size_t i = 0; i < sizeof a * 8; i++) {
        b[i / 8] ^= (unsigned char)(1U << i % 8);
        assert_false(bk_equal_constant_time(a, b, sizeof a));
        assert_true(bk_equal_constant_time(a, b, i / 8));
        b[i / 8] = 0;
    }
    assert_true(bk_equal_constant_time(NULL, NULL, 0));
}

static void a_wipe_leaves_zeros(void **state)
{
    (void)state;
    char secret[20] = "secret", zero[20] = { 0 };
    bk_wipe(secret, sizeof secret);
    assert_memory_equal(secret, zero, sizeof zero);
    bk_wipe(NULL, 0);
}

static char folder[] = "/tmp/bk-text-test.XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* A folder with something in it cannot be removed. */
static void check_nothing_left_behind(void)
{
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(mkdir(folder, 0700), 0);
}

static void a_file_is_read_back_as_it_was_written(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "%s/file", folder);
    struct bk_random_seeded seeded;
    struct bk_random random = bk_random_from_seed(&seeded, 8);
    static const size_t lengths[] = { 0, 1, 16383, 16384, 16385, 100000 };
    for (size_t i = 0; i < BK_COUNT_OF(lengths); i++) {
        BK_AUTO_BUF struct bk_buf content = { 0 }, back = { 0 };
        char *to = bk_buf_reserve(&content, lengths[i]);
        assert_non_null(to);
        bk_random_fill(&random, to, lengths[i]);
        content.len = lengths[i];
        assert_int_equal(bk_file_replace(path, bk_buf_view(&content), 0640), 0);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0640);

        bk_buf_add_lit(&back, "before");
        assert_int_equal(bk_file_read(path, lengths[i], &back), 0);
        assert_true(bk_view_equal(bk_view_skip(bk_buf_view(&back), 6), bk_buf_view(&content)));
        if (lengths[i] == 0)
            continue;
        back.len = 6;
        assert_int_equal(bk_file_read(path, lengths[i] - 1, &back), -EFBIG);
        assert_int_equal(back.len, 6);
        assert_false(back.failed);
    }
    assert_int_equal(unlink(path), 0);
    check_nothing_left_behind();
}

static void a_file_that_cannot_be_replaced_stays_and_leaves_no_scrap(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "%s/folder", folder);
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    assert_int_equal(bk_file_read(path, 10, &buf), -ENOENT);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(bk_file_replace(path, BK_VIEW("x"), 0600),
                     -EISDIR); /* a rename onto a folder */
    assert_int_equal(bk_file_read(path, 10, &buf), -EISDIR);
    assert_int_equal(rmdir(path), 0);
    snprintf(path, sizeof path, "%s/no/such/folder", folder);
    assert_int_equal(bk_file_replace(path, BK_VIEW("x"), 0600), -ENOENT);
    check_nothing_left_behind();
}

static void files_say_when_memory_is_short(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "%s/file", folder);
    for (unsigned n = 1;; n++) {
        BK_AUTO_BUF struct bk_buf back = { 0 };
        bk_fail_alloc(n);
        int w = bk_file_replace(path, BK_VIEW("content"), 0600);
        bool failed = bk_fail_alloc(0);
        assert_int_equal(w, failed ? -ENOMEM : 0);
        bk_fail_alloc(failed ? 1 : 0);
        assert_int_equal(bk_file_read(path, 100, &back), n == 1 ? -ENOENT : failed ? -ENOMEM : 0);
        bk_fail_alloc(0);
        if (!failed)
            break;
    }
    assert_int_equal(unlink(path), 0);
    check_nothing_left_behind();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lower_casing_touches_ascii_letters_only),
        cmocka_unit_test(base64_gives_the_vectors_of_rfc_4648),
        cmocka_unit_test(base64_round_trips_any_bytes_of_any_length),
        cmocka_unit_test(base64_accepts_one_spelling_only),
        cmocka_unit_test(base64_says_when_the_buffer_is_full),
        cmocka_unit_test(hex_round_trips_and_refuses_the_rest),
        cmocka_unit_test(a_uuid_is_written_in_its_five_groups),
        cmocka_unit_test(times_agree_with_the_c_library_and_round_trip),
        cmocka_unit_test(what_no_year_holds_is_written_as_the_nearest_instant),
        cmocka_unit_test(iso_times_are_read_as_rfc_3339_says),
        cmocka_unit_test(every_prefix_of_a_time_is_refused),
        cmocka_unit_test(http_times_that_are_none_are_refused),
        cmocka_unit_test(every_code_point_is_utf8_and_surrogates_are_not),
        cmocka_unit_test(overlong_and_stray_bytes_are_not_utf8),
        cmocka_unit_test(constant_time_comparing_sees_every_bit),
        cmocka_unit_test(a_wipe_leaves_zeros),
        cmocka_unit_test(a_file_is_read_back_as_it_was_written),
        cmocka_unit_test(a_file_that_cannot_be_replaced_stays_and_leaves_no_scrap),
        cmocka_unit_test(files_say_when_memory_is_short),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
