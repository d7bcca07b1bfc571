/* SPDX-License-Identifier: Apache-2.0 */
#include "diag/load/sa.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "diag/load/digest.h"

#include <errno.h>
#include <stdio.h>

enum { MAC_MAX = BK_DSK_MAC_SIZE };

static const enum bk_sa_scheme schemes[] = { BK_SA_NTLM, BK_SA_TLS_DSK };
static const struct bk_view names[] = { { BK_VIEW_OF("NTLM") }, { BK_VIEW_OF("TLS-DSK") } };

/* What stands in a header field of the dialect. Views into the field; at == NULL: not there. */
struct header {
    struct bk_view opaque, realm, target, data, rand, num, mac;
};

void bk_load_sa_finish(struct bk_load_sa *sa)
{
    if (!sa)
        return;
    bk_initiator_destroy(sa->initiator);
    bk_wipe(sa, sizeof *sa);
}

/* -ENOENT: another scheme. -EBADMSG. */
static int read_header(const struct bk_load_sa *sa, struct bk_view value, struct header *ret)
{
    value = bk_view_trim(value);
    struct bk_view name = bk_view_cut(&value, ' ');
    struct header h = { 0 };
    if (!bk_view_equal_nocase(name, names[sa->scheme]))
        return -ENOENT;
    while (value.len > 0) {
        struct bk_view key, text;
        int r = bk_load_parameter_next(&value, &key, &text);
        if (r < 0)
            return r;
        struct bk_view *to = bk_view_equal_nocase(key, BK_VIEW("opaque"))        ? &h.opaque
                             : bk_view_equal_nocase(key, BK_VIEW("realm"))       ? &h.realm
                             : bk_view_equal_nocase(key, BK_VIEW("targetname"))  ? &h.target
                             : bk_view_equal_nocase(key, BK_VIEW("gssapi-data")) ? &h.data
                             : bk_view_equal_nocase(key, BK_VIEW("srand"))       ? &h.rand
                             : bk_view_equal_nocase(key, BK_VIEW("snum"))        ? &h.num
                             : bk_view_equal_nocase(key, BK_VIEW("rspauth"))     ? &h.mac
                                                                                 : NULL;
        if (to && to->at)
            return -EBADMSG;
        if (to)
            *to = text;
    }
    *ret = h;
    return 0;
}

static bool keep(struct bk_view from, char *to, size_t room)
{
    if (from.len == 0 || from.len >= room)
        return false;
    memcpy(to, from.at, from.len);
    to[from.len] = '\0';
    return true;
}

/* ---- the handshake ---- */

static const char *begin(struct bk_load_sa *sa, const struct bk_load_sa_config *config,
                         const struct header *h)
{
    const struct bk_initiator_config handshake = { .scheme = schemes[sa->scheme],
                                                   .pem = config->pem,
                                                   .login = config->address,
                                                   .password = config->password,
                                                   .now_real_ms = config->now_real_ms };
    if (!keep(h->realm, sa->realm, sizeof sa->realm) ||
        !keep(h->target, sa->target, sizeof sa->target))
        return "the offer lacks its realm or its targetname";
    if (bk_initiator_begin(&handshake, &sa->initiator) < 0)
        return "the handshake cannot begin: no certificate that the inner TLS takes, or no memory";
    sa->step = BK_LOAD_SA_LEG;
    return NULL;
}

static const char *take_leg(struct bk_load_sa *sa, const struct bk_load_sa_config *config,
                            struct bk_view token)
{
    if (bk_initiator_take(sa->initiator, token, config->random) < 0)
        return bk_initiator_fault(sa->initiator);
    const union bk_sa_keys *keys = bk_initiator_keys(sa->initiator);
    if (keys) {
        sa->keys = *keys;
        sa->step = BK_LOAD_SA_KEYS;
    }
    return NULL;
}

const char *bk_load_sa_challenged(struct bk_load_sa *sa, const struct bk_load_sa_config *config,
                                  const struct bk_load_fields *challenges)
{
    struct header h;
    int r = -ENOENT;
    sa->scheme = config->scheme;
    for (size_t i = 0; r == -ENOENT && i < challenges->count; i++)
        r = read_header(sa, challenges->at[i], &h);
    if (r == -ENOENT)
        return "the scheme is not offered";
    if (r < 0)
        return "its challenge cannot be read";
    if (sa->step >= BK_LOAD_SA_KEYS)
        return "refused at the end of the handshake";
    if (sa->step == BK_LOAD_SA_NEW)
        return begin(sa, config, &h);

    BK_AUTO_BUF struct bk_buf token = { 0 };
    if (!h.data.at || bk_base64_decode(h.data, &token) < 0 ||
        (!sa->opaque[0] && !keep(h.opaque, sa->opaque, sizeof sa->opaque)) ||
        !bk_view_equal(h.opaque, bk_view_of_str(sa->opaque)))
        return "a leg of the handshake lacks its token or its opaque";
    return take_leg(sa, config, bk_buf_view(&token));
}

/* ---- signatures ---- */

static void add_part(struct bk_buf *to, struct bk_view part)
{
    bk_buf_add_char(to, '<');
    bk_buf_add_view(to, part);
    bk_buf_add_char(to, '>');
}

/* The first address of that scheme in these fields; commas part values, but not inside <> . */
static struct bk_view identity(const struct bk_load_fields *fields, struct bk_view scheme)
{
    for (size_t i = 0; i < fields->count; i++) {
        struct bk_view rest = fields->at[i];
        while (rest.len > 0) {
            struct bk_view address = bk_load_msg_address(rest);
            if (bk_view_starts_with_nocase(address, scheme))
                return address;
            rest = bk_view_skip(rest, bk_view_find(rest, '>'));
            rest = bk_view_skip(rest, bk_view_find(rest, ','));
            rest = bk_view_skip(rest, rest.len > 0);
        }
    }
    return (struct bk_view){ 0 };
}

/* [MS-SIPAE] 3.2.5.1, version 4 of the string, and the signature over it. Returns its length. */
static size_t sign(const struct bk_load_sa *sa, bool from_server, struct bk_view rand,
                   struct bk_view num, const struct bk_load_msg *msg, uint8_t ret[MAC_MAX])
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    struct bk_view cseq = msg->cseq_value, number = bk_view_cut(&cseq, ' ');
    const struct bk_load_fields *who = msg->asserted.count ? &msg->asserted : &msg->preferred;
    struct bk_view tag = BK_VIEW("tag");
    add_part(&text, names[sa->scheme]);
    add_part(&text, rand);
    add_part(&text, num);
    add_part(&text, bk_view_of_str(sa->realm));
    add_part(&text, bk_view_of_str(sa->target));
    add_part(&text, msg->call_id);
    add_part(&text, number);
    add_part(&text, msg->method);
    add_part(&text, bk_load_msg_address(msg->from));
    add_part(&text, bk_load_msg_param(msg->from, tag));
    add_part(&text, bk_load_msg_address(msg->to));
    add_part(&text, bk_load_msg_param(msg->to, tag));
    add_part(&text, identity(who, BK_VIEW("sip:")));
    add_part(&text, identity(who, BK_VIEW("tel:")));
    add_part(&text, msg->expires);
    if (msg->status)
        bk_buf_addf(&text, "<%u>", msg->status);
    if (sa->scheme == BK_LOAD_NTLM) {
        bk_ntlm_mac(&sa->keys.ntlm, from_server ? BK_NTLM_TO_CLIENT : BK_NTLM_TO_SERVER,
                    bk_buf_view(&text), ret);
        return BK_NTLM_MAC_SIZE;
    }
    bk_dsk_mac(from_server ? sa->keys.dsk.to_client : sa->keys.dsk.to_server, bk_buf_view(&text),
               ret);
    return BK_DSK_MAC_SIZE;
}

void bk_load_sa_authorize(struct bk_load_sa *sa, const struct bk_load_msg *msg,
                          const struct bk_random *random, struct bk_buf *to)
{
    if (sa->step == BK_LOAD_SA_NEW)
        return;
    bk_buf_addf(to, "Authorization: %s qop=\"auth\"", names[sa->scheme].at);
    if (sa->opaque[0])
        bk_buf_addf(to, ", opaque=\"%s\"", sa->opaque);
    bk_buf_addf(to, ", realm=\"%s\", targetname=\"%s\"", sa->realm, sa->target);
    struct bk_view token =
        sa->initiator ? bk_initiator_token(sa->initiator) : (struct bk_view){ 0 };
    if (token.at) {
        bk_buf_add_lit(to, ", gssapi-data=\"");
        bk_base64_encode(to, token);
        bk_buf_add_lit(to, "\", version=4");
    }
    if (sa->step >= BK_LOAD_SA_KEYS) {
        char rand[9], num[12];
        uint8_t mac[MAC_MAX];
        snprintf(rand, sizeof rand, "%08x", (unsigned)bk_random_u64(random));
        snprintf(num, sizeof num, "%u", ++sa->sent);
        size_t len = sign(sa, false, bk_view_of_str(rand), bk_view_of_str(num), msg, mac);
        bk_buf_addf(to, ", crand=\"%s\", cnum=\"%s\", response=\"", rand, num);
        bk_buf_add_hex(to, mac, len);
        bk_buf_add_char(to, '"');
    }
    bk_buf_add_lit(to, "\r\n");
}

const char *bk_load_sa_check(struct bk_load_sa *sa, const struct bk_load_msg *msg)
{
    struct header h;
    uint8_t ours[MAC_MAX], theirs[MAC_MAX];
    uint64_t number;
    if (!msg->signature.at)
        return "is not signed";
    if (read_header(sa, msg->signature, &h) < 0 || !h.mac.at ||
        bk_view_to_u64(h.num, UINT32_MAX, &number) < 0)
        return "has a signature that cannot be read";
    if (!bk_view_equal(h.opaque, bk_view_of_str(sa->opaque)) ||
        !bk_view_equal(h.realm, bk_view_of_str(sa->realm)) ||
        !bk_view_equal(h.target, bk_view_of_str(sa->target)))
        return "is signed under another association";
    size_t len = sign(sa, true, h.rand, h.num, msg, ours);
    if (h.mac.len != 2 * len || bk_hex_decode(h.mac, theirs, len) < 0 ||
        !bk_equal_constant_time(ours, theirs, len))
        return "has a wrong signature";
    if (number <= sa->received)
        return "has a signature whose number did not rise";
    sa->received = (uint32_t)number;
    if (sa->step == BK_LOAD_SA_KEYS) {
        sa->step = BK_LOAD_SA_STANDS;
        /* OpenSSL keeps 60 kB for a handshake, and there are many people. */
        sa->initiator = bk_initiator_destroy(sa->initiator);
    }
    return NULL;
}
