/* SPDX-License-Identifier: Apache-2.0 */
/* The Lync dialect after sign-in, spoken to in SIP as the recorded client speaks it (tests/data/sipe). */
#include "tests/fakes/world.h"

#include "failing_alloc.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

static struct world *begin(unsigned shards)
{
    struct world *w = world_create(
        &(struct world_config){ .shards = shards, .bus_always_queues = shards > 1, .seed = 1 });
    world_user(w, "ann", "MD5");
    world_user(w, "bob", "MD5");
    world_user(w, "cat", "MD5");
    return w;
}

static struct world_link *sign_in(struct world *w, const char *who, const char *endpoint)
{
    struct world_link *link = world_connect(w, BK_LINK_TLS);
    assert_int_equal(world_sign_in(link, who, endpoint, 600), 200);
    return link;
}

static void leave(struct world *w, struct world_link *link)
{
    world_disconnect(link, BK_LINK_END_LOST);
    world_settle(w);
}

/* The way of the stock client: no branch in a dialog, Proxy-Require in every SUBSCRIBE. */
static const char *subscribe(struct world_link *link, const char *who, const char *event,
                             const char *to_tag, int cseq, const char *lines, const char *type,
                             const char *body)
{
    world_send(link,
               "SUBSCRIBE sip:%s@example.org SIP/2.0\r\nVia: SIP/2.0/tls 127.0.0.1:9%s%s\r\n"
               "From: <sip:%s@example.org>;tag=%s;epid=aa\r\nTo: <sip:%s@example.org>%s%s\r\n"
               "Call-ID: %s-%s\r\nCSeq: %d SUBSCRIBE\r\nMax-Forwards: 70\r\nEvent: %s\r\n"
               "Accept: application/msrtc-event-categories+xml\r\n"
               "Supported: com.microsoft.autoextend\r\nSupported: ms-benotify\r\n"
               "Proxy-Require: ms-benotify\r\nSupported: ms-piggyback-first-notify\r\n"
               "Contact: <sip:%s@example.org;opaque=user:epid:x;gruu>\r\n%s%s%s%s"
               "Content-Length: %zu\r\n\r\n%s",
               who, to_tag ? "" : ";branch=z9hG4bK", to_tag ? "" : event, who, event, who,
               to_tag ? ";tag=" : "", to_tag ? to_tag : "", who, event, cseq, event, who, lines,
               type ? "Content-Type: " : "", type ? type : "", type ? "\r\n" : "",
               body ? strlen(body) : 0, body ? body : "");
    return world_take(link);
}

static const char *service(struct world_link *link, const char *who, const char *to,
                           const char *type, const char *body)
{
    static int n;
    n++;
    world_send(link,
               "SERVICE sip:%s SIP/2.0\r\nVia: SIP/2.0/tls 127.0.0.1:9;branch=z9hG4bKs%d\r\n"
               "From: <sip:%s@example.org>;tag=s%d;epid=aa\r\nTo: <sip:%s>\r\nCall-ID: s%d\r\n"
               "CSeq: 1 SERVICE\r\nMax-Forwards: 70\r\nContent-Type: %s\r\nContent-Length: "
               "%zu\r\n\r\n%s",
               to, n, who, n, to, n, type, strlen(body), body);
    return world_take(link);
}

static const char *soap(struct world_link *link, const char *who, const char *method,
                        const char *children)
{
    char to[64], body[4096];
    snprintf(to, sizeof to, "%s@example.org", who);
    snprintf(body, sizeof body,
             "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" "
             "xmlns:m=\"http://schemas.microsoft.com/winrtc/2002/11/sip\"><s:Body><m:%s>%s</m:%s>"
             "</s:Body></s:Envelope>",
             method, children, method);
    return service(link, who, to, "application/SOAP+xml", body);
}

static const char *publish(struct world_link *link, const char *who, const char *items)
{
    char to[64], body[8192];
    snprintf(to, sizeof to, "%s@example.org", who);
    snprintf(body, sizeof body,
             "<publish xmlns=\"http://schemas.microsoft.com/2006/09/sip/rich-presence\">"
             "<publications uri=\"sip:%s@example.org\">%s</publications></publish>",
             who, items);
    return service(link, who, to, "application/msrtc-category-publish+xml", body);
}

/* One state publication in container 2. */
static const char *state_item(char *to, size_t size, const char *kind, unsigned instance,
                              int version, const char *expire, int availability,
                              const char *activity)
{
    snprintf(to, size,
             "<publication categoryName=\"state\" instance=\"%u\" container=\"2\" version=\"%d\" "
             "expireType=\"%s\"><state xmlns=\"http://schemas.microsoft.com/2006/09/sip/state\" "
             "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"%s\">"
             "<availability>%d</availability>%s</state></publication>",
             instance, version, expire, kind, availability, activity);
    return to;
}

static const char *publish_state(struct world_link *link, const char *who, const char *kind,
                                 unsigned instance, int version, int availability,
                                 const char *activity)
{
    char item[1024];
    bool user = strcmp(kind, "userState") == 0;
    return publish(link, who,
                   state_item(item, sizeof item, kind, instance, version,
                              user ? "static" : "endpoint", availability, activity));
}

static const char *publish_note(struct world_link *link, const char *who, int version,
                                const char *text)
{
    char items[2048] = "";
    static const int containers[] = { 200, 300, 400 };
    for (int i = 0; i < 3; i++)
        snprintf(items + strlen(items), sizeof items - strlen(items),
                 "<publication categoryName=\"note\" instance=\"0\" container=\"%d\" "
                 "version=\"%d\" expireType=\"static\"><note "
                 "xmlns=\"http://schemas.microsoft.com/2006/09/sip/note\"><body type=\"personal\" "
                 "uri=\"\">%s</body></note></publication>",
                 containers[i], version, text);
    return publish(link, who, items);
}

static const char *batch(struct world_link *link, const char *who, const char *to_tag, int cseq,
                         const char *resources, const char *action)
{
    char body[65536];
    snprintf(body, sizeof body,
             "<batchSub xmlns=\"http://schemas.microsoft.com/2006/01/sip/batch-subscribe\" "
             "uri=\"sip:%s@example.org\" name=\"\"><action name=\"%s\" id=\"1\"><adhocList>%s"
             "</adhocList><categoryList "
             "xmlns=\"http://schemas.microsoft.com/2006/09/sip/categorylist\"><category "
             "name=\"calendarData\"/><category name=\"contactCard\"/><category name=\"note\"/>"
             "<category name=\"state\"/></categoryList></action></batchSub>",
             who, action, resources);
    return subscribe(link, who, "presence", to_tag, cseq,
                     "Require: adhoclist, categoryList\r\nSupported: eventlist\r\n",
                     "application/msrtc-adrl-categorylist+xml", body);
}

static void watch(struct world_link *link, const char *who, const char *whom)
{
    char resource[128];
    snprintf(resource, sizeof resource, "<resource uri=\"sip:%s@example.org\"/>", whom);
    assert_int_equal(world_status(batch(link, who, NULL, 1, resource, "subscribe")), 200);
}

static void members(struct world_link *link, const char *who, int container, int version,
                    const char *action, const char *whom)
{
    char to[64], body[512];
    snprintf(to, sizeof to, "%s@example.org", who);
    snprintf(body, sizeof body,
             "<setContainerMembers xmlns=\"c\"><container id=\"%d\" version=\"%d\"><member "
             "action=\"%s\" type=\"user\" value=\"%s@example.org\"/></container>"
             "</setContainerMembers>",
             container, version, action, whom);
    assert_int_equal(
        world_status(service(link, who, to, "application/msrtc-setcontainermembers+xml", body)),
        200);
}

static bool says(const char *message, const char *text)
{
    return message && strstr(message, text) != NULL;
}

/* The next request that arrived, of that method. */
static const char *arrives(struct world *w, struct world_link *link, const char *method)
{
    world_advance(w, 400);
    const char *got = world_take(link);
    if (!got || strncmp(got, method, strlen(method)) != 0)
        fail_msg("instead of %s: %.300s", method, got ? got : "nothing");
    return got;
}

/* The last of what arrived. */
static const char *latest(struct world *w, struct world_link *link)
{
    static char kept[65536];
    kept[0] = 0;
    world_advance(w, 400);
    for (const char *got; (got = world_take(link));)
        snprintf(kept, sizeof kept, "%s", got);
    return kept;
}

static void drop_all(struct world *w, struct world_link *link)
{
    world_advance(w, 400);
    while (world_take(link))
        ;
}

#define TAG(message) (strstr(world_field(message, "To"), ";tag=") + 5)

/* ---- lists ---- */

static void a_contact_list_is_edited_and_every_endpoint_sees_it(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *desk = sign_in(w, "ann", "urn:desk"), *lap = sign_in(w, "ann", "urn:lap");
    const char *got =
        subscribe(desk, "ann", "vnd-microsoft-roaming-contacts", NULL, 1, "", NULL, NULL);
    assert_int_equal(world_status(got), 200);
    assert_true(says(got, "deltaNum=\"1\"></contactList>"));
    assert_string_equal(world_field(got, "ms-piggyback-cseq"), "1");
    assert_string_equal(world_field(got, "Event"), "vnd-microsoft-roaming-contacts");
    assert_string_equal(world_field(got, "subscription-state"), "active;expires=7200");
    subscribe(lap, "ann", "vnd-microsoft-roaming-contacts", NULL, 1, "", NULL, NULL);

    w->hold_commits = true;
    assert_null(soap(desk, "ann", "addGroup", "<m:name>~</m:name><m:deltaNum>1</m:deltaNum>"));
    w->hold_commits = false; /* nothing is acknowledged before it is on disk */
    world_settle(w);
    got = world_take(desk);
    assert_int_equal(world_status(got), 200);
    assert_true(says(got, "<m:groupID>1</m:groupID>"));
    got = arrives(w, desk, "BENOTIFY");
    assert_true(says(got, "<addedGroup id=\"1\" name=\"~\""));
    assert_string_equal(world_field(got, "CSeq"), "2 BENOTIFY"); /* 1 rode on the answer */
    assert_true(says(arrives(w, lap, "BENOTIFY"), "<addedGroup id=\"1\" name=\"~\""));

    assert_int_equal(world_status(soap(lap, "ann", "setContact",
                                       "<m:displayName>B</m:displayName><m:groups>1</m:groups>"
                                       "<m:subscribed>true</m:subscribed><m:URI>sip:bob@example.org"
                                       "</m:URI><m:externalURI/><m:deltaNum>2</m:deltaNum>")),
                     200);
    assert_true(says(arrives(w, desk, "BENOTIFY"), "<addedContact uri=\"sip:bob@example.org\""));
    got = soap(desk, "ann", "addGroup", "<m:name>x</m:name><m:deltaNum>9</m:deltaNum>");
    assert_int_equal(world_status(got), 409);
    assert_true(says(got, "Client.BadCall.WrongDelta"));
    leave(w, desk);
    leave(w, lap);
    world_destroy(w);
}

static sqlite3 *database; /* of the world that was made last */

static int database_opened(sqlite3 *db, char **why, const struct sqlite3_api_routines *routines)
{
    (void)why;
    (void)routines;
    database = db;
    return SQLITE_OK;
}

/* The disk takes nothing, or does again. */
static void read_only(bool yes)
{
    assert_int_equal(sqlite3_exec(database, yes ? "PRAGMA query_only = 1" : "PRAGMA query_only = 0",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
}

static void what_cannot_be_written_down_is_refused_and_did_not_happen(void **state)
{
    sqlite3_auto_extension((void (*)(void))database_opened);
    struct world *w = begin(*(unsigned *)*state);
    sqlite3_cancel_auto_extension((void (*)(void))database_opened);
    struct world_link *desk = sign_in(w, "ann", "urn:desk"), *lap = sign_in(w, "ann", "urn:lap"),
                      *bob = sign_in(w, "bob", "urn:b");
    struct world_link *own[] = { desk, lap };
    for (int i = 0; i < 2; i++) {
        subscribe(own[i], "ann", "vnd-microsoft-roaming-contacts", NULL, 1, "", NULL, NULL);
        subscribe(own[i], "ann", "vnd-microsoft-roaming-self", NULL, 1, "", NULL, NULL);
    }
    soap(desk, "ann", "addGroup", "<m:name>~</m:name><m:deltaNum>1</m:deltaNum>");
    publish_note(desk, "ann", 0, "before");
    watch(bob, "bob", "ann");
    world_advance(w, 1000);
    drop_all(w, desk);
    drop_all(w, lap);
    drop_all(w, bob);

    read_only(true);
    const char *got = soap(desk, "ann", "setContact",
                           "<m:groups>1</m:groups><m:URI>sip:bob@example.org</m:URI>"
                           "<m:deltaNum>2</m:deltaNum>");
    assert_int_equal(world_status(got), 503);
    assert_string_equal(world_field(got, "Retry-After"), "5");
    publish_note(desk, "ann", 1, "never");
    world_advance(w, 1000);
    /* Nobody hears of it: neither the other endpoint, nor who watches. */
    for (const char *more; (more = world_take(bob));)
        assert_false(says(more, "never"));
    for (const char *more; (more = world_take(lap));)
        assert_false(says(more, "never") || says(more, "addedContact"));
    read_only(false);

    /* And it goes on from what was. */
    world_advance(w, 10000);
    drop_all(w, desk);
    got = subscribe(desk, "ann", "vnd-microsoft-roaming-contacts", NULL, 2, "", NULL, NULL);
    assert_true(says(got, "deltaNum=\"2\""));
    assert_false(says(got, "bob@example.org"));
    got = subscribe(desk, "ann", "vnd-microsoft-roaming-self", NULL, 2, "", NULL, NULL);
    assert_true(says(got, ">before</body>"));
    assert_false(says(got, "never"));
    got =
        soap(desk, "ann", "setContact",
             "<m:groups>1</m:groups><m:URI>sip:bob@example.org</m:URI><m:deltaNum>2</m:deltaNum>");
    assert_int_equal(world_status(got), 200);
    publish_note(desk, "ann", 1, "after");
    assert_true(says(arrives(w, bob, "BENOTIFY"), ">after</body>"));
    leave(w, desk);
    leave(w, lap);
    leave(w, bob);
    world_destroy(w);
}

static void what_was_acknowledged_is_there_after_a_power_cut(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = sign_in(w, "ann", "urn:a");
    unsigned shards = *(unsigned *)*state;
    soap(ann, "ann", "addGroup", "<m:name>~</m:name>");
    soap(ann, "ann", "setContact", "<m:groups>1</m:groups><m:URI>sip:bob@example.org</m:URI>");
    publish_state(ann, "ann", "userState", 0x20000000, 0, 6500, "");
    publish_note(ann, "ann", 0, "in a review");
    members(ann, "ann", 32000, 0, "add", "cat");
    struct bk_buf image = { 0 };
    world_crash(w, &image);
    ann->world = NULL;
    world_disconnect(ann, BK_LINK_END_LOST);

    w = world_create(&(struct world_config){ .shards = shards,
                                             .bus_always_queues = shards > 1,
                                             .seed = 2,
                                             .image = bk_buf_view(&image) });
    bk_buf_finish(&image);
    ann = sign_in(w, "ann", "urn:a");
    const char *got =
        subscribe(ann, "ann", "vnd-microsoft-roaming-contacts", NULL, 1, "", NULL, NULL);
    assert_true(says(got, "deltaNum=\"3\"><group id=\"1\" name=\"~\" externalURI=\"\"/>"
                          "<contact uri=\"bob@example.org\""));
    got = subscribe(ann, "ann", "vnd-microsoft-roaming-self", NULL, 1, "", NULL, NULL);
    assert_true(says(got, "instance=\"536870912\" publishTime"));
    assert_true(says(got, "in a review"));
    assert_true(says(got, "<container id=\"32000\" version=\"1\"><member type=\"user\" "
                          "value=\"cat@example.org\"/>"));
    assert_true(says(got, "<availability>6500</availability></state></category></categories>"));
    struct world_link *cat = sign_in(w, "cat", "urn:c");
    got = batch(cat, "cat", NULL, 1, "<resource uri=\"sip:ann@example.org\"/>", "subscribe");
    assert_true(says(got, "<availability>18500</availability>"));
    leave(w, cat);
    leave(w, ann);
    world_destroy(w);
}

static void nobody_asks_for_the_lists_of_another(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = sign_in(w, "ann", "urn:a");
    world_send(ann, "SUBSCRIBE sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/tls 127.0.0.1:9;branch="
                    "z9hG4bKx\r\nFrom: <sip:ann@example.org>;tag=1\r\nTo: <sip:bob@example.org>\r\n"
                    "Call-ID: x\r\nCSeq: 1 SUBSCRIBE\r\nMax-Forwards: 70\r\nEvent: "
                    "vnd-microsoft-roaming-contacts\r\nContact: <sip:ann@127.0.0.1:9>\r\n"
                    "Content-Length: 0\r\n\r\n");
    assert_int_equal(world_status(world_take(ann)), 403);
    assert_int_equal(
        world_status(service(ann, "ann", "bob@example.org", "application/SOAP+xml",
                             "<E><Body><addGroup><name>x</name></addGroup></Body></E>")),
        404);
    assert_int_equal(world_status(service(
                         ann, "ann", "ann@example.org", "application/msrtc-category-publish+xml",
                         "<publish><publications uri=\"sip:bob@example.org\"><publication "
                         "categoryName=\"x\" version=\"0\"/></publications></publish>")),
                     403);
    assert_int_equal(
        world_status(service(ann, "ann", "focus@example.org;gruu;opaque=app:conf:focusfactory",
                             "application/cccp+xml", "<request/>")),
        404);
    assert_int_equal(world_status(service(ann, "ann", "ann@example.org", "text/odd", "x")), 415);
    leave(w, ann);
    world_destroy(w);
}

static void provisioning_is_asked_once(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = sign_in(w, "ann", "urn:a");
    const char *got = subscribe(
        ann, "ann", "vnd-microsoft-provisioning-v2", NULL, 1, "Expires: 0\r\n",
        "application/vnd-microsoft-roaming-provisioning-v2+xml",
        "<provisioningGroupList xmlns=\"p\"><provisioningGroup name=\"ServerConfiguration\"/>"
        "</provisioningGroupList>");
    assert_int_equal(world_status(got), 200);
    assert_true(says(got, "<ucPC2PCAVEncryption>SupportEncryption</ucPC2PCAVEncryption>"));
    assert_string_equal(world_field(got, "subscription-state"), "terminated;expires=0");
    assert_null(world_take(ann));
    leave(w, ann);
    world_destroy(w);
}

/* ---- presence ---- */

static void a_batch_tells_all_at_once_and_then_each_change(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = sign_in(w, "ann", "urn:a");
    const char *got = batch(ann, "ann", NULL, 1,
                            "<resource uri=\"sip:bob@example.org\"/>"
                            "<resource uri=\"sip:nobody@example.org\"/>"
                            "<resource uri=\"sip:x@else.example\"/>",
                            "subscribe");
    assert_int_equal(world_status(got), 200);
    assert_true(says(got, "uri=\"sip:bob@example.org\"><instance id=\"0\" state=\"active\""));
    assert_true(
        says(got, "uri=\"sip:nobody@example.org\"><instance id=\"0\" state=\"terminated\""));
    assert_true(says(got, "uri=\"sip:x@else.example\"><instance id=\"0\" state=\"terminated\""));
    assert_true(says(got, "<availability>18500</availability>"));
    assert_true(says(got, "<displayName>bob</displayName></name><email>bob@example.org</email>"));
    char tag[64];
    snprintf(tag, sizeof tag, "%s", TAG(got));

    struct world_link *bob = sign_in(w, "bob", "urn:b");
    got = arrives(w, ann, "BENOTIFY sip:ann@example.org;opaque=user:epid:x;gruu SIP/2.0");
    assert_true(says(got, "<availability>3500</availability>"));
    assert_string_equal(world_field(got, "Event"), "presence");
    publish_state(bob, "bob", "userState", 0x20000000, 0, 9500, "");
    assert_true(says(arrives(w, ann, "BENOTIFY"), "<availability>9500</availability>"));
    publish_state(bob, "bob", "userState", 0x20000000, 1, 3500, "");
    assert_true(says(arrives(w, ann, "BENOTIFY"), "<availability>3500</availability>"));
    publish_state(bob, "bob", "phoneState", 0x80000001, 0, 6500,
                  "<activity token=\"on-the-phone\" minAvailability=\"6500\"/>");
    got = arrives(w, ann, "BENOTIFY");
    assert_true(says(got, "<availability>6500</availability><activity token=\"on-the-phone\"/>"));
    publish_state(bob, "bob", "machineState", 0x30000001, 0, 15500, "");
    world_advance(w, 400);
    assert_null(world_take(ann)); /* still in the call */
    publish(bob, "bob",
            "<publication categoryName=\"state\" instance=\"2147483649\" container=\"2\" "
            "version=\"1\" expireType=\"endpoint\" expires=\"0\"/>");
    assert_true(says(arrives(w, ann, "BENOTIFY"), "<availability>15500</availability>"));

    /* One more into the same list, one out of it. */
    got = batch(ann, "ann", tag, 2, "<resource uri=\"sip:cat@example.org\"><context/></resource>",
                "subscribe");
    assert_int_equal(world_status(got), 200);
    assert_true(says(got, "sip:cat@example.org"));
    assert_false(says(got, "sip:bob@example.org"));
    got = batch(ann, "ann", tag, 3, "<resource uri=\"sip:bob@example.org\"/>", "unsubscribe");
    assert_int_equal(world_status(got), 200);
    leave(w, bob);
    world_advance(w, 400);
    assert_null(world_take(ann));
    struct world_link *cat = sign_in(w, "cat", "urn:c");
    assert_true(says(arrives(w, ann, "BENOTIFY"), "uri=\"sip:cat@example.org\""));
    /* And over. */
    got = subscribe(ann, "ann", "presence", tag, 4, "Expires: 0\r\n", NULL, NULL);
    assert_int_equal(world_status(got), 200);
    assert_string_equal(world_field(got, "subscription-state"), "terminated;expires=0");
    leave(w, cat);
    world_advance(w, 400);
    assert_null(world_take(ann));
    got = subscribe(ann, "ann", "presence", tag, 5, "Expires: 0\r\n", NULL, NULL);
    assert_int_equal(world_status(got), 481);
    leave(w, ann);
    world_destroy(w);
}

static void versions_decide_and_a_conflict_names_the_right_one(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = sign_in(w, "ann", "urn:a");
    char one[1024], two[1024], both[2048];
    const char *got = publish_state(ann, "ann", "userState", 0x20000000, 0, 6500, "");
    assert_int_equal(world_status(got), 200);
    assert_true(says(got, "instance=\"536870912\""));
    assert_true(says(got, "container=\"2\" version=\"1\" expireType=\"static\""));
    assert_true(says(got, "xsi:type=\"aggregateState\""));
    snprintf(both, sizeof both, "%s%s",
             state_item(one, sizeof one, "userState", 0x20000000, 7, "static", 3500, ""),
             state_item(two, sizeof two, "machineState", 1000, 0, "endpoint", 15500, ""));
    got = publish(ann, "ann", both);
    assert_int_equal(world_status(got), 409);
    assert_string_equal(world_field(got, "Content-Type"), "application/msrtc-fault+xml");
    assert_true(says(got, "<operation index=\"1\" curVersion=\"1\"/></details>"));
    /* Nothing of it was done. */
    got = publish_state(ann, "ann", "machineState", 1000, 0, 3500, "");
    assert_int_equal(world_status(got), 200);
    assert_true(says(got, "<availability>6500</availability></state></category></categories>"));
    /* As told: no loop. */
    snprintf(both, sizeof both, "%s%s",
             state_item(one, sizeof one, "userState", 0x20000000, 1, "static", 3500, ""),
             state_item(two, sizeof two, "machineState", 1000, 1, "endpoint", 15500, ""));
    got = publish(ann, "ann", both);
    assert_int_equal(world_status(got), 200);
    assert_true(says(got, "version=\"2\""));
    /* What is not there can be taken away, whatever is believed of it. */
    got = publish(ann, "ann",
                  "<publication categoryName=\"state\" instance=\"5\" container=\"2\" "
                  "version=\"3\" expireType=\"endpoint\" expires=\"0\"/>");
    assert_int_equal(world_status(got), 200);
    leave(w, ann);
    world_destroy(w);
}

static void two_endpoints_of_one_person_agree(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *desk = sign_in(w, "ann", "urn:desk"), *lap = sign_in(w, "ann", "urn:lap");
    subscribe(desk, "ann", "vnd-microsoft-roaming-self", NULL, 1, "", NULL, NULL);
    subscribe(lap, "ann", "vnd-microsoft-roaming-self", NULL, 1, "", NULL, NULL);
    publish_state(desk, "ann", "machineState", 1, 0, 15500, "");
    publish_state(lap, "ann", "machineState", 2, 0, 15500, "");
    drop_all(w, desk);
    drop_all(w, lap);
    publish_state(desk, "ann", "userState", 0x20000000, 0, 12500, "");
    const char *got = latest(w, lap);
    assert_true(says(got, "<roamingData"));
    assert_true(says(got, "instance=\"536870912\""));
    assert_true(says(got, "<availability>12500</availability></state></category></categories>"));
    /* What an endpoint published ends with it; what is static stays. */
    drop_all(w, desk);
    leave(w, lap);
    got = latest(w, desk);
    assert_true(says(got, "instance=\"1\""));
    assert_false(says(got, "instance=\"2\""));
    assert_true(says(got, "instance=\"536870912\""));
    leave(w, desk);
    world_destroy(w);
}

static void answer_notify(struct world_link *link, const char *got)
{
    assert_non_null(got);
    char via[512], from[256], to[256];
    snprintf(via, sizeof via, "%s", world_field(got, "Via"));
    snprintf(from, sizeof from, "%s", world_field(got, "From"));
    snprintf(to, sizeof to, "%s", world_field(got, "To"));
    world_send(link,
               "SIP/2.0 200 OK\r\nVia: %s\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\n"
               "CSeq: %s\r\nContent-Length: 0\r\n\r\n",
               via, from, to, world_field(got, "Call-ID"), world_field(got, "CSeq"));
}

static void plain_and_dialect_see_each_other(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = sign_in(w, "ann", "urn:a"), *bob = sign_in(w, "bob", "urn:b");
    watch(ann, "ann", "bob");
    /* bob is a plain client: PIDF in both directions. */
    world_send(bob, "SUBSCRIBE sip:ann@example.org SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch="
                    "z9hG4bKp\r\nFrom: <sip:bob@example.org>;tag=1\r\nTo: <sip:ann@example.org>\r\n"
                    "Call-ID: p\r\nCSeq: 1 SUBSCRIBE\r\nMax-Forwards: 70\r\nEvent: presence\r\n"
                    "Accept: application/pidf+xml\r\nContact: <sip:bob@127.0.0.1:9>\r\n"
                    "Content-Length: 0\r\n\r\n");
    assert_int_equal(world_status(world_take(bob)), 200);
    answer_notify(bob, world_take(bob));
    const char *pidf =
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.org\" "
        "xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" "
        "xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\"><tuple id=\"t\"><status><basic>open"
        "</basic></status></tuple><dm:person id=\"p\"><rpid:activities><rpid:on-the-phone/>"
        "</rpid:activities><dm:note>on air</dm:note></dm:person></presence>";
    world_send(
        bob,
        "PUBLISH sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKq\r\n"
        "From: <sip:bob@example.org>;tag=2\r\nTo: <sip:bob@example.org>\r\nCall-ID: q\r\n"
        "CSeq: 1 PUBLISH\r\nMax-Forwards: 70\r\nEvent: presence\r\nExpires: 600\r\n"
        "Content-Type: application/pidf+xml\r\nContent-Length: %zu\r\n\r\n%s",
        strlen(pidf), pidf);
    const char *got = arrives(w, ann, "BENOTIFY");
    assert_true(says(got, "<availability>6500</availability><activity token=\"on-the-phone\"/>"));
    assert_true(says(got, "<body type=\"personal\" uri=\"\">on air</body>"));
    assert_int_equal(world_status(world_take(bob)), 200);
    publish_note(ann, "ann", 0, "quiet");
    got = arrives(w, bob, "NOTIFY");
    assert_true(says(got, "quiet"));
    answer_notify(bob, got);
    publish_state(ann, "ann", "userState", 0x20000000, 0, 9500, "");
    got = arrives(w, bob, "NOTIFY");
    assert_true(says(got, "state=\"dnd\""));
    answer_notify(bob, got);
    leave(w, bob);
    leave(w, ann);
    world_destroy(w);
}

static void who_is_blocked_gets_the_bytes_of_somebody_offline(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = sign_in(w, "ann", "urn:a"), *cat = sign_in(w, "cat", "urn:c");
    char offline[8192], blocked[8192];
    watch(ann, "ann", "bob");
    struct world_link *bob = sign_in(w, "bob", "urn:b");
    publish_note(bob, "bob", 0, "here");
    drop_all(w, ann);
    subscribe(bob, "bob", "vnd-microsoft-roaming-self", NULL, 1, "", NULL, NULL);
    members(bob, "bob", 32000, 0, "add", "ann");
    const char *got = world_take(bob);
    assert_true(says(got, "<container id=\"32000\" version=\"1\"><member type=\"user\" "
                          "value=\"ann@example.org\"/></container>"));
    got = arrives(w, ann, "BENOTIFY");
    snprintf(blocked, sizeof blocked, "%s", strstr(got, "\r\n\r\n"));
    /* Whatever he does, nothing is told to her. */
    publish_state(bob, "bob", "userState", 0x20000000, 0, 9500, "");
    publish_note(bob, "bob", 1, "gone");
    world_advance(w, 1000);
    assert_null(world_take(ann));
    /* cat sees him leave, at the time at which ann asks again. */
    watch(cat, "cat", "bob");
    leave(w, bob);
    got = arrives(w, cat, "BENOTIFY");
    snprintf(offline, sizeof offline, "%s", strstr(got, "\r\n\r\n"));
    assert_true(says(offline, "<availability>18500</availability>"));
    for (char *text = offline; text; text = text == offline ? blocked : NULL)
        for (char *at = text; (at = strstr(at, "publishTime=\"")); at += 37)
            memset(at + 13, 'x', 24);
    assert_string_equal(offline, blocked);
    leave(w, ann);
    leave(w, cat);
    world_destroy(w);
}

static void each_relation_sees_its_own(void **state)
{
    static const struct {
        int container;
        bool state, note, calendar, work, mobile, home;
    } rows[] = {
        { 100, true, false, false, false, false, false },
        { 200, true, true, true, true, false, false },
        { 300, true, true, true, true, true, false },
        { 400, true, true, true, true, true, true },
        { 32000, false, false, false, false, false, false },
    };
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = sign_in(w, "ann", "urn:a"), *bob = sign_in(w, "bob", "urn:b");
    char items[8192] = "";
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        snprintf(items + strlen(items), sizeof items - strlen(items),
                 "<publication categoryName=\"contactCard\" instance=\"1\" container=\"%d\" "
                 "version=\"0\" expireType=\"static\"><contactCard xmlns=\"c\"><phone "
                 "type=\"work\"><uri>tel:work</uri></phone><phone type=\"mobile\"><uri>tel:mobile"
                 "</uri></phone><phone type=\"home\"><uri>tel:home</uri></phone></contactCard>"
                 "</publication><publication categoryName=\"calendarData\" container=\"%d\" "
                 "version=\"0\" expireType=\"static\"><calendarData xmlns=\"k\"/></publication>",
                 rows[i].container, rows[i].container);
    assert_int_equal(world_status(publish(bob, "bob", items)), 200);
    assert_int_equal(world_status(publish_note(bob, "bob", 0, "near")), 200);
    watch(ann, "ann", "bob");
    int version = 0, last = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        (void)last;
        members(bob, "bob", rows[i].container, 0, "add", "ann");
        const char *got = latest(w, ann);
        if (rows[i].container == 200) /* she was a colleague before she was named one */
            watch(ann, "ann", "bob"), got = latest(w, ann);
        got = batch(ann, "ann", NULL, 1 + ++version, "<resource uri=\"sip:bob@example.org\"/>",
                    "subscribe");
        assert_int_equal(says(got, "<availability>3500"), rows[i].state);
        assert_int_equal(says(got, ">near</body>"), rows[i].note);
        assert_int_equal(says(got, "calendarData"), rows[i].calendar);
        assert_int_equal(says(got, "tel:work"), rows[i].work);
        assert_int_equal(says(got, "tel:mobile"), rows[i].mobile);
        assert_int_equal(says(got, "tel:home"), rows[i].home);
        assert_true(says(got, "<displayName>bob</displayName>"));
    }
    leave(w, ann);
    leave(w, bob);
    world_destroy(w);
}

static int count(const struct bk_buf *buf, const char *word)
{
    int n = 0;
    struct bk_view rest = bk_buf_view(buf), w = bk_view_of_str(word);
    for (;; n++) {
        size_t at = bk_view_find_view(rest, w);
        if (at == rest.len)
            return n;
        rest = bk_view_skip(rest, at + w.len);
    }
}

static void a_large_batch_is_told_in_pieces_and_whole(void **state)
{
    enum { PEOPLE = 300 };
    struct world *w = begin(*(unsigned *)*state);
    static char resources[PEOPLE * 64];
    char name[16];
    resources[0] = 0;
    for (int i = 0; i < PEOPLE; i++) {
        snprintf(name, sizeof name, "u%d", i);
        world_user(w, name, "MD5");
        snprintf(resources + strlen(resources), sizeof resources - strlen(resources),
                 "<resource uri=\"sip:%s@example.org\"/>", name);
    }
    struct world_link *ann = sign_in(w, "ann", "urn:a");
    struct bk_buf body = { 0 };
    bk_buf_addf(&body,
                "<batchSub><action name=\"subscribe\"><adhocList>%s</adhocList></action>"
                "</batchSub>",
                resources);
    world_send(ann,
               "SUBSCRIBE sip:ann@example.org SIP/2.0\r\nVia: SIP/2.0/tls 127.0.0.1:9;branch="
               "z9hG4bKl\r\nFrom: <sip:ann@example.org>;tag=1\r\nTo: <sip:ann@example.org>\r\n"
               "Call-ID: l\r\nCSeq: 1 SUBSCRIBE\r\nMax-Forwards: 70\r\nEvent: presence\r\n"
               "Supported: ms-benotify\r\nSupported: ms-piggyback-first-notify\r\n"
               "Contact: <sip:ann@127.0.0.1:9>\r\nContent-Type: "
               "application/msrtc-adrl-categorylist+xml\r\nContent-Length: %zu\r\n\r\n%.*s",
               body.len, (int)body.len, body.at);
    int first = count(&ann->out, "<categories ");
    assert_in_range(first, 100, PEOPLE - 1);
    assert_in_range(ann->out.len, 1, 256 * 1024);
    world_advance(w, 5000);
    assert_int_equal(count(&ann->out, "<categories "), PEOPLE);
    assert_int_equal(count(&ann->out, "\r\nEvent: presence"), PEOPLE - first + 1);
    bk_buf_finish(&body);
    leave(w, ann);
    world_destroy(w);
}

static void calls_meetings_and_presentations_are_inputs_of_the_one_state(void **state)
{
    /* In this order: what stands further down outweighs what stands above it. */
    static const struct {
        const char *kind;
        unsigned instance;
        int availability;
        const char *activity, *shown;
    } rows[] = {
        { "calendarState", 1, 6500, "<activity token=\"in-a-meeting\"/>",
          "<availability>6500</availability><activity token=\"in-a-meeting\"/>" },
        { "phoneState", 2, 6500, "<activity token=\"on-the-phone\"/>",
          "<availability>6500</availability><activity token=\"on-the-phone\"/>" },
        { "phoneState", 3, 7000, "<activity token=\"in-a-conference\"/>",
          "<availability>6500</availability><activity token=\"in-a-conference\"/>" },
        { "conferenceState", 4, 9000, "<activity token=\"in-presentation\"/>",
          "<availability>9500</availability><activity token=\"in-presentation\"/>" },
    };
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = sign_in(w, "ann", "urn:a"), *bob = sign_in(w, "bob", "urn:b");
    watch(ann, "ann", "bob");
    int n = sizeof rows / sizeof *rows;
    for (int i = 0; i < n; i++) {
        publish_state(bob, "bob", rows[i].kind, rows[i].instance, 0, rows[i].availability,
                      rows[i].activity);
        assert_true(says(arrives(w, ann, "BENOTIFY"), rows[i].shown));
    }
    for (int i = n - 1; i >= 0; i--) {
        char gone[256];
        snprintf(gone, sizeof gone,
                 "<publication categoryName=\"state\" instance=\"%u\" container=\"2\" "
                 "version=\"1\" expireType=\"endpoint\" expires=\"0\"/>",
                 rows[i].instance);
        assert_int_equal(world_status(publish(bob, "bob", gone)), 200);
        assert_true(says(arrives(w, ann, "BENOTIFY"),
                         i ? rows[i - 1].shown : "<availability>3500</availability>"));
    }
    /* A computer that says it is not there is none. */
    publish_state(bob, "bob", "machineState", 5, 0, 18500, "");
    assert_true(says(arrives(w, ann, "BENOTIFY"), "<availability>18500</availability>"));
    publish_state(bob, "bob", "machineState", 5, 1, 5000, "");
    const char *got = arrives(w, ann, "BENOTIFY");
    assert_true(says(got, "<availability>5000</availability>"));
    assert_true(says(got, "lastActive=\""));
    leave(w, bob);
    leave(w, ann);
    world_destroy(w);
}

static void a_note_taken_away_elsewhere_is_gone_for_all(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = sign_in(w, "ann", "urn:a"), *bob = sign_in(w, "bob", "urn:b");
    members(bob, "bob", 400, 0, "add", "ann");
    watch(ann, "ann", "bob");
    /* One for friends alone. */
    publish(bob, "bob",
            "<publication categoryName=\"note\" container=\"400\" version=\"0\"><note><body "
            "type=\"personal\">near</body></note></publication>");
    assert_true(says(arrives(w, ann, "BENOTIFY"), ">near</body>"));
    publish(bob, "bob",
            "<publication categoryName=\"note\" container=\"200\" version=\"0\"><note><body "
            "type=\"personal\">all</body></note></publication>");
    assert_true(says(arrives(w, ann, "BENOTIFY"), ">all</body>"));
    /* Another program, which knows no containers. */
    const char *pidf =
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.org\" "
        "xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:b=\"urn:beckon:presence\">"
        "<tuple id=\"t\"><status><basic>open</basic></status></tuple><dm:person id=\"p\">"
        "<b:manual state=\"none\"/><dm:note></dm:note></dm:person></presence>";
    world_send(
        bob,
        "PUBLISH sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKn\r\n"
        "From: <sip:bob@example.org>;tag=2\r\nTo: <sip:bob@example.org>\r\nCall-ID: n\r\n"
        "CSeq: 1 PUBLISH\r\nMax-Forwards: 70\r\nEvent: presence\r\nExpires: 600\r\n"
        "Content-Type: application/pidf+xml\r\nContent-Length: %zu\r\n\r\n%s",
        strlen(pidf), pidf);
    assert_int_equal(world_status(world_take(bob)), 200);
    assert_true(says(arrives(w, ann, "BENOTIFY"),
                     "<note xmlns=\"http://schemas.microsoft.com/2006/09/sip/note\"/>"));
    leave(w, bob);
    leave(w, ann);
    world_destroy(w);
}

/* beckon-cli and other programs speak PIDF; the person's other endpoints may not. */
static void publish_note_as_pidf(struct world_link *link, const char *name, const char *note,
                                 int number)
{
    char pidf[700];
    snprintf(pidf, sizeof pidf,
             "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:%s@example.org\" "
             "xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:b=\"urn:beckon:presence\">"
             "<tuple id=\"t\"><status><basic>open</basic></status></tuple><dm:person id=\"p\">"
             "<b:manual state=\"none\"/><dm:note>%s</dm:note></dm:person></presence>",
             name, note);
    world_send(link,
               "PUBLISH sip:%s@example.org SIP/2.0\r\nVia: SIP/2.0/TLS "
               "127.0.0.1;branch=z9hG4bKpidf%d\r\nFrom: <sip:%s@example.org>;tag=2\r\n"
               "To: <sip:%s@example.org>\r\nCall-ID: pidf%d\r\nCSeq: 1 PUBLISH\r\n"
               "Max-Forwards: 70\r\nEvent: presence\r\nExpires: 600\r\n"
               "Content-Type: application/pidf+xml\r\nContent-Length: %zu\r\n\r\n%s",
               name, number, name, name, number, strlen(pidf), pidf);
    assert_int_equal(world_status(world_take(link)), 200);
}

static void a_note_set_elsewhere_reaches_the_persons_own_endpoints(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *lync = sign_in(w, "ann", "urn:lync"), *cli = sign_in(w, "ann", "urn:cli");
    subscribe(lync, "ann", "vnd-microsoft-roaming-self", NULL, 1, "", NULL, NULL);
    publish_state(lync, "ann", "machineState", 1, 0, 3500, "");
    drop_all(w, lync);
    publish_note_as_pidf(cli, "ann", "from the terminal", 1);
    const char *got = latest(w, lync);
    assert_true(says(got, "name=\"note\""));
    assert_true(says(got, "container=\"200\" version=\"0\""));
    assert_true(says(got, "container=\"400\" version=\"0\""));
    assert_true(says(got, ">from the terminal</body>"));
    /* Who signs in later sees it, too. */
    got = subscribe(lync, "ann", "vnd-microsoft-roaming-self", NULL, 2, "", NULL, NULL);
    assert_true(says(got, ">from the terminal</body>"));
    /* The versions told are those to go on from; what this client says itself it is told once. */
    drop_all(w, lync);
    got = publish(lync, "ann",
                  "<publication categoryName=\"note\" container=\"200\" version=\"0\" "
                  "expireType=\"static\"><note><body type=\"personal\">mine</body></note>"
                  "</publication>");
    assert_int_equal(world_status(got), 200);
    assert_true(says(got, ">mine</body>"));
    assert_false(says(got, "from the terminal"));
    world_advance(w, 1000);
    for (const char *more; (more = world_take(lync));)
        assert_false(says(more, "name=\"note\""));
    /* Taken away elsewhere: gone, and the version is that of what was published. */
    publish_note_as_pidf(cli, "ann", "", 2);
    got = latest(w, lync);
    assert_true(says(got, "name=\"note\""));
    assert_true(says(got, "container=\"200\" version=\"1\""));
    assert_false(says(got, "mine"));
    leave(w, cli);
    leave(w, lync);
    world_destroy(w);
}

static void publications_end_with_what_they_hang_on(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *desk = sign_in(w, "ann", "urn:desk"), *lap = sign_in(w, "ann", "urn:lap");
    const char *got = publish(
        lap, "ann",
        "<publication categoryName=\"t\" expireType=\"time\" expires=\"30\"><t/></publication>"
        "<publication categoryName=\"u\" expireType=\"user\"><u/></publication>"
        "<publication categoryName=\"e\" expireType=\"endpoint\"><e/></publication>"
        "<publication categoryName=\"s\" expireType=\"static\"><s/></publication>");
    assert_int_equal(world_status(got), 200);
    leave(w, lap);
    got = subscribe(desk, "ann", "vnd-microsoft-roaming-self", NULL, 1, "", NULL, NULL);
    assert_true(says(got, "<t xmlns") && says(got, "<u xmlns") && says(got, "<s xmlns"));
    assert_false(says(got, "<e xmlns"));
    world_advance(w, 31 * 1000);
    got = latest(w, desk);
    assert_true(says(got, "<category name=\"t\"/>")); /* all of it is gone */
    leave(w, desk);
    desk = sign_in(w, "ann", "urn:desk");
    got = subscribe(desk, "ann", "vnd-microsoft-roaming-self", NULL, 1, "", NULL, NULL);
    assert_true(says(got, "<s xmlns"));
    assert_false(says(got, "<u xmlns"));
    leave(w, desk);
    world_destroy(w);
}

static void the_question_for_persistent_chat_is_no_case(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = sign_in(w, "ann", "urn:a");
    world_send(ann, "INVITE sip:ocschat@example.org SIP/2.0\r\nVia: SIP/2.0/tls 127.0.0.1:9;branch="
                    "z9hG4bKo\r\nFrom: <sip:ann@example.org>;tag=1;epid=aa\r\nTo: "
                    "<sip:ocschat@example.org>\r\nCall-ID: o\r\nCSeq: 1 INVITE\r\nMax-Forwards: "
                    "70\r\nContact: <sip:ann@127.0.0.1:9>\r\nContent-Type: "
                    "application/sdp\r\nContent-Length: 94\r\n\r\n"
                    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 127.0.0.1\r\nt=0 "
                    "0\r\nm=message 5061 sip null\r\n");
    const char *got = world_take(ann);
    if (world_status(got) == 100)
        got = world_take(ann);
    assert_int_equal(world_status(got), 404);
    assert_string_equal(world_field(got, "ms-diagnostics"), "");
    leave(w, ann);
    world_destroy(w);
}

static void what_an_administrator_changes_is_seen_at_once(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = sign_in(w, "ann", "urn:a"), *bob = sign_in(w, "bob", "urn:b");
    struct bk_arena arena = { 0 };
    struct bk_user user;
    watch(ann, "ann", "bob");
    subscribe(bob, "bob", "vnd-microsoft-roaming-self", NULL, 1, "", NULL, NULL);
    struct bk_store_batch *batch = bk_store_batch_create();
    bk_store_put_relation(batch, &(struct bk_relation){ BK_VIEW("bob@example.org"),
                                                        BK_VIEW("ann@example.org"), 32000 });
    world_commit(w, batch);
    bk_core_user_changed(w->core, BK_VIEW("bob@example.org"));
    assert_true(says(arrives(w, ann, "BENOTIFY"), "<availability>18500</availability>"));
    assert_true(says(arrives(w, bob, "BENOTIFY"), "<container id=\"32000\" version=\"0\"><member "
                                                  "type=\"user\" value=\"ann@example.org\"/>"));
    assert_int_equal(bk_store_user(w->store, BK_VIEW("bob@example.org"), &arena, &user), 0);
    user.display_name = BK_VIEW("Robert <B>");
    batch = bk_store_batch_create();
    bk_store_put_user(batch, &user);
    bk_store_put_relation(
        batch, &(struct bk_relation){ BK_VIEW("bob@example.org"), BK_VIEW("ann@example.org"), 0 });
    world_commit(w, batch);
    bk_arena_finish(&arena);
    bk_core_user_changed(w->core, BK_VIEW("bob@example.org"));
    const char *got = arrives(w, ann, "BENOTIFY");
    assert_true(says(got, "<displayName>Robert &lt;B&gt;</displayName>"));
    assert_true(says(got, "<availability>3500</availability>"));
    /* Disabled: gone for everybody, and nothing hangs on. */
    assert_int_equal(bk_store_user(w->store, BK_VIEW("bob@example.org"), &arena, &user), 0);
    user.enabled = false;
    batch = bk_store_batch_create();
    bk_store_put_user(batch, &user);
    world_commit(w, batch);
    bk_arena_finish(&arena);
    bk_core_user_changed(w->core, BK_VIEW("bob@example.org"));
    assert_true(says(arrives(w, ann, "BENOTIFY"), "<availability>18500</availability>"));
    leave(w, bob);
    leave(w, ann);
    world_destroy(w);
}

static void who_is_put_on_a_list_is_told_once(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = sign_in(w, "ann", "urn:a"), *bob = sign_in(w, "bob", "urn:b");
    subscribe(bob, "bob", "vnd-microsoft-roaming-self", NULL, 1, "", NULL, NULL);
    drop_all(w, bob);
    batch(ann, "ann", NULL, 1, "<resource uri=\"sip:bob@example.org\"><context/></resource>",
          "subscribe");
    assert_true(says(arrives(w, bob, "BENOTIFY"),
                     "<subscriber user=\"ann@example.org\" displayName=\"ann\" "
                     "acknowledged=\"false\"/>"));
    assert_int_equal(
        world_status(service(bob, "bob", "bob@example.org",
                             "application/msrtc-presence-setsubscriber+xml",
                             "<setSubscribers xmlns=\"s\"><subscriber user=\"ann@example.org\" "
                             "acknowledged=\"true\"/></setSubscribers>")),
        200);
    leave(w, ann);
    ann = sign_in(w, "ann", "urn:a");
    batch(ann, "ann", NULL, 1, "<resource uri=\"sip:bob@example.org\"><context/></resource>",
          "subscribe");
    world_advance(w, 400);
    assert_null(world_take(bob));
    leave(w, ann);
    leave(w, bob);
    world_destroy(w);
}

static void the_directory_finds_colleagues(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = sign_in(w, "ann", "urn:a");
    const char *query =
        "<s:Envelope xmlns:s=\"s\" xmlns:m=\"m\"><s:Body><m:directorySearch><m:filter "
        "m:href=\"#searchArray\"/><m:maxResults>%d</m:maxResults></m:directorySearch><m:Array "
        "id=\"searchArray\"><m:row m:attrib=\"%s\" "
        "m:value=\"%s\"/></m:Array></s:Body></s:Envelope>";
    char body[1024];
    snprintf(body, sizeof body, query, 100, "givenName", "BO");
    const char *got = service(ann, "ann", "example.org", "application/SOAP+xml", body);
    assert_int_equal(world_status(got), 200);
    assert_true(says(got, "<m:row uri=\"sip:bob@example.org\" displayName=\"bob\""));
    assert_true(says(got, "<m:moreAvailable>false</m:moreAvailable>"));
    assert_false(says(got, "uri=\"sip:ann@example.org"));
    snprintf(body, sizeof body, query, 1, "mail", "example.org");
    got = service(ann, "ann", "ann@example.org", "application/SOAP+xml", body);
    assert_true(says(got, "<m:moreAvailable>true</m:moreAvailable>"));
    snprintf(body, sizeof body, query, 100, "msRTCSIP-PrimaryUserAddress", "sip:bob@example.org");
    got = service(ann, "ann", "example.org", "application/SOAP+xml", body);
    assert_true(says(got, "uri=\"sip:bob@example.org\""));
    snprintf(body, sizeof body, query, 100, "company", "bob");
    got = service(ann, "ann", "example.org", "application/SOAP+xml", body);
    assert_int_equal(world_status(got), 200);
    assert_false(says(got, "m:row"));
    leave(w, ann);
    world_destroy(w);
}

static void a_client_that_starts_over_and_over_holds_nothing(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = sign_in(w, "ann", "urn:a");
    for (int i = 0; i < 50; i++) {
        const char *got =
            subscribe(ann, "ann", "vnd-microsoft-roaming-self", NULL, 1 + i, "", NULL, NULL);
        assert_int_equal(world_status(got), 200);
    }
    soap(ann, "ann", "addGroup", "<m:name>~</m:name>");
    publish_state(ann, "ann", "userState", 0x20000000, 0, 9500, "");
    world_advance(w, 400);
    int n = 0;
    while (world_take(ann))
        n++;
    assert_in_range(n, 0, 2); /* one subscription, not fifty */
    int refused = 0;
    for (int i = 0; i < 50; i++) {
        char call[16];
        snprintf(call, sizeof call, "%d", i);
        world_send(ann,
                   "SUBSCRIBE sip:ann@example.org SIP/2.0\r\nVia: SIP/2.0/tls 127.0.0.1:9;branch="
                   "z9hG4bKf%d\r\nFrom: <sip:ann@example.org>;tag=1\r\nTo: "
                   "<sip:ann@example.org>\r\nCall-ID: f%d\r\nCSeq: 1 SUBSCRIBE\r\nMax-Forwards: "
                   "70\r\nEvent: presence\r\nSupported: ms-benotify\r\nSupported: "
                   "ms-piggyback-first-notify\r\nContact: <sip:ann@127.0.0.1:9>\r\nContent-Type: "
                   "application/msrtc-adrl-categorylist+xml\r\nContent-Length: 22\r\n\r\n"
                   "<batchSub></batchSub>\n",
                   i, i);
        refused += world_status(world_take(ann)) == 403;
    }
    assert_in_range(refused, 10, 49);
    leave(w, ann);
    ann = sign_in(w, "ann", "urn:a");
    assert_int_equal(
        world_status(subscribe(ann, "ann", "vnd-microsoft-roaming-self", NULL, 1, "", NULL, NULL)),
        200);
    leave(w, ann);
    world_destroy(w);
}

static void a_subscription_runs_out_and_news_extend_it(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = sign_in(w, "ann", "urn:a");
    const char *got = subscribe(ann, "ann", "vnd-microsoft-roaming-contacts", NULL, 1,
                                "Expires: 60\r\n", NULL, NULL);
    assert_string_equal(world_field(got, "Expires"), "60");
    world_advance(w, 40 * 1000);
    soap(ann, "ann", "addGroup", "<m:name>~</m:name>");
    assert_true(says(arrives(w, ann, "BENOTIFY"), "active;expires=60"));
    world_advance(w, 40 * 1000);
    soap(ann, "ann", "addGroup", "<m:name>x</m:name>");
    arrives(w, ann, "BENOTIFY");
    world_advance(w, 61 * 1000);
    got = world_take(ann);
    assert_true(says(got, "terminated;expires=0"));
    leave(w, ann);
    world_destroy(w);
}

static void broken_bodies_are_told_why(void **state)
{
    struct world *w = begin(*(unsigned *)*state);
    struct world_link *ann = sign_in(w, "ann", "urn:a");
    static const char *const types[] = { "application/SOAP+xml",
                                         "application/msrtc-category-publish+xml",
                                         "application/msrtc-setcontainermembers+xml",
                                         "application/msrtc-presence-setsubscriber+xml" };
    static const char *const bodies[] = { "", "<a><b></a>", "<a/>",
                                          "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>" };
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < 4; k++)
            assert_int_equal(
                world_status(service(ann, "ann", "ann@example.org", types[i], bodies[k])), 400);
    assert_int_equal(world_status(batch(ann, "ann", NULL, 1, "<resource", "subscribe")), 400);
    assert_int_equal(world_status(batch(ann, "ann", NULL, 2, "", "fly")), 400);
    leave(w, ann);
    world_destroy(w);
}

/* ---- short memory ---- */

static const char *ask_group(struct world_link *link)
{
    return soap(link, "ann", "addGroup", "<m:name>~</m:name>");
}

static const char *ask_contact(struct world_link *link)
{
    return soap(link, "ann", "setContact",
                "<m:groups>1</m:groups><m:URI>sip:bob@example.org</m:URI>");
}

static const char *ask_publish(struct world_link *link)
{
    char one[1024], two[1024], both[2048];
    snprintf(both, sizeof both, "%s%s",
             state_item(one, sizeof one, "userState", 0x20000000, 0, "static", 6500, ""),
             state_item(two, sizeof two, "machineState", 1000, 0, "endpoint", 15500, ""));
    return publish(link, "ann", both);
}

static const char *ask_note(struct world_link *link)
{
    return publish_note(link, "ann", 0, "in a review");
}

static const char *ask_members(struct world_link *link)
{
    return service(link, "ann", "ann@example.org", "application/msrtc-setcontainermembers+xml",
                   "<setContainerMembers xmlns=\"c\"><container id=\"32000\" version=\"0\"><member "
                   "action=\"add\" type=\"user\" value=\"bob@example.org\"/></container>"
                   "</setContainerMembers>");
}

static const char *ask_batch(struct world_link *link)
{
    return batch(link, "ann", NULL, 1,
                 "<resource uri=\"sip:bob@example.org\"><context/></resource>"
                 "<resource uri=\"sip:cat@example.org\"/>",
                 "subscribe");
}

static const char *ask_self(struct world_link *link)
{
    return subscribe(link, "ann", "vnd-microsoft-roaming-self", NULL, 1, "", NULL, NULL);
}

static const char *ask_contacts(struct world_link *link)
{
    return subscribe(link, "ann", "vnd-microsoft-roaming-contacts", NULL, 1, "", NULL, NULL);
}

static const char *ask_directory(struct world_link *link)
{
    return service(link, "ann", "example.org", "application/SOAP+xml",
                   "<s:Envelope xmlns:s=\"s\" xmlns:m=\"m\"><s:Body><m:directorySearch/><m:Array>"
                   "<m:row m:attrib=\"mail\" m:value=\"bob\"/></m:Array></s:Body></s:Envelope>");
}

/* Whatever allocation fails: the request is answered, nobody is hurt, and asked again it is done. */
static void short_memory_refuses_and_breaks_nothing(void **state)
{
    static const char *(*const asks[])(struct world_link *) = {
        ask_group, ask_contact,  ask_publish,   ask_note, ask_members,
        ask_batch, ask_contacts, ask_directory, ask_self,
    };
    (void)state;
    for (size_t i = 0; i < sizeof asks / sizeof *asks; i++) {
        for (unsigned n = 1;; n++) {
            struct world *w = begin(1);
            struct world_link *ann = sign_in(w, "ann", "urn:a"), *bob = sign_in(w, "bob", "urn:b");
            watch(bob, "bob", "ann");
            bk_buf_reserve(&ann->out, 65536);
            bk_buf_reserve(&bob->out, 65536);
            bk_fail_alloc(n);
            int status = world_status(asks[i](ann));
            bool failed = bk_fail_alloc(0);
            if (status < 200)
                fail_msg("ask %zu, allocation %u: %d", i, n, status);
            drop_all(w, ann);
            if (status >= 500) {
                status = world_status(asks[i](ann));
                if (status != 200 && status != 409)
                    fail_msg("ask %zu, allocation %u, again: %d", i, n, status);
            }
            drop_all(w, ann);
            /* What is remembered is what is written down. */
            char before[65536], after[65536];
            snprintf(before, sizeof before, "%s", ask_contacts(ann));
            leave(w, bob);
            leave(w, ann);
            world_advance(w, 1000);
            struct bk_buf image = { 0 };
            world_crash(w, &image);
            w = world_create(&(struct world_config){ .seed = 3, .image = bk_buf_view(&image) });
            bk_buf_finish(&image);
            ann = sign_in(w, "ann", "urn:a");
            snprintf(after, sizeof after, "%s", ask_contacts(ann));
            assert_string_equal(strstr(before, "<contactList"), strstr(after, "<contactList"));
            leave(w, ann);
            world_destroy(w);
            if (!failed)
                break;
        }
    }
}

#define TEST(name) cmocka_unit_test_prestate(name, &shards)

int main(void)
{
    static unsigned shards;
    const struct CMUnitTest tests[] = {
        TEST(a_contact_list_is_edited_and_every_endpoint_sees_it),
        TEST(what_cannot_be_written_down_is_refused_and_did_not_happen),
        TEST(what_was_acknowledged_is_there_after_a_power_cut),
        TEST(nobody_asks_for_the_lists_of_another),
        TEST(provisioning_is_asked_once),
        TEST(a_batch_tells_all_at_once_and_then_each_change),
        TEST(versions_decide_and_a_conflict_names_the_right_one),
        TEST(two_endpoints_of_one_person_agree),
        TEST(plain_and_dialect_see_each_other),
        TEST(who_is_blocked_gets_the_bytes_of_somebody_offline),
        TEST(each_relation_sees_its_own),
        TEST(what_an_administrator_changes_is_seen_at_once),
        TEST(a_large_batch_is_told_in_pieces_and_whole),
        TEST(calls_meetings_and_presentations_are_inputs_of_the_one_state),
        TEST(a_note_taken_away_elsewhere_is_gone_for_all),
        TEST(a_note_set_elsewhere_reaches_the_persons_own_endpoints),
        TEST(publications_end_with_what_they_hang_on),
        TEST(the_question_for_persistent_chat_is_no_case),
        TEST(who_is_put_on_a_list_is_told_once),
        TEST(the_directory_finds_colleagues),
        TEST(a_client_that_starts_over_and_over_holds_nothing),
        TEST(a_subscription_runs_out_and_news_extend_it),
        TEST(broken_bodies_are_told_why),
    };
    const struct CMUnitTest memory[] = {
        cmocka_unit_test(short_memory_refuses_and_breaks_nothing),
    };
    int failed = cmocka_run_group_tests_name("short memory", memory, NULL, NULL);
    for (int i = 0; i < 2; i++) {
        shards = i ? 3 : 1;
        failed += cmocka_run_group_tests_name(i ? "three shards" : "one shard", tests, NULL, NULL);
    }
    return failed;
}
