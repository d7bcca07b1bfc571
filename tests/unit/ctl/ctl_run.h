/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_run.h - the whole program on a server for example.org of its own in a temporary folder. */
#ifndef BK_TESTS_CTL_RUN_H
#define BK_TESTS_CTL_RUN_H

#include "ctl/ctl_private.h"

extern char dir[64], config[96];
extern char *out_text, *err_text; /* what the last run printed */

/* beckonctl --config ... with these arguments (NULL last) and this on standard input. */
int run_with(const char *input, const char *const *args);
#define RUN(...) run_with("", (const char *const[]){ __VA_ARGS__, NULL })
#define RUN_WITH(input, ...) run_with(input, (const char *const[]){ __VA_ARGS__, NULL })

/* Fails the test where part does not stand in text. */
void said(const char *text, const char *part);
/* What was printed, as JSON. */
json_t *printed(void);

int ctl_run_set_up(void **state);
int ctl_run_tear_down(void **state);

#endif
