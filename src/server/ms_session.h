/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/ms_session.h - conversations of the Lync dialect: INVITE sessions passed on, answered by the server itself where nobody else
 * does, and opened by it towards programs that take messages in no other way.
 */
#ifndef BK_SERVER_MS_SESSION_H
#define BK_SERVER_MS_SESSION_H

#include "server/core_private.h"

/*
 * Two kinds of dialogs have the server at one end.
 *
 * It answers: nobody is there, or not everybody who is there takes sessions. It keeps nothing of such a dialog: its Contact names the
 * person it stands for (";opaque=im"), and each MESSAGE inside it becomes a single message to that person (handle_message), with
 * its keys, its store and its endpoints. That also holds after a restart.
 *
 * It invites: a message goes to an endpoint that speaks the dialect. That dialog is remembered by (person, endpoint, sender) and used
 * again; it may be forgotten at any time, the next message then opens a new one.
 */

/* A request that belongs to the above; true: it was dealt with. At the shard of the target. */
bool ms_session_request(struct request *rq);
/* A MESSAGE inside a dialog whose other end is gone: it becomes a single message to that person. */
void ms_session_message(struct request *rq);
/* Nobody took the INVITE that this relay passed on: the server answers it. */
void ms_session_answer(struct relay *relay);
/* Nobody took the MESSAGE inside a dialog that this relay passed on: as ms_session_message. */
void ms_session_again(struct relay *relay);

/*
 * Sends one message to an endpoint of the dialect in a session, opening one where none is open; messages to it from one sender
 * keep their order. written_ms: when a message that was kept was written, its Date says so; 0: now. Returns 0: done is called later,
 * once, never from within: with the final status, or 0 (nobody answered, or the link is gone). -ENOTCONN, -ENOMEM: nothing will come.
 */
typedef void ms_session_done(void *ctx, int status);
int ms_session_send(struct shard *shard, const struct bk_binding *to, struct bk_view sender,
                    struct bk_view display, int64_t written_ms, struct bk_view content_type,
                    struct bk_view body, ms_session_done *done, void *ctx);
/* Has this endpoint unanswered messages in a session, or is one being opened? */
bool ms_session_busy(struct shard *shard, const struct bk_binding *to, struct bk_view sender);
/* The sender types, or stopped: told where a session is open, else nowhere. */
void ms_session_typing(struct shard *shard, const struct bk_binding *to, struct bk_view sender,
                       bool typing);
void ms_sessions_destroy(struct shard *shard);

#endif
