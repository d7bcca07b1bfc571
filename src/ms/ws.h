/* SPDX-License-Identifier: Apache-2.0 */
/* ms/ws.h - SOAP envelopes as small trees that know which bytes each element came from, because those bytes are signed (ms/xml.h reads all else). */
#ifndef BK_MS_WS_H
#define BK_MS_WS_H

#include "base/arena.h"
#include "base/buf.h"

enum {
    BK_MS_WS_BYTES_MAX =
        128 * 1024, /* of one document; a server takes less, metadata of others are long */
    BK_MS_WS_ELEMENTS_MAX = 1024,
    BK_MS_WS_DEPTH_MAX = 24,
    BK_MS_WS_ATTRIBUTES_MAX = 24, /* of one element */
};

struct bk_ms_ws_attribute {
    struct bk_view name, value; /* name: the local part */
    const struct bk_ms_ws_attribute *next;
};

/* Lives in the arena it was read into; raw points into the bytes that were read. */
struct bk_ms_ws {
    struct bk_view ns, name; /* name: the local part */
    struct bk_view
        text; /* what stands behind its last child: of a leaf, its whole content; escapes undone */
    struct bk_view raw; /* from '<' of its begin to '>' of its end, as it stood there */
    const struct bk_ms_ws_attribute *attributes;
    const struct bk_ms_ws *child, *next;
};

/*
 * Reads one document, which is taken for UTF-8. -EBADMSG: not well-formed, over a limit above, or with a document type (nothing
 * is expanded, no file is read); *ret_why is static text. -ENOMEM.
 */
int bk_ms_ws_parse(struct bk_view bytes, struct bk_arena *arena, const struct bk_ms_ws **ret,
                   const char **ret_why);

/*
 * Goes down by local names: "Header/Security/Timestamp". Namespaces are not looked at (their spelling differs between the clients'
 * versions). NULL where a step leads nowhere, and where it leads to two: what is signed must be what is read.
 */
const struct bk_ms_ws *bk_ms_ws_at(const struct bk_ms_ws *from, const char *path);
/* The trimmed text of that element, empty where there is none. */
struct bk_view bk_ms_ws_text(const struct bk_ms_ws *from, const char *path);
/* By local name; empty where there is none. */
struct bk_view bk_ms_ws_attribute(const struct bk_ms_ws *element, const char *name);

/* Base64 as XML writes it, with blanks and line ends anywhere; appended. -EINVAL, -ENOMEM. */
int bk_ms_ws_base64(struct bk_view text, struct bk_buf *ret);

/*
 * A refusal in the shape whose text the stock client shows ([MS-OCAUTHWS]): Body/Fault/Detail/error/internalerror/text,
 * sent with status 200, since the text of other statuses is not shown. code: the diagnostics id.
 */
void bk_ms_ws_fault(struct bk_buf *to, uint32_t code, struct bk_view text);

#endif
