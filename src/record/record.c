/* SPDX-License-Identifier: Apache-2.0 */
#include "record/record_private.h"

#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

const struct bk_record *bk_record_find(unsigned number, char sub)
{
    const struct bk_record *whole = NULL;
    for (size_t i = 0; i < bk_record_table_len; i++) {
        const struct bk_record *r = &bk_record_table[i];
        if (r->number != number)
            continue;
        if (r->sub == sub)
            return r;
        if (r->sub == 0)
            whole = r;
    }
    return whole;
}

const struct bk_record *bk_record_parse(struct bk_view id)
{
    id = bk_view_trim(id);
    if (!bk_view_starts_with_nocase(id, BK_VIEW("SI-")))
        return NULL;
    id = bk_view_skip(id, 3);
    char sub = 0;
    if (id.len == 4) {
        sub = bk_lower(id.at[3]);
        if (sub < 'a' || sub > 'z')
            return NULL;
    } else if (id.len != 3) {
        return NULL;
    }
    uint64_t number;
    if (bk_view_to_u64(bk_view_head(id, 3), 999, &number) < 0)
        return NULL;
    return bk_record_find((unsigned)number, sub);
}

const struct bk_record *bk_record_at(size_t index)
{
    return index < bk_record_table_len ? &bk_record_table[index] : NULL;
}

void bk_record_id(const struct bk_record *record, char ret[12])
{
    char sub[2] = { record->sub, '\0' };
    snprintf(ret, 12, "SI-%03u%s", (unsigned)record->number, sub);
}

const char *bk_record_category_name(enum bk_record_category category)
{
    switch (category) {
    case BK_CATEGORY_CLIENT:
        return "client";
    case BK_CATEGORY_AUTHENTICATION:
        return "authentication";
    case BK_CATEGORY_NETWORK:
        return "network";
    case BK_CATEGORY_SERVICE:
        return "service";
    case BK_CATEGORY_REACH:
        return "reach";
    }
    return "?";
}

const struct bk_record *bk_record_told(const struct bk_record *record, bool stranger)
{
    /* Being blocked must look like nobody being there. */
    if (record->number == 504)
        return bk_record_find(501, 0);
    if (!stranger || record->neutral)
        return record;
    return bk_record_find(record->category == BK_CATEGORY_REACH ? 501 : 202, 0);
}

const struct bk_record *bk_record_of_reference_code(uint32_t code)
{
    for (size_t i = 0; i < bk_record_n_aliases; i++)
        if (bk_record_aliases[i].code == code)
            return bk_record_find(bk_record_aliases[i].number, 0);
    return NULL;
}

/* ---- texts ---- */
enum { VALUE_MAX = 200 };

static void add_value(struct bk_buf *to, const char *value)
{
    size_t n = strnlen(value, VALUE_MAX);
    if (value[n]) /* cut, but not through the middle of a UTF-8 sequence */
        while (n > 0 && ((unsigned char)value[n] & 0xc0) == 0x80)
            n--;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)value[i];
        if (c >= 0x20 && c != 0x7f)
            bk_buf_add_char(to, value[i]);
    }
}

static const char *value_of(struct bk_view name, va_list pairs)
{
    va_list rest;
    va_copy(rest, pairs);
    const char *found = NULL, *key;
    while (!found && (key = va_arg(rest, const char *)) != NULL) {
        const char *value = va_arg(rest, const char *);
        if (bk_view_equal(bk_view_of_str(key), name))
            found = value ? value : "?";
    }
    va_end(rest);
    return found ? found : "?";
}

void bk_record_text(struct bk_buf *to, const char *text, ...)
{
    va_list pairs;
    va_start(pairs, text);
    struct bk_view rest = bk_view_of_str(text);
    while (rest.len > 0) {
        size_t open = bk_view_find(rest, '{');
        size_t close = bk_view_find(rest, '}');
        if (open >= close || close == rest.len) {
            bk_buf_add_view(to, rest);
            break;
        }
        bk_buf_add_view(to, bk_view_head(rest, open));
        add_value(to, value_of(bk_view_between(rest.at + open + 1, rest.at + close), pairs));
        rest = bk_view_skip(rest, close + 1);
    }
    va_end(pairs);
}

static size_t find_text(struct bk_view in, struct bk_view what)
{
    for (size_t at = 0; at + what.len <= in.len; at++)
        if (bk_view_equal(bk_view_head(bk_view_skip(in, at), what.len), what))
            return at;
    return in.len + 1;
}

int bk_record_values(const char *text, struct bk_view filled, struct bk_record_value *ret, int max)
{
    struct bk_view rest = bk_view_of_str(text);
    int n = 0;
    for (;;) {
        size_t open = bk_view_find(rest, '{');
        size_t close = bk_view_find(rest, '}');
        bool last = open >= close || close == rest.len;
        struct bk_view plain = last ? rest : bk_view_head(rest, open);
        size_t at = n == 0 ? 0 : find_text(filled, plain);
        if (last && n > 0 && plain.len <= filled.len) /* the end of one is the end of the other */
            at = filled.len - plain.len;
        if (at > filled.len ||
            !bk_view_equal(bk_view_head(bk_view_skip(filled, at), plain.len), plain))
            return -ENOENT;
        if (n > 0)
            ret[n - 1].value = bk_view_head(filled, at);
        filled = bk_view_skip(filled, at + plain.len);
        if (last)
            return filled.len ? -ENOENT : n;
        if (n == max)
            return -ENOENT;
        ret[n++] = (struct bk_record_value){ .name = bk_view_between(rest.at + open + 1,
                                                                     rest.at + close) };
        rest = bk_view_skip(rest, close + 1);
    }
}

/* ---- case codes ---- */
/* Crockford's base32: no I, L, O, U. */
static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void bk_case_code(uint64_t random_bits, char ret[BK_CASE_CODE_SIZE])
{
    size_t at = 0;
    for (int shift = 35; shift >= 0; shift -= 5) {
        if (at == 4)
            ret[at++] = '-';
        ret[at++] = alphabet[random_bits >> shift & 31];
    }
    ret[at] = '\0';
}

/* How many bytes of what people and their programs put between the halves stand at the front of v: 0 or more. */
static size_t dash_len(struct bk_view v)
{
    unsigned char c = (unsigned char)v.at[0];
    if (c == '-' || c == ' ' || c == '_' || c == '.' || c == '\t')
        return 1;
    /* U+2010 to U+2015 (dashes that word processors make), U+2212 (minus), U+00AD (soft hyphen) */
    if (v.len >= 3 && c == 0xe2) {
        unsigned char d = (unsigned char)v.at[1], e = (unsigned char)v.at[2];
        if ((d == 0x80 && e >= 0x90 && e <= 0x95) || (d == 0x88 && e == 0x92))
            return 3;
    }
    if (v.len >= 2 && c == 0xc2 && (unsigned char)v.at[1] == 0xad)
        return 2;
    return 0;
}

int bk_case_code_parse(struct bk_view text, char ret[BK_CASE_CODE_SIZE])
{
    uint64_t bits = 0;
    int n = 0;
    while (text.len > 0) {
        size_t skip = dash_len(text);
        if (skip > 0) {
            text = bk_view_skip(text, skip);
            continue;
        }
        char c = text.at[0];
        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        if (c == 'O')
            c = '0';
        else if (c == 'I' || c == 'L')
            c = '1';
        const char *in = c ? strchr(alphabet, c) : NULL;
        if (!in || n == 8)
            return -EINVAL;
        bits = bits << 5 | (uint64_t)(in - alphabet);
        n++;
        text = bk_view_skip(text, 1);
    }
    if (n != 8)
        return -EINVAL;
    bk_case_code(bits, ret);
    return 0;
}
