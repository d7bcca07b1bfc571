/* SPDX-License-Identifier: Apache-2.0 */
/* server/discover.h - from an address alone to the servers of its domain (docs/behaviour.md, "Discovery documents"). */
#ifndef BK_SERVER_DISCOVER_H
#define BK_SERVER_DISCOVER_H

#include "base/buf.h"

/*
 * The domain that a discovery request is about: from `sipuri=` in the query ("user@domain", "sip:user@domain", escapes
 * undone), else from the Host ("lyncdiscover.domain", "lyncdiscoverinternal.domain:8443", "domain"). Lower case, appended to
 * *ret_domain; *ret_address gets the whole address where there was one. -EBADMSG: sipuri is no address.
 */
int bk_discover_target(struct bk_view query, struct bk_view host, struct bk_buf *ret_domain,
                       struct bk_buf *ret_address);

#endif
