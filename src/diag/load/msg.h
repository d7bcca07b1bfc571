/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diag/load/msg.h - as much of a SIP message as a load program has to understand.
 *
 * Not the server's parser: beckon-load measures any server, and judges what it relays with eyes of
 * its own. One pass, views into the bytes received, no memory.
 */
#ifndef BK_DIAG_LOAD_MSG_H
#define BK_DIAG_LOAD_MSG_H

#include "base/view.h"

#include <sys/types.h>

enum {
    BK_LOAD_MSG_FIELDS_MAX = 8,         /* of one name that may stand several times */
    BK_LOAD_MSG_BYTES_MAX = 256 * 1024, /* a server that sends more is at fault */
};

/* Field lines of one name in their order; a line may hold several values with commas between. */
struct bk_load_fields {
    struct bk_view at[BK_LOAD_MSG_FIELDS_MAX];
    size_t count;
};

/* Valid as long as the bytes it was read from. A field that is missing is {NULL, 0}. */
struct bk_load_msg {
    unsigned status;       /* 0: a request */
    struct bk_view method; /* of a request's first line; of an answer's CSeq */
    struct bk_view uri;    /* requests */
    struct bk_load_fields via, record_route, route, challenge;
    struct bk_view branch; /* parameter of the topmost Via */
    struct bk_view from, to, call_id, contact, event, subscription_state, etag;
    /* The Lync dialect: what a signature is in, what it covers, and a first notification in an answer. */
    struct bk_view signature, expires, piggyback;
    struct bk_load_fields asserted, preferred; /* P-Asserted-Identity, P-Preferred-Identity */
    struct bk_view cseq_value;
    uint32_t cseq;
    int max_forwards; /* -1: none */
    struct bk_view body;
};

/*
 * Reads the message at the front of `bytes`. Returns the number of bytes it takes, blank lines
 * before it (life signs) included; 0 where it has not arrived in full; -EBADMSG where it never
 * will be a message this program can use. Of blank lines alone, 0 with *ret_skip set to their
 * number of bytes, which may be thrown away.
 */
ssize_t bk_load_msg_parse(struct bk_view bytes, struct bk_load_msg *ret, size_t *ret_skip);

/* The value of ";name=" in a field, without quotes; {NULL, 0} where there is none. */
struct bk_view bk_load_msg_param(struct bk_view field, struct bk_view name);
/* The address inside <> of a field, or the field up to its first parameter where there is no <>. */
struct bk_view bk_load_msg_address(struct bk_view field);

#endif
