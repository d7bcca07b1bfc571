/* SPDX-License-Identifier: Apache-2.0 */
/* diag/load/people.h - who signs in: a pattern with one password, or a list. */
#ifndef BK_DIAG_LOAD_PEOPLE_H
#define BK_DIAG_LOAD_PEOPLE_H

#include "base/view.h"

enum { BK_LOAD_PEOPLE_MAX = 200000 };

struct bk_load_person {
    char *address;  /* "u7@beckon.test", without "sip:" */
    char *user;     /* the part before the @ */
    char *password; /* may be shared between persons of a pattern */
};

/* {0} is nobody; bk_load_people_finish() wipes the passwords and frees. */
struct bk_load_people {
    struct bk_load_person *at;
    uint32_t count;
    char *shared_password;
};

void bk_load_people_finish(struct bk_load_people *people);

/*
 * count people named by a pattern that holds exactly one %d (numbered from 0) and no other %.
 * -EINVAL: not such a pattern. -ENOMEM.
 */
int bk_load_people_from_pattern(const char *pattern, const char *domain, const char *password,
                                uint32_t count, struct bk_load_people *ret);

/*
 * Lines "address,password"; further columns, empty lines, lines that begin with # and a heading
 * whose first column is "address" are passed over, and "sip:" before an address too. Quotes as in
 * RFC 4180. At most max people are taken. On -EBADMSG *ret_line is the number of the bad line.
 */
int bk_load_people_from_csv(struct bk_view text, uint32_t max, struct bk_load_people *ret,
                            unsigned *ret_line);

#endif
