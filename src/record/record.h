/* SPDX-License-Identifier: Apache-2.0 */
/* record/record.h - the one table of everything that can go wrong at sign-in (specs: sign-in error catalogue). */
#ifndef BK_RECORD_RECORD_H
#define BK_RECORD_RECORD_H

#include "base/buf.h"

/*
 * A record is one cause. Server, client, beckonctl, doctor and manual read this table; no other
 * place holds error prose. A new refusal is a row in table.c and a test that causes it.
 */
enum bk_record_category {
    BK_CATEGORY_CLIENT,
    BK_CATEGORY_AUTHENTICATION,
    BK_CATEGORY_NETWORK,
    BK_CATEGORY_SERVICE,
    BK_CATEGORY_REACH, /* 5xx: somebody cannot be reached; signing in is not in question */
};

struct bk_record {
    uint16_t
        number; /* 208 of SI-208; 1xx client, 2xx authentication, 3xx network, 4xx service, 5xx reach */
    char sub;         /* 'a'.. where one number has causes told apart for the admin; 0: none */
    const char *slug; /* "account-disabled" */
    enum bk_record_category category;
    uint16_t sip_status;  /* what goes over SIP; 0: never sent by a server */
    uint16_t http_status; /* what goes over HTTPS */
    uint32_t diagnostics; /* ms-diagnostics id: the published one, else 95000 + number */
    bool neutral;         /* may be told to somebody who is not authenticated */
    bool fatal; /* the client stops retrying by itself (docs/behaviour.md, "Trying again") */
    bool
        live; /* something causes it; else it belongs to what is not there yet, and its texts are ready */
    const char *user_text; /* one sentence or two; may hold {placeholders}, see bk_record_text */
    const char *user_does;
    const char *admin_text;
    const char *admin_does;
};

/* The row of that number and sub ('a', or 0); the row without sub where that sub has none of its own; NULL: unknown. */
const struct bk_record *bk_record_find(unsigned number, char sub);
/* "SI-208", "si-201a". NULL: unknown or malformed. */
const struct bk_record *bk_record_parse(struct bk_view id);
/* For tables and manuals: walk from 0 until NULL. */
const struct bk_record *bk_record_at(size_t index);
/* "SI-208" or "SI-201a". */
void bk_record_id(const struct bk_record *record, char ret[12]);
const char *bk_record_category_name(enum bk_record_category category); /* "client", ... */

/*
 * The record that may be told where `record` is the truth (which is what the history keeps): SI-501 for SI-504, always;
 * to a stranger (nobody proved who he is) SI-202 or SI-501 for whatever is not neutral. Never NULL. What is sent (status,
 * diagnostics id, record id, text) must all come from the answer.
 */
const struct bk_record *bk_record_told(const struct bk_record *record, bool stranger);

/* Numeric codes people know from the clients they leave (0x80EF0191 ...): the record they mean, NULL if none. */
const struct bk_record *bk_record_of_reference_code(uint32_t code);

/*
 * Appends text with {name} replaced by its value, pairs of const char * ended by NULL; a placeholder
 * without a value becomes "?". Values are cut at 200 bytes and lose control bytes. The table knows the names
 * address, domain, minutes, seconds, server, why; docs/records.md shows which record has which.
 */
void bk_record_text(struct bk_buf *to, const char *text, ...) __attribute__((sentinel));

/*
 * The other way: which values make `filled` of `text`? Into *ret, which point into both; how many. -ENOENT: it is no such sentence, or
 * it has more than max placeholders.
 */
struct bk_record_value {
    struct bk_view name, value;
};
int bk_record_values(const char *text, struct bk_view filled, struct bk_record_value *ret, int max);

/*
 * Case codes: 40 random bits as "K7QF-3M2P" in Crockford base32. Reading forgives: any case,
 * missing or other dashes, O for 0, I and L for 1. -EINVAL.
 */
enum { BK_CASE_CODE_SIZE = 10 };
void bk_case_code(uint64_t random_bits, char ret[BK_CASE_CODE_SIZE]);
int bk_case_code_parse(struct bk_view text, char ret[BK_CASE_CODE_SIZE]);

#endif
