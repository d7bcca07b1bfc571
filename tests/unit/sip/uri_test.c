/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/uri_private.h"

#include "tests/unit/sip/sip_test.h"

static struct bk_sip_uri uri;

static int parse(const char *text)
{
    return bk_sip_uri_parse(bk_view_of_str(text), &uri);
}

/* ---- characters ---- */

static void classes_are_those_of_the_grammar(void **state)
{
    (void)state;
    static const struct {
        unsigned class;
        const char *beside_alphanum;
    } rows[] = {
        { BK_SIP_IS_TOKEN, "-.!%*_+`'~" },
        { BK_SIP_IS_WORD, "-.!%*_+`'~()<>:\\\"/[]?{}" },
        { BK_SIP_IS_USER, "-_.!~*'()&=+$,;?/" },
        { BK_SIP_IS_PASSWORD, "-_.!~*'()&=+$," },
        { BK_SIP_IS_PARAM, "-_.!~*'()[]/:&+$" },
        { BK_SIP_IS_HEADER, "-_.!~*'()[]/?:+$" },
        { BK_SIP_IS_HOST, "-_" },
        { BK_SIP_IS_ALNUM, "" },
    };
    for (int c = 0; c < 256; c++) {
        char ch = (char)c;
        bool digit = c >= '0' && c <= '9', letter = (c | 32) >= 'a' && (c | 32) <= 'z';
        bool blank = c == ' ' || c == '\t', control = c < 32 || c == 127;
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            assert_int_equal(bk_sip_is(ch, rows[i].class),
                             digit || letter || (c && strchr(rows[i].beside_alphanum, c)));
        assert_int_equal(bk_sip_is(ch, BK_SIP_IS_DIGIT), digit);
        assert_int_equal(bk_sip_is(ch, BK_SIP_IS_HEX), digit || (letter && (c | 32) <= 'f'));
        assert_int_equal(bk_sip_is(ch, BK_SIP_IS_BLANK), blank);
        assert_int_equal(bk_sip_is(ch, BK_SIP_IS_SPACE), blank || c == '\r' || c == '\n');
        assert_int_equal(bk_sip_is(ch, BK_SIP_IS_CONTROL), control && !blank);
    }
}

static void a_control_byte_is_found_at_any_place(void **state)
{
    (void)state;
    for (size_t len = 0; len < 70; len++) {
        for (int c = 0; c < 256; c++) {
            char text[70];
            memset(text, 0xff, sizeof text);
            size_t at = len ? (size_t)c % len : 0;
            if (len)
                text[at] = (char)c;
            EXACT(v, ((struct bk_view){ text, len }));
            const char *found = bk_sip_find_control(v.at, v.at + len);
            bool is = len && (c < 32 || c == 127);
            assert_ptr_equal(found, is ? v.at + at : v.at + len);
        }
    }
}

/* ---- URIs ---- */

static void every_part_of_a_uri_has_its_place(void **state)
{
    (void)state;
    assert_int_equal(parse("SIPS:a%20b;x=1:p&w@Host.Example.:5061;lr;maddr=[::1]?a=b&c="), 0);
    assert_int_equal(uri.scheme, BK_SIP_SCHEME_SIPS);
    assert_view(uri.scheme_name, "SIPS");
    assert_true(uri.has_user);
    assert_view(uri.user, "a%20b;x=1");
    assert_view(uri.password, "p&w");
    assert_view(uri.host, "Host.Example.");
    assert_int_equal(uri.port, 5061);
    assert_view(uri.params, "lr;maddr=[::1]");
    assert_view(uri.headers, "a=b&c=");

    assert_int_equal(parse("sip:[2001:db8::1]:5060"), 0);
    assert_false(uri.has_user);
    assert_true(uri.host_is_ipv6);
    assert_view(uri.host, "2001:db8::1");
    assert_int_equal(uri.port, 5060);
    assert_null(uri.password.at);

    assert_int_equal(parse("sip:@host"), 0);
    assert_true(uri.has_user);
    assert_int_equal(uri.user.len, 0);

    assert_int_equal(parse("tel:+1-201-555-0123;ext=1"), 0);
    assert_int_equal(uri.scheme, BK_SIP_SCHEME_OTHER);
    assert_view(uri.scheme_name, "tel");
    assert_view(uri.text, "tel:+1-201-555-0123;ext=1");
    assert_int_equal(uri.host.len, 0);
}

static void what_real_servers_put_into_uris_is_read(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "sip:alice@example.com;opaque=user:epid:t4eFItf-XDOzDSZfZhiueAAA;gruu",
        "sip:192.0.2.10:42962;transport=tls;ms-opaque=d3470f2e1d",
        "sip:pool.example.com:5061;transport=tls;opaque=state:T:F;ms-route-sig=aa==;lr",
        "sip:alice@example.com;gruu;opaque=app:conf:focus:id:7RB4X2M9",
        "sip:+12125551212;ext=12@gw.example.com;user=phone",
        "sip:a_b.c-d@0a1b2c3d.my_host",
        "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com",
        "sip:a@127.0.0.1",
        "sip:a@example.com.",
        "sip:[::ffff:192.0.2.1]",
        "sip:[::]",
        "sip:[1:2:3:4:5:6:7:8]",
        "sip:[1::]",
        "sip:[1:2:3:4:5:6:192.0.2.1]",
        "sip:[2001:db8:::192.0.2.1]",
        "sip:[:::192.0.2.1]",
        "pres:ann@example.org",
        "urn:service:sos",
        "http://example.org/?a=b",
        "x-a.b+c:%",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (parse(rows[i]) < 0)
            fail_msg("refused: %s", rows[i]);
}

static void what_is_no_uri_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "sip",
        "sip:",
        ":a",
        "1sip:a",
        "s ip:a",
        "sip:a b",
        "sip:a@",
        "sip:a@b@c",
        "sip:a:b",
        "sip:a@b:",
        "sip:a@b:0",
        "sip:a@b:65536",
        "sip:a@b:99999999999999999999",
        "sip:a@b:5o",
        "sip:a@b;",
        "sip:a@b;;lr",
        "sip:a@b;=x",
        "sip:a@b;l r",
        "sip:a@b;a=\"x\"",
        "sip:a@b;a=%4",
        "sip:a@b?",
        "sip:a@b?x",
        "sip:a@b?x=y&",
        "sip:a@b?=y",
        "sip:a@b?x=%zz",
        "sip:%4@b",
        "sip:%zz@b",
        "sip:a%@b",
        "sip:a:b:c@d",
        "sip:a#b@c",
        "sip:\xc3\xbc@b",
        "sip:a@\xc3\xbc",
        "sip:a@.b",
        "sip:a@b..c",
        "sip:a@-b",
        "sip:a@b-",
        "sip:a@b-.c",
        "sip:a@256.0.0.1",
        "sip:a@1.2.3",
        "sip:a@1.2.3.4.5",
        "sip:a@1.2.3.4.",
        "sip:a@12",
        "sip:[",
        "sip:[]",
        "sip:[:]",
        "sip:[1]",
        "sip:[1:2:3:4:5:6:7]",
        "sip:[1:2:3:4:5:6:7:8:9]",
        "sip:[1::2::3]",
        "sip:[12345::]",
        "sip:[g::]",
        "sip:[1:]",
        "sip:[:1::]",
        "sip:[::1",
        "sip:[::1]x",
        "sip:[1:2:3:4:5:6:7:8::]",
        "sip:[1.2.3.4]",
        "sip:[::1.2.3]",
        "sip:[::1.2.3.4:5]",
        "sip:[1:::2]",
        "sip:[::::1.2.3.4]",
        "sip:[1:2:3:4:5:6:7:1.2.3.4]",
        "sip:[::1%eth0]",
        "<sip:a@b>",
        "sip:a@b>",
        "tel:",
        "tel:1 2",
        "tel:<1>",
        "tel:\"1\"",
        "sip:a@b\r\n",
        "sip:/b",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        EXACT(text, bk_view_of_str(rows[i]));
        memset(&uri, 0x55, sizeof uri);
        struct bk_sip_uri before = uri;
        if (bk_sip_uri_parse(text, &uri) != -EBADMSG)
            fail_msg("accepted: %s", rows[i]);
        assert_memory_equal(&uri, &before, sizeof uri); /* and nothing was written */
    }
    assert_int_equal(bk_sip_uri_parse((struct bk_view){ 0 }, &uri), -EBADMSG);
    assert_int_equal(bk_sip_uri_parse(V("sip:a\0@b"), &uri), -EBADMSG);
    assert_int_equal(bk_sip_uri_parse(V("tel:1\0"), &uri), -EBADMSG);
}

static void names_of_hosts_have_their_lengths(void **state)
{
    (void)state;
    char text[400] = "sip:";
    memset(text + 4, 'a', 63);
    text[67] = '\0';
    assert_int_equal(parse(text), 0);
    text[67] = 'a';
    text[68] = '\0';
    assert_int_equal(parse(text), -EBADMSG);
    for (int i = 0; i < 255; i++)
        text[4 + i] = i % 2 ? '.' : 'a';
    text[4 + 255] = '\0';
    assert_int_equal(parse(text), 0);
    text[4 + 255] = 'a'; /* one more */
    text[4 + 256] = '\0';
    assert_int_equal(parse(text), -EBADMSG);
}

static void cut_at_any_byte_a_uri_stays_inside(void **state)
{
    (void)state;
    struct bk_view whole = V("sips:a%20b:pw%41@host.example.org:5061;lr;x=%41?a=b%42&c=d");
    for (size_t n = 0; n <= whole.len; n++) {
        EXACT(part, bk_view_head(whole, n));
        if (bk_sip_uri_parse(part, &uri) < 0)
            continue;
        assert_inside(uri.user, part);
        assert_inside(uri.host, part);
        assert_inside(uri.params, part);
        assert_inside(uri.headers, part);
    }
    struct bk_view v6 = V("sip:[2001:db8:0:0:0:0:192.0.2.1]:5061");
    for (size_t n = 0; n <= v6.len; n++) {
        EXACT(part, bk_view_head(v6, n));
        int r = bk_sip_uri_parse(part, &uri);
        assert_int_equal(r == 0, n >= v6.len - 5 && n != v6.len - 4);
    }
}

/* ---- comparing, RFC 3261 19.1.4 ---- */

static bool equal(const char *a, const char *b)
{
    struct bk_sip_uri x, y;
    assert_int_equal(bk_sip_uri_parse(bk_view_of_str(a), &x), 0);
    assert_int_equal(bk_sip_uri_parse(bk_view_of_str(b), &y), 0);
    assert_true(bk_sip_uri_equal(&x, &x));
    bool same = bk_sip_uri_equal(&x, &y);
    assert_int_equal(bk_sip_uri_equal(&y, &x), same);
    return same;
}

static void uris_are_equal_as_the_rfc_lists_them(void **state)
{
    (void)state;
    static const char *const same[][2] = {
        { "sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp" },
        { "sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5" },
        { "sip:carol@chicago.com", "sip:carol@chicago.com;security=on" },
        { "sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on" },
        { "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
          "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com" },
        { "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
          "sip:alice@atlanta.com?priority=urgent&subject=project%20x" },
        { "sip:a%3Bb@c", "sip:a%3bb@c" },
        { "tel:1", "TEL:1" },
        { "sip:[2001:DB8::1]", "sip:[2001:db8::1]" },
    };
    static const char *const different[][2] = {
        { "SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP" },
        { "sip:bob@biloxi.com", "sip:bob@biloxi.com:5060" },
        { "sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp" },
        { "sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp" },
        { "sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting" },
        { "sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4" },
        { "sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off" },
        { "sip:a@b", "sips:a@b" },
        { "sip:a@b", "sip:b" },
        { "sip:a@b", "sip:a:@b" },
        { "sip:a:x@b", "sip:a:X@b" },
        { "sip:a%3Bb@c", "sip:a;b@c" }, /* reserved: an escape changes the meaning */
        { "sip:a@b;lr", "sip:a@b;lr=on" },
        { "sip:a@b;user=phone", "sip:a@b" },
        { "sip:a@b?x=1&x=1", "sip:a@b?x=1&y=1" },
        { "sip:a@b?x=1", "sip:a@b?x=1&x=1" },
        { "tel:1", "tel:2" },
        { "tel:a", "tel:A" },
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (!equal(same[i][0], same[i][1]))
            fail_msg("differ: %s %s", same[i][0], same[i][1]);
    for (size_t i = 0; i < sizeof different / sizeof *different; i++)
        if (equal(different[i][0], different[i][1]))
            fail_msg("equal: %s %s", different[i][0], different[i][1]);
}

static void uris_with_too_many_parameters_are_equal_to_themselves_only(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf a = { 0 }, b = { 0 };
    bk_buf_add_lit(&a, "sip:a@b;last");
    bk_buf_add_lit(&b, "sip:a@b");
    for (int i = 0; i < 2000; i++) {
        bk_buf_addf(&a, ";p%d", i);
        bk_buf_addf(&b, ";p%d", i);
    }
    bk_buf_add_lit(&b, ";last");
    assert_false(equal(bk_buf_cstr(&a), bk_buf_cstr(&b)));
}

/* ---- the address of a person ---- */

static void assert_aor(const char *text, const char *want)
{
    BK_AUTO_BUF struct bk_buf aor = { 0 };
    assert_int_equal(parse(text), 0);
    bk_buf_add_lit(&aor, "<");
    assert_int_equal(bk_sip_uri_aor(&uri, &aor), want ? 0 : -EBADMSG);
    assert_view(bk_view_skip(bk_buf_view(&aor), 1), want ? want : "");
}

static void an_address_is_one_key_however_it_is_spelt(void **state)
{
    (void)state;
    assert_aor("sip:ann@example.org", "ann@example.org");
    assert_aor("SIPS:%41NN:secret@Example.ORG.:5061;transport=tls?a=b", "ann@example.org");
    assert_aor("im:Ann@example.org", "ann@example.org");
    assert_aor("pres:ann%2Eb@example.org?x=y", "ann.b@example.org");
    assert_aor("sip:%C3%BC@example.org", "\xc3\xbc@example.org");
    assert_aor("sip:ann@[2001:DB8::1]:5060", "ann@[2001:db8::1]");
    assert_aor("sip:example.org", NULL);
    assert_aor("sip:@example.org", NULL);
    assert_aor("tel:123", NULL);
    assert_aor("xmpp:ann@example.org", NULL);
    assert_aor("im:example.org", NULL);
    assert_aor("im:a%@b", NULL);
}

static void an_escape_hides_nothing_in_an_address(void **state)
{
    (void)state;
    assert_aor("sip:ann%00@example.org", NULL);
    assert_aor("sip:ann%40evil.org@example.org", NULL);
    assert_aor("sip:ann%0d%0a@example.org", NULL);
    assert_aor("sip:ann%09@example.org", NULL);
    assert_aor("sip:ann%7F@example.org", NULL);
    assert_aor("sip:ann%FF@example.org", NULL); /* no UTF-8 */
}

static void an_address_has_its_longest(void **state)
{
    (void)state;
    char text[500] = "sip:";
    for (int i = 0; i < 64; i++)
        memcpy(text + 4 + 3 * i, "%61", 3);
    size_t host = strlen(text) + 1;
    text[host - 1] = '@';
    for (int i = 0; i < 255; i++)
        text[host + (size_t)i] = i % 2 ? '.' : 'B';
    BK_AUTO_BUF struct bk_buf aor = { 0 };
    assert_int_equal(parse(text), 0);
    assert_int_equal(bk_sip_uri_aor(&uri, &aor), 0);
    assert_int_equal(aor.len, 64 + 1 + 255);
    assert_true(aor.len <= BK_SIP_AOR_MAX);
    bk_buf_clear(&aor);
    memmove(text + 5, text + 4, strlen(text + 4) + 1);
    text[4] = 'x';
    assert_int_equal(parse(text), 0);
    assert_int_equal(bk_sip_uri_aor(&uri, &aor), -EBADMSG);
}

/* ---- escapes ---- */

static void what_was_escaped_comes_back(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf escaped = { 0 }, plain = { 0 };
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    bk_sip_escape_user(&escaped, (struct bk_view){ all, sizeof all });
    assert_int_equal(bk_sip_unescape(bk_buf_view(&escaped), &plain), 0);
    assert_views(bk_buf_view(&plain), (struct bk_view){ all, sizeof all });
    BK_AUTO_BUF struct bk_buf text = { 0 };
    bk_buf_addf(&text, "sip:%.*s@host", BK_VIEW_ARGS(bk_buf_view(&escaped)));
    assert_int_equal(parse(bk_buf_cstr(&text)), 0); /* nothing is left that may not stand there */
    assert_views(uri.user, bk_buf_view(&escaped));
}

static void a_broken_escape_changes_nothing(void **state)
{
    (void)state;
    static const char *const rows[] = { "%", "%4", "%4x", "a%41%", "%%41", "%g1" };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        BK_AUTO_BUF struct bk_buf to = { 0 };
        bk_buf_add_lit(&to, "kept");
        EXACT(text, bk_view_of_str(rows[i]));
        assert_int_equal(bk_sip_unescape(text, &to), -EBADMSG);
        assert_view(bk_buf_view(&to), "kept");
    }
}

/* ---- parameters ---- */

static void parameters_come_one_by_one(void **state)
{
    (void)state;
    struct bk_view rest = V("tag=a ; lr;\r\n x = \"q;,\\\"\" ;y=; z=[::1]:5");
    struct bk_sip_param p;
    assert_true(bk_sip_param_next(&rest, &p));
    assert_view(p.name, "tag");
    assert_view(p.value, "a");
    assert_true(bk_sip_param_next(&rest, &p));
    assert_view(p.name, "lr");
    assert_null(p.value.at);
    assert_true(bk_sip_param_next(&rest, &p));
    assert_view(p.name, "x");
    assert_view(p.value, "\"q;,\\\"\"");
    assert_true(bk_sip_param_next(&rest, &p));
    assert_view(p.name, "y");
    assert_non_null(p.value.at);
    assert_int_equal(p.value.len, 0);
    assert_true(bk_sip_param_next(&rest, &p));
    assert_view(p.value, "[::1]:5");
    assert_false(bk_sip_param_next(&rest, &p));
    assert_non_null(rest.at); /* the end, no fault */
    rest = (struct bk_view){ 0 };
    assert_false(bk_sip_param_next(&rest, &p));
    assert_non_null(rest.at);
}

static void a_fault_among_parameters_is_told_from_their_end(void **state)
{
    (void)state;
    static const char *const rows[] = {
        ";",     ";a",       "a;",     "a;;b", "a=b c", "a b",   "=b",
        "a=\"b", "a=\"b\"c", "a=\"\\", "a,b",  "a<b",   "a=b,c",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        EXACT(text, bk_view_of_str(rows[i]));
        struct bk_view rest = text;
        struct bk_sip_param p;
        while (bk_sip_param_next(&rest, &p))
            assert_inside(p.name, text);
        if (rest.at)
            fail_msg("no fault: %s", rows[i]);
    }
}

static void a_parameter_is_found_in_any_case_and_in_full(void **state)
{
    (void)state;
    struct bk_view value;
    assert_true(bk_sip_param_find(V("tagged=1;TAG=2;tag=3"), V("tag"), &value));
    assert_view(value, "2");
    assert_false(bk_sip_param_find(V("tagged=1"), V("tag"), &value));
    assert_false(bk_sip_param_find((struct bk_view){ 0 }, V("tag"), &value));
}

/* ---- addresses ---- */

static void addresses_come_off_a_list_in_either_form(void **state)
{
    (void)state;
    struct bk_view rest =
        V("\"A, \\\"B\" <sip:a@b;x=y?h=i> ; q=0.5;z=\"1,2\" ,\r\n sip:c@d;e=f, Bob X <sips:g>");
    struct bk_sip_addr a;
    assert_int_equal(bk_sip_addr_next(&rest, &a), 1);
    assert_view(a.display, "A, \\\"B");
    assert_view(a.uri_text, "sip:a@b;x=y?h=i");
    assert_true(a.bracketed);
    assert_true(bk_view_starts_with(a.params, V(" q=0.5;z=\"1,2\"")));
    assert_int_equal(bk_sip_addr_next(&rest, &a), 1);
    assert_view(a.uri_text, "sip:c@d");
    assert_view(a.params, "e=f");
    assert_false(a.bracketed);
    assert_int_equal(bk_sip_addr_next(&rest, &a), 1);
    assert_view(a.display, "Bob X");
    assert_view(a.uri_text, "sips:g");
    assert_int_equal(a.params.len, 0);
    assert_int_equal(rest.len, 0);
    assert_int_equal(bk_sip_addr_next(&rest, &a), 0);
    rest = V(" * ");
    assert_int_equal(bk_sip_addr_next(&rest, &a), 1);
    assert_true(a.star);
    rest = V("<*>");
    assert_int_equal(bk_sip_addr_next(&rest, &a), 1);
    assert_false(a.star);
    rest = (struct bk_view){ 0 };
    assert_int_equal(bk_sip_addr_next(&rest, &a), 0);
}

static void what_is_no_address_is_refused_and_left_alone(void **state)
{
    (void)state;
    static const char *const rows[] = {
        ",",
        ", sip:a",
        "sip:a,",
        "sip:a,,sip:b",
        "<sip:a",
        "sip:a>",
        "<>",
        "< sip:a>",
        "<sip:a >",
        "\"x\"",
        "\"x\" sip:a",
        "\"x <sip:a>",
        "x \"y\" <sip:a>",
        "<sip:a><sip:b>",
        "<sip:a> x",
        "<sip:a>;",
        "<sip:a>;;x",
        "<sip:a>;x=\"",
        "<<sip:a>>",
        "sip:a?b=c",
        "sip:a b",
        "@ <sip:a>",
        ";x",
        "<sip:a\">",
        "x, y <sip:a>",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        EXACT(text, bk_view_of_str(rows[i]));
        struct bk_view rest = text, before = text;
        struct bk_sip_addr a;
        int r;
        while ((r = bk_sip_addr_next(&rest, &a)) > 0)
            before = rest;
        if (r != -EBADMSG)
            fail_msg("accepted: %s", rows[i]);
        assert_ptr_equal(rest.at, before.at);
        assert_int_equal(rest.len, before.len);
    }
}

/* ---- sign-in addresses ---- */

static void assert_complaint(const char *address, size_t at, const char *why)
{
    size_t got_at = 9999;
    const char *got = "nothing";
    EXACT(text, bk_view_of_str(address));
    assert_int_equal(bk_sip_address_check(text, &got_at, &got), -EINVAL);
    assert_string_equal(got, why);
    assert_int_equal(got_at, at);
}

static void each_unsupported_character_is_named_where_it_stands(void **state)
{
    (void)state;
    static const struct {
        char c;
        const char *name;
    } rows[] = {
        { '\'', "an apostrophe" },
        { '`', "a grave accent" },
        { '"', "a quotation mark" },
        { '(', "an opening parenthesis" },
        { ')', "a closing parenthesis" },
        { ',', "a comma" },
        { ':', "a colon" },
        { ';', "a semicolon" },
        { '<', "a less-than sign" },
        { '>', "a greater-than sign" },
        { '[', "an opening bracket" },
        { ']', "a closing bracket" },
        { '\\', "a backslash" },
        { '/', "a slash" },
        { '{', "an opening brace" },
        { '}', "a closing brace" },
        { '|', "a vertical bar" },
        { '=', "an equals sign" },
        { '?', "a question mark" },
        { '+', "a plus sign" },
        { '*', "an asterisk" },
        { '%', "a percent sign" },
        { '&', "an ampersand" },
        { ' ', "a space" },
        { '\t', "a tab" },
        { '\n', "a control character" },
        { '\x7f', "a control character" },
        { '\xc3', "a character that is not ASCII" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char address[] = "o?hara@example.org", prefixed[] = "SIP:o?hara@example.org";
        char domain[] = "ohara@ex?mple.org";
        address[1] = prefixed[5] = domain[8] = rows[i].c;
        assert_complaint(address, 1, rows[i].name);
        assert_complaint(prefixed, 5, rows[i].name);
        assert_complaint(domain, 8, rows[i].name);
    }
    size_t at;
    const char *why;
    assert_int_equal(bk_sip_address_check(V("a\0b@c"), &at, &why), -EINVAL);
    assert_string_equal(why, "a control character");
}

static void the_shape_of_an_address_is_explained(void **state)
{
    (void)state;
    char longest[400], label[100];
    assert_complaint("", 0, "nothing before the @");
    assert_complaint("sip:", 4, "nothing before the @");
    assert_complaint("@example.org", 0, "nothing before the @");
    assert_complaint("ann", 3, "no @");
    assert_complaint("ann@", 4, "nothing behind the @");
    assert_complaint("ann@b@c", 5, "a second @");
    assert_complaint(".ann@b", 0, "a dot at the start");
    assert_complaint("ann.@b", 3, "a dot in front of the @");
    assert_complaint("a..b@c", 2, "a second dot in a row");
    assert_complaint("a@.b", 2, "a dot behind the @");
    assert_complaint("a@b..c", 4, "a second dot in a row");
    assert_complaint("a@b.", 3, "a dot at the end");
    assert_complaint("a@-b", 2, "a hyphen at the start of a part of the domain");
    assert_complaint("a@b-", 3, "a hyphen at the end");
    assert_complaint("a@b-.c", 3, "a hyphen in front of a dot");
    assert_complaint("a@b_c", 3, "an underscore");
    assert_complaint("a@192.0.2.1", 10, "a number at the end of the domain");
    memset(label, 'x', sizeof label);
    snprintf(longest, sizeof longest, "%.65s@b", label);
    assert_complaint(longest, 64, "more than 64 characters before the @");
    snprintf(longest, sizeof longest, "a@%.64s", label);
    assert_complaint(longest, 65, "more than 63 characters between two dots");
    snprintf(longest, sizeof longest, "a@%.63s.%.63s.%.63s.%.64s", label, label, label, label);
    assert_complaint(longest, 2 + 255, "more than 255 characters behind the @");
}

static void good_addresses_pass(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "ann@example.org", "sip:ann@example.org",
        "Sip:A.B-c_d@x",   "a!#$^~z@xn--bcher-kva.example",
        "1@2.x3",          "x@y-z.w",
    };
    char longest[400], part[100];
    size_t at;
    const char *why;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        EXACT(text, bk_view_of_str(rows[i]));
        if (bk_sip_address_check(text, &at, &why) < 0)
            fail_msg("refused: %s: %s", rows[i], why);
    }
    memset(part, 'x', sizeof part);
    snprintf(longest, sizeof longest, "%.64s@%.63s.%.63s.%.63s.%.63s", part, part, part, part,
             part);
    assert_int_equal(bk_sip_address_check(bk_view_of_str(longest), &at, &why), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_are_those_of_the_grammar),
        cmocka_unit_test(a_control_byte_is_found_at_any_place),
        cmocka_unit_test(every_part_of_a_uri_has_its_place),
        cmocka_unit_test(what_real_servers_put_into_uris_is_read),
        cmocka_unit_test(what_is_no_uri_is_refused),
        cmocka_unit_test(names_of_hosts_have_their_lengths),
        cmocka_unit_test(cut_at_any_byte_a_uri_stays_inside),
        cmocka_unit_test(uris_are_equal_as_the_rfc_lists_them),
        cmocka_unit_test(uris_with_too_many_parameters_are_equal_to_themselves_only),
        cmocka_unit_test(an_address_is_one_key_however_it_is_spelt),
        cmocka_unit_test(an_escape_hides_nothing_in_an_address),
        cmocka_unit_test(an_address_has_its_longest),
        cmocka_unit_test(what_was_escaped_comes_back),
        cmocka_unit_test(a_broken_escape_changes_nothing),
        cmocka_unit_test(parameters_come_one_by_one),
        cmocka_unit_test(a_fault_among_parameters_is_told_from_their_end),
        cmocka_unit_test(a_parameter_is_found_in_any_case_and_in_full),
        cmocka_unit_test(addresses_come_off_a_list_in_either_form),
        cmocka_unit_test(what_is_no_address_is_refused_and_left_alone),
        cmocka_unit_test(each_unsupported_character_is_named_where_it_stands),
        cmocka_unit_test(the_shape_of_an_address_is_explained),
        cmocka_unit_test(good_addresses_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
