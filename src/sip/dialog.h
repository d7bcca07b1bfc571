/* SPDX-License-Identifier: Apache-2.0 */
/* sip/dialog.h - dialogs of an endpoint (RFC 3261 12): user agent, notifier, subscriber. A proxy keeps none. */
#ifndef BK_SIP_DIALOG_H
#define BK_SIP_DIALOG_H

#include "base/buf.h"
#include "sip/msg.h"

/* Owns its text (one allocation). Created by the first dialog-making exchange, freed by bk_sip_dialog_destroy. */
struct bk_sip_dialog;

/*
 * From a request that arrived (INVITE, SUBSCRIBE) and the tag we answer with (not used where its To
 * has one already). That request counts as received: the next one must have a higher CSeq.
 * -EBADMSG: no readable Contact, Record-Route or tag. -ENOMEM.
 */
int bk_sip_dialog_from_request(const struct bk_sip_msg *request, const struct bk_sip_head *head,
                               struct bk_view local_tag, struct bk_sip_dialog **ret);
/*
 * From an answer to a request of ours, its route set reversed (RFC 3261 12.1.2); or from a NOTIFY that
 * came before the answer (RFC 6665 4.1.2.4), its route set as it stands, and with bk_sip_dialog_sent
 * to tell the CSeq of our SUBSCRIBE, which a NOTIFY does not know. -EBADMSG, -ENOMEM as above.
 */
int bk_sip_dialog_from_response(const struct bk_sip_msg *response, const struct bk_sip_head *head,
                                struct bk_sip_dialog **ret);
/* Our last request outside of bk_sip_dialog_request_begin had this number: the next one is above it. */
void bk_sip_dialog_sent(struct bk_sip_dialog *dialog, uint32_t cseq);
/* A dialog restored from what bk_sip_dialog_save wrote (text, ends with a line end). -EBADMSG, -ENOMEM. */
int bk_sip_dialog_restore(struct bk_view saved, struct bk_sip_dialog **ret);
void bk_sip_dialog_save(const struct bk_sip_dialog *dialog, struct bk_buf *to);
struct bk_sip_dialog *bk_sip_dialog_destroy(struct bk_sip_dialog *dialog);

/* Does this arriving message belong to it: Call-ID, both tags. */
bool bk_sip_dialog_matches(const struct bk_sip_dialog *dialog, const struct bk_sip_msg *msg,
                           const struct bk_sip_head *head);
/*
 * An in-dialog request: 0; -EAGAIN when its CSeq is not above the last one (answer 500,
 * RFC 3261 12.2.2). Takes over a new remote target from target refreshes (re-INVITE, UPDATE,
 * SUBSCRIBE, NOTIFY, REFER). -EBADMSG: its Contact cannot be read (400); -ENOMEM; both leave all as it
 * was. ACK and CANCEL go with their INVITE and change nothing.
 */
int bk_sip_dialog_receive(struct bk_sip_dialog *dialog, const struct bk_sip_msg *request,
                          const struct bk_sip_head *head);
/* Also 2xx answers to our target refreshes move the target. */
void bk_sip_dialog_answer(struct bk_sip_dialog *dialog, const struct bk_sip_msg *response);

/*
 * `METHOD target SIP/2.0`, Via (via_head is "SIP/2.0/TLS host:port;rport", the branch is added),
 * Max-Forwards, Route*, From, To, Call-ID, CSeq with the next number (ACK and CANCEL: that of our last
 * INVITE). Towards a strict router the request URI is the router and the target the last Route.
 * The caller adds the rest and bk_sip_end.
 */
void bk_sip_dialog_request_begin(struct bk_sip_dialog *dialog, struct bk_buf *to,
                                 enum bk_sip_method method, struct bk_view via_head,
                                 struct bk_view branch);

struct bk_sip_dialog_info {
    struct bk_view call_id, local_tag, remote_tag, local_uri, remote_uri, remote_target;
    uint32_t local_cseq, remote_cseq;
};
void bk_sip_dialog_info(const struct bk_sip_dialog *dialog, struct bk_sip_dialog_info *ret);

#endif
