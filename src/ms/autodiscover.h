/* SPDX-License-Identifier: Apache-2.0 */
/* ms/autodiscover.h - the two documents of Lync discovery ([MS-OCDISCWS]), and the ticket that the second is given for. */
#ifndef BK_MS_AUTODISCOVER_H
#define BK_MS_AUTODISCOVER_H

#include "ms/webticket.h"

/* Clients look at the beginning of this Content-Type. */
#define BK_MS_AUTODISCOVER_TYPE "application/vnd.microsoft.rtc.autodiscover+xml; v=1"
enum { BK_MS_TICKET_FIELD_MAX = 12 * 1024 }; /* bytes of an X-MS-WebTicket field */

/* A SIP server over TLS; host empty: none. */
struct bk_ms_sip_place {
    struct bk_view host;
    uint16_t port;
};

/* What everybody may read: where the User document is. base as in ms/mex.h. */
void bk_ms_autodiscover_root(struct bk_view base, bool internal, struct bk_buf *to);
/*
 * Where SIP is spoken, in the Domain or the User document. Clients take the one of the place where they are said to be; the root is linked
 * again, for clients that start over.
 */
void bk_ms_autodiscover_places(const char *element /* "Domain", "User" */, struct bk_view base,
                               bool internal, const struct bk_ms_sip_place *inside,
                               const struct bk_ms_sip_place *outside, struct bk_buf *to);

/* What a client reads out of any of them. Views live in the arena; empty: not said. */
struct bk_ms_autodiscover {
    bool outside; /* the server holds the client for somebody outside the organisation */
    struct bk_view redirect, domain, user; /* URLs */
    struct bk_ms_sip_place inside, outer;  /* servers over TLS */
};
/* -EBADMSG: no such document, *ret_why is static text; -ENOMEM. */
int bk_ms_autodiscover_parse(struct bk_view body, struct bk_arena *arena,
                             struct bk_ms_autodiscover *ret, const char **ret_why);

/*
 * Reads "X-MS-WebTicket: opaque=<base64 of the Assertion element>". As bk_ms_ticket_read; a field that holds no such thing is
 * UNREADABLE.
 */
enum bk_ms_ticket_state bk_ms_autodiscover_ticket(const struct bk_ms_ticket_key *key,
                                                  struct bk_view field, int64_t now_ms,
                                                  struct bk_arena *arena, struct bk_ms_ticket *ret);

#endif
