/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/app.h"
#include "desktop/watchdog.h"
#include <glib/gi18n.h>
#include <locale.h>
#include <stdlib.h>
#include <unistd.h>

enum { HISTORY_WAITS_MS = 3000 };

/* In this process's place, which whoever started it goes on to watch. Returns where that is not possible. */
static void start_again(char **args)
{
    g_autoptr(GStrvBuilder) all = g_strv_builder_new();
    g_strv_builder_add(all, "beckon");
    g_strv_builder_addv(all, (const char **)args);
    g_auto(GStrv) argv = g_strv_builder_end(all);
    g_autofree char *program = bk_app_program();
    if (program)
        (void)execv(program, argv);
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    const char *locales = g_getenv("BECKON_LOCALE_DIR");
    bindtextdomain("beckon", locales ? locales : BK_LOCALE_DIR);
    bind_textdomain_codeset("beckon", "UTF-8");
    textdomain("beckon");

    const char *watchdog = g_getenv("BECKON_WATCHDOG_MS");
    if (watchdog && atoi(watchdog) > 0)
        bk_watchdog_start((unsigned)atoi(watchdog));

    g_autoptr(BkApp) app = bk_app_new();
    int status = g_application_run(G_APPLICATION(app), argc, argv);
    (void)bk_history_wait(HISTORY_WAITS_MS);
    g_auto(GStrv) again = bk_app_again(app);
    if (again)
        start_again(again);
    return status ? status : bk_app_status(app);
}
