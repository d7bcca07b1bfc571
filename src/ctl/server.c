/* SPDX-License-Identifier: Apache-2.0 */
/* Domains, organisations, policies, relations, certificates, and the server itself. */
#include "base/cleanup.h"
#include "base/text.h"
#include "ctl/ctl_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Asks, and says what was done: the JSON, or the sentence with the first argument in it. */
static int change(struct ctl *ctl, json_t *args, const char *sentence)
{
    json_t *result;
    int r = ctl_call(ctl, ctl->command->op, args, &result);
    if (r != CTL_OK)
        return r;
    if (ctl->json)
        ctl_print_json(ctl, result);
    else
        fprintf(ctl->out, "%s %s\n", ctl_word(ctl, 0), sentence);
    json_decref(result);
    return CTL_OK;
}

static json_t *args_with(const struct ctl *ctl, const char *key)
{
    json_t *args = ctl_args(ctl);
    json_object_set_new(args, key, json_string(ctl_word(ctl, 0)));
    return args;
}

static int list(struct ctl *ctl, json_t *args, const struct ctl_column *columns, size_t n,
                const char *none)
{
    json_t *rows;
    int r = ctl_call(ctl, ctl->command->op, args, &rows);
    if (r != CTL_OK)
        return r;
    ctl_table(ctl, rows, columns, n, none);
    json_decref(rows);
    return CTL_OK;
}

/* ---- domains and organisations ---- */

int ctl_domain_add(struct ctl *ctl)
{
    return change(
        ctl, args_with(ctl, "domain"),
        "is served. The server's certificate needs its names too: beckonctl certificate server");
}

int ctl_domain_remove(struct ctl *ctl)
{
    return change(ctl, args_with(ctl, "domain"), "is served no longer.");
}

int ctl_domain_list(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        { "DOMAIN", "domain", CTL_TEXT, 0 },
        { "ORGANISATION", "tenant", CTL_TEXT, 0 },
    };
    return list(ctl, NULL, columns, BK_COUNT_OF(columns),
                "No domain is served: beckonctl domain add DOMAIN");
}

int ctl_tenant_list(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        { "ORGANISATION", "name", CTL_TEXT, 16 },
        { "STATE", "state", CTL_TEXT, 0 },
        { "PLAN", "plan", CTL_TEXT, 0 },
        { "ENDS", "ends", CTL_DATE, 0 },
        { "GRACE DAYS", "grace_days", CTL_NUMBER, 0 },
    };
    return list(ctl, NULL, columns, BK_COUNT_OF(columns), "There are none.");
}

int ctl_tenant_set(struct ctl *ctl)
{
    int64_t days = -1;
    bool suspend = ctl_option(ctl, "suspend"), resume = ctl_option(ctl, "resume");
    int r = ctl_number(ctl, "grace-days", 0, 36500, &days);
    if (r != CTL_OK)
        return r;
    if (suspend && resume)
        return ctl_fail(ctl, CTL_USAGE, "--suspend or --resume, not both");
    json_t *args = args_with(ctl, "name");
    if (suspend || resume)
        json_object_set_new(args, "state", json_string(suspend ? "suspended" : "active"));
    if (days >= 0)
        json_object_set_new(args, "grace_days", json_integer(days));
    return change(ctl, args, suspend ? "is suspended: nobody of it may sign in." : "was changed.");
}

/* ---- policies ---- */

int ctl_policy_list(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        { "POLICY", "name", CTL_TEXT, 0 },
        { "VALUE", "value", CTL_TEXT, 0 },
        { "FROM", "origin", CTL_TEXT, 0 },
        { "WHAT IT IS", "help", CTL_TEXT, 20 },
    };
    return list(ctl, ctl_args(ctl), columns, BK_COUNT_OF(columns), "There are none.");
}

int ctl_policy_set(struct ctl *ctl)
{
    const char *site = ctl_option(ctl, "site"), *user = ctl_option(ctl, "policy");
    const char *value = ctl_word(ctl, 1);
    if (site && user)
        return ctl_fail(ctl, CTL_USAGE, "--site or --policy, not both");
    json_t *args = args_with(ctl, "name");
    json_object_set_new(args, "scope", json_string(site ? "site" : user ? "user" : "global"));
    if (site || user)
        json_object_set_new(args, "of", json_string(site ? site : user));
    if (value)
        json_object_set_new(args, "value", json_string(value));
    return change(ctl, args, value ? "was set." : "was unset.");
}

/* ---- relations ---- */

static const struct {
    const char *name;
    int level;
} levels[] = {
    { "none", 0 },        { "external", 100 }, { "colleague", 200 },
    { "workgroup", 300 }, { "family", 400 },   { "blocked", 32000 },
};

static const char *level_name(int64_t level)
{
    for (size_t i = 0; i < BK_COUNT_OF(levels); i++)
        if (levels[i].level == level)
            return levels[i].name;
    return "?";
}

int ctl_relation_list(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        { "OTHER", "subject", CTL_TEXT, 20 },
        { "LEVEL", "level", CTL_NUMBER, 0 },
        { "RELATION", "relation", CTL_TEXT, 0 },
    };
    size_t i;
    json_t *rows, *row;
    int r = ctl_call(ctl, "relation.list", args_with(ctl, "address"), &rows);
    if (r != CTL_OK)
        return r;
    json_array_foreach(rows, i, row) json_object_set_new(
        row, "relation",
        json_string(level_name(json_integer_value(json_object_get(row, "level")))));
    ctl_table(ctl, rows, columns, BK_COUNT_OF(columns), "None: everybody is as policy has it.");
    json_decref(rows);
    return CTL_OK;
}

int ctl_relation_set(struct ctl *ctl)
{
    const char *other = ctl_word(ctl, 1), *text = ctl_word(ctl, 2);
    bool block = !strcmp(ctl->command->name, "relation block");
    int level = block ? 32000 : 0;
    size_t i = 0;
    uint64_t number;
    if (text) {
        bool is_number = bk_view_to_u64(bk_view_of_str(text), 32000, &number) == 0;
        while (i < BK_COUNT_OF(levels) && strcmp(levels[i].name, text) &&
               !(is_number && (uint64_t)levels[i].level == number))
            i++;
        if (i == BK_COUNT_OF(levels))
            return ctl_fail(ctl, CTL_USAGE,
                            "\"%s\" is no relation: family, workgroup, colleague, external, "
                            "blocked or none",
                            text);
        level = levels[i].level;
    }
    json_t *result, *args = args_with(ctl, "address");
    json_object_set_new(args, "subject", json_string(other));
    json_object_set_new(args, "level", json_integer(level));
    int r = ctl_call(ctl, "relation.set", args, &result);
    if (r != CTL_OK)
        return r;
    if (ctl->json)
        ctl_print_json(ctl, result);
    else if (level)
        fprintf(ctl->out, "For %s, %s is %s.\n", ctl_word(ctl, 0), other, level_name(level));
    else
        fprintf(ctl->out, "For %s, %s is as policy has it.\n", ctl_word(ctl, 0), other);
    json_decref(result);
    return CTL_OK;
}

/* ---- certificates ---- */

int ctl_certificate_list(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        { "SERIAL", "serial", CTL_TEXT, 0 },   { "DEVICE", "device", CTL_TEXT, 10 },
        { "ISSUED", "issued", CTL_TIME, 0 },   { "GOOD UNTIL", "not_after", CTL_TIME, 0 },
        { "REVOKED", "revoked", CTL_TIME, 0 }, { "BY", "revoked_by", CTL_TEXT, 8 },
        { "WHY", "why", CTL_TEXT, 10 },
    };
    return list(ctl, args_with(ctl, "address"), columns, BK_COUNT_OF(columns), "There are none.");
}

int ctl_certificate_revoke(struct ctl *ctl)
{
    bool address = strchr(ctl_word(ctl, 0), '@') != NULL;
    return change(ctl, args_with(ctl, address ? "address" : "serial"),
                  address ? "has no valid certificate any more." : "was revoked.");
}

int ctl_authority_show(struct ctl *ctl)
{
    json_t *result;
    int r = ctl_call(ctl, "authority.show", NULL, &result);
    if (r != CTL_OK)
        return r;
    if (ctl->json)
        ctl_print_json(ctl, result);
    else
        fputs(json_string_value(json_object_get(result, "pem")), ctl->out);
    json_decref(result);
    return CTL_OK;
}

/* A file replaced, what was there kept beside it; owner and mode stay. */
static int replace_kept(struct ctl *ctl, const char *path, const char *content, mode_t mode)
{
    BK_AUTO_FREE char *old = NULL;
    struct stat at;
    bool had = stat(path, &at) == 0;
    if (asprintf(&old, "%s.old", path) < 0)
        return ctl_fail(ctl, CTL_FAILED, "out of memory");
    unlink(old);
    if (had && link(path, old) < 0)
        return ctl_fail(ctl, CTL_FAILED, "%s cannot be kept as %s: %s", path, old, strerror(errno));
    int r = bk_file_replace(path, bk_view_of_str(content), had ? at.st_mode & 07777 : mode);
    if (r == 0 && had && geteuid() == 0 && lchown(path, at.st_uid, at.st_gid) < 0)
        r = -errno;
    return r == 0 ? CTL_OK
                  : ctl_fail(ctl, CTL_FAILED, "%s cannot be written: %s", path, strerror(-r));
}

static void add_name(json_t *names, const char *format, const char *domain)
{
    char name[300];
    size_t i;
    json_t *known;
    snprintf(name, sizeof name, format, domain);
    bk_text_lower(name, strlen(name));
    json_array_foreach(names, i, known) if (!strcmp(json_string_value(known), name)) return;
    json_array_append_new(names, json_string(name));
}

int ctl_certificate_server(struct ctl *ctl)
{
    static const char *const in_domain[] = {
        "%s",
        "sip.%s",
        "sipinternal.%s",
        "sipexternal.%s",
        "lyncdiscover.%s",
        "lyncdiscoverinternal.%s",
    };
    json_t *domains, *row, *result, *names = json_array();
    size_t i;
    int r = ctl_call(ctl, "domain.list", NULL, &domains);
    if (r == CTL_OK) {
        add_name(names, "%s", ctl->settings.name);
        json_array_foreach(domains, i, row) for (size_t k = 0; k < BK_COUNT_OF(in_domain); k++)
            add_name(names, in_domain[k], json_string_value(json_object_get(row, "domain")));
        for (i = 0; i < ctl->n_words; i++)
            add_name(names, "%s", ctl->words[i]);
        json_decref(domains);
        r = ctl_call(ctl, "authority.certify", json_pack("{s:O}", "names", names), &result);
    }
    if (r != CTL_OK) {
        json_decref(names);
        return r;
    }
    r = replace_kept(ctl, ctl->settings.key, json_string_value(json_object_get(result, "key")),
                     0600);
    if (r == CTL_OK)
        r = replace_kept(ctl, ctl->settings.certificate,
                         json_string_value(json_object_get(result, "certificate")), 0644);
    json_decref(result);
    if (r == CTL_OK && ctl->json) {
        json_t *j = json_pack("{s:s, s:s, s:O}", "certificate", ctl->settings.certificate, "key",
                              ctl->settings.key, "names", names);
        if (j)
            ctl_print_json(ctl, j);
        json_decref(j);
    } else if (r == CTL_OK) {
        fprintf(ctl->out, "%s is new, for these names:\n", ctl->settings.certificate);
        json_array_foreach(names, i, row) fprintf(ctl->out, "  %s\n", json_string_value(row));
        fputs("The old one and its key are beside it. A running server takes it at SIGHUP:\n"
              "systemctl reload beckond\n",
              ctl->out);
    }
    json_decref(names);
    return r;
}

/* ---- the server ---- */

int ctl_status(struct ctl *ctl)
{
    static const struct ctl_column fields[] = {
        { "Name", "name", CTL_TEXT, 0 },
        { "Version", "version", CTL_TEXT, 0 },
        { "Started", "started", CTL_TIME, 0 },
        { "Services", "services", CTL_TEXT, 0 },
        { "TLS port", "tls_port", CTL_NUMBER, 0 },
        { "Store", "store", CTL_TEXT, 0 },
        { "Connections", "connections", CTL_NUMBER, 0 },
        { "Signed in", "endpoints", CTL_NUMBER, 0 },
        { "Subscriptions", "subscriptions", CTL_NUMBER, 0 },
        { "Sign-ins", "signins", CTL_NUMBER, 0 },
        { "Refusals", "refusals", CTL_NUMBER, 0 },
        { "Messages delivered", "messages_delivered", CTL_NUMBER, 0 },
        { "Messages stored", "messages_stored", CTL_NUMBER, 0 },
        { "Commits", "commits", CTL_NUMBER, 0 },
        { "Failed commits", "failed_commits", CTL_NUMBER, 0 },
    };
    bool runs = false;
    json_t *result;
    int r = ctl_server_runs(ctl, &runs);
    if (r == CTL_OK)
        r = ctl_call(ctl, "status", NULL, &result);
    if (r != CTL_OK)
        return r;
    if (ctl->json) {
        ctl_print_json(ctl, result);
    } else {
        fprintf(ctl->out, "The server %s.\n\n", runs ? "runs" : "does not run");
        if (!runs) {
            json_object_del(result, "commits");
            json_object_del(result, "failed_commits");
        }
        ctl_fields(ctl, result, fields, BK_COUNT_OF(fields));
    }
    json_decref(result);
    return CTL_OK;
}

int ctl_audit(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        { "AT", "at", CTL_TIME, 0 },
        { "WHO", "actor", CTL_TEXT, 0 },
        { "WHAT", "what", CTL_TEXT, 0 },
        { "ON", "target", CTL_TEXT, 16 },
    };
    return list(ctl, NULL, columns, BK_COUNT_OF(columns), "Nothing was changed yet.");
}

int ctl_records(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        { "RECORD", "id", CTL_TEXT, 0 },
        { "CATEGORY", "category", CTL_TEXT, 0 },
        { "ID", "diagnostics", CTL_NUMBER, 0 },
        { "NAME", "slug", CTL_TEXT, 0 },
        { "WHAT THE PERSON IS TOLD", "user_text", CTL_TEXT, 20 },
    };
    return list(ctl, NULL, columns, BK_COUNT_OF(columns), "There are none.");
}

int ctl_backup(struct ctl *ctl)
{
    const char *file = ctl_word(ctl, 0);
    BK_AUTO_FREE char *here = file[0] == '/' ? NULL : getcwd(NULL, 0);
    BK_AUTO_FREE char *whole = NULL;
    if (asprintf(&whole, "%s%s%s", here ? here : "", here ? "/" : "", file) < 0) {
        whole = NULL;
        return ctl_fail(ctl, CTL_FAILED, "out of memory");
    }
    json_t *result;
    int r = ctl_call(ctl, "backup", json_pack("{s:s}", "file", whole), &result);
    if (r != CTL_OK)
        return r;
    if (ctl->json)
        ctl_print_json(ctl, result);
    else
        fprintf(ctl->out, "%s holds a copy of the store, secrets included.\n", whole);
    json_decref(result);
    return CTL_OK;
}

/* ---- restore ---- */

/* A whole copy under another name, on the disk before it is used. */
static int copy_file(const char *from, const char *to)
{
    char bytes[65536];
    ssize_t n;
    int r = 0, in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return -errno;
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        r = -errno;
    while (r == 0 && (n = read(in, bytes, sizeof bytes)) != 0) {
        if (n < 0 && errno != EINTR)
            r = -errno;
        for (ssize_t done = 0, w; r == 0 && done < n; done += w)
            if ((w = write(out, bytes + done, (size_t)(n - done))) < 0) {
                r = errno == EINTR ? 0 : -errno;
                w = 0;
            }
    }
    if (r == 0 && fsync(out) < 0)
        r = -errno;
    close(in);
    if (out >= 0)
        close(out);
    return r;
}

/* Opens a store to see that it is one, whole, and ours: every page is read. */
static int check_store(struct ctl *ctl, const char *path, const char *name)
{
    struct bk_store *store;
    struct bk_log log = { .level = BK_LOG_ERROR, .to = ctl->err };
    struct bk_store_config config = { .path = path, .clock = &bk_clock_system, .log = &log };
    const char *why = NULL;
    int r = bk_store_open(&config, &store, &why);
    if (r < 0)
        return ctl_fail(ctl, CTL_FAILED, "%s is no whole store (%s)", name,
                        why ? why : strerror(-r));
    r = bk_store_check(store, &why);
    if (r < 0)
        r = ctl_fail(ctl, CTL_FAILED, "%s: %s", name, why ? why : strerror(-r));
    else
        r = CTL_OK;
    bk_store_close(store);
    return r;
}

/* That nobody has the store that is there. A damaged one is what restoring is for. */
static int check_free(struct ctl *ctl, const char *path)
{
    struct bk_store *store;
    struct bk_store_config config = { .path = path, .clock = &bk_clock_system };
    int r = bk_store_open(&config, &store, NULL);
    if (r == -EBUSY)
        return ctl_fail(ctl, CTL_FAILED, "%s is in use: stop the server first", path);
    if (r == 0)
        bk_store_close(store); /* what was in its log is in the file now */
    return CTL_OK;
}

static void drop_beside(const char *path)
{
    static const char *const tails[] = { "-wal", "-shm", ".lock" };
    for (size_t i = 0; i < BK_COUNT_OF(tails); i++) {
        BK_AUTO_FREE char *file = NULL;
        if (asprintf(&file, "%s%s", path, tails[i]) > 0)
            unlink(file);
    }
}

/* The old store aside, then the new one in its place: at no moment is there none of both. */
static int swap(struct ctl *ctl, const char *fresh, const char *store, const char *aside, bool had)
{
    struct stat old;
    if (had && stat(store, &old) == 0 && geteuid() == 0 &&
        lchown(fresh, old.st_uid, old.st_gid) < 0)
        return ctl_fail(ctl, CTL_FAILED, "%s: %s", fresh, strerror(errno));
    if (had && link(store, aside) < 0)
        return ctl_fail(ctl, CTL_FAILED, "%s cannot be kept as %s: %s", store, aside,
                        strerror(errno));
    BK_AUTO_FREE char *log = NULL;
    BK_AUTO_FREE char *log_aside = NULL;
    if (had && asprintf(&log, "%s-wal", store) > 0 && asprintf(&log_aside, "%s-wal", aside) > 0 &&
        rename(log, log_aside) < 0 && errno != ENOENT)
        return ctl_fail(ctl, CTL_FAILED, "%s: %s", log, strerror(errno));
    if (rename(fresh, store) < 0)
        return ctl_fail(ctl, CTL_FAILED, "%s: %s", store, strerror(errno));
    return CTL_OK;
}

int ctl_restore(struct ctl *ctl)
{
    BK_AUTO_FREE char *fresh = NULL;
    BK_AUTO_FREE char *aside = NULL;
    char when[32];
    time_t now = time(NULL);
    struct tm local;
    int r = ctl_load_settings(ctl);
    if (r != CTL_OK)
        return r;
    const char *store = ctl->settings.store;
    bool had = access(store, F_OK) == 0;
    strftime(when, sizeof when, "%Y%m%d-%H%M%S", localtime_r(&now, &local));
    if (asprintf(&fresh, "%s.restoring", store) < 0 || asprintf(&aside, "%s.%s", store, when) < 0)
        return ctl_fail(ctl, CTL_FAILED, "out of memory");
    if (had && !ctl_option(ctl, "force"))
        return ctl_fail(ctl, CTL_FAILED, "%s is there: --force keeps it as %s and restores", store,
                        aside);
    if (had) {
        r = check_free(ctl, store);
        if (r != CTL_OK)
            return r;
    }
    unlink(fresh);
    r = copy_file(ctl_word(ctl, 0), fresh);
    if (r < 0)
        return ctl_fail(ctl, CTL_FAILED, "%s: %s", ctl_word(ctl, 0), strerror(-r));
    r = check_store(ctl, fresh, ctl_word(ctl, 0));
    drop_beside(fresh);
    if (r == CTL_OK)
        r = swap(ctl, fresh, store, aside, had);
    if (r != CTL_OK) {
        unlink(fresh);
        return r;
    }
    drop_beside(store);
    if (ctl->json) {
        json_t *j = json_pack("{s:s, s:s?}", "store", store, "kept", had ? aside : NULL);
        if (j)
            ctl_print_json(ctl, j);
        json_decref(j);
    } else {
        fprintf(ctl->out, "%s holds what %s held.\n", store, ctl_word(ctl, 0));
        if (had)
            fprintf(ctl->out, "What it held before is in %s.\n", aside);
    }
    return CTL_OK;
}
