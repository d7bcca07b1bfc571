/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/scan_private.h"

#if defined __SSE2__ && !defined BK_SIP_NO_SSE2 /* the tests build both */
#define USE_SSE2
#include <emmintrin.h>
#endif

enum {
    TOKEN = BK_SIP_IS_TOKEN,
    WORD = BK_SIP_IS_WORD,
    USER = BK_SIP_IS_USER,
    PASSWORD = BK_SIP_IS_PASSWORD,
    PARAM = BK_SIP_IS_PARAM,
    HEADER = BK_SIP_IS_HEADER,
    UNRESERVED = USER | PASSWORD | PARAM | HEADER,
    ALNUM = BK_SIP_IS_ALNUM | BK_SIP_IS_HOST | TOKEN | WORD | UNRESERVED,
    DIGIT = BK_SIP_IS_DIGIT | BK_SIP_IS_HEX | ALNUM,
    HEX = BK_SIP_IS_HEX | ALNUM,
    BLANK = BK_SIP_IS_BLANK | BK_SIP_IS_SPACE,
    SPACE = BK_SIP_IS_SPACE | BK_SIP_IS_CONTROL,
    CONTROL = BK_SIP_IS_CONTROL,
};

/* clang-format off */
#define FOUR(what, a) [a] = (what), [(a) + 1] = (what), [(a) + 2] = (what), [(a) + 3] = (what)
#define EIGHT(what, a) FOUR(what, a), FOUR(what, (a) + 4)

const uint16_t bk_sip_classes[256] = {
    EIGHT(CONTROL, 0),
    [8] = CONTROL, ['\t'] = BLANK, ['\n'] = SPACE, [11] = CONTROL, [12] = CONTROL, ['\r'] = SPACE,
    [14] = CONTROL, [15] = CONTROL,
    EIGHT(CONTROL, 16), EIGHT(CONTROL, 24), [127] = CONTROL,
    [' '] = BLANK,

    EIGHT(DIGIT, '0'), ['8'] = DIGIT, ['9'] = DIGIT,
    FOUR(HEX, 'A'), ['E'] = HEX, ['F'] = HEX,
    FOUR(HEX, 'a'), ['e'] = HEX, ['f'] = HEX,
    EIGHT(ALNUM, 'G'), EIGHT(ALNUM, 'O'), FOUR(ALNUM, 'W'),
    EIGHT(ALNUM, 'g'), EIGHT(ALNUM, 'o'), FOUR(ALNUM, 'w'),

    ['-']  = TOKEN | WORD | UNRESERVED | BK_SIP_IS_HOST,
    ['_']  = TOKEN | WORD | UNRESERVED | BK_SIP_IS_HOST,
    ['.']  = TOKEN | WORD | UNRESERVED,
    ['!']  = TOKEN | WORD | UNRESERVED,
    ['~']  = TOKEN | WORD | UNRESERVED,
    ['*']  = TOKEN | WORD | UNRESERVED,
    ['\''] = TOKEN | WORD | UNRESERVED,
    ['(']  = WORD | UNRESERVED,
    [')']  = WORD | UNRESERVED,
    ['%']  = TOKEN | WORD,
    ['`']  = TOKEN | WORD,
    ['+']  = TOKEN | WORD | USER | PASSWORD | PARAM | HEADER,
    ['$']  = USER | PASSWORD | PARAM | HEADER,
    ['&']  = USER | PASSWORD | PARAM,
    ['=']  = USER | PASSWORD,
    [',']  = USER | PASSWORD,
    [';']  = USER,
    ['?']  = WORD | USER | HEADER,
    ['/']  = WORD | USER | PARAM | HEADER,
    [':']  = WORD | PARAM | HEADER,
    ['[']  = WORD | PARAM | HEADER,
    [']']  = WORD | PARAM | HEADER,
    ['<']  = WORD, ['>'] = WORD, ['\\'] = WORD, ['"'] = WORD, ['{'] = WORD, ['}'] = WORD,
};
/* clang-format on */

/*
 * Sixteen bytes at a time where the processor can, eight elsewhere: half of the time a message takes here
 * is spent looking for line ends (bench/sip_bench.c shows it beside the plain loop).
 */
#ifdef USE_SSE2
const char *bk_sip_find_control(const char *at, const char *stop)
{
    const __m128i last = _mm_set1_epi8(0x1f), del = _mm_set1_epi8(0x7f);
    for (; stop - at >= 16; at += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, last), v);
        int found = _mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(v, del)));
        if (found)
            return at + __builtin_ctz((unsigned)found);
    }
    while (at < stop && (unsigned char)*at > 0x1f && *at != 0x7f)
        at++;
    return at;
}
#else
const char *bk_sip_find_control(const char *at, const char *stop)
{
    const uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;
    for (; stop - at >= 8; at += 8) {
        uint64_t v;
        memcpy(&v, at, sizeof v);
        uint64_t del = v ^ ones * 0x7f;
        /* May see one where there is none, behind a true one: the plain loop below finds the place. */
        if ((((v - ones * 0x20) & ~v) | ((del - ones) & ~del)) & highs)
            break;
    }
    while (at < stop && (unsigned char)*at > 0x1f && *at != 0x7f)
        at++;
    return at;
}
#endif

enum bk_sip_line bk_sip_line_find(const char **at, const char *stop, bool folds, bool *has_control)
{
    for (const char *p = *at;; p++) {
        p = bk_sip_find_control(p, stop);
        *at = p;
        if (p == stop)
            return BK_SIP_LINE_MORE;
        if (*p == '\t')
            continue;
        if (*p == '\n')
            return BK_SIP_LINE_BAD;
        if (*p != '\r') {
            *has_control = true;
            continue;
        }
        if (stop - p < 2)
            return BK_SIP_LINE_MORE;
        if (p[1] != '\n')
            return BK_SIP_LINE_BAD;
        if (folds && stop - p < 3)
            return BK_SIP_LINE_MORE;
        if (!folds || !bk_sip_is(p[2], BK_SIP_IS_BLANK)) {
            *at = p + 2;
            return BK_SIP_LINE_END;
        }
        p++; /* over the CR; the loop steps over the LF */
    }
}

bool bk_sip_controls_quoted(struct bk_view line, size_t *ret_at)
{
    bool quoted = false;
    for (size_t i = 0; i < line.len; i++) {
        char c = line.at[i];
        if (quoted && c == '\\' && i + 1 < line.len) {
            i++;
            continue;
        }
        if (c == '"')
            quoted = !quoted;
        if (bk_sip_is(c, BK_SIP_IS_CONTROL) && c != '\r' && c != '\n') {
            *ret_at = i;
            return false;
        }
    }
    return true;
}

bool bk_sip_is_content_length(struct bk_view name)
{
    if (name.len == 1)
        return name.at[0] == 'l' || name.at[0] == 'L';
    return name.len == 14 && bk_view_equal_nocase(name, BK_VIEW("Content-Length"));
}
