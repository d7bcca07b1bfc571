/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/mex.h"

#include "base/cleanup.h"
#include "base/xml.h"
#include "ms/xml.h"

static void begin(struct bk_buf *to)
{
    bk_buf_add_lit(to, "<?xml version=\"1.0\" encoding=\"utf-8\"?>"
                       "<wsdl:definitions xmlns:wsdl=\"http://schemas.xmlsoap.org/wsdl/\" "
                       "xmlns:soap=\"http://schemas.xmlsoap.org/wsdl/soap/\" "
                       "xmlns:wsp=\"http://schemas.xmlsoap.org/ws/2004/09/policy\" "
                       "xmlns:wsu=\"http://docs.oasis-open.org/wss/2004/01/"
                       "oasis-200401-wss-wssecurity-utility-1.0.xsd\" "
                       "xmlns:sp=\"http://docs.oasis-open.org/ws-sx/ws-securitypolicy/200702\" "
                       "xmlns:wsa=\"http://www.w3.org/2005/08/addressing\">");
}

static void add_service(const char *name, const char *port, struct bk_view base, const char *path,
                        struct bk_buf *to)
{
    bk_buf_addf(to, "<wsdl:service name=\"%s\"><wsdl:port name=\"%s\"><soap:address location=\"",
                name, port);
    bk_xml_escape(to, base);
    bk_buf_addf(to, "%s\"/></wsdl:port></wsdl:service></wsdl:definitions>", path);
}

void bk_ms_mex_certprov(struct bk_view base, struct bk_buf *to)
{
    begin(to);
    bk_buf_add_lit(to, "<wsp:Policy wsu:Id=\"CertProvisioningServiceWebTicketProof_SHA1_policy\">"
                       "<wsp:ExactlyOne><wsp:All><sp:EndorsingSupportingTokens><wsp:Policy>"
                       "<sp:IssuedToken><sp:Issuer><wsa:Address>");
    bk_xml_escape(to, base);
    bk_buf_add_lit(to, BK_MS_PATH_WEBTICKET
                   "</wsa:Address></sp:Issuer></sp:IssuedToken></wsp:Policy>"
                   "</sp:EndorsingSupportingTokens></wsp:All></wsp:ExactlyOne></wsp:Policy>");
    add_service("CertProvisioningService", "CertProvisioningServiceWebTicketProof_SHA1", base,
                BK_MS_PATH_CERTPROV_PROOF, to);
}

void bk_ms_mex_webticket(struct bk_view base, struct bk_buf *to)
{
    begin(to);
    add_service("WebTicketService", "WebTicketServiceWinNegotiate", base, BK_MS_PATH_WEBTICKET_AUTH,
                to);
}

enum bk_ms_service bk_ms_service_of(struct bk_view url, struct bk_view *ret_host)
{
    static const struct {
        struct bk_view path;
        enum bk_ms_service service;
    } services[] = {
        { { BK_VIEW_OF(BK_MS_PATH_CERTPROV_PROOF) }, BK_MS_SERVICE_CERTIFICATES },
        { { BK_VIEW_OF(BK_MS_PATH_CERTPROV) }, BK_MS_SERVICE_CERTIFICATES },
        { { BK_VIEW_OF(BK_MS_PATH_DISCOVER_USER) }, BK_MS_SERVICE_USER },
    };
    if (!bk_view_starts_with_nocase(url, BK_VIEW("https://")))
        return BK_MS_SERVICE_NONE;
    url = bk_view_skip(url, 8);
    struct bk_view authority = bk_view_head(url, bk_view_find(url, '/'));
    struct bk_view path = bk_view_skip(url, authority.len);
    path = bk_view_head(path, bk_view_find(path, '?'));
    size_t end = authority.len && authority.at[0] == '[' ? bk_view_find(authority, ']') + 1
                                                         : bk_view_find(authority, ':');
    for (size_t i = 0; i < BK_COUNT_OF(services); i++) {
        if (!bk_view_equal_nocase(path, services[i].path))
            continue;
        *ret_host = bk_view_head(authority, end);
        return services[i].service;
    }
    return BK_MS_SERVICE_NONE;
}
