/* SPDX-License-Identifier: Apache-2.0 */
/* sip/uri.h - SIP URIs and addresses, read in place (RFC 3261, 19.1 and 25.1). */
#ifndef BK_SIP_URI_H
#define BK_SIP_URI_H

#include "base/buf.h"
#include "base/map.h"

enum bk_sip_scheme {
    BK_SIP_SCHEME_OTHER, /* tel:, im:, pres:, http: ...: kept as text */
    BK_SIP_SCHEME_SIP,
    BK_SIP_SCHEME_SIPS,
};

/* Views into the text handed in. For OTHER only text and scheme_name are set. */
struct bk_sip_uri {
    struct bk_view text; /* the whole */
    enum bk_sip_scheme scheme;
    struct bk_view scheme_name;
    struct bk_view user;     /* escapes kept; without the password */
    struct bk_view password; /* at == NULL: none */
    struct bk_view host;     /* IPv6 literals without brackets: host_is_ipv6 */
    bool host_is_ipv6;
    bool has_user;          /* "sip:@host" has an empty one, "sip:host" none */
    uint16_t port;          /* 0: none given */
    struct bk_view params;  /* behind the first ';', without it */
    struct bk_view headers; /* behind '?', without it */
};

/* -EBADMSG for anything RFC 3261 25.1 does not allow (blanks, brackets, bad escapes, port > 65535). */
int bk_sip_uri_parse(struct bk_view text, struct bk_sip_uri *ret);

/* Equal as RFC 3261 19.1.4 compares them (escapes, case of host, parameters that must match). */
bool bk_sip_uri_equal(const struct bk_sip_uri *a, const struct bk_sip_uri *b);

/*
 * The address-of-record as the key of a person: "user@host", escapes undone, lower case, no
 * port, no parameters; at most 64 + 1 + 255 bytes. -EBADMSG: not sip/sips with a user part, or
 * escapes that hide a NUL, '@' or control byte. im: and pres: URIs count as sip:.
 */
enum { BK_SIP_AOR_MAX = 320 };
int bk_sip_uri_aor(const struct bk_sip_uri *uri, struct bk_buf *ret);

/*
 * One parameter of ";a=b;c" text (of a URI, or of a header field behind its value). Blanks
 * around ';' and '=' are skipped. value.at == NULL: a flag without '='. Quoted values come with their quotes.
 * false: no more; also false and *rest.at == NULL at a fault in the text.
 */
struct bk_sip_param {
    struct bk_view name, value;
};
bool bk_sip_param_next(struct bk_view *rest, struct bk_sip_param *ret);
/* The value of the parameter of that name (any case). false: not there. */
bool bk_sip_param_find(struct bk_view params, struct bk_view name, struct bk_view *ret_value);

/* name-addr or addr-spec with its parameters: From, To, Contact, Route, Refer-To ... */
struct bk_sip_addr {
    struct bk_view display;  /* without quotes, escapes kept; empty: none */
    struct bk_view uri_text; /* between < and >, or the bare addr-spec */
    struct bk_view params;   /* header parameters, behind the first ';' outside <> */
    bool bracketed;
    bool star; /* Contact: * */
};

/*
 * Takes one address off the front of a comma list; a field that may hold one only is read by one
 * call with *rest empty afterwards. 1: *ret is the next; 0: the list was at its end; -EBADMSG.
 * In the bare form ';' starts header parameters and ',', '?' are refused (RFC 3261 20).
 */
int bk_sip_addr_next(struct bk_view *rest, struct bk_sip_addr *ret);

/* Undoes %hh. -EBADMSG for a broken escape. */
int bk_sip_unescape(struct bk_view text, struct bk_buf *ret);
/* Escapes what may not stand in a user part. */
void bk_sip_escape_user(struct bk_buf *to, struct bk_view text);

/*
 * Is this a sign-in address we take (docs/records.md, SI-111)? 0; or -EINVAL with *ret_at the byte
 * offset of what is wrong and *ret_why a static text, e.g. "an apostrophe" for the offending
 * character, "a second dot in a row", "more than 64 characters before the @", "no @".
 * "sip:" in front is allowed and skipped.
 */
int bk_sip_address_check(struct bk_view address, size_t *ret_at, const char **ret_why);

#endif
