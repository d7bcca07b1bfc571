/* SPDX-License-Identifier: Apache-2.0 */
/* The command line, and the way to the server that it and the options name. */
#include "desktop/app_private.h"

#include "base/log.h"
#include "desktop/fake_engine.h"

#include <glib/gi18n.h>
#include <stdlib.h>

/* ---- options: beckon-cli's names ---- */

struct bk_app_options bk_app_options;

const GOptionEntry bk_app_option_rows[] = {
    { "background", 'b', 0, G_OPTION_ARG_NONE, &bk_app_options.background,
      N_("Start without a window, as at log-on"), NULL },
    { "version", 'v', 0, G_OPTION_ARG_NONE, &bk_app_options.version, N_("Print the version"),
      NULL },
    { "profile", 'p', 0, G_OPTION_ARG_FILENAME, &bk_app_options.profile,
      N_("Where keys, certificates and conversations are kept"), N_("FOLDER") },
    { "ca", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_FILENAME, &bk_app_options.ca,
      "Trust the authorities in FILE (PEM) beside the system's", "FILE" },
    { "only-ca", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &bk_app_options.only_ca,
      "Trust only those of --ca", NULL },
    { "dns", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING, &bk_app_options.dns,
      "Ask these name servers", "ADDR:PORT,..." },
    { "server", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING, &bk_app_options.server,
      "Use this server, look for none", "HOST[:PORT]" },
    { "discover-port", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_INT, &bk_app_options.discover_port,
      "Port of the HTTPS discovery services, for 443", "PORT" },
    { "fake", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_FILENAME, &bk_app_options.fake,
      "Play this script in place of a server", "FILE" },
    { "debug", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &bk_app_options.debug,
      "What the engine does, on standard error", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &bk_app_options.addresses, NULL,
      N_("[ADDRESS]") },
    { NULL },
};

/* In the process that was called, before it is known whether another one runs. */
int bk_app_local_options(GApplication *application, GVariantDict *dict)
{
    (void)application;
    (void)dict;
    if (bk_app_options.version) {
        g_print("beckon %s\n", BK_VERSION);
        return EXIT_OK;
    }
    if (bk_app_options.discover_port < 0 || bk_app_options.discover_port > 65535) {
        g_printerr("beckon: --discover-port: %d is not a number from 1 to 65535\n",
                   bk_app_options.discover_port);
        return EXIT_USAGE;
    }
    for (size_t i = 0; bk_app_options.addresses && bk_app_options.addresses[i]; i++) {
        g_autofree char *address = bk_address_of_link(bk_app_options.addresses[i]);
        if (!address) {
            g_printerr(_("beckon: %s is no address\n"), bk_app_options.addresses[i]);
            return EXIT_USAGE;
        }
    }
    /* Options with a variable of ours are not in the dictionary that goes to the first instance. */
    if (bk_app_options.background)
        g_variant_dict_insert(dict, "background", "b", TRUE);
    if (bk_app_options.addresses)
        g_variant_dict_insert(dict, G_OPTION_REMAINING, "^as", bk_app_options.addresses);
    return -1;
}

char **bk_app_again(BkApp *app)
{
    const struct {
        const char *name, *value;
    } texts[] = { { "--profile", bk_app_options.profile },
                  { "--ca", bk_app_options.ca },
                  { "--dns", bk_app_options.dns },
                  { "--server", bk_app_options.server },
                  { "--fake", bk_app_options.fake } };
    if (!app->again)
        return NULL;
    g_autoptr(GStrvBuilder) args = g_strv_builder_new();
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        if (texts[i].value)
            g_strv_builder_add_many(args, texts[i].name, texts[i].value, NULL);
    if (bk_app_options.discover_port) {
        g_autofree char *port = g_strdup_printf("--discover-port=%d", bk_app_options.discover_port);
        g_strv_builder_add(args, port);
    }
    if (bk_app_options.only_ca)
        g_strv_builder_add(args, "--only-ca");
    if (bk_app_options.debug)
        g_strv_builder_add(args, "--debug");
    if (app->again_hidden && !app->again->len)
        g_strv_builder_add(args, "--background");
    for (guint i = 0; i < app->again->len; i++)
        g_strv_builder_add(args, app->again->pdata[i]);
    return g_strv_builder_end(args);
}

/* ---- the way to the server ---- */

static char *manual_servers(BkApp *app)
{
    if (bk_app_options.server)
        return g_strdup(bk_app_options.server);
    if (bk_settings_bool(app->settings, BK_SETTING_AUTOMATIC_SERVER))
        return NULL;
    return g_strjoin(" ", bk_settings_string(app->settings, BK_SETTING_INTERNAL_SERVER),
                     bk_settings_string(app->settings, BK_SETTING_EXTERNAL_SERVER), NULL);
}

static const char *ca_file(BkApp *app)
{
    const char *set = bk_settings_string(app->settings, BK_SETTING_CA_FILE);
    return bk_app_options.ca ? bk_app_options.ca : *set ? set : NULL;
}

bool bk_app_keeps_nothing(BkApp *app)
{
    return !bk_settings_bool(app->settings, BK_SETTING_SAVE_SIGN_IN);
}

static struct bk_log debug_log = { .level = BK_LOG_DEBUG };

static int create_client(BkApp *app, bool with_options, struct bk_client **ret, char **ret_why)
{
    g_autofree char *manual = with_options ? manual_servers(app) : g_strdup(bk_app_options.server);
    struct bk_client_config config = {
        .profile_dir = app->profile,
        .name = "beckon",
        .device_kind = "desktop",
        .dns_servers = bk_app_options.dns,
        .ca_file = with_options ? ca_file(app) : bk_app_options.ca,
        .only_ca_file = bk_app_options.only_ca,
        .manual_server = manual,
        .discovery_port = (uint16_t)bk_app_options.discover_port,
        .keep_nothing = bk_app_keeps_nothing(app),
        .guard = &app->guard,
        .find_proxy = bk_proxy_finder_find,
        .find_proxy_ctx = app->proxies,
    };
    if (bk_app_options.debug) {
        debug_log.to = stderr;
        config.log = &debug_log;
    }
    return bk_client_create(&config, ret, ret_why);
}

static BkEngine *create_fake(void)
{
    struct bk_fake *fake = NULL;
    g_autofree char *why = NULL;
    if (bk_fake_open(bk_app_options.fake, &fake, &why) == 0)
        return bk_engine_new(&bk_fake_engine_ops, fake);
    g_printerr("beckon: %s\n", why ? why : bk_app_options.fake);
    return NULL;
}

BkEngine *bk_app_create_engine(BkApp *app)
{
    if (bk_app_options.fake)
        return create_fake();
    struct bk_client *client = NULL;
    char *why = NULL;
    int r = create_client(app, true, &client, &why);
    if (r < 0) { /* what the person entered once must not keep Beckon from starting */
        app->notice = g_strdup_printf(_("The connection settings cannot be used: %s"),
                                      why ? why : g_strerror(-r));
        free(why);
        why = NULL;
        r = create_client(app, false, &client, &why);
    }
    if (r < 0)
        g_printerr("beckon: %s\n", why ? why : g_strerror(-r));
    free(why);
    if (r < 0)
        return NULL;
    BkEngine *engine = bk_engine_new(&bk_engine_client_ops, client);
    bk_proxy_finder_set_engine(app->proxies, engine);
    return engine;
}

int bk_app_sign_in(BkApp *app, const char *address, const char *password, const char *user,
                   char **ret_why)
{
    g_autofree char *manual = manual_servers(app);
    const struct bk_client_connection connection = {
        .manual_server = manual,
        .ca_file = ca_file(app),
        .keep_nothing = bk_app_keeps_nothing(app),
    };
    char *why = NULL;
    int r = bk_engine_set_connection(app->engine, &connection, &why);
    if (r == 0)
        r = bk_engine_sign_in(app->engine, address, password, user);
    if (r < 0 && ret_why)
        *ret_why = g_strdup(why ? why : g_strerror(-r));
    free(why);
    if (r < 0)
        return r;
    const char *word = bk_settings_string(app->settings, BK_SETTING_STATUS_AT_SIGN_IN);
    enum bk_pidf_manual manual_status = bk_pidf_manual_of(bk_view_of_str(word));
    if (manual_status != BK_PIDF_MANUAL_MISSING)
        (void)bk_engine_set_status(app->engine, manual_status);
    else
        word = bk_pidf_manual_name(BK_PIDF_MANUAL_NONE);
    g_simple_action_set_state(bk_app_action(app, "status"), g_variant_new_string(word));
    return 0;
}

/* The account that signed in last, where no password is needed for it. */
bool bk_app_sign_in_saved(BkApp *app)
{
    g_autoptr(BkAccount) account = g_list_model_get_item(G_LIST_MODEL(app->accounts), 0);
    if (!account || !bk_account_is_saved(account) || bk_app_keeps_nothing(app))
        return false;
    return bk_app_sign_in(app, bk_account_address(account), NULL, NULL, NULL) == 0;
}
