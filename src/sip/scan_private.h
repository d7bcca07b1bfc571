/* SPDX-License-Identifier: Apache-2.0 */
/* sip/scan_private.h - characters and lines: what frame.c and msg.c read a head with, so that both see the same fields. */
#ifndef BK_SIP_SCAN_PRIVATE_H
#define BK_SIP_SCAN_PRIVATE_H

#include "base/view.h"

/* Classes of RFC 3261 25.1. Escapes (%hh) belong to none of the URI classes: they are looked at apart. */
enum {
    BK_SIP_IS_TOKEN = 1 << 0,
    BK_SIP_IS_WORD = 1 << 1,     /* Call-ID */
    BK_SIP_IS_USER = 1 << 2,     /* unreserved, user-unreserved */
    BK_SIP_IS_PASSWORD = 1 << 3, /* unreserved and "&=+$," */
    BK_SIP_IS_PARAM = 1 << 4,    /* unreserved, param-unreserved */
    BK_SIP_IS_HEADER = 1 << 5,   /* unreserved, hnv-unreserved */
    BK_SIP_IS_HOST = 1 << 6,     /* letters, digits, '-', and '_', which machine names have */
    BK_SIP_IS_ALNUM = 1 << 7,
    BK_SIP_IS_DIGIT = 1 << 8,
    BK_SIP_IS_HEX = 1 << 9,
    BK_SIP_IS_BLANK = 1 << 10, /* space, tab */
    BK_SIP_IS_SPACE =
        1 << 11, /* and CR, LF: between the words of a field they stand only in folds */
    BK_SIP_IS_CONTROL = 1 << 12, /* below the space but for the tab, and DEL */
};
extern const uint16_t bk_sip_classes[256];

static inline bool bk_sip_is(char c, unsigned classes)
{
    return (bk_sip_classes[(unsigned char)c] & classes) != 0;
}

/* Behind the last byte; also for {NULL, 0}, to which C adds nothing. */
static inline const char *bk_sip_stop(struct bk_view v)
{
    return v.len ? v.at + v.len : v.at;
}

/* The first byte from `at` on that is in none of the classes. */
static inline const char *bk_sip_skip(const char *at, const char *stop, unsigned classes)
{
    while (at < stop && bk_sip_is(*at, classes))
        at++;
    return at;
}

/* The first control byte (tab included), or stop. */
const char *bk_sip_find_control(const char *at, const char *stop);

enum bk_sip_line {
    BK_SIP_LINE_END,  /* *at is behind the CRLF that ends the line */
    BK_SIP_LINE_MORE, /* *at is where to go on once more bytes arrived */
    BK_SIP_LINE_BAD,  /* *at is a CR or LF that stands alone */
};
/*
 * Looks for the end of a line from *at on, which may be anywhere in that line. A CRLF with a blank behind it
 * only folds a field (folds true) and needs one byte of the next line to be told; the start line
 * (folds false) has no folds. *has_control is set when other control bytes were passed: the whole
 * line must then be judged by bk_sip_controls_quoted.
 */
enum bk_sip_line bk_sip_line_find(const char **at, const char *stop, bool folds, bool *has_control);

/*
 * True when every control byte in the line stands where RFC 3261 25.1 lets it: behind a backslash in a
 * quoted string. *ret_at: the first that does not. CR and LF are not looked at.
 */
bool bk_sip_controls_quoted(struct bk_view line, size_t *ret_at);

/*
 * Splits a line (CRLF at its end included) at the colon: token, blanks, ':'. The value is trimmed.
 * false: no field.
 */
static inline bool bk_sip_line_split(struct bk_view line, struct bk_view *ret_name,
                                     struct bk_view *ret_value)
{
    const char *at = line.at,
               *stop = at + line.len - 2; /* an empty value, too, stands before the CRLF */
    const char *name_end = at;
    while (bk_sip_is(*name_end, BK_SIP_IS_TOKEN)) /* the CR ends both loops at the latest */
        name_end++;
    const char *colon = name_end;
    while (bk_sip_is(*colon, BK_SIP_IS_BLANK))
        colon++;
    if (name_end == at || *colon != ':')
        return false;
    *ret_name = bk_view_between(at, name_end);
    at = bk_sip_skip(colon + 1, stop, BK_SIP_IS_SPACE);
    while (stop > at && bk_sip_is(stop[-1], BK_SIP_IS_SPACE))
        stop--;
    *ret_value = bk_view_between(at, stop);
    return true;
}

/* True for "Content-Length" and "l". */
bool bk_sip_is_content_length(struct bk_view name);

#endif
