/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "ms/contacts.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* after those it needs */
#include <cmocka.h>

/* A list, and what the last call did to it. */
struct book {
    struct bk_ms_contacts list;
    struct bk_arena arena;
    struct bk_buf answer, deltas[2];
    int status, n_deltas;
};

static void begin(struct book *b)
{
    *b = (struct book){ 0 };
    bk_ms_contacts_init(&b->list);
}

static void end(struct book *b)
{
    bk_ms_contacts_finish(&b->list);
    bk_arena_finish(&b->arena);
    bk_buf_finish(&b->answer);
    bk_buf_finish(&b->deltas[0]);
    bk_buf_finish(&b->deltas[1]);
}

static void ask(struct book *b, const char *method, const char *children)
{
    char text[4096];
    struct bk_ms_contact_call call;
    struct bk_ms_contact_change change;
    const char *why;
    snprintf(text, sizeof text,
             "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/' "
             "xmlns:m='http://schemas.microsoft.com/winrtc/2002/11/sip'><s:Body><m:%s>%s</m:%s>"
             "</s:Body></s:Envelope>",
             method, children, method);
    assert_int_equal(bk_ms_contact_call_parse(bk_view_of_str(text), &b->arena, &call, &why), 0);
    assert_int_equal(bk_ms_contacts_apply(&b->list, &call, &change), 0);
    b->status = change.status;
    bk_buf_clear(&b->answer);
    bk_ms_contact_answer_write(&b->answer, &b->list, &call, &change);
    bk_buf_cstr(&b->answer);
    int64_t delta = change.delta_before;
    for (b->n_deltas = 0; b->n_deltas < 2; b->n_deltas++) {
        struct bk_buf *to = &b->deltas[b->n_deltas];
        struct bk_ms_xml *root;
        char number[32];
        bk_buf_clear(to);
        if (!bk_ms_contacts_delta_write(to, &b->list, &change, b->n_deltas))
            break;
        /* Each document carries on where the one before ended, and the last ends at the list's number. */
        assert_int_equal(bk_ms_xml_parse(bk_buf_view(to), &b->arena, &root, &why), 0);
        snprintf(number, sizeof number, "%lld", (long long)delta++);
        assert_true(
            bk_view_equal(bk_ms_xml_attribute(root, "prevDeltaNum"), bk_view_of_str(number)));
        snprintf(number, sizeof number, "%lld", (long long)delta);
        assert_true(bk_view_equal(bk_ms_xml_attribute(root, "deltaNum"), bk_view_of_str(number)));
        bk_buf_cstr(to);
    }
    assert_int_equal(delta, b->list.delta);
    bk_ms_contacts_settle(&b->list, &change);
}

static bool says(const struct bk_buf *buf, const char *text)
{
    return buf->at && strstr(buf->at, text) != NULL;
}

static void the_list_as_the_stock_client_fills_it(void **state)
{
    struct book b;
    (void)state;
    begin(&b);
    ask(&b, "addGroup", "<m:name>~</m:name><m:externalURI/><m:deltaNum>1</m:deltaNum>");
    assert_true(says(&b.answer, "<m:groupID>1</m:groupID><m:deltaNum>2</m:deltaNum>"));
    assert_true(says(&b.deltas[0], "<addedGroup id=\"1\" name=\"~\" externalURI=\"\"/>"));
    ask(&b, "addGroup", "<m:name>Friends</m:name><m:externalURI/><m:deltaNum>2</m:deltaNum>");
    ask(&b, "setContact",
        "<m:displayName>Carol</m:displayName><m:groups>2 1</m:groups><m:subscribed>true"
        "</m:subscribed><m:URI>sip:Carol@Example.com</m:URI><m:externalURI/><m:deltaNum>3"
        "</m:deltaNum>");
    assert_true(says(&b.deltas[0], "<addedContact uri=\"sip:carol@example.com\" name=\"Carol\" "
                                   "groups=\"1 2\" subscribed=\"true\" externalURI=\"\"/>"));
    ask(&b, "setContact",
        "<m:displayName>Caro</m:displayName><m:groups>2</m:groups><m:URI>sip:carol@example.com"
        "</m:URI><m:deltaNum>4</m:deltaNum>");
    assert_true(says(&b.deltas[0], "<modifiedContact uri=\"sip:carol@example.com\" name=\"Caro\" "
                                   "groups=\"2\""));
    ask(&b, "modifyGroup",
        "<m:groupID>2</m:groupID><m:name>Pals</m:name><m:deltaNum>5</m:deltaNum>");
    assert_true(says(&b.deltas[0], "<modifiedGroup id=\"2\" name=\"Pals\""));
    struct bk_buf list = { 0 };
    bk_ms_contacts_write(&list, &b.list);
    bk_buf_cstr(&list);
    assert_string_equal(
        list.at, "<contactList xmlns=\"http://schemas.microsoft.com/2006/09/sip/roaming-contacts\" "
                 "deltaNum=\"6\"><group id=\"1\" name=\"~\" externalURI=\"\"/><group id=\"2\" "
                 "name=\"Pals\" externalURI=\"\"/><contact uri=\"carol@example.com\" name=\"Caro\" "
                 "groups=\"2\" subscribed=\"true\" externalURI=\"\"/></contactList>");
    bk_buf_finish(&list);
    ask(&b, "deleteContact", "<m:URI>sip:carol@example.com</m:URI><m:deltaNum>6</m:deltaNum>");
    assert_true(says(&b.deltas[0], "<deletedContact uri=\"sip:carol@example.com\"/>"));
    assert_int_equal(b.list.n_contacts, 0);
    end(&b);
}

static void a_group_that_goes_lets_its_members_go_first(void **state)
{
    struct book b;
    (void)state;
    begin(&b);
    ask(&b, "addGroup", "<m:name>~</m:name>");
    ask(&b, "addGroup", "<m:name>G</m:name>");
    ask(&b, "setContact", "<m:groups>2</m:groups><m:URI>sip:a@example.org</m:URI>");
    ask(&b, "deleteGroup", "<m:groupID>2</m:groupID><m:deltaNum>4</m:deltaNum>");
    assert_int_equal(b.n_deltas, 2);
    assert_true(
        says(&b.deltas[0], "<modifiedContact uri=\"sip:a@example.org\" name=\"\" groups=\"1\""));
    assert_true(says(&b.deltas[1], "<deletedGroup id=\"2\"/>"));
    assert_false(says(&b.deltas[1], "modifiedContact"));
    ask(&b, "addGroup", "<m:name>G</m:name>");
    assert_true(says(&b.answer, "<m:groupID>3</m:groupID>")); /* no number comes again */
    ask(&b, "deleteGroup", "<m:groupID>3</m:groupID>");
    assert_int_equal(b.n_deltas, 1);
    end(&b);
}

static void a_repeat_changes_nothing_and_still_succeeds(void **state)
{
    struct book b;
    (void)state;
    begin(&b);
    ask(&b, "addGroup", "<m:name>~</m:name>");
    ask(&b, "addGroup", "<m:name>~</m:name>");
    assert_int_equal(b.status, 200);
    assert_int_equal(b.n_deltas, 0);
    assert_true(says(&b.answer, "<m:groupID>1</m:groupID>"));
    for (int i = 0; i < 2; i++)
        ask(&b, "setContact", "<m:groups>1</m:groups><m:URI>sip:a@example.org</m:URI>");
    assert_int_equal(b.n_deltas, 0);
    ask(&b, "deleteContact", "<m:URI>sip:nobody@example.org</m:URI>");
    assert_int_equal(b.status, 200);
    ask(&b, "deleteGroup", "<m:groupID>99</m:groupID>");
    assert_int_equal(b.status, 200);
    assert_int_equal(b.list.delta, 3);
    end(&b);
}

static void a_number_behind_is_taken_and_one_ahead_is_not(void **state)
{
    struct book b;
    (void)state;
    begin(&b);
    ask(&b, "addGroup", "<m:name>a</m:name><m:deltaNum>1</m:deltaNum>");
    ask(&b, "addGroup", "<m:name>b</m:name><m:deltaNum>1</m:deltaNum>");
    assert_int_equal(b.status, 200);
    ask(&b, "addGroup", "<m:name>c</m:name><m:deltaNum>9</m:deltaNum>");
    assert_int_equal(b.status, 409);
    assert_true(says(&b.answer, "Client.BadCall.WrongDelta"));
    assert_true(says(&b.answer, ">3</m:deltaNum>"));
    assert_int_equal(b.list.n_groups, 2);
    end(&b);
}

static void there_is_an_end_to_groups_and_contacts(void **state)
{
    struct book b;
    char text[256];
    (void)state;
    begin(&b);
    for (int i = 0; i <= BK_MS_GROUPS_MAX; i++) {
        snprintf(text, sizeof text, "<m:name>g%d</m:name>", i);
        ask(&b, "addGroup", text);
        assert_int_equal(b.status, i < BK_MS_GROUPS_MAX ? 200 : 413);
    }
    for (int i = 0; i <= BK_MS_CONTACTS_MAX; i++) {
        snprintf(text, sizeof text, "<m:groups>1</m:groups><m:URI>sip:c%d@example.org</m:URI>", i);
        ask(&b, "setContact", text);
        assert_int_equal(b.status, i < BK_MS_CONTACTS_MAX ? 200 : 413);
    }
    ask(&b, "setContact", "<m:groups>2</m:groups><m:URI>sip:c5@example.org</m:URI>");
    assert_int_equal(b.status, 200); /* who is there already may still be moved */
    struct bk_buf list = { 0 };
    struct bk_ms_xml *root;
    const char *why;
    bk_ms_contacts_write(&list, &b.list);
    assert_int_equal(bk_ms_xml_parse(bk_buf_view(&list), &b.arena, &root, &why), 0);
    bk_buf_finish(&list);
    end(&b);
}

static void what_is_no_call_is_refused_by_name(void **state)
{
    static const struct {
        const char *body;
        int r;
    } rows[] = {
        { "<Envelope><Body><fly/></Body></Envelope>", -EOPNOTSUPP },
        { "<Envelope><Body><addGroup/></Body></Envelope>", -EBADMSG },
        { "<Envelope><Body><deleteGroup><groupID>x</groupID></deleteGroup></Body></Envelope>",
          -EBADMSG },
        { "<Envelope><Body><setContact><URI>tel:+1</URI></setContact></Body></Envelope>",
          -EBADMSG },
        { "<Envelope><Body><deleteContact/></Body></Envelope>", -EBADMSG },
        { "<Envelope><Body><deleteContact><URI>sip:a@b</URI><deltaNum>-1</deltaNum></deleteContact>"
          "</Body></Envelope>",
          -EBADMSG },
    };
    (void)state;
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        struct bk_arena arena = { 0 };
        struct bk_ms_contact_call call;
        const char *why = NULL;
        assert_int_equal(
            bk_ms_contact_call_parse(bk_view_of_str(rows[i].body), &arena, &call, &why), rows[i].r);
        assert_non_null(why);
        bk_arena_finish(&arena);
    }
}

static void a_search_has_its_conditions_beside_it(void **state)
{
    struct bk_arena arena = { 0 };
    struct bk_ms_contact_call call;
    const char *why;
    (void)state;
    assert_int_equal(
        bk_ms_contact_call_parse(
            BK_VIEW(
                "<s:Envelope xmlns:s='urn:s' xmlns:m='urn:m'><s:Body><m:directorySearch>"
                "<m:filter m:href='#searchArray'/><m:maxResults>100</m:maxResults>"
                "</m:directorySearch><m:Array id='searchArray'><m:row m:attrib='givenName' "
                "m:value='Bob'/><m:row attrib='mail' value=''/></m:Array></s:Body></s:Envelope>"),
            &arena, &call, &why),
        0);
    assert_int_equal(call.method, BK_MS_DIRECTORY_SEARCH);
    assert_int_equal(call.max_results, 100);
    assert_int_equal(call.n_conditions, 1);
    assert_true(bk_view_equal(call.conditions[0].value, BK_VIEW("Bob")));
    assert_int_equal(bk_ms_contact_call_parse(
                         BK_VIEW("<E:Envelope xmlns:E='e'><E:Body><m:setACE xmlns:m='m'>"
                                 "<m:type>USER</m:type><m:mask>Bob@Example.org</m:mask>"
                                 "<m:rights>BD</m:rights></m:setACE></E:Body></E:Envelope>"),
                         &arena, &call, &why),
                     0);
    assert_true(call.blocks);
    assert_true(bk_view_equal(call.address, BK_VIEW("bob@example.org")));
    bk_arena_finish(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_list_as_the_stock_client_fills_it),
        cmocka_unit_test(a_group_that_goes_lets_its_members_go_first),
        cmocka_unit_test(a_repeat_changes_nothing_and_still_succeeds),
        cmocka_unit_test(a_number_behind_is_taken_and_one_ahead_is_not),
        cmocka_unit_test(there_is_an_end_to_groups_and_contacts),
        cmocka_unit_test(what_is_no_call_is_refused_by_name),
        cmocka_unit_test(a_search_has_its_conditions_beside_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
