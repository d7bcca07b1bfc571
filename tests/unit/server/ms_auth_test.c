/* SPDX-License-Identifier: Apache-2.0 */
/* Signing in as the Lync dialect does it, and the signatures on all that follows: a client of our own against the core. */
#include "tests/fakes/world.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "csr.h"
#include "failing_alloc.h"
#include "ms/endpoint.h"
#include "ms/sa.h"
#include "sip/build.h"
#include "sip/fields.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#define TARGET "srv.example.org"
#define PASSWORD "correct horse"

static struct bk_dsk_side *server_side; /* one key for all tests */

/* ---- a client ---- */

struct client {
    struct world_link *link;
    const char *name, *epid;
    struct bk_sa *sa;
    int cseq, n; /* n: dialogs of its own so far */
    char contact[128];
    char answer[65536]; /* the last one */
    struct bk_buf certificate, key;
};

static struct world *begin(unsigned shards)
{
    struct world *w = world_create(&(struct world_config){
        .shards = shards, .bus_always_queues = shards > 1, .seed = 3, .dsk = server_side });
    world_user(w, "ann", "MD5");
    world_user(w, "bob", "SHA-256");
    return w;
}

static void allow_ntlm(struct world *w, const char *name)
{
    uint8_t hash[BK_NT_HASH_SIZE];
    char address[64];
    snprintf(address, sizeof address, "%s@example.org", name);
    assert_int_equal(bk_ntlm_hash(BK_VIEW(PASSWORD), hash), 0);
    world_policy(w, "global", "", "ntlm-signin", "on");
    WORLD_PUT(w, bk_store_put_nt_hash(batch, bk_view_of_str(address), hash));
}

static void client_open_on(struct client *c, struct world_link *link, const char *name,
                           const char *epid)
{
    static int port = 40000;
    *c = (struct client){ .link = link, .name = name, .epid = epid };
    snprintf(c->contact, sizeof c->contact, "sip:127.0.0.1:%d;transport=tls;ms-opaque=d3470f2e1d",
             ++port);
}

static void client_open(struct client *c, struct world *w, const char *name, const char *epid)
{
    client_open_on(c, world_connect(w, BK_LINK_TLS), name, epid);
}

static void client_close(struct client *c)
{
    bk_sa_destroy(c->sa);
    bk_buf_finish(&c->certificate);
    bk_buf_finish(&c->key);
    if (c->link)
        world_disconnect(c->link, BK_LINK_END_CLOSED);
}

static void next_answer(struct client *c)
{
    const char *got = world_take(c->link);
    snprintf(c->answer, sizeof c->answer, "%s", got ? got : "");
}

struct parsed {
    struct bk_sip_msg msg;
    struct bk_sip_head head;
};

static struct parsed *parse(const char *text)
{
    struct parsed *p = calloc(1, sizeof *p);
    struct bk_sip_fault fault;
    assert_non_null(p);
    assert_int_equal(bk_sip_msg_parse(&p->msg, bk_view_of_str(text), &fault), 0);
    assert_int_equal(bk_sip_msg_check(&p->msg, &p->head, &fault), 0);
    return p;
}

/* Puts a line in front of the empty one. */
static void with_line(struct bk_buf *to, const char *message, struct bk_view line)
{
    const char *end = strstr(message, "\r\n\r\n");
    assert_non_null(end);
    bk_buf_clear(to);
    bk_buf_add(to, message, (size_t)(end + 2 - message));
    bk_buf_add_view(to, line);
    bk_buf_add_str(to, end + 2);
}

static bool failed; /* whether it did */
static unsigned
    fail_at; /* which allocation of the core fails during the next signed message; 0: none */

/* Signs and sends; token at != NULL: with gssapi-data. */
static void send_signed(struct client *c, const char *message, struct bk_view token)
{
    BK_AUTO_BUF struct bk_buf line = { 0 }, whole = { 0 };
    struct parsed *p = parse(message);
    bk_sa_sign(c->sa, &p->msg, &p->head, &bk_random_system, token, &line);
    with_line(&whole, message, bk_buf_view(&line));
    const char *bytes = bk_buf_cstr(&whole);
    bk_fail_alloc(fail_at);
    bk_core_receive(c->link->world->core, c->link->id, bk_view_of_str(bytes), NULL);
    failed = bk_fail_alloc(0);
    c->link->last_in_ms = c->link->world->mono_ms;
    world_settle(c->link->world);
    free(p);
}

/* Whether our side believes who signed this. */
static enum bk_sa_verdict signature_of(struct client *c, const char *message)
{
    struct bk_sa_header h;
    struct parsed *p = parse(message);
    const struct bk_sip_field *f = bk_sip_msg_field(&p->msg, BK_SIP_HDR_AUTHENTICATION_INFO);
    enum bk_sa_verdict verdict = BK_SA_UNSIGNED;
    if (f && bk_sa_header_parse(f->value, &h) == 0)
        verdict = bk_sa_verify(c->sa, &p->msg, &p->head, &h);
    assert_true(!f || f->next < 0);
    free(p);
    return verdict;
}

static char *register_text(struct client *c, const char *extra)
{
    char *text;
    char uuid[BK_UUID_TEXT_SIZE];
    bk_ms_instance_of_epid(bk_view_of_str(c->epid), uuid);
    c->cseq++;
    assert_true(
        asprintf(&text,
                 "REGISTER sip:example.org SIP/2.0\r\n"
                 "Via: SIP/2.0/tls 127.0.0.1:40001;branch=z9hG4bK%s%d\r\n"
                 "From: <sip:%s@example.org>;tag=%d;epid=%s\r\nTo: <sip:%s@example.org>\r\n"
                 "Max-Forwards: 70\r\nCSeq: %d REGISTER\r\nCall-ID: %s%s\r\n"
                 "Contact: <%s>;methods=\"INVITE, MESSAGE\";proxy=replace;"
                 "+sip.instance=\"<urn:uuid:%s>\"\r\n"
                 "Supported: gruu-10, adhoclist, msrtc-event-categories\r\nEvent: registration\r\n"
                 "%sContent-Length: 0\r\n\r\n",
                 c->epid, c->cseq, c->name, c->cseq, c->epid, c->name, c->cseq, c->name, c->epid,
                 c->contact, uuid, extra) > 0);
    return text;
}

/* A REGISTER with this Authorization (NULL: none); the answer is in c->answer. */
static int register_leg(struct client *c, struct bk_buf *authorization)
{
    BK_AUTO_BUF struct bk_buf line = { 0 };
    if (authorization)
        bk_buf_addf(&line, "Authorization: %s\r\n", bk_buf_cstr(authorization));
    char *text = register_text(c, authorization ? bk_buf_cstr(&line) : "");
    world_send(c->link, "%s", text);
    free(text);
    next_answer(c);
    return world_status(c->answer);
}

static int register_signed(struct client *c, const char *extra, struct bk_view token)
{
    char *text = register_text(c, extra);
    send_signed(c, text, token);
    free(text);
    next_answer(c);
    return world_status(c->answer);
}

/* The challenge of the last answer: its opaque into config, its token. */
static void challenge_of(struct client *c, struct bk_buf *copy, struct bk_sa_config *config,
                         struct bk_buf *token)
{
    struct bk_sa_header h;
    struct parsed *p = parse(c->answer);
    bk_buf_clear(copy);
    bk_buf_add_view(copy, bk_sip_msg_value(&p->msg, BK_SIP_HDR_WWW_AUTHENTICATE));
    free(p);
    assert_int_equal(bk_sa_header_parse(bk_buf_view(copy), &h), 0);
    bk_buf_clear(token);
    assert_int_equal(bk_base64_decode(h.gssapi_data, token), 0);
    *config = (struct bk_sa_config){
        .scheme = h.scheme, .opaque = h.opaque, .realm = h.realm, .targetname = h.targetname
    };
}

struct login {
    const char *user, *domain, *password;
    int64_t skew_ms;
};

/* The whole of NTLM; the final status. */
static int ntlm_with(struct client *c, const struct login *login)
{
    BK_AUTO_BUF struct bk_buf leg = { 0 }, copy = { 0 }, token = { 0 }, answer = { 0 };
    struct bk_sa_config config;
    struct bk_ntlm_challenge challenge;
    uint8_t hash[BK_NTLM_HASH_SIZE];
    assert_int_equal(register_leg(c, NULL), 401);
    bk_sa_answer_write(&leg, BK_SA_NTLM, (struct bk_view){ 0 }, BK_VIEW(BK_SA_REALM),
                       BK_VIEW(TARGET), BK_VIEW(""));
    assert_int_equal(register_leg(c, &leg), 401);
    challenge_of(c, &copy, &config, &token);
    assert_int_equal(bk_ntlm_challenge_parse(bk_buf_view(&token), &challenge), 0);
    assert_int_equal(bk_ntlm_hash(bk_view_of_str(login->password), hash), 0);
    assert_int_equal(bk_ntlm_answer_write(&answer, &challenge, bk_view_of_str(login->user),
                                          bk_view_of_str(login->domain), hash,
                                          c->link->world->real_ms + login->skew_ms,
                                          &bk_random_system, &config.keys.ntlm),
                     0);
    c->sa = bk_sa_destroy(c->sa);
    assert_int_equal(bk_sa_create(&config, &c->sa), 0);
    return register_signed(c, "", bk_buf_view(&answer));
}

static int ntlm(struct client *c)
{
    char user[64];
    snprintf(user, sizeof user, "%s@example.org", c->name);
    return ntlm_with(c, &(struct login){ user, "", PASSWORD, 0 });
}

/* Allowed to, and signed in. */
static void open_by_ntlm(struct client *c, struct world *w, const char *name, const char *epid)
{
    allow_ntlm(w, name);
    client_open(c, w, name, epid);
    assert_int_equal(ntlm(c), 200);
}

/* ---- certificates ---- */

static void issue(struct client *c, const char *address, int64_t life_ms)
{
    struct world *w = c->link->world;
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    char *key, *csr = csr_make(CSR_RSA_2048, &key);
    struct bk_issued issued;
    struct bk_user user;
    const char *why;
    assert_int_equal(bk_authority_issue(w->authority, bk_view_of_str(csr), bk_view_of_str(address),
                                        w->real_ms, life_ms, &w->random, &c->certificate, &issued,
                                        &why),
                     0);
    bk_buf_add_str(&c->key, key);
    free(key);
    free(csr);
    world_account(w, address, &arena, &user);
    struct bk_certificate row = { .serial = bk_view_of_str(issued.serial),
                                  .user_id = user.id,
                                  .fingerprint = bk_view_of_str(issued.fingerprint),
                                  .issued_at = w->real_ms,
                                  .not_before = issued.not_before,
                                  .not_after = issued.not_after };
    WORLD_PUT(w, bk_store_put_certificate(batch, &row));
}

static bool serial_row(void *ctx, const struct bk_certificate *row)
{
    snprintf(ctx, 64, "%.*s", BK_VIEW_ARGS(row->serial));
    return true;
}

static void serial_of(struct world *w, const char *address, char ret[64])
{
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_user user;
    world_account(w, address, &arena, &user);
    assert_int_equal(bk_store_certificates(w->store, user.id, &arena, serial_row, ret), 1);
}

/* TLS-DSK up to the last unsigned leg; the status of its answer. */
static int dsk_legs(struct client *c, struct bk_sa_config *config, struct bk_buf *copy)
{
    BK_AUTO_BUF struct bk_buf in = { 0 }, out = { 0 }, leg = { 0 };
    struct bk_dsk_config own = { .tls_max = BK_DSK_TLS_1_0,
                                 .chain_pem = bk_buf_cstr(&c->certificate),
                                 .key_pem = bk_buf_cstr(&c->key) };
    struct bk_dsk_side *side;
    struct bk_dsk *dsk;
    int status = 401;
    assert_int_equal(register_leg(c, NULL), 401);
    assert_int_equal(bk_dsk_side_create(&own, &side), 0);
    assert_int_equal(bk_dsk_begin(side, &dsk), 0);
    *config = (struct bk_sa_config){ 0 };
    for (int i = 0; i < 4 && status == 401; i++) {
        bk_buf_clear(&out);
        enum bk_dsk_step step = bk_dsk_step(dsk, bk_buf_view(&in), &out);
        assert_int_not_equal(step, BK_DSK_FAILED);
        if (step == BK_DSK_DONE)
            break;
        bk_buf_clear(&leg);
        bk_sa_answer_write(&leg, BK_SA_TLS_DSK, config->opaque, BK_VIEW(BK_SA_REALM),
                           BK_VIEW(TARGET), bk_buf_view(&out));
        status = register_leg(c, &leg);
        if (status == 401)
            challenge_of(c, copy, config, &in);
    }
    if (status == 401)
        assert_int_equal(bk_dsk_keys(dsk, &config->keys.dsk), 0);
    bk_dsk_destroy(dsk);
    bk_dsk_side_destroy(side);
    return status;
}

static int dsk(struct client *c)
{
    BK_AUTO_BUF struct bk_buf copy = { 0 };
    struct bk_sa_config config;
    int status = dsk_legs(c, &config, &copy);
    if (status != 401)
        return status;
    c->sa = bk_sa_destroy(c->sa);
    assert_int_equal(bk_sa_create(&config, &c->sa), 0);
    return register_signed(c, "", (struct bk_view){ 0 });
}

/* ---- what it says ---- */

/* A request of its own, unsigned text; the caller's. */
static char *request_text(struct client *c, const char *method, const char *uri, const char *body)
{
    char *text;
    c->n++;
    assert_true(
        asprintf(&text,
                 "%s %s SIP/2.0\r\nVia: SIP/2.0/tls 127.0.0.1:40001\r\n"
                 "From: <sip:%s@example.org>;tag=r%d;epid=%s\r\nTo: <%s>\r\n"
                 "Max-Forwards: 70\r\nCall-ID: %s%s-%d\r\nCSeq: 1 %s\r\n"
                 "Contact: <%s>\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s",
                 method, uri, c->name, c->n, c->epid, uri, c->name, c->epid, c->n, method,
                 c->contact, strlen(body), body) > 0);
    return text;
}

/* An answer to what arrived, signed. */
static void answer_signed(struct client *c, const char *request, int status)
{
    BK_AUTO_BUF struct bk_buf answer = { 0 };
    struct parsed *p = parse(request);
    bk_sip_response_begin(&answer, &p->msg, status, (struct bk_view){ 0 }, BK_VIEW("mine"), NULL);
    bk_sip_end(&answer, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    free(p);
    send_signed(c, bk_buf_cstr(&answer), (struct bk_view){ 0 });
}

static void expect_record(struct world *w, const char *address, const char *record)
{
    struct world_kept kept;
    world_settle(w);
    world_signins(w, address, "", &kept);
    assert_string_equal(kept.record, record);
}

/* ---- the tests ---- */

static int count(const char *text, const char *what)
{
    int n = 0;
    for (; (text = strstr(text, what)); text++)
        n++;
    return n;
}

static void a_first_register_is_offered_what_policy_allows_and_no_digest(void **state)
{
    (void)state;
    struct world *w = begin(1);
    struct client c;
    client_open(&c, w, "ann", "cf0b98dadeb9");
    assert_int_equal(register_leg(&c, NULL), 401);
    assert_int_equal(count(c.answer, "WWW-Authenticate: "), 1);
    assert_non_null(
        strstr(c.answer, "WWW-Authenticate: TLS-DSK realm=\"SIP Communications Service\", "
                         "targetname=\"" TARGET "\", version=4, sts-uri=\"https://srv.example.org/"
                         "CertProv/CertProvisioningService.svc\"\r\n"));
    assert_true(world_field(c.answer, "Date")[0] != 0);
    world_policy(w, "global", "", "ntlm-signin", "on");
    assert_int_equal(register_leg(&c, NULL), 401);
    assert_int_equal(count(c.answer, "WWW-Authenticate: "), 2);
    assert_int_equal(count(c.answer, "WWW-Authenticate: NTLM realm="), 1);
    client_close(&c);
    world_destroy(w);
}

static void ntlm_signs_in_and_the_answer_is_what_the_clients_read(void **state)
{
    (void)state;
    for (unsigned shards = 1; shards <= 3; shards += 2) {
        struct world *w = begin(shards);
        struct client c;
        struct world_kept kept;
        open_by_ntlm(&c, w, "ann", "cf0b98dadeb9");
        assert_int_equal(signature_of(&c, c.answer), BK_SA_GOOD);
        static const char *const lines[] = {
            "\r\nSupported: adhoclist\r\n",
            "\r\nSupported: msrtc-event-categories\r\n",
            "\r\nExpires: 600\r\n",
            "\r\nServer: RTC/6.0\r\n",
            "\r\nms-keep-alive: UAS; tcp=no; hop-hop=yes; end-end=no; timeout=120\r\n",
            ";expires=600;gruu=\"sip:ann@example.org;opaque=user:epid:t4eFItf-XDOzDSZfZhiueAAA;"
            "gruu\"",
            "+sip.instance=\"<urn:uuid:b7878522-d7fe-5c33-b30d-265f6618ae78>\"",
        };
        for (size_t i = 0; i < BK_COUNT_OF(lines); i++)
            if (!strstr(c.answer, lines[i]))
                fail_msg("no %s in %s", lines[i], c.answer);
        assert_null(strchr(world_field(c.answer, "Allow-Events"), ' '));
        world_signins(w, "ann@example.org", "", &kept);
        assert_true(kept.ok);
        assert_string_equal(kept.road, "sip-ntlm");
        /* A refresh is signed with what there is. */
        assert_int_equal(register_signed(&c, "", (struct bk_view){ 0 }), 200);
        assert_int_equal(signature_of(&c, c.answer), BK_SA_GOOD);
        /* And so is the end. */
        assert_int_equal(register_signed(&c, "Expires: 0\r\n", (struct bk_view){ 0 }), 200);
        client_close(&c);
        world_destroy(w);
    }
}

static void a_login_may_be_a_user_name_and_must_be_of_the_address(void **state)
{
    (void)state;
    static const struct {
        struct login login;
        int status;
    } rows[] = {
        { { "ANN@Example.org", "", PASSWORD, 0 }, 200 },
        { { "ann", "EXAMPLE", PASSWORD, 0 }, 200 },
        { { "bob@example.org", "", PASSWORD, 0 }, 403 },
        { { "nobody@example.org", "", PASSWORD, 0 }, 404 },
        { { "ann@example.org", "", "wrong", 0 }, 403 },
        { { "ann@example.org", "", PASSWORD, 299000 }, 200 },
        { { "ann@example.org", "", PASSWORD, 301000 }, 403 },
        { { "ann@example.org", "", PASSWORD, -301000 }, 403 },
    };
    static const char *const records[] = { "",       "", "SI-214", "SI-201a",
                                           "SI-202", "", "SI-104", "SI-104" };
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        struct world *w = begin(1);
        struct client c;
        allow_ntlm(w, "ann");
        allow_ntlm(w, "bob");
        client_open(&c, w, "ann", "cf0b98dadeb9");
        int status = ntlm_with(&c, &rows[i].login);
        if (status != rows[i].status)
            fail_msg("row %zu: %d\n%s", i, status, c.answer);
        if (status != 200) {
            expect_record(w, "ann@example.org", records[i]);
            assert_true(world_field(c.answer, "ms-diagnostics")[0] != 0);
            assert_true(world_field(c.answer, "ms-diagnostics-public")[0] != 0);
            assert_int_equal(count(c.answer, "WWW-Authenticate"), 0);
        }
        client_close(&c);
        world_destroy(w);
    }
}

static void without_a_hash_or_leave_ntlm_is_refused_with_the_cause_kept(void **state)
{
    (void)state;
    struct world *w = begin(1);
    struct client c;
    world_policy(w, "global", "", "ntlm-signin", "on");
    client_open(&c, w, "ann", "cf0b98dadeb9");
    assert_int_equal(ntlm(&c), 403);
    expect_record(w, "ann@example.org", "SI-102");
    /* Switched off between the challenge and its answer. */
    world_policy(w, "global", "", "ntlm-signin", "off");
    BK_AUTO_BUF struct bk_buf leg = { 0 };
    bk_sa_answer_write(&leg, BK_SA_NTLM, (struct bk_view){ 0 }, BK_VIEW(BK_SA_REALM),
                       BK_VIEW(TARGET), BK_VIEW(""));
    assert_int_equal(register_leg(&c, &leg), 401);
    assert_int_equal(count(c.answer, "NTLM"), 0);
    client_close(&c);
    world_destroy(w);
}

static void a_password_that_must_be_changed_does_not_sign_in(void **state)
{
    (void)state;
    struct world *w = begin(1);
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_user user;
    struct client c;
    allow_ntlm(w, "ann");
    world_account(w, "ann@example.org", &arena, &user);
    user.password_must_change = true;
    WORLD_PUT(w, bk_store_put_user(batch, &user));
    client_open(&c, w, "ann", "cf0b98dadeb9");
    assert_int_equal(ntlm(&c), 403);
    expect_record(w, "ann@example.org", "SI-206");
    client_close(&c);
    world_destroy(w);
}

static void wrong_passwords_are_slowed_down_not_looped(void **state)
{
    (void)state;
    struct world *w = begin(1);
    int status = 403;
    allow_ntlm(w, "ann");
    for (int i = 0; i < 12 && status == 403; i++) {
        struct client c;
        client_open(&c, w, "ann", "cf0b98dadeb9");
        status = ntlm_with(&c, &(struct login){ "ann@example.org", "", "wrong", 0 });
        client_close(&c);
    }
    assert_int_equal(status, 503);
    world_destroy(w);
}

static void a_certificate_signs_in_until_it_is_revoked(void **state)
{
    (void)state;
    struct world *w = begin(1);
    struct client c, again;
    char serial[64];
    client_open(&c, w, "ann", "cf0b98dadeb9");
    issue(&c, "ann@example.org", 3600 * 1000);
    assert_int_equal(dsk(&c), 200);
    assert_int_equal(signature_of(&c, c.answer), BK_SA_GOOD);

    serial_of(w, "ann@example.org", serial);
    WORLD_PUT(w, bk_store_revoke_certificate(batch, bk_view_of_str(serial), w->real_ms,
                                             BK_VIEW("admin"), BK_VIEW("lost")));
    bk_core_certificate_revoked(w->core, bk_view_of_str(serial));
    world_settle(w);
    next_answer(&c);
    assert_memory_equal(c.answer, "NOTIFY ", 7);
    assert_int_equal(signature_of(&c, c.answer), BK_SA_GOOD);
    assert_string_equal(world_field(c.answer, "Event"), "registration-notify");
    assert_string_equal(world_field(c.answer, "Content-Type"), "text/registration-event");
    assert_true(world_field(c.answer, "ms-diagnostics-public")[0] != 0);
    assert_non_null(strstr(c.answer, "\r\n\r\nderegistered;event=rejected"));
    assert_false(c.link->open);

    client_open(&again, w, "ann", "cf0b98dadeb9");
    bk_buf_add_view(&again.certificate, bk_buf_view(&c.certificate));
    bk_buf_add_view(&again.key, bk_buf_view(&c.key));
    assert_int_equal(dsk(&again), 403);
    expect_record(w, "ann@example.org", "SI-219");
    client_close(&c);
    client_close(&again);
    world_destroy(w);
}

static void a_certificate_of_somebody_else_or_of_nobody_is_refused(void **state)
{
    (void)state;
    struct world *w = begin(1);
    struct client c, old;
    client_open(&c, w, "ann", "cf0b98dadeb9");
    issue(&c, "bob@example.org", 3600 * 1000);
    assert_int_equal(dsk(&c), 403);
    expect_record(w, "ann@example.org", "SI-105d");
    client_close(&c);

    client_open(&old, w, "bob", "6a5dd544d8bb");
    issue(&old, "bob@example.org", 3600 * 1000);
    world_advance(w, 3601 * 1000);
    world_disconnect(old.link, BK_LINK_END_CLOSED);
    old.link = world_connect(w, BK_LINK_TLS);
    assert_int_equal(dsk(&old), 403);
    expect_record(w, "bob@example.org", "SI-105a");
    client_close(&old);
    world_destroy(w);
}

static void a_disabled_person_is_refused_by_either_road(void **state)
{
    (void)state;
    for (int road = 0; road < 2; road++) {
        struct world *w = begin(1);
        BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
        struct bk_user user;
        struct client c;
        allow_ntlm(w, "ann");
        client_open(&c, w, "ann", "cf0b98dadeb9");
        issue(&c, "ann@example.org", 3600 * 1000);
        world_account(w, "ann@example.org", &arena, &user);
        user.enabled = false;
        WORLD_PUT(w, bk_store_put_user(batch, &user));
        assert_int_equal(road ? dsk(&c) : ntlm(&c), 403);
        expect_record(w, "ann@example.org", "SI-208");
        client_close(&c);
        world_destroy(w);
    }
}

/* Signs `text` in another name's stead: changes `what` to `with` behind the signature. */
static void send_changed(struct client *c, const char *text, const char *what, const char *with)
{
    BK_AUTO_BUF struct bk_buf line = { 0 }, whole = { 0 }, changed = { 0 };
    struct parsed *p = parse(text);
    bk_sa_sign(c->sa, &p->msg, &p->head, &bk_random_system, (struct bk_view){ 0 }, &line);
    free(p);
    with_line(&whole, text, bk_buf_view(&line));
    const char *all = bk_buf_cstr(&whole), *at = strstr(all, what);
    assert_non_null(at);
    bk_buf_add(&changed, all, (size_t)(at - all));
    bk_buf_add_str(&changed, with);
    bk_buf_add_str(&changed, at + strlen(what));
    world_send(c->link, "%s", bk_buf_cstr(&changed));
}

static void unsigned_forged_and_repeated_requests_are_refused_and_end_the_connection(void **state)
{
    (void)state;
    struct world *w = begin(1);
    struct client c, bob;
    allow_ntlm(w, "ann");
    allow_ntlm(w, "bob");
    client_open(&c, w, "ann", "cf0b98dadeb9");
    client_open(&bob, w, "bob", "6a5dd544d8bb");
    assert_int_equal(ntlm(&c), 200);
    assert_int_equal(ntlm(&bob), 200);

    char *text = request_text(&c, "INFO", "sip:bob@example.org", "hello");
    world_send(c.link, "%s", text);
    next_answer(&c);
    assert_int_equal(world_status(c.answer), 403); /* not 401: that would go on for ever */
    assert_int_equal(signature_of(&c, c.answer), BK_SA_GOOD);
    send_changed(&c, text, "To: <sip:bob@", "To: <sip:rob@");
    next_answer(&c);
    assert_int_equal(world_status(c.answer), 403);
    assert_null(world_take(bob.link));

    /* The same signed bytes twice. */
    BK_AUTO_BUF struct bk_buf line = { 0 }, whole = { 0 };
    struct parsed *p = parse(text);
    bk_sa_sign(c.sa, &p->msg, &p->head, &bk_random_system, (struct bk_view){ 0 }, &line);
    free(p);
    with_line(&whole, text, bk_buf_view(&line));
    world_send(c.link, "%s", bk_buf_cstr(&whole));
    assert_non_null(world_take(bob.link));
    assert_null(world_take(c.link));
    world_send(c.link, "%s", bk_buf_cstr(&whole));
    next_answer(&c);
    assert_int_equal(world_status(c.answer), 403);
    assert_null(world_take(bob.link));

    for (int i = 0; i < 8 && c.link->open; i++)
        world_send(c.link, "%s", text);
    assert_false(c.link->open);
    free(text);
    client_close(&c);
    client_close(&bob);
    world_destroy(w);
}

/* What its clients send: no branch in Via, so that Call-ID, CSeq and From's tag have to do. */
static void a_call_is_taken_back_by_a_signed_cancel_only(void **state)
{
    (void)state;
    struct world *w = begin(1);
    struct client ann, bob;
    open_by_ntlm(&ann, w, "ann", "cf0b98dadeb9");
    open_by_ntlm(&bob, w, "bob", "6a5dd544d8bb");
    char *invite = request_text(&ann, "INVITE", "sip:bob@example.org", "v=0");
    send_signed(&ann, invite, (struct bk_view){ 0 });
    free(invite);
    next_answer(&ann);
    assert_int_equal(world_status(ann.answer), 100);
    assert_int_equal(signature_of(&ann, ann.answer), BK_SA_GOOD);
    next_answer(&bob);
    assert_memory_equal(bob.answer, "INVITE ", 7);
    answer_signed(&bob, bob.answer, 180);
    next_answer(&ann);
    assert_int_equal(world_status(ann.answer), 180);
    assert_int_equal(signature_of(&ann, ann.answer), BK_SA_GOOD);

    ann.n--; /* the same call */
    char *cancel = request_text(&ann, "CANCEL", "sip:bob@example.org", "");
    world_send(ann.link, "%s", cancel);
    next_answer(&ann);
    assert_int_equal(world_status(ann.answer), 403);
    assert_null(world_take(bob.link));
    send_signed(&ann, cancel, (struct bk_view){ 0 });
    free(cancel);
    next_answer(&ann);
    assert_int_equal(world_status(ann.answer), 200);
    next_answer(&bob);
    assert_memory_equal(bob.answer, "CANCEL ", 7);
    assert_int_equal(signature_of(&bob, bob.answer), BK_SA_GOOD);
    client_close(&ann);
    client_close(&bob);
    world_destroy(w);
}

static void an_unsigned_refresh_changes_nothing_and_one_of_a_plain_client_neither(void **state)
{
    (void)state;
    struct world *w = begin(1);
    struct client c;
    open_by_ntlm(&c, w, "ann", "cf0b98dadeb9");
    /* Neither as a client of the dialect nor as a plain one, which a bound connection would be enough for. */
    world_send(c.link,
               "REGISTER sip:example.org SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKx\r\n"
               "From: <sip:ann@example.org>;tag=x\r\nTo: <sip:ann@example.org>\r\nCall-ID: x\r\n"
               "CSeq: 1 REGISTER\r\nMax-Forwards: 70\r\nContact: *\r\nExpires: 0\r\n"
               "Content-Length: 0\r\n\r\n");
    next_answer(&c);
    assert_int_equal(world_status(c.answer), 401);
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_ENDPOINTS), 1);
    client_close(&c);
    world_destroy(w);
}

static void two_people_on_one_connection_each_have_their_own_signatures(void **state)
{
    (void)state;
    struct world *w = begin(1);
    struct client ann, bob, cat;
    allow_ntlm(w, "ann");
    allow_ntlm(w, "bob");
    world_user(w, "cat", "MD5");
    allow_ntlm(w, "cat");
    client_open(&ann, w, "ann", "cf0b98dadeb9");
    client_open_on(&bob, ann.link, "bob", "6a5dd544d8bb");
    client_open(&cat, w, "cat", "0123456789ab");
    assert_int_equal(ntlm(&ann), 200);
    assert_int_equal(ntlm(&bob), 200);
    assert_int_equal(signature_of(&bob, bob.answer), BK_SA_GOOD);
    assert_int_equal(ntlm(&cat), 200);

    /* In bob's name with ann's association: no. */
    char *text = request_text(&bob, "INFO", "sip:cat@example.org", "hello");
    send_signed(&ann, text, (struct bk_view){ 0 });
    free(text);
    next_answer(&ann);
    assert_int_equal(world_status(ann.answer), 403);
    assert_null(world_take(cat.link));

    struct client *both[] = { &ann, &bob };
    for (int i = 0; i < 2; i++) {
        char uri[64];
        snprintf(uri, sizeof uri, "sip:%s@example.org", both[i]->name);
        text = request_text(&cat, "INFO", uri, "hello");
        send_signed(&cat, text, (struct bk_view){ 0 });
        free(text);
        next_answer(both[i]);
        assert_memory_equal(both[i]->answer, "INFO ", 5);
        assert_int_equal(signature_of(both[1 - i], both[i]->answer), BK_SA_UNSIGNED);
        assert_int_equal(signature_of(both[i], both[i]->answer), BK_SA_GOOD);
        answer_signed(both[i], both[i]->answer, 200);
        next_answer(&cat);
        assert_int_equal(world_status(cat.answer), 200);
        assert_int_equal(signature_of(&cat, cat.answer), BK_SA_GOOD);
    }
    bob.link = NULL;
    client_close(&bob);
    client_close(&ann);
    client_close(&cat);
    world_destroy(w);
}

static void nobodys_signature_travels_on_and_a_plain_client_sees_none(void **state)
{
    (void)state;
    struct world *w = begin(1);
    struct client ann;
    allow_ntlm(w, "ann");
    client_open(&ann, w, "ann", "cf0b98dadeb9");
    struct world_link *plain = world_connect(w, BK_LINK_TLS);
    assert_int_equal(ntlm(&ann), 200);
    assert_int_equal(world_sign_in(plain, "bob", "urn:uuid:1", 600), 200);

    char *text = request_text(&ann, "INFO", "sip:bob@example.org", "hello");
    send_signed(&ann, text, (struct bk_view){ 0 });
    free(text);
    const char *got = world_take(plain);
    assert_non_null(got);
    assert_null(strstr(got, "Authorization"));
    assert_null(strstr(got, "Authentication-Info"));
    BK_AUTO_BUF struct bk_buf answer = { 0 };
    struct parsed *p = parse(got);
    bk_sip_response_begin(&answer, &p->msg, 200, (struct bk_view){ 0 }, BK_VIEW("b"), NULL);
    bk_buf_add_lit(&answer, "Authentication-Info: NTLM rspauth=\"01\"\r\n");
    bk_sip_end(&answer, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    free(p);
    world_send(plain, "%s", bk_buf_cstr(&answer));
    next_answer(&ann);
    assert_int_equal(world_status(ann.answer), 200);
    assert_int_equal(signature_of(&ann, ann.answer), BK_SA_GOOD); /* one line, ours */
    world_disconnect(plain, BK_LINK_END_CLOSED);
    client_close(&ann);
    world_destroy(w);
}

static void an_answer_that_is_not_signed_is_not_heard(void **state)
{
    (void)state;
    struct world *w = begin(1);
    struct client ann, bob;
    open_by_ntlm(&ann, w, "ann", "cf0b98dadeb9");
    open_by_ntlm(&bob, w, "bob", "6a5dd544d8bb");
    char *text = request_text(&ann, "INFO", "sip:bob@example.org", "hello");
    send_signed(&ann, text, (struct bk_view){ 0 });
    free(text);
    next_answer(&bob);
    BK_AUTO_BUF struct bk_buf answer = { 0 };
    struct parsed *p = parse(bob.answer);
    bk_sip_response_begin(&answer, &p->msg, 200, (struct bk_view){ 0 }, BK_VIEW("b"), NULL);
    bk_sip_end(&answer, (struct bk_view){ 0 }, (struct bk_view){ 0 });
    free(p);
    world_send(bob.link, "%s", bk_buf_cstr(&answer));
    assert_null(world_take(ann.link));
    answer_signed(&bob, bob.answer, 200);
    next_answer(&ann);
    assert_int_equal(world_status(ann.answer), 200);
    client_close(&ann);
    client_close(&bob);
    world_destroy(w);
}

/* Time passes; the client says now and then that it is there, and what came is not looked at. */
static void live(struct client *c, int seconds)
{
    for (; seconds > 0; seconds -= 100) {
        world_advance(c->link->world, (seconds < 100 ? seconds : 100) * 1000);
        c->link->last_in_ms = c->link->world->mono_ms;
    }
    bk_buf_clear(&c->link->out);
}

static void a_connection_may_sign_in_anew_and_keeps_its_session(void **state)
{
    (void)state;
    struct world *w = begin(1);
    struct client c;
    struct world_kept kept;
    open_by_ntlm(&c, w, "ann", "cf0b98dadeb9");
    assert_int_equal(ntlm(&c), 200);
    assert_int_equal(signature_of(&c, c.answer), BK_SA_GOOD);
    issue(&c, "ann@example.org", 30 * 3600 * 1000LL);
    assert_int_equal(dsk(&c), 200);
    assert_int_equal(bk_core_metric(w->core, BK_METRIC_ENDPOINTS), 1);
    world_signins(w, "ann@example.org", "", &kept);
    assert_int_equal(kept.rows, 1);
    /* After eight hours a refresh is not enough. */
    for (int i = 0; i < 8 * 12 - 1; i++) {
        live(&c, 300);
        assert_int_equal(register_signed(&c, "", (struct bk_view){ 0 }), 200);
    }
    live(&c, 301);
    assert_int_equal(register_signed(&c, "", (struct bk_view){ 0 }), 401);
    assert_int_equal(count(c.answer, "gssapi-data"), 0);
    client_close(&c);
    world_destroy(w);
}

/* The client's keys are gone before the server hears of it, and new ones there before the server may know. */
static void what_is_for_a_client_that_proves_itself_anew_waits_for_the_new_signature(void **state)
{
    (void)state;
    for (unsigned shards = 1; shards <= 3; shards += 2) {
        struct world *w = begin(shards);
        struct client ann, bob;
        allow_ntlm(w, "ann");
        allow_ntlm(w, "bob");
        client_open(&ann, w, "ann", "cf0b98dadeb9");
        client_open(&bob, w, "bob", "6a5dd544d8bb");
        issue(&ann, "ann@example.org", 3600 * 1000);
        assert_int_equal(ntlm(&bob), 200);
        assert_int_equal(dsk(&ann), 200);

        BK_AUTO_BUF struct bk_buf copy = { 0 };
        struct bk_sa_config config;
        char *first = request_text(&bob, "INFO", "sip:ann@example.org", "before the legs");
        char *second = request_text(&bob, "INFO", "sip:ann@example.org", "behind the last");
        char *own = request_text(&ann, "INFO", "sip:bob@example.org", "without keys");
        assert_int_equal(register_leg(&ann, NULL), 401);
        send_signed(&bob, first, (struct bk_view){ 0 });
        assert_null(world_take(ann.link));
        world_send(ann.link, "%s", own);
        assert_null(world_take(ann.link));
        assert_int_equal(dsk_legs(&ann, &config, &copy), 401);
        send_signed(&bob, second, (struct bk_view){ 0 });
        assert_null(world_take(ann.link));
        assert_null(world_take(bob.link));
        ann.sa = bk_sa_destroy(ann.sa);
        assert_int_equal(bk_sa_create(&config, &ann.sa), 0);
        assert_int_equal(register_signed(&ann, "", (struct bk_view){ 0 }), 200);
        static const char *const follows[] = { "before the legs", NULL, "behind the last" };
        for (int i = 0; i < 3; i++) {
            assert_int_equal(signature_of(&ann, ann.answer), BK_SA_GOOD);
            next_answer(&ann);
            if (follows[i])
                assert_non_null(strstr(ann.answer, follows[i]));
            else
                assert_int_equal(world_status(ann.answer), 401); /* it signs it and asks again */
        }
        assert_int_equal(signature_of(&ann, ann.answer), BK_SA_GOOD);
        assert_null(world_take(ann.link));
        send_signed(&ann, own, (struct bk_view){ 0 });
        next_answer(&bob);
        assert_non_null(strstr(bob.answer, "without keys"));
        free(first);
        free(second);
        free(own);
        client_close(&ann);
        client_close(&bob);
        world_destroy(w);
    }
}

static void
who_begins_to_prove_itself_anew_and_does_not_go_on_is_waited_for_some_seconds(void **state)
{
    (void)state;
    struct world *w = begin(1);
    struct client ann, bob;
    allow_ntlm(w, "ann");
    allow_ntlm(w, "bob");
    client_open(&ann, w, "ann", "cf0b98dadeb9");
    client_open(&bob, w, "bob", "6a5dd544d8bb");
    assert_int_equal(ntlm(&bob), 200);
    assert_int_equal(ntlm(&ann), 200);
    char *text = request_text(&bob, "INFO", "sip:ann@example.org", "are you there");
    assert_int_equal(register_leg(&ann, NULL), 401);
    send_signed(&bob, text, (struct bk_view){ 0 });
    world_advance(w, 3900);
    assert_null(world_take(ann.link));
    world_advance(w, 200);
    next_answer(&ann);
    assert_non_null(strstr(ann.answer, "are you there"));
    assert_int_equal(signature_of(&ann, ann.answer), BK_SA_GOOD);
    /* And then nothing waits, nor is anything taken without a signature. */
    char *own = request_text(&ann, "INFO", "sip:bob@example.org", "without keys");
    world_send(ann.link, "%s", own);
    next_answer(&ann);
    assert_int_equal(world_status(ann.answer), 403);
    /* What waits is as little as it was to be: then it goes out. */
    char big[20001];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    assert_int_equal(register_leg(&ann, NULL), 401);
    int came = 0;
    for (int i = 0; i < 16; i++) {
        free(text);
        text = request_text(&bob, "INFO", "sip:ann@example.org", big);
        send_signed(&bob, text, (struct bk_view){ 0 });
        came += world_take(ann.link) != NULL;
    }
    assert_int_equal(came, 4); /* of 16; 256 kB hold 12 */
    free(text);
    free(own);
    client_close(&ann);
    client_close(&bob);
    world_destroy(w);
}

static void how_long_a_signature_is_good_is_policy(void **state)
{
    (void)state;
    struct world *w = begin(1);
    struct client c;
    allow_ntlm(w, "ann");
    world_policy(w, "global", "", "signature-minutes", "60");
    client_open(&c, w, "ann", "cf0b98dadeb9");
    assert_int_equal(ntlm(&c), 200);
    for (int i = 0; i < 11; i++) {
        live(&c, 300);
        assert_int_equal(register_signed(&c, "", (struct bk_view){ 0 }), 200);
    }
    live(&c, 301);
    assert_int_equal(register_signed(&c, "", (struct bk_view){ 0 }), 401);
    assert_int_equal(ntlm(&c), 200);
    live(&c, 300);
    assert_int_equal(register_signed(&c, "", (struct bk_view){ 0 }), 200);
    client_close(&c);
    world_destroy(w);
}

static void ntlm_switched_off_signs_its_people_out_with_a_notice(void **state)
{
    (void)state;
    struct world *w = begin(1);
    struct client ann, bob;
    allow_ntlm(w, "ann");
    client_open(&ann, w, "ann", "cf0b98dadeb9");
    client_open(&bob, w, "bob", "6a5dd544d8bb");
    issue(&bob, "bob@example.org", 3600 * 1000);
    assert_int_equal(ntlm(&ann), 200);
    assert_int_equal(dsk(&bob), 200);
    world_policy(w, "global", "", "ntlm-signin", "off");
    bk_core_set_directory(w->core, w->directory);
    world_settle(w);
    next_answer(&ann);
    assert_memory_equal(ann.answer, "NOTIFY ", 7);
    assert_non_null(strstr(ann.answer, "record=\"SI-102\""));
    assert_int_equal(signature_of(&ann, ann.answer), BK_SA_GOOD);
    assert_false(ann.link->open);
    assert_true(bob.link->open);
    assert_null(world_take(bob.link));
    client_close(&ann);
    client_close(&bob);
    world_destroy(w);
}

static void a_gruu_leads_to_its_endpoint_alone(void **state)
{
    (void)state;
    struct world *w = begin(1);
    struct client one, two, ann;
    allow_ntlm(w, "ann");
    allow_ntlm(w, "bob");
    client_open(&one, w, "bob", "6a5dd544d8bb");
    client_open(&two, w, "bob", "0123456789ab");
    client_open(&ann, w, "ann", "cf0b98dadeb9");
    assert_int_equal(ntlm(&one), 200);
    assert_int_equal(ntlm(&two), 200);
    assert_int_equal(ntlm(&ann), 200);
    char *text = request_text(
        &ann, "INFO", "sip:bob@example.org;opaque=user:epid:x0Zh-LImWGqgHWzT6fK5zAAA;gruu", "hi");
    send_signed(&ann, text, (struct bk_view){ 0 });
    free(text);
    assert_non_null(world_take(one.link));
    assert_null(world_take(two.link));
    /* Nobody has that one. */
    text = request_text(&ann, "INFO",
                        "sip:bob@example.org;opaque=user:epid:t4eFItf-XDOzDSZfZhiueAAA;gruu", "hi");
    send_signed(&ann, text, (struct bk_view){ 0 });
    free(text);
    next_answer(&ann);
    assert_int_equal(world_status(ann.answer), 480);
    assert_null(world_take(one.link));
    assert_null(world_take(two.link));
    client_close(&one);
    client_close(&two);
    client_close(&ann);
    world_destroy(w);
}

static void legs_out_of_order_are_answered_and_forgotten(void **state)
{
    (void)state;
    struct world *w = begin(1);
    struct client c;
    BK_AUTO_BUF struct bk_buf leg = { 0 };
    world_policy(w, "global", "", "ntlm-signin", "on");
    client_open(&c, w, "ann", "cf0b98dadeb9");
    /* Of an association that nobody knows (any more): from the start. */
    bk_sa_answer_write(&leg, BK_SA_NTLM, BK_VIEW("0BADCAFE"), BK_VIEW(BK_SA_REALM), BK_VIEW(TARGET),
                       BK_VIEW("x"));
    assert_int_equal(register_leg(&c, &leg), 401);
    assert_int_equal(count(c.answer, "opaque"), 0);
    /* TLS-DSK with what is no TLS. */
    bk_buf_clear(&leg);
    bk_sa_answer_write(&leg, BK_SA_TLS_DSK, (struct bk_view){ 0 }, BK_VIEW(BK_SA_REALM),
                       BK_VIEW(TARGET), BK_VIEW("GET / HTTP/1.0\r\n\r\n"));
    assert_int_equal(register_leg(&c, &leg), 403);
    expect_record(w, "ann@example.org", "SI-102");
    bk_buf_clear(&leg);
    bk_buf_add_lit(&leg, "NTLM qop=\"auth\", gssapi-data=\"***\"");
    assert_int_equal(register_leg(&c, &leg), 400);
    bk_buf_clear(&leg);
    bk_buf_add_lit(&leg, "NTLM qop=\"auth");
    assert_int_equal(register_leg(&c, &leg), 400);
    client_close(&c);
    world_destroy(w);
}

/* Out of memory anywhere in the last leg: signed in, refused, or no answer; the server goes on. */
/* A handshake is computed elsewhere: meanwhile others are served, and whoever began it may be gone. */
static void who_goes_while_a_worker_has_the_handshake_harms_nobody(void **state)
{
    (void)state;
    for (int how = 0; how < 5; how++) {
        struct world *w = begin(1);
        struct client c, bob;
        allow_ntlm(w, "bob");
        client_open(&c, w, "ann", "cf0b98dadeb9");
        client_open(&bob, w, "bob", "6a5dd544d8bb");
        issue(&c, "ann@example.org", 3600 * 1000);
        BK_AUTO_BUF struct bk_buf first = { 0 }, leg = { 0 };
        struct bk_dsk_config own = { .chain_pem = bk_buf_cstr(&c.certificate),
                                     .key_pem = bk_buf_cstr(&c.key) };
        struct bk_dsk_side *side;
        struct bk_dsk *dsk;
        assert_int_equal(bk_dsk_side_create(&own, &side), 0);
        assert_int_equal(bk_dsk_begin(side, &dsk), 0);
        assert_int_equal(bk_dsk_step(dsk, (struct bk_view){ 0 }, &first), BK_DSK_GOES_ON);
        bk_sa_answer_write(&leg, BK_SA_TLS_DSK, (struct bk_view){ 0 }, BK_VIEW(BK_SA_REALM),
                           BK_VIEW(TARGET), bk_buf_view(&first));
        w->hold_work = true;
        assert_int_equal(register_leg(&c, &leg), 0); /* no answer yet */
        assert_non_null(w->work);
        assert_int_equal(ntlm(&bob), 200);
        switch (how) {
        case 0: /* waits for its answer, and gets it */
            w->hold_work = false;
            world_settle(w);
            next_answer(&c);
            assert_int_equal(world_status(c.answer), 401);
            assert_non_null(strstr(c.answer, "gssapi-data=\""));
            break;
        case 1: /* is gone */
            world_disconnect(c.link, BK_LINK_END_LOST);
            c.link = NULL;
            w->hold_work = false;
            world_settle(w);
            break;
        case 2: /* begins again and again: the oldest is dropped */
            for (int i = 0; i < 4; i++)
                assert_int_equal(register_leg(&c, &leg), 0);
            w->hold_work = false;
            world_settle(w);
            for (int i = 0; i < 2; i++) {
                next_answer(&c);
                assert_int_equal(world_status(c.answer), 401);
            }
            assert_null(world_take(c.link));
            break;
        case 3: /* a worker that never came to it */
            break;
        default: /* the same, and its client is gone */
            world_disconnect(c.link, BK_LINK_END_CLOSED);
            c.link = NULL;
            break;
        }
        bk_dsk_destroy(dsk);
        bk_dsk_side_destroy(side);
        client_close(&c);
        client_close(&bob);
        world_destroy(w);
    }
}

static void any_allocation_may_fail_while_somebody_signs_in(void **state)
{
    (void)state;
    bool any = true;
    unsigned in = 0;
    for (unsigned n = 1; any; n++) {
        struct world *w = begin(1);
        struct client c, after;
        allow_ntlm(w, "ann");
        client_open(&c, w, "ann", "cf0b98dadeb9");
        fail_at = n;
        in += ntlm(&c) == 200;
        any = failed;
        fail_at = 0;
        client_open(&after, w, "ann", "6a5dd544d8bb");
        assert_int_equal(ntlm(&after), 200);
        assert_int_equal(signature_of(&after, after.answer), BK_SA_GOOD);
        client_close(&c);
        client_close(&after);
        world_destroy(w);
        assert_true(n < 500);
    }
    assert_true(in > 0);
}

static int make_side(void **state)
{
    (void)state;
    struct bk_dsk_config config = { .server = true, .name = TARGET, .now_real_ms = 1795325164000 };
    return bk_dsk_side_create(&config, &server_side);
}

static int drop_side(void **state)
{
    (void)state;
    server_side = bk_dsk_side_destroy(server_side);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_register_is_offered_what_policy_allows_and_no_digest),
        cmocka_unit_test(ntlm_signs_in_and_the_answer_is_what_the_clients_read),
        cmocka_unit_test(a_login_may_be_a_user_name_and_must_be_of_the_address),
        cmocka_unit_test(without_a_hash_or_leave_ntlm_is_refused_with_the_cause_kept),
        cmocka_unit_test(a_password_that_must_be_changed_does_not_sign_in),
        cmocka_unit_test(wrong_passwords_are_slowed_down_not_looped),
        cmocka_unit_test(a_certificate_signs_in_until_it_is_revoked),
        cmocka_unit_test(a_certificate_of_somebody_else_or_of_nobody_is_refused),
        cmocka_unit_test(a_disabled_person_is_refused_by_either_road),
        cmocka_unit_test(unsigned_forged_and_repeated_requests_are_refused_and_end_the_connection),
        cmocka_unit_test(a_call_is_taken_back_by_a_signed_cancel_only),
        cmocka_unit_test(an_unsigned_refresh_changes_nothing_and_one_of_a_plain_client_neither),
        cmocka_unit_test(two_people_on_one_connection_each_have_their_own_signatures),
        cmocka_unit_test(nobodys_signature_travels_on_and_a_plain_client_sees_none),
        cmocka_unit_test(an_answer_that_is_not_signed_is_not_heard),
        cmocka_unit_test(a_connection_may_sign_in_anew_and_keeps_its_session),
        cmocka_unit_test(what_is_for_a_client_that_proves_itself_anew_waits_for_the_new_signature),
        cmocka_unit_test(
            who_begins_to_prove_itself_anew_and_does_not_go_on_is_waited_for_some_seconds),
        cmocka_unit_test(how_long_a_signature_is_good_is_policy),
        cmocka_unit_test(ntlm_switched_off_signs_its_people_out_with_a_notice),
        cmocka_unit_test(a_gruu_leads_to_its_endpoint_alone),
        cmocka_unit_test(legs_out_of_order_are_answered_and_forgotten),
        cmocka_unit_test(who_goes_while_a_worker_has_the_handshake_harms_nobody),
        cmocka_unit_test(any_allocation_may_fail_while_somebody_signs_in),
    };
    return cmocka_run_group_tests(tests, make_side, drop_side);
}
