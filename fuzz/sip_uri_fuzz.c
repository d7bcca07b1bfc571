/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A URI put together again from its parts is the same URI; an address of a person reads back as itself; what
 * was escaped comes back; a list of addresses put together again has the same addresses; a sign-in
 * address that is taken is one key as a URI.
 */
#include "base/text.h"
#include "sip/uri.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool held)
{
    if (!held)
        abort();
}

static void check_inside(struct bk_view part, struct bk_view whole)
{
    check(part.at ? part.at >= whole.at && part.at + part.len <= whole.at + whole.len
                  : part.len == 0);
}

static void write_uri(struct bk_buf *to, const struct bk_sip_uri *uri)
{
    if (uri->scheme == BK_SIP_SCHEME_OTHER) {
        bk_buf_add_view(to, uri->text);
        return;
    }
    bk_buf_add_view(to, uri->scheme_name);
    bk_buf_add_char(to, ':');
    if (uri->has_user) {
        bk_buf_add_view(to, uri->user);
        if (uri->password.at) {
            bk_buf_add_char(to, ':');
            bk_buf_add_view(to, uri->password);
        }
        bk_buf_add_char(to, '@');
    }
    bk_buf_add_str(to, uri->host_is_ipv6 ? "[" : "");
    bk_buf_add_view(to, uri->host);
    bk_buf_add_str(to, uri->host_is_ipv6 ? "]" : "");
    if (uri->port)
        bk_buf_addf(to, ":%u", uri->port);
    if (uri->params.at) {
        bk_buf_add_char(to, ';');
        bk_buf_add_view(to, uri->params);
    }
    if (uri->headers.at) {
        bk_buf_add_char(to, '?');
        bk_buf_add_view(to, uri->headers);
    }
}

static void check_aor(const struct bk_sip_uri *uri)
{
    struct bk_buf aor = { 0 }, again = { 0 }, text = { 0 };
    struct bk_sip_uri same;
    if (bk_sip_uri_aor(uri, &aor) == 0) {
        struct bk_view host = bk_buf_view(&aor), user = bk_view_cut(&host, '@');
        check(aor.len <= BK_SIP_AOR_MAX && bk_utf8_valid(bk_buf_view(&aor)));
        bk_buf_add_lit(&text, "sip:");
        bk_sip_escape_user(&text, user);
        bk_buf_add_char(&text, '@');
        bk_buf_add_view(&text, host);
        check(bk_sip_uri_parse(bk_buf_view(&text), &same) == 0);
        check(bk_sip_uri_aor(&same, &again) == 0);
        check(bk_view_equal(bk_buf_view(&again), bk_buf_view(&aor)));
    } else {
        check(aor.len == 0);
    }
    bk_buf_finish(&aor);
    bk_buf_finish(&again);
    bk_buf_finish(&text);
}

static void check_uri(struct bk_view in)
{
    struct bk_sip_uri uri, again;
    struct bk_buf out = { 0 };
    if (bk_sip_uri_parse(in, &uri) < 0)
        return;
    check_inside(uri.user, in);
    check_inside(uri.password, in);
    check_inside(uri.host, in);
    check_inside(uri.params, in);
    check_inside(uri.headers, in);
    check(bk_sip_uri_equal(&uri, &uri));
    write_uri(&out, &uri);
    check(bk_sip_uri_parse(bk_buf_view(&out), &again) == 0);
    check(bk_sip_uri_equal(&uri, &again) && bk_sip_uri_equal(&again, &uri));
    check_aor(&uri);
    bk_buf_finish(&out);
}

static void check_params(struct bk_view params)
{
    struct bk_view rest = params, value;
    struct bk_sip_param p;
    while (bk_sip_param_next(&rest, &p)) {
        check(p.name.len > 0);
        check_inside(p.name, params);
        check_inside(p.value, params);
        check(bk_sip_param_find(params, p.name, &value));
    }
}

static void check_addresses(struct bk_view in)
{
    struct bk_view rest = in, same_rest;
    struct bk_sip_addr a, b;
    struct bk_buf list = { 0 };
    int r, n = 0;
    while ((r = bk_sip_addr_next(&rest, &a)) > 0) {
        check_inside(a.uri_text, in);
        check_inside(a.display, in);
        check_inside(a.params, in);
        check(a.uri_text.len > 0);
        check_params(a.params);
        bk_buf_add_str(&list, n++ ? " , " : "");
        if (a.star) {
            bk_buf_add_char(&list, '*');
        } else {
            bk_buf_add_char(&list, '<');
            bk_buf_add_view(&list, a.uri_text);
            bk_buf_add_char(&list, '>');
        }
        if (a.params.at) {
            bk_buf_add_char(&list, ';');
            bk_buf_add_view(&list, a.params);
        }
    }
    check(r == 0 || r == -EBADMSG);
    if (r == 0) {
        for (rest = in, same_rest = bk_buf_view(&list); bk_sip_addr_next(&rest, &a) > 0;) {
            check(bk_sip_addr_next(&same_rest, &b) == 1);
            check(bk_view_equal(a.uri_text, b.uri_text) && a.star == b.star);
            check(bk_view_equal(bk_view_trim(a.params), bk_view_trim(b.params)));
        }
        check(bk_sip_addr_next(&same_rest, &b) == 0);
    }
    bk_buf_finish(&list);
}

static void check_escapes(struct bk_view in)
{
    struct bk_buf escaped = { 0 }, plain = { 0 };
    bk_sip_escape_user(&escaped, in);
    check(bk_sip_unescape(bk_buf_view(&escaped), &plain) == 0);
    check(bk_view_equal(bk_buf_view(&plain), in));
    bk_buf_clear(&plain);
    if (bk_sip_unescape(in, &plain) < 0)
        check(plain.len == 0);
    bk_buf_finish(&escaped);
    bk_buf_finish(&plain);
}

static void check_sign_in_address(struct bk_view in)
{
    size_t at = 0;
    const char *why = NULL;
    struct bk_buf text = { 0 }, aor = { 0 };
    struct bk_sip_uri uri;
    if (bk_sip_address_check(in, &at, &why) < 0) {
        check(why && at <= in.len);
        return;
    }
    if (bk_view_starts_with_nocase(in, BK_VIEW("sip:")))
        in = bk_view_skip(in, 4);
    struct bk_view host = in, user = bk_view_cut(&host, '@');
    bk_buf_add_lit(&text, "sip:");
    bk_sip_escape_user(&text, user);
    bk_buf_add_char(&text, '@');
    bk_buf_add_view(&text, host);
    check(bk_sip_uri_parse(bk_buf_view(&text), &uri) == 0);
    check(bk_sip_uri_aor(&uri, &aor) == 0);
    check(bk_view_equal_nocase(bk_buf_view(&aor), in));
    bk_buf_finish(&text);
    bk_buf_finish(&aor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bk_view in = { (const char *)data, size };
    check_uri(in);
    check_addresses(in);
    check_params(in);
    check_escapes(in);
    check_sign_in_address(in);

    struct bk_view second = in, first = bk_view_cut(&second, '\n');
    struct bk_sip_uri a, b;
    if (bk_sip_uri_parse(first, &a) == 0 && bk_sip_uri_parse(second, &b) == 0)
        check(bk_sip_uri_equal(&a, &b) == bk_sip_uri_equal(&b, &a));
    return 0;
}
