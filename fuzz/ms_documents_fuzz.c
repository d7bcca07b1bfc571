/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publications, batches, members, subscribers, lists of what is wanted: what is taken keeps its limits, and written into a
 * document of ours it gives a document that reads.
 */
#include "base/cleanup.h"
#include "ms/batch.h"
#include "ms/category.h"
#include "ms/contacts.h"
#include "ms/container.h"
#include "ms/provision.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good)
        abort();
}

static void publish(struct bk_view body, struct bk_arena *arena)
{
    struct bk_ms_publish *p = bk_arena_alloc(arena, sizeof *p);
    struct bk_buf doc = { 0 }, content = { 0 };
    struct bk_ms_xml *root;
    const char *why = NULL;
    if (!p)
        return;
    if (bk_ms_publish_parse(body, arena, p, &why) < 0) {
        must(why != NULL);
        return;
    }
    must(p->n <= BK_MS_PUBLICATIONS_MAX);
    bk_ms_categories_begin(&doc, p->address);
    for (int i = 0; i < p->n; i++) {
        const struct bk_ms_publication *item = &p->items[i];
        struct bk_ms_category c = { .name = item->category,
                                    .instance = item->instance,
                                    .own = true,
                                    .version = item->version,
                                    .container = item->container,
                                    .expire = item->expire };
        bk_buf_clear(&content);
        if (item->content) {
            struct bk_ms_state s;
            bk_ms_xml_write(&content, item->content, (struct bk_view){ 0 });
            if (bk_ms_state_read(item->content, &s) == 0) {
                must(bk_ms_manual_of(&s) != BK_PIDF_MANUAL_MISSING);
                must(bk_ms_shown_of(s.availability, s.activity) != BK_PIDF_SHOWN_MISSING);
            }
            must(bk_ms_note_read(item->content).len <= body.len);
        }
        c.content = bk_buf_view(&content);
        bk_ms_category_write(&doc, &c);
        if (item->content && bk_ms_xml_is(item->content, "contactCard"))
            bk_ms_card_filter(&doc, item->content, 200);
    }
    bk_ms_categories_end(&doc);
    if (doc.len <= BK_MS_XML_BYTES_MAX)
        must(bk_ms_xml_parse(bk_buf_view(&doc), arena, &root, &why) == 0);
    bk_buf_finish(&doc);
    bk_buf_finish(&content);
}

static void batch(struct bk_view body, struct bk_arena *arena)
{
    struct bk_ms_batch_item *items;
    struct bk_buf doc = { 0 };
    const char *why = NULL;
    int n = 0;
    if (bk_ms_batch_parse(body, arena, &items, &n, &why) < 0) {
        must(why != NULL);
        return;
    }
    must(n <= BK_MS_BATCH_MAX);
    bk_ms_batch_begin(&doc, BK_VIEW("b"), BK_VIEW("h"), BK_VIEW("a@b"), 0, true);
    size_t head = bk_view_find_view(bk_buf_view(&doc), BK_VIEW("<list"));
    for (int i = 0; i < n; i++)
        bk_ms_batch_resource(&doc, BK_VIEW("b"), BK_VIEW("h"), items[i].uri, i,
                             items[i].address.len ? BK_MS_BATCH_ACTIVE : BK_MS_BATCH_TERMINATED);
    bk_ms_batch_list_end(&doc);
    struct bk_view list = bk_view_trim(bk_view_skip(bk_buf_view(&doc), head));
    struct bk_ms_xml *root;
    if (list.len <= BK_MS_XML_BYTES_MAX)
        must(bk_ms_xml_parse(list, arena, &root, &why) == 0);
    bk_buf_finish(&doc);
}

static void members(struct bk_view body, struct bk_arena *arena)
{
    struct bk_ms_member_change *changes;
    struct bk_ms_subscriber *subscribers;
    const char *why = NULL;
    int n = 0;
    if (bk_ms_set_members_parse(body, arena, &changes, &n, &why) == 0) {
        for (int i = 0; i < n; i++) {
            struct bk_buf subject = { 0 };
            struct bk_ms_member again = { .container = changes[i].container };
            bk_ms_member_subject(&subject, changes[i].member.type, changes[i].member.value);
            bk_ms_member_of_subject(bk_buf_view(&subject), &again);
            must(again.type == changes[i].member.type &&
                 bk_view_equal(again.value, changes[i].member.value));
            /* Somebody who is named is where he was put. */
            if (again.type == BK_MS_MEMBER_USER)
                must(bk_ms_container_of(&again, 1, again.value, BK_MS_ORIGIN_FEDERATED) ==
                     again.container);
            bk_buf_finish(&subject);
        }
    }
    if (bk_ms_set_subscribers_parse(body, arena, &subscribers, &n, &why) == 0)
        must(n <= BK_MS_MEMBER_CHANGES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bk_view body = { (const char *)data, size };
    struct bk_arena arena = { 0 };
    unsigned set = 0;
    const char *why = NULL;
    publish(body, &arena);
    batch(body, &arena);
    members(body, &arena);
    if (bk_ms_self_parse(body, &arena, &set, &why) == 0)
        must(set <= 7);
    if (bk_ms_provision_parse(body, &arena, &set, &why) == 0)
        must(set <= BK_MS_PROVISION_ALL);
    bk_arena_finish(&arena);
    return 0;
}
