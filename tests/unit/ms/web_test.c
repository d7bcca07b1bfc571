/* SPDX-License-Identifier: Apache-2.0 */
/* Web tickets, certificates for them, metadata and discovery, with what the stock client sent (tests/data/ms). */
#include "base/cleanup.h"
#include "base/text.h"
#include "ms/autodiscover.h"
#include "ms/certprov.h"
#include "ms/mex.h"
#include "ms/webroad.h"
#include "tests/unit/base/failing_alloc.h"

#include <errno.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

static const int64_t now = 1795325615000; /* 2026-11-22T05:33:35Z */
static const struct bk_ms_ticket_key key = { "a key of this test, 32 bytes it" };
static struct bk_buf rst, rstr, publish; /* as recorded */
static struct bk_random_seeded seeded;
static struct bk_random dice;

static int set_up(void **state)
{
    (void)state;
    if (bk_file_read(BK_TESTS_DIR "/data/ms/rst.xml", 1 << 20, &rst) < 0 ||
        bk_file_read(BK_TESTS_DIR "/data/ms/rstr.xml", 1 << 20, &rstr) < 0 ||
        bk_file_read(BK_TESTS_DIR "/data/ms/getandpublishcert.xml", 1 << 20, &publish) < 0)
        return -1;
    dice = bk_random_from_seed(&seeded, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    bk_buf_finish(&rst);
    bk_buf_finish(&rstr);
    bk_buf_finish(&publish);
    return 0;
}

static void assert_view(struct bk_view v, const char *text)
{
    if (v.len != strlen(text) || memcmp(v.at ? v.at : "", text, v.len) != 0)
        fail_msg("\"%.*s\" is not \"%s\"", BK_VIEW_ARGS(v), text);
}

/* bytes with what stands at `from` replaced. */
static struct bk_buf changed(struct bk_view bytes, const char *from, const char *to)
{
    struct bk_buf out = { 0 };
    size_t at = bk_view_find_view(bytes, bk_view_of_str(from));
    assert_true(at < bytes.len);
    bk_buf_add_view(&out, bk_view_head(bytes, at));
    bk_buf_add_str(&out, to);
    bk_buf_add_view(&out, bk_view_skip(bytes, at + strlen(from)));
    return out;
}

/* ---- envelopes ---- */

static void an_element_knows_the_bytes_it_came_from(void **state)
{
    (void)state;
    static const char text[] =
        "<?xml version='1.0'?>\r\n<a:e xmlns:a=\"x:y\" a:k='1&amp;2'> <b/><c >t&lt;\xc3\xa4</c > "
        "<!-- <c/> --></a:e>\n";
    struct bk_arena arena = { 0 };
    const struct bk_ms_ws *root;
    const char *why;
    assert_int_equal(bk_ms_ws_parse(bk_view_of_str(text), &arena, &root, &why), 0);
    assert_view(root->name, "e");
    assert_view(root->ns, "x:y");
    assert_view(bk_ms_ws_attribute(root, "k"), "1&2");
    assert_view(root->raw, "<a:e xmlns:a=\"x:y\" a:k='1&amp;2'> <b/><c >t&lt;\xc3\xa4</c > "
                           "<!-- <c/> --></a:e>");
    assert_view(bk_ms_ws_at(root, "b")->raw, "<b/>");
    assert_view(bk_ms_ws_at(root, "c")->raw, "<c >t&lt;\xc3\xa4</c >");
    assert_view(bk_ms_ws_text(root, "c"), "t<\xc3\xa4");
    assert_null(bk_ms_ws_at(root, "b/c"));
    bk_arena_finish(&arena);
}

static void two_elements_of_one_name_are_none(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    const struct bk_ms_ws *root;
    const char *why;
    assert_int_equal(
        bk_ms_ws_parse(BK_VIEW("<e><t>1</t><x:t xmlns:x='u'>2</x:t><u/></e>"), &arena, &root, &why),
        0);
    assert_null(bk_ms_ws_at(root, "t"));
    assert_non_null(bk_ms_ws_at(root, "u"));
    bk_arena_finish(&arena);
}

static void what_is_no_document_or_too_much_of_one_is_refused(void **state)
{
    (void)state;
    struct bk_buf deep = { 0 }, many = { 0 }, wide = { 0 };
    for (int i = 0; i < BK_MS_WS_DEPTH_MAX + 1; i++)
        bk_buf_add_lit(&deep, "<a>");
    bk_buf_add_lit(&many, "<a>");
    for (int i = 0; i < BK_MS_WS_ELEMENTS_MAX; i++)
        bk_buf_add_lit(&many, "<b/>");
    bk_buf_add_lit(&many, "</a>");
    bk_buf_add_lit(&wide, "<a");
    for (int i = 0; i <= BK_MS_WS_ATTRIBUTES_MAX; i++)
        bk_buf_addf(&wide, " a%d=''", i);
    bk_buf_add_lit(&wide, "/>");
    const struct {
        struct bk_view text;
        const char *why;
    } rows[] = {
        { BK_VIEW(""), "the document is empty" },
        { BK_VIEW("<a>"), "not well-formed XML" },
        { BK_VIEW("<a></b>"), "not well-formed XML" },
        { BK_VIEW("<a/><a/>"), "not well-formed XML" },
        { BK_VIEW("\xff\xfe<\0a\0/\0>\0"), "not well-formed XML" },
        { BK_VIEW("<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>"), "a document type is not allowed" },
        { BK_VIEW("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>"),
          "a document type is not allowed" },
        { bk_buf_view(&deep), "elements are nested too deep" },
        { bk_buf_view(&many), "there are too many elements" },
        { bk_buf_view(&wide), "an element has too many attributes" },
    };
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        struct bk_arena arena = { 0 };
        const struct bk_ms_ws *root = NULL;
        const char *why = "";
        assert_int_equal(bk_ms_ws_parse(rows[i].text, &arena, &root, &why), -EBADMSG);
        assert_string_equal(why, rows[i].why);
        assert_null(root);
        bk_arena_finish(&arena);
    }
    bk_buf_finish(&deep);
    bk_buf_finish(&many);
    bk_buf_finish(&wide);
}

static void any_text_can_be_told_in_a_fault(void **state)
{
    (void)state;
    static const char *const texts[] = { "plain", "<a href=\"x\">&amp;</a>", "\x01\xff\xc3",
                                         "\xef\xbf\xbf\xef\xbf\xbd \xc3\xa4 \x7f", "a\r\n\tb" };
    static const char *const told[] = { "plain", "<a href=\"x\">&amp;</a>",
                                        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd",
                                        "\xef\xbf\xbd\xef\xbf\xbd \xc3\xa4 \x7f", "a\r\n\tb" };
    for (size_t i = 0; i < BK_COUNT_OF(texts); i++) {
        struct bk_buf fault = { 0 };
        struct bk_arena arena = { 0 };
        const struct bk_ms_ws *root;
        const char *why;
        bk_ms_ws_fault(&fault, 95202, bk_view_of_str(texts[i]));
        assert_int_equal(bk_ms_ws_parse(bk_buf_view(&fault), &arena, &root, &why), 0);
        assert_view(bk_ms_ws_text(root, "Body/Fault/Detail/error/internalerror/text"), told[i]);
        assert_view(bk_ms_ws_text(root, "Body/Fault/Detail/error/value"), "95202");
        assert_view(bk_ms_ws_text(root, "Body/Fault/faultstring"), told[i]);
        bk_arena_finish(&arena);
        bk_buf_finish(&fault);
    }
}

/* ---- web tickets ---- */

static struct bk_ms_rst read_rst(struct bk_arena *arena)
{
    struct bk_ms_rst request;
    const char *why = "";
    assert_int_equal(bk_ms_rst_parse(bk_buf_view(&rst), arena, &request, &why), 0);
    return request;
}

static void the_recorded_request_is_read(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    struct bk_ms_rst request = read_rst(&arena);
    assert_view(request.context, "b7878522-d7fe-5c33-b30d-265f6618ae78");
    assert_view(request.claimed, "alice@example.com");
    assert_view(request.applies_to, "https://127.0.0.1:4443/CertProv/CertProvisioningService.svc"
                                    "/WebTicket_Proof_SHA1");
    assert_int_equal(request.entropy.len, 32);
    assert_false(request.has_created);
    bk_arena_finish(&arena);
}

static void a_request_cut_anywhere_is_none(void **state)
{
    (void)state;
    for (size_t n = 0; n < rst.len; n++) {
        struct bk_arena arena = { 0 };
        struct bk_ms_rst request;
        const char *why = NULL;
        char *copy = malloc(n ? n : 1);
        memcpy(copy, rst.at, n);
        assert_int_equal(bk_ms_rst_parse((struct bk_view){ copy, n }, &arena, &request, &why),
                         -EBADMSG);
        assert_non_null(why);
        free(copy);
        bk_arena_finish(&arena);
    }
}

static void the_clients_own_clock_is_read_where_it_tells_it(void **state)
{
    (void)state;
    BK_AUTO_BUF struct bk_buf text =
        changed(bk_buf_view(&rst), "<soap:Body>",
                "<soap:Header><wsse:Security><wsu:Timestamp><wsu:Created>2026-11-22T05:33:35Z"
                "</wsu:Created></wsu:Timestamp></wsse:Security></soap:Header><soap:Body>");
    struct bk_arena arena = { 0 };
    struct bk_ms_rst request;
    const char *why;
    assert_int_equal(bk_ms_rst_parse(bk_buf_view(&text), &arena, &request, &why), 0);
    assert_true(request.has_created);
    assert_int_equal(request.created_ms, now);
    bk_arena_finish(&arena);
}

/* RFC 2246's function as Python's tlslite and OpenSSL's TLS1-PRF test compute it, one hash. */
static void p_sha1_gives_what_the_recorded_signature_was_made_with(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    struct bk_ms_rst request = read_rst(&arena);
    struct bk_ms_cert_request cert;
    const struct bk_ms_ws *root;
    BK_AUTO_BUF struct bk_buf theirs = { 0 };
    struct bk_ms_ticket ticket = { .id = "SamlSecurityToken-3bb2143b72b09038", .has_proof = true };
    const char *why;

    assert_int_equal(bk_ms_ws_parse(bk_buf_view(&rstr), &arena, &root, &why), 0);
    assert_int_equal(
        bk_ms_ws_base64(bk_ms_ws_text(root, "Body/RequestSecurityTokenResponseCollection/"
                                            "RequestSecurityTokenResponse/Entropy/BinarySecret"),
                        &theirs),
        0);
    assert_int_equal(
        bk_ms_p_sha1(request.entropy, bk_buf_view(&theirs), ticket.proof, sizeof ticket.proof), 0);
    assert_int_equal(bk_ms_cert_request_parse(bk_buf_view(&publish), &arena, &cert, &why), 0);
    assert_true(bk_ms_cert_verify(&cert, &ticket));
    ticket.proof[31] ^= 1;
    assert_false(bk_ms_cert_verify(&cert, &ticket));
    ticket.proof[31] ^= 1;
    snprintf(ticket.id, sizeof ticket.id, "another");
    assert_false(bk_ms_cert_verify(&cert, &ticket));
    bk_arena_finish(&arena);
}

/* The answer to the recorded request, read as the client reads it. */
struct given {
    struct bk_arena arena;
    struct bk_buf text;
    const struct bk_ms_ws *root, *response, *assertion;
    struct bk_ms_rst request;
};

static void give(struct given *g, enum bk_ms_service service)
{
    const char *why = "";
    *g = (struct given){ 0 };
    g->request = read_rst(&g->arena);
    assert_int_equal(bk_ms_ticket_issue(&key, &dice, &g->request, service,
                                        BK_VIEW("https://srv.example.com/WebTicket"), 7,
                                        BK_VIEW("alice@example.com"), now, &g->text),
                     0);
    assert_int_equal(bk_ms_ws_parse(bk_buf_view(&g->text), &g->arena, &g->root, &why), 0);
    g->response = bk_ms_ws_at(
        g->root, "Body/RequestSecurityTokenResponseCollection/RequestSecurityTokenResponse");
    assert_non_null(g->response);
    g->assertion = bk_ms_ws_at(g->response, "RequestedSecurityToken/Assertion");
    assert_non_null(g->assertion);
}

static void give_back(struct given *g)
{
    bk_buf_finish(&g->text);
    bk_arena_finish(&g->arena);
}

static void a_ticket_reads_back_as_it_was_given(void **state)
{
    (void)state;
    struct given g;
    struct bk_ms_ticket ticket;
    unsigned char proof[BK_MS_PROOF_BYTES];
    BK_AUTO_BUF struct bk_buf ours = { 0 };
    give(&g, BK_MS_SERVICE_CERTIFICATES);
    assert_int_equal(bk_ms_ticket_read(&key, g.assertion, now, &g.arena, &ticket),
                     BK_MS_TICKET_GOOD);
    assert_int_equal(ticket.user_id, 7);
    assert_view(ticket.address, "alice@example.com");
    assert_int_equal(ticket.service, BK_MS_SERVICE_CERTIFICATES);
    assert_int_equal(ticket.issued_ms, now);
    assert_int_equal(ticket.expires_ms, now + BK_MS_TICKET_LIFE_MS);
    assert_view(bk_ms_ws_attribute(g.assertion, "AssertionID"), ticket.id);
    assert_view(bk_ms_ws_attribute(g.response, "Context"), "b7878522-d7fe-5c33-b30d-265f6618ae78");

    assert_int_equal(bk_ms_ws_base64(bk_ms_ws_text(g.response, "Entropy/BinarySecret"), &ours), 0);
    assert_int_equal(bk_ms_p_sha1(g.request.entropy, bk_buf_view(&ours), proof, sizeof proof), 0);
    assert_true(ticket.has_proof);
    assert_memory_equal(ticket.proof, proof, sizeof proof);
    assert_view(bk_ms_ws_text(g.response, "Lifetime/Created"), "2026-11-22T05:33:35Z");
    assert_view(bk_ms_ws_text(g.response, "Lifetime/Expires"), "2026-11-22T05:38:35Z");
    give_back(&g);
}

/* The client cuts with text search: what it looks for must be there once, and stand alone. */
static void the_answer_can_be_cut_by_names(void **state)
{
    (void)state;
    static const char *const once[] = { "<saml:Assertion ", "</saml:Assertion>", "AssertionID=\"",
                                        "<BinarySecret>",   "</BinarySecret>",   "<Lifetime>",
                                        "</Lifetime>" };
    struct given g;
    give(&g, BK_MS_SERVICE_CERTIFICATES);
    for (size_t i = 0; i < BK_COUNT_OF(once); i++) {
        struct bk_view all = bk_buf_view(&g.text), wanted = bk_view_of_str(once[i]);
        size_t at = bk_view_find_view(all, wanted);
        assert_true(at < all.len);
        all = bk_view_skip(all, at + 1);
        assert_true(bk_view_find_view(all, wanted) == all.len);
    }
    const struct bk_ms_ws *alone;
    const char *why;
    assert_int_equal(bk_ms_ws_parse(g.assertion->raw, &g.arena, &alone, &why), 0);
    struct bk_view lifetime = bk_ms_ws_at(g.response, "Lifetime/Created")->raw;
    assert_int_equal(bk_ms_ws_parse(lifetime, &g.arena, &alone, &why), 0);
    give_back(&g);
}

static void no_two_tickets_share_an_id_or_a_key(void **state)
{
    (void)state;
    struct given a, b;
    struct bk_ms_ticket x, y;
    give(&a, BK_MS_SERVICE_CERTIFICATES);
    give(&b, BK_MS_SERVICE_CERTIFICATES);
    assert_int_equal(bk_ms_ticket_read(&key, a.assertion, now, &a.arena, &x), BK_MS_TICKET_GOOD);
    assert_int_equal(bk_ms_ticket_read(&key, b.assertion, now, &b.arena, &y), BK_MS_TICKET_GOOD);
    assert_string_not_equal(x.id, y.id);
    assert_memory_not_equal(x.proof, y.proof, sizeof x.proof);
    give_back(&a);
    give_back(&b);
}

static void a_ticket_ends_and_does_not_begin_in_the_future(void **state)
{
    (void)state;
    struct given g;
    struct bk_ms_ticket t;
    give(&g, BK_MS_SERVICE_USER);
    assert_int_equal(
        bk_ms_ticket_read(&key, g.assertion, now + BK_MS_TICKET_LIFE_MS - 1, &g.arena, &t),
        BK_MS_TICKET_GOOD);
    assert_int_equal(bk_ms_ticket_read(&key, g.assertion, now + BK_MS_TICKET_LIFE_MS, &g.arena, &t),
                     BK_MS_TICKET_EXPIRED);
    assert_int_equal(bk_ms_ticket_read(&key, g.assertion, now - BK_MS_TICKET_SKEW_MS, &g.arena, &t),
                     BK_MS_TICKET_GOOD);
    assert_int_equal(
        bk_ms_ticket_read(&key, g.assertion, now - BK_MS_TICKET_SKEW_MS - 1, &g.arena, &t),
        BK_MS_TICKET_EARLY);
    give_back(&g);
}

static enum bk_ms_ticket_state read_changed(struct bk_view assertion, struct bk_arena *arena)
{
    const struct bk_ms_ws *root;
    struct bk_ms_ticket t;
    const char *why;
    if (bk_ms_ws_parse(assertion, arena, &root, &why) < 0)
        return BK_MS_TICKET_UNREADABLE;
    return bk_ms_ticket_read(&key, root, now, arena, &t);
}

static void no_byte_of_a_tickets_token_can_be_changed(void **state)
{
    (void)state;
    struct given g;
    give(&g, BK_MS_SERVICE_CERTIFICATES);
    struct bk_view raw = g.assertion->raw;
    struct bk_view token =
        bk_ms_ws_text(g.assertion, "AttributeStatement/Attribute/AttributeValue");
    size_t begin = bk_view_find_view(raw, token);
    assert_true(begin < raw.len && token.len > 200);
    for (size_t i = 0; i < token.len; i++) {
        struct bk_arena arena = { 0 };
        char *copy = malloc(raw.len);
        memcpy(copy, raw.at, raw.len);
        copy[begin + i] = copy[begin + i] == 'A' ? 'B' : 'A';
        assert_true(read_changed((struct bk_view){ copy, raw.len }, &arena) != BK_MS_TICKET_GOOD);
        free(copy);
        bk_arena_finish(&arena);
    }
    struct bk_ms_ticket ticket;
    assert_int_equal(bk_ms_ticket_read(&key, g.assertion, now, &g.arena, &ticket),
                     BK_MS_TICKET_GOOD);
    BK_AUTO_BUF struct bk_buf renamed = changed(raw, ticket.id, "SamlSecurityToken-another");
    struct bk_arena arena = { 0 };
    assert_int_equal(read_changed(bk_buf_view(&renamed), &arena), BK_MS_TICKET_FORGED);
    bk_arena_finish(&arena);
    give_back(&g);
}

static void a_ticket_of_another_key_is_forged(void **state)
{
    (void)state;
    static const struct bk_ms_ticket_key other = { "another key of this test, 32 by" };
    struct given g;
    struct bk_ms_ticket t;
    give(&g, BK_MS_SERVICE_CERTIFICATES);
    assert_int_equal(bk_ms_ticket_read(&other, g.assertion, now, &g.arena, &t),
                     BK_MS_TICKET_FORGED);
    give_back(&g);
}

static void a_secret_that_is_too_short_gives_no_ticket(void **state)
{
    (void)state;
    static const size_t lengths[] = { 1, BK_MS_ENTROPY_MIN - 1, BK_MS_ENTROPY_MAX + 1 };
    static const char bytes[BK_MS_ENTROPY_MAX + 1] = { 1 };
    struct bk_arena arena = { 0 };
    struct bk_ms_rst request = read_rst(&arena);
    struct bk_buf to = { 0 };
    for (size_t i = 0; i < BK_COUNT_OF(lengths); i++) {
        request.entropy = (struct bk_view){ bytes, lengths[i] };
        assert_int_equal(bk_ms_ticket_issue(&key, &dice, &request, BK_MS_SERVICE_USER, BK_VIEW("i"),
                                            1, BK_VIEW("a@b"), now, &to),
                         -EINVAL);
        assert_int_equal(to.len, 0);
    }
    bk_buf_finish(&to);
    bk_arena_finish(&arena);
}

static void a_ticket_without_a_secret_signs_nothing(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    struct bk_ms_rst request = read_rst(&arena);
    BK_AUTO_BUF struct bk_buf to = { 0 };
    const struct bk_ms_ws *root;
    struct bk_ms_ticket t;
    struct bk_ms_cert_request cert;
    const char *why;
    request.entropy = (struct bk_view){ 0 };
    assert_int_equal(bk_ms_ticket_issue(&key, &dice, &request, BK_MS_SERVICE_USER, BK_VIEW("i"), 1,
                                        BK_VIEW("a@b"), now, &to),
                     0);
    assert_int_equal(bk_ms_ws_parse(bk_buf_view(&to), &arena, &root, &why), 0);
    const struct bk_ms_ws *assertion =
        bk_ms_ws_at(root, "Body/RequestSecurityTokenResponseCollection/"
                          "RequestSecurityTokenResponse/RequestedSecurityToken/Assertion");
    assert_int_equal(bk_ms_ticket_read(&key, assertion, now, &arena, &t), BK_MS_TICKET_GOOD);
    assert_false(t.has_proof);
    assert_int_equal(bk_ms_cert_request_parse(bk_buf_view(&publish), &arena, &cert, &why), 0);
    cert.key_name = bk_view_of_str(t.id);
    assert_false(bk_ms_cert_verify(&cert, &t));
    bk_arena_finish(&arena);
}

/* ---- certificates ---- */

static void the_recorded_certificate_request_is_read(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    struct bk_ms_cert_request r;
    const char *why;
    assert_int_equal(bk_ms_cert_request_parse(bk_buf_view(&publish), &arena, &r, &why), 0);
    assert_view(r.device_id, "{b7878522-d7fe-5c33-b30d-265f6618ae78}");
    assert_view(r.entity, "alice@example.com");
    assert_view(r.request_id, "9a3ff1c6-3fef-56e3-9306-f459266edd39");
    assert_view(r.key_name, "SamlSecurityToken-3bb2143b72b09038");
    assert_true(bk_view_starts_with(r.timestamp, BK_VIEW("<wsu:Timestamp ")));
    assert_true(bk_view_ends_with(r.timestamp, BK_VIEW("</wsu:Timestamp>")));
    assert_true(bk_view_starts_with(r.signed_info, BK_VIEW("<SignedInfo ")));
    assert_int_equal(r.expires_ms - r.created_ms, 8 * 3600 * 1000);
    assert_int_equal(r.csr.len, 613);
    BK_AUTO_BUF struct bk_buf pem = { 0 };
    bk_ms_cert_request_pem(r.csr, &pem);
    assert_true(bk_view_starts_with(bk_buf_view(&pem),
                                    BK_VIEW("-----BEGIN CERTIFICATE REQUEST-----\nMIICYTCC")));
    bk_arena_finish(&arena);
}

static void what_is_not_signed_as_it_should_be_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } rows[] = {
        /* what is signed is not what is read */
        { "<wsse:Security>", "<wsse:Security><wsu:Timestamp wsu:Id=\"timestamp\"/>" },
        { "<soap:Header>", "<soap:Header><wsse:Security/>" },
        { "URI=\"#timestamp\"", "URI=\"#other\"" },
        { "URI=\"#timestamp\"", "URI=\"\"" },
        { "</Reference>", "</Reference><Reference URI=\"#x\"/>" },
        { "<Signature ", "<Signature/><Signature " },
        /* other algorithms */
        { "#hmac-sha1", "#rsa-sha1" },
        { "xmldsig#sha1", "xmldsig#md5" },
        /* broken values */
        { "<DigestValue>V", "<DigestValue>" },
        { "<SignatureValue>J", "<SignatureValue>" },
        { "2026-11-22T05:53:35Z", "yesterday" },
        { "MIICYTCC", "!" },
        { "Entity=\"alice@example.com\"", "" },
        { "<GetAndPublishCert ", "<GetAndPublishCert/><GetAndPublishCert " },
    };
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        struct bk_arena arena = { 0 };
        struct bk_ms_cert_request r;
        const char *why = NULL;
        BK_AUTO_BUF struct bk_buf text = changed(bk_buf_view(&publish), rows[i].from, rows[i].to);
        if (bk_ms_cert_request_parse(bk_buf_view(&text), &arena, &r, &why) != -EBADMSG || !why)
            fail_msg("row %zu was taken", i);
        bk_arena_finish(&arena);
    }
}

static void no_byte_under_the_signature_can_be_changed(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    struct bk_ms_cert_request r;
    const char *why;
    struct bk_ms_ticket ticket = { .id = "SamlSecurityToken-3bb2143b72b09038", .has_proof = true };
    assert_int_equal(bk_ms_cert_request_parse(bk_buf_view(&publish), &arena, &r, &why), 0);
    /* signed anew with a key of ours */
    unsigned char mac[20];
    memset(ticket.proof, 7, sizeof ticket.proof);
    HMAC(EVP_sha1(), ticket.proof, sizeof ticket.proof, (const unsigned char *)r.signed_info.at,
         r.signed_info.len, mac, NULL);
    r.signature = (struct bk_view){ (char *)mac, sizeof mac };
    assert_true(bk_ms_cert_verify(&r, &ticket));

    const struct bk_view covered[] = { r.timestamp, r.signed_info };
    for (int k = 0; k < 2; k++) {
        char *copy = malloc(covered[k].len);
        for (size_t i = 0; i < covered[k].len; i++) {
            struct bk_ms_cert_request other = r;
            memcpy(copy, covered[k].at, covered[k].len);
            copy[i] ^= 1;
            *(k ? &other.signed_info : &other.timestamp) = (struct bk_view){ copy, covered[k].len };
            assert_false(bk_ms_cert_verify(&other, &ticket));
        }
        free(copy);
    }
    bk_arena_finish(&arena);
}

static void an_old_time_stamp_is_a_replay(void **state)
{
    (void)state;
    const int64_t five = 300 * 1000;
    struct bk_ms_cert_request r = { .created_ms = now, .expires_ms = now + 8 * 3600 * 1000 };
    assert_int_equal(bk_ms_cert_time(&r, now), BK_MS_TIME_GOOD);
    assert_int_equal(bk_ms_cert_time(&r, now + five), BK_MS_TIME_GOOD);
    assert_int_equal(bk_ms_cert_time(&r, now + five + 1), BK_MS_TIME_OLD);
    assert_int_equal(bk_ms_cert_time(&r, now - five), BK_MS_TIME_GOOD);
    assert_int_equal(bk_ms_cert_time(&r, now - five - 1), BK_MS_TIME_EARLY);
    r.expires_ms = now + 1000;
    assert_int_equal(bk_ms_cert_time(&r, now + 1000), BK_MS_TIME_OLD);
    r.created_ms = INT64_MIN;
    assert_int_equal(bk_ms_cert_time(&r, now), BK_MS_TIME_OLD);
    r.created_ms = INT64_MAX;
    assert_int_equal(bk_ms_cert_time(&r, now), BK_MS_TIME_EARLY);
}

static void a_certificate_stands_where_the_client_looks(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    const struct bk_ms_cert_request r = { .device_id = BK_VIEW("{\"}"),
                                          .entity = BK_VIEW("<a>@b"),
                                          .request_id = BK_VIEW("&") };
    BK_AUTO_BUF struct bk_buf to = { 0 };
    const struct bk_ms_ws *root;
    const char *why;
    bk_ms_cert_answer(&r, BK_VIEW("DER"), &to);
    assert_int_equal(bk_ms_ws_parse(bk_buf_view(&to), &arena, &root, &why), 0);
    assert_view(bk_ms_ws_text(root, "Body/GetAndPublishCertResponse/RequestSecurityTokenResponse/"
                                    "RequestedSecurityToken/BinarySecurityToken"),
                "REVS");
    assert_view(bk_ms_ws_attribute(bk_ms_ws_at(root, "Body/GetAndPublishCertResponse"), "DeviceId"),
                "{\"}");
    bk_arena_finish(&arena);
}

/* ---- metadata and discovery ---- */

static void the_metadata_name_what_the_client_looks_for(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    BK_AUTO_BUF struct bk_buf certprov = { 0 }, webticket = { 0 };
    const struct bk_ms_ws *root;
    const char *why;
    bk_ms_mex_certprov(BK_VIEW("https://srv.example.com:4443"), &certprov);
    assert_int_equal(bk_ms_ws_parse(bk_buf_view(&certprov), &arena, &root, &why), 0);
    assert_view(bk_ms_ws_attribute(bk_ms_ws_at(root, "Policy"), "Id"),
                "CertProvisioningServiceWebTicketProof_SHA1_policy");
    assert_view(bk_ms_ws_text(root, "Policy/ExactlyOne/All/EndorsingSupportingTokens/Policy/"
                                    "IssuedToken/Issuer/Address"),
                "https://srv.example.com:4443/WebTicket/WebTicketService.svc");
    assert_view(bk_ms_ws_attribute(bk_ms_ws_at(root, "service/port"), "name"),
                "CertProvisioningServiceWebTicketProof_SHA1");
    assert_view(bk_ms_ws_attribute(bk_ms_ws_at(root, "service/port/address"), "location"),
                "https://srv.example.com:4443/CertProv/CertProvisioningService.svc"
                "/WebTicket_Proof_SHA1");

    bk_ms_mex_webticket(BK_VIEW("https://srv.example.com:4443"), &webticket);
    assert_int_equal(bk_ms_ws_parse(bk_buf_view(&webticket), &arena, &root, &why), 0);
    assert_view(bk_ms_ws_attribute(bk_ms_ws_at(root, "service/port"), "name"),
                "WebTicketServiceWinNegotiate");
    assert_view(bk_ms_ws_attribute(bk_ms_ws_at(root, "service/port/address"), "location"),
                "https://srv.example.com:4443/WebTicket/WebTicketService.svc/Auth");
    bk_arena_finish(&arena);
}

static void a_ticket_is_for_the_service_its_url_names(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        enum bk_ms_service service;
        const char *host;
    } rows[] = {
        { "https://h:4443/CertProv/CertProvisioningService.svc/WebTicket_Proof_SHA1",
          BK_MS_SERVICE_CERTIFICATES, "h" },
        { "HTTPS://H/certprov/certprovisioningservice.svc", BK_MS_SERVICE_CERTIFICATES, "H" },
        { "https://[::1]:443/Autodiscover/AutodiscoverService.svc/root/user?x=1",
          BK_MS_SERVICE_USER, "[::1]" },
        { "https://h/Autodiscover/AutodiscoverService.svc/root", BK_MS_SERVICE_NONE, NULL },
        { "http://h/CertProv/CertProvisioningService.svc", BK_MS_SERVICE_NONE, NULL },
        { "https://h", BK_MS_SERVICE_NONE, NULL },
        { "https://", BK_MS_SERVICE_NONE, NULL },
        { "", BK_MS_SERVICE_NONE, NULL },
    };
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        struct bk_view host = { 0 };
        assert_int_equal(bk_ms_service_of(bk_view_of_str(rows[i].url), &host), rows[i].service);
        if (rows[i].host)
            assert_view(host, rows[i].host);
    }
}

static void the_discovery_documents_lead_to_the_server(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    BK_AUTO_BUF struct bk_buf first = { 0 }, second = { 0 };
    const struct bk_ms_ws *root;
    const char *why;
    const struct bk_ms_sip_place inside = { BK_VIEW("srv.example.com"), 5061 }, outside = { 0 };
    bk_ms_autodiscover_root(BK_VIEW("https://srv.example.com"), true, &first);
    assert_int_equal(bk_ms_ws_parse(bk_buf_view(&first), &arena, &root, &why), 0);
    assert_view(bk_ms_ws_attribute(root, "AccessLocation"), "Internal");
    const struct bk_ms_ws *link = bk_ms_ws_at(root, "Root")->child;
    assert_view(bk_ms_ws_attribute(link, "token"), "Domain");
    assert_view(bk_ms_ws_attribute(link->next, "token"), "User");
    assert_view(bk_ms_ws_attribute(link->next, "href"),
                "https://srv.example.com/Autodiscover/AutodiscoverService.svc/root/user");

    bk_ms_autodiscover_places("User", BK_VIEW("https://srv.example.com"), false, &inside, &outside,
                              &second);
    assert_int_equal(bk_ms_ws_parse(bk_buf_view(&second), &arena, &root, &why), 0);
    assert_view(bk_ms_ws_attribute(root, "AccessLocation"), "External");
    const struct bk_ms_ws *place = bk_ms_ws_at(root, "User/SipClientInternalAccess");
    assert_view(bk_ms_ws_attribute(place, "fqdn"), "srv.example.com");
    assert_view(bk_ms_ws_attribute(place, "port"), "5061");
    assert_null(bk_ms_ws_at(root, "User/SipClientExternalAccess"));
    bk_arena_finish(&arena);
}

static void a_ticket_in_a_header_field_is_the_ticket(void **state)
{
    (void)state;
    struct given g;
    struct bk_ms_ticket t;
    BK_AUTO_BUF struct bk_buf field = { 0 };
    give(&g, BK_MS_SERVICE_USER);
    bk_buf_add_lit(&field, "opaque=");
    bk_base64_encode(&field, g.assertion->raw);
    assert_int_equal(bk_ms_autodiscover_ticket(&key, bk_buf_view(&field), now, &g.arena, &t),
                     BK_MS_TICKET_GOOD);
    assert_int_equal(t.service, BK_MS_SERVICE_USER);
    assert_int_equal(
        bk_ms_autodiscover_ticket(&key, bk_view_head(bk_buf_view(&field), 100), now, &g.arena, &t),
        BK_MS_TICKET_UNREADABLE);
    assert_int_equal(bk_ms_autodiscover_ticket(&key, BK_VIEW(""), now, &g.arena, &t),
                     BK_MS_TICKET_UNREADABLE);
    assert_int_equal(bk_ms_autodiscover_ticket(&key, BK_VIEW("opaque=PGEvPg=="), now, &g.arena, &t),
                     BK_MS_TICKET_UNREADABLE);
    give_back(&g);
}

/* ---- the client's half ---- */

static void the_metadata_lead_the_client_from_one_service_to_the_next(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    BK_AUTO_BUF struct bk_buf certprov = { 0 }, webticket = { 0 };
    struct bk_view tickets, certificates, post_to;
    struct bk_ms_road_fault fault;
    bk_ms_mex_certprov(BK_VIEW("https://h"), &certprov);
    bk_ms_mex_webticket(BK_VIEW("https://h"), &webticket);
    assert_int_equal(
        bk_ms_road_certprov(bk_buf_view(&certprov), &arena, &tickets, &certificates, &fault), 0);
    assert_view(tickets, "https://h" BK_MS_PATH_WEBTICKET);
    assert_view(certificates, "https://h" BK_MS_PATH_CERTPROV_PROOF);
    assert_int_equal(bk_ms_road_webticket(bk_buf_view(&webticket), &arena, &post_to, &fault), 0);
    assert_view(post_to, "https://h" BK_MS_PATH_WEBTICKET_AUTH);
    assert_int_equal(
        bk_ms_road_certprov(bk_buf_view(&webticket), &arena, &tickets, &certificates, &fault),
        -EBADMSG);
    assert_non_null(fault.why);
    assert_int_equal(bk_ms_road_webticket(bk_buf_view(&certprov), &arena, &post_to, &fault),
                     -EBADMSG);
    bk_arena_finish(&arena);
}

static void the_recorded_ticket_is_read_as_the_recorded_client_read_it(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    struct bk_ms_rst request = read_rst(&arena);
    struct bk_ms_road_ticket mine;
    struct bk_ms_road_fault fault;
    struct bk_ms_cert_request cert;
    struct bk_ms_ticket ticket = { .has_proof = true };
    const char *why;
    assert_int_equal(bk_ms_road_ticket(bk_buf_view(&rstr), request.entropy, &arena, &mine, &fault),
                     0);
    assert_view(mine.id, "SamlSecurityToken-3bb2143b72b09038");
    assert_int_equal(bk_ms_cert_request_parse(bk_buf_view(&publish), &arena, &cert, &why), 0);
    assert_true(bk_view_find_view(cert.timestamp, mine.lifetime) < cert.timestamp.len);
    assert_true(bk_view_find_view(bk_buf_view(&publish), mine.assertion) < publish.len);
    snprintf(ticket.id, sizeof ticket.id, "%.*s", BK_VIEW_ARGS(mine.id));
    memcpy(ticket.proof, mine.proof, sizeof ticket.proof);
    assert_true(bk_ms_cert_verify(&cert, &ticket));
    bk_arena_finish(&arena);
}

static void both_halves_understand_each_other(void **state)
{
    (void)state;
    static const char *const people[] = { "alice@example.com", "a&b'<c@example.com" };
    for (size_t i = 0; i < BK_COUNT_OF(people); i++) {
        struct bk_arena arena = { 0 };
        BK_AUTO_BUF struct bk_buf ask = { 0 }, given = { 0 }, publishing = { 0 }, answer = { 0 };
        struct bk_view address = bk_view_of_str(people[i]), der;
        struct bk_view entropy = BK_VIEW("0123456789abcdef0123456789abcdef");
        struct bk_ms_rst request;
        struct bk_ms_road_ticket mine;
        struct bk_ms_road_fault fault;
        struct bk_ms_cert_request cert;
        struct bk_ms_ticket ticket;
        const char *why;
        char csr[600];
        memset(csr, 7, sizeof csr);

        bk_ms_road_rst(&ask, BK_VIEW("\"c\""), BK_VIEW("https://h?a&b"), address, entropy);
        assert_int_equal(bk_ms_rst_parse(bk_buf_view(&ask), &arena, &request, &why), 0);
        assert_view(request.claimed, people[i]);
        assert_view(request.applies_to, "https://h?a&b");
        assert_view(request.context, "\"c\"");
        assert_true(bk_view_equal(request.entropy, entropy));
        assert_int_equal(bk_ms_ticket_issue(&key, &dice, &request, BK_MS_SERVICE_CERTIFICATES,
                                            BK_VIEW("i"), 7, address, now, &given),
                         0);
        assert_int_equal(bk_ms_road_ticket(bk_buf_view(&given), entropy, &arena, &mine, &fault), 0);
        assert_int_equal(mine.expires_ms, now + BK_MS_TICKET_LIFE_MS);

        bk_ms_road_request(&publishing, &mine, BK_VIEW("https://h"), BK_VIEW("m"), BK_VIEW("d"),
                           address, (struct bk_view){ csr, sizeof csr });
        assert_int_equal(bk_ms_cert_request_parse(bk_buf_view(&publishing), &arena, &cert, &why),
                         0);
        assert_int_equal(bk_ms_ticket_read(&key, cert.assertion, now, &arena, &ticket),
                         BK_MS_TICKET_GOOD);
        assert_true(bk_ms_cert_verify(&cert, &ticket));
        assert_int_equal(bk_ms_cert_time(&cert, now), BK_MS_TIME_GOOD);
        assert_view(cert.device_id, "{d}");
        assert_view(cert.entity, people[i]);
        assert_int_equal(cert.csr.len, sizeof csr);
        assert_memory_equal(cert.csr.at, csr, sizeof csr);

        bk_ms_cert_answer(&cert, BK_VIEW("DER"), &answer);
        assert_int_equal(bk_ms_road_certificate(bk_buf_view(&answer), &arena, &der, &fault), 0);
        assert_view(der, "DER");
        bk_arena_finish(&arena);
    }
}

static void a_refusal_is_told_from_an_answer_that_makes_no_sense(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    BK_AUTO_BUF struct bk_buf refusal = { 0 };
    struct bk_ms_road_fault fault;
    struct bk_ms_road_ticket ticket;
    struct bk_view der;
    bk_ms_ws_fault(&refusal, 95208, BK_VIEW("This account is disabled. (K7QF-3M2P)"));
    for (int i = 0; i < 2; i++) {
        int r = i ? bk_ms_road_certificate(bk_buf_view(&refusal), &arena, &der, &fault)
                  : bk_ms_road_ticket(bk_buf_view(&refusal), BK_VIEW("x"), &arena, &ticket, &fault);
        assert_int_equal(r, -EBADMSG);
        assert_null(fault.why);
        assert_view(fault.text, "This account is disabled. (K7QF-3M2P)");
        assert_int_equal(fault.code, 95208);
    }
    static const char *const nonsense[] = { "", "<a/>", "<html><body>404</body></html>",
                                            "<e><Body><Fault/></Body></e>" };
    for (size_t i = 0; i < BK_COUNT_OF(nonsense); i++) {
        assert_int_equal(bk_ms_road_certificate(bk_view_of_str(nonsense[i]), &arena, &der, &fault),
                         -EBADMSG);
        assert_true((fault.why != NULL) == (i < 3));
    }
    bk_arena_finish(&arena);
}

static void a_cut_answer_gives_neither_ticket_nor_certificate(void **state)
{
    (void)state;
    struct bk_ms_road_ticket ticket;
    struct bk_ms_road_fault fault;
    for (size_t n = 0; n < rstr.len; n++) {
        struct bk_arena arena = { 0 };
        assert_int_equal(bk_ms_road_ticket(bk_view_head(bk_buf_view(&rstr), n),
                                           BK_VIEW("0123456789abcdef"), &arena, &ticket, &fault),
                         -EBADMSG);
        bk_arena_finish(&arena);
    }
}

/* ---- without memory ---- */

static bool whole_road(void)
{
    struct bk_arena arena = { 0 };
    struct bk_ms_rst request;
    struct bk_ms_cert_request cert;
    struct bk_ms_ticket ticket;
    struct bk_buf answer = { 0 };
    const struct bk_ms_ws *root;
    const char *why = NULL;
    int r = bk_ms_rst_parse(bk_buf_view(&rst), &arena, &request, &why);
    if (r == 0)
        r = bk_ms_ticket_issue(&key, &dice, &request, BK_MS_SERVICE_USER, BK_VIEW("i"), 1,
                               BK_VIEW("a@b"), now, &answer);
    if (r == 0)
        r = bk_ms_ws_parse(bk_buf_view(&answer), &arena, &root, &why);
    if (r == 0) {
        const struct bk_ms_ws *assertion =
            bk_ms_ws_at(root, "Body/RequestSecurityTokenResponseCollection/"
                              "RequestSecurityTokenResponse/RequestedSecurityToken/Assertion");
        enum bk_ms_ticket_state s = bk_ms_ticket_read(&key, assertion, now, &arena, &ticket);
        assert_true(s == BK_MS_TICKET_GOOD || s == BK_MS_TICKET_NO_MEMORY);
        r = s == BK_MS_TICKET_GOOD ? 0 : -ENOMEM;
    }
    if (r == 0)
        r = bk_ms_cert_request_parse(bk_buf_view(&publish), &arena, &cert, &why);
    struct bk_ms_road_ticket mine;
    struct bk_ms_road_fault fault;
    if (r == 0)
        r = bk_ms_road_ticket(bk_buf_view(&rstr), request.entropy, &arena, &mine, &fault);
    assert_true(r == 0 || r == -ENOMEM);
    bk_buf_finish(&answer);
    bk_arena_finish(&arena);
    return r == 0;
}

static void without_memory_nothing_is_half_read(void **state)
{
    (void)state;
    bool went = false;
    for (unsigned n = 1; n < 2000; n++) {
        bk_fail_alloc(n);
        went = whole_road();
        if (!bk_fail_alloc(0))
            break;
        assert_false(went);
    }
    assert_true(went);
}

static struct bk_ms_autodiscover discovered(const char *xml, struct bk_arena *arena)
{
    struct bk_ms_autodiscover d = { 0 };
    const char *why = "out of memory";
    if (bk_ms_autodiscover_parse(bk_view_of_str(xml), arena, &d, &why) < 0)
        fail_msg("%s", why);
    return d;
}

static void a_client_reads_the_documents_that_a_server_writes(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    struct bk_buf xml = { 0 };
    struct bk_ms_sip_place inside = { BK_VIEW("in.example.com"), 5061 };
    struct bk_ms_sip_place outside = { BK_VIEW("out.example.com"), 443 };
    bk_ms_autodiscover_root(BK_VIEW("https://srv.example.com"), true, &xml);
    struct bk_ms_autodiscover d = discovered(bk_buf_cstr(&xml), &arena);
    assert_true(
        bk_view_equal(d.domain, BK_VIEW("https://srv.example.com" BK_MS_PATH_DISCOVER_DOMAIN)));
    assert_true(bk_view_equal(d.user, BK_VIEW("https://srv.example.com" BK_MS_PATH_DISCOVER_USER)));
    assert_false(d.outside);
    bk_buf_clear(&xml);
    bk_ms_autodiscover_places("Domain", BK_VIEW("https://srv.example.com"), false, &inside,
                              &outside, &xml);
    d = discovered(bk_buf_cstr(&xml), &arena);
    assert_true(d.outside);
    assert_true(bk_view_equal(d.inside.host, inside.host) && d.inside.port == 5061);
    assert_true(bk_view_equal(d.outer.host, outside.host) && d.outer.port == 443);
    bk_buf_finish(&xml);
    bk_arena_finish(&arena);
}

static void a_client_takes_what_is_meant_for_clients_and_follows_links(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    struct bk_ms_autodiscover d =
        discovered("<AutodiscoverResponse><User><SipClientInternalAccess fqdn=\"c.example.com\" "
                   "port=\"5061\"/>"
                   "<SipServerInternalAccess fqdn=\"s.example.com\" port=\"5062\"/></User>"
                   "</AutodiscoverResponse>",
                   &arena);
    assert_true(bk_view_equal(d.inside.host, BK_VIEW("c.example.com")));
    assert_int_equal(d.outer.port, 0);
    d = discovered(
        "<AutodiscoverResponse><Root><Link token=\"Redirect\" href=\"https://x.test/r\"/>"
        "</Root></AutodiscoverResponse>",
        &arena);
    assert_true(bk_view_equal(d.redirect, BK_VIEW("https://x.test/r")));
    static const char *const bad[] = {
        "",
        "<html/>",
        "<AutodiscoverResponse/>",
        "<AutodiscoverResponse><Root/></AutodiscoverResponse>",
        "<AutodiscoverResponse><User><SipClientInternalAccess fqdn=\"c.example.com\" port=\"0\"/>"
        "</User></AutodiscoverResponse>",
        "<AutodiscoverResponse><User><SipClientInternalAccess fqdn=\"\" port=\"5061\"/></User>"
        "</AutodiscoverResponse>"
    };
    for (size_t i = 0; i < BK_COUNT_OF(bad); i++) {
        const char *why = NULL;
        assert_int_equal(bk_ms_autodiscover_parse(bk_view_of_str(bad[i]), &arena, &d, &why),
                         -EBADMSG);
        assert_non_null(why);
    }
    bk_arena_finish(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_element_knows_the_bytes_it_came_from),
        cmocka_unit_test(two_elements_of_one_name_are_none),
        cmocka_unit_test(what_is_no_document_or_too_much_of_one_is_refused),
        cmocka_unit_test(any_text_can_be_told_in_a_fault),
        cmocka_unit_test(the_recorded_request_is_read),
        cmocka_unit_test(a_request_cut_anywhere_is_none),
        cmocka_unit_test(the_clients_own_clock_is_read_where_it_tells_it),
        cmocka_unit_test(p_sha1_gives_what_the_recorded_signature_was_made_with),
        cmocka_unit_test(a_ticket_reads_back_as_it_was_given),
        cmocka_unit_test(the_answer_can_be_cut_by_names),
        cmocka_unit_test(no_two_tickets_share_an_id_or_a_key),
        cmocka_unit_test(a_ticket_ends_and_does_not_begin_in_the_future),
        cmocka_unit_test(no_byte_of_a_tickets_token_can_be_changed),
        cmocka_unit_test(a_ticket_of_another_key_is_forged),
        cmocka_unit_test(a_secret_that_is_too_short_gives_no_ticket),
        cmocka_unit_test(a_ticket_without_a_secret_signs_nothing),
        cmocka_unit_test(the_recorded_certificate_request_is_read),
        cmocka_unit_test(what_is_not_signed_as_it_should_be_is_refused),
        cmocka_unit_test(no_byte_under_the_signature_can_be_changed),
        cmocka_unit_test(an_old_time_stamp_is_a_replay),
        cmocka_unit_test(a_certificate_stands_where_the_client_looks),
        cmocka_unit_test(the_metadata_name_what_the_client_looks_for),
        cmocka_unit_test(a_ticket_is_for_the_service_its_url_names),
        cmocka_unit_test(the_discovery_documents_lead_to_the_server),
        cmocka_unit_test(a_ticket_in_a_header_field_is_the_ticket),
        cmocka_unit_test(the_metadata_lead_the_client_from_one_service_to_the_next),
        cmocka_unit_test(the_recorded_ticket_is_read_as_the_recorded_client_read_it),
        cmocka_unit_test(both_halves_understand_each_other),
        cmocka_unit_test(a_refusal_is_told_from_an_answer_that_makes_no_sense),
        cmocka_unit_test(a_cut_answer_gives_neither_ticket_nor_certificate),
        cmocka_unit_test(without_memory_nothing_is_half_read),
        cmocka_unit_test(a_client_reads_the_documents_that_a_server_writes),
        cmocka_unit_test(a_client_takes_what_is_meant_for_clients_and_follows_links),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
