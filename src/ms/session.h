/* SPDX-License-Identifier: Apache-2.0 */
/* ms/session.h - instant messages as sessions: what stands in the bodies of their INVITE, MESSAGE and INFO ([MS-CONVENUE], RFC 3994). */
#ifndef BK_MS_SESSION_H
#define BK_MS_SESSION_H

#include "base/buf.h"
#include "base/view.h"

/*
 * The Lync dialect opens a session for a conversation: INVITE with an SDP whose only medium is `m=message PORT sip ...`, then
 * MESSAGE both ways and INFO for typing inside its dialog, then BYE.
 */

/*
 * Does this SDP offer (or answer) such a session: its first medium is "message", or what clients write that take us for a server of
 * 2005, "x-ms-message", carried by SIP.
 */
bool bk_ms_sdp_is_session(struct bk_view sdp);
/* The server's own SDP for one. ip: its address as text; address: "bob@example.com", for whom it speaks. */
void bk_ms_sdp_session(struct bk_buf *to, struct bk_view ip, struct bk_view address);

/* Somebody types, or stopped. */
enum bk_ms_typing {
    BK_MS_TYPING_NO_WORD, /* the document says nothing of it, or is none */
    BK_MS_TYPING_ON,
    BK_MS_TYPING_OFF,
};
/* `<KeyboardActivity><status status="type"/></KeyboardActivity>`, the body of an INFO, application/xml. */
enum bk_ms_typing bk_ms_keyboard_parse(struct bk_view body);
void bk_ms_keyboard_write(struct bk_buf *to, bool typing);
/* application/im-iscomposing+xml (RFC 3994), what plain SIP clients send as a MESSAGE. */
enum bk_ms_typing bk_ms_composing_parse(struct bk_view body);
void bk_ms_composing_write(struct bk_buf *to, bool typing);

/*
 * The text of a message as UTF-8 for somebody who shows plain text only, appended to *ret: text/plain as it is (bytes that are no UTF-8 are
 * read as Windows-1252), text/html and text/rtf without their formatting, of multipart/alternative and /related the simplest part of
 * these. -ENOTSUP: none of them (415); -EBADMSG: a multipart that cannot be read; -ENOMEM.
 */
int bk_ms_text(struct bk_view content_type, struct bk_view body, struct bk_buf *ret);

#endif
