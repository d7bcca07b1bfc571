/* SPDX-License-Identifier: Apache-2.0 */
/* base/view.h - borrowed bytes. */
#ifndef BK_BASE_VIEW_H
#define BK_BASE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Valid while its owner lives, never NUL-terminated. {NULL, 0} is the empty view. */
struct bk_view {
    const char *at;
    size_t len;
};

/* For literals only. The first spells the fields inside a braced table row. */
#define BK_VIEW_OF(literal) .at = "" literal, .len = sizeof(literal) - 1
#define BK_VIEW(literal) ((struct bk_view){ BK_VIEW_OF(literal) })

/* printf("%.*s", BK_VIEW_ARGS(v)) */
#define BK_VIEW_ARGS(v) (int)(v).len, (v).at ? (v).at : ""

static inline struct bk_view bk_view_between(const char *at, const char *stop)
{
    return (struct bk_view){ at, (size_t)(stop - at) };
}

static inline struct bk_view bk_view_of_str(const char *text)
{
    return (struct bk_view){ text, text ? strlen(text) : 0 };
}

static inline bool bk_view_equal(struct bk_view a, struct bk_view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* These know ASCII only, so no answer depends on the locale. */
bool bk_view_equal_nocase(struct bk_view a, struct bk_view b);
bool bk_view_starts_with(struct bk_view v, struct bk_view prefix);
bool bk_view_starts_with_nocase(struct bk_view v, struct bk_view prefix);
bool bk_view_ends_with(struct bk_view v, struct bk_view suffix);

/* Without blanks, tabs, CR and LF at both ends. */
struct bk_view bk_view_trim(struct bk_view v);

/* Index of the first c, or v.len. */
size_t bk_view_find(struct bk_view v, char c);
/* Index of the first place where needle stands, or v.len where it does not. An empty needle is at 0. */
size_t bk_view_find_view(struct bk_view v, struct bk_view needle);

/* v without its first n bytes (all of them where n is larger). */
struct bk_view bk_view_skip(struct bk_view v, size_t n);
/* The first n bytes of v. */
struct bk_view bk_view_head(struct bk_view v, size_t n);

/*
 * Takes what stands before the first c off the front of *rest, and the c with it. Where no c
 * is left the answer is all of *rest, which is then empty with at == NULL; a loop runs until
 * rest.at is NULL.
 */
struct bk_view bk_view_cut(struct bk_view *rest, char c);

/* Decimal digits and nothing else, at most max. -EINVAL: not that. -ERANGE: too large. */
int bk_view_to_u64(struct bk_view v, uint64_t max, uint64_t *ret);

/* A NUL-terminated copy from malloc, NULL when out of memory or when v holds a NUL. */
char *bk_view_dup(struct bk_view v);

#endif
