/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/frame.h"

#include "sip/scan_private.h"

#include <errno.h>

/* Faults that bk_sip_frame remembers by number until the head is complete. */
enum {
    NO_FAULT,
    NO_FIELD,
    CONTROL_BYTE,
    LENGTH_NO_NUMBER,
    LENGTH_TWICE,
    TOO_LARGE,
};

/* Larger than any limit; a number up to here fits beside a head without overflow. */
#define LENGTH_MAX UINT32_MAX

static enum bk_sip_frame_step bad(struct bk_sip_fault *ret, int status, const char *text,
                                  size_t offset)
{
    *ret = (struct bk_sip_fault){ status, text, offset };
    return BK_SIP_FRAME_BAD;
}

static enum bk_sip_frame_step bad_size(struct bk_sip_fault *ret, size_t max, size_t offset)
{
    return bad(ret, max < BK_SIP_MESSAGE_BYTES_MAX ? 413 : 513, "The message is too large", offset);
}

static enum bk_sip_frame_step bad_head(const struct bk_sip_frame *frame, size_t max,
                                       struct bk_sip_fault *ret)
{
    switch (frame->fault) {
    case NO_FIELD:
        return bad(ret, 400, "A line is no header field", frame->fault_at);
    case CONTROL_BYTE:
        return bad(ret, 400, "A control byte stands where none may", frame->fault_at);
    case LENGTH_NO_NUMBER:
        return bad(ret, 400, "Content-Length is not a number", frame->fault_at);
    case LENGTH_TWICE:
        return bad(ret, 400, "Two Content-Length fields differ", frame->fault_at);
    default:
        return bad_size(ret, max, frame->fault_at);
    }
}

static void remember(struct bk_sip_frame *frame, uint8_t fault, size_t offset)
{
    if (frame->fault)
        return;
    frame->fault = fault;
    frame->fault_at = (uint32_t)offset;
}

/* RFC 5626 3.5.1: what a keep-alive looks like. */
static enum bk_sip_frame_step blank_read(struct bk_sip_frame *frame, struct bk_view bytes,
                                         size_t *ret_len, struct bk_sip_fault *ret_fault)
{
    if (bytes.len < 2)
        return BK_SIP_FRAME_MORE;
    if (bytes.at[1] != '\n')
        return bad(ret_fault, 400, "A CR or LF stands alone", 0);

    bool second_half = frame->half_ping;
    *frame = (struct bk_sip_frame){ 0 };
    if (second_half) {
        *ret_len = 2;
        return BK_SIP_FRAME_PING;
    }
    if (bytes.len >= 4 && memcmp(bytes.at + 2, "\r\n", 2) == 0) {
        *ret_len = 4;
        return BK_SIP_FRAME_PING;
    }
    frame->half_ping = bytes.len == 2 || (bytes.len == 3 && bytes.at[2] == '\r');
    *ret_len = 2;
    return BK_SIP_FRAME_BLANK;
}

static void length_take(struct bk_sip_frame *frame, struct bk_view value, size_t offset)
{
    uint64_t len;
    int r = bk_view_to_u64(value, LENGTH_MAX, &len);

    if (r == -EINVAL) {
        remember(frame, LENGTH_NO_NUMBER, offset);
    } else if (r < 0) {
        remember(frame, TOO_LARGE, offset);
    } else if (frame->has_length && len != frame->body_len) {
        remember(frame, LENGTH_TWICE, offset);
    } else {
        frame->body_len = (uint32_t)len;
        frame->has_length = true;
    }
}

static void field_take(struct bk_sip_frame *frame, struct bk_view line)
{
    struct bk_view name, value;
    size_t at;

    if (frame->has_control && !bk_sip_controls_quoted(line, &at))
        remember(frame, CONTROL_BYTE, frame->line_from + at);
    if (!bk_sip_line_split(line, &name, &value))
        remember(frame, NO_FIELD, frame->line_from);
    else if (bk_sip_is_content_length(name))
        length_take(frame, value, frame->line_from);
}

/* Reads on until the head is complete: MESSAGE then, with head_len and body_len set. */
static enum bk_sip_frame_step head_read(struct bk_sip_frame *frame, struct bk_view bytes,
                                        size_t max, struct bk_sip_fault *ret_fault)
{
    const char *stop = bytes.at + bytes.len;

    for (;;) {
        const char *from = bytes.at + frame->line_from, *at = bytes.at + frame->scanned;
        bool is_start = frame->line_from == 0;

        if (!is_start && from < stop && *from == '\r' && (stop - from < 2 || from[1] == '\n')) {
            if (stop - from < 2)
                return BK_SIP_FRAME_MORE;
            frame->head_len = frame->line_from + 2;
            return BK_SIP_FRAME_MESSAGE;
        }

        enum bk_sip_line end = bk_sip_line_find(&at, stop, !is_start, &frame->has_control);
        frame->scanned = (uint32_t)(at - bytes.at);
        if (end == BK_SIP_LINE_BAD)
            return bad(ret_fault, 400, "A CR or LF stands alone", frame->scanned);
        if (is_start && frame->has_control)
            return bad(ret_fault, 400, "A control byte stands where none may", 0);
        if (is_start && frame->scanned > BK_SIP_START_LINE_MAX + 2)
            return bad(ret_fault, 414, "The start line is longer than 8 kB", frame->scanned);
        if (frame->scanned - frame->line_from > BK_SIP_FIELD_BYTES_MAX)
            return bad(ret_fault, 400, "A header field is longer than 32 kB", frame->line_from);
        if (frame->scanned > BK_SIP_HEAD_BYTES_MAX)
            return bad(ret_fault, 400, "The head is longer than 64 kB", frame->scanned);
        if (frame->scanned > max)
            return bad_size(ret_fault, max, frame->scanned);
        if (end == BK_SIP_LINE_MORE)
            return BK_SIP_FRAME_MORE;
        if (!is_start)
            field_take(frame, bk_view_between(from, at));
        frame->line_from = frame->scanned;
        frame->has_control = false;
    }
}

enum bk_sip_frame_step bk_sip_frame_next(struct bk_sip_frame *frame, struct bk_view bytes,
                                         size_t max, size_t *ret_len,
                                         struct bk_sip_fault *ret_fault)
{
    if (bytes.len == 0)
        return BK_SIP_FRAME_MORE;
    if (frame->scanned == 0) {
        if (bytes.at[0] == '\r')
            return blank_read(frame, bytes, ret_len, ret_fault);
        if (!bk_sip_is(bytes.at[0], BK_SIP_IS_TOKEN))
            return bad(ret_fault, 400, "The start line does not begin like one", 0);
    }
    if (frame->head_len == 0) {
        enum bk_sip_frame_step step = head_read(frame, bytes, max, ret_fault);
        if (step != BK_SIP_FRAME_MESSAGE)
            return step;
        if ((uint64_t)frame->head_len + frame->body_len > max)
            remember(frame, TOO_LARGE, frame->head_len);
    }
    if (frame->fault)
        return bad_head(frame, max, ret_fault);
    size_t len = (size_t)frame->head_len + frame->body_len;
    if (bytes.len < len)
        return BK_SIP_FRAME_MORE;
    *frame = (struct bk_sip_frame){ 0 };
    *ret_len = len;
    return BK_SIP_FRAME_MESSAGE;
}
