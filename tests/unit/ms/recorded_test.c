/* SPDX-License-Identifier: Apache-2.0 */
/* Every body the stock client sent in the recorded conversations (tests/data/sipe) is read. */
#include "base/cleanup.h"
#include "base/text.h"
#include "ms/batch.h"
#include "ms/category.h"
#include "ms/contacts.h"
#include "ms/container.h"
#include "ms/provision.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* after those it needs */
#include <cmocka.h>

struct tally {
    int publish, batch, contacts, members, provision, self;
};

static struct bk_view field(struct bk_view message, const char *name)
{
    struct bk_view rest = message;
    while (rest.at) {
        struct bk_view line = bk_view_trim(bk_view_cut(&rest, '\n'));
        if (!line.len)
            break;
        struct bk_view key = bk_view_cut(&line, ':');
        if (bk_view_equal_nocase(key, bk_view_of_str(name)))
            return bk_view_trim(line);
    }
    return (struct bk_view){ 0 };
}

static void read_body(struct bk_view type, struct bk_view body, struct tally *t)
{
    struct bk_arena arena = { 0 };
    const char *why = "";
    int n = 0, r = 0;
    unsigned set = 0;
    if (bk_view_equal_nocase(type, BK_VIEW(BK_MS_PUBLISH_CONTENT_TYPE))) {
        struct bk_ms_publish *p = bk_arena_alloc(&arena, sizeof *p);
        assert_non_null(p);
        r = bk_ms_publish_parse(body, &arena, p, &why);
        assert_true(r < 0 || p->n > 0);
        for (int i = 0; r == 0 && i < p->n; i++) {
            struct bk_ms_state s;
            if (p->items[i].content && bk_view_equal(p->items[i].category, BK_VIEW("state")))
                assert_int_equal(bk_ms_state_read(p->items[i].content, &s), 0);
        }
        t->publish++;
    } else if (bk_view_equal_nocase(type, BK_VIEW(BK_MS_BATCH_CONTENT_TYPE))) {
        struct bk_ms_batch_item *items;
        r = bk_ms_batch_parse(body, &arena, &items, &n, &why);
        for (int i = 0; r == 0 && i < n; i++)
            assert_true(items[i].address.len > 0);
        t->batch++;
    } else if (bk_view_equal_nocase(type, BK_VIEW(BK_MS_SOAP_CONTENT_TYPE))) {
        struct bk_ms_contact_call call;
        r = bk_ms_contact_call_parse(body, &arena, &call, &why);
        t->contacts++;
    } else if (bk_view_equal_nocase(type, BK_VIEW(BK_MS_SET_MEMBERS_CONTENT_TYPE))) {
        struct bk_ms_member_change *changes;
        r = bk_ms_set_members_parse(body, &arena, &changes, &n, &why);
        t->members++;
    } else if (bk_view_equal_nocase(type, BK_VIEW(BK_MS_PROVISION_V2_CONTENT_TYPE))) {
        r = bk_ms_provision_parse(body, &arena, &set, &why);
        assert_int_equal(set, BK_MS_PROVISION_ALL);
        t->provision++;
    } else if (bk_view_equal_nocase(type, BK_VIEW(BK_MS_SELF_CONTENT_TYPE))) {
        r = bk_ms_self_parse(body, &arena, &set, &why);
        t->self++;
    }
    if (r < 0)
        fail_msg("%s: %.*s", why, BK_VIEW_ARGS(body));
    bk_arena_finish(&arena);
}

static void read_file(const char *name, struct tally *t)
{
    struct bk_buf text = { 0 };
    char path[512];
    snprintf(path, sizeof path, "%s/%s", getenv("SIPE_DATA"), name);
    assert_int_equal(bk_file_read(path, 16 << 20, &text), 0);
    struct bk_view rest = bk_buf_view(&text);
    const struct bk_view mark = BK_VIEW("\n=== ");
    while (rest.len) {
        size_t end = bk_view_find_view(rest, mark);
        struct bk_view block = bk_view_head(rest, end);
        rest = bk_view_skip(rest, end + mark.len);
        struct bk_view title = bk_view_cut(&block, '\n');
        uint64_t len;
        if (bk_view_find_view(title, BK_VIEW(" << ")) == title.len ||
            bk_view_to_u64(field(block, "Content-Length"), 1 << 20, &len) < 0 || !len)
            continue;
        /* The recording has bare line ends in its heads; bodies are as they came. */
        size_t head = bk_view_find_view(block, BK_VIEW("\r\n\r\n"));
        size_t skip = 4;
        if (head == block.len) {
            head = bk_view_find_view(block, BK_VIEW("\n\n"));
            skip = 2;
        }
        read_body(field(block, "Content-Type"),
                  bk_view_trim(bk_view_head(bk_view_skip(block, head + skip), len)), t);
    }
    bk_buf_finish(&text);
}

static void every_recorded_body_is_read(void **state)
{
    struct tally t = { 0 };
    (void)state;
    read_file("sign-in-tls-dsk.txt", &t);
    read_file("sign-in-ntlm.txt", &t);
    assert_true(t.publish >= 8);
    assert_true(t.batch >= 6);
    assert_int_equal(t.contacts, 4);
    assert_int_equal(t.members, 2);
    assert_int_equal(t.provision, 4);
    assert_int_equal(t.self, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_recorded_body_is_read) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
