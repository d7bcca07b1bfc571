/* SPDX-License-Identifier: Apache-2.0 */
/* client/profile.h - what one person's sign-in leaves on this computer, and how it goes away. */
#ifndef BK_CLIENT_PROFILE_H
#define BK_CLIENT_PROFILE_H

#include "base/buf.h"
#include "base/random.h"
#include "client/guard.h"

/*
 * <root>/<address>/identity.pem   key, personal certificate, chain; mode 0600. With a guard the key is an encrypted PKCS#8 (RFC 5958
 *                                 section 3; AES-256), its password the guard's secret in hex
 *                  state.json     endpoint id, last good server, services, user name, trust decisions
 *                  shown          keys of the messages shown, a line each
 *                  outgoing       messages on their way out (client/outbox.h)
 * <root>/last-address             who signed in last
 *
 * Each file begins with a line that names its kind, version and (but for `shown` and `outgoing`, which grow at their
 * end) the SHA-256 of what follows. A file is replaced whole (bk_file_replace). What cannot be read or
 * does not fit its checksum is put aside as <name>.damaged and made anew (SI-107).
 */
enum {
    BK_PROFILE_SHOWN_MAX = 1000,
    BK_PROFILE_TRUSTED_MAX = 32,
    BK_PROFILE_KEY_SIZE = 32,
};

enum bk_profile_damage {
    BK_PROFILE_STATE_DAMAGED = 1 << 0,
    BK_PROFILE_IDENTITY_DAMAGED = 1 << 1,
    BK_PROFILE_SHOWN_DAMAGED = 1 << 2,
    BK_PROFILE_OUTBOX_DAMAGED = 1 << 3, /* found by bk_outbox_load */
};

struct bk_profile {
    char *dir;  /* NULL: nothing is kept on disk */
    char *root; /* NULL likewise */
    char *address;
    unsigned damage; /* enum bk_profile_damage, found when it was opened */

    struct bk_buf identity; /* PEM, the key not encrypted; empty: none. Wiped when it goes */
    const struct bk_client_guard *guard; /* NULL: none */
    int locked;      /* there is a saved key, but the guard does not open it: its error; 0: no */
    bool encrypted;  /* what is on disk is */
    bool plain;      /* likewise: is not */
    bool has_secret; /* the guard keeps `secret` for this address */
    uint8_t secret[BK_CLIENT_SECRET_SIZE];
    int64_t renew_after_ms; /* 0: not told */

    char endpoint
        [37]; /* uuid of this endpoint: the same for this address and computer until deleted */
    char user[256];   /* "": none */
    char server[256]; /* last good SIP server; "": none */
    uint16_t server_port;
    char services[1025]; /* "https://.../beckon/v1/"; "": none */
    char sts_uri[1025];  /* of a server that knows TLS-DSK alone; "": it has a sign-in service */
    char trusted[BK_PROFILE_TRUSTED_MAX][256]; /* hosts outside the address's domain */
    int n_trusted;

    uint8_t (*shown)[BK_PROFILE_KEY_SIZE]; /* a ring of the last BK_PROFILE_SHOWN_MAX */
    size_t n_shown, next_shown;
    size_t shown_lines; /* in the file */
};

/*
 * address: lower case, already checked (so it is a harmless folder name). root NULL: nothing is
 * read or written. Folders are made when something is first saved. 0, -ENOMEM; damage is not an error, nor is a key that cannot
 * be decrypted: `locked` says so, and the file stays. A key whose secret is gone for good leaves the certificates alone (SI-105e).
 * guard NULL: new keys are saved as they are, encrypted ones are locked; else it outlives the profile.
 */
int bk_profile_open(struct bk_profile *profile, const char *root, const char *address,
                    const struct bk_random *random, const struct bk_client_guard *guard);
void bk_profile_close(struct bk_profile *profile);

/* Negative errno where it could not be written; what is in memory stays. */
int bk_profile_save_state(struct bk_profile *profile);
/*
 * With a guard, encrypted. BK_PROFILE_UNPROTECTED: saved for the first time, and the guard could not, so the key stands unencrypted
 * in a file that only this user can read: to be told. What was encrypted before is never replaced by what is not: the guard's error.
 */
enum { BK_PROFILE_UNPROTECTED = 1 };
int bk_profile_save_identity(struct bk_profile *profile, const struct bk_random *random);
int bk_profile_save_last_address(const struct bk_profile *profile);
/* From memory and disk. */
void bk_profile_drop_identity(struct bk_profile *profile);

/* For what keeps further files there. */
int bk_profile_make_folder(const struct bk_profile *profile);
void bk_profile_put_aside(const struct bk_profile *profile, const char *name);

bool bk_profile_trusts(const struct bk_profile *profile, struct bk_view host);
void bk_profile_trust(struct bk_profile *profile, struct bk_view host);

bool bk_profile_was_shown(const struct bk_profile *profile, const uint8_t key[BK_PROFILE_KEY_SIZE]);
int bk_profile_note_shown(struct bk_profile *profile, const uint8_t key[BK_PROFILE_KEY_SIZE]);

/* What stands there of an address, for whoever shows it. */
struct bk_profile_kept {
    bool saved;           /* a key and certificate */
    bool guarded;         /* the key is encrypted, its secret with the guard */
    int64_t not_after_ms; /* of the certificate; 0: not known */
    char user[256];       /* "": none */
    char server[256];     /* last good one; "": none */
    uint16_t server_port;
    char services[1025];
    char endpoint[37];
};
/* Changes nothing; a damaged identity.pem counts as saved, so that signing in says what became of it. -ENOENT: nobody signed in with it here. */
int bk_profile_peek(const char *root, const char *address, struct bk_profile_kept *ret);
/* Messages whose end is not known wait there for the next sign-in. */
bool bk_profile_has_outgoing(const char *root, const char *address);

/*
 * "Delete my sign-in info" on disk. Each of these: 1 removed, 0 was not there, negative errno. The copy in
 * memory, if one is open, must be closed before.
 */
int bk_profile_delete_identity(const char *root, const char *address);
int bk_profile_delete_state(const char *root, const char *address);
int bk_profile_delete_shown(const char *root, const char *address);
int bk_profile_delete_outgoing(const char *root, const char *address);
int bk_profile_delete_last_address(const char *root, const char *address);

/* config's folder or the default one; caller frees. NULL: out of memory or no home folder known. */
char *bk_profile_root(const char *configured);
int bk_profile_last_address(const char *root, struct bk_buf *ret);

#endif
