/* SPDX-License-Identifier: Apache-2.0 */
#include "client/answers.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "record/record.h"
#include "sip/fields.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>

static void drop_json(json_t **json)
{
    json_decref(*json);
}
#define AUTO_JSON BK_CLEANUP(drop_json) json_t

static json_t *load(struct bk_view text, const char **ret_why)
{
    if (text.len > BK_ANSWER_BYTES_MAX) {
        *ret_why = "the answer is too large";
        return NULL;
    }
    json_t *json = text.len ? json_loadb(text.at, text.len, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (!json_is_object(json)) {
        *ret_why = "the answer is not a JSON object";
        json_decref(json);
        return NULL;
    }
    return json;
}

/* The text of a field; {NULL, 0} where it is missing or no string. */
static struct bk_view text_of(const json_t *object, const char *field)
{
    const json_t *value = json_object_get(object, field);
    if (!json_is_string(value))
        return (struct bk_view){ 0 };
    return (struct bk_view){ json_string_value(value), json_string_length(value) };
}

static const char *keep(struct bk_arena *arena, struct bk_view v)
{
    if (!v.len)
        return "";
    /* A NUL inside would make the copy mean something else than what was compared. */
    if (memchr(v.at, 0, v.len))
        return "";
    return bk_arena_copy(arena, v).at;
}

static bool is_host(struct bk_view host)
{
    if (!host.len || host.len > 253)
        return false;
    char text[256];
    memcpy(text, host.at, host.len);
    text[host.len] = 0;
    struct in6_addr v6;
    if (inet_pton(AF_INET6, text, &v6) == 1)
        return true;
    for (size_t i = 0; i < host.len; i++) {
        char c = bk_lower(host.at[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
              (c == '.' && i && host.at[i - 1] != '.')))
            return false;
    }
    return true;
}

static int set_server(struct bk_answer_server *server, struct bk_view host, uint16_t port)
{
    if (!is_host(host) || !port)
        return -EINVAL;
    memcpy(server->host, host.at, host.len);
    server->host[host.len] = 0;
    bk_text_lower(server->host, host.len);
    server->port = port;
    return 0;
}

int bk_answer_host_port(struct bk_view text, uint16_t default_port, struct bk_answer_server *ret)
{
    struct bk_view host = text, port = { 0 };
    if (text.len && text.at[0] == '[') {
        size_t close = bk_view_find(text, ']');
        if (close == text.len)
            return -EINVAL;
        host = bk_view_skip(bk_view_head(text, close), 1);
        port = bk_view_skip(text, close + 1);
        if (port.len && port.at[0] != ':')
            return -EINVAL;
    } else {
        size_t colon = bk_view_find(text, ':');
        /* Two colons and no brackets: an IPv6 literal without a port. */
        if (colon < text.len && !memchr(text.at + colon + 1, ':', text.len - colon - 1)) {
            host = bk_view_head(text, colon);
            port = bk_view_skip(text, colon);
        }
    }
    uint64_t n = default_port;
    if (port.at && port.len && bk_view_to_u64(bk_view_skip(port, 1), 65535, &n) < 0)
        return -EINVAL;
    struct bk_answer_server server = { 0 };
    if (set_server(&server, host, (uint16_t)n) < 0)
        return -EINVAL;
    *ret = server;
    return 0;
}

bool bk_answer_host_in_domain(struct bk_view host, struct bk_view domain)
{
    if (!domain.len || host.len < domain.len)
        return false;
    if (!bk_view_equal_nocase(bk_view_skip(host, host.len - domain.len), domain))
        return false;
    return host.len == domain.len || host.at[host.len - domain.len - 1] == '.';
}

int bk_answer_version_compare(struct bk_view a, struct bk_view b)
{
    for (int part = 0; part < 8 && (a.at || b.at); part++) {
        uint64_t x = 0, y = 0;
        (void)bk_view_to_u64(bk_view_cut(&a, '.'), UINT32_MAX, &x);
        (void)bk_view_to_u64(bk_view_cut(&b, '.'), UINT32_MAX, &y);
        if (x != y)
            return x < y ? -1 : 1;
    }
    return 0;
}

/* The `sip` list of both documents. Entries over other transports than TLS are left out: we speak nothing else. */
static int read_servers(const json_t *object, struct bk_answer_server *servers, int *ret_n,
                        const char **ret_why)
{
    const json_t *list = json_object_get(object, "sip");
    int n = 0;
    if (list && !json_is_array(list)) {
        *ret_why = "\"sip\" is not a list";
        return -EBADMSG;
    }
    for (size_t i = 0; i < json_array_size(list) && n < BK_ANSWER_SERVERS_MAX; i++) {
        const json_t *entry = json_array_get(list, i);
        const json_t *port = json_object_get(entry, "port");
        struct bk_view transport = text_of(entry, "transport");
        if (transport.len && !bk_view_equal_nocase(transport, BK_VIEW("tls")))
            continue;
        struct bk_answer_server *server = &servers[n];
        *server = (struct bk_answer_server){ 0 };
        json_int_t number = json_is_integer(port) ? json_integer_value(port) : 0;
        if (number < 1 || number > 65535 ||
            set_server(server, text_of(entry, "host"), (uint16_t)number) < 0) {
            *ret_why = "an entry of \"sip\" has no usable host and port";
            return -EBADMSG;
        }
        server->internal = bk_view_equal_nocase(text_of(entry, "where"), BK_VIEW("internal"));
        n++;
    }
    *ret_n = n;
    return 0;
}

static unsigned read_methods(const json_t *list)
{
    static const struct {
        const char *name;
        enum bk_answer_method method;
    } names[] = {
        { "password", BK_ANSWER_PASSWORD },
        { "kerberos", BK_ANSWER_KERBEROS },
        { "card", BK_ANSWER_CARD },
    };
    unsigned methods = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        for (size_t k = 0; text && k < BK_COUNT_OF(names); k++)
            if (strcmp(text, names[k].name) == 0)
                methods |= names[k].method;
    }
    return methods;
}

static bool is_services_base(struct bk_view url)
{
    static const struct bk_view scheme = { BK_VIEW_OF("https://") };
    if (url.len > 1024 || !bk_view_starts_with(url, scheme) || url.len == scheme.len ||
        url.at[url.len - 1] != '/')
        return false;
    for (size_t i = 0; i < url.len; i++)
        if (url.at[i] <= ' ' || url.at[i] == 0x7f || url.at[i] == '?' || url.at[i] == '#')
            return false;
    return true;
}

int bk_answer_discovery_parse(struct bk_view text, struct bk_arena *arena,
                              struct bk_answer_discovery *ret, const char **ret_why)
{
    AUTO_JSON *json = load(text, ret_why);
    if (!json)
        return -EBADMSG;
    struct bk_answer_discovery doc = { 0 };
    if (!json_is_integer(json_object_get(json, "v")) ||
        json_integer_value(json_object_get(json, "v")) != 1) {
        *ret_why = "\"v\" is not 1";
        return -EBADMSG;
    }
    if (!is_services_base(text_of(json, "services"))) {
        *ret_why = "\"services\" is not an https URL that ends with a slash";
        return -EBADMSG;
    }
    int r = read_servers(json, doc.servers, &doc.n_servers, ret_why);
    if (r < 0)
        return r;
    if (!doc.n_servers) {
        *ret_why = "\"sip\" names no server over TLS";
        return -EBADMSG;
    }
    doc.domain = keep(arena, text_of(json, "domain"));
    doc.services = keep(arena, text_of(json, "services"));
    doc.min_client = keep(arena, text_of(json, "min_client"));
    doc.help = keep(arena, text_of(json, "help"));
    if (!doc.domain || !doc.services || !doc.min_client || !doc.help)
        return -ENOMEM;
    const json_t *methods = json_object_get(json, "methods");
    doc.methods = json_is_array(methods) ? read_methods(methods) : (unsigned)BK_ANSWER_PASSWORD;
    doc.user_required = bk_view_equal(text_of(json, "username"), BK_VIEW("required"));
    *ret = doc;
    return 0;
}

/* An instant: RFC 3339 text, or milliseconds since 1970. 0 where it is missing. */
static int read_time(const json_t *object, const char *field, int64_t *ret)
{
    const json_t *value = json_object_get(object, field);
    if (!value)
        return 0;
    if (json_is_integer(value)) {
        *ret = json_integer_value(value);
        return 0;
    }
    return bk_time_iso_parse(text_of(object, field), ret);
}

int bk_answer_signin_parse(struct bk_view text, struct bk_arena *arena,
                           struct bk_answer_signin *ret, const char **ret_why)
{
    AUTO_JSON *json = load(text, ret_why);
    if (!json)
        return -EBADMSG;
    struct bk_answer_signin doc = { 0 };
    int r = read_servers(json, doc.servers, &doc.n_servers, ret_why);
    if (r < 0)
        return r;
    if (read_time(json, "not_after", &doc.not_after_ms) < 0 ||
        read_time(json, "renew_after", &doc.renew_after_ms) < 0) {
        *ret_why = "\"not_after\" or \"renew_after\" is no time";
        return -EBADMSG;
    }
    doc.certificate = keep(arena, text_of(json, "certificate"));
    doc.address = keep(arena, text_of(json, "address"));
    /* The chain is one text, or a list of them. */
    struct bk_view chain = text_of(json, "chain");
    BK_AUTO_BUF struct bk_buf joined = { 0 };
    const json_t *list = json_object_get(json, "chain");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *pem = json_string_value(json_array_get(list, i));
        bk_buf_add_str(&joined, pem ? pem : "");
        bk_buf_add_char(&joined, '\n');
    }
    if (joined.failed)
        return -ENOMEM;
    doc.chain = keep(arena, joined.len ? bk_buf_view(&joined) : chain);
    if (!doc.certificate || !doc.address || !doc.chain)
        return -ENOMEM;
    if (!*doc.certificate) {
        *ret_why = "\"certificate\" is missing";
        return -EBADMSG;
    }
    *ret = doc;
    return 0;
}

enum { RETRY_AFTER_MAX_S = 24 * 3600, TEXT_MAX = 1024 };

static int clamp_retry(int64_t s)
{
    return s <= 0 ? 0 : s > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : (int)s;
}

/* Codes and record ids end up in file names, commands and tables: only those spelled as they should are kept. */
static const char *keep_record(struct bk_arena *arena, struct bk_view id)
{
    const struct bk_record *record = id.len ? bk_record_parse(id) : NULL;
    if (!record)
        return "";
    char text[12];
    bk_record_id(record, text);
    return bk_arena_copy(arena, bk_view_of_str(text)).at;
}

static const char *keep_case(struct bk_arena *arena, struct bk_view code)
{
    char text[BK_CASE_CODE_SIZE];
    if (!code.len || bk_case_code_parse(code, text) < 0)
        return "";
    return bk_arena_copy(arena, bk_view_of_str(text)).at;
}

static const char *keep_text(struct bk_arena *arena, struct bk_view text)
{
    if (!bk_utf8_valid(text))
        return "";
    text = bk_view_head(text, TEXT_MAX);
    while (!bk_utf8_valid(text)) /* the cut went through a letter */
        text.len--;
    return keep(arena, text);
}

int bk_answer_refusal_parse(struct bk_view text, struct bk_view diagnostics, struct bk_arena *arena,
                            struct bk_answer_refusal *ret)
{
    struct bk_answer_refusal doc = { "", "", "", 0 };
    const char *why;
    AUTO_JSON *json = text.len ? load(text, &why) : NULL;
    if (json) {
        doc.record = keep_record(arena, text_of(json, "record"));
        doc.case_code = keep_case(arena, text_of(json, "case"));
        doc.text = keep_text(arena, text_of(json, "text"));
        const json_t *retry = json_object_get(json, "retry_after");
        doc.retry_after_s = json_is_integer(retry) ? clamp_retry(json_integer_value(retry)) : 0;
    }
    struct bk_sip_diagnostics header;
    if (diagnostics.len && bk_sip_diagnostics_parse(diagnostics, &header) == 0) {
        if (doc.record && !*doc.record)
            doc.record = keep_record(arena, header.record);
        if (doc.case_code && !*doc.case_code)
            doc.case_code = keep_case(arena, header.case_code);
        if (doc.text && !*doc.text)
            doc.text = keep_text(arena, header.reason);
    }
    if (!doc.record || !doc.case_code || !doc.text)
        return -ENOMEM;
    *ret = doc;
    return 0;
}

void bk_answer_devices(struct bk_view text, struct bk_buf *ret)
{
    const char *why;
    AUTO_JSON *json = text.len ? load(text, &why) : NULL;
    const json_t *list = json_object_get(json, "endpoints");
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct bk_view client = text_of(json_array_get(list, i), "client");
        struct bk_view since = text_of(json_array_get(list, i), "since");
        if (client.len)
            bk_buf_addf(ret, "%s%.*s since %.*s", ret->len ? ", " : "", BK_VIEW_ARGS(client),
                        BK_VIEW_ARGS(since));
    }
}
