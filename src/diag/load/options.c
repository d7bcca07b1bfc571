/* SPDX-License-Identifier: Apache-2.0 */
#include "diag/load/options.h"

#include "diag/load/io.h"
#include "diag/load/people.h"

#include <errno.h>
#include <stddef.h>

enum kind { TEXT, NUMBER, CHOICE, FLAG };

static const char *const transports[] = { "tls", "tcp", "udp", NULL };
static const char *const dialects[] = { "plain", "lync", NULL };
static const char *const schemes[] = { "ntlm", "tls-dsk", NULL };
static const char *const auth_names[] = { "user", "address", NULL };

#define AT(member) offsetof(struct bk_load_options, member)

static const struct option {
    const char *name, *argument, *otherwise; /* otherwise: the default as it would be typed */
    const char *help;
    size_t at;
    enum kind kind;
    int64_t min, max;
    const char *const *choices; /* the number kept is the index */
} options[] = {
    { "server", "ADDRESS:PORT", NULL, "where the server listens; loopback only", AT(server), TEXT },
    { "transport", "NAME", "tls", "tls (1.3), tcp or udp", AT(transport), CHOICE,
      .choices = transports },
    { "dialect", "NAME", "plain", "plain SIP, or lync: signed messages, sessions, batched presence",
      AT(dialect), CHOICE, .choices = dialects },
    { "scheme", "NAME", "ntlm", "how people sign in in the Lync dialect: ntlm or tls-dsk",
      AT(scheme), CHOICE, .choices = schemes },
    { "certificates", "FOLDER", NULL, "for tls-dsk: ADDRESS.pem of each, certificate and key",
      AT(certificates), TEXT },
    { "domain", "NAME", "beckon.test", "SIP domain of the people", AT(domain), TEXT },
    { "ca", "FILE", NULL,
      "PEM file of the authority that must have signed the server's certificate", AT(ca_file),
      TEXT },
    { "users", "N", "100", "how many people sign in", AT(users), NUMBER, 1, BK_LOAD_PEOPLE_MAX },
    { "user-pattern", "TEXT", "u%d", "their names, %d is a number from 0", AT(pattern), TEXT },
    { "password", "TEXT", NULL, "one password for all of a pattern", AT(password), TEXT },
    { "users-file", "FILE", NULL, "CSV of address,password instead of pattern and password",
      AT(users_file), TEXT },
    { "auth-name", "FORM", "user", "name in Digest: user (before the @) or address", AT(auth_name),
      CHOICE, .choices = auth_names },
    { "credentials", NULL, NULL,
      "send Digest credentials with every request, as over UDP they are asked for", AT(credentials),
      FLAG },
    { "expires", "SECONDS", "900", "life of a registration, asked for", AT(expires_s), NUMBER, 60,
      86400 },
    { "sign-ins", "N", "50", "sign-ins and registrations on their way at one time", AT(sign_ins),
      NUMBER, 1, 10000 },
    { "in-flight", "N", "64", "messages and calls on their way at one time", AT(in_flight), NUMBER,
      1, 10000 },
    { "messages", "N", "20000", "messages of the phase message", AT(messages), NUMBER, 1,
      10000000 },
    { "body", "BYTES", "1024", "size of a message's text", AT(body_bytes), NUMBER, 128, 16384 },
    { "rate", "N", "200", "messages per second of the phase paced", AT(rate), NUMBER, 1, 100000 },
    { "paced-seconds", "N", "20", "how long the phase paced lasts", AT(paced_s), NUMBER, 1, 3600 },
    { "watchers", "N", "100", "people who watch one in the phase notify", AT(watchers), NUMBER, 1,
      100000 },
    { "publications", "N", "100", "times that one changes in the phase notify", AT(publications),
      NUMBER, 1, 1000000 },
    { "resources", "N", "25", "people in one batched subscription of the Lync dialect",
      AT(resources), NUMBER, 1, 200 },
    { "sessions", "N", "500", "conversations of the phase session", AT(sessions), NUMBER, 1,
      1000000 },
    { "calls", "N", "3000", "calls of the phase call", AT(calls), NUMBER, 1, 1000000 },
    { "kill-percent", "N", "20", "share of the people that the phase kill cuts off",
      AT(kill_percent), NUMBER, 1, 100 },
    { "timeout", "SECONDS", "10", "an operation not done by then has failed", AT(timeout_s), NUMBER,
      1, 120 },
    { "time-limit", "SECONDS", "600", "the whole run ends by then", AT(time_limit_s), NUMBER, 1,
      86400 },
    { "settle", "MS", "300", "pause before the server's use is read, so that its queue is empty",
      AT(settle_ms), NUMBER, 0, 60000 },
    { "sources", "N", "1", "local addresses 127.0.0.1 and on to connect from", AT(sources), NUMBER,
      1, 254 },
    { "seed", "N", "1", "of the random pairs; the same seed gives the same pairs", AT(seed), NUMBER,
      0, INT64_MAX },
    { "pid", "PID", NULL, "measure processor time and memory of this process and all below it",
      AT(pid), NUMBER, 1, 4194304 },
    { "json", "FILE", NULL, "write the results for programs too", AT(json_file), TEXT },
    { "label", "TEXT", "", "a name for the run, kept with the results", AT(label), TEXT },
    { "step", NULL, NULL, "wait for a line on standard input before each phase", AT(step), FLAG },
    { "help", NULL, NULL, "this text", AT(help), FLAG },
    { "version", NULL, NULL, "version of this program", AT(version), FLAG },
};

#define COUNT (sizeof options / sizeof *options)

const char *bk_load_options_name(unsigned index)
{
    return index < COUNT ? options[index].name : NULL;
}

static int set_choice(const struct option *option, const char *text, int64_t *ret,
                      struct bk_buf *problem)
{
    for (int64_t i = 0; option->choices[i]; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            *ret = i;
            return 0;
        }
    }
    bk_buf_addf(problem, "--%s: \"%s\" is not one of", option->name, text);
    for (int64_t i = 0; option->choices[i]; i++)
        bk_buf_addf(problem, "%s %s", i ? "," : "", option->choices[i]);
    return -EINVAL;
}

static int set(const struct option *option, const char *text, struct bk_load_options *ret,
               struct bk_buf *problem)
{
    char *to = (char *)ret + option->at;
    switch (option->kind) {
    case FLAG:
        *(bool *)to = true;
        return 0;
    case TEXT:
        *(const char **)to = text;
        return 0;
    case CHOICE:
        return set_choice(option, text, (int64_t *)to, problem);
    case NUMBER:
        break;
    }
    uint64_t number;
    if (bk_view_to_u64(bk_view_of_str(text), (uint64_t)option->max, &number) < 0 ||
        number < (uint64_t)option->min) {
        bk_buf_addf(problem, "--%s: \"%s\" is not a number from %lld to %lld", option->name, text,
                    (long long)option->min, (long long)option->max);
        return -EINVAL;
    }
    *(int64_t *)to = (int64_t)number;
    return 0;
}

static const struct option *find(struct bk_view name)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (bk_view_equal(bk_view_of_str(options[i].name), name))
            return &options[i];
    }
    return NULL;
}

static int take_option(int argc, char *const *argv, int *at, struct bk_load_options *ret,
                       struct bk_buf *problem)
{
    const char *text = argv[*at];
    struct bk_view value = bk_view_of_str(text + 2);
    struct bk_view name = bk_view_cut(&value, '=');
    const struct option *option = find(name);
    if (!option) {
        bk_buf_addf(problem, "%s: no such option; --help lists them", text);
        return -EINVAL;
    }
    bool joined = value.at != NULL || strchr(text, '=');
    if (option->kind == FLAG && joined) {
        bk_buf_addf(problem, "--%s takes no value", option->name);
        return -EINVAL;
    }
    if (option->kind == FLAG)
        return set(option, NULL, ret, problem);
    if (joined)
        return set(option, strchr(text, '=') + 1, ret, problem);
    if (*at + 1 >= argc) {
        bk_buf_addf(problem, "--%s needs %s behind it", option->name, option->argument);
        return -EINVAL;
    }
    return set(option, argv[++*at], ret, problem);
}

int bk_load_options_parse(int argc, char *const *argv, struct bk_load_options *ret,
                          struct bk_buf *problem)
{
    struct bk_load_options parsed = { 0 };
    for (size_t i = 0; i < COUNT; i++) {
        if (options[i].otherwise)
            set(&options[i], options[i].otherwise, &parsed, problem);
    }
    for (int at = 1; at < argc; at++) {
        if (strncmp(argv[at], "--", 2) == 0) {
            int r = take_option(argc, argv, &at, &parsed, problem);
            if (r < 0)
                return r;
            continue;
        }
        if (argv[at][0] == '-') {
            bk_buf_addf(problem, "%s: options are spelled in full, with two dashes", argv[at]);
            return -EINVAL;
        }
        if (parsed.phase_count == BK_LOAD_PHASES_MAX) {
            bk_buf_addf(problem, "%s: more than %d phases", argv[at], BK_LOAD_PHASES_MAX);
            return -EINVAL;
        }
        parsed.phases[parsed.phase_count++] = argv[at];
    }
    *ret = parsed;
    return 0;
}

void bk_load_options_help(struct bk_buf *to)
{
    for (size_t i = 0; i < COUNT; i++) {
        const struct option *option = &options[i];
        size_t before = to->len;
        bk_buf_addf(to, "  --%s%s%s", option->name, option->argument ? " " : "",
                    option->argument ? option->argument : "");
        size_t width = to->len - before;
        bk_buf_addf(to, "%*s%s", width < 26 ? (int)(26 - width) : 1, "", option->help);
        if (option->otherwise && option->otherwise[0])
            bk_buf_addf(to, " [%s]", option->otherwise);
        bk_buf_add_char(to, '\n');
    }
}
