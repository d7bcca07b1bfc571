/* SPDX-License-Identifier: Apache-2.0 */
/* tests/contract/fault_vfs.h - a disk that fails on demand, between SQLite and the real one. */
#ifndef BK_TESTS_FAULT_VFS_H
#define BK_TESTS_FAULT_VFS_H

#include <stdbool.h>
#include <stdint.h>

enum fault_op {
    FAULT_WRITE = 1, /* writes and truncations */
    FAULT_SYNC = 2,
    FAULT_READ = 4,
};

enum fault_kind {
    FAULT_IO,       /* EIO */
    FAULT_FULL,     /* ENOSPC */
    FAULT_READONLY, /* EROFS */
    FAULT_EXIT,     /* the process ends, as by kill -9 */
    FAULT_STALL,    /* of FAULT_SYNC: it does not come back before fault_disarm */
};

/*
 * Becomes SQLite's default; once per process. Nothing is really synced: what counts as being on disk is what
 * this file remembers (see fault_power_cut), so tests do not wait for disks.
 */
void fault_vfs_install(void);
void fault_vfs_uninstall(void);

/* The n-th (from 1) of the operations `ops` (a mix of fault_op) fails, and where `stays` all that follow. n 0: none does. */
void fault_arm(unsigned ops, enum fault_kind kind, long n, bool stays);
/* From now on all is well again. Returns whether a fault happened since fault_arm. */
bool fault_disarm(void);
/* How many operations of the armed kinds were seen. */
long fault_seen(void);

/*
 * After everybody closed: every file written through here gets the content it had at its last sync, plus a part, chosen
 * by the seed and torn at 512 bytes, of what was written since. What a failed sync should have written never comes back,
 * unless it was written again: that is how Linux does it.
 */
void fault_power_cut(uint64_t seed);

#endif
