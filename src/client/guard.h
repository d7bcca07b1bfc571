/* SPDX-License-Identifier: Apache-2.0 */
/* client/guard.h - who keeps the secret under which the saved key is encrypted. */
#ifndef BK_CLIENT_GUARD_H
#define BK_CLIENT_GUARD_H

#include <stdint.h>

enum { BK_CLIENT_SECRET_SIZE = 32 };

/*
 * The secret store of the desktop, or whatever else is better than a file. For each address it keeps 32 random bytes, which the
 * client makes; the key in identity.pem is encrypted with them (client/profile.h). Called on the engine's thread, which waits: a
 * function that cannot know within 3 s answers -ETIMEDOUT. address: lower case.
 *
 * get:  0; -ENOENT: the store was asked and keeps none for this address
 * put:  0: it is kept, also over a restart of the computer
 * drop: 1 removed, 0 was not there
 * All of them: -ENOTSUP there is no store; -EACCES it is locked or refuses; -ETIMEDOUT; -EIO. In these cases the saved key cannot
 * be used (the file stays as it is) and a key saved for the first time goes to disk unencrypted, mode 0600, which is told.
 */
struct bk_client_guard {
    int (*get)(void *ctx, const char *address, uint8_t secret[BK_CLIENT_SECRET_SIZE]);
    int (*put)(void *ctx, const char *address, const uint8_t secret[BK_CLIENT_SECRET_SIZE]);
    int (*drop)(void *ctx, const char *address);
    void *ctx; /* outlives the client */
};

#endif
