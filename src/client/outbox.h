/* SPDX-License-Identifier: Apache-2.0 */
/* client/outbox.h - messages on their way out, on disk: what was written is sent after a crash too, and once. */
#ifndef BK_CLIENT_OUTBOX_H
#define BK_CLIENT_OUTBOX_H

#include "client/profile.h"
#include "sip/uri.h"

/*
 * <root>/<address>/outgoing, mode 0600: a first line, then a line for each thing that happened, added at the end and
 * brought to the disk at once:
 *
 *     +<sum> {"to":..,"call_id":..,"tag":..,"text":..,"written":..,"sent":..}     somebody wrote a message
 *     *<sum> <call_id> <ms>                                                       it goes out for the first time
 *     *<sum> <call_id> <ms> <tag> <cseq> <call_id of the dialog>                  it goes out inside a session
 *     -<sum> <call_id>                                                            its end is known
 *
 * <sum> is the front of the SHA-256 of what follows it. A last line without its end was cut off by a crash and counts
 * as not written; any other line that does not fit is damage (SI-107): the file is put aside, what could be read is
 * kept. The file goes when nothing is left in it.
 */
enum {
    BK_OUTBOX_MAX = 1000,
    BK_OUTBOX_BYTES_MAX = 4 * 1024 * 1024, /* of texts */
    BK_OUTBOX_CALL_ID = 32,                /* hex digits */
    BK_OUTBOX_TAG = 16,
    BK_OUTBOX_KEY_TEXT = 160, /* a Call-ID or tag that somebody else chose, with its NUL */
};

/* What a server knows a message by, with From and To: the same however often it is sent. */
struct bk_outbox_key {
    char call_id[BK_OUTBOX_KEY_TEXT], tag[BK_OUTBOX_KEY_TEXT];
    uint32_t cseq; /* 0: none */
};

struct bk_outbox_row {
    char to[BK_SIP_AOR_MAX + 1];
    char call_id[BK_OUTBOX_CALL_ID + 1]; /* its name in this file */
    char tag[BK_OUTBOX_TAG + 1];         /* both, with CSeq 1, are its key, unless: */
    struct bk_outbox_key key;            /* it went out in a session */
    const char *text;
    int64_t written_ms; /* real time */
    int64_t sent_ms;    /* first sending; 0: it never went out */
};

/*
 * All of these do nothing in a profile that keeps nothing. Negative errno: what is on disk stays as it was, but for a line
 * that may be there or not.
 */

/* Those whose end is not known, in the order written. Damage sets BK_PROFILE_OUTBOX_DAMAGED. each's row lives until it returns. */
int bk_outbox_load(struct bk_profile *profile,
                   void (*each)(void *ctx, const struct bk_outbox_row *row), void *ctx);
int bk_outbox_add(struct bk_profile *profile, const struct bk_outbox_row *row);
/* key NULL: under the row's own. A later one takes the place of an earlier one. */
int bk_outbox_sent(struct bk_profile *profile, const char *call_id, int64_t sent_ms,
                   const struct bk_outbox_key *key);
/* left: how many others are in it still. */
int bk_outbox_remove(struct bk_profile *profile, const char *call_id, size_t left);

#endif
