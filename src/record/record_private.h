/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BK_RECORD_RECORD_PRIVATE_H
#define BK_RECORD_RECORD_PRIVATE_H

#include "record/record.h"

extern const struct bk_record bk_record_table[];
extern const size_t bk_record_table_len;

struct bk_record_alias {
    uint32_t code;
    uint16_t number;
};
extern const struct bk_record_alias bk_record_aliases[];
extern const size_t bk_record_n_aliases;

#endif
