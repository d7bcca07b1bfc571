/* SPDX-License-Identifier: Apache-2.0 */
#include "ms/provision.h"

#include "base/cleanup.h"

#include <errno.h>

#define NS_GROUPS "http://schemas.microsoft.com/2006/09/sip/provisiongrouplist-notification"

static const struct {
    const char *name;
    enum bk_ms_provision_group group;
} group_names[] = {
    { "ServerConfiguration", BK_MS_PROVISION_SERVER },
    { "meetingPolicy", BK_MS_PROVISION_MEETING },
    { "persistentChatConfiguration", BK_MS_PROVISION_PERSISTENT_CHAT },
    { "ucPolicy", BK_MS_PROVISION_UC },
};

int bk_ms_provision_parse(struct bk_view body, struct bk_arena *arena, unsigned *ret,
                          const char **ret_why)
{
    struct bk_ms_xml *root;
    if (!body.len) {
        *ret = BK_MS_PROVISION_ALL;
        return 0;
    }
    int r = bk_ms_xml_parse(body, arena, &root, ret_why);
    if (r < 0)
        return r;
    if (!bk_ms_xml_is(root, "provisioningGroupList")) {
        *ret_why = "no provisioningGroupList";
        return -EBADMSG;
    }
    *ret = 0;
    BK_MS_XML_EACH(group, root, "provisioningGroup")
    for (size_t i = 0; i < BK_COUNT_OF(group_names); i++)
        if (bk_view_equal_nocase(bk_ms_xml_attribute(group, "name"),
                                 bk_view_of_str(group_names[i].name)))
            *ret |= group_names[i].group;
    return 0;
}

static void add_known(struct bk_buf *to, const char *name, const char *text)
{
    if (text)
        bk_ms_xml_add_element(to, name, bk_view_of_str(text));
}

static void write_server(struct bk_buf *to, const struct bk_ms_provision *p)
{
    add_known(to, "focusFactoryUri", p->focus_factory_uri);
    add_known(to, "mrasUri", p->mras_uri);
    add_known(to, "botSipUriForTestCall", p->test_call_uri);
    add_known(to, "ucPC2PCAVEncryption", p->encryption);
    if (p->media_port_min)
        bk_buf_addf(
            to,
            "<ucPortRangeEnabled>true</ucPortRangeEnabled><ucMinMediaPort>%u</ucMinMediaPort>"
            "<ucMaxMediaPort>%u</ucMaxMediaPort>",
            p->media_port_min, p->media_port_max);
    else
        bk_buf_add_lit(to, "<ucPortRangeEnabled>false</ucPortRangeEnabled>");
}

static void write_group(struct bk_buf *to, const struct bk_ms_provision *p, size_t i)
{
    bk_buf_addf(to, "<provisionGroup name=\"%s\">", group_names[i].name);
    if (group_names[i].group == BK_MS_PROVISION_SERVER)
        write_server(to, p);
    if (group_names[i].group == BK_MS_PROVISION_PERSISTENT_CHAT)
        bk_buf_add_lit(to, "<propertyEntryList><property name=\"EnablePersistentChat\">false"
                           "</property></propertyEntryList>");
    bk_buf_add_lit(to, "</provisionGroup>");
}

void bk_ms_provision_write(struct bk_buf *to, const struct bk_ms_provision *p, unsigned groups)
{
    bk_buf_add_lit(to, "<provisionGroupList xmlns=\"" NS_GROUPS "\">");
    for (size_t i = 0; i < BK_COUNT_OF(group_names); i++)
        if (groups & group_names[i].group)
            write_group(to, p, i);
    bk_buf_add_lit(to, "</provisionGroupList>");
}

void bk_ms_provision_old_write(struct bk_buf *to, struct bk_view address)
{
    bk_buf_add_lit(to, "<provisioning><user");
    bk_ms_xml_add_attribute(to, "uri", address);
    bk_buf_add_lit(to, "/></provisioning>");
}
