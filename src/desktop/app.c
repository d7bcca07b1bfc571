/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/app.h"

struct _BkApp {
    AdwApplication parent;
};
G_DEFINE_TYPE(BkApp, bk_app, ADW_TYPE_APPLICATION)

static void activate(GApplication *application)
{
    GtkWindow *window = gtk_application_get_active_window(GTK_APPLICATION(application));
    if (!window)
        window = GTK_WINDOW(adw_application_window_new(GTK_APPLICATION(application)));
    gtk_window_present(window);
}

static void bk_app_class_init(BkAppClass *class)
{
    G_APPLICATION_CLASS(class)->activate = activate;
}

static void bk_app_init(BkApp *app)
{
    (void)app;
}

BkApp *bk_app_new(void)
{
    return g_object_new(BK_TYPE_APP, "application-id", BK_APP_ID, "flags",
                        G_APPLICATION_DEFAULT_FLAGS, NULL);
}
