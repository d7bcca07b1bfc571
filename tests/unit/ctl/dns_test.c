/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl_run.h"
#include "fakes/dns_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static struct dns_server *server;
static char at[32];

static int set_up(void **state)
{
    server = dns_server_start();
    snprintf(at, sizeof at, "127.0.0.1:%u", dns_server_port(server));
    return ctl_run_set_up(state);
}

static int tear_down(void **state)
{
    dns_server_stop(server);
    return ctl_run_tear_down(state);
}

/* State of a name in what dns check --json printed. */
static const char *state_of(const json_t *rows, const char *name)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (!strcmp(json_string_value(json_object_get(row, "name")), name))
            return json_string_value(json_object_get(row, "state"));
    }
    fail_msg("%s was not looked up", name);
    return "";
}

/* Feeds what beckonctl dns prints to the name server. */
static void publish(void)
{
    size_t i;
    json_t *row;
    assert_int_equal(RUN("dns", "--json"), CTL_OK);
    json_t *rows = printed();
    assert_int_equal(json_array_size(rows), 6);
    json_array_foreach(rows, i, row)
    {
        dns_server_add(server, json_string_value(json_object_get(row, "name")),
                       json_string_value(json_object_get(row, "type")),
                       json_string_value(json_object_get(row, "value")));
    }
    json_decref(rows);
}

static void the_lines_that_are_printed_are_right_once_they_are_there(void **state)
{
    (void)state;
    publish();
    assert_int_equal(RUN("dns", "check", "--server", at), CTL_OK);
    said(out_text, "All 6 are as they should be.");
    assert_int_equal(dns_server_asked(server, "_sip._tls.example.org", "SRV"), 1);
}

static void what_is_missing_or_wrong_is_named(void **state)
{
    (void)state;
    dns_server_add(server, "_sip._tls.example.org", "SRV", "0 0 443 sip.example.org");
    dns_server_add(server, "_sips._tcp.example.org", "SRV", "0 0 5061 old.example.org");
    dns_server_add(server, "_sipinternaltls._tcp.example.org", "SRV", "5 0 5061 sip.example.org");
    dns_server_add(server, "sip.example.org", "A", "192.0.2.99");
    dns_server_add(server, "lyncdiscover.example.org", "A", "127.0.0.1");
    assert_int_equal(RUN("dns", "check", "--server", at), CTL_FAILED);
    said(out_text, "sip.example.org:443");
    said(out_text, "old.example.org:5061");
    said(out_text, "192.0.2.99");
    said(out_text, "4 of 6");
    assert_int_equal(RUN("dns", "check", "--server", at, "--json"), CTL_FAILED);
    json_t *rows = printed();
    assert_string_equal(state_of(rows, "_sip._tls.example.org"), "wrong");
    assert_string_equal(state_of(rows, "_sips._tcp.example.org"), "wrong");
    assert_string_equal(state_of(rows, "_sipinternaltls._tcp.example.org"), "right");
    assert_string_equal(state_of(rows, "sip.example.org"), "wrong");
    assert_string_equal(state_of(rows, "lyncdiscover.example.org"), "right");
    assert_string_equal(state_of(rows, "lyncdiscoverinternal.example.org"), "missing");
    json_decref(rows);
}

static void a_server_that_fails_is_not_a_missing_record(void **state)
{
    (void)state;
    publish();
    dns_server_fault(server, "_sip._tls.example.org", "SRV", DNS_SERVFAIL);
    assert_int_equal(RUN("dns", "check", "--server", at, "--json"), CTL_FAILED);
    json_t *rows = printed();
    assert_string_equal(state_of(rows, "_sip._tls.example.org"), "unanswered");
    assert_string_equal(state_of(rows, "sip.example.org"), "right");
    json_decref(rows);
}

static void every_domain_has_its_lines_and_addresses_go_into_them(void **state)
{
    (void)state;
    assert_int_equal(RUN("domain", "add", "example.net"), CTL_OK);
    assert_int_equal(RUN("dns", "--address", "203.0.113.5, 2001:db8::5"), CTL_OK);
    said(out_text, "SRV   0 0 5061 sip.example.net.");
    said(out_text, "A     203.0.113.5");
    said(out_text, "AAAA  2001:db8::5");
    said(out_text, "port 443, where this server does not listen");
    assert_int_equal(RUN("dns", "--domain", "example.net", "--json"), CTL_OK);
    json_t *rows = printed();
    assert_int_equal(json_array_size(rows), 6);
    json_decref(rows);
    assert_int_equal(RUN("dns", "--domain", "example.com"), CTL_FAILED);
    assert_int_equal(RUN("dns", "--address", "server"), CTL_USAGE);
}

static void who_may_come_without_tls_finds_that_port(void **state)
{
    (void)state;
    FILE *to = fopen(config, "a");
    assert_non_null(to);
    fputs("\n[listen]\ntcp = 127.0.0.1:5070\n", to);
    fclose(to);
    assert_int_equal(RUN("dns"), CTL_OK);
    said(out_text, "_sipinternal._tcp.example.org.");
    said(out_text, "_sip._tcp.example.org.");
    said(out_text, "SRV   0 0 5070 sip.example.org.");
    said(out_text, "SRV   0 0 5061 sip.example.org.");
    dns_server_add(server, "_sipinternal._tcp.example.org", "SRV", "0 0 5070 sip.example.org");
    dns_server_add(server, "_sip._tcp.example.org", "SRV", "0 0 5061 sip.example.org");
    assert_int_equal(RUN("dns", "check", "--server", at, "--json"), CTL_FAILED);
    json_t *rows = printed();
    assert_int_equal(json_array_size(rows), 8);
    assert_string_equal(state_of(rows, "_sipinternal._tcp.example.org"), "right");
    assert_string_equal(state_of(rows, "_sip._tcp.example.org"), "wrong");
    json_decref(rows);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(the_lines_that_are_printed_are_right_once_they_are_there),
        CASE(what_is_missing_or_wrong_is_named),
        CASE(a_server_that_fails_is_not_a_missing_record),
        CASE(every_domain_has_its_lines_and_addresses_go_into_them),
        CASE(who_may_come_without_tls_finds_that_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
