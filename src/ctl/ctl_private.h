/* SPDX-License-Identifier: Apache-2.0 */
/* ctl/ctl_private.h - what the commands of beckonctl share: the command line, the door to the server, and how to print. */
#ifndef BK_CTL_CTL_PRIVATE_H
#define BK_CTL_CTL_PRIVATE_H

#include "base/buf.h"
#include "server/settings.h"

#include <jansson.h>
#include <stdio.h>

/* What every command answers; the exit status of the program. */
enum {
    CTL_OK = 0,
    CTL_FAILED = 1,        /* refused, or could not be done */
    CTL_USAGE = 2,         /* the command line is wrong */
    CTL_CONFIG = 3,        /* the configuration file is missing or wrong */
    CTL_NOT_REACHABLE = 4, /* neither the server nor its store can be reached */
};

struct ctl;

struct ctl_option {
    const char *name;  /* "name", written --name */
    const char *value; /* what stands behind it, as help has it: "TEXT"; NULL: a switch */
    const char *help;
    const char
        *key; /* argument of the operation that takes its text as it is; NULL: run() looks itself */
};

/*
 * One row of the table in commands.c. The parser, usage, `help`, and the manual page's list of commands come from
 * it. `arguments` are words in capitals: ADDRESS is needed, [LABEL] may be left out, NAME... may be repeated.
 */
struct ctl_command {
    const char *name;      /* "user device-password add" */
    const char *arguments; /* "ADDRESS [LABEL]" */
    const struct ctl_option *options;
    const char *help; /* a sentence */
    const char *more; /* further sentences; NULL: none */
    int (*run)(struct ctl *ctl);
    const char
        *op; /* the operation, for the commands that need no function of their own to choose it */
};

enum { CTL_WORDS_MAX = 16, CTL_GIVEN_MAX = 64 };

struct ctl_door; /* door.c */

struct ctl {
    const char *config; /* file */
    bool json, config_given, want_help;
    const struct ctl_command *command;
    const char *words[CTL_WORDS_MAX]; /* the command's arguments, NULL behind them */
    size_t n_words;
    struct {
        const struct ctl_option *option;
        const char *value;
    } given[CTL_GIVEN_MAX];
    size_t n_given;
    FILE *in, *out, *err;
    struct bk_settings settings;
    bool has_settings;
    struct ctl_door *door;
};

/* ---- args.c ---- */

/* NULL-named last. */
extern const struct ctl_option ctl_global_options[];
/* argv without the program's name. CTL_USAGE with a message on ctl->err for what no row of `commands` (run == NULL last) allows. */
int ctl_parse(struct ctl *ctl, const struct ctl_command *commands, int argc, char *const argv[]);
/* The last value given, NULL: not given. "" for a switch. */
const char *ctl_option(const struct ctl *ctl, const char *name);
/* Its value as number; fallback where not given. CTL_USAGE: not a number from min to max. */
int ctl_number(const struct ctl *ctl, const char *name, int64_t min, int64_t max, int64_t *ret);
const char *ctl_word(const struct ctl *ctl, size_t index); /* NULL: left out */
/* An object with the texts of the options that have a key. */
json_t *ctl_args(const struct ctl *ctl);
/* "beckonctl: ..." on ctl->err, or an object on ctl->out with --json as well; returns `status`. */
int ctl_fail(struct ctl *ctl, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void ctl_help_all(FILE *to, const struct ctl_command *commands);
void ctl_help_one(FILE *to, const struct ctl_command *command);
/* The same as a section of a manual page. */
void ctl_help_man(FILE *to, const struct ctl_command *commands);

extern const struct ctl_command ctl_commands[];

/* ---- door.c ---- */

int ctl_load_settings(struct ctl *ctl);
/*
 * One operation of server/admin.h, over the server's socket, or in this process where no server runs. Takes args over
 * (NULL: none). CTL_OK and *ret_result (new reference); or what ctl_fail returned.
 */
int ctl_call(struct ctl *ctl, const char *op, json_t *args, json_t **ret_result);
/* The same, but a refusal is handed back: *ret_answer has ok, result, error. */
int ctl_ask(struct ctl *ctl, const char *op, json_t *args, json_t **ret_answer);
/* Whether a server answers; CTL_OK, or what the door said. */
int ctl_server_runs(struct ctl *ctl, bool *ret);
void ctl_close(struct ctl *ctl);
/* The user that runs this program, for the audit. */
const char *ctl_actor(void);

/* ---- show.c ---- */

enum ctl_format {
    CTL_TEXT,
    CTL_TIME, /* RFC 3339 to local time with zone */
    CTL_DATE,
    CTL_YES, /* yes or no */
    CTL_NUMBER,
};
struct ctl_column {
    const char *title, *key;
    enum ctl_format format;
    int shrink_to; /* at a terminal too narrow it may become so narrow; 0: it stays whole */
};
/* An array of objects. `none` is said where it is empty. With --json: the array itself. */
void ctl_table(struct ctl *ctl, const json_t *rows, const struct ctl_column *columns, size_t n,
               const char *none);
/* One object as "Title   value" lines; empty values are left out. */
void ctl_fields(struct ctl *ctl, const json_t *object, const struct ctl_column *columns, size_t n);
void ctl_print_json(struct ctl *ctl, const json_t *value);
/* Text for a terminal: one line, without what could move the cursor or turn the writing around. */
void ctl_add_clean(struct bk_buf *to, const char *text);
/* A value of a row as people read it. */
void ctl_add_value(struct bk_buf *to, const json_t *value, enum ctl_format format);
/* Columns that the text takes in a terminal. */
int ctl_width(const char *text);
int ctl_terminal_width(FILE *out); /* 0: no terminal */
/* Wraps at blanks to the width, each line after the first indented. */
void ctl_print_wrapped(FILE *out, const char *text, int indent, int width);
/* "14 minutes ago"; "" where it is not in the past. */
void ctl_ago(const char *iso, int64_t now_real_ms, char ret[48]);

/* ---- secret.c ---- */

/*
 * A line from standard input, asked for twice without echo where that is a terminal. CTL_OK, or what ctl_fail returned.
 */
int ctl_read_secret(struct ctl *ctl, const char *what, struct bk_buf *ret);
/* 20 letters and digits in four groups: 100 bits. */
void ctl_make_password(struct bk_buf *ret);
/* Member nt_hash of an account, where policy ntlm-signin wants it: the server keeps it beside the yescrypt hash. */
void ctl_add_nt_hash(json_t *args, struct bk_view password);
/* 26 letters and digits: 128 bits. */
void ctl_make_device_password(struct bk_buf *ret);
/* Both HA1 of a device password as the admin operations want them; NULL: out of memory. */
json_t *ctl_device(const char *address, const char *label, bool md5, struct bk_view password);

/* ---- the commands ---- */

int ctl_init(struct ctl *ctl);
int ctl_help(struct ctl *ctl);
int ctl_status(struct ctl *ctl);
int ctl_backup(struct ctl *ctl);
int ctl_restore(struct ctl *ctl);
int ctl_audit(struct ctl *ctl);
int ctl_records(struct ctl *ctl);
int ctl_case(struct ctl *ctl);
int ctl_domain_add(struct ctl *ctl);
int ctl_domain_list(struct ctl *ctl);
int ctl_domain_remove(struct ctl *ctl);
int ctl_tenant_list(struct ctl *ctl);
int ctl_tenant_set(struct ctl *ctl);
int ctl_user_add(struct ctl *ctl);
int ctl_user_list(struct ctl *ctl);
int ctl_user_show(struct ctl *ctl);
int ctl_user_set(struct ctl *ctl);
int ctl_user_switch(struct ctl *ctl); /* enable, disable, licence give, licence take */
int ctl_user_remove(struct ctl *ctl);
int ctl_user_password(struct ctl *ctl);
int ctl_user_import(struct ctl *ctl);
int ctl_user_sessions(struct ctl *ctl);
int ctl_user_sign_out(struct ctl *ctl);
int ctl_user_history(struct ctl *ctl);
int ctl_device_add(struct ctl *ctl);
int ctl_device_list(struct ctl *ctl);
int ctl_device_remove(struct ctl *ctl);
int ctl_policy_list(struct ctl *ctl);
int ctl_policy_set(struct ctl *ctl); /* and unset */
int ctl_relation_list(struct ctl *ctl);
int ctl_relation_set(struct ctl *ctl); /* and block, unblock */
int ctl_certificate_list(struct ctl *ctl);
int ctl_certificate_revoke(struct ctl *ctl);
int ctl_certificate_server(struct ctl *ctl);
int ctl_authority_show(struct ctl *ctl);
int ctl_dns(struct ctl *ctl);
int ctl_dns_check(struct ctl *ctl);

/* beckonctl itself; argv with the program's name. Returns the exit status. */
int ctl_main(int argc, char *const argv[], FILE *in, FILE *out, FILE *err);

#endif
