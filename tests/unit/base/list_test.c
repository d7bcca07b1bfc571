/* SPDX-License-Identifier: Apache-2.0 */
#include "base/list.h"

#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

struct item {
    int n;
    struct bk_list in;
};

static void check_order(const struct bk_list *head, const char *want)
{
    char got[20];
    size_t n = 0;
    BK_LIST_EACH((struct bk_list *)head, it)
    {
        got[n++] = (char)('0' + bk_container_of(it, struct item, in)->n);
    }
    got[n] = '\0';
    assert_string_equal(got, want);
    BK_LIST_EACH((struct bk_list *)head, it)
    {
        assert_ptr_equal(it->prev->next, it);
        assert_ptr_equal(it->next->prev, it);
    }
}

static void keeps_the_order_of_append_and_prepend(void **state)
{
    (void)state;
    struct bk_list head;
    struct item items[5];
    bk_list_init(&head);
    assert_true(bk_list_empty(&head));
    for (int i = 0; i < 5; i++)
        items[i].n = i;
    bk_list_append(&head, &items[1].in);
    bk_list_append(&head, &items[2].in);
    bk_list_prepend(&head, &items[0].in);
    bk_list_append(&head, &items[4].in);
    bk_list_add_before(&items[4].in, &items[3].in);
    check_order(&head, "01234");
    bk_list_remove(&items[2].in);
    check_order(&head, "0134");
    bk_list_remove(&items[2].in); /* harmless */
    check_order(&head, "0134");
    assert_false(bk_list_empty(&head));
}

static void the_body_of_a_walk_may_free_its_member(void **state)
{
    (void)state;
    struct bk_list head;
    bk_list_init(&head);
    for (int i = 0; i < 10; i++) {
        struct item *item = malloc(sizeof *item);
        assert_non_null(item);
        item->n = i;
        bk_list_append(&head, &item->in);
    }
    int n = 0;
    BK_LIST_EACH(&head, it)
    {
        struct item *item = bk_container_of(it, struct item, in);
        assert_int_equal(item->n, n++);
        bk_list_remove(it);
        free(item);
    }
    assert_int_equal(n, 10);
    assert_true(bk_list_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_order_of_append_and_prepend),
        cmocka_unit_test(the_body_of_a_walk_may_free_its_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
