/* SPDX-License-Identifier: Apache-2.0 */
/* server/core_private.h - what the files of the core share: shards, links, who asks, relays. */
#ifndef BK_SERVER_CORE_PRIVATE_H
#define BK_SERVER_CORE_PRIVATE_H

#include "base/arena.h"
#include "base/text.h"
#include "bus/bus.h"
#include "server/core.h"
#include "sip/build.h"
#include "sip/fields.h"
#include "sip/tx.h"
#include "state/state.h"

struct shard {
    struct bk_core *core;
    unsigned index;
    struct bk_state *state;
    struct bk_sip_txs *txs;
    struct bk_list relays;
    struct bk_list drains;       /* deliveries of stored messages under way */
    struct bk_map message_keys;  /* "exactly once": what was answered in the last ten minutes */
    struct bk_list message_ages; /* the same, oldest first */
    struct bk_map sessions;      /* conversations that the server opened (ms_session.h) */
    struct bk_list session_ages;
};

enum { LINK_NONCES = 4, LINK_PROOFS = 4 };

/* One connection, or one remote address over UDP. It belongs to one shard at a time. */
struct link {
    uint64_t id; /* 0: the place is free */
    struct shard *shard;
    void *handle;
    struct bk_list bindings;                  /* who is signed in here */
    struct bk_list subscriptions;             /* NOTIFYs go here */
    struct bk_list dialect;                   /* BENOTIFYs: subscriptions of the Lync dialect */
    struct bk_timer timer;                    /* life without sign-in; idle; end of a pause */
    int64_t opened_at, refilled_at, heard_at; /* mono ms */
    int64_t tokens_milli;
    enum bk_link_transport transport;
    uint16_t port, local_port;
    bool own_network, paused, closing, moved;
    bool known, was_known; /* somebody is signed in here; was */
    uint8_t faults;
    size_t pending_bytes; /* that relays keep for who asks here */
    int n_subscriptions;  /* opened over this link and still alive */
    uint64_t net_key;
    struct {
        uint64_t id,
            request; /* request: hash of the branch that used it, so that a repeated datagram is no replay */
        uint32_t nc;
        bool wrong;        /* was answered with a wrong password */
        int64_t placed_ms; /* mono ms: not made later than this */
    } nonces[LINK_NONCES];
    uint8_t next_nonce, next_proof;
    uint64_t proofs
        [LINK_PROOFS]; /* hashes of the addresses whose credentials came over this link last */
    int64_t
        nonce_floor_ms; /* one that is not in the table and was made earlier may have been used; 0: none was */
    struct ms_link *ms;           /* the Lync dialect's own; NULL: nobody here ever spoke it */
    struct bk_personal *personal; /* of its client certificate; NULL: none */
    struct bk_buf *certificate;   /* DER, until it was judged */
    char ip[46], local_ip[46];
};

struct bk_core {
    struct bk_core_config config;
    struct bk_directory *directory;
    struct bk_bus *bus;
    struct shard *shards;
    struct link **links; /* by index; a link's id is index + 1 and a generation */
    uint32_t *generations;
    uint32_t n_links, links_max, free_hint;
    uint32_t open_links;
    struct bk_digest_nonce_key nonce_key;
    struct bk_arena arena;  /* of the message at hand */
    struct bk_sip_msg *msg; /* scratch: one message at a time; nested receives use their own */
    int msg_depth;
    struct bk_buf out, out2; /* scratch for what is built: `out` is what goes to a link next */
    struct bk_buf target, sender, token; /* scratch for addresses of the request at hand */
    struct telling *telling;             /* watch.c's own */
    struct bk_list news,
        ms_news; /* who published: bk_core_pump tells their watchers, ms_news those of the Lync dialect */
    uint64_t metrics[BK_METRIC_COUNT];
    uint64_t epoch;
    struct bk_map ended; /* whose subscriptions are to end: registrar.c */
    struct bk_timer ended_timer;
    size_t pending_bytes;      /* of every link */
    struct bk_sip_msg *ms_msg; /* what goes out and is to be signed; NULL: nobody ever needed it */
    struct bk_buf ms_out, ms_sender;
    unsigned ms_handshakes; /* under way, of every link */
    bool draining;
    bool shedding; /* memory is short: nobody new */
};

/* Who sent a request, as its link knows; goes over the bus by value. */
struct asker {
    uint64_t link;
    enum bk_link_transport transport;
    bool own_network;
    bool own_client; /* showed a personal certificate */
    bool dialect;    /* speaks the Lync dialect: refusals have to take its shape */
    uint16_t port, local_port;
    uint64_t net_key;
    char ip[46], local_ip[46];
};

/* A request on its way through the core; views live during the call. */
struct request {
    struct bk_core *core;
    struct shard *shard; /* the one that decides: the owner of the target */
    const struct bk_sip_msg *msg;
    const struct bk_sip_head *head;
    struct asker asker;
    struct bk_view identity; /* address of the authenticated sender, empty: none */
    struct bk_view endpoint; /* endpoint key of the sender's binding on this link, empty: none */
    struct bk_view target;   /* address the request is for, lower case; empty: the server itself */
    struct bk_view route;    /* payload of our own Route token, empty: none */
    const struct bk_sip_msg *
        origin; /* what came, where msg was made of it and answers must fit that; NULL: msg itself */
};

/* Kinds of frames on the bus. */
enum {
    FRAME_REQUEST = 1,
    FRAME_RESPONSE,
    FRAME_SEND,
    FRAME_CLOSE,
    FRAME_LINK_GONE,
};

/* ---- core.c ---- */
struct shard *core_shard_of(struct bk_core *core, struct bk_view address);
int64_t core_now(const struct bk_core *core);  /* mono ms */
int64_t core_real(const struct bk_core *core); /* real ms */
/* Puts a message that belongs to nobody's transaction into scratch buffers: *ret lives until the matching core_msg_pop. NULL: too deep. */
struct bk_sip_msg *core_msg_push(struct bk_core *core);
void core_msg_pop(struct bk_core *core);
/*
 * At the shard its branch names, an answer that arrived, when bk_sip_msg_check_found is done: is the rest good too? Not
 * looked at where only the status is asked for, as with that to a NOTIFY. And then what is done with it.
 */
int shard_answer_check(const struct shard *shard, const struct bk_sip_msg *msg,
                       struct bk_sip_head *head, struct bk_sip_fault *ret_fault);
void shard_response(struct shard *shard, uint64_t link, bool reliable, const struct bk_sip_msg *msg,
                    const struct bk_sip_head *head);

/* ---- core_link.c ---- */
struct link *core_link(struct bk_core *core, uint64_t id); /* NULL: gone */
/* Sends over a link, whichever shard it belongs to. false: gone, or a droppable one was refused. */
bool core_send(struct bk_core *core, uint64_t link, struct bk_view bytes, bool droppable);
bool link_send(struct bk_core *core, struct link *link, struct bk_view bytes, bool droppable);
void core_close_link(struct bk_core *core, uint64_t link);
/* Takes one request out of the link's bucket. false: UDP, and it is empty. */
bool link_may_ask(struct bk_core *core, struct link *link, int64_t now);
/* Somebody signed in here, or the last one who had is gone: what a stranger may do differs. */
void link_signed_in(struct bk_core *core, struct link *link);
void link_unbound(struct bk_core *core, struct link *link);
/* Right credentials of that address came over this link; whether they did. */
void link_prove(struct bk_core *core, struct link *link, struct bk_view address);
bool link_has_proved(struct bk_core *core, const struct link *link, struct bk_view address);
/* One shard's part in the end of a link. */
void shard_link_gone(struct shard *shard, uint64_t link);
struct bk_sip_flow link_flow(const struct link *link);
struct bk_sip_flow asker_flow(const struct asker *asker);
const char *transport_name(enum bk_link_transport transport);  /* "TLS" */
const char *transport_param(enum bk_link_transport transport); /* "tls" */

/* ---- core_request.c ---- */
/* A REGISTER that was kept aside while something was found out: `go_on` gets it as its handler had it. */
void core_register_again(struct bk_core *core, struct link *link, struct bk_view bytes,
                         void (*go_on)(struct request *rq, struct link *link, void *ctx),
                         void *ctx);
/* A request that came over the bus. */
void deliver_request(struct bk_core *core, struct shard *shard, const struct bk_bus_frame *frame);

/* ---- core_answer.c ---- */
/* Our To tag for a request: the same whichever part of the server answers it. */
void core_to_tag(const struct bk_core *core, const struct bk_sip_head *head, char ret[17]);
/* "SIP/2.0/TLS host:port;rport" for Via, "<sip:user@ip:port;transport=tls>" parts, of our end of a link. */
void core_via_head(struct bk_core *core, const struct link *link, struct bk_buf *to);
void core_own_uri(const struct asker *asker, struct bk_view user, struct bk_buf *to);
/* Stateless. extra: whole header lines with CRLF, or empty. */
void answer(const struct request *rq, int status, struct bk_view reason, struct bk_view extra);
/* May an answer with these lines go out whole (decision 6)? */
bool answer_fits(const struct request *rq, int status, struct bk_view extra);
void answer_body(const struct request *rq, int status, struct bk_view reason, struct bk_view extra,
                 struct bk_view content_type, struct bk_view body);
/* Refuses with a record; an attempt to sign in is kept by the caller. status 0: the record's own. */
void refuse(const struct request *rq, unsigned number, char sub, int status,
            const char *const *values);
/* The same with what the history is to keep of it (JSON). */
void refuse_why(const struct request *rq, unsigned number, int status, int retry_after_s,
                const char *const *values, struct bk_view detail);
void refuse_with(const struct request *rq, const struct bk_refusal *refusal, struct bk_view extra);
/* The lines every refusal carries: ms-diagnostics, Warning, Retry-After. */
void refusal_lines(struct bk_core *core, const struct bk_refusal *refusal, struct bk_buf *to);
/* ms-diagnostics-public: of the clients of the Lync dialect some places read this line, some the other. */
void refusal_public_line(struct bk_core *core, const struct bk_refusal *refusal, struct bk_buf *to);

/* ---- identity.c ---- */
/*
 * Is the sender of this request who From says? By the link's accepted identity or by credentials. true: rq->identity and
 * endpoint are set. false: it was answered (challenge or refusal), nothing more to do.
 */
bool identify(struct request *rq, struct link *link);
/* REGISTER's own: certificate, link, or Digest; keeps history. On true *ret_user is filled (arena of the core). */
enum register_road { ROAD_LINK, ROAD_CERTIFICATE, ROAD_DIGEST, ROAD_SIGNED };
bool identify_register(struct request *rq, struct link *link, struct bk_view address,
                       struct bk_user *ret_user, enum register_road *ret_road, char ret_serial[40]);
void attempt_of(const struct request *rq, struct bk_view address, int64_t user_id,
                struct bk_view road, struct bk_view endpoint, struct bk_attempt *ret);
enum { ENDPOINT_MAX = 200 }; /* bytes of an endpoint key */
/* The key of an endpoint as it is kept: a longer one by its hash, in the arena of the core. */
struct bk_view endpoint_key(struct bk_core *core, struct bk_view endpoint);
struct bk_view endpoint_of_request(const struct request *rq);

/* Clear text carries no sign-in here, unless policy says so. */
bool clear_is_refused(const struct request *rq);
/* Whether a stranger may hear that an address does not exist. */
bool may_tell_unknown(const struct request *rq);

/* ---- ms_auth.c: the Lync dialect signs in ---- */
/* Whether this REGISTER is of a client that speaks the dialect, and may sign in by it here. */
bool ms_wants_register(const struct request *rq, const struct link *link);
/* As identify_register. */
bool ms_identify_register(struct request *rq, struct link *link, struct bk_view address,
                          struct bk_user *ret_user, enum register_road *ret_road,
                          char ret_serial[40]);
/* How that address signed in over this link, as the history names it; empty: not by the dialect. */
struct bk_view ms_road_of(const struct link *link, struct bk_view address);
/* The lines of the 200 to REGISTER that differ from everybody else's: the endpoint's Contact (binding NULL: gone), and what it expects. */
void ms_registered_lines(const struct bk_binding *binding, int64_t expires_s, struct bk_buf *to);
/* The part of them that says which events there are: also for who signed in otherwise and asks. */
void ms_offered_lines(struct bk_buf *to);
/* Whether the Request-URI is the GRUU of one endpoint, and whether that is this one. */
bool ms_gruu_of(const struct bk_sip_msg *msg, uint8_t ret_uuid[16]);
bool ms_is_endpoint(const struct bk_binding *binding, const uint8_t uuid[16]);
/* Policy changed: whoever signed in by what is not allowed any more is signed out. */
void ms_policy_changed(struct bk_core *core);

/* ---- ms_sign.c: and every message after it is signed ---- */
struct ms_peer;
/* The association of that address on this link; NULL: none. */
struct ms_peer *ms_peer_of(const struct link *link, struct bk_view address);
enum ms_identity { MS_NOT_OURS, MS_KNOWN, MS_ANSWERED };
/* Whoever has an association must have signed. KNOWN: identity and endpoint of rq are set. */
enum ms_identity ms_identify(struct request *rq, struct link *link, struct bk_view sender);
/* The same for ACK and CANCEL, which nobody is asked about, and for answers. false: drop it. */
bool ms_follows_is_right(struct bk_core *core, struct link *link, const struct bk_sip_msg *msg,
                         const struct bk_sip_head *head);
bool ms_answer_is_right(struct bk_core *core, struct link *link, const struct bk_sip_msg *msg);
/* What goes out, signed where somebody there wants it; else as it is. Valid until the next call. false: it waits, nothing goes now. */
bool ms_sign(struct bk_core *core, struct link *link, struct bk_view bytes, struct bk_view *ret);
/* Something went out: what waited for it follows. */
void ms_sent(struct link *link);
/* The association of an endpoint whose session ended by somebody else's decision. */
void ms_forget(struct bk_core *core, uint64_t link, struct bk_view address,
               struct bk_view endpoint);
void ms_link_destroy(struct bk_core *core, struct link *link);

/* ---- registrar.c ---- */
void handle_register(struct request *rq, struct link *link);
void binding_end(struct bk_binding *binding, enum bk_signin_end why);
/* The way by which that endpoint signed in is not allowed any more: its session ends and it hears why. */
void registrar_forbid(struct bk_core *core, struct bk_view address, struct bk_view endpoint);
void registrar_ended_timer(struct bk_timer *timer);
void registrar_forget_ended(struct bk_core *core);
void registrar_link_gone(struct bk_core *core, struct link *link, enum bk_link_end why);
void tell_ended(struct bk_core *core, struct bk_binding *binding, const struct bk_record *record,
                const char *event, struct bk_view who);

/* ---- relay.c ---- */
enum relay_kind {
    RELAY_MESSAGE, /* page mode: every endpoint, stored when nobody takes it */
    RELAY_INVITE,
    RELAY_OTHER, /* in a dialog, or any other method */
};
enum { RELAY_FORKS_MAX = 10 };
struct relay;
struct relay_fork {
    struct relay *relay;
    struct bk_sip_tx *tx; /* NULL: ended */
    uint64_t link;
    int status; /* last answer */
    bool done;
};
struct relay {
    struct bk_list in_shard;
    struct shard *shard;
    enum relay_kind kind;
    struct bk_sip_tx *server; /* NULL: answered and forgotten */
    uint64_t asker_link;
    struct bk_person *person; /* held; NULL for in-dialog relays */
    int n_forks, n_open;
    int best_status;
    struct bk_buf best; /* the best refusal so far, ready to send */
    bool answered;      /* a final answer went to the sender */
    bool cancelled;
    bool
        ours_differ; /* caller and callee reach us at different addresses: Record-Route is rewritten */
    size_t bytes;    /* of this allocation, counted for its sender */
    int calls;       /* depth of callbacks, frees are put off */
    struct bk_timer timer; /* MESSAGE: patience; INVITE: the callee's silence after CANCEL */
    struct message_key *key;
    bool stored, storing;
    bool
        session; /* an INVITE, or a MESSAGE inside its dialog, which the server takes where nobody else does */
    bool rename;     /* the fork made next has a Call-ID of its own (message_call_id) */
    bool renamed;    /* one has: its answer does not fit what came */
    int in_sessions; /* forks that go through a session the server opened: they end by themselves */
    struct asker asker;
    struct bk_view copy;   /* the request, for an answer or the store later; behind the forks */
    struct bk_view origin; /* as in struct request; empty: copy */
    struct bk_view sender; /* address; behind the copy */
    struct relay_fork forks[];
};
/* A relay for this request with its server transaction and room for n_forks; NULL: it was answered (503). */
struct relay *relay_create(struct request *rq, enum relay_kind kind, struct bk_person *person,
                           int n_forks);
/* Forwards over that link. uri: the new request URI. 0, or -errno. record_route: whole line or empty. */
int relay_add(struct relay *relay, const struct request *rq, uint64_t link, bool reliable,
              struct bk_view uri, struct bk_view record_route, bool pop_route);
/* Takes out what was meant for us alone: credentials; and identities that nobody vouches for. */
void relay_hide(const struct bk_sip_msg *msg, struct bk_sip_edit *edit);
/* Passes an answer on: without our Via, else as it came. */
void relay_pass(struct relay *relay, const struct bk_sip_msg *response);
void relay_answer(struct relay *relay, int status, struct bk_view extra);
void relay_answer_body(struct relay *relay, int status, struct bk_view extra,
                       struct bk_view content_type, struct bk_view body);
/* Answers from here, once. */
void relay_refuse(struct relay *relay, unsigned record, char sub);
void relay_release(struct relay *relay); /* frees it when nothing is open any more */
void relays_destroy(struct shard *shard);

/* ---- message.c ---- */
struct message_key;
void handle_message(struct request *rq);
/*
 * A program that takes messages inside of sessions only: a stock client of the Lync dialect. Our own takes single ones too,
 * which come under the sender's key and with their date.
 */
static inline bool wants_sessions(const struct bk_binding *b)
{
    return b->dialect && !b->sessions;
}
/*
 * What was said in one session goes to a plain program as single messages, and some of these (linphonec 5.1) take a second
 * one of the same Call-ID for a repeat of the first. So each has its own, which a repeat has again: with its CSeq behind.
 */
static inline bool wants_own_call_id(const struct bk_binding *b, uint32_t cseq)
{
    return !b->sessions && cseq > 1;
}
/* A MESSAGE inside a dialog that passes through is remembered too. true: it was answered before, and is now. */
bool message_was_answered(struct request *rq);
void message_remember(struct relay *relay, const struct request *rq);
void message_passed(struct relay *relay, int status); /* an endpoint took it */
/* Called by relay.c. */
void message_response(struct relay *relay, struct relay_fork *fork, const struct bk_sip_msg *msg);
void message_fork_failed(struct relay *relay);
void message_relay_gone(struct relay *relay);
/* Passing trouble of an endpoint, as opposed to its word on this message. 0: it said nothing. */
bool message_is_passing(int status);
void drains_destroy(struct shard *shard);
void message_drain(
    struct bk_person *person); /* deliver what is stored, if anything is and somebody is there */
void message_keys_destroy(struct shard *shard);

/* ---- call.c ---- */
void handle_invite(struct request *rq);
void handle_session_invite(struct request *rq); /* of a conversation, to endpoints that take such */
void handle_in_dialog(
    struct request *rq); /* has our route token, or is addressed to an endpoint's contact */
void handle_other(struct request *rq); /* any other method to a person */
void handle_ack(struct request *rq);
/* Token text for Record-Route and its check. */
void route_token_make(struct bk_core *core, struct bk_view a, struct bk_view a_endpoint,
                      struct bk_view b, struct bk_view b_endpoint, struct bk_view call_id,
                      struct bk_buf *to);
bool route_token_read(struct bk_core *core, struct bk_view token, struct bk_view call_id,
                      struct bk_arena *arena, struct bk_view ret[4]);

/* ---- watch.c, publish.c, compose.c ---- */
void handle_subscribe(struct request *rq);
void handle_publish(struct request *rq);
void subscription_end(struct bk_subscription *s, const char *reason, bool tell);
void presence_load(struct bk_core *core, struct bk_person *person);
/* The watchers hear of it with the next step of the timers, 300 ms after the last round at the earliest. */
void presence_changed(struct bk_core *core, struct bk_person *person);
/* As that, where the person said so: watchers are told at the end of this burst. */
void presence_published(struct bk_core *core, struct bk_person *person);
/* What somebody published goes out now, where his last round is long enough ago. false: nothing was due. */
bool presence_tell_news(struct bk_core *core);
int watch_create(struct bk_core *core);
void watch_destroy(struct bk_core *core);
void presence_forget_link(struct bk_core *core, struct bk_person *person, uint64_t link,
                          struct bk_view endpoint);
/* May this watcher see; what relation has he. Decided before anything is told. */
int presence_relation(struct bk_core *core, struct bk_person *person, struct bk_view watcher);
enum { RELATION_BLOCKED = 32000 };
/* Of the person, else of an endpoint; empty: none. */
struct bk_view presence_note(struct bk_person *person);

/* ---- ms_events.c, ms_publish.c, ms_service.c: the Lync dialect ---- */
/* false: not of that dialect, nothing done. */
bool ms_subscribe(struct request *rq);
void handle_service(struct request *rq);
/*
 * At every sign-in a stock client asks whether there is persistent chat: no, and that is no case for the history. true:
 * it was that, and is answered.
 */
bool ms_probe(struct request *rq);
/* What is shown of the person, or whom the person lets see it, may be other than before. */
void ms_presence_changed(struct bk_core *core, struct bk_person *person, bool at_once);
/* Tells the news of this burst; false: there were none. */
bool ms_tell_news(struct bk_core *core);
/* The account or a relation was changed by somebody else. */
void ms_person_changed(struct bk_core *core, struct bk_person *person);
/* Before the binding goes; last: it is the person's only one. */
void ms_endpoint_gone(struct bk_core *core, struct bk_person *person, struct bk_view endpoint,
                      bool last);
void ms_link_gone(struct link *link);

struct shard *person_shard(struct bk_person *person);

#endif
