/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "ms/xml.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* after those it needs */
#include <cmocka.h>

/* Every byte that is read too far ends with the heap block. */
static int parse(const char *text, struct bk_arena *arena, struct bk_ms_xml **ret,
                 const char **ret_why)
{
    size_t len = strlen(text);
    char *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    int r = bk_ms_xml_parse((struct bk_view){ copy, len }, arena, ret, ret_why);
    free(copy);
    return r;
}

static void assert_text(struct bk_view v, const char *expected)
{
    assert_int_equal(v.len, strlen(expected));
    assert_memory_equal(v.at, expected, v.len);
}

static void names_are_local_and_prefixes_do_not_count(void **state)
{
    struct bk_arena arena = { 0 };
    struct bk_ms_xml *root;
    const char *why;
    (void)state;
    assert_int_equal(parse("<s:a xmlns:s='urn:s' s:b='1' c='2'> <s:d>x&amp;y</s:d><e/> </s:a>",
                           &arena, &root, &why),
                     0);
    assert_true(bk_ms_xml_is(root, "a"));
    assert_text(root->ns, "urn:s");
    assert_text(bk_ms_xml_attribute(root, "b"), "1");
    assert_text(bk_ms_xml_attribute(root, "c"), "2");
    assert_null(bk_ms_xml_attribute(root, "d").at);
    assert_text(bk_ms_xml_child_text(root, "d"), "x&y");
    assert_true(bk_ms_xml_is(bk_ms_xml_next(bk_ms_xml_child(root, "d"), NULL), "e"));
    assert_null(bk_ms_xml_child(NULL, "d"));
    bk_arena_finish(&arena);
}

static void what_is_written_reads_as_the_same_tree(void **state)
{
    static const char *const docs[] = {
        "<a/>",
        "<a> </a>",
        "<a xmlns='urn:1'><b xmlns=''>t<c xmlns='urn:1'/>u</b></a>",
        "<x:a xmlns:x='urn:1' xmlns:i='http://www.w3.org/2001/XMLSchema-instance' i:type='t' "
        "i:nil='false' x:q='&lt;&quot;&#10;'><x:b/></x:a>",
        "<a xml:lang='de' xmlns:y='urn:y' y:a='1' y:b='2'>&#9;x</a>",
        "<xml:a xmlns='urn:d'><b/></xml:a>",
    };
    (void)state;
    for (size_t i = 0; i < BK_COUNT_OF(docs); i++) {
        struct bk_arena arena = { 0 };
        struct bk_buf first = { 0 }, second = { 0 };
        struct bk_ms_xml *root;
        const char *why;
        assert_int_equal(parse(docs[i], &arena, &root, &why), 0);
        bk_ms_xml_write(&first, root, (struct bk_view){ 0 });
        assert_int_equal(bk_ms_xml_parse(bk_buf_view(&first), &arena, &root, &why), 0);
        bk_ms_xml_write(&second, root, (struct bk_view){ 0 });
        assert_true(bk_view_equal(bk_buf_view(&first), bk_buf_view(&second)));
        bk_buf_finish(&first);
        bk_buf_finish(&second);
        bk_arena_finish(&arena);
    }
}

static void a_namespace_declared_outside_goes_along(void **state)
{
    struct bk_arena arena = { 0 };
    struct bk_buf out = { 0 };
    struct bk_ms_xml *root;
    const char *why;
    (void)state;
    assert_int_equal(parse("<p xmlns='urn:p' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'>"
                           "<state xmlns='urn:s' xsi:type='userState'><n>1</n></state></p>",
                           &arena, &root, &why),
                     0);
    bk_ms_xml_write(&out, bk_ms_xml_child(root, "state"), (struct bk_view){ 0 });
    assert_text(bk_buf_view(&out),
                "<state xmlns=\"urn:s\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
                "xsi:type=\"userState\"><n>1</n></state>");
    bk_buf_finish(&out);
    bk_arena_finish(&arena);
}

static void deep_wide_and_clever_documents_are_refused(void **state)
{
    struct bk_arena arena = { 0 };
    struct bk_ms_xml *root = NULL;
    struct bk_buf doc = { 0 };
    const char *why;
    (void)state;
    for (int i = 0; i < BK_MS_XML_DEPTH_MAX + 1; i++)
        bk_buf_add_lit(&doc, "<a>");
    for (int i = 0; i < BK_MS_XML_DEPTH_MAX + 1; i++)
        bk_buf_add_lit(&doc, "</a>");
    assert_int_equal(bk_ms_xml_parse(bk_buf_view(&doc), &arena, &root, &why), -EBADMSG);
    assert_string_equal(why, "elements are nested too deep");
    bk_buf_clear(&doc);
    bk_buf_add_lit(&doc, "<a>");
    for (int i = 0; i < BK_MS_XML_NODES_MAX; i++)
        bk_buf_add_lit(&doc, "<b/>");
    bk_buf_add_lit(&doc, "</a>");
    assert_int_equal(bk_ms_xml_parse(bk_buf_view(&doc), &arena, &root, &why), -EBADMSG);
    assert_string_equal(why, "too many elements");
    bk_buf_clear(&doc);
    bk_buf_add_lit(&doc, "<a");
    for (int i = 0; i <= BK_MS_XML_ATTRIBUTES_MAX; i++)
        bk_buf_addf(&doc, " a%d=''", i);
    bk_buf_add_lit(&doc, "/>");
    assert_int_equal(bk_ms_xml_parse(bk_buf_view(&doc), &arena, &root, &why), -EBADMSG);
    bk_buf_clear(&doc);
    bk_buf_add_lit(&doc, "<a>");
    while (doc.len <= BK_MS_XML_BYTES_MAX)
        bk_buf_add_lit(&doc, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    assert_int_equal(bk_ms_xml_parse(bk_buf_view(&doc), &arena, &root, &why), -EBADMSG);
    assert_int_equal(parse("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", &arena, &root, &why),
                     -EBADMSG);
    assert_string_equal(why, "a document type is not allowed");
    assert_int_equal(parse("", &arena, &root, &why), -EBADMSG);
    assert_int_equal(parse("<a><b></a>", &arena, &root, &why), -EBADMSG);
    assert_null(root);
    bk_buf_finish(&doc);
    bk_arena_finish(&arena);
}

static void any_text_from_a_person_stays_text(void **state)
{
    static const char odd[] = "</a>\"'&\0\x01\xff\xc3\xa9\xed\xa0\x80 \t\r\n";
    struct bk_arena arena = { 0 };
    struct bk_buf doc = { 0 };
    struct bk_ms_xml *root;
    const char *why;
    (void)state;
    bk_buf_add_lit(&doc, "<a");
    bk_ms_xml_add_attribute(&doc, "b", (struct bk_view){ odd, sizeof odd - 1 });
    bk_buf_add_char(&doc, '>');
    bk_ms_xml_add_element(&doc, "c", (struct bk_view){ odd, sizeof odd - 1 });
    bk_buf_add_lit(&doc, "</a>");
    assert_int_equal(bk_ms_xml_parse(bk_buf_view(&doc), &arena, &root, &why), 0);
    struct bk_view text = bk_ms_xml_text(bk_ms_xml_child(root, "c"));
    assert_true(bk_view_equal(text, bk_ms_xml_attribute(root, "b")));
    assert_true(
        bk_view_starts_with(text, BK_VIEW("</a>\"'&\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9")));
    assert_true(bk_view_ends_with(text, BK_VIEW(" \t\r\n")));
    bk_buf_finish(&doc);
    bk_arena_finish(&arena);
}

static void a_soap_method_is_found_and_a_fault_says_the_number(void **state)
{
    struct bk_arena arena = { 0 };
    struct bk_buf doc = { 0 };
    const struct bk_ms_xml *method;
    const char *why;
    (void)state;
    bk_ms_soap_begin(&doc, BK_VIEW("addGroup"));
    bk_buf_add_lit(&doc, "<m:groupID>2</m:groupID>");
    bk_ms_soap_end(&doc, BK_VIEW("addGroup"));
    assert_int_equal(bk_ms_soap_parse(bk_buf_view(&doc), &arena, &method, NULL, &why), 0);
    assert_true(bk_ms_xml_is(method, "addGroup"));
    assert_text(bk_ms_xml_child_text(method, "groupID"), "2");
    bk_buf_clear(&doc);
    bk_ms_soap_fault(&doc, "Client.BadCall.WrongDelta", "<no>", 7);
    assert_int_equal(bk_ms_soap_parse(bk_buf_view(&doc), &arena, &method, NULL, &why), 0);
    assert_text(bk_ms_xml_child_text(method, "faultcode"), "SOAP-ENV:Client.BadCall.WrongDelta");
    assert_text(bk_ms_xml_child_text(bk_ms_xml_child(method, "detail"), "deltaNum"), "7");
    assert_int_equal(
        bk_ms_soap_parse(BK_VIEW("<Envelope><Body/></Envelope>"), &arena, &method, NULL, &why),
        -EBADMSG);
    bk_buf_finish(&doc);
    bk_arena_finish(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_local_and_prefixes_do_not_count),
        cmocka_unit_test(what_is_written_reads_as_the_same_tree),
        cmocka_unit_test(a_namespace_declared_outside_goes_along),
        cmocka_unit_test(deep_wide_and_clever_documents_are_refused),
        cmocka_unit_test(any_text_from_a_person_stays_text),
        cmocka_unit_test(a_soap_method_is_found_and_a_fault_says_the_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
