/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts, their passwords and sessions. */
#include "base/cleanup.h"
#include "base/text.h"
#include "ctl/ctl_private.h"
#include "ms/ntlm.h"
#include "server/password.h"

#include <stdarg.h>
#include <stdlib.h>

static void wipe(struct bk_buf *buf)
{
    if (buf->at)
        bk_wipe(buf->at, buf->cap);
    bk_buf_finish(buf);
}

static json_t *address_args(const struct ctl *ctl)
{
    json_t *args = ctl_args(ctl);
    if (ctl_word(ctl, 0))
        json_object_set_new(args, "address", json_string(ctl_word(ctl, 0)));
    return args;
}

/* With --json the result, else one line. */
static void say(struct ctl *ctl, json_t *result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(struct ctl *ctl, json_t *result, const char *format, ...)
{
    va_list args;
    if (ctl->json) {
        ctl_print_json(ctl, result);
        return;
    }
    va_start(args, format);
    vfprintf(ctl->out, format, args);
    va_end(args);
    fputc('\n', ctl->out);
}

/* ---- passwords ---- */

struct wanted {
    int64_t length_min;
    bool nt_hash;
};

/* What policy wants of them: for the person, or for everybody where there is no account yet. */
static int password_policy(struct ctl *ctl, const char *address, struct wanted *ret)
{
    size_t i;
    json_t *policies, *row, *args = json_object();
    if (address)
        json_object_set_new(args, "address", json_string(address));
    int r = ctl_call(ctl, "policy.list", args, &policies);
    if (r != CTL_OK)
        return r;
    json_array_foreach(policies, i, row)
    {
        const char *name = json_string_value(json_object_get(row, "name")),
                   *value = json_string_value(json_object_get(row, "value"));
        if (name && value && !strcmp(name, "password-length-min"))
            ret->length_min = strtoll(value, NULL, 10);
        if (name && value && !strcmp(name, "ntlm-signin"))
            ret->nt_hash = !strcmp(value, "on");
    }
    json_decref(policies);
    return CTL_OK;
}

void ctl_add_nt_hash(json_t *args, struct bk_view password)
{
    BK_CLEANUP(wipe) struct bk_buf hex = { 0 };
    uint8_t hash[BK_NT_HASH_SIZE];
    if (bk_ntlm_hash(password, hash) < 0)
        return;
    bk_buf_add_hex(&hex, hash, sizeof hash);
    json_object_set_new(args, "nt_hash", json_string(bk_buf_cstr(&hex)));
    bk_wipe(hash, sizeof hash);
}

/* The new password into *ret, its hash into args. `whose`: an account that is there, NULL: not yet. */
static int new_password(struct ctl *ctl, bool generate, const char *whose, json_t *args,
                        struct bk_buf *ret)
{
    BK_AUTO_BUF struct bk_buf hash = { 0 };
    const char *address = ctl_word(ctl, 0), *username = ctl_option(ctl, "username");
    struct wanted policy = { .length_min = 8 };
    int r = password_policy(ctl, whose, &policy);
    if (r != CTL_OK)
        return r;
    if (generate) {
        ctl_make_password(ret);
    } else {
        r = ctl_read_secret(ctl, "password", ret);
        if (r != CTL_OK)
            return r;
        struct bk_view names[3] = { bk_view_of_str(address), bk_view_of_str(username) };
        names[2] = bk_view_head(names[0], bk_view_find(names[0], '@'));
        const char *fault = bk_password_fault(bk_buf_view(ret), policy.length_min, names, 3);
        if (fault)
            return ctl_fail(ctl, CTL_FAILED, "the password was not accepted: %s", fault);
    }
    if (bk_password_hash(bk_buf_view(ret), 0, &hash) < 0)
        return ctl_fail(ctl, CTL_FAILED, "the password cannot be hashed");
    json_object_set_new(args, "yescrypt", json_string(bk_buf_cstr(&hash)));
    if (policy.nt_hash)
        ctl_add_nt_hash(args, bk_buf_view(ret));
    if (ctl_option(ctl, "must-change"))
        json_object_set_new(args, "password_must_change", json_true());
    return CTL_OK;
}

static void show_password(struct ctl *ctl, json_t *result, struct bk_buf *password)
{
    const char *text = bk_buf_cstr(password);
    if (ctl->json)
        json_object_set_new(result, "password", json_string(text));
    else
        fprintf(ctl->out, "Password: %s\nIt is shown this once.\n", text);
}

/* ---- making and changing ---- */

int ctl_user_add(struct ctl *ctl)
{
    BK_CLEANUP(wipe) struct bk_buf password = { 0 };
    bool generate = ctl_option(ctl, "generate-password"), give = ctl_option(ctl, "password-stdin");
    json_t *result = NULL, *args = address_args(ctl);
    int r = CTL_OK;
    if (ctl_option(ctl, "unlicensed"))
        json_object_set_new(args, "licensed", json_false());
    if (ctl_option(ctl, "disabled"))
        json_object_set_new(args, "enabled", json_false());
    if (generate && give)
        r = ctl_fail(ctl, CTL_USAGE, "--generate-password or --password-stdin, not both");
    else if (ctl_option(ctl, "must-change") && !generate && !give)
        r = ctl_fail(ctl, CTL_USAGE, "--must-change needs a password");
    else if (generate || give)
        r = new_password(ctl, generate, NULL, args, &password);
    if (r != CTL_OK) {
        json_decref(args);
        return r;
    }
    r = ctl_call(ctl, "user.add", args, &result);
    if (r != CTL_OK)
        return r;
    const char *address = json_string_value(json_object_get(result, "address"));
    if (!ctl->json)
        fprintf(ctl->out, "%s was added.\n", address ? address : ctl_word(ctl, 0));
    if (generate)
        show_password(ctl, result, &password);
    else if (!give && !ctl->json)
        fprintf(ctl->out, "There is no password yet: beckonctl user password %s --generate\n",
                address ? address : ctl_word(ctl, 0));
    if (ctl->json)
        ctl_print_json(ctl, result);
    json_decref(result);
    return CTL_OK;
}

int ctl_user_password(struct ctl *ctl)
{
    BK_CLEANUP(wipe) struct bk_buf password = { 0 };
    bool generate = ctl_option(ctl, "generate"), give = ctl_option(ctl, "stdin");
    json_t *result = NULL, *args = address_args(ctl);
    int r;
    if (generate == give)
        r = ctl_fail(ctl, CTL_USAGE,
                     "--generate makes a password, --stdin takes yours: one of them");
    else
        r = new_password(ctl, generate, ctl_word(ctl, 0), args, &password);
    if (r != CTL_OK) {
        json_decref(args);
        return r;
    }
    r = ctl_call(ctl, "user.set", args, &result);
    if (r != CTL_OK)
        return r;
    if (!ctl->json)
        fprintf(ctl->out, "%s has a new password.\n", ctl_word(ctl, 0));
    if (generate)
        show_password(ctl, result, &password);
    if (ctl->json)
        ctl_print_json(ctl, result);
    json_decref(result);
    return CTL_OK;
}

int ctl_user_set(struct ctl *ctl)
{
    json_t *result;
    if (!ctl->n_given)
        return ctl_fail(ctl, CTL_USAGE, "nothing to change: see beckonctl help user set");
    int r = ctl_call(ctl, "user.set", address_args(ctl), &result);
    if (r != CTL_OK)
        return r;
    say(ctl, result, "%s was changed.", ctl_word(ctl, 0));
    json_decref(result);
    return CTL_OK;
}

int ctl_user_switch(struct ctl *ctl)
{
    static const struct {
        const char *command;
        bool on;
        const char *said;
    } switches[] = {
        { "user enable", true, "is enabled." },
        { "user disable", false, "is disabled and may not sign in." },
        { "user licence give", true, "has a licence." },
        { "user licence take", false, "has no licence any more and may not sign in." },
    };
    json_t *result, *args = address_args(ctl);
    size_t i = 0;
    while (i + 1 < BK_COUNT_OF(switches) && strcmp(switches[i].command, ctl->command->name))
        i++;
    json_object_set_new(args, ctl->command->op, json_boolean(switches[i].on));
    int r = ctl_call(ctl, "user.set", args, &result);
    if (r != CTL_OK)
        return r;
    say(ctl, result, "%s %s", ctl_word(ctl, 0), switches[i].said);
    json_decref(result);
    return CTL_OK;
}

int ctl_user_remove(struct ctl *ctl)
{
    json_t *result;
    int r = ctl_call(ctl, "user.remove", address_args(ctl), &result);
    if (r != CTL_OK)
        return r;
    say(ctl, result, "%s was removed.", ctl_word(ctl, 0));
    json_decref(result);
    return CTL_OK;
}

/* ---- looking ---- */

enum { PAGE = 1000 };

int ctl_user_list(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        { "ADDRESS", "address", CTL_TEXT, 24 },    { "NAME", "display_name", CTL_TEXT, 16 },
        { "USER NAME", "username", CTL_TEXT, 16 }, { "ENABLED", "enabled", CTL_YES, 0 },
        { "LICENSED", "licensed", CTL_YES, 0 },    { "SITE", "site", CTL_TEXT, 8 },
        { "POLICY", "policy", CTL_TEXT, 8 },       { "CREATED", "created", CTL_DATE, 0 },
    };
    int64_t limit = INT64_MAX;
    int r = ctl_number(ctl, "limit", 1, INT64_MAX, &limit);
    if (r != CTL_OK)
        return r;
    json_t *all = json_array(), *page = NULL, *row;
    const char *after = "";
    size_t n = PAGE, i;
    while (n == PAGE && limit > 0) {
        json_t *args = ctl_args(ctl);
        json_object_set_new(args, "after", json_string(after));
        json_object_set_new(args, "limit", json_integer(limit < PAGE ? limit : PAGE));
        r = ctl_call(ctl, "user.list", args, &page);
        if (r != CTL_OK) {
            json_decref(all);
            return r;
        }
        n = json_array_size(page);
        limit -= (int64_t)n;
        json_array_extend(all, page);
        json_decref(page);
        after = json_string_value(
            json_object_get(json_array_get(all, json_array_size(all) - 1), "address"));
        after = after ? after : "";
    }
    if (!ctl->json) /* a user name is worth a column only where it says something new */
        json_array_foreach(all, i, row)
        {
            if (json_equal(json_object_get(row, "username"), json_object_get(row, "address")))
                json_object_del(row, "username");
        }
    ctl_table(ctl, all, columns, BK_COUNT_OF(columns),
              ctl_option(ctl, "match") ? "Nobody matches."
                                       : "There are no accounts yet: beckonctl user add ADDRESS");
    json_decref(all);
    return CTL_OK;
}

static const struct ctl_column device_columns[] = {
    { "ID", "id", CTL_NUMBER, 0 },
    { "LABEL", "label", CTL_TEXT, 12 },
    { "ALGORITHM", "algorithm", CTL_TEXT, 0 },
    { "CREATED", "created", CTL_TIME, 0 },
};

int ctl_user_show(struct ctl *ctl)
{
    static const struct ctl_column fields[] = {
        { "Address", "address", CTL_TEXT, 0 },
        { "Name", "display_name", CTL_TEXT, 0 },
        { "User name", "username", CTL_TEXT, 0 },
        { "Organisation", "tenant", CTL_TEXT, 0 },
        { "Site", "site", CTL_TEXT, 0 },
        { "Policy", "policy", CTL_TEXT, 0 },
        { "Enabled", "enabled", CTL_YES, 0 },
        { "Disabled at", "disabled", CTL_TIME, 0 },
        { "Disabled by", "disabled_by", CTL_TEXT, 0 },
        { "Licensed", "licensed", CTL_YES, 0 },
        { "Sign-in refused by", "refused_by", CTL_TEXT, 0 },
        { "Password", "has_password", CTL_YES, 0 },
        { "Changed", "password_changed", CTL_TIME, 0 },
        { "Must change it", "password_must_change", CTL_YES, 0 },
        { "Messages waiting", "stored_messages", CTL_NUMBER, 0 },
        { "Created", "created", CTL_TIME, 0 },
    };
    json_t *user;
    int r = ctl_call(ctl, "user.show", address_args(ctl), &user);
    if (r != CTL_OK)
        return r;
    if (ctl->json) {
        ctl_print_json(ctl, user);
    } else {
        json_t *devices = json_object_get(user, "device_passwords");
        if (json_is_true(json_object_get(user, "enabled"))) {
            json_object_del(user, "disabled");
            json_object_del(user, "disabled_by");
        }
        ctl_fields(ctl, user, fields, BK_COUNT_OF(fields));
        if (json_array_size(devices)) {
            fputs("\nDevice passwords\n", ctl->out);
            ctl_table(ctl, devices, device_columns, BK_COUNT_OF(device_columns), "");
        }
    }
    json_decref(user);
    return CTL_OK;
}

/* ---- device passwords ---- */

int ctl_device_add(struct ctl *ctl)
{
    BK_CLEANUP(wipe) struct bk_buf password = { 0 };
    const char *address = ctl_word(ctl, 0), *label = ctl_word(ctl, 1);
    bool md5 = ctl_option(ctl, "md5");
    json_t *result, *args = json_pack("{s:s}", "address", address);
    int r = CTL_OK;
    if (!strchr(address, '@'))
        r = ctl_fail(ctl, CTL_USAGE, "\"%s\" is no address", address);
    else if (ctl_option(ctl, "stdin"))
        r = ctl_read_secret(ctl, "device password", &password);
    else
        ctl_make_device_password(&password);
    json_t *device =
        r == CTL_OK ? ctl_device(address, label ? label : "", md5, bk_buf_view(&password)) : NULL;
    if (r == CTL_OK && !device)
        r = ctl_fail(ctl, CTL_FAILED, "the password cannot be hashed");
    if (r != CTL_OK) {
        json_decref(args);
        return r;
    }
    json_object_set_new(args, "device", device);
    r = ctl_call(ctl, "user.set", args, &result);
    if (r != CTL_OK)
        return r;
    const char *algorithm = md5 ? "MD5" : "SHA-256";
    if (ctl->json) {
        json_object_set_new(result, "algorithm", json_string(algorithm));
        json_object_set_new(result, "label", json_string(label ? label : ""));
        if (!ctl_option(ctl, "stdin"))
            json_object_set_new(result, "password", json_string(bk_buf_cstr(&password)));
        ctl_print_json(ctl, result);
    } else if (ctl_option(ctl, "stdin")) {
        fprintf(ctl->out, "%s has a new device password (%s).\n", address, algorithm);
    } else {
        fprintf(ctl->out,
                "Device password: %s\nFor Digest with %s, user name %.*s or %s.\n"
                "It is shown this once.\n",
                bk_buf_cstr(&password), algorithm, (int)strcspn(address, "@"), address, address);
    }
    json_decref(result);
    return CTL_OK;
}

int ctl_device_list(struct ctl *ctl)
{
    json_t *user;
    int r = ctl_call(ctl, "user.show", address_args(ctl), &user);
    if (r != CTL_OK)
        return r;
    ctl_table(ctl, json_object_get(user, "device_passwords"), device_columns,
              BK_COUNT_OF(device_columns), "There are none.");
    json_decref(user);
    return CTL_OK;
}

/* The number that a label stands for. */
static int device_of_label(struct ctl *ctl, const char *label, int64_t *ret)
{
    json_t *user, *row;
    size_t i, n = 0;
    int r = ctl_call(ctl, "user.show", address_args(ctl), &user);
    if (r != CTL_OK)
        return r;
    json_array_foreach(json_object_get(user, "device_passwords"), i, row)
    {
        const char *has = json_string_value(json_object_get(row, "label"));
        if (has && !strcmp(has, label)) {
            *ret = json_integer_value(json_object_get(row, "id"));
            n++;
        }
    }
    json_decref(user);
    if (n > 1)
        return ctl_fail(ctl, CTL_FAILED, "%zu of them are called \"%s\": name one by its number", n,
                        label);
    return n ? CTL_OK
             : ctl_fail(ctl, CTL_FAILED, "%s has no device password \"%s\"", ctl_word(ctl, 0),
                        label);
}

int ctl_device_remove(struct ctl *ctl)
{
    const char *which = ctl_word(ctl, 1);
    uint64_t number = 0;
    int64_t id = 0;
    json_t *result, *args;
    if (strcmp(which, "all")) {
        int r = CTL_OK;
        if (bk_view_to_u64(bk_view_of_str(which), INT64_MAX, &number) == 0 && number)
            id = (int64_t)number;
        else
            r = device_of_label(ctl, which, &id);
        if (r != CTL_OK)
            return r;
    }
    args = address_args(ctl);
    json_object_set_new(args, "id", json_integer(id));
    int r = ctl_call(ctl, "device.remove", args, &result);
    if (r != CTL_OK)
        return r;
    say(ctl, result,
        id ? "The device password was removed." : "All device passwords were removed.");
    json_decref(result);
    return CTL_OK;
}

/* ---- sessions and history ---- */

int ctl_user_sessions(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        { "ADDRESS", "address", CTL_TEXT, 20 },
        { "SHOWN AS", "shown", CTL_TEXT, 0 },
        { "CLIENT", "client", CTL_TEXT, 12 },
        { "FROM", "ip", CTL_TEXT, 0 },
        { "BY", "road", CTL_TEXT, 0 },
        { "SINCE", "since", CTL_TIME, 0 },
        { "ENDPOINT", "endpoint", CTL_TEXT, 12 },
    };
    bool runs = false;
    json_t *rows;
    int r = ctl_server_runs(ctl, &runs);
    if (r == CTL_OK)
        r = ctl_call(ctl, "session.list", address_args(ctl), &rows);
    if (r != CTL_OK)
        return r;
    ctl_table(ctl, rows, columns, BK_COUNT_OF(columns),
              runs ? "Nobody is signed in." : "The server does not run: nobody is signed in.");
    json_decref(rows);
    return CTL_OK;
}

int ctl_user_sign_out(struct ctl *ctl)
{
    json_t *result;
    int r = ctl_call(ctl, "session.end", address_args(ctl), &result);
    if (r != CTL_OK)
        return r;
    long long n = json_integer_value(json_object_get(result, "ended"));
    say(ctl, result, n == 1 ? "%lld session was ended." : "%lld sessions were ended.", n);
    json_decref(result);
    return CTL_OK;
}

int ctl_user_history(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        { "AT", "at", CTL_TIME, 0 },          { "RESULT", "result", CTL_TEXT, 0 },
        { "CASE", "case", CTL_TEXT, 0 },      { "TIMES", "times", CTL_NUMBER, 0 },
        { "CLIENT", "client", CTL_TEXT, 12 }, { "FROM", "ip", CTL_TEXT, 0 },
        { "BY", "road", CTL_TEXT, 0 },        { "ENDED", "ended", CTL_TIME, 0 },
        { "HOW", "end", CTL_TEXT, 0 },
    };
    int64_t limit = 50;
    size_t i;
    json_t *rows, *row, *args;
    int r = ctl_number(ctl, "limit", 1, 1000, &limit);
    if (r != CTL_OK)
        return r;
    args = address_args(ctl);
    json_object_set_new(args, "limit", json_integer(limit));
    r = ctl_call(ctl, "history.list", args, &rows);
    if (r != CTL_OK)
        return r;
    if (!ctl->json)
        json_array_foreach(rows, i, row)
        {
            bool ok = json_is_true(json_object_get(row, "ok"));
            json_t *count = json_object_get(row, "count");
            if (ok)
                json_object_set_new(row, "result", json_string("signed in"));
            else
                json_object_set(row, "result", json_object_get(row, "record"));
            if (json_integer_value(count) > 1)
                json_object_set(row, "times", count);
            if (!ok)
                json_object_del(row, "ended");
        }
    ctl_table(ctl, rows, columns, BK_COUNT_OF(columns),
              "Nobody tried to sign in with this address.");
    json_decref(rows);
    return CTL_OK;
}
