/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/mime.h"

#include "sip/fields.h"
#include "sip/scan_private.h"

#include <errno.h>

enum { BOUNDARY_MAX = 70 }; /* RFC 2046 5.1.1 */

/* A line that parts: at `from` its CRLF (or the body's first byte), behind `to` what follows. */
struct delimiter {
    const char *from, *to;
    bool closing;
};

/* "--" boundary, "--" at the last one, blanks, CRLF (or the end of the body behind the last one). */
static bool delimiter_read(const char *at, const char *stop, struct bk_view boundary,
                           struct delimiter *ret)
{
    at += 2 + boundary.len;
    ret->closing = stop - at >= 2 && at[0] == '-' && at[1] == '-';
    if (ret->closing)
        at += 2;
    at = bk_sip_skip(at, stop, BK_SIP_IS_BLANK);
    if (stop - at >= 2 && at[0] == '\r' && at[1] == '\n') {
        ret->to = at + 2;
        return true;
    }
    ret->to = stop;
    return ret->closing && at == stop;
}

/* The first delimiter from `at` on, which is where a line begins. */
static bool delimiter_find(const char *at, const char *stop, struct bk_view boundary,
                           struct delimiter *ret)
{
    const char *begin = at;
    for (; at < stop; at++) {
        at = memmem(at, (size_t)(stop - at), boundary.at, boundary.len);
        if (!at)
            return false;
        if (at - begin < 2 || at[-1] != '-' || at[-2] != '-')
            continue;
        const char *line = at - 2;
        bool at_crlf = line - begin >= 2 && line[-2] == '\r' && line[-1] == '\n';
        if ((line == begin || at_crlf) && delimiter_read(line, stop, boundary, ret)) {
            ret->from = at_crlf ? line - 2 : line;
            return true;
        }
    }
    return false;
}

/*
 * Fields of a part, up to the empty line, which a part without fields begins with. A part without a body has none:
 * that CRLF is the boundary's (RFC 2046 5.1.1, body-part).
 */
static bool head_read(struct bk_view content, struct bk_mime_part *part)
{
    const char *at = content.at, *stop = bk_sip_stop(content);

    while (at < stop) {
        if (stop - at >= 2 && at[0] == '\r' && at[1] == '\n')
            break;
        const char *from = at;
        bool has_control = false;
        struct bk_view name, value;
        enum bk_sip_line end = bk_sip_line_find(&at, stop, true, &has_control);
        if (end == BK_SIP_LINE_MORE &&
            stop - at == 2) { /* the last CRLF there is: it folds nothing */
            at = stop;
            end = BK_SIP_LINE_END;
        }
        if (end != BK_SIP_LINE_END || has_control ||
            !bk_sip_line_split(bk_view_between(from, at), &name, &value))
            return false;
        if (bk_view_equal_nocase(name, BK_VIEW("Content-Type")))
            part->content_type = value;
        else if (bk_view_equal_nocase(name, BK_VIEW("Content-ID")))
            part->content_id = value;
    }
    if (part->content_id.len >= 2 && part->content_id.at[0] == '<' &&
        part->content_id.at[part->content_id.len - 1] == '>')
        part->content_id =
            bk_view_between(part->content_id.at + 1, bk_sip_stop(part->content_id) - 1);
    part->head = bk_view_between(content.at, at);
    part->body = bk_view_between(at < stop ? at + 2 : stop, stop);
    return true;
}

int bk_mime_next(struct bk_view *rest, struct bk_view boundary, int *count,
                 struct bk_mime_part *ret)
{
    const char *at = rest->at, *stop = bk_sip_stop(*rest);
    struct delimiter open, close;
    struct bk_mime_part part = { 0 };

    if (boundary.len == 0 || boundary.len > BOUNDARY_MAX || !at ||
        !delimiter_find(at, stop, boundary, &open))
        return -EBADMSG;
    if (open.closing) {
        *rest = bk_view_between(open.to, stop);
        return 0;
    }
    if (*count == BK_MIME_PARTS_MAX || !delimiter_find(open.to, stop, boundary, &close))
        return -EBADMSG;
    bool nothing_between = close.from == open.to && *close.from == '-';
    if (nothing_between || !head_read(bk_view_between(open.to, close.from), &part))
        return -EBADMSG;
    ++*count;
    *rest = bk_view_between(close.from, stop);
    *ret = part;
    return 1;
}

/* ---- looking for a part ---- */

struct level {
    struct bk_view rest, boundary;
    int count;
};

static bool is_type(const struct bk_sip_content_type *type, struct bk_view wanted)
{
    struct bk_view name = bk_view_cut(&wanted, '/');
    return bk_view_equal_nocase(type->type, name) && bk_view_equal_nocase(type->subtype, wanted);
}

/* What an empty field means (RFC 2045 5.2). */
static int type_of(struct bk_view content_type, struct bk_sip_content_type *ret)
{
    return bk_sip_content_type_parse(content_type.len ? content_type : BK_VIEW("text/plain"), ret);
}

int bk_mime_find(struct bk_view content_type, struct bk_view body, struct bk_view wanted_type,
                 struct bk_mime_part *ret)
{
    struct bk_mime_part part = { .content_type = content_type, .body = body };
    struct level levels[BK_MIME_NESTING_MAX];
    int depth = 0;

    for (;;) {
        struct bk_sip_content_type type;
        if (type_of(part.content_type, &type) < 0)
            return -EBADMSG;
        if (is_type(&type, wanted_type)) {
            *ret = part;
            return 0;
        }
        if (bk_view_equal_nocase(type.type, BK_VIEW("multipart"))) {
            if (depth == BK_MIME_NESTING_MAX)
                return -EBADMSG;
            levels[depth++] = (struct level){ part.body, type.boundary, 0 };
        }
        int r = 0;
        while (depth && r == 0) {
            struct level *top = &levels[depth - 1];
            r = bk_mime_next(&top->rest, top->boundary, &top->count, &part);
            if (r == 0)
                depth--;
        }
        if (r <= 0)
            return r < 0 ? r : -ENOENT;
    }
}

/* ---- writing ---- */

static void line_add(struct bk_buf *to, const char *name, struct bk_view value)
{
    bk_buf_add_str(to, name);
    bk_buf_add_view(to, value);
    bk_buf_add_lit(to, "\r\n");
}

void bk_mime_add(struct bk_buf *to, struct bk_view boundary, struct bk_view content_type,
                 struct bk_view extra_fields, struct bk_view body)
{
    line_add(to, "--", boundary);
    line_add(to, "Content-Type: ", content_type);
    bk_buf_add_view(to, extra_fields);
    bk_buf_add_lit(to, "\r\n");
    bk_buf_add_view(to, body);
    bk_buf_add_lit(to, "\r\n\r\n");
}

void bk_mime_end(struct bk_buf *to, struct bk_view boundary)
{
    bk_buf_add_lit(to, "--");
    bk_buf_add_view(to, boundary);
    bk_buf_add_lit(to, "--\r\n");
}
