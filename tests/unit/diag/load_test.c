/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of beckon-load that could be wrong without anybody noticing. */
#include "base/cleanup.h"
#include "base/text.h"
#include "diag/load/digest.h"
#include "diag/load/io.h"
#include "diag/load/msg.h"
#include "diag/load/ops.h"
#include "diag/load/options.h"
#include "diag/load/people.h"
#include "diag/load/proc.h"
#include "diag/load/sa.h"
#include "diag/load/samples.h"
#include "ms/sa.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
/* cmocka wants the first four of these before it. */
#include <cmocka.h>

/* ---- percentiles ---- */

static uint64_t percentile_of(const uint64_t *ns, size_t count, double percent)
{
    struct bk_load_samples samples = { 0 };
    for (size_t i = 0; i < count; i++)
        bk_load_samples_add(&samples, ns[i]);
    uint64_t found = bk_load_samples_percentile(&samples, percent);
    bk_load_samples_finish(&samples);
    return found;
}

static void percentiles_are_nearest_rank(void **state)
{
    (void)state;
    /* The worked example everybody prints for this method. */
    static const uint64_t five[] = { 35, 20, 15, 50, 40 };
    assert_int_equal(percentile_of(five, 5, 5), 15);
    assert_int_equal(percentile_of(five, 5, 30), 20);
    assert_int_equal(percentile_of(five, 5, 40), 20);
    assert_int_equal(percentile_of(five, 5, 50), 35);
    assert_int_equal(percentile_of(five, 5, 100), 50);
}

static void percentiles_of_a_hundred_are_the_hundred(void **state)
{
    (void)state;
    uint64_t ns[100];
    for (size_t i = 0; i < 100; i++)
        ns[i] = (i * 37) % 100 + 1; /* 1 to 100 in another order */
    for (unsigned percent = 1; percent <= 100; percent++)
        assert_int_equal(percentile_of(ns, 100, percent), percent);
}

static void one_slow_in_a_thousand_is_the_maximum_and_not_p99(void **state)
{
    (void)state;
    uint64_t ns[1000];
    for (size_t i = 0; i < 1000; i++)
        ns[i] = i == 3 ? 5000 : 10;
    assert_int_equal(percentile_of(ns, 1000, 99), 10);
    assert_int_equal(percentile_of(ns, 1000, 99.9), 10);
    assert_int_equal(percentile_of(ns, 1000, 100), 5000);
}

static void samples_may_come_after_a_percentile_was_asked_for(void **state)
{
    (void)state;
    struct bk_load_samples samples = { 0 };
    assert_int_equal(bk_load_samples_percentile(&samples, 50), 0);
    bk_load_samples_add(&samples, 9);
    assert_int_equal(bk_load_samples_percentile(&samples, 100), 9);
    bk_load_samples_add(&samples, 4);
    assert_int_equal(bk_load_samples_percentile(&samples, 50), 4);
    bk_load_samples_finish(&samples);
}

/* ---- Digest ---- */

static void expect_response(const char *challenge_text, struct bk_load_credentials credentials,
                            const char *expected)
{
    struct bk_load_challenge challenge;
    char response[65];
    assert_int_equal(bk_load_challenge_parse(bk_view_of_str(challenge_text), &challenge), 0);
    assert_int_equal(bk_load_digest_response(&challenge, &credentials, response), 0);
    assert_string_equal(response, expected);
}

static void digest_answers_the_example_of_rfc_2617(void **state)
{
    (void)state;
    expect_response("Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", "
                    "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", "
                    "opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
                    (struct bk_load_credentials){ .username = "Mufasa",
                                                  .password = "Circle Of Life",
                                                  .method = "GET",
                                                  .uri = "/dir/index.html",
                                                  .cnonce = "0a4f113b",
                                                  .nc = 1 },
                    "6629fae49393a05397450978507c4ef1");
}

static void digest_answers_the_examples_of_rfc_7616(void **state)
{
    (void)state;
    const struct bk_load_credentials credentials = {
        .username = "Mufasa",
        .password = "Circle of Life",
        .method = "GET",
        .uri = "/dir/index.html",
        .cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        .nc = 1
    };
    expect_response("Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", "
                    "algorithm=SHA-256, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", "
                    "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
                    credentials,
                    "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
    expect_response("Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", "
                    "algorithm=MD5, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", "
                    "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
                    credentials, "8ca523f5e9506fed4657c9700eebdbec");
}

static void digest_without_qop_is_that_of_rfc_2069(void **state)
{
    (void)state;
    /* The example of RFC 2069 section 2.4 as its erratum 749 corrects it. */
    expect_response("Digest realm=\"testrealm@host.com\", "
                    "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"",
                    (struct bk_load_credentials){ .username = "Mufasa",
                                                  .password = "CircleOfLife",
                                                  .method = "GET",
                                                  .uri = "/dir/index.html" },
                    "1949323746fe6a43ef61f9606e7febea");
}

static void a_session_algorithm_mixes_both_nonces_in(void **state)
{
    (void)state;
    const struct bk_load_credentials credentials = { .username = "u",
                                                     .password = "p",
                                                     .method = "REGISTER",
                                                     .uri = "sip:h",
                                                     .cnonce = "c",
                                                     .nc = 1 };
    /* made with md5sum: H(H(H(u:r:p):n:c):n:00000001:c:auth:H(REGISTER:sip:h)) */
    expect_response("Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=MD5-sess",
                    credentials, "07c48dd5bad8ac1b045511259a5c392e");
}

static void digest_answer_carries_what_the_challenge_named(void **state)
{
    (void)state;
    struct bk_load_challenge challenge;
    BK_AUTO_BUF struct bk_buf text = { 0 };
    const struct bk_load_credentials credentials = { .username = "u7",
                                                     .password = "p",
                                                     .method = "REGISTER",
                                                     .uri = "sip:h",
                                                     .cnonce = "c",
                                                     .nc = 26 };
    assert_int_equal(
        bk_load_challenge_parse(BK_VIEW("DIGEST Realm=\"a\\\"b\" ,nonce=n,opaque=\"\", "
                                        "algorithm=sha-256,qop=\"auth-int,auth\",stale=TRUE"),
                                &challenge),
        0);
    assert_true(challenge.stale);
    assert_int_equal(bk_load_digest_answer(&challenge, &credentials, &text), 0);
    struct bk_view made = bk_buf_view(&text);
    assert_true(bk_view_starts_with(
        made, BK_VIEW("Digest username=\"u7\", realm=\"a\\\"b\", nonce=\"n\", uri=\"sip:h\", ")));
    assert_true(bk_view_ends_with(made, BK_VIEW("\", algorithm=sha-256, opaque=\"\", qop=auth, "
                                                "nc=0000001a, cnonce=\"c\"")));
}

static void a_challenge_that_cannot_be_answered_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int error;
    } cases[] = {
        { "Basic realm=\"r\"", -ENOTSUP },
        { "NTLM realm=\"r\", nonce=\"n\"", -ENOTSUP },
        { "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-3", -ENOTSUP },
        { "Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\"", -ENOTSUP },
        { "Digest realm=\"r\"", -EBADMSG },
        { "Digest nonce=\"n\"", -EBADMSG },
        { "Digest realm=\"r, nonce=\"n", -EBADMSG },
        { "Digest realm=\"r\" nonce=\"n\"", -EBADMSG },
        { "Digest realm", -EBADMSG },
        { "Digest realm=\"r\\", -EBADMSG },
    };
    for (size_t i = 0; i < BK_COUNT_OF(cases); i++) {
        struct bk_load_challenge challenge;
        assert_int_equal(bk_load_challenge_parse(bk_view_of_str(cases[i].text), &challenge),
                         cases[i].error);
    }
}

/* ---- signatures of the Lync dialect ---- */

/* The server's end of an association, by the server's own code, and ours, by NTLM. */
struct association {
    struct bk_load_sa ours;
    struct bk_sa *theirs;
};

static const char *challenged(struct bk_load_sa *sa, const struct bk_load_sa_config *config,
                              struct bk_buf *value)
{
    struct bk_load_fields fields = { .at = { bk_buf_view(value) }, .count = 1 };
    return bk_load_sa_challenged(sa, config, &fields);
}

static void begin_association(struct association *a)
{
    static const struct bk_view realm = { BK_VIEW_OF(BK_SA_REALM) };
    static const struct bk_view target = { BK_VIEW_OF("srv.example.com") };
    static const struct bk_view opaque = { BK_VIEW_OF("D1AE573C") };
    static const uint8_t nonce[8] = "12345678";
    struct bk_random_seeded seeded;
    struct bk_random random = bk_random_from_seed(&seeded, 7);
    struct bk_load_sa_config config = { .scheme = BK_LOAD_NTLM,
                                        .address = "alice@example.com",
                                        .password = "secret",
                                        .now_real_ms = 1700000000000,
                                        .random = &random };
    BK_AUTO_BUF struct bk_buf value = { 0 }, token = { 0 };
    *a = (struct association){ 0 };

    bk_sa_offer_write(&value, BK_SA_NTLM, realm, target, (struct bk_view){ 0 });
    assert_null(challenged(&a->ours, &config, &value));
    assert_int_equal(a->ours.step, BK_LOAD_SA_LEG);

    struct bk_ntlm_names names = { BK_VIEW("EXAMPLE"), BK_VIEW("SRV"), BK_VIEW("example.com"),
                                   BK_VIEW("srv.example.com") };
    bk_ntlm_challenge_write(&token, nonce, &names);
    bk_buf_clear(&value);
    bk_sa_challenge_write(&value, BK_SA_NTLM, opaque, bk_buf_view(&token), target, realm);
    assert_null(challenged(&a->ours, &config, &value));
    assert_int_equal(a->ours.step, BK_LOAD_SA_KEYS);

    struct bk_ntlm_answer answer;
    uint8_t hash[BK_NTLM_HASH_SIZE];
    struct bk_sa_config theirs = {
        .scheme = BK_SA_NTLM, .server = true, .opaque = opaque, .realm = realm, .targetname = target
    };
    assert_int_equal(bk_ntlm_answer_parse(bk_initiator_token(a->ours.initiator), &answer), 0);
    assert_int_equal(bk_ntlm_hash(BK_VIEW("secret"), hash), 0);
    assert_true(bk_ntlm_check(&answer, nonce, hash, &theirs.keys.ntlm));
    assert_int_equal(bk_sa_create(&theirs, &a->theirs), 0);
}

static void end_association(struct association *a)
{
    bk_sa_destroy(a->theirs);
    bk_load_sa_finish(&a->ours);
}

static const char invite[] =
    "INVITE sip:bob@example.com SIP/2.0\r\n"
    "Via: SIP/2.0/TLS 127.0.0.1:40000;branch=z9hG4bKa\r\n"
    "From: \"Alice, A\" <sip:alice@example.com>;tag=aa;epid=000000000001\r\n"
    "To: <sip:bob@example.com;x=y>\r\nCall-ID: c1\r\nCSeq: 7 INVITE\r\n"
    "P-Preferred-Identity: <sip:alice@example.com>,<tel:+1234>\r\nExpires: 60\r\n"
    "Content-Length: 0\r\n\r\n";
static const char ok[] = "SIP/2.0 200 OK\r\n"
                         "Via: SIP/2.0/TLS 127.0.0.1:40000;branch=z9hG4bKa\r\n"
                         "From: <sip:alice@example.com>;tag=aa;epid=000000000001\r\n"
                         "To: <sip:bob@example.com>;tag=bb\r\nCall-ID: c1\r\n"
                         "CSeq: 7 INVITE\r\n";

/* With this line behind the first one, as the server reads it. */
static void split(const char *text, struct bk_view line, struct bk_buf *ret_text,
                  struct bk_sip_msg *ret, struct bk_sip_head *ret_head)
{
    struct bk_view bytes = bk_view_of_str(text);
    size_t first = bk_view_find(bytes, '\n') + 1;
    struct bk_sip_fault fault;
    bk_buf_clear(ret_text);
    bk_buf_add_view(ret_text, bk_view_head(bytes, first));
    bk_buf_add_view(ret_text, line);
    bk_buf_add_view(ret_text, bk_view_skip(bytes, first));
    assert_int_equal(bk_sip_msg_parse(ret, bk_buf_view(ret_text), &fault), 0);
    assert_int_equal(bk_sip_msg_check(ret, ret_head, &fault), 0);
}

static void what_we_sign_the_server_takes(void **state)
{
    (void)state;
    struct association a;
    struct bk_load_msg msg;
    static struct bk_sip_msg sip;
    struct bk_sip_head head;
    struct bk_sa_header header;
    size_t skip;
    BK_AUTO_BUF struct bk_buf line = { 0 }, text = { 0 };
    begin_association(&a);
    assert_true(bk_load_msg_parse(bk_view_of_str(invite), &msg, &skip) > 0);
    for (unsigned i = 1; i <= 3; i++) {
        bk_buf_clear(&line);
        bk_load_sa_authorize(&a.ours, &msg, &bk_random_system, &line);
        split(invite, bk_buf_view(&line), &text, &sip, &head);
        assert_int_equal(
            bk_sa_header_parse(bk_sip_msg_value(&sip, BK_SIP_HDR_AUTHORIZATION), &header), 0);
        assert_int_equal(header.number, i);
        assert_int_equal(bk_sa_verify(a.theirs, &sip, &head, &header), BK_SA_GOOD);
    }
    end_association(&a);
}

/* The 200 with the server's signature in it, as we read it. */
static void server_signs(struct association *a, struct bk_buf *ret_text, struct bk_load_msg *ret)
{
    static struct bk_sip_msg sip;
    struct bk_sip_head head;
    size_t skip;
    BK_AUTO_BUF struct bk_buf plain = { 0 }, line = { 0 };
    bk_buf_addf(&plain, "%sContent-Length: 0\r\n\r\n", ok);
    split(bk_buf_cstr(&plain), (struct bk_view){ 0 }, ret_text, &sip, &head);
    bk_sa_sign(a->theirs, &sip, &head, &bk_random_system, (struct bk_view){ 0 }, &line);
    bk_buf_clear(ret_text);
    bk_buf_addf(ret_text, "%s%.*sContent-Length: 0\r\n\r\n", ok, (int)line.len, line.at);
    assert_true(bk_load_msg_parse(bk_buf_view(ret_text), ret, &skip) > 0);
}

static void what_the_server_signs_we_take_once(void **state)
{
    (void)state;
    struct association a;
    struct bk_load_msg msg;
    BK_AUTO_BUF struct bk_buf text = { 0 };
    begin_association(&a);
    server_signs(&a, &text, &msg);
    assert_null(bk_load_sa_check(&a.ours, &msg));
    assert_int_equal(a.ours.step, BK_LOAD_SA_STANDS);
    assert_non_null(bk_load_sa_check(&a.ours, &msg));
    server_signs(&a, &text, &msg);
    assert_null(bk_load_sa_check(&a.ours, &msg));
    end_association(&a);
}

static void a_wrong_signature_of_the_server_is_noticed(void **state)
{
    (void)state;
    /* What the signature covers, and the signature itself: one byte of each. */
    static const char *const places[] = { "SIP/2.0 2",   "alice@",        "tag=a",    "bob@",
                                          "tag=b",       "Call-ID: c",    "CSeq: ",   "srand=\"",
                                          "rspauth=\"0", "targetname=\"", "realm=\"", "opaque=\"" };
    struct bk_load_msg msg;
    size_t skip;
    BK_AUTO_BUF struct bk_buf text = { 0 };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct association a;
        begin_association(&a);
        server_signs(&a, &text, &msg);
        struct bk_view place = bk_view_of_str(places[i]);
        size_t at = bk_view_find_view(bk_buf_view(&text), place) + place.len;
        assert_true(at < text.len);
        text.at[at] = text.at[at] == '1' ? '2' : '1';
        assert_true(bk_load_msg_parse(bk_buf_view(&text), &msg, &skip) > 0);
        assert_non_null(bk_load_sa_check(&a.ours, &msg));
        end_association(&a);
    }
    struct association a;
    begin_association(&a);
    bk_buf_clear(&text);
    bk_buf_addf(&text, "%sContent-Length: 0\r\n\r\n", ok);
    assert_true(bk_load_msg_parse(bk_buf_view(&text), &msg, &skip) > 0);
    assert_string_equal(bk_load_sa_check(&a.ours, &msg), "is not signed");
    end_association(&a);
}

static void a_refusal_at_the_end_of_the_handshake_is_final(void **state)
{
    (void)state;
    struct association a;
    struct bk_load_sa_config config = { .scheme = BK_LOAD_NTLM };
    BK_AUTO_BUF struct bk_buf value = { 0 };
    begin_association(&a);
    bk_sa_offer_write(&value, BK_SA_NTLM, BK_VIEW(BK_SA_REALM), BK_VIEW("srv.example.com"),
                      (struct bk_view){ 0 });
    assert_string_equal(challenged(&a.ours, &config, &value),
                        "refused at the end of the handshake");
    bk_buf_clear(&value);
    bk_buf_add_lit(&value, "Digest realm=\"a\", nonce=\"b\"");
    assert_string_equal(challenged(&a.ours, &config, &value), "the scheme is not offered");
    end_association(&a);
}

/* ---- which answer belongs to which operation ---- */

static struct bk_load_token token_of(const struct bk_load_ops *ops, uint32_t slot)
{
    return (struct bk_load_token){ slot, ops->slots[slot].generation, 'm', 0 };
}

static void a_token_survives_its_text(void **state)
{
    (void)state;
    static const struct bk_load_token tokens[] = { { 0, 1, 'a', 0 },
                                                   { UINT32_MAX, UINT32_MAX, 'z', 15 },
                                                   { 4711, 0x89abcdef, 'm', 2 } };
    for (size_t i = 0; i < BK_COUNT_OF(tokens); i++) {
        char text[BK_LOAD_TOKEN_SIZE];
        struct bk_load_token back;
        bk_load_token_write(&tokens[i], text);
        assert_int_equal(strlen(text), BK_LOAD_TOKEN_SIZE - 1);
        assert_int_equal(bk_load_token_read(bk_view_of_str(text), &back), 0);
        /* Member by member: what lies between them is nobody's. */
        assert_int_equal(back.slot, tokens[i].slot);
        assert_int_equal(back.generation, tokens[i].generation);
        assert_int_equal(back.leg, tokens[i].leg);
        assert_int_equal(back.tries, tokens[i].tries);
        for (size_t cut = 0; cut < sizeof text - 1; cut++)
            assert_int_equal(bk_load_token_read((struct bk_view){ text, cut }, &back), -EINVAL);
    }
}

static void a_text_that_is_no_token_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = { "bl00000000.00000001.A0", "bl0000000G.00000001.a0",
                                         "xl00000000.00000001.a0", "bl00000000-00000001.a0",
                                         "bl00000000.00000001.a00" };
    for (size_t i = 0; i < BK_COUNT_OF(texts); i++) {
        struct bk_load_token token;
        assert_int_equal(bk_load_token_read(bk_view_of_str(texts[i]), &token), -EINVAL);
    }
}

static void a_late_answer_does_not_end_the_next_operation_of_its_slot(void **state)
{
    (void)state;
    struct bk_load_ops ops;
    assert_int_equal(bk_load_ops_init(&ops, 1), 0);
    uint32_t slot = bk_load_ops_take(&ops, 0, 10);
    struct bk_load_token first = token_of(&ops, slot);
    assert_true(bk_load_ops_is_live(&ops, &first));
    assert_int_equal(bk_load_ops_take(&ops, 0, 10), BK_LOAD_OP_NONE);
    bk_load_ops_give(&ops, slot);
    assert_false(bk_load_ops_is_live(&ops, &first));
    assert_int_equal(bk_load_ops_take(&ops, 1, 10), slot);
    struct bk_load_token second = token_of(&ops, slot);
    assert_false(bk_load_ops_is_live(&ops, &first));
    assert_true(bk_load_ops_is_live(&ops, &second));
    struct bk_load_token outside = { 1, 1, 'm', 0 };
    assert_false(bk_load_ops_is_live(&ops, &outside));
    bk_load_ops_finish(&ops);
}

static void the_oldest_operation_is_the_first_to_time_out(void **state)
{
    (void)state;
    struct bk_load_ops ops;
    assert_int_equal(bk_load_ops_init(&ops, 4), 0);
    assert_int_equal(bk_load_ops_oldest(&ops), BK_LOAD_OP_NONE);
    uint32_t a = bk_load_ops_take(&ops, 1, 10), b = bk_load_ops_take(&ops, 2, 10),
             c = bk_load_ops_take(&ops, 3, 10);
    bk_load_ops_give(&ops, b);
    bk_load_ops_give(&ops, b); /* giving twice changes nothing */
    assert_int_equal(ops.live_count, 2);
    assert_int_equal(bk_load_ops_oldest(&ops), a);
    bk_load_ops_give(&ops, a);
    assert_int_equal(bk_load_ops_oldest(&ops), c);
    b = bk_load_ops_take(&ops, 4, 10);
    bk_load_ops_give(&ops, c);
    assert_int_equal(bk_load_ops_oldest(&ops), b);
    bk_load_ops_give(&ops, b);
    assert_int_equal(bk_load_ops_oldest(&ops), BK_LOAD_OP_NONE);
    bk_load_ops_finish(&ops);
}

/* ---- SIP as it comes in ---- */

static const char notify[] =
    "NOTIFY sip:u1@127.0.0.1:4000;transport=tls SIP/2.0\r\n"
    "Via: SIP/2.0/TLS 127.0.0.1:5061;branch=z9hG4bKserver;i=1, SIP/2.0/TLS 127.0.0.1:1\r\n"
    "v: SIP/2.0/TLS 127.0.0.1:4001;branch=z9hG4bKsecond\r\n"
    "f: \"A > B\" <sip:u0@h;x=1>;tag=f1\r\n"
    "t: <sip:u1@h>;tag=t1\r\n"
    "i: call\r\n"
    "CSeq: 7 NOTIFY\r\n"
    "Max-Forwards: 69\r\n"
    "Subject: folded\r\n over\r\n"
    "o: presence\r\n"
    "Subscription-State: active;expires=5\r\n"
    "l: 5\r\n"
    "\r\n"
    "12345";

static void a_message_is_read_once_all_of_it_is_there(void **state)
{
    (void)state;
    struct bk_load_msg msg;
    size_t skip, len = sizeof notify - 1;
    for (size_t cut = 0; cut < len; cut++) {
        /* The copy ends with its heap block, so one byte too far is seen. */
        char *copy = malloc(cut ? cut : 1);
        assert_non_null(copy);
        memcpy(copy, notify, cut);
        assert_int_equal(bk_load_msg_parse((struct bk_view){ copy, cut }, &msg, &skip), 0);
        free(copy);
    }
    assert_int_equal(bk_load_msg_parse((struct bk_view){ notify, len }, &msg, &skip), (int)len);
    assert_int_equal(msg.status, 0);
    assert_true(bk_view_equal(msg.method, BK_VIEW("NOTIFY")));
    assert_int_equal(msg.via.count, 2);
    assert_true(bk_view_equal(msg.branch, BK_VIEW("z9hG4bKserver")));
    assert_true(bk_view_equal(bk_load_msg_param(msg.from, BK_VIEW("tag")), BK_VIEW("f1")));
    assert_true(bk_view_equal(msg.call_id, BK_VIEW("call")));
    assert_int_equal(msg.cseq, 7);
    assert_int_equal(msg.max_forwards, 69);
    assert_true(bk_view_equal(msg.event, BK_VIEW("presence")));
    assert_true(bk_view_equal(msg.body, BK_VIEW("12345")));
}

static void two_messages_and_life_signs_come_apart(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf stream = { 0 };
    bk_buf_add_lit(&stream, "\r\n\r\n");
    bk_buf_add_str(&stream, notify);
    bk_buf_add_str(&stream, notify);
    bk_buf_add_lit(&stream, "\r\n");
    struct bk_view rest = bk_buf_view(&stream);
    struct bk_load_msg msg;
    size_t skip;
    ssize_t n = bk_load_msg_parse(rest, &msg, &skip);
    assert_int_equal(n, (int)(4 + sizeof notify - 1));
    rest = bk_view_skip(rest, (size_t)n);
    n = bk_load_msg_parse(rest, &msg, &skip);
    assert_int_equal(n, (int)(sizeof notify - 1));
    rest = bk_view_skip(rest, (size_t)n);
    assert_int_equal(bk_load_msg_parse(rest, &msg, &skip), 0);
    assert_int_equal(skip, 2);
}

static void an_answer_has_status_and_the_method_of_its_cseq(void **state)
{
    (void)state;
    struct bk_load_msg msg;
    size_t skip;
    struct bk_view text =
        BK_VIEW("SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/TLS h;branch=\"z9hG4bKx\"\r\n"
                "From: <sip:a@h>;tag=1\r\nTo: <sip:a@h>;tag=2\r\nCall-ID: c\r\n"
                "CSeq:  3  REGISTER\r\nWWW-Authenticate: Digest realm=\"a\"\r\n"
                "WWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(bk_load_msg_parse(text, &msg, &skip), (int)text.len);
    assert_int_equal(msg.status, 401);
    assert_true(bk_view_equal(msg.method, BK_VIEW("REGISTER")));
    assert_true(bk_view_equal(msg.branch, BK_VIEW("z9hG4bKx")));
    assert_int_equal(msg.challenge.count, 2);
}

static void what_is_not_sip_is_noticed(void **state)
{
    (void)state;
    static const char rest[] = "Via: SIP/2.0/TLS h;branch=z9hG4bKx\r\nFrom: <sip:a@h>;tag=1\r\n"
                               "To: <sip:a@h>\r\nCall-ID: c\r\n";
    static const char *const starts[] = {
        "HTTP/1.1 200 OK\r\nCSeq: 1 X\r\n",
        "SIP/2.0 20 OK\r\nCSeq: 1 X\r\n",
        "SIP/2.0 777 OK\r\nCSeq: 1 X\r\n",
        "NOTIFY sip:a@h SIP/2.0\r\nCSeq: 1 MESSAGE\r\n",
        "NOTIFY sip:a@h SIP/2.0\r\nCSeq: 4294967296 NOTIFY\r\n",
        "NOTIFY sip:a@h SIP/2.0\r\nCSeq: 1 NOTIFY\r\nContent-Length: 99999999\r\n",
        "NOTIFY sip:a@h SIP/2.0\r\nCSeq: 1 NOTIFY\r\nCall-ID: d\r\n",
        "NOTIFY sip:a@h SIP/2.0\r\nCSeq: 1 NOTIFY\r\nno colon\r\n",
        "NOTIFY sip:a@h SIP/2.0\r\n",
    };
    for (size_t i = 0; i < BK_COUNT_OF(starts); i++) {
        BK_AUTO_BUF struct bk_buf text = { 0 };
        struct bk_load_msg msg;
        size_t skip;
        bk_buf_addf(&text, "%s%s\r\n", starts[i], rest);
        assert_int_equal(bk_load_msg_parse(bk_buf_view(&text), &msg, &skip), -EBADMSG);
    }
}

/* ---- who ---- */

static void a_pattern_names_everybody(void **state)
{
    (void)state;
    struct bk_load_people people = { 0 };
    assert_int_equal(bk_load_people_from_pattern("load-%d.x", "h.test", "secret", 12, &people), 0);
    assert_int_equal(people.count, 12);
    assert_string_equal(people.at[0].address, "load-0.x@h.test");
    assert_string_equal(people.at[11].user, "load-11.x");
    assert_string_equal(people.at[11].password, "secret");
    bk_load_people_finish(&people);
    static const char *const wrong[] = { "u", "u%s", "u%d%d", "u%d%%", "%d@h", "a b%d", "<%d" };
    for (size_t i = 0; i < BK_COUNT_OF(wrong); i++)
        assert_int_equal(bk_load_people_from_pattern(wrong[i], "h", "p", 1, &people), -EINVAL);
}

static void a_list_gives_each_a_password_of_their_own(void **state)
{
    (void)state;
    struct bk_load_people people = { 0 };
    unsigned line = 0;
    struct bk_view text = BK_VIEW("Address,Password\r\n# a remark\r\n\r\n"
                                  "sip:a@h,one,further\r\n\"b@h\",\"t\"\"w,o\"\r\nc@h,three");
    assert_int_equal(bk_load_people_from_csv(text, 100, &people, &line), 0);
    assert_int_equal(people.count, 3);
    assert_string_equal(people.at[0].address, "a@h");
    assert_string_equal(people.at[0].password, "one");
    assert_string_equal(people.at[1].password, "t\"w,o");
    assert_string_equal(people.at[2].user, "c");
    bk_load_people_finish(&people);
    assert_int_equal(bk_load_people_from_csv(text, 2, &people, &line), 0);
    assert_int_equal(people.count, 2);
    bk_load_people_finish(&people);
}

static void a_bad_line_of_a_list_is_named(void **state)
{
    (void)state;
    static const char *const bad[] = { "a@h\n",     "a,b\n",     "@h,p\n",       "a@,p\n",
                                       "a@h@i,p\n", "\"a@h,p\n", "\"a@h\"x,p\n", "a b@h,p\n" };
    for (size_t i = 0; i < BK_COUNT_OF(bad); i++) {
        struct bk_load_people people = { 0 };
        BK_AUTO_BUF struct bk_buf text = { 0 };
        unsigned line = 0;
        bk_buf_addf(&text, "z@h,p\n%s", bad[i]);
        assert_int_equal(bk_load_people_from_csv(bk_buf_view(&text), 9, &people, &line), -EBADMSG);
        assert_int_equal(line, 2);
    }
}

/* ---- the command line ---- */

static int parse(const char *const *words, int count, struct bk_load_options *ret,
                 struct bk_buf *problem)
{
    char *argv[16] = { (char *)"beckon-load" };
    for (int i = 0; i < count; i++)
        argv[i + 1] = (char *)words[i];
    return bk_load_options_parse(count + 1, argv, ret, problem);
}

static void options_have_defaults_and_take_both_forms(void **state)
{
    (void)state;
    struct bk_load_options options;
    BK_AUTO_BUF struct bk_buf problem = { 0 };
    const char *const words[] = { "--users", "77",          "--transport=udp",
                                  "message", "--label=a=b", "--json",
                                  "x",       "paced" };
    assert_int_equal(parse(words, 8, &options, &problem), 0);
    assert_int_equal(options.users, 77);
    assert_int_equal(options.transport, BK_LOAD_UDP);
    assert_string_equal(options.label, "a=b");
    assert_string_equal(options.json_file, "x");
    assert_int_equal(options.phase_count, 2);
    assert_string_equal(options.phases[1], "paced");
    assert_int_equal(options.rate, 200);
    assert_null(options.server);
}

static void a_wrong_option_is_named(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        { "--users", "0" },      { "--users", "many" },     { "--users", "99999999999" },
        { "--transport", "ip" }, { "--nothing", "1" },      { "-u", "1" },
        { "message", "--rate" }, { "message", "--help=1" }, { "--users=", "message" },
    };
    for (size_t i = 0; i < BK_COUNT_OF(wrong); i++) {
        struct bk_load_options options;
        BK_AUTO_BUF struct bk_buf problem = { 0 };
        assert_int_equal(parse(wrong[i], 2, &options, &problem), -EINVAL);
        const char *text = bk_buf_cstr(&problem);
        assert_non_null(text);
        assert_non_null(strchr(text, '-'));
    }
}

static void every_option_stands_in_help_and_manual(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf help = { 0 }, manual = { 0 };
    bk_load_options_help(&help);
    assert_int_equal(bk_file_read(getenv("BK_MANUAL"), 1 << 20, &manual), 0);
    for (unsigned i = 0; bk_load_options_name(i); i++) {
        BK_AUTO_BUF struct bk_buf plain = { 0 }, roff = { 0 };
        bk_buf_addf(&plain, "  --%s", bk_load_options_name(i));
        assert_true(bk_view_find_view(bk_buf_view(&help), bk_buf_view(&plain)) < help.len);
        bk_buf_add_lit(&roff, "\\-\\-");
        for (const char *c = bk_load_options_name(i); *c; c++) {
            if (*c == '-')
                bk_buf_add_char(&roff, '\\');
            bk_buf_add_char(&roff, *c);
        }
        if (bk_view_find_view(bk_buf_view(&manual), bk_buf_view(&roff)) == manual.len)
            fail_msg("the manual does not name --%s", bk_load_options_name(i));
    }
}

static void only_loopback_may_be_loaded(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int error;
    } cases[] = {
        { "127.0.0.1:5061", 0 },
        { "127.9.9.9:1", 0 },
        { "[::1]:5061", 0 },
        { "localhost:5061", 0 },
        { "10.0.0.1:5061", -EPERM },
        { "0.0.0.0:5061", -EPERM },
        { "[fe80::1]:5061", -EPERM },
        { "[::ffff:127.0.0.1]:5061", -EPERM },
        { "example.org:5061", -EINVAL },
        { "127.0.0.1", -EINVAL },
        { "127.0.0.1:0", -EINVAL },
        { "127.0.0.1:65536", -EINVAL },
        { ":5061", -EINVAL },
        { "[::1:5061", -EINVAL },
        { "127.1:5061", -EINVAL },
    };
    for (size_t i = 0; i < BK_COUNT_OF(cases); i++) {
        struct bk_load_io_config config = { 0 };
        assert_int_equal(bk_load_io_parse_server(cases[i].text, &config), cases[i].error);
    }
}

/* ---- what the server used ---- */

/* Burns processor time until the kernel says so much was used. */
static void burn(unsigned ms)
{
    volatile unsigned work = 0;
    while (clock() < (clock_t)ms * (CLOCKS_PER_SEC / 1000))
        work++;
}

static void the_use_of_children_counts(void **state)
{
    (void)state;
    int ready[2], go[2];
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0)
            burn(120);
        char byte = 'x';
        if (write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 1)
            _exit(1);
        if (grandchild > 0)
            waitpid(grandchild, NULL, 0);
        _exit(0);
    }
    char bytes[2];
    assert_int_equal(read(ready[0], bytes, 1), 1);
    assert_int_equal(read(ready[0], bytes, 1), 1);
    struct bk_load_usage usage;
    assert_int_equal(bk_load_proc_usage(child, &usage), 0);
    assert_int_equal(usage.processes, 2);
    assert_true(usage.cpu_us >= 100000);
    assert_true(usage.pss_kb > 0);
    assert_int_equal(write(go[1], "gg", 2), 2);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(bk_load_proc_usage(child, &usage), -ESRCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_are_nearest_rank),
        cmocka_unit_test(percentiles_of_a_hundred_are_the_hundred),
        cmocka_unit_test(one_slow_in_a_thousand_is_the_maximum_and_not_p99),
        cmocka_unit_test(samples_may_come_after_a_percentile_was_asked_for),
        cmocka_unit_test(digest_answers_the_example_of_rfc_2617),
        cmocka_unit_test(digest_answers_the_examples_of_rfc_7616),
        cmocka_unit_test(digest_without_qop_is_that_of_rfc_2069),
        cmocka_unit_test(a_session_algorithm_mixes_both_nonces_in),
        cmocka_unit_test(digest_answer_carries_what_the_challenge_named),
        cmocka_unit_test(a_challenge_that_cannot_be_answered_is_refused),
        cmocka_unit_test(what_we_sign_the_server_takes),
        cmocka_unit_test(what_the_server_signs_we_take_once),
        cmocka_unit_test(a_wrong_signature_of_the_server_is_noticed),
        cmocka_unit_test(a_refusal_at_the_end_of_the_handshake_is_final),
        cmocka_unit_test(a_token_survives_its_text),
        cmocka_unit_test(a_text_that_is_no_token_is_refused),
        cmocka_unit_test(a_late_answer_does_not_end_the_next_operation_of_its_slot),
        cmocka_unit_test(the_oldest_operation_is_the_first_to_time_out),
        cmocka_unit_test(a_message_is_read_once_all_of_it_is_there),
        cmocka_unit_test(two_messages_and_life_signs_come_apart),
        cmocka_unit_test(an_answer_has_status_and_the_method_of_its_cseq),
        cmocka_unit_test(what_is_not_sip_is_noticed),
        cmocka_unit_test(a_pattern_names_everybody),
        cmocka_unit_test(a_list_gives_each_a_password_of_their_own),
        cmocka_unit_test(a_bad_line_of_a_list_is_named),
        cmocka_unit_test(options_have_defaults_and_take_both_forms),
        cmocka_unit_test(a_wrong_option_is_named),
        cmocka_unit_test(every_option_stands_in_help_and_manual),
        cmocka_unit_test(only_loopback_may_be_loaded),
        cmocka_unit_test(the_use_of_children_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
