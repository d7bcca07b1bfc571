/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/fields.h"

#include "sip/uri_private.h"

#include <errno.h>

static const char *skip_space(const char *at, const char *stop)
{
    return bk_sip_skip(at, stop, BK_SIP_IS_SPACE);
}

/* A token, then blanks. NULL: none stands here. */
static const char *token_read(const char *at, const char *stop, struct bk_view *ret)
{
    const char *end = bk_sip_skip(at, stop, BK_SIP_IS_TOKEN);
    if (end == at)
        return NULL;
    *ret = bk_view_between(at, end);
    return skip_space(end, stop);
}

/* One byte of punctuation with blanks around it. NULL: something else stands here. */
static const char *sign_read(const char *at, const char *stop, char sign)
{
    at = skip_space(at, stop);
    return at < stop && *at == sign ? skip_space(at + 1, stop) : NULL;
}

/* Behind a value: nothing, or ';' and parameters that can be read. */
static bool params_read(const char *at, const char *stop, struct bk_view *ret)
{
    *ret = (struct bk_view){ NULL, 0 };
    at = skip_space(at, stop);
    if (at == stop)
        return true;
    if (*at++ != ';')
        return false;
    *ret = bk_view_between(at, stop);
    for (;; at++) {
        struct bk_sip_param param;
        if (!bk_sip_param_read(&at, stop, &param))
            return false;
        if (at == stop)
            return true;
        if (*at != ';')
            return false;
    }
}

/* "text" without its quotes, escapes kept; anything else as it is. */
static struct bk_view without_quotes(struct bk_view v)
{
    return v.len >= 2 && v.at[0] == '"' ? bk_view_between(v.at + 1, v.at + v.len - 1) : v;
}

/* ---- lists ---- */

int bk_sip_list_next(struct bk_view *rest, struct bk_view *ret)
{
    const char *at = rest->at, *stop = bk_sip_stop(*rest);
    at = skip_space(at, stop);
    if (at == stop) {
        *rest = (struct bk_view){ stop, 0 };
        return 0;
    }
    const char *element = at;
    while (at < stop && *at != ',') {
        if (*at == '"') {
            at = bk_sip_quoted_end(at, stop);
            if (!at)
                return -EBADMSG;
        } else if (*at == '<') {
            at = memchr(at, '>', (size_t)(stop - at));
            if (!at)
                return -EBADMSG;
            at++;
        } else {
            at++;
        }
    }
    struct bk_view found = bk_view_trim(bk_view_between(element, at));
    if (found.len == 0 || !bk_sip_comma_read(&at, stop))
        return -EBADMSG;
    *rest = bk_view_between(at, stop);
    *ret = found;
    return 1;
}

bool bk_sip_msg_has_token(const struct bk_sip_msg *msg, enum bk_sip_hdr id, struct bk_view token)
{
    const struct bk_sip_field *field = bk_sip_msg_field(msg, id);
    for (; field; field = bk_sip_msg_field_next(msg, field)) {
        struct bk_view rest = field->value, element;
        while (bk_sip_list_next(&rest, &element) > 0)
            if (bk_view_equal_nocase(element, token))
                return true;
    }
    return false;
}

/* ---- Via ---- */

/* The parameters that everybody asks for. false: one of them cannot be read. */
static bool via_param_take(struct bk_sip_via *via, const struct bk_sip_param *param)
{
    struct bk_view value = param->value;
    const char *at = value.at, *stop = bk_sip_stop(value);

    switch (param->name.len) {
    case 6:
        if (bk_view_equal_nocase(param->name, BK_VIEW("branch")))
            via->branch = value;
        return true;
    case 8:
        if (!bk_view_equal_nocase(param->name, BK_VIEW("received")))
            return true;
        via->received = value;
        if (value.len >= 2 && *at == '[' && stop[-1] == ']') /* RFC 5118 4.5: both ways */
            via->received = bk_view_between(at + 1, stop - 1);
        return true;
    case 5:
        if (!bk_view_equal_nocase(param->name, BK_VIEW("rport")))
            return true;
        via->has_rport = true;
        return value.len == 0 || (bk_sip_port_read(&at, stop, &via->rport) && at == stop);
    default:
        return true;
    }
}

int bk_sip_via_next(struct bk_view *rest, struct bk_sip_via *ret)
{
    const char *at = rest->at, *stop = bk_sip_stop(*rest);
    struct bk_sip_via via = { 0 };

    at = skip_space(at, stop);
    if (at == stop) {
        *rest = (struct bk_view){ stop, 0 };
        return 0;
    }
    if (!(at = token_read(at, stop, &via.protocol)) || !(at = sign_read(at, stop, '/')) ||
        !(at = token_read(at, stop, &via.version)) || !(at = sign_read(at, stop, '/')) ||
        !(at = token_read(at, stop, &via.transport)) || !bk_sip_is(at[-1], BK_SIP_IS_SPACE))
        return -EBADMSG;

    const char *sent_by = at;
    struct bk_sip_host host;
    if (!bk_sip_host_read(&at, stop, &host))
        return -EBADMSG;
    via.host = host.name;
    via.host_is_ipv6 = host.is_ipv6;
    const char *port = sign_read(at, stop, ':');
    if (port) {
        at = port;
        if (!bk_sip_port_read(&at, stop, &via.port))
            return -EBADMSG;
    }
    via.sent_by = bk_view_between(sent_by, at);

    at = skip_space(at, stop);
    if (at < stop && *at == ';') {
        const char *params = ++at;
        for (;; at++) {
            struct bk_sip_param param;
            if (!bk_sip_param_read(&at, stop, &param) || !via_param_take(&via, &param))
                return -EBADMSG;
            if (at == stop || *at == ',')
                break;
        }
        via.params = bk_view_between(params, at);
    }
    if (!bk_sip_comma_read(&at, stop))
        return -EBADMSG;
    *rest = bk_view_between(at, stop);
    *ret = via;
    return 1;
}

/* ---- single values ---- */

int bk_sip_cseq_parse(struct bk_view value, struct bk_sip_cseq *ret)
{
    const char *at = value.at, *stop = bk_sip_stop(value);
    const char *digits = at;
    struct bk_view method;
    uint64_t number;

    at = bk_sip_skip(at, stop, BK_SIP_IS_DIGIT);
    if (bk_view_to_u64(bk_view_between(digits, at), UINT32_MAX, &number) < 0 || at == stop ||
        !bk_sip_is(*at, BK_SIP_IS_SPACE))
        return -EBADMSG;
    at = token_read(skip_space(at, stop), stop, &method);
    if (!at || at != stop)
        return -EBADMSG;
    *ret = (struct bk_sip_cseq){ (uint32_t)number, method };
    return 0;
}

int bk_sip_event_parse(struct bk_view value, struct bk_sip_event *ret)
{
    const char *at = value.at, *stop = bk_sip_stop(value);
    struct bk_sip_event event = { 0 };
    struct bk_view params, id;

    at = token_read(skip_space(at, stop), stop, &event.package);
    if (!at || !params_read(at, stop, &params))
        return -EBADMSG;
    if (bk_sip_param_find(params, BK_VIEW("id"), &id))
        event.id = id;
    *ret = event;
    return 0;
}

/* Seconds of a parameter or field; what is too large counts as 2^32 - 1. */
static int seconds_parse(struct bk_view text, int64_t *ret)
{
    uint64_t n;
    int r = bk_view_to_u64(text, UINT32_MAX, &n);
    if (r == -ERANGE)
        n = UINT32_MAX;
    else if (r < 0)
        return -EBADMSG;
    *ret = (int64_t)n;
    return 0;
}

static enum bk_sip_sub_state sub_state_of(struct bk_view name)
{
    if (bk_view_equal_nocase(name, BK_VIEW("active")))
        return BK_SIP_SUB_ACTIVE;
    if (bk_view_equal_nocase(name, BK_VIEW("pending")))
        return BK_SIP_SUB_PENDING;
    if (bk_view_equal_nocase(name, BK_VIEW("terminated")))
        return BK_SIP_SUB_TERMINATED;
    return BK_SIP_SUB_OTHER;
}

int bk_sip_subscription_state_parse(struct bk_view value, struct bk_sip_subscription_state *ret)
{
    const char *at = value.at, *stop = bk_sip_stop(value);
    struct bk_sip_subscription_state state = { .expires_s = -1, .retry_after_s = -1 };
    struct bk_view name, params, text;

    at = token_read(skip_space(at, stop), stop, &name);
    if (!at || !params_read(at, stop, &params))
        return -EBADMSG;
    state.state = sub_state_of(name);
    if (bk_sip_param_find(params, BK_VIEW("reason"), &text))
        state.reason = without_quotes(text);
    if (bk_sip_param_find(params, BK_VIEW("expires"), &text) &&
        seconds_parse(text, &state.expires_s) < 0)
        return -EBADMSG;
    if (bk_sip_param_find(params, BK_VIEW("retry-after"), &text) &&
        seconds_parse(text, &state.retry_after_s) < 0)
        return -EBADMSG;
    *ret = state;
    return 0;
}

int bk_sip_msg_expires(const struct bk_sip_msg *msg, int64_t *ret_s)
{
    if (!bk_sip_msg_field(msg, BK_SIP_HDR_EXPIRES))
        return -ENOENT;
    return seconds_parse(bk_sip_msg_value(msg, BK_SIP_HDR_EXPIRES), ret_s);
}

/* ---- Content-Type ---- */

/* A parameter's text; -EBADMSG where escapes would have to be undone, which no boundary or charset needs. */
static int plain_param(struct bk_view params, struct bk_view name, struct bk_view *ret)
{
    struct bk_view value;
    if (!bk_sip_param_find(params, name, &value))
        return 0;
    value = without_quotes(value);
    if (bk_view_find(value, '\\') < value.len)
        return -EBADMSG;
    *ret = value;
    return 0;
}

int bk_sip_content_type_parse(struct bk_view value, struct bk_sip_content_type *ret)
{
    const char *at = value.at, *stop = bk_sip_stop(value);
    struct bk_sip_content_type type = { 0 };

    at = token_read(skip_space(at, stop), stop, &type.type);
    if (!at || !(at = sign_read(at, stop, '/')) || !(at = token_read(at, stop, &type.subtype)) ||
        !params_read(at, stop, &type.params))
        return -EBADMSG;
    if (plain_param(type.params, BK_VIEW("boundary"), &type.boundary) < 0 ||
        plain_param(type.params, BK_VIEW("charset"), &type.charset) < 0)
        return -EBADMSG;
    *ret = type;
    return 0;
}

/* ---- ms-diagnostics ---- */

int bk_sip_diagnostics_parse(struct bk_view value, struct bk_sip_diagnostics *ret)
{
    static const struct {
        struct bk_view name;
        size_t offset;
    } known[] = {
        { { BK_VIEW_OF("reason") }, offsetof(struct bk_sip_diagnostics, reason) },
        { { BK_VIEW_OF("source") }, offsetof(struct bk_sip_diagnostics, source) },
        { { BK_VIEW_OF("record") }, offsetof(struct bk_sip_diagnostics, record) },
        { { BK_VIEW_OF("case") }, offsetof(struct bk_sip_diagnostics, case_code) },
    };
    const char *stop = bk_sip_stop(value);
    const char *at = skip_space(value.at, stop), *digits = at;
    struct bk_sip_diagnostics found = { 0 };
    struct bk_view params;
    uint64_t id;

    at = bk_sip_skip(at, stop, BK_SIP_IS_DIGIT);
    if (bk_view_to_u64(bk_view_between(digits, at), UINT32_MAX, &id) < 0 ||
        !params_read(at, stop, &params))
        return -EBADMSG;
    found.id = (uint32_t)id;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct bk_view text;
        if (bk_sip_param_find(params, known[i].name, &text))
            *(struct bk_view *)(void *)((char *)&found + known[i].offset) = without_quotes(text);
    }
    *ret = found;
    return 0;
}

/* ---- quoted strings ---- */

void bk_sip_quote(struct bk_buf *to, struct bk_view text)
{
    bk_buf_add_char(to, '"');
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (bk_sip_is(c, BK_SIP_IS_CONTROL | BK_SIP_IS_SPACE) && c != ' ' && c != '\t')
            continue;
        if (c == '"' || c == '\\')
            bk_buf_add_char(to, '\\');
        bk_buf_add_char(to, c);
    }
    bk_buf_add_char(to, '"');
}

int bk_sip_unquote(struct bk_view value, struct bk_buf *ret)
{
    if (value.len == 0 || value.at[0] != '"') {
        if (bk_view_find(value, '"') < value.len)
            return -EBADMSG;
        bk_buf_add_view(ret, value);
        return 0;
    }
    const char *stop = value.at + value.len;
    if (bk_sip_quoted_end(value.at, stop) != stop)
        return -EBADMSG;
    for (const char *at = value.at + 1; at < stop - 1; at++) {
        if (*at == '\\')
            at++;
        bk_buf_add_char(ret, *at);
    }
    return 0;
}
