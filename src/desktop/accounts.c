/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/accounts.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "client/client.h"
#include "client/profile.h"

#include <glib/gstdio.h>
#include <string.h>

enum { ORDER_FILE_MAX = 16 * 1024, ACCOUNTS_MAX = 50 };

char *bk_address_of_link(const char *link)
{
    static const char *const schemes[] = { "sip:", "sips:", "im:", "pres:" };
    size_t at, scheme = 0;
    const char *why;
    for (gsize i = 0; i < G_N_ELEMENTS(schemes) && !scheme; i++)
        if (g_ascii_strncasecmp(link, schemes[i], strlen(schemes[i])) == 0)
            scheme = strlen(schemes[i]);
    link += scheme;
    if (scheme && strncmp(link, "//", 2) == 0)
        link += 2;
    g_autofree char *bare = g_strndup(link, strcspn(link, ";?"));
    g_autofree char *address = g_uri_unescape_string(bare, NULL);
    if (!address || bk_client_check_address(address, &at, &why) < 0 ||
        g_ascii_strncasecmp(address, "sip:", 4) == 0)
        return NULL;
    return g_ascii_strdown(address, -1);
}

/* ---- one of them ---- */

struct _BkAccount {
    GObject parent;
    char *address, *user;
    bool saved;
};
G_DEFINE_TYPE(BkAccount, bk_account, G_TYPE_OBJECT)

enum { PROP_ADDRESS = 1, PROP_USER, PROP_SAVED };

static void account_get(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    BkAccount *account = BK_ACCOUNT(object);
    switch (id) {
    case PROP_ADDRESS:
        g_value_set_string(value, account->address);
        break;
    case PROP_USER:
        g_value_set_string(value, account->user);
        break;
    case PROP_SAVED:
        g_value_set_boolean(value, account->saved);
        break;
    default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    }
}

static void account_finalize(GObject *object)
{
    BkAccount *account = BK_ACCOUNT(object);
    g_free(account->address);
    g_free(account->user);
    G_OBJECT_CLASS(bk_account_parent_class)->finalize(object);
}

static void bk_account_class_init(BkAccountClass *class)
{
    GObjectClass *object = G_OBJECT_CLASS(class);
    const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;
    object->get_property = account_get;
    object->finalize = account_finalize;
    g_object_class_install_property(object, PROP_ADDRESS,
                                    g_param_spec_string("address", NULL, NULL, "", flags));
    g_object_class_install_property(object, PROP_USER,
                                    g_param_spec_string("user", NULL, NULL, "", flags));
    g_object_class_install_property(object, PROP_SAVED,
                                    g_param_spec_boolean("saved", NULL, NULL, FALSE, flags));
}

static void bk_account_init(BkAccount *account)
{
    (void)account;
}

const char *bk_account_address(BkAccount *account)
{
    return account->address;
}

const char *bk_account_user(BkAccount *account)
{
    return account->user;
}

bool bk_account_is_saved(BkAccount *account)
{
    return account->saved;
}

/* ---- all of them ---- */

struct _BkAccounts {
    GObject parent;
    char *root;          /* of the profile; NULL: no home folder known */
    char *order_file;    /* addresses, newest first, a line each */
    GPtrArray *order;    /* as in the file, and those of this run alone */
    GHashTable *passing; /* the latter */
    GPtrArray *items;    /* BkAccount, as shown */
};

static void list_model_init(GListModelInterface *iface);
G_DEFINE_TYPE_WITH_CODE(BkAccounts, bk_accounts, G_TYPE_OBJECT,
                        G_IMPLEMENT_INTERFACE(G_TYPE_LIST_MODEL, list_model_init))

static GType item_type(GListModel *model)
{
    (void)model;
    return BK_TYPE_ACCOUNT;
}

static guint n_items(GListModel *model)
{
    return BK_ACCOUNTS(model)->items->len;
}

static gpointer item_at(GListModel *model, guint position)
{
    GPtrArray *items = BK_ACCOUNTS(model)->items;
    return position < items->len ? g_object_ref(items->pdata[position]) : NULL;
}

static void list_model_init(GListModelInterface *iface)
{
    iface->get_item_type = item_type;
    iface->get_n_items = n_items;
    iface->get_item = item_at;
}

/* In lower case and without "sip:"; NULL: no address, so it is no harmless name of a folder either. */
static char *plain(const char *address)
{
    size_t at;
    const char *why;
    if (!address || bk_client_check_address(address, &at, &why) < 0)
        return NULL;
    return g_ascii_strdown(g_ascii_strncasecmp(address, "sip:", 4) == 0 ? address + 4 : address,
                           -1);
}

static int find_text(const GPtrArray *texts, const char *text)
{
    for (guint i = 0; i < texts->len; i++)
        if (strcmp(texts->pdata[i], text) == 0)
            return (int)i;
    return -1;
}

static void read_order(BkAccounts *accounts)
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    g_ptr_array_set_size(accounts->order, 0);
    if (bk_file_read(accounts->order_file, ORDER_FILE_MAX, &text) < 0)
        return;
    bk_buf_add_char(&text, 0);
    g_auto(GStrv) lines = g_strsplit(text.failed ? "" : text.at, "\n", -1);
    for (size_t i = 0; lines[i] && accounts->order->len < ACCOUNTS_MAX; i++) {
        char *address = plain(g_strstrip(lines[i]));
        if (address && find_text(accounts->order, address) < 0)
            g_ptr_array_add(accounts->order, address);
        else
            g_free(address);
    }
}

static void write_order(BkAccounts *accounts)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < accounts->order->len; i++)
        if (!g_hash_table_contains(accounts->passing, accounts->order->pdata[i]))
            g_string_append_printf(text, "%s\n", (const char *)accounts->order->pdata[i]);
    g_autofree char *folder = g_path_get_dirname(accounts->order_file);
    if (g_mkdir_with_parents(folder, 0700) < 0 ||
        bk_file_replace(accounts->order_file, bk_view_of_str(text->str), 0600) < 0)
        g_warning("%s cannot be written", accounts->order_file);
}

static BkAccount *look_at(BkAccounts *accounts, const char *address)
{
    struct bk_profile_kept kept = { 0 };
    if (accounts->root)
        (void)bk_profile_peek(accounts->root, address, &kept);
    BkAccount *account = g_object_new(BK_TYPE_ACCOUNT, NULL);
    account->address = g_strdup(address);
    account->user = g_strdup(kept.user);
    account->saved = kept.saved;
    return account;
}

/* Those with a folder of their own that the order does not know: from before, or signed in by another program. */
static void add_folders(BkAccounts *accounts, GPtrArray *addresses)
{
    g_autoptr(GDir) dir = accounts->root ? g_dir_open(accounts->root, 0, NULL) : NULL;
    BK_AUTO_BUF struct bk_buf last = { 0 };
    guint first = addresses->len;
    const char *name;
    while (dir && (name = g_dir_read_name(dir)) && addresses->len < ACCOUNTS_MAX) {
        struct bk_profile_kept kept;
        g_autofree char *address = plain(name);
        if (address && strcmp(address, name) == 0 && find_text(addresses, address) < 0 &&
            bk_profile_peek(accounts->root, address, &kept) == 0)
            g_ptr_array_add(addresses, g_steal_pointer(&address));
    }
    if (accounts->root && bk_profile_last_address(accounts->root, &last) == 0) {
        bk_buf_add_char(&last, 0);
        int at = last.failed ? -1 : find_text(addresses, last.at);
        if (at > (int)first) {
            g_ptr_array_insert(addresses, (int)first, g_strdup(last.at));
            g_ptr_array_remove_index(addresses, (guint)at + 1);
        }
    }
}

void bk_accounts_refresh(BkAccounts *accounts)
{
    g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < accounts->order->len; i++)
        g_ptr_array_add(addresses, g_strdup(accounts->order->pdata[i]));
    add_folders(accounts, addresses);
    guint before = accounts->items->len;
    g_ptr_array_set_size(accounts->items, 0);
    for (guint i = 0; i < addresses->len; i++)
        g_ptr_array_add(accounts->items, look_at(accounts, addresses->pdata[i]));
    g_list_model_items_changed(G_LIST_MODEL(accounts), 0, before, accounts->items->len);
}

BkAccount *bk_accounts_find(BkAccounts *accounts, const char *address)
{
    g_autofree char *wanted = plain(address);
    for (guint i = 0; wanted && i < accounts->items->len; i++)
        if (strcmp(bk_account_address(accounts->items->pdata[i]), wanted) == 0)
            return accounts->items->pdata[i];
    return NULL;
}

void bk_accounts_used(BkAccounts *accounts, const char *address, bool keep)
{
    g_autofree char *wanted = plain(address);
    if (!wanted)
        return;
    int at = find_text(accounts->order, wanted);
    bool other = keep ? g_hash_table_remove(accounts->passing, wanted)
                      : g_hash_table_add(accounts->passing, g_strdup(wanted));
    if (at != 0) {
        if (at > 0)
            g_ptr_array_remove_index(accounts->order, (guint)at);
        g_ptr_array_insert(accounts->order, 0, g_steal_pointer(&wanted));
        if (accounts->order->len > ACCOUNTS_MAX)
            g_ptr_array_set_size(accounts->order, ACCOUNTS_MAX);
    }
    if (keep ? at != 0 || other : at >= 0 && other)
        write_order(accounts);
    bk_accounts_refresh(accounts);
}

void bk_accounts_forget(BkAccounts *accounts, const char *address)
{
    g_autofree char *wanted = plain(address);
    int at = wanted ? find_text(accounts->order, wanted) : -1;
    if (at >= 0) {
        (void)g_hash_table_remove(accounts->passing, wanted);
        g_ptr_array_remove_index(accounts->order, (guint)at);
        write_order(accounts);
    }
    bk_accounts_refresh(accounts);
}

static void finalize(GObject *object)
{
    BkAccounts *accounts = BK_ACCOUNTS(object);
    free(accounts->root);
    g_free(accounts->order_file);
    g_ptr_array_unref(accounts->order);
    g_hash_table_unref(accounts->passing);
    g_ptr_array_unref(accounts->items);
    G_OBJECT_CLASS(bk_accounts_parent_class)->finalize(object);
}

static void bk_accounts_class_init(BkAccountsClass *class)
{
    G_OBJECT_CLASS(class)->finalize = finalize;
}

static void bk_accounts_init(BkAccounts *accounts)
{
    accounts->order = g_ptr_array_new_with_free_func(g_free);
    accounts->passing = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    accounts->items = g_ptr_array_new_with_free_func(g_object_unref);
}

BkAccounts *bk_accounts_new(const char *profile)
{
    BkAccounts *accounts = g_object_new(BK_TYPE_ACCOUNTS, NULL);
    accounts->root = bk_profile_root(profile);
    accounts->order_file = g_build_filename(g_get_user_config_dir(), "beckon", "accounts", NULL);
    read_order(accounts);
    bk_accounts_refresh(accounts);
    return accounts;
}
