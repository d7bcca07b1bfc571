/* SPDX-License-Identifier: Apache-2.0 */
/* sip/frame.h - where does the first message of a stream end (RFC 3261, 18.3; keep-alives RFC 5626, 3.5.1). */
#ifndef BK_SIP_FRAME_H
#define BK_SIP_FRAME_H

#include "sip/msg.h"

enum bk_sip_frame_step {
    BK_SIP_FRAME_MORE,    /* cut off here: ask again once more bytes arrived */
    BK_SIP_FRAME_MESSAGE, /* *ret_len bytes are one message */
    BK_SIP_FRAME_PING,    /* *ret_len bytes end a CRLFCRLF before a message: answer CRLF */
    BK_SIP_FRAME_BLANK, /* *ret_len bytes are a lone CRLF (a pong, or white space between messages): drop */
    BK_SIP_FRAME_BAD, /* no further byte can make this SIP, or a limit is passed: *ret_fault says which; close after answering */
};

/*
 * Remembers how far the front of the buffer was already read, so that a message that trickles in
 * byte by byte is looked at once per byte, not once per byte and arrival. {0} at the start of a
 * stream. After MESSAGE, PING and BLANK it stands ready for what comes behind those *ret_len bytes; zeroing it
 * then is harmless, but forgets the first half of a CRLFCRLF that came in two pieces.
 */
struct bk_sip_frame {
    uint32_t scanned;   /* bytes known not to hold the end of the line */
    uint32_t line_from; /* where that line begins */
    uint32_t head_len;  /* 0: not found yet */
    uint32_t body_len;
    uint32_t fault_at;
    uint8_t
        fault; /* of a field, told at the end of the head, so that an answer can be made from it */
    bool has_length, has_control;
    bool half_ping; /* a lone CRLF was the last thing here */
};

/*
 * max: bytes of a whole message (256 kB signed in, 32 kB before); over it BAD with status 513, or 413 where max is
 * below BK_SIP_MESSAGE_BYTES_MAX. A start line over BK_SIP_START_LINE_MAX is 414, a field or head over its limit 400.
 * Without Content-Length the body is empty on a stream. Content-Length is looked up as a field (compact "l" too,
 * blanks before the colon, folds), twice with different values is BAD; so is a line that is no field.
 * A lone LF or CR in the head is BAD, and so is a control byte that is not quoted (RFC 3261 25.1, quoted-pair).
 *
 * BAD with frame->head_len > 0: the head is complete, and bk_sip_msg_parse of those bytes gives
 * what an answer needs (and a fault of its own, which does not matter any more).
 */
enum bk_sip_frame_step bk_sip_frame_next(struct bk_sip_frame *frame, struct bk_view bytes,
                                         size_t max, size_t *ret_len,
                                         struct bk_sip_fault *ret_fault);

#endif
