/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever somebody writes is shown as written, and only what looks like a link is one. */
#include "desktop/talk_markup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <glib.h>
#include <string.h>

struct shown {
    GString *text, *links;
};

static void on_start(GMarkupParseContext *context, const char *name, const char **names,
                     const char **values, gpointer data, GError **error)
{
    (void)context, (void)error;
    if (strcmp(name, "a") != 0)
        return;
    assert_string_equal(names[0], "href");
    assert_null(names[1]);
    g_string_append_printf(((struct shown *)data)->links, "%s ", values[0]);
}

static void on_text(GMarkupParseContext *context, const char *text, gsize len, gpointer data,
                    GError **error)
{
    (void)context, (void)error;
    g_string_append_len(((struct shown *)data)->text, text, (gssize)len);
}

/* As Pango reads it: one root around, then what is shown and what is linked to. */
static struct shown read_markup(const char *markup)
{
    static const GMarkupParser parser = { .start_element = on_start, .text = on_text };
    struct shown shown = { g_string_new(NULL), g_string_new(NULL) };
    g_autofree char *whole = g_strdup_printf("<markup>%s</markup>", markup);
    g_autoptr(GError) error = NULL;
    GMarkupParseContext *context = g_markup_parse_context_new(&parser, 0, &shown, NULL);
    if (!g_markup_parse_context_parse(context, whole, -1, &error) ||
        !g_markup_parse_context_end_parse(context, &error))
        fail_msg("%s: %s", markup, error->message);
    g_markup_parse_context_free(context);
    return shown;
}

static void check(const char *text, const char *links)
{
    g_autofree char *markup = bk_talk_markup(text);
    struct shown shown = read_markup(markup);
    assert_string_equal(shown.text->str, text);
    assert_string_equal(shown.links->str, links);
    g_string_free(shown.text, TRUE);
    g_string_free(shown.links, TRUE);
}

static void links_are_found_and_end_where_the_sentence_goes_on(void **state)
{
    (void)state;
    check("see https://a.example/x?y=1&z=2#f.", "https://a.example/x?y=1&z=2#f ");
    check("(see http://a.example/x), ok", "http://a.example/x ");
    check("http://a.example/x_(y)", "http://a.example/x_(y) ");
    check("WWW.a.example, then sip:bob@a.example!", "https://WWW.a.example sip:bob@a.example ");
    check("mailto:bob@a.example?subject=x", "mailto:bob@a.example?subject=x ");
    check("\"https://a.example\" <https://b.example>", "https://a.example https://b.example ");
    check("https://\303\274ber.example/\303\244", "https://\303\274ber.example/\303\244 ");
    check("two https://a.example https://b.example", "https://a.example https://b.example ");
    check("a\nhttps://a.example\nb", "https://a.example ");
}

static void other_things_are_no_links(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "javascript:alert(1)",
        "file:///etc/passwd",
        "ftp://a.example",
        "data:text/html,x",
        "xhttps://a.example",
        "https://",
        "http://.",
        "sip:nobody",
        "mailto:",
        "www.",
        "x",
        "smb://a.example/x",
        "bob@www.example",
        "a.www.example",
        "",
        "tel:1",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        check(texts[i], "");
}

static void check_address(const char *uri, const char *address)
{
    g_autofree char *got = bk_talk_link_address(uri);
    assert_string_equal(got ? got : "", address);
}

static void a_link_leads_to_the_person_whatever_stands_behind_the_address(void **state)
{
    (void)state;
    check("ask sip:bob@a.example;transport=tls, please", "sip:bob@a.example;transport=tls ");
    check_address("sip:bob@a.example;transport=tls", "bob@a.example");
    check_address("SIPS:bob@a.example:5061;x=y?subject=z", "bob@a.example");
    check_address("sip:bob@a.example?x=a@b", "bob@a.example");
    check_address("sip:bob@a.example", "bob@a.example");
    check_address("sip:a.example;x=bob@a.example", "");
    check_address("sip:@a.example", "");
    check_address("sip:bob@;x", "");
    check_address("sip:", "");
    check_address("https://bob@a.example", "");
}

static void no_markup_of_theirs_is_alive(void **state)
{
    (void)state;
    check("<b>bold</b> & <a href=\"https://evil.example\">good</a>", "https://evil.example ");
    check("https://a.example/'><b>x</b>", "https://a.example/ ");
    check("https://a.example/?a=&lt;&quot;&gt;", "https://a.example/?a=&lt;&quot;&gt ");
    check("</markup>", "");
    check("https://good.example\342\200\256moc.live", "https://good.example ");
    for (int c = 1; c < 128; c++) {
        char text[] = { 'a', (char)c, 'b', (char)c, 0 };
        g_autofree char *markup = bk_talk_markup(text);
        struct shown shown = read_markup(markup);
        /* XML makes one line end of what was a carriage return. */
        if (c != '\r')
            assert_string_equal(shown.text->str, text);
        g_string_free(shown.text, TRUE);
        g_string_free(shown.links, TRUE);
    }
    g_autofree char *broken = bk_talk_markup("\xff\xfehttps://a.example\xc3");
    assert_true(g_utf8_validate(broken, -1, NULL));
}

static void what_was_found_is_bold(void **state)
{
    (void)state;
    g_autofree char *one = bk_talk_found_markup("Meeting <at>\nten", "TEN meet");
    assert_string_equal(one, "<b>Meet</b>ing &lt;at&gt; <b>ten</b>");
    g_autofree char *umlaut = bk_talk_found_markup("die \303\234bung", "\303\274b");
    assert_string_equal(umlaut, "die <b>\303\234b</b>ung");
    g_autofree char *sharp = bk_talk_found_markup("Stra\303\237e", "strasse");
    assert_string_equal(sharp, "<b>Stra\303\237e</b>");
    g_autofree char *none = bk_talk_found_markup("abc", "");
    assert_string_equal(none, "abc");
    g_autofree char *filler = g_strnfill(500, 'x');
    g_autofree char *text = g_strdup_printf("%s here %s", filler, filler);
    g_autofree char *cut = bk_talk_found_markup(text, "here");
    assert_non_null(strstr(cut, "<b>here</b>"));
    assert_true(strlen(cut) < 200);
    assert_true(g_str_has_prefix(cut, "\342\200\246") && g_str_has_suffix(cut, "\342\200\246"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links_are_found_and_end_where_the_sentence_goes_on),
        cmocka_unit_test(other_things_are_no_links),
        cmocka_unit_test(a_link_leads_to_the_person_whatever_stands_behind_the_address),
        cmocka_unit_test(no_markup_of_theirs_is_alive),
        cmocka_unit_test(what_was_found_is_bold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
