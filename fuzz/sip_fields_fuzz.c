/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists, Via, Content-Type, diagnostics: written again from what was read, they read the same; what was quoted comes
 * back. The first byte chooses the field.
 */
#include "sip/fields.h"

#include <errno.h>
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

static void check_result(int r)
{
    check(r == 0 || r == 1 || r == -EBADMSG);
}

static void check_list(struct bk_view in)
{
    struct bk_view rest = in, element, same;
    struct bk_buf joined = { 0 };
    int r, n = 0;
    while ((r = bk_sip_list_next(&rest, &element)) > 0) {
        check_inside(element, in);
        check(element.len > 0);
        bk_buf_add_str(&joined, n++ ? "," : "");
        bk_buf_add_view(&joined, element);
    }
    check_result(r);
    if (r == 0) {
        struct bk_view again = bk_buf_view(&joined);
        for (rest = in; bk_sip_list_next(&rest, &element) > 0;) {
            check(bk_sip_list_next(&again, &same) == 1);
            check(bk_view_equal(same, element));
        }
        check(bk_sip_list_next(&again, &same) == 0);
    }
    bk_buf_finish(&joined);
}

static void check_via(struct bk_view in)
{
    struct bk_view rest = in;
    struct bk_sip_via via, same;
    int r;
    while ((r = bk_sip_via_next(&rest, &via)) > 0) {
        struct bk_buf out = { 0 };
        check_inside(via.sent_by, in);
        check_inside(via.host, via.sent_by);
        check_inside(via.params, in);
        check_inside(via.branch, via.params);
        check_inside(via.received, via.params);
        bk_buf_addf(&out, "%.*s/%.*s/%.*s ", BK_VIEW_ARGS(via.protocol), BK_VIEW_ARGS(via.version),
                    BK_VIEW_ARGS(via.transport));
        bk_buf_add_str(&out, via.host_is_ipv6 ? "[" : "");
        bk_buf_add_view(&out, via.host);
        bk_buf_add_str(&out, via.host_is_ipv6 ? "]" : "");
        if (via.port)
            bk_buf_addf(&out, ":%u", via.port);
        if (via.params.at) {
            bk_buf_add_char(&out, ';');
            bk_buf_add_view(&out, via.params);
        }
        struct bk_view again = bk_buf_view(&out);
        check(bk_sip_via_next(&again, &same) == 1 && again.len == 0);
        check(bk_view_equal(same.transport, via.transport) && bk_view_equal(same.host, via.host) &&
              same.port == via.port && bk_view_equal(same.branch, via.branch) &&
              bk_view_equal(same.received, via.received) && same.has_rport == via.has_rport &&
              same.rport == via.rport);
        bk_buf_finish(&out);
    }
    check_result(r);
}

static void check_content_type(struct bk_view in)
{
    struct bk_sip_content_type t, same;
    int r = bk_sip_content_type_parse(in, &t);
    check_result(r);
    if (r < 0)
        return;
    struct bk_buf out = { 0 };
    check_inside(t.params, in);
    check_inside(t.boundary, t.params);
    check_inside(t.charset, t.params);
    bk_buf_addf(&out, "%.*s/%.*s", BK_VIEW_ARGS(t.type), BK_VIEW_ARGS(t.subtype));
    if (t.params.at) {
        bk_buf_add_char(&out, ';');
        bk_buf_add_view(&out, t.params);
    }
    check(bk_sip_content_type_parse(bk_buf_view(&out), &same) == 0);
    check(bk_view_equal(same.subtype, t.subtype) && bk_view_equal(same.boundary, t.boundary) &&
          bk_view_equal(same.charset, t.charset));
    bk_buf_finish(&out);
}

static void check_diagnostics(struct bk_view in)
{
    struct bk_sip_diagnostics d, same;
    int r = bk_sip_diagnostics_parse(in, &d);
    check_result(r);
    if (r < 0)
        return;
    struct bk_buf out = { 0 };
    const struct bk_view texts[] = { d.reason, d.source, d.record, d.case_code };
    static const char *const names[] = { "reason", "source", "record", "case" };
    bk_buf_addf(&out, "%u", d.id);
    for (size_t i = 0; i < 4; i++) {
        check_inside(texts[i], in);
        if (!texts[i].at)
            continue;
        if (bk_view_find(texts[i], '\\') <
            texts[i].len) { /* a bare value may end in one: not to be quoted */
            bk_buf_finish(&out);
            return;
        }
        bk_buf_addf(&out, ";%s=\"", names[i]);
        bk_buf_add_view(&out, texts[i]);
        bk_buf_add_char(&out, '"');
    }
    check(bk_sip_diagnostics_parse(bk_buf_view(&out), &same) == 0);
    check(same.id == d.id && bk_view_equal(same.reason, d.reason) &&
          bk_view_equal(same.case_code, d.case_code));
    bk_buf_finish(&out);
}

static void check_small_ones(struct bk_view in)
{
    struct bk_sip_cseq cseq;
    struct bk_sip_event event;
    struct bk_sip_subscription_state sub;
    if (bk_sip_cseq_parse(in, &cseq) == 0) {
        check_inside(cseq.method, in);
        check(cseq.method.len > 0);
    }
    if (bk_sip_event_parse(in, &event) == 0) {
        check_inside(event.package, in);
        check_inside(event.id, in);
    }
    if (bk_sip_subscription_state_parse(in, &sub) == 0) {
        check_inside(sub.reason, in);
        check(sub.expires_s >= -1 && sub.expires_s <= UINT32_MAX);
        check(sub.retry_after_s >= -1 && sub.retry_after_s <= UINT32_MAX);
    }
}

static void check_quotes(struct bk_view in)
{
    struct bk_buf quoted = { 0 }, plain = { 0 };
    bk_sip_quote(&quoted, in);
    check(bk_sip_unquote(bk_buf_view(&quoted), &plain) == 0);
    size_t n = 0; /* what came back is what went in, less the control bytes */
    for (size_t i = 0; i < in.len; i++) {
        unsigned char c = (unsigned char)in.at[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            continue;
        check(n < plain.len && plain.at[n] == in.at[i]);
        n++;
    }
    check(n == plain.len);
    bk_buf_clear(&plain);
    if (bk_sip_unquote(in, &plain) < 0)
        check(plain.len == 0);
    bk_buf_finish(&quoted);
    bk_buf_finish(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bk_view in = { (const char *)data + 1, size - 1 };
    switch (data[0]) {
    case 'v':
        check_via(in);
        break;
    case 'c':
        check_content_type(in);
        break;
    case 'd':
        check_diagnostics(in);
        break;
    case 's':
        check_small_ones(in);
        break;
    case 'q':
        check_quotes(in);
        break;
    default:
        check_list(in);
    }
    return 0;
}
