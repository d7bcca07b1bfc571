/* SPDX-License-Identifier: Apache-2.0 */
/* argv[1]: tests/data/ms/ntlm-signed.txt, what the real client and an answering machine signed. */
#include "ms/sa.h"
#include "ms_test.h"
#include "sip/build.h"

#include <errno.h>
#include <stdio.h>

static const char *recording;

/* ---- headers ---- */

static void the_clients_headers_are_read(void **state)
{
    (void)state;
    struct bk_sa_header h;
    assert_int_equal(
        bk_sa_header_parse(BK_VIEW("NTLM qop=\"auth\", realm=\"SIP Communications Service\", "
                                   "targetname=\"srv.example.com\", gssapi-data=\"\", version=4"),
                           &h),
        0);
    assert_int_equal(h.scheme, BK_SA_NTLM);
    expect_view(h.realm, BK_SA_REALM);
    assert_non_null(h.gssapi_data.at);
    assert_int_equal(h.gssapi_data.len, 0);
    assert_null(h.signature.at);
    assert_int_equal(h.version, 4);
    assert_int_equal(
        bk_sa_header_parse(
            BK_VIEW("TLS-DSK qop=\"auth\", opaque=\"D1AE573C\", realm=\"SIP Communications "
                    "Service\", targetname=\"srv.example.com\", version=4, crand=\"b4959042\", "
                    "cnum=\"1\", response=\"F3A3FF379765DB6F314C875F5A7B189E3DD23A4E\""),
            &h),
        0);
    assert_int_equal(h.scheme, BK_SA_TLS_DSK);
    assert_null(h.gssapi_data.at);
    assert_int_equal(h.number, 1);
    expect_view(h.rand, "b4959042");
    expect_view(h.signature, "F3A3FF379765DB6F314C875F5A7B189E3DD23A4E");
}

static void what_is_not_ours_or_not_right_is_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        int r;
    } rows[] = {
        { "", -ENOENT },
        { "Digest username=\"a\"", -ENOENT },
        { "NTLMx realm=\"a\"", -ENOENT },
        { "Kerberos qop=\"auth\"", -ENOENT },
        { "NTLM", 0 },
        { "ntlm REALM=\"a\"", 0 },
        { "NTLM unknown=\"a\", realm=\"b\"", 0 },
        { "NTLM realm=\"a\", realm=\"a\"", -EBADMSG },
        { "NTLM version=4, version=4", -EBADMSG },
        { "NTLM realm=\"a", -EBADMSG },
        { "NTLM realm=\"a\\\"\"", -EBADMSG },
        { "NTLM realm=\"a\" opaque=\"b\"", -EBADMSG },
        { "NTLM realm=\"a\",", -EBADMSG },
        { "NTLM realm", -EBADMSG },
        { "NTLM =\"a\"", -EBADMSG },
        { "NTLM cnum=\"x\"", -EBADMSG },
        { "NTLM cnum=\"4294967296\"", -EBADMSG },
        { "NTLM response=\"0102030405060708091011121314151617181920aa\"", -EBADMSG },
    };
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        struct bk_sa_header h;
        assert_int_equal(bk_sa_header_parse(bk_view_of_str(rows[i].value), &h), rows[i].r);
    }
}

static void what_is_written_is_the_recorded_text(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf to = { 0 };
    struct bk_view realm = BK_VIEW(BK_SA_REALM), target = BK_VIEW("srv.example.com");
    bk_sa_offer_write(&to, BK_SA_NTLM, realm, target, (struct bk_view){ 0 });
    expect_view(bk_buf_view(&to), "NTLM realm=\"SIP Communications Service\", "
                                  "targetname=\"srv.example.com\", version=4");
    bk_buf_clear(&to);
    bk_sa_offer_write(&to, BK_SA_TLS_DSK, realm, target,
                      BK_VIEW("https://127.0.0.1:4443/CertProv/CertProvisioningService.svc"));
    expect_view(
        bk_buf_view(&to),
        "TLS-DSK realm=\"SIP Communications Service\", targetname=\"srv.example.com\", "
        "version=4, sts-uri=\"https://127.0.0.1:4443/CertProv/CertProvisioningService.svc\"");
    bk_buf_clear(&to);
    bk_sa_challenge_write(&to, BK_SA_NTLM, BK_VIEW("1168BD7C"), BK_VIEW("NTLMSSP"), target, realm);
    expect_view(bk_buf_view(&to),
                "NTLM opaque=\"1168BD7C\", gssapi-data=\"TlRMTVNTUA==\", "
                "targetname=\"srv.example.com\", realm=\"SIP Communications Service\", version=4");
    bk_buf_clear(&to);
    bk_sa_answer_write(&to, BK_SA_NTLM, (struct bk_view){ 0 }, realm, target, BK_VIEW(""));
    expect_view(bk_buf_view(&to), "NTLM qop=\"auth\", realm=\"SIP Communications Service\", "
                                  "targetname=\"srv.example.com\", gssapi-data=\"\", version=4");
    bk_buf_clear(&to);
    bk_sa_offer_write(&to, BK_SA_NTLM, BK_VIEW("a\"b"), target, (struct bk_view){ 0 });
    assert_true(to.failed);
}

/* ---- the recording ---- */

struct known {
    char opaque[16];
    uint8_t challenge[8];
    bool has_keys;
    struct bk_sa *server, *client; /* the two views of one association */
};

static struct known *known_of(struct known *all, struct bk_view opaque)
{
    for (int i = 0; i < 2; i++) {
        if (!all[i].opaque[0])
            snprintf(all[i].opaque, sizeof all[i].opaque, "%.*s", BK_VIEW_ARGS(opaque));
        if (bk_view_equal(bk_view_of_str(all[i].opaque), opaque))
            return &all[i];
    }
    fail_msg("a third association in the recording");
    return NULL;
}

static void token_of(const struct bk_sa_header *h, struct bk_buf *to)
{
    assert_int_equal(bk_base64_decode(h->gssapi_data, to), 0);
}

static void open_sa(struct known *k, const struct bk_sa_header *h)
{
    BK_AUTO_BUF struct bk_buf token = { 0 };
    struct bk_ntlm_answer answer;
    uint8_t hash[BK_NTLM_HASH_SIZE];
    struct bk_sa_config config = { .scheme = BK_SA_NTLM,
                                   .server = true,
                                   .opaque = h->opaque,
                                   .realm = h->realm,
                                   .targetname = h->targetname };
    token_of(h, &token);
    assert_int_equal(bk_ntlm_answer_parse(bk_buf_view(&token), &answer), 0);
    assert_int_equal(bk_ntlm_hash(BK_VIEW("secret"), hash), 0);
    assert_true(bk_ntlm_check(&answer, k->challenge, hash, &config.keys.ntlm));
    assert_int_equal(bk_sa_create(&config, &k->server), 0);
    config.server = false;
    assert_int_equal(bk_sa_create(&config, &k->client), 0);
    k->has_keys = true;
}

static const struct bk_sip_field *security_field(const struct bk_sip_msg *msg)
{
    static const enum bk_sip_hdr ids[] = { BK_SIP_HDR_AUTHORIZATION, BK_SIP_HDR_WWW_AUTHENTICATE,
                                           BK_SIP_HDR_AUTHENTICATION_INFO };
    for (size_t i = 0; i < BK_COUNT_OF(ids); i++)
        if (bk_sip_msg_field(msg, ids[i]))
            return bk_sip_msg_field(msg, ids[i]);
    fail_msg("a message without one");
    return NULL;
}

/* Every signature of the recording holds, read as the other side would; a second look at one is a replay. */
static void every_recorded_signature_is_right(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf all = { 0 };
    struct known known[2] = { 0 };
    struct bk_sip_msg *msg = calloc(1, sizeof *msg);
    int verified[2] = { 0 };
    assert_non_null(msg);
    assert_int_equal(bk_file_read(recording, 1 << 20, &all), 0);
    struct bk_view rest = bk_buf_view(&all);
    while (rest.len) {
        bool from_client = rest.at[4] == '<';
        assert_true(bk_view_starts_with(rest, BK_VIEW("=== ")));
        rest = bk_view_skip(rest, bk_view_find(rest, '\n') + 1);
        size_t len = bk_view_find_view(rest, BK_VIEW("\r\n\r\n")) + 4;
        struct bk_sip_head head;
        struct bk_sip_fault fault;
        assert_int_equal(bk_sip_msg_parse(msg, bk_view_head(rest, len), &fault), 0);
        assert_int_equal(bk_sip_msg_check(msg, &head, &fault), 0);
        rest = bk_view_skip(rest, len);

        struct bk_sa_header h;
        assert_int_equal(bk_sa_header_parse(security_field(msg)->value, &h), 0);
        if (!h.opaque.at)
            continue; /* the first leg */
        struct known *k = known_of(known, h.opaque);
        if (!from_client && h.gssapi_data.at) {
            BK_AUTO_BUF struct bk_buf token = { 0 };
            struct bk_ntlm_challenge c;
            token_of(&h, &token);
            assert_int_equal(bk_ntlm_challenge_parse(bk_buf_view(&token), &c), 0);
            memcpy(k->challenge, c.challenge, sizeof k->challenge);
            continue;
        }
        if (!k->has_keys)
            open_sa(k, &h);
        struct bk_sa *sa = from_client ? k->server : k->client;
        assert_int_equal(bk_sa_verify(sa, msg, &head, &h), BK_SA_GOOD);
        assert_int_equal(bk_sa_verify(sa, msg, &head, &h), BK_SA_REPLAYED);
        verified[from_client]++;
    }
    assert_true(verified[0] >= 30 && verified[1] >= 30);
    for (int i = 0; i < 2; i++) {
        bk_sa_destroy(known[i].server);
        bk_sa_destroy(known[i].client);
    }
    free(msg);
}

/* ---- an association ---- */

static void open_pair(enum bk_sa_scheme scheme, struct bk_sa **server, struct bk_sa **client)
{
    struct bk_sa_config config = { .scheme = scheme,
                                   .server = true,
                                   .opaque = BK_VIEW("0badcafe"),
                                   .realm = BK_VIEW(BK_SA_REALM),
                                   .targetname = BK_VIEW("srv.example.com") };
    memset(&config.keys, 7, sizeof config.keys);
    if (scheme == BK_SA_TLS_DSK)
        memset(config.keys.dsk.to_client, 8, BK_DSK_KEY_SIZE);
    else
        memset(config.keys.ntlm.sign[BK_NTLM_TO_CLIENT], 8, 16);
    assert_int_equal(bk_sa_create(&config, server), 0);
    config.server = false;
    assert_int_equal(bk_sa_create(&config, client), 0);
}

/* Head of a message up to where the security line goes in; one %s for what a test changes. */
static const char request_text[] =
    "MESSAGE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/tls 127.0.0.1:44146\r\n"
    "From: <sip:alice@example.com>;tag=4382815126;epid=cf0b98dadeb9\r\n"
    "To: <sip:bob@example.com>;tag=77\r\nCall-ID: F7A9g\r\nCSeq: 2 MESSAGE\r\n"
    "P-Asserted-Identity: \"Alice\" <sip:alice@example.com>, <tel:+491234>\r\nExpires: 60\r\n";
static const char answer_text[] =
    "SIP/2.0 200 OK\r\nVia: SIP/2.0/tls 127.0.0.1:44146\r\n"
    "From: <sip:alice@example.com>;tag=4382815126;epid=cf0b98dadeb9\r\n"
    "To: <sip:bob@example.com>;tag=77\r\nCall-ID: F7A9g\r\nCSeq: 2 MESSAGE\r\n";

/* Puts lines behind the text, parses. */
static void build(struct bk_buf *bytes, const char *text, struct bk_view lines,
                  struct bk_sip_msg *msg, struct bk_sip_head *head)
{
    struct bk_sip_fault fault;
    bk_buf_clear(bytes);
    bk_buf_add_str(bytes, text);
    bk_buf_add_view(bytes, lines);
    bk_buf_add_lit(bytes, "Content-Length: 0\r\n\r\n");
    assert_int_equal(bk_sip_msg_parse(msg, bk_buf_view(bytes), &fault), 0);
    assert_int_equal(bk_sip_msg_check(msg, head, &fault), 0);
}

static enum bk_sa_verdict verify(struct bk_sa *sa, const struct bk_sip_msg *msg,
                                 const struct bk_sip_head *head)
{
    struct bk_sa_header h;
    assert_int_equal(bk_sa_header_parse(security_field(msg)->value, &h), 0);
    return bk_sa_verify(sa, msg, head, &h);
}

static void the_signed_text_is_the_documented_one(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf bytes = { 0 }, text = { 0 };
    struct bk_sip_msg *msg = calloc(1, sizeof *msg);
    struct bk_sip_head head;
    build(&bytes, request_text, (struct bk_view){ 0 }, msg, &head);
    bk_sa_signed_text(&text, BK_SA_TLS_DSK, BK_VIEW("r"), BK_VIEW("1"), BK_VIEW("R"), BK_VIEW("T"),
                      4, msg, &head);
    expect_view(bk_buf_view(&text),
                "<TLS-DSK><r><1><R><T><F7A9g><2><MESSAGE><sip:alice@example.com><4382815126>"
                "<sip:bob@example.com><77><sip:alice@example.com><tel:+491234><60>");
    bk_buf_clear(&text);
    build(&bytes, answer_text, (struct bk_view){ 0 }, msg, &head);
    bk_sa_signed_text(&text, BK_SA_NTLM, BK_VIEW("r"), BK_VIEW("1"), BK_VIEW("R"), BK_VIEW("T"), 2,
                      msg, &head);
    expect_view(
        bk_buf_view(&text),
        "<NTLM><r><1><R><T><F7A9g><2><MESSAGE><sip:alice@example.com><4382815126><77><><200>");
    free(msg);
}

static void each_side_believes_the_other_and_not_itself(void **state)
{
    (void)state;
    struct bk_sip_msg *msg = calloc(1, sizeof *msg);
    for (unsigned scheme = 0; scheme < BK_SA_SCHEMES; scheme++) {
        BK_AUTO_BUF struct bk_buf bytes = { 0 }, line = { 0 };
        struct bk_sip_head head;
        struct bk_sa *server, *client;
        open_pair(scheme, &server, &client);
        const char *texts[] = { request_text, answer_text };
        for (int i = 0; i < 4; i++) {
            const char *text = texts[i & 1];
            struct bk_sa *from = i & 2 ? server : client, *to = i & 2 ? client : server;
            build(&bytes, text, (struct bk_view){ 0 }, msg, &head);
            bk_buf_clear(&line);
            bk_sa_sign(from, msg, &head, &bk_random_system, (struct bk_view){ 0 }, &line);
            assert_false(line.failed);
            build(&bytes, text, bk_buf_view(&line), msg, &head);
            assert_int_equal(verify(from, msg, &head), BK_SA_FORGED);
            assert_int_equal(verify(to, msg, &head), BK_SA_GOOD);
            assert_int_equal(verify(to, msg, &head), BK_SA_REPLAYED);
        }
        bk_sa_destroy(server);
        bk_sa_destroy(client);
    }
    free(msg);
}

/* Replaces what stands there once. */
static void change(struct bk_buf *bytes, const char *what, const char *with)
{
    assert_int_equal(strlen(what), strlen(with));
    size_t at = bk_view_find_view(bk_buf_view(bytes), bk_view_of_str(what));
    assert_true(at < bytes->len);
    memcpy(bytes->at + at, with, strlen(with));
}

static void a_changed_message_is_forged(void **state)
{
    (void)state;
    static const char *const changes[][2] = {
        { "From: <sip:alice", "From: <sip:carol" },
        { "tag=4382815126", "tag=4382815127" },
        { "To: <sip:bob", "To: <sip:rod" },
        { "tag=77", "tag=78" },
        { "Call-ID: F7A9g", "Call-ID: F7A9h" },
        { "CSeq: 2", "CSeq: 3" },
        { "\"Alice\" <sip:alice", "\"Alice\" <sip:carol" },
        { "tel:+491234", "tel:+491235" },
        { "Expires: 60", "Expires: 61" },
        { "cnum=\"1\"", "cnum=\"2\"" },
        { "realm=\"SIP", "realm=\"SAP" },
        { "targetname=\"srv", "targetname=\"sri" },
    };
    struct bk_sip_msg *msg = calloc(1, sizeof *msg);
    BK_AUTO_BUF struct bk_buf bytes = { 0 }, line = { 0 };
    struct bk_sip_head head;
    struct bk_sip_fault fault;
    struct bk_sa *server, *client;
    open_pair(BK_SA_TLS_DSK, &server, &client);
    build(&bytes, request_text, (struct bk_view){ 0 }, msg, &head);
    bk_sa_sign(client, msg, &head, &bk_random_system, (struct bk_view){ 0 }, &line);
    for (size_t i = 0; i < BK_COUNT_OF(changes); i++) {
        build(&bytes, request_text, bk_buf_view(&line), msg, &head);
        change(&bytes, changes[i][0], changes[i][1]);
        assert_int_equal(bk_sip_msg_parse(msg, bk_buf_view(&bytes), &fault), 0);
        assert_int_equal(bk_sip_msg_check(msg, &head, &fault), 0);
        assert_int_equal(verify(server, msg, &head), BK_SA_FORGED);
    }
    build(&bytes, request_text, bk_buf_view(&line), msg, &head);
    change(&bytes, "opaque=\"0badcafe", "opaque=\"0badcaff");
    assert_int_equal(verify(server, msg, &head), BK_SA_UNSIGNED);
    /* None of that used up its number. */
    build(&bytes, request_text, bk_buf_view(&line), msg, &head);
    assert_int_equal(verify(server, msg, &head), BK_SA_GOOD);
    bk_sa_destroy(server);
    bk_sa_destroy(client);
    free(msg);
}

/* Numbers come in any order within the window, each once. */
static void the_window_takes_each_number_once_and_none_that_is_too_old(void **state)
{
    (void)state;
    enum { N = 1000 };
    struct bk_sip_msg *msg = calloc(1, sizeof *msg);
    BK_AUTO_BUF struct bk_buf bytes = { 0 };
    struct bk_buf lines[N + 1] = { 0 };
    struct bk_sip_head head;
    struct bk_sa *server, *client;
    open_pair(BK_SA_TLS_DSK, &server, &client);
    build(&bytes, request_text, (struct bk_view){ 0 }, msg, &head);
    for (int i = 1; i <= N; i++)
        bk_sa_sign(client, msg, &head, &bk_random_system, (struct bk_view){ 0 }, &lines[i]);

    bool taken[N + 1] = { 0 };
    int top = 0;
    struct bk_random_seeded seed;
    struct bk_random random = bk_random_from_seed(&seed, 5);
    for (int step = 0; step < 4000; step++) {
        int ahead = top + 40 < N ? top + 40 : N;
        int n = step % 500 == 499 ? (top + 300 < N ? top + 300 : N)
                                  : 1 + (int)(bk_random_u64(&random) % (unsigned)ahead);
        enum bk_sa_verdict want = taken[n] || top - n >= BK_SA_WINDOW ? BK_SA_REPLAYED : BK_SA_GOOD;
        build(&bytes, request_text, bk_buf_view(&lines[n]), msg, &head);
        assert_int_equal(verify(server, msg, &head), want);
        if (want == BK_SA_GOOD)
            taken[n] = true;
        if (want == BK_SA_GOOD && n > top)
            top = n;
    }
    assert_true(top > BK_SA_WINDOW);
    for (int i = 1; i <= N; i++)
        bk_buf_finish(&lines[i]);
    bk_sa_destroy(server);
    bk_sa_destroy(client);
    free(msg);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_clients_headers_are_read),
        cmocka_unit_test(what_is_not_ours_or_not_right_is_told_apart),
        cmocka_unit_test(what_is_written_is_the_recorded_text),
        cmocka_unit_test(every_recorded_signature_is_right),
        cmocka_unit_test(the_signed_text_is_the_documented_one),
        cmocka_unit_test(each_side_believes_the_other_and_not_itself),
        cmocka_unit_test(a_changed_message_is_forged),
        cmocka_unit_test(the_window_takes_each_number_once_and_none_that_is_too_old),
    };
    if (argc != 2)
        return 2;
    recording = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
