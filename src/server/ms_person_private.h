/* SPDX-License-Identifier: Apache-2.0 */
/* server/ms_person_private.h - what the files of the Lync dialect share: a person's lists, subscriptions and publications in it. */
#ifndef BK_SERVER_MS_PERSON_PRIVATE_H
#define BK_SERVER_MS_PERSON_PRIVATE_H

#include "ms/batch.h"
#include "ms/category.h"
#include "ms/contacts.h"
#include "ms/container.h"
#include "server/core_private.h"

/*
 * One model of presence for all (publish.c, compose.c): a publication of this dialect becomes inputs of it, and what it
 * says is rendered in this dialect (ms_person.c). So a watcher sees the same whatever the watched signed in with.
 *
 * Subscriptions of this dialect live with the person they are addressed to: their own lists, and the batch that watches
 * many. A batch's watch of one person stands in two lists, the batch's and the watched person's. Those two may be in
 * different shards; watches are made, told and ended by the three functions of ms_events.c alone, which take plain
 * values, so that a bus between threads has its place there.
 */
enum ms_event {
    MS_EVENT_CONTACTS,     /* vnd-microsoft-roaming-contacts */
    MS_EVENT_SELF,         /* vnd-microsoft-roaming-self */
    MS_EVENT_PROVISION_V2, /* vnd-microsoft-provisioning-v2 */
    MS_EVENT_PROVISION,    /* vnd-microsoft-provisioning */
    MS_EVENT_PRESENCE,     /* presence, of many or of one */
    MS_EVENT_COUNT,
};

enum {
    MS_EXPIRES_S = 7200,
    MS_EXPIRES_MIN_S = 60,
    MS_SUBS_PER_LINK = 32,
    MS_PUBLICATIONS_PER_PERSON = 256,
    MS_PUBLICATION_BYTES_PER_PERSON = 512 * 1024,
    MS_FOLLOWERS_PENDING = 200, /* nobody is asked about more people who put him on a list */
    MS_ANSWER_BYTES =
        128 * 1024, /* of documents in the answer to a batch; what is over comes behind it */
    MS_PACE_MS = 5, /* between two of those */
    MS_SEARCH_MAX = 100,
};

struct ms_sub {
    struct bk_list in_person; /* ms_person.subs */
    struct bk_list in_link;
    struct bk_person *host; /* held */
    enum ms_event event;
    uint64_t link;
    bool reliable, benotify, autoextend;
    struct bk_sip_dialog *dialog;
    int64_t life_s, expires_at; /* mono ms */
    struct bk_timers *timers;
    struct bk_timer timer;  /* expiry */
    struct bk_list watches; /* ms_watch.in_sub, of MS_EVENT_PRESENCE */
    int n_watches;
    uint32_t version;
    unsigned parts; /* of MS_EVENT_SELF: enum bk_ms_self_part */
    size_t watcher_len;
    char watcher[];
};

struct ms_watch {
    struct bk_list in_sub, in_person;
    struct ms_sub *sub;
    struct bk_person *person; /* held */
    unsigned wanted;          /* enum bk_ms_wanted */
    uint64_t told;            /* hash of what was told last; 0: nothing yet */
};

struct ms_publication {
    struct bk_list in_person;
    struct ms_person *of;
    struct bk_view category, endpoint, document;
    uint32_t instance, container, version;
    enum bk_ms_expire expire;
    int64_t at; /* real ms */
    struct bk_timer timer;
    bool is_state;
    struct bk_ms_state state; /* activity points into document's copy below */
    bool in_conference, presenting, in_meeting;
    char text[];
};

struct ms_follower {
    struct bk_list in_person;
    struct bk_view address, display_name;
    bool acknowledged;
    char text[];
};

struct ms_person {
    struct bk_person *person;
    struct bk_core *core;
    struct bk_list subs, watches, publications, followers;
    int n_publications;
    size_t publication_bytes;
    bool loaded_public; /* name, publications */
    bool loaded_own;    /* contacts, containers, followers */
    char *display_name;
    struct bk_ms_contacts contacts;
    uint32_t container_versions[BK_MS_CONTAINERS];
    uint32_t aggregate_version;
    enum bk_pidf_shown self_told; /* what the person's own endpoints were told last */
    uint64_t note_told;           /* the same of the note: ms_note_hash() */
    struct bk_timer tell;
    struct bk_list news; /* in core's list of those whose next round need not wait */
    int64_t told_at;     /* mono ms */
};

/* ---- ms_person.c ---- */
/* Made at first need; NULL: out of memory. It lives as long as the person. */
struct ms_person *ms_person(struct bk_core *core, struct bk_person *person);
/* 0 or -errno: the store cannot say. */
int ms_load_public(struct ms_person *ms);
int ms_load_own(struct ms_person *ms);
/* What a watcher of that relation sees; now_ms stands for times that must not tell anything. */
void ms_render(struct ms_person *ms, int relation, unsigned wanted, int64_t now_ms,
               struct bk_buf *to);
/* The state category as the person's own endpoints see it, or all categories where name is empty. */
void ms_render_own(struct ms_person *ms, struct bk_view name, struct bk_buf *to);
uint64_t ms_note_hash(const struct ms_person *ms);
void ms_render_containers(struct ms_person *ms, struct bk_buf *to);
void ms_render_followers(struct ms_person *ms, struct bk_buf *to);
struct ms_publication *ms_publication_find(const struct ms_person *ms, struct bk_view category,
                                           uint32_t instance, uint32_t container);
/* A copy of everything; replaces what has that key. NULL: out of memory. */
struct ms_publication *ms_publication_put(struct ms_person *ms,
                                          const struct bk_ms_publication *item, uint32_t version,
                                          int64_t at, struct bk_view endpoint,
                                          struct bk_view document);
void ms_publication_drop(struct ms_publication *p);
int ms_follower_put(struct ms_person *ms, struct bk_view address, struct bk_view display_name,
                    bool acknowledged);
struct ms_follower *ms_follower_find(const struct ms_person *ms, struct bk_view address);

/* ---- ms_events.c ---- */
void ms_sub_end(struct ms_sub *sub, bool tell);
/* To every subscription of that kind but those over `but`. */
void ms_notify_all(struct ms_person *ms, enum ms_event event, struct bk_view content_type,
                   struct bk_view body, uint64_t but);
/* The person's own endpoints are told these categories (names with a NUL behind each), but the one on `but`. */
void ms_notify_self(struct ms_person *ms, struct bk_view names, uint64_t but);
void ms_notify_containers(struct ms_person *ms);
void ms_tell(struct bk_timer *timer); /* ms_person.tell */
void ms_unwatch(struct ms_watch *watch);

/* ---- ms_publish.c ---- */
void ms_publish(struct request *rq, struct ms_person *ms);
/* Inputs of the one model, made anew from what is published. */
void ms_model(struct ms_person *ms);

/* ---- an answer that waits for the disk ---- */
struct ms_kept {
    struct shard *shard;
    struct bk_sip_tx *tx;
    struct bk_person *person; /* held */
    uint64_t link;            /* of the asker */
    /* Once the batch is decided, before the answer goes out. May be NULL. */
    void (*decided)(struct ms_kept *kept, bool good);
    struct bk_buf good, bad;     /* whole answers */
    struct bk_buf after, after2; /* decided()'s own: documents, names */
    unsigned set;                /* decided()'s own */
};
/* With the 503 already in it; NULL: it was answered. */
struct ms_kept *ms_keep(struct request *rq, struct bk_person *person);
void ms_keep_answer(struct ms_kept *kept, const struct request *rq, int status,
                    struct bk_view content_type, struct bk_view body);
/* Takes both over. batch NULL: nothing to write down, it is decided at once. */
void ms_keep_commit(struct ms_kept *kept, struct bk_store_batch *batch);

#endif
