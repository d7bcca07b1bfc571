/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is read lies inside what came and, joined again, is what came; the framing agrees with the parser
 * about where a message ends; an edit of nothing changes nothing; what passes the second look can be
 * answered and forwarded, and both results pass it again and say the same.
 */
#include "sip/build.h"
#include "sip/fields.h"
#include "sip/frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool held)
{
    if (!held)
        abort();
}

static void check_inside(struct bk_view part, struct bk_view whole)
{
    check(part.at ? part.at >= whole.at && part.at + part.len <= whole.at + whole.len
                  : part.len == 0);
}

static void check_sound(const struct bk_sip_msg *msg)
{
    check_inside(msg->start, msg->bytes);
    check_inside(msg->body, msg->bytes);
    check_inside(msg->uri, msg->start);
    check_inside(msg->method_name, msg->bytes);
    check(msg->n_fields >= 0 && msg->n_fields <= BK_SIP_FIELDS_MAX);
    for (int i = 0; i < msg->n_fields; i++) {
        check_inside(msg->fields[i].line, msg->bytes);
        check_inside(msg->fields[i].name, msg->fields[i].line);
        check_inside(msg->fields[i].value, msg->fields[i].line);
    }
}

static void check_joined(const struct bk_sip_msg *msg)
{
    struct bk_buf joined = { 0 };
    bk_buf_add_view(&joined, msg->start);
    bk_buf_add_lit(&joined, "\r\n");
    for (int i = 0; i < msg->n_fields; i++)
        bk_buf_add_view(&joined, msg->fields[i].line);
    bk_buf_add_lit(&joined, "\r\n");
    bk_buf_add_view(&joined, msg->body);
    check(bk_view_equal(bk_buf_view(&joined), msg->bytes));
    bk_buf_finish(&joined);
}

static void check_framed(const struct bk_sip_msg *msg, struct bk_view bytes)
{
    struct bk_sip_frame frame = { 0 };
    struct bk_sip_fault fault;
    size_t len = 0;
    if (!bk_sip_msg_field(msg, BK_SIP_HDR_CONTENT_LENGTH))
        return;
    check(bk_sip_frame_next(&frame, bytes, SIZE_MAX, &len, &fault) == BK_SIP_FRAME_MESSAGE);
    check(len == msg->bytes.len);
}

static void check_unedited(const struct bk_sip_msg *msg)
{
    struct bk_sip_edit edit;
    struct bk_buf out = { 0 };
    bk_sip_edit_begin(&edit, msg);
    bk_sip_edit_write(&edit, &out);
    check(!out.failed && bk_view_equal(bk_buf_view(&out), msg->bytes));
    bk_buf_finish(&out);
}

static void check_same_ends(const struct bk_sip_head *a, const struct bk_sip_head *b)
{
    check(bk_view_equal(a->from_uri, b->from_uri) && bk_view_equal(a->from_tag, b->from_tag) &&
          bk_view_equal(a->to_uri, b->to_uri) && bk_view_equal(a->call_id, b->call_id) &&
          a->cseq == b->cseq);
}

/* Reads `out` with the second look, which must succeed. */
static void read_again(struct bk_buf *out, struct bk_sip_msg *msg, struct bk_sip_head *head)
{
    struct bk_sip_fault fault;
    check(!out->failed);
    check(bk_sip_msg_parse(msg, bk_buf_view(out), &fault) == 0);
    check(bk_sip_msg_check(msg, head, &fault) == 0);
}

static void check_answered(const struct bk_sip_msg *msg, const struct bk_sip_head *head)
{
    static struct bk_sip_msg again;
    static const struct bk_sip_source source = { { BK_VIEW_OF("2001:db8::1") }, 5060 };
    struct bk_sip_head same;
    struct bk_buf out = { 0 };
    bk_sip_response_begin(&out, msg, 488, (struct bk_view){ 0 }, BK_VIEW("t4g"), &source);
    bk_sip_end(&out, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    read_again(&out, &again, &same);
    check_same_ends(head, &same);
    check(again.status == 488);
    check(bk_view_equal(same.via_branch, head->via_branch));
    check(bk_view_equal(same.to_tag, head->to_tag.len ? head->to_tag : same.to_tag));
    bk_buf_finish(&out);
}

/* What a proxy does to a request (RFC 3261 16.6). */
static void check_forwarded(const struct bk_sip_msg *msg, const struct bk_sip_head *head)
{
    static struct bk_sip_msg again;
    struct bk_sip_head same;
    struct bk_sip_edit edit;
    struct bk_buf out = { 0 };
    const struct bk_sip_field *hops = bk_sip_msg_field(msg, BK_SIP_HDR_MAX_FORWARDS);

    bk_sip_edit_begin(&edit, msg);
    bk_sip_edit_uri(&edit, BK_VIEW("sip:next@[::1]:5061;transport=tls"));
    bk_sip_edit_insert(&edit, bk_sip_msg_field(msg, BK_SIP_HDR_VIA),
                       BK_VIEW("Via: SIP/2.0/TLS us.example.org;branch=z9hG4bKus\r\n"));
    if (hops)
        bk_sip_edit_value(&edit, hops, BK_VIEW("42"));
    else
        bk_sip_edit_insert(&edit, NULL, BK_VIEW("Max-Forwards: 42\r\n"));
    bk_sip_edit_body(&edit, BK_VIEW("text/plain"), BK_VIEW("new body"));
    bk_sip_edit_write(&edit, &out);
    read_again(&out, &again, &same);
    check_same_ends(head, &same);
    check(bk_view_equal(same.via_branch, BK_VIEW("z9hG4bKus")) && same.max_forwards == 42);
    check(bk_view_equal(again.body, BK_VIEW("new body")));
    for (int i = 0; i < msg->n_fields; i++)
        if (msg->fields[i].id == BK_SIP_HDR_OTHER)
            check(bk_sip_msg_field_named(&again, msg->fields[i].name) != NULL);
    bk_buf_finish(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct bk_sip_msg msg;
    struct bk_view bytes = { (const char *)data, size };
    struct bk_sip_fault fault = { 0 };
    struct bk_sip_head head = { 0 };

    int r = bk_sip_msg_parse(&msg, bytes, &fault);
    check_sound(&msg);
    check(r == 0 || (fault.text && fault.status >= 400 && fault.offset <= size));
    if (r < 0) {
        struct bk_buf out = { 0 }; /* a 400 is made of what was read */
        bk_sip_response_begin(&out, &msg, fault.status, (struct bk_view){ 0 }, BK_VIEW("t"), NULL);
        bk_buf_finish(&out);
        (void)bk_sip_msg_check(&msg, &head, &fault);
        return 0;
    }
    check_joined(&msg);
    check_framed(&msg, bytes);
    check_unedited(&msg);
    if (bk_sip_msg_check(&msg, &head, &fault) < 0) {
        check(fault.text && fault.status >= 400 && fault.offset <= size);
        return 0;
    }
    /* Near the limits one more field is one too many. */
    if (msg.status || size > 20000 || msg.n_fields > BK_SIP_FIELDS_MAX - 4)
        return 0;
    int n_via = 0;
    for (const struct bk_sip_field *f = bk_sip_msg_field(&msg, BK_SIP_HDR_VIA); f;
         f = bk_sip_msg_field_next(&msg, f)) {
        struct bk_view rest = f->value, via;
        for (n_via++; bk_sip_list_next(&rest, &via) > 0; n_via++)
            ;
    }
    if (n_via < BK_SIP_VIA_MAX)
        check_forwarded(&msg, &head);
    check_answered(&msg, &head);
    return 0;
}
