/* SPDX-License-Identifier: Apache-2.0 */
/* beckonctl init: from the name of a domain to everything a server needs to start. */
#include "base/cleanup.h"
#include "base/text.h"
#include "ctl/ctl_private.h"
#include "server/authority.h"
#include "sip/uri.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    NAMES_MAX = 16,
    VALUES_MAX = CTL_GIVEN_MAX + 16,
    CERTIFICATE_DAYS = 825, /* as long as every client takes a certificate of a private authority */
};

static const char system_user[] = "beckon";

/* The files of one server. */
struct place {
    const char *dir; /* NULL: the system's folders */
    char *config, *store, *certificate, *key, *root, *socket;
};

struct making {
    struct ctl *ctl;
    char *domain, *host;
    struct place place;
    const struct passwd *owner; /* NULL: whoever calls */
    struct bk_settings_value values[VALUES_MAX];
    size_t n_values;
    char *texts[VALUES_MAX]; /* of values from --set */
    struct bk_view names[NAMES_MAX];
    char *name_texts[NAMES_MAX];
    size_t n_names;
    struct bk_buf root_key, root, key, certificate, config;
};

static void wipe(struct bk_buf *buf)
{
    if (buf->at)
        bk_wipe(buf->at, buf->cap);
    bk_buf_finish(buf);
}

static void making_finish(struct making *m)
{
    char *const texts[] = { m->domain,      m->host,        m->place.config,
                            m->place.store, m->place.key,   m->place.certificate,
                            m->place.root,  m->place.socket };
    for (size_t i = 0; i < BK_COUNT_OF(texts); i++)
        free(texts[i]);
    for (size_t i = 0; i < BK_COUNT_OF(m->texts); i++)
        free(m->texts[i]);
    for (size_t i = 0; i < BK_COUNT_OF(m->name_texts); i++)
        free(m->name_texts[i]);
    wipe(&m->root_key);
    wipe(&m->key);
    bk_buf_finish(&m->root);
    bk_buf_finish(&m->certificate);
    bk_buf_finish(&m->config);
}

/* ---- what is asked for ---- */

static int read_domain(struct making *m)
{
    BK_AUTO_FREE char *address = NULL;
    size_t at = 0;
    const char *why = "out of memory";
    m->domain = strdup(ctl_word(m->ctl, 0));
    if (!m->domain)
        return ctl_fail(m->ctl, CTL_FAILED, "out of memory");
    bk_text_lower(m->domain, strlen(m->domain));
    if (asprintf(&address, "a@%s", m->domain) < 0 ||
        bk_sip_address_check(bk_view_of_str(address), &at, &why) < 0)
        return ctl_fail(m->ctl, CTL_USAGE, "\"%s\" is no domain: %s at character %zu", m->domain,
                        why, at > 1 ? at - 1 : 1);
    return CTL_OK;
}

static bool is_loopback(struct bk_view address)
{
    return bk_view_starts_with(address, BK_VIEW("127.")) ||
           bk_view_starts_with(address, BK_VIEW("[::1]")) ||
           bk_view_starts_with_nocase(address, BK_VIEW("localhost:"));
}

static bool all_loopback(const char *list)
{
    struct bk_view rest = bk_view_of_str(list);
    while (rest.at)
        if (!is_loopback(bk_view_trim(bk_view_cut(&rest, ','))))
            return false;
    return list[0] != '\0';
}

static bool on_loopback(const struct making *m)
{
    const char *tls = ctl_option(m->ctl, "tls");
    return tls && all_loopback(tls);
}

static bool is_host_name(const char *name)
{
    return *name && strlen(name) <= 253 && *name != '-' && *name != '.' &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.")] == '\0';
}

static int find_host(struct making *m)
{
    char own[256] = "";
    const char *given = ctl_option(m->ctl, "name");
    int r = 0;
    if (given)
        r = (m->host = strdup(given)) ? 0 : -1;
    else if (on_loopback(m))
        r = (m->host = strdup("localhost")) ? 0 : -1;
    else if (gethostname(own, sizeof own - 1) == 0 && strchr(own, '.'))
        r = (m->host = strdup(own)) ? 0 : -1;
    else
        r = asprintf(&m->host, "sip.%s", m->domain);
    if (r < 0)
        return ctl_fail(m->ctl, CTL_FAILED, "out of memory");
    bk_text_lower(m->host, strlen(m->host));
    return is_host_name(m->host) ? CTL_OK
                                 : ctl_fail(m->ctl, CTL_USAGE, "\"%s\" is no host name", m->host);
}

static int find_places(struct making *m)
{
    struct place *p = &m->place;
    BK_AUTO_FREE char *dir = NULL;
    p->dir = ctl_option(m->ctl, "dir");
    if (p->dir && p->dir[0] != '/') {
        BK_AUTO_FREE char *here = getcwd(NULL, 0);
        if (!here || asprintf(&dir, "%s/%s", here, p->dir) < 0)
            return ctl_fail(m->ctl, CTL_FAILED, "the current folder has no path");
    } else if (p->dir && !(dir = strdup(p->dir))) {
        return ctl_fail(m->ctl, CTL_FAILED, "out of memory");
    }
    const struct {
        char **to;
        const char *folder, *name;
    } files[] = {
        { &p->config, "/etc/beckon", "beckond.conf" },
        { &p->certificate, "/etc/beckon", "server.crt" },
        { &p->key, "/etc/beckon", "server.key" },
        { &p->root, "/etc/beckon", "authority.crt" },
        { &p->store, "/var/lib/beckon", "beckon.db" },
        { &p->socket, "/run/beckon", "admin" },
    };
    for (size_t i = 0; i < BK_COUNT_OF(files); i++)
        if (asprintf(files[i].to, "%s/%s", dir ? dir : files[i].folder, files[i].name) < 0) {
            *files[i].to = NULL;
            return ctl_fail(m->ctl, CTL_FAILED, "out of memory");
        }
    if (m->ctl->config_given) {
        free(p->config);
        if (!(p->config = strdup(m->ctl->config)))
            return ctl_fail(m->ctl, CTL_FAILED, "out of memory");
    }
    return CTL_OK;
}

static const char *value_of(const struct making *m, const char *key)
{
    const char *value = NULL;
    for (size_t i = 0; i < m->n_values; i++)
        if (!strcmp(m->values[i].section_key, key))
            value = m->values[i].value;
    return value;
}

static void add_value(struct making *m, const char *key, const char *value)
{
    m->values[m->n_values++] = (struct bk_settings_value){ key, value };
}

/* A setting as the configuration file would have it, so that the parser itself judges it. */
static int check_value(struct making *m, const char *key, const char *value)
{
    struct bk_settings settings;
    char path[64];
    const char *dot = strchr(key, '.');
    BK_AUTO_FREE char *why = NULL;
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c < 0x20 || (*c == ';' && c > value && c[-1] == ' '))
            return ctl_fail(m->ctl, CTL_USAGE,
                            "the value of %s cannot stand in a line of the configuration", key);
    if (!dot || dot == key)
        return ctl_fail(m->ctl, CTL_USAGE, "a setting is written section.key=value, not \"%s\"",
                        key);
    int fd = memfd_create("setting", MFD_CLOEXEC);
    if (fd < 0)
        return ctl_fail(m->ctl, CTL_FAILED, "%s", strerror(errno));
    dprintf(fd, "[%.*s]\n%s = %s\n", (int)(dot - key), key, dot + 1, value);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int r = bk_settings_load(path, &settings, &why);
    close(fd);
    if (r == 0) {
        bk_settings_finish(&settings);
        return CTL_OK;
    }
    const char *reason = why ? strstr(why, ": ") : NULL;
    return ctl_fail(m->ctl, CTL_USAGE, "--set %s: %s", key, reason ? reason + 2 : strerror(-r));
}

static int collect_values(struct making *m)
{
    static const struct {
        const char *option, *key;
    } listens[] = { { "tls", "listen.tls" },
                    { "https", "listen.https" },
                    { "https-ask", "listen.https-ask" },
                    { "http", "listen.http" },
                    { "tcp", "listen.tcp" },
                    { "udp", "listen.udp" } };
    struct ctl *ctl = m->ctl;
    add_value(m, "server.name", m->host);
    add_value(m, "server.admin-socket", m->place.socket);
    add_value(m, "store.path", m->place.store);
    add_value(m, "tls.certificate", m->place.certificate);
    add_value(m, "tls.key", m->place.key);
    if (m->owner)
        add_value(m, "server.user", system_user);
    for (size_t i = 0; i < BK_COUNT_OF(listens); i++) {
        const char *value = ctl_option(ctl, listens[i].option);
        int r = value ? check_value(m, listens[i].key, value) : CTL_OK;
        if (r != CTL_OK)
            return r;
        if (value)
            add_value(m, listens[i].key, value);
    }
    for (size_t i = 0; i < ctl->n_given; i++) {
        if (strcmp(ctl->given[i].option->name, "set"))
            continue;
        char *key = m->texts[i] = strdup(ctl->given[i].value);
        char *equals = key ? strchr(key, '=') : NULL;
        if (!equals)
            return ctl_fail(ctl, CTL_USAGE, "a setting is written section.key=value, not \"%s\"",
                            ctl->given[i].value);
        *equals = '\0';
        int r = check_value(m, key, equals + 1);
        if (r != CTL_OK)
            return r;
        if (value_of(m, key) && strncmp(key, "listen.", 7) && strcmp(key, "server.user"))
            return ctl_fail(ctl, CTL_USAGE, "%s follows from --dir and --name", key);
        add_value(m, key, equals + 1);
    }
    struct sockaddr_un at;
    if (strlen(m->place.socket) >= sizeof at.sun_path)
        return ctl_fail(ctl, CTL_USAGE,
                        "%s is too long a path for a socket (%zu bytes at most): choose a folder "
                        "nearer to the root",
                        m->place.socket, sizeof at.sun_path - 1);
    return CTL_OK;
}

static int collect_names(struct making *m)
{
    static const char *const in_domain[] = {
        "%s",
        "sip.%s",
        "sipinternal.%s",
        "sipexternal.%s",
        "lyncdiscover.%s",
        "lyncdiscoverinternal.%s",
    };
    m->name_texts[0] = strdup(m->host);
    m->n_names = 1;
    for (size_t i = 0; i < BK_COUNT_OF(in_domain); i++)
        if (asprintf(&m->name_texts[m->n_names++], in_domain[i], m->domain) < 0)
            return ctl_fail(m->ctl, CTL_FAILED, "out of memory");
    if (on_loopback(m))
        m->name_texts[m->n_names++] = strdup("localhost");
    size_t n = 0;
    for (size_t i = 0; i < m->n_names; i++) {
        struct bk_view name = bk_view_of_str(m->name_texts[i]);
        bool known = !name.len;
        for (size_t j = 0; j < n; j++)
            known = known || bk_view_equal(m->names[j], name);
        if (!known)
            m->names[n++] = name;
    }
    m->n_names = n;
    return CTL_OK;
}

/* ---- making it ---- */

static int refuse_overwriting(struct making *m)
{
    const char *const files[] = { m->place.config, m->place.store, m->place.certificate,
                                  m->place.key, m->place.root };
    for (size_t i = 0; i < BK_COUNT_OF(files); i++)
        if (access(files[i], F_OK) == 0)
            return ctl_fail(m->ctl, CTL_FAILED,
                            "%s is already there: init makes a new server and overwrites nothing",
                            files[i]);
    return CTL_OK;
}

static int make_folder_of(struct making *m, const char *file, mode_t mode)
{
    BK_AUTO_FREE char *folder = strdup(file);
    if (!folder)
        return ctl_fail(m->ctl, CTL_FAILED, "out of memory");
    char *end = strrchr(folder, '/');
    if (!end || end == folder)
        return CTL_OK;
    *end = '\0';
    if (access(folder, F_OK) == 0)
        return CTL_OK;
    int r = make_folder_of(m, folder, 0755);
    if (r != CTL_OK)
        return r;
    if (mkdir(folder, mode) < 0 && errno != EEXIST)
        return ctl_fail(m->ctl, CTL_FAILED, "%s cannot be made: %s", folder, strerror(errno));
    if (m->owner && mode != 0755 && lchown(folder, m->owner->pw_uid, m->owner->pw_gid) < 0)
        return ctl_fail(m->ctl, CTL_FAILED, "%s cannot be given to %s: %s", folder, system_user,
                        strerror(errno));
    return CTL_OK;
}

static int make_certificates(struct making *m)
{
    struct bk_authority *authority = NULL;
    const char *why = NULL;
    int64_t now = bk_clock_real_ms(&bk_clock_system);
    int r = bk_authority_make(bk_view_of_str(m->domain), now, &m->root_key, &m->root);
    if (r == 0)
        r = bk_authority_load(bk_buf_view(&m->root_key), bk_buf_view(&m->root), &authority, &why);
    if (r == 0)
        r = bk_authority_server_certificate(authority, m->names, m->n_names, now, CERTIFICATE_DAYS,
                                            &m->key, &m->certificate);
    bk_authority_destroy(authority);
    return r == 0 ? CTL_OK
                  : ctl_fail(m->ctl, CTL_FAILED, "the certificates cannot be made: %s",
                             why ? why : strerror(-r));
}

static void keep_result(void *ctx, int result)
{
    *(int *)ctx = result;
}

static int make_store(struct making *m)
{
    struct bk_store *store;
    const char *why = NULL;
    struct bk_log log = { .level = BK_LOG_ERROR, .to = m->ctl->err };
    struct bk_store_config config = { .path = m->place.store,
                                      .clock = &bk_clock_system,
                                      .log = &log };
    struct bk_view domain = bk_view_of_str(m->domain);
    struct bk_tenant tenant = { .name = domain, .plan = BK_VIEW("standard") };
    struct bk_audit audit = { .at = bk_clock_real_ms(&bk_clock_system),
                              .actor = bk_view_of_str(ctl_actor()),
                              .what = BK_VIEW("init"),
                              .target = domain,
                              .detail = BK_VIEW("{}") };
    int r = bk_store_open(&config, &store, &why), done = -EIO;
    if (r < 0)
        return ctl_fail(m->ctl, CTL_FAILED, "%s: %s", m->place.store, why ? why : strerror(-r));
    struct bk_store_batch *batch = bk_store_batch_create();
    if (batch) {
        bk_store_put_tenant(batch, &tenant);
        bk_store_put_domain(batch, domain, domain);
        bk_store_put_secret(batch, BK_VIEW("authority.key"), bk_buf_view(&m->root_key));
        bk_store_put_secret(batch, BK_VIEW("authority.crt"), bk_buf_view(&m->root));
        bk_store_put_audit(batch, &audit);
    }
    r = bk_store_commit(store, batch, keep_result, &done);
    bk_store_pump(store);
    bk_store_close(store);
    r = r < 0 ? r : done;
    return r == 0 ? CTL_OK
                  : ctl_fail(m->ctl, CTL_FAILED, "%s cannot be written: %s", m->place.store,
                             strerror(-r));
}

static int make_config(struct making *m)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    if (!to)
        return ctl_fail(m->ctl, CTL_FAILED, "out of memory");
    fprintf(to,
            "; Configuration of beckond, made by beckonctl init %s. See beckond.conf(5).\n"
            "; Everything else is changed with beckonctl while the server runs.\n\n",
            m->domain);
    bk_settings_write(to, m->values, m->n_values);
    fclose(to);
    bk_buf_add(&m->config, text, len);
    free(text);
    return CTL_OK;
}

static int put_file(struct making *m, const char *path, const struct bk_buf *content, mode_t mode,
                    bool owners)
{
    int r = bk_file_replace(path, bk_buf_view(content), mode);
    if (r == 0 && m->owner && lchown(path, owners ? m->owner->pw_uid : 0, m->owner->pw_gid) < 0)
        r = -errno;
    return r == 0 ? CTL_OK
                  : ctl_fail(m->ctl, CTL_FAILED, "%s cannot be written: %s", path, strerror(-r));
}

static void give_store(struct making *m)
{
    static const char *const tails[] = { "", "-wal", "-shm", ".lock" };
    for (size_t i = 0; i < BK_COUNT_OF(tails); i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s%s", m->place.store, tails[i]);
        if (m->owner && lchown(path, m->owner->pw_uid, m->owner->pw_gid) < 0 && errno != ENOENT)
            ctl_fail(m->ctl, CTL_FAILED, "%s cannot be given to %s: %s", path, system_user,
                     strerror(errno));
    }
}

static int make_files(struct making *m)
{
    int r = make_folder_of(m, m->place.config, m->place.dir ? 0700 : 0755);
    if (r == CTL_OK)
        r = make_folder_of(m, m->place.store, 0700);
    if (r == CTL_OK && (m->place.dir || geteuid() == 0))
        r = make_folder_of(m, m->place.socket, 0750);
    if (r == CTL_OK)
        r = make_store(m);
    if (r == CTL_OK && chmod(m->place.store, 0600) < 0)
        r = ctl_fail(m->ctl, CTL_FAILED, "%s: %s", m->place.store, strerror(errno));
    if (r == CTL_OK)
        give_store(m);
    if (r == CTL_OK)
        r = put_file(m, m->place.key, &m->key, 0600, true);
    if (r == CTL_OK)
        r = put_file(m, m->place.certificate, &m->certificate, 0644, true);
    if (r == CTL_OK)
        r = put_file(m, m->place.root, &m->root, 0644, true);
    if (r == CTL_OK)
        r = put_file(m, m->place.config, &m->config, 0640, false);
    return r;
}

/* What a failed init left behind would only be in the way of the next one. */
static void take_back(const struct making *m)
{
    static const char *const tails[] = { "", "-wal", "-shm", ".lock" };
    const char *const files[] = { m->place.config, m->place.certificate, m->place.key,
                                  m->place.root };
    for (size_t i = 0; i < BK_COUNT_OF(files); i++)
        unlink(files[i]);
    for (size_t i = 0; i < BK_COUNT_OF(tails); i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s%s", m->place.store, tails[i]);
        unlink(path);
    }
}

static void say_what_next(struct making *m)
{
    FILE *out = m->ctl->out;
    bool own = !strcmp(m->place.config, "/etc/beckon/beckond.conf");
    const char *space = own ? "" : " --config ", *config = own ? "" : m->place.config;
    if (m->ctl->json) {
        json_t *names = json_array();
        for (size_t i = 0; i < m->n_names; i++)
            json_array_append_new(names, json_stringn(m->names[i].at, m->names[i].len));
        json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "domain", m->domain,
                              "name", m->host, "config", m->place.config, "store", m->place.store,
                              "certificate", m->place.certificate, "key", m->place.key, "authority",
                              m->place.root, "admin_socket", m->place.socket, "names", names);
        if (j)
            ctl_print_json(m->ctl, j);
        json_decref(j);
        return;
    }
    fprintf(out, "A server for %s is ready to start.\n\n", m->domain);
    const char *const files[][2] = {
        { "Configuration", m->place.config },    { "Store", m->place.store },
        { "Certificate", m->place.certificate }, { "Its key", m->place.key },
        { "Authority", m->place.root },
    };
    for (size_t i = 0; i < BK_COUNT_OF(files); i++)
        fprintf(out, "  %-15s%s\n", files[i][0], files[i][1]);
    fprintf(out, "\nNext:\n\n");
    if (own)
        fprintf(out, "  systemctl enable --now beckond\n");
    else
        fprintf(out, "  beckond --config %s\n", m->place.config);
    fprintf(out, "  beckonctl%s%s user add ann@%s --generate-password\n", space, config, m->domain);
    fprintf(out, "  beckonctl%s%s dns%*s# what the domain's zone must hold\n", space, config, 4,
            "");
    fprintf(out,
            "\nClients must trust the authority: hand them %s,\n"
            "or put a certificate of your own in the place of the server's and send it SIGHUP.\n",
            m->place.root);
}

int ctl_init(struct ctl *ctl)
{
    BK_CLEANUP(making_finish) struct making m = { .ctl = ctl };
    int r = read_domain(&m);
    if (r == CTL_OK)
        r = find_host(&m);
    if (r == CTL_OK)
        r = find_places(&m);
    if (geteuid() == 0 && !m.place.dir)
        m.owner = getpwnam(system_user);
    if (r == CTL_OK)
        r = collect_values(&m);
    if (r == CTL_OK)
        r = collect_names(&m);
    if (r == CTL_OK)
        r = refuse_overwriting(&m);
    if (r == CTL_OK)
        r = make_certificates(&m);
    if (r == CTL_OK)
        r = make_config(&m);
    if (r != CTL_OK)
        return r;
    r = make_files(&m);
    if (r != CTL_OK)
        take_back(&m);
    else
        say_what_next(&m);
    return r;
}
