/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/text.h"
#include "base/xml.h"
#include "pidf/names_private.h"

static void add_element(struct bk_buf *to, const char *name, struct bk_view text)
{
    if (!text.len)
        return;
    bk_buf_addf(to, "<%s>", name);
    bk_xml_escape(to, text);
    bk_buf_addf(to, "</%s>", name);
}

static void add_time(struct bk_buf *to, const char *format, int64_t ms)
{
    char text[32];
    if (!ms)
        return;
    bk_time_iso(ms, true, text);
    bk_buf_addf(to, format, text);
}

static void add_tuple(struct bk_buf *to, const struct bk_pidf_tuple *tuple)
{
    bk_buf_add_lit(to, "<tuple id=\"");
    bk_xml_escape(to, tuple->id);
    bk_buf_add_lit(to, "\"><status>");
    if (tuple->basic != BK_PIDF_BASIC_NONE)
        bk_buf_addf(to, "<basic>%s</basic>", tuple->basic == BK_PIDF_OPEN ? "open" : "closed");
    bk_buf_add_lit(to, "</status>");
    add_element(to, "contact", tuple->contact);
    add_element(to, "note", tuple->note);
    add_time(to, "<timestamp>%s</timestamp>", tuple->timestamp_ms);
    bk_buf_add_lit(to, "</tuple>\r\n");
}

static void add_activities(struct bk_buf *to, const struct bk_pidf *doc)
{
    if (!doc->activities)
        return;
    bk_buf_add_lit(to, "<rpid:activities>");
    for (size_t i = 0; i < bk_pidf_activity_names_len; i++) {
        const struct bk_pidf_activity_name *name = &bk_pidf_activity_names[i];
        if (name->alias || !(doc->activities & name->activity))
            continue;
        if (name->activity == BK_PIDF_OTHER && doc->other.len)
            add_element(to, "rpid:other", doc->other);
        else
            bk_buf_addf(to, "<rpid:%s/>", name->name);
    }
    bk_buf_add_lit(to, "</rpid:activities>");
}

static void add_person(struct bk_buf *to, const struct bk_pidf *doc)
{
    bk_buf_add_lit(to, "<dm:person id=\"p1\">");
    add_activities(to, doc);
    if (doc->idle) {
        bk_buf_add_lit(to, "<rpid:user-input");
        add_time(to, " last-input=\"%s\"", doc->idle_since_ms);
        bk_buf_add_lit(to, ">idle</rpid:user-input>");
    }
    if (doc->manual != BK_PIDF_MANUAL_MISSING)
        bk_buf_addf(to, "<b:manual state=\"%s\"/>", bk_pidf_manual_name(doc->manual));
    if (doc->machine != BK_PIDF_MACHINE_MISSING)
        bk_buf_addf(to, "<b:machine state=\"%s\"/>", bk_pidf_machine_name(doc->machine));
    if (doc->shown != BK_PIDF_SHOWN_MISSING) {
        bk_buf_addf(to, "<b:shown state=\"%s\"", bk_pidf_shown_name(doc->shown));
        add_time(to, " since=\"%s\"", doc->since_ms);
        bk_buf_add_lit(to, "/>");
    }
    if (doc->note.len)
        add_element(to, "dm:note", doc->note);
    else if (doc->note.at)
        bk_buf_add_lit(to, "<dm:note/>");
    bk_buf_add_lit(to, "</dm:person>\r\n");
}

void bk_pidf_write(struct bk_buf *to, const struct bk_pidf *doc)
{
    bk_buf_add_lit(to, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<presence xmlns=\"" NS_PIDF
                       "\" xmlns:dm=\"" NS_DM "\" xmlns:rpid=\"" NS_RPID "\" xmlns:b=\"" NS_BECKON
                       "\" entity=\"");
    bk_xml_escape(to, doc->entity);
    bk_buf_add_lit(to, "\">\r\n");
    for (int i = 0; i < doc->n_tuples; i++)
        add_tuple(to, &doc->tuples[i]);
    add_person(to, doc);
    bk_buf_add_lit(to, "</presence>\r\n");
}
