/* SPDX-License-Identifier: Apache-2.0 */
/* First what holds for any message, then what broke others, then the second look. */
#include "sip/build.h"
#include "sip/fields.h"
#include "tests/unit/sip/samples.h"

static struct bk_sip_msg msg, other;
static struct bk_sip_fault fault;
static struct bk_sip_head head;

static int parse(struct bk_view bytes)
{
    fault = (struct bk_sip_fault){ 0 };
    return bk_sip_msg_parse(&msg, bytes, &fault);
}

/* ---- any message ---- */

static void start_line_field_lines_and_body_rejoined_are_the_message(void **state)
{
    (void)state;
    SAMPLES(s);
    for (size_t i = 0; i < s.n; i++) {
        EXACT(bytes, bk_buf_view(&s.at[i].bytes));
        BK_AUTO_BUF struct bk_buf joined = { 0 };
        if (parse(bytes) < 0)
            continue;
        bk_buf_add_view(&joined, msg.start);
        bk_buf_add_lit(&joined, "\r\n");
        for (int f = 0; f < msg.n_fields; f++)
            bk_buf_add_view(&joined, msg.fields[f].line);
        bk_buf_add_lit(&joined, "\r\n");
        bk_buf_add_view(&joined, msg.body);
        assert_views(bk_buf_view(&joined), msg.bytes);
        assert_true(bk_view_starts_with(bytes, msg.bytes));
    }
}

static void assert_sound(const struct bk_sip_msg *m)
{
    int linked = 0;
    assert_inside(m->start, m->bytes);
    assert_inside(m->body, m->bytes);
    assert_inside(m->method_name, m->bytes);
    assert_inside(m->uri, m->start);
    assert_inside(m->reason, m->start);
    assert_in_range(m->n_fields, 0, BK_SIP_FIELDS_MAX);
    for (int i = 0; i < m->n_fields; i++) {
        const struct bk_sip_field *f = &m->fields[i];
        assert_inside(f->line, m->bytes);
        assert_inside(f->name, f->line);
        assert_inside(f->value, f->line);
        assert_int_equal(f->id, bk_sip_hdr_of(f->name));
        assert_true(bk_view_equal(f->value, bk_view_trim(f->value)));
        linked += f->id == BK_SIP_HDR_OTHER;
    }
    for (int id = 0; id < BK_SIP_HDR_COUNT; id++) {
        const struct bk_sip_field *f = bk_sip_msg_field(m, (enum bk_sip_hdr)id);
        for (const struct bk_sip_field *next; f; f = next, linked++) {
            assert_int_equal(f->id, id);
            next = bk_sip_msg_field_next(m, f);
            if (next)
                assert_true(next > f);
        }
    }
    assert_int_equal(linked, m->n_fields); /* each field is in one chain, or known to nobody */
}

static void cut_at_any_byte_it_is_sound_and_refused(void **state)
{
    (void)state;
    SAMPLES(s);
    for (size_t i = 0; i < s.n; i++) {
        struct bk_view whole = bk_buf_view(&s.at[i].bytes);
        bool has_length = parse(whole) == 0 && bk_sip_msg_field(&msg, BK_SIP_HDR_CONTENT_LENGTH);
        size_t end = msg.bytes.len;
        for (size_t n = 0; n < whole.len; n++) {
            EXACT(part, bk_view_head(whole, n));
            int r = parse(part);
            assert_sound(&msg);
            if (bk_sip_msg_check(&msg, &head, &fault) == 0)
                assert_inside(head.from_uri, part);
            if (has_length && n < end)
                assert_int_equal(r, -EBADMSG);
        }
    }
}

/* Prints what was read, not what came: long names, one blank, no folds. */
static void print(const struct bk_sip_msg *m, struct bk_buf *to)
{
    if (m->status) {
        bk_buf_addf(to, "SIP/2.0 %d %.*s\r\n", m->status, BK_VIEW_ARGS(m->reason));
    } else {
        bk_sip_request_begin(to, m->method_name, m->uri);
    }
    for (int i = 0; i < m->n_fields; i++) {
        enum bk_sip_hdr id = (enum bk_sip_hdr)m->fields[i].id;
        if (id == BK_SIP_HDR_CONTENT_LENGTH || (id == BK_SIP_HDR_CONTENT_TYPE && m->body.len))
            continue;
        if (id == BK_SIP_HDR_OTHER)
            bk_sip_field_add_named(to, m->fields[i].name, m->fields[i].value);
        else
            bk_sip_field_add(to, id, m->fields[i].value);
    }
    bk_sip_end(to, bk_sip_msg_value(m, BK_SIP_HDR_CONTENT_TYPE), m->body);
}

/* A fold is a blank to whoever reads it. */
static void assert_same_but_for_folds(struct bk_view printed, struct bk_view came)
{
    BK_AUTO_BUF struct bk_buf flat = { 0 };
    for (size_t i = 0; i < came.len; i++)
        if (came.at[i] != '\r' && came.at[i] != '\n')
            bk_buf_add_char(&flat, came.at[i]);
    assert_views(printed, bk_buf_view(&flat));
}

/* Two things that came may not be printed: a request URI with a blank, a NUL. */
static bool is_printable(const struct bk_sip_msg *m)
{
    bool printable = bk_view_find(m->uri, ' ') == m->uri.len;
    for (int i = 0; i < m->n_fields; i++)
        if (bk_view_find(m->fields[i].line, '\0') < m->fields[i].line.len)
            printable = false;
    return printable;
}

static void what_was_printed_reads_the_same_and_prints_the_same(void **state)
{
    (void)state;
    SAMPLES(s);
    int n = 0;
    for (size_t i = 0; i < s.n; i++) {
        BK_AUTO_BUF struct bk_buf once = { 0 }, twice = { 0 };
        if (parse(bk_buf_view(&s.at[i].bytes)) < 0)
            continue;
        print(&msg, &once);
        assert_int_equal(once.failed, !is_printable(&msg));
        if (once.failed)
            continue;
        assert_int_equal(bk_sip_msg_parse(&other, bk_buf_view(&once), &fault), 0);
        assert_int_equal(other.status, msg.status);
        assert_int_equal(other.method, msg.method);
        assert_views(other.uri, msg.uri);
        assert_views(other.reason, msg.reason);
        assert_views(other.body, msg.body);
        for (int id = 1; id < BK_SIP_HDR_COUNT; id++) {
            const struct bk_sip_field *a = bk_sip_msg_field(&msg, (enum bk_sip_hdr)id);
            const struct bk_sip_field *b = bk_sip_msg_field(&other, (enum bk_sip_hdr)id);
            if (id == BK_SIP_HDR_CONTENT_LENGTH)
                continue;
            for (; a && b; a = bk_sip_msg_field_next(&msg, a), b = bk_sip_msg_field_next(&other, b))
                assert_same_but_for_folds(b->value, a->value);
            assert_true(!a && !b);
        }
        print(&other, &twice);
        assert_views(bk_buf_view(&twice), bk_buf_view(&once));
        n++;
    }
    assert_true(n > 50);
}

/* ---- names ---- */

static void every_name_is_found_in_any_case_and_nothing_else_is(void **state)
{
    (void)state;
    for (int id = BK_SIP_HDR_OTHER + 1; id < BK_SIP_HDR_COUNT; id++) {
        struct bk_view name = bk_sip_hdr_name((enum bk_sip_hdr)id);
        char text[64];
        assert_in_range(name.len, 2, sizeof text - 1);
        assert_int_equal(bk_sip_hdr_of(name), id);
        memcpy(text, name.at, name.len);
        bk_text_lower(text, name.len);
        assert_int_equal(bk_sip_hdr_of((struct bk_view){ text, name.len }), id);
        for (size_t i = 0; i < name.len; i++) {
            if (text[i] >= 'a' && text[i] <= 'z')
                text[i] = (char)(text[i] - 'a' + 'A');
        }
        assert_int_equal(bk_sip_hdr_of((struct bk_view){ text, name.len }), id);
        for (size_t i = 0; i < name.len; i++) { /* one letter off is another name */
            memcpy(text, name.at, name.len);
            text[i] = text[i] == 'x' ? 'z' : 'x';
            EXACT(wrong, ((struct bk_view){ text, name.len }));
            assert_int_equal(bk_sip_hdr_of(wrong), BK_SIP_HDR_OTHER);
        }
        EXACT(shorter, bk_view_head(name, name.len - 1));
        if (shorter.len > 1)
            assert_int_not_equal(bk_sip_hdr_of(shorter), id);
    }
    assert_int_equal(bk_sip_hdr_of((struct bk_view){ 0 }), BK_SIP_HDR_OTHER);
}

static void compact_forms_are_those_of_the_registry(void **state)
{
    (void)state;
    static const char letters[] = "vftimlceoukrb";
    static const enum bk_sip_hdr ids[] = {
        BK_SIP_HDR_VIA,          BK_SIP_HDR_FROM,
        BK_SIP_HDR_TO,           BK_SIP_HDR_CALL_ID,
        BK_SIP_HDR_CONTACT,      BK_SIP_HDR_CONTENT_LENGTH,
        BK_SIP_HDR_CONTENT_TYPE, BK_SIP_HDR_CONTENT_ENCODING,
        BK_SIP_HDR_EVENT,        BK_SIP_HDR_ALLOW_EVENTS,
        BK_SIP_HDR_SUPPORTED,    BK_SIP_HDR_REFER_TO,
        BK_SIP_HDR_REFERRED_BY,
    };
    for (int c = 0; c < 256; c++) {
        char letter = (char)c, small = bk_lower(letter);
        const char *found = small ? strchr(letters, small) : NULL;
        assert_int_equal(bk_sip_hdr_of((struct bk_view){ &letter, 1 }),
                         found ? ids[found - letters] : BK_SIP_HDR_OTHER);
    }
}

static void methods_are_told_apart_by_case(void **state)
{
    (void)state;
    for (int m = BK_SIP_OTHER_METHOD + 1; m < BK_SIP_METHOD_COUNT; m++) {
        struct bk_view name = bk_sip_method_name((enum bk_sip_method)m);
        char text[16];
        assert_int_equal(bk_sip_method_of(name), m);
        memcpy(text, name.at, name.len);
        bk_text_lower(text, name.len);
        assert_int_equal(bk_sip_method_of((struct bk_view){ text, name.len }), BK_SIP_OTHER_METHOD);
        EXACT(shorter, bk_view_head(name, name.len - 1));
        assert_int_equal(bk_sip_method_of(shorter), BK_SIP_OTHER_METHOD);
    }
    assert_int_equal(bk_sip_method_of((struct bk_view){ 0 }), BK_SIP_OTHER_METHOD);
}

static void every_status_has_a_reason(void **state)
{
    (void)state;
    for (int status = -1; status < 1000; status++)
        assert_true(bk_sip_reason_of(status).len > 0);
    assert_view(bk_sip_reason_of(404), "Not Found");
    assert_view(bk_sip_reason_of(499), "Client Error");
    assert_view(bk_sip_reason_of(202), "Accepted");
}

/* ---- one good message, bent ---- */

static const char *const good_fields[] = {
    "Via: SIP/2.0/TLS client.example.org:5061;branch=z9hG4bK776;rport\r\n",
    "Max-Forwards: 70\r\n",
    "From: \"Ann\" <sip:ann@example.org>;tag=1928\r\n",
    "To: <sip:bob@example.org>\r\n",
    "Call-ID: a84b4c76e66710\r\n",
    "CSeq: 7 MESSAGE\r\n",
    "Content-Type: text/plain\r\n",
    "Content-Length: 5\r\n",
};
enum { N_GOOD = sizeof good_fields / sizeof *good_fields };

/* The good message with field `at` replaced (-1: none) and `more` behind the fields. */
static struct bk_view bent(struct bk_buf *to, const char *start, int at, const char *instead,
                           struct bk_view more)
{
    bk_buf_clear(to);
    bk_buf_add_str(to, start);
    bk_buf_add_lit(to, "\r\n");
    for (int i = 0; i < N_GOOD; i++)
        bk_buf_add_str(to, i == at ? instead : good_fields[i]);
    bk_buf_add_view(to, more);
    bk_buf_add_lit(to, "\r\nhello");
    return bk_buf_view(to);
}

static const char request[] = "MESSAGE sip:bob@example.org SIP/2.0";

static void parse_bent(struct bk_buf *to, const char *start, int at, const char *instead,
                       const char *more)
{
    assert_int_equal(parse(bent(to, start, at, instead, bk_view_of_str(more))), 0);
}

static void the_second_look_brings_what_every_later_step_wants(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    parse_bent(&buf, request, -1, NULL, "");
    assert_int_equal(bk_sip_msg_check(&msg, &head, &fault), 0);
    assert_int_equal(msg.method, BK_SIP_MESSAGE);
    assert_view(msg.uri, "sip:bob@example.org");
    assert_view(msg.body, "hello");
    assert_int_equal(msg.status, 0);
    assert_view(head.via_branch, "z9hG4bK776");
    assert_view(head.via_sent_by, "client.example.org:5061");
    assert_view(head.via_transport, "TLS");
    assert_true(head.via_rport);
    assert_view(head.from_uri, "sip:ann@example.org");
    assert_view(head.from_tag, "1928");
    assert_view(head.to_uri, "sip:bob@example.org");
    assert_int_equal(head.to_tag.len, 0);
    assert_view(head.call_id, "a84b4c76e66710");
    assert_int_equal(head.cseq, 7);
    assert_int_equal(head.max_forwards, 70);
}

static void each_field_an_answer_needs_is_missed_by_name(void **state)
{
    (void)state;
    static const struct {
        int at;
        const char *text;
    } rows[] = {
        { 0, "Via is missing" },     { 2, "From is missing" }, { 3, "To is missing" },
        { 4, "Call-ID is missing" }, { 5, "CSeq is missing" },
    };
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        parse_bent(&buf, request, rows[i].at, "", "");
        assert_false(bk_sip_msg_answerable(&msg));
        assert_int_equal(bk_sip_msg_check(&msg, &head, &fault), -EBADMSG);
        assert_string_equal(fault.text, rows[i].text);
        assert_int_equal(fault.status, 400);
    }
}

static void the_order_of_fields_does_not_matter_to_an_answer(void **state)
{
    (void)state;
    static const char *const lines[] = { "Via: SIP/2.0/TLS a\r\n", "From: <sip:a@b>\r\n",
                                         "To: <sip:b@b>\r\n", "Call-ID: 1\r\n",
                                         "CSeq: 1 MESSAGE\r\n" };
    for (int first = 0; first < 5; first++) {
        BK_AUTO_BUF struct bk_buf buf = { 0 };
        bk_buf_add_lit(&buf, "MESSAGE sip:b@b SIP/2.0\r\n");
        for (int i = 0; i < 5; i++)
            bk_buf_add_str(&buf, lines[(first + i) % 5]);
        bk_buf_add_lit(&buf, "\r\n");
        assert_int_equal(parse(bk_buf_view(&buf)), 0);
        assert_true(bk_sip_msg_answerable(&msg));
        assert_int_equal(bk_sip_msg_check(&msg, &head, &fault), 0);
    }
}

static void what_the_second_look_refuses_it_names(void **state)
{
    (void)state;
    static const struct {
        const char *start;
        int at;
        const char *instead;
        int status;
        const char *text;
    } rows[] = {
        /* clang-format off */
        { "MESSAGE sip:bob@example.org SIP/3.0", -1, NULL, 505, "The SIP version is not 2.0" },
        { "MESSAGE sip:bob@example.org SIP/2.00", -1, NULL, 505, "The SIP version is not 2.0" },
        { "MESSAGE sip:bob@example.org SIP/12.0", -1, NULL, 505, "The SIP version is not 2.0" },
        { "MESSAGE <sip:bob@example.org> SIP/2.0", -1, NULL, 400, "The request URI cannot be read" },
        { "MESSAGE sip:bob@exa mple.org SIP/2.0", -1, NULL, 400, "The request URI cannot be read" },
        { "MESSAGE  sip:bob@example.org SIP/2.0", -1, NULL, 400, "The request URI cannot be read" },
        { "MESSAGE sip:bob@example.org  SIP/2.0", -1, NULL, 400, "The request URI cannot be read" },
        { "MESSAGE sip:bob@example.org\t SIP/2.0", -1, NULL, 400, "The request URI cannot be read" },
        { "MESSAGE bob SIP/2.0", -1, NULL, 400, "The request URI cannot be read" },
        { "MESSAGE * SIP/2.0", -1, NULL, 400, "The request URI cannot be read" },
        { "MESSAGE sip:bob@example.org?a=b SIP/2.0", -1, NULL, 400, "The request URI holds header fields" },
        { "INVITE sip:bob@example.org SIP/2.0", -1, NULL, 400, "The method of CSeq is not that of the request" },
        { "message sip:bob@example.org SIP/2.0", -1, NULL, 400, "The method of CSeq is not that of the request" },
        { request, 0, "Via: \r\n", 400, "Via cannot be read" },
        { request, 0, "Via: SIP/2.0/TLS\r\n", 400, "Via cannot be read" },
        { request, 0, "Via: SIP/2.0/TLS host:0\r\n", 400, "Via cannot be read" },
        { request, 0, "Via: SIP/2.0/TLS host:65536\r\n", 400, "Via cannot be read" },
        { request, 0, "Via: SIP/2.0/TLS host;rport=1x\r\n", 400, "Via cannot be read" },
        { request, 0, "Via: SIP/2.0/TLS host;rport=x\r\n", 400, "Via cannot be read" },
        { request, 0, "Via: SIP/2.0/TLS host;branch=\"a\r\n", 400, "Via cannot be read" },
        { request, 0, "Via: SIP/2.0/TLS host,\r\n", 400, "Via cannot be read" },
        { request, 1, "Max-Forwards: -1\r\n", 400, "Max-Forwards is not a number" },
        { request, 1, "Max-Forwards: 7 0\r\n", 400, "Max-Forwards is not a number" },
        { request, 1, "Max-Forwards:\r\n", 400, "Max-Forwards is not a number" },
        { request, 1, "Expires: soon\r\n", 400, "Expires is not a number" },
        { request, 2, "From: <sip:ann@example.org>;tag=1;tag=2\r\n", 400, "From cannot be read" },
        { request, 2, "From: <sip:ann@example.org>;tag=1;TAG=2\r\n", 400, "From cannot be read" },
        { request, 2, "From: <sip:ann@example.org>, <sip:bob@example.org>\r\n", 400, "From cannot be read" },
        { request, 2, "From: <sip:ann@example.org\r\n", 400, "From cannot be read" },
        { request, 2, "From: <sip:ann@example.org>>\r\n", 400, "From cannot be read" },
        { request, 2, "From: \"Ann <sip:ann@example.org>\r\n", 400, "From cannot be read" },
        { request, 2, "From: Bell, Alexander <sip:ann@example.org>;tag=1\r\n", 400, "From cannot be read" },
        { request, 2, "From: *\r\n", 400, "From cannot be read" },
        { request, 2, "From: <>\r\n", 400, "From cannot be read" },
        { request, 2, "From: ann\r\n", 400, "From cannot be read" },
        { request, 2, "From:\r\n", 400, "From cannot be read" },
        { request, 3, "To: <sip:bob@example.org>;;tag=1\r\n", 400, "To cannot be read" },
        { request, 3, "To: <sip:b ob@example.org>\r\n", 400, "To cannot be read" },
        { request, 4, "Call-ID: a b\r\n", 400, "Call-ID cannot be read" },
        { request, 4, "Call-ID: a@\r\n", 400, "Call-ID cannot be read" },
        { request, 4, "Call-ID: @a\r\n", 400, "Call-ID cannot be read" },
        { request, 4, "Call-ID: a@b@c\r\n", 400, "Call-ID cannot be read" },
        { request, 4, "Call-ID:\r\n", 400, "Call-ID cannot be read" },
        { request, 5, "CSeq: MESSAGE\r\n", 400, "CSeq cannot be read" },
        { request, 5, "CSeq: 7\r\n", 400, "CSeq cannot be read" },
        { request, 5, "CSeq: 7MESSAGE\r\n", 400, "CSeq cannot be read" },
        { request, 5, "CSeq: 4294967296 MESSAGE\r\n", 400, "CSeq cannot be read" },
        { request, 5, "CSeq: 7 MESSAGE 8\r\n", 400, "CSeq cannot be read" },
        { request, 5, "CSeq: +7 MESSAGE\r\n", 400, "CSeq cannot be read" },
        /* clang-format on */
    };
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        EXACT(bytes, bent(&buf, rows[i].start, rows[i].at, rows[i].instead, V("")));
        assert_int_equal(parse(bytes), 0);
        int r = bk_sip_msg_check(&msg, &head, &fault);
        if (r == 0)
            fail_msg("accepted: %s %s", rows[i].start, rows[i].instead);
        assert_string_equal(fault.text, rows[i].text);
        assert_int_equal(fault.status, rows[i].status);
        assert_true(fault.offset < bytes.len);
    }
}

static void what_peers_really_send_passes_the_second_look(void **state)
{
    (void)state;
    static const struct {
        int at;
        const char *instead;
    } rows[] = {
        /* clang-format off */
        { 0, "v: SIP/2.0/tls 192.0.2.10:42962\r\n" }, /* the Lync dialect, no branch */
        { 0, "Via: SIP / 2.0 / UDP \r\n\tfirst.example.com : 4000 ; ttl=16 ; maddr=224.2.0.1 ; branch=z9hG4bKa7c\r\n" },
        { 0, "Via: SIP/2.0/TLS [2001:db8::9]:5061;rport=5061;received=2001:db8::9\r\n" },
        { 0, "Via: SIP/2.0/TLS a.example.org;branch=z9,SIP/2.0/UDP b_c;hidden\r\n" },
        { 1, "Max-Forwards: 0\r\n" },
        { 1, "Max-Forwards: 00000000000000000000000000000000000000070\r\n" },
        { 1, "Expires: 99999999999999999999999\r\n" },
        { 2, "From: sip:ann@example.org;tag=1\r\n" },
        { 2, "f: Ann M. Other <sip:ann@example.org> ; tag = 1\r\n" },
        { 2, "From: \xc3\x9cnal <sip:ann@example.org>;tag=1;epid=cf0b98dadeb9\r\n" },
        { 2, "From: \"a \\\" , <b\" <sip:ann@example.org;x=y>\r\n" },
        { 2, "From: <sip:ann@example.org>;epid=;tag=1\r\n" },
        { 2, "From: <tel:+1-212-555-1212>;tag=1\r\n" },
        { 4, "i: 9D27gA9AAaAD44i5A94m10D1tFE30b31D6x2936x@[2001:db8::1]\r\n" },
        { 5, "CSeq: 4294967295\t MESSAGE\r\n" },
        { 5, "cseq :\r\n 0007\r\n  MESSAGE \r\n" },
        /* clang-format on */
    };
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        EXACT(bytes, bent(&buf, request, rows[i].at, rows[i].instead, V("")));
        assert_int_equal(parse(bytes), 0);
        if (bk_sip_msg_check(&msg, &head, &fault) < 0)
            fail_msg("refused: %s %s", rows[i].instead, fault.text);
    }
}

static void too_many_hops_to_count_count_as_none_given(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    parse_bent(&buf, request, 1, "Max-Forwards: 300\r\n", "");
    assert_int_equal(bk_sip_msg_check(&msg, &head, &fault), 0);
    assert_int_equal(head.max_forwards, 70);
    parse_bent(&buf, request, 1, "", "");
    assert_int_equal(bk_sip_msg_check(&msg, &head, &fault), 0);
    assert_int_equal(head.max_forwards, 70);
}

static void an_invite_has_one_contact(void **state)
{
    (void)state;
    static const char start[] = "INVITE sip:bob@example.org SIP/2.0";
    static const struct {
        const char *contact;
        int r;
    } rows[] = {
        { "Contact: <sip:a@b>\r\nm: <sip:c@d>\r\n", -EBADMSG },
        { "Contact: <sip:a@b>, <sip:c@d>\r\n", -EBADMSG },
        { "Contact: <sip:a@b>;methods=\"INVITE, MESSAGE\"\r\n", 0 },
        { "Contact: \"a, b\" <sip:a@b>\r\n", 0 },
    };
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        parse_bent(&buf, start, 5, "CSeq: 7 INVITE\r\n", rows[i].contact);
        assert_int_equal(bk_sip_msg_check(&msg, &head, &fault), rows[i].r);
    }
}

/* ---- what two readers could read differently ---- */

static void the_same_field_in_disguise_is_the_same_field(void **state)
{
    (void)state;
    static const char *const disguises[] = {
        "From : <sip:eve@example.org>\r\n",    "From\t: <sip:eve@example.org>\r\n",
        "f:<sip:eve@example.org>\r\n",         "F: <sip:eve@example.org>\r\n",
        "FROM:\r\n <sip:eve@example.org>\r\n", "fRoM \t :\t<sip:eve@example.org>\r\n",
    };
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    for (size_t i = 0; i < sizeof disguises / sizeof *disguises; i++) {
        EXACT(alone, bent(&buf, request, 2, disguises[i], V("")));
        assert_int_equal(parse(alone), 0);
        assert_view(bk_sip_msg_value(&msg, BK_SIP_HDR_FROM), "<sip:eve@example.org>");
        EXACT(second, bent(&buf, request, -1, NULL, bk_view_of_str(disguises[i])));
        assert_int_equal(parse(second), -EBADMSG);
        assert_string_equal(fault.text,
                            "A header field stands there twice that may stand only once");
    }
}

static void what_may_stand_once_is_refused_twice(void **state)
{
    (void)state;
    static const char *const pairs[] = {
        "Expires: 1\r\nexpires: 1\r\n",
        "Event: a\r\no: a\r\n",
        "Refer-To: <sip:a>\r\nr: <sip:b>\r\n",
        "Subscription-State: active\r\nSubscription-State: active\r\n",
        "SIP-If-Match: 1\r\nSIP-If-Match: 1\r\n",
        "Min-Expires: 1\r\nMin-Expires: 1\r\n",
        "Date: x\r\nDate: x\r\n",
        "Referred-By: <sip:a>\r\nb: <sip:a>\r\n",
        "c: text/plain\r\n",
        "l: 5\r\n",
        "t: <sip:bob@example.org>\r\n",
        "i: a84b4c76e66710\r\n",
        "CSEQ: 7 MESSAGE\r\n",
        "Max-Forwards: 70\r\n",
    };
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_int_equal(parse(bent(&buf, request, -1, NULL, bk_view_of_str(pairs[i]))), -EBADMSG);
    assert_int_equal(parse(bent(&buf, request, -1, NULL,
                                V("Supported: a\r\nk: b\r\nRoute: <sip:a>\r\nRoute: <sip:b>\r\n"
                                  "X: 1\r\nX: 2\r\n"))),
                     0);
}

static void a_torn_line_a_bare_byte_a_missing_colon_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct bk_view line;
        const char *text;
    } rows[] = {
        { { BK_VIEW_OF("X: a\nFrom: <sip:eve@example.org>\r\n") }, "A CR or LF stands alone" },
        { { BK_VIEW_OF("X: a\rFrom: <sip:eve@example.org>\r\n") }, "A CR or LF stands alone" },
        { { BK_VIEW_OF("X: a\r\r\n") }, "A CR or LF stands alone" },
        { { BK_VIEW_OF("X: \"\\\nb\"\r\n") }, "A CR or LF stands alone" },
        { { BK_VIEW_OF("X: a\0b\r\n") }, "A control byte stands where none may" },
        { { BK_VIEW_OF("X\0: a\r\n") }, "A control byte stands where none may" },
        { { BK_VIEW_OF("X: a\x7f\r\n") }, "A control byte stands where none may" },
        { { BK_VIEW_OF("X: a\x01\r\n") }, "A control byte stands where none may" },
        { { BK_VIEW_OF("X: \"a\x01\"\r\n") }, "A control byte stands where none may" },
        { { BK_VIEW_OF("X: \\\x01\r\n") }, "A control byte stands where none may" },
        { { BK_VIEW_OF("X: \"\\\\\x01\"\r\n") }, "A control byte stands where none may" },
        { { BK_VIEW_OF("X\r\n : a\r\n") }, "A line is no header field" },
        { { BK_VIEW_OF("X\r\n") }, "A line is no header field" },
        { { BK_VIEW_OF(": a\r\n") }, "A line is no header field" },
        { { BK_VIEW_OF("X Y: a\r\n") }, "A line is no header field" },
        { { BK_VIEW_OF("X(Y): a\r\n") }, "A line is no header field" },
        { { BK_VIEW_OF("\xc3\xbc: a\r\n") }, "A line is no header field" },
    };
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        EXACT(bytes, bent(&buf, request, -1, NULL, rows[i].line));
        assert_int_equal(parse(bytes), -EBADMSG);
        assert_string_equal(fault.text, rows[i].text);
        assert_int_equal(fault.status, 400);
        assert_true(bk_sip_msg_answerable(&msg)); /* what stood before it was read */
    }
    assert_int_equal(parse(bent(&buf, request, -1, NULL, V("X: \"\\\0\\\x7f\\\x01\"\r\n"))), 0);
}

static void a_fold_before_the_first_field_belongs_to_nothing(void **state)
{
    (void)state;
    EXACT(bytes, V("MESSAGE sip:a@b SIP/2.0\r\n X: a\r\nTo: <sip:a@b>\r\n\r\n"));
    assert_int_equal(parse(bytes), -EBADMSG);
    assert_string_equal(fault.text, "A line is no header field");
    assert_int_equal(fault.offset, 25);
}

/* ---- start lines ---- */

static void start_lines_that_are_none_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct bk_view line;
        const char *text;
    } rows[] = {
        { { BK_VIEW_OF("") }, "The request line does not begin with a method and a blank" },
        { { BK_VIEW_OF("MESSAGE") }, "The request line does not begin with a method and a blank" },
        { { BK_VIEW_OF(" MESSAGE sip:a@b SIP/2.0") },
          "The request line does not begin with a method and a blank" },
        { { BK_VIEW_OF("MESSAGE\tsip:a@b SIP/2.0") },
          "The request line does not begin with a method and a blank" },
        { { BK_VIEW_OF("ME\0SSAGE sip:a@b SIP/2.0") }, "A control byte stands where none may" },
        { { BK_VIEW_OF("MESSAGE sip:a@b SIP/2.0 ") },
          "The request line does not end with a SIP version" },
        { { BK_VIEW_OF("MESSAGE sip:a@b") }, "The request line does not end with a SIP version" },
        { { BK_VIEW_OF("GET / HTTP/1.1") }, "The request line does not end with a SIP version" },
        { { BK_VIEW_OF("MESSAGE sip:a@b SIP/2.") },
          "The request line does not end with a SIP version" },
        { { BK_VIEW_OF("MESSAGE SIP/2.0") }, "The request line holds no URI" },
        { { BK_VIEW_OF("MESSAGE  SIP/2.0") }, "The request line holds no URI" },
        { { BK_VIEW_OF("SIP/2.0 20 OK") }, "The status code is not between 100 and 699" },
        { { BK_VIEW_OF("SIP/2.0 099 OK") }, "The status code is not between 100 and 699" },
        { { BK_VIEW_OF("SIP/2.0 700 OK") }, "The status code is not between 100 and 699" },
        { { BK_VIEW_OF("SIP/2.0  200 OK") }, "The status code is not between 100 and 699" },
        { { BK_VIEW_OF("SIP/2.0 2000 OK") }, "The status code is not between 100 and 699" },
        { { BK_VIEW_OF("SIP/x 200 OK") }, "The status line has no SIP version" },
        { { BK_VIEW_OF("SIP/2.0") }, "The status code is not between 100 and 699" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        BK_AUTO_BUF struct bk_buf buf = { 0 };
        bk_buf_add_view(&buf, rows[i].line);
        bk_buf_add_lit(&buf, "\r\nTo: <sip:a@b>\r\n\r\n");
        EXACT(bytes, bk_buf_view(&buf));
        assert_int_equal(parse(bytes), -EBADMSG);
        assert_string_equal(fault.text, rows[i].text);
        assert_int_equal(fault.status, 400);
    }
}

static void behind_a_torn_start_line_nothing_is_read(void **state)
{
    (void)state;
    static const char *const rows[] = { "MESSAGE\n sip:a@b SIP/2.0\r\nTo: <sip:a@b>\r\n\r\n",
                                        "MESSAGE\rTo: <sip:a@b>\r\nTo: <sip:a@b>\r\n\r\n",
                                        "MESSAGE sip:a@b SIP/2.0" };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        EXACT(bytes, bk_view_of_str(rows[i]));
        assert_int_equal(parse(bytes), -EBADMSG);
        assert_int_equal(msg.n_fields, 0);
        assert_int_equal(msg.start.len, 0);
        assert_int_equal(msg.body.len, 0);
        assert_false(bk_sip_msg_answerable(&msg));
    }
}

static void a_version_in_lower_case_is_one(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    parse_bent(&buf, "MESSAGE sip:bob@example.org sip/2.0", -1, NULL, "");
    assert_int_equal(bk_sip_msg_check(&msg, &head, &fault), 0);
    parse_bent(&buf, "sip/2.0 200 OK", -1, NULL, "");
    assert_int_equal(msg.status, 200);
    assert_int_equal(msg.method, BK_SIP_MESSAGE);
    assert_int_equal(bk_sip_msg_check(&msg, &head, &fault), 0);
    parse_bent(&buf, "SIP/4.0 200 OK", -1, NULL, "");
    assert_int_equal(bk_sip_msg_check(&msg, &head, &fault), -EBADMSG);
    assert_int_equal(fault.status, 505);
}

/* ---- bodies ---- */

static void a_body_ends_where_content_length_says(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    parse_bent(&buf, request, 7, "Content-Length: 2\r\n", "");
    assert_view(msg.body, "he");
    assert_int_equal(msg.bytes.len, buf.len - 3);
    parse_bent(&buf, request, 7, "", "");
    assert_view(msg.body, "hello");
    parse_bent(&buf, request, 7, "Content-Length: 000000000000000000000000000000005\r\n", "");
    assert_view(msg.body, "hello");
    parse_bent(&buf, request, 7, "l : \r\n 5\r\n", "");
    assert_view(msg.body, "hello");
}

static void a_content_length_that_is_none_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *line, *text;
    } rows[] = {
        { "Content-Length: 6\r\n", "Content-Length is more than there is" },
        { "Content-Length: 18446744073709551616\r\n", "Content-Length is more than there is" },
        { "Content-Length: 99999999999999999999999999\r\n",
          "Content-Length is more than there is" },
        { "Content-Length: -1\r\n", "Content-Length is not a number" },
        { "Content-Length: +5\r\n", "Content-Length is not a number" },
        { "Content-Length: 5, 5\r\n", "Content-Length is not a number" },
        { "Content-Length: 5 5\r\n", "Content-Length is not a number" },
        { "Content-Length: 0x5\r\n", "Content-Length is not a number" },
        { "Content-Length:\r\n", "Content-Length is not a number" },
    };
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        EXACT(bytes, bent(&buf, request, 7, rows[i].line, V("")));
        assert_int_equal(parse(bytes), -EBADMSG);
        assert_string_equal(fault.text, rows[i].text);
        assert_inside(msg.body, bytes);
    }
}

/* ---- limits ---- */

static void fields_add(struct bk_buf *to, const char *line, int n)
{
    for (int i = 0; i < n; i++)
        bk_buf_add_str(to, line);
}

static int parse_with_fields(const char *line, int n)
{
    BK_AUTO_BUF struct bk_buf more = { 0 }, buf = { 0 };
    fields_add(&more, line, n);
    EXACT(bytes, bent(&buf, request, -1, NULL, bk_buf_view(&more)));
    int r = parse(bytes);
    assert_sound(&msg);
    return r;
}

static void every_limit_holds_at_its_number_and_breaks_behind_it(void **state)
{
    (void)state;
    assert_int_equal(parse_with_fields("X: 1\r\n", BK_SIP_FIELDS_MAX - N_GOOD), 0);
    assert_int_equal(parse_with_fields("X: 1\r\n", BK_SIP_FIELDS_MAX - N_GOOD + 1), -EBADMSG);
    assert_string_equal(fault.text, "There are more than 128 header fields");
    assert_int_equal(parse_with_fields("Via: SIP/2.0/TLS a\r\n", BK_SIP_VIA_MAX - 1), 0);
    assert_int_equal(parse_with_fields("Via: SIP/2.0/TLS a\r\n", BK_SIP_VIA_MAX), -EBADMSG);
    assert_string_equal(fault.text, "There are more than 70 Via values");
    assert_int_equal(parse_with_fields("Via: SIP/2.0/TLS a, SIP/2.0/TLS b\r\n", 34), 0);
    assert_int_equal(parse_with_fields("Via: SIP/2.0/TLS a, SIP/2.0/TLS b\r\n", 35), -EBADMSG);
    assert_int_equal(parse_with_fields("Route: <sip:a;lr>\r\n", BK_SIP_ROUTE_MAX), 0);
    assert_int_equal(parse_with_fields("Route: <sip:a;lr>\r\n", BK_SIP_ROUTE_MAX + 1), -EBADMSG);
    assert_int_equal(parse_with_fields("Contact: <sip:a>\r\n", BK_SIP_CONTACT_MAX), 0);
    assert_int_equal(parse_with_fields("m: <sip:a>\r\n", BK_SIP_CONTACT_MAX + 1), -EBADMSG);
    assert_int_equal(parse_with_fields("m: <sip:a>, <sip:b>, \"c,d,e\" <sip:c>\r\n", 3), 0);
    assert_int_equal(parse_with_fields("m: <sip:a>, <sip:b>, \"c,d,e\" <sip:c>\r\n", 4), -EBADMSG);
    assert_string_equal(fault.text, "There are more than 10 Contact values");
}

static void long_lines_and_heads_have_an_end(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf line = { 0 }, buf = { 0 };
    bk_buf_add_lit(&line, "X: ");
    for (int i = 0; i < BK_SIP_FIELD_BYTES_MAX - 5; i++)
        bk_buf_add_char(&line, 'x');
    bk_buf_add_lit(&line, "\r\n");
    assert_int_equal(line.len, BK_SIP_FIELD_BYTES_MAX);
    assert_int_equal(parse(bent(&buf, request, -1, NULL, bk_buf_view(&line))), 0);
    line.at[line.len - 2] = 'x';
    line.at[line.len - 1] = '\r';
    bk_buf_add_char(&line, '\n');
    assert_int_equal(parse(bent(&buf, request, -1, NULL, bk_buf_view(&line))), -EBADMSG);
    assert_string_equal(fault.text, "A header field is longer than 32 kB");

    bk_buf_clear(&line);
    for (int i = 0; i < 3; i++) {
        bk_buf_add_lit(&line, "X: ");
        for (int n = 0; n < 25000; n++)
            bk_buf_add_char(&line, 'x');
        bk_buf_add_lit(&line, "\r\n");
    }
    assert_int_equal(parse(bent(&buf, request, -1, NULL, bk_buf_view(&line))), -EBADMSG);
    assert_string_equal(fault.text, "The head is longer than 64 kB");

    bk_buf_clear(&line);
    bk_buf_add_lit(&line, "MESSAGE sip:");
    while (line.len < BK_SIP_START_LINE_MAX - strlen(" SIP/2.0"))
        bk_buf_add_char(&line, 'b');
    bk_buf_add_lit(&line, " SIP/2.0");
    assert_int_equal(parse(bent(&buf, bk_buf_cstr(&line), -1, NULL, V(""))), 0);
    bk_buf_clear(&line);
    bk_buf_add_lit(&line, "MESSAGE sip:");
    while (line.len < BK_SIP_START_LINE_MAX - strlen(" SIP/2.0") + 1)
        bk_buf_add_char(&line, 'b');
    bk_buf_add_lit(&line, " SIP/2.0");
    assert_int_equal(parse(bent(&buf, bk_buf_cstr(&line), -1, NULL, V(""))), -EBADMSG);
    assert_int_equal(fault.status, 414);
}

/* ---- looking up ---- */

static void fields_are_found_by_name_whether_known_or_not(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf buf = { 0 };
    parse_bent(&buf, request, -1, NULL, "X-One: 1\r\nk: a, B\r\nSupported: c\r\nx-one: 2\r\n");
    assert_view(bk_sip_msg_field_named(&msg, V("x-ONE"))->value, "1");
    assert_view(bk_sip_msg_field_named(&msg, V("supported"))->value, "a, B");
    assert_view(bk_sip_msg_field_named(&msg, V("K"))->value, "a, B");
    assert_null(bk_sip_msg_field_named(&msg, V("X-Two")));
    assert_null(bk_sip_msg_field_named(&msg, V("Route")));
    assert_true(bk_sip_msg_has_token(&msg, BK_SIP_HDR_SUPPORTED, V("b")));
    assert_true(bk_sip_msg_has_token(&msg, BK_SIP_HDR_SUPPORTED, V("C")));
    assert_false(bk_sip_msg_has_token(&msg, BK_SIP_HDR_SUPPORTED, V("a, B")));
    assert_false(bk_sip_msg_has_token(&msg, BK_SIP_HDR_REQUIRE, V("a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_line_field_lines_and_body_rejoined_are_the_message),
        cmocka_unit_test(cut_at_any_byte_it_is_sound_and_refused),
        cmocka_unit_test(what_was_printed_reads_the_same_and_prints_the_same),
        cmocka_unit_test(every_name_is_found_in_any_case_and_nothing_else_is),
        cmocka_unit_test(compact_forms_are_those_of_the_registry),
        cmocka_unit_test(methods_are_told_apart_by_case),
        cmocka_unit_test(every_status_has_a_reason),
        cmocka_unit_test(the_second_look_brings_what_every_later_step_wants),
        cmocka_unit_test(each_field_an_answer_needs_is_missed_by_name),
        cmocka_unit_test(the_order_of_fields_does_not_matter_to_an_answer),
        cmocka_unit_test(what_the_second_look_refuses_it_names),
        cmocka_unit_test(what_peers_really_send_passes_the_second_look),
        cmocka_unit_test(too_many_hops_to_count_count_as_none_given),
        cmocka_unit_test(an_invite_has_one_contact),
        cmocka_unit_test(the_same_field_in_disguise_is_the_same_field),
        cmocka_unit_test(what_may_stand_once_is_refused_twice),
        cmocka_unit_test(a_torn_line_a_bare_byte_a_missing_colon_are_refused),
        cmocka_unit_test(a_fold_before_the_first_field_belongs_to_nothing),
        cmocka_unit_test(start_lines_that_are_none_are_refused),
        cmocka_unit_test(behind_a_torn_start_line_nothing_is_read),
        cmocka_unit_test(a_version_in_lower_case_is_one),
        cmocka_unit_test(a_body_ends_where_content_length_says),
        cmocka_unit_test(a_content_length_that_is_none_is_refused),
        cmocka_unit_test(every_limit_holds_at_its_number_and_breaks_behind_it),
        cmocka_unit_test(long_lines_and_heads_have_an_end),
        cmocka_unit_test(fields_are_found_by_name_whether_known_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
