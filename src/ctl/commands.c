/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands. Everything that is said about them comes from here. */
#include "base/cleanup.h"
#include "ctl/ctl_private.h"

#include <locale.h>

static const struct ctl_option init_options[] = {
    { "dir", "DIR",
      "Put configuration, store, certificates and socket into this one folder, instead of "
      "/etc/beckon, /var/lib/beckon and /run/beckon.",
      NULL },
    { "name", "HOST",
      "Host name of the server. Without it: localhost where it listens on loopback only, else this "
      "machine's full name, else sip.DOMAIN.",
      NULL },
    { "tls", "HOST:PORT,...", "Where SIP over TLS, and HTTPS, are listened for.", NULL },
    { "https", "HOST:PORT,...", "Further addresses for HTTPS.", NULL },
    { "https-ask", "HOST:PORT,...", "HTTPS that always asks for a client certificate.", NULL },
    { "http", "HOST:PORT,...", "Discovery over plain HTTP, for Lync-compatible clients.", NULL },
    { "tcp", "HOST:PORT,...", "SIP over plain TCP.", NULL },
    { "udp", "HOST:PORT,...", "SIP over UDP.", NULL },
    { "set", "SECTION.KEY=VALUE",
      "Any other setting of beckond.conf(5); may be given several times.", NULL },
    { 0 },
};
static const struct ctl_option help_options[] = {
    { "man", NULL, "All commands as part of a manual page.", NULL },
    { 0 },
};
static const struct ctl_option domain_add_options[] = {
    { "tenant", "NAME", "The organisation it belongs to; without it one named like the domain.",
      "tenant" },
    { 0 },
};
static const struct ctl_option tenant_set_options[] = {
    { "suspend", NULL, "Nobody of it may sign in; who is signed in is signed out.", NULL },
    { "resume", NULL, "Takes that back.", NULL },
    { "ends", "DATE", "When its subscription ends: 2027-01-31, or never.", "ends" },
    { "grace-days", "N", "Days after that in which people may still sign in.", NULL },
    { "plan", "NAME", "Name of what was agreed.", "plan" },
    { 0 },
};
static const struct ctl_option user_add_options[] = {
    { "name", "TEXT", "Name as others see it; the part before the @ where not given.",
      "display_name" },
    { "username", "NAME", "Name to log on with where it differs from the address.", "username" },
    { "site", "NAME", "Whose policies apply.", "site" },
    { "policy", "NAME", "User policy that applies.", "policy" },
    { "password-stdin", NULL, "Read the password from standard input.", NULL },
    { "generate-password", NULL, "Make a password and show it, once.", NULL },
    { "must-change", NULL, "The password must be changed before the first sign-in.", NULL },
    { "unlicensed", NULL, "Without a licence: may not sign in yet.", NULL },
    { "disabled", NULL, "Disabled: may not sign in yet.", NULL },
    { 0 },
};
static const struct ctl_option user_list_options[] = {
    { "match", "TEXT", "Only those whose address or name holds this.", "match" },
    { "limit", "N", "At most so many.", NULL },
    { 0 },
};
static const struct ctl_option user_set_options[] = {
    { "name", "TEXT", "Name as others see it.", "display_name" },
    { "username", "NAME", "Name to log on with.", "username" },
    { "site", "NAME", "Whose policies apply; \"\" for none.", "site" },
    { "policy", "NAME", "User policy that applies; \"\" for none.", "policy" },
    { 0 },
};
static const struct ctl_option password_options[] = {
    { "stdin", NULL, "Read it from standard input; asked for twice at a terminal.", NULL },
    { "generate", NULL, "Make one and show it, once.", NULL },
    { "must-change", NULL, "It must be changed before the next sign-in.", NULL },
    { 0 },
};
static const struct ctl_option device_add_options[] = {
    { "md5", NULL, "For programs that know no SHA-256, as baresip.", NULL },
    { "stdin", NULL, "Read the password from standard input instead of making one.", NULL },
    { 0 },
};
static const struct ctl_option import_options[] = {
    { "all-or-nothing", NULL, "Write all of it at once, or nothing where a line is wrong.", NULL },
    { "check", NULL, "Look at the file and say what is wrong with it; write nothing.", NULL },
    { 0 },
};
static const struct ctl_option sign_out_options[] = {
    { "endpoint", "ID", "Only this one, as user sessions names it.", "endpoint" },
    { 0 },
};
static const struct ctl_option history_options[] = {
    { "limit", "N", "So many at most; 50 where not given.", NULL },
    { 0 },
};
static const struct ctl_option policy_list_options[] = {
    { "user", "ADDRESS", "As they are for this person, and where each comes from.", "address" },
    { 0 },
};
static const struct ctl_option policy_set_options[] = {
    { "site", "NAME", "Of the site policy of this name.", NULL },
    { "policy", "NAME", "Of the user policy of this name.", NULL },
    { 0 },
};
static const struct ctl_option revoke_options[] = {
    { "why", "TEXT", "Reason, kept with the certificate.", "why" },
    { 0 },
};

static const struct ctl_option restore_options[] = {
    { "force", NULL, "Also where there is a store already.", NULL },
    { 0 },
};
static const struct ctl_option dns_options[] = {
    { "address", "ADDRESS,...", "The server's addresses, as clients reach it.", NULL },
    { "domain", "DOMAIN", "Only this one.", NULL },
    { 0 },
};
static const struct ctl_option dns_check_options[] = {
    { "address", "ADDRESS,...", "The server's addresses; without it any address will do.", NULL },
    { "domain", "DOMAIN", "Only this one.", NULL },
    { "server", "ADDRESS[:PORT],...", "Name servers to ask; the system's where not given.", NULL },
    { 0 },
};

const struct ctl_command ctl_commands[] = {
    { "help", "[COMMAND...]", help_options, "Say what there is, or how one command is used.", NULL,
      ctl_help, NULL },
    { "init", "DOMAIN", init_options,
      "Make a new server for a domain: configuration, store, certificate authority and "
      "certificate.",
      "Nothing that is there already is overwritten. The authority is the domain's own; clients "
      "must "
      "be given its certificate.",
      ctl_init, NULL },
    { "status", "", NULL, "Whether the server runs, and what it does.", NULL, ctl_status,
      "status" },
    { "case", "CODE", NULL,
      "What is known about a refused sign-in: what the server saw and what the client reported.",
      "The code is in the message that the person got, as K7QF-3M2P; upper or lower case and the "
      "dash do not matter.",
      ctl_case, "case.show" },

    { "domain add", "DOMAIN", domain_add_options, "Serve a further domain.", NULL, ctl_domain_add,
      "domain.add" },
    { "domain list", "", NULL, "The domains that are served.", NULL, ctl_domain_list,
      "domain.list" },
    { "domain remove", "DOMAIN", NULL, "Serve it no longer; its users stay in the store.", NULL,
      ctl_domain_remove, "domain.remove" },

    { "tenant list", "", NULL, "The organisations, with the state of their subscription.", NULL,
      ctl_tenant_list, "tenant.list" },
    { "tenant set", "NAME", tenant_set_options,
      "Suspend or resume an organisation, or say when its subscription ends.",
      "domain add --tenant makes a new one.", ctl_tenant_set, "tenant.set" },

    { "user add", "ADDRESS", user_add_options, "Make an account.",
      "Without a password nobody can sign in with it from a Beckon client; plain SIP programs use "
      "device passwords.",
      ctl_user_add, "user.add" },
    { "user list", "", user_list_options, "The accounts.", NULL, ctl_user_list, "user.list" },
    { "user show", "ADDRESS", NULL, "All about one account.", NULL, ctl_user_show, "user.show" },
    { "user set", "ADDRESS", user_set_options, "Change an account.", NULL, ctl_user_set,
      "user.set" },
    { "user enable", "ADDRESS", NULL, "May sign in again.", NULL, ctl_user_switch, "enabled" },
    { "user disable", "ADDRESS", NULL, "May not sign in; is signed out within seconds.", NULL,
      ctl_user_switch, "enabled" },
    { "user remove", "ADDRESS", NULL, "Delete the account and all that is its own.",
      "The history of its sign-ins stays until policy signin-history-days ends it.",
      ctl_user_remove, "user.remove" },
    { "user licence give", "ADDRESS", NULL, "Give a licence: may sign in.", NULL, ctl_user_switch,
      "licensed" },
    { "user licence take", "ADDRESS", NULL, "Take the licence: is signed out within seconds.", NULL,
      ctl_user_switch, "licensed" },
    { "user password", "ADDRESS", password_options, "Set a new password.",
      "Personal certificates stay good; see certificate revoke.", ctl_user_password, "user.set" },
    { "user device-password add", "ADDRESS [LABEL]", device_add_options,
      "Make a password for one plain SIP program or telephone.",
      "It is shown once and kept as a hash only.", ctl_device_add, "user.set" },
    { "user device-password list", "ADDRESS", NULL, "Which there are.", NULL, ctl_device_list,
      "user.show" },
    { "user device-password remove", "ADDRESS ID", NULL,
      "Remove one, by its number or label; all removes all.", NULL, ctl_device_remove,
      "device.remove" },
    { "user import", "FILE", import_options, "Make accounts from a CSV file; - is standard input.",
      "The first line names the columns: address (needed), display_name, username, password, "
      "licensed, enabled (yes or no), site, policy, device_password, device_algorithm (SHA-256 or "
      "MD5). Separators are commas, semicolons or tabs; a field with one in it stands in quotes; "
      "the file is UTF-8. Each wrong line is reported with its column and the reason, the others "
      "are imported; the exit status is 1 then.",
      ctl_user_import, "user.import" },
    { "user sessions", "[ADDRESS]", NULL, "Who is signed in, and from where.", NULL,
      ctl_user_sessions, "session.list" },
    { "user sign-out", "ADDRESS", sign_out_options, "End somebody's sessions.",
      "Nothing keeps them from signing in again; see user disable.", ctl_user_sign_out,
      "session.end" },
    { "user history", "ADDRESS", history_options, "Each attempt to sign in, newest first.", NULL,
      ctl_user_history, "history.list" },

    { "policy list", "", policy_list_options, "All policies with their values.", NULL,
      ctl_policy_list, "policy.list" },
    { "policy set", "NAME VALUE", policy_set_options,
      "Set a policy, for everybody or for one site or user policy.",
      "A user policy counts before a site policy, that before the global value, that before the "
      "default.",
      ctl_policy_set, "policy.set" },
    { "policy unset", "NAME", policy_set_options, "Take a value back.", NULL, ctl_policy_set,
      "policy.set" },

    { "relation list", "ADDRESS", NULL, "Whom this person has given another relation.", NULL,
      ctl_relation_list, "relation.list" },
    { "relation set", "ADDRESS OTHER LEVEL", NULL,
      "Set the relation towards OTHER, an address or @DOMAIN.",
      "LEVEL is family (400), workgroup (300), colleague (200), external (100), blocked (32000) or "
      "none.",
      ctl_relation_set, "relation.set" },
    { "relation block", "ADDRESS OTHER", NULL, "OTHER sees no presence and reaches nobody.", NULL,
      ctl_relation_set, "relation.set" },
    { "relation unblock", "ADDRESS OTHER", NULL, "Take that back.", NULL, ctl_relation_set,
      "relation.set" },

    { "certificate list", "ADDRESS", NULL, "The personal certificates of a person.", NULL,
      ctl_certificate_list, "certificate.list" },
    { "certificate revoke", "WHICH", revoke_options,
      "Revoke one by its serial number, or all of an ADDRESS.", NULL, ctl_certificate_revoke,
      "certificate.revoke" },
    { "certificate server", "[NAME...]", NULL,
      "Make a new certificate for the server itself, by the domain's own authority.",
      "It is good for 825 days and carries the server's name, the names of all domains and those "
      "given. What was there before is kept beside it as FILE.old.",
      ctl_certificate_server, NULL },
    { "authority show", "", NULL, "The authority's certificate, for clients to trust.", NULL,
      ctl_authority_show, "authority.show" },

    { "dns", "", dns_options, "Print the lines that the zones of the domains must hold.", NULL,
      ctl_dns, NULL },
    { "dns check", "", dns_check_options, "Look each of them up, and say what is wrong.",
      "The exit status is 1 where one is missing or wrong.", ctl_dns_check, NULL },

    { "audit", "", NULL, "What administrators changed, newest first.", NULL, ctl_audit,
      "audit.list" },
    { "records", "", NULL, "Every reason for which somebody may be refused.", NULL, ctl_records,
      "record.list" },
    { "backup", "FILE", NULL, "Write a copy of the store, while the server goes on.",
      "It holds every secret of the store: keep it as safe.", ctl_backup, "backup" },
    { "restore", "FILE", restore_options,
      "Put a backup in the place of the store; the server must be stopped.",
      "The store that was there is kept beside it, with the time in its name.", ctl_restore, NULL },
    { 0 },
};

int ctl_help(struct ctl *ctl)
{
    char name[256] = "";
    bool any = false;
    if (ctl_option(ctl, "man")) {
        ctl_help_man(ctl->out, ctl_commands);
        return CTL_OK;
    }
    if (!ctl->n_words) {
        ctl_help_all(ctl->out, ctl_commands);
        return CTL_OK;
    }
    for (size_t i = 0; i < ctl->n_words; i++) {
        size_t len = strlen(name);
        snprintf(name + len, sizeof name - len, "%s%s", i ? " " : "", ctl->words[i]);
    }
    for (const struct ctl_command *c = ctl_commands; c->run; c++) {
        size_t len = strlen(name);
        if (strncmp(c->name, name, len) || (c->name[len] && c->name[len] != ' '))
            continue;
        if (!c->name[len]) {
            ctl_help_one(ctl->out, c);
            return CTL_OK;
        }
        fprintf(ctl->out, "  %s %s\n      %s\n", c->name, c->arguments, c->help);
        any = true;
    }
    return any ? CTL_OK : ctl_fail(ctl, CTL_USAGE, "there is no command \"%s\"", name);
}

int ctl_main(int argc, char *const argv[], FILE *in, FILE *out, FILE *err)
{
    struct ctl ctl = {
        .config = "/etc/beckon/beckond.conf",
        .in = in,
        .out = out,
        .err = err,
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        fprintf(out, "beckonctl %s\n", BK_VERSION);
        return CTL_OK;
    }
    int status = ctl_parse(&ctl, ctl_commands, argc - 1, argv + 1);
    if (status == CTL_OK && ctl.want_help) {
        if (ctl.command)
            ctl_help_one(out, ctl.command);
        else
            ctl_help_all(out, ctl_commands);
    } else if (status == CTL_OK) {
        status = ctl.command->run(&ctl);
    }
    ctl_close(&ctl);
    if (ctl.has_settings)
        bk_settings_finish(&ctl.settings);
    if (fflush(out) != 0 && status == CTL_OK)
        status = ctl_fail(&ctl, CTL_FAILED, "the output could not be written");
    return status;
}
