/* SPDX-License-Identifier: Apache-2.0 */
/* With a server that speaks the Lync dialect: lists followed, publications settled, edits ended, and plain presence where not. */
#include "unit/client/client_test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define BOB "bob@" DOMAIN
#define CONTACTS "vnd-microsoft-roaming-contacts"
#define SELF "vnd-microsoft-roaming-self"
#define SELF_TYPE "application/vnd-microsoft-roaming-self+xml"
#define LIST_TYPE "application/vnd-microsoft-roaming-contacts+xml"
#define SOAP_TYPE "application/SOAP+xml"
#define DONE(method, inner)                                                                        \
    "<E:Envelope xmlns:E='http://schemas.xmlsoap.org/soap/envelope/'><E:Body><" method ">" inner   \
    "</" method "></E:Body></E:Envelope>"

static struct place p;

static int make(void **state)
{
    (void)state;
    place_make(&p, NULL);
    uc_server_dialect(p.server, true);
    uc_server_body(p.server, CONTACTS, LIST_TYPE,
                   "<contactList deltaNum='7'><group id='1' name='~'/><group id='2' name='Team'/>"
                   "<contact uri='" BOB "' name='Bob' groups='1 2' subscribed='true'/>"
                   "</contactList>");
    uc_server_body(p.server, SELF, SELF_TYPE, "<roamingData><categories/></roamingData>");
    return 0;
}

static int make_signed_in(void **state)
{
    (void)make(state);
    place_client(&p);
    signed_in(&p);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    place_free(&p);
    return 0;
}

/* How many SUBSCRIBEs asked for that event; the last one's Call-ID and From where wanted. */
static int asked_for(const char *event, char call_id[100], char from[200])
{
    char needle[80], *text;
    int n = 0;
    (void)snprintf(needle, sizeof needle, "\r\nEvent: %s\r\n", event);
    for (int i = 0; (text = uc_server_seen(p.server, "SUBSCRIBE", i)); i++) {
        if (strstr(text, needle) && n++ == 0 && call_id) {
            (void)sscanf(strstr(text, "\r\nCall-ID: "), " Call-ID: %99s", call_id);
            (void)sscanf(strstr(text, "\r\nFrom: "), " From: %199s", from);
        }
        free(text);
    }
    return n;
}

static void benotify(const char *event, const char *content_type, const char *body)
{
    static unsigned cseq = 10;
    char call_id[100] = "", from[200] = "", text[3000];
    AWAIT(asked_for(event, call_id, from) > 0);
    cseq++;
    (void)snprintf(text, sizeof text,
                   "BENOTIFY sip:ann@127.0.0.1;transport=tls SIP/2.0\r\n"
                   "Via: SIP/2.0/TLS srv." DOMAIN ";branch=z9hG4bKb%u\r\nMax-Forwards: 70\r\n"
                   "From: <sip:" ANN ">;tag=sub\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %u BENOTIFY\r\n"
                   "Event: %s\r\nsubscription-state: active;expires=600\r\n"
                   "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
                   cseq, from, call_id, cseq, event, content_type, strlen(body), body);
    uc_server_send(p.server, text);
}

static uint64_t edit(struct bk_client_edit wish)
{
    uint64_t id = 0;
    assert_int_equal(bk_client_edit(p.client, &wish, &id), 0);
    return id;
}

/* What the next edit ended with: "" for done. */
static void expect_edited(uint64_t id, const char *text)
{
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_EDITED);
    assert_int_equal(e->edited.id, id);
    assert_string_equal(e->edited.text, text);
    assert_int_equal(e->edited.done, !*text);
    done(&p, e);
}

static void a_server_without_the_dialect_gets_plain_presence_and_edits_fail(void **state)
{
    (void)state;
    uc_server_dialect(p.server, false);
    place_client(&p);
    signed_in(&p);
    assert_true(uc_server_count(p.server, "PUBLISH") > 0);
    assert_int_equal(uc_server_count(p.server, "SERVICE"), 0);
    assert_int_equal(asked_for(CONTACTS, NULL, NULL), 0);
    expect_edited(edit((struct bk_client_edit){ .kind = BK_CLIENT_EDIT_TELL }),
                  "This server offers no contact lists, relations or searches.");
}

static void a_server_that_refuses_its_own_offer_gets_plain_presence_too(void **state)
{
    (void)state;
    uc_server_answer(p.server, "SUBSCRIBE", "489 Bad Event", "", 2);
    place_client(&p);
    signed_in(&p);
    AWAIT(uc_server_count(p.server, "PUBLISH") > 0);
    assert_int_equal(uc_server_count(p.server, "SERVICE"), 0);
}

static void own_data_that_cannot_be_read_keep_nobody_from_signing_in(void **state)
{
    (void)state;
    uc_server_body(p.server, SELF, SELF_TYPE, "<roaming");
    place_client(&p);
    signed_in(&p);
    assert_int_equal(uc_server_count(p.server, "SERVICE"), 0); /* the versions are not known */
    benotify(SELF, SELF_TYPE, "<roamingData><categories/></roamingData>");
    AWAIT(uc_server_count(p.server, "SERVICE") == 1);
}

static void the_list_is_told_whole_and_then_by_its_changes(void **state)
{
    (void)state;
    place_client(&p);
    assert_int_equal(bk_client_sign_in(p.client, ANN, "secret", NULL), 0);
    const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_CONTACTS);
    assert_true(e->contacts.whole);
    assert_int_equal(e->contacts.n_groups, 2);
    assert_int_equal(e->contacts.n_contacts, 1);
    assert_string_equal(e->contacts.contacts[0].address, BOB);
    assert_string_equal(e->contacts.contacts[0].name, "Bob");
    assert_int_equal(e->contacts.contacts[0].n_groups, 2);
    assert_string_equal(e->contacts.contacts[0].groups[1], "Team");
    done(&p, e);
    benotify(CONTACTS, LIST_TYPE,
             "<contactDelta deltaNum='8' prevDeltaNum='7'><addedContact uri='sip:cyd@" DOMAIN
             "' groups='2'/><deletedContact uri='sip:" BOB "'/></contactDelta>");
    e = await_event(&p, BK_CLIENT_EVENT_CONTACTS);
    assert_false(e->contacts.whole);
    assert_int_equal(e->contacts.n_contacts, 1);
    assert_string_equal(e->contacts.contacts[0].address, "cyd@" DOMAIN);
    assert_int_equal(e->contacts.n_gone, 1);
    assert_string_equal(e->contacts.gone[0], BOB);
    done(&p, e);
    assert_int_equal(uc_server_count(p.server, "200 BENOTIFY"), 0); /* nobody answers these */
}

static void a_change_that_got_lost_makes_the_list_be_asked_for_anew(void **state)
{
    (void)state;
    int n = asked_for(CONTACTS, NULL, NULL);
    uc_server_body(p.server, CONTACTS, LIST_TYPE,
                   "<contactList deltaNum='9'><group id='1' name='~'/></contactList>");
    benotify(CONTACTS, LIST_TYPE,
             "<contactDelta deltaNum='9' prevDeltaNum='8'><addedGroup id='3' name='x'/>"
             "</contactDelta>");
    for (bool whole = false; !whole;) {
        const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_CONTACTS);
        whole = e->contacts.whole && e->contacts.n_groups == 1 && !e->contacts.n_contacts;
        done(&p, e);
    }
    assert_int_equal(asked_for(CONTACTS, NULL, NULL), n + 1);
}

static void a_conflict_is_answered_once_with_the_version_it_named(void **state)
{
    (void)state;
    uc_server_answer(p.server, "SERVICE", "409 Conflict", "", 0); /* for ever */
    uc_server_body(p.server, "SERVICE", "application/msrtc-fault+xml",
                   "<Fault><Faultcode>Client.BadCall.WrongDelta</Faultcode><details>"
                   "<operation index='1' curVersion='41'/></details></Fault>");
    place_client(&p);
    signed_in(&p); /* in spite of it */
    assert_int_equal(uc_server_count(p.server, "SERVICE"), 2);
    char *second = uc_server_seen(p.server, "SERVICE", 0);
    assert_non_null(strstr(second, "container=\"2\" version=\"41\""));
    assert_non_null(strstr(second, "container=\"3\" version=\"0\""));
    free(second);
}

static void a_status_is_published_with_the_versions_the_server_told(void **state)
{
    (void)state;
    benotify(SELF, SELF_TYPE,
             "<roamingData><categories><category name='state' instance='536870912' container='3' "
             "version='6'/></categories><containers/></roamingData>");
    done(&p, await_event(&p, BK_CLIENT_EVENT_RELATIONS)); /* it was read */
    int n = uc_server_count(p.server, "SERVICE");
    assert_int_equal(bk_client_set_status(p.client, BK_PIDF_MANUAL_DND), 0);
    AWAIT(uc_server_count(p.server, "SERVICE") == n + 1);
    char *last = uc_server_seen(p.server, "SERVICE", 0);
    assert_non_null(strstr(last, "<availability>9500</availability>"));
    assert_non_null(strstr(last, "instance=\"536870912\" container=\"3\" version=\"6\""));
    assert_null(strstr(last, "machineState")); /* only what was chosen now */
    free(last);
}

static char bobs_name[64];

static void expect_bob(enum bk_pidf_shown shown, const char *note)
{
    for (bool found = false; !found;) {
        const struct bk_client_event *e = await_event(&p, BK_CLIENT_EVENT_PRESENCE);
        found = strcmp(e->presence.address, BOB) == 0 && e->presence.shown == shown &&
                strcmp(e->presence.note, note) == 0;
        if (found)
            (void)snprintf(bobs_name, sizeof bobs_name, "%s", e->presence.name);
        done(&p, e);
    }
}

static void who_is_on_the_list_is_watched_and_unknown_without_a_connection(void **state)
{
    (void)state;
    benotify("presence", "application/msrtc-event-categories+xml",
             "<categories uri='sip:" BOB "'><category name='state' instance='1'><state "
             "xmlns:x='http://www.w3.org/2001/XMLSchema-instance' x:type='aggregateState'>"
             "<availability>6500</availability><activity token='on-the-phone'/></state></category>"
             "<category name='note'><note><body type='personal'>later</body></note></category>"
             "<category name='contactCard'><contactCard><identity><name><displayName>" BOB
             "</displayName></name></identity></contactCard></category></categories>");
    expect_bob(BK_PIDF_SHOWN_IN_CALL, "later");
    assert_string_equal(bobs_name, ""); /* the address in the place of a name is no name */
    benotify("presence", "application/msrtc-event-categories+xml",
             "<categories uri='sip:" BOB "'><category name='contactCard'><contactCard><identity>"
             "<name><displayName>Bob Łuczak</displayName></name></identity></contactCard>"
             "</category></categories>");
    expect_bob(BK_PIDF_SHOWN_IN_CALL, "later"); /* a name alone is news, too */
    assert_string_equal(bobs_name, "Bob Łuczak");
    benotify("presence", "application/msrtc-event-categories+xml",
             "<categories uri='sip:" BOB "'><category name='state' instance='1'><state>"
             "<availability>15500</availability></state></category></categories>");
    expect_bob(BK_PIDF_SHOWN_AWAY, "later"); /* of the note nothing was said */
    uc_server_drop(p.server);
    expect_bob(BK_PIDF_SHOWN_UNKNOWN, "");
    assert_string_equal(bobs_name, "Bob Łuczak");
}

static void an_edit_is_done_when_the_list_shows_it(void **state)
{
    (void)state;
    uc_server_body(p.server, "SERVICE", SOAP_TYPE,
                   DONE("addGroup", "<groupID>3</groupID><deltaNum>8</deltaNum>"));
    int n = uc_server_count(p.server, "SERVICE");
    uint64_t id =
        edit((struct bk_client_edit){ .kind = BK_CLIENT_EDIT_ADD_GROUP, .group = "A <b>" });
    AWAIT(uc_server_count(p.server, "SERVICE") == n + 1);
    char *request = uc_server_seen(p.server, "SERVICE", 0);
    assert_non_null(strstr(request, "A &lt;b&gt;"));
    assert_non_null(strstr(request, "<m:deltaNum>7</m:deltaNum>"));
    free(request);
    benotify(CONTACTS, LIST_TYPE,
             "<contactDelta deltaNum='8' prevDeltaNum='7'><addedGroup id='3' name='A'/>"
             "</contactDelta>");
    expect_edited(id, "");
    assert_non_null(strstr(p.text, "contacts"));
}

static void edits_end_with_the_connection_and_none_waits_for_one(void **state)
{
    (void)state;
    uc_server_answer(p.server, "SERVICE", "", "", 0); /* swallowed */
    int n = uc_server_count(p.server, "SERVICE");
    uint64_t first = edit((struct bk_client_edit){ .kind = BK_CLIENT_EDIT_BLOCK, .address = BOB });
    uint64_t second = edit((struct bk_client_edit){ .kind = BK_CLIENT_EDIT_SEARCH, .text = "bob" });
    AWAIT(uc_server_count(p.server, "SERVICE") == n + 1); /* one after the other */
    uc_server_down(p.server, true);
    expect_edited(first, "The connection to the server was lost before it answered.");
    expect_edited(second, "The connection to the server was lost before it answered.");
    done(&p, await_state(&p, BK_CLIENT_RECONNECTING));
    expect_edited(edit((struct bk_client_edit){ .kind = BK_CLIENT_EDIT_TELL }),
                  "There is no connection to the server now. Nothing was changed.");
}

static void edits_that_lack_something_are_refused_at_the_door(void **state)
{
    (void)state;
    static const struct bk_client_edit bad[] = {
        { .kind = BK_CLIENT_EDIT_ADD_CONTACT },
        { .kind = BK_CLIENT_EDIT_ADD_CONTACT, .address = "bob" },
        { .kind = BK_CLIENT_EDIT_ADD_CONTACT, .address = "@" DOMAIN },
        { .kind = BK_CLIENT_EDIT_RENAME_CONTACT, .address = BOB },
        { .kind = BK_CLIENT_EDIT_RENAME_CONTACT, .address = BOB, .name = "\xff" },
        { .kind = BK_CLIENT_EDIT_MOVE_CONTACT, .address = BOB, .group = "Team" },
        { .kind = BK_CLIENT_EDIT_ADD_GROUP, .group = "" },
        { .kind = BK_CLIENT_EDIT_RELATION, .address = BOB, .level = 150 },
        { .kind = BK_CLIENT_EDIT_SEARCH },
        { .kind = BK_CLIENT_EDIT_KIND_COUNT },
    };
    uint64_t id = 77;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(bk_client_edit(p.client, &bad[i], &id), -EINVAL);
    assert_int_equal(id, 77);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make, unmake)
#define SIGNED_IN(f) cmocka_unit_test_setup_teardown(f, make_signed_in, unmake)
    const struct CMUnitTest tests[] = {
        TEST(a_server_without_the_dialect_gets_plain_presence_and_edits_fail),
        TEST(a_server_that_refuses_its_own_offer_gets_plain_presence_too),
        TEST(own_data_that_cannot_be_read_keep_nobody_from_signing_in),
        TEST(the_list_is_told_whole_and_then_by_its_changes),
        SIGNED_IN(a_change_that_got_lost_makes_the_list_be_asked_for_anew),
        TEST(a_conflict_is_answered_once_with_the_version_it_named),
        SIGNED_IN(a_status_is_published_with_the_versions_the_server_told),
        SIGNED_IN(who_is_on_the_list_is_watched_and_unknown_without_a_connection),
        SIGNED_IN(an_edit_is_done_when_the_list_shows_it),
        SIGNED_IN(edits_end_with_the_connection_and_none_waits_for_one),
        SIGNED_IN(edits_that_lack_something_are_refused_at_the_door),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
