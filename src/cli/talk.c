/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conversation: what does not begin with a slash goes to the person talked to, commands begin with one. On
 * a terminal the line is edited with libedit, which asks us for each character; while it waits for one, events are
 * handled, and the line is drawn again below what they print.
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "cli/cli.h"

#include <errno.h>
#include <histedit.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

enum { KNOWN_MAX = 200, LINE_MAX_BYTES = 32 * 1024 };

static struct talk {
    struct cli *cli;
    char to[330]; /* whom plain lines go to; "": nobody yet */
    struct {
        char address[330];
        enum bk_pidf_shown shown;
        char note[120];
    } known[KNOWN_MAX]; /* who was watched, or wrote */
    int n_known;
    EditLine *line; /* NULL: no terminal */
    History *history;
    bool editing; /* libedit waits in next_char */
    bool asking_trust;
    char prompt[400];
    struct bk_buf failure; /* the last one, with its steps, for /details */
} talk;

static void do_line(const char *line);

/* ---- the line being edited ---- */

static char *prompt_of(EditLine *line)
{
    (void)line;
    if (talk.asking_trust)
        (void)snprintf(talk.prompt, sizeof talk.prompt, "always, once or no? ");
    else
        (void)snprintf(talk.prompt, sizeof talk.prompt, "%s> ", talk.to);
    return talk.prompt;
}

/* A key, before the line has it. Commands and answers are nobody's business. */
static void tell_typing(wchar_t key)
{
    const LineInfo *line = el_line(talk.line);
    char first =
        line && line->lastchar > line->buffer ? *line->buffer : (char)(key < 128 ? key : 'x');
    if (*talk.to && !talk.asking_trust && first != '/' && (unsigned char)first > ' ')
        (void)bk_client_typing(talk.cli->client, talk.to, true);
}

/* libedit wants a character: the program's waiting is done here. */
static int next_char(EditLine *line, wchar_t *ret)
{
    mbstate_t state = { 0 };
    (void)line;
    for (;;) {
        char byte;
        if (!cli_wait(talk.cli))
            return 0;
        ssize_t n = read(STDIN_FILENO, &byte, 1);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0)
            return 0;
        size_t used = mbrtowc(ret, &byte, 1, &state);
        if (used == (size_t)-1) { /* not of this locale's letters: dropped */
            memset(&state, 0, sizeof state);
            continue;
        }
        if (used != (size_t)-2) {
            tell_typing(*ret);
            return 1;
        }
    }
}

void cli_talk_pause(struct cli *cli)
{
    (void)cli;
    if (talk.editing)
        (void)fputs("\r\033[K", stdout);
}

void cli_talk_resume(struct cli *cli)
{
    (void)cli;
    (void)fflush(stdout);
    if (talk.editing)
        (void)el_set(talk.line, EL_REFRESH);
}

void cli_talk_edit(struct cli *cli)
{
    int n = 0;
    talk.editing = true;
    const char *text = el_gets(talk.line, &n);
    talk.editing = false;
    if (!text || n <= 0) { /* end of input, or the end of the program */
        (void)fputc('\n', stdout);
        cli_leave(cli, cli->exit_status);
        return;
    }
    BK_AUTO_FREE char *copy = strndup(text, strcspn(text, "\r\n"));
    HistEvent event;
    if (copy && *copy && !talk.asking_trust)
        (void)history(talk.history, &event, H_ENTER, copy);
    if (copy)
        do_line(copy);
    (void)fflush(stdout);
}

static unsigned char complete(EditLine *line, int key);

static void start_editing(struct cli *cli)
{
    HistEvent event;
    talk.line = el_init("beckon-cli", stdin, stdout, stderr);
    talk.history = history_init();
    if (!talk.line || !talk.history)
        return;
    (void)history(talk.history, &event, H_SETSIZE, 500);
    (void)el_set(talk.line, EL_EDITOR, "emacs");
    (void)el_set(talk.line, EL_SIGNAL, 0);
    (void)el_set(talk.line, EL_HIST, history, talk.history);
    (void)el_set(talk.line, EL_PROMPT, prompt_of);
    (void)el_set(talk.line, EL_GETCFN, next_char);
    (void)el_set(talk.line, EL_ADDFN, "beckon-complete", "complete a command or address", complete);
    (void)el_set(talk.line, EL_BIND, "^I", "beckon-complete", NULL);
    cli->edits = true;
}

/* ---- who is known ---- */

static void know(const char *address, enum bk_pidf_shown shown, const char *note, bool state_too)
{
    int at = 0;
    while (at < talk.n_known && strcmp(talk.known[at].address, address) != 0)
        at++;
    if (at == KNOWN_MAX)
        return;
    if (at == talk.n_known) {
        talk.n_known++;
        (void)snprintf(talk.known[at].address, sizeof talk.known[at].address, "%s", address);
        talk.known[at].shown = BK_PIDF_SHOWN_UNKNOWN;
    }
    if (state_too) {
        talk.known[at].shown = shown;
        (void)snprintf(talk.known[at].note, sizeof talk.known[at].note, "%s", note);
    }
}

/* A short name is completed with the own domain: "bob" is "bob@example.org". */
static const char *whole_address(const char *name, char to[700])
{
    const char *at = talk.cli->address ? strchr(talk.cli->address, '@') : NULL;
    if (strchr(name, '@') || !at)
        (void)snprintf(to, 700, "%s", name);
    else
        (void)snprintf(to, 700, "%s%s", name, at);
    return to;
}

/* ---- commands ---- */

static void say(const char *text)
{
    (void)printf("%s\n", text);
}

static void send_text(const char *to, const char *text)
{
    uint64_t id;
    int r = bk_client_send_message(talk.cli->client, to, text, &id);
    if (r == -EMSGSIZE)
        say("  The message is longer than 20,000 bytes.");
    else if (r < 0)
        say("  That is no address, or no text.");
    else
        talk.cli->pending++;
}

/* The first word of *rest, NUL-terminated in place; "" where there is none. */
static char *word(char **rest)
{
    char *at = *rest + strspn(*rest, " \t");
    char *end = at + strcspn(at, " \t");
    *rest = *end ? end + 1 + strspn(end + 1, " \t") : end;
    *end = 0;
    return at;
}

static void do_msg(char *rest)
{
    char whole[700];
    char *name = word(&rest);
    if (!*name || !*rest)
        say("  /msg ADDRESS TEXT");
    else
        send_text(whole_address(name, whole), rest);
}

static void do_to(char *rest)
{
    char whole[700];
    char *name = word(&rest);
    (void)snprintf(talk.to, sizeof talk.to, "%.329s", *name ? whole_address(name, whole) : "");
    if (*talk.to)
        (void)bk_client_watch(talk.cli->client, talk.to);
}

static void do_close(char *rest)
{
    char whole[700];
    char *name = word(&rest);
    if (!*name && !*talk.to)
        say("  /close ADDRESS");
    else if (bk_client_close_conversation(talk.cli->client,
                                          *name ? whole_address(name, whole) : talk.to) < 0)
        say("  That is no address.");
    else if (!*name || strcmp(whole, talk.to) == 0)
        talk.to[0] = 0;
}

static void do_who(char *rest)
{
    (void)rest;
    for (int i = 0; i < talk.n_known; i++) {
        (void)printf("  %-32s %s", talk.known[i].address, bk_pidf_shown_title(talk.known[i].shown));
        if (*talk.known[i].note) {
            (void)fputs(" - ", stdout);
            cli_print_safe(stdout, talk.known[i].note, "    ");
        }
        (void)fputc('\n', stdout);
    }
    if (!talk.n_known)
        say("  Nobody yet: /watch ADDRESS shows somebody's presence.");
}

static void do_watch(char *rest)
{
    char whole[700];
    char *name = word(&rest);
    if (!*name || bk_client_watch(talk.cli->client, whole_address(name, whole)) < 0)
        say("  /watch ADDRESS");
}

static void do_unwatch(char *rest)
{
    char whole[700];
    char *name = word(&rest);
    if (!*name || bk_client_unwatch(talk.cli->client, whole_address(name, whole)) < 0)
        say("  /unwatch ADDRESS");
}

static void do_status(char *rest)
{
    char *name = word(&rest);
    if (bk_client_set_status(talk.cli->client, bk_pidf_manual_of(bk_view_of_str(name))) < 0)
        say("  /status none, busy, dnd, brb, away, offwork or offline");
}

static void do_note(char *rest)
{
    if (bk_client_set_note(talk.cli->client, rest) < 0)
        say("  That note is too long.");
}

static void do_sign_in(char *rest)
{
    char *name = word(&rest);
    const char *address = *name ? name : talk.cli->address;
    if (!address || bk_client_sign_in(talk.cli->client, address, NULL, talk.cli->user) < 0)
        say("  /sign-in ADDRESS");
}

static void do_sign_out(char *rest)
{
    (void)rest;
    (void)bk_client_sign_out(talk.cli->client);
}

static void do_retry(char *rest)
{
    (void)rest;
    (void)bk_client_retry_now(talk.cli->client);
}

static void do_delete(char *rest)
{
    (void)rest;
    if (talk.cli->address)
        (void)bk_client_delete_sign_in_info(talk.cli->client, talk.cli->address);
}

static void do_details(char *rest)
{
    (void)rest;
    if (talk.failure.len)
        (void)fwrite(talk.failure.at, 1, talk.failure.len, stdout);
    else
        say("  Nothing went wrong yet.");
}

static void do_quit(char *rest)
{
    (void)rest;
    cli_leave(talk.cli, talk.cli->exit_status);
}

static void do_password(char *rest)
{
    (void)rest;
    if (!cli_password_begin(talk.cli, true))
        say("  The password was not changed.");
}

/* Words as the edits take them: a word, or several between quotes; addresses are completed. */
static void do_edit(const struct cli_edit *edit, char *rest)
{
    enum { WORDS_MAX = 16 };
    char *words[WORDS_MAX], whole[700];
    uint64_t id;
    int n = 0;
    for (rest += strspn(rest, " \t"); *rest && n < WORDS_MAX; rest += strspn(rest, " \t")) {
        bool quoted = *rest == '"';
        words[n++] = rest += quoted;
        rest += strcspn(rest, quoted ? "\"" : " \t");
        if (*rest)
            *rest++ = 0;
    }
    if (n && edit->order[0] == 'a' && words[0][0] != '@')
        words[0] = (char *)(uintptr_t)whole_address(words[0], whole);
    int r = cli_edit_do(talk.cli, edit, words, n, &id);
    if (r < 0)
        (void)printf("  /%s %s\n", edit->name, edit->arguments);
    else
        talk.cli->pending++;
}

static void do_help(char *rest);

static const struct {
    const char *name, *arguments, *help;
    void (*run)(char *rest);
} commands[] = {
    { "to", "ADDRESS", "talk to somebody: lines without a slash go there", do_to },
    { "msg", "ADDRESS TEXT", "one message to somebody else", do_msg },
    { "close", "[ADDRESS]", "end the conversation with somebody", do_close },
    { "who", "", "everybody you watch, and how they are", do_who },
    { "watch", "ADDRESS", "show somebody's presence", do_watch },
    { "unwatch", "ADDRESS", "no longer", do_unwatch },
    { "status", "STATE", "none, busy, dnd, brb, away, offwork or offline", do_status },
    { "note", "[TEXT]", "what others see beside your name; without a text it goes away", do_note },
    { "details", "", "what was tried before the last failure, for support", do_details },
    { "retry", "", "try again now", do_retry },
    { "sign-in", "[ADDRESS]", "sign in again, or as somebody else", do_sign_in },
    { "sign-out", "", "sign out and stay here", do_sign_out },
    { "password", "", "choose another password", do_password },
    { "delete", "", "delete what this computer keeps of your sign-in", do_delete },
    { "help", "", "this list", do_help },
    { "quit", "", "sign out and leave", do_quit },
};

static void do_help(char *rest)
{
    (void)rest;
    for (size_t i = 0; i < BK_COUNT_OF(commands); i++)
        (void)printf("  /%-10s %-14s %s\n", commands[i].name, commands[i].arguments,
                     commands[i].help);
    const struct cli_edit *edit;
    for (size_t i = 0; (edit = cli_edit_at(i)); i++)
        (void)printf("  /%-10s %-14s %s\n", edit->name, edit->arguments, edit->help);
}

static void answer_trust(const char *line)
{
    char c = bk_lower(*line);
    talk.asking_trust = false;
    (void)bk_client_trust(talk.cli->client, c == 'a'   ? BK_CLIENT_TRUST_ALWAYS
                                            : c == 'o' ? BK_CLIENT_TRUST_ONCE
                                                       : BK_CLIENT_TRUST_NO);
}

static void do_command(char *line)
{
    char *rest = line;
    char *name = word(&rest);
    for (size_t i = 0; i < BK_COUNT_OF(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            commands[i].run(rest);
            return;
        }
    }
    const struct cli_edit *edit = cli_edit_find(name);
    if (edit) {
        do_edit(edit, rest);
        return;
    }
    (void)printf("  There is no /%s; /help lists the commands.\n", name);
}

static void do_line(const char *line)
{
    BK_AUTO_FREE char *copy = strdup(line);
    if (!copy)
        return;
    struct bk_view trimmed = bk_view_trim(bk_view_of_str(copy));
    if (talk.asking_trust) {
        answer_trust(copy);
    } else if (trimmed.len && trimmed.at[0] == '/') {
        copy[(trimmed.at - copy) + (ptrdiff_t)trimmed.len] = 0;
        do_command(copy + (trimmed.at - copy) + 1);
    } else if (trimmed.len && !*talk.to) {
        say("  To whom? /to ADDRESS, or /help");
    } else if (trimmed.len) {
        send_text(talk.to, copy);
    }
}

/* ---- completion ---- */

/* The next candidate from *at on that begins with text; NULL: no more. Lives until the next call. */
static const char *next_match(const char *text, size_t len, size_t *at)
{
    static char command[32];
    while (*at < BK_COUNT_OF(commands) + (size_t)talk.n_known) {
        const char *candidate = command;
        if (*at < BK_COUNT_OF(commands))
            (void)snprintf(command, sizeof command, "/%s", commands[*at].name);
        else
            candidate = talk.known[*at - BK_COUNT_OF(commands)].address;
        (*at)++;
        if (strncmp(candidate, text, len) == 0)
            return candidate;
    }
    return NULL;
}

/* What all candidates have in common is put in; one alone gets a blank behind it. */
static unsigned char complete(EditLine *line, int key)
{
    (void)key;
    const LineInfo *info = el_line(line);
    const char *from = info->cursor;
    while (from > info->buffer && from[-1] != ' ')
        from--;
    size_t len = (size_t)(info->cursor - from), at = 0, common = 0;
    char best[340] = "";
    int n = 0;
    const char *candidate;
    while (len && (candidate = next_match(from, len, &at))) {
        if (n++ == 0) {
            (void)snprintf(best, sizeof best - 1, "%s", candidate);
            common = strlen(best);
        }
        size_t same = 0;
        while (same < common && best[same] == candidate[same])
            same++;
        common = same;
    }
    if (!n || (n > 1 && common == len))
        return CC_REFRESH_BEEP;
    best[common] = 0;
    if (n == 1)
        (void)memcpy(best + common, " ", 2);
    return el_insertstr(line, best + len) < 0 ? CC_ERROR : CC_REFRESH;
}

/* ---- the errand ---- */

void cli_talk_begin(struct cli *cli)
{
    talk.cli = cli;
    if (cli->n_arguments)
        cli->address = cli->arguments[0];
    if (!cli->address) {
        (void)fputs("beckon-cli: whose? Name the sign-in address\n", stderr);
        cli->exit_status = CLI_USAGE;
        cli->finished = true;
        return;
    }
    (void)bk_client_sign_in(cli->client, cli->address, cli->password, cli->user);
    if (cli->terminal_in && cli->terminal_out)
        start_editing(cli);
}

static void ask_credential(struct cli *cli, const struct bk_client_event *event)
{
    char prompt[400];
    char *user = NULL;
    if (event->credential.need_user && cli->terminal_in)
        user = cli_ask("User name: ", true);
    (void)snprintf(prompt, sizeof prompt, "Password of %s: ", event->credential.address);
    char *password = cli->terminal_in ? cli_ask(prompt, false) : NULL;
    if (password && *password) {
        (void)bk_client_credential(cli->client, password, user && *user ? user : NULL);
    } else if (cli->terminal_in) {
        (void)bk_client_sign_out(cli->client);
    } else {
        (void)fputs("beckon-cli: a password is needed: use --password-file, or a terminal\n",
                    stderr);
        cli_leave(cli, CLI_CATEGORY + BK_CATEGORY_AUTHENTICATION);
    }
    cli_wipe(password);
    free(user);
}

/* Kept as text, because the event is gone when somebody asks for it. */
static void keep_failure(struct cli *cli, const struct bk_client_failure *failure)
{
    char *text = NULL;
    size_t len = 0;
    FILE *memory = open_memstream(&text, &len);
    if (!memory)
        return;
    cli_print_failure(cli, memory, failure, true);
    (void)fclose(memory);
    bk_buf_clear(&talk.failure);
    bk_buf_add(&talk.failure, text, len);
    free(text);
}

void cli_talk_event(struct cli *cli, const struct bk_client_event *event)
{
    if (cli_password_event(cli, event) == CLI_PASSWORD_GOES_ON &&
        event->type != BK_CLIENT_EVENT_TRUST)
        return;
    switch (event->type) {
    case BK_CLIENT_EVENT_STATE:
        if (event->state.state == BK_CLIENT_SIGNED_IN) {
            cli->exit_status = CLI_OK;
            cli->address = cli->address ? cli->address : "";
        }
        if (event->state.state == BK_CLIENT_SIGNED_OUT && !cli->leaving && !cli->terminal_in)
            cli_leave(cli, cli->exit_status);
        return;
    case BK_CLIENT_EVENT_FAILURE:
    case BK_CLIENT_EVENT_ENDED:
        cli->exit_status = cli_status_of(&event->failure);
        keep_failure(cli, &event->failure);
        if (cli->terminal_in && strcmp(event->failure.id, "SI-206") == 0 &&
            cli_password_begin(cli, true))
            return;
        if (cli->terminal_in && event->failure.next == BK_CLIENT_NEXT_STOP)
            say("  /sign-in tries again, /details shows what was tried, /quit leaves.");
        return;
    case BK_CLIENT_EVENT_CREDENTIAL:
        ask_credential(cli, event);
        return;
    case BK_CLIENT_EVENT_TRUST:
        (void)printf("The server %s is of another domain than %s. Use it?\n", event->trust.server,
                     event->trust.address);
        talk.asking_trust = cli->terminal_in;
        if (!cli->terminal_in)
            (void)bk_client_trust(cli->client, BK_CLIENT_TRUST_NO);
        return;
    case BK_CLIENT_EVENT_PRESENCE:
        if (!event->presence.own)
            know(event->presence.address, event->presence.shown, event->presence.note, true);
        return;
    case BK_CLIENT_EVENT_MESSAGE:
        know(event->message.from, BK_PIDF_SHOWN_UNKNOWN, "", false);
        if (!*talk.to) { /* whoever writes first is answered without ado */
            (void)snprintf(talk.to, sizeof talk.to, "%.329s", event->message.from);
            (void)bk_client_watch(cli->client, talk.to);
        }
        return;
    default:
        return;
    }
}

/* Without a terminal: plain lines. */
void cli_talk_readable(struct cli *cli)
{
    static char line[LINE_MAX_BYTES];
    static size_t len;
    ssize_t n = read(STDIN_FILENO, line + len, sizeof line - len - 1);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        cli_input_ended(cli);
        return;
    }
    len += (size_t)n;
    char *end;
    while ((end = memchr(line, '\n', len)) || len == sizeof line - 1) {
        size_t used = end ? (size_t)(end - line) + 1 : len;
        line[end ? used - 1 : used] = 0;
        do_line(line);
        memmove(line, line + used, len - used);
        len -= used;
    }
}

void cli_talk_end(struct cli *cli)
{
    (void)cli;
    cli_password_end();
    if (talk.line)
        el_end(talk.line);
    if (talk.history)
        history_end(talk.history);
    bk_buf_finish(&talk.failure);
}
