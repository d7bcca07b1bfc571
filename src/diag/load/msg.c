/* SPDX-License-Identifier: Apache-2.0 */
#include "diag/load/msg.h"

#include "base/text.h"

#include <errno.h>

enum field {
    VIA,
    FROM,
    TO,
    CALL_ID,
    CSEQ,
    CONTACT,
    CONTENT_LENGTH,
    MAX_FORWARDS,
    RECORD_ROUTE,
    ROUTE,
    CHALLENGE,
    EVENT,
    SUBSCRIPTION_STATE,
    ETAG,
    SIGNATURE,
    EXPIRES,
    PIGGYBACK,
    ASSERTED,
    PREFERRED,
    OTHER,
};

/* RFC 3261 section 7.3.3 and RFC 6665 section 8.2.1 give the one-letter forms. */
static const struct {
    struct bk_view name;
    char compact;
    enum field field;
} names[] = {
    { { BK_VIEW_OF("via") }, 'v', VIA },
    { { BK_VIEW_OF("from") }, 'f', FROM },
    { { BK_VIEW_OF("to") }, 't', TO },
    { { BK_VIEW_OF("call-id") }, 'i', CALL_ID },
    { { BK_VIEW_OF("cseq") }, 0, CSEQ },
    { { BK_VIEW_OF("contact") }, 'm', CONTACT },
    { { BK_VIEW_OF("content-length") }, 'l', CONTENT_LENGTH },
    { { BK_VIEW_OF("max-forwards") }, 0, MAX_FORWARDS },
    { { BK_VIEW_OF("record-route") }, 0, RECORD_ROUTE },
    { { BK_VIEW_OF("route") }, 0, ROUTE },
    { { BK_VIEW_OF("www-authenticate") }, 0, CHALLENGE },
    { { BK_VIEW_OF("proxy-authenticate") }, 0, CHALLENGE },
    { { BK_VIEW_OF("event") }, 'o', EVENT },
    { { BK_VIEW_OF("subscription-state") }, 0, SUBSCRIPTION_STATE },
    { { BK_VIEW_OF("sip-etag") }, 0, ETAG },
    { { BK_VIEW_OF("authentication-info") }, 0, SIGNATURE },
    { { BK_VIEW_OF("proxy-authentication-info") }, 0, SIGNATURE },
    { { BK_VIEW_OF("expires") }, 0, EXPIRES },
    { { BK_VIEW_OF("ms-piggyback-cseq") }, 0, PIGGYBACK },
    { { BK_VIEW_OF("p-asserted-identity") }, 0, ASSERTED },
    { { BK_VIEW_OF("p-preferred-identity") }, 0, PREFERRED },
};

static enum field field_of(struct bk_view name)
{
    if (name.len == 0)
        return OTHER;
    char first = bk_lower(name.at[0]);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (name.len == 1
                ? names[i].compact == first
                : names[i].name.at[0] == first && bk_view_equal_nocase(name, names[i].name))
            return names[i].field;
    }
    return OTHER;
}

static int take_first_line(struct bk_view line, struct bk_load_msg *ret)
{
    struct bk_view rest = line;
    struct bk_view first = bk_view_cut(&rest, ' ');
    struct bk_view second = bk_view_cut(&rest, ' ');
    if (bk_view_equal(first, BK_VIEW("SIP/2.0"))) {
        uint64_t status;
        if (second.len != 3 || bk_view_to_u64(second, 699, &status) < 0 || status < 100)
            return -EBADMSG;
        ret->status = (unsigned)status;
        return 0;
    }
    if (first.len == 0 || second.len == 0 || !bk_view_equal(rest, BK_VIEW("SIP/2.0")))
        return -EBADMSG;
    ret->method = first;
    ret->uri = second;
    return 0;
}

static int take_cseq(struct bk_view value, struct bk_load_msg *ret)
{
    struct bk_view rest = value;
    uint64_t number;
    if (bk_view_to_u64(bk_view_cut(&rest, ' '), UINT32_MAX, &number) < 0)
        return -EBADMSG;
    rest = bk_view_trim(rest);
    if (rest.len == 0 || (ret->status == 0 && !bk_view_equal(rest, ret->method)))
        return -EBADMSG;
    ret->method = rest;
    ret->cseq = (uint32_t)number;
    ret->cseq_value = value;
    return 0;
}

static int take_once(struct bk_view *field, struct bk_view value)
{
    if (field->at)
        return -EBADMSG;
    *field = value;
    return 0;
}

static int take_more(struct bk_load_fields *fields, struct bk_view value)
{
    if (fields->count == BK_LOAD_MSG_FIELDS_MAX)
        return -EBADMSG;
    fields->at[fields->count++] = value;
    return 0;
}

static int take_field(struct bk_view line, struct bk_load_msg *ret, uint64_t *ret_length)
{
    struct bk_view value = line;
    struct bk_view name = bk_view_trim(bk_view_cut(&value, ':'));
    if (!value.at)
        return -EBADMSG;
    value = bk_view_trim(value);
    uint64_t number;
    switch (field_of(name)) {
    case VIA:
        return take_more(&ret->via, value);
    case RECORD_ROUTE:
        return take_more(&ret->record_route, value);
    case ROUTE:
        return take_more(&ret->route, value);
    case CHALLENGE:
        return take_more(&ret->challenge, value);
    case FROM:
        return take_once(&ret->from, value);
    case TO:
        return take_once(&ret->to, value);
    case CALL_ID:
        return take_once(&ret->call_id, value);
    case CONTACT:
        if (!ret->contact.at) /* the answer to REGISTER may name several */
            ret->contact = value;
        return 0;
    case EVENT:
        return take_once(&ret->event, value);
    case SUBSCRIPTION_STATE:
        return take_once(&ret->subscription_state, value);
    case ETAG:
        return take_once(&ret->etag, value);
    case SIGNATURE:
        return take_once(&ret->signature, value);
    case EXPIRES:
        return take_once(&ret->expires, value);
    case PIGGYBACK:
        return take_once(&ret->piggyback, value);
    case ASSERTED:
        return take_more(&ret->asserted, value);
    case PREFERRED:
        return take_more(&ret->preferred, value);
    case CSEQ:
        return take_cseq(value, ret);
    case CONTENT_LENGTH:
        return bk_view_to_u64(value, BK_LOAD_MSG_BYTES_MAX, ret_length) < 0 ? -EBADMSG : 0;
    case MAX_FORWARDS:
        if (bk_view_to_u64(value, 255, &number) < 0)
            return -EBADMSG;
        ret->max_forwards = (int)number;
        return 0;
    case OTHER:
        break;
    }
    return 0;
}

/* The bytes up to the line break, a fold counted as part of the line. *rest moves behind it. */
static struct bk_view next_line(struct bk_view *rest)
{
    size_t end = 0;
    for (;;) {
        const char *lf = memchr(rest->at + end, '\n', rest->len - end);
        end = (size_t)(lf - rest->at) + 1; /* the empty line is known to follow, so there is one */
        if (end == rest->len || end <= 2 || (rest->at[end] != ' ' && rest->at[end] != '\t'))
            break;
    }
    struct bk_view line = { rest->at, end - 1 };
    if (line.len > 0 && line.at[line.len - 1] == '\r')
        line.len--;
    *rest = bk_view_skip(*rest, end);
    return line;
}

ssize_t bk_load_msg_parse(struct bk_view bytes, struct bk_load_msg *ret, size_t *ret_skip)
{
    size_t skip = 0;
    while (skip < bytes.len && (bytes.at[skip] == '\r' || bytes.at[skip] == '\n'))
        skip++;
    *ret_skip = skip;
    struct bk_view rest = bk_view_skip(bytes, skip);
    if (rest.len == 0)
        return 0;

    size_t head = bk_view_find_view(rest, BK_VIEW("\r\n\r\n"));
    if (head == rest.len)
        return rest.len > BK_LOAD_MSG_BYTES_MAX ? -EBADMSG : 0;
    head += 4;

    struct bk_load_msg msg = { .max_forwards = -1 };
    struct bk_view fields = bk_view_head(rest, head - 2);
    int r = take_first_line(next_line(&fields), &msg);
    if (r < 0)
        return r;
    uint64_t length = 0;
    while (fields.len > 0) {
        r = take_field(next_line(&fields), &msg, &length);
        if (r < 0)
            return r;
    }
    if (!msg.via.count || !msg.from.at || !msg.to.at || !msg.call_id.at || !msg.cseq_value.at)
        return -EBADMSG;
    if (rest.len - head < length)
        return 0;
    msg.body = (struct bk_view){ rest.at + head, (size_t)length };
    msg.branch = bk_load_msg_param(msg.via.at[0], BK_VIEW("branch"));
    *ret = msg;
    return (ssize_t)(skip + head + length);
}

struct bk_view bk_load_msg_param(struct bk_view field, struct bk_view name)
{
    /* Parameters of an address inside <> are not the field's. */
    size_t close = bk_view_find(field, '>');
    if (close < field.len)
        field = bk_view_skip(field, close + 1);
    size_t comma = bk_view_find(field, ',');
    field = bk_view_head(field, comma);
    bk_view_cut(&field, ';');
    while (field.at) {
        struct bk_view value = bk_view_cut(&field, ';');
        struct bk_view key = bk_view_trim(bk_view_cut(&value, '='));
        if (!bk_view_equal_nocase(key, name))
            continue;
        value = bk_view_trim(value);
        if (value.len >= 2 && value.at[0] == '"')
            value = (struct bk_view){ value.at + 1, value.len - 2 };
        return value;
    }
    return (struct bk_view){ 0 };
}

struct bk_view bk_load_msg_address(struct bk_view field)
{
    size_t open = bk_view_find(field, '<');
    if (open == field.len)
        return bk_view_trim(bk_view_head(field, bk_view_find(field, ';')));
    struct bk_view inside = bk_view_skip(field, open + 1);
    return bk_view_head(inside, bk_view_find(inside, '>'));
}
