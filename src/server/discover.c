/* SPDX-License-Identifier: Apache-2.0 */
/* From an address alone to its servers: the documents that clients read first. */
#include "server/discover.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "ms/autodiscover.h"
#include "ms/mex.h"
#include "server/json.h"
#include "server/services_private.h"
#include "sip/uri.h"

#include <errno.h>
#include <stdio.h>

static const char min_client[] = "0.1.0";

/* ---- what it is about ---- */

/* Undoes %hh and '+'. -EBADMSG: a broken escape, or a control byte behind one. */
static int query_decode(struct bk_view v, struct bk_buf *to)
{
    while (v.len) {
        char c = v.at[0];
        size_t n = 1;
        if (c == '%') {
            if (v.len < 3 || bk_hex_decode((struct bk_view){ v.at + 1, 2 }, &c, 1) < 0)
                return -EBADMSG;
            n = 3;
        } else if (c == '+') {
            c = ' ';
        }
        if ((unsigned char)c < ' ' || c == 0x7f)
            return -EBADMSG;
        bk_buf_add_char(to, c);
        v = bk_view_skip(v, n);
    }
    return to->failed ? -ENOMEM : 0;
}

static void add_lower(struct bk_buf *to, struct bk_view v)
{
    size_t was = to->len;
    bk_buf_add_view(to, v);
    if (!to->failed && v.len)
        bk_text_lower(to->at + was, v.len);
}

static struct bk_view host_without_port(struct bk_view host)
{
    if (host.len && host.at[0] == '[')
        return bk_view_head(host, bk_view_find(host, ']') + 1);
    return bk_view_head(host, bk_view_find(host, ':'));
}

static int target_of_host(struct bk_view host, struct bk_buf *ret_domain)
{
    static const struct bk_view names[] = { { BK_VIEW_OF("lyncdiscoverinternal.") },
                                            { BK_VIEW_OF("lyncdiscover.") } };
    host = host_without_port(host);
    for (size_t i = 0; i < BK_COUNT_OF(names); i++) {
        if (bk_view_starts_with_nocase(host, names[i])) {
            host = bk_view_skip(host, names[i].len);
            break;
        }
    }
    if (host.len && host.at[host.len - 1] == '.')
        host.len--;
    add_lower(ret_domain, host);
    return 0;
}

int bk_discover_target(struct bk_view query, struct bk_view host, struct bk_buf *ret_domain,
                       struct bk_buf *ret_address)
{
    while (query.at) {
        struct bk_view value = bk_view_cut(&query, '&');
        struct bk_view name = bk_view_cut(&value, '=');
        if (!bk_view_equal_nocase(name, BK_VIEW("sipuri")))
            continue;
        BK_AUTO_BUF struct bk_buf text = { 0 };
        if (query_decode(value, &text) < 0)
            return -EBADMSG;
        struct bk_view address = bk_view_trim(bk_buf_view(&text));
        if (bk_view_starts_with_nocase(address, BK_VIEW("sip:")))
            address = bk_view_skip(address, 4);
        size_t at = bk_view_find(address, '@');
        if (at == 0 || at + 1 >= address.len ||
            bk_view_find(bk_view_skip(address, at + 1), '@') + at + 1 < address.len)
            return -EBADMSG;
        add_lower(ret_address, bk_view_head(address, BK_SIP_AOR_MAX));
        add_lower(ret_domain, bk_view_skip(address, at + 1));
        return 0;
    }
    return target_of_host(host, ret_domain);
}

bool services_wants_json(const struct bk_http_request *request)
{
    struct bk_view rest = bk_http_field(request, BK_VIEW("Accept"));
    while (rest.at) {
        struct bk_view type = bk_view_cut(&rest, ',');
        type = bk_view_trim(bk_view_head(type, bk_view_find(type, ';')));
        if (bk_view_equal_nocase(type, BK_VIEW("application/json")))
            return true;
    }
    return false;
}

/* ---- the documents ---- */

static void answer_json(const struct bk_services *s, struct bk_http_exchange *x,
                        struct bk_view domain)
{
    BK_AUTO_BUF struct bk_buf to = { 0 };
    bk_buf_add_lit(&to, "{\"v\":1,\"domain\":");
    bk_json_add_string(&to, domain);
    bk_buf_add_char(&to, ',');
    services_add_sip(s, &to);
    bk_buf_add_lit(&to, ",\"services\":");
    bk_json_add_string(&to, bk_view_of_str(s->config.services_url));
    bk_buf_addf(
        &to,
        ",\"methods\":[\"password\"],\"username\":\"optional\",\"min_client\":\"%s\",\"help\":",
        min_client);
    bk_json_add_string(&to, bk_view_of_str(s->config.services_url));
    bk_buf_add_char(&to, '}');
    services_answer(x, 200, bk_buf_view(&to));
}

/* The first server of that place over TLS, else the first over TLS at all. NULL: none. */
static const struct bk_services_sip *server_for(const struct bk_services *s, const char *where)
{
    const struct bk_services_sip *any = NULL;
    for (size_t i = 0; i < s->config.n_sip; i++) {
        const struct bk_services_sip *sip = &s->config.sip[i];
        if (strcmp(sip->transport, "tls") != 0)
            continue;
        if (strcmp(sip->where, where) == 0)
            return sip;
        if (!any)
            any = sip;
    }
    return any;
}

static struct bk_ms_sip_place place_for(const struct bk_services *s, const char *where)
{
    const struct bk_services_sip *sip = server_for(s, where);
    return sip ? (struct bk_ms_sip_place){ bk_view_of_str(sip->host), sip->port }
               : (struct bk_ms_sip_place){ 0 };
}

/* What Lync-compatible clients read first: where the rest is (docs/https.md, "What Lync-compatible clients ask"). */
static void answer_root(const struct bk_services *s, struct bk_http_exchange *x, bool own_network)
{
    BK_AUTO_BUF struct bk_buf to = { 0 };
    bk_ms_autodiscover_root(services_base(s), own_network, &to);
    services_answer_xml(x, BK_MS_AUTODISCOVER_TYPE, &to);
}

static void answer_places(const struct bk_services *s, struct bk_http_exchange *x,
                          const char *element)
{
    BK_AUTO_BUF struct bk_buf to = { 0 };
    struct bk_ms_sip_place inside = place_for(s, "internal"), outside = place_for(s, "external");
    struct bk_attempt who;
    char ip[64];
    services_attempt(s, x, (struct bk_view){ 0 }, ip, &who);
    bk_ms_autodiscover_places(element, services_base(s), who.own_network, &inside, &outside, &to);
    services_answer_xml(x, BK_MS_AUTODISCOVER_TYPE, &to);
}

void services_discover_domain(struct bk_services *s, struct bk_http_exchange *x,
                              const struct bk_http_request *request,
                              const struct services_route *route)
{
    (void)request, (void)route;
    answer_places(s, x, "Domain");
}

void services_discover_user(struct bk_services *s, struct bk_http_exchange *x,
                            const struct bk_http_request *request,
                            const struct services_route *route)
{
    struct bk_arena arena = { 0 };
    struct bk_ms_ticket ticket;
    struct bk_view field = bk_http_field(request, BK_VIEW("X-MS-WebTicket"));
    (void)route;
    /*
     * Nothing in the document is for one person only, and a client that is refused a ticket here goes on to other names and at last
     * says that there is no network, instead of that the password is wrong: so no ticket is asked for. One that is shown must be good.
     */
    bool good = !field.len || (bk_ms_autodiscover_ticket(&s->ticket_key, field, services_now(s),
                                                         &arena, &ticket) == BK_MS_TICKET_GOOD &&
                               ticket.service == BK_MS_SERVICE_USER);
    bk_arena_finish(&arena);
    if (good) {
        answer_places(s, x, "User");
        return;
    }
    /* No WWW-Authenticate: a client would answer that one and not look at where tickets are given. */
    BK_AUTO_BUF struct bk_buf url = { 0 };
    bk_buf_add_view(&url, services_base(s));
    bk_buf_add_lit(&url, BK_MS_PATH_WEBTICKET);
    bk_http_answer_field(x, "X-MS-WebTicketURL", bk_buf_view(&url));
    services_say(x, 401, "The web ticket is not good for this.", -1);
}

static void refuse_domain(struct bk_services *s, struct bk_http_exchange *x,
                          struct bk_attempt *attempt, struct bk_directory *dir,
                          struct bk_view domain, struct bk_view address)
{
    BK_AUTO_BUF struct bk_buf detail = { 0 };
    struct bk_view nearest = bk_directory_nearest_domain(dir, domain);
    struct bk_refusal refusal;

    attempt->address = address.len ? address : domain;
    if (nearest.len) {
        bk_buf_add_lit(&detail, "\"nearest\":");
        bk_json_add_string(&detail, nearest);
    }
    BK_AUTO_BUF struct bk_buf object = { 0 };
    bk_buf_add_char(&object, '{');
    bk_buf_add_view(&object, bk_buf_view(&detail));
    bk_buf_add_char(&object, '}');
    bk_history_refuse(s->config.history, attempt, bk_record_find(220, 0), true, false,
                      bk_buf_view(&object), 0, NULL, &refusal);
    BK_AUTO_BUF struct bk_buf members = { 0 };
    if (detail.len) {
        bk_buf_add_char(&members, ',');
        bk_buf_add_view(&members, bk_buf_view(&detail));
    }
    services_answer_refusal(s, x, &refusal, bk_buf_view(&members));
}

void services_discover(struct bk_services *s, struct bk_http_exchange *x,
                       const struct bk_http_request *request, const struct services_route *route)
{
    BK_AUTO_BUF struct bk_buf domain = { 0 }, address = { 0 };
    char ip[64];
    struct bk_attempt attempt;

    services_attempt(s, x, BK_VIEW("discovery"), ip, &attempt);
    attempt.client = bk_view_head(bk_http_field(request, BK_VIEW("User-Agent")), 120);
    s->discoveries++;
    if (bk_discover_target(request->query, request->host, &domain, &address) < 0) {
        services_say(x, 400, "\"sipuri\" is no address.", -1);
        return;
    }
    struct bk_directory *dir = s->config.directory(s->config.ctx);
    if (bk_directory_tenant_of(dir, bk_buf_view(&domain))) {
        if (services_wants_json(request) && !s->config.no_beckon)
            answer_json(s, x, bk_buf_view(&domain));
        else
            answer_root(s, x, attempt.own_network);
    } else if (address.len || bk_view_starts_with_nocase(request->host, BK_VIEW("lyncdiscover"))) {
        refuse_domain(s, x, &attempt, dir, bk_buf_view(&domain), bk_buf_view(&address));
    } else if (route->path[1]) {
        answer_root(s, x, attempt.own_network); /* under the server's own name, by a link of ours */
    } else if (!bk_conn_is_tls(bk_http_conn(x))) {
        bk_http_answer_field(x, "Location", bk_view_of_str(s->config.services_url));
        services_say(x, 307, "This is answered over HTTPS only.", -1);
    } else {
        services_help(s, x, request, route); /* somebody who looks what this machine is */
    }
    bk_directory_unref(dir);
}
