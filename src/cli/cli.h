/* SPDX-License-Identifier: Apache-2.0 */
/* cli/cli.h - beckon-cli: a face on client/ for terminals (talk.c) and for programs (json.c), and the errands of scripts (errand.c). */
#ifndef BK_CLI_CLI_H
#define BK_CLI_CLI_H

#include "client/client.h"

#include <stdio.h>

/* The exit status says whose fault it is (man page, EXIT STATUS). */
enum {
    CLI_OK = 0,
    CLI_BROKEN = 1, /* nothing of the below: out of memory, an interrupted errand */
    CLI_USAGE = 2,
    CLI_CATEGORY = 10, /* + enum bk_record_category */
};

struct cli;

/* What the program was started for: hears every event after the face has shown it. */
struct cli_errand {
    const char *name, *arguments, *help;
    int n_min, n_max; /* arguments; -1: any number */
    /* Once the client stands. */
    void (*begin)(struct cli *cli);
    void (*event)(struct cli *cli, const struct bk_client_event *event);
    bool reads_input; /* lines of standard input are for it: conversation or JSON */
};
/* NULL: no such command. */
const struct cli_errand *cli_errand_find(const char *name);
const struct cli_errand *cli_errand_at(size_t index); /* for the help; NULL at the end */

struct cli {
    /* options */
    struct bk_client_config config;
    const char *address; /* --address or the last one used; NULL: none known */
    const char *user;
    const char *proxy; /* --proxy; "": --no-proxy; NULL: as the environment says */
    char *password;    /* NULL: none given. From --password-file or -fd; wiped at the end */
    bool json, terminal_in, terminal_out, colour;
    int wait_s; /* how long an errand lets the engine try again; 0: not at all */
    const struct cli_errand *errand;
    char **arguments;
    int n_arguments;

    struct bk_client *client;
    enum bk_client_state state;
    int exit_status;
    bool edits;    /* talk.c reads whole lines by itself */
    int signals;   /* signalfd */
    bool finished; /* leave the loop now */
    bool input_ended;
    int pending;                          /* messages sent by command whose end is not known yet */
    bool leaving;                         /* signed out on the way to the end */
    int64_t give_up_at_ms;                /* mono; 0: never */
    uint64_t message;                     /* send: the one waited for */
    uint64_t edit;                        /* a change or question: likewise */
    bool tells_contacts, tells_relations; /* what of the answer is to be shown */
    int left;                             /* errands: what is still awaited */
};

/* ---- main.c ---- */
/* Signs out, then ends with that status. */
void cli_leave(struct cli *cli, int status);
/* Standard input ended: leaves as soon as what was sent has arrived somewhere. */
void cli_input_ended(struct cli *cli);
/* What a failure means for the exit status. */
int cli_status_of(const struct bk_client_failure *failure);
/*
 * Handles events and signals until standard input is readable (true) or the program is at its end (false). For an
 * errand that reads no input, and on the way out, only the latter.
 */
bool cli_wait(struct cli *cli);
/* Asks on the terminal, for passwords without an echo; NULL: there is none. free() after wiping. */
char *cli_ask(const char *prompt, bool echo);
void cli_wipe(char *secret);

/* ---- proxy.c ---- */
void cli_find_proxy(void *ctx, struct bk_client *client, const char *url, uint64_t token);

/* ---- password.c: a new password, asked for on the terminal ---- */
enum cli_password_step {
    CLI_PASSWORD_NONE, /* no change is under way: the event is somebody else's */
    CLI_PASSWORD_GOES_ON,
    CLI_PASSWORD_DONE,
    CLI_PASSWORD_FAILED, /* the failure in the event is the end of it */
};
/*
 * Asks for the present one and the new one and begins. then_sign_in: with the new one, once it is changed. False: nobody
 * answered.
 */
bool cli_password_begin(struct cli *cli, bool then_sign_in);
enum cli_password_step cli_password_event(struct cli *cli, const struct bk_client_event *event);
void cli_password_end(void);

/* ---- show.c: events as lines for people ---- */
void cli_show(struct cli *cli, const struct bk_client_event *event);
/* "colleague"; "" for a level that is none. */
const char *cli_level_title(int level);

/* ---- edit.c: contact list, groups, relations, search, as words of a command ---- */
struct cli_edit {
    const char *name, *arguments, *help;
    enum bk_client_edit_kind kind;
    int n_min, n_max;
    const char *
        order; /* what each word is: a address, n name, g group, t to_group, l level, s text (all that follow) */
};
const struct cli_edit *cli_edit_at(size_t index); /* NULL at the end */
const struct cli_edit *cli_edit_find(const char *name);
/* -EINVAL: the words are not what it needs. */
int cli_edit_do(struct cli *cli, const struct cli_edit *edit, char **words, int n,
                uint64_t *ret_id);
/* Text from somebody else: control bytes and what turns the direction of writing around are made visible as '?'. */
void cli_print_safe(FILE *to, const char *text, const char *line_prefix);
void cli_print_failure(struct cli *cli, FILE *to, const struct bk_client_failure *failure,
                       bool details);

/* ---- talk.c: the conversation ---- */
void cli_talk_begin(struct cli *cli);
void cli_talk_event(struct cli *cli, const struct bk_client_event *event);
/* What is readable on standard input, where that is no terminal. */
void cli_talk_readable(struct cli *cli);
/* One line from the terminal, edited; waits for it with cli_wait. */
void cli_talk_edit(struct cli *cli);
void cli_talk_end(struct cli *cli);
/* Around everything that is printed while a line is being edited. */
void cli_talk_pause(struct cli *cli);
void cli_talk_resume(struct cli *cli);

/* ---- json.c: the same for programs ---- */
void cli_json_show(struct cli *cli, const struct bk_client_event *event);
/* What is readable now on standard input; at its end the client leaves. */
void cli_json_readable(struct cli *cli);
/* One line of JSON, in place of standard input: for tests and the fuzz target. */
void cli_json_line(struct cli *cli, struct bk_view line);
void cli_json_say(struct cli *cli, const char *event, const char *text);

#endif
