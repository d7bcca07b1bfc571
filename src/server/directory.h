/* SPDX-License-Identifier: Apache-2.0 */
/* server/directory.h - domains, tenants and policies as an immutable snapshot, and the table of policies. */
#ifndef BK_SERVER_DIRECTORY_H
#define BK_SERVER_DIRECTORY_H

#include "store/store.h"

/*
 * A snapshot is made from the store at start and after each change, and swapped in whole: who
 * decides about a request uses one snapshot for the whole decision. Reference-counted (atomic),
 * read by every thread, never changed.
 */
struct bk_directory;
int bk_directory_load(struct bk_store *store, struct bk_directory **ret);
struct bk_directory *bk_directory_ref(struct bk_directory *dir);
struct bk_directory *bk_directory_unref(struct bk_directory *dir);

/* The tenant of a domain (lower case), NULL: not ours. Views live as long as the snapshot. */
const struct bk_tenant *bk_directory_tenant_of(const struct bk_directory *dir,
                                               struct bk_view domain);
const struct bk_tenant *bk_directory_tenant(const struct bk_directory *dir, int64_t id);
size_t bk_directory_domains(const struct bk_directory *dir);
struct bk_view bk_directory_domain_at(const struct bk_directory *dir, size_t index); /* sorted */
/* The own domain that looks most like this one (for "did you mean"), empty: none near. */
struct bk_view bk_directory_nearest_domain(const struct bk_directory *dir, struct bk_view domain);

/*
 * Policies: one table (directory.c) holds name, kind, default, range and a sentence of help;
 * beckonctl, its man page and validation read it. user > site > global > default.
 */
enum bk_policy {
    BK_POLICY_CERTIFICATE_HOURS,    /* life of a personal certificate: 8..8760, 4320 */
    BK_POLICY_ENDPOINTS_MAX,        /* 1..64, 8 */
    BK_POLICY_REGISTRATION_S,       /* 300..900, 600 */
    BK_POLICY_TELL_UNKNOWN_ADDRESS, /* never | own-networks | always */
    BK_POLICY_CLEARTEXT_SIGNIN,     /* Digest over TCP and UDP: off */
    BK_POLICY_DIGEST_ALGORITHM,     /* SHA-256 | MD5: what a stranger is challenged with */
    BK_POLICY_OFFLINE_MESSAGES,     /* on */
    BK_POLICY_OFFLINE_MESSAGES_MAX, /* 500 */
    BK_POLICY_PRIVACY_MODE,         /* only people in the contact list see presence: off */
    BK_POLICY_APPEAR_OFFLINE,       /* may appear offline: on */
    BK_POLICY_PASSWORD_LENGTH_MIN,  /* 8..128, 8 */
    BK_POLICY_SIGNIN_HISTORY_DAYS,  /* 1..3650, 90 */
    BK_POLICY_NTLM_SIGNIN,          /* off: no NT hash is kept, NTLM is not offered */
    BK_POLICY_SIGNATURE_MINUTES, /* life of a security association of the Lync dialect: 1..480, 480 */
    BK_POLICY_COUNT,
};
struct bk_policy_row {
    const char *name; /* "certificate-hours" */
    enum { BK_POLICY_NUMBER, BK_POLICY_SWITCH, BK_POLICY_CHOICE } kind;
    const char *fallback; /* the default as text */
    int64_t min, max;     /* NUMBER */
    const char *choices;  /* CHOICE: "a|b|c" */
    const char *help;
};
const struct bk_policy_row *bk_policy_row(enum bk_policy policy);
/* -ENOENT: no such policy. */
int bk_policy_find(struct bk_view name, enum bk_policy *ret);
/* 0; -EINVAL with *ret_why (static) for a value the row does not allow. */
int bk_policy_check(enum bk_policy policy, struct bk_view value, const char **ret_why);

/* user may be NULL (global value). */
int64_t bk_policy_number(const struct bk_directory *dir, const struct bk_user *user,
                         enum bk_policy policy);
bool bk_policy_switch(const struct bk_directory *dir, const struct bk_user *user,
                      enum bk_policy policy);
struct bk_view bk_policy_choice(const struct bk_directory *dir, const struct bk_user *user,
                                enum bk_policy policy);
/* Where the value in force comes from: "user:NAME", "site:NAME", "global", "default". */
struct bk_view bk_policy_origin(const struct bk_directory *dir, const struct bk_user *user,
                                enum bk_policy policy, struct bk_arena *arena);

#endif
