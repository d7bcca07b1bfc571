/* SPDX-License-Identifier: Apache-2.0 */
/* ms/ask.h - what a client of the dialect asks for: bodies of SUBSCRIBE and SERVICE. told.h reads what comes back. */
#ifndef BK_MS_ASK_H
#define BK_MS_ASK_H

#include "ms/batch.h"
#include "ms/category.h"
#include "ms/contacts.h"
#include "ms/container.h"

/* Each writer appends one whole document, which the reader of that name beside it (..._parse) reads back. */

/* <roamingList>: all parts of bk_ms_self_parse that are set in `parts`. */
void bk_ms_self_ask(struct bk_buf *to, unsigned parts);

/* The SOAP call; a delta below 0 is left out, and what the method has no use for is not written. */
void bk_ms_contact_call_write(struct bk_buf *to, const struct bk_ms_contact_call *call);

/* Of the items address, removes, fresh and wanted count; wanted of the first one stands for all. */
void bk_ms_batch_write(struct bk_buf *to, struct bk_view owner,
                       const struct bk_ms_batch_item *items, int n);

/* A publication and its content as text, one element; empty with .removes. */
struct bk_ms_publish_item {
    struct bk_ms_publication key; /* content is not looked at */
    struct bk_view content;
};
void bk_ms_publish_write(struct bk_buf *to, struct bk_view owner,
                         const struct bk_ms_publish_item *items, int n);
/* What a computer sees of its person; never MISSING. */
void bk_ms_machine_state_write(struct bk_buf *to, enum bk_pidf_machine machine);
/* Instances as all clients of this dialect choose them; seed: 32 bits that name the endpoint. */
enum { BK_MS_INSTANCE_USER_STATE = 0x20000000 };
uint32_t bk_ms_instance_machine_state(uint32_t seed);

void bk_ms_set_members_write(struct bk_buf *to, const struct bk_ms_member_change *changes, int n);
void bk_ms_set_subscribers_write(struct bk_buf *to, const struct bk_ms_subscriber *rows, int n);

#endif
