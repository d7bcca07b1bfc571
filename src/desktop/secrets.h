/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/secrets.h - the desktop's password store (Secret Service, through libsecret) as guard of the saved key. */
#ifndef BK_DESKTOP_SECRETS_H
#define BK_DESKTOP_SECRETS_H

#include "client/guard.h"

/*
 * Talks to the store on a thread of its own, never on the caller's: without an unlocked keyring libsecret waits for a prompt that nobody
 * may ever see. Nobody is prompted: what is locked is -EACCES at once, and sign-in asks for the password (docs/behaviour.md, "The saved
 * key"). A store that has not answered in time is not asked again for 30 s: sign-in goes on without it.
 *
 * One item an address and profile folder, in the default collection: schema org.beckon.SignIn, attributes address and profile.
 */
struct bk_secrets;

enum { BK_SECRETS_DEADLINE_MS = 3000 };

/* profile: bk_client_config.profile_dir (NULL: the default one), so that two profiles do not take each other's. Never NULL. */
struct bk_secrets *bk_secrets_create(const char *profile, int deadline_ms);
/* After the client that has its guard is gone. Waits up to a second for what is under way. */
struct bk_secrets *bk_secrets_destroy(struct bk_secrets *secrets);
/* Its functions may be called on any thread but the secrets' own; each returns within the deadline. */
struct bk_client_guard bk_secrets_guard(struct bk_secrets *secrets);

#endif
