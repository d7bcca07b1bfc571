/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diag/load/engine.h - people, what they do to the server, and what it cost.
 *
 * A run is a list of phases, one after the other, on one set of people and connections.
 */
#ifndef BK_DIAG_LOAD_ENGINE_H
#define BK_DIAG_LOAD_ENGINE_H

#include "diag/load/io.h"
#include "diag/load/options.h"
#include "diag/load/people.h"

enum { BK_LOAD_REASONS_MAX = 16, BK_LOAD_REASON_BYTES = 128 };

struct bk_load_times {
    uint64_t count;
    uint64_t p50_ns, p90_ns, p99_ns, max_ns; /* nearest rank, exact */
};

struct bk_load_result {
    const char *phase, *unit; /* unit: what one operation is, in words */
    uint64_t operations;      /* done right */
    uint64_t failures;
    uint64_t answers_from_nowhere; /* that belong to no operation; failures too, but over UDP */
    uint64_t resent;               /* requests sent again, UDP only */
    double seconds;
    struct bk_load_times answer;  /* from sending to the final answer, at the sender */
    struct bk_load_times arrival; /* from sending to the other end's reading */
    uint64_t own_cpu_us;          /* processor time of this program */

    bool has_server; /* the rest was measured */
    uint64_t server_cpu_us;
    uint64_t pss_before_kb, pss_after_kb;
    unsigned processes;
    uint32_t signed_in_before, signed_in_after;

    struct {
        char text[BK_LOAD_REASON_BYTES];
        uint64_t count;
    } reasons[BK_LOAD_REASONS_MAX]; /* of failures, in the order they first came */
    unsigned reason_count;
};

struct bk_load_engine;

/* options and people stay the caller's and must outlive the engine. */
int bk_load_engine_create(const struct bk_load_options *options,
                          const struct bk_load_people *people, const struct bk_load_io_config *io,
                          struct bk_load_engine **ret);
void bk_load_engine_destroy(struct bk_load_engine *engine);

/*
 * Runs one phase to its end. -ENOENT: no phase of that name. -ECANCELED: stopped by
 * bk_load_engine_stop() or by the time limit; *ret then tells what was done until then. -ESRCH,
 * -EACCES: the server's process cannot be measured.
 */
int bk_load_engine_run(struct bk_load_engine *engine, const char *phase,
                       struct bk_load_result *ret);

/* From a signal handler: the phase that runs ends at once. */
void bk_load_engine_stop(struct bk_load_engine *engine);

/* lync: in the Lync dialect, which has some of its own. */
bool bk_load_phase_exists(const char *name, bool lync);
/* The phase part of --help. */
void bk_load_phases_help(struct bk_buf *to);
/* Name of the phase at index, NULL behind the last. */
const char *bk_load_phase_name(unsigned index);

#endif
