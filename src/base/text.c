/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include "base/cleanup.h"
#include "base/word_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void bk_text_lower(char *at, size_t len)
{
    for (; len >= 8; at += 8, len -= 8)
        bk_word_store(at, bk_word_lower(bk_word_load(at)));
    for (; len; at++, len--)
        *at = bk_lower(*at);
}

/* What the hexadecimal digits stand for, NO for all else: a branch of ours is read with every answer. */
#define NO 0x80
#define NO_8 NO, NO, NO, NO, NO, NO, NO, NO
#define NO_16 NO_8, NO_8
#define LETTERS NO, 10, 11, 12, 13, 14, 15, NO, NO_8
static const unsigned char hex_digits[256] = {
    NO_16, NO_16, NO_16, 0,     1,     2,     3,     4,     5,       6,     7,
    8,     9,     NO,    NO,    NO,    NO,    NO,    NO,    LETTERS, NO_16, LETTERS,
    NO_16, NO_16, NO_16, NO_16, NO_16, NO_16, NO_16, NO_16, NO_16,
};

int bk_hex_decode(struct bk_view hex, void *ret, size_t len)
{
    if (hex.len % 2 || hex.len / 2 != len)
        return -EINVAL;
    const unsigned char *from = (const unsigned char *)hex.at;
    unsigned char all = 0;
    for (size_t i = 0; i < len; i++)
        all |= hex_digits[from[2 * i]] | hex_digits[from[2 * i + 1]];
    if (all & NO)
        return -EINVAL;
    unsigned char *to = ret;
    for (size_t i = 0; i < len; i++)
        to[i] = (unsigned char)(hex_digits[from[2 * i]] << 4 | hex_digits[from[2 * i + 1]]);
    return 0;
}

void bk_hex_encode(const void *at, size_t len, char *ret)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = at;
    for (size_t i = 0; i < len; i++) {
        *ret++ = digits[bytes[i] >> 4];
        *ret++ = digits[bytes[i] & 15];
    }
    *ret = '\0';
}

void bk_uuid_text(const uint8_t uuid[16], char ret[BK_UUID_TEXT_SIZE])
{
    static const uint8_t groups[] = { 4, 2, 2, 2, 6 };
    for (size_t i = 0; i < sizeof groups; i++) {
        bk_hex_encode(uuid, groups[i], ret);
        uuid += groups[i];
        ret += 2 * groups[i];
        *ret++ = i + 1 < sizeof groups ? '-' : '\0';
    }
}

/* RFC 4648 sections 4 and 5: two alphabets that differ in their last two characters. */
struct base64 {
    char alphabet[65];
    bool padded;
};

static const struct base64 base64_plain = {
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    true,
};
static const struct base64 base64_url = {
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
    false,
};

/* One more than the value of a letter or figure; the rest is 0. */
static const uint8_t base64_values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62,
};

static int base64_digit(const struct base64 *kind, char c)
{
    int value = base64_values[(unsigned char)c];
    if (value)
        return value - 1;
    if (c == kind->alphabet[62])
        return 62;
    return c == kind->alphabet[63] ? 63 : -1;
}

static void base64_encode(const struct base64 *kind, struct bk_buf *to, struct bk_view bytes)
{
    if (bytes.len > SIZE_MAX / 4) {
        to->failed = true;
        return;
    }
    char *out = bk_buf_reserve(to, (bytes.len + 2) / 3 * 4);
    if (!out)
        return;
    const char *start = out;
    for (struct bk_view rest = bytes; rest.len; rest = bk_view_skip(rest, 3)) {
        uint32_t word = (uint32_t)(unsigned char)rest.at[0] << 16;
        if (rest.len > 1)
            word |= (uint32_t)(unsigned char)rest.at[1] << 8;
        if (rest.len > 2)
            word |= (unsigned char)rest.at[2];
        size_t digits = rest.len < 3 ? rest.len + 1 : 4;
        for (size_t i = 0; i < digits; i++)
            *out++ = kind->alphabet[word >> (18 - 6 * i) & 63];
        for (size_t i = digits; i < 4 && kind->padded; i++)
            *out++ = '=';
    }
    to->len += (size_t)(out - start);
}

static int base64_decode(const struct base64 *kind, struct bk_view text, struct bk_buf *ret)
{
    if (kind->padded) {
        if (text.len % 4)
            return -EINVAL;
        for (int i = 0; i < 2 && text.len && text.at[text.len - 1] == '='; i++)
            text.len--;
    }
    if (text.len % 4 == 1)
        return -EINVAL;

    size_t len = text.len / 4 * 3 + (text.len % 4 ? text.len % 4 - 1 : 0);
    unsigned char *out = (unsigned char *)bk_buf_reserve(ret, len);
    if (!out)
        return -ENOMEM;
    uint32_t word = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < text.len; i++) {
        int digit = base64_digit(kind, text.at[i]);
        if (digit < 0)
            return -EINVAL;
        word = word << 6 | (uint32_t)digit;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *out++ = (unsigned char)(word >> bits);
        }
    }
    if (word & ((1U << bits) - 1))
        return -EINVAL;
    ret->len += len;
    return 0;
}

void bk_base64_encode(struct bk_buf *to, struct bk_view bytes)
{
    base64_encode(&base64_plain, to, bytes);
}

void bk_base64url_encode(struct bk_buf *to, struct bk_view bytes)
{
    base64_encode(&base64_url, to, bytes);
}

int bk_base64_decode(struct bk_view text, struct bk_buf *ret)
{
    return base64_decode(&base64_plain, text, ret);
}

int bk_base64url_decode(struct bk_view text, struct bk_buf *ret)
{
    return base64_decode(&base64_url, text, ret);
}

bool bk_equal_constant_time(const void *a, const void *b, size_t len)
{
    const volatile unsigned char *x = a, *y = b;
    unsigned differ = 0;
    for (size_t i = 0; i < len; i++)
        differ |= (unsigned)(x[i] ^ y[i]);
    return differ == 0;
}

void bk_wipe(void *at, size_t len)
{
    if (len)
        explicit_bzero(at, len);
}

/* Gregorian, UTC. No locale, no time zone file, no year 2038. */
struct date {
    int year, month, day; /* month and day from 1 */
    int hour, minute, second, ms;
};

static const int64_t year_0000_ms = -62167219200000; /* 0000-01-01T00:00:00.000Z */
static const int64_t year_9999_ms = 253402300799999; /* 9999-12-31T23:59:59.999Z */

static const char day_names[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char month_names[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

/*
 * Days since 1970-01-01. Years begin in March here, so that the leap day is the last of its year
 * and the months before it have the pattern 31 30 31 30 31, which (153 m + 2) / 5 counts.
 */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t m = month <= 2 ? month + 9 : month - 3;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * m + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* The inverse, for instants in the years 0000 to 9999. */
static struct date date_of(int64_t real_ms, int *ret_week_day)
{
    if (real_ms < year_0000_ms)
        real_ms = year_0000_ms;
    if (real_ms > year_9999_ms)
        real_ms = year_9999_ms;
    int64_t since = real_ms - year_0000_ms;
    int64_t day_number = since / 86400000 - 719528; /* since 1970 */
    int in_day = (int)(since % 86400000);

    int64_t shifted = day_number + 719468 + 146097; /* since March of the year -400 */
    int64_t era = shifted / 146097;
    int64_t of_era = shifted % 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t m = (5 * of_year + 2) / 153;
    struct date d = {
        .day = (int)(of_year - (153 * m + 2) / 5 + 1),
        .month = (int)(m < 10 ? m + 3 : m - 9),
        .hour = in_day / 3600000,
        .minute = in_day / 60000 % 60,
        .second = in_day / 1000 % 60,
        .ms = in_day % 1000,
    };
    d.year = (int)(year + (era - 1) * 400 + (d.month <= 2));
    *ret_week_day = (int)((day_number + 719528 + 6) % 7); /* 0000-01-01 was a Saturday */
    return d;
}

static bool date_to_ms(const struct date *d, int64_t *ret_real_ms)
{
    static const int month_days[12] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    if (d->month < 1 || d->month > 12 || d->day < 1 || d->day > month_days[d->month - 1])
        return false;
    bool leap = d->year % 4 == 0 && (d->year % 100 != 0 || d->year % 400 == 0);
    if (d->month == 2 && d->day == 29 && !leap)
        return false;
    if (d->hour > 23 || d->minute > 59 || d->second > 60)
        return false;
    int64_t seconds =
        days_of(d->year, d->month, d->day) * 86400 + d->hour * 3600 + d->minute * 60 + d->second;
    *ret_real_ms = seconds * 1000 + d->ms;
    return true;
}

void bk_time_iso(int64_t real_ms, bool with_ms, char ret[32])
{
    int week_day;
    struct date d = date_of(real_ms, &week_day);
    int n = snprintf(ret, 32, "%04d-%02d-%02dT%02d:%02d:%02d", d.year % 10000, d.month % 100,
                     d.day % 100, d.hour % 100, d.minute % 100, d.second % 100);
    if (with_ms)
        snprintf(ret + n, 32 - (size_t)n, ".%03dZ", d.ms % 1000);
    else
        snprintf(ret + n, 32 - (size_t)n, "Z");
}

void bk_time_http(int64_t real_ms, char ret[32])
{
    int week_day;
    struct date d = date_of(real_ms, &week_day);
    snprintf(ret, 32, "%s, %02d %s %04d %02d:%02d:%02d GMT", day_names[week_day], d.day % 100,
             month_names[d.month - 1], d.year % 10000, d.hour % 100, d.minute % 100,
             d.second % 100);
}

/* These take something off the front of *rest and say whether it was there. */
static bool take_number(struct bk_view *rest, size_t digits, int *ret)
{
    if (rest->len < digits)
        return false;
    int n = 0;
    for (size_t i = 0; i < digits; i++) {
        if (rest->at[i] < '0' || rest->at[i] > '9')
            return false;
        n = n * 10 + (rest->at[i] - '0');
    }
    *rest = bk_view_skip(*rest, digits);
    *ret = n;
    return true;
}

static bool take_text(struct bk_view *rest, const char *text)
{
    struct bk_view want = bk_view_of_str(text);
    if (!bk_view_starts_with_nocase(*rest, want))
        return false;
    *rest = bk_view_skip(*rest, want.len);
    return true;
}

static bool take_name(struct bk_view *rest, const char (*names)[4], int n, int *ret)
{
    for (int i = 0; i < n; i++) {
        if (take_text(rest, names[i])) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static bool take_time_of_day(struct bk_view *rest, struct date *d)
{
    return take_number(rest, 2, &d->hour) && take_text(rest, ":") &&
           take_number(rest, 2, &d->minute) && take_text(rest, ":") &&
           take_number(rest, 2, &d->second);
}

/* Nothing, or a point and at least one digit; more than three are read and forgotten. */
static bool take_fraction(struct bk_view *rest, int *ret_ms)
{
    *ret_ms = 0;
    if (!take_text(rest, "."))
        return true;
    int digit, n = 0;
    for (int worth = 100; take_number(rest, 1, &digit); n++, worth /= 10)
        *ret_ms += digit * worth;
    return n > 0;
}

static bool take_offset(struct bk_view *rest, int *ret_minutes)
{
    *ret_minutes = 0;
    if (take_text(rest, "Z"))
        return true;
    int sign = take_text(rest, "+") ? 1 : take_text(rest, "-") ? -1 : 0;
    int hours, minutes;
    if (!sign || !take_number(rest, 2, &hours) || !take_text(rest, ":") ||
        !take_number(rest, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *ret_minutes = sign * (hours * 60 + minutes);
    return true;
}

int bk_time_iso_parse(struct bk_view text, int64_t *ret_real_ms)
{
    struct date d;
    int offset_minutes;
    int64_t ms;
    bool well = take_number(&text, 4, &d.year) && take_text(&text, "-") &&
                take_number(&text, 2, &d.month) && take_text(&text, "-") &&
                take_number(&text, 2, &d.day) && take_text(&text, "T") &&
                take_time_of_day(&text, &d) && take_fraction(&text, &d.ms) &&
                take_offset(&text, &offset_minutes) && text.len == 0 && date_to_ms(&d, &ms);
    if (!well)
        return -EINVAL;
    *ret_real_ms = ms - (int64_t)offset_minutes * 60000;
    return 0;
}

int bk_time_http_parse(struct bk_view text, int64_t *ret_real_ms)
{
    struct date d = { .ms = 0 };
    int week_day, month;
    int64_t ms;
    bool well = take_name(&text, day_names, 7, &week_day) && take_text(&text, ", ") &&
                take_number(&text, 2, &d.day) && take_text(&text, " ") &&
                take_name(&text, month_names, 12, &month) && take_text(&text, " ") &&
                take_number(&text, 4, &d.year) && take_text(&text, " ") &&
                take_time_of_day(&text, &d) && take_text(&text, " GMT") && text.len == 0;
    d.month = well ? month + 1 : 0;
    if (!well || !date_to_ms(&d, &ms))
        return -EINVAL;
    *ret_real_ms = ms;
    return 0;
}

/*
 * Length of the well-formed sequence at the front of v, 0 where there is none. Table 3-7 of the
 * Unicode standard (RFC 3629 section 4): only the second byte has a range that depends on the first.
 */
static size_t utf8_sequence(struct bk_view v)
{
    const unsigned char *at = (const unsigned char *)v.at;
    unsigned char first = at[0];
    if (first < 0x80)
        return 1;
    size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || v.len < len)
        return 0;
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

bool bk_utf8_valid(struct bk_view v)
{
    while (v.len) {
        if (v.len >= 8 && !(bk_word_load(v.at) & 0x8080808080808080U)) {
            v = bk_view_skip(v, 8);
            continue;
        }
        size_t n = utf8_sequence(v);
        if (n == 0)
            return false;
        v = bk_view_skip(v, n);
    }
    return true;
}

static void close_fd(int *fd)
{
    int keep = errno;
    if (*fd >= 0)
        close(*fd);
    errno = keep;
}

static int read_all(int fd, size_t max, struct bk_buf *ret)
{
    size_t total = 0;
    for (;;) {
        size_t want = max - total < 16384 ? max - total + 1 : 16384;
        char *to = bk_buf_reserve(ret, want);
        if (!to)
            return -ENOMEM;
        ssize_t n = read(fd, to, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        if ((size_t)n > max - total)
            return -EFBIG;
        total += (size_t)n;
        ret->len += (size_t)n;
    }
}

int bk_file_read(const char *path, size_t max, struct bk_buf *ret)
{
    BK_CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t before = ret->len;
    int r = read_all(fd, max, ret);
    if (r < 0)
        ret->len = before;
    return r;
}

static int write_all(int fd, struct bk_view content)
{
    while (content.len) {
        ssize_t n = write(fd, content.at, content.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        content = bk_view_skip(content, (size_t)n);
    }
    return 0;
}

/* The rename itself is on disk only after its folder is. */
static int sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    struct bk_view name = len ? (struct bk_view){ path, len } : slash ? BK_VIEW("/") : BK_VIEW(".");
    BK_CLEANUP(bk_cleanup_free) char *folder = bk_view_dup(name);
    if (!folder)
        return -ENOMEM;
    BK_CLEANUP(close_fd) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int bk_file_replace(const char *path, struct bk_view content, unsigned mode)
{
    BK_AUTO_BUF struct bk_buf name = { 0 };
    bk_buf_add_str(&name, path);
    bk_buf_add_lit(&name, ".XXXXXX");
    if (!bk_buf_cstr(&name))
        return -ENOMEM;
    BK_CLEANUP(close_fd) int fd = mkostemp(name.at, O_CLOEXEC);
    if (fd < 0)
        return -errno;

    int r = write_all(fd, content);
    if (r == 0 && (fchmod(fd, (mode_t)mode) < 0 || fsync(fd) < 0 || rename(name.at, path) < 0))
        r = -errno;
    if (r < 0) {
        unlink(name.at);
        return r;
    }
    return sync_folder_of(path);
}
