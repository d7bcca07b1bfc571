/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/webroad.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "base/xml.h"
#include "ms/xml.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { LINE_BYTES = 57 /* 76 characters of base64 */ };

const char bk_ms_road_rst_action[] =
    "\"http://docs.oasis-open.org/ws-sx/ws-trust/200512/RST/Issue\"";
const char bk_ms_road_request_action[] =
    "\"http://schemas.microsoft.com/OCS/AuthWebServices/GetAndPublishCert\"";

static const char wsu[] =
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd";
static const char dsig[] = "http://www.w3.org/2000/09/xmldsig#";
static const char proof_port[] = "CertProvisioningServiceWebTicketProof_SHA1";

/* ---- reading ---- */

static int not_that(struct bk_ms_road_fault *fault, const char *why)
{
    *fault = (struct bk_ms_road_fault){ .why = why };
    return -EBADMSG;
}

/* The envelope of an answer that is no refusal. */
static int read_answer(struct bk_view body, struct bk_arena *arena, const struct bk_ms_ws **ret,
                       struct bk_ms_road_fault *fault)
{
    const char *why = "";
    int r = bk_ms_ws_parse(body, arena, ret, &why);
    if (r < 0)
        return r == -EBADMSG ? not_that(fault, why) : r;
    const struct bk_ms_ws *refusal = bk_ms_ws_at(*ret, "Body/Fault");
    if (!refusal)
        return 0;
    uint64_t code = 0;
    *fault = (struct bk_ms_road_fault){ 0 };
    fault->text = bk_ms_ws_text(refusal, "Detail/error/internalerror/text");
    if (!fault->text.len)
        fault->text = bk_ms_ws_text(refusal, "faultstring");
    if (bk_view_to_u64(bk_ms_ws_text(refusal, "Detail/error/value"), UINT32_MAX, &code) == 0)
        fault->code = (uint32_t)code;
    return -EBADMSG;
}

/* The address of the port of that name, in whichever service it stands. */
static struct bk_view port_address(const struct bk_ms_ws *root, const char *name)
{
    for (const struct bk_ms_ws *s = root->child; s; s = s->next) {
        if (!bk_view_equal(s->name, BK_VIEW("service")))
            continue;
        for (const struct bk_ms_ws *p = s->child; p; p = p->next) {
            const struct bk_ms_ws *address = bk_ms_ws_at(p, "address");
            if (address && bk_view_equal(p->name, BK_VIEW("port")) &&
                bk_view_equal(bk_ms_ws_attribute(p, "name"), bk_view_of_str(name)))
                return bk_ms_ws_attribute(address, "location");
        }
    }
    return (struct bk_view){ 0 };
}

int bk_ms_road_certprov(struct bk_view body, struct bk_arena *arena, struct bk_view *ret_tickets,
                        struct bk_view *ret_certificates, struct bk_ms_road_fault *ret_fault)
{
    const struct bk_ms_ws *root;
    int r = read_answer(body, arena, &root, ret_fault);
    if (r < 0)
        return r;
    struct bk_view post_to = port_address(root, proof_port), issuer = { 0 };
    for (const struct bk_ms_ws *p = root->child; p; p = p->next) {
        struct bk_view id = bk_ms_ws_attribute(p, "Id");
        if (bk_view_equal(p->name, BK_VIEW("Policy")) &&
            bk_view_starts_with(id, bk_view_of_str(proof_port)) &&
            bk_view_equal(bk_view_skip(id, sizeof proof_port - 1), BK_VIEW("_policy")))
            issuer = bk_ms_ws_text(p, "ExactlyOne/All/EndorsingSupportingTokens/Policy/"
                                      "IssuedToken/Issuer/Address");
    }
    if (!post_to.len || !issuer.len)
        return not_that(ret_fault, "no port takes requests signed for a web ticket");
    *ret_tickets = issuer;
    *ret_certificates = post_to;
    return 0;
}

int bk_ms_road_webticket(struct bk_view body, struct bk_arena *arena, struct bk_view *ret_post_to,
                         struct bk_ms_road_fault *ret_fault)
{
    const struct bk_ms_ws *root;
    int r = read_answer(body, arena, &root, ret_fault);
    if (r < 0)
        return r;
    struct bk_view post_to = port_address(root, "WebTicketServiceWinNegotiate");
    if (!post_to.len)
        return not_that(ret_fault, "no port takes HTTP authentication");
    *ret_post_to = post_to;
    return 0;
}

int bk_ms_road_ticket(struct bk_view body, struct bk_view entropy, struct bk_arena *arena,
                      struct bk_ms_road_ticket *ret, struct bk_ms_road_fault *ret_fault)
{
    BK_AUTO_BUF struct bk_buf theirs = { 0 };
    struct bk_ms_road_ticket t = { 0 };
    const struct bk_ms_ws *root;
    int r = read_answer(body, arena, &root, ret_fault);
    if (r < 0)
        return r;
    const struct bk_ms_ws *response = bk_ms_ws_at(
        root, "Body/RequestSecurityTokenResponseCollection/RequestSecurityTokenResponse");
    const struct bk_ms_ws *assertion =
        response ? bk_ms_ws_at(response, "RequestedSecurityToken/Assertion") : NULL;
    const struct bk_ms_ws *created = response ? bk_ms_ws_at(response, "Lifetime/Created") : NULL;
    if (!assertion || !created || !bk_ms_ws_at(response, "Lifetime/Expires"))
        return not_that(ret_fault, "there is no ticket in it");
    /* The time stamp that is signed is made of these bytes: what they say stands in them alone. */
    const struct bk_ms_ws *lifetime = bk_ms_ws_at(response, "Lifetime"), *last = lifetime->child;
    while (last->next)
        last = last->next;
    t.lifetime = bk_view_between(lifetime->child->raw.at, last->raw.at + last->raw.len);
    t.assertion = assertion->raw;
    t.id = bk_ms_ws_attribute(assertion, "AssertionID");
    if (!t.id.len || bk_time_iso_parse(bk_ms_ws_text(lifetime, "Expires"), &t.expires_ms) < 0)
        return not_that(ret_fault, "the ticket has no name or no end");
    r = bk_ms_ws_base64(bk_ms_ws_text(response, "Entropy/BinarySecret"), &theirs);
    if (r == -ENOMEM)
        return r;
    if (r < 0 || theirs.len < BK_MS_ENTROPY_MIN ||
        bk_ms_p_sha1(entropy, bk_buf_view(&theirs), t.proof, sizeof t.proof) < 0)
        return not_that(ret_fault, "the server's half of the key is missing");
    /* raw points into the body, which does not live as long as the arena. */
    t.lifetime = bk_arena_copy(arena, t.lifetime);
    t.assertion = bk_arena_copy(arena, t.assertion);
    if (!t.lifetime.at || !t.assertion.at)
        return -ENOMEM;
    *ret = t;
    return 0;
}

int bk_ms_road_certificate(struct bk_view body, struct bk_arena *arena, struct bk_view *ret_der,
                           struct bk_ms_road_fault *ret_fault)
{
    BK_AUTO_BUF struct bk_buf der = { 0 };
    const struct bk_ms_ws *root;
    int r = read_answer(body, arena, &root, ret_fault);
    if (r < 0)
        return r;
    r = bk_ms_ws_base64(bk_ms_ws_text(root, "Body/GetAndPublishCertResponse/"
                                            "RequestSecurityTokenResponse/RequestedSecurityToken/"
                                            "BinarySecurityToken"),
                        &der);
    if (r == -EINVAL || (r == 0 && !der.len))
        return not_that(ret_fault, "there is no certificate in it");
    if (r < 0)
        return r;
    struct bk_view copy = bk_arena_copy(arena, bk_buf_view(&der));
    if (!copy.at)
        return -ENOMEM;
    *ret_der = copy;
    return 0;
}

/* ---- writing ---- */

static void begin(struct bk_buf *to)
{
    bk_buf_addf(to,
                "<?xml version=\"1.0\"?>\r\n<soap:Envelope "
                "xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\" "
                "xmlns:wst=\"http://docs.oasis-open.org/ws-sx/ws-trust/200512\" "
                "xmlns:auth=\"http://schemas.xmlsoap.org/ws/2006/12/authorization\" "
                "xmlns:wsa=\"http://www.w3.org/2005/08/addressing\" "
                "xmlns:wsp=\"http://schemas.xmlsoap.org/ws/2004/09/policy\" "
                "xmlns:wsse=\"http://docs.oasis-open.org/wss/2004/01/"
                "oasis-200401-wss-wssecurity-secext-1.0.xsd\" xmlns:wsu=\"%s\">",
                wsu);
}

void bk_ms_road_rst(struct bk_buf *to, struct bk_view context, struct bk_view applies_to,
                    struct bk_view address, struct bk_view entropy)
{
    begin(to);
    bk_buf_add_lit(to, "<soap:Body><wst:RequestSecurityToken Context=\"");
    bk_xml_escape(to, context);
    bk_buf_add_lit(to, "\"><wst:TokenType>http://docs.oasis-open.org/wss/"
                       "oasis-wss-saml-token-profile-1.1#SAMLV1.1</wst:TokenType>"
                       "<wst:RequestType>http://schemas.xmlsoap.org/ws/2005/02/trust/Issue"
                       "</wst:RequestType><wsp:AppliesTo><wsa:EndpointReference><wsa:Address>");
    bk_xml_escape(to, applies_to);
    bk_buf_add_lit(to, "</wsa:Address></wsa:EndpointReference></wsp:AppliesTo>"
                       "<wst:Claims Dialect=\"urn:component:Microsoft.Rtc.WebAuthentication.2010:"
                       "authclaims\"><auth:ClaimType Uri=\"http://schemas.xmlsoap.org/ws/2005/05/"
                       "identity/claims/uri\" Optional=\"false\"><auth:Value>sip:");
    bk_xml_escape(to, address);
    bk_buf_add_lit(to, "</auth:Value></auth:ClaimType></wst:Claims><wst:Entropy>"
                       "<wst:BinarySecret>");
    bk_base64_encode(to, entropy);
    bk_buf_add_lit(to, "</wst:BinarySecret></wst:Entropy><wst:KeyType>"
                       "http://docs.oasis-open.org/ws-sx/ws-trust/200512/SymmetricKey"
                       "</wst:KeyType></wst:RequestSecurityToken></soap:Body></soap:Envelope>");
}

static void add_sha1(struct bk_buf *to, struct bk_view bytes, const unsigned char *key)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    bool good = key ? HMAC(EVP_sha1(), key, BK_MS_PROOF_BYTES, (const unsigned char *)bytes.at,
                           bytes.len, md, &n) != NULL
                    : EVP_Digest(bytes.at, bytes.len, md, &n, EVP_sha1(), NULL) == 1;
    if (good)
        bk_base64_encode(to, (struct bk_view){ (char *)md, n });
    else
        to->failed = true;
}

/* What is signed is written in its canonical form (Exclusive XML Canonicalization), so that its bytes are the ones to sign. */
static void add_security(struct bk_buf *to, const struct bk_ms_road_ticket *t)
{
    BK_AUTO_BUF struct bk_buf stamp = { 0 }, info = { 0 };
    bk_buf_addf(&stamp, "<wsu:Timestamp xmlns:wsu=\"%s\" wsu:Id=\"timestamp\">", wsu);
    bk_buf_add_view(&stamp, t->lifetime);
    bk_buf_add_lit(&stamp, "</wsu:Timestamp>");
    bk_buf_addf(&info,
                "<SignedInfo xmlns=\"%s\"><CanonicalizationMethod Algorithm="
                "\"http://www.w3.org/2001/10/xml-exc-c14n#\"></CanonicalizationMethod>"
                "<SignatureMethod Algorithm=\"%shmac-sha1\"></SignatureMethod>"
                "<Reference URI=\"#timestamp\"><Transforms><Transform Algorithm="
                "\"http://www.w3.org/2001/10/xml-exc-c14n#\"></Transform></Transforms>"
                "<DigestMethod Algorithm=\"%ssha1\"></DigestMethod><DigestValue>",
                dsig, dsig, dsig);
    add_sha1(&info, bk_buf_view(&stamp), NULL);
    bk_buf_add_lit(&info, "</DigestValue></Reference></SignedInfo>");
    to->failed = to->failed || stamp.failed || info.failed;

    bk_buf_add_lit(to, "<wsse:Security>");
    bk_buf_add_view(to, bk_buf_view(&stamp));
    bk_buf_add_view(to, t->assertion);
    bk_buf_addf(to, "<Signature xmlns=\"%s\">", dsig);
    bk_buf_add_view(to, bk_buf_view(&info));
    bk_buf_add_lit(to, "<SignatureValue>");
    add_sha1(to, bk_buf_view(&info), t->proof);
    bk_buf_add_lit(to, "</SignatureValue><KeyInfo><wsse:SecurityTokenReference wsse:TokenType="
                       "\"http://docs.oasis-open.org/wss/oasis-wss-saml-token-profile-1.1#SAMLV1.1"
                       "\"><wsse:KeyIdentifier ValueType=\"http://docs.oasis-open.org/wss/"
                       "oasis-wss-saml-token-profile-1.0#SAMLAssertionID\">");
    bk_xml_escape(to, t->id);
    bk_buf_add_lit(to, "</wsse:KeyIdentifier></wsse:SecurityTokenReference></KeyInfo></Signature>"
                       "</wsse:Security>");
}

void bk_ms_road_request(struct bk_buf *to, const struct bk_ms_road_ticket *ticket,
                        struct bk_view post_to, struct bk_view message_id, struct bk_view device_id,
                        struct bk_view address, struct bk_view csr)
{
    begin(to);
    bk_buf_add_lit(to, "<soap:Header><wsa:To>");
    bk_xml_escape(to, post_to);
    bk_buf_add_lit(to, "</wsa:To><wsa:ReplyTo><wsa:Address>"
                       "http://www.w3.org/2005/08/addressing/anonymous</wsa:Address></wsa:ReplyTo>"
                       "<wsa:MessageID>uuid:");
    bk_xml_escape(to, message_id);
    bk_buf_add_lit(to, "</wsa:MessageID><wsa:Action>http://schemas.microsoft.com/OCS/"
                       "AuthWebServices/GetAndPublishCert</wsa:Action>");
    add_security(to, ticket);
    bk_buf_add_lit(to, "</soap:Header><soap:Body><GetAndPublishCert "
                       "xmlns=\"http://schemas.microsoft.com/OCS/AuthWebServices/\" "
                       "xmlns:wst=\"http://docs.oasis-open.org/ws-sx/ws-trust/200512/\" "
                       "xmlns:wstep=\"http://schemas.microsoft.com/windows/pki/2009/01/enrollment"
                       "\" DeviceId=\"{");
    bk_xml_escape(to, device_id);
    bk_buf_add_lit(to, "}\" Entity=\"");
    bk_xml_escape(to, address);
    bk_buf_add_lit(
        to, "\"><wst:RequestSecurityToken><wst:TokenType>http://docs.oasis-open.org/wss/2004/01/"
            "oasis-200401-wss-x509-token-profile-1.0#X509v3</wst:TokenType><wst:RequestType>"
            "http://docs.oasis-open.org/ws-sx/ws-trust/200512/Issue</wst:RequestType>"
            "<wsse:BinarySecurityToken ValueType=\"http://schemas.microsoft.com/OCS/"
            "AuthWebServices.xsd#PKCS10\" EncodingType=\"http://docs.oasis-open.org/wss/2004/01/"
            "oasis-200401-wss-wssecurity-secext-1.0.xsd#Base64Binary\">");
    for (; csr.len; csr = bk_view_skip(csr, LINE_BYTES)) {
        bk_buf_add_lit(to, "\r\n");
        bk_base64_encode(to, bk_view_head(csr, LINE_BYTES));
    }
    bk_buf_add_lit(to, "</wsse:BinarySecurityToken><wstep:RequestID>");
    bk_xml_escape(to, message_id);
    bk_buf_add_lit(to, "</wstep:RequestID></wst:RequestSecurityToken></GetAndPublishCert>"
                       "</soap:Body></soap:Envelope>");
}
