/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/container.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "ms/contacts.h"

#include <errno.h>

#define NS_CONTAINERS "http://schemas.microsoft.com/2006/09/sip/containers"
#define NS_SUBSCRIBERS "http://schemas.microsoft.com/2006/09/sip/presence-subscribers"

enum { VALUE_MAX = 320 };

const int bk_ms_containers[BK_MS_CONTAINERS] = { BK_MS_CONTAINER_BLOCKED, BK_MS_CONTAINER_PERSONAL,
                                                 BK_MS_CONTAINER_TEAM, BK_MS_CONTAINER_COMPANY,
                                                 BK_MS_CONTAINER_PUBLIC };

static const char *const type_names[BK_MS_MEMBER_TYPE_COUNT] = {
    "user", "domain", "sameEnterprise", "federated", "publicCloud", "everyone",
};

/* ---- looking up ---- */

static bool matches(const struct bk_ms_member *m, enum bk_ms_member_type type,
                    struct bk_view watcher, struct bk_view domain)
{
    if (m->type != type)
        return false;
    if (type == BK_MS_MEMBER_USER)
        return bk_view_equal(m->value, watcher);
    return type != BK_MS_MEMBER_DOMAIN || bk_view_equal(m->value, domain);
}

/* 0: nobody of that kind is named. */
static int look_up(const struct bk_ms_member *members, size_t n, enum bk_ms_member_type type,
                   struct bk_view watcher)
{
    struct bk_view domain = bk_view_skip(watcher, bk_view_find(watcher, '@') + 1);
    for (int i = 0; i < BK_MS_CONTAINERS; i++)
        for (size_t k = 0; k < n; k++)
            if (members[k].container == bk_ms_containers[i] &&
                matches(&members[k], type, watcher, domain))
                return bk_ms_containers[i];
    return 0;
}

int bk_ms_container_of(const struct bk_ms_member *members, size_t n, struct bk_view watcher,
                       enum bk_ms_origin origin)
{
    static const enum bk_ms_member_type kinds[] = {
        [BK_MS_ORIGIN_ENTERPRISE] = BK_MS_MEMBER_SAME_ENTERPRISE,
        [BK_MS_ORIGIN_FEDERATED] = BK_MS_MEMBER_FEDERATED,
        [BK_MS_ORIGIN_PUBLIC] = BK_MS_MEMBER_PUBLIC_CLOUD,
    };
    const enum bk_ms_member_type order[] = { BK_MS_MEMBER_USER, BK_MS_MEMBER_DOMAIN, kinds[origin],
                                             BK_MS_MEMBER_EVERYONE };
    for (size_t i = 0; i < BK_COUNT_OF(order); i++) {
        int found = look_up(members, n, order[i], watcher);
        if (found)
            return found;
    }
    return origin == BK_MS_ORIGIN_ENTERPRISE ? BK_MS_CONTAINER_COMPANY : BK_MS_CONTAINER_PUBLIC;
}

void bk_ms_member_subject(struct bk_buf *to, enum bk_ms_member_type type, struct bk_view value)
{
    if (type == BK_MS_MEMBER_DOMAIN)
        bk_buf_add_char(to, '@');
    if (type == BK_MS_MEMBER_USER || type == BK_MS_MEMBER_DOMAIN) {
        bk_buf_add_view(to, value);
    } else {
        bk_buf_add_char(to, '=');
        bk_buf_add_str(to, type_names[type]);
    }
}

void bk_ms_member_of_subject(struct bk_view subject, struct bk_ms_member *ret)
{
    ret->type = BK_MS_MEMBER_USER;
    ret->value = subject;
    if (!subject.len)
        return;
    if (subject.at[0] == '@') {
        ret->type = BK_MS_MEMBER_DOMAIN;
        ret->value = bk_view_skip(subject, 1);
    } else if (subject.at[0] == '=') {
        for (int i = BK_MS_MEMBER_SAME_ENTERPRISE; i < BK_MS_MEMBER_TYPE_COUNT; i++) {
            if (bk_view_equal(bk_view_skip(subject, 1), bk_view_of_str(type_names[i]))) {
                ret->type = i;
                ret->value = (struct bk_view){ 0 };
            }
        }
    }
}

/* ---- reading ---- */

static int read_container(const struct bk_ms_xml *node, struct bk_ms_member_change *ret,
                          const char **ret_why)
{
    uint64_t id, version = 0;
    struct bk_view text = bk_view_trim(bk_ms_xml_attribute(node, "version"));
    if (bk_view_to_u64(bk_view_trim(bk_ms_xml_attribute(node, "id")), 65535, &id) < 0 ||
        (text.len && bk_view_to_u64(text, UINT32_MAX, &version) < 0)) {
        *ret_why = "a container's id or version is no number";
        return -EBADMSG;
    }
    for (int i = 0; i < BK_MS_CONTAINERS; i++) {
        if ((int)id == bk_ms_containers[i]) {
            ret->container = ret->member.container = (int)id;
            ret->version = (uint32_t)version;
            return 0;
        }
    }
    *ret_why = "nobody can be put into this container";
    return -EBADMSG;
}

static int read_member(const struct bk_ms_xml *node, struct bk_arena *arena,
                       struct bk_ms_member_change *ret, const char **ret_why)
{
    struct bk_view action = bk_ms_xml_attribute(node, "action");
    struct bk_view type = bk_ms_xml_attribute(node, "type");
    struct bk_view value = bk_view_trim(bk_ms_xml_attribute(node, "value"));
    int at = 0;

    ret->removes = bk_view_equal_nocase(action, BK_VIEW("remove"));
    if (!ret->removes && !bk_view_equal_nocase(action, BK_VIEW("add"))) {
        *ret_why = "a member's action is neither add nor remove";
        return -EBADMSG;
    }
    while (at < BK_MS_MEMBER_TYPE_COUNT &&
           !bk_view_equal_nocase(type, bk_view_of_str(type_names[at])))
        at++;
    if (at == BK_MS_MEMBER_TYPE_COUNT) {
        *ret_why = "this type of member is not known";
        return -EBADMSG;
    }
    ret->member.type = at;
    if (at == BK_MS_MEMBER_USER) {
        ret->member.value = bk_ms_address(arena, value);
    } else if (at == BK_MS_MEMBER_DOMAIN && value.len && value.len <= VALUE_MAX) {
        ret->member.value = bk_arena_copy(arena, value);
        bk_text_lower((char *)ret->member.value.at, ret->member.value.len);
    }
    if (at <= BK_MS_MEMBER_DOMAIN && !ret->member.value.len) {
        *ret_why = "a member has no value that can be read";
        return -EBADMSG;
    }
    return 0;
}

int bk_ms_set_members_parse(struct bk_view body, struct bk_arena *arena,
                            struct bk_ms_member_change **ret, int *ret_n, const char **ret_why)
{
    struct bk_ms_xml *root;
    int n = 0, r = bk_ms_xml_parse(body, arena, &root, ret_why);
    if (r < 0)
        return r;
    if (!bk_ms_xml_is(root, "setContainerMembers")) {
        *ret_why = "no setContainerMembers";
        return -EBADMSG;
    }
    struct bk_ms_member_change *changes =
        bk_arena_alloc(arena, BK_MS_MEMBER_CHANGES_MAX * sizeof *changes);
    if (!changes)
        return -ENOMEM;
    BK_MS_XML_EACH(container, root, "container")
    {
        struct bk_ms_member_change head = { 0 };
        r = read_container(container, &head, ret_why);
        if (r < 0)
            return r;
        BK_MS_XML_EACH(member, container, "member")
        {
            if (n == BK_MS_MEMBER_CHANGES_MAX) {
                *ret_why = "too many members at once";
                return -EBADMSG;
            }
            changes[n] = head;
            r = read_member(member, arena, &changes[n], ret_why);
            if (r < 0)
                return r;
            n++;
        }
    }
    *ret = changes;
    *ret_n = n;
    return 0;
}

int bk_ms_set_subscribers_parse(struct bk_view body, struct bk_arena *arena,
                                struct bk_ms_subscriber **ret, int *ret_n, const char **ret_why)
{
    struct bk_ms_xml *root;
    int n = 0, r = bk_ms_xml_parse(body, arena, &root, ret_why);
    if (r < 0)
        return r;
    if (!bk_ms_xml_is(root, "setSubscribers")) {
        *ret_why = "no setSubscribers";
        return -EBADMSG;
    }
    struct bk_ms_subscriber *rows = bk_arena_alloc(arena, BK_MS_MEMBER_CHANGES_MAX * sizeof *rows);
    if (!rows)
        return -ENOMEM;
    BK_MS_XML_EACH(node, root, "subscriber")
    {
        if (n == BK_MS_MEMBER_CHANGES_MAX) {
            *ret_why = "too many subscribers at once";
            return -EBADMSG;
        }
        struct bk_ms_subscriber *s = &rows[n++];
        s->address = bk_ms_address(arena, bk_ms_xml_attribute(node, "user"));
        s->acknowledged =
            bk_view_equal_nocase(bk_ms_xml_attribute(node, "acknowledged"), BK_VIEW("true"));
        if (!s->address.len) {
            *ret_why = "an address cannot be read";
            return -EBADMSG;
        }
    }
    *ret = rows;
    *ret_n = n;
    return 0;
}

/* ---- writing ---- */

void bk_ms_containers_begin(struct bk_buf *to)
{
    bk_buf_add_lit(to, "<containers xmlns=\"" NS_CONTAINERS "\">");
}

void bk_ms_container_write(struct bk_buf *to, int container, uint32_t version,
                           const struct bk_ms_member *members, size_t n)
{
    bk_buf_addf(to, "<container id=\"%d\" version=\"%u\">", container, version);
    for (size_t i = 0; i < n; i++) {
        if (members[i].container != container)
            continue;
        bk_buf_addf(to, "<member type=\"%s\"", type_names[members[i].type]);
        if (members[i].value.len)
            bk_ms_xml_add_attribute(to, "value", members[i].value);
        bk_buf_add_lit(to, "/>");
    }
    bk_buf_add_lit(to, "</container>");
}

void bk_ms_containers_end(struct bk_buf *to)
{
    bk_buf_add_lit(to, "</containers>");
}

void bk_ms_subscribers_begin(struct bk_buf *to)
{
    bk_buf_add_lit(to, "<subscribers xmlns=\"" NS_SUBSCRIBERS "\">");
}

void bk_ms_subscriber_write(struct bk_buf *to, const struct bk_ms_subscriber *s)
{
    bk_buf_add_lit(to, "<subscriber");
    bk_ms_xml_add_attribute(to, "user", s->address);
    bk_ms_xml_add_attribute(to, "displayName", s->display_name);
    bk_buf_addf(to, " acknowledged=\"%s\"/>", s->acknowledged ? "true" : "false");
}

void bk_ms_subscribers_end(struct bk_buf *to)
{
    bk_buf_add_lit(to, "</subscribers>");
}
