/* SPDX-License-Identifier: Apache-2.0 */
/* store/store.h - what must survive (docs/architecture.md, "Data"). One contract; SQLite behind it, PostgreSQL to follow. */
#ifndef BK_STORE_STORE_H
#define BK_STORE_STORE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

/*
 * Reads answer at once on the calling thread (a row costs a few microseconds from the page
 * cache); each thread that reads a file gets a connection of its own. Writes are collected in a batch, handed
 * over, and done: the batches that wait are committed together by one writer, each whole or not at all; its
 * callback comes after the commit reached the disk. So "acknowledged" means: done() was called with 0.
 *
 * Text keys (addresses, user names, domains) are lower case already; the store does not fold.
 * Times are real milliseconds since 1970. Strings in rows are views into the arena handed to the read; an empty
 * one may have at == NULL. Strings may hold any bytes.
 * Every function returns 0, -ENOENT where a single row is asked for and missing, or another negative errno
 * (-EIO: the database failed; -EILSEQ: it is damaged; -ENOSPC: disk full; -EROFS; -ENOMEM).
 */
struct bk_store;

enum bk_tenant_state {
    BK_TENANT_ACTIVE,
    BK_TENANT_SUSPENDED, /* by an administrator */
};
struct bk_tenant {
    int64_t id; /* 0 when put: a new one */
    struct bk_view name, plan;
    enum bk_tenant_state state;
    int64_t ends_at; /* subscription end, 0: none */
    int64_t grace_ms;
};

struct bk_user {
    int64_t id; /* 0 when put: a new one */
    int64_t tenant_id;
    struct bk_view address;      /* "ann@example.org", unique */
    struct bk_view username;     /* logon name, unique, equal to address where none is set */
    struct bk_view display_name; /* UTF-8 */
    struct bk_view site;         /* for site policies; empty: none */
    struct bk_view policy;       /* name of the user-scope policy; empty: none */
    bool enabled, licensed;
    bool password_must_change;
    int64_t created_at, password_changed_at, disabled_at;
    struct bk_view disabled_by;
};

struct bk_device_password {
    int64_t id; /* 0 when put */
    int64_t user_id;
    struct bk_view label;
    struct bk_view algorithm;   /* "MD5", "SHA-256" */
    struct bk_view ha1_user;    /* hex HA1 with user name = part before the @ */
    struct bk_view ha1_address; /* hex HA1 with user name = whole address */
    int64_t created_at;
};

struct bk_certificate {
    struct bk_view serial; /* lower-case hex */
    int64_t user_id;
    struct bk_view device_id, device_name, device_kind;
    struct bk_view fingerprint; /* SHA-256 of the DER, lower-case hex */
    int64_t issued_at, not_before, not_after;
    int64_t revoked_at; /* 0: not */
    struct bk_view revoked_by, revoked_why;
};

struct bk_offline_message {
    int64_t id;                  /* order of storing, per store */
    struct bk_view rcpt, sender; /* addresses */
    struct bk_view sender_display;
    struct bk_view key; /* "Exactly once" key, 32 bytes (hash); unique together with rcpt */
    struct bk_view call_id, from_tag, to_uri; /* of the original, handed on unchanged */
    uint32_t cseq;
    struct bk_view content_type, body;
    int64_t at;
};

enum bk_signin_end {
    BK_SIGNIN_END_OPEN = -1, /* still signed in, or never was */
    BK_SIGNIN_END_UNKNOWN = 0,
    BK_SIGNIN_END_CLIENT = 1,
    BK_SIGNIN_END_EXPIRED = 2,
    BK_SIGNIN_END_CRASHED = 3,
    BK_SIGNIN_END_ATTRIBUTES = 4, /* disabled, licence or policy changed */
    BK_SIGNIN_END_MOVED = 5,
    BK_SIGNIN_END_REPLACED = 7, /* ours: the same endpoint signed in anew */
    BK_SIGNIN_END_ADMIN = 8,    /* ours: signed out by an administrator */
    BK_SIGNIN_END_SERVER = 9,   /* ours: the server stopped */
};
struct bk_signin {
    int64_t id;          /* 0 when put */
    int64_t at, last_at; /* last_at: of the newest repeat counted here */
    int64_t count;
    struct bk_view address; /* as typed, cut at 320 bytes */
    int64_t user_id;        /* 0: unknown */
    struct bk_view endpoint, client, device, ip, transport;
    struct bk_view road; /* "https-password", "sip-certificate", "sip-digest" ... */
    bool ok;
    int status; /* SIP or HTTP */
    uint32_t diagnostics;
    struct bk_view record;    /* "SI-208", "SI-201a"; empty when ok */
    struct bk_view case_code; /* empty when ok */
    struct bk_view detail;    /* JSON object: what the server knew at that moment, no secrets */
    int64_t ended_at;         /* 0: not */
    enum bk_signin_end end;
};

/* What a client reported about a case (its half). */
struct bk_report {
    struct bk_view case_code;
    int64_t at;
    struct bk_view client; /* JSON object, at most 16 kB */
    struct bk_view ip;
};

struct bk_presence_note { /* what of presence outlives sign-out */
    struct bk_view address;
    struct bk_view manual; /* "busy", "dnd", ...; empty: none */
    struct bk_view note;
    int64_t at;
};

/* Privacy relation of owner towards subject (docs/behaviour.md, "Relations"): 100, 200, 300, 400, 32000 blocked. */
struct bk_relation {
    struct bk_view owner, subject; /* subject: an address, or "@domain" */
    int level;
};

/* ---- what Lync-compatible clients keep here; owner is an address ---- */
struct bk_contact_list {
    struct bk_view owner;
    int64_t delta;      /* rises with each change of the list */
    int64_t next_group; /* number of the next new group */
};
struct bk_contact_group {
    struct bk_view owner;
    int64_t id;
    struct bk_view name, external;
};
struct bk_contact {
    struct bk_view owner, address, name;
    struct bk_view groups; /* "1 2" */
    bool subscribed;
    struct bk_view external;
};
struct bk_container { /* how often the members of a privacy relation changed */
    struct bk_view owner;
    int64_t container, version;
};
struct bk_static_publication { /* one that outlives the sign-in */
    struct bk_view owner, category;
    int64_t instance, container, version;
    int64_t at;
    struct bk_view document;
};
struct bk_follower { /* who put the owner on their list */
    struct bk_view owner, follower, display_name;
    bool acknowledged; /* the owner was told and said so */
    int64_t at;
};

struct bk_policy_value {
    struct bk_view scope; /* "global", "site", "user" */
    struct bk_view name;  /* of the site or user policy; empty for global */
    struct bk_view key, value;
};

struct bk_audit {
    int64_t id, at;
    struct bk_view actor, what, target, detail; /* detail: JSON, secrets already left out */
};

struct bk_store_config {
    const char *path; /* database file; NULL: in memory */
    /* A writer thread; false: the caller runs bk_store_pump (simulation, beckonctl). */
    bool threaded;
    /* Brings fn(arg) to the caller's thread, once for all callbacks of a commit. NULL: they are called where the
     * commit happens, so with `threaded` in the writer thread. */
    void (*post)(void *ctx, void (*fn)(void *arg), void *arg);
    void *post_ctx;
    const struct bk_clock *clock;
    const struct bk_log *log;
    /* Longest wait for company under load, 1..20, default 5; none below 200 batches per second. */
    int gather_ms;
    /* Bytes of batches waiting, default 64 MB; from there on bk_store_commit answers -EAGAIN. */
    size_t pending_max;
};

/*
 * Opens, creating or migrating the schema (each migration in a transaction of its own). -EBUSY: another process
 * has it (an advisory lock on <path>.lock); -EILSEQ: the database is damaged, of another program, or from a newer
 * version. *ret_why (may be NULL) then points at a text for people, static or this thread's. Files up to 32 MB are
 * checked page by page at every start (about 50 ms); larger ones when a damaged page is met or bk_store_check asks.
 */
int bk_store_open(const struct bk_store_config *config, struct bk_store **ret,
                  const char **ret_why);
/* Commits what waits, calls its callbacks, closes. Meanwhile bk_store_commit answers -ESHUTDOWN. */
struct bk_store *bk_store_close(struct bk_store *store);
/*
 * For a process that has to end while the disk does not answer (threaded stores): whoever still waits for a callback
 * gets it here and now, with -ESHUTDOWN: it may be written or not. After this nobody is called, and bk_store_commit
 * answers -ESHUTDOWN.
 */
void bk_store_silence(struct bk_store *store);
/* Instead of bk_store_close after bk_store_silence: does not wait. The writer closes the store when the disk lets it. */
struct bk_store *bk_store_leave(struct bk_store *store);
/*
 * For simulation and tests: forgets what waits as a power cut would, calls nobody, closes. In memory: *ret_image, if
 * not NULL, holds what was committed and may be opened again.
 */
struct bk_store *bk_store_crash(struct bk_store *store, struct bk_buf *ret_image);
int bk_store_open_image(const struct bk_store_config *config, struct bk_view image,
                        struct bk_store **ret);
/* Not threaded: commits what waits and calls back. Returns the number of batches. */
int bk_store_pump(struct bk_store *store);
/* A copy of one moment, made while others go on; it appears under `path` (replacing what was there) when whole. Any
 * thread; takes as long as the disk needs. It holds every secret of the store. */
int bk_store_backup(struct bk_store *store, const char *path);
/* Reads every page, so seconds for a gigabyte; any thread. 0, or -EILSEQ and what is damaged (text of this thread). */
int bk_store_check(struct bk_store *store, const char **ret_why);
/*
 * 0: writes succeed; else the errno of the last commit: the server says "limited" (SI-405). The store asks the disk by
 * itself once a second (not threaded: when pumped) and this goes back to 0 when it takes writes again.
 */
int bk_store_health(const struct bk_store *store);
struct bk_store_stats {
    uint64_t batches, commits, failures; /* failures: batches that were told an error */
    uint64_t waits;                      /* commits that waited for company */
    size_t pending_bytes;
    bool busy; /* something waits, is being written, or its callbacks are not handed over yet */
};
void bk_store_stats(struct bk_store *store, struct bk_store_stats *ret);

/* ---- reads ---- */
int bk_store_tenant_by_domain(struct bk_store *, struct bk_view domain, struct bk_arena *,
                              struct bk_tenant *ret);
int bk_store_tenant(struct bk_store *, int64_t id, struct bk_arena *, struct bk_tenant *ret);
int bk_store_tenant_by_name(struct bk_store *, struct bk_view name, struct bk_arena *,
                            struct bk_tenant *ret);
int bk_store_user(struct bk_store *, struct bk_view address, struct bk_arena *,
                  struct bk_user *ret);
int bk_store_user_by_id(struct bk_store *, int64_t id, struct bk_arena *, struct bk_user *ret);
int bk_store_user_by_username(struct bk_store *, struct bk_view username, struct bk_arena *,
                              struct bk_user *ret);
int bk_store_password(struct bk_store *, int64_t user_id, struct bk_arena *,
                      struct bk_view *ret_yescrypt);
/* MD4 of the password, where policy lets somebody sign in by NTLM. A secret like the password itself: the caller wipes it. -ENOENT. */
enum { BK_NT_HASH_SIZE = 16 };
int bk_store_nt_hash(struct bk_store *, int64_t user_id, uint8_t ret[BK_NT_HASH_SIZE]);
int bk_store_certificate(struct bk_store *, struct bk_view serial, struct bk_arena *,
                         struct bk_certificate *ret);
int bk_store_presence_note(struct bk_store *, struct bk_view address, struct bk_arena *,
                           struct bk_presence_note *ret);
int bk_store_setting(struct bk_store *, struct bk_view key, struct bk_arena *,
                     struct bk_view *ret_value);
int bk_store_secret(struct bk_store *, struct bk_view name, struct bk_arena *,
                    struct bk_view *ret_bytes);
/*
 * Was a message with this key stored for rcpt? 0: yes; -ENOENT. Known also after the message was delivered and
 * deleted, until bk_store_forget_message_keys.
 */
int bk_store_message_key(struct bk_store *, struct bk_view rcpt, struct bk_view key);

/* Lists: each row in order until `each` says false; the arena is the callback's to clear. Returns rows seen. */
#define BK_STORE_EACH(type) bool (*each)(void *ctx, const struct type *row), void *ctx
struct bk_domain {
    struct bk_view name;
    int64_t tenant_id;
};
int bk_store_domains(struct bk_store *, struct bk_arena *, BK_STORE_EACH(bk_domain));
int bk_store_tenants(struct bk_store *, struct bk_arena *, BK_STORE_EACH(bk_tenant));
/* Users by address from `after` (exclusive), at most limit; match: substring of address or display name without regard
 * to the case of ASCII letters, empty: all. */
int bk_store_users(struct bk_store *, int64_t tenant_id /* 0: all */, struct bk_view after,
                   struct bk_view match, int limit, struct bk_arena *, BK_STORE_EACH(bk_user));
struct bk_nt_hash_owner {
    int64_t user_id;
};
int bk_store_nt_hash_owners(struct bk_store *, struct bk_arena *, BK_STORE_EACH(bk_nt_hash_owner));
int bk_store_device_passwords(struct bk_store *, int64_t user_id, struct bk_arena *,
                              BK_STORE_EACH(bk_device_password));
int bk_store_certificates(struct bk_store *, int64_t user_id, struct bk_arena *,
                          BK_STORE_EACH(bk_certificate));
/* In order of storing, id > after. */
int bk_store_offline(struct bk_store *, struct bk_view rcpt, int64_t after, int limit,
                     struct bk_arena *, BK_STORE_EACH(bk_offline_message));
/* How many wait and how many bytes they have. */
int bk_store_offline_count(struct bk_store *, struct bk_view rcpt, int64_t *ret_n,
                           int64_t *ret_bytes);
/* Newest first. Any of address, case_code may be empty. */
int bk_store_signins(struct bk_store *, struct bk_view address, struct bk_view case_code, int limit,
                     struct bk_arena *, BK_STORE_EACH(bk_signin));
/*
 * The case code of the row that a refusal of address, record and ip at this moment would join (see bk_store_put_signin);
 * -ENOENT: none, make a new one. Ask before answering, so that repeats are told the code that can be found.
 */
int bk_store_signin_case(struct bk_store *, struct bk_view address, struct bk_view record,
                         struct bk_view ip, int64_t at, struct bk_arena *,
                         struct bk_view *ret_case_code);
int bk_store_reports(struct bk_store *, struct bk_view case_code, struct bk_arena *,
                     BK_STORE_EACH(bk_report));
int bk_store_relations(struct bk_store *, struct bk_view owner, struct bk_arena *,
                       BK_STORE_EACH(bk_relation));
int bk_store_contact_list(struct bk_store *, struct bk_view owner, struct bk_arena *,
                          struct bk_contact_list *ret);
int bk_store_contact_groups(struct bk_store *, struct bk_view owner, struct bk_arena *,
                            BK_STORE_EACH(bk_contact_group)); /* by id */
int bk_store_contacts(struct bk_store *, struct bk_view owner, struct bk_arena *,
                      BK_STORE_EACH(bk_contact)); /* in the order in which they came */
int bk_store_containers(struct bk_store *, struct bk_view owner, struct bk_arena *,
                        BK_STORE_EACH(bk_container));
int bk_store_publications(struct bk_store *, struct bk_view owner, struct bk_arena *,
                          BK_STORE_EACH(bk_static_publication));
int bk_store_followers(struct bk_store *, struct bk_view owner, struct bk_arena *,
                       BK_STORE_EACH(bk_follower)); /* oldest first */
int bk_store_policies(struct bk_store *, struct bk_arena *, BK_STORE_EACH(bk_policy_value));
struct bk_setting {
    struct bk_view key, value;
};
int bk_store_settings(struct bk_store *, struct bk_arena *, BK_STORE_EACH(bk_setting));
int bk_store_audits(struct bk_store *, int limit, struct bk_arena *,
                    BK_STORE_EACH(bk_audit)); /* newest first */

/* ---- writes ---- */
/*
 * A batch copies what it is given. Its steps run in order inside one savepoint: all or none. Adding never fails
 * visibly: out of memory shows as -ENOMEM from bk_store_commit. What names a row that must be there (a put with an id, a
 * drop of a user, domain or one device password, a password of an address, a domain of a tenant, one certificate's
 * revocation) fails the batch with -ENOENT where it is not. What would break uniqueness fails with -EEXIST.
 */
struct bk_store_batch;
struct bk_store_batch *bk_store_batch_create(void);
struct bk_store_batch *bk_store_batch_destroy(struct bk_store_batch *batch);

void bk_store_put_tenant(struct bk_store_batch *, const struct bk_tenant *);
void bk_store_put_domain(struct bk_store_batch *, struct bk_view name, struct bk_view tenant_name);
void bk_store_drop_domain(struct bk_store_batch *, struct bk_view name);
/*
 * -EEXIST: address or user name is somebody else's (either column, either way); an empty user name stands for the
 * address. created_at counts for a new user only; password_changed_at is set by bk_store_put_password alone. A changed
 * address takes along what is kept by address: offline messages, note, relations, contact list, publications.
 */
void bk_store_put_user(struct bk_store_batch *, const struct bk_user *);
/* And all that is theirs; the history of sign-ins stays. */
void bk_store_drop_user(struct bk_store_batch *, int64_t id);
/* Takes the NT hash of the old password away. */
void bk_store_put_password(struct bk_store_batch *, struct bk_view address, struct bk_view yescrypt,
                           int64_t at, bool must_change);
/* Behind bk_store_put_password of the same password. */
void bk_store_put_nt_hash(struct bk_store_batch *, struct bk_view address,
                          const uint8_t hash[BK_NT_HASH_SIZE]);
void bk_store_drop_nt_hash(struct bk_store_batch *, int64_t user_id);
void bk_store_put_device_password(struct bk_store_batch *, struct bk_view address,
                                  const struct bk_device_password *);
void bk_store_drop_device_password(struct bk_store_batch *, int64_t user_id,
                                   int64_t id /* 0: all */);
void bk_store_put_certificate(struct bk_store_batch *, const struct bk_certificate *);
void bk_store_revoke_certificate(struct bk_store_batch *, struct bk_view serial, int64_t at,
                                 struct bk_view by, struct bk_view why);
void bk_store_revoke_certificates_of(struct bk_store_batch *, int64_t user_id, int64_t at,
                                     struct bk_view by, struct bk_view why);
/* A key already stored for that rcpt changes nothing and still succeeds. */
void bk_store_put_offline(struct bk_store_batch *, const struct bk_offline_message *);
void bk_store_drop_offline(struct bk_store_batch *, int64_t id);
void bk_store_drop_offline_key(struct bk_store_batch *, struct bk_view rcpt,
                               struct bk_view key); /* a late 200 */
/* At most 50,000 at a time. */
void bk_store_forget_message_keys(struct bk_store_batch *, int64_t before);
/*
 * A refusal (not ok) joins the row of the same address, record and ip that is less than a minute away: count grows,
 * last_at moves, the first one's case code and details stay.
 */
void bk_store_put_signin(struct bk_store_batch *, const struct bk_signin *);
/* The open rows of that address and endpoint. */
void bk_store_end_signin(struct bk_store_batch *, struct bk_view address, struct bk_view endpoint,
                         int64_t at, enum bk_signin_end end);
/* Those still open: at start, after a server that could not say good-bye. */
void bk_store_end_all_signins(struct bk_store_batch *, int64_t at, enum bk_signin_end end);
/* Rows older than that, but for open ones, and the reports; at most 10,000 of each, so call it now and then. */
void bk_store_forget_signins(struct bk_store_batch *, int64_t before);
void bk_store_put_report(struct bk_store_batch *, const struct bk_report *);
void bk_store_put_presence_note(struct bk_store_batch *, const struct bk_presence_note *);
void bk_store_put_relation(struct bk_store_batch *,
                           const struct bk_relation *); /* level 0: remove */
/* Puts replace what has the same key; dropping what is not there is fine. A contact keeps its place, a follower his time. */
void bk_store_put_contact_list(struct bk_store_batch *, const struct bk_contact_list *);
void bk_store_put_contact_group(struct bk_store_batch *, const struct bk_contact_group *);
void bk_store_drop_contact_group(struct bk_store_batch *, struct bk_view owner, int64_t id);
void bk_store_put_contact(struct bk_store_batch *, const struct bk_contact *);
void bk_store_drop_contact(struct bk_store_batch *, struct bk_view owner, struct bk_view address);
void bk_store_put_container(struct bk_store_batch *, const struct bk_container *);
void bk_store_put_publication(struct bk_store_batch *, const struct bk_static_publication *);
void bk_store_drop_publication(struct bk_store_batch *, struct bk_view owner,
                               struct bk_view category, int64_t instance, int64_t container);
void bk_store_put_follower(struct bk_store_batch *, const struct bk_follower *);
void bk_store_put_policy(struct bk_store_batch *,
                         const struct bk_policy_value *); /* value.at NULL: remove */
void bk_store_put_setting(struct bk_store_batch *, struct bk_view key,
                          struct bk_view value); /* value.at NULL: remove */
void bk_store_put_secret(struct bk_store_batch *, struct bk_view name,
                         struct bk_view bytes); /* server keys: nonce, route, CA */
void bk_store_put_audit(struct bk_store_batch *, const struct bk_audit *);

/*
 * Takes the batch over, whatever it answers (NULL is -ENOMEM). 0: done comes later, exactly once, in the order of the
 * calls, with 0 or the negative errno of this batch. Otherwise (-EAGAIN, -ENOMEM, -ESHUTDOWN) done is never called.
 * done may be NULL and may call everything but bk_store_close, bk_store_crash and bk_store_pump.
 */
int bk_store_commit(struct bk_store *store, struct bk_store_batch *batch,
                    void (*done)(void *ctx, int result), void *ctx);

#endif
