/* SPDX-License-Identifier: Apache-2.0 */
/* What reads as a time, written and read again, is the same time, and in one spelling only. */
#include "base/text.h"

#include <stdlib.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int64_t year_0000_ms = -62167219200000, year_9999_ms = 253402300799999;

/* The libc knows the calendar too. */
static void check_against_libc(int64_t real_ms, const char *http)
{
    int64_t ms_of_second = (real_ms % 1000 + 1000) % 1000;
    time_t seconds = (time_t)((real_ms - ms_of_second) / 1000);
    struct tm tm;
    char want[64];
    if (!gmtime_r(&seconds, &tm))
        abort();
    if (tm.tm_year + 1900 < 1000)
        return; /* strftime's %Y does not fill up with zeros */
    strftime(want, sizeof want, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    if (strcmp(want, http) != 0)
        abort();
}

static void check_instant(int64_t real_ms)
{
    char iso[32], http[32], again[32];
    int64_t back;

    bk_time_iso(real_ms, true, iso);
    if (bk_time_iso_parse(bk_view_of_str(iso), &back) != 0 || back != real_ms)
        abort();
    bk_time_iso(back, true, again);
    if (strcmp(iso, again) != 0 || strlen(iso) != 24)
        abort();

    int64_t whole = real_ms - (real_ms % 1000 + 1000) % 1000;
    bk_time_iso(real_ms, false, iso);
    if (bk_time_iso_parse(bk_view_of_str(iso), &back) != 0 || back != whole || strlen(iso) != 20)
        abort();
    bk_time_http(real_ms, http);
    if (bk_time_http_parse(bk_view_of_str(http), &back) != 0 || back != whole)
        abort();
    check_against_libc(real_ms, http);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bk_view text = { (const char *)data, size };
    int64_t ms;
    /* An offset or a leap second may lead out of the years that can be written. */
    if (bk_time_iso_parse(text, &ms) == 0 && ms >= year_0000_ms && ms <= year_9999_ms)
        check_instant(ms);
    if (bk_time_http_parse(text, &ms) == 0 && ms <= year_9999_ms)
        check_instant(ms);
    if (size == sizeof ms) {
        memcpy(&ms, data, sizeof ms);
        check_instant(year_0000_ms +
                      (int64_t)((uint64_t)ms % (uint64_t)(year_9999_ms - year_0000_ms)));
    }
    return 0;
}
