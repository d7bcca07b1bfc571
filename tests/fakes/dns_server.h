/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fakes/dns_server.h - a name server for tests: UDP on a free port of 127.0.0.1, on a thread of its
 * own. A name nobody added does not exist (NXDOMAIN); a name that was added has no data for types
 * it was not given. All functions may be called while it serves.
 */
#ifndef BK_FAKES_DNS_SERVER_H
#define BK_FAKES_DNS_SERVER_H

#include <stdint.h>

struct dns_server;

enum dns_fault {
    DNS_GOOD,
    DNS_SERVFAIL,
    DNS_REFUSED,
    DNS_SILENT,  /* no answer at all */
    DNS_GARBAGE, /* an answer that cannot be read */
};

/* Aborts the test when it cannot. */
struct dns_server *dns_server_start(void);
void dns_server_stop(struct dns_server *server);
uint16_t dns_server_port(const struct dns_server *server);

/*
 * type and data as in a zone file: "A" "192.0.2.1", "AAAA" "::1", "CNAME" "other.test",
 * "SRV" "10 60 5061 sip.test", "NAPTR" "50 50 s SIPS+D2T _sips._tcp.test".
 * An answer follows a CNAME to what it points at.
 */
void dns_server_add(struct dns_server *server, const char *name, const char *type,
                    const char *data);
/* What questions for that name and type ("*": every one) meet from now on. */
void dns_server_fault(struct dns_server *server, const char *name, const char *type,
                      enum dns_fault fault);
/* How often that was asked. */
int dns_server_asked(struct dns_server *server, const char *name, const char *type);

#endif
