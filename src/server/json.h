/* SPDX-License-Identifier: Apache-2.0 */
/* server/json.h - the few JSON words that the server writes without a tree. */
#ifndef BK_SERVER_JSON_H
#define BK_SERVER_JSON_H

#include "base/buf.h"

/* A JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD, so what is written can always be read. */
void bk_json_add_string(struct bk_buf *to, struct bk_view v);

#endif
