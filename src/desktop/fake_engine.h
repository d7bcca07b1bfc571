/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/fake_engine.h - an engine that plays a script: for pictures, odd states, and tests of the model. No network, no files. */
#ifndef BK_DESKTOP_FAKE_ENGINE_H
#define BK_DESKTOP_FAKE_ENGINE_H

#include "desktop/engine.h"

/*
 * A script is one JSON object; tests/desktop/fake holds examples.
 *
 *   "events"   array: told from the start on.
 *   "answers"  object: what follows a command, named as in client.h with dashes ("sign-in", "send-message", "edit", "retry-now" ...). Either
 *              an array of events, or an array of { "if": {field: value ...}, "then": [events] } of which the first that fits counts.
 *              Fields: address, password, user, to, text, note, status, machine, answer ("no", "once", "always"), kind (of an
 *              edit: "search", "add-contact" ...), name, group, to-group, level.
 *
 * An event: "type" (bk_client_event_name) and "after": seconds after the one before it (0 where left out). In its texts "$address",
 * "$to", "$text", "$user", "$note", "$name", "$group" are those of the command that is answered.
 *
 *   state          state, address, detail, retry-in
 *   failure, notice, ended    record ("SI-301"), values {name: value}, case, detail, steps [[kind, name, result, detail]],
 *                  next ("stop", "retry", "ask"), retry-in; text: other words than the record's
 *   credential     address, user, need-user, why        trust    address, server
 *   presence       address, own, shown, name, note, since-ago (seconds)
 *   message        from, name, text, ago (seconds), delayed
 *   message-state  state ("sending" ...), record ... as with failure; the number is the command's, or "id"; to, kept, text
 *   deleted        address, rows [[what, result, ok]]
 *   contacts       whole (true), groups [names], contacts [[address, name, groups ...]], gone [addresses]
 *   relations      rows [[subject, level]]              followers   rows [[address, name, acknowledged]]
 *   found          rows [[address, name, title, office, phone, company, email]], more
 *   edited         text (why not; left out: done), case      typing   from, typing
 *   crowd          n, first [names], last [names], groups [names], shown [words], notes [texts]: as many contacts, and their presence
 *
 * Without an answer in the script a command does what one expects of a server that is well: signs in and out, takes messages,
 * does edits (of the contact list too), tells the own status.
 */
struct bk_fake;
extern const struct bk_engine_ops bk_fake_engine_ops; /* self: struct bk_fake * */

/* -EINVAL with *ret_why (g_free it): which place of the script is wrong. */
int bk_fake_new(const char *script, size_t len, struct bk_fake **ret, char **ret_why);
int bk_fake_open(const char *path, struct bk_fake **ret, char **ret_why);

/* For tests. Tells one event ({"type": ...}) or an array of them now; they are checked as those of a script are. */
int bk_fake_say(struct bk_fake *fake, const char *json);
/* What was commanded so far, a line each: "sign-in ann@example.org", "watch bob@example.org", "edit search bob"; and "done message". */
const char *bk_fake_heard(const struct bk_fake *fake);
void bk_fake_forget_heard(struct bk_fake *fake);
/* All waits are none from now on; the order stays. */
void bk_fake_hurry(struct bk_fake *fake);
/* Events fetched and not given back. */
unsigned bk_fake_n_out(const struct bk_fake *fake);

#endif
