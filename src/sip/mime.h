/* SPDX-License-Identifier: Apache-2.0 */
/* sip/mime.h - MIME multipart bodies, read in place (RFC 2046, 5.1; RFC 5621). */
#ifndef BK_SIP_MIME_H
#define BK_SIP_MIME_H

#include "base/buf.h"

enum { BK_MIME_PARTS_MAX = 16, BK_MIME_NESTING_MAX = 4 };

struct bk_mime_part {
    struct bk_view head;         /* header fields of the part */
    struct bk_view content_type; /* value, empty: text/plain */
    struct bk_view content_id;   /* without <> */
    struct bk_view body;
};

/*
 * Takes the next part off *rest. Begin with *rest = the body. 1: *ret is filled; 0: the closing
 * boundary was reached; -EBADMSG: no boundary, a part cut off, more than BK_MIME_PARTS_MAX.
 * *count is the caller's, 0 at first. Boundary without the leading "--".
 */
int bk_mime_next(struct bk_view *rest, struct bk_view boundary, int *count,
                 struct bk_mime_part *ret);

/*
 * The first part of that type ("text/plain", any case) in body, also in nested multiparts down to
 * BK_MIME_NESTING_MAX, also when the body itself is it. -ENOENT, -EBADMSG.
 */
int bk_mime_find(struct bk_view content_type, struct bk_view body, struct bk_view wanted_type,
                 struct bk_mime_part *ret);

/* Parts end with CRLF CRLF before the boundary line: a stock client cuts four bytes. */
void bk_mime_add(struct bk_buf *to, struct bk_view boundary, struct bk_view content_type,
                 struct bk_view extra_fields, struct bk_view body);
void bk_mime_end(struct bk_buf *to, struct bk_view boundary);

#endif
