/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/app_private.h"

#include "client/profile.h"
#include "desktop/signin_page.h"
#include "desktop/talk_window.h"

#include <gdk/x11/gdkx.h>
#include <glib-unix.h>
#include <glib/gi18n.h>
#include <signal.h>

/* ---- the object ---- */

G_DEFINE_TYPE(BkApp, bk_app, ADW_TYPE_APPLICATION)

enum { PROP_TALKS = 1 };

BkApp *bk_app_default(void)
{
    return BK_APP(g_application_get_default());
}

BkEngine *bk_app_engine(BkApp *app)
{
    return app->engine;
}

BkSettings *bk_app_settings(BkApp *app)
{
    return app->settings;
}

BkRoster *bk_app_roster(BkApp *app)
{
    return app->roster;
}

BkTray *bk_app_tray(BkApp *app)
{
    return app->tray;
}

BkAccounts *bk_app_accounts(BkApp *app)
{
    return app->accounts;
}

BkTalks *bk_app_talks(BkApp *app)
{
    return app->talks;
}

BkHistory *bk_app_history(BkApp *app)
{
    return app->history;
}

BkActivity *bk_app_activity(BkApp *app)
{
    return app->activity;
}

const char *bk_app_profile(BkApp *app)
{
    return app->profile;
}

GMenuModel *bk_app_menu(BkApp *app, const char *id)
{
    return G_MENU_MODEL(gtk_application_get_menu_by_id(GTK_APPLICATION(app), id));
}

void bk_app_toast(BkApp *app, const char *text)
{
    if (app->window)
        bk_main_window_toast(app->window, text);
}

/* ---- windows ---- */

/* The first time only: who signed in here last is signed in by himself. */
static void begin(BkApp *app)
{
    if (app->started)
        return;
    app->started = true;
    /* Before its window, so that it hears everything from the start. */
    app->signin_page = g_object_ref_sink(GTK_WIDGET(bk_signin_page_new(app)));
    if (bk_settings_bool(app->settings, BK_SETTING_SIGN_IN_AT_START) && !bk_app_options.fake)
        (void)bk_app_sign_in_saved(app);
}

/* With what the panel or the alert that was pressed gave for it. */
static void present(BkApp *app, GtkWindow *window)
{
    g_autofree char *of_tray = bk_tray_take_activation_token(app->tray);
    g_autofree char *of_alert = bk_alerts_take_activation_token(app->alerts);
    if (of_tray || of_alert)
        gtk_window_set_startup_id(window, of_tray ? of_tray : of_alert);
    gtk_window_present(window);
}

void bk_app_show(BkApp *app)
{
    if (bk_app_is_too_late(app, NULL, false))
        return;
    begin(app);
    if (!app->window) {
        app->window = bk_main_window_new(app, app->signin_page);
        g_object_add_weak_pointer(G_OBJECT(app->window), (gpointer *)&app->window);
    }
    bk_alerts_withdraw(app->alerts, "credential");
    present(app, GTK_WINDOW(app->window));
    g_autofree char *notice = g_steal_pointer(&app->notice);
    if (notice)
        bk_main_window_toast(app->window, notice);
}

void bk_app_open_talk(BkApp *app, const char *address)
{
    if (bk_app_is_too_late(app, address, false))
        return;
    if (!app->talks || !bk_engine_has_session(app->engine)) {
        g_free(app->talk_wanted);
        app->talk_wanted = g_strdup(address);
        bk_app_show(app);
        return;
    }
    BkTalk *talk = bk_talks_with(app->talks, address);
    if (!talk)
        return;
    BkTalkWindow *window = bk_talk_window_find(app, talk);
    if (!window)
        window = bk_talk_window_new(app, talk);
    present(app, GTK_WINDOW(window));
    bk_talk_window_focus_entry(window);
}

/* ---- start ---- */

/* Where this program lies; that of a file replaced while it runs ends in a remark. */
char *bk_app_program(void)
{
    char *program = g_file_read_link("/proc/self/exe", NULL);
    if (program && g_str_has_suffix(program, " (deleted)"))
        program[strlen(program) - strlen(" (deleted)")] = 0;
    return program;
}

static void apply_colours(BkApp *app)
{
    const char *word = bk_settings_string(app->settings, BK_SETTING_COLOUR_SCHEME);
    adw_style_manager_set_color_scheme(adw_style_manager_get_default(),
                                       strcmp(word, "light") == 0  ? ADW_COLOR_SCHEME_FORCE_LIGHT
                                       : strcmp(word, "dark") == 0 ? ADW_COLOR_SCHEME_FORCE_DARK
                                                                   : ADW_COLOR_SCHEME_DEFAULT);
}

static void apply_start(BkApp *app)
{
    g_autofree char *program = bk_app_program();
    if (program)
        (void)bk_settings_apply_autostart(app->settings, program);
}

/* Not the one that programs of old have beside Wayland: it sees their input alone. */
static const char *x11_display(void)
{
    GdkDisplay *display = gdk_display_get_default();
    return GDK_IS_X11_DISPLAY(display) ? gdk_display_get_name(display) : NULL;
}

/* Without one nobody tells of suspend; the rest works all the same. */
static void on_system_bus(GObject *source, GAsyncResult *result, gpointer p)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GDBusConnection) system = g_bus_get_finish(result, &error);
    BkApp *app = p;
    (void)source;
    if (system)
        g_dbus_connection_set_exit_on_close(system, FALSE);
    if (!g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        app->activity = bk_activity_new(app->engine, app->settings,
                                        g_application_get_dbus_connection(G_APPLICATION(app)),
                                        system, x11_display());
}

/* Any key, click or movement in one of our windows, before it does anything. */
static gboolean on_input(GtkEventController *controller, GdkEvent *event, BkApp *app)
{
    (void)controller;
    switch (gdk_event_get_event_type(event)) {
    case GDK_KEY_PRESS:
    case GDK_BUTTON_PRESS:
    case GDK_TOUCH_BEGIN:
    case GDK_SCROLL:
    case GDK_MOTION_NOTIFY:
        if (app->activity)
            bk_activity_touched(app->activity);
        break;
    default:
        break;
    }
    return GDK_EVENT_PROPAGATE;
}

static void window_added(GtkApplication *application, GtkWindow *window)
{
    GtkEventController *controller = gtk_event_controller_legacy_new();
    gtk_event_controller_set_propagation_phase(controller, GTK_PHASE_CAPTURE);
    g_signal_connect_object(controller, "event", G_CALLBACK(on_input), application, 0);
    gtk_widget_add_controller(GTK_WIDGET(window), controller);
    GTK_APPLICATION_CLASS(bk_app_parent_class)->window_added(application, window);
}

/* Nobody can be asked. */
static gboolean on_signal(gpointer app)
{
    bk_app_leave(app, false);
    return G_SOURCE_CONTINUE;
}

static void say_complaints(BkApp *app)
{
    for (const char *const *at = bk_settings_complaints(app->settings); *at; at++)
        g_printerr("beckon: %s\n", *at);
}

static void startup(GApplication *application)
{
    BkApp *app = BK_APP(application);
    G_APPLICATION_CLASS(bk_app_parent_class)->startup(application);

    app->profile = bk_profile_root(bk_app_options.profile);
    app->settings = bk_settings_new(NULL, NULL);
    say_complaints(app);
    app->accounts = bk_accounts_new(app->profile);
    app->secrets = bk_secrets_create(app->profile, BK_SECRETS_DEADLINE_MS);
    app->guard = bk_secrets_guard(app->secrets);
    app->proxies = bk_proxy_finder_create(app->settings);
    app->engine = bk_app_create_engine(app);
    if (!app->engine) {
        app->status = EXIT_BROKEN;
        app->leaving = GONE;
        g_application_quit(application);
        return;
    }
    bk_app_add_actions(app);
    app->roster = bk_roster_new(app->engine, app->settings);
    app->tray = bk_tray_new(application, bk_app_menu(app, "tray-menu"), "show");
    app->alerts = bk_alerts_new(application, g_application_get_dbus_connection(application),
                                app->roster, app->settings);
    gtk_window_set_default_icon_name(BK_APP_ID);

    bk_app_hear_engine(app);
    g_signal_connect_swapped(bk_roster_self(app->roster), "notify::shown",
                             G_CALLBACK(bk_app_update_tray), app);
    g_signal_connect_swapped(app->settings, "changed::colour-scheme", G_CALLBACK(apply_colours),
                             app);
    g_signal_connect_swapped(app->settings, "policy-read", G_CALLBACK(say_complaints), app);
    g_signal_connect_swapped(app->settings, "changed::start-at-log-on", G_CALLBACK(apply_start),
                             app);
    g_signal_connect_swapped(app->accounts, "items-changed", G_CALLBACK(bk_app_update_actions),
                             app);
    g_unix_signal_add(SIGTERM, on_signal, app);
    g_unix_signal_add(SIGINT, on_signal, app);
    g_unix_signal_add(SIGHUP, on_signal, app);
    apply_colours(app);
    bk_app_update_actions(app);
    bk_app_update_tray(app);
    app->ending = g_cancellable_new();
    g_bus_get(G_BUS_TYPE_SYSTEM, app->ending, on_system_bus, app);
    g_application_hold(application); /* without a window it goes on, too */
}

static void activate(GApplication *application)
{
    BkApp *app = BK_APP(application);
    if (app->engine)
        bk_app_show(app);
}

static void open_links(GApplication *application, GFile **files, int n, const char *hint)
{
    BkApp *app = BK_APP(application);
    (void)hint;
    if (!app->engine)
        return;
    begin(app);
    for (int i = 0; i < n; i++) {
        g_autofree char *uri = g_file_get_uri(files[i]);
        g_autofree char *address = bk_address_of_link(uri);
        if (address)
            bk_app_open_talk(app, address);
    }
}

static int command_line(GApplication *application, GApplicationCommandLine *line)
{
    BkApp *app = BK_APP(application);
    GVariantDict *dict = g_application_command_line_get_options_dict(line);
    g_auto(GStrv) addresses = NULL;
    if (!app->engine)
        return app->status;
    bool first = !app->started;
    begin(app);
    (void)g_variant_dict_lookup(dict, G_OPTION_REMAINING, "^as", &addresses);
    for (size_t i = 0; addresses && addresses[i]; i++) {
        g_autofree char *address = bk_address_of_link(addresses[i]);
        if (address)
            bk_app_open_talk(app, address);
    }
    bool hidden = g_variant_dict_contains(dict, "background") &&
                  !(first && bk_settings_bool(app->settings, BK_SETTING_SHOW_IN_FOREGROUND));
    if (!addresses && !bk_app_is_too_late(app, NULL, hidden) && !hidden)
        bk_app_show(app);
    return EXIT_OK;
}

static void shutdown_app(GApplication *application)
{
    BkApp *app = BK_APP(application);
    g_clear_handle_id(&app->lost_timer, g_source_remove);
    g_clear_handle_id(&app->missed_timer, g_source_remove);
    g_clear_handle_id(&app->leave_timer, g_source_remove);
    if (app->window)
        gtk_window_destroy(GTK_WINDOW(app->window));
    g_clear_object(&app->signin_page);
    if (app->ending)
        g_cancellable_cancel(app->ending);
    g_clear_object(&app->ending);
    bk_app_end_session(app);
    g_clear_object(&app->activity);
    g_clear_object(&app->alerts);
    g_clear_object(&app->tray);
    g_clear_object(&app->roster);
    g_clear_object(&app->engine);
    g_clear_object(&app->accounts);
    g_clear_object(&app->settings);
    G_APPLICATION_CLASS(bk_app_parent_class)->shutdown(application);
}

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    if (id == PROP_TALKS)
        g_value_set_object(value, BK_APP(object)->talks);
    else
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
}

static void finalize(GObject *object)
{
    BkApp *app = BK_APP(object);
    free(app->profile);
    g_free(app->talk_wanted);
    g_free(app->notice);
    g_free(app->deleting);
    if (app->again)
        g_ptr_array_unref(app->again);
    G_OBJECT_CLASS(bk_app_parent_class)->finalize(object);
}

static void bk_app_class_init(BkAppClass *class)
{
    GApplicationClass *application = G_APPLICATION_CLASS(class);
    G_OBJECT_CLASS(class)->finalize = finalize;
    G_OBJECT_CLASS(class)->get_property = get_property;
    g_object_class_install_property(
        G_OBJECT_CLASS(class), PROP_TALKS,
        g_param_spec_object("talks", NULL, NULL, BK_TYPE_TALKS,
                            G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS));
    GTK_APPLICATION_CLASS(class)->window_added = window_added;
    application->startup = startup;
    application->activate = activate;
    application->open = open_links;
    application->command_line = command_line;
    application->handle_local_options = bk_app_local_options;
    application->shutdown = shutdown_app;
}

static void bk_app_init(BkApp *app)
{
    g_application_add_main_option_entries(G_APPLICATION(app), bk_app_option_rows);
    g_application_set_option_context_summary(
        G_APPLICATION(app), _("Messages and presence on your organisation's own server."));
}

BkApp *bk_app_new(void)
{
    return g_object_new(BK_TYPE_APP, "application-id", BK_APP_ID, "flags",
                        G_APPLICATION_HANDLES_COMMAND_LINE | G_APPLICATION_HANDLES_OPEN, NULL);
}

int bk_app_status(BkApp *app)
{
    return app->status;
}
