/* SPDX-License-Identifier: Apache-2.0 */
/* diag/load/engine_private.h - what the phases share. */
#ifndef BK_DIAG_LOAD_ENGINE_PRIVATE_H
#define BK_DIAG_LOAD_ENGINE_PRIVATE_H

#include "base/cleanup.h"
#include "diag/load/digest.h"
#include "diag/load/engine.h"
#include "diag/load/ops.h"
#include "diag/load/sa.h"
#include "diag/load/samples.h"

#include <signal.h>

#define BK_LOAD_NOBODY UINT32_MAX

enum bk_load_user_state { BK_LOAD_OUT, BK_LOAD_COMING, BK_LOAD_IN };

struct bk_load_user {
    enum bk_load_user_state state;
    bool killed;                         /* by the phase kill, and not back yet */
    uint32_t op;                         /* COMING: the sign-in on its way */
    uint32_t cseq;                       /* of the last REGISTER */
    uint32_t nc;                         /* uses of the nonce */
    struct bk_load_challenge *challenge; /* the last one, for the next REGISTER; ours */
    char *old_contact;                   /* registered on a connection that is gone; ours */
    uint32_t watch;                      /* index of the subscription, or BK_LOAD_NOBODY */
    struct bk_load_sa *sa;               /* Lync dialect, from the sign-in on; ours */
    char *gruu;                          /* what the server named this endpoint; ours */
};

struct bk_load_engine;
struct bk_load_op;

/* What the answers to an operation's requests mean. */
struct bk_load_kind {
    const char *method; /* for sentences about failures */
    void (*answer)(struct bk_load_engine *engine, uint32_t slot, const struct bk_load_token *token,
                   const struct bk_load_msg *msg);
    /* Sends the request that waits for an answer again (UDP). */
    void (*again)(struct bk_load_engine *engine, uint32_t slot);
};

struct bk_load_call {
    bool rang, answered, invite_seen, ack_seen, bye_sent, bye_done;
    bool callee_ends;
    /* For the one who hangs up: where to, and the Route value ("" for none). malloc, ours. */
    char *target, *routes;
    /* What the callee learnt from the INVITE. malloc, ours. */
    char *callee_target, *callee_routes;
};

struct bk_load_op {
    const struct bk_load_kind *kind;
    uint32_t from, to;
    uint8_t tries;    /* second requests after a challenge */
    bool leaving;     /* REGISTER: a sign-out */
    uint32_t session; /* MESSAGE of the Lync dialect: which conversation */
    unsigned arrivals;
    uint64_t resend_ns; /* UDP: when, and after which pause */
    uint64_t resend_pause_ns;
    struct bk_load_call call;
};

/* One watcher of the phase notify. */
struct bk_load_watch {
    uint32_t who;
    bool subscribed, active; /* answered 2xx; a NOTIFY said so */
    bool ended;
    uint32_t cseq, notify_cseq;
    uint32_t seen; /* number of the last publication that reached it */
    uint32_t op;   /* SUBSCRIBE on its way */
    char *target, *to_tag, *routes;
};

/* A conversation of the Lync dialect. Index 0: who opened it; 1: who was invited. */
struct bk_load_session {
    uint32_t who[2];
    bool answered, acked, closed;
    uint32_t op; /* INVITE or BYE on its way */
    /* Where each sends what is for the other: malloc, ours. NULL: no dialog yet. */
    char *target[2], *routes[2];
    uint32_t cseq[2], seen[2]; /* sent by each, and seen of the other by each */
};

enum bk_load_start { BK_LOAD_STARTED, BK_LOAD_LATER, BK_LOAD_ALL_STARTED };

struct bk_load_phase {
    const char *name, *unit, *help;
    /* Sets run.limit (and run.rate); -ENODATA where there is nobody to do it with. */
    int (*prepare)(struct bk_load_engine *engine);
    enum bk_load_start (*start)(struct bk_load_engine *engine);
};

struct bk_load_run {
    const struct bk_load_phase *phase;
    struct bk_load_result *result;
    struct bk_load_samples answer, arrival;
    uint64_t target, started; /* operations to start, and started */
    uint32_t limit;           /* on their way at one time */
    uint64_t interval_ns;     /* paced: between two starts; 0: as fast as the limit allows */
    uint64_t due_ns;
    uint64_t progress, progress_ns; /* operations done when last looked, and since when */
    uint32_t next;                  /* place in `chosen`, or the like */
};

struct bk_load_engine {
    const struct bk_load_options *options;
    const struct bk_load_people *people;
    struct bk_load_io *io;
    struct bk_load_user *users; /* people->count */
    uint32_t *chosen;           /* the people a phase works on, people->count of room */
    uint32_t chosen_count, signed_in;

    struct bk_load_ops ops;
    struct bk_load_op *op; /* beside ops.slots */
    struct bk_load_run run;

    struct bk_load_watch *watches;
    uint32_t watch_count, publisher;
    uint32_t publication, publication_op, told; /* told: watchers that have the current one */
    char *etag;

    struct bk_load_session *sessions;
    uint32_t session_count;
    uint32_t note_version; /* of what was published in the Lync dialect */

    uint64_t now_ns; /* of the clock, read once per round */
    uint64_t deadline_ns, timeout_ns;
    uint64_t random;
    char run_id[9];
    const char *via; /* "SIP/2.0/TLS" */
    const char *uri_transport;
    bool unreliable;
    volatile sig_atomic_t stop;
    bool lync;
    struct bk_buf out;        /* the message being written */
    struct bk_buf signed_out; /* the same with its signature */
    char *filler;             /* the part of a message's text behind its first line */
    size_t filler_len;
};

uint64_t bk_load_now_ns(void);
uint64_t bk_load_random(struct bk_load_engine *engine);

/* Counts one failure of the running phase, under its sentence. */
void bk_load_failed(struct bk_load_engine *engine, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Counts an operation that went right, with the time to its answer. */
void bk_load_done(struct bk_load_engine *engine, uint32_t slot);

/* BK_LOAD_OP_NONE where the room is used up. */
uint32_t bk_load_op_begin(struct bk_load_engine *engine, const struct bk_load_kind *kind,
                          uint32_t from, uint32_t to);
/*
 * From one of the chosen, at least two, to another, by chance. Where one of them lost the connection it counts as started
 * and failed; *ret_slot is BK_LOAD_OP_NONE then and for BK_LOAD_LATER.
 */
enum bk_load_start bk_load_op_begin_pair(struct bk_load_engine *engine,
                                         const struct bk_load_kind *kind, uint32_t *ret_slot);
void bk_load_op_end(struct bk_load_engine *engine, uint32_t slot);
void bk_load_op_failed_status(struct bk_load_engine *engine, uint32_t slot,
                              const struct bk_load_msg *msg);

/* The people in `chosen` become those signed in. */
void bk_load_choose_signed_in(struct bk_load_engine *engine);
void bk_load_user_lost(struct bk_load_engine *engine, uint32_t who);

/* Begin a request in engine->out: first line, Via, Max-Forwards. */
void bk_load_write_start(struct bk_load_engine *engine, uint32_t who, uint32_t slot, char leg,
                         const char *method, struct bk_view uri);
/* "From: <sip:...>;tag=" and the rest of the line; To likewise, the tag may be empty. */
void bk_load_write_party(struct bk_load_engine *engine, const char *field, uint32_t who,
                         const char *tag);
/* "Call-ID: <token of slot>.<run>" */
void bk_load_write_call_id(struct bk_load_engine *engine, uint32_t slot);
/* Content-Type (where there is a body), Content-Length, the body. */
void bk_load_write_body(struct bk_load_engine *engine, const char *type, struct bk_view body);
/* The Contact that is registered in the Lync dialect. */
void bk_load_lync_contact(struct bk_load_engine *engine, uint32_t who, char *ret, size_t room);
/* Whether this URI leads to the user's own endpoint: the Contact as registered, or the GRUU. */
bool bk_load_is_contact_of(struct bk_load_engine *engine, uint32_t who, struct bk_view uri);
/* "Contact: <...>" of this user on this connection, as registered; the GRUU where there is one. */
void bk_load_write_contact(struct bk_load_engine *engine, uint32_t who);
void bk_load_contact(struct bk_load_engine *engine, uint32_t who, struct bk_buf *to);
/* Authorization, answering the last challenge of that user once more. */
void bk_load_write_credentials(struct bk_load_engine *engine, uint32_t who, const char *method,
                               const char *uri);
/* Sends engine->out. */
void bk_load_send(struct bk_load_engine *engine, uint32_t who);
/* Answers a request; tag for To where it has none; with_contact and a body for INVITE. */
void bk_load_respond(struct bk_load_engine *engine, uint32_t who, const struct bk_load_msg *request,
                     const char *status, const char *tag, bool with_contact, const char *type,
                     struct bk_view body);
/* The live operation a request's Call-ID names, or BK_LOAD_OP_NONE. *ret_ours: it is of this run. */
uint32_t bk_load_op_of_call_id(struct bk_load_engine *engine, struct bk_view call_id,
                               bool *ret_ours);
/* Record-Route fields as one Route value, in their order or reversed. malloc; "" for none. */
char *bk_load_route_value(const struct bk_load_fields *fields, bool reverse);
/* Values in fields that may hold several with commas between. */
size_t bk_load_count_values(const struct bk_load_fields *fields);

/* Phases. */
extern const struct bk_load_phase bk_load_phase_sign_in, bk_load_phase_return,
    bk_load_phase_reregister, bk_load_phase_sign_out, bk_load_phase_kill, bk_load_phase_message,
    bk_load_phase_paced, bk_load_phase_subscribe, bk_load_phase_notify, bk_load_phase_unsubscribe,
    bk_load_phase_call, bk_load_phase_batch, bk_load_phase_benotify, bk_load_phase_unbatch,
    bk_load_phase_session, bk_load_phase_session_end;

/* Requests from the server. */
void bk_load_message_request(struct bk_load_engine *engine, uint32_t who,
                             const struct bk_load_msg *msg);
void bk_load_notify_request(struct bk_load_engine *engine, uint32_t who,
                            const struct bk_load_msg *msg);
void bk_load_call_request(struct bk_load_engine *engine, uint32_t who,
                          const struct bk_load_msg *msg);
void bk_load_benotify_request(struct bk_load_engine *engine, uint32_t who,
                              const struct bk_load_msg *msg);
/* INVITE, ACK, BYE and INFO; false: none of our conversations. */
bool bk_load_session_request(struct bk_load_engine *engine, uint32_t who,
                             const struct bk_load_msg *msg);
/* The open conversation a Call-ID names, with the side `who` has in it; NULL: none. */
struct bk_load_session *bk_load_session_of(struct bk_load_engine *engine, uint32_t who,
                                           struct bk_view call_id, unsigned *ret_side);
/* Begins a request inside a conversation: all up to its CSeq. side: whose request it is. */
void bk_load_session_write(struct bk_load_engine *engine, uint32_t slot, uint32_t session,
                           unsigned side, char leg, const char *method, uint32_t cseq);
void bk_load_sessions_drop(struct bk_load_engine *engine);
/* Presence, for both dialects: the number a document speaks of, 0 where it names none. */
uint32_t bk_load_publication_of(struct bk_load_engine *engine, struct bk_view body);
struct bk_load_watch *bk_load_watch_of(struct bk_load_engine *engine, uint32_t who);
/* A connection came up or went down. */
void bk_load_register_opened(struct bk_load_engine *engine, uint32_t who);
void bk_load_watches_drop(struct bk_load_engine *engine);
void bk_load_call_finish(struct bk_load_call *call);

#endif
