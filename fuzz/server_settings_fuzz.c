/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a configuration file ends; a refusal names a line the file has and a reason in one line of text; what was taken has
 * a value for every text, and reads the same a second time.
 */
#include "server/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* "path:LINE: why" with a line that is there, and nothing that would tear a log. */
static void refusal_check(const char *why, const char *path, size_t lines)
{
    check(why && strncmp(why, path, strlen(path)) == 0 && why[strlen(path)] == ':');
    char *end;
    unsigned long line = strtoul(why + strlen(path) + 1, &end, 10);
    check(line >= 1 && line <= lines && strncmp(end, ": ", 2) == 0 && end[2]);
    check(!strpbrk(why, "\r\n"));
}

static void same_check(const struct bk_settings *a, const struct bk_settings *b)
{
    check(a->name && a->store && a->admin_socket && a->tls && a->tcp && a->udp && a->https &&
          a->certificate && a->key && a->public_url && a->advertise && a->user && a->log_level &&
          a->own_networks);
    check(!strcmp(a->name, b->name) && !strcmp(a->tls, b->tls) && !strcmp(a->store, b->store));
    check(a->shards == b->shards && a->memory_max == b->memory_max);
    check(!memcmp(&a->limits, &b->limits, sizeof a->limits));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64], *why = NULL;
    struct bk_settings settings, again;
    size_t lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';

    int fd = memfd_create("settings", MFD_CLOEXEC);
    check(fd >= 0);
    check(write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int r = bk_settings_load(path, &settings, &why);
    if (r < 0) {
        check(r == -EINVAL);
        refusal_check(why, path, lines);
        free(why);
    } else {
        check(bk_settings_load(path, &again, &why) == 0);
        same_check(&settings, &again);
        bk_settings_finish(&again);
        bk_settings_finish(&settings);
    }
    close(fd);
    return 0;
}
