/* SPDX-License-Identifier: Apache-2.0 */
/* sip/build.h - writing messages: answers, new requests, and forwarding with exact bytes. */
#ifndef BK_SIP_BUILD_H
#define BK_SIP_BUILD_H

#include "base/buf.h"
#include "sip/msg.h"

/*
 * An answer as RFC 3261 8.2.6 builds it: status line, all Via fields with received/rport filled into the
 * topmost (RFC 3261 18.2.1, RFC 3581), From, To (with to_tag where it had none and to_tag is not
 * empty), Call-ID, CSeq, Record-Route for 18x/2xx of dialog-making requests. Then the caller adds
 * further fields with bk_sip_field_add and ends with bk_sip_end.
 */
struct bk_sip_source { /* where the request really came from; host empty: add nothing */
    struct bk_view host;
    uint16_t port;
};
void bk_sip_response_begin(struct bk_buf *to, const struct bk_sip_msg *request, int status,
                           struct bk_view reason /* empty: the usual one */, struct bk_view to_tag,
                           const struct bk_sip_source *source);

/* `METHOD uri SIP/2.0` */
void bk_sip_request_begin(struct bk_buf *to, struct bk_view method, struct bk_view uri);

/*
 * `Name: value` and CRLF. CR, LF and NUL in value mark the buffer as failed: nobody smuggles a field. A fold in
 * a value that was received is written as the blank it means.
 */
void bk_sip_field_add(struct bk_buf *to, enum bk_sip_hdr id, struct bk_view value);
void bk_sip_field_addf(struct bk_buf *to, enum bk_sip_hdr id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void bk_sip_field_add_named(struct bk_buf *to, struct bk_view name, struct bk_view value);

/* Content-Type (if body is not empty) and Content-Length, the empty line, the body. */
void bk_sip_end(struct bk_buf *to, struct bk_view content_type, struct bk_view body);

/*
 * Forwarding: the message as it came but for the edits, every other byte and the order kept.
 * Edits are collected in any order, at most BK_SIP_EDITS_MAX; all views must live until
 * bk_sip_edit_write. Struct on the stack, no allocation.
 *
 * Several steps on one field: insertions stand in front of it in the order given; of the others the strongest counts:
 * remove, then the last value, then as many values off the front as there were pops.
 */
enum { BK_SIP_EDITS_MAX = 24 };
struct bk_sip_edit_step {
    int16_t field; /* -1: the start line */
    uint8_t kind;
    struct bk_view text, text2;
};
struct bk_sip_edit {
    const struct bk_sip_msg *msg;
    int n;
    bool failed; /* too many edits */
    struct bk_sip_edit_step steps[BK_SIP_EDITS_MAX];
};
void bk_sip_edit_begin(struct bk_sip_edit *edit, const struct bk_sip_msg *msg);
void bk_sip_edit_uri(struct bk_sip_edit *edit, struct bk_view uri);
/* Whole line(s) with their CRLF, put in front of that field (of the first field where field is NULL). */
void bk_sip_edit_insert(struct bk_sip_edit *edit, const struct bk_sip_field *field,
                        struct bk_view lines);
void bk_sip_edit_remove(struct bk_sip_edit *edit, const struct bk_sip_field *field);
/* Takes the first value off a comma list, or the whole field where it holds one value (Via, Route). */
void bk_sip_edit_pop(struct bk_sip_edit *edit, const struct bk_sip_field *field);
void bk_sip_edit_value(struct bk_sip_edit *edit, const struct bk_sip_field *field,
                       struct bk_view value);
/* Body and Content-Length (added if it was missing); content_type empty: leave the field alone. */
void bk_sip_edit_body(struct bk_sip_edit *edit, struct bk_view content_type, struct bk_view body);
/* Renders; marks *to as failed when the edit failed. The message's own bytes are copied in as few runs as possible. */
void bk_sip_edit_write(const struct bk_sip_edit *edit, struct bk_buf *to);

#endif
