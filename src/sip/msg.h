/* SPDX-License-Identifier: Apache-2.0 */
/* sip/msg.h - one SIP message, split in place (RFC 3261, 7). */
#ifndef BK_SIP_MSG_H
#define BK_SIP_MSG_H

#include "base/view.h"

/* Known methods; anything else is BK_SIP_OTHER_METHOD and is told apart by its name. */
enum bk_sip_method {
    BK_SIP_OTHER_METHOD,
    BK_SIP_INVITE,
    BK_SIP_ACK,
    BK_SIP_BYE,
    BK_SIP_CANCEL,
    BK_SIP_OPTIONS,
    BK_SIP_REGISTER,
    BK_SIP_PRACK,
    BK_SIP_SUBSCRIBE,
    BK_SIP_NOTIFY,
    BK_SIP_PUBLISH,
    BK_SIP_MESSAGE,
    BK_SIP_INFO,
    BK_SIP_UPDATE,
    BK_SIP_REFER,
    BK_SIP_SERVICE,  /* the Lync dialect */
    BK_SIP_BENOTIFY, /* the Lync dialect: a NOTIFY without an answer */
    BK_SIP_METHOD_COUNT,
};

/*
 * Header fields that somebody here asks for. A new one is a row here and a row in the table of
 * msg.c (name, compact form, whether it may stand only once).
 */
enum bk_sip_hdr {
    BK_SIP_HDR_OTHER, /* not ours to interpret: forwarded as it came */
    BK_SIP_HDR_VIA,
    BK_SIP_HDR_FROM,
    BK_SIP_HDR_TO,
    BK_SIP_HDR_CALL_ID,
    BK_SIP_HDR_CSEQ,
    BK_SIP_HDR_CONTACT,
    BK_SIP_HDR_ROUTE,
    BK_SIP_HDR_RECORD_ROUTE,
    BK_SIP_HDR_MAX_FORWARDS,
    BK_SIP_HDR_CONTENT_LENGTH,
    BK_SIP_HDR_CONTENT_TYPE,
    BK_SIP_HDR_CONTENT_ENCODING,
    BK_SIP_HDR_CONTENT_DISPOSITION,
    BK_SIP_HDR_EXPIRES,
    BK_SIP_HDR_MIN_EXPIRES,
    BK_SIP_HDR_EVENT,
    BK_SIP_HDR_ALLOW_EVENTS,
    BK_SIP_HDR_SUBSCRIPTION_STATE,
    BK_SIP_HDR_SIP_ETAG,
    BK_SIP_HDR_SIP_IF_MATCH,
    BK_SIP_HDR_AUTHORIZATION,
    BK_SIP_HDR_PROXY_AUTHORIZATION,
    BK_SIP_HDR_WWW_AUTHENTICATE,
    BK_SIP_HDR_PROXY_AUTHENTICATE,
    BK_SIP_HDR_AUTHENTICATION_INFO,
    BK_SIP_HDR_SUPPORTED,
    BK_SIP_HDR_REQUIRE,
    BK_SIP_HDR_PROXY_REQUIRE,
    BK_SIP_HDR_UNSUPPORTED,
    BK_SIP_HDR_ACCEPT,
    BK_SIP_HDR_ALLOW,
    BK_SIP_HDR_USER_AGENT,
    BK_SIP_HDR_SERVER,
    BK_SIP_HDR_DATE,
    BK_SIP_HDR_WARNING,
    BK_SIP_HDR_RETRY_AFTER,
    BK_SIP_HDR_REASON,
    BK_SIP_HDR_PATH,
    BK_SIP_HDR_FLOW_TIMER,
    BK_SIP_HDR_P_ASSERTED_IDENTITY,
    BK_SIP_HDR_P_PREFERRED_IDENTITY,
    BK_SIP_HDR_REFER_TO,
    BK_SIP_HDR_REFERRED_BY,
    BK_SIP_HDR_MS_DIAGNOSTICS,
    BK_SIP_HDR_MS_KEEP_ALIVE,
    BK_SIP_HDR_BECKON_SERVICES, /* docs/behaviour.md, "Discovery" */
    BK_SIP_HDR_COUNT,
};

/* docs/limits.md, "Messages and parsing". */
enum {
    BK_SIP_FIELDS_MAX = 128,
    BK_SIP_VIA_MAX = 70,
    BK_SIP_ROUTE_MAX = 32,
    BK_SIP_CONTACT_MAX = 10,
    BK_SIP_START_LINE_MAX = 8 * 1024,
    BK_SIP_FIELD_BYTES_MAX = 32 * 1024,
    BK_SIP_HEAD_BYTES_MAX = 64 * 1024,
    BK_SIP_MESSAGE_BYTES_MAX = 256 * 1024,
};

struct bk_sip_field {
    struct bk_view
        line; /* from the first byte of the name through the CRLF that ends it, folds included */
    struct bk_view name;  /* as received: "f" stays "f" */
    struct bk_view value; /* trimmed at both ends, folds inside kept */
    uint8_t id;           /* enum bk_sip_hdr */
    int16_t next; /* the next field of the same id, -1 after the last; for OTHER always -1 */
};

/*
 * All views point into the bytes that were handed to bk_sip_msg_parse, which must stay and stay
 * unchanged as long as the message is used. About 8 kB: keep one per thread, not one per message.
 */
struct bk_sip_msg {
    struct bk_view bytes; /* the whole message, body included */
    struct bk_view start; /* start line without CRLF */
    struct bk_view body;
    enum bk_sip_method method; /* responses: the method of CSeq; OTHER where that is unreadable */
    struct bk_view method_name;
    struct bk_view uri;    /* request URI as text */
    int status;            /* 0: a request; -1: a response whose status line is wrong */
    struct bk_view reason; /* of a response */
    int n_fields;
    int16_t first[BK_SIP_HDR_COUNT]; /* index into fields, -1: none */
    struct bk_sip_field fields[BK_SIP_FIELDS_MAX];
};

/* Why a message is not one; text and code go into the answer, where one can be made. */
struct bk_sip_fault {
    int status;       /* 400, 414, 505, ... what RFC 3261 and docs/limits.md ask for */
    const char *text; /* static, English, names the place: "Content-Length is not a number" */
    size_t offset;    /* byte where it was noticed */
};

/*
 * Splits a complete message (as bk_sip_frame or one datagram delivered it; in a datagram what
 * stands behind Content-Length is cut off and a missing Content-Length means "to the end").
 * 0; or -EBADMSG with *ret_fault filled. Also then everything read so far is in *ret (n_fields,
 * first[]), so that a 400 can be built from Via, From, To, Call-ID and CSeq if they are there:
 * bk_sip_msg_answerable says whether.
 *
 * What it refuses beyond syntax: a control byte where none may stand, two of a field that may stand only once
 * (From, To, Call-ID, CSeq, Content-Length, Max-Forwards, Expires, Event, Content-Type ...),
 * more fields than the limits above, a Content-Length that is not the body's length on a stream.
 */
int bk_sip_msg_parse(struct bk_sip_msg *ret, struct bk_view bytes, struct bk_sip_fault *ret_fault);

/*
 * The second look, done once per request or response: Via, From, To, Call-ID, CSeq present and
 * readable, CSeq's method equals the request's, the version is 2.0 (505), the request URI has no
 * blanks or brackets, Max-Forwards and Expires are numbers, Content-Length right. Fills *ret with what every later step wants.
 */
struct bk_sip_head {
    struct bk_view
        via_branch; /* of the topmost Via; empty: none given (RFC 2543 peers, the Lync dialect) */
    struct bk_view via_sent_by;   /* host[:port] as text */
    struct bk_view via_transport; /* "TLS", as written */
    bool via_rport;               /* asks for rport, RFC 3581 */
    struct bk_view from_uri, from_tag, to_uri,
        to_tag; /* uri: as text without <> and header parameters */
    struct bk_view call_id;
    uint32_t cseq;
    int max_forwards; /* 70 where the field is missing */
};
int bk_sip_msg_check(const struct bk_sip_msg *msg, struct bk_sip_head *ret,
                     struct bk_sip_fault *ret_fault);
/*
 * The same in two halves, for answers: first what a transaction is found by (version, topmost Via, CSeq; the rest of
 * *ret is empty), and what it leaves out. Who only asks for the status spares the second, which costs as much again.
 */
int bk_sip_msg_check_found(const struct bk_sip_msg *msg, struct bk_sip_head *ret,
                           struct bk_sip_fault *ret_fault);
int bk_sip_msg_check_rest(const struct bk_sip_msg *msg, struct bk_sip_head *head,
                          struct bk_sip_fault *ret_fault);

/*
 * True for a request in which Via, From, To, Call-ID and CSeq stand there at all, so that an answer finds
 * its way. Nobody answers a response, however wrong.
 */
bool bk_sip_msg_answerable(const struct bk_sip_msg *msg);

/* First field of that id, NULL if none; and the next one of the same id. */
static inline const struct bk_sip_field *bk_sip_msg_field(const struct bk_sip_msg *msg,
                                                          enum bk_sip_hdr id)
{
    return msg->first[id] < 0 ? NULL : &msg->fields[msg->first[id]];
}

static inline const struct bk_sip_field *bk_sip_msg_field_next(const struct bk_sip_msg *msg,
                                                               const struct bk_sip_field *field)
{
    return field->next < 0 ? NULL : &msg->fields[field->next];
}

/* Value of the first field of that id, the empty view if none. */
static inline struct bk_view bk_sip_msg_value(const struct bk_sip_msg *msg, enum bk_sip_hdr id)
{
    return msg->first[id] < 0 ? (struct bk_view){ 0 } : msg->fields[msg->first[id]].value;
}

/* First field of that name (any case), known or not; for names nobody gave an id. */
const struct bk_sip_field *bk_sip_msg_field_named(const struct bk_sip_msg *msg,
                                                  struct bk_view name);

enum bk_sip_method bk_sip_method_of(struct bk_view name); /* case counts, RFC 3261 7.1 */
struct bk_view bk_sip_method_name(enum bk_sip_method method);
enum bk_sip_hdr bk_sip_hdr_of(struct bk_view name); /* compact and long forms, any case */
struct bk_view bk_sip_hdr_name(enum bk_sip_hdr id); /* long form as we write it */
/* "Not Found" for 404; a class text ("Client Error") for codes nobody named. */
struct bk_view bk_sip_reason_of(int status);

#endif
