/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/certprov.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "base/xml.h"
#include "ms/xml.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { SHA1_BYTES = 20, CSR_MAX = 8 * 1024, TEXT_MAX = 400, PEM_LINE = 64 };

static const char hmac_sha1[] = "http://www.w3.org/2000/09/xmldsig#hmac-sha1";
static const char sha1[] = "http://www.w3.org/2000/09/xmldsig#sha1";

/* Base64 inside an element; -EBADMSG where it is none, or not of this length (0: any). */
static int bytes_at(const struct bk_ms_ws *from, const char *path, size_t len,
                    struct bk_arena *arena, struct bk_view *ret)
{
    BK_AUTO_BUF struct bk_buf bytes = { 0 };
    int r = bk_ms_ws_base64(bk_ms_ws_text(from, path), &bytes);
    if (r == -EINVAL || (r == 0 && (!bytes.len || (len && bytes.len != len))))
        return -EBADMSG;
    if (r < 0)
        return r;
    *ret = bk_arena_copy(arena, bk_buf_view(&bytes));
    return ret->at ? 0 : -ENOMEM;
}

static struct bk_view algorithm(const struct bk_ms_ws *from, const char *path)
{
    const struct bk_ms_ws *element = bk_ms_ws_at(from, path);
    return element ? bk_ms_ws_attribute(element, "Algorithm") : (struct bk_view){ 0 };
}

/* Each step leads to one element only, so what is covered is what is read below. */
static int read_security(const struct bk_ms_ws *root, struct bk_arena *arena,
                         struct bk_ms_cert_request *r, const char **ret_why)
{
    const struct bk_ms_ws *security = bk_ms_ws_at(root, "Header/Security");
    const struct bk_ms_ws *timestamp = security ? bk_ms_ws_at(security, "Timestamp") : NULL;
    const struct bk_ms_ws *signature = security ? bk_ms_ws_at(security, "Signature") : NULL;
    const struct bk_ms_ws *info = signature ? bk_ms_ws_at(signature, "SignedInfo") : NULL;
    const struct bk_ms_ws *reference = info ? bk_ms_ws_at(info, "Reference") : NULL;

    r->assertion = security ? bk_ms_ws_at(security, "Assertion") : NULL;
    *ret_why = "there is no one time stamp, ticket and signature in its Security header";
    if (!timestamp || !reference || !r->assertion)
        return -EBADMSG;
    *ret_why = "the time stamp cannot be read";
    if (bk_time_iso_parse(bk_ms_ws_text(timestamp, "Created"), &r->created_ms) < 0 ||
        bk_time_iso_parse(bk_ms_ws_text(timestamp, "Expires"), &r->expires_ms) < 0)
        return -EBADMSG;
    *ret_why = "the signature is not an HMAC-SHA1 of a SHA-1 digest";
    if (!bk_view_equal(algorithm(info, "SignatureMethod"), bk_view_of_str(hmac_sha1)) ||
        !bk_view_equal(algorithm(reference, "DigestMethod"), bk_view_of_str(sha1)))
        return -EBADMSG;
    *ret_why = "the signature covers something else than the time stamp";
    struct bk_view id = bk_ms_ws_attribute(timestamp, "Id");
    struct bk_view uri = bk_ms_ws_attribute(reference, "URI");
    if (!id.len || uri.len != id.len + 1 || uri.at[0] != '#' ||
        !bk_view_equal(bk_view_skip(uri, 1), id))
        return -EBADMSG;
    *ret_why = "the signature cannot be read";
    int result = bytes_at(reference, "DigestValue", SHA1_BYTES, arena, &r->digest);
    if (result == 0)
        result = bytes_at(signature, "SignatureValue", SHA1_BYTES, arena, &r->signature);
    r->timestamp = timestamp->raw;
    r->signed_info = info->raw;
    r->key_name = bk_ms_ws_text(signature, "KeyInfo/SecurityTokenReference/KeyIdentifier");
    return result;
}

static int read_body(const struct bk_ms_ws *root, struct bk_arena *arena,
                     struct bk_ms_cert_request *r, const char **ret_why)
{
    const struct bk_ms_ws *get = bk_ms_ws_at(root, "Body/GetAndPublishCert");
    *ret_why = "there is no GetAndPublishCert in its body";
    if (!get)
        return -EBADMSG;
    r->device_id = bk_view_trim(bk_ms_ws_attribute(get, "DeviceId"));
    r->entity = bk_view_trim(bk_ms_ws_attribute(get, "Entity"));
    r->request_id = bk_ms_ws_text(get, "RequestSecurityToken/RequestID");
    *ret_why = "a text is missing or too long";
    if (!r->entity.len || r->entity.len > TEXT_MAX || r->device_id.len > TEXT_MAX ||
        r->request_id.len > TEXT_MAX)
        return -EBADMSG;
    *ret_why = "the certificate request is missing or no base64";
    int result = bytes_at(get, "RequestSecurityToken/BinarySecurityToken", 0, arena, &r->csr);
    if (result == 0 && r->csr.len > CSR_MAX) {
        *ret_why = "the certificate request is too large";
        return -EBADMSG;
    }
    return result;
}

int bk_ms_cert_request_parse(struct bk_view body, struct bk_arena *arena,
                             struct bk_ms_cert_request *ret, const char **ret_why)
{
    const struct bk_ms_ws *root;
    struct bk_ms_cert_request out = { 0 };
    const char *why = "";
    int r = bk_ms_ws_parse(body, arena, &root, &why);
    if (r == 0)
        r = read_security(root, arena, &out, &why);
    if (r == 0)
        r = read_body(root, arena, &out, &why);
    if (r == 0)
        *ret = out;
    else
        *ret_why = why;
    return r;
}

bool bk_ms_cert_verify(const struct bk_ms_cert_request *request, const struct bk_ms_ticket *ticket)
{
    unsigned char digest[EVP_MAX_MD_SIZE], mac[EVP_MAX_MD_SIZE];
    unsigned n_digest = 0, n_mac = 0;
    if (!ticket->has_proof || !bk_view_equal(request->key_name, bk_view_of_str(ticket->id)))
        return false;
    if (EVP_Digest(request->timestamp.at, request->timestamp.len, digest, &n_digest, EVP_sha1(),
                   NULL) != 1 ||
        !HMAC(EVP_sha1(), ticket->proof, sizeof ticket->proof,
              (const unsigned char *)request->signed_info.at, request->signed_info.len, mac,
              &n_mac))
        return false;
    return n_digest == request->digest.len && n_mac == request->signature.len &&
           bk_equal_constant_time(digest, request->digest.at, n_digest) &&
           bk_equal_constant_time(mac, request->signature.at, n_mac);
}

enum bk_ms_time bk_ms_cert_time(const struct bk_ms_cert_request *request, int64_t now_ms)
{
    if (request->created_ms > now_ms + BK_MS_TICKET_SKEW_MS)
        return BK_MS_TIME_EARLY;
    if (request->created_ms < now_ms - BK_MS_TICKET_SKEW_MS || request->expires_ms <= now_ms)
        return BK_MS_TIME_OLD;
    return BK_MS_TIME_GOOD;
}

void bk_ms_cert_request_pem(struct bk_view csr, struct bk_buf *to)
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    bk_base64_encode(&text, csr);
    struct bk_view rest = bk_buf_view(&text);
    bk_buf_add_lit(to, "-----BEGIN CERTIFICATE REQUEST-----\n");
    for (; rest.len; rest = bk_view_skip(rest, PEM_LINE)) {
        bk_buf_add_view(to, bk_view_head(rest, PEM_LINE));
        bk_buf_add_char(to, '\n');
    }
    bk_buf_add_lit(to, "-----END CERTIFICATE REQUEST-----\n");
    to->failed = to->failed || text.failed;
}

void bk_ms_cert_answer(const struct bk_ms_cert_request *request, struct bk_view der,
                       struct bk_buf *to)
{
    static const char wsse[] =
        "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd";
    static const char x509[] =
        "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3";
    bk_buf_add_lit(to, "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>"
                       "<GetAndPublishCertResponse xmlns="
                       "\"http://schemas.microsoft.com/OCS/AuthWebServices/\" DeviceId=\"");
    bk_xml_escape(to, request->device_id);
    bk_buf_add_lit(to, "\" Entity=\"");
    bk_xml_escape(to, request->entity);
    bk_buf_addf(to,
                "\"><wst:RequestSecurityTokenResponse xmlns:wst="
                "\"http://docs.oasis-open.org/ws-sx/ws-trust/200512/\">"
                "<wst:TokenType>%s</wst:TokenType><wst:RequestedSecurityToken>"
                "<wsse:BinarySecurityToken xmlns:wsse=\"%s\" ValueType=\"%s\">",
                x509, wsse, x509);
    bk_base64_encode(to, der);
    bk_buf_add_lit(to, "</wsse:BinarySecurityToken></wst:RequestedSecurityToken>");
    if (request->request_id.len) {
        bk_buf_add_lit(to, "<wstep:RequestID xmlns:wstep="
                           "\"http://schemas.microsoft.com/windows/pki/2009/01/enrollment\">");
        bk_xml_escape(to, request->request_id);
        bk_buf_add_lit(to, "</wstep:RequestID>");
    }
    bk_buf_add_lit(to, "</wst:RequestSecurityTokenResponse></GetAndPublishCertResponse>"
                       "</s:Body></s:Envelope>");
}
