/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/text.h"
#include "pidf/pidf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

/* What baresip 1.0 publishes and what linphone 5.1 publishes, shortened to what counts. */
static const char baresip_open[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n"
                                   "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"\r\n"
                                   "    xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\"\r\n"
                                   "    xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\"\r\n"
                                   "    entity=\"sip:bob@example.org\">\r\n"
                                   "  <dm:person id=\"p4159\"><rpid:activities/></dm:person>\r\n"
                                   "  <tuple id=\"t4109\">\r\n"
                                   "    <status>\r\n      <basic>open</basic>\r\n    </status>\r\n"
                                   "    <contact>sip:bob@example.org</contact>\r\n"
                                   "  </tuple>\r\n</presence>\r\n";

static const char linphone_away[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\" ?>"
    "<p1:presence xmlns:p1=\"urn:ietf:params:xml:ns:pidf\""
    " xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\""
    " xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"sip:bob@example.org\">"
    "<p1:tuple id=\"jhs9wi\"><p1:status><p1:basic>open</p1:basic></p1:status>"
    "<p1:contact priority=\"0.8\">sip:bob@example.org</p1:contact>"
    "<p1:timestamp>2026-11-22T05:26:04Z</p1:timestamp></p1:tuple>"
    "<dm:person id=\"ubj1c9\"><rpid:activities><rpid:away/></rpid:activities></dm:person>"
    "</p1:presence>";

static int parse_text(struct bk_arena *arena, const char *text, size_t len, struct bk_pidf *ret,
                      const char **ret_why)
{
    /* The copy ends with its heap block, so one byte too far is seen. */
    char *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    int r = bk_pidf_parse((struct bk_view){ copy, len }, arena, ret, ret_why);
    free(copy);
    return r;
}

static void expect_text(struct bk_view v, const char *text)
{
    assert_true(bk_view_equal(v, bk_view_of_str(text)));
}

static void a_plain_client_is_understood(void **state)
{
    (void)state;
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_pidf doc;
    const char *why = NULL;
    assert_int_equal(parse_text(&arena, baresip_open, sizeof baresip_open - 1, &doc, &why), 0);
    expect_text(doc.entity, "sip:bob@example.org");
    assert_int_equal(doc.n_tuples, 1);
    expect_text(doc.tuples[0].id, "t4109");
    expect_text(doc.tuples[0].contact, "sip:bob@example.org");
    assert_int_equal(bk_pidf_read_shown(&doc), BK_PIDF_SHOWN_AVAILABLE);

    assert_int_equal(parse_text(&arena, linphone_away, sizeof linphone_away - 1, &doc, &why), 0);
    assert_int_equal(bk_pidf_read_shown(&doc), BK_PIDF_SHOWN_AWAY);
    int64_t at;
    assert_int_equal(bk_time_iso_parse(BK_VIEW("2026-11-22T05:26:04Z"), &at), 0);
    assert_int_equal(doc.tuples[0].timestamp_ms, at);
}

static void a_document_cut_anywhere_is_refused_and_named(void **state)
{
    (void)state;
    size_t end = strlen(linphone_away);
    for (size_t n = 0; n < end; n++) {
        BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
        struct bk_pidf doc = { .n_tuples = 77 };
        const char *why = NULL;
        assert_int_equal(parse_text(&arena, linphone_away, n, &doc, &why), -EBADMSG);
        assert_non_null(why);
        assert_int_equal(doc.n_tuples, 77);
    }
}

static void what_is_written_reads_back_the_same(void **state)
{
    (void)state;
    static const struct bk_pidf doc = {
        .entity = { BK_VIEW_OF("sip:ann&\"<@example.org") },
        .n_tuples = 2,
        .tuples = { { .id = { BK_VIEW_OF("one") },
                      .basic = BK_PIDF_CLOSED,
                      .contact = { BK_VIEW_OF("sip:ann@10.0.0.1;transport=tls") },
                      .timestamp_ms = 1795324764123 },
                    { .id = { BK_VIEW_OF("two") },
                      .basic = BK_PIDF_OPEN,
                      .note = { BK_VIEW_OF("tuple note") } } },
        .activities = BK_PIDF_BUSY | BK_PIDF_OTHER | BK_PIDF_MEETING,
        .other = { BK_VIEW_OF("dnd") },
        .idle = true,
        .idle_since_ms = 1795324000000,
        .note = { BK_VIEW_OF("a <b> & \"c\"\r\n\td \xc3\xa9 \xf0\x9f\x98\x80") },
        .manual = BK_PIDF_MANUAL_BRB,
        .machine = BK_PIDF_MACHINE_INACTIVE,
        .shown = BK_PIDF_SHOWN_IN_CONFERENCE,
        .since_ms = 1795324764000,
    };
    BK_AUTO_BUF struct bk_buf text = { 0 };
    bk_pidf_write(&text, &doc);
    assert_false(text.failed);

    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_pidf got;
    const char *why = NULL;
    assert_int_equal(parse_text(&arena, text.at, text.len, &got, &why), 0);
    assert_true(bk_view_equal(got.entity, doc.entity));
    assert_int_equal(got.n_tuples, 2);
    for (int i = 0; i < 2; i++) {
        assert_true(bk_view_equal(got.tuples[i].id, doc.tuples[i].id));
        assert_true(bk_view_equal(got.tuples[i].contact, doc.tuples[i].contact));
        assert_true(bk_view_equal(got.tuples[i].note, doc.tuples[i].note));
        assert_int_equal(got.tuples[i].basic, doc.tuples[i].basic);
        assert_int_equal(got.tuples[i].timestamp_ms, doc.tuples[i].timestamp_ms);
    }
    assert_int_equal(got.basic, BK_PIDF_OPEN);
    assert_int_equal(got.activities, doc.activities);
    assert_true(bk_view_equal(got.other, doc.other));
    assert_true(got.idle);
    assert_int_equal(got.idle_since_ms, doc.idle_since_ms);
    assert_true(bk_view_equal(got.note, doc.note));
    assert_int_equal(got.manual, doc.manual);
    assert_int_equal(got.machine, doc.machine);
    assert_int_equal(got.shown, doc.shown);
    assert_int_equal(got.since_ms, doc.since_ms);
}

static void any_bytes_in_a_note_still_make_a_document(void **state)
{
    (void)state;
    char all[512];
    for (int i = 0; i < 256; i++) {
        all[2 * i] = (char)i;
        all[2 * i + 1] = 'x';
    }
    struct bk_pidf doc = { .note = { all, sizeof all } };
    BK_AUTO_BUF struct bk_buf text = { 0 };
    bk_pidf_write(&text, &doc);
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_pidf got;
    const char *why = NULL;
    assert_int_equal(parse_text(&arena, text.at, text.len, &got, &why), 0);
    assert_true(bk_utf8_valid(got.note));
    assert_true(bk_view_starts_with(got.note, BK_VIEW("\xef\xbf\xbdx")));
}

static void an_empty_note_is_told_from_none(void **state)
{
    (void)state;
    for (int empty = 0; empty < 2; empty++) {
        struct bk_pidf doc = { .note = empty ? BK_VIEW("") : (struct bk_view){ 0 } };
        BK_AUTO_BUF struct bk_buf text = { 0 };
        bk_pidf_write(&text, &doc);
        BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
        struct bk_pidf got;
        const char *why = NULL;
        assert_int_equal(parse_text(&arena, text.at, text.len, &got, &why), 0);
        assert_int_equal(got.note.len, 0);
        assert_int_equal(got.note.at != NULL, empty);
    }
}

static void a_state_rendered_for_plain_clients_reads_back_as_near_as_pidf_can_say(void **state)
{
    (void)state;
    static const enum bk_pidf_shown plain[BK_PIDF_SHOWN_COUNT] = {
        [BK_PIDF_SHOWN_UNKNOWN] = BK_PIDF_SHOWN_UNKNOWN,
        [BK_PIDF_SHOWN_OFFLINE] = BK_PIDF_SHOWN_OFFLINE,
        [BK_PIDF_SHOWN_AVAILABLE] = BK_PIDF_SHOWN_AVAILABLE,
        [BK_PIDF_SHOWN_AVAILABLE_INACTIVE] = BK_PIDF_SHOWN_AVAILABLE_INACTIVE,
        [BK_PIDF_SHOWN_BUSY] = BK_PIDF_SHOWN_BUSY,
        [BK_PIDF_SHOWN_BUSY_INACTIVE] = BK_PIDF_SHOWN_BUSY_INACTIVE,
        [BK_PIDF_SHOWN_IN_CALL] = BK_PIDF_SHOWN_IN_CALL,
        [BK_PIDF_SHOWN_IN_CONFERENCE] = BK_PIDF_SHOWN_IN_CALL,
        [BK_PIDF_SHOWN_IN_MEETING] = BK_PIDF_SHOWN_IN_MEETING,
        [BK_PIDF_SHOWN_DND] = BK_PIDF_SHOWN_DND,
        [BK_PIDF_SHOWN_PRESENTING] = BK_PIDF_SHOWN_PRESENTING,
        [BK_PIDF_SHOWN_BRB] = BK_PIDF_SHOWN_AWAY,
        [BK_PIDF_SHOWN_AWAY] = BK_PIDF_SHOWN_AWAY,
        [BK_PIDF_SHOWN_OFFWORK] = BK_PIDF_SHOWN_OFFWORK,
    };
    for (unsigned i = BK_PIDF_SHOWN_UNKNOWN; i < BK_PIDF_SHOWN_COUNT; i++) {
        struct bk_pidf doc = { .entity = BK_VIEW("sip:ann@example.org"), .since_ms = 1000 };
        bk_pidf_render_shown(&doc, (enum bk_pidf_shown)i);
        for (int exact = 0; exact < 2; exact++) {
            doc.shown = exact ? (enum bk_pidf_shown)i : BK_PIDF_SHOWN_MISSING;
            BK_AUTO_BUF struct bk_buf text = { 0 };
            bk_pidf_write(&text, &doc);
            BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
            struct bk_pidf got;
            const char *why = NULL;
            assert_int_equal(parse_text(&arena, text.at, text.len, &got, &why), 0);
            assert_int_equal(bk_pidf_read_shown(&got), exact ? i : (unsigned)plain[i]);
        }
    }
}

/* Taken from linphonec 5.1 and baresip 1.0 at work: tests/interop/README.md. */
static void stock_clients_find_an_activity_they_know(void **state)
{
    (void)state;
    static const struct {
        enum bk_pidf_shown shown;
        const char *activities;
    } rows[] = {
        { BK_PIDF_SHOWN_BUSY, "<rpid:activities><rpid:busy/></rpid:activities>" },
        { BK_PIDF_SHOWN_IN_CALL, "<rpid:activities><rpid:on-the-phone/></rpid:activities>" },
        { BK_PIDF_SHOWN_IN_MEETING,
          "<rpid:activities><rpid:busy/><rpid:meeting/></rpid:activities>" },
        { BK_PIDF_SHOWN_DND,
          "<rpid:activities><rpid:other>dnd</rpid:other><rpid:busy/></rpid:activities>" },
        { BK_PIDF_SHOWN_PRESENTING, "<rpid:activities><rpid:other>dnd</rpid:other><rpid:busy/>"
                                    "<rpid:presentation/></rpid:activities>" },
        { BK_PIDF_SHOWN_OFFWORK,
          "<rpid:activities><rpid:permanent-absence/><rpid:away/></rpid:activities>" },
    };
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        struct bk_pidf doc = { .entity = BK_VIEW("sip:ann@example.org") };
        bk_pidf_render_shown(&doc, rows[i].shown);
        BK_AUTO_BUF struct bk_buf text = { 0 };
        bk_pidf_write(&text, &doc);
        struct bk_view all = bk_buf_view(&text);
        struct bk_view want = bk_view_of_str(rows[i].activities);
        size_t at = 0;
        while (at < all.len && !bk_view_starts_with(bk_view_skip(all, at), want))
            at++;
        assert_true(at < all.len);
    }
}

static void words_and_states_are_one_to_one(void **state)
{
    (void)state;
    for (unsigned i = 1; i < BK_PIDF_SHOWN_COUNT; i++)
        assert_int_equal(bk_pidf_shown_of(bk_view_of_str(bk_pidf_shown_name(i))), i);
    for (unsigned i = 1; i < BK_PIDF_MANUAL_COUNT; i++)
        assert_int_equal(bk_pidf_manual_of(bk_view_of_str(bk_pidf_manual_name(i))), i);
    for (unsigned i = 1; i < BK_PIDF_MACHINE_COUNT; i++)
        assert_int_equal(bk_pidf_machine_of(bk_view_of_str(bk_pidf_machine_name(i))), i);
    assert_int_equal(bk_pidf_shown_of(BK_VIEW("")), BK_PIDF_SHOWN_MISSING);
    assert_int_equal(bk_pidf_shown_of(BK_VIEW("Busy")), BK_PIDF_SHOWN_MISSING);
}

static void expect_refused(const char *text, size_t len, const char *why)
{
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_pidf doc;
    const char *got = NULL;
    assert_int_equal(parse_text(&arena, text, len, &doc, &got), -EBADMSG);
    assert_string_equal(got, why);
}

#define HEAD "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:a@b.example\">"

static void no_document_type_is_taken(void **state)
{
    (void)state;
    static const char text[] = "<!DOCTYPE presence [<!ENTITY a \"b\">]>" HEAD "</presence>";
    expect_refused(text, sizeof text - 1, "a document type is not allowed");
}

static void the_limits_are_the_limits(void **state)
{
    (void)state;
    for (int over = 0; over < 2; over++) {
        BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
        BK_AUTO_BUF struct bk_buf text = { 0 };
        struct bk_pidf doc;
        const char *why;

        bk_buf_add_str(&text, HEAD);
        for (int i = 1; i < BK_PIDF_DEPTH_MAX + over; i++)
            bk_buf_add_str(&text, "<x>");
        for (int i = 1; i < BK_PIDF_DEPTH_MAX + over; i++)
            bk_buf_add_str(&text, "</x>");
        bk_buf_add_str(&text, "</presence>");
        if (over)
            expect_refused(text.at, text.len, "elements are nested too deep");
        else
            assert_int_equal(parse_text(&arena, text.at, text.len, &doc, &why), 0);

        bk_buf_clear(&text);
        bk_buf_add_str(&text, HEAD "<x");
        for (int i = 0; i < BK_PIDF_ATTRIBUTES_MAX + over; i++)
            bk_buf_addf(&text, " a%d=''", i);
        bk_buf_add_str(&text, "/></presence>");
        if (over)
            expect_refused(text.at, text.len, "an element has too many attributes");
        else
            assert_int_equal(parse_text(&arena, text.at, text.len, &doc, &why), 0);

        bk_buf_clear(&text);
        bk_buf_add_str(&text, HEAD "<note>");
        for (int i = 0; i < BK_PIDF_TEXT_MAX + over; i++)
            bk_buf_add_char(&text, 'n');
        bk_buf_add_str(&text, "</note></presence>");
        if (over)
            expect_refused(text.at, text.len, "a text is too long");
        else
            assert_int_equal(parse_text(&arena, text.at, text.len, &doc, &why), 0);

        bk_buf_clear(&text);
        bk_buf_add_str(&text, HEAD "</presence>");
        while (text.len < BK_PIDF_BYTES_MAX + (size_t)over)
            bk_buf_add_char(&text, ' ');
        if (over)
            expect_refused(text.at, text.len, "the document is too large");
        else
            assert_int_equal(parse_text(&arena, text.at, text.len, &doc, &why), 0);
    }
}

static void more_tuples_than_kept_still_count(void **state)
{
    (void)state;
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    BK_AUTO_BUF struct bk_buf text = { 0 };
    bk_buf_add_str(&text, HEAD);
    for (int i = 0; i < BK_PIDF_TUPLES_MAX; i++)
        bk_buf_addf(&text, "<tuple id='t%d'><status><basic>closed</basic></status></tuple>", i);
    bk_buf_add_str(&text, "<tuple id='l'><status><basic>open</basic></status></tuple></presence>");
    struct bk_pidf doc;
    const char *why;
    assert_int_equal(parse_text(&arena, text.at, text.len, &doc, &why), 0);
    assert_int_equal(doc.n_tuples, BK_PIDF_TUPLES_MAX);
    assert_int_equal(doc.basic, BK_PIDF_OPEN);
}

static void unknown_elements_hide_nothing_and_add_nothing(void **state)
{
    (void)state;
    static const char text[] =
        HEAD "<x:tuple xmlns:x='urn:other'><status><basic>open</basic></status></x:tuple>"
             "<tuple id='a'><x:y xmlns:x='urn:other'><basic>open</basic></x:y>"
             "<status><basic>closed</basic></status></tuple></presence>";
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_pidf doc;
    const char *why;
    assert_int_equal(parse_text(&arena, text, sizeof text - 1, &doc, &why), 0);
    assert_int_equal(doc.n_tuples, 1);
    assert_int_equal(bk_pidf_read_shown(&doc), BK_PIDF_SHOWN_OFFLINE);
}

static void xml_that_is_no_presence_is_refused(void **state)
{
    (void)state;
    expect_refused("<html/>", 7, "no presence element of PIDF");
    expect_refused("", 0, "the document is empty");
    expect_refused("hello", 5, "not well-formed XML");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_client_is_understood),
        cmocka_unit_test(a_document_cut_anywhere_is_refused_and_named),
        cmocka_unit_test(what_is_written_reads_back_the_same),
        cmocka_unit_test(any_bytes_in_a_note_still_make_a_document),
        cmocka_unit_test(an_empty_note_is_told_from_none),
        cmocka_unit_test(a_state_rendered_for_plain_clients_reads_back_as_near_as_pidf_can_say),
        cmocka_unit_test(stock_clients_find_an_activity_they_know),
        cmocka_unit_test(words_and_states_are_one_to_one),
        cmocka_unit_test(no_document_type_is_taken),
        cmocka_unit_test(the_limits_are_the_limits),
        cmocka_unit_test(more_tuples_than_kept_still_count),
        cmocka_unit_test(unknown_elements_hide_nothing_and_add_nothing),
        cmocka_unit_test(xml_that_is_no_presence_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
