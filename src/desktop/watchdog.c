/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/watchdog.h"
#include <stdio.h>

#define STANDING_US (5 * G_USEC_PER_SEC)

struct watchdog {
    gint64 limit_us;
    gint64 turned_us; /* atomically: when the loop turned last */
    gint64 busy_us;   /* what this thread had worked and waited for a processor by then */
};

/* Microseconds that this thread ran or was ready to run (proc(5), schedstat); 0 where the kernel does not count them. */
static gint64 busy_us(void)
{
    unsigned long long ran_ns = 0, ready_ns = 0;
    FILE *file = fopen("/proc/thread-self/schedstat", "re");
    if (!file)
        return 0;
    int n = fscanf(file, "%llu %llu", &ran_ns, &ready_ns);
    fclose(file);
    return n == 2 ? (gint64)((ran_ns + ready_ns) / 1000) : 0;
}

static gboolean turn(gpointer data)
{
    struct watchdog *dog = data;
    gint64 now = g_get_monotonic_time(), busy = busy_us();
    gint64 stood = now - __atomic_exchange_n(&dog->turned_us, now, __ATOMIC_RELAXED);
    gint64 waited = stood - (busy - dog->busy_us);
    if (waited > dog->limit_us)
        g_printerr("watchdog: the window's thread stood still for %" G_GINT64_FORMAT " ms\n",
                   waited / 1000);
    else if (stood > dog->limit_us)
        g_printerr("watchdog-busy: the window's thread was busy for %" G_GINT64_FORMAT " ms\n",
                   stood / 1000);
    dog->busy_us = busy;
    return G_SOURCE_CONTINUE;
}

/* Only a loop that never turns again needs somebody else to say so. */
static gpointer watch(gpointer data)
{
    struct watchdog *dog = data;
    for (gint64 told_us = STANDING_US;;) {
        g_usleep(G_USEC_PER_SEC / 4);
        gint64 stands = g_get_monotonic_time() - __atomic_load_n(&dog->turned_us, __ATOMIC_RELAXED);
        if (stands < told_us) {
            told_us = stands < STANDING_US ? STANDING_US : told_us;
            continue;
        }
        g_printerr("watchdog: the window's thread stands still since %" G_GINT64_FORMAT " ms\n",
                   stands / 1000);
        told_us = stands + STANDING_US;
    }
    return NULL;
}

void bk_watchdog_start(unsigned limit_ms)
{
    static struct watchdog dog;
    if (dog.limit_us > 0)
        return;
    dog.limit_us = (gint64)limit_ms * 1000;
    dog.turned_us = g_get_monotonic_time();
    dog.busy_us = busy_us();
    guint id = g_timeout_add_full(G_PRIORITY_HIGH, MAX(limit_ms / 8, 1), turn, &dog, NULL);
    g_source_set_name_by_id(id, "beckon watchdog");
    g_thread_unref(g_thread_new("watchdog", watch, &dog));
}
