/* SPDX-License-Identifier: Apache-2.0 */
/* client/client.h - one signed-in person on one computer: commands in, events out. No terminal, no GTK. */
#ifndef BK_CLIENT_CLIENT_H
#define BK_CLIENT_CLIENT_H

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "client/guard.h"
#include "pidf/pidf.h"
#include "record/record.h"

/*
 * The engine: a thread and a loop of its own, started by create and ended by destroy. Every function
 * below may be called from any thread. A command returns 0 when it was taken (-ENOMEM, -EINVAL
 * else); what came of it is told by events. Texts handed in are copied, passwords wiped after use.
 */
struct bk_client;

/* Numbers a test wants smaller; 0 takes the default behind each. Milliseconds. */
struct bk_client_timing {
    int cached_try_ms; /* 2,000: the one try of the server remembered from last time */
    int connect_ms;    /* 4,000: TCP and TLS to one address */
    int http_ms;       /* 10,000: one HTTPS request */
    int answer_ms;     /* 10,000: REGISTER without an answer */
    int ping_ms; /* 120,000: silence before a keep-alive (RFC 5626 3.5.1), less where the server says so */
    int pong_ms;        /* 10,000: keep-alive without an answer: the connection is lost */
    int retry_first_ms; /* 1,000: doubled up to retry_max_ms, of which a random part is waited */
    int retry_max_ms;   /* 60,000 */
    int silence_ms; /* 10,000: when nobody at all has answered by then, there is no network (SI-312) */
    int waiting_text_ms; /* 10,000: from then on the state says what it waits for */
    int message_life_ms; /* 480,000: a message without an answer is sent again so long; servers keep keys 10 minutes */
    int expires_s; /* 600: registration and publication asked for */
    int prove_ms; /* 28,800,000: with TLS-DSK, the person is proved anew before that; less where the certificate ends earlier */
    int session_idle_ms; /* 600,000: a conversation in which nothing is said ends (BYE), and begins anew with the next word */
};

/*
 * What the engine asks about this computer's network, on its own thread: could bytes leave for `to` from the address
 * `from`? For tests; whoever gives one also calls bk_client_network_changed.
 */
struct bk_addr;
struct bk_client_network {
    bool (*has_way)(void *ctx, const struct bk_addr *from, const struct bk_addr *to);
    void *ctx;
};

struct bk_client_config {
    /* Folder for what is kept, made when it is missing. NULL: $XDG_DATA_HOME/beckon or ~/.local/share/beckon. */
    const char *profile_dir;
    const char *name;          /* "beckon-cli", for User-Agent and the server's history */
    const char *device_kind;   /* "terminal", "desktop"; NULL: "other" */
    const char *dns_servers;   /* "127.0.0.1:5353,::1"; NULL: the system's */
    const char *ca_file;       /* PEM roots beside the system's; NULL: none */
    bool only_ca_file;         /* those roots alone */
    const char *manual_server; /* see struct bk_client_connection */
    uint16_t discovery_port;   /* of the HTTPS steps of discovery; 0: 443 */
    uint16_t plain_port; /* of plain HTTP, which a network's own sign-in page redirects; 0: 80 */
    bool keep_nothing;   /* likewise */
    /* A server of the Lync dialect that offers NTLM and no TLS-DSK may have it: weaker, and the password is needed at each start. */
    bool allow_ntlm;
    const struct bk_clock
        *clock; /* NULL: the system's; only real_ms is asked (deadlines are the loop's) */
    const struct bk_random *random;          /* NULL: the system's */
    const struct bk_log *log;                /* NULL: none. No passwords, no texts of messages */
    const struct bk_client_network *network; /* NULL: the kernel (net/watch.h), watched too */
    const struct bk_client_guard *guard;     /* copied. NULL: the saved key is a plain file, 0600 */
    /*
     * Which way leads to a server? Asked for each connection, of HTTPS and of SIP over TLS alike, with "https://host:port/"; answered by
     * bk_client_proxy_found, from within or later, from any thread. Called on the engine's thread: it must not wait there.
     * NULL: every connection is direct.
     */
    void (*find_proxy)(void *ctx, struct bk_client *client, const char *url, uint64_t token);
    void *find_proxy_ctx;
    struct bk_client_timing timing;
};

/* -ENOMEM; -EINVAL with *ret_why (free it): a server name or CA file that cannot be used. */
int bk_client_create(const struct bk_client_config *config, struct bk_client **ret, char **ret_why);
/*
 * Ends the thread: the server learns of it from the closed connection. Events not fetched yet are gone. Takes up to 1.5 s where the
 * report of a failure is still on its way to the server.
 */
struct bk_client *bk_client_destroy(struct bk_client *client);

/* ---- commands ---- */

/* What may change between two sign-ins; struct bk_client_config has the first of them. */
struct bk_client_connection {
    /*
     * "host[:port]" or "[v6]:port", up to BK_CLIENT_MANUAL_MAX of them with blanks between, tried in that order: discovery is
     * skipped. NULL or "": automatic.
     */
    const char *manual_server;
    const char *ca_file; /* PEM roots beside the system's; NULL or "": none */
    bool keep_nothing;   /* policy: no key, no certificate on disk; signed in until exit */
};
enum { BK_CLIENT_MANUAL_MAX = 2 };
/*
 * Counts from the next sign-in on. Negative errno with *ret_why (free it): a server name or CA file that cannot be used; nothing changed.
 * Another CA file is read here, by the caller.
 */
int bk_client_set_connection(struct bk_client *client,
                             const struct bk_client_connection *connection, char **ret_why);

/*
 * address: "ann@example.org", "sip:" in front is allowed. password NULL: from what was saved, else
 * CREDENTIAL asks. user: the user name where it differs from the address; NULL: the remembered
 * one or none. The password is used for one HTTPS request and never stored; it stays in memory only at a server of the Lync
 * dialect alone, where the certificate ends within the day or NTLM is done. Also signs in anew after a failure.
 */
int bk_client_sign_in(struct bk_client *client, const char *address, const char *password,
                      const char *user);
/* Answers CREDENTIAL. */
int bk_client_credential(struct bk_client *client, const char *password, const char *user);
enum bk_client_trust_answer { BK_CLIENT_TRUST_NO, BK_CLIENT_TRUST_ONCE, BK_CLIENT_TRUST_ALWAYS };
/* Answers TRUST. */
int bk_client_trust(struct bk_client *client, enum bk_client_trust_answer answer);
/* Replaces a password (SI-206): the server is found, asked, and ends in state SIGNED_OUT with NOTICE or FAILURE. */
int bk_client_change_password(struct bk_client *client, const char *address, const char *user,
                              const char *old_password, const char *new_password);
/* Ends in SIGNED_OUT; also stops whatever sign-in is under way. */
int bk_client_sign_out(struct bk_client *client);
/* Signs out where needed, revokes the certificate where the server can be reached, removes; ends in DELETED. Idempotent. */
int bk_client_delete_sign_in_info(struct bk_client *client, const char *address);
/* While RECONNECTING: try now. */
int bk_client_retry_now(struct bk_client *client);
/*
 * This computer's network changed. The engine watches it by itself; this is for who knows more (waking from suspend).
 * A connection without a way is given up now, and who waits for the next try has it now.
 */
int bk_client_network_changed(struct bk_client *client);
/*
 * Answers find_proxy. list: URLs with blanks between, tried in that order: "http://[name:password@]proxy.example.org:3128/",
 * "direct://". Nothing else is tried: who wants a direct connection where the proxy fails says so. NULL: it could not be found out, and
 * why says what went wrong (SI-306d); so it ends too where no answer comes within 10 s. The server's name goes to a proxy unresolved.
 */
int bk_client_proxy_found(struct bk_client *client, uint64_t token, const char *list,
                          const char *why);
/* NONE resets to the automatic state. Kept and published once signed in. */
int bk_client_set_status(struct bk_client *client, enum bk_pidf_manual manual);
/* What this computer sees of its person: ACTIVE, INACTIVE or AWAY. */
int bk_client_set_machine(struct bk_client *client, enum bk_pidf_machine machine);
/* "" takes the note away. At most 4,096 bytes of UTF-8, else -EINVAL. */
int bk_client_set_note(struct bk_client *client, const char *note);
/* PRESENCE events for this person from now on, over reconnects; -EINVAL: no address. */
int bk_client_watch(struct bk_client *client, const char *address);
int bk_client_unwatch(struct bk_client *client, const char *address);
/*
 * At most 20,000 bytes of UTF-8 (-EMSGSIZE, -EINVAL). *ret_id names it in MESSAGE_STATE events. While the
 * connection is away it waits; it is sent again under the same key until an answer came or message_life_ms passed since
 * it went out first. Until its end is known it is on disk too: after a crash the next sign-in sends it, once.
 */
int bk_client_send_message(struct bk_client *client, const char *to, const char *text,
                           uint64_t *ret_id);

/*
 * The person types a message to somebody, or stopped: say so with each key if you like, the engine tells no more than is
 * needed, and tells of a pause by itself after 15 s. Only whom something was said to, or heard from, since sign-in is told.
 */
int bk_client_typing(struct bk_client *client, const char *to, bool typing);
/* The window is closed: the session with that person ends. What was not sent yet is sent all the same. */
int bk_client_close_conversation(struct bk_client *client, const char *address);

/*
 * Changes of the contact list and of who sees what, and questions about them, where the server speaks the Lync dialect.
 * They are done one after the other, in order; each ends in one EDITED event. Nothing waits for a connection: without one
 * an edit fails at once, and one that had no answer when the connection went fails too; the list that comes with the next
 * connection shows whether it was done.
 */
enum bk_client_edit_kind {
    BK_CLIENT_EDIT_TELL,        /* CONTACTS, RELATIONS and FOLLOWERS are told again, all of them */
    BK_CLIENT_EDIT_ADD_CONTACT, /* address; group (NULL: "~", the others), name (NULL: their own) */
    BK_CLIENT_EDIT_REMOVE_CONTACT, /* address; group: from that one alone */
    BK_CLIENT_EDIT_RENAME_CONTACT, /* address, name ("": as they call themselves) */
    BK_CLIENT_EDIT_MOVE_CONTACT,   /* address, group, to_group */
    BK_CLIENT_EDIT_ADD_GROUP,      /* group */
    BK_CLIENT_EDIT_RENAME_GROUP,   /* group, to_group: its new name */
    BK_CLIENT_EDIT_DELETE_GROUP,   /* group */
    BK_CLIENT_EDIT_RELATION,       /* address or "@domain"; level */
    BK_CLIENT_EDIT_BLOCK,          /* address or "@domain" */
    BK_CLIENT_EDIT_UNBLOCK,        /* likewise: back to the usual */
    BK_CLIENT_EDIT_ACKNOWLEDGE,    /* address of a follower */
    BK_CLIENT_EDIT_SEARCH,         /* text; FOUND comes before EDITED */
    BK_CLIENT_EDIT_KIND_COUNT,
};
struct bk_client_edit {
    enum bk_client_edit_kind kind;
    const char *address, *name, *group, *to_group, *text; /* 256 bytes of UTF-8 each, at most */
    int level; /* docs/behaviour.md, "Relations": 100 to 400, 32000; 0: the usual */
};
/* -EINVAL: a field is missing, too long or no address. */
int bk_client_edit(struct bk_client *client, const struct bk_client_edit *wish, uint64_t *ret_id);

/* ---- events ---- */

enum bk_client_state {                 /* docs/behaviour.md, "Sign-in states" */
                       BK_CLIENT_IDLE, /* nothing was asked for yet */
                       BK_CLIENT_RESOLVING,
                       BK_CLIENT_CONTACTING,
                       BK_CLIENT_ASKING_TRUST,
                       BK_CLIENT_ASKING_CREDENTIAL,
                       BK_CLIENT_AUTHENTICATING,
                       BK_CLIENT_REGISTERING,
                       BK_CLIENT_SETTINGS, /* not entered yet: the server has none to give */
                       BK_CLIENT_CONTACTS, /* likewise */
                       BK_CLIENT_PRESENCE,
                       BK_CLIENT_SIGNED_IN,
                       BK_CLIENT_RECONNECTING, /* waits for the next try */
                       BK_CLIENT_SIGNING_OUT,
                       BK_CLIENT_SIGNED_OUT,
                       BK_CLIENT_STATE_COUNT,
};
const char *bk_client_state_name(enum bk_client_state state); /* "signed-in" */

/* One thing that was tried on the way, and what came of it (SI-301 lists all of them). */
struct bk_client_step {
    const char *kind;   /* "cached", "https", "SRV", "A", "connect", "sign-in", "REGISTER" */
    const char *name;   /* "lyncdiscover.example.org", "srv.example.org:5061" */
    const char *result; /* "no such name", "connection refused", "200" */
    const char *detail; /* what the library said, "" for nothing */
};

enum bk_client_next {
    BK_CLIENT_NEXT_STOP,  /* the engine waits for the person */
    BK_CLIENT_NEXT_RETRY, /* it goes on by itself after retry_in_s */
    BK_CLIENT_NEXT_ASK,   /* a CREDENTIAL event follows */
};
/* What stands for {name} in a record's texts (bk_record_text), for who tells them in another language. */
struct bk_client_value {
    const char *name, *value;
};
struct bk_client_failure {
    const struct bk_record *record;
    const char *id;        /* "SI-309a" */
    const char *case_code; /* the server's; "" for none */
    const char *user_text, *user_does;
    bool other_words; /* user_text is not the record's, filled, but the server's own or another */
    const struct bk_client_value *values; /* of the placeholders known; the others are "?" */
    int n_values;
    const char *admin_text;
    const char *detail; /* for the administrator: what the other side or a library said */
    const struct bk_client_step *steps;
    int n_steps;
    enum bk_client_next next;
    int retry_in_s;
};

enum bk_client_message_state {
    BK_CLIENT_SENDING,
    BK_CLIENT_SENT,   /* 200: an endpoint of the other person took it */
    BK_CLIENT_STORED, /* 202: on the server's disk, delivered later */
    BK_CLIENT_FAILED,
};
const char *bk_client_message_state_name(enum bk_client_message_state state);

/* What "Delete my sign-in info" did, line by line, in the words of the manual. */
struct bk_client_deleted {
    const char *what; /* "key and certificate" */
    const char *
        result; /* "removed", "was not there", "revoked at the server", "the server could not be reached" */
    bool ok;
};

struct bk_client_contact {
    const char *address;
    const char *name; /* the person's own word for them; "": as they call themselves */
    const char *const *groups;
    int n_groups;
};
struct bk_client_relation {
    const char *subject; /* "bob@example.org", "@example.org", "=sameEnterprise" ... */
    int level;           /* 100, 200, 300, 400, 32000 */
};
struct bk_client_follower {
    const char *address, *name;
    bool acknowledged;
};
struct bk_client_found {
    const char *address, *name, *title, *office, *phone, *company, *email; /* "": not known */
};

enum bk_client_event_type {
    BK_CLIENT_EVENT_STATE,
    BK_CLIENT_EVENT_FAILURE,
    BK_CLIENT_EVENT_NOTICE, /* nothing to do, but worth a line: new server found, local data rebuilt */
    BK_CLIENT_EVENT_CREDENTIAL,
    BK_CLIENT_EVENT_TRUST,
    BK_CLIENT_EVENT_ENDED, /* the server ended the session, with its reason */
    BK_CLIENT_EVENT_PRESENCE,
    BK_CLIENT_EVENT_MESSAGE,
    BK_CLIENT_EVENT_MESSAGE_STATE,
    BK_CLIENT_EVENT_DELETED,
    BK_CLIENT_EVENT_CONTACTS,  /* the contact list, or what is another in it */
    BK_CLIENT_EVENT_RELATIONS, /* who sees how much, all of it */
    BK_CLIENT_EVENT_FOLLOWERS, /* who has the person on his list, all of them */
    BK_CLIENT_EVENT_FOUND,     /* people in the directory */
    BK_CLIENT_EVENT_EDITED,    /* what became of an edit */
    BK_CLIENT_EVENT_TYPING, /* somebody types, or stopped: a message of his comes after "stopped" */
    BK_CLIENT_EVENT_COUNT,
};
const char *bk_client_event_name(enum bk_client_event_type type); /* "message-state" */

/* All texts are UTF-8, never NULL unless said, and live until bk_client_event_done. */
struct bk_client_event {
    enum bk_client_event_type type;
    int64_t at_ms; /* real time */
    union {
        struct {
            enum bk_client_state state;
            const char *address; /* whose sign-in this is; "" while idle */
            const char *detail;  /* "srv.example.org:5061"; "" for nothing */
            int retry_in_s;      /* RECONNECTING */
            const char *proxy; /* "proxy.example.org:3128" the connection goes through; "": none */
        } state;
        struct bk_client_failure
            failure; /* FAILURE, ENDED, NOTICE (record may be NULL: user_text only) */
        struct {
            const char *address, *user; /* user: the one remembered or "" */
            bool need_user;             /* the server wants a user name (SI-203) */
            const char *why;            /* record id that led here, "" for the first time */
        } credential;
        struct {
            const char *address,
                *server; /* server belongs to another domain than address (SI-114) */
        } trust;
        struct {
            const char *address;
            bool own;     /* the person signed in here */
            bool watched; /* by bk_client_watch; else for being on the contact list */
            enum bk_pidf_shown shown;
            const char *name; /* how they call themselves; "" where it is not told */
            const char *note;
            int64_t since_ms; /* 0: not told */
        } presence;
        struct {
            const char *from, *from_name; /* address; display name or "" */
            const char *text;
            int64_t sent_ms; /* when it was written */
            bool delayed;    /* it waited at the server */
            const char *key; /* names it for good: the same when it comes again after a crash */
        } message;
        struct {
            uint64_t id;
            const char *to;
            enum bk_client_message_state state;
            bool kept;        /* written before this program began, and sent by it */
            const char *text; /* what it says, where kept; "" else */
            const struct bk_client_failure *failure; /* FAILED; NULL: else, or out of memory */
        } message_state;
        struct {
            const char *address;
            const struct bk_client_deleted *rows;
            int n_rows;
        } deleted;
        struct {
            bool whole; /* forget what was known before; else contacts are new or changed */
            bool asked; /* by BK_CLIENT_EDIT_TELL */
            const char *const *groups; /* where whole: all of them, in order; "~": the others */
            int n_groups;
            const struct bk_client_contact *contacts;
            int n_contacts;
            const char *const *gone; /* addresses, where not whole */
            int n_gone;
        } contacts;
        struct {
            bool asked;
            const struct bk_client_relation *rows;
            int n_rows;
        } relations;
        struct {
            bool asked;
            const struct bk_client_follower *rows;
            int n_rows;
        } followers;
        struct {
            uint64_t id;
            const struct bk_client_found *rows;
            int n_rows;
            bool more; /* there are others: ask for something narrower */
        } found;
        struct {
            uint64_t id;
            bool done;
            const char *text;      /* why not, for the person; "" where it was done */
            const char *case_code; /* the server's; "" for none */
        } edited;
        struct {
            const char *from; /* address */
            bool typing;
        } typing;
    };
};

/* Readable while an event waits: for poll(2) and main loops. Never read or close it. */
int bk_client_event_fd(const struct bk_client *client);
/* The oldest event, NULL: none waits. It is the caller's until bk_client_event_done. */
const struct bk_client_event *bk_client_event_next(struct bk_client *client);
/*
 * Gives it back. For a MESSAGE this says that it was shown: only now its key is noted on disk and the
 * server told 200. So a program that dies in between sees it again at its next start: never lost.
 */
void bk_client_event_done(struct bk_client *client, const struct bk_client_event *event);

/*
 * Is that a sign-in address ("sip:" in front is allowed)? For checking it while it is typed (SI-111). -EINVAL: *ret_at is the
 * byte, *ret_why what stands there: "a space", "no @".
 */
int bk_client_check_address(const char *address, size_t *ret_at, const char **ret_why);

/* The address that signed in last in this profile folder, appended to *ret. -ENOENT: none yet. */
int bk_client_last_address(const char *profile_dir, struct bk_buf *ret);

#endif
