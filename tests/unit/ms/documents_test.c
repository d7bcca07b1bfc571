/* SPDX-License-Identifier: Apache-2.0 */
/* Categories, batches, containers, provisioning. */
#include "base/cleanup.h"
#include "ms/batch.h"
#include "ms/category.h"
#include "ms/container.h"
#include "ms/provision.h"
#include "sip/fields.h"
#include "sip/mime.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* after those it needs */
#include <cmocka.h>

static void assert_text(struct bk_view v, const char *expected)
{
    assert_int_equal(v.len, strlen(expected));
    assert_memory_equal(v.at, expected, v.len);
}

static struct bk_ms_xml *tree(const char *text, struct bk_arena *arena)
{
    struct bk_ms_xml *root = NULL;
    const char *why;
    assert_int_equal(bk_ms_xml_parse(bk_view_of_str(text), arena, &root, &why), 0);
    return root;
}

/* ---- categories ---- */

static void every_state_survives_the_dialect(void **state)
{
    (void)state;
    for (int shown = BK_PIDF_SHOWN_UNKNOWN; shown < BK_PIDF_SHOWN_COUNT; shown++) {
        struct bk_arena arena = { 0 };
        struct bk_buf doc = { 0 };
        struct bk_ms_state got;
        bk_ms_aggregate_write(&doc, shown, 1795325164000);
        assert_int_equal(bk_ms_state_read(tree(bk_buf_cstr(&doc), &arena), &got), 0);
        assert_int_equal(got.type, BK_MS_STATE_AGGREGATE);
        assert_int_equal(bk_ms_shown_of(got.availability, got.activity), shown);
        bk_buf_finish(&doc);
        bk_arena_finish(&arena);
    }
}

static void a_manual_choice_survives_the_dialect(void **state)
{
    (void)state;
    for (int manual = BK_PIDF_MANUAL_NONE; manual < BK_PIDF_MANUAL_COUNT; manual++) {
        struct bk_arena arena = { 0 };
        struct bk_buf doc = { 0 };
        struct bk_ms_state got;
        bk_ms_user_state_write(&doc, manual);
        assert_int_equal(bk_ms_state_read(tree(bk_buf_cstr(&doc), &arena), &got), 0);
        assert_int_equal(got.type, BK_MS_STATE_USER);
        assert_int_equal(bk_ms_manual_of(&got), manual);
        bk_buf_finish(&doc);
        bk_arena_finish(&arena);
    }
}

static void the_ranges_are_those_of_the_table(void **state)
{
    static const struct {
        int from, to;
        enum bk_pidf_shown shown;
        enum bk_pidf_machine machine;
    } rows[] = {
        { 3000, 4499, BK_PIDF_SHOWN_AVAILABLE, BK_PIDF_MACHINE_ACTIVE },
        { 4500, 5999, BK_PIDF_SHOWN_AVAILABLE_INACTIVE, BK_PIDF_MACHINE_INACTIVE },
        { 6000, 7499, BK_PIDF_SHOWN_BUSY, BK_PIDF_MACHINE_ACTIVE },
        { 7500, 8999, BK_PIDF_SHOWN_BUSY_INACTIVE, BK_PIDF_MACHINE_INACTIVE },
        { 9000, 11999, BK_PIDF_SHOWN_DND, BK_PIDF_MACHINE_ACTIVE },
        { 12000, 14999, BK_PIDF_SHOWN_BRB, BK_PIDF_MACHINE_AWAY },
        { 15000, 17999, BK_PIDF_SHOWN_AWAY, BK_PIDF_MACHINE_AWAY },
        { 18000, 99999, BK_PIDF_SHOWN_OFFLINE, BK_PIDF_MACHINE_AWAY },
        { 1, 2999, BK_PIDF_SHOWN_OFFLINE, BK_PIDF_MACHINE_AWAY },
    };
    (void)state;
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        const int ends[] = { rows[i].from, rows[i].to };
        for (int k = 0; k < 2; k++) {
            struct bk_ms_state s = { .availability = ends[k] };
            assert_int_equal(bk_ms_shown_of(ends[k], (struct bk_view){ 0 }), rows[i].shown);
            assert_int_equal(bk_ms_machine_of(&s), rows[i].machine);
            assert_int_equal(bk_ms_machine_closed(&s), rows[i].shown == BK_PIDF_SHOWN_OFFLINE);
        }
    }
    assert_int_equal(bk_ms_shown_of(0, (struct bk_view){ 0 }), BK_PIDF_SHOWN_UNKNOWN);
    struct bk_ms_state untouched = { .type = BK_MS_STATE_MACHINE };
    assert_int_equal(bk_ms_machine_of(&untouched), BK_PIDF_MACHINE_INACTIVE);
    assert_false(bk_ms_machine_closed(&untouched));
    /* A word counts in its own range only. */
    assert_int_equal(bk_ms_shown_of(3500, BK_VIEW("on-the-phone")), BK_PIDF_SHOWN_AVAILABLE);
    assert_int_equal(bk_ms_shown_of(7000, BK_VIEW("in-a-conference")), BK_PIDF_SHOWN_IN_CONFERENCE);
}

#define PUBLISH(items)                                                                             \
    "<publish xmlns='http://schemas.microsoft.com/2006/09/sip/rich-presence'>"                     \
    "<publications uri='sip:Ann@Example.org'>" items "</publications></publish>"

static void a_publication_is_read_with_its_content(void **state)
{
    struct bk_arena arena = { 0 };
    struct bk_ms_publish *p = bk_arena_alloc(&arena, sizeof *p);
    struct bk_ms_state s;
    const char *why;
    (void)state;
    assert_int_equal(
        bk_ms_publish_parse(
            BK_VIEW(PUBLISH("<publication categoryName='state' instance='4294967295' container='2' "
                            "version='7' expireType='endpoint'><state xmlns='urn:s' "
                            "xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' "
                            "xsi:type='phoneState'><availability>6500</availability><activity "
                            "token='on-the-phone'/></state></publication>"
                            "<publication categoryName='note' container='200' expires='0'/>"
                            "<publication categoryName='x' expireType='time' expires='60'/>")),
            &arena, p, &why),
        0);
    assert_text(p->address, "ann@example.org");
    assert_int_equal(p->n, 3);
    assert_int_equal(p->items[0].instance, UINT32_MAX);
    assert_int_equal(p->items[0].version, 7);
    assert_int_equal(p->items[0].expire, BK_MS_EXPIRE_ENDPOINT);
    assert_int_equal(bk_ms_state_read(p->items[0].content, &s), 0);
    assert_int_equal(s.type, BK_MS_STATE_PHONE);
    assert_text(s.activity, "on-the-phone");
    assert_true(p->items[1].removes);
    assert_int_equal(p->items[1].expire, BK_MS_EXPIRE_STATIC);
    assert_int_equal(p->items[2].expires_s, 60);
    bk_arena_finish(&arena);
}

static void a_wrong_publication_is_refused_whole(void **state)
{
    static const char *const bad[] = {
        "<publish/>",
        PUBLISH("<publication/>"),
        PUBLISH("<publication categoryName='a' instance='4294967296'/>"),
        PUBLISH("<publication categoryName='a' version='-1'/>"),
        PUBLISH("<publication categoryName='a' expireType='never'/>"),
        PUBLISH("<publication categoryName='a' expireType='time'/>"),
        PUBLISH("<publication categoryName='a'/><publication categoryName='a'/>"),
    };
    (void)state;
    for (size_t i = 0; i < BK_COUNT_OF(bad); i++) {
        struct bk_arena arena = { 0 };
        struct bk_ms_publish *p = bk_arena_alloc(&arena, sizeof *p);
        const char *why = NULL;
        assert_int_equal(bk_ms_publish_parse(bk_view_of_str(bad[i]), &arena, p, &why), -EBADMSG);
        assert_non_null(why);
        bk_arena_finish(&arena);
    }
}

static void a_note_is_its_personal_text(void **state)
{
    struct bk_arena arena = { 0 };
    struct bk_buf doc = { 0 };
    (void)state;
    bk_ms_note_write(&doc, BK_VIEW("a < b"));
    assert_text(bk_ms_note_read(tree(bk_buf_cstr(&doc), &arena)), "a < b");
    assert_null(bk_ms_note_read(tree("<note/>", &arena)).at);
    assert_null(bk_ms_note_read(tree("<knot><body>x</body></knot>", &arena)).at);
    assert_non_null(bk_ms_note_read(tree("<note><body type='personal'/></note>", &arena)).at);
    bk_buf_finish(&doc);
    bk_arena_finish(&arena);
}

static void conflicts_name_the_place_and_the_version(void **state)
{
    struct bk_buf doc = { 0 };
    const struct bk_ms_conflict conflicts[] = { { 1, 5 }, { 3, 0 } };
    (void)state;
    bk_ms_fault_write(&doc, conflicts, 2);
    assert_string_equal(bk_buf_cstr(&doc),
                        "<Fault><Faultcode>Client.BadCall.WrongDelta</Faultcode><details>"
                        "<operation index=\"1\" curVersion=\"5\"/>"
                        "<operation index=\"3\" curVersion=\"0\"/></details></Fault>");
    bk_buf_finish(&doc);
}

static void a_card_shows_each_relation_its_own(void **state)
{
    static const struct {
        int relation;
        const char *sees[8], *hides[8];
    } rows[] = {
        { 100, { "Ann", "Boss" }, { "tel:1", "tel:2", "tel:3", "tel:4", "Secret" } },
        { 200, { "Ann", "Boss", "tel:1" }, { "tel:2", "tel:3", "tel:4", "Secret" } },
        { 300, { "Ann", "Boss", "tel:1", "tel:2" }, { "tel:3", "tel:4", "Secret" } },
        { 400, { "Ann", "Boss", "tel:1", "tel:2", "tel:3", "tel:4" }, { "Secret" } },
        { 32000, { "Ann" }, { "Boss", "tel:1", "tel:2", "tel:3", "tel:4", "Secret" } },
    };
    struct bk_arena arena = { 0 };
    const struct bk_ms_xml *card =
        tree("<contactCard "
             "xmlns='urn:c'><identity><name><displayName>Ann</displayName></name></identity>"
             "<title>Boss</title><phone type='work'><uri>tel:1</uri></phone><phone "
             "type='mobile'><uri>tel:2"
             "</uri></phone><phone type='home'><uri>tel:3</uri></phone><phone "
             "type='other'><uri>tel:4</uri>"
             "</phone><unheardOf>Secret</unheardOf></contactCard>",
             &arena);
    (void)state;
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        struct bk_buf doc = { 0 };
        bk_ms_card_filter(&doc, card, rows[i].relation);
        const char *text = bk_buf_cstr(&doc);
        for (int k = 0; rows[i].sees[k]; k++)
            assert_non_null(strstr(text, rows[i].sees[k]));
        for (int k = 0; rows[i].hides[k]; k++)
            assert_null(strstr(text, rows[i].hides[k]));
        bk_buf_finish(&doc);
    }
    bk_arena_finish(&arena);
}

/* ---- batches ---- */

static void a_batch_names_people_and_what_of_them(void **state)
{
    struct bk_arena arena = { 0 };
    struct bk_ms_batch_item *items;
    int n;
    const char *why;
    (void)state;
    assert_int_equal(
        bk_ms_batch_parse(
            BK_VIEW("<batchSub xmlns='b' uri='sip:a@x' name=''><action name='subscribe' id='1'>"
                    "<adhocList><resource uri='sip:Bob@Example.org'><context/></resource>"
                    "<resource uri='tel:+1'/></adhocList><categoryList xmlns='c'><category "
                    "name='state'/><category name='odd'/></categoryList></action><action "
                    "name='unsubscribe'><adhocList><resource uri='sip:c@example.org'/></adhocList>"
                    "</action></batchSub>"),
            &arena, &items, &n, &why),
        0);
    assert_int_equal(n, 3);
    assert_text(items[0].address, "bob@example.org");
    assert_text(items[0].uri, "sip:Bob@Example.org");
    assert_true(items[0].fresh);
    assert_int_equal(items[0].wanted, BK_MS_WANTS_STATE);
    assert_int_equal(items[1].address.len, 0);
    assert_false(items[1].fresh);
    assert_true(items[2].removes);
    assert_int_equal(items[2].wanted, BK_MS_WANTS_ALL);
    assert_int_equal(bk_ms_batch_parse(BK_VIEW("<batchSub><action name='x'/></batchSub>"), &arena,
                                       &items, &n, &why),
                     -EBADMSG);
    bk_arena_finish(&arena);
}

static void each_part_of_an_answer_can_lose_four_bytes(void **state)
{
    const struct bk_view boundary = BK_VIEW("bnd1"), host = BK_VIEW("srv.example.org");
    struct bk_buf type = { 0 }, body = { 0 };
    struct bk_sip_content_type ct;
    struct bk_mime_part part;
    int count = 0, n = 0;
    (void)state;
    bk_ms_batch_content_type(&type, boundary, host);
    assert_int_equal(bk_sip_content_type_parse(bk_buf_view(&type), &ct), 0);
    assert_text(ct.boundary, "bnd1");
    bk_ms_batch_begin(&body, boundary, host, BK_VIEW("ann@example.org"), 3, true);
    bk_ms_batch_resource(&body, boundary, host, BK_VIEW("sip:bob@example.org"), 1,
                         BK_MS_BATCH_ACTIVE);
    bk_ms_batch_resource(&body, boundary, host, BK_VIEW("sip:no@example.org"), 2,
                         BK_MS_BATCH_TERMINATED);
    bk_ms_batch_list_end(&body);
    bk_ms_batch_part(&body, boundary, host, 1, BK_VIEW("<categories/>"));
    bk_ms_batch_end(&body, boundary);
    struct bk_view rest = bk_buf_view(&body);
    while (bk_mime_next(&rest, ct.boundary, &count, &part) == 1) {
        struct bk_arena arena = { 0 };
        struct bk_ms_xml *root;
        const char *why;
        /* The reader here takes two of the four off already. */
        assert_true(bk_view_ends_with(part.body, BK_VIEW("\r\n")));
        assert_int_equal(bk_ms_xml_parse(bk_view_trim(part.body), &arena, &root, &why), 0);
        assert_true(bk_ms_xml_is(root, n ? "categories" : "list"));
        assert_text(part.content_id, n ? "bnd1.1@srv.example.org" : "bnd1@srv.example.org");
        if (!n)
            assert_text(bk_ms_xml_attribute(
                            bk_ms_xml_child(bk_ms_xml_child(root, "resource"), "instance"), "cid"),
                        "bnd1.1@srv.example.org");
        n++;
        bk_arena_finish(&arena);
    }
    assert_int_equal(n, 2);
    bk_buf_finish(&type);
    bk_buf_finish(&body);
}

/* ---- containers ---- */

static void a_watcher_is_looked_for_in_the_documented_order(void **state)
{
    const struct bk_view bob = BK_VIEW("bob@example.org");
    const struct bk_ms_member all[] = {
        { 100, BK_MS_MEMBER_EVERYONE, { 0 } },
        { 200, BK_MS_MEMBER_SAME_ENTERPRISE, { 0 } },
        { 300, BK_MS_MEMBER_DOMAIN, BK_VIEW("example.org") },
        { 400, BK_MS_MEMBER_USER, BK_VIEW("bob@example.org") },
        { 32000, BK_MS_MEMBER_USER, BK_VIEW("bob@example.org") },
    };
    static const int expected[] = { 200, 100, 200, 300, 400, 32000 };
    (void)state;
    for (size_t n = 0; n <= BK_COUNT_OF(all); n++) {
        struct bk_ms_member members[BK_COUNT_OF(all)];
        /* Whatever order they are kept in. */
        for (size_t i = 0; i < n; i++)
            members[n - 1 - i] = all[i];
        assert_int_equal(bk_ms_container_of(members, n, bob, BK_MS_ORIGIN_ENTERPRISE), expected[n]);
    }
    assert_int_equal(bk_ms_container_of(all, 2, BK_VIEW("x@else.org"), BK_MS_ORIGIN_FEDERATED),
                     100);
    assert_int_equal(bk_ms_container_of(all, 0, BK_VIEW("x@else.org"), BK_MS_ORIGIN_PUBLIC), 100);
}

static void members_are_kept_under_names_of_their_own(void **state)
{
    (void)state;
    for (int type = 0; type < BK_MS_MEMBER_TYPE_COUNT; type++) {
        struct bk_buf subject = { 0 };
        struct bk_ms_member got = { 0 };
        struct bk_view value = type == BK_MS_MEMBER_USER     ? BK_VIEW("bob@example.org")
                               : type == BK_MS_MEMBER_DOMAIN ? BK_VIEW("example.org")
                                                             : (struct bk_view){ 0 };
        bk_ms_member_subject(&subject, type, value);
        bk_ms_member_of_subject(bk_buf_view(&subject), &got);
        assert_int_equal(got.type, type);
        assert_true(bk_view_equal(got.value, value));
        bk_buf_finish(&subject);
    }
}

static void members_are_put_into_known_containers_only(void **state)
{
    struct bk_arena arena = { 0 };
    struct bk_ms_member_change *changes;
    struct bk_ms_subscriber *subscribers;
    int n;
    const char *why;
    (void)state;
    assert_int_equal(
        bk_ms_set_members_parse(
            BK_VIEW("<setContainerMembers xmlns='c'><container id='32000' version='2'><member "
                    "action='add' type='user' value='Bob@Example.org'/><member action='remove' "
                    "type='domain' value='Example.org'/></container><container id='200' "
                    "version='0'><member action='add' type='sameEnterprise'/></container>"
                    "</setContainerMembers>"),
            &arena, &changes, &n, &why),
        0);
    assert_int_equal(n, 3);
    assert_int_equal(changes[0].container, 32000);
    assert_int_equal(changes[0].version, 2);
    assert_text(changes[0].member.value, "bob@example.org");
    assert_true(changes[1].removes);
    assert_text(changes[1].member.value, "example.org");
    assert_int_equal(changes[2].member.type, BK_MS_MEMBER_SAME_ENTERPRISE);
    static const char *const bad[] = {
        "<setContainerMembers><container id='7' version='0'/></setContainerMembers>",
        "<setContainerMembers><container id='200'><member action='add' type='user'/></container>"
        "</setContainerMembers>",
        "<setContainerMembers><container id='200'><member action='fly' type='everyone'/>"
        "</container></setContainerMembers>",
        "<other/>",
    };
    for (size_t i = 0; i < BK_COUNT_OF(bad); i++)
        assert_int_equal(
            bk_ms_set_members_parse(bk_view_of_str(bad[i]), &arena, &changes, &n, &why), -EBADMSG);
    assert_int_equal(
        bk_ms_set_subscribers_parse(BK_VIEW("<setSubscribers><subscriber user='bob@example.org' "
                                            "acknowledged='true'/></setSubscribers>"),
                                    &arena, &subscribers, &n, &why),
        0);
    assert_int_equal(n, 1);
    assert_true(subscribers[0].acknowledged);
    bk_arena_finish(&arena);
}

/* ---- provisioning, roaming self ---- */

static void provisioning_answers_what_was_asked(void **state)
{
    struct bk_arena arena = { 0 };
    struct bk_buf doc = { 0 };
    unsigned groups;
    const char *why;
    const struct bk_ms_provision p = { .encryption = "SupportEncryption" };
    (void)state;
    assert_int_equal(
        bk_ms_provision_parse(BK_VIEW("<provisioningGroupList xmlns='p'><provisioningGroup "
                                      "name='ServerConfiguration'/><provisioningGroup "
                                      "name='somethingNew'/></provisioningGroupList>"),
                              &arena, &groups, &why),
        0);
    assert_int_equal(groups, BK_MS_PROVISION_SERVER);
    bk_ms_provision_write(&doc, &p, groups);
    const struct bk_ms_xml *group =
        bk_ms_xml_child(tree(bk_buf_cstr(&doc), &arena), "provisionGroup");
    assert_text(bk_ms_xml_attribute(group, "name"), "ServerConfiguration");
    assert_text(bk_ms_xml_child_text(group, "ucPC2PCAVEncryption"), "SupportEncryption");
    assert_null(bk_ms_xml_child(group, "focusFactoryUri"));
    assert_null(bk_ms_xml_next(group, "provisionGroup"));
    assert_int_equal(bk_ms_self_parse(BK_VIEW("<roamingList><roaming type='containers'/>"
                                              "</roamingList>"),
                                      &arena, &groups, &why),
                     0);
    assert_int_equal(groups, BK_MS_SELF_CONTAINERS);
    bk_buf_finish(&doc);
    bk_arena_finish(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_survives_the_dialect),
        cmocka_unit_test(a_manual_choice_survives_the_dialect),
        cmocka_unit_test(the_ranges_are_those_of_the_table),
        cmocka_unit_test(a_publication_is_read_with_its_content),
        cmocka_unit_test(a_wrong_publication_is_refused_whole),
        cmocka_unit_test(a_note_is_its_personal_text),
        cmocka_unit_test(conflicts_name_the_place_and_the_version),
        cmocka_unit_test(a_card_shows_each_relation_its_own),
        cmocka_unit_test(a_batch_names_people_and_what_of_them),
        cmocka_unit_test(each_part_of_an_answer_can_lose_four_bytes),
        cmocka_unit_test(a_watcher_is_looked_for_in_the_documented_order),
        cmocka_unit_test(members_are_kept_under_names_of_their_own),
        cmocka_unit_test(members_are_put_into_known_containers_only),
        cmocka_unit_test(provisioning_answers_what_was_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
