/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls, cut at NUL, against one list: whatever they were, its documents are well-formed, the numbers of its deltas
 * follow each other, it keeps its limits, and a list made anew from what was written down is the same list.
 */
#include "base/cleanup.h"
#include "ms/contacts.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good)
        abort();
}

static void read_back(struct bk_view doc, struct bk_arena *arena)
{
    struct bk_ms_xml *root;
    const char *why;
    must(bk_ms_xml_parse(doc, arena, &root, &why) == 0);
}

static void apply(struct bk_ms_contacts *list, const struct bk_ms_contact_call *call,
                  struct bk_arena *arena)
{
    struct bk_ms_contact_change change;
    struct bk_buf doc = { 0 };
    if (bk_ms_contacts_apply(list, call, &change) < 0)
        return;
    must((change.status == 200) == !change.fault);
    must(!change.nothing || change.delta_before == list->delta);
    bk_ms_contact_answer_write(&doc, list, call, &change);
    read_back(bk_buf_view(&doc), arena);
    int n = 0;
    for (;; n++) {
        bk_buf_clear(&doc);
        if (!bk_ms_contacts_delta_write(&doc, list, &change, n))
            break;
        read_back(bk_buf_view(&doc), arena);
    }
    must(change.delta_before + n == list->delta);
    bk_ms_contacts_settle(list, &change);
    bk_buf_finish(&doc);
}

static void copy_list(const struct bk_ms_contacts *list)
{
    struct bk_ms_contacts again;
    struct bk_buf one = { 0 }, two = { 0 }, groups = { 0 };
    bk_ms_contacts_init(&again);
    again.delta = list->delta;
    BK_LIST_EACH(&list->groups, it)
    {
        struct bk_ms_group *g = bk_container_of(it, struct bk_ms_group, in_list), *copy;
        must(bk_ms_contacts_put_group(&again, g->id, g->name, g->external, &copy) == 0);
    }
    BK_LIST_EACH(&list->contacts, it)
    {
        struct bk_ms_contact *c = bk_container_of(it, struct bk_ms_contact, in_list), *copy;
        bk_buf_clear(&groups);
        bk_ms_contact_groups_write(&groups, c);
        must(bk_ms_contacts_put(&again, c->address, c->name, bk_buf_view(&groups), c->subscribed,
                                c->external, &copy) == 0);
    }
    bk_ms_contacts_write(&one, list);
    bk_ms_contacts_write(&two, &again);
    must(bk_view_equal(bk_buf_view(&one), bk_buf_view(&two)));
    bk_buf_finish(&one);
    bk_buf_finish(&two);
    bk_buf_finish(&groups);
    bk_ms_contacts_finish(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bk_view rest = { (const char *)data, size };
    struct bk_arena arena = { 0 };
    struct bk_ms_contacts list;
    bk_ms_contacts_init(&list);
    while (rest.at && rest.len) {
        struct bk_view body = bk_view_cut(&rest, '\0');
        struct bk_ms_contact_call call;
        const char *why = NULL;
        int r = bk_ms_contact_call_parse(body, &arena, &call, &why);
        must(r == 0 || why);
        if (r == 0)
            apply(&list, &call, &arena);
        bk_arena_clear(&arena);
    }
    must(list.n_groups <= BK_MS_GROUPS_MAX && list.n_contacts <= BK_MS_CONTACTS_MAX);
    copy_list(&list);
    bk_ms_contacts_finish(&list);
    bk_arena_finish(&arena);
    return 0;
}
