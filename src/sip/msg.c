/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/msg.h"

#include "base/text.h"
#include "sip/fields.h"
#include "sip/uri_private.h"

#include <assert.h>
#include <errno.h>

/* ---- names ---- */

static const struct bk_view methods[BK_SIP_METHOD_COUNT] = {
    [BK_SIP_INVITE] = { BK_VIEW_OF("INVITE") },   [BK_SIP_ACK] = { BK_VIEW_OF("ACK") },
    [BK_SIP_BYE] = { BK_VIEW_OF("BYE") },         [BK_SIP_CANCEL] = { BK_VIEW_OF("CANCEL") },
    [BK_SIP_OPTIONS] = { BK_VIEW_OF("OPTIONS") }, [BK_SIP_REGISTER] = { BK_VIEW_OF("REGISTER") },
    [BK_SIP_PRACK] = { BK_VIEW_OF("PRACK") },     [BK_SIP_SUBSCRIBE] = { BK_VIEW_OF("SUBSCRIBE") },
    [BK_SIP_NOTIFY] = { BK_VIEW_OF("NOTIFY") },   [BK_SIP_PUBLISH] = { BK_VIEW_OF("PUBLISH") },
    [BK_SIP_MESSAGE] = { BK_VIEW_OF("MESSAGE") }, [BK_SIP_INFO] = { BK_VIEW_OF("INFO") },
    [BK_SIP_UPDATE] = { BK_VIEW_OF("UPDATE") },   [BK_SIP_REFER] = { BK_VIEW_OF("REFER") },
    [BK_SIP_SERVICE] = { BK_VIEW_OF("SERVICE") }, [BK_SIP_BENOTIFY] = { BK_VIEW_OF("BENOTIFY") },
};

enum bk_sip_method bk_sip_method_of(struct bk_view name)
{
    for (int i = BK_SIP_OTHER_METHOD + 1; i < BK_SIP_METHOD_COUNT; i++)
        if (methods[i].len == name.len && memcmp(methods[i].at, name.at, name.len) == 0)
            return (enum bk_sip_method)i;
    return BK_SIP_OTHER_METHOD;
}

struct bk_view bk_sip_method_name(enum bk_sip_method method)
{
    return methods[method];
}

/*
 * The header fields: id, name, its first and last letter in lower case, compact form (RFC 3261 7.3.3;
 * 0: none), ONCE where two of them make the message ambiguous.
 */
#define HEADERS(X)                                                                                 \
    X(VIA, "Via", 'v', 'a', 'v', MANY)                                                             \
    X(FROM, "From", 'f', 'm', 'f', ONCE)                                                           \
    X(TO, "To", 't', 'o', 't', ONCE)                                                               \
    X(CALL_ID, "Call-ID", 'c', 'd', 'i', ONCE)                                                     \
    X(CSEQ, "CSeq", 'c', 'q', 0, ONCE)                                                             \
    X(CONTACT, "Contact", 'c', 't', 'm', MANY)                                                     \
    X(ROUTE, "Route", 'r', 'e', 0, MANY)                                                           \
    X(RECORD_ROUTE, "Record-Route", 'r', 'e', 0, MANY)                                             \
    X(MAX_FORWARDS, "Max-Forwards", 'm', 's', 0, ONCE)                                             \
    X(CONTENT_LENGTH, "Content-Length", 'c', 'h', 'l', ONCE)                                       \
    X(CONTENT_TYPE, "Content-Type", 'c', 'e', 'c', ONCE)                                           \
    X(CONTENT_ENCODING, "Content-Encoding", 'c', 'g', 'e', MANY)                                   \
    X(CONTENT_DISPOSITION, "Content-Disposition", 'c', 'n', 0, ONCE)                               \
    X(EXPIRES, "Expires", 'e', 's', 0, ONCE)                                                       \
    X(MIN_EXPIRES, "Min-Expires", 'm', 's', 0, ONCE)                                               \
    X(EVENT, "Event", 'e', 't', 'o', ONCE)                                                         \
    X(ALLOW_EVENTS, "Allow-Events", 'a', 's', 'u', MANY)                                           \
    X(SUBSCRIPTION_STATE, "Subscription-State", 's', 'e', 0, ONCE)                                 \
    X(SIP_ETAG, "SIP-ETag", 's', 'g', 0, ONCE)                                                     \
    X(SIP_IF_MATCH, "SIP-If-Match", 's', 'h', 0, ONCE)                                             \
    X(AUTHORIZATION, "Authorization", 'a', 'n', 0, MANY)                                           \
    X(PROXY_AUTHORIZATION, "Proxy-Authorization", 'p', 'n', 0, MANY)                               \
    X(WWW_AUTHENTICATE, "WWW-Authenticate", 'w', 'e', 0, MANY)                                     \
    X(PROXY_AUTHENTICATE, "Proxy-Authenticate", 'p', 'e', 0, MANY)                                 \
    X(AUTHENTICATION_INFO, "Authentication-Info", 'a', 'o', 0, MANY)                               \
    X(SUPPORTED, "Supported", 's', 'd', 'k', MANY)                                                 \
    X(REQUIRE, "Require", 'r', 'e', 0, MANY)                                                       \
    X(PROXY_REQUIRE, "Proxy-Require", 'p', 'e', 0, MANY)                                           \
    X(UNSUPPORTED, "Unsupported", 'u', 'd', 0, MANY)                                               \
    X(ACCEPT, "Accept", 'a', 't', 0, MANY)                                                         \
    X(ALLOW, "Allow", 'a', 'w', 0, MANY)                                                           \
    X(USER_AGENT, "User-Agent", 'u', 't', 0, MANY)                                                 \
    X(SERVER, "Server", 's', 'r', 0, MANY)                                                         \
    X(DATE, "Date", 'd', 'e', 0, ONCE)                                                             \
    X(WARNING, "Warning", 'w', 'g', 0, MANY)                                                       \
    X(RETRY_AFTER, "Retry-After", 'r', 'r', 0, ONCE)                                               \
    X(REASON, "Reason", 'r', 'n', 0, MANY)                                                         \
    X(PATH, "Path", 'p', 'h', 0, MANY)                                                             \
    X(FLOW_TIMER, "Flow-Timer", 'f', 'r', 0, ONCE)                                                 \
    X(P_ASSERTED_IDENTITY, "P-Asserted-Identity", 'p', 'y', 0, MANY)                               \
    X(P_PREFERRED_IDENTITY, "P-Preferred-Identity", 'p', 'y', 0, MANY)                             \
    X(REFER_TO, "Refer-To", 'r', 'o', 'r', ONCE)                                                   \
    X(REFERRED_BY, "Referred-By", 'r', 'y', 'b', ONCE)                                             \
    X(MS_DIAGNOSTICS, "ms-diagnostics", 'm', 's', 0, MANY)                                         \
    X(MS_KEEP_ALIVE, "ms-keep-alive", 'm', 'e', 0, MANY)                                           \
    X(BECKON_SERVICES, "Beckon-Services", 'b', 's', 0, MANY)

enum { MANY, ONCE };

#define NAME_ROW(id, name, first, last, compact, many) [BK_SIP_HDR_##id] = { BK_VIEW_OF(name) },
static const struct bk_view header_names[BK_SIP_HDR_COUNT] = { HEADERS(NAME_ROW) };

#define ONCE_BIT(id, name, first, last, compact, many) | (uint64_t)(many) << BK_SIP_HDR_##id
static const uint64_t once_bits = 0 HEADERS(ONCE_BIT);
_Static_assert(BK_SIP_HDR_COUNT <= 64, "once_bits has a bit for each");

/*
 * Length, first and last letter lead to the one name it can be, which is then compared in full. Two
 * names in one slot make the compiler say so (-Woverride-init); the cure is another multiplier.
 */
#define SLOT(len, first, last) (((len)*3u + (first)*7u + (last)*5u) & 0xffu)
#define SLOT_ROW(id, name, first, last, compact, many)                                             \
    [SLOT(sizeof(name) - 1, first, last)] = BK_SIP_HDR_##id,
static const uint8_t header_slots[256] = { HEADERS(SLOT_ROW) };

static enum bk_sip_hdr compact_of(char letter)
{
#define COMPACT_ROW(id, name, first, last, compact, many)                                          \
    if ((compact) && letter == (compact))                                                          \
        return BK_SIP_HDR_##id;
    HEADERS(COMPACT_ROW)
    return BK_SIP_HDR_OTHER;
}

enum bk_sip_hdr bk_sip_hdr_of(struct bk_view name)
{
    if (name.len < 2)
        return name.len ? compact_of(bk_lower(name.at[0])) : BK_SIP_HDR_OTHER;
    unsigned first = (unsigned char)bk_lower(name.at[0]);
    unsigned last = (unsigned char)bk_lower(name.at[name.len - 1]);
    enum bk_sip_hdr id = header_slots[SLOT((unsigned)name.len, first, last)];
    struct bk_view known = header_names[id];
    if (known.len != name.len)
        return BK_SIP_HDR_OTHER;
    /* Nearly everybody writes it as the RFC does. */
    if (memcmp(known.at, name.at, name.len) == 0 || bk_view_equal_nocase(known, name))
        return id;
    return BK_SIP_HDR_OTHER;
}

struct bk_view bk_sip_hdr_name(enum bk_sip_hdr id)
{
    return header_names[id];
}

struct bk_view bk_sip_reason_of(int status)
{
#define REASON(code, text)                                                                         \
    case code:                                                                                     \
        return BK_VIEW(text);
    switch (status) {
        REASON(100, "Trying")
        REASON(180, "Ringing")
        REASON(181, "Call Is Being Forwarded")
        REASON(182, "Queued")
        REASON(183, "Session Progress")
        REASON(199, "Early Dialog Terminated")
        REASON(200, "OK")
        REASON(202, "Accepted")
        REASON(204, "No Notification")
        REASON(300, "Multiple Choices")
        REASON(301, "Moved Permanently")
        REASON(302, "Moved Temporarily")
        REASON(305, "Use Proxy")
        REASON(380, "Alternative Service")
        REASON(400, "Bad Request")
        REASON(401, "Unauthorized")
        REASON(402, "Payment Required")
        REASON(403, "Forbidden")
        REASON(404, "Not Found")
        REASON(405, "Method Not Allowed")
        REASON(406, "Not Acceptable")
        REASON(407, "Proxy Authentication Required")
        REASON(408, "Request Timeout")
        REASON(410, "Gone")
        REASON(412, "Conditional Request Failed")
        REASON(413, "Request Entity Too Large")
        REASON(414, "Request-URI Too Long")
        REASON(415, "Unsupported Media Type")
        REASON(416, "Unsupported URI Scheme")
        REASON(417, "Unknown Resource-Priority")
        REASON(420, "Bad Extension")
        REASON(421, "Extension Required")
        REASON(422, "Session Interval Too Small")
        REASON(423, "Interval Too Brief")
        REASON(424, "Bad Location Information")
        REASON(428, "Use Identity Header")
        REASON(429, "Provide Referrer Identity")
        REASON(430, "Flow Failed")
        REASON(433, "Anonymity Disallowed")
        REASON(436, "Bad Identity Info")
        REASON(437, "Unsupported Credential")
        REASON(438, "Invalid Identity Header")
        REASON(439, "First Hop Lacks Outbound Support")
        REASON(440, "Max-Breadth Exceeded")
        REASON(469, "Bad Info Package")
        REASON(470, "Consent Needed")
        REASON(480, "Temporarily Unavailable")
        REASON(481, "Call/Transaction Does Not Exist")
        REASON(482, "Loop Detected")
        REASON(483, "Too Many Hops")
        REASON(484, "Address Incomplete")
        REASON(485, "Ambiguous")
        REASON(486, "Busy Here")
        REASON(487, "Request Terminated")
        REASON(488, "Not Acceptable Here")
        REASON(489, "Bad Event")
        REASON(491, "Request Pending")
        REASON(493, "Undecipherable")
        REASON(494, "Security Agreement Required")
        REASON(500, "Server Internal Error")
        REASON(501, "Not Implemented")
        REASON(502, "Bad Gateway")
        REASON(503, "Service Unavailable")
        REASON(504, "Server Time-out")
        REASON(505, "Version Not Supported")
        REASON(513, "Message Too Large")
        REASON(580, "Precondition Failure")
        REASON(600, "Busy Everywhere")
        REASON(603, "Decline")
        REASON(604, "Does Not Exist Anywhere")
        REASON(606, "Not Acceptable")
    default:
        break;
    }
#undef REASON
    static const struct bk_view classes[] = {
        { BK_VIEW_OF("Unknown") },        { BK_VIEW_OF("Progress") },
        { BK_VIEW_OF("Success") },        { BK_VIEW_OF("Redirection") },
        { BK_VIEW_OF("Client Error") },   { BK_VIEW_OF("Server Error") },
        { BK_VIEW_OF("Global Failure") },
    };
    return classes[status >= 100 && status < 700 ? status / 100 : 0];
}

/* ---- splitting ---- */

/* The first fault counts; reading goes on where it can, so that a 400 finds its way back. */
struct reader {
    struct bk_sip_msg *msg;
    const char *at, *stop;
    struct bk_sip_fault fault; /* text == NULL: none yet */
};

static void complain_at(struct reader *r, int status, const char *text, const char *at)
{
    if (!r->fault.text)
        r->fault = (struct bk_sip_fault){ status, text, (size_t)(at - r->msg->bytes.at) };
}

/* The next line, its CRLF included. false: the head is cut off or torn, nothing more can be read. */
static bool line_next(struct reader *r, bool folds, struct bk_view *ret)
{
    const char *from = r->at;
    bool has_control = false;

    switch (bk_sip_line_find(&r->at, r->stop, folds, &has_control)) {
    case BK_SIP_LINE_END:
        break;
    case BK_SIP_LINE_MORE:
        complain_at(r, 400, "The message ends before its head does", r->at);
        return false;
    case BK_SIP_LINE_BAD:
        complain_at(r, 400, "A CR or LF stands alone", r->at);
        return false;
    }
    *ret = bk_view_between(from, r->at);
    size_t at = 0;
    if (has_control && (!folds || !bk_sip_controls_quoted(*ret, &at)))
        complain_at(r, 400, "A control byte stands where none may", from + at);
    return true;
}

/* "SIP/" and two numbers, whichever they are. */
static bool is_version(struct bk_view v)
{
    if (!bk_view_starts_with_nocase(v, BK_VIEW("SIP/")))
        return false;
    v = bk_view_skip(v, 4);
    const char *at = v.at, *stop = bk_sip_stop(v);
    const char *dot = bk_sip_skip(at, stop, BK_SIP_IS_DIGIT);
    return dot > at && stop - dot > 1 && *dot == '.' &&
           bk_sip_skip(dot + 1, stop, BK_SIP_IS_DIGIT) == stop;
}

static void status_line_read(struct reader *r, struct bk_view line)
{
    struct bk_view rest = line;
    struct bk_view version = bk_view_cut(&rest, ' '), code = bk_view_cut(&rest, ' ');
    uint64_t status = 0;

    if (!is_version(version))
        complain_at(r, 400, "The status line has no SIP version", line.at);
    if (code.len != 3 || bk_view_to_u64(code, 699, &status) < 0 || status < 100)
        complain_at(r, 400, "The status code is not between 100 and 699", line.at + version.len);
    r->msg->status = r->fault.text ? -1 : (int)status;
    r->msg->reason = rest;
}

/*
 * Between the first blank and the last stands the URI. What may not stand in it is bk_sip_msg_check's, so
 * that the answer names the URI and not the line.
 */
static void request_line_read(struct reader *r, struct bk_view line)
{
    struct bk_sip_msg *msg = r->msg;
    const char *at = line.at, *stop = bk_sip_stop(line);
    const char *method_end = bk_sip_skip(at, stop, BK_SIP_IS_TOKEN);

    msg->method_name = bk_view_between(at, method_end);
    msg->method = bk_sip_method_of(msg->method_name);
    if (method_end == at || method_end == stop || *method_end != ' ') {
        complain_at(r, 400, "The request line does not begin with a method and a blank",
                    method_end);
        return;
    }
    const char *version = (const char *)memrchr(line.at, ' ', line.len) + 1;
    if (!is_version(bk_view_between(version, stop)))
        complain_at(r, 400, "The request line does not end with a SIP version", version);
    if (version <= method_end + 2) {
        complain_at(r, 400, "The request line holds no URI", method_end);
        return;
    }
    msg->uri = bk_view_between(method_end + 1, version - 1);
}

static bool start_line_read(struct reader *r)
{
    struct bk_view line;
    if (!line_next(r, false, &line))
        return false;
    line.len -= 2;
    r->msg->start = line;
    if (line.len > BK_SIP_START_LINE_MAX)
        complain_at(r, 414, "The start line is longer than 8 kB", r->at);
    if (bk_view_starts_with_nocase(line, BK_VIEW("SIP/")))
        status_line_read(r, line);
    else
        request_line_read(r, line);
    return true;
}

/* Hangs a field into the chain of its id. */
static void field_link(struct reader *r, int index, int16_t last[])
{
    struct bk_sip_msg *msg = r->msg;
    struct bk_sip_field *field = &msg->fields[index];
    field->next = -1;
    if (field->id == BK_SIP_HDR_OTHER)
        return;
    if (msg->first[field->id] < 0) {
        msg->first[field->id] = (int16_t)index;
    } else {
        msg->fields[last[field->id]].next = (int16_t)index;
        if (once_bits >> field->id & 1)
            complain_at(r, 400, "A header field stands there twice that may stand only once",
                        field->line.at);
    }
    last[field->id] = (int16_t)index;
}

/* Up to the empty line, and over it. false: it was not reached. */
static bool fields_read(struct reader *r)
{
    struct bk_sip_msg *msg = r->msg;
    int16_t last[BK_SIP_HDR_COUNT];

    for (;;) {
        if (r->stop - r->at >= 2 && r->at[0] == '\r' && r->at[1] == '\n') {
            r->at += 2;
            return true;
        }
        struct bk_view line;
        if (!line_next(r, true, &line))
            return false;
        if (line.len > BK_SIP_FIELD_BYTES_MAX)
            complain_at(r, 400, "A header field is longer than 32 kB", line.at);
        if (msg->n_fields == BK_SIP_FIELDS_MAX) {
            complain_at(r, 400, "There are more than 128 header fields", line.at);
            continue;
        }
        struct bk_sip_field *field = &msg->fields[msg->n_fields];
        if (!bk_sip_line_split(line, &field->name, &field->value)) {
            complain_at(r, 400, "A line is no header field", line.at);
            continue;
        }
        field->line = line;
        field->id = (uint8_t)bk_sip_hdr_of(field->name);
        field_link(r, msg->n_fields++, last);
    }
}

/* Values, not fields: a comma list counts each. Counting stops where it is sure to be too many. */
static int values_count(const struct bk_sip_msg *msg, enum bk_sip_hdr id, int enough)
{
    int n = 0;
    const struct bk_sip_field *field = bk_sip_msg_field(msg, id);
    for (; field; field = bk_sip_msg_field_next(msg, field)) {
        struct bk_view rest = field->value, value;
        n++;
        if (bk_view_find(rest, ',') == rest.len)
            continue;
        n--;
        while (n <= enough && bk_sip_list_next(&rest, &value) > 0)
            n++;
    }
    return n;
}

static void values_limit(struct reader *r, enum bk_sip_hdr id, int max, const char *text)
{
    if (r->msg->first[id] >= 0 && values_count(r->msg, id, max) > max)
        complain_at(r, 400, text, bk_sip_msg_field(r->msg, id)->line.at);
}

static void body_read(struct reader *r)
{
    struct bk_sip_msg *msg = r->msg;
    const struct bk_sip_field *field = bk_sip_msg_field(msg, BK_SIP_HDR_CONTENT_LENGTH);
    size_t there = (size_t)(r->stop - r->at);
    uint64_t len = there;

    if (field) {
        int err = bk_view_to_u64(field->value, UINT64_MAX, &len);
        if (err == -EINVAL)
            complain_at(r, 400, "Content-Length is not a number", field->value.at);
        else if (err < 0 || len > there)
            complain_at(r, 400, "Content-Length is more than there is", field->value.at);
        if (err < 0 || len > there)
            len = there;
    }
    msg->body = (struct bk_view){ r->at, (size_t)len };
    msg->bytes.len = (size_t)(r->at - msg->bytes.at) + (size_t)len;
}

int bk_sip_msg_parse(struct bk_sip_msg *ret, struct bk_view bytes, struct bk_sip_fault *ret_fault)
{
    /* The fields behind n_fields are never looked at, so these 7 kB are not cleared for each message. */
    memset(ret, 0, offsetof(struct bk_sip_msg, first));
    memset(ret->first, 0xff, sizeof ret->first);
    if (!bytes.at)
        bytes = BK_VIEW("");
    ret->bytes = bytes;
    ret->body = (struct bk_view){ bytes.at + bytes.len, 0 };

    struct reader r = { .msg = ret, .at = bytes.at, .stop = bytes.at + bytes.len };
    if (start_line_read(&r) && fields_read(&r)) {
        if (r.at - bytes.at > BK_SIP_HEAD_BYTES_MAX)
            complain_at(&r, 400, "The head is longer than 64 kB", r.at);
        body_read(&r);
    }
    values_limit(&r, BK_SIP_HDR_VIA, BK_SIP_VIA_MAX, "There are more than 70 Via values");
    values_limit(&r, BK_SIP_HDR_ROUTE, BK_SIP_ROUTE_MAX, "There are more than 32 Route values");
    values_limit(&r, BK_SIP_HDR_CONTACT, BK_SIP_CONTACT_MAX,
                 "There are more than 10 Contact values");

    struct bk_sip_cseq cseq;
    if (ret->status && bk_sip_cseq_parse(bk_sip_msg_value(ret, BK_SIP_HDR_CSEQ), &cseq) == 0) {
        ret->method_name = cseq.method;
        ret->method = bk_sip_method_of(cseq.method);
    }
    if (!r.fault.text)
        return 0;
    *ret_fault = r.fault;
    return -EBADMSG;
}

const struct bk_sip_field *bk_sip_msg_field_named(const struct bk_sip_msg *msg, struct bk_view name)
{
    enum bk_sip_hdr id = bk_sip_hdr_of(name);
    if (id != BK_SIP_HDR_OTHER)
        return bk_sip_msg_field(msg, id);
    for (int i = 0; i < msg->n_fields; i++)
        if (bk_view_equal_nocase(msg->fields[i].name, name))
            return &msg->fields[i];
    return NULL;
}

bool bk_sip_msg_answerable(const struct bk_sip_msg *msg)
{
    return msg->status == 0 && msg->first[BK_SIP_HDR_VIA] >= 0 &&
           msg->first[BK_SIP_HDR_FROM] >= 0 && msg->first[BK_SIP_HDR_TO] >= 0 &&
           msg->first[BK_SIP_HDR_CALL_ID] >= 0 && msg->first[BK_SIP_HDR_CSEQ] >= 0;
}

/* ---- checking ---- */

struct checker {
    const struct bk_sip_msg *msg;
    struct bk_sip_head head;
    struct bk_sip_fault fault;
};

static bool refuse(struct checker *c, int status, const char *text, const char *at)
{
    c->fault = (struct bk_sip_fault){ status, text, (size_t)(at - c->msg->bytes.at) };
    return false;
}

static bool refuse_field(struct checker *c, enum bk_sip_hdr id, const char *missing,
                         const char *unreadable)
{
    const struct bk_sip_field *field = bk_sip_msg_field(c->msg, id);
    return field ? refuse(c, 400, unreadable, field->line.at)
                 : refuse(c, 400, missing, c->msg->start.at);
}

static bool version_check(struct checker *c)
{
    struct bk_view start = c->msg->start;
    size_t len = strlen("SIP/2.0");
    struct bk_view version = c->msg->status
                                 ? bk_view_head(start, bk_view_find(start, ' '))
                                 : bk_view_skip(start, start.len > len ? start.len - len : 0);
    if (bk_view_equal_nocase(version, BK_VIEW("SIP/2.0")))
        return true;
    return refuse(c, 505, "The SIP version is not 2.0", start.at);
}

static bool uri_check(struct checker *c)
{
    const struct bk_sip_msg *msg = c->msg;
    struct bk_sip_uri uri;

    if (msg->status)
        return true;
    if (bk_sip_uri_parse(msg->uri, &uri) < 0)
        return refuse(c, 400, "The request URI cannot be read", msg->start.at);
    if (uri.headers.at) /* RFC 3261 19.1.1, table 1; RFC 4475 3.1.2.11 */
        return refuse(c, 400, "The request URI holds header fields", uri.headers.at);
    return true;
}

static bool via_check(struct checker *c)
{
    struct bk_view rest = bk_sip_msg_value(c->msg, BK_SIP_HDR_VIA);
    struct bk_sip_via via;

    if (bk_sip_via_next(&rest, &via) <= 0)
        return refuse_field(c, BK_SIP_HDR_VIA, "Via is missing", "Via cannot be read");
    c->head.via_branch = via.branch;
    c->head.via_transport = via.transport;
    c->head.via_rport = via.has_rport;
    c->head.via_sent_by = via.sent_by;
    return true;
}

/* From and To: one address, at most one tag. */
static bool party_read(struct bk_view value, struct bk_view *ret_uri, struct bk_view *ret_tag)
{
    struct bk_sip_addr addr;
    struct bk_sip_uri uri;
    struct bk_view tag;
    int n_tags;

    if (bk_sip_addr_read(&value, &addr, &tag, &n_tags) <= 0 || value.len || addr.star ||
        n_tags > 1 || bk_sip_uri_parse(addr.uri_text, &uri) < 0)
        return false;
    *ret_uri = addr.uri_text;
    *ret_tag = tag;
    return true;
}

static bool parties_check(struct checker *c)
{
    if (!party_read(bk_sip_msg_value(c->msg, BK_SIP_HDR_FROM), &c->head.from_uri,
                    &c->head.from_tag))
        return refuse_field(c, BK_SIP_HDR_FROM, "From is missing", "From cannot be read");
    if (!party_read(bk_sip_msg_value(c->msg, BK_SIP_HDR_TO), &c->head.to_uri, &c->head.to_tag))
        return refuse_field(c, BK_SIP_HDR_TO, "To is missing", "To cannot be read");
    return true;
}

/* callid = word [ "@" word ] */
static bool call_id_check(struct checker *c)
{
    struct bk_view id = bk_sip_msg_value(c->msg, BK_SIP_HDR_CALL_ID);
    const char *at = id.at, *stop = bk_sip_stop(id);

    at = bk_sip_skip(at, stop, BK_SIP_IS_WORD);
    if (at > id.at && at < stop && *at == '@')
        at = bk_sip_skip(at + 1, stop, BK_SIP_IS_WORD);
    if (id.len == 0 || at != stop || stop[-1] == '@')
        return refuse_field(c, BK_SIP_HDR_CALL_ID, "Call-ID is missing", "Call-ID cannot be read");
    c->head.call_id = id;
    return true;
}

static bool cseq_check(struct checker *c)
{
    struct bk_sip_cseq cseq;
    if (bk_sip_cseq_parse(bk_sip_msg_value(c->msg, BK_SIP_HDR_CSEQ), &cseq) < 0)
        return refuse_field(c, BK_SIP_HDR_CSEQ, "CSeq is missing", "CSeq cannot be read");
    if (!bk_view_equal(cseq.method, c->msg->method_name))
        return refuse(c, 400, "The method of CSeq is not that of the request", cseq.method.at);
    c->head.cseq = cseq.number;
    return true;
}

static bool numbers_check(struct checker *c)
{
    const struct bk_sip_field *field = bk_sip_msg_field(c->msg, BK_SIP_HDR_MAX_FORWARDS);
    uint64_t n = 70;
    int64_t expires_s;

    if (field) {
        int r = bk_view_to_u64(field->value, 255, &n);
        if (r == -ERANGE)
            n = 70; /* as if it were not there: RFC 4475 3.1.2.4 */
        else if (r < 0)
            return refuse(c, 400, "Max-Forwards is not a number", field->value.at);
    }
    c->head.max_forwards = (int)n;
    if (bk_sip_msg_expires(c->msg, &expires_s) == -EBADMSG)
        return refuse_field(c, BK_SIP_HDR_EXPIRES, "", "Expires is not a number");
    return true;
}

/* An INVITE has one place to answer to (RFC 3261 8.1.1.8). */
static bool contact_check(struct checker *c)
{
    if (c->msg->method == BK_SIP_INVITE && !c->msg->status &&
        values_count(c->msg, BK_SIP_HDR_CONTACT, 1) > 1)
        return refuse_field(c, BK_SIP_HDR_CONTACT, "", "An INVITE has more than one Contact");
    return true;
}

static int checked(const struct checker *c, bool good, struct bk_sip_head *ret,
                   struct bk_sip_fault *ret_fault)
{
    if (good) {
        *ret = c->head;
        return 0;
    }
    *ret_fault = c->fault;
    return -EBADMSG;
}

int bk_sip_msg_check(const struct bk_sip_msg *msg, struct bk_sip_head *ret,
                     struct bk_sip_fault *ret_fault)
{
    struct checker c = { .msg = msg };
    bool good = version_check(&c) && via_check(&c) && parties_check(&c) && call_id_check(&c) &&
                cseq_check(&c) && uri_check(&c) && numbers_check(&c) && contact_check(&c);
    return checked(&c, good, ret, ret_fault);
}

int bk_sip_msg_check_found(const struct bk_sip_msg *msg, struct bk_sip_head *ret,
                           struct bk_sip_fault *ret_fault)
{
    struct checker c = { .msg = msg };
    bool good = version_check(&c) && via_check(&c) && cseq_check(&c);
    return checked(&c, good, ret, ret_fault);
}

int bk_sip_msg_check_rest(const struct bk_sip_msg *msg, struct bk_sip_head *head,
                          struct bk_sip_fault *ret_fault)
{
    struct checker c = { .msg = msg, .head = *head };
    bool good = parties_check(&c) && call_id_check(&c) && uri_check(&c) && numbers_check(&c) &&
                contact_check(&c);
    return checked(&c, good, head, ret_fault);
}
