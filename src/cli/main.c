/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/text.h"
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

enum { LEAVE_MS = 4000, LAST_MESSAGES_MS = 40000, PASSWORD_MAX = 1024 };

/* ---- options: one table gives getopt, the help and the man page's list ---- */

enum {
    OPT_ADDRESS = 'a',
    OPT_USER = 'u',
    OPT_HELP = 'h',
    OPT_JSON = 'j',
    OPT_PROFILE = 'p',
    OPT_CA = 256,
    OPT_ONLY_CA,
    OPT_DNS,
    OPT_PROXY,
    OPT_NO_PROXY,
    OPT_SERVER,
    OPT_DISCOVER_PORT,
    OPT_PASSWORD_FILE,
    OPT_PASSWORD_FD,
    OPT_KEEP_NOTHING,
    OPT_WAIT,
    OPT_CLOCK_OFFSET,
    OPT_PROVE_AGAIN,
    OPT_ALLOW_NTLM,
    OPT_NO_COLOUR,
    OPT_DEBUG,
    OPT_VERSION,
};

static const struct {
    const char *name;
    int id;
    const char *argument, *help;
} option_rows[] = {
    { "address", OPT_ADDRESS, "ADDRESS", "sign-in address; else the one used last" },
    { "user", OPT_USER, "NAME", "user name, where it differs from the address" },
    { "password-file", OPT_PASSWORD_FILE, "FILE", "the first line of FILE is the password" },
    { "password-fd", OPT_PASSWORD_FD, "N",
      "the first line read from descriptor N is the password" },
    { "json", OPT_JSON, NULL, "events as lines of JSON, commands as such from standard input" },
    { "profile", OPT_PROFILE, "FOLDER", "where keys and certificates are kept" },
    { "keep-nothing", OPT_KEEP_NOTHING, NULL, "keep no key and no certificate on this computer" },
    { "ca", OPT_CA, "FILE", "trust the authorities in FILE (PEM) beside the system's" },
    { "only-ca", OPT_ONLY_CA, NULL, "trust only those of --ca" },
    { "server", OPT_SERVER, "HOST[:PORT]", "use this server, look for none" },
    { "dns", OPT_DNS, "ADDR:PORT,...", "ask these name servers" },
    { "proxy", OPT_PROXY, "URL",
      "go through this HTTP proxy; else as https_proxy and no_proxy say" },
    { "no-proxy", OPT_NO_PROXY, NULL, "go through no proxy, whatever the environment says" },
    { "discover-port", OPT_DISCOVER_PORT, "PORT", "port of the HTTPS discovery services, for 443" },
    { "wait", OPT_WAIT, "SECONDS",
      "let a command try again so long; else the first failure ends it" },
    { "clock-offset", OPT_CLOCK_OFFSET, "SECONDS",
      "act as if the clock were off by that (for tests)" },
    { "prove-again", OPT_PROVE_AGAIN, "SECONDS",
      "with TLS-DSK, prove who you are anew that often; at most 8 hours, the default" },
    { "allow-ntlm", OPT_ALLOW_NTLM, NULL,
      "sign in by NTLM where a server has no better way; the password is asked for each time" },
    { "no-colour", OPT_NO_COLOUR, NULL, "no colours (also: NO_COLOR is set)" },
    { "debug", OPT_DEBUG, NULL, "what the engine does, on standard error" },
    { "help", OPT_HELP, NULL, "this text" },
    { "version", OPT_VERSION, NULL, "print the version" },
};

static void print_help(void)
{
    (void)puts("usage: beckon-cli [OPTIONS] [COMMAND]\n\nCommands:");
    const struct cli_errand *errand;
    for (size_t i = 0; (errand = cli_errand_at(i)); i++)
        (void)printf("  %-20s %-18s %s\n", errand->name, errand->arguments, errand->help);
    (void)puts("\nOptions:");
    for (size_t i = 0; i < BK_COUNT_OF(option_rows); i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "--%s%s%s", option_rows[i].name,
                       option_rows[i].argument ? "=" : "",
                       option_rows[i].argument ? option_rows[i].argument : "");
        if (option_rows[i].id < 256)
            (void)printf("  -%c, %-26s %s\n", option_rows[i].id, text, option_rows[i].help);
        else
            (void)printf("      %-26s %s\n", text, option_rows[i].help);
    }
}

/* ---- passwords ---- */

void cli_wipe(char *secret)
{
    if (secret)
        bk_wipe(secret, strlen(secret));
    free(secret);
}

/* The first line, without its end. Byte by byte: what follows belongs to somebody else. */
static char *read_line(int fd)
{
    char *line = calloc(1, PASSWORD_MAX + 1);
    size_t len = 0;
    char c;
    ssize_t n = 0;
    while (line && len < PASSWORD_MAX && (n = read(fd, &c, 1)) != 0 && c != '\n') {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        line[len++] = c;
    }
    if (line && len && line[len - 1] == '\r')
        line[len - 1] = 0;
    if (n < 0 || (n == 0 && !len)) {
        cli_wipe(line);
        return NULL;
    }
    return line;
}

char *cli_ask(const char *prompt, bool echo)
{
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    struct termios before, quiet;
    if (fd < 0)
        return NULL;
    if (tcgetattr(fd, &before) < 0) {
        (void)close(fd);
        return NULL;
    }
    quiet = before;
    quiet.c_lflag |= ICANON | ISIG | ECHO | ECHONL;
    quiet.c_iflag |= ICRNL;
    if (!echo)
        quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
    (void)fflush(stdout);
    (void)tcsetattr(fd, TCSAFLUSH, &quiet);
    if (write(fd, prompt, strlen(prompt)) < 0)
        errno = 0;
    char *password = read_line(fd);
    if (!echo && write(fd, "\n", 1) < 0)
        errno = 0;
    (void)tcsetattr(fd, TCSAFLUSH, &before);
    (void)close(fd);
    return password;
}

static int read_password(struct cli *cli, const char *file, int fd)
{
    bool opened = fd < 0;
    if (opened)
        fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        cli_wipe(cli->password);
        cli->password = read_line(fd);
    }
    if (opened && fd >= 0)
        (void)close(fd);
    if (cli->password)
        return 0;
    (void)fprintf(stderr, "beckon-cli: %s: no password there\n", file);
    return -ENOENT;
}

/* ---- the clock of --clock-offset ---- */

static int64_t clock_offset_ms;

static int64_t offset_mono(void *ctx)
{
    (void)ctx;
    return bk_clock_mono_ms(&bk_clock_system);
}

static int64_t offset_real(void *ctx)
{
    (void)ctx;
    return bk_clock_real_ms(&bk_clock_system) + clock_offset_ms;
}

static const struct bk_clock offset_clock = { offset_mono, offset_real, NULL };

/* ---- reading the command line ---- */

static int number_of(const char *option, const char *text, int min, int max, int *ret)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || *end || end == text || n < min || n > max) {
        (void)fprintf(stderr, "beckon-cli: --%s: %s is not a number from %d to %d\n", option, text,
                      min, max);
        return -EINVAL;
    }
    *ret = (int)n;
    return 0;
}

static struct bk_log debug_log = { .level = BK_LOG_DEBUG };

/* 0; 1: done, leave with CLI_OK; negative: leave with CLI_USAGE. */
static int take_option(struct cli *cli, int id, char *value)
{
    int n;
    switch (id) {
    case OPT_ADDRESS:
        cli->address = value;
        return 0;
    case OPT_USER:
        cli->user = value;
        return 0;
    case OPT_JSON:
        cli->json = true;
        return 0;
    case OPT_PROFILE:
        cli->config.profile_dir = value;
        return 0;
    case OPT_KEEP_NOTHING:
        cli->config.keep_nothing = true;
        return 0;
    case OPT_CA:
        cli->config.ca_file = value;
        return 0;
    case OPT_ONLY_CA:
        cli->config.only_ca_file = true;
        return 0;
    case OPT_DNS:
        cli->config.dns_servers = value;
        return 0;
    case OPT_SERVER:
        cli->config.manual_server = value;
        return 0;
    case OPT_PROXY:
        cli->proxy = value;
        return 0;
    case OPT_NO_PROXY:
        cli->proxy = "";
        return 0;
    case OPT_DISCOVER_PORT:
        if (number_of("discover-port", value, 1, 65535, &n) < 0)
            return -EINVAL;
        cli->config.discovery_port = (uint16_t)n;
        return 0;
    case OPT_WAIT:
        return number_of("wait", value, 0, 86400, &cli->wait_s);
    case OPT_CLOCK_OFFSET:
        if (number_of("clock-offset", value, -2000000000, 2000000000, &n) < 0)
            return -EINVAL;
        clock_offset_ms = (int64_t)n * 1000;
        cli->config.clock = &offset_clock;
        return 0;
    case OPT_PROVE_AGAIN:
        if (number_of("prove-again", value, 1, 8 * 3600, &n) < 0)
            return -EINVAL;
        cli->config.timing.prove_ms = n * 1000;
        return 0;
    case OPT_ALLOW_NTLM:
        cli->config.allow_ntlm = true;
        return 0;
    case OPT_PASSWORD_FILE:
        return read_password(cli, value, -1);
    case OPT_PASSWORD_FD:
        return number_of("password-fd", value, 0, 1023, &n) < 0 ? -EINVAL
                                                                : read_password(cli, value, n);
    case OPT_NO_COLOUR:
        cli->colour = false;
        return 0;
    case OPT_DEBUG:
        debug_log.to = stderr;
        cli->config.log = &debug_log;
        return 0;
    case OPT_HELP:
        print_help();
        return 1;
    case OPT_VERSION:
        (void)puts("beckon-cli " BK_VERSION);
        return 1;
    default:
        return -EINVAL;
    }
}

static int read_options(struct cli *cli, int argc, char **argv)
{
    struct option longs[BK_COUNT_OF(option_rows) + 1] = { 0 };
    for (size_t i = 0; i < BK_COUNT_OF(option_rows); i++)
        longs[i] = (struct option){ option_rows[i].name,
                                    option_rows[i].argument ? required_argument : no_argument, NULL,
                                    option_rows[i].id };
    int id, r;
    /* '+': what follows the command is the command's. */
    while ((id = getopt_long(argc, argv, "+a:u:hjp:", longs, NULL)) != -1)
        if ((r = take_option(cli, id, optarg)) != 0)
            return r;
    const char *name = "sign-in";
    if (optind < argc && !strchr(argv[optind], '@')) /* an address alone means: sign in with it */
        name = argv[optind++];
    cli->errand = cli_errand_find(name);
    cli->arguments = argv + optind;
    cli->n_arguments = argc - optind;
    if (!cli->errand || strcmp(name, "json") == 0) {
        (void)fprintf(stderr, "beckon-cli: %s: no such command; --help lists them\n", name);
        return -EINVAL;
    }
    if (cli->n_arguments < cli->errand->n_min ||
        (cli->errand->n_max >= 0 && cli->n_arguments > cli->errand->n_max)) {
        (void)fprintf(stderr, "usage: beckon-cli [OPTIONS] %s %s\n", cli->errand->name,
                      cli->errand->arguments);
        return -EINVAL;
    }
    if (cli->json && cli->errand->reads_input) {
        cli->errand = cli_errand_find("json");
        if (cli->n_arguments)
            cli->address = cli->arguments[0];
    }
    return 0;
}

/* ---- the loop ---- */

int cli_status_of(const struct bk_client_failure *failure)
{
    return failure->record ? CLI_CATEGORY + (int)failure->record->category : CLI_BROKEN;
}

void cli_leave(struct cli *cli, int status)
{
    cli->exit_status = status;
    if (cli->leaving)
        return;
    cli->leaving = true;
    if (cli->state == BK_CLIENT_IDLE || cli->state == BK_CLIENT_SIGNED_OUT ||
        bk_client_sign_out(cli->client) < 0) {
        cli->finished = true;
        return;
    }
    cli->give_up_at_ms = bk_clock_mono_ms(&bk_clock_system) + LEAVE_MS;
}

void cli_input_ended(struct cli *cli)
{
    cli->input_ended = true;
    if (!cli->pending)
        cli_leave(cli, cli->exit_status);
    else if (!cli->give_up_at_ms)
        cli->give_up_at_ms = bk_clock_mono_ms(&bk_clock_system) + LAST_MESSAGES_MS;
}

/* Without further commands there is nothing to stay for once the last message is settled, or signing in was refused. */
static void look_at_pending(struct cli *cli, const struct bk_client_event *event)
{
    if (event->type == BK_CLIENT_EVENT_MESSAGE_STATE && cli->pending &&
        event->message_state.state != BK_CLIENT_SENDING && !event->message_state.kept)
        cli->pending--;
    if (event->type == BK_CLIENT_EVENT_EDITED && cli->pending)
        cli->pending--;
    bool refused =
        event->type == BK_CLIENT_EVENT_FAILURE && event->failure.next != BK_CLIENT_NEXT_RETRY;
    if (cli->input_ended && (event->type == BK_CLIENT_EVENT_CREDENTIAL ||
                             event->type == BK_CLIENT_EVENT_TRUST)) { /* nobody is left to answer */
        cli->exit_status = CLI_CATEGORY + BK_CATEGORY_AUTHENTICATION;
        refused = true;
    }
    if (cli->input_ended && !cli->leaving && (!cli->pending || refused))
        cli_leave(cli, cli->exit_status);
}

static void take_event(struct cli *cli, const struct bk_client_event *event)
{
    if (event->type == BK_CLIENT_EVENT_STATE)
        cli->state = event->state.state;
    cli_talk_pause(cli);
    if (cli->json)
        cli_json_show(cli, event);
    else
        cli_show(cli, event);
    (void)fflush(stdout);
    cli->errand->event(cli, event);
    look_at_pending(cli, event);
    (void)fflush(stdout);
    cli_talk_resume(cli);
    if (cli->leaving && cli->state == BK_CLIENT_SIGNED_OUT)
        cli->finished = true;
}

static void take_signal(struct cli *cli, int fd)
{
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof info) < 0)
        return;
    if (cli->leaving) /* asked twice: at once */
        cli->finished = true;
    /* Watching and conversing end like this; another errand was cut off. */
    bool normal = cli->errand->reads_input || strcmp(cli->errand->name, "watch") == 0;
    cli_leave(cli, normal ? cli->exit_status : CLI_BROKEN);
}

static int poll_ms(const struct cli *cli)
{
    if (!cli->give_up_at_ms)
        return -1;
    int64_t left = cli->give_up_at_ms - bk_clock_mono_ms(&bk_clock_system);
    return left > 0 ? (int)left : 0;
}

static void give_up(struct cli *cli)
{
    if (!cli->give_up_at_ms || bk_clock_mono_ms(&bk_clock_system) < cli->give_up_at_ms)
        return;
    cli->give_up_at_ms = 0;
    if (cli->leaving)
        cli->finished = true;
    else
        cli_leave(cli, cli->exit_status ? cli->exit_status : CLI_BROKEN);
}

bool cli_wait(struct cli *cli)
{
    while (!cli->finished) {
        bool reads = cli->errand->reads_input && !cli->leaving && !cli->input_ended;
        struct pollfd fds[] = {
            { .fd = bk_client_event_fd(cli->client), .events = POLLIN },
            { .fd = cli->signals, .events = POLLIN },
            { .fd = reads ? STDIN_FILENO : -1, .events = POLLIN },
        };
        if (poll(fds, BK_COUNT_OF(fds), poll_ms(cli)) < 0 && errno != EINTR)
            return false;
        const struct bk_client_event *event;
        while (!cli->finished && (event = bk_client_event_next(cli->client))) {
            take_event(cli, event);
            bk_client_event_done(cli->client, event);
        }
        if (fds[1].revents)
            take_signal(cli, cli->signals);
        give_up(cli);
        if (fds[2].revents && !cli->leaving && !cli->finished)
            return true;
    }
    return false;
}

static void run(struct cli *cli)
{
    cli->errand->begin(cli);
    if (cli->wait_s)
        cli->give_up_at_ms = bk_clock_mono_ms(&bk_clock_system) + (int64_t)cli->wait_s * 1000;
    while (!cli->finished) {
        if (cli->edits && !cli->leaving)
            cli_talk_edit(cli);
        else if (!cli_wait(cli))
            return;
        else if (cli->json)
            cli_json_readable(cli);
        else
            cli_talk_readable(cli);
    }
}

/* Blocked before the engine's thread starts, so that it never meets them. */
static int block_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

int main(int argc, char **argv)
{
    struct cli cli = { .config = { .name = "beckon-cli", .device_kind = "terminal" } };
    struct bk_buf last = { 0 };
    (void)setlocale(LC_ALL, "");
    cli.terminal_in = isatty(STDIN_FILENO);
    cli.terminal_out = isatty(STDOUT_FILENO);
    cli.colour = cli.terminal_out && !getenv("NO_COLOR");
    int r = read_options(&cli, argc, argv);
    if (r != 0) {
        cli_wipe(cli.password);
        return r > 0 ? CLI_OK : CLI_USAGE;
    }
    if (!cli.address && bk_client_last_address(cli.config.profile_dir, &last) == 0)
        cli.address = bk_buf_cstr(&last);
    cli.signals = block_signals();
    char *why = NULL;
    cli.config.find_proxy = cli_find_proxy;
    cli.config.find_proxy_ctx = &cli;
    r = bk_client_create(&cli.config, &cli.client, &why);
    if (r < 0) {
        (void)fprintf(stderr, "beckon-cli: %s\n", why ? why : strerror(-r));
        cli.exit_status = r == -ENOMEM ? CLI_BROKEN : CLI_USAGE;
    } else {
        run(&cli);
    }
    cli_talk_end(&cli);
    cli.client = bk_client_destroy(cli.client);
    cli_wipe(cli.password);
    bk_buf_finish(&last);
    free(why);
    return cli.exit_status;
}
