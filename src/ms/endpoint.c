/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/endpoint.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <openssl/evp.h>

enum { GRUU_BYTES = 18 }; /* the UUID and two zeros */

/* UUID fcacfb03-8a73-46ef-91b1-e5ebeeaba4fe, its first three fields as they lie in memory. */
static const uint8_t name_space[16] = { 0x03, 0xfb, 0xac, 0xfc, 0x73, 0x8a, 0xef, 0x46,
                                        0x91, 0xb1, 0xe5, 0xeb, 0xee, 0xab, 0xa4, 0xfe };

bool bk_ms_epid_valid(struct bk_view epid)
{
    for (size_t i = 0; i < epid.len; i++) {
        char c = bk_lower(epid.at[i]);
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_')
            return false;
    }
    return epid.len > 0 && epid.len <= BK_MS_EPID_MAX;
}

struct bk_view bk_ms_epid_of(const struct bk_sip_msg *msg)
{
    struct bk_view rest = bk_sip_msg_value(msg, BK_SIP_HDR_FROM), epid;
    struct bk_sip_addr from;
    if (bk_sip_addr_next(&rest, &from) == 1 &&
        bk_sip_param_find(from.params, BK_VIEW("epid"), &epid) && bk_ms_epid_valid(epid))
        return epid;
    return (struct bk_view){ 0 };
}

void bk_ms_instance_of_epid(struct bk_view epid, char ret[BK_UUID_TEXT_SIZE])
{
    uint8_t text[sizeof name_space + BK_MS_EPID_MAX], sum[20] = { 0 };
    size_t len = epid.len < BK_MS_EPID_MAX ? epid.len : BK_MS_EPID_MAX;
    unsigned got = sizeof sum;
    memcpy(text, name_space, sizeof name_space);
    if (len)
        memcpy(text + sizeof name_space, epid.at, len);
    EVP_Digest(text, sizeof name_space + len, sum, &got, EVP_sha1(), NULL);
    /* Three fields of the sum are numbers in little endian; version and variant as RFC 4122 4.3 has them. */
    uint8_t u[16] = { sum[3], sum[2], sum[1], sum[0], sum[5], sum[4], sum[7], sum[6] };
    memcpy(u + 8, sum + 8, 8);
    u[6] = (uint8_t)((u[6] & 0x0f) | 0x50);
    u[8] = (uint8_t)((u[8] & 0x3f) | 0x80);
    bk_uuid_text(u, ret);
}

int bk_ms_instance_parse(struct bk_view value, uint8_t ret[16])
{
    static const uint8_t dashes[] = { 8, 13, 18, 23 };
    char hex[32];
    size_t n = 0;
    if (value.len >= 2 && value.at[0] == '"' && value.at[value.len - 1] == '"')
        value = bk_view_head(bk_view_skip(value, 1), value.len - 2);
    if (value.len >= 2 && value.at[0] == '<' && value.at[value.len - 1] == '>')
        value = bk_view_head(bk_view_skip(value, 1), value.len - 2);
    if (!bk_view_starts_with_nocase(value, BK_VIEW("urn:uuid:")))
        return -EBADMSG;
    value = bk_view_skip(value, 9);
    if (value.len != 36)
        return -EBADMSG;
    for (size_t i = 0, dash = 0; i < value.len; i++) {
        if (dash < sizeof dashes && i == dashes[dash]) {
            if (value.at[i] != '-')
                return -EBADMSG;
            dash++;
        } else {
            hex[n++] = value.at[i];
        }
    }
    return bk_hex_decode((struct bk_view){ hex, n }, ret, 16) < 0 ? -EBADMSG : 0;
}

void bk_ms_gruu_write(struct bk_buf *to, struct bk_view address, const uint8_t uuid[16])
{
    uint8_t bytes[GRUU_BYTES] = { 0 };
    memcpy(bytes, uuid, 16);
    bk_buf_add_lit(to, "sip:");
    bk_buf_add_view(to, address);
    bk_buf_add_lit(to, ";opaque=user:epid:");
    bk_base64url_encode(to, (struct bk_view){ (const char *)bytes, sizeof bytes });
    bk_buf_add_lit(to, ";gruu");
}

int bk_ms_gruu_parse(const struct bk_sip_uri *uri, uint8_t ret_uuid[16])
{
    struct bk_view opaque, flag;
    static const struct bk_view prefix = { BK_VIEW_OF("user:epid:") };
    if (uri->scheme == BK_SIP_SCHEME_OTHER || !uri->has_user ||
        !bk_sip_param_find(uri->params, BK_VIEW("gruu"), &flag) ||
        !bk_sip_param_find(uri->params, BK_VIEW("opaque"), &opaque) ||
        !bk_view_starts_with_nocase(opaque, prefix))
        return -ENOENT;
    BK_AUTO_BUF struct bk_buf bytes = { .max = 64 };
    if (bk_base64url_decode(bk_view_skip(opaque, prefix.len), &bytes) < 0 ||
        bytes.len != GRUU_BYTES || bytes.at[16] || bytes.at[17])
        return -EBADMSG;
    memcpy(ret_uuid, bytes.at, 16);
    return 0;
}
