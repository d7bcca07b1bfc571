/* SPDX-License-Identifier: Apache-2.0 */
#include "diag/load/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More processes than a machine under test should have; a further one is not looked at. */
enum { PROCESSES_MAX = 16384 };

struct process {
    pid_t pid, parent;
    uint64_t ticks;
    bool ours;
};

static ssize_t read_all(const char *path, char *to, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t len = 0;
    for (;;) {
        ssize_t n = read(fd, to + len, room - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int r = -errno;
            close(fd);
            return r;
        }
        if (n == 0 || len + (size_t)n == room - 1) {
            len += (size_t)n;
            break;
        }
        len += (size_t)n;
    }
    close(fd);
    to[len] = '\0';
    return (ssize_t)len;
}

/* Fields 4 and 14 to 17 of /proc/PID/stat. The name in field 2 may hold blanks and brackets. */
static int read_stat(pid_t pid, struct process *ret)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    ssize_t len = read_all(path, text, sizeof text);
    if (len < 0)
        return (int)len;
    const char *behind_name = strrchr(text, ')');
    int parent;
    unsigned long long user, system;
    long long waited_user, waited_system;
    if (!behind_name ||
        sscanf(behind_name + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %lld %lld",
               &parent, &user, &system, &waited_user, &waited_system) != 5)
        return -EPROTO;
    *ret = (struct process){ .pid = pid,
                             .parent = parent,
                             .ticks =
                                 user + system + (uint64_t)waited_user + (uint64_t)waited_system };
    return 0;
}

static int read_pss(pid_t pid, uint64_t *ret_kb)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    ssize_t len = read_all(path, text, sizeof text);
    if (len < 0)
        return (int)len;
    const char *line = strstr(text, "\nPss:");
    unsigned long long kb = 0;
    if (line && sscanf(line, " Pss: %llu kB", &kb) != 1)
        return -EPROTO;
    *ret_kb = kb; /* a process on its way out has an empty map */
    return 0;
}

static size_t list(struct process *table)
{
    DIR *dir = opendir("/proc");
    if (!dir)
        return 0;
    size_t count = 0;
    struct dirent *entry;
    while (count < PROCESSES_MAX && (entry = readdir(dir))) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        if (*end == '\0' && pid > 0 && read_stat((pid_t)pid, &table[count]) == 0)
            count++;
    }
    closedir(dir);
    return count;
}

/* Children may stand before their parents in the table, so it is gone over until nothing changes. */
static bool mark(struct process *table, size_t count, pid_t root)
{
    bool found = false, more = true;
    for (size_t i = 0; i < count; i++) {
        if (table[i].pid == root)
            table[i].ours = found = true;
    }
    while (more) {
        more = false;
        for (size_t i = 0; i < count; i++) {
            for (size_t j = 0; !table[i].ours && j < count; j++) {
                if (table[j].ours && table[j].pid == table[i].parent)
                    table[i].ours = more = true;
            }
        }
    }
    return found;
}

int bk_load_proc_usage(pid_t pid, struct bk_load_usage *ret)
{
    struct process *table = calloc(PROCESSES_MAX, sizeof *table);
    if (!table)
        return -ENOMEM;
    size_t count = list(table);
    int r = mark(table, count, pid) ? 0 : -ESRCH;
    uint64_t ticks = 0;
    struct bk_load_usage usage = { 0 };
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (!table[i].ours)
            continue;
        uint64_t kb = 0;
        r = read_pss(table[i].pid, &kb);
        if (r == -ENOENT || r == -ESRCH) {
            r = table[i].pid == pid ? -ESRCH : 0; /* a child that ended in between */
            continue;
        }
        ticks += table[i].ticks;
        usage.pss_kb += kb;
        usage.processes++;
    }
    free(table);
    if (r < 0)
        return r;
    usage.cpu_us = ticks * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
    *ret = usage;
    return 0;
}
