/* SPDX-License-Identifier: Apache-2.0 */
/* What a client asks is what the server reads, and what the server writes is what the client reads. */
#include "base/cleanup.h"
#include "ms/ask.h"
#include "ms/told.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* after those it needs */
#include <cmocka.h>

static struct bk_arena arena;
static struct bk_buf doc;
static const char *why;

static int make(void **state)
{
    (void)state;
    bk_buf_clear(&doc);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    bk_arena_finish(&arena);
    bk_buf_finish(&doc);
    return 0;
}

#define assert_view(v, text) assert_true(bk_view_equal((v), bk_view_of_str(text)))

/* ---- the contact list ---- */

static void call(struct bk_ms_contacts *server, struct bk_ms_contacts *client,
                 const struct bk_ms_contact_call *wish, struct bk_ms_told_call *ret_answer)
{
    struct bk_ms_contact_call read;
    struct bk_ms_contact_change change;
    struct bk_ms_told_contacts told;
    bk_buf_clear(&doc);
    bk_ms_contact_call_write(&doc, wish);
    assert_int_equal(bk_ms_contact_call_parse(bk_buf_view(&doc), &arena, &read, &why), 0);
    assert_int_equal(read.method, wish->method);
    assert_int_equal(bk_ms_contacts_apply(server, &read, &change), 0);
    struct bk_buf answer = { 0 };
    bk_ms_contact_answer_write(&answer, server, &read, &change);
    struct bk_view copy = bk_arena_copy(&arena, bk_buf_view(&answer));
    assert_int_equal(bk_ms_told_call(copy, &arena, ret_answer, &why), 0);
    bk_buf_finish(&answer);
    for (int n = 0;; n++) {
        bk_buf_clear(&doc);
        if (!bk_ms_contacts_delta_write(&doc, server, &change, n))
            break;
        assert_int_equal(bk_ms_told_contacts(bk_buf_view(&doc), client, &arena, &told, &why), 0);
        assert_int_equal(told.kind, BK_MS_TOLD_DELTA);
    }
    bk_ms_contacts_settle(server, &change);
    struct bk_ms_contact_change none = { 0 };
    bk_ms_contacts_settle(client, &none);
}

static void assert_same(const struct bk_ms_contacts *a, const struct bk_ms_contacts *b)
{
    BK_AUTO_BUF struct bk_buf one = { 0 };
    BK_AUTO_BUF struct bk_buf two = { 0 };
    bk_ms_contacts_write(&one, a);
    bk_ms_contacts_write(&two, b);
    assert_string_equal(bk_buf_cstr(&one), bk_buf_cstr(&two));
}

static void a_client_that_follows_the_deltas_has_the_servers_list(void **state)
{
    (void)state;
    struct bk_ms_contacts server, client;
    struct bk_ms_told_contacts told;
    struct bk_ms_told_call answer;
    bk_ms_contacts_init(&server);
    bk_ms_contacts_init(&client);
    bk_ms_contacts_write(&doc, &server);
    assert_int_equal(bk_ms_told_contacts(bk_buf_view(&doc), &client, &arena, &told, &why), 0);
    assert_int_equal(told.kind, BK_MS_TOLD_LIST);
    static const struct bk_ms_contact_call wishes[] = {
        { .method = BK_MS_ADD_GROUP, .name = { BK_VIEW_OF("~") }, .delta = -1 },
        { .method = BK_MS_ADD_GROUP, .name = { BK_VIEW_OF("Fri<end>s & \"co\"") }, .delta = -1 },
        { .method = BK_MS_SET_CONTACT,
          .address = { BK_VIEW_OF("bob@example.org") },
          .name = { BK_VIEW_OF("Bob") },
          .groups = { BK_VIEW_OF("1 2") },
          .subscribed = true,
          .delta = -1 },
        { .method = BK_MS_SET_CONTACT,
          .address = { BK_VIEW_OF("cyd@example.org") },
          .groups = { BK_VIEW_OF("2") },
          .subscribed = true,
          .delta = -1 },
        { .method = BK_MS_MODIFY_GROUP,
          .group_id = 2,
          .name = { BK_VIEW_OF("Team") },
          .delta = -1 },
        { .method = BK_MS_DELETE_CONTACT,
          .address = { BK_VIEW_OF("bob@example.org") },
          .delta = -1 },
        { .method = BK_MS_DELETE_GROUP, .group_id = 2, .delta = -1 },
    };
    for (size_t i = 0; i < BK_COUNT_OF(wishes); i++) {
        call(&server, &client, &wishes[i], &answer);
        assert_int_equal(answer.fault.len, 0);
        assert_int_equal(answer.delta, server.delta);
        assert_same(&server, &client);
    }
    assert_int_equal(client.n_contacts, 1);
    call(&server, &client,
         &(struct bk_ms_contact_call){
             .method = BK_MS_MODIFY_GROUP, .group_id = 99, .name = BK_VIEW("x"), .delta = -1 },
         &answer);
    assert_view(answer.fault, "Client.BadCall.NoSuchGroup");
    assert_view(answer.text, "There is no such group");
    bk_ms_contacts_finish(&server);
    bk_ms_contacts_finish(&client);
}

static void deltas_that_come_twice_or_not_at_all_change_nothing(void **state)
{
    (void)state;
    struct bk_ms_contacts list;
    struct bk_ms_told_contacts told;
    bk_ms_contacts_init(&list);
    list.delta = 5;
    assert_int_equal(bk_ms_told_contacts(BK_VIEW("<contactDelta deltaNum='5' prevDeltaNum='4'>"
                                                 "<addedGroup id='9' name='x'/></contactDelta>"),
                                         &list, &arena, &told, &why),
                     0);
    assert_int_equal(told.kind, BK_MS_TOLD_OLD);
    assert_int_equal(bk_ms_told_contacts(BK_VIEW("<contactDelta deltaNum='8' prevDeltaNum='7'>"
                                                 "<addedGroup id='9' name='x'/></contactDelta>"),
                                         &list, &arena, &told, &why),
                     0);
    assert_int_equal(told.kind, BK_MS_TOLD_GAP);
    assert_int_equal(list.n_groups, 0);
    assert_int_equal(list.delta, 5);
    static const char *const bad[] = {
        "<contactDelta deltaNum='6'/>",
        "<contactDelta deltaNum='6' prevDeltaNum='6'/>",
        "<contactList deltaNum='x'/>",
        "<contactList deltaNum='1'><contact uri='' groups='1'/></contactList>",
        "<contactList deltaNum='1'><group id='0' name='x'/></contactList>",
        "<roamingData/>",
    };
    for (size_t i = 0; i < BK_COUNT_OF(bad); i++)
        assert_int_equal(bk_ms_told_contacts(bk_view_of_str(bad[i]), &list, &arena, &told, &why),
                         -EBADMSG);
    bk_ms_contacts_finish(&list);
}

static void a_search_asks_and_finds_what_was_written(void **state)
{
    (void)state;
    struct bk_ms_contact_call wish = { .method = BK_MS_DIRECTORY_SEARCH,
                                       .n_conditions = 1,
                                       .conditions = { { BK_VIEW("givenName"), BK_VIEW("b<o>") } },
                                       .max_results = 20 },
                              read;
    bk_ms_contact_call_write(&doc, &wish);
    assert_int_equal(bk_ms_contact_call_parse(bk_buf_view(&doc), &arena, &read, &why), 0);
    assert_int_equal(read.n_conditions, 1);
    assert_int_equal(read.max_results, 20);
    assert_view(read.conditions[0].value, "b<o>");
    bk_buf_clear(&doc);
    bk_ms_search_begin(&doc, true);
    bk_ms_search_row(&doc, &(struct bk_ms_search_row){ .uri = BK_VIEW("sip:bob@example.org"),
                                                       .display_name = BK_VIEW("Bob & co") });
    bk_ms_search_row(&doc, &(struct bk_ms_search_row){ .display_name = BK_VIEW("nobody") });
    bk_ms_search_end(&doc);
    struct bk_ms_told_call told;
    assert_int_equal(bk_ms_told_call(bk_buf_view(&doc), &arena, &told, &why), 0);
    assert_true(told.more);
    assert_int_equal(told.n_rows, 1); /* who has no address cannot be reached */
    assert_view(told.rows[0].uri, "bob@example.org");
    assert_view(told.rows[0].display_name, "Bob & co");
}

/* ---- presence ---- */

static void every_state_a_server_writes_is_read_as_itself(void **state)
{
    (void)state;
    for (int shown = BK_PIDF_SHOWN_MISSING + 1; shown < BK_PIDF_SHOWN_COUNT; shown++) {
        BK_AUTO_BUF struct bk_buf content = { 0 };
        BK_AUTO_BUF struct bk_buf note = { 0 };
        struct bk_ms_told_person told;
        bk_buf_clear(&doc);
        bk_ms_aggregate_write(&content, (enum bk_pidf_shown)shown, 0);
        bk_ms_note_write(&note, BK_VIEW("back at <5>"));
        bk_ms_categories_begin(&doc, BK_VIEW("bob@example.org"));
        bk_ms_category_write(&doc, &(struct bk_ms_category){ .name = BK_VIEW("state"),
                                                             .instance = 1,
                                                             .published_ms = 1795325164123,
                                                             .content = bk_buf_view(&content) });
        bk_ms_category_write(&doc, &(struct bk_ms_category){ .name = BK_VIEW("note"),
                                                             .content = bk_buf_view(&note) });
        bk_ms_categories_end(&doc);
        assert_int_equal(bk_ms_told_person(bk_buf_view(&doc), &arena, &told, &why), 0);
        assert_view(told.address, "bob@example.org");
        assert_true(told.has_state && told.has_note);
        assert_int_equal(told.shown, shown);
        bool timeless = shown == BK_PIDF_SHOWN_OFFLINE || shown == BK_PIDF_SHOWN_UNKNOWN;
        assert_int_equal(told.since_ms, timeless ? 0 : 1795325164123);
        assert_view(told.note, "back at <5>");
    }
}

static void what_a_document_does_not_name_did_not_change(void **state)
{
    (void)state;
    struct bk_ms_told_person told;
    assert_int_equal(bk_ms_told_person(BK_VIEW("<categories uri='sip:b@e.org'>"
                                               "<category name='note' instance='0'/></categories>"),
                                       &arena, &told, &why),
                     0);
    assert_true(told.has_note && !told.note.len);
    assert_false(told.has_state);
    assert_int_equal(bk_ms_told_person(BK_VIEW("<categories uri='nobody'/>"), &arena, &told, &why),
                     -EBADMSG);
}

static void a_batch_of_many_is_read_whole(void **state)
{
    (void)state;
    enum { MANY = 60 };
    const struct bk_view boundary = BK_VIEW("bnd1"), host = BK_VIEW("srv.example.org");
    BK_AUTO_BUF struct bk_buf parts = { 0 };
    BK_AUTO_BUF struct bk_buf type = { 0 };
    bk_ms_batch_begin(&doc, boundary, host, BK_VIEW("ann@example.org"), 0, true);
    for (int i = 0; i < MANY; i++) {
        char uri[64];
        BK_AUTO_BUF struct bk_buf content = { 0 };
        (void)snprintf(uri, sizeof uri, "sip:p%d@example.org", i);
        bk_ms_batch_resource(&doc, boundary, host, bk_view_of_str(uri), i,
                             i == 7 ? BK_MS_BATCH_TERMINATED : BK_MS_BATCH_ACTIVE);
        if (i == 7)
            continue;
        bk_ms_categories_begin(&content, bk_view_of_str(uri + 4));
        bk_ms_categories_end(&content);
        bk_ms_batch_part(&parts, boundary, host, i,
                         i == 9 ? BK_VIEW("<broken") : bk_buf_view(&content));
    }
    bk_ms_batch_list_end(&doc);
    bk_buf_add_view(&doc, bk_buf_view(&parts));
    bk_ms_batch_end(&doc, boundary);
    bk_ms_batch_content_type(&type, boundary, host);
    struct bk_ms_told_batch told;
    assert_int_equal(bk_ms_told_batch(bk_buf_view(&type), bk_buf_view(&doc), &arena, &told, &why),
                     0);
    assert_int_equal(told.n_resources, MANY);
    assert_int_equal(told.n_people, MANY - 2);
    assert_int_equal(told.resources[7].state, BK_MS_RESOURCE_TERMINATED);
    assert_int_equal(told.resources[8].state, BK_MS_RESOURCE_ACTIVE);
    assert_view(told.people[MANY - 3].address, "p59@example.org");
    doc.len -= 6;
    assert_int_equal(bk_ms_told_batch(bk_buf_view(&type), bk_buf_view(&doc), &arena, &told, &why),
                     -EBADMSG);
}

static void a_batch_asks_for_everybody_once(void **state)
{
    (void)state;
    const struct bk_ms_batch_item items[] = {
        { .address = BK_VIEW("bob@example.org"), .wanted = BK_MS_WANTS_STATE | BK_MS_WANTS_NOTE },
        { .address = BK_VIEW("gone@example.org"),
          .removes = true,
          .wanted = BK_MS_WANTS_STATE | BK_MS_WANTS_NOTE },
        { .address = BK_VIEW("new@example.org"),
          .fresh = true,
          .wanted = BK_MS_WANTS_STATE | BK_MS_WANTS_NOTE },
    };
    struct bk_ms_batch_item *read;
    int n;
    bk_ms_batch_write(&doc, BK_VIEW("ann@example.org"), items, 3);
    assert_int_equal(bk_ms_batch_parse(bk_buf_view(&doc), &arena, &read, &n, &why), 0);
    assert_int_equal(n, 3);
    assert_view(read[0].address, "bob@example.org");
    assert_true(!read[0].removes && !read[0].fresh && read[1].fresh && read[2].removes);
    assert_int_equal(read[1].wanted, BK_MS_WANTS_STATE | BK_MS_WANTS_NOTE);
}

/* ---- the own ---- */

static void a_publication_is_read_as_it_was_meant(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf machine = { 0 };
    struct bk_ms_publish read;
    struct bk_ms_state s;
    bk_ms_machine_state_write(&machine, BK_PIDF_MACHINE_INACTIVE);
    const struct bk_ms_publish_item items[] = {
        { { .category = BK_VIEW("state"),
            .instance = bk_ms_instance_machine_state(0xabcdef01),
            .container = 2,
            .version = 7,
            .expire = BK_MS_EXPIRE_ENDPOINT,
            .expires_s = -1 },
          bk_buf_view(&machine) },
        { { .category = BK_VIEW("note"), .container = 200, .removes = true, .expires_s = -1 },
          { 0 } },
    };
    bk_ms_publish_write(&doc, BK_VIEW("ann@example.org"), items, 2);
    assert_int_equal(bk_ms_publish_parse(bk_buf_view(&doc), &arena, &read, &why), 0);
    assert_view(read.address, "ann@example.org");
    assert_int_equal(read.n, 2);
    assert_int_equal(read.items[0].instance, 0x3abcdef0);
    assert_int_equal(read.items[0].version, 7);
    assert_int_equal(read.items[0].expire, BK_MS_EXPIRE_ENDPOINT);
    assert_int_equal(bk_ms_state_read(read.items[0].content, &s), 0);
    assert_int_equal(s.type, BK_MS_STATE_MACHINE);
    assert_int_equal(bk_ms_machine_of(&s), BK_PIDF_MACHINE_INACTIVE);
    assert_true(read.items[1].removes);
}

static void conflicts_are_read_back(void **state)
{
    (void)state;
    const struct bk_ms_conflict written[] = { { 1, 5 }, { 3, 0 } };
    struct bk_ms_conflict read[BK_MS_PUBLICATIONS_MAX];
    int n;
    bk_ms_fault_write(&doc, written, 2);
    assert_int_equal(bk_ms_told_conflicts(bk_buf_view(&doc), read, &n, &why), 0);
    assert_int_equal(n, 2);
    assert_memory_equal(read, written, sizeof written);
    assert_int_equal(
        bk_ms_told_conflicts(BK_VIEW("<Fault><details><operation index='0' curVersion='1'/>"
                                     "</details></Fault>"),
                             read, &n, &why),
        -EBADMSG);
}

static void roaming_self_names_versions_members_and_who_added_one(void **state)
{
    (void)state;
    unsigned parts;
    struct bk_ms_told_self told;
    bk_ms_self_ask(&doc, BK_MS_SELF_CATEGORIES | BK_MS_SELF_SUBSCRIBERS);
    assert_int_equal(bk_ms_self_parse(bk_buf_view(&doc), &arena, &parts, &why), 0);
    assert_int_equal(parts, BK_MS_SELF_CATEGORIES | BK_MS_SELF_SUBSCRIBERS);
    const struct bk_ms_member members[] = {
        { BK_MS_CONTAINER_BLOCKED, BK_MS_MEMBER_USER, BK_VIEW("eve@example.org") },
        { BK_MS_CONTAINER_BLOCKED, BK_MS_MEMBER_DOMAIN, BK_VIEW("bad.example") },
    };
    bk_buf_clear(&doc);
    bk_ms_self_begin(&doc);
    bk_ms_categories_begin(&doc, BK_VIEW("ann@example.org"));
    bk_ms_category_write(
        &doc, &(struct bk_ms_category){
                  .name = BK_VIEW("note"), .own = true, .container = 200, .version = 4 });
    bk_ms_category_gone(&doc, BK_VIEW("device"));
    bk_ms_categories_end(&doc);
    bk_ms_containers_begin(&doc);
    bk_ms_container_write(&doc, BK_MS_CONTAINER_BLOCKED, 3, members, 2);
    bk_ms_containers_end(&doc);
    bk_ms_subscribers_begin(&doc);
    bk_ms_subscriber_write(
        &doc, &(struct bk_ms_subscriber){ BK_VIEW("bob@example.org"), BK_VIEW("Bob"), false });
    bk_ms_subscribers_end(&doc);
    bk_ms_self_end(&doc);
    assert_int_equal(bk_ms_told_self(bk_buf_view(&doc), &arena, &told, &why), 0);
    assert_int_equal(told.parts, 7);
    assert_int_equal(told.n_publications, 2);
    assert_int_equal(told.publications[0].version, 4);
    assert_true(told.publications[1].gone);
    assert_int_equal(told.n_containers, 1);
    assert_int_equal(told.containers[0].version, 3);
    assert_int_equal(told.n_members, 2);
    assert_view(told.members[0].value, "eve@example.org");
    assert_int_equal(told.n_subscribers, 1);
    assert_false(told.subscribers[0].acknowledged);
}

static void changes_of_access_levels_are_read_as_they_were_meant(void **state)
{
    (void)state;
    const struct bk_ms_member_change changes[] = {
        { 200, 3, true, { 200, BK_MS_MEMBER_USER, BK_VIEW("bob@example.org") } },
        { 32000, 1, false, { 32000, BK_MS_MEMBER_EVERYONE, { 0 } } },
    };
    struct bk_ms_member_change *read;
    struct bk_ms_subscriber *rows;
    int n;
    bk_ms_set_members_write(&doc, changes, 2);
    assert_int_equal(bk_ms_set_members_parse(bk_buf_view(&doc), &arena, &read, &n, &why), 0);
    assert_int_equal(n, 2);
    assert_true(read[0].removes && !read[1].removes);
    assert_int_equal(read[0].version, 3);
    assert_int_equal(read[1].member.type, BK_MS_MEMBER_EVERYONE);
    bk_buf_clear(&doc);
    bk_ms_set_subscribers_write(
        &doc, &(struct bk_ms_subscriber){ BK_VIEW("bob@example.org"), BK_VIEW("Bob"), true }, 1);
    assert_int_equal(bk_ms_set_subscribers_parse(bk_buf_view(&doc), &arena, &rows, &n, &why), 0);
    assert_true(n == 1 && rows[0].acknowledged);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make, unmake)
    const struct CMUnitTest tests[] = {
        TEST(a_client_that_follows_the_deltas_has_the_servers_list),
        TEST(deltas_that_come_twice_or_not_at_all_change_nothing),
        TEST(a_search_asks_and_finds_what_was_written),
        TEST(every_state_a_server_writes_is_read_as_itself),
        TEST(what_a_document_does_not_name_did_not_change),
        TEST(a_batch_of_many_is_read_whole),
        TEST(a_batch_asks_for_everybody_once),
        TEST(a_publication_is_read_as_it_was_meant),
        TEST(conflicts_are_read_back),
        TEST(roaming_self_names_versions_members_and_who_added_one),
        TEST(changes_of_access_levels_are_read_as_they_were_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
