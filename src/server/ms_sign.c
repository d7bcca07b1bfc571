/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Security associations of the Lync dialect on a link: everything that goes to such an endpoint is signed, last before it is
 * sent; everything that comes from it must be.
 */
#include "server/ms_auth_private.h"

#include <errno.h>
#include <stdlib.h>

enum { FORGED_MAX = 8 /* on one link before it is closed */ };

/* ---- who ---- */

struct ms_peer *ms_peer_of(const struct link *link, struct bk_view address)
{
    if (!link->ms)
        return NULL;
    BK_LIST_EACH(&link->ms->peers, it)
    {
        struct ms_peer *p = bk_container_of(it, struct ms_peer, in_link);
        if (bk_view_equal(p->address, address))
            return p;
    }
    return NULL;
}

struct ms_peer *ms_peer_by_opaque(const struct link *link, struct bk_view opaque)
{
    if (!link->ms)
        return NULL;
    BK_LIST_EACH(&link->ms->peers, it)
    {
        struct ms_peer *p = bk_container_of(it, struct ms_peer, in_link);
        if (bk_view_equal(bk_sa_opaque(p->sa), opaque))
            return p;
    }
    return NULL;
}

static void peer_destroy(struct link *link, struct ms_peer *peer)
{
    bk_list_remove(&peer->in_link);
    link->ms->n_peers--;
    if (link->ms->answered == peer)
        link->ms->answered = NULL;
    ms_hold_drop(peer);
    bk_sa_destroy(peer->sa);
    free(peer);
}

int ms_peer_put(struct bk_core *core, struct link *link, struct bk_view address,
                struct bk_view endpoint, struct bk_sa *sa, struct ms_peer **ret)
{
    struct ms_peer *old = NULL;
    BK_LIST_EACH(&link->ms->peers, it)
    {
        struct ms_peer *p = bk_container_of(it, struct ms_peer, in_link);
        if (bk_view_equal(p->address, address) && bk_view_equal(p->endpoint, endpoint))
            old = p;
    }
    bool room = old || link->ms->n_peers < MS_PEERS_MAX;
    struct ms_peer *peer = room ? calloc(1, sizeof *peer + address.len + endpoint.len) : NULL;
    if (!peer) {
        bk_sa_destroy(sa);
        return room ? -ENOMEM : -ENOSPC;
    }
    peer->core = core;
    peer->link = link->id;
    ms_hold_move(old, peer);
    if (old)
        peer_destroy(link, old);
    memcpy(peer->text, address.at, address.len);
    if (endpoint.len)
        memcpy(peer->text + address.len, endpoint.at, endpoint.len);
    peer->address = (struct bk_view){ peer->text, address.len };
    peer->endpoint = (struct bk_view){ peer->text + address.len, endpoint.len };
    peer->sa = sa;
    peer->since_ms = core_now(core);
    bk_list_append(&link->ms->peers, &peer->in_link);
    link->ms->n_peers++;
    *ret = peer;
    return 0;
}

void ms_forget(struct bk_core *core, uint64_t id, struct bk_view address, struct bk_view endpoint)
{
    struct link *link = core_link(core, id);
    if (!link || !link->ms)
        return;
    BK_LIST_EACH(&link->ms->peers, it)
    {
        struct ms_peer *p = bk_container_of(it, struct ms_peer, in_link);
        if (bk_view_equal(p->address, address) && bk_view_equal(p->endpoint, endpoint))
            peer_destroy(link, p);
    }
}

struct ms_handshake *ms_handshake_destroy(struct bk_core *core, struct link *link,
                                          struct ms_handshake *handshake)
{
    bk_list_remove(&handshake->in_link);
    link->ms->n_handshakes--;
    core->ms_handshakes--;
    if (handshake->job)
        ms_job_leave(handshake->job);
    else
        bk_dsk_destroy(handshake->dsk);
    bk_wipe(&handshake->keys, sizeof handshake->keys);
    free(handshake);
    return NULL;
}

void ms_link_destroy(struct bk_core *core, struct link *link)
{
    if (!link->ms)
        return;
    while (!bk_list_empty(&link->ms->peers))
        peer_destroy(link, bk_container_of(link->ms->peers.next, struct ms_peer, in_link));
    while (!bk_list_empty(&link->ms->handshakes))
        ms_handshake_destroy(
            core, link, bk_container_of(link->ms->handshakes.next, struct ms_handshake, in_link));
    free(link->ms);
    link->ms = NULL;
}

/* ---- what comes ---- */

int ms_header_of(const struct bk_sip_msg *msg, struct bk_sa_header *ret)
{
    /* The clients look at the proxy's field first, and so does this. */
    static const enum bk_sip_hdr ids[] = { BK_SIP_HDR_PROXY_AUTHORIZATION,
                                           BK_SIP_HDR_AUTHORIZATION };
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        for (const struct bk_sip_field *f = bk_sip_msg_field(msg, ids[i]); f;
             f = bk_sip_msg_field_next(msg, f)) {
            int r = bk_sa_header_parse(f->value, ret);
            if (r != -ENOENT)
                return r;
        }
    return -ENOENT;
}

/* The peer that signed this message, its number used up; NULL: none did. */
static struct ms_peer *signer(const struct link *link, const struct bk_sip_msg *msg,
                              const struct bk_sip_head *head)
{
    struct bk_sa_header header;
    if (ms_header_of(msg, &header) < 0 || !header.opaque.at)
        return NULL;
    struct ms_peer *peer = ms_peer_by_opaque(link, header.opaque);
    return peer && bk_sa_verify(peer->sa, msg, head, &header) == BK_SA_GOOD ? peer : NULL;
}

void ms_count_forged(struct bk_core *core, struct link *link)
{
    core->metrics[BK_METRIC_BAD_MESSAGES]++;
    if (++link->faults >= FORGED_MAX)
        core_close_link(core, link->id);
}

/* Whose message this is by its From (of an answer: To), lower case, in core->sender. */
static struct bk_view address_in(struct bk_core *core, struct bk_view uri_text)
{
    struct bk_sip_uri uri;
    bk_buf_clear(&core->sender);
    if (bk_sip_uri_parse(uri_text, &uri) < 0 || bk_sip_uri_aor(&uri, &core->sender) < 0)
        return (struct bk_view){ 0 };
    return bk_buf_view(&core->sender);
}

/* Between two handshakes a client cannot sign. */
static bool has_no_keys(const struct link *link, const struct bk_sip_msg *msg,
                        struct bk_view sender)
{
    struct bk_sa_header header;
    return ms_proves_anew(link, sender) && ms_header_of(msg, &header) == -ENOENT;
}

enum ms_identity ms_identify(struct request *rq, struct link *link, struct bk_view sender)
{
    struct bk_core *core = rq->core;
    if (!link->ms || !link->ms->n_peers || !ms_peer_of(link, sender))
        return MS_NOT_OURS;
    struct ms_peer *peer = signer(link, rq->msg, rq->head);
    if (!peer && has_no_keys(link, rq->msg, sender)) {
        /* Goes out when it has: then the clients sign the request and send it again. */
        ms_offer(rq, sender);
        return MS_ANSWERED;
    }
    if (!peer || !bk_view_equal(peer->address, sender)) {
        /* Never 401: the clients sign again and send the same once more, for ever. */
        answer(rq, 403, BK_VIEW("This request is not signed as it must be"), (struct bk_view){ 0 });
        ms_count_forged(core, link);
        return MS_ANSWERED;
    }
    BK_LIST_EACH(&link->bindings, it)
    {
        struct bk_binding *b = bk_container_of(it, struct bk_binding, in_link);
        if (bk_view_equal(bk_person_address(b->person), sender) &&
            bk_view_equal(b->endpoint, peer->endpoint)) {
            rq->identity = bk_person_address(b->person);
            rq->endpoint = b->endpoint;
            return MS_KNOWN;
        }
    }
    /* It signed out, or its registration ran out. */
    refuse(rq, 222, 0, 403, NULL);
    return MS_ANSWERED;
}

bool ms_follows_is_right(struct bk_core *core, struct link *link, const struct bk_sip_msg *msg,
                         const struct bk_sip_head *head)
{
    if (!link->ms || !link->ms->n_peers)
        return true;
    struct bk_view sender = address_in(core, head->from_uri);
    if (!ms_peer_of(link, sender))
        return true;
    struct ms_peer *peer = signer(link, msg, head);
    if (peer && bk_view_equal(peer->address, sender))
        return true;
    if (link->transport == BK_LINK_TLS && has_no_keys(link, msg, sender))
        return true;
    ms_count_forged(core, link);
    return false;
}

bool ms_answer_is_right(struct bk_core *core, struct link *link, const struct bk_sip_msg *msg)
{
    struct bk_sip_head head;
    struct bk_sip_fault fault;
    struct bk_sa_header header;
    if (!link->ms || !link->ms->n_peers)
        return true;
    /* Somebody without signatures shares the connection: his answers have none. */
    BK_LIST_EACH(&link->bindings, it)
    {
        if (!bk_container_of(it, struct bk_binding, in_link)->dialect)
            return true;
    }
    if (msg->status < 200 && ms_header_of(msg, &header) < 0)
        return true;
    if (bk_sip_msg_check(msg, &head, &fault) == 0 &&
        (signer(link, msg, &head) ||
         (link->transport == BK_LINK_TLS && has_no_keys(link, msg, address_in(core, head.to_uri)))))
        return true;
    ms_count_forged(core, link);
    return false;
}

/* ---- what goes ---- */

/* Whose association signs what goes out: that of whom a request is for, or whose request is answered. */
static struct ms_peer *receiver(struct bk_core *core, const struct link *link,
                                const struct bk_sip_msg *msg, const struct bk_sip_head *head)
{
    if (link->ms->n_peers == 1)
        return bk_container_of(link->ms->peers.next, struct ms_peer, in_link);
    if (msg->status)
        return ms_peer_of(link, address_in(core, head->from_uri));
    BK_LIST_EACH(&link->bindings, it)
    {
        const struct bk_binding *b = bk_container_of(it, struct bk_binding, in_link);
        if (!bk_view_equal(b->contact, msg->uri))
            continue;
        BK_LIST_EACH(&link->ms->peers, at)
        {
            struct ms_peer *p = bk_container_of(at, struct ms_peer, in_link);
            if (bk_view_equal(p->address, bk_person_address(b->person)) &&
                bk_view_equal(p->endpoint, b->endpoint))
                return p;
        }
    }
    struct ms_peer *peer = ms_peer_of(link, address_in(core, msg->uri));
    return peer ? peer : ms_peer_of(link, address_in(core, head->to_uri));
}

bool ms_sign(struct bk_core *core, struct link *link, struct bk_view bytes, struct bk_view *ret)
{
    struct bk_sip_head head;
    struct bk_sip_fault fault;
    struct bk_buf *out = &core->ms_out;
    struct bk_sip_msg *msg = core->ms_msg;
    *ret = bytes;
    if (!link->ms || !link->ms->n_peers || !msg || bk_sip_msg_parse(msg, bytes, &fault) < 0 ||
        bk_sip_msg_check(msg, &head, &fault) < 0 || !msg->n_fields)
        return true;
    /* A challenge opens something new; other refusals of a REGISTER are for somebody who may have no keys. */
    if (msg->status >= 300 && msg->method == BK_SIP_REGISTER)
        return true;
    /* address_in() writes into core->sender, which a request at hand may look at. */
    struct bk_buf kept = core->sender;
    core->sender = core->ms_sender;
    struct ms_peer *peer = receiver(core, link, msg, &head);
    core->ms_sender = core->sender;
    core->sender = kept;
    if (!peer)
        return true;
    if (ms_hold_back(peer, msg, bytes))
        return false;
    if (msg->status && msg->method == BK_SIP_REGISTER)
        link->ms->answered = peer;
    struct bk_view last = msg->fields[msg->n_fields - 1].line;
    size_t at = (size_t)(last.at + last.len - bytes.at);
    bk_buf_clear(out);
    bk_buf_add_view(out, bk_view_head(bytes, at));
    bk_sa_sign(peer->sa, msg, &head, core->config.random, (struct bk_view){ 0 }, out);
    bk_buf_add_view(out, bk_view_skip(bytes, at));
    if (!out->failed)
        *ret = bk_buf_view(out);
    return true;
}
