/* SPDX-License-Identifier: Apache-2.0 */
/* beckonctl dns: what the zones of our domains must hold, and whether they do. */
#include "net/dns.h"
#include "base/cleanup.h"
#include "ctl/ctl_private.h"

#include <stdlib.h>
#include <strings.h>

enum { RECORDS_MAX = 256, ADDRESSES_MAX = 8, NAME_BYTES = 256, TRY_MS = 3000, TTL_S = 3600 };

static const char placeholder[] = "192.0.2.1"; /* RFC 5737: never anybody's */

struct record {
    char domain[NAME_BYTES], name[NAME_BYTES + 32];
    bool srv, tcp;   /* tcp: names the port without TLS */
    const char *why; /* who looks it up */
    /* what was found */
    const char *state; /* "right", "missing", "wrong", "there", "unanswered" */
    char found[512];
    struct zones *zones;
};

struct zones {
    struct ctl *ctl;
    struct record records[RECORDS_MAX];
    size_t n;
    struct bk_addr addresses[ADDRESSES_MAX];
    size_t n_addresses;
    uint16_t port, tcp_port; /* tcp_port 0: it does not listen there, or the kernel chose one */
    size_t pending;
};

/* ---- what must be there ---- */

static int add_address(struct zones *z, struct bk_view text, bool must)
{
    BK_AUTO_FREE char *copy = bk_view_dup(bk_view_trim(text));
    struct bk_addr addr;
    if (!copy || bk_addr_parse(copy, 0, &addr) < 0)
        return must ? ctl_fail(z->ctl, CTL_USAGE,
                               "\"%.*s\" is no address: 203.0.113.5, or 2001:db8::5",
                               BK_VIEW_ARGS(text))
                    : CTL_OK;
    if (z->n_addresses < ADDRESSES_MAX)
        z->addresses[z->n_addresses++] = addr;
    return CTL_OK;
}

/* "[::1]:5061" or "127.0.0.1:5061" taken apart. */
static struct bk_view host_of(struct bk_view listen, uint16_t *ret_port)
{
    size_t colon = listen.len;
    uint64_t port = 0;
    for (size_t i = 0; i < listen.len; i++)
        if (listen.at[i] == ':')
            colon = i;
    if (bk_view_to_u64(bk_view_skip(listen, colon + 1), 65535, &port) < 0)
        port = 0;
    *ret_port = (uint16_t)port;
    struct bk_view host = bk_view_head(listen, colon);
    if (host.len > 1 && host.at[0] == '[' && host.at[host.len - 1] == ']')
        host = bk_view_head(bk_view_skip(host, 1), host.len - 2);
    return host;
}

/* Where the server listens says which port and, unless it is everywhere, which address. */
static int find_place(struct zones *z)
{
    const struct bk_settings *s = &z->ctl->settings;
    const char *given = ctl_option(z->ctl, "address");
    struct bk_view rest = bk_view_of_str(given);
    int r = CTL_OK;
    while (r == CTL_OK && rest.at)
        r = add_address(z, bk_view_cut(&rest, ','), true);
    rest = bk_view_of_str(s->tls);
    while (rest.at && rest.len) {
        uint16_t port;
        struct bk_view host = host_of(bk_view_trim(bk_view_cut(&rest, ',')), &port);
        if (!z->port)
            z->port = port;
        if (!given && !bk_view_equal(host, BK_VIEW("0.0.0.0")) &&
            !bk_view_equal(host, BK_VIEW("::")))
            add_address(z, host, false);
    }
    host_of(bk_view_trim(bk_view_head(bk_view_of_str(s->tcp), strcspn(s->tcp, ","))), &z->tcp_port);
    if (s->advertise[0]) {
        uint16_t port;
        host_of(bk_view_of_str(s->advertise), &port);
        z->port = port ? port : z->port;
    }
    if (r == CTL_OK && !z->port) { /* the kernel chose one: only the server knows */
        json_t *status;
        r = ctl_call(z->ctl, "status", NULL, &status);
        if (r != CTL_OK)
            return r;
        z->port = (uint16_t)json_integer_value(json_object_get(status, "tls_port"));
        json_decref(status);
    }
    if (!z->port)
        z->port = 5061;
    return r;
}

static int find_records(struct zones *z)
{
    static const struct {
        const char *label;
        bool srv;
        const char *why;
        bool tcp; /* only where it listens without TLS */
    } wanted[] = {
        { "_sipinternaltls._tcp", true, "Beckon and Lync-compatible clients, inside" },
        { "_sip._tls", true, "the same, outside" },
        { "_sips._tcp", true, "standard SIP clients (RFC 3263)" },
        { "_sipinternal._tcp", true, "Lync-compatible clients set to TCP", true },
        { "_sip._tcp", true, "standard SIP clients, and Lync-compatible ones, over TCP", true },
        { "sip", false, "where the names above point" },
        { "lyncdiscover", false,
          "discovery, outside: HTTPS on 443, HTTP on 80 where listen.http has it" },
        { "lyncdiscoverinternal", false, "discovery, inside: the same" },
    };
    json_t *domains = NULL, *row;
    size_t i;
    const char *only = ctl_option(z->ctl, "domain");
    int r = ctl_call(z->ctl, "domain.list", NULL, &domains);
    if (r == CTL_OK) /* the door is open, so the settings are there */
        r = find_place(z);
    if (r != CTL_OK) {
        json_decref(domains);
        return r;
    }
    json_array_foreach(domains, i, row)
    {
        const char *domain = json_string_value(json_object_get(row, "domain"));
        if (!domain || (only && strcasecmp(only, domain)))
            continue;
        for (size_t k = 0; k < BK_COUNT_OF(wanted) && z->n < RECORDS_MAX; k++) {
            if (wanted[k].tcp && !z->tcp_port)
                continue;
            struct record *record = &z->records[z->n++];
            record->zones = z;
            record->srv = wanted[k].srv;
            record->tcp = wanted[k].tcp;
            record->why = wanted[k].why;
            snprintf(record->domain, sizeof record->domain, "%s", domain);
            snprintf(record->name, sizeof record->name, "%s.%s", wanted[k].label, domain);
        }
    }
    json_decref(domains);
    if (!z->n)
        return only ? ctl_fail(z->ctl, CTL_FAILED, "%s is not served here", only)
                    : ctl_fail(z->ctl, CTL_FAILED,
                               "no domain is served: beckonctl domain add DOMAIN");
    return CTL_OK;
}

static bool is_v6(const struct bk_addr *addr)
{
    char text[64];
    bk_addr_host_text(addr, text);
    return strchr(text, ':') != NULL;
}

static json_t *record_json(const struct record *r, const char *type, const char *value)
{
    return json_pack("{s:s, s:s, s:i, s:s, s:s, s:s}", "domain", r->domain, "name", r->name, "ttl",
                     TTL_S, "type", type, "value", value, "why", r->why);
}

/* What the zone must say for one record, as rows. */
static void expected(const struct zones *z, const struct record *r, json_t *rows)
{
    char value[NAME_BYTES + 64];
    if (r->srv) {
        snprintf(value, sizeof value, "0 0 %u sip.%s.", r->tcp ? z->tcp_port : z->port, r->domain);
        json_array_append_new(rows, record_json(r, "SRV", value));
        return;
    }
    for (size_t i = 0; i < z->n_addresses; i++) {
        bk_addr_host_text(&z->addresses[i], value);
        json_array_append_new(rows, record_json(r, is_v6(&z->addresses[i]) ? "AAAA" : "A", value));
    }
    if (!z->n_addresses)
        json_array_append_new(rows, record_json(r, "A", placeholder));
}

static int prepare(struct ctl *ctl, struct zones **ret)
{
    struct zones *z = calloc(1, sizeof *z);
    if (!z)
        return ctl_fail(ctl, CTL_FAILED, "out of memory");
    z->ctl = ctl;
    *ret = z;
    return find_records(z);
}

static bool has_port(const char *listen, uint16_t wanted)
{
    struct bk_view rest = bk_view_of_str(listen);
    while (rest.at && rest.len) {
        uint16_t port;
        host_of(bk_view_trim(bk_view_cut(&rest, ',')), &port);
        if (port == wanted)
            return true;
    }
    return false;
}

/* The names of discovery lead to usual ports only, which nothing else says. */
static void note_closed_ports(const struct zones *z)
{
    const struct bk_settings *s = &z->ctl->settings;
    if (!has_port(s->tls, 443) && !has_port(s->https, 443))
        fputs("\n; Clients ask the lyncdiscover names at port 443, where this server does not "
              "listen (listen.https);\n; unless something passes it on, they go on to the SRV "
              "records.\n",
              z->ctl->out);
}

static void print_zones(const struct zones *z)
{
    FILE *out = z->ctl->out;
    const char *domain = "";
    int widest = 0;
    for (size_t i = 0; i < z->n; i++) {
        int len = (int)strlen(z->records[i].name) + 1;
        widest = len > widest ? len : widest;
    }
    for (size_t i = 0; i < z->n; i++) {
        const struct record *r = &z->records[i];
        size_t k;
        json_t *row, *rows = json_array();
        if (strcmp(domain, r->domain))
            fprintf(out, "%s; %s\n", i ? "\n" : "", domain = r->domain);
        expected(z, r, rows);
        json_array_foreach(rows, k, row)
        {
            const char *value = json_string_value(json_object_get(row, "value"));
            fprintf(out, "%s.%*s  %d  IN  %-4s  %s%s\n", r->name, widest - (int)strlen(r->name) - 1,
                    "", TTL_S, json_string_value(json_object_get(row, "type")), value,
                    !r->srv && !z->n_addresses ? "  ; the server's address here" : "");
        }
        json_decref(rows);
    }
    if (!z->n_addresses)
        fputs("\n; The server listens everywhere: --address puts its address into these lines.\n",
              out);
    note_closed_ports(z);
}

int ctl_dns(struct ctl *ctl)
{
    struct zones *z = NULL;
    int r = prepare(ctl, &z);
    if (r == CTL_OK && ctl->json) {
        json_t *rows = json_array();
        for (size_t i = 0; i < z->n; i++)
            expected(z, &z->records[i], rows);
        ctl_print_json(ctl, rows);
        json_decref(rows);
    } else if (r == CTL_OK) {
        print_zones(z);
    }
    free(z);
    return r;
}

/* ---- what is there ---- */

static void not_found(struct record *r, enum bk_dns_result result)
{
    bool missing = result == BK_DNS_NO_NAME || result == BK_DNS_NO_DATA;
    r->state = missing ? "missing" : "unanswered";
    snprintf(r->found, sizeof r->found, "%s", bk_dns_result_text(result));
}

static void add_found(struct record *r, const char *text)
{
    size_t len = strlen(r->found);
    snprintf(r->found + len, sizeof r->found - len, "%s%s", len ? ", " : "", text);
}

static void on_srv(void *ctx, enum bk_dns_result result, const struct bk_dns_srv *records, int n)
{
    struct record *r = ctx;
    char target[NAME_BYTES + 8];
    r->zones->pending--;
    if (result != BK_DNS_FOUND || n == 0) {
        not_found(r, result == BK_DNS_FOUND ? BK_DNS_NO_DATA : result);
        return;
    }
    snprintf(target, sizeof target, "sip.%s", r->domain);
    bool all = true;
    for (int i = 0; i < n; i++) {
        char text[NAME_BYTES + 16];
        snprintf(text, sizeof text, "%s:%u", records[i].target[0] ? records[i].target : ".",
                 records[i].port);
        add_found(r, text);
        /* The server's own name will do as well as the one that the lines above would have it. */
        all = all && records[i].port == (r->tcp ? r->zones->tcp_port : r->zones->port) &&
              (!strcasecmp(records[i].target, target) ||
               !strcasecmp(records[i].target, r->zones->ctl->settings.name));
    }
    r->state = all ? "right" : "wrong";
}

static void on_host(void *ctx, enum bk_dns_result result, const struct bk_addr *addrs, int n)
{
    struct record *r = ctx;
    struct zones *z = r->zones;
    z->pending--;
    if (result != BK_DNS_FOUND || n == 0) {
        not_found(r, result == BK_DNS_FOUND ? BK_DNS_NO_DATA : result);
        return;
    }
    bool all = true;
    for (int i = 0; i < n; i++) {
        char text[64], ours[64];
        bool known = false;
        bk_addr_host_text(&addrs[i], text);
        for (size_t k = 0; k < z->n_addresses; k++) {
            bk_addr_host_text(&z->addresses[k], ours);
            known = known || !strcmp(text, ours);
        }
        add_found(r, text);
        all = all && known;
    }
    r->state = !z->n_addresses ? "there" : all ? "right" : "wrong";
}

static int look_up(struct zones *z)
{
    struct bk_log log = { .level = BK_LOG_ERROR, .to = z->ctl->err };
    struct bk_loop *loop = NULL;
    struct bk_dns *dns = NULL;
    const char *server = ctl_option(z->ctl, "server");
    if (bk_loop_create(&log, &loop) < 0 || bk_dns_create(loop, server, TRY_MS, &dns) < 0) {
        bk_loop_destroy(loop);
        return ctl_fail(z->ctl, server ? CTL_USAGE : CTL_FAILED,
                        "the name server %s cannot be asked", server ? server : "of this system");
    }
    for (size_t i = 0; i < z->n; i++) {
        struct record *r = &z->records[i];
        struct bk_dns_query *query =
            r->srv ? bk_dns_srv(dns, r->name, on_srv, r) : bk_dns_host(dns, r->name, 0, on_host, r);
        if (query)
            z->pending++;
        else
            not_found(r, BK_DNS_UNREACHABLE);
    }
    while (z->pending)
        bk_loop_step(loop, 1000);
    bk_dns_destroy(dns);
    bk_loop_destroy(loop);
    return CTL_OK;
}

int ctl_dns_check(struct ctl *ctl)
{
    static const struct ctl_column columns[] = {
        { "NAME", "name", CTL_TEXT, 20 },          { "TYPE", "type", CTL_TEXT, 0 },
        { "STATE", "state", CTL_TEXT, 0 },         { "FOUND", "found", CTL_TEXT, 16 },
        { "SHOULD BE", "expected", CTL_TEXT, 16 },
    };
    struct zones *z = NULL;
    int r = prepare(ctl, &z);
    if (r == CTL_OK)
        r = look_up(z);
    if (r != CTL_OK) {
        free(z);
        return r;
    }
    json_t *rows = json_array();
    size_t faults = 0;
    for (size_t i = 0; i < z->n; i++) {
        const struct record *record = &z->records[i];
        BK_AUTO_BUF struct bk_buf should = { 0 };
        size_t k;
        json_t *row, *wanted = json_array();
        expected(z, record, wanted);
        json_array_foreach(wanted, k, row) bk_buf_addf(
            &should, "%s%s", k ? ", " : "", json_string_value(json_object_get(row, "value")));
        json_decref(wanted);
        bool good = !strcmp(record->state, "right") || !strcmp(record->state, "there");
        faults += !good;
        if (!record->srv && !z->n_addresses) {
            bk_buf_clear(&should);
            bk_buf_add_str(&should, "the server's address");
        }
        json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s, s:s?}", "name", record->name,
                                              "type", record->srv ? "SRV" : "A", "state",
                                              record->state, "found", record->found, "expected",
                                              good && !ctl->json ? NULL : bk_buf_cstr(&should)));
    }
    ctl_table(ctl, rows, columns, BK_COUNT_OF(columns), "");
    json_decref(rows);
    if (!ctl->json && faults)
        fprintf(ctl->out,
                "\n%zu of %zu are not as they should be; beckonctl dns prints the lines.\n", faults,
                z->n);
    else if (!ctl->json)
        fprintf(ctl->out, "\nAll %zu are as they should be.\n", z->n);
    free(z);
    return faults ? CTL_FAILED : CTL_OK;
}
