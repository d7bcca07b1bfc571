/* SPDX-License-Identifier: Apache-2.0 */
/* unit/client/client_test.h - what the tests of client/ share: a small world of names, certificates and a server. */
#ifndef BK_UNIT_CLIENT_TEST_H
#define BK_UNIT_CLIENT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/client.h"
#include "fakes/dns_server.h"
#include "fakes/folder.h"
#include "fakes/uc_server.h"

#define DOMAIN "example.test"
#define ANN "ann@" DOMAIN

/* A secret store that does as it is told. Changed only while no client runs on it, or by what it calls. */
struct fake_guard {
    int error; /* of each call; 0: it works */
    bool has;
    uint8_t secret[BK_CLIENT_SECRET_SIZE];
    _Atomic int gets, puts, drops;
};
struct bk_client_guard fake_guard_of(struct fake_guard *fake);

/* Names, a root that clients trust, a server; and one client in a folder of its own. */
struct place {
    char dir[FOLDER_SIZE], profile[80], ca[96], dns[64];
    struct dns_server *names;
    struct pki_cert *root, *other_root, *certificate;
    struct uc_server *server;
    struct bk_client *client;
    int64_t clock_off_ms; /* the client's clock minus the true one */
    struct bk_clock clock;
    struct bk_client_network network;
    struct bk_client_timing timing; /* small numbers; a test may change them before place_client */
    const char *manual;
    uint16_t plain_port; /* 0: nobody listens there */
    const struct bk_client_guard *guard;
    bool no_ca; /* trust what the system trusts */
    _Atomic bool
        no_way; /* as if this computer's network were gone: say bk_client_network_changed */
    struct bk_client_event last; /* its pointers are dead: states and numbers only */
    char text[2048];             /* what the last event said, in short */
};

/* With the name discovery asks for first leading to the server. certificate NULL: a good one. */
void place_make(struct place *place, const struct pki_request *certificate);
void place_free(struct place *place);
/* Ends the client that is there, if one is, and starts another on the same profile. */
void place_client(struct place *place);
/* A server for the place; place_make makes one. */
struct uc_server *place_server(struct place *place, const struct pki_cert *certificate,
                               const char *name);

/*
 * Takes events until one of that type comes, 20 s at most, and returns it: give it back with done(). Events in
 * between are given back at once, and written into place->text, a line each.
 */
const struct bk_client_event *await_event(struct place *place, enum bk_client_event_type type);
const struct bk_client_event *await_state(struct place *place, enum bk_client_state state);
void done(struct place *place, const struct bk_client_event *event);
/* sign_in with the right password, and the wait for SIGNED_IN. */
void signed_in(struct place *place);
/* Fails unless the next FAILURE has this record id; returns what comes next. */
enum bk_client_next await_failure(struct place *place, const char *id);
/* Waits until an expression about another thread's doing holds. */
#define AWAIT(condition)                                                                           \
    do {                                                                                           \
        int64_t await_until = bk_clock_mono_ms(&bk_clock_system) + 20000;                          \
        while (!(condition)) {                                                                     \
            if (bk_clock_mono_ms(&bk_clock_system) > await_until)                                  \
                fail_msg("waited in vain for: %s", #condition);                                    \
            breathe();                                                                             \
        }                                                                                          \
    } while (0)
void breathe(void); /* lets other threads run for a moment */

/* Does any file below the folder hold these bytes? */
bool folder_holds(const char *dir, const char *needle);
/* How many files there are below it. */
int folder_files(const char *dir);

#endif
