/* SPDX-License-Identifier: Apache-2.0 */
/* ms/batch.h - watching many people with one subscription: the request, and the multipart answer ([MS-PRES]). */
#ifndef BK_MS_BATCH_H
#define BK_MS_BATCH_H

#include "ms/xml.h"

#define BK_MS_BATCH_CONTENT_TYPE "application/msrtc-adrl-categorylist+xml"

enum { BK_MS_BATCH_MAX = 1000 };

enum bk_ms_wanted { /* categories, a set */
                    BK_MS_WANTS_STATE = 1,
                    BK_MS_WANTS_NOTE = 2,
                    BK_MS_WANTS_CARD = 4,
                    BK_MS_WANTS_CALENDAR = 8,
                    BK_MS_WANTS_ALL = 15,
};

struct bk_ms_batch_item {
    struct bk_view address; /* lower case, no scheme; empty: nothing that can be watched here */
    struct bk_view uri;     /* as the client wrote it */
    bool removes;
    bool fresh;      /* <context/>: just added to the list */
    unsigned wanted; /* enum bk_ms_wanted, or'ed */
};
/* *ret_n items in the arena, in order. 0; -EBADMSG with *ret_why static; -ENOMEM. */
int bk_ms_batch_parse(struct bk_view body, struct bk_arena *arena, struct bk_ms_batch_item **ret,
                      int *ret_n, const char **ret_why);

/*
 * The answer, and later news of several people at once. First the list of who is in it, then a part for each whose
 * state is told; a part ends with CRLF CRLF before the boundary line (a stock client cuts four bytes off).
 */
enum bk_ms_batch_state { BK_MS_BATCH_ACTIVE, BK_MS_BATCH_TERMINATED };
/* Value of Content-Type; the boundary is the caller's: random letters and digits, 40 at most. */
void bk_ms_batch_content_type(struct bk_buf *to, struct bk_view boundary, struct bk_view host);
void bk_ms_batch_begin(struct bk_buf *to, struct bk_view boundary, struct bk_view host,
                       struct bk_view owner, uint32_t version, bool full);
/* uri as the client wrote it; n tells the parts apart, and a part of that n may follow. */
void bk_ms_batch_resource(struct bk_buf *to, struct bk_view boundary, struct bk_view host,
                          struct bk_view uri, int n, enum bk_ms_batch_state state);
void bk_ms_batch_list_end(struct bk_buf *to);
void bk_ms_batch_part(struct bk_buf *to, struct bk_view boundary, struct bk_view host, int n,
                      struct bk_view categories);
void bk_ms_batch_end(struct bk_buf *to, struct bk_view boundary);

#endif
