/* SPDX-License-Identifier: Apache-2.0 */
/* base/log.h - one line per event, with fields. */
#ifndef BK_BASE_LOG_H
#define BK_BASE_LOG_H

#include <stdbool.h>
#include <stdio.h>

enum bk_log_level {
    BK_LOG_ERROR,
    BK_LOG_WARNING,
    BK_LOG_NOTICE,
    BK_LOG_INFO,
    BK_LOG_DEBUG,
};

/*
 * A line is `2026-11-22T05:26:04.123Z notice registration refused aor=ann@example.org reason="..."`
 * (or one JSON object per line). Values are quoted where they hold blanks, quotes or control bytes,
 * and cut at 256 bytes. Never a password, never a message body. Safe from every thread.
 */
struct bk_log {
    enum bk_log_level level; /* less important lines are dropped */
    bool json;
    FILE *to;
};

/* key, value pairs of const char *, ended by NULL; a NULL value is written as "-". */
void bk_log_write(const struct bk_log *log, enum bk_log_level level, const char *what, ...)
    __attribute__((sentinel));

#define bk_log(log_, level_, ...)                                                                  \
    do {                                                                                           \
        const struct bk_log *bk_log_to = (log_);                                                   \
        if (bk_log_to && (level_) <= bk_log_to->level)                                             \
            bk_log_write(bk_log_to, (level_), __VA_ARGS__, NULL);                                  \
    } while (0)

/* "error", "warning", ...; -1 for anything else. */
int bk_log_level_parse(const char *text);

#endif
