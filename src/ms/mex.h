/* SPDX-License-Identifier: Apache-2.0 */
/* ms/mex.h - the metadata of the two services, as far as clients read it (WS-MetadataExchange), and where each service is. */
#ifndef BK_MS_MEX_H
#define BK_MS_MEX_H

#include "ms/webticket.h"

/* Paths of the services, below "https://host:port". Clients spell them as they got them; other clients may not: compare without case. */
#define BK_MS_PATH_WEBTICKET "/WebTicket/WebTicketService.svc"
#define BK_MS_PATH_WEBTICKET_MEX BK_MS_PATH_WEBTICKET "/mex"
#define BK_MS_PATH_WEBTICKET_AUTH BK_MS_PATH_WEBTICKET "/Auth"
#define BK_MS_PATH_CERTPROV "/CertProv/CertProvisioningService.svc" /* the sts-uri of TLS-DSK */
#define BK_MS_PATH_CERTPROV_MEX BK_MS_PATH_CERTPROV "/mex"
#define BK_MS_PATH_CERTPROV_PROOF BK_MS_PATH_CERTPROV "/WebTicket_Proof_SHA1"
#define BK_MS_PATH_DISCOVER "/Autodiscover/AutodiscoverService.svc/root"
#define BK_MS_PATH_DISCOVER_DOMAIN BK_MS_PATH_DISCOVER "/domain"
#define BK_MS_PATH_DISCOVER_USER BK_MS_PATH_DISCOVER "/user"

/* base: "https://host:port" without a slash at its end. Certificates are given for a ticket whose proof key signs the request. */
void bk_ms_mex_certprov(struct bk_view base, struct bk_buf *to);
/* Tickets are given to whoever answers the 401 of that port. */
void bk_ms_mex_webticket(struct bk_view base, struct bk_buf *to);

/* The service that a URL of AppliesTo names, whatever port it says; *ret_host is its host. NONE: none of ours. */
enum bk_ms_service bk_ms_service_of(struct bk_view url, struct bk_view *ret_host);

#endif
