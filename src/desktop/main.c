/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/app.h"
#include <glib/gi18n.h>
#include <locale.h>

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    const char *locales = g_getenv("BECKON_LOCALE_DIR");
    bindtextdomain("beckon", locales ? locales : BK_LOCALE_DIR);
    bind_textdomain_codeset("beckon", "UTF-8");
    textdomain("beckon");

    g_autoptr(BkApp) app = bk_app_new();
    return g_application_run(G_APPLICATION(app), argc, argv);
}
