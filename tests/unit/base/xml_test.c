/* SPDX-License-Identifier: Apache-2.0 */
#include "base/xml.h"

#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
/* cmocka wants the three above first */
#include <cmocka.h>

static void expect(struct bk_view text, const char *escaped)
{
    struct bk_buf to = { 0 };
    bk_xml_escape(&to, text);
    assert_string_equal(bk_buf_cstr(&to), escaped);
    bk_buf_finish(&to);
}

static void markup_is_text_and_blanks_stay_what_they_are(void **state)
{
    (void)state;
    expect(BK_VIEW("plain, as most is"), "plain, as most is");
    expect(BK_VIEW("<a b=\"c\">&amp;</a>"), "&lt;a b=&quot;c&quot;&gt;&amp;amp;&lt;/a&gt;");
    expect(BK_VIEW("a\tb\r\nc"), "a&#9;b&#13;&#10;c");
    expect(BK_VIEW("gr\xc3\xbc\xc3\x9f"
                   "e \xf0\x9f\x98\x80 \x7f"),
           "gr\xc3\xbc\xc3\x9f"
           "e \xf0\x9f\x98\x80 \x7f");
}

static void what_xml_cannot_hold_is_replaced(void **state)
{
    (void)state;
    expect((struct bk_view){ "a\0b", 3 }, "a\xef\xbf\xbd"
                                          "b");
    expect(BK_VIEW("\x01\x1f"), "\xef\xbf\xbd\xef\xbf\xbd");
    expect(BK_VIEW("\xef\xbf\xbe|\xef\xbf\xbf"), "\xef\xbf\xbd|\xef\xbf\xbd");
    expect(BK_VIEW("\xc3|\xff|\xed\xa0\x80"),
           "\xef\xbf\xbd|\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

/* Any three bytes: well-formed UTF-8 comes out, without a byte that would be markup. */
static void whatever_goes_in_nothing_comes_out_that_is_markup(void **state)
{
    (void)state;
    static const unsigned char some[] = { 0,    9,    '\n', '"',  '&',  '<',  '>',  'a', 0x7f,
                                          0x80, 0xbf, 0xc2, 0xe0, 0xef, 0xf0, 0xf4, 0xff };
    enum { N = sizeof some };
    for (int i = 0; i < N * N * N; i++) {
        char text[3] = { (char)some[i % N], (char)some[i / N % N], (char)some[i / N / N] };
        struct bk_buf to = { 0 };
        bk_xml_escape(&to, (struct bk_view){ text, sizeof text });
        assert_true(bk_utf8_valid(bk_buf_view(&to)));
        for (size_t k = 0; k < to.len; k++) {
            assert_true(to.at[k] != '<' && to.at[k] != '>' && to.at[k] != '"');
            assert_true((unsigned char)to.at[k] >= ' ');
        }
        bk_buf_finish(&to);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(markup_is_text_and_blanks_stay_what_they_are),
        cmocka_unit_test(what_xml_cannot_hold_is_replaced),
        cmocka_unit_test(whatever_goes_in_nothing_comes_out_that_is_markup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
