/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/told.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "sip/fields.h"
#include "sip/mime.h"

#include <errno.h>
#include <stdlib.h>

static int number(const struct bk_ms_xml *node, const char *name, uint64_t max, uint64_t *ret)
{
    return bk_view_to_u64(bk_view_trim(bk_ms_xml_attribute(node, name)), max, ret);
}

static int bad(const char **ret_why, const char *why)
{
    *ret_why = why;
    return -EBADMSG;
}

/* ---- the contact list ---- */

static int take_group(struct bk_ms_contacts *list, const struct bk_ms_xml *node,
                      const char **ret_why)
{
    uint64_t id;
    struct bk_ms_group *g;
    struct bk_view name = bk_ms_xml_attribute(node, "name");
    struct bk_view external = bk_ms_xml_attribute(node, "externalURI");
    if (number(node, "id", INT64_MAX - 1, &id) < 0 || !id)
        return bad(ret_why, "a group's id is no number");
    if (name.len > BK_MS_CONTACT_TEXT_MAX || external.len > BK_MS_CONTACT_EXTERNAL_MAX)
        return bad(ret_why, "a text is too long");
    if (list->n_groups >= BK_MS_GROUPS_MAX && !bk_ms_contacts_group(list, (int64_t)id))
        return bad(ret_why, "too many groups");
    int r = bk_ms_contacts_put_group(list, (int64_t)id, name, external, &g);
    if (r == 0)
        g->changed = true;
    return r < 0 && r != -ENOMEM ? bad(ret_why, "a group cannot be read") : r;
}

static int take_contact(struct bk_ms_contacts *list, const struct bk_ms_xml *node,
                        struct bk_arena *arena, const char **ret_why)
{
    struct bk_ms_contact *c;
    struct bk_view address = bk_ms_address(arena, bk_ms_xml_attribute(node, "uri"));
    struct bk_view name = bk_ms_xml_attribute(node, "name");
    struct bk_view external = bk_ms_xml_attribute(node, "externalURI");
    if (!address.len)
        return bad(ret_why, "a contact's address cannot be read");
    if (name.len > BK_MS_CONTACT_TEXT_MAX || external.len > BK_MS_CONTACT_EXTERNAL_MAX)
        return bad(ret_why, "a text is too long");
    bool added = !bk_ms_contacts_find(list, address);
    if (added && list->n_contacts >= BK_MS_CONTACTS_MAX)
        return bad(ret_why, "too many contacts");
    int r = bk_ms_contacts_put(
        list, address, name, bk_ms_xml_attribute(node, "groups"),
        !bk_view_equal_nocase(bk_ms_xml_attribute(node, "subscribed"), BK_VIEW("false")), external,
        &c);
    if (r < 0)
        return r == -ENOMEM ? r : bad(ret_why, "a contact's groups are no numbers");
    c->changed = true;
    c->added = added;
    return 0;
}

static void drop_contact(struct bk_ms_contacts *list, struct bk_ms_contact *c)
{
    bk_list_remove(&c->in_list);
    list->n_contacts--;
    free(c);
}

static void drop_group(struct bk_ms_contacts *list, struct bk_ms_group *g)
{
    bk_list_remove(&g->in_list);
    list->n_groups--;
    free(g);
}

static int take_deletions(struct bk_ms_contacts *list, const struct bk_ms_xml *root,
                          struct bk_arena *arena, struct bk_ms_told_contacts *ret,
                          const char **ret_why)
{
    BK_MS_XML_EACH(node, root, "deletedGroup")
    {
        uint64_t id;
        if (number(node, "id", INT64_MAX, &id) < 0)
            return bad(ret_why, "a group's id is no number");
        struct bk_ms_group *g = bk_ms_contacts_group(list, (int64_t)id);
        if (!g)
            continue;
        ret->gone_groups[ret->n_gone_groups++] = g->id; /* each is there once: they fit */
        drop_group(list, g);
    }
    int n = 0;
    BK_MS_XML_EACH(node, root, "deletedContact")
    n++;
    ret->gone_contacts = bk_arena_alloc(arena, (size_t)(n + 1) * sizeof *ret->gone_contacts);
    if (!ret->gone_contacts)
        return -ENOMEM;
    BK_MS_XML_EACH(node, root, "deletedContact")
    {
        struct bk_view address = bk_ms_address(arena, bk_ms_xml_attribute(node, "uri"));
        struct bk_ms_contact *c = bk_ms_contacts_find(list, address);
        if (!c)
            continue;
        ret->gone_contacts[ret->n_gone_contacts++] = address;
        drop_contact(list, c);
    }
    return 0;
}

static int take_rows(struct bk_ms_contacts *list, const struct bk_ms_xml *root,
                     const char *const groups[], const char *const contacts[],
                     struct bk_arena *arena, const char **ret_why)
{
    int r = 0;
    for (int i = 0; groups[i]; i++)
        for (const struct bk_ms_xml *node = bk_ms_xml_child(root, groups[i]); node && r == 0;
             node = bk_ms_xml_next(node, groups[i]))
            r = take_group(list, node, ret_why);
    for (int i = 0; contacts[i]; i++)
        for (const struct bk_ms_xml *node = bk_ms_xml_child(root, contacts[i]); node && r == 0;
             node = bk_ms_xml_next(node, contacts[i]))
            r = take_contact(list, node, arena, ret_why);
    return r;
}

int bk_ms_told_contacts(struct bk_view body, struct bk_ms_contacts *list, struct bk_arena *arena,
                        struct bk_ms_told_contacts *ret, const char **ret_why)
{
    static const char *const whole_groups[] = { "group", NULL };
    static const char *const whole_contacts[] = { "contact", NULL };
    static const char *const delta_groups[] = { "addedGroup", "modifiedGroup", NULL };
    static const char *const delta_contacts[] = { "addedContact", "modifiedContact", NULL };
    struct bk_ms_xml *root;
    uint64_t delta, before;
    int r = bk_ms_xml_parse(body, arena, &root, ret_why);
    if (r < 0)
        return r;
    *ret = (struct bk_ms_told_contacts){ .kind = BK_MS_TOLD_LIST };
    bool whole = bk_ms_xml_is(root, "contactList");
    if (!whole && !bk_ms_xml_is(root, "contactDelta"))
        return bad(ret_why, "neither contactList nor contactDelta");
    if (number(root, "deltaNum", INT64_MAX - 1, &delta) < 0)
        return bad(ret_why, "deltaNum is no number");
    if (whole) {
        bk_ms_contacts_finish(list);
        bk_ms_contacts_init(list);
        list->delta = (int64_t)delta;
        return take_rows(list, root, whole_groups, whole_contacts, arena, ret_why);
    }
    if (number(root, "prevDeltaNum", INT64_MAX - 1, &before) < 0 || before >= delta)
        return bad(ret_why, "prevDeltaNum is no number below deltaNum");
    if ((int64_t)delta <= list->delta) {
        ret->kind = BK_MS_TOLD_OLD;
        return 0;
    }
    if ((int64_t)before != list->delta) {
        ret->kind = BK_MS_TOLD_GAP;
        return 0;
    }
    ret->kind = BK_MS_TOLD_DELTA;
    list->delta = (int64_t)delta;
    r = take_deletions(list, root, arena, ret, ret_why);
    return r < 0 ? r : take_rows(list, root, delta_groups, delta_contacts, arena, ret_why);
}

/* ---- answers to calls ---- */

static struct bk_view without_prefix(struct bk_view name)
{
    size_t colon = bk_view_find(name, ':');
    return colon < name.len ? bk_view_skip(name, colon + 1) : name;
}

static int read_found(const struct bk_ms_xml *array, struct bk_arena *arena,
                      struct bk_ms_told_call *call)
{
    int n = 0;
    BK_MS_XML_EACH(row, array, "row")
    n++;
    if (n > BK_MS_TOLD_ROWS_MAX)
        n = BK_MS_TOLD_ROWS_MAX;
    call->rows = bk_arena_alloc(arena, (size_t)(n + 1) * sizeof *call->rows);
    if (!call->rows)
        return -ENOMEM;
    BK_MS_XML_EACH(row, array, "row")
    {
        struct bk_view uri = bk_ms_address(arena, bk_ms_xml_attribute(row, "uri"));
        if (!uri.len || call->n_rows == n)
            continue; /* nobody who can be reached */
        call->rows[call->n_rows++] = (struct bk_ms_search_row){
            .uri = uri,
            .display_name = bk_ms_xml_attribute(row, "displayName"),
            .title = bk_ms_xml_attribute(row, "title"),
            .office = bk_ms_xml_attribute(row, "office"),
            .phone = bk_ms_xml_attribute(row, "phone"),
            .company = bk_ms_xml_attribute(row, "company"),
            .city = bk_ms_xml_attribute(row, "city"),
            .state = bk_ms_xml_attribute(row, "state"),
            .country = bk_ms_xml_attribute(row, "country"),
            .email = bk_ms_xml_attribute(row, "email"),
        };
    }
    return 0;
}

int bk_ms_told_call(struct bk_view body, struct bk_arena *arena, struct bk_ms_told_call *ret,
                    const char **ret_why)
{
    const struct bk_ms_xml *method, *soap;
    struct bk_ms_told_call call = { .delta = -1 };
    uint64_t n;
    int r = bk_ms_soap_parse(body, arena, &method, &soap, ret_why);
    if (r < 0)
        return r;
    const struct bk_ms_xml *numbers = method;
    if (bk_ms_xml_is(method, "Fault")) {
        struct bk_view code = without_prefix(bk_ms_xml_child_text(method, "faultcode"));
        call.fault = code.len ? code : BK_VIEW("Fault");
        call.text = bk_ms_xml_child_text(method, "faultstring");
        numbers = bk_ms_xml_child(method, "detail");
    }
    if (bk_view_to_u64(bk_ms_xml_child_text(numbers, "deltaNum"), INT64_MAX - 1, &n) == 0)
        call.delta = (int64_t)n;
    if (bk_view_to_u64(bk_ms_xml_child_text(numbers, "groupID"), INT64_MAX - 1, &n) == 0)
        call.group_id = (int64_t)n;
    call.more =
        bk_view_equal_nocase(bk_ms_xml_child_text(method, "moreAvailable"), BK_VIEW("true"));
    r = read_found(bk_ms_xml_child(soap, "Array"), arena, &call);
    if (r == 0)
        *ret = call;
    return r;
}

/* ---- presence ---- */

static void read_state(const struct bk_ms_xml *category, struct bk_ms_told_person *ret,
                       bool *has_aggregate)
{
    struct bk_ms_state state;
    struct bk_view at = bk_ms_xml_attribute(category, "publishTime");
    if (bk_ms_state_read(bk_ms_xml_child(category, NULL), &state) < 0)
        return;
    /* The sum of all is what counts; else whatever stands there last. */
    bool aggregate = state.type == BK_MS_STATE_AGGREGATE;
    if (*has_aggregate && !aggregate)
        return;
    *has_aggregate = aggregate;
    ret->has_state = true;
    ret->shown = bk_ms_shown_of(state.availability, state.activity);
    ret->since_ms = 0;
    if (ret->shown != BK_PIDF_SHOWN_OFFLINE && ret->shown != BK_PIDF_SHOWN_UNKNOWN && at.len &&
        bk_time_iso_parse(at, &ret->since_ms) < 0)
        ret->since_ms = 0;
}

static int read_person(const struct bk_ms_xml *root, struct bk_arena *arena,
                       struct bk_ms_told_person *ret, const char **ret_why)
{
    struct bk_ms_told_person person = { 0 };
    bool has_aggregate = false;
    if (!bk_ms_xml_is(root, "categories"))
        return bad(ret_why, "no categories");
    person.address = bk_ms_address(arena, bk_ms_xml_attribute(root, "uri"));
    if (!person.address.len)
        return bad(ret_why, "categories of nobody");
    BK_MS_XML_EACH(category, root, "category")
    {
        struct bk_view name = bk_ms_xml_attribute(category, "name");
        if (bk_view_equal(name, BK_VIEW("state"))) {
            read_state(category, &person, &has_aggregate);
        } else if (bk_view_equal(name, BK_VIEW("note"))) {
            struct bk_view note = bk_ms_note_read(bk_ms_xml_child(category, NULL));
            if (!person.note.len)
                person.note = bk_utf8_valid(note) ? note : (struct bk_view){ 0 };
            person.has_note = true;
        } else if (bk_view_equal(name, BK_VIEW("contactCard"))) {
            const struct bk_ms_xml *identity =
                bk_ms_xml_child(bk_ms_xml_child(category, NULL), "identity");
            struct bk_view text =
                bk_ms_xml_child_text(bk_ms_xml_child(identity, "name"), "displayName");
            if (text.len)
                person.display_name = text;
        }
    }
    *ret = person;
    return 0;
}

int bk_ms_told_person(struct bk_view body, struct bk_arena *arena, struct bk_ms_told_person *ret,
                      const char **ret_why)
{
    struct bk_ms_xml *root;
    int r = bk_ms_xml_parse(body, arena, &root, ret_why);
    return r < 0 ? r : read_person(root, arena, ret, ret_why);
}

static int read_list(struct bk_view body, struct bk_arena *arena, struct bk_ms_told_batch *ret,
                     const char **ret_why)
{
    struct bk_ms_xml *root;
    int n = 0, r = bk_ms_xml_parse(body, arena, &root, ret_why);
    if (r < 0)
        return r;
    BK_MS_XML_EACH(resource, root, "resource")
    n++;
    ret->resources = bk_arena_alloc(arena, (size_t)(n + 1) * sizeof *ret->resources);
    if (!ret->resources)
        return -ENOMEM;
    BK_MS_XML_EACH(resource, root, "resource")
    {
        struct bk_ms_told_resource row = { .address = bk_ms_address(
                                               arena, bk_ms_xml_attribute(resource, "uri")) };
        struct bk_view state = bk_ms_xml_attribute(bk_ms_xml_child(resource, "instance"), "state");
        if (bk_view_equal_nocase(state, BK_VIEW("terminated")))
            row.state = BK_MS_RESOURCE_TERMINATED;
        else if (bk_view_equal_nocase(state, BK_VIEW("resubscribe")))
            row.state = BK_MS_RESOURCE_RESUBSCRIBE;
        if (row.address.len)
            ret->resources[ret->n_resources++] = row;
    }
    return 0;
}

static bool has_type(struct bk_view content_type, const char *type, struct bk_sip_content_type *ret)
{
    struct bk_view wanted = bk_view_of_str(type);
    struct bk_view major = bk_view_cut(&wanted, '/');
    return bk_sip_content_type_parse(content_type, ret) == 0 &&
           bk_view_equal_nocase(ret->type, major) && bk_view_equal_nocase(ret->subtype, wanted);
}

int bk_ms_told_batch(struct bk_view content_type, struct bk_view body, struct bk_arena *arena,
                     struct bk_ms_told_batch *ret, const char **ret_why)
{
    struct bk_sip_content_type type;
    struct bk_mime_part part;
    struct bk_view rest = body;
    int seen = 0, r = 0;
    *ret = (struct bk_ms_told_batch){ 0 };
    /* Everybody's document begins with its own delimiter: there cannot be more than this. */
    ret->people = bk_arena_alloc(arena, (BK_MS_BATCH_MAX + 1) * sizeof *ret->people);
    if (!ret->people)
        return -ENOMEM;
    if (has_type(content_type, BK_MS_CATEGORIES_CONTENT_TYPE, &type)) {
        r = bk_ms_told_person(body, arena, &ret->people[0], ret_why);
        ret->n_people = r == 0;
        return r;
    }
    if (!has_type(content_type, "multipart/related", &type))
        return bad(ret_why, "neither categories nor a list of them");
    struct bk_view boundary = type.boundary;
    while ((r = bk_mime_next(&rest, boundary, &seen, &part)) == 1) {
        seen = 0; /* there are as many parts as people: the limit here is the batch's own */
        if (has_type(part.content_type, "application/rlmi+xml", &type)) {
            r = read_list(part.body, arena, ret, ret_why);
            if (r < 0)
                return r;
        } else if (has_type(part.content_type, BK_MS_CATEGORIES_CONTENT_TYPE, &type) &&
                   ret->n_people <= BK_MS_BATCH_MAX) {
            const char *why;
            r = bk_ms_told_person(bk_view_trim(part.body), arena, &ret->people[ret->n_people],
                                  &why);
            if (r == -ENOMEM)
                return r;
            ret->n_people += r == 0;
        }
    }
    return r < 0 ? bad(ret_why, "a part of the list is cut off") : 0;
}

/* ---- the person's own ---- */

static int read_publications(const struct bk_ms_xml *root, struct bk_arena *arena,
                             struct bk_ms_told_self *ret, const char **ret_why)
{
    ret->publications =
        bk_arena_alloc(arena, BK_MS_TOLD_PUBLICATIONS_MAX * sizeof *ret->publications);
    if (!ret->publications)
        return -ENOMEM;
    BK_MS_XML_EACH(list, root, "categories")
    {
        ret->parts |= BK_MS_SELF_CATEGORIES;
        BK_MS_XML_EACH(node, list, "category")
        {
            uint64_t instance, container, version;
            struct bk_ms_told_publication p = { .category = bk_ms_xml_attribute(node, "name") };
            if (ret->n_publications == BK_MS_TOLD_PUBLICATIONS_MAX)
                return bad(ret_why, "too many publications");
            if (number(node, "instance", UINT32_MAX, &instance) < 0) {
                p.gone = true;
            } else if (number(node, "container", UINT32_MAX, &container) < 0 ||
                       number(node, "version", UINT32_MAX, &version) < 0) {
                return bad(ret_why, "a publication without container or version");
            } else {
                p.instance = (uint32_t)instance;
                p.container = (uint32_t)container;
                p.version = (uint32_t)version;
            }
            ret->publications[ret->n_publications++] = p;
        }
    }
    return 0;
}

/* Types this client does not know are not its to change: they are left out. */
static bool read_member(const struct bk_ms_xml *node, struct bk_arena *arena, int container,
                        struct bk_ms_member *ret)
{
    static const char *const types[BK_MS_MEMBER_TYPE_COUNT] = {
        "user", "domain", "sameEnterprise", "federated", "publicCloud", "everyone",
    };
    struct bk_view type = bk_ms_xml_attribute(node, "type");
    int at = 0;
    while (at < BK_MS_MEMBER_TYPE_COUNT && !bk_view_equal_nocase(type, bk_view_of_str(types[at])))
        at++;
    if (at == BK_MS_MEMBER_TYPE_COUNT)
        return false;
    *ret = (struct bk_ms_member){ .container = container, .type = at };
    if (at == BK_MS_MEMBER_USER)
        ret->value = bk_ms_address(arena, bk_ms_xml_attribute(node, "value"));
    else if (at == BK_MS_MEMBER_DOMAIN)
        ret->value = bk_view_trim(bk_ms_xml_attribute(node, "value"));
    return at > BK_MS_MEMBER_DOMAIN || ret->value.len;
}

static int read_containers(const struct bk_ms_xml *root, struct bk_arena *arena,
                           struct bk_ms_told_self *ret, const char **ret_why)
{
    ret->members = bk_arena_alloc(arena, BK_MS_TOLD_MEMBERS_MAX * sizeof *ret->members);
    if (!ret->members)
        return -ENOMEM;
    BK_MS_XML_EACH(list, root, "containers")
    {
        ret->parts |= BK_MS_SELF_CONTAINERS;
        BK_MS_XML_EACH(node, list, "container")
        {
            uint64_t id, version = 0;
            int known = 0;
            if (number(node, "id", UINT32_MAX, &id) < 0)
                return bad(ret_why, "a container's id is no number");
            (void)number(node, "version", UINT32_MAX, &version);
            while (known < BK_MS_CONTAINERS && (uint64_t)bk_ms_containers[known] != id)
                known++;
            if (known == BK_MS_CONTAINERS || ret->n_containers == BK_MS_CONTAINERS)
                continue; /* one that is no relation */
            ret->containers[ret->n_containers++] =
                (struct bk_ms_told_container){ (int)id, (uint32_t)version };
            BK_MS_XML_EACH(member, node, "member")
            {
                if (ret->n_members == BK_MS_TOLD_MEMBERS_MAX)
                    return bad(ret_why, "too many members");
                ret->n_members +=
                    read_member(member, arena, (int)id, &ret->members[ret->n_members]);
            }
        }
    }
    return 0;
}

static int read_subscribers(const struct bk_ms_xml *root, struct bk_arena *arena,
                            struct bk_ms_told_self *ret)
{
    int n = 0;
    BK_MS_XML_EACH(list, root, "subscribers")
    {
        ret->parts |= BK_MS_SELF_SUBSCRIBERS;
        BK_MS_XML_EACH(node, list, "subscriber")
        n++;
    }
    ret->subscribers = bk_arena_alloc(arena, (size_t)(n + 1) * sizeof *ret->subscribers);
    if (!ret->subscribers)
        return -ENOMEM;
    BK_MS_XML_EACH(list, root, "subscribers")
    {
        BK_MS_XML_EACH(node, list, "subscriber")
        {
            struct bk_ms_subscriber s = {
                .address = bk_ms_address(arena, bk_ms_xml_attribute(node, "user")),
                .display_name = bk_ms_xml_attribute(node, "displayName"),
                .acknowledged = bk_view_equal_nocase(bk_ms_xml_attribute(node, "acknowledged"),
                                                     BK_VIEW("true")),
            };
            if (s.address.len)
                ret->subscribers[ret->n_subscribers++] = s;
        }
    }
    return 0;
}

int bk_ms_told_self(struct bk_view body, struct bk_arena *arena, struct bk_ms_told_self *ret,
                    const char **ret_why)
{
    struct bk_ms_xml *root;
    int r = bk_ms_xml_parse(body, arena, &root, ret_why);
    if (r < 0)
        return r;
    if (!bk_ms_xml_is(root, "roamingData"))
        return bad(ret_why, "no roamingData");
    *ret = (struct bk_ms_told_self){ 0 };
    r = read_publications(root, arena, ret, ret_why);
    if (r == 0)
        r = read_containers(root, arena, ret, ret_why);
    if (r == 0)
        r = read_subscribers(root, arena, ret);
    return r;
}

int bk_ms_told_conflicts(struct bk_view body, struct bk_ms_conflict *ret, int *ret_n,
                         const char **ret_why)
{
    BK_CLEANUP(bk_arena_finish) struct bk_arena arena = { 0 };
    struct bk_ms_xml *root;
    int n = 0, r = bk_ms_xml_parse(body, &arena, &root, ret_why);
    if (r < 0)
        return r;
    if (!bk_ms_xml_is(root, "Fault"))
        return bad(ret_why, "no Fault");
    BK_MS_XML_EACH(node, bk_ms_xml_child(root, "details"), "operation")
    {
        uint64_t index, version;
        if (number(node, "index", BK_MS_PUBLICATIONS_MAX, &index) < 0 || !index ||
            number(node, "curVersion", UINT32_MAX, &version) < 0 || n == BK_MS_PUBLICATIONS_MAX)
            return bad(ret_why, "a conflict cannot be read");
        ret[n++] = (struct bk_ms_conflict){ (int)index, (uint32_t)version };
    }
    *ret_n = n;
    return 0;
}
