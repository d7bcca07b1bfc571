/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/sa.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "ms/hmac.h"
#include "sip/build.h"
#include "sip/fields.h"

#include <errno.h>
#include <stdlib.h>

/* ---- schemes ---- */

enum direction { TO_SERVER, TO_CLIENT, DIRECTIONS };

/* One direction's keys, made ready for many messages. */
union signer {
    struct bk_ntlm_signer ntlm;
    struct bk_hmac dsk;
};

static void ntlm_ready(const union bk_sa_keys *keys, enum direction direction, union signer *ret)
{
    bk_ntlm_signer_init(&ret->ntlm, &keys->ntlm,
                        direction == TO_SERVER ? BK_NTLM_TO_SERVER : BK_NTLM_TO_CLIENT);
}

static void ntlm_mac(const union signer *signer, struct bk_view text, uint8_t ret[BK_SA_MAC_MAX])
{
    bk_ntlm_sign(&signer->ntlm, text, ret);
}

static void dsk_ready(const union bk_sa_keys *keys, enum direction direction, union signer *ret)
{
    bk_hmac_init(&ret->dsk, BK_HMAC_SHA1,
                 direction == TO_SERVER ? keys->dsk.to_server : keys->dsk.to_client,
                 BK_DSK_KEY_SIZE);
}

static void dsk_mac(const union signer *signer, struct bk_view text, uint8_t ret[BK_SA_MAC_MAX])
{
    bk_hmac_sum(&signer->dsk, text, (struct bk_view){ 0 }, ret);
}

static const struct scheme {
    struct bk_view name;
    size_t mac_len;
    void (*ready)(const union bk_sa_keys *keys, enum direction direction, union signer *ret);
    void (*mac)(const union signer *signer, struct bk_view text, uint8_t ret[BK_SA_MAC_MAX]);
} schemes[BK_SA_SCHEMES] = {
    [BK_SA_NTLM] = { { BK_VIEW_OF("NTLM") }, BK_NTLM_MAC_SIZE, ntlm_ready, ntlm_mac },
    [BK_SA_TLS_DSK] = { { BK_VIEW_OF("TLS-DSK") }, BK_DSK_MAC_SIZE, dsk_ready, dsk_mac },
};

struct bk_view bk_sa_scheme_name(enum bk_sa_scheme scheme)
{
    return schemes[scheme].name;
}

/* ---- header fields ---- */

static const struct parameter {
    struct bk_view name;
    size_t offset; /* of a bk_view in struct bk_sa_header */
    size_t max;
} parameters[] = {
    { { BK_VIEW_OF("qop") }, offsetof(struct bk_sa_header, qop), 16 },
    { { BK_VIEW_OF("opaque") }, offsetof(struct bk_sa_header, opaque), BK_SA_TEXT_MAX },
    { { BK_VIEW_OF("realm") }, offsetof(struct bk_sa_header, realm), BK_SA_TEXT_MAX },
    { { BK_VIEW_OF("targetname") }, offsetof(struct bk_sa_header, targetname), BK_SA_TEXT_MAX },
    { { BK_VIEW_OF("sts-uri") }, offsetof(struct bk_sa_header, sts_uri), 2 * BK_SA_TEXT_MAX },
    { { BK_VIEW_OF("gssapi-data") }, offsetof(struct bk_sa_header, gssapi_data), BK_SA_DATA_MAX },
    { { BK_VIEW_OF("crand") }, offsetof(struct bk_sa_header, rand), 16 },
    { { BK_VIEW_OF("srand") }, offsetof(struct bk_sa_header, rand), 16 },
    { { BK_VIEW_OF("cnum") }, offsetof(struct bk_sa_header, num), 10 },
    { { BK_VIEW_OF("snum") }, offsetof(struct bk_sa_header, num), 10 },
    { { BK_VIEW_OF("response") }, offsetof(struct bk_sa_header, signature), 2 * BK_SA_MAC_MAX },
    { { BK_VIEW_OF("rspauth") }, offsetof(struct bk_sa_header, signature), 2 * BK_SA_MAC_MAX },
};

static bool is_token_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '+' || c == '/' || c == '=' || c == ':' || c == '%' ||
           c == '@';
}

static struct bk_view skip_blanks(struct bk_view v)
{
    while (v.len && (v.at[0] == ' ' || v.at[0] == '\t' || v.at[0] == '\r' || v.at[0] == '\n'))
        v = bk_view_skip(v, 1);
    return v;
}

/* One `name=value` off the front. Escapes have no place in these values, so a backslash is refused. 0 or -EBADMSG. */
static int take_parameter(struct bk_view *rest, struct bk_view *ret_name, struct bk_view *ret_value)
{
    size_t n = 0;
    struct bk_view v = skip_blanks(*rest);
    while (n < v.len && is_token_byte(v.at[n]) && v.at[n] != '=')
        n++;
    *ret_name = bk_view_head(v, n);
    v = skip_blanks(bk_view_skip(v, n));
    if (n == 0 || v.len == 0 || v.at[0] != '=')
        return -EBADMSG;
    v = skip_blanks(bk_view_skip(v, 1));
    n = 0;
    if (v.len && v.at[0] == '"') {
        v = bk_view_skip(v, 1);
        while (n < v.len && v.at[n] != '"' && v.at[n] != '\\' && (uint8_t)v.at[n] >= ' ')
            n++;
        if (n == v.len || v.at[n] != '"')
            return -EBADMSG;
        *ret_value = (struct bk_view){ v.at, n };
        n++;
    } else {
        while (n < v.len && is_token_byte(v.at[n]))
            n++;
        if (n == 0)
            return -EBADMSG;
        *ret_value = bk_view_head(v, n);
    }
    v = skip_blanks(bk_view_skip(v, n));
    if (v.len && v.at[0] != ',')
        return -EBADMSG;
    *rest = skip_blanks(bk_view_skip(v, 1));
    return v.len && !rest->len ? -EBADMSG : 0; /* a comma with nothing behind it */
}

static int keep_parameter(struct bk_sa_header *h, struct bk_view name, struct bk_view value)
{
    uint64_t n;
    if (bk_view_equal_nocase(name, BK_VIEW("version"))) {
        if (h->version || bk_view_to_u64(value, 99, &n) < 0)
            return -EBADMSG;
        h->version = (int)n;
        return 0;
    }
    for (size_t i = 0; i < BK_COUNT_OF(parameters); i++) {
        const struct parameter *p = &parameters[i];
        if (!bk_view_equal_nocase(name, p->name))
            continue;
        struct bk_view *field = (struct bk_view *)((char *)h + p->offset);
        if (field->at || value.len > p->max)
            return -EBADMSG;
        *field = value;
        return 0;
    }
    return 0; /* unknown ones do not harm */
}

int bk_sa_header_parse(struct bk_view value, struct bk_sa_header *ret)
{
    struct bk_sa_header h = { .scheme = BK_SA_SCHEMES };
    size_t n = 0;
    value = bk_view_trim(value);
    while (n < value.len && is_token_byte(value.at[n]))
        n++;
    for (unsigned i = 0; i < BK_SA_SCHEMES; i++)
        if (bk_view_equal_nocase(bk_view_head(value, n), schemes[i].name))
            h.scheme = i;
    if (h.scheme == BK_SA_SCHEMES)
        return -ENOENT;
    struct bk_view rest = skip_blanks(bk_view_skip(value, n));
    if (n < value.len && rest.len == value.len - n)
        return -EBADMSG; /* no blank behind the scheme */
    while (rest.len) {
        struct bk_view name, text;
        if (take_parameter(&rest, &name, &text) < 0 || keep_parameter(&h, name, text) < 0)
            return -EBADMSG;
    }
    uint64_t number;
    if (h.num.at && bk_view_to_u64(h.num, UINT32_MAX, &number) == 0)
        h.number = (uint32_t)number;
    else if (h.num.at)
        return -EBADMSG;
    *ret = h;
    return 0;
}

static void add_text(struct bk_buf *to, const char *before, struct bk_view text, const char *after)
{
    /* No text of ours holds any of these; a peer's that does is not signed with. */
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] == '"' || text.at[i] == '\\' || (uint8_t)text.at[i] < ' ')
            to->failed = true;
    bk_buf_add_str(to, before);
    bk_buf_add_view(to, text);
    bk_buf_add_str(to, after);
}

void bk_sa_offer_write(struct bk_buf *to, enum bk_sa_scheme scheme, struct bk_view realm,
                       struct bk_view targetname, struct bk_view sts_uri)
{
    bk_buf_add_view(to, schemes[scheme].name);
    add_text(to, " realm=\"", realm, "\"");
    add_text(to, ", targetname=\"", targetname, "\"");
    bk_buf_addf(to, ", version=%d", BK_SA_VERSION);
    if (sts_uri.len)
        add_text(to, ", sts-uri=\"", sts_uri, "\"");
}

void bk_sa_challenge_write(struct bk_buf *to, enum bk_sa_scheme scheme, struct bk_view opaque,
                           struct bk_view token, struct bk_view targetname, struct bk_view realm)
{
    bk_buf_add_view(to, schemes[scheme].name);
    add_text(to, " opaque=\"", opaque, "\", gssapi-data=\"");
    bk_base64_encode(to, token);
    add_text(to, "\", targetname=\"", targetname, "\"");
    add_text(to, ", realm=\"", realm, "\"");
    bk_buf_addf(to, ", version=%d", BK_SA_VERSION);
}

void bk_sa_answer_write(struct bk_buf *to, enum bk_sa_scheme scheme, struct bk_view opaque,
                        struct bk_view realm, struct bk_view targetname, struct bk_view token)
{
    bk_buf_add_view(to, schemes[scheme].name);
    bk_buf_add_lit(to, " qop=\"auth\"");
    if (opaque.len)
        add_text(to, ", opaque=\"", opaque, "\"");
    add_text(to, ", realm=\"", realm, "\"");
    add_text(to, ", targetname=\"", targetname, "\"");
    if (token.at) {
        bk_buf_add_lit(to, ", gssapi-data=\"");
        bk_base64_encode(to, token);
        bk_buf_add_lit(to, "\"");
    }
    bk_buf_addf(to, ", version=%d", BK_SA_VERSION);
}

/* ---- the string that is signed ---- */

static void add_part(struct bk_buf *to, struct bk_view text)
{
    bk_buf_add_char(to, '<');
    bk_buf_add_view(to, text);
    bk_buf_add_char(to, '>');
}

/* The first URI of each kind in P-Asserted-Identity, or, where there is none, in P-Preferred-Identity. */
static void identities(const struct bk_sip_msg *msg, struct bk_view *ret_sip,
                       struct bk_view *ret_tel)
{
    const struct bk_sip_field *f = bk_sip_msg_field(msg, BK_SIP_HDR_P_ASSERTED_IDENTITY);
    if (!f)
        f = bk_sip_msg_field(msg, BK_SIP_HDR_P_PREFERRED_IDENTITY);
    for (; f; f = bk_sip_msg_field_next(msg, f)) {
        struct bk_view rest = f->value;
        struct bk_sip_addr a;
        while (bk_sip_addr_next(&rest, &a) == 1) {
            if (!ret_sip->at && bk_view_starts_with_nocase(a.uri_text, BK_VIEW("sip:")))
                *ret_sip = a.uri_text;
            else if (!ret_tel->at && bk_view_starts_with_nocase(a.uri_text, BK_VIEW("tel:")))
                *ret_tel = a.uri_text;
        }
    }
}

void bk_sa_signed_text(struct bk_buf *to, enum bk_sa_scheme scheme, struct bk_view rand,
                       struct bk_view num, struct bk_view realm, struct bk_view targetname,
                       int version, const struct bk_sip_msg *msg, const struct bk_sip_head *head)
{
    struct bk_view cseq = bk_sip_msg_value(msg, BK_SIP_HDR_CSEQ);
    struct bk_view number = bk_view_cut(&cseq, ' '), method = bk_view_trim(cseq);
    struct bk_view sip = { 0 }, tel = { 0 };

    add_part(to, schemes[scheme].name);
    add_part(to, rand);
    add_part(to, num);
    add_part(to, realm);
    add_part(to, targetname);
    add_part(to, head->call_id);
    add_part(to, number);
    add_part(to, method);
    add_part(to, head->from_uri);
    add_part(to, head->from_tag);
    if (version > 2)
        add_part(to, head->to_uri);
    add_part(to, head->to_tag);
    if (version > 2) {
        identities(msg, &sip, &tel);
        add_part(to, sip);
        add_part(to, tel);
    }
    add_part(to, bk_sip_msg_value(msg, BK_SIP_HDR_EXPIRES));
    if (msg->status) {
        bk_buf_add_char(to, '<');
        bk_buf_add_u64(to, (uint64_t)msg->status);
        bk_buf_add_char(to, '>');
    }
}

/* ---- an association ---- */

enum { SIGNED_TEXT_USUAL = 511 /* bytes: room for it at once */ };

struct bk_sa {
    enum bk_sa_scheme scheme;
    bool server;
    int version;
    union signer signers[DIRECTIONS];
    uint32_t sent; /* number of the last message we signed */
    /* What came: the highest number, and which of the BK_SA_WINDOW numbers up to it were seen (bit n % BK_SA_WINDOW). */
    uint32_t top;
    uint64_t seen[BK_SA_WINDOW / 64];
    struct bk_view opaque, realm, targetname; /* behind the struct */
    char text[];
};

int bk_sa_create(const struct bk_sa_config *config, struct bk_sa **ret)
{
    const struct bk_view texts[3] = { config->opaque, config->realm, config->targetname };
    for (int i = 0; i < 3; i++)
        if (texts[i].len > BK_SA_TEXT_MAX)
            return -EINVAL;
    struct bk_sa *sa = calloc(1, sizeof *sa + texts[0].len + texts[1].len + texts[2].len);
    if (!sa)
        return -ENOMEM;
    sa->scheme = config->scheme;
    sa->server = config->server;
    sa->version = config->version ? config->version : BK_SA_VERSION;
    for (enum direction d = 0; d < DIRECTIONS; d++)
        schemes[sa->scheme].ready(&config->keys, d, &sa->signers[d]);
    struct bk_view *const to[3] = { &sa->opaque, &sa->realm, &sa->targetname };
    char *at = sa->text;
    for (int i = 0; i < 3; i++) {
        if (texts[i].len)
            memcpy(at, texts[i].at, texts[i].len);
        *to[i] = (struct bk_view){ at, texts[i].len };
        at += texts[i].len;
    }
    *ret = sa;
    return 0;
}

struct bk_sa *bk_sa_destroy(struct bk_sa *sa)
{
    if (sa)
        bk_wipe(sa->signers, sizeof sa->signers);
    free(sa);
    return NULL;
}

enum bk_sa_scheme bk_sa_scheme_of(const struct bk_sa *sa)
{
    return sa->scheme;
}

struct bk_view bk_sa_opaque(const struct bk_sa *sa)
{
    return sa->opaque;
}

/* false: out of memory. */
static bool mac_of(const struct bk_sa *sa, bool to_server, struct bk_view rand, struct bk_view num,
                   const struct bk_sip_msg *msg, const struct bk_sip_head *head,
                   uint8_t ret[BK_SA_MAC_MAX])
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    bk_buf_reserve(&text, SIGNED_TEXT_USUAL);
    bk_sa_signed_text(&text, sa->scheme, rand, num, sa->realm, sa->targetname, sa->version, msg,
                      head);
    if (text.failed)
        return false;
    schemes[sa->scheme].mac(&sa->signers[to_server ? TO_SERVER : TO_CLIENT], bk_buf_view(&text),
                            ret);
    return true;
}

void bk_sa_sign(struct bk_sa *sa, const struct bk_sip_msg *msg, const struct bk_sip_head *head,
                const struct bk_random *random, struct bk_view token, struct bk_buf *to)
{
    uint8_t mac[BK_SA_MAC_MAX];
    BK_AUTO_BUF struct bk_buf made = { 0 }; /* the random value, then the number */
    uint32_t random32 = (uint32_t)bk_random_u64(random);
    const uint8_t bytes[4] = { (uint8_t)(random32 >> 24), (uint8_t)(random32 >> 16),
                               (uint8_t)(random32 >> 8), (uint8_t)random32 };
    bk_buf_add_hex(&made, bytes, sizeof bytes);
    bk_buf_add_u64(&made, ++sa->sent);
    struct bk_view rand = bk_view_head(bk_buf_view(&made), 8),
                   num = bk_view_skip(bk_buf_view(&made), 8);
    if (made.failed || !mac_of(sa, !sa->server, rand, num, msg, head, mac)) {
        to->failed = true;
        return;
    }
    bk_buf_add_view(to, bk_sip_hdr_name(sa->server ? BK_SIP_HDR_AUTHENTICATION_INFO
                                                   : BK_SIP_HDR_AUTHORIZATION));
    bk_buf_add_lit(to, ": ");
    bk_buf_add_view(to, schemes[sa->scheme].name);
    add_text(to, " qop=\"auth\", opaque=\"", sa->opaque, "\"");
    if (!sa->server) {
        add_text(to, ", realm=\"", sa->realm, "\"");
        add_text(to, ", targetname=\"", sa->targetname, "\"");
        if (token.at) {
            bk_buf_add_lit(to, ", gssapi-data=\"");
            bk_base64_encode(to, token);
            bk_buf_add_lit(to, "\", version=");
            bk_buf_add_u64(to, (uint64_t)sa->version);
        }
    }
    add_text(to, sa->server ? ", srand=\"" : ", crand=\"", rand, "\"");
    add_text(to, sa->server ? ", snum=\"" : ", cnum=\"", num, "\"");
    bk_buf_add_str(to, sa->server ? ", rspauth=\"" : ", response=\"");
    bk_buf_add_hex(to, mac, schemes[sa->scheme].mac_len);
    bk_buf_add_char(to, '"');
    if (sa->server) {
        add_text(to, ", targetname=\"", sa->targetname, "\"");
        add_text(to, ", realm=\"", sa->realm, "\"");
        bk_buf_add_lit(to, ", version=");
        bk_buf_add_u64(to, (uint64_t)sa->version);
    }
    bk_buf_add_lit(to, "\r\n");
}

/* Whether this number is new; then it is one no more. */
static bool take_number(struct bk_sa *sa, uint32_t number)
{
    if (number == 0)
        return false;
    if (number > sa->top) {
        /* The places between the old and the new highest number become those of newer numbers. */
        if (number - sa->top >= BK_SA_WINDOW)
            memset(sa->seen, 0, sizeof sa->seen);
        else
            for (uint32_t n = sa->top + 1; n != number; n++)
                sa->seen[n % BK_SA_WINDOW / 64] &= ~(1ull << n % 64);
        sa->top = number;
    } else if (sa->top - number >= BK_SA_WINDOW ||
               sa->seen[number % BK_SA_WINDOW / 64] >> number % 64 & 1) {
        return false;
    }
    sa->seen[number % BK_SA_WINDOW / 64] |= 1ull << number % 64;
    return true;
}

enum bk_sa_verdict bk_sa_verify(struct bk_sa *sa, const struct bk_sip_msg *msg,
                                const struct bk_sip_head *head, const struct bk_sa_header *header)
{
    uint8_t want[BK_SA_MAC_MAX], got[BK_SA_MAC_MAX];
    size_t len = schemes[sa->scheme].mac_len;

    if (header->scheme != sa->scheme || !header->signature.at || !header->opaque.at ||
        !bk_view_equal(header->opaque, sa->opaque))
        return BK_SA_UNSIGNED;
    if (!header->rand.at || header->number == 0 ||
        (header->realm.at && !bk_view_equal(header->realm, sa->realm)) ||
        (header->targetname.at && !bk_view_equal(header->targetname, sa->targetname)) ||
        bk_hex_decode(header->signature, got, len) < 0 ||
        !mac_of(sa, sa->server, header->rand, header->num, msg, head, want) ||
        !bk_equal_constant_time(got, want, len))
        return BK_SA_FORGED;
    return take_number(sa, header->number) ? BK_SA_GOOD : BK_SA_REPLAYED;
}
