/* SPDX-License-Identifier: Apache-2.0 */
/* beckond: puts the parts together, runs, and stops in order. */
#include "base/cleanup.h"
#include "base/text.h"
#include "server/front.h"
#include "server/run.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    EXIT_USAGE = 2,
    EXIT_CONFIG = 3,
    EXIT_STORE = 4,
    EXIT_LISTEN = 5,
};

static void usage(FILE *to)
{
    fputs("usage: beckond --config FILE\n"
          "\n"
          "  --config FILE      configuration (default /etc/beckon/beckond.conf)\n"
          "  --check            read the configuration, say what is wrong, and end\n"
          "  --ports-file FILE  write the ports really bound, one \"kind port\" a line\n"
          "  --help-settings    every key of the configuration file\n"
          "  --version\n"
          "\n"
          "beckonctl init DOMAIN makes a configuration and a store.\n",
          to);
}

/* Tells systemd (or whoever set NOTIFY_SOCKET) how far we are. */
static void notify_manager(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    if (!path || strlen(path) >= sizeof at.sun_path)
        return;
    memcpy(at.sun_path, path, strlen(path));
    if (at.sun_path[0] == '@')
        at.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    ssize_t n = sendto(fd, text, strlen(text), 0, (struct sockaddr *)&at, len);
    (void)n;
    close(fd);
}

static int become(const char *name, const struct bk_log *log)
{
    if (!name[0] || geteuid() != 0)
        return 0;
    struct passwd *user = getpwnam(name);
    if (!user) {
        bk_log(log, BK_LOG_ERROR, "no such user to become", "user", name);
        return -ENOENT;
    }
    if (initgroups(name, user->pw_gid) < 0 || setgid(user->pw_gid) < 0 ||
        setuid(user->pw_uid) < 0) {
        bk_log(log, BK_LOG_ERROR, "cannot become the user", "user", name, "why", strerror(errno));
        return -errno;
    }
    return 0;
}

/* As many connections as the system lets us have. */
static void raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void on_reload(void *arg)
{
    bk_run_reload(arg);
}

static void on_stop(void *arg)
{
    notify_manager("STOPPING=1");
    bk_run_stop(arg);
}

static int serve(const struct bk_settings *settings, const struct bk_log *log,
                 const char *ports_file)
{
    struct bk_loop *loop;
    struct bk_run *run;
    char *why = NULL;

    if (bk_loop_create(log, &loop) < 0)
        return EXIT_FAILURE;
    int r = bk_run_start(loop, settings, log, &run, &why);
    if (r < 0) {
        bk_log(log, BK_LOG_ERROR, "cannot start", "why", why ? why : strerror(-r));
        fprintf(stderr, "beckond: %s\n", why ? why : strerror(-r));
        free(why);
        bk_loop_destroy(loop);
        return r == -EADDRINUSE || r == -EACCES ? EXIT_LISTEN : EXIT_STORE;
    }
    int status = become(settings->user, log) < 0 ? EXIT_CONFIG : EXIT_SUCCESS;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    /* Before anybody can know that it started: who knows may stop it. */
    bk_loop_on_signal(loop, SIGTERM, on_stop, run);
    bk_loop_on_signal(loop, SIGINT, on_stop, run);
    bk_loop_on_signal(loop, SIGHUP, on_reload, run);
    if (status == EXIT_SUCCESS && ports_file && bk_run_write_ports(run, ports_file) < 0) {
        bk_log(log, BK_LOG_ERROR, "cannot write the ports", "file", ports_file);
        status = EXIT_CONFIG;
    }
    if (status == EXIT_SUCCESS) {
        notify_manager("READY=1");
        bk_loop_run(loop);
    }
    bk_run_destroy(run);
    bk_loop_destroy(loop);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' },
        { "check", no_argument, NULL, 'k' },
        { "ports-file", required_argument, NULL, 'p' },
        { "help-settings", no_argument, NULL, 's' },
        { "version", no_argument, NULL, 'v' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    const char *config = "/etc/beckon/beckond.conf", *ports_file = NULL;
    bool check = false;

    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        switch (c) {
        case 'c':
            config = optarg;
            break;
        case 'k':
            check = true;
            break;
        case 'p':
            ports_file = optarg;
            break;
        case 's':
            bk_settings_help(stdout);
            return EXIT_SUCCESS;
        case 'v':
            puts("beckond " BK_VERSION);
            return EXIT_SUCCESS;
        case 'h':
            usage(stdout);
            return EXIT_SUCCESS;
        default:
            usage(stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "beckond: unexpected argument \"%s\"\n", argv[optind]);
        usage(stderr);
        return EXIT_USAGE;
    }
    struct bk_settings settings;
    char *why;
    if (bk_settings_load(config, &settings, &why) < 0) {
        fprintf(stderr, "beckond: %s\n", why ? why : "the configuration cannot be read");
        free(why);
        return EXIT_CONFIG;
    }
    struct bk_log log = { .level = BK_LOG_INFO, .json = settings.log_json, .to = stderr };
    int level = bk_log_level_parse(settings.log_level), status = EXIT_SUCCESS;
    if (level < 0) {
        fprintf(stderr,
                "beckond: %s: log level is error, warning, notice, info or debug, not \"%s\"\n",
                config, settings.log_level);
        status = EXIT_CONFIG;
    } else {
        log.level = (enum bk_log_level)level;
        signal(SIGPIPE, SIG_IGN);
        raise_files();
        status = check ? EXIT_SUCCESS : serve(&settings, &log, ports_file);
    }
    bk_settings_finish(&settings);
    return status;
}
