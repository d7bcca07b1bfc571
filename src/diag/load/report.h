/* SPDX-License-Identifier: Apache-2.0 */
/* diag/load/report.h - results for people (a table) and for programs (JSON). */
#ifndef BK_DIAG_LOAD_REPORT_H
#define BK_DIAG_LOAD_REPORT_H

#include "diag/load/engine.h"

#include <stdio.h>

void bk_load_report_heading(FILE *to, const struct bk_load_options *options, uint32_t people);
/* One phase, with the reasons of its failures below it. */
void bk_load_report_phase(FILE *to, const struct bk_load_result *result);
/* Writes the file as a whole. Negative errno. */
int bk_load_report_json(const char *path, const struct bk_load_options *options, uint32_t people,
                        const struct bk_load_result *results, unsigned count);

#endif
