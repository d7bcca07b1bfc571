/* SPDX-License-Identifier: Apache-2.0 */
#include "base/view.h"

#include "base/word_private.h"

#include <errno.h>
#include <stdlib.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool equal_nocase(const char *a, const char *b, size_t len)
{
    for (; len >= 8; a += 8, b += 8, len -= 8) {
        uint64_t x = bk_word_load(a), y = bk_word_load(b);
        if (x != y && bk_word_lower(x) != bk_word_lower(y))
            return false;
    }
    return bk_word_lower(bk_word_load_part(a, len)) == bk_word_lower(bk_word_load_part(b, len));
}

bool bk_view_equal_nocase(struct bk_view a, struct bk_view b)
{
    return a.len == b.len && (a.len == 0 || equal_nocase(a.at, b.at, a.len));
}

bool bk_view_starts_with(struct bk_view v, struct bk_view prefix)
{
    return v.len >= prefix.len && bk_view_equal(bk_view_head(v, prefix.len), prefix);
}

bool bk_view_starts_with_nocase(struct bk_view v, struct bk_view prefix)
{
    return v.len >= prefix.len && bk_view_equal_nocase(bk_view_head(v, prefix.len), prefix);
}

bool bk_view_ends_with(struct bk_view v, struct bk_view suffix)
{
    return v.len >= suffix.len && bk_view_equal(bk_view_skip(v, v.len - suffix.len), suffix);
}

struct bk_view bk_view_trim(struct bk_view v)
{
    while (v.len && is_space(v.at[v.len - 1]))
        v.len--;
    while (v.len && is_space(v.at[0]))
        v.at++, v.len--;
    return v;
}

size_t bk_view_find(struct bk_view v, char c)
{
    const char *found = v.len ? memchr(v.at, c, v.len) : NULL;
    return found ? (size_t)(found - v.at) : v.len;
}

size_t bk_view_find_view(struct bk_view v, struct bk_view needle)
{
    if (needle.len == 0)
        return 0;
    if (needle.len > v.len)
        return v.len;
    const char *found = memmem(v.at, v.len, needle.at, needle.len);
    return found ? (size_t)(found - v.at) : v.len;
}

struct bk_view bk_view_skip(struct bk_view v, size_t n)
{
    if (n > v.len)
        n = v.len;
    if (n) { /* NULL + 0 is not C */
        v.at += n;
        v.len -= n;
    }
    return v;
}

struct bk_view bk_view_head(struct bk_view v, size_t n)
{
    if (n < v.len)
        v.len = n;
    return v;
}

struct bk_view bk_view_cut(struct bk_view *rest, char c)
{
    size_t n = bk_view_find(*rest, c);
    struct bk_view part = bk_view_head(*rest, n);
    *rest = n < rest->len ? bk_view_skip(*rest, n + 1) : (struct bk_view){ NULL, 0 };
    return part;
}

int bk_view_to_u64(struct bk_view v, uint64_t max, uint64_t *ret)
{
    if (v.len == 0)
        return -EINVAL;
    uint64_t n = 0;
    bool too_large = false;
    for (size_t i = 0; i < v.len; i++) {
        if (v.at[i] < '0' || v.at[i] > '9')
            return -EINVAL;
        if (__builtin_mul_overflow(n, 10U, &n) ||
            __builtin_add_overflow(n, (uint64_t)(v.at[i] - '0'), &n))
            too_large = true;
    }
    if (too_large || n > max)
        return -ERANGE;
    *ret = n;
    return 0;
}

char *bk_view_dup(struct bk_view v)
{
    if (bk_view_find(v, '\0') < v.len)
        return NULL;
    char *copy = malloc(v.len + 1);
    if (!copy)
        return NULL;
    if (v.len)
        memcpy(copy, v.at, v.len);
    copy[v.len] = '\0';
    return copy;
}
