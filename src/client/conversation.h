/* SPDX-License-Identifier: Apache-2.0 */
/* client/conversation.h - talking with one person: which session is used, when one is opened, and who types. */
#ifndef BK_CLIENT_CONVERSATION_H
#define BK_CLIENT_CONVERSATION_H

#include "client/session.h"

struct bk_outbox_key;

/*
 * Where the server speaks the Lync dialect, what is said to a person goes into a session, one message after the other, each
 * once the one before it was answered. message.c keeps the messages and what became of them; this decides the way:
 *
 *   a session is open            -> the first that waits goes out in it
 *   one is being opened          -> all wait
 *   none is                      -> one is opened
 *   it was refused               -> single messages ("alone") for ALONE_MS, as with a plain server
 *   it ended, or 481             -> the next message opens another
 *   a message had no answer      -> it is repeated alone, under the key it went out with: never in another session
 *
 * There may be several sessions with one person: both sides invited at once, or he went to another computer. The one in which he
 * was heard last is used; the others end by idleness.
 */

/* ---- for message.c ---- */

/*
 * A message waits for that person (bk_message_next will find it). true: it is seen to, or was already. false: it goes alone,
 * now.
 */
bool bk_conversation_take(struct bk_client *c, const char *address);
/* Under which key the next message to that person would go out at once; false: it would wait, or go alone. */
bool bk_conversation_key(struct bk_client *c, const char *address, struct bk_outbox_key *ret);
/* What was sent in a session has its answer; 0: none came. */
void bk_conversation_answered(struct bk_client *c, const char *address,
                              const struct bk_outbox_key *key, int status);
/* Something was said alone, by us or by him. */
void bk_conversation_talked(struct bk_client *c, const char *address);
/* He said something; session: in which, NULL: alone. */
void bk_conversation_heard(struct bk_client *c, const char *address, struct bk_session *session);
/* He types, or stopped, as application/im-iscomposing+xml says. */
void bk_conversation_composing(struct bk_client *c, const char *address, struct bk_view body);

/* ---- for signin.c and client.c ---- */

/* A request that belongs to sessions; true: it was dealt with. MESSAGE is not among them. */
bool bk_conversation_request(struct bk_client *c, const struct bk_sip_msg *msg,
                             const struct bk_sip_head *head);
void bk_conversation_typing(struct bk_client *c, const char *address, bool typing);
/* address NULL: all of them. */
void bk_conversation_close(struct bk_client *c, const char *address);
void bk_conversations_reset(struct bk_client *c); /* the connection is gone */

#endif
