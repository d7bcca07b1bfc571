/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/category.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "base/xml.h"
#include "ms/contacts.h"

#include <errno.h>

#define NS_CATEGORIES "http://schemas.microsoft.com/2006/09/sip/categories"
#define NS_STATE "http://schemas.microsoft.com/2006/09/sip/state"
#define NS_NOTE "http://schemas.microsoft.com/2006/09/sip/note"
#define NS_CARD "http://schemas.microsoft.com/2006/09/sip/contactcard"
#define NS_SELF "http://schemas.microsoft.com/2006/09/sip/roaming-self"
#define NS_XSI "http://www.w3.org/2001/XMLSchema-instance"

static const char *const expire_names[BK_MS_EXPIRE_COUNT] = { "static", "endpoint", "user",
                                                              "time" };

const char *bk_ms_expire_name(enum bk_ms_expire expire)
{
    return expire_names[expire];
}

/* ---- publishing ---- */

static int read_u32(const struct bk_ms_xml *node, const char *name, uint32_t fallback,
                    uint32_t *ret)
{
    struct bk_view text = bk_view_trim(bk_ms_xml_attribute(node, name));
    uint64_t n;
    *ret = fallback;
    if (!text.len)
        return 0;
    if (bk_view_to_u64(text, UINT32_MAX, &n) < 0)
        return -EBADMSG;
    *ret = (uint32_t)n;
    return 0;
}

static int read_publication(const struct bk_ms_xml *node, struct bk_ms_publication *ret,
                            const char **ret_why)
{
    struct bk_view expire = bk_ms_xml_attribute(node, "expireType");
    struct bk_view expires = bk_view_trim(bk_ms_xml_attribute(node, "expires"));
    uint64_t seconds;

    *ret = (struct bk_ms_publication){ .category = bk_ms_xml_attribute(node, "categoryName"),
                                       .expires_s = -1,
                                       .expire = BK_MS_EXPIRE_COUNT };
    if (!ret->category.len || ret->category.len > BK_MS_CATEGORY_NAME_MAX) {
        *ret_why = "a publication has no name, or a long one";
        return -EBADMSG;
    }
    if (read_u32(node, "instance", 0, &ret->instance) < 0 ||
        read_u32(node, "container", 0, &ret->container) < 0 ||
        read_u32(node, "version", 0, &ret->version) < 0) {
        *ret_why = "instance, container or version is no number";
        return -EBADMSG;
    }
    if (!expire.len)
        ret->expire = BK_MS_EXPIRE_STATIC;
    for (int i = 0; i < BK_MS_EXPIRE_COUNT; i++)
        if (bk_view_equal_nocase(expire, bk_view_of_str(expire_names[i])))
            ret->expire = i;
    if (ret->expire == BK_MS_EXPIRE_COUNT) {
        *ret_why = "this expireType is not known";
        return -EBADMSG;
    }
    if (expires.len) {
        if (bk_view_to_u64(expires, UINT32_MAX, &seconds) < 0) {
            *ret_why = "expires is no number";
            return -EBADMSG;
        }
        ret->expires_s = (int64_t)seconds;
        ret->removes = seconds == 0;
    }
    if (!ret->removes)
        ret->content = bk_ms_xml_child(node, NULL);
    if (ret->expire == BK_MS_EXPIRE_TIME && ret->expires_s < 0) {
        *ret_why = "a publication for some time says not how long";
        return -EBADMSG;
    }
    return 0;
}

int bk_ms_publish_parse(struct bk_view body, struct bk_arena *arena, struct bk_ms_publish *ret,
                        const char **ret_why)
{
    struct bk_ms_xml *root;
    int r = bk_ms_xml_parse(body, arena, &root, ret_why);
    if (r < 0)
        return r;
    const struct bk_ms_xml *list =
        bk_ms_xml_is(root, "publish") ? bk_ms_xml_child(root, "publications") : NULL;
    if (!list) {
        *ret_why = "no publications";
        return -EBADMSG;
    }
    ret->n = 0;
    ret->address = bk_ms_address(arena, bk_ms_xml_attribute(list, "uri"));
    BK_MS_XML_EACH(item, list, "publication")
    {
        if (ret->n == BK_MS_PUBLICATIONS_MAX) {
            *ret_why = "too many publications at once";
            return -EBADMSG;
        }
        r = read_publication(item, &ret->items[ret->n], ret_why);
        if (r < 0)
            return r;
        for (int i = 0; i < ret->n; i++) {
            const struct bk_ms_publication *a = &ret->items[i], *b = &ret->items[ret->n];
            if (a->instance == b->instance && a->container == b->container &&
                bk_view_equal(a->category, b->category)) {
                *ret_why = "the same publication twice";
                return -EBADMSG;
            }
        }
        ret->n++;
    }
    return 0;
}

void bk_ms_fault_write(struct bk_buf *to, const struct bk_ms_conflict *conflicts, int n)
{
    bk_buf_add_lit(to, "<Fault><Faultcode>Client.BadCall.WrongDelta</Faultcode><details>");
    for (int i = 0; i < n; i++)
        bk_buf_addf(to, "<operation index=\"%d\" curVersion=\"%u\"/>", conflicts[i].index,
                    conflicts[i].version);
    bk_buf_add_lit(to, "</details></Fault>");
}

/* ---- what is inside ---- */

static const struct {
    const char *name;
    enum bk_ms_state_type type;
} state_types[] = {
    { "machineState", BK_MS_STATE_MACHINE },       { "userState", BK_MS_STATE_USER },
    { "phoneState", BK_MS_STATE_PHONE },           { "calendarState", BK_MS_STATE_CALENDAR },
    { "conferenceState", BK_MS_STATE_CONFERENCE }, { "aggregateState", BK_MS_STATE_AGGREGATE },
};

int bk_ms_state_read(const struct bk_ms_xml *content, struct bk_ms_state *ret)
{
    struct bk_ms_state state = { 0 };
    uint64_t n;
    if (!bk_ms_xml_is(content, "state") ||
        bk_view_to_u64(bk_ms_xml_child_text(content, "availability"), 1000000, &n) < 0)
        return -EBADMSG;
    state.availability = (int)n;
    state.activity = bk_ms_xml_attribute(bk_ms_xml_child(content, "activity"), "token");
    struct bk_view type = bk_ms_xml_attribute(content, "type");
    size_t colon = bk_view_find(type, ':');
    if (colon < type.len)
        type = bk_view_skip(type, colon + 1);
    for (size_t i = 0; i < BK_COUNT_OF(state_types); i++)
        if (bk_view_equal(type, bk_view_of_str(state_types[i].name)))
            state.type = state_types[i].type;
    struct bk_view end = bk_ms_xml_attribute(content, "endTime");
    if (end.len)
        (void)bk_time_iso_parse(end, &state.until_ms);
    *ret = state;
    return 0;
}

struct bk_view bk_ms_note_read(const struct bk_ms_xml *content)
{
    if (!bk_ms_xml_is(content, "note"))
        return (struct bk_view){ 0 };
    BK_MS_XML_EACH(body, content, "body")
    {
        struct bk_view type = bk_ms_xml_attribute(body, "type");
        if (!type.len || bk_view_equal_nocase(type, BK_VIEW("personal")) ||
            bk_view_equal_nocase(type, BK_VIEW("OOF"))) {
            struct bk_view text = bk_view_trim(bk_ms_xml_text(body));
            return text.len ? text : BK_VIEW("");
        }
    }
    return (struct bk_view){ 0 };
}

/* The ranges in which a number means the same, each from here on up. */
static const struct {
    int from;
    enum bk_pidf_shown shown;
    enum bk_pidf_manual manual;
    enum bk_pidf_machine machine;
} ranges[] = {
    { 18000, BK_PIDF_SHOWN_OFFLINE, BK_PIDF_MANUAL_OFFLINE, BK_PIDF_MACHINE_AWAY },
    { 15000, BK_PIDF_SHOWN_AWAY, BK_PIDF_MANUAL_AWAY, BK_PIDF_MACHINE_AWAY },
    { 12000, BK_PIDF_SHOWN_BRB, BK_PIDF_MANUAL_BRB, BK_PIDF_MACHINE_AWAY },
    { 9000, BK_PIDF_SHOWN_DND, BK_PIDF_MANUAL_DND, BK_PIDF_MACHINE_ACTIVE },
    { 7500, BK_PIDF_SHOWN_BUSY_INACTIVE, BK_PIDF_MANUAL_BUSY, BK_PIDF_MACHINE_INACTIVE },
    { 6000, BK_PIDF_SHOWN_BUSY, BK_PIDF_MANUAL_BUSY, BK_PIDF_MACHINE_ACTIVE },
    { 4500, BK_PIDF_SHOWN_AVAILABLE_INACTIVE, BK_PIDF_MANUAL_NONE, BK_PIDF_MACHINE_INACTIVE },
    { 3000, BK_PIDF_SHOWN_AVAILABLE, BK_PIDF_MANUAL_NONE, BK_PIDF_MACHINE_ACTIVE },
    { 1, BK_PIDF_SHOWN_OFFLINE, BK_PIDF_MANUAL_NONE, BK_PIDF_MACHINE_AWAY },
    /* A stock client that nobody touches publishes 0 of its machine, and 3500 when somebody does again. */
    { 0, BK_PIDF_SHOWN_UNKNOWN, BK_PIDF_MANUAL_NONE, BK_PIDF_MACHINE_INACTIVE },
};

static size_t range_of(int availability)
{
    size_t i = 0;
    while (i + 1 < BK_COUNT_OF(ranges) && availability < ranges[i].from)
        i++;
    return i;
}

enum bk_pidf_manual bk_ms_manual_of(const struct bk_ms_state *state)
{
    enum bk_pidf_manual manual = ranges[range_of(state->availability)].manual;
    if (manual == BK_PIDF_MANUAL_AWAY && bk_view_equal(state->activity, BK_VIEW("off-work")))
        return BK_PIDF_MANUAL_OFFWORK;
    return manual;
}

enum bk_pidf_machine bk_ms_machine_of(const struct bk_ms_state *state)
{
    return ranges[range_of(state->availability)].machine;
}

bool bk_ms_machine_closed(const struct bk_ms_state *state)
{
    return state->availability >= 18000 || (state->availability && state->availability < 3000);
}

/* docs/behaviour.md, "Presence: documents": the points that are published. */
static const struct {
    int availability;
    const char *activity;
} points[BK_PIDF_SHOWN_COUNT] = {
    [BK_PIDF_SHOWN_UNKNOWN] = { 0, NULL },
    [BK_PIDF_SHOWN_OFFLINE] = { 18500, NULL },
    [BK_PIDF_SHOWN_AVAILABLE] = { 3500, NULL },
    [BK_PIDF_SHOWN_AVAILABLE_INACTIVE] = { 5000, NULL },
    [BK_PIDF_SHOWN_BUSY] = { 6500, NULL },
    [BK_PIDF_SHOWN_BUSY_INACTIVE] = { 7500, NULL },
    [BK_PIDF_SHOWN_IN_CALL] = { 6500, "on-the-phone" },
    [BK_PIDF_SHOWN_IN_CONFERENCE] = { 6500, "in-a-conference" },
    [BK_PIDF_SHOWN_IN_MEETING] = { 6500, "in-a-meeting" },
    [BK_PIDF_SHOWN_DND] = { 9500, NULL },
    [BK_PIDF_SHOWN_PRESENTING] = { 9500, "in-presentation" },
    [BK_PIDF_SHOWN_BRB] = { 12500, NULL },
    [BK_PIDF_SHOWN_AWAY] = { 15500, NULL },
    [BK_PIDF_SHOWN_OFFWORK] = { 15500, "off-work" },
};

int bk_ms_availability_of(enum bk_pidf_shown shown)
{
    return points[shown].availability;
}

const char *bk_ms_activity_of(enum bk_pidf_shown shown)
{
    return points[shown].activity;
}

enum bk_pidf_shown bk_ms_shown_of(int availability, struct bk_view activity)
{
    enum bk_pidf_shown shown = ranges[range_of(availability)].shown;
    for (int i = 0; activity.len && i < BK_PIDF_SHOWN_COUNT; i++)
        if (points[i].activity && bk_view_equal(activity, bk_view_of_str(points[i].activity)) &&
            range_of(points[i].availability) == range_of(availability))
            return i;
    return shown;
}

int bk_ms_availability_of_manual(enum bk_pidf_manual manual)
{
    switch (manual) {
    case BK_PIDF_MANUAL_BUSY:
        return 6500;
    case BK_PIDF_MANUAL_DND:
        return 9500;
    case BK_PIDF_MANUAL_BRB:
        return 12500;
    case BK_PIDF_MANUAL_AWAY:
    case BK_PIDF_MANUAL_OFFWORK:
        return 15500;
    case BK_PIDF_MANUAL_OFFLINE:
        return 18500;
    default:
        return 0;
    }
}

/* ---- documents ---- */

void bk_ms_categories_begin(struct bk_buf *to, struct bk_view address)
{
    bk_buf_add_lit(to, "<categories xmlns=\"" NS_CATEGORIES "\" uri=\"sip:");
    bk_xml_escape(to, address);
    bk_buf_add_lit(to, "\">");
}

void bk_ms_categories_end(struct bk_buf *to)
{
    bk_buf_add_lit(to, "</categories>");
}

void bk_ms_category_write(struct bk_buf *to, const struct bk_ms_category *c)
{
    bk_buf_add_lit(to, "<category");
    bk_ms_xml_add_attribute(to, "name", c->name);
    bk_buf_addf(to, " instance=\"%u\"", c->instance);
    if (c->published_ms) {
        char at[32];
        bk_time_iso(c->published_ms, true, at);
        bk_buf_addf(to, " publishTime=\"%s\"", at);
    }
    if (c->own)
        bk_buf_addf(to, " container=\"%u\" version=\"%u\" expireType=\"%s\"", c->container,
                    c->version, expire_names[c->expire]);
    if (!c->content.len) {
        bk_buf_add_lit(to, "/>");
        return;
    }
    bk_buf_add_char(to, '>');
    bk_buf_add_view(to, c->content);
    bk_buf_add_lit(to, "</category>");
}

void bk_ms_category_gone(struct bk_buf *to, struct bk_view name)
{
    bk_buf_add_lit(to, "<category");
    bk_ms_xml_add_attribute(to, "name", name);
    bk_buf_add_lit(to, "/>");
}

void bk_ms_aggregate_write(struct bk_buf *to, enum bk_pidf_shown shown, int64_t active_ms)
{
    bk_buf_add_lit(to, "<state xmlns=\"" NS_STATE "\" xmlns:xsi=\"" NS_XSI
                       "\" xsi:type=\"aggregateState\"");
    if (active_ms) {
        char at[32];
        bk_time_iso(active_ms, true, at);
        bk_buf_addf(to, " lastActive=\"%s\"", at);
    }
    bk_buf_addf(to, "><availability>%d</availability>", points[shown].availability);
    if (points[shown].activity)
        bk_buf_addf(to, "<activity token=\"%s\"/>", points[shown].activity);
    bk_buf_add_lit(to, "</state>");
}

void bk_ms_note_write(struct bk_buf *to, struct bk_view text)
{
    if (!text.len) {
        bk_buf_add_lit(to, "<note xmlns=\"" NS_NOTE "\"/>");
        return;
    }
    bk_buf_add_lit(to, "<note xmlns=\"" NS_NOTE "\"><body type=\"personal\" uri=\"\">");
    bk_xml_escape(to, text);
    bk_buf_add_lit(to, "</body></note>");
}

void bk_ms_user_state_write(struct bk_buf *to, enum bk_pidf_manual manual)
{
    bk_buf_addf(to,
                "<state xmlns=\"" NS_STATE "\" manual=\"true\" xmlns:xsi=\"" NS_XSI
                "\" xsi:type=\"userState\"><availability>%d</availability>%s</state>",
                bk_ms_availability_of_manual(manual),
                manual == BK_PIDF_MANUAL_OFFWORK ? "<activity token=\"off-work\"/>" : "");
}

static void add_known(struct bk_buf *to, const char *name, struct bk_view text)
{
    if (text.len)
        bk_ms_xml_add_element(to, name, text);
}

void bk_ms_card_write(struct bk_buf *to, const struct bk_ms_card *card)
{
    bk_buf_add_lit(to, "<contactCard xmlns=\"" NS_CARD "\"><identity><name>");
    bk_ms_xml_add_element(to, "displayName", card->display_name);
    bk_buf_add_lit(to, "</name>");
    add_known(to, "email", card->email);
    bk_buf_add_lit(to, "</identity>");
    add_known(to, "company", card->company);
    add_known(to, "department", card->department);
    add_known(to, "title", card->title);
    add_known(to, "office", card->office);
    bk_buf_add_lit(to, "</contactCard>");
}

/* docs/behaviour.md, "Relations": who sees what of a card; other elements are for nobody. type empty: of any. */
static const struct {
    const char *element, *type;
    int from; /* the lowest relation that sees it */
    bool blocked;
} card_rows[] = {
    { "identity", "", 100, true },     { "company", "", 100, false },
    { "department", "", 100, false },  { "title", "", 100, false },
    { "office", "", 100, false },      { "isUCEnabled", "", 100, true },
    { "automaton", "", 100, true },    { "photo", "", 100, false },
    { "phone", "work", 200, false },   { "phone", "mobile", 300, false },
    { "phone", "home", 400, false },   { "phone", "other", 400, false },
    { "address", "work", 200, false }, { "address", "home", 400, false },
    { "url", "", 200, false },
};

static bool card_shows(const struct bk_ms_xml *element, int relation)
{
    struct bk_view type = bk_ms_xml_attribute(element, "type");
    for (size_t i = 0; i < BK_COUNT_OF(card_rows); i++)
        if (bk_ms_xml_is(element, card_rows[i].element) &&
            (!card_rows[i].type[0] || bk_view_equal(type, bk_view_of_str(card_rows[i].type))))
            return relation == 32000 ? card_rows[i].blocked : relation >= card_rows[i].from;
    return false;
}

void bk_ms_card_filter(struct bk_buf *to, const struct bk_ms_xml *card, int relation)
{
    bk_buf_add_lit(to, "<contactCard xmlns=\"" NS_CARD "\">");
    BK_MS_XML_EACH(element, card, NULL)
    if (card_shows(element, relation))
        bk_ms_xml_write(to, element, BK_VIEW(NS_CARD));
    bk_buf_add_lit(to, "</contactCard>");
}

/* ---- roaming self ---- */

int bk_ms_self_parse(struct bk_view body, struct bk_arena *arena, unsigned *ret,
                     const char **ret_why)
{
    static const struct {
        const char *type;
        enum bk_ms_self_part part;
    } parts[] = {
        { "categories", BK_MS_SELF_CATEGORIES },
        { "containers", BK_MS_SELF_CONTAINERS },
        { "subscribers", BK_MS_SELF_SUBSCRIBERS },
    };
    struct bk_ms_xml *root;
    if (!body.len) {
        *ret = BK_MS_SELF_CATEGORIES | BK_MS_SELF_CONTAINERS | BK_MS_SELF_SUBSCRIBERS;
        return 0;
    }
    int r = bk_ms_xml_parse(body, arena, &root, ret_why);
    if (r < 0)
        return r;
    if (!bk_ms_xml_is(root, "roamingList")) {
        *ret_why = "no roamingList";
        return -EBADMSG;
    }
    *ret = 0;
    BK_MS_XML_EACH(roaming, root, "roaming")
    for (size_t i = 0; i < BK_COUNT_OF(parts); i++)
        if (bk_view_equal(bk_ms_xml_attribute(roaming, "type"), bk_view_of_str(parts[i].type)))
            *ret |= parts[i].part;
    return 0;
}

void bk_ms_self_begin(struct bk_buf *to)
{
    bk_buf_add_lit(to, "<roamingData xmlns=\"" NS_SELF "\">");
}

void bk_ms_self_end(struct bk_buf *to)
{
    bk_buf_add_lit(to, "</roamingData>");
}
