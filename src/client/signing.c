/* SPDX-License-Identifier: Apache-2.0 */
#include "client/signing.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "sip/build.h"
#include "sip/fields.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { LEGS_MAX = 8 };

static void end_handshake(struct bk_signing *s)
{
    s->initiator = bk_initiator_destroy(s->initiator);
    s->opaque[0] = 0;
    s->legs = 0;
}

void bk_signing_reset(struct bk_signing *s)
{
    end_handshake(s);
    s->reopens = false;
    s->fresh = bk_sa_destroy(s->fresh);
    s->sa = bk_sa_destroy(s->sa);
}

void bk_signing_finish(struct bk_signing *s)
{
    bk_signing_reset(s);
    free(s->msg);
    s->msg = NULL;
}

void bk_signing_reopen(struct bk_signing *s)
{
    end_handshake(s);
    s->fresh = bk_sa_destroy(s->fresh);
    s->reopens = true;
}

bool bk_signing_stands(const struct bk_signing *s)
{
    return s->sa != NULL;
}

/* ---- 401 ---- */

static const enum bk_sip_hdr challenges[] = { BK_SIP_HDR_WWW_AUTHENTICATE,
                                              BK_SIP_HDR_PROXY_AUTHENTICATE };

static void add_name(struct bk_signing_offer *offer, struct bk_view value)
{
    struct bk_view name = bk_view_head(value, bk_view_find(value, ' '));
    size_t len = strlen(offer->others);
    (void)snprintf(offer->others + len, sizeof offer->others - len, "%s%.*s", len ? ", " : "",
                   BK_VIEW_ARGS(bk_view_head(name, 24)));
}

/* The challenge of that scheme; false: none that can be read. */
static bool find_challenge(const struct bk_sip_msg *msg, enum bk_sa_scheme scheme,
                           struct bk_sa_header *ret, struct bk_signing_offer *names)
{
    bool found = false;
    for (size_t i = 0; i < BK_COUNT_OF(challenges); i++)
        for (const struct bk_sip_field *f = bk_sip_msg_field(msg, challenges[i]); f;
             f = bk_sip_msg_field_next(msg, f)) {
            struct bk_sa_header header;
            if (names)
                add_name(names, bk_view_trim(f->value));
            if (!found && bk_sa_header_parse(f->value, &header) == 0 && header.scheme == scheme) {
                *ret = header;
                found = true;
            }
        }
    return found;
}

void bk_signing_offer(const struct bk_sip_msg *msg, enum bk_sa_scheme scheme,
                      struct bk_signing_offer *ret)
{
    struct bk_sa_header header;
    *ret = (struct bk_signing_offer){ 0 };
    ret->there = find_challenge(msg, scheme, &header, ret);
    if (!ret->there)
        return;
    ret->is_leg = header.gssapi_data.len > 0;
    ret->realm = header.realm;
    ret->targetname = header.targetname;
    ret->sts_uri = header.sts_uri;
}

static bool keep(struct bk_view from, char to[BK_SA_TEXT_MAX])
{
    if (!from.len || from.len >= BK_SA_TEXT_MAX)
        return false;
    memcpy(to, from.at, from.len);
    to[from.len] = 0;
    return true;
}

const char *bk_signing_begin(struct bk_signing *s, const struct bk_signing_offer *offer,
                             const struct bk_initiator_config *config, bool *ret_own)
{
    end_handshake(s);
    s->fresh = bk_sa_destroy(s->fresh);
    s->reopens = *ret_own = false;
    if (!keep(offer->realm, s->realm) || !keep(offer->targetname, s->target))
        return "the offer lacks its realm or its targetname";
    s->scheme = config->scheme;
    int r = bk_initiator_begin(config, &s->initiator);
    if (r == 0)
        return NULL;
    *ret_own = r == -EBADMSG || r == -EKEYREJECTED;
    return *ret_own ? "the certificate and its key are of no use for the handshake"
                    : "the handshake cannot begin";
}

static const char *make_association(struct bk_signing *s)
{
    struct bk_sa_config config = { .scheme = s->scheme,
                                   .opaque = bk_view_of_str(s->opaque),
                                   .realm = bk_view_of_str(s->realm),
                                   .targetname = bk_view_of_str(s->target),
                                   .keys = *bk_initiator_keys(s->initiator) };
    s->fresh = bk_sa_destroy(s->fresh);
    int r = bk_sa_create(&config, &s->fresh);
    bk_wipe(&config.keys, sizeof config.keys);
    return r < 0 ? "out of memory" : NULL;
}

const char *bk_signing_go_on(struct bk_signing *s, const struct bk_sip_msg *msg)
{
    struct bk_sa_header header;
    BK_AUTO_BUF struct bk_buf token = { 0 };
    if (!s->initiator || !find_challenge(msg, s->scheme, &header, NULL) || !header.gssapi_data.at ||
        bk_base64_decode(header.gssapi_data, &token) < 0 ||
        (!s->opaque[0] && !keep(header.opaque, s->opaque)) ||
        !bk_view_equal(header.opaque, bk_view_of_str(s->opaque)))
        return "a leg of the handshake lacks its token or its opaque";
    if (++s->legs > LEGS_MAX)
        return "the handshake does not come to an end";
    if (bk_initiator_take(s->initiator, bk_buf_view(&token), s->random) < 0)
        return bk_initiator_fault(s->initiator);
    return bk_initiator_keys(s->initiator) ? make_association(s) : NULL;
}

/* ---- what goes out ---- */

/* With `;epid=` at the end of From, as the servers want it in every request; Lync-compatible servers find the endpoint by it. */
static void add_epid(const struct bk_signing *s, struct bk_view message, struct bk_buf *to)
{
    const struct bk_sip_field *from = bk_sip_msg_field(s->msg, BK_SIP_HDR_FROM);
    struct bk_view rest = from ? from->value : (struct bk_view){ 0 }, value;
    struct bk_sip_addr addr;
    if (s->msg->status || !s->epid[0] || bk_sip_addr_next(&rest, &addr) != 1 ||
        bk_sip_param_find(addr.params, BK_VIEW("epid"), &value)) {
        bk_buf_add_view(to, message);
        return;
    }
    size_t at = (size_t)(from->value.at + from->value.len - message.at);
    bk_buf_add_view(to, bk_view_head(message, at));
    bk_buf_addf(to, ";epid=%s", s->epid);
    bk_buf_add_view(to, bk_view_skip(message, at));
}

/* The line that goes behind the last field; nothing where there is nothing to say yet. */
static void add_authorization(struct bk_signing *s, const struct bk_sip_head *head,
                              struct bk_buf *to)
{
    bool is_register = s->msg->method == BK_SIP_REGISTER && !s->msg->status;
    struct bk_view token = s->initiator ? bk_initiator_token(s->initiator) : (struct bk_view){ 0 };
    if (is_register && s->initiator && !s->fresh) {
        BK_AUTO_BUF struct bk_buf value = { 0 };
        bk_sa_answer_write(&value, s->scheme, bk_view_of_str(s->opaque), bk_view_of_str(s->realm),
                           bk_view_of_str(s->target), token);
        bk_sip_field_add(to, BK_SIP_HDR_AUTHORIZATION, bk_buf_view(&value));
        to->failed = to->failed || value.failed;
    } else if (s->fresh && (is_register || !s->initiator)) {
        bk_sa_sign(s->fresh, s->msg, head, s->random, token, to);
        /* From here on the server has the keys, and knows no other ones: all that follows is signed with them. */
        s->initiator = bk_initiator_destroy(s->initiator);
    } else if (s->sa && !(is_register && s->reopens)) {
        bk_sa_sign(s->sa, s->msg, head, s->random, (struct bk_view){ 0 }, to);
    }
}

void bk_signing_seal(struct bk_signing *s, struct bk_view message, struct bk_buf *to)
{
    BK_AUTO_BUF struct bk_buf named = { 0 };
    struct bk_sip_head head;
    struct bk_sip_fault fault;
    if (!s->msg && !(s->msg = malloc(sizeof *s->msg))) {
        to->failed = true;
        return;
    }
    if (bk_sip_msg_parse(s->msg, message, &fault) < 0) {
        bk_buf_add_view(to, message);
        return;
    }
    add_epid(s, message, &named);
    message = bk_buf_view(&named);
    if (named.failed || bk_sip_msg_parse(s->msg, message, &fault) < 0 ||
        bk_sip_msg_check(s->msg, &head, &fault) < 0 || !s->msg->n_fields) {
        to->failed = true;
        return;
    }
    struct bk_view last = s->msg->fields[s->msg->n_fields - 1].line;
    size_t at = (size_t)(last.at + last.len - message.at);
    bk_buf_add_view(to, bk_view_head(message, at));
    add_authorization(s, &head, to);
    bk_buf_add_view(to, bk_view_skip(message, at));
}

/* ---- what comes in ---- */

static bool find_signature(const struct bk_sip_msg *msg, struct bk_sa_header *ret)
{
    /* The proxy's field first, as other clients look at them. */
    const struct bk_sip_field *f =
        bk_sip_msg_field_named(msg, BK_VIEW("Proxy-Authentication-Info"));
    if (f && bk_sa_header_parse(f->value, ret) == 0 && ret->signature.at)
        return true;
    for (f = bk_sip_msg_field(msg, BK_SIP_HDR_AUTHENTICATION_INFO); f;
         f = bk_sip_msg_field_next(msg, f))
        if (bk_sa_header_parse(f->value, ret) == 0 && ret->signature.at)
            return true;
    return false;
}

static const char *judge(struct bk_sa *sa, const struct bk_sip_msg *msg,
                         const struct bk_sip_head *head, const struct bk_sa_header *header)
{
    switch (bk_sa_verify(sa, msg, head, header)) {
    case BK_SA_GOOD:
        return NULL;
    case BK_SA_UNSIGNED:
        return "is signed under another association";
    case BK_SA_REPLAYED:
        return "has a signature that came before";
    default:
        return "has a wrong signature";
    }
}

const char *bk_signing_open(struct bk_signing *s, const struct bk_sip_msg *msg,
                            const struct bk_sip_head *head)
{
    struct bk_sa_header header;
    bool is_register = msg->status && msg->method == BK_SIP_REGISTER;
    bool is_accepted = is_register && msg->status / 100 == 2;
    if (!s->sa && !s->fresh)
        return NULL;
    if ((is_register && !is_accepted) || (msg->status && msg->status < 200))
        return NULL;
    if (!find_signature(msg, &header))
        return s->sa || is_accepted ? "is not signed" : NULL;
    bool by_fresh =
        s->fresh && header.opaque.at && bk_view_equal(header.opaque, bk_sa_opaque(s->fresh));
    if (!by_fresh)
        return s->sa ? judge(s->sa, msg, head, &header) : "is signed under another association";
    const char *wrong = judge(s->fresh, msg, head, &header);
    if (!wrong && is_accepted) { /* the server has shown that it has the keys, too */
        (void)bk_sa_destroy(s->sa);
        s->sa = BK_TAKE(s->fresh);
        end_handshake(s);
    }
    return wrong;
}
