/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/mime.h"

#include "tests/unit/sip/sip_test.h"

#define PART(type, body) "--b\r\nContent-Type: " type "\r\n\r\n" body "\r\n"

static void what_was_written_is_read_again(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    bk_mime_add(&buf, V("b"), V("text/plain"), V("Content-ID: <1@x>\r\n"), V("one\r\n--c"));
    bk_mime_add(&buf, V("b"), V("application/x+xml"), (struct bk_view){ 0 }, (struct bk_view){ 0 });
    bk_mime_end(&buf, V("b"));
    EXACT(body, bk_buf_view(&buf));
    struct bk_view rest = body;
    struct bk_mime_part part;
    int count = 0;

    assert_int_equal(bk_mime_next(&rest, V("b"), &count, &part), 1);
    assert_view(part.content_type, "text/plain");
    assert_view(part.content_id, "1@x");
    assert_view(
        part.body,
        "one\r\n--c\r\n"); /* the four bytes a stock client cuts, less the two of the boundary */
    assert_view(part.head, "Content-Type: text/plain\r\nContent-ID: <1@x>\r\n");
    assert_int_equal(bk_mime_next(&rest, V("b"), &count, &part), 1);
    assert_view(part.content_type, "application/x+xml");
    assert_view(part.body, "\r\n");
    assert_int_equal(bk_mime_next(&rest, V("b"), &count, &part), 0);
    assert_int_equal(rest.len, 0);
    assert_int_equal(count, 2);
}

static void only_a_whole_line_parts(void **state)
{
    (void)state;
    struct bk_view body = V("preamble --b\r\n\t--b\r\n--bb\r\n--b \t\r\nX: 1\r\n\r\n"
                            "a --b\r\n--bc\r\n--b--c\r\n--b-\r\n --b--\r\n"
                            "\r\n--b\r\n\r\nno fields\n--b--\r\n--b--epilogue");
    struct bk_view rest = body;
    struct bk_mime_part part;
    int count = 0;
    assert_int_equal(bk_mime_next(&rest, V("b"), &count, &part), 1);
    assert_view(part.body, "a --b\r\n--bc\r\n--b--c\r\n--b-\r\n --b--\r\n");
    assert_int_equal(bk_mime_next(&rest, V("b"), &count, &part),
                     -EBADMSG); /* "--b--epilogue" ends nothing */

    body = V("--b\r\n\r\nx\r\n--b--  \r\nepilogue\r\n--b\r\n\r\ny\r\n--b--");
    rest = body;
    count = 0;
    assert_int_equal(bk_mime_next(&rest, V("b"), &count, &part), 1);
    assert_view(part.body, "x");
    assert_int_equal(part.head.len, 0);
    assert_int_equal(part.content_type.len, 0);
    assert_int_equal(bk_mime_next(&rest, V("b"), &count, &part), 0);
}

static void what_is_cut_off_or_nothing_is_refused(void **state)
{
    (void)state;
    static const struct {
        struct bk_view body, boundary;
    } rows[] = {
        { { BK_VIEW_OF("") }, { BK_VIEW_OF("b") } },
        { { NULL, 0 }, { BK_VIEW_OF("b") } },
        { { BK_VIEW_OF("text") }, { BK_VIEW_OF("b") } },
        { { BK_VIEW_OF("--b\r\n\r\nx\r\n") }, { BK_VIEW_OF("b") } },
        { { BK_VIEW_OF("--b\r\n\r\nx--b--") }, { BK_VIEW_OF("b") } },
        { { BK_VIEW_OF("--b\r\nX: \001\r\n\r\nx\r\n--b--") }, { BK_VIEW_OF("b") } },
        { { BK_VIEW_OF("--b\r\n--b--") }, { BK_VIEW_OF("b") } },
        { { BK_VIEW_OF("--b\r\nX: 1\r\n--b--") }, { BK_VIEW_OF("b") } },
        { { BK_VIEW_OF("--b\r\nno field\r\n\r\nx\r\n--b--") }, { BK_VIEW_OF("b") } },
        { { BK_VIEW_OF("--b\r\nX: a\nY: b\r\n\r\nx\r\n--b--") }, { BK_VIEW_OF("b") } },
        { { BK_VIEW_OF("--\r\n\r\nx\r\n----") }, { BK_VIEW_OF("") } },
        { { BK_VIEW_OF("--b\r\n\r\nx\r\n--b--") }, { NULL, 0 } },
        { { BK_VIEW_OF("--b\n\nx\n--b--") }, { BK_VIEW_OF("b") } },
        { { BK_VIEW_OF(PART("a/b", "x") "--b") }, { BK_VIEW_OF("b") } },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        EXACT(body, rows[i].body);
        struct bk_view rest = body;
        struct bk_mime_part part;
        int count = 0, r;
        while ((r = bk_mime_next(&rest, rows[i].boundary, &count, &part)) > 0)
            assert_inside(part.body, body);
        if (r != -EBADMSG)
            fail_msg("accepted: %.*s", BK_VIEW_ARGS(rows[i].body));
    }
}

static void a_part_may_have_no_body(void **state)
{
    (void)state;
    struct bk_view rest = V("--b\r\nContent-Type: a/b\r\nContent-ID: <>\r\n\r\n--b\r\n\r\n--b--");
    struct bk_mime_part part;
    int count = 0;
    assert_int_equal(bk_mime_next(&rest, V("b"), &count, &part), 1);
    assert_view(part.content_type, "a/b");
    assert_int_equal(part.content_id.len, 0);
    assert_int_equal(part.body.len, 0);
    assert_int_equal(bk_mime_next(&rest, V("b"), &count, &part), 1);
    assert_int_equal(part.head.len + part.body.len, 0);
    assert_int_equal(bk_mime_next(&rest, V("b"), &count, &part), 0);
}

static void boundaries_have_their_length(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    char boundary[72];
    memset(boundary, 'b', sizeof boundary);
    for (size_t len = 69; len < 72; len++) {
        struct bk_view b = { boundary, len };
        struct bk_mime_part part;
        int count = 0;
        bk_buf_clear(&buf);
        bk_mime_add(&buf, b, V("a/b"), (struct bk_view){ 0 }, V("x"));
        bk_mime_end(&buf, b);
        struct bk_view rest = bk_buf_view(&buf);
        assert_int_equal(bk_mime_next(&rest, b, &count, &part), len <= 70 ? 1 : -EBADMSG);
    }
}

static void sixteen_parts_are_enough(void **state)
{
    (void)state;
    for (int n = BK_MIME_PARTS_MAX - 1; n < BK_MIME_PARTS_MAX + 2; n++) {
        BK_AUTO_BUF struct bk_buf buf = { 0 };
        for (int i = 0; i < n; i++)
            bk_mime_add(&buf, V("b"), V("a/b"), (struct bk_view){ 0 }, V("x"));
        bk_mime_end(&buf, V("b"));
        struct bk_view rest = bk_buf_view(&buf);
        struct bk_mime_part part;
        int count = 0, r;
        while ((r = bk_mime_next(&rest, V("b"), &count, &part)) > 0)
            assert_view(part.body, "x\r\n");
        assert_int_equal(r, n <= BK_MIME_PARTS_MAX ? 0 : -EBADMSG);
    }
}

static void a_part_is_found_at_any_depth_up_to_the_limit(void **state)
{
    (void)state;
    for (int depth = 0; depth < BK_MIME_NESTING_MAX + 2; depth++) {
        BK_AUTO_BUF struct bk_buf body = { 0 }, outer = { 0 }, type = { 0 };
        struct bk_mime_part part;
        bk_buf_add_lit(&body, "found");
        bk_buf_add_lit(&type, "Text/PLAIN;charset=utf-8");
        for (int i = 0; i < depth; i++) {
            BK_AUTO_BUF struct bk_buf boundary = { 0 };
            bk_buf_addf(&boundary, "b%d", i);
            bk_buf_clear(&outer);
            bk_mime_add(&outer, bk_buf_view(&boundary), V("a/b"), (struct bk_view){ 0 }, V("no"));
            bk_mime_add(&outer, bk_buf_view(&boundary), bk_buf_view(&type), (struct bk_view){ 0 },
                        bk_buf_view(&body));
            bk_mime_end(&outer, bk_buf_view(&boundary));
            bk_buf_clear(&body);
            bk_buf_add_view(&body, bk_buf_view(&outer));
            bk_buf_clear(&type);
            bk_buf_addf(&type, "multipart/mixed; boundary=\"b%d\"", i);
        }
        EXACT(exact_body, bk_buf_view(&body));
        int r = bk_mime_find(bk_buf_view(&type), exact_body, V("text/plain"), &part);
        assert_int_equal(r, depth <= BK_MIME_NESTING_MAX ? 0 : -EBADMSG);
        if (r == 0)
            assert_true(bk_view_starts_with(part.body, V("found")));
        r = bk_mime_find(bk_buf_view(&type), exact_body, V("text/html"), &part);
        assert_int_equal(r, depth <= BK_MIME_NESTING_MAX ? -ENOENT : -EBADMSG);
    }
}

static void a_body_without_a_type_is_text(void **state)
{
    (void)state;
    struct bk_mime_part part;
    assert_int_equal(bk_mime_find((struct bk_view){ 0 }, V("x"), V("text/plain"), &part), 0);
    assert_int_equal(bk_mime_find(V("a"), V("x"), V("text/plain"), &part), -EBADMSG);
    assert_int_equal(bk_mime_find(V("multipart/mixed"), V("x"), V("text/plain"), &part), -EBADMSG);
    assert_int_equal(bk_mime_find(V("multipart/mixed;boundary=b"), V("--b\r\n\r\nx\r\n--b--"),
                                  V("text/plain"), &part),
                     0);
    assert_view(part.body, "x");
}

static void cut_at_any_byte_everything_stays_inside(void **state)
{
    (void)state;
    struct bk_view whole = V("pre\r\n" PART(
        "multipart/x;boundary=c", "--c\r\nContent-Type: a/b\r\nContent-ID: <>\r\n\r\nx\r\n--c--")
                                 PART("text/plain", "y") "--b--\r\nafter");
    for (size_t n = 0; n <= whole.len; n++) {
        EXACT(part_of, bk_view_head(whole, n));
        struct bk_mime_part part;
        int r = bk_mime_find(V("multipart/mixed;boundary=b"), part_of, V("text/plain"), &part);
        assert_true(r == 0 || r == -EBADMSG);
        size_t closed = whole.len - strlen("\r\nafter");
        assert_int_equal(r == 0, n >= closed && n != closed + 1); /* a lone CR ends no line */
        if (r == 0)
            assert_inside(part.body, part_of);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_again),
        cmocka_unit_test(only_a_whole_line_parts),
        cmocka_unit_test(what_is_cut_off_or_nothing_is_refused),
        cmocka_unit_test(a_part_may_have_no_body),
        cmocka_unit_test(boundaries_have_their_length),
        cmocka_unit_test(sixteen_parts_are_enough),
        cmocka_unit_test(a_part_is_found_at_any_depth_up_to_the_limit),
        cmocka_unit_test(a_body_without_a_type_is_text),
        cmocka_unit_test(cut_at_any_byte_everything_stays_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
