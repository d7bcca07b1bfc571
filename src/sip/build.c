/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/build.h"

#include "sip/fields.h"
#include "sip/scan_private.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- fields ---- */

/*
 * A value onto the wire. A fold is written as the blank it means; any other CR, LF or NUL would let whoever chose
 * the value write fields of his own.
 */
static void value_add(struct bk_buf *to, struct bk_view value)
{
    const char *at = value.at, *stop = bk_sip_stop(value);
    for (const char *p = at; (p = bk_sip_find_control(p, stop)) < stop; p++) {
        if (*p != '\r' && *p != '\n' && *p != '\0')
            continue;
        if (stop - p < 3 || p[0] != '\r' || p[1] != '\n' || !bk_sip_is(p[2], BK_SIP_IS_BLANK)) {
            to->failed = true;
            return;
        }
        bk_buf_add(to, at, (size_t)(p - at));
        at = p + 2; /* at the blank */
        p++;
    }
    bk_buf_add(to, at, (size_t)(stop - at));
}

/* What stands in front of the colon must be a token. */
static void name_add(struct bk_buf *to, struct bk_view name)
{
    const char *stop = bk_sip_stop(name);
    if (name.len == 0 || bk_sip_skip(name.at, stop, BK_SIP_IS_TOKEN) != stop)
        to->failed = true;
    bk_buf_add_view(to, name);
    bk_buf_add_lit(to, ": ");
}

void bk_sip_field_add_named(struct bk_buf *to, struct bk_view name, struct bk_view value)
{
    name_add(to, name);
    value_add(to, value);
    bk_buf_add_lit(to, "\r\n");
}

void bk_sip_field_add(struct bk_buf *to, enum bk_sip_hdr id, struct bk_view value)
{
    bk_sip_field_add_named(to, bk_sip_hdr_name(id), value);
}

void bk_sip_field_addf(struct bk_buf *to, enum bk_sip_hdr id, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    name_add(to, bk_sip_hdr_name(id));
    char *at = len < 0 ? NULL : bk_buf_reserve(to, (size_t)len + 1);
    if (at && vsnprintf(at, (size_t)len + 1, format, again) == len &&
        !memchr(at, '\r', (size_t)len) && !memchr(at, '\n', (size_t)len) &&
        !memchr(at, '\0', (size_t)len))
        to->len += (size_t)len;
    else
        to->failed = true;
    va_end(again);
    va_end(args);
    bk_buf_add_lit(to, "\r\n");
}

static void length_add(struct bk_buf *to, size_t len)
{
    bk_buf_add_lit(to, "Content-Length: ");
    bk_buf_add_u64(to, len);
    bk_buf_add_lit(to, "\r\n");
}

void bk_sip_end(struct bk_buf *to, struct bk_view content_type, struct bk_view body)
{
    if (body.len)
        bk_sip_field_add(to, BK_SIP_HDR_CONTENT_TYPE, content_type);
    length_add(to, body.len);
    bk_buf_add_lit(to, "\r\n");
    bk_buf_add_view(to, body);
}

/* ---- new requests ---- */

/* A word of the request line: nothing that ends it early. */
static void word_add(struct bk_buf *to, struct bk_view word)
{
    for (size_t i = 0; i < word.len; i++)
        if (bk_sip_is(word.at[i], BK_SIP_IS_SPACE | BK_SIP_IS_CONTROL))
            to->failed = true;
    if (word.len == 0)
        to->failed = true;
    bk_buf_add_view(to, word);
}

void bk_sip_request_begin(struct bk_buf *to, struct bk_view method, struct bk_view uri)
{
    word_add(to, method);
    bk_buf_add_char(to, ' ');
    word_add(to, uri);
    bk_buf_add_lit(to, " SIP/2.0\r\n");
}

/* ---- answers ---- */

static void lines_add(struct bk_buf *to, const struct bk_sip_msg *msg,
                      const struct bk_sip_field *field)
{
    for (; field; field = bk_sip_msg_field_next(msg, field))
        bk_buf_add_view(to, field->line);
}

/*
 * The topmost Via says where the answer goes; what it says itself about where it came from counts
 * for nothing (RFC 3261 18.2.1, RFC 3581 4).
 */
static void top_via_add(struct bk_buf *to, const struct bk_sip_field *field,
                        const struct bk_sip_source *source)
{
    struct bk_view rest = field->value;
    struct bk_sip_via via;

    if (!source || source->host.len == 0 || bk_sip_via_next(&rest, &via) <= 0 ||
        (!via.has_rport && via.received.len == 0 && bk_view_equal_nocase(via.host, source->host))) {
        bk_buf_add_view(to, field->line);
        return;
    }
    bk_buf_add_lit(to, "Via: ");
    bk_buf_add_view(to, bk_view_between(field->value.at, bk_sip_stop(via.sent_by)));
    struct bk_sip_param param;
    while (bk_sip_param_next(&via.params, &param)) {
        if (bk_view_equal_nocase(param.name, BK_VIEW("received")) ||
            bk_view_equal_nocase(param.name, BK_VIEW("rport")))
            continue;
        bk_buf_add_char(to, ';');
        bk_buf_add_view(to, param.name);
        if (param.value.at) {
            bk_buf_add_char(to, '=');
            bk_buf_add_view(to, param.value);
        }
    }
    bk_buf_add_lit(to, ";received=");
    value_add(to, source->host);
    if (via.has_rport) {
        bk_buf_add_lit(to, ";rport=");
        bk_buf_add_u64(to, source->port);
    }
    if (rest.len) {
        bk_buf_add_lit(to, ", ");
        bk_buf_add_view(to, rest);
    }
    bk_buf_add_lit(to, "\r\n");
}

/* Our tag, unless there is one, or no telling. */
static void to_add(struct bk_buf *to, const struct bk_sip_field *field, struct bk_view to_tag)
{
    struct bk_view rest = field->value, tag;
    struct bk_sip_addr addr;

    if (to_tag.len == 0 || bk_sip_addr_next(&rest, &addr) <= 0 || rest.len ||
        bk_sip_param_find(addr.params, BK_VIEW("tag"), &tag)) {
        bk_buf_add_view(to, field->line);
        return;
    }
    bk_buf_add_lit(to, "To: ");
    bk_buf_add_view(to, field->value);
    bk_buf_add_lit(to, ";tag=");
    value_add(to, to_tag);
    bk_buf_add_lit(to, "\r\n");
}

/* Answers that make a dialog carry the way back (RFC 3261 12.1.1). */
static bool tells_route(const struct bk_sip_msg *request, int status)
{
    return status > 100 && status < 300 &&
           (request->method == BK_SIP_INVITE || request->method == BK_SIP_SUBSCRIBE ||
            request->method == BK_SIP_REFER || request->method == BK_SIP_NOTIFY);
}

void bk_sip_response_begin(struct bk_buf *to, const struct bk_sip_msg *request, int status,
                           struct bk_view reason, struct bk_view to_tag,
                           const struct bk_sip_source *source)
{
    bk_buf_add_lit(to, "SIP/2.0 ");
    bk_buf_add_u64(to, (uint64_t)status);
    bk_buf_add_char(to, ' ');
    value_add(to, reason.len ? reason : bk_sip_reason_of(status));
    bk_buf_add_lit(to, "\r\n");

    const struct bk_sip_field *via = bk_sip_msg_field(request, BK_SIP_HDR_VIA);
    if (via) {
        top_via_add(to, via, source);
        lines_add(to, request, bk_sip_msg_field_next(request, via));
    }
    if (tells_route(request, status))
        lines_add(to, request, bk_sip_msg_field(request, BK_SIP_HDR_RECORD_ROUTE));

    static const enum bk_sip_hdr echoed[] = { BK_SIP_HDR_FROM, BK_SIP_HDR_TO, BK_SIP_HDR_CALL_ID,
                                              BK_SIP_HDR_CSEQ };
    for (size_t i = 0; i < sizeof echoed / sizeof *echoed; i++) {
        const struct bk_sip_field *field = bk_sip_msg_field(request, echoed[i]);
        if (field && echoed[i] == BK_SIP_HDR_TO)
            to_add(to, field, to_tag);
        else if (field)
            bk_buf_add_view(to, field->line);
    }
    if (status == 100) { /* RFC 3261 8.2.6.1 */
        const struct bk_sip_field *stamp = bk_sip_msg_field_named(request, BK_VIEW("Timestamp"));
        if (stamp)
            bk_buf_add_view(to, stamp->line);
    }
}

/* ---- forwarding ---- */

enum {
    EDIT_URI,
    EDIT_INSERT,
    EDIT_REMOVE,
    EDIT_POP,
    EDIT_VALUE,
    EDIT_BODY, /* text: its type, text2: itself */
};

enum { START_LINE = -1 };

void bk_sip_edit_begin(struct bk_sip_edit *edit, const struct bk_sip_msg *msg)
{
    /* The steps behind n are never looked at. */
    edit->msg = msg;
    edit->n = 0;
    edit->failed = false;
}

static void step_add(struct bk_sip_edit *edit, int field, uint8_t kind, struct bk_view text,
                     struct bk_view text2)
{
    if (edit->n == BK_SIP_EDITS_MAX) {
        edit->failed = true;
        return;
    }
    edit->steps[edit->n++] = (struct bk_sip_edit_step){ (int16_t)field, kind, text, text2 };
}

static int index_of(const struct bk_sip_edit *edit, const struct bk_sip_field *field)
{
    return field ? (int)(field - edit->msg->fields) : 0;
}

void bk_sip_edit_uri(struct bk_sip_edit *edit, struct bk_view uri)
{
    step_add(edit, START_LINE, EDIT_URI, uri, (struct bk_view){ 0 });
}

void bk_sip_edit_insert(struct bk_sip_edit *edit, const struct bk_sip_field *field,
                        struct bk_view lines)
{
    if (lines.len == 0)
        return;
    if (!bk_view_ends_with(lines, BK_VIEW("\r\n")) || !bk_sip_is(lines.at[0], BK_SIP_IS_TOKEN))
        edit->failed = true;
    step_add(edit, index_of(edit, field), EDIT_INSERT, lines, (struct bk_view){ 0 });
}

void bk_sip_edit_remove(struct bk_sip_edit *edit, const struct bk_sip_field *field)
{
    step_add(edit, index_of(edit, field), EDIT_REMOVE, (struct bk_view){ 0 },
             (struct bk_view){ 0 });
}

void bk_sip_edit_pop(struct bk_sip_edit *edit, const struct bk_sip_field *field)
{
    step_add(edit, index_of(edit, field), EDIT_POP, (struct bk_view){ 0 }, (struct bk_view){ 0 });
}

void bk_sip_edit_value(struct bk_sip_edit *edit, const struct bk_sip_field *field,
                       struct bk_view value)
{
    step_add(edit, index_of(edit, field), EDIT_VALUE, value, (struct bk_view){ 0 });
}

void bk_sip_edit_body(struct bk_sip_edit *edit, struct bk_view content_type, struct bk_view body)
{
    step_add(edit, edit->msg->n_fields, EDIT_BODY, content_type, body);
}

/* The message as it came, copied in runs: `at` is the first byte not copied yet. */
struct writer {
    struct bk_buf *to;
    const char *at;
};

static void copy_until(struct writer *w, const char *until)
{
    bk_buf_add(w->to, w->at, (size_t)(until - w->at));
    w->at = until;
}

static void value_put(struct writer *w, const struct bk_sip_field *field, struct bk_view value)
{
    copy_until(w, field->value.at);
    value_add(w->to, value);
    w->at = bk_sip_stop(field->value);
}

static void line_drop(struct writer *w, const struct bk_sip_field *field)
{
    copy_until(w, field->line.at);
    w->at = bk_sip_stop(field->line);
}

static void values_pop(struct writer *w, const struct bk_sip_field *field, int n)
{
    struct bk_view rest = field->value, first;
    for (; n && rest.len; n--) {
        if (bk_sip_list_next(&rest, &first) <= 0) {
            w->to->failed = true;
            return;
        }
    }
    if (rest.len == 0) {
        line_drop(w, field);
        return;
    }
    copy_until(w, field->value.at);
    w->at = rest.at;
}

/* All steps on one field: insertions in front of it, then the strongest of remove, value, pop. */
static void field_write(struct writer *w, const struct bk_sip_field *field,
                        const struct bk_sip_edit_step *const steps[], int n)
{
    const struct bk_sip_edit_step *value = NULL;
    bool removed = false;
    int pops = 0;

    copy_until(w, field->line.at);
    for (int i = 0; i < n; i++) {
        switch (steps[i]->kind) {
        case EDIT_INSERT:
            bk_buf_add_view(w->to, steps[i]->text);
            break;
        case EDIT_REMOVE:
            removed = true;
            break;
        case EDIT_VALUE:
            value = steps[i];
            break;
        default:
            pops++;
            break;
        }
    }
    if (removed)
        line_drop(w, field);
    else if (value)
        value_put(w, field, value->text);
    else if (pops)
        values_pop(w, field, pops);
}

static void uri_write(struct writer *w, const struct bk_sip_msg *msg, struct bk_view uri)
{
    if (!msg->uri.at) {
        w->to->failed = true; /* a response has none */
        return;
    }
    copy_until(w, msg->uri.at);
    word_add(w->to, uri);
    w->at = bk_sip_stop(msg->uri);
}

/* Stable: steps on one field stay in the order they were given. */
static int sort_in(const struct bk_sip_edit_step *sorted[], int n,
                   const struct bk_sip_edit_step *step)
{
    int i = n;
    for (; i > 0 && sorted[i - 1]->field > step->field; i--)
        sorted[i] = sorted[i - 1];
    sorted[i] = step;
    return n + 1;
}

static struct bk_view digits_of(size_t n, char space[20])
{
    size_t at = 20;
    do {
        space[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    return bk_view_between(space + at, space + 20);
}

/* A new body changes fields that are there; those that are missing are added at the end of the head. */
static void body_write(struct writer *w, const struct bk_sip_msg *msg,
                       const struct bk_sip_edit_step *body)
{
    if (body->text.len && !bk_sip_msg_field(msg, BK_SIP_HDR_CONTENT_TYPE))
        bk_sip_field_add(w->to, BK_SIP_HDR_CONTENT_TYPE, body->text);
    if (!bk_sip_msg_field(msg, BK_SIP_HDR_CONTENT_LENGTH))
        length_add(w->to, body->text2.len);
    copy_until(w, msg->body.at);
    bk_buf_add_view(w->to, body->text2);
    w->at = bk_sip_stop(msg->bytes);
}

void bk_sip_edit_write(const struct bk_sip_edit *edit, struct bk_buf *to)
{
    const struct bk_sip_msg *msg = edit->msg;
    const struct bk_sip_edit_step *sorted[BK_SIP_EDITS_MAX + 2], *body = NULL;
    struct bk_sip_edit_step more[2];
    char digits[20];
    int n = 0, n_more = 0;
    size_t room = msg->bytes.len + sizeof digits;

    if (edit->failed) {
        to->failed = true;
        return;
    }
    for (int i = 0; i < edit->n; i++) {
        const struct bk_sip_edit_step *step = &edit->steps[i];
        room += step->text.len + step->text2.len;
        if (step->kind == EDIT_BODY)
            body = step;
        else
            n = sort_in(sorted, n, step);
    }
    const struct bk_sip_field *type = bk_sip_msg_field(msg, BK_SIP_HDR_CONTENT_TYPE);
    const struct bk_sip_field *length = bk_sip_msg_field(msg, BK_SIP_HDR_CONTENT_LENGTH);
    if (body && type && body->text.len)
        more[n_more++] = (struct bk_sip_edit_step){ .field = (int16_t)(type - msg->fields),
                                                    .kind = EDIT_VALUE,
                                                    .text = body->text };
    if (body && length)
        more[n_more++] = (struct bk_sip_edit_step){ .field = (int16_t)(length - msg->fields),
                                                    .kind = EDIT_VALUE,
                                                    .text = digits_of(body->text2.len, digits) };
    for (int i = 0; i < n_more; i++)
        n = sort_in(sorted, n, &more[i]);

    bk_buf_reserve(to, room);
    struct writer w = { .to = to, .at = msg->bytes.at };
    const char *head_end = msg->body.at - strlen("\r\n");
    for (int i = 0, next; i < n; i = next) {
        int field = sorted[i]->field;
        for (next = i + 1; next < n && sorted[next]->field == field;)
            next++;
        if (field == START_LINE)
            uri_write(&w, msg, sorted[next - 1]->text);
        else if (field < msg->n_fields)
            field_write(&w, &msg->fields[field], sorted + i, next - i);
        else
            for (copy_until(&w, head_end); i < next; i++) /* into a head without any field */
                bk_buf_add_view(to, sorted[i]->text);
    }
    if (body) {
        copy_until(&w, head_end);
        body_write(&w, msg, body);
    }
    copy_until(&w, bk_sip_stop(msg->bytes));
}
