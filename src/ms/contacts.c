/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/contacts.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "base/xml.h"
#include "sip/uri.h"

#include <errno.h>
#include <stdlib.h>

#define NS_CONTACTS "http://schemas.microsoft.com/2006/09/sip/roaming-contacts"

/* ---- the list ---- */

void bk_ms_contacts_init(struct bk_ms_contacts *list)
{
    *list = (struct bk_ms_contacts){ .delta = 1, .next_group = 1 };
    bk_list_init(&list->groups);
    bk_list_init(&list->contacts);
}

static void drop_group(struct bk_ms_contacts *list, struct bk_ms_group *g)
{
    bk_list_remove(&g->in_list);
    list->n_groups--;
    free(g);
}

void bk_ms_contacts_finish(struct bk_ms_contacts *list)
{
    BK_LIST_EACH(&list->groups, it)
    drop_group(list, bk_container_of(it, struct bk_ms_group, in_list));
    BK_LIST_EACH(&list->contacts, it)
    {
        bk_list_remove(it);
        free(bk_container_of(it, struct bk_ms_contact, in_list));
    }
    list->n_contacts = 0;
}

struct bk_ms_group *bk_ms_contacts_group(const struct bk_ms_contacts *list, int64_t id)
{
    BK_LIST_EACH(&list->groups, it)
    {
        struct bk_ms_group *g = bk_container_of(it, struct bk_ms_group, in_list);
        if (g->id == id)
            return g;
    }
    return NULL;
}

static struct bk_ms_group *group_named(const struct bk_ms_contacts *list, struct bk_view name)
{
    BK_LIST_EACH(&list->groups, it)
    {
        struct bk_ms_group *g = bk_container_of(it, struct bk_ms_group, in_list);
        if (bk_view_equal(g->name, name))
            return g;
    }
    return NULL;
}

struct bk_ms_contact *bk_ms_contacts_find(const struct bk_ms_contacts *list, struct bk_view address)
{
    BK_LIST_EACH(&list->contacts, it)
    {
        struct bk_ms_contact *c = bk_container_of(it, struct bk_ms_contact, in_list);
        if (bk_view_equal(c->address, address))
            return c;
    }
    return NULL;
}

/* Copies v to *at and moves *at on. */
static struct bk_view keep(char **at, struct bk_view v)
{
    struct bk_view kept = { *at, v.len };
    if (v.len)
        memcpy(*at, v.at, v.len);
    *at += v.len;
    return kept;
}

int bk_ms_contacts_put_group(struct bk_ms_contacts *list, int64_t id, struct bk_view name,
                             struct bk_view external, struct bk_ms_group **ret)
{
    struct bk_ms_group *old = bk_ms_contacts_group(list, id);
    struct bk_ms_group *g = calloc(1, sizeof *g + name.len + external.len);
    if (!g)
        return -ENOMEM;
    char *at = g->text;
    g->id = id;
    g->name = keep(&at, name);
    g->external = keep(&at, external);
    if (old) {
        bk_list_add_before(&old->in_list, &g->in_list);
        drop_group(list, old);
    } else {
        bk_list_append(&list->groups, &g->in_list);
    }
    list->n_groups++;
    if (id >= list->next_group)
        list->next_group = id + 1;
    *ret = g;
    return 0;
}

static bool in_group(const struct bk_ms_contact *c, int64_t id)
{
    for (int i = 0; i < c->n_groups; i++)
        if (c->groups[i] == id)
            return true;
    return false;
}

static void join(struct bk_ms_contact *c, int64_t id)
{
    if (in_group(c, id) || c->n_groups == BK_MS_GROUPS_MAX)
        return;
    int at = c->n_groups++;
    for (; at > 0 && c->groups[at - 1] > id; at--)
        c->groups[at] = c->groups[at - 1];
    c->groups[at] = id;
}

static void leave(struct bk_ms_contact *c, int64_t id)
{
    int n = 0;
    for (int i = 0; i < c->n_groups; i++)
        if (c->groups[i] != id)
            c->groups[n++] = c->groups[i];
    c->n_groups = n;
}

/* known: groups that are not in the list are left out. */
static int read_groups(const struct bk_ms_contacts *list, bool known, struct bk_view text,
                       struct bk_ms_contact *c)
{
    while (text.at && text.len) {
        struct bk_view word = bk_view_trim(bk_view_cut(&text, ' '));
        uint64_t id;
        if (!word.len)
            continue;
        if (bk_view_to_u64(word, INT64_MAX, &id) < 0)
            return -EINVAL;
        if (!known || bk_ms_contacts_group(list, (int64_t)id))
            join(c, (int64_t)id);
    }
    return 0;
}

static struct bk_ms_contact *make_contact(struct bk_view address, struct bk_view name,
                                          bool subscribed, struct bk_view external)
{
    struct bk_ms_contact *c = calloc(1, sizeof *c + address.len + name.len + external.len);
    if (!c)
        return NULL;
    char *at = c->text;
    c->address = keep(&at, address);
    c->name = keep(&at, name);
    c->external = keep(&at, external);
    c->subscribed = subscribed;
    bk_list_init(&c->in_list);
    return c;
}

/* c takes the place of old, or stands last. */
static void place_contact(struct bk_ms_contacts *list, struct bk_ms_contact *c,
                          struct bk_ms_contact *old)
{
    if (old) {
        bk_list_add_before(&old->in_list, &c->in_list);
        bk_list_remove(&old->in_list);
        free(old);
    } else {
        bk_list_append(&list->contacts, &c->in_list);
        list->n_contacts++;
    }
}

int bk_ms_contacts_put(struct bk_ms_contacts *list, struct bk_view address, struct bk_view name,
                       struct bk_view groups, bool subscribed, struct bk_view external,
                       struct bk_ms_contact **ret)
{
    struct bk_ms_contact *c = make_contact(address, name, subscribed, external);
    if (!c)
        return -ENOMEM;
    if (read_groups(list, false, groups, c) < 0) {
        free(c);
        return -EINVAL;
    }
    place_contact(list, c, bk_ms_contacts_find(list, address));
    *ret = c;
    return 0;
}

void bk_ms_contact_groups_write(struct bk_buf *to, const struct bk_ms_contact *c)
{
    for (int i = 0; i < c->n_groups; i++)
        bk_buf_addf(to, "%s%lld", i ? " " : "", (long long)c->groups[i]);
}

static void write_group(struct bk_buf *to, const char *element, const struct bk_ms_group *g)
{
    bk_buf_addf(to, "<%s id=\"%lld\"", element, (long long)g->id);
    bk_ms_xml_add_attribute(to, "name", g->name);
    bk_ms_xml_add_attribute(to, "externalURI", g->external);
    bk_buf_add_lit(to, "/>");
}

/* In deltas the URI has its scheme, in the list it has not: the stock client takes each as it is. */
static void write_contact(struct bk_buf *to, const char *element, const char *scheme,
                          const struct bk_ms_contact *c)
{
    bk_buf_addf(to, "<%s uri=\"%s", element, scheme);
    bk_xml_escape(to, c->address);
    bk_buf_add_char(to, '"');
    bk_ms_xml_add_attribute(to, "name", c->name);
    bk_buf_add_lit(to, " groups=\"");
    bk_ms_contact_groups_write(to, c);
    bk_buf_addf(to, "\" subscribed=\"%s\"", c->subscribed ? "true" : "false");
    bk_ms_xml_add_attribute(to, "externalURI", c->external);
    bk_buf_add_lit(to, "/>");
}

void bk_ms_contacts_write(struct bk_buf *to, const struct bk_ms_contacts *list)
{
    bk_buf_addf(to, "<contactList xmlns=\"" NS_CONTACTS "\" deltaNum=\"%lld\">",
                (long long)list->delta);
    BK_LIST_EACH(&list->groups, it)
    write_group(to, "group", bk_container_of(it, struct bk_ms_group, in_list));
    BK_LIST_EACH(&list->contacts, it)
    write_contact(to, "contact", "", bk_container_of(it, struct bk_ms_contact, in_list));
    bk_buf_add_lit(to, "</contactList>");
}

/* ---- calls ---- */

const char *const bk_ms_contact_method_names[BK_MS_CONTACT_METHOD_COUNT] = {
    [BK_MS_ADD_GROUP] = "addGroup",
    [BK_MS_MODIFY_GROUP] = "modifyGroup",
    [BK_MS_DELETE_GROUP] = "deleteGroup",
    [BK_MS_SET_CONTACT] = "setContact",
    [BK_MS_DELETE_CONTACT] = "deleteContact",
    [BK_MS_SET_ACE] = "setACE",
    [BK_MS_DIRECTORY_SEARCH] = "directorySearch",
};

struct bk_view bk_ms_address(struct bk_arena *arena, struct bk_view uri)
{
    struct bk_sip_uri parsed;
    struct bk_buf aor = { 0 };
    struct bk_view result = { 0 };
    uri = bk_view_trim(uri);
    bool scheme = bk_view_starts_with_nocase(uri, BK_VIEW("sip:")) ||
                  bk_view_starts_with_nocase(uri, BK_VIEW("sips:"));
    struct bk_buf text = { 0 };
    if (!scheme)
        bk_buf_add_lit(&text, "sip:");
    bk_buf_add_view(&text, uri);
    if (!text.failed && bk_sip_uri_parse(bk_buf_view(&text), &parsed) == 0 && parsed.has_user &&
        parsed.user.len && bk_sip_uri_aor(&parsed, &aor) == 0 && aor.len <= BK_SIP_AOR_MAX)
        result = bk_arena_copy(arena, bk_buf_view(&aor));
    bk_buf_finish(&text);
    bk_buf_finish(&aor);
    return result;
}

static int read_number(const struct bk_ms_xml *method, const char *name, int64_t *ret,
                       const char **ret_why)
{
    uint64_t n;
    if (!bk_ms_xml_child(method, name))
        return 0;
    if (bk_view_to_u64(bk_ms_xml_child_text(method, name), INT64_MAX, &n) < 0) {
        *ret_why = "a number is none";
        return -EBADMSG;
    }
    *ret = (int64_t)n;
    return 0;
}

static int read_text(const struct bk_ms_xml *method, const char *name, size_t max,
                     struct bk_view *ret, const char **ret_why)
{
    *ret = bk_ms_xml_child_text(method, name);
    if (ret->len <= max)
        return 0;
    *ret_why = "a text is too long";
    return -EBADMSG;
}

static int read_address(const struct bk_ms_xml *method, const char *name, struct bk_arena *arena,
                        struct bk_view *ret, const char **ret_why)
{
    *ret = bk_ms_address(arena, bk_ms_xml_child_text(method, name));
    if (ret->len)
        return 0;
    *ret_why = "an address cannot be read";
    return -EBADMSG;
}

/* The rows stand in an Array beside the method, or, with a wrapper or without, below it. */
static void read_conditions(const struct bk_ms_xml *at, struct bk_ms_contact_call *call)
{
    BK_MS_XML_EACH(array, at, "Array")
    {
        BK_MS_XML_EACH(row, array, "row")
        {
            if (call->n_conditions == BK_MS_SEARCH_CONDITIONS_MAX)
                return;
            struct bk_ms_search_condition *c = &call->conditions[call->n_conditions];
            c->attribute = bk_ms_xml_attribute(row, "attrib");
            c->value = bk_view_trim(bk_ms_xml_attribute(row, "value"));
            if (c->attribute.len && c->value.len && c->value.len <= BK_MS_CONTACT_TEXT_MAX)
                call->n_conditions++;
        }
    }
}

static int read_call(const struct bk_ms_xml *method, const struct bk_ms_xml *body,
                     struct bk_arena *arena, struct bk_ms_contact_call *call, const char **ret_why)
{
    int r = read_number(method, "deltaNum", &call->delta, ret_why);
    int64_t max = 0;

    if (r == 0)
        r = read_text(method, "externalURI", BK_MS_CONTACT_EXTERNAL_MAX, &call->external, ret_why);
    if (r < 0)
        return r;
    switch (call->method) {
    case BK_MS_MODIFY_GROUP:
    case BK_MS_DELETE_GROUP:
        r = read_number(method, "groupID", &call->group_id, ret_why);
        if (r < 0 || call->method == BK_MS_DELETE_GROUP)
            return r;
        /* fall through */
    case BK_MS_ADD_GROUP:
        r = read_text(method, "name", BK_MS_CONTACT_TEXT_MAX, &call->name, ret_why);
        if (r == 0 && !call->name.len) {
            *ret_why = "a group has no name";
            return -EBADMSG;
        }
        return r;
    case BK_MS_SET_CONTACT:
        call->groups = bk_ms_xml_child_text(method, "groups");
        call->subscribed =
            !bk_view_equal_nocase(bk_ms_xml_child_text(method, "subscribed"), BK_VIEW("false"));
        r = read_text(method, "displayName", BK_MS_CONTACT_TEXT_MAX, &call->name, ret_why);
        return r < 0 ? r : read_address(method, "URI", arena, &call->address, ret_why);
    case BK_MS_DELETE_CONTACT:
        return read_address(method, "URI", arena, &call->address, ret_why);
    case BK_MS_SET_ACE:
        call->blocks = bk_view_ends_with(bk_ms_xml_child_text(method, "rights"), BK_VIEW("D"));
        return read_address(method, "mask", arena, &call->address, ret_why);
    default:
        r = read_number(method, "maxResults", &max, ret_why);
        call->max_results = (int)(max > 1000 ? 1000 : max);
        read_conditions(body, call);
        read_conditions(method, call);
        return r;
    }
}

int bk_ms_contact_call_parse(struct bk_view text, struct bk_arena *arena,
                             struct bk_ms_contact_call *ret, const char **ret_why)
{
    const struct bk_ms_xml *method, *body;
    int r = bk_ms_soap_parse(text, arena, &method, &body, ret_why);
    if (r < 0)
        return r;
    for (int i = 0; i < BK_MS_CONTACT_METHOD_COUNT; i++) {
        if (!bk_ms_xml_is(method, bk_ms_contact_method_names[i]))
            continue;
        struct bk_ms_contact_call call = {
            .method = i, .method_name = bk_view_of_str(bk_ms_contact_method_names[i]), .delta = -1
        };
        r = read_call(method, body, arena, &call, ret_why);
        if (r == 0)
            *ret = call;
        return r;
    }
    *ret_why = "this method is not known";
    return -EOPNOTSUPP;
}

/* ---- changing ---- */

static int refuse(struct bk_ms_contact_change *ret, int status, const char *fault, const char *text)
{
    ret->status = status;
    ret->fault = fault;
    ret->text = text;
    ret->nothing = true;
    return 0;
}

static int add_group(struct bk_ms_contacts *list, const struct bk_ms_contact_call *call,
                     struct bk_ms_contact_change *ret)
{
    /* Two endpoints that find an empty list both make "~": the second one gets the first one's. */
    struct bk_ms_group *g = group_named(list, call->name);
    if (g) {
        ret->nothing = true;
        ret->group_id = g->id;
        return 0;
    }
    if (list->n_groups >= BK_MS_GROUPS_MAX)
        return refuse(ret, 413, "Client.BadCall.TooManyGroups",
                      "There is no room for another group");
    int r = bk_ms_contacts_put_group(list, list->next_group, call->name, call->external, &g);
    if (r < 0)
        return r;
    g->changed = ret->group_added = true;
    ret->group_id = g->id;
    list->delta++;
    return 0;
}

static int modify_group(struct bk_ms_contacts *list, const struct bk_ms_contact_call *call,
                        struct bk_ms_contact_change *ret)
{
    struct bk_ms_group *g = bk_ms_contacts_group(list, call->group_id);
    if (!g)
        return refuse(ret, 404, "Client.BadCall.NoSuchGroup", "There is no such group");
    struct bk_ms_group *same = group_named(list, call->name);
    if (same && same != g)
        return refuse(ret, 409, "Client.BadCall.GroupExists", "Another group has this name");
    ret->group_id = g->id;
    if (same && bk_view_equal(g->external, call->external)) {
        ret->nothing = true;
        return 0;
    }
    int r = bk_ms_contacts_put_group(list, g->id, call->name, call->external, &g);
    if (r < 0)
        return r;
    g->changed = true;
    list->delta++;
    return 0;
}

/* Nobody is in no group at all: "~" holds the others. */
static void join_others(struct bk_ms_contacts *list, struct bk_ms_contact *c)
{
    const struct bk_ms_group *others = c->n_groups ? NULL : group_named(list, BK_VIEW("~"));
    if (others)
        join(c, others->id);
}

static int delete_group(struct bk_ms_contacts *list, const struct bk_ms_contact_call *call,
                        struct bk_ms_contact_change *ret)
{
    struct bk_ms_group *g = bk_ms_contacts_group(list, call->group_id);
    bool any = false;
    if (!g) {
        ret->nothing = true;
        return 0;
    }
    ret->dropped_group = g->id;
    drop_group(list, g);
    BK_LIST_EACH(&list->contacts, it)
    {
        struct bk_ms_contact *c = bk_container_of(it, struct bk_ms_contact, in_list);
        if (!in_group(c, ret->dropped_group))
            continue;
        leave(c, ret->dropped_group);
        join_others(list, c);
        c->changed = any = true;
    }
    list->delta += any ? 2 : 1;
    return 0;
}

static bool same_contact(const struct bk_ms_contact *a, const struct bk_ms_contact *b)
{
    return bk_view_equal(a->name, b->name) && bk_view_equal(a->external, b->external) &&
           a->subscribed == b->subscribed && a->n_groups == b->n_groups &&
           memcmp(a->groups, b->groups, (size_t)a->n_groups * sizeof a->groups[0]) == 0;
}

static int set_contact(struct bk_ms_contacts *list, const struct bk_ms_contact_call *call,
                       struct bk_ms_contact_change *ret)
{
    struct bk_ms_contact *old = bk_ms_contacts_find(list, call->address);
    if (!old && list->n_contacts >= BK_MS_CONTACTS_MAX)
        return refuse(ret, 413, "Client.BadCall.TooManyContacts",
                      "There is no room for another contact");
    struct bk_ms_contact *c =
        make_contact(call->address, call->name, call->subscribed, call->external);
    if (!c)
        return -ENOMEM;
    if (read_groups(list, true, call->groups, c) < 0) {
        free(c);
        return refuse(ret, 400, "Client.BadCall.InvalidArgument", "The groups are no numbers");
    }
    join_others(list, c);
    if (old && same_contact(old, c)) {
        free(c);
        ret->nothing = true;
        return 0;
    }
    c->changed = true;
    c->added = !old;
    place_contact(list, c, old);
    list->delta++;
    return 0;
}

static int delete_contact(struct bk_ms_contacts *list, const struct bk_ms_contact_call *call,
                          struct bk_ms_contact_change *ret)
{
    struct bk_ms_contact *c = bk_ms_contacts_find(list, call->address);
    if (!c) {
        ret->nothing = true;
        return 0;
    }
    bk_list_remove(&c->in_list);
    list->n_contacts--;
    list->delta++;
    ret->dropped_contact = c;
    return 0;
}

int bk_ms_contacts_apply(struct bk_ms_contacts *list, const struct bk_ms_contact_call *call,
                         struct bk_ms_contact_change *ret)
{
    *ret = (struct bk_ms_contact_change){ .status = 200, .delta_before = list->delta };
    /*
     * A number behind ours is fine: each call here says all it means, and the stock client does not repeat one that was
     * refused. One ahead of ours is of another list.
     */
    if (call->delta > list->delta)
        return refuse(ret, 409, "Client.BadCall.WrongDelta", "The list has another number");
    switch (call->method) {
    case BK_MS_ADD_GROUP:
        return add_group(list, call, ret);
    case BK_MS_MODIFY_GROUP:
        return modify_group(list, call, ret);
    case BK_MS_DELETE_GROUP:
        return delete_group(list, call, ret);
    case BK_MS_SET_CONTACT:
        return set_contact(list, call, ret);
    case BK_MS_DELETE_CONTACT:
        return delete_contact(list, call, ret);
    default:
        ret->nothing = true; /* not of the list */
        return 0;
    }
}

void bk_ms_contacts_settle(struct bk_ms_contacts *list, struct bk_ms_contact_change *change)
{
    BK_LIST_EACH(&list->groups, it)
    bk_container_of(it, struct bk_ms_group, in_list)->changed = false;
    BK_LIST_EACH(&list->contacts, it)
    {
        struct bk_ms_contact *c = bk_container_of(it, struct bk_ms_contact, in_list);
        c->changed = c->added = false;
    }
    free(change->dropped_contact);
    change->dropped_contact = NULL;
}

/* ---- telling ---- */

static bool any_contact_changed(const struct bk_ms_contacts *list)
{
    BK_LIST_EACH(&list->contacts, it)
    if (bk_container_of(it, struct bk_ms_contact, in_list)->changed)
        return true;
    return false;
}

static void delta_begin(struct bk_buf *to, int64_t before)
{
    bk_buf_addf(to,
                "<contactDelta xmlns=\"" NS_CONTACTS "\" deltaNum=\"%lld\" prevDeltaNum=\"%lld\">",
                (long long)before + 1, (long long)before);
}

static void write_changed(struct bk_buf *to, const struct bk_ms_contacts *list, bool added_group)
{
    BK_LIST_EACH(&list->groups, it)
    {
        const struct bk_ms_group *g = bk_container_of(it, struct bk_ms_group, in_list);
        if (g->changed)
            write_group(to, added_group ? "addedGroup" : "modifiedGroup", g);
    }
    BK_LIST_EACH(&list->contacts, it)
    {
        const struct bk_ms_contact *c = bk_container_of(it, struct bk_ms_contact, in_list);
        if (c->changed)
            write_contact(to, c->added ? "addedContact" : "modifiedContact", "sip:", c);
    }
}

bool bk_ms_contacts_delta_write(struct bk_buf *to, const struct bk_ms_contacts *list,
                                const struct bk_ms_contact_change *change, int n)
{
    bool two = change->dropped_group && any_contact_changed(list);
    if (change->nothing || n > (two ? 1 : 0))
        return false;
    delta_begin(to, change->delta_before + n);
    if (change->dropped_group && n == (two ? 1 : 0)) {
        bk_buf_addf(to, "<deletedGroup id=\"%lld\"/>", (long long)change->dropped_group);
    } else if (change->dropped_contact) {
        bk_buf_add_lit(to, "<deletedContact uri=\"sip:");
        bk_xml_escape(to, change->dropped_contact->address);
        bk_buf_add_lit(to, "\"/>");
    } else {
        write_changed(to, list, change->group_added);
    }
    bk_buf_add_lit(to, "</contactDelta>");
    return true;
}

void bk_ms_contact_answer_write(struct bk_buf *to, const struct bk_ms_contacts *list,
                                const struct bk_ms_contact_call *call,
                                const struct bk_ms_contact_change *change)
{
    if (change->status != 200) {
        bk_ms_soap_fault(to, change->fault, change->text, list->delta);
        return;
    }
    bk_ms_soap_begin(to, call->method_name);
    if (call->method == BK_MS_ADD_GROUP)
        bk_buf_addf(to, "<m:groupID>%lld</m:groupID>", (long long)change->group_id);
    bk_buf_addf(to, "<m:deltaNum>%lld</m:deltaNum>", (long long)list->delta);
    bk_ms_soap_end(to, call->method_name);
}

/* ---- directorySearch ---- */

#define NS_SOAP "http://schemas.xmlsoap.org/soap/envelope/"
#define NS_SIP "http://schemas.microsoft.com/winrtc/2002/11/sip"

void bk_ms_search_begin(struct bk_buf *to, bool more)
{
    bk_buf_addf(to,
                "<SOAP-ENV:Envelope xmlns:SOAP-ENV=\"" NS_SOAP
                "\"><SOAP-ENV:Body><m:directorySearch xmlns:m=\"" NS_SIP
                "\"><m:moreAvailable>%s</m:moreAvailable></m:directorySearch>"
                "<m:Array xmlns:m=\"" NS_SIP "\" id=\"searchArray\">",
                more ? "true" : "false");
}

void bk_ms_search_row(struct bk_buf *to, const struct bk_ms_search_row *row)
{
    bk_buf_add_lit(to, "<m:row");
    bk_ms_xml_add_attribute(to, "uri", row->uri);
    bk_ms_xml_add_attribute(to, "displayName", row->display_name);
    bk_ms_xml_add_attribute(to, "title", row->title);
    bk_ms_xml_add_attribute(to, "office", row->office);
    bk_ms_xml_add_attribute(to, "phone", row->phone);
    bk_ms_xml_add_attribute(to, "company", row->company);
    bk_ms_xml_add_attribute(to, "city", row->city);
    bk_ms_xml_add_attribute(to, "state", row->state);
    bk_ms_xml_add_attribute(to, "country", row->country);
    bk_ms_xml_add_attribute(to, "email", row->email);
    bk_buf_add_lit(to, "/>");
}

void bk_ms_search_end(struct bk_buf *to)
{
    bk_buf_add_lit(to, "</m:Array></SOAP-ENV:Body></SOAP-ENV:Envelope>");
}
