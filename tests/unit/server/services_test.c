/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTPS requests, asked by our own HTTP client over TLS on loopback, with an organisation in memory behind them. */
#include "server/services.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "csr.h"
#include "ms/webticket.h"
#include "server/discover.h"
#include "server/password.h"
#include "tests/fakes/world.h"
#include "unit/net/net_test.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

/* One answer, copied out of the call. */
struct answer {
    bool done;
    enum bk_http_failure failure;
    int status;
    struct bk_buf body;
    char type[100], date[64], diagnostics[700], retry_after[16];
    json_t *json; /* NULL: none */
    struct bk_http_call *call;
};

static struct site {
    struct world *world;
    struct bk_loop *loop;
    struct bk_work *work;
    struct bk_history *history;
    struct bk_authority *authority;
    struct bk_services *services;
    struct bk_http_server *http;
    struct bk_listener *listener;
    struct bk_tls_server *tls;
    struct bk_tls_client *stranger; /* shows no certificate */
    struct bk_dns *dns;
    struct bk_addr at;
    char url[64], services_url[96];
    struct bk_services_sip sip[2];
    bool own_network;
    char changed[100], revoked[100];
    int n_changed, n_revoked;
} site;

static struct net_pki pki;
static char *csr, *csr_key;

/* ---- the server ---- */

static void first_ready(struct bk_conn *conn, void *ctx)
{
    (void)ctx;
    assert_int_equal(bk_http_server_adopt(site.http, conn), 0);
}

static void first_closed(struct bk_conn *conn, void *ctx, enum bk_conn_end why)
{
    (void)conn;
    (void)ctx;
    (void)why;
}

static const struct bk_conn_ops first_ops = { .ready = first_ready, .closed = first_closed };

static void *accepted(void *ctx, struct bk_conn *conn)
{
    (void)conn;
    return ctx;
}

static bool own_network(void *ctx, const struct bk_addr *peer)
{
    (void)ctx;
    (void)peer;
    return site.own_network;
}

static struct bk_directory *directory(void *ctx)
{
    (void)ctx;
    return bk_directory_ref(site.world->directory);
}

static void user_changed(void *ctx, struct bk_view address)
{
    (void)ctx;
    site.n_changed++;
    snprintf(site.changed, sizeof site.changed, "%.*s", BK_VIEW_ARGS(address));
}

static void certificate_revoked(void *ctx, struct bk_view serial)
{
    (void)ctx;
    site.n_revoked++;
    snprintf(site.revoked, sizeof site.revoked, "%.*s", BK_VIEW_ARGS(serial));
}

static bool health(void *ctx, struct bk_buf *members)
{
    (void)ctx;
    bk_buf_add_lit(members, ",\"sessions\":3");
    return true;
}

static void metrics(void *ctx, struct bk_buf *families)
{
    (void)ctx;
    bk_buf_add_lit(families, "# TYPE beckon_sessions gauge\nbeckon_sessions 3\n");
}

static void tls_client(struct bk_tls_client **ret, const char *cert_pem, const char *key_pem)
{
    static const char *const alpn[] = { "beckon", NULL };
    struct bk_tls_client_config config = { .ca_file = net_pki_path(&pki, "root.pem"),
                                           .only_ca_file = true,
                                           .cert_pem = cert_pem,
                                           .key_pem = key_pem,
                                           .alpn = alpn };
    char *why = NULL;
    assert_int_equal(bk_tls_client_create(&config, ret, &why), 0);
}

static void start_services(int threads, size_t queue)
{
    assert_int_equal(bk_work_create(threads, queue, &site.work), 0);
    struct bk_services_config config = {
        .loop = site.loop,
        .work = site.work,
        .store = site.world->store,
        .history = site.history,
        .authority = site.authority,
        .clock = &site.world->clock,
        .random = &bk_random_system,
        .host = "server.test",
        .services_url = site.services_url,
        .sip = site.sip,
        .n_sip = 2,
        .password_cost = 1,
        .own_network = own_network,
        .directory = directory,
        .user_changed = user_changed,
        .certificate_revoked = certificate_revoked,
        .health = health,
        .metrics = metrics,
    };
    assert_int_equal(bk_services_create(&config, &site.services), 0);
    struct bk_http_server_config http = { .handle = bk_services_handle,
                                          .ctx = site.services,
                                          .whole_request_ms = 20000,
                                          .idle_ms = 20000,
                                          .body_max = 64 * 1024,
                                          .clock = &site.world->clock };
    site.http = bk_http_server_create(site.loop, &http);
    assert_non_null(site.http);
}

static void put_password(const char *address, const char *password, bool must_change)
{
    struct bk_buf hash = { 0 };
    assert_int_equal(bk_password_hash(bk_view_of_str(password), 1, &hash), 0);
    WORLD_PUT(site.world, bk_store_put_password(batch, bk_view_of_str(address), bk_buf_view(&hash),
                                                site.world->real_ms, must_change));
    bk_buf_finish(&hash);
}

static int setup(void **state)
{
    (void)state;
    static const char *const alpn[] = { "beckon", "http/1.1", NULL };
    static const char *const people[] = { "ann@example.org", "bob@example.org", "cat@example.org",
                                          "dan@example.org", "eve@ended.example" };
    struct bk_buf key = { 0 }, cert = { 0 };
    const char *why;
    char *why_tls = NULL;
    struct bk_addr any;

    memset(&site, 0, sizeof site);
    site.world = world_create_organisation();
    for (size_t i = 0; i < BK_COUNT_OF(people); i++)
        put_password(people[i], "correct horse", false);
    assert_int_equal(bk_loop_create(NULL, &site.loop), 0);
    assert_int_equal(bk_history_create(site.world->store, &site.world->clock, &bk_random_system,
                                       NULL, "server.test", &site.history),
                     0);
    assert_int_equal(bk_authority_make(BK_VIEW("example.org"), site.world->real_ms, &key, &cert),
                     0);
    assert_int_equal(
        bk_authority_load(bk_buf_view(&key), bk_buf_view(&cert), &site.authority, &why), 0);
    bk_buf_finish(&key);
    bk_buf_finish(&cert);
    struct bk_tls_server_config tls = { .chain_file = net_pki_path(&pki, "server.pem"),
                                        .key_file = net_pki_path(&pki, "server.key"),
                                        .alpn = alpn };
    assert_int_equal(bk_tls_server_create(&tls, &site.tls, &why_tls), 0);
    assert_int_equal(bk_addr_parse("127.0.0.1", 0, &any), 0);
    struct bk_listen_config listen = { .at = &any,
                                       .tls = site.tls,
                                       .limits = bk_conn_limits_default,
                                       .ops = &first_ops,
                                       .accepted = accepted,
                                       .ctx = &site };
    assert_int_equal(bk_listen(site.loop, &listen, &site.listener), 0);
    uint16_t port = bk_listener_port(site.listener);
    assert_int_equal(bk_addr_parse("127.0.0.1", port, &site.at), 0);
    snprintf(site.url, sizeof site.url, "https://server.test:%u/", port);
    snprintf(site.services_url, sizeof site.services_url, "%sbeckon/v1/", site.url);
    site.sip[0] = (struct bk_services_sip){ "in.example.org", 5061, "tls", "internal" };
    site.sip[1] = (struct bk_services_sip){ "out.example.org", 443, "tls", "external" };
    assert_int_equal(bk_dns_create(site.loop, "127.0.0.1:1", 100, &site.dns), 0);
    tls_client(&site.stranger, NULL, NULL);
    start_services(2, 64);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bk_listener_destroy(site.listener);
    bk_http_server_destroy(site.http);
    bk_work_destroy(site.work);
    bk_history_destroy(site.history);
    bk_store_pump(site.world->store);
    for (int i = 0; i < 10; i++)
        bk_loop_step(site.loop, 0);
    bk_services_destroy(site.services);
    world_destroy(site.world);
    bk_tls_client_unref(site.stranger);
    bk_tls_server_unref(site.tls);
    bk_dns_destroy(site.dns);
    bk_authority_destroy(site.authority);
    bk_loop_destroy(site.loop);
    return 0;
}

static int setup_all(void **state)
{
    (void)state;
    net_pki_make(&pki);
    csr = csr_make(CSR_P256, &csr_key);
    return 0;
}

static int teardown_all(void **state)
{
    (void)state;
    net_pki_free(&pki);
    free(csr);
    free(csr_key);
    return 0;
}

static void pass(int64_t ms)
{
    site.world->mono_ms += ms;
    site.world->real_ms += ms;
}

/* ---- asking ---- */

static void copy(char *to, size_t size, struct bk_view v)
{
    snprintf(to, size, "%.*s", BK_VIEW_ARGS(v));
}

static void answered(void *ctx, const struct bk_http_result *result)
{
    struct answer *a = ctx;
    a->done = true;
    a->call = NULL;
    a->failure = result->failure;
    a->status = result->status;
    bk_buf_add_view(&a->body, result->body);
    copy(a->type, sizeof a->type, result->content_type);
    copy(a->date, sizeof a->date, result->date);
    copy(a->diagnostics, sizeof a->diagnostics, result->diagnostics);
    copy(a->retry_after, sizeof a->retry_after, result->retry_after);
    if (a->body.len)
        a->json = json_loadb(a->body.at, a->body.len, 0, NULL);
}

struct ask {
    const char *method, *path, *type, *accept, *body, *authorization;
    size_t body_len; /* 0: up to its NUL */
    struct bk_tls_client *tls;
};

static void ask_begin(const struct ask *ask, struct answer *ret)
{
    char url[256];
    const struct bk_http_call_field field = { "Authorization", bk_view_of_str(ask->authorization) };
    snprintf(url, sizeof url, "%s%s", site.url, ask->path);
    *ret = (struct answer){ 0 };
    struct bk_http_call_config config = {
        .method = ask->method ? ask->method : "POST",
        .url = url,
        .tls = ask->tls ? ask->tls : site.stranger,
        .dns = site.dns,
        .connect_to = &site.at,
        .accept = ask->accept,
        .fields = &field,
        .n_fields = ask->authorization != NULL,
        .content_type = ask->type   ? ask->type
                        : ask->body ? "application/json"
                                    : NULL,
        .body = { ask->body, ask->body_len ? ask->body_len
                             : ask->body   ? strlen(ask->body)
                                           : 0 },
    };
    assert_int_equal(bk_http_call(site.loop, &config, answered, ret, &ret->call), 0);
}

static void step(void)
{
    bk_store_pump(site.world->store);
    bk_loop_step(site.loop, 5);
}

static void ask_end(struct answer *a)
{
    int64_t until = bk_clock_mono_ms(&bk_clock_system) + 20000;
    while (!a->done) {
        assert_true(bk_clock_mono_ms(&bk_clock_system) < until);
        step();
    }
    assert_int_equal(a->failure, BK_HTTP_OK);
    assert_true(a->date[0]);
}

static void forget(struct answer *a)
{
    json_decref(a->json);
    bk_buf_finish(&a->body);
}

static struct answer ask(const struct ask *what)
{
    static struct answer a;
    ask_begin(what, &a);
    ask_end(&a);
    return a;
}

static struct answer get(const char *path, const char *accept)
{
    return ask(&(struct ask){ .method = "GET", .path = path, .accept = accept });
}

static const char *text_of(const struct answer *a, const char *name)
{
    const char *text = json_string_value(json_object_get(a->json, name));
    return text ? text : "";
}

/* The body of a sign-in; members go behind the usual ones, ", \"x\": 1". */
static char *signin_body(const char *address, const char *password, const char *members)
{
    json_t *text = json_string(csr);
    char *quoted = json_dumps(text, JSON_ENCODE_ANY), *body;
    assert_true(asprintf(&body,
                         "{\"address\":\"%s\",\"password\":\"%s\",\"csr\":%s,\"device\":{\"id\":"
                         "\"d-1\",\"name\":\"desk\",\"kind\":\"cli\"},\"client\":\"test/1\"%s}",
                         address, password, quoted, members ? members : "") > 0);
    free(quoted);
    json_decref(text);
    return body;
}

static struct answer sign_in(const char *address, const char *password, const char *members)
{
    char *body = signin_body(address, password, members);
    struct answer a = ask(&(struct ask){ .path = "beckon/v1/sign-in", .body = body });
    free(body);
    return a;
}

/* A refusal says the same in all its places, and its case can be found. */
static void assert_refused(struct answer *a, int status, const char *record)
{
    struct world_kept k;
    assert_int_equal(a->status, status);
    assert_string_equal(text_of(a, "record"), record);
    assert_true(strlen(text_of(a, "text")) > 10);
    char expected[64];
    snprintf(expected, sizeof expected, "case=\"%s\"", text_of(a, "case"));
    assert_non_null(strstr(a->diagnostics, expected));
    snprintf(expected, sizeof expected, "record=\"%s\"", record);
    assert_non_null(strstr(a->diagnostics, expected));
    assert_int_equal(atoi(a->diagnostics), json_integer_value(json_object_get(a->json, "id")));
    world_signins(site.world, "", text_of(a, "case"), &k);
    assert_int_equal(k.rows, 1);
    assert_int_equal(k.status, status);
    forget(a);
}

static void assert_sign_in_refused(const char *address, const char *password, const char *members,
                                   int status, const char *record)
{
    struct answer a = sign_in(address, password, members);
    assert_refused(&a, status, record);
}

/* Signs in and makes a TLS client of what came. */
static struct bk_tls_client *client_of(struct answer *a)
{
    struct bk_tls_client *tls;
    assert_int_equal(a->status, 200);
    tls_client(&tls, text_of(a, "certificate"), csr_key);
    return tls;
}

static void der_of(const char *pem, struct bk_buf *ret)
{
    BIO *in = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);
    unsigned char *at = NULL;
    assert_non_null(cert);
    int n = i2d_X509(cert, &at);
    bk_buf_add(ret, at, (size_t)n);
    OPENSSL_free(at);
    X509_free(cert);
    BIO_free(in);
}

/* The record the certificate is refused with, "" where it is good; its row in *ret_serial. */
static const char *judged(const char *pem, char ret_serial[64])
{
    static char id[12];
    struct bk_buf der = { 0 };
    struct bk_arena arena = { 0 };
    struct bk_certificate row;
    der_of(pem, &der);
    const struct bk_record *record =
        bk_authority_judge(site.authority, site.world->store, bk_buf_view(&der),
                           (struct bk_view){ 0 }, site.world->real_ms, &arena, &row);
    id[0] = '\0';
    if (record)
        bk_record_id(record, id);
    else if (ret_serial)
        copy(ret_serial, 64, row.serial);
    bk_buf_finish(&der);
    bk_arena_finish(&arena);
    return id;
}

/* ---- sign-in ---- */

static void the_right_password_brings_a_certificate_that_is_good(void **state)
{
    (void)state;
    char serial[64];
    struct answer a =
        sign_in("Ann@Example.org", "correct horse", ",\"time\":\"2026-11-22T05:26:04Z\"");
    assert_int_equal(a.status, 200);
    assert_string_equal(a.type, "application/json");
    assert_string_equal(a.date, "Sun, 22 Nov 2026 05:26:04 GMT");
    assert_string_equal(text_of(&a, "address"), "ann@example.org");
    assert_string_equal(text_of(&a, "not_after"), "2027-05-21T05:26:04Z");
    assert_string_equal(text_of(&a, "renew_after"), "2027-03-22T05:26:04Z");
    assert_true(
        bk_view_equal(bk_view_of_str(text_of(&a, "chain")), bk_authority_pem(site.authority)));
    json_t *sip = json_object_get(a.json, "sip");
    assert_int_equal(json_array_size(sip), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(sip, 1), "host")),
                        "out.example.org");
    assert_string_equal(judged(text_of(&a, "certificate"), serial), "");

    /* The certificate is for the key that asked. */
    struct bk_tls_client *tls = client_of(&a);
    bk_tls_client_unref(tls);
    struct world_kept k;
    world_signins(site.world, "ann@example.org", "", &k);
    assert_int_equal(k.rows, 1);
    assert_true(k.ok);
    assert_string_equal(k.road, "https-password");
    assert_non_null(strstr(k.detail, serial));
    forget(&a);
}

static bool see_device(void *ctx, const struct bk_certificate *row)
{
    char *to = ctx;
    snprintf(to, 100, "%.*s|%.*s|%.*s", BK_VIEW_ARGS(row->device_id),
             BK_VIEW_ARGS(row->device_name), BK_VIEW_ARGS(row->device_kind));
    return true;
}

static void the_row_of_a_certificate_knows_the_device(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    struct bk_user user;
    char device[100] = "";
    struct answer a = sign_in("ann@example.org", "correct horse", NULL);
    forget(&a);
    world_account(site.world, "ann@example.org", &arena, &user);
    bk_store_certificates(site.world->store, user.id, &arena, see_device, device);
    assert_string_equal(device, "d-1|desk|cli");
    bk_arena_finish(&arena);
}

static void policy_says_how_long_a_certificate_lives(void **state)
{
    (void)state;
    world_policy(site.world, "global", "", "certificate-hours", "8");
    struct answer a = sign_in("ann@example.org", "correct horse", NULL);
    assert_string_equal(text_of(&a, "not_after"), "2026-11-22T13:26:04Z");
    forget(&a);
}

static void an_unknown_address_is_answered_like_a_wrong_password(void **state)
{
    (void)state;
    struct answer wrong = sign_in("ann@example.org", "wrong horse", NULL);
    struct answer unknown = sign_in("nobody@example.org", "correct horse", NULL);
    struct world_kept k;
    assert_int_equal(wrong.status, 401);
    assert_int_equal(unknown.status, 401);
    assert_string_equal(text_of(&wrong, "text"), text_of(&unknown, "text"));
    assert_string_equal(text_of(&wrong, "record"), "SI-202");
    assert_string_equal(text_of(&unknown, "record"), "SI-202");
    assert_int_equal(wrong.body.len, unknown.body.len);
    assert_int_equal(strlen(wrong.diagnostics), strlen(unknown.diagnostics));
    world_signins(site.world, "", text_of(&wrong, "case"), &k);
    assert_string_equal(k.record, "SI-202");
    world_signins(site.world, "", text_of(&unknown, "case"), &k);
    assert_string_equal(k.record, "SI-201a");
    forget(&wrong);
    forget(&unknown);
}

static void policy_says_who_hears_that_an_address_does_not_exist(void **state)
{
    (void)state;
    site.own_network = true;
    assert_sign_in_refused("nobody@example.org", "x", NULL, 404, "SI-201a");
    assert_sign_in_refused("ann@example.org", "x", NULL, 401, "SI-202");
    world_policy(site.world, "global", "", "tell-unknown-address", "never");
    pass(60000);
    assert_sign_in_refused("nobody@example.org", "x", NULL, 401, "SI-202");
    site.own_network = false;
    world_policy(site.world, "global", "", "tell-unknown-address", "always");
    pass(60000);
    assert_sign_in_refused("nobody@example.org", "x", NULL, 404, "SI-201a");
}

static void the_state_of_an_account_is_told_only_to_who_knows_its_password(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        int status;
        const char *record;
    } rows[] = {
        { "bob@example.org", 403, "SI-208" },   { "cat@example.org", 403, "SI-201b" },
        { "eve@ended.example", 403, "SI-402" }, { "dan@example.org", 401, "SI-203" },
        { "ann@example.org", 403, "SI-206" },
    };
    put_password("ann@example.org", "correct horse", true);
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        assert_sign_in_refused(rows[i].address, "wrong horse", NULL, 401, "SI-202");
        assert_sign_in_refused(rows[i].address, "correct horse", NULL, rows[i].status,
                               rows[i].record);
    }
    struct bk_arena arena = { 0 };
    struct bk_user user;
    char device[100] = "";
    world_account(site.world, "bob@example.org", &arena, &user);
    bk_store_certificates(site.world->store, user.id, &arena, see_device, device);
    assert_string_equal(device, "");
    bk_arena_finish(&arena);
}

static void a_user_name_of_its_own_is_asked_for_and_must_belong_to_the_address(void **state)
{
    (void)state;
    struct answer a =
        sign_in("dan@example.org", "correct horse", ",\"user\":\"Dan.K@corp.example\"");
    assert_int_equal(a.status, 200);
    assert_string_equal(text_of(&a, "address"), "dan@example.org");
    forget(&a);
    assert_sign_in_refused("ann@example.org", "correct horse", ",\"user\":\"dan.k@corp.example\"",
                           403, "SI-214");
    assert_sign_in_refused("ann@example.org", "wrong horse", ",\"user\":\"dan.k@corp.example\"",
                           401, "SI-202");
    assert_sign_in_refused("dan@example.org", "correct horse", ",\"user\":\"nobody\"", 401,
                           "SI-202");
    a = sign_in("ann@example.org", "correct horse", ",\"user\":\"ann@example.org\"");
    assert_int_equal(a.status, 200);
    forget(&a);
}

static void a_clock_may_be_five_minutes_off_and_not_more(void **state)
{
    (void)state;
    static const struct {
        int64_t off_ms;
        const char *minutes; /* NULL: goes through */
    } rows[] = {
        { 0, NULL },      { 300000, NULL }, { -300000, NULL },    { 300001, "6" },
        { -300001, "6" }, { 360000, "6" },  { 86400000, "1440" },
    };
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        char member[64];
        snprintf(member, sizeof member, ",\"time\":%lld",
                 (long long)(site.world->real_ms + rows[i].off_ms));
        struct answer a = sign_in("ann@example.org", "correct horse", member);
        if (rows[i].minutes) {
            char part[64];
            snprintf(part, sizeof part, "by %s minutes", rows[i].minutes);
            assert_non_null(strstr(text_of(&a, "text"), part));
            assert_refused(&a, 403, "SI-104");
        } else {
            assert_int_equal(a.status, 200);
            forget(&a);
        }
        pass(60000);
    }
    /* Who does not know the password hears nothing about clocks. */
    assert_sign_in_refused("ann@example.org", "wrong", ",\"time\":0", 401, "SI-202");
    char far[64];
    snprintf(far, sizeof far, ",\"time\":%lld", (long long)INT64_MIN);
    assert_sign_in_refused("ann@example.org", "correct horse", far, 403, "SI-104");
}

static void a_request_for_a_key_that_does_not_hold_is_refused_with_its_reason(void **state)
{
    (void)state;
    char *good = csr;
    csr = csr_make(CSR_RSA_1024, NULL);
    struct answer a = sign_in("ann@example.org", "correct horse", NULL);
    assert_non_null(strstr(text_of(&a, "text"), "fewer than 2048 bits"));
    assert_refused(&a, 403, "SI-218");
    assert_sign_in_refused("ann@example.org", "wrong", NULL, 401, "SI-202");
    free(csr);
    csr = "nonsense";
    assert_sign_in_refused("ann@example.org", "correct horse", NULL, 403, "SI-218");
    csr = good;
}

static void an_address_that_cannot_be_is_refused_before_anything_is_looked_up(void **state)
{
    (void)state;
    assert_sign_in_refused("o'hara@example.org", "x", NULL, 400, "SI-111");
    assert_sign_in_refused("ann", "x", NULL, 400, "SI-111");
    assert_sign_in_refused("ann@elsewhere.example", "x", NULL, 404, "SI-220");
    struct answer a = sign_in("sip:ann@example.org", "correct horse", NULL);
    assert_int_equal(a.status, 200);
    forget(&a);
}

static void without_a_password_the_ways_to_sign_in_are_named(void **state)
{
    (void)state;
    assert_sign_in_refused("ann@example.org", "", NULL, 401, "SI-102");
}

static void a_body_that_cannot_be_used_is_answered_with_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *path, *type, *body;
        int status;
        const char *part;
        int64_t at; /* -1: none */
    } rows[] = {
        { "sign-in", "text/plain", "{}", 415, "application/json", -1 },
        { "sign-in", "application/json", "", 400, "no JSON", 0 },
        { "sign-in", "application/json", "{\"address\":}", 400, "line 1, column 12", 12 },
        { "sign-in", "application/json", "{\"password\":\"geheim\" x", 400, "no JSON", 22 },
        { "sign-in", "application/json; charset=utf-8", "[1]", 400, "no object", 0 },
        { "sign-in", "application/json", "{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}", 400,
          "nested too deeply at byte 20", 20 },
        { "sign-in", "application/json", "{\"address\":1}", 400, "\"address\"", -1 },
        { "sign-in", "application/json", "{\"a\":1,\"a\":1}", 400, "duplicate", -2 },
        { "sign-in", "application/json", "{}", 400, "\"address\" is missing", -1 },
        { "sign-in", "application/json", "{\"address\":\"a@example.org\"}", 400,
          "\"csr\" is missing", -1 },
        { "sign-in", "application/json", "{\"device\":{\"kind\":7}}", 400, "\"kind\"", -1 },
        { "sign-in", "application/json", "{\"time\":\"yesterday\"}", 400, "\"time\"", -1 },
        { "renew", "application/json", "{}", 400, "\"csr\" is missing", -1 },
        { "password", "application/json", "{\"address\":\"a@example.org\"}", 400,
          "\"old\" is missing", -1 },
        { "report", "application/json", "{}", 400, "\"case\"", -1 },
        { "report", "application/json", "{\"case\":\"UUUU-UUUU\"}", 400, "\"case\"", -1 },
    };
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        char path[64];
        snprintf(path, sizeof path, "beckon/v1/%s", rows[i].path);
        struct answer a =
            ask(&(struct ask){ .path = path, .type = rows[i].type, .body = rows[i].body });
        assert_int_equal(a.status, rows[i].status);
        assert_non_null(a.json);
        assert_non_null(strstr(text_of(&a, "text"), rows[i].part));
        assert_null(strstr(text_of(&a, "text"), "geheim"));
        assert_true(json_is_null(json_object_get(a.json, "record")));
        json_t *at = json_object_get(a.json, "at");
        if (rows[i].at >= 0)
            assert_int_equal(json_integer_value(at), rows[i].at);
        else if (rows[i].at == -1)
            assert_null(at);
        forget(&a);
    }
}

static void a_body_that_is_too_large_is_refused(void **state)
{
    (void)state;
    static char large[40000];
    memset(large, ' ', sizeof large);
    struct answer a =
        ask(&(struct ask){ .path = "beckon/v1/sign-in", .body = large, .body_len = 32 * 1024 + 1 });
    assert_int_equal(a.status, 413);
    assert_non_null(strstr(text_of(&a, "text"), "at most 32768"));
    forget(&a);
    a = ask(&(struct ask){ .path = "beckon/v1/report", .body = large, .body_len = 16 * 1024 + 1 });
    assert_int_equal(a.status, 413);
    forget(&a);
}

static void what_is_not_there_says_so(void **state)
{
    (void)state;
    struct answer a = get("beckon/v1/sign-in", NULL);
    assert_int_equal(a.status, 405);
    assert_non_null(strstr(text_of(&a, "text"), "only POST"));
    forget(&a);
    a = get("beckon/v1/sign-on", NULL);
    assert_int_equal(a.status, 404);
    forget(&a);
    a = get("beckon/v2/sign-in", NULL);
    assert_int_equal(a.status, 404);
    forget(&a);
    a = ask(&(struct ask){ .path = "beckon/v1/" });
    assert_int_equal(a.status, 405);
    forget(&a);
    a = get("beckon/v1/", NULL);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(bk_buf_cstr(&a.body), site.services_url));
    forget(&a);
    a = get("beckon/v1/", "application/json");
    assert_string_equal(text_of(&a, "services"), site.services_url);
    forget(&a);
}

/* ---- limits ---- */

static void ten_guesses_of_one_moment_are_ten(void **state)
{
    (void)state;
    enum { N = 16 };
    static struct answer answers[N];
    int wrong = 0, busy = 0;
    char *body = signin_body("ann@example.org", "wrong horse", NULL);
    for (int i = 0; i < N; i++)
        ask_begin(&(struct ask){ .path = "beckon/v1/sign-in", .body = body }, &answers[i]);
    for (int i = 0; i < N; i++) {
        ask_end(&answers[i]);
        wrong += answers[i].status == 401;
        if (answers[i].status == 503) {
            busy++;
            assert_string_equal(text_of(&answers[i], "record"), "SI-404");
            assert_string_equal(answers[i].retry_after, "60");
            assert_int_equal(json_integer_value(json_object_get(answers[i].json, "retry_after")),
                             60);
        }
        forget(&answers[i]);
    }
    assert_int_equal(wrong, 10);
    assert_int_equal(busy, N - 10);
    free(body);
    /* Not even the right password is looked at before the minute is over. */
    assert_sign_in_refused("ann@example.org", "correct horse", NULL, 503, "SI-404");
    pass(60000);
    struct answer a = sign_in("ann@example.org", "correct horse", NULL);
    assert_int_equal(a.status, 200);
    forget(&a);
}

static void right_passwords_are_not_counted(void **state)
{
    (void)state;
    for (int i = 0; i < 15; i++) {
        struct answer a = sign_in("ann@example.org", "correct horse", NULL);
        assert_int_equal(a.status, 200);
        forget(&a);
    }
}

static void a_full_queue_is_busy_and_counts_against_nobody(void **state)
{
    (void)state;
    enum { N = 12 };
    static struct answer answers[N];
    bk_http_server_destroy(site.http);
    bk_work_destroy(site.work);
    bk_services_destroy(site.services);
    start_services(1, 1);
    int good = 0, busy = 0;
    char *body = signin_body("ann@example.org", "correct horse", NULL);
    for (int i = 0; i < N; i++)
        ask_begin(&(struct ask){ .path = "beckon/v1/sign-in", .body = body }, &answers[i]);
    for (int i = 0; i < N; i++) {
        ask_end(&answers[i]);
        good += answers[i].status == 200;
        if (answers[i].status == 503) {
            busy++;
            assert_string_equal(text_of(&answers[i], "record"), "SI-404");
            assert_string_equal(answers[i].retry_after, "5");
        }
        forget(&answers[i]);
    }
    assert_int_equal(good + busy, N);
    assert_true(good >= 1);
    free(body);
    for (int i = 0; i < 11; i++) {
        struct answer a = sign_in("ann@example.org", "correct horse", NULL);
        assert_int_equal(a.status, 200);
        forget(&a);
    }
}

static void who_hangs_up_harms_nobody(void **state)
{
    (void)state;
    char *body = signin_body("ann@example.org", "wrong horse", NULL);
    /* From before the connection stands to after the answer is under way: whatever the moment, the attempt is over. */
    for (int steps = 0; steps < 40; steps++) {
        struct answer a;
        ask_begin(&(struct ask){ .path = "beckon/v1/sign-in", .body = body }, &a);
        for (int i = 0; i < steps && !a.done; i++)
            bk_loop_step(site.loop, 1);
        if (!a.done)
            bk_http_call_cancel(a.call);
        forget(&a);
        pass(60000);
    }
    free(body);
    struct answer good = sign_in("ann@example.org", "correct horse", NULL);
    assert_int_equal(good.status, 200);
    forget(&good);
    struct world_kept k;
    world_signins(site.world, "ann@example.org", "", &k);
    assert_true(k.rows > 1); /* some of them were looked at, and kept */
}

static void a_hundred_living_certificates_are_enough_for_one_person(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    struct bk_user user;
    world_account(site.world, "ann@example.org", &arena, &user);
    for (int i = 0; i < 100; i++) {
        char serial[16];
        snprintf(serial, sizeof serial, "%02x", i);
        struct bk_certificate row = { .serial = bk_view_of_str(serial),
                                      .user_id = user.id,
                                      .fingerprint = bk_view_of_str(serial),
                                      .issued_at = site.world->real_ms - 1000 + (i + 50) % 100,
                                      .not_after = site.world->real_ms + 1000 };
        WORLD_PUT(site.world, bk_store_put_certificate(batch, &row));
    }
    struct answer a = sign_in("ann@example.org", "correct horse", NULL);
    assert_int_equal(a.status, 200);
    forget(&a);
    struct bk_certificate row;
    for (int i = 0; i < 100; i++) {
        char serial[16];
        snprintf(serial, sizeof serial, "%02x", i);
        assert_int_equal(
            bk_store_certificate(site.world->store, bk_view_of_str(serial), &arena, &row), 0);
        assert_int_equal(row.revoked_at != 0, i == 50);
    }
    bk_arena_finish(&arena);
}

/* ---- renew and revoke ---- */

static struct answer renew_with(struct bk_tls_client *tls, const char *members)
{
    json_t *text = json_string(csr);
    char *quoted = json_dumps(text, JSON_ENCODE_ANY), *body;
    assert_true(asprintf(&body, "{\"csr\":%s%s}", quoted, members ? members : "") > 0);
    struct answer a = ask(&(struct ask){ .path = "beckon/v1/renew", .body = body, .tls = tls });
    free(body);
    free(quoted);
    json_decref(text);
    return a;
}

static struct answer revoke_with(struct bk_tls_client *tls)
{
    return ask(&(struct ask){ .path = "beckon/v1/revoke", .tls = tls });
}

static void a_certificate_renews_itself_and_stays_good(void **state)
{
    (void)state;
    char first[64], second[64];
    struct answer a = sign_in("ann@example.org", "correct horse", NULL);
    struct bk_tls_client *tls = client_of(&a);
    pass(86400000);
    struct answer b = renew_with(tls, ",\"time\":\"2026-11-23T05:26:04Z\"");
    assert_int_equal(b.status, 200);
    assert_string_equal(text_of(&b, "address"), "ann@example.org");
    assert_string_equal(text_of(&b, "not_after"), "2027-05-22T05:26:04Z");
    assert_string_equal(judged(text_of(&a, "certificate"), first), "");
    assert_string_equal(judged(text_of(&b, "certificate"), second), "");
    assert_string_not_equal(first, second);
    struct world_kept k;
    world_signins(site.world, "ann@example.org", "", &k);
    assert_int_equal(k.rows, 2);
    assert_string_equal(k.road, "https-certificate");
    struct bk_arena arena = { 0 };
    struct bk_certificate row;
    assert_int_equal(bk_store_certificate(site.world->store, bk_view_of_str(second), &arena, &row),
                     0);
    assert_true(bk_view_equal(row.device_name, BK_VIEW("desk")));
    bk_arena_finish(&arena);
    forget(&a);
    forget(&b);
    bk_tls_client_unref(tls);
}

static void a_user_name_of_its_own_is_not_asked_for_at_renewal(void **state)
{
    (void)state;
    struct answer a =
        sign_in("dan@example.org", "correct horse", ",\"user\":\"dan.k@corp.example\"");
    struct bk_tls_client *tls = client_of(&a);
    struct answer b = renew_with(tls, NULL);
    assert_int_equal(b.status, 200);
    forget(&a);
    forget(&b);
    bk_tls_client_unref(tls);
}

static void set_enabled(const char *address, bool enabled)
{
    struct bk_arena arena = { 0 };
    struct bk_user user;
    world_account(site.world, address, &arena, &user);
    user.enabled = enabled;
    WORLD_PUT(site.world, bk_store_put_user(batch, &user));
    bk_arena_finish(&arena);
}

static void renewal_is_refused_for_what_is_wrong_with_certificate_account_or_clock(void **state)
{
    (void)state;
    struct answer a = renew_with(NULL, NULL);
    assert_refused(&a, 401, "SI-102");
    a = sign_in("ann@example.org", "correct horse", NULL);
    struct bk_tls_client *tls = client_of(&a);
    struct answer b = renew_with(tls, ",\"time\":1");
    assert_refused(&b, 403, "SI-104");
    set_enabled("ann@example.org", false);
    b = renew_with(tls, NULL);
    assert_refused(&b, 403, "SI-208");
    set_enabled("ann@example.org", true);
    b = renew_with(tls, NULL);
    assert_int_equal(b.status, 200);
    forget(&b);
    int64_t was = site.world->real_ms;
    site.world->real_ms += 180LL * 86400 * 1000;
    b = renew_with(tls, NULL);
    assert_refused(&b, 403, "SI-105a");
    site.world->real_ms = was - 86400 * 1000;
    b = renew_with(tls, NULL);
    assert_refused(&b, 403, "SI-105b");
    site.world->real_ms = was;
    forget(&a);
    bk_tls_client_unref(tls);

    struct pki_cert *other = pki_make(
        &(struct pki_request){ .name = "sip:ann@example.org", .san = "URI:sip:ann@example.org" });
    tls_client(&tls, pki_cert_pem(other), pki_key_pem(other));
    b = renew_with(tls, NULL);
    assert_refused(&b, 403, "SI-105f");
    bk_tls_client_unref(tls);
    pki_free(other);
}

static void a_certificate_given_back_is_worth_nothing_and_its_sessions_are_told(void **state)
{
    (void)state;
    char serial[64];
    struct answer a = sign_in("ann@example.org", "correct horse", NULL);
    struct bk_tls_client *tls = client_of(&a);
    assert_string_equal(judged(text_of(&a, "certificate"), serial), "");
    struct answer b = revoke_with(tls);
    assert_int_equal(b.status, 204);
    assert_int_equal(b.body.len, 0);
    assert_int_equal(site.n_revoked, 1);
    assert_string_equal(site.revoked, serial);
    assert_string_equal(judged(text_of(&a, "certificate"), NULL), "SI-219");
    forget(&b);
    b = renew_with(tls, NULL);
    assert_refused(&b, 403, "SI-219");
    b = revoke_with(tls);
    assert_int_equal(b.status, 204);
    assert_int_equal(site.n_revoked, 1);
    forget(&b);
    b = revoke_with(NULL);
    assert_refused(&b, 401, "SI-102");
    forget(&a);
    bk_tls_client_unref(tls);
}

/* ---- password ---- */

static struct answer change(const char *address, const char *old, const char *new)
{
    char body[1024];
    snprintf(body, sizeof body, "{\"address\":\"%s\",\"old\":\"%s\",\"new\":\"%s\"}", address, old,
             new);
    return ask(&(struct ask){ .path = "beckon/v1/password", .body = body });
}

static void a_password_is_changed_by_who_knows_the_old_one(void **state)
{
    (void)state;
    struct answer a = sign_in("ann@example.org", "correct horse", NULL);
    struct answer b = change("ann@example.org", "wrong", "battery staple");
    assert_refused(&b, 401, "SI-202");
    b = change("nobody@example.org", "wrong", "battery staple");
    assert_refused(&b, 401, "SI-202");
    b = change("bob@example.org", "correct horse", "battery staple");
    assert_refused(&b, 403, "SI-208");
    assert_int_equal(site.n_changed, 0);
    b = change("ann@example.org", "correct horse", "battery staple");
    assert_int_equal(b.status, 204);
    forget(&b);
    assert_int_equal(site.n_changed, 1);
    assert_string_equal(site.changed, "ann@example.org");
    assert_string_equal(judged(text_of(&a, "certificate"), NULL), "");
    forget(&a);
    assert_sign_in_refused("ann@example.org", "correct horse", NULL, 401, "SI-202");
    a = sign_in("ann@example.org", "battery staple", NULL);
    assert_int_equal(a.status, 200);
    forget(&a);
}

static void who_must_change_the_password_can(void **state)
{
    (void)state;
    put_password("ann@example.org", "first one", true);
    assert_sign_in_refused("ann@example.org", "first one", NULL, 403, "SI-206");
    struct answer a = change("ann@example.org", "first one", "battery staple");
    assert_int_equal(a.status, 204);
    forget(&a);
    a = sign_in("ann@example.org", "battery staple", NULL);
    assert_int_equal(a.status, 200);
    forget(&a);
}

static void a_new_password_must_be_one(void **state)
{
    (void)state;
    static const struct {
        const char *new, *why;
    } rows[] = {
        { "short", "too short" },
        { "\\u00e4\\u00f6\\u00fc\\u00e4\\u00f6\\u00fc\\u00e4", "too short" },
        { "with\\ttab inside", "control character" },
        { "Correct Horse", "present password" },
        { "ANN@example.org", "your address" },
    };
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        struct answer a = change("ann@example.org", "correct horse", rows[i].new);
        assert_non_null(strstr(text_of(&a, "text"), rows[i].why));
        assert_refused(&a, 403, "SI-224");
    }
    char long_one[300];
    memset(long_one, 'x', sizeof long_one);
    long_one[257] = '\0';
    struct answer a = change("ann@example.org", "correct horse", long_one);
    assert_refused(&a, 403, "SI-224");
    world_policy(site.world, "global", "", "password-length-min", "20");
    a = change("ann@example.org", "correct horse", "battery staple");
    assert_refused(&a, 403, "SI-224");
    a = change("ann@example.org", "correct horse", "battery staple battery staple");
    assert_int_equal(a.status, 204);
    forget(&a);
}

static void no_password_is_found_in_what_the_store_keeps(void **state)
{
    (void)state;
    struct bk_buf image = { 0 };
    struct answer a = sign_in("ann@example.org", "wrong-horse-7f3a", NULL);
    forget(&a);
    a = change("ann@example.org", "correct horse", "battery-staple-91bc");
    forget(&a);
    bk_store_pump(site.world->store);
    site.history = bk_history_destroy(site.history);
    site.world->store = bk_store_crash(site.world->store, &image);
    struct bk_view bytes = bk_buf_view(&image);
    assert_true(bytes.len > 10000);
    assert_true(bk_view_find_view(bytes, BK_VIEW("ann@example.org")) < bytes.len);
    assert_int_equal(bk_view_find_view(bytes, BK_VIEW("wrong-horse-7f3a")), bytes.len);
    assert_int_equal(bk_view_find_view(bytes, BK_VIEW("battery-staple-91bc")), bytes.len);
    bk_buf_finish(&image);
    struct bk_store_config config = { .clock = &site.world->clock };
    assert_int_equal(bk_store_open(&config, &site.world->store, NULL), 0);
    assert_int_equal(bk_history_create(site.world->store, &site.world->clock, &bk_random_system,
                                       NULL, "server.test", &site.history),
                     0);
}

static void a_hash_is_of_its_password_alone(void **state)
{
    (void)state;
    struct bk_buf hash = { 0 }, other = { 0 };
    assert_int_equal(bk_password_hash(BK_VIEW("p\xc3\xa4ss"), 1, &hash), 0);
    assert_int_equal(bk_password_hash(BK_VIEW("p\xc3\xa4ss"), 1, &other), 0);
    assert_true(bk_view_starts_with(bk_buf_view(&hash), BK_VIEW("$y$")));
    assert_false(bk_view_equal(bk_buf_view(&hash), bk_buf_view(&other)));
    assert_true(bk_password_check(BK_VIEW("p\xc3\xa4ss"), bk_buf_view(&hash)));
    assert_false(bk_password_check(BK_VIEW("p\xc3\xa4s"), bk_buf_view(&hash)));
    assert_false(bk_password_check(BK_VIEW(""), bk_buf_view(&hash)));
    assert_false(bk_password_check(BK_VIEW("p\xc3\xa4ss\0"), bk_buf_view(&hash)));
    assert_false(bk_password_check(BK_VIEW("p\xc3\xa4ss"), BK_VIEW("*0")));
    assert_false(bk_password_check(BK_VIEW("p\xc3\xa4ss"), BK_VIEW("")));
    assert_int_equal(bk_password_hash(BK_VIEW(""), 1, &hash), -EINVAL);
    assert_int_equal(bk_password_hash(BK_VIEW("a\0b"), 1, &hash), -EINVAL);
    bk_buf_finish(&hash);
    bk_buf_finish(&other);
}

/* ---- report ---- */

static int report(const char *code, const char *members)
{
    char body[512];
    snprintf(body, sizeof body, "{\"case\":\"%s\"%s}", code, members);
    struct answer a = ask(&(struct ask){ .path = "beckon/v1/report", .body = body });
    int status = a.status;
    forget(&a);
    return status;
}

struct reports {
    int n;
    char client[512], ip[64];
};

static bool see_report(void *ctx, const struct bk_report *row)
{
    struct reports *r = ctx;
    r->n++;
    copy(r->client, sizeof r->client, row->client);
    copy(r->ip, sizeof r->ip, row->ip);
    return true;
}

static void the_clients_half_of_a_case_is_kept_beside_the_servers(void **state)
{
    (void)state;
    struct bk_arena arena = { 0 };
    struct reports reports = { 0 };
    struct answer a = sign_in("ann@example.org", "wrong", NULL);
    char code[16], typed[16];
    snprintf(code, sizeof code, "%s", text_of(&a, "case"));
    snprintf(typed, sizeof typed, "%s", code);
    bk_text_lower(typed, strlen(typed));
    forget(&a);
    assert_int_equal(report(typed, ",\"record\":\"SI-202\",\"steps\":[\"a\"]"), 204);
    bk_store_reports(site.world->store, bk_view_of_str(code), &arena, see_report, &reports);
    assert_int_equal(reports.n, 1);
    assert_non_null(strstr(reports.client, "\"steps\":[\"a\"]"));
    assert_string_equal(reports.ip, "127.0.0.1");
    assert_int_equal(report(code, ""), 429);
    pass(60000);
    assert_int_equal(report(code, ""), 204);
    bk_arena_finish(&arena);
}

static void a_report_needs_a_case_of_the_last_day(void **state)
{
    (void)state;
    struct answer a = sign_in("ann@example.org", "wrong", NULL);
    char code[16];
    snprintf(code, sizeof code, "%s", text_of(&a, "case"));
    forget(&a);
    assert_int_equal(report("0000-0000", ""), 404);
    pass(86400000);
    assert_int_equal(report(code, ""), 204);
    pass(60000);
    assert_int_equal(report(code, ""), 404);
}

static void one_case_has_twenty_reports_at_most(void **state)
{
    (void)state;
    struct answer a = sign_in("ann@example.org", "wrong", NULL);
    for (int i = 0; i < 25; i++) {
        assert_int_equal(report(text_of(&a, "case"), ""), i < 20 ? 204 : 429);
        pass(61000);
    }
    forget(&a);
}

/* ---- discovery, health, metrics ---- */

static void discovery_is_the_same_for_every_address_of_a_domain(void **state)
{
    (void)state;
    static const char *const forms[] = { "application/json", NULL };
    for (size_t i = 0; i < BK_COUNT_OF(forms); i++) {
        struct answer known = get("?sipuri=ann@example.org", forms[i]);
        struct answer unknown = get("?x=1&sipuri=sip%3ANobody%40Example.ORG&y", forms[i]);
        assert_int_equal(known.status, 200);
        assert_true(bk_view_equal(bk_buf_view(&known.body), bk_buf_view(&unknown.body)));
        if (i == 0) {
            assert_string_equal(known.type, "application/json");
            assert_string_equal(text_of(&known, "domain"), "example.org");
            assert_string_equal(text_of(&known, "services"), site.services_url);
            assert_int_equal(json_integer_value(json_object_get(known.json, "v")), 1);
            assert_int_equal(json_array_size(json_object_get(known.json, "sip")), 2);
            assert_int_equal(json_array_size(json_object_get(known.json, "methods")), 1);
        } else {
            const char *xml = bk_buf_cstr(&known.body);
            assert_true(strncmp(known.type, "application/vnd.microsoft.rtc.autodiscover+xml", 46) ==
                        0);
            assert_non_null(
                strstr(xml, "<AutodiscoverResponse AccessLocation=\"External\"><Root>"));
            char link[256];
            snprintf(
                link, sizeof link,
                "<Link token=\"User\" href=\"%sAutodiscover/AutodiscoverService.svc/root/user\"/>",
                site.url);
            assert_non_null(strstr(xml, link));
        }
        forget(&known);
        forget(&unknown);
    }
}

static void the_domain_document_names_both_places(void **state)
{
    (void)state;
    struct answer a = get("autodiscover/autodiscoverservice.svc/root/Domain", NULL);
    assert_int_equal(a.status, 200);
    const char *xml = bk_buf_cstr(&a.body);
    assert_non_null(
        strstr(xml, "<SipClientInternalAccess fqdn=\"in.example.org\" port=\"5061\"/>"));
    assert_non_null(
        strstr(xml, "<SipClientExternalAccess fqdn=\"out.example.org\" port=\"443\"/>"));
    forget(&a);
}

static void a_domain_of_others_is_refused_and_a_slip_is_helped(void **state)
{
    (void)state;
    struct answer a = get("?sipuri=ann@exmaple.org", "application/json");
    assert_string_equal(text_of(&a, "nearest"), "example.org");
    assert_refused(&a, 404, "SI-220");
    a = get("?sipuri=ann@contoso.com", NULL);
    assert_null(json_object_get(a.json, "nearest"));
    assert_refused(&a, 404, "SI-220");
    a = get("?sipuri=example.org", NULL);
    assert_int_equal(a.status, 400);
    forget(&a);
    a = get("?sipuri=a%4", NULL);
    assert_int_equal(a.status, 400);
    forget(&a);
    a = get("", NULL);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(bk_buf_cstr(&a.body), "Beckon server"));
    forget(&a);
}

static void the_host_names_the_domain_where_no_address_does(void **state)
{
    (void)state;
    static const struct {
        const char *query, *host, *domain, *address;
    } rows[] = {
        { NULL, "lyncdiscover.example.org", "example.org", "" },
        { NULL, "LyncDiscoverInternal.Example.org:8443", "example.org", "" },
        { NULL, "example.org.", "example.org", "" },
        { NULL, "[::1]:443", "[::1]", "" },
        { NULL, "", "", "" },
        { "a=b", "lyncdiscover.example.org", "example.org", "" },
        { "sipuri=ann@example.net", "lyncdiscover.example.org", "example.net", "ann@example.net" },
        { "SipUri=sip:A@B.c", "", "b.c", "a@b.c" },
        { "sipuri=", "example.org", NULL, NULL },
        { "sipuri=@b", "example.org", NULL, NULL },
        { "sipuri=a@", "example.org", NULL, NULL },
        { "sipuri=a@b@c", "example.org", NULL, NULL },
        { "sipuri=a%00@b", "example.org", NULL, NULL },
        { "sipuri=a%zz@b", "example.org", NULL, NULL },
    };
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        struct bk_buf domain = { 0 }, address = { 0 };
        int r = bk_discover_target(bk_view_of_str(rows[i].query), bk_view_of_str(rows[i].host),
                                   &domain, &address);
        assert_int_equal(r, rows[i].domain ? 0 : -EBADMSG);
        if (r == 0) {
            assert_string_equal(bk_buf_cstr(&domain), rows[i].domain);
            assert_string_equal(bk_buf_cstr(&address), rows[i].address);
        }
        bk_buf_finish(&domain);
        bk_buf_finish(&address);
    }
}

static void health_and_metrics_are_for_own_networks(void **state)
{
    (void)state;
    struct answer a = get("health", NULL);
    assert_int_equal(a.status, 404);
    forget(&a);
    a = get("metrics", NULL);
    assert_int_equal(a.status, 404);
    forget(&a);
    site.own_network = true;
    a = get("health", NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(text_of(&a, "status"), "ok");
    assert_string_equal(text_of(&a, "version"), BK_VERSION);
    assert_int_equal(json_integer_value(json_object_get(a.json, "sessions")), 3);
    forget(&a);
    a = sign_in("ann@example.org", "correct horse", NULL);
    forget(&a);
    a = get("metrics", NULL);
    assert_int_equal(a.status, 200);
    const char *text = bk_buf_cstr(&a.body);
    assert_non_null(strstr(text, "beckon_sessions 3\n"));
    assert_non_null(
        strstr(text, "\nbeckon_https_requests_total{request=\"sign-in\",outcome=\"ok\"} 1\n"));
    assert_string_equal(text + a.body.len - 6, "# EOF\n");
    forget(&a);
    a = ask(&(struct ask){ .path = "health" });
    assert_int_equal(a.status, 405);
    forget(&a);
}

/* ---- web tickets, as time passes (the rest is played by tests/scenario/lync_web.py) ---- */

/* What a client has after its ticket request. */
struct ticket {
    struct bk_arena arena;
    struct bk_view assertion, lifetime;
    char id[BK_MS_TICKET_ID_SIZE];
    unsigned char proof[BK_MS_PROOF_BYTES];
};

static void ask_for_ticket(struct ticket *t)
{
    static const char entropy[] = "0123456789abcdef0123456789abcdef";
    BK_AUTO_BUF struct bk_buf body = { 0 }, basic = { 0 }, theirs = { 0 };
    const struct bk_ms_ws *root, *response;
    const char *why;
    bk_buf_addf(&body,
                "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Body>"
                "<RequestSecurityToken><AppliesTo><EndpointReference><Address>%sCertProv/"
                "CertProvisioningService.svc/WebTicket_Proof_SHA1</Address></EndpointReference>"
                "</AppliesTo><Entropy><BinarySecret>",
                site.url);
    bk_base64_encode(&body, bk_view_of_str(entropy));
    bk_buf_add_lit(&body, "</BinarySecret></Entropy></RequestSecurityToken></s:Body></s:Envelope>");
    bk_buf_add_lit(&basic, "Basic ");
    bk_base64_encode(&basic, BK_VIEW("Ann@Example.org:correct horse"));
    struct answer a = ask(&(struct ask){ .path = "WebTicket/WebTicketService.svc/Auth",
                                         .type = "text/xml",
                                         .body = bk_buf_cstr(&body),
                                         .authorization = bk_buf_cstr(&basic) });
    assert_int_equal(a.status, 200);
    *t = (struct ticket){ 0 };
    struct bk_view text = bk_arena_copy(&t->arena, bk_buf_view(&a.body));
    assert_int_equal(bk_ms_ws_parse(text, &t->arena, &root, &why), 0);
    response = bk_ms_ws_at(
        root, "Body/RequestSecurityTokenResponseCollection/RequestSecurityTokenResponse");
    assert_non_null(response);
    const struct bk_ms_ws *assertion = bk_ms_ws_at(response, "RequestedSecurityToken/Assertion");
    t->assertion = assertion->raw;
    copy(t->id, sizeof t->id, bk_ms_ws_attribute(assertion, "AssertionID"));
    const struct bk_ms_ws *lifetime = bk_ms_ws_at(response, "Lifetime");
    t->lifetime = bk_view_between(lifetime->child->raw.at,
                                  lifetime->child->next->raw.at + lifetime->child->next->raw.len);
    assert_int_equal(bk_ms_ws_base64(bk_ms_ws_text(response, "Entropy/BinarySecret"), &theirs), 0);
    assert_int_equal(
        bk_ms_p_sha1(bk_view_of_str(entropy), bk_buf_view(&theirs), t->proof, sizeof t->proof), 0);
    forget(&a);
}

static void add_sha1(struct bk_buf *to, struct bk_view bytes, const struct ticket *hmac)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (hmac)
        HMAC(EVP_sha1(), hmac->proof, sizeof hmac->proof, (const unsigned char *)bytes.at,
             bytes.len, md, &n);
    else
        EVP_Digest(bytes.at, bytes.len, md, &n, EVP_sha1(), NULL);
    bk_base64_encode(to, (struct bk_view){ (char *)md, n });
}

/* The answer to a request for a certificate that is signed with it. */
static struct answer ask_for_certificate(const struct ticket *t)
{
    BK_AUTO_BUF struct bk_buf stamp = { 0 }, info = { 0 }, body = { 0 };
    struct bk_view pem = bk_view_of_str(csr);
    bk_buf_addf(&stamp, "<u:Timestamp xmlns:u='u' u:Id='timestamp'>%.*s</u:Timestamp>",
                BK_VIEW_ARGS(t->lifetime));
    bk_buf_add_lit(&info, "<SignedInfo><SignatureMethod Algorithm="
                          "'http://www.w3.org/2000/09/xmldsig#hmac-sha1'/><Reference "
                          "URI='#timestamp'><DigestMethod Algorithm="
                          "'http://www.w3.org/2000/09/xmldsig#sha1'/><DigestValue>");
    add_sha1(&info, bk_buf_view(&stamp), NULL);
    bk_buf_add_lit(&info, "</DigestValue></Reference></SignedInfo>");
    bk_buf_addf(&body,
                "<s:Envelope xmlns:s='s'><s:Header><Security>%.*s%.*s<Signature>%.*s"
                "<SignatureValue>",
                BK_VIEW_ARGS(bk_buf_view(&stamp)), BK_VIEW_ARGS(t->assertion),
                BK_VIEW_ARGS(bk_buf_view(&info)));
    add_sha1(&body, bk_buf_view(&info), t);
    pem = bk_view_skip(pem, bk_view_find(pem, '\n'));
    bk_buf_addf(&body,
                "</SignatureValue><KeyInfo><SecurityTokenReference><KeyIdentifier>%s"
                "</KeyIdentifier></SecurityTokenReference></KeyInfo></Signature></Security>"
                "</s:Header><s:Body><GetAndPublishCert DeviceId='{d-7}' "
                "Entity='sip:ann@example.org'><RequestSecurityToken><BinarySecurityToken>%.*s"
                "</BinarySecurityToken></RequestSecurityToken></GetAndPublishCert></s:Body>"
                "</s:Envelope>",
                t->id, BK_VIEW_ARGS(bk_view_head(pem, bk_view_find(pem, '-'))));
    return ask(&(struct ask){ .path = "CertProv/CertProvisioningService.svc/WebTicket_Proof_SHA1",
                              .type = "text/xml",
                              .body = bk_buf_cstr(&body) });
}

static void a_web_ticket_is_good_for_five_minutes(void **state)
{
    (void)state;
    static const struct {
        int64_t passes;
        const char *record; /* NULL: a certificate */
    } rows[] = { { 0, NULL },
                 { BK_MS_TICKET_LIFE_MS - 1000, NULL },
                 { 1000, "SI-212" },
                 { 86400000, "SI-212" } };
    struct ticket t;
    ask_for_ticket(&t);
    for (size_t i = 0; i < BK_COUNT_OF(rows); i++) {
        pass(rows[i].passes);
        struct answer a = ask_for_certificate(&t);
        const char *text = bk_buf_cstr(&a.body);
        assert_int_equal(a.status, 200);
        assert_true((strstr(text, "BinarySecurityToken") != NULL) == !rows[i].record);
        assert_true((strstr(text, "<s:Fault>") != NULL) == (rows[i].record != NULL));
        if (rows[i].record)
            assert_non_null(strstr(a.diagnostics, "record=\"SI-212\""));
        forget(&a);
    }
    bk_arena_finish(&t.arena);
}

/* What is wrong with the certificate in an answer, by number; 0: nothing, *ret_row is filled. */
static unsigned judge_answer(const struct answer *a, struct bk_arena *arena,
                             struct bk_certificate *ret_row)
{
    BK_AUTO_BUF struct bk_buf der = { 0 };
    const struct bk_ms_ws *root;
    const char *why;
    assert_int_equal(bk_ms_ws_parse(bk_buf_view(&a->body), arena, &root, &why), 0);
    assert_int_equal(
        bk_ms_ws_base64(bk_ms_ws_text(root, "Body/GetAndPublishCertResponse/"
                                            "RequestSecurityTokenResponse/RequestedSecurityToken/"
                                            "BinarySecurityToken"),
                        &der),
        0);
    const struct bk_record *record =
        bk_authority_judge(site.authority, site.world->store, bk_buf_view(&der),
                           BK_VIEW("ann@example.org"), site.world->real_ms, arena, ret_row);
    return record ? record->number : 0;
}

static void a_device_has_one_such_certificate_the_newest(void **state)
{
    (void)state;
    struct ticket t;
    struct bk_arena arena = { 0 };
    struct bk_certificate row;
    struct answer others = sign_in("ann@example.org", "correct horse", NULL);
    struct bk_tls_client *tls = client_of(&others);
    ask_for_ticket(&t);
    struct answer first = ask_for_certificate(&t), second = ask_for_certificate(&t);
    assert_int_equal(judge_answer(&first, &arena, &row), 219);
    assert_int_equal(judge_answer(&second, &arena, &row), 0);
    /* and those of other programs stay */
    char *body = signin_body("", "", "");
    struct answer renewed =
        ask(&(struct ask){ .path = "beckon/v1/renew", .body = body, .tls = tls });
    assert_int_equal(renewed.status, 200);
    free(body);
    bk_tls_client_unref(tls);
    forget(&renewed);
    forget(&first);
    forget(&second);
    forget(&others);
    bk_arena_finish(&t.arena);
    bk_arena_finish(&arena);
}

static void a_certificate_for_a_web_ticket_is_one_like_all_others(void **state)
{
    (void)state;
    struct ticket t;
    struct bk_arena arena = { 0 };
    struct bk_certificate row;
    ask_for_ticket(&t);
    struct answer a = ask_for_certificate(&t);
    assert_int_equal(judge_answer(&a, &arena, &row), 0);
    assert_true(bk_view_equal(row.device_id, BK_VIEW("d-7")));
    assert_true(bk_view_equal(row.device_kind, BK_VIEW("lync")));
    assert_int_equal(row.not_after / 1000, (site.world->real_ms + 4320LL * 3600 * 1000) / 1000);
    WORLD_PUT(site.world, bk_store_revoke_certificate(batch, row.serial, site.world->real_ms,
                                                      BK_VIEW("test"), BK_VIEW("test")));
    assert_int_equal(judge_answer(&a, &arena, &row), 219);
    forget(&a);
    bk_arena_finish(&t.arena);
    bk_arena_finish(&arena);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_right_password_brings_a_certificate_that_is_good),
        TEST(the_row_of_a_certificate_knows_the_device),
        TEST(policy_says_how_long_a_certificate_lives),
        TEST(an_unknown_address_is_answered_like_a_wrong_password),
        TEST(policy_says_who_hears_that_an_address_does_not_exist),
        TEST(the_state_of_an_account_is_told_only_to_who_knows_its_password),
        TEST(a_user_name_of_its_own_is_asked_for_and_must_belong_to_the_address),
        TEST(a_clock_may_be_five_minutes_off_and_not_more),
        TEST(a_request_for_a_key_that_does_not_hold_is_refused_with_its_reason),
        TEST(an_address_that_cannot_be_is_refused_before_anything_is_looked_up),
        TEST(without_a_password_the_ways_to_sign_in_are_named),
        TEST(a_body_that_cannot_be_used_is_answered_with_the_place),
        TEST(a_body_that_is_too_large_is_refused),
        TEST(what_is_not_there_says_so),
        TEST(ten_guesses_of_one_moment_are_ten),
        TEST(right_passwords_are_not_counted),
        TEST(a_full_queue_is_busy_and_counts_against_nobody),
        TEST(who_hangs_up_harms_nobody),
        TEST(a_hundred_living_certificates_are_enough_for_one_person),
        TEST(a_certificate_renews_itself_and_stays_good),
        TEST(a_user_name_of_its_own_is_not_asked_for_at_renewal),
        TEST(renewal_is_refused_for_what_is_wrong_with_certificate_account_or_clock),
        TEST(a_certificate_given_back_is_worth_nothing_and_its_sessions_are_told),
        TEST(a_password_is_changed_by_who_knows_the_old_one),
        TEST(who_must_change_the_password_can),
        TEST(a_new_password_must_be_one),
        TEST(no_password_is_found_in_what_the_store_keeps),
        TEST(a_hash_is_of_its_password_alone),
        TEST(the_clients_half_of_a_case_is_kept_beside_the_servers),
        TEST(a_report_needs_a_case_of_the_last_day),
        TEST(one_case_has_twenty_reports_at_most),
        TEST(discovery_is_the_same_for_every_address_of_a_domain),
        TEST(the_domain_document_names_both_places),
        TEST(a_domain_of_others_is_refused_and_a_slip_is_helped),
        TEST(the_host_names_the_domain_where_no_address_does),
        TEST(health_and_metrics_are_for_own_networks),
        TEST(a_web_ticket_is_good_for_five_minutes),
        TEST(a_certificate_for_a_web_ticket_is_one_like_all_others),
        TEST(a_device_has_one_such_certificate_the_newest),
    };
    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
