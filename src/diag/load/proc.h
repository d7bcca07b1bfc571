/* SPDX-License-Identifier: Apache-2.0 */
/* diag/load/proc.h - what a process and all its descendants have used (Linux, proc(5)). */
#ifndef BK_DIAG_LOAD_PROC_H
#define BK_DIAG_LOAD_PROC_H

#include <stdint.h>
#include <sys/types.h>

struct bk_load_usage {
    uint64_t cpu_us; /* user and system, of the living and of children already waited for */
    uint64_t pss_kb; /* proportional set size, summed: a shared page counts once in all */
    unsigned processes;
};

/*
 * Adds up the tree below pid, pid included. -ESRCH: no such process. -EACCES: the memory map of
 * one of them may not be read (run as the same user or as root).
 *
 * The kernel gives processor time in clock ticks (10 ms), so a phase should take a second of it.
 */
int bk_load_proc_usage(pid_t pid, struct bk_load_usage *ret);

#endif
