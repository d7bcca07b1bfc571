/* SPDX-License-Identifier: Apache-2.0 */
/* The command line, and what is said about it, from the table of commands. */
#include "base/cleanup.h"
#include "ctl/ctl_private.h"

#include <stdarg.h>
#include <stdlib.h>

enum { NAME_WORDS_MAX = 3, HELP_WIDTH = 100, NEAR_ENOUGH = 3 };

const struct ctl_option ctl_global_options[] = {
    { "config", "FILE", "Configuration of the server; /etc/beckon/beckond.conf where not given.",
      NULL },
    { "json", NULL, "Print the result as JSON, for programs.", NULL },
    { "help", NULL, "Say how the command is used.", NULL },
    { 0 },
};

int ctl_fail(struct ctl *ctl, int status, const char *format, ...)
{
    BK_AUTO_FREE char *text = NULL;
    BK_AUTO_BUF struct bk_buf clean = { 0 };
    static const char *const codes[] = { "", "failed", "usage", "configuration", "not-reachable" };
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    /* Messages end with a line end of ours only; a quoted argument may hold anything. */
    ctl_add_clean(&clean, text ? text : "out of memory");
    const char *line = bk_buf_cstr(&clean);
    fprintf(ctl->err, "beckonctl: %s\n", line ? line : "out of memory");
    if (ctl->json) {
        json_t *j = json_pack("{s:{s:s, s:s?}}", "error", "code", codes[status], "text", line);
        if (j)
            ctl_print_json(ctl, j);
        json_decref(j);
    }
    return status;
}

/* ---- which command ---- */

/* How many words of argv are this command's name; 0: not this one. */
static size_t name_matches(const char *name, int argc, char *const argv[])
{
    struct bk_view rest = bk_view_of_str(name);
    size_t n = 0;
    while (rest.at) {
        struct bk_view word = bk_view_cut(&rest, ' ');
        if ((int)n >= argc || !bk_view_equal(word, bk_view_of_str(argv[n])))
            return 0;
        n++;
    }
    return n;
}

/* Whether one more word, or several, could make this a command: "user" alone, "user device-password". */
static bool is_group(const struct ctl_command *commands, const char *prefix)
{
    size_t len = strlen(prefix);
    for (const struct ctl_command *c = commands; c->run; c++)
        if (!strncmp(c->name, prefix, len) && c->name[len] == ' ')
            return true;
    return false;
}

/* Edits between two short texts (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
    enum { MAX = 48 };
    size_t row[MAX + 1], n = strlen(a), m = strlen(b);
    if (n > MAX || m > MAX)
        return MAX;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t above = row[j], cost = diagonal + (a[i - 1] != b[j - 1]);
            row[j] = cost;
            if (above + 1 < row[j])
                row[j] = above + 1;
            if (row[j - 1] + 1 < row[j])
                row[j] = row[j - 1] + 1;
            diagonal = above;
        }
    }
    return row[m];
}

static const char *nearest_command(const struct ctl_command *commands, int argc, char *const argv[])
{
    const char *best = NULL;
    size_t best_distance = NEAR_ENOUGH + 1;
    char typed[64] = "";
    for (int words = 1; words <= argc && words <= NAME_WORDS_MAX; words++) {
        size_t len = strlen(typed);
        snprintf(typed + len, sizeof typed - len, "%s%s", words > 1 ? " " : "", argv[words - 1]);
        for (const struct ctl_command *c = commands; c->run; c++) {
            size_t d = distance(typed, c->name);
            if (d < best_distance && d < strlen(c->name) / 2 + 1) {
                best_distance = d;
                best = c->name;
            }
        }
    }
    return best;
}

static int no_command(struct ctl *ctl, const struct ctl_command *commands, int argc,
                      char *const argv[])
{
    char prefix[64] = "";
    for (int i = 0; i < argc && i < NAME_WORDS_MAX - 1 && argv[i][0] != '-'; i++) {
        size_t len = strlen(prefix);
        char longer[160];
        snprintf(longer, sizeof longer, "%s%s%.*s", prefix, len ? " " : "", 40, argv[i]);
        if (!is_group(commands, longer))
            break;
        snprintf(prefix, sizeof prefix, "%.*s", (int)sizeof prefix - 1, longer);
    }
    const char *near = nearest_command(commands, argc, argv);
    if (prefix[0]) {
        ctl_fail(ctl, CTL_USAGE,
                 near ? "there is no such command; did you mean \"%s\"?"
                      : "%s what? These there are:",
                 near ? near : prefix);
        if (!near) {
            size_t len = strlen(prefix);
            for (const struct ctl_command *c = commands; c->run; c++)
                if (!strncmp(c->name, prefix, len) && c->name[len] == ' ')
                    fprintf(ctl->err, "  %s %s\n", c->name, c->arguments);
        }
        return CTL_USAGE;
    }
    if (near)
        return ctl_fail(ctl, CTL_USAGE, "there is no command \"%s\"; did you mean \"%s\"?", argv[0],
                        near);
    return ctl_fail(ctl, CTL_USAGE, "there is no command \"%s\"; beckonctl help lists them",
                    argv[0]);
}

/* ---- options and arguments ---- */

static const struct ctl_option *option_of(const struct ctl_option *options, struct bk_view name)
{
    for (const struct ctl_option *o = options; o && o->name; o++)
        if (bk_view_equal(bk_view_of_str(o->name), name))
            return o;
    return NULL;
}

static int take_option(struct ctl *ctl, const struct ctl_option *options, int argc,
                       char *const argv[], int *at)
{
    struct bk_view value = bk_view_of_str(argv[*at] + 2), name = bk_view_cut(&value, '=');
    const struct ctl_option *option = option_of(ctl_global_options, name);
    if (!option)
        option = option_of(options, name);
    if (!option)
        return ctl_fail(ctl, CTL_USAGE, "%s%s%s has no option --%.*s", ctl->command ? "\"" : "",
                        ctl->command ? ctl->command->name : "beckonctl", ctl->command ? "\"" : "",
                        BK_VIEW_ARGS(name));
    if (!option->value && value.at)
        return ctl_fail(ctl, CTL_USAGE, "--%s takes no value", option->name);
    const char *text = "";
    if (option->value && value.at)
        text = value.at; /* the end of argv's own text, so it is terminated */
    else if (option->value && *at + 1 < argc)
        text = argv[++*at];
    else if (option->value)
        return ctl_fail(ctl, CTL_USAGE, "--%s needs a value: --%s %s", option->name, option->name,
                        option->value);
    ++*at;
    if (!strcmp(option->name, "config")) {
        ctl->config = text;
        ctl->config_given = true;
    } else if (!strcmp(option->name, "json")) {
        ctl->json = true;
    } else if (!strcmp(option->name, "help")) {
        ctl->want_help = true;
    } else if (ctl->n_given == CTL_GIVEN_MAX) {
        return ctl_fail(ctl, CTL_USAGE, "more than %d options", CTL_GIVEN_MAX);
    } else {
        ctl->given[ctl->n_given].option = option;
        ctl->given[ctl->n_given++].value = text;
    }
    return CTL_OK;
}

static int check_words(struct ctl *ctl)
{
    struct bk_view rest = bk_view_of_str(ctl->command->arguments);
    size_t n = 0;
    bool any = false;
    while (rest.at && rest.len) {
        struct bk_view word = bk_view_cut(&rest, ' ');
        any = bk_view_find_view(word, BK_VIEW("...")) < word.len;
        if (n >= ctl->n_words && word.at[0] != '[')
            return ctl_fail(ctl, CTL_USAGE, "%.*s is missing: beckonctl %s %s", BK_VIEW_ARGS(word),
                            ctl->command->name, ctl->command->arguments);
        n++;
    }
    if (!any && ctl->n_words > n)
        return ctl_fail(ctl, CTL_USAGE, "\"%s\" is one word too many: beckonctl %s %s",
                        ctl->words[n], ctl->command->name, ctl->command->arguments);
    return CTL_OK;
}

int ctl_parse(struct ctl *ctl, const struct ctl_command *commands, int argc, char *const argv[])
{
    int at = 0, r;
    while (at < argc && !strncmp(argv[at], "--", 2) && argv[at][2]) {
        r = take_option(ctl, NULL, argc, argv, &at);
        if (r != CTL_OK)
            return r;
    }
    if (at == argc)
        return ctl->want_help ? CTL_OK
                              : ctl_fail(ctl, CTL_USAGE, "no command; beckonctl help lists them");
    size_t longest = 0;
    for (const struct ctl_command *c = commands; c->run; c++) {
        size_t n = name_matches(c->name, argc - at, argv + at);
        if (n > longest) {
            longest = n;
            ctl->command = c;
        }
    }
    if (!ctl->command)
        return no_command(ctl, commands, argc - at, argv + at);
    at += (int)longest;
    bool options_end = false;
    while (at < argc) {
        if (!options_end && !strcmp(argv[at], "--")) {
            options_end = true;
            at++;
        } else if (!options_end && !strncmp(argv[at], "--", 2)) {
            r = take_option(ctl, ctl->command->options, argc, argv, &at);
            if (r != CTL_OK)
                return r;
        } else if (!options_end && argv[at][0] == '-' && argv[at][1]) {
            return ctl_fail(ctl, CTL_USAGE, "\"%s\" is no option: they are written --name",
                            argv[at]);
        } else if (ctl->n_words + 1 == CTL_WORDS_MAX) {
            return ctl_fail(ctl, CTL_USAGE, "more than %d arguments", CTL_WORDS_MAX - 1);
        } else {
            ctl->words[ctl->n_words++] = argv[at++];
        }
    }
    return ctl->want_help ? CTL_OK : check_words(ctl);
}

const char *ctl_option(const struct ctl *ctl, const char *name)
{
    const char *value = NULL;
    for (size_t i = 0; i < ctl->n_given; i++)
        if (!strcmp(ctl->given[i].option->name, name))
            value = ctl->given[i].value;
    return value;
}

int ctl_number(const struct ctl *ctl, const char *name, int64_t min, int64_t max, int64_t *ret)
{
    const char *text = ctl_option(ctl, name);
    uint64_t n;
    if (!text)
        return CTL_OK;
    if (bk_view_to_u64(bk_view_of_str(text), INT64_MAX, &n) < 0 || (int64_t)n < min ||
        (int64_t)n > max)
        return ctl_fail((struct ctl *)ctl, CTL_USAGE,
                        "--%s is a number from %lld to %lld, not \"%s\"", name, (long long)min,
                        (long long)max, text);
    *ret = (int64_t)n;
    return CTL_OK;
}

const char *ctl_word(const struct ctl *ctl, size_t index)
{
    return index < ctl->n_words ? ctl->words[index] : NULL;
}

json_t *ctl_args(const struct ctl *ctl)
{
    json_t *args = json_object();
    for (size_t i = 0; i < ctl->n_given; i++)
        if (ctl->given[i].option->key)
            json_object_set_new(args, ctl->given[i].option->key, json_string(ctl->given[i].value));
    return args;
}

/* ---- help ---- */

void ctl_help_all(FILE *to, const struct ctl_command *commands)
{
    fputs("beckonctl administers a Beckon server, running or not.\n"
          "\n"
          "usage: beckonctl [--config FILE] [--json] COMMAND [ARGUMENTS]\n\n",
          to);
    int widest = 0;
    for (const struct ctl_command *c = commands; c->run; c++) {
        int width = (int)(strlen(c->name) + 1 + strlen(c->arguments));
        widest = width > widest ? width : widest;
    }
    struct bk_view group = { 0 };
    for (const struct ctl_command *c = commands; c->run; c++) {
        struct bk_view first = bk_view_of_str(c->name);
        first = bk_view_head(first, bk_view_find(first, ' '));
        bool in_group = first.len < strlen(c->name);
        if (group.len && (!in_group || !bk_view_equal(group, first)))
            fputc('\n', to);
        group = in_group ? first : (struct bk_view){ 0 };
        fprintf(to, "  %s %s%*s", c->name, c->arguments,
                widest - (int)(strlen(c->name) + 1 + strlen(c->arguments)) + 2, "");
        ctl_print_wrapped(to, c->help, widest + 4, HELP_WIDTH + 20);
    }
    fputs("\nbeckonctl help COMMAND tells more; so does beckonctl(1).\n", to);
}

static void help_options(FILE *to, const struct ctl_option *options)
{
    enum { COLUMN = 26 };
    for (const struct ctl_option *o = options; o && o->name; o++) {
        int n = fprintf(to, "  --%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        fprintf(to, "%*s", n < COLUMN ? COLUMN - n : 1, "");
        ctl_print_wrapped(to, o->help, COLUMN, HELP_WIDTH);
    }
}

void ctl_help_one(FILE *to, const struct ctl_command *command)
{
    fprintf(to, "usage: beckonctl %s%s%s%s\n\n", command->name, command->arguments[0] ? " " : "",
            command->arguments, command->options ? " [OPTIONS]" : "");
    ctl_print_wrapped(to, command->help, 0, HELP_WIDTH);
    if (command->more) {
        fputc('\n', to);
        ctl_print_wrapped(to, command->more, 0, HELP_WIDTH);
    }
    fputc('\n', to);
    help_options(to, command->options);
    help_options(to, ctl_global_options);
}

/* Text for troff: dashes of options are dashes, a dot in front is no request. */
static void roff(FILE *to, const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", to);
    for (; *text; text++) {
        if (*text == '-' || *text == '\\')
            fputs(*text == '-' ? "\\-" : "\\e", to);
        else
            fputc(*text, to);
    }
}

static void roff_options(FILE *to, const struct ctl_option *options)
{
    for (const struct ctl_option *o = options; o && o->name; o++) {
        fputs(".TP\n.BR \\-\\-", to);
        roff(to, o->name);
        if (o->value) {
            fputs(" \" \\fI", to);
            roff(to, o->value);
            fputs("\\fR\"", to);
        }
        fputc('\n', to);
        roff(to, o->help);
        fputc('\n', to);
    }
}

void ctl_help_man(FILE *to, const struct ctl_command *commands)
{
    fputs(".SH OPTIONS\nThese are understood by every command.\n", to);
    roff_options(to, ctl_global_options);
    fputs(".SH COMMANDS\n", to);
    for (const struct ctl_command *c = commands; c->run; c++) {
        fputs(".SS \"", to);
        roff(to, c->name);
        if (c->arguments[0])
            fputs(" ", to);
        roff(to, c->arguments);
        fputs("\"\n", to);
        roff(to, c->help);
        fputc('\n', to);
        if (c->more) {
            roff(to, c->more);
            fputc('\n', to);
        }
        roff_options(to, c->options);
    }
}
