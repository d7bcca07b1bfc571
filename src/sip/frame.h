/* SPDX-License-Identifier: Apache-2.0 */
/* sip/frame.h - where does the first message of a stream end (RFC 3261, 18.3; keep-alives RFC 5626, 3.5.1). */
#ifndef BK_SIP_FRAME_H
#define BK_SIP_FRAME_H

#include "sip/msg.h"

enum bk_sip_frame_step {
    BK_SIP_FRAME_MORE,    /* cut off here: ask again once more bytes arrived */
    BK_SIP_FRAME_MESSAGE, /* *ret_len bytes are one message */
    BK_SIP_FRAME_PING,    /* *ret_len bytes are CRLFCRLF before a message: answer CRLF */
    BK_SIP_FRAME_BLANK, /* *ret_len bytes are a lone CRLF (a pong, or white space between messages): drop */
    BK_SIP_FRAME_BAD, /* no further byte can make this SIP, or a limit is passed: *ret_fault says which; close after answering */
};

/*
 * Remembers how far the front of the buffer was already read, so that a message that trickles in
 * byte by byte is looked at once per byte, not once per byte and arrival. {0} for a new message:
 * zero it whenever bytes are taken off the front.
 */
struct bk_sip_frame {
    uint32_t scanned;  /* bytes known not to hold the end of the head */
    uint32_t head_len; /* 0: not found yet */
    uint32_t body_len;
    uint32_t line_from; /* where the field being read begins */
};

/*
 * max: bytes of a whole message (256 kB signed in, 32 kB before); over it BAD with status 513 or 413. A start line over
 * BK_SIP_START_LINE_MAX is 414, a field or head over its limit 400. Without Content-Length the body is empty on a stream.
 * Content-Length is looked up as a field (compact "l" too, blanks before the colon, folds), twice
 * with different values is BAD. A lone LF, CR or NUL in the head is BAD.
 */
enum bk_sip_frame_step bk_sip_frame_next(struct bk_sip_frame *frame, struct bk_view bytes,
                                         size_t max, size_t *ret_len,
                                         struct bk_sip_fault *ret_fault);

#endif
