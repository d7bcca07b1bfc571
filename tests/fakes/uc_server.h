/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fakes/uc_server.h - a server as the client meets it: discovery, services and SIP over TLS on one free
 * port of 127.0.0.1, on a thread of its own. It does the least that is right, and what the test tells it
 * to do wrong. All functions may be called while it serves; texts they return are the caller's.
 */
#ifndef BK_FAKES_UC_SERVER_H
#define BK_FAKES_UC_SERVER_H

#include "fakes/pki.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uc_server;

struct uc_server_config {
    const char *dir;                    /* for its PEM files */
    const char *name;                   /* host name it gives for itself, "srv.example.test" */
    const char *domain;                 /* "example.test" */
    const struct pki_cert *ca;          /* signs personal certificates */
    const struct pki_cert *certificate; /* its own */
    uint16_t port;                      /* 0: a free one */
};
/* Aborts the test when it cannot. Every account has the password "secret". */
struct uc_server *uc_server_start(const struct uc_server_config *config);
void uc_server_stop(struct uc_server *server);
uint16_t uc_server_port(const struct uc_server *server);

/*
 * What a SIP method is answered with from now on: "403 Forbidden" and whole lines of fields (may be ""). status NULL:
 * as usual again. status "": no answer at all. times 0: until told otherwise.
 */
void uc_server_answer(struct uc_server *server, const char *method, const char *status,
                      const char *fields, int times);
/* The same for "GET /" and "POST sign-in" ...; status 0: as usual. body may hold fields in front: "Retry-After: 3\n\n{..}". */
void uc_server_web(struct uc_server *server, const char *verb, int status, const char *content_type,
                   const char *body);
/* The usual discovery document names this SIP server, port and services base. NULL, 0: its own. */
void uc_server_names(struct uc_server *server, const char *sip_host, uint16_t sip_port,
                     const char *extra_json);
/* Time until personal certificates want to be renewed, in seconds from now; 0: not told. */
void uc_server_renew_after(struct uc_server *server, int seconds);

/*
 * Speaks the Lync dialect from the next REGISTER on: offers it, and answers its subscriptions with the first notification on
 * the answer; takes the sessions of conversations. What it tells stands in bodies, by the name of the event, or "SERVICE" for the
 * answers to that, refusals too, or "INVITE" for 2xx to that; "" is no body. Texts are copied.
 */
void uc_server_dialect(struct uc_server *server, bool speaks);
void uc_server_body(struct uc_server *server, const char *name, const char *content_type,
                    const char *body);

/*
 * From now on the server knows the Lync dialect alone: no document, no service of ours, no certificate on connections; instead web
 * tickets, and TLS-DSK with signatures in all that follows. uc_server_answer("REGISTER", ...) then is for the REGISTER that ends the
 * handshake and those behind it.
 */
void uc_server_lync(struct uc_server *server);
/* How long its certificates last from now on, in seconds; a day as it is. Below 0: they ended then. */
void uc_server_life(struct uc_server *server, int seconds);
/* Registrations are granted for so long from now on; 0: as asked for. */
void uc_server_grants(struct uc_server *server, int seconds);
/* What a REGISTER without Authorization is offered from now on: whole lines; NULL: the usual. sts_uri likewise. */
void uc_server_offers(struct uc_server *server, const char *lines, const char *sts_uri);
/* That many of the requests and answers to REGISTER to come are signed wrongly. Wrong ones of the client's are counted as "BAD SIGNATURE", connections that showed one
 * as "CLIENT CERTIFICATE". */
void uc_server_forge(struct uc_server *server, int n);

/* How many requests of that method ("POST sign-in" on the web side) came. */
int uc_server_count(struct uc_server *server, const char *method);
/* The n-th of them from the end (0: the last): whole SIP message, or HTTP body. NULL: none. free() it. */
char *uc_server_seen(struct uc_server *server, const char *method, int back);

/* To the connection that registered last: body bytes are counted into Content-Length by the caller of this. */
void uc_server_send(struct uc_server *server, const char *text);
/* Closes all connections; with reset, as a crash does it. */
void uc_server_drop(struct uc_server *server);
/* Nobody is accepted any more, and all are dropped; then again, on the same port. */
void uc_server_down(struct uc_server *server, bool down);
/* A connection that registered with a certificate stands. */
bool uc_server_registered(struct uc_server *server);

#endif
