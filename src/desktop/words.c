/* SPDX-License-Identifier: Apache-2.0 */
#include "desktop/words.h"
#include "base/cleanup.h"

#include <glib/gi18n.h>
#include <langinfo.h>

/* ---- presence ---- */

static const struct {
    const char *word, *css, *icon;
} shown_words[BK_PIDF_SHOWN_COUNT] = {
    [BK_PIDF_SHOWN_MISSING] = { N_("Unknown"), "unknown", "beckon-status-unknown" },
    [BK_PIDF_SHOWN_UNKNOWN] = { N_("Unknown"), "unknown", "beckon-status-unknown" },
    [BK_PIDF_SHOWN_OFFLINE] = { N_("Offline"), "offline", "beckon-status-offline" },
    [BK_PIDF_SHOWN_AVAILABLE] = { N_("Available"), "available", "beckon-status-available" },
    [BK_PIDF_SHOWN_AVAILABLE_INACTIVE] = { N_("Inactive"), "inactive", "beckon-status-inactive" },
    [BK_PIDF_SHOWN_BUSY] = { N_("Busy"), "busy", "beckon-status-busy" },
    [BK_PIDF_SHOWN_BUSY_INACTIVE] = { N_("Busy, Inactive"), "busy", "beckon-status-busy" },
    [BK_PIDF_SHOWN_IN_CALL] = { N_("In a Call"), "busy", "beckon-status-busy" },
    [BK_PIDF_SHOWN_IN_CONFERENCE] = { N_("In a Conference Call"), "busy", "beckon-status-busy" },
    [BK_PIDF_SHOWN_IN_MEETING] = { N_("In a Meeting"), "busy", "beckon-status-busy" },
    [BK_PIDF_SHOWN_DND] = { N_("Do Not Disturb"), "dnd", "beckon-status-dnd" },
    [BK_PIDF_SHOWN_PRESENTING] = { N_("Presenting"), "dnd", "beckon-status-dnd" },
    [BK_PIDF_SHOWN_BRB] = { N_("Be Right Back"), "away", "beckon-status-away" },
    [BK_PIDF_SHOWN_AWAY] = { N_("Away"), "away", "beckon-status-away" },
    [BK_PIDF_SHOWN_OFFWORK] = { N_("Off Work"), "away", "beckon-status-away" },
};

static enum bk_pidf_shown row_of(enum bk_pidf_shown shown)
{
    return (unsigned)shown < BK_PIDF_SHOWN_COUNT ? shown : BK_PIDF_SHOWN_UNKNOWN;
}

const char *bk_word_shown(enum bk_pidf_shown shown)
{
    return _(shown_words[row_of(shown)].word);
}

const char *bk_icon_shown(enum bk_pidf_shown shown)
{
    return shown_words[row_of(shown)].icon;
}

const char *bk_css_shown(enum bk_pidf_shown shown)
{
    return shown_words[row_of(shown)].css;
}

const char *bk_word_manual(enum bk_pidf_manual manual)
{
    static const char *const words[BK_PIDF_MANUAL_COUNT] = {
        [BK_PIDF_MANUAL_MISSING] = N_("Reset Status"),
        [BK_PIDF_MANUAL_NONE] = N_("Reset Status"),
        [BK_PIDF_MANUAL_BUSY] = N_("Busy"),
        [BK_PIDF_MANUAL_DND] = N_("Do Not Disturb"),
        [BK_PIDF_MANUAL_BRB] = N_("Be Right Back"),
        [BK_PIDF_MANUAL_AWAY] = N_("Appear Away"),
        [BK_PIDF_MANUAL_OFFWORK] = N_("Off Work"),
        [BK_PIDF_MANUAL_OFFLINE] = N_("Appear Offline"),
    };
    return _(words[(unsigned)manual < BK_PIDF_MANUAL_COUNT ? manual : BK_PIDF_MANUAL_NONE]);
}

/* Whole sentences, because languages bend the words around a number. */
static char *for_so_long(int64_t minutes)
{
    int hours = (int)(minutes / 60), days = hours / 24, few = (int)minutes;
    if (days)
        return g_strdup_printf(ngettext("for %d day", "for %d days", (gulong)days), days);
    if (hours)
        return g_strdup_printf(ngettext("for %d hour", "for %d hours", (gulong)hours), hours);
    return g_strdup_printf(ngettext("for %d minute", "for %d minutes", (gulong)few), few);
}

static char *so_long_ago(int64_t minutes)
{
    int hours = (int)(minutes / 60), days = hours / 24, few = (int)minutes;
    if (days)
        return g_strdup_printf(
            ngettext("last seen %d day ago", "last seen %d days ago", (gulong)days), days);
    if (hours)
        return g_strdup_printf(
            ngettext("last seen %d hour ago", "last seen %d hours ago", (gulong)hours), hours);
    return g_strdup_printf(
        ngettext("last seen %d minute ago", "last seen %d minutes ago", (gulong)few), few);
}

char *bk_word_since(enum bk_pidf_shown shown, int64_t since_ms, int64_t now_ms)
{
    enum { MINUTE_MS = 60 * 1000, DAYS_MAX = 365 };
    int64_t minutes = since_ms > 0 ? (now_ms - since_ms) / MINUTE_MS : 0;
    /* Under a minute it is news; a server's clock may also be ahead. Over a year it says nothing. */
    if (minutes < 1 || minutes > DAYS_MAX * 24 * 60 || row_of(shown) <= BK_PIDF_SHOWN_UNKNOWN)
        return g_strdup("");
    return shown == BK_PIDF_SHOWN_OFFLINE ? so_long_ago(minutes) : for_so_long(minutes);
}

const char *bk_word_relation(int level)
{
    switch (level) {
    case 100:
        return _("External Contacts");
    case 200:
        return _("Colleagues");
    case 300:
        return _("Workgroup");
    case 400:
        return _("Friends and Family");
    case 32000:
        return _("Blocked Contacts");
    default:
        return _("Chosen Automatically");
    }
}

/* ---- signing in ---- */

/* What the client core says when a step takes long. */
static const char *const waiting[] = {
    N_("still waiting for the answer of a name server or discovery service"),
    N_("still waiting for a connection"),
    N_("still waiting for the sign-in service"),
    N_("still waiting for the server's answer"),
};

/* Of "srv.example.org:5061" what says something to everybody: the usual port does not. */
static char *place(const char *where)
{
    static const char usual[] = ":5061";
    gsize len = strlen(where) - (g_str_has_suffix(where, usual) ? strlen(usual) : 0);
    return g_strndup(where, len);
}

static char *waiting_text(const char *detail)
{
    for (gsize i = 0; i < G_N_ELEMENTS(waiting); i++) {
        gsize len = strlen(waiting[i]);
        if (strncmp(detail, waiting[i], len) != 0)
            continue;
        g_autofree char *what = g_strdup(_(waiting[i]));
        g_autofree char *first = g_utf8_strup(what, (gssize)(g_utf8_next_char(what) - what));
        g_autofree char *where =
            g_str_has_prefix(detail + len, ": ") ? place(detail + len + 2) : g_strdup("");
        return *where ? g_strdup_printf("%s%s (%s)", first, g_utf8_next_char(what), where)
                      : g_strdup_printf("%s%s", first, g_utf8_next_char(what));
    }
    return NULL;
}

char *bk_word_progress(enum bk_client_state state, const char *detail, int retry_in_s)
{
    char *slow = detail ? waiting_text(detail) : NULL;
    if (slow)
        return slow;
    switch (state) {
    case BK_CLIENT_RESOLVING:
        return g_strdup(_("Looking for your server"));
    case BK_CLIENT_CONTACTING: {
        g_autofree char *where = place(detail ? detail : "");
        return *where ? g_strdup_printf(_("Contacting %s"), where)
                      : g_strdup(_("Contacting your server"));
    }
    case BK_CLIENT_ASKING_TRUST:
        return g_strdup(_("Waiting for your decision"));
    case BK_CLIENT_ASKING_CREDENTIAL:
        return g_strdup(_("Waiting for your password"));
    case BK_CLIENT_AUTHENTICATING:
    case BK_CLIENT_REGISTERING:
        return g_strdup(_("Signing in"));
    case BK_CLIENT_SETTINGS:
        return g_strdup(_("Getting your settings"));
    case BK_CLIENT_CONTACTS:
        return g_strdup(_("Getting your contacts"));
    case BK_CLIENT_PRESENCE:
        return g_strdup(_("Telling the others that you are here"));
    case BK_CLIENT_SIGNED_IN:
        return g_strdup(_("Signed in"));
    case BK_CLIENT_RECONNECTING:
        return retry_in_s > 0
                   ? g_strdup_printf(ngettext("Trying again in %d second",
                                              "Trying again in %d seconds", (gulong)retry_in_s),
                                     retry_in_s)
                   : g_strdup(_("Trying again"));
    case BK_CLIENT_SIGNING_OUT:
        return g_strdup(_("Signing out"));
    default:
        return g_strdup("");
    }
}

/* ---- failures ---- */

static const char *value_of(const struct bk_client_failure *failure, const char *name)
{
    for (int i = 0; i < failure->n_values; i++)
        if (strcmp(failure->values[i].name, name) == 0)
            return failure->values[i].value;
    return NULL;
}

/* A reason is a piece of a sentence, itself one of ours as a rule. */
static const char *translated(const char *text)
{
    return text && *text ? _(text) : text;
}

static char *fill(const struct bk_client_failure *f, const char *text)
{
    BK_AUTO_BUF struct bk_buf to = { 0 };
    bk_record_text(&to, text, "server", value_of(f, "server"), "why",
                   translated(value_of(f, "why")), "address", value_of(f, "address"), "domain",
                   value_of(f, "domain"), "minutes", value_of(f, "minutes"), "seconds",
                   value_of(f, "seconds"), NULL);
    return g_strdup(bk_buf_cstr(&to) ? bk_buf_cstr(&to) : "");
}

enum { VALUES_MAX = 6 };

/* The sentence `text` was made of this template: the same in the user's language. NULL: it was not. */
static char *from_template(const char *template, const char *text)
{
    struct bk_record_value found[VALUES_MAX];
    struct bk_client_value values[VALUES_MAX];
    int n = bk_record_values(template, bk_view_of_str(text), found, VALUES_MAX);
    if (n <= 0)
        return NULL;
    for (int i = 0; i < n; i++) {
        values[i].name = g_strndup(found[i].name.at, found[i].name.len);
        values[i].value = g_strndup(found[i].value.at, found[i].value.len);
    }
    char *said = fill(&(struct bk_client_failure){ .values = values, .n_values = n }, _(template));
    for (int i = 0; i < n; i++) {
        g_free((gpointer)(uintptr_t)values[i].name);
        g_free((gpointer)(uintptr_t)values[i].value);
    }
    return said;
}

/* What the client core says that is no record's, with something in it. */
static const char *const sentences[] = {
    N_("The server refused it: {why}."),
    N_("not revoked: HTTP status {why}"),
};

char *bk_word_said(const char *text)
{
    char *said = NULL;
    if (!text || !*text)
        return g_strdup("");
    if (_(text) != text)
        return g_strdup(_(text));
    for (gsize i = 0; !said && i < G_N_ELEMENTS(sentences); i++)
        said = from_template(sentences[i], text);
    for (size_t i = 0; !said && bk_record_at(i); i++)
        said = from_template(bk_record_at(i)->user_text, text);
    return said ? said : g_strdup(text);
}

/* True: there are other words for it than the English ones. */
static bool is_translated(const char *text)
{
    return text && *text && _(text) != text;
}

char *bk_word_failure(const struct bk_client_failure *failure)
{
    if (failure->record && !failure->other_words && is_translated(failure->record->user_text))
        return fill(failure, _(failure->record->user_text));
    return bk_word_said(failure->user_text);
}

char *bk_word_failure_does(const struct bk_client_failure *failure)
{
    if (failure->record && is_translated(failure->record->user_does))
        return fill(failure, _(failure->record->user_does));
    return g_strdup(failure->user_does);
}

static void add_row(GString *to, const char *title, const char *value)
{
    if (*value)
        g_string_append_printf(to, "%s: %s\n", title, value);
}

char *bk_word_failure_details(const struct bk_client_failure *failure)
{
    g_autofree char *says = bk_word_failure(failure);
    g_autofree char *does = bk_word_failure_does(failure);
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *time = g_date_time_format(now, "%Y-%m-%dT%H:%M:%SZ");
    GString *to = g_string_new(says);
    if (*does)
        g_string_append_printf(to, "\n%s", does);
    g_string_append(to, "\n\n");
    add_row(to, _("Code"), failure->case_code);
    add_row(to, _("Record"), failure->id);
    add_row(to, _("Cause"), failure->admin_text);
    add_row(to, _("Details"), failure->detail);
    add_row(to, _("Time"), time);
    add_row(to, _("Version"), "Beckon " BK_VERSION);
    if (failure->n_steps)
        g_string_append_printf(to, "\n%s\n", _("What was tried:"));
    for (int i = 0; i < failure->n_steps; i++) {
        const struct bk_client_step *step = &failure->steps[i];
        g_string_append_printf(to, "%d. %s %s: %s", i + 1, step->kind, step->name, step->result);
        if (*step->detail)
            g_string_append_printf(to, " (%s)", step->detail);
        g_string_append_c(to, '\n');
    }
    return g_string_free(to, FALSE);
}

/* ---- times ---- */

static GDateTime *local_time(int64_t at_ms)
{
    g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc(at_ms / 1000);
    return utc ? g_date_time_to_local(utc) : NULL;
}

/* Where the region writes the hours of half a day, so do we. */
static bool has_half_days(void)
{
    const char *format = nl_langinfo(T_FMT);
    return strstr(format, "%r") || strstr(format, "%p") || strstr(format, "%I");
}

char *bk_word_time(int64_t at_ms)
{
    g_autoptr(GDateTime) at = local_time(at_ms);
    char *text = at ? g_date_time_format(at, has_half_days() ? "%-I:%M %p" : "%H:%M") : NULL;
    return text ? text : g_strdup("");
}

static int64_t day_number(GDateTime *at)
{
    GDate date;
    int year, month, day;
    g_date_time_get_ymd(at, &year, &month, &day);
    g_date_clear(&date, 1);
    g_date_set_dmy(&date, (GDateDay)day, (GDateMonth)month, (GDateYear)year);
    return g_date_get_julian(&date);
}

char *bk_word_day(int64_t at_ms, int64_t now_ms)
{
    g_autoptr(GDateTime) at = local_time(at_ms);
    g_autoptr(GDateTime) now = local_time(now_ms);
    if (!at || !now)
        return g_strdup("");
    int64_t ago = day_number(now) - day_number(at);
    if (ago == 0)
        return g_strdup(_("Today"));
    if (ago == 1)
        return g_strdup(_("Yesterday"));
    bool this_year = g_date_time_get_year(at) == g_date_time_get_year(now);
    /* Translators: a date; the letters are those of date(1). */
    char *text =
        g_date_time_format(at, this_year ? C_("date", "%A, %-d %B") : C_("date", "%A, %-d %B %Y"));
    return text ? text : g_strdup("");
}
