/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/autodiscover.h"

#include "base/cleanup.h"
#include "base/xml.h"
#include "ms/mex.h"
#include "ms/xml.h"

#include <errno.h>

static void begin(bool internal, struct bk_buf *to)
{
    bk_buf_addf(to,
                "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n"
                "<AutodiscoverResponse AccessLocation=\"%s\">",
                internal ? "Internal" : "External");
}

static void add_link(const char *token, struct bk_view base, const char *path, struct bk_buf *to)
{
    bk_buf_addf(to, "<Link token=\"%s\" href=\"", token);
    bk_xml_escape(to, base);
    bk_buf_addf(to, "%s\"/>", path);
}

void bk_ms_autodiscover_root(struct bk_view base, bool internal, struct bk_buf *to)
{
    begin(internal, to);
    bk_buf_add_lit(to, "<Root>");
    add_link("Domain", base, BK_MS_PATH_DISCOVER_DOMAIN, to);
    add_link("User", base, BK_MS_PATH_DISCOVER_USER, to);
    bk_buf_add_lit(to, "</Root></AutodiscoverResponse>\r\n");
}

static void add_place(const char *name, const struct bk_ms_sip_place *place, struct bk_buf *to)
{
    if (!place->host.len)
        return;
    bk_buf_addf(to, "<%s fqdn=\"", name);
    bk_xml_escape(to, place->host);
    bk_buf_addf(to, "\" port=\"%u\"/>", (unsigned)place->port);
}

void bk_ms_autodiscover_places(const char *element, struct bk_view base, bool internal,
                               const struct bk_ms_sip_place *inside,
                               const struct bk_ms_sip_place *outside, struct bk_buf *to)
{
    begin(internal, to);
    bk_buf_addf(to, "<%s>", element);
    add_place("SipServerInternalAccess", inside, to);
    add_place("SipServerExternalAccess", outside, to);
    add_place("SipClientInternalAccess", inside, to);
    add_place("SipClientExternalAccess", outside, to);
    add_link("Internal/Autodiscover", base, BK_MS_PATH_DISCOVER, to);
    add_link("External/Autodiscover", base, BK_MS_PATH_DISCOVER, to);
    add_link("Internal/WebTicket", base, BK_MS_PATH_WEBTICKET, to);
    add_link("External/WebTicket", base, BK_MS_PATH_WEBTICKET, to);
    add_link("Internal/CertProvisioning", base, BK_MS_PATH_CERTPROV, to);
    add_link("External/CertProvisioning", base, BK_MS_PATH_CERTPROV, to);
    bk_buf_addf(to, "</%s></AutodiscoverResponse>\r\n", element);
}

/* ---- what a client reads ---- */

static void take_link(const struct bk_ms_ws *link, struct bk_ms_autodiscover *to)
{
    struct bk_view token = bk_ms_ws_attribute(link, "token");
    struct bk_view href = bk_ms_ws_attribute(link, "href");
    if (bk_view_equal_nocase(token, BK_VIEW("Redirect")))
        to->redirect = href;
    else if (bk_view_equal_nocase(token, BK_VIEW("Domain")))
        to->domain = href;
    else if (bk_view_equal_nocase(token, BK_VIEW("User")))
        to->user = href;
}

static void take_place(const struct bk_ms_ws *element, struct bk_ms_sip_place *to)
{
    uint64_t port = 0;
    struct bk_view host = bk_view_trim(bk_ms_ws_attribute(element, "fqdn"));
    struct bk_view text = bk_view_trim(bk_ms_ws_attribute(element, "port"));
    if (host.len && bk_view_to_u64(text, 65535, &port) == 0 && port)
        *to = (struct bk_ms_sip_place){ host, (uint16_t)port };
}

int bk_ms_autodiscover_parse(struct bk_view body, struct bk_arena *arena,
                             struct bk_ms_autodiscover *ret, const char **ret_why)
{
    struct bk_ms_autodiscover d = { 0 };
    const struct bk_ms_ws *root;
    int r = bk_ms_ws_parse(body, arena, &root, ret_why);
    if (r < 0)
        return r;
    *ret_why = "no AutodiscoverResponse";
    if (!bk_view_equal(root->name, BK_VIEW("AutodiscoverResponse")))
        return -EBADMSG;
    d.outside =
        bk_view_equal_nocase(bk_ms_ws_attribute(root, "AccessLocation"), BK_VIEW("External"));
    for (const struct bk_ms_ws *part = root->child; part; part = part->next)
        for (const struct bk_ms_ws *e = part->child; e; e = e->next) {
            /* Client: where people's programs go; Server: what older documents name alone. */
            if (bk_view_equal(e->name, BK_VIEW("Link")))
                take_link(e, &d);
            else if (bk_view_equal(e->name, BK_VIEW("SipClientInternalAccess")))
                take_place(e, &d.inside);
            else if (bk_view_equal(e->name, BK_VIEW("SipClientExternalAccess")))
                take_place(e, &d.outer);
            else if (bk_view_equal(e->name, BK_VIEW("SipServerInternalAccess")) && !d.inside.port)
                take_place(e, &d.inside);
            else if (bk_view_equal(e->name, BK_VIEW("SipServerExternalAccess")) && !d.outer.port)
                take_place(e, &d.outer);
        }
    if (!d.redirect.len && !d.domain.len && !d.user.len && !d.inside.port && !d.outer.port) {
        *ret_why = "it names neither a server nor a further document";
        return -EBADMSG;
    }
    *ret = d;
    return 0;
}

enum bk_ms_ticket_state bk_ms_autodiscover_ticket(const struct bk_ms_ticket_key *key,
                                                  struct bk_view field, int64_t now_ms,
                                                  struct bk_arena *arena, struct bk_ms_ticket *ret)
{
    BK_AUTO_BUF struct bk_buf xml = { 0 };
    const struct bk_ms_ws *assertion;
    const char *why;
    field = bk_view_trim(field);
    if (field.len > BK_MS_TICKET_FIELD_MAX ||
        !bk_view_starts_with_nocase(field, BK_VIEW("opaque=")))
        return BK_MS_TICKET_UNREADABLE;
    int r = bk_ms_ws_base64(bk_view_skip(field, 7), &xml);
    if (r == 0)
        r = bk_ms_ws_parse(bk_buf_view(&xml), arena, &assertion, &why);
    if (r < 0)
        return r == -ENOMEM ? BK_MS_TICKET_NO_MEMORY : BK_MS_TICKET_UNREADABLE;
    return bk_ms_ticket_read(key, assertion, now_ms, arena, ret);
}
