/* SPDX-License-Identifier: Apache-2.0 */
/* ms/provision.h - what the server tells a client to do, right after sign-in. */
#ifndef BK_MS_PROVISION_H
#define BK_MS_PROVISION_H

#include "ms/xml.h"

#define BK_MS_PROVISION_V2_CONTENT_TYPE "application/vnd-microsoft-roaming-provisioning-v2+xml"
#define BK_MS_PROVISION_CONTENT_TYPE "application/vnd-microsoft-roaming-provisioning+xml"

/* Strings are NULL, numbers 0 where the client is not told. */
struct bk_ms_provision {
    const char *encryption; /* "SupportEncryption"; absent means required to a stock client */
    const char *focus_factory_uri, *mras_uri, *test_call_uri;
    uint16_t media_port_min, media_port_max;
};

enum bk_ms_provision_group {
    BK_MS_PROVISION_SERVER = 1 << 0,          /* ServerConfiguration */
    BK_MS_PROVISION_MEETING = 1 << 1,         /* meetingPolicy */
    BK_MS_PROVISION_PERSISTENT_CHAT = 1 << 2, /* persistentChatConfiguration */
    BK_MS_PROVISION_UC = 1 << 3,              /* ucPolicy */
    BK_MS_PROVISION_ALL = 15,
};
/* The groups asked for, or'ed; all where the body is empty. Unknown names are skipped. -EBADMSG, -ENOMEM. */
int bk_ms_provision_parse(struct bk_view body, struct bk_arena *arena, unsigned *ret,
                          const char **ret_why);
/* Version 2. */
void bk_ms_provision_write(struct bk_buf *to, const struct bk_ms_provision *p, unsigned groups);
/* The generation before it, event vnd-microsoft-provisioning. [from the client's published reading, not run] */
void bk_ms_provision_old_write(struct bk_buf *to, struct bk_view address);

#endif
