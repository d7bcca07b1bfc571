/* SPDX-License-Identifier: Apache-2.0 */
/* What the program can be started for. A new command is a row of the table at the end. */
#include "base/cleanup.h"
#include "base/text.h"
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- what every errand does with questions and failures ---- */

static void sign_in(struct cli *cli)
{
    if (!cli->address) {
        (void)fputs("beckon-cli: whose? Name the address with --address\n", stderr);
        cli->exit_status = CLI_USAGE;
        cli->finished = true;
        return;
    }
    if (bk_client_sign_in(cli->client, cli->address, cli->password, cli->user) < 0) {
        cli->exit_status = CLI_BROKEN;
        cli->finished = true;
    }
}

static void answer_credential(struct cli *cli, const struct bk_client_event *event)
{
    char prompt[400];
    (void)snprintf(prompt, sizeof prompt, "Password of %s: ", event->credential.address);
    char *password = cli->terminal_in ? cli_ask(prompt, false) : NULL;
    if (!password) {
        /* A refusal before this one has set the status already. */
        if (!cli->exit_status) {
            (void)fputs("beckon-cli: a password is needed: use --password-file, or a terminal\n",
                        stderr);
            cli->exit_status = CLI_CATEGORY + BK_CATEGORY_AUTHENTICATION;
        }
        cli_leave(cli, cli->exit_status);
        return;
    }
    (void)bk_client_credential(cli->client, password, cli->user);
    cli_wipe(password);
}

/* True: the errand is over. */
static bool take_failure(struct cli *cli, const struct bk_client_event *event)
{
    if (event->type != BK_CLIENT_EVENT_FAILURE && event->type != BK_CLIENT_EVENT_ENDED)
        return false;
    cli->exit_status = cli_status_of(&event->failure);
    if (event->failure.next == BK_CLIENT_NEXT_ASK)
        return false;
    if (event->failure.next == BK_CLIENT_NEXT_RETRY && cli->wait_s)
        return false;
    cli_leave(cli, cli->exit_status);
    return true;
}

/* The common part; true while the errand's own part has nothing to do yet. */
static bool take_common(struct cli *cli, const struct bk_client_event *event)
{
    if (cli->leaving || take_failure(cli, event))
        return true;
    if (event->type == BK_CLIENT_EVENT_CREDENTIAL)
        answer_credential(cli, event);
    else if (event->type == BK_CLIENT_EVENT_TRUST)
        (void)bk_client_trust(cli->client, BK_CLIENT_TRUST_NO);
    return false;
}

static bool has_arrived(const struct bk_client_event *event)
{
    return event->type == BK_CLIENT_EVENT_STATE && event->state.state == BK_CLIENT_SIGNED_IN;
}

/* Words of the command line from that one on, with blanks between. NULL: out of memory. */
static char *join_arguments(struct cli *cli, int from)
{
    struct bk_buf text = { 0 };
    for (int i = from; i < cli->n_arguments; i++) {
        if (i > from)
            bk_buf_add_char(&text, ' ');
        bk_buf_add_str(&text, cli->arguments[i]);
    }
    char *copy = bk_buf_cstr(&text) ? strdup(text.at) : NULL;
    bk_buf_finish(&text);
    return copy;
}

static void end_usage(struct cli *cli, const char *what)
{
    (void)fprintf(stderr, "beckon-cli: %s\n", what);
    cli_leave(cli, CLI_USAGE);
}

/* ---- send ---- */

static void send_event(struct cli *cli, const struct bk_client_event *event)
{
    if (take_common(cli, event))
        return;
    if (has_arrived(event) && !cli->message) {
        cli->exit_status = CLI_OK;
        BK_AUTO_FREE char *text = join_arguments(cli, 1);
        int r = text ? bk_client_send_message(cli->client, cli->arguments[0], text, &cli->message)
                     : -ENOMEM;
        if (r == -EMSGSIZE)
            end_usage(cli, "the message is longer than 20,000 bytes");
        else if (r < 0)
            end_usage(cli, "the receiver is no address, or the text is empty or no UTF-8");
    }
    if (event->type != BK_CLIENT_EVENT_MESSAGE_STATE || event->message_state.id != cli->message)
        return;
    switch (event->message_state.state) {
    case BK_CLIENT_SENT:
    case BK_CLIENT_STORED:
        cli_leave(cli, CLI_OK);
        return;
    case BK_CLIENT_FAILED:
        cli_leave(cli, event->message_state.failure ? cli_status_of(event->message_state.failure)
                                                    : CLI_BROKEN);
        return;
    default:
        return;
    }
}

/* ---- watch ---- */

static void watch_begin(struct cli *cli)
{
    for (int i = 0; i < cli->n_arguments; i++) {
        if (bk_client_watch(cli->client, cli->arguments[i]) == 0)
            continue;
        (void)fprintf(stderr, "beckon-cli: %s: no address\n", cli->arguments[i]);
        cli->exit_status = CLI_USAGE;
        cli->finished = true;
        return;
    }
    sign_in(cli);
}

static void watch_event(struct cli *cli, const struct bk_client_event *event)
{
    if (!take_common(cli, event) && has_arrived(event))
        cli->exit_status = CLI_OK;
}

/* ---- status ---- */

static void status_begin(struct cli *cli)
{
    if (cli->n_arguments) {
        enum bk_pidf_manual manual = bk_pidf_manual_of(bk_view_of_str(cli->arguments[0]));
        if (manual == BK_PIDF_MANUAL_MISSING) {
            (void)fprintf(stderr,
                          "beckon-cli: %s: no status; there are none, busy, dnd, brb, away, "
                          "offwork and offline\n",
                          cli->arguments[0]);
            cli->exit_status = CLI_USAGE;
            cli->finished = true;
            return;
        }
    }
    sign_in(cli);
}

/* The manual state is kept by the server, so it outlives this short visit. */
static void status_event(struct cli *cli, const struct bk_client_event *event)
{
    if (take_common(cli, event))
        return;
    if (has_arrived(event)) {
        cli->exit_status = CLI_OK;
        if (cli->n_arguments > 0)
            (void)bk_client_set_status(cli->client,
                                       bk_pidf_manual_of(bk_view_of_str(cli->arguments[0])));
        if (cli->n_arguments > 1) {
            BK_AUTO_FREE char *note = join_arguments(cli, 1);
            if (!note || bk_client_set_note(cli->client, note) < 0)
                end_usage(cli, "the note is too long or no UTF-8");
        }
    }
    /* What others see comes back as our own presence: it is the confirmation. */
    static const enum bk_pidf_shown wanted[BK_PIDF_MANUAL_COUNT] = {
        [BK_PIDF_MANUAL_BUSY] = BK_PIDF_SHOWN_BUSY,
        [BK_PIDF_MANUAL_DND] = BK_PIDF_SHOWN_DND,
        [BK_PIDF_MANUAL_BRB] = BK_PIDF_SHOWN_BRB,
        [BK_PIDF_MANUAL_AWAY] = BK_PIDF_SHOWN_AWAY,
        [BK_PIDF_MANUAL_OFFWORK] = BK_PIDF_SHOWN_OFFWORK,
        [BK_PIDF_MANUAL_OFFLINE] = BK_PIDF_SHOWN_OFFLINE,
    };
    if (event->type != BK_CLIENT_EVENT_PRESENCE || !event->presence.own ||
        event->presence.shown == BK_PIDF_SHOWN_UNKNOWN || cli->state != BK_CLIENT_SIGNED_IN)
        return;
    enum bk_pidf_manual manual =
        cli->n_arguments ? bk_pidf_manual_of(bk_view_of_str(cli->arguments[0])) : 0;
    if (!wanted[manual] || wanted[manual] == event->presence.shown)
        cli_leave(cli, CLI_OK);
}

/* ---- sign-out ---- */

static void sign_out_event(struct cli *cli, const struct bk_client_event *event)
{
    if (!take_common(cli, event) && has_arrived(event))
        cli_leave(cli, CLI_OK);
}

/* ---- delete-sign-in-info ---- */

static void delete_begin(struct cli *cli)
{
    const char *address = cli->n_arguments ? cli->arguments[0] : cli->address;
    if (address && bk_client_delete_sign_in_info(cli->client, address) == 0)
        return;
    (void)fputs("beckon-cli: whose? Name the address\n", stderr);
    cli->exit_status = CLI_USAGE;
    cli->finished = true;
}

static void delete_event(struct cli *cli, const struct bk_client_event *event)
{
    if (event->type != BK_CLIENT_EVENT_DELETED)
        return;
    bool all = true;
    for (int i = 0; i < event->deleted.n_rows; i++)
        all &= event->deleted.rows[i].ok;
    cli_leave(cli, all ? CLI_OK : CLI_CATEGORY + BK_CATEGORY_NETWORK);
}

/* ---- password ---- */

static void password_begin(struct cli *cli)
{
    if (cli_password_begin(cli, false))
        return;
    (void)fputs(
        cli->address
            ? "beckon-cli: nothing was changed: both passwords are asked for on a terminal\n"
            : "beckon-cli: whose? Name the address with --address\n",
        stderr);
    cli->exit_status = CLI_USAGE;
    cli->finished = true;
}

static void password_event(struct cli *cli, const struct bk_client_event *event)
{
    if (event->type == BK_CLIENT_EVENT_TRUST)
        (void)bk_client_trust(cli->client, BK_CLIENT_TRUST_NO);
    switch (cli_password_event(cli, event)) {
    case CLI_PASSWORD_FAILED:
        cli_leave(cli, cli_status_of(&event->failure));
        return;
    case CLI_PASSWORD_DONE:
        cli_leave(cli, CLI_OK);
        return;
    default:
        return;
    }
}

/* ---- contact list, relations, search: named after the rows of edit.c ---- */

static void edit_event(struct cli *cli, const struct bk_client_event *event)
{
    if (take_common(cli, event))
        return;
    if (has_arrived(event) && !cli->edit) {
        cli->exit_status = CLI_OK;
        int r = cli_edit_do(cli, cli_edit_find(cli->errand->name), cli->arguments, cli->n_arguments,
                            &cli->edit);
        if (r < 0)
            end_usage(cli, "the address is none, or a word is missing, too long or not known");
        return;
    }
    if (event->type == BK_CLIENT_EVENT_EDITED && cli->edit && event->edited.id == cli->edit)
        cli_leave(cli, event->edited.done ? CLI_OK : CLI_BROKEN);
}

/* ---- JSON ---- */

static void json_begin(struct cli *cli)
{
    if (cli->address && cli->n_arguments)
        sign_in(cli);
}

static void json_event(struct cli *cli, const struct bk_client_event *event)
{
    if (event->type == BK_CLIENT_EVENT_FAILURE || event->type == BK_CLIENT_EVENT_ENDED)
        cli->exit_status = cli_status_of(&event->failure);
    else if (has_arrived(event))
        cli->exit_status = CLI_OK;
}

/* In place of a conversation, with --json. */
static const struct cli_errand json_errand = {
    .name = "sign-in", .n_max = 1, .begin = json_begin, .event = json_event, .reads_input = true
};

static const struct cli_errand errands[] = {
    { "sign-in", "[ADDRESS]", "sign in and converse (the default)", 0, 1, cli_talk_begin,
      cli_talk_event, true },
    { "send", "TO TEXT...", "send one message and say what became of it", 2, -1, sign_in,
      send_event, false },
    { "watch", "ADDRESS...", "show the presence of people until interrupted", 1, -1, watch_begin,
      watch_event, false },
    { "status", "[STATE [NOTE...]]",
      "show your own state, or set it: none busy dnd brb away offwork offline", 0, -1, status_begin,
      status_event, false },
    { "sign-out", "", "end this computer's session at the server", 0, 0, sign_in, sign_out_event,
      false },
    { "delete-sign-in-info", "[ADDRESS]", "remove key and certificate, and revoke it at the server",
      0, 1, delete_begin, delete_event, false },
    { "password", "", "change the password", 0, 0, password_begin, password_event, false },
};

/* The row of an edit as an errand; lives until the next call. */
static const struct cli_errand *errand_of(const struct cli_edit *edit)
{
    static struct cli_errand errand;
    if (!edit)
        return NULL;
    errand = (struct cli_errand){ .name = edit->name,
                                  .arguments = edit->arguments,
                                  .help = edit->help,
                                  .n_min = edit->n_min,
                                  .n_max = edit->n_max,
                                  .begin = sign_in,
                                  .event = edit_event };
    return &errand;
}

const struct cli_errand *cli_errand_at(size_t index)
{
    return index < BK_COUNT_OF(errands) ? &errands[index]
                                        : errand_of(cli_edit_at(index - BK_COUNT_OF(errands)));
}

const struct cli_errand *cli_errand_find(const char *name)
{
    if (strcmp(name, "json") == 0)
        return &json_errand;
    for (size_t i = 0; i < BK_COUNT_OF(errands); i++)
        if (strcmp(errands[i].name, name) == 0)
            return &errands[i];
    return errand_of(cli_edit_find(name));
}
