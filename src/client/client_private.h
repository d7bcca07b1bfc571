/* SPDX-License-Identifier: Apache-2.0 */
/* client/client_private.h - the engine's own struct, and what its files call of each other. */
#ifndef BK_CLIENT_CLIENT_PRIVATE_H
#define BK_CLIENT_CLIENT_PRIVATE_H

#include "client/client.h"
#include "client/conversation.h"
#include "client/discovery.h"
#include "client/fault.h"
#include "client/link.h"
#include "client/outbox.h"
#include "client/personal.h"
#include "client/profile.h"
#include "client/signing.h"
#include "ms/endpoint.h"
#include "net/http.h"
#include "net/watch.h"
#include "sip/sub.h"
#include "sip/uri.h"

#include <pthread.h>
#include <stdatomic.h>

enum { SERVICES_REDIRECTS_MAX = 5, WATCHES_MAX = 2000, MESSAGE_BYTES_MAX = 20000 };

/* What may be asked of us, also inside a session; Allow says so. */
#define SESSION_METHODS "INVITE, ACK, BYE, CANCEL, MESSAGE, INFO, NOTIFY, OPTIONS, UPDATE"

/* What the present attempt is for. */
enum purpose {
    PURPOSE_SIGN_IN,
    PURPOSE_PASSWORD, /* change it, then stop */
};

/* signin.c: the state machine's inputs. */
enum input {
    IN_SIGN_IN,
    IN_SIGN_OUT,
    IN_TRUST_NEEDED,
    IN_TRUSTED,
    IN_CREDENTIAL_NEEDED,
    IN_CREDENTIAL,
    IN_CONTACT,    /* dial one of the offered servers */
    IN_PROVE,      /* password at hand, services known */
    IN_NEXT_OFFER, /* this one leads nowhere */
    IN_PROBED,     /* the server's 401 named its services */
    IN_UP,
    IN_CERTIFICATE,
    IN_REDIRECTED,
    IN_REGISTERED,
    IN_PRESENT,
    IN_STOP,  /* refused, and only the person can do something about it */
    IN_RETRY, /* refused or lost, and time may mend it */
    IN_RETRY_DUE,
    IN_GONE, /* signed out at the server */
};

struct watch; /* presence.c: one person watched */

struct bk_client {
    /* ---- any thread ---- */
    pthread_t thread;
    bool thread_runs;
    struct bk_loop *loop;
    pthread_mutex_t lock; /* of events */
    struct bk_list events;
    int event_fd;
    _Atomic uint64_t next_message_id;

    char *asked_ca_file; /* under lock */

    /* ---- set at creation; down to n_manual anew with a sign-in, by bk_client_set_connection ---- */
    char *root; /* profile folder, NULL: nothing is kept */
    char *name, *user_agent, *device_kind, *ca_file;
    char device_name[65];
    bool only_ca_file;
    struct wish *wish; /* for the next sign-in; NULL: as before */
    bool keep_nothing, allow_ntlm;
    struct bk_client_guard guard_kept;
    const struct bk_client_guard *guard; /* NULL: none */
    struct bk_answer_server manual[BK_CLIENT_MANUAL_MAX];
    int n_manual; /* 0: automatic */
    uint16_t discovery_port, plain_port;
    const struct bk_clock *clock;
    const struct bk_random *random;
    const struct bk_log *log;
    struct bk_client_timing timing;

    /* ---- the engine's thread ---- */
    struct bk_dns *dns;
    struct bk_proxies *proxies; /* NULL: every connection is direct */
    void (*find_proxy)(void *ctx, struct bk_client *client, const char *url, uint64_t token);
    void *find_proxy_ctx;
    struct bk_netwatch *netwatch; /* NULL: the kernel tells nothing, or a test does */
    struct bk_client_network network;
    struct bk_link *link;
    struct bk_tls_client *tls_web;   /* HTTPS without a certificate */
    struct bk_tls_client *tls_probe; /* SIP without a certificate */
    struct bk_tls_client *tls_own;   /* both, with the personal certificate; NULL: none */

    enum bk_client_state state;
    enum purpose purpose;
    uint64_t unlisted; /* pairs of state and input that the table does not know */
    char state_detail[300];
    char address[BK_SIP_AOR_MAX + 1]; /* lower case; "": nobody */
    const char *domain;               /* into address */
    struct bk_profile profile;
    bool profile_open;
    bool was_signed_in;                   /* this session was once complete: a loss is SI-314 */
    struct bk_buf password, new_password; /* wiped after use */
    char user[256];                       /* user name for the password */
    char why_credential[12];              /* record that led to the question */

    struct bk_discovery *discovery;
    struct bk_offer offer;
    bool offer_open;    /* offer is to be weighed or tried */
    bool cached_failed; /* the server remembered did not answer: SI-108 when another does */
    bool manual_shadow; /* manual server failed; discovery runs to tell SI-109 from SI-302 */
    bool trusted_once;  /* the person trusts this offer's hosts until the next offer */
    bool shown_105;     /* a certificate was discarded in this attempt already */
    int redirects;
    int64_t begun_ms; /* the present attempt */
    struct bk_tried tried;
    int retries; /* failed attempts in a row */
    bool
        network_changed; /* since the attempt began: if it fails, the next one need not wait long */
    bool dns_stale;      /* the system may have other name servers by now */
    int64_t hurried_ms;  /* when the network last brought a try forward; 0: never */
    int64_t skews_ms[3];
    int n_skews;
    struct bk_timer retry, waiting;

    struct bk_http_call *call;   /* sign-in, renew, password, revoke, clock */
    struct bk_http_call *report; /* best effort */
    struct bk_buf new_key;       /* PEM, for the certificate asked for */
    char url[1200];
    struct bk_fault clock_fault;  /* being looked into: is it our clock? */
    struct bk_fault portal_fault; /* likewise: does this network want a sign-in of its own first? */
    int64_t clock_judge_ms;

    /* register.c */
    struct bk_ask *registering;
    bool registered, probing, leaving;
    char call_id[40], from_tag[20];
    uint32_t cseq;
    int expires_s;
    struct bk_timer refresh, answer_due, renew;

    /* lync_register.c, lync_web.c: at a server that knows the Lync dialect's way in alone (offer.lync) */
    struct bk_signing signing;
    struct bk_lync_web *lync_web; /* a certificate is being asked for; NULL: none */
    struct bk_timer prove;        /* the person is to be proved anew */
    char gruu[BK_SA_TEXT_MAX];    /* address of this endpoint; "": the server gave none */
    int n_forged, lync_offers;    /* on this connection; first offers since the last 200 */
    bool told_to_renew;

    /* presence.c */
    enum bk_pidf_manual manual_status; /* MISSING: never chosen since start */
    enum bk_pidf_machine machine;
    char *note; /* NULL: never set since start */
    char etag[128];
    struct bk_ask *publishing;
    bool publish_again;
    struct bk_timer republish;
    char publish_call_id[40], publish_tag[20];
    uint32_t publish_cseq;
    struct bk_list watches;
    size_t n_watches;

    /* dialect.c */
    bool speaks_dialect; /* the 200 to REGISTER offered the Lync dialect */
    /* chosen, and not published in the dialect yet */
    bool manual_open, note_open, machine_open;
    struct dialect *dialect; /* NULL: never spoken in this sign-in */
    _Atomic uint64_t next_edit_id;

    /* message.c, incoming.c */
    struct bk_list messages; /* on their way out */
    size_t n_messages, message_bytes;
    size_t n_left_on_disk; /* kept from an earlier run, and no memory for them now */
    struct bk_list shows;  /* arrived, with the face, not answered yet */

    /* session.c, conversation.c: all go with the connection */
    struct bk_list sessions, conversations;
    size_t n_sessions, n_conversations;

    /* erase.c */
    char *erase_address; /* NULL: nothing is to be deleted */
};

static inline struct bk_timers *bk_client_timers(struct bk_client *c)
{
    return bk_loop_timers(c->loop);
}

static inline int64_t bk_client_now(struct bk_client *c)
{
    return bk_clock_mono_ms(bk_loop_clock(c->loop));
}

static inline int64_t bk_client_real(struct bk_client *c)
{
    return bk_clock_real_ms(c->clock);
}

/* ---- events.c ---- */

/* An event being made: fill .pub, its texts from .arena, then post. NULL: out of memory. */
struct bk_event {
    struct bk_client_event pub;
    struct bk_arena arena;
    struct bk_list in;
    void *show; /* MESSAGE: what message.c wants back when it was shown */
};
struct bk_event *bk_event_new(struct bk_client *c, enum bk_client_event_type type);
void bk_event_post(struct bk_client *c, struct bk_event *event);
void bk_event_free(struct bk_event *event);
/* "" for NULL; never NULL: out of memory gives "". */
const char *bk_event_text(struct bk_event *event, const char *text);
const char *bk_event_view(struct bk_event *event, struct bk_view text);

void bk_tell_state(struct bk_client *c, int retry_in_s);
void bk_tell_fault(struct bk_client *c, enum bk_client_event_type type,
                   const struct bk_fault *fault, enum bk_client_next next, int retry_in_s);
/* A notice without a record. */
void bk_tell_notice(struct bk_client *c, const char *text);

/* ---- signin.c, and offer.c, request.c, failure.c: parts of it by subject ---- */
void bk_client_feed(struct bk_client *c, enum input input);
/* A fault that ends the present attempt: it is told, and the machine stops, asks or waits. */
void bk_client_fail(struct bk_client *c, const struct bk_fault *fault);
void bk_client_begin(struct bk_client *c); /* once, on the engine's thread */
void bk_client_end(struct bk_client *c);
void bk_client_take_connection(struct bk_client *c);
void bk_client_do_sign_in(struct bk_client *c, enum purpose purpose, const char *address,
                          const char *password, const char *user, const char *new_password);
void bk_client_do_credential(struct bk_client *c, const char *password, const char *user);
void bk_client_do_trust(struct bk_client *c, enum bk_client_trust_answer answer);
void bk_client_do_network_changed(struct bk_client *c);
/* May this host be talked to, or is the person to be asked (SI-114)? */
bool bk_client_trusts(const struct bk_client *c, struct bk_view host);
/* A Date field arrived: our clock is compared. */
void bk_client_note_date(struct bk_client *c, struct bk_view date);
/* ms-diagnostics of a refusal, and Retry-After. */
void bk_client_fault_of_refusal(struct bk_client *c, const struct bk_sip_msg *msg,
                                struct bk_fault *ret);
/* The certificate is no good: discard it and ask for the password (once in an attempt). */
void bk_client_discard_certificate(struct bk_client *c);

void bk_client_set_secret(struct bk_buf *to, const char *text); /* what was there is wiped */
bool bk_client_has_password(const struct bk_client *c);

/* ---- offer.c: the steps of the machine between two servers ---- */
void bk_offer_look(struct bk_client *c); /* from the start */
void bk_offer_next(struct bk_client *c); /* this one leads nowhere */
void bk_offer_weigh(struct bk_client *c);
void bk_offer_ask_trust(struct bk_client *c);
void bk_offer_ask_credential(struct bk_client *c);
void bk_offer_stop(struct bk_client *c); /* whatever is under way, the connection too */
void bk_offer_server_text(const struct bk_answer_server *server, char *to, size_t size);

/* ---- failure.c ---- */
void bk_failure_begin(struct bk_client *c);  /* once */
void bk_failure_settle(struct bk_client *c); /* waits for the next try */

/* ---- request.c ---- */
void bk_request_take(struct bk_client *c, const struct bk_sip_msg *msg,
                     const struct bk_sip_head *head);

/* ---- services.c: HTTPS under the services base ---- */
void bk_services_prove(struct bk_client *c); /* password, and a request for a certificate */
void bk_services_renew(struct bk_client *c);
void bk_services_change_password(struct bk_client *c);
/* done gets NULL where the server could not be asked. */
void bk_services_revoke(struct bk_client *c, const char *services, struct bk_tls_client *tls,
                        void (*done)(void *ctx, const struct bk_http_result *result));
void bk_services_report(struct bk_client *c, const struct bk_fault *fault);
/* Asks https://server/ for the time, judging its certificate by judge_ms; answers with bk_client_clock_known. */
void bk_services_ask_time(struct bk_client *c, const char *server, int64_t judge_ms);
void bk_client_clock_known(struct bk_client *c);
/* Asks http://server/ whether it leads to another organisation; answers with bk_client_portal_known. */
void bk_services_ask_portal(struct bk_client *c, const char *server);
/* leads_to: the host that plain HTTP was redirected to; empty: none, or its own domain's. */
void bk_client_portal_known(struct bk_client *c, struct bk_view leads_to);
/* The personal certificate in the profile into c->tls_own. */
int bk_services_use_identity(struct bk_client *c);

/* A key with its certificate becomes the one of the profile, and of c->tls_own; *identity is emptied. */
int bk_services_take_identity(struct bk_client *c, struct bk_buf *identity, int64_t renew_after_ms);

/* ---- lync_web.c: a certificate for the password, from the server that offer.sts_uri names ---- */
void bk_lync_prove(struct bk_client *c);
/* Quietly. false: the server has another way, and nothing was done. */
bool bk_lync_renew(struct bk_client *c);
void bk_lync_web_stop(struct bk_client *c);
/* It did what it was for, unless the certificate ends so soon that it will be needed again. */
void bk_lync_forget_password(struct bk_client *c, int64_t life_ms);

/* ---- lync_register.c ---- */
void bk_lync_write_register(struct bk_client *c, const struct bk_ask *ask, bool leaving,
                            struct bk_buf *to);
void bk_lync_instance(struct bk_client *c, char to[BK_UUID_TEXT_SIZE]);
/* A 401 to REGISTER. true: it was dealt with. */
bool bk_lync_challenged(struct bk_client *c, const struct bk_sip_msg *msg);
void bk_lync_granted(struct bk_client *c, const struct bk_sip_msg *msg); /* a 200 */
/* Is a certificate to be had before the handshake? */
bool bk_lync_wants_certificate(const struct bk_client *c);
void bk_lync_prove_again(struct bk_client *c);
void bk_lync_renewed(struct bk_client *c); /* the certificate */
void bk_lync_reset(struct bk_client *c);   /* the connection is gone */
/* What bk_link_ops.seal and open are for. */
void bk_lync_seal(struct bk_client *c, struct bk_view message, struct bk_buf *to);
bool bk_lync_open(struct bk_client *c, const struct bk_sip_msg *msg,
                  const struct bk_sip_head *head);

/* ---- register.c ---- */
/* The same REGISTER once more, with what the last 401 asked for. */
void bk_register_go_on(struct bk_client *c);
void bk_register_plan_renewal(struct bk_client *c);
void bk_register_send(
    struct bk_client *c); /* REGISTER with the certificate, or the probe without */
void bk_register_leave(struct bk_client *c);
void bk_register_reset(struct bk_client *c); /* the connection is gone */
/* The Contact of this connection, in <>. */
void bk_register_contact(struct bk_client *c, struct bk_buf *to);

/* ---- presence.c ---- */
void bk_presence_begin(struct bk_client *c);  /* registered: publish, subscribe */
void bk_presence_reset(struct bk_client *c);  /* the connection is gone: everybody unknown */
void bk_presence_forget(struct bk_client *c); /* signed out: nobody watched by the engine itself */
void bk_presence_end(struct bk_client *c);
void bk_presence_publish(struct bk_client *c);
void bk_presence_watch(struct bk_client *c, const char *address, bool own);
void bk_presence_unwatch(struct bk_client *c, const char *address);
void bk_presence_notify(struct bk_client *c, const struct bk_sip_msg *msg,
                        const struct bk_sip_head *head);

/* ---- dialect.c: contact list, presence and access levels where the server speaks the Lync dialect ---- */
struct dialect;
/* The 200 to REGISTER: is it offered? */
bool bk_dialect_offered(const struct bk_sip_msg *msg);
void bk_dialect_begin(struct bk_client *c);
void bk_dialect_reset(struct bk_client *c);  /* the connection is gone; what is known stays */
void bk_dialect_forget(struct bk_client *c); /* signed out */
void bk_dialect_publish(struct bk_client *c);
void bk_dialect_watch(struct bk_client *c); /* somebody is to be put into the batch, soon */
void bk_dialect_unwatch(struct bk_client *c, const char *address);
/* NOTIFY or BENOTIFY; true: it was dealt with. */
bool bk_dialect_notify(struct bk_client *c, const struct bk_sip_msg *msg,
                       const struct bk_sip_head *head);

/* ---- edits.c ---- */
struct edit;
/* On any thread; NULL: out of memory. Then on the engine's: submit takes it. */
struct edit *bk_edit_new(uint64_t id, const struct bk_client_edit *wish, const char *address);
void bk_edit_free(struct edit *edit);
enum { EDIT_TEXT_MAX = 256 };
/* Are the fields there that its kind needs? */
bool bk_edit_complete(const struct bk_client_edit *wish);
void bk_edit_submit(struct bk_client *c, struct edit *edit);

/* ---- message.c ---- */
/*
 * On any thread: all that a message will need, so that it cannot fail for lack of memory later. NULL: out of memory.
 * Then on the engine's: submit takes it.
 */
struct bk_outgoing;
struct bk_outgoing *bk_message_new(struct bk_client *c, uint64_t id, const char *to,
                                   const char *text);
void bk_message_free(struct bk_outgoing *message); /* one that was not submitted; NULL is fine */
void bk_message_submit(struct bk_client *c, struct bk_outgoing *message);
void bk_message_load(struct bk_client *c);  /* the profile was opened: what waits on disk */
void bk_message_flush(struct bk_client *c); /* signed in: what waits goes out */
void bk_message_reset(struct bk_client *c); /* the connection is gone: what had no answer waits */
void bk_message_fail_all(struct bk_client *c); /* signed out */
/* For conversation.c: the first message that waits for a session with that person goes out in this one. false: none did. */
bool bk_message_next(struct bk_client *c, const char *address, struct bk_session *session);
bool bk_message_waits(struct bk_client *c, const char *address);
void bk_message_go_alone(struct bk_client *c, const char *address); /* all that wait, in order */
void bk_message_end(struct bk_client *c);

/* ---- incoming.c ---- */
void bk_message_receive(struct bk_client *c, const struct bk_sip_msg *msg,
                        const struct bk_sip_head *head);
void bk_message_shown(struct bk_client *c, void *show);
void bk_message_forget_shows(struct bk_client *c);

/* ---- erase.c ---- */
void bk_erase_begin(struct bk_client *c, const char *address);
/* A deletion that waits for the server is done without it now. */
void bk_erase_finish(struct bk_client *c);
void bk_erase_go_on(struct bk_client *c); /* signed out: the next step */

#endif
