/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/text.h"
#include "cli/cli.h"

#include <string.h>
#include <time.h>

#define DIM "\033[2m"
#define BOLD "\033[1m"
#define RED "\033[31m"
#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define BLUE "\033[34m"
#define PLAIN "\033[0m"

static const char *paint(const struct cli *cli, const char *colour)
{
    return cli->colour ? colour : "";
}

/* One UTF-8 sequence at the front; 0 where there is none. */
static size_t sequence_len(const char *text)
{
    size_t len = strnlen(text, 4);
    for (size_t n = 1; n <= len; n++)
        if (bk_utf8_valid((struct bk_view){ text, n }))
            return n;
    return 0;
}

/* Steers the terminal, or turns the direction of writing around (U+202A to 202E, U+2066 to 2069). */
static bool is_harmful(const char *at, size_t len)
{
    unsigned char b[3] = { (unsigned char)at[0], len > 1 ? (unsigned char)at[1] : 0,
                           len > 2 ? (unsigned char)at[2] : 0 };
    if (len == 1)
        return b[0] < 0x20 || b[0] == 0x7f;
    if (len == 2)
        return b[0] == 0xc2 && b[1] < 0xa0;
    if (len == 3 && b[0] == 0xe2 && b[1] == 0x80)
        return b[2] >= 0xaa && b[2] <= 0xae;
    if (len == 3 && b[0] == 0xe2 && b[1] == 0x81)
        return b[2] >= 0xa6 && b[2] <= 0xa9;
    return false;
}

void cli_print_safe(FILE *to, const char *text, const char *line_prefix)
{
    while (*text) {
        size_t n = sequence_len(text);
        if (*text == '\n') {
            (void)fprintf(to, "\n%s", line_prefix);
        } else if (*text == '\t') {
            (void)fputc(' ', to);
        } else if (*text == '\r') {
            ;
        } else if (!n || is_harmful(text, n)) {
            (void)fputc('?', to);
        } else {
            (void)fwrite(text, 1, n, to);
        }
        text += n ? n : 1;
    }
}

static void print_time(FILE *to, int64_t at_ms, int64_t now_ms)
{
    time_t at = (time_t)(at_ms / 1000), now = (time_t)(now_ms / 1000);
    struct tm tm, today;
    char text[32] = "";
    if (!localtime_r(&at, &tm) || !localtime_r(&now, &today))
        return;
    bool same_day = tm.tm_yday == today.tm_yday && tm.tm_year == today.tm_year;
    (void)strftime(text, sizeof text, same_day ? "%H:%M" : "%Y-%m-%d %H:%M", &tm);
    (void)fputs(text, to);
}

void cli_print_failure(struct cli *cli, FILE *to, const struct bk_client_failure *f, bool details)
{
    (void)fputs(paint(cli, RED), to);
    cli_print_safe(to, f->user_text, "");
    (void)fputs(paint(cli, PLAIN), to);
    if (f->next != BK_CLIENT_NEXT_ASK && *f->user_does) {
        (void)fputc(' ', to);
        cli_print_safe(to, f->user_does, "");
    }
    if (*f->case_code)
        (void)fprintf(to, "\n  case %s%s%s (%s)", paint(cli, BOLD), f->case_code, paint(cli, PLAIN),
                      f->id);
    else if (*f->id)
        (void)fprintf(to, " (%s)", f->id);
    if (strcmp(f->id, "SI-206") == 0 && !cli->errand->reads_input)
        (void)fputs("\n  beckon-cli password changes it", to);
    if (f->next == BK_CLIENT_NEXT_RETRY && f->retry_in_s)
        (void)fprintf(to, "\n  %strying again in %d s%s", paint(cli, DIM), f->retry_in_s,
                      paint(cli, PLAIN));
    (void)fputc('\n', to);
    if (!details)
        return;
    if (*f->admin_text) {
        (void)fputs("  For the administrator: ", to);
        cli_print_safe(to, f->admin_text, "  ");
        (void)fputc('\n', to);
    }
    if (*f->detail) {
        (void)fputs("  ", to);
        cli_print_safe(to, f->detail, "  ");
        (void)fputc('\n', to);
    }
    for (int i = 0; i < f->n_steps; i++) {
        (void)fprintf(to, "  %-9s ", f->steps[i].kind);
        cli_print_safe(to, f->steps[i].name, "  ");
        (void)fputs(": ", to);
        cli_print_safe(to, f->steps[i].result, "  ");
        (void)fputc('\n', to);
    }
}

static void show_state(struct cli *cli, const struct bk_client_event *e)
{
    static const char *const texts[BK_CLIENT_STATE_COUNT] = {
        [BK_CLIENT_RESOLVING] = "looking for the server",   [BK_CLIENT_CONTACTING] = "contacting",
        [BK_CLIENT_AUTHENTICATING] = "proving who you are", [BK_CLIENT_REGISTERING] = "signing in",
        [BK_CLIENT_RECONNECTING] = "waiting to try again",  [BK_CLIENT_SIGNING_OUT] = "signing out",
    };
    FILE *to = cli->terminal_out ? stdout : stderr;
    if (!cli->terminal_out && e->state.state != BK_CLIENT_SIGNED_IN &&
        e->state.state != BK_CLIENT_RECONNECTING)
        return; /* a script wants results, not progress */
    if (e->state.state == BK_CLIENT_SIGNED_IN) {
        (void)fprintf(to, "%ssigned in as %s%s\n", paint(cli, GREEN), e->state.address,
                      paint(cli, PLAIN));
    } else if (e->state.state == BK_CLIENT_SIGNED_OUT) {
        (void)fprintf(to, "%ssigned out%s\n", paint(cli, DIM), paint(cli, PLAIN));
    } else if (texts[e->state.state]) {
        (void)fprintf(to, "%s%s", paint(cli, DIM), texts[e->state.state]);
        if (*e->state.detail) {
            (void)fputc(' ', to);
            cli_print_safe(to, e->state.detail, "");
        }
        (void)fprintf(to, " ...%s\n", paint(cli, PLAIN));
    }
}

static const char *colour_of(enum bk_pidf_shown shown)
{
    switch (shown) {
    case BK_PIDF_SHOWN_AVAILABLE:
        return GREEN;
    case BK_PIDF_SHOWN_AVAILABLE_INACTIVE:
    case BK_PIDF_SHOWN_AWAY:
    case BK_PIDF_SHOWN_BRB:
    case BK_PIDF_SHOWN_OFFWORK:
        return YELLOW;
    case BK_PIDF_SHOWN_OFFLINE:
    case BK_PIDF_SHOWN_UNKNOWN:
        return DIM;
    default:
        return RED;
    }
}

static void show_presence(struct cli *cli, const struct bk_client_event *e)
{
    if (e->presence.own && e->presence.shown == BK_PIDF_SHOWN_UNKNOWN)
        return; /* the connection went: the state line says so */
    if (e->presence.own && cli_edit_find(cli->errand->name))
        return; /* a question about others */
    if (!e->presence.own && !e->presence.watched &&
        (!cli->errand->reads_input || e->presence.shown == BK_PIDF_SHOWN_UNKNOWN))
        return; /* of the contact list: a conversation shows them, a script did not ask */
    if (e->presence.own)
        (void)fputs("you", stdout);
    else
        cli_print_safe(stdout, e->presence.address, "");
    (void)fprintf(stdout, " %s%s%s", paint(cli, colour_of(e->presence.shown)),
                  bk_pidf_shown_title(e->presence.shown), paint(cli, PLAIN));
    if (e->presence.since_ms) {
        (void)fprintf(stdout, "%s since ", paint(cli, DIM));
        print_time(stdout, e->presence.since_ms, e->at_ms);
        (void)fputs(paint(cli, PLAIN), stdout);
    }
    if (*e->presence.note) {
        (void)fputs(" - ", stdout);
        cli_print_safe(stdout, e->presence.note, "    ");
    }
    (void)fputc('\n', stdout);
}

static void show_message(struct cli *cli, const struct bk_client_event *e)
{
    (void)fputs(paint(cli, DIM), stdout);
    print_time(stdout, e->message.sent_ms, e->at_ms);
    (void)fprintf(stdout, "%s %s", paint(cli, PLAIN), paint(cli, BLUE));
    cli_print_safe(stdout, e->message.from, "");
    (void)fprintf(stdout, "%s%s: ", paint(cli, PLAIN),
                  e->message.delayed ? " (while you were away)" : "");
    cli_print_safe(stdout, e->message.text, "      ");
    (void)fputc('\n', stdout);
}

static void show_message_state(struct cli *cli, const struct bk_client_event *e)
{
    FILE *to = cli->terminal_out ? stdout : stderr;
    if (e->message_state.kept) { /* it is not on the screen above */
        (void)fprintf(to, "%s  written before the app ended:%s ", paint(cli, DIM),
                      paint(cli, PLAIN));
        cli_print_safe(to, e->message_state.text, "      ");
        (void)fputc('\n', to);
    }
    switch (e->message_state.state) {
    case BK_CLIENT_SENDING:
        if (e->message_state.kept)
            (void)fprintf(to, "%s  is sent to %s%s\n", paint(cli, DIM), e->message_state.to,
                          paint(cli, PLAIN));
        return;
    case BK_CLIENT_SENT:
        (void)fprintf(to, "%s  delivered to %s%s\n", paint(cli, DIM), e->message_state.to,
                      paint(cli, PLAIN));
        return;
    case BK_CLIENT_STORED:
        (void)fprintf(to, "%s  kept for %s until they sign in%s\n", paint(cli, DIM),
                      e->message_state.to, paint(cli, PLAIN));
        return;
    case BK_CLIENT_FAILED:
        (void)fprintf(to, "  not delivered to %s: ", e->message_state.to);
        if (e->message_state.failure)
            cli_print_failure(cli, to, e->message_state.failure, false);
        else
            (void)fputs("out of memory\n", to);
        return;
    default:
        return;
    }
}

static const char *group_title(const char *group)
{
    return strcmp(group, "~") == 0 ? "Other contacts" : group;
}

static void show_contact(const struct bk_client_contact *c)
{
    (void)fputs("  ", stdout);
    cli_print_safe(stdout, c->address, "");
    if (*c->name) {
        (void)fputs(" (", stdout);
        cli_print_safe(stdout, c->name, "    ");
        (void)fputc(')', stdout);
    }
    (void)fputc('\n', stdout);
}

static bool is_in(const struct bk_client_contact *c, const char *group)
{
    for (int i = 0; i < c->n_groups; i++)
        if (strcmp(c->groups[i], group) == 0)
            return true;
    return false;
}

/* Group by group; whoever is in none of them stands last. */
static void show_list(struct cli *cli, const struct bk_client_event *e)
{
    for (int g = 0; g < e->contacts.n_groups; g++) {
        (void)fputs(paint(cli, BOLD), stdout);
        cli_print_safe(stdout, group_title(e->contacts.groups[g]), "");
        (void)fprintf(stdout, "%s\n", paint(cli, PLAIN));
        for (int i = 0; i < e->contacts.n_contacts; i++)
            if (is_in(&e->contacts.contacts[i], e->contacts.groups[g]))
                show_contact(&e->contacts.contacts[i]);
    }
    bool any = false;
    for (int i = 0; i < e->contacts.n_contacts; i++) {
        if (e->contacts.contacts[i].n_groups)
            continue;
        if (!any)
            (void)fprintf(stdout, "%sIn no group%s\n", paint(cli, BOLD), paint(cli, PLAIN));
        any = true;
        show_contact(&e->contacts.contacts[i]);
    }
    if (!e->contacts.n_groups && !e->contacts.n_contacts)
        (void)fputs("  The contact list is empty.\n", stdout);
}

const char *cli_level_title(int level)
{
    switch (level) {
    case 32000:
        return "blocked";
    case 400:
        return "friends and family";
    case 300:
        return "workgroup";
    case 200:
        return "colleague";
    case 100:
        return "external";
    default:
        return "";
    }
}

static void show_relations(const struct bk_client_event *e)
{
    for (int i = 0; i < e->relations.n_rows; i++) {
        const char *subject = e->relations.rows[i].subject;
        const char *title = strcmp(subject, "=sameEnterprise") == 0 ? "your organisation"
                            : strcmp(subject, "=federated") == 0    ? "other organisations"
                            : strcmp(subject, "=publicCloud") == 0  ? "public services"
                            : strcmp(subject, "=everyone") == 0     ? "everybody"
                                                                    : subject;
        (void)fprintf(stdout, "  %-20s ", cli_level_title(e->relations.rows[i].level));
        cli_print_safe(stdout, title, "");
        (void)fputc('\n', stdout);
    }
}

static void show_followers(struct cli *cli, const struct bk_client_event *e)
{
    if (cli_edit_find(cli->errand->name) && !e->followers.asked)
        return; /* a script that asked something else */
    for (int i = 0; i < e->followers.n_rows; i++) {
        const struct bk_client_follower *f = &e->followers.rows[i];
        if (f->acknowledged)
            continue;
        (void)fputs(paint(cli, YELLOW), stdout);
        cli_print_safe(stdout, *f->name ? f->name : f->address, "");
        (void)fputs(" <", stdout);
        cli_print_safe(stdout, f->address, "");
        (void)fprintf(stdout, "> put you on the contact list%s%s\n", paint(cli, PLAIN),
                      cli->errand->reads_input ? " (/ok ADDRESS, /block ADDRESS)" : "");
    }
}

static void show_found(const struct bk_client_event *e)
{
    for (int i = 0; i < e->found.n_rows; i++) {
        const struct bk_client_found *f = &e->found.rows[i];
        const char *const more[] = { f->title, f->office, f->phone, f->company };
        (void)fputs("  ", stdout);
        cli_print_safe(stdout, f->address, "");
        (void)fputs("  ", stdout);
        cli_print_safe(stdout, f->name, "");
        for (size_t k = 0; k < BK_COUNT_OF(more); k++) {
            if (!*more[k])
                continue;
            (void)fputs(", ", stdout);
            cli_print_safe(stdout, more[k], "");
        }
        (void)fputc('\n', stdout);
    }
    if (!e->found.n_rows)
        (void)fputs("  Nobody was found.\n", stdout);
    if (e->found.more)
        (void)fputs("  There are more: ask for something narrower.\n", stdout);
}

static void show_edited(struct cli *cli, const struct bk_client_event *e)
{
    if (e->edited.done)
        return;
    FILE *to = cli->terminal_out ? stdout : stderr;
    (void)fputs(paint(cli, RED), to);
    cli_print_safe(to, e->edited.text, "");
    (void)fprintf(to, "%s%s%s\n", paint(cli, PLAIN), *e->edited.case_code ? " case " : "",
                  e->edited.case_code);
}

void cli_show(struct cli *cli, const struct bk_client_event *e)
{
    FILE *to = cli->terminal_out ? stdout : stderr;
    switch (e->type) {
    case BK_CLIENT_EVENT_STATE:
        show_state(cli, e);
        return;
    case BK_CLIENT_EVENT_FAILURE:
    case BK_CLIENT_EVENT_NOTICE:
        cli_print_failure(cli, to, &e->failure,
                          e->type == BK_CLIENT_EVENT_FAILURE && !cli->terminal_out);
        return;
    case BK_CLIENT_EVENT_ENDED:
        (void)fputs("The server ended the session. ", to);
        cli_print_failure(cli, to, &e->failure, false);
        return;
    case BK_CLIENT_EVENT_PRESENCE:
        show_presence(cli, e);
        return;
    case BK_CLIENT_EVENT_MESSAGE:
        show_message(cli, e);
        return;
    case BK_CLIENT_EVENT_MESSAGE_STATE:
        show_message_state(cli, e);
        return;
    case BK_CLIENT_EVENT_TYPING: /* that somebody stopped is no news worth a line */
        if (e->typing.typing && cli->terminal_out)
            (void)printf("  %s is typing\n", e->typing.from);
        return;
    case BK_CLIENT_EVENT_DELETED:
        for (int i = 0; i < e->deleted.n_rows; i++)
            (void)fprintf(stdout, "  %-50s %s%s%s\n", e->deleted.rows[i].what,
                          paint(cli, e->deleted.rows[i].ok ? GREEN : YELLOW),
                          e->deleted.rows[i].result, paint(cli, PLAIN));
        return;
    case BK_CLIENT_EVENT_CONTACTS: /* unasked news of it are for faces that show it all the time */
        if (e->contacts.asked && cli->tells_contacts)
            show_list(cli, e);
        return;
    case BK_CLIENT_EVENT_RELATIONS:
        if (e->relations.asked && cli->tells_relations)
            show_relations(e);
        return;
    case BK_CLIENT_EVENT_FOLLOWERS:
        if (!e->followers.asked || cli->tells_contacts)
            show_followers(cli, e);
        return;
    case BK_CLIENT_EVENT_FOUND:
        show_found(e);
        return;
    case BK_CLIENT_EVENT_EDITED:
        show_edited(cli, e);
        return;
    default:
        return;
    }
}
