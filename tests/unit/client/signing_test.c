/* SPDX-License-Identifier: Apache-2.0 */
/* The signatures of one connection, message by message, against the server's half of ms/. No sockets, no time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "client/signing.h"
#include "fakes/lync_way.h"
#include "fakes/pki.h"
#include "tests/unit/base/failing_alloc.h"

#include <stdio.h>
#include <stdlib.h>

#define HEAD(line, cseq)                                                                           \
    line "Via: SIP/2.0/TLS 10.0.0.7:4711;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n"                  \
         "From: <sip:ann@example.test>;tag=a\r\nTo: <sip:bob@example.test>;tag=b\r\n"              \
         "Call-ID: c1\r\nCSeq: " cseq "\r\n"
#define REGISTER(n)                                                                                \
    HEAD("REGISTER sip:example.test SIP/2.0\r\n", n " REGISTER") "Content-Length: 0\r\n\r\n"
#define MESSAGE(n)                                                                                 \
    HEAD("MESSAGE sip:bob@example.test SIP/2.0\r\n", n " MESSAGE") "Content-Length: 2\r\n\r\nhi"
#define OK(n, method)                                                                              \
    HEAD("SIP/2.0 200 OK\r\n", n " " method) "Expires: 600\r\nContent-Length: 0\r\n\r\n"

static struct pki_cert *certificate;
static struct lync_way way;
static struct lync_peer peer;
static struct bk_signing signing;
static struct bk_sip_msg msg;
static struct bk_sip_head head;
static char text[8192]; /* what msg points into */

static int make_all(void **state)
{
    (void)state;
    certificate = pki_make(
        &(struct pki_request){ .name = "ann@example.test", .san = "URI:sip:ann@example.test" });
    lync_way_start(&way, "srv.example.test", 5061);
    return 0;
}

static int free_all(void **state)
{
    (void)state;
    pki_free(certificate);
    return 0;
}

static int begin(void **state)
{
    (void)state;
    signing = (struct bk_signing){ .random = &bk_random_system, .epid = "0a1b2c3d4e5f" };
    return 0;
}

static int end(void **state)
{
    (void)state;
    bk_signing_finish(&signing);
    lync_peer_finish(&peer);
    return 0;
}

static void read_text(struct bk_view message)
{
    struct bk_sip_fault fault;
    assert_true(message.len < sizeof text);
    memmove(text, message.at, message.len);
    text[message.len] = 0;
    assert_int_equal(bk_sip_msg_parse(&msg, (struct bk_view){ text, message.len }, &fault), 0);
    assert_int_equal(bk_sip_msg_check(&msg, &head, &fault), 0);
}

/* What the client makes of this message on its way out; it stands in text and msg. */
static void goes_out(const char *message)
{
    BK_AUTO_BUF struct bk_buf out = { 0 };
    bk_signing_seal(&signing, bk_view_of_str(message), &out);
    assert_false(out.failed);
    read_text(bk_buf_view(&out));
}

/* What the client says to a message of the server, signed as the server does it. */
static const char *comes_in(const char *message)
{
    BK_AUTO_BUF struct bk_buf sealed = { 0 };
    lync_peer_seal(&peer, bk_view_of_str(message), false, &sealed);
    read_text(bk_buf_view(&sealed));
    return bk_signing_open(&signing, &msg, &head);
}

/* The server's 401 to the REGISTER in msg, taken by the client. */
static void challenged(void)
{
    BK_AUTO_BUF struct bk_buf lines = { 0 }, answer = { 0 };
    struct bk_signing_offer offer;
    BK_AUTO_BUF struct bk_buf pem = { 0 };
    bool own;
    assert_int_equal(lync_way_register(&way, &peer, &msg, NULL, &lines), 401);
    bk_buf_add_lit(&answer, HEAD("SIP/2.0 401 Unauthorized\r\n", "1 REGISTER"));
    bk_buf_add_view(&answer, bk_buf_view(&lines));
    bk_buf_add_lit(&answer, "Content-Length: 0\r\n\r\n");
    read_text(bk_buf_view(&answer));
    assert_null(bk_signing_open(&signing, &msg, &head));
    bk_signing_offer(&msg, BK_SA_TLS_DSK, &offer);
    assert_true(offer.there);
    if (offer.is_leg) {
        assert_null(bk_signing_go_on(&signing, &msg));
        return;
    }
    assert_string_equal(offer.others, "NTLM, TLS-DSK");
    bk_buf_addf(&pem, "%s%s", pki_key_pem(certificate), pki_cert_pem(certificate));
    struct bk_initiator_config config = { .scheme = BK_SA_TLS_DSK,
                                          .pem = bk_buf_cstr(&pem),
                                          .now_real_ms = bk_clock_real_ms(&bk_clock_system) };
    assert_null(bk_signing_begin(&signing, &offer, &config, &own));
}

/* Up to the signed REGISTER, which the server takes. */
static void shake_hands(void)
{
    int status = 0;
    BK_AUTO_BUF struct bk_buf lines = { 0 };
    goes_out(REGISTER("1"));
    assert_null(strstr(text, "Authorization"));
    for (int legs = 0; legs < 6 && status != 200; legs++) {
        challenged();
        goes_out(REGISTER("2"));
        if (strstr(text, "response=\""))
            status = lync_way_register(&way, &peer, &msg, NULL, &lines);
    }
    assert_int_equal(status, 200);
}

static void sign_in(void)
{
    shake_hands();
    assert_null(comes_in(OK("2", "REGISTER")));
    assert_true(bk_signing_stands(&signing));
}

/* ---- */

static void the_handshake_ends_with_both_sides_signing(void **state)
{
    (void)state;
    sign_in();
    goes_out(MESSAGE("3"));
    assert_true(lync_peer_check(&peer, &msg));
    assert_null(comes_in(OK("3", "MESSAGE")));
    assert_null(comes_in(MESSAGE("4")));
}

static void nothing_is_changed_but_for_the_epid_and_the_signature(void **state)
{
    (void)state;
    sign_in();
    goes_out(MESSAGE("3"));
    const char *line = strstr(text, "Authorization: TLS-DSK "),
               *epid = strstr(text, ";epid=0a1b2c3d4e5f");
    assert_non_null(line);
    assert_non_null(epid);
    size_t epid_len = strlen(";epid=0a1b2c3d4e5f");
    BK_AUTO_BUF struct bk_buf rest = { 0 };
    bk_buf_add(&rest, text, (size_t)(epid - text));
    bk_buf_add(&rest, epid + epid_len, (size_t)(line - epid) - epid_len);
    bk_buf_add_str(&rest, strstr(line, "\r\n") + 2);
    assert_string_equal(bk_buf_cstr(&rest), MESSAGE("3"));
}

static void answers_and_messages_with_an_epid_get_no_second_one(void **state)
{
    (void)state;
    sign_in();
    goes_out(OK("3", "MESSAGE"));
    assert_null(strstr(text, ";epid="));
    goes_out("MESSAGE sip:bob@example.test SIP/2.0\r\nVia: SIP/2.0/TLS "
             "h;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n"
             "From: <sip:ann@example.test>;tag=a;epid=mine\r\nTo: <sip:bob@example.test>\r\n"
             "Call-ID: c\r\nCSeq: 4 MESSAGE\r\nContent-Length: 0\r\n\r\n");
    assert_non_null(strstr(text, ";epid=mine\r\n"));
}

static void what_is_not_sip_goes_as_it_is(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf out = { 0 };
    sign_in();
    bk_signing_seal(&signing, BK_VIEW("\r\n\r\n"), &out);
    assert_true(bk_view_equal(bk_buf_view(&out), BK_VIEW("\r\n\r\n")));
}

static void a_changed_field_under_the_signature_is_not_believed(void **state)
{
    (void)state;
    static const char *const from[] = { "sip:ann@",    "sip:bob@", "tag=a",   "tag=b",
                                        "Call-ID: c1", "CSeq: 3",  "200 OK",  "Expires: 600",
                                        "rspauth=\"",  "snum=\"",  "srand=\"" };
    static const char *const to[] = { "sip:eve@",    "sip:eve@", "tag=x",    "tag=x",
                                      "Call-ID: c2", "CSeq: 4",  "202 OK",   "Expires: 601",
                                      "rspauth=\"0", "snum=\"7", "srand=\"0" };
    sign_in();
    for (size_t i = 0; i < BK_COUNT_OF(from); i++) {
        BK_AUTO_BUF struct bk_buf sealed = { 0 }, changed = { 0 };
        lync_peer_seal(&peer, BK_VIEW(OK("3", "MESSAGE")), false, &sealed);
        struct bk_view whole = bk_buf_view(&sealed);
        size_t at = bk_view_find_view(whole, bk_view_of_str(from[i]));
        assert_true(at < whole.len);
        bk_buf_add_view(&changed, bk_view_head(whole, at));
        bk_buf_add_str(&changed, to[i]);
        bk_buf_add_view(&changed, bk_view_skip(whole, at + strlen(from[i])));
        read_text(bk_buf_view(&changed));
        if (!bk_signing_open(&signing, &msg, &head))
            fail_msg("believed with %s for %s:\n%s", to[i], from[i], text);
    }
}

static void a_message_is_believed_once(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf sealed = { 0 };
    sign_in();
    lync_peer_seal(&peer, BK_VIEW(MESSAGE("3")), false, &sealed);
    read_text(bk_buf_view(&sealed));
    assert_null(bk_signing_open(&signing, &msg, &head));
    assert_string_equal(bk_signing_open(&signing, &msg, &head), "has a signature that came before");
}

static void unsigned_messages_are_believed_only_before_there_are_keys(void **state)
{
    (void)state;
    read_text(BK_VIEW(MESSAGE("3")));
    assert_null(bk_signing_open(&signing, &msg, &head));
    sign_in();
    read_text(BK_VIEW(MESSAGE("3")));
    assert_string_equal(bk_signing_open(&signing, &msg, &head), "is not signed");
    /* A refusal of REGISTER may be for somebody who has no keys. */
    read_text(BK_VIEW(HEAD("SIP/2.0 503 Busy\r\n", "9 REGISTER") "Content-Length: 0\r\n\r\n"));
    assert_null(bk_signing_open(&signing, &msg, &head));
}

static void the_200_that_ends_the_handshake_has_to_show_the_keys(void **state)
{
    (void)state;
    shake_hands();
    read_text(BK_VIEW(OK("2", "REGISTER")));
    assert_string_equal(bk_signing_open(&signing, &msg, &head), "is not signed");
    assert_false(bk_signing_stands(&signing));
    BK_AUTO_BUF struct bk_buf sealed = { 0 };
    lync_peer_seal(&peer, BK_VIEW(OK("2", "REGISTER")), true, &sealed);
    read_text(bk_buf_view(&sealed));
    assert_string_equal(bk_signing_open(&signing, &msg, &head), "has a wrong signature");
    assert_false(bk_signing_stands(&signing));
}

static void messages_go_on_under_the_old_keys_until_the_new_ones_are_used(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf late = { 0 }, lines = { 0 };
    sign_in();
    bk_signing_reopen(&signing);
    goes_out(REGISTER("5"));
    assert_null(strstr(text, "Authorization"));
    int status = 0;
    for (int legs = 0; legs < 6 && status != 200; legs++) {
        challenged();
        /* Something else in between: the server still knows the old keys alone. */
        goes_out(MESSAGE("6"));
        assert_true(lync_peer_check(&peer, &msg));
        assert_null(comes_in(MESSAGE("7")));
        bk_buf_clear(&late);
        lync_peer_seal(&peer, BK_VIEW(MESSAGE("8")), false, &late);
        goes_out(REGISTER("9"));
        if (strstr(text, "response=\""))
            status = lync_way_register(&way, &peer, &msg, NULL, &lines);
    }
    assert_int_equal(status, 200);
    /* Behind that REGISTER the server knows the new ones; what it had sent before may still arrive. */
    goes_out(MESSAGE("10"));
    assert_true(lync_peer_check(&peer, &msg));
    read_text(bk_buf_view(&late));
    assert_null(bk_signing_open(&signing, &msg, &head));
    assert_null(comes_in(MESSAGE("11")));
    assert_null(comes_in(OK("9", "REGISTER")));
    /* And now they are gone. */
    read_text(bk_buf_view(&late));
    assert_non_null(bk_signing_open(&signing, &msg, &head));
}

static void a_leg_that_makes_no_sense_ends_it(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "TLS-DSK opaque=\"X\", realm=\"r\", targetname=\"t\", version=4",
        "TLS-DSK opaque=\"X\", gssapi-data=\"not base64\", realm=\"r\", targetname=\"t\", "
        "version=4",
        "TLS-DSK gssapi-data=\"AAAA\", realm=\"r\", targetname=\"t\", version=4",
        "TLS-DSK opaque=\"X\", gssapi-data=\"AAAAAAAAAAAAAAAA\", realm=\"r\", targetname=\"t\", "
        "version=4",
        "Digest realm=\"r\"",
    };
    for (size_t i = 0; i < BK_COUNT_OF(bad); i++) {
        BK_AUTO_BUF struct bk_buf answer = { 0 };
        bk_signing_reset(&signing);
        lync_peer_finish(&peer);
        goes_out(REGISTER("1"));
        challenged();
        bk_buf_addf(&answer, "%sWWW-Authenticate: %s\r\nContent-Length: 0\r\n\r\n",
                    HEAD("SIP/2.0 401 Unauthorized\r\n", "1 REGISTER"), bad[i]);
        read_text(bk_buf_view(&answer));
        if (!bk_signing_go_on(&signing, &msg))
            fail_msg("taken: %s", bad[i]);
    }
}

static void a_certificate_that_is_none_is_our_own_fault(void **state)
{
    (void)state;
    struct bk_signing_offer offer = { .there = true,
                                      .realm = BK_VIEW("r"),
                                      .targetname = BK_VIEW("t") };
    struct bk_initiator_config config = { .scheme = BK_SA_TLS_DSK, .pem = "nothing" };
    bool own = false;
    assert_non_null(bk_signing_begin(&signing, &offer, &config, &own));
    assert_true(own);
    offer.realm = (struct bk_view){ 0 };
    config.pem = pki_cert_pem(certificate);
    assert_non_null(bk_signing_begin(&signing, &offer, &config, &own));
    assert_false(own);
}

static void without_memory_nothing_goes_out_unsigned_and_nothing_forged_is_believed(void **state)
{
    (void)state;
    sign_in();
    bool failed = true;
    for (unsigned n = 1; failed; n++) {
        BK_AUTO_BUF struct bk_buf out = { 0 };
        (void)bk_fail_alloc(n);
        bk_signing_seal(&signing, BK_VIEW(MESSAGE("3")), &out);
        failed = bk_fail_alloc(0);
        if (!out.failed)
            assert_true(bk_view_find_view(bk_buf_view(&out), BK_VIEW("response=\"")) < out.len);
        else
            assert_true(failed);
    }
    failed = true;
    for (unsigned n = 1; failed; n++) {
        BK_AUTO_BUF struct bk_buf sealed = { 0 };
        lync_peer_seal(&peer, BK_VIEW(MESSAGE("4")), true, &sealed);
        read_text(bk_buf_view(&sealed));
        (void)bk_fail_alloc(n);
        const char *wrong = bk_signing_open(&signing, &msg, &head);
        failed = bk_fail_alloc(0);
        assert_non_null(wrong);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(the_handshake_ends_with_both_sides_signing),
        TEST(nothing_is_changed_but_for_the_epid_and_the_signature),
        TEST(answers_and_messages_with_an_epid_get_no_second_one),
        TEST(what_is_not_sip_goes_as_it_is),
        TEST(a_changed_field_under_the_signature_is_not_believed),
        TEST(a_message_is_believed_once),
        TEST(unsigned_messages_are_believed_only_before_there_are_keys),
        TEST(the_200_that_ends_the_handshake_has_to_show_the_keys),
        TEST(messages_go_on_under_the_old_keys_until_the_new_ones_are_used),
        TEST(a_leg_that_makes_no_sense_ends_it),
        TEST(a_certificate_that_is_none_is_our_own_fault),
        TEST(without_memory_nothing_goes_out_unsigned_and_nothing_forged_is_believed),
    };
    return cmocka_run_group_tests_name("client signing", tests, make_all, free_all);
}
