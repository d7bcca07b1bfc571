/* SPDX-License-Identifier: Apache-2.0 */
/* desktop/accounts.h - the addresses that signed in on this computer, newest first. No widget. */
#ifndef BK_DESKTOP_ACCOUNTS_H
#define BK_DESKTOP_ACCOUNTS_H

#include <gio/gio.h>
#include <stdbool.h>

/*
 * GListModel of BkAccount, from the profile folder (client/profile.h) and the order in $XDG_CONFIG_HOME/beckon/accounts. BkAccount:
 * "address", "user" (the user name, where it differs), "saved" (a certificate is kept: no password is needed).
 */
#define BK_TYPE_ACCOUNT (bk_account_get_type())
G_DECLARE_FINAL_TYPE(BkAccount, bk_account, BK, ACCOUNT, GObject)
const char *bk_account_address(BkAccount *account);
const char *bk_account_user(BkAccount *account);
bool bk_account_is_saved(BkAccount *account);

#define BK_TYPE_ACCOUNTS (bk_accounts_get_type())
G_DECLARE_FINAL_TYPE(BkAccounts, bk_accounts, BK, ACCOUNTS, GObject)
/* profile: bk_client_config.profile_dir. */
BkAccounts *bk_accounts_new(const char *profile);
BkAccount *bk_accounts_find(BkAccounts *accounts,
                            const char *address); /* NULL: never signed in here */
/* To the front. keep false: for this run of the program only, and what an earlier one remembered goes from the file. */
void bk_accounts_used(BkAccounts *accounts, const char *address, bool keep);
void bk_accounts_forget(BkAccounts *accounts, const char *address);
/* Reads the folder anew (after a sign-in or a deletion). */
void bk_accounts_refresh(BkAccounts *accounts);

/*
 * The address in a link or in what somebody typed, in lower case: "sip:Bob%40Example.org;transport=tls?subject=x" and "im:bob@example.org"
 * are bob@example.org. NULL: there is none in it. Caller frees.
 */
char *bk_address_of_link(const char *link);

#endif
