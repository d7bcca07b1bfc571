/* SPDX-License-Identifier: Apache-2.0 */
/* base/list.h - intrusive doubly linked list. */
#ifndef BK_BASE_LIST_H
#define BK_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* A member of what is listed, and the head itself. A node outside any list points at itself. */
struct bk_list {
    struct bk_list *prev, *next;
};

#define bk_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void bk_list_init(struct bk_list *l)
{
    l->prev = l->next = l;
}

static inline bool bk_list_empty(const struct bk_list *head)
{
    return head->next == head;
}

static inline void bk_list_add_before(struct bk_list *at, struct bk_list *node)
{
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}

/* At the end of the list. */
static inline void bk_list_append(struct bk_list *head, struct bk_list *node)
{
    bk_list_add_before(head, node);
}

static inline void bk_list_prepend(struct bk_list *head, struct bk_list *node)
{
    bk_list_add_before(head->next, node);
}

/* Harmless for a node that is in no list (but was initialised). */
static inline void bk_list_remove(struct bk_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    bk_list_init(node);
}

/* The body may remove `it` from the list, and nothing else. */
#define BK_LIST_EACH(head, it)                                                                     \
    for (struct bk_list *it = (head)->next, *it##_next = it->next; it != (head);                   \
         it = it##_next, it##_next = it->next)

#endif
