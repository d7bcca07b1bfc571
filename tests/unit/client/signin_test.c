/* SPDX-License-Identifier: Apache-2.0 */
/* From an address to signed in, or to the one record that says why not. */
#include "unit/client/client_test.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct place p;

static int make(void **state)
{
    (void)state;
    place_make(&p, NULL);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    place_free(&p);
    return 0;
}

/* ---- the good way ---- */

static void progress_is_told_in_order(void **state)
{
    (void)state;
    static const char *const order[] = { "state resolving\n",  "state authenticating\n",
                                         "state contacting\n", "state registering\n",
                                         "state presence\n",   "state signed-in\n" };
    place_client(&p);
    signed_in(&p);
    const char *at = p.text;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        at = strstr(at, order[i]);
        if (!at)
            fail_msg("%s is missing in:\n%s", order[i], p.text);
    }
}

static void the_password_is_on_no_disk(void **state)
{
    (void)state;
    place_client(&p);
    signed_in(&p);
    assert_true(folder_holds(p.profile, "BEGIN PRIVATE KEY"));
    assert_true(folder_holds(p.profile, "BEGIN CERTIFICATE"));
    assert_false(folder_holds(p.profile, "secret"));
}

static struct fake_guard fake;
static struct bk_client_guard guard;

static void guarded(int error)
{
    fake = (struct fake_guard){ .error = error };
    guard = fake_guard_of(&fake);
    p.guard = &guard;
    place_client(&p);
    signed_in(&p);
}

static void with_a_secret_store_the_key_is_on_no_disk_either(void **state)
{
    (void)state;
    guarded(0);
    assert_null(strstr(p.text, "notice"));
    assert_true(fake.has);
    assert_false(folder_holds(p.profile, "BEGIN PRIVATE KEY"));
    assert_true(folder_holds(p.profile, "BEGIN ENCRYPTED PRIVATE KEY"));
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
    assert_int_equal(uc_server_count(p.server, "POST sign-in"), 1);
}

static void a_locked_secret_store_asks_for_the_password_and_loses_nothing(void **state)
{
    (void)state;
    guarded(0);
    p.client = bk_client_destroy(p.client);
    p.text[0] = 0;
    fake.error = -EACCES;
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_CREDENTIAL);
    assert_string_equal(e->credential.why, "SI-112");
    done(&p, e);
    assert_non_null(strstr(p.text, "notice SI-112"));
    assert_int_equal(bk_client_credential(p.client, "secret", NULL), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
    assert_false(
        folder_holds(p.profile, "BEGIN PRIVATE KEY")); /* and never in the clear for that */
    p.client = bk_client_destroy(p.client);
    fake.error = 0;
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
    assert_int_equal(uc_server_count(p.server, "POST sign-in"), 2);
}

static void without_a_secret_store_the_file_is_told_once(void **state)
{
    (void)state;
    guarded(-ENOTSUP);
    assert_non_null(strstr(p.text, "notice  The password store of this computer cannot be used"));
    assert_true(folder_holds(p.profile, "BEGIN PRIVATE KEY"));
    p.text[0] = 0;
    place_client(&p);
    signed_in(&p);
    assert_null(strstr(p.text, "notice"));
}

static void a_secret_that_is_gone_is_a_missing_key(void **state)
{
    (void)state;
    guarded(0);
    p.client = bk_client_destroy(p.client);
    p.text[0] = 0;
    fake.has = false;
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_CREDENTIAL);
    assert_string_equal(e->credential.why, "SI-105e");
    done(&p, e);
    assert_int_equal(bk_client_credential(p.client, "secret", NULL), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
    assert_true(fake.has);
    assert_true(folder_holds(p.profile, "BEGIN ENCRYPTED PRIVATE KEY"));
}

static const char *result_of(const struct bk_client_event *e, const char *what)
{
    for (int i = 0; i < e->deleted.n_rows; i++)
        if (strcmp(e->deleted.rows[i].what, what) == 0)
            return e->deleted.rows[i].result;
    return "no such row";
}

static void deletion_takes_the_secret_along(void **state)
{
    (void)state;
    guarded(0);
    assert_int_equal(bk_client_delete_sign_in_info(p.client, ANN), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_DELETED);
    assert_string_equal(result_of(e, "secret in the password store"), "removed");
    assert_string_equal(result_of(e, "certificate at the server"), "revoked");
    done(&p, e);
    assert_false(fake.has);
    assert_int_equal(folder_files(p.profile), 0);
}

static void deletion_with_a_locked_store_removes_the_key_and_says_what_stayed(void **state)
{
    (void)state;
    guarded(0);
    p.client = bk_client_destroy(p.client);
    fake.error = -ETIMEDOUT;
    place_client(&p);
    assert_int_equal(bk_client_delete_sign_in_info(p.client, ANN), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_DELETED);
    assert_string_equal(result_of(e, "secret in the password store"),
                        "not removed: the password store is locked or does not answer");
    assert_string_equal(result_of(e, "certificate at the server"),
                        "not revoked: the password store of this computer does not give its key");
    done(&p, e);
    assert_int_equal(folder_files(p.profile), 0);
}

static void the_next_start_needs_no_password_and_no_discovery(void **state)
{
    (void)state;
    place_client(&p);
    signed_in(&p);
    int asked = dns_server_asked(p.names, "lyncdiscoverinternal." DOMAIN, "A");
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
    assert_int_equal(dns_server_asked(p.names, "lyncdiscoverinternal." DOMAIN, "A"), asked);
    assert_int_equal(uc_server_count(p.server, "POST sign-in"), 1);
    struct bk_buf last = { 0 };
    assert_int_equal(bk_client_last_address(p.profile, &last), 0);
    assert_string_equal(bk_buf_cstr(&last), ANN);
    bk_buf_finish(&last);
}

static void without_a_password_it_is_asked_for(void **state)
{
    (void)state;
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, "sip:Ann@Example.TEST", NULL, NULL), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_CREDENTIAL);
    assert_string_equal(e->credential.address, ANN);
    assert_string_equal(e->credential.why, "");
    assert_false(e->credential.need_user);
    done(&p, e);
    assert_int_equal(bk_client_credential(p.client, "secret", NULL), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
}

static void a_required_user_name_is_asked_for_and_remembered(void **state)
{
    (void)state;
    uc_server_names(p.server, NULL, 0, ",\"username\":\"required\"");
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_CREDENTIAL);
    assert_true(e->credential.need_user);
    done(&p, e);
    assert_int_equal(bk_client_credential(p.client, NULL, "CORP\\ann.k"), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
    char *body = uc_server_seen(p.server, "POST sign-in", 0);
    assert_non_null(strstr(body, "\"user\":\"CORP\\\\ann.k\""));
    free(body);
}

static void the_first_request_says_all_that_the_service_needs(void **state)
{
    (void)state;
    place_client(&p);
    signed_in(&p);
    char *body = uc_server_seen(p.server, "POST sign-in", 0);
    static const char *const fields[] = { "\"address\":\"" ANN "\"",   "\"password\":\"secret\"",
                                          "BEGIN CERTIFICATE REQUEST", "\"device\":{",
                                          "\"client\":\"client-test/", "\"time\":\"20" };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!strstr(body, fields[i]))
            fail_msg("%s is missing in %s", fields[i], body);
    free(body);
    char *request = uc_server_seen(p.server, "REGISTER", 0);
    static const char *const lines[] = { "\r\nDate: ", "+sip.instance=\"<urn:uuid:", ";ob>",
                                         "\r\nSupported: outbound",
                                         "\r\nUser-Agent: client-test/" };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(request, lines[i]))
            fail_msg("%s is missing in %s", lines[i], request);
    free(request);
}

static void the_endpoint_is_the_same_at_every_start(void **state)
{
    (void)state;
    char *ids[2];
    for (int i = 0; i < 2; i++) {
        place_client(&p);
        signed_in(&p);
        char *request = uc_server_seen(p.server, "REGISTER", 0);
        ids[i] = strndup(strstr(request, "urn:uuid:"), 9 + 36);
        free(request);
    }
    assert_string_equal(ids[0], ids[1]);
    free(ids[0]);
    free(ids[1]);
}

static void a_certificate_past_its_time_is_renewed_unasked(void **state)
{
    (void)state;
    uc_server_renew_after(p.server, 1);
    place_client(&p);
    signed_in(&p);
    AWAIT(uc_server_count(p.server, "POST renew") >= 1);
    uc_server_renew_after(p.server, 0);
    AWAIT(!folder_holds(p.profile, "\"renew_after\": 1"));
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
}

static void a_redirect_is_followed_five_times_and_no_more(void **state)
{
    (void)state;
    char contact[128];
    (void)snprintf(contact, sizeof contact, "Contact: <sip:srv." DOMAIN ":%u;transport=tls>\r\n",
                   uc_server_port(p.server));
    uc_server_answer(p.server, "REGISTER", "301 Moved Permanently", contact, 5);
    place_client(&p);
    signed_in(&p);
    uc_server_answer(p.server, "REGISTER", "301 Moved Permanently", contact, 0);
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
    assert_int_equal(await_failure(&p, "SI-221"), BK_CLIENT_NEXT_STOP);
}

/* ---- discovery ---- */

static void a_domain_without_any_name_lists_every_step(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *name, *type;
    } steps[] = {
        { "https", "lyncdiscoverinternal.nowhere.test", "A" },
        { "https", "lyncdiscover.nowhere.test", "A" },
        { "SRV", "_sipinternaltls._tcp.nowhere.test", "SRV" },
        { "SRV", "_sip._tls.nowhere.test", "SRV" },
        { "A", "sipinternal.nowhere.test", "A" },
        { "A", "sip.nowhere.test", "A" },
        { "A", "sipexternal.nowhere.test", "A" },
    };
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, "ann@nowhere.test", "secret", NULL), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_FAILURE);
    assert_string_equal(e->failure.id, "SI-301");
    assert_non_null(strstr(e->failure.user_text, "nowhere.test"));
    assert_int_equal(e->failure.n_steps, 7);
    for (int i = 0; i < 7; i++) {
        assert_string_equal(e->failure.steps[i].kind, steps[i].kind);
        assert_string_equal(e->failure.steps[i].name, steps[i].name);
        assert_true(e->failure.steps[i].result[0]);
        assert_true(dns_server_asked(p.names, steps[i].name, steps[i].type) >= 1);
    }
    done(&p, e);
}

static void a_failing_resolver_is_not_a_missing_name(void **state)
{
    (void)state;
    dns_server_fault(p.names, "_sip._tls.nowhere.test", "SRV", DNS_SERVFAIL);
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, "ann@nowhere.test", "secret", NULL), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_FAILURE);
    assert_string_equal(e->failure.id, "SI-303a");
    /* Whose fault it is stands there, and nobody else is blamed. */
    assert_non_null(strstr(e->failure.user_text, "name server"));
    assert_null(strstr(e->failure.user_text, "published"));
    assert_non_null(strstr(e->failure.admin_text, "_sip._tls.nowhere.test"));
    done(&p, e);
}

static void a_name_server_that_says_nothing_is_not_waited_for_at_every_step(void **state)
{
    (void)state;
    p.timing.silence_ms = 700;
    dns_server_fault(p.names, "lyncdiscoverinternal." DOMAIN, "*", DNS_SILENT);
    place_client(&p);
    int64_t begun = bk_clock_mono_ms(&bk_clock_system);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_FAILURE);
    assert_string_equal(e->failure.id, "SI-312");
    assert_int_equal(e->failure.next, BK_CLIENT_NEXT_RETRY);
    assert_int_equal(e->failure.n_steps, 7); /* those not asked are listed and say so */
    assert_non_null(strstr(e->failure.steps[6].result, "not asked"));
    assert_true(bk_clock_mono_ms(&bk_clock_system) - begun >= 690);
    assert_int_equal(dns_server_asked(p.names, "sip." DOMAIN, "A"), 0);
    done(&p, e);
}

static void a_name_server_that_answers_something_is_asked_everything(void **state)
{
    (void)state;
    p.timing.silence_ms = 300;
    /* Two of seven questions stay without an answer: longer than the bound, but it is no silence. */
    dns_server_fault(p.names, "lyncdiscoverinternal.nowhere.test", "*", DNS_SERVFAIL);
    dns_server_fault(p.names, "lyncdiscover.nowhere.test", "*", DNS_SILENT);
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, "ann@nowhere.test", "secret", NULL), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_FAILURE);
    assert_string_equal(e->failure.id, "SI-303a");
    done(&p, e);
    assert_true(dns_server_asked(p.names, "sipexternal.nowhere.test", "A") >= 1);
}

static void no_resolver_at_all_is_no_network(void **state)
{
    (void)state;
    (void)snprintf(p.dns, sizeof p.dns, "127.0.0.1:1");
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    assert_int_equal(await_failure(&p, "SI-312"), BK_CLIENT_NEXT_RETRY);
}

static void a_service_record_alone_is_enough(void **state)
{
    (void)state;
    char srv[64];
    dns_server_fault(p.names, "lyncdiscoverinternal." DOMAIN, "*", DNS_REFUSED);
    (void)snprintf(srv, sizeof srv, "10 10 %u srv." DOMAIN, uc_server_port(p.server));
    dns_server_add(p.names, "_sip._tls." DOMAIN, "SRV", srv);
    place_client(&p);
    signed_in(&p);
    assert_int_equal(uc_server_count(p.server, "GET /"), 0);
    assert_true(uc_server_count(p.server, "REGISTER") >=
                2); /* the first one asked where the services are */
}

static void another_page_at_the_discovery_host_is_named(void **state)
{
    (void)state;
    uc_server_web(p.server, "GET /", 200, "text/html", "<html>It works!</html>");
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    (void)await_failure(&p, "SI-305");
    uc_server_web(p.server, "GET /", 200, "application/json", "{\"v\":1}");
    (void)await_failure(&p, "SI-305");
    uc_server_web(p.server, "GET /", 302, "text/html",
                  "H:Location: https://srv." DOMAIN ":1/\nmoved");
    (void)await_failure(&p, "SI-302");
    uc_server_web(p.server, "GET /", 0, NULL, NULL);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
}

static void a_server_of_another_domain_needs_the_persons_word(void **state)
{
    (void)state;
    struct pki_cert *far = pki_make(&(struct pki_request){
        .name = "uc.hoster.test", .san = "DNS:uc.hoster.test", .issuer = p.root });
    struct uc_server *hoster = place_server(&p, far, "uc.hoster.test");
    char srv[64];
    dns_server_add(p.names, "uc.hoster.test", "A", "127.0.0.1");
    dns_server_fault(p.names, "lyncdiscoverinternal." DOMAIN, "*", DNS_REFUSED);
    (void)snprintf(srv, sizeof srv, "10 10 %u uc.hoster.test", uc_server_port(hoster));
    dns_server_add(p.names, "_sip._tls." DOMAIN, "SRV", srv);
    place_client(&p);

    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_TRUST);
    assert_string_equal(e->trust.server, "uc.hoster.test");
    done(&p, e);
    assert_int_equal(uc_server_count(hoster, "REGISTER"), 0); /* nothing was sent there yet */
    assert_int_equal(bk_client_trust(p.client, BK_CLIENT_TRUST_NO), 0);
    assert_int_equal(await_failure(&p, "SI-114"), BK_CLIENT_NEXT_STOP);

    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    done(&p, await_event(&p, BK_CLIENT_EVENT_TRUST));
    assert_int_equal(bk_client_trust(p.client, BK_CLIENT_TRUST_ALWAYS), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));

    place_client(&p); /* asked once, remembered */
    p.text[0] = 0;
    assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
    assert_null(strstr(p.text, "trust"));
    p.client = bk_client_destroy(p.client);
    uc_server_stop(hoster);
    pki_free(far);
}

static void a_server_that_is_gone_costs_one_short_try(void **state)
{
    (void)state;
    place_client(&p);
    signed_in(&p);
    p.client = bk_client_destroy(p.client);
    /* Same names, another port: what was remembered is dead. */
    struct uc_server *old = p.server;
    p.server = place_server(&p, p.certificate, "srv." DOMAIN);
    uc_server_stop(old);
    place_client(&p);
    p.text[0] = 0;
    assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
    assert_non_null(strstr(p.text, "notice SI-108"));
}

static void a_wrong_manual_server_is_told_apart_from_a_dead_service(void **state)
{
    (void)state;
    p.manual = "srv." DOMAIN ":1";
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    (void)await_failure(&p, "SI-109");
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, "ann@nowhere.test", "secret", NULL), 0);
    (void)await_failure(&p, "SI-302");
}

static void a_manual_server_needs_no_discovery(void **state)
{
    (void)state;
    char manual[64];
    (void)snprintf(manual, sizeof manual, "srv." DOMAIN ":%u", uc_server_port(p.server));
    p.manual = manual;
    place_client(&p);
    signed_in(&p);
    assert_int_equal(dns_server_asked(p.names, "lyncdiscoverinternal." DOMAIN, "A"), 0);
    assert_int_equal(uc_server_count(p.server, "GET /"), 0);
}

static void a_connection_set_between_two_sign_ins_counts_from_the_second_on(void **state)
{
    (void)state;
    char manual[96], *why = NULL;
    struct bk_client_connection connection = { .manual_server = manual, .ca_file = p.ca };
    place_client(&p);
    signed_in(&p);

    /* The first server does not answer, the second does; nothing is kept from now on. */
    (void)snprintf(manual, sizeof manual, "srv." DOMAIN ":1  srv." DOMAIN ":%u",
                   uc_server_port(p.server));
    connection.keep_nothing = true;
    int asked = dns_server_asked(p.names, "lyncdiscoverinternal." DOMAIN, "A");
    assert_int_equal(bk_client_set_connection(p.client, &connection, &why), 0);
    assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
    const struct bk_client_event *event = await_event(&p, BK_CLIENT_EVENT_CREDENTIAL);
    assert_string_equal(event->credential.address, ANN); /* what was saved is left alone */
    done(&p, event);
    assert_int_equal(bk_client_credential(p.client, "secret", NULL), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
    assert_int_equal(dns_server_asked(p.names, "lyncdiscoverinternal." DOMAIN, "A"), asked);

    /* And back: the saved certificate is still there. */
    assert_int_equal(
        bk_client_set_connection(p.client, &(struct bk_client_connection){ .ca_file = p.ca }, &why),
        0);
    assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
    assert_int_equal(uc_server_count(p.server, "POST sign-in"), 2);
    assert_null(why);
}

static void a_connection_that_cannot_be_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    char missing[96];
    (void)snprintf(missing, sizeof missing, "%s/missing.pem", p.dir);
    const struct bk_client_connection wrong[] = {
        { .manual_server = "server:port" },
        { .manual_server = "a.test b.test c.test" },
        { .ca_file = missing },
    };
    place_client(&p);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char *why = NULL;
        assert_true(bk_client_set_connection(p.client, &wrong[i], &why) < 0);
        assert_non_null(why);
        free(why);
    }
    signed_in(&p);
}

static void an_old_program_is_told_so_before_any_password_goes_out(void **state)
{
    (void)state;
    uc_server_names(p.server, NULL, 0, ",\"min_client\":\"99.0\"");
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    assert_int_equal(await_failure(&p, "SI-101"), BK_CLIENT_NEXT_STOP);
    assert_int_equal(uc_server_count(p.server, "POST sign-in"), 0);
}

/* ---- refusals ---- */

static void an_address_that_is_none_never_reaches_the_network(void **state)
{
    (void)state;
    static const char *const bad[] = { "o'hara@" DOMAIN, "ann",          "ann@",
                                       "@" DOMAIN,       "a..b@" DOMAIN, "an n@" DOMAIN };
    place_client(&p);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(bk_client_sign_in(p.client, bad[i], "secret", NULL), 0);
        assert_int_equal(await_failure(&p, "SI-111"), BK_CLIENT_NEXT_STOP);
        done(&p, await_state(&p, BK_CLIENT_SIGNED_OUT));
    }
    assert_int_equal(dns_server_asked(p.names, "lyncdiscoverinternal." DOMAIN, "A"), 0);
}

static void a_wrong_password_stops_and_shows_the_servers_case(void **state)
{
    (void)state;
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "wrong", NULL), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_FAILURE);
    assert_string_equal(e->failure.id, "SI-202");
    assert_string_equal(e->failure.case_code, "WR0N-GPW1");
    assert_string_equal(e->failure.user_text, "The address or the password is wrong.");
    assert_int_equal(e->failure.next, BK_CLIENT_NEXT_STOP);
    done(&p, e);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_OUT));
    assert_int_equal(uc_server_count(p.server, "POST sign-in"),
                     1); /* never twice: it locks accounts */
    AWAIT(uc_server_count(p.server, "POST report") == 1);
    char *report = uc_server_seen(p.server, "POST report", 0);
    assert_non_null(strstr(report, "\"case\":\"WR0N-GPW1\""));
    assert_non_null(strstr(report, "lyncdiscoverinternal." DOMAIN));
    assert_null(strstr(report, "wrong\""));
    free(report);
}

static void a_refused_register_stops_with_its_record(void **state)
{
    (void)state;
    uc_server_answer(p.server, "REGISTER", "403 Forbidden",
                     "ms-diagnostics: 95208;reason=\"This account is disabled.\";source=\"srv\";"
                     "record=\"SI-208\";case=\"K7QF-3M2P\"\r\n",
                     0);
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_FAILURE);
    assert_string_equal(e->failure.id, "SI-208");
    assert_string_equal(e->failure.case_code, "K7QF-3M2P");
    assert_int_equal(e->failure.next, BK_CLIENT_NEXT_STOP);
    done(&p, e);
}

static void a_certificate_the_server_does_not_take_is_replaced_once(void **state)
{
    (void)state;
    place_client(&p);
    signed_in(&p);
    uc_server_answer(p.server, "REGISTER", "403 Forbidden",
                     "ms-diagnostics: 95219;reason=\"withdrawn\";source=\"srv\";record=\"SI-219\";"
                     "case=\"K7QF-3M2P\"\r\n",
                     1);
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
    assert_int_equal(await_failure(&p, "SI-219"), BK_CLIENT_NEXT_ASK);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_CREDENTIAL);
    assert_string_equal(e->credential.why, "SI-219");
    done(&p, e);
    assert_false(folder_holds(p.profile, "BEGIN PRIVATE KEY"));
    assert_int_equal(bk_client_credential(p.client, "secret", NULL), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
    assert_int_equal(uc_server_count(p.server, "POST sign-in"), 2);
}

static void a_certificate_refused_twice_does_not_loop(void **state)
{
    (void)state;
    uc_server_answer(
        p.server, "REGISTER", "403 Forbidden",
        "ms-diagnostics: 95105;reason=\"unknown\";source=\"srv\";record=\"SI-105g\"\r\n", 0);
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    assert_int_equal(await_failure(&p, "SI-105g"), BK_CLIENT_NEXT_ASK);
    done(&p, await_event(&p, BK_CLIENT_EVENT_CREDENTIAL));
    assert_int_equal(bk_client_credential(p.client, "secret", NULL), 0);
    assert_int_not_equal(await_failure(&p, "SI-105g"), BK_CLIENT_NEXT_ASK);
}

static void a_busy_server_is_asked_again_when_it_said(void **state)
{
    (void)state;
    uc_server_web(
        p.server, "POST sign-in", 503, NULL,
        "H:Retry-After: 1\n{\"record\":\"SI-404\",\"case\":\"K7QF-3M2P\",\"text\":\"Busy\"}");
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_FAILURE);
    int64_t failed_at = bk_clock_mono_ms(&bk_clock_system);
    assert_string_equal(e->failure.id, "SI-404");
    assert_int_equal(e->failure.next, BK_CLIENT_NEXT_RETRY);
    assert_true(e->failure.retry_in_s >= 1);
    done(&p, e);
    uc_server_web(p.server, "POST sign-in", 0, NULL, NULL);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
    assert_true(bk_clock_mono_ms(&bk_clock_system) - failed_at >= 950);
}

static void the_next_try_can_be_had_now(void **state)
{
    (void)state;
    p.timing.retry_first_ms = p.timing.retry_max_ms = 3600 * 1000;
    uc_server_answer(p.server, "REGISTER", "500 Server Internal Error", "", 1);
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    (void)await_failure(&p, "SI-401");
    done(&p, await_state(&p, BK_CLIENT_RECONNECTING));
    assert_int_equal(bk_client_retry_now(p.client), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
}

static void a_silent_server_is_named_and_tried_again(void **state)
{
    (void)state;
    p.timing.answer_ms = 200;
    uc_server_answer(p.server, "REGISTER", "", "", 1);
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    (void)await_failure(&p, "SI-302");
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
}

/* ---- the server's certificate ---- */

static void expect_tls(const struct pki_request *certificate, const char *id)
{
    place_make(&p, certificate);
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    (void)await_failure(&p, id);
    assert_int_equal(uc_server_count(p.server, "POST sign-in"), 0);
    place_free(&p);
}

static void what_is_wrong_with_the_servers_certificate_is_told_apart(void **state)
{
    (void)state;
    struct pki_cert *stranger =
        pki_make(&(struct pki_request){ .name = "Stranger", .subject_o = "Other", .ca = true });
    expect_tls(&(struct pki_request){ .name = "a", .from_s = -864000, .until_s = -86400 },
               "SI-309a");
    expect_tls(&(struct pki_request){ .name = "a", .san = "DNS:other.test" }, "SI-309c");
    expect_tls(&(struct pki_request){ .name = "a", .issuer = stranger }, "SI-309e");
    expect_tls(&(struct pki_request){ .name = "a", .from_s = 86400, .until_s = 864000 }, "SI-309b");
    pki_free(stranger);
}

/* Answers one plain connection with this text. */
struct plain {
    int listener;
    const char *says;
    pthread_t thread;
};

static void *plain_serve(void *ctx)
{
    struct plain *plain = ctx;
    char asked[2000];
    int fd = accept(plain->listener, NULL, NULL);
    if (fd >= 0 && read(fd, asked, sizeof asked) > 0)
        (void)!write(fd, plain->says, strlen(plain->says));
    if (fd >= 0)
        (void)close(fd);
    return NULL;
}

static uint16_t plain_start(struct plain *plain, const char *says)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof at;
    *plain =
        (struct plain){ .listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .says = says };
    assert_int_equal(bind(plain->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(plain->listener, 4), 0);
    assert_int_equal(getsockname(plain->listener, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(pthread_create(&plain->thread, NULL, plain_serve, plain), 0);
    return ntohs(at.sin_port);
}

static void plain_stop(struct plain *plain)
{
    (void)shutdown(plain->listener, SHUT_RDWR);
    (void)pthread_join(plain->thread, NULL);
    (void)close(plain->listener);
}

static void a_network_that_wants_its_own_sign_in_first_is_not_a_bad_server(void **state)
{
    (void)state;
    static const struct {
        const char *says, *id;
        enum bk_client_next next;
    } cases[] = {
        { "HTTP/1.1 302 Found\r\nLocation: http://login.hotel.test/?to=x\r\nContent-Length: "
          "0\r\n\r\n",
          "SI-312", BK_CLIENT_NEXT_RETRY },
        { "HTTP/1.1 301 Moved\r\nLocation: https://www." DOMAIN "/\r\nContent-Length: 0\r\n\r\n",
          "SI-309e", BK_CLIENT_NEXT_STOP },
        { "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "SI-309e", BK_CLIENT_NEXT_STOP },
        { "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHi", "SI-309e", BK_CLIENT_NEXT_STOP },
        { "what?", "SI-309e", BK_CLIENT_NEXT_STOP },
    };
    struct pki_cert *stranger =
        pki_make(&(struct pki_request){ .name = "Stranger", .subject_o = "Other", .ca = true });
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct plain plain;
        place_make(&p, &(struct pki_request){ .name = "a", .issuer = stranger });
        p.plain_port = plain_start(&plain, cases[i].says);
        place_client(&p);
        assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
        const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_FAILURE);
        assert_string_equal(e->failure.id, cases[i].id);
        assert_int_equal(e->failure.next, cases[i].next);
        if (i == 0)
            assert_non_null(strstr(e->failure.detail, "login.hotel.test"));
        done(&p, e);
        assert_int_equal(uc_server_count(p.server, "POST sign-in"), 0);
        place_free(&p);
        plain_stop(&plain);
    }
    pki_free(stranger);
}

static void a_computer_without_any_authority_is_told_apart_from_a_bad_server(void **state)
{
    (void)state;
    struct pki_cert *stranger = pki_make(&(struct pki_request){ .name = "Stranger", .ca = true });
    const struct pki_cert *chain[] = { stranger, NULL };
    char path[96];
    pki_write(p.dir, "stranger", chain);
    p.no_ca = true;
    for (int known = 0; known < 2; known++) {
        (void)snprintf(path, sizeof path, "%s/%s.pem", p.dir, known ? "stranger" : "nothing");
        assert_int_equal(setenv("SSL_CERT_FILE", path, 1), 0);
        assert_int_equal(setenv("SSL_CERT_DIR", "/nonexistent", 1), 0);
        place_client(&p);
        assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
        (void)await_failure(&p, known ? "SI-309e" : "SI-110");
    }
    /* With the right one it goes on. */
    assert_int_equal(setenv("SSL_CERT_FILE", p.ca, 1), 0);
    place_client(&p);
    signed_in(&p);
    assert_int_equal(unsetenv("SSL_CERT_FILE") + unsetenv("SSL_CERT_DIR"), 0);
    pki_free(stranger);
}

static void a_clock_that_makes_certificates_wrong_is_the_root(void **state)
{
    (void)state;
    static const int64_t off_s[] = { -3 * 86400, 400 * 86400 };
    for (size_t i = 0; i < sizeof off_s / sizeof *off_s; i++) {
        place_make(&p, NULL);
        p.clock_off_ms = off_s[i] * 1000;
        place_client(&p);
        assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
        const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_FAILURE);
        assert_string_equal(e->failure.id, "SI-104");
        char minutes[32];
        (void)snprintf(minutes, sizeof minutes, "%d", (int)(llabs(off_s[i]) / 60));
        if (!strstr(e->failure.user_text, minutes))
            fail_msg("%s minutes are not in: %s", minutes, e->failure.user_text);
        done(&p, e);
        assert_int_equal(uc_server_count(p.server, "POST sign-in"), 0);
        place_free(&p);
    }
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make, unmake)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        IN_PLACE(progress_is_told_in_order),
        IN_PLACE(the_password_is_on_no_disk),
        IN_PLACE(with_a_secret_store_the_key_is_on_no_disk_either),
        IN_PLACE(a_locked_secret_store_asks_for_the_password_and_loses_nothing),
        IN_PLACE(without_a_secret_store_the_file_is_told_once),
        IN_PLACE(a_secret_that_is_gone_is_a_missing_key),
        IN_PLACE(deletion_takes_the_secret_along),
        IN_PLACE(deletion_with_a_locked_store_removes_the_key_and_says_what_stayed),
        IN_PLACE(the_next_start_needs_no_password_and_no_discovery),
        IN_PLACE(without_a_password_it_is_asked_for),
        IN_PLACE(a_required_user_name_is_asked_for_and_remembered),
        IN_PLACE(the_first_request_says_all_that_the_service_needs),
        IN_PLACE(the_endpoint_is_the_same_at_every_start),
        IN_PLACE(a_certificate_past_its_time_is_renewed_unasked),
        IN_PLACE(a_redirect_is_followed_five_times_and_no_more),
        IN_PLACE(a_domain_without_any_name_lists_every_step),
        IN_PLACE(a_failing_resolver_is_not_a_missing_name),
        IN_PLACE(a_name_server_that_says_nothing_is_not_waited_for_at_every_step),
        IN_PLACE(a_name_server_that_answers_something_is_asked_everything),
        IN_PLACE(no_resolver_at_all_is_no_network),
        IN_PLACE(a_service_record_alone_is_enough),
        IN_PLACE(another_page_at_the_discovery_host_is_named),
        IN_PLACE(a_server_of_another_domain_needs_the_persons_word),
        IN_PLACE(a_server_that_is_gone_costs_one_short_try),
        IN_PLACE(a_wrong_manual_server_is_told_apart_from_a_dead_service),
        IN_PLACE(a_manual_server_needs_no_discovery),
        IN_PLACE(a_connection_set_between_two_sign_ins_counts_from_the_second_on),
        IN_PLACE(a_connection_that_cannot_be_is_refused_and_changes_nothing),
        IN_PLACE(an_old_program_is_told_so_before_any_password_goes_out),
        IN_PLACE(an_address_that_is_none_never_reaches_the_network),
        IN_PLACE(a_wrong_password_stops_and_shows_the_servers_case),
        IN_PLACE(a_refused_register_stops_with_its_record),
        IN_PLACE(a_certificate_the_server_does_not_take_is_replaced_once),
        IN_PLACE(a_certificate_refused_twice_does_not_loop),
        IN_PLACE(a_busy_server_is_asked_again_when_it_said),
        IN_PLACE(the_next_try_can_be_had_now),
        IN_PLACE(a_silent_server_is_named_and_tried_again),
        cmocka_unit_test(what_is_wrong_with_the_servers_certificate_is_told_apart),
        IN_PLACE(a_computer_without_any_authority_is_told_apart_from_a_bad_server),
        cmocka_unit_test(a_network_that_wants_its_own_sign_in_first_is_not_a_bad_server),
        cmocka_unit_test(a_clock_that_makes_certificates_wrong_is_the_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
