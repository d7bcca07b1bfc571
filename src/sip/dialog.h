/* SPDX-License-Identifier: Apache-2.0 */
/* sip/dialog.h - dialogs of an endpoint (RFC 3261 12): user agent, notifier, subscriber. A proxy keeps none. */
#ifndef BK_SIP_DIALOG_H
#define BK_SIP_DIALOG_H

#include "base/buf.h"
#include "sip/msg.h"

/* Owns its text (one allocation). Created by the first dialog-making exchange, freed by bk_sip_dialog_destroy. */
struct bk_sip_dialog;

/* From a request that arrived (INVITE, SUBSCRIBE) and the tag we answer with. -EBADMSG: no readable Contact or tag. */
int bk_sip_dialog_from_request(const struct bk_sip_msg *request, const struct bk_sip_head *head,
                               struct bk_view local_tag, struct bk_sip_dialog **ret);
/* From an answer (or NOTIFY that came first) to a request of ours; route set reversed as RFC 3261 12.1.2 says. */
int bk_sip_dialog_from_response(const struct bk_sip_msg *response, const struct bk_sip_head *head,
                                struct bk_sip_dialog **ret);
/* A dialog restored from what bk_sip_dialog_save wrote. */
int bk_sip_dialog_restore(struct bk_view saved, struct bk_sip_dialog **ret);
void bk_sip_dialog_save(const struct bk_sip_dialog *dialog, struct bk_buf *to);
struct bk_sip_dialog *bk_sip_dialog_destroy(struct bk_sip_dialog *dialog);

/* Does this arriving message belong to it: Call-ID, both tags. */
bool bk_sip_dialog_matches(const struct bk_sip_dialog *dialog, const struct bk_sip_msg *msg,
                           const struct bk_sip_head *head);
/*
 * An in-dialog request: 0; -EAGAIN when its CSeq is not above the last one (answer 500,
 * RFC 3261 12.2.2). Takes over a new remote target from target refreshes (re-INVITE, SUBSCRIBE, NOTIFY, UPDATE).
 */
int bk_sip_dialog_receive(struct bk_sip_dialog *dialog, const struct bk_sip_msg *request,
                          const struct bk_sip_head *head);
/* Also answers to our target refreshes move the target. */
void bk_sip_dialog_answer(struct bk_sip_dialog *dialog, const struct bk_sip_msg *response);

/*
 * `METHOD target SIP/2.0`, Via (via_head is "SIP/2.0/TLS host:port;rport", the branch is added), Max-Forwards, Route*, From, To, Call-ID,
 * CSeq with the next number (ACK and CANCEL keep `cseq`). The caller adds the rest and bk_sip_end.
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
