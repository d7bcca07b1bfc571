/* SPDX-License-Identifier: Apache-2.0 */
/* beckon-load: drives a SIP server on this machine with many people at once, and measures it. */
#include "base/text.h"
#include "diag/load/engine.h"
#include "diag/load/report.h"
#include "diag/load/sa.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_FINE = 0, EXIT_FAILURES = 1, EXIT_USAGE = 2, EXIT_COULD_NOT = 3 };

/* What a run without named phases does. */
static const char *const usual[] = { "sign-in",   "re-register", "message",     "paced",
                                     "subscribe", "notify",      "unsubscribe", "call",
                                     "kill",      "return",      "message",     "sign-out" };
static const char *const usual_lync[] = { "sign-in", "re-register", "session",   "message",
                                          "paced",   "session-end", "subscribe", "notify",
                                          "call",    "unsubscribe", "kill",      "return",
                                          "sign-out" };

/* Descriptors besides the connections: standard ones, epoll, JSON file, /proc. */
enum { OTHER_FILES = 32 };

static struct bk_load_engine *running;

static void on_signal(int number)
{
    (void)number;
    if (running)
        bk_load_engine_stop(running);
}

static void help(void)
{
    struct bk_buf text = { 0 };
    bk_buf_add_str(
        &text,
        "beckon-load - drive a SIP server on this machine with many people, and measure it\n\n"
        "usage: beckon-load --server ADDRESS:PORT --password TEXT [OPTIONS] [PHASE...]\n\n"
        "phases, done in the order given:\n");
    bk_load_phases_help(&text);
    bk_buf_add_str(&text, "without any:");
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        bk_buf_add_char(&text, ' ');
        bk_buf_add_str(&text, usual[i]);
    }
    bk_buf_add_str(&text, "\nwithout any in the Lync dialect:");
    for (size_t i = 0; i < sizeof usual_lync / sizeof *usual_lync; i++) {
        bk_buf_add_char(&text, ' ');
        bk_buf_add_str(&text, usual_lync[i]);
    }
    bk_buf_add_str(&text, "\n\noptions, [their defaults]:\n");
    bk_load_options_help(&text);
    bk_buf_add_str(&text,
                   "\nexit status: 0 no failure, 1 failures, 2 wrong use, 3 could not run\n");
    fwrite(text.at, 1, text.len, stdout);
    bk_buf_finish(&text);
}

static int could_not(const char *what, int error)
{
    fprintf(stderr, "beckon-load: %s: %s\n", what, strerror(-error));
    return EXIT_COULD_NOT;
}

static int wrong_use(const char *text)
{
    fprintf(stderr, "beckon-load: %s\n", text);
    return EXIT_USAGE;
}

static int load_people(const struct bk_load_options *options, struct bk_load_people *ret)
{
    if (!options->users_file) {
        int r = bk_load_people_from_pattern(options->pattern, options->domain, options->password,
                                            (uint32_t)options->users, ret);
        if (r == -EINVAL)
            fprintf(stderr,
                    "beckon-load: --user-pattern \"%s\" needs exactly one %%d, and it and --domain "
                    "hold nothing a SIP address must escape\n",
                    options->pattern);
        else if (r < 0)
            could_not("making the people", r);
        return r;
    }
    struct bk_buf text = { 0 };
    int r = bk_file_read(options->users_file, 64 * 1024 * 1024, &text);
    unsigned line = 0;
    if (r < 0) {
        could_not(options->users_file, r);
    } else {
        r = bk_load_people_from_csv(bk_buf_view(&text), (uint32_t)options->users, ret, &line);
        if (r == -EBADMSG)
            fprintf(stderr, "beckon-load: %s line %u: not address,password\n", options->users_file,
                    line);
        else if (r < 0)
            could_not(options->users_file, r);
    }
    if (text.at)
        bk_wipe(text.at, text.cap);
    bk_buf_finish(&text);
    return r;
}

/* Connections are files. Raises the limit as far as it goes, and says so where that is too little. */
static int allow_files(uint32_t connections)
{
    rlim_t need = connections + OTHER_FILES;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return could_not("reading the open-file limit", -errno);
    if (limit.rlim_cur >= need)
        return EXIT_FINE;
    rlim_t most = limit.rlim_max;
    limit.rlim_cur = need;
    if (limit.rlim_max < need)
        limit.rlim_max = need; /* for those who may */
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return EXIT_FINE;
    if (most >= need) {
        limit.rlim_cur = limit.rlim_max = most;
        if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
            return EXIT_FINE;
    }
    fprintf(stderr,
            "beckon-load: %u people need %llu open files, the limit is %llu and cannot be raised: "
            "--users %llu at most, or ulimit -Hn as root\n",
            connections, (unsigned long long)need, (unsigned long long)most,
            (unsigned long long)(most > OTHER_FILES ? most - OTHER_FILES : 0));
    return EXIT_COULD_NOT;
}

static int check(const struct bk_load_options *options, struct bk_load_io_config *io)
{
    if (!options->server)
        return wrong_use("--server is missing; --help lists the options");
    if (!options->password && !options->users_file)
        return wrong_use("either --password or --users-file is needed");
    int r = bk_load_io_parse_server(options->server, io);
    if (r == -EPERM)
        return wrong_use("--server is not a loopback address; this program is for servers on its "
                         "own machine only");
    if (r < 0)
        return wrong_use("--server is not ADDRESS:PORT with a numeric address, as 127.0.0.1:5061");
    if (options->dialect == BK_LOAD_LYNC && options->transport == BK_LOAD_UDP)
        return wrong_use("--dialect lync needs a connection: --transport tls or tcp");
    if (options->dialect == BK_LOAD_LYNC && options->scheme == BK_LOAD_TLS_DSK &&
        !options->certificates)
        return wrong_use("--scheme tls-dsk needs --certificates");
    for (unsigned i = 0; i < options->phase_count; i++) {
        if (!bk_load_phase_exists(options->phases[i], options->dialect == BK_LOAD_LYNC)) {
            fprintf(stderr, "beckon-load: \"%s\" is not a phase; --help lists them\n",
                    options->phases[i]);
            return EXIT_USAGE;
        }
    }
    return EXIT_FINE;
}

/* Two runs against two servers can so be led through their phases in turn. False: no more lines. */
static bool may_go_on(const struct bk_load_options *options, const char *phase)
{
    char line[16];
    if (!options->step)
        return true;
    printf("next: %s\n", phase);
    fflush(stdout);
    return fgets(line, sizeof line, stdin) != NULL;
}

static int run_phases(struct bk_load_engine *engine, const struct bk_load_options *options,
                      uint32_t people)
{
    bool lync = options->dialect == BK_LOAD_LYNC;
    const char *const *names = options->phase_count ? options->phases : lync ? usual_lync : usual;
    unsigned count = options->phase_count ? options->phase_count
                     : lync               ? sizeof usual_lync / sizeof *usual_lync
                                          : sizeof usual / sizeof *usual;
    struct bk_load_result *results = calloc(count, sizeof *results);
    if (!results)
        return could_not("starting", -ENOMEM);

    bk_load_report_heading(stdout, options, people);
    int status = EXIT_FINE;
    unsigned done = 0;
    while (done < count && may_go_on(options, names[done])) {
        struct bk_load_result *result = &results[done];
        int r = bk_load_engine_run(engine, names[done], result);
        if (r < 0 && r != -ECANCELED) {
            status = could_not(
                r == -ESRCH || r == -EACCES ? "measuring the process of --pid" : names[done], r);
            break;
        }
        bk_load_report_phase(stdout, result);
        done++;
        if (result->failures)
            status = EXIT_FAILURES;
        if (r == -ECANCELED) {
            fprintf(stderr, "beckon-load: stopped in phase %s (signal, or --time-limit)\n",
                    names[done - 1]);
            status = EXIT_FAILURES;
            break;
        }
    }
    if (options->json_file) {
        int r = bk_load_report_json(options->json_file, options, people, results, done);
        if (r < 0)
            status = could_not(options->json_file, r);
    }
    free(results);
    return status;
}

int main(int argc, char **argv)
{
    struct bk_load_options options;
    struct bk_buf problem = { 0 };
    if (bk_load_options_parse(argc, argv, &options, &problem) < 0) {
        const char *text = bk_buf_cstr(&problem);
        int status = wrong_use(text ? text : "wrong options");
        bk_buf_finish(&problem);
        return status;
    }
    if (options.help) {
        help();
        return EXIT_FINE;
    }
    if (options.version) {
        puts("beckon-load " BK_VERSION);
        return EXIT_FINE;
    }

    struct bk_load_io_config io = { .transport = (enum bk_load_transport)options.transport,
                                    .server_name = options.domain,
                                    .ca_file = options.ca_file,
                                    .sources = (uint32_t)options.sources };
    int status = check(&options, &io);
    if (status != EXIT_FINE)
        return status;
    struct bk_load_people people = { 0 };
    if (load_people(&options, &people) < 0)
        return EXIT_COULD_NOT;
    io.connections = people.count;
    status = allow_files(people.count);

    struct bk_load_engine *engine = NULL;
    if (status == EXIT_FINE) {
        int r = bk_load_engine_create(&options, &people, &io, &engine);
        if (r < 0)
            status = could_not(r == -ENOENT ? options.ca_file : "starting", r);
    }
    if (status == EXIT_FINE) {
        running = engine;
        struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
        /* If the loop itself should hang, the kernel ends the program. */
        alarm((unsigned)options.time_limit_s + 60);
        prctl(PR_SET_TIMERSLACK, 1000UL); /* 1 us, so that a paced message leaves on time */
        status = run_phases(engine, &options, people.count);
        running = NULL;
    }
    bk_load_engine_destroy(engine);
    bk_load_people_finish(&people);
    return status;
}
