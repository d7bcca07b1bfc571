/* SPDX-License-Identifier: Apache-2.0 */
/* However a stream is cut into reads, the same messages come out of it. */
#include "sip/frame.h"

#include "base/random.h"
#include "tests/unit/sip/samples.h"

enum { MAX = BK_SIP_MESSAGE_BYTES_MAX };

/* What a connection does: bytes come in pieces, what is framed leaves at the front. */
struct connection {
    struct bk_sip_frame frame;
    struct bk_buf in;
    struct bk_buf
        said; /* 'm' and the length for each message, 'p' for each ping, 'b' at the end of it all */
    struct bk_sip_fault fault;
    bool bad;
};

static void connection_finish(struct connection *c)
{
    bk_buf_finish(&c->in);
    bk_buf_finish(&c->said);
}

static void receive(struct connection *c, struct bk_view piece, size_t max)
{
    bk_buf_add_view(&c->in, piece);
    while (!c->bad) {
        EXACT(bytes, bk_buf_view(&c->in));
        size_t len = 0;
        switch (bk_sip_frame_next(&c->frame, bytes, max, &len, &c->fault)) {
        case BK_SIP_FRAME_MORE:
            return;
        case BK_SIP_FRAME_MESSAGE:
            bk_buf_addf(&c->said, "m%zu ", len);
            break;
        case BK_SIP_FRAME_PING:
            bk_buf_add_lit(&c->said, "p ");
            break;
        case BK_SIP_FRAME_BLANK:
            break;
        case BK_SIP_FRAME_BAD:
            bk_buf_addf(&c->said, "b%d ", c->fault.status);
            c->bad = true;
            return;
        }
        assert_in_range(len, 1, bytes.len);
        bk_buf_drop(&c->in, len);
    }
}

static void assert_said(struct bk_view stream, size_t cut, struct bk_view want)
{
    BK_CLEANUP(connection_finish) struct connection c = { 0 };
    receive(&c, bk_view_head(stream, cut), MAX);
    receive(&c, bk_view_skip(stream, cut), MAX);
    assert_views(bk_buf_view(&c.said), want);
}

static void stream_of_everything(struct bk_buf *to, struct bk_buf *want)
{
    SAMPLES(s);
    for (size_t i = 0; i < s.n; i++) {
        struct connection c = { 0 };
        receive(&c, bk_buf_view(&s.at[i].bytes), MAX);
        if (!c.bad && c.in.len == 0) {
            bk_buf_add_view(to, bk_buf_view(&s.at[i].bytes));
            bk_buf_add_view(want, bk_buf_view(&c.said));
        }
        connection_finish(&c);
        if (i % 7 == 3) {
            bk_buf_add_lit(to, "\r\n\r\n\r\n");
            bk_buf_add_lit(want, "p ");
        }
    }
}

static void any_cut_of_a_stream_gives_the_same_messages(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf stream = { 0 }, want = { 0 };
    stream_of_everything(&stream, &want);
    assert_true(stream.len > 20000);
    struct bk_view first = bk_view_head(bk_buf_view(&stream), 2500);
    BK_CLEANUP(connection_finish) struct connection whole = { 0 };
    receive(&whole, first, MAX);
    for (size_t cut = 0; cut <= first.len; cut++)
        assert_said(first, cut, bk_buf_view(&whole.said));
    assert_said(bk_buf_view(&stream), 0, bk_buf_view(&want));
}

static void byte_by_byte_and_in_random_pieces_too(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf stream = { 0 }, want = { 0 };
    stream_of_everything(&stream, &want);
    struct bk_random_seeded seed;
    struct bk_random random = bk_random_from_seed(&seed, 4475);
    for (int round = 0; round < 12; round++) {
        BK_CLEANUP(connection_finish) struct connection c = { 0 };
        struct bk_view rest = bk_buf_view(&stream);
        while (rest.len) {
            size_t n = round == 0 ? 1 : 1 + bk_random_u64(&random) % (size_t)(round * 50);
            receive(&c, bk_view_head(rest, n), MAX);
            rest = bk_view_skip(rest, n);
        }
        assert_views(bk_buf_view(&c.said), bk_buf_view(&want));
    }
}

static void keep_alives_are_counted_however_they_come(void **state)
{
    (void)state;
    for (size_t n = 0; n < 9; n++) {
        struct bk_view stream = bk_view_head(V("\r\n\r\n\r\n\r\n\r\n"), n);
        for (size_t cut = 0; cut <= n; cut++) {
            BK_CLEANUP(connection_finish) struct connection c = { 0 };
            receive(&c, bk_view_head(stream, cut), MAX);
            receive(&c, bk_view_skip(stream, cut), MAX);
            assert_int_equal(c.said.len, n / 4 * 2);
        }
    }
}

static void a_lone_crlf_is_a_pong_at_once(void **state)
{
    (void)state;
    struct bk_sip_frame frame = { 0 };
    struct bk_sip_fault fault;
    size_t len = 0;
    assert_int_equal(bk_sip_frame_next(&frame, V("\r\n"), MAX, &len, &fault), BK_SIP_FRAME_BLANK);
    assert_int_equal(len, 2);
    /* A message behind it is one, and the CRLF behind that does not make up a ping. */
    struct bk_view msg = V("ACK sip:a SIP/2.0\r\n\r\n\r\n");
    assert_int_equal(bk_sip_frame_next(&frame, msg, MAX, &len, &fault), BK_SIP_FRAME_MESSAGE);
    assert_int_equal(len, msg.len - 2);
    assert_int_equal(bk_sip_frame_next(&frame, V("\r\n"), MAX, &len, &fault), BK_SIP_FRAME_BLANK);
}

static enum bk_sip_frame_step step_of(struct bk_view bytes, size_t max, size_t *ret_len,
                                      struct bk_sip_frame *frame, struct bk_sip_fault *fault)
{
    EXACT(copy, bytes);
    *frame = (struct bk_sip_frame){ 0 };
    *fault = (struct bk_sip_fault){ 0 };
    return bk_sip_frame_next(frame, copy, max, ret_len, fault);
}

static void garbage_is_refused_before_the_line_is_complete(void **state)
{
    (void)state;
    static const struct bk_view rows[] = {
        { BK_VIEW_OF("\x16\x03\x01\x02\x00\x01") }, /* TLS */
        { BK_VIEW_OF("<?xml") },
        { BK_VIEW_OF("\n") },
        { BK_VIEW_OF("\rX") },
        { BK_VIEW_OF(" OPTIONS") },
        { BK_VIEW_OF("\0") },
        { BK_VIEW_OF("OPT\0") },
        { BK_VIEW_OF("OPTIONS\n") },
        { BK_VIEW_OF("OPTIONS\rX") },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bk_sip_frame frame;
        struct bk_sip_fault fault;
        size_t len;
        assert_int_equal(step_of(rows[i], MAX, &len, &frame, &fault), BK_SIP_FRAME_BAD);
        assert_int_equal(fault.status, 400);
        assert_non_null(fault.text);
        assert_int_equal(frame.head_len, 0);
    }
}

static void a_fault_in_a_field_waits_for_the_end_of_the_head(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        int status;
        const char *text;
    } rows[] = {
        { "Content-Length: x\r\n", 400, "Content-Length is not a number" },
        { "Content-Length: -1\r\n", 400, "Content-Length is not a number" },
        { "Content-Length:\r\n", 400, "Content-Length is not a number" },
        { "Content-Length: 1, 1\r\n", 400, "Content-Length is not a number" },
        { "Content-Length: 4294967296\r\n", 513, "The message is too large" },
        { "l: 999999999999999999999999\r\n", 513, "The message is too large" },
        { "l: 262144\r\n", 513, "The message is too large" },
        { "l: 5\r\nContent-Length: 6\r\n", 400, "Two Content-Length fields differ" },
        { "l : 5\r\nCONTENT-LENGTH\t:\r\n\t6\r\n", 400, "Two Content-Length fields differ" },
        { "Content-Length\r\n : 5\r\n", 400, "A line is no header field" },
        { "no colon\r\n", 400, "A line is no header field" },
        { "X: \x01\r\n", 400, "A control byte stands where none may" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        BK_AUTO_BUF struct bk_buf buf = { 0 };
        struct bk_sip_frame frame;
        struct bk_sip_fault fault;
        size_t len;
        bk_buf_add_lit(&buf, "OPTIONS sip:a@b SIP/2.0\r\n");
        bk_buf_add_str(&buf, rows[i].field);
        assert_int_equal(step_of(bk_buf_view(&buf), MAX, &len, &frame, &fault), BK_SIP_FRAME_MORE);
        bk_buf_add_lit(&buf, "To: <sip:a@b>\r\n\r\n");
        assert_int_equal(step_of(bk_buf_view(&buf), MAX, &len, &frame, &fault), BK_SIP_FRAME_BAD);
        assert_string_equal(fault.text, rows[i].text);
        assert_int_equal(fault.status, rows[i].status);
        assert_int_equal(frame.head_len, buf.len); /* so an answer can be made */
    }
}

static void the_length_is_found_in_every_disguise(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "Content-Length: 3\r\n", "content-length:3\r\n", "l: 3\r\n",  "L \t: 3\r\n",
        "l:\r\n 3\r\n",          "l: 3\r\nl: 03\r\n",    "l: 3 \r\n", "l:\t\r\n\t\r\n\t3\r\n",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        BK_AUTO_BUF struct bk_buf buf = { 0 };
        struct bk_sip_frame frame;
        struct bk_sip_fault fault;
        size_t len = 0;
        bk_buf_addf(&buf, "OPTIONS sip:a@b SIP/2.0\r\n%s\r\nabcNEXT", rows[i]);
        assert_int_equal(step_of(bk_buf_view(&buf), MAX, &len, &frame, &fault),
                         BK_SIP_FRAME_MESSAGE);
        assert_int_equal(len, buf.len - 4);
    }
}

static void without_content_length_there_is_no_body(void **state)
{
    (void)state;
    struct bk_sip_frame frame;
    struct bk_sip_fault fault;
    size_t len = 0;
    /* Names that only look like it. */
    struct bk_view bytes = V("ACK sip:a SIP/2.0\r\nContent-Length-X: 3\r\nX-Content-Length: 3\r\n"
                             "X: a\r\n l: 3\r\nll: 3\r\n\r\nabc");
    assert_int_equal(step_of(bytes, MAX, &len, &frame, &fault), BK_SIP_FRAME_MESSAGE);
    assert_int_equal(len, bytes.len - 3);
}

static void limits_are_told_with_their_status(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    struct bk_sip_frame frame;
    struct bk_sip_fault fault;
    size_t len = 0;

    bk_buf_add_lit(&buf, "OPTIONS sip:");
    while (buf.len <= BK_SIP_START_LINE_MAX)
        bk_buf_add_char(&buf, 'a');
    assert_int_equal(step_of(bk_buf_view(&buf), MAX, &len, &frame, &fault), BK_SIP_FRAME_MORE);
    bk_buf_add_lit(&buf, "aa");
    assert_int_equal(step_of(bk_buf_view(&buf), MAX, &len, &frame, &fault), BK_SIP_FRAME_BAD);
    assert_int_equal(fault.status, 414);

    bk_buf_clear(&buf);
    bk_buf_add_lit(&buf, "OPTIONS sip:a SIP/2.0\r\nX: ");
    while (buf.len <= BK_SIP_FIELD_BYTES_MAX + 23)
        bk_buf_add_char(&buf, 'a');
    assert_int_equal(step_of(bk_buf_view(&buf), MAX, &len, &frame, &fault), BK_SIP_FRAME_BAD);
    assert_int_equal(fault.status, 400);

    bk_buf_clear(&buf);
    bk_buf_add_lit(&buf, "OPTIONS sip:a SIP/2.0\r\n");
    while (buf.len <= BK_SIP_HEAD_BYTES_MAX)
        bk_buf_add_lit(&buf, "X: aaaaaaaaaaaaaaaaaaaaaaaa\r\n");
    assert_int_equal(step_of(bk_buf_view(&buf), MAX, &len, &frame, &fault), BK_SIP_FRAME_BAD);
    assert_string_equal(fault.text, "The head is longer than 64 kB");
    assert_int_equal(step_of(bk_buf_view(&buf), 32768, &len, &frame, &fault), BK_SIP_FRAME_BAD);
    assert_int_equal(fault.status, 413);

    struct bk_view small = V("ACK sip:a SIP/2.0\r\nl: 5\r\n\r\nhello");
    assert_int_equal(step_of(small, small.len, &len, &frame, &fault), BK_SIP_FRAME_MESSAGE);
    assert_int_equal(step_of(small, small.len - 1, &len, &frame, &fault), BK_SIP_FRAME_BAD);
    assert_int_equal(fault.status, 413);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cut_of_a_stream_gives_the_same_messages),
        cmocka_unit_test(byte_by_byte_and_in_random_pieces_too),
        cmocka_unit_test(keep_alives_are_counted_however_they_come),
        cmocka_unit_test(a_lone_crlf_is_a_pong_at_once),
        cmocka_unit_test(garbage_is_refused_before_the_line_is_complete),
        cmocka_unit_test(a_fault_in_a_field_waits_for_the_end_of_the_head),
        cmocka_unit_test(the_length_is_found_in_every_disguise),
        cmocka_unit_test(without_content_length_there_is_no_body),
        cmocka_unit_test(limits_are_told_with_their_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
