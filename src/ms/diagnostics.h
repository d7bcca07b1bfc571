/* SPDX-License-Identifier: Apache-2.0 */
/* ms/diagnostics.h - ms-diagnostics and ms-diagnostics-public: the cause of an answer, as the clients of the dialect read it. */
#ifndef BK_MS_DIAGNOSTICS_H
#define BK_MS_DIAGNOSTICS_H

#include "base/buf.h"
#include "record/record.h"

/* What to say. Texts are UTF-8 and may hold anything: quotes become apostrophes (readers stop at the next one, escaped or not), control bytes blanks. */
struct bk_ms_diagnostics {
    const struct bk_record *record; /* what is told; gives the id */
    struct bk_view reason;          /* the sentence a person reads */
    struct bk_view source;          /* our fqdn */
    struct bk_view case_code;       /* empty: none */
};

/* `4004;reason="...";source="srv.example.com";record="SI-202";case="K7QF-3M2P"` */
void bk_ms_diagnostics_write(struct bk_buf *to, const struct bk_ms_diagnostics *what);

#endif
