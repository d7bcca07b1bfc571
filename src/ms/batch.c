/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/batch.h"

#include "base/cleanup.h"
#include "base/xml.h"
#include "ms/category.h"
#include "ms/contacts.h"

#include <errno.h>

static unsigned read_categories(const struct bk_ms_xml *list)
{
    static const struct {
        const char *name;
        enum bk_ms_wanted wanted;
    } names[] = {
        { "state", BK_MS_WANTS_STATE },
        { "note", BK_MS_WANTS_NOTE },
        { "contactCard", BK_MS_WANTS_CARD },
        { "calendarData", BK_MS_WANTS_CALENDAR },
    };
    unsigned wanted = 0;
    if (!list)
        return BK_MS_WANTS_ALL;
    BK_MS_XML_EACH(category, list, "category")
    for (size_t i = 0; i < BK_COUNT_OF(names); i++)
        if (bk_view_equal(bk_ms_xml_attribute(category, "name"), bk_view_of_str(names[i].name)))
            wanted |= names[i].wanted;
    return wanted;
}

static int read_action(const struct bk_ms_xml *action, struct bk_arena *arena,
                       struct bk_ms_batch_item *items, int *n, const char **ret_why)
{
    struct bk_view name = bk_ms_xml_attribute(action, "name");
    bool removes = bk_view_equal_nocase(name, BK_VIEW("unsubscribe"));
    if (!removes && !bk_view_equal_nocase(name, BK_VIEW("subscribe"))) {
        *ret_why = "an action is neither subscribe nor unsubscribe";
        return -EBADMSG;
    }
    unsigned wanted = read_categories(bk_ms_xml_child(action, "categoryList"));
    BK_MS_XML_EACH(list, action, "adhocList")
    {
        BK_MS_XML_EACH(resource, list, "resource")
        {
            if (*n == BK_MS_BATCH_MAX) {
                *ret_why = "too many people at once";
                return -EBADMSG;
            }
            struct bk_view uri = bk_view_trim(bk_ms_xml_attribute(resource, "uri"));
            items[(*n)++] =
                (struct bk_ms_batch_item){ .uri = uri,
                                           .address = bk_ms_address(arena, uri),
                                           .removes = removes,
                                           .fresh = bk_ms_xml_child(resource, "context") != NULL,
                                           .wanted = wanted };
        }
    }
    return 0;
}

int bk_ms_batch_parse(struct bk_view body, struct bk_arena *arena, struct bk_ms_batch_item **ret,
                      int *ret_n, const char **ret_why)
{
    struct bk_ms_xml *root;
    int n = 0, r = bk_ms_xml_parse(body, arena, &root, ret_why);
    if (r < 0)
        return r;
    if (!bk_ms_xml_is(root, "batchSub")) {
        *ret_why = "no batchSub";
        return -EBADMSG;
    }
    struct bk_ms_batch_item *items = bk_arena_alloc(arena, BK_MS_BATCH_MAX * sizeof *items);
    if (!items)
        return -ENOMEM;
    BK_MS_XML_EACH(action, root, "action")
    {
        r = read_action(action, arena, items, &n, ret_why);
        if (r < 0)
            return r;
    }
    *ret = items;
    *ret_n = n;
    return 0;
}

/* ---- writing ---- */

void bk_ms_batch_content_type(struct bk_buf *to, struct bk_view boundary, struct bk_view host)
{
    bk_buf_addf(to,
                "multipart/related;type=\"application/rlmi+xml\";start=\"<%.*s@%.*s>\";"
                "boundary=\"%.*s\"",
                BK_VIEW_ARGS(boundary), BK_VIEW_ARGS(host), BK_VIEW_ARGS(boundary));
}

static void part_begin(struct bk_buf *to, struct bk_view boundary)
{
    bk_buf_add_lit(to, "--");
    bk_buf_add_view(to, boundary);
    bk_buf_add_lit(to, "\r\nContent-Transfer-Encoding: binary\r\n");
}

void bk_ms_batch_begin(struct bk_buf *to, struct bk_view boundary, struct bk_view host,
                       struct bk_view owner, uint32_t version, bool full)
{
    part_begin(to, boundary);
    bk_buf_addf(to,
                "Content-ID: <%.*s@%.*s>\r\nContent-Type: application/rlmi+xml\r\n\r\n"
                "<list xmlns=\"urn:ietf:params:xml:ns:rlmi\" uri=\"sip:",
                BK_VIEW_ARGS(boundary), BK_VIEW_ARGS(host));
    bk_xml_escape(to, owner);
    bk_buf_addf(to, "\" version=\"%u\" fullState=\"%s\">", version, full ? "true" : "false");
}

void bk_ms_batch_resource(struct bk_buf *to, struct bk_view boundary, struct bk_view host,
                          struct bk_view uri, int n, enum bk_ms_batch_state state)
{
    bk_buf_add_lit(to, "<resource");
    bk_ms_xml_add_attribute(to, "uri", uri);
    if (state == BK_MS_BATCH_TERMINATED)
        bk_buf_add_lit(to, "><instance id=\"0\" state=\"terminated\" reason=\"noresource\"/>");
    else
        bk_buf_addf(to, "><instance id=\"0\" state=\"active\" cid=\"%.*s.%d@%.*s\"/>",
                    BK_VIEW_ARGS(boundary), n, BK_VIEW_ARGS(host));
    bk_buf_add_lit(to, "</resource>");
}

void bk_ms_batch_list_end(struct bk_buf *to)
{
    bk_buf_add_lit(to, "</list>\r\n\r\n");
}

void bk_ms_batch_part(struct bk_buf *to, struct bk_view boundary, struct bk_view host, int n,
                      struct bk_view categories)
{
    part_begin(to, boundary);
    bk_buf_addf(
        to, "Content-ID: <%.*s.%d@%.*s>\r\nContent-Type: " BK_MS_CATEGORIES_CONTENT_TYPE "\r\n\r\n",
        BK_VIEW_ARGS(boundary), n, BK_VIEW_ARGS(host));
    bk_buf_add_view(to, categories);
    bk_buf_add_lit(to, "\r\n\r\n");
}

void bk_ms_batch_end(struct bk_buf *to, struct bk_view boundary)
{
    bk_buf_add_lit(to, "--");
    bk_buf_add_view(to, boundary);
    bk_buf_add_lit(to, "--\r\n");
}
