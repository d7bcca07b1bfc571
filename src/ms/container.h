/* SPDX-License-Identifier: Apache-2.0 */
/* ms/container.h - access levels: who is in which container, and what that makes of a watcher ([MS-PRES]). */
#ifndef BK_MS_CONTAINER_H
#define BK_MS_CONTAINER_H

#include "ms/xml.h"

#define BK_MS_SET_MEMBERS_CONTENT_TYPE "application/msrtc-setcontainermembers+xml"
#define BK_MS_SET_SUBSCRIBERS_CONTENT_TYPE "application/msrtc-presence-setsubscriber+xml"

/* The containers that are privacy relations (docs/behaviour.md, "Relations"); 0 to 3 are the person's own. */
enum {
    BK_MS_CONTAINER_PUBLIC = 100,   /* External */
    BK_MS_CONTAINER_COMPANY = 200,  /* Colleagues */
    BK_MS_CONTAINER_TEAM = 300,     /* Workgroup */
    BK_MS_CONTAINER_PERSONAL = 400, /* Friends & family */
    BK_MS_CONTAINER_BLOCKED = 32000,
    BK_MS_MEMBER_CHANGES_MAX = 256,
};
/* In the order in which a watcher is looked for: 32000, 400, 300, 200, 100. */
enum { BK_MS_CONTAINERS = 5 };
extern const int bk_ms_containers[BK_MS_CONTAINERS];

enum bk_ms_member_type {
    BK_MS_MEMBER_USER,
    BK_MS_MEMBER_DOMAIN,
    BK_MS_MEMBER_SAME_ENTERPRISE,
    BK_MS_MEMBER_FEDERATED,
    BK_MS_MEMBER_PUBLIC_CLOUD,
    BK_MS_MEMBER_EVERYONE,
    BK_MS_MEMBER_TYPE_COUNT,
};
struct bk_ms_member {
    int container;
    enum bk_ms_member_type type;
    struct bk_view value; /* address or domain, lower case; empty for the others */
};

/* What kind of person the watcher is, apart from the address. */
enum bk_ms_origin { BK_MS_ORIGIN_ENTERPRISE, BK_MS_ORIGIN_FEDERATED, BK_MS_ORIGIN_PUBLIC };

/*
 * The container of a watcher: the user before the domain before the kind before everyone; of two of the same strength the
 * stricter one first (bk_ms_containers). Without a word in members colleagues are in 200 and all others in 100.
 */
int bk_ms_container_of(const struct bk_ms_member *members, size_t n, struct bk_view watcher,
                       enum bk_ms_origin origin);

/*
 * How the store's relations name a member: "bob@example.org", "@example.org", or one of "=sameEnterprise", "=federated",
 * "=publicCloud", "=everyone".
 */
void bk_ms_member_subject(struct bk_buf *to, enum bk_ms_member_type type, struct bk_view value);
void bk_ms_member_of_subject(struct bk_view subject, struct bk_ms_member *ret);

/* ---- what a client asks for ---- */
struct bk_ms_member_change {
    int container;
    uint32_t version; /* of the container, as the client knows it */
    bool removes;
    struct bk_ms_member member;
};
/* *ret_n changes in the arena. 0; -EBADMSG with *ret_why static (also for a container that is none of ours); -ENOMEM. */
int bk_ms_set_members_parse(struct bk_view body, struct bk_arena *arena,
                            struct bk_ms_member_change **ret, int *ret_n, const char **ret_why);

struct bk_ms_subscriber {
    struct bk_view address, display_name;
    bool acknowledged;
};
int bk_ms_set_subscribers_parse(struct bk_view body, struct bk_arena *arena,
                                struct bk_ms_subscriber **ret, int *ret_n, const char **ret_why);

/* ---- documents: inside roamingData ---- */
void bk_ms_containers_begin(struct bk_buf *to);
/* Its members of all that are given. */
void bk_ms_container_write(struct bk_buf *to, int container, uint32_t version,
                           const struct bk_ms_member *members, size_t n);
void bk_ms_containers_end(struct bk_buf *to);
void bk_ms_subscribers_begin(struct bk_buf *to);
void bk_ms_subscriber_write(struct bk_buf *to, const struct bk_ms_subscriber *subscriber);
void bk_ms_subscribers_end(struct bk_buf *to);

#endif
