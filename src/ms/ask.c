/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/ask.h"

#include "base/xml.h"

#define NS_SELF "http://schemas.microsoft.com/2006/09/sip/roaming-self"
#define NS_BATCH "http://schemas.microsoft.com/2006/01/sip/batch-subscribe"
#define NS_CATEGORY_LIST "http://schemas.microsoft.com/2006/09/sip/categorylist"
#define NS_PUBLISH "http://schemas.microsoft.com/2006/09/sip/rich-presence"
#define NS_MEMBERS "http://schemas.microsoft.com/2006/09/sip/container-management"
#define NS_SET_SUBSCRIBERS "http://schemas.microsoft.com/2006/09/sip/presence-subscribers"
#define NS_STATE "http://schemas.microsoft.com/2006/09/sip/state"
#define NS_XSI "http://www.w3.org/2001/XMLSchema-instance"
#define NS_SOAP "http://schemas.xmlsoap.org/soap/envelope/"
#define NS_SIP "http://schemas.microsoft.com/winrtc/2002/11/sip"

void bk_ms_self_ask(struct bk_buf *to, unsigned parts)
{
    bk_buf_add_lit(to, "<roamingList xmlns=\"" NS_SELF "\">");
    if (parts & BK_MS_SELF_CATEGORIES)
        bk_buf_add_lit(to, "<roaming type=\"categories\"/>");
    if (parts & BK_MS_SELF_CONTAINERS)
        bk_buf_add_lit(to, "<roaming type=\"containers\"/>");
    if (parts & BK_MS_SELF_SUBSCRIBERS)
        bk_buf_add_lit(to, "<roaming type=\"subscribers\"/>");
    bk_buf_add_lit(to, "</roamingList>");
}

/* ---- the contact list ---- */

static void add_uri(struct bk_buf *to, const char *element, struct bk_view address)
{
    bk_buf_addf(to, "<m:%s>sip:", element);
    bk_xml_escape(to, address);
    bk_buf_addf(to, "</m:%s>", element);
}

static void add_rows(struct bk_buf *to, const struct bk_ms_contact_call *call)
{
    bk_buf_add_lit(to, "<m:Array xmlns:m=\"" NS_SIP "\" id=\"searchArray\">");
    for (int i = 0; i < call->n_conditions; i++) {
        bk_buf_add_lit(to, "<m:row");
        bk_ms_xml_add_attribute(to, "attrib", call->conditions[i].attribute);
        bk_ms_xml_add_attribute(to, "value", call->conditions[i].value);
        bk_buf_add_lit(to, "/>");
    }
    bk_buf_add_lit(to, "</m:Array>");
}

void bk_ms_contact_call_write(struct bk_buf *to, const struct bk_ms_contact_call *call)
{
    const char *name = bk_ms_contact_method_names[call->method];
    bk_buf_addf(to,
                "<SOAP-ENV:Envelope xmlns:SOAP-ENV=\"" NS_SOAP "\"><SOAP-ENV:Body>"
                "<m:%s xmlns:m=\"" NS_SIP "\">",
                name);
    switch (call->method) {
    case BK_MS_MODIFY_GROUP:
    case BK_MS_DELETE_GROUP:
        bk_buf_addf(to, "<m:groupID>%lld</m:groupID>", (long long)call->group_id);
        if (call->method == BK_MS_DELETE_GROUP)
            break;
        /* fall through */
    case BK_MS_ADD_GROUP:
        bk_ms_xml_add_element(to, "m:name", call->name);
        bk_ms_xml_add_element(to, "m:externalURI", call->external);
        break;
    case BK_MS_SET_CONTACT:
        bk_ms_xml_add_element(to, "m:displayName", call->name);
        bk_ms_xml_add_element(to, "m:groups", call->groups);
        bk_buf_addf(to, "<m:subscribed>%s</m:subscribed>", call->subscribed ? "true" : "false");
        add_uri(to, "URI", call->address);
        bk_ms_xml_add_element(to, "m:externalURI", call->external);
        break;
    case BK_MS_DELETE_CONTACT:
        add_uri(to, "URI", call->address);
        break;
    case BK_MS_SET_ACE:
        bk_buf_add_lit(to, "<m:type>USER</m:type>");
        add_uri(to, "mask", call->address);
        bk_buf_addf(to, "<m:rights>%s</m:rights>", call->blocks ? "BD" : "AA");
        break;
    default:
        bk_buf_addf(to, "<m:filter m:href=\"#searchArray\"/><m:maxResults>%d</m:maxResults>",
                    call->max_results);
        break;
    }
    if (call->method != BK_MS_DIRECTORY_SEARCH && call->delta >= 0)
        bk_buf_addf(to, "<m:deltaNum>%lld</m:deltaNum>", (long long)call->delta);
    bk_buf_addf(to, "</m:%s>", name);
    if (call->method == BK_MS_DIRECTORY_SEARCH)
        add_rows(to, call);
    bk_buf_add_lit(to, "</SOAP-ENV:Body></SOAP-ENV:Envelope>");
}

/* ---- watching ---- */

static void add_action(struct bk_buf *to, bool removes, const struct bk_ms_batch_item *items, int n)
{
    static const struct {
        enum bk_ms_wanted wanted;
        const char *name;
    } names[] = {
        { BK_MS_WANTS_CALENDAR, "calendarData" },
        { BK_MS_WANTS_CARD, "contactCard" },
        { BK_MS_WANTS_NOTE, "note" },
        { BK_MS_WANTS_STATE, "state" },
    };
    unsigned wanted = 0;
    int found = 0;
    for (int i = 0; i < n; i++) {
        if (items[i].removes != removes)
            continue;
        if (!found++) {
            bk_buf_addf(to, "<action name=\"%s\" id=\"%d\"><adhocList>",
                        removes ? "unsubscribe" : "subscribe", removes ? 2 : 1);
            wanted = items[i].wanted;
        }
        bk_buf_add_lit(to, "<resource uri=\"sip:");
        bk_xml_escape(to, items[i].address);
        bk_buf_add_str(to, items[i].fresh ? "\"><context/></resource>" : "\"/>");
    }
    if (!found)
        return;
    bk_buf_add_lit(to, "</adhocList><categoryList xmlns=\"" NS_CATEGORY_LIST "\">");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (wanted & names[i].wanted)
            bk_buf_addf(to, "<category name=\"%s\"/>", names[i].name);
    bk_buf_add_lit(to, "</categoryList></action>");
}

void bk_ms_batch_write(struct bk_buf *to, struct bk_view owner,
                       const struct bk_ms_batch_item *items, int n)
{
    bk_buf_add_lit(to, "<batchSub xmlns=\"" NS_BATCH "\" uri=\"sip:");
    bk_xml_escape(to, owner);
    bk_buf_add_lit(to, "\" name=\"\">");
    add_action(to, false, items, n);
    add_action(to, true, items, n);
    bk_buf_add_lit(to, "</batchSub>");
}

/* ---- publishing ---- */

void bk_ms_publish_write(struct bk_buf *to, struct bk_view owner,
                         const struct bk_ms_publish_item *items, int n)
{
    bk_buf_add_lit(to, "<publish xmlns=\"" NS_PUBLISH "\"><publications uri=\"sip:");
    bk_xml_escape(to, owner);
    bk_buf_add_lit(to, "\">");
    for (int i = 0; i < n; i++) {
        const struct bk_ms_publication *p = &items[i].key;
        bk_buf_add_lit(to, "<publication");
        bk_ms_xml_add_attribute(to, "categoryName", p->category);
        bk_buf_addf(to, " instance=\"%u\" container=\"%u\" version=\"%u\" expireType=\"%s\"",
                    p->instance, p->container, p->version, bk_ms_expire_name(p->expire));
        if (p->removes || p->expires_s >= 0)
            bk_buf_addf(to, " expires=\"%lld\"", p->removes ? 0LL : (long long)p->expires_s);
        bk_buf_add_char(to, '>');
        if (!p->removes)
            bk_buf_add_view(to, items[i].content);
        bk_buf_add_lit(to, "</publication>");
    }
    bk_buf_add_lit(to, "</publications></publish>");
}

void bk_ms_machine_state_write(struct bk_buf *to, enum bk_pidf_machine machine)
{
    static const int availability[BK_PIDF_MACHINE_COUNT] = {
        [BK_PIDF_MACHINE_ACTIVE] = 3500,
        [BK_PIDF_MACHINE_INACTIVE] = 5000,
        [BK_PIDF_MACHINE_AWAY] = 15500,
    };
    bk_buf_addf(to,
                "<state xmlns=\"" NS_STATE "\" manual=\"false\" xmlns:xsi=\"" NS_XSI
                "\" xsi:type=\"machineState\"><availability>%d</availability></state>",
                availability[machine]);
}

uint32_t bk_ms_instance_machine_state(uint32_t seed)
{
    return 0x30000000u + (seed >> 4);
}

/* ---- access levels ---- */

static const char *const type_names[BK_MS_MEMBER_TYPE_COUNT] = {
    "user", "domain", "sameEnterprise", "federated", "publicCloud", "everyone",
};

void bk_ms_set_members_write(struct bk_buf *to, const struct bk_ms_member_change *changes, int n)
{
    bk_buf_add_lit(to, "<setContainerMembers xmlns=\"" NS_MEMBERS "\">");
    for (int i = 0; i < n; i++) {
        bk_buf_addf(to, "<container id=\"%d\" version=\"%u\"><member action=\"%s\" type=\"%s\"",
                    changes[i].container, changes[i].version, changes[i].removes ? "remove" : "add",
                    type_names[changes[i].member.type]);
        if (changes[i].member.value.len)
            bk_ms_xml_add_attribute(to, "value", changes[i].member.value);
        bk_buf_add_lit(to, "/></container>");
    }
    bk_buf_add_lit(to, "</setContainerMembers>");
}

void bk_ms_set_subscribers_write(struct bk_buf *to, const struct bk_ms_subscriber *rows, int n)
{
    bk_buf_add_lit(to, "<setSubscribers xmlns=\"" NS_SET_SUBSCRIBERS "\">");
    for (int i = 0; i < n; i++)
        bk_ms_subscriber_write(to, &rows[i]);
    bk_buf_add_lit(to, "</setSubscribers>");
}
