/* SPDX-License-Identifier: Apache-2.0 */
/* A server that knows the Lync dialect's way in alone: web ticket, certificate, TLS-DSK, signatures. */
#include "unit/client/client_test.h"

#include "base/text.h"
#include "ms/autodiscover.h"
#include "ms/mex.h"

#include <stdio.h>
#include <stdlib.h>

#define TICKET "POST " BK_MS_PATH_WEBTICKET_AUTH
#define CERTIFICATE "POST " BK_MS_PATH_CERTPROV_PROOF

static struct place p;

static int make(void **state)
{
    (void)state;
    place_make(&p, NULL);
    uc_server_lync(p.server);
    uc_server_dialect(p.server, true);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    place_free(&p);
    return 0;
}

static void sign_in_again(const char *password)
{
    assert_int_equal(bk_client_sign_in(p.client, ANN, password, NULL), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
}

static void well_behaved(void)
{
    assert_int_equal(uc_server_count(p.server, "BAD SIGNATURE"), 0);
    assert_int_equal(uc_server_count(p.server, "CLIENT CERTIFICATE"), 0);
    assert_int_equal(uc_server_count(p.server, "POST sign-in"), 0);
    assert_false(folder_holds(p.profile, "secret"));
}

/* ---- the good way ---- */

static void its_document_leads_in(void **state)
{
    (void)state;
    place_client(&p);
    signed_in(&p);
    assert_int_equal(uc_server_count(p.server, TICKET), 1);
    assert_int_equal(uc_server_count(p.server, CERTIFICATE), 1);
    assert_true(folder_holds(p.profile, "BEGIN PRIVATE KEY"));
    assert_true(folder_holds(p.profile, "BEGIN CERTIFICATE"));
    AWAIT(uc_server_count(p.server, "SUBSCRIBE") > 1);
    well_behaved();
}

static void the_password_goes_once_and_to_the_ticket_service_alone(void **state)
{
    (void)state;
    place_client(&p);
    signed_in(&p);
    char *body = uc_server_seen(p.server, TICKET, 0);
    assert_non_null(strstr(body, "<auth:Value>sip:" ANN "</auth:Value>"));
    assert_null(strstr(body, "secret"));
    free(body);
    for (int i = 0; (body = uc_server_seen(p.server, "REGISTER", i)); i++) {
        assert_null(strstr(body, "secret"));
        free(body);
    }
}

static void srv_leads_in_where_there_is_no_document(void **state)
{
    (void)state;
    char target[64];
    (void)snprintf(target, sizeof target, "0 0 %u srv." DOMAIN, uc_server_port(p.server));
    uc_server_web(p.server, "GET /", 404, "text/plain", "not here");
    dns_server_add(p.names, "_sipinternaltls._tcp." DOMAIN, "SRV", target);
    place_client(&p);
    signed_in(&p);
    well_behaved();
    /* The first REGISTER was of a client that hopes for services of ours, the second of one of the dialect. */
    int n = uc_server_count(p.server, "REGISTER");
    char *first = uc_server_seen(p.server, "REGISTER", n - 1);
    char *second = uc_server_seen(p.server, "REGISTER", n - 2);
    assert_null(strstr(first, ";epid="));
    assert_non_null(strstr(second, ";epid="));
    free(first);
    free(second);
}

static void a_register_says_what_such_servers_ask_for(void **state)
{
    (void)state;
    place_client(&p);
    signed_in(&p);
    char *request = uc_server_seen(p.server, "REGISTER", 0);
    static const char *const lines[] = { ";epid=",
                                         "+sip.instance=\"<urn:uuid:",
                                         "proxy=replace",
                                         "\r\nSupported: gruu-10\r\n",
                                         "\r\nSupported: msrtc-event-categories\r\n",
                                         "\r\nEvent: registration\r\n",
                                         "\r\nms-keep-alive: UAC;hop-hop=yes\r\n",
                                         "\r\nAuthorization: TLS-DSK qop=\"auth\", opaque=\"",
                                         "crand=\"",
                                         "cnum=\"1\"",
                                         "response=\"" };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(request, lines[i]))
            fail_msg("%s is missing in %s", lines[i], request);
    assert_null(strstr(request, "\r\nExpires:"));
    assert_null(strstr(request, "gssapi-data"));
    free(request);
    /* And from then on the server's name for this endpoint stands in every Contact. */
    AWAIT(uc_server_count(p.server, "SUBSCRIBE") > 0);
    request = uc_server_seen(p.server, "SUBSCRIBE", 0);
    assert_non_null(
        strstr(request, "\r\nContact: <sip:ann@example.test;opaque=user:epid:AAA;gruu>"));
    assert_non_null(strstr(request, ";epid="));
    free(request);
}

static void the_next_start_needs_no_password_and_no_ticket(void **state)
{
    (void)state;
    place_client(&p);
    signed_in(&p);
    int asked = dns_server_asked(p.names, "lyncdiscoverinternal." DOMAIN, "A");
    place_client(&p);
    sign_in_again(NULL);
    assert_int_equal(dns_server_asked(p.names, "lyncdiscoverinternal." DOMAIN, "A"), asked);
    assert_int_equal(uc_server_count(p.server, TICKET), 1);
    well_behaved();
}

static void without_a_password_it_is_asked_for(void **state)
{
    (void)state;
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
    done(&p, await_event(&p, BK_CLIENT_EVENT_CREDENTIAL));
    assert_int_equal(uc_server_count(p.server, TICKET), 0);
    assert_int_equal(bk_client_credential(p.client, "secret", NULL), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
}

static void signing_out_is_signed(void **state)
{
    (void)state;
    place_client(&p);
    signed_in(&p);
    assert_int_equal(bk_client_sign_out(p.client), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_OUT));
    char *request = uc_server_seen(p.server, "REGISTER", 0);
    assert_non_null(strstr(request, "\r\nExpires: 0\r\n"));
    assert_non_null(strstr(request, "response=\""));
    free(request);
    assert_false(uc_server_registered(p.server));
    well_behaved();
}

/* ---- proved anew ---- */

static void
before_the_association_ends_the_person_is_proved_anew_on_the_same_connection(void **state)
{
    (void)state;
    p.timing.prove_ms = 3000;
    place_client(&p);
    signed_in(&p);
    int before = uc_server_count(p.server, "REGISTER");
    AWAIT(uc_server_count(p.server, "REGISTER") >= before + 4);
    char *request = uc_server_seen(p.server, "REGISTER", 0);
    assert_non_null(strstr(request, "opaque=\"OPAQUE02\""));
    free(request);
    /* What comes under the new one is believed, what goes is right. */
    uint64_t id;
    assert_int_equal(bk_client_send_message(p.client, "bob@" DOMAIN, "after it", &id), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_MESSAGE_STATE);
    done(&p, e);
    AWAIT(uc_server_count(p.server, "MESSAGE") + uc_server_count(p.server, "INVITE") > 0);
    assert_null(strstr(p.text, "failure"));
    assert_null(strstr(p.text, "reconnecting"));
    well_behaved();
}

static void a_refresh_that_is_challenged_is_proved_anew(void **state)
{
    (void)state;
    uc_server_grants(p.server, 2);
    place_client(&p);
    signed_in(&p);
    /* The association is over there, although its time is not: as with a policy of fewer hours. */
    uc_server_answer(p.server, "REGISTER", "401 Unauthorized",
                     "WWW-Authenticate: TLS-DSK realm=\"SIP Communications Service\", "
                     "targetname=\"srv." DOMAIN "\", version=4, sts-uri=\"https://srv." DOMAIN
                     "/CertProv\"\r\n",
                     1);
    char *request = NULL;
    AWAIT((free(request), request = uc_server_seen(p.server, "REGISTER", 0)) &&
          strstr(request, "opaque=\"OPAQUE02\"") && strstr(request, "response="));
    free(request);
    AWAIT(uc_server_registered(p.server));
    assert_null(strstr(p.text, "failure"));
    well_behaved();
}

static void a_certificate_that_ends_soon_is_renewed_with_the_password_at_hand(void **state)
{
    (void)state;
    uc_server_life(p.server, 4);
    place_client(&p);
    signed_in(&p);
    uc_server_life(p.server, 0);
    AWAIT(uc_server_count(p.server, CERTIFICATE) == 2);
    int before = uc_server_count(p.server, "REGISTER");
    AWAIT(uc_server_count(p.server, "REGISTER") >= before + 3);
    assert_null(strstr(p.text, "failure"));
    well_behaved();
    /* The new one is what the next start uses. */
    place_client(&p);
    sign_in_again(NULL);
    assert_int_equal(uc_server_count(p.server, CERTIFICATE), 2);
}

static void past_its_two_thirds_a_password_given_anew_renews_it(void **state)
{
    (void)state;
    uc_server_life(p.server, 30);
    place_client(&p);
    signed_in(&p);
    uc_server_life(p.server, 0);
    p.clock_off_ms = 25 * 1000;
    place_client(&p);
    sign_in_again("secret");
    assert_int_equal(uc_server_count(p.server, CERTIFICATE), 2);
}

/* ---- refusals ---- */

static void a_wrong_password_is_told_with_the_servers_case(void **state)
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
    assert_int_equal(folder_holds(p.profile, "PRIVATE KEY"), 0);
}

/* Refused with that record in the last REGISTER, asked for the password, and in again with a new certificate. */
static void replaced_after(const char *record)
{
    char fields[200];
    place_client(&p);
    signed_in(&p);
    (void)snprintf(fields, sizeof fields,
                   "ms-diagnostics: 95105;reason=\"no more\";source=\"srv\";record=\"%s\";"
                   "case=\"K7QF-3M2P\"\r\n",
                   record);
    uc_server_answer(p.server, "REGISTER", "403 Forbidden", fields, 1);
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, NULL, NULL), 0);
    assert_int_equal(await_failure(&p, record), BK_CLIENT_NEXT_ASK);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_CREDENTIAL);
    assert_string_equal(e->credential.why, record);
    done(&p, e);
    assert_false(folder_holds(p.profile, "PRIVATE KEY"));
    assert_int_equal(bk_client_credential(p.client, "secret", NULL), 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
    assert_int_equal(uc_server_count(p.server, CERTIFICATE), 2);
    well_behaved();
}

static void an_expired_certificate_is_replaced(void **state)
{
    (void)state;
    replaced_after("SI-105a");
}

static void a_revoked_certificate_is_replaced(void **state)
{
    (void)state;
    replaced_after("SI-219");
}

static void a_clock_that_is_off_is_named(void **state)
{
    (void)state;
    uc_server_web(p.server, TICKET, 200, "text/xml",
                  "H:X-Ms-diagnostics:1013;reason=\"Your clock\";source=\"srv\";record=\"SI-104\"\n"
                  "<e:Envelope xmlns:e=\"e\"><e:Body><e:Fault><faultcode>x</faultcode>"
                  "<faultstring>no</faultstring></e:Fault></e:Body></e:Envelope>");
    p.clock_off_ms = 400 * 1000;
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_FAILURE);
    assert_string_equal(e->failure.id, "SI-104");
    assert_int_equal(e->failure.next, BK_CLIENT_NEXT_RETRY);
    done(&p, e);
}

static void ways_that_this_app_does_not_know_are_named(void **state)
{
    (void)state;
    uc_server_offers(p.server,
                     "WWW-Authenticate: NTLM realm=\"r\", targetname=\"t\", version=4\r\n"
                     "WWW-Authenticate: Kerberos realm=\"r\", targetname=\"t\", version=4\r\n",
                     NULL);
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_FAILURE);
    assert_string_equal(e->failure.id, "SI-102");
    assert_non_null(strstr(e->failure.detail, "offered: NTLM, Kerberos; this app: TLS-DSK"));
    assert_non_null(strstr(e->failure.user_text, "cannot use the way of signing in"));
    assert_int_equal(e->failure.next, BK_CLIENT_NEXT_STOP);
    done(&p, e);
    assert_int_equal(uc_server_count(p.server, TICKET), 0);
}

static void a_number_alone_says_which_record_it_is(void **state)
{
    (void)state;
    place_client(&p);
    uc_server_answer(p.server, "REGISTER", "403 Forbidden",
                     "ms-diagnostics: 4003;reason=\"not from outside\";source=\"edge\"\r\n", 1);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_FAILURE);
    assert_string_equal(e->failure.id, "SI-213");
    assert_string_equal(e->failure.user_text, "not from outside");
    done(&p, e);
}

static void a_ticket_service_without_passwords_is_named(void **state)
{
    (void)state;
    uc_server_web(p.server, TICKET, 401, "text/plain",
                  "H:WWW-Authenticate:Negotiate\nH:WWW-Authenticate:NTLM\nwho?");
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_FAILURE);
    assert_string_equal(e->failure.id, "SI-102");
    assert_non_null(strstr(e->failure.detail, "offered: Negotiate, NTLM"));
    done(&p, e);
}

static void a_certificate_of_somebody_else_is_not_taken(void **state)
{
    (void)state;
    char answer[600];
    (void)snprintf(answer, sizeof answer,
                   "<e:Envelope xmlns:e=\"e\"><e:Body><GetAndPublishCertResponse>"
                   "<RequestSecurityTokenResponse><RequestedSecurityToken><BinarySecurityToken>"
                   "AAAA</BinarySecurityToken></RequestedSecurityToken>"
                   "</RequestSecurityTokenResponse></GetAndPublishCertResponse></e:Body>"
                   "</e:Envelope>");
    uc_server_web(p.server, CERTIFICATE, 200, "text/xml", answer);
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    (void)await_failure(&p, "SI-305");
    assert_false(folder_holds(p.profile, "PRIVATE KEY"));
}

/* ---- where the password may go ---- */

static void certificates_are_asked_for_over_https_alone(void **state)
{
    (void)state;
    uc_server_offers(p.server, NULL, "http://srv." DOMAIN "/CertProv");
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    (void)await_failure(&p, "SI-305");
    assert_int_equal(uc_server_count(p.server, TICKET), 0);
}

static void a_ticket_service_outside_the_domain_needs_trust(void **state)
{
    (void)state;
    uc_server_offers(p.server, NULL, "https://elsewhere.test/CertProv");
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_TRUST);
    assert_string_equal(e->trust.server, "elsewhere.test");
    done(&p, e);
    assert_int_equal(bk_client_trust(p.client, BK_CLIENT_TRUST_NO), 0);
    (void)await_failure(&p, "SI-114");
    assert_int_equal(uc_server_count(p.server, TICKET), 0);
}

/* ---- signatures of the server ---- */

#define MESSAGE(n)                                                                                 \
    "MESSAGE sip:ann@" DOMAIN " SIP/2.0\r\nVia: SIP/2.0/TLS srv;branch=z9hG4bKm" n "\r\n"          \
    "Max-Forwards: 70\r\nFrom: <sip:bob@" DOMAIN ">;tag=b\r\nTo: <sip:ann@" DOMAIN ">\r\n"         \
    "Call-ID: m" n                                                                                 \
    "\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\n" n

static void a_forged_message_is_not_shown_and_a_good_one_is(void **state)
{
    (void)state;
    place_client(&p);
    signed_in(&p);
    AWAIT(uc_server_count(p.server, "SUBSCRIBE") > 1);
    uc_server_forge(p.server, 1);
    uc_server_send(p.server, MESSAGE("1"));
    uc_server_send(p.server, MESSAGE("2"));
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_MESSAGE);
    assert_string_equal(e->message.text, "2");
    done(&p, e);
}

static void many_forged_ones_end_the_connection_and_it_is_made_anew(void **state)
{
    (void)state;
    place_client(&p);
    signed_in(&p);
    AWAIT(uc_server_count(p.server, "SUBSCRIBE") > 1);
    uc_server_forge(p.server, 5);
    for (int i = 0; i < 5; i++)
        uc_server_send(p.server, MESSAGE("1"));
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_FAILURE);
    assert_string_equal(e->failure.id, "SI-316");
    assert_int_equal(e->failure.next, BK_CLIENT_NEXT_RETRY);
    assert_non_null(strstr(e->failure.detail, "MESSAGE has a wrong signature"));
    done(&p, e);
    uc_server_forge(p.server, 0);
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
    assert_null(strstr(p.text, "message bob"));
}

static void a_server_that_does_not_show_the_keys_is_not_believed(void **state)
{
    (void)state;
    place_client(&p);
    uc_server_forge(p.server, 1);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    assert_int_equal(await_failure(&p, "SI-316"), BK_CLIENT_NEXT_RETRY);
    assert_null(strstr(p.text, "signed-in"));
    done(&p, await_state(&p, BK_CLIENT_SIGNED_IN));
}

/* ---- leaving nothing ---- */

static void deleting_leaves_nothing(void **state)
{
    (void)state;
    place_client(&p);
    signed_in(&p);
    assert_int_equal(bk_client_delete_sign_in_info(p.client, ANN), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_DELETED);
    for (int i = 0; i < e->deleted.n_rows; i++)
        if (!e->deleted.rows[i].ok)
            fail_msg("%s: %s", e->deleted.rows[i].what, e->deleted.rows[i].result);
    done(&p, e);
    assert_int_equal(folder_files(p.profile), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, unmake)
        TEST(its_document_leads_in),
        TEST(the_password_goes_once_and_to_the_ticket_service_alone),
        TEST(srv_leads_in_where_there_is_no_document),
        TEST(a_register_says_what_such_servers_ask_for),
        TEST(the_next_start_needs_no_password_and_no_ticket),
        TEST(without_a_password_it_is_asked_for),
        TEST(signing_out_is_signed),
        TEST(before_the_association_ends_the_person_is_proved_anew_on_the_same_connection),
        TEST(a_refresh_that_is_challenged_is_proved_anew),
        TEST(a_certificate_that_ends_soon_is_renewed_with_the_password_at_hand),
        TEST(past_its_two_thirds_a_password_given_anew_renews_it),
        TEST(a_wrong_password_is_told_with_the_servers_case),
        TEST(an_expired_certificate_is_replaced),
        TEST(a_revoked_certificate_is_replaced),
        TEST(a_clock_that_is_off_is_named),
        TEST(ways_that_this_app_does_not_know_are_named),
        TEST(a_number_alone_says_which_record_it_is),
        TEST(a_ticket_service_without_passwords_is_named),
        TEST(a_certificate_of_somebody_else_is_not_taken),
        TEST(certificates_are_asked_for_over_https_alone),
        TEST(a_ticket_service_outside_the_domain_needs_trust),
        TEST(a_forged_message_is_not_shown_and_a_good_one_is),
        TEST(many_forged_ones_end_the_connection_and_it_is_made_anew),
        TEST(a_server_that_does_not_show_the_keys_is_not_believed),
        TEST(deleting_leaves_nothing),
    };
    return cmocka_run_group_tests_name("client lync", tests, NULL, NULL);
}
