/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server tells, cut at NUL, the first byte of each choosing its reader: a list that was taken keeps its limits and,
 * written and read again, is the same list; every other document is refused with a reason or is within its bounds.
 */
#include "base/text.h"
#include "ms/told.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good)
        abort();
}

static void read_again(const struct bk_ms_contacts *list, struct bk_arena *arena)
{
    struct bk_ms_contacts again;
    struct bk_ms_told_contacts told;
    struct bk_buf one = { 0 }, two = { 0 };
    const char *why;
    bk_ms_contacts_init(&again);
    bk_ms_contacts_write(&one, list);
    must(bk_ms_told_contacts(bk_buf_view(&one), &again, arena, &told, &why) == 0);
    bk_ms_contacts_write(&two, &again);
    must(bk_view_equal(bk_buf_view(&one), bk_buf_view(&two)));
    bk_buf_finish(&one);
    bk_buf_finish(&two);
    bk_ms_contacts_finish(&again);
}

static int take_list(struct bk_view body, struct bk_ms_contacts *list, struct bk_arena *arena,
                     const char **why)
{
    struct bk_ms_told_contacts told;
    int64_t before = list->delta;
    int r = bk_ms_told_contacts(body, list, arena, &told, why);
    must(list->n_groups <= BK_MS_GROUPS_MAX && list->n_contacts <= BK_MS_CONTACTS_MAX);
    if (r < 0)
        return r;
    must(told.kind == BK_MS_TOLD_LIST || list->delta >= before);
    must(told.n_gone_groups <= BK_MS_GROUPS_MAX);
    for (int i = 0; i < told.n_gone_contacts; i++)
        must(told.gone_contacts[i].len);
    read_again(list, arena);
    return r;
}

static int take_batch(struct bk_view body, struct bk_arena *arena, const char **why)
{
    struct bk_ms_told_batch told;
    int r = bk_ms_told_batch(BK_VIEW("multipart/related; boundary=b"), body, arena, &told, why);
    if (r < 0)
        return r;
    for (int i = 0; i < told.n_people; i++)
        must(told.people[i].address.len && bk_utf8_valid(told.people[i].note));
    for (int i = 0; i < told.n_resources; i++)
        must(told.resources[i].address.len);
    return r;
}

static int take_self(struct bk_view body, struct bk_arena *arena, const char **why)
{
    struct bk_ms_told_self told;
    int r = bk_ms_told_self(body, arena, &told, why);
    if (r < 0)
        return r;
    must(told.n_containers <= BK_MS_CONTAINERS && told.n_members <= BK_MS_TOLD_MEMBERS_MAX);
    for (int i = 0; i < told.n_members; i++)
        must(told.members[i].type > BK_MS_MEMBER_DOMAIN || told.members[i].value.len);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bk_view rest = { (const char *)data, size };
    struct bk_arena arena = { 0 };
    struct bk_ms_contacts list;
    bk_ms_contacts_init(&list);
    while (rest.at && rest.len) {
        struct bk_view body = bk_view_cut(&rest, '\0');
        struct bk_ms_told_call call;
        struct bk_ms_told_person person;
        struct bk_ms_conflict conflicts[BK_MS_PUBLICATIONS_MAX];
        const char *why = NULL;
        int n = 0, r = 0;
        char kind = body.len ? body.at[0] : 0;
        body = bk_view_skip(body, 1);
        if (kind == 'l')
            r = take_list(body, &list, &arena, &why);
        else if (kind == 'b')
            r = take_batch(body, &arena, &why);
        else if (kind == 's')
            r = take_self(body, &arena, &why);
        else if (kind == 'c')
            r = bk_ms_told_call(body, &arena, &call, &why);
        else if (kind == 'p')
            r = bk_ms_told_person(body, &arena, &person, &why);
        else if (kind == 'f')
            r = bk_ms_told_conflicts(body, conflicts, &n, &why);
        must(r == 0 || why);
        must(n <= BK_MS_PUBLICATIONS_MAX);
        bk_arena_clear(&arena);
    }
    bk_ms_contacts_finish(&list);
    bk_arena_finish(&arena);
    return 0;
}
