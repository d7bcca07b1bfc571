/* SPDX-License-Identifier: Apache-2.0 */
/* beckonctl user import: accounts from a table, each bad row with its line, column and reason. */
#include "base/cleanup.h"
#include "base/text.h"
#include "ctl/csv.h"
#include "ctl/ctl_private.h"
#include "server/password.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    ROWS = 500,                 /* of one request */
    REQUEST_BYTES = 700 * 1024, /* and its size: the server's door takes lines of 1 MB */
    FILE_MAX = 256 * 1024 * 1024,
    TRIES = 3, /* where somebody else makes one of the accounts meanwhile */
    HASHERS_MAX = 16,
};

enum kind { TEXT, YES_NO, PASSWORD, DEVICE_PASSWORD, DEVICE_ALGORITHM };

static const struct known_column {
    const char *name;
    enum kind kind;
} known[] = {
    { "address", TEXT },
    { "display_name", TEXT },
    { "username", TEXT },
    { "password", PASSWORD },
    { "licensed", YES_NO },
    { "enabled", YES_NO },
    { "site", TEXT },
    { "policy", TEXT },
    { "device_password", DEVICE_PASSWORD },
    { "device_algorithm", DEVICE_ALGORITHM },
};

struct row {
    size_t line;
    json_t *user; /* as the operation wants it, password still in place of its hash */
    size_t bytes;
};

struct import {
    struct ctl *ctl;
    bool check;     /* write nothing */
    bool whole;     /* all of it in one commit, with the last request */
    char *whole_id; /* as the server names it; NULL: not begun */
    struct bk_csv csv;
    const struct known_column *columns[BK_CSV_FIELDS_MAX];
    size_t n_columns;
    int64_t length_min;
    bool nt_hash; /* policy wants it */
    json_t *seen; /* address or user name: line */
    struct row rows[ROWS];
    size_t n_rows, bytes;
    size_t added, bad;
    json_t *faults; /* each with line, column, text */
    size_t told;    /* of them */
    bool show_progress;
};

/* ---- faults ---- */

static void fault(struct import *im, size_t line, const char *column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void fault(struct import *im, size_t line, const char *column, const char *format, ...)
{
    BK_AUTO_FREE char *text = NULL;
    BK_AUTO_BUF struct bk_buf clean = { 0 };
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    ctl_add_clean(&clean, text ? text : "out of memory");
    const char *line_text = bk_buf_cstr(&clean);
    im->bad++;
    json_array_append_new(im->faults, json_pack("{s:I, s:s, s:s?}", "line", (json_int_t)line,
                                                "column", column, "text", line_text));
}

static int by_line(const void *a, const void *b)
{
    json_int_t x = json_integer_value(json_object_get(*(json_t *const *)a, "line")),
               y = json_integer_value(json_object_get(*(json_t *const *)b, "line"));
    return (x > y) - (x < y);
}

/* What is wrong with the rows since the last request, in the order of the file: some we saw, some the server. */
static void tell_faults(struct import *im)
{
    size_t n = json_array_size(im->faults) - im->told;
    json_t **rows = calloc(n + 1, sizeof(json_t *));
    if (!rows)
        return;
    for (size_t i = 0; i < n; i++)
        rows[i] = json_incref(json_array_get(im->faults, im->told + i));
    qsort(rows, n, sizeof(json_t *), by_line);
    if (n && im->show_progress)
        fputs("\r\033[K", im->ctl->err);
    for (size_t i = 0; i < n; i++) {
        const char *column = json_string_value(json_object_get(rows[i], "column"));
        if (!im->ctl->json)
            fprintf(im->ctl->err, "line %lld%s%s: %s\n",
                    (long long)json_integer_value(json_object_get(rows[i], "line")),
                    column && *column ? ", column " : "", column ? column : "",
                    json_string_value(json_object_get(rows[i], "text")));
        json_array_set_new(im->faults, im->told + i, rows[i]);
    }
    im->told += n;
    free(rows);
}

/* ---- the heading ---- */

/* "Display Name", "display-name" and "display_name" are one. */
static const struct known_column *column_of(struct bk_view title)
{
    char name[32];
    title = bk_view_trim(title);
    if (title.len >= sizeof name)
        return NULL;
    for (size_t i = 0; i < title.len; i++)
        name[i] = title.at[i] == ' ' || title.at[i] == '-' ? '_' : bk_lower(title.at[i]);
    for (size_t i = 0; i < BK_COUNT_OF(known); i++)
        if (bk_view_equal(bk_view_of_str(known[i].name), (struct bk_view){ name, title.len }))
            return &known[i];
    return NULL;
}

static int read_heading(struct import *im)
{
    struct ctl *ctl = im->ctl;
    bool address = false;
    enum bk_csv_step step = bk_csv_next(&im->csv);
    if (step == BK_CSV_END)
        return ctl_fail(ctl, CTL_FAILED, "the file is empty: its first line names the columns");
    if (step == BK_CSV_BAD)
        return ctl_fail(ctl, CTL_FAILED, "line %zu, field %zu: %s", im->csv.line, im->csv.column,
                        im->csv.why);
    for (size_t i = 0; i < im->csv.n; i++) {
        im->columns[i] = column_of(im->csv.fields[i]);
        if (!im->columns[i])
            return ctl_fail(ctl, CTL_FAILED,
                            "line %zu, field %zu: there is no column \"%.*s\"; these there are: "
                            "address, display_name, username, password, licensed, enabled, site, "
                            "policy, device_password, device_algorithm",
                            im->csv.line, i + 1, BK_VIEW_ARGS(im->csv.fields[i]));
        for (size_t j = 0; j < i; j++)
            if (im->columns[j] == im->columns[i])
                return ctl_fail(ctl, CTL_FAILED, "line %zu: the column %s is there twice",
                                im->csv.line, im->columns[i]->name);
        address = address || !strcmp(im->columns[i]->name, "address");
    }
    im->n_columns = im->csv.n;
    return address
               ? CTL_OK
               : ctl_fail(ctl, CTL_FAILED, "line %zu: the column address is missing", im->csv.line);
}

/* ---- a row ---- */

static bool yes_or_no(struct bk_view text, bool *ret)
{
    static const char *const words[] = { "yes", "no", "true", "false", "on", "off", "1", "0" };
    for (size_t i = 0; i < BK_COUNT_OF(words); i++)
        if (bk_view_equal_nocase(text, bk_view_of_str(words[i]))) {
            *ret = i % 2 == 0;
            return true;
        }
    return false;
}

/* A name that an earlier line of this file has. */
static bool seen_before(struct import *im, const char *column, struct bk_view name, size_t line)
{
    char lower[512];
    if (!name.len || name.len >= sizeof lower)
        return false; /* the server has something to say about those */
    for (size_t i = 0; i < name.len; i++)
        lower[i] = bk_lower(name.at[i]);
    json_t *before = json_object_getn(im->seen, lower, name.len);
    if (before && (size_t)json_integer_value(before) != line) {
        fault(im, line, column, "\"%.*s\" is in line %lld already", BK_VIEW_ARGS(name),
              (long long)json_integer_value(before));
        return true;
    }
    json_object_setn_new(im->seen, lower, name.len, json_integer((json_int_t)line));
    return false;
}

struct found {
    struct bk_view address, username, password, device, algorithm;
};

static bool take_field(struct import *im, const struct known_column *column, struct bk_view field,
                       json_t *user, struct found *found)
{
    bool on;
    if (column->kind != PASSWORD && column->kind != DEVICE_PASSWORD)
        field = bk_view_trim(field);
    if (!field.len)
        return true;
    switch (column->kind) {
    case TEXT:
        json_object_set_new(user, column->name, json_stringn(field.at, field.len));
        if (!strcmp(column->name, "address"))
            found->address = field;
        if (!strcmp(column->name, "username"))
            found->username = field;
        return true;
    case YES_NO:
        if (!yes_or_no(field, &on)) {
            fault(im, im->csv.line, column->name, "\"%.*s\" is neither yes nor no",
                  BK_VIEW_ARGS(field));
            return false;
        }
        json_object_set_new(user, column->name, json_boolean(on));
        return true;
    case PASSWORD:
        found->password = field;
        return true;
    case DEVICE_PASSWORD:
        found->device = field;
        return true;
    case DEVICE_ALGORITHM:
        if (!bk_view_equal_nocase(field, BK_VIEW("MD5")) &&
            !bk_view_equal_nocase(field, BK_VIEW("SHA-256"))) {
            fault(im, im->csv.line, column->name, "\"%.*s\" is neither SHA-256 nor MD5",
                  BK_VIEW_ARGS(field));
            return false;
        }
        found->algorithm = field;
        return true;
    }
    return true;
}

static bool take_secrets(struct import *im, const struct found *found, json_t *user)
{
    size_t line = im->csv.line;
    struct bk_view names[] = { found->address, found->username,
                               bk_view_head(found->address, bk_view_find(found->address, '@')) };
    if (found->password.len) {
        const char *why =
            bk_password_fault(found->password, im->length_min, names, BK_COUNT_OF(names));
        if (why) {
            fault(im, line, "password", "it is not accepted: %s", why);
            return false;
        }
        json_object_set_new(user, "password",
                            json_stringn(found->password.at, found->password.len));
    }
    if (!found->device.len) {
        if (found->algorithm.len)
            fault(im, line, "device_algorithm", "there is no device password in this line");
        return !found->algorithm.len;
    }
    BK_AUTO_FREE char *address = bk_view_dup(found->address);
    json_t *device =
        address && strchr(address, '@')
            ? ctl_device(address, "imported",
                         bk_view_equal_nocase(found->algorithm, BK_VIEW("MD5")), found->device)
            : NULL;
    if (device)
        json_object_set_new(user, "device", device);
    return true; /* without a whole address the server refuses the row for that */
}

static json_t *take_row(struct import *im)
{
    struct found found = { 0 };
    json_t *user = json_object();
    bool good = true;
    if (im->csv.n != im->n_columns) {
        fault(im, im->csv.line, "", "%zu fields where the heading has %zu", im->csv.n,
              im->n_columns);
        good = false;
    }
    for (size_t i = 0; good && i < im->n_columns; i++)
        good = take_field(im, im->columns[i], im->csv.fields[i], user, &found);
    if (good && !found.address.len) {
        fault(im, im->csv.line, "address", "it is missing");
        good = false;
    }
    good = good && !seen_before(im, "address", found.address, im->csv.line) &&
           !seen_before(im, "username", found.username, im->csv.line) &&
           take_secrets(im, &found, user);
    if (!good) {
        json_decref(user);
        return NULL;
    }
    return user;
}

/* ---- passwords ---- */

struct hashing {
    struct import *im;
    atomic_size_t next;
    atomic_bool failed;
    char *hashes[ROWS];
};

static void *hash_some(void *arg)
{
    struct hashing *h = arg;
    size_t i;
    while ((i = atomic_fetch_add(&h->next, 1)) < h->im->n_rows) {
        const char *password = json_string_value(json_object_get(h->im->rows[i].user, "password"));
        struct bk_buf hash = { 0 };
        if (!password)
            continue;
        if (bk_password_hash(bk_view_of_str(password), 0, &hash) == 0)
            h->hashes[i] = bk_view_dup(bk_buf_view(&hash));
        if (!h->hashes[i])
            atomic_store(&h->failed, true);
        bk_buf_finish(&hash);
    }
    return NULL;
}

/* On all processors: one hash takes some 30 ms. */
static int hash_passwords(struct import *im)
{
    struct hashing h = { .im = im };
    pthread_t threads[HASHERS_MAX];
    int n = 0;
    bool any = false;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    for (size_t i = 0; i < im->n_rows; i++)
        any = any || json_object_get(im->rows[i].user, "password");
    while (any && !im->check && n < HASHERS_MAX && n < cores - 1 &&
           pthread_create(&threads[n], NULL, hash_some, &h) == 0)
        n++;
    if (any && !im->check)
        hash_some(&h);
    while (n)
        pthread_join(threads[--n], NULL);
    for (size_t i = 0; i < im->n_rows; i++) {
        json_t *user = im->rows[i].user;
        if (h.hashes[i] && im->nt_hash)
            ctl_add_nt_hash(user,
                            bk_view_of_str(json_string_value(json_object_get(user, "password"))));
        json_object_del(user, "password");
        if (h.hashes[i])
            json_object_set_new(user, "yescrypt", json_string(h.hashes[i]));
        free(h.hashes[i]);
    }
    return atomic_load(&h.failed)
               ? ctl_fail(im->ctl, CTL_FAILED, "a password cannot be hashed: out of memory")
               : CTL_OK;
}

/* ---- requests ---- */

static void forget_rows(struct import *im)
{
    for (size_t i = 0; i < im->n_rows; i++)
        json_decref(im->rows[i].user);
    im->n_rows = im->bytes = 0;
}

static void take_results(struct import *im, const json_t *result)
{
    size_t i;
    json_t *row;
    im->added += (size_t)json_integer_value(json_object_get(result, "added"));
    json_array_foreach(json_object_get(result, "rows"), i, row)
    {
        const char *text = json_string_value(json_object_get(row, "text")),
                   *at = json_string_value(json_object_get(row, "at"));
        if (text && i < im->n_rows)
            fault(im, im->rows[i].line, at ? at : "", "%s", text);
    }
}

/* The arguments of one request. */
static json_t *request_of(const struct import *im, json_t *users, bool last)
{
    json_t *args = json_pack("{s:O, s:b}", "users", users, "check", im->check);
    if (im->whole && args) {
        json_object_set_new(args, "whole", json_string(im->whole_id ? im->whole_id : "begin"));
        json_object_set_new(args, "last", json_boolean(last));
    }
    return args;
}

/* An answer to a part of the whole: goes on, or a row is bad after all and nothing is written. */
static int take_part(struct import *im, const json_t *result, bool last)
{
    const char *id = json_string_value(json_object_get(result, "whole"));
    free(im->whole_id);
    im->whole_id = id ? strdup(id) : NULL;
    if (im->whole_id || (last && !im->bad))
        return CTL_OK;
    tell_faults(im);
    return ctl_fail(im->ctl, CTL_FAILED, "nothing was written");
}

static int send_rows(struct import *im, bool last)
{
    json_t *users = json_array(), *answer = NULL;
    int r = im->n_rows ? hash_passwords(im) : CTL_OK;
    for (size_t i = 0; i < im->n_rows; i++)
        json_array_append(users, im->rows[i].user);
    bool ends = im->whole && last && im->whole_id; /* also without a row more */
    for (int try = 0; r == CTL_OK && (im->n_rows || ends); try++) {
        r = ctl_ask(im->ctl, "user.import", request_of(im, users, last), &answer);
        if (r != CTL_OK)
            break;
        json_t *error = json_object_get(answer, "error");
        const char *code = json_string_value(json_object_get(error, "code")),
                   *text = json_string_value(json_object_get(error, "text"));
        bool again = code && !strcmp(code, "exists") && try < TRIES && !im->whole;
        if (!error)
            take_results(im, json_object_get(answer, "result"));
        if (!error && im->whole)
            r = take_part(im, json_object_get(answer, "result"), last);
        else if (error && im->whole)
            r = ctl_fail(im->ctl, CTL_FAILED, "%s Nothing was written.", text ? text : "Refused.");
        else if (error && !again)
            r = ctl_fail(im->ctl, CTL_FAILED, "lines %zu to %zu: %s", im->rows[0].line,
                         im->rows[im->n_rows - 1].line, text ? text : "refused");
        json_decref(answer);
        if (!again)
            break;
    }
    json_decref(users);
    forget_rows(im);
    tell_faults(im);
    if (im->show_progress)
        fprintf(im->ctl->err, "\r%zu %s", im->added, im->check ? "looked at" : "imported");
    return r;
}

static int all_rows(struct import *im)
{
    enum bk_csv_step step;
    int r = CTL_OK;
    while (r == CTL_OK && (step = bk_csv_next(&im->csv)) != BK_CSV_END) {
        char column[32];
        if (step == BK_CSV_BAD) {
            snprintf(column, sizeof column, "%zu", im->csv.column);
            fault(im, im->csv.line,
                  im->csv.column && im->csv.column <= im->n_columns
                      ? im->columns[im->csv.column - 1]->name
                      : column,
                  "%s", im->csv.why);
            continue;
        }
        json_t *user = take_row(im);
        size_t bytes = 512; /* names of members, hashes */
        for (size_t i = 0; i < im->csv.n; i++)
            bytes += 6 * im->csv.fields[i].len; /* JSON writes a byte as six at the worst */
        if (!user)
            continue;
        if (im->n_rows && im->bytes + bytes > REQUEST_BYTES)
            r = send_rows(im, false);
        im->rows[im->n_rows++] = (struct row){ im->csv.line, user, bytes };
        im->bytes += bytes;
        if (r == CTL_OK && im->n_rows == ROWS)
            r = send_rows(im, false);
    }
    if (r == CTL_OK)
        r = send_rows(im, true);
    forget_rows(im);
    if (im->show_progress)
        fputs("\r\033[K", im->ctl->err);
    return r;
}

/* One walk over the file. */
static int walk(struct import *im, struct bk_view content)
{
    bk_csv_init(&im->csv, content);
    im->seen = json_object();
    im->added = im->bad = 0;
    int r = read_heading(im);
    if (r == CTL_OK)
        r = all_rows(im);
    json_decref(im->seen);
    bk_csv_finish(&im->csv);
    return r;
}

/* ---- the file ---- */

static void wipe(struct bk_buf *buf)
{
    if (buf->at)
        bk_wipe(buf->at, buf->cap);
    bk_buf_finish(buf);
}

static int read_content(struct ctl *ctl, struct bk_buf *ret)
{
    const char *file = ctl_word(ctl, 0);
    int r = 0;
    ret->max = FILE_MAX;
    if (strcmp(file, "-")) {
        r = bk_file_read(file, FILE_MAX, ret);
    } else {
        size_t n = 1;
        while (n && !ret->failed) {
            char *to = bk_buf_reserve(ret, 65536);
            n = to ? fread(to, 1, 65536, ctl->in) : 0;
            ret->len += n;
        }
        r = ret->failed ? -EFBIG : 0;
    }
    if (r < 0)
        return ctl_fail(ctl, CTL_FAILED, "%s: %s", file, strerror(-r));
    if (bk_view_starts_with(bk_buf_view(ret), BK_VIEW("\xff\xfe")) ||
        bk_view_starts_with(bk_buf_view(ret), BK_VIEW("\xfe\xff")))
        return ctl_fail(ctl, CTL_FAILED, "%s is written in UTF-16: save it as UTF-8", file);
    return CTL_OK;
}

static int find_policy(struct import *im)
{
    size_t i;
    json_t *policies, *row;
    int r = ctl_call(im->ctl, "policy.list", NULL, &policies);
    if (r != CTL_OK)
        return r;
    json_array_foreach(policies, i, row)
    {
        const char *name = json_string_value(json_object_get(row, "name")),
                   *value = json_string_value(json_object_get(row, "value"));
        if (name && value && !strcmp(name, "password-length-min"))
            im->length_min = strtoll(value, NULL, 10);
        if (name && value && !strcmp(name, "ntlm-signin"))
            im->nt_hash = !strcmp(value, "on");
    }
    json_decref(policies);
    return CTL_OK;
}

static int say(const struct import *im, bool written)
{
    struct ctl *ctl = im->ctl;
    if (ctl->json) {
        json_t *j = json_pack("{s:I, s:I, s:O}", written ? "added" : "good", (json_int_t)im->added,
                              "bad", (json_int_t)im->bad, "faults", im->faults);
        if (j)
            ctl_print_json(ctl, j);
        json_decref(j);
    } else {
        fprintf(ctl->out, "%zu account%s %s", im->added, im->added == 1 ? "" : "s",
                written ? (im->added == 1 ? "was imported" : "were imported")
                        : "can be imported; nothing was written");
        if (im->bad)
            fprintf(ctl->out, ", %zu line%s %s be", im->bad, im->bad == 1 ? "" : "s",
                    written ? "could not" : "cannot");
        fputs(".\n", ctl->out);
    }
    return im->bad ? CTL_FAILED : CTL_OK;
}

int ctl_user_import(struct ctl *ctl)
{
    BK_CLEANUP(wipe) struct bk_buf content = { 0 };
    struct import *im = calloc(1, sizeof *im);
    bool all_or_nothing = ctl_option(ctl, "all-or-nothing"), check = ctl_option(ctl, "check");
    bool written = false;
    if (!im)
        return ctl_fail(ctl, CTL_FAILED, "out of memory");
    im->ctl = ctl;
    im->length_min = 8;
    im->faults = json_array();
    im->show_progress = !ctl->json && isatty(fileno(ctl->err));
    int r = read_content(ctl, &content);
    if (r == CTL_OK)
        r = find_policy(im);
    if (r == CTL_OK && (check || all_or_nothing)) {
        im->check = true;
        r = walk(im, bk_buf_view(&content));
    }
    if (r == CTL_OK && !check && !im->bad) {
        im->check = false;
        im->whole = all_or_nothing;
        written = true;
        r = walk(im, bk_buf_view(&content));
    }
    if (r == CTL_OK)
        r = say(im, written);
    else if (im->added && written && !im->whole)
        fprintf(ctl->err, "beckonctl: %zu accounts were imported before that.\n", im->added);
    json_decref(im->faults);
    free(im->whole_id);
    free(im);
    return r;
}
