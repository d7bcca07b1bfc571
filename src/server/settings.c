/* SPDX-License-Identifier: Apache-2.0 */
#include "server/settings.h"

#include "base/cleanup.h"

#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <stdlib.h>

enum kind {
    TEXT,
    NUMBER, /* int64_t */
    LIMIT,  /* int */
    SWITCH,
};

#define IN(field) offsetof(struct bk_settings, field)

/* Section, key, kind, place, default, range, sentence. */
static const struct row {
    const char *section, *key;
    enum kind kind;
    size_t at;
    const char *fallback;
    int64_t min, max;
    const char *help;
} rows[] = {
    /* clang-format off */
    { "server", "name", TEXT, IN(name), "localhost", 0, 0, "Host name of this server, as its certificate has it." },
    { "server", "user", TEXT, IN(user), "", 0, 0, "System user to become once the ports are bound; empty: stay." },
    { "server", "shards", NUMBER, IN(shards), "1", 1, 64, "Shards that users are spread over; one thread drives them all." },
    { "server", "public-url", TEXT, IN(public_url), "", 0, 0, "https://host:port under which clients reach the services; empty: made from name and port." },
    { "server", "advertise", TEXT, IN(advertise), "", 0, 0, "host:port of SIP over TLS that discovery names; empty: name and port of listen.tls." },
    { "server", "own-networks", TEXT, IN(own_networks), "", 0, 0, "Networks that count as own, as 10.0.0.0/8,2001:db8::/32; empty: loopback and private ranges." },
    { "server", "admin-socket", TEXT, IN(admin_socket), "/run/beckon/admin", 0, 0, "Socket on which beckonctl speaks to the running server." },
    { "listen", "tls", TEXT, IN(tls), "[::]:5061", 0, 0, "SIP over TLS, and HTTPS on the same port; addresses with ports, separated by commas. [::] is IPv4, too." },
    { "listen", "https", TEXT, IN(https), "", 0, 0, "Further addresses for HTTPS (and SIP over TLS, told apart by what comes first)." },
    { "listen", "https-ask", TEXT, IN(https_ask), "", 0, 0, "HTTPS that always asks for a client certificate, for programs that cannot set ALPN." },
    { "listen", "http", TEXT, IN(http), "", 0, 0, "Discovery documents over plain HTTP, as [::]:80, for Lync-compatible clients, which ask there as well; nothing else is answered. Off where empty." },
    { "listen", "tcp", TEXT, IN(tcp), "", 0, 0, "SIP over plain TCP; off where empty." },
    { "listen", "udp", TEXT, IN(udp), "", 0, 0, "SIP over UDP; off where empty." },
    { "tls", "certificate", TEXT, IN(certificate), "/etc/beckon/server.crt", 0, 0, "Certificate chain, PEM, own certificate first. Read again on SIGHUP." },
    { "tls", "key", TEXT, IN(key), "/etc/beckon/server.key", 0, 0, "Its private key, PEM." },
    { "tls", "dsk-min", TEXT, IN(dsk_min), "1.0", 0, 0, "Oldest TLS of the handshakes that Lync-compatible clients carry in SIP (TLS-DSK): 1.0, 1.1 or 1.2. They protect no data; those clients know 1.0 alone." },
    { "tls", "dsk-max", TEXT, IN(dsk_max), "1.2", 0, 0, "Newest TLS of those handshakes." },
    { "sign-in", "beckon", SWITCH, IN(beckon_road), "yes", 0, 0, "Beckon's own way in: the sign-in service over HTTPS, then the personal certificate on the connection. Where it is off, Beckon's client signs in as Lync-compatible clients do." },
    { "sign-in", "tls-dsk", SWITCH, IN(dsk_road), "yes", 0, 0, "Web tickets, certificates for them, and TLS-DSK in REGISTER: how Lync-compatible clients sign in by default." },
    { "store", "path", TEXT, IN(store), "/var/lib/beckon/beckon.db", 0, 0, "Database file." },
    { "log", "level", TEXT, IN(log_level), "info", 0, 0, "error, warning, notice, info or debug." },
    { "log", "json", SWITCH, IN(log_json), "no", 0, 0, "One JSON object a line." },
    { "password", "workers", NUMBER, IN(hash_workers), "1", 1, 16, "Threads that check passwords." },
    { "password", "queue", NUMBER, IN(hash_queue), "256", 1, 100000, "Checks that may wait; over it sign-in answers 503." },
    { "limits", "connections-per-ip", NUMBER, IN(connections_per_ip), "500", 1, 1000000, "Connections of one address outside the own networks." },
    { "limits", "strangers-per-ip", NUMBER, IN(strangers_per_ip), "20", 1, 1000000, "Connections of one address on which nobody signed in yet." },
    { "limits", "new-per-ip", NUMBER, IN(new_per_ip_s), "20", 1, 1000000, "New connections of one address a second." },
    { "limits", "own-strangers-per-ip", NUMBER, IN(own_strangers_per_ip), "2000", 1, 1000000, "strangers-per-ip within the own networks." },
    { "limits", "own-new-per-ip", NUMBER, IN(own_new_per_ip_s), "500", 1, 1000000, "new-per-ip within the own networks." },
    { "limits", "handshake-ms", NUMBER, IN(handshake_ms), "5000", 100, 600000, "Time for a TLS handshake." },
    { "limits", "first-request-ms", NUMBER, IN(first_request_ms), "10000", 100, 600000, "Time for the first complete request." },
    { "limits", "unfinished-message-ms", NUMBER, IN(torn_ms), "10000", 100, 600000, "Time for a message to arrive whole." },
    { "limits", "out-queue", NUMBER, IN(out_queue), "1048576", 65536, 1 << 30, "Bytes that may wait for one connection." },
    { "limits", "udp-peers", NUMBER, IN(udp_peers), "10000", 1, 1000000, "Addresses over UDP that are kept; who signed in is never pushed out by others." },
    { "limits", "memory", NUMBER, IN(memory_max), "0", 0, INT64_MAX, "Bytes of memory to stay under; 0: none." },
    { "limits", "unauthenticated-message", LIMIT, IN(limits.unauthenticated_message_max), "32768", 1024, 262144, "Bytes of a message before sign-in." },
    { "limits", "unauthenticated-body", LIMIT, IN(limits.unauthenticated_body_max), "4096", 0, 262144, "Bytes of a body before sign-in." },
    { "limits", "message-body", LIMIT, IN(limits.message_body_max), "20480", 256, 262144, "Bytes of an instant message." },
    { "limits", "offline-bytes", LIMIT, IN(limits.offline_bytes_max), "5242880", 0, 1 << 30, "Bytes of messages kept for one person." },
    { "limits", "requests-burst", LIMIT, IN(limits.requests_burst), "1000", 1, 1000000000, "Requests at once on a signed-in connection." },
    { "limits", "requests-rate", LIMIT, IN(limits.requests_per_s), "50", 1, 1000000, "The same, sustained, a second." },
    { "limits", "stranger-requests-burst", LIMIT, IN(limits.requests_burst_stranger), "20", 1, 1000000, "Requests at once before sign-in." },
    { "limits", "stranger-requests-rate", LIMIT, IN(limits.requests_per_s_stranger), "5", 1, 1000000, "The same, sustained, a second." },
    { "limits", "unauthenticated-life-ms", LIMIT, IN(limits.unauthenticated_life_ms), "32000", 1000, 86400000, "Life of a connection on which nobody signs in." },
    { "limits", "idle-ms", LIMIT, IN(limits.idle_ms), "120000", 1000, 86400000, "Idle life of a connection without sign-in." },
    { "limits", "subscriptions", LIMIT, IN(limits.subscriptions_per_endpoint), "1200", 1, 1000000, "Subscriptions of one endpoint." },
    { "limits", "pending", LIMIT, IN(limits.pending_per_link), "1200", 1, 1000000, "Unanswered requests of one connection." },
    { "limits", "pending-bytes", LIMIT, IN(limits.pending_bytes_per_link), "4194304", 262144, 1 << 30, "Bytes of the unanswered requests of one connection." },
    { "limits", "pending-bytes-total", LIMIT, IN(limits.pending_bytes_total), "268435456", 1048576, INT_MAX, "Bytes of the unanswered requests of all connections." },
    { "limits", "forks", LIMIT, IN(limits.forks_max), "10", 1, 10, "Endpoints that one request goes to." },
    { "limits", "message-wait-ms", LIMIT, IN(limits.message_wait_ms), "5000", 100, 30000, "Patience with an endpoint before a message is stored." },
    { "limits", "presence-gap-ms", LIMIT, IN(limits.presence_gap_ms), "300", 0, 60000, "Least time between two rounds of notifications about one person." },
    { "limits", "promised-silence-ms", LIMIT, IN(limits.promised_silence_ms), "150000", 1000, 3600000, "Silence after which an endpoint that promised keep-alives is dead." },
    /* clang-format on */
};

struct parse {
    struct bk_settings *settings;
    FILE *file;
    char *text; /* of the line at hand, as getline gave it */
    size_t room;
    int line;
    char *why; /* the first fault, and the line it is in */
    int why_line;
};

static void fault(struct parse *p, const char *format, const char *a, const char *b)
{
    if (p->why)
        return;
    p->why_line = p->line;
    if (asprintf(&p->why, format, a, b) < 0)
        p->why = NULL;
}

/* For ini_parse_stream, shaped like fgets. A line that cannot be taken whole ends the reading, with its reason kept. */
static char *line_read(char *ret, int size, void *user)
{
    struct parse *p = user;
    ssize_t len = getline(&p->text, &p->room, p->file);
    if (len < 0)
        return NULL;
    p->line++;
    size_t end = (size_t)len;
    while (end && (p->text[end - 1] == '\n' || p->text[end - 1] == '\r'))
        end--;
    if (end + 2 > (size_t)size) {
        fault(p, "the line is too long%s%s", "", "");
        return NULL;
    }
    for (size_t i = 0; i < end; i++) {
        if (((unsigned char)p->text[i] < ' ' && p->text[i] != '\t') || p->text[i] == 0x7f) {
            fault(p, "a control byte stands in the line%s%s", "", "");
            return NULL;
        }
    }
    /* inih would hang it onto the value above, of which only this part would then count. */
    if (end && (p->text[0] == ' ' || p->text[0] == '\t') && p->text[strspn(p->text, " \t\r\n")] &&
        !strchr(";#", p->text[strspn(p->text, " \t")])) {
        fault(p, "the line begins with a blank%s%s", "", "");
        return NULL;
    }
    memcpy(ret, p->text, end);
    memcpy(ret + end, "\n", 2);
    return ret;
}

static bool set(const struct row *row, const char *value, struct parse *p)
{
    char *at = (char *)p->settings + row->at;
    if (row->kind == TEXT) {
        char *copy = strdup(value);
        if (!copy)
            return false;
        free(*(char **)(void *)at);
        *(char **)(void *)at = copy;
        return true;
    }
    if (row->kind == SWITCH) {
        bool on = !strcmp(value, "yes") || !strcmp(value, "on") || !strcmp(value, "true") ||
                  !strcmp(value, "1");
        bool off = !strcmp(value, "no") || !strcmp(value, "off") || !strcmp(value, "false") ||
                   !strcmp(value, "0");
        if (!on && !off)
            fault(p, "%s is yes or no, not \"%s\"", row->key, value);
        *(bool *)at = on;
        return on || off;
    }
    uint64_t n;
    if (bk_view_to_u64(bk_view_of_str(value), INT64_MAX, &n) < 0 || (int64_t)n < row->min ||
        (int64_t)n > row->max) {
        char range[80];
        snprintf(range, sizeof range, "a number from %lld to %lld", (long long)row->min,
                 (long long)row->max);
        fault(p, "%s must be %s", row->key, range);
        return false;
    }
    if (row->kind == LIMIT)
        *(int *)(void *)at = (int)n;
    else
        *(int64_t *)(void *)at = (int64_t)n;
    return true;
}

static int on_line(void *user, const char *section, const char *key, const char *value)
{
    struct parse *p = user;
    bool section_known = false;
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        if (strcmp(rows[i].section, section))
            continue;
        section_known = true;
        if (!strcmp(rows[i].key, key))
            return set(&rows[i], value, p);
    }
    if (section_known)
        fault(p, "no key \"%s\" in [%s]", key, section);
    else
        fault(p, "no section [%s]%s", section, "");
    return 0;
}

int bk_settings_load(const char *path, struct bk_settings *ret, char **ret_why)
{
    struct parse p = { .settings = ret };
    *ret = (struct bk_settings){ .limits = bk_core_limits_default };
    *ret_why = NULL;
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++)
        set(&rows[i], rows[i].fallback, &p);
    p.file = fopen(path, "re");
    int line = p.file ? ini_parse_stream(line_read, &p, on_line, &p) : -1;
    int err = !p.file || ferror(p.file) ? errno : 0;
    if (p.file)
        fclose(p.file);
    free(p.text);
    if (p.why && (line <= 0 || p.why_line <= line))
        line = p.why_line;
    else if (p.why) {
        free(p.why);
        p.why = NULL;
    }
    if (line == 0 && !err)
        return 0;
    if (err) {
        if (asprintf(ret_why, "%s: %s", path, strerror(err)) < 0)
            *ret_why = NULL;
    } else if (asprintf(ret_why, "%s:%d: %s", path, line,
                        p.why ? p.why : "this line is neither [section] nor key = value") < 0) {
        *ret_why = NULL;
    }
    free(p.why);
    bk_settings_finish(ret);
    return err ? -err : -EINVAL;
}

void bk_settings_finish(struct bk_settings *settings)
{
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        if (rows[i].kind == TEXT)
            free(*(char **)(void *)((char *)settings + rows[i].at));
    }
    *settings = (struct bk_settings){ 0 };
}

void bk_settings_help(FILE *to)
{
    const char *section = "";
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        if (strcmp(section, rows[i].section))
            fprintf(to, "%s[%s]\n", i ? "\n" : "", section = rows[i].section);
        fprintf(to, "%s = %s\n    %s", rows[i].key, rows[i].fallback, rows[i].help);
        if (rows[i].kind == NUMBER || rows[i].kind == LIMIT)
            fprintf(to, " (%lld to %lld)", (long long)rows[i].min, (long long)rows[i].max);
        fputc('\n', to);
    }
}

void bk_settings_write(FILE *to, const struct bk_settings_value *values, size_t n)
{
    const char *section = "";
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        const struct row *row = &rows[i];
        const char *value = NULL;
        char name[64];
        snprintf(name, sizeof name, "%s.%s", row->section, row->key);
        for (size_t j = 0; j < n; j++)
            if (!strcmp(values[j].section_key, name))
                value = values[j].value;
        if (strcmp(section, row->section))
            fprintf(to, "%s[%s]\n", i ? "\n" : "", section = row->section);
        fprintf(to, "; %s\n%s%s = %s\n", row->help, value ? "" : ";", row->key,
                value ? value : row->fallback);
    }
}
