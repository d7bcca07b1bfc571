/* SPDX-License-Identifier: Apache-2.0 */
/* diag/load/options.h - one table of options; parser, help and the check of the manual read it. */
#ifndef BK_DIAG_LOAD_OPTIONS_H
#define BK_DIAG_LOAD_OPTIONS_H

#include "base/buf.h"

enum { BK_LOAD_PHASES_MAX = 32 };

/* Strings belong to argv or to the table. Numbers are within the limits of the table. */
struct bk_load_options {
    const char *server, *domain, *ca_file;
    int64_t transport; /* enum bk_load_transport */
    int64_t dialect;   /* enum bk_load_dialect */
    int64_t scheme;    /* enum bk_load_scheme, of the Lync dialect */
    const char *certificates;
    const char *users_file, *pattern, *password;
    int64_t users;
    int64_t auth_name; /* enum bk_load_auth_name */
    int64_t expires_s;
    int64_t sign_ins, in_flight, messages, body_bytes, rate, paced_s;
    int64_t watchers, publications, resources, sessions, calls, kill_percent;
    int64_t timeout_s, time_limit_s, settle_ms, sources, seed;
    int64_t pid;
    const char *json_file, *label;
    bool credentials, step, help, version;
    const char *phases[BK_LOAD_PHASES_MAX];
    unsigned phase_count;
};

enum bk_load_dialect { BK_LOAD_PLAIN, BK_LOAD_LYNC };

enum bk_load_auth_name { BK_LOAD_AUTH_USER, BK_LOAD_AUTH_ADDRESS };

/*
 * Fills *ret with the defaults and then with what argv says: "--name value" or "--name=value",
 * everything else names a phase. -EINVAL with a sentence that names the place in *problem.
 */
int bk_load_options_parse(int argc, char *const *argv, struct bk_load_options *ret,
                          struct bk_buf *problem);

/* The option part of --help. */
void bk_load_options_help(struct bk_buf *to);
/* Name of the option at index, without dashes; NULL behind the last. */
const char *bk_load_options_name(unsigned index);

#endif
