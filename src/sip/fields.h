/* SPDX-License-Identifier: Apache-2.0 */
/* sip/fields.h - header fields with a shape of their own; reading and writing side by side. */
#ifndef BK_SIP_FIELDS_H
#define BK_SIP_FIELDS_H

#include "sip/msg.h"
#include "sip/uri.h"

/* One element of a comma list, trimmed; quotes and <> are respected. 1, 0 at the end, -EBADMSG. */
int bk_sip_list_next(struct bk_view *rest, struct bk_view *ret);
/* Does a comma list of tokens hold this one (any case)? Looks through all fields of that id. */
bool bk_sip_msg_has_token(const struct bk_sip_msg *msg, enum bk_sip_hdr id, struct bk_view token);

struct bk_sip_via {
    struct bk_view protocol;  /* "SIP" */
    struct bk_view version;   /* "2.0" */
    struct bk_view transport; /* "TLS" */
    struct bk_view sent_by;   /* host, or host:port, as it stands there */
    struct bk_view host;      /* IPv6 without brackets */
    bool host_is_ipv6;
    uint16_t port; /* 0: none */
    struct bk_view params;
    struct bk_view branch, received; /* empty: none */
    bool has_rport;
    uint16_t rport; /* 0: asked for, or none */
};
/* One value off a comma list, as above. */
int bk_sip_via_next(struct bk_view *rest, struct bk_sip_via *ret);

struct bk_sip_cseq {
    uint32_t number;
    struct bk_view method;
};
int bk_sip_cseq_parse(struct bk_view value, struct bk_sip_cseq *ret);

struct bk_sip_event {
    struct bk_view package; /* "presence" */
    struct bk_view id;      /* parameter id, empty: none */
};
int bk_sip_event_parse(struct bk_view value, struct bk_sip_event *ret);

enum bk_sip_sub_state {
    BK_SIP_SUB_OTHER,
    BK_SIP_SUB_PENDING,
    BK_SIP_SUB_ACTIVE,
    BK_SIP_SUB_TERMINATED,
};
struct bk_sip_subscription_state {
    enum bk_sip_sub_state state;
    struct bk_view reason; /* "deactivated", "noresource" ...; empty: none */
    int64_t expires_s;     /* -1: none given */
    int64_t retry_after_s; /* -1: none given */
};
int bk_sip_subscription_state_parse(struct bk_view value, struct bk_sip_subscription_state *ret);

/* Seconds; -ENOENT: the field is missing, -EBADMSG: no number. Values over 2^32-1 count as that. */
int bk_sip_msg_expires(const struct bk_sip_msg *msg, int64_t *ret_s);

struct bk_sip_content_type {
    struct bk_view type, subtype; /* compare without case */
    struct bk_view params;
    struct bk_view boundary; /* unquoted; empty: none */
    struct bk_view charset;
};
int bk_sip_content_type_parse(struct bk_view value, struct bk_sip_content_type *ret);

/* ms-diagnostics: id;key="value"... (docs/https.md, "Refusals"). Empty views where missing. */
struct bk_sip_diagnostics {
    uint32_t id;
    struct bk_view reason, source, record, case_code; /* unquoted, escapes kept */
};
int bk_sip_diagnostics_parse(struct bk_view value, struct bk_sip_diagnostics *ret);

/* Writes text as a quoted-string: quotes and backslashes escaped, control bytes dropped. */
void bk_sip_quote(struct bk_buf *to, struct bk_view text);
/* The text of a quoted-string or token, escapes undone. */
int bk_sip_unquote(struct bk_view value, struct bk_buf *ret);

#endif
