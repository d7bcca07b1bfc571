/* SPDX-License-Identifier: Apache-2.0 */
/* state/state.h - what clients can rebuild: bindings, publications, subscriptions; in the memory of the shard that owns the user. */
#ifndef BK_STATE_STATE_H
#define BK_STATE_STATE_H

#include "base/list.h"
#include "base/map.h"
#include "base/timers.h"
#include "base/view.h"
#include "pidf/pidf.h"
#include "sip/sub.h"

/*
 * One bk_state per shard. People are found by address; they exist while anything hangs on them.
 * Everything here is plain data that server/ reads and writes; the functions keep the indexes right and the
 * memory owned: text lives behind each struct in one allocation.
 */
struct bk_state;

struct bk_relation_entry { /* privacy relation, from the store */
    struct bk_relation_entry *next;
    int level;
    char subject[];
};

struct bk_person {
    struct bk_map_node in_people;
    struct bk_state *state;
    struct bk_list bindings;     /* bk_binding.in_person, oldest first */
    struct bk_list publications; /* bk_publication.in_person */
    struct bk_list watchers;     /* bk_subscription.in_person: who watches this person */
    int n_bindings, n_watchers;
    unsigned holds; /* others that keep a pointer (relays, drains): keeps the struct alive */
    /* presence */
    bool loaded; /* note, manual and relations were read from the store */
    enum bk_pidf_manual manual;
    char *note;                          /* owned; NULL: none */
    struct bk_relation_entry *relations; /* owned */
    enum bk_pidf_shown shown;
    int64_t shown_since;  /* real ms */
    int64_t told_at;      /* mono ms of the last round of notifications */
    uint64_t version;     /* of what can be told of the person, see bk_person_changed */
    struct bk_timer tell; /* the next round, coalesced */
    struct bk_list news;  /* server/'s: in its list of those whose next round need not wait */
    bool store_checked;   /* waiting offline messages are known: has_stored */
    bool has_stored, draining;
    int64_t drain_retry_at;
    struct bk_timer drain_timer;
    void *server; /* server/'s own */
    void *dialect; /* server/'s: what the person has in the Lync dialect; ends with the person */
    void (*dialect_gone)(struct bk_person *person);
    size_t address_len;
    char address[];
};

struct bk_binding { /* one endpoint of a person, RFC 3261 10, RFC 5626 */
    struct bk_list in_person;
    struct bk_list in_link; /* the list of the link that it is reached by */
    struct bk_person *person;
    uint64_t link;
    struct bk_view
        endpoint; /* key within the person: +sip.instance, else epid, else the contact URI */
    struct bk_view contact;         /* contact URI as text */
    struct bk_view params;          /* contact parameters to echo, without expires and q */
    struct bk_view call_id, client; /* client: User-Agent, cut at 120 bytes */
    uint32_t cseq;
    bool reliable;
    bool promised;                  /* sends keep-alives: silence of 150 s counts as dead */
    bool own;                       /* signed in by personal certificate */
    bool dialect;                   /* speaks the Lync dialect: messages come to it as sessions */
    bool sessions;                  /* our own client: it takes sessions, and single messages too */
    bool present;                   /* it published presence itself at least once */
    uint64_t epoch;                 /* rises with each sign-in in this state */
    int64_t since_real, expires_at; /* real ms; mono ms */
    char serial[40];                /* of the certificate it signed in with; "" */
    struct bk_timer timer;          /* expiry, silence */
    char text[];
};

enum { BK_ETAG_SIZE = 17 };
struct bk_publication { /* RFC 3903, one per endpoint and source */
    struct bk_list in_person;
    struct bk_person *person;
    uint64_t link; /* 0: its link is gone, or UDP */
    char etag[BK_ETAG_SIZE];
    struct bk_view
        endpoint; /* endpoint key of the binding on the same link at that moment; empty: none known */
    enum bk_pidf_machine machine;
    enum bk_pidf_manual manual; /* of this endpoint only: plain clients */
    bool in_call, in_conference, presenting, in_meeting, closed;
    bool dialect; /* made of publications of the Lync dialect, which have their own versions */
    int64_t until_real;    /* meeting end, 0: none */
    int64_t machine_since; /* real ms */
    struct bk_view note;
    struct bk_timer timer;
    char text[];
};

struct bk_subscription { /* somebody watches a person */
    struct bk_list in_person;
    struct bk_list in_link;
    struct bk_map_node in_dialogs;
    struct bk_person *person; /* the watched */
    struct bk_view watcher;   /* address */
    uint64_t link;
    bool reliable;
    struct bk_sip_notifier notifier;
    struct bk_view event_id; /* Event id parameter; empty: none */
    void *notify;            /* server/'s own: the NOTIFY under way */
    uint64_t told_hash;      /* of the document last sent: nothing new, nothing sent */
    struct bk_timer timer;   /* expiry */
    char text[];
};

int bk_state_create(const struct bk_hash_key *key, struct bk_timers *timers, struct bk_state **ret);
/* Frees everything in it; timers are disarmed. */
struct bk_state *bk_state_destroy(struct bk_state *state);

/* NULL: unknown (create: out of memory). address is lower case. */
struct bk_person *bk_state_person(struct bk_state *state, struct bk_view address, bool create);
/* Frees the person when nothing hangs on it any more; harmless otherwise. */
void bk_state_settle(struct bk_person *person);
/* As bk_map_walk: the one just returned may be freed before the next call. */
struct bk_person *bk_state_walk(struct bk_state *state, struct bk_map_cursor *cursor);
size_t bk_state_people(const struct bk_state *state);
size_t bk_state_bindings(const struct bk_state *state);
size_t bk_state_subscriptions(const struct bk_state *state);

static inline struct bk_view bk_person_address(const struct bk_person *p)
{
    return (struct bk_view){ p->address, p->address_len };
}

/* -ENOMEM. All texts are copied; links are the caller's lists. */
int bk_state_bind(struct bk_person *person, struct bk_list *link_list, uint64_t link,
                  struct bk_view endpoint, struct bk_view contact, struct bk_view params,
                  struct bk_view call_id, struct bk_view client, struct bk_binding **ret);
void bk_state_unbind(struct bk_binding *binding); /* does not settle the person */
struct bk_binding *bk_person_binding(const struct bk_person *person,
                                     struct bk_view endpoint); /* by endpoint key */

int bk_state_publish(struct bk_person *person, struct bk_view endpoint, struct bk_view note,
                     struct bk_publication **ret);
void bk_state_unpublish(struct bk_publication *publication);
struct bk_publication *bk_person_publication(const struct bk_person *person, struct bk_view etag);

/* The notifier's dialog is set already and now owned by the subscription; found again by Call-ID and our tag. */
int bk_state_subscribe(struct bk_person *person, struct bk_list *link_list, uint64_t link,
                       struct bk_view watcher, struct bk_view event_id,
                       const struct bk_sip_notifier *notifier, struct bk_subscription **ret);
void bk_state_unsubscribe(struct bk_subscription *subscription);
struct bk_subscription *bk_state_subscription(const struct bk_state *state, struct bk_view call_id,
                                              struct bk_view local_tag);

/*
 * A new version, never given before in this state: so that a document that was made is known to hold still. Whoever
 * changes note, manual, shown or shown_since calls it; a publication that comes or goes does it by itself.
 */
void bk_person_changed(struct bk_person *person);

void bk_person_forget_relations(struct bk_person *person);
int bk_person_add_relation(struct bk_person *person, struct bk_view subject, int level);

#endif
