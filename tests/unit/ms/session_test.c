/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/session.h"

#include "ms_test.h"

#include <errno.h>

static void expect_text(const char *type, const char *body, const char *want)
{
    struct bk_buf got = { 0 };
    assert_int_equal(bk_ms_text(bk_view_of_str(type), bk_view_of_str(body), &got), 0);
    expect_view(bk_buf_view(&got), want);
    bk_buf_finish(&got);
}

static void an_offer_of_a_session_is_known_from_a_call(void **state)
{
    (void)state;
    assert_true(bk_ms_sdp_is_session(
        BK_VIEW("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                "m=message 5061 sip null\r\na=accept-types:text/plain\r\n")));
    assert_false(
        bk_ms_sdp_is_session(BK_VIEW("v=0\r\nm=audio 4000 RTP/AVP 0\r\nm=message 1 sip null\r\n")));
    assert_true(bk_ms_sdp_is_session(BK_VIEW("v=0\nm=x-ms-message 38085 sip null\n")));
    assert_false(bk_ms_sdp_is_session(BK_VIEW("v=0\r\nm=message 2855 TCP/MSRP *\r\n")));
    assert_false(bk_ms_sdp_is_session(BK_VIEW("m=message")));
    assert_false(bk_ms_sdp_is_session(BK_VIEW("")));
}

static void our_own_offer_is_one(void **state)
{
    (void)state;
    struct bk_buf sdp = { 0 };
    bk_ms_sdp_session(&sdp, BK_VIEW("::1"), BK_VIEW("bob@example.com"));
    assert_true(bk_ms_sdp_is_session(bk_buf_view(&sdp)));
    assert_true(bk_view_find_view(bk_buf_view(&sdp), BK_VIEW("c=IN IP6 ::1\r\n")) < sdp.len);
    assert_true(bk_view_find_view(bk_buf_view(&sdp),
                                  BK_VIEW("m=message 5060 sip sip:bob@example.com\r\n")) < sdp.len);
    bk_buf_finish(&sdp);
}

static void typing_is_read_in_either_way_and_written_so(void **state)
{
    (void)state;
    assert_int_equal(
        bk_ms_keyboard_parse(BK_VIEW("<?xml version=\"1.0\"?><KeyboardActivity> <status "
                                     "status=\"type\" /></KeyboardActivity>")),
        BK_MS_TYPING_ON);
    assert_int_equal(bk_ms_keyboard_parse(
                         BK_VIEW("<KeyboardActivity><status status = 'idle'/></KeyboardActivity>")),
                     BK_MS_TYPING_OFF);
    assert_int_equal(bk_ms_keyboard_parse(BK_VIEW("<action>type</action>")), BK_MS_TYPING_NO_WORD);
    assert_int_equal(bk_ms_keyboard_parse(BK_VIEW("KeyboardActivity<status status")),
                     BK_MS_TYPING_NO_WORD);
    assert_int_equal(bk_ms_composing_parse(
                         BK_VIEW("<ns:isComposing xmlns:ns='x'><ns:state> active </ns:state>")),
                     BK_MS_TYPING_ON);
    assert_int_equal(bk_ms_composing_parse(BK_VIEW("<isComposing><state>gone</state>")),
                     BK_MS_TYPING_NO_WORD);
    for (int on = 0; on < 2; on++) {
        struct bk_buf a = { 0 }, b = { 0 };
        bk_ms_keyboard_write(&a, on);
        bk_ms_composing_write(&b, on);
        enum bk_ms_typing want = on ? BK_MS_TYPING_ON : BK_MS_TYPING_OFF;
        assert_int_equal(bk_ms_keyboard_parse(bk_buf_view(&a)), want);
        assert_int_equal(bk_ms_composing_parse(bk_buf_view(&b)), want);
        bk_buf_finish(&a);
        bk_buf_finish(&b);
    }
}

static void plain_text_stays_and_is_utf8(void **state)
{
    (void)state;
    expect_text("text/plain; charset=UTF-8;msgr=WAAtAE0A", "grüß <b> &amp;", "grüß <b> &amp;");
    expect_text("text/plain", "na\xefve \x80\x97", "naïve €—");
}

static void html_loses_its_tags_and_nothing_else(void **state)
{
    (void)state;
    expect_text("text/html",
                "<HTML><head><title>x</title><style>p { a }</style></head><body>\r\n<FONT "
                "COLOR=\"#000000\">Hi  <b>Alice</b> &amp; &#228;&#x20AC;&nbsp;&lt;3</FONT><br>"
                "<p>two</p><p>three</p><!-- <p>no</p> --></body>",
                "Hi Alice & ä€ <3\ntwo\nthree");
    expect_text("text/html", "AT&T a<br/><br>b", "AT&T a\n\nb");
    expect_text("text/html", "<script>never ends", "");
    expect_text("text/html", "", "");
}

static void rtf_loses_its_formatting_and_nothing_else(void **state)
{
    (void)state;
    expect_text("text/rtf",
                "{\\rtf1\\ansi\\ansicpg1252{\\fonttbl{\\f0 Segoe UI;}}{\\colortbl;\\red0\\green0;}"
                "{\\*\\generator Riched20}\\uc1\\pard\\f0\\fs20 Gr\\'fc\\'df dich \\{ok\\}\\par\r\n"
                "\\u8364? and \\u-10179?\\u-8704?\\tab end\\par}",
                "Grüß dich {ok}\n€ and 😀\tend");
    expect_text("text/rtf", "{\\rtf1 \\uc2\\u228xxB}", "äB");
    expect_text("text/rtf", "}}}a{{{", "a");
}

static void of_several_parts_the_simplest_is_taken(void **state)
{
    (void)state;
    expect_text("multipart/alternative; boundary=\"b\"",
                "--b\r\nContent-Type: text/html\r\n\r\n<b>rich</b>\r\n--b\r\n"
                "Content-Type: text/plain\r\n\r\nplain\r\n--b--\r\n",
                "plain");
    expect_text("multipart/related; boundary=b",
                "--b\r\nContent-Type: text/html\r\n\r\n<b>rich</b>\r\n--b\r\n"
                "Content-Type: image/gif\r\n\r\nGIF\r\n--b--\r\n",
                "rich");
    struct bk_buf got = { 0 };
    assert_int_equal(bk_ms_text(BK_VIEW("image/gif"), BK_VIEW("GIF"), &got), -ENOTSUP);
    assert_int_equal(bk_ms_text(BK_VIEW("text/x-msmsgsinvite"), BK_VIEW("a: b"), &got), -ENOTSUP);
    assert_int_equal(bk_ms_text(BK_VIEW("multipart/mixed; boundary=b"), BK_VIEW("--b\r\n"), &got),
                     -EBADMSG);
    assert_int_equal(got.len, 0);
    bk_buf_finish(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_offer_of_a_session_is_known_from_a_call),
        cmocka_unit_test(our_own_offer_is_one),
        cmocka_unit_test(typing_is_read_in_either_way_and_written_so),
        cmocka_unit_test(plain_text_stays_and_is_utf8),
        cmocka_unit_test(html_loses_its_tags_and_nothing_else),
        cmocka_unit_test(rtf_loses_its_formatting_and_nothing_else),
        cmocka_unit_test(of_several_parts_the_simplest_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
