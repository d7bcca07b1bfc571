/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/uri.h"

#include "base/text.h"
#include "sip/uri_private.h"

#include <errno.h>

enum {
    HOST_MAX = 255,
    LABEL_MAX = 63,
    USER_MAX = 64,
    /* Comparing takes the product of both numbers; no URI of this world has as many. */
    COMPARED_PARAMS_MAX = 32,
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = bk_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_escape(const char *at, const char *stop)
{
    return stop - at >= 3 && at[0] == '%' && bk_sip_is(at[1], BK_SIP_IS_HEX) &&
           bk_sip_is(at[2], BK_SIP_IS_HEX);
}

/* The first byte that is neither in the classes nor part of an escape. */
static const char *skip_escaped(const char *at, const char *stop, unsigned classes)
{
    for (;;) {
        at = bk_sip_skip(at, stop, classes);
        if (!is_escape(at, stop))
            return at;
        at += 3;
    }
}

static const char *skip_space(const char *at, const char *stop)
{
    return bk_sip_skip(at, stop, BK_SIP_IS_SPACE);
}

/* ---- hosts ---- */

static bool ipv4_valid(struct bk_view text)
{
    const char *at = text.at, *stop = bk_sip_stop(text);
    for (int part = 1; at < stop; part++) {
        unsigned n = 0;
        const char *digits = at;
        for (; at < stop && at - digits < 3 && bk_sip_is(*at, BK_SIP_IS_DIGIT); at++)
            n = n * 10 + (unsigned)(*at - '0');
        if (at == digits || n > 255)
            return false;
        if (part == 4)
            return at == stop;
        if (at == stop || *at++ != '.')
            return false;
    }
    return false;
}

bool bk_sip_ipv6_valid(struct bk_view text)
{
    const char *at = text.at, *stop = bk_sip_stop(text);
    int groups = 0;
    bool gap = false;

    if (text.len < 2)
        return false;
    if (at[0] == ':' && at[1] != ':')
        return false;
    while (at < stop) {
        if (stop - at >= 2 && at[0] == ':' && at[1] == ':') {
            if (gap)
                return false;
            gap = true;
            at += 2;
            /* RFC 3261's own grammar made a third colon in front of an IPv4 part; RFC 5118 4.10: put up with it. */
            if (stop - at >= 2 && *at == ':' && memchr(at, '.', (size_t)(stop - at)) &&
                bk_sip_is(at[1], BK_SIP_IS_DIGIT) && ipv4_valid(bk_view_between(at + 1, stop)))
                at++;
            continue;
        }
        if (groups && at[-1] != ':') {
            if (*at++ != ':' || at == stop)
                return false;
        }
        const char *group = at;
        at = bk_sip_skip(at, stop, BK_SIP_IS_HEX);
        if (at < stop && *at == '.') {
            groups += 2;
            return ipv4_valid(bk_view_between(group, stop)) && (gap ? groups < 8 : groups == 8);
        }
        if (at == group || at - group > 4 || ++groups > 8)
            return false;
    }
    return gap ? groups < 8 : groups == 8;
}

bool bk_sip_host_read(const char **at, const char *stop, struct bk_sip_host *ret)
{
    const char *p = *at;
    if (p < stop && *p == '[') {
        const char *end = memchr(p, ']', (size_t)(stop - p));
        if (!end || !bk_sip_ipv6_valid(bk_view_between(p + 1, end)))
            return false;
        *ret = (struct bk_sip_host){ bk_view_between(p + 1, end), true };
        *at = end + 1;
        return true;
    }

    /* Machine names may begin with a digit (RFC 1123 2.1), but one that ends in a number is an IPv4 address or nothing. */
    const char *label = p;
    bool numeric = false;
    while (p < stop) {
        label = p;
        p = bk_sip_skip(p, stop, BK_SIP_IS_HOST);
        if (p == label) {
            if (p == *at)
                return false;
            break; /* behind a dot at the end */
        }
        if (p - label > LABEL_MAX || *label == '-' || p[-1] == '-')
            return false;
        numeric = bk_sip_skip(label, p, BK_SIP_IS_DIGIT) == p;
        if (p == stop || *p != '.')
            break;
        p++;
    }
    struct bk_view name = bk_view_between(*at, p);
    if (name.len == 0 || name.len > HOST_MAX || (numeric && !ipv4_valid(name)))
        return false;
    *ret = (struct bk_sip_host){ name, false };
    *at = p;
    return true;
}

bool bk_sip_port_read(const char **at, const char *stop, uint16_t *ret)
{
    const char *end = bk_sip_skip(*at, stop, BK_SIP_IS_DIGIT);
    uint64_t port;
    if (bk_view_to_u64(bk_view_between(*at, end), UINT16_MAX, &port) < 0 || port == 0)
        return false;
    *ret = (uint16_t)port;
    *at = end;
    return true;
}

/* ---- URIs ---- */

static bool user_read(struct bk_view userinfo, struct bk_sip_uri *uri)
{
    const char *at = userinfo.at, *stop = bk_sip_stop(userinfo);
    const char *end = skip_escaped(at, stop, BK_SIP_IS_USER);
    uri->has_user = true;
    uri->user = bk_view_between(at, end);
    if (end == stop)
        return true;
    if (*end != ':')
        return false;
    uri->password = bk_view_between(end + 1, stop);
    return skip_escaped(end + 1, stop, BK_SIP_IS_PASSWORD) == stop;
}

/* pname [ "=" pvalue ], over and over; '=' also inside values, where some servers put base64. */
static bool params_valid(struct bk_view params)
{
    const char *at = params.at, *stop = bk_sip_stop(params);
    for (;;) {
        const char *name = at;
        at = skip_escaped(at, stop, BK_SIP_IS_PARAM);
        if (at == name)
            return false;
        while (at < stop && *at == '=')
            at = skip_escaped(at + 1, stop, BK_SIP_IS_PARAM);
        if (at == stop)
            return true;
        if (*at++ != ';')
            return false;
    }
}

/* hname "=" hvalue, with '&' between them. */
static bool headers_valid(struct bk_view headers)
{
    const char *at = headers.at, *stop = bk_sip_stop(headers);
    for (;;) {
        const char *name = at;
        at = skip_escaped(at, stop, BK_SIP_IS_HEADER);
        if (at == name || at == stop || *at != '=')
            return false;
        at = skip_escaped(at + 1, stop, BK_SIP_IS_HEADER);
        if (at == stop)
            return true;
        if (*at++ != '&')
            return false;
    }
}

/* Behind the scheme of a sip or sips URI. */
static bool sip_rest_read(struct bk_view rest, struct bk_sip_uri *uri)
{
    const char *at = rest.at, *stop = bk_sip_stop(rest);

    const char *at_sign =
        rest.len ? memchr(at, '@', rest.len) : NULL; /* nowhere else may it stand unescaped */
    if (at_sign) {
        if (!user_read(bk_view_between(at, at_sign), uri))
            return false;
        at = at_sign + 1;
    }

    struct bk_sip_host host;
    if (!bk_sip_host_read(&at, stop, &host))
        return false;
    uri->host = host.name;
    uri->host_is_ipv6 = host.is_ipv6;
    if (at < stop && *at == ':') {
        at++;
        if (!bk_sip_port_read(&at, stop, &uri->port))
            return false;
    }

    if (at < stop && *at == ';') {
        const char *end = memchr(at, '?', (size_t)(stop - at));
        uri->params = bk_view_between(at + 1, end ? end : stop);
        if (!params_valid(uri->params))
            return false;
        at = end ? end : stop;
    }
    if (at < stop && *at == '?') {
        uri->headers = bk_view_between(at + 1, stop);
        return headers_valid(uri->headers);
    }
    return at == stop;
}

/* What may stand in a URI of whatever scheme: no blanks, brackets, quotes, control bytes. */
static bool is_plain(struct bk_view text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (bk_sip_is(c, BK_SIP_IS_SPACE | BK_SIP_IS_CONTROL) || c == '<' || c == '>' || c == '"')
            return false;
    }
    return true;
}

static enum bk_sip_scheme scheme_of(struct bk_view name)
{
    if (name.len < 3 || name.len > 4 || bk_lower(name.at[0]) != 's' ||
        bk_lower(name.at[1]) != 'i' || bk_lower(name.at[2]) != 'p')
        return BK_SIP_SCHEME_OTHER;
    if (name.len == 3)
        return BK_SIP_SCHEME_SIP;
    return bk_lower(name.at[3]) == 's' ? BK_SIP_SCHEME_SIPS : BK_SIP_SCHEME_OTHER;
}

int bk_sip_uri_parse(struct bk_view text, struct bk_sip_uri *ret)
{
    const char *at = text.at, *stop = bk_sip_stop(text);
    const char *colon = at;
    while (colon < stop &&
           (bk_sip_is(*colon, BK_SIP_IS_ALNUM) || *colon == '+' || *colon == '-' || *colon == '.'))
        colon++;
    if (colon == at || colon == stop || *colon != ':' || bk_sip_is(*at, BK_SIP_IS_DIGIT))
        return -EBADMSG;

    struct bk_view rest = bk_view_between(colon + 1, stop);
    struct bk_sip_uri uri = { .text = text, .scheme_name = bk_view_between(at, colon) };
    uri.scheme = scheme_of(uri.scheme_name);
    if (uri.scheme == BK_SIP_SCHEME_OTHER ? rest.len == 0 || !is_plain(rest)
                                          : !sip_rest_read(rest, &uri))
        return -EBADMSG;
    *ret = uri;
    return 0;
}

/* ---- comparing ---- */

static bool is_reserved(char c)
{
    return c && strchr(";/?:@&=+$,", c);
}

/*
 * Takes one character, escaped or not, off the front. What is reserved means something else when it
 * is escaped (RFC 3261 19.1.4), so those answers lie above the bytes.
 */
static int next_char(struct bk_view *rest, bool nocase)
{
    char c = rest->at[0];
    bool escaped = is_escape(rest->at, rest->at + rest->len);
    if (escaped)
        c = (char)(hex_value(rest->at[1]) << 4 | hex_value(rest->at[2]));
    *rest = bk_view_skip(*rest, escaped ? 3 : 1);
    if (escaped && is_reserved(c))
        return 256 + (unsigned char)c;
    return (unsigned char)(nocase ? bk_lower(c) : c);
}

static bool text_equal(struct bk_view a, struct bk_view b, bool nocase)
{
    while (a.len && b.len)
        if (next_char(&a, nocase) != next_char(&b, nocase))
            return false;
    return a.len == b.len;
}

/* One name=value off a text with `separator` between them. */
static bool pair_next(struct bk_view *rest, char separator, struct bk_sip_param *ret)
{
    if (!rest->at)
        return false;
    struct bk_view pair = bk_view_cut(rest, separator);
    ret->name = bk_view_cut(&pair, '=');
    ret->value = pair;
    return true;
}

static bool pair_find(struct bk_view pairs, char separator, struct bk_view name,
                      struct bk_sip_param *ret)
{
    while (pair_next(&pairs, separator, ret))
        if (text_equal(ret->name, name, true))
            return true;
    return false;
}

static size_t pair_count(struct bk_view pairs, char separator)
{
    size_t n = 0;
    struct bk_sip_param pair;
    while (pair_next(&pairs, separator, &pair))
        n++;
    return n;
}

/* These change where a request goes, so missing is not the same as anything (19.1.4). */
static bool must_be_in_both(struct bk_view name)
{
    static const struct bk_view names[] = {
        { BK_VIEW_OF("transport") }, { BK_VIEW_OF("user") }, { BK_VIEW_OF("method") },
        { BK_VIEW_OF("maddr") },     { BK_VIEW_OF("ttl") },
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (text_equal(name, names[i], true))
            return true;
    return false;
}

/* Every parameter of a that b has is equal there, and none is missing that counts. */
static bool params_agree(struct bk_view a, struct bk_view b)
{
    struct bk_sip_param mine, other;
    while (pair_next(&a, ';', &mine)) {
        if (pair_find(b, ';', mine.name, &other)) {
            if (!mine.value.at != !other.value.at || !text_equal(mine.value, other.value, true))
                return false;
        } else if (must_be_in_both(mine.name)) {
            return false;
        }
    }
    return true;
}

static bool headers_agree(struct bk_view a, struct bk_view b)
{
    struct bk_sip_param mine, other;
    while (pair_next(&a, '&', &mine))
        if (!pair_find(b, '&', mine.name, &other) || !text_equal(mine.value, other.value, false))
            return false;
    return true;
}

bool bk_sip_uri_equal(const struct bk_sip_uri *a, const struct bk_sip_uri *b)
{
    if (a->scheme != b->scheme)
        return false;
    if (a->scheme == BK_SIP_SCHEME_OTHER)
        return bk_view_equal_nocase(a->scheme_name, b->scheme_name) &&
               bk_view_equal(bk_view_skip(a->text, a->scheme_name.len),
                             bk_view_skip(b->text, b->scheme_name.len));
    if (a->has_user != b->has_user || !text_equal(a->user, b->user, false) ||
        !a->password.at != !b->password.at || !text_equal(a->password, b->password, false) ||
        a->host_is_ipv6 != b->host_is_ipv6 || !bk_view_equal_nocase(a->host, b->host) ||
        a->port != b->port)
        return false;
    if (bk_view_equal(a->params, b->params) && bk_view_equal(a->headers, b->headers))
        return true;
    if (pair_count(a->params, ';') > COMPARED_PARAMS_MAX ||
        pair_count(b->params, ';') > COMPARED_PARAMS_MAX ||
        pair_count(a->headers, '&') > COMPARED_PARAMS_MAX ||
        pair_count(b->headers, '&') != pair_count(a->headers, '&'))
        return false;
    return params_agree(a->params, b->params) && params_agree(b->params, a->params) &&
           headers_agree(a->headers, b->headers) && headers_agree(b->headers, a->headers);
}

/* ---- escapes ---- */

int bk_sip_unescape(struct bk_view text, struct bk_buf *ret)
{
    size_t before = ret->len;
    const char *at = text.at, *stop = bk_sip_stop(text);
    while (at < stop) {
        const char *percent = memchr(at, '%', (size_t)(stop - at));
        bk_buf_add(ret, at, (size_t)((percent ? percent : stop) - at));
        if (!percent)
            break;
        if (!is_escape(percent, stop)) {
            if (!ret->failed)
                ret->len = before;
            return -EBADMSG;
        }
        bk_buf_add_char(ret, (char)(hex_value(percent[1]) << 4 | hex_value(percent[2])));
        at = percent + 3;
    }
    return 0;
}

void bk_sip_escape_user(struct bk_buf *to, struct bk_view text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (bk_sip_is(text.at[i], BK_SIP_IS_USER))
            bk_buf_add_char(to, text.at[i]);
        else
            bk_buf_add(to, (char[3]){ '%', hex[c >> 4], hex[c & 15] }, 3);
    }
}

/* ---- the address of a person ---- */

/* "user@host" behind im: or pres: (RFC 3859, RFC 3860) reads like the inside of a SIP URI. */
static int person_of(const struct bk_sip_uri *uri, struct bk_sip_uri *ret)
{
    if (uri->scheme != BK_SIP_SCHEME_OTHER) {
        *ret = *uri;
        return 0;
    }
    if (!bk_view_equal_nocase(uri->scheme_name, BK_VIEW("im")) &&
        !bk_view_equal_nocase(uri->scheme_name, BK_VIEW("pres")))
        return -EBADMSG;
    struct bk_sip_uri person = { .text = uri->text, .scheme_name = uri->scheme_name };
    if (!sip_rest_read(bk_view_skip(uri->text, uri->scheme_name.len + 1), &person))
        return -EBADMSG;
    *ret = person;
    return 0;
}

int bk_sip_uri_aor(const struct bk_sip_uri *uri, struct bk_buf *ret)
{
    struct bk_sip_uri person;
    if (person_of(uri, &person) < 0 || !person.has_user || person.user.len == 0 ||
        person.user.len > 3 * USER_MAX)
        return -EBADMSG;

    char aor[BK_SIP_AOR_MAX];
    size_t len = 0;
    for (struct bk_view user = person.user; user.len;) {
        char c = user.at[0];
        size_t step = 1;
        if (c == '%') { /* the parser saw two hex digits behind it */
            c = (char)(hex_value(user.at[1]) << 4 | hex_value(user.at[2]));
            step = 3;
        }
        if (c == '@' || (bk_sip_is(c, BK_SIP_IS_CONTROL | BK_SIP_IS_SPACE) && c != ' ') ||
            len == USER_MAX)
            return -EBADMSG;
        aor[len++] = bk_lower(c);
        user = bk_view_skip(user, step);
    }
    if (!bk_utf8_valid((struct bk_view){ aor, len }))
        return -EBADMSG;

    struct bk_view host = person.host;
    if (host.len && host.at[host.len - 1] == '.') /* the same name, spelt absolutely */
        host.len--;
    aor[len++] = '@';
    if (person.host_is_ipv6)
        aor[len++] = '[';
    for (size_t i = 0; i < host.len; i++)
        aor[len++] = bk_lower(host.at[i]);
    if (person.host_is_ipv6)
        aor[len++] = ']';
    bk_buf_add(ret, aor, len);
    return 0;
}

/* ---- parameters ---- */

const char *bk_sip_quoted_end(const char *at, const char *stop)
{
    for (at++; at < stop; at++) {
        if (*at == '"')
            return at + 1;
        if (*at == '\\' && ++at == stop)
            return NULL;
    }
    return NULL;
}

/* gen-value: quoted-string, token, host; and what else is written there without a separator in it. */
static const char *value_end(const char *at, const char *stop)
{
    if (at < stop && *at == '"')
        return bk_sip_quoted_end(at, stop);
    for (;;) {
        /* Nearly all there is; the rest is looked at byte by byte. */
        at = bk_sip_skip(at, stop, BK_SIP_IS_TOKEN);
        if (at == stop || *at == ';' || *at == ',' || *at == '"' || *at == '<' || *at == '>' ||
            bk_sip_is(*at, BK_SIP_IS_SPACE | BK_SIP_IS_CONTROL))
            return at;
        at++;
    }
}

bool bk_sip_param_read(const char **at, const char *stop, struct bk_sip_param *ret)
{
    const char *name = skip_space(*at, stop);
    const char *p = bk_sip_skip(name, stop, BK_SIP_IS_TOKEN | BK_SIP_IS_PARAM);
    if (p == name)
        return false;
    ret->name = bk_view_between(name, p);
    ret->value = (struct bk_view){ NULL, 0 };
    p = skip_space(p, stop);
    if (p < stop && *p == '=') {
        const char *value = skip_space(p + 1, stop);
        p = value_end(value, stop);
        if (!p)
            return false;
        ret->value = bk_view_between(value, p);
        p = skip_space(p, stop);
    }
    if (p < stop && *p != ';' && *p != ',')
        return false;
    *at = p;
    return true;
}

bool bk_sip_param_next(struct bk_view *rest, struct bk_sip_param *ret)
{
    const char *at = rest->at, *stop = bk_sip_stop(*rest);
    struct bk_sip_param param;

    if (skip_space(at, stop) == stop) {
        *rest = BK_VIEW("");
        return false;
    }
    if (!bk_sip_param_read(&at, stop, &param) || (at < stop && *at != ';')) {
        *rest = (struct bk_view){ NULL, 0 };
        return false;
    }
    if (at < stop && skip_space(++at, stop) == stop) { /* a ';' with nothing behind it */
        *rest = (struct bk_view){ NULL, 0 };
        return false;
    }
    *ret = param;
    *rest = bk_view_between(at, stop);
    return true;
}

bool bk_sip_param_find(struct bk_view params, struct bk_view name, struct bk_view *ret_value)
{
    struct bk_sip_param param;
    while (bk_sip_param_next(&params, &param)) {
        if (param.name.len == name.len && bk_view_equal_nocase(param.name, name)) {
            *ret_value = param.value;
            return true;
        }
    }
    return false;
}

/* ---- addresses ---- */

bool bk_sip_comma_read(const char **at, const char *stop)
{
    const char *p = skip_space(*at, stop);
    if (p < stop) {
        if (*p != ',')
            return false;
        p = skip_space(p + 1, stop);
        if (p == stop || *p == ',')
            return false;
    }
    *at = p;
    return true;
}

/* In front of '<': a quoted-string, or words; also such as are no tokens, but hold bytes of UTF-8. */
static const char *display_read(const char *at, const char *stop, struct bk_view *ret)
{
    if (*at == '"') {
        const char *end = bk_sip_quoted_end(at, stop);
        if (!end)
            return NULL;
        *ret = bk_view_between(at + 1, end - 1);
        at = skip_space(end, stop);
        return at < stop && *at == '<' ? at : NULL;
    }
    const char *end = at;
    while (end < stop && (bk_sip_is(*end, BK_SIP_IS_TOKEN | BK_SIP_IS_SPACE) || *end & 0x80))
        end++;
    if (end == stop || *end != '<')
        return NULL;
    *ret = bk_view_trim(bk_view_between(at, end));
    return end;
}

/* The addr-spec without brackets: what could belong to either the URI or the field is refused (RFC 3261 20). */
static const char *bare_end(const char *at, const char *stop)
{
    while (at < stop && *at != ';' && *at != ',' && *at != '?' && *at != '<' && *at != '>' &&
           *at != '"' && !bk_sip_is(*at, BK_SIP_IS_SPACE | BK_SIP_IS_CONTROL))
        at++;
    return at;
}

/* The URI in either form. NULL: there is none. */
static const char *address_read(const char *at, const char *stop, struct bk_sip_addr *ret)
{
    const char *open = *at == '<' ? at : display_read(at, stop, &ret->display);
    if (open) {
        const char *close = memchr(open, '>', (size_t)(stop - open));
        if (!close)
            return NULL;
        ret->bracketed = true;
        ret->uri_text = bk_view_between(open + 1, close);
        return ret->uri_text.len && is_plain(ret->uri_text) ? close + 1 : NULL;
    }
    if (*at == '"')
        return NULL;
    const char *end = bare_end(at, stop);
    ret->uri_text = bk_view_between(at, end);
    ret->star = bk_view_equal(ret->uri_text, BK_VIEW("*"));
    return ret->star || bk_view_find(ret->uri_text, ':') < ret->uri_text.len ? end : NULL;
}

int bk_sip_addr_read(struct bk_view *rest, struct bk_sip_addr *ret, struct bk_view *ret_tag,
                     int *ret_n_tags)
{
    struct bk_view tag = { NULL, 0 };
    int n_tags = 0;
    const char *at = rest->at, *stop = bk_sip_stop(*rest);
    at = skip_space(at, stop);
    if (at == stop) {
        *rest = (struct bk_view){ stop, 0 };
        return 0;
    }

    struct bk_sip_addr addr = { 0 };
    at = address_read(at, stop, &addr);
    if (!at)
        return -EBADMSG;
    at = skip_space(at, stop);
    if (at < stop && *at == ';') {
        const char *params = ++at;
        struct bk_sip_param param;
        for (;; at++) {
            if (!bk_sip_param_read(&at, stop, &param))
                return -EBADMSG;
            if (ret_tag && param.value.len && param.name.len == 3 &&
                bk_view_equal_nocase(param.name, BK_VIEW("tag"))) {
                tag = param.value;
                n_tags++;
            }
            if (at == stop || *at == ',')
                break;
        }
        addr.params = bk_view_between(params, at);
    }
    if (!bk_sip_comma_read(&at, stop))
        return -EBADMSG;
    *rest = bk_view_between(at, stop);
    *ret = addr;
    if (ret_tag) {
        *ret_tag = tag;
        *ret_n_tags = n_tags;
    }
    return 1;
}

int bk_sip_addr_next(struct bk_view *rest, struct bk_sip_addr *ret)
{
    return bk_sip_addr_read(rest, ret, NULL, NULL);
}

/* ---- sign-in addresses ---- */

static const char *name_of(char c)
{
    switch (c) {
    /* clang-format off */
    case ' ': return BK_SAY("a space");
    case '\t': return BK_SAY("a tab");
    case '\'': return BK_SAY("an apostrophe");
    case '`': return BK_SAY("a grave accent");
    case '"': return BK_SAY("a quotation mark");
    case '(': return BK_SAY("an opening parenthesis");
    case ')': return BK_SAY("a closing parenthesis");
    case ',': return BK_SAY("a comma");
    case ':': return BK_SAY("a colon");
    case ';': return BK_SAY("a semicolon");
    case '<': return BK_SAY("a less-than sign");
    case '>': return BK_SAY("a greater-than sign");
    case '[': return BK_SAY("an opening bracket");
    case ']': return BK_SAY("a closing bracket");
    case '\\': return BK_SAY("a backslash");
    case '/': return BK_SAY("a slash");
    case '{': return BK_SAY("an opening brace");
    case '}': return BK_SAY("a closing brace");
    case '|': return BK_SAY("a vertical bar");
    case '=': return BK_SAY("an equals sign");
    case '?': return BK_SAY("a question mark");
    case '+': return BK_SAY("a plus sign");
    case '*': return BK_SAY("an asterisk");
    case '%': return BK_SAY("a percent sign");
    case '&': return BK_SAY("an ampersand");
    case '!': return BK_SAY("an exclamation mark");
    case '#': return BK_SAY("a number sign");
    case '$': return BK_SAY("a dollar sign");
    case '^': return BK_SAY("a circumflex");
    case '_': return BK_SAY("an underscore");
    case '~': return BK_SAY("a tilde");
    case '.': return BK_SAY("a dot");
    case '@': return BK_SAY("a second @");
    /* clang-format on */
    default:
        if (bk_sip_is(c, BK_SIP_IS_CONTROL | BK_SIP_IS_SPACE))
            return BK_SAY("a control character");
        return c & 0x80 ? "a character that is not ASCII" : "an unsupported character";
    }
}

struct complaint {
    size_t at;
    const char *why;
};

static struct complaint local_part_check(struct bk_view local)
{
    for (size_t i = 0; i < local.len; i++) {
        char c = local.at[i];
        if (!bk_sip_is(c, BK_SIP_IS_ALNUM) && !(c && strchr("!#$-.^_~", c)))
            return (struct complaint){ i, name_of(c) };
        if (c == '.' && i == 0)
            return (struct complaint){ i, BK_SAY("a dot at the start") };
        if (c == '.' && local.at[i - 1] == '.')
            return (struct complaint){ i, BK_SAY("a second dot in a row") };
        if (c == '.' && i + 1 == local.len)
            return (struct complaint){ i, BK_SAY("a dot in front of the @") };
        if (i == USER_MAX)
            return (struct complaint){ i, BK_SAY("more than 64 characters before the @") };
    }
    if (local.len == 0)
        return (struct complaint){ 0, BK_SAY("nothing before the @") };
    return (struct complaint){ 0 };
}

static struct complaint domain_check(struct bk_view domain)
{
    size_t label = 0;
    if (domain.len == 0)
        return (struct complaint){ 0, BK_SAY("nothing behind the @") };
    for (size_t i = 0; i < domain.len; i++) {
        char c = domain.at[i];
        if (i == HOST_MAX)
            return (struct complaint){ i, BK_SAY("more than 255 characters behind the @") };
        if (c == '.') {
            if (i == 0)
                return (struct complaint){ i, BK_SAY("a dot behind the @") };
            if (i == label)
                return (struct complaint){ i, BK_SAY("a second dot in a row") };
            if (i + 1 == domain.len)
                return (struct complaint){ i, BK_SAY("a dot at the end") };
            if (domain.at[i - 1] == '-')
                return (struct complaint){ i - 1, BK_SAY("a hyphen in front of a dot") };
            label = i + 1;
            continue;
        }
        if (!bk_sip_is(c, BK_SIP_IS_ALNUM) && c != '-')
            return (struct complaint){ i, name_of(c) };
        if (c == '-' && i == label)
            return (struct complaint){ i, BK_SAY("a hyphen at the start of a part of the domain") };
        if (c == '-' && i + 1 == domain.len)
            return (struct complaint){ i, BK_SAY("a hyphen at the end") };
        if (i - label == LABEL_MAX)
            return (struct complaint){ i, BK_SAY("more than 63 characters between two dots") };
    }
    if (bk_sip_skip(domain.at + label, bk_sip_stop(domain), BK_SIP_IS_DIGIT) ==
        bk_sip_stop(domain)) /* read as an IPv4 address, or as nothing */
        return (struct complaint){ label, BK_SAY("a number at the end of the domain") };
    return (struct complaint){ 0 };
}

int bk_sip_address_check(struct bk_view address, size_t *ret_at, const char **ret_why)
{
    size_t from = bk_view_starts_with_nocase(address, BK_VIEW("sip:")) ? 4 : 0;
    struct bk_view rest = bk_view_skip(address, from);
    size_t at_sign = bk_view_find(rest, '@');

    struct complaint c = local_part_check(bk_view_head(rest, at_sign));
    if (!c.why && at_sign == rest.len)
        c = (struct complaint){ rest.len, BK_SAY("no @") };
    if (!c.why) {
        c = domain_check(bk_view_skip(rest, at_sign + 1));
        c.at += at_sign + 1;
    }
    if (!c.why)
        return 0;
    *ret_at = from + c.at;
    *ret_why = c.why;
    return -EINVAL;
}
