/* SPDX-License-Identifier: Apache-2.0 */
/* beckonctl case: both halves of a refused sign-in on one screen. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "ctl/ctl_private.h"
#include "record/record.h"

#include <stdlib.h>

enum { INDENT = 2, LABEL = 18, WIDTH_MAX = 92, WIDTH_MIN = 40 };

struct page {
    struct ctl *ctl;
    FILE *out;
    int width;
    bool colour;
    int64_t now;
};

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void heading(const struct page *page, const char *text)
{
    fprintf(page->out, page->colour ? "\n\033[1m%s\033[0m\n" : "\n%s\n", text);
}

static void paragraph(const struct page *page, const char *text)
{
    BK_AUTO_BUF struct bk_buf clean = { 0 };
    ctl_add_clean(&clean, text);
    const char *line = bk_buf_cstr(&clean);
    if (!line || !*line)
        return;
    fprintf(page->out, "%*s", INDENT, "");
    ctl_print_wrapped(page->out, line, INDENT, page->width);
}

static void field(const struct page *page, const char *label, const char *text)
{
    BK_AUTO_BUF struct bk_buf clean = { 0 };
    ctl_add_clean(&clean, text);
    const char *line = bk_buf_cstr(&clean);
    if (!line || !*line)
        return;
    int gap = LABEL - ctl_width(label);
    fprintf(page->out, "%*s%s%*s", INDENT, "", label, gap > 1 ? gap : 1, "");
    ctl_print_wrapped(page->out, line, INDENT + LABEL, page->width);
}

static void value(const struct page *page, const char *label, const json_t *of,
                  enum ctl_format format)
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    ctl_add_value(&text, of, format);
    const char *line = bk_buf_cstr(&text);
    if (line)
        field(page, label, line);
}

/* Whatever a JSON object holds, nested ones flattened: nothing that was kept is hidden. */
static void everything(const struct page *page, const json_t *object, const char *prefix)
{
    const char *key;
    json_t *of;
    json_object_foreach((json_t *)object, key, of)
    {
        char label[64];
        int64_t ms;
        snprintf(label, sizeof label, "%s%s%s", prefix, *prefix ? "." : "", key);
        BK_AUTO_BUF struct bk_buf clean = { 0 };
        ctl_add_clean(&clean, label);
        const char *name = bk_buf_cstr(&clean);
        const char *text = json_string_value(of);
        if (!name || json_is_null(of))
            continue;
        if (json_is_object(of) && strlen(prefix) < sizeof label / 2) {
            everything(page, of, name);
        } else if (json_is_object(of) || json_is_array(of)) {
            BK_AUTO_FREE char *dump = json_dumps(of, JSON_COMPACT);
            field(page, name, dump ? dump : "");
        } else {
            bool time = text && bk_time_iso_parse(bk_view_of_str(text), &ms) == 0;
            value(page, name, of, time ? CTL_TIME : CTL_TEXT);
        }
    }
}

/* ---- the parts ---- */

/* A sentence of the table with what is known put in. */
static void sentence(const struct page *page, const char *title, const char *text,
                     const json_t *attempt)
{
    BK_AUTO_BUF struct bk_buf filled = { 0 };
    const json_t *detail = json_object_get(attempt, "detail"),
                 *skew = json_object_get(detail, "skew_s");
    const char *address = text_at(attempt, "address"), *at = strchr(address, '@');
    char minutes[24];
    snprintf(minutes, sizeof minutes, "%lld", llabs((long long)json_integer_value(skew)) / 60);
    if (!*text)
        return;
    bk_record_text(&filled, text, "address", address, "domain", at ? at + 1 : "?", "minutes",
                   skew ? minutes : "?", "why",
                   *text_at(detail, "why") ? text_at(detail, "why") : "?", "server",
                   *text_at(detail, "server") ? text_at(detail, "server") : "?", NULL);
    heading(page, title);
    paragraph(page, bk_buf_cstr(&filled) ? bk_buf_cstr(&filled) : text);
}

/* To somebody who has proved nothing yet the cause is not told; the case code is the same. */
static void neutral_note(const struct page *page, const char *id, const json_t *attempt)
{
    const struct bk_record *record = bk_record_parse(bk_view_of_str(id));
    const struct bk_record *told = record ? bk_record_told(record, true) : NULL;
    BK_AUTO_BUF struct bk_buf text = { 0 };
    char told_id[12];
    const char *address = text_at(attempt, "address"), *at = strchr(address, '@');
    if (!told || told == record)
        return;
    bk_record_id(told, told_id);
    bk_buf_addf(&text, "Who has not proved who they are is told %s instead: ", told_id);
    bk_record_text(&text, told->user_text, "address", address, "domain", at ? at + 1 : "?", NULL);
    paragraph(page, bk_buf_cstr(&text) ? bk_buf_cstr(&text) : "");
}

static void times(const struct page *page, const json_t *attempt)
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    char ago[48];
    long long count = json_integer_value(json_object_get(attempt, "count"));
    ctl_ago(text_at(attempt, "at"), page->now, ago);
    ctl_add_value(&text, json_object_get(attempt, "at"), CTL_TIME);
    if (*ago)
        bk_buf_addf(&text, ", %s", ago);
    field(page, "When", bk_buf_cstr(&text) ? bk_buf_cstr(&text) : "");
    bk_buf_clear(&text);
    if (count <= 1)
        return;
    bk_buf_addf(&text, "%lld times, last at ", count);
    ctl_add_value(&text, json_object_get(attempt, "last"), CTL_TIME);
    field(page, "Repeated", bk_buf_cstr(&text) ? bk_buf_cstr(&text) : "");
}

static void where_from(const struct page *page, const json_t *attempt)
{
    BK_AUTO_BUF struct bk_buf text = { 0 };
    static const char *const roads[][2] = {
        { "https-password", "with a password, over HTTPS" },
        { "https-certificate", "with a personal certificate, over HTTPS" },
        { "https-webticket", "with a password and a web ticket, as Lync-compatible clients do" },
        { "sip-certificate", "with a personal certificate, over SIP" },
        { "sip-digest", "with a device password (Digest), over SIP" },
    };
    const char *road = text_at(attempt, "road"), *transport = text_at(attempt, "transport");
    field(page, "Address", text_at(attempt, "address"));
    times(page, attempt);
    field(page, "Program", text_at(attempt, "client"));
    field(page, "Device", text_at(attempt, "device"));
    field(page, "Endpoint", text_at(attempt, "endpoint"));
    bk_buf_add_str(&text, text_at(attempt, "ip"));
    if (*transport)
        bk_buf_addf(&text, " (%s)", transport);
    field(page, "From", bk_buf_cstr(&text) ? bk_buf_cstr(&text) : "");
    for (size_t i = 0; i < BK_COUNT_OF(roads); i++)
        if (!strcmp(road, roads[i][0]))
            road = roads[i][1];
    field(page, "Tried", road);
    bk_buf_clear(&text);
    bk_buf_addf(&text, "%lld, diagnostics %lld",
                (long long)json_integer_value(json_object_get(attempt, "status")),
                (long long)json_integer_value(json_object_get(attempt, "diagnostics")));
    field(page, "Answered", bk_buf_cstr(&text) ? bk_buf_cstr(&text) : "");
}

static void account(const struct page *page, const json_t *user)
{
    heading(page, "The account now");
    if (!user) {
        paragraph(page, "There is no account with this address.");
        return;
    }
    const char *refused = text_at(user, "refused_by");
    const struct bk_record *record = bk_record_parse(bk_view_of_str(refused));
    field(page, "Name", text_at(user, "display_name"));
    if (!json_equal(json_object_get(user, "username"), json_object_get(user, "address")))
        field(page, "User name", text_at(user, "username"));
    field(page, "Organisation", text_at(user, "tenant"));
    value(page, "Enabled", json_object_get(user, "enabled"), CTL_YES);
    if (json_is_false(json_object_get(user, "enabled"))) {
        value(page, "Disabled at", json_object_get(user, "disabled"), CTL_TIME);
        field(page, "Disabled by", text_at(user, "disabled_by"));
    }
    value(page, "Licensed", json_object_get(user, "licensed"), CTL_YES);
    value(page, "Has a password", json_object_get(user, "has_password"), CTL_YES);
    value(page, "Password set", json_object_get(user, "password_changed"), CTL_TIME);
    if (record) {
        BK_AUTO_BUF struct bk_buf text = { 0 };
        bk_buf_addf(&text, "would be refused now: %s %s", refused, record->slug);
        field(page, "Sign-in", bk_buf_cstr(&text) ? bk_buf_cstr(&text) : "");
    } else {
        field(page, "Sign-in", "nothing about the account is in its way now");
    }
}

static void steps(const struct page *page, const json_t *rows)
{
    static const struct ctl_column columns[] = {
        { "   ", "n", CTL_NUMBER, 0 },        { "STEP", "kind", CTL_TEXT, 0 },
        { "WITH", "name", CTL_TEXT, 20 },     { "RESULT", "result", CTL_TEXT, 10 },
        { "DETAIL", "detail", CTL_TEXT, 16 },
    };
    size_t i;
    json_t *row, *numbered = json_array();
    json_array_foreach(rows, i, row)
    {
        json_t *copy = json_is_object(row) ? json_copy(row) : json_pack("{s:O}", "kind", row);
        if (!copy)
            continue;
        json_object_set_new(copy, "n", json_integer((json_int_t)i + 1));
        json_array_append_new(numbered, copy);
    }
    if (json_array_size(numbered)) {
        fputc('\n', page->out);
        ctl_table(page->ctl, numbered, columns, BK_COUNT_OF(columns), "");
    }
    json_decref(numbered);
}

/* How far the client's clock was away, by what it wrote and when that arrived. */
static void clock_line(const struct page *page, const json_t *report, const char *wrote)
{
    int64_t theirs, ours;
    char text[96];
    const char *at = text_at(report, "at");
    if (bk_time_iso_parse(bk_view_of_str(wrote), &theirs) < 0 ||
        bk_time_iso_parse(bk_view_of_str(at), &ours) < 0)
        return;
    long long off = (theirs - ours) / 1000;
    if (llabs(off) < 5)
        snprintf(text, sizeof text, "agrees with the server's");
    else
        snprintf(text, sizeof text, "%lld seconds %s the server's", llabs(off),
                 off > 0 ? "ahead of" : "behind");
    field(page, "Its clock", text);
}

static void client_half(const struct page *page, const json_t *report, const char *cause)
{
    json_t *said = json_deep_copy(json_object_get(report, "client"));
    json_t *client = json_object_get(said, "client");
    char line[160];
    BK_AUTO_BUF struct bk_buf at = { 0 };
    ctl_add_value(&at, json_object_get(report, "at"), CTL_TIME);
    snprintf(line, sizeof line, "What the client reported (%s, from %s)",
             bk_buf_cstr(&at) ? bk_buf_cstr(&at) : "", text_at(report, "ip"));
    heading(page, line);
    const char *record = text_at(said, "record");
    if (*record && strcmp(record, cause)) {
        const struct bk_record *truth = bk_record_parse(bk_view_of_str(cause));
        char told[12] = "";
        if (truth)
            bk_record_id(bk_record_told(truth, true), told);
        snprintf(line, sizeof line, "%s%s", record,
                 !strcmp(told, record) ? ", which is all a stranger is told" : "");
        field(page, "It showed", line);
    } else {
        field(page, "It showed", *record ? "the same record" : "");
    }
    if (json_is_object(client)) {
        field(page, "Program", text_at(client, "program"));
        field(page, "Device", text_at(client, "device"));
        field(page, "System", text_at(client, "system"));
        field(page, "State", text_at(client, "state"));
        clock_line(page, report, text_at(client, "time"));
        field(page, "Kind", text_at(client, "kind"));
        field(page, "Endpoint", text_at(client, "endpoint"));
        if (json_is_true(json_object_get(client, "manual")))
            field(page, "Server", "typed by hand, not looked up");
        static const char *const shown[] = { "program", "device", "system",   "state",
                                             "time",    "kind",   "endpoint", "manual" };
        for (size_t i = 0; i < BK_COUNT_OF(shown); i++)
            json_object_del(client, shown[i]);
        everything(page, client, "");
        json_object_del(said, "client");
    }
    json_t *tried = json_incref(json_object_get(said, "steps"));
    if (json_is_array(tried))
        json_object_del(said, "steps");
    json_object_del(said, "record");
    json_object_del(said, "case");
    everything(page, said, "");
    if (json_is_array(tried))
        steps(page, tried);
    json_decref(tried);
    json_decref(said);
}

int ctl_case(struct ctl *ctl)
{
    json_t *both, *row;
    size_t i;
    int terminal = ctl_terminal_width(ctl->out);
    int r = ctl_call(ctl, "case.show", json_pack("{s:s}", "case", ctl_word(ctl, 0)), &both);
    if (r != CTL_OK)
        return r;
    if (ctl->json) {
        ctl_print_json(ctl, both);
        json_decref(both);
        return CTL_OK;
    }
    struct page page = {
        .ctl = ctl,
        .out = ctl->out,
        .width = terminal && terminal < WIDTH_MAX ? terminal : WIDTH_MAX,
        .colour = terminal && !getenv("NO_COLOR"),
        .now = bk_clock_real_ms(&bk_clock_system),
    };
    if (page.width < WIDTH_MIN)
        page.width = WIDTH_MIN;
    const json_t *server = json_object_get(both, "server"), *first = json_array_get(server, 0),
                 *record = json_object_get(both, "record"),
                 *reports = json_object_get(both, "client");
    char title[160];
    snprintf(title, sizeof title, "Case %s   %s %s (%s)", text_at(both, "case"),
             text_at(first, "record"), text_at(record, "slug"), text_at(record, "category"));
    fprintf(page.out, page.colour ? "\033[1m%s\033[0m\n" : "%s\n", title);
    sentence(&page, "What the person is told", text_at(record, "user_text"), first);
    paragraph(&page, text_at(record, "user_does"));
    neutral_note(&page, text_at(first, "record"), first);
    sentence(&page, "What it is", text_at(record, "admin_text"), first);
    sentence(&page, "What to do", text_at(record, "admin_does"), first);
    json_array_foreach(server, i, row)
    {
        const json_t *detail = json_object_get(row, "detail");
        heading(&page, i ? "Another attempt" : "The attempt");
        where_from(&page, row);
        if (json_object_size(detail)) {
            heading(&page, "What the server knew then");
            everything(&page, detail, "");
        }
    }
    account(&page, json_object_get(both, "account"));
    json_array_foreach(reports, i, row) client_half(&page, row, text_at(first, "record"));
    if (!json_array_size(reports)) {
        heading(&page, "What the client reported");
        paragraph(&page, "Nothing: only Beckon's own clients send their half.");
    }
    json_decref(both);
    return CTL_OK;
}
